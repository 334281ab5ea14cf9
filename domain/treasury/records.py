"""What a treasury's state is made of: the files that were imported, the movements, who is paid, and the payments.

They are named tuples, as the state itself is: every fact copies some, and a named tuple is copied in a sixth of the time of a frozen dataclass.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from domain.kernel import Map, MemberId, PersonId
from domain.letters import Purpose
from domain.treasury.terms import Creditor, Line, ListedPayment, Page, Unmatched


class Import(NamedTuple):
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


class Place(NamedTuple):
    """Where a line was seen: a page of a statement in a file."""

    file: str
    statement: str
    page: int


class Sightings(NamedTuple):
    """The lines that look alike: where the first of them stood, and where each key was seen first."""

    first: Place
    keys: Map[str, Place]


Stage = Literal[
    "booked", "doubted", "dismissed", "unmatched", "matched", "explained", "returning", "sent-back", "paid", "undone", "reversed"
]
"""What became of a movement. `unmatched` and `returning` credits are earmarked: no other payment may use them. Of a receipt and what
took it back, the receipt is `undone`, and the other `reversed`."""


class Movement(NamedTuple):
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


class Proposed(NamedTuple):
    """Bank details that wait for approval."""

    account: Creditor
    details: str
    named_by: PersonId
    signed: frozenset[PersonId] = frozenset()
    member: MemberId | None = None
    """To which it was declared to belong."""
    lei: str | None = None


class Payee(NamedTuple):
    """Who can be paid: on the approved account, until another one is approved."""

    account: Creditor | None = None
    account_digest: str = ""
    """Of the approved account, as it was named."""
    proposed: Proposed | None = None
    member: MemberId | None = None
    """To which it was declared to belong, with the approved account."""
    lei: str | None = None

    @property
    def accounts(self) -> tuple[Creditor | None, Creditor | None]:
        """The approved account, and the one that waits for approval."""
        return self.account, self.proposed.account if self.proposed else None


class Payment(NamedTuple):
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


class PaymentList(NamedTuple):
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
