"""A treasury in tables: the payment lists that wait, each with the digest to sign, what became of every payment of every list, and the payees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from domain.money import Money
from domain.process import Cell, Table
from domain.reference import masked
from domain.register.state import Register
from domain.treasury.records import Payee, PaymentList, Proposed
from domain.treasury.state import Open, TreasuryState, Unopened
from domain.treasury.terms import Creditor

LISTS = ("payment_list", "source", "stage", "payments", "amount", "signed_by", "approvals", "digest")
PAYEES = ("payee", "account", "stands", "belongs_to", "lei", "same_account_as", "companies_behind", "details")
LISTED = ("payment_list", "payee", "account", "amount", "stage", "reason", "payment")


def tables(state: TreasuryState, register: Register, at: datetime) -> Sequence[Table]:
    """Every payment list, the payments of each, and whose the payees are: whom they go to, on which account, and how far each came."""
    match state:
        case Unopened():
            return ()
        case Open():
            named = sorted(state.lists.items())
            lists = [_list(name, listed) for name, listed in named]
            return [
                Table("payment_lists", LISTS, lists),
                Table("listed_payments", LISTED, [row for name, listed in named for row in _lines(state, name, listed)]),
                Table("payees", PAYEES, [row for name, payee in sorted(state.payees.items()) for row in _payee(name, payee, register)]),
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


def _payee(name: str, payee: Payee, register: Register) -> Iterator[tuple[Cell, ...]]:
    """The approved bank details of a payee, and those that wait: whose it is, and who else has the account."""
    behind = ", ".join(sorted(register.behind(name)))
    waiting = payee.proposed
    if payee.account is not None:
        yield _details(name, payee.account, "approved", payee, register, behind, payee.account_digest)
    if waiting is not None:
        yield _details(name, waiting.account, "waits", waiting, register, behind, waiting.details)


def _details(
    name: str, account: Creditor, stands: str, of: Payee | Proposed, register: Register, behind: str, details: str
) -> tuple[Cell, ...]:
    same = ", ".join(register.sharing_account(name, account.accounts))
    return (name, masked(account.account_id), stands, of.member or "", of.lei or "", same, behind, details)


def _lines(state: Open, name: str, listed: PaymentList) -> Iterator[tuple[Cell, ...]]:
    for line in listed.lines:
        payment, payee = state.payments[line.payment], state.payees.get(line.payee, Payee())
        account = payment.account or (payee.account if payee.account_digest == line.details else None)
        where = masked(account.account_id) if account else ""
        yield (name, line.payee, where, Money(line.amount, listed.currency), payment.stage, payment.reason, line.payment)
