"""The rules of catching up: who comes late, or comes back from a default, is called for what the others were called for before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from domain.kernel import MemberId
from domain.process import Context
from domain.round import events
from domain.round.allocation import interest
from domain.round.books import Account, Books
from domain.round.dues import own_schedule
from domain.round.notices import notify_called, notify_members, say_beyond_calendar
from domain.round.rules import terms_of
from domain.round.terms import CallNumber, Due
from domain.stream import StepEvent, StepOwed


def missed(
    books: Books, tranches: Iterable[CallNumber], amount: int, until: date, context: Context, *, but: MemberId | None = None
) -> Iterator[tuple[CallNumber, int, int]]:
    """What a commitment of this amount missed: of each tranche as much as the others carry of it, and the interest from its due day to this one.

    As much means for every unit that it commits: then later calls and the surplus, both in proportion, keep everybody equal.
    """
    rate = terms_of(context, books).equalisation_interest
    carrying = {member for member, account in books.accounts.items() if _carries(account) and member != but}
    committed = sum(books.accounts[member].figures.committed for member in carrying)
    for number in tranches if committed else ():
        call = books.calls[number]
        piece = amount * sum(carried for member, carried in call.carried.items() if member in carrying) // committed
        if piece:
            yield number, piece, interest(piece, rate, (until - call.schedule.due_on).days)


def _carries(account: Account) -> bool:
    """Whether the member stands for its whole commitment."""
    return not account.in_default and not account.releases


def missed_call(books: Books, member: MemberId, context: Context) -> events.CatchUpCalled | None:
    """The call on a member whose default is over, for the tranches that were called while it lasted, if there were any; no more than its commitment."""
    account = books.accounts[member]
    meanwhile = [
        number for number in books.tranches if member not in books.calls[number].amounts and member not in books.calls[number].carried
    ]
    if not meanwhile or not account.figures.uncalled:
        return None
    plan = own_schedule(context, books, terms_of(context, books).call_notice_business_days)
    number, left, dues = len(books.calls) + 1, account.figures.uncalled, list[Due]()
    for pool, piece, extra in missed(books, meanwhile, account.figures.committed, plan.due_on, context, but=member):
        principal = min(piece, left)
        left -= principal
        if principal:
            dues.append(Due(call=number, pool=pool, principal=principal, interest=extra * principal // piece, accrued_to=plan.due_on))
    return events.CatchUpCalled(call=number, member=member, dues=tuple(dues), schedule=plan) if dues else None


def notify_missed(books: Books, called: events.CatchUpCalled, context: Context) -> Iterator[events.RoundEvent | StepEvent]:
    """The member is told that its default is over, and what it is called for."""
    due_on = called.schedule.due_on
    yield from notify_called("missed_called", (called.member,), called.call, due_on, books, context, covered="missed_call_covered")
    yield from say_beyond_calendar(context, called.call, called.schedule)


def notify_cured(books: Books, member: MemberId, context: Context) -> Iterator[StepOwed]:
    """The member is told that its default is over."""
    return notify_members("default_cured", (member,), f"default-cured:{member}:{books.accounts[member].defaults}", round=context.stream)
