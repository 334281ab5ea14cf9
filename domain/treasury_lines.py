"""How a line of a statement is recognised: whether it was seen before, whose money it is, or which payment it shows.

A line counts once by its key. A line that looks like one on another page, and that the bank's ids do not tell apart from it,
waits for a person: it may be a repeat, a correction, or a second payment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from domain.kernel import process_of, tell
from domain.process import Context, StepOwed, StepWaived, owe
from domain.treasury_messages import (
    Line,
    LineBooked,
    LineDoubted,
    LineMatched,
    LineUnmatched,
    Page,
    PaymentConfirmed,
    PaymentReturned,
    Purpose,
    ReceiptReversed,
    TreasuryEvent,
    Unmatched,
    key_of,
    likeness_of,
    line_id,
)
from domain.treasury_state import Movement, Open, Payment, Place, evolve, handles

Events = Sequence[TreasuryEvent | StepOwed | StepWaived]


def folded(state: Open, events: Events) -> Open:
    """The account after these events."""
    for event in events:
        if not isinstance(event, StepOwed | StepWaived):
            after = evolve(state, event)
            assert isinstance(after, Open)
            state = after
    return state


# ---------------------------------------------------------------- seen before?


def received(state: Open, file: str, page: Page, line: Line, context: Context) -> Events:
    """What follows from a line of a statement: nothing, when it was seen before."""
    here = Place(file, page.statement, page.page)
    likeness, key = likeness_of(page.account, line), key_of(page.account, line)
    known = state.sightings.get(likeness)
    if known is not None:
        there = known.keys.get(key)
        if there is not None and (line.bank_id or _same(state, there, here, page)):
            return ()
        if there is not None or known.first != here:
            doubtful = _elsewhere(key, here) if there is not None else key
            return () if doubtful in known.keys else (_as(LineDoubted, here, line, doubtful, likeness),)
    booked = _as(LineBooked, here, line, key, likeness)
    return (booked, *classified(folded(state, (booked,)), booked.line, context))


def _same(state: Open, there: Place, here: Place, page: Page) -> bool:
    """Whether a line with a known key, but without the bank's id, is that line: on the same page, or on the page that corrects it."""
    if (there.statement, there.page) == (here.statement, here.page):
        return True
    known = state.pages.get((there.statement, there.page))
    return known is not None and known.sequence is not None and (known.sequence, known.page) == (page.sequence, page.page)


def _elsewhere(key: str, here: Place) -> str:
    return hashlib.sha256("\x1f".join((key, here.statement, str(here.page))).encode()).hexdigest()


def _as(kind: type[LineBooked] | type[LineDoubted], here: Place, line: Line, key: str, likeness: str) -> LineBooked | LineDoubted:
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
        case "credit", _ if details.end_to_end_id in state.sent:
            return _came_back(state, line, details)
        case "credit", True:
            return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
        case _:
            return _receipt(state, line, details, context)


def _receipt(state: Open, line: str, details: Line, context: Context) -> Events:
    """A member's money by the reference that a call or an invoice gave it; also too little, too much or twice: the stream knows."""
    undone = next((other for other in _waiting(state, "debit") if _undoes(state.movements[other].details, details)), None)
    if undone is not None:
        return (_reversed(state, undone, line),)
    if details.currency != state.currency:
        return (_unmatched(line, details, Unmatched.WRONG_CURRENCY),)
    if details.reference is None:
        return (_unmatched(line, details, Unmatched.NO_REFERENCE),)
    expected = context.register.expected.get(details.reference)
    if expected is None:
        return (_unmatched(line, details, Unmatched.UNKNOWN_REFERENCE),)
    matched = LineMatched(
        line=line, stream=expected.stream, member=expected.member, amount=details.amount, currency=details.currency,
        value_date=details.value_date, attempt=1,
    )  # fmt: skip
    return (matched, passed_on(matched, context))


def _debit(state: Open, line: str, details: Line) -> Events:
    """A payment of ours, by its end-to-end id and exactly its amount; when its return was seen before, that follows."""
    found = _payment_of(state, details)
    if found is None:
        return (_unmatched(line, details, Unmatched.UNKNOWN_DEBIT),)
    name, payment = found
    if payment.stage not in {"sending", "taken", "failed"}:
        return (_unmatched(line, details, Unmatched.UNKNOWN_DEBIT),)
    if not _of_amount(payment, details):
        return (_unmatched(line, details, Unmatched.OTHER_AMOUNT),)
    confirmed = PaymentConfirmed(
        payment=name, attempt=payment.attempt, line=line, source=payment.source, payee=payment.payee, purpose=payment.purpose,
        subject=payment.subject, amount=payment.amount, currency=payment.currency, value_date=details.value_date,
    )  # fmt: skip
    events: Events = (confirmed, *told_source(name, payment, line, "record"))
    after = folded(state, (confirmed,))
    for other in _waiting(after, "credit"):
        if after.movements[other].details.end_to_end_id == details.end_to_end_id:
            return (*events, *_came_back(after, other, after.movements[other].details))
    return events


def _came_back(state: Open, line: str, details: Line) -> Events:
    """A credit under the id of our own payment: it came back, when it had gone and all of it is there."""
    found = _payment_of(state, details)
    if found is None or found[1].stage != "confirmed":
        return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
    name, payment = found
    if not _of_amount(payment, details):
        return (_unmatched(line, details, Unmatched.OTHER_AMOUNT),)
    returned = PaymentReturned(
        payment=name, attempt=payment.attempt, line=line, source=payment.source, payee=payment.payee, purpose=payment.purpose,
        subject=payment.subject, amount=payment.amount, currency=payment.currency, value_date=details.value_date,
        reason=details.return_reason,
    )  # fmt: skip
    return (returned, *told_source(name, payment, line, "return"))


def _payment_of(state: Open, details: Line) -> tuple[str, Payment] | None:
    """The payment whose present attempt has the line's end-to-end id."""
    name, attempt = state.sent.get(details.end_to_end_id, ("", 0))
    payment = state.payments.get(name)
    return (name, payment) if payment is not None and payment.attempt == attempt else None


def _of_amount(payment: Payment, details: Line) -> bool:
    return (payment.amount, payment.currency) == (details.amount, details.currency)


def _undoing(state: Open, line: str, details: Line) -> Events:
    """A debit that undoes an earlier credit of that amount and id: the latest that still stands."""
    for handle in handles(details):
        for original in reversed(state.receipts.get(handle, ())):
            movement = state.movements[original]
            if movement.stage in {"booked", "unmatched", "matched"} and _undoes(details, movement.details):
                undone = _reversed(state, line, original)
                return (undone, *_told_of_reversal(line, original, movement))
    return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)


def _undoes(debit: Line, credit: Line) -> bool:
    same = (debit.amount, debit.currency) == (credit.amount, credit.currency)
    return same and debit.reversal and not set(handles(debit)).isdisjoint(handles(credit))


def _reversed(state: Open, line: str, original: str) -> ReceiptReversed:
    movement = state.movements[original]
    passed = movement.stage == "matched"
    return ReceiptReversed(
        line=line, original=original, amount=movement.details.amount, currency=movement.details.currency,
        stream=movement.stream if passed else None, member=movement.member if passed else None,
    )  # fmt: skip


def _waiting(state: Open, side: str) -> Iterator[str]:
    return (line for line, signed in sorted(state.waiting.items()) if (signed > 0) == (side == "credit") and _is(state, line))


def _is(state: Open, line: str) -> bool:
    return state.movements[line].reason is Unmatched.UNKNOWN_REVERSAL


def _unmatched(line: str, details: Line, reason: Unmatched) -> LineUnmatched:
    return LineUnmatched(line=line, amount=details.amount, currency=details.currency, side=details.side, reason=reason)


# ---------------------------------------------------------------- what others are told


def passed_on(matched: LineMatched, context: Context) -> StepOwed:
    """The step that tells a stream of a member's money; a value date that has not come is today's."""
    on = min(matched.value_date, context.at.date()).isoformat()
    paid: dict[str, Any] = {"amount": matched.amount, "currency": matched.currency, "reference": matched.line, "value_date": on}
    if process_of(matched.stream) == "round":
        paid |= {"kind": "record_payment", "member": matched.member}
    else:
        paid |= {"kind": "record_dues_payment"}
    return owe(tell(matched.stream, paid, key=f"tell:{matched.line}:{matched.attempt}"))


def _told_of_reversal(line: str, original: str, movement: Movement) -> Events:
    """The step that tells the stream that had the money that it is gone."""
    if movement.stage != "matched" or movement.stream is None:
        return ()
    undo: dict[str, Any] = {"amount": movement.details.amount, "reference": line, "original": original}
    if process_of(movement.stream) == "round":
        undo |= {"kind": "reverse_payment", "member": movement.member}
    else:
        undo |= {"kind": "reverse_dues_payment"}
    return (owe(tell(movement.stream, undo, key=f"tell:{line}:reversal")),)


def told_source(name: str, payment: Payment, line: str, what: str) -> Events:
    """The step that tells who ordered a payment that it left (`record`), or came back (`return`)."""
    if payment.source is None:
        return ()
    told: dict[str, Any] = {"kind": f"{what}_{payment.purpose}", "reference": line}
    return (owe(tell(payment.source, told | _subject(name, payment), key=f"tell:{what}:{name}:{payment.attempt}")),)


def returned_to_source(name: str, payment: Payment, reason: str) -> Events:
    """The step that tells who ordered a payment that it is given up: what was reserved for it is free."""
    if payment.source is None:
        return ()
    told: dict[str, Any] = {"kind": f"release_{payment.purpose}", "reason": reason[:500]}
    return (owe(tell(payment.source, told | _subject(name, payment), key=f"tell:release:{name}")),)


def _subject(name: str, payment: Payment) -> dict[str, Any]:
    if payment.purpose is Purpose.SPENDING:
        return {"spending": payment.subject}
    return {"payment": name, "member": payment.subject, "amount": payment.amount}
