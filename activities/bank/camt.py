"""Bank statements: camt.053 in versions 02 to 13 as banks really write them, streamed entry by entry.

What becomes of an entry:

| the entry | lines |
| --- | --- |
| announced only (`PDNG`, `INFO`, `FUTR`), or of no money | none; it is counted as passed over |
| names no transaction | one |
| names one transaction | one: the entry's amount as booked, the transaction's ids, parties and text |
| is a credit that names one transaction of less | one, without ids of the transaction |
| names several, whose amounts add up to the entry | one for each |
| names several that do not add up, or a batch by its number only | one, without ids of transactions |

The key by which a line counts once is `domain.treasury.terms.key_of`: the SHA-256 of the account, booking date, amount,
currency, side, whether it is a reversal, the bank's id, the payer's id, the reference, and its number among the lines of its page with
just these values. Nothing of the file, the statement's id, the page or the place on it is in the key, so a repeated file, pages in
another order and a corrected statement give the same keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, Protocol

from pydantic import ValidationError

from activities.bank.xml import MESSAGES, Message, Node, Unreadable, read
from activities.outside import plain
from domain.forms import in_words, typed
from domain.money import CEILING, MINOR_UNITS, SAFE
from domain.reference import parse_reference
from domain.treasury.terms import Balance, Line, Page, Side, key_of

OLDEST: Final = 2
NEWEST: Final = 13
"""The versions that are read."""

LETTERS: Final = 20
"""Characters of the references that this system gives out; one of another length counts only when no other reading is possible."""

NO_CURRENCY: Final = "XXX"
"""ISO 4217's code for none: of a page that names no currency and holds no money."""

_CONTAINERS: Final = frozenset({"Document", "BkToCstmrStmt", "Stmt", "Ntry", "NtryDtls"})
_AMOUNT: Final = re.compile(r"\+?(?=\.?[0-9])(?P<whole>[0-9]{0,18})(?:\.(?P<fraction>[0-9]{0,9}))?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_DAY: Final = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:T.*|Z|[+-][0-9]{2}:[0-9]{2})?")
_WORDS: Final = re.compile(r"[A-Z0-9]+")
_BEGINS: Final = re.compile(r"RF[0-9]{2}")
_NO_ID: Final = re.compile(r"0*|NON ?REF|NOT ?PROVIDED|NONE|N/A|UNKNOWN", re.IGNORECASE)
"""What banks and payers write where they have no id."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known at the end of a file."""

    statements: int
    """How many `Stmt` it holds."""
    page: int
    last: bool
    """`GrpHdr/MsgPgntn`: which page of the message the file is. It tells the page of the statement where that says nothing of it and
    stands alone, as in version 02."""


class Beyond(Unreadable):
    """An amount is more than this system counts, in a statement that may be of another account."""


class Sink(Protocol):
    """Where a file's pages and lines go, in order. What came after a mark can be taken back."""

    def page(self, page: Page) -> None:
        """A page begins; the lines up to the next one stand on it."""

    def line(self, line: Line) -> None:
        """A movement of the page."""

    def passed(self) -> None:
        """An entry of the page that moved no money."""

    def uncounted(self, reason: str) -> None:
        """The page holds an amount beyond what this system counts. Nothing more of it comes: its lines are worth nothing."""

    def mark(self) -> int:
        """The place that has been reached."""

    def back(self, mark: int) -> None:
        """Takes back what came after the mark."""


def statement(chunks: Iterable[bytes], sink: Sink) -> Ending:
    """Tells the sink what a camt.053 file holds. Raises `Unreadable`; what the sink has then is worth nothing."""
    reader = _Reader(sink)
    try:
        read(chunks, _CONTAINERS, reader, _require_statement)
    except ValidationError as error:
        made = next(model for model in (Page, Line, Balance) if model.__name__ == error.title)
        wrong, *_ = in_words(typed(made), error.errors(include_url=False, include_input=False))
        raise Unreadable(f"line {reader.line}: not what a statement holds: {wrong}") from error
    if not reader.statements:
        raise Unreadable("the message holds no statement (`BkToCstmrStmt/Stmt`)")
    return Ending(reader.statements, reader.page, reader.last)


def _require_statement(message: Message) -> None:
    if message.name != "camt.053":
        other = MESSAGES.get(message.name, f"a message {message.name}")
        raise Unreadable(f"{other}, not a statement: ask the bank for statements of whole days, camt.053")
    if not OLDEST <= int(message.version) <= NEWEST:
        raise Unreadable(f"a statement of version {message.version}: ask the bank for camt.053.001.08, or any of {OLDEST:02} to {NEWEST}")


# ---------------------------------------------------------------- values


def minor_units(text: str, currency: str, line: int) -> int:
    """An amount as XML Schema has decimals, in minor units: digits and a point, noughts beyond the currency's places.

    Raises `Unreadable`, and `Beyond` for more than is counted.
    """
    match = _AMOUNT.fullmatch(text) if text.isascii() else None
    if match is None:
        raise Unreadable(f"line {line}: {text[:40]!r} is not an amount")
    places = MINOR_UNITS.get(currency)
    if places is None:
        raise Unreadable(f"line {line}: an amount without a currency in use (ISO 4217)")
    fraction = match["fraction"] or ""
    if fraction[places:].strip("0"):
        raise Unreadable(f"line {line}: {text[:40]} has more decimal places than {currency}")
    minor = int("0" + match["whole"] + fraction[:places].ljust(places, "0"))
    if minor > CEILING:
        raise Beyond(f"line {line}: {text[:40]} {currency} is more than this system counts")
    return minor


def reference_in(*texts: str) -> str | None:
    """The creditor reference (ISO 11649) that these lines hold, also in groups of four or cut in two; none when there is none, or several.

    It begins at a word and ends with one; how far it goes, its check digits tell. One of the length that this system gives out
    goes before all others.
    """
    found: dict[str, None] = {}
    for whole in dict.fromkeys((" ".join(texts), "".join(texts))):
        words = _WORDS.findall(whole[:4_000].upper())
        for start, word in enumerate(words):
            if _BEGINS.match(word):
                found.update(dict.fromkeys(_readings(words, start)))
    ours = [reading for reading in found if len(reading) == LETTERS]
    candidates = ours or list(found)
    return candidates[0] if len(candidates) == 1 else None


def _readings(words: list[str], start: int) -> Iterator[str]:
    reading = ""
    for word in words[start:]:
        reading += word
        if len(reading) > 25:
            return
        try:
            yield parse_reference(reading)
        except ValueError:
            continue


def _day(node: Node, path: str) -> date | None:
    return _date(node.of(f"{path}/Dt", f"{path}/DtTm"))


def _date(text: str) -> date | None:
    """The day of a date, or of a time where the bank is."""
    match = _DAY.fullmatch(text) if text.isascii() else None
    try:
        return date.fromisoformat(match["day"]) if match else None
    except ValueError:
        return None


def _booking_day(fields: Node, line: int) -> date | None:
    """The day of booking; another is not put in the place of one that does not exist."""
    found, said = _day(fields, "BookgDt"), fields.of("BookgDt/Dt", "BookgDt/DtTm")
    if found is None and said:
        raise Unreadable(f"line {line}: {said[:40]!r} is not a day of booking")
    return found


def _instant(text: str) -> datetime | None:
    """A time as banks write it; where they give no offset, it is taken for UTC."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= SAFE else None


def _tidy(text: str, limit: int) -> str:
    """Text as one line that shows nothing else than itself."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    return plain(text, limit)


def _ascii(text: str, limit: int) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:limit]


def _identifier(*texts: str) -> str:
    """The first of these that is an id, and does not only say that there is none."""
    return next((_tidy(text, 70) for text in texts if not _NO_ID.fullmatch(text)), "")


def _account(node: Node) -> str:
    """The IBAN without spaces, or the account's other identification."""
    iban = node.of("Id/IBAN")
    return _ascii(iban.replace(" ", "").upper(), 34) if iban else _ascii(node.of("Id/Othr/Id", "Id/PrtryAcct/Id", "Id/BBAN"), 34)


def _code(node: Node) -> str:
    """The bank's code of a transaction, of ISO's domains or its own."""
    parts = (node.of("Domn/Cd"), node.of("Domn/Fmly/Cd"), node.of("Domn/Fmly/SubFmlyCd"))
    return _ascii("/".join(parts) if parts[0] else node.of("Prtry/Cd"), 35)


def _party(node: Node, role: str) -> str:
    return _tidy(node.of(f"{role}/Nm", f"{role}/Pty/Nm", f"{role}/Agt/FinInstnId/Nm", f"Ultmt{role}/Nm", f"Ultmt{role}/Pty/Nm"), 140)


# ---------------------------------------------------------------- reading


@dataclass(slots=True)
class _Transaction:
    """A transaction of an entry, before it is known what the entry's other ones are."""

    node: Node
    line: int


class _Entry:
    """The entry at hand."""

    def __init__(self, line: int) -> None:
        self.began = line
        self.fields = Node("Ntry", "")
        self.transactions = 0
        self.announced = 0
        """How many transactions the entry says it has (`Btch/NbOfTxs`)."""
        self.first: _Transaction | None = None
        self.mark: int | None = None
        """Where the lines of its transactions begin, once there are several."""
        self.keys: list[bytes] = []
        self.sum = 0
        self.adds_up = True
        self.head: _Head | None = None


@dataclass(frozen=True, slots=True)
class _Head:
    """What an entry says of all its transactions."""

    amount: int
    currency: str
    side: Side
    reversal: bool
    booked_on: date
    value_date: date
    bank_id: str
    code: str


class _Reader:
    """Turns pieces of a statement into pages and lines.

    A file holds statements of many accounts, so an amount beyond the bound is told of its page, and the other pages are read.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.statements = 0
        self.page = 1
        self.last = True
        self._header = Node("Stmt", "")
        self._balances: list[Node] = []
        self._account: str | None = None
        """Of the page that was told."""
        self._uncounted = False
        """Whether the page holds an amount beyond the bound: what is left of it is passed over."""
        self._fallback: date | None = None
        self._counts: dict[bytes, int] = {}
        self._entry = _Entry(0)
        self.line = 0
        """Where the part at hand begins."""

    def opened(self, name: str, line: int) -> None:
        """A statement or an entry begins."""
        self.line = line
        if name == "Stmt":
            self.statements += 1
            self._header, self._balances, self._account, self._counts = Node("Stmt", ""), [], None, {}
            self._uncounted = False
        elif name == "Ntry":
            self._entry = _Entry(line)

    def piece(self, container: str, node: Node, line: int) -> None:
        """A part of a header or of an entry; of those that come once, the first counts."""
        self.line = line
        if self._uncounted:
            return
        try:
            self._piece(container, node, line)
        except Beyond as beyond:
            self._pass_over(beyond)

    def _piece(self, container: str, node: Node, line: int) -> None:
        match container, node.name:
            case "BkToCstmrStmt", "GrpHdr":
                self.page = _number(node.of("MsgPgntn/PgNb")) or 1
                self.last = node.of("MsgPgntn/LastPgInd") not in {"false", "0"}
            case "Stmt", "Bal":
                self._balance(node, line)
            case "Stmt", "Id" | "StmtPgntn" | "ElctrncSeqNb" | "CreDtTm" | "FrToDt" | "Acct":
                self._header.keep_first(node)
            case "Ntry", "Amt" | "CdtDbtInd" | "RvslInd" | "Sts" | "BookgDt" | "ValDt" | "AcctSvcrRef" | "BkTxCd" | "AddtlNtryInf":
                self._entry.fields.keep_first(node)
            case "NtryDtls", "Btch":
                self._entry.announced += _number(node.of("NbOfTxs")) or 0
            case "NtryDtls", "TxDtls":
                self._transaction(_Transaction(node, line))
            case _:
                pass

    def closed(self, name: str, line: int) -> None:
        """An entry or a statement ends."""
        if self._uncounted:
            return
        try:
            if name == "Ntry":
                self._finish()
            elif name == "Stmt" and self._account is None:
                self._begin("", line)
        except Beyond as beyond:
            self._pass_over(beyond)

    def _pass_over(self, beyond: Beyond) -> None:
        self._uncounted = True
        self._sink.uncounted(str(beyond))

    # ------------------------------------------------------------ headers

    def _balance(self, node: Node, line: int) -> None:
        if node.of("Tp/CdOrPrtry/Cd") not in {"OPBD", "PRCD", "CLBD", "ITBD"}:
            return
        if self._account is not None:
            raise Unreadable(f"line {line}: a balance after the first entry; the order of a statement's parts is not that of camt.053")
        if len(self._balances) > 50:
            raise Unreadable(f"line {line}: more than 50 balances in one statement")
        self._balances.append(node)

    def _begin(self, currency: str, line: int) -> None:
        """Tells the sink of the page, before its first entry or at its end."""
        header = self._header
        account, name = header.first("Acct"), header.of("Id")
        if account is None or not _account(account) or not name:
            raise Unreadable(
                f"the statement that ends or has its first entry at line {line} names no account or has no id (`Stmt/Acct/Id`, `Stmt/Id`)"
            )
        kept = (
            account.of("Ccy")
            or next((amount.currency for each in self._balances for amount in each.all("Amt")), "")
            or currency
            or NO_CURRENCY
        )
        if not _CURRENCY.fullmatch(kept):
            raise Unreadable(f"line {line}: {kept[:10]!r} is not a currency of ISO 4217")
        number = _number(header.of("StmtPgntn/PgNb")) or 1
        opening: Balance | None = None
        closing: Balance | None = None
        beyond: Beyond | None = None
        try:
            opening, closing = self._ends(kept, line, first=max(number, self.page) == 1)
        except Beyond as error:
            beyond = error
        last_day = _date(header.of("FrToDt/ToDtTm", "FrToDt/ToDt"))
        created = _instant(header.of("CreDtTm"))
        self._fallback = (closing.on if closing else None) or last_day or (created.date() if created else None)
        self._account = _account(account)
        self._sink.page(
            Page(
                statement=_tidy(name, 70), account=self._account, currency=kept, sequence=_number(header.of("ElctrncSeqNb")),
                page=number, last=header.of("StmtPgntn/LastPgInd") not in {"false", "0"}, created_at=created,
                first_day=_date(header.of("FrToDt/FrDtTm", "FrToDt/FrDt")), last_day=last_day, opening=opening, closing=closing,
            )
        )  # fmt: skip
        if beyond is not None:
            raise beyond

    def _ends(self, currency: str, line: int, *, first: bool) -> tuple[Balance | None, Balance | None]:
        """The booked balances before and after the page; an interim one stands for whichever of them the page has not."""
        by_kind: dict[str, list[Balance]] = {}
        for node in self._balances:
            amount, on = node.first("Amt"), _day(node, "Dt")
            if amount is None or on is None or amount.currency != currency:
                continue
            minor = minor_units(" ".join(amount.text.split()), currency, line)
            balance = Balance(amount=-minor if node.of("CdtDbtInd") == "DBIT" else minor, on=on)
            by_kind.setdefault(node.of("Tp/CdOrPrtry/Cd"), []).append(balance)
        opening = next(iter(by_kind.get("OPBD") or by_kind.get("PRCD") or ()), None)
        closing = next(iter(by_kind.get("CLBD") or ()), None)
        interim = by_kind.get("ITBD", [])
        if opening is None and not first and interim:
            opening, interim = interim[0], interim[1:]
        return opening, closing or (interim[-1] if interim else None)

    # ------------------------------------------------------------ entries

    def _head(self, entry: _Entry) -> _Head:
        """What is known of the entry before its transactions. Tells of the page when it is the page's first."""
        if entry.head is not None:
            return entry.head
        fields, line = entry.fields, entry.began
        amount = fields.first("Amt")
        side = _side(fields.of("CdtDbtInd"))
        if amount is None or side is None:
            raise Unreadable(f"line {line}: an entry without amount or side (`Amt`, `CdtDbtInd`)")
        if self._account is None:
            self._begin(amount.currency, line)
        booked = _booking_day(fields, line) or _day(fields, "ValDt") or self._fallback
        if booked is None:
            raise Unreadable(f"line {line}: an entry without a booking date (`BookgDt`)")
        code = fields.first("BkTxCd")
        entry.head = _Head(
            amount=minor_units(" ".join(amount.text.split()), amount.currency, line), currency=amount.currency, side=side,
            reversal=fields.of("RvslInd") in {"true", "1"}, booked_on=booked, value_date=_day(fields, "ValDt") or booked,
            bank_id=_identifier(fields.of("AcctSvcrRef")), code=_code(code) if code else "",
        )  # fmt: skip
        return entry.head

    def _booked(self, entry: _Entry) -> bool:
        status = entry.fields.of("Sts", "Sts/Cd", "Sts/Prtry")
        if not status:
            raise Unreadable(f"line {entry.began}: an entry without its status (`Sts`)")
        return status == "BOOK" and self._head(entry).amount > 0

    def _transaction(self, transaction: _Transaction) -> None:
        """The first transaction of an entry waits for a second one; from there on each is a line, unless they do not add up."""
        entry = self._entry
        if not self._booked(entry):
            return
        entry.transactions += 1
        if entry.transactions == 1:
            entry.first = transaction
            return
        if entry.first is not None:
            entry.mark = self._sink.mark()
            self._part(entry, entry.first)
            entry.first = None
        self._part(entry, transaction)

    def _part(self, entry: _Entry, transaction: _Transaction) -> None:
        head, node = self._head(entry), transaction.node
        if not entry.adds_up:
            return
        amount = _amount_of(node, head.currency)
        if amount is None:
            entry.adds_up = False
            return
        minor = minor_units(" ".join(amount.text.split()), head.currency, transaction.line)
        side = _side(node.of("CdtDbtInd")) or head.side
        entry.sum += minor if side == head.side else -minor
        if minor:
            entry.keys.append(self._put(_line(head, node, minor, side, "")))

    def _finish(self) -> None:
        entry = self._entry
        if not self._booked(entry):
            if self._account is None:
                self._head(entry)
            self._sink.passed()
            return
        head = self._head(entry)
        info = entry.fields.of("AddtlNtryInf")
        if entry.first is not None and entry.announced <= 1 and not _is_part(head, entry.first.node):
            self._put(_line(head, entry.first.node, head.amount, head.side, info))
        elif entry.mark is None:
            single = entry.transactions == 0 and entry.announced <= 1
            self._put(_line(head, Node("TxDtls", ""), head.amount, head.side, info, searched=single))
        elif not entry.adds_up or entry.sum != head.amount:
            self._sink.back(entry.mark)
            for key in entry.keys:
                self._counts[key] -= 1
            self._put(_line(head, Node("TxDtls", ""), head.amount, head.side, info, searched=False))

    def _put(self, line: Line) -> bytes:
        """Tells the sink of a line, with its number among those of its kind on the page."""
        assert self._account is not None
        key = bytes.fromhex(key_of(self._account, line))[:16]
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        self._sink.line(line if count == 1 else line.model_copy(update={"occurrence": count}))
        return key


def _is_part(head: _Head, transaction: Node) -> bool:
    """Whether the one transaction of a credit is of less: whose the rest is, nobody says. A debit holds the bank's charges too."""
    amount = transaction.first("Amt") or transaction.first("AmtDtls/TxAmt/Amt")
    if amount is None or amount.currency != head.currency or head.side == "debit":
        return False
    return minor_units(" ".join(amount.text.split()), amount.currency, 0) < head.amount


def _side(text: str) -> Side | None:
    sides: dict[str, Literal["credit", "debit"]] = {"CRDT": "credit", "DBIT": "debit"}
    return sides.get(text)


def _amount_of(node: Node, currency: str) -> Node | None:
    """The transaction's amount in the currency in which the entry is booked."""
    paths = ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/CntrValAmt/Amt", "AmtDtls/InstdAmt/Amt")
    found = (node.first(path) for path in paths)
    return next((amount for amount in found if amount is not None and amount.currency == currency), None)


def _line(head: _Head, transaction: Node, amount: int, side: Side, info: str, *, searched: bool = True) -> Line:
    """The movement that an entry, or a transaction of it, is."""
    remittance, parties, returned = transaction.first("RmtInf"), transaction.first("RltdPties"), transaction.first("RtrInf")
    unstructured = tuple(" ".join(each.text.split()) for each in remittance.all("Ustrd")) if remittance else ()
    structured = tuple(" ".join(each.text.split()) for each in remittance.all("Strd/CdtrRefInf/Ref")) if remittance else ()
    added = tuple(" ".join(each.text.split()) for each in remittance.all("Strd/AddtlRmtInf")) if remittance else ()
    more, end_to_end = transaction.of("AddtlTxInf"), transaction.of("Refs/EndToEndId")
    reference = None
    if searched:
        places = (structured, unstructured, added, (more,), (info,), (end_to_end,))
        reference = next((found for texts in places if (found := reference_in(*texts))), None)
    others = tuple(text for text in structured if reference_in(text) is None)
    text = " ".join(part for part in (*unstructured, *others, *added) if part) or more or info
    payer_first = (side == "credit") != head.reversal
    roles = ["Dbtr", "Cdtr"] if payer_first else ["Cdtr", "Dbtr"]
    if not head.reversal and returned is None:
        del roles[1]
    name = next((found for role in roles if parties and (found := _party(parties, role))), "")
    account = next((node for role in roles if parties and (node := parties.first(f"{role}Acct"))), None)
    coded = transaction.first("BkTxCd")
    code = _code(coded) if coded else ""
    return Line(
        booked_on=head.booked_on, value_date=head.value_date, amount=amount, currency=head.currency, side=side, reversal=head.reversal,
        bank_id=_identifier(transaction.of("Refs/AcctSvcrRef"), head.bank_id), end_to_end_id=_identifier(end_to_end), reference=reference, counterparty=name,
        counterparty_account=_account(account) if account else "", text=_tidy(text, 280), code=code if "/" in code else head.code or code,
        return_reason=_ascii(returned.of("Rsn/Cd", "Rsn/Prtry"), 35) if returned else "",
    )  # fmt: skip
