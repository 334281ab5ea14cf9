"""What is true of the consortium, and how each event changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.charter import Charter, Office
from domain.consortium import events
from domain.kernel import Map, PersonId, mapping, without
from domain.register.facts import (
    CharterAdopted,
    ClockSet,
    KeyEnrolled,
    KeyRevoked,
    LogKeyEnrolled,
    LogKeyRevoked,
    OfficeGranted,
    OfficeRevoked,
    ReleaseKeyEnrolled,
    ReleaseKeyRevoked,
    SigningBegun,
    SubstituteNamed,
    SubstituteWithdrawn,
    TimeAccepted,
)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The last acceptance that a first officer gave."""

    position: int
    at: datetime
    by: PersonId


@dataclass(frozen=True, slots=True)
class Recovery:
    """A new key that somebody is to have in the place of their lost ones."""

    public_key: str
    signed: tuple[PersonId, ...]
    """Who stands for it: the first officer, and the second one once there is one."""
    until: datetime | None = None
    """When it takes effect; none before it is confirmed."""


@dataclass(frozen=True, slots=True)
class Act:
    """A command that takes two officers, and that one of them gave."""

    digest: str
    by: PersonId


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
    recoveries: Map[PersonId, Recovery] = mapping()
    """Of keys, by whose they are, that are neither done nor stopped."""
    acts: Map[str, Act] = mapping()
    """What waits for a second officer, by the kind of the command."""


ConsortiumState = Unfounded | Founded
SOLE: Final = (Office.SECRETARIAT, Office.TREASURER, Office.BOARD)
"""Offices that may never stand empty: the board is who votes while there is no member."""


def evolve(state: ConsortiumState, event: events.ConsortiumEvent) -> ConsortiumState:
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
        case events.TimeAcceptanceGiven(position=position, at=at, by=by):
            return replace(_founded(state), acceptance=Acceptance(position, at, by))
        case events.KeyRecoveryRequested(person=person, public_key=key, by=by):
            return _recovery(state, person, Recovery(key, (by,)))
        case events.KeyRecoveryConfirmed(person=person, public_key=key, by=by, until=until):
            return _recovery(state, person, Recovery(key, (*_founded(state).recoveries[person].signed, by), until))
        case events.KeyRecoveryStopped(person=person) | events.KeyRecovered(person=person):
            return replace(_founded(state), recoveries=without(_founded(state).recoveries, person))
        case events.ActProposed(act=act, digest=digest, by=by):
            return replace(_founded(state), acts=_founded(state).acts.set(act, Act(digest, by)))
        case events.ActSeconded(act=act):
            return replace(_founded(state), acts=without(_founded(state).acts, act))
        case KeyEnrolled() | KeyRevoked() | SubstituteNamed() | SubstituteWithdrawn() | ClockSet() | TimeAccepted():
            return state
        case LogKeyEnrolled() | LogKeyRevoked() | ReleaseKeyEnrolled() | ReleaseKeyRevoked() | SigningBegun():
            return state


def _founded(state: ConsortiumState) -> Founded:
    assert isinstance(state, Founded)
    return state


def _recovery(state: ConsortiumState, person: PersonId, recovery: Recovery) -> ConsortiumState:
    return replace(_founded(state), recoveries=_founded(state).recoveries.set(person, recovery))


def _officer(state: ConsortiumState, person: PersonId, change: Callable[[frozenset[Office]], frozenset[Office]]) -> ConsortiumState:
    officers = _founded(state).officers
    return replace(_founded(state), officers=officers.set(person, change(officers.get(person, frozenset()))))
