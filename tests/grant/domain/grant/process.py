"""Grants from what the consortium holds, `grant/<id>`.

requested → approved → paid | ended (lapsed, or its payment given up)
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from domain import letters
from domain.grant import asking, commands, events, paying, rules
from domain.grant.rules import Events
from domain.grant.state import Approved, Ended, GrantState, Paid, Requested, Terms, Unrequested, evolve
from domain.kernel import Agenda, Deadline, Headline, escaped, shown_at
from domain.process import Context, Process, phase_of_deadline
from domain.stream import Common


def decide(state: GrantState, command: commands.GrantCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.RequestGrant():
            return asking.request(rules.unrequested(state), command, context)
        case commands.ApproveGrant():
            return asking.approve(rules.requested(state), context)
        case commands.LapseGrant():
            return asking.lapse(phase_of_deadline(state, Requested))
        case letters.RecordGrant():
            return paying.record(rules.ordered(state), command, context)
        case letters.ReturnGrant():
            return paying.take_back(rules.ordered(state), command, context)
        case letters.ReleaseGrant():
            return paying.release(rules.ordered(state))


def agenda(state: GrantState) -> Agenda:
    """The end of a request's time."""
    match state:
        case Requested(decide_by=decide_by):
            return Agenda((Deadline(decide_by, commands.LapseGrant()),))
        case Approved():
            return Agenda()
        case Unrequested() | Paid() | Ended():
            return Agenda(closed=True)


def describe(state: GrantState) -> Headline:
    """What it is for, and who is waited for."""
    match state:
        case Unrequested():
            return Headline("unrequested", "not requested yet")
        case Requested(terms=terms, decide_by=decide_by):
            return _headline("requested", terms, f"the board decides by {shown_at(decide_by)}", ("office:board",))
        case Approved(terms=terms):
            return _headline("approved", terms, "the treasury pays it")
        case Paid(terms=terms, reference=reference):
            return _headline("paid", terms, f"paid as {reference}")
        case Ended(terms=terms):
            return _headline("ended", terms, "not paid")


def _headline(phase: str, terms: Terms, note: str, waits_for: tuple[str, ...] = ()) -> Headline:
    values: dict[str, str | int] = {"member": terms.member, "payee": terms.payee, "amount_minor": terms.amount}
    return Headline(phase, f"{escaped(terms.title)}: {note}", waits_for=waits_for, values=values)


GRANT: Process[commands.GrantCommand, events.GrantEvent, GrantState] = Process(
    name="grant",
    title="a grant",
    about="A member asks for money from what the consortium holds; the board approves it, and the treasury pays.",
    initial=Unrequested(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.GrantCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.GrantEvent | Common, Field(discriminator="kind")], ...]),
)
