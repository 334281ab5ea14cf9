"""Temporal's development server, as `consortium up` runs it."""

from __future__ import annotations

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker


async def dev_server(*dynamic: str) -> WorkflowEnvironment:
    """A server in memory that knows the search attributes, with more dynamic configuration; it ends with the block of its `async with`."""
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=worker.binary("temporal"), data_converter=pydantic_data_converter,
        dev_server_extra_args=worker.server_options(*dynamic), dev_server_log_level="error",
    )  # fmt: skip
