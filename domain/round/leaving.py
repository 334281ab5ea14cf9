"""The rules of leaving a round: by exit before a decision that the member opposed, and with the membership, as long as the charter binds.

Who gives notice is bound to what it committed until then as the charter says: not at all, through the notice, or to the next tranche
after it; who voted for the round or its run is bound to all of it. What ends of a commitment costs the charter's charge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from domain import letters
from domain.charter import FundingTerms
from domain.kernel import MemberId, Refused, notify, shown_at
from domain.process import Context
from domain.round import commands, events, rules
from domain.round.allocation import part
from domain.round.books import Account, Books
from domain.round.consequences import Decision, apply_credits, conclude
from domain.round.dues import own_schedule
from domain.round.notices import notify_called, say_beyond_calendar
from domain.round.rules import STAFF, Events, account_of, amount_text, terms_of
from domain.round.state import Live, RoundState
from domain.round.terms import BoundUntil, Settlement
from domain.stream import StepEvent, StepOwed, owe

BOUND: Final = {
    BoundUntil.NOTICE_ENDS: "until its notice is over",
    BoundUntil.NEXT_TRANCHE: "until the next tranche is called, of which it pays its part",
    BoundUntil.END: "to the end: all of it is called like that of others, because it voted for the round or its run",
}
"""How long a commitment binds, in words."""

_BY_NOTICE: Final = (
    "leave by the consortium's notice (`consortium member give-notice`): the charter says how long the commitment binds then"
)


def exit_round(state: Live, command: commands.ExitRound, context: Context) -> Events:
    """A member may leave before a decision on the round or its run that it opposed takes effect, not after it voted for it.

    What was called stays owed. The time to leave is the timelock of the decision's class; without one there is none.
    """
    member = command.member
    context.require_speaker(member)
    account = account_of(state.books, member)
    vote = context.register.votes.get(command.proposal)
    concerned = {context.stream, f"run/{state.books.terms.run}"}
    if vote is None or not vote.passed or vote.concerns not in concerned:
        raise Refused(
            "no_such_decision",
            f"{command.proposal} decided nothing about this round or its run",
            remedy="name the passed proposal that you opposed",
        )
    if member in vote.yes:
        raise Refused(
            "bound_by_yes",
            f"{member} voted for it",
            remedy=_BY_NOTICE,
            clause="decisions",
        )
    if member not in vote.no:
        raise Refused("did_not_oppose", f"{member} did not vote against it", remedy="leave by the consortium's notice", clause="decisions")
    if context.at >= vote.effective_at:
        raise Refused(
            "decision_in_effect",
            f"it took effect at {shown_at(vote.effective_at)}, when the timelock of its class was over, if it has one",
            remedy="leave by the consortium's notice; the charter's `timelock_hours` is the time to leave",
            clause="decisions",
        )
    if account.in_default:
        raise Refused("in_default", f"{member} is in default", remedy="settle what is owed first")
    return _concluded(Decision.of(state, *_released(account, member, "exit")), member, context)


def release_leaver(state: RoundState, command: letters.ReleaseLeaver, context: Context) -> Events:
    """A member leaves the consortium: what it is not called for ends, at once or when it no longer binds; what was called stays owed.

    Which pledges of leavers count is seen at the close.
    """
    current = rules.live_or_none(state)
    account = current.books.accounts.get(command.member) if current else None
    if current is None or account is None or (account.releases and not account.figures.uncalled):
        return ()
    until = bound_until(current.books, command.member, context, notice_over=command.notice_over)
    if until is None:
        return _concluded(release(Decision.of(current), command.member, context), command.member, context)
    if not account.figures.uncalled or account.bound is until:
        return ()
    bound = Decision.of(current, events.LeaverBound(member=command.member, until=until))
    return (*conclude(bound, (command.member,), context), tell_bound(bound.after.books, command.member, until, context))


def keep_member(state: RoundState, command: letters.KeepMember, context: Context) -> Events:
    """The member stays in the consortium: its commitment binds it like any other's."""
    current = rules.live_or_none(state)
    account = current.books.accounts.get(command.member) if current else None
    if current is None or account is None or account.bound is None:
        return ()
    return conclude(Decision.of(current, events.LeaverBound(member=command.member, until=None)), (command.member,), context)


def bound_until(books: Books, member: MemberId, context: Context, *, notice_over: bool = False) -> BoundUntil | None:
    """Until when a commitment binds a member that leaves now; `None` when it ends.

    Its notice may be over by now although the letter that comes here says that it was given.
    """
    terms = terms_of(context, books)
    if terms.leaver_bound_until == "notice_given":
        return None
    if _voted_for(books, member, context):
        return BoundUntil.END
    if not (notice_over or context.register.notice_over(member, context.at)):
        return BoundUntil.NOTICE_ENDS
    further = len(books.tranches) < len(books.terms.tranches)
    return BoundUntil.NEXT_TRANCHE if further and terms.leaver_bound_until == "next_tranche" else None


def _voted_for(books: Books, member: MemberId, context: Context) -> bool:
    """Whether the member voted for something that passed about this round or its run."""
    concerned = {context.stream, f"run/{books.terms.run}"}
    return any(vote.passed and vote.concerns in concerned and member in vote.yes for vote in context.register.votes.values())


def release(decision: Decision, member: MemberId, context: Context) -> Decision:
    """The decision, and the end of a leaver's commitment at the charter's charge, which is called at once."""
    books = decision.after.books
    account, terms = books.accounts[member], terms_of(context, books)
    charge = part(account.figures.uncalled, terms.leaving_charge)
    decision = decision.then(*_released(account, member, "leaving", charge=charge, terms=terms))
    if not charge:
        return decision
    number = len(books.calls) + 1
    charged = events.LeavingCharged(
        call=number,
        pool=books.tranches[-1] if books.tranches else number,
        member=member,
        amount=charge,
        schedule=own_schedule(context, books, terms.call_notice_business_days),
    )
    return apply_credits(decision.then(charged), (member,), context)


def _released(
    account: Account, member: MemberId, cause: Literal["exit", "leaving"], *, charge: int = 0, terms: FundingTerms | None = None
) -> tuple[events.CommitmentReleased, ...]:
    """A commitment that ends for its member but for the charge, if there was any left to end; and what was called, where it is forgiven."""
    forgiven, dues = tuple[Settlement, ...](), account.dues
    if terms is not None and not terms.leaver_funds_called:
        forgiven, dues = tuple(Settlement(call=due.call, pool=due.pool, principal=due.principal) for due in dues), ()
    uncalled = account.figures.uncalled - charge
    released = events.CommitmentReleased(member=member, cause=cause, uncalled=uncalled, settled=forgiven, dues=dues)
    return (released,) if released.uncalled or released.settled else ()


def _concluded(decision: Decision, member: MemberId, context: Context) -> Events:
    """The decision with its consequences and its notices; nothing when nothing ended."""
    return (*conclude(decision, (member,), context), *tell_released(decision, context)) if decision.decided else ()


def tell_released(decision: Decision, context: Context) -> Events:
    """The notices of the commitments that this decision ends: to the staff, and to who is charged."""
    before, after = decision.before.books, decision.after.books
    steps = list[events.RoundEvent | StepEvent]()
    for event in decision.decided:
        if isinstance(event, events.CommitmentReleased):
            steps += _notify_released(before, event, context)
        elif isinstance(event, events.LeavingCharged):
            steps += notify_called(
                "leaving_charged", (event.member,), event.call, event.schedule.due_on, after, context, covered="leaving_charge_covered"
            )
            steps += say_beyond_calendar(context, event.call, event.schedule)
    return tuple(steps)


def _notify_released(before: Books, event: events.CommitmentReleased, context: Context) -> Iterator[StepOwed]:
    """The staff is told how much of a commitment ends; nothing where interest alone was forgiven."""
    key = f"notice:{event.cause}:{event.member}:{before.accounts[event.member].releases + 1}"
    if lost := sum((piece.principal for piece in event.settled), event.uncalled):
        amount = amount_text(before, lost)
        yield owe(notify("commitment_released", STAFF, key=key, round=context.stream, member=event.member, amount=amount))


def tell_bound(books: Books, member: MemberId, until: BoundUntil, context: Context) -> StepOwed:
    """The notice to a member that leaves, and to the staff, of what binds it still; each time that it is bound anew."""
    account = books.accounts[member]
    key = f"notice:bound:{member}:{until}:{account.bindings}"
    to = (*STAFF, f"member:{member}")
    amount = amount_text(books, account.figures.uncalled)
    return owe(notify("leaver_bound", to, key=key, round=context.stream, member=member, amount=amount, until=BOUND[until]))
