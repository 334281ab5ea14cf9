"""One Temporal works for one log: a worker on another one, or on an older copy, does not start or does not go on, and names both heads."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

import worker
from activities.log import heads as module
from activities.log.heads import Heads, OtherLog
from activities.messages import LOG, LogHead
from cli.failures import Code, translated
from eventstore.entries import EMPTY
from eventstore.sqlite import SqliteLog
from settings import rehearsed
from tests.dev_server import dev_server
from tests.places import chain, write
from workflows.log import Log

QUEUE = "heads"


@pytest_asyncio.fixture(scope="module")
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await dev_server() as environment:
        yield environment


@pytest_asyncio.fixture
async def client(server: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A Temporal that works for no log yet."""
    yield server.client
    await begun_anew(server.client)


async def begun_anew(client: Client) -> None:
    """What an operator does where Temporal's databases are not to be dropped: every running workflow is ended."""
    async for each in client.list_workflows("ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(each.id).terminate()
    with pytest.raises(RPCError):
        await client.get_workflow_handle(LOG).signal("seen", LogHead(first="", position=0, hash=""))


@asynccontextmanager
async def worked(client: Client) -> AsyncIterator[None]:
    async with Worker(client, task_queue=QUEUE, workflows=[Log]):
        yield


async def noted(heads: Heads, position: int) -> None:
    """Waits until Temporal knows of this entry."""
    async with asyncio.timeout(60):
        while (head := await heads.noted()) is None or head.position != position:
            await asyncio.sleep(0.05)


async def log_of(path: Path, entries: int, *, by: str = "ada") -> SqliteLog:
    log = await SqliteLog.open(path)
    await write(log, 1, size=entries, by=by)
    return log


async def copied(log: SqliteLog, path: Path, target: Path) -> None:
    await log.close()
    shutil.copy(path, target)


async def test_temporal_knows_of_the_furthest_head_and_a_log_that_went_on_is_the_same(client: Client, tmp_path: Path) -> None:
    log = await log_of(tmp_path / "log.db", 3)
    heads = Heads(client, log, QUEUE)
    await heads.compare()
    first = (await log.read(0, 1))[0].hash.hex()
    assert await heads.noted() == LogHead(first=first, position=3, hash=(await log.head()).hash.hex()), "before any worker runs"
    await write(log, 1, size=2, by="bea")
    async with worked(client):
        await heads.compare()
        await noted(heads, 5)
        await write(log, 1, size=1, by="cid")
        await heads.last()
    head = await heads.noted()
    assert head is not None
    assert head.position == 6
    await heads.compare()
    await log.close()


async def test_another_log_is_refused_and_both_heads_are_named(client: Client, tmp_path: Path) -> None:
    ours, other = await log_of(tmp_path / "ours.db", 3), await log_of(tmp_path / "other.db", 9, by="eve")
    empty = await SqliteLog.open(tmp_path / "empty.db")
    await Heads(client, ours, QUEUE).compare()
    with pytest.raises(OtherLog, match="another log") as raised:
        await Heads(client, other, QUEUE).compare()
    for log in (ours, other):
        head = await log.head()
        assert f"entry {head.position}, {head.hash.hex()}" in str(raised.value)
    with pytest.raises(OtherLog, match="this log is empty"):
        await Heads(client, empty, QUEUE).compare()
    failure = translated(raised.value)
    assert failure.code == Code.BROKEN
    assert "Restore" in failure.remedy
    chosen = rehearsed(tmp_path, log=str(tmp_path / "other.db"), address=client.service_client.config.target_host, task_queue=QUEUE)
    before = os.umask(0o022)
    try:
        with pytest.raises(OtherLog):
            await worker.serve(chosen)
    finally:
        os.umask(before)
    for each in (ours, other, empty):
        await each.close()


async def test_an_older_copy_is_refused_until_temporal_begins_anew(client: Client, tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    await copied(await log_of(path, 3), path, copy)
    log = await SqliteLog.open(path)
    await write(log, 1, size=2, by="bea")
    heads = Heads(client, log, QUEUE)
    async with worked(client):
        await heads.compare()
        await noted(heads, 5)
    older = await SqliteLog.open(copy)
    with pytest.raises(OtherLog, match="older copy"):
        await Heads(client, older, QUEUE).compare()
    await write(older, 1, size=7, by="eve")
    with pytest.raises(OtherLog, match="went on otherwise"):
        await Heads(client, older, QUEUE).compare()
    await heads.compare()
    await begun_anew(client)
    await Heads(client, older, QUEUE).compare()
    with pytest.raises(OtherLog):
        await heads.compare()
    await log.close()
    await older.close()


async def test_of_two_that_tell_a_new_temporal_of_two_logs_one_is_refused(client: Client, tmp_path: Path) -> None:
    one, two = await log_of(tmp_path / "one.db", 1), await log_of(tmp_path / "two.db", 2, by="eve")
    told = await asyncio.gather(*(Heads(client, log, QUEUE).compare() for log in (one, two)), return_exceptions=True)
    assert [type(each) for each in told if each is not None] == [OtherLog]
    await one.close()
    await two.close()


async def test_who_is_at_work_stops_when_the_log_is_not_temporals_any_more(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTED_SECONDS", 0.05)
    log, other = await SqliteLog.open(tmp_path / "log.db"), await log_of(tmp_path / "other.db", 2, by="eve")
    heads = Heads(client, log, QUEUE)
    await heads.compare()  # nothing is on this log yet

    async def work() -> None:
        async with worked(client), worker.comparing(heads):
            await Heads(client, other, QUEUE).compare()
            await asyncio.sleep(60)

    with pytest.raises(OtherLog):
        await work()
    await log.close()
    await other.close()


async def test_what_temporal_knows_outlives_a_run_and_replays(client: Client, tmp_path: Path) -> None:
    first = chain(EMPTY, 1, by="ada")[0].hash.hex()
    head = LogHead(first=first, position=1, hash=first)
    async with worked(client):
        handle = await client.start_workflow(Log.run, head, id=LOG, task_queue=QUEUE, memo={"Head": head})
        for position in (3, 2, 5):
            await handle.signal(Log.seen, head.model_copy(update={"position": position}))
        log = await SqliteLog.open(tmp_path / "log.db")
        await noted(Heads(client, log, QUEUE), 5)
        await log.close()
    history = await handle.fetch_history()
    await Replayer(workflows=[Log], data_converter=pydantic_data_converter).replay_workflow(history)
