"""Read models: the lists, which follow the log with their checkpoint in the same transaction.

One row a stream, in the same shape for every process; the SQL views `agenda`, `members`, `proposals` and `rounds` show
them as columns. They are derived: dropped and rebuilt at any time, while the system runs. An **edition** of them belongs to the
declared versions of what makes rows (`Process.list_version`); two releases keep theirs side by side, and a release that makes
the same rows goes on with those that are there.

One process makes them (`eventstore.keeper`). Who reads never writes: it shows the rows that there are, and as of which entry.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from domain.catalog import CATALOG
from domain.kernel import process_of
from domain.process import Process, agenda, describe
from domain.stream import Stream
from eventstore.entries import EMPTY, Entry, encode_json, head_of
from eventstore.log import Log, Row
from eventstore.replica import Replica, UnreadableEntry
from eventstore.snapshots import SnapshotKeeper, Snapshots
from eventstore.wire import Malformed

STANDINGS: Final = "standings"
"""The model that holds a row for each stream, by its name."""
ROW_VERSION: Final = 2
"""The version of a row's fields, and of how text of people is written in them, whatever process it is of. A later one may add fields, and takes none away: releases read each other's rows."""
REBUILDING: Final = "rebuilding"
"""The role of who makes lists anew: one at a time on a log, of whatever edition."""
FOLDED: Final = 10_000
"""The most entries that a reader folds in memory to see what no list shows yet."""

_BATCH: Final = 500
_BATCH_ANEW: Final = 2_000
"""Entries a transaction while lists are made anew: a stream that is touched more than once among them has its row made once."""
_SWEPT: Final = 1_000
_LOOK_SECONDS: Final = 0.5


def edition(processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> str:
    """What the lists of this release are made by: equal editions hold equal rows."""
    return f"row={ROW_VERSION};" + ",".join(f"{name}={processes[name].list_version}" for name in sorted(processes))


_log = structlog.get_logger(__name__)


class Projector:
    """Makes the lists of one log. Several at once do no harm: each batch is taken by one of them."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG, keeper: SnapshotKeeper | None = None) -> None:
        """Gives the states of long streams that it comes by to `keeper`."""
        self._log = log
        self._processes = processes
        self._edition = edition(processes)
        self._snapshots = Snapshots(log)
        self._keeper = keeper
        self._replica = Replica(processes)
        self._at = (0, 0)
        """The generation and checkpoint that the states in the replica belong to."""
        self._met: set[str] | None = None
        """All streams so far, where the replica began at the first entry: another one has not begun."""
        self._begun = False
        self._unreadable: dict[str, Row] = {}
        """Streams that a newer release wrote on, each with the last row that could be made of it."""

    async def catch_up(self) -> int:
        """Brings the lists to the head, made anew when this edition has none; the position reached.

        Once begun, lists that a newer release put away are left to be: the position is that of the head.
        """
        while True:
            generation = self._at[0] or await self._log.generation(self._edition)
            if generation == 0:
                return (await self._log.head()).position if self._begun else await self._first()
            self._begun = True
            position = await self._follow(generation)
            if position is not None:
                return position
            self._at = (0, 0)

    async def rebuild(self, progress: Callable[[int], None] = lambda position: None) -> int:
        """Makes the lists anew from the first entry, and shows them when they have caught up; readers see the old ones until then."""
        async with self._log.leading(REBUILDING):
            return await self._anew(progress)

    async def _first(self) -> int:
        async with self._log.leading(REBUILDING):
            generation = await self._log.generation(self._edition)
            return await self._anew() if generation == 0 else await self._log.checkpoint(generation)

    async def _anew(self, progress: Callable[[int], None] = lambda position: None) -> int:
        while True:
            generation = await self._log.new_generation(self._edition)
            position = await self._follow(generation, _BATCH_ANEW, progress)
            if position is None:
                continue  # whoever was not waited for has put it away
            while not await self._log.promote(generation, position):
                followed = await self._follow(generation)
                if followed is None:
                    break
                position = followed
            else:
                self._begun = True
                while await self._log.sweep(_SWEPT) == _SWEPT:
                    pass
                return position

    async def _follow(self, generation: int, batch: int = _BATCH, progress: Callable[[int], None] = lambda position: None) -> int | None:
        """Takes a generation to the head, and says the position reached; `None` when it is gone."""
        position = self._at[1] if self._at[0] == generation else await self._log.checkpoint(generation)
        while entries := await self._log.read(position, batch):
            if (generation, position) != self._at:
                self._replica, self._met = Replica(self._processes), None if position else set()
            touched = await self._fold(entries, position)
            upto = entries[-1].position
            rows = [self._row(stream, last) for stream, last in touched.items() if self._has_begun(stream)]
            if await self._log.project(generation, position, upto, rows):
                position, self._at = upto, (generation, upto)
                self._replica.trim()
                progress(position)
                continue
            taken = await self._log.checkpoint(generation)
            if taken <= position:
                return None
            position = taken  # another projector took this batch
        return position

    async def _fold(self, entries: Sequence[Entry], before: int) -> Mapping[str, int]:
        """Takes entries into the states of their streams; the streams they touched, each with its last entry's position."""
        touched: dict[str, list[Entry]] = {}
        for entry in entries:
            touched.setdefault(entry.stream, []).append(entry)
        for stream in self._replica.missing(touched):
            begun = self._met is None or stream in self._met
            try:
                initial = Stream(self._replica.process_of(stream).initial)
                self._replica.put(stream, await self._snapshots.load(self._replica, stream, before) if begun else initial)
            except Malformed:
                touched.pop(stream)  # of a process that only a newer release has
            except UnreadableEntry as error:
                self._pass_over(stream, error)
        if self._met is not None:
            self._met.update(touched)
        for stream, mine in touched.items():
            if stream in self._unreadable:
                continue
            try:
                state = self._replica.fold(stream, mine, self._replica.get(stream))
            except UnreadableEntry as error:
                self._pass_over(stream, error)
                continue
            self._replica.put(stream, state)
            if self._keeper is not None:
                await self._keeper.keep_stream(stream, self._replica.process_of(stream), head_of(mine, EMPTY), state)
        return {stream: mine[-1].position for stream, mine in touched.items()}

    def _pass_over(self, stream: str, error: UnreadableEntry) -> None:
        """Leaves a stream as it was when it could be read last."""
        _log.error("stream.written_by_newer", stream=stream, position=error.position)
        process = self._replica.process_of(stream)
        self._unreadable[stream] = row(process, stream, error.state or Stream(process.initial), error.position, unreadable=error.position)

    def _has_begun(self, stream: str) -> bool:
        """Whether anything became true of a stream: one that only refusals name is in no list."""
        return stream in self._unreadable or has_begun(self._replica.get(stream))

    def _row(self, stream: str, position: int) -> Row:
        """The row of a stream; the last that could be made of one that a newer release wrote on."""
        passed_over = self._unreadable.get(stream)
        return passed_over or row(self._replica.process_of(stream), stream, self._replica.get(stream), position)


def has_begun(state: Stream[Any]) -> bool:
    """Whether any event is of the stream: what was refused alone leaves nothing to show."""
    return state.version > 0


def row(process: Process[Any, Any, Any], stream: str, state: Stream[Any], position: int, *, unreadable: int = 0) -> Row:
    """What lists show of a stream as of its last entry's position, and since which entry only a newer release can read it."""
    owed, headline = agenda(process, state), describe(process, state)
    body: dict[str, Any] = {
        "stream": stream, "process": process.name, "phase": headline.phase, "line": headline.line, "details": headline.text,
        "waits_for": list(headline.waits_for), "values": dict(headline.values),
        "due": owed.deadline.at.isoformat() if owed.deadline else None,
        "deadline": owed.deadline.command.kind if owed.deadline else None,
        "closed": owed.closed, "attention": state.attention, "failed": dict(state.failed), "delayed": dict(state.delayed),
        "version": state.version, "position": position,
    }  # fmt: skip
    if unreadable:
        body |= {
            "unreadable": unreadable,
            "line": f"{headline.line}; a newer release wrote entry {unreadable}, and this one cannot read on",
        }
    return Row(STANDINGS, stream, encode_json(body))


# ---------------------------------------------------------------- reading


class Seen(NamedTuple):
    """Rows as a reader sees them, by stream."""

    rows: Sequence[dict[str, Any]]
    position: int
    """As of which entry."""
    head: int
    """The last entry of the log."""


async def seen(log: Log, process: str | None = None, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> Seen:
    """The rows of every stream, or of one process's, as they are shown; the last few entries, if no row shows them yet, folded in memory."""
    shown = await log.shown(edition(processes), STANDINGS)
    head = (await log.head()).position
    rows = {row.key: row.body for row in shown.rows}
    position = shown.position
    if position < head <= position + FOLDED:
        missing = await _missing(log, shown.position, process, processes)
        rows |= {row.key: row.body for row in missing}
        position = head
    wanted = (stream for stream in sorted(rows) if process in {None, process_of(stream)})
    return Seen([json.loads(rows[stream]) for stream in wanted], position, head)


async def seen_of(log: Log, stream: str, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> Seen:
    """The row of one stream, as `seen`; none when nothing is shown of it."""
    shown = await log.shown(edition(processes), STANDINGS, key=stream)
    head = (await log.head()).position
    rows = list(shown.rows)
    after = [entry for entry in await log.read_stream(stream, shown.position, FOLDED + 1) if entry.position <= head]
    if len(after) > FOLDED:
        return Seen([json.loads(row.body) for row in rows], shown.position, head)
    if after:
        rows = await _as_of(log, Replica(processes), stream, after[-1].position)
    return Seen([json.loads(row.body) for row in rows], head, head)


async def standings(log: Log, process: str | None = None) -> Sequence[dict[str, Any]]:
    """The row of every stream, by name; of one process when it is given."""
    return (await seen(log, process)).rows


async def unfinished(log: Log) -> Sequence[str]:
    """The streams that are not closed, as of the head at least. Waits for the lists, where they are far behind it."""
    head = (await log.head()).position
    while (await log.shown(edition(), STANDINGS, key="")).position + FOLDED < head:  # noqa: ASYNC110  nobody tells who waits
        await asyncio.sleep(_LOOK_SECONDS)
    return [row["stream"] for row in await standings(log) if not row["closed"]]


async def _missing(log: Log, after: int, process: str | None, processes: Mapping[str, Process[Any, Any, Any]]) -> Sequence[Row]:
    """The rows of the streams that have entries after a position."""
    last: dict[str, int] = {}
    while entries := await log.read(after):
        last |= {entry.stream: entry.position for entry in entries}
        after = entries[-1].position
    replica = Replica(processes)
    wanted = {stream: position for stream, position in last.items() if process in {None, replica.process_of(stream).name}}
    return [row for stream, position in wanted.items() for row in await _as_of(log, replica, stream, position)]


async def _as_of(log: Log, replica: Replica, stream: str, position: int) -> list[Row]:
    """A stream's row as of its last entry's position; none for one that has not begun."""
    state = await Snapshots(log).load(replica, stream, position)
    return [row(replica.process_of(stream), stream, state, position)] if has_begun(state) else []
