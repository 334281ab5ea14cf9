"""The books: double entry, folded from the facts of the log, and written for Beancount and hledger.

Every fact that moves money becomes one booking whose postings add up to nothing in each currency. What raises an account is
positive; what the consortium owes or earned is negative (as both programs have it).

| fact | from | to |
| --- | --- | --- |
| account_opened | Equity:Opening | Assets:Bank:A |
| line_booked, credit (debit: the reverse) | Liabilities:Unmatched:A | Assets:Bank:A |
| line_matched; turned away: the reverse | Liabilities:In-transit:S | Liabilities:Unmatched:A |
| receipt_reversed of matched money | Liabilities:Unmatched:A | Liabilities:In-transit:S |
| line_explained, debit (credit: the reverse) | Liabilities:Unmatched:A | Expenses or Income or Equity:Transfers |
| payment_confirmed for a stream; payment_returned: the reverse | Liabilities:Unmatched:A | Liabilities:In-transit:S |
| payment_confirmed of the treasury's own | Liabilities:Unmatched:A | Expenses:Other |
| payment_confirmed, payment_returned: what the bank kept | Liabilities:Unmatched:A | Expenses:Bank:Charges |
| payment_recorded | Income:Rounds:R:M, Liabilities:Interest:R, Liabilities:Credit:M:R | Liabilities:In-transit:S |
| credit_applied | Income:Rounds:R:M, Liabilities:Interest:R | Liabilities:Credit:M:R |
| payment_reversed | Liabilities:In-transit:S | Liabilities:Credit:M:R, Liabilities:Interest:R, Income:Rounds:R:M |
| interest_shared | Liabilities:Credit:M:R | Liabilities:Interest:R |
| in_kind_accepted | Income:In-kind:R:M | Expenses:In-kind:R |
| spending_paid; spending_returned: the reverse | Liabilities:In-transit:S | Expenses:Rounds:R:Line |
| round_settled, round_cancelled, surplus_returned | Liabilities:Credit:M:R | Income:Rounds:R:M |
| refund_ordered; refund_released: the reverse | Liabilities:Refunds:M:R | Liabilities:Credit:M:R |
| refund_made; refund_returned: the reverse | Liabilities:In-transit:S | Liabilities:Refunds:M:R |
| dues_invoiced, from credit | Income:Dues:M | Liabilities:Credit:M:Dues |
| dues_paid; dues_reversed: the reverse | Income:Dues:M, Liabilities:Credit:M:Dues | Liabilities:In-transit:S |

Money in transit is what the treasury told a stream of, or paid for it, and the stream has not recorded yet: nothing, when
everybody is done. An order of many refunds, and a list of payments, move nothing by themselves: each refund and payment of it does.
What was sent back to its unknown payer needs no booking: both movements stand in Unmatched, and cancel out.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from domain.kernel import Event, one_line, process_of, slug_of
from domain.member import events as member_events
from domain.money import MINOR_UNITS, decimal
from domain.register.facts import CharterAdopted
from domain.round import events as round_events
from domain.round.terms import Settlement
from domain.treasury import events as treasury_events
from domain.treasury.terms import Purpose
from eventstore.entries import Entry, instant
from eventstore.log import Log
from eventstore.replica import Replica

AT_A_TIME: Final = 10_000

Account = str
"""Parts from the general to the particular, between colons: `Assets:Bank:Main`."""


@dataclass(frozen=True, slots=True)
class Posting:
    """An account grows by so many minor units, or falls."""

    account: Account
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Booking:
    """What one fact did to the books."""

    position: int
    """Of the log's entry."""
    on: date
    """The log's day, in UTC."""
    stream: str
    fact: str
    text: str
    """What happened, in words; may hold text of members, unescaped."""
    postings: tuple[Posting, ...]


# ---------------------------------------------------------------- accounts


def bank(treasury: str) -> Account:
    """What is on a bank account."""
    return f"Assets:Bank:{_part(treasury)}"


def unmatched(treasury: str) -> Account:
    """What came in or went out, and nobody has said yet what it was."""
    return f"Liabilities:Unmatched:{_part(treasury)}"


def in_transit(stream: str) -> Account:
    """What the treasury moved for a stream that has not recorded it yet."""
    return f"Liabilities:In-transit:{_part(process_of(stream))}:{_part(slug_of(stream))}"


def contribution(round_: str, member: str) -> Account:
    """What a member brought into a round."""
    return f"Income:Rounds:{_part(round_)}:{_part(member)}"


def credit(member: str, where: str) -> Account:
    """What is owed to a member: its credit in a round, or in its dues."""
    return f"Liabilities:Credit:{_part(member)}:{_part(where)}"


def refunds(member: str, round_: str) -> Account:
    """Credit on its way back."""
    return f"Liabilities:Refunds:{_part(member)}:{_part(round_)}"


def interest(round_: str) -> Account:
    """Interest that came in, until it is shared among those who paid in time."""
    return f"Liabilities:Interest:{_part(round_)}"


def dues(member: str) -> Account:
    """What a member paid for its membership."""
    return f"Income:Dues:{_part(member)}"


def spent(round_: str, line: str) -> Account:
    """What went out under a budget line."""
    return f"Expenses:Rounds:{_part(round_)}:{_part(line)}"


def explained(what: str, side: Literal["credit", "debit"]) -> Account:
    """What a movement was that concerns no member and no payment."""
    named = {"bank-charges": CHARGES, "bank-interest": "Income:Bank:Interest", "transfer": "Equity:Transfers"}
    return named.get(what, OTHER_INCOME if side == "credit" else OTHER_EXPENSE)


OPENING: Final = "Equity:Opening"
CHARGES: Final = "Expenses:Bank:Charges"
OTHER_INCOME: Final = "Income:Other"
OTHER_EXPENSE: Final = "Expenses:Other"
DUES: Final = "dues"

_PART: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_HASHED: Final = re.compile(r".*-[0-9a-f]{8}")


def _part(name: str) -> str:
    """A name as a part of an account: handles keep theirs; another text loses what the programs could misread, and gets a mark of its own."""
    plain = name if _PART.fullmatch(name) and not _HASHED.fullmatch(name) else ""
    if not plain:
        letters = re.sub(r"[^a-z0-9]+", "-", name.lower())[:60].strip("-")
        plain = f"{letters or 'other'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return plain[0].upper() + plain[1:]


# ---------------------------------------------------------------- the fold


class Ledger:
    """The books as of a position of the log. Entries are taken in order, from the first."""

    def __init__(self) -> None:
        self._bookings: list[Booking] = []
        self._balances: Counter[tuple[Account, str]] = Counter()
        self._currency = ""
        """The charter's."""
        self._currencies: dict[str, str] = {}
        """Of each round."""
        self._spendings: dict[tuple[str, str], tuple[str, int]] = {}
        """The line and amount of each spending of each round."""
        self._passed: dict[tuple[str, str], str] = {}
        """The stream that has the money of each line, of each treasury."""
        self._lines: dict[tuple[str, str], tuple[int, str]] = {}
        """How a line moved the account, signed, and its currency; of each treasury."""
        self.position = 0

    @property
    def bookings(self) -> Sequence[Booking]:
        """Every booking, in order."""
        return self._bookings

    @property
    def balances(self) -> Mapping[tuple[Account, str], int]:
        """What is on each account in each currency, in minor units; accounts with nothing are left out."""
        return {key: amount for key, amount in sorted(self._balances.items()) if amount}

    def balance(self, account: Account, currency: str) -> int:
        """What is on an account, with everything below it."""
        below = f"{account}:"
        return sum(
            amount for (name, kept), amount in self._balances.items() if kept == currency and (name == account or name.startswith(below))
        )

    def take(self, entry: Entry, events: Iterable[Event]) -> Sequence[Booking]:
        """Books what the next entry says; what it added."""
        return self.note(entry.position, instant(entry.at).date(), entry.stream, events)

    def note(self, position: int, on: date, stream: str, events: Iterable[Event]) -> Sequence[Booking]:
        """Books the facts of a stream at a position of the log; what they added."""
        added: list[Booking] = []
        for event in events:
            self._learn(stream, event)
            postings = tuple(posting for posting in self._postings(stream, event) if posting.amount)
            if postings:
                _require_balanced(postings)
                added.append(Booking(position, on, stream, event.kind, _words(event), postings))
                for posting in postings:
                    self._balances[posting.account, posting.currency] += posting.amount
        self._bookings += added
        self.position = position
        return added

    def _learn(self, stream: str, event: Event) -> None:
        """What later facts leave out."""
        match event:
            case CharterAdopted(charter=charter):
                self._currency = charter.currency
            case round_events.RoundOpened(terms=terms):
                self._currencies[stream] = terms.currency
            case round_events.SpendingProposed(spending=spending, line=line, amount=amount):
                self._spendings[stream, spending] = (line, amount)
            case treasury_events.LineBooked(line=line, details=details):
                sign = 1 if details.side == "credit" else -1
                self._lines[stream, line] = (sign * details.amount, details.currency)
            case _:
                pass

    def _postings(self, stream: str, event: Event) -> Iterator[Posting]:
        match process_of(stream):
            case "treasury":
                yield from self._of_treasury(stream, event)
            case "round":
                yield from self._of_round(stream, event, self._currencies.get(stream, self._currency))
            case "member":
                yield from self._of_member(stream, event, self._currency)
            case _:
                pass

    def _of_treasury(self, stream: str, event: Event) -> Iterator[Posting]:
        here = slug_of(stream)
        match event:
            case treasury_events.AccountOpened(currency=currency, opening_balance=balance):
                yield from _moved(OPENING, bank(here), balance, currency)
            case treasury_events.LineBooked(line=line):
                amount, currency = self._lines[stream, line]
                yield from _moved(unmatched(here), bank(here), amount, currency)
            case treasury_events.LineMatched(line=line, stream=to, amount=amount, currency=currency):
                self._passed[stream, line] = to
                yield self._out_of_suspense(stream, line)
                yield Posting(in_transit(to), -amount, currency)
            case treasury_events.ReceiptReversed(line=line, stream=str(to), amount=amount, currency=currency):
                self._passed[stream, line] = to
                yield self._out_of_suspense(stream, line)
                yield Posting(in_transit(to), amount, currency)
            case treasury_events.LineUnmatched(line=line) if (stream, line) in self._passed:
                amount, currency = self._lines[stream, line]
                yield from _moved(unmatched(here), in_transit(self._passed.pop((stream, line))), amount, currency)
            case treasury_events.LineExplained(line=line, account=account, side=side, amount=amount, currency=currency):
                yield self._out_of_suspense(stream, line)
                yield Posting(explained(account, side), amount if side == "debit" else -amount, currency)
            case treasury_events.PaymentConfirmed(line=line, amount=amount, currency=currency, charges=charges):
                yield self._out_of_suspense(stream, line)
                yield Posting(_paid_for(here, event), amount, currency)
                yield Posting(CHARGES, charges, currency)
            case treasury_events.PaymentReturned(line=line, amount=amount, currency=currency, charges=charges):
                yield self._out_of_suspense(stream, line)
                yield Posting(_paid_for(here, event), -amount, currency)
                yield Posting(CHARGES, charges, currency)
            case _:
                pass

    def _out_of_suspense(self, stream: str, line: str) -> Posting:
        """The posting by which a movement leaves suspense as the statement showed it; the fact says where it goes."""
        amount, currency = self._lines[stream, line]
        return Posting(unmatched(slug_of(stream)), amount, currency)

    def _of_round(self, stream: str, event: Event, currency: str) -> Iterator[Posting]:
        here, transit = slug_of(stream), in_transit(stream)
        match event:
            case round_events.PaymentRecorded(member=member, amount=amount, settled=settled, credited=credited):
                principal, late = _sums(settled)
                yield Posting(transit, amount, currency)
                yield Posting(contribution(here, member), -principal, currency)
                yield Posting(interest(here), -late, currency)
                yield Posting(credit(member, here), -credited, currency)
            case round_events.CreditApplied(member=member, settled=settled):
                principal, late = _sums(settled)
                yield from _moved(contribution(here, member), credit(member, here), principal, currency)
                yield from _moved(interest(here), credit(member, here), late, currency)
            case round_events.PaymentReversed(member=member, amount=amount, credit=shrunk, uncleared=uncleared, interest=late):
                yield Posting(transit, -amount, currency)
                yield Posting(interest(here), late, currency)
                yield Posting(credit(member, here), shrunk, currency)
                yield Posting(contribution(here, member), uncleared, currency)
            case round_events.InterestShared(credits=credits):
                for member, amount in credits.items():
                    yield from _moved(credit(member, here), interest(here), amount, currency)
            case round_events.InKindAccepted(member=member, value=value):
                yield from _moved(f"Income:In-kind:{_part(here)}:{_part(member)}", f"Expenses:In-kind:{_part(here)}", value, currency)
            case round_events.SpendingPaid(spending=spending):
                line, amount = self._spendings[stream, spending]
                yield from _moved(transit, spent(here, line), amount, currency)
            case round_events.SpendingReturned(spending=spending):
                line, amount = self._spendings[stream, spending]
                yield from _moved(spent(here, line), transit, amount, currency)
            case (
                round_events.RoundSettled(returns=returns)
                | round_events.RoundCancelled(returns=returns)
                | round_events.SurplusReturned(returns=returns)
            ):
                for member, amount in returns.items():
                    yield from _moved(credit(member, here), contribution(here, member), amount, currency)
            case round_events.RefundOrdered(member=member, amount=amount):
                yield from _moved(refunds(member, here), credit(member, here), amount, currency)
            case round_events.RefundReleased(member=member, amount=amount):
                yield from _moved(credit(member, here), refunds(member, here), amount, currency)
            case round_events.RefundMade(member=member, amount=amount, payment=payment):
                yield from _moved(transit, refunds(member, here) if payment else credit(member, here), amount, currency)
            case round_events.RefundReturned(member=member, amount=amount):
                yield from _moved(refunds(member, here), transit, amount, currency)
            case _:
                pass

    def _of_member(self, stream: str, event: Event, currency: str) -> Iterator[Posting]:
        member, transit = slug_of(stream), in_transit(stream)
        match event:
            case member_events.DuesInvoiced(credit_used=used):
                yield from _moved(dues(member), credit(member, DUES), used, currency)
            case member_events.DuesPaid(amount=amount, settled=settled):
                paid = sum(settled.values())
                yield from _moved(dues(member), transit, paid, currency)
                yield from _moved(credit(member, DUES), transit, amount - paid, currency)
            case member_events.DuesReversed(amount=amount, reopened=reopened):
                yield from _moved(transit, dues(member), reopened, currency)
                yield from _moved(transit, credit(member, DUES), amount - reopened, currency)
            case _:
                pass


def _paid_for(treasury: str, payment: treasury_events.PaymentConfirmed | treasury_events.PaymentReturned) -> Account:
    """What a payment was for; money that goes back to its unknown payer meets the movement that brought it."""
    if payment.purpose is Purpose.RETURN:
        return unmatched(treasury)
    return in_transit(payment.source) if payment.source else OTHER_EXPENSE


def _moved(source: Account, target: Account, amount: int, currency: str) -> tuple[Posting, Posting]:
    """Money goes from one account to another; a negative amount goes the other way."""
    return Posting(source, -amount, currency), Posting(target, amount, currency)


def _sums(settled: Iterable[Settlement]) -> tuple[int, int]:
    parts = tuple(settled)
    return sum(part.principal for part in parts), sum(part.interest for part in parts)


def _require_balanced(postings: Iterable[Posting]) -> None:
    """A fact's parts add up to its whole, and its whole to the movement that it tells of: no cent is lost between two facts."""
    sums: Counter[str] = Counter()
    for posting in postings:
        sums[posting.currency] += posting.amount
    assert not any(sums.values()), "a fact takes as much as it gives"


def _words(event: Event) -> str:
    """A fact's own words, and the names that it carries."""
    what = event.kind.replace("_", " ")
    named = (getattr(event, name, None) for name in ("member", "payee", "spending", "payment", "line", "reference", "reason"))
    details = getattr(event, "details", None)
    more = (details.counterparty, details.text) if isinstance(event, treasury_events.LineBooked) and details is not None else ()
    return " · ".join(str(part) for part in (what, *named, *more) if part)


async def ledger(log: Log, upto: int | None = None) -> Ledger:
    """The books of a log, up to a position or its head. Raises `UnreadableEntry`."""
    books, replica = Ledger(), Replica()
    while upto is None or books.position < upto:
        entries = await log.read(books.position, AT_A_TIME if upto is None else min(AT_A_TIME, upto - books.position))
        for entry in entries:
            books.take(entry, replica.events_of(replica.process_of(entry.stream), entry))
        if not entries:
            break
    return books


# ---------------------------------------------------------------- exports


def _plain(text: str, limit: int = 160) -> str:
    """Text of members as one line that neither program reads anything into, nor a spreadsheet to which they export it."""
    return re.sub(r"[\"\\;|{}=@#^\[\]]|^[-+*!(]", "'", one_line(text, limit))


def _accounts(bookings: Sequence[Booking]) -> Mapping[Account, tuple[date, tuple[str, ...]]]:
    """Each account with the day of its first posting and its currencies."""
    first: dict[Account, date] = {}
    kept: dict[Account, dict[str, None]] = {}
    for booking in bookings:
        for posting in booking.postings:
            first.setdefault(posting.account, booking.on)
            kept.setdefault(posting.account, {})[posting.currency] = None
    return {account: (first[account], tuple(sorted(kept[account]))) for account in sorted(first)}


def _currencies(bookings: Sequence[Booking]) -> Mapping[str, date]:
    """Each currency with the day of its first posting."""
    first: dict[str, date] = {}
    for booking in bookings:
        for posting in booking.postings:
            first.setdefault(posting.currency, booking.on)
    return dict(sorted(first.items()))


def _final(bookings: Sequence[Booking]) -> Mapping[tuple[Account, str], int]:
    sums: Counter[tuple[Account, str]] = Counter()
    for booking in bookings:
        for posting in booking.postings:
            sums[posting.account, posting.currency] += posting.amount
    return dict(sorted(sums.items()))


def beancount(bookings: Sequence[Booking], title: str = "Consortium") -> str:
    """The books for Beancount: every account opened, and what is on each asserted at the end; `bean-check` accepts it."""
    lines = [f'option "title" "{_plain(title)}"']
    lines += [f'option "operating_currency" "{currency}"' for currency in _currencies(bookings)]
    lines += ["", *(f"{on.isoformat()} commodity {currency}" for currency, on in _currencies(bookings).items())]
    lines += ["", *(f"{on.isoformat()} open {account} {','.join(kept)}" for account, (on, kept) in _accounts(bookings).items())]
    for booking in bookings:
        lines += ["", f'{booking.on.isoformat()} * "{_plain(booking.stream)}" "{_plain(booking.text)}"', f"  entry: {booking.position}"]
        lines += [f"  {posting.account}  {decimal(posting.amount, posting.currency)} {posting.currency}" for posting in booking.postings]
    if bookings:
        after = date.fromordinal(bookings[-1].on.toordinal() + 1).isoformat()
        lines += [
            "",
            *(f"{after} balance {account}  {decimal(amount, kept)} {kept}" for (account, kept), amount in _final(bookings).items()),
        ]
    return "\n".join(lines) + "\n"


def hledger(bookings: Sequence[Booking], title: str = "Consortium") -> str:
    """The books for hledger: accounts and commodities declared, and what is on each account asserted at the end; `hledger check --strict` accepts it."""
    lines = [f"; {_plain(title)}", "", "decimal-mark .", ""]
    lines += [f"commodity 1000.{'0' * MINOR_UNITS.get(currency, 2)} {currency}" for currency in _currencies(bookings)]
    lines += ["", *(f"account {account}" for account in _accounts(bookings))]
    for booking in bookings:
        lines += ["", f"{booking.on.isoformat()} * ({booking.position}) {_plain(booking.stream)}: {_plain(booking.text)}"]
        lines += [f"    {posting.account}  {decimal(posting.amount, posting.currency)} {posting.currency}" for posting in booking.postings]
    if bookings:
        lines += ["", f"{bookings[-1].on.isoformat()} * what is on every account"]
        lines += [f"    {account}  0 {kept} = {decimal(amount, kept)} {kept}" for (account, kept), amount in _final(bookings).items()]
    return "\n".join(lines) + "\n"
