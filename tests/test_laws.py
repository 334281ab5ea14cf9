"""Laws of the whole consortium, under random histories on the virtual clock: members, votes and a round at once.

Whatever people do and repeat in whatever order: the log is one chain and can be decided again byte for byte, books balance
at every entry, nothing happens to a process after its end, a deadline that came does not come again, and a repeat changes
nothing. A floor on what was accepted keeps the histories from being trivial.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.kernel import Event
from domain.process import evolve
from domain.proposal import state as proposal_state
from domain.reference import creditor_reference
from domain.stream import Stream
from domain.treasury.records import Payee
from domain.treasury.terms import payment_digest
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from eventstore.replica import Replica
from simulation.scenario import FOURTEEN, ROUND, SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import everything, problems
from tests.stories import START, charter

pytestmark = pytest.mark.heavy

TREASURY: Final = "treasury/main"
MEMBERS: Final = [organisation.member for organisation in FOURTEEN[:6]]
ENDS: Final = {
    "proposal": {"passed", "executed", "refused", "rejected", "lapsed", "withdrawn"},
    "round": {"settled", "failed", "cancelled", "withdrawn"},
    "member": {"left", "terminated", "expelled", "rejected", "lapsed", "withdrawn"},
}
AFTER_THE_END: Final = {"step_owed", "step_carried_out", "step_failed", "step_delayed", "step_retried", "step_waived", "recipients_unreached", "recipients_reached", "mandate_exercised", "mandate_granted", "mandate_withdrawn",
                        "vote_decided", "commitment_bound", "debt_stated", "credit_stated", "contribution_returned"}  # fmt: skip
"""What may still be stated in the entry that ends a process, or of what it owed."""

SEEDS: Final = st.integers(0, 2**16)

BANK: Final = "bank"
"""In the place of a stream: a member pays into the round's account."""
SIGN: Final = "sign"
"""In the place of a stream: two officers sign every payment that waits for it."""

Action = tuple[str, dict[str, Any], str] | int
"""A command (stream, command, by whom), or so many days that pass; a negative number repeats an earlier command."""


def commands() -> st.SearchStrategy[Action]:
    member = st.sampled_from(MEMBERS)
    millions = st.sampled_from((5, 20, 40, 80, 120)).map(lambda number: number * 1_000_000_00)

    def by_member(build: Callable[[str], dict[str, Any]], stream: str) -> st.SearchStrategy[Action]:
        return member.map(lambda name: (stream, build(name), f"{name}-rep"))

    treasurer: Sequence[st.SearchStrategy[dict[str, Any]]] = (
        st.just({"kind": "call_tranche", "tranche": 1}),
        member.map(lambda name: {"kind": "order_refund", "refund": f"r-{name}", "member": name}),
        st.just({"kind": "settle_round"}),
    )
    return st.one_of(
        st.integers(1, 15),
        st.integers(-5, -1),
        st.builds(lambda name, amount: (ROUND, {"kind": "pledge", "member": name, "amount": amount}, f"{name}-rep"), member, millions),
        st.builds(lambda command: (ROUND, command, "tess"), st.one_of(*treasurer)),
        by_member(lambda name: {"kind": "withdraw_pledge", "member": name}, ROUND),
        by_member(lambda name: {"kind": "cast_ballot", "member": name, "ranking": ["8b", "32b"]}, SIZE),
        by_member(lambda name: {"kind": "cast_ballot", "member": name, "choice": "yes"}, "proposal/expel"),
        by_member(lambda name: {"kind": "cast_ballot", "member": name, "choice": "no"}, "proposal/expel"),
        by_member(lambda name: {"kind": "declare_conflict", "member": name, "reason": "a supplier"}, "proposal/expel"),
        member.map(lambda name: (f"member/{name}", {"kind": "give_notice"}, f"{name}-rep")),
        st.just(
            (
                "proposal/expel",
                {"kind": "propose", "title": "Expel", "motion": {"stream": f"member/{MEMBERS[0]}", "command": {"kind": "expel"}}},
                "sam",
            )
        ),
    )


def money() -> st.SearchStrategy[Action]:
    """What moves money: members pay, also too much and again, refunds are ordered and signed, days pass."""
    member, number = st.sampled_from(MEMBERS), st.integers(1, 40)
    amounts = st.sampled_from((1, 30, 60, 200)).map(lambda millions: millions * 1_000_000_00)
    return st.one_of(
        st.builds(
            lambda name, amount, paid: (BANK, {"member": name, "amount": amount, "paid": f"BANK-{paid}"}, ""), member, amounts, number
        ),
        st.integers(1, 15),
        st.builds(lambda name, refund: (ROUND, {"kind": "order_refund", "refund": f"r-{refund}", "member": name}, "tess"), member, number),
        st.just((ROUND, {"kind": "order_refunds"}, "tess")),
        st.just((SIGN, {}, "")),
        st.integers(-5, -1),
    )


async def history(actions: Sequence[Action], *, funded: bool, seed: int = 0) -> tuple[list[Entry], Counter[str], list[str]]:
    """Plays the founding, then these actions, steps in this seed's order; the log, how often each kind of command was accepted, and where the bank says otherwise."""
    log = MemoryLog()
    simulation = Simulation(START, log, seed=seed)
    story = Story(SimulatedStage(simulation), charter(funding__share_cap=3_000), FOURTEEN[:6])
    await story.found()
    await story.admit()
    await simulation.give(SIZE, {"kind": "propose", "title": "Size?", "decision": "steering", "options": [
        {"id": "8b", "label": "8"}, {"id": "32b", "label": "32"}]}, "lea")  # fmt: skip
    await name_payees(simulation)
    await story._open_round()
    await simulation.advance(simulation.now + timedelta(days=2))
    if funded:
        await fund(simulation)
    accepted: Counter[str] = Counter()
    given_: list[tuple[str, dict[str, Any], str, str]] = []
    for number, action in enumerate(actions):
        if isinstance(action, int):
            if action > 0:
                await simulation.advance(simulation.now + timedelta(days=action))
            elif given_:
                stream, command, by, command_id = given_[action % len(given_)]
                before = await log.head()
                await simulation.give(stream, command, by, command_id)
                assert await log.head() == before, "a repeat changed something"
            continue
        stream, command, by = action
        if stream == BANK:
            reference = creditor_reference(ROUND, command["member"])
            simulation.bank.credit(command["amount"], "USD", reference, command["paid"], command["member"])
            continue
        if stream == SIGN:
            accepted["approve_payment"] += await sign(simulation)
            accepted["approve_payment_list"] += await sign_lists(simulation)
            continue
        command_id = f"00000000-0000-4000-8000-{number:012}"
        recorded = await simulation.give(stream, command, by, command_id)
        given_.append((stream, command, by, command_id))
        accepted[command["kind"]] += recorded.refusal is None
    await simulation.advance(simulation.now + timedelta(days=120))
    return await everything(log), accepted, what_the_bank_says(simulation)


async def fund(simulation: Simulation) -> None:
    """Everybody pledges, the round is committed, and its first tranche called."""
    for member in MEMBERS:
        await simulation.give(ROUND, {"kind": "pledge", "member": member, "amount": 170_000_000_00}, f"{member}-rep")
    await simulation.advance(simulation.now + timedelta(days=15))
    called = await simulation.give(ROUND, {"kind": "call_tranche", "tranche": 1}, "tess")
    assert called.refusal is None


async def sign(simulation: Simulation) -> int:
    """The second signatory and the board sign what is ordered; how many signatures were taken."""
    state = simulation.standing(TREASURY).stream.state
    taken = 0
    for name, payment in state.payments.items():
        details = state.payees.get(payment.payee, Payee()).account_digest
        if payment.stage == "ordered" and details:
            digest = payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, details)
            for person in ("theo", "bo"):
                signed = await simulation.give(TREASURY, {"kind": "approve_payment", "payment": name, "digest": digest}, person)
                taken += signed.refusal is None
    return taken


async def sign_lists(simulation: Simulation) -> int:
    """The second signatory and the board sign every list that waits; how many signatures were taken."""
    state = simulation.standing(TREASURY).stream.state
    taken = 0
    for name in state.open_lists:
        for person in ("theo", "bo"):
            approve = {"kind": "approve_payment_list", "payment_list": name, "digest": state.lists[name].digest}
            taken += (await simulation.give(TREASURY, approve, person)).refusal is None
    return taken


async def name_payees(simulation: Simulation) -> None:
    """Every member's own account is named and approved."""
    for member in MEMBERS:
        payee = f"member:{member}"
        await simulation.give(
            TREASURY, {"kind": "name_payee", "payee": payee, "name": member, "iban": "DE89370400440532013000"}, f"{member}-rep"
        )
        proposed = simulation.standing(TREASURY).stream.state.payees[payee].proposed
        await simulation.give(TREASURY, {"kind": "approve_payee", "payee": payee, "details": proposed.details}, "theo")


def what_the_bank_says(simulation: Simulation) -> list[str]:
    """Where the treasury's books differ from the bank: in the balance, or in a payment made twice or never approved."""
    state = simulation.standing(TREASURY).stream.state
    found = [] if state.balances["USD"] == simulation.bank.balance else ["the balances differ"]
    orders = [(order.payment, order.attempt) for order in simulation.bank.orders]
    approved = set(state.sent.values())
    return found + [
        f"{order} was made {orders.count(order)} times" for order in set(orders) if orders.count(order) > 1 or order not in approved
    ]


def after_the_end(entries: Sequence[Entry]) -> list[str]:
    """What happened to processes after their end."""
    replica, states, ended, found = Replica(), dict[str, Stream[Any]](), set[str](), list[str]()
    for entry in entries:
        process = replica.process_of(entry.stream)
        events: Sequence[Event] = replica.events_of(process, entry)
        if entry.stream in ended:
            found += [f"{entry.position}: {event.kind} on {entry.stream}" for event in events if event.kind not in AFTER_THE_END]
        state = states.get(entry.stream, Stream(process.initial))
        for event in events:
            state = evolve(process, state, event)
        states[entry.stream] = state
        if process.describe(state.state).phase in ENDS.get(process.name, set()):
            ended.add(entry.stream)
    return found


def test_the_laws_hold_under_every_history(*, long: bool) -> None:
    total: Counter[str] = Counter()
    examples = 400 if long else 20

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(st.lists(commands(), min_size=10, max_size=60), SEEDS)
    def laws(actions: list[Action], seed: int) -> None:
        entries, accepted, differences = asyncio.run(history(actions, funded=False, seed=seed))
        total.update(accepted)
        assert problems(entries) == []
        assert after_the_end(entries) == []
        assert differences == []

    laws()
    for kind in ("pledge", "cast_ballot", "give_notice", "propose", "withdraw_pledge"):
        assert total[kind] >= max(examples // 20, 1), f"{kind} was hardly ever accepted: {total}"


def test_a_planted_bug_in_the_count_is_found_on_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_state, "_uncounted", lambda state, seat: state.tally)
    motion = {"stream": f"member/{MEMBERS[0]}", "command": {"kind": "expel"}}
    actions: list[Action] = [("proposal/expel", {"kind": "propose", "title": "Expel", "motion": motion}, "sam")]
    actions += [
        ("proposal/expel", {"kind": "cast_ballot", "member": MEMBERS[1], "choice": choice}, f"{MEMBERS[1]}-rep") for choice in ("yes", "no")
    ]
    entries, _, _ = asyncio.run(history(actions, funded=False))
    found = problems(entries)
    assert found
    assert all("each seat counts once" in problem for problem in found)


def test_the_round_the_treasury_and_the_bank_agree_under_every_history_of_money(*, long: bool) -> None:
    total: Counter[str] = Counter()
    examples = 200 if long else 10

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(st.lists(money(), min_size=20, max_size=60), SEEDS)
    def laws(actions: list[Action], seed: int) -> None:
        entries, accepted, differences = asyncio.run(history(actions, funded=True, seed=seed))
        total.update(accepted)
        assert problems(entries) == []
        assert differences == []

    laws()
    for kind in ("order_refund", "approve_payment", "order_refunds", "approve_payment_list"):
        assert total[kind] >= max(examples // 20, 1), f"{kind} was hardly ever accepted: {total}"
