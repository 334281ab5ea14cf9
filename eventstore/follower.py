"""A replica that follows its log: caught up from a snapshot, then page by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from domain.process import Process
from eventstore import sealing
from eventstore.entries import Salts
from eventstore.fitness import Fitness
from eventstore.log import Log, Sealed, Unfit
from eventstore.replica import Replica, UnreadableEntry
from eventstore.snapshots import Snapshots
from eventstore.wire import Malformed

PAGE: Final = 1_000
"""How many entries of other workers are read at a time."""

_log = structlog.get_logger(__name__)


class Follower:
    """Keeps one replica near the head of its log. What it reads there may make this worker unfit."""

    def __init__(
        self, log: Log, processes: Mapping[str, Process[Any, Any, Any]], fitness: Fitness, salts: Salts, *, signs: bool = False
    ) -> None:
        """Who signs the log holds the edge of its tree too."""
        self._log = log
        self._signs = signs
        self._snapshots = Snapshots(log)
        self._fitness = fitness
        self.replica = Replica(processes, salts)
        self.caught_up = False
        """Whether the replica reached the head, and has followed it since as far as is known. An append finds out when it has not."""

    def start_over(self) -> None:
        """Begins with an empty replica: after a bug the old one is not trusted."""
        self.replica, self.caught_up = Replica(self.replica.processes, self.replica.salts), False

    async def catch_up(self) -> None:
        """Takes in what other workers recorded. Raises `Damaged`, `FellBack`."""
        sealed = await self._log.sealed() if self._lacks_edge() else None
        if self.replica.head.position == 0:
            await self._snapshots.restore(self.replica)
            self.replica.first = "".join(entry.hash.hex() for entry in await self._log.read(0, 1))
        full = True
        try:
            while full:
                entries = await self._log.read(self.replica.head.position, PAGE)
                self.replica.follow(entries)
                if self.replica.beyond is not None:
                    self._fitness.declare(self.replica.beyond)
                full = len(entries) == PAGE  # what comes after a page that was not full, an append finds out
            if self._lacks_edge():
                await self._find_edge(sealed)
        except Unfit as error:
            self._fitness.declare(error)
            raise
        self.caught_up = True

    def _lacks_edge(self) -> bool:
        return self._signs and self.replica.frontier is None and self.replica.beyond is None

    async def _find_edge(self, sealed: Sealed | None) -> None:
        """Gives the replica the edge of the tree at its head. What was signed is of before the head was read: it cannot reach beyond."""
        replica = self.replica
        replica.frontier = await sealing.frontier(self._log, sealed, replica.first, replica.register, replica.head.position)

    async def load(self, streams: Iterable[str]) -> None:
        """Gives the replica the states of those of these streams that it lacks. One that a newer release wrote on is parked."""
        for stream in self.replica.missing(streams):
            try:
                self.replica.put(stream, await self._snapshots.load(self.replica, stream, self.replica.durable.position))
            except Malformed:
                continue
            except UnreadableEntry as error:
                _log.error("stream.written_by_newer", stream=stream, position=error.position)
                self.replica.park(stream, error.position)
