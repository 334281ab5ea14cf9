"""The lane in which the database, one of its processes, or who holds the log's lock stands still for a while."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg
import psutil

from eventstore.postgres import PostgresLog
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.load import CROWD, Callers, found, under_load
from tests.chaos.servers import Postgres, postgres
from tests.places import process

PATIENCE_SECONDS: Final = 15
"""Who waits for somebody who stands still waits so long at most; from then on it counts as lost."""


async def stands_still(ground: Ground) -> Findings:
    """Stops all of the server, or one backend, or a process that holds the lock, and lets it go on after a while."""
    with postgres(ground.folder) as server:
        callers = Callers(await PostgresLog.open(server.url))
        async with under_load(callers):
            for number in range(ground.faults):
                await asyncio.sleep(ground.chance.uniform(0, 0.3))
                if number % 10 == 0:
                    async with _held(server):
                        await _answered(callers, PATIENCE_SECONDS)
                else:
                    await _stopped(server, ground.chance.uniform(0.1, 1.0), whole=number % 2 == 0)
        problems = await found(callers)
        await callers.close()
    return Findings(ground.faults, problems)


async def for_ever(ground: Ground) -> Findings:
    """The control: a session that holds the lock for as long as it likes."""
    with postgres(ground.folder) as server:
        callers = Callers(await PostgresLog.open(server.url))
        async with under_load(callers):
            connection = await asyncpg.connect(server.url)
            await connection.execute("SELECT pg_advisory_lock(entries_lock())")
            await _answered(callers, PATIENCE_SECONDS)
            await connection.close()
        problems = await found(callers)
        await callers.close()
    return Findings(1, problems)


async def _stopped(server: Postgres, seconds: float, *, whole: bool) -> None:
    """Stops all processes of the server for a while, or those that serve us."""
    stopped = [each for each in server.processes() if whole or _serves(each)]
    for each in stopped:
        each.suspend()
    await asyncio.sleep(seconds)
    for each in stopped:
        each.resume()


def _serves(process: psutil.Process) -> bool:
    """Whether it is the backend of a connection: its title says to whom."""
    return "postgres: postgres " in " ".join(process.cmdline())


@asynccontextmanager
async def _held(server: Postgres) -> AsyncIterator[None]:
    """Another process holds the log's lock, and stands still."""
    async with AsyncExitStack() as stack:
        holder = await stack.enter_async_context(process("hold", server.url, "holder"))
        assert holder.stdout is not None
        assert (await holder.stdout.readline()).strip() == b"held"
        holder.send_signal(signal.SIGSTOP)
        stack.callback(holder.send_signal, signal.SIGCONT)
        yield


async def _answered(callers: Callers, seconds: float) -> None:
    """Somebody is answered who asks now, within so many seconds; else it is a finding."""
    answered, end = len(callers.receipts) + CROWD, asyncio.get_running_loop().time() + seconds
    while len(callers.receipts) <= answered:
        if asyncio.get_running_loop().time() > end:
            callers.faults.append(f"nobody was answered for {seconds} s while another held the lock and stood still")
            return
        await asyncio.sleep(0.05)


LANES: Final = (
    Lane(
        "database-frozen", "the database, or who holds the log's lock, stands still", 10, 300, 50,
        stands_still, for_ever, "the lock is held without an end", "nobody was answered", seconds=35,
    ),
)  # fmt: skip
