"""What a treasury asks of the bank, and the outcomes that come back. Each step's `data` is one model below, dumped to JSON.

| step | data | outcomes |
| --- | --- | --- |
| fetch_statements | `FetchStatements` | `StatementsFetched` |
| read_statement | `ReadStatement` | `StatementRead` (a chunk; the next one is owed by the process), `ReportRead`, `StatementRefused` |
| send_payment | `SendPayment` | `PaymentAccepted`, `PaymentRejected` |
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from domain.kernel import Digest, Instant, Message, Outcome, Prose, Slug
from domain.money import Amount, Currency
from domain.treasury.terms import (
    ANSWERS,
    ASIDE,
    FILES,
    LINES,
    Code,
    Creditor,
    Cursor,
    EndToEndId,
    Identifier,
    Line,
    MaybeIban,
    OrderAnswer,
    OtherNumber,
    Page,
    StatementFile,
)


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
