"""Temporal's state is lost in the middle of the story, and the log brings everything back.

First every running workflow is terminated while commands are in flight; then Temporal's whole database is deleted. The
story ends as it does where nothing happens: the rehearsal's clock stands still while Temporal is away, so nobody is late for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from cli.embedded import Embedded, embedded, recover
from domain.round.state import books_of
from eventstore.clock import PacedClock, StandingClock
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from settings import rehearsed
from simulation.live import LiveStage, bank_of
from simulation.mock_bank import MockBank
from simulation.scenario import FOURTEEN, ROUND, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import everything, problems
from tests.stories import START, charter

pytestmark = pytest.mark.heavy

PACE: Final = 120_000
"""A day in 0.7 seconds: nobody misses a deadline because their workflow was away for a moment."""
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


class Counting(LiveStage):
    """Knows whether a command of the story waits for its answer."""

    asking = 0

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> None:
        """See `Stage.give`."""
        self.asking += 1
        try:
            await super().give(stream, command, by, command_id)
        finally:
            self.asking -= 1

    async def repeated(self) -> None:
        """Waits until the story, on a log whose clock stands still, has said all that it says without time passing."""
        quiet = 0
        while quiet < 10:
            await asyncio.sleep(0.05)
            quiet = 0 if self.asking else quiet + 1


@asynccontextmanager
async def playing(running: Embedded, bank: MockBank) -> AsyncIterator[tuple[asyncio.Task[None], Counting]]:
    """The story from its beginning, as a task, and its stage; given up in the end if it still goes on."""
    stage = Counting(running.sender, running.recorder, bank, running.folder, print)
    tasks = asyncio.create_task(Story(stage, RULES).play()), asyncio.create_task(bank.follow(stage.now))
    try:
        yield tasks[0], stage
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def go_on(running: Embedded) -> int:
    """Lets the log's time run on from its last entry; how many processes were taken up again."""
    running.recorder.clock = PacedClock(datetime.now(UTC), (await running.recorder.replica()).head_time, PACE)
    return await recover(running.recorder, running.sender, anew=True)


async def reached(log: Log, kind: str, times: int, story: asyncio.Task[Any]) -> None:
    """Waits until so many commands of a kind stand on the round's stream. Raises what ended the story before."""
    while len([e for e in await log.read_stream(ROUND, 0) if json.loads(e.command)["kind"] == kind]) < times:
        if story.done():
            story.result()
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
        asyncio.timeout(280), bank_of(folder, RULES) as bank, embedded(rehearsed(folder, bank=bank.url), pace=PACE) as running,
        playing(running, bank) as (story, _),
    ):  # fmt: skip
        for kind, times in (("pledge", 5), ("record_payment", 3)):
            await reached(running.recorder.log, kind, times, story)
            running.recorder.clock = StandingClock()
            assert await terminate_all(running) > 0
            assert await go_on(running) > len(FOURTEEN)
        await story
        assert await end_of(running.recorder) == await undisturbed()
        assert problems(await everything(running.recorder.log)) == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "times"), [("pledge", 5), ("record_payment", 3)])
async def test_the_story_goes_on_when_temporals_database_is_deleted(folder: Path, kind: str, times: int) -> None:
    async with asyncio.timeout(280), bank_of(folder, RULES) as bank:
        async with embedded(rehearsed(folder, bank=bank.url), pace=PACE) as running, playing(running, bank) as (begun, _):
            await reached(running.recorder.log, kind, times, begun)
        forget(folder)
        async with embedded(rehearsed(folder, bank=bank.url)) as running, playing(running, bank) as (story, stage):
            assert running.unfinished > len(FOURTEEN)
            await stage.repeated()
            assert await go_on(running) > len(FOURTEEN)
            await story
            assert await end_of(running.recorder) == await undisturbed()
            assert problems(await everything(running.recorder.log)) == []
