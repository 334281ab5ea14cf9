"""The rules of calling: which tranche may be called, of whom, and how much."""

from __future__ import annotations

from collections.abc import Mapping

from domain import letters
from domain.charter import Office
from domain.kernel import SERVICE, MemberId, Refused, notify
from domain.money import share
from domain.process import Context
from domain.round import commands, events, rules
from domain.round.allocation import part, tranche
from domain.round.books import Books
from domain.round.consequences import Decision, apply_credits, conclude
from domain.round.dues import schedule
from domain.round.leaving import release, tell_released
from domain.round.notices import notify_called, say_beyond_calendar
from domain.round.rules import STAFF, Events, require_few_running, terms_of
from domain.round.state import Live, RoundState
from domain.round.terms import BoundUntil, Duty, Tranche
from domain.stream import owe


def release_tranche(state: RoundState, command: letters.ReleaseTranche, context: Context) -> Events:
    """The milestone was accepted: the tranche may be called, once. The round's run says so, or the board as long as there is no such run."""
    by_run = context.actor == SERVICE
    if not by_run:
        context.require_office(Office.BOARD)
    current = rules.live_or_none(state) if by_run else rules.live(state)
    if current is None or command.tranche in current.books.released:
        return ()
    run, milestone = current.books.terms.run, _planned(current.books, command.tranche).milestone
    named = (command.run, command.milestone)
    if named != (run, milestone) if by_run else command.run not in {None, run} or command.milestone not in {None, milestone}:
        raise Refused(
            "other_milestone",
            f"tranche {command.tranche} is released by {milestone} of the run {run}",
            remedy="name that milestone of that run",
        )
    if not by_run and run in context.register.runs:
        raise Refused(
            "run_releases",
            f"the milestones of the run {run} release the tranches of this round",
            clause="training.reviewers",
            remedy=f"have its reviewers accept {milestone} (`consortium run accept-milestone`)",
        )
    treasurer = notify(
        "tranche_released", STAFF, key=f"notice:tranche-released:{command.tranche}", round=context.stream, tranche=command.tranche
    )
    return (events.TrancheReleased(tranche=command.tranche, evidence=command.evidence), owe(treasurer))


def call_tranche(state: Live, command: commands.CallTranche, context: Context) -> Events:
    """Call the next tranche on every member that is not in default, in proportion to what it has still to be called for.

    No more is called than the goal needs: what late joiners and make-up calls brought lowers everybody's later calls.
    """
    books = state.books
    rules.require_holder(books, Duty.CALL, context)
    planned = _planned(books, command.tranche)
    if command.tranche <= len(books.tranches):
        return ()
    if command.tranche != len(books.tranches) + 1:
        raise Refused("tranche_out_of_order", f"tranche {len(books.tranches) + 1} is next", remedy="call the tranches in their order")
    if planned.milestone is not None and command.tranche not in books.released:
        raise Refused(
            "tranche_not_released",
            f"the milestone {planned.milestone} has not been accepted",
            remedy="wait for its acceptance; without a run the board releases it (`consortium round release-tranche`)",
        )
    rules.require_above_minimum(state)
    require_few_running(books)
    plan = schedule(context, books, terms_of(context, books).call_notice_business_days, command.due)
    shares = shared_interest(books)
    amounts = _amounts(books, command.tranche)
    delivered = _delivered(books, planned, amounts)
    called = events.TrancheCalled(call=len(books.calls) + 1, tranche=command.tranche, amounts=amounts, schedule=plan, delivered=delivered)
    earning = {member for shared in shares for member in shared.credits}
    paying = called.amounts.keys() | {member for member in earning if books.accounts[member].dues}
    decision = apply_credits(Decision.of(state, *shares, called), paying, context)
    leavers = sorted(member for member, account in books.accounts.items() if account.bound is BoundUntil.NEXT_TRANCHE)
    for member in leavers:
        decision = release(decision, member, context)
    paying = paying | set(leavers)
    notices = notify_called("capital_called", called.amounts, called.call, plan.due_on, decision.after.books, context)
    return (
        *conclude(decision, paying, context),
        *notices,
        *say_beyond_calendar(context, called.call, plan),
        *tell_released(decision, context),
    )


def _planned(books: Books, number: int) -> Tranche:
    if number > len(books.terms.tranches):
        raise Refused("no_such_tranche", f"the round has {len(books.terms.tranches)} tranches", remedy="name one of them")
    return books.terms.tranches[number - 1]


def _amounts(books: Books, number: int) -> dict[MemberId, int]:
    uncalled = {member: account.figures.uncalled for member, account in sorted(books.accounts.items()) if not account.in_default}
    fractions = [planned.fraction for planned in books.terms.tranches[number - 1 :]]
    return tranche(uncalled, books.goal - books.soundly_called, fractions[0], sum(fractions))


def _delivered(books: Books, planned: Tranche, amounts: Mapping[MemberId, int]) -> dict[MemberId, int]:
    """What members had delivered of a tranche before it is called: of what they delivered ahead, the tranche's part of their commitment."""
    ahead = {
        member: min(account.ahead, part(account.figures.committed, planned.fraction) - amounts.get(member, 0))
        for member, account in sorted(books.accounts.items())
        if account.ahead
    }
    return {member: amount for member, amount in ahead.items() if amount > 0}


def shared_interest(books: Books, *, owing: bool = True, least: int = 0) -> tuple[events.InterestShared, ...]:
    """What came in as interest since the last time, to those who paid the same tranche in time; if nobody did, to all.

    Without those `owing` it comes to nobody who owes anything: what they got would pay their own interest, and be shared again, and again.
    A pool of which one of them would get less than `least` is not shared yet: single units would always come to the same member.
    """
    earning = {member: account.figures.pledged for member, account in books.accounts.items() if owing or not account.dues}
    shares: list[events.InterestShared] = []
    for number in books.pools:
        call = books.calls[number]
        punctual = {member: amount for member, amount in call.in_time.items() if amount and member in earning} or earning
        if call.interest <= 0 or not any(punctual.values()):
            continue
        parts = share(call.interest, punctual)
        if min(parts[member] for member, weight in punctual.items() if weight) >= least:
            earned = {member: amount for member, amount in sorted(parts.items()) if amount}
            shares.append(events.InterestShared(call=number, credits=earned))
    return tuple(shares)
