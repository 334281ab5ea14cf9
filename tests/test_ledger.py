"""The ledger: every fact that moves money is one balanced booking, the books say what the processes say, and two accounting programs accept them.

| test | tries |
| --- | --- |
| places | every process keeps books or has a reason to keep none; the tables name every fact that moves money |
| the table | each fact alone, and its reverse |
| the story, histories of 200 steps, a treasury whose bank repeats and reorders | the books against every process's own figures; `bean-check`, `hledger check --strict` |
| texts | what members write reaches neither program |
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.ledger.books import Booking, in_transit, unmatched
from audit.ledger.export import beancount, hledger
from audit.ledger.fold import BOOKKEEPERS, OWN_NO_MONEY, Ledger, ledger
from audit.ledger.treasury import bank
from cli.demo import judged, require_accepted
from cli.failures import Broken
from domain.catalog import CATALOG
from domain.kernel import Command, Event, Message, process_of
from domain.letters import Purpose
from domain.member import events as member_events
from domain.money import Minor
from domain.process import Process
from domain.reference import BankReference
from domain.register.facts import CharterAdopted
from domain.round import events as round_events
from domain.round.state import books_of
from domain.round.terms import BudgetLine, Settlement, Terms, Tranche
from domain.stream import StepOwed
from domain.treasury import events as treasury_events
from domain.treasury.payers import Receiver
from domain.treasury.state import Open
from domain.treasury.terms import Line, LineId, Unmatched, line_id
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from eventstore.replica import Replica
from simulation.scenario import FOURTEEN, GOAL
from simulation.scenario import ROUND as ATLAS_ROUND
from tests import golden
from tests.luck import play
from tests.stipend import STIPEND, StipendPaid
from tests.stories import START, charter
from tests.test_laws import Action, commands, history, money
from tests.test_scenario import played
from tests.test_treasury_laws import Treasuries

DAY: Final = date(2026, 11, 2)
A, B = line_id("a" * 64), line_id("b" * 64)
ROUND: Final = "round/r"
BEAN_CHECK: Final = Path(sys.executable).parent / "bean-check"

# ---------------------------------------------------------------- the two programs


def accepted_by_others(bookings: Sequence[Booking], folder: Path) -> None:
    """Both programs find nothing to object to; where one is not installed, the other judges. Where `CI` is set, both must be there."""
    programs: Mapping[str, tuple[Sequence[str], str]] = {
        "bean-check": ([str(BEAN_CHECK), str(folder / "books.beancount")], beancount(bookings)),
        "hledger": (["hledger", "-f", str(folder / "books.journal"), "check", "--strict", "ordereddates"], hledger(bookings)),
    }
    found = [name for name, (command, _) in programs.items() if shutil.which(command[0])]
    assert len(found) == len(programs) or not os.environ.get("CI"), f"only {found} can judge the books"
    if not found:
        pytest.skip("neither bean-check nor hledger is installed")
    (folder / "books.beancount").write_text(programs["bean-check"][1], encoding="utf-8")
    (folder / "books.journal").write_text(programs["hledger"][1], encoding="utf-8")
    for name in found:
        run = subprocess.run(programs[name][0], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout + run.stderr) == (0, ""), f"{name}: {(run.stdout + run.stderr)[:2_000]}"


# ---------------------------------------------------------------- each fact alone


def booked(line: str, amount: int, side: str = "credit", **fields: Any) -> treasury_events.LineBooked:
    details: dict[str, Any] = {"booked_on": DAY, "value_date": DAY, "amount": amount, "currency": "USD", "side": side}
    return treasury_events.LineBooked(
        line=line, details=Line(**details | fields), key="a" * 64, likeness="b" * 64, file="c" * 64, statement="S", page=1
    )


def matched(line: str, amount: int, stream: str = ROUND) -> treasury_events.LineMatched:
    return treasury_events.LineMatched(line=line, stream=stream, member="m", amount=amount, currency="USD", value_date=DAY, attempt=1)


def turned_away(line: str, amount: int, side: Any = "credit") -> treasury_events.LineUnmatched:
    return treasury_events.LineUnmatched(line=line, amount=amount, currency="USD", side=side, reason=Unmatched.TURNED_AWAY, stream=ROUND)


def paid_out(kind: Any, purpose: Purpose, source: str | None, line: str = B, **fields: Any) -> Event:
    event: Event = kind(
        payment="p", attempt=1, line=line, source=source, payee="cloud", purpose=purpose, subject=None, amount=70, currency="USD",
        value_date=DAY, **fields,
    )  # fmt: skip
    return event


def settled(principal: int, interest: int = 0) -> tuple[Settlement, ...]:
    return (Settlement(call=1, pool=1, principal=principal, interest=interest),)


OPENED = treasury_events.AccountOpened(iban="CH9300762011623852957", owner="Atlas", currency="USD", opening_balance=500, look_at=START)
TERMS = Terms(
    title="R", currency="USD", goal=1_000, minimum=800, opens_at=START, closes_at=START + timedelta(days=1),
    budget=(BudgetLine(name="compute", amount=1_000),), tranches=(Tranche(name="all", fraction=10_000),),
)  # fmt: skip
PAID = round_events.PaymentRecorded(member="m", amount=100, reference=A, value_date=DAY, settled=settled(60, 5), dues=(), credited=35)
ORDERED = round_events.RefundOrdered(payment="f", member="m", amount=20)

BANK, SUSPENSE, TRANSIT = bank("main"), unmatched("main"), in_transit(ROUND)
SET_OFF = "Liabilities:Set-off:M"
PAID_IN, CREDIT, REFUNDS, INTEREST = "Income:Rounds:R:M", "Liabilities:Credit:M:R", "Liabilities:Refunds:M:R", "Liabilities:Interest:R"

TREASURY: Final[Sequence[tuple[str, Sequence[Event], Mapping[str, int]]]] = (
    ("an account begins with what was on it", (OPENED,), {BANK: 500, "Equity:Opening": -500}),
    ("money that arrives is in suspense", (booked(A, 100),), {BANK: 100, SUSPENSE: -100}),
    ("money that leaves is in suspense", (booked(A, 100, "debit"),), {BANK: -100, SUSPENSE: 100}),
    ("matched money is on its way to its stream", (booked(A, 100), matched(A, 100)), {BANK: 100, TRANSIT: -100}),
    ("turned away it waits again", (booked(A, 100), matched(A, 100), turned_away(A, 100)), {BANK: 100, SUSPENSE: -100}),
    (
        "turned away by one and assigned to another", (booked(A, 100), matched(A, 100), turned_away(A, 100), matched(A, 100, "member/m")),
        {BANK: 100, in_transit("member/m"): -100},
    ),
    (
        "a matched credit that is taken back is asked of its stream",
        (booked(A, 9), matched(A, 9), booked(B, 9, "debit"), treasury_events.ReceiptReversed(line=B, original=A, amount=9, currency="USD", stream=ROUND)), {},
    ),
    (
        "that cannot undo it: the money is missing",
        (
            booked(A, 9), matched(A, 9), booked(B, 9, "debit"),
            treasury_events.ReceiptReversed(line=B, original=A, amount=9, currency="USD", stream=ROUND), turned_away(B, 9, "debit"),
        ),
        {TRANSIT: -9, SUSPENSE: 9},
    ),
    (
        "an unmatched credit that is taken back is gone",
        (booked(A, 9), booked(B, 9, "debit"), treasury_events.ReceiptReversed(line=B, original=A, amount=9, currency="USD")), {},
    ),
    (
        "a bank's charge",
        (booked(A, 3, "debit"), treasury_events.LineExplained(line=A, amount=3, currency="USD", side="debit", account="bank-charges", by="tess", reason="fee")),
        {BANK: -3, "Expenses:Bank:Charges": 3},
    ),
    (
        "a bank's interest",
        (booked(A, 3), treasury_events.LineExplained(line=A, amount=3, currency="USD", side="credit", account="bank-interest", by="tess", reason="")),
        {BANK: 3, "Income:Bank:Interest": -3},
    ),
    (
        "money of another kind",
        (booked(A, 3), treasury_events.LineExplained(line=A, amount=3, currency="USD", side="credit", account="other", by="tess", reason="gift")),
        {BANK: 3, "Income:Other": -3},
    ),
    ("a payment for a round", (booked(B, 70, "debit"), paid_out(treasury_events.PaymentConfirmed, Purpose.SPENDING, ROUND)), {BANK: -70, TRANSIT: 70}),
    (
        "that came back", (booked(B, 70, "debit"), paid_out(treasury_events.PaymentConfirmed, Purpose.SPENDING, ROUND), booked(A, 70),
        paid_out(treasury_events.PaymentReturned, Purpose.SPENDING, ROUND, A)), {},
    ),
    (
        "of which the bank kept something both ways",
        (
            booked(B, 75, "debit"), paid_out(treasury_events.PaymentConfirmed, Purpose.SPENDING, ROUND, charges=5), booked(A, 68),
            paid_out(treasury_events.PaymentReturned, Purpose.SPENDING, ROUND, A, charges=2),
        ),
        {BANK: -7, "Expenses:Bank:Charges": 7},
    ),
    ("a payment of our own", (booked(B, 70, "debit"), paid_out(treasury_events.PaymentConfirmed, Purpose.OTHER, None)), {BANK: -70, "Expenses:Other": 70}),
    ("money sent back to its unknown payer", (booked(A, 70), booked(B, 70, "debit"), paid_out(treasury_events.PaymentConfirmed, Purpose.RETURN, None)), {}),
)  # fmt: skip

ROUNDS: Final[Sequence[tuple[str, Sequence[Event], Mapping[str, int]]]] = (
    ("a member's payment", (PAID,), {TRANSIT: 100, PAID_IN: -60, INTEREST: -5, CREDIT: -35}),
    ("credit pays a call", (PAID, round_events.CreditApplied(member="m", settled=settled(30, 1), dues=())), {TRANSIT: 100, PAID_IN: -90, INTEREST: -6, CREDIT: -4}),
    (
        "a payment taken back",
        (PAID, round_events.PaymentReversed(member="m", amount=95, reference=B, original=A, credit=35, uncleared=60)), {TRANSIT: 5, INTEREST: -5},
    ),
    (
        "a payment whose credit had gone back is taken back",
        (PAID, round_events.RefundMade(member="m", amount=35, reference=B), round_events.PaymentReversed(member="m", amount=100, reference="C", original=A, credit=0, uncleared=60, interest=5, gone_back=35)),
        {TRANSIT: -35, PAID_IN: 35},
    ),
    ("interest is shared", (PAID, round_events.InterestShared(call=1, credits={"n": 3, "m": 2})), {TRANSIT: 100, PAID_IN: -60, CREDIT: -37, "Liabilities:Credit:N:R": -3}),
    (
        "what was made up comes back",
        (PAID, round_events.MakeUpReduced(pool=1, filled=10, repaid={"m": (Settlement(call=2, pool=1, principal=10),)})),
        {TRANSIT: 100, PAID_IN: -50, INTEREST: -5, CREDIT: -45},
    ),
    (
        "a delivery in kind", (round_events.InKindAccepted(member="m", evidence="a" * 64, by="theo", value=40, settled=(), dues=()),),
        {"Income:In-kind:R:M": -40, "Expenses:In-kind:R": 40},
    ),
    (
        "a spending",
        (round_events.SpendingProposed(spending="s", line="compute", amount=70, payee="cloud", by="tess"), round_events.SpendingPaid(spending="s", reference=A)),
        {TRANSIT: -70, "Expenses:Rounds:R:Compute": 70},
    ),
    (
        "that came back",
        (
            round_events.SpendingProposed(spending="s", line="compute", amount=70, payee="cloud", by="tess"), round_events.SpendingPaid(spending="s", reference=A),
            round_events.SpendingReturned(spending="s", reference=B),
        ),
        {},
    ),
    ("a round is settled", (PAID, round_events.RoundSettled(returns={"m": 60})), {TRANSIT: 100, INTEREST: -5, CREDIT: -95}),
    ("a round is cancelled", (PAID, round_events.RoundCancelled(cause="decision", returns={"m": 60})), {TRANSIT: 100, INTEREST: -5, CREDIT: -95}),
    ("a surplus comes late", (PAID, round_events.SurplusReturned(returns={"m": 10})), {TRANSIT: 100, PAID_IN: -50, INTEREST: -5, CREDIT: -45}),
    ("a refund is ordered", (PAID, ORDERED), {TRANSIT: 100, PAID_IN: -60, INTEREST: -5, CREDIT: -15, REFUNDS: -20}),
    ("and made", (PAID, ORDERED, round_events.RefundMade(member="m", amount=20, reference=B, payment="f")), {TRANSIT: 80, PAID_IN: -60, INTEREST: -5, CREDIT: -15}),
    ("made without an order", (PAID, round_events.RefundMade(member="m", amount=20, reference=B)), {TRANSIT: 80, PAID_IN: -60, INTEREST: -5, CREDIT: -15}),
    (
        "and came back",
        (PAID, ORDERED, round_events.RefundMade(member="m", amount=20, reference=B, payment="f"), round_events.RefundReturned(payment="f", member="m", amount=20, reference=A)),
        {TRANSIT: 100, PAID_IN: -60, INTEREST: -5, CREDIT: -15, REFUNDS: -20},
    ),
    (
        "credit is set off", (PAID, round_events.CreditSetOff(member="m", debtor="member/m", number=1, amount=30)),
        {TRANSIT: 100, PAID_IN: -60, INTEREST: -5, CREDIT: -5, SET_OFF: -30},
    ),
    (
        "and some of it comes back",
        (
            PAID, round_events.CreditSetOff(member="m", debtor="member/m", number=1, amount=30),
            round_events.CreditRestored(member="m", debtor="member/m", number=1, amount=10),
        ),
        {TRANSIT: 100, PAID_IN: -60, INTEREST: -5, CREDIT: -15, SET_OFF: -20},
    ),
    ("or given up", (PAID, ORDERED, round_events.RefundReleased(payment="f", member="m", amount=20)), {TRANSIT: 100, PAID_IN: -60, INTEREST: -5, CREDIT: -35}),
)  # fmt: skip

DUES_PAID = member_events.DuesPaid(amount=100, reference=A, value_date=DAY, settled={"1": 70}, credit=30)
OF_MEMBER, OWED_TO_MEMBER, DUES = in_transit("member/m"), "Liabilities:Credit:M:Dues", "Income:Dues:M"

MEMBERS: Final[Sequence[tuple[str, Sequence[Event], Mapping[str, int]]]] = (
    ("dues, paid too much", (DUES_PAID,), {OF_MEMBER: 100, DUES: -70, OWED_TO_MEMBER: -30}),
    (
        "the next year's, from what was left",
        (DUES_PAID, member_events.DuesInvoiced(number=2, tier="founding", amount=70, credit_used=30, due_at=START, next_at=START)),
        {OF_MEMBER: 100, DUES: -100},
    ),
    (
        "dues that are set off",
        (member_events.DuesSetOff(number=1, source=ROUND, amount=20, settled={"1": 20}, excess=10),), {DUES: -20, SET_OFF: 20},
    ),
    (
        "dues taken back",
        (DUES_PAID, member_events.DuesReversed(amount=100, reference=B, original=A, credit=0, reopened=70, number=1, due_at=START)), {},
    ),
)  # fmt: skip

STORIES: Final = {"treasury": TREASURY, "round": ROUNDS, "member": MEMBERS}
STREAMS: Final = {"treasury": "treasury/main", "round": ROUND, "member": "member/m"}
TABLE = [(STREAMS[process], *row) for process, rows in STORIES.items() for row in rows]


@pytest.mark.parametrize(("stream", "name", "events", "expected"), TABLE, ids=[f"{row[0].partition('/')[0]}: {row[1]}" for row in TABLE])
def test_each_fact_is_booked(stream: str, name: str, events: Sequence[Event], expected: Mapping[str, int]) -> None:
    books = Ledger()
    books.note(1, DAY, "consortium/c", [CharterAdopted(version=1, charter=charter())])
    books.note(2, DAY, ROUND, [round_events.RoundOpened(terms=TERMS, charter_version=1)])
    books.note(3, DAY, stream, events)
    assert books.balances == {(account, "USD"): amount for account, amount in sorted(expected.items())}, name


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("treasury/main", (booked(A, 100), matched(A, 99))),
        ("treasury/main", (booked(B, 71, "debit"), paid_out(treasury_events.PaymentConfirmed, Purpose.SPENDING, ROUND))),
        (ROUND, (PAID.model_copy(update={"credited": 34}),)),
        (ROUND, (PAID, round_events.PaymentReversed(member="m", amount=95, reference=B, original=A, credit=35, uncleared=59))),
    ],
)
def test_a_fact_that_loses_a_cent_is_not_booked(stream: str, events: Sequence[Event]) -> None:
    books = Ledger()
    books.note(1, DAY, ROUND, [round_events.RoundOpened(terms=TERMS, charter_version=1)])
    with pytest.raises(AssertionError, match="takes as much as it gives"):
        books.note(2, DAY, stream, events)


# ---------------------------------------------------------------- places


def holds(message: type[Message], *aliases: Any) -> bool:
    """Whether one of these annotated types stands anywhere in a message's fields."""
    sought, met = [get_args(alias)[1:] for alias in aliases], set[Any]()

    def found(hint: Any) -> bool:
        if isinstance(hint, type) and issubclass(hint, Message):
            if hint in met:
                return False
            met.add(hint)
            return any(map(found, get_type_hints(hint, include_extras=True).values()))
        if get_origin(hint) is Annotated and any(all(part in hint.__metadata__ for part in parts) for parts in sought):
            return True
        return any(map(found, get_args(hint)))

    return found(message)


def owns_money(process: Process[Any, Any, Any]) -> bool:
    """Whether its messages hold amounts, and name movements on the treasury's account: then money passes between the two."""
    messages: list[type[Message]] = [*golden.kinds(process), *golden.command_kinds(process)]
    return any(holds(each, Minor) for each in messages) and any(holds(each, BankReference, LineId) for each in messages)


def without_place(catalog: Mapping[str, Process[Any, Any, Any]]) -> Mapping[str, str]:
    """What is wrong with the ledger's tables, by process."""
    found: dict[str, str] = {}
    for name, process in catalog.items():
        if (name in BOOKKEEPERS) == bool(OWN_NO_MONEY.get(name)):
            found[name] = "has a bookkeeper, or a reason to have none"
        elif owns_money(process) != (name in BOOKKEEPERS):
            found[name] = "owns money by its messages, and has no bookkeeper" if owns_money(process) else "owns no money by its messages"
    return found


def test_every_process_keeps_books_or_has_a_reason_to_keep_none() -> None:
    assert without_place(CATALOG) == {}
    assert set(BOOKKEEPERS) | set(OWN_NO_MONEY) == set(CATALOG)
    assert set(Receiver) <= set(BOOKKEEPERS), "who gets money has some"


def test_a_new_process_that_pays_through_the_treasury_is_named_until_it_keeps_books(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = {**CATALOG, "stipend": STIPEND}
    assert set(without_place(grown)) == {"stipend"}
    with pytest.raises(AssertionError, match="'stipend' has no place in the ledger"):
        Ledger().note(1, DAY, "stipend/s", [StipendPaid(reference=A)])
    monkeypatch.setitem(OWN_NO_MONEY, "stipend", "somebody says so")
    assert without_place(grown) == {"stipend": "owns money by its messages, and has no bookkeeper"}


@pytest.mark.parametrize("name", BOOKKEEPERS)
def test_the_tables_of_the_ledger_name_every_fact_that_moves_money_and_no_other(name: str) -> None:
    place: Any = sys.modules[BOOKKEEPERS[name].__module__]
    still = {golden.kind_of(kind) for kind in get_args(place.MovesNothing)}
    moving = {golden.kind_of(kind) for kind in golden.kinds(CATALOG[name])} - still
    rows = [line.split("|")[1] for line in place.__doc__.splitlines() if line.startswith("| ") and not line.startswith(("| fact", "| ---"))]
    assert {kind for row in rows for kind in re.findall(r"[a-z]+(?:_[a-z]+)+", row)} == moving
    booked_in_stories: set[str] = set()
    for _, events, _ in STORIES[name]:
        books = Ledger()
        books.note(1, DAY, ROUND, [round_events.RoundOpened(terms=TERMS, charter_version=1)])
        booked_in_stories |= {booking.fact for booking in books.note(2, DAY, STREAMS[name], events)}
    assert booked_in_stories == moving


# ---------------------------------------------------------------- whole histories


def differences(books: Ledger, entries: Sequence[Entry]) -> list[str]:
    """Where the books say something else than the processes themselves."""
    of_stream: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_stream[entry.stream].append(entry)
    replica = Replica()
    states = {stream: replica.fold(stream, mine) for stream, mine in of_stream.items()}
    at_rest = not any(state.owed or state.failed for state in states.values())
    found: list[str] = []
    for stream, state in states.items():
        name = stream.partition("/")[2]
        match process_of(stream):
            case "treasury":
                found += _treasury(books, name, state.state)
            case "round":
                found += _round(books, name, state.state)
            case "member":
                kept = getattr(getattr(state.state, "dues", None), "credit", None)
                if kept is not None and books.balance(f"Liabilities:Credit:{_part(name)}:Dues", "USD") != -kept:
                    found.append(f"{stream}: the credit of dues")
            case _:
                pass
        if at_rest and books.balance(in_transit(stream), "USD"):
            found.append(f"{stream}: {books.balance(in_transit(stream), 'USD')} is in transit")
    if sum(books.balances.values()):
        found.append("the books do not balance")
    return found


def _part(name: str) -> str:
    return name[0].upper() + name[1:]


def _treasury(books: Ledger, name: str, state: object) -> list[str]:
    if not isinstance(state, Open):
        return []
    suspense = sum(each.signed for each in state.movements.values() if each.stage in {"unmatched", "returning", "sent-back"})
    sent_back = sum(each.amount for each in state.payments.values() if each.purpose is Purpose.RETURN and each.stage == "confirmed")
    found = [f"the bank in {currency}" for currency, kept in state.balances.items() if books.balance(bank(name), currency) != kept]
    return found + ([] if -books.balance(unmatched(name), "USD") == suspense - sent_back else ["what is unmatched"])


def _round(books: Ledger, name: str, state: Any) -> list[str]:
    kept = books_of(state)
    if kept is None:
        return []
    totals, round_ = kept.totals, _part(name)
    figures = {
        f"Income:Rounds:{round_}": totals.returned - totals.cash,
        f"Liabilities:Interest:{round_}": totals.earned - totals.interest,
        f"Expenses:Rounds:{round_}": kept.spent,
        f"Income:In-kind:{round_}": -totals.in_kind,
    }
    for member, account in kept.accounts.items():
        figures[f"Liabilities:Credit:{_part(member)}:{round_}"] = -account.figures.credit
        figures[f"Liabilities:Refunds:{_part(member)}:{round_}"] = -account.figures.refunding
        figures[f"Income:Rounds:{round_}:{_part(member)}"] = account.figures.returned - account.figures.cash
    return [
        f"{account}: {books.balance(account, 'USD')}, not {kept}"
        for account, kept in figures.items()
        if books.balance(account, "USD") != kept
    ]


def folded(entries: Sequence[Entry]) -> Ledger:
    """The books, each entry balanced on its own."""
    books, replica = Ledger(), Replica()
    for entry in entries:
        added = books.take(entry, replica.events_of(replica.process_of(entry.stream), entry))
        assert sum(posting.amount for booking in added for posting in booking.postings) == 0
    return books


async def test_the_storys_books_say_what_the_processes_say_and_others_accept_them(tmp_path: Path) -> None:
    _, log = await played()
    books = await ledger(log)
    assert differences(books, await log.read(0, 100_000)) == []
    assert books.balance("Income:Rounds:Atlas-1", "USD") < -GOAL // 5
    assert len({account for account, _ in books.balances if account.startswith("Income:Dues")}) == len(FOURTEEN)
    accepted_by_others(books.bookings, tmp_path)


async def test_the_books_as_of_a_position_are_those_of_the_log_up_to_there() -> None:
    _, log = await played()
    head = await log.head()
    whole, half = await ledger(log), await ledger(log, head.position // 2)
    assert half.position == head.position // 2
    assert list(half.bookings) == [booking for booking in whole.bookings if booking.position <= half.position]
    assert (await ledger(MemoryLog())).bookings == []


def spendings() -> st.SearchStrategy[Action]:
    """Money of the round is proposed for a payee, and signed."""
    number, amount = st.integers(1, 9), st.sampled_from((1, 7, 40)).map(lambda millions: millions * 1_000_000_00)
    payee = f"member:{FOURTEEN[0].member}"

    def proposed(spending: int, line: str, much: int) -> Action:
        fields = {"spending": f"s-{spending}", "line": line, "amount": much, "payee": payee}
        return (ATLAS_ROUND, {"kind": "propose_spending"} | fields, "tess")

    return st.one_of(
        st.builds(proposed, number, st.sampled_from(("compute", "data", "evaluation and release")), amount),
        number.map(lambda spending: (ATLAS_ROUND, {"kind": "approve_spending", "spending": f"s-{spending}"}, "theo")),
    )


@pytest.mark.parametrize("funded", [False, True], ids=["anything", "money"])
def test_the_books_balance_under_every_history(tmp_path: Path, *, funded: bool, long: bool) -> None:
    examples, steps = (50, 200) if long else (4, 50)
    facts: set[str] = set()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(st.lists(st.one_of(money(), money(), spendings()) if funded else commands(), min_size=steps, max_size=steps))
    def laws(actions: list[Action]) -> None:
        entries, _, _ = asyncio.run(history(actions, funded=funded))
        books = folded(entries)
        facts.update(booking.fact for booking in books.bookings)
        assert differences(books, entries) == []
        accepted_by_others(books.bookings, tmp_path)

    laws()
    moved = {"payment_recorded", "spending_paid", "refund_ordered", "refund_made"} if funded else set()
    assert facts >= {"line_booked", "line_matched", "dues_paid"} | moved, "the histories tried too little"


class Kept(Treasuries):
    """The treasury whose bank repeats and reorders, with the books kept beside it."""

    folder: Path

    def give(self, command: Command, by: str = "service") -> bool:
        before = self.story if hasattr(self, "story") else None
        given = super().give(command, by)
        if not hasattr(self, "books"):
            self.books = Ledger()
            self.books.note(1, DAY, "consortium/c", [CharterAdopted(version=1, charter=charter())])
        if self.story is not before:
            events = [event for event in self.story.answer if not isinstance(event, StepOwed)]
            self.books.note(self.books.position + 1, DAY, "treasury/main", events)
        return given

    def teardown(self) -> None:
        if hasattr(self, "books"):
            assert _treasury(self.books, "main", self.kept) == []
            assert sum(self.books.balances.values()) == 0
            accepted_by_others(self.books.bookings, self.folder)


def test_the_books_of_a_treasury_balance_whatever_its_bank_repeats(tmp_path: Path, *, long: bool) -> None:
    Kept.folder = tmp_path
    play(Kept, histories=40 if long else 5, steps=200 if long else 40)


# ---------------------------------------------------------------- texts


NASTY = (
    '" ; } option "plugin" "x',
    "2026-01-01 open Assets:Evil",
    "| = {1} @ 2 USD",
    "\\",
    "ひみつ\n\t2026-01-01 * evil",
    "=1+1",
    "~ monthly",
    "; tag: x",
)


def test_what_members_write_is_text_to_both_programs(tmp_path: Path) -> None:
    books = Ledger()
    books.note(1, DAY, "consortium/c", [CharterAdopted(version=1, charter=charter())])
    for number, text in enumerate(NASTY, 2):
        line = line_id(f"{number:064x}")
        reason = treasury_events.LineExplained(
            line=line, amount=number, currency="USD", side="credit", account="other", by="tess", reason=text
        )
        books.note(number, DAY, "treasury/main", [booked(line, number, text=text.replace("\n", " "), counterparty=text[:100]), reason])
    accepted_by_others(books.bookings, tmp_path)
    assert books.balance("Income:Other", "USD") == -sum(range(2, len(NASTY) + 2))


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30), min_size=2, max_size=6, unique=True))
def test_budget_lines_in_any_script_have_accounts_of_their_own(names: list[str]) -> None:
    books = Ledger()
    books.note(1, DAY, "consortium/c", [CharterAdopted(version=1, charter=charter())])
    for number, name in enumerate(names, 2):
        proposed = round_events.SpendingProposed(spending=f"s{number}", line=name, amount=number, payee="cloud", by="tess")
        books.note(number, DAY, ROUND, [proposed, round_events.SpendingPaid(spending=f"s{number}", reference=f"B{number}")])
    accounts = [account for account, _ in books.balances if account.startswith("Expenses:")]
    assert len(accounts) == len(names)
    assert all(account.isascii() and " " not in account for account in accounts)


def test_currencies_have_their_own_places_in_both_books(tmp_path: Path) -> None:
    books = Ledger()
    for number, (currency, amount) in enumerate((("JPY", 1_234), ("KWD", 1_234), ("USD", 10**15)), 1):
        books.note(number, DAY, "treasury/main", [booked(line_id(f"{number:064x}"), amount, currency=currency)])
    text = beancount(books.bookings)
    assert "1234 JPY" in text
    assert "1.234 KWD" in text
    assert "10000000000000.00 USD" in text
    accepted_by_others(books.bookings, tmp_path)


def test_the_demonstration_says_what_the_programs_say_of_its_books_and_fails_when_one_refuses_them(tmp_path: Path) -> None:
    books = Ledger()
    books.note(1, DAY, "treasury/main", [OPENED, booked(A, 100)])
    said = judged(books.bookings, tmp_path)
    assert set(said.values()) <= {"accepts the books"}
    assert "bean-check" in said
    crooked = replace(books.bookings[0], postings=books.bookings[0].postings[:1])
    refused = judged([crooked], tmp_path)
    assert all(verdict.startswith("refuses the books: ") for verdict in refused.values())
    require_accepted(said)
    with pytest.raises(Broken, match="refuses the books"):
        require_accepted(refused)


def test_books_without_money_are_accepted_too(tmp_path: Path) -> None:
    accepted_by_others((), tmp_path)
