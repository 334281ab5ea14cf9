"""The consortium itself, `consortium/<name>`: its founding, its charter, its officers and their keys.

The first entry of every log is `found`. Afterwards the charter changes only by a passed proposal; offices are granted
and revoked by the secretariat, and the board's by a vote through the same commands under a mandate. The log's clock is a topic of
its own (`consortium_time`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from domain import consortium_time
from domain.charter import Charter, Office, SoundCharter
from domain.consortium_time import Acceptance, AcceptTime, RestartClock, TimeAcceptanceGiven
from domain.kernel import SERVICE, Agenda, Command, Headline, Map, Message, PersonId, Refused, escaped, mapping
from domain.process import Common, Context, Process, StepOwed
from domain.register import (
    CharterAdopted,
    ClockSet,
    KeyEnrolled,
    KeyRevoked,
    LogTime,
    OfficeGranted,
    OfficeRevoked,
    Person,
    PublicKey,
    SystemTime,
    TimeAccepted,
)

# ---------------------------------------------------------------- commands


class Officer(Message):
    """A person, their offices and their key, as named at the founding."""

    person: PersonId
    offices: frozenset[Office] = Field(min_length=1)
    public_key: PublicKey | None = None


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


ConsortiumCommand = Found | AmendCharter | GrantOffice | RevokeOffice | EnrolKey | RevokeKey | AcceptTime | RestartClock

# ---------------------------------------------------------------- events

ConsortiumEvent = CharterAdopted | OfficeGranted | OfficeRevoked | KeyEnrolled | KeyRevoked | ClockSet | TimeAcceptanceGiven | TimeAccepted

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Unfounded:
    """Before the first entry."""


@dataclass(frozen=True, slots=True)
class Founded:
    """The charter in force and the officers."""

    version: int
    charter: Charter
    officers: Map[PersonId, frozenset[Office]]
    acceptance: Acceptance | None = None
    """The last time ahead of the clock that a first officer accepted."""


ConsortiumState = Unfounded | Founded
SOLE: Final = (Office.SECRETARIAT, Office.TREASURER, Office.BOARD)
"""Offices that may never stand empty: the board is who votes while there is no member."""

# ---------------------------------------------------------------- decide


def decide(state: ConsortiumState, command: ConsortiumCommand, context: Context) -> Sequence[ConsortiumEvent | StepOwed]:
    """The facts that follow, or `Refused`."""
    match state:
        case Unfounded():
            match command:
                case Found(charter=charter, officers=officers, clock=clock):
                    _require_first(context)
                    _require_complete(officers, context)
                    _require_apart(charter, officers)
                    return (
                        CharterAdopted(version=1, charter=charter),
                        *(OfficeGranted(person=named.person, office=office) for named in officers for office in sorted(named.offices)),
                        *(KeyEnrolled(person=named.person, public_key=named.public_key) for named in officers if named.public_key),
                        ClockSet(clock=clock),
                    )
                case AmendCharter() | GrantOffice() | RevokeOffice() | EnrolKey() | RevokeKey() | AcceptTime() | RestartClock():
                    raise Refused(
                        "not_founded",
                        "this consortium has not been founded yet",
                        remedy="give `consortium consortium found` with a charter first",
                    )
        case Founded(charter=current, officers=held):
            match command:
                case Found():
                    raise Refused("already_founded", "this consortium has been founded", remedy="amend its charter by a proposal")
                case AmendCharter(charter=charter):
                    context.require_mandate()
                    _require_same_currency(current, charter)
                    _require_tiers_kept(charter, context)
                    return (CharterAdopted(version=state.version + 1, charter=charter),)
                case GrantOffice(person=person, office=office):
                    _require_appointer(office, context)
                    _require_person(person)
                    if office in held.get(person, frozenset()):
                        return ()
                    _require_compatible(current, person, office, held.get(person, frozenset()))
                    return (OfficeGranted(person=person, office=office),)
                case RevokeOffice(person=person, office=office):
                    _require_appointer(office, context)
                    if office not in held.get(person, frozenset()):
                        return ()
                    _require_successor(held, office)
                    return (OfficeRevoked(person=person, office=office),)
                case EnrolKey(person=person, public_key=key):
                    _require_self_or_secretariat(person, context)
                    return () if key in _known(person, context).keys else _enrol(person, key, context)
                case RevokeKey(person=person, public_key=key):
                    _require_self_or_secretariat(person, context)
                    return (KeyRevoked(person=person, public_key=key),) if key in _known(person, context).keys else ()
                case AcceptTime():
                    return consortium_time.accept(state.acceptance, command, context)
                case RestartClock():
                    return consortium_time.restart(command, context)


def _require_first(context: Context) -> None:
    if context.register.version:
        raise Refused("already_founded", "this log has a consortium already", remedy="one log is one consortium: use another log")


def _require_complete(officers: Sequence[Officer], context: Context) -> None:
    if context.actor not in {named.person for named in officers}:
        raise Refused("founder_not_named", f"{context.actor} is not among the officers", remedy="found it as one of the officers you name")
    persons = [named.person for named in officers]
    if len(persons) != len(set(persons)) or SERVICE in persons:
        raise Refused("officer_named_twice", "each officer is named once, and none is called `service`", remedy="name each person once")
    keys = [named.public_key for named in officers if named.public_key]
    if len(keys) != len(set(keys)):
        raise Refused("key_taken", "two officers are named with one key", remedy="give each officer a key of their own", clause="roles")
    for office in SOLE:
        if not any(office in named.offices for named in officers):
            raise Refused("office_vacant", f"nobody is named as {office}", remedy=f"name a {office}", clause="roles")


def _require_apart(charter: Charter, officers: Sequence[Officer]) -> None:
    for named in officers:
        for office in sorted(named.offices):
            _require_compatible(charter, named.person, office, named.offices - {office})


def _require_compatible(charter: Charter, person: PersonId, office: Office, held: frozenset[Office]) -> None:
    if barring := charter.roles.barring(office, held):
        names = " and ".join(barring)
        raise Refused(
            "offices_apart", f"{person} is {names}, which the charter keeps apart from {office}", clause="roles.apart",
            remedy=f"entrust somebody else with it, or take the office {names} from {person} first",
        )  # fmt: skip


def _require_tiers_kept(charter: Charter, context: Context) -> None:
    used = context.register.tiers().keys()
    if used - charter.tiers.keys():
        missing = ", ".join(sorted(used - charter.tiers.keys()))
        raise Refused(
            "tier_in_use", f"members are in the tiers that this charter leaves out, or have a seat kept there: {missing}", clause="tiers",
            remedy="keep the tier, with no seats for new ones if need be, until its members have changed to another",
        )  # fmt: skip


def _require_same_currency(current: Charter, charter: Charter) -> None:
    if charter.currency != current.currency:
        raise Refused(
            "currency_is_fixed", f"the books are kept in {current.currency}", clause="currency",
            remedy=f"keep currency = {current.currency!r}; another currency is another consortium",
        )  # fmt: skip


def _require_successor(held: Map[PersonId, frozenset[Office]], office: Office) -> None:
    if office in SOLE and sum(office in offices for offices in held.values()) == 1:
        raise Refused("last_officer", f"nobody else is {office}", remedy="grant the office to a successor first", clause="roles")


def _require_appointer(office: Office, context: Context) -> None:
    if office is Office.BOARD:
        context.require_mandate()
    elif not context.mandate:
        context.require_office(Office.SECRETARIAT)


def _require_person(person: PersonId) -> None:
    if person == SERVICE:
        raise Refused(
            "person_reserved", f"{SERVICE} is the system itself, and no person", remedy="name a person under another handle", clause="roles"
        )


def _require_self_or_secretariat(person: PersonId, context: Context) -> None:
    if context.actor != person:
        context.require_office(Office.SECRETARIAT)


def _known(person: PersonId, context: Context) -> Person:
    return context.register.people.get(person, Person())


def _enrol(person: PersonId, key: str, context: Context) -> Sequence[KeyEnrolled]:
    """A first key is vouched for by the secretariat; with it the person enrols the next ones alone."""
    known = _known(person, context)
    _require_person(person)
    if not known.offices and (context.actor != person or not known.speaks_for):
        raise Refused(
            "not_an_officer", f"{person} holds no office", clause="roles",
            remedy="grant the office first; who speaks for a member is named with their key by that member",
        )  # fmt: skip
    if context.actor != person and known.keys:
        raise Refused(
            "has_a_key", f"{person} has a key, and enrols others alone", clause="roles",
            remedy="revoke the keys that are lost or stolen, then enrol a new one",
        )  # fmt: skip
    context.register.require_free(key, person)
    return (KeyEnrolled(person=person, public_key=key),)


# ---------------------------------------------------------------- evolve


def evolve(state: ConsortiumState, event: ConsortiumEvent) -> ConsortiumState:
    """The state after a fact."""
    match event:
        case CharterAdopted(version=version, charter=charter):
            match state:
                case Unfounded():
                    return Founded(version, charter, mapping())
                case Founded():
                    return replace(state, version=version, charter=charter)
        case OfficeGranted(person=person, office=office):
            return _officer(state, person, lambda offices: offices | {office})
        case OfficeRevoked(person=person, office=office):
            return _officer(state, person, lambda offices: offices - {office})
        case TimeAcceptanceGiven(position=position, at=at, by=by):
            assert isinstance(state, Founded)
            return replace(state, acceptance=Acceptance(position, at, by))
        case KeyEnrolled() | KeyRevoked() | ClockSet() | TimeAccepted():
            return state


def _officer(state: ConsortiumState, person: PersonId, change: Callable[[frozenset[Office]], frozenset[Office]]) -> ConsortiumState:
    assert isinstance(state, Founded)
    return replace(state, officers=state.officers.set(person, change(state.officers.get(person, frozenset()))))


# ---------------------------------------------------------------- agenda and describe


def agenda(state: ConsortiumState) -> Agenda:
    """A consortium owes nothing by itself, and does not end."""
    return Agenda(closed=True)


def describe(state: ConsortiumState) -> Headline:
    """The charter's name and version, and who holds which office."""
    match state:
        case Unfounded():
            return Headline("unfounded", "not founded yet")
        case Founded(version=version, charter=charter, officers=held):
            rows = "\n".join(f"| {person} | {', '.join(sorted(offices))} |" for person, offices in sorted(held.items()) if offices)
            text = f"| officer | offices |\n| --- | --- |\n{rows}"
            values: dict[str, str | int] = {
                "name": charter.name,
                "currency": charter.currency,
                "seat": charter.seat,
                "charter_version": version,
            }
            return Headline("founded", f"{escaped(charter.name)}, charter version {version}", text, values=values)


CONSORTIUM: Process[ConsortiumCommand, ConsortiumEvent, ConsortiumState] = Process(
    name="consortium",
    title="the consortium itself",
    about="Holds the charter in force, the officers and their keys. It begins with the founding; a vote amends the charter.",
    initial=Unfounded(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[ConsortiumCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[ConsortiumEvent | Common, Field(discriminator="kind")], ...]),
    state_version=1,
    list_version=1,
)
