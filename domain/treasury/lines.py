"""How a line of a statement is recognised: whether it was seen before, whose money it is, or which payment it shows.

A line counts once by its key. A line that looks like one on another page, and that the bank's ids do not tell apart from it,
waits for a person: it may be a repeat, a correction, or a second payment. So does every line that is new on a page that another
file brought before, and every line that such a page does not show any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from domain.process import Context
from domain.treasury import events
from domain.treasury.payers import pass_on, report_paid, report_returned, report_reversal
from domain.treasury.records import Movement, Payment, Place, Sightings
from domain.treasury.rules import Events, fold
from domain.treasury.state import Open, former_editions, handles
from domain.treasury.terms import Line, Page, Unmatched, key_of, likeness_of, line_id

# ---------------------------------------------------------------- seen before?


def receive_line(state: Open, file: str, page: Page, line: Line, context: Context, *, again: bool) -> tuple[Events, Open]:
    """What follows from a line of a statement, and the account after it; nothing follows when the line was seen before.

    `again` says that another file brought the line's page before.
    """
    here = Place(file, page.statement, page.page)
    likeness, key = likeness_of(page.account, line), key_of(page.account, line)
    alike = state.sightings.get(likeness)
    there = alike.keys.get(key) if alike is not None else None
    if alike is not None and there is not None and (_is_unique_id(alike, page, line) or _is_same_line(state, there, here, page)):
        return (), state
    if there is not None or again or (alike is not None and alike.first != here):
        doubtful = _key_elsewhere(key, here) if there is not None else key
        if alike is not None and doubtful in alike.keys:
            return (), state
        doubted = (_line_event(events.LineDoubted, here, line, doubtful, likeness),)
        return doubted, fold(state, doubted)
    booked = _line_event(events.LineBooked, here, line, key, likeness)
    after = fold(state, (booked,))
    follows = classify(after, booked.line, context)
    return (booked, *follows), fold(after, follows)


def _is_unique_id(alike: Sightings, page: Page, line: Line) -> bool:
    """Whether the bank's id names one movement only: some banks write one id for several that are alike."""
    second = line.model_copy(update={"occurrence": 2})
    return bool(line.bank_id) and line.occurrence == 1 and key_of(page.account, second) not in alike.keys


def _is_same_line(state: Open, there: Place, here: Place, page: Page) -> bool:
    """Whether a line whose key was seen before is that line: on the same page, or on the page that corrects it."""
    if (there.statement, there.page) == (here.statement, here.page):
        return True
    other = state.pages.get((there.statement, there.page, page.currency))
    return other is not None and other.sequence is not None and (other.sequence, other.page) == (page.sequence, page.page)


def lines_shown_again(state: Open, account: str, lines: Sequence[Line]) -> tuple[str, ...]:
    """The lines seen before that these are; one that was changed beyond its likeness stands for all that look like it."""
    found: dict[str, None] = {}
    for line in lines:
        alike, key = state.sightings.get(likeness_of(account, line)), key_of(account, line)
        if alike is not None:
            found.update(dict.fromkeys(line_id(each) for each in sorted((key,) if key in alike.keys else alike.keys)))
    return tuple(found)


def missing_lines(state: Open, file: str, page: Page, shown: Collection[str]) -> Events:
    """The lines that count by an earlier edition of a page, and are not on this one, which was read to its end."""
    return tuple(
        events.LineMissed(line=line, file=file)
        for place in former_editions(state, file, page)
        if not _is_later(state, place, page)
        for line in sorted(state.lines_on.get(place, ()))
        if line not in shown and _counts(state.movements[line])
    )


def _counts(movement: Movement) -> bool:
    return movement.stage not in {"doubted", "dismissed", "undone", "reversed"} and not movement.missed


def _is_later(state: Open, place: Place, page: Page) -> bool:
    """Whether the page at that place was made after this one: files come in any order."""
    other = next((each for file, each in state.editions[place.statement, place.page, page.currency] if file == place.file), page)
    return other.created_at is not None and page.created_at is not None and other.created_at > page.created_at


def withdraw_line(state: Open, line: str, context: Context) -> Events:
    """The bank's correction of a line that it took back: a movement of the other side, and what that undoes."""
    original = state.movements[line]
    details = original.details
    key = hashlib.sha256(f"{original.key}\x1fwithdrawn".encode()).hexdigest()
    undoing = details.model_copy(
        update={"side": "debit" if details.side == "credit" else "credit", "reversal": True, "text": f"withdrawn: {line}"}
    )
    place = Place(original.place.file, original.place.statement, 0)
    booked = _line_event(events.LineBooked, place, undoing, key, key)
    state = fold(state, (booked,))
    match original.stage, details.side:
        case "unmatched" | "matched", "credit":
            return (booked, *reverse_receipt(state, booked.line, line))
        case "unmatched", "debit":
            return (booked, _receipt_reversed(state, line, booked.line))
        case "paid", "debit":
            return (booked, *classify(state, booked.line, context))
        case _:
            return (booked, _unmatched(booked.line, undoing, Unmatched.UNKNOWN_REVERSAL))


def _key_elsewhere(key: str, here: Place) -> str:
    return hashlib.sha256("\x1f".join((key, here.statement, str(here.page))).encode()).hexdigest()


def _line_event(
    kind: type[events.LineBooked] | type[events.LineDoubted], here: Place, line: Line, key: str, likeness: str
) -> events.LineBooked | events.LineDoubted:
    return kind(line=line_id(key), details=line, key=key, likeness=likeness, file=here.file, statement=here.statement, page=here.page)


# ---------------------------------------------------------------- whose is it?


def classify(state: Open, line: str, context: Context) -> Events:
    """What a booked movement is: a member's money, a payment of ours, the undoing of either, or unknown."""
    movement = state.movements[line]
    details = movement.details
    match details.side, details.reversal:
        case "debit", False:
            return _match_debit(state, line, details)
        case "debit", True:
            return _match_reversal(state, line, details)
        case "credit", _ if details.end_to_end_id in state.sent and not _says_whose(details, context):
            return _match_return(state, line, details)
        case "credit", True:
            return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
        case _:
            return _match_receipt(state, line, details, context)


def _says_whose(details: Line, context: Context) -> bool:
    """Whether a credit is a member's by its reference, and nothing says that it is a return."""
    return not details.reversal and not details.return_reason and details.reference in context.register.expected


def _match_receipt(state: Open, line: str, details: Line, context: Context) -> Events:
    """A member's money by the reference that a call or an invoice gave it; also too little, too much or twice: the stream knows."""
    undoing = [other for other in _awaiting(state, "debit", details) if state.movements[other].details.reversal]
    if best := _most_alike(state, details, undoing):
        return (_receipt_reversed(state, best[-1], line),)
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
    return (matched, pass_on(matched, context))


def _match_debit(state: Open, line: str, details: Line) -> Events:
    """A payment of ours, by its end-to-end id and exactly its amount; when its return was seen before, that follows."""
    name, attempt = state.sent.get(details.end_to_end_id, ("", 0))
    payment = state.payments.get(name)
    if payment is None or not _may_have_gone(payment, attempt):
        return (_unmatched(line, details, Unmatched.UNKNOWN_DEBIT),)
    if not _of_amount(payment, details):
        return (_unmatched(line, details, Unmatched.OTHER_AMOUNT),)
    decided: Events = confirm_payment(name, payment, attempt, line, details)
    after = fold(state, decided)
    for other in _awaiting(after, "credit", details):
        if after.movements[other].details.end_to_end_id == details.end_to_end_id:
            return (*decided, *_match_return(after, other, after.movements[other].details))
    return decided


def _may_have_gone(payment: Payment, attempt: int) -> bool:
    """Whether an attempt may be what a statement shows: the present one, or one given up too early, when none was sent since."""
    if attempt <= payment.shown:
        return False
    if attempt == payment.attempt:
        return payment.stage in {"sending", "taken", "failed"}
    return payment.stage in {"ordered", "failed"}


def confirm_payment(name: str, payment: Payment, attempt: int, line: str, details: Line, by: str | None = None, note: str = "") -> Events:
    """A debit shows that an attempt of a payment went; whoever ordered it gets a letter."""
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
    return (confirmed, *report_paid(name, payment, line))


def _match_return(state: Open, line: str, details: Line) -> Events:
    """A credit under the id of our own payment: it came back, when it had gone and all of it is there."""
    name, attempt = state.sent.get(details.end_to_end_id, ("", 0))
    payment = state.payments.get(name)
    if payment is None or (payment.stage, payment.shown) != ("confirmed", attempt):
        return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
    if not _of_amount(payment, details):
        return (_unmatched(line, details, Unmatched.OTHER_AMOUNT),)
    return return_payment(name, payment, line, details)


def return_payment(name: str, payment: Payment, line: str, details: Line, by: str | None = None, note: str = "") -> Events:
    """A credit shows that a payment came back; whoever ordered it gets a letter."""
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
    return (back, *report_returned(name, payment, line))


def _of_amount(payment: Payment, details: Line) -> bool:
    return (payment.amount, payment.currency) == (details.amount, details.currency)


def _match_reversal(state: Open, line: str, details: Line) -> Events:
    """A debit that undoes an earlier credit of that amount: the latest that still stands, when all that it may mean are one payer's."""
    named = dict.fromkeys(original for handle in handles(details) for original in state.receipts.get(handle, ()))
    standing = [original for original in named if state.movements[original].stage in {"unmatched", "matched"}]
    best = _most_alike(state, details, standing)
    if len({_owner(state.movements[original]) for original in best}) != 1:
        return (_unmatched(line, details, Unmatched.UNKNOWN_REVERSAL),)
    return reverse_receipt(state, line, max(best, key=lambda original: state.movements[original].details.booked_on))


def _owner(movement: Movement) -> tuple[str | None, ...]:
    """Whose money it is, as far as anybody knows."""
    if movement.stage == "matched":
        return (movement.stream, movement.member)
    details = movement.details
    return (details.reference, details.counterparty, details.counterparty_account)


def _most_alike(state: Open, details: Line, others: Sequence[str]) -> Sequence[str]:
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


def reverse_receipt(state: Open, line: str, original: str, by: str | None = None, note: str = "") -> Events:
    """A debit takes back a credit; the stream that has the money gets a letter."""
    taken_back = _receipt_reversed(state, line, original).model_copy(update={"by": by, "note": note})
    return (taken_back, *report_reversal(line, original, state.movements[original]))


def _receipt_reversed(state: Open, line: str, original: str) -> events.ReceiptReversed:
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
