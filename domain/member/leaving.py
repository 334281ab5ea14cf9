"""The end of a membership."""

from __future__ import annotations

from domain.charter import days
from domain.member import events
from domain.member.dues import closed, waited_for
from domain.member.rules import Events, farewell, leases_looked_at, note, released
from domain.member.state import Leaving
from domain.process import Context
from domain.register.facts import MemberDeparted


def end(state: Leaving, context: Context) -> Events:
    """It is over when what was called is paid, and the dues are paid or have climbed the whole ladder."""
    identity = state.identity
    if identity.member in context.register.debts or waited_for(state.dues):
        return (events.RunOffContinued(again_at=context.at + days(identity.terms.run_off_days)),)
    return (
        *released(identity, context),
        MemberDeparted(member=identity.member, cause=state.cause, at=context.at),
        *closed(identity, state.dues, joined=True, context=context),
        *leases_looked_at(identity.member, "end", context),
        note("membership-ended", identity, *farewell(identity), "office:secretariat", cause=state.cause),
    )
