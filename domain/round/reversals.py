"""The rules of payments that the bank takes back: what they had settled is owed again.

While a round goes on, that is all that they had settled, on the same calls. Once it is over nothing is called any more, and a member owes its
share of what was spent: so much of it is owed again, and what went back to the member, with the default that it would be in. What had become
the others' surplus is theirs no more, as far as they still have it; it comes back to them when the member pays.
"""

from __future__ import annotations

from collections.abc import Iterator

from domain import letters
from domain.kernel import MemberId
from domain.process import Context, turn_away
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import BankReferenceUsed
from domain.round import events
from domain.round.books import Books, Movement, Receipt
from domain.round.consequences import Decision, apply_credits, close, conclude, fold_phase, following, reopen, suspend_for_default
from domain.round.dues import next_bill, owed_again, undo
from domain.round.notices import bills, notify_members
from domain.round.rules import Events, amount_text, is_repeated, live_or_none, terms_of
from domain.round.state import ClosedWithDebts, Ended, Refunding, RoundState, books_of
from domain.round.terms import Settlement, Stage
from domain.round.winding_up import asked_by, facts_after_end, notify_taken_back, share_again, surplus_taken_back, wind_up
from domain.stream import StepOwed


def reverse_payment(state: RoundState, command: letters.ReversePayment, context: Context) -> Events:
    """The bank took a payment back: what it had settled is owed again, its credit is gone. A round that had closed is open again for it.

    While the round goes on, what went back to the member meanwhile cannot be undone here: then the movement goes to the treasury's inbox.
    """
    books = books_of(state)
    if books is None:
        return (turn_away(context, command.reference, "the payment that it undoes is not booked here"),)
    if is_repeated(context, books, command.reference, Movement("reversal", command.member, command.amount)):
        return ()
    receipt = books.receipts.get(command.original)
    if receipt is None or (receipt.member, receipt.amount) != (command.member, command.amount):
        return _reverse_unknown(state, books, command, context)
    undone, current = _undo(books, command, receipt, context), live_or_none(state)
    if current is None:
        return _reverse_after_end(state, undone, context)
    if undone.gone_back:
        return (_went_back(undone, context),)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    reversal = Decision.of(current, undone, used, *_reopened_calls(books, undone, context))
    reversal = apply_credits(reversal, (command.member,), context)
    return (*conclude(reversal, (command.member,), context), *_notify_reversed(reversal.after.books, undone, context))


def _reverse_unknown(state: RoundState, books: Books, command: letters.ReversePayment, context: Context) -> Events:
    """The payment was never booked here, or was taken back before: a person decides, and it is not taken should it still come."""
    if books.gone.get(command.original) == command.reference:
        return ()
    turned_away = turn_away(context, command.reference, "the payment that it undoes is not booked here")
    if command.original in books.movements or command.original in books.gone:
        return (turned_away,)
    opened = reopen(state)
    closed = close(following(state, opened), books, gone=0) if opened else ()
    return (*opened, events.ReversalTurnedAway(reference=command.reference, original=command.original), turned_away, *closed)


def _undo(books: Books, command: letters.ReversePayment, receipt: Receipt, context: Context) -> events.PaymentReversed:
    """What the payment had settled, and of its credit what is left or has settled something since; the rest of it went back."""
    account, rate = books.accounts[receipt.member], terms_of(context, books).default_interest
    credit = min(account.figures.credit, receipt.credited)
    applied, since = undo(account.applied, receipt.credited - credit)
    undone = (*receipt.settled, *since)
    principal, interest = sum(part.principal for part in undone), sum(part.interest for part in undone)
    return events.PaymentReversed(
        member=receipt.member,
        amount=receipt.amount,
        reference=command.reference,
        original=command.original,
        credit=credit,
        uncleared=principal,
        interest=interest,
        undone=undone,
        applied=applied,
        dues=owed_again(books, account.dues, undone, rate),
        gone_back=receipt.amount - credit - principal - interest,
    )


def _went_back(undone: events.PaymentReversed, context: Context) -> StepOwed:
    return turn_away(context, undone.reference, "what it takes back went back to the member meanwhile")


# ---------------------------------------------------------------- while the round goes on


def _reopened_calls(books: Books, undone: events.PaymentReversed, context: Context) -> tuple[events.CallReopened, ...]:
    """The calls that the member owes on again and whose ladder has ended without it: it goes on from where their days are now."""
    in_default = books.accounts[undone.member].in_default
    calls = (books.calls[number] for number in sorted({part.call for part in undone.undone}))
    ended = (call for call in calls if call.stage is Stage.CLEARED or (call.stage is Stage.DEFAULTED and not in_default))
    return tuple(events.CallReopened(call=call.number, stage=call.stage_at(context.at)) for call in ended)


def _notify_reversed(books: Books, undone: events.PaymentReversed, context: Context) -> Iterator[StepOwed]:
    """The member is told what was taken back, and what it is asked for now, of this payment or otherwise."""
    member, account = undone.member, books.accounts[undone.member]
    if not account.dues:
        return _notify_nothing_owed(books, undone, context)
    asked = next_bill(books, account, terms_of(context, books).default_interest)
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


def _notify_nothing_owed(books: Books, undone: events.PaymentReversed, context: Context) -> Iterator[StepOwed]:
    """The member is told what was taken back, and that it owes nothing all the same."""
    key, taken_back = f"reversed:{undone.reference}", amount_text(books, undone.amount)
    return notify_members("payment_reversed_nothing_owed", (undone.member,), key, round=context.stream, taken_back=taken_back)


# ---------------------------------------------------------------- after its end


def _reverse_after_end(state: RoundState, undone: events.PaymentReversed, context: Context) -> Events:
    """As if the payment had never come: its member owes its share of what was spent, and what went back to it; nobody keeps what came of it."""
    opened = reopen(state)
    before = following(state, opened)
    assert isinstance(before, Refunding | ClosedWithDebts)
    if undone.gone_back and not before.books.pools:
        return (_went_back(undone, context),)
    undone = _claimed(before.books, undone, context)
    decided: Events = (undone, BankReferenceUsed(reference=undone.reference, source=context.stream))
    taken = surplus_taken_back(fold_phase(before, decided).books, undone.member)
    decided = (*decided, events.SurplusReturned(returns={member: -amount for member, amount in taken.items()})) if taken else decided
    decided = (*decided, *share_again(before.books, fold_phase(before, decided).books, undone, context))
    decided = (*decided, *wind_up(fold_phase(before, decided), context))
    decided = (*decided, *_in_default_again(fold_phase(before, decided), undone.member, context))
    after = fold_phase(before, decided)
    return (
        *opened,
        *decided,
        *facts_after_end(before.books, after.books, context),
        *close(after, after.books, gone=0),
        *_notify_after_end(after.books, undone, context),
        *notify_taken_back(before.books, after.books, f"reversed:{undone.reference}", context, but=undone.member),
    )


def _claimed(books: Books, undone: events.PaymentReversed, context: Context) -> events.PaymentReversed:
    """The same, with what went back to the member as if the last tranche had called it, and what each member bears of what was spent.

    Where the round did not say what each bears, that is in proportion to the cash that each had paid: all of it went by that until now.
    """
    carried = (
        {} if books.carried else {member: paid for member, account in sorted(books.accounts.items()) if (paid := account.figures.cash)}
    )
    if not undone.gone_back:
        return undone.model_copy(update={"carried": carried})
    last, rate = books.pools[-1], terms_of(context, books).default_interest
    since = max(context.at.date(), books.calls[last].schedule.due_on)
    claim = Settlement(call=last, pool=last, principal=undone.gone_back, accrued_to=since)
    dues = owed_again(books, undone.dues, (claim,), rate)
    return undone.model_copy(update={"carried": carried, "undone": (*undone.undone, claim), "dues": dues})


def _in_default_again(state: Ended, member: MemberId, context: Context) -> Events:
    """A member that owes principal of a call whose time to cure is over is in default, with what follows: as it would be without the payment."""
    books, account = state.books, state.books.accounts[member]
    calls = [books.calls[due.call] for due in account.dues if due.principal]
    late = [call for call in calls if call.schedule.cure_ends_at <= context.at]
    if account.in_default or not late:
        return ()
    key = f"in-default:{member}:{account.defaults + 1}"
    told = notify_members(
        "in_default_after_end",
        (member,),
        key,
        each=bills(context, books, (member,), asked_by(books, member, context)),
        round=context.stream,
    )
    return (events.MemberDefaulted(member=member, call=late[0].number), suspend_for_default(context, member, books), *told)


def _notify_after_end(books: Books, undone: events.PaymentReversed, context: Context) -> Iterator[StepOwed]:
    """The member is told what was taken back and what it owes now."""
    member, key, taken_back = undone.member, f"reversed:{undone.reference}", amount_text(books, undone.amount)
    if not books.accounts[member].dues:
        return _notify_nothing_owed(books, undone, context)
    each = bills(context, books, (member,), asked_by(books, member, context))
    return notify_members("payment_reversed_after_end", (member,), key, each=each, round=context.stream, taken_back=taken_back)
