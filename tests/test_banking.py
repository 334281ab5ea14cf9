"""The bank's activities, at folders and at a real bank server (`mock-bank`): everything counts once, whenever a process is killed.

| activity | the bank | what is tried |
| --- | --- | --- |
| fetch_statements | folder, mock-bank | again with the same cursor, with an older one, with a lost folder; killed before every file operation |
| read_statement | – | a chunk again; refused files; a file that is not there |
| send_payment | folder, mock-bank | again, at once, killed before every file operation and at random instants; rejected, turned away whole, silent |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.bank.banking import Banking
from activities.bank.folder import FolderBank
from activities.bank.http import HttpBank
from activities.bank.pain import Verdict, order
from activities.bank.statements import Content, Hindered, Statements, examine
from activities.bank.xml import Unreadable
from activities.messages import Receipt
from activities.web import Unreachable, Web
from cli.bank import came_of
from cli.failures import BadInput
from cli.give import awaited
from cli.main import show_failure
from domain.kernel import SERVICE, Step, derived_id
from domain.treasury import commands, steps
from domain.treasury.process import TREASURY
from domain.treasury.state import Open
from domain.treasury.terms import OrderAnswer
from eventstore.answers import Recorded
from eventstore.clock import MovedClock
from eventstore.entries import Submission, instant
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from tests.kill_bank import OURS, folder_bank, payment, step
from tests.stories import START, Story, charter, founded
from tests.test_camt import DATA, SHARED, document, entry, shared
from tests.test_cli import Terminal, bare
from tests.test_pain import status

__all__ = ["bare"]

ROOT = Path(__file__).parents[1]
ACCOUNT = {"id": "MAIN", "name": "Open Model Consortium", "iban": OURS.iban, "currency": "EUR", "balance": 10_000_000_00}

TREASURY_IBAN = "FI2112345600000785"

# ---------------------------------------------------------------- a real bank


@contextmanager
def mock_bank(*options: str) -> Iterator[httpx.Client]:
    """A bank in a process of its own, whose clock stands at the morning of 2 November 2026 and holds our account."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mockbank", "--port", str(port), "--clock", "2026-11-02T09:00", "-q", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                for _ in range(200):
                    try:
                        client.get("/_mock/health")
                        break
                    except httpx.TransportError:
                        time.sleep(0.05)
                client.post("/_mock/accounts", json=ACCOUNT).raise_for_status()
                yield client
        finally:
            server.terminate()


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Web:
    """A web in which every machine answers as given."""

    def streamed(request: httpx.Request) -> httpx.Response:
        given = answer(request)
        return httpx.Response(given.status_code, headers=given.headers, stream=httpx.ByteStream(given.content))

    return Web(resolve=lambda _host, _port: ["93.184.216.34"], transport=httpx.MockTransport(streamed))


@pytest.fixture
def bank() -> Iterator[httpx.Client]:
    with mock_bank() as client:
        yield client


def credited(client: httpx.Client, amount: int, **fields: Any) -> None:
    client.post("/_mock/credits", json={"account": "MAIN", "amount": amount} | fields).raise_for_status()


def behave(client: httpx.Client, fields: dict[str, Any]) -> None:
    client.patch("/_mock/accounts/MAIN", json=fields).raise_for_status()


def advance(client: httpx.Client, days: int = 1) -> None:
    client.post("/_mock/advance", params={"days": days}).raise_for_status()


def paid(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/_mock/payments").json()
    return found


def posted(client: httpx.Client) -> int:
    """How often an order was posted."""
    return len(client.get("/_mock/requests", params={"path": "/payments"}).json())


def fetch(cursor: str = "", number: int = 1) -> Step:
    return Step(kind="fetch_statements", key=f"fetch:{number}", data={"account": "main", "iban": OURS.iban, "cursor": cursor})


def reading(file: str, cursor: str = "", iban: str = OURS.account_id) -> Step:
    return Step(kind="read_statement", key=f"read:{file}:1", data={"file": file, "iban": iban, "currency": "EUR", "cursor": cursor})


async def fetched(banking: Banking, cursor: str = "") -> steps.StatementsFetched:
    return steps.StatementsFetched.model_validate_json(json.dumps(await banking.fetch_statements(fetch(cursor))))


async def read(banking: Banking, file: str, cursor: str = "", iban: str = OURS.account_id) -> steps.StatementRead:
    return steps.StatementRead.model_validate_json(json.dumps(await banking.read_statement(reading(file, cursor, iban))))


# ---------------------------------------------------------------- statements over HTTP


async def test_money_that_arrives_at_the_bank_is_read_from_its_statement(bank: httpx.Client, tmp_path: Path) -> None:
    credited(bank, 1_000_00, reference="RF82NPP1H6036WQ8P9E7", debtor={"name": "Helio"}, end_to_end_id="HELIO-1")
    credited(bank, 250_00, note="Second call RF15 BGQ5 1QF2 EGHW PQSB thank you very much indeed", wrap=35)
    advance(bank)
    banking = Banking(HttpBank(str(bank.base_url), account="MAIN"), Statements(tmp_path))
    found = await fetched(banking)
    assert [file.name for file in found.files] == ["camt.053.001.08-MAIN-" + found.files[0].name.rpartition("-")[2]]
    piece = await read(banking, found.files[0].file)
    assert [(line.amount, line.reference, line.counterparty) for line in piece.lines] == [
        (1_000_00, "RF82NPP1H6036WQ8P9E7", "Helio"), (250_00, "RF15BGQ51QF2EGHWPQSB", ""),
    ]  # fmt: skip
    assert piece.page is not None
    assert piece.page.opening is not None
    assert piece.page.closing is not None
    assert piece.page.closing.amount == piece.page.opening.amount + 1_250_00
    assert piece.next_cursor == ""


async def test_asked_again_from_the_same_cursor_the_same_files_come_and_later_ones_once(bank: httpx.Client, tmp_path: Path) -> None:
    banking = Banking(HttpBank(str(bank.base_url), account="MAIN"), Statements(tmp_path))
    advance(bank)
    first = await fetched(banking)
    assert await fetched(banking) == first
    advance(bank)
    later = await fetched(banking, first.cursor)
    assert len(later.files) == 1
    assert later.files[0] not in first.files
    assert (await fetched(banking, later.cursor)).files == ()
    assert {file.file for file in (await fetched(banking)).files} == {file.file for file in (*first.files, *later.files)}


async def test_a_bank_that_cannot_be_reached_is_a_fault_and_one_that_turns_us_away_is_for_a_person(tmp_path: Path) -> None:
    with mock_bank() as client:
        address = client.base_url
    with pytest.raises(Unreachable):
        await Banking(HttpBank(str(address)), Statements(tmp_path)).fetch_statements(fetch())
    turned_away = answering(lambda _: httpx.Response(401))
    outcome = await Banking(HttpBank("http://bank", web=turned_away), Statements(tmp_path)).fetch_statements(fetch())
    assert outcome["kind"] == "fail_step"
    assert "correct them" in outcome["reason"]


# ---------------------------------------------------------------- statements from a folder


async def test_files_dropped_into_the_inbox_are_kept_and_put_away(tmp_path: Path) -> None:
    banking = Banking(folder_bank(tmp_path), Statements(tmp_path / "statements"))
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("branch-02.xml", "branch-02-page-2.xml"):
        (inbox / name).write_bytes((DATA / name).read_bytes())
    (inbox / "half.xml.part").write_text("<Doc")
    (inbox / ".hidden").write_text("x")
    (inbox / "link.xml").symlink_to(DATA / "house-08.xml")
    found = await fetched(banking)
    assert [file.name for file in found.files] == ["branch-02-page-2.xml", "branch-02.xml"]
    assert sorted(path.name for path in inbox.iterdir() if not path.is_dir()) == [".hidden", "half.xml.part", "link.xml"]
    pieces = [await read(banking, file.file, iban="FI2112345600000785") for file in found.files]
    assert [(piece.page and piece.page.page, len(piece.lines), piece.not_booked) for piece in pieces] == [(2, 2, 0), (1, 3, 1)]


async def test_a_file_that_is_still_written_to_is_left_for_the_next_look(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "new.xml").write_text(document())
    patient = FolderBank(tmp_path / "inbox", tmp_path / "outbox", settled=timedelta(hours=1))
    assert (await fetched(Banking(patient, Statements(tmp_path / "statements")))).files == ()


async def test_other_messages_of_the_bank_are_no_statements_and_what_is_no_message_is_refused_in_words(tmp_path: Path) -> None:
    banking = Banking(folder_bank(tmp_path), Statements(tmp_path / "statements"))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "notification.xml").write_text(document(name="camt.054.001"))
    (tmp_path / "inbox" / "statement.sta").write_text(":20:STATEMENT")
    found = await fetched(banking)
    assert [file.name for file in found.files] == ["statement.sta"]
    assert (tmp_path / "inbox" / "other" / "notification.xml").exists()
    assert found.aside == ("notification.xml: a notification of single movements (camt.054), which is not read",)
    outcome = await banking.read_statement(reading(found.files[0].file))
    assert outcome["kind"] == "statement_refused"
    assert "MT940" in outcome["reason"]


@pytest.mark.parametrize(
    "content",
    [
        b":20:STATEMENT",
        b"",
        b"just a list of members",
        document(name="camt.054.001").encode(),
        document().encode()[:-20],
        document().encode(),
    ],
    ids=["MT940", "empty", "text", "another message", "cut off", "a statement"],
)
async def test_a_file_is_looked_at_beforehand_as_the_workers_read_it(content: bytes, tmp_path: Path) -> None:
    statements = Statements(tmp_path / "statements")
    outcome = await Banking(folder_bank(tmp_path), statements).read_statement(reading(statements.keep([content], "file.xml")))
    try:
        examine(BytesIO(content))
        told = ""
    except Unreadable as unreadable:
        told = str(unreadable)
    assert (outcome["kind"], outcome.get("reason", "")) == ("statement_refused" if told else "statement_read", told)


def test_a_file_is_looked_at_as_what_it_is() -> None:
    assert examine(BytesIO(status("<GrpSts>PART</GrpSts>"))) == "report"
    assert examine(BytesIO(document().encode())) == "statement"


def test_a_file_that_is_no_statement_is_refused_where_it_is_typed_and_kept_nowhere(bare: Terminal, tmp_path: Path) -> None:
    bare.folder = str(tmp_path)
    wrong = tmp_path / "members.csv"
    wrong.write_text("helio,nova\n", encoding="utf-8")
    told = bare("import-statement", str(wrong), "--key", "tess", "--json")
    assert (told.code, told.error["error"]) == (4, "bad input")
    assert told.error["message"].startswith("members.csv is no bank statement that can be imported: ")
    assert not (tmp_path / "statements").exists()


async def test_whoever_imports_a_file_is_told_what_it_brought(capsys: pytest.CaptureFixture[str]) -> None:
    log, main = MemoryLog(), "treasury/main"
    recorder = Recorder(log, clock=MovedClock(START))

    async def give(stream: str, by: str, **command: Any) -> Recorded:
        recorded = await recorder.record(Submission(stream, derived_id(stream, str(command)), by, canonical_command(command)))
        assert recorded.refusal is None, recorded.refusal
        return recorded

    def digest(name: str) -> str:
        return hashlib.sha256(name.encode()).hexdigest()

    async def imported(name: str, file: str) -> Receipt:
        taken = await give(main, "tess", kind="import_statement", file=file, name=name)
        entry, kinds = taken.entry, list(taken.kinds)
        return Receipt(
            stream=main, position=entry.position, command_id=entry.command_id, at=instant(entry.at), hash=entry.hash.hex(), events=kinds
        )

    async def comes(name: str, content: Content = "statement", **outcome: Any) -> str:
        """What is told of a file whose reading ends so."""
        file = digest(name)
        receipt = await imported(name, file)
        await give(main, SERVICE, step=f"read:{file}:1:1", file=file, **outcome)
        return await awaited(partial(came_of, name, file, content), log, receipt)

    officers = [{"person": "sam", "offices": ["secretariat"]}, {"person": "tess", "offices": ["treasurer", "board"]}]
    await give("consortium/atlas", "sam", kind="found", charter=charter().model_dump(mode="json"), officers=officers)
    await give(main, "tess", kind="open_account", iban=OURS.account_id, owner="Atlas")
    page = {"account": OURS.account_id, "statement": "S1", "page": 1, "currency": "USD"}
    line = {"booked_on": "2026-11-02", "value_date": "2026-11-02", "amount": 500, "currency": "USD", "side": "credit"}
    assert await comes("a.xml", kind="statement_read", page=page, lines=[line]) == "a.xml is read: 1 movement on this account"
    told = await comes("b.xml", kind="statement_read", other_accounts=2)
    assert told == "b.xml is read: 0 movements on this account, 2 statements of other accounts, left out"
    told = await comes("one.xml", kind="statement_read", other_accounts=1)
    assert told == "one.xml is read: 0 movements on this account, 1 statement of other accounts, left out"
    assert (
        await comes("orders.xml", "report", kind="report_read", order="M-1", answers=[]) == "orders.xml is read: a report on payment orders"
    )

    again = await imported("the same.xml", digest("a.xml"))
    told = await came_of("the same.xml", digest("a.xml"), "statement", log, again)
    assert told == "the same.xml was given before; `consortium show treasury/main` tells what came of it"

    with pytest.raises(BadInput, match=r"c\.xml was not imported: the amount is too large") as refused:
        await comes("c.xml", kind="statement_refused", reason="the amount is too large")
    accepted = (await log.head()).position - 1
    name = (await log.read(accepted - 1, 1))[0].command_id
    assert refused.value.details == {"position": accepted, "command_id": name}
    show_failure(refused.value, as_json=False)
    shown = capsys.readouterr().err
    assert f"accepted at position: {accepted}\n" in shown
    assert f"command id: {name}\n" in shown


async def test_more_than_a_hundred_files_come_in_several_looks(tmp_path: Path) -> None:
    statements = Statements(tmp_path / "statements")
    for number in range(250):
        statements.keep([document(entry(f"{number}.00")).encode()], f"{number}.xml")
    banking = Banking(folder_bank(tmp_path), statements)
    cursor, counts, more = "", list[int](), True
    while more:
        found = await fetched(banking, cursor)
        counts.append(len(found.files))
        cursor, more = found.cursor, found.more
    assert counts == [100, 100, 50]


async def test_a_cursor_of_a_lost_folder_begins_anew_so_that_nothing_is_missed(tmp_path: Path) -> None:
    first, second = Statements(tmp_path / "a"), Statements(tmp_path / "b")
    first.keep([b"one"], "1")
    _, cursor, _ = first.after("")
    second.keep([b"two"], "2")
    assert [file.name for file in second.after(cursor)[0]] == ["2"]


def test_an_index_torn_by_a_crash_is_cut_to_what_is_whole(tmp_path: Path) -> None:
    statements = Statements(tmp_path)
    statements.keep([b"one"], "1")
    with (tmp_path / "index.jsonl").open("ab") as file:
        file.write(b'{"file": "torn')
    statements.keep([b"two"], "2")
    assert [file.name for file in statements.after("")[0]] == ["1", "2"]


async def test_a_chunk_asked_for_again_is_the_same_and_a_lost_file_waits_for_a_person(tmp_path: Path) -> None:
    statements = Statements(tmp_path / "statements")
    digest = statements.keep([document(*(entry(f"{n}.00") for n in range(1, 151))).encode()], "a.xml")
    banking = Banking(folder_bank(tmp_path), statements)
    first = await read(banking, digest, iban="DE89370400440532013000")
    again = await read(banking, digest, iban="DE89370400440532013000")
    assert first == again
    next((tmp_path / "statements").glob(f"{digest}.*.jsonl")).unlink()
    assert len((await read(banking, digest, first.next_cursor, iban="DE89370400440532013000")).lines) == 50
    outcome = await banking.read_statement(reading("ab" * 32))
    assert outcome["kind"] == "fail_step"
    assert "not among the stored statements" in outcome["reason"]


async def test_a_file_that_is_too_large_is_not_kept_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.bank.statements.LIMIT", 1_000)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "endless.xml").write_text(document(*(entry() for _ in range(100))))
    (tmp_path / "inbox" / "short.xml").write_text(document(entry()))
    found = await fetched(Banking(folder_bank(tmp_path), Statements(tmp_path / "statements")))
    assert [file.name for file in found.files] == ["short.xml"], "one bad file keeps no other from being kept"
    assert "endless.xml is larger than" in found.aside[0]
    assert (tmp_path / "inbox" / "refused" / "endless.xml").exists()


async def test_a_file_with_a_long_name_is_kept_and_one_in_unknown_letters_refused_alone(tmp_path: Path) -> None:
    banking = Banking(folder_bank(tmp_path), Statements(tmp_path / "statements"))
    (tmp_path / "inbox").mkdir()
    long, strange = "ä" * 120 + ".xml", "strange.xml"
    (tmp_path / "inbox" / long).write_text(document(entry()))
    (tmp_path / "inbox" / strange).write_text(document(entry()).replace('"1.0"?', '"1.0" encoding="foo"?'))
    found = await fetched(banking)
    kinds = {file.name: (await banking.read_statement(reading(file.file)))["kind"] for file in found.files}
    assert kinds == {long: "statement_read", strange: "statement_refused"}
    assert len(list((tmp_path / "inbox" / "taken").iterdir())) == 2


async def test_a_rejection_that_the_bank_reports_after_it_took_the_order_is_read_like_a_statement(tmp_path: Path) -> None:
    banking = Banking(folder_bank(tmp_path), Statements(tmp_path / "statements"))
    await accepted(banking)
    order_id = payment("gpu-1").message_id
    said = "<PmtInfSts>RJCT</PmtInfSts><StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf>"
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "report.xml").write_bytes(status("<GrpSts>PART</GrpSts>", batch=said, original=order_id))
    found = await fetched(banking)
    outcome = await banking.read_statement(reading(found.files[0].file))
    read_report = steps.ReportRead.model_validate_json(json.dumps(outcome))
    assert (read_report.order, read_report.answers) == (order_id, (OrderAnswer(rejected=True, code="AC04"),))
    assert (await rejected(banking)).code == "AC04", "asked again, the order itself is answered so too"


async def test_a_rejection_that_a_bank_puts_in_its_mailbox_days_after_it_took_the_order_is_read(bank: httpx.Client, tmp_path: Path) -> None:
    banking = Banking(HttpBank(str(bank.base_url), account="MAIN"), Statements(tmp_path))
    await accepted(banking, execute_on=date(2026, 11, 4))
    taken = await reports(banking)
    behave(bank, {"closed": True})
    advance(bank, 3)
    late = await reports(banking)
    assert {said.order for said in late} == {payment("gpu-1").message_id}
    assert [[(answer.rejected, answer.code) for answer in said.answers if answer.end_to_end_id] for said in (*taken, *late)] == [
        [(False, "")], [(False, "")], [(True, "AC04")],
    ]  # fmt: skip


async def reports(banking: Banking) -> list[steps.ReportRead]:
    """What the bank has reported of orders, in order."""
    outcomes = [await banking.read_statement(reading(file.file)) for file in (await fetched(banking)).files]
    return [steps.ReportRead.model_validate_json(json.dumps(outcome)) for outcome in outcomes if outcome["kind"] == "report_read"]


async def test_a_stored_file_that_was_changed_is_not_read(tmp_path: Path) -> None:
    statements = Statements(tmp_path / "statements")
    digest = statements.keep([document(entry("1.00")).encode()], "a.xml")
    path = tmp_path / "statements" / f"{digest}.xml"
    path.write_text(document(entry("9.00")))
    outcome = await Banking(folder_bank(tmp_path), statements).read_statement(reading(digest))
    assert outcome["kind"] == "fail_step"
    assert "not what was stored" in outcome["reason"]


async def test_chunks_stay_below_the_size_of_a_command(tmp_path: Path) -> None:
    text = "é" * 140
    details = (
        f"<TxDtls><RltdPties><Dbtr><Nm>{text}</Nm></Dbtr></RltdPties><RmtInf><Ustrd>{text}</Ustrd><Ustrd>{text}</Ustrd></RmtInf></TxDtls>"
    )
    statements = Statements(tmp_path / "statements")
    digest = statements.keep([document(*(entry(f"{n}.00", details=details) for n in range(1, 301))).encode()], "a.xml")
    banking = Banking(folder_bank(tmp_path), statements)
    cursor, lines = "", 0
    while True:
        piece = await read(banking, digest, cursor, iban="DE89370400440532013000")
        assert len(piece.model_dump_json().encode()) < 48 * 1024
        lines += len(piece.lines)
        cursor = piece.next_cursor
        if not cursor:
            break
    assert lines == 300


# ---------------------------------------------------------------- into the treasury


async def imported(banking: Banking, treasury: Story, digest: str) -> Story:
    """The treasury after a stored file was read into it, chunk by chunk, by the steps that it owes."""
    after = treasury.when(commands.ImportStatement(file=digest), by="tess")
    while reads := [owed for owed in after.state.owed.values() if owed.kind == "read_statement"]:
        outcome = json.dumps(await banking.read_statement(reads[0]))
        after = after.when(steps.StatementRead.model_validate_json(outcome), by=SERVICE)
        assert after.refusal is None
    return after


async def test_repeated_reordered_and_corrected_files_count_no_money_twice(tmp_path: Path) -> None:
    statements = Statements(tmp_path)
    banking = Banking(folder_bank(tmp_path), statements)
    first, second = ((DATA / name).read_bytes() for name in ("branch-02.xml", "branch-02-page-2.xml"))
    treasury = Story.of(TREASURY, "treasury/main", founded(charter(currency="EUR")))
    treasury = treasury.when(commands.OpenAccount(iban=TREASURY_IBAN, owner="Atlas", opening_balance=-1_000_00), by="tess")
    kept, balances = Open(OURS, "EUR", START), list[int]()
    for name, content in (
        ("page 2", second), ("page 1", first), ("page 1 again", first + b"\n"), ("page 2 again", second.replace(b"  ", b" ")),
        ("corrected", first.replace(b"ST-210", b"ST-210-C").replace(b"04:00:00", b"09:00:00")),
        ("corrected page 2", second.replace(b"ST-210", b"ST-210-C").replace(b"04:00:00", b"09:00:00")),
    ):  # fmt: skip
        treasury = await imported(banking, treasury, statements.keep([content], name))
        assert isinstance(treasury.state.state, Open)
        kept = treasury.state.state
        balances.append(kept.balances["EUR"])
    assert balances == [-1_010_00, 290_00, 290_00, 290_00, 290_00, 290_00]
    assert not kept.gaps


@shared
@pytest.mark.parametrize(
    ("name", "named", "lines", "moved"),
    [("abn_amro_example_camt.xml", "NL77ABNA0574908765", 29, -900_00), ("nordea_example_camt.xml", "FI8529501800030574", 6, 8_600_00)],
)
async def test_the_example_files_of_two_banks_come_into_a_treasury(name: str, named: str, lines: int, moved: int, tmp_path: Path) -> None:
    """One example's account number is made up, and its check digits are wrong: no treasury opens it, so another stands in for both."""
    statements = Statements(tmp_path)
    digest = statements.keep([(SHARED / name).read_bytes().replace(named.encode(), TREASURY_IBAN.encode())], name)
    treasury = Story.of(TREASURY, "treasury/main", founded(charter(currency="EUR")))
    treasury = treasury.when(commands.OpenAccount(iban=TREASURY_IBAN, owner="Atlas"), by="tess")
    treasury = await imported(Banking(folder_bank(tmp_path), statements), treasury, digest)
    kept = treasury.state.state
    assert isinstance(kept, Open)
    assert (kept.balances["EUR"], len(kept.waiting), kept.gaps) == (moved, lines, ())


# ---------------------------------------------------------------- payments


async def accepted(banking: Banking, name: str = "gpu-1", **changes: Any) -> steps.PaymentAccepted:
    return steps.PaymentAccepted.model_validate_json(json.dumps(await banking.send_payment(step(payment(name, **changes)))))


async def rejected(banking: Banking, name: str = "gpu-1", **changes: Any) -> steps.PaymentRejected:
    return steps.PaymentRejected.model_validate_json(json.dumps(await banking.send_payment(step(payment(name, **changes)))))


async def test_a_payment_leaves_the_account_once_and_the_statement_shows_it_by_its_id(bank: httpx.Client, tmp_path: Path) -> None:
    banking = Banking(HttpBank(str(bank.base_url), account="MAIN"), Statements(tmp_path))
    first = await accepted(banking)
    assert await accepted(banking) == first
    assert len(paid(bank)) == 1
    assert posted(bank) == 1, "the bank is asked before it is told again"
    advance(bank)
    piece = await read(banking, (await fetched(banking)).files[0].file)
    assert [(line.amount, line.side, line.end_to_end_id) for line in piece.lines] == [(123_45, "debit", payment("gpu-1").end_to_end_id)]


async def test_a_payment_that_comes_back_is_a_credit_under_its_id_with_the_reason(bank: httpx.Client, tmp_path: Path) -> None:
    behave(bank, {"behaviour": "return-later", "parameters": {"days": 1}})
    banking = Banking(HttpBank(str(bank.base_url), account="MAIN"), Statements(tmp_path))
    await accepted(banking)
    advance(bank, 3)
    outcomes = [await banking.read_statement(reading(file.file)) for file in (await fetched(banking)).files]
    pieces = [steps.StatementRead.model_validate_json(json.dumps(outcome)) for outcome in outcomes if outcome["kind"] == "statement_read"]
    lines = [line for piece in pieces for line in piece.lines]
    assert [(line.side, line.end_to_end_id, bool(line.return_reason)) for line in lines] == [
        ("debit", payment("gpu-1").end_to_end_id, False), ("credit", payment("gpu-1").end_to_end_id, True),
    ]  # fmt: skip


async def test_two_tries_at_once_pay_once(bank: httpx.Client, tmp_path: Path) -> None:
    banking = Banking(HttpBank(str(bank.base_url)), Statements(tmp_path))
    outcomes = await asyncio.gather(*(banking.send_payment(step(payment("gpu-1"))) for _ in range(8)))
    assert {outcome["kind"] for outcome in outcomes} == {"payment_accepted"}
    assert len(paid(bank)) == 1


async def test_a_payment_that_the_bank_rejects_is_rejected_again_with_its_code(bank: httpx.Client, tmp_path: Path) -> None:
    behave(bank, {"closed": True})
    banking = Banking(HttpBank(str(bank.base_url)), Statements(tmp_path))
    first = await rejected(banking)
    assert first.code == "AC04"
    assert await rejected(banking) == first


async def test_a_file_turned_away_whole_is_not_taken_for_a_repeat_of_itself(bank: httpx.Client, tmp_path: Path) -> None:
    behave(bank, {"behaviour": "reject-file"})
    banking = Banking(HttpBank(str(bank.base_url)), Statements(tmp_path))
    first = await rejected(banking)
    assert first.code == "FF01"
    assert await rejected(banking) == first


async def test_a_bank_that_answers_nothing_has_the_order_all_the_same(bank: httpx.Client, tmp_path: Path) -> None:
    behave(bank, {"behaviour": "silent"})
    banking = Banking(HttpBank(str(bank.base_url)), Statements(tmp_path))
    await accepted(banking)
    await accepted(banking)
    assert len(paid(bank)) == 1


async def test_an_order_seen_before_whose_end_nobody_knows_waits_for_a_person(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(422, json={"status": "RJCT", "reason": "DUPL", "reason_text": "", "payments": []})
        return httpx.Response(404, json={}) if "payments" in request.url.path else httpx.Response(200, json=[])

    outcome = await Banking(HttpBank("http://bank", web=answering(answer)), Statements(tmp_path)).send_payment(step(payment("gpu-1")))
    assert outcome["kind"] == "fail_step"
    assert "ask the bank" in outcome["reason"]


async def test_orders_and_statements_go_through_the_folders_of_a_real_bank(tmp_path: Path) -> None:
    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    options = ("--drop-dir", tmp_path / "outbox", "--pickup-dir", tmp_path / "inbox", "--drop-settle-ms", 0, "--drop-interval-ms", 50)
    with mock_bank(*map(str, options)) as client:
        folders = FolderBank(tmp_path / "inbox", tmp_path / "outbox", settled=timedelta(0), patience=timedelta(seconds=20))
        banking = Banking(folders, Statements(tmp_path / "statements"))
        await accepted(banking)
        assert len(paid(client)) == 1
        elsewhere = OURS.model_copy(update={"iban": "FI2112345600000785"})
        assert (await rejected(banking, "gpu-2", debtor=elsewhere)).code == "AC02"
        advance(client)
        outcomes = [await banking.read_statement(reading(file.file)) for file in (await fetched(banking)).files]
        assert {outcome["kind"] for outcome in outcomes} == {"report_read", "statement_read"}
        lines = [line for outcome in outcomes for line in outcome.get("lines", ())]
        assert [line["end_to_end_id"] for line in lines] == [payment("gpu-1").end_to_end_id]


async def test_an_order_handed_out_once_is_not_handed_out_again_when_it_was_carried_away(tmp_path: Path) -> None:
    banking = Banking(folder_bank(tmp_path), Statements(tmp_path / "statements"))
    await accepted(banking)
    (handed_out,) = (tmp_path / "outbox").glob("*.xml")
    assert handed_out.read_bytes() == order(payment("gpu-1"))
    handed_out.unlink()
    await accepted(banking)
    assert list((tmp_path / "outbox").glob("*.xml")) == []


def test_another_order_under_the_same_id_is_not_handed_out(tmp_path: Path) -> None:
    folders = folder_bank(tmp_path)
    first, other = payment("gpu-1"), payment("gpu-1", amount=99)
    assert folders.send(first, order(first)).verdict is Verdict.TAKEN
    with pytest.raises(Hindered, match="another order"):
        folders.send(other, order(other))


# ---------------------------------------------------------------- kills


class Forks:
    """A process that forks one child for each piece of work, see `tests.kill_bank`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill_bank"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def run(self, *arguments: str, kill_after: float | None = None) -> int:
        """Does the work in a child, killed so many seconds after it began; how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self._process.stdout.readline())

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    found = Forks()
    yield found
    found.end()


def test_killed_before_any_file_operation_an_order_is_handed_out_once(forks: Forks, tmp_path: Path) -> None:
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        carried: list[bytes] = []
        ends = []
        for kill in (number, 0, 0):
            ends.append(forks.run("send", str(kill), str(folder)))
            for path in (folder / "outbox").glob("*.xml"):
                carried.append(path.read_bytes())
                path.unlink()
        ended = ends[0]
        assert set(ends) <= {0, -signal.SIGKILL}
        assert carried == [order(payment("gpu-1"))], f"killed before operation {number}"
        if ended == 0:
            assert number > 10, "there are boundaries to be killed at"
            return
    pytest.fail("it was killed every time")


def test_killed_before_any_file_operation_every_statement_is_kept_once(forks: Forks, tmp_path: Path) -> None:
    for number in range(1, 300):
        folder = tmp_path / str(number)
        (folder / "inbox").mkdir(parents=True)
        for name in ("a.xml", "b.xml"):
            (folder / "inbox" / name).write_text(document(entry("1.00" if name == "a.xml" else "2.00")))
        ended = forks.run("take", str(number), str(folder))
        assert forks.run("take", "0", str(folder)) == 0
        files, _, _ = Statements(folder / "statements").after("")
        assert sorted(file.name for file in files) == ["a.xml", "b.xml"], f"killed before operation {number}"
        assert len({file.file for file in files}) == 2
        if ended == 0:
            assert number > 20, "there are boundaries to be killed at"
            return
    pytest.fail("it was killed every time")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["http", "folder"])
def test_killed_at_random_instants_every_payment_reaches_the_bank_once(way: str, forks: Forks, tmp_path: Path, *, long: bool) -> None:
    kills = 50 if long else 5
    names = [f"gpu-{number}" for number in range(kills * 6)]
    chance = random.Random(7)
    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    drop = ("--drop-dir", str(tmp_path / "outbox"), "--drop-settle-ms", "0", "--drop-interval-ms", "20") if way == "folder" else ()
    with mock_bank(*drop) as client:
        work = (way, str(client.base_url), str(tmp_path), *names)
        killed = 0
        while killed < kills:
            ended = forks.run(*work, kill_after=chance.uniform(0, 0.12))
            killed += ended == -signal.SIGKILL
            if ended == 0:
                for name in chance.sample(names, 20):
                    (tmp_path / "recorded" / name).unlink()
        assert forks.run(*work) == 0
        give_up = time.monotonic() + 30
        while len(paid(client)) < len(names) and time.monotonic() < give_up:
            time.sleep(0.1)
        ids = sorted(each["end_to_end_id"] for each in paid(client))
        repeated = [message for message in client.get("/_mock/messages", params={"type": "pain.002"}).json() if "DUPL" in message["body"]]
    assert ids == sorted(payment(name).end_to_end_id for name in names)
    if way == "folder":
        assert repeated == [], "the bank never saw an order twice"
