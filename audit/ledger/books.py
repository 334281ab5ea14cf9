"""What the books consist of: accounts, postings, bookings, and how a process's facts become postings."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Protocol

from domain.kernel import process_of, slug_of

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


class Bookkeeper(Protocol):
    """Turns the facts of one process's streams into postings. It is given every fact of theirs in order, and keeps what later ones leave out."""

    def postings(self, stream: str, event: Any, currency: str) -> Sequence[Posting]:
        """What a fact moves: nothing, or postings that add up to nothing in each currency. `currency` is the charter's."""


def moved(source: Account, target: Account, amount: int, currency: str) -> tuple[Posting, Posting]:
    """Money goes from one account to another; a negative amount goes the other way."""
    return Posting(source, -amount, currency), Posting(target, amount, currency)


def require_balanced(postings: Iterable[Posting]) -> None:
    """A fact's parts add up to its whole, and its whole to the movement that it is about: no cent is lost between two facts."""
    sums: Counter[str] = Counter()
    for posting in postings:
        sums[posting.currency] += posting.amount
    assert not any(sums.values()), "a fact takes as much as it gives"


# ---------------------------------------------------------------- accounts that several processes move


def unmatched(treasury: str) -> Account:
    """What came in or went out, and nobody has said yet what it was."""
    return f"Liabilities:Unmatched:{part(treasury)}"


def in_transit(stream: str) -> Account:
    """What the treasury moved for a stream that has not recorded it yet."""
    return f"Liabilities:In-transit:{part(process_of(stream))}:{part(slug_of(stream))}"


def credit(member: str, where: str) -> Account:
    """What is owed to a member: its credit in a round, or in its dues."""
    return f"Liabilities:Credit:{part(member)}:{part(where)}"


def setting_off(member: str) -> Account:
    """What of a member's credit was taken for what it owes elsewhere, and is not booked there yet: nothing, when no step is owed any more."""
    return f"Liabilities:Set-off:{part(member)}"


_PART: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_HASHED: Final = re.compile(r".*-[0-9a-f]{8}")


def part(name: str) -> str:
    """A name as a part of an account: handles keep theirs; another text loses what the programs could misread, and gets a mark of its own."""
    plain = name if _PART.fullmatch(name) and not _HASHED.fullmatch(name) else ""
    if not plain:
        letters = re.sub(r"[^a-z0-9]+", "-", name.lower())[:60].strip("-")
        plain = f"{letters or 'other'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return plain[0].upper() + plain[1:]
