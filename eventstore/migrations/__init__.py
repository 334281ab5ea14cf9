"""Numbered migrations, one folder a database. What was applied is never edited: its hash is compared at every start."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Final, NamedTuple

from eventstore.log import NotMigrated

BREAKING: Final = ".breaking."
"""In the name of a migration that takes away or changes what a former release uses, as in `0009_rows.breaking.sql`: that one cannot go on."""


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
    """What is still to apply.

    What a newer release applied besides is no hindrance: it adds, and leaves what this release uses, unless its name says `.breaking`.
    Raises `SchemaMismatch` for such a one, for another text of what is known, and for what is missing before what was applied.
    """
    ours, theirs = {migration.name: migration for migration in known}, dict(applied)
    for name, digest in applied:
        if name in ours and ours[name].digest != digest:
            raise SchemaMismatch(f"the database has migration {name}, this release has another text of it")
        if name not in ours and BREAKING in name:
            raise SchemaMismatch(f"the database has migration {name}, which this release does not know: use the newer release")
    left = [migration for migration in known if migration.name not in theirs]
    last = max((name for name in theirs if name in ours), default="")
    if left and left[0].name < last:
        raise SchemaMismatch(f"the database has migration {last}, and not {left[0].name} before it: another release made it")
    return left


def require_applied(known: Sequence[Migration], applied: Sequence[tuple[str, str]]) -> None:
    """Raises `NotMigrated` when something is still to apply, and `SchemaMismatch` as `pending` does."""
    if missing := pending(known, applied):
        raise NotMigrated(f"it lacks migration {missing[0].name}" if applied else "it holds no log yet")
