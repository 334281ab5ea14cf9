"""Read models follow the log, can be rebuilt while the system runs, and always say what a fold of the log says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from domain import process as kernel
from domain.catalog import CATALOG
from domain.process import Stream
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.readmodels import Projector, standings
from eventstore.replica import Replica
from simulation.scenario import DEFAULTER, ROUND, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.places import MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.stories import START, charter


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    return SqlitePlace(tmp_path / "log.db") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


async def play(log: Log) -> None:
    await Story(SimulatedStage(Simulation(START, log)), charter()).play()


async def folded(log: Log) -> dict[str, Any]:
    """Phase and line of every stream, by a fold of the whole log that knows nothing of read models."""
    replica, states = Replica(), dict[str, Stream[Any]]()
    position = 0
    while entries := await log.read(position):
        for entry in entries:
            process = replica.process_of(entry.stream)
            state = states.get(entry.stream) or Stream(process.initial)
            for event in replica.events_of(process, entry):
                state = kernel.evolve(process, state, event)
            states[entry.stream] = state
        position = entries[-1].position
    heads = {stream: CATALOG[stream.partition("/")[0]].describe(state.state) for stream, state in states.items()}
    return {stream: (head.phase, head.line, list(head.waits_for), dict(head.values)) for stream, head in heads.items()}


async def shown(log: Log) -> dict[str, Any]:
    return {row["stream"]: (row["phase"], row["line"], row["waits_for"], row["values"]) for row in await standings(log)}


async def test_the_read_models_say_what_a_fold_of_the_log_says(place: Place) -> None:
    log = await place.open()
    await play(log)
    await Projector(log).catch_up()
    assert await shown(log) == await folded(log)
    await log.close()


async def test_rebuilding_while_the_system_runs_ends_in_the_same_rows(place: Place) -> None:
    log, other = await place.open(), await place.open()
    following = asyncio.create_task(Projector(other).follow())
    playing = asyncio.create_task(play(log))
    while not playing.done():
        await Projector(log).rebuild()
        await asyncio.sleep(0.01)
    await playing
    await Projector(log).rebuild()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert await shown(log) == await folded(log)
    await log.close()
    await other.close()


async def test_several_projectors_share_the_work_and_agree(place: Place) -> None:
    logs = [await place.open() for _ in range(3)]
    await play(logs[0])
    await asyncio.gather(*(Projector(log).catch_up() for log in logs))
    assert await shown(logs[1]) == await folded(logs[0])
    for log in logs:
        await log.close()


async def test_the_views_show_the_same_as_columns(place: Place) -> None:
    if isinstance(place, MemoryPlace):
        pytest.skip("there is no SQL in memory")
    assert isinstance(place, SqlitePlace | PostgresPlace)
    log = await place.open()
    await play(log)
    await Projector(log).catch_up()
    assert [tuple(row) for row in await place.sql("SELECT phase, tier FROM members WHERE member = '" + DEFAULTER + "'")] == [
        ("suspended", "partner")
    ]
    assert await place.sql("SELECT result FROM proposals WHERE proposal = 'model-size'")
    money = (await shown(log))[ROUND][3]
    rows = await place.sql("SELECT committed_minor, held_minor FROM rounds WHERE round = 'atlas-1'")
    assert [(int(committed), int(held)) for committed, held in rows] == [(money["committed_minor"], money["held_minor"])]
    agenda = await place.sql("SELECT count(*) FROM agenda WHERE process = 'member'")
    assert int(agenda[0][0]) == 14
    events = await place.sql("SELECT count(*) FROM events WHERE kind = 'pledge_made'")
    assert int(events[0][0]) == 14
    await log.close()


async def test_a_log_without_entries_has_no_rows() -> None:
    log = MemoryLog()
    await Projector(log).catch_up()
    assert await standings(log) == []
