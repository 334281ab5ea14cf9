"""Publishing: the port through which a release's files reach people, and what its adapters have in common.

| view | who can read the files |
| --- | --- |
| private | the consortium's own machines |
| gated | the persons of open leases |
| public | everybody |

Adapters promise: a view is complete or not there; what is under an edition's name never changes; every call repeated does
the same again; what was withdrawn is not published again by a call that comes late, nor a closed lease opened, nor is an edition
shown again that a later one replaced. Nobody reads what passed no gate: the gated view holds one edition, the public view only what
was published there. Access is given and taken while files are being copied.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Protocol

from pydantic import Field, ValidationError

from activities.bounded import Unreadable, toml_table
from activities.files import Told, Unfit
from activities.release.artifacts import Manifest
from domain.kernel import Instant, Message, PersonId, Prose, Slug, canonical_json

LIMIT: Final = 4 * 1024 * 1024
"""The largest access list and book of accounts, in bytes."""
WAIT_SECONDS: Final = 0.05


class View(StrEnum):
    """Who can read the files."""

    PRIVATE = "private"
    GATED = "gated"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published: the manifest's files, and the documents that go with them (signature, key, model card, bill of materials)."""

    release: str
    folder: Path
    manifest: Manifest
    documents: Mapping[str, bytes]
    """By their file names."""
    order: tuple[int, int] = (1, 0)
    """Counts editions, then stages: what is lower came before, and replaces nothing."""

    @property
    def edition(self) -> str:
        """The name of exactly these files and documents: a SHA-256 over their digests."""
        documents = {name: hashlib.sha256(body).hexdigest() for name, body in self.documents.items()}
        return hashlib.sha256(canonical_json({"manifest": self.manifest.digest, "documents": documents})).hexdigest()


@dataclass(frozen=True, slots=True)
class Lease:
    """Early access for these persons until then, under an id that is never used again."""

    id: str
    persons: tuple[str, ...]
    until: datetime


class Publisher(Protocol):
    """Where releases are published. Calls block; they raise `Unfit` for what no further try mends."""

    name: str

    def publish(self, publication: Publication, view: View, told: Told) -> str:
        """Makes the view show this edition of the release and tells where it is. Raises `Unfit` after a withdrawal.

        Nothing is done when a later one was published.
        """

    def open_access(self, release: str, lease: Lease) -> None:
        """Lets the lease's persons read the gated view. A lease once closed stays closed."""

    def close_access(self, release: str, lease: str) -> None:
        """Ends a lease, whether it was opened before or not."""

    def withdraw(self, release: str, reason: str) -> None:
        """Takes the release from every view, for good. The consortium keeps the files."""


# ---------------------------------------------------------------- who may read the gated view


class Entry(Message):
    """One lease on an access list."""

    persons: Annotated[tuple[PersonId, ...], Field(max_length=1_000)] = ()
    until: Instant | None = None
    closed: bool = False


class AccessList(Message):
    """The leases on a release, and whether it was withdrawn. Closed leases are remembered, so that a late call opens none again."""

    release: Slug
    persons: tuple[PersonId, ...] = ()
    """Who may read now: the persons of open leases, sorted."""
    leases: Mapping[str, Entry] = Field(default_factory=dict)
    withdrawn: Prose | None = None
    order: tuple[int, int] = (0, 0)
    """What was published last, by the count of its edition and stage."""

    def showing(self, publication: Publication) -> AccessList:
        """The list of a release that shows this, or something later already. Refuses what was withdrawn: raises `Unfit`."""
        self.require_published()
        return self.model_copy(update={"order": max(self.order, publication.order)})

    def opened(self, lease: Lease) -> AccessList:
        """The list with this lease, unless it was closed before."""
        if lease.id in self.leases and self.leases[lease.id].closed:
            return self
        return self._with(lease.id, Entry(persons=lease.persons, until=lease.until))

    def closed(self, lease: str) -> AccessList:
        """The list without this lease, now and later."""
        return self._with(lease, self.leases.get(lease, Entry()).model_copy(update={"closed": True}))

    def without_any(self, reason: str) -> AccessList:
        """The list of a release that was withdrawn; the first reason stays."""
        return self if self.withdrawn is not None else self.model_copy(update={"withdrawn": reason, "persons": ()})

    def require_published(self) -> None:
        """Refuses what was withdrawn. Raises `Unfit`."""
        if self.withdrawn is not None:
            raise Unfit(self.release, f"it was withdrawn ({self.withdrawn[:200]}); publish corrected files as another release")

    def _with(self, lease: str, entry: Entry) -> AccessList:
        leases = {**self.leases, lease: entry}
        persons = {person for each in leases.values() if not each.closed for person in each.persons}
        return self.model_copy(update={"leases": leases, "persons": tuple(sorted(persons)) if self.withdrawn is None else ()})


def access_list(release: str, body: bytes | None) -> AccessList:
    """The access list in a file, or an empty one when there is none. Raises `Unfit`."""
    if body is None:
        return AccessList(release=release)
    try:
        found = AccessList.model_validate_json(body)
    except ValidationError as error:
        raise Unfit(f"access/{release}.json", "not an access list; restore it") from error
    if found.release != release:
        raise Unfit(f"access/{release}.json", "the access list of another release")
    return found


class Accounts:
    """The accounts that persons have with a publisher, in a TOML file that is never on the log: `[hub]` and then `ada = "ada-l"`."""

    def __init__(self, path: Path, publisher: str) -> None:
        self._path = path
        self._publisher = publisher

    def of(self, persons: tuple[str, ...]) -> Mapping[str, str]:
        """Each person's account. Raises `Unfit`, naming the persons who have none."""
        known = self._known()
        if lacking := [person for person in persons if person not in known]:
            raise Unfit(
                self._path.name,
                f"no {self._publisher} account for {', '.join(lacking)}; add it under [{self._publisher}]",
            )
        return {person: known[person] for person in persons}

    def among(self, persons: tuple[str, ...]) -> frozenset[str]:
        """The accounts of those persons who have one: whoever lost theirs is let in no longer, and keeps nobody else out."""
        known = self._known()
        return frozenset(known[person] for person in persons if person in known)

    def _known(self) -> Mapping[str, str]:
        try:
            with self._path.open("rb") as file:
                body = file.read(LIMIT + 1)
            table = toml_table(body, most_bytes=LIMIT)
        except FileNotFoundError:
            return {}
        except Unreadable as error:
            raise Unfit(self._path.name, str(error)) from error
        section = table.get(self._publisher, {})
        return {str(person): str(account) for person, account in section.items()} if isinstance(section, dict) else {}


@contextmanager
def alone(lock: Path, told: Told) -> Iterator[None]:
    """Alone among the workers that take this lock file, telling meanwhile that it waits; killed, a worker gives it free."""
    with lock.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                told("", 0)
                time.sleep(WAIT_SECONDS)
        yield
