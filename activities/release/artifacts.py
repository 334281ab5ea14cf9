"""Artifacts: the files of a release, as a manifest with a SHA-256 for each, made while the files are streamed.

The manifest is one JSON file whose name is the SHA-256 of its own bytes: whoever names the digest names every byte of the
release. What is hashed, checked or copied lies in the folder and nowhere else (`activities.files`). What does not fit is `Unfit`,
which names the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError

from activities.files import Told, Unfit, checked, opened, settle, shown, unheard, walked
from domain.forms import in_words, typed
from domain.kernel import Digest, Message, canonical

CHUNK: Final = 1024 * 1024
MOST_FILES: Final = 20_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest manifest file."""


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


def paths_in(folder: Path) -> Sequence[str]:
    """The paths of all files in the folder, sorted. Raises `Unfit` for symbolic links, special files and names that do not do."""
    found: list[str] = []
    for path in walked(folder):
        if len(found) >= MOST_FILES:
            raise Unfit(path, f"a release has at most {MOST_FILES} files; pack small ones together")
        found.append(path)
    return sorted(found)


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


def as_json(value: Any) -> bytes:
    """JSON for files that people read too: sorted keys, two spaces, a newline at the end. The same value gives the same bytes."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
