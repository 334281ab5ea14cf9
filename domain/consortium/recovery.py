"""Recovery of a person's last key: two other officers of different organisations, and a time in which it can be stopped.

The first officer names the new key with its proof, the second confirms exactly that key. From then on the person, the secretariat and the board
know of it, and the person (who may have a key after all) or any officer of the charter's recovery offices can stop it. When the time is over the
new key is enrolled, and all former ones end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from domain.charter import Office
from domain.consortium import commands, events
from domain.consortium.rules import PAIR, Events
from domain.consortium.state import Founded, Recovery
from domain.kernel import PersonId, Refused, notify, shown_at
from domain.process import Context
from domain.register.facts import KeyEnrolled, KeyRevoked
from domain.register.state import Person
from domain.stream import StepOwed, owe

CLAUSE: Final = "roles.recovery_offices"


def request(state: Founded, command: commands.RecoverKey, context: Context) -> Events:
    """A first officer names the new key. It takes the place of a request that nobody confirmed; the same again changes nothing."""
    _require_officer(state, command.person, context)
    _require_role(command.person, context)
    before = state.recoveries.get(command.person)
    if before is not None and before.public_key == command.public_key and context.actor in before.signed:
        return ()
    if before is not None and before.until is not None:
        raise Refused(
            "recovery_under_way",
            f"another key of {command.person} is to take effect at {shown_at(before.until)}",
            clause=CLAUSE,
            remedy="stop that first, if it is wrong (`consortium consortium stop-key-recovery`)",
        )
    key = context.require_key(command.person, command.public_key)
    requested = events.KeyRecoveryRequested(person=command.person, public_key=key, by=context.actor, at=context.at)
    return (requested, _notify_concerned("key_recovery_requested", command.person, context, by=context.actor))


def confirm(state: Founded, command: commands.ConfirmKeyRecovery, context: Context) -> Events:
    """A second officer confirms it: the time begins in which it can be stopped. Confirmed already, nothing follows."""
    _require_officer(state, command.person, context)
    recovery = state.recoveries.get(command.person)
    if recovery is None or recovery.public_key != command.public_key:
        raise Refused(
            "no_such_recovery",
            f"nobody asked for this key of {command.person}",
            clause=CLAUSE,
            remedy="ask for it with the person's key request (`consortium consortium recover-key`), and let another officer confirm it",
        )
    if recovery.until is not None:
        return ()
    context.require_independent(recovery.signed, clause=CLAUSE)
    until = context.at + timedelta(hours=state.charter.roles.recovery_hours)
    confirmed = events.KeyRecoveryConfirmed(person=command.person, public_key=command.public_key, by=context.actor, until=until)
    by = " and ".join((*recovery.signed, context.actor))
    return (confirmed, _notify_concerned("key_recovery_confirmed", command.person, context, by=by, until=until.isoformat()))


def stop(state: Founded, command: commands.StopKeyRecovery, context: Context) -> Events:
    """The person has a key after all, or somebody doubts it. Stopped, done or never asked for, nothing follows."""
    if context.actor != command.person:
        context.require_office(*sorted(state.charter.roles.recovery_offices), clause=CLAUSE)
    if command.person not in state.recoveries:
        return ()
    return _stopped(command.person, command.reason, context)


def complete(state: Founded, command: commands.CompleteKeyRecovery, context: Context) -> Events:
    """Nobody stopped it: the new key speaks for the person, and no former one. Where there is an obstacle now, it is stopped instead."""
    recovery = state.recoveries[command.person]
    if reason := _obstacle(state, command.person, recovery, context):
        return _stopped(command.person, reason, context)
    former = sorted(context.register.people[command.person].keys - {recovery.public_key})
    return (
        events.KeyRecovered(person=command.person, public_key=recovery.public_key, by=recovery.signed),
        KeyEnrolled(person=command.person, public_key=recovery.public_key),
        *(KeyRevoked(person=command.person, public_key=key, cause="recovered") for key in former),
        _notify_concerned("key_recovered", command.person, context, by=" and ".join(recovery.signed)),
    )


def _obstacle(state: Founded, person: PersonId, recovery: Recovery, context: Context) -> str:
    """Why it is not done after all; empty for nothing."""
    if not all(context.register.holds(each, *state.charter.roles.recovery_offices) for each in recovery.signed):
        return "One of the two officers does not hold the office any more."
    if len(context.register.independent(recovery.signed)) < PAIR:
        return "The two officers have come to speak for one organisation."
    try:
        _require_role(person, context)
        context.register.require_free(recovery.public_key, person)
    except Refused as refused:
        return f"{refused.message[:1].upper()}{refused.message[1:]}."
    return ""


def _stopped(person: PersonId, reason: str, context: Context) -> Events:
    stopped = events.KeyRecoveryStopped(person=person, by=context.actor, reason=reason)
    return (stopped, _notify_concerned("key_recovery_stopped", person, context, by=context.actor, reason=reason))


def _require_officer(state: Founded, person: PersonId, context: Context) -> None:
    context.require_office(*sorted(state.charter.roles.recovery_offices), clause=CLAUSE)
    context.require_not_own(person, "would vouch for themselves", clause=CLAUSE, remedy="ask two other officers")


def _require_role(person: PersonId, context: Context) -> None:
    """Refuses whoever has no role that a key would be for: who stands for an applicant is named anew by it."""
    holder = context.register.people.get(person, Person())
    if not holder.offices and not any(context.register.admitted(member) for member in holder.speaks_for):
        raise Refused(
            "no_role",
            f"{person} holds no office, and speaks for no member",
            clause="roles",
            remedy="check the handle; an applicant withdraws and applies again with new keys",
        )


def _notify_concerned(template: str, person: PersonId, context: Context, **facts: str) -> StepOwed:
    """The person, the secretariat and the board are told."""
    to = (person, f"office:{Office.SECRETARIAT}", f"office:{Office.BOARD}")
    key = f"notice:{template.replace('_', '-')}:{person}:{context.position}"
    return owe(notify(template, to, key=key, person=person, consortium=context.stream, **facts))
