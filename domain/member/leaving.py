"""The end of a membership: notice, expulsion, and the run-off of what is still owed."""

from __future__ import annotations

from domain.charter import days
from domain.member import events
from domain.member.dues import close_dues, is_pursued
from domain.member.rules import Events, begin_departure, end_leases, owe_notice, parting_recipients, release_identity
from domain.member.state import Belonging, Leaving
from domain.process import Context
from domain.register.facts import MemberDeparted


def give_notice(state: Belonging, context: Context) -> Events:
    """A representative gives notice; of a member on notice it changes nothing."""
    identity = state.identity
    context.require_representative(identity.member)
    if isinstance(state, Leaving):
        return ()
    return begin_departure(state, "left", context.at + days(identity.terms.leaving_notice_days), context)


def expel(state: Belonging | None, context: Context) -> Events:
    """The members expel it, and its rights end at once."""
    context.require_mandate()
    return () if state is None else begin_departure(state, "expelled", context.at, context)


def end_membership(state: Leaving, context: Context) -> Events:
    """The end, once what was called is paid, and the dues are paid or have climbed the whole ladder; until then the run-off goes on."""
    identity = state.identity
    if identity.member in context.register.debts or is_pursued(state.dues):
        return (events.RunOffContinued(again_at=context.at + days(identity.terms.run_off_days)),)
    return (
        *release_identity(identity, context),
        MemberDeparted(member=identity.member, cause=state.cause, at=context.at),
        *close_dues(identity, state.dues, joined=True, context=context),
        *end_leases(identity.member, "end", context),
        owe_notice("membership-ended", identity, *parting_recipients(identity), "office:secretariat", cause=state.cause),
    )
