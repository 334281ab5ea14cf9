"""Read models: what lists show, following the log with their checkpoint in the same transaction.

One row a stream, in the same shape for every process; the SQL views `agenda`, `members`, `proposals` and `rounds` show
them as columns. They are derived: dropped and rebuilt at any time, while the system runs. A generation of them belongs to
the code that made it; another release makes its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from domain import process as kernel
from domain.catalog import CATALOG
from domain.process import Process
from eventstore.entries import Entry, encode_json
from eventstore.log import Log, Row
from eventstore.replica import Replica
from eventstore.snapshots import Snapshots, shape

STANDINGS: Final = "standings"
"""The model that holds a row for each stream, by its name."""
ABOUT: Final = "about"
_MADE_BY: Final = "made_by"
"""The model, and its one row, that says which code made the rows of its generation."""

_BATCH: Final = 500


class Projector:
    """Keeps the read models of one log. Several may run at once: each batch is taken by one of them."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> None:
        self._log = log
        self._processes = processes
        self._snapshots = Snapshots(log)
        self._replica = Replica(processes)
        self._at = (0, 0)
        """The generation and checkpoint that the states in the replica belong to."""
        self._begun = False

    async def catch_up(self) -> int:
        """Brings the read models to the head, made anew when they are of other code; the position reached."""
        generation = await self._log.generation()
        if generation == 0 or not await self._ours():
            return await self.rebuild()
        return await self._follow(generation)

    async def follow(self) -> None:
        """Keeps the read models at the head until cancelled. Once begun, it leaves those that another release took over to that release."""
        while True:
            if self._begun and not await self._ours():
                position = (await self._log.head()).position
            else:
                position = await self.catch_up()
                self._begun = True
            await self._log.changed(position, 5.0)

    async def rebuild(self) -> int:
        """Makes the read models anew from the first entry, and shows them when they have caught up; readers see the old ones until then."""
        generation = await self._log.generation() + 1
        while await self._log.checkpoint(generation):  # one that was interrupted, perhaps of other code: it goes when ours is shown
            generation += 1
        while True:
            position = await self._follow(generation)
            if await self._log.promote(generation, position):
                return position

    async def _ours(self) -> bool:
        """Whether the rows that readers see were made by this code; so are those of an empty generation."""
        return all(row.body == _made_by() for row in await self._log.rows(ABOUT, key=_MADE_BY))

    async def _follow(self, generation: int) -> int:
        position = await self._log.checkpoint(generation)
        while entries := await self._log.read(position, _BATCH):
            if (generation, position) != self._at:
                self._replica = Replica(self._processes)
            touched = await self._fold(entries, position)
            upto = entries[-1].position
            rows = [self._row(stream, last) for stream, last in touched.items()]
            if position == 0:
                rows.append(Row(ABOUT, _MADE_BY, _made_by()))
            if await self._log.project(generation, position, upto, rows):
                position, self._at = upto, (generation, upto)
                self._replica.trim()
            else:  # another projector took this batch
                position = await self._log.checkpoint(generation)
        return position

    async def _fold(self, entries: Sequence[Entry], before: int) -> Mapping[str, int]:
        """Takes entries into the states of their streams; the streams they touched, each with its last entry's position."""
        touched: dict[str, list[Entry]] = {}
        for entry in entries:
            touched.setdefault(entry.stream, []).append(entry)
        for stream in self._replica.missing(touched):
            self._replica.put(stream, await self._snapshots.load(self._replica, stream, before))
        for stream, mine in touched.items():
            self._replica.put(stream, self._replica.fold(stream, mine, self._replica.get(stream)))
        return {stream: mine[-1].position for stream, mine in touched.items()}

    def _row(self, stream: str, position: int) -> Row:
        process, state = self._replica.process_of(stream), self._replica.get(stream)
        agenda, headline = kernel.agenda(process, state), kernel.describe(process, state)
        body = {
            "stream": stream, "process": process.name, "phase": headline.phase, "line": headline.line, "details": headline.text,
            "waits_for": list(headline.waits_for), "values": dict(headline.values),
            "due": agenda.deadline.at.isoformat() if agenda.deadline else None,
            "deadline": agenda.deadline.command.kind if agenda.deadline else None,
            "closed": agenda.closed, "attention": bool(state.failed), "failed": dict(state.failed),
            "version": state.version, "position": position,
        }  # fmt: skip
        return Row(STANDINGS, stream, encode_json(body))


@cache
def _made_by() -> bytes:
    """A digest of the code that makes rows, as JSON."""
    return encode_json(sha256(shape().encode() + files("eventstore").joinpath("readmodels.py").read_bytes()).hexdigest())


async def standings(log: Log, process: str | None = None) -> Sequence[dict[str, Any]]:
    """The row of every stream, by name; of one process when it is given."""
    rows = (json.loads(row.body) for row in await log.rows(STANDINGS))
    return [row for row in rows if process in {None, row["process"]}]
