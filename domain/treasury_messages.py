"""What a treasury is told and what is stored of it for ever: its commands, its steps' data and outcomes, its events.

Amounts are minor units of the currency that stands beside them. Account numbers stand only where money is sent from or to;
they are left out of every `repr`, and people see them masked.

Three steps speak to the bank. Each step's `data` is one model below, dumped to JSON; its outcome is one of the commands:

| step | data | outcomes |
| --- | --- | --- |
| fetch_statements | `FetchStatements` | `StatementsFetched` |
| read_statement | `ReadStatement` | `StatementRead` (a chunk; the next one is owed by the process), `ReportRead`, `StatementRefused` |
| send_payment | `SendPayment` | `PaymentAccepted`, `PaymentRejected` |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal, Protocol, TypeVar

from pydantic import AfterValidator, Field, model_validator

from domain.forms import Form
from domain.kernel import SLUG, Command, Digest, Event, Instant, MemberId, Message, Name, Outcome, PersonId, Prose, Slug, canonical_json
from domain.money import CEILING, Amount, Currency, Minor
from domain.reference import parse_account_number, parse_bic, parse_clearing_member, parse_iban
from domain.register import CreditorReference

LINES: Final = 100
"""The most lines of one chunk; a chunk is also shorter than 48 KiB as JSON."""

FILES: Final = 100
"""The most files that one look brings."""

ASIDE: Final = 20
"""The most files that one look tells of as put aside."""

ANSWERS: Final = 100
"""The most answers that a report on an order tells."""

LISTED: Final = 100
"""The most payments of one list."""

Iban = Annotated[
    str, Field(max_length=60), AfterValidator(parse_iban), Form("an account number (IBAN, ISO 13616)", "CH9300762011623852957")
]
"""An account number (ISO 13616): kept without spaces; its check digits are right."""

Bic = Annotated[str, Field(max_length=20), AfterValidator(parse_bic), Form("a bank's identifier (BIC, ISO 9362)", "UBSWCHZH80A")]
"""A bank (ISO 9362)."""

AccountNumber = Annotated[
    str,
    Field(max_length=60),
    AfterValidator(parse_account_number),
    Form("an account number that is no IBAN: 4 to 34 letters and digits", "000123456789"),
]
"""An account's number where banks give no IBAN (ISO 20022 `Othr/Id`): kept without spaces and hyphens."""

ClearingMember = Annotated[
    str,
    Field(max_length=60),
    AfterValidator(parse_clearing_member),
    Form("a bank of a clearing system, like USABA021000021", "USABA021000021"),
]
"""A bank by its number in a clearing system (ISO 20022 `ClrSysMmbId`): `USABA021000021`."""


def _unsaid(value: object) -> bool:
    """What is not said is not written either, so that accounts with an IBAN keep the bytes, and the digests, that people signed."""
    return value is None


OtherNumber = Annotated[AccountNumber | None, Field(exclude_if=_unsaid, repr=False)]
OtherBank = Annotated[ClearingMember | None, Field(exclude_if=_unsaid)]
MaybeIban = Annotated[Iban | None, Field(repr=False)]


class _Account(Protocol):
    """What names an account."""

    @property
    def iban(self) -> str | None: ...
    @property
    def number(self) -> str | None: ...
    @property
    def bic(self) -> str | None: ...
    @property
    def clearing(self) -> str | None: ...


Named = TypeVar("Named", bound=_Account)


def _require_account(named: Named) -> Named:
    """An account is named by its IBAN alone, or by another number, which means something only at its bank."""
    if (named.iban is None) == (named.number is None):
        raise ValueError("an account has an IBAN (`iban`) or another number (`number`): name one of them")
    if named.number is not None and named.bic is None and named.clearing is None:
        raise ValueError("a number that is no IBAN needs its bank: `bic`, or `clearing` as USABA021000021")
    return named


PayeeId = Annotated[str, Field(pattern=rf"^(member:)?{SLUG}$", max_length=72), Form("a supplier's handle, or member:<id>", "gpu-cloud")]
"""Who is paid: a supplier's handle, or `member:<id>`."""

Source = Annotated[str, Field(pattern=rf"^[a-z]{{1,20}}/{SLUG}$", max_length=90), Form("a stream, like round/atlas-1", "round/atlas-1")]
"""The stream that ordered a payment, or whose money arrived."""

LineId = Annotated[
    str,
    Field(pattern=r"^LINE-[0-9A-F]{32}$"),
    Form("a line as `show` names it: LINE- and 32 of 0 to 9 and A to F", "LINE-" + "0A1B2C3D" * 4),
]
"""One movement on the account, by the first half of its key's digest; a `BankReference` everywhere else."""

EndToEndId = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,35}$"), Form("1 to 35 capital letters and digits", "E0A1B2C3D")]
"""The id that a payment keeps from the order to the statement; derived from the stream, the payment and the attempt."""

Cursor = Annotated[str, Field(max_length=200, pattern=r"^[ -~]*$"), Form("printable ASCII", "1")]
"""Where reading goes on, as only the reader understands it; empty at the beginning."""

Code = Annotated[str, Field(max_length=35, pattern=r"^[ -~]*$"), Form("printable ASCII", "AC04")]
"""A code of a bank's."""

Identifier = Annotated[Prose, Field(max_length=70)]
"""An id of the bank's or the payer's, as it stands in the file."""

Side = Literal["credit", "debit"]
"""Whether the movement raises (credit) or lowers (debit) what is on the account."""

# ---------------------------------------------------------------- statements


class StatementFile(Message):
    """A stored file that may hold statements, by the SHA-256 of its bytes."""

    file: Digest
    name: Annotated[Prose, Field(max_length=200)] = ""


class Balance(Message):
    """What was on the account, as the bank says; negative when overdrawn."""

    amount: Minor
    on: date


class Page(Message):
    """One page of one statement of one account, as its header says (camt.053 `Stmt`)."""

    statement: Identifier
    """`Stmt/Id`: the same on every page of a statement."""
    account: Annotated[
        str, Field(min_length=1, max_length=34, pattern=r"^[ -~]+$", repr=False), Form("printable ASCII", "CH9300762011623852957")
    ]
    """The IBAN without spaces, or the account's other identification."""
    currency: Currency
    sequence: Annotated[int, Field(ge=0)] | None = None
    """`ElctrncSeqNb`, where the bank counts its statements."""
    page: Annotated[int, Field(ge=1)] = 1
    """`StmtPgntn/PgNb`."""
    last: bool = True
    """`StmtPgntn/LastPgInd`; true where the statement has one page."""
    created_at: Instant | None = None
    first_day: date | None = None
    last_day: date | None = None
    opening: Balance | None = None
    """The booked balance before the page's lines (`OPBD`, `PRCD`, or interim `ITBD` on later pages)."""
    closing: Balance | None = None
    """The booked balance after the page's lines (`CLBD`, or interim `ITBD` before the last page)."""


class Line(Message):
    """One booked movement on the account: a transaction of an entry, or the entry where it names none.

    The money of the transactions of an entry adds up to the entry; amounts are in the account's currency as booked.
    """

    booked_on: date
    value_date: date
    """The booking date where the bank gives no other."""
    amount: Amount
    currency: Currency
    side: Side
    """Of this movement itself, also when it is a reversal: camt's `CdtDbtInd`."""
    reversal: bool = False
    """`RvslInd`: it undoes an earlier movement of the other side."""
    occurrence: Annotated[int, Field(ge=1)] = 1
    """The how-manieth line of this page with just these values of `Line.likeness` and ids; 1 for nearly all."""
    bank_id: Identifier = ""
    """`AcctSvcrRef` of the transaction, else of the entry; empty when the bank gives none."""
    end_to_end_id: Identifier = ""
    """`EndToEndId`; empty for `NOTPROVIDED`."""
    reference: CreditorReference | None = None
    """The ISO 11649 reference found: structured (`Strd/CdtrRefInf/Ref`), or whole in the text, also cut in two by spaces."""
    counterparty: Annotated[Prose, Field(max_length=140)] = ""
    counterparty_account: Annotated[
        str, Field(max_length=34, pattern=r"^[ -~]*$", repr=False), Form("printable ASCII", "CH9300762011623852957")
    ] = ""
    text: Annotated[Prose, Field(max_length=280)] = ""
    """What the payer wrote (`Ustrd`, `AddtlNtryInf`), cut at 280 characters."""
    code: Code = ""
    """The bank's code of the transaction, `PMNT/RCDT/ESCT`."""
    return_reason: Code = ""
    """Why the bank sent money back (`RtrInf/Rsn`), where it did."""


def likeness_of(account: str, line: Line) -> str:
    """The SHA-256 of what a correction of a line leaves as it is: account, booking date, amount, side and the bank's id."""
    parts = (account, line.booked_on.isoformat(), str(line.amount), line.currency, line.side, str(line.reversal), line.bank_id)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def key_of(account: str, line: Line) -> str:
    """The SHA-256 by which a line counts once, whatever files repeat it: its likeness, the other ids, and its occurrence."""
    parts = (likeness_of(account, line), line.end_to_end_id, line.reference or "", str(line.occurrence))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def line_id(key: str) -> str:
    """The name of the line with this key."""
    return f"LINE-{key[:32].upper()}"


# ---------------------------------------------------------------- the data of steps


class FetchStatements(Message):
    """Data of `fetch_statements`: store what the bank has for this account since the cursor."""

    account: Slug
    """Which treasury asks: `main`."""
    iban: MaybeIban = None
    number: OtherNumber = None
    """In place of an IBAN."""
    cursor: Cursor = ""

    @property
    def account_id(self) -> str:
        """The IBAN, or the other number."""
        return self.iban or self.number or ""


class ReadStatement(Message):
    """Data of `read_statement`: read the next chunk of a stored file for one account."""

    file: Digest
    iban: MaybeIban = None
    number: OtherNumber = None
    """In place of an IBAN."""
    currency: Currency
    cursor: Cursor = ""

    @property
    def account_id(self) -> str:
        """The IBAN, or the other number."""
        return self.iban or self.number or ""


class Creditor(Message):
    """Who is paid, on which account."""

    name: Name
    iban: MaybeIban = None
    bic: Bic | None = None
    number: OtherNumber = None
    """The account's number where the bank gives no IBAN; `bic` or `clearing` names the bank."""
    clearing: OtherBank = None
    """The bank by its number in a clearing system, after the system's code: `USABA021000021`."""

    _names_an_account = model_validator(mode="after")(_require_account)

    @property
    def account_id(self) -> str:
        """The IBAN, or the other number."""
        return self.iban or self.number or ""


class SendPayment(Message):
    """Data of `send_payment`: one credit transfer; all ids are fixed, so however often it is sent the bank pays once."""

    payment: Slug
    attempt: Annotated[int, Field(ge=1)]
    message_id: EndToEndId
    """pain.001 `MsgId` and `PmtInfId`."""
    end_to_end_id: EndToEndId
    """pain.001 `EndToEndId` and `InstrId`."""
    debtor: Creditor
    """The consortium and its own account."""
    creditor: Creditor
    amount: Amount
    currency: Currency
    text: Annotated[Prose, Field(max_length=140)] = ""
    """Unstructured remittance information."""
    execute_on: date
    """`ReqdExctnDt`: a business day; the same on every try."""
    created_at: Instant
    """`CreDtTm`: when the last approval was given; the same on every try."""


# ---------------------------------------------------------------- commands: the account and its statements


class OpenAccount(Command):
    """Name the bank account that this treasury keeps. Once, by the treasurer."""

    kind: Literal["open_account"] = "open_account"
    iban: MaybeIban = None
    bic: Bic | None = None
    number: OtherNumber = None
    """The account's number where the bank gives no IBAN; `bic` or `clearing` names the bank."""
    clearing: OtherBank = None
    """The bank by its number in a clearing system, after the system's code: `USABA021000021`."""
    owner: Name
    currency: Currency | None = None
    """The charter's when left out; no other is taken."""
    opening_balance: Annotated[Minor, Field(ge=-CEILING, le=CEILING)] = 0
    """What was on it before the first line that will be imported."""

    _names_an_account = model_validator(mode="after")(_require_account)


class LookForStatements(Command):
    """Ask the bank for new statements. By the treasurer; by the service when it is due."""

    kind: Literal["look_for_statements"] = "look_for_statements"


class StatementsFetched(Outcome):
    """The bank's files are stored; those known already change nothing."""

    kind: Literal["statements_fetched"] = "statements_fetched"
    files: Annotated[tuple[StatementFile, ...], Field(max_length=FILES)] = ()
    cursor: Cursor = ""
    """Where the next look goes on."""
    more: bool = False
    """Whether more is there at once."""
    aside: Annotated[tuple[Annotated[Prose, Field(max_length=300)], ...], Field(max_length=ASIDE)] = ()
    """What the bank sent and nobody will read, each with the reason."""


class ImportStatement(Command):
    """Import a stored file. The same file is imported once. By the treasurer."""

    kind: Literal["import_statement"] = "import_statement"
    file: Digest
    name: Annotated[Prose, Field(max_length=200)] = ""


class StatementRead(Outcome):
    """A chunk of a file: at most 100 lines of one page, in the file's order, less than 48 KiB in all."""

    kind: Literal["statement_read"] = "statement_read"
    file: Digest
    page: Page | None = None
    """The page that the lines stand on, told with each of its chunks; none when the file holds nothing (more) of this account."""
    lines: Annotated[tuple[Line, ...], Field(max_length=LINES)] = ()
    next_cursor: Cursor = ""
    """Where the next chunk begins; empty after the last."""
    other_accounts: Annotated[int, Field(ge=0)] = 0
    """Statements of other accounts that were passed over in this chunk."""
    not_booked: Annotated[int, Field(ge=0)] = 0
    """Entries that are only announced (`PDNG`, `INFO`, `FUTR`) and were passed over in this chunk."""


class OrderAnswer(Message):
    """What a bank's report says of a transaction of an order, or of the whole order where it names none."""

    end_to_end_id: Identifier = ""
    rejected: bool
    """Whether it will never be paid; else it was received, accepted or carried out."""
    code: Code = ""
    """ISO 20022's external status reason, `AC04`."""
    reason: Annotated[Prose, Field(max_length=500)] = ""


class ReportRead(Outcome):
    """The file is a report on an order, which banks also send long after they took it."""

    kind: Literal["report_read"] = "report_read"
    file: Digest
    order: Identifier
    """The `MsgId` of the order."""
    answers: Annotated[tuple[OrderAnswer, ...], Field(max_length=ANSWERS)] = ()


class StatementRefused(Outcome):
    """The file cannot be taken for good: no statement, broken, cut off, with entities, too deep."""

    kind: Literal["statement_refused"] = "statement_refused"
    file: Digest
    reason: Annotated[Prose, Field(max_length=500)]


# ---------------------------------------------------------------- commands: unmatched money


class AssignLine(Command):
    """Say whose money an unmatched credit is, and for what: it is passed on there. By the treasurer."""

    kind: Literal["assign_line"] = "assign_line"
    line: LineId
    stream: Source
    member: MemberId
    reason: Prose


class ReturnLine(Command):
    """Order unmatched money back, to an approved payee; the payment is approved like every other. By the treasurer."""

    kind: Literal["return_line"] = "return_line"
    line: LineId
    payee: PayeeId
    reason: Prose


class BookLine(Command):
    """Say what a movement was that concerns no member and no payment. By the treasurer."""

    kind: Literal["book_line"] = "book_line"
    line: LineId
    account: Literal["bank-charges", "bank-interest", "transfer", "other"]
    reason: Prose


class MatchPayment(Command):
    """Say which payment an unmatched line shows: a debit that it went, a credit that it came back. By the treasurer.

    What a debit took more than the payment, or a credit brings less, are the bank's charges.
    """

    kind: Literal["match_payment"] = "match_payment"
    line: LineId
    payment: Slug
    reason: Prose


class UndoReceipt(Command):
    """Say which credit an unmatched debit took back; the stream that has the money is told. By the treasurer."""

    kind: Literal["undo_receipt"] = "undo_receipt"
    line: LineId
    original: LineId
    reason: Prose


class JudgeLine(Command):
    """Say what a line is that a repeated or corrected page left in doubt. By the treasurer.

    A doubted line is a movement of its own (`new`) or was counted before (`repeat`). A line that a corrected page does not show any more
    `stands` all the same, or is `withdrawn`: then the bank's correction is booked as a movement that undoes it.
    """

    kind: Literal["judge_line"] = "judge_line"
    line: LineId
    verdict: Literal["new", "repeat", "stands", "withdrawn"]
    reason: Prose


class TurnAwayPayment(Command):
    """The stream that money was passed on to cannot take it, or cannot undo it: a person decides. By the service."""

    kind: Literal["turn_away_payment"] = "turn_away_payment"
    line: LineId
    stream: Source
    reason: Annotated[Prose, Field(max_length=500)]


# ---------------------------------------------------------------- commands: payees


class NamePayee(Command):
    """Give a payee's bank details, in place of any others that wait for approval. By the treasurer; a member's by its representative too."""

    kind: Literal["name_payee"] = "name_payee"
    payee: PayeeId
    name: Name
    iban: MaybeIban = None
    bic: Bic | None = None
    number: OtherNumber = None
    """The account's number where the bank gives no IBAN; `bic` or `clearing` names the bank."""
    clearing: OtherBank = None
    """The bank by its number in a clearing system, after the system's code: `USABA021000021`."""

    _names_an_account = model_validator(mode="after")(_require_account)


class ApprovePayee(Command):
    """Let payments go to these bank details, named by their digest. By an office of the charter, nobody who named them."""

    kind: Literal["approve_payee"] = "approve_payee"
    payee: PayeeId
    details: Digest


class BlockPayee(Command):
    """Let no payment go to the payee until new details are approved; one that could not be sent fails. By an office that approves payees."""

    kind: Literal["block_payee"] = "block_payee"
    payee: PayeeId
    reason: Prose


# ---------------------------------------------------------------- commands: payments


class Purpose(StrEnum):
    """Why money goes out, and so what the stream that ordered it is told."""

    SPENDING = "spending"
    REFUND = "refund"
    RETURN = "return"
    OTHER = "other"


class OrderPayment(Command):
    """Ask for a payment. By the service for another stream; by the treasurer for the treasury itself (no source, purpose `other`)."""

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


class ApprovePayment(Command):
    """Sign a payment, bound to its digest: amount, payee, account and attempt. By different people of the charter's offices, none the orderer."""

    kind: Literal["approve_payment"] = "approve_payment"
    payment: Slug
    digest: Digest


class ListedRefund(Message):
    """A refund of a list: its payment, who is paid, and how much."""

    payment: Slug
    member: MemberId
    amount: Amount


class OrderPaymentList(Command):
    """Ask for many refunds that are approved together, as one list. Whose bank details are not approved is left out, and the source told. By the service."""

    kind: Literal["order_payment_list"] = "order_payment_list"
    payment_list: Slug
    source: Source
    currency: Currency
    text: Annotated[Prose, Field(max_length=140)] = ""
    """What each payee reads on the statement."""
    ordered_by: PersonId
    """The person behind the order, who does not approve it."""
    refunds: Annotated[tuple[ListedRefund, ...], Field(min_length=1, max_length=LISTED)]


class ApprovePaymentList(Command):
    """Sign a list of payments, bound to its digest: every payee, account and amount. By different people of the charter's offices, none the orderer."""

    kind: Literal["approve_payment_list"] = "approve_payment_list"
    payment_list: Slug
    digest: Digest


class CancelPaymentList(Command):
    """Give up a list of payments that was not approved, all of it; who ordered it is told. By the treasurer."""

    kind: Literal["cancel_payment_list"] = "cancel_payment_list"
    payment_list: Slug
    reason: Prose


class PaymentAccepted(Outcome):
    """The bank took the order; the money counts as gone only when a statement shows it."""

    kind: Literal["payment_accepted"] = "payment_accepted"
    payment: Slug
    attempt: Annotated[int, Field(ge=1)]
    bank_id: Identifier = ""


class PaymentRejected(Outcome):
    """The bank did not take the order and never will."""

    kind: Literal["payment_rejected"] = "payment_rejected"
    payment: Slug
    attempt: Annotated[int, Field(ge=1)]
    code: Code = ""
    """ISO 20022's external status reason, `AC04`."""
    reason: Annotated[Prose, Field(max_length=500)] = ""


class RecordRejection(Command):
    """The bank said later, and not by a statement, that it will not pay; not while the order is still being sent. By the treasurer, with the bank's reason."""

    kind: Literal["record_rejection"] = "record_rejection"
    payment: Slug
    reason: Prose


class RetryPayment(Command):
    """Try a failed or returned payment anew, to the details approved now: a new attempt, approved anew. By the treasurer."""

    kind: Literal["retry_payment"] = "retry_payment"
    payment: Slug


class CancelPayment(Command):
    """Give up a payment that was not sent, failed or came back; who ordered it is told. By the treasurer."""

    kind: Literal["cancel_payment"] = "cancel_payment"
    payment: Slug
    reason: Prose


TreasuryCommand = (
    OpenAccount | LookForStatements | StatementsFetched | ImportStatement | StatementRead | ReportRead | StatementRefused | AssignLine
    | ReturnLine | MatchPayment | UndoReceipt | BookLine | JudgeLine | TurnAwayPayment | NamePayee | ApprovePayee | BlockPayee | OrderPayment | ApprovePayment
    | OrderPaymentList | ApprovePaymentList | CancelPaymentList | PaymentAccepted | PaymentRejected | RecordRejection | RetryPayment | CancelPayment
)  # fmt: skip

# ---------------------------------------------------------------- events: the account and its statements


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

    _names_an_account = model_validator(mode="after")(_require_account)


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


# ---------------------------------------------------------------- events: movements


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


class Unmatched(StrEnum):
    """Why a movement waits for the treasurer."""

    NO_REFERENCE = "no-reference"
    UNKNOWN_REFERENCE = "unknown-reference"
    WRONG_CURRENCY = "wrong-currency"
    UNKNOWN_DEBIT = "unknown-debit"
    OTHER_AMOUNT = "other-amount"
    UNKNOWN_REVERSAL = "unknown-reversal"
    TURNED_AWAY = "turned-away"
    REVERSED_ABROAD = "reversal-turned-away"


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


# ---------------------------------------------------------------- events: payees


class PayeeNamed(Event):
    """Bank details of a payee wait for approval."""

    kind: Literal["payee_named"] = "payee_named"
    payee: PayeeId
    account: Creditor
    details: Digest
    by: PersonId


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


# ---------------------------------------------------------------- events: payments


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


class ListedPayment(Message):
    """A payment of a list, as it is approved with it."""

    payment: Slug
    payee: PayeeId
    amount: Minor
    details: Digest
    """Of the payee's bank details, as they were approved."""


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


TreasuryEvent = (
    AccountOpened | StatementsSought | StatementsFound | ImportStarted | ChunkImported | ImportRefused | LineBooked | LineDoubted
    | LineDismissed | LineMissed | MissedLineJudged | LineUnmatched | LineMatched | LineExplained | ReceiptReversed | PayeeNamed | PayeeSigned | PayeeApproved | PayeeBlocked
    | PaymentOrdered | PaymentSigned | PaymentApproved | PaymentTaken | PaymentFailed | PaymentConfirmed | PaymentReturned | PaymentRenewed
    | PaymentCancelled | PaymentListOrdered | PaymentListSigned | PaymentListApproved | PaymentListCancelled
)  # fmt: skip

# ---------------------------------------------------------------- digests and ids


def payment_digest(payment: str, attempt: int, amount: int, currency: str, payee: str, details: str) -> str:
    """What an approval of a payment is bound to: changed in anything, it has to be approved anew.

    `details` is the digest of the payee's bank details, as they were approved.
    """
    parts = (payment, str(attempt), str(amount), currency, payee, details)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def list_digest(payment_list: str, currency: str, lines: Iterable[ListedPayment]) -> str:
    """What an approval of a list is bound to: the SHA-256 of the canonical JSON of its name, its currency and its lines.

    A line is an array of payment, payee, amount and the digest of the payee's bank details. What later releases add to a line changes no digest.
    """
    told = [[line.payment, line.payee, line.amount, line.details] for line in lines]
    return hashlib.sha256(canonical_json([payment_list, currency, told])).hexdigest()


def sending_ids(stream: str, payment: str, attempt: int) -> tuple[str, str]:
    """The message id and the end-to-end id of an attempt (at most 35 characters of the ISO 20022 set): told again, they are the same."""
    digest = hashlib.sha256("\x1f".join((stream, payment, str(attempt))).encode()).hexdigest().upper()
    return f"M{digest[:31]}", f"E{digest[31:62]}"
