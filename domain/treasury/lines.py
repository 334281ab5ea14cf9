"""How a line of a statement is recognised: whether it was seen before, whose money it is, or which payment it shows.

A line counts once by its key. A line that looks like one on another page, and that the bank's ids do not tell apart from it,
waits for a person: it may be a repeat, a correction, or a second payment. So does every line that is new on a page that another
file brought before, and every line that such a page does not show any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from enum import StrEnum

from domain import letters
from domain.kernel import process_of, shortened, tell
from domain.letters import Purpose
from domain.process import Context, StepEvent, StepOwed, owe
from domain.treasury import events
from domain.treasury.state import Movement, Open, Payment, Place, Sightings, evolve, former_editions, handles
from domain.treasury.terms import Line, Page, Unmatched, key_of, likeness_of, line_id

Events = Sequence[events.TreasuryEvent | StepEvent]


def folded(state: Open, decided: Events) -> Open:
    """The account after these events."""
    for event in decided:
        if not isinstance(event, StepEvent):
            after = evolve(state, event)
            assert isinstance(after, Open)
            state = after
    return state


# ---------------------------------------------------------------- seen before?


def received(state: Open, file: str, page: Page, line: Line, context: Context, *, again: bool) -> Events:
    """What follows from a line of a statement: nothing, when it was seen before. `again` says that another file brought its page before."""
    here = Place(file, page.statement, page.page)
    likeness, key = likeness_of(page.account, line), key_of(page.account, line)
    known = state.sightings.get(likeness)
    there = known.keys.get(key) if known is not None else None
    if known is not None and there is not None and (_named_alone(known, page, line) or _same(state, there, here, page)):
        return ()
    if there is not None or again or (known is not None and known.first != here):
        doubtful = _elsewhere(key, here) if there is not None else key
        return () if known is not None and doubtful in known.keys else (_as(events.LineDoubted, here, line, doubtful, likeness),)
    booked = _as(events.LineBooked, here, line, key, likeness)
    return (booked, *classified(folded(state, (booked,)), booked.line, context))


def _named_alone(known: Sightings, page: Page, line: Line) -> bool:
    """Whether the bank's id names one movement only: some banks write one id for several that are alike."""
    second = line.model_copy(update={"occurrence": 2})
    return bool(line.bank_id) and line.occurrence == 1 and key_of(page.account, second) not in known.keys


def _same(state: Open, there: Place, here: Place, page: Page) -> bool:
    """Whether a line with a known key is that line: on the same page, or on the page that corrects it."""
    if (there.statement, there.page) == (here.statement, here.page):
        return True
    known = state.pages.get((there.statement, there.page, page.currency))
    return known is not None and known.sequence is not None and (known.sequence, known.page) == (page.sequence, page.page)


def shown_again(state: Open, account: str, lines: Sequence[Line]) -> tuple[str, ...]:
    """The known lines that these are; a line that was changed in what it leaves alike stands for all that it looks like."""
    found: dict[str, None] = {}
    for line in lines:
        known, key = state.sightings.get(likeness_of(account, line)), key_of(account, line)
        if known is not None:
            found.update(dict.fromkeys(line_id(each) for each in sorted((key,) if key in known.keys else known.keys)))
    return tuple(found)


def missed(state: Open, file: str, page: Page, shown: Collection[str]) -> Events:
    """The lines that count by an earlier edition of a page, and are not on this one, which was read to its end."""
    return tuple(
        events.LineMissed(line=line, file=file)
        for place in former_editions(state, file, page)
        if not _later(state, place, page)
        for line in sorted(state.lines_on.get(place, ()))
        if line not in shown and _stands(state.movements[line])
    )


def _stands(movement: Movement) -> bool:
    return movement.stage not in {"doubted", "dismissed", "undone", "reversed"} and not movement.missed


def _later(state: Open, place: Place, page: Page) -> bool:
    """Whether the page at that place was made after this one: files come in any order."""
    known = next((each for file, each in state.editions[place.statement, place.page, page.currency] if file == place.file), page)
    return known.created_at is not None and page.created_at is not None and known.created_at > page.created_at


def withdrawn(state: Open, line: str, context: Context) -> Events:
    """The bank's correction of a line that it took back: a movement of the other side, and what that undoes."""
    original = state.movements[line]
    details = original.details
    key = hashlib.sha256(f"{original.key}\x1fwithdrawn".encode()).hexdigest()
    undoing = details.model_copy(
        update={"side": "debit" if details.side == "credit" else "credit", "reversal": True, "text": f"withdrawn: {line}"}
    )
    place = Place(original.place.file, original.place.statement, 0)
    booked = _as(events.LineBooked, place, undoing, key, key)
    state = folded(state, (booked,))
    match original.stage, details.side:
        case "unmatched" | "matched", "credit":
            return (booked, *undone(state, booked.line, line))
        case "unmatched", "debit":
            return (booked, _reversed(state, line, booked.line))
        case "paid", "debit":
            return (booked, *classified(state, booked.line, context))
        case _:
            return (booked, _unmatched(booked.line, undoing, Unmatched.UNKNOWN_REVERSAL))


def _elsewhere(key: str, here: Place) -> str:
    return hashlib.sha256("\x1f".join((key, here.statement, str(here.page))).encode()).hexdigest()


def _as(
    kind: type[events.LineBooked] | type[events.LineDoubted], here: Place, line: Line, key: str, likeness: str
) -> events.LineBooked | events.LineDoubted:
    return kind(line=line_id(key), details=line, key=key, likeness=likeness, file=here.file, statement=here.statement, page=here.page)


# ---------------------------------------------------------------- whose is it?


def classified(state: Open, line: str, context: Context) -> Events:
    """What a booked movement is: a member's money, a payment of ours, the undoing of either, or unknown."""
    movement = state.movements[line]
    details = movement.details
    match details.side, details.reversal:
        case "debit", False:
            return _debit(state, line, details)
        case "debit", True:
            return _undoing(state, line, details)
        case "credit", _ if details.end_to_end_id in state.sent and not _says_whose(details, context):
            return _came_back(state, line, details)
        case "credit", True:
            return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
        case _:
            return _receipt(state, line, details, context)


def _says_whose(details: Line, context: Context) -> bool:
    """Whether a credit is a member's by its reference, and nothing says that it is a return."""
    return not details.reversal and not details.return_reason and details.reference in context.register.expected


def _receipt(state: Open, line: str, details: Line, context: Context) -> Events:
    """A member's money by the reference that a call or an invoice gave it; also too little, too much or twice: the stream knows."""
    undoing = [other for other in _awaiting(state, "debit", details) if state.movements[other].details.reversal]
    if best := _likest(state, details, undoing):
        return (_reversed(state, best[-1], line),)
    if details.currency != state.currency:
        return (_unmatched(line, details, Unmatched.WRONG_CURRENCY),)
    if details.reference is None:
        return (_unmatched(line, details, Unmatched.NO_REFERENCE),)
    expected = context.register.expected.get(details.reference)
    if expected is None:
        return (_unmatched(line, details, Unmatched.UNKNOWN_REFERENCE),)
    matched = events.LineMatched(
        line=line,
        stream=expected.stream,
        member=expected.member,
        amount=details.amount,
        currency=details.currency,
        value_date=details.value_date,
        attempt=1,
    )
    return (matched, passed_on(matched, context))


def _debit(state: Open, line: str, details: Line) -> Events:
    """A payment of ours, by its end-to-end id and exactly its amount; when its return was seen before, that follows."""
    name, attempt = state.sent.get(details.end_to_end_id, ("", 0))
    payment = state.payments.get(name)
    if payment is None or not _may_have_gone(payment, attempt):
        return (_unmatched(line, details, Unmatched.UNKNOWN_DEBIT),)
    if not _of_amount(payment, details):
        return (_unmatched(line, details, Unmatched.OTHER_AMOUNT),)
    decided: Events = gone(name, payment, attempt, line, details)
    after = folded(state, decided)
    for other in _awaiting(after, "credit", details):
        if after.movements[other].details.end_to_end_id == details.end_to_end_id:
            return (*decided, *_came_back(after, other, after.movements[other].details))
    return decided


def _may_have_gone(payment: Payment, attempt: int) -> bool:
    """Whether an attempt may be what a statement shows: the present one, or one given up too early, when none was sent since."""
    if attempt <= payment.shown:
        return False
    if attempt == payment.attempt:
        return payment.stage in {"sending", "taken", "failed"}
    return payment.stage in {"ordered", "failed"}


def gone(name: str, payment: Payment, attempt: int, line: str, details: Line, by: str | None = None, note: str = "") -> Events:
    """A debit shows that an attempt of a payment went; who ordered it is told."""
    confirmed = events.PaymentConfirmed(
        payment=name,
        attempt=attempt,
        line=line,
        source=payment.source,
        payee=payment.payee,
        purpose=payment.purpose,
        subject=payment.subject,
        amount=payment.amount,
        currency=payment.currency,
        value_date=details.value_date,
        charges=details.amount - payment.amount,
        by=by,
        note=note,
    )
    return (confirmed, *paid_for_source(name, payment, line))


def _came_back(state: Open, line: str, details: Line) -> Events:
    """A credit under the id of our own payment: it came back, when it had gone and all of it is there."""
    name, attempt = state.sent.get(details.end_to_end_id, ("", 0))
    payment = state.payments.get(name)
    if payment is None or (payment.stage, payment.shown) != ("confirmed", attempt):
        return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
    if not _of_amount(payment, details):
        return (_unmatched(line, details, Unmatched.OTHER_AMOUNT),)
    return returned(name, payment, line, details)


def returned(name: str, payment: Payment, line: str, details: Line, by: str | None = None, note: str = "") -> Events:
    """A credit shows that a payment came back; who ordered it is told."""
    back = events.PaymentReturned(
        payment=name,
        attempt=payment.shown,
        line=line,
        source=payment.source,
        payee=payment.payee,
        purpose=payment.purpose,
        subject=payment.subject,
        amount=payment.amount,
        currency=payment.currency,
        value_date=details.value_date,
        reason=details.return_reason,
        charges=payment.amount - details.amount,
        by=by,
        note=note,
    )
    return (back, *came_back_to_source(name, payment, line))


def _of_amount(payment: Payment, details: Line) -> bool:
    return (payment.amount, payment.currency) == (details.amount, details.currency)


def _undoing(state: Open, line: str, details: Line) -> Events:
    """A debit that undoes an earlier credit of that amount: the latest that still stands, when all that it may mean are one payer's."""
    named = dict.fromkeys(original for handle in handles(details) for original in state.receipts.get(handle, ()))
    standing = [original for original in named if state.movements[original].stage in {"unmatched", "matched"}]
    best = _likest(state, details, standing)
    if len({_owner(state.movements[original]) for original in best}) != 1:
        return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
    return undone(state, line, max(best, key=lambda original: state.movements[original].details.booked_on))


def _owner(movement: Movement) -> tuple[str | None, ...]:
    """Whose money it is, as far as anybody knows."""
    if movement.stage == "matched":
        return (movement.stream, movement.member)
    details = movement.details
    return (details.reference, details.counterparty, details.counterparty_account)


def _likest(state: Open, details: Line, others: Sequence[str]) -> Sequence[str]:
    """Those of the same money that have the most ids in common with a movement; none of them contradicts its reference or its payer's id."""
    alike = {other: _in_common(details, state.movements[other].details) for other in others}
    most = max(alike.values(), default=0)
    return [other for other, common in alike.items() if common == most] if most else []


def _in_common(one: Line, other: Line) -> int:
    if (one.amount, one.currency) != (other.amount, other.currency):
        return 0
    pairs = [(one.reference or "", other.reference or ""), (one.end_to_end_id, other.end_to_end_id)]
    if any(mine and theirs and mine != theirs for mine, theirs in pairs):
        return 0
    return sum(bool(mine) and mine == theirs for mine, theirs in (*pairs, (one.bank_id, other.bank_id)))


def undone(state: Open, line: str, original: str, by: str | None = None, note: str = "") -> Events:
    """A debit takes back a credit, and the stream that has the money is told."""
    taken_back = _reversed(state, line, original).model_copy(update={"by": by, "note": note})
    return (taken_back, *_told_of_reversal(line, original, state.movements[original]))


def _reversed(state: Open, line: str, original: str) -> events.ReceiptReversed:
    movement = state.movements[original]
    passed = movement.stage == "matched"
    return events.ReceiptReversed(
        line=line,
        original=original,
        amount=movement.details.amount,
        currency=movement.details.currency,
        stream=movement.stream if passed else None,
        member=movement.member if passed else None,
    )


def _awaiting(state: Open, side: str, details: Line) -> Sequence[str]:
    """The movements of that side that wait for what they undo, and share an id with this one."""
    return sorted({line for handle in handles(details) for line in state.awaiting.get(f"{side} {handle}", ())})


def _unmatched(line: str, details: Line, reason: Unmatched) -> events.LineUnmatched:
    return events.LineUnmatched(line=line, amount=details.amount, currency=details.currency, side=details.side, reason=reason)


# ---------------------------------------------------------------- what others are told


class Receiver(StrEnum):
    """The processes that money comes in for, by the names of their streams. Each takes a letter of its own."""

    ROUND = "round"
    MEMBER = "member"


def receiver_of(stream: str) -> Receiver:
    """Which process takes the money that this stream expects."""
    return Receiver(process_of(stream))


def passed_on(matched: events.LineMatched, context: Context) -> StepOwed:
    """The step that tells a stream of money that came in for it; a value date that has not come is today's."""
    amount, currency, line, on = matched.amount, matched.currency, matched.line, min(matched.value_date, context.at.date())
    paid: letters.RecordPayment | letters.RecordDuesPayment
    match receiver_of(matched.stream):
        case Receiver.ROUND:
            assert matched.member is not None, "a round's money is a member's"
            paid = letters.RecordPayment(member=matched.member, amount=amount, currency=currency, reference=line, value_date=on)
        case Receiver.MEMBER:
            paid = letters.RecordDuesPayment(amount=amount, currency=currency, reference=line, value_date=on)
    return owe(tell(matched.stream, paid, key=f"tell:{line}:{matched.attempt}"))


def _told_of_reversal(line: str, original: str, movement: Movement) -> Events:
    """The step that tells the stream that had the money that it is gone."""
    if movement.stage != "matched":
        return ()
    assert movement.stream is not None
    amount = movement.details.amount
    undone: letters.ReversePayment | letters.ReverseDuesPayment
    match receiver_of(movement.stream):
        case Receiver.ROUND:
            assert movement.member is not None, "a round's money is a member's"
            undone = letters.ReversePayment(member=movement.member, amount=amount, reference=line, original=original)
        case Receiver.MEMBER:
            undone = letters.ReverseDuesPayment(amount=amount, reference=line, original=original)
    return (owe(tell(movement.stream, undone, key=f"tell:{line}:reversal")),)


def paid_for_source(name: str, payment: Payment, line: str) -> Events:
    """The step that tells who ordered a payment that it left."""
    if payment.source is None:
        return ()
    assert payment.subject is not None
    letter: letters.RecordSpending | letters.RecordRefund
    match payment.purpose:
        case Purpose.SPENDING:
            letter = letters.RecordSpending(spending=payment.subject, reference=line)
        case Purpose.REFUND:
            letter = letters.RecordRefund(payment=name, member=payment.subject, amount=payment.amount, reference=line)
        case Purpose.RETURN | Purpose.OTHER:
            raise AssertionError(f"{name} is the treasury's own")
    return (owe(tell(payment.source, letter, key=f"tell:record:{name}:{payment.attempt}")),)


def came_back_to_source(name: str, payment: Payment, line: str) -> Events:
    """The step that tells who ordered a payment that it came back."""
    if payment.source is None:
        return ()
    assert payment.subject is not None
    letter: letters.ReturnSpending | letters.ReturnRefund
    match payment.purpose:
        case Purpose.SPENDING:
            letter = letters.ReturnSpending(spending=payment.subject, reference=line)
        case Purpose.REFUND:
            letter = letters.ReturnRefund(payment=name, member=payment.subject, amount=payment.amount, reference=line)
        case Purpose.RETURN | Purpose.OTHER:
            raise AssertionError(f"{name} is the treasury's own")
    return (owe(tell(payment.source, letter, key=f"tell:return:{name}:{payment.attempt}")),)


def given_up_for_source(name: str, payment: Payment, reason: str) -> Events:
    """The step that tells who ordered a payment that it is given up: what was reserved for it is free."""
    if payment.source is None:
        return ()
    assert payment.subject is not None
    letter: letters.ReleaseSpending | letters.ReleaseRefund
    why = shortened(reason, 500)
    match payment.purpose:
        case Purpose.SPENDING:
            letter = letters.ReleaseSpending(spending=payment.subject, reason=why)
        case Purpose.REFUND:
            letter = letters.ReleaseRefund(payment=name, member=payment.subject, amount=payment.amount, reason=why)
        case Purpose.RETURN | Purpose.OTHER:
            raise AssertionError(f"{name} is the treasury's own")
    return (owe(tell(payment.source, letter, key=f"tell:release:{name}")),)
