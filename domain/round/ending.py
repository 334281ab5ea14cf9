"""The rules of a round's end: settled when all is called and paid, or cancelled; what is left becomes the members' credit."""

from __future__ import annotations

from typing import Literal

from domain.charter import Office
from domain.kernel import Refused
from domain.process import Context
from domain.round import commands, events, rules
from domain.round.calls import shared_interest
from domain.round.consequences import close, fold_phase, register_facts
from domain.round.notices import notify_members
from domain.round.rules import Events, amount_text
from domain.round.state import (
    Calling,
    Cancelled,
    ClosedWithDebts,
    Committed,
    Draft,
    Endangered,
    Failed,
    Live,
    Pledging,
    Refunding,
    RoundState,
    Settled,
    Short,
    Unopened,
    Withdrawn,
    books_of,
    evolve,
)
from domain.round.terms import Duty
from domain.round.winding_up import in_proportion, notify_over, notify_owed, notify_refunds, returned, still_owed, weights, wind_up


def settle_round(state: RoundState, _: commands.SettleRound, context: Context) -> Events:
    """End a round in which all is called and paid: the surplus goes back in proportion to the cash that each paid in.

    Settling forgives what is owed, so nobody may owe who can still pay: only what members owe that are gone is given up.
    """
    books = books_of(state)
    if books is None:
        context.require_duty(Office.TREASURER)
    else:
        rules.require_holder(books, Duty.SETTLE, context)
    if isinstance(state, Refunding | ClosedWithDebts | Settled) and (isinstance(state, Settled) or state.end == "settled"):
        return ()
    current = rules.live(state)
    books = current.books
    if isinstance(current, Endangered) or not books.all_called:
        raise Refused("not_all_called", "tranches are still to be called", remedy="call them, or have the goal reduced to what is called")
    if books.running:
        raise Refused(
            "calls_running", f"call {books.running[0]} has not cleared", remedy="wait until it has cleared, or its default is declared"
        )
    owing = sorted(member for member, account in books.accounts.items() if account.figures.owed and context.register.belongs(member))
    if owing:
        raise Refused(
            "default_open",
            f"{owing[0]} owes {amount_text(books, books.accounts[owing[0]].figures.owed)} and can still pay",
            remedy="wait until it is paid or taken over; a vote can expel the member, or cancel the round",
            clause="funding",
        )
    if any(account.offered for account in books.accounts.values()):
        raise Refused("delivery_open", "a delivery is not judged yet", remedy="accept or reject it (`consortium show`)")
    if books.reserved:
        raise Refused("spending_open", f"{amount_text(books, books.reserved)} is reserved", remedy="pay or withdraw what was proposed")
    return end(current, "settled", "decision", context)


def cancel_round(state: RoundState, command: commands.CancelRound, context: Context) -> Events:
    """Give the round up: by a vote, or for a shortfall that no vote mended in time. A shortfall that is over cancels nothing."""
    if command.cause == "decision":
        context.require_mandate()
    if not context.mandate:
        context.require_service()
    match state:
        case Endangered():
            if not context.mandate:
                context.require_due(state.decide_by)
            return end(state, "cancelled", command.cause, context)
        case Committed() | Calling():
            return () if command.cause == "shortfall" else end(state, "cancelled", command.cause, context)
        case Pledging(pledges=pledges) | Short(pledging=Pledging(pledges=pledges)):
            if command.cause == "shortfall":
                return ()
            notices = notify_members("round_cancelled", pledges, "cancelled", round=context.stream)
            return (events.RoundCancelled(cause=command.cause, returns={}), events.RoundClosed(), *notices)
        case Refunding() | ClosedWithDebts() | Settled() | Cancelled() | Failed() | Withdrawn():
            return ()
        case Unopened() | Draft():
            raise Refused("not_pledging", "nobody has pledged yet", remedy="withdraw the draft (`consortium round withdraw-round`)")


def end(state: Live, way: Literal["settled", "cancelled"], cause: Literal["decision", "shortfall", "silence"], context: Context) -> Events:
    """All unspent money becomes the members' credit, and interest that of those who earned it.

    Of a round that is settled, by the cash that each paid in. When one is cancelled, each bears its share of what was spent: who paid less owes
    the rest, and stays in default if it was, until it is paid; who paid more gets what is there, and what comes in later.
    """
    books, shares = state.books, shared_interest(state.books)
    free = max(books.totals.cash - books.spent - books.ordered - books.advanced, 0)
    carried = weights(books) if way == "cancelled" else {}
    returns = returned(books, carried, free) if carried else in_proportion(books, free)
    owed, today = still_owed(books, way, carried, context), context.at.date()
    over = (
        events.RoundSettled(returns=returns, owed=owed, on=today)
        if way == "settled"
        else events.RoundCancelled(cause=cause, returns=returns, carried=carried, owed=owed, on=today)
    )
    ended = evolve(fold_phase(state, shares), over)
    assert isinstance(ended, Refunding)
    wound_up = wind_up(ended, context)
    after = fold_phase(ended, wound_up)
    members = sorted(books.accounts)
    lifted = (member for member in members if books.accounts[member].in_default and not ended.books.accounts[member].in_default)
    return (
        *shares,
        over,
        *wound_up,
        *close(after, after.books, gone=0),
        *register_facts(books, after.books, members, context, over=True),
        *notify_over(books, lifted, context),
        *notify_owed(after.books, context),
        *notify_members(f"round_{way}", members, way, round=context.stream),
        *notify_refunds(after.books, "", context),
    )
