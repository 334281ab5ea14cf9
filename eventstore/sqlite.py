"""The log in one SQLite file: the embedded default. WAL, synchronous FULL, one writer thread a process.

Uses the SQLite that comes with apsw: releases up to 3.51.2 have a race in resetting the WAL.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from eventstore.entries import EMPTY, Entry, Head
from eventstore.log import Appended, LogUnavailable, Row
from eventstore.migrations import migrations, pending

T = TypeVar("T")

_COLUMNS: Final = ", ".join(Entry._fields)
_INSERT: Final = f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * len(Entry._fields))})"
_INSERT_NEXT: Final = (
    f"INSERT INTO entries ({_COLUMNS}) SELECT {', '.join('?' * len(Entry._fields))}"
    " WHERE ? = coalesce((SELECT hash FROM entries ORDER BY position DESC LIMIT 1), zeroblob(32))"
)
_TAIL: Final = "SELECT position, at, hash FROM entries ORDER BY position DESC LIMIT 1"
_POLL_SECONDS: Final = 0.02
_AT_ONCE_SECONDS: Final = 0.0005
"""Commits that usually take less are done in the event loop: the way to a thread and back takes as long. A slow disk gets the thread."""
_MEMORY: Final = 0.9
"""How much of what commits usually take is remembered at each."""


class SqliteLog:
    """A log in a file. Several processes may use it; a lock file makes them take turns fairly."""

    overlaps = False

    def __init__(self, path: Path) -> None:
        """Opens the file, and makes or migrates it. Raises `LogUnavailable` when it is no such file."""
        self._path = path
        self._writer = _Worker(path, "log-writer")
        self._reader = _Worker(path, "log-reader")
        self._exclusive = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None
        self._turn = path.with_suffix(path.suffix + ".turn").open("ab")
        self._usual = math.inf

    @classmethod
    async def open(cls, path: Path) -> SqliteLog:
        """The log in this file; made, or migrated to this release, when needed."""
        log = cls(path)
        await log._writer.run(_migrate)
        return log

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

    async def find(self, command_ids: Sequence[str]) -> Sequence[Entry]:
        """See `Log.find`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE command_id IN (SELECT value FROM json_each(?)) ORDER BY position"
        return await self._entries(sql, (json.dumps(list(command_ids)),))

    async def append(self, entries: Sequence[Entry]) -> Appended:
        """See `Log.append`."""
        if not entries:
            return Appended.DONE
        work = self._timed(
            lambda db: _insert_next(db, entries[0]) if len(entries) == 1 else _transaction(db, lambda db: _insert(db, entries))
        )
        if self._usual < _AT_ONCE_SECONDS and not self._exclusive.locked() and self._writer.idle and self._take_turn_at_once():
            try:
                return self._writer.run_here(work)
            finally:
                self._end_turn(None)
        return await self._in_turn(work)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """See `Log.exclusive`. Holds the turn and no transaction: each append inside is durable when it answers."""
        async with self._exclusive:
            try:
                await self._writer.run(self._take_turn)
                self._holder = asyncio.current_task()
                yield
            finally:
                self._holder = None
                await self._writer.run(self._end_turn)

    async def changed(self, after: int, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Log.changed`."""
        end = asyncio.get_running_loop().time() + timeout
        while (await self.head()).position <= after:
            if asyncio.get_running_loop().time() >= end:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def checkpoint(self, generation: int) -> int:
        """See `Log.checkpoint`."""
        return int(await self._value("SELECT checkpoint FROM read_generations WHERE generation = ?", (generation,)))

    async def generation(self) -> int:
        """See `Log.generation`."""
        return int(await self._value("SELECT generation FROM read_generations WHERE live", ()))

    async def project(self, generation: int, after: int, upto: int, rows: Sequence[Row]) -> bool:
        """See `Log.project`."""

        def work(db: apsw.Connection) -> bool:
            if (db.execute("SELECT checkpoint FROM read_generations WHERE generation = ?", (generation,)).get or 0) != after:
                return False
            db.execute(
                "INSERT INTO read_generations (generation, checkpoint) VALUES (?, ?)"
                " ON CONFLICT (generation) DO UPDATE SET checkpoint = excluded.checkpoint",
                (generation, upto),
            )
            last = {(row.model, row.key): row for row in rows}.values()
            written = [(generation, *row) for row in last if row.body]
            db.executemany("INSERT OR REPLACE INTO read_rows (generation, model, key, body) VALUES (?, ?, ?, ?)", written)
            gone = [(generation, row.model, row.key) for row in last if not row.body]
            db.executemany("DELETE FROM read_rows WHERE generation = ? AND model = ? AND key = ?", gone)
            return True

        return await self._write(work)

    async def promote(self, generation: int, at: int) -> bool:
        """See `Log.promote`."""

        def work(db: apsw.Connection) -> bool:
            if (db.execute("SELECT checkpoint FROM read_generations WHERE generation = ?", (generation,)).get or 0) < at:
                return False
            db.execute("INSERT OR IGNORE INTO read_generations (generation, checkpoint) VALUES (?, 0)", (generation,))
            db.execute("DELETE FROM read_rows WHERE generation <> ?", (generation,))
            db.execute("DELETE FROM read_generations WHERE generation <> ?", (generation,))
            db.execute("UPDATE read_generations SET live = 1")
            return True

        return await self._write(work)

    async def rows(self, model: str, *, key: str | None = None) -> Sequence[Row]:
        """See `Log.rows`."""
        sql = (
            "SELECT model, key, body FROM read_rows JOIN read_generations USING (generation)"
            " WHERE live AND model = ? AND (? IS NULL OR key = ?) ORDER BY key"
        )
        return await self._read(lambda db: [Row(*row) for row in db.execute(sql, (model, key, key))])

    async def load_snapshots(self, names: Sequence[str], shape: str) -> Mapping[str, tuple[int, bytes]]:
        """See `Log.load_snapshots`."""
        sql = "SELECT position, body FROM snapshots WHERE name = ? AND shape = ?"

        def work(db: apsw.Connection) -> Mapping[str, tuple[int, bytes]]:
            return {name: row for name in names for row in db.execute(sql, (name, shape))}

        return await self._read(work)

    async def save_snapshot(self, name: str, shape: str, position: int, body: bytes) -> None:
        """See `Log.save_snapshot`."""
        sql = "INSERT OR REPLACE INTO snapshots (name, shape, position, body) VALUES (?, ?, ?, ?)"
        await self._write(lambda db: db.execute(sql, (name, shape, position, body)))

    async def close(self) -> None:
        """See `Log.close`."""
        await self._reader.close()
        await self._writer.close()
        self._turn.close()

    # ------------------------------------------------------------ inside

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
        def in_turn(db: apsw.Connection) -> T:
            self._take_turn(db)
            try:
                return work(db)
            finally:
                self._end_turn(db)

        if self._holder is asyncio.current_task():
            return await self._writer.run(work)
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
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _take_turn(self, _: apsw.Connection) -> None:
        # SQLite alone lets a busy writer starve the others (its waiters poll); the lock file queues them.
        fcntl.flock(self._turn, fcntl.LOCK_EX)

    def _end_turn(self, _: apsw.Connection | None) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_UN)


class _Worker:
    """One thread with one connection: SQLite calls block, and a connection is happiest in one thread."""

    def __init__(self, path: Path, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._path = path
        self._connection: apsw.Connection | None = None
        self._last: Future[Any] | None = None

    @property
    def idle(self) -> bool:
        """Whether the thread has nothing to do, not even for somebody who waits no longer."""
        return self._last is None or self._last.done()

    def run_here(self, work: Callable[[apsw.Connection], T]) -> T:
        """Does work in the calling thread, while the worker's own is idle. Raises `LogUnavailable`."""
        assert self.idle, "a connection is used by one thread at a time"
        try:
            return work(self._open())
        except (apsw.Error, OSError) as error:
            raise LogUnavailable(f"{self._path}: {error}") from error

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Does work in the thread. Raises `LogUnavailable` for what SQLite cannot do now, a full disk among it."""
        try:
            self._last = self._thread.submit(lambda: work(self._open()))
            return await asyncio.wrap_future(self._last)
        except (apsw.Error, OSError) as error:
            raise LogUnavailable(f"{self._path}: {error}") from error

    async def close(self) -> None:
        """Closes the connection and ends the thread."""
        connection = self._connection
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown(wait=False)

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            connection = apsw.Connection(str(self._path))
            connection.set_busy_timeout(5_000)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            self._connection = connection
        return self._connection


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


def _insert_next(db: apsw.Connection, entry: Entry) -> Appended:
    """One entry in one statement, which is a transaction of its own."""
    try:
        db.execute(_INSERT_NEXT, (*entry, entry.previous))
    except apsw.ConstraintError:
        return Appended.REPEATED
    return Appended.DONE if db.changes() else Appended.BEHIND


def _insert(db: apsw.Connection, entries: Sequence[Entry]) -> Appended:
    if _head(db).hash != entries[0].previous:
        return Appended.BEHIND
    try:
        db.executemany(_INSERT, entries)
    except apsw.ConstraintError:
        db.execute("ROLLBACK")
        return Appended.REPEATED
    return Appended.DONE


def _migrate(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT")
        applied = list(db.execute("SELECT name, digest FROM migrations ORDER BY name"))
        for migration in pending(migrations("sqlite"), applied):
            db.execute(migration.sql)
            db.execute("INSERT INTO migrations (name, digest) VALUES (?, ?)", (migration.name, migration.digest))
    db.execute("COMMIT")
