"""A round in tables: each member's money to a day, the calls and their ends, the refunds, and what was delivered in kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from domain.money import Money
from domain.process import Table
from domain.reference import shown_reference
from domain.register.state import Register
from domain.round import events
from domain.round.books import Account, Books, Call
from domain.round.dues import next_bill, run_up
from domain.round.state import ClosedWithDebts, Pledging, RoundState, Short, books_of

MEMBERS = (
    "member",
    "commitment",
    "called",
    "cleared",
    "owed",
    "interest",
    "credit",
    "refund_owed",
    "in_kind",
    "cure_ends_at",
    "in_default",
    "joined_late",
    "reference",
)


def tables(state: RoundState, register: Register, at: datetime) -> Sequence[Table]:
    """Pledges until the close; then each member, each call, what is to be paid, each refund, set-off and delivery. Interest is reckoned to the day of `at`."""
    books = books_of(state)
    if books is None:
        return _pledges(state)
    rate = register.charters[books.charter_version].funding.default_interest
    members = [_member(books, member, account, rate, at.astimezone(UTC).date()) for member, account in sorted(books.accounts.items())]
    return [
        Table("members", MEMBERS, members),
        Table(
            "calls",
            ("call", "purpose", "stage", "due_on", "cure_ends_at", "called", "unpaid", "owing"),
            [_call(books, call) for _, call in sorted(books.calls.items())],
        ),
        Table(
            "to_pay",
            ("member", "amount", "pay_by", "per_further_day", "reference"),
            [_asked(books, member, account, rate) for member, account in sorted(books.accounts.items()) if account.dues],
        ),
        Table("refunds", ("member", "amount", "stage", "order", "reason", "payment"), _refunds(books)),
        Table("set_offs", ("member", "owed_on", "number", "stands", "amount", "restored"), _set_offs(books)),
        *_debts(state),
        Table("deliveries", ("evidence", "stands", "member", "value"), [_delivery(books, name) for name in sorted(books.deliveries)]),
    ]


def _pledges(state: RoundState) -> Sequence[Table]:
    pledging = state.pledging if isinstance(state, Short) else state
    if not isinstance(pledging, Pledging):
        return ()
    currency = pledging.terms.currency
    rows = [
        (member, Money(made.amount, currency), Money(made.if_total_at_least, currency) if made.if_total_at_least else None)
        for member, made in sorted(pledging.pledges.items())
    ]
    return [Table("pledges", ("member", "pledged", "if_total_at_least"), rows)]


def _member(books: Books, member: str, account: Account, rate: int, on: date) -> tuple[str | Money | datetime | bool | None, ...]:
    figures = account.figures
    amounts = (
        figures.committed,
        figures.called,
        figures.cleared,
        _owed_on(account, rate, on),
        _interest_on(account, rate, on),
        figures.credit,
        figures.refunding,
        figures.in_kind,
    )
    ends = min((books.calls[due.call].schedule.cure_ends_at for due in account.dues), default=None)
    return (
        member,
        *(Money(amount, books.terms.currency) for amount in amounts),
        ends,
        account.in_default,
        account.late,
        shown_reference(account.reference),
    )


def _asked(books: Books, member: str, account: Account, rate: int) -> tuple[str | Money | date, ...]:
    """What the member is asked for, as its notices do: all that it owes by a day, and what each further day adds."""
    asked, currency = next_bill(books, account, rate), books.terms.currency
    return member, Money(asked.amount, currency), asked.pay_by, Money(asked.per_day, currency), shown_reference(account.reference)


def _owed_on(account: Account, rate: int, on: date) -> int:
    """What the member owes on a day, with its interest to that day."""
    return sum(due.principal for due in account.dues) + _interest_on(account, rate, on)


def _interest_on(account: Account, rate: int, on: date) -> int:
    """The interest that what the member owes has run up to a day."""
    return sum(run_up(due, rate, on) for due in account.dues)


def _call(books: Books, call: Call) -> tuple[int | str | date | Money, ...]:
    plan, currency = call.schedule, books.terms.currency
    return (
        call.number,
        call.purpose.value,
        call.stage.value,
        plan.due_on,
        plan.cure_ends_at,
        Money(sum(call.amounts.values()), currency),
        Money(call.unpaid, currency),
        ", ".join(sorted(member for member, owed in call.owing.items() if owed)),
    )


def _refunds(books: Books) -> list[tuple[str | int | Money | None, ...]]:
    """Each refund that was ordered, by itself or with others, and how far it came; those of one order together."""
    orders = {payment: number for number, order in books.refund_orders.items() for payment in order.payments}
    named = sorted(books.refunds.items(), key=lambda item: (orders.get(item[0], 0), item[1].member, item[0]))
    return [
        (refund.member, Money(refund.amount, books.terms.currency), refund.stage, orders.get(payment), refund.reason, payment)
        for payment, refund in named
    ]


def _debts(state: RoundState) -> list[Table]:
    """What is owed in a round that nobody wound up, as it was listed last."""
    if not isinstance(state, ClosedWithDebts):
        return []
    currency = state.books.terms.currency
    rows = [(str(debt.kind), debt.party, Money(debt.amount, currency)) for debt in state.debts]
    return [Table("debts", ("debt", "party", "amount"), rows)]


def _set_offs(books: Books) -> list[tuple[str | int | Money | None, ...]]:
    """What of the members' credit was asked for what they owe elsewhere: whether it waits for a refund, or what was taken of it."""
    currency = books.terms.currency
    return [
        (
            each.member,
            each.debtor,
            each.number,
            "waits for a refund" if each.waits else "taken",
            Money(each.amount, currency),
            Money(each.restored, currency) if each.restored else None,
        )
        for each in sorted(books.set_offs.values(), key=lambda each: (each.member, each.debtor, each.number))
    ]


def _delivery(books: Books, evidence: str) -> tuple[str, str, str, Money]:
    match books.deliveries[evidence]:
        case events.InKindDelivered(member=member, value=value):
            return evidence, "waits", member, Money(value, books.terms.currency)
        case events.InKindAccepted(member=member, value=value):
            return evidence, "accepted", member, Money(value, books.terms.currency)
        case events.InKindRejected(member=member):
            return evidence, "rejected", member, Money(0, books.terms.currency)
