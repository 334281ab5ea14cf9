"""Statements: what is signed, as canonical JSON whose exact bytes stand on the entry. The forms are written down in docs/log-format.md."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Final, TypeVar

import msgspec

from eventstore.entries import encode_json

VERSION: Final = 1
"""Of the form of all statements."""

Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hexadecimal digits."""
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z", re.ASCII)


class Unreadable(ValueError):
    """Bytes that are no statement of the form asked for; says why."""


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of the log that a person was shown last: a signature over it is worth nothing on another log."""

    hash: Hash
    position: Number


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A command, as the person who gives it signs it. Instants are of the log's clock, as `instant_text` writes them."""

    actor: str
    command: dict[str, Any]
    command_id: str
    consortium: Hash
    """The hash of the log's first entry; of the founding the SHA-256 of its command."""
    expires_at: str
    issued_at: str
    stream: str
    version: Number
    seen: Seen | None = None


class Carried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of one try of a step, as the worker that carried it out says it."""

    attempt: Number
    log: Hash
    """The hash of the log's first entry."""
    outcome: Hash
    """The SHA-256 of the outcome's canonical JSON."""
    step: str
    stream: str
    version: Number


class Restarted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That whoever runs a rehearsal's log set its clock anew."""

    command: Hash
    """The SHA-256 of the command's canonical JSON."""
    command_id: str
    log: Hash
    version: Number


class Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By which step of which stream a letter was sent. Nobody signs it: the sending stream owes that step, or the letter is none."""

    retries: Number
    """How often a person had asked for it again."""
    source: str
    step: str


T = TypeVar("T", Statement, Carried, Restarted, Sent)


def written(statement: Statement | Carried | Restarted | Sent) -> bytes:
    """The canonical JSON of a statement (RFC 8785): what is signed."""
    return encode_json(statement)


def read(form: type[T], given: bytes) -> T:
    """The statement in these bytes. Raises `Unreadable` for any that `written` would not have written."""
    try:
        found = msgspec.json.decode(given, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if encode_json(found) != given:
        raise Unreadable("it is not in canonical form (RFC 8785)")
    version = getattr(found, "version", VERSION)
    if version != VERSION:
        raise Unreadable(f"it has version {version} of the form, and only {VERSION} is read")
    return found


def instant_text(at: datetime) -> str:
    """An instant as statements hold it: UTC with `Z`, and microseconds only where there are some."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def instant_of(text: str) -> datetime:
    """The instant of such a text. Raises `Unreadable`."""
    try:
        at = datetime.fromisoformat(text) if _INSTANT.fullmatch(text) else None
    except ValueError as error:
        raise Unreadable(str(error)) from error
    if at is None:
        raise Unreadable(f"{text[:40]!r} is no instant in UTC, like 2027-03-01T09:00:00Z")
    return at


def digest(canonical: bytes) -> str:
    """The SHA-256 of canonical JSON, as statements hold it."""
    return sha256(canonical).hexdigest()


def possession(consortium: str, person: str, public_key: str) -> bytes:
    """What a key signs to prove that whoever asks for it to be enrolled has it.

    `consortium` is the hash of the log's first entry; before the founding the name of its stream.
    """
    return encode_json({"consortium": consortium, "person": person, "public_key": public_key, "version": VERSION})
