"""Lanes in which PostgreSQL is killed, or connections to it are cut, under load."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from domain.kernel import derived_id
from eventstore.entries import Submission
from eventstore.log import LogUnavailable
from eventstore.postgres import PostgresLog
from tests.chaos.careless import LaterPostgres
from tests.chaos.checks import Receipt
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.load import AGAIN_SECONDS, Callers, found, receipt_of, under_load
from tests.chaos.servers import Postgres, postgres, proxied

CUT_SECONDS: Final = 30
IMPATIENT_SECONDS: Final = 5
"""A control's callers need not wait long for what does not come."""


async def killed(ground: Ground) -> Findings:
    """Kills all processes of the server at random instants, and starts it again."""
    with postgres(ground.folder) as server:
        log = await PostgresLog.open(server.url)
        return await _killed(ground, server, Callers(log), ground.faults)


async def acknowledged_early(ground: Ground) -> Findings:
    """The control: with asynchronous commit a kill takes back what was acknowledged."""
    with postgres(ground.folder) as server:
        log = await LaterPostgres.open(server.url)
        return await _killed(ground, server, Callers(log, patience_seconds=IMPATIENT_SECONDS), 1)


async def _killed(ground: Ground, server: Postgres, callers: Callers, faults: int) -> Findings:
    kills = 0
    async with under_load(callers):
        while kills < faults:
            await asyncio.sleep(ground.chance.uniform(0.2, 0.8))
            server.kill()
            kills += 1
            await server.start()
    problems = await found(callers)
    await callers.close()
    return Findings(kills, problems)


class NewId(Callers):
    """Takes a lost answer for "not done", and gives the command anew, under another id."""

    async def _answer(self, submission: Submission) -> Receipt:
        while True:
            try:
                return receipt_of(await self.recorder.record(submission))
            except LogUnavailable:
                submission = submission._replace(command_id=derived_id("again", submission.command_id))
                await asyncio.sleep(AGAIN_SECONDS)


async def cut(ground: Ground, *, kind: type[Callers] = Callers) -> Findings:
    """Swallows answers to appends after they were done, and cuts appends in the middle."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres(ground.folder))
        proxy, url = await stack.enter_async_context(proxied(server, ground.chance))
        log = await PostgresLog.open(url)
        callers = kind(log)
        async with under_load(callers):
            for _ in range(ground.faults):
                (proxy.cut_reply if ground.chance.random() < 0.7 else proxy.cut_request)()
                async with asyncio.timeout(CUT_SECONDS):
                    while proxy.armed:
                        await asyncio.sleep(0.001)
                await asyncio.sleep(ground.chance.uniform(0, 0.02))
        problems = await found(callers)
        await callers.close()
    return Findings(proxy.cuts, problems)


async def with_new_ids(ground: Ground) -> Findings:
    """The control: who gives a command again under a new id does it twice."""
    return await cut(ground, kind=NewId)


LANES: Final = (
    Lane(
        "postgres-killed", "PostgreSQL is killed under load and recovers", 2, 500, 10,
        killed, acknowledged_early, "asynchronous commit", "acknowledged, and not on the log",
    ),
    Lane(
        "connections-cut", "answers of PostgreSQL are lost after the commit, requests are cut in the middle", 10, 2_000, 100,
        cut, with_new_ids, "a lost answer is taken for \"not done\"", "on the log, and not asked for",
    ),
)  # fmt: skip
