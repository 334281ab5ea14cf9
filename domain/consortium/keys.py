"""Keys of persons: enrolled with a proof, rotated and revoked.

A key speaks for a person from the entry that enrols it until the entry that ends it, and it is nobody else's ever. The secretariat vouches for
an officer's first key; from then on the person enrols and rotates by themselves, and who lost the last one takes two other officers (`recovery`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from domain.charter import Office
from domain.consortium import commands
from domain.consortium.rules import PAIR, Events, require_person
from domain.consortium.state import Founded
from domain.kernel import PersonId, Refused
from domain.process import Context
from domain.register.facts import KeyEnrolled, KeyRevoked
from domain.register.state import Person


def enrol(_: Founded, command: commands.EnrolKey, context: Context) -> Events:
    """A key speaks for a person from now on; again changes nothing."""
    _require_self_or_secretariat(command.person, context)
    holder = _person_of(command.person, context)
    if command.public_key in holder.keys:
        return ()
    _require_may_enrol(holder, command.person, context)
    return (KeyEnrolled(person=command.person, public_key=context.require_key(command.person, command.public_key)),)


def rotate(_: Founded, command: commands.RotateKey, context: Context) -> Events:
    """The new key takes the old one's place in one entry; again changes nothing."""
    if context.actor != command.person:
        raise Refused(
            "key_of_another",
            f"only {command.person} rotates their keys",
            clause="roles",
            remedy=f"ask {command.person}; the secretariat revokes a key that is compromised (`consortium consortium revoke-key`)",
        )
    keys = _person_of(command.person, context).keys
    if command.public_key in keys and command.old_key not in keys:
        return ()
    if command.old_key not in keys:
        raise Refused(
            "no_such_key",
            f"the old key does not speak for {command.person}",
            clause="roles",
            remedy="name one of your own keys, or enrol the new one beside them (`consortium consortium enrol-key`)",
        )
    return (*_enrolled_beside(command, context), KeyRevoked(person=command.person, public_key=command.old_key, cause="rotated"))


def _enrolled_beside(command: commands.RotateKey, context: Context) -> Sequence[KeyEnrolled]:
    if command.public_key in _person_of(command.person, context).keys - {command.old_key}:
        return ()
    if command.public_key == command.old_key:
        raise Refused("same_key", "the new key is the old one", clause="roles", remedy="make a new key (`ssh-keygen -t ed25519`)")
    return (KeyEnrolled(person=command.person, public_key=context.require_key(command.person, command.public_key)),)


def revoke(state: Founded, command: commands.RevokeKey, context: Context) -> Events:
    """A key speaks for a person never again; nobody shuts themselves out by that. Again changes nothing."""
    _require_self_or_secretariat(command.person, context)
    keys = _person_of(command.person, context).keys
    if command.public_key not in keys:
        return ()
    if context.actor == command.person and len(keys) == 1:
        raise Refused(
            "last_key",
            f"{command.person} has no other key, and could give no command any more",
            clause="roles",
            remedy="put a new key in its place (`consortium consortium rotate-key`), or ask another holder of the office secretariat to revoke it",
        )
    if len(keys) == 1:
        _require_two_left(state, command.person, context)
    return (KeyRevoked(person=command.person, public_key=command.public_key, cause="revoked"),)


def _require_two_left(state: Founded, person: PersonId, context: Context) -> None:
    """Refuses to take the last key of one of the last two officers who could put another in its place: nobody shuts all others out.

    The key of anybody else can be compromised too, and is revoked however few these officers are.
    """
    offices = state.charter.roles.recovery_offices
    able = sorted(each for each, holder in context.register.people.items() if holder.keys and holder.offices & offices)
    left = [each for each in able if each != person]
    if context.register.signing and _can_recover(able, context) and not _can_recover(left, context):
        raise Refused(
            "too_few_keys_left",
            f"without this key of {person} no two officers of different organisations could replace a lost key",
            clause="roles.recovery_offices",
            remedy="enrol or recover the key of another officer first (`consortium consortium recover-key`)",
        )


def _can_recover(officers: Sequence[PersonId], context: Context) -> bool:
    """Whether two of these officers are of different organisations, so that they could replace a lost key together."""
    return any(len(context.register.independent(pair)) == PAIR for pair in combinations(officers, PAIR))


def _require_self_or_secretariat(person: PersonId, context: Context) -> None:
    if context.actor != person:
        context.require_office(Office.SECRETARIAT)


def _person_of(person: PersonId, context: Context) -> Person:
    return context.register.people.get(person, Person())


def _require_may_enrol(holder: Person, person: PersonId, context: Context) -> None:
    """Refuses a key for nobody, and one that somebody else would vouch for though the person has, or had, one of their own."""
    require_person(person)
    if not holder.offices and (context.actor != person or not holder.speaks_for):
        raise Refused(
            "not_an_officer",
            f"{person} holds no office",
            clause="roles",
            remedy="grant the office first; who speaks for a member is named with their key by that member",
        )
    if context.actor == person:
        return
    if holder.keys:
        raise Refused(
            "has_a_key",
            f"{person} has a key, and enrols others alone",
            clause="roles",
            remedy=f"ask {person}; if the key is lost, two other officers replace it (`consortium consortium recover-key`)",
        )
    if context.register.had_key(person):
        raise Refused(
            "had_a_key",
            f"{person} had a key, and no one person puts another in its place",
            clause="roles.recovery_offices",
            remedy="two officers of different organisations do (`consortium consortium recover-key`)",
        )
