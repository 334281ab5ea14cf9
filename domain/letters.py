"""Letters: what one process tells another, by a step that records it on the other's stream.

They are imported by who sends and by who gets them, so a letter that only one of the two knows is a type error. Each says the process
that it is for. What is no letter can be sent by a passed proposal only (`domain.process.tell_motion`). The values that cross stand here too.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from domain.forms import Form
from domain.kernel import SLUG, STREAM, Digest, Instant, Letter, MemberId, Message, Name, PersonId, Prose, Slug, is_empty
from domain.money import CEILING, Amount, Currency, Minor
from domain.reference import BankReference

# ---------------------------------------------------------------- values that cross


TrancheNumber = Annotated[int, Field(ge=1, le=50)]
"""Tranches are numbered from 1 in the order in which they are called."""

RoundName = Annotated[str, Field(pattern=rf"^round/{SLUG}$"), Form("a round's stream", "round/atlas-1")]


class Purpose(StrEnum):
    """Why money goes out, and so what the stream that ordered it is told."""

    SPENDING = "spending"
    REFUND = "refund"
    RETURN = "return"
    OTHER = "other"


class ListedRefund(Message):
    """A refund of a list: its payment, who is paid, and how much."""

    payment: Slug
    member: MemberId
    amount: Amount


PayeeId = Annotated[str, Field(pattern=rf"^(member:)?{SLUG}$", max_length=72), Form("a supplier's handle, or member:<id>", "gpu-cloud")]
"""Who is paid: a supplier's handle, or `member:<id>`."""

Source = Annotated[str, Field(pattern=rf"^[a-z]{{1,20}}/{SLUG}$", max_length=90), Form("a stream, like round/atlas-1", "round/atlas-1")]
"""The stream that ordered a payment, or whose money arrived."""

SetOffNumber = Annotated[int, Field(ge=1)]
"""The set-offs of one member on the stream that it owes on are numbered from 1; one asks each round at most once."""

LISTED: Final = 100
"""The most payments of one list."""


# ---------------------------------------------------------------- to a funding round


class RecordPayment(Letter):
    """Money of a member arrived. It settles what is due, then what is not due yet; what is left over is the member's credit. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["record_payment"] = "record_payment"
    member: MemberId
    amount: Amount
    currency: Currency | None = None
    reference: BankReference
    value_date: date


class ReversePayment(Letter):
    """The bank took a member's payment back: credit shrinks first, and what it had settled is called again. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["reverse_payment"] = "reverse_payment"
    member: MemberId
    amount: Amount
    reference: BankReference
    """Of the movement that took it back."""
    original: BankReference


class RecordSpending(Letter):
    """The approved amount left the account. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["record_spending"] = "record_spending"
    spending: Slug
    reference: BankReference


class ReturnSpending(Letter):
    """What was paid came back to the account: it is reserved again. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["return_spending"] = "return_spending"
    spending: Slug
    reference: BankReference


class ReleaseSpending(Letter):
    """The payment is given up: what was reserved is free. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["release_spending"] = "release_spending"
    spending: Slug
    reason: Prose = ""


class RecordRefund(Letter):
    """A refund left the account. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["record_refund"] = "record_refund"
    payment: Slug
    member: MemberId
    amount: Amount
    reference: BankReference


class ReturnRefund(Letter):
    """A refund came back to the account: it is on its way again, or will be given up. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["return_refund"] = "return_refund"
    payment: Slug
    member: MemberId
    amount: Amount
    reference: BankReference


class ReleaseRefund(Letter):
    """The refund is given up: it is the member's credit again. By the treasury process."""

    to: ClassVar[str] = "round"
    kind: Literal["release_refund"] = "release_refund"
    payment: Slug
    member: MemberId
    amount: Amount
    reason: Prose = ""


class ReleaseLeaver(Letter):
    """The member leaves the consortium. By the membership process."""

    to: ClassVar[str] = "round"
    kind: Literal["release_leaver"] = "release_leaver"
    member: MemberId
    notice_over: bool = False
    """Whether its notice is over, or it had none."""


class KeepMember(Letter):
    """The member took its notice back. By the membership process."""

    to: ClassVar[str] = "round"
    kind: Literal["keep_member"] = "keep_member"
    member: MemberId


class SetOffCredit(Letter):
    """A member owes something elsewhere: what is payable to it here pays that, at most so much. By the stream that it owes on."""

    to: ClassVar[str] = "round"
    kind: Literal["set_off_credit"] = "set_off_credit"
    member: MemberId
    debtor: Source
    """The stream that it owes on, which is answered."""
    number: SetOffNumber
    amount: Amount
    currency: Currency
    after_refunds: bool = False
    """Whether a refund that is on its way is waited for while nothing is payable: what is given up of it is set off then."""


class RestoreCredit(Letter):
    """The member owed less than was taken for it: the rest is its credit again. By the stream that it owes on."""

    to: ClassVar[str] = "round"
    kind: Literal["restore_credit"] = "restore_credit"
    member: MemberId
    debtor: Source
    number: SetOffNumber
    amount: Amount


class ReleaseTranche(Letter):
    """The milestone was accepted. By the round's run, which names itself and the milestone; by the board while there is no run."""

    to: ClassVar[str] = "round"
    kind: Literal["release_tranche"] = "release_tranche"
    tranche: TrancheNumber
    run: Slug | None = None
    milestone: Slug | None = None
    evidence: Digest | None = None


# ---------------------------------------------------------------- to a membership


class RecordDuesPayment(Letter):
    """Dues arrived on the account. They settle the oldest invoice first; what is left over is credit. By the treasury process."""

    to: ClassVar[str] = "member"
    kind: Literal["record_dues_payment"] = "record_dues_payment"
    amount: Amount
    currency: Currency | None = None
    reference: BankReference
    value_date: date


class ReverseDuesPayment(Letter):
    """The bank took a payment of dues back: credit shrinks first, and what it had settled is owed again. By the treasury process."""

    to: ClassVar[str] = "member"
    kind: Literal["reverse_dues_payment"] = "reverse_dues_payment"
    amount: Amount
    reference: BankReference
    """Of the movement that took it back."""
    original: BankReference


class SuspendForDefault(Letter):
    """A round reports a default."""

    to: ClassVar[str] = "member"
    kind: Literal["suspend_for_default"] = "suspend_for_default"
    source: RoundName


class LiftDefault(Letter):
    """The default is mended."""

    to: ClassVar[str] = "member"
    kind: Literal["lift_default"] = "lift_default"
    source: RoundName


class RecordSetOff(Letter):
    """What a round took of the member's credit for the dues that it owes: nothing, or as much as was asked at most. By that round."""

    to: ClassVar[str] = "member"
    kind: Literal["record_set_off"] = "record_set_off"
    source: RoundName
    number: SetOffNumber
    amount: Annotated[Minor, Field(ge=0, le=CEILING)]


# ---------------------------------------------------------------- to the treasury


class OrderPayment(Letter):
    """Ask for a payment. By the service for another stream; by the treasurer for the treasury itself (no source, purpose `other`)."""

    to: ClassVar[str] = "treasury"
    kind: Literal["order_payment"] = "order_payment"
    payment: Slug
    source: Source | None = None
    payee: PayeeId
    amount: Amount
    currency: Currency | None = None
    purpose: Purpose = Purpose.OTHER
    subject: Slug | None = None
    """The source's own name for it: the spending, or the member refunded."""
    text: Annotated[Prose, Field(max_length=140)] = ""
    """What the payee reads on the statement."""
    ordered_by: PersonId | None = None
    """The person behind an order of another stream, who does not approve it."""


class OrderPaymentList(Letter):
    """Ask for many refunds that are approved together, as one list. Whose bank details are not approved is left out, and the source told."""

    to: ClassVar[str] = "treasury"
    kind: Literal["order_payment_list"] = "order_payment_list"
    payment_list: Slug
    source: Source
    currency: Currency
    text: Annotated[Prose, Field(max_length=140)] = ""
    """What each payee reads on the statement."""
    ordered_by: PersonId
    """The person behind the order, who does not approve it."""
    approved_by: Annotated[tuple[PersonId, ...], Field(max_length=10)] = ()
    """Who approved it beforehand, by a standing order: it goes out at once, where they are enough and the money is there."""
    refunds: Annotated[tuple[ListedRefund, ...], Field(min_length=1, max_length=LISTED)]


class TurnAwayPayment(Letter):
    """The stream that money was passed on to cannot take it, or cannot undo it: a person decides."""

    to: ClassVar[str] = "treasury"
    kind: Literal["turn_away_payment"] = "turn_away_payment"
    line: BankReference
    """The movement, by the reference under which the stream was told of it."""
    stream: Source
    reason: Annotated[Prose, Field(max_length=500)]


# ---------------------------------------------------------------- to a release


class EndLeases(Letter):
    """A member lost its rights: its early access ends. By the membership process."""

    to: ClassVar[str] = "release"
    kind: Literal["end_leases"] = "end_leases"
    member: MemberId


class SupersedeRelease(Letter):
    """A newer release is public in its place. By the release process."""

    to: ClassVar[str] = "release"
    kind: Literal["supersede_release"] = "supersede_release"
    by: Slug


# ---------------------------------------------------------------- to a vote


class Motion(Message):
    """What a passed proposal does: one command on one stream, which is authorised exactly as it is written here.

    `otherwise` is given when it does not pass, and `unanswered` when too few voted; only a process that asks for a vote may say so.
    """

    stream: Annotated[str, Field(pattern=rf"^{STREAM.pattern}$", max_length=100), Form("a stream, like round/atlas-1", "round/atlas-1")]
    command: dict[str, Any]
    """A command of that stream: its kind and its fields."""
    otherwise: dict[str, Any] | None = None
    """What is given when it does not pass; a person leaves it out."""
    unanswered: dict[str, Any] | None = Field(default=None, exclude_if=is_empty)
    """What is given in its place when too few voted; a person leaves it out."""


class Steered(Message):
    """What an option asks of a run's contract: when it wins, or is funded, a contract that names something else is refused."""

    run: Slug
    parameters_millions: Annotated[int, Field(ge=1, le=10**8)] | None = None
    """The model's size."""
    budget: Amount | None = None
    """The contract's P80; where options share a budget it is the option's cost, and left out here."""


class Option(Message):
    """One of several to choose from; with its cost when a budget is shared."""

    id: Slug
    label: Name
    cost: Amount | None = None
    contract: Annotated[Steered | None, Field(exclude_if=is_empty)] = None
    """What it asks of a run's contract; left out where it binds none."""


class Terms(Message):
    """What is voted on."""

    title: Name
    text: Prose = ""
    motion: Motion | None = None
    """What is done when it passes; the class of decision follows from it."""
    decision: Slug | None = None
    """The class of decision, where no motion tells it."""
    options: Annotated[tuple[Option, ...], Field(max_length=50)] = ()
    """What is chosen from, where options are ranked or share a budget."""
    budget: Amount | None = None
    """What the options share."""
    opens_at: Instant | None = None
    """Later than the charter's notice, when wished."""


class Propose(Terms, Letter):
    """Put something to the vote. By a representative of an active member, or an office that sponsors such decisions."""

    to: ClassVar[str] = "proposal"
    kind: Literal["propose"] = "propose"
