"""Asking for a grant, and the board's decision."""

from __future__ import annotations

from domain import letters
from domain.charter import Office
from domain.grant import commands, events
from domain.grant.rules import Events
from domain.grant.state import Requested, Unrequested
from domain.kernel import notify, slug_of, tell
from domain.money import display
from domain.process import Context
from domain.stream import owe


def request(_: Unrequested, command: commands.RequestGrant, context: Context) -> Events:
    """The request waits for the board, until it lapses."""
    context.require_active(command.member)
    context.require_representative(command.member)
    requested = events.GrantRequested(**command.model_dump(exclude={"kind"}), by=context.actor)
    amount = display(command.amount, context.charter.currency)
    notice = notify("grant_to_decide", ("office:board",), key="notice:decide", grant=slug_of(context.stream), amount=amount)
    return (requested, owe(notice))


def approve(state: Requested, context: Context) -> Events:
    """The board approves, and the treasury is asked to pay."""
    context.require_office(Office.BOARD)
    terms = state.terms
    order = letters.OrderPayment(
        payment=f"grant-{slug_of(context.stream)}",
        source=context.stream,
        payee=terms.payee,
        amount=terms.amount,
        purpose=letters.Purpose.GRANT,
        subject=slug_of(context.stream),
        text=terms.title[:140],
        ordered_by=context.actor,
    )
    treasury = f"treasury/{context.charter.treasury.account}"
    return (events.GrantApproved(by=context.actor), owe(tell(treasury, order, key="order")))


def lapse(_: Requested) -> Events:
    """Nobody decided in time."""
    return (events.GrantLapsed(),)
