"""What the log holds: entries, their one byte form, and the hash chain over them.

An entry is one command and its outcome. Its hash covers every stored column; bodies enter by digest, so that a body can
be erased or archived and the chain still verifies. The form is written down in docs/log-format.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from domain.kernel import Event, Refused, one_line

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
GENESIS: Final = bytes(32)
"""What the first entry names as the hash before it."""

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"

_FRAME: Final = struct.Struct(">32sQqHHHHHH32s32s")
_LENGTHS: Final = struct.Struct(">III")
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Entry(NamedTuple):
    """One command and its outcome, at its place in the order of everything. Field by field as stored."""

    position: int
    """1, 2, 3 … without gaps."""
    stream: str
    command_id: str
    kind: str
    """Of the command."""
    actor: str
    at: int
    """Microseconds since 1970-01-01T00:00Z; never earlier than the entry before."""
    rules: str
    """The version of the rules that decided."""
    command: bytes
    """Canonical JSON (RFC 8785), as it was given."""
    signed: bytes
    """What the person signed; empty without a signature."""
    signature: bytes
    outcome: str
    """`accepted` or `refused`."""
    body: bytes
    """The events as a canonical JSON array, or the refusal as an object."""
    previous: bytes
    hash: bytes


class Head(NamedTuple):
    """The last entry of a log, as far as the next one needs it."""

    position: int
    at: int
    hash: bytes
    rules: str = ""
    """The version of the rules that decided it; empty before the first entry."""

    @classmethod
    def of(cls, entry: Entry) -> Head:
        """The head of a log whose last entry this is."""
        return cls(entry.position, entry.at, entry.hash, entry.rules)


EMPTY: Final = Head(0, 0, GENESIS)


class Refusal(msgspec.Struct, frozen=True):
    """A refusal as stored and as told."""

    rule: str
    message: str
    remedy: str
    clause: str = ""

    @classmethod
    def of(cls, refused: Refused) -> Refusal:
        """The refusal that a rule raised. What it quotes of a command is bounded, and steers no display."""
        return cls(refused.rule, _quoting(refused.message), _quoting(refused.remedy), refused.clause)


_LONGEST_REFUSAL: Final = 1_000


def _quoting(words: str) -> str:
    return words if len(words) <= _LONGEST_REFUSAL and words.isprintable() else one_line(words, _LONGEST_REFUSAL)


class Submission(NamedTuple):
    """A command on its way to the log. `command` is canonical JSON (see `eventstore.wire`). The time of its entry is the recorder's."""

    stream: str
    command_id: str
    actor: str
    command: bytes
    signed: bytes = b""
    signature: bytes = b""
    due: datetime | None = None
    """When the deadline comes that it answers."""


def hash_of(entry: Entry) -> bytes:
    """The SHA-256 over every column but the hash itself. Lengths frame the fields, so none can borrow from its neighbour."""
    return _hash(*entry[:-1])


def sealed(
    position: int, stream: str, command_id: str, kind: str, actor: str, at: int, rules: str, command: bytes, signed: bytes,
    signature: bytes, outcome: str, body: bytes, previous: bytes,
) -> Entry:  # fmt: skip
    """The entry of these columns, with its hash."""
    return Entry(
        position, stream, command_id, kind, actor, at, rules, command, signed, signature, outcome, body, previous,
        _hash(position, stream, command_id, kind, actor, at, rules, command, signed, signature, outcome, body, previous),
    )  # fmt: skip


def _hash(
    position: int, stream: str, command_id: str, kind: str, actor: str, at: int, rules: str, command: bytes, signed: bytes,
    signature: bytes, outcome: str, body: bytes, previous: bytes,
) -> bytes:  # fmt: skip
    s, i, k, a, r, o = stream.encode(), command_id.encode(), kind.encode(), actor.encode(), rules.encode(), outcome.encode()
    request = sha256(_LENGTHS.pack(len(command), len(signed), len(signature)) + command + signed + signature).digest()
    frame = _FRAME.pack(previous, position, at, len(s), len(i), len(k), len(a), len(r), len(o), request, sha256(body).digest())
    return sha256(frame + s + i + k + a + r + o).digest()


def microseconds(at: datetime) -> int:
    """An instant as entries store it."""
    return (at - EPOCH) // MICROSECOND


def instant(at: int) -> datetime:
    """A stored instant."""
    return EPOCH + timedelta(microseconds=at)


def encode_events(events: Iterable[Event]) -> bytes:
    """Events in their stored form: a canonical JSON array."""
    return _encode([event.__pydantic_serializer__.to_python(event) for event in events])


def encode_json(value: Any) -> bytes:
    """Any message part or JSON value in canonical form."""
    return _encode(value)


class Broken(NamedTuple):
    """Where a chain does not hold, and why."""

    position: int
    reason: str


def verify(entries: Iterable[Entry], head: Head = EMPTY) -> Head | Broken:
    """Checks that entries follow `head` without gap, in time, by no older rules, and unchanged; the new head, or the first position that is not so."""
    position, at, previous, rules = head
    for entry in entries:
        position += 1
        if entry.position != position:
            return Broken(position, f"expected position {position}, found {entry.position}")
        if entry.previous != previous:
            return Broken(position, "does not follow the entry before it")
        if entry.at < at:
            return Broken(position, "is earlier than the entry before it")
        if entry.rules != rules and (wrong := _wrong_rules(entry.rules, rules)):
            return Broken(position, wrong)
        previous = hash_of(entry)
        if entry.hash != previous:
            return Broken(position, "was changed after it was recorded")
        at, rules = entry.at, entry.rules
    return Head(position, at, previous, rules)


def version_of(rules: str) -> int | None:
    """The number of a version of the rules; none for what is no number in its one form."""
    return int(rules) if rules.isascii() and rules.isdecimal() and str(int(rules)) == rules else None


def falls(rules: str, before: str) -> bool:
    """Whether these rules are older than those that decided the entry before: what no recorder ever appends."""
    if rules == before:
        return False
    version, former = version_of(rules), version_of(before)
    return version is not None and former is not None and version < former


def _wrong_rules(rules: str, before: str) -> str:
    """What is wrong with the rules that an entry claims after others; empty for nothing."""
    if version_of(rules) is None:
        return f"names no version of the rules: {rules[:20]!r}"
    return f"claims rules {rules} after an entry by rules {before}: the version of the rules never falls" if falls(rules, before) else ""


def head_of(entries: Sequence[Entry], before: Head) -> Head:
    """The head after these entries."""
    return Head.of(entries[-1]) if entries else before
