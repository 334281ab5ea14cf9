"""The ledger: every booking of a log, in order, and what is on each account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from audit.ledger.books import Account, Booking, Bookkeeper, Posting, require_balanced
from audit.ledger.member import Members
from audit.ledger.round import Rounds
from audit.ledger.treasury import Treasuries
from domain.kernel import Event, process_of
from domain.register.facts import CharterAdopted
from domain.stream import COMMON
from domain.treasury.events import LineBooked
from eventstore.entries import Entry, instant
from eventstore.log import Log
from eventstore.replica import Replica

AT_A_TIME: Final = 10_000

BOOKKEEPERS: Final[Mapping[str, Callable[[], Bookkeeper]]] = {"member": Members, "round": Rounds, "treasury": Treasuries}
"""Who books the facts of each process that owns money."""

OWN_NO_MONEY: Final[Mapping[str, str]] = {
    "consortium": "the charter names amounts that other processes ask for",
    "proposal": "costs and budgets are what an option says of itself; a vote orders a command, and moves nothing",
    "run": "what a trainer reports and forecasts; the round pays for it",
    "release": "its messages hold no amount",
}
"""Every other process, and why no money is its own."""


class Ledger:
    """The books as of a position of the log. Entries are taken in order, from the first."""

    def __init__(self) -> None:
        self._bookings: list[Booking] = []
        self._balances: Counter[tuple[Account, str]] = Counter()
        self._bookkeepers = {process: make() for process, make in BOOKKEEPERS.items()}
        self._currency = ""
        """The charter's."""
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
            postings = tuple(posting for posting in self._postings(stream, event) if posting.amount)
            if postings:
                require_balanced(postings)
                added.append(Booking(position, on, stream, event.kind, _words(event), postings))
                for posting in postings:
                    self._balances[posting.account, posting.currency] += posting.amount
        self._bookings += added
        self.position = position
        return added

    def _postings(self, stream: str, event: Event) -> Sequence[Posting]:
        process = process_of(stream)
        bookkeeper = self._bookkeepers.get(process)
        if bookkeeper is None:
            assert process in OWN_NO_MONEY, (
                f"the process {process!r} has no place in the ledger (BOOKKEEPERS, or OWN_NO_MONEY with a reason)"
            )
            if isinstance(event, CharterAdopted):
                self._currency = event.charter.currency
            return ()
        return () if type(event) in COMMON else bookkeeper.postings(stream, event, self._currency)


def _words(event: Event) -> str:
    """A fact's own words, and the names that it carries."""
    what = event.kind.replace("_", " ")
    named = (getattr(event, name, None) for name in ("member", "payee", "spending", "payment", "line", "reference", "reason"))
    more = (event.details.counterparty, event.details.text) if isinstance(event, LineBooked) else ()
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
