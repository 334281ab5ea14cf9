"""The rules of set-off: what a round owes a member pays what the member owes elsewhere, by no payment of a bank.

The stream that the member owes on asks, and is answered with what was taken: at most what it asked for, and what a refund order could
give now. Credit that is on its way back by an order is left alone. Each set-off of a stream is answered once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Final, get_args

from domain import letters
from domain.kernel import MemberId, mapping, reply
from domain.money import share
from domain.process import Context
from domain.register.facts import CreditStated
from domain.round import commands, events
from domain.round.booking import set_off_key
from domain.round.books import Books, SetOff
from domain.round.consequences import Decision, apply_credits, close, conclude, fold_holding, fold_phase, following, reopen
from domain.round.rules import Events, charter_of, live_or_none
from domain.round.state import Calling, ClosedWithDebts, Committed, Endangered, Ended, Live, Refunding, RoundState, books_of
from domain.round.winding_up import facts_after_end, notify_taken_back, wind_up
from domain.stream import StepEvent, StepOwed, owe

if TYPE_CHECKING:
    from typing_extensions import TypeIs


# ---------------------------------------------------------------- being asked


def set_off_credit(state: RoundState, command: letters.SetOffCredit, context: Context) -> Events:
    """What is payable to the member pays what it owes elsewhere, as far as that goes; the stream that asked is told how far.

    Asked again nothing follows. While nothing is payable and a refund is on its way, the answer waits for it where the stream says so.
    """
    books = books_of(state)
    if books is not None and set_off_key(command.debtor, command.number) in books.set_offs:
        return ()
    if books is None or not isinstance(state, Committed | Calling | Endangered | Refunding | ClosedWithDebts):
        return (_answer(context, SetOff(command.member, command.debtor, command.number, 0)),)
    asked = SetOff(command.member, command.debtor, command.number, command.amount)
    account = books.accounts.get(command.member)
    if account is not None and command.after_refunds and not payable(books, command.member) and account.figures.refunding:
        return (events.SetOffDeferred(member=asked.member, debtor=asked.debtor, number=asked.number, amount=asked.amount),)
    taken = _taken(state, asked, context, known=command.currency == books.terms.currency)
    after = fold_holding(state, taken[:1])
    return (*taken, *close(state, after.books, gone=0))


def _taken(state: Live | Ended, asked: SetOff, context: Context, *, known: bool = True) -> tuple[events.CreditSetOff, StepOwed]:
    """As much as is payable of what was asked; nothing in a currency that is not `known` here."""
    amount = min(asked.amount, payable(state.books, asked.member)) if known else 0
    taken = events.CreditSetOff(member=asked.member, debtor=asked.debtor, number=asked.number, amount=amount)
    return taken, _answer(context, asked._replace(amount=amount))


def payable(books: Books, member: MemberId) -> int:
    """What a refund order could give the member now: its credit; where less is on the account than all credit, and than what was earmarked
    for spending leaves, its part of that.
    """
    account, free = books.accounts.get(member), books.unreserved
    if account is None or not account.figures.credit or free <= 0:
        return 0
    if books.totals.credit <= free:
        return account.figures.credit
    return share(free, {each: other.figures.credit for each, other in books.accounts.items()})[member]


def _answer(context: Context, taken: SetOff) -> StepOwed:
    """The step by which the stream that asked is told how much was taken."""
    letter = letters.RecordSetOff(source=context.stream, number=taken.number, amount=taken.amount)
    return owe(reply(taken.debtor, letter, key=f"tell:set-off:{set_off_key(taken.debtor, taken.number)}"))


# ---------------------------------------------------------------- once refunds are made or given up


def after_refund(state: Live | Ended, member: MemberId, context: Context) -> Events:
    """The answers to what waited for the member's refunds, once one of them is credit again, or none is on its way any more."""
    answers: list[events.CreditSetOff | StepOwed] = []
    waiting = (each for each in state.books.set_offs.values() if each.waits and each.member == member)
    for asked in sorted(waiting, key=lambda each: (each.debtor, each.number)):
        if payable(state.books, member) or not state.books.accounts[member].figures.refunding:
            taken = _taken(state, asked, context)
            state, answers = fold_holding(state, taken[:1]), [*answers, *taken]
    return tuple(answers)


# ---------------------------------------------------------------- what was more than the member owed


def restore_credit(state: RoundState, command: letters.RestoreCredit, context: Context) -> Events:
    """What was taken and not owed is the member's credit again, and pays what it owes here. A round that had closed is open again for it."""
    books = books_of(state)
    former = books.set_offs.get(set_off_key(command.debtor, command.number)) if books else None
    if former is None or former.waits or (former.member, former.restored) != (command.member, 0) or command.amount > former.amount:
        return ()
    restored = events.CreditRestored(member=command.member, debtor=command.debtor, number=command.number, amount=command.amount)
    current = live_or_none(state)
    if current is None:
        return _restored_after_end(state, restored, context)
    return conclude(apply_credits(Decision.of(current, restored), (command.member,), context), (command.member,), context)


def _restored_after_end(state: RoundState, restored: events.CreditRestored, context: Context) -> Events:
    back: Events = (*reopen(state), restored)
    over = following(state, back)
    assert isinstance(over, Refunding | ClosedWithDebts)
    further = wind_up(over, context)
    after = fold_phase(over, further)
    notices = notify_taken_back(over.books, after.books, f"restored:{set_off_key(restored.debtor, restored.number)}", context)
    return (*back, *further, *facts_after_end(over.books, after.books, context), *close(after, after.books, gone=0), *notices)


# ---------------------------------------------------------------- what everybody knows of it

Decide = Callable[[RoundState, commands.RoundCommand, Context], Events]


def stating_credits(decide: Decide) -> Decide:
    """The same decisions, which state besides what they make payable to members: by that a member's other streams know what to ask for."""

    @wraps(decide)
    def stating(state: RoundState, command: commands.RoundCommand, context: Context) -> Events:
        decided = decide(state, command, context)
        return (*decided, *_credits_stated(state, decided, context))

    return stating


def _credits_stated(state: RoundState, decided: Events, context: Context) -> Iterator[CreditStated]:
    books = books_of(state)
    if books is None or not charter_of(context, books.charter_version).treasury.set_off_notice_business_days:
        return
    changed = {member for event in decided if not isinstance(event, StepEvent) for member in _whose_credit(event)}
    if not changed and not _is_short(books):
        return
    after = books_of(following(state, decided))
    assert after is not None, "a round that has books keeps them"
    for member in sorted(after.accounts if _is_short(books) or _is_short(after) else changed):
        refunding, due = after.accounts[member].figures.refunding, payable(after, member)
        known = context.register.credits.get(member, mapping()).get(context.stream)
        if (due, refunding) != ((known.payable, known.refunding) if known else (0, 0)):
            yield CreditStated(
                member=member,
                source=context.stream,
                payable=due,
                refunding=refunding,
                currency=books.terms.currency,
                since=books.terms.opens_at,
            )


def _is_short(books: Books) -> bool:
    """Whether less is free than the members' credit: then what is payable to each depends on all of it."""
    return books.totals.credit > books.unreserved


_Elsewhere = (
    events.RegisterFact
    | events.PledgingEvent
    | events.CallEvent
    | events.LadderEvent
    | events.CommitmentEvent
    | events.InKindEvent
    | events.SpendingEvent
    | events.DutyEvent
    | events.StandingEvent
    | events.RoundClosedWithDebts
    | events.DebtsAskedFor
    | events.MinimumLost
    | events.MinimumRestored
    | events.RoundClosed
    | events.RoundReopened
    | events.ReversalTurnedAway
    | events.RefundsOrdered
    | events.SetOffDeferred
    | events.ShareReduced
)
"""Facts that change nobody's credit. The type checker names an event that is neither here nor in `_whose_credit`."""
_ELSEWHERE: Final = frozenset(get_args(_Elsewhere))


def _is_elsewhere(event: events.RoundEvent) -> TypeIs[_Elsewhere]:
    return type(event) in _ELSEWHERE


def _whose_credit(event: events.RoundEvent) -> Iterable[MemberId]:
    """Whose credit, or refunds on their way, a fact may change."""
    if _is_elsewhere(event):
        return ()
    match event:
        case events.PaymentRecorded(member=member, credited=credited):
            return (member,) if credited else ()
        case (
            events.CreditApplied(member=member)
            | events.PaymentReversed(member=member)
            | events.RefundOrdered(member=member)
            | events.RefundMade(member=member)
            | events.RefundReturned(member=member)
            | events.RefundReleased(member=member)
            | events.CreditSetOff(member=member)
            | events.CreditRestored(member=member)
        ):
            return (member,)
        case events.InterestShared(credits=amounts):
            return amounts
        case events.MakeUpReduced(repaid=repaid):
            return repaid
        case events.SurplusReturned(returns=amounts) | events.RoundSettled(returns=amounts) | events.RoundCancelled(returns=amounts):
            return amounts
