"""Who speaks for a member: representatives and alternates, seated and unseated."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from domain.charter import Office
from domain.kernel import PersonId, Refused
from domain.member import commands
from domain.member.rules import (
    Events,
    begin_vacancy,
    end_leases,
    lift_suspension,
    owe_notice,
    require_new,
    seat_person,
    suspend,
    unseat_person,
)
from domain.member.state import Active, Belonging, Identity, Present
from domain.process import Context
from domain.register.facts import KeyEnrolled
from domain.stream import StepOwed

SPEAKERS: Final = 30
"""How many persons may speak for a member at a time."""


def seat_representative(state: Present, command: commands.SeatRepresentative, context: Context) -> Events:
    """A person is seated, or changes their capacity, or enrols a further key of their own; who never had one gets the first from who may seat."""
    identity = state.identity
    require_concerned(identity, context, Office.SECRETARIAT, Office.BOARD)
    present = identity.delegates.get(command.person)
    if present is None:
        require_new(command, identity.member, context)
        _require_room(identity)
    elif (key := _further_key(command, context)) is not None:
        _require_own_key(command.person, context)
        if context.actor != command.person:
            _require_seater(identity, context)
        if present == command.capacity:
            return (KeyEnrolled(person=command.person, public_key=context.require_key(command.person, key)),)
    if present == command.capacity:
        return ()
    _require_seater(identity, context)
    seats = replace(identity, delegates=identity.delegates.set(command.person, command.capacity))
    return (*seat_person(identity.member, command, context), *_vacancy(state, seats, context))


def unseat_representative(state: Present, command: commands.UnseatRepresentative, context: Context) -> Events:
    """A person no longer speaks for the member. They get a notice, unless they left by themselves; without a representative a vacancy begins."""
    identity = state.identity
    if context.actor != command.person:
        require_concerned(identity, context, Office.SECRETARIAT)
        if not context.register.holds(context.actor, Office.SECRETARIAT):
            context.require_representative(identity.member)
    if command.person not in identity.delegates:
        require_concerned(identity, context, Office.SECRETARIAT)
        return ()
    seats = replace(identity, delegates=identity.delegates.delete(command.person))
    vacates = identity.represented and not seats.represented
    return (
        *unseat_person(identity.member, command.person, context, vacated_by=context.actor if vacates else None),
        *_vacancy(state, seats, context),
        *end_leases(identity.member, command.person, context),
        *(() if context.actor == command.person else (_unseated_notice(identity, command.person, context),)),
    )


def _unseated_notice(identity: Identity, person: PersonId, context: Context) -> StepOwed:
    """Also to the person, who can object to it."""
    return owe_notice(
        "unseated", identity, person, f"member:{identity.member}", key=f"unseated:{person}:{context.at.isoformat()}", person=person
    )


def _vacancy(before: Present, after: Identity, context: Context) -> Events:
    """The vacancy that ends or begins with who speaks for the member now; alternates do not end one."""
    if after.represented:
        return lift_suspension(before, "vacancy") if isinstance(before, Belonging) else ()
    return begin_vacancy(after, context) if before.identity.represented and isinstance(before, Active) else ()


def suspend_vacancy(state: Active, context: Context) -> Events:
    """Nobody was named in time: the member's rights rest."""
    assert state.name_by is not None
    notice = owe_notice("seat-vacant", state.identity, "office:secretariat", key=f"seat-vacant:{state.name_by.isoformat()}")
    return (*suspend(state, "vacancy", context), notice)


def _further_key(command: commands.SeatRepresentative, context: Context) -> str | None:
    return None if command.public_key in context.register.people[command.person].keys else command.public_key


def require_concerned(identity: Identity, context: Context, *offices: Office) -> None:
    """Refuses everybody who neither speaks for the member nor holds one of these offices."""
    if not context.register.holds(context.actor, *offices):
        context.require_speaker(identity.member)


def _require_own_key(person: PersonId, context: Context) -> None:
    """Refuses a key for somebody who is seated: only who never had one gets it from who may seat them."""
    if context.actor != person and context.register.had_key(person):
        raise Refused(
            "key_of_another",
            f"{person} is seated already: who else enrolled a key of theirs could sign in their name",
            clause="membership",
            remedy=f"let {person} enrol it; if they have lost their key, unseat them and seat them again",
        )


def _require_room(identity: Identity) -> None:
    if len(identity.delegates) >= SPEAKERS:
        raise Refused(
            "too_many_speakers", f"{SPEAKERS} persons speak for {identity.member}", remedy="unseat one of them first", clause="membership"
        )


def _require_seater(identity: Identity, context: Context) -> None:
    """Refuses all but a representative; while there is none, all but officers, and the officer who unseated the last one."""
    if context.register.speaks_for(context.actor, identity.member) and (
        identity.represented or not context.register.holds(context.actor, Office.SECRETARIAT, Office.BOARD)
    ):
        context.require_representative(identity.member)
    elif identity.represented:
        raise Refused(
            "seat_not_vacant",
            f"{identity.member} has a representative",
            clause="membership",
            remedy=f"ask a representative of {identity.member} to seat whom it wants (`consortium who-represents {identity.member}`)",
        )
    elif identity.vacated_by == context.actor:
        raise Refused(
            "second_person_required",
            f"{context.actor} vacated this seat",
            clause="membership",
            remedy="ask another holder of the office secretariat or board to fill it",
        )
