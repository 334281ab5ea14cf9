"""Payment orders and the bank's answers: pain.001.001.09 written, pain.002 in versions 03 to 14 read.

One order holds one credit transfer, and the same order is the same bytes, whenever it is written: every id, the instant and the
day of execution are given. Names and text are written in the letters that every bank takes (the basic Latin set of the European
Payments Council's guidelines); other scripts are spelled in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from xml.sax.saxutils import escape

from anyascii import anyascii

from activities.bank.xml import MESSAGES, Message, Node, Unreadable, read
from activities.outside import plain
from domain.money import decimal
from domain.treasury import steps
from domain.treasury.terms import Creditor

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
SINGLE_EURO_AREA: Final = "SEPA"
_NO_BANK: Final = "<Othr><Id>NOTPROVIDED</Id></Othr>"
_BASIC: Final = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")


def basic(text: str, limit: int) -> str:
    """Text in the letters that every bank takes; it begins and ends with none of the marks that banks give a meaning of their own."""
    spelled = " ".join(_BASIC.sub(" ", anyascii(text)).split())
    return re.sub(r"/{2,}", "/", spelled)[:limit].strip("/ ")


def order(payment: steps.SendPayment) -> bytes:
    """The payment as pain.001.001.09."""
    amount = decimal(payment.amount, payment.currency)
    service = f"<PmtTpInf><SvcLvl><Cd>{SINGLE_EURO_AREA}</Cd></SvcLvl></PmtTpInf>" if payment.currency == "EUR" else ""
    bearer = "<ChrgBr>SLEV</ChrgBr>" if payment.currency == "EUR" else "<ChrgBr>SHAR</ChrgBr>"
    text = basic(payment.text, 140)
    remittance = f"<RmtInf><Ustrd>{escape(text)}</Ustrd></RmtInf>" if text else ""
    bank = _bank(payment.creditor)
    agent = f"<CdtrAgt><FinInstnId>{bank}</FinInstnId></CdtrAgt>" if bank else ""
    created = payment.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}"><CstmrCdtTrfInitn>'
        f"<GrpHdr><MsgId>{payment.message_id}</MsgId><CreDtTm>{created}</CreDtTm><NbOfTxs>1</NbOfTxs><CtrlSum>{amount}</CtrlSum>"
        f"<InitgPty>{_name(payment.debtor)}</InitgPty></GrpHdr>"
        f"<PmtInf><PmtInfId>{payment.message_id}</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>false</BtchBookg><NbOfTxs>1</NbOfTxs>"
        f"<CtrlSum>{amount}</CtrlSum>{service}<ReqdExctnDt><Dt>{payment.execute_on.isoformat()}</Dt></ReqdExctnDt>"
        f"<Dbtr>{_name(payment.debtor)}</Dbtr><DbtrAcct><Id>{_account(payment.debtor)}</Id><Ccy>{payment.currency}</Ccy></DbtrAcct>"
        f"<DbtrAgt><FinInstnId>{_bank(payment.debtor) or _NO_BANK}</FinInstnId></DbtrAgt>{bearer}"
        f"<CdtTrfTxInf><PmtId><InstrId>{payment.end_to_end_id}</InstrId><EndToEndId>{payment.end_to_end_id}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="{payment.currency}">{amount}</InstdAmt></Amt>{agent}<Cdtr>{_name(payment.creditor)}</Cdtr>'
        f"<CdtrAcct><Id>{_account(payment.creditor)}</Id></CdtrAcct>{remittance}</CdtTrfTxInf></PmtInf>"
        "</CstmrCdtTrfInitn></Document>\n"
    ).encode()


def _name(party: Creditor) -> str:
    return f"<Nm>{escape(basic(party.name, 70) or 'NOTPROVIDED')}</Nm>"


def _account(party: Creditor) -> str:
    return f"<IBAN>{party.iban}</IBAN>" if party.iban else f"<Othr><Id>{party.number}</Id></Othr>"


def _bank(party: Creditor) -> str:
    """The party's bank by all that names it."""
    identifier = f"<BICFI>{party.bic}</BICFI>" if party.bic else ""
    if party.clearing is None:
        return identifier
    system, member = party.clearing[:5], party.clearing[5:]
    return f"{identifier}<ClrSysMmbId><ClrSysId><Cd>{system}</Cd></ClrSysId><MmbId>{member}</MmbId></ClrSysMmbId>"


# ---------------------------------------------------------------- the bank's answer


class Verdict(Enum):
    """What the bank says of an order."""

    TAKEN = auto()
    """Received, accepted or carried out: it may still come back."""
    REJECTED = auto()
    """It will never be paid."""
    REPEATED = auto()
    """The bank has seen this message before; what became of it then counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bank says of one order."""

    verdict: Verdict
    code: str = ""
    """ISO 20022's external status reason, `AC04`."""
    reason: str = ""
    bank_id: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A pain.002: which message it answers, and what it says of the message and of each of its transactions."""

    message_id: str
    original: str
    """The `MsgId` of the order."""
    group: Answer | None
    """Of the batch where that has a status, else of the message."""
    transactions: dict[str, Answer]
    """By `OrgnlEndToEndId`, or `OrgnlInstrId` where there is no other."""

    def answer_to(self, end_to_end_id: str) -> Answer | None:
        """What it says of a transaction; of the whole message where it names no transaction."""
        return self.transactions.get(end_to_end_id) or (self.group if not self.transactions else None)


_CONTAINERS: Final = frozenset({"Document", "CstmrPmtStsRpt", "OrgnlPmtInfAndSts"})
_DUPLICATES: Final = frozenset({"DUPL", "AM05", "DU01", "DU02", "DU03", "DU04", "DU05"})
_REJECTED: Final = frozenset({"RJCT", "CANC"})
TRANSACTIONS: Final = 10_000
"""The most transactions of a report that is read."""


def report(chunks: Iterable[bytes]) -> Report:
    """The report in a pain.002 file. Raises `Unreadable`."""
    reader = _Report()
    read(chunks, _CONTAINERS, reader, _require_report)
    if not reader.original:
        raise Unreadable("the report does not say which message it answers (`OrgnlMsgId`)")
    return Report(reader.message_id, reader.original, reader.group, reader.transactions)


def _require_report(message: Message) -> None:
    if message.name != "pain.002":
        raise Unreadable(f"{MESSAGES.get(message.name, message.name)}, not a report on payment orders")


class _Report:
    """Collects what a report says."""

    def __init__(self) -> None:
        self.message_id = ""
        self.original = ""
        self.group: Answer | None = None
        self.transactions: dict[str, Answer] = {}
        self._batch = Node("OrgnlPmtInfAndSts", "")

    def opened(self, name: str, line: int) -> None:
        """A batch begins."""
        self._batch = Node(name, "")

    def piece(self, container: str, node: Node, line: int) -> None:
        """A header, a status of the message, of a batch, or of a transaction."""
        match node.name:
            case "GrpHdr":
                self.message_id = node.of("MsgId")
            case "OrgnlGrpInfAndSts":
                self.original = node.of("OrgnlMsgId")
                self.group = _answer(node, node.of("GrpSts"))
            case "PmtInfSts" | "StsRsnInf":
                self._batch.keep_first(node)
            case "TxInfAndSts":
                self._transaction(node, line)
            case _:
                pass

    def closed(self, name: str, line: int) -> None:
        """A batch ends: what it says goes before what the message says."""
        if name == "OrgnlPmtInfAndSts":
            self.group = _answer(self._batch, self._batch.of("PmtInfSts")) or self.group

    def _transaction(self, node: Node, line: int) -> None:
        """The status of a transaction; where it gives no reason, its batch's is meant."""
        if len(self.transactions) >= TRANSACTIONS:
            raise Unreadable(f"line {line}: more than {TRANSACTIONS} transactions in one report")
        if node.first("StsRsnInf") is None and (reason := self._batch.first("StsRsnInf")) is not None:
            node.children.append(reason)
        answer = _answer(node, node.of("TxSts"))
        if answer is not None:
            self.transactions[node.of("OrgnlEndToEndId", "OrgnlInstrId")] = answer


def _answer(node: Node, status: str) -> Answer | None:
    """What a status means: banks write many codes for "taken", and one for each stage on the way. None without a status."""
    if not status:
        return None
    code = node.of("StsRsnInf/Rsn/Cd", "StsRsnInf/Rsn/Prtry")[:35]
    reason = plain(" ".join(each.text for each in node.all("StsRsnInf/AddtlInf")), 500)
    if status not in _REJECTED:
        return Answer(Verdict.TAKEN, code, reason, plain(node.of("AcctSvcrRef"), 70))
    return Answer(Verdict.REPEATED if code in _DUPLICATES else Verdict.REJECTED, code, reason)
