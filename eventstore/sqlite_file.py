"""A file of SQLite as one connection sees it: one that writes, or one that only looks and needs no right to write.

Who looks makes nothing and leaves nothing behind. SQLite reads a file in WAL mode together with `-wal`, and finds its way in that
by `-shm`, which it would make if it is not there:

- Where `-wal` is missing or empty nobody is at work, and the file holds everything. It is read as one that does not change
  (`immutable=1`, which touches nothing beside it). That somebody begins to write meanwhile is seen afterwards, by `-wal` or by the
  file's own size and time; then what was read is read again.
- Otherwise both are read with `mode=ro`. That needs `-shm`, which a writer has there; it may be read-only.
- A `-wal` without `-shm` is what a crash, or a copy that missed it, leaves: it takes somebody who may write there to make `-shm`.
"""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

import apsw

from eventstore.log import NotReadable

T = TypeVar("T")

PATIENCE_MILLISECONDS: Final = 5_000
"""How long SQLite's lock is waited for."""
_WRITING: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF")
_LOOKING: Final = ("query_only = ON", "trusted_schema = OFF")
NOT_ALLOWED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
"""How the system says that somebody may not: by the rights of a file or folder, or because the disk is read-only."""
_TRIES: Final = 100
"""How often is read again what changed meanwhile: a writer begins once, and then `-wal` is there."""


class File(Protocol):
    """A connection that is opened when it is needed, for one thread at a time."""

    def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Does work on the connection."""

    def close(self) -> None:
        """Lets the connection go."""


class Written:
    """The connection of who may write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None

    def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """See `File.run`. Makes the file."""
        if self._connection is None:
            self._connection = _configured(apsw.Connection(str(self._path)), _WRITING)
        return work(self._connection)

    def close(self) -> None:
        """See `File.close`."""
        if self._connection is not None:
            self._connection.close()


class _State(NamedTuple):
    """What tells that a file changed."""

    inode: int
    size: int
    changed: int
    at_work: bool
    """Whether part of its content lies beside it."""


class Looked:
    """The connection of who only looks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._as_of: _State | None = None

    def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """See `File.run`; done again when the file changed under it. Raises `NotReadable`."""
        for _ in range(_TRIES):
            before = self._state()
            try:
                result = work(self._open(before))
            except (apsw.CantOpenError, apsw.PermissionsError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError):
                self.close()
                if self._state() == before:
                    self._explain(before)
                    raise
                continue
            if before.at_work or self._state() == before:
                return result
        raise NotReadable(f"{self._path} changes all the time", "ask again")

    def close(self) -> None:
        """See `File.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._as_of = None

    def _open(self, state: _State) -> apsw.Connection:
        if self._connection is not None and self._as_of is not None and (self._as_of == state or self._as_of.at_work):
            return self._connection
        self.close()
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        how = "mode=ro" if state.at_work else "mode=ro&immutable=1"
        self._connection = _configured(apsw.Connection(f"{self._path.absolute().as_uri()}?{how}", flags=flags), _LOOKING)
        self._as_of = state
        return self._connection

    def _state(self) -> _State:
        try:
            found = self._path.stat()
            beside = any(_size(_beside(self._path, name)) for name in ("-wal", "-journal"))
        except PermissionError as error:
            raise unreadable(Path(error.filename or self._path)) from error
        return _State(found.st_ino, found.st_size, found.st_mtime_ns, beside)

    def _explain(self, state: _State) -> None:
        """Raises `NotReadable` for what this user may not do, so that SQLite cannot."""
        for path in (self._path, *(_beside(self._path, name) for name in ("-wal", "-shm"))):
            if path.exists() and not os.access(path, os.R_OK):
                raise unreadable(path)
        if state.at_work and not _beside(self._path, "-shm").exists():
            raise NotReadable(
                f"the last entries are in {self._path.name}-wal beside {self._path}, and to read them SQLite must make {self._path.name}-shm there,"
                " which it may not",
                "look once as the owner, who may write there, or copy the whole folder to where you may write, and look there",
            )


def unreadable(path: Path) -> NotReadable:
    """That this user may not read a file or folder, and who can help."""
    return NotReadable(f"{path} may not be read by {user()}", f"run this as {owner(path)}, who can also let you read it (chmod, chgrp)")


def user() -> str:
    """Who runs this process, in words."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):
        return f"user {os.geteuid()}"


def owner(path: Path) -> str:
    """The owner of a file or folder, or of the nearest folder above that can be looked at, in words."""
    for place in (path, *path.absolute().parents):
        try:
            return place.owner()
        except KeyError:
            return f"user {place.stat().st_uid}"
        except OSError:
            continue
    return "its owner"


def _configured(connection: apsw.Connection, pragmas: tuple[str, ...]) -> apsw.Connection:
    connection.set_busy_timeout(PATIENCE_MILLISECONDS)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}{name}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
