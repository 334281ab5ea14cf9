"""The rules of members' payments: what arrives settles what is due, or after the end what the member still owes.

What the bank takes back is in `reversals`.
"""

from __future__ import annotations

from collections.abc import Iterator

from domain import letters
from domain.kernel import Refused
from domain.process import Context, turn_away
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import BankReferenceUsed
from domain.round import events
from domain.round.books import Books, Movement
from domain.round.consequences import Decision, close, conclude, fold_phase, following, reopen
from domain.round.dues import settle
from domain.round.notices import notify_members
from domain.round.rules import Events, amount_text, is_repeated, live_or_none, require_currency, terms_of
from domain.round.state import ClosedWithDebts, Refunding, RoundState, books_of
from domain.round.winding_up import facts_after_end, notify_refunds, notify_taken_back, wind_up
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
    return (
        *opened,
        *decided,
        *further,
        *facts_after_end(books, after.books, context),
        *close(after, after.books, gone=0),
        *notify_refunds(after.books, f":{command.reference}", context),
        *notify_taken_back(books, after.books, f"payment:{command.reference}", context),
    )


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
