"""The treasury: the consortium's bank account, from the statement to the payment order.

States: unopened, open. A line of a statement is booked, then matched, unmatched, returning, sent-back, explained, paid, undone or reversed;
or doubted, then booked or dismissed. A payment is ordered, sending, taken, confirmed, returned, failed or cancelled. A payment list is
ordered, then approved (and each of its payments sending) or cancelled.

| command | by whom | events | refusals (besides office_required, service_only, account_not_opened) |
| --- | --- | --- | --- |
| open_account | treasurer | account_opened | other_account (`treasury.account`), account_opened, wrong_currency |
| look_for_statements | treasurer; the service when due | statements_sought | |
| statements_fetched | service | statements_found, import_started… | |
| import_statement | treasurer | import_started | |
| statement_read | service | line_booked, line_doubted, line_missed, and what each is; chunk_imported | |
| report_read | service | payment_failed; chunk_imported | |
| statement_refused | service | import_refused | |
| assign_line | treasurer | line_matched | no_such_line, line_not_waiting, not_a_receipt, wrong_currency, no_such_receiver, unknown_member |
| return_line | treasurer | payment_ordered | no_such_line, line_not_waiting, not_a_receipt, own_payment (`roles`) |
| match_payment | treasurer | payment_confirmed, payment_returned | no_such_line, line_not_waiting, no_such_payment, other_amount, payment_elsewhere |
| undo_receipt | treasurer | receipt_reversed | no_such_line, line_not_waiting, not_a_debit, no_such_receipt, other_amount |
| book_line | treasurer | line_explained | no_such_line, line_not_waiting |
| judge_line | treasurer | line_dismissed, or line_booked and what it is; missed_line_judged | no_such_line, line_not_waiting, line_not_missed |
| turn_away_payment | service | line_unmatched, receipt_reversed | |
| name_payee | treasurer; a member's own by its representative | payee_named, payee_linked | not_a_representative, representative_required, unknown_member, own_account (`treasury.account`) |
| approve_payee | the charter's `payee_offices`, not who named it | payee_signed, payee_approved, payee_linked | no_such_details, same_person, same_organisation (`treasury.payee_approvals`), own_account |
| block_payee | the charter's `payee_offices` | payee_blocked, payment_failed | |
| order_payment | service for other streams; treasurer for the treasury | payment_ordered | no_source, payment_exists, name_reserved, wrong_currency, own_payment (`roles`) |
| approve_payment | the charter's `approval_offices`, different people, not the orderer | payment_signed, payment_approved | no_such_payment, payment_not_ordered, same_person, same_organisation (`treasury.approvals`), payee_not_approved, digest_differs, more_than_held, debit_waits, payment_listed (`treasury.approvals`), own_payment (`roles`; refunds, which follow from a round's books, aside), own_account |
| order_payment_list | service, for another stream | payment_ordered…, payment_list_ordered; payment_cancelled of each payee without approved bank details; (approved by a standing order, and the money is there) payment_list_approved, payment_approved… | payment_exists, wrong_currency |
| approve_payment_list | the charter's `approval_offices`, different people, not the orderer | payment_list_signed; payment_list_approved, then payment_approved of each, or payment_cancelled where the bank details are not the listed ones any more | no_such_list, list_not_ordered, same_person, same_organisation (`treasury.approvals`), digest_differs, more_than_held |
| cancel_payment_list | treasurer, while it waits | payment_list_cancelled, payment_cancelled… | no_such_list, list_not_ordered |
| payment_accepted, payment_rejected | service | payment_taken, payment_failed | |
| record_rejection | treasurer | payment_failed | no_such_payment, payment_not_sent, payment_on_its_way |
| retry_payment | treasurer | payment_renewed | no_such_payment, payment_not_failed |
| cancel_payment | treasurer | payment_cancelled, line_unmatched | no_such_payment, payment_under_way, debit_waits, payment_listed |

| deadline | comes | events |
| --- | --- | --- |
| look_for_statements | every `statement_hours` | statements_sought |

A payment list has no deadline: it waits until it is approved or given up, and the treasury names it to those who can. What a list leaves
out is told to its source as given up (`release_refund`), and is ordered again from there.

Steps: `fetch_statements`, `read_statement`, `send_payment`; `tell` (money to rounds and members, the fate of payments to who ordered
them), `notify`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from domain import letters
from domain.charter import Office
from domain.kernel import unescaped
from domain.letters import ListedRefund, Purpose
from domain.reference import creditor_reference
from domain.register.facts import OfficeRevoked, PaymentExpected
from domain.stream import DelayStep, FailStep, RetryStep, WaiveStep
from domain.treasury import commands, events, steps
from domain.treasury.process import TREASURY
from domain.treasury.state import Open
from domain.treasury.terms import Balance, Creditor, Line, OrderAnswer, Page, StatementFile, payment_digest, sending_ids
from tests.stories import Story, charter, day, founded, noted, stated, with_members

IBAN = "CH9300762011623852957"
SUPPLIER = "DE89370400440532013000"
OTHER = "GB29NWBK60161331926819"
TREASURY_STREAM = "treasury/main"
ADA = creditor_reference("round/atlas-1", "ada")
TODAY = day(0).date()


def unopened(**changes: Any) -> Story:
    register = with_members(founded(charter(**changes)), "ada", "bel")
    for member in ("ada", "bel"):
        for stream in ("round/atlas-1", f"member/{member}"):
            register = noted(register, PaymentExpected(reference=creditor_reference(stream, member), stream=stream, member=member))
    return Story.of(TREASURY, TREASURY_STREAM, register)


def opened(**changes: Any) -> Story:
    return unopened(**changes).when(commands.OpenAccount(iban=IBAN, owner="Atlas"), by="tess").followed_by("account_opened")


def file(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def line(amount: int = 100_000, **fields: Any) -> Line:
    usual: dict[str, Any] = {"booked_on": TODAY, "value_date": TODAY, "currency": "USD", "side": "credit"}
    return Line(amount=amount, **(usual | fields))


def page(statement: str = "S1", number: int = 1, **fields: Any) -> Page:
    return Page(statement=statement, page=number, **({"account": IBAN, "currency": "USD"} | fields))


def imported(story: Story, *lines: Line, name: str = "a", of: Page | None = None, cursor: str = "") -> Story:
    """A stored file is imported, and this is its first chunk."""
    story = story.when(commands.ImportStatement(file=file(name)), by="tess")
    step = next(step for step in story.steps if step.kind == "read_statement" and step.data["file"] == file(name))
    return story.when(steps.StatementRead(step=step.key, file=file(name), page=of or page(), lines=lines, next_cursor=cursor))


def state(story: Story) -> Open:
    current = story.state.state
    assert isinstance(current, Open)
    return current


def balance(story: Story) -> int:
    return state(story).balances["USD"]


def kinds(story: Story) -> list[str]:
    assert story.refusal is None, story.refusal
    return [event.kind for event in story.answer if event.kind not in {"step_owed", "step_carried_out"}]


def told(story: Story, kind: str) -> list[dict[str, Any]]:
    """The commands of this kind that other streams are told."""
    return [step.data["command"] for step in story.steps if step.kind == "tell" and step.data["command"]["kind"] == kind]


def funded(amount: int = 1_000_000) -> Story:
    """A member's money is there."""
    return imported(opened(), line(amount, reference=ADA, bank_id="IN"), name="funding", of=page("S0"))


def with_payee(story: Story, payee: str = "cloud", iban: str = SUPPLIER, by: str = "tess") -> Story:
    details = stated(Creditor(name="Cloud AG", iban=iban))
    story = story.when(commands.NamePayee(payee=payee, name="Cloud AG", iban=iban), by=by).followed_by("payee_named", "payee_linked")
    return story.when(commands.ApprovePayee(payee=payee, details=details), by="theo").followed_by("payee_approved", "payee_linked")


def ordered(story: Story, amount: int = 400_000, **fields: Any) -> Story:
    usual: dict[str, Any] = {"payment": "p1", "payee": "cloud", "source": "round/atlas-1", "purpose": Purpose.SPENDING, "subject": "gpu-1"}
    return story.when(letters.OrderPayment(amount=amount, **(usual | {"ordered_by": "tess"} | fields)))


def digest(story: Story, name: str = "p1") -> str:
    payment = state(story).payments[name]
    details = state(story).payees[payment.payee].account_digest
    return payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, details)


def signed(story: Story, name: str = "p1", *, by: tuple[str, ...] = ("theo", "bo")) -> Story:
    for person in by:
        story = story.when(commands.ApprovePayment(payment=name, digest=digest(story, name)), by=person)
    return story


def sent(amount: int = 400_000) -> Story:
    return signed(ordered(with_payee(funded()), amount)).followed_by("payment_approved")


def taken(story: Story, name: str = "p1") -> Story:
    attempt = state(story).payments[name].attempt
    return story.when(steps.PaymentAccepted(step=f"pay:{name}:{attempt}", payment=name, attempt=attempt)).followed_by(
        "step_carried_out", "payment_taken"
    )


def own_id(name: str = "p1", attempt: int = 1) -> str:
    return sending_ids(TREASURY_STREAM, name, attempt)[1]


def confirmed() -> Story:
    return imported(taken(sent()), line(400_000, side="debit", end_to_end_id=own_id(), bank_id="OUT"), name="out", of=page("S1"))


# ---------------------------------------------------------------- the account and its statements


def test_the_treasurer_opens_the_account_that_the_charter_names() -> None:
    ask = commands.OpenAccount(iban="CH93 0076 2011 6238 5295 7", owner="Atlas")
    unopened().when(ask, by="sam").refused("office_required")
    unopened(treasury__account="other").when(ask, by="tess").refused("other_account")
    unopened().when(ask.model_copy(update={"currency": "EUR"}), by="tess").refused("wrong_currency")
    unopened().when(ordered_command()).refused("account_not_opened")
    story = opened()
    assert state(story).account.iban == IBAN
    story.when(commands.OpenAccount(iban=IBAN, owner="Atlas"), by="tess").then()
    story.when(commands.OpenAccount(iban=SUPPLIER, owner="Atlas"), by="tess").refused("account_opened")


def ordered_command() -> letters.OrderPayment:
    return letters.OrderPayment(payment="p", payee="cloud", amount=1, source="round/x", purpose=Purpose.SPENDING, subject="x")


@pytest.mark.parametrize(
    "iban", ["CH9300762011623852958", "CH93007620116238529", "DE8937040044053201300", "", "CH93 <script>", "1234567890123456"]
)
def test_account_numbers_with_wrong_digits_are_no_account_numbers(iban: str) -> None:
    with pytest.raises(ValidationError) as error:
        commands.OpenAccount(iban=iban, owner="Atlas")
    assert not iban or iban not in str(error.value)


def test_an_account_is_named_by_an_iban_or_by_a_number_at_its_bank() -> None:
    cases: tuple[dict[str, Any], ...] = (
        {}, {"iban": IBAN, "number": "123456789", "bic": "CHASUS33"}, {"number": "123456789"}, {"number": IBAN, "bic": "CHASUS33"},
        {"number": "123456789", "clearing": "USABA021000022"}, {"number": "123456789", "clearing": "CACPA00123"}, {"number": "1 <b>", "bic": "CHASUS33"},
    )  # fmt: skip
    for fields in cases:
        with pytest.raises(ValidationError) as error:
            commands.NamePayee(payee="cloud", name="Cloud Inc", **fields)
        assert "123456789" not in str(error.value)


def test_an_account_without_an_iban_is_kept_and_paid_from_to_accounts_of_its_kind() -> None:
    ask = commands.OpenAccount(number="000-123 456789", clearing="USABA 021000021", owner="Atlas")
    story = unopened().when(ask, by="tess").followed_by("account_opened")
    story.when(ask, by="tess").then()
    story.when(commands.OpenAccount(number="000123456788", clearing="USABA021000021", owner="Atlas"), by="tess").refused("account_opened")
    story = imported(story, line(1_000_000, reference=None), name="first", of=page("S1").model_copy(update={"account": "000123456789"}))
    assert kinds(story)[-1] == "chunk_imported"
    assert state(story).balances["USD"] == 1_000_000
    name = commands.NamePayee(payee="cloud", name="Cloud Inc", number="9876543210", clearing="CACPA000312345", bic="ROYCCAT2")
    account = Creditor(name="Cloud Inc", number="9876543210", clearing="CACPA000312345", bic="ROYCCAT2")
    story = story.when(name, by="tess").followed_by("payee_named", "payee_linked")
    text = f"{TREASURY.describe(story.state.state)} {story.state.state!r} {ask!r} {name!r}"
    assert "…6789" in text
    assert "9876543210" not in text
    assert "000123456789" not in text
    story = story.when(commands.ApprovePayee(payee="cloud", details=stated(account)), by="theo").followed_by(
        "payee_approved", "payee_linked"
    )
    assert state(story).payees["cloud"].account == account


def test_accounts_with_an_iban_keep_the_digests_that_people_signed() -> None:
    account = Creditor(name="Cloud AG", iban="DE89370400440532013000")
    assert stated(account) == "41a47069de29eabe68e5d3b1f5ec79f2764728d9b190e5594d862f328bb5e3c7"


def test_account_numbers_are_shown_to_nobody_whole() -> None:
    story = ordered(with_payee(opened()))
    headline = TREASURY.describe(story.state.state)
    shown = f"{headline} {story.state.state!r} {commands.OpenAccount(iban=IBAN, owner='Atlas')!r}"
    assert IBAN not in shown
    assert SUPPLIER not in shown
    assert "CH93…2957" in headline.line


def test_the_bank_is_asked_every_day_and_when_the_treasurer_wants() -> None:
    story = opened().due().followed_by("statements_sought").owes("fetch_statements", "fetch:1")
    assert story.agenda.deadline is not None
    assert story.agenda.deadline.at == day(2)
    story = story.when(commands.LookForStatements(), by="tess").followed_by("statements_sought").owes("fetch_statements", "fetch:2")
    story.when(commands.LookForStatements(), by="rep-ada").refused("office_required")
    story.when(commands.LookForStatements()).then()


def test_every_new_file_is_read_and_more_are_asked_for_at_once() -> None:
    story = opened().due()
    files = (StatementFile(file=file("a")), StatementFile(file=file("b")), StatementFile(file=file("a")))
    story = story.when(steps.StatementsFetched(step="fetch:1", files=files, cursor="2", more=True))
    assert kinds(story) == ["statements_found", "import_started", "import_started", "statements_sought"]
    assert story.state.owed["fetch:2"].data["cursor"] == "2"
    again = story.when(steps.StatementsFetched(step="fetch:2", files=files, cursor="2", more=True))
    assert kinds(again) == []


def test_a_file_is_read_chunk_by_chunk() -> None:
    story = imported(opened(), line(bank_id="1"), cursor="1")
    assert state(story).files[file("a")].stage == "reading"
    (step,) = (step for step in story.steps if step.kind == "read_statement")
    assert step.data["cursor"] == "1"
    story = story.when(steps.StatementRead(step=step.key, file=file("a"), page=page(), lines=(line(bank_id="2"),)))
    assert (state(story).files[file("a")].stage, balance(story)) == ("read", 200_000)
    story.when(commands.ImportStatement(file=file("a")), by="tess").then()
    story.when(commands.ImportStatement(file=file("b")), by="rep-ada").refused("office_required")


def test_a_file_that_is_refused_is_shown_and_can_be_tried_again() -> None:
    story = opened().when(commands.ImportStatement(file=file("bomb"), name="bomb.xml"), by="tess")
    (step,) = (step for step in story.steps if step.kind == "read_statement")
    story = story.when(steps.StatementRefused(step=step.key, file=file("bomb"), reason="an entity is declared"))
    assert kinds(story) == ["import_refused"]
    headline = TREASURY.describe(story.state.state)
    assert headline.waits_for == ("office:treasurer",)
    assert "1 not imported, bomb.xml: an entity is declared" in unescaped(headline.line)
    assert "not imported: bomb.xml: an entity is declared" in unescaped(headline.text)
    story = story.when(commands.ImportStatement(file=file("bomb")), by="tess").followed_by("import_started")
    assert [step.key for step in story.steps if step.kind == "read_statement"] == [f"read:{file('bomb')}:2:1"]


def test_lines_of_another_account_count_nothing() -> None:
    assert balance(imported(opened(), line(), of=page(account=SUPPLIER))) == 0


def test_a_file_that_holds_other_accounts_only_says_so() -> None:
    story = opened().when(commands.ImportStatement(file=file("x"), name="savings.xml"), by="tess")
    (step,) = (step for step in story.steps if step.kind == "read_statement")
    story = story.when(steps.StatementRead(step=step.key, file=file("x"), other_accounts=2))
    assert "of other accounts only: savings.xml" in TREASURY.describe(story.state.state).text


# ---------------------------------------------------------------- once, whatever the files repeat


def test_the_same_statement_in_another_file_counts_nothing_twice() -> None:
    lines = (line(bank_id="1", reference=ADA), line(occurrence=1), line(occurrence=2), line(5, side="debit"))
    story = imported(opened(), *lines)
    again = imported(story, *lines, name="b")
    assert kinds(again) == ["chunk_imported"]
    assert balance(again) == balance(story) == 299_995
    assert state(again).files[file("b")].repeated == 4


def test_a_corrected_line_with_the_banks_id_waits_for_a_person() -> None:
    story = imported(opened(), line(bank_id="1"))
    story = imported(story, line(bank_id="1", reference=ADA), name="b", of=page("S1-corrected"))
    assert kinds(story) == ["line_doubted", "chunk_imported"]
    assert balance(story) == 100_000
    doubted = next(name for name, movement in state(story).movements.items() if movement.stage == "doubted")
    story.when(commands.JudgeLine(line=doubted, verdict="repeat", reason="x"), by="sam").refused("office_required")
    repeat = story.when(commands.JudgeLine(line=doubted, verdict="repeat", reason="corrected"), by="tess").followed_by("line_dismissed")
    assert (balance(repeat), doubted in state(repeat).waiting) == (100_000, False)
    assert kinds(imported(repeat, line(bank_id="1", reference=ADA), name="c", of=page("S1-corrected"))) == ["chunk_imported"]
    new = story.when(commands.JudgeLine(line=doubted, verdict="new", reason="two"), by="tess").followed_by("line_booked", "line_matched")
    assert balance(new) == 200_000
    new.when(commands.JudgeLine(line=doubted, verdict="new", reason="two"), by="tess").refused("line_not_waiting")


def test_two_lines_without_the_banks_id_on_two_pages_are_not_told_apart_by_guessing() -> None:
    story = imported(opened(), line(), of=page("S1", 1, last=False))
    story = imported(story, line(), name="b", of=page("S1", 2))
    assert kinds(story) == ["line_doubted", "chunk_imported"]
    assert kinds(imported(story, line(), name="c", of=page("S1", 2))) == ["chunk_imported"]
    assert kinds(imported(story, line(), name="d", of=page("S1", 1))) == ["chunk_imported"]


def doubted(story: Story) -> list[int]:
    return [movement.details.amount for movement in state(story).movements.values() if movement.stage == "doubted"]


@pytest.mark.parametrize("change", [{"amount": 100_001}, {"booked_on": day(-1).date()}, {"bank_id": "2"}])
@pytest.mark.parametrize("other", [{}, {"statement": "S1-corrected"}])
def test_what_a_corrected_statement_changes_is_not_counted_beside_what_it_was(change: dict[str, Any], other: dict[str, Any]) -> None:
    first = page("S1", sequence=5, created_at=day(0))
    story = imported(opened(), line(bank_id="1", reference=ADA), line(7, bank_id="9"), of=first)
    corrected = first.model_copy(update={"created_at": day(1)} | other)
    changed = line(bank_id="1", reference=ADA).model_copy(update=change)
    story = imported(story, changed, line(7, bank_id="9"), name="b", of=corrected)
    assert kinds(story) == ["line_doubted", "line_missed", "chunk_imported"]
    assert (balance(story), doubted(story)) == (100_007, [changed.amount])
    assert len(told(story, "record_payment")) == 1


def missed() -> tuple[Story, str]:
    """A corrected page leaves out a payment that was passed on."""
    first = page("S1", sequence=5, created_at=day(0))
    story = imported(opened(), line(bank_id="1", reference=ADA), line(7, bank_id="9"), of=first)
    late = first.model_copy(update={"created_at": day(1)})
    story = imported(story, line(7, bank_id="9"), name="b", of=late).followed_by("step_carried_out", "line_missed", "chunk_imported")
    again = imported(story, line(bank_id="1", reference=ADA), line(7, bank_id="9"), name="c", of=first)
    assert kinds(again) == ["chunk_imported"], "what was made earlier corrects nothing"
    return story, next(name for name, movement in state(story).movements.items() if movement.missed == "open")


def test_a_line_that_a_corrected_page_leaves_out_stands_or_is_withdrawn_as_a_person_says() -> None:
    story, name = missed()
    assert name in state(story).waiting
    assert "missing on a corrected page" in TREASURY.describe(story.state.state).text
    stands = commands.JudgeLine(line=name, verdict="stands", reason="the bank confirmed it")
    story.when(stands, by="sam").refused("office_required")
    kept = story.when(stands, by="tess").followed_by("missed_line_judged")
    kept.when(stands, by="tess").then()
    assert (name in state(kept).waiting, balance(kept)) == (False, 100_007)
    gone = story.when(commands.JudgeLine(line=name, verdict="withdrawn", reason="booked in error"), by="tess")
    gone.followed_by("missed_line_judged", "line_booked", "receipt_reversed")
    assert (len(told(gone, "reverse_payment")), balance(gone)) == (1, 7)
    gone.when(stands, by="tess").refused("line_not_missed")


def test_a_payment_that_a_corrected_page_leaves_out_did_not_go() -> None:
    first = page("S1", sequence=5, created_at=day(0))
    story = imported(taken(sent()), line(400_000, side="debit", end_to_end_id=own_id(), bank_id="OUT"), name="out", of=first)
    story = imported(story, name="b", of=first.model_copy(update={"created_at": day(1)}))
    (name,) = state(story).waiting
    story = story.when(commands.JudgeLine(line=name, verdict="withdrawn", reason="booked in error"), by="tess")
    story.followed_by("missed_line_judged", "line_booked", "payment_returned")
    assert (balance(story), len(told(story, "return_spending"))) == (1_000_000, 1)


def test_a_corrected_page_is_compared_when_all_its_chunks_are_read() -> None:
    first = page("S1", sequence=5, created_at=day(0))
    story = imported(opened(), line(1, bank_id="1"), line(2, bank_id="2"), line(3, bank_id="3"), of=first)
    late = first.model_copy(update={"created_at": day(1)})
    story = imported(story, line(1, bank_id="1"), name="b", of=late, cursor="1")
    assert "line_missed" not in kinds(story)
    (step,) = (step for step in story.steps if step.kind == "read_statement")
    story = story.when(steps.StatementRead(step=step.key, file=file("b"), page=late, lines=(line(2, bank_id="2"),)))
    assert [movement.details.amount for movement in state(story).movements.values() if movement.missed] == [3]


def test_statements_of_another_day_or_currency_with_the_same_number_correct_nothing() -> None:
    story = imported(opened(), line(bank_id="1"), of=statement(5, 0, 100_000))
    for name, other in (("b", statement(6, 0, 1).model_copy(update={"sequence": 5})), ("c", statement(5, 0, 1, currency="EUR"))):
        story = imported(story, line(bank_id=name, currency=other.currency), name=name, of=other)
        assert kinds(story) == ["line_booked", "line_unmatched", "chunk_imported"]


def test_a_bank_id_that_names_several_movements_proves_no_repeat() -> None:
    story = imported(opened(), line(bank_id="FEES"), line(bank_id="FEES", occurrence=2), of=page("S1"))
    assert kinds(imported(story, line(bank_id="FEES"), line(bank_id="FEES", occurrence=2), name="b", of=page("S1"))) == ["chunk_imported"]
    assert kinds(imported(story, line(bank_id="FEES"), name="c", of=page("S2"))) == ["line_doubted", "chunk_imported"]


def test_transactions_of_one_entry_that_share_the_banks_id_all_count() -> None:
    story = imported(opened(), *(line(10, bank_id="BATCH", end_to_end_id=f"E{number}") for number in range(3)))
    assert balance(story) == 30


def test_pages_may_come_in_any_order_and_a_missing_one_is_shown() -> None:
    third = imported(opened(), line(bank_id="3"), of=page("S1", 3))
    assert state(third).gaps == ("statement S1: page 1 is missing",)
    first = imported(third, line(bank_id="1"), name="b", of=page("S1", 1, last=False))
    assert state(first).gaps == ("statement S1: page 2 is missing",)
    assert TREASURY.describe(first.state.state).values["gaps"] == 1
    second = imported(first, line(bank_id="2"), name="c", of=page("S1", 2, last=False))
    assert (state(second).gaps, balance(second)) == ((), 300_000)


def statement(number: int, opening: int, closing: int, **fields: Any) -> Page:
    on = date(2026, 11, number)
    return page(f"S{number}", sequence=number, opening=Balance(amount=opening, on=on), closing=Balance(amount=closing, on=on), **fields)


def test_a_missing_statement_and_balances_that_do_not_join_are_shown() -> None:
    story = imported(opened(), line(100, bank_id="1"), of=statement(1, 0, 100))
    assert TREASURY.describe(story.state.state).values["differs_minor"] == 0
    gap = imported(story, line(100, bank_id="3"), name="b", of=statement(3, 150, 250))
    assert state(gap).gaps == ("2026: statement 2 is missing",)
    whole = imported(gap, line(50, bank_id="2"), name="c", of=statement(2, 100, 150))
    assert state(whole).gaps == ()
    broken = imported(story, line(50, bank_id="2"), name="c", of=statement(2, 101, 151))
    assert state(broken).gaps == ("2026: statement 2 does not begin with the balance that statement 1 ends with",)
    differs = imported(story, line(50, bank_id="2"), name="c", of=statement(2, 100, 151))
    assert TREASURY.describe(differs.state.state).values["differs_minor"] == -1


# ---------------------------------------------------------------- whose money


@pytest.mark.parametrize("amount", [100_000, 1, 10**12])
def test_money_with_a_known_reference_is_passed_on_whatever_the_amount(amount: int) -> None:
    story = imported(opened(), line(amount, reference=ADA, bank_id="1"))
    assert kinds(story) == ["line_booked", "line_matched", "chunk_imported"]
    (paid,) = told(story, "record_payment")
    assert (paid["member"], paid["amount"], paid["value_date"]) == ("ada", amount, TODAY.isoformat())
    twice = imported(story, line(amount, reference=ADA, bank_id="2"), name="b", of=page("S2"))
    assert len({paid["reference"] for paid in told(twice, "record_payment")}) == 2


def test_dues_go_to_the_membership() -> None:
    story = imported(opened(), line(reference=creditor_reference("member/bel", "bel")))
    (paid,) = told(story, "record_dues_payment")
    assert set(paid) == {"kind", "amount", "currency", "reference", "value_date"}


def test_a_value_date_that_has_not_come_is_todays() -> None:
    story = imported(opened(), line(reference=ADA, value_date=day(3).date()))
    assert told(story, "record_payment")[0]["value_date"] == TODAY.isoformat()


@pytest.mark.parametrize(
    ("fields", "why"),
    [({}, "no-reference"), ({"reference": "RF18539007547034"}, "unknown-reference"), ({"currency": "EUR", "reference": ADA}, "wrong-currency"),
     ({"side": "debit"}, "unknown-debit"), ({"reversal": True}, "unknown-reversal"), ({"side": "debit", "reversal": True}, "unknown-reversal")],
)  # fmt: skip
def test_what_nobody_recognises_waits_for_the_treasurer(fields: dict[str, Any], why: str) -> None:
    story = imported(opened(), line(**fields))
    assert kinds(story) == ["line_booked", "line_unmatched", "chunk_imported"]
    (name,) = state(story).waiting
    assert state(story).movements[name].reason == why
    headline = TREASURY.describe(story.state.state)
    assert headline.waits_for == ("office:treasurer",)
    assert f"| {why} |" in headline.text
    assert state(story).free == min(0, balance(story)), "money in suspense is nobody's to spend"


def waiting(**fields: Any) -> tuple[Story, str]:
    story = imported(opened(), line(**fields))
    (name,) = state(story).waiting
    return story, name


def assign(name: str, stream: str = "round/atlas-1", member: str = "ada") -> commands.AssignLine:
    return commands.AssignLine(line=name, stream=stream, member=member, reason="they wrote")


def test_the_treasurer_assigns_unmatched_money_and_what_is_turned_away_waits_again() -> None:
    story, name = waiting()
    story.when(assign(name), by="sam").refused("office_required")
    story.when(assign(name, "proposal/x"), by="tess").refused("no_such_receiver")
    story.when(assign(name, "round/atlas-1", "nobody"), by="tess").refused("unknown_member")
    story.when(assign(name, "member/ada", "bel"), by="tess").refused("unknown_member")
    story.when(assign("LINE-" + "0" * 32), by="tess").refused("no_such_line")
    story = story.when(assign(name), by="tess").followed_by("line_matched")
    story.when(assign(name), by="tess").then()
    story.when(assign(name, "member/bel", "bel"), by="tess").refused("line_not_waiting")
    away = letters.TurnAwayPayment(line=name, stream="round/atlas-1", reason="the round is over")
    story.when(away, by="tess").refused("service_only")
    story = story.when(away).followed_by("line_unmatched")
    story.when(away).then()
    story = story.when(assign(name, "member/ada"), by="tess").followed_by("line_matched")
    assert {step.key for step in story.steps if step.kind == "tell"} == {f"tell:{name}:1", f"tell:{name}:2"}


def test_money_is_assigned_to_an_applicant_only_where_it_owes() -> None:
    register = founded(charter())
    expected = PaymentExpected(reference=creditor_reference("member/cyd", "cyd"), stream="member/cyd", member="cyd")
    story = Story.of(TREASURY, TREASURY_STREAM, noted(register, expected)).when(commands.OpenAccount(iban=IBAN, owner="Atlas"), by="tess")
    story = imported(story, line())
    (name,) = state(story).waiting
    story.when(assign(name, member="cyd"), by="tess").refused("unknown_member")
    story.when(assign(name, "member/cyd", "cyd"), by="tess").followed_by("line_matched")


def test_money_in_another_currency_or_taken_from_the_account_is_assigned_to_nobody() -> None:
    story, name = waiting(currency="EUR")
    story.when(assign(name), by="tess").refused("wrong_currency")
    story, name = waiting(side="debit")
    story.when(assign(name), by="tess").refused("not_a_receipt")
    story.when(commands.ReturnLine(line=name, payee="cloud", reason="x"), by="tess").refused("not_a_receipt")
    booked = story.when(commands.BookLine(line=name, account="bank-charges", reason="fees"), by="tess").followed_by("line_explained")
    booked.when(commands.BookLine(line=name, account="bank-charges", reason="fees"), by="tess").then()
    assert balance(booked) == -100_000
    assert not state(booked).waiting


def test_money_goes_back_whatever_script_its_reason_is_written_in_and_wherever_that_is_cut() -> None:
    reason = f"{'x' * 136}نمی\u200cدانم"
    story, name = waiting()
    back = with_payee(story).when(commands.ReturnLine(line=name, payee="cloud", reason=reason), by="tess").followed_by("payment_ordered")
    (payment,) = state(back).payments
    given_up = f"{'x' * 496}نمی\u200cدانم"
    back.when(commands.CancelPayment(payment=payment, reason=given_up), by="tess").followed_by("payment_cancelled", "line_unmatched")


def test_unmatched_money_goes_back_as_a_payment_and_nothing_else_may_use_it() -> None:
    story, name = waiting()
    story = (
        with_payee(story).when(commands.ReturnLine(line=name, payee="cloud", reason="not ours"), by="tess").followed_by("payment_ordered")
    )
    story.when(commands.ReturnLine(line=name, payee="cloud", reason="not ours"), by="tess").then()
    (payment,) = state(story).payments
    other = signed(ordered(story, 1), by=("theo",))
    other.when(commands.ApprovePayment(payment="p1", digest=digest(other)), by="bo").refused("more_than_held")
    gone = signed(story, payment).followed_by("payment_approved")
    assert state(gone).free == 0
    gone = imported(gone, line(side="debit", end_to_end_id=own_id(payment)), name="b", of=page("S2"))
    assert (kinds(gone), balance(gone), told(gone, "record_refund")) == (["line_booked", "payment_confirmed", "chunk_imported"], 0, [])
    kept = story.when(commands.CancelPayment(payment=payment, reason="ours"), by="tess").followed_by("payment_cancelled", "line_unmatched")
    kept = kept.when(assign(name), by="tess").followed_by("line_matched")
    again = story.when(commands.CancelPayment(payment=payment, reason="x"), by="tess").when(
        commands.ReturnLine(line=name, payee="cloud", reason="x"), by="tess"
    )
    assert len(state(again).payments) == 2


# ---------------------------------------------------------------- reversals


def test_a_reversal_takes_back_what_was_passed_on() -> None:
    story = imported(opened(), line(reference=ADA, bank_id="1"))
    (paid,) = told(story, "record_payment")
    story = imported(story, line(side="debit", reversal=True, reference=ADA, bank_id="9"), name="b", of=page("S2"))
    assert kinds(story) == ["line_booked", "receipt_reversed", "chunk_imported"]
    (undo,) = told(story, "reverse_payment")
    assert (undo["original"], undo["amount"], undo["member"], balance(story)) == (paid["reference"], 100_000, "ada", 0)
    again = imported(story, line(side="debit", reversal=True, reference=ADA, bank_id="10"), name="c", of=page("S3"))
    assert kinds(again) == ["line_booked", "line_unmatched", "chunk_imported"]
    story = story.when(letters.TurnAwayPayment(line=undo["reference"], stream="round/atlas-1", reason="refunded")).followed_by(
        "line_unmatched"
    )
    story.when(commands.BookLine(line=undo["reference"], account="other", reason="claimed"), by="tess").followed_by("line_explained")


def test_a_reversal_of_waiting_money_empties_the_inbox() -> None:
    story = imported(opened(), line(bank_id="1"))
    story = imported(story, line(side="debit", reversal=True, bank_id="1"), name="b", of=page("S2"))
    assert (dict(state(story).waiting), balance(story), state(story).earmarked["USD"]) == ({}, 0, 0)


def test_a_reversal_that_comes_before_what_it_undoes_waits_for_it() -> None:
    story = imported(opened(), line(side="debit", reversal=True, reference=ADA, bank_id="1"), of=page("S2"))
    story = imported(story, line(reference=ADA, bank_id="1"), name="b", of=page("S1"))
    assert kinds(story) == ["line_booked", "receipt_reversed", "chunk_imported"]
    assert (told(story, "record_payment"), dict(state(story).waiting), balance(story)) == ([], {}, 0)


BEL = creditor_reference("round/atlas-1", "bel")


def test_a_reversal_is_of_the_money_whose_ids_it_does_not_contradict() -> None:
    story = imported(
        opened(), line(reference=ADA, end_to_end_id="INVOICE-1", bank_id="1"), line(reference=BEL, end_to_end_id="INVOICE-1", bank_id="2")
    )
    story = imported(
        story, line(side="debit", reversal=True, reference=ADA, end_to_end_id="INVOICE-1", bank_id="9"), name="b", of=page("S2")
    )
    (undo,) = told(story, "reverse_payment")
    assert undo["member"] == "ada"


def test_a_reversal_that_may_be_of_two_members_money_waits_for_a_person() -> None:
    story = imported(
        opened(), line(reference=ADA, end_to_end_id="INVOICE-1", bank_id="1"), line(reference=BEL, end_to_end_id="INVOICE-1", bank_id="2")
    )
    story = imported(story, line(side="debit", reversal=True, end_to_end_id="INVOICE-1", bank_id="9"), name="b", of=page("S2"))
    assert kinds(story) == ["line_booked", "line_unmatched", "chunk_imported"]
    assert told(story, "reverse_payment") == []


def test_of_money_that_its_stream_had_turned_away_no_stream_is_told_that_it_was_taken_back() -> None:
    story = imported(opened(), line(reference=ADA, bank_id="1"))
    (paid,) = told(story, "record_payment")
    story = story.when(letters.TurnAwayPayment(line=paid["reference"], stream="round/atlas-1", reason="the round is over"))
    story = imported(story, line(side="debit", reversal=True, reference=ADA, bank_id="9"), name="b", of=page("S2"))
    assert kinds(story) == ["line_booked", "receipt_reversed", "chunk_imported"]
    assert told(story, "reverse_payment") == []
    assert (dict(state(story).waiting), balance(story)) == ({}, 0)


@pytest.mark.parametrize("first", [0, 1])
def test_what_came_home_once_is_not_booked_home_again(first: int) -> None:
    """Whichever of the two the stream turns away first: each movement leaves the stream's books once, and both are settled together."""
    story = imported(opened(), line(reference=ADA, bank_id="1"))
    story = imported(story, line(side="debit", reversal=True, reference=ADA, bank_id="9"), name="b", of=page("S2"))
    (undo,) = told(story, "reverse_payment")
    names = (undo["original"], undo["reference"])
    home: list[str] = []
    for name in (names[first], names[1 - first]):
        story = story.when(letters.TurnAwayPayment(line=name, stream="round/atlas-1", reason="the round is over"))
        home += [event.line for event in story.answer if isinstance(event, events.LineUnmatched)]
    assert sorted(home) == sorted(names)


@pytest.mark.parametrize("first", [0, 1])
def test_money_taken_back_before_its_stream_turned_it_away_waits_for_nobody(first: int) -> None:
    story = imported(opened(), line(reference=ADA, bank_id="1"))
    story = imported(story, line(side="debit", reversal=True, reference=ADA, bank_id="9"), name="b", of=page("S2"))
    (undo,) = told(story, "reverse_payment")
    answers = [
        letters.TurnAwayPayment(line=undo[name], stream="round/atlas-1", reason="the round is over") for name in ("original", "reference")
    ]
    for answer in (answers[first], answers[1 - first]):
        story = story.when(answer)
        assert story.refusal is None
        assert state(story).earmarked.get("USD", 0) == 0
    assert (dict(state(story).waiting), balance(story), state(story).free) == ({}, 0, 0)
    story.when(assign(undo["original"]), by="tess").refused("line_not_waiting")


def test_a_person_says_which_credit_a_debit_took_back() -> None:
    story = imported(opened(), line(reference=ADA, bank_id="1"), line(5, bank_id="2"), line(side="debit", bank_id="9"))
    (paid,) = told(story, "record_payment")
    named = {movement.details.bank_id: name for name, movement in state(story).movements.items()}
    undo = commands.UndoReceipt(line=named["9"], original=paid["reference"], reason="the payer's bank wrote")
    story.when(undo, by="sam").refused("office_required")
    story.when(undo.model_copy(update={"original": named["2"]}), by="tess").refused("other_amount")
    story.when(undo.model_copy(update={"original": named["9"]}), by="tess").refused("no_such_receipt")
    story.when(undo.model_copy(update={"line": named["2"]}), by="tess").refused("not_a_debit")
    story = story.when(undo, by="tess").followed_by("receipt_reversed")
    story.when(undo, by="tess").then()
    (told_of,) = told(story, "reverse_payment")
    assert (told_of["original"], told_of["member"], balance(story)) == (paid["reference"], "ada", 5)


# ---------------------------------------------------------------- payees


def test_bank_details_are_used_only_after_another_person_approved_exactly_them() -> None:
    name = commands.NamePayee(payee="cloud", name="Cloud AG", iban=SUPPLIER)
    details = stated(Creditor(name="Cloud AG", iban=SUPPLIER))
    approve = commands.ApprovePayee(payee="cloud", details=details)
    opened().when(name, by="rep-ada").refused("office_required")
    story = opened().when(name, by="tess").followed_by("payee_named", "payee_linked")
    story.when(name, by="tess").then()
    story.when(approve, by="tess").refused("same_person")
    story.when(approve, by="sam").refused("office_required")
    story.when(approve.model_copy(update={"details": "0" * 64}), by="theo").refused("no_such_details")
    story = story.when(approve, by="theo").followed_by("payee_approved", "payee_linked")
    story.when(approve, by="bo").then()
    changed = story.when(commands.NamePayee(payee="cloud", name="Cloud AG", iban=OTHER), by="tess").followed_by(
        "payee_named", "payee_linked"
    )
    account = state(changed).payees["cloud"].account
    assert account is not None
    assert account.iban == SUPPLIER, "the approved account stays until the new one is approved"
    blocked = changed.when(commands.BlockPayee(payee="cloud", reason="fraud"), by="theo").followed_by("payee_blocked")
    assert state(blocked).payees["cloud"].account is None
    blocked.when(commands.BlockPayee(payee="cloud", reason="fraud"), by="theo").then()
    story.when(commands.BlockPayee(payee="cloud", reason="x"), by="sam").refused("office_required")


def test_a_representative_names_the_account_of_its_own_member() -> None:
    mine = commands.NamePayee(payee="member:ada", name="Ada", iban=SUPPLIER)
    opened().when(mine, by="rep-ada").followed_by("payee_named", "payee_linked")
    opened().when(mine, by="rep-bel").refused("not_a_representative")


def test_payees_that_are_named_at_one_instant_with_the_same_details_are_each_asked_about() -> None:
    story = with_payee(with_payee(opened()), "cloud-2")
    asked = [step.data["facts"]["payee"] for step in story.steps if step.key.startswith("notice:payee:")]
    assert sorted(asked) == ["cloud", "cloud-2"]


def test_the_charter_may_ask_for_more_approvals_of_payees() -> None:
    story = opened(treasury__payee_approvals=2).when(commands.NamePayee(payee="cloud", name="C", iban=SUPPLIER), by="tess")
    approve = commands.ApprovePayee(payee="cloud", details=stated(Creditor(name="C", iban=SUPPLIER)))
    story = story.when(approve, by="theo").followed_by("payee_signed")
    story.when(approve, by="theo").refused("same_person")
    story.when(approve, by="bo").followed_by("payee_approved", "payee_linked")


def test_an_approval_of_bank_details_counts_as_long_as_its_giver_holds_an_office() -> None:
    story = opened(treasury__payee_approvals=2).when(commands.NamePayee(payee="cloud", name="C", iban=SUPPLIER), by="tess")
    approve = commands.ApprovePayee(payee="cloud", details=stated(Creditor(name="C", iban=SUPPLIER)))
    story = story.when(approve, by="theo").followed_by("payee_signed")
    gone = noted(story.register, OfficeRevoked(person="theo", office=Office.SECOND_SIGNATORY))
    replace(story, register=gone).when(approve, by="bo").followed_by("payee_signed")


# ---------------------------------------------------------------- payments out


def test_a_payment_is_ordered_by_another_stream_or_the_treasurer_once() -> None:
    story = ordered(opened()).followed_by("payment_ordered")
    ordered(story).then()
    ordered(story, 400_001).refused("payment_exists")
    ordered(opened(), source=None).refused("no_source")
    ordered(opened(), currency="EUR").refused("wrong_currency")
    own = letters.OrderPayment(payment="rent", payee="cloud", amount=5)
    opened().when(own, by="sam").refused("office_required")
    opened().when(own.model_copy(update={"source": "round/atlas-1"}), by="tess").refused("service_only")
    opened().when(own, by="tess").followed_by("payment_ordered")


def test_a_payment_needs_different_people_who_did_not_order_it_and_sign_exactly_it() -> None:
    story = ordered(with_payee(funded()))
    approve = commands.ApprovePayment(payment="p1", digest=digest(story))
    story.when(approve, by="tess").refused("same_person")
    story.when(approve, by="sam").refused("office_required")
    story.when(approve.model_copy(update={"digest": "0" * 64}), by="theo").refused("digest_differs")
    story.when(commands.ApprovePayment(payment="p9", digest="0" * 64), by="theo").refused("no_such_payment")
    ordered(funded()).when(approve, by="theo").refused("payee_not_approved")
    story = story.when(approve, by="theo").followed_by("payment_signed")
    story.when(approve, by="theo").refused("same_person")
    story = story.when(approve, by="bo").followed_by("payment_approved").owes("send_payment", "pay:p1:1")
    story.when(approve, by="bo").then()
    assert [step.key for step in story.steps if step.kind == "send_payment"] == ["pay:p1:1"]


def test_a_signature_counts_as_long_as_its_giver_holds_an_office() -> None:
    story = signed(ordered(with_payee(funded())), by=("theo",))
    revoked = noted(story.register, OfficeRevoked(person="theo", office=Office.SECOND_SIGNATORY))
    story = replace(story, register=revoked)
    signed(story, by=("bo",)).followed_by("payment_signed")


def test_nobody_takes_a_name_that_the_system_gives_to_a_payment() -> None:
    story, name = waiting()
    taking = letters.OrderPayment(payment=f"return-{name[5:].lower()}-1", payee="cloud", amount=5)
    story.when(taking, by="tess").refused("name_reserved")
    story.when(taking.model_copy(update={"payment": "refund-ada"}), by="tess").refused("name_reserved")


def test_a_members_money_that_repeats_our_own_id_is_the_members() -> None:
    story = imported(confirmed(), line(400_000, end_to_end_id=own_id(), reference=ADA, bank_id="IN-2"), name="in", of=page("S5"))
    assert kinds(story) == ["line_booked", "line_matched", "chunk_imported"]


def test_what_goes_to_the_bank_is_fixed_when_it_is_approved() -> None:
    (step,) = (step for step in sent().steps if step.kind == "send_payment")
    order = steps.SendPayment.model_validate_json(json.dumps(step.data))
    assert (order.message_id, order.end_to_end_id) == sending_ids(TREASURY_STREAM, "p1", 1)
    assert (order.creditor.iban, order.amount, order.execute_on) == (SUPPLIER, 400_000, date(2026, 11, 3))
    assert len(order.end_to_end_id) <= 35


def test_a_new_account_of_the_payee_needs_every_signature_again() -> None:
    story = signed(ordered(with_payee(funded())), by=("theo",))
    old = digest(story)
    story = with_payee(story, iban=OTHER)
    story.when(commands.ApprovePayment(payment="p1", digest=old), by="bo").refused("digest_differs")
    story = signed(story, by=("bo",)).followed_by("payment_signed")
    signed(story, by=("theo",)).followed_by("payment_approved")


def test_never_is_more_approved_than_is_held_and_free() -> None:
    story = ordered(with_payee(funded()), 600_000)
    story = ordered(signed(story), 500_000, payment="p2", subject="gpu-2")
    refused = signed(story, "p2")
    refused.refused("more_than_held")
    more = imported(refused, line(100_000, reference=ADA, bank_id="X"), name="more", of=page("S7"))
    signed(more, "p2", by=("bo",)).followed_by("payment_approved")


def test_a_payment_is_confirmed_only_by_a_debit_with_its_id_and_amount() -> None:
    story = taken(sent())
    other = imported(story, line(399_999, side="debit", end_to_end_id=own_id()), name="b")
    assert state(other).movements[next(iter(state(other).waiting))].reason == "other-amount"
    story = confirmed()
    assert kinds(story) == ["line_booked", "payment_confirmed", "chunk_imported"]
    (record,) = told(story, "record_spending")
    assert record["spending"] == "gpu-1"
    assert (balance(story), state(story).outgoing["USD"]) == (600_000, 0)
    twice = imported(story, line(400_000, side="debit", end_to_end_id=own_id(), bank_id="OUT-2"), name="c", of=page("S3"))
    assert state(twice).movements[next(iter(state(twice).waiting))].reason == "unknown-debit"


def test_a_refund_tells_its_round_of_the_member() -> None:
    story = with_payee(funded(), "member:ada")
    story = ordered(story, payee="member:ada", purpose=Purpose.REFUND, subject="ada")
    story = imported(signed(story), line(400_000, side="debit", end_to_end_id=own_id()), name="b")
    (record,) = told(story, "record_refund")
    assert record == {"kind": "record_refund", "payment": "p1", "member": "ada", "amount": 400_000, "reference": record["reference"]}
    story = story.when(steps.PaymentAccepted(step="pay:p1:1", payment="p1", attempt=1))
    assert kinds(story) == [], "a statement says more than an answer that comes late"


def test_a_rejected_payment_is_tried_anew_on_another_account_under_another_id() -> None:
    story = sent().when(steps.PaymentRejected(step="pay:p1:1", payment="p1", attempt=1, code="AC04", reason="closed account"))
    assert kinds(story) == ["payment_failed"]
    assert state(story).outgoing["USD"] == 0
    story.when(commands.RetryPayment(payment="p1"), by="sam").refused("office_required")
    story.when(commands.ApprovePayment(payment="p1", digest="0" * 64), by="theo").refused("payment_not_ordered")
    story = with_payee(story, iban=OTHER).when(commands.RetryPayment(payment="p1"), by="tess").followed_by("payment_renewed")
    story.when(commands.RetryPayment(payment="p1"), by="tess").then()
    shown = imported(story, line(400_000, side="debit", end_to_end_id=own_id(attempt=1)), name="b")
    assert "payment_confirmed" in kinds(shown), "nothing else was sent: the bank had taken it all the same"
    signed(shown).then()
    back = imported(shown, line(400_000, end_to_end_id=own_id(attempt=1), return_reason="AC04"), name="c", of=page("S8"))
    assert "payment_returned" in kinds(back)
    story = signed(story).followed_by("payment_approved").owes("send_payment", "pay:p1:2")
    assert own_id(attempt=1) != own_id(attempt=2)
    late = imported(story, line(400_000, side="debit", end_to_end_id=own_id(attempt=1)), name="b")
    assert state(late).movements[next(iter(state(late).waiting))].reason == "unknown-debit"
    story = imported(story, line(400_000, side="debit", end_to_end_id=own_id(attempt=2)), name="b")
    assert len(told(story, "record_spending")) == 1


def test_nothing_is_signed_or_given_up_while_a_debit_under_the_payments_id_waits() -> None:
    story = (
        taken(sent())
        .when(commands.RecordRejection(payment="p1", reason="recalled"), by="tess")
        .when(commands.RetryPayment(payment="p1"), by="tess")
    )
    story = imported(story, line(399_000, side="debit", end_to_end_id=own_id(attempt=1)), name="b")
    (name,) = state(story).waiting
    story = signed(story, by=("theo",)).followed_by("payment_signed")
    signed(story, by=("bo",)).refused("debit_waits")
    story.when(commands.CancelPayment(payment="p1", reason="x"), by="tess").refused("debit_waits")
    story = story.when(commands.BookLine(line=name, account="other", reason="the bank's mistake"), by="tess")
    signed(story, by=("bo",)).followed_by("payment_approved")


def test_a_rejection_that_the_bank_told_later_is_recorded_by_the_treasurer() -> None:
    ask = commands.RecordRejection(payment="p1", reason="recalled by the bank")
    taken(sent()).when(ask, by="sam").refused("office_required")
    story = taken(sent()).when(ask, by="tess").followed_by("payment_failed")
    story.when(ask, by="tess").then()
    ordered(opened()).when(ask, by="tess").refused("payment_not_sent")
    shown = imported(story, line(400_000, side="debit", end_to_end_id=own_id()), name="b")
    assert "payment_confirmed" in kinds(shown), "the statement is right"


def reported(story: Story, *answers: OrderAnswer, order: str = "", name: str = "report") -> Story:
    """A file turns out to be a report on the first order."""
    story = story.when(commands.ImportStatement(file=file(name)), by="tess")
    (step,) = (step for step in story.steps if step.kind == "read_statement")
    return story.when(
        steps.ReportRead(step=step.key, file=file(name), order=order or sending_ids(TREASURY_STREAM, "p1", 1)[0], answers=answers)
    )


def test_a_rejection_that_the_bank_reports_after_it_took_the_order_fails_the_payment() -> None:
    no = OrderAnswer(rejected=True, code="AC04")
    story = reported(taken(sent()), no)
    assert kinds(story) == ["chunk_imported", "payment_failed"]
    assert (state(story).payments["p1"].reason, state(story).files[file("report")].stage) == ("AC04", "read")
    assert kinds(reported(story, no, name="again")) == ["chunk_imported"]
    own = OrderAnswer(end_to_end_id=own_id(), rejected=False)
    for old_news in ((own, no), (OrderAnswer(rejected=False),), (OrderAnswer(end_to_end_id="OTHER", rejected=True),)):
        assert kinds(reported(taken(sent()), *old_news)) == ["chunk_imported"]
    assert kinds(reported(taken(sent()), no, order="M0")) == ["chunk_imported"]
    assert kinds(reported(confirmed(), no)) == ["chunk_imported"], "a statement says more"


def test_a_rejection_that_is_read_while_the_order_is_being_sent_ends_the_sending() -> None:
    story = reported(sent(), OrderAnswer(rejected=True, code="AC04"))
    assert kinds(story) == ["chunk_imported", "payment_failed"]
    assert not [step for step in story.steps if step.kind == "send_payment"]


def test_the_treasurer_is_told_of_what_the_bank_sent_and_nobody_reads() -> None:
    story = opened().due().when(steps.StatementsFetched(step="fetch:1", aside=("x.xml: a notification, which is not read",)))
    (told_of,) = (step for step in story.steps if step.kind == "notify")
    assert "x.xml" in told_of.data["facts"]["reason"]


def test_no_rejection_is_recorded_of_an_order_that_the_bank_may_still_get() -> None:
    ask = commands.RecordRejection(payment="p1", reason="the bank never had it")
    sent().when(ask, by="tess").refused("payment_on_its_way")
    stuck = sent().when(FailStep(step="pay:p1:1", reason="the bank does not say"))
    story = stuck.when(ask, by="tess").followed_by("step_waived", "payment_failed")
    story.when(RetryStep(step="pay:p1:1"), by="sam").refused("step_not_failed")
    story = signed(story.when(commands.RetryPayment(payment="p1"), by="tess")).followed_by("payment_approved")
    assert [step.key for step in story.steps if step.kind == "send_payment"] == ["pay:p1:2"]
    stuck.when(RetryStep(step="pay:p1:1"), by="sam").followed_by("step_retried").owes("send_payment", "pay:p1:1")
    waived = stuck.when(WaiveStep(step="pay:p1:1", reason="we ask the bank"), by="sam")
    waived.when(ask, by="tess").followed_by("payment_failed")


def test_an_order_to_a_blocked_payee_that_could_not_be_sent_is_sent_no_more() -> None:
    block = commands.BlockPayee(payee="cloud", reason="fraud")
    sent().when(block, by="theo").followed_by("payee_blocked")
    stuck = sent().when(FailStep(step="pay:p1:1", reason="no line to the bank"))
    story = stuck.when(block, by="theo").followed_by("payee_blocked", "step_waived", "payment_failed")
    story.when(block, by="theo").then()
    assert not [step for step in story.steps if step.kind == "send_payment"]


def test_an_order_that_is_still_tried_is_held_from_a_blocked_payee_and_not_called_rejected() -> None:
    stuck = sent().when(DelayStep(step="pay:p1:1", reason="no line to the bank"))
    stuck.when(commands.RecordRejection(payment="p1", reason="the bank never had it"), by="tess").refused("payment_on_its_way")
    held = stuck.when(commands.BlockPayee(payee="cloud", reason="fraud"), by="theo").followed_by(
        "payee_blocked", "step_waived", "payment_failed"
    )
    assert not [step for step in held.steps if step.kind == "send_payment"]
    waived = stuck.when(WaiveStep(step="pay:p1:1", reason="we ask the bank"), by="sam")
    waived.when(commands.RecordRejection(payment="p1", reason="the bank never had it"), by="tess").followed_by("payment_failed")


def test_a_payment_that_comes_back_is_told_and_paid_anew_or_given_up() -> None:
    story = imported(confirmed(), line(400_000, end_to_end_id=own_id(), return_reason="AC01", bank_id="B"), name="back", of=page("S2"))
    assert kinds(story) == ["line_booked", "payment_returned", "chunk_imported"]
    (back,) = told(story, "return_spending")
    assert (back["spending"], balance(story)) == ("gpu-1", 1_000_000)
    renewed = signed(story.when(commands.RetryPayment(payment="p1"), by="tess")).followed_by("payment_approved")
    renewed = imported(renewed, line(400_000, side="debit", end_to_end_id=own_id(attempt=2)), name="again", of=page("S4"))
    assert len(told(renewed, "record_spending")) == 2
    story = story.when(commands.CancelPayment(payment="p1", reason="no account"), by="tess").followed_by("payment_cancelled")
    assert told(story, "release_spending") == [{"kind": "release_spending", "spending": "gpu-1", "reason": "no account"}]


def test_a_person_says_which_payment_a_line_without_its_id_shows() -> None:
    story = imported(taken(sent()), line(400_015, side="debit", bank_id="OUT"), name="out")
    (name,) = state(story).waiting
    match = commands.MatchPayment(line=name, payment="p1", reason="the bank's advice names it")
    story.when(match, by="sam").refused("office_required")
    story.when(match.model_copy(update={"payment": "p9"}), by="tess").refused("no_such_payment")
    story = story.when(match, by="tess").followed_by("payment_confirmed")
    story.when(match, by="tess").then()
    assert (len(told(story, "record_spending")), state(story).free) == (1, 599_985)
    story = imported(story, line(399_990, bank_id="BACK"), name="back", of=page("S2"))
    (name,) = state(story).waiting
    back = commands.MatchPayment(line=name, payment="p1", reason="the account was closed")
    story = story.when(back, by="tess").followed_by("payment_returned")
    story.when(back, by="tess").then()
    assert len(told(story, "return_spending")) == 1


def test_a_line_shows_no_payment_that_is_larger_or_not_on_its_way() -> None:
    for story, amount, rule in ((taken(sent()), 399_999, "other_amount"), (ordered(funded()), 400_000, "payment_elsewhere")):
        shown = imported(story, line(amount, side="debit", bank_id="OUT"), name="out")
        (name,) = state(shown).waiting
        shown.when(commands.MatchPayment(line=name, payment="p1", reason="x"), by="tess").refused(rule)


def test_a_debit_may_show_an_attempt_that_was_given_up_too_early() -> None:
    story = (
        taken(sent())
        .when(commands.RecordRejection(payment="p1", reason="recalled"), by="tess")
        .when(commands.RetryPayment(payment="p1"), by="tess")
    )
    story = imported(story, line(400_000, side="debit", bank_id="OUT"), name="out")
    (name,) = state(story).waiting
    story = story.when(commands.MatchPayment(line=name, payment="p1", reason="the bank's advice"), by="tess").followed_by(
        "payment_confirmed"
    )
    signed(story).then()


def test_a_return_that_comes_before_its_debit_waits_for_it() -> None:
    story = imported(taken(sent()), line(400_000, end_to_end_id=own_id(), bank_id="B"), name="back", of=page("S2"))
    assert kinds(story) == ["line_booked", "line_unmatched", "chunk_imported"]
    story = imported(story, line(400_000, side="debit", end_to_end_id=own_id(), bank_id="A"), name="out")
    assert kinds(story) == ["line_booked", "payment_confirmed", "payment_returned", "chunk_imported"]
    assert not state(story).waiting


def test_a_payment_under_way_is_not_cancelled_and_a_cancelled_one_is_told() -> None:
    cancel = commands.CancelPayment(payment="p1", reason="not needed")
    for under_way in (sent(), taken(sent()), confirmed()):
        under_way.when(cancel, by="tess").refused("payment_under_way")
    story = ordered(opened())
    story.when(cancel, by="sam").refused("office_required")
    story = story.when(cancel, by="tess").followed_by("payment_cancelled")
    story.when(cancel, by="tess").then()
    assert len(told(story, "release_spending")) == 1
    story.when(commands.RetryPayment(payment="p1"), by="tess").refused("payment_not_failed")


def test_an_answer_of_the_bank_to_another_attempt_is_old_news() -> None:
    story = sent()
    assert kinds(story.when(steps.PaymentRejected(step="pay:p1:1", payment="p1", attempt=2, reason="x"))) == []
    story.when(steps.PaymentAccepted(step="pay:p1:1", payment="p1", attempt=1), by="tess").refused("service_only")


# ---------------------------------------------------------------- payment lists

LIST = "refunds-1"
BOTH = (ListedRefund(payment="refund-ada", member="ada", amount=300_000), ListedRefund(payment="refund-bel", member="bel", amount=200_000))


def order_of(*refunds: ListedRefund, name: str = LIST, **fields: Any) -> letters.OrderPaymentList:
    usual: dict[str, Any] = {"source": "round/atlas-1", "currency": "USD", "text": "atlas-1 refund", "ordered_by": "tess"}
    return letters.OrderPaymentList(payment_list=name, refunds=refunds or BOTH, **(usual | fields))


def payable() -> Story:
    """The account of each member is approved."""
    return with_payee(with_payee(funded(), "member:ada"), "member:bel", iban=OTHER)


def listed() -> Story:
    return payable().when(order_of()).followed_by("payment_ordered", "payment_ordered", "payment_list_ordered")


def approve_list(story: Story, name: str = LIST) -> commands.ApprovePaymentList:
    return commands.ApprovePaymentList(payment_list=name, digest=state(story).lists[name].digest)


def approved_list(story: Story, *, by: tuple[str, ...] = ("theo", "bo")) -> Story:
    for person in by:
        story = story.when(approve_list(story), by=person)
    return story


def stages(story: Story) -> dict[str, str]:
    return {name: payment.stage for name, payment in state(story).payments.items()}


def test_a_list_of_refunds_is_signed_once_by_two_people_and_each_payment_is_sent_shown_and_told_by_itself() -> None:
    story = listed().owes("notify", f"notice:list:{LIST}")
    (asked,) = (step.data for step in story.steps if step.key == f"notice:list:{LIST}")
    assert asked["facts"] == {"payment_list": LIST, "payments": 2, "amount": "USD 5,000.00", "treasury": TREASURY_STREAM}
    story = story.when(approve_list(story), by="theo").followed_by("payment_list_signed")
    story = story.when(approve_list(story), by="bo").followed_by("payment_list_approved", "payment_approved", "payment_approved")
    story.owes("send_payment", "pay:refund-ada:1").owes("send_payment", "pay:refund-bel:1")
    story.when(approve_list(story), by="bo").then()
    assert state(story).outgoing["USD"] == 500_000
    for name, amount in (("refund-ada", 300_000), ("refund-bel", 200_000)):
        story = imported(taken(story, name), line(amount, side="debit", end_to_end_id=own_id(name)), name=name, of=page(name))
    assert sorted((each["payment"], each["member"], each["amount"]) for each in told(story, "record_refund")) == [
        ("refund-ada", "ada", 300_000), ("refund-bel", "bel", 200_000),
    ]  # fmt: skip
    assert (balance(story), state(story).outgoing["USD"], set(stages(story).values())) == (500_000, 0, {"confirmed"})


def test_a_list_that_a_standing_order_approved_goes_out_at_once_to_the_accounts_that_are_approved() -> None:
    beforehand = order_of(ordered_by="service", approved_by=("theo", "bo"))
    story = (
        with_payee(funded(), "member:ada")
        .when(beforehand)
        .followed_by(
            "payment_ordered", "payment_ordered", "payment_list_ordered", "payment_cancelled", "payment_list_approved", "payment_approved"
        )
    )
    assert stages(story) == {"refund-ada": "sending", "refund-bel": "cancelled"}
    story.owes("send_payment", "pay:refund-ada:1").owes("notify", f"notice:without-account:{LIST}:ordered")
    assert not any(step.key == f"notice:list:{LIST}" for step in story.steps), "nobody is asked to sign"
    story.when(beforehand).then()


def test_a_standing_order_that_too_few_approved_or_without_the_money_waits_for_signatures_like_any_other() -> None:
    for named in (("theo",), ("theo", "theo")):
        payable().when(order_of(approved_by=named)).followed_by("payment_ordered", "payment_ordered", "payment_list_ordered")
    dear = ListedRefund(payment="refund-dear", member="ada", amount=10**12)
    story = (
        payable()
        .when(order_of(dear, ordered_by="service", approved_by=("theo", "bo")))
        .followed_by("payment_ordered", "payment_list_ordered")
    )
    story.owes("notify", f"notice:list:{LIST}").when(approve_list(story), by="theo").followed_by("payment_list_signed")
    nobody = with_payee(funded(), "member:cyd").when(order_of(approved_by=("theo", "bo")))
    assert set(stages(nobody).values()) == {"cancelled"}


def test_a_list_is_ordered_by_its_source_once_under_names_of_its_own() -> None:
    payable().when(order_of(), by="tess").refused("service_only")
    payable().when(order_of(currency="EUR")).refused("wrong_currency")
    listed().when(order_of()).then()
    listed().when(order_of(name="refunds-2")).refused("payment_exists")
    payable().when(order_of(BOTH[0], BOTH[0])).refused("payment_exists")
    listed().when(order_of(ListedRefund(payment="refund-other", member="ada", amount=1), source="round/vega")).refused("payment_exists")


def test_a_list_is_approved_by_different_people_who_did_not_order_it_and_sign_its_digest() -> None:
    story = listed()
    approve = approve_list(story)
    story.when(approve, by="tess").refused("same_person")
    story.when(approve, by="sam").refused("office_required")
    story.when(approve.model_copy(update={"digest": "0" * 64}), by="theo").refused("digest_differs")
    story.when(approve.model_copy(update={"payment_list": "refunds-9"}), by="theo").refused("no_such_list")
    story = story.when(approve, by="theo").followed_by("payment_list_signed")
    story.when(approve, by="theo").refused("same_person")
    revoked = replace(story, register=noted(story.register, OfficeRevoked(person="theo", office=Office.SECOND_SIGNATORY)))
    revoked.when(approve, by="bo").followed_by("payment_list_signed")


def test_the_digest_of_a_list_is_of_the_lines_that_are_stored() -> None:
    """As docs/log-format.md has it: payment, payee, amount and the digest of the bank details, of each line in order."""
    (event,) = (event for event in listed().answer if event.kind == "payment_list_ordered")
    kept = event.model_dump(mode="json")
    lines = [[line[name] for name in ("payment", "payee", "amount", "details")] for line in kept["lines"]]
    text = json.dumps([kept["payment_list"], kept["currency"], lines], separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == kept["digest"]
    assert lines[0][3] == stated(Creditor(name="Cloud AG", iban=SUPPLIER))


def test_a_payee_without_approved_bank_details_is_left_out_and_holds_up_nobody() -> None:
    story = with_payee(funded(), "member:ada").when(order_of())
    story.followed_by("payment_ordered", "payment_ordered", "payment_list_ordered", "payment_cancelled")
    (given_up,) = told(story, "release_refund")
    assert (given_up["payment"], given_up["member"], given_up["amount"]) == ("refund-bel", "bel", 200_000)
    (said,) = (step.data for step in story.steps if step.key == f"notice:left-out:{LIST}:ordered")
    assert (said["to"], said["facts"]["payments"], said["facts"]["reason"]) == (["office:treasurer"], 1, given_up["reason"])
    (asked,) = (step.data for step in story.steps if step.key == f"notice:without-account:{LIST}:ordered")
    assert asked["each"] == {"member:bel": {"amount": "USD 2,000.00"}}
    story = approved_list(story).followed_by("payment_list_approved", "payment_approved")
    assert stages(story) == {"refund-ada": "sending", "refund-bel": "cancelled"}
    again = order_of(ListedRefund(payment="refund-bel-2", member="bel", amount=200_000), name="refunds-2")
    later = with_payee(story, "member:bel", iban=OTHER).when(again).followed_by("payment_ordered", "payment_list_ordered")
    later.when(approve_list(later, "refunds-2"), by="theo").followed_by("payment_list_signed")


def test_a_list_of_which_nothing_is_possible_waits_for_nobody() -> None:
    story = funded().when(order_of())
    story.followed_by("payment_ordered", "payment_ordered", "payment_list_ordered", "payment_cancelled", "payment_cancelled")
    assert len(told(story, "release_refund")) == 2
    assert not state(story).open_lists
    assert not [step for step in story.steps if step.key.startswith("notice:list:")]
    story.when(approve_list(story), by="theo").refused("list_not_ordered")


@pytest.mark.parametrize("how", ["blocked", "other account"])
def test_who_has_other_bank_details_by_the_last_approval_is_not_paid_with_the_list(how: str) -> None:
    story = approved_list(listed(), by=("theo",))
    story = (
        story.when(commands.BlockPayee(payee="member:bel", reason="fraud"), by="theo")
        if how == "blocked"
        else with_payee(story, "member:bel")
    )
    story = approved_list(story, by=("bo",)).followed_by("payment_list_approved", "payment_approved", "payment_cancelled")
    assert stages(story) == {"refund-ada": "sending", "refund-bel": "cancelled"}
    (given_up,) = told(story, "release_refund")
    assert given_up["member"] == "bel"
    story.owes("notify", f"notice:left-out:{LIST}:approved").owes("notify", f"notice:without-account:{LIST}:approved")
    assert [step.key for step in story.steps if step.kind == "send_payment"] == ["pay:refund-ada:1"]


def test_a_payment_of_a_list_that_waits_is_decided_with_the_list_only() -> None:
    story = listed()
    story.when(commands.ApprovePayment(payment="refund-ada", digest=digest(story, "refund-ada")), by="theo").refused("payment_listed")
    story.when(commands.CancelPayment(payment="refund-ada", reason="x"), by="tess").refused("payment_listed")


def test_a_payment_of_an_approved_list_that_fails_is_retried_or_given_up_by_itself() -> None:
    story = approved_list(listed())
    no = steps.PaymentRejected(step="pay:refund-bel:1", payment="refund-bel", attempt=1, reason="closed account")
    story = taken(story.when(no).followed_by("step_carried_out", "payment_failed"), "refund-ada")
    again = story.when(commands.RetryPayment(payment="refund-bel"), by="tess").followed_by("payment_renewed")
    signed(again, "refund-bel").followed_by("payment_approved").owes("send_payment", "pay:refund-bel:2")
    story = story.when(commands.CancelPayment(payment="refund-bel", reason="they gave another account"), by="tess").followed_by(
        "payment_cancelled"
    )
    assert [each["payment"] for each in told(story, "release_refund")] == ["refund-bel"]
    assert stages(story)["refund-ada"] == "taken"


def test_a_list_that_is_given_up_frees_every_refund_of_it() -> None:
    cancel = commands.CancelPaymentList(payment_list=LIST, reason="an amount is wrong")
    listed().when(cancel, by="sam").refused("office_required")
    listed().when(cancel.model_copy(update={"payment_list": "refunds-9"}), by="tess").refused("no_such_list")
    approved_list(listed()).when(cancel, by="tess").refused("list_not_ordered")
    story = approved_list(listed(), by=("theo",)).when(cancel, by="tess")
    story.followed_by("payment_list_cancelled", "payment_cancelled", "payment_cancelled")
    given_up = {each["payment"]: each["reason"] for each in told(story, "release_refund")}
    assert given_up == {"refund-ada": cancel.reason, "refund-bel": cancel.reason}
    story.when(cancel, by="tess").then()
    story.when(approve_list(story), by="bo").refused("list_not_ordered")


def test_never_is_more_of_a_list_approved_than_is_held_and_free() -> None:
    story = signed(ordered(with_payee(payable()), 600_000)).when(order_of())
    refused = approved_list(story)
    refused.refused("more_than_held")
    more = imported(refused, line(100_000, reference=ADA, bank_id="X"), name="more", of=page("S7"))
    approved_list(more, by=("bo",)).followed_by("payment_list_approved", "payment_approved", "payment_approved")


def test_a_list_that_waits_is_one_thing_to_sign_and_stands_with_its_digest() -> None:
    story = listed()
    headline = TREASURY.describe(story.state.state)
    assert headline.values["to_sign"] == 1
    assert headline.waits_for == ("office:treasurer", "office:second-signatory")
    assert f"| {LIST} | round/atlas-1 | 2 | USD 5,000.00 | {state(story).lists[LIST].digest} |" in headline.text
    assert "refund-ada" not in headline.text
    assert TREASURY.describe(approved_list(story).state.state).values["to_sign"] == 0
