"""The rules of spending what cleared, and of a round's end."""

from __future__ import annotations

from typing import Literal

from domain import letters
from domain.charter import Office
from domain.kernel import Refused, Slug, notify, slug_of
from domain.money import share
from domain.process import Context, StepOwed, owe
from domain.register.facts import BankReferenceUsed
from domain.round import commands, events
from domain.round.books import Books, Movement, Spending
from domain.round.calls import shared_interest
from domain.round.rules import (
    STAFF,
    Events,
    closing,
    contributions,
    facts,
    folded,
    held_back,
    lifted,
    live,
    notices,
    order_name,
    refundable,
    reopened,
    repeated,
    require_due,
    shown,
    to_treasury,
)
from domain.round.state import (
    Calling,
    Cancelled,
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

# ---------------------------------------------------------------- spending


def propose_spending(state: RoundState, command: commands.ProposeSpending, context: Context) -> Events:
    """Reserve cleared money under a budget line: never is more committed to spending than has cleared."""
    current = live(state)
    context.require_office(Office.TREASURER)
    _require_disinterested(command.payee, context)
    books = current.books
    known = books.spendings.get(command.spending)
    if known is not None:
        if (known.line, known.amount, known.payee) == (command.line, command.amount, command.payee):
            return ()
        raise Refused("spending_exists", f"{command.spending} names another spending", remedy="choose another name")
    if isinstance(current, Endangered):
        raise _minimum_lost()
    if command.line not in books.budget:
        raise Refused("no_such_line", "the budget has no such line", remedy=f"name one of: {', '.join(sorted(books.budget))}")
    free = books.budget[command.line] - books.lines.get(command.line, 0)
    if command.amount > free:
        raise Refused("line_exceeded", f"{shown(books, free)} of the line is free", remedy="spend less, or under another line")
    if command.amount > books.spendable:
        raise Refused(
            "more_than_cleared",
            f"{shown(books, books.spendable)} has cleared and is free",
            remedy="wait until more has cleared",
            clause="funding",
        )
    proposed = events.SpendingProposed(
        spending=command.spending, line=command.line, amount=command.amount, payee=command.payee, by=context.actor
    )
    asked = notify("spending_to_approve", ("office:second-signatory",), key=f"notice:spending:{command.spending}", round=context.stream)
    return (proposed, owe(asked))


def approve_spending(state: RoundState, command: commands.ApproveSpending, context: Context) -> Events:
    """The second signature, of another person, while the money is still there."""
    current = live(state)
    context.require_office(Office.SECOND_SIGNATORY)
    spending = _spending(current.books, command.spending)
    if context.actor == spending.proposed_by:
        raise Refused("same_person", f"{context.actor} proposed it", remedy="ask another second signatory", clause="roles")
    _require_disinterested(spending.payee, context)
    match spending.stage:
        case "approved" | "paid":
            return ()
        case "withdrawn":
            raise _spending_withdrawn()
        case "proposed" if isinstance(current, Endangered):
            raise _minimum_lost()
        case "proposed" if current.books.spendable < 0:
            raise Refused(
                "more_than_cleared",
                f"{shown(current.books, -current.books.spendable)} of it was taken back since it was proposed",
                remedy="wait until it is paid again, or withdraw the spending",
                clause="funding",
            )
        case "proposed":
            approved = events.SpendingApproved(spending=command.spending, by=context.actor)
            return (approved, _ordered(command.spending, spending, current.books, context))


def _require_disinterested(payee: str, context: Context) -> None:
    member = payee.removeprefix("member:")
    if member != payee and context.register.speaks_for(context.actor, member):
        raise Refused("own_payment", f"{context.actor} speaks for {member}, which is paid", remedy="ask another officer", clause="roles")


def _ordered(name: Slug, spending: Spending, books: Books, context: Context) -> StepOwed:
    payment = order_name(context, "spending", name)
    order = letters.OrderPayment(
        payment=payment,
        source=context.stream,
        payee=spending.payee,
        amount=spending.amount,
        currency=books.terms.currency,
        purpose=letters.Purpose.SPENDING,
        subject=name,
        text=f"{slug_of(context.stream)} {name}"[:140],
        ordered_by=spending.proposed_by,
    )
    return to_treasury(context, order, f"order:{payment}")


def withdraw_spending(state: RoundState, command: commands.WithdrawSpending, context: Context) -> Events:
    """Free what was reserved, as long as its payment was not ordered; after that the treasury gives it up, and frees it."""
    current = live(state)
    context.require_office(Office.TREASURER)
    match _spending(current.books, command.spending).stage:
        case "withdrawn":
            return ()
        case "paid":
            raise Refused("spending_paid", "the money has left the account", remedy="none here: ask the payee for it")
        case "approved":
            raise Refused(
                "payment_ordered",
                "the treasury has the order",
                remedy="cancel the payment there (`consortium treasury cancel-payment`): that frees it",
            )
        case "proposed":
            return (events.SpendingWithdrawn(spending=command.spending),)


def record_spending(state: RoundState, command: letters.RecordSpending, context: Context) -> Events:
    """What was approved was paid: this amount, to this payee, once."""
    context.require_service()
    books = refundable(state)
    spending = _spending(books, command.spending)
    if repeated(context, books, command.reference, Movement("spending", command.spending, spending.amount)):
        return ()
    match spending.stage:
        case "proposed":
            raise Refused(
                "not_approved",
                "the second signature is missing",
                remedy="ask a second signatory (`consortium round approve-spending`)",
                clause="roles",
            )
        case "withdrawn":
            raise _spending_withdrawn()
        case "paid":
            raise Refused(
                "spending_paid", "it was paid under another reference", remedy="propose the second payment as a spending of its own"
            )
        case "approved":
            used = BankReferenceUsed(reference=command.reference, source=context.stream)
            paid = events.SpendingPaid(spending=command.spending, reference=command.reference)
            return (paid, used, *closing(state, books, gone=spending.amount))


def return_spending(state: RoundState, command: letters.ReturnSpending, context: Context) -> Events:
    """The payment came back: the money is reserved again, until it is paid anew or given up. A round that had closed is open again for it."""
    context.require_service()
    books = books_of(state)
    if books is None:
        return ()
    spending = _spending(books, command.spending)
    if repeated(context, books, command.reference, Movement("spending-return", command.spending, spending.amount)):
        return ()
    match spending.stage:
        case "paid":
            used = BankReferenceUsed(reference=command.reference, source=context.stream)
            return (*reopened(state), events.SpendingReturned(spending=command.spending, reference=command.reference), used)
        case "proposed" | "approved" | "withdrawn":
            raise Refused("spending_not_paid", "it was not paid", remedy="try again once its payment is recorded here")


def release_spending(state: RoundState, command: letters.ReleaseSpending, context: Context) -> Events:
    """The treasury gave the payment up: what was reserved is free, and beyond the round's end the members' credit."""
    context.require_service()
    books = books_of(state)
    if books is None or not isinstance(state, Committed | Calling | Endangered | Refunding):
        return ()
    spending = _spending(books, command.spending)
    if spending.stage != "approved":
        return ()
    withdrawn = events.SpendingWithdrawn(spending=command.spending)
    if not isinstance(state, Refunding):
        return (withdrawn,)
    freed = folded(state, (withdrawn,)).books
    surplus = events.SurplusReturned(returns=_in_proportion(freed, max(freed.spendable, 0)))
    decided: Events = (withdrawn, surplus) if surplus.returns else (withdrawn,)
    after = folded(state, decided).books
    closed = () if held_back(after) else (events.RoundClosed(),)
    return (*decided, *closed, *contributions(books, after, sorted(surplus.returns), context))


def _minimum_lost() -> Refused:
    return Refused("minimum_lost", "the round is below its minimum", remedy="wait for the vote on a smaller run, or for a replacement")


def _spending(books: Books, name: Slug) -> Spending:
    spending = books.spendings.get(name)
    if spending is None:
        raise Refused("no_such_spending", f"nobody proposed {name}", remedy="propose it first (`consortium round propose-spending`)")
    return spending


def _spending_withdrawn() -> Refused:
    return Refused("spending_withdrawn", "it was withdrawn", remedy="propose it anew under another name")


# ---------------------------------------------------------------- the end


def settle_round(state: RoundState, command: commands.SettleRound, context: Context) -> Events:
    """End a round in which all is called and paid: the surplus goes back in proportion to the cash that each paid in.

    Settling forgives what is owed, so nobody may owe who can still pay: only what members owe that are gone is given up.
    """
    context.require_office(Office.TREASURER)
    if isinstance(state, Refunding | Settled) and (isinstance(state, Settled) or state.end == "settled"):
        return ()
    current = live(state)
    books = current.books
    complete = len(books.tranches) == len(books.terms.tranches) or books.soundly_called >= books.goal
    if isinstance(current, Endangered) or not complete:
        raise Refused("not_all_called", "tranches are still to be called", remedy="call them, or have the goal reduced to what is called")
    if books.running:
        raise Refused(
            "calls_running", f"call {books.running[0]} has not cleared", remedy="wait until it has cleared, or its default is declared"
        )
    owing = sorted(member for member, account in books.accounts.items() if account.figures.owed and context.register.belongs(member))
    if owing:
        raise Refused(
            "default_open",
            f"{owing[0]} owes {shown(books, books.accounts[owing[0]].figures.owed)} and can still pay",
            remedy="wait until it is paid or taken over; a vote can expel the member, or cancel the round",
            clause="funding",
        )
    if any(account.offered for account in books.accounts.values()):
        raise Refused("delivery_open", "a delivery is not judged yet", remedy="accept or reject it (`consortium show`)")
    if books.reserved:
        raise Refused("spending_open", f"{shown(books, books.reserved)} is reserved", remedy="pay or withdraw what was proposed")
    return _end(current, "settled", "decision", context)


def cancel_round(state: RoundState, command: commands.CancelRound, context: Context) -> Events:
    """Give the round up: by a vote, or for a shortfall that no vote mended in time. A shortfall that is over cancels nothing."""
    if not (context.mandate or command.cause == "shortfall"):
        context.require_mandate()
    if not context.mandate:
        context.require_service()
    match state:
        case Endangered():
            if not context.mandate:
                require_due(context, state.decide_by)
            return _end(state, "cancelled", command.cause, context)
        case Committed() | Calling():
            return () if command.cause == "shortfall" else _end(state, "cancelled", command.cause, context)
        case Pledging(pledges=pledges) | Short(pledging=Pledging(pledges=pledges)):
            if command.cause == "shortfall":
                return ()
            told = notices("round_cancelled", pledges, "cancelled", round=context.stream)
            return (events.RoundCancelled(cause=command.cause, returns={}), events.RoundClosed(), *told)
        case Refunding() | Settled() | Cancelled() | Failed() | Withdrawn():
            return ()
        case Unopened() | Draft():
            raise Refused("not_pledging", "nobody has pledged yet", remedy="withdraw the draft (`consortium round withdraw-round`)")


def _end(current: Live, end: Literal["settled", "cancelled"], cause: Literal["decision", "shortfall"], context: Context) -> Events:
    """All unspent money becomes the members' credit: cash in proportion to the cash paid in, interest to those who earned it."""
    books = current.books
    shares = shared_interest(books)
    ordered = sum(spending.amount for spending in books.spendings.values() if spending.stage == "approved")
    returns = _in_proportion(books, max(books.totals.cash - books.spent - ordered - books.advanced, 0))
    over = events.RoundSettled(returns=returns) if end == "settled" else events.RoundCancelled(cause=cause, returns=returns)
    after = evolve(folded(current, shares), over)
    assert isinstance(after, Refunding)
    members = sorted(books.accounts)
    defaulters = (member for member in members if books.accounts[member].in_default)
    closed = () if held_back(after.books) else (events.RoundClosed(),)
    return (
        *shares,
        over,
        *closed,
        *facts(books, after.books, members, context, over=True),
        *(lifted(context, member, books) for member in defaulters),
        *notices(f"round_{end}", members, end, round=context.stream),
        owe(notify("refunds_due", STAFF, key="notice:refunds-due", round=context.stream, credit=shown(books, after.books.totals.credit))),
    )


def _in_proportion(books: Books, amount: int) -> dict[str, int]:
    """An amount shared by the cash that each paid in and did not get back."""
    paid = {member: account.figures.cash - account.figures.returned for member, account in books.accounts.items()}
    return {member: part for member, part in sorted(share(amount, paid).items()) if part}
