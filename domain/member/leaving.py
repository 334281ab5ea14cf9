"""The end of a membership: notice, expulsion, and the run-off of what is still owed."""

from __future__ import annotations

from collections.abc import Mapping

from domain import letters
from domain.charter import days
from domain.kernel import TELL, Refused, mapping, tell
from domain.member import events
from domain.member.dues import close_dues, is_pursued
from domain.member.rules import Events, ask_release, begin_departure, end_leases, owe_notice, parting_recipients, release_identity
from domain.member.set_off import announce_set_off
from domain.member.state import Belonging, Leaving
from domain.process import Context
from domain.register.facts import MemberDeparted, MemberStaying
from domain.stream import owe


def give_notice(state: Belonging, context: Context) -> Events:
    """A representative gives notice; of a member on notice it changes nothing."""
    identity = state.identity
    context.require_representative(identity.member)
    if isinstance(state, Leaving):
        return ()
    return begin_departure(state, "left", context.at + days(identity.terms.leaving_notice_days), context)


def withdraw_notice(state: Belonging, context: Context) -> Events:
    """A representative takes the notice back while it runs: the member is what it was, with what it owes and why it is suspended now.

    What was released meanwhile stays released. Who was expelled, or whose dues have climbed the whole ladder meanwhile, has no notice to
    take back. All rounds to which it is committed are told: one may have the word of its leaving still before it.
    """
    identity, member = state.identity, state.identity.member
    context.require_representative(member)
    if not isinstance(state, Leaving):
        return ()
    if not identity.terms.notice_can_be_withdrawn:
        raise Refused(
            "notice_is_final",
            "the charter under which it joined lets no notice be taken back",
            remedy="apply again when the membership has ended",
            clause="membership.notice_can_be_withdrawn",
        )
    if state.over or state.cause != "left":
        raise Refused(
            "no_notice_runs",
            "its notice is over" if state.over else f"it does not leave by a notice of its own: {state.cause}",
            remedy="apply again when the membership has ended",
            clause="membership.leaving_notice_days",
        )
    rounds = sorted(context.register.commitments.get(member, mapping()))
    key = f"departure:withdrawn:{identity.stayed + 1}"
    return (
        MemberStaying(member=member),
        *(owe(tell(source, letters.KeepMember(member=member), key=f"tell:{source}:stays:{identity.stayed + 1}")) for source in rounds),
        owe_notice("notice-withdrawn", identity, f"member:{member}", "office:secretariat", key=key),
    )


def expel(state: Belonging | None, context: Context) -> Events:
    """The members expel it, and its rights end at once."""
    context.require_mandate()
    return () if state is None else begin_departure(state, "expelled", context.at, context)


def end_membership(state: Leaving, context: Context) -> Events:
    """The end, once nothing binds the member: what was called is paid, and the dues are paid or have climbed the whole ladder.

    Until then, and while a round was asked for credit that is to be set off and has not answered, or does not know yet that the member leaves,
    the run-off goes on; rounds that held it through its notice are told that this is over. What rounds owe it by then is set off against its
    dues before they are closed.
    """
    identity, member, register = state.identity, state.identity.member, context.register
    bound: Mapping[str, int] = register.still_bound.get(member, mapping())
    if bound or _rounds_to_hear(context) or member in register.debts or is_pursued(state.dues) or state.dues.set_off is not None:
        return (
            events.RunOffContinued(again_at=context.at + days(identity.terms.run_off_days)),
            *(() if state.over else ask_release(state.identity, f"{state.cause}:over", bound, notice_over=True)),
        )
    if announced := announce_set_off(state, context):
        return (*announced, events.RunOffContinued(again_at=context.at + days(identity.terms.run_off_days)))
    return (
        *release_identity(identity, context),
        MemberDeparted(member=identity.member, cause=state.cause, at=context.at),
        *close_dues(identity, state.dues, joined=True, context=context),
        *end_leases(identity.member, "end", context),
        owe_notice("membership-ended", identity, *parting_recipients(identity), "office:secretariat", cause=state.cause),
    )


def _rounds_to_hear(context: Context) -> bool:
    """Whether a letter to a round by which it learns that the member leaves has not come there."""
    told = letters.ReleaseLeaver.model_fields["kind"].default
    return any(step.kind == TELL and step.data["command"]["kind"] == told for step in context.owed.values())
