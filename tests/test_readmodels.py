"""Read models follow the log, can be rebuilt while the system runs, and always say what a fold of the log says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

import worker
from cli import site
from domain import process as kernel
from domain.catalog import CATALOG
from domain.process import Stream
from eventstore import readmodels
from eventstore.entries import EMPTY, instant
from eventstore.log import Log, Row
from eventstore.memory import MemoryLog
from eventstore.postgres import PostgresLog
from eventstore.readmodels import STANDINGS, Projector, standings
from eventstore.replica import Replica
from simulation.scenario import ATLAS, DEFAULTER, ROUND, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.places import MemoryPlace, Place, PostgresPlace, SqlitePlace, chain
from tests.stories import START, charter

ROLES = Path(__file__).parent.parent / "deploy/postgres-roles.sql"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    return SqlitePlace(tmp_path / "log.db") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


async def play(log: Log) -> None:
    await Story(SimulatedStage(Simulation(START, log)), charter()).play()


async def another_entry(log: Log) -> None:
    """One more entry: a command of somebody who may not give it."""
    later = Simulation(instant((await log.head()).at), log)
    recorded = await later.give(ATLAS, {"kind": "grant_office", "person": "lea", "office": "auditor"}, by=f"{DEFAULTER}-rep")
    assert recorded.refusal is not None


async def folded(log: Log) -> dict[str, Any]:
    """What is shown of every stream, by a fold of the whole log that knows nothing of read models."""
    replica, states, last = Replica(), dict[str, Stream[Any]](), dict[str, int]()
    position = 0
    while entries := await log.read(position):
        for entry in entries:
            process = replica.process_of(entry.stream)
            state = states.get(entry.stream) or Stream(process.initial)
            for event in replica.events_of(process, entry):
                state = kernel.evolve(process, state, event)
            states[entry.stream], last[entry.stream] = state, entry.position
        position = entries[-1].position
    return {stream: row(stream, state, last[stream]) for stream, state in states.items()}


def row(stream: str, state: Stream[Any], position: int) -> dict[str, Any]:
    process = CATALOG[stream.partition("/")[0]]
    agenda, head = kernel.agenda(process, state), kernel.describe(process, state)
    return {
        "stream": stream, "process": process.name, "phase": head.phase, "line": head.line, "details": head.text,
        "waits_for": list(head.waits_for), "values": dict(head.values),
        "due": agenda.deadline and agenda.deadline.at.isoformat(), "deadline": agenda.deadline and agenda.deadline.command.kind,
        "closed": agenda.closed, "attention": bool(state.failed), "failed": dict(state.failed), "version": state.version, "position": position,
    }  # fmt: skip


async def shown(log: Log) -> dict[str, Any]:
    return {row["stream"]: row for row in await standings(log)}


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


async def test_what_an_interrupted_rebuild_left_is_not_shown(place: Place) -> None:
    log = await place.open()
    await play(log)
    await Projector(log).catch_up()
    await log.project(await log.generation() + 1, 0, 5, [Row(STANDINGS, "round/ghost", b'{"stream":"round/ghost","process":"round"}')])
    await Projector(log).rebuild()
    assert await shown(log) == await folded(log)
    await log.close()


async def test_rows_of_other_code_are_made_anew_and_whoever_follows_leaves_them_to_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = await place.open(), await place.open()
    await play(log)
    await Projector(log).catch_up()
    first = await log.generation()
    following = asyncio.create_task(Projector(other).follow())
    await asyncio.sleep(0.1)
    with monkeypatch.context() as newer:
        newer.setattr(readmodels, "_made_by", lambda: b'"newer code"')
        await Projector(log).catch_up()
        second = await log.generation()
        assert second > first
        await Projector(log).catch_up()
        assert await log.generation() == second
    await another_entry(log)
    await asyncio.sleep(0.6)
    assert await log.generation() == second
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await Projector(log).catch_up()
    assert await log.generation() > second
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


async def test_an_entry_that_this_release_cannot_read_is_told_again_and_again_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "AGAIN_SECONDS", 0.01)
    log = MemoryLog()
    await log.append(chain(EMPTY, 1, by="a-newer-release"))
    with capture_logs() as told:
        async with worker.projecting(log):
            await asyncio.sleep(0.2)
    assert len([event for event in told if event["event"] == "projection.failed"]) > 1


async def test_who_may_only_read_sees_the_lists_as_they_were_left(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = await PostgresLog.open(postgres_url)
    database = await asyncpg.connect(postgres_url)
    await database.execute(ROLES.read_text(encoding="utf-8"))
    await database.execute("CREATE ROLE reader_1 LOGIN IN ROLE consortium_auditor")
    await database.close()
    reader = await PostgresLog.open(postgres_url.replace("postgres:@", "reader_1:@"))
    assert await site.rows(reader) == []
    await play(log)
    await Projector(log).catch_up()
    position = (await log.head()).position
    await another_entry(log)
    capsys.readouterr()
    assert {row["stream"]: row for row in await site.rows(reader)} == await shown(log)
    assert f"as of position {position}" in capsys.readouterr().err
    assert await site.row_of(reader, ROUND) == (await shown(log))[ROUND]
    assert DEFAULTER in (await site.register(reader)).members
    for each in (reader, log):
        await each.close()


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
    money = (await shown(log))[ROUND]["values"]
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
