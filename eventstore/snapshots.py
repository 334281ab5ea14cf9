"""Snapshots of long streams and of the register: a start in a moment instead of a fold of years.

They are derived, belong to exactly the domain code that made them, and are never used to verify anything. One that is
damaged, kept under another name, or of entries that the log does not hold is no snapshot: the log is folded instead.
They are read by an unpickler that can build the domain's own data and nothing else.
"""

from __future__ import annotations

import io
import pickle
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

import structlog

from domain.process import Stream
from eventstore.entries import EMPTY, Head
from eventstore.log import Log, LogUnavailable
from eventstore.replica import Replica

REGISTER: Final = "register"
"""The name of the register's snapshot; those of streams have the streams' names, which hold a slash."""
REGISTER_EVERY: Final = 5_000
"""Entries between two snapshots of the register."""
STREAM_EVERY: Final = 1_000
"""More entries of a stream than this are not folded twice."""

_SEAL_BYTES: Final = sha256().digest_size
_PLAIN: Final = frozenset(
    {("datetime", "datetime"), ("datetime", "date"), ("datetime", "timedelta"), ("datetime", "timezone"), ("immutables._map", "Map"),
     ("builtins", "frozenset"), ("builtins", "set"), ("copyreg", "_reconstructor"), ("builtins", "object"), ("pydantic_core._pydantic_core", "TzInfo")}
)  # fmt: skip

_log = structlog.get_logger(__name__)


@cache
def shape() -> str:
    """A digest of the domain's source: snapshots that other code made are not read."""
    digest = sha256()
    for name, source in sorted((file.name, file.read_bytes()) for file in files("domain").iterdir() if file.name.endswith(".py")):
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


class Snapshots:
    """Loads and keeps the snapshots of one log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kept = 0

    async def restore(self, replica: Replica) -> None:
        """Takes an empty replica as far as the register's snapshot reaches; the log itself takes it further."""
        found = await self._find(REGISTER)
        if found is None:
            return
        replica.head, replica.register = found
        self._kept = replica.head.position

    async def keep_register(self, replica: Replica) -> None:
        """Keeps the register, when enough was recorded since the last time."""
        if replica.head.position >= self._kept + REGISTER_EVERY:
            self._kept = replica.head.position
            await self._keep(REGISTER, replica.head, replica.register)

    async def load(self, replica: Replica, stream: str, upto: int) -> Stream[Any]:
        """The state of a stream as of a position of the log. Raises `UnreadableEntry`."""
        process = replica.process_of(stream)
        found = await self._find(stream)
        head, state = found if found and found[0].position <= upto else (EMPTY, Stream(process.initial))
        folded = 0
        while entries := [entry for entry in await self._log.read_stream(stream, head.position) if entry.position <= upto]:
            state = replica.fold(stream, entries, state)
            head = Head(entries[-1].position, entries[-1].at, entries[-1].hash)
            folded += len(entries)
        if folded > STREAM_EVERY:
            await self._keep(stream, head, state)
        return state

    async def _find(self, name: str) -> tuple[Head, Any] | None:
        """What was kept under a name, and the entry it is as of; only if it is whole, and the log holds that entry."""
        found = (await self._log.load_snapshots((name,), shape())).get(name)
        if found is None:
            return None
        position, body = found
        try:
            head, value = _opened(name, position, body)
        except Exception as error:  # noqa: BLE001  pickles may fail in any way, and what is derived is worth no stop
            _log.warning("snapshot.unreadable", name=name, error=type(error).__name__)
            return None
        entries = await self._log.read(position - 1, 1)
        if [Head(entry.position, entry.at, entry.hash) for entry in entries] != [head]:
            _log.warning("snapshot.of_another_log", name=name, position=position)
            return None
        return head, value

    async def _keep(self, name: str, head: Head, value: Any) -> None:
        try:
            await self._log.save_snapshot(
                name, shape(), head.position, sealed(name, head.position, pickle.dumps((head, value), protocol=5))
            )
        except LogUnavailable as error:
            _log.warning("snapshot.not_kept", name=name, error=str(error))


def sealed(name: str, position: int, content: bytes) -> bytes:
    """What is stored: the content after a digest of it, of its name and of its position."""
    return _seal(name, position, content) + content


def _seal(name: str, position: int, content: bytes) -> bytes:
    return sha256(f"{name} {position}\n".encode() + content).digest()


def _opened(name: str, position: int, body: bytes) -> Any:
    seal, content = body[:_SEAL_BYTES], body[_SEAL_BYTES:]
    if seal != _seal(name, position, content):
        raise pickle.UnpicklingError("the digest is of something else")
    return _DomainUnpickler(io.BytesIO(content)).load()


class _DomainUnpickler(pickle.Unpickler):
    """Builds the domain's classes, the heads of logs and plain data; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name, if it is data of ours."""
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        ours = module.startswith("domain.") or (module, name) == (Head.__module__, Head.__name__)
        if ours and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a snapshot")
