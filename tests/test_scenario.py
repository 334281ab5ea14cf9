"""The whole story on the virtual clock: a founding, fourteen members, a vote and a funded round."""

from __future__ import annotations

from audit.reexecute import Reexecution
from domain.funding_state import money_by_state
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from simulation.scenario import DEFAULTER, FOURTEEN, GOAL, LEAVER, ROUND, SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.stories import START, charter


async def played() -> tuple[Simulation, MemoryLog]:
    log = MemoryLog()
    simulation = Simulation(START, log)
    await Story(SimulatedStage(simulation), charter()).play()
    return simulation, log


async def test_the_story_ends_with_a_funded_round_and_every_cent_in_its_place() -> None:
    simulation, _ = await played()
    money = money_by_state(simulation.standing(ROUND).stream.state)
    assert money["pledged"] == money["called"] + money["uncalled"] + money["released"]
    assert simulation.standing(SIZE).headline.phase == "passed"
    assert simulation.standing(f"member/{DEFAULTER}").headline.phase == "suspended"
    assert simulation.standing(f"member/{LEAVER}").headline.phase == "leaving"
    assert money["held"] >= GOAL * 3 // 10 - GOAL // 100
    assert [stream for stream in simulation.streams() if simulation.standing(stream).stream.failed] == []


async def test_the_story_is_the_same_when_it_is_decided_again() -> None:
    _, log = await played()
    entries: list[Entry] = list(await log.read(0, 100_000))
    assert Reexecution().check(entries) is None
    assert len(entries) > 20 * len(FOURTEEN)


async def test_a_story_begun_again_changes_nothing() -> None:
    simulation, log = await played()
    head = await log.head()
    await Story(SimulatedStage(simulation), charter()).found()
    assert await log.head() == head
