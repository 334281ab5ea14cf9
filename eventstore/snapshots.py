"""Snapshots of long streams and of the register: a start in a moment instead of a fold of years.

They are derived, belong to the declared version of what they hold (`Process.state_version`, `REGISTER_VERSION`), and are never
used to verify anything. Releases with different versions keep theirs side by side. One that is damaged, kept under another name,
made of classes that are elsewhere now, or of entries that the log does not hold is no snapshot: the log is folded instead. They
are read by an unpickler that can build the domain's own data and nothing else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import structlog

from domain.process import Process
from domain.register.fold import REGISTER_VERSION
from domain.stream import STREAM_VERSION, Stream
from eventstore.entries import EMPTY, Head, head_of
from eventstore.log import Log
from eventstore.replica import Replica

REGISTER: Final = "register"
"""The name of the register's snapshot; those of streams have the streams' names, which hold a slash."""
FORM: Final = 1
"""The version of how a snapshot is written, whatever it holds."""
REGISTER_EVERY: Final = 5_000
"""The fewest entries between two snapshots of the register."""
STREAM_EVERY: Final = 1_000
"""The fewest events of a stream between two snapshots of it."""
GROWTH: Final = 16
"""A snapshot is made again when what it is of is a sixteenth longer: all snapshots together stay below about seventeen times the newest."""

_SEAL_BYTES: Final = sha256().digest_size
_PLAIN: Final = frozenset(
    {("datetime", "datetime"), ("datetime", "date"), ("datetime", "timedelta"), ("datetime", "timezone"), ("immutables._map", "Map"),
     ("builtins", "frozenset"), ("builtins", "set"), ("copyreg", "_reconstructor"), ("builtins", "object"), ("pydantic_core._pydantic_core", "TzInfo")}
)  # fmt: skip

_log = structlog.get_logger(__name__)


def register_version() -> str:
    """Which snapshots of the register this release reads."""
    return f"{FORM}.{REGISTER_VERSION}"


def stream_version(process: Process[Any, Any, Any]) -> str:
    """Which snapshots of a process's streams this release reads."""
    return f"{FORM}.{STREAM_VERSION}.{process.state_version}"


class Snapshots:
    """Reads the snapshots of one log. Nobody who answers commands makes any: what takes years to grow takes seconds to write."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def restore(self, replica: Replica) -> None:
        """Takes an empty replica as far as the register's snapshot reaches; the log itself takes it further."""
        found = await self.find(REGISTER, register_version())
        if found is not None:
            replica.head, replica.register = found

    async def load(self, replica: Replica, stream: str, upto: int) -> Stream[Any]:
        """The state of a stream as of a position of the log. Raises `UnreadableEntry` with the state before, and `Damaged`."""
        process = replica.process_of(stream)
        found = await self.find(stream, stream_version(process))
        head, state = found if found and found[0].position <= upto else (EMPTY, Stream(process.initial))
        while entries := [entry for entry in await self._log.read_stream(stream, head.position) if entry.position <= upto]:
            state = replica.fold(stream, entries, state)
            head = head_of(entries, head)
        return state

    async def find(self, name: str, version: str) -> tuple[Head, Any] | None:
        """What was kept under a name, and the entry it is as of; only if it is whole, and the log holds that entry."""
        found = (await self._log.load_snapshots((name,), version)).get(name)
        if found is None:
            return None
        position, body = found
        try:
            head, value = _opened(name, position, body)
        except Exception as error:  # noqa: BLE001  pickles may fail in any way, and what is derived is worth no stop
            _log.warning("snapshot.unreadable", name=name, version=version, error=f"{type(error).__name__}: {error}")
            return None
        entries = await self._log.read(position - 1, 1)
        if [Head.of(entry) for entry in entries] != [head]:
            _log.warning("snapshot.of_another_log", name=name, position=position)
            return None
        return head, value


class SnapshotKeeper:
    """Makes the snapshots of one log, as often as it is worth it."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]]) -> None:
        self._log = log
        self._snapshots = Snapshots(log)
        self._register = Replica(processes)
        """Holds no streams."""
        self._kept = 0
        """As of which entry the register was kept last."""
        self._versions: dict[str, int] = {}
        """Which versions of long streams were kept last."""

    async def keep_register(self, upto: int) -> None:
        """Keeps the register, when enough was recorded since the last time."""
        register = self._register
        if register.head.position == 0:
            await self._snapshots.restore(register)
            self._kept = register.head.position
        if upto < _again(self._kept, REGISTER_EVERY):
            return
        while entries := await self._log.read(register.head.position):
            register.follow(entries)
        if register.beyond is not None:
            return  # what a newer release stated is missing in it
        self._kept = register.head.position
        await self._keep(REGISTER, register_version(), register.head, register.register)

    async def keep_stream(self, stream: str, process: Process[Any, Any, Any], head: Head, state: Stream[Any]) -> None:
        """Keeps a stream's state as of its last entry, when enough happened on it since the last time."""
        if state.version < STREAM_EVERY:
            return
        if stream not in self._versions:
            found = await self._snapshots.find(stream, stream_version(process))
            self._versions[stream] = found[1].version if found else 0
        if state.version >= _again(self._versions[stream], STREAM_EVERY):
            self._versions[stream] = state.version
            await self._keep(stream, stream_version(process), head, state)

    async def _keep(self, name: str, version: str, head: Head, value: Any) -> None:
        body = sealed(name, head.position, pickle.dumps((head, value), protocol=5))
        await self._log.save_snapshot(name, version, head.position, body)


def _again(kept: int, least: int) -> int:
    """How far something must have come to be kept again, when it was kept last at `kept`."""
    return kept + max(least, kept // GROWTH)


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
