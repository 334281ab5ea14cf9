"""Offices: who may grant and revoke them."""

from __future__ import annotations

from domain.charter import Office
from domain.consortium import commands
from domain.consortium.rules import Events, require_compatible, require_person
from domain.consortium.state import SOLE, Founded
from domain.kernel import Map, PersonId, Refused
from domain.process import Context
from domain.register.facts import OfficeGranted, OfficeRevoked


def grant(state: Founded, command: commands.GrantOffice, context: Context) -> Events:
    """A person is entrusted with an office; again changes nothing."""
    _require_appointer(command.office, context)
    require_person(command.person)
    held = state.officers.get(command.person, frozenset())
    if command.office in held:
        return ()
    require_compatible(state.charter, command.person, command.office, held)
    return (OfficeGranted(person=command.person, office=command.office),)


def revoke(state: Founded, command: commands.RevokeOffice, context: Context) -> Events:
    """An office is taken from a person, never the last of `SOLE`."""
    _require_appointer(command.office, context)
    if command.office not in state.officers.get(command.person, frozenset()):
        return ()
    _require_successor(state.officers, command.office)
    return (OfficeRevoked(person=command.person, office=command.office),)


def _require_successor(held: Map[PersonId, frozenset[Office]], office: Office) -> None:
    if office in SOLE and sum(office in offices for offices in held.values()) == 1:
        raise Refused("last_officer", f"nobody else is {office}", remedy="grant the office to a successor first", clause="roles")


def _require_appointer(office: Office, context: Context) -> None:
    if office is Office.BOARD:
        context.require_mandate()
    elif not context.mandate:
        context.require_office(Office.SECRETARIAT)
