"""What the rules of the treasury share."""

from __future__ import annotations

from typing import Final, cast

from domain import process
from domain.charter import TreasuryTerms
from domain.kernel import Refused
from domain.process import Context
from domain.treasury import events
from domain.treasury.records import Payment
from domain.treasury.state import Open, TreasuryState, Unopened, evolve

Events = process.Events[events.TreasuryEvent]

TREASURERS: Final = ("office:treasurer",)


def opened(state: TreasuryState) -> Open:
    """The account that is kept. Refuses every command before one was opened."""
    match state:
        case Open():
            return state
        case Unopened():
            raise Refused(
                "account_not_opened",
                "no bank account was named yet",
                remedy="the treasurer opens it (`consortium treasury open-account`)",
            )


def fold(state: Open, decided: Events) -> Open:
    """The account after these events."""
    after = process.fold(evolve, cast(TreasuryState, state), decided)
    assert isinstance(after, Open)
    return after


def terms_of(context: Context) -> TreasuryTerms:
    """What the charter in force says of the treasury."""
    return context.charter.treasury


def require_currency(own: str, currency: str | None) -> None:
    """Refuses amounts in another currency than the account's."""
    if currency not in {None, own}:
        raise Refused("wrong_currency", f"the account is kept in {own}, not in {currency}", remedy=f"name {own}", clause="currency")


def payment_of(state: Open, name: str) -> Payment:
    """The payment of this name. Refuses names that nobody ordered."""
    payment = state.payments.get(name)
    if payment is None:
        raise Refused("no_such_payment", f"nobody ordered {name}", remedy="`consortium show treasury/…` lists the payments")
    return payment


def at_stage(state: Open, name: str, attempt: int, stage: str) -> Payment | None:
    """The payment, if this attempt of it is at this stage; an answer to any other changes nothing."""
    payment = state.payments.get(name)
    return payment if payment is not None and (payment.attempt, payment.stage) == (attempt, stage) else None
