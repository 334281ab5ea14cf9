"""The durable shell on the real Temporal servers."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker
from activities.sending import Sender, TurnedDown
from domain.charter import Office
from domain.consortium import Found, Officer
from tests.stories import charter

SEARCH_ATTRIBUTES = ("Phase=Keyword", "WaitsFor=KeywordList", "Due=Datetime", "Attention=Bool")


@pytest_asyncio.fixture
async def temporal() -> AsyncIterator[Client]:
    extra = [text for name in SEARCH_ATTRIBUTES for text in ("--search-attribute", name)]
    extra += [
        "--dynamic-config-value",
        "history.transferProcessorMaxPollRPS=1000",
        "--dynamic-config-value",
        "history.maxInFlightUpdates=0",
    ]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=shutil.which("temporal"), data_converter=pydantic_data_converter, dev_server_extra_args=extra
    ) as environment:
        yield environment.client


def founding() -> Found:
    officers = (
        Officer(person="sam", offices=frozenset({Office.SECRETARIAT})),
        Officer(person="tess", offices=frozenset({Office.TREASURER})),
    )
    return Found(charter=charter(), officers=officers)


async def test_a_command_is_recorded_through_its_workflow(temporal: Client, tmp_path: Path) -> None:
    async with worker.recording(str(tmp_path / "log.db")) as recorder, worker.compose(temporal, recorder):
        sender = Sender(temporal)
        command_id = str(uuid.uuid4())
        receipt = await sender.send("consortium/atlas", command_id, "sam", founding().model_dump(mode="json"))
        assert receipt.events == ["charter_adopted", "office_granted", "office_granted"]
        assert await sender.send("consortium/atlas", command_id, "sam", founding().model_dump(mode="json")) == receipt
        with pytest.raises(TurnedDown) as refused:
            await sender.send("consortium/atlas", str(uuid.uuid4()), "sam", founding().model_dump(mode="json"))
        assert refused.value.refusal.rule == "already_founded"
        await asyncio.sleep(0)
