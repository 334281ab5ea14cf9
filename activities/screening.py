"""Screening: how near a name comes to a name on a sanctions list, a file that the operator keeps fresh.

A hit decides nothing; it goes to a person. A list that cannot be read whole (missing, unreadable, torn, empty, shrunken)
screens nobody: the step fails and says what to do. Whether a list is fresh and long enough is the charter's to say: the
outcome tells its age and size, and the membership refuses what is not, which fails the step too.

Names are compared as bags of words in ASCII, without legal forms, by `rapidfuzz.fuzz.token_ratio`. On the 14,965 rows of
OFAC's list of May 2024 it scores names that share only everyday words near 80, where `WRatio` gives them 86 or more, and
100 when all words of the shorter name are in the longer one.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

from anyascii import anyascii
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rapidfuzz import fuzz, process

from activities.outside import Now, Outcome, failed, passes, plain
from domain.kernel import Step
from domain.member.terms import HOLDERS

LIMIT: Final = 64 * 1024 * 1024
"""The largest list file, in bytes; OFAC's whole list has 4 MB."""

LEGAL_FORMS: Final = frozenset(
    {
        "ab", "ag", "and", "ao", "as", "bhd", "bv", "cjsc", "co", "company", "corp", "corporation", "de", "di", "doo", "eood", "fze",
        "fzco", "fzc", "gmbh", "inc", "incorporated", "jsc", "kabushiki", "kaisha", "kft", "kg", "kk", "liability", "limited", "llc",
        "llp", "lp", "ltd", "ltda", "mbh", "nv", "oao", "of", "ojsc", "ooo", "oy", "oyj", "pao", "pjsc", "plc", "pte", "pty", "pvt", "sa",
        "sae", "sal", "sarl", "sas", "sdn", "se", "sl", "spa", "spol", "sprl", "srl", "sro", "the", "und", "ug", "y", "zao", "zrt",
    }
)  # fmt: skip
"""Words that say what kind of company it is, or nothing at all: they tell no two names apart."""

UNCOMPARABLE: Final = "a name without letters that could be compared: look at it by hand"


class Unfit(Exception):
    """The list cannot be relied on; the text says why, and what to do."""


class Query(BaseModel):
    """What a `screen` step asks."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    names: Annotated[list[Annotated[str, Field(max_length=400)]], Field(min_length=1, max_length=1 + HOLDERS)]
    """The applicant's, and its owners'."""
    lei: str | None = None
    owner_leis: Annotated[list[str], Field(max_length=HOLDERS)] = []


@dataclass(frozen=True, slots=True)
class ListFiles:
    """A sanctions list as it lies on disk.

    `*.csv` is OFAC's SDN format (https://ofac.treasury.gov, `sdn.csv`; `aliases` is its `alt.csv`); any other file holds one
    name a line, with `#` before comments. The list is as old as its oldest file, unless `dated` says otherwise.
    """

    name: str
    path: Path
    aliases: Path | None = None
    dated: date | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order in which they are digested."""
        return (self.path,) if self.aliases is None else (self.path, self.aliases)


@dataclass(frozen=True, slots=True)
class SanctionsList:
    """A list as read."""

    digest: str
    """SHA-256 of the file, or of both, one after the other (`cat sdn.csv alt.csv | sha256sum`)."""
    dated: date
    names: tuple[str, ...]
    comparable: tuple[str, ...]
    """The names as they are compared, in the same order."""
    leis: Mapping[str, str]
    """The listed name of each Legal Entity Identifier that the list knows."""


class Screening:
    """The activity `screen`: names in, the nearest entry of the list and its score (0 to 100) out.

    The largest number of entries seen is remembered in the folder `marks`: the list itself may lie where nobody may write.
    """

    def __init__(self, files: ListFiles, marks: Path, *, now: Now) -> None:
        self._files = files
        self._highwater = marks / f"{files.path.name}.highwater"
        self._now = now
        self._lock = threading.Lock()
        self._stamps: tuple[object, ...] = ()
        self._list: SanctionsList | None = None

    async def __call__(self, step: Step) -> Outcome:
        """`screening_completed`, or `fail_step` when the list cannot be read whole."""
        return await asyncio.to_thread(self._screen, step)

    def _screen(self, step: Step) -> Outcome:
        try:
            query = Query.model_validate(step.data)
            sanctions = self._current()
        except ValidationError:
            return failed(step, "the step does not say which names to screen: this is a fault of the process, report it")
        except Unfit as unfit:
            return failed(step, f"{self._files.name} screens nobody: {unfit}; then retry the step")
        score, match = nearest(sanctions, query)
        return {
            "kind": "screening_completed",
            "step": step.key,
            "list": self._files.name,
            "list_digest": sanctions.digest,
            "list_date": sanctions.dated.isoformat(),
            "list_age_days": (self._now().date() - sanctions.dated).days,
            "entries": len(sanctions.names),
            "score": score,
            "match": plain(match, 200),
        }

    def _current(self) -> SanctionsList:
        """The list, read again when one of its files has changed."""
        with self._lock:
            stamps = tuple(_stamp(path) for path in self._files.paths)
            if self._list is None or stamps != self._stamps:
                self._list = None
                fresh = read(self._files)
                _require_grown(self._highwater, len(fresh.names))
                self._list, self._stamps = fresh, stamps
            return self._list


# ---------------------------------------------------------------- comparing


def comparable(name: str) -> str:
    """A name in lower-case ASCII words, without punctuation and legal forms; of legal forms alone, all of them."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"['’`.]", "", anyascii(name)).lower())
    return " ".join([word for word in words if word not in LEGAL_FORMS] or words)


def nearest(sanctions: SanctionsList, query: Query) -> tuple[int, str]:
    """The best score over all names asked, and the entry that has it; empty when nothing is similar at all."""
    for lei in (query.lei, *query.owner_leis):
        if lei is not None and lei in sanctions.leis:
            return 100, sanctions.leis[lei]
    best, match = 0, ""
    for name in query.names:
        words = comparable(name)
        if not words:
            return 100, UNCOMPARABLE
        hit = process.extractOne(words, sanctions.comparable, scorer=fuzz.token_ratio)
        if round(hit[1]) > best:
            best, match = round(hit[1]), sanctions.names[hit[2]]
    return best, match


# ---------------------------------------------------------------- reading


def read(files: ListFiles) -> SanctionsList:
    """The list in these files. Raises `Unfit` for what is missing, too large, malformed or empty."""
    contents = [_content(path) for path in files.paths]
    names: list[str] = []
    leis: dict[str, str] = {}
    if files.path.suffix == ".csv":
        for row in _rows(files.path, contents[0], columns=12):
            names.append(row[1])
            leis.update((lei, row[1]) for lei in re.findall(r"Legal Entity Number ([A-Z0-9]{18}[0-9]{2})\b", row[11]))
    else:
        names.extend(_lines(files.path, contents[0]))
    if not names:
        raise Unfit(f"{files.path.name} is empty: fetch it again")
    if files.aliases is not None:
        names.extend(row[3] for row in _rows(files.aliases, contents[1], columns=5))
    return SanctionsList(
        digest=hashlib.sha256(b"".join(contents)).hexdigest(),
        dated=files.dated or min(_written(path) for path in files.paths),
        names=tuple(names),
        comparable=tuple(comparable(name) for name in names),
        leis=leis,
    )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        if passes(error):
            raise
        raise Unfit(f"{path.name} cannot be read ({error.strerror}): put a fresh list there") from error
    if len(content) > LIMIT:
        raise Unfit(f"{path.name} is larger than {LIMIT} bytes: put the real list there")
    return content


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unfit(f"{path.name} is not in UTF-8: fetch it again") from error


def _rows(path: Path, content: bytes, *, columns: int) -> Iterator[list[str]]:
    """The rows of one of OFAC's csv files: no header, a number first, the byte 0x1A at the end. A torn file is `Unfit`."""
    text = _text(path, content).rstrip("\x1a\r\n ")
    number = 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), start=1):
            if len(row) != columns or not re.fullmatch(r" *[0-9]+ *", row[0]):
                raise Unfit(f"{path.name}, row {number}: not {columns} columns with a number first; fetch it again")
            yield row
    except csv.Error as error:
        raise Unfit(f"{path.name}, row {number + 1}: not readable as csv; fetch it again") from error


def _lines(path: Path, content: bytes) -> Iterator[str]:
    for number, line in enumerate(_text(path, content).splitlines(), start=1):
        name = line.strip()
        if name.startswith("<") or len(name) > 500 or "\0" in name:
            raise Unfit(f"{path.name}, line {number}: not a name; fetch it again")
        if name and not name.startswith("#"):
            yield name


def _written(path: Path) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _require_grown(highwater: Path, entries: int) -> None:
    """Lists grow; one that lost more than a fifth of its entries was cut off on its way here."""
    try:
        most = int(highwater.read_text(encoding="ascii")) if highwater.exists() else 0
    except ValueError as error:
        raise Unfit(f"{highwater.name} does not hold a number: look at the list, then delete that file") from error
    if entries * 5 < most * 4:
        raise Unfit(
            f"it shrank from {most} to {entries} entries: fetch it again, or delete {highwater.name} if it really became that short"
        )
    if entries > most:
        try:
            _replace(highwater, str(entries))
        except OSError as error:
            if passes(error):
                raise
            raise Unfit(f"its size cannot be remembered in {highwater.parent} ({error.strerror}): let the worker write there") from error


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{uuid4()}")
    beside.write_text(text, encoding="ascii")
    beside.replace(path)
