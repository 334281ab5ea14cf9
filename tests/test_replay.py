"""Recorded histories replay under the workflows of this release, and one that was changed carelessly is caught.

tests/histories holds runs of every process, recorded by tests/record_histories.py. A history that no longer replays means
that workflows which run now would stop at the next release.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from domain.catalog import CATALOG
from tests.careless import LooksTwice, RecordsFirst
from tests.probe_workflows import ProbeWorkflow
from tests.sandbox import sandbox
from workflows.catalog import WORKFLOWS
from workflows.process import ProcessWorkflow

HISTORIES: Final = sorted((Path(__file__).parent / "histories").glob("*.json"))
LARGEST: Final = 300 * 1024
UNRECORDED: Final[Sequence[str]] = ()
"""Processes that are too new: no history of them was recorded yet."""


def replayer(workflows: Sequence[type[ProcessWorkflow]]) -> Replayer:
    return Replayer(workflows=workflows, data_converter=pydantic_data_converter, workflow_runner=sandbox())


def recorded(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_what_ran_before_runs_on(path: Path) -> None:
    await replayer([*WORKFLOWS, ProbeWorkflow]).replay_workflow(recorded(path))


def test_every_process_has_a_history_unless_none_was_recorded_of_it_yet() -> None:
    names = {path.stem.partition("-")[0] for path in HISTORIES}
    assert names >= {*CATALOG, "probe"} - set(UNRECORDED)
    assert set(UNRECORDED) <= set(CATALOG) - names, "it has a history, or is no process: take its name out"


def test_histories_are_of_modest_size() -> None:
    assert [path.name for path in HISTORIES if path.stat().st_size > LARGEST] == []


def test_a_history_leads_into_a_new_run() -> None:
    (probe,) = (path for path in HISTORIES if path.stem == "probe")
    assert recorded(probe).events[-1].HasField("workflow_execution_continued_as_new_event_attributes")


@pytest.mark.parametrize("changed", [LooksTwice, RecordsFirst])
async def test_a_workflow_that_does_things_in_another_order_is_caught(changed: type[ProcessWorkflow]) -> None:
    (member,) = (path for path in HISTORIES if path.stem.startswith("member-"))
    with pytest.raises(workflow.NondeterminismError):
        await replayer([changed]).replay_workflow(recorded(member))
