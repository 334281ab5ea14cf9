"""Laws of the treasury, under random histories: whatever files repeat and whatever is told twice, no cent is counted or sent twice.

The bank here is the truth: it books movements, writes them on pages, and hands the pages out in any order and again. Two folds of the
treasury's events are held against it: the set of movements that were counted, and a double-entry ledger.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import letters
from domain.kernel import SERVICE, Command, Event
from domain.letters import ListedRefund, Purpose
from domain.reference import IBAN_LENGTHS, creditor_reference, parse_iban, parse_reference, shown_reference
from domain.register.facts import PaymentExpected
from domain.stream import FailStep
from domain.treasury import commands as treasury_commands
from domain.treasury import events as treasury_events
from domain.treasury import state as treasury_state
from domain.treasury import steps as treasury_steps
from domain.treasury.process import TREASURY
from domain.treasury.records import Place
from domain.treasury.state import Open, Unopened, closing_balance
from domain.treasury.terms import Balance, Creditor, Line, Page, payment_digest
from tests.luck import try_laws
from tests.stories import Story, charter, day, founded, noted, stated, with_members

pytestmark = pytest.mark.heavy

IBAN = "CH9300762011623852957"
PAYEE = Creditor(name="Cloud", iban="DE89370400440532013000")
ROUND = "round/r"
MEMBERS = ("ada", "bel")
REFERENCES = (creditor_reference(ROUND, "ada"), creditor_reference("member/bel", "bel"), "RF18539007547034", None)

ANSWERS = ("taken", "rejected", "shown", "shown twice", "unnamed", "later no", "unsent")
"""What the bank does with an order."""

accepted: Counter[str] = Counter()


class Ledger:
    """Double-entry books folded from the events alone; every posting names two accounts, so they balance by their shape."""

    def __init__(self) -> None:
        self.accounts: Counter[str] = Counter()
        self.lines: dict[str, Line] = {}
        self.tags: Counter[str] = Counter()
        self.sent: dict[str, int] = {}
        self.confirmed: Counter[tuple[str, int]] = Counter()

    def post(self, amount: int, debit: str, credit: str) -> None:
        """Moves an amount from the credited to the debited account."""
        self.accounts[debit] += amount
        self.accounts[credit] -= amount

    def suspend(self, line: str, other: str, *, back: bool = False) -> None:
        """Takes a movement out of suspense, or puts it back."""
        details = self.lines[line]
        signed = details.amount * (1 if details.side == "credit" else -1) * (-1 if back else 1)
        self.post(signed, "suspense", other)

    def note(self, event: Event, where: dict[str, str]) -> None:
        """Books one event. `where` keeps for each movement the account that it went to."""
        match event:  # type: ignore[exhaustive-match]  # the other facts move no money
            case treasury_events.LineBooked(line=line, details=details):
                self.tags[details.text] += 1
                self.lines[line] = details
                self.post(details.amount if details.side == "credit" else -details.amount, "bank", "suspense")
            case treasury_events.LineMatched(line=line, stream=stream, member=member, amount=amount):
                assert amount == self.lines[line].amount
                where[line] = f"held:{stream}:{member}"
                self.suspend(line, where[line])
            case treasury_events.LineExplained(line=line, account=account):
                where[line] = account
                self.suspend(line, account)
            case treasury_events.LineUnmatched(line=line):
                if line in where:
                    self.suspend(line, where.pop(line), back=True)
            case treasury_events.ReceiptReversed(line=line, original=original):
                back = where.pop(original, "")
                if back:
                    self.suspend(original, back, back=True)
                where[line] = where[original] = "reversed"
                self.suspend(line, "reversed")
                self.suspend(original, "reversed")
            case treasury_events.PaymentApproved(payment=payment, attempt=attempt, amount=amount, end_to_end_id=end_to_end):
                assert end_to_end not in self.sent, "an id is sent once"
                self.sent[end_to_end] = amount
            case treasury_events.PaymentConfirmed(payment=payment, attempt=attempt, line=line, amount=amount, charges=charges, by=by):
                assert self.lines[line].amount == amount + charges
                assert by or (self.sent[self.lines[line].end_to_end_id], charges) == (amount, 0)
                self.confirmed[payment, attempt] += 1
                assert self.confirmed[payment, attempt] == 1
                where[line] = f"payment:{payment}"
                self.suspend(line, where[line])
            case treasury_events.PaymentReturned(payment=payment, line=line, amount=amount, charges=charges):
                assert self.lines[line].amount == amount - charges
                where[line] = f"payment:{payment}"
                self.suspend(line, where[line])


def counted(lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines of a page, each with its number among its like."""
    seen: Counter[str] = Counter()
    numbered = []
    for line in lines:
        bare = line.model_copy(update={"text": "", "occurrence": 1}).model_dump_json()
        seen[bare] += 1
        numbered.append(line.model_copy(update={"occurrence": seen[bare]}))
    return tuple(numbered)


class Treasuries(RuleBasedStateMachine):
    """The bank books, repeats and reorders; people match, pay and change their minds."""

    @initialize(numbered=st.booleans())
    def begin(self, numbered: bool) -> None:  # noqa: FBT001
        self.numbered = numbered
        self.ledger, self.where = Ledger(), dict[str, str]()
        self.pages: list[tuple[Page, tuple[Line, ...]]] = []
        self.delivered: set[str] = set()
        self.dismissed: set[str] = set()
        self.count = 0
        register = with_members(founded(charter()), *MEMBERS)
        register = noted(
            register,
            PaymentExpected(reference=REFERENCES[0] or "", stream=ROUND, member="ada"),
            PaymentExpected(reference=REFERENCES[1] or "", stream="member/bel", member="bel"),
        )
        self.story = Story.of(TREASURY, "treasury/main", register)
        self.give(treasury_commands.OpenAccount(iban=IBAN, owner="Atlas"), "tess")
        self.give(treasury_commands.NamePayee(payee="cloud", name=PAYEE.name, iban=PAYEE.iban), "tess")
        self.give(treasury_commands.ApprovePayee(payee="cloud", details=stated(PAYEE)), "theo")
        self.name_account("ada")
        self.write(self.line(1_000, reference=REFERENCES[0]))
        self.deliver(*self.pages[-1], cut=1)

    def give(self, command: Command, by: str = SERVICE) -> bool:
        """Give a command, book what follows, and give it again: the second time nothing may follow."""
        after = self.story.when(command, by=by)
        if after.refusal is not None:
            assert after.refusal.remedy
            return False
        for event in after.answer:
            self.ledger.note(event, self.where)
        accepted[command.kind] += bool(after.answer)
        again = after.when(command, by=by)
        assert again.refusal is not None or again.state.state == after.state.state, f"{command!r} told twice"
        self.story = after
        return True

    @property
    def kept(self) -> Open:
        current = self.story.state.state
        assert isinstance(current, Open)
        return current

    def fresh(self) -> int:
        self.count += 1
        return self.count

    # ---- the bank

    def line(self, amount: int, **fields: Any) -> Line:
        tag = self.fresh()
        usual: dict[str, Any] = {
            "booked_on": day(0).date(), "value_date": day(0).date(), "currency": "USD", "side": "credit",
            "bank_id": f"B{tag}" if self.numbered else "",
        }  # fmt: skip
        return Line(amount=amount, text=f"T{tag}", **(usual | fields))

    def write(self, *lines: Line, statement: str = "", number: int = 1) -> None:
        """The bank writes a page; it hands it out when it likes."""
        place = self.fresh()
        page = Page(
            statement=statement or f"S{place}", account=IBAN, currency="USD", page=number, closing=Balance(amount=0, on=day(0).date()),
            sequence=None if statement else place, created_at=day(place),
        )  # fmt: skip
        self.pages.append((page, counted(lines)))

    def deliver(self, page: Page, lines: tuple[Line, ...], cut: int) -> None:
        """A file holds the page, and is read in two chunks."""
        name = hashlib.sha256(str(self.fresh()).encode()).hexdigest()
        self.give(treasury_commands.ImportStatement(file=name), "tess")
        for number, (part, rest) in enumerate(((lines[:cut], str(cut)), (lines[cut:], "")), 1):
            chunk = treasury_steps.StatementRead(step=f"read:{name}:1:{number}", file=name, page=page, lines=part, next_cursor=rest)
            assert self.give(chunk)
        self.delivered |= {line.text for line in lines}

    @rule(
        amounts=st.lists(
            st.tuples(st.sampled_from((5, 5, 70, 400)), st.sampled_from(REFERENCES), st.booleans(), st.sampled_from(("", "E1"))),
            min_size=1, max_size=4,
        ),
        now=st.booleans(),
    )  # fmt: skip
    def money_arrives(self, amounts: list[tuple[int, str | None, bool, str]], now: bool) -> None:  # noqa: FBT001
        """Several payers may write one id of theirs, and the bank one id for several that it books together."""
        together = f"BATCH{self.fresh()}"
        self.write(
            *(
                self.line(amount, reference=reference, end_to_end_id=own, **({"bank_id": together} if shared else {}))
                for amount, reference, shared, own in amounts
            )
        )
        if now:
            self.deliver(*self.pages[-1], cut=len(amounts) // 2)

    @rule(amount=st.sampled_from((5, 70)), pages=st.integers(2, 3))
    def a_statement_of_several_pages_comes_backwards(self, amount: int, pages: int) -> None:
        name = f"P{self.fresh()}"
        for number in range(1, pages + 1):
            self.write(self.line(amount, reference=REFERENCES[0]), statement=name, number=number)
        for page, lines in reversed(self.pages[-pages:]):
            self.deliver(page, lines, 0)

    @precondition(lambda self: self.pages)
    @rule(choice=st.integers(0, 50), cut=st.integers(0, 3))
    def redeliver(self, choice: int, cut: int) -> None:
        self.deliver(*self.pages[choice % len(self.pages)], cut)

    @precondition(lambda self: self.pages)
    @rule(
        choice=st.integers(0, 50),
        change=st.sampled_from(
            ({"reference": REFERENCES[0]}, {"amount": 6}, {"booked_on": day(1).date()}, {"bank_id": "B-NEW"}, {"end_to_end_id": "E2"}, None)
        ),
        renamed=st.booleans(),
    )
    def correct(self, choice: int, change: dict[str, Any] | None, renamed: bool) -> None:  # noqa: FBT001
        """The bank sends a page anew, with its number, its name or both: its first line is another one, or is gone."""
        page, lines = self.pages[choice % len(self.pages)]
        changed = () if change is None else (lines[0].model_copy(update=change),)
        name = f"C{self.fresh()}" if renamed and page.sequence is not None else page.statement
        self.deliver(page.model_copy(update={"statement": name, "created_at": day(self.fresh())}), counted((*changed, *lines[1:])), 0)

    @rule(choice=st.integers(0, 50), named=st.booleans())
    def take_back(self, choice: int, named: bool) -> None:  # noqa: FBT001
        """The bank takes a receipt back, with its ids, or so that only a person knows."""
        receipts = sorted(name for name, details in self.ledger.lines.items() if details.side == "credit" and not details.reversal)
        if receipts:
            original = receipts[choice % len(receipts)]
            undone = self.ledger.lines[original]
            ids = {"reversal": True, "reference": undone.reference, "end_to_end_id": undone.end_to_end_id} if named else {}
            self.write(self.line(undone.amount, side="debit", **ids))
            self.deliver(*self.pages[-1], cut=1)
            if not named:
                self.give(treasury_commands.UndoReceipt(line=self.latest(), original=original, reason="the bank said so"), "tess")

    def latest(self) -> str:
        """The movement that the last page shows."""
        text = self.pages[-1][1][0].text
        return next(name for name, movement in self.kept.movements.items() if movement.details.text == text)

    # ---- the inbox

    @rule(choice=st.integers(0, 50), what=st.sampled_from(("assign", "return", "book", "judge", "judge")))
    def look_into_the_inbox(self, choice: int, what: str) -> None:
        waits = sorted(self.kept.waiting)
        if not waits:
            return
        line = waits[choice % len(waits)]
        movement = self.kept.movements[line]
        if movement.missed == "open":
            self.give(
                treasury_commands.JudgeLine(line=line, verdict="withdrawn" if choice % 2 else "stands", reason="asked the bank"), "tess"
            )
        elif movement.stage == "doubted":
            tag = movement.details.text
            verdict: Any = "repeat" if self.ledger.tags[tag] else "new"
            if self.give(treasury_commands.JudgeLine(line=line, verdict=verdict, reason="looked"), "tess") and verdict == "repeat":
                self.dismissed.add(line)
        elif what == "assign":
            self.give(treasury_commands.AssignLine(line=line, stream=ROUND, member="ada", reason="they wrote"), "tess")
        elif what == "return":
            self.give(treasury_commands.ReturnLine(line=line, payee="cloud", reason="not ours"), "tess")
        else:
            self.give(treasury_commands.BookLine(line=line, account="other", reason="seen"), "tess")

    @rule(choice=st.integers(0, 50))
    def turn_away(self, choice: int) -> None:
        matched = sorted(name for name, movement in self.kept.movements.items() if movement.stage == "matched")
        if matched:
            line = matched[choice % len(matched)]
            self.give(letters.TurnAwayPayment(line=line, stream=self.kept.movements[line].stream or "", reason="over"))

    # ---- payments

    @rule(amount=st.sampled_from((5, 70, 400, 10_000)), up_to=st.integers(0, 3), then=st.sampled_from(("", *ANSWERS)))
    def order(self, amount: int, up_to: int, then: str) -> None:
        name = f"p{self.fresh()}"
        self.give(letters.OrderPayment(payment=name, payee="cloud", amount=amount, source=ROUND, purpose=Purpose.SPENDING, subject="s"))
        if up_to:
            self.sign(name)
        if then and self.kept.payments[name].stage == "sending":
            self.answer(name, then)

    def name_account(self, member: str) -> None:
        self.give(treasury_commands.NamePayee(payee=f"member:{member}", name=PAYEE.name, iban=PAYEE.iban), f"rep-{member}")
        self.give(treasury_commands.ApprovePayee(payee=f"member:{member}", details=stated(PAYEE)), "theo")

    @rule(member=st.sampled_from(MEMBERS), stands=st.booleans())
    def bank_details_change(self, member: str, stands: bool) -> None:  # noqa: FBT001
        if stands:
            self.name_account(member)
        else:
            self.give(treasury_commands.BlockPayee(payee=f"member:{member}", reason="fraud"), "theo")

    @rule(
        amounts=st.tuples(st.sampled_from((5, 70, 10_000)), st.sampled_from((5, 70))), upto=st.sampled_from((0, 1, 2, 2, 2)),
        changed=st.booleans(), then=st.sampled_from(("", "give up", *ANSWERS)),
    )  # fmt: skip
    def refund_together(self, amounts: tuple[int, int], upto: int, changed: bool, then: str) -> None:  # noqa: FBT001
        """A round orders a refund of each member as one list; people sign it, give it up, or let it wait."""
        name = f"l{self.fresh()}"
        refunds = tuple(
            ListedRefund(payment=f"{name}-{member}", member=member, amount=amount) for member, amount in zip(MEMBERS, amounts, strict=True)
        )
        self.give(letters.OrderPaymentList(payment_list=name, source=ROUND, currency="USD", ordered_by="tess", refunds=refunds))
        listed = self.kept.lists[name]
        if upto:
            self.sign_list(name, "theo")
        if changed:
            self.give(treasury_commands.BlockPayee(payee=f"member:{MEMBERS[amounts[1] % 2]}", reason="fraud"), "theo")
        if upto == 2:
            self.sign_list(name, "bo")
        if then == "give up":
            self.give(treasury_commands.CancelPaymentList(payment_list=name, reason="no"), "tess")
        for line in listed.lines:
            if then in ANSWERS and self.kept.payments[line.payment].stage == "sending":
                self.answer(line.payment, then)

    @rule(choice=st.integers(0, 50))
    def sign_a_list(self, choice: int) -> None:
        waits = sorted(self.kept.open_lists)
        if waits:
            self.sign_list(waits[choice % len(waits)], "theo", "bo")

    def sign_list(self, name: str, *people: str) -> None:
        for person in people:
            free, before = self.kept.free, self.kept.lists[name].stage
            self.give(treasury_commands.ApprovePaymentList(payment_list=name, digest=self.kept.lists[name].digest), person)
            if before == "ordered" and self.kept.lists[name].stage == "approved":
                assert self.kept.free >= 0 or self.kept.free == free, "never is more paid than is held"

    @rule(choice=st.integers(0, 50))
    def sign_one(self, choice: int) -> None:
        ordered = sorted(name for name, payment in self.kept.payments.items() if payment.stage == "ordered")
        if ordered:
            self.sign(ordered[choice % len(ordered)])

    def sign(self, name: str) -> None:
        payment = self.kept.payments[name]
        digest = payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, stated(PAYEE))
        for person in ("theo", "bo"):
            free = self.kept.balances["USD"] - self.kept.outgoing.get("USD", 0)
            self.give(treasury_commands.ApprovePayment(payment=name, digest=digest), person)
            if self.kept.payments[name].stage == "sending" and payment.stage == "ordered":
                assert payment.amount <= free, "never is more paid than is held"

    @rule(choice=st.integers(0, 50), what=st.sampled_from((*ANSWERS, "shown", "back", "claimed back")))
    def the_bank_answers(self, choice: int, what: str) -> None:
        stages = {"back": {"confirmed"}, "claimed back": {"confirmed"}}.get(what, {"sending", "taken"})
        chosen = sorted(name for name, payment in self.kept.payments.items() if payment.stage in stages)
        if chosen:
            self.answer(chosen[choice % len(chosen)], what)

    def answer(self, name: str, what: str) -> None:
        payment = self.kept.payments[name]
        own = next(key for key, sent in self.kept.sent.items() if sent == (name, payment.attempt))
        step = f"pay:{name}:{payment.attempt}"
        if what == "taken":
            self.give(treasury_steps.PaymentAccepted(step=step, payment=name, attempt=payment.attempt))
        elif what == "rejected":
            self.give(treasury_steps.PaymentRejected(step=step, payment=name, attempt=payment.attempt, reason="no"))
        elif what in {"later no", "unsent"}:
            if what == "unsent":
                self.give(FailStep(step=step, reason="no answer"))
            self.give(treasury_commands.RecordRejection(payment=name, reason="no"), "tess")
        elif what == "unnamed":
            self.write(self.line(payment.amount + 2, side="debit"))
            self.deliver(*self.pages[-1], cut=0)
            self.give(treasury_commands.MatchPayment(line=self.latest(), payment=name, reason="the bank said so"), "tess")
        else:
            side, reversal = ("debit", False) if what.startswith("shown") else ("credit", what == "claimed back")
            for _ in range(2 if what == "shown twice" else 1):
                self.write(self.line(payment.amount, side=side, reversal=reversal, end_to_end_id=own))
                self.deliver(*self.pages[-1], cut=0)

    @rule(choice=st.integers(0, 50), again=st.booleans())
    def mend(self, choice: int, again: bool) -> None:  # noqa: FBT001
        broken = sorted(name for name, payment in self.kept.payments.items() if payment.stage in {"failed", "returned", "ordered"})
        if broken:
            name = broken[choice % len(broken)]
            if (
                self.give(
                    treasury_commands.RetryPayment(payment=name) if again else treasury_commands.CancelPayment(payment=name, reason="no"),
                    "tess",
                )
                and again
            ):
                self.sign(name)

    # ---- the laws

    @invariant()
    def no_money_is_counted_twice_and_none_is_lost(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert all(times == 1 for times in self.ledger.tags.values()), "a movement of the bank counts once"
        doubted = {movement.details.text for movement in self.kept.movements.values() if movement.stage == "doubted"}
        assert self.delivered <= self.ledger.tags.keys() | doubted, "every movement counts, or waits for a person"

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "ledger"):
            return
        books, kept = self.ledger.accounts, self.kept
        assert sum(books.values()) == 0
        assert (
            books["bank"]
            == kept.balances["USD"]
            == sum((line.amount if line.side == "credit" else -line.amount) for line in self.ledger.lines.values())
        )
        assert -books["suspense"] == sum(
            movement.signed for movement in kept.movements.values() if movement.stage in {"unmatched", "returning", "sent-back"}
        )
        assert kept.earmarked.get("USD", 0) == sum(movement.earmarked for movement in kept.movements.values())
        assert kept.outgoing.get("USD", 0) == sum(payment.outgoing for payment in kept.payments.values()) >= 0
        assert set(kept.waiting) == {name for name, movement in kept.movements.items() if movement.waits}

    @invariant()
    def what_is_open_is_what_going_through_everything_finds(self) -> None:
        if not hasattr(self, "ledger"):
            return
        kept = self.kept
        assert set(kept.open_payments) == {
            name for name, payment in kept.payments.items() if payment.stage not in {"confirmed", "cancelled"}
        }
        assert set(kept.proposed) == {name for name, payee in kept.payees.items() if payee.proposed}
        require_pages_as_a_walk_finds_them(kept)

    @invariant()
    def a_list_is_decided_as_a_whole_and_told_of_each_payment_that_it_does_not_make(self) -> None:
        if not hasattr(self, "ledger"):
            return
        kept, told = self.kept, {step.key for step in self.story.known.values()}
        assert set(kept.open_lists) == {name for name, listed in kept.lists.items() if listed.stage == "ordered"}
        for listed in kept.lists.values():
            stages = {line.payment: (kept.payments[line.payment].stage, kept.payments[line.payment].attempt) for line in listed.lines}
            if listed.stage == "ordered":
                assert set(stages.values()) == {("ordered", 1)}
            if listed.stage == "approved":
                assert ("ordered", 1) not in stages.values()
            if listed.stage == "cancelled":
                assert {stage for stage, _ in stages.values()} <= {"cancelled"}
        given_up = {name for name, payment in kept.payments.items() if payment.source and payment.stage == "cancelled"}
        assert {f"tell:release:{name}" for name in given_up} <= told

    @invariant()
    def what_rounds_are_told_is_what_was_matched(self) -> None:
        if not hasattr(self, "ledger"):
            return
        told = Counter(step.key for step in self.story.steps if step.kind == "tell")
        assert all(times == 1 for times in told.values())
        sends = [step for step in self.story.state.owed.values() if step.kind == "send_payment"]
        assert len({step.data["end_to_end_id"] for step in sends}) == len(sends)


FLOOR = {
    "statement_read": 500, "assign_line": 20, "return_line": 10, "book_line": 20, "judge_line": 20, "match_payment": 5, "undo_receipt": 3, "turn_away_payment": 20,
    "order_payment": 50, "approve_payment": 50, "payment_accepted": 10, "payment_rejected": 5, "record_rejection": 5, "retry_payment": 5,
    "cancel_payment": 10, "order_payment_list": 50, "approve_payment_list": 50, "cancel_payment_list": 10, "block_payee": 10,
}  # fmt: skip
"""How often each command must have been accepted, so that the laws were tried on it."""


def test_no_cent_is_counted_or_sent_twice_whatever_the_bank_repeats(*, long: bool) -> None:
    try_laws(Treasuries, accepted, FLOOR, histories=80, steps=40, long=long)


# ---------------------------------------------------------------- pages, as whoever goes through all of them finds them


def walked_gaps(state: Open) -> tuple[str, ...]:
    """What is missing, currency by currency, from all the pages there are."""
    return tuple(gap for currency in sorted({page.currency for page in state.pages.values()}) for gap in gaps_of(state, currency))


def gaps_of(state: Open, currency: str) -> Iterator[str]:
    """Pages that are missing, statements that are missing by their numbers, and balances that do not join."""
    statements: dict[str, list[Page]] = {}
    for page in sorted((page for page in state.pages.values() if page.currency == currency), key=lambda page: page.page):
        statements.setdefault(page.statement, []).append(page)
    for statement, found in sorted(statements.items()):
        missing = [number for number in range(1, found[-1].page) if number not in {page.page for page in found}]
        if missing:
            yield f"statement {statement}: page {missing[0]} is missing"
        elif not found[-1].last:
            yield f"statement {statement}: the pages after {found[-1].page} are missing"
    numbered: dict[int, dict[int, list[Page]]] = {}
    for found in sorted(statements.values(), key=lambda found: (made(found[0]), found[0].statement)):
        closing, created = found[-1].closing, found[0].created_at
        day = closing.on if closing else found[-1].last_day or (created.date() if created else None)
        if day is not None and found[0].sequence is not None:
            numbered.setdefault(day.year, {})[found[0].sequence] = found
    for year, by_number in sorted(numbered.items()):
        for earlier, later in pairwise(sorted(by_number)):
            end, start = by_number[earlier][-1].closing, by_number[later][0].opening
            if later == earlier + 2:
                yield f"{year}: statement {earlier + 1} is missing"
            elif later > earlier + 2:
                yield f"{year}: statements {earlier + 1} to {later - 1} are missing"
            elif end is not None and start is not None and end.amount != start.amount:
                yield f"{year}: statement {later} does not begin with the balance that statement {earlier} ends with"


def made(page: Page) -> float:
    return page.created_at.timestamp() if page.created_at else 0.0


def walked_closing(state: Open) -> tuple[date, int] | None:
    """What the latest statement says, when nothing is missing and nothing is being read."""
    if walked_gaps(state) or any(file.stage == "reading" for file in state.files.values()):
        return None
    return walked_latest(state, state.currency)


def walked_latest(state: Open, currency: str) -> tuple[date, int] | None:
    """What the latest page of a currency says, of all the pages there are."""
    ends = [
        (page.closing.on, page.sequence or 0, made(page), page.closing.amount)
        for page in state.pages.values()
        if page.last and page.closing is not None and page.currency == currency
    ]
    return (max(ends)[0], max(ends)[3]) if ends else None


def walked_editions(state: Open, file: str, page: Page) -> tuple[Place, ...]:
    """Where other files showed a page before, of all that was ever brought under its name or number."""
    slots: list[treasury_state.Slot] = [(page.statement, page.page, page.currency)]
    if page.sequence is not None:
        slots.append((page.sequence, page.page, page.currency))
    return tuple(
        dict.fromkeys(
            Place(other, former.statement, former.page)
            for slot in slots
            for other, former in state.editions.get(slot, ())
            if other != file and may_correct(page, former)
        )
    )


def may_correct(page: Page, former: Page) -> bool:
    """Whether two pages may be of one day."""
    one, other = (each.closing.on if each.closing else each.last_day for each in (page, former))
    return None in {one, other} or one == other


def require_pages_as_a_walk_finds_them(state: Open) -> None:
    """What is kept as pages come is what comes of going through all of them."""
    assert state.gaps == walked_gaps(state)
    assert closing_balance(state) == walked_closing(state)
    for currency in ("USD", "EUR"):
        assert state.statements.latest(currency) == walked_latest(state, currency)
    assert set(state.reading) == {name for name, file in state.files.items() if file.stage == "reading"}
    assert set(state.refused) == {name for name, file in state.files.items() if file.stage == "refused"}
    assert set(state.elsewhere) == {name for name, file in state.files.items() if file.others and not file.ours}


DAYS = (date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1))
balances = st.builds(Balance, amount=st.sampled_from((5, 7)), on=st.sampled_from(DAYS))
pages = st.builds(
    Page, statement=st.sampled_from(("A", "B", "C", "D")), account=st.just(IBAN), currency=st.sampled_from(("USD", "USD", "EUR")),
    page=st.sampled_from((1, 1, 2, 3)), sequence=st.sampled_from((None, 1, 1, 2, 3, 5, 8)), last=st.sampled_from((True, True, True, False)),
    created_at=st.sampled_from((None, day(1), day(2), day(400))), last_day=st.sampled_from((None, *DAYS)),
    opening=st.none() | balances, closing=st.none() | balances,
)  # fmt: skip
chunks = st.tuples(
    st.sampled_from("abcdef"), st.sampled_from(("found", "found", "found", "elsewhere", "refused", "started again")), pages, st.booleans()
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(history=st.lists(chunks, max_size=25))
def test_what_is_kept_of_pages_is_what_going_through_all_of_them_finds(history: list[tuple[str, str, Page, bool]]) -> None:
    state = treasury_state.evolve(
        Unopened(), treasury_events.AccountOpened(iban=IBAN, bic=None, owner="Atlas", currency="USD", opening_balance=0, look_at=day(0))
    )
    assert isinstance(state, Open)
    for name, what, page, finished in history:
        file = hashlib.sha256(name.encode()).hexdigest()
        events: list[treasury_events.TreasuryEvent] = (
            [] if file in state.files and what != "started again" else [treasury_events.ImportStarted(file=file, name="")]
        )
        if what == "refused":
            events.append(treasury_events.ImportRefused(file=file, reason="broken"))
        elif what in {"found", "elsewhere"}:
            events.append(
                treasury_events.ChunkImported(
                    file=file, page=page if what == "found" else None, counted=0, repeated=0, other_accounts=int(what == "elsewhere"),
                    not_booked=0, finished=finished,
                )
            )  # fmt: skip
        for event in events:
            after = treasury_state.evolve(state, event)
            assert isinstance(after, Open)
            state = after
        require_pages_as_a_walk_finds_them(state)
        for file_again in (file, "0" * 64):
            assert treasury_state.former_editions(state, file_again, page) == walked_editions(state, file_again, page)


def test_references_of_other_parts_are_other_references() -> None:
    parts = [("round/a", "b"), ("round/a", "c"), ("round/ab", ""), ("round/a", "b", ""), ("member/a", "b")]
    references = [creditor_reference(*each) for each in parts]
    assert len(set(references)) == len(parts)
    for reference in references:
        assert parse_reference(f" {shown_reference(reference).lower()} ") == reference
        broken = reference[:-1] + ("A" if reference[-1] != "A" else "B")
        try:
            parse_reference(broken)
        except ValueError:
            continue
        raise AssertionError(f"{broken} has wrong check digits")


def test_account_numbers_of_the_registry_have_their_countrys_length() -> None:
    assert parse_iban("gb29 nwbk 6016 1331 9268 19") == "GB29NWBK60161331926819"
    assert all(15 <= length <= 33 for length in IBAN_LENGTHS.values())
