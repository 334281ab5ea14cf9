"""What stands behind a command, so that nobody's word has to be taken: a person's signature, a worker's tag, or what the log itself owes.

Nothing is believed of who sends a command. It is looked at twice: signatures before the turn, in threads (`eventstore.verifying`), and
whether they suffice inside it, by the state before the entry (`permit`). An auditor does both again from the entry alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from domain.kernel import SERVICE, TELL, Command, Deadline, Due, Letter, Outcome, Refused, derived_id, shown_at
from domain.process import Proven
from domain.register.facts import PacedTime
from domain.register.state import Register
from domain.stream import DelayStep, Stream, delay_id, failure_id, letter_id, outcome_id
from eventstore.clock import TOLERANCE
from eventstore.entries import encode_json
from eventstore.statement import (
    VERSION,
    Carried,
    Restarted,
    Sent,
    Statement,
    Unreadable,
    digest,
    instant_of,
    possession,
    read,
)
from eventstore.wire import Malformed
from signatures import keys, sshsig
from signatures.errors import Unacceptable
from signatures.sshsig import Asserted, Purpose, Signature

MAX_AUTHORITY: Final = 128 * 1024
"""The longest statement that is read, in bytes: a command, and who gives it where and when."""
RESTART: Final = "restart_clock"
"""The kind of the command by which whoever runs a rehearsal's log sets its clock."""

BEGINS: Final = "begin_signing"
"""The kind of the command by which officers begin to sign on a log that was begun without."""
BEGINNINGS: Final = frozenset({"found", BEGINS})
"""The kinds of the commands from which on a log is signed."""
INTRODUCES: Final = BEGINNINGS | {"apply"}
"""The kinds of the commands that are signed by a key which the log does not know yet, and which they bring with its proof."""


class Unauthorised(Malformed):
    """A command behind which nothing stands that this log takes. There is no entry, and its id stays free."""


class NotOwed(Exception):
    """What the system would say is not owed, or no longer: there is no entry, and nothing is wrong."""


# ---------------------------------------------------------------- kinds of authority


class ByPerson(NamedTuple):
    """A person signed it."""

    said: Statement
    bytes: bytes
    signature: Signature

    @property
    def key(self) -> str:
        """The line of the key that signed."""
        return line_of(self.signature.key_blob)


class ByWorker(NamedTuple):
    """The worker that carried a step out tagged what came of it."""

    said: Carried
    bytes: bytes
    signature: Signature

    @property
    def key(self) -> str:
        """The line of the log key that signed."""
        return line_of(self.signature.key_blob)


class ByHost(NamedTuple):
    """Whoever runs a rehearsal's log tagged that its clock is set anew."""

    said: Restarted
    bytes: bytes
    signature: Signature

    @property
    def key(self) -> str:
        """The line of the log key that signed."""
        return line_of(self.signature.key_blob)


class ByStream(NamedTuple):
    """Another stream owes this letter, or this motion."""

    sent: Sent


class ByLog(NamedTuple):
    """The stream itself owes it: a deadline of its agenda. Also that a step takes long, which nobody is left to sign."""


Authority = ByPerson | ByWorker | ByHost | ByStream | ByLog


class Vouched(NamedTuple):
    """What stands behind a command: its signature is by the key that it names, and of its proofs of possession these hold."""

    authority: Authority
    proven: Proven = frozenset()

    @property
    def source(self) -> str | None:
        """The stream by whose state it is judged too."""
        return self.authority.sent.source if isinstance(self.authority, ByStream) else None


class Given(Protocol):
    """A submission, or an entry."""

    @property
    def stream(self) -> str: ...  # noqa: D102
    @property
    def command_id(self) -> str: ...  # noqa: D102
    @property
    def actor(self) -> str: ...  # noqa: D102
    @property
    def command(self) -> bytes: ...  # noqa: D102
    @property
    def signed(self) -> bytes: ...  # noqa: D102
    @property
    def signature(self) -> bytes: ...  # noqa: D102


def behind(given: Given) -> Authority:
    """What is said to stand behind a command. Nothing of it is checked but the form. Raises `Unauthorised`."""
    if len(given.signed) > MAX_AUTHORITY:
        raise Unauthorised(f"what was signed is {len(given.signed):,} bytes long; at most {MAX_AUTHORITY:,} are read")
    try:
        if given.actor != SERVICE:
            if not given.signed or not given.signature:
                raise Unauthorised(f"nothing is signed: {given.actor} must sign the command (`consortium key list` shows with what)")
            return ByPerson(read(Statement, given.signed), given.signed, sshsig.parse_blob(given.signature))
        if not given.signature:
            return ByStream(read(Sent, given.signed)) if given.signed else ByLog()
        signature = sshsig.parse_blob(given.signature)
        if signature.namespace == Purpose.CLOCK:
            return ByHost(read(Restarted, given.signed), given.signed, signature)
        return ByWorker(read(Carried, given.signed), given.signed, signature)
    except Unreadable as error:
        raise Unauthorised(f"what was signed: {error}") from error
    except Unacceptable as error:
        raise Unauthorised(f"the signature: {error}") from error


# ---------------------------------------------------------------- signatures


def check_signature(authority: Authority, origins: AbstractSet[str] = frozenset()) -> None:
    """Returns when the signature is by the key that it names. Whose key that is, `permit` looks at. Raises `Unauthorised`."""
    match authority:
        case ByPerson(signature=signature, bytes=signed):
            _verify(signature, signed, Purpose.COMMAND, origins)
        case ByWorker(signature=signature, bytes=signed):
            _verify(signature, signed, Purpose.OUTCOME)
        case ByHost(signature=signature, bytes=signed):
            _verify(signature, signed, Purpose.CLOCK)
        case ByStream() | ByLog():
            return


def check_recorded(authority: Authority) -> None:
    """`check_signature` of what a log holds, for who looks at it without the settings of the host that recorded it. Raises `Unauthorised`.

    On which pages of its domain people are sent to use a passkey is such a setting: here all of that domain count.
    """
    check_signature(authority, own_page(authority.signature) if isinstance(authority, ByPerson) else frozenset())


def _verify(signature: Signature, signed: bytes, purpose: Purpose, origins: AbstractSet[str] = frozenset()) -> None:
    try:
        sshsig.verify(signature, signed, purpose, _key(signature.key_blob), origins)
    except Unacceptable as error:
        raise Unauthorised(f"the signature: {error}") from error


def proven(command: Command, consortium: str) -> Proven:
    """Whose keys a command proves: of its proofs of possession those that hold. `consortium` is the hash of the log's first entry, or the stream's name before it."""
    held = set[tuple[str, str]]()
    for claimed in command.possessions():
        try:
            key = keys.parse(claimed.public_key)
            if key.line == claimed.public_key:
                signed = possession(consortium, claimed.person, claimed.public_key)
                signature = sshsig.parse(claimed.proof)
                sshsig.verify(signature, signed, Purpose.POSSESSION, key, own_page(signature))
                held.add((claimed.person, claimed.public_key))
        except Unacceptable:
            continue
    return frozenset(held)


def own_page(signature: Signature) -> frozenset[str]:
    """The page on which a passkey was used, if it is one of the domain that the passkey is for; empty for other signatures.

    That much can be told of a signature by everybody, with no setting of a host at hand: whoever decides an entry again comes to the same.
    """
    if not isinstance(signature.form, Asserted):
        return frozenset()
    try:
        page, domain = urlsplit(signature.form.origin), _key(signature.key_blob).application
        host = page.hostname or ""
    except (ValueError, Unacceptable):
        return frozenset()
    own = host == domain or host.endswith(f".{domain}")
    secure = page.scheme == "https" or (page.scheme == "http" and host == "localhost")
    return frozenset({signature.form.origin}) if own and secure else frozenset()


@lru_cache(maxsize=4_096)
def _key(blob: bytes) -> keys.PublicKey:
    return keys.PublicKey(blob)


def line_of(blob: bytes) -> str:
    """The line of a key by its blob, as the register names keys."""
    try:
        return _key(blob).line
    except Unacceptable as error:
        raise Unauthorised(f"the signing key: {error}") from error


# ---------------------------------------------------------------- whether it suffices


class Place(NamedTuple):
    """Where and when a command is judged: by the state before its entry."""

    log: str
    """The hash of the log's first entry; empty before it."""
    at: datetime
    register: Register
    stream: Stream[Any]
    deadlines: Callable[[], Mapping[str, Deadline]]
    """What the stream's agenda owes, by the ids of its commands."""


def permit(vouched: Vouched, given: Given, command: Command, place: Place, source: Stream[Any] | None) -> None:
    """Returns when the authority suffices by the state before the entry. `source` is the stream that a letter names.

    Raises `Refused` for what a person known to the log signed and what does not suffice; `Unauthorised` for what leaves no entry; `NotOwed`.
    """
    match vouched.authority:
        case ByPerson() as signed:
            _permit_person(signed, vouched.proven, given, command, place)
        case ByWorker() as tagged:
            _permit_outcome(tagged.key, tagged.said, given, command, place)
        case ByHost() as tagged:
            _permit_clock(tagged.key, tagged.said, given, command, place)
        case ByStream(sent=sent):
            _permit_letter(sent, given, command, source)
        case ByLog():
            _permit_due(given, command, place)


def is_known(authority: Authority, register: Register, actor: str) -> bool:
    """Whether the log knows who gave a command: then its refusals are recorded too."""
    return not isinstance(authority, ByPerson) or register.knows_key(actor, authority.key)


def misdelivered_id(signed: bytes) -> str:
    """Under which id a statement is refused that came where it was not meant to go: once, and its own id stays free."""
    return derived_id("misdelivered", digest(signed))


def is_misdelivered(given: Given, said: Statement) -> bool:
    """Whether a statement came to another stream, or under another id, than it names."""
    return (said.stream, said.command_id) != (given.stream, given.command_id)


def _permit_person(signed: ByPerson, proven: Proven, given: Given, command: Command, place: Place) -> None:
    said, key, register = signed.said, signed.key, place.register
    if said.actor != given.actor or encode_json(said.command) != given.command:
        raise Unauthorised("what was signed is another command than the one given, or by another person")
    brought = command.kind in INTRODUCES and (given.actor, key) in proven
    if not brought and not register.knows_key(given.actor, key):
        raise Unauthorised(f"the signature is by no key of {given.actor} (`consortium key list {given.actor}` shows theirs)")
    consortium = place.log or digest(given.command)
    if said.consortium != consortium:
        raise Refused(
            "other_consortium",
            "what was signed is for another consortium",
            remedy="give the command again on this log, under a new id",
        )
    if is_misdelivered(given, said) and given.command_id != misdelivered_id(given.signed):
        raise Unauthorised("what was signed is for another stream, or under another id")
    if is_misdelivered(given, said):
        raise Refused(
            "other_place",
            f"what was signed is for {said.stream} under the id {said.command_id}",
            remedy="none is needed by who signed it: somebody else sent it here",
        )
    _require_time(said, place)
    if not brought and not register.speaks_by(given.actor, key, given.stream):
        raise Refused(
            "key_not_valid",
            f"the key that signed does not speak for {given.actor} on {given.stream}, or no longer",
            remedy=f"sign with another key of {given.actor} (`consortium key list {given.actor}`), under a new id",
            clause="roles",
        )


def _require_time(said: Statement, place: Place) -> None:
    try:
        issued, expires = instant_of(said.issued_at), instant_of(said.expires_at)
    except Unreadable as error:
        raise Refused("unreadable_time", str(error), remedy="sign the command anew, under a new id") from error
    if place.at >= expires:
        raise Refused(
            "command_expired",
            f"what was signed held until {shown_at(expires)}, and it is {shown_at(place.at)}",
            remedy="sign the command anew, under a new id",
        )
    if issued > place.at + _tolerance(place.register):
        raise Refused(
            "issued_ahead",
            f"it was signed at {shown_at(issued)} by the clock of who signed, and it is {shown_at(place.at)}",
            remedy="set that clock right, and sign the command anew under a new id",
        )


def _tolerance(register: Register) -> timedelta:
    """How far a person's clock may be ahead: as far as hosts' may be apart, on a rehearsal's clock so many times as long as it runs faster."""
    return TOLERANCE * (register.clock.pace if isinstance(register.clock, PacedTime) else 1)


def _permit_due(given: Given, command: Command, place: Place) -> None:
    if isinstance(command, DelayStep):
        attempt = place.stream.tries.get(command.step)
        if attempt is None or given.command_id != delay_id(given.stream, command.step, attempt):
            raise NotOwed
        return
    deadline = place.deadlines().get(given.command_id)
    if deadline is None or deadline.command != command:
        raise NotOwed if isinstance(command, Due) else Unauthorised(f"nothing stands behind {command.kind}: no stream owes it")
    if place.at < deadline.at:
        raise NotOwed  # refused, it would hold the id that is its own when its time comes


def _permit_letter(sent: Sent, given: Given, command: Command, source: Stream[Any] | None) -> None:
    step = source.owed.get(sent.step) if source is not None else None
    if source is None or step is None:
        raise NotOwed
    if step.kind != TELL or step.data["stream"] != given.stream or encode_json(step.data["command"]) != given.command:
        raise Unauthorised(f"{sent.source} owes another letter than this by its step {sent.step!r}")
    if given.command_id != letter_id(sent.source, sent.step, sent.retries) or sent.retries != source.retried.get(sent.step, 0):
        raise Unauthorised("the id is not that of the letter")


def _permit_outcome(key: str, said: Carried, given: Given, command: Command, place: Place) -> None:
    require_log_key(key, place.register)
    if (
        not isinstance(command, Outcome)
        or (said.step, said.stream) != (command.step, given.stream)
        or said.outcome != digest(given.command)
    ):
        raise WrongTag("the tag is of another outcome")
    if said.log != place.log:
        raise WrongTag("the tag is for another log")
    ids = [make(given.stream, said.step, said.attempt) for make in (outcome_id, failure_id, delay_id)]
    if given.command_id not in ids:
        raise WrongTag("the id is not that of the outcome")
    if place.stream.tries.get(said.step) != said.attempt or said.step in place.stream.failed:
        raise NotOwed


def _permit_clock(key: str, said: Restarted, given: Given, command: Command, place: Place) -> None:
    require_log_key(key, place.register)
    expected = Restarted(command=digest(given.command), command_id=given.command_id, log=place.log, version=VERSION)
    if command.kind != RESTART or not isinstance(command, Letter) or said != expected:
        raise WrongTag("the tag is of another command")


class WrongTag(Unauthorised):
    """What came of a step is not tagged by the log key of a worker: it is carried out again."""


def require_log_key(key: str, register: Register) -> None:
    """Raises `WrongTag` for a key that signs nothing of the log now."""
    enrolled = register.log_keys.get(key)
    if enrolled is None or enrolled.until is not None:
        raise WrongTag("the tag is by no log key of this log")
