"""The rules of members' payments: what arrives settles what is due, and what the bank takes back is owed again."""

from __future__ import annotations

from collections.abc import Iterator

from domain import letters
from domain.kernel import Refused
from domain.money import share_under_caps
from domain.process import Context, turn_away
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import BankReferenceUsed
from domain.round import events
from domain.round.books import Books, Movement, Receipt
from domain.round.consequences import Decision, apply_credits, close, conclude, contributions, fold_phase, following, reopen
from domain.round.dues import Bill, next_bill, owed_again, settle, undo
from domain.round.notices import notify_members
from domain.round.rules import Events, amount_text, is_repeated, live_or_none, require_currency, terms_of
from domain.round.state import Calling, ClosedWithDebts, Committed, Endangered, Ended, Live, Refunding, RoundState, books_of
from domain.round.terms import Stage
from domain.round.winding_up import facts_after_end, notify_refunds, wind_up
from domain.stream import StepOwed


def record_payment(state: RoundState, command: letters.RecordPayment, context: Context) -> Events:
    """Cleared money settles the principal of all that is due, the oldest first, then its interest, then what is not due yet; the rest is
    credit.

    Money for a round that takes none, of nobody in it, or that the bank has taken back, goes back to the treasury's inbox.
    """
    member, reference = command.member, command.reference
    movement, former = Movement("payment", member, command.amount), books_of(state)
    if former is not None and is_repeated(context, former, reference, movement):
        return ()
    current = live_or_none(state)
    if current is None:
        owing = former is not None and member in former.accounts and bool(former.accounts[member].dues)
        return _paid_after_end(state, command, context) if owing else (turn_away(context, reference, "the round takes no payments now"),)
    require_currency(context, command.currency)
    books = current.books
    if member not in books.accounts:
        return (turn_away(context, reference, f"{member} has no commitment in this round"),)
    not_taken = _not_taken(books, command, context)
    if not_taken is not None:
        return (not_taken,)
    recorded = _recorded(books, command, context)
    used = BankReferenceUsed(reference=reference, source=context.stream)
    decision = Decision.of(current, recorded, used)
    return (*conclude(decision, (member,), context), *_notify_interest(decision.after.books, recorded, context))


def _paid_after_end(state: RoundState, command: letters.RecordPayment, context: Context) -> Events:
    """A member pays what it still owes of a round that is over: it comes to those who paid beyond their share, and to who paid in time."""
    opened = reopen(state)
    before = following(state, opened)
    assert isinstance(before, Refunding | ClosedWithDebts)
    books = before.books
    refused = _not_taken(books, command, context)
    if refused is not None:
        return (refused,)
    recorded = _recorded(books, command, context)
    decided: Events = (recorded, BankReferenceUsed(reference=command.reference, source=context.stream))
    further = wind_up(fold_phase(before, decided), context)
    after = fold_phase(before, (*decided, *further))
    told = (notify_refunds(after.books, f":{command.reference}", context),) if after.books.totals.credit else ()
    return (*opened, *decided, *further, *close(after, after.books, gone=0), *facts_after_end(books, after.books, context), *told)


def _not_taken(books: Books, command: letters.RecordPayment, context: Context) -> StepOwed | None:
    """Refuses money in another currency, or of a day to come; the step that sends back what the bank took back before it came."""
    require_currency(context, command.currency)
    if command.reference in books.gone:
        return turn_away(context, command.reference, "the bank took it back before it came")
    if command.value_date > context.at.date():
        raise Refused("value_date_in_the_future", f"{command.value_date} has not come", remedy="record it once the money is there")
    return None


def _recorded(books: Books, command: letters.RecordPayment, context: Context) -> events.PaymentRecorded:
    dues, rate = books.accounts[command.member].dues, terms_of(context, books).default_interest
    settled, left = settle(books, dues, command.amount, command.value_date, rate)
    return events.PaymentRecorded(
        member=command.member,
        amount=command.amount,
        reference=command.reference,
        value_date=command.value_date,
        settled=settled,
        dues=left,
        credited=command.amount - sum(part.total for part in settled),
    )


def _notify_interest(books: Books, recorded: events.PaymentRecorded, context: Context) -> Iterator[StepOwed]:
    """Who paid a call and not its interest is told what is left, and that the next call asks for it."""
    left = sum(due.interest for due in recorded.dues if not due.principal)
    if left:
        yield from notify_members(
            "interest_left",
            (recorded.member,),
            f"interest-left:{recorded.reference}",
            round=context.stream,
            interest=amount_text(books, left),
            reference=shown_reference(creditor_reference(context.stream, recorded.member)),
        )


def reverse_payment(state: RoundState, command: letters.ReversePayment, context: Context) -> Events:
    """The bank took a payment back: exactly what it had settled is owed again, as if it had never come; its credit is gone.

    What went back to the member meanwhile cannot be undone here: then the movement goes to the treasury's inbox.
    """
    books, member, amount = books_of(state), command.member, command.amount
    if books is None or not isinstance(state, Committed | Calling | Endangered | Refunding | ClosedWithDebts):
        return (turn_away(context, command.reference, "the payment that it undoes is not booked here"),)
    if is_repeated(context, books, command.reference, Movement("reversal", member, amount)):
        return ()
    receipt = books.receipts.get(command.original)
    if receipt is None or (receipt.member, receipt.amount) != (member, amount):
        return _reverse_unknown(books, command, context)
    undone = _undo_payment(state, command, receipt, context)
    if undone is None:
        return (turn_away(context, command.reference, "what it takes back went back to the member meanwhile"),)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    if isinstance(state, Refunding | ClosedWithDebts):
        return _reverse_after_end(state, undone, used, context)
    reversal = apply_credits(Decision.of(state, undone, used, *_reopened_calls(books, undone, context)), (member,), context)
    return (*conclude(reversal, (member,), context), *_notify_reversed(reversal.after.books, undone, context))


def _notify_reversed(books: Books, undone: events.PaymentReversed, context: Context) -> Iterator[StepOwed]:
    """The member is told what was taken back, and what it is asked for now, of this payment or otherwise."""
    member, account = undone.member, books.accounts[undone.member]
    rate, today = terms_of(context, books).default_interest, context.at.date()
    asked = next_bill(books, account, rate) if account.dues else Bill(today, 0, 0)
    return notify_members(
        "payment_reversed",
        (member,),
        f"reversed:{undone.reference}",
        round=context.stream,
        amount=amount_text(books, undone.amount),
        owed=amount_text(books, sum(part.total for part in undone.undone)),
        to_pay=amount_text(books, asked.amount),
        pay_by=asked.pay_by.isoformat(),
        per_day=amount_text(books, asked.per_day),
        reference=shown_reference(creditor_reference(context.stream, member)),
    )


def _reverse_unknown(books: Books, command: letters.ReversePayment, context: Context) -> Events:
    """The payment was never booked here, or was taken back before: a person decides, and it is not taken should it still come."""
    if books.gone.get(command.original) == command.reference:
        return ()
    turned_away = turn_away(context, command.reference, "the payment that it undoes is not booked here")
    if command.original in books.movements or command.original in books.gone:
        return (turned_away,)
    return (events.ReversalTurnedAway(reference=command.reference, original=command.original), turned_away)


def _undo_payment(
    state: Live | Ended, command: letters.ReversePayment, receipt: Receipt, context: Context
) -> events.PaymentReversed | None:
    """What the payment had settled, and of its credit what is left or has settled something since; none when some of it went back."""
    books, member = state.books, receipt.member
    account = books.accounts[member]
    whole = events.PaymentReversed(
        member=member, amount=receipt.amount, reference=command.reference, original=command.original, credit=receipt.amount, uncleared=0
    )
    if isinstance(state, Refunding | ClosedWithDebts):
        credit = min(account.figures.credit, receipt.amount)
        lost = receipt.amount - credit
        if lost > account.figures.cash - account.figures.returned:
            return None
        return whole.model_copy(update={"credit": credit, "uncleared": lost})
    credit = min(account.figures.credit, receipt.credited)
    applied, since = undo(account.applied, receipt.credited - credit)
    undone = (*receipt.settled, *since)
    principal, interest = sum(part.principal for part in undone), sum(part.interest for part in undone)
    if credit + principal + interest < receipt.amount:
        return None
    dues = owed_again(books, account.dues, undone, terms_of(context, books).default_interest)
    parts = {"credit": credit, "uncleared": principal, "interest": interest, "undone": undone, "applied": applied, "dues": dues}
    return whole.model_copy(update=parts)


def _reopened_calls(books: Books, undone: events.PaymentReversed, context: Context) -> tuple[events.CallReopened, ...]:
    """The calls that the member owes on again and whose ladder has ended without it: it goes on from where their days are now."""
    in_default = books.accounts[undone.member].in_default
    calls = (books.calls[number] for number in sorted({part.call for part in undone.undone}))
    ended = (call for call in calls if call.stage is Stage.CLEARED or (call.stage is Stage.DEFAULTED and not in_default))
    return tuple(events.CallReopened(call=call.number, stage=call.stage_at(context.at)) for call in ended)


def _reverse_after_end(state: Ended, undone: events.PaymentReversed, used: BankReferenceUsed, context: Context) -> Events:
    """Nothing can be called again: what the member's credit does not cover, less of the surplus is there for the others."""
    books = state.books
    others = {member: min(account.figures.credit, account.figures.returned) for member, account in books.accounts.items()}
    others = {member: amount for member, amount in sorted(others.items()) if amount > 0 and member != undone.member}
    if undone.uncleared > sum(others.values()):
        return (turn_away(context, undone.reference, "what it takes back went back to the members meanwhile"),)
    taken = share_under_caps(undone.uncleared, others, others)
    less = events.SurplusReturned(returns={member: -amount for member, amount in taken.items() if amount})
    decided: Events = (undone, used, less) if less.returns else (undone, used)
    after = fold_phase(state, decided)
    touched = sorted({undone.member, *less.returns})
    return (*decided, *close(after, after.books, gone=0), *contributions(books, after.books, touched, context))
