"""Opening the account that the charter names."""

from __future__ import annotations

from domain.charter import Office
from domain.kernel import Refused, slug_of
from domain.process import Context
from domain.reference import masked
from domain.treasury import commands, events
from domain.treasury.rules import Events, require_currency, terms_of
from domain.treasury.state import Open, TreasuryState, Unopened
from domain.treasury.statements import next_look
from domain.treasury.terms import Creditor


def open_account(state: TreasuryState, command: commands.OpenAccount, context: Context) -> Events:
    """The charter's account is opened, by the treasurer; the same account again changes nothing, and another one is refused."""
    context.require_office(Office.TREASURER)
    match state:
        case Open():
            _require_same_account(state, command)
            return ()
        case Unopened():
            _require_own_stream(context)
            require_currency(context.charter.currency, command.currency)
            return (_opened(command, context),)


def _opened(command: commands.OpenAccount, context: Context) -> events.AccountOpened:
    return events.AccountOpened(
        iban=command.iban,
        bic=command.bic,
        owner=command.owner,
        currency=context.charter.currency,
        opening_balance=command.opening_balance,
        look_at=next_look(context),
        number=command.number,
        clearing=command.clearing,
    )


def _require_same_account(state: Open, command: commands.OpenAccount) -> None:
    named = Creditor(name=command.owner, iban=command.iban, bic=command.bic, number=command.number, clearing=command.clearing)
    if state.account != named:
        raise Refused(
            "account_opened",
            f"this treasury keeps the account {masked(state.account.account_id)}",
            remedy="name another account in the charter's clause `treasury`, and open that treasury",
            clause="treasury.account",
        )


def _require_own_stream(context: Context) -> None:
    account = terms_of(context).account
    if slug_of(context.stream) != account:
        raise Refused(
            "other_account",
            f"the charter's account is {account}",
            remedy=f"open treasury/{account}, or amend the charter",
            clause="treasury.account",
        )
