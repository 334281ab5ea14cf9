"""The log in one SQLite file: the embedded default. WAL, synchronous FULL, one writer thread a process.

Uses the SQLite that comes with apsw: releases up to 3.51.2 have a race in resetting the WAL.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final, TypeVar

import apsw

from eventstore.entries import EMPTY, Entry, Head
from eventstore.log import (
    OLDER_RULES,
    Appended,
    HostClock,
    Leadership,
    Lists,
    LogUnavailable,
    NewerRules,
    NotWritable,
    Row,
    Seal,
    Sealed,
    without_gap,
)
from eventstore.migrations import migrations, pending, require_applied
from eventstore.sqlite_file import NOT_ALLOWED, File, Looked, Written, owner, unreadable, user
from transparency.tree import Kept

T = TypeVar("T")

_COLUMNS: Final = ", ".join(Entry._fields)
_ROW: Final = f"({', '.join('?' * len(Entry._fields))})"
_ROWS: Final = 256
"""How many entries one statement inserts: SQLite bounds its variables."""
_TAIL: Final = "SELECT position, at, hash, rules FROM entries ORDER BY position DESC LIMIT 1"
_ENTRY_HASHES: Final = "SELECT position, hash FROM entries WHERE position > ? AND position <= ? ORDER BY position"
_KEPT_HASHES: Final = "SELECT number + 1, hash FROM kept_hashes WHERE number >= ? AND number < ? AND level = ? ORDER BY number"
_OUTDATED: Final = (
    "DELETE FROM lists WHERE generation <> ? AND (edition = ? OR NOT live OR generation NOT IN"
    " (SELECT generation FROM lists WHERE live AND edition <> ? ORDER BY checkpoint DESC, generation DESC LIMIT 1))"
)
_SWEEP: Final = (
    "DELETE FROM list_rows WHERE (generation, model, key) IN"
    " (SELECT generation, model, key FROM list_rows WHERE generation NOT IN (SELECT generation FROM lists) LIMIT ?)"
)
_SHOWN: Final = (
    "WITH shown AS (SELECT * FROM lists WHERE live ORDER BY edition = ? DESC, checkpoint DESC, generation DESC LIMIT 1)"
    " SELECT s.edition, s.checkpoint, r.key, r.body FROM shown s LEFT JOIN list_rows r"
    " ON r.generation = s.generation AND r.model = ? AND (? IS NULL OR r.key = ?) ORDER BY r.key"
)
"""One statement, so that generation and rows are as of one moment."""
_OUTDATED_SNAPSHOTS: Final = (
    "DELETE FROM kept WHERE name = ? AND version NOT IN"
    " (SELECT version FROM kept WHERE name = ? ORDER BY version = ? DESC, position DESC LIMIT 2)"
)
_POLL_SECONDS: Final = 0.02
_LEAD_POLL_SECONDS: Final = 0.25
"""How often who waits to lead looks whether nobody does: a thread that waited in `flock` could not be called off."""
_AT_ONCE_SECONDS: Final = 0.002
"""Commits that usually take less are done in the event loop: the way to a thread and back takes as long. A slow disk gets the thread."""
_SPARED_SECONDS: Final = 0.01
"""How long the event loop waits on the spot for an append that is usually quick; one that is not is waited for like any other."""
_TURN_SECONDS: Final = 5.0
"""How long an append waits for its turn and for SQLite's lock; a batch takes milliseconds."""
_LEAST_SECONDS: Final = 0.2
"""How long SQLite's lock is waited for by who has waited for the turn in vain."""
_SHM_WRITE_LOCK: Final = 120
"""The byte of the file `-shm` that a writer locks (https://sqlite.org/walformat.html#wal_locks)."""
_MEMORY: Final = 0.9
"""How much of what commits usually take is remembered at each."""


class SqliteLog:
    """A log in a file. Several processes may use it; a lock file makes them take turns fairly."""

    def __init__(self, path: Path, *, looking: bool = False) -> None:
        """For the file at this path. Who is only looking can do nothing that writes: that raises `NotWritable`."""
        connection = Looked if looking else Written
        self._path = path
        self._writer = _Worker(path, "log-writer", connection(path))
        self._reader = _Worker(path, "log-reader", connection(path))
        self._exclusive = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None
        self._its_turn = None if looking else _Turn(_turn_of(path))
        self._usual = math.inf

    @classmethod
    async def open(cls, path: Path) -> SqliteLog:
        """The log in this file; made, or migrated to this release, when needed. Raises `LogUnavailable`, `SchemaMismatch`."""
        return await _begun(cls(path), _migrate)

    @classmethod
    async def look(cls, path: Path) -> SqliteLog:
        """The log in this file, for reading: nothing is written, nothing is made beside it. Raises `LogUnavailable`, `SchemaMismatch`."""
        return await _begun(cls(path, looking=True), _require_migrated)

    async def head(self) -> Head:
        """See `Log.head`."""
        return await self._read(_head)

    async def read(self, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """See `Log.read`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE position > ? ORDER BY position LIMIT ?"
        return await self._entries(sql, (after, limit))

    async def read_stream(self, stream: str, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE stream = ? AND position > ? ORDER BY position LIMIT ?"
        return await self._entries(sql, (stream, after, limit))

    async def last_of(self, stream: str, limit: int) -> Sequence[Entry]:
        """See `Log.last_of`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE stream = ? ORDER BY position DESC LIMIT ?"
        return (await self._entries(sql, (stream, limit)))[::-1]

    async def find(self, command_ids: Sequence[str]) -> Sequence[Entry]:
        """See `Log.find`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE command_id IN (SELECT value FROM json_each(?)) ORDER BY position"
        return await self._entries(sql, (json.dumps(list(command_ids)),))

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        """See `Log.append`."""
        if not entries:
            return Appended.DONE
        insert = self._timed(_insertion(entries, seal))
        if self._usual < _AT_ONCE_SECONDS and self._writer.idle:
            done: Appended | None = None
            if self._holder is not None and self._holder is asyncio.current_task():
                done = self._writer.run_here(_at_once(insert))
            elif self._take_turn_at_once():
                try:
                    done = self._writer.run_here(_at_once(insert))
                finally:
                    self._turn.end()
            if done is not None:
                return done
        return await self._in_turn(insert)

    def begin(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Awaitable[Appended]:
        """See `Log.begin`."""
        if not entries or not self._take_turn_at_once():
            return asyncio.create_task(self.append(entries, host_clock, seal))
        insert = _patient(self._timed(_insertion(entries, seal)), _TURN_SECONDS)

        def in_turn(db: apsw.Connection) -> Appended:
            try:
                return insert(db)
            finally:
                self._turn.end()

        return _UnderWay(self._writer.start(in_turn), quick=self._usual < _AT_ONCE_SECONDS)

    async def sealed(self) -> Sealed | None:
        """See `Log.sealed`."""
        row = await self._read(lambda db: db.execute("SELECT size, checkpoint FROM sealed").fetchone())
        return Sealed._make(row) if row else None

    async def hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """See `Log.hashes`."""
        sql, bindings = (_KEPT_HASHES, (begin, end, level)) if level else (_ENTRY_HASHES, (begin, end))
        return without_gap(begin, await self._read(lambda db: list(db.execute(sql, bindings))))

    async def keep_hashes(self, kept: Sequence[Kept]) -> None:
        """See `Log.keep_hashes`."""
        await self._write(lambda db: _keep(db, kept))

    async def time(self) -> None:
        """See `Log.time`: a file is written by the processes of one host, which have its clock."""

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """See `Log.exclusive`. Holds the turn and no transaction: each append inside is durable when it answers.

        Another process that has waited long for the turn goes on without it: then an append inside is `BEHIND`.
        """
        async with self._exclusive:
            try:
                await self._writer.run(lambda _: self._turn.take(_TURN_SECONDS))
                self._holder = asyncio.current_task()
                yield
            finally:
                self._holder = None
                await self._writer.run(lambda _: self._turn.end())

    @asynccontextmanager
    async def leading(self, role: str) -> AsyncIterator[Leadership]:
        """See `Log.leading`. A lock on a file beside the log, which the system lets go when the process ends."""
        self._require_writing()
        lead = await _lead(_lead_of(self._path, role))
        try:
            yield lead
        finally:
            lead.leave()

    async def led(self, role: str) -> bool:
        """See `Log.led`. Raises `NotReadable`."""
        return _led(_lead_of(self._path, role))

    async def changed(self, after: int, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Log.changed`."""
        end = asyncio.get_running_loop().time() + timeout
        while (await self.head()).position <= after:
            if asyncio.get_running_loop().time() >= end:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def generation(self, edition: str) -> int:
        """See `Log.generation`."""
        return int(await self._value("SELECT generation FROM lists WHERE live AND edition = ?", (edition,)))

    async def new_generation(self, edition: str) -> int:
        """See `Log.new_generation`."""

        def work(db: apsw.Connection) -> int:
            db.execute("INSERT INTO lists (edition) VALUES (?)", (edition,))
            return db.last_insert_rowid()

        return await self._write(work)

    async def checkpoint(self, generation: int) -> int:
        """See `Log.checkpoint`."""
        return int(await self._value("SELECT checkpoint FROM lists WHERE generation = ?", (generation,)))

    async def project(self, generation: int, after: int, upto: int, rows: Sequence[Row]) -> bool:
        """See `Log.project`."""
        last = {(row.model, row.key): row for row in rows}.values()
        written = [(generation, *row) for row in last if row.body]
        gone = [(generation, row.model, row.key) for row in last if not row.body]

        def work(db: apsw.Connection) -> bool:
            db.execute("UPDATE lists SET checkpoint = ? WHERE generation = ? AND checkpoint = ?", (upto, generation, after))
            if not db.changes():
                return False
            db.executemany("INSERT OR REPLACE INTO list_rows (generation, model, key, body) VALUES (?, ?, ?, ?)", written)
            db.executemany("DELETE FROM list_rows WHERE generation = ? AND model = ? AND key = ?", gone)
            return True

        return await self._write(work)

    async def promote(self, generation: int, at: int) -> bool:
        """See `Log.promote`."""

        def work(db: apsw.Connection) -> bool:
            mine = db.execute("SELECT edition, checkpoint FROM lists WHERE generation = ?", (generation,)).fetchone()
            if mine is None:
                return False
            edition, checkpoint = mine
            if checkpoint < max(at, db.execute("SELECT checkpoint FROM lists WHERE live AND edition = ?", (edition,)).get or 0):
                return False
            db.execute(_OUTDATED, (generation, edition, edition))
            db.execute("UPDATE lists SET live = 1 WHERE generation = ?", (generation,))
            return True

        return await self._write(work)

    async def sweep(self, most: int) -> int:
        """See `Log.sweep`."""
        return await self._write(lambda db: (db.execute(_SWEEP, (most,)), db.changes())[1])

    async def shown(self, edition: str, model: str, *, key: str | None = None) -> Lists:
        """See `Log.shown`."""
        found = await self._read(lambda db: list(db.execute(_SHOWN, (edition, model, key, key))))
        rows = [Row(model, name, body) for _, _, name, body in found if name is not None]
        return Lists(found[0][0], found[0][1], rows) if found else Lists("", 0, [])

    async def load_snapshots(self, names: Sequence[str], version: str) -> Mapping[str, tuple[int, bytes]]:
        """See `Log.load_snapshots`."""
        sql = "SELECT position, body FROM kept WHERE name = ? AND version = ?"

        def work(db: apsw.Connection) -> Mapping[str, tuple[int, bytes]]:
            return {name: row for name in names for row in db.execute(sql, (name, version))}

        return await self._read(work)

    async def save_snapshot(self, name: str, version: str, position: int, body: bytes) -> None:
        """See `Log.save_snapshot`."""

        def work(db: apsw.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO kept (name, version, position, body) VALUES (?, ?, ?, ?)", (name, version, position, body))
            db.execute(_OUTDATED_SNAPSHOTS, (name, name, version))

        await self._write(work)

    async def close(self) -> None:
        """See `Log.close`."""
        await self._reader.close()
        await self._writer.close()
        if self._its_turn is not None:
            self._its_turn.close()

    # ------------------------------------------------------------ inside

    @property
    def _turn(self) -> _Turn:
        return self._require_writing()

    def _require_writing(self) -> _Turn:
        if self._its_turn is None:
            raise NotWritable(f"{self._path}: it was opened for reading")
        return self._its_turn

    async def begin_with(self, work: Callable[[apsw.Connection], None]) -> None:
        """What opening it takes, done by who writes."""
        await self._writer.run(work)

    async def _entries(self, sql: str, bindings: tuple[Any, ...]) -> Sequence[Entry]:
        return await self._read(lambda db: [Entry._make(row) for row in db.execute(sql, bindings)])

    async def _value(self, sql: str, bindings: tuple[Any, ...]) -> Any:
        return await self._read(lambda db: db.execute(sql, bindings).get or 0)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._reader.run(work)

    async def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Does work in one transaction, in turn with other tasks and processes."""
        return await self._in_turn(lambda db: _transaction(db, work))

    async def _in_turn(self, work: Callable[[apsw.Connection], T]) -> T:
        if self._holder is asyncio.current_task():
            return await self._writer.run(_patient(work, _TURN_SECONDS))

        def in_turn(db: apsw.Connection) -> T:
            until = time.monotonic() + _TURN_SECONDS
            try:
                in_vain = not self._turn.take(_TURN_SECONDS) and time.monotonic() >= until
                return _patient(work, _LEAST_SECONDS if in_vain else _TURN_SECONDS)(db)
            finally:
                self._turn.end()

        async with self._exclusive:
            return await self._writer.run(in_turn)

    def _timed(self, work: Callable[[apsw.Connection], T]) -> Callable[[apsw.Connection], T]:
        """The same work; how long it took is remembered."""

        def timed(db: apsw.Connection) -> T:
            began = time.perf_counter()
            result = work(db)
            taken = time.perf_counter() - began
            self._usual = taken if self._usual == math.inf else _MEMORY * self._usual + (1 - _MEMORY) * taken
            return result

        return timed

    def _take_turn_at_once(self) -> bool:
        """Takes the turn if nobody has it, in this process or another."""
        return not self._exclusive.locked() and self._writer.idle and self._turn.take_at_once()


async def _begun(log: SqliteLog, work: Callable[[apsw.Connection], None]) -> SqliteLog:
    try:
        await log.begin_with(work)
    except BaseException:
        await log.close()
        raise
    return log


class _Turn:
    """Whose turn it is to write, among processes: SQLite alone lets a busy writer starve the others (its waiters poll); here they queue.

    The turn is a courtesy. A process that has it and stops is passed over: SQLite's own lock, and the hash that each append follows, keep
    the log whole without it. Until that process lets go nobody here waits for it again.
    """

    def __init__(self, path: Path) -> None:
        """Raises `NotWritable`."""
        self._file = _locked_file(path)
        self._lock = Lock()
        self._queueing = False
        self._come = Event()
        self._passed_over = False
        self._closed = False

    def take_at_once(self) -> bool:
        """Takes the turn if nobody has it. Does not wait."""
        if self._passed_over:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._sign()
        return True

    def take(self, seconds: float) -> bool:
        """Waits for the turn at most so long, in the order in which it was asked for; whether it came."""
        if self.take_at_once():
            return True
        with self._lock:
            if self._passed_over:
                return False
            self._come.clear()
            self._queueing = True
            # A thread of its own: nothing takes a process out of this queue but its turn.
            Thread(target=self._queue, name="log-turn", daemon=True).start()
        self._come.wait(seconds)
        with self._lock:
            self._passed_over = self._queueing
        if not self._passed_over:
            self._sign()
        return not self._passed_over

    def end(self) -> None:
        """Lets the turn go, if it came."""
        if not self._passed_over:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Lets the file go, at the latest when the turn comes that is still waited for."""
        with self._lock:
            self._closed = True
            if not self._queueing:
                os.close(self._file)

    def _queue(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with self._lock:
            self._queueing = False
            if self._closed:
                os.close(self._file)
            elif self._passed_over:
                fcntl.flock(self._file, fcntl.LOCK_UN)
                self._passed_over = False
            self._come.set()

    def _sign(self) -> None:
        """Leaves our number in the file, for whoever wonders whom to wait for."""
        with suppress(OSError):
            os.pwrite(self._file, f"{os.getpid():<20}".encode(), 0)


class _Leadership:
    """A lock on a file."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self.file = file

    async def holds(self) -> bool:
        """See `Leadership.holds`."""
        return self.ours()

    def ours(self) -> bool:
        """Whether the file that is locked is the one that others would lock."""
        try:
            return os.path.samestat(os.fstat(self.file), self._path.stat())
        except OSError:
            return False

    def leave(self) -> None:
        """Lets the lock go."""
        os.close(self.file)


def _lead_of(path: Path, role: str) -> Path:
    return path.with_suffix(f"{path.suffix}.{role}")


def _led(path: Path) -> bool:
    """Whether somebody has the lock on this file. Who leads makes it, and who looks makes nothing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise unreadable(path) from error
    return False


async def _lead(path: Path) -> _Leadership:
    """The lock on this file, once nobody else has it. Raises `LogUnavailable`, `NotWritable`."""
    while True:
        lead = _lead_at_once(path)
        if lead is not None:
            return lead
        await asyncio.sleep(_LEAD_POLL_SECONDS)


def _lead_at_once(path: Path) -> _Leadership | None:
    """The lock on this file, if nobody has it."""
    lead = _Leadership(path, _locked_file(path))
    try:
        fcntl.flock(lead.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lead.ours():
            return lead
    except BlockingIOError:
        pass
    lead.leave()
    return None


class _UnderWay:
    """An append in the writer's thread. A quick one is waited for on the spot: the way round the event loop takes as long as it does."""

    def __init__(self, result: Future[Appended], *, quick: bool) -> None:
        self._result = result
        self._quick = quick

    def __await__(self) -> Generator[Any, None, Appended]:
        if self._quick:
            with suppress(TimeoutError):
                return self._result.result(_SPARED_SECONDS)
        return (yield from asyncio.wrap_future(self._result).__await__())


class _Worker:
    """One thread with one connection: SQLite calls block, and a connection is happiest in one thread."""

    def __init__(self, path: Path, name: str, file: File) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._path = path
        self._file = file
        self._last: Future[Any] | None = None

    @property
    def idle(self) -> bool:
        """Whether the thread has nothing to do, not even for somebody who waits no longer."""
        if self._last is not None and self._last.done():
            self._last = None
        return self._last is None

    def run_here(self, work: Callable[[apsw.Connection], T]) -> T:
        """Does work in the calling thread, while the worker's own is idle. Raises `LogUnavailable`."""
        assert self.idle, "a connection is used by one thread at a time"
        return self._do(work)

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Does work in the thread. Raises `LogUnavailable` for what SQLite cannot do now, a full disk among it."""
        running = self._last = self._thread.submit(self._do, work)
        return await asyncio.wrap_future(running)

    def start(self, work: Callable[[apsw.Connection], T]) -> Future[T]:
        """Has the thread do work, and comes back when it does: it then needs the interpreter no more, and this thread may keep it."""
        begun = Lock()
        begun.acquire()

        def begin() -> T:
            begun.release()
            return self._do(work)

        running = self._last = self._thread.submit(begin)
        begun.acquire()
        return running

    async def close(self) -> None:
        """Closes the connection and ends the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    def _do(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            return self._file.run(work)
        except apsw.BusyError as error:
            raise LogUnavailable(f"{self._path}: busy, held by {_holder(self._path)}; ask again") from error
        except (apsw.ReadOnlyError, PermissionError) as error:
            raise _not_writable(self._path) from error
        except (apsw.Error, OSError) as error:
            if isinstance(error, apsw.CantOpenError) and not _may_write(self._path):
                raise _not_writable(self._path) from error
            raise LogUnavailable(f"{self._path}: {error}") from error


def _at_once(work: Callable[[apsw.Connection], T]) -> Callable[[apsw.Connection], T | None]:
    """The same work, or `None` when it would have to wait for another program."""

    def at_once(db: apsw.Connection) -> T | None:
        db.set_busy_timeout(0)
        try:
            return work(db)
        except apsw.BusyError:
            return None

    return at_once


def _patient(work: Callable[[apsw.Connection], T], seconds: float) -> Callable[[apsw.Connection], T]:
    """The same work, which waits so long for SQLite's lock."""

    def patient(db: apsw.Connection) -> T:
        db.set_busy_timeout(int(seconds * 1_000))
        return work(db)

    return patient


def _locked_file(path: Path) -> int:
    """A file that is only there to be locked, opened. Raises `LogUnavailable`, `NotWritable`."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in NOT_ALLOWED:
            raise _not_writable(path) from error
        raise LogUnavailable(f"{path}: {error.strerror}") from error


def _may_write(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK)


def _not_writable(path: Path) -> NotWritable:
    return NotWritable(f"{path} may not be written by {user()}; it belongs to {owner(path)}")


def _turn_of(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".turn")


def _holder(path: Path) -> str:
    """Who most likely holds SQLite's lock on a file, in words."""
    pid = _writing(path) or _signed(path)
    if not pid:
        return "another process"
    name = ""
    with suppress(OSError, UnicodeDecodeError):
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return f"process {pid} ({name})" if name else f"process {pid}"


def _writing(path: Path) -> int:
    """The process that holds the lock of SQLite's writers, as the kernel lists it; 0 where it lists none.

    The file itself must not be opened to ask: closing it again would take SQLite's own locks in this process with it.
    """
    try:
        inode = path.with_name(f"{path.name}-shm").stat().st_ino
        lines = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
        held = (line for line in lines if line[1] == "POSIX" and line[3] == "WRITE" and line[5].endswith(f":{inode}"))
        return max(next((int(line[4]) for line in held if int(line[6]) <= _SHM_WRITE_LOCK <= int(line[7])), 0), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _signed(path: Path) -> int:
    """The other process that took the turn last; 0 when none is known."""
    try:
        pid = int(_turn_of(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return 0 if pid == os.getpid() else pid


def _head(db: apsw.Connection) -> Head:
    row = db.execute(_TAIL).fetchone()
    return Head._make(row) if row else EMPTY


def _transaction(db: apsw.Connection, work: Callable[[apsw.Connection], T]) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        if db.in_transaction:
            db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return result


def _insertion(entries: Sequence[Entry], seal: Seal | None = None) -> Callable[[apsw.Connection], Appended]:
    """What inserts all of the entries or none, and their seal: one statement is a transaction of its own, more than one are made one."""
    statements = [_statement(entries[first : first + _ROWS]) for first in range(0, len(entries), _ROWS)]
    if len(statements) == 1 and seal is None:
        return lambda db: _execute(db, *statements[0])

    def insert(db: apsw.Connection) -> Appended:
        for statement in statements:
            if (appended := _execute(db, *statement)) is not Appended.DONE:
                db.execute("ROLLBACK")
                return appended
        if seal is not None:
            _seal(db, seal)
        return Appended.DONE

    return lambda db: _transaction(db, insert)


def _seal(db: apsw.Connection, seal: Seal) -> None:
    if seal.sealed is not None:
        db.execute("INSERT OR REPLACE INTO sealed (one, size, checkpoint) VALUES (1, ?, ?)", seal.sealed)
    if seal.kept:
        _keep(db, seal.kept)


def _keep(db: apsw.Connection, kept: Sequence[Kept]) -> None:
    db.executemany("INSERT OR REPLACE INTO kept_hashes (level, number, hash) VALUES (?, ?, ?)", kept)


def _statement(entries: Sequence[Entry]) -> tuple[str, tuple[Any, ...]]:
    return _insert(len(entries)), (*chain.from_iterable(entries), entries[0].previous)


@lru_cache(maxsize=_ROWS)
def _insert(rows: int) -> str:
    return (
        f"INSERT INTO entries ({_COLUMNS}) SELECT * FROM (VALUES {', '.join([_ROW] * rows)})"
        " WHERE ? = coalesce((SELECT hash FROM entries ORDER BY position DESC LIMIT 1), zeroblob(32))"
    )


def _execute(db: apsw.Connection, sql: str, bindings: tuple[Any, ...]) -> Appended:
    try:
        db.execute(sql, bindings)
    except apsw.ConstraintError as error:
        if OLDER_RULES in str(error):
            raise NewerRules(str(error)) from error
        return Appended.REPEATED
    return Appended.DONE if db.changes() else Appended.BEHIND


def _migrate(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT")
        applied = list(db.execute("SELECT name, digest FROM migrations ORDER BY name"))
        for migration in pending(migrations("sqlite"), applied):
            db.execute(migration.sql)
            db.execute("INSERT INTO migrations (name, digest) VALUES (?, ?)", (migration.name, migration.digest))
    db.execute("COMMIT")


def _require_migrated(db: apsw.Connection) -> None:
    begun = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'").get
    applied = list(db.execute("SELECT name, digest FROM migrations ORDER BY name")) if begun else []
    require_applied(migrations("sqlite"), applied)
