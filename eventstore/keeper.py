"""The keeper: one of all processes at work on a log makes what is derived from it, the lists and the snapshots.

It leads by a lease, so the others only wait. It is a process of its own (`keeper.py` beside `worker.py`): making lists anew
and writing the register of years takes seconds at a time, and whoever answers commands has none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from domain.catalog import CATALOG
from domain.process import Process
from eventstore import sealing
from eventstore.log import Leadership, Log
from eventstore.readmodels import Projector, edition
from eventstore.snapshots import SnapshotKeeper, register_version, stream_version

GROUP_SECONDS: Final = 0.25
"""How long entries gather before they are taken in: each transaction costs more than its entries. Readers fold in memory what no list shows yet."""


def role(processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> str:
    """The role of who keeps what this release reads. Releases that read the same have one keeper, others one each."""
    versions = [edition(processes), register_version(), *(stream_version(processes[name]) for name in sorted(processes))]
    return f"keeper-{sha256(' '.join(versions).encode()).hexdigest()[:8]}"


class Keeper:
    """Keeps the lists and snapshots of one log at its head."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> None:
        self._log = log
        self._snapshots = SnapshotKeeper(log, processes)
        self._projector = Projector(log, processes, self._snapshots)

    async def keep(self, leadership: Leadership) -> None:
        """Keeps at it for as long as it leads. Raises `LogUnavailable`."""
        while await leadership.holds():
            await self.catch_up()
            await asyncio.sleep(GROUP_SECONDS)

    async def catch_up(self) -> int:
        """Brings lists and snapshots to the head; the position reached."""
        position = await self._projector.catch_up()
        await self._snapshots.keep_register(position)
        return position

    async def rebuild(self, progress: Callable[[int], None]) -> int:
        """Makes the lists anew, see `Projector.rebuild`, and what is kept of the tree, and brings the snapshots to the head; the position reached."""
        position = await self._projector.rebuild(progress)
        await sealing.mend(self._log)
        await self._snapshots.keep_register(position)
        return position
