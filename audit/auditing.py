"""An audit of an export: nothing but the file is needed, and nothing that it says is believed.

Lines, hashes and signatures are checked by one process for each core (`audit.alone`), batches ahead of this one, which decides every entry
again in order (`audit.reexecute`), and holds the checkpoint against the tree of all of them (`audit.sealed`). What is in memory is what
the log's streams come to, and a few batches: not the file.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import BinaryIO, Final

from audit.alone import FINE, Flaw, flaws_in
from audit.reexecute import Reexecution
from audit.sealed import Signed
from eventstore.entries import Broken, Entry
from eventstore.export import LONGEST, read

BATCH: Final = 256
"""The most lines that a process is given at a time."""
BATCH_BYTES: Final = 2**20
"""So many bytes end a batch, however few lines they are."""
AHEAD: Final = 3
"""Batches for each process that are read before they are needed."""
AHEAD_BYTES: Final = 2**25
"""What they may come to, whatever somebody put in the lines."""

_Given = tuple[Sequence[bytes], Future[Sequence[Flaw]]]
"""Lines that a process looks at."""


class Audit:
    """One audit. Go through `steps` to their end; then `broken` is the first entry that is not as it must be, if one is."""

    def __init__(self, file: Path, sealed: bytes | None = None, processes: int | None = None) -> None:
        """Of this export, and of the checkpoint that came with it. Raises `Invalid` for what is no signed checkpoint."""
        self.again: Final = Reexecution()
        self.signed: Final = None if sealed is None else Signed(sealed)
        self.broken: Broken | None = None
        self._file = file
        self._processes = processes or os.cpu_count() or 1

    def steps(self) -> Iterator[int]:
        """Goes on by a batch each time, and says how many entries are checked. Raises `OSError` where the file cannot be read."""
        with self._file.open("rb") as file:
            for lines, flaws in _examined(file, self._processes):
                self.broken = self._follow(lines, flaws)
                yield self.again.head.position
                if self.broken is not None:
                    return
        if self.signed is not None:
            self.broken = self.signed.judge(self.again.first, self.again.register, complete=self.again.complete)

    @property
    def sealed(self) -> int | None:
        """How many entries are under a checkpoint of this log; none where no checkpoint is believed."""
        return self.signed.size if self.signed is not None and self.signed.believed else None

    def _follow(self, lines: Sequence[bytes], flaws: Sequence[Flaw]) -> Broken | None:
        """The first of the next lines that is not as it must be."""
        known, hashes = {flaw.number: flaw for flaw in flaws}, list[bytes]()
        for number, line in enumerate(lines):
            flaw = known.get(number)
            if flaw is not None and flaw.unreadable:
                return Broken(self.again.head.position + 1, flaw.unreadable)
            entry: Entry = read(line)
            wrong = self.again.follow(entry, FINE if flaw is None else flaw.alone)
            if wrong is not None:
                return wrong
            hashes.append(entry.hash)
        if self.signed is not None:
            self.signed.extend(hashes)
        return None


def _examined(file: BinaryIO, processes: int) -> Iterator[tuple[Sequence[bytes], Sequence[Flaw]]]:
    """The lines of a file in order, each batch with its flaws."""
    batches = _batches(file)
    few = list(islice(batches, 2))
    if processes < 2 or len(few) < 2:
        yield from ((lines, flaws_in(lines)) for lines in chain(few, batches))
    else:
        yield from _examined_by_many(chain(few, batches), processes)


def _examined_by_many(batches: Iterable[Sequence[bytes]], processes: int) -> Iterator[tuple[Sequence[bytes], Sequence[Flaw]]]:
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin)
    ahead, held = deque[_Given](), 0
    try:
        _start(pool, processes)
        for lines in batches:
            ahead.append((lines, pool.submit(flaws_in, lines)))
            held += _size(lines)
            while ahead and (len(ahead) > AHEAD * processes or held > AHEAD_BYTES):
                held -= _size(ahead[0][0])
                yield _next(ahead)
        while ahead:
            yield _next(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(ahead: deque[_Given]) -> tuple[Sequence[bytes], Sequence[Flaw]]:
    lines, found = ahead.popleft()
    return lines, found.result()


def _size(lines: Sequence[bytes]) -> int:
    return sum(map(len, lines))


def _batches(file: BinaryIO) -> Iterator[Sequence[bytes]]:
    lines, size = list[bytes](), 0
    while line := file.readline(LONGEST):
        lines.append(line)
        size += len(line)
        if len(lines) == BATCH or size >= BATCH_BYTES:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _start(pool: ProcessPoolExecutor, processes: int) -> None:
    """Starts the processes of a pool. Ctrl-C at a terminal reaches them too: they leave it to this one, from their first moment on."""
    main = current_thread() is main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        for _ in range(processes):
            pool.submit(int)
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """A process of the pool does not outlive the one that started it."""
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
