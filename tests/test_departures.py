"""People depart at any moment, and nobody's departure leaves anything without a holder or a date.

A history is cut off after any of its entries, whatever is under way there. From then on some people never say a word again; the others do
their duty every month: members pay what they owe, officers order, sign and close. Ten years later everything that was begun has ended, is
on a list of debts, or has a date.

| who is left | what they do |
| --- | --- |
| a member's representative | pays dues and calls when the bill is there |
| the treasurer | ends rounds that have nothing more to call, and orders refunds |
| two signatories | sign what was ordered |
| the secretariat | closes runs that are over |
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final

import pytest

from bench.years import Years
from domain.catalog import CATALOG
from domain.kernel import process_of
from domain.member import process as member_process
from domain.member.state import Active, Leaving, Paying
from domain.reference import creditor_reference
from domain.round.state import books_of
from domain.treasury.records import Payee
from domain.treasury.terms import payment_digest
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from simulation.outlook import CONSORTIUM, Undated, look_ahead, obligations
from simulation.scenario import FOURTEEN, OFFICERS, Story, owing
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import everything, problems
from tests.stories import START, charter

pytestmark = pytest.mark.heavy

MOMENTS: Final = 12
LONG: Final = 1_000
MONTH: Final = timedelta(days=30)
YEARS: Final = 10
ENTRIES: Final = 1_500
"""Of the history of years that is cut off as well as the story's."""
SIGNATORIES: Final = ("theo", "bea", "bo")
KNOWN: Final = {
    ("run", "planned"): "a contract that nobody put to the vote holds nothing",
    ("run", "approved"): "a run that nobody starts holds nothing: its money is the round's",
    ("run", "completed"): "nothing is owed any more: it is only left to be closed",
    ("run", "stopped"): "the same",
    ("treasury", "open"): "an account has no end: bank details, and money of which nobody says whose it is, wait for people",
}
"""What waits without a date, and for whom."""
OVER: Final = frozenset({"completed", "stopped"})
"""Phases of a run in which nothing is owed: it is only left to be closed."""


@pytest.fixture(scope="module")
async def histories() -> Sequence[Sequence[Entry]]:
    """A story with a defaulter and a leaver, and years of many rounds and runs."""
    await Story(SimulatedStage(Simulation(START, story := MemoryLog())), charter()).play()
    years = Years()
    await years.live(ENTRIES)
    return [await everything(story), await everything(years.log)]


class Left:
    """Those who are still there after the others departed."""

    def __init__(self, simulation: Simulation, people: frozenset[str]) -> None:
        self.simulation = simulation
        self.people = people
        self._paid = 0

    async def live(self, months: int) -> None:
        """Does everybody's duty once a month."""
        for _ in range(months):
            if self.people:
                await self._act()
            await self.simulation.advance(self.simulation.now + MONTH)

    async def _act(self) -> None:
        for stream in self.simulation.streams():
            state = self.simulation.stream(stream).state
            match process_of(stream):
                case "member" if isinstance(state, Paying | Active | Leaving) and state.dues.owed:
                    self._pay(stream, state.identity.member, state.dues.owed)
                case "round":
                    await self._tend_round(stream, state)
                case "run" if CATALOG["run"].describe(state).phase in OVER:
                    await self._give(stream, "sam", "close_run")
                case "treasury":
                    await self._sign(stream)
                case _:
                    pass

    async def _tend_round(self, stream: str, state: Any) -> None:
        if books_of(state) is None:
            return
        rate = self.simulation.recorder.register.charter.funding.default_interest
        for member, owed in sorted(owing(state, rate, self.simulation.now.date()).items()):
            if owed:
                self._pay(stream, member, owed)
        if CATALOG["round"].describe(state).phase in {"calling", "committed", "refunding"}:
            await self._give(stream, "tess", "settle_round")
            await self._give(stream, "tess", "order_refunds")

    def _pay(self, stream: str, member: str, amount: int) -> None:
        if f"{member}-rep" in self.people:
            self._paid += 1
            end_to_end = f"LEFT-{self.simulation.now:%Y%m%d}-{self._paid}"
            self.simulation.bank.credit(amount, "USD", creditor_reference(stream, member), end_to_end, member)

    async def _sign(self, stream: str) -> None:
        state = self.simulation.stream(stream).state
        for name in state.open_payments:
            payment = state.payments[name]
            details = state.payees.get(payment.payee, Payee()).account_digest
            if payment.stage == "ordered" and details and not payment.waits_in_list:
                digest = payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, details)
                for person in SIGNATORIES:
                    await self._give(stream, person, "approve_payment", payment=name, digest=digest)
        for name in state.open_lists:
            for person in SIGNATORIES:
                await self._give(stream, person, "approve_payment_list", payment_list=name, digest=state.lists[name].digest)

    async def _give(self, stream: str, by: str, kind: str, **fields: Any) -> None:
        if by in self.people:
            await self.simulation.give(stream, {"kind": kind, **fields}, by)


def staying(chance: Random, entries: Sequence[Entry]) -> frozenset[str]:
    """Who stays: nobody, or each with the same chance."""
    everybody = sorted(
        {entry.actor for entry in entries if entry.actor != "service"} | set(OFFICERS) | {f"{each.member}-rep" for each in FOURTEEN}
    )
    share = chance.choice((0.0, 0.0, 0.5, 0.9))
    return frozenset(person for person in everybody if chance.random() < share)


async def departed(entries: Sequence[Entry], seed: int) -> Simulation:
    """A history cut off somewhere, ten years after some departed."""
    chance = Random(seed)
    before = entries[: chance.randint(20, len(entries))]
    log = MemoryLog()
    await log.append(before)
    simulation = await Simulation.resumed(log, seed=seed)
    await Left(simulation, staying(chance, before)).live(YEARS * 365 // MONTH.days)
    return simulation


async def orphans(simulation: Simulation) -> Sequence[Undated]:
    """What is open without a date, but for what is known to be so."""
    found = await look_ahead(simulation, simulation.now)
    return [each for each in found.undated if (process_of(each.stream), each.phase) not in KNOWN]


@pytest.mark.timeout(3_600)
async def test_nobodys_departure_leaves_anything_without_a_date(histories: Sequence[Sequence[Entry]], *, long: bool) -> None:
    for seed in range(LONG if long else MOMENTS):
        simulation = await departed(histories[seed % 2], seed)
        assert await orphans(simulation) == [], f"seed {seed}"
        owed = sum(each.amount for each in obligations(simulation) if each.debtor == CONSORTIUM)
        assert owed <= simulation.bank.balance, f"seed {seed}"
        if not long or seed % 20 == 0:
            assert problems(await everything(simulation.recorder.log)) == [], f"seed {seed}"


async def test_a_membership_that_forgets_when_its_notice_ends_is_found(
    histories: Sequence[Sequence[Entry]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = member_process._deadlines
    monkeypatch.setattr(
        member_process, "_deadlines", lambda state: tuple(each for each in kept(state) if each.command.kind != "end_membership")
    )
    log = MemoryLog()
    await log.append(histories[0])
    simulation = await Simulation.resumed(log)
    await Left(simulation, frozenset()).live(12)
    assert {(process_of(each.stream), each.phase) for each in await orphans(simulation)} == {("member", "leaving")}
