"""What the rules of the consortium share."""

from __future__ import annotations

from typing import Final

from domain import process
from domain.charter import OFFICERS, Charter, Office
from domain.consortium import events
from domain.consortium.state import ConsortiumState, Founded, Unfounded
from domain.kernel import RESERVED, PersonId, Refused

Events = process.Events[events.ConsortiumEvent]

ANSWERING: Final = tuple(sorted(OFFICERS))
"""Whose holders answer for the consortium as a whole: two of them accept a time that ran ahead, and decide on the log's keys."""
PAIR: Final = 2
"""How many officers of different organisations it takes to put a new key in the place of a lost one."""


def unfounded(state: ConsortiumState) -> Unfounded:
    """Refuses a second founding."""
    match state:
        case Unfounded():
            return state
        case Founded():
            raise Refused("already_founded", "this consortium has been founded", remedy="amend its charter by a proposal")


def founded(state: ConsortiumState) -> Founded:
    """Refuses what takes a charter and officers."""
    match state:
        case Founded():
            return state
        case Unfounded():
            raise Refused(
                "not_founded",
                "this consortium has not been founded yet",
                remedy="give `consortium consortium found` with a charter first",
            )


def require_compatible(charter: Charter, person: PersonId, office: Office, held: frozenset[Office]) -> None:
    """Refuses an office for somebody who holds one that the charter keeps apart from it."""
    if barring := charter.roles.barring(office, held):
        names = " and ".join(barring)
        raise Refused(
            "offices_apart",
            f"{person} is {names}, which the charter keeps apart from {office}",
            clause="roles.apart",
            remedy=f"entrust somebody else with it, or take the office {names} from {person} first",
        )


def require_person(person: PersonId) -> None:
    """Refuses the handles of what is no person: the system itself, the log, and what signs releases."""
    if person in RESERVED:
        raise Refused("person_reserved", f"{person} is no person here", remedy="name a person under another handle", clause="roles")
