"""The books in the formats of Beancount and hledger, as their own checkers accept them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from audit.ledger.books import Account, Booking
from domain.kernel import one_line
from domain.money import MINOR_UNITS, decimal


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
