"""Absence: who is away names somebody who sees to their duties meanwhile.

A substitute gives the acts of the absent, and no signature of several: those are given by whoever else holds an office that signs, so that
nobody signs for two. What the charter keeps apart is kept apart of substitutes too, when they are named and whenever they act. Who is absent
may still act. An office that was taken from the absent, or a seat that they left, is their substitute's no longer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from domain.charter import Office
from domain.consortium import commands
from domain.consortium.rules import Events, require_compatible
from domain.consortium.state import Founded
from domain.kernel import Refused, notify, shown_at
from domain.money import display
from domain.process import Context
from domain.register.facts import SubstituteNamed, SubstituteWithdrawn
from domain.register.state import Person, Substitute
from domain.stream import StepOwed, owe

ACTING: Final = frozenset({Office.SECRETARIAT, Office.TREASURER})
"""The offices whose holders act alone, and so can have somebody act for them; the others sign, judge or answer with their name."""
NAMED_AT_ONCE: Final = 20
"""How many substitutes one person may have named."""


def name_substitute(state: Founded, command: commands.NameSubstitute, context: Context) -> Events:
    """The actor's duties are the substitute's too for that time; the same again changes nothing, another period takes the place of the former."""
    named = SubstituteNamed(
        person=context.actor,
        substitute=command.substitute,
        offices=tuple(sorted(set(command.offices))),
        members=tuple(sorted(set(command.members))),
        since=command.since,
        until=command.until,
    )
    _require_period(state, command, context)
    _require_own_duties(named, context)
    _require_able(state, named, context)
    before = context.register.substitutes.get(context.actor, ())
    if _of(named) in before:
        return ()
    if len([each for each in before if each.person != command.substitute]) >= NAMED_AT_ONCE:
        raise Refused(
            "too_many_substitutes",
            f"{context.actor} has named {NAMED_AT_ONCE}",
            clause="silence.substitute_days",
            remedy="withdraw one first (`consortium consortium withdraw-substitute`)",
        )
    return (named, _hand_over(named, context))


def _of(named: SubstituteNamed) -> Substitute:
    return Substitute(named.substitute, frozenset(named.offices), frozenset(named.members), named.since, named.until)


def withdraw_substitute(_: Founded, command: commands.WithdrawSubstitute, context: Context) -> Events:
    """The absence is over, or the substitute cannot; both are told. Withdrawn again nothing follows."""
    if context.actor not in {command.person, command.substitute}:
        raise Refused(
            "not_your_absence",
            f"{context.actor} is neither absent nor the substitute",
            clause="silence.substitute_days",
            remedy=f"ask {command.person} or {command.substitute} to withdraw it",
        )
    if all(each.person != command.substitute for each in context.register.substitutes.get(command.person, ())):
        return ()
    notice = notify(
        "substitute_withdrawn",
        (command.substitute, command.person),
        key=f"notice:substitute-withdrawn:{command.person}:{command.substitute}:{context.at.isoformat()}",
        person=command.person,
        substitute=command.substitute,
        by=context.actor,
    )
    return (SubstituteWithdrawn(person=command.person, substitute=command.substitute), owe(notice))


def _require_period(state: Founded, command: commands.NameSubstitute, context: Context) -> None:
    longest = state.charter.silence.substitute_days
    if not longest:
        raise Refused(
            "no_substitutes",
            "the charter lets nobody name a substitute",
            clause="silence.substitute_days",
            remedy="have the office granted to a second person, or a further representative seated",
        )
    if command.until <= max(command.since, context.at):
        raise Refused(
            "absence_over",
            f"the absence would end at {shown_at(command.until)}",
            remedy="name a later end",
            clause="silence.substitute_days",
        )
    if command.until - command.since > timedelta(days=longest):
        raise Refused(
            "absence_too_long",
            f"a substitute is named for {longest} days at most",
            clause="silence.substitute_days",
            remedy="name a shorter time, and a further one before it is over",
        )


def _require_own_duties(named: SubstituteNamed, context: Context) -> None:
    if not named.offices and not named.members:
        raise Refused("no_duties_named", "no duty is named", remedy="name offices, or members that you represent", clause="roles")
    for office in named.offices:
        context.require_office(office)
        if office not in ACTING:
            raise Refused(
                "office_is_personal",
                f"who is {office} signs, judges or answers by name, and nobody does that for them",
                clause="roles",
                remedy="have the office granted to a second person",
            )
    for member in named.members:
        if not context.register.represents(context.actor, member):
            context.require_speaker(member)
            raise Refused(
                "representative_required",
                f"{context.actor} is an alternate of {member}",
                clause="membership",
                remedy=f"ask a representative to name the substitute (`consortium who-represents {member}`)",
            )


def _require_able(state: Founded, named: SubstituteNamed, context: Context) -> None:
    person = context.register.people.get(named.substitute, Person())
    if named.substitute == context.actor or not person.keys:
        raise Refused(
            "no_such_substitute",
            f"{named.substitute} is absent as well" if named.substitute == context.actor else f"{named.substitute} has no key to sign with",
            clause="roles",
            remedy="name another person, who holds an office or speaks for a member, and has a key",
        )
    for office in named.offices:
        require_compatible(state.charter, named.substitute, office, person.offices - {office})
    for member in named.members:
        if not context.register.speaks_for(named.substitute, member):
            raise Refused(
                "not_of_the_member",
                f"{named.substitute} does not speak for {member}",
                clause="membership",
                remedy=f"seat them as an alternate of {member} first (`consortium member seat-representative`)",
            )


def _hand_over(named: SubstituteNamed, context: Context) -> StepOwed:
    """What the substitute takes over, by what all processes know: the duties, and what members owe and are bound to."""
    register, currency = context.register, context.charter.currency
    waits = [
        f"{member} owes {display(sum(register.debts.get(member, {}).values()), currency)} and is bound to {display(sum(register.commitments.get(member, {}).values()), currency)}"
        for member in named.members
    ]
    notice = notify(
        "substitute_named",
        (named.substitute, named.person),
        key=f"notice:substitute:{named.person}:{context.digest_without('kind')[:24]}:{context.at.isoformat()}",
        person=named.person,
        substitute=named.substitute,
        duties=", ".join((*named.offices, *(f"representing {member}" for member in named.members))),
        since=named.since.isoformat(),
        until=named.until.isoformat(),
        waits="; ".join(waits) or "what waits for the office",
    )
    return owe(notice)
