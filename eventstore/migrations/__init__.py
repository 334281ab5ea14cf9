"""Numbered migrations, one folder a database. What was applied is never edited: its hash is compared at every start."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple


class Migration(NamedTuple):
    """One numbered step of a schema."""

    name: str
    sql: str
    digest: str


class SchemaMismatch(Exception):
    """The database was migrated by another release: one that knew more, or one that knew it otherwise."""


def migrations(database: str) -> Sequence[Migration]:
    """The migrations of a database, in order."""
    folder = files(__name__) / database
    texts = sorted((file.name, file.read_text(encoding="utf-8")) for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(name, sql, sha256(sql.encode()).hexdigest()) for name, sql in texts]


def pending(known: Sequence[Migration], applied: Sequence[tuple[str, str]]) -> Sequence[Migration]:
    """What is still to apply. Raises `SchemaMismatch` when what was applied is not a prefix of what is known."""
    for migration, (name, digest) in zip(known, applied, strict=False):
        if (migration.name, migration.digest) != (name, digest):
            raise SchemaMismatch(f"the database has migration {name}, this release has {migration.name} or another text of it")
    if len(applied) > len(known):
        raise SchemaMismatch(f"the database has migration {applied[-1][0]}, which this release does not know: use the newer release")
    return known[len(applied) :]
