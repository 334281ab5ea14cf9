"""A treasury in tables: the payment lists that wait, each with the digest to sign, and what became of every payment of every list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from domain.money import Money
from domain.process import Cell, Table
from domain.reference import masked
from domain.register.state import Register
from domain.treasury.records import Payee, PaymentList
from domain.treasury.state import Open, TreasuryState, Unopened

LISTS = ("payment_list", "source", "stage", "payments", "amount", "signed_by", "approvals", "digest")
LISTED = ("payment_list", "payee", "account", "amount", "stage", "reason", "payment")


def tables(state: TreasuryState, register: Register, at: datetime) -> Sequence[Table]:
    """Every payment list, and the payments of each: whom they go to, on which account, and how far each came."""
    match state:
        case Unopened():
            return ()
        case Open():
            named = sorted(state.lists.items())
            lists = [_list(name, listed) for name, listed in named]
            return [
                Table("payment_lists", LISTS, lists),
                Table("listed_payments", LISTED, [row for name, listed in named for row in _lines(state, name, listed)]),
            ]


def _list(name: str, listed: PaymentList) -> tuple[Cell, ...]:
    amount = Money(listed.total, listed.currency)
    return (
        name,
        listed.source,
        listed.stage,
        len(listed.lines),
        amount,
        ", ".join(sorted(listed.signed)),
        listed.approvals,
        listed.digest,
    )


def _lines(state: Open, name: str, listed: PaymentList) -> Iterator[tuple[Cell, ...]]:
    for line in listed.lines:
        payment, payee = state.payments[line.payment], state.payees.get(line.payee, Payee())
        account = payment.account or (payee.account if payee.account_digest == line.details else None)
        where = masked(account.account_id) if account else ""
        yield (name, line.payee, where, Money(line.amount, listed.currency), payment.stage, payment.reason, line.payment)
