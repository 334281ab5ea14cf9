"""Where a log can live, for tests that hold every kind of place to the same promises; and a writer in another process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import apsw
import asyncpg

from domain.catalog import RULES
from eventstore import postgres, sqlite
from eventstore.entries import ACCEPTED, REFUSED, Entry, Head, sealed
from eventstore.log import Appended, Log
from eventstore.memory import MemoryLog
from eventstore.postgres import PostgresLog
from eventstore.sqlite import SqliteLog
from tests.sealing import salts

FINAL = "entries_are_final"


class Place(Protocol):
    """A place where one log lives."""

    async def open(self) -> Log:
        """The log there; every call opens it anew, as another process would."""

    async def tamper(self, position: int, column: str, value: object) -> None:
        """Changes one stored value behind the log's back, as only the database's owner can."""

    async def cut(self, after: int) -> None:
        """Takes away every entry after a position, as an older copy of the database does that is put in its place."""


@dataclass
class MemoryPlace:
    """Memory: everybody shares the one object."""

    log: MemoryLog = field(default_factory=MemoryLog)

    async def open(self) -> Log:
        return self.log

    async def tamper(self, position: int, column: str, value: object) -> None:
        entries = self.log._entries
        entries[position - 1] = entries[position - 1]._replace(**{column: value})  # type: ignore[arg-type]
        entries.sort(key=lambda entry: entry.position)

    async def cut(self, after: int) -> None:
        gone = self.log._entries[after:]
        del self.log._entries[after:]
        for entry in gone:
            self.log._ids.pop(entry.command_id)


@dataclass
class SqlitePlace:
    """A file."""

    path: Path

    @property
    def address(self) -> str:
        return str(self.path)

    async def open(self) -> Log:
        return await SqliteLog.open(self.path)

    async def sql(self, statement: str, *bindings: Any) -> list[tuple[Any, ...]]:
        """Runs a statement as whoever has the file can."""
        connection = apsw.Connection(self.address)
        try:
            return list(connection.execute(statement, bindings))
        finally:
            connection.close()

    async def tamper(self, position: int, column: str, value: object) -> None:
        await self.sql(f"DROP TRIGGER {FINAL}_update")
        forged = f"PRAGMA ignore_check_constraints = ON; UPDATE entries SET {column} = ? WHERE position = ?"
        await self.sql(forged, value, position)

    async def cut(self, after: int) -> None:
        await self.sql(f"DROP TRIGGER {FINAL}_delete")
        await self.sql("DELETE FROM entries WHERE position > ?", after)


@dataclass
class PostgresPlace:
    """A schema of a database."""

    address: str

    async def open(self) -> Log:
        return await PostgresLog.open(self.address)

    async def sql(self, statement: str, *bindings: Any) -> list[tuple[Any, ...]]:
        """Runs a statement as the database's owner."""
        connection = await asyncpg.connect(self.address)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *bindings)]
        finally:
            await connection.close()

    async def tamper(self, position: int, column: str, value: object) -> None:
        await self.sql(f"DROP TRIGGER {FINAL} ON entries")
        await self.sql("ALTER TABLE entries DROP CONSTRAINT entries_outcome_check")
        await self.sql(f"UPDATE entries SET {column} = $1 WHERE position = $2", value, position)

    async def cut(self, after: int) -> None:
        await self.sql(f"DROP TRIGGER {FINAL} ON entries")
        await self.sql("DELETE FROM entries WHERE position > $1", after)


def chain(head: Head, size: int, *, by: str, stream: str = "round/atlas-1", refused: bool = False) -> list[Entry]:
    """Entries that may follow a head. Their command ids are `by` and their position."""
    entries: list[Entry] = []
    for number in range(1, size + 1):
        position = head.position + number
        entries.append(sealed(
            position, stream, f"{by}-{position}", "pledge", "ada", head.at + number, RULES, b'{"kind":"pledge"}', b"what ada signed", b"how",
            REFUSED if refused else ACCEPTED,
            b'{"rule":"round_closed"}' if refused else f'[{{"kind":"pledge_made","number":{position}}},{{"kind":"round_filled"}}]'.encode(),
            entries[-1].hash if entries else head.hash, salts(2 if refused else 3),
        ))  # fmt: skip
    return entries


async def write(log: Log, batches: int, *, size: int, by: str) -> None:
    """Appends so many batches, each when it is not overtaken."""
    for _ in range(batches):
        while await log.append(chain(await log.head(), size, by=by)) is Appended.BEHIND:
            pass


async def place_at(address: str) -> Log:
    """The log at an address, as a process of its own opens it."""
    return await (PostgresLog.open(address) if address.startswith("postgresql:") else SqliteLog.open(Path(address)))


@asynccontextmanager
async def process(task: str, address: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process at work on the log.

    It does `write`; or `hold` its lock until a line comes in, and then append; or append `inside` a transaction that ends when a line comes in; or
    `lead` until a line comes in; or it is a program that knows of no turns, and keeps the file `locked` until a line comes in.
    """
    command: Sequence[str] = (sys.executable, "-m", __name__, task, address, *map(str, arguments))
    other = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    try:
        yield other
    finally:
        if other.returncode is None:
            other.kill()
        await other.wait()


async def _main(task: str, address: str, by: str, batches: str = "1") -> None:
    if task == "locked":
        with closing(apsw.Connection(address)) as database:
            database.execute("BEGIN EXCLUSIVE")
            _until_told()
            return
    log = await place_at(address)
    if task == "write":
        await write(log, int(batches), size=3, by=by)
    elif task == "lead":
        async with log.leading(by) as leadership:
            _say("leads")
            await asyncio.to_thread(sys.stdin.readline)
            _say("still leads" if await leadership.holds() else "leads no longer")
    elif task == "hold":
        async with log.exclusive():
            await asyncio.to_thread(_until_told)
            _say((await log.append(chain(await log.head(), 1, by=by))).name)
    else:
        _say((await _inside(log, chain(await log.head(), 1, by=by))).name)
    await log.close()


async def _inside(log: Log, entries: Sequence[Entry]) -> Appended:
    """An append in the middle of which the process waits, with all that the adapter holds then."""
    if isinstance(log, SqliteLog):
        insert = sqlite._insertion(entries)

        def work(database: apsw.Connection) -> Appended:
            appended = insert(database)
            _until_told()
            return appended

        return await log._write(work)
    assert isinstance(log, PostgresLog)
    with postgres._translated():
        connection = await log._write_connection()
        await connection.execute("BEGIN")
        assert await connection.fetchval(postgres._APPEND, entries, None, entries[0].position, None, None, [], [], [])
        _until_told()
        await connection.execute("COMMIT")
    return Appended.DONE


def _until_told() -> None:
    _say("held")
    sys.stdin.readline()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
