"""Temporal's state is lost in the middle of the story, and the log brings everything back.

First every running workflow is terminated while commands are in flight; then Temporal's whole database is deleted. The
story ends as it does where nothing happens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from cli.embedded import Embedded, embedded, recover
from domain.funding_state import books_of
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from settings import rehearsed
from simulation.live import bank_of, live
from simulation.mock_bank import MockBank
from simulation.scenario import FOURTEEN, ROUND, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import everything, problems
from tests.stories import START, charter

PACE: Final = 120_000
"""A day in 0.7 seconds: nobody misses a deadline because his workflow was away for a moment."""
RULES: Final = charter(decisions__admission__duration_hours=24 * 28)

End = Mapping[str, tuple[str, int, int]]
"""Each member's standing, and the principal it committed and cleared."""


async def end_of(recorder: Recorder) -> End:
    kept = books_of((await recorder.standing(ROUND)).stream.state)
    assert kept is not None
    members = (await recorder.replica()).register.members
    figures = {each.member: kept.accounts[each.member].figures for each in FOURTEEN}
    return {member: (members[member].standing.value, own.committed, own.cleared) for member, own in figures.items()}


async def undisturbed() -> End:
    """The end of the story on the virtual clock."""
    log = MemoryLog()
    await Story(SimulatedStage(Simulation(START, log)), RULES).play()
    recorder = Recorder(log)
    try:
        return await end_of(recorder)
    finally:
        await recorder.close()


@asynccontextmanager
async def playing(running: Embedded, bank: MockBank) -> AsyncIterator[asyncio.Task[None]]:
    """The story from its beginning, as a task; given up in the end if it still goes on."""
    async with live(running.sender, running.recorder, running.clock, bank, print) as stage:
        story = asyncio.create_task(Story(stage, RULES).play())
        try:
            yield story
        finally:
            story.cancel()
            await asyncio.gather(story, return_exceptions=True)


async def reached(log: Log, kind: str, times: int) -> None:
    """Waits until so many commands of a kind stand on the round's stream."""
    while len([e for e in await log.read_stream(ROUND, 0) if json.loads(e.command)["kind"] == kind]) < times:
        await asyncio.sleep(0.02)


async def terminate_all(running: Embedded) -> int:
    """Terminates every running workflow; how many there were."""
    found = [run async for run in running.client.list_workflows("ExecutionStatus = 'Running'")]
    for run in found:
        await running.client.get_workflow_handle(run.id, run_id=run.run_id).terminate("a test")
    return len(found)


def forget(folder: Path) -> None:
    """Deletes all that Temporal knows."""
    files = list(folder.glob("temporal.db*"))
    assert files
    for path in files:
        path.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sanctions.txt").write_text("Nobody In Particular\n", encoding="utf-8")
    return tmp_path


@pytest.mark.timeout(300)
async def test_the_story_goes_on_when_every_workflow_is_terminated_under_it(folder: Path) -> None:
    async with (
        asyncio.timeout(280), bank_of(folder, RULES) as bank, embedded(rehearsed(folder, bank=bank.url), pace=PACE) as running, playing(running, bank) as story,
    ):  # fmt: skip
        for kind, times in (("pledge", 5), ("record_payment", 3)):
            await reached(running.recorder.log, kind, times)
            assert await terminate_all(running) > 0
            assert await recover(running.recorder, running.sender) > len(FOURTEEN)
        await story
        assert await end_of(running.recorder) == await undisturbed()
        assert problems(await everything(running.recorder.log)) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "times"), [("pledge", 5), pytest.param("record_payment", 3, marks=pytest.mark.long)])
async def test_the_story_goes_on_when_temporals_database_is_deleted(folder: Path, kind: str, times: int) -> None:
    async with asyncio.timeout(280), bank_of(folder, RULES) as bank:
        async with embedded(rehearsed(folder, bank=bank.url), pace=PACE) as running, playing(running, bank):
            await reached(running.recorder.log, kind, times)
        forget(folder)
        async with embedded(rehearsed(folder, bank=bank.url), pace=PACE, go_on=True) as running:
            assert running.unfinished > len(FOURTEEN)
            assert await recover(running.recorder, running.sender) > len(FOURTEEN)
            async with playing(running, bank) as story:
                await story
            assert await end_of(running.recorder) == await undisturbed()
            assert problems(await everything(running.recorder.log)) == []
