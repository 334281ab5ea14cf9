"""Lanes in which the disk under an SQLite log is full, gives errors, or forgets what was not flushed when the power fails."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final, Protocol

from activities import logs
from eventstore.log import LogUnavailable
from eventstore.sqlite import SqliteLog
from tests.chaos.careless import DeafSqlite
from tests.chaos.checks import everything
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.load import Callers, Told, read, say, speaking, under_load, written

ROOM: Final = 24 * 1024 * 1024
"""Bytes of the small file system."""
ERRORS: Final = ("posix/io/rw/pwrite", "posix/io/sync/fdatasync")
PROBABILITY: Final = 0.03
FAILURE_SECONDS: Final = 30
IMPATIENT_SECONDS: Final = 3
KINDS: Final = {"careful": SqliteLog, "deaf": DeafSqlite}
LEFT: Final = 40_000
"""How many bytes are left at most, when room gets tight."""


# ------------------------------------------------------------ the process that writes


class Squeeze(Protocol):
    """A way to take room away, and to give it back."""

    def tighten(self) -> None:
        """Soon nothing more can be written."""

    def loosen(self) -> None:
        """There is room again."""


class Limit:
    """RLIMIT_FSIZE: no file grows beyond a size."""

    def __init__(self, log: Path, chance: Random) -> None:
        self._wal = log.with_name(log.name + "-wal")
        self._chance = chance

    def tighten(self) -> None:
        size = self._wal.stat().st_size if self._wal.exists() else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + self._chance.randrange(LEFT), resource.RLIM_INFINITY))

    def loosen(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Filler:
    """A file that takes all the room but a little."""

    def __init__(self, log: Path, chance: Random) -> None:
        self._path = log.with_name("filler")
        self._chance = chance

    def tighten(self) -> None:
        with self._path.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65_536))
        os.truncate(self._path, max(0, self._path.stat().st_size - self._chance.randrange(LEFT)))

    def loosen(self) -> None:
        self._path.unlink()


class Patience:
    """Nothing is done: the disk is bad by itself."""

    def tighten(self) -> None:
        pass

    def loosen(self) -> None:
        pass


SQUEEZES: Final[dict[str, Callable[[Path, Random], Squeeze]]] = {
    "limit": Limit, "filler": Filler, "bad": lambda log, chance: Patience(),
}  # fmt: skip


async def write(kind: str, squeeze: str, path: Path, seed: str, faults: int) -> None:
    """Writes under the load while the disk fails so many times."""
    chance, deaf = Random(seed), kind == "deaf"
    tight, log = SQUEEZES[squeeze](path, chance), await _opened(kind, path)
    callers = speaking(log)
    if deaf:
        callers.patience_seconds = IMPATIENT_SECONDS
    async with under_load(callers, read(story_of(path).read_text(encoding="utf-8"))):
        for _ in range(faults):
            before = callers.failures
            tight.tighten()
            failed = await _failed(callers, before, 1 if deaf else FAILURE_SECONDS)
            tight.loosen()
            if failed:
                say("fault")
            await asyncio.sleep(chance.uniform(0, 0.05))
    for fault in callers.faults:
        say("shown", fault)
    with suppress(LogUnavailable):
        await callers.close()


async def _opened(kind: str, path: Path) -> SqliteLog:
    while True:
        with suppress(LogUnavailable):
            return await KINDS[kind].open(path)


async def _failed(callers: Callers, before: int, seconds: float) -> bool:
    """Whether one more append fails, within so many seconds."""
    end = asyncio.get_running_loop().time() + seconds
    while callers.failures == before and not callers.faults and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.002)
    return callers.failures > before


# ------------------------------------------------------------ full, and bad


async def _written(ground: Ground, folder: Path, *words: str, before: Sequence[str] = ()) -> Findings:
    """Has a process of its own write a log in the folder, and looks at what came of it."""
    path = folder / "log.db"
    begun = await _begun(path)
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", "tests.chaos.disk", *words, str(path), str(ground.chance.random()), str(ground.faults),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    told = Told.of(out.splitlines(keepends=True))
    log = await SqliteLog.open(path)
    found = told.problems(await everything(log), begun)
    await log.close()
    if process.returncode and "careful" in words:
        found.append(f"the writing process ended with {process.returncode}: {errors.decode()[-500:]}")
    return Findings(told.faults, found)


async def _begun(path: Path) -> Callers:
    log = await SqliteLog.open(path)
    callers = Callers(log)
    story_of(path).write_text(written(await callers.begin()), encoding="utf-8")
    await callers.close()
    return callers


def story_of(log: Path) -> Path:
    """Where the end of the story is found."""
    return log.with_name("story.json")


async def full(ground: Ground) -> Findings:
    """No file may grow any more (RLIMIT_FSIZE), and then it may again."""
    return await _written(ground, ground.folder, "careful", "limit")


async def full_unheard(ground: Ground) -> Findings:
    """The control: an append that failed is taken for done."""
    return await _written(ground, ground.folder, "deaf", "limit")


async def small(ground: Ground) -> Findings:
    """A small file system is filled to the last bytes, and emptied again."""
    with small_file_system(ground.folder) as folder:
        return await _written(ground, folder, "careful", "filler")


async def small_unheard(ground: Ground) -> Findings:
    """The control: an append that failed is taken for done."""
    with small_file_system(ground.folder) as folder:
        return await _written(ground, folder, "deaf", "filler")


async def bad(ground: Ground) -> Findings:
    """One write in so many, and one flush, fails with an I/O error."""
    return await _written(ground, ground.folder, "careful", "bad", before=fiu())


async def bad_unheard(ground: Ground) -> Findings:
    """The control: an append that failed is taken for done."""
    return await _written(ground, ground.folder, "deaf", "bad", before=fiu())


@contextmanager
def small_file_system(folder: Path) -> Iterator[Path]:
    """A tmpfs with little room."""
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)), check=True)
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fiu() -> Sequence[str]:
    """What runs a program with I/O errors of chance."""
    faults = [text for name in ERRORS for text in ("-c", f"enable_random name={name},probability={PROBABILITY}")]
    return ("fiu-run", "-x", *faults)


def no_file_system() -> str:
    """Why no small file system can be had."""
    if os.geteuid() != 0:
        return "only root mounts a tmpfs"
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", "size=1m", "none", folder), check=False, capture_output=True)
        if mounted.returncode:
            return "no tmpfs can be mounted here"
        subprocess.run(("umount", folder), check=True)
    return ""


def no_fiu() -> str:
    """Why no I/O errors can be had."""
    return "" if shutil.which("fiu-run") else "fiu-run is not installed (Debian: fiu-utils)"


_FULL: Final = "an append that failed is taken for done"
_LOST: Final = "acknowledged, and not on the log"
LANES: Final = (
    Lane("disk-full", "no file may grow any more (RLIMIT_FSIZE)", 10, 200, 100, full, full_unheard, _FULL, _LOST),
    Lane("disk-small", "a small tmpfs is full", 10, 200, 100, small, small_unheard, _FULL, _LOST, no_file_system),
    Lane("io-errors", "pwrite and fdatasync fail (libfiu)", 10, 20_000, 1_000, bad, bad_unheard, _FULL, _LOST, no_fiu),
)


if __name__ == "__main__":
    logs.configure(sys.stderr, level=logging.ERROR)
    _, kind, squeeze, path, seed, faults = sys.argv
    asyncio.run(write(kind, squeeze, Path(path), seed, int(faults)))
