"""What works on a log in PostgreSQL, as `status` and `doctor` tell it: Temporal, the workers by release, and who keeps the lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

import worker
from activities.log import cluster
from activities.log.heads import Heads
from cli import checks_temporal, services
from cli.failures import Code
from eventstore.entries import EMPTY
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.postgres import PostgresLog
from settings import rehearsed
from tests.dev_server import dev_server
from tests.places import chain, write
from tests.test_cli import Answer, Terminal, bare
from tests.test_doctor import commands_in, found
from tests.test_stopping import free_port, working

__all__ = ["bare"]


@pytest_asyncio.fixture(scope="module")
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await dev_server() as environment:
        yield environment


@pytest.fixture
def settings(server: WorkflowEnvironment, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Production on one host: a database, a Temporal, and a task queue of its own. It is what the environment says, too."""
    given = {
        "CONSORTIUM_LOG": postgres_url, "CONSORTIUM_FOLDER": str(tmp_path), "CONSORTIUM_TASK_QUEUE": f"queue-{tmp_path.name}",
        "TEMPORAL_ADDRESS": server.client.service_client.config.target_host,
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest_asyncio.fixture
async def log(postgres_url: str) -> AsyncIterator[Log]:
    log = await PostgresLog.open(postgres_url)
    yield log
    await log.close()


async def asked(bare: Terminal, *words: str) -> Answer:
    return await asyncio.to_thread(bare, *words)


async def until_told(bare: Terminal, *words: str, holds: Any) -> Answer:
    """Asks until the answer is as wished."""
    async with asyncio.timeout(90):
        while not holds((told := await asked(bare, *words, "--json")).json):
            await asyncio.sleep(0.2)
    return told


async def test_status_and_doctor_tell_of_workers_lists_and_temporal(
    bare: Terminal, settings: dict[str, str], log: Log, server: WorkflowEnvironment, tmp_path: Path
) -> None:
    nobody = await asked(bare, "status")
    assert nobody.code == 0, nobody.err
    assert "consortium up" not in nobody.out
    assert f"none polls the task queue {settings['CONSORTIUM_TASK_QUEUE']}: start one by `consortium worker`" in nobody.out
    idle = await asked(bare, "doctor", "--json")
    assert (idle.code, found(idle, "workers")["verdict"]) == (1, "act")
    assert commands_in(found(idle, "workers")["remedies"]) == [["worker"]]
    assert found(idle, "temporal")["verdict"] == found(idle, "search_attributes")["verdict"] == "well"
    async with working(tmp_path, **settings):
        at_work = await until_told(bare, "status", holds=lambda told: told["workers"] and told["lists"]["kept"])
        (poller,) = at_work.json["workers"]
        assert (poller["release"], poller["polls"], sorted(poller["takes"])) == (worker.release(), True, ["activities", "workflows"])
        assert at_work.json["temporal"] == {
            "reached": True, "address": settings["TEMPORAL_ADDRESS"], "namespace": "default", "version": (await cluster.cluster(server.client)).version,
        }  # fmt: skip
        assert (at_work.json["lists"]["behind"], at_work.json["up"]) == (0, None)
        shown = (await asked(bare, "status")).out
        assert f"1 of release {worker.release()}" in shown
        assert "as of the last entry" in shown
        well = await asked(bare, "doctor", "--json")
        assert well.code == 0, well.out
        assert found(well, "workers")["releases"] == {worker.release(): 1}
        assert {finding["verdict"] for finding in well.json["checks"]} <= {"well", "note"}


async def test_lists_that_nobody_keeps_are_told_with_who_would(bare: Terminal, settings: dict[str, str], log: Log) -> None:
    await write(log, 1, size=3, by="ada")
    keeping = await services.keeping(log)
    assert (keeping.behind, keeping.kept) == (3, False)
    told = services.lines(services.Services(""), keeping, rehearsed(Path("x"), log=settings["CONSORTIUM_LOG"]))
    assert told[-1] == "lists      3 entries behind, as of 0; no worker keeps them: start one by `consortium worker`"


async def test_a_temporal_that_is_away_is_told_within_seconds_and_the_log_is_shown_all_the_same(
    bare: Terminal, settings: dict[str, str], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    status = await asked(bare, "status", "--json")
    assert (status.code, status.json["position"], status.json["temporal"]["reached"], status.json["workers"]) == (0, 0, False, None)
    assert "Temporal cannot be reached" in (await asked(bare, "status")).out
    told = await asked(bare, "doctor", "--json")
    temporal = found(told, "temporal")
    assert (told.code, temporal["verdict"], temporal["reached"]) == (1, "act", False)
    assert "consortium up" not in temporal["remedies"][0]
    for name in ("search_attributes", "workers"):
        assert (found(told, name)["verdict"], "not reached" in found(told, name)["detail"]) == ("unknown", True)
    assert found(told, "log")["verdict"] == "well"


@pytest.mark.parametrize(("version", "older"), [("1.31.9", True), ("1.4.0", True), ("1.32.0", False), ("2.0.0-rc.1", False), ("", False)])
def test_a_server_is_older_than_the_one_that_was_tried_by_its_numbers(version: str, *, older: bool) -> None:
    assert checks_temporal._older(version) == older


async def test_a_namespace_that_is_not_there_is_told_with_its_command(
    bare: Terminal, settings: dict[str, str], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    told = await asked(bare, "doctor", "--json")
    assert found(told, "temporal")["remedies"][0].startswith("temporal operator namespace create --address")
    assert told.code == 1


async def test_a_temporal_of_another_log_is_told_and_learns_nothing(
    bare: Terminal, settings: dict[str, str], log: Log, server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "HANDED_OVER", 0)  # nobody is to take over
    other = MemoryLog()
    await other.append(chain(EMPTY, 2, by="eve"))
    await write(log, 1, size=1, by="ada")
    heads = Heads(server.client, other, settings["CONSORTIUM_TASK_QUEUE"])
    await heads.compare()
    noted = await heads.noted()
    try:
        told = await asked(bare, "doctor", "--json")
        assert (told.code, found(told, "temporal")["verdict"]) == (1, "act")
        assert "another log" in found(told, "temporal")["detail"]
        assert await heads.noted() == noted
    finally:
        await server.client.get_workflow_handle("log").terminate()


async def test_a_database_that_is_away_is_told_and_the_rest_is_looked_at(
    bare: Terminal, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSORTIUM_LOG", f"postgresql://us:the-secret@127.0.0.1:{free_port()}/x")
    told = await asked(bare, "doctor", "--json")
    assert (told.code, found(told, "log")["verdict"], found(told, "temporal")["verdict"]) == (1, "act", "well")
    assert "the-secret" not in told.out
    assert (await asked(bare, "status")).code == Code.UNREACHABLE
