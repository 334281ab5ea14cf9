"""What becomes true of a treasury, stored for ever. Amounts are minor units of the currency that stands beside them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain.kernel import Digest, Event, Instant, MemberId, Name, PersonId, Prose, Slug
from domain.letters import PayeeId, Purpose, Source
from domain.money import Currency, Minor
from domain.register.facts import LegalEntity, PayeeLinked
from domain.treasury.terms import (
    Bic,
    Creditor,
    Cursor,
    EndToEndId,
    Identifier,
    Line,
    LineId,
    ListedPayment,
    MaybeIban,
    OtherBank,
    OtherNumber,
    Page,
    Side,
    Unmatched,
    require_account,
)


class AccountOpened(Event):
    """The treasury keeps this account. Books begin with the opening balance."""

    kind: Literal["account_opened"] = "account_opened"
    iban: MaybeIban = None
    bic: Bic | None = None
    owner: Name
    currency: Currency
    opening_balance: Minor
    look_at: Instant
    """When the bank is asked for statements first."""
    number: OtherNumber = None
    """The account's number where the bank gives no IBAN; `bic` or `clearing` names the bank."""
    clearing: OtherBank = None
    """The bank by its number in a clearing system, after the system's code: `USABA021000021`."""

    _names_an_account = model_validator(mode="after")(require_account)


class StatementsSought(Event):
    """The bank was asked; it is asked again then."""

    kind: Literal["statements_sought"] = "statements_sought"
    number: Annotated[int, Field(ge=1)]
    look_at: Instant


class StatementsFound(Event):
    """How far the bank's files have been fetched."""

    kind: Literal["statements_found"] = "statements_found"
    cursor: Cursor


class ImportStarted(Event):
    """A file is being read."""

    kind: Literal["import_started"] = "import_started"
    file: Digest
    name: Annotated[Prose, Field(max_length=200)] = ""


class ChunkImported(Event):
    """A chunk of a file was taken: so many lines counted, so many known already."""

    kind: Literal["chunk_imported"] = "chunk_imported"
    file: Digest
    page: Page | None
    counted: int
    repeated: int
    other_accounts: int
    not_booked: int
    finished: bool
    """Whether it was the file's last."""
    shown: tuple[LineId, ...] = ()
    """Of a page that another file brought before: the lines known from there that this one shows again."""


class ImportRefused(Event):
    """A file was not taken, or no further."""

    kind: Literal["import_refused"] = "import_refused"
    file: Digest
    reason: Annotated[Prose, Field(max_length=500)]


class LineBooked(Event):
    """Money moved on the account. Until another fact says what it was, it stands in suspense."""

    kind: Literal["line_booked"] = "line_booked"
    line: LineId
    details: Line
    key: Digest
    likeness: Digest
    file: Digest
    statement: Identifier
    page: int


class LineDoubted(Event):
    """A line looks like an earlier one that the bank's ids do not tell apart from it, or is new on a page that was there before.

    Nothing is booked until a person judges.
    """

    kind: Literal["line_doubted"] = "line_doubted"
    line: LineId
    details: Line
    key: Digest
    likeness: Digest
    file: Digest
    statement: Identifier
    page: int


class LineDismissed(Event):
    """A doubted line was a repeat."""

    kind: Literal["line_dismissed"] = "line_dismissed"
    line: LineId
    by: PersonId
    reason: Prose


class LineMissed(Event):
    """A line that counts is not on the corrected page that this file brought: it counts until a person judges."""

    kind: Literal["line_missed"] = "line_missed"
    line: LineId
    file: Digest


class MissedLineJudged(Event):
    """What a person said of a line that a corrected page does not show any more."""

    kind: Literal["missed_line_judged"] = "missed_line_judged"
    line: LineId
    verdict: Literal["stands", "withdrawn"]
    by: PersonId
    reason: Prose


class LineUnmatched(Event):
    """A movement waits in suspense for the treasurer."""

    kind: Literal["line_unmatched"] = "line_unmatched"
    line: LineId
    amount: Minor
    currency: Currency
    side: Side
    reason: Unmatched
    stream: Source | None = None
    """For money turned away: by whom."""
    note: Annotated[Prose, Field(max_length=500)] = ""


class LineMatched(Event):
    """A credit is a member's money for a stream: out of suspense, to what is held for the member there."""

    kind: Literal["line_matched"] = "line_matched"
    line: LineId
    stream: Source
    member: MemberId
    amount: Minor
    currency: Currency
    value_date: date
    attempt: Annotated[int, Field(ge=1)]
    """How often the line was passed on."""
    by: PersonId | None = None
    """Who assigned it, where no reference did."""
    reason: Prose = ""


class LineExplained(Event):
    """A movement concerns no member and no payment: out of suspense, to this account."""

    kind: Literal["line_explained"] = "line_explained"
    line: LineId
    amount: Minor
    currency: Currency
    side: Side
    account: Literal["bank-charges", "bank-interest", "transfer", "other"]
    by: PersonId
    reason: Prose


class ReceiptReversed(Event):
    """A debit undid an earlier credit: both leave suspense, or what was held for the member is held no longer."""

    kind: Literal["receipt_reversed"] = "receipt_reversed"
    line: LineId
    original: LineId
    amount: Minor
    currency: Currency
    stream: Source | None = None
    """The stream that the credit had been passed on to."""
    member: MemberId | None = None
    by: PersonId | None = None
    """Who said so, where no id did."""
    note: Prose = ""


class PayeeNamed(Event):
    """Bank details of a payee wait for approval."""

    kind: Literal["payee_named"] = "payee_named"
    payee: PayeeId
    account: Creditor
    details: Digest
    by: PersonId
    member: MemberId | None = None
    """To which it was declared to belong."""
    lei: LegalEntity | None = None
    shared_with: tuple[PayeeId, ...] = ()
    """The other payees with the same account, when it was named."""


class PayeeSigned(Event):
    """One person approved a payee's bank details; more are needed."""

    kind: Literal["payee_signed"] = "payee_signed"
    payee: PayeeId
    details: Digest
    by: PersonId


class PayeeApproved(Event):
    """Payments to the payee go to these details from here on."""

    kind: Literal["payee_approved"] = "payee_approved"
    payee: PayeeId
    details: Digest
    by: PersonId


class PayeeBlocked(Event):
    """No payment goes to the payee."""

    kind: Literal["payee_blocked"] = "payee_blocked"
    payee: PayeeId
    by: PersonId
    reason: Prose


class PaymentOrdered(Event):
    """A payment waits for its approvals."""

    kind: Literal["payment_ordered"] = "payment_ordered"
    payment: Slug
    source: Source | None
    payee: PayeeId
    amount: Minor
    currency: Currency
    purpose: Purpose
    subject: Slug | None
    text: Annotated[Prose, Field(max_length=140)]
    by: PersonId
    approvals: Annotated[int, Field(ge=1)]
    """How many different people must sign, by the charter then in force."""
    line: LineId | None = None
    """The unmatched credit that goes back with it."""


class PaymentSigned(Event):
    """One person approved the payment with this digest; more are needed."""

    kind: Literal["payment_signed"] = "payment_signed"
    payment: Slug
    attempt: int
    digest: Digest
    by: PersonId


class PaymentApproved(Event):
    """The last approval: the order goes to the bank under these ids."""

    kind: Literal["payment_approved"] = "payment_approved"
    payment: Slug
    attempt: int
    digest: Digest
    by: PersonId
    account: Creditor
    amount: Minor
    currency: Currency
    message_id: EndToEndId
    end_to_end_id: EndToEndId
    execute_on: date


class PaymentListOrdered(Event):
    """These payments, which were ordered just before, wait for approvals that count for all of them."""

    kind: Literal["payment_list_ordered"] = "payment_list_ordered"
    payment_list: Slug
    source: Source
    currency: Currency
    lines: tuple[ListedPayment, ...]
    left_out: tuple[Slug, ...]
    """The payments whose payees have no approved bank details: they are cancelled with this, and hold up no other."""
    digest: Digest
    """Of `lines`: what an approval is bound to."""
    by: PersonId
    approvals: Annotated[int, Field(ge=1)]
    """How many different people must sign, by the charter then in force."""
    approved_by: tuple[PersonId, ...] = ()
    """Who approved it beforehand, by a standing order of its source."""


class PaymentListSigned(Event):
    """One person approved the list with this digest; more are needed."""

    kind: Literal["payment_list_signed"] = "payment_list_signed"
    payment_list: Slug
    digest: Digest
    by: PersonId


class PaymentListApproved(Event):
    """The last approval of a list: each of its payments goes to the bank, but for those whose bank details are not the listed ones any more."""

    kind: Literal["payment_list_approved"] = "payment_list_approved"
    payment_list: Slug
    digest: Digest
    by: PersonId
    left_out: tuple[Slug, ...]
    """The payments whose payees' bank details changed since: they are cancelled with this."""


class PaymentListCancelled(Event):
    """A list is given up with all of its payments."""

    kind: Literal["payment_list_cancelled"] = "payment_list_cancelled"
    payment_list: Slug
    by: PersonId
    reason: Prose


class PaymentTaken(Event):
    """The bank took the order."""

    kind: Literal["payment_taken"] = "payment_taken"
    payment: Slug
    attempt: int
    bank_id: Identifier = ""


class PaymentFailed(Event):
    """The bank will not pay this attempt."""

    kind: Literal["payment_failed"] = "payment_failed"
    payment: Slug
    attempt: int
    code: str = ""
    reason: Annotated[Prose, Field(max_length=4_000)]
    by: PersonId | None = None
    """Who recorded it, where the bank did not answer so itself."""


class PaymentConfirmed(Event):
    """A statement shows that the money left: out of suspense, from what was held for the source or the member."""

    kind: Literal["payment_confirmed"] = "payment_confirmed"
    payment: Slug
    attempt: int
    line: LineId
    source: Source | None
    payee: PayeeId
    purpose: Purpose
    subject: Slug | None
    amount: Minor
    currency: Currency
    value_date: date
    charges: Minor = 0
    """What the bank kept of it for itself."""
    by: PersonId | None = None
    """Who said so, where no id did."""
    note: Prose = ""


class PaymentReturned(Event):
    """A statement shows that a confirmed payment came back: the reverse of its confirmation."""

    kind: Literal["payment_returned"] = "payment_returned"
    payment: Slug
    attempt: int
    line: LineId
    source: Source | None
    payee: PayeeId
    purpose: Purpose
    subject: Slug | None
    amount: Minor
    currency: Currency
    value_date: date
    reason: str = ""
    charges: Minor = 0
    """What the bank kept of it for itself."""
    by: PersonId | None = None
    """Who said so, where no id did."""
    note: Prose = ""


class PaymentRenewed(Event):
    """A new attempt waits for its approvals."""

    kind: Literal["payment_renewed"] = "payment_renewed"
    payment: Slug
    attempt: int
    by: PersonId


class PaymentCancelled(Event):
    """The payment is given up."""

    kind: Literal["payment_cancelled"] = "payment_cancelled"
    payment: Slug
    by: PersonId
    reason: Prose


StatementEvent = StatementsSought | StatementsFound | ImportStarted | ChunkImported | ImportRefused
"""What was fetched from the bank, and how far it was read."""

LineEvent = (
    LineBooked | LineDoubted | LineDismissed | LineMissed | MissedLineJudged | LineUnmatched | LineMatched | LineExplained | ReceiptReversed
)
"""What became of a movement on the account."""

PayeeEvent = PayeeNamed | PayeeSigned | PayeeApproved | PayeeBlocked | PayeeLinked
"""Where payments may go to."""

PaymentEvent = (
    PaymentOrdered
    | PaymentSigned
    | PaymentApproved
    | PaymentTaken
    | PaymentFailed
    | PaymentConfirmed
    | PaymentReturned
    | PaymentRenewed
    | PaymentCancelled
)
"""How far a payment came."""

PaymentListEvent = PaymentListOrdered | PaymentListSigned | PaymentListApproved | PaymentListCancelled
"""What was decided of payments together."""

TreasuryEvent = AccountOpened | StatementEvent | LineEvent | PayeeEvent | PaymentEvent | PaymentListEvent
