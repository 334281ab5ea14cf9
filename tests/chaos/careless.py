"""How not to do it: logs and callers that are careless, for the controls. What they do wrong, the checkers must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import asyncpg

from eventstore.entries import Entry
from eventstore.log import Appended, HostClock, LogUnavailable, Seal
from eventstore.postgres import PostgresLog
from eventstore.sqlite import SqliteLog


class LaterPostgres(PostgresLog):
    """Commits are acknowledged before they are on the disk, and get there when the server finds time."""

    async def _write_connection(self) -> asyncpg.Connection:
        connection = await super()._write_connection()
        if not connection.is_in_transaction():
            await connection.execute("SET synchronous_commit = off")
        return connection

    @classmethod
    async def open(cls, url: str) -> LaterPostgres:
        log = cls(url)
        connection = await log._write_connection()
        await connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        await connection.execute("SELECT pg_reload_conf()")
        await log.close()
        await (await PostgresLog.open(url)).close()
        return cls(url)


class BlindPostgres(PostgresLog):
    """Takes an append that another came before for done."""

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        await super().append(entries, host_clock, seal)
        return Appended.DONE


class DeafSqlite(SqliteLog):
    """Takes an append that failed for done."""

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        try:
            return await super().append(entries, host_clock, seal)
        except LogUnavailable:
            return Appended.DONE

    def begin(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Awaitable[Appended]:
        return asyncio.create_task(self.append(entries, host_clock, seal))
