"""What a treasury knows: its account, what was imported, every movement, its payees and its payments; and how each fact changes it.

Money by currency stands in three maps: what is on the account, what of it waits for a person in suspense, and what approved payments
will take of it. Only `_with_movement` and `_with_payment` change the last two. What is open stands beside all there ever was, so that
whoever asks for it need not go through all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, get_args

from domain.kernel import Map, mapping
from domain.register.facts import PayeeLinked
from domain.treasury import events
from domain.treasury.pages import Statements, with_page
from domain.treasury.records import Import, Movement, Payee, Payment, PaymentList, Place, Proposed, Sightings, Stage
from domain.treasury.terms import Creditor, Line, Page

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Key = TypeVar("Key")

Slot = tuple[str | int, int, str]
"""A page's place: its statement's id or number, its own number, and its currency."""

_NO_LINES: Final[Map[str, None]] = mapping()

# ---------------------------------------------------------------- the phases


@dataclass(frozen=True, slots=True)
class Unopened:
    """No account was named yet."""


class Open(NamedTuple):
    """The account is kept."""

    account: Creditor
    currency: str
    look_at: datetime
    looks: int = 0
    cursor: str = ""
    files: Map[str, Import] = mapping()
    reading: Map[str, None] = mapping()
    """The files that are not read to their end."""
    refused: Map[str, None] = mapping()
    """The files that could not be read."""
    elsewhere: Map[str, None] = mapping()
    """The files in which only other accounts were found."""
    pages: Map[tuple[str, int, str], Page] = mapping()
    """By statement, page and currency; a corrected page takes the place of the former."""
    statements: Statements = Statements()
    """The same pages by their statements."""
    editions: Map[Slot, tuple[tuple[str, Page], ...]] = mapping()
    """The files that brought a page, by its statement's id and, where that is counted, its number."""
    editions_on: Map[tuple[str | int, int, str, date | None], tuple[int, ...]] = mapping()
    """Which of those are of one day, or of none that is known."""
    lines_on: Map[Place, Map[str, None]] = mapping()
    """The lines that a page showed first."""
    gaps: tuple[str, ...] = ()
    """What the statements' own numbers and balances say is missing."""
    sightings: Map[str, Sightings] = mapping()
    movements: Map[str, Movement] = mapping()
    waiting: Map[str, int] = mapping()
    """The movements that wait for the treasurer, with their signed amounts."""
    receipts: Map[str, tuple[str, ...]] = mapping()
    """The credits that a reversal may name, by each of their ids."""
    awaiting: Map[str, Map[str, None]] = mapping()
    """The movements that wait for what they undo, by each of their ids and their side."""
    balances: Map[str, int] = mapping()
    earmarked: Map[str, int] = mapping()
    outgoing: Map[str, int] = mapping()
    payees: Map[str, Payee] = mapping()
    proposed: Map[str, None] = mapping()
    """The payees of whom bank details wait for approval."""
    payments: Map[str, Payment] = mapping()
    open_payments: Map[str, None] = mapping()
    """Those that are neither confirmed nor cancelled."""
    sent: Map[str, tuple[str, int]] = mapping()
    """The payment and attempt of each end-to-end id."""
    orders: Map[str, tuple[str, int]] = mapping()
    """The payment and attempt of each order's message id."""
    lists: Map[str, PaymentList] = mapping()
    open_lists: Map[str, None] = mapping()
    """Those that wait for approvals."""

    @property
    def free(self) -> int:
        """What payments may use of the account's own currency."""
        return self.free_in(self.currency)

    def free_in(self, currency: str) -> int:
        """What of a currency is neither in suspense nor approved to go out."""
        return self.balances.get(currency, 0) - self.earmarked.get(currency, 0) - self.outgoing.get(currency, 0)


TreasuryState = Unopened | Open

# ---------------------------------------------------------------- evolve

_OF_STATEMENTS: Final = frozenset(get_args(events.StatementEvent))
_OF_LINES: Final = frozenset(get_args(events.LineEvent))
_OF_PAYEES: Final = frozenset(get_args(events.PayeeEvent))
_OF_PAYMENTS: Final = frozenset(get_args(events.PaymentEvent))
_OF_LISTS: Final = frozenset(get_args(events.PaymentListEvent))


def evolve(state: TreasuryState, event: events.TreasuryEvent) -> TreasuryState:
    """The state after a fact. Its topic is found by a look into a set: matching all kinds one after another costs more than the copies."""
    if isinstance(state, Unopened):
        assert isinstance(event, events.AccountOpened), "the first fact of a treasury names its account"
        return _opened(event)
    if _is_of_lines(event):
        return _of_lines(state, event)
    if _is_of_payments(event):
        return _of_payments(state, event)
    if _is_of_lists(event):
        return _of_lists(state, event)
    if _is_of_statements(event):
        return _of_statements(state, event)
    if _is_of_payees(event):
        return _of_payees(state, event)
    return _opened(event)


def _opened(event: events.AccountOpened) -> Open:
    account = Creditor(name=event.owner, iban=event.iban, bic=event.bic, number=event.number, clearing=event.clearing)
    return Open(account, event.currency, event.look_at, balances=mapping({event.currency: event.opening_balance}))


def _is_of_statements(event: events.TreasuryEvent) -> TypeIs[events.StatementEvent]:
    return type(event) in _OF_STATEMENTS


def _is_of_lines(event: events.TreasuryEvent) -> TypeIs[events.LineEvent]:
    return type(event) in _OF_LINES


def _is_of_payees(event: events.TreasuryEvent) -> TypeIs[events.PayeeEvent]:
    return type(event) in _OF_PAYEES


def _is_of_payments(event: events.TreasuryEvent) -> TypeIs[events.PaymentEvent]:
    return type(event) in _OF_PAYMENTS


def _is_of_lists(event: events.TreasuryEvent) -> TypeIs[events.PaymentListEvent]:
    return type(event) in _OF_LISTS


def _mark(marks: Map[str, None], name: str, marked: bool) -> Map[str, None]:  # noqa: FBT001
    if marked == (name in marks):
        return marks
    return marks.set(name, None) if marked else marks.delete(name)


def _add_amount(amounts: Map[str, int], currency: str, change: int) -> Map[str, int]:
    return amounts.set(currency, amounts.get(currency, 0) + change)


def _add_to_each(lists: Map[Key, Map[str, None]], keys: Iterable[Key], line: str) -> Map[Key, Map[str, None]]:
    for key in keys:
        lists = lists.set(key, lists.get(key, _NO_LINES).set(line, None))
    return lists


# ---------------------------------------------------------------- movements


def _of_lines(state: Open, event: events.LineEvent) -> Open:
    match event:
        case events.LineBooked(line=line):
            return _book(_with_sighting(state, event), line, _new_movement(state, event, "booked"))
        case events.LineDoubted(line=line):
            return _with_movement(_with_sighting(state, event), line, _new_movement(state, event, "doubted"))
        case events.LineMatched(line=line, stream=stream, member=member, attempt=attempt):
            before = state.movements[line]
            return _with_movement(
                state, line, before._replace(stage="matched", stream=stream, member=member, tries=attempt, reason=None, note="")
            )
        case events.LineUnmatched(line=line, reason=reason, stream=stream, note=note):
            before = state.movements[line]
            return _with_movement(state, line, before._replace(stage="unmatched", reason=reason, stream=stream, note=note))
        case events.LineDismissed(line=line):
            return _with_movement(state, line, state.movements[line]._replace(stage="dismissed"))
        case events.LineExplained(line=line):
            return _with_movement(state, line, state.movements[line]._replace(stage="explained"))
        case events.ReceiptReversed(line=line, original=original, stream=stream, member=member):
            undone = state.movements[original]._replace(stage="undone", stream=stream, member=member, partner=line)
            state = _with_movement(state, original, undone)
            reversing = state.movements[line]._replace(stage="reversed", stream=stream, member=member, partner=original)
            return _with_movement(state, line, reversing)
        case events.LineMissed(line=line):
            return _with_movement(state, line, state.movements[line]._replace(missed="open"))
        case events.MissedLineJudged(line=line, verdict=verdict):
            return _with_movement(state, line, state.movements[line]._replace(missed=verdict))


def _new_movement(state: Open, event: events.LineBooked | events.LineDoubted, stage: Stage) -> Movement:
    before = state.movements.get(event.line)
    place = before.place if before else _place(event)
    return Movement(event.details, place, event.key, event.likeness, stage)


def _place(event: events.LineBooked | events.LineDoubted) -> Place:
    return Place(event.file, event.statement, event.page)


def _with_sighting(state: Open, event: events.LineBooked | events.LineDoubted) -> Open:
    place = _place(event)
    sightings = state.sightings.get(event.likeness, Sightings(place, mapping()))
    if event.key in sightings.keys:
        return state
    return state._replace(
        sightings=state.sightings.set(event.likeness, sightings._replace(keys=sightings.keys.set(event.key, place))),
        lines_on=_add_to_each(state.lines_on, (place,), event.line),
    )


def _book(state: Open, line: str, movement: Movement) -> Open:
    """The state with a new movement, by which the account's balance changes."""
    state = _with_movement(state, line, movement)
    balances = _add_amount(state.balances, movement.details.currency, movement.signed)
    return state._replace(balances=balances, receipts=_add_receipt(state.receipts, line, movement.details))


def _with_movement(state: Open, line: str, movement: Movement) -> Open:
    """The state with this movement; what waits and what is earmarked change by what it changes."""
    before = state.movements.get(line)
    change = movement.earmarked - (before.earmarked if before else 0)
    waiting, awaiting = state.waiting, state.awaiting
    if movement.waits:
        waiting = waiting.set(line, movement.signed)
    elif line in waiting:
        waiting = waiting.delete(line)
    if movement.awaits:
        awaiting = _add_to_each(awaiting, sided(movement.details), line)
    elif before is not None and before.awaits:
        for handle in sided(before.details):
            awaiting = awaiting.set(handle, awaiting[handle].delete(line))
    earmarked = _add_amount(state.earmarked, movement.details.currency, change) if change else state.earmarked
    return state._replace(movements=state.movements.set(line, movement), waiting=waiting, earmarked=earmarked, awaiting=awaiting)


def _add_receipt(receipts: Map[str, tuple[str, ...]], line: str, details: Line) -> Map[str, tuple[str, ...]]:
    """The credits that a reversal may name, with this one if it is one."""
    if details.side == "debit" or details.reversal:
        return receipts
    for handle in handles(details):
        receipts = receipts.set(handle, (*receipts.get(handle, ()), line))
    return receipts


def handles(line: Line) -> tuple[str, ...]:
    """The ids by which a reversal names the movement that it undoes, the surest first."""
    named = (("bank", line.bank_id), ("end-to-end", line.end_to_end_id), ("reference", line.reference or ""))
    return tuple(f"{kind}:{text}" for kind, text in named if text)


def sided(line: Line) -> tuple[str, ...]:
    """The ids of a movement with its side."""
    return tuple(f"{line.side} {handle}" for handle in handles(line))


# ---------------------------------------------------------------- payees


def _of_payees(state: Open, event: events.PayeeEvent) -> Open:
    match event:
        case events.PayeeNamed(payee=name, account=account, details=details, by=by, member=member, lei=lei):
            before = state.payees.get(name, Payee())
            return _with_payee(state, name, before._replace(proposed=Proposed(account, details, by, member=member, lei=lei)))
        case events.PayeeSigned(payee=name, by=by):
            proposed = _proposed(state, name)
            return _with_payee(state, name, state.payees[name]._replace(proposed=proposed._replace(signed=proposed.signed | {by})))
        case events.PayeeApproved(payee=name):
            proposed = _proposed(state, name)
            return _with_payee(state, name, Payee(proposed.account, proposed.details, member=proposed.member, lei=proposed.lei))
        case events.PayeeBlocked(payee=name):
            return _with_payee(state, name, Payee())
        case PayeeLinked():
            return state


def _proposed(state: Open, name: str) -> Proposed:
    proposed = state.payees[name].proposed
    assert proposed is not None, f"no bank details of {name} wait"
    return proposed


def _with_payee(state: Open, name: str, payee: Payee) -> Open:
    return state._replace(payees=state.payees.set(name, payee), proposed=_mark(state.proposed, name, payee.proposed is not None))


# ---------------------------------------------------------------- payments


def _of_payments(state: Open, event: events.PaymentEvent) -> Open:
    name = event.payment
    match event:
        case events.PaymentOrdered():
            return _with_payment(state, name, _ordered(event), "returning")
        case events.PaymentSigned(digest=digest, by=by):
            before = state.payments[name]
            signed = (before.signed if before.digest == digest else frozenset()) | {by}
            return _with_payment(state, name, before._replace(digest=digest, signed=signed))
        case events.PaymentApproved(digest=digest, account=account, attempt=attempt):
            sent = state.sent.set(event.end_to_end_id, (name, attempt))
            state = state._replace(sent=sent, orders=state.orders.set(event.message_id, (name, attempt)))
            approved = state.payments[name]._replace(stage="sending", digest=digest, account=account)
            return _with_payment(state, name, approved, "sent-back")
        case events.PaymentTaken():
            return _with_payment(state, name, state.payments[name]._replace(stage="taken"))
        case events.PaymentFailed(reason=reason):
            return _with_payment(state, name, state.payments[name]._replace(stage="failed", reason=reason), "returning")
        case events.PaymentConfirmed(attempt=attempt, line=line):
            state = _with_movement(state, line, state.movements[line]._replace(stage="paid", partner=name))
            confirmed = state.payments[name]._replace(stage="confirmed", reason="", shown=attempt)
            return _with_payment(state, name, confirmed, "sent-back")
        case events.PaymentReturned(line=line, reason=reason):
            state = _with_movement(state, line, state.movements[line]._replace(stage="paid", partner=name))
            return _with_payment(state, name, state.payments[name]._replace(stage="returned", reason=reason), "returning")
        case events.PaymentRenewed(attempt=attempt):
            before = state.payments[name]
            renewed = before._replace(stage="ordered", attempt=attempt, digest="", signed=frozenset(), account=None, reason="")
            return _with_payment(state, name, renewed)
        case events.PaymentCancelled(reason=reason):
            return _with_payment(state, name, state.payments[name]._replace(stage="cancelled", reason=reason))


def _ordered(event: events.PaymentOrdered) -> Payment:
    return Payment(
        event.payee,
        event.amount,
        event.currency,
        event.purpose,
        event.subject,
        event.source,
        event.text,
        event.by,
        event.approvals,
        event.line,
    )


def _with_payment(state: Open, name: str, payment: Payment, line: Stage | None = None) -> Open:
    """The state with this payment, and the credit that it sends back at this stage."""
    before = state.payments.get(name)
    change = payment.outgoing - (before.outgoing if before else 0)
    if payment.line is not None and line is not None:
        state = _with_movement(state, payment.line, state.movements[payment.line]._replace(stage=line))
    return state._replace(
        payments=state.payments.set(name, payment),
        outgoing=_add_amount(state.outgoing, payment.currency, change) if change else state.outgoing,
        open_payments=_mark(state.open_payments, name, payment.stage not in {"confirmed", "cancelled"}),
    )


def _of_lists(state: Open, event: events.PaymentListEvent) -> Open:
    name = event.payment_list
    match event:
        case events.PaymentListOrdered(source=source, currency=currency, lines=lines, digest=digest, by=by, approvals=approvals):
            for each in lines:
                state = _with_payment(state, each.payment, state.payments[each.payment]._replace(listed=name))
            return _with_list(state, name, PaymentList(source, currency, lines, digest, by, approvals, "ordered" if lines else "cancelled"))
        case events.PaymentListSigned(by=by):
            before = state.lists[name]
            return _with_list(state, name, before._replace(signed=before.signed | {by}))
        case events.PaymentListApproved():
            return _with_list(state, name, state.lists[name]._replace(stage="approved"))
        case events.PaymentListCancelled():
            return _with_list(state, name, state.lists[name]._replace(stage="cancelled"))


def _with_list(state: Open, name: str, listed: PaymentList) -> Open:
    return state._replace(lists=state.lists.set(name, listed), open_lists=_mark(state.open_lists, name, listed.stage == "ordered"))


# ---------------------------------------------------------------- files, pages and their editions


def _of_statements(state: Open, event: events.StatementEvent) -> Open:
    match event:
        case events.StatementsSought(number=number, look_at=look_at):
            return state._replace(looks=number, look_at=look_at)
        case events.StatementsFound(cursor=cursor):
            return state._replace(cursor=cursor)
        case events.ImportStarted(file=file, name=name):
            before = state.files.get(file)
            return _with_file(state, file, Import(name, tries=before.tries + 1 if before else 1))
        case events.ChunkImported():
            return _with_chunk(state, event)
        case events.ImportRefused(file=file, reason=reason):
            return _with_file(state, file, state.files[file]._replace(stage="refused", reason=reason))


def _with_file(state: Open, file: str, imported: Import) -> Open:
    return state._replace(
        files=state.files.set(file, imported),
        reading=_mark(state.reading, file, imported.stage == "reading"),
        refused=_mark(state.refused, file, imported.stage == "refused"),
        elsewhere=_mark(state.elsewhere, file, imported.others > 0 and not imported.ours),
    )


def _with_chunk(state: Open, event: events.ChunkImported) -> Open:
    before, page = state.files[event.file], event.page
    grown = before._replace(
        chunks=before.chunks + 1,
        counted=before.counted + event.counted,
        repeated=before.repeated + event.repeated,
        stage="read" if event.finished else "reading",
        page=page,
        ours=before.ours or page is not None,
        others=before.others + event.other_accounts,
        shown=frozenset(event.shown) | (before.shown if before.page == page else frozenset()),
    )
    state = _with_file(state, event.file, grown)
    if page is None:
        return state
    state = _with_edition(state, event.file, page)
    if state.pages.get((page.statement, page.page, page.currency)) == page:
        return state
    statements = with_page(state.statements, page)
    gaps = state.gaps if statements.missing is state.statements.missing else statements.gaps
    return state._replace(pages=state.pages.set((page.statement, page.page, page.currency), page), statements=statements, gaps=gaps)


def _with_edition(state: Open, file: str, page: Page) -> Open:
    """The state after a file brought a page; brought again by the same file it changes nothing."""
    editions, editions_on = state.editions, state.editions_on
    for slot in _slots(page):
        brought, places = editions.get(slot, ()), editions_on.get((*slot, _day(page)), ())
        if all(brought[place] != (file, page) for place in places):
            editions = editions.set(slot, (*brought, (file, page)))
            editions_on = editions_on.set((*slot, _day(page)), (*places, len(brought)))
    return state._replace(editions=editions, editions_on=editions_on)


def former_editions(state: Open, file: str, page: Page) -> tuple[Place, ...]:
    """Where other files showed this page before: the same page of the same statement, by its id or its number, of the same day."""
    found = (each for slot in _slots(page) for each in _of_the_day(state, slot, _day(page)))
    return tuple(dict.fromkeys(Place(other, former.statement, former.page) for other, former in found if other != file))


def _slots(page: Page) -> Iterator[Slot]:
    yield (page.statement, page.page, page.currency)
    if page.sequence is not None:
        yield (page.sequence, page.page, page.currency)


def _of_the_day(state: Open, slot: Slot, day: date | None) -> Sequence[tuple[str, Page]]:
    """What was brought of a page and may be of this day: some banks begin to count anew every year, or every day."""
    brought = state.editions.get(slot, ())
    if day is None:
        return brought
    places = sorted((*state.editions_on.get((*slot, day), ()), *state.editions_on.get((*slot, None), ())))
    return [brought[place] for place in places]


def _day(page: Page) -> date | None:
    return page.closing.on if page.closing else page.last_day


def closing_balance(state: Open) -> tuple[date, int] | None:
    """What the latest statement says was on the account at its end, when no page is missing and every import is read to its end."""
    return None if state.gaps or state.reading else state.statements.latest(state.currency)
