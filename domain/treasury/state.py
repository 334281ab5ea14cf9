"""What a treasury knows: its account, what was imported, every movement, its payees and its payments; and how each fact changes it.

Money by currency stands in three maps that only `_moved` and `_paid` change: what is on the account, what of it waits for a
person in suspense, and what approved payments will take of it. What is open is kept beside all there ever was, so that whoever asks
for it need not go through all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, Literal, TypeVar

from domain.kernel import Map, PersonId, mapping
from domain.letters import Purpose
from domain.treasury import events
from domain.treasury.pages import Statements, turned
from domain.treasury.terms import Creditor, Line, ListedPayment, Page, Unmatched

Key = TypeVar("Key")

Slot = tuple[str | int, int, str]
"""A page's place: its statement's id or number, its own number, and its currency."""

_NO_LINES: Final[Map[str, None]] = mapping()

# ---------------------------------------------------------------- parts


@dataclass(frozen=True, slots=True)
class Import:
    """A file that was, or is being, imported."""

    name: str
    stage: Literal["reading", "read", "refused"] = "reading"
    chunks: int = 0
    counted: int = 0
    repeated: int = 0
    tries: int = 1
    reason: str = ""
    page: Page | None = None
    """The page at hand."""
    ours: bool = False
    """Whether it held a page of this account."""
    others: int = 0
    """Statements of other accounts in it."""
    shown: frozenset[str] = frozenset()
    """The lines of the page's former editions that it shows again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line was seen: a page of a statement in a file."""

    file: str
    statement: str
    page: int


@dataclass(frozen=True, slots=True)
class Sightings:
    """The lines that look alike: where the first of them stood, and where each key was seen first."""

    first: Place
    keys: Map[str, Place]


Stage = Literal[
    "booked", "doubted", "dismissed", "unmatched", "matched", "explained", "returning", "sent-back", "paid", "undone", "reversed"
]
"""What became of a movement. `unmatched` and `returning` credits are earmarked: no other payment may use them. Of a receipt and what
took it back, the receipt is `undone`, and the other `reversed`."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A line and what became of it."""

    details: Line
    place: Place
    key: str
    likeness: str
    stage: Stage
    stream: str | None = None
    member: str | None = None
    tries: int = 0
    """How often it was passed on to a stream."""
    reason: Unmatched | None = None
    note: str = ""
    partner: str | None = None
    """Of a receipt that was undone, what undid it, and the other way round; of a paid movement, the payment."""
    missed: Literal["", "open", "stands", "withdrawn"] = ""
    """Whether a corrected page does not show it any more, and what the treasurer said of that."""

    @property
    def signed(self) -> int:
        """By how much it changes what is on the account."""
        return self.details.amount if self.details.side == "credit" else -self.details.amount

    @property
    def waits(self) -> bool:
        """Whether the treasurer must say what it was."""
        return self.stage in {"unmatched", "doubted"} or self.missed == "open"

    @property
    def awaits(self) -> bool:
        """Whether it undoes a movement that no statement has shown yet."""
        return self.stage == "unmatched" and self.reason is Unmatched.UNKNOWN_REVERSAL

    @property
    def earmarked(self) -> int:
        """What of the account is kept for it."""
        return self.details.amount if self.stage in {"unmatched", "returning"} and self.details.side == "credit" else 0


@dataclass(frozen=True, slots=True)
class Proposed:
    """Bank details that wait for approval."""

    account: Creditor
    details: str
    named_by: PersonId
    signed: frozenset[PersonId] = frozenset()


@dataclass(frozen=True, slots=True)
class Payee:
    """Who can be paid: on the approved account, until another one is approved."""

    account: Creditor | None = None
    account_digest: str = ""
    """Of the approved account, as it was named."""
    proposed: Proposed | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment and how far it came."""

    payee: str
    amount: int
    currency: str
    purpose: Purpose
    subject: str | None
    source: str | None
    text: str
    ordered_by: PersonId
    approvals: int
    line: str | None
    stage: Literal["ordered", "sending", "taken", "failed", "confirmed", "returned", "cancelled"] = "ordered"
    attempt: int = 1
    digest: str = ""
    signed: frozenset[PersonId] = frozenset()
    account: Creditor | None = None
    """Where the present attempt was sent."""
    shown: int = 0
    """The latest attempt that a statement showed as gone."""
    reason: str = ""
    listed: str = ""
    """The list that it was ordered with."""

    @property
    def outgoing(self) -> int:
        """What of the account it will take."""
        return self.amount if self.stage in {"sending", "taken"} else 0

    @property
    def waits_in_list(self) -> bool:
        """Whether it is approved, or given up, with its list only."""
        return bool(self.listed) and (self.stage, self.attempt) == ("ordered", 1)


@dataclass(frozen=True, slots=True)
class PaymentList:
    """Payments that are approved together."""

    source: str
    currency: str
    lines: tuple[ListedPayment, ...]
    digest: str
    ordered_by: PersonId
    approvals: int
    stage: Literal["ordered", "approved", "cancelled"] = "ordered"
    signed: frozenset[PersonId] = frozenset()

    @property
    def total(self) -> int:
        """What all of them amount to."""
        return sum(line.amount for line in self.lines)


# ---------------------------------------------------------------- the phases


@dataclass(frozen=True, slots=True)
class Unopened:
    """No account was named yet."""


@dataclass(frozen=True, slots=True)
class Open:
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


def evolve(state: TreasuryState, event: events.TreasuryEvent) -> TreasuryState:
    """The state after a fact."""
    match event:
        case events.AccountOpened(owner=owner, currency=currency, opening_balance=balance, look_at=look_at):
            account = Creditor(name=owner, iban=event.iban, bic=event.bic, number=event.number, clearing=event.clearing)
            return Open(account, currency, look_at, balances=mapping({currency: balance}))
        case _:
            assert isinstance(state, Open)
            return _opened(state, event)


def _opened(state: Open, event: events.TreasuryEvent) -> Open:
    match event:
        case events.AccountOpened():
            return state
        case events.StatementsSought(number=number, look_at=look_at):
            return replace(state, looks=number, look_at=look_at)
        case events.StatementsFound(cursor=cursor):
            return replace(state, cursor=cursor)
        case events.ImportStarted(file=file, name=name):
            known = state.files.get(file)
            return _filed(state, file, Import(name, tries=known.tries + 1 if known else 1))
        case events.ChunkImported():
            return _imported(state, event)
        case events.ImportRefused(file=file, reason=reason):
            return _filed(state, file, replace(state.files[file], stage="refused", reason=reason))
        case events.LineBooked(line=line):
            state = _seen(state, event)
            movement = _movement(state, event, "booked")
            state = _moved(state, line, movement)
            currency = movement.details.currency
            state = replace(state, balances=_added(state.balances, currency, movement.signed))
            return _receivable(state, line, movement.details)
        case events.LineDoubted(line=line):
            return _moved(_seen(state, event), line, _movement(state, event, "doubted"))
        case events.LineDismissed(line=line):
            return _moved(state, line, replace(state.movements[line], stage="dismissed"))
        case events.LineUnmatched(line=line, reason=reason, stream=stream, note=note):
            return _moved(state, line, replace(state.movements[line], stage="unmatched", reason=reason, stream=stream, note=note))
        case events.LineMatched(line=line, stream=stream, member=member, attempt=attempt):
            matched = replace(state.movements[line], stage="matched", stream=stream, member=member, tries=attempt, reason=None, note="")
            return _moved(state, line, matched)
        case events.LineExplained(line=line):
            return _moved(state, line, replace(state.movements[line], stage="explained"))
        case events.ReceiptReversed(line=line, original=original, stream=stream, member=member):
            state = _moved(state, original, replace(state.movements[original], stage="undone", stream=stream, member=member, partner=line))
            return _moved(state, line, replace(state.movements[line], stage="reversed", stream=stream, member=member, partner=original))
        case events.LineMissed(line=line):
            return _moved(state, line, replace(state.movements[line], missed="open"))
        case events.MissedLineJudged(line=line, verdict=verdict):
            return _moved(state, line, replace(state.movements[line], missed=verdict))
        case events.PayeeNamed(payee=payee, account=account, details=details, by=by):
            return _payee(state, payee, replace(state.payees.get(payee, Payee()), proposed=Proposed(account, details, by)))
        case events.PayeeSigned(payee=payee, by=by):
            payee_now = state.payees[payee]
            proposed = payee_now.proposed
            assert proposed is not None
            return _payee(state, payee, replace(payee_now, proposed=replace(proposed, signed=proposed.signed | {by})))
        case events.PayeeApproved(payee=payee):
            proposed = state.payees[payee].proposed
            assert proposed is not None
            return _payee(state, payee, Payee(proposed.account, proposed.details))
        case events.PayeeBlocked(payee=payee):
            return _payee(state, payee, Payee())
        case events.PaymentOrdered(payment=payment, line=line_back):
            ordered = Payment(
                event.payee,
                event.amount,
                event.currency,
                event.purpose,
                event.subject,
                event.source,
                event.text,
                event.by,
                event.approvals,
                line_back,
            )
            return _paid(state, payment, ordered, "returning")
        case events.PaymentSigned(payment=payment, digest=digest, by=by):
            current = state.payments[payment]
            signed = (current.signed if current.digest == digest else frozenset()) | {by}
            return _paid(state, payment, replace(current, digest=digest, signed=signed))
        case events.PaymentApproved(payment=payment, digest=digest, account=account, attempt=attempt):
            sent = state.sent.set(event.end_to_end_id, (payment, attempt))
            state = replace(state, sent=sent, orders=state.orders.set(event.message_id, (payment, attempt)))
            approved = replace(state.payments[payment], stage="sending", digest=digest, account=account)
            return _paid(state, payment, approved, "sent-back")
        case events.PaymentTaken(payment=payment):
            return _paid(state, payment, replace(state.payments[payment], stage="taken"))
        case events.PaymentFailed(payment=payment, reason=reason):
            return _paid(state, payment, replace(state.payments[payment], stage="failed", reason=reason), "returning")
        case events.PaymentConfirmed(payment=payment, attempt=attempt, line=line):
            state = _moved(state, line, replace(state.movements[line], stage="paid", partner=payment))
            return _paid(state, payment, replace(state.payments[payment], stage="confirmed", reason="", shown=attempt), "sent-back")
        case events.PaymentReturned(payment=payment, line=line, reason=reason):
            state = _moved(state, line, replace(state.movements[line], stage="paid", partner=payment))
            return _paid(state, payment, replace(state.payments[payment], stage="returned", reason=reason), "returning")
        case events.PaymentRenewed(payment=payment, attempt=attempt):
            renewed = replace(
                state.payments[payment], stage="ordered", attempt=attempt, digest="", signed=frozenset(), account=None, reason=""
            )
            return _paid(state, payment, renewed)
        case events.PaymentCancelled(payment=payment, reason=reason):
            return _paid(state, payment, replace(state.payments[payment], stage="cancelled", reason=reason))
        case events.PaymentListOrdered(
            payment_list=name, source=source, currency=currency, lines=lines, digest=digest, by=by, approvals=approvals
        ):
            for each in lines:
                state = _paid(state, each.payment, replace(state.payments[each.payment], listed=name))
            return _list(state, name, PaymentList(source, currency, lines, digest, by, approvals, "ordered" if lines else "cancelled"))
        case events.PaymentListSigned(payment_list=name, by=by):
            return _list(state, name, replace(state.lists[name], signed=state.lists[name].signed | {by}))
        case events.PaymentListApproved(payment_list=name):
            return _list(state, name, replace(state.lists[name], stage="approved"))
        case events.PaymentListCancelled(payment_list=name):
            return _list(state, name, replace(state.lists[name], stage="cancelled"))


def _movement(state: Open, event: events.LineBooked | events.LineDoubted, stage: Stage) -> Movement:
    known = state.movements.get(event.line)
    place = known.place if known else _place(event)
    return Movement(event.details, place, event.key, event.likeness, stage)


def _place(event: events.LineBooked | events.LineDoubted) -> Place:
    return Place(event.file, event.statement, event.page)


def _seen(state: Open, event: events.LineBooked | events.LineDoubted) -> Open:
    place = _place(event)
    known = state.sightings.get(event.likeness, Sightings(place, mapping()))
    if event.key in known.keys:
        return state
    return replace(
        state,
        sightings=state.sightings.set(event.likeness, replace(known, keys=known.keys.set(event.key, place))),
        lines_on=_listed(state.lines_on, (place,), event.line),
    )


def _moved(state: Open, line: str, movement: Movement) -> Open:
    """The state with this movement; what waits and what is earmarked change by what it changes."""
    former = state.movements.get(line)
    change = movement.earmarked - (former.earmarked if former else 0)
    waiting = state.waiting
    if movement.waits:
        waiting = waiting.set(line, movement.signed)
    elif line in waiting:
        waiting = waiting.delete(line)
    earmarked = _added(state.earmarked, movement.details.currency, change) if change else state.earmarked
    awaiting = state.awaiting
    if movement.awaits:
        awaiting = _listed(awaiting, sided(movement.details), line)
    elif former is not None and former.awaits:
        for handle in sided(former.details):
            awaiting = awaiting.set(handle, awaiting[handle].delete(line))
    return replace(state, movements=state.movements.set(line, movement), waiting=waiting, earmarked=earmarked, awaiting=awaiting)


def _listed(lists: Map[Key, Map[str, None]], keys: Iterable[Key], line: str) -> Map[Key, Map[str, None]]:
    for key in keys:
        lists = lists.set(key, lists.get(key, _NO_LINES).set(line, None))
    return lists


def _paid(state: Open, name: str, payment: Payment, line: Stage | None = None) -> Open:
    """The state with this payment, and the credit that it sends back at this stage."""
    former = state.payments.get(name)
    change = payment.outgoing - (former.outgoing if former else 0)
    if payment.line is not None and line is not None:
        state = _moved(state, payment.line, replace(state.movements[payment.line], stage=line))
    outgoing = _added(state.outgoing, payment.currency, change) if change else state.outgoing
    return replace(
        state,
        payments=state.payments.set(name, payment),
        outgoing=outgoing,
        open_payments=_marked(state.open_payments, name, payment.stage not in {"confirmed", "cancelled"}),
    )


def _payee(state: Open, name: str, payee: Payee) -> Open:
    return replace(state, payees=state.payees.set(name, payee), proposed=_marked(state.proposed, name, payee.proposed is not None))


def _list(state: Open, name: str, listed: PaymentList) -> Open:
    return replace(state, lists=state.lists.set(name, listed), open_lists=_marked(state.open_lists, name, listed.stage == "ordered"))


def _filed(state: Open, file: str, known: Import) -> Open:
    return replace(
        state,
        files=state.files.set(file, known),
        reading=_marked(state.reading, file, known.stage == "reading"),
        refused=_marked(state.refused, file, known.stage == "refused"),
        elsewhere=_marked(state.elsewhere, file, known.others > 0 and not known.ours),
    )


def _marked(marks: Map[str, None], name: str, marked: bool) -> Map[str, None]:  # noqa: FBT001
    if marked == (name in marks):
        return marks
    return marks.set(name, None) if marked else marks.delete(name)


def _added(amounts: Map[str, int], currency: str, change: int) -> Map[str, int]:
    return amounts.set(currency, amounts.get(currency, 0) + change)


def _receivable(state: Open, line: str, details: Line) -> Open:
    if details.side == "debit" or details.reversal:
        return state
    receipts = state.receipts
    for handle in handles(details):
        receipts = receipts.set(handle, (*receipts.get(handle, ()), line))
    return replace(state, receipts=receipts)


def handles(line: Line) -> tuple[str, ...]:
    """The ids by which a reversal names the movement that it undoes, the surest first."""
    named = (("bank", line.bank_id), ("end-to-end", line.end_to_end_id), ("reference", line.reference or ""))
    return tuple(f"{kind}:{text}" for kind, text in named if text)


def sided(line: Line) -> tuple[str, ...]:
    """The ids of a movement with its side."""
    return tuple(f"{line.side} {handle}" for handle in handles(line))


# ---------------------------------------------------------------- pages and their editions


def _imported(state: Open, event: events.ChunkImported) -> Open:
    known = state.files[event.file]
    grown = replace(
        known,
        chunks=known.chunks + 1,
        counted=known.counted + event.counted,
        repeated=known.repeated + event.repeated,
        stage="read" if event.finished else "reading",
        page=event.page,
        ours=known.ours or event.page is not None,
        others=known.others + event.other_accounts,
        shown=frozenset(event.shown) | (known.shown if known.page == event.page else frozenset()),
    )
    state = _filed(state, event.file, grown)
    page = event.page
    if page is None:
        return state
    state = _brought(state, event.file, page)
    if state.pages.get((page.statement, page.page, page.currency)) == page:
        return state
    statements = turned(state.statements, page)
    gaps = state.gaps if statements.missing is state.statements.missing else statements.gaps
    return replace(state, pages=state.pages.set((page.statement, page.page, page.currency), page), statements=statements, gaps=gaps)


def _brought(state: Open, file: str, page: Page) -> Open:
    """The state after a file brought a page; brought again by the same file it changes nothing."""
    editions, editions_on = state.editions, state.editions_on
    for slot in _slots(page):
        brought, places = editions.get(slot, ()), editions_on.get((*slot, _day(page)), ())
        if all(brought[place] != (file, page) for place in places):
            editions = editions.set(slot, (*brought, (file, page)))
            editions_on = editions_on.set((*slot, _day(page)), (*places, len(brought)))
    return replace(state, editions=editions, editions_on=editions_on)


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
