"""The log in memory: for the simulator and for tests. Nothing is durable; every other promise holds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile

from eventstore.entries import EMPTY, Entry, Head, falls, head_of
from eventstore.log import OLDER_RULES, Appended, HostClock, Leadership, Lists, NewerRules, Row, Seal, Sealed
from transparency.tree import Kept


@dataclass
class _List:
    """A generation of lists."""

    edition: str
    checkpoint: int = 0
    live: bool = False


class MemoryLog:
    """A log in one process's memory."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._ids: dict[str, int] = {}
        self._streams: dict[str, list[int]] = {}
        self._lock = asyncio.Lock()
        self._grown = asyncio.Condition()
        self._leading = defaultdict[str, asyncio.Lock](asyncio.Lock)
        self._holder: asyncio.Task[object] | None = None
        self._generations = 0
        self._lists: dict[int, _List] = {}
        self._rows: dict[tuple[int, str, str], bytes] = {}
        self._snapshots: dict[str, dict[str, tuple[int, bytes]]] = {}
        self._sealed: Sealed | None = None
        self._kept: dict[tuple[int, int], bytes] = {}

    async def head(self) -> Head:
        """See `Log.head`."""
        return head_of(self._entries, EMPTY)

    async def read(self, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """See `Log.read`."""
        return self._entries[after : after + limit]

    async def read_stream(self, stream: str, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        positions = (position for position in self._streams.get(stream, ()) if position > after)
        return [self._entries[position - 1] for _, position in zip(range(limit), positions, strict=False)]

    async def last_of(self, stream: str, limit: int) -> Sequence[Entry]:
        """See `Log.last_of`."""
        positions = self._streams.get(stream, [])
        return [self._entries[position - 1] for position in positions[max(len(positions) - limit, 0) :]]

    async def find(self, command_ids: Sequence[str]) -> Sequence[Entry]:
        """See `Log.find`."""
        found = sorted({self._ids[command_id] for command_id in command_ids if command_id in self._ids})
        return [self._entries[position - 1] for position in found]

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        """See `Log.append`."""
        if self._holder is asyncio.current_task():
            return await self._append(entries, seal)
        async with self._lock:
            return await self._append(entries, seal)

    def begin(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Awaitable[Appended]:
        """See `Log.begin`."""
        return asyncio.create_task(self.append(entries, host_clock, seal))

    async def sealed(self) -> Sealed | None:
        """See `Log.sealed`."""
        return self._sealed

    async def hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """See `Log.hashes`."""
        if not level:
            return [entry.hash for entry in self._entries[begin:end]]
        found = (self._kept.get((level, number)) for number in range(begin, end))
        return [each for each in takewhile(bool, found) if each]

    async def keep_hashes(self, kept: Sequence[Kept]) -> None:
        """See `Log.keep_hashes`."""
        self._kept.update(((each.level, each.number), each.hash) for each in kept)

    async def time(self) -> None:
        """See `Log.time`: one process has one clock."""

    async def _append(self, entries: Sequence[Entry], seal: Seal | None) -> Appended:
        if not entries:
            return Appended.DONE
        head = head_of(self._entries, EMPTY)
        if entries[0].previous != head.hash:
            return Appended.BEHIND
        if any(falls(entry.rules, before) for before, entry in zip((head.rules, *(each.rules for each in entries)), entries, strict=False)):
            raise NewerRules(OLDER_RULES)
        ids = {entry.command_id for entry in entries}
        if len(ids) < len(entries) or not self._ids.keys().isdisjoint(ids):
            return Appended.REPEATED
        for entry in entries:
            self._ids[entry.command_id] = entry.position
            self._streams.setdefault(entry.stream, []).append(entry.position)
        self._entries.extend(entries)
        if seal is not None:
            self._sealed = seal.sealed or self._sealed
            await self.keep_hashes(seal.kept)
        async with self._grown:
            self._grown.notify_all()
        return Appended.DONE

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """See `Log.exclusive`."""
        async with self._lock:
            self._holder = asyncio.current_task()
            try:
                yield
            finally:
                self._holder = None

    @asynccontextmanager
    async def leading(self, role: str) -> AsyncIterator[Leadership]:
        """See `Log.leading`."""
        async with self._leading[role]:
            yield _Leadership()

    async def led(self, role: str) -> bool:
        """See `Log.led`."""
        return self._leading[role].locked()

    async def changed(self, after: int, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Log.changed`."""
        try:
            async with asyncio.timeout(timeout), self._grown:
                await self._grown.wait_for(lambda: len(self._entries) > after)
        except TimeoutError:
            return False
        return True

    async def generation(self, edition: str) -> int:
        """See `Log.generation`."""
        return next((number for number, each in self._lists.items() if each.live and each.edition == edition), 0)

    async def new_generation(self, edition: str) -> int:
        """See `Log.new_generation`."""
        self._generations += 1
        self._lists[self._generations] = _List(edition)
        return self._generations

    async def checkpoint(self, generation: int) -> int:
        """See `Log.checkpoint`."""
        return self._lists[generation].checkpoint if generation in self._lists else 0

    async def project(self, generation: int, after: int, upto: int, rows: Sequence[Row]) -> bool:
        """See `Log.project`."""
        if generation not in self._lists or self._lists[generation].checkpoint != after:
            return False
        for row in rows:
            if row.body:
                self._rows[generation, row.model, row.key] = row.body
            else:
                self._rows.pop((generation, row.model, row.key), None)
        self._lists[generation].checkpoint = upto
        return True

    async def promote(self, generation: int, at: int) -> bool:
        """See `Log.promote`."""
        mine = self._lists.get(generation)
        if mine is None or mine.checkpoint < max(at, await self.checkpoint(await self.generation(mine.edition))):
            return False
        others = [number for number, each in self._lists.items() if each.live and each.edition != mine.edition]
        stays = max(others, key=lambda number: (self._lists[number].checkpoint, number), default=generation)
        self._lists = {number: self._lists[number] for number in {stays, generation}}
        mine.live = True
        return True

    async def sweep(self, most: int) -> int:
        """See `Log.sweep`."""
        gone = [key for key in self._rows if key[0] not in self._lists][:most]
        for key in gone:
            del self._rows[key]
        return len(gone)

    async def shown(self, edition: str, model: str, *, key: str | None = None) -> Lists:
        """See `Log.shown`."""
        live = ((each.edition == edition, each.checkpoint, number) for number, each in self._lists.items() if each.live)
        _, position, number = max(live, default=(False, 0, 0))
        wanted = ((name, body) for (generation, kind, name), body in self._rows.items() if generation == number and kind == model)
        rows = [Row(model, name, body) for name, body in sorted(wanted) if key in {None, name}]
        return Lists(self._lists[number].edition if number else "", position, rows)

    async def load_snapshots(self, names: Sequence[str], version: str) -> Mapping[str, tuple[int, bytes]]:
        """See `Log.load_snapshots`."""
        return {name: self._snapshots[name][version] for name in names if version in self._snapshots.get(name, {})}

    async def save_snapshot(self, name: str, version: str, position: int, body: bytes) -> None:
        """See `Log.save_snapshot`."""
        mine = self._snapshots.setdefault(name, {})
        mine[version] = (position, body)
        others = sorted((each for each in mine if each != version), key=lambda each: mine[each][0])
        for outdated in others[:-1]:
            del mine[outdated]

    async def close(self) -> None:
        """See `Log.close`."""


class _Leadership:
    """Who leads in this process leads until it is left."""

    async def holds(self) -> bool:
        """See `Leadership.holds`."""
        return True
