"""The rules of spending what cleared: two people of the consortium, then the treasury."""

from __future__ import annotations

from domain import letters
from domain.charter import Office
from domain.kernel import Refused, Slug, notify, slug_of
from domain.process import Context, tell_treasury
from domain.register.facts import BankReferenceUsed
from domain.round import commands, events
from domain.round.books import Books, Movement, Spending
from domain.round.consequences import close, fold_phase, reopen
from domain.round.rules import Events, amount_text, is_repeated, order_name, require_above_minimum
from domain.round.state import Calling, ClosedWithDebts, Committed, Endangered, Ended, Live, Refunding, RoundState, books_of
from domain.round.winding_up import facts_after_end, notify_taken_back, wind_up
from domain.stream import StepOwed, owe


def propose_spending(state: Live, command: commands.ProposeSpending, context: Context) -> Events:
    """Reserve cleared money under a budget line: never is more committed to spending than has cleared."""
    context.require_duty(Office.TREASURER)
    context.require_disinterested(command.payee)
    books = state.books
    former = books.spendings.get(command.spending)
    if former is not None:
        if (former.line, former.amount, former.payee) == (command.line, command.amount, command.payee):
            return ()
        raise Refused("spending_exists", f"{command.spending} names another spending", remedy="choose another name")
    require_above_minimum(state)
    if command.line not in books.budget:
        raise Refused("no_such_line", "the budget has no such line", remedy=f"name one of: {', '.join(sorted(books.budget))}")
    free = books.budget[command.line] - books.lines.get(command.line, 0)
    if command.amount > free:
        raise Refused("line_exceeded", f"{amount_text(books, free)} of the line is free", remedy="spend less, or under another line")
    if command.amount > books.spendable:
        raise Refused(
            "more_than_cleared",
            f"{amount_text(books, books.spendable)} has cleared and is free",
            remedy="wait until more has cleared",
            clause="funding",
        )
    proposed = events.SpendingProposed(
        spending=command.spending, line=command.line, amount=command.amount, payee=command.payee, by=context.actor
    )
    sharing = context.register.sharing_account(command.payee)
    facts = {"round": context.stream} | ({"same_account_as": ", ".join(sharing)} if sharing else {})
    notice = notify("spending_to_approve", ("office:second-signatory",), key=f"notice:spending:{command.spending}", **facts)
    return (proposed, owe(notice))


def approve_spending(state: Live, command: commands.ApproveSpending, context: Context) -> Events:
    """The second signature, of another person, while the money is still there."""
    context.require_office(Office.SECOND_SIGNATORY)
    spending = _spending_of(state.books, command.spending)
    context.require_not_own(spending.proposed_by, "proposed it", remedy="ask another second signatory")
    context.require_disinterested(spending.payee)
    match spending.stage:
        case "approved" | "paid":
            return ()
        case "withdrawn":
            raise _spending_withdrawn()
        case "proposed":
            context.require_independent((spending.proposed_by,))
            require_above_minimum(state)
            _require_not_taken_back(state.books)
            approved = events.SpendingApproved(spending=command.spending, by=context.actor)
            return (approved, _order_payment(command.spending, spending, state.books, context))


def _require_not_taken_back(books: Books) -> None:
    if books.spendable < 0:
        raise Refused(
            "more_than_cleared",
            f"{amount_text(books, -books.spendable)} of it was taken back since it was proposed",
            remedy="wait until it is paid again, or withdraw the spending",
            clause="funding",
        )


def _order_payment(name: Slug, spending: Spending, books: Books, context: Context) -> StepOwed:
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
    return tell_treasury(context, order, f"order:{payment}")


def withdraw_spending(state: Live, command: commands.WithdrawSpending, context: Context) -> Events:
    """Free what was reserved, as long as its payment was not ordered; after that the treasury gives it up, and frees it."""
    context.require_duty(Office.TREASURER)
    match _spending_of(state.books, command.spending).stage:
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


def record_spending(state: Live | Ended, command: letters.RecordSpending, context: Context) -> Events:
    """What was approved was paid: this amount, to this payee, once."""
    books = state.books
    spending = _spending_of(books, command.spending)
    if is_repeated(context, books, command.reference, Movement("spending", command.spending, spending.amount)):
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
            return (paid, used, *close(state, books, gone=spending.amount))


def return_spending(state: RoundState, command: letters.ReturnSpending, context: Context) -> Events:
    """The payment came back: the money is reserved again, until it is paid anew or given up. A round that had closed is open again for it."""
    books = books_of(state)
    if books is None:
        return ()
    spending = _spending_of(books, command.spending)
    if is_repeated(context, books, command.reference, Movement("spending-return", command.spending, spending.amount)):
        return ()
    match spending.stage:
        case "paid":
            used = BankReferenceUsed(reference=command.reference, source=context.stream)
            return (*reopen(state), events.SpendingReturned(spending=command.spending, reference=command.reference), used)
        case "proposed" | "approved" | "withdrawn":
            raise Refused("spending_not_paid", "it was not paid", remedy="try again once its payment is recorded here")


def release_spending(state: RoundState, command: letters.ReleaseSpending, context: Context) -> Events:
    """The treasury gave the payment up: what was reserved is free, and beyond the round's end the members' credit."""
    if not isinstance(state, Committed | Calling | Endangered | Refunding | ClosedWithDebts):
        return ()
    books = state.books
    spending = _spending_of(books, command.spending)
    if spending.stage != "approved":
        return ()
    withdrawn = events.SpendingWithdrawn(spending=command.spending)
    if not isinstance(state, Refunding | ClosedWithDebts):
        return (withdrawn,)
    freed = fold_phase(state, (withdrawn,))
    further = wind_up(freed, context)
    after = fold_phase(freed, further)
    closed = close(after, after.books, gone=0)
    notices = notify_taken_back(books, after.books, f"spending:{command.spending}", context)
    return (withdrawn, *further, *closed, *facts_after_end(books, after.books, context), *notices)


def _spending_of(books: Books, name: Slug) -> Spending:
    spending = books.spendings.get(name)
    if spending is None:
        raise Refused("no_such_spending", f"nobody proposed {name}", remedy="propose it first (`consortium round propose-spending`)")
    return spending


def _spending_withdrawn() -> Refused:
    return Refused("spending_withdrawn", "it was withdrawn", remedy="propose it anew under another name")
