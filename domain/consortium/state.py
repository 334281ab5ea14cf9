"""What is true of the consortium, and how each event changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.charter import Charter, Office
from domain.consortium import events
from domain.kernel import Map, PersonId, mapping
from domain.register.facts import (
    CharterAdopted,
    ClockSet,
    KeyEnrolled,
    KeyRevoked,
    OfficeGranted,
    OfficeRevoked,
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
            assert isinstance(state, Founded)
            return replace(state, acceptance=Acceptance(position, at, by))
        case KeyEnrolled() | KeyRevoked() | SubstituteNamed() | SubstituteWithdrawn() | ClockSet() | TimeAccepted():
            return state


def _officer(state: ConsortiumState, person: PersonId, change: Callable[[frozenset[Office]], frozenset[Office]]) -> ConsortiumState:
    assert isinstance(state, Founded)
    return replace(state, officers=state.officers.set(person, change(state.officers.get(person, frozenset()))))
