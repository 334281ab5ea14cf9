"""The log's time: the recorder's own clock dates entries and brings deadlines, and a wrong one moves nothing.

| what is so | what follows |
| --- | --- |
| the clock is at the head or past it | entries are dated by the clock |
| the head is ahead by at most 30 s | entries are dated like the head |
| by at most an hour | appends wait, with an alert |
| by more | nothing but accepting the time; accepted, entries are dated like the head until the clock has passed it |
| the host's clock is not the database's | this host records nothing, the others go on |
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from structlog.testing import capture_logs

from domain import process
from domain.catalog import CATALOG
from domain.charter import Office
from domain.consortium import commands
from domain.consortium.terms import Officer
from domain.kernel import SERVICE, Command, derived_id
from domain.stream import deadline_id
from eventstore.answers import NotYet, Recorded
from eventstore.clock import Clock, MovedClock, PacedClock, StandingClock, SystemClock
from eventstore.entries import EMPTY, Entry, Submission, encode_json, instant, microseconds
from eventstore.log import Appended, ClockApart, EntryStale, HeadAhead, HeadFarAhead, Log, LogUnavailable, NewerRules
from eventstore.memory import MemoryLog
from eventstore.postgres import PostgresLog
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from tests.places import PostgresPlace, chain
from tests.probe import PROBE
from tests.sealing import resealed, without_salts
from tests.stories import OFFICERS, START, charter

ATLAS: Final = "consortium/atlas"
BELL: Final = "probe/bell"
PROCESSES: Final = {**CATALOG, "probe": PROBE}
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Hands:
    """What a host's clock shows, set by the test."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


class Off:
    """A host's clock that is wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@asynccontextmanager
async def recording(log: Log, clock: Clock) -> AsyncIterator[Recorder]:
    recorder = Recorder(log, PROCESSES, clock)
    yield recorder
    await recorder.close()


def command(command: Command, by: str = "sam", stream: str = ATLAS) -> Submission:
    return Submission(stream, str(uuid.uuid4()), by, encode_json(command.model_dump()))


def founding() -> Submission:
    return command(
        commands.Found(charter=charter(), officers=tuple(Officer(person=who, offices=frozenset(what)) for who, what in OFFICERS.items()))
    )


def grant(number: int) -> Submission:
    return command(commands.GrantOffice(person=f"person-{number}", office=Office.AUDITOR))


def accept(position: int, at: datetime, by: str) -> Submission:
    return command(commands.AcceptTime(position=position, at=at), by)


def given(kind: str, by: str = "sam", **fields: Any) -> Submission:
    return Submission(BELL, str(uuid.uuid4()), by, encode_json({"kind": kind, **fields}))


async def ringing(recorder: Recorder, *, says_when: bool = True) -> Submission:
    """What answers the deadline that stands on the bell."""
    standing = await recorder.standing(BELL)
    deadline = standing.agenda.deadline
    assert deadline is not None
    said = deadline.command.model_dump(mode="json")
    due = deadline.at if says_when else None
    return Submission(BELL, deadline_id(BELL, standing.stream.version, deadline.at, said), SERVICE, encode_json(said), due=due)


async def everything(log: Log) -> Sequence[Entry]:
    return await log.read(0, 10_000)


def dated(recorded: Recorded) -> datetime:
    return instant(recorded.entry.at)


# ------------------------------------------------------------ clocks


def test_a_paced_clock_runs_so_many_times_as_fast_from_its_anchor_and_is_never_early() -> None:
    clock = PacedClock.parse("2026-11-30T00:00:00+00:00,2027-01-01T00:00:00+00:00,7")
    assert PacedClock.parse(str(clock)) == clock
    for micros in range(20):
        log = clock.anchor_log + timedelta(microseconds=micros)
        real = clock.real(log)
        assert clock.anchor_log + (real - clock.anchor_real) * clock.pace >= log
    assert clock.now(START) >= clock.anchor_log + (datetime.now(UTC) - clock.anchor_real - SECOND) * 7


@pytest.mark.parametrize("text", ["now,then,1", "2026-11-30,2026-11-30,1", "2026-11-30T00:00:00+00:00,2026-11-30T00:00:00+00:00,0"])
def test_a_clock_without_a_zone_or_a_pace_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="offset|Invalid"):
        PacedClock.parse(text)


async def test_on_a_clock_that_stands_still_nothing_comes_due_and_entries_have_the_heads_time() -> None:
    log, clock = MemoryLog(), MovedClock(START)
    async with recording(log, clock) as before:
        await before.record(given("begin", ring_seconds=60))
    async with recording(log, StandingClock()) as recorder:
        assert (await ringing(recorder)).due == START + MINUTE
        with pytest.raises(NotYet):
            await recorder.record(await ringing(recorder))
        assert dated(await recorder.record(given("poke"))) == START


# ------------------------------------------------------------ deadlines


@pytest.mark.parametrize("says_when", [True, False], ids=["it says when", "it does not"])
async def test_a_deadline_given_a_day_early_ten_times_and_then_on_time_is_recorded_once_on_time(*, says_when: bool) -> None:
    log, clock = MemoryLog(), MovedClock(START)
    async with recording(log, clock) as recorder:
        await recorder.record(given("begin", ring_seconds=int(DAY.total_seconds())))
        rings = await ringing(recorder, says_when=says_when)
        for _ in range(10):
            with pytest.raises(NotYet) as early:
                await recorder.record(rings)
            assert early.value.at == START + DAY
        assert (await log.head()).position == 1
        clock.to(START + DAY)
        assert (await recorder.record(rings)).kinds == ("rung",)
        assert (await recorder.record(rings)).entry.position == 2
        entries = await everything(log)
        assert [instant(entry.at) for entry in entries] == [START, START + DAY]


async def test_what_another_process_tells_before_the_deadline_that_would_say_the_same_is_decided_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "EITHER", {**process.EITHER, "ring": "the clock, or another process"})
    monkeypatch.setattr(process, "speaker_of", process.speaker_of.__wrapped__)
    log, clock = MemoryLog(), MovedClock(START)
    async with recording(log, clock) as recorder:
        await recorder.record(given("begin", ring_seconds=int(DAY.total_seconds())))
        told = (await ringing(recorder))._replace(command_id=derived_id("proposal/bells", "tell", "ring"), due=None)
        assert (await recorder.record(told)).kinds == ("rung",)


async def test_no_instant_that_is_claimed_makes_a_deadline_come_earlier() -> None:
    log, clock = MemoryLog(), MovedClock(START)
    async with recording(log, clock) as recorder:
        await recorder.record(given("begin", ring_seconds=60))
        with pytest.raises(NotYet):
            await recorder.record((await ringing(recorder))._replace(due=START - DAY))
        assert (await log.head()).position == 1


async def test_a_deadline_that_is_early_keeps_nobody_else_in_its_batch_from_an_answer() -> None:
    log, clock = MemoryLog(), MovedClock(START)
    async with recording(log, clock) as recorder:
        await recorder.record(given("begin", ring_seconds=60))
        rings = await ringing(recorder)
        answers = await asyncio.gather(*(recorder.record(each) for each in (given("poke"), rings, given("poke"))), return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == ["Recorded", "NotYet", "Recorded"]


async def test_no_deadline_is_called_early_by_a_worker_that_has_not_seen_what_another_recorded() -> None:
    log, clock = MemoryLog(), MovedClock(START)
    async with recording(log, clock) as one, recording(log, clock) as other:
        await one.record(given("begin", ring_seconds=3_600))
        for _ in "twice":  # alone, as far as it knows: it need not look before it decides
            await other.standing(BELL)
        await one.record(given("begin", ring_seconds=60))
        rings = await ringing(one)
        clock.to(START + MINUTE)
        assert (await other.record(rings)).kinds == ("rung",)


# ------------------------------------------------------------ a head that is ahead


async def founded(log: Log, at: datetime = START) -> None:
    """The head is dated like this."""
    async with recording(log, SystemClock(Hands(at))) as recorder:
        await recorder.record(founding())


async def test_entries_are_dated_like_a_head_that_is_ahead_by_seconds() -> None:
    log, hands = MemoryLog(), Hands(START - 30 * SECOND)
    await founded(log)
    async with recording(log, SystemClock(hands)) as recorder:
        assert dated(await recorder.record(grant(1))) == START
        hands.at = START + SECOND
        assert dated(await recorder.record(grant(2))) == START + SECOND


async def test_appends_wait_for_a_head_that_is_ahead_by_minutes_and_are_taken_when_the_clock_has_come_near_it() -> None:
    log, hands = MemoryLog(), Hands(START - 10 * MINUTE)
    await founded(log)
    async with recording(log, SystemClock(hands)) as recorder:
        asked = grant(1)
        with capture_logs() as told:
            answers = [await asyncio.gather(recorder.record(asked), return_exceptions=True) for _ in range(3)]
        (waits,) = answers[-1]
        assert type(waits) is HeadAhead
        assert waits.until == START - 30 * SECOND
        assert [each["event"] for each in told if each["event"] == "head.ahead"] == ["head.ahead"]
        assert (await recorder.ahead()) is not None
        with pytest.raises(HeadAhead):
            await recorder.record(accept(1, START, "sam"))
        hands.at = waits.until
        assert dated(await recorder.record(asked)) == START
        assert (await recorder.ahead()) is None


async def test_a_head_that_is_far_ahead_is_named_with_the_remedy_and_nothing_follows_it() -> None:
    log, hands = MemoryLog(), Hands(START - DAY)
    await founded(log)
    async with recording(log, SystemClock(hands)) as recorder:
        with pytest.raises(HeadFarAhead, match=r"entry 1 is dated 2026-11-02.*two officers.*consortium doctor"):
            await recorder.record(grant(1))
        assert (await log.head()).position == 1


async def test_who_repeats_a_command_is_answered_whatever_the_head() -> None:
    log, first = MemoryLog(), founding()
    async with recording(log, SystemClock(Hands(START))) as before:
        recorded = await before.record(first)
    async with recording(log, SystemClock(Hands(START - DAY))) as recorder:
        assert (await recorder.record(first)).entry == recorded.entry


async def test_two_officers_accept_the_time_and_deadlines_come_when_the_clock_reaches_them() -> None:
    log, hands = MemoryLog(), Hands(START - DAY)
    async with recording(log, SystemClock(Hands(START - DAY))) as before:
        await before.record(given("begin", ring_seconds=3_600))
    await founded(log)
    async with recording(log, SystemClock(hands)) as recorder:
        with pytest.raises(HeadFarAhead):
            await recorder.record(given("poke"))
        for officer in ("sam", "tess"):
            accepted = await recorder.record(accept(2, START, officer))
            assert accepted.refusal is None
            assert dated(accepted) == START
        assert (await recorder.ahead()) is None
        assert dated(await recorder.record(grant(1))) == START
        rings = await ringing(recorder)
        with pytest.raises(NotYet):  # though the head is past it
            await recorder.record(rings)
        hands.at = START - DAY + HOUR
        assert dated(await recorder.record(rings)) == START
        hands.at = START + SECOND
        assert dated(await recorder.record(grant(2))) == START + SECOND


async def test_a_time_that_was_accepted_is_accepted_for_every_worker() -> None:
    log, hands = MemoryLog(), Hands(START - DAY)
    await founded(log)
    async with recording(log, SystemClock(hands)) as one, recording(log, SystemClock(hands)) as other:
        with pytest.raises(HeadFarAhead):
            await other.record(grant(1))
        for officer in ("sam", "tess"):
            await one.record(accept(1, START, officer))
        answers = await asyncio.gather(*(other.record(grant(number)) for number in range(40)))
        assert {dated(answer) for answer in answers} == {START}


async def test_many_callers_are_all_told_of_a_head_that_is_ahead_and_officers_are_heard_all_the_same() -> None:
    log, hands = MemoryLog(), Hands(START - DAY)
    await founded(log)
    async with recording(log, SystemClock(hands)) as recorder:
        asked = [*map(grant, range(50)), accept(1, START, "sam"), *map(grant, range(50, 100))]
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*map(recorder.record, asked), return_exceptions=True)
        assert [type(answer) for answer in answers] == [HeadFarAhead] * 50 + [Recorded] + [HeadFarAhead] * 50


async def test_a_rehearsals_head_is_never_waited_for() -> None:
    log = MemoryLog()
    await founded(log)
    async with recording(log, MovedClock(START - 30 * DAY)) as recorder:
        assert dated(await recorder.record(grant(1))) == START


# ------------------------------------------------------------ a database's clock


async def now_on(log: Log) -> datetime:
    at = await log.time()
    assert at is not None
    return instant(at)


async def test_only_a_log_that_several_hosts_write_has_a_clock_of_its_own(tmp_path: Path, postgres_url: str) -> None:
    file, database = await SqliteLog.open(tmp_path / "log.db"), await PostgresLog.open(postgres_url)
    alone: tuple[Log, ...] = (file, MemoryLog())
    assert [await log.time() for log in alone] == [None, None]
    assert abs(await now_on(database) - datetime.now(UTC)) < 10 * SECOND
    await file.close()
    await database.close()


@pytest.mark.parametrize("by", [10 * MINUTE, -10 * MINUTE])
async def test_a_host_whose_clock_is_wrong_is_refused_until_it_is_right_and_the_others_go_on(postgres_url: str, by: timedelta) -> None:
    clocks = Off(timedelta()), Off(timedelta())
    logs = [await PostgresLog.open(postgres_url) for _ in clocks]
    async with recording(logs[0], SystemClock(clocks[0])) as right, recording(logs[1], SystemClock(clocks[1])) as wrong:
        await right.record(founding())
        await wrong.record(grant(1))
        clocks[1].by = by
        with capture_logs() as told:
            for number in (2, 3):
                with pytest.raises(ClockApart, match="clock.* (599|600|601) s (ahead of|behind) the database"):
                    await wrong.record(grant(number))
        assert [each["reason"] for each in told if each["event"] == "recorder.unfit"] == ["clock_apart"]
        assert (await right.record(grant(4))).refusal is None
        assert (await wrong.standing(ATLAS)).stream == (await right.standing(ATLAS)).stream, "it still reads"
        with pytest.raises(ClockApart):
            await wrong.record(grant(5))
        clocks[1].by = timedelta(seconds=5)
        assert (await wrong.record(grant(5))).refusal is None
        assert wrong.unfit is None
    entries = await everything(logs[0])
    assert [entry.position for entry in entries] == [1, 2, 3, 4]
    now = await now_on(logs[0])
    assert all(abs(instant(entry.at) - now) < MINUTE for entry in entries)
    for log in logs:
        await log.close()


async def test_a_wrong_clock_is_noticed_without_a_command(postgres_url: str) -> None:
    log, off = await PostgresLog.open(postgres_url), Off(HOUR)
    async with recording(log, SystemClock(off)) as recorder:
        assert isinstance(await recorder.examine(), ClockApart)
        off.by = timedelta()
        assert await recorder.examine() is None
    await log.close()


def at(entries: Sequence[Entry], when: datetime, rules: str = "4") -> list[Entry]:
    """The same entries at this time."""
    made: list[Entry] = []
    for entry in entries:
        made.append(resealed(entry, at=microseconds(when), rules=rules, previous=made[-1].hash if made else entry.previous))
    return made


def host() -> int:
    return microseconds(datetime.now(UTC))


async def test_an_entry_is_not_dated_otherwise_than_now_or_like_the_head(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    now = datetime.now(UTC)
    for wrong in (now + 5 * MINUTE, now - 5 * MINUTE):
        with pytest.raises(EntryStale):
            await log.append(at(chain(EMPTY, 2, by="ada"), wrong), host)
    assert await log.append(at(chain(EMPTY, 2, by="ada"), now), host) is Appended.DONE
    with pytest.raises(EntryStale):
        await log.append(at(chain(await log.head(), 1, by="bo"), now + 5 * MINUTE), host)
    assert await log.append(at(chain(await log.head(), 1, by="bo"), now), host) is Appended.DONE
    await log.close()


async def test_a_refusal_inside_the_lock_leaves_it_with_its_holder(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    now = datetime.now(UTC)
    async with log.exclusive():
        with pytest.raises(EntryStale):
            await log.append(at(chain(EMPTY, 1, by="ada"), now + DAY), host)
        assert await log.append(at(chain(EMPTY, 1, by="ada"), now), host) is Appended.DONE
    await log.close()


async def test_older_rules_never_follow_newer_ones(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    now = datetime.now(UTC)
    for rules in ("9", "10"):
        assert await log.append(at(chain(await log.head(), 1, by="ada"), now, rules), host) is Appended.DONE
    fresh = chain(await log.head(), 2, by="bo")
    with pytest.raises(NewerRules, match="rules 10 decided the last entry, and rules 9 this one"):
        await log.append(at(fresh, now, "9"), host)
    assert await log.append(at(fresh, now, "10"), host) is Appended.DONE
    await log.close()


async def test_a_log_is_a_rehearsal_from_its_first_entry_on_or_never(postgres_url: str) -> None:
    place = PostgresPlace(postgres_url)
    log = await place.open()
    assert await log.append(at(chain(EMPTY, 1, by="ada"), datetime.now(UTC)), host) is Appended.DONE
    with pytest.raises(ClockApart, match="the log is a real one"):
        await log.append(at(chain(await log.head(), 1, by="ada"), START + 365 * DAY))
    with pytest.raises(asyncpg.RestrictViolationError, match="decided with its first entry"):
        await place.sql("INSERT INTO rehearsal VALUES (now())")
    await log.close()


async def test_a_rehearsal_runs_at_any_time_and_by_workers_of_the_release_before_too(postgres_url: str) -> None:
    place = PostgresPlace(postgres_url)
    log = await place.open()
    assert await log.append(at(chain(EMPTY, 1, by="ada"), START + 365 * DAY)) is Appended.DONE
    await before(log, at(chain(await log.head(), 1, by="ada"), START + 700 * DAY))
    assert await log.append(at(chain(await log.head(), 1, by="ada"), START + 900 * DAY)) is Appended.DONE
    with pytest.raises(asyncpg.RestrictViolationError, match="decided with its first entry"):
        await place.sql("DELETE FROM rehearsal")
    await log.close()


async def before(log: Log, entries: Sequence[Entry]) -> None:
    """Appends as a worker of the release before does."""
    assert isinstance(log, PostgresLog)
    async with log._connection() as connection:
        assert await connection.fetchval("SELECT append_entries($1)", list(map(without_salts, entries)))


async def test_a_worker_of_the_release_before_appends_to_a_real_log_what_is_dated_now(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    await before(log, at(chain(EMPTY, 1, by="ada"), datetime.now(UTC)))
    with pytest.raises(LogUnavailable, match="more than 30 s from now"):
        await before(log, at(chain(await log.head(), 1, by="ada"), datetime.now(UTC) + HOUR))
    assert (await log.head()).position == 1
    await log.close()


async def test_a_rehearsals_clock_on_a_real_log_makes_its_worker_unfit(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    async with recording(log, SystemClock()) as real:
        await real.record(founding())
    async with recording(log, PacedClock(START, START, 1_000)) as rehearsing:
        with pytest.raises(ClockApart, match="the log is a real one"):
            await rehearsing.record(grant(1))
        assert isinstance(rehearsing.unfit, ClockApart)
    await log.close()
