"""An activity run as a workflow schedules it, without Temporal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio.testing import ActivityEnvironment


def of_workflow(workflow_id: str, progress: Sequence[Any] = ()) -> ActivityEnvironment:
    """As a workflow of this id schedules it, after a try that kept this progress."""
    environment = ActivityEnvironment()
    environment.info = replace(ActivityEnvironment.default_info(), workflow_id=workflow_id, heartbeat_details=progress)
    return environment
