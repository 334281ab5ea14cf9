"""What members owe: when a call falls due, and which dues an amount of money settles. Arithmetic on values, without any phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal

from domain.charter import days
from domain.kernel import Refused
from domain.process import Context
from domain.round.allocation import interest
from domain.round.books import Books
from domain.round.rules import calendar_of, terms_of
from domain.round.terms import Due, Schedule, Settlement

LATEST_DUE: Final = timedelta(days=366)
"""How far ahead a call may fall due."""


def schedule(context: Context, books: Books, business_days: int, due: date | None = None) -> Schedule:
    """When a call made now falls due, and its ladder after that; refuses a day without business, too far ahead or with too little notice."""
    calendar, terms = calendar_of(context, books), terms_of(context, books)
    earliest = calendar.add(context.at, business_days) - timedelta(days=1)
    due_on = due or earliest.date()
    if due_on > context.at.date() + LATEST_DUE:
        raise Refused("due_too_late", f"{due_on} is more than {LATEST_DUE.days} days ahead", remedy="name an earlier day, or call later")
    if not calendar.is_business_day(due_on):
        raise Refused("not_a_business_day", f"no money moves on {due_on}", remedy="name a business day", clause="calendar")
    if due_on < earliest.date():
        raise Refused(
            "notice_too_short",
            f"a call needs {business_days} business days of notice",
            remedy=f"name {earliest.date()} or later",
            clause="funding.call_notice_business_days",
        )
    due_at = datetime.combine(due_on + timedelta(days=1), time(), UTC)
    cure_ends_at = calendar.add(due_at - timedelta(days=1), terms.cure_business_days)
    return Schedule(
        due_on=due_on,
        remind_at=max(context.at, due_at - days(terms.reminder_days)),
        due_at=due_at,
        warn_at=min(due_at + days(terms.reminder_days), cure_ends_at),
        cure_ends_at=cure_ends_at,
    )


def run_up(due: Due, rate: int, on: date) -> int:
    """The interest that a due has run up to a day: what was reckoned before, and of its principal since."""
    return due.interest + interest(due.principal, rate, (on - due.accrued_to).days)


def settle(
    books: Books, dues: Sequence[Due], amount: int, on: date, rate: int, *, by: Literal["money", "goods", "replacement"] = "money"
) -> tuple[tuple[Settlement, ...], tuple[Due, ...]]:
    """What an amount of this value date pays: the oldest due first, of each the principal and then the interest it has run up.

    Answers with the settlements and what is owed afterwards. Goods pay no interest; a replacement neither pays it nor was in time.
    """
    settled: list[Settlement] = []
    left: list[Due] = []
    for due in dues:
        late = run_up(due, rate, on)
        principal = min(amount, due.principal)
        paid = min(amount - principal, late) if by == "money" else 0
        amount -= principal + paid
        accrued_to = max(on, due.accrued_to)
        if principal or paid:
            in_time = by != "replacement" and on <= books.calls[due.call].schedule.due_on
            settled.append(
                Settlement(call=due.call, pool=due.pool, principal=principal, interest=paid, in_time=in_time, accrued_to=accrued_to)
            )
        if due.principal > principal or late > paid:
            rest = {"principal": due.principal - principal, "interest": late - paid, "accrued_to": accrued_to}
            left.append(due.model_copy(update=rest))
    return tuple(settled), tuple(left)


def owed_again(books: Books, dues: Sequence[Due], undone: Iterable[Settlement], rate: int) -> tuple[Due, ...]:
    """What is owed when these settlements do not hold: as if they had never been, each with the interest that has run up meanwhile."""
    owed = dict[tuple[int, int], Due]()
    for due in (*dues, *(_due_again(books, part) for part in undone)):
        former = owed.get((due.call, due.pool))
        owed[due.call, due.pool] = due if former is None else _together(former, due, rate)
    return tuple(due for _, due in sorted(owed.items()))


def _due_again(books: Books, part: Settlement) -> Due:
    since = part.accrued_to or books.calls[part.call].schedule.due_on
    return Due(call=part.call, pool=part.pool, principal=part.principal, interest=part.interest, accrued_to=since)


def _together(one: Due, other: Due, rate: int) -> Due:
    day = max(one.accrued_to, other.accrued_to)
    late = run_up(one, rate, day) + run_up(other, rate, day)
    return one.model_copy(update={"principal": one.principal + other.principal, "interest": late, "accrued_to": day})


def undo(settled: Sequence[Settlement], amount: int) -> tuple[tuple[Settlement, ...], tuple[Settlement, ...]]:
    """The settlements that hold, and the latest ones that make up this amount, interest first; less where there is less."""
    held, undone = list(settled), list[Settlement]()
    while held and amount:
        last = held.pop()
        late = min(last.interest, amount)
        principal = min(last.principal, amount - late)
        amount -= late + principal
        undone.append(last.model_copy(update={"principal": principal, "interest": late}))
        if (rest := last.model_copy(update={"principal": last.principal - principal, "interest": last.interest - late})).total:
            held.append(rest)
    return tuple(held), tuple(undone)
