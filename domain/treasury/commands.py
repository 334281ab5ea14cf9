"""What a treasury can be asked for. Amounts are minor units of the currency that stands beside them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain import letters
from domain.kernel import Command, Digest, Due, MemberId, Name, Prose, Slug, is_empty
from domain.letters import PayeeId, Source
from domain.money import CEILING, Currency, Minor
from domain.reference import Lei
from domain.treasury import steps
from domain.treasury.terms import Bic, LineId, MaybeIban, OtherBank, OtherNumber, require_account


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

    _names_an_account = model_validator(mode="after")(require_account)


class LookForStatements(Due):
    """Ask the bank for new statements. By the treasurer; by the service when it is due."""

    kind: Literal["look_for_statements"] = "look_for_statements"


class ImportStatement(Command):
    """Import a stored file. The same file is imported once. By the treasurer."""

    kind: Literal["import_statement"] = "import_statement"
    file: Digest
    name: Annotated[Prose, Field(max_length=200)] = ""


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


class NamePayee(Command):
    """Give a payee's bank details, in place of any others that wait for approval. By the treasurer; a member's by its representative too."""

    kind: Literal["name_payee"] = "name_payee"
    payee: PayeeId
    member: Annotated[MemberId | None, Field(exclude_if=is_empty)] = None
    """The member to which the payee belongs, or which belongs to it; left out where it is nobody's here."""
    lei: Annotated[Lei | None, Field(exclude_if=is_empty)] = None
    """The payee's Legal Entity Identifier, where it has one: what is known of that entity holds for the payee."""
    name: Name
    iban: MaybeIban = None
    bic: Bic | None = None
    number: OtherNumber = None
    """The account's number where the bank gives no IBAN; `bic` or `clearing` names the bank."""
    clearing: OtherBank = None
    """The bank by its number in a clearing system, after the system's code: `USABA021000021`."""

    _names_an_account = model_validator(mode="after")(require_account)


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


class ApprovePayment(Command):
    """Sign a payment, bound to its digest: amount, payee, account and attempt. By different people of the charter's offices, none the orderer."""

    kind: Literal["approve_payment"] = "approve_payment"
    payment: Slug
    digest: Digest


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
    OpenAccount
    | LookForStatements
    | steps.StatementsFetched
    | ImportStatement
    | steps.StatementRead
    | steps.ReportRead
    | steps.StatementRefused
    | AssignLine
    | ReturnLine
    | MatchPayment
    | UndoReceipt
    | BookLine
    | JudgeLine
    | letters.TurnAwayPayment
    | NamePayee
    | ApprovePayee
    | BlockPayee
    | letters.OrderPayment
    | ApprovePayment
    | letters.OrderPaymentList
    | ApprovePaymentList
    | CancelPaymentList
    | steps.PaymentAccepted
    | steps.PaymentRejected
    | RecordRejection
    | RetryPayment
    | CancelPayment
)
