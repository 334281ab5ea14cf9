"""The files that a bank has sent, kept by the SHA-256 of their bytes, and what statements hold, kept beside them to be read in chunks.

    statements/index.jsonl           what came, in order: a file and the name it came under; a cursor is a place in it
    statements/<sha256>.xml          a file, as it came
    statements/<sha256>.<n>.jsonl    its pages and lines, normalised once by reader version n; derived, and made again when lost

Every write is complete or not there, and the index has a line only for what is stored.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal
from uuid import uuid4

from activities.bank.camt import NO_CURRENCY, Ending, statement
from activities.bank.pain import Report, report
from activities.bank.xml import Unreadable, sniffed
from activities.bounded import json_value
from activities.files import Told, settle, unheard
from activities.outside import passes, plain
from domain.kernel import canonical
from domain.reference import names_account
from domain.treasury.terms import FILES, LINES, Line, Page, StatementFile

LIMIT: Final = 1024 * 1024 * 1024
"""The largest file that is kept, in bytes."""
CHUNK: Final = 256 * 1024
BYTES: Final = 40 * 1024
"""The most JSON of lines in one chunk; with its page and the command around it, it stays below 48 KiB."""
READER: Final = 3
"""Raised when a file is read differently than before: what was normalised is then made again."""


class Hindered(Exception):
    """No further try helps; the text tells a person what to do."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stored file: at most 100 lines of one page."""

    page: Page | None
    lines: tuple[Line, ...]
    next_cursor: str
    other_accounts: int
    not_booked: int


class Statements:
    """A folder of statements."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = folder / "index.jsonl"

    # ------------------------------------------------------------ taking in

    def keep(self, chunks: Iterable[bytes], name: str, told: Told = unheard) -> str:
        """Keeps a file that came under this name and tells its digest; the same file under the same name is kept once. Raises `Hindered`."""
        digest, done = hashlib.sha256(), 0

        def passing() -> Iterator[bytes]:
            nonlocal done
            for chunk in chunks:
                done += len(chunk)
                if done > LIMIT:
                    raise Hindered(f"{plain(name, 100)} is larger than {LIMIT} bytes: take it away, or ask the bank for smaller files")
                digest.update(chunk)
                told(name, done)
                yield chunk

        self._folder.mkdir(parents=True, exist_ok=True)
        with _complete(self._folder) as (file, place):
            for chunk in passing():
                file.write(chunk)
            place(self._folder / f"{digest.hexdigest()}.xml")
        self._note(digest.hexdigest(), plain(name, 200))
        return digest.hexdigest()

    def names(self) -> frozenset[str]:
        """The names under which files came."""
        with self._locked():
            return frozenset(each["name"] for each in self._noted()[1])

    def after(self, cursor: str) -> tuple[tuple[StatementFile, ...], str, bool]:
        """What came after a cursor, at most 100 files; the cursor after them; and whether there is more.

        A cursor of another index (a folder that was lost) stands for its beginning.
        """
        with self._locked():
            index, noted = self._noted()
        known, _, place = cursor.rpartition(":")
        start = min(int(place), len(noted)) if known == index and place.isascii() and place.isdigit() else 0
        files = tuple(StatementFile(file=each["file"], name=each["name"]) for each in noted[start : start + FILES])
        end = start + len(files)
        return files, f"{index}:{end}" if end else "", end < len(noted)

    def _note(self, digest: str, name: str) -> None:
        with self._locked():
            index, noted = self._noted()
            if any(each["file"] == digest and each["name"] == name for each in noted):
                return
            lines = [{"file": digest, "name": name}] if index else [{"index": uuid4().hex}, {"file": digest, "name": name}]
            with self._index.open("ab") as file:
                file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())

    def _noted(self) -> tuple[str, list[dict[str, str]]]:
        """The index's own id and its lines. A last line that was torn by a crash is cut off: its file comes again."""
        try:
            content = self._index.read_bytes()
        except FileNotFoundError:
            return "", []
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._index, len(whole))
        lines = [json_value(line) for line in whole.splitlines()]
        return (lines[0]["index"], lines[1:]) if lines else ("", [])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / ".lock"):
            yield

    # ------------------------------------------------------------ reading

    def piece(self, digest: str, account: str, currency: str, cursor: str, told: Told = unheard) -> Piece:
        """The next lines of a stored file on this account (an IBAN, or another number), from a cursor on.

        Raises `Unreadable` for a file that is no statement, is broken, or holds more on this account than is counted; `Hindered` when it is not here.
        """
        path = self._normalised(digest, told)
        with path.open("rb") as file:
            return _piece(file, account, currency, cursor)

    def report(self, digest: str) -> Report | None:
        """What a stored file says of an order, when it is a report. Raises `Unreadable` for a broken one, `Hindered` when it is not here."""
        with _opened(self._folder / f"{digest}.xml") as file:
            message = sniffed(_chunks(file))
            if message is None or message.name != "pain.002":
                return None
            file.seek(0)
            return report(_chunks(file))

    def _normalised(self, digest: str, told: Told) -> Path:
        path = self._folder / f"{digest}.{READER}.jsonl"
        if path.exists():
            return path
        found = hashlib.sha256()
        with _opened(self._folder / f"{digest}.xml") as source, _complete(self._folder) as (file, place):
            writer = _Writer(file)
            ending = statement(_hashed(source, found.update, told, digest), writer)
            if found.hexdigest() != digest:
                raise Hindered(f"the stored file {digest}.xml is not what was stored: fetch it again from the bank, and put that there")
            writer.end(ending)
            place(path)
        return path


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _hashed(source: BinaryIO, update: Callable[[bytes], None], told: Told, name: str) -> Iterator[bytes]:
    done = 0
    while chunk := source.read(CHUNK):
        update(chunk)
        done += len(chunk)
        told(name, done)
        yield chunk


Content = Literal["statement", "report"]
"""What a file from the bank holds: movements on accounts, or what it says of payment orders."""


def examine(file: BinaryIO, told: Told = unheard) -> Content:
    """Reads a file as the workers will; what it holds. Raises `Unreadable` for what is neither, or broken."""
    message = sniffed(_chunks(file))
    file.seek(0)
    if message is not None and message.name == "pain.002":
        report(_chunks(file))
        return "report"
    statement(_hashed(file, lambda _: None, told, ""), _Unkept())
    return "statement"


class _Unkept:
    """Takes pages and lines, and keeps none."""

    def page(self, page: Page) -> None:
        """A page begins."""

    def line(self, line: Line) -> None:
        """A line of it."""

    def passed(self) -> None:
        """An entry that moved nothing."""

    def uncounted(self, reason: str) -> None:
        """The page holds an amount that is not counted: whether it is of this account the workers tell."""

    def mark(self) -> int:
        """There is no place to come back to."""
        return 0

    def back(self, mark: int) -> None:
        """Nothing was kept."""


# ---------------------------------------------------------------- what a file holds, one JSON text a line

_PAGE, _LINE, _PASSED, _UNCOUNTED, _END = b"P", b"L", b"N", b"U", b"E"


class _Writer:
    """Writes pages and lines as they come."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._uncounted = False

    def page(self, page: Page) -> None:
        """A page begins."""
        self._put(_PAGE, canonical(page))

    def line(self, line: Line) -> None:
        """A line of it."""
        self._put(_LINE, json.dumps(line.model_dump(mode="json", exclude_defaults=True), separators=(",", ":")).encode())

    def passed(self) -> None:
        """An entry that moved nothing."""
        self._put(_PASSED, b"")

    def uncounted(self, reason: str) -> None:
        """The page holds an amount that is not counted."""
        self._uncounted = True
        self._put(_UNCOUNTED, json.dumps(reason).encode())

    def end(self, ending: Ending) -> None:
        """The file is at its end."""
        said = {"statements": ending.statements, "page": ending.page, "last": ending.last, "uncounted": self._uncounted}
        self._put(_END, json.dumps(said).encode())

    def mark(self) -> int:
        """The place that has been reached."""
        return self._file.tell()

    def back(self, mark: int) -> None:
        """Takes back what came after the mark."""
        self._file.seek(mark)
        self._file.truncate()

    def _put(self, kind: bytes, body: bytes) -> None:
        self._file.write(kind + body + b"\n")


def _piece(file: BinaryIO, account: str, currency: str, cursor: str) -> Piece:
    ending = _ending(file)
    page, start = _resumed(file, cursor)
    if ending["uncounted"] and not start:
        _require_counted(file, account)
    ours = _of_ours(page, account, currency, ending) if page is not None else None
    page_at = int(cursor.rpartition(":")[2] or 0) if page is not None else -1
    file.seek(start)
    lines: list[Line] = []
    size = others = passed = 0
    at = start
    for record in file:
        kind, body = record[:1], record[1:]
        if kind == _PAGE:
            if ours is not None:
                return Piece(ours, tuple(lines), f"{READER}:{at}:", others, passed)
            ours, page_at = _of_ours(Page.model_validate_json(body), account, currency, ending), at
            others += ours is None
        elif ours is not None and kind == _LINE:
            if len(lines) == LINES or (lines and size + len(body) > BYTES):
                return Piece(ours, tuple(lines), f"{READER}:{at}:{page_at}", others, passed)
            lines.append(Line.model_validate_json(body))
            size += len(canonical(lines[-1]))
        elif ours is not None and kind == _PASSED:
            passed += 1
        at += len(record)
    return Piece(ours, tuple(lines), "", others, passed)


def _require_counted(file: BinaryIO, account: str) -> None:
    """Raises `Unreadable`, before the first line is told, when a page of this account holds an amount that is not counted."""
    ours = False
    file.seek(0)
    for record in file:
        if record[:1] == _PAGE:
            ours = names_account(Page.model_validate_json(record[1:]).account, account)
        elif record[:1] == _UNCOUNTED and ours:
            raise Unreadable(json_value(record[1:]))


def _resumed(file: BinaryIO, cursor: str) -> tuple[Page | None, int]:
    """The page at hand and the place of the next record. A cursor of another reader stands for the beginning: lines count once."""
    version, _, places = cursor.partition(":")
    record, _, page = places.partition(":")
    if version != str(READER) or not record.isdigit() or (page and not page.isdigit()):
        return None, 0
    if not page:
        return None, int(record)
    file.seek(int(page))
    return Page.model_validate_json(file.readline()[1:]), int(record)


def _ending(file: BinaryIO) -> dict[str, Any]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 200))
    last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    assert last.startswith(_END), "a normalised statement is complete"
    found: dict[str, Any] = json_value(last[1:])
    return found


def _of_ours(page: Page, account: str, currency: str, ending: dict[str, Any]) -> Page | None:
    """The page when it is of this account, which banks also name by its national number; with what only the whole file tells."""
    if not names_account(page.account, account):
        return None
    changes: dict[str, Any] = {"account": account}
    if page.currency == NO_CURRENCY:
        changes["currency"] = currency
    if ending["statements"] == 1 and page.page == 1 and page.last:
        changes |= {"page": ending["page"], "last": ending["last"]}
    return page.model_copy(update=changes)


# ---------------------------------------------------------------- files


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock between processes; a process that ends lets go of it."""
    with path.open("ab") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


@contextmanager
def _complete(folder: Path) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """A file that appears under its name whole, or not at all."""
    beside = folder / f".{uuid4().hex}.part"

    def place(path: Path) -> None:
        file.flush()
        os.fsync(file.fileno())
        beside.replace(path)
        settle(folder)

    try:
        with beside.open("xb") as file:
            yield file, place
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if passes(error):
            raise
        raise Hindered(f"{path.name} is not among the stored statements ({error.strerror}): put it into {path.parent}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Hindered(f"{path.name} is not a file")
        yield file
