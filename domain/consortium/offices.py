"""Offices and keys: who may grant, revoke and enrol them."""

from __future__ import annotations

from collections.abc import Sequence

from domain.charter import Office
from domain.consortium import commands
from domain.consortium.rules import Events, require_compatible
from domain.consortium.state import SOLE, Founded
from domain.kernel import SERVICE, Map, PersonId, Refused
from domain.process import Context
from domain.register.facts import KeyEnrolled, KeyRevoked, OfficeGranted, OfficeRevoked
from domain.register.state import Person


def grant(state: Founded, command: commands.GrantOffice, context: Context) -> Events:
    """A person is entrusted with an office; again changes nothing."""
    _require_appointer(command.office, context)
    _require_person(command.person)
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


def enrol_key(_: Founded, command: commands.EnrolKey, context: Context) -> Events:
    """A key speaks for a person from now on."""
    _require_self_or_secretariat(command.person, context)
    known = _person_of(command.person, context)
    return () if command.public_key in known.keys else _enrol(known, command.person, command.public_key, context)


def revoke_key(_: Founded, command: commands.RevokeKey, context: Context) -> Events:
    """A key speaks for a person no longer."""
    _require_self_or_secretariat(command.person, context)
    known = _person_of(command.person, context)
    return (KeyRevoked(person=command.person, public_key=command.public_key),) if command.public_key in known.keys else ()


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


def _person_of(person: PersonId, context: Context) -> Person:
    return context.register.people.get(person, Person())


def _enrol(known: Person, person: PersonId, key: str, context: Context) -> Sequence[KeyEnrolled]:
    """A first key is vouched for by the secretariat; with it the person enrols the next ones alone."""
    _require_person(person)
    if not known.offices and (context.actor != person or not known.speaks_for):
        raise Refused(
            "not_an_officer",
            f"{person} holds no office",
            clause="roles",
            remedy="grant the office first; who speaks for a member is named with their key by that member",
        )
    if context.actor != person and known.keys:
        raise Refused(
            "has_a_key",
            f"{person} has a key, and enrols others alone",
            clause="roles",
            remedy="revoke the keys that are lost or stolen, then enrol a new one",
        )
    context.register.require_free(key, person)
    return (KeyEnrolled(person=person, public_key=key),)
