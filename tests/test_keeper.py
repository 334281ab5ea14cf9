"""The keeper is a process beside each worker: one of all makes lists and snapshots, whatever becomes of the others or of its worker."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

import psutil
import pytest

import worker
from eventstore import snapshots
from eventstore.entries import EMPTY
from eventstore.keeper import Keeper, role
from eventstore.log import Log
from eventstore.readmodels import STANDINGS, edition
from eventstore.snapshots import REGISTER, register_version
from eventstore.sqlite import SqliteLog
from tests.places import PostgresPlace, SqlitePlace, chain

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SqlitePlace | PostgresPlace:
    return SqlitePlace(tmp_path / "log.db") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIOWrapper]:
    """What keepers log, in a file."""
    monkeypatch.setattr(worker, "KEEPER_AGAIN_SECONDS", 0.1)
    with (tmp_path / "worker.log").open("w+", encoding="utf-8") as file:
        yield file


async def recorded(log: Log, number: int = 3) -> int:
    """More entries, refusals that change nothing; the position of the last."""
    await log.append(chain(await log.head(), number, by="ada", refused=True))
    return (await log.head()).position


async def reached(log: Log, position: int) -> None:
    """Waits for the lists to reach a position."""
    async with asyncio.timeout(60):
        while (await log.shown(edition(), STANDINGS, key="")).position < position:
            await asyncio.sleep(0.05)


def keepers(of: int | None = None) -> list[psutil.Process]:
    """The keepers that a process has; this one by default."""
    return [child for child in psutil.Process(of).children() if str(ROOT / "keeper.py") in child.cmdline()]


async def keeper() -> psutil.Process:
    """The keeper of this process, once it runs."""
    async with asyncio.timeout(30):
        while not (found := keepers()):
            await asyncio.sleep(0.02)
    return found[0]


async def leads(said: TextIOWrapper, times: int) -> None:
    """Waits for a keeper to say so many times that it leads."""
    async with asyncio.timeout(60):
        while said_so(said, "keeper.leads") < times:
            await asyncio.sleep(0.05)


def said_so(said: TextIOWrapper, event: str) -> int:
    return Path(said.name).read_text(encoding="utf-8").count(f'"event": "{event}"')


async def test_beside_a_worker_the_lists_follow_the_log_and_end_with_it(place: SqlitePlace | PostgresPlace, said: TextIOWrapper) -> None:
    log = await place.open()
    async with worker.keeping(place.address, said):
        position = await recorded(log)
        await reached(log, position)
        running = await keeper()
    assert not running.is_running()
    await recorded(log)
    await asyncio.sleep(0.5)
    assert (await log.shown(edition(), STANDINGS, key="")).position == position
    await log.close()


async def test_of_two_workers_one_keeps_and_when_it_is_killed_the_other_does(
    place: SqlitePlace | PostgresPlace, said: TextIOWrapper
) -> None:
    log = await place.open()
    position = await recorded(log)
    async with worker_beside(place.address, said) as other:
        await leads(said, 1)
        async with worker.keeping(place.address, said):
            await keeper()
            await reached(log, position)
            await asyncio.sleep(1)
            assert said_so(said, "keeper.leads") == 1
            other.kill()
            await leads(said, 2)
            await reached(log, await recorded(log))
    await log.close()


async def test_a_keeper_ends_with_a_worker_that_is_killed(tmp_path: Path, said: TextIOWrapper) -> None:
    async with worker_beside(str(tmp_path / "log.db"), said) as other:
        await leads(said, 1)
        (orphan,) = keepers(other.pid)
        other.kill()
        assert psutil.wait_procs([orphan], 20)[1] == []


async def test_a_keeper_that_dies_is_started_again(tmp_path: Path, said: TextIOWrapper) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    async with worker.keeping(str(tmp_path / "log.db"), said):
        await leads(said, 1)
        (await keeper()).kill()
        await leads(said, 2)
        await reached(log, await recorded(log))
    await log.close()


async def test_an_entry_that_this_release_cannot_read_is_shown_as_such_and_ends_no_keeper(tmp_path: Path, said: TextIOWrapper) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append(chain(EMPTY, 1, by="a-newer-release"))
    async with worker.keeping(str(tmp_path / "log.db"), said):
        async with asyncio.timeout(60):
            while not (rows := (await log.shown(edition(), STANDINGS)).rows):
                await asyncio.sleep(0.05)
        assert [(row.key, json.loads(row.body)["unreadable"]) for row in rows] == [("round/atlas-1", 1)]
        assert (await keeper()).is_running()
    await log.close()


async def test_a_keeper_goes_on_when_its_database_comes_back(postgres_url: str, said: TextIOWrapper) -> None:
    place = PostgresPlace(postgres_url)
    log = await place.open()
    async with worker.keeping(postgres_url, said):
        await leads(said, 1)
        await place.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'consortium'")
        await leads(said, 2)
        await reached(log, await recorded(log))
    await log.close()


async def test_whose_lead_is_lost_keeps_no_longer(postgres_url: str) -> None:
    place = PostgresPlace(postgres_url)
    log = await place.open()
    async with log.leading(role()) as leadership, asyncio.timeout(30):
        keeping = asyncio.create_task(Keeper(log).keep(leadership))
        await asyncio.sleep(0.5)
        assert not keeping.done()
        await place.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'consortium'")
        await asyncio.gather(keeping, return_exceptions=True)
    await log.close()


async def test_the_register_is_kept_every_so_often_and_from_then_on_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    position = await recorded(log)
    kept = Keeper(log)
    await kept.catch_up()
    assert await log.load_snapshots([REGISTER], register_version()) == {}
    monkeypatch.setattr(snapshots, "REGISTER_EVERY", position)
    await kept.catch_up()
    assert (await log.load_snapshots([REGISTER], register_version()))[REGISTER][0] == position
    await recorded(log, 1)
    await kept.catch_up()
    assert (await log.load_snapshots([REGISTER], register_version()))[REGISTER][0] == position
    await log.close()


@asynccontextmanager
async def worker_beside(address: str, said: TextIOWrapper) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has a keeper, as a worker has."""
    lines = (
        "import asyncio, sys, worker",
        "async def main():",
        f"    async with worker.keeping({address!r}, sys.stderr):",
        "        await asyncio.sleep(600)",
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", "\n".join([*lines, "asyncio.run(main())"]), cwd=ROOT, stderr=said)
    try:
        yield other
    finally:
        with suppress(ProcessLookupError):
            other.kill()
        await other.wait()
