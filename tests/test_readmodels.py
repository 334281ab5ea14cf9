"""Read models follow the log, can be rebuilt while the system runs, and always say what a fold of the log says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cli import site
from domain.catalog import CATALOG
from domain.kernel import derived_id
from domain.process import Process, agenda, describe, evolve
from domain.stream import Stream
from eventstore import readmodels
from eventstore.entries import Entry, instant
from eventstore.keeper import Keeper, role
from eventstore.log import Appended, Log, Row
from eventstore.memory import MemoryLog
from eventstore.postgres import PostgresLog
from eventstore.readmodels import STANDINGS, Projector, Seen, edition, seen, seen_of, unfinished
from eventstore.replica import Replica
from simulation.scenario import ATLAS, DEFAULTER, ROUND, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.places import MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.stories import START, charter

pytestmark = pytest.mark.heavy

ROLES = Path(__file__).parent.parent / "deploy/postgres-roles.sql"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    return SqlitePlace(tmp_path / "log.db") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


_PLAYED: list[Entry] = []
"""The story's entries: decided once, they are put on every log that is only to hold them."""


async def play(log: Log) -> None:
    """The story as it is lived: command by command."""
    await Story(SimulatedStage(Simulation(START, log)), charter()).play()


async def hold(log: Log) -> None:
    """The story as it was told before."""
    if not _PLAYED:
        first = MemoryLog()
        await play(first)
        _PLAYED.extend(await first.read(0, 100_000))
    assert await log.append(_PLAYED) is Appended.DONE


async def another_entry(log: Log) -> None:
    """One more entry: a command of somebody who may not give it."""
    head = await log.head()
    later, command = Simulation(instant(head.at), log), {"kind": "grant_office", "person": "lea", "office": "auditor"}
    recorded = await later.give(ATLAS, command, f"{DEFAULTER}-rep", derived_id("another", str(head.position)))
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
                state = evolve(process, state, event)
            states[entry.stream], last[entry.stream] = state, entry.position
        position = entries[-1].position
    return {stream: row(stream, state, last[stream]) for stream, state in states.items()}


def row(stream: str, state: Stream[Any], position: int) -> dict[str, Any]:
    process = CATALOG[stream.partition("/")[0]]
    owed, head = agenda(process, state), describe(process, state)
    return {
        "stream": stream, "process": process.name, "phase": head.phase, "line": head.line, "details": head.text,
        "waits_for": list(head.waits_for), "values": dict(head.values),
        "due": owed.deadline and owed.deadline.at.isoformat(), "deadline": owed.deadline and owed.deadline.command.kind,
        "closed": owed.closed, "attention": state.attention, "failed": dict(state.failed), "delayed": dict(state.delayed), "version": state.version, "position": position,
    }  # fmt: skip


async def shown(log: Log) -> dict[str, Any]:
    """The rows as they are stored, by stream."""
    return {row.key: json.loads(row.body) for row in (await log.shown(edition(), STANDINGS)).rows}


def by_stream(found: Seen) -> dict[str, Any]:
    return {row["stream"]: row for row in found.rows}


def release(list_version: int) -> dict[str, Process[Any, Any, Any]]:
    """The processes of a release that makes other rows of rounds."""
    return {**CATALOG, "round": replace(CATALOG["round"], list_version=CATALOG["round"].list_version - 1 + list_version)}


async def test_the_read_models_say_what_a_fold_of_the_log_says(place: Place) -> None:
    log = await place.open()
    await hold(log)
    await Projector(log).catch_up()
    assert await shown(log) == await folded(log)
    await log.close()


async def test_rebuilding_while_the_system_runs_ends_in_the_same_rows(place: Place) -> None:
    log, other = await place.open(), await place.open()
    following = asyncio.create_task(keep(other))
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


async def keep(log: Log) -> None:
    """A keeper at work, as its process is."""
    async with log.leading(role()) as leadership:
        await Keeper(log).keep(leadership)


async def test_what_an_interrupted_rebuild_left_is_not_shown(place: Place) -> None:
    log = await place.open()
    await hold(log)
    await Projector(log).catch_up()
    ghost = Row(STANDINGS, "round/ghost", b'{"stream":"round/ghost","process":"round"}')
    await log.project(await log.new_generation(edition()), 0, 5, [ghost])
    await Projector(log).rebuild()
    assert await shown(log) == await folded(log)
    await log.close()


async def test_a_release_that_makes_the_same_rows_goes_on_with_those_that_are_there(place: Place) -> None:
    log = await place.open()
    await hold(log)
    await Projector(log).catch_up()
    first = await log.generation(edition())
    await another_entry(log)
    await Projector(log).catch_up()
    assert await log.generation(edition()) == first
    assert await shown(log) == await folded(log)
    await log.close()


async def test_two_releases_in_use_keep_their_rows_side_by_side_and_neither_makes_them_twice(place: Place) -> None:
    log, other = await place.open(), await place.open()
    await hold(log)
    older, newer = Projector(log), Projector(other, release(2))
    await older.catch_up()
    await newer.catch_up()
    made = [await log.generation(edition()), await log.generation(edition(release(2)))]
    assert 0 < made[0] < made[1]
    for _ in range(3):
        await another_entry(log)
        position = (await log.head()).position
        assert [await older.catch_up(), await newer.catch_up()] == [position, position]
        assert [await log.generation(edition()), await log.generation(edition(release(2)))] == made
    assert await shown(log) == await folded(log)
    await Projector(log).catch_up()
    assert await log.generation(edition()) == made[0]
    await log.close()
    await other.close()


async def test_rows_that_two_newer_releases_put_away_are_not_made_again_by_who_goes_on(place: Place) -> None:
    log = await place.open()
    await hold(log)
    oldest = Projector(log)
    await oldest.catch_up()
    for version in (2, 3):
        await another_entry(log)
        await Projector(log, release(version)).catch_up()
    assert await log.generation(edition()) == 0
    await another_entry(log)
    assert await oldest.catch_up() == (await log.head()).position
    assert await log.generation(edition()) == 0
    assert by_stream(await seen(log)) == await folded(log)
    await log.close()


async def test_several_projectors_share_the_work_and_agree(place: Place) -> None:
    logs = [await place.open() for _ in range(3)]
    await hold(logs[0])
    await asyncio.gather(*(Projector(log).catch_up() for log in logs))
    assert await shown(logs[1]) == await folded(logs[0])
    for log in logs:
        await log.close()


async def test_however_many_find_no_lists_they_are_made_once(place: Place) -> None:
    logs = [await place.open() for _ in range(3)]
    await hold(logs[0])
    await asyncio.gather(*(Projector(log).catch_up() for log in logs))
    assert await logs[0].new_generation("the next") == 2
    for log in logs:
        await log.close()


async def test_who_reads_sees_what_is_recorded_before_any_list_shows_it_and_writes_nothing(place: Place) -> None:
    log = await place.open()
    await hold(log)
    assert by_stream(await seen(log)) == await folded(log)
    assert await log.generation(edition()) == 0
    await Projector(log).catch_up()
    before = await shown(log)
    await another_entry(log)
    head = (await log.head()).position
    for found in (await seen(log), await seen(log, "consortium"), await seen_of(log, ATLAS)):
        assert (found.position, found.head) == (head, head)
        assert by_stream(found)[ATLAS] == (await folded(log))[ATLAS] != before[ATLAS]
    assert (await seen_of(log, ROUND)).rows == [before[ROUND]]
    assert (await seen_of(log, "round/never")).rows == []
    assert await shown(log) == before
    await log.close()


async def test_lists_that_are_too_far_behind_to_be_folded_are_shown_with_their_position(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readmodels, "FOLDED", 1)
    log = await place.open()
    await hold(log)
    await Projector(log).catch_up()
    before, position = await shown(log), (await log.head()).position
    await another_entry(log)
    assert (await seen(log))[1:] == (position + 1, position + 1)
    await another_entry(log)
    found = await seen(log)
    assert (by_stream(found), found.position, found.head) == (before, position, position + 2)
    assert (await seen_of(log, ATLAS)).rows == [before[ATLAS]]
    assert (await seen_of(log, ROUND))[1:] == (position + 2, position + 2), "nothing happened there since"
    capsys.readouterr()
    assert {row["stream"]: row for row in await site.rows(log)} == before
    assert f"as of position {position}, the log is at {position + 2}" in capsys.readouterr().err
    await log.close()


async def test_until_its_own_rows_are_made_a_release_shows_those_of_another(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await place.open()
    await hold(log)
    await Projector(log, release(2)).catch_up()
    monkeypatch.setattr(readmodels, "FOLDED", -1)
    assert by_stream(await seen(log)) == await folded(log)
    await log.close()


async def test_what_is_unfinished_is_known_once_the_lists_have_come_near(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await place.open()
    await hold(log)
    monkeypatch.setattr(readmodels, "FOLDED", 10)
    waiting = asyncio.create_task(unfinished(log))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await Projector(log).catch_up()
    assert sorted(await waiting) == sorted(stream for stream, row in (await folded(log)).items() if not row["closed"])
    await log.close()


async def test_who_may_only_read_sees_the_lists_as_they_are(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    database = await asyncpg.connect(postgres_url)
    await database.execute(ROLES.read_text(encoding="utf-8"))
    await database.execute("CREATE ROLE reader_1 LOGIN IN ROLE consortium_auditor")
    reader = await PostgresLog.open(postgres_url.replace("postgres:@", "reader_1:@"))
    assert await site.rows(reader) == []
    await hold(log)
    await Projector(log).catch_up()
    await another_entry(log)
    assert {row["stream"]: row for row in await site.rows(reader)} == await folded(log)
    assert await site.row_of(reader, ROUND) == (await folded(log))[ROUND]
    assert DEFAULTER in (await site.register(reader)).members
    for each in (reader, log):
        await each.close()
    await database.execute("DROP OWNED BY reader_1; DROP ROLE reader_1")
    await database.close()


async def test_the_views_show_the_same_as_columns(place: Place) -> None:
    if isinstance(place, MemoryPlace):
        pytest.skip("there is no SQL in memory")
    assert isinstance(place, SqlitePlace | PostgresPlace)
    log = await place.open()
    await hold(log)
    await Projector(log).catch_up()
    assert [tuple(row) for row in await place.sql("SELECT phase, tier FROM members WHERE member = '" + DEFAULTER + "'")] == [
        ("active", "partner")
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
    assert await seen(log) == ([], 0, 0)
