"""The log in a PostgreSQL schema, for any number of workers. asyncpg, one connection that writes, a few that read.

Order without gaps comes from one advisory lock, taken by the same SQL function that looks at the tail and inserts: a
worker that stops between two round trips holds nothing. It is kept until the commit is durable and visible, so a
reader who follows positions misses none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final
from zlib import crc32

import asyncpg
import structlog

from eventstore.entries import EMPTY, Entry, Head
from eventstore.log import (
    Appended,
    ClockApart,
    EntryStale,
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
from eventstore.migrations import SchemaMismatch, migrations, pending, require_applied
from transparency.tree import Kept

_COLUMNS: Final = ", ".join(Entry._fields)
_MISSED: Final = 1_000
_APPEND: Final = (
    "WITH appended AS MATERIALIZED (SELECT record_sealed($1, $2, $4, $5, $6, $7, $8) AS done)"
    f" SELECT a.done, {', '.join(f'e.{column}' for column in Entry._fields)}"
    f" FROM appended a LEFT JOIN entries e ON NOT a.done AND e.position >= $3 ORDER BY e.position LIMIT {_MISSED}"
)
"""An append that is behind brings along what it missed, as of before its turn: to be told so and then to ask costs a caller twice."""
_TAIL: Final = "SELECT position, at, hash, rules FROM entries ORDER BY position DESC LIMIT 1"
_ENTRY_HASHES: Final = "SELECT position, hash FROM entries WHERE position > $1 AND position <= $2 ORDER BY position"
_KEPT_HASHES: Final = "SELECT number + 1, hash FROM kept_hashes WHERE level = $3 AND number >= $1 AND number < $2 ORDER BY number"
_SWEEP: Final = (
    "WITH gone AS (DELETE FROM list_rows WHERE (generation, model, key) IN"
    " (SELECT generation, model, key FROM list_rows WHERE generation NOT IN (SELECT generation FROM lists) LIMIT $1) RETURNING 1)"
    " SELECT count(*) FROM gone"
)
_SHOWN: Final = (
    "WITH shown AS (SELECT * FROM lists WHERE live ORDER BY edition = $1 DESC, checkpoint DESC, generation DESC LIMIT 1)"
    " SELECT s.edition, s.checkpoint, r.key, r.body FROM shown s LEFT JOIN list_rows r"
    " ON r.generation = s.generation AND r.model = $2 AND ($3::text IS NULL OR r.key = $3) ORDER BY r.key"
)
"""One statement, so that generation and rows are as of one moment."""
_LEAD: Final = "SELECT pg_try_advisory_lock('entries'::regclass::oid::integer, $1)"
"""One lock a log and role, of the two numbers that no other lock here has. Waited for by trying: a statement that waits keeps a snapshot."""
_LED: Final = (
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND objid = $1"
    " AND classid = 'entries'::regclass::oid AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
_DURABLE: Final = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_MIGRATION_LOCK: Final = 0x6C6F67
_CHANNEL: Final = "entries"

_READERS: Final = 4
_STATEMENT_SECONDS: Final = 30
_LOCK_SECONDS: Final = 10
"""How long an append waits for its turn; a batch takes milliseconds."""
_HOLD_SECONDS: Final = 5
"""Who holds the log's lock and is silent for so long is thrown out, and the others go on."""
_LEAD_SECONDS: Final = 10
"""A leader that is silent for so long leads no longer: it stands still, or its host is gone."""
_BEAT_SECONDS: Final = 2
"""How often a leader shows that it is there, and how often who waits to lead looks whether nobody is."""
_BOUNDED: Final = (
    f"SELECT set_config('transaction_timeout', '{_LOCK_SECONDS + _HOLD_SECONDS}s', false)"
    " WHERE current_setting('transaction_timeout', true) IS NOT NULL"
)
"""An append is one statement, but a client can stop before its last bytes are sent; servers before 17 have no timeout that ends what it began."""
_CLOSE_SECONDS: Final = 5
_COALESCE_SECONDS: Final = 0.1
"""Commits within so long are announced together: every NOTIFY takes a lock that all databases of the server share."""
_POLL_SECONDS: Final = 0.5
"""An announcement can be lost with the worker that owed it; a look at the head finds what it was about."""

_SETTINGS: Final = {
    "application_name": "consortium",
    "default_transaction_isolation": "read committed",
    "statement_timeout": f"{_STATEMENT_SECONDS}s",
    "lock_timeout": f"{_LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{_HOLD_SECONDS}s",
    "jit": "off",
}
_UNAVAILABLE: Final = (
    OSError,  # no way to the server, an unknown host and TLS among it
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that a stopping server cut between two of its states
    asyncpg.FatalPostgresError,  # a code that only a pooler, or a later server, has
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidTransactionStateError,  # the transaction, or the session, took too long
    asyncpg.InvalidSQLStatementNameError,  # a pooler changed the session under a prepared statement
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidAuthorizationSpecificationError,  # another server, or a changed password
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,  # a server that is not restored yet
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedObjectError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.SnapshotTooOldError,
    asyncpg.ConfigFileError,
    asyncpg.InternalServerError,
)
"""What passes by itself or when an operator acts: lost connections, a server that stops, starts or gives way to another, a full disk.

What is left is our own mistake: a statement that does not parse, a value that does not fit.
"""
_NOT_WRITABLE: Final = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
_REFUSALS: Final[Mapping[str, type[LogUnavailable]]] = {"clock_apart": ClockApart, "entry_stale": EntryStale, "newer_rules": NewerRules}
"""What the append function refuses, by the names it gives."""

_log = structlog.get_logger(__name__)


class PostgresLog:
    """A log in a database. Several processes may use it; make one object a process, inside a running event loop."""

    def __init__(self, url: str) -> None:
        """Of the schema that the URL leads to (`?search_path=` names another than `public`)."""
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._writer: asyncpg.Connection | None = None
        self._listener: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None
        self._news = asyncio.Event()
        self._listening = asyncio.Lock()
        self._announcing: asyncio.Task[None] | None = None
        self._unannounced = False
        self._missed: Sequence[Entry] = []
        """What the last append missed, for whoever reads next."""

    @classmethod
    async def open(cls, url: str) -> PostgresLog:
        """The log in this database; made, or migrated to this release, when needed. Raises `SchemaMismatch`, `LogUnavailable`."""
        log = cls(url)
        try:
            with _translated():
                await _migrate(await log._write_connection())
        except BaseException:
            await log.close()
            raise
        return log

    @classmethod
    async def look(cls, url: str) -> PostgresLog:
        """The log in this database, for reading. Takes no more than SELECT on its tables. Raises `SchemaMismatch`, `LogUnavailable`."""
        log = cls(url)
        try:
            await log._require_migrated()
        except BaseException:
            await log.close()
            raise
        return log

    async def head(self) -> Head:
        """See `Log.head`."""
        async with self._connection() as connection:
            row = await connection.fetchrow(_TAIL)
        return Head._make(row) if row else EMPTY

    async def read(self, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """See `Log.read`."""
        missed, self._missed = self._missed, []
        if missed and missed[0].position == after + 1 and len(missed) <= limit:
            return missed
        return await self._entries(f"SELECT {_COLUMNS} FROM entries WHERE position > $1 ORDER BY position LIMIT $2", after, limit)

    async def read_stream(self, stream: str, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE stream = $1 AND position > $2 ORDER BY position LIMIT $3"
        return await self._entries(sql, stream, after, limit)

    async def last_of(self, stream: str, limit: int) -> Sequence[Entry]:
        """See `Log.last_of`."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE stream = $1 ORDER BY position DESC LIMIT $2"
        return (await self._entries(sql, stream, limit))[::-1]

    async def find(self, command_ids: Sequence[str]) -> Sequence[Entry]:
        """See `Log.find`."""
        return await self._entries(f"SELECT {_COLUMNS} FROM entries WHERE command_id = ANY($1) ORDER BY position", command_ids)

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        """See `Log.append`."""
        if not entries:
            return Appended.DONE
        if self._holder is asyncio.current_task():
            return await self._append(entries, host_clock, seal)
        async with self._turn:
            return await self._append(entries, host_clock, seal)

    def begin(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Awaitable[Appended]:
        """See `Log.begin`."""
        return asyncio.create_task(self.append(entries, host_clock, seal))

    async def sealed(self) -> Sealed | None:
        """See `Log.sealed`."""
        async with self._connection() as connection:
            row = await connection.fetchrow("SELECT size, checkpoint FROM sealed")
        return Sealed._make(row) if row else None

    async def hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """See `Log.hashes`."""
        sql = _ENTRY_HASHES if not level else _KEPT_HASHES
        async with self._connection() as connection:
            return without_gap(begin, await connection.fetch(sql, begin, end, *([level] if level else [])))

    async def keep_hashes(self, kept: Sequence[Kept]) -> None:
        """See `Log.keep_hashes`."""
        await self._value("SELECT keep_hashes($1, $2, $3)", *_columns_of(kept))

    async def time(self) -> int:
        """See `Log.time`: the database's clock."""
        return int(await self._value("SELECT microseconds(clock_timestamp())"))

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """See `Log.exclusive`. A lock of the session, not of a transaction: each append inside is durable when it answers."""
        async with self._turn:
            with _translated():
                connection = await self._write_connection()
            with _translated(connection):
                await connection.execute(f"SET idle_session_timeout = '{_HOLD_SECONDS}s'; SELECT pg_advisory_lock(entries_lock())")
            self._holder = asyncio.current_task()
            self._missed = []
            try:
                yield
            finally:
                self._holder = None
                await _release(connection)

    @asynccontextmanager
    async def leading(self, role: str) -> AsyncIterator[Leadership]:
        """See `Log.leading`. A lock of a session of its own, which the server ends when it hears nothing for `_LEAD_SECONDS`."""
        settings = _SETTINGS | {"idle_session_timeout": f"{_LEAD_SECONDS}s"}
        with _translated():
            connection = await asyncpg.connect(self._url, **{**_CONNECT, "server_settings": settings})
        lead = _Leadership(connection)
        try:
            with _translated():
                while not await connection.fetchval(_LEAD, _number(role)):  # noqa: ASYNC110  nobody tells who waits
                    await asyncio.sleep(_BEAT_SECONDS)
            beating = asyncio.create_task(lead.beat(), name=f"leading-{role}")
            try:
                yield lead
            finally:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
        finally:
            with suppress(*_UNAVAILABLE):
                await asyncio.wait_for(connection.close(), _CLOSE_SECONDS)

    async def led(self, role: str) -> bool:
        """See `Log.led`. The server lists who has which lock to everybody, the second number of a lock without its sign."""
        return bool(await self._value(_LED, _number(role) % 2**32))

    async def changed(self, after: int, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Log.changed`."""
        end = asyncio.get_running_loop().time() + timeout
        await self._listen()
        while True:
            news = self._news
            if (await self.head()).position > after:
                return True
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _POLL_SECONDS)):
                    await news.wait()

    async def generation(self, edition: str) -> int:
        """See `Log.generation`."""
        return int(await self._value("SELECT generation FROM lists WHERE live AND edition = $1", edition) or 0)

    async def new_generation(self, edition: str) -> int:
        """See `Log.new_generation`."""
        return int(await self._value("INSERT INTO lists (edition) VALUES ($1) RETURNING generation", edition))

    async def checkpoint(self, generation: int) -> int:
        """See `Log.checkpoint`."""
        return int(await self._value("SELECT checkpoint FROM lists WHERE generation = $1", generation) or 0)

    async def project(self, generation: int, after: int, upto: int, rows: Sequence[Row]) -> bool:
        """See `Log.project`."""
        last = {(row.model, row.key): row for row in rows}.values()
        columns = [[row.model for row in last], [row.key for row in last], [row.body for row in last]]
        return bool(await self._value("SELECT project_list($1, $2, $3, $4, $5, $6)", generation, after, upto, *columns))

    async def promote(self, generation: int, at: int) -> bool:
        """See `Log.promote`."""
        return bool(await self._value("SELECT promote_list($1, $2)", generation, at))

    async def sweep(self, most: int) -> int:
        """See `Log.sweep`."""
        return int(await self._value(_SWEEP, most))

    async def shown(self, edition: str, model: str, *, key: str | None = None) -> Lists:
        """See `Log.shown`."""
        async with self._connection() as connection:
            found = await connection.fetch(_SHOWN, edition, model, key)
        rows = [Row(model, name, body) for _, _, name, body in found if name is not None]
        return Lists(found[0][0], found[0][1], rows) if found else Lists("", 0, [])

    async def load_snapshots(self, names: Sequence[str], version: str) -> Mapping[str, tuple[int, bytes]]:
        """See `Log.load_snapshots`."""
        sql = "SELECT name, position, body FROM kept WHERE name = ANY($1) AND version = $2"
        async with self._connection() as connection:
            return {name: (position, body) for name, position, body in await connection.fetch(sql, names, version)}

    async def save_snapshot(self, name: str, version: str, position: int, body: bytes) -> None:
        """See `Log.save_snapshot`."""
        await self._value("SELECT keep_snapshot($1, $2, $3, $4)", name, version, position, body)

    async def close(self) -> None:
        """See `Log.close`."""
        if self._announcing is not None:
            _, late = await asyncio.wait((self._announcing,), timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
        for connected in (self._listener, self._writer, self._pool):
            if connected is not None:
                try:
                    await asyncio.wait_for(connected.close(), _CLOSE_SECONDS)
                except _UNAVAILABLE:
                    connected.terminate()

    # ------------------------------------------------------------ inside

    async def _require_migrated(self) -> None:
        begun = await self._value("SELECT to_regclass('migrations') IS NOT NULL")
        async with self._connection() as connection:
            applied = await connection.fetch("SELECT name, digest FROM migrations ORDER BY name") if begun else []
        require_applied(migrations("postgres"), [tuple(row) for row in applied])

    async def _append(self, entries: Sequence[Entry], host_clock: HostClock | None, seal: Seal | None) -> Appended:
        sealed = (seal and seal.sealed) or (None, None)
        kept = _columns_of(seal.kept if seal is not None else ())
        try:
            with _translated():
                connection = await self._write_connection()
            with _translated(connection), _refused():
                found = await connection.fetch(_APPEND, entries, host_clock and host_clock(), entries[0].position, *sealed, *kept)
        except asyncpg.UniqueViolationError:
            return Appended.REPEATED
        if not found[0][0]:
            self._missed = [Entry._make(row[1:]) for row in found if row[1] is not None]
            return Appended.BEHIND
        self._announce()
        return Appended.DONE

    async def _entries(self, sql: str, *arguments: Any) -> Sequence[Entry]:
        async with self._connection() as connection:
            return list(map(Entry._make, await connection.fetch(sql, *arguments)))

    async def _value(self, sql: str, *arguments: Any) -> Any:
        async with self._connection() as connection:
            return await connection.fetchval(sql, *arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """One of the pool's, or the writer's for who holds the log's lock."""
        with _translated():
            if self._holder is asyncio.current_task():
                connection = await self._write_connection()
                with _translated(connection):
                    yield connection
                return
            if self._pool is None:
                self._pool = await asyncpg.create_pool(self._url, min_size=0, max_size=_READERS, reset=_nothing, **_CONNECT)
            async with self._pool.acquire(timeout=_STATEMENT_SECONDS) as connection:
                with _translated(connection):
                    yield connection

    async def _write_connection(self) -> asyncpg.Connection:
        """The connection that writes; a new one when the last was lost, but never while the lock is held on it."""
        if self._writer is None or (self._writer.is_closed() and self._holder is None):
            self._writer = await asyncpg.connect(self._url, **_CONNECT)
            await self._writer.execute(f"{_DURABLE}; {_BOUNDED}")
        return self._writer

    # ------------------------------------------------------------ news

    async def _listen(self) -> None:
        """Asks to be told of other workers' appends. Without an answer the polling of `changed` does."""
        async with self._listening:
            if self._listener is not None and not self._listener.is_closed():
                return
            with suppress(*_UNAVAILABLE):
                self._listener = await asyncpg.connect(self._url, **_CONNECT)
                await self._listener.add_listener(_CHANNEL, self._told)

    def _told(self, *_: object) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _announce(self) -> None:
        self._told()
        self._unannounced = True
        if self._announcing is None or self._announcing.done():
            self._announcing = asyncio.create_task(self._announce_soon(), name="log-announcements")

    async def _announce_soon(self) -> None:
        while self._unannounced:
            await asyncio.sleep(_COALESCE_SECONDS)
            self._unannounced = False
            try:
                await self._value("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')", _CHANNEL)
            except LogUnavailable:
                continue  # who waits looks at the head without it
            except Exception:  # noqa: BLE001  no caller waits for this task, and nothing depends on it
                _log.exception("announcement.failed")


class _Leadership:
    """A session that has the lock of a role, for as long as it lives."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()

    async def holds(self) -> bool:
        """See `Leadership.holds`. Asks the server: a leader that stood still learns here that it was thrown out."""
        async with self._one_at_a_time:
            if self._connection.is_closed():
                return False
            try:
                return bool(await self._connection.fetchval("SELECT true", timeout=_LEAD_SECONDS))
            except _UNAVAILABLE:
                self._connection.terminate()
                return False

    async def beat(self) -> None:
        """Keeps the session from being silent, until it is lost."""
        while await self.holds():  # noqa: ASYNC110  nothing but time makes it necessary
            await asyncio.sleep(_BEAT_SECONDS)


_CONNECT: Final[Mapping[str, Any]] = {"server_settings": _SETTINGS, "timeout": _LOCK_SECONDS, "command_timeout": _STATEMENT_SECONDS + 5}


def _columns_of(kept: Sequence[Kept]) -> tuple[list[int], list[int], list[bytes]]:
    return [each.level for each in kept], [each.number for each in kept], [each.hash for each in kept]


def _number(role: str) -> int:
    """What a role is called in its lock."""
    return crc32(role.encode()) - 2**31


@contextmanager
def _translated(connection: asyncpg.Connection | None = None) -> Iterator[None]:
    """Raises what the server, or the way to it, cannot do now as `LogUnavailable`.

    The connection it came by is used no more: its state is not known, and the address may lead to another server by now.
    """
    try:
        yield
    except (*_UNAVAILABLE, *_NOT_WRITABLE) as error:
        if connection is not None:
            connection.terminate()
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            raise  # asyncpg's word for a wrong argument, or a wrong address
        unavailable = NotWritable if isinstance(error, _NOT_WRITABLE) else LogUnavailable
        raise unavailable(f"PostgreSQL: {str(error) or type(error).__name__}") from error


@contextmanager
def _refused() -> Iterator[None]:
    """Raises what the append function refuses as what it means. The connection is well, and so is a lock that is held on it."""
    try:
        yield
    except asyncpg.OperatorInterventionError as error:
        if error.constraint_name not in _REFUSALS:
            raise
        raise _REFUSALS[error.constraint_name](f"PostgreSQL: {error}") from error


async def _nothing(_: object) -> None:
    """Connections of the pool are never left in a state that needs resetting; asking for it is a round trip a read."""


async def _release(connection: asyncpg.Connection) -> None:
    """Lets the log's lock go; with the connection, when it cannot be told to."""
    try:
        await connection.execute("SELECT pg_advisory_unlock(entries_lock()); RESET idle_session_timeout")
    except BaseException as error:
        connection.terminate()
        if not isinstance(error, _UNAVAILABLE):
            raise


async def _migrate(connection: asyncpg.Connection) -> None:
    """Applies what is new, one worker at a time. Needs no more than SELECT when nothing is."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        if await connection.fetchval("SELECT to_regclass('migrations') IS NULL"):
            await connection.execute("CREATE TABLE migrations (name text PRIMARY KEY, digest text NOT NULL)")
        applied = [tuple(row) for row in await connection.fetch("SELECT name, digest FROM migrations ORDER BY name")]
        for migration in pending(migrations("postgres"), applied):
            try:
                await connection.execute(migration.sql)
            except asyncpg.InsufficientPrivilegeError as error:
                raise SchemaMismatch(f"the database lacks migration {migration.name}; connect once as its owner") from error
            await connection.execute("INSERT INTO migrations (name, digest) VALUES ($1, $2)", migration.name, migration.digest)
