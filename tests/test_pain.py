"""Payment orders: the same order is the same bytes, valid by the published schema; and what a bank's answers mean."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiso20022.pain import pain_001_001_09
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler

from activities.bank.pain import Answer, Report, Verdict, basic, order, report
from activities.bank.xml import Unreadable
from domain.money import MINOR_UNITS, decimal
from domain.treasury import steps
from domain.treasury.terms import Creditor, sending_ids

OURS = Creditor(name="Open Model Consortium", iban="NL98MOCK0000000042", bic="MOCKNL2A")
THEIRS = Creditor(name="GPU Cloud GmbH", iban="DE89370400440532013000")


def payment(**changes: Any) -> steps.SendPayment:
    message_id, end_to_end_id = sending_ids("treasury/main", "gpu-1", 1)
    fields: dict[str, Any] = {
        "payment": "gpu-1", "attempt": 1, "message_id": message_id, "end_to_end_id": end_to_end_id, "debtor": OURS, "creditor": THEIRS,
        "amount": 1_234_567_89, "currency": "EUR", "text": "Invoice 12", "execute_on": date(2026, 11, 2),
        "created_at": datetime(2026, 11, 1, 12, 30, tzinfo=UTC),
    }  # fmt: skip
    return steps.SendPayment(**fields | changes)


def parsed(document: bytes) -> Any:
    config = ParserConfig(fail_on_unknown_properties=True, fail_on_converter_warnings=True)
    return XmlParser(handler=XmlEventHandler, config=config).from_bytes(document, pain_001_001_09.Document).cstmr_cdt_trf_initn


def status(group: str = "", transaction: str = "", *, batch: str = "", version: str = "10", original: str = "M1") -> bytes:
    name = "CstmrPmtStsRpt"
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"><{name}><GrpHdr><MsgId>R1</MsgId></GrpHdr>'
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{original}</OrgnlMsgId>{group}</OrgnlGrpInfAndSts>"
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>M1</OrgnlPmtInfId>{batch}{transaction}</OrgnlPmtInfAndSts></{name}></Document>"
    ).encode()


# ---------------------------------------------------------------- orders


def test_an_order_says_by_the_published_schema_what_was_asked() -> None:
    asked = payment()
    read = parsed(order(asked))
    (batch,) = read.pmt_inf
    (transfer,) = batch.cdt_trf_tx_inf
    assert (read.grp_hdr.msg_id, batch.pmt_inf_id) == (asked.message_id, asked.message_id)
    assert (transfer.pmt_id.end_to_end_id, transfer.pmt_id.instr_id) == (asked.end_to_end_id, asked.end_to_end_id)
    assert (str(transfer.amt.instd_amt.value), transfer.amt.instd_amt.ccy) == ("1234567.89", "EUR")
    assert (str(read.grp_hdr.ctrl_sum), read.grp_hdr.nb_of_txs) == ("1234567.89", "1")
    assert (batch.dbtr_acct.id.iban, transfer.cdtr_acct.id.iban) == (OURS.iban, THEIRS.iban)
    assert (str(batch.reqd_exctn_dt.dt), str(read.grp_hdr.cre_dt_tm)) == ("2026-11-02", "2026-11-01T12:30:00Z")
    assert (transfer.cdtr.nm, transfer.rmt_inf.ustrd) == ("GPU Cloud GmbH", ["Invoice 12"])
    assert batch.btch_bookg is False, "each payment is an entry of its own on the statement"


def test_accounts_without_an_iban_are_named_by_their_number_and_their_bank() -> None:
    ours = Creditor(name="Open Model Consortium", number="000123456789", clearing="USABA021000021")
    theirs = Creditor(name="Cloud Inc", number="9876543210", clearing="CACPA000312345", bic="ROYCCAT2")
    (batch,) = parsed(order(payment(debtor=ours, creditor=theirs, currency="USD"))).pmt_inf
    (transfer,) = batch.cdt_trf_tx_inf
    assert (batch.dbtr_acct.id.othr.id, transfer.cdtr_acct.id.othr.id) == (ours.number, theirs.number)
    assert (batch.dbtr_acct.id.iban, transfer.cdtr_acct.id.iban) == (None, None)
    own, bank = batch.dbtr_agt.fin_instn_id, transfer.cdtr_agt.fin_instn_id
    assert (own.clr_sys_mmb_id.clr_sys_id.cd, own.clr_sys_mmb_id.mmb_id) == ("USABA", "021000021")
    assert (bank.bicfi, bank.clr_sys_mmb_id.clr_sys_id.cd, bank.clr_sys_mmb_id.mmb_id) == ("ROYCCAT2", "CACPA", "000312345")


def test_the_same_order_is_the_same_bytes_and_another_attempt_has_other_ids() -> None:
    assert order(payment()) == order(payment())
    message_id, end_to_end_id = sending_ids("treasury/main", "gpu-1", 2)
    assert order(payment()) != order(payment(attempt=2, message_id=message_id, end_to_end_id=end_to_end_id))


@given(st.text(max_size=140), st.sampled_from(sorted(MINOR_UNITS)), st.integers(1, 10**15), st.booleans())
def test_every_order_is_valid_whatever_its_texts(text: str, currency: str, amount: int, bank_known: bool) -> None:  # noqa: FBT001
    creditor = THEIRS.model_copy(update={"bic": "MOCKDEFF" if bank_known else None, "name": text or "x"})
    asked = payment().model_copy(update={"text": text, "currency": currency, "amount": amount, "creditor": creditor})
    read = parsed(order(asked))
    transfer = read.pmt_inf[0].cdt_trf_tx_inf[0]
    places = MINOR_UNITS[currency]
    assert int(transfer.amt.instd_amt.value.scaleb(places)) == amount
    assert transfer.cdtr.nm == (basic(text or "x", 70) or "NOTPROVIDED")


def test_names_are_spelled_in_the_letters_that_every_bank_takes() -> None:
    assert basic("Universität Zürich & Söhne <AG>", 70) == "Universitat Zurich Sohne AG"
    assert basic("株式会社", 70).isascii()
    assert basic("//a//b/", 70) == "a/b"


def test_amounts_have_the_places_of_their_currency() -> None:
    assert [decimal(5, "EUR"), decimal(1_234, "JPY"), decimal(1_234, "KWD")] == ["0.05", "1234", "1.234"]


# ---------------------------------------------------------------- answers


def test_a_report_says_what_became_of_each_payment() -> None:
    rejected = (
        "<TxInfAndSts><OrgnlEndToEndId>E1</OrgnlEndToEndId><TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AC04</Cd></Rsn>"
        "<AddtlInf>the account is closed</AddtlInf></StsRsnInf></TxInfAndSts>"
        "<TxInfAndSts><OrgnlEndToEndId>E2</OrgnlEndToEndId><TxSts>ACSP</TxSts></TxInfAndSts>"
    )
    found = report([status("<GrpSts>PART</GrpSts>", rejected)])
    assert found.answer_to("E1") == Answer(Verdict.REJECTED, "AC04", "the account is closed")
    assert found.answer_to("E2") == Answer(Verdict.TAKEN)
    assert found.answer_to("E3") is None
    assert (found.message_id, found.original) == ("R1", "M1")


def test_a_message_turned_away_whole_answers_for_its_payments() -> None:
    found = report([status("<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>FF01</Cd></Rsn></StsRsnInf>")])
    assert found.answer_to("E1") == Answer(Verdict.REJECTED, "FF01")


def test_a_batch_status_answers_where_the_message_has_none() -> None:
    assert report([status(batch="<PmtInfSts>ACTC</PmtInfSts>")]).answer_to("E1") == Answer(Verdict.TAKEN)


@pytest.mark.parametrize("group", ["", "<GrpSts>ACTC</GrpSts>", "<GrpSts>PART</GrpSts>"])
def test_a_batch_that_is_rejected_goes_before_what_the_message_says(group: str) -> None:
    batch = "<PmtInfSts>RJCT</PmtInfSts><StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>closed</AddtlInf></StsRsnInf>"
    assert report([status(group, batch=batch)]).answer_to("E1") == Answer(Verdict.REJECTED, "AC04", "closed")
    named = "<TxInfAndSts><OrgnlInstrId>E1</OrgnlInstrId><TxSts>RJCT</TxSts></TxInfAndSts>"
    assert report([status(group, named, batch=batch)]).answer_to("E1") == Answer(Verdict.REJECTED, "AC04", "closed")


@pytest.mark.parametrize("code", ["DUPL", "AM05", "DU01"])
def test_a_repeated_message_is_no_rejection(code: str) -> None:
    found = report([status(f"<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>")])
    assert found.answer_to("E1") == Answer(Verdict.REPEATED, code)


@pytest.mark.parametrize("version", ["03", "10", "14"])
def test_versions_are_read_alike(version: str) -> None:
    assert report([status("<GrpSts>ACCP</GrpSts>", version=version)]) == Report("R1", "M1", Answer(Verdict.TAKEN), {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', "DOCTYPE"), (status(original=""), "OrgnlMsgId"), (status()[:100], "cut off"),
        (order(payment()), "a payment order (pain.001), not a report"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words.replace("(", r"\(").replace(")", r"\)")):
        report([content])
