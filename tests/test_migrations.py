"""A log is brought to the schema of the release that opens it, once; one that another release changed otherwise is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from eventstore import postgres, sqlite
from eventstore.entries import EMPTY
from eventstore.log import Appended
from eventstore.migrations import Migration, SchemaMismatch, migrations
from tests.places import PostgresPlace, SqlitePlace, chain

Database = SqlitePlace | PostgresPlace


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return SqlitePlace(tmp_path / "log.db") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


def migration(name: str, sql: str) -> Migration:
    return Migration(name, sql, sha256(sql.encode()).hexdigest())


def released(patch: pytest.MonkeyPatch, change: Sequence[Migration], *, replacing: bool = False) -> None:
    """From now on a release is at work that knows these migrations after the present ones, or instead of them."""
    for module in (sqlite, postgres):
        patch.setattr(module, "migrations", lambda name: change if replacing else [*migrations(name), *change])


LATER = migration("9001_later.sql", "CREATE TABLE later (number integer)")


async def test_a_later_migration_is_applied_once_and_the_entries_stay(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await database.open()
    entries = chain(EMPTY, 3, by="ada")
    await log.append(entries)
    await log.close()
    released(monkeypatch, [LATER])
    for _ in "twice":
        log = await database.open()
        assert list(await log.read(0)) == entries
        await log.close()
    assert [tuple(row) for row in await database.sql("SELECT name, digest FROM migrations ORDER BY name DESC LIMIT 1")] == [
        (LATER.name, LATER.digest)
    ]
    assert list(await database.sql("SELECT number FROM later")) == []


async def test_an_older_release_goes_on_with_what_a_newer_one_added(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        released(newer, [LATER])
        await (await database.open()).close()
    log = await database.open()
    assert await log.append(chain(EMPTY, 2, by="ada")) is Appended.DONE
    await log.close()
    released(monkeypatch, [LATER])
    log = await database.open()
    assert (await log.head()).position == 2
    await log.close()


async def test_an_older_release_leaves_alone_what_a_newer_one_took_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        released(newer, [migration("9999_rows.breaking.sql", "DROP TABLE snapshots")])
        await (await database.open()).close()
    with pytest.raises(SchemaMismatch, match="use the newer release"):
        await database.open()


async def test_a_migration_that_is_missing_before_one_that_was_applied_is_noticed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, last = migration("9998_between.sql", "CREATE TABLE between_ (number integer)"), migration("9999_last.sql", "SELECT 1")
    with monkeypatch.context() as other:
        released(other, [last])
        await (await database.open()).close()
    released(monkeypatch, [between, last])
    with pytest.raises(SchemaMismatch, match="and not 9998_between.sql before it"):
        await database.open()


async def test_a_migration_that_was_edited_after_it_was_applied_is_noticed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await database.open()).close()
    released(monkeypatch, [migration("0001_log.sql", "SELECT 1")], replacing=True)
    with pytest.raises(SchemaMismatch, match="another text of it"):
        await database.open()


async def test_one_that_fails_leaves_nothing_behind(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = PostgresPlace(postgres_url)
    await (await database.open()).close()
    with monkeypatch.context() as broken:
        released(broken, [migration("9001_broken.sql", "CREATE TABLE half (number integer); SELECT nonsense FROM nowhere")])
        with pytest.raises(Exception, match="nowhere"):
            await database.open()
    await (await database.open()).close()
    with pytest.raises(Exception, match="half"):
        await database.sql("SELECT * FROM half")
