"""A consortium's founding and its first funded round, as one story that any shell can play.

The demo plays it on Temporal, the tests on the virtual clock, the chaos suite while things are killed. Every command has
an id of its own, so the story can be begun again at any time: what was done is answered as it was, and it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from domain.charter import Charter
from domain.kernel import LOG, derived_id
from domain.money import display
from domain.reference import creditor_reference
from domain.register.facts import LogTime
from domain.round.allocation import interest
from domain.round.books import Account
from domain.round.dues import bill, next_bill
from domain.round.state import RoundState, books_of
from domain.round.terms import Due
from domain.round.terms import Stage as Rung

ATLAS: Final = "consortium/atlas"
ROUND: Final = "round/atlas-1"
SIZE: Final = "proposal/model-size"
GOAL: Final = 1_000_000_000_00


@dataclass(frozen=True, slots=True)
class Look:
    """A stream as the story sees it."""

    phase: str
    line: str
    state: Any
    values: Mapping[str, str | int] = field(default_factory=dict)


class Stage(Protocol):
    """Where the story is played."""

    async def now(self) -> datetime:
        """The log's time."""

    async def clock(self) -> LogTime:
        """The clock that the founding states, or stated."""

    async def key_of(self, person: str, consortium: str = "") -> Mapping[str, str]:
        """A key with the proof that its person holds it, as commands bring both: a person's, the log's or the one that signs releases.

        Before the founding it is proved for the consortium of this name. Nothing where nobody signs.
        """

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> None:
        """Gives a command and waits for its answer. The story asks for nothing that is refused."""

    async def credit(self, amount: int, currency: str, reference: str, end_to_end_id: str, payer: str) -> None:
        """Money arrives on the consortium's account at the bank, once for each end-to-end id; the treasury will see it on a statement."""

    async def until(self, stream: str, holds: Callable[[Look], bool]) -> Look:
        """Waits until the stream is as wished."""

    async def wait(self, until: datetime) -> None:
        """Lets the log's time pass up to an instant."""

    @property
    def folder(self) -> Path:
        """Where the workers find trainers' readings (`runs`) and releases' files (`artifacts`)."""

    def told(self, line: str) -> None:
        """Tells the audience where the story is."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """One of the fourteen."""

    member: str
    name: str
    country: str
    tier: str
    pledge: int
    """Millions of dollars."""
    sizes: tuple[str, ...]
    """The model sizes it prefers, best first."""

    @property
    def representative(self) -> str:
        """Who speaks for it."""
        return f"{self.member}-rep"

    @property
    def stream(self) -> str:
        """Its membership."""
        return f"member/{self.member}"


FOURTEEN: Final[Sequence[Organisation]] = (
    Organisation("aalto-compute", "Aalto Compute Oy", "FI", "founding", 100, ("32b", "70b", "8b")),
    Organisation("bharat-ai", "भारत एआई लिमिटेड", "IN", "founding", 100, ("70b", "32b", "8b")),
    Organisation("cordoba-cloud", "Córdoba Cloud S.A.", "AR", "founding", 100, ("32b", "8b", "70b")),
    Organisation("delta-robotics", "Delta Robotics B.V.", "NL", "founding", 95, ("8b", "32b", "70b")),
    Organisation("edo-systems", "江戸システムズ株式会社", "JP", "founding", 90, ("70b", "32b", "8b")),
    Organisation("fjord-energy", "Fjord Energi AS", "NO", "founding", 90, ("32b", "70b", "8b")),
    Organisation("gulf-data", "شركة بيانات الخليج", "AE", "partner", 85, ("70b", "8b", "32b")),
    Organisation("helio-labs", "Helio Labs Inc.", "US", "partner", 80, ("32b", "8b", "70b")),
    Organisation("iris-health", "Iris Health GmbH", "DE", "partner", 80, ("8b", "32b", "70b")),
    Organisation("jeju-semi", "제주반도체 주식회사", "KR", "partner", 75, ("70b", "32b", "8b")),
    Organisation("kite-finance", "Kite Finance Ltd", "GB", "partner", 70, ("32b", "8b", "70b")),
    Organisation("lumen-press", "Lumen Presse SAS", "FR", "associate", 65, ("8b", "32b", "70b")),
    Organisation("maple-science", "Maple Science Foundation", "CA", "associate", 60, ("32b", "70b", "8b")),
    Organisation("nairobi-net", "Nairobi Net PLC", "KE", "associate", 60, ("32b", "8b", "70b")),
)

LATE: Final = "kite-finance"
"""Misses the first call, and cures."""
DEFAULTER: Final = "gulf-data"
"""Misses the first call, and defaults."""
LEAVER: Final = "lumen-press"
"""Pays what was called, and leaves."""
BOARD: Final = ("bea", "ben", "bo")
OFFICERS: Final[Mapping[str, tuple[str, ...]]] = {
    "sam": ("secretariat",), "tess": ("treasurer",), "theo": ("second-signatory",), "cora": ("compliance-reviewer",),
    "lea": ("training-lead",), "eva": ("evaluation-reviewer",), "sia": ("safety-reviewer",), "luc": ("licence-reviewer",),
    "rhea": ("release-manager",), **dict.fromkeys(BOARD, ("board",)),
}  # fmt: skip
IBAN: Final = "CH9300762011623852957"
BIC: Final = "UBSWCHZH80A"
"""A made-up account with right check digits, at a bank that exists."""
_OF_LOG: Final = {"public_key": "log_key", "proof": "log_key_proof"}
"""How the founding calls the fields of the log's key."""
AT_ONCE: Final = 8
"""Commands in flight: what a workflow takes on a cluster with default limits."""


def lei(number: int) -> str:
    """A made-up Legal Entity Identifier with right check digits (ISO 17442)."""
    base = f"529900{number:012}"
    return f"{base}{98 - int(base + '00') % 97:02}"


class Story:
    """The founding and the first round, told on a stage. Begin it again whenever it was cut off: it goes on."""

    def __init__(self, stage: Stage, charter: Charter, organisations: Sequence[Organisation] = FOURTEEN) -> None:
        self._stage = stage
        self._charter = charter
        self._organisations = organisations
        self._in_flight = asyncio.Semaphore(AT_ONCE)

    async def play(self) -> None:
        """Tells all of it."""
        for chapter in (self.found, self.admit, self.steer, self.pledge, self.call, self.settle_down):
            await chapter()

    @property
    def treasury(self) -> str:
        """The consortium's account."""
        return f"treasury/{self._charter.treasury.account}"

    # ------------------------------------------------------------ chapters

    async def found(self) -> None:
        """The charter is adopted, the officers are named."""
        self._stage.told(f"{self._charter.name} is founded under its charter")
        clock = (await self._stage.clock()).model_dump(mode="json")
        officers = [
            {"person": person, "offices": sorted(offices), **await self._stage.key_of(person, ATLAS)}
            for person, offices in OFFICERS.items()
        ]
        log = {_OF_LOG[name]: value for name, value in (await self._stage.key_of(LOG, ATLAS)).items()}
        await self._give(ATLAS, "found", "sam", charter=self._charter.model_dump(mode="json"), officers=officers, clock=clock, **log)
        await self._give(self.treasury, "open_account", "tess", iban=IBAN, bic=BIC, owner=self._charter.name)

    async def admit(self) -> None:
        """Everybody applies, is screened, voted in by the board, signs, and pays the first dues."""
        self._stage.told(f"{len(self._organisations)} organisations apply, are screened, voted in, sign and pay their dues")
        each = list(enumerate(self._organisations, 1))
        await self._all(self._apply(number, organisation) for number, organisation in each)
        self._stage.told("  everybody is screened, and the board votes")
        await self._all(self._vote_in(organisation) for organisation in self._organisations)
        self._stage.told("  everybody signs and pays")
        await self._all(self._enter(organisation) for organisation in self._organisations)
        await self._all(self._active(organisation) for organisation in self._organisations)

    async def steer(self) -> None:
        """The members rank the sizes of the model."""
        self._stage.told("the members rank the sizes of the model (Schulze)")
        options = [{"id": size, "label": f"{size[:-1]} billion parameters"} for size in ("8b", "32b", "70b")]
        await self._give(SIZE, "propose", "lea", title="How large shall Atlas-1 be?", decision="steering", options=options)
        await self._all(
            self._give(SIZE, "cast_ballot", each.representative, each.member, member=each.member, ranking=list(each.sizes))
            for each in self._organisations
        )
        result = await self._stage.until(SIZE, lambda look: look.phase == "passed")
        self._stage.told(f"  {result.line}")

    async def pledge(self) -> None:
        """The round is opened, over-subscribed, and scaled back at the close."""
        self._stage.told("a round over USD 1,000,000,000 takes pledges")
        await self._open_round()
        await self._stage.until(ROUND, lambda look: look.phase != "draft")
        await self._all(
            self._give(ROUND, "pledge", each.representative, each.member, member=each.member, amount=each.pledge * 1_000_000_00)
            for each in self._organisations
        )
        promised = await self._stage.until(
            ROUND, lambda look: look.phase != "pledging" or len(look.state.pledges) == len(self._organisations)
        )
        self._stage.told(f"  {promised.line}")
        committed = await self._stage.until(ROUND, lambda look: look.phase not in {"draft", "pledging"})
        self._stage.told(f"  closed and scaled back: {committed.line}")

    async def call(self) -> None:
        """Tranche 1 is called; one member is late and cures, one defaults and the others make up for it."""
        self._stage.told("tranche 1 is called")
        await self._give(ROUND, "call_tranche", "tess", tranche=1)
        await self._pay(lambda member: member not in {LATE, DEFAULTER}, "in time")
        overdue = await self._stage.until(ROUND, lambda look: look.state.books.calls[1].past(Rung.REMINDED))
        self._stage.told(f"  the due date is over: {overdue.line}")
        await self._pay_late(LATE, "late", overdue)
        self._stage.told(f"  {DEFAULTER} stays silent")
        await self._stage.until(ROUND, lambda look: look.state.books.calls[1].past(Rung.WARNED))
        self._stage.told(f"  {DEFAULTER} is in default: its votes rest, the others are called to make up for it")
        await self._pay(lambda member: member != DEFAULTER, "made up")
        made_up = await self._stage.until(ROUND, lambda look: True)
        await self._pay_late(DEFAULTER, "cured", made_up)
        cured = await self._stage.until(ROUND, lambda look: not look.state.books.accounts[DEFAULTER].in_default)
        await self._stage.until(f"member/{DEFAULTER}", lambda look: look.phase == "active")
        back = sum(account.figures.credit for member, account in cured.state.books.accounts.items() if member != DEFAULTER)
        self._stage.told(f"  its votes are back; those who made up have {self._amount(back)} back, as credit on their next call")

    async def settle_down(self) -> None:
        """One member gives notice, and stays bound as the charter says; the tranche is cleared."""
        await self._give(f"member/{LEAVER}", "give_notice", f"{LEAVER}-rep")
        await self._stage.until(f"member/{LEAVER}", lambda look: look.phase in {"leaving", "left"})
        leaving = await self._stage.until(ROUND, lambda look: _noticed(look.state.books.accounts[LEAVER]))
        bound = leaving.state.books.accounts[LEAVER].still_bound
        price = f"its commitment binds it through the notice: {self._amount(bound)} may still be called" if bound else "what it paid stays"
        self._stage.told(f"{LEAVER} gives notice and leaves; {price}")
        self._stage.told(f"  tranche 1 is cleared: {leaving.line}")

    # ------------------------------------------------------------ scenes

    async def _apply(self, number: int, organisation: Organisation) -> None:
        speaker = organisation.representative
        await self._give(
            organisation.stream, "apply", speaker, name=organisation.name, lei=lei(number), country=organisation.country,
            tier=organisation.tier, representatives=[{"person": speaker, **await self._stage.key_of(speaker)}],
        )  # fmt: skip
        await self._stage.until(f"proposal/admit-{organisation.member}", lambda look: look.phase != "unproposed")

    async def _vote_in(self, organisation: Organisation) -> None:
        for person in BOARD[:2]:
            await self._give(f"proposal/admit-{organisation.member}", "cast_ballot", person, person, choice="yes")
        await self._stage.until(organisation.stream, lambda look: look.phase not in {"screening", "voting"})

    async def _enter(self, organisation: Organisation) -> None:
        stream = organisation.stream
        await self._give(stream, "sign_agreement", organisation.representative, agreement=self._charter.membership.agreement)
        await self._give(stream, "countersign_agreement", "sam")
        if (await self._stage.until(stream, lambda look: True)).phase != "paying":
            return  # paid on another day, when the story was begun before
        fee = self._charter.tiers[organisation.tier].annual_fee
        await self._credit(organisation.member, stream, fee, "dues")

    async def _active(self, organisation: Organisation) -> None:
        await self._stage.until(organisation.stream, lambda look: look.phase not in {"signing", "paying"})

    async def _open_round(self) -> None:
        if (await self._stage.until(ROUND, lambda look: True)).phase != "unopened":
            return  # opened on another day, when the story was begun before
        now = await self._stage.now()
        await self._give(
            ROUND, "open_round", "sam", title="Atlas-1", text="A 32B model with open weights, data and code.", currency="USD", goal=GOAL,
            minimum=GOAL * 8 // 10, opens_at=(now + timedelta(days=1)).isoformat(), closes_at=(now + timedelta(days=15)).isoformat(), run="atlas-1",
            budget=[
                {"name": "compute", "amount": GOAL * 7 // 10}, {"name": "data", "amount": GOAL * 2 // 10},
                {"name": "evaluation and release", "amount": GOAL // 10},
            ],
            tranches=[
                {"name": "start", "fraction": 3_000}, {"name": "half way", "fraction": 4_000, "milestone": "half-tokens"},
                {"name": "end", "fraction": 3_000, "milestone": "final-checkpoint"},
            ],
        )  # fmt: skip

    async def _pay(self, who: Callable[[str], bool], name: str) -> None:
        """Everybody of these pays what they owe now, and the treasury sees it on its statements."""
        look = await self._stage.until(ROUND, lambda look: True)
        today = (await self._stage.now()).date()
        rate = self._charter.funding.default_interest
        owed = {member: owed for member, owed in owing(look.state, rate, today).items() if who(member) and owed}
        await self._all(self._credit(member, ROUND, amount, name) for member, amount in owed.items())
        received = books_received(look.state)
        await self._stage.until(
            ROUND, lambda look: all(books_received(look.state).get(member, 0) >= received.get(member, 0) + owed[member] for member in owed)
        )

    async def _pay_late(self, member: str, name: str, look: Look) -> None:
        """A member pays what it is asked for, interest included; what it paid on another day it does not pay again."""
        books = books_of(look.state)
        assert books is not None
        account, rate = books.accounts[member], self._charter.funding.default_interest
        if not account.figures.owed:
            return
        tomorrow = (await self._stage.now()).date() + timedelta(days=1)
        asked = bill(books, account, rate, max(next_bill(books, account, rate).pay_by, tomorrow))
        amount, per_day = self._amount(asked.amount), self._amount(asked.per_day)
        self._stage.told(
            f"  {member} is asked for {amount} by {asked.pay_by}, interest included, and {per_day} for each further day; it pays that"
        )
        await self._credit(member, ROUND, asked.amount, name)
        await self._stage.until(ROUND, lambda look: look.state.books.accounts[member].figures.owed == 0)

    def _amount(self, minor: int) -> str:
        return display(minor, self._charter.currency)

    async def _credit(self, member: str, stream: str, amount: int, name: str) -> None:
        """A member pays, naming the reference that it was given."""
        reference, end_to_end = creditor_reference(stream, member), f"{name.upper().replace(' ', '-')}-{member.upper()}"[:35]
        await self._stage.credit(amount, self._charter.currency, reference, end_to_end, member)

    # ------------------------------------------------------------ commands

    async def _give(self, stream: str, kind: str, by: str, scene: str = "", /, **fields: Any) -> None:
        async with self._in_flight:
            await self._stage.give(stream, {"kind": kind, **fields}, by, derived_id("story", stream, kind, scene))

    @staticmethod
    async def _all(scenes: Iterable[Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for scene in scenes:
                group.create_task(_awaited(scene))


def owing(state: RoundState, rate: int, today: date) -> Mapping[str, int]:
    """What each member of a round owes, with the interest up to a day."""
    kept = books_of(state)
    assert kept is not None
    return {member: sum(_with_interest(due, rate, today) for due in account.dues) for member, account in kept.accounts.items()}


def books_received(state: RoundState) -> Mapping[str, int]:
    """What each member of a round has paid into it."""
    kept = books_of(state)
    return {} if kept is None else {member: account.figures.received for member, account in kept.accounts.items()}


def _noticed(account: Account) -> bool:
    """Whether the round knows that a member leaves: it is bound, or what it is not called for has ended."""
    return account.bound is not None or account.figures.uncalled == 0


def _with_interest(due: Due, rate: int, today: date) -> int:
    return due.principal + due.interest + interest(due.principal, rate, (today - due.accrued_to).days)


async def _awaited(scene: Awaitable[None]) -> None:
    await scene
