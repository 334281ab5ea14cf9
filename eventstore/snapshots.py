"""Snapshots of long streams and of the register: a start in a moment instead of a fold of years.

They are derived, belong to exactly the domain code that made them, and are never used to verify anything. They are
read by an unpickler that can build the domain's own data and nothing else.
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
from eventstore.entries import Head
from eventstore.log import Log, LogUnavailable
from eventstore.replica import Replica

REGISTER: Final = "register"
"""The name of the register's snapshot; those of streams have the streams' names, which hold a slash."""
REGISTER_EVERY: Final = 5_000
"""Entries between two snapshots of the register."""
STREAM_EVERY: Final = 1_000
"""More entries of a stream than this are not folded twice."""

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
        _, (head, register) = found
        replica.head, replica.register = head, register
        self._kept = head.position

    async def keep_register(self, replica: Replica) -> None:
        """Keeps the register, when enough was recorded since the last time."""
        if replica.head.position >= self._kept + REGISTER_EVERY:
            self._kept = replica.head.position
            await self._keep(REGISTER, replica.head.position, (replica.head, replica.register))

    async def load(self, replica: Replica, stream: str, upto: int) -> Stream[Any]:
        """The state of a stream as of a position of the log. Raises `UnreadableEntry`."""
        process = replica.process_of(stream)
        found = await self._find(stream)
        position, state = found if found and found[0] <= upto else (0, Stream(process.initial))
        folded = 0
        while entries := [entry for entry in await self._log.read_stream(stream, position) if entry.position <= upto]:
            state = replica.fold(stream, entries, state)
            position = entries[-1].position
            folded += len(entries)
        if folded > STREAM_EVERY:
            await self._keep(stream, position, state)
        return state

    async def _find(self, name: str) -> tuple[int, Any] | None:
        found = (await self._log.load_snapshots((name,), shape())).get(name)
        if found is None:
            return None
        try:
            return found[0], _DomainUnpickler(io.BytesIO(found[1])).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
            _log.warning("snapshot.unreadable", name=name, error=type(error).__name__)
            return None

    async def _keep(self, name: str, position: int, value: Any) -> None:
        try:
            await self._log.save_snapshot(name, shape(), position, pickle.dumps(value, protocol=5))
        except LogUnavailable as error:
            _log.warning("snapshot.not_kept", name=name, error=str(error))


class _DomainUnpickler(pickle.Unpickler):
    """Builds the domain's classes, the heads of logs and plain data; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name, if it is data of ours."""
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith("domain.") or (module, name) == (Head.__module__, "Head") else None
        if isinstance(found, type):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a snapshot")
