"""The rules of silence: to whom a round's duty passes when nobody acts on it, and how a round ends that nobody winds up.

A round whose next word is a person's watches that duty, as its charter says (clause `silence`): who holds it has so many days; then it passes
to the deputies that the charter names, at the last to the whole board, each as long. Whoever it passed to may act from then on, and so may who
held it before: their act begins the days anew. Where nobody is left, a round that is live is cancelled, and one that is over is closed with
its debts: what is left is listed, and asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from domain.charter import Office, SilenceTerms, days
from domain.kernel import Refused, holders, notify, shown_at
from domain.process import Context
from domain.round import commands, ending, events, standing
from domain.round.books import Books
from domain.round.consequences import following
from domain.round.rules import HOLDER, STAFF, Events, amount_text, charter_of
from domain.round.state import Calling, ClosedWithDebts, Committed, Refunding, RoundState, books_of, duty_of
from domain.round.terms import Debt, DebtKind, Duty, Watch
from domain.stream import StepOwed, owe, owe_notices

WAITS: Final = {
    Duty.CALL: "The next tranche can be called",
    Duty.MILESTONE: "The milestone that releases the next tranche is to be accepted",
    Duty.SETTLE: "All is called, and the round is to be settled",
    Duty.REFUND: "Refunds are to be ordered",
    Duty.PAY: "Payments that were ordered are to be approved, or seen to at the bank",
}
"""What waits, in words."""

_MOVES: Final = frozenset(
    (
        events.PledgesAllocated,
        events.CallCleared,
        events.CallDefaulted,
        events.MinimumRestored,
        events.RoundCancelled,
        events.RoundReopened,
    )
)
"""After these a duty may be waited for where none was; nothing is looked up after the others then, of which payments are the most.

Where one is waited for already, it is looked up after every event: many let another duty follow, by what they bring or lower (a delivery that is
accepted, a payment of who is in default), and a watch over the former duty has no deadline any more.
"""

# ---------------------------------------------------------------- watching


def watch(state: RoundState, decided: Events, context: Context) -> Events:
    """The events of a decision, and with them the watch over the duty that is waited for after it, where it is another one, or somebody acted."""
    if not decided or (duty_of(state) is None and not any(type(event) in _MOVES for event in decided)):
        return decided
    after = following(state, decided)
    duty, books = duty_of(after), books_of(after)
    if duty is None or books is None or any(isinstance(event, events.DutyPassed) for event in decided):
        return decided
    acted, terms = context.mandate is not None or _is_holder(state, context), terms_of(context, books)
    former = books.watch if duty is duty_of(state) and books.watch and books.watch.duty is duty else None
    lasts = terms.milestone_days if duty is Duty.MILESTONE and not (former and former.passed) else terms.duty_days
    if not terms.duty_days or not lasts or (former and not acted):
        return decided
    awaited = Watch(
        duty=duty,
        until=context.at + days(lasts),
        passed=former.passed if former else (),
        line=former.line if former else terms.line(HOLDER[duty]),
        standing_at=_standing_at(books, duty, context),
        number=_next(books),
    )
    if former and former.until == awaited.until:
        return decided
    return (*decided, events.DutyAwaited(watch=awaited))


def _standing_at(books: Books, duty: Duty, context: Context) -> datetime | None:
    """When the standing order gives the refunds that are waited for, where it stands and there is somebody whom it can pay."""
    lasts = terms_of(context, books).standing_days
    return context.at + days(lasts) if lasts and duty is Duty.REFUND and standing.payable(books) else None


def _is_holder(state: RoundState, context: Context) -> bool:
    """Whether who gave the command holds the duty that was waited for."""
    duty, books = duty_of(state), books_of(state)
    if duty is None or books is None:
        return False
    offices = (HOLDER[duty], *(books.watch.passed if books.watch else ()))
    register = context.register
    return register.holds(context.actor, *offices) or any(register.stands_in(context.actor, office, context.at) for office in offices)


def _next(books: Books) -> int:
    return books.watch.number + 1 if books.watch else 1


def terms_of(context: Context, books: Books) -> SilenceTerms:
    """The clause `silence` that the round was opened under."""
    return charter_of(context, books.charter_version).silence


# ---------------------------------------------------------------- passing on


def take_duty(state: RoundState, command: commands.TakeDuty, context: Context) -> Events:
    """Who holds a duty says that they see to it: they have their days anew. On the same instant again nothing follows."""
    books, duty = books_of(state), duty_of(state)
    watched = books.watch if books else None
    if books is None or watched is None or duty is not command.duty or watched.duty is not duty:
        waits = f"it waits for this: {duty}" if duty and watched else "nothing of it waits for people by a day"
        raise Refused(
            "duty_not_awaited",
            f"this round does not wait for somebody to {command.duty}: {waits}",
            clause="silence",
            remedy="`consortium show` tells what it waits for",
        )
    context.require_duty(*dict.fromkeys((HOLDER[duty], *watched.passed, *watched.line)), clause="silence.deputies")
    terms = terms_of(context, books)
    lasts = terms.milestone_days if duty is Duty.MILESTONE and not watched.passed else terms.duty_days
    if watched.until == context.at + days(lasts):
        return ()
    anew = watched.model_copy(
        update={"until": context.at + days(lasts), "standing_at": _standing_at(books, duty, context), "number": _next(books)}
    )
    return (events.DutyTaken(duty=duty, by=context.actor), events.DutyAwaited(watch=anew))


def pass_duty(state: Committed | Calling | Refunding, command: commands.PassDuty, context: Context) -> Events:
    """The duty passes on to the next in its line too, who is told what waits."""
    books, former = state.books, watched(state.books)
    lasts = days(terms_of(context, books).duty_days)
    passed = Watch(
        duty=former.duty,
        until=context.at + lasts,
        passed=(*former.passed, command.to),
        line=former.line[1:],
        standing_at=former.standing_at,
        number=_next(books),
    )
    return (events.DutyPassed(to=command.to, watch=passed), _hand_over(books, former, passed, context))


def watched(books: Books) -> Watch:
    """The watch whose deadline stands."""
    assert books.watch is not None, "no deadline of a duty stands where none is watched"
    return books.watch


def _hand_over(books: Books, former: Watch, passed: Watch, context: Context) -> StepOwed:
    """What waits, told to whom it passed to, and to who had it until now."""
    to = dict.fromkeys((*passed.passed[-1:], *former.passed, HOLDER[former.duty]))
    then = f"it passes to {passed.line[0]}" if passed.line else END[former.duty]
    notice = notify(
        "duty_passed",
        tuple(recipient for office in to for recipient in holders((office,))),
        key=f"notice:duty:{passed.number}",
        round=context.stream,
        office=passed.passed[-1],
        waits=WAITS[former.duty],
        since=f"nobody acted until {shown_at(former.until)}",
        held=amount_text(books, books.held),
        credit=amount_text(books, books.totals.credit + books.totals.refunding),
        until=passed.until.isoformat(),
        then=then,
    )
    return owe(notice)


END: Final = {
    **dict.fromkeys((Duty.CALL, Duty.MILESTONE, Duty.SETTLE), "the round is cancelled, and what it holds goes back"),
    **dict.fromkeys((Duty.REFUND, Duty.PAY), "the round is closed with its debts, which are listed and asked for again"),
}
"""What happens where nobody is left who would act."""

# ---------------------------------------------------------------- the end


def end_in_silence(state: Committed | Calling | Refunding, _: commands.EndInSilence, context: Context) -> Events:
    """Nobody acted, and nobody is left to whom the duty could pass: the round is cancelled, or closed with its debts where it is over."""
    match state:
        case Committed() | Calling():
            return ending.end(state, "cancelled", "silence", context)
        case Refunding(books=books):
            debts, ask_at = tuple(debts_of(books)), context.at + days(terms_of(context, books).debts_days)
            closed = events.RoundClosedWithDebts(debts=debts, ask_at=ask_at)
            return (closed, *_ask(books, debts, 0, context))


def ask_for_debts(state: ClosedWithDebts, _: commands.AskForDebts, context: Context) -> Events:
    """What is still left is asked for again, of who could pay it, and told to those whom it is owed to."""
    debts, ask_at = tuple(debts_of(state.books)), context.at + days(terms_of(context, state.books).debts_days)
    return (events.DebtsAskedFor(debts=debts, ask_at=ask_at), *_ask(state.books, debts, state.asked + 1, context))


def debts_of(books: Books) -> Iterator[Debt]:
    """All that is owed in a round that is over: to its members, to payees whose payment was ordered, and by members."""
    payees: dict[str, int] = {}
    for spending in books.spendings.values():
        if spending.stage == "approved":
            payees[spending.payee] = payees.get(spending.payee, 0) + spending.amount
    for member, account in sorted(books.accounts.items()):
        if amount := account.figures.credit + account.figures.refunding:
            yield Debt(kind=DebtKind.TO_MEMBER, party=member, amount=amount)
        if account.debt:
            yield Debt(kind=DebtKind.BY_MEMBER, party=member, amount=account.debt)
    for payee, amount in sorted(payees.items()):
        yield Debt(kind=DebtKind.TO_PAYEE, party=payee, amount=amount)


def _ask(books: Books, debts: tuple[Debt, ...], asked: int, context: Context) -> Iterator[StepOwed]:
    """Officers are told of all, each member of its own; a round may close with its debts more than once, each after a watch of its own."""
    times = f"{watched(books).number}:{asked}"
    to_pay = sum(debt.amount for debt in debts if debt.kind is not DebtKind.BY_MEMBER)
    creditors = [debt for debt in debts if debt.kind is not DebtKind.BY_MEMBER]
    yield owe(
        notify(
            "debts_listed",
            (*STAFF, *holders((Office.BOARD,))),
            key=f"notice:debts:{times}",
            round=context.stream,
            amount=amount_text(books, to_pay),
            creditors=len(creditors),
            held=amount_text(books, books.held),
        )
    )
    facts, theirs, ours = {"round": context.stream}, _own(books, debts, DebtKind.TO_MEMBER), _own(books, debts, DebtKind.BY_MEMBER)
    yield from owe_notices("debt_to_you", sorted(theirs), f"notice:debt-to-you:{times}", facts, each=theirs)
    yield from owe_notices("debt_of_yours", sorted(ours), f"notice:debt-of-yours:{times}", facts, each=ours)


def _own(books: Books, debts: tuple[Debt, ...], kind: DebtKind) -> dict[str, dict[str, str | int]]:
    """What each member is told of its own."""
    return {f"member:{debt.party}": {"amount": amount_text(books, debt.amount)} for debt in debts if debt.kind is kind}
