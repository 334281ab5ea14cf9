"""Artifacts: the files of a release, as a manifest with a SHA-256 for each, made while the files are streamed.

The manifest is one JSON file whose name is the SHA-256 of its own bytes: whoever names the digest names every byte of the
release. Files are opened one directory at a time, without following symbolic links, so that what is hashed, checked or copied
lies in the folder and nowhere else. What does not fit is `Unfit`, which names the file.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import os
import re
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, TypeVar
from uuid import uuid4

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError

from activities.outside import tell_progress
from domain.forms import in_words, typed
from domain.kernel import Digest, Message, canonical

CHUNK: Final = 1024 * 1024
MOST_FILES: Final = 20_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest manifest file."""
LINK: Final = "a symbolic link; put the file itself there"
DEPTH: Final = 16
"""How deep folders may lie in each other."""

_FORBIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


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
    visible = (c if unicodedata.category(c) not in _FORBIDDEN else f"\\u{ord(c):04x}" for c in path)
    return "".join(visible)[:300] or "(no name)"


def checked(path: str) -> str:
    """The path itself, when it is relative, POSIX, NFC, stays inside and hides nothing. Raises `Unfit`."""
    if path != unicodedata.normalize("NFC", path) or any(unicodedata.category(c) in _FORBIDDEN for c in path):
        raise Unfit(path, "the name holds characters that are invisible or not in Unicode's normal form C; rename it", "path")
    parts = path.split("/")
    if ".." in parts:
        raise Unfit(path, "the path leaves the folder by `..`", "path")
    if path.startswith("/") or "\\" in path or not path or "" in parts or "." in parts or re.match(r"[A-Za-z]:", path):
        raise Unfit(path, "not a relative path of plain names", "path")
    if any(part.startswith(".") for part in parts):
        raise Unfit(path, "hidden files are no part of a release; remove or rename it", "path")
    if len(parts) > DEPTH or len(path.encode()) > 1_000 or any(len(part.encode()) > 255 or part != part.strip() for part in parts):
        raise Unfit(path, f"the name is too long, deeper than {DEPTH} folders, or begins or ends with a space", "path")
    return path


def _relative(path: str) -> str:
    try:
        return checked(path)
    except Unfit as unfit:
        raise ValueError(str(unfit)) from unfit


RelativePath = Annotated[str, Field(max_length=1_000), AfterValidator(_relative)]
"""A path inside the folder of a release, with `/` between names."""


class Artifact(Message):
    """One file of a release."""

    path: RelativePath
    size: Annotated[int, Field(ge=0, lt=2**53)]
    sha256: Digest


class Manifest(Message):
    """Every file of a release, sorted by path."""

    format: Literal["open-model-consortium/manifest/1"] = "open-model-consortium/manifest/1"
    files: Annotated[tuple[Artifact, ...], Field(min_length=1, max_length=MOST_FILES)]

    _read_from: str = PrivateAttr(default="")

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest's file: of the one it was read from, else of its canonical form (RFC 8785), as it is written.

        So a manifest keeps the name that people approved, whatever fields a later release adds.
        """
        return self._read_from or hashlib.sha256(canonical(self)).hexdigest()

    def read_from(self, body: bytes) -> Manifest:
        """The manifest itself, which was read from a file of these bytes."""
        self._read_from = hashlib.sha256(body).hexdigest()
        return self

    def __eq__(self, other: object) -> bool:
        """Whether both list the same files."""
        return isinstance(other, Manifest) and (self.format, self.files) == (other.format, other.files)

    def __hash__(self) -> int:
        """The same for manifests of the same files."""
        return hash((self.format, self.files))

    @property
    def size(self) -> int:
        """All files together, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def by_path(self) -> Mapping[str, Artifact]:
        """The files by their paths."""
        return {file.path: file for file in self.files}


def manifest_of(files: Iterable[Artifact]) -> Manifest:
    """The manifest of these files, in any order. Raises `Unfit` for none, too many, or names that some systems cannot tell apart."""
    ordered = sorted(files, key=lambda file: file.path)
    if not ordered:
        raise Unfit(".", "there is no file in the folder; put the release's files there")
    if len(ordered) > MOST_FILES:
        raise Unfit(ordered[MOST_FILES].path, f"a release has at most {MOST_FILES} files; pack small ones together")
    seen: dict[str, str] = {}
    for file in ordered:
        twin = seen.setdefault(file.path.casefold(), file.path)
        if twin != file.path:
            raise Unfit(file.path, f"many systems cannot tell it from {shown(twin)}; rename one", "path")
    return Manifest(files=tuple(ordered))


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


_NO_FILE: Final = frozenset((6,))
"""ENXIO: a socket, or a device that is not there."""


def paths_in(folder: Path) -> Sequence[str]:
    """The paths of all files in the folder, sorted. Raises `Unfit` for symbolic links, special files and names that do not do."""
    found: list[str] = []
    with _directory(folder) as descriptor:
        for path in _walk(descriptor, ""):
            if len(found) >= MOST_FILES:
                raise Unfit(path, f"a release has at most {MOST_FILES} files; pack small ones together")
            found.append(path)
    return sorted(found)


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


def _streamed(folder: Path, path: str, done: int, told: Told, sink: Callable[[bytes], Any]) -> Artifact:
    """Reads a file once, and gives what it read to the sink. Raises `Unfit` for one that is written meanwhile."""
    digest, size = hashlib.sha256(), 0
    with opened(folder, path) as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            sink(chunk)
            size += len(chunk)
            told(path, done + size)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        raise Unfit(path, "it changed while it was read; let whoever writes it finish", "changed")
    return Artifact(path=path, size=size, sha256=digest.hexdigest())


def hashed(folder: Path, told: Told = unheard) -> Manifest:
    """The manifest of the files in the folder. Raises `Unfit`."""
    files: list[Artifact] = []
    done = 0
    for path in paths_in(folder):
        files.append(_streamed(folder, path, done, told, len))
        done += files[-1].size
    return manifest_of(files)


def require_same(folder: Path, manifest: Manifest, told: Told = unheard) -> None:
    """Nothing, when the folder holds exactly the manifest's files, byte for byte. Raises `Unfit` naming the first file that differs."""
    _require_paths(paths_in(folder), manifest)
    done = 0
    for file in manifest.files:
        _require_bytes(_streamed(folder, file.path, done, told, len), file)
        done += file.size


def require_names(folder: Path, manifest: Manifest) -> None:
    """Nothing, when the folder holds files of exactly the manifest's names; no byte is read. Raises `Unfit`."""
    _require_paths(paths_in(folder), manifest)


def copied(folder: Path, manifest: Manifest, destination: Path, told: Told = unheard) -> None:
    """Copies the manifest's files into an empty folder, hashing what is copied, and makes them read-only and durable. Raises `Unfit`."""
    _require_paths(paths_in(folder), manifest)
    done = 0
    for file in manifest.files:
        target = destination / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as sink:
            _require_bytes(_streamed(folder, file.path, done, told, sink.write), file)
            sink.flush()
            os.fsync(sink.fileno())
        target.chmod(0o444)
        done += file.size


def require_file(folder: Path, file: Artifact, told: Told = unheard) -> None:
    """Nothing, when the file lies in the folder byte for byte. Raises `Unfit`."""
    _require_bytes(_streamed(folder, file.path, 0, told, len), file)


def content(folder: Path, file: Artifact, limit: int = 4 * 1024 * 1024) -> bytes:
    """A small file's bytes, as the manifest has them. Raises `Unfit`."""
    if file.size > limit:
        raise Unfit(file.path, f"larger than {limit} bytes")
    chunks: list[bytes] = []
    _require_bytes(_streamed(folder, file.path, 0, _no_more_than(file), chunks.append), file)
    return b"".join(chunks)


def _no_more_than(file: Artifact) -> Told:
    def told(path: str, done: int) -> None:
        if done > file.size:
            raise Unfit(path, f"it has more than the {file.size} bytes of the manifest", "changed")

    return told


def _require_paths(paths: Sequence[str], manifest: Manifest) -> None:
    listed = manifest.by_path
    for path in paths:
        if path not in listed:
            raise Unfit(path, "an extra file, which the manifest does not list", "extra")
    present = frozenset(paths)
    for path in listed:
        if path not in present:
            raise Unfit(path, "missing, though the manifest lists it", "missing")


def _require_bytes(found: Artifact, listed: Artifact) -> None:
    if found != listed:
        raise Unfit(
            listed.path,
            f"changed: SHA-256 is {found.sha256} with {found.size} bytes, the manifest says {listed.sha256} with {listed.size}",
            "changed",
        )


# ---------------------------------------------------------------- keeping what is named by its digest


class Store:
    """Files named by the SHA-256 of their bytes, in one folder. Putting one twice is putting it once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Where the bytes with this digest lie, once they are put."""
        return self._folder / digest

    def put(self, body: bytes) -> str:
        """Keeps the bytes and tells their digest."""
        digest = hashlib.sha256(body).hexdigest()
        if not self.path(digest).exists():
            replace(self.path(digest), body)
        return digest

    def get(self, digest: str, limit: int = MOST_BYTES) -> bytes:
        """The bytes with this digest. Raises `Unfit` when they are missing, too many or changed."""
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise Unfit(digest, "not a SHA-256")
        try:
            with self.path(digest).open("rb") as file:
                body = file.read(limit + 1)
        except FileNotFoundError as error:
            raise Unfit(digest, f"missing from {self._folder.name}", "missing") from error
        if len(body) > limit:
            raise Unfit(digest, f"larger than {limit} bytes")
        if hashlib.sha256(body).hexdigest() != digest:
            raise Unfit(digest, f"changed in {self._folder.name}: its bytes have another SHA-256", "changed")
        return body

    def manifest(self, digest: str) -> Manifest:
        """The manifest with this digest. Raises `Unfit`, also for paths that would leave the folder."""
        return manifest_from(self.get(digest))


def manifest_from(body: bytes) -> Manifest:
    """The manifest in a file. Raises `Unfit`, naming the path that does not do."""
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ValueError) and isinstance(cause.__cause__, Unfit):
            raise cause.__cause__ from error
        raise Unfit("manifest", in_words(typed(Manifest), [first])[0]) from error
    if manifest_of(manifest.files) != manifest:
        raise Unfit("manifest", "its files are not sorted by path, or one is listed twice")
    return manifest.read_from(body)


def replace(path: Path, body: bytes, *, mode: int = 0o644) -> None:
    """Writes a file at once or not at all, and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid4()}.part")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    settle(path.parent)


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


def as_json(value: Any) -> bytes:
    """JSON for files that people read too: sorted keys, two spaces, a newline at the end. The same value gives the same bytes."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


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
            tell_progress({"file": progress.path, "bytes": str(progress.done)})
            await asyncio.sleep(every)

    beating = asyncio.create_task(beat(), context=contextvars.copy_context())
    try:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(work, told))
    finally:
        stop.set()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
