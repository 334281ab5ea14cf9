"""The values that a treasury's commands, events and steps are made of.

Amounts are minor units of the currency that stands beside them. Account numbers stand only where money is sent from or to;
they are left out of every `repr`, and people see them masked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal, Protocol, TypeVar

from pydantic import AfterValidator, Field, model_validator

from domain.forms import Form
from domain.kernel import Digest, Instant, Message, Name, Prose, Slug, canonical_json, is_empty
from domain.letters import PayeeId
from domain.money import Amount, Currency, Minor
from domain.reference import parse_account_number, parse_bic, parse_clearing_member, parse_iban
from domain.register.facts import CreditorReference

LINES: Final = 100
"""The most lines of one chunk; a chunk is also shorter than 48 KiB as JSON."""

FILES: Final = 100
"""The most files that one look brings."""

ASIDE: Final = 20
"""The most files that one look tells of as put aside."""

ANSWERS: Final = 100
"""The most answers that a report on an order tells."""


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


OtherNumber = Annotated[AccountNumber | None, Field(exclude_if=is_empty, repr=False)]
OtherBank = Annotated[ClearingMember | None, Field(exclude_if=is_empty)]
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


def require_account(named: Named) -> Named:
    """An account is named by its IBAN alone, or by another number, which means something only at its bank."""
    if (named.iban is None) == (named.number is None):
        raise ValueError("an account has an IBAN (`iban`) or another number (`number`): name one of them")
    if named.number is not None and named.bic is None and named.clearing is None:
        raise ValueError("a number that is no IBAN needs its bank: `bic`, or `clearing` as USABA021000021")
    return named


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
    """The number, counted from 1, of this line among those of its page with the same `Line.likeness` and ids; 1 for nearly all."""
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


class Creditor(Message):
    """Who is paid, on which account."""

    name: Name
    iban: MaybeIban = None
    bic: Bic | None = None
    number: OtherNumber = None
    """The account's number where the bank gives no IBAN; `bic` or `clearing` names the bank."""
    clearing: OtherBank = None
    """The bank by its number in a clearing system, after the system's code: `USABA021000021`."""

    _names_an_account = model_validator(mode="after")(require_account)

    @property
    def account_id(self) -> str:
        """The IBAN, or the other number."""
        return self.iban or self.number or ""

    @property
    def accounts(self) -> frozenset[str]:
        """The SHA-256 of each way to name the account: by its IBAN, or by its number at each name of its bank. One in common is one account."""
        at = (self.iban,) if self.iban else tuple(f"{bank} {self.number}" for bank in ((self.bic or "")[:8], self.clearing) if bank)
        return frozenset(hashlib.sha256(f"account\x1f{name}".encode()).hexdigest() for name in at)


class OrderAnswer(Message):
    """What a bank's report says of a transaction of an order, or of the whole order where it names none."""

    end_to_end_id: Identifier = ""
    rejected: bool
    """Whether it will never be paid; else it was received, accepted or carried out."""
    code: Code = ""
    """ISO 20022's external status reason, `AC04`."""
    reason: Annotated[Prose, Field(max_length=500)] = ""


class Unmatched(StrEnum):
    """Why a movement waits for the treasurer."""

    NO_REFERENCE = "no-reference"
    UNKNOWN_REFERENCE = "unknown-reference"
    WRONG_CURRENCY = "wrong-currency"
    UNKNOWN_DEBIT = "unknown-debit"
    OTHER_AMOUNT = "other-amount"
    UNKNOWN_REVERSAL = "unknown-reversal"
    TURNED_AWAY = "turned-away"
    REVERSAL_TURNED_AWAY = "reversal-turned-away"


class ListedPayment(Message):
    """A payment of a list, as it is approved with it."""

    payment: Slug
    payee: PayeeId
    amount: Minor
    details: Digest
    """Of the payee's bank details, as they were approved."""


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
    rows = [[line.payment, line.payee, line.amount, line.details] for line in lines]
    return hashlib.sha256(canonical_json([payment_list, currency, rows])).hexdigest()


def sending_ids(stream: str, payment: str, attempt: int) -> tuple[str, str]:
    """The message id and the end-to-end id of an attempt (at most 35 characters of the ISO 20022 set): made again, they are the same."""
    digest = hashlib.sha256("\x1f".join((stream, payment, str(attempt))).encode()).hexdigest().upper()
    return f"M{digest[:31]}", f"E{digest[31:62]}"
