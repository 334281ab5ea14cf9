"""The rules of who carries the round after the close: late joiners, replacements, a smaller run."""

from __future__ import annotations

from domain.kernel import MemberId, Refused
from domain.money import share
from domain.process import Context
from domain.round import commands, events, rules
from domain.round.allocation import part
from domain.round.books import Account, Books, TakenOver
from domain.round.catching_up import missed
from domain.round.consequences import Decision, apply_credits, conclude
from domain.round.dues import schedule, settle
from domain.round.notices import notify_called, notify_members, say_beyond_calendar
from domain.round.rules import Events, account_of, amount_text, require_cap, require_few_running, terms_of
from domain.round.state import Endangered, Live, RoundState
from domain.round.terms import Due, Schedule

# ---------------------------------------------------------------- late joiners and replacements


def join_late(state: Live, command: commands.JoinLate, context: Context) -> Events:
    """Commit after the close, pay at once what the others were called for, and interest to those who paid it in time.

    It fills what of the goal nobody stands for. Beyond that it lowers everybody's later calls, and the surplus at the end, in proportion:
    all end up as if the joiner had been there from the start.
    """
    member = command.member
    context.require_speaker(member)
    context.require_active(member)
    books = state.books
    if member in books.accounts:
        raise Refused(
            "already_committed", f"{member} is in this round", remedy="take over a defaulted commitment, or wait for another round"
        )
    _require_share(context, books, command)
    require_cap(context, books, member, command.amount)
    require_few_running(books)
    joined = events.LateJoinerCommitted(member=member, amount=command.amount)
    plan = _catch_up_schedule(books, context)
    return _catch_up(state, joined, member, tuple(missed(books, books.tranches, command.amount, plan.due_on, context)), plan, context)


def take_over(state: Live, command: commands.TakeOver, context: Context) -> Events:
    """Stand in for a defaulted commitment: what was called of it first, then what was not. Once for each default of a member."""
    member = command.member
    context.require_speaker(member)
    context.require_active(member)
    books = state.books
    defaulter = account_of(books, command.defaulter)
    own = books.accounts.get(member, Account())
    before = own.taken_over.get(command.defaulter)
    if before == TakenOver(defaulter.defaults, command.amount):
        return ()
    if before is not None and before.default == defaulter.defaults:
        raise Refused(
            "taken_over_before", f"{member} took over of {command.defaulter} before", remedy="let another member take over the rest"
        )
    if not defaulter.in_default or own.in_default:
        raise Refused(
            "not_in_default",
            "only a member that is not in default takes over of one that is",
            remedy="join late, or settle what is owed first",
        )
    open_ = defaulter.figures.outstanding
    if command.amount > open_:
        raise Refused("more_than_defaulted", f"{amount_text(books, open_)} of it is open", remedy="take over at most that")
    if context.register.seat_of(member) != context.register.seat_of(command.defaulter):
        require_cap(context, books, member, command.amount)
    require_few_running(books)
    today, rate = context.at.date(), terms_of(context, books).default_interest
    settled, dues = settle(books, defaulter.dues, command.amount, today, rate, by="replacement")
    taken = events.CommitmentTakenOver(member=member, defaulter=command.defaulter, amount=command.amount, settled=settled, dues=dues)
    owed = tuple((piece.pool, piece.principal, 0) for piece in settled)
    return _catch_up(state, taken, member, owed, _catch_up_schedule(books, context), context, also=command.defaulter)


def _catch_up_schedule(books: Books, context: Context) -> Schedule:
    return schedule(context, books, terms_of(context, books).call_notice_business_days)


def _require_share(context: Context, books: Books, command: commands.JoinLate) -> None:
    floor = part(books.goal, terms_of(context, books).share_floor)
    least = min(floor, books.room) if books.room else floor
    if command.amount < least:
        raise Refused(
            "commitment_below_floor",
            f"it is less than {amount_text(books, least)}",
            remedy="commit at least that",
            clause="funding.share_floor",
        )


def _catch_up(
    state: Live,
    committed: events.LateJoinerCommitted | events.CommitmentTakenOver,
    member: MemberId,
    owed: tuple[tuple[int, int, int], ...],
    plan: Schedule,
    context: Context,
    *,
    also: MemberId | None = None,
) -> Events:
    """A member commits, and is called at once for what it `owed` already: by the tranche's call, the principal and the interest."""
    touched = {member} if also is None else {member, also}
    decision = Decision.of(state, committed)
    if not owed:
        return conclude(decision, touched, context)
    books = state.books
    number = len(books.calls) + 1
    dues = tuple(
        Due(call=number, pool=pool, principal=principal, interest=extra, accrued_to=plan.due_on) for pool, principal, extra in owed
    )
    called = events.CatchUpCalled(call=number, member=member, dues=dues, schedule=plan, replaces=also)
    decision = apply_credits(decision.then(called), (member,), context)
    notices = notify_called("catch_up_called", (member,), number, plan.due_on, decision.after.books, context)
    return (*conclude(decision, touched, context), *notices, *say_beyond_calendar(context, number, plan))


# ---------------------------------------------------------------- a smaller run


def reduce_goal(state: RoundState, command: commands.ReduceGoal, context: Context) -> Events:
    """A vote makes the run smaller: what is free of the budget and not called of the commitments shrinks in proportion.

    A motion about a shortfall has no effect once the shortfall is over. The minimum is tested again.
    """
    context.require_mandate()
    current = rules.live(state)
    if command.cause == "shortfall" and not isinstance(current, Endangered):
        return ()
    books = current.books
    bound = books.spent + books.reserved
    if not max(bound, command.minimum) <= command.goal < books.goal:
        raise Refused(
            "goal_out_of_range",
            f"the goal can fall from {amount_text(books, books.goal)}, to its minimum and to what is spent at the least",
            remedy=f"propose a goal of at least {amount_text(books, max(bound, command.minimum))}",
        )
    cancelled = _not_needed(books, command.goal)
    reduced = events.GoalReduced(
        goal=command.goal, minimum=command.minimum, budget=_smaller_budget(books, command.goal), cancelled=cancelled
    )
    notices = notify_members(
        "goal_reduced", books.accounts, f"goal:{command.goal}", round=context.stream, goal=amount_text(books, command.goal)
    )
    return (*conclude(Decision.of(current, reduced), cancelled, context), *notices)


def _smaller_budget(books: Books, goal: int) -> tuple[int, ...]:
    """The lines of a smaller goal: each keeps what is spent and reserved on it."""
    taken = {name: books.lines.get(name, 0) for name in books.budget}
    free = share(goal - sum(taken.values()), {name: amount - taken[name] for name, amount in books.budget.items()})
    return tuple(taken[line.name] + free[line.name] for line in books.terms.budget)


def _not_needed(books: Books, goal: int) -> dict[MemberId, int]:
    """What a smaller goal will not call any more of those that are not in default, in proportion to what is uncalled."""
    uncalled = {member: account.figures.uncalled for member, account in books.accounts.items() if not account.in_default}
    excess = sum(uncalled.values()) - max(goal - books.soundly_called, 0)
    return {member: amount for member, amount in sorted(share(excess, uncalled).items()) if amount} if excess > 0 else {}
