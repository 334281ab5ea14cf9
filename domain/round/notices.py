"""Notices to the members of a round, and what each of them has to pay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from domain.kernel import MemberId, mapping, notify
from domain.process import Context
from domain.reference import creditor_reference, shown_reference
from domain.round.books import Books
from domain.round.dues import Bill, bill
from domain.round.rules import STAFF, Events, amount_text, terms_of
from domain.round.terms import Schedule
from domain.stream import StepOwed, owe, owe_notices


def notify_members(
    template: str,
    members: Iterable[MemberId],
    key: str,
    *,
    each: Mapping[MemberId, Mapping[str, str]] = mapping(),
    **facts: str | int,
) -> Iterator[StepOwed]:
    """The steps that notify members, in their order, each of what concerns nobody else."""
    to = [f"member:{member}" for member in sorted(members)]
    own = {f"member:{member}": alone for member, alone in each.items()}
    return owe_notices(template, to, f"notice:{key}", facts, each=own)


def notify_called(
    template: str, members: Iterable[MemberId], call: int, due_on: date, books: Books, context: Context, *, covered: str = "call_covered"
) -> Iterator[StepOwed]:
    """The notices of a call: what each member is to pay by its due day, or, by the template `covered`, that its credit has paid all of it."""
    owing, day = bills(context, books, members, due_on), due_on.isoformat()
    yield from notify_members(template, owing, f"call:{call}", each=owing, round=context.stream, call=call, due_on=day)
    paid = set(members) - owing.keys()
    yield from notify_members(covered, paid, f"call-covered:{call}", round=context.stream, call=call, due_on=day)


def soon(context: Context) -> date:
    """By when a notice asks for what is overdue already: to the end of the next business day."""
    return (context.charter.calendar.add(context.at, 1) - timedelta(days=1)).date()


def bills(context: Context, books: Books, members: Iterable[MemberId], day: date) -> dict[MemberId, dict[str, str]]:
    """What each member is to pay by a day: all that it owes then, interest included, what each further day adds, and its reference.

    Who owes nothing then is left out: no notice asks for nothing.
    """
    rate = terms_of(context, books).default_interest
    each = {member: bill(books, books.accounts[member], rate, day) for member in members}
    return {member: _facts(context, books, member, own) for member, own in each.items() if own.amount}


def _facts(context: Context, books: Books, member: MemberId, asked: Bill) -> dict[str, str]:
    return {
        "amount": amount_text(books, asked.amount),
        "pay_by": asked.pay_by.isoformat(),
        "per_day": amount_text(books, asked.per_day),
        "reference": shown_reference(creditor_reference(context.stream, member)),
    }


def say_beyond_calendar(context: Context, call: int, plan: Schedule) -> Events:
    """A notice to who can put the calendar right, where a call's due day or the end of its cure was reckoned beyond what it covers."""
    calendar, cured = context.charter.calendar, (plan.cure_ends_at - timedelta(days=1)).date()
    if calendar.until is None or calendar.covers(cured):
        return ()
    told = notify(
        "calendar_ended",
        (*STAFF, "office:board"),
        key=f"notice:calendar:{call}",
        round=context.stream,
        call=call,
        due_on=plan.due_on.isoformat(),
        cure_ends_at=plan.cure_ends_at.isoformat(),
        until=calendar.until.isoformat(),
    )
    return (owe(told),)
