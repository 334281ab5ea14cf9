"""A namespace that lacks what workflows need: whoever comes by it is told the very commands that make it, and goes on once it is made."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker
from activities.log import cluster
from activities.log.cluster import Unprepared
from cli.failures import Code, translated
from workflows import process

ROOT: Final = Path(__file__).parent.parent
_names = count(1)


@pytest_asyncio.fixture(scope="module")
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=worker.binary("temporal")) as environment:
        yield environment


@pytest_asyncio.fixture
async def client(server: WorkflowEnvironment) -> Client:
    """A client in a namespace of its own, which is not there yet."""
    address = server.client.service_client.config.target_host
    return await Client.connect(address, namespace=f"atlas-{next(_names)}", data_converter=pydantic_data_converter)


async def typed(commands: Sequence[str]) -> None:
    """Types these commands, each until it succeeds: a new namespace is not known to every part of a server at once."""
    for command in commands:
        program, *words = shlex.split(command)
        async with asyncio.timeout(60):
            while True:
                process = await asyncio.create_subprocess_exec(
                    worker.binary(program), *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
                out, err = await process.communicate()
                if process.returncode == 0:
                    break
                assert b"Usage" not in out + err, (command, out, err)
                await asyncio.sleep(0.1)


async def lacking(client: Client) -> Unprepared:
    """What the namespace lacks."""
    with pytest.raises(Unprepared) as raised:
        await cluster.require(client)
    return raised.value


async def prepared(client: Client) -> None:
    """Waits until all of the server knows what was made."""
    async with asyncio.timeout(60):
        await worker.prepared(client)


async def test_a_namespace_that_is_not_there_is_made_by_the_commands_that_are_told(client: Client) -> None:
    with pytest.raises(Unprepared):
        await cluster.cluster(client)
    error = await lacking(client)
    assert f"has no namespace {client.namespace}" in str(error)
    await typed(error.remedies)
    await prepared(client)
    assert (await cluster.cluster(client)).retention.days == 30


async def test_what_is_missing_or_of_another_type_is_mended_by_the_commands_that_are_told(client: Client) -> None:
    there = ("--address", cluster.address_of(client), "--namespace", client.namespace)
    made = shlex.join(("temporal", "operator", "search-attribute", "create", *there, "--name", "Phase", "--type", "Text"))
    await typed([(await lacking(client)).remedies[0], made])
    async with asyncio.timeout(60):
        while "of type Text" not in str(error := await lacking(client)):
            await asyncio.sleep(0.1)
    assert "has no search attribute WaitsFor, Due, Attention and has Phase of type Text, not Keyword" in str(error)
    await typed(error.remedies)
    await prepared(client)


async def test_a_worker_that_finds_them_missing_says_the_command_and_ends_without_a_trace(client: Client, tmp_path: Path) -> None:
    await typed([(await lacking(client)).remedies[0]])
    async with asyncio.timeout(60):
        while "has no search attribute" not in str(error := await lacking(client)):
            await asyncio.sleep(0.1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONSORTIUM_", "TEMPORAL_"))} | {
        "CONSORTIUM_FOLDER": str(tmp_path), "TEMPORAL_ADDRESS": cluster.address_of(client), "TEMPORAL_NAMESPACE": client.namespace,
    }  # fmt: skip
    hurried = "import sys, worker; worker.PREPARED_SECONDS = 0; "
    for started in ("from cli.main import run; sys.exit(run(['worker']))", "worker.main()"):
        ended = await asyncio.create_subprocess_exec(
            sys.executable, "-c", hurried + started, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, told = await asyncio.wait_for(ended.communicate(), 120)
        assert ended.returncode == 1, told
        assert error.remedies[0].encode() in told
        assert b"Traceback" not in told


async def test_a_worker_waits_for_what_was_made_a_moment_ago(client: Client) -> None:
    with capture_logs() as logs:
        waiting = asyncio.create_task(prepared(client))
        while not logs:
            await asyncio.sleep(0.01)
        await typed((await lacking(client)).remedies)
        await waiting
    assert [(each["event"], each["log_level"]) for each in logs] == [("namespace.unprepared", "warning")]
    assert any("search-attribute create" in command for command in logs[0]["commands"])


async def test_a_worker_at_work_tells_when_they_are_taken_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await typed((await lacking(client)).remedies)
    await prepared(client)
    monkeypatch.setattr(worker, "LOOK_AGAIN_SECONDS", 0.05)
    removed = (
        "temporal",
        "operator",
        "search-attribute",
        "remove",
        "--address",
        cluster.address_of(client),
        "--namespace",
        client.namespace,
    )
    with capture_logs() as logs:
        async with worker.watching(client), asyncio.timeout(60):
            await typed([shlex.join((*removed, "--name", "Due", "--yes"))])
            while not logs:
                await asyncio.sleep(0.05)
    assert logs[0]["event"] == "namespace.unprepared"
    assert "--name Due --type Datetime" in logs[0]["commands"][0]


async def test_on_temporal_cloud_its_own_program_is_named() -> None:
    client = await Client.connect("atlas.a1b2c.tmprl.cloud:7233", namespace="atlas.a1b2c", lazy=True)
    (command,) = cluster.lacking(client, ("Phase", "Due"), {}).remedies
    assert (
        command
        == "tcld namespace search-attributes add --namespace atlas.a1b2c --search-attribute Phase=Keyword --search-attribute Due=Datetime"
    )


def test_what_a_namespace_lacks_is_told_to_a_person_as_something_to_do() -> None:
    failure = translated(Unprepared("Temporal has no namespace atlas", ("temporal operator namespace create", "then this")))
    assert (failure.code, failure.name) == (Code.BROKEN, "unwell")
    assert "`temporal operator namespace create`; then `then this`" in failure.remedy


def test_what_is_looked_for_is_what_workflows_set() -> None:
    keys = (process.PHASE, process.WAITS_FOR, process.DUE, process.ATTENTION)
    assert {key.name for key in keys} == set(cluster.SEARCH_ATTRIBUTES)
