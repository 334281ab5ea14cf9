"""Random profiles of money: members who pay, pay late, in part, too much, in kind or never; who join late, stand in, leave, or end the round.

One seed is one profile. Each begins from the same log, a consortium of ten members with approved accounts, and is lived on the virtual
clock by the real rules and the simulated bank until the round is over and what is owed back was ordered, or until nobody cares any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple

from domain.charter import Charter
from domain.reference import creditor_reference
from domain.round.books import Books
from domain.round.state import books_of
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from simulation.scenario import FOURTEEN, ROUND, Story, owing
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import everything
from tests.stories import START, charter
from tests.test_laws import sign, sign_lists

TREASURY: Final = "treasury/main"
SUPPLIER: Final = "nordic-compute"
MEMBERS: Final = [organisation.member for organisation in FOURTEEN[:10]]
TURNS: Final = 12
"""What people do in one profile, at most so often."""
UNIT: Final = 1_000_000_00
RULES: Final[Mapping[str, Any]] = {
    "funding__share_cap": 5_000,
    "funding__share_floor": 0,
    "funding__makeup_cap": 5_000,
    "funding__default_interest": 2_400,
}


class Played(NamedTuple):
    """What became of a profile."""

    seed: int
    entries: Sequence[Entry]
    log: MemoryLog
    simulation: Simulation
    accepted: Counter[str]
    """How often each kind of command was."""
    refused: Counter[str]
    """How often each rule did."""


def rules() -> Charter:
    """The example charter with room for few members with large shares."""
    return charter(**RULES)


def account(number: int) -> str:
    """A made-up German account with right check digits."""
    bban = f"{number:018}"
    return f"DE{98 - int(bban + '131400') % 97:02}{bban}"


async def begun() -> Sequence[Entry]:
    """The log that every profile begins from."""
    simulation = Simulation(START, log := MemoryLog())
    story = Story(SimulatedStage(simulation), rules(), FOURTEEN[: len(MEMBERS)])
    await story.found()
    await story.admit()
    named = [(f"member:{member}", f"{member}-rep") for member in MEMBERS] + [(SUPPLIER, "tess")]
    for number, (payee, by) in enumerate(named, 1):
        await simulation.give(TREASURY, {"kind": "name_payee", "payee": payee, "name": payee, "iban": account(number)}, by)
        details = simulation.stream(TREASURY).state.payees[payee].proposed.details
        for person in ("theo", "bea"):
            await simulation.give(TREASURY, {"kind": "approve_payee", "payee": payee, "details": details}, person)
    return await everything(log)


async def play(beginning: Sequence[Entry], seed: int) -> Played:
    """Lives one profile to its end."""
    log = MemoryLog()
    await log.append(beginning)
    profile = Profile(await Simulation.resumed(log, seed=seed), seed)
    await profile.live()
    return Played(seed, await everything(log), log, profile.simulation, profile.accepted, profile.refused)


class Profile:
    """The people of one profile, and what chance lets them do."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.simulation = simulation
        self.accepted = Counter[str]()
        self.refused = Counter[str]()
        self._chance = Random(seed)
        self._paid = 0
        self._goal = 0
        members = self._chance.sample(MEMBERS, self._chance.randint(3, 8))
        self._funders, self._others = members, [member for member in MEMBERS if member not in members]
        self._punctual = {member: self._chance.choice((0.3, 0.8, 0.95)) for member in MEMBERS}
        """How likely each pays when it owes."""

    async def live(self) -> None:
        """Opens the round, lets everybody act, and ends it."""
        await self._commit()
        acts = (
            self._call, self._call, self._pay, self._pay, self._pay, self._deliver, self._join_late, self._take_over, self._leave, self._spend,
            self._refund, self._stranger, partial(self._vote, "cancel_round"), partial(self._vote, "reduce_goal"),
        )  # fmt: skip
        weights = (6, 6, 6, 6, 6, 3, 2, 6, 1, 4, 1, 1, 1, 1)
        for _ in range(TURNS):
            if self._books is None:
                return
            await self._chance.choices(acts, weights)[0]()
            await self._pay()
            await self._days(1, 25)
        await self._end()

    # ------------------------------------------------------------ the round

    async def _commit(self) -> None:
        promised = {member: self._chance.randint(20, 100) * UNIT + self._chance.randint(0, 99) for member in self._funders}
        self._goal = sum(promised.values()) * self._chance.choice((80, 95, 100, 110)) // 100
        fractions = self._fractions()
        now = self.simulation.now
        await self._give(
            ROUND, "open_round", "sam", title="A profile", text="", currency="USD", goal=self._goal, minimum=self._goal * self._chance.randint(3, 8) // 10,
            opens_at=(now + timedelta(days=1)).isoformat(), closes_at=(now + timedelta(days=10)).isoformat(), run="a-run",
            budget=[{"name": "compute", "amount": self._goal // 2}, {"name": "data", "amount": self._goal - self._goal // 2}],
            tranches=[
                {"name": f"part {number}", "fraction": fraction} | ({"milestone": f"milestone-{number}"} if number > 1 else {})
                for number, fraction in enumerate(fractions, 1)
            ],
        )  # fmt: skip
        await self._days(2, 3)
        for member, amount in promised.items():
            await self._give(ROUND, "pledge", f"{member}-rep", member=member, amount=amount)
        if self._chance.random() < 0.2:
            member = self._chance.choice(self._funders)
            await self._give(ROUND, "withdraw_pledge", f"{member}-rep", member=member)
        await self._days(9, 12)

    def _fractions(self) -> list[int]:
        """Of each tranche, one to four."""
        cuts = sorted(self._chance.sample(range(500, 9_500), self._chance.randint(0, 3)))
        return [upper - lower for lower, upper in zip([0, *cuts], [*cuts, 10_000], strict=True)]

    async def _call(self) -> None:
        if self._books is not None and self._called < len(self._books.terms.tranches):
            tranche = self._called + 1
            if tranche > 1:
                await self._give(ROUND, "release_tranche", "bo", tranche=tranche)
            await self._give(ROUND, "call_tranche", "tess", tranche=tranche)

    async def _end(self) -> None:
        if self._chance.random() < 0.3:
            return
        while self._books is not None and self._called < len(self._books.terms.tranches):
            before = self._called
            await self._call()
            await self._pay()
            await self._days(20, 40)
            if self._called == before:
                break
        await self._give(ROUND, "settle_round", "tess")
        await self._refund()
        await self._days(10, 20)
        await self._refund()
        await self._days(5, 10)

    # ------------------------------------------------------------ members

    async def _pay(self) -> None:
        if self._books is None:
            return
        owed = owing(self._state, RULES["funding__default_interest"], self.simulation.now.date())
        for member, amount in sorted(owed.items()):
            if amount and self._chance.random() < self._punctual[member]:
                part = self._chance.choice((100, 100, 100, 100, 60, 103, 200))
                self._credit(creditor_reference(ROUND, member), max(amount * part // 100, 1), member)

    def _credit(self, reference: str, amount: int, payer: str) -> None:
        self._paid += 1
        self.simulation.bank.credit(amount, "USD", reference, f"PAID-{self._paid:06}", payer)

    async def _deliver(self) -> None:
        member, self._paid = self._chance.choice(self._funders), self._paid + 1
        evidence = f"{self._paid:064x}"
        quantity = self._chance.randint(1_000, 4_000_000)
        await self._give(ROUND, "deliver_in_kind", f"{member}-rep", member=member, item="h100-hour", quantity=quantity, evidence=evidence)
        if self._chance.random() < 0.8:
            await self._give(ROUND, "accept_in_kind", "sam", evidence=evidence)
        else:
            await self._give(ROUND, "reject_in_kind", "sam", evidence=evidence, reason="It was not there.")

    async def _join_late(self) -> None:
        if self._others:
            member = self._chance.choice(self._others)
            await self._give(ROUND, "join_late", f"{member}-rep", member=member, amount=self._chance.randint(1, 40) * UNIT)

    async def _take_over(self) -> None:
        defaulters = (
            sorted(member for member, account in self._books.accounts.items() if account.in_default) if self._books is not None else []
        )
        if defaulters:
            defaulter, member = self._chance.choice(defaulters), self._chance.choice(MEMBERS)
            await self._give(
                ROUND, "take_over", f"{member}-rep", member=member, defaulter=defaulter, amount=self._chance.randint(1, 60) * UNIT
            )

    async def _leave(self) -> None:
        member = self._chance.choice(MEMBERS)
        await self._give(f"member/{member}", "give_notice", f"{member}-rep")

    # ------------------------------------------------------------ money that goes out, and money of others

    async def _spend(self) -> None:
        if self._books is None or self._books.spendable <= 0:
            return
        self._paid += 1
        spending = f"s{self._paid}"
        amount = max(self._books.spendable * self._chance.randint(5, 100) // 100, 1)
        await self._give(
            ROUND,
            "propose_spending",
            "tess",
            spending=spending,
            line=self._chance.choice(("compute", "data")),
            amount=amount,
            payee=SUPPLIER,
        )
        if self._chance.random() < 0.9:
            await self._give(ROUND, "approve_spending", "theo", spending=spending)
        await self._sign()

    async def _refund(self) -> None:
        await self._give(ROUND, "order_refunds", "tess")
        await self._sign()

    async def _sign(self) -> None:
        if self._chance.random() < 0.9:
            await sign(self.simulation)
            await sign_lists(self.simulation)

    async def _stranger(self) -> None:
        self._credit("", self._chance.randint(1, 10**7), "A stranger")
        await self._days(2, 3)
        for line in sorted(self.simulation.stream(TREASURY).state.waiting):
            member = self._chance.choice(MEMBERS)
            if self._chance.random() < 0.5:
                await self._give(TREASURY, "assign_line", "tess", line=line, stream=ROUND, member=member, reason="It said so.")
            else:
                await self._give(TREASURY, "return_line", "tess", line=line, payee=f"member:{member}", reason="It is theirs.")
        await self._sign()

    # ------------------------------------------------------------ votes

    async def _vote(self, kind: str) -> None:
        self._paid += 1
        proposal = f"proposal/{kind.replace('_', '-')}-{self._paid}"
        fields = {"goal": self._goal * 8 // 10, "minimum": self._goal * 3 // 10} if kind == "reduce_goal" else {}
        await self._give(proposal, "propose", "sam", title="What now?", motion={"stream": ROUND, "command": {"kind": kind, **fields}})
        for member in MEMBERS:
            await self._give(proposal, "cast_ballot", f"{member}-rep", member=member, choice=self._chance.choice(("yes", "yes", "no")))
        await self._days(8, 12)

    # ------------------------------------------------------------ parts

    @property
    def _state(self) -> Any:
        return self.simulation.stream(ROUND).state

    @property
    def _books(self) -> Books | None:
        """Of the round, from the commitment on."""
        return books_of(self._state)

    @property
    def _called(self) -> int:
        """How many tranches were."""
        return 0 if self._books is None else len(self._books.tranches)

    async def _give(self, stream: str, kind: str, by: str, /, **fields: Any) -> None:
        recorded = await self.simulation.give(stream, {"kind": kind, **fields}, by)
        if recorded.refusal is None:
            self.accepted[kind] += 1
        else:
            self.refused[f"{kind}: {recorded.refusal.rule}"] += 1

    async def _days(self, least: int, most: int) -> None:
        await self.simulation.advance(self.simulation.now + timedelta(days=self._chance.randint(least, most)))
