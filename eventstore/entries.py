"""What the log holds: entries, their one byte form, and the hash chain over them.

An entry is one command and its outcome. Its contents are parts: the request, then each event or the refusal. Its hash covers every
stored column; parts enter by digest, each with a salt of its own, so that a part can be withheld, erased or archived and the chain
still verifies, and nobody can find a withheld part by guessing. The form is written down in docs/log-format.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import local
from typing import Any, Final, NamedTuple

import msgspec

from domain.kernel import Event, Refused, one_line

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
GENESIS: Final = bytes(32)
"""What the first entry names as the hash before it."""

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"

SALT_BYTES: Final = 16
"""The length of the salt of one part."""
DIGEST_BYTES: Final = 32
UNSALTED: Final = frozenset(map(str, range(7)))
"""The versions of the rules whose entries have no salts: their two parts, the request and the whole body, enter the hash as they are."""

_frame: Final = struct.Struct(">32sQqHHHHHH").pack
_salted_frame: Final = struct.Struct(">32sQqHHHHHHI").pack
_lengths: Final = struct.Struct(">III").pack
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


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
    salts: bytes
    """The salts of its parts, one after another; empty by older rules (`UNSALTED`)."""
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


class NotParts(ValueError):
    """The columns of an entry do not make parts that each have a salt: no recorder wrote it so."""


Salts = Callable[[int], bytes]
"""Makes the salts for so many parts, one after another."""


def random_salts(parts: int) -> bytes:
    """Salts that nobody can guess, and that no other entry has. The system is asked for many at a time: a call lets other threads in between."""
    wanted = SALT_BYTES * parts
    if len(_reserve.random) < wanted:
        _reserve.random = os.urandom(max(wanted, _RESERVE_BYTES))
    given, _reserve.random = _reserve.random[:wanted], _reserve.random[wanted:]
    return given


class _Reserve(local):
    """Random bytes of a thread that were not given away yet."""

    random = b""


_reserve: Final = _Reserve()
_RESERVE_BYTES: Final = 4_096


def _forget() -> None:
    """A process that is forked off must not give away the same."""
    _reserve.random = b""


os.register_at_fork(after_in_child=_forget)


def parts_of(entry: Entry) -> list[bytes]:
    """What an entry consists of: the request (command, what was signed, and the signature, framed by their lengths), then each event, or
    the refusal. By rules without salts: the request and the whole body. Raises `NotParts` for events that are no canonical array.
    """
    command, signed, signature = entry.command, entry.signed, entry.signature
    request = _lengths(len(command), len(signed), len(signature)) + command + signed + signature
    whole = entry.outcome != ACCEPTED or entry.rules in UNSALTED
    return [request, entry.body] if whole else [request, *map(bytes, _events(entry.body))]


def part_digest(salt: bytes, part: bytes) -> bytes:
    """What stands for a part in the hash of its entry, and for a part that is withheld."""
    return sha256(salt + part).digest()


def digests_of(entry: Entry) -> bytes:
    """The digests of an entry's parts (`part_digest`), 32 bytes each, in their order. Raises `NotParts`."""
    _, _, _, _, _, _, rules, command, signed, signature, outcome, body, salts, _, _ = entry
    request = _lengths(len(command), len(signed), len(signature)) + command + signed + signature
    if rules in UNSALTED:
        if salts:
            raise NotParts(f"rules {rules} have no salts")
        return sha256(request).digest() + sha256(body).digest()
    answer = _events(body) if outcome == ACCEPTED else (body,)
    if len(salts) != SALT_BYTES + SALT_BYTES * len(answer):
        raise NotParts(f"there are {len(salts)} bytes of salts for {1 + len(answer)} parts")
    digests = sha256(salts[:SALT_BYTES] + request).digest()
    if len(answer) == 1:  # most entries: a loop costs a tenth of all that it takes to check them
        return digests + sha256(salts[SALT_BYTES:] + answer[0]).digest()
    for number, part in enumerate(answer, 1):
        digests += sha256(salts[number * SALT_BYTES : (number + 1) * SALT_BYTES] + part).digest()
    return digests


def _events(body: bytes) -> Sequence[bytes]:
    """The events of a body, as they stand there. Raises `NotParts`."""
    try:
        events = _elements(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotParts(f"its events cannot be told apart: {error}") from error
    one = len(events) == 1
    if len(body) - 2 != len(events[0]) if one else b"[%b]" % b",".join(events) != body:
        raise NotParts("its events are not written as a canonical array")
    return events


def hash_of(entry: Entry) -> bytes:
    """The SHA-256 over every column but the hash itself. Lengths frame the fields, so none can borrow from its neighbour. Raises `NotParts`."""
    return hash_with(entry, digests_of(entry))


def hash_with(entry: Entry, digests: bytes) -> bytes:
    """The hash of an entry whose parts have these digests: what a reader computes from whom parts are withheld.

    The columns that hold parts and salts are not looked at: `command`, `signed`, `signature`, `body` and `salts`.
    """
    position, stream, command_id, kind, actor, at, rules, _, _, _, outcome, _, _, previous, _ = entry
    s, i, k, a, r, o = stream.encode(), command_id.encode(), kind.encode(), actor.encode(), rules.encode(), outcome.encode()
    if rules in UNSALTED:
        frame = _frame(previous, position, at, len(s), len(i), len(k), len(a), len(r), len(o))
    else:
        frame = _salted_frame(previous, position, at, len(s), len(i), len(k), len(a), len(r), len(o), len(digests) // DIGEST_BYTES)
    return sha256(frame + digests + s + i + k + a + r + o).digest()


def flaw_of(entry: Entry) -> str:
    """What is wrong with an entry by itself, as the end of a sentence; empty when its hash is that of what it holds."""
    try:
        return "" if entry.hash == hash_with(entry, digests_of(entry)) else _CHANGED
    except (NotParts, struct.error) as error:
        return f"{_CHANGED}: {error}"


_CHANGED: Final = "was changed after it was recorded"


def sealed(
    position: int, stream: str, command_id: str, kind: str, actor: str, at: int, rules: str, command: bytes, signed: bytes,
    signature: bytes, outcome: str, body: bytes, previous: bytes, salts: bytes = b"",
) -> Entry:  # fmt: skip
    """The entry of these columns, with its hash. Raises `NotParts` when the salts are not as many as the parts."""
    entry = Entry(
        position, stream, command_id, kind, actor, at, rules, command, signed, signature, outcome, body, salts, previous, b""
    )  # fmt: skip
    return Entry(*entry[:-1], hash_of(entry))


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
    for entry in entries:
        if wrong := misplaced(entry, head) or flaw_of(entry):
            return Broken(head.position + 1, wrong)
        head = Head(entry.position, entry.at, entry.hash, entry.rules)
    return head


def misplaced(entry: Entry, head: Head) -> str:
    """What is wrong with an entry as the one after `head`, whatever it holds, as the end of a sentence; empty for nothing."""
    position, at, previous, rules = head
    if entry.position != position + 1:
        return f"expected position {position + 1}, found {entry.position}"
    if entry.previous != previous:
        return "does not follow the entry before it"
    if entry.at < at:
        return "is earlier than the entry before it"
    return "" if entry.rules == rules else _wrong_rules(entry.rules, rules)


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
