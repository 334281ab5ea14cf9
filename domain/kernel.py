"""What every process is made of: messages, identifiers, refusals, steps and agendas."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, NamedTuple, NewType, Self, TypeVar
from uuid import UUID, uuid5

import immutables
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from domain.forms import Form

# ---------------------------------------------------------------- identifiers

StreamId = NewType("StreamId", str)
"""`process/slug`, for example `round/atlas-1`; also the id of the workflow that drives the stream."""

CommandId = NewType("CommandId", str)
"""A UUID in its canonical text form. The same id always means the same command."""

SLUG: Final = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
STREAM: Final = re.compile(rf"(?P<process>[a-z]{{1,20}})/(?P<slug>{SLUG})")

Slug = Annotated[str, Field(pattern=rf"^{SLUG}$", max_length=64), Form("lower-case ASCII letters, digits and inner hyphens", "atlas-1")]
"""Lower-case ASCII letters, digits and inner hyphens, at most 64 of them."""

MemberId = Slug
PersonId = Slug
"""Persons appear on the log under a handle only; names and addresses live in the erasable address book."""

SERVICE: Final = "service"
"""The actor of outcomes, deadlines and letters: the system itself. It gives a person's command only under the mandate of a vote."""

LOG: Final = "log"
"""In whose name a log key is proved, and holds that key: whoever records, and no person."""

RELEASES: Final = "releases"
"""In whose name a key that signs releases is proved, and holds that key."""

RESERVED: Final = frozenset({SERVICE, LOG, RELEASES})
"""Handles that no person has."""

_NAMESPACE: Final = UUID("6f1d7f3e-9c52-5b0e-8d43-27c3d6a1b0aa")


def derived_id(*parts: str) -> CommandId:
    """The command id that belongs to these parts (RFC 9562 version 5): told again, it is the same."""
    return CommandId(str(uuid5(_NAMESPACE, "\x1f".join(parts))))


@lru_cache(maxsize=4_096)
def process_of(stream: str) -> str:
    """The name of the process a stream belongs to. Raises `ValueError` for text that is no stream id."""
    match = STREAM.fullmatch(stream)
    if match is None:
        raise ValueError(f"{stream!r} is not of the form process/slug with lower-case ASCII letters, digits and hyphens")
    return match["process"]


def slug_of(stream: str) -> str:
    """The part of a stream id after the process name."""
    process_of(stream)
    return stream.partition("/")[2]


ASKED: Final = ("admit", "extend", "question", "shortfall")
"""What processes put to the vote by themselves: such a word begins the name of each of their proposals, and of nobody else's."""
_LONGEST: Final = 64


def asked_in(word: str, about: str, number: int | None = None) -> StreamId:
    """The proposal in which a process asks something about itself, `proposal/<word>-<about>[-<number>]`.

    The same parts give the same one; where the name is too long its end is a digest, so that two questions never share one.
    """
    assert word in ASKED, f"{word} is not reserved for processes"
    slug = "-".join((word, about, *(() if number is None else (str(number),))))
    if len(slug) > _LONGEST:
        mark = hashlib.sha256(slug.encode()).hexdigest()[:16]
        slug = f"{slug[: _LONGEST - len(mark) - 1].rstrip('-')}-{mark}"
    return StreamId(f"proposal/{slug}")


# ---------------------------------------------------------------- text

STEERING: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""The categories of characters that are invisible or steer a display (Unicode Standard, table 4-4)."""
_JOINERS: Final = frozenset("\u200c\u200d")
_VIRAMA: Final = 9
"""The combining class of the signs that join consonants in the Indic scripts."""


def _joins(text: str, index: int) -> bool:
    """Zero-width joiners are spelling after a virama, and between letters of the Arabic kind; elsewhere they hide (UAX 31, 2.3)."""
    if text[index] not in _JOINERS or index == 0:
        return False
    if unicodedata.combining(text[index - 1]) == _VIRAMA:
        return True
    return [unicodedata.bidirectional(letter) for letter in (text[index - 1], *text[index + 1 : index + 2])] == ["AL", "AL"]


def _hides(text: str, index: int) -> bool:
    return unicodedata.category(text[index]) in STEERING and not _joins(text, index)


def visible(text: str) -> str:
    """Foreign text as one line in which nothing is left that a `Name` or `Prose` refuses; empty when nothing of it is visible."""
    while True:
        line = " ".join(unicodedata.normalize("NFC", text).split())
        text = "".join(character for index, character in enumerate(line) if not _hides(line, index))
        if text == line:
            return text


def shortened(text: str, limit: int) -> str:
    """The beginning of a text, at most so long, that is still a `Prose`: a joiner that has lost what it joins goes too."""
    text = text[:limit]
    while text and _hides(text, len(text) - 1):
        text = text[:-1]
    return text


def _plain(text: str, *, also: str = "") -> str:
    """NFC text without control, format (bidi, zero-width), surrogate, private-use or unassigned characters."""
    text = unicodedata.normalize("NFC", text)
    for index, character in enumerate(text):
        if _hides(text, index) and character not in also:
            raise ValueError(f"character U+{ord(character):04X} at place {index + 1} is invisible or steers the display; remove it")
    return text


def _name(text: str) -> str:
    text = _plain(text)
    if text != text.strip() or not text:
        raise ValueError("a name neither starts nor ends with a space, and is not empty")
    return text


def _prose(text: str) -> str:
    return _plain(text, also="\n\t")


Name = Annotated[str, Field(max_length=200), AfterValidator(_name), Form("a name in one line, in any script", "Atlas")]
"""A name in any script: NFC, one line, nothing invisible."""

Prose = Annotated[str, Field(max_length=4_000), AfterValidator(_prose), Form("text", "As agreed on Monday.")]
"""Text of a person, several lines at most 4,000 characters; never shown unescaped."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), Form("a SHA-256: 64 of the characters 0 to 9 and a to f", "9b1b2e1a" * 8)]
"""A SHA-256 in lower-case hexadecimal."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""So many, as every JSON reader keeps it."""

CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$"), Form("a country by its two capital letters (ISO 3166-1)", "CH")]
"""ISO 3166-1 alpha-2."""

WHOLE: Final = 10_000
"""The whole in basis points."""

BasisPoints = Annotated[int, Field(ge=0, le=10_000), Form("basis points (hundredths of a percent)", 5_000)]
"""Hundredths of a percent: 10,000 is the whole."""


def percent(basis_points: int) -> str:
    """A fraction for people: `15.00 %`."""
    return f"{basis_points // 100}.{basis_points % 100:02} %"


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("this instant lies outside of the calendar") from error


Instant = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A point in time: read with any offset, kept in UTC; a time without an offset is refused."""


def shown_at(at: datetime) -> str:
    """An instant in texts of the domain: in UTC to the minute, rounded down. Shells that know a clock and a zone say it by themselves."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# ---------------------------------------------------------------- keys


def _one_form(line: str) -> str:
    """The key, if its Base64 is the one that its bytes have: else one key would be two texts, and serve two people."""
    encoded = line.partition(" ")[2]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("its Base64 cannot be read") from error
    if base64.b64encode(blob).decode() != encoded:
        raise ValueError("its Base64 is not the one form of its bytes; take the line as OpenSSH writes it")
    return line


PublicKey = Annotated[
    str,
    Field(
        max_length=1_000,
        pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp256|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,2}$",
    ),
    AfterValidator(_one_form),
    Form(
        "an OpenSSH public key in one line, without its comment (ssh-ed25519, ecdsa-sha2-nistp256, or one of a security key: sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com)",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJbUuXYFlUiSpJH7GIvkZLPkO4C4h3zYbXy0Xl9Jm0T",
    ),
]
"""An OpenSSH public key in one line, without a comment. That its point is sound is checked with the proof of its possession."""

Proof = Annotated[
    str,
    Field(max_length=2_000, pattern=r"^-----BEGIN SSH SIGNATURE-----\n(?:[A-Za-z0-9+/=]{1,100}\n){1,60}-----END SSH SIGNATURE-----\n?$"),
    Form(
        "an SSH signature in its armour, as a key request holds it",
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n",
    ),
]
"""A proof of possession: an armoured SSHSIG by the key over what it is for (see docs/log-format.md)."""


class Possession(NamedTuple):
    """What a command states of a key: that this person holds it, and the proof of that."""

    person: PersonId
    public_key: PublicKey
    proof: Proof


def possessions_of(named: Iterable[tuple[PersonId, PublicKey | None, Proof | None]]) -> tuple[Possession, ...]:
    """What persons with keys and proofs state; who has no key, or no proof of it, states nothing."""
    return tuple(Possession(person, key, proof) for person, key, proof in named if key is not None and proof is not None)


# ---------------------------------------------------------------- containers

K = TypeVar("K")
V = TypeVar("V")


class _MapSchema:
    """Lets pydantic read and write a persistent map as an object (for snapshots)."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            immutables.Map,
            handler(dict.__class_getitem__(source.__args__)),
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
        )


Map = Annotated[immutables.Map[K, V], _MapSchema]
"""A persistent mapping: `set` and `delete` return a new map in O(log n) and leave the old one as it was."""


def mapping(items: Mapping[K, V] | None = None) -> immutables.Map[K, V]:
    """A persistent map with these items."""
    return immutables.Map(items or {})


def without(items: immutables.Map[K, V], key: K) -> immutables.Map[K, V]:
    """The map without an item, if it has it."""
    return items.delete(key) if key in items else items


# ---------------------------------------------------------------- messages


class Message(BaseModel):
    """What crosses borders and is stored for ever: frozen, no unknown fields, no coercion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


YEARS: Final = range(2000, 2200)
"""In which a command names instants and days: every period that a charter knows can be counted from them, forth and back."""


_NO_DAYS: Final = frozenset((str, int, bool, type(None)))


def _days_in(message: Message) -> Iterator[date]:
    inside: list[Any] = list(message.__dict__.values())
    while inside:
        value = inside.pop()
        if isinstance(value, (str, int)):
            continue
        if isinstance(value, date):
            yield value
        elif isinstance(value, Message):
            inside += value.__dict__.values()
        elif isinstance(value, Mapping):
            inside += value.values()
        elif isinstance(value, (tuple, frozenset)):
            inside += value


class Command(Message):
    """What somebody asks for: a person, or a passed proposal under its mandate, unless it is one of the kinds below.

    `kind` is its name on the wire, in the log and in the Temporal UI.
    """

    kind: str

    @model_validator(mode="after")
    def _names_days_that_can_be_counted_from(self) -> Self:
        if _NO_DAYS.issuperset(map(type, self.__dict__.values())):
            return self
        for day in _days_in(self):
            if day.year not in YEARS:
                raise ValueError(f"{day.isoformat()} lies outside of the years {YEARS[0]} to {YEARS[-1]}")
        return self

    def possessions(self) -> tuple[Possession, ...]:
        """The proofs that it carries of who holds which key; a key without a proof is none of them.

        Whoever records verifies them before the command's turn, and passes what verified on as `Context.proven`.
        """
        return ()


class Due(Command):
    """A deadline has come: the clock says so, as long as the process's own agenda names it."""


class Letter(Command):
    """What one part of the system tells a stream: another process by a `tell` step, or whoever runs a rehearsal.

    `to` names the process that it is for.
    """

    to: ClassVar[str]


class Outcome(Command):
    """What an owed step brought back from the outside world."""

    step: str
    """The key of the step it answers."""


class Event(Message):
    """What became true. Stored events are read for ever: fields are only added, with defaults."""

    kind: str


_canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def is_empty(value: object) -> bool:
    """For `exclude_if`: a later field is not written while it is empty, so that what was written before it keeps its bytes and digests."""
    return value is None or value == ()


def canonical(message: Message) -> bytes:
    """The one byte form of a message: RFC 8785 (sorted keys, no spaces, UTF-8; messages hold no floats)."""
    return canonical_json(message.model_dump(mode="json"))


def canonical_json(value: Any) -> bytes:
    """RFC 8785 for JSON values without floats and with ASCII keys."""
    return _canonical(value).encode()


def digest_of(stream: str, command: Mapping[str, Any]) -> str:
    """The SHA-256 that a vote authorises: of the stream and the command's canonical form, and nothing else."""
    return hashlib.sha256(stream.encode() + b"\n" + canonical_json(command)).hexdigest()


# ---------------------------------------------------------------- refusals


class Refused(Exception):
    """A rule said no. `rule` is its stable name, `remedy` the way out, `clause` the place in the charter it comes from."""

    def __init__(self, rule: str, message: str, *, remedy: str, clause: str = "") -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.message = message
        self.remedy = remedy
        self.clause = clause


# ---------------------------------------------------------------- steps and agendas


class Step(Message):
    """A side effect that is owed. `kind` names its activity; `key` is the same however often it is tried."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    key: Annotated[str, Field(max_length=160)]
    data: dict[str, Any] = Field(default_factory=dict)


TELL: Final = "tell"
"""The kind of the steps by which one process speaks to another."""


def tell(stream: str, letter: Letter, *, key: str) -> Step:
    """The step that records a letter on another stream, once. Fields that were not given are left out: they have their defaults there."""
    assert stream.partition("/")[0] == letter.to, f"{letter.kind} is for a {letter.to}, and not for {stream}"
    return reply(stream, letter, key=key)


def reply(stream: str, letter: Letter, *, key: str) -> Step:
    """The same to a stream that somebody named, as who ordered a payment: whether it takes the letter is seen when it comes there."""
    return Step(kind=TELL, key=key, data={"stream": stream, "command": given(letter)})


def whole(command: Command) -> dict[str, Any]:
    """A command as JSON values: every field, defaults too."""
    return command.model_dump(mode="json")


def given(command: Command) -> dict[str, Any]:
    """A command as JSON values: its kind, and the fields that were given."""
    return {"kind": command.kind, **command.model_dump(mode="json", exclude_unset=True)}


NOTIFY: Final = "notify"
"""The kind of the steps by which people are told something."""


def notify(template: str, to: tuple[str, ...], *, key: str, **facts: str | int) -> Step:
    """The step that tells people something. `to` names persons, members (`member:helio`) or offices (`office:treasurer`)."""
    return Step(kind=NOTIFY, key=key, data={"template": template, "to": list(to), "facts": facts})


def holders(offices: Iterable[str]) -> tuple[str, ...]:
    """The recipients of a notice that is for whoever holds these offices, in order."""
    return tuple(f"office:{office}" for office in sorted(offices))


def with_own_facts(notice: Step, each: Mapping[str, Mapping[str, str | int]]) -> Step:
    """The notice with further facts for some of its recipients, which nobody else is told."""
    return notice.model_copy(update={"data": notice.data | {"each": {recipient: dict(facts) for recipient, facts in each.items()}}})


@dataclass(frozen=True, slots=True)
class Deadline:
    """At `at` the system gives `command`, unless the process has moved on by then."""

    at: datetime
    command: Command


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is owed next: the deadlines that stand, the steps not yet carried out, and whether the process is at its end."""

    deadlines: tuple[Deadline, ...] = ()
    """Of those at one instant the first comes first."""
    steps: tuple[Step, ...] = ()
    closed: bool = False

    @property
    def deadline(self) -> Deadline | None:
        """The next one."""
        return min(self.deadlines, key=_instant, default=None)


def _instant(deadline: Deadline) -> datetime:
    return deadline.at


AWAITED: Final = 200
"""How many a headline waits for by name, several times what a consortium has: each of them finds it in their inbox."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A process in one line and one short Markdown text, with the values that people search by."""

    phase: str
    line: str
    text: str = ""
    waits_for: tuple[str, ...] = ()
    """Who is waited for: persons, `member:<id>` or `office:<name>`."""
    values: Mapping[str, str | int] = field(default_factory=dict)
    """What lists show and search by; amounts in minor units, their names ending in `_minor`."""


_MARKUP: Final = re.compile(
    r"[\\`*_{}\[\]()<>#+!|~&@:/]|(?<=www)\.|^=|^-(?=[\s-]|$)|(?:(?<=^\d)|(?<=^\d\d)|(?<=^\d\d\d))\.(?=\s|$)", re.IGNORECASE
)
"""What Markdown reads something into: links that are not written as links, and lists, rules and headings at the beginning, among it."""


def one_line(text: str, limit: int) -> str:
    """Foreign text as one short line in which nothing is invisible or steers a display. It is not escaped."""
    text = text[: 4 * limit]
    flat = " ".join((text if text.isprintable() else visible(text)).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def escaped(text: str, limit: int = 80) -> str:
    """Foreign text made safe to show in Markdown, HTML and terminals: short, one line, no markup."""
    return _MARKUP.sub(lambda found: "\\" + found[0], one_line(text, limit))


def unescaped(text: str) -> str:
    """What was escaped, as it was."""
    return re.sub(r"\\([\\`*_{}\[\]()<>#+!|~&@:/.=-])", r"\1", text)


def steerless(text: str) -> str:
    """Text in which what steers a display (control, format, unassigned characters, line separators) is written as JSON escapes it."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(json.dumps(letter)[1:-1] if _steers(letter) else letter for letter in text)


def _steers(letter: str) -> bool:
    return unicodedata.category(letter) in STEERING
