"""What follows from any change of a round's books.

`conclude` is the one place that draws the consequences: a decision states what happened, and the register's facts, the cleared calls,
the cured defaults and the test of the minimum follow from the difference that it makes. Each event of a decision is folded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar, cast

from domain import letters
from domain.charter import days
from domain.kernel import MemberId, Step, asked_in, notify, slug_of, tell
from domain.process import Context, fold
from domain.reference import creditor_reference
from domain.register.facts import CommitmentBound, CommitmentKept, ContributionCleared, ContributionReturned, DebtStated, PaymentExpected
from domain.round import commands, events
from domain.round.books import Account, Books
from domain.round.catching_up import missed_call, notify_cured, notify_missed
from domain.round.dues import pressed, presses, settle
from domain.round.making_up import late_money, notify_reduced, reduced
from domain.round.rules import STAFF, Events, amount_text, propose, terms_of
from domain.round.state import (
    Calling,
    Cancelled,
    ClosedWithDebts,
    Committed,
    Endangered,
    Ended,
    Live,
    Refunding,
    RoundState,
    Settled,
    evolve,
)
from domain.round.terms import Stage
from domain.stream import StepEvent, StepOwed, owe

Phase = TypeVar("Phase", Live, Ended)


def following(state: RoundState, decided: Events) -> RoundState:
    """The round after these events."""
    return fold(evolve, state, decided)


def fold_holding(state: Live | Ended, decided: Events) -> Live | Ended:
    """The phase after these events, none of which closes the round."""
    phase = following(state, decided)
    assert isinstance(phase, Committed | Calling | Endangered | Refunding | ClosedWithDebts)
    return phase


def fold_phase(state: Phase, decided: Events) -> Phase:
    """The phase after these events, none of which ends the round."""
    return cast(Phase, fold_holding(state, decided))


class Decision(NamedTuple):
    """A decision that is not complete yet: the phase before it, its events so far, and the phase after them."""

    before: Live
    decided: Events
    after: Live

    @classmethod
    def of(cls, state: Live, *decided: events.RoundEvent | StepEvent) -> Decision:
        """The decision that begins with these events."""
        return cls(state, decided, fold_phase(state, decided))

    def then(self, *further: events.RoundEvent | StepEvent) -> Decision:
        """The decision with further events."""
        return Decision(self.before, (*self.decided, *further), fold_phase(self.after, further)) if further else self


def apply_credits(decision: Decision, members: Iterable[MemberId], context: Context) -> Decision:
    """The decision, and the credits of these members that pay what they are called for by it."""
    books = decision.after.books
    rate, today = terms_of(context, books).default_interest, context.at.date()
    applied: list[events.CreditApplied] = []
    for member in sorted(members):
        account = books.accounts[member]
        if account.figures.credit and account.dues:
            settled, dues = settle(books, account.dues, account.figures.credit, today, rate)
            applied.append(events.CreditApplied(member=member, settled=settled, dues=dues))
    return decision.then(*applied)


def conclude(decision: Decision, members: Iterable[MemberId], context: Context) -> Events:
    """The events of the decision and their consequences, for these members, for those who made up for them, and for the round."""
    decision, made_up = _share_late_money(decision, context)
    touched = sorted({*members, *made_up})
    cured = tuple(_cured_defaults(decision, touched, context))
    concluded = decision.then(*_cleared_calls(decision, touched, context), *cured)
    concluded, notices = _call_missed(concluded, [event.member for event in cured if isinstance(event, events.DefaultCured)], context)
    concluded = concluded.then(*_cleared_calls(concluded, touched, context))  # what was missed may be paid by credit at once
    renewed = any(isinstance(event, events.GoalReduced) for event in decision.decided)
    return (
        *concluded.decided,
        *notices,
        *_test_minimum(concluded.after, context, renewed=renewed),
        *register_facts(decision.before.books, concluded.after.books, touched, context),
    )


def _share_late_money(decision: Decision, context: Context) -> tuple[Decision, frozenset[MemberId]]:
    """What late money changes for those who made up, and what their credit settles then, which may be late money again."""
    concerned, seen = frozenset[MemberId](), 0
    while late := late_money(decision.before.books, decision.decided[seen:], decision.after.books):
        seen = len(decision.decided)
        for pool, came in late.items():
            less = reduced(decision.after.books, pool, came, context)
            if less is not None:
                decision = decision.then(less)
                decision = apply_credits(decision.then(*notify_reduced(decision.after.books, less, context)), less.repaid, context)
                concerned |= less.repaid.keys() | less.lapsed.keys()
    return decision, concerned


def _call_missed(decision: Decision, cured: Sequence[MemberId], context: Context) -> tuple[Decision, Events]:
    """Who is cured is called at once for what the others were called for meanwhile, as who joins late is; and is told that the default is over."""
    notices: list[events.RoundEvent | StepEvent] = []
    for member in cured:
        called = missed_call(decision.after.books, member, context)
        if called is None:
            notices += notify_cured(decision.after.books, member, context)
        else:
            decision = apply_credits(decision.then(called), (member,), context)
            notices += notify_missed(decision.after.books, called, context)
    return decision, tuple(notices)


def _cleared_calls(decision: Decision, members: Iterable[MemberId], context: Context) -> Iterator[events.CallCleared]:
    """The calls on which nobody owes any more what could make a default: interest that is left is asked for with the next call."""
    before, books, terms = decision.before.books, decision.after.books, terms_of(context, decision.after.books)
    paid = {due.call for member in members if member in before.accounts for due in before.accounts[member].dues}
    for number in sorted(paid.union(books.running)):
        call = books.calls[number]
        if not call.unpaid and call.stage is not Stage.CLEARED and not pressed(books, number, terms):
            yield events.CallCleared(call=number)


def _cured_defaults(decision: Decision, members: Iterable[MemberId], context: Context) -> Iterator[events.DefaultCured | StepOwed]:
    """A member in default is cured when it owes nothing any more that makes a default; what is not due yet, or is interest alone, does not."""
    books, terms = decision.after.books, terms_of(context, decision.after.books)
    for member in members:
        account = books.accounts[member]
        overdue = (due for due in account.dues if books.calls[due.call].schedule.cure_ends_at <= context.at)
        if account.in_default and not any(presses(due, terms) for due in overdue):
            yield events.DefaultCured(member=member)
            yield lift_default(context, member, books)


def suspend_for_default(context: Context, member: MemberId, books: Books) -> StepOwed:
    """The step by which the votes of a member rest whose default is declared, which these books do not count yet."""
    key = f"tell:default:{member}:{books.accounts[member].defaults + 1}"
    return owe(tell(f"member/{member}", letters.SuspendForDefault(source=context.stream), key=key))


def lift_default(context: Context, member: MemberId, books: Books) -> StepOwed:
    """The step that gives a member its votes back, once for each default, which a call of its own made."""
    key = f"tell:lift-default:{member}:{books.accounts[member].defaults}"
    return owe(tell(f"member/{member}", letters.LiftDefault(source=context.stream), key=key))


# ---------------------------------------------------------------- the minimum


def _test_minimum(state: Live, context: Context, *, renewed: bool) -> Events:
    """The minimum is tested after every loss of money: a round never stays funded on promises."""
    books = state.books
    sound = books.totals.sound
    match state:
        case Endangered() if sound >= books.minimum:
            return (events.MinimumRestored(sound=sound),)
        case Endangered() if not renewed:
            return ()
        case Committed() | Calling() if sound >= books.minimum:
            return ()
        case Committed() | Calling() | Endangered():
            decide_by = context.at + days(terms_of(context, books).extension_vote_days)
            return (
                events.MinimumLost(sound=sound, minimum=books.minimum, decide_by=decide_by),
                owe(_vote_on_shortfall(context, books, sound)),
                owe(
                    notify(
                        "minimum_lost",
                        (*STAFF, "office:board"),
                        key=f"notice:minimum-lost:{books.shortfalls + 1}",
                        round=context.stream,
                        sound=amount_text(books, sound),
                        minimum=amount_text(books, books.minimum),
                        decide_by=decide_by.isoformat(),
                    )
                ),
            )


def _vote_on_shortfall(context: Context, books: Books, sound: int) -> Step:
    """A smaller run that fits what is left, or else the end; when nothing is left, the end."""
    number = books.shortfalls + 1
    end = commands.CancelRound(cause="shortfall")
    smaller = commands.ReduceGoal(goal=sound, minimum=sound, cause="shortfall") if sound else end
    return propose(
        context,
        asked_in("shortfall", slug_of(context.stream), number),
        f"Go on with {amount_text(books, sound)}",
        f"The round lost money and its minimum of {amount_text(books, books.minimum)}. Yes: a smaller run. No: everything held is refunded.",
        smaller,
        end if sound else None,
    )


# ---------------------------------------------------------------- facts for the register


def register_facts(
    before: Books, books: Books, members: Iterable[MemberId], context: Context, *, over: bool = False
) -> Iterator[events.RegisterFact]:
    """What the register must know of the difference between two books; when the round is over, nothing is bound or owed."""
    for member in members:
        old, new = before.accounts.get(member, Account()), books.accounts[member]
        bound = 0 if over else new.figures.committed
        if bound != old.figures.committed:
            yield CommitmentBound(member=member, source=context.stream, amount=bound)
        still_bound = 0 if over else new.still_bound
        if still_bound != old.still_bound:
            yield CommitmentKept(member=member, source=context.stream, amount=still_bound)
        if bound and not new.reference:
            yield from expect_payments(context, (member,))
        if new.debt != old.debt:
            yield DebtStated(member=member, source=context.stream, amount=new.debt)
        yield from _contributed(member, old, new, context)


def contributions(before: Books, books: Books, members: Iterable[MemberId], context: Context) -> Iterator[events.RegisterFact]:
    """What the register must know of two books of a round that is over: nothing is bound or owed in it any more."""
    for member in members:
        yield from _contributed(member, before.accounts[member], books.accounts[member], context)


def _contributed(member: MemberId, old: Account, new: Account, context: Context) -> Iterator[events.RegisterFact]:
    brought = _brought(new) - _brought(old)
    if brought > 0:
        yield ContributionCleared(member=member, source=context.stream, amount=brought)
    elif brought < 0:
        yield ContributionReturned(member=member, source=context.stream, amount=-brought)


def _brought(account: Account) -> int:
    """What the member brought and did not get back; nothing where more went back to it than it paid, since the bank took that back."""
    return max(account.figures.cleared - account.figures.returned, 0)


def expect_payments(context: Context, members: Iterable[MemberId]) -> Iterator[PaymentExpected]:
    """The creditor reference by which each member's money for this round is known on every statement; stated once."""
    for member in members:
        reference = creditor_reference(context.stream, member)
        if reference not in context.register.expected:
            yield PaymentExpected(reference=reference, stream=context.stream, member=member)


# ---------------------------------------------------------------- the end


def held_back(books: Books) -> int:
    """What keeps a round that is over from closing: credit, refunds on their way, and payments ordered before its end."""
    return books.totals.credit + books.totals.refunding + books.reserved


def close(state: RoundState, books: Books, *, gone: int) -> tuple[events.RoundClosed, ...]:
    """The end of a round that is over, once the last that it held is gone."""
    return (events.RoundClosed(),) if isinstance(state, Refunding | ClosedWithDebts) and held_back(books) == gone else ()


def reopen(state: RoundState) -> tuple[events.RoundReopened, ...]:
    """A round that had closed is open again when money comes back."""
    return (events.RoundReopened(),) if isinstance(state, Settled | Cancelled) else ()
