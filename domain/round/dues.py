"""What members owe: when a call falls due, and which dues an amount of money settles. Arithmetic on values, without any phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple

from domain.calendar import Calendar
from domain.charter import FundingTerms, days
from domain.kernel import WHOLE, MemberId, Refused
from domain.process import Context
from domain.round.allocation import YEAR_DAYS, interest
from domain.round.books import Account, Books
from domain.round.rules import terms_of
from domain.round.terms import Due, Schedule, Settlement

LATEST_DUE: Final = timedelta(days=366)
"""How far ahead a call may fall due."""


def schedule(context: Context, books: Books, business_days: int, due: date | None = None) -> Schedule:
    """When a call that somebody makes now falls due, and its ladder after that.

    Refuses a day without business, too far ahead, with too little notice, or of which the calendar in force does not say whether money moves:
    which days these are is a fact about banks that an amendment keeps up to date, and no term that a round keeps from when it was opened.
    """
    calendar = context.charter.calendar
    earliest = calendar.add(context.at, business_days) - timedelta(days=1)
    due_on = due or earliest.date()
    if due_on > context.at.date() + LATEST_DUE:
        raise Refused("due_too_late", f"{due_on} is more than {LATEST_DUE.days} days ahead", remedy="name an earlier day, or call later")
    if not calendar.covers(due_on):
        raise Refused(
            "calendar_ended",
            f"the charter names the days on which no money moves until {calendar.until}, and the call would fall due on {due_on}",
            clause="calendar.until",
            remedy=_ways_out(due, earliest.date(), calendar),
        )
    if not calendar.is_business_day(due_on):
        raise Refused("not_a_business_day", f"no money moves on {due_on}", remedy="name a business day", clause="calendar")
    if due_on < earliest.date():
        raise Refused(
            "notice_too_short",
            f"a call needs {business_days} business days of notice",
            remedy=f"name {earliest.date()} or later",
            clause="funding.call_notice_business_days",
        )
    return _ladder(context, books, due_on)


def _ways_out(due: date | None, earliest: date, calendar: Calendar) -> str:
    amend = "amend the charter's calendar (`consortium charter calendar` writes one)"
    return amend if due is None or not calendar.covers(earliest) else f"name a day until {calendar.until}, or {amend}"


def own_schedule(context: Context, books: Books, business_days: int) -> Schedule:
    """When a call that is made by itself falls due, and its ladder: beyond the calendar by weekends alone, for it cannot wait for an amendment."""
    return _ladder(context, books, (context.charter.calendar.add(context.at, business_days) - timedelta(days=1)).date())


def _ladder(context: Context, books: Books, due_on: date) -> Schedule:
    calendar, terms = context.charter.calendar, terms_of(context, books)
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


# ---------------------------------------------------------------- what is owed at a day


class Bill(NamedTuple):
    """What a member is asked for: this amount when it is paid by this day, and so much more for each further day."""

    pay_by: date
    amount: int
    per_day: int


def in_order(books: Books, dues: Iterable[Due]) -> tuple[Due, ...]:
    """Dues in the order of their due days, of one day the older call first."""
    return tuple(sorted(dues, key=lambda due: (books.calls[due.call].schedule.due_on, due.call, due.pool)))


def due_by(books: Books, account: Account, day: date) -> tuple[Due, ...]:
    """Of what a member owes, what is due on this day or before."""
    return tuple(due for due in account.dues if books.calls[due.call].schedule.due_on <= day)


def owed_on(books: Books, account: Account, rate: int, day: date) -> int:
    """All that a member owes on a day: the principal of what is due by then, and every interest to that day, carried or not.

    So much, paid with a value date up to that day, settles all of it.
    """
    return sum(due.principal + run_up(due, rate, day) for due in due_by(books, account, day))


def bill(books: Books, account: Account, rate: int, day: date) -> Bill:
    """What a member is asked to pay by a day. The amount for a further day is rounded up, so that it is enough for any number of them."""
    owing = due_by(books, account, day)
    reckoned = max((due.accrued_to for due in owing), default=day)
    pay_by = max(day, reckoned)
    return Bill(pay_by, owed_on(books, account, rate, pay_by), sum(_per_day(due.principal, rate) for due in owing))


def next_bill(books: Books, account: Account, rate: int) -> Bill:
    """What a member that owes is asked for as its calls stand: by the next day on which one of them goes on, or once none does, by the last."""
    calls = {due.call: books.calls[due.call] for due in account.dues}
    running = [call.pay_by(call.stage) for call in calls.values() if call.number in books.running]
    day = min(running) if running else max(call.pay_by(call.stage) for call in calls.values())
    return bill(books, account, rate, day)


def _per_day(principal: int, rate: int) -> int:
    return -(-principal * rate // (WHOLE * YEAR_DAYS))


def presses(due: Due, terms: FundingTerms) -> bool:
    """Whether a due makes a default when its time to cure is over: principal does, and interest alone only above what the charter carries."""
    carried = terms.interest_carried_up_to
    return due.principal > 0 or (carried is not None and due.interest > carried)


def pressed(books: Books, number: int, terms: FundingTerms) -> list[MemberId]:
    """The members of which a call asks for what makes a default, in order."""
    owing = ((member, books.accounts[member].dues) for member in sorted(books.calls[number].owing))
    return [member for member, dues in owing if any(due.call == number and presses(due, terms) for due in dues)]


# ---------------------------------------------------------------- what an amount settles


By = Literal["money", "goods", "replacement"]
"""What settles a due. Goods pay no interest; a replacement neither pays it nor was in time."""


def settle(
    books: Books, dues: Sequence[Due], amount: int, on: date, rate: int, *, by: By = "money"
) -> tuple[tuple[Settlement, ...], tuple[Due, ...]]:
    """What an amount of this value date pays of what is owed: the settlements, and what is owed afterwards, both in order of the due days.

    The principal that is due comes first, then its interest, then what is not due yet. Interest that was carried never takes money that
    pays a call in full: it comes after each call that the amount covers, and before one that it does not.
    """
    owed = in_order(books, dues)
    open_ = [_Open(due, due.principal, run_up(due, rate, on) if by == "money" else 0) for due in owed]
    due = [each for each in open_ if each.principal and books.calls[each.due.call].schedule.due_on <= on]
    later = [each for each in open_ if each.principal and books.calls[each.due.call].schedule.due_on > on]
    carried = [each for each in open_ if not each.principal]
    for each in due:
        amount -= each.take(amount, interest=False)
    for each in due:
        amount -= each.take(amount)
    while later and amount >= later[0].principal + later[0].interest:
        amount -= later.pop(0).take(amount)
    for each in (*carried, *later):
        amount -= each.take(amount)
    settled = (_settlement(books, each, on, by) for each in open_ if each.paid or each.late)
    left = (_left(each.due, each.due.principal - each.paid, run_up(each.due, rate, on) - each.late, on) for each in open_)
    return tuple(settled), tuple(due for due in left if due.principal or due.interest)


@dataclass
class _Open:
    """What is open of a due while an amount is shared out, and what it got of it."""

    due: Due
    principal: int
    interest: int
    paid: int = 0
    late: int = 0

    def take(self, amount: int, *, interest: bool = True) -> int:
        """Takes what is open of it from an amount, the principal first, and answers with what it took."""
        principal = min(amount, self.principal)
        late = min(amount - principal, self.interest) if interest else 0
        self.principal, self.interest = self.principal - principal, self.interest - late
        self.paid, self.late = self.paid + principal, self.late + late
        return principal + late


def _settlement(books: Books, each: _Open, on: date, by: By) -> Settlement:
    due, accrued_to = each.due, max(on, each.due.accrued_to)
    in_time = by != "replacement" and on <= books.calls[due.call].schedule.due_on
    return Settlement(call=due.call, pool=due.pool, principal=each.paid, interest=each.late, in_time=in_time, accrued_to=accrued_to)


def _left(due: Due, principal: int, late: int, on: date) -> Due:
    return due.model_copy(update={"principal": principal, "interest": late, "accrued_to": max(on, due.accrued_to)})


def owed_again(books: Books, dues: Sequence[Due], undone: Iterable[Settlement], rate: int) -> tuple[Due, ...]:
    """What is owed when these settlements do not hold: as if they had never been, each with the interest that has run up meanwhile."""
    return together((*dues, *(_due_again(books, part) for part in undone)), rate)


def together(dues: Iterable[Due], rate: int) -> tuple[Due, ...]:
    """The same dues, one for each part of a call: where there are two, with the interest that both have run up."""
    owed = dict[tuple[int, int], Due]()
    for due in dues:
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
