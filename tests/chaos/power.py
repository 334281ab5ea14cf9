"""The lane in which the power fails: of what SQLite wrote, only what was flushed is sure to be on the disk; of the rest, anything.

One run is recorded, every write and flush in its order (`Disk`). For each power failure an instant is drawn, and what the disk may
hold then is made: all that was flushed, and of what was not any part, in sectors. That image is opened as after a restart.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import apsw

from eventstore import sqlite_file
from eventstore.entries import Entry
from eventstore.sqlite import SqliteLog
from tests.chaos.checks import Receipt, everything, kept, problems
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.load import Callers, under_load

SECTOR: Final = 512
BASE: Final = "unix"
COMMANDS: Final = 1_500
"""How many commands a run is given at least: enough for the write-ahead log to be written back a few times."""


class Write(NamedTuple):
    """Bytes at an offset of a file; `None` cuts the file there."""

    name: str
    offset: int
    data: bytes | None


class Flush(NamedTuple):
    """All that was written to the file is on the disk now."""

    name: str


@dataclass
class Disk:
    """What was done to the files of a folder, in order, and when callers were answered."""

    done: list[Write | Flush | Receipt] = field(default_factory=list)

    def image(self, upto: int, chance: Random) -> dict[str, bytearray]:
        """What may be on the disk, file by file, when the power fails after so many operations."""
        files, loose = defaultdict[str, bytearray](bytearray), defaultdict[str, list[Write]](list)
        share = chance.choice((0.0, 0.5, 1.0))
        for operation in self.done[:upto]:
            match operation:
                case Write(name=name):
                    loose[name].append(operation)
                case Flush(name=name):
                    for write in loose.pop(name, ()):
                        _apply(files[name], write)
                case _:
                    continue
        for name, writes in loose.items():
            for sector in (sector for write in writes for sector in _sectors(write)):
                if chance.random() < share:
                    _apply(files[name], sector)
        return files


def _apply(file: bytearray, write: Write) -> None:
    if write.data is None:
        del file[write.offset :]
        return
    if len(file) < write.offset:
        file.extend(bytes(write.offset - len(file)))
    file[write.offset : write.offset + len(write.data)] = write.data


def _sectors(write: Write) -> Iterator[Write]:
    """The write in pieces, each of which the disk writes whole or not at all."""
    if write.data is None:
        yield write
        return
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        upto = min(end, (at // SECTOR + 1) * SECTOR)
        yield Write(write.name, at, write.data[at - write.offset : upto - write.offset])
        at = upto


@contextmanager
def recorded(disk: Disk) -> Iterator[None]:
    """What SQLite does to files meanwhile is recorded, and done."""

    class File(apsw.VFSFile):
        def __init__(self, name: Any, flags: list[int]) -> None:
            self.name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "").name
            super().__init__(BASE, name, flags)

        def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
            disk.done.append(Write(self.name, offset, bytes(data)))
            super().xWrite(data, offset)

        def xTruncate(self, size: int) -> None:  # noqa: N802
            disk.done.append(Write(self.name, size, None))
            super().xTruncate(size)

        def xSync(self, flags: int) -> None:  # noqa: N802
            super().xSync(flags)
            disk.done.append(Flush(self.name))

    class Files(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("recorded", BASE, makedefault=True)

        def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802
            return File(name, flags)

        def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802, FBT001
            super().xDelete(name, sync)
            disk.done.extend((Write(Path(name).name, 0, None), Flush(Path(name).name)))

    files = Files()
    try:
        yield
    finally:
        files.unregister()


async def fails(ground: Ground) -> Findings:
    """Records one run, and lets the power fail at instants of chance in it."""
    disk = Disk()
    callers, begun, entries = await _run(ground.folder / "log.db", disk)
    found = [*callers.faults, *kept(entries, callers.receipts, callers.asked), *problems(entries)]
    for number in range(ground.faults):
        upto = ground.chance.randrange(begun, len(disk.done) + 1)
        folder = ground.folder / str(number)
        folder.mkdir()
        for name, data in disk.image(upto, ground.chance).items():
            (folder / name).write_bytes(data)
        acknowledged = [each for each in disk.done[:upto] if isinstance(each, Receipt)]
        found += [f"power failure after operation {upto}: {wrong}" for wrong in await _lost(folder / "log.db", entries, acknowledged)]
    return Findings(ground.faults, found)


async def _run(path: Path, disk: Disk) -> tuple[Callers, int, Sequence[Entry]]:
    """A run under load; with it, after how many operations the log was open, and all its entries."""
    with recorded(disk):
        log = await SqliteLog.open(path)
        begun = len(disk.done)
        callers = Callers(log, acknowledged=disk.done.append)
        async with under_load(callers):
            while len(callers.receipts) < COMMANDS and not callers.faults:
                await asyncio.sleep(0.05)
        entries = await everything(log)
        await callers.close()
    return callers, begun, entries


async def _lost(path: Path, entries: Sequence[Entry], acknowledged: Sequence[Receipt]) -> list[str]:
    """What is wrong with an image: it must be the beginning of the log, with all in it that was acknowledged."""
    log = await SqliteLog.open(path)
    there = await everything(log)
    await log.close()
    wrong = [] if there == list(entries[: len(there)]) else ["the log is not the beginning of what was recorded"]
    last = max((receipt.position for receipt in acknowledged), default=0)
    return [*wrong, *([f"{last - len(there)} commands were acknowledged, and are not on the log"] if last > len(there) else [])]


async def hurried(ground: Ground) -> Findings:
    """The control: with synchronous NORMAL, SQLite does not flush at each commit."""
    careful = sqlite_file._WRITING
    sqlite_file._WRITING = ("journal_mode = WAL", "synchronous = NORMAL")  # type: ignore[assignment, misc]
    try:
        return await fails(ground)
    finally:
        sqlite_file._WRITING = careful  # type: ignore[misc]


LANES: Final = (
    Lane(
        "power-loss", "the power fails, and what was not flushed is lost in part", 10, 1_000, 100,
        fails, hurried, "synchronous NORMAL", "were acknowledged, and are not on the log",
    ),
)  # fmt: skip
