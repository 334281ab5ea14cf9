"""What the treasury says of a grant's payment. Said again, it is old news."""

from __future__ import annotations

from domain import letters
from domain.grant import events
from domain.grant.rules import Events
from domain.grant.state import Approved, Ended, Paid
from domain.kernel import notify, slug_of
from domain.money import display
from domain.process import Context
from domain.register.facts import BankReferenceUsed
from domain.stream import owe


def record(state: Approved | Paid | Ended, command: letters.RecordGrant, context: Context) -> Events:
    """The money left the account."""
    if not isinstance(state, Approved):
        return ()
    terms, name = state.terms, slug_of(context.stream)
    notice = notify(
        "grant_paid", (f"member:{terms.member}",), key=f"notice:paid:{command.reference}",
        grant=name, amount=display(terms.amount, context.charter.currency),
    )  # fmt: skip
    return (
        events.GrantPaid(amount=terms.amount, reference=command.reference),
        BankReferenceUsed(reference=command.reference, source=context.stream),
        owe(notice),
    )


def take_back(state: Approved | Paid | Ended, command: letters.ReturnGrant, context: Context) -> Events:
    """The money came back: the treasury pays anew, or gives up."""
    if not isinstance(state, Paid):
        return ()
    returned = events.GrantReturned(amount=state.terms.amount, reference=command.reference)
    return (returned, BankReferenceUsed(reference=command.reference, source=context.stream))


def release(state: Approved | Paid | Ended) -> Events:
    """The treasury gave the payment up."""
    return (events.GrantReleased(),) if isinstance(state, Approved) else ()
