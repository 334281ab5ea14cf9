"""Statements as banks write them: which lines come out, by which keys they count once, and what is refused with which words.

| file | what is in it |
| --- | --- |
| branch-02.xml, branch-02-page-2.xml | version 02 in two pages: a batch, a reference cut in two, an announced entry, two fees that are alike |
| house-08.xml | version 08 in an envelope: two accounts, a return, a batch that does not add up, a payment in dollars |
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiso20022.camt import camt_053_001_02, camt_053_001_08
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler

from activities.bank.camt import Ending, minor_units, reference_in, statement
from activities.bank.statements import Statements
from activities.bank.xml import Unreadable, message_of, sniffed
from domain.reference import creditor_reference, shown_reference
from domain.treasury.terms import Line, Page, key_of

DATA = Path(__file__).parent / "data" / "bank"
SHARED = Path(os.environ.get("CONSORTIUM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / "bank"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")


class Told:
    """What a file told, in order; an entry that moved nothing is None."""

    def __init__(self) -> None:
        self.records: list[Page | Line | None] = []

    def page(self, page: Page) -> None:
        self.records.append(page)

    def line(self, line: Line) -> None:
        self.records.append(line)

    def uncounted(self, reason: str) -> None:
        raise Unreadable(reason)

    def passed(self) -> None:
        self.records.append(None)

    def mark(self) -> int:
        return len(self.records)

    def back(self, mark: int) -> None:
        del self.records[mark:]

    @property
    def pages(self) -> list[Page]:
        return [record for record in self.records if isinstance(record, Page)]

    @property
    def lines(self) -> list[Line]:
        return [record for record in self.records if isinstance(record, Line)]


def told(content: bytes | str | Path, size: int = 1_000) -> tuple[Told, Ending]:
    body = content.read_bytes() if isinstance(content, Path) else content.encode() if isinstance(content, str) else content
    heard = Told()
    return heard, statement((body[start : start + size] for start in range(0, len(body), size)), heard)


def refused(content: bytes | str | Path) -> str:
    with pytest.raises(Unreadable) as error:
        told(content)
    return str(error.value)


def document(*entries: str, version: str = "08", header: str = "", name: str = "camt.053.001") -> str:
    """A statement of one page with these entries."""
    return (
        f'<?xml version="1.0"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{name}.{version}"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>'
        f"<Stmt><Id>S-1</Id><CreDtTm>2026-11-02T20:00:00Z</CreDtTm><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>{header}\n"
        + "\n".join(entries)
        + "\n</Stmt></BkToCstmrStmt></Document>"
    )


def entry(
    amount: str = "1.00", *, details: str = "", side: str = "CRDT", status: str = "<Cd>BOOK</Cd>", day: str = "2026-11-02", more: str = ""
) -> str:
    return (
        f'<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd><Sts>{status}</Sts><BookgDt><Dt>{day}</Dt></BookgDt>{more}'
        f"<BkTxCd/>{f'<NtryDtls>{details}</NtryDtls>' if details else ''}</Ntry>"
    )


def keys(heard: Told) -> list[str]:
    account = heard.pages[0].account
    return [key_of(account, line) for line in heard.lines]


# ---------------------------------------------------------------- what comes out


def test_a_batch_is_a_line_for_each_transaction_that_adds_up() -> None:
    heard, ending = told(DATA / "branch-02.xml")
    assert [(line.amount, line.side, line.counterparty) for line in heard.lines] == [
        (1_000_00, "credit", "Acmé Oy"), (250_00, "credit", ""), (50_00, "credit", ""),
    ]  # fmt: skip
    assert {line.bank_id for line in heard.lines} == {"B-1"}
    assert heard.lines[0].value_date.isoformat() == "2026-11-01"
    assert heard.lines[0].counterparty_account == "0042-7"
    assert heard.records[-1] is None, "the announced entry is passed over"
    assert ending == Ending(statements=1, page=1, last=False)


def test_a_reference_is_found_structured_or_cut_in_two_by_the_width_of_the_line() -> None:
    heard, _ = told(DATA / "branch-02.xml")
    assert [line.reference for line in heard.lines] == ["RF82NPP1H6036WQ8P9E7", "RF15BGQ51QF2EGHWPQSB", None]
    assert heard.lines[2].text == "12345678", "another bank's reference is text for people"


def test_pages_have_their_booked_balances_with_signs_and_interim_ones() -> None:
    first, _ = told(DATA / "branch-02.xml")
    second, ending = told(DATA / "branch-02-page-2.xml")
    assert [(page.opening and page.opening.amount, page.closing and page.closing.amount) for page in (first.pages + second.pages)] == [
        (-1_000_00, 350_00), (350_00, 340_00),
    ]  # fmt: skip
    assert (first.pages[0].account, first.pages[0].sequence) == ("FI2112345600000785", 210)
    assert ending == Ending(statements=1, page=2, last=True)


def test_lines_that_are_alike_on_one_page_are_told_apart_by_their_number() -> None:
    heard, _ = told(DATA / "branch-02-page-2.xml")
    assert [line.occurrence for line in heard.lines] == [1, 2]
    assert len(set(keys(heard))) == 2
    assert heard.lines[0].text == "Service charge"


def test_an_envelope_with_two_accounts_and_prefixes_is_read_by_account() -> None:
    heard, ending = told(DATA / "house-08.xml")
    assert [(page.account, page.currency, page.page, page.last) for page in heard.pages] == [
        ("SAVINGS 12", "JPY", 1, True), ("DE89370400440532013000", "EUR", 2, True),
    ]  # fmt: skip
    assert ending.statements == 2
    assert heard.lines[0].amount == 5_000, "yen have no minor units, whatever the bank writes"


def test_a_returned_payment_names_its_id_its_payee_and_the_reason() -> None:
    heard, _ = told(DATA / "house-08.xml")
    back = heard.lines[1]
    assert (back.side, back.reversal, back.end_to_end_id, back.return_reason) == ("credit", True, "E0123", "AC04")
    assert (back.counterparty, back.code) == ("GPU Cloud GmbH", "PMNT/ICDT/RRTN")


def test_a_batch_that_does_not_add_up_is_one_line_of_what_was_booked() -> None:
    heard, _ = told(DATA / "house-08.xml")
    assert (heard.lines[2].amount, heard.lines[2].end_to_end_id, heard.lines[2].text) == (100_00, "", "Collections and charges")


def test_a_payment_in_another_currency_counts_as_it_was_booked() -> None:
    heard, _ = told(DATA / "house-08.xml")
    assert (heard.lines[3].amount, heard.lines[3].currency, heard.lines[3].end_to_end_id) == (92_10, "EUR", "USD-1")
    assert heard.lines[3].reference == "RF82NPP1H6036WQ8P9E7"


@pytest.mark.parametrize("version", [f"{number:02}" for number in range(2, 14)])
def test_every_version_from_02_to_13_is_read(version: str) -> None:
    status = "BOOK" if int(version) < 8 else "<Cd>BOOK</Cd>"
    name = "<Dbtr><Nm>Helio</Nm></Dbtr>" if int(version) < 8 else "<Dbtr><Pty><Nm>Helio</Nm></Pty></Dbtr>"
    heard, _ = told(document(entry("3.20", status=status, details=f"<TxDtls><RltdPties>{name}</RltdPties></TxDtls>"), version=version))
    assert [(line.amount, line.counterparty) for line in heard.lines] == [(3_20, "Helio")]


def test_transactions_of_the_other_side_are_subtracted_and_those_without_money_left_out() -> None:
    parts = "".join(
        f'<TxDtls><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd></TxDtls>'
        for amount, side in (("10.00", "CRDT"), ("2.50", "DBIT"), ("0.00", "CRDT"))
    )
    heard, _ = told(document(entry("7.50", details=parts)))
    assert [(line.amount, line.side) for line in heard.lines] == [(10_00, "credit"), (2_50, "debit")]


def test_one_transaction_of_a_larger_batch_does_not_take_the_whole_entry() -> None:
    heard, _ = told(
        document(entry("7.50", details="<Btch><NbOfTxs>3</NbOfTxs></Btch><TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs></TxDtls>"))
    )
    assert [(line.amount, line.end_to_end_id) for line in heard.lines] == [(7_50, "")]


def test_a_credit_that_names_a_transaction_of_less_is_not_all_that_payers() -> None:
    part = '<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="EUR">4.00</Amt><RmtInf><Ustrd>RF82NPP1H6036WQ8P9E7</Ustrd></RmtInf></TxDtls>'
    heard, _ = told(document(entry("10.00", details=part), entry("4.00", details=part), entry("3.90", details=part)))
    assert [(line.amount, line.reference) for line in heard.lines] == [
        (10_00, None), (4_00, "RF82NPP1H6036WQ8P9E7"), (3_90, "RF82NPP1H6036WQ8P9E7"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["NONREF", "nonref", "NOTPROVIDED", "NotProvided", "NOT PROVIDED", "0000000000", "none"])
def test_what_says_that_there_is_no_id_is_none(text: str) -> None:
    details = f"<TxDtls><Refs><AcctSvcrRef>{text}</AcctSvcrRef><EndToEndId>{text}</EndToEndId></Refs></TxDtls>"
    heard, _ = told(
        document(
            entry(details=details, more=f"<AcctSvcrRef>{text}</AcctSvcrRef>"), entry(details=details, more="<AcctSvcrRef>B1</AcctSvcrRef>")
        )
    )
    assert [(line.bank_id, line.end_to_end_id) for line in heard.lines] == [("", ""), ("B1", "")]


@pytest.mark.parametrize(
    "details",
    [
        "<RmtInf><Strd><AddtlRmtInf>call RF82NPP1H6036WQ8P9E7</AddtlRmtInf></Strd></RmtInf>",
        "<Refs><EndToEndId>RF82NPP1H6036WQ8P9E7</EndToEndId></Refs>",
    ],
)
def test_a_reference_is_found_wherever_payers_write_it(details: str) -> None:
    heard, _ = told(document(entry(details=f"<TxDtls>{details}</TxDtls>")))
    assert heard.lines[0].reference == "RF82NPP1H6036WQ8P9E7"


def test_the_austrian_banks_own_edition_is_read() -> None:
    heard, _ = told(
        document(entry()).replace("urn:iso:std:iso:20022:tech:xsd:camt.053.001.08", "ISO:camt.053.001.02:APC:STUZZA:payments:003")
    )
    assert len(heard.lines) == 1


@pytest.mark.parametrize("name", ["ISO-8859-1", "windows-1252", "UTF-16"])
def test_files_in_other_letters_are_read(name: str) -> None:
    text = document(entry(details="<TxDtls><RmtInf><Ustrd>Müller</Ustrd></RmtInf></TxDtls>"))
    heard, _ = told(text.replace('"1.0"?', f'"1.0" encoding="{name}"?').encode(name))
    assert heard.lines[0].text == "Müller"


def test_what_is_repeated_without_end_takes_no_memory() -> None:
    heard, _ = told(document(entry(more="<AddtlNtryInf/>" * 50_000)).replace("<Id>S-1</Id>", "<Id>S-1</Id>" * 50_000))
    assert (len(heard.lines), heard.pages[0].statement) == (1, "S-1")


def test_lines_taken_back_from_a_batch_leave_no_number_behind() -> None:
    same = '<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="EUR">1.00</Amt></TxDtls>'
    heard, _ = told(document(entry("9.00", details=same * 2), entry("1.00", details=same)))
    assert [(line.amount, line.occurrence) for line in heard.lines] == [(9_00, 1), (1_00, 1)]


def test_an_entry_without_money_and_one_only_announced_are_passed_over() -> None:
    heard, _ = told(document(entry("0.00"), entry(status="PDNG"), entry(status="<Prtry>SOON</Prtry>")))
    assert heard.lines == []
    assert heard.records[1:] == [None, None, None]


def test_a_statement_of_a_day_without_entries_is_a_page() -> None:
    heard, _ = told(document())
    assert [page.statement for page in heard.pages] == ["S-1"]


def test_invisible_characters_of_a_payer_do_not_reach_the_log() -> None:
    heard, _ = told(document(entry(details="<TxDtls><RmtInf><Ustrd>a&#x202E;b\u200bc&#9;d</Ustrd></RmtInf></TxDtls>")))
    assert heard.lines[0].text == "abc d"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\u200c\u200d\u202eقा्"), max_size=60))
def test_whatever_a_payer_writes_the_file_is_read_or_refused_with_its_line(text: str) -> None:
    content = document(entry(details=f"<TxDtls><RmtInf><Ustrd>{escape(text)}</Ustrd></RmtInf></TxDtls>"))
    try:
        lines = len(told(content)[0].lines)
    except Unreadable as unreadable:
        lines = str(unreadable).count("line ")
    assert lines == 1


def test_how_the_file_is_cut_into_chunks_changes_nothing() -> None:
    whole = [told(DATA / "house-08.xml", size)[0].records for size in (1, 7, 100_000)]
    assert whole[0] == whole[1] == whole[2]


# ---------------------------------------------------------------- the keys


def test_a_repeated_a_renamed_and_a_corrected_statement_have_the_same_keys() -> None:
    content = (DATA / "branch-02.xml").read_bytes()
    first, again = told(content)[0], told(content)[0]
    corrected = content.replace(b"ST-210", b"ST-210-CORR").replace(b"0210", b"0211").replace(b"T04:00:00", b"T09:30:00")
    assert keys(first) == keys(again) == keys(told(corrected)[0])


def test_entries_in_another_order_have_the_same_keys() -> None:
    entries = [entry("1.00"), entry("2.00"), entry("1.00"), entry("2.00", side="DBIT")]
    assert sorted(keys(told(document(*entries))[0])) == sorted(keys(told(document(*reversed(entries)))[0]))


@pytest.mark.parametrize(
    "other",
    [
        entry("1.01"), entry(side="DBIT"), entry(day="2026-11-03"), entry(more="<AcctSvcrRef>B</AcctSvcrRef>"),
        entry(details="<TxDtls><Refs><EndToEndId>E</EndToEndId></Refs></TxDtls>"),
        entry(details="<TxDtls><RmtInf><Ustrd>RF82NPP1H6036WQ8P9E7</Ustrd></RmtInf></TxDtls>"),
    ],
)  # fmt: skip
def test_amount_side_day_and_ids_make_another_key(other: str) -> None:
    assert len(set(keys(told(document(entry(), other))[0]))) == 2


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1", "EUR", 100),
        ("01.00", "EUR", 100),
        ("1.5", "EUR", 150),
        ("1.50000", "EUR", 150),
        ("7.", "EUR", 700),
        ("12", "JPY", 12),
        ("1.2345", "CLF", 12345),
        (".50", "EUR", 50),
        ("+1.00", "EUR", 100),
        ("1.234", "TND", 1234),
    ],
)
def test_amounts_are_read_by_the_currencys_own_places(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, currency, 1) == minor


@pytest.mark.parametrize("text", ["", "-1.00", "++1", "+", ".", "1e3", "1,00", "NaN", "１", "1.005", "1 000", "9" * 18, "1_0"])
def test_what_is_no_amount_is_refused_with_its_line(text: str) -> None:
    assert "line 4: " in refused(document(entry(), entry(text)))


@pytest.mark.parametrize("currency", ["XYZ", "", "eur", "XXX"])
def test_an_amount_in_no_currency_in_use_is_refused(currency: str) -> None:
    with pytest.raises(Unreadable, match="line 4: an amount without a currency"):
        minor_units("1.00", currency, 4)


@given(st.text(min_size=1, max_size=10), st.integers(0, 4), st.text("abcdefghijklmnop ", max_size=40), st.integers(0, 24))
def test_a_reference_is_found_in_any_text_and_wherever_it_is_cut(part: str, style: int, around: str, cut: int) -> None:
    reference = creditor_reference("round/x", part)
    shown = [reference, shown_reference(reference), reference.lower(), f"/{reference}/", f"ref: {shown_reference(reference)}"][style]
    text = f"{around} {shown} {around}"
    assert reference_in(text) == reference
    place = min(len(text), len(around) + 1 + cut)
    assert reference_in(text[:place], text[place:]) == reference


def test_a_reference_with_wrong_check_digits_or_two_different_ones_is_none() -> None:
    first, second = creditor_reference("a"), creditor_reference("b")
    assert reference_in(first.replace(first[2:4], "00")) is None
    assert reference_in(f"{first} {second}") is None
    assert reference_in("RF332348236") == "RF332348236"


# ---------------------------------------------------------------- what is refused


BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Document>&b;</Document>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB, "DOCTYPE"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "DOCTYPE"),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>', "DOCTYPE"),
        (document(entry(details="<TxDtls>&unknown;</TxDtls>")), "line 3"),
        (document(entry(details="<a>" * 70 + "</a>" * 70)), "deeper than 64"),
        (document(entry(details="<TxDtls>" + "<a/>" * 30_000 + "</TxDtls>")), "20000 elements"),
        (document(entry(details=f"<TxDtls><RmtInf><Ustrd>{'x' * 1_100_000}</Ustrd></RmtInf></TxDtls>")), "characters"),
        (f"<Document {'x' * 3_000_000}>", "a tag is longer"),
        (document(name="camt.054.001"), "a notification of single movements (camt.054), not a statement"),
        (document(name="camt.052.001"), "ask the bank for statements of whole days"),
        (document(version="01"), "version 01: ask the bank for camt.053.001.08"),
        (document(version="14"), "version 14"),
        ("<Document/>", "namespace"),
        (document(entry(day="2026-02-30")), "'2026-02-30' is not a day of booking"),
        (document().replace('"1.0"?', '"1.0" encoding="foo"?'), "written in 'foo'"),
        (document().replace('"1.0"?', '"1.0" encoding="GB18030"?'), "written in 'GB18030'"),
        (f"<a>{document(entry())[21:]}{document(entry())[21:]}</a>", "a second message begins here"),
        ("<a><b/></a>", "no `Document`"),
        ("<html><body>Log in</body></html>", "web page"),
        (":20:STATEMENT\n:25:1234", "MT940"),
        (b"PK\x03\x04...", "compressed"),
        (b"%PDF-1.7", "PDF"),
        ("date;amount\n2026;1", "camt.053"),
        ("", "cut off"),
        (document().replace("<Id>S-1</Id>", ""), "no id"),
        (document(entry(status="")), "status"),
        (document(entry().replace("<CdtDbtInd>CRDT</CdtDbtInd>", "")), "line 3: an entry without amount or side"),
        (document(entry()).replace("</Ntry>", '</Ntry><Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp></Bal>'), "a balance after the first entry"),
        ('<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt/></Document>', "no statement"),
        (document(entry()) + document(entry()), "not well-formed"),
    ],
)  # fmt: skip
def test_what_is_no_statement_is_refused_in_words_that_help(content: bytes | str, words: str) -> None:
    assert words in refused(content)


def test_a_file_that_was_cut_off_is_refused_with_the_line_wherever_it_ends() -> None:
    content = (DATA / "house-08.xml").read_bytes().rstrip()
    for end in range(0, len(content), 97):
        assert "line" in refused(content[:end])


def test_a_file_is_known_by_its_first_lines() -> None:
    found = sniffed([(DATA / "house-08.xml").read_bytes()])
    assert found is not None
    assert (found.name, found.version) == ("camt.053", "08")
    assert sniffed([b"hello"]) is None
    assert message_of("http://www.w3.org/1999/xhtml") is None


# ---------------------------------------------------------------- others' readers and files


@pytest.mark.parametrize(
    ("name", "module"), [("branch-02.xml", camt_053_001_02), ("branch-02-page-2.xml", camt_053_001_02), ("house-08.xml", camt_053_001_08)]
)
def test_the_fixtures_are_statements_by_the_published_schema_too(name: str, module: Any) -> None:
    content = (DATA / name).read_bytes()
    if b"<ns2:Document" in content:
        content = content[content.index(b"<ns2:Document") : content.index(b"</b:Envelope>")]
    config = ParserConfig(fail_on_unknown_properties=True, fail_on_converter_warnings=True)
    parsed = XmlParser(handler=XmlEventHandler, config=config).from_bytes(content, module.Document)
    heard, _ = told(DATA / name)
    assert len(parsed.bk_to_cstmr_stmt.stmt) == len(heard.pages)
    booked = [one for each in parsed.bk_to_cstmr_stmt.stmt for one in each.ntry]
    assert len(booked) <= len(heard.records)


@shared
@pytest.mark.parametrize(
    ("name", "account", "entries", "lines"),
    [("abn_amro_example_camt.xml", "NL77ABNA0574908765", 13, 29), ("nordea_example_camt.xml", "FI8529501800030574", 6, 6)],
)
def test_the_example_files_of_two_banks_come_out_to_the_cent(name: str, account: str, entries: int, lines: int) -> None:
    heard, _ = told(SHARED / name)
    (page,) = heard.pages
    assert (page.account, len(heard.lines)) == (account, lines)
    assert (SHARED / name).read_text().count("<Ntry>") == entries
    assert page.opening is not None
    assert page.closing is not None
    moved = sum(line.amount if line.side == "credit" else -line.amount for line in heard.lines)
    assert page.opening.amount + moved == page.closing.amount
    assert len(set(keys(heard))) == lines


# ---------------------------------------------------------------- size


def generated(path: Path, megabytes: int, *, batch: bool) -> int:
    """Writes a statement of this size, as single entries or as one entry with all; how many transactions it has."""
    count = megabytes * 1024 * 1024 // 900
    part = (
        '<TxDtls><Refs><AcctSvcrRef>REF{0}</AcctSvcrRef><EndToEndId>E2E-{0}</EndToEndId></Refs><Amt Ccy="EUR">12.34</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        "<RltdPties><Dbtr><Pty><Nm>Payer {0}</Nm><PstlAdr><AdrLine>1 Long Street of a Town</AdrLine><Ctry>NL</Ctry></PstlAdr></Pty></Dbtr>"
        "<DbtrAcct><Id><IBAN>NL98MOCK0000000042</IBAN></Id></DbtrAcct></RltdPties><RltdAgts><DbtrAgt><FinInstnId><BICFI>MOCKNL2A</BICFI>"
        "</FinInstnId></DbtrAgt></RltdAgts><RmtInf><Ustrd>Our share of the call number {0}, with many thanks</Ustrd></RmtInf></TxDtls>\n"
    )
    before, _, after = document("<!-- here -->").partition("<!-- here -->")
    with path.open("w") as file:
        file.write(before)
        if batch:
            total = count * 12_34
            start, end = entry(f"{total // 100}.{total % 100:02}", details="<!-- here -->").split("<!-- here -->")
            file.write(start)
            file.writelines(part.format(number) for number in range(count))
            file.write(end)
        else:
            start, end = entry("12.34", details="<!-- here -->", more=" " * 200).split("<!-- here -->")
            file.writelines(start + part.format(number) + end for number in range(count))
        file.write(after)
    return count


MEASURE = r"""
import re, sys
from pathlib import Path
from activities.bank.statements import Statements, CHUNK
statements = Statements(Path(sys.argv[1]) / "statements")
def chunks():
    with open(sys.argv[2], "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
digest = statements.keep(chunks(), "big.xml")
piece = statements.piece(digest, "DE89370400440532013000", "EUR", "")
peak = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
print(len(piece.lines), piece.next_cursor, digest, peak[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its own memory from /proc")
@pytest.mark.parametrize("batch", [False, True], ids=["single entries", "one entry"])
def test_a_large_statement_is_streamed_in_little_memory(tmp_path: Path, *, batch: bool, long: bool) -> None:
    megabytes = 200 if long else 4
    count = generated(tmp_path / "big.xml", megabytes, batch=batch)
    command = [sys.executable, "-c", MEASURE, str(tmp_path), str(tmp_path / "big.xml")]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]).stdout.split()
    assert found[0] == "100"
    assert int(found[3]) < 300 * 1024, "kilobytes"
    normalised = next((tmp_path / "statements").glob(f"{found[2]}.*.jsonl"))
    with normalised.open("rb") as file:
        assert sum(line.startswith(b"L") for line in file) == count


def test_chunks_of_a_stored_file_are_its_lines_in_order_whatever_the_account(tmp_path: Path) -> None:
    statements = Statements(tmp_path)
    many = [entry(f"{number}.00", more=f"<AcctSvcrRef>B{number}</AcctSvcrRef>") for number in range(1, 251)]
    digest = statements.keep([document(*many, entry(status="PDNG")).encode()], "a.xml")
    found: list[Line] = []
    sizes: list[int] = []
    cursor, passed = "", 0
    while True:
        piece = statements.piece(digest, "DE89370400440532013000", "EUR", cursor)
        found += piece.lines
        sizes.append(len(piece.lines))
        passed += piece.not_booked
        cursor = piece.next_cursor
        if not cursor:
            break
    assert [line.amount for line in found] == [number * 100 for number in range(1, 251)]
    assert (sizes, passed) == ([100, 100, 50], 1)
    other = statements.piece(digest, "NL98MOCK0000000042", "EUR", "")
    assert (other.page, other.lines, other.next_cursor, other.other_accounts) == (None, (), "", 1)


def pages(statements: Statements, digest: str, account: str) -> Sequence[Page]:
    found, cursor = [], ""
    while True:
        piece = statements.piece(digest, account, "EUR", cursor)
        found += [piece.page] if piece.page else []
        cursor = piece.next_cursor
        if not cursor:
            return found


def test_the_messages_page_is_the_statements_where_that_says_nothing(tmp_path: Path) -> None:
    statements = Statements(tmp_path)
    files = [statements.keep([(DATA / name).read_bytes()], name) for name in ("branch-02.xml", "branch-02-page-2.xml")]
    found = [page for digest in files for page in pages(statements, digest, "FI2112345600000785")]
    assert [(page.statement, page.page, page.last) for page in found] == [("ST-210", 1, False), ("ST-210", 2, True)]


def test_an_account_named_by_its_national_number_is_ours(tmp_path: Path) -> None:
    statements = Statements(tmp_path)
    body = document(entry()).replace("<IBAN>DE89370400440532013000</IBAN>", "<Othr><Id>370400440532013000</Id></Othr>")
    digest = statements.keep([body.encode()], "a.xml")
    (page,) = pages(statements, digest, "DE89370400440532013000")
    assert page.account == "DE89370400440532013000"


def test_an_account_without_an_iban_is_ours_by_its_whole_number_only(tmp_path: Path) -> None:
    statements = Statements(tmp_path)
    body = document(entry()).replace("<IBAN>DE89370400440532013000</IBAN>", "<Othr><Id>000-123 456789</Id></Othr>")
    digest = statements.keep([body.encode()], "a.xml")
    (page,) = pages(statements, digest, "000123456789")
    assert page.account == "000123456789"
    assert pages(statements, digest, "7777000123456789") == []


@pytest.mark.parametrize("place", ["entry", "transaction", "balance"])
def test_an_amount_beyond_the_bound_on_another_account_hinders_nobody(place: str, tmp_path: Path) -> None:
    much = "9" * 17
    transactions = f"<TxDtls><Amt Ccy='EUR'>1.00</Amt></TxDtls><TxDtls><Amt Ccy='EUR'>{much}</Amt></TxDtls>"
    balance = f"<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>{much}</Amt><Dt><Dt>2026-11-02</Dt></Dt></Bal>"
    rich = {
        "entry": document(entry("2.00"), entry(much), entry("3.00")),
        "transaction": document(entry("2.00"), entry("4.00", details=transactions), entry("3.00")),
        "balance": document(entry("2.00"), header=balance),
    }[place]
    other = rich[rich.index("<Stmt>") : rich.index("</BkToCstmrStmt>")].replace("DE89370400440532013000", "NL98MOCK0000000042")
    before, after = document(entry("5.00")), document(entry("6.00")).replace("<Id>S-1</Id>", "<Id>S-2</Id>")
    first, second = (each[each.index("<Stmt>") : each.index("</BkToCstmrStmt>")] for each in (before, after))
    statements = Statements(tmp_path)
    digest = statements.keep([before.replace(first, first + other + second).encode()], "a.xml")
    assert [page.statement for page in pages(statements, digest, "DE89370400440532013000")] == ["S-1", "S-2"]
    with pytest.raises(Unreadable, match="more than this system counts"):
        statements.piece(digest, "NL98MOCK0000000042", "EUR", "")
