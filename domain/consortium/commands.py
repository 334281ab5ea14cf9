"""What the consortium can be asked for."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.charter import Office, SoundCharter
from domain.consortium.terms import Officer, Position
from domain.kernel import Command, Instant, Letter, MemberId, PersonId
from domain.register.facts import LogTime, PacedTime, PublicKey, SystemTime


class AcceptTime(Command):
    """Accept that the last entry is dated ahead of the clock. By two of secretariat, treasurer, second signatory and board."""

    kind: Literal["accept_time"] = "accept_time"
    position: Position
    """The last entry's position, as `consortium doctor` names it; for the second officer the one that the first accepted."""
    at: Instant
    """The last entry's time."""


class RestartClock(Letter):
    """Let a rehearsal run on from new anchors, at this or another pace."""

    to: ClassVar[str] = "consortium"
    kind: Literal["restart_clock"] = "restart_clock"
    clock: PacedTime


class Found(Command):
    """Adopt the first charter and name the first officers. Once, by one of them."""

    kind: Literal["found"] = "found"
    charter: SoundCharter
    officers: tuple[Officer, ...] = Field(min_length=1, max_length=100)
    clock: LogTime = SystemTime()
    """Which clock the log goes by: the system's, unless it is a rehearsal. Where `consortium up --pace` runs it is filled in."""


class AmendCharter(Command):
    """Put a whole new charter in force. By a passed proposal."""

    kind: Literal["amend_charter"] = "amend_charter"
    charter: SoundCharter


class GrantOffice(Command):
    """Entrust a person with an office. By the secretariat; seats on the board by a passed proposal."""

    kind: Literal["grant_office"] = "grant_office"
    person: PersonId
    office: Office


class RevokeOffice(Command):
    """Take an office from a person. By the secretariat; seats on the board by a passed proposal."""

    kind: Literal["revoke_office"] = "revoke_office"
    person: PersonId
    office: Office


class EnrolKey(Command):
    """Let a key speak for a person with an office or a member. By that person, or the secretariat for an officer without one."""

    kind: Literal["enrol_key"] = "enrol_key"
    person: PersonId
    public_key: PublicKey


class RevokeKey(Command):
    """Let a key speak for a person no longer. By that person or the secretariat."""

    kind: Literal["revoke_key"] = "revoke_key"
    person: PersonId
    public_key: PublicKey


class NameSubstitute(Command):
    """Have somebody see to duties of one's own for the time of an absence. By who is absent; for a member, by one of its representatives."""

    kind: Literal["name_substitute"] = "name_substitute"
    substitute: PersonId
    """A person with a key; for a member one who speaks for it, as its alternates do."""
    since: Instant
    until: Instant
    offices: Annotated[tuple[Office, ...], Field(max_length=len(Office))] = ()
    """Offices of one's own: treasurer or secretariat. Others sign, judge or answer by name, and nobody does that for them."""
    members: Annotated[tuple[MemberId, ...], Field(max_length=20)] = ()
    """Members that one represents."""


class WithdrawSubstitute(Command):
    """See to one's duties alone again. By who named the substitute, or by the substitute."""

    kind: Literal["withdraw_substitute"] = "withdraw_substitute"
    person: PersonId
    """Who is absent."""
    substitute: PersonId


ConsortiumCommand = (
    Found
    | AmendCharter
    | GrantOffice
    | RevokeOffice
    | EnrolKey
    | RevokeKey
    | NameSubstitute
    | WithdrawSubstitute
    | AcceptTime
    | RestartClock
)
