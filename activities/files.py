"""Files that others put into our folders, and long work with them: what every port to the outside shares.

Files are opened one directory at a time, without following symbolic links, so that what is read lies in the folder and nowhere else.
What does not fit is `Unfit`, which names the file.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import re
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeVar

from activities.outside import keep_progress
from domain.kernel import STEERING

LINK: Final = "a symbolic link; put the file itself there"
DEPTH: Final = 16
"""How deep folders may lie in each other."""

Reason = Literal["changed", "extra", "missing", "symlink", "path", "signature", "unreadable"]
"""The kinds of unfit files."""


class Unfit(Exception):
    """A file is not as it must be; the text names it and says why. No further try mends it."""

    def __init__(self, path: str, why: str, reason: Reason = "unreadable") -> None:
        super().__init__(f"{shown(path)}: {why}")
        self.path = path
        self.why = why
        self.reason = reason


class Absent(Unfit):
    """What is looked for is not there: whoever would have it says so."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why, "missing")


class Stopped(Exception):
    """The work was told to stop."""


Told = Callable[[str, int], None]
"""Hears of progress: the file at work and how many bytes are done altogether. Raises `Stopped` to end the work."""


def unheard(_path: str, _done: int) -> None:
    """Hears of progress and does nothing."""


def shown(path: str) -> str:
    """A file's name made safe to show: what is invisible or steers a display is escaped."""
    visible = (c if unicodedata.category(c) not in STEERING else f"\\u{ord(c):04x}" for c in path)
    return "".join(visible)[:300] or "(no name)"


def checked(path: str) -> str:
    """The path itself, when it is relative, POSIX, NFC, stays inside and hides nothing. Raises `Unfit`."""
    if path != unicodedata.normalize("NFC", path) or any(unicodedata.category(c) in STEERING for c in path):
        raise Unfit(path, "the name holds characters that are invisible or not in Unicode's normal form C; rename it", "path")
    parts = path.split("/")
    if ".." in parts:
        raise Unfit(path, "the path leaves the folder by `..`", "path")
    if path.startswith("/") or "\\" in path or not path or "" in parts or "." in parts or re.match(r"[A-Za-z]:", path):
        raise Unfit(path, "not a relative path of plain names", "path")
    if any(part.startswith(".") for part in parts):
        raise Unfit(path, "hidden files are not read; remove or rename it", "path")
    if len(parts) > DEPTH or len(path.encode()) > 1_000 or any(len(part.encode()) > 255 or part != part.strip() for part in parts):
        raise Unfit(path, f"the name is too long, deeper than {DEPTH} folders, or begins or ends with a space", "path")
    return path


# ---------------------------------------------------------------- reading a folder


@contextmanager
def opened(folder: Path, path: str) -> Iterator[BinaryIO]:
    """A file of the folder, open for reading: no name on the way to it is a symbolic link, and it is an ordinary file. Raises `Unfit`."""
    *parents, last = checked(path).split("/")
    with _directory(folder) as descriptor:
        directory = os.dup(descriptor)
        try:
            for parent in parents:
                directory, above = _step(directory, parent, path, os.O_DIRECTORY), directory
                os.close(above)
            with os.fdopen(_step(directory, last, path, os.O_NONBLOCK), "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise Unfit(path, "not an ordinary file")
                yield file
        finally:
            os.close(directory)


@contextmanager
def _directory(folder: Path) -> Iterator[int]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unfit(folder.name, "there is no such folder, or a symbolic link in its place") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _step(directory: int, name: str, path: str, flag: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flag, dir_fd=directory)
    except FileNotFoundError as error:
        raise Unfit(path, "missing", "missing") from error
    except OSError as error:
        with suppress(OSError):
            if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise Unfit(path, LINK, "symlink") from error
        if isinstance(error, NotADirectoryError | IsADirectoryError) or error.errno in _NO_FILE:
            raise Unfit(path, "not an ordinary file") from error
        raise


_NO_FILE: Final = frozenset((errno.ENXIO,))
"""A socket, or a device that is not there."""


def walked(folder: Path) -> Iterator[str]:
    """The paths of all files in the folder, those of one directory after the other. Raises `Unfit` for what is no ordinary file, and names that do not do."""
    with _directory(folder) as descriptor:
        yield from _walk(descriptor, "")


def _walk(directory: int, prefix: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = checked(prefix + entry.name)
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            below = _step(directory, entry.name, path, os.O_DIRECTORY)
            try:
                yield from _walk(below, f"{path}/")
            finally:
                os.close(below)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise Unfit(path, LINK, "symlink") if stat.S_ISLNK(mode) else Unfit(path, "not an ordinary file")


def beneath(root: Path, location: str) -> Path:
    """The folder at a relative path under the root, when no name on the way is a symbolic link. Raises `Unfit`."""
    folder = root
    for name in checked(location).split("/"):
        folder /= name
        if folder.is_symlink():
            raise Unfit(location, LINK, "symlink")
    if not folder.is_dir():
        raise Unfit(location, f"there is no such folder under {root.name}", "missing")
    return folder


def settle(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- working long

T = TypeVar("T")

SHORT_WORK: Final = ThreadPoolExecutor(8, thread_name_prefix="short-work")
"""Threads for what must not wait behind hours of copying."""


@dataclass(slots=True)
class _Progress:
    path: str = ""
    done: int = 0


async def working(work: Callable[[Told], T], *, every: float = 5.0, pool: Executor | None = None) -> T:
    """Does blocking work in a thread, shows Temporal that it lives and how far it is, and stops it when the activity is cancelled."""
    progress, stop = _Progress(), threading.Event()

    def told(path: str, done: int) -> None:
        progress.path, progress.done = path, done
        if stop.is_set():
            raise Stopped(path)

    async def beat() -> None:
        while True:
            keep_progress({"file": progress.path, "bytes": str(progress.done)})
            await asyncio.sleep(every)

    beating = asyncio.create_task(beat(), context=contextvars.copy_context())
    try:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(work, told))
    finally:
        stop.set()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
