"""A log is brought to the schema of the release that opens it, once; one that another release changed otherwise is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import apsw
import asyncpg
import pytest

from eventstore import postgres, sealing, sqlite
from eventstore.entries import EMPTY, Entry, microseconds, verify
from eventstore.log import Appended, LogUnavailable, Seal, Sealed
from eventstore.migrations import Migration, SchemaMismatch, migrations
from eventstore.postgres import PostgresLog
from tests.places import PostgresPlace, SqlitePlace, chain
from tests.sealing import resealed, without_salts

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
        with pytest.raises(LogUnavailable, match="nowhere"):
            await database.open()
    await (await database.open()).close()
    with pytest.raises(asyncpg.UndefinedTableError, match="half"):
        await database.sql("SELECT * FROM half")


# ---------------------------------------------------------------- salts

BEFORE_SALTS = [migration for migration in migrations("postgres") if migration.name < "0006"]


def now() -> int:
    """What the clock of this host shows."""
    return microseconds(datetime.now(UTC))


def older(entries: Sequence[Entry]) -> list[Entry]:
    """The entries as rules 6 decided them."""
    made: list[Entry] = []
    for entry in entries:
        made.append(resealed(entry, rules="6", at=now(), previous=made[-1].hash if made else entry.previous))
    return made


async def test_a_log_of_entries_without_salts_goes_on_with_salted_ones(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = older(chain(EMPTY, 3, by="ada"))
    with monkeypatch.context() as before:
        for module in (sqlite, postgres):
            before.setattr(module, "migrations", lambda name: [each for each in migrations(name) if each.name < "0006"])
        await (await database.open()).close()
    columns, marks = ", ".join(name for name in Entry._fields if name != "salts"), len(Entry._fields) - 1
    for entry in entries:
        places = ", ".join("?" if isinstance(database, SqlitePlace) else f"${number + 1}" for number in range(marks))
        await database.sql(f"INSERT INTO entries ({columns}) VALUES ({places})", *without_salts(entry))
    log = await database.open()
    assert list(await log.read(0)) == entries
    salted = chain(await log.head(), 2, by="bo")
    assert await log.append(salted, now) is Appended.DONE
    assert list(await log.read(0)) == [*entries, *salted]
    assert verify(await log.read(0)) == await log.head()
    await log.close()
    with pytest.raises((apsw.Error, asyncpg.PostgresError), match="entries are final"):
        await database.sql("UPDATE entries SET salts = salts")


async def test_workers_of_the_release_before_salts_append_while_a_newer_release_migrates(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(postgres, "migrations", lambda _: BEFORE_SALTS)
        await (await PostgresPlace(postgres_url).open()).close()
    entries = older(chain(EMPTY, 4, by="ada"))
    worker = await former_worker(postgres_url)
    assert await appended_before_salts(worker, entries[:1])
    log = await PostgresLog.open(postgres_url)
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError)):
        await appended_before_salts(worker, entries[1:2])
    again = await former_worker(postgres_url)
    assert await appended_before_salts(again, entries[1:3])
    assert not await appended_before_salts(again, entries[:1]), "behind"
    assert await again.fetchval("SELECT append_entries($1)", list(map(without_salts, entries[3:])))
    assert list(await log.read(0)) == entries
    assert await log.append(chain(await log.head(), 1, by="bo"), now) is Appended.DONE
    late = older([resealed(chain(await log.head(), 1, by="cy")[0])])
    with pytest.raises(asyncpg.OperatorInterventionError, match="rules 7 decided the last entry, and rules 6 this one"):
        await appended_before_salts(again, late)
    await again.close()
    await log.close()


async def former_worker(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, server_settings={"application_name": "consortium"})


async def appended_before_salts(worker: asyncpg.Connection, entries: Sequence[Entry]) -> bool:
    """Whether entries were appended with the statement that releases before salts prepare."""
    return bool(await worker.fetchval("SELECT append_entries($1, $2)", list(map(without_salts, entries)), now()))


# ---------------------------------------------------------------- seals


async def test_a_log_that_was_never_sealed_is_sealed_from_then_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        for module in (sqlite, postgres):
            before.setattr(module, "migrations", lambda name: [each for each in migrations(name) if each.name < "0007"])
        await (await database.open()).close()
    entries = chain(EMPTY, 300, by="ada")
    columns, marks = ", ".join(Entry._fields), len(Entry._fields)
    places = ", ".join("?" if isinstance(database, SqlitePlace) else f"${number + 1}" for number in range(marks))
    for entry in entries:
        await database.sql(f"INSERT INTO entries ({columns}) VALUES ({places})", *entry)
    log = await database.open()
    assert await log.sealed() is None
    assert await sealing.mend(log) == 1
    edge = await sealing.frontier_at(log, 300)
    more = [resealed(chain(await log.head(), 1, by="bo")[0], at=now())]
    edge, kept = edge.extended([more[0].hash])
    assert await log.append(more, now, Seal(Sealed(301, b"a checkpoint"), kept)) is Appended.DONE
    assert await log.sealed() == Sealed(301, b"a checkpoint")
    assert await sealing.frontier_at(log, 301) == edge
    await log.close()


async def test_workers_of_the_release_before_seals_append_unsealed_while_others_seal(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    worker = await former_worker(postgres_url)
    entries = chain(EMPTY, 2, by="ada")
    assert await worker.fetchval("SELECT record_entries($1, $2)", entries[:1], None)
    assert await log.sealed() is None
    assert await log.append(entries[1:], None, Seal(Sealed(2, b"two"), [])) is Appended.DONE
    assert await worker.fetchval("SELECT record_entries($1, $2)", chain(await log.head(), 1, by="bo"), None)
    assert (await log.sealed(), (await log.head()).position) == (Sealed(2, b"two"), 3)
    await worker.close()
    await log.close()
