"""What the log says is unfinished, and how late a deadline is.

The lists of the read models say it, as of their checkpoint. They are read whole once, and then only where entries came since: a
look costs what happened since the last one, however many streams are open or finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from domain.catalog import CATALOG
from domain.process import Process
from eventstore.clock import Clock
from eventstore.log import Lists, Log, Row
from eventstore.readmodels import STANDINGS, edition

LATE: Final = timedelta(minutes=1)
"""A deadline that has stood for so long is overdue: what is well acts within seconds."""
_PAGE: Final = 1_000
_AHEAD: Final = 20_000
"""When more entries than this came since the last look, the lists are read whole again."""


class Unfinished(NamedTuple):
    """A stream whose process is not at its end."""

    stream: str
    due: datetime | None
    """When its deadline stands, by the log's clock."""
    deadline: str
    attention: bool
    """Whether a step of it waits for a person, or takes long."""


class _Standing(msgspec.Struct):
    """What of a row is looked at."""

    closed: bool
    due: datetime | None = None
    deadline: str | None = None
    attention: bool = False


_row: Final = msgspec.json.Decoder(_Standing)


class Outstanding:
    """The unfinished streams of one log, as its lists show them."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> None:
        self._log = log
        self._edition = edition(processes)
        self._seen: tuple[str, int] | None = None
        """Of which edition the lists were, and as of which entry, when they were looked at last."""
        self._streams: dict[str, Unfinished] = {}

    async def look(self) -> Mapping[str, Unfinished]:
        """The unfinished streams by name, as the lists show them now."""
        shown = await self._log.shown(self._edition, STANDINGS, key="")
        if self._seen is None or shown.edition != self._seen[0] or not 0 <= shown.position - self._seen[1] <= _AHEAD:
            shown = await self._look_at_all()
        else:
            for stream in await self._touched(self._seen[1], shown.position):
                self._take(stream, (await self._log.shown(self._edition, STANDINGS, key=stream)).rows)
        self._seen = (shown.edition, shown.position)
        return self._streams

    async def _look_at_all(self) -> Lists:
        shown = await self._log.shown(self._edition, STANDINGS)
        self._streams = {}
        for number, row in enumerate(shown.rows, 1):
            self._take(row.key, (row,))
            if number % _PAGE == 0:
                await asyncio.sleep(0)  # commands are answered meanwhile
        return shown

    async def _touched(self, after: int, upto: int) -> Mapping[str, None]:
        """The streams that have entries after a position, up to another."""
        touched: dict[str, None] = {}
        while after < upto and (entries := await self._log.read(after, min(_PAGE, upto - after))):
            touched |= dict.fromkeys(entry.stream for entry in entries)
            after = entries[-1].position
        return touched

    def _take(self, stream: str, rows: Sequence[Row]) -> None:
        standing = _row.decode(rows[0].body) if rows else None
        if standing is None or standing.closed:
            self._streams.pop(stream, None)
        else:
            self._streams[stream] = Unfinished(stream, standing.due, standing.deadline or "", standing.attention)


def late(due: datetime | None, clock: Clock, now: datetime) -> timedelta:
    """For how long a deadline has stood, in real time; nothing when it is not due, or not by itself."""
    at = clock.real(due) if due is not None else None
    return max(now - at, timedelta()) if at is not None else timedelta()
