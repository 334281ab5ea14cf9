"""The ladder of a call that is not paid: reminder, interest, warning, default, and the make-up call on the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domain.kernel import MemberId, notify
from domain.process import Context
from domain.round import commands, events
from domain.round.books import Books, Call
from domain.round.consequences import Decision, apply_credits, conclude, suspend_for_default
from domain.round.dues import pressed
from domain.round.making_up import make_up_call
from domain.round.notices import bills, notify_called, notify_members, say_beyond_calendar, soon
from domain.round.rules import STAFF, Events, amount_text, terms_of
from domain.round.state import Live
from domain.round.terms import Stage
from domain.stream import StepOwed, owe


def remind_before_due(state: Live, command: commands.RemindBeforeDue, context: Context) -> Events:
    """Remind everybody who has not paid."""
    call = state.books.calls[command.call]
    return (events.CallReminded(call=call.number), *_notify_owing(call, "capital_call_due", Stage.REMINDED, state.books, context))


def mark_overdue(state: Live, command: commands.MarkOverdue, context: Context) -> Events:
    """The due day is over: from here on interest runs."""
    call = state.books.calls[command.call]
    overdue = events.CallOverdue(call=call.number, unpaid=call.unpaid)
    return (overdue, *_notify_owing(call, "capital_call_overdue", Stage.OVERDUE, state.books, context))


def remind_overdue(state: Live, command: commands.RemindOverdue, context: Context) -> Events:
    """Warn everybody who is overdue that the cure period is running out."""
    call = state.books.calls[command.call]
    return (events.CallWarned(call=call.number), *_notify_owing(call, "capital_call_cure_ends", Stage.WARNED, state.books, context))


def declare_default(state: Live, command: commands.DeclareDefault, context: Context) -> Events:
    """Who still owes after the cure period loses its votes; the others are called for the gap, each up to the charter's cap.

    Interest alone is no default, unless it is above what the charter carries. Who is in default is told first, with the way back.
    What a defaulter owes stays owed, and its whole commitment can be taken over. Paying it, with the interest, cures the default.
    """
    books = state.books
    call = books.calls[command.call]
    late = pressed(books, call.number, terms_of(context, books))
    if not late:
        return (events.CallCleared(call=call.number),)
    fallen = [member for member in late if not books.accounts[member].in_default]
    decision = Decision.of(
        state,
        events.CallDefaulted(call=call.number, unpaid=call.unpaid),
        *(events.MemberDefaulted(member=member, call=call.number) for member in fallen),
        *_notify_fallen(books, call, fallen, context),
    )
    extra = make_up_call(decision.after.books, call, late, context)
    if extra is not None:
        decision = apply_credits(decision.then(extra), extra.amounts, context)
    return (
        *conclude(decision, {*late, *(extra.amounts if extra else ())}, context),
        *(suspend_for_default(context, member, books) for member in fallen),
        *_notify_default(decision.after.books, call, extra, context),
    )


def _notify_default(books: Books, call: Call, extra: events.MakeUpCalled | None, context: Context) -> Events:
    missing = amount_text(books, call.unpaid or _interest_left(books, call))
    staff = notify("call_defaulted", (*STAFF, "office:board"), key=f"notice:default:{call.label}", round=context.stream, unpaid=missing)
    if extra is None:
        return (owe(staff),)
    notices = notify_called("make_up_called", extra.amounts, extra.call, extra.schedule.due_on, books, context)
    return (owe(staff), *notices, *say_beyond_calendar(context, extra.call, extra.schedule))


def _interest_left(books: Books, call: Call) -> int:
    """The interest that members owe of a call of which the principal is paid."""
    dues = (due for member in call.owing for due in books.accounts[member].dues)
    return sum(due.interest for due in dues if due.call == call.number)


def _notify_fallen(books: Books, call: Call, fallen: Sequence[MemberId], context: Context) -> Iterator[StepOwed]:
    """Who is in default from now on hears it itself: what it owes, what it lost, and how both come back."""
    each = bills(context, books, fallen, soon(context))
    return notify_members("in_default", fallen, f"in-default:{call.label}", each=each, round=context.stream, call=call.number)


def _notify_owing(call: Call, template: str, stage: Stage, books: Books, context: Context) -> Events:
    plan = call.schedule
    dates = {"due_on": plan.due_on.isoformat(), "cure_ends_at": plan.cure_ends_at.isoformat()}
    return tuple(
        notify_members(
            template,
            call.owing,
            f"{template.replace('_', '-')}:{call.label}",
            each=bills(context, books, call.owing, call.pay_by(stage)),
            round=context.stream,
            call=call.number,
            **dates,
        )
    )
