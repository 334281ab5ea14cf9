"""Who speaks for a member: representatives and alternates, seated and unseated."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from domain.charter import Office
from domain.kernel import PersonId, Refused
from domain.member import commands
from domain.member.rules import Events, leases_looked_at, lifted, note, require_new, seated, unseated, vacated
from domain.member.state import Active, Identity, Leaving, MemberState
from domain.process import Context, StepOwed
from domain.register.facts import KeyEnrolled

SPEAKERS: Final = 30
"""How many persons may speak for a member at a time."""


def seat(state: MemberState, identity: Identity, command: commands.SeatRepresentative, context: Context) -> Events:
    """A person is seated, or changes their capacity, or enrols a further key of their own."""
    require_concerned(identity, context, Office.SECRETARIAT, Office.BOARD)
    present = identity.delegates.get(command.person)
    if present is None:
        require_new(command.person, identity.member, context)
        _require_room(identity)
    elif (key := _further_key(command, context)) is not None:
        _require_own_key(command.person, context)
        if present == command.capacity:
            return (KeyEnrolled(person=command.person, public_key=key),)
    if present == command.capacity:
        return ()
    _require_seater(identity, context)
    seats = replace(identity, delegates=identity.delegates.set(command.person, command.capacity))
    return (*seated(identity.member, command, context), *_after(state, identity, seats, context))


def unseat(state: MemberState, identity: Identity, command: commands.UnseatRepresentative, context: Context) -> Events:
    """A person speaks for the member no longer; who loses the last seat is told, and a vacancy begins."""
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
        *unseated(identity.member, command.person, context, vacated_by=context.actor if vacates else None),
        *_after(state, identity, seats, context),
        *leases_looked_at(identity.member, command.person, context),
        *(() if context.actor == command.person else (_unseated_told(identity, command.person, context),)),
    )


def _unseated_told(identity: Identity, person: PersonId, context: Context) -> StepOwed:
    """They hear of it themselves: who was unseated without a reason can say so."""
    return note("unseated", identity, person, f"member:{identity.member}", key=f"unseated:{person}:{context.at.isoformat()}", person=person)


def _after(state: MemberState, before: Identity, after: Identity, context: Context) -> Events:
    """What follows from who speaks for it now: a vacancy ends, or begins; alternates fill no seat."""
    if after.represented:
        return lifted(state, "vacancy") if isinstance(state, Active | Leaving) else ()
    return vacated(after, context) if before.represented and isinstance(state, Active) else ()


def _further_key(command: commands.SeatRepresentative, context: Context) -> str | None:
    return None if command.public_key in context.register.people[command.person].keys else command.public_key


def require_concerned(identity: Identity, context: Context, *offices: Office) -> None:
    """Refuses everybody but who speaks for the member and holders of these offices."""
    if not context.register.holds(context.actor, *offices):
        context.require_speaker(identity.member)


def _require_own_key(person: PersonId, context: Context) -> None:
    if context.actor != person:
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
    """A representative seats others. Officers do while there is none, and never the one who made it so."""
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
