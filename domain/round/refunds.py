"""The rules of giving credit back: one member's, or everybody's by one order; and what becomes of each refund at the treasury."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain import letters
from domain.charter import Office
from domain.kernel import MemberId, PersonId, Refused, Slug, slug_of
from domain.money import share
from domain.process import Context, tell_treasury
from domain.register.facts import BankReferenceUsed
from domain.round import commands, events
from domain.round.books import Books, Movement, Refund
from domain.round.consequences import Decision, apply_credits, close, conclude, fold_holding, fold_phase, reopen
from domain.round.rules import Events, account_of, amount_text, holding, is_repeated, live_or_none, order_name, require_holder
from domain.round.set_off import after_refund
from domain.round.state import ClosedWithDebts, Ended, Live, Refunding, RoundState, books_of
from domain.round.terms import Duty
from domain.round.winding_up import facts_after_end, notify_taken_back, wind_up

# ---------------------------------------------------------------- ordering


def order_refund(state: RoundState, command: commands.OrderRefund, context: Context) -> Events:
    """Give a member's credit back: it is reserved for that, and ordered from the treasury."""
    books = _holding_for(state, context).books
    account = account_of(books, command.member)
    payment = order_name(context, "refund", command.refund)
    former = books.refunds.get(payment)
    if former is not None:
        if former.member == command.member and command.amount in {None, former.amount}:
            return ()
        raise Refused("refund_exists", f"{command.refund} names another refund", remedy="choose another name")
    amount = account.figures.credit if command.amount is None else command.amount
    if not amount or amount > account.figures.credit:
        raise Refused("refund_above_credit", f"the credit is {amount_text(books, account.figures.credit)}", remedy="refund at most that")
    free = books.free
    if amount > free:
        raise _above_held(books, free)
    order = letters.OrderPayment(
        payment=payment,
        source=context.stream,
        payee=f"member:{command.member}",
        amount=amount,
        currency=books.terms.currency,
        purpose=letters.Purpose.REFUND,
        subject=command.member,
        text=f"{slug_of(context.stream)} refund",
        ordered_by=context.actor,
    )
    return (events.RefundOrdered(payment=payment, member=command.member, amount=amount), tell_treasury(context, order, f"order:{payment}"))


def order_refunds(state: RoundState, _: commands.OrderRefunds, context: Context) -> Events:
    """Give everybody's credit back by one order, which is one list to approve at the treasury. While all of it is on its way nothing follows.

    Where less is left on the account than the members' credit, all get the same part of theirs.
    """
    books = _holding_for(state, context).books
    free = books.free
    if not books.totals.credit:
        if books.totals.refunding:
            return ()
        raise Refused(
            "nothing_to_refund", "no member has credit in this round", remedy="none is needed: `consortium show` tells who has credit"
        )
    if free <= 0:
        raise _above_held(books, free)
    return _one_list(books, {member: account.figures.credit for member, account in books.accounts.items()}, context)


def order_by_standing(books: Books, members: Iterable[MemberId], context: Context) -> Events:
    """The same by the standing order, of these members' credit: one list, which who approved the standing order approved beforehand."""
    return _one_list(books, {member: books.accounts[member].figures.credit for member in members}, context, standing=True)


def _one_list(books: Books, owed: Mapping[MemberId, int], context: Context, *, standing: bool = False) -> Events:
    order = max(books.refund_orders, default=0) + 1
    amounts = _amounts({member: credit for member, credit in owed.items() if credit}, books.free)
    refunds = {_payment_name(context, order, member): (member, amount) for member, amount in amounts.items()}
    name = order_name(context, "refunds", str(order))
    approved_by = tuple(sorted(books.standing.signed)) if standing else ()
    ordered = events.RefundsOrdered(order=order, payment_list=name, payments=tuple(refunds), by=context.actor, standing=standing)
    return (
        *(events.RefundOrdered(payment=payment, member=member, amount=amount) for payment, (member, amount) in refunds.items()),
        ordered,
        tell_treasury(context, _payment_list(context, books, name, refunds, approved_by), f"order:{name}"),
    )


def _holding_for(state: RoundState, context: Context) -> Live | Ended:
    """The phases in which credit goes back; refuses who does not hold the duty to see to that, first of all."""
    books = books_of(state)
    if books is None or books.watch is None or books.watch.duty not in {Duty.REFUND, Duty.PAY}:
        context.require_duty(Office.TREASURER)
    else:
        require_holder(books, books.watch.duty, context)
    return holding(state)


def _amounts(whole: Mapping[MemberId, int], free: int) -> Mapping[MemberId, int]:
    """What each gets of this order, in order of the members: all of its credit, or its part of what is left on the account."""
    parts = whole if sum(whole.values()) <= free else share(free, whole)
    named = [(member, amount) for member, amount in sorted(parts.items()) if amount]
    return dict(named[: letters.LISTED])


def _payment_name(context: Context, order: int, member: MemberId) -> Slug:
    return order_name(context, "refund", member, str(order))


def _payment_list(
    context: Context, books: Books, name: Slug, refunds: Mapping[Slug, tuple[MemberId, int]], approved_by: tuple[PersonId, ...]
) -> letters.OrderPaymentList:
    order = letters.OrderPaymentList(
        payment_list=name,
        source=context.stream,
        currency=books.terms.currency,
        text=f"{slug_of(context.stream)} refund",
        ordered_by=context.actor,
        refunds=tuple(letters.ListedRefund(payment=payment, member=member, amount=amount) for payment, (member, amount) in refunds.items()),
    )
    return order.model_copy(update={"approved_by": approved_by}) if approved_by else order


def _above_held(books: Books, free: int) -> Refused:
    return Refused(
        "refund_above_held",
        f"{amount_text(books, max(free, 0))} is left on the account for this round",
        clause="funding",
        remedy="refund at most that, and the rest when what the bank took back is paid again",
    )


# ---------------------------------------------------------------- what becomes of it


def record_refund(state: RoundState, command: letters.RecordRefund, context: Context) -> Events:
    """An ordered refund left the account, once; the round closes with the last one."""
    books = books_of(state)
    refund = _refund_of(books, command.payment, command.member, command.amount)
    if books is None or refund.stage == "made":
        return ()
    if is_repeated(context, books, command.reference, Movement("refund", command.payment, command.amount)):
        return ()
    if refund.stage == "released":
        raise Refused("refund_released", "it was given up, and is credit again", remedy="order it anew (`consortium round order-refunds`)")
    made = events.RefundMade(payment=command.payment, member=command.member, amount=command.amount, reference=command.reference)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    after = fold_holding(holding(state), (made,))
    answers = after_refund(after, command.member, context)
    return (made, used, *answers, *close(state, fold_holding(after, answers).books, gone=0))


def return_refund(state: RoundState, command: letters.ReturnRefund, context: Context) -> Events:
    """A refund came back: it is on its way again, until it is paid anew or given up. A round that had closed is open again for it."""
    books = books_of(state)
    refund = _refund_of(books, command.payment, command.member, command.amount)
    if books is None:
        return ()
    if is_repeated(context, books, command.reference, Movement("refund-return", command.payment, command.amount)):
        return ()
    if refund.stage != "made":
        raise Refused("refund_not_made", "it was not made", remedy="try again once its payment is recorded here")
    back = events.RefundReturned(payment=command.payment, member=command.member, amount=command.amount, reference=command.reference)
    return (*reopen(state), back, BankReferenceUsed(reference=command.reference, source=context.stream))


def release_refund(state: RoundState, command: letters.ReleaseRefund, context: Context) -> Events:
    """The treasury gave the refund up: it is credit again, and pays what the member owes meanwhile.

    Once the round is over it is nobody's while a payment that the bank took back is missing; then the member is told.
    """
    refund = _refund_of(books_of(state), command.payment, command.member, command.amount)
    if refund.stage != "ordered":
        return ()
    released = events.RefundReleased(payment=command.payment, member=command.member, amount=command.amount, reason=command.reason)
    current = live_or_none(state)
    if isinstance(state, Refunding | ClosedWithDebts):
        decided = (released, *wind_up(fold_phase(state, (released,)), context))
        decided = (*decided, *after_refund(fold_phase(state, decided), command.member, context))
        after = fold_phase(state, decided).books
        notices = notify_taken_back(state.books, after, f"refund:{command.payment}", context)
        return (*decided, *close(state, after, gone=0), *facts_after_end(state.books, after, context), *notices)
    if current is None:
        return (released,)
    decision = apply_credits(Decision.of(current, released), (command.member,), context)
    return conclude(decision.then(*after_refund(decision.after, command.member, context)), (command.member,), context)


def _refund_of(books: Books | None, payment: Slug, member: MemberId, amount: int) -> Refund:
    """The refund that was ordered under this name, of this member and amount."""
    refund = books.refunds.get(payment) if books else None
    if refund is None or (refund.member, refund.amount) != (member, amount):
        raise Refused(
            "no_such_refund",
            f"no refund of that amount was ordered as {payment}",
            remedy="order it first (`consortium round order-refunds`)",
        )
    return refund
