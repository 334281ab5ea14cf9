"""The promises of a log, kept by every adapter: in memory, in a file of SQLite, in PostgreSQL.

| promise | |
| --- | --- |
| order | positions 1, 2, 3 … without gaps, whoever writes; a reader who follows them misses nothing |
| append | all or none; `BEHIND` when something came between, `REPEATED` when a command is on the log; durable when it answers |
| lock | inside `exclusive` nobody else appends; who dies or stops while holding it does not stop the others for long |
| leading | one leads in a role, in whatever process; who dies or stops loses it, and learns so when asking |
| sealed | a seal is durable with its entries or not at all; the newest checkpoint stays, and every hash that is kept |
| final | the database refuses to change or remove an entry; what its owner changes all the same, `verify` finds |
| derived | rows and checkpoint move together, from where they are said to be; readers see one generation of their edition |
| trouble | `LogUnavailable`, nothing half done; the same object goes on when the trouble is over |
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from socket import gaierror
from typing import TypeVar
from uuid import uuid4

import apsw
import asyncpg
import psutil
import pytest
import pytest_asyncio

from eventstore import sealing, sqlite
from eventstore.entries import EMPTY, Broken, Entry, head_of, verify
from eventstore.log import Appended, Log, LogUnavailable, NotWritable, Row, Seal, Sealed
from eventstore.migrations import SchemaMismatch
from eventstore.postgres import PostgresLog, _translated
from eventstore.sealing import frontier_at
from eventstore.sqlite import SqliteLog
from tests.databases import postgres, process_of
from tests.places import MemoryPlace, Place, PostgresPlace, SqlitePlace, chain, process, write
from tests.sealing import flipped, resealed
from transparency.tree import Frontier, Kept

pytestmark = pytest.mark.heavy

BY_THE_SERVER = ("08", "25", "26", "28", "3D", "3F", "40", "53", "55", "57", "58", "72", "F0", "XX")
"""The classes of SQLSTATE that tell of the server, the session or the way there, and not of the statement."""

T = TypeVar("T")

ROLES = Path(__file__).parent.parent / "deploy/postgres-roles.sql"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return MemoryPlace() if request.param == "memory" else _database(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SqlitePlace | PostgresPlace:
    return _database(request, tmp_path)


def _database(request: pytest.FixtureRequest, tmp_path: Path) -> SqlitePlace | PostgresPlace:
    return SqlitePlace(tmp_path / "log.sqlite") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


@pytest_asyncio.fixture
async def log(place: Place) -> AsyncIterator[Log]:
    log = await place.open()
    yield log
    await log.close()


async def everything(log: Log, size: int = 1_000) -> list[Entry]:
    entries: list[Entry] = []
    while page := await log.read(len(entries), size):
        entries += page
    return entries


def _by_the_server() -> list[type[Exception]]:
    """Every error of asyncpg that restarts, crashes, another server behind the name, or a pooler bring about."""
    found, asked = list[type[Exception]](), [asyncpg.PostgresError, asyncpg.InternalClientError]
    while asked:
        kind = asked.pop()
        asked += kind.__subclasses__()
        state = str(getattr(kind, "sqlstate", None))
        if not issubclass(kind, asyncpg.PostgresError) or state.startswith(BY_THE_SERVER):
            found.append(kind)
    return [
        *found,
        asyncpg.InterfaceError,
        asyncpg.UnknownPostgresError,
        asyncpg.DuplicatePreparedStatementError,
        ConnectionResetError,
        gaierror,
    ]


class TestOrder:
    """One order for everybody."""

    async def test_an_empty_log_has_nothing_and_its_head_is_the_genesis(self, log: Log) -> None:
        assert await log.head() == EMPTY
        assert list(await log.read(0)) == []

    async def test_entries_are_read_back_as_they_were_appended(self, log: Log) -> None:
        entries = chain(EMPTY, 3, by="ada") + chain(head_of(chain(EMPTY, 3, by="ada"), EMPTY), 2, by="bo", refused=True)
        assert await log.append(entries) is Appended.DONE
        assert list(await log.read(0)) == entries
        assert all(type(entry) is Entry for entry in await log.read(0))
        assert await log.head() == head_of(entries, EMPTY)

    async def test_text_of_any_script_and_any_bytes_come_back_unchanged(self, log: Log) -> None:
        plain = chain(EMPTY, 1, by="ada")[0]
        entry = plain._replace(actor="Ære-日本-𝄞-עברית", command=bytes(range(256)), signed=b"\x00" * 9, signature=b"")
        await log.append([entry])
        assert list(await log.read(0)) == [entry]

    async def test_reading_starts_after_a_position_and_stops_at_the_limit(self, log: Log) -> None:
        await log.append(chain(EMPTY, 5, by="ada"))
        assert [entry.position for entry in await log.read(2, 2)] == [3, 4]
        assert [entry.position for entry in await log.read(4)] == [5]
        assert list(await log.read(5)) == []

    async def test_a_stream_is_read_alone_in_the_order_of_the_log(self, log: Log) -> None:
        for number in range(6):
            await log.append(chain(await log.head(), 1, by="ada", stream=f"round/{number % 2}"))
        assert [entry.position for entry in await log.read_stream("round/1", 0)] == [2, 4, 6]
        assert [entry.position for entry in await log.read_stream("round/1", 2, 1)] == [4]
        assert list(await log.read_stream("round/none", 0)) == []
        assert [[entry.position for entry in await log.last_of("round/1", most)] for most in (0, 2, 9)] == [[], [4, 6], [2, 4, 6]]
        assert list(await log.last_of("round/none", 9)) == []

    async def test_commands_are_found_by_id_in_the_order_of_the_log(self, log: Log) -> None:
        await log.append(chain(EMPTY, 4, by="ada"))
        assert [entry.position for entry in await log.find(["ada-3", "unknown", "ada-1", "ada-3"])] == [1, 3]
        assert list(await log.find([])) == []

    async def test_several_writers_leave_no_gap_and_a_follower_misses_nothing(self, place: Place, log: Log) -> None:
        async with AsyncExitStack() as stack:
            if isinstance(place, MemoryPlace):
                writing = [asyncio.create_task(write(log, 60, size=3, by=name)) for name in ("ada", "bo", "cy")]
            else:
                assert isinstance(place, SqlitePlace | PostgresPlace)
                others = [await stack.enter_async_context(process("write", place.address, name, 60)) for name in ("ada", "bo")]
                writing = [asyncio.create_task(write(log, 60, size=3, by="cy")), *(asyncio.create_task(_ended(other)) for other in others)]
            followed: list[Entry] = []
            while len(followed) < 3 * 60 * 3:
                assert await log.changed(len(followed), 60)
                page = await log.read(len(followed))
                assert [entry.position for entry in page] == [*range(len(followed) + 1, len(followed) + len(page) + 1)]
                followed += page
            await asyncio.gather(*writing)
        assert verify(followed) == await log.head()
        assert {entry.command_id for entry in followed} == {entry.command_id for entry in await everything(log)}

    async def test_who_waits_for_entries_is_told_of_them_or_of_their_absence(self, place: Place, log: Log) -> None:
        assert not await log.changed(0, 0.05)
        other = await place.open()
        waiting = asyncio.create_task(log.changed(0, 60))
        await asyncio.sleep(0.05)
        await other.append(chain(EMPTY, 1, by="ada"))
        assert await waiting
        assert await log.changed(0, 0)
        await other.close()


class TestAppend:
    """All or none, once, and for good."""

    async def test_appending_nothing_is_done_at_once(self, log: Log) -> None:
        assert await log.append([]) is Appended.DONE

    async def test_entries_that_follow_an_older_head_are_behind_and_none_is_kept(self, log: Log) -> None:
        await log.append(chain(EMPTY, 2, by="ada"))
        assert await log.append(chain(EMPTY, 2, by="bo")) is Appended.BEHIND
        assert len(await everything(log)) == 2

    async def test_entries_that_follow_another_chain_are_behind(self, log: Log) -> None:
        await log.append(chain(EMPTY, 1, by="ada"))
        elsewhere = head_of(chain(EMPTY, 1, by="bo"), EMPTY)
        assert await log.append(chain(elsewhere, 1, by="cy")) is Appended.BEHIND

    async def test_a_command_that_is_on_the_log_is_repeated_and_nothing_of_its_batch_is_kept(self, log: Log) -> None:
        await log.append(chain(EMPTY, 2, by="ada"))
        fresh = chain(await log.head(), 3, by="bo")
        assert await log.append([*fresh[:2], fresh[2]._replace(command_id="ada-1")]) is Appended.REPEATED
        assert len(await everything(log)) == 2
        assert await log.append(fresh) is Appended.DONE

    async def test_a_command_twice_in_one_batch_is_repeated(self, log: Log) -> None:
        first, second = chain(EMPTY, 2, by="ada")
        assert await log.append([first, second._replace(command_id=first.command_id)]) is Appended.REPEATED
        assert list(await log.read(0)) == []

    async def test_what_was_appended_is_there_when_the_log_is_opened_again(self, place: Place) -> None:
        log = await place.open()
        await log.append(chain(EMPTY, 3, by="ada"))
        lists = await log.new_generation("v1")
        await log.project(lists, 0, 3, [Row("members", "helio", b"{}")])
        await log.promote(lists, 3)
        await log.save_snapshot("register", "v1", 3, b"state")
        await log.close()
        again = await place.open()
        assert verify(await everything(again)) == await again.head()
        assert (await again.head()).position == 3
        assert (await again.generation("v1"), await again.checkpoint(lists)) == (lists, 3)
        assert await rows(again, "members") == [Row("members", "helio", b"{}")]
        assert await again.load_snapshots(["register"], "v1") == {"register": (3, b"state")}
        await again.close()


class TestExclusive:
    """One at a time, whatever becomes of them."""

    async def test_nobody_appends_between_what_its_holder_reads_and_what_he_appends(self, place: Place, log: Log) -> None:
        other = await place.open()
        async with log.exclusive():
            head = await log.head()
            overtaking = asyncio.create_task(other.append(chain(head, 1, by="bo")))
            await asyncio.sleep(0.1)
            assert not overtaking.done()
            assert await log.append(chain(head, 2, by="ada")) is Appended.DONE
            assert (await log.head()).position == 2
        assert await overtaking is Appended.BEHIND
        await other.close()

    async def test_another_process_holds_it_against_this_one(self, database: SqlitePlace | PostgresPlace) -> None:
        log = await database.open()
        async with process("hold", database.address, "other") as other:
            await _says(other, "held")
            overtaking = asyncio.create_task(log.append(chain(EMPTY, 1, by="ada")))
            await asyncio.sleep(0.1)
            assert not overtaking.done()
            await _go_on(other)
            await _says(other, "DONE")
            assert await overtaking is Appended.BEHIND
        assert [entry.command_id for entry in await log.read(0)] == ["other-1"]
        await log.close()

    async def test_an_append_inside_is_durable_when_it_answers(self, place: Place, log: Log) -> None:
        other = await place.open()
        async with log.exclusive():
            await log.append(chain(EMPTY, 1, by="ada"))
            assert (await other.head()).position == 1
        await other.close()

    async def test_a_repeated_command_inside_leaves_the_holder_able_to_append(self, log: Log) -> None:
        await log.append(chain(EMPTY, 1, by="ada"))
        async with log.exclusive():
            fresh = chain(await log.head(), 2, by="bo")
            assert await log.append([fresh[0], fresh[1]._replace(command_id="ada-1")]) is Appended.REPEATED
            assert (await log.head()).position == 1
            assert await log.append(fresh) is Appended.DONE
        assert (await log.head()).position == 3

    async def test_a_holder_that_fails_lets_go(self, log: Log) -> None:
        with suppress(ZeroDivisionError):
            async with log.exclusive():
                await log.append(chain(EMPTY, 1, by="ada"))
                raise ZeroDivisionError
        assert await log.append(chain(await log.head(), 1, by="bo")) is Appended.DONE
        async with log.exclusive():
            pass

    async def test_a_holder_that_is_killed_lets_go(self, database: SqlitePlace | PostgresPlace) -> None:
        async with process("hold", database.address, "other") as other:
            await _says(other, "held")
            other.kill()
            log = await database.open()
            assert await log.append(chain(EMPTY, 1, by="ada")) is Appended.DONE
        await log.close()

    async def test_a_holder_that_stops_does_not_stop_the_others_and_its_append_is_none(self, database: SqlitePlace | PostgresPlace) -> None:
        log = await database.open()
        async with process("hold", database.address, "other") as other:
            await _says(other, "held")
            os.kill(other.pid, signal.SIGSTOP)
            assert await log.append(chain(EMPTY, 1, by="ada")) is Appended.DONE
            assert await log.append(chain(await log.head(), 1, by="ada")) is Appended.DONE
            os.kill(other.pid, signal.SIGCONT)
            await _go_on(other)
            if isinstance(database, SqlitePlace):
                await _says(other, "DONE")  # it looked at the head again
            else:
                assert await other.wait() != 0
            assert await other.wait() is not None
        taken = [entry.command_id for entry in await log.read(0)]
        assert taken == ["ada-1", "ada-2", *(["other-3"] if isinstance(database, SqlitePlace) else [])]
        async with asyncio.timeout(60), log.exclusive():
            assert await log.append(chain(await log.head(), 1, by="bo")) is Appended.DONE
        await log.close()

    async def test_what_its_holder_had_read_before_it_was_passed_over_is_behind(self, tmp_path: Path) -> None:
        place = SqlitePlace(tmp_path / "log.db")
        log, late = await place.open(), await place.open()
        async with late.exclusive():
            read = await late.head()
            assert await log.append(chain(EMPTY, 1, by="ada")) is Appended.DONE
            assert await late.append(chain(read, 1, by="late")) is Appended.BEHIND
        await asyncio.gather(*(write(each, 20, size=1, by=name) for name, each in (("bo", log), ("cy", late))))
        assert verify(await everything(log)) == await log.head()
        for each in (log, late):
            await each.close()

    async def test_a_holder_that_stops_inside_a_transaction_loses_it_where_the_server_can_end_it(self, postgres_url: str) -> None:
        log = await PostgresLog.open(postgres_url)
        async with process("inside", postgres_url, "other") as other:
            await _says(other, "held")
            os.kill(other.pid, signal.SIGSTOP)
            assert await log.append(chain(EMPTY, 1, by="ada")) is Appended.DONE
            os.kill(other.pid, signal.SIGCONT)
            await _go_on(other)
            assert await other.wait() != 0
        assert [entry.command_id for entry in await log.read(0)] == ["ada-1"]
        await log.close()

    async def test_who_waits_for_a_holder_that_stopped_inside_a_transaction_is_told_its_number(self, tmp_path: Path) -> None:
        place = SqlitePlace(tmp_path / "log.db")
        log = await place.open()
        async with process("inside", place.address, "other") as other:
            await _says(other, "held")
            os.kill(other.pid, signal.SIGSTOP)
            for _ in range(2):
                with pytest.raises(LogUnavailable, match=rf"busy, held by process {other.pid} \("):
                    await log.append(chain(EMPTY, 1, by="ada"))
            assert await log.head() == EMPTY
            os.kill(other.pid, signal.SIGCONT)
            await _go_on(other)
            await _says(other, "DONE")
        assert await log.append(chain(await log.head(), 1, by="ada")) is Appended.DONE
        await log.close()

    async def test_a_holder_of_which_nothing_is_known_is_another_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = SqlitePlace(tmp_path / "log.db")
        log = await place.open()
        monkeypatch.setattr(sqlite, "_TURN_SECONDS", 0.1)
        monkeypatch.setattr(sqlite, "_writing", lambda _path: 0)
        async with process("locked", place.address, "") as other:
            await _says(other, "held")
            with pytest.raises(LogUnavailable, match="busy, held by another process"):
                await log.append(chain(EMPTY, 1, by="ada"))
        await log.close()

    @pytest.mark.parametrize("usual", [0.0, 1.0], ids=["a quick disk", "a slow disk"])
    async def test_the_event_loop_goes_on_while_another_program_keeps_the_file_locked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: float
    ) -> None:
        monkeypatch.setattr(sqlite, "_TURN_SECONDS", 1.0)
        place = SqlitePlace(tmp_path / "log.db")
        log = await SqliteLog.open(place.path)
        await log.append(chain(EMPTY, 1, by="ada"))
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async with process("locked", place.address, "") as other:
            await _says(other, "held")
            ticking = asyncio.create_task(tick())
            following = chain(await log.head(), 1, by="bo")
            for work in (lambda: log.append(following), lambda: log.begin(following), lambda: log.project(1, 0, 1, [])):
                log._usual, ticks = usual, 0
                with pytest.raises(LogUnavailable, match=f"busy, held by process {other.pid}"):
                    await work()
                assert ticks > 20, "the loop stood still"
            async with log.exclusive():
                log._usual, ticks = usual, 0
                with pytest.raises(LogUnavailable, match=f"busy, held by process {other.pid}"):
                    await log.append(following)
                assert ticks > 20, "the loop stood still"
            assert (await log.head()).position == 1
            ticking.cancel()
            await _go_on(other)
            assert await other.wait() == 0
        assert await log.append(following) is Appended.DONE
        await log.close()

    async def test_the_event_loop_goes_on_while_the_turn_is_not_given_back(self, tmp_path: Path) -> None:
        place = SqlitePlace(tmp_path / "log.db")
        log = await SqliteLog.open(place.path)
        async with process("hold", place.address, "other") as other:
            await _says(other, "held")
            os.kill(other.pid, signal.SIGSTOP)
            appending, ticks = asyncio.create_task(log.append(chain(EMPTY, 1, by="ada"))), 0
            while not appending.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert appending.result() is Appended.DONE
            assert ticks > 20, "the loop stood still"
            os.kill(other.pid, signal.SIGCONT)
        await log.close()


class TestLeading:
    """One in each role, whatever becomes of it."""

    async def test_one_leads_in_a_role_and_the_next_follows_when_it_leaves(self, place: Place, log: Log) -> None:
        other = await place.open()
        led: list[str] = []
        async with log.leading("keeper") as leadership:
            following = asyncio.create_task(_lead(other, "keeper", led))
            await asyncio.sleep(0.5)
            assert await leadership.holds()
            assert led == []
        await following
        assert led == ["keeper"]
        await other.close()

    async def test_whoever_looks_sees_whether_a_role_is_led(self, place: Place, log: Log) -> None:
        other = await place.open()
        assert not await other.led("keeper")
        async with log.leading("keeper"):
            assert await other.led("keeper")
            assert not await other.led("reconciler")
        async with asyncio.timeout(5):
            while await other.led("keeper"):  # a server learns a moment later that a session has ended
                await asyncio.sleep(0.01)
        async with log.leading("keeper") as leadership:
            assert await leadership.holds()
        await other.close()

    async def test_two_roles_are_led_side_by_side_and_appends_wait_for_neither(self, place: Place, log: Log) -> None:
        other = await place.open()
        async with log.leading("keeper") as first, other.leading("reconciler") as second:
            assert await first.holds()
            assert await second.holds()
            assert await other.append(chain(EMPTY, 1, by="ada")) is Appended.DONE
            async with log.exclusive():
                assert (await log.head()).position == 1
        await other.close()

    async def test_who_waits_to_lead_can_be_called_off_and_is_no_obstacle_to_the_next(self, place: Place, log: Log) -> None:
        other = await place.open()
        led: list[str] = []
        async with log.leading("keeper"):
            waiting = asyncio.create_task(_lead(other, "keeper", led))
            await asyncio.sleep(0.1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await _lead(other, "keeper", led)
        assert led == ["keeper"]
        await other.close()

    async def test_a_leader_that_fails_leads_no_longer(self, log: Log) -> None:
        with suppress(ZeroDivisionError):
            async with log.leading("keeper"):
                raise ZeroDivisionError
        async with asyncio.timeout(5), log.leading("keeper") as leadership:
            assert await leadership.holds()

    async def test_another_process_leads_and_when_it_is_killed_this_one_does(self, database: SqlitePlace | PostgresPlace) -> None:
        log = await database.open()
        led: list[str] = []
        async with process("lead", database.address, "keeper") as other:
            await _says(other, "leads")
            following = asyncio.create_task(_lead(log, "keeper", led))
            await asyncio.sleep(0.5)
            assert led == []
            other.kill()
            await following
        assert led == ["keeper"]
        await log.close()

    async def test_a_leader_that_stands_still_is_replaced_and_learns_of_it(self, postgres_url: str) -> None:
        log = await PostgresLog.open(postgres_url)
        async with process("lead", postgres_url, "keeper") as other:
            await _says(other, "leads")
            os.kill(other.pid, signal.SIGSTOP)
            async with asyncio.timeout(60), log.leading("keeper") as leadership:
                os.kill(other.pid, signal.SIGCONT)
                await _go_on(other)
                await _says(other, "leads no longer")
                assert await leadership.holds()
        await log.close()

    async def test_a_leader_that_is_idle_for_long_still_leads(self, postgres_url: str) -> None:
        log = await PostgresLog.open(postgres_url)
        async with log.leading("keeper") as leadership:
            await asyncio.sleep(12)
            assert await leadership.holds()
        await log.close()

    async def test_a_leader_whose_connection_is_lost_leads_no_longer_and_can_lead_again(self, postgres_url: str) -> None:
        log = await PostgresLog.open(postgres_url)
        async with log.leading("keeper") as leadership:
            administrator = await asyncpg.connect(postgres_url)
            await administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'consortium'")
            await administrator.close()
            assert not await leadership.holds()
            async with asyncio.timeout(5), log.leading("keeper") as again:
                assert await again.holds()
                assert not await leadership.holds()
        await log.close()

    async def test_a_leader_whose_file_was_taken_away_leads_no_longer(self, tmp_path: Path) -> None:
        log = await SqliteLog.open(tmp_path / "log.db")
        async with log.leading("keeper") as leadership:
            (tmp_path / "log.db.keeper").unlink()
            assert not await leadership.holds()
            async with log.leading("keeper") as again:
                assert await again.holds()
        await log.close()


async def _lead(log: Log, role: str, led: list[str]) -> None:
    async with log.leading(role):
        led.append(role)


class TestDerived:
    """What can be thrown away and built again."""

    async def test_rows_and_checkpoint_move_together_from_where_they_are_said_to_be(self, log: Log) -> None:
        lists = await log.new_generation("v1")
        assert await log.project(lists, 0, 5, [Row("members", "helio", b'{"v":1}')])
        assert not await log.project(lists, 4, 9, [Row("members", "helio", b'{"v":2}')])
        assert not await log.project(lists, 0, 9, [Row("members", "helio", b'{"v":2}')])
        await log.promote(lists, 5)
        assert await log.checkpoint(lists) == 5
        assert await rows(log, "members") == [Row("members", "helio", b'{"v":1}')]

    async def test_rows_are_replaced_removed_and_read_by_key(self, log: Log) -> None:
        lists = await made(log, "v1")
        await log.project(lists, 0, 1, [Row("members", "b", b"1"), Row("members", "a", b"1"), Row("rounds", "a", b"1")])
        await log.project(lists, 1, 2, [Row("members", "b", b"2"), Row("rounds", "a", b""), Row("rounds", "never", b"")])
        assert await rows(log, "members") == [Row("members", "a", b"1"), Row("members", "b", b"2")]
        assert list((await log.shown("v1", "members", key="b")).rows) == [Row("members", "b", b"2")]
        assert await rows(log, "rounds") == []
        assert await log.shown("v1", "rounds") == ("v1", 2, [])

    async def test_the_last_of_several_rows_by_one_key_stays(self, log: Log) -> None:
        lists = await made(log, "v1")
        written = [Row("m", "a", b"1"), Row("m", "a", b"2"), Row("m", "b", b""), Row("m", "b", b"3"), Row("m", "a", b"4")]
        await log.project(lists, 0, 1, written)
        assert await rows(log, "m") == [Row("m", "a", b"4"), Row("m", "b", b"3")]

    async def test_readers_see_one_generation_until_another_has_caught_up(self, log: Log) -> None:
        assert await log.generation("v1") == 0
        assert await log.shown("v1", "members") == ("", 0, [])
        first = await log.new_generation("v1")
        await log.project(first, 0, 5, [Row("members", "helio", b"old")])
        assert await rows(log, "members") == []
        assert await log.promote(first, 5)
        second = await log.new_generation("v1")
        await log.project(second, 0, 4, [Row("members", "helio", b"new")])
        assert not await log.promote(second, 5)
        assert await rows(log, "members") == [Row("members", "helio", b"old")]
        assert not await log.promote(second, 4), "readers never go back to what they have seen to be over"
        assert await log.project(second, 4, 5, [])
        assert await log.promote(second, 5)
        assert await log.generation("v1") == second
        assert await rows(log, "members") == [Row("members", "helio", b"new")]
        assert await log.checkpoint(first) == 0
        assert not await log.project(first, 5, 6, [])
        assert not await log.promote(first, 5)

    async def test_two_editions_stand_side_by_side_and_each_reader_sees_its_own(self, log: Log) -> None:
        older, newer = await made(log, "v1"), await made(log, "v2")
        await log.project(older, 0, 7, [Row("members", "helio", b"old")])
        await log.project(newer, 0, 5, [Row("members", "helio", b"new")])
        assert await log.shown("v1", "members") == ("v1", 7, [Row("members", "helio", b"old")])
        assert await log.shown("v2", "members") == ("v2", 5, [Row("members", "helio", b"new")])
        assert await log.shown("v3", "members") == ("v1", 7, [Row("members", "helio", b"old")]), "the one that is furthest"

    async def test_of_many_editions_the_one_that_is_furthest_stays_beside_a_new_one(self, log: Log) -> None:
        oldest, older = await made(log, "v1"), await made(log, "v2")
        await log.project(oldest, 0, 5, [Row("members", "helio", b"{}")])
        await log.project(older, 0, 7, [Row("members", "helio", b"{}")])
        begun = await log.new_generation("v4")
        newer = await made(log, "v3")
        assert [await log.generation(edition) for edition in ("v1", "v2", "v3")] == [0, older, newer]
        assert not await log.project(begun, 0, 1, []), "what nobody saw is gone too"
        assert not await log.project(oldest, 5, 6, [])
        assert await log.shown("v1", "members") == ("v2", 7, [Row("members", "helio", b"{}")])

    async def test_the_rows_of_what_is_gone_are_swept_a_few_at_a_time(self, log: Log) -> None:
        gone = await made(log, "v1")
        await log.project(gone, 0, 5, [Row("members", str(number), b"{}") for number in range(5)])
        lists = await log.new_generation("v1")
        await log.project(lists, 0, 5, [Row("members", "helio", b"{}")])
        await log.promote(lists, 5)
        assert [await log.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
        assert await rows(log, "members") == [Row("members", "helio", b"{}")]

    async def test_of_two_projectors_at_one_checkpoint_one_wins(self, place: Place, log: Log) -> None:
        other, lists = await place.open(), await log.new_generation("v1")
        written = [Row("members", str(number), b"{}") for number in range(50)]
        won = await asyncio.gather(*(each.project(lists, 0, 5, written) for each in (log, other)))
        assert sorted(won) == [False, True]
        await other.close()

    async def test_snapshots_are_kept_by_name_and_read_by_version(self, log: Log) -> None:
        await log.save_snapshot("round/1", "v1", 10, b"ten")
        await log.save_snapshot("round/1", "v1", 20, b"twenty")
        await log.save_snapshot("round/2", "v0", 5, b"five")
        assert await log.load_snapshots(["round/1", "round/2", "round/3"], "v1") == {"round/1": (20, b"twenty")}
        assert await log.load_snapshots(["round/2"], "v0") == {"round/2": (5, b"five")}

    async def test_snapshots_of_two_versions_stand_side_by_side_and_of_more_the_latest(self, log: Log) -> None:
        await log.save_snapshot("round/1", "v1", 10, b"old")
        await log.save_snapshot("round/1", "v2", 20, b"newer")
        await log.save_snapshot("round/2", "v1", 1, b"another's")
        for version, position, body in (("v1", 10, b"old"), ("v2", 20, b"newer")):
            assert await log.load_snapshots(["round/1"], version) == {"round/1": (position, body)}
        await log.save_snapshot("round/1", "v3", 5, b"newest")
        found = [await log.load_snapshots(["round/1"], version) for version in ("v1", "v2", "v3")]
        assert found == [{}, {"round/1": (20, b"newer")}, {"round/1": (5, b"newest")}]
        assert await log.load_snapshots(["round/2"], "v1") == {"round/2": (1, b"another's")}


async def made(log: Log, edition: str) -> int:
    """Lists of an edition that readers see, empty."""
    lists = await log.new_generation(edition)
    assert await log.promote(lists, 0)
    return lists


async def rows(log: Log, model: str) -> list[Row]:
    return list((await log.shown("v1", model)).rows)


def seal(before: Frontier, entries: Sequence[Entry]) -> tuple[Frontier, Seal]:
    """What whoever records makes durable with these entries, and the edge after them. The note is none: a log does not look at it."""
    edge, kept = before.extended(entry.hash for entry in entries)
    return edge, Seal(Sealed(edge.size, f"checkpoint of {edge.size}".encode()), kept)


class TestSealed:
    """What the log signs of itself stands beside its head."""

    async def test_a_log_that_signed_nothing_has_no_checkpoint(self, log: Log) -> None:
        await log.append(chain(EMPTY, 2, by="ada"))
        assert await log.sealed() is None
        assert list(await log.hashes(0, 0, 10)) == [entry.hash for entry in await log.read(0)]
        assert list(await log.hashes(1, 0, 10)) == []

    async def test_the_newest_checkpoint_and_every_kept_hash_are_there_when_the_log_is_opened_again(self, place: Place) -> None:
        log = await place.open()
        edge, kept = Frontier(), list[Kept]()
        for size in (200, 300, 100):
            entries = chain(await log.head(), size, by="ada")
            edge, sealed = seal(edge, entries)
            kept += sealed.kept
            assert await log.append(entries, None, sealed) is Appended.DONE
        assert await log.append(chain(await log.head(), 3, by="bo"), None, Seal(None, [])) is Appended.DONE
        await log.close()
        log = await place.open()
        assert await log.sealed() == Sealed(600, b"checkpoint of 600")
        assert [Kept(1, at, each) for at, each in enumerate(await log.hashes(1, 0, 100))] == kept
        assert len(kept) == 2
        assert list(await log.hashes(1, 1, 2)) == [kept[1].hash]
        assert list(await log.hashes(0, 254, 258)) == [entry.hash for entry in await log.read(254, 4)]
        assert await frontier_at(log, 600) == edge
        await log.close()

    async def test_a_seal_is_not_kept_without_its_entries(self, place: Place, log: Log) -> None:
        entries = chain(EMPTY, 256, by="ada")
        edge, first = seal(Frontier(), entries)
        await log.append(entries, None, first)
        _, stale = seal(Frontier(), chain(EMPTY, 256, by="bo"))
        assert await log.append(chain(EMPTY, 256, by="bo"), None, stale) is Appended.BEHIND
        again = [*chain(await log.head(), 255, by="cy"), *chain(EMPTY, 1, by="ada")]
        again[-1] = resealed(again[-1], position=512, previous=again[-2].hash)
        _, repeated = seal(edge, again)
        assert await log.append(again, None, repeated) is Appended.REPEATED
        assert await log.sealed() == first.sealed
        assert list(await log.hashes(1, 0, 9)) == [each.hash for each in first.kept]
        assert (await log.head()).position == 256

    async def test_appends_under_way_are_sealed_too(self, log: Log) -> None:
        entries = chain(EMPTY, 4, by="ada")
        edge, first = seal(Frontier(), entries)
        assert await log.begin(entries, None, first) is Appended.DONE
        more = chain(await log.head(), 300, by="bo")
        async with log.exclusive():
            assert await log.append(more, None, seal(edge, more)[1]) is Appended.DONE
        assert await log.sealed() == Sealed(304, b"checkpoint of 304")

    async def test_kept_hashes_are_read_up_to_the_first_that_is_missing_and_can_be_put_right(self, log: Log) -> None:
        await log.keep_hashes([Kept(1, 0, b"0" * 32), Kept(1, 1, b"1" * 32), Kept(1, 3, b"3" * 32), Kept(2, 0, b"!" * 32)])
        assert list(await log.hashes(1, 0, 4)) == [b"0" * 32, b"1" * 32]
        assert list(await log.hashes(1, 3, 9)) == [b"3" * 32]
        await log.keep_hashes([Kept(1, 1, b"x" * 32), Kept(1, 2, b"2" * 32)])
        assert list(await log.hashes(1, 0, 9)) == [b"0" * 32, b"x" * 32, b"2" * 32, b"3" * 32]

    async def test_what_is_missing_is_computed_and_made_anew_from_the_entries(self, log: Log) -> None:
        entries = chain(EMPTY, 1_100, by="ada")
        edge, sealed = seal(Frontier(), entries)
        await log.append(entries)
        assert await frontier_at(log, 1_100) == edge
        await log.keep_hashes([Kept(1, 2, b"?" * 32)])
        assert await sealing.mend(log) == len(sealed.kept) == 4
        assert [Kept(1, at, each) for at, each in enumerate(await log.hashes(1, 0, 9))] == list(sealed.kept)
        assert await sealing.mend(log) == 0


class TestFinal:
    """What was recorded stays as it was."""

    @pytest.mark.parametrize("column", Entry._fields)
    async def test_one_byte_changed_in_any_column_is_found_at_its_position(self, place: Place, column: str) -> None:
        log = await place.open()
        await log.append(chain(EMPTY, 5, by="ada"))
        await place.tamper(3, column, _one_byte_off(getattr((await log.read(2))[0], column)))
        found = verify(await everything(log))
        assert isinstance(found, Broken)
        assert found.position == 3
        await log.close()

    @pytest.mark.parametrize(
        "statement", ["UPDATE entries SET kind = 'gift'", "DELETE FROM entries", "DELETE FROM entries WHERE position = 2"]
    )
    async def test_the_database_refuses_to_change_or_remove_entries(self, database: SqlitePlace | PostgresPlace, statement: str) -> None:
        log = await database.open()
        entries = chain(EMPTY, 2, by="ada")
        await log.append(entries)
        with pytest.raises((apsw.Error, asyncpg.PostgresError), match="entries are final"):
            await database.sql(statement)
        assert list(await log.read(0)) == entries
        await log.close()

    @pytest.mark.parametrize("column", ["position", "command_id"])
    async def test_an_entry_is_not_replaced_by_another_with_its_position_or_command(self, tmp_path: Path, column: str) -> None:
        place = SqlitePlace(tmp_path / "log.db")
        log = await place.open()
        entries = chain(EMPTY, 2, by="ada")
        await log.append(entries)
        forged = chain(await log.head(), 1, by="eve")[0]._replace(**{column: getattr(entries[0], column)})
        columns, marks = ", ".join(Entry._fields), ", ".join("?" * len(Entry._fields))
        with pytest.raises(apsw.Error, match="entries are final"):
            await place.sql(f"INSERT OR REPLACE INTO entries ({columns}) VALUES ({marks})", *forged)
        assert list(await log.read(0)) == entries
        await log.close()

    async def test_postgresql_refuses_truncation_even_from_a_replication_session(self, postgres_url: str) -> None:
        log = await PostgresLog.open(postgres_url)
        await log.append(chain(EMPTY, 2, by="ada"))
        connection = await asyncpg.connect(postgres_url, server_settings={"session_replication_role": "replica"})
        for statement in ("TRUNCATE entries", "DELETE FROM entries"):
            with pytest.raises(asyncpg.PostgresError, match="entries are final"):
                await connection.execute(statement)
        await connection.close()
        assert (await log.head()).position == 2
        await log.close()

    async def test_every_event_is_a_row_of_a_view(self, database: SqlitePlace | PostgresPlace) -> None:
        log = await database.open()
        await log.append(chain(EMPTY, 1, by="ada"))
        await log.append(chain(await log.head(), 1, by="bo", refused=True))
        rows = await database.sql("SELECT position, number, stream, kind FROM events ORDER BY position, number")
        assert rows == [(1, 1, "round/atlas-1", "pledge_made"), (1, 2, "round/atlas-1", "round_filled")]
        await log.close()

    async def test_a_worker_can_add_and_an_auditor_read_and_neither_can_change(self, postgres_url: str) -> None:
        owner = await PostgresLog.open(postgres_url)
        database = await asyncpg.connect(postgres_url)
        await database.execute(ROLES.read_text())
        await database.execute(ROLES.read_text())
        await database.execute(
            "CREATE ROLE worker_1 LOGIN IN ROLE consortium_worker; CREATE ROLE auditor_1 LOGIN IN ROLE consortium_auditor"
        )
        worker = await PostgresLog.open(postgres_url.replace("postgres:@", "worker_1:@"))
        auditor = await PostgresLog.open(postgres_url.replace("postgres:@", "auditor_1:@"))
        first = chain(EMPTY, 2, by="ada")
        edge, sealed = seal(Frontier(), first)
        assert await worker.append(first, None, sealed) is Appended.DONE
        second = chain(await worker.head(), 254, by="bo")
        assert await worker.append(second, None, seal(edge, second)[1]) is Appended.DONE
        assert await auditor.sealed() == Sealed(256, b"checkpoint of 256")
        assert len(await auditor.hashes(1, 0, 9)) == 1
        lists = await worker.new_generation("v1")
        assert await worker.project(lists, 0, 2, [Row("members", "helio", b"{}")])
        assert await worker.promote(lists, 2)
        assert await worker.sweep(10) == 0
        await worker.save_snapshot("register", "v1", 2, b"state")
        assert verify(await auditor.read(0)) == await owner.head()
        with pytest.raises(NotWritable):
            await auditor.append(chain(await auditor.head(), 1, by="ada"))
        for role in ("worker_1", "auditor_1"):
            connection = await asyncpg.connect(postgres_url.replace("postgres:@", f"{role}:@"))
            for statement in (
                "UPDATE entries SET kind = ''",
                "DELETE FROM entries",
                "TRUNCATE entries",
                "DELETE FROM sealed",
                "DELETE FROM kept_hashes",
                "DROP TRIGGER entries_are_final ON entries",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
            await connection.close()
        for log in (worker, auditor, owner):
            await log.close()
        await database.execute("DROP ROLE worker_1; DROP ROLE auditor_1")
        await database.close()

    async def test_a_schema_that_another_release_made_is_not_touched(self, database: SqlitePlace | PostgresPlace) -> None:
        await (await database.open()).close()
        await database.sql("UPDATE migrations SET digest = 'another'")
        with pytest.raises(SchemaMismatch):
            await database.open()


class TestTrouble:
    """What the world does to a log."""

    async def test_a_full_disk_leaves_nothing_half_done_and_the_log_goes_on_when_there_is_room(self, tmp_path: Path) -> None:
        log = await SqliteLog.open(tmp_path / "log.sqlite")
        await log.append(chain(EMPTY, 10, by="ada"))
        before = await log.head()
        await log._writer.run(lambda database: database.execute("PRAGMA max_page_count = 1"))
        many = chain(before, 1_000, by="bo")
        with pytest.raises(LogUnavailable, match="full"):
            await log.append(many)
        assert await log.head() == before
        assert list(await log.find([entry.command_id for entry in many])) == []
        await log._writer.run(lambda database: database.execute("PRAGMA max_page_count = 1000000"))
        assert await log.append(many) is Appended.DONE
        await log.close()

    async def test_a_lost_connection_is_replaced(self, postgres_url: str) -> None:
        log = await PostgresLog.open(postgres_url)
        await log.append(chain(EMPTY, 1, by="ada"))
        assert await log.changed(0, 1)
        administrator = await asyncpg.connect(postgres_url)
        await administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'consortium'")
        await administrator.close()
        await asyncio.sleep(0.1)
        assert await log.append(chain(await log.head(), 1, by="bo")) is Appended.DONE
        assert await log.changed(1, 1)
        async with log.exclusive():
            assert await log.append(chain(await log.head(), 1, by="bo")) is Appended.DONE
        await log.close()

    async def test_a_server_that_crashes_and_starts_again_has_everything_that_was_answered(self, tmp_path: Path) -> None:
        with postgres(tmp_path / "database") as server:
            log = await PostgresLog.open(server.get_uri())
            await log.append(chain(EMPTY, 3, by="ada"))
            before = await log.head()
            postmaster = process_of(server)
            backends = postmaster.children(recursive=True)
            postmaster.send_signal(signal.SIGQUIT)
            psutil.wait_procs([postmaster, *backends], 30)
            lost = chain(before, 1, by="bo")
            with pytest.raises(LogUnavailable) as raised:
                await log.append(lost)
            assert raised.value.__cause__ is not None
            with pytest.raises(LogUnavailable):
                await log.head()
            with pytest.raises(LogUnavailable):
                async with log.exclusive():
                    pass
            server.ensure_postgres_running()
            assert await log.head() == before
            assert list(await log.find(["bo-4"])) == []
            assert await log.append(lost) is Appended.DONE
            await log.close()

    async def test_planned_restarts_under_load_are_an_absence_and_no_mistake_of_ours(self, tmp_path: Path) -> None:
        with postgres(tmp_path / "database") as server:
            log = await PostgresLog.open(server.get_uri())
            stopped, away, wrong = asyncio.Event(), list[Exception](), list[Exception]()

            async def append() -> None:
                await log.append(chain(await log.head(), 2, by=str(uuid4())))

            async def hold() -> None:
                async with log.exclusive():
                    await log.append(chain(await log.head(), 1, by=str(uuid4())))

            async def call(work: Callable[[], Awaitable[object]]) -> None:
                while not stopped.is_set():
                    try:
                        await work()
                    except LogUnavailable as error:
                        away.append(error)
                        await asyncio.sleep(0.01)
                    except Exception as error:  # noqa: BLE001  they are what the test is about
                        wrong.append(error)
                        await asyncio.sleep(0.01)

            works = [append] * 4 + [hold] + [log.head] * 4 + [lambda: log.read(0, 50)] * 3 + [lambda: log.changed(10**9, 0.2)] * 2
            calling = [asyncio.create_task(call(work)) for work in (*works, lambda: log.find(["ada-1"]), lambda: log.project(1, 0, 1, []))]
            for _ in range(3):
                await asyncio.sleep(0.4)
                postmaster = process_of(server)
                backends = postmaster.children(recursive=True)
                postmaster.send_signal(signal.SIGINT)
                await asyncio.to_thread(psutil.wait_procs, [postmaster, *backends], 30)
                await asyncio.to_thread(server.ensure_postgres_running)
            before = (await _answered(log.head)).position
            await asyncio.sleep(0.4)
            stopped.set()
            await asyncio.gather(*calling)
            assert wrong == []
            assert away, "the restarts were felt"
            assert (await log.head()).position > before, "it goes on by itself"
            assert verify(await everything(log)) == await log.head()
            await log.close()

    async def test_closing_raises_nothing_whatever_became_of_an_announcement(self, tmp_path: Path) -> None:
        with postgres(tmp_path / "database") as server:
            logs = [await PostgresLog.open(server.get_uri()) for _ in range(4)]
            for log in logs:
                await log.head()
                assert await log.append(chain(await log.head(), 1, by="ada" + str(id(log)))) is Appended.DONE
            postmaster = process_of(server)
            backends = postmaster.children(recursive=True)
            postmaster.send_signal(signal.SIGINT)
            for log in logs[:2]:
                await log.close()
            psutil.wait_procs([postmaster, *backends], 30)
            assert logs[3]._announcing is not None
            logs[3]._announcing.cancel()
            for log in logs[2:]:
                await log.close()
            server.ensure_postgres_running()

    @pytest.mark.parametrize("error", _by_the_server(), ids=lambda error: error.__name__)
    def test_whatever_a_server_or_a_pooler_cannot_do_now_is_an_absence(self, error: type[Exception]) -> None:
        with pytest.raises(LogUnavailable, match="PostgreSQL: why"), _translated():
            raise error("why")

    @pytest.mark.parametrize("error", [asyncpg.DataError, asyncpg.PostgresSyntaxError, asyncpg.ClientConfigurationError])
    def test_a_mistake_of_ours_stays_one(self, error: type[Exception]) -> None:
        with pytest.raises(error), _translated():
            raise error("why")

    async def test_a_commit_whose_answer_was_lost_is_found_by_its_command_id(self, postgres_url: str, tmp_path: Path) -> None:
        async with _Wire(postgres_url, tmp_path) as wire:
            log = await PostgresLog.open(wire.url)
            await log.append(chain(EMPTY, 1, by="ada"))
            entries = chain(await log.head(), 2, by="bo")
            wire.lose_answers = True
            with pytest.raises(LogUnavailable):
                await log.append(entries)
            wire.lose_answers = False
            assert list(await log.find([entry.command_id for entry in entries])) == entries
            assert await log.append(entries) is Appended.BEHIND
            await log.close()


class _Wire:
    """A cable to the server that can lose its answers: what is sent still arrives there."""

    def __init__(self, url: str, folder: Path) -> None:
        base, _, options = url.partition("?host=")
        self._server, _, rest = options.partition("&")
        self._folder = folder
        self.url = f"{base}?host={folder}&{rest}"
        self.lose_answers = False

    async def __aenter__(self) -> _Wire:
        self._listening = await asyncio.start_unix_server(self._join, self._folder / ".s.PGSQL.5432")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(f"{self._server}/.s.PGSQL.5432")
        await asyncio.gather(self._questions(reader, server_writer), self._answers(server_reader, writer))

    async def _questions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65_536)) and not self.lose_answers:
            writer.write(data)
            await writer.drain()
        writer.close()


async def _answered(work: Callable[[], Awaitable[T]]) -> T:
    """What a call answers when the database is there again."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await work()
            except LogUnavailable:
                await asyncio.sleep(0.05)


def _one_byte_off(value: int | str | bytes) -> int | str | bytes:
    match value:
        case int():
            return value ^ 1 << 8
        case str():
            return chr(ord(value[0]) ^ 1) + value[1:]
        case bytes():
            return flipped(value, 0)


async def _ended(other: asyncio.subprocess.Process) -> None:
    assert await other.wait() == 0


async def _says(other: asyncio.subprocess.Process, line: str) -> None:
    assert other.stdout is not None
    assert (await other.stdout.readline()).decode().strip() == line


async def _go_on(other: asyncio.subprocess.Process) -> None:
    assert other.stdin is not None
    other.stdin.write(b"\n")
    await other.stdin.drain()
