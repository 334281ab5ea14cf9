"""A consortium's log over years: people and workers sign, the real rules decide, on the virtual clock; the same for the same seed.

Organisations join and leave, pay their dues, vote every week, fund a round every few weeks, are late, cure and default; suppliers
are paid and surplus is given back, the bank's statements are read every day, and every third round pays for a training run whose
milestones release its tranches. Now and then somebody asks for what is refused.

`python -m bench.years [--entries N] [--seed N] [--kept FOLDER]` makes one and says what is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from cli.files import example, read_charter
from domain.catalog import RULES
from domain.charter import Charter
from domain.kernel import LOG, Step
from domain.member.state import Active, Ended, Leaving, Paying, Signing
from domain.proposal.state import Open
from domain.reference import creditor_reference
from domain.register.facts import LogTime, MovedTime
from domain.round.books import Books
from domain.round.state import Calling, Cancelled, Refunding, Settled, books_of
from domain.run import steps as run_steps
from domain.run.readings import Reading, observe
from domain.run.state import Approved, Book, Running
from domain.run.state import Ended as RunOver
from domain.run.telemetry import SpikeRule, StagePlan, Watch
from domain.run.terms import Contract
from domain.treasury.terms import payment_digest
from eventstore import sealing
from eventstore.answers import Recorded
from eventstore.entries import Entry
from eventstore.log import Appended, Log, Seal
from eventstore.memory import MemoryLog
from eventstore.postgres import PostgresLog
from eventstore.sealing import origin_of
from eventstore.sqlite import SqliteLog
from simulation.scenario import BIC, IBAN, OFFICERS, lei, owing
from simulation.world import Simulation, agreeable
from tests.signed_simulation import SignedSimulation
from tests.signers import Signers
from transparency.note import SigningKey
from transparency.tree import Frontier

SEED: Final = 11
START: Final = datetime(2000, 1, 3, 9, tzinfo=UTC)
"""As early as a statement may be, so that the longest log ends before today."""
STANDING: Final = MovedTime()
"""The clock of a log that is only looked at and measured: for whoever opens it, it stands at the head."""
ROOT: Final = Path(__file__).parent.parent
CONSORTIUM: Final = "consortium/atlas"
TREASURY: Final = "treasury/main"
FOUNDERS: Final = 24
MEMBERS: Final = 100
"""As many as the consortium grows to; whoever leaves then is replaced."""
GOAL: Final = 1_000_000_000_00
SUPPLIER: Final = "nordic-compute"
SUPPLIER_IBAN: Final = "DE89370400440532013000"
REVIEWERS: Final = {"m0001-rep": "evaluation-reviewer", "m0002-rep": "safety-reviewer"}
STAGE: Final = StagePlan(name="pretraining", first_checkpoint=2_000, checkpoint_every=2_000, last_step=120_000)
STEPS_A_LOOK: Final = 1_000
TOKENS_A_STEP: Final = 4_000_000
SIZES: Final = ("8b", "32b", "70b")
PAGE: Final = 2_000
"""Entries that are put on a log at a time."""
KEPT: Final = Path(tempfile.gettempdir()) / "consortium-bench"
"""Where logs are kept between runs, when no other folder is named."""

Act = Callable[[], Awaitable[None]]


def charter() -> Charter:
    """The example charter, with room for small pledges."""
    data = read_charter(example("charter.toml"))
    data["funding"]["share_floor"] = 0
    data["tiers"]["founding"]["seats"] = 10_000
    return Charter.model_validate_json(json.dumps(data, default=str))


async def trainer(step: Step) -> dict[str, Any]:
    """An outside world in which everything works, and trainers write two readings between two looks."""
    if step.kind != "follow_telemetry":
        return await agreeable(step)
    watch = Watch.model_validate(step.data["watch"], strict=False)
    stages = tuple(StagePlan.model_validate(stage, strict=False) for stage in step.data["stages"])
    steps = [min(watch.step + STEPS_A_LOOK * part, STAGE.last_step) for part in (1, 2)]
    readings = [
        Reading(STAGE.name, at, at * TOKENS_A_STEP, 2_000_000 + 10_000_000_000 // (at + 1_000), f"step{at}" if at % STAGE.checkpoint_every == 0 else None)
        for at in steps
    ]  # fmt: skip
    now, found = observe(stages, SpikeRule.model_validate(step.data["spikes"], strict=False), watch, readings)
    return run_steps.TelemetryReported(
        step=step.key, number=step.data["number"], cursor=str(now.readings), watch=now, loss_micro=found.loss_micro,
        checkpoints=tuple(found.checkpoints), missing=tuple(found.missing), found=tuple(found.found), restarts=tuple(found.restarts),
        spikes=tuple(found.spikes), more=found.more,
    ).model_dump(mode="json")  # fmt: skip


def signers_of(seed: int) -> Signers:
    """Everybody's keys on the log of this seed, the log's own too."""
    return Signers(seed=f"years {seed}")


class Years:
    """A consortium whose people follow a calendar of their own and chance."""

    def __init__(self, seed: int = SEED, start: datetime = START, clock: LogTime = STANDING, signers: Signers | None = None) -> None:
        """Without `signers` nobody signs: the core alone. With them make it in a running event loop."""
        self.log = MemoryLog()
        self.charter = charter()
        self._clock = clock
        self.simulation = (
            Simulation(start, self.log, trainer, seed)
            if signers is None
            else SignedSimulation(start, self.log, trainer, seed, signers=signers)
        )
        self.members: list[str] = []
        self.rounds: list[str] = []
        """Those that money still moves on."""
        self.runs: list[str] = []
        self._chance = Random(seed)
        self._plans: list[tuple[datetime, int, Act]] = []
        self._numbers = count(1)
        self._joined, self._opened, self._proposed, self._paid = count(1), count(1), count(1), count(1)

    async def live(self, entries: int) -> None:
        """Lets time pass until the log holds so many entries, and the few more that belong to the last act."""
        if not self._plans:
            await self._found()
        while (await self.log.head()).position < entries:
            when, _, act = heappop(self._plans)
            await self.simulation.advance(when)
            await act()

    async def give(self, stream: str, kind: str, by: str, **fields: Any) -> Recorded:
        """A person gives a command now."""
        return await self.simulation.give(stream, {"kind": kind, **fields}, by)

    # ------------------------------------------------------------ the calendar

    @property
    def now(self) -> datetime:
        """The log's time."""
        return self.simulation.now

    def plan(self, after: timedelta, act: Act) -> None:
        """Somebody will do this."""
        heappush(self._plans, (self.now + after, next(self._numbers), act))

    def every(self, period: timedelta, act: Act) -> None:
        """Somebody does this again and again, from one period on."""

        async def again() -> None:
            self.every(period, act)
            await act()

        self.plan(period, again)

    def _days(self, first: float, last: float) -> timedelta:
        return timedelta(seconds=self._chance.randint(int(first * 86_400), int(last * 86_400)))

    def _state(self, stream: str) -> Any:
        """Of a stream; none before anything happened on it."""
        try:
            return self.simulation.stream(stream).state
        except KeyError:
            return None

    def active(self) -> list[str]:
        """The members who may vote now."""
        return [member for member in self.members if isinstance(self._state(f"member/{member}"), Active)]

    # ------------------------------------------------------------ the founding

    async def _found(self) -> None:
        officers = [{"person": person, "offices": sorted(offices)} for person, offices in OFFICERS.items()]
        await self.give(
            CONSORTIUM,
            "found",
            "sam",
            charter=self.charter.model_dump(mode="json"),
            officers=officers,
            clock=self._clock.model_dump(mode="json"),
        )
        await self.give(TREASURY, "open_account", "tess", iban=IBAN, bic=BIC, owner=self.charter.name)
        await self._name_payee(SUPPLIER, "Nordic Compute GmbH", "tess")
        for number in range(FOUNDERS):
            self.plan(timedelta(minutes=number), self._join)
        for person, office in REVIEWERS.items():
            self.plan(timedelta(days=20), partial(self._grant, person, office))
        self.every(timedelta(days=7), self._grow)
        self.every(timedelta(days=28), self._shrink)
        self.every(timedelta(days=1), self._pay)
        self.every(timedelta(days=3), self._propose)
        self.plan(timedelta(days=30), self._open_round)
        self.every(timedelta(days=28), self._open_round)
        self.every(timedelta(days=2), self._tend)

    async def _grant(self, person: str, office: str) -> None:
        await self.give(CONSORTIUM, "grant_office", "sam", person=person, office=office)

    async def _name_payee(self, payee: str, name: str, by: str) -> None:
        await self.give(TREASURY, "name_payee", by, payee=payee, name=name, iban=SUPPLIER_IBAN)
        proposed = self._state(TREASURY).payees[payee].proposed
        await self.give(TREASURY, "approve_payee", "theo", payee=payee, details=proposed.details)

    # ------------------------------------------------------------ members

    async def _join(self) -> None:
        number = next(self._joined)
        member = f"m{number:04}"
        speaker, tier = f"{member}-rep", self._chance.choice(("founding", "partner", "partner", "associate"))
        self.members.append(member)
        await self.give(
            f"member/{member}", "apply", speaker, name=f"Member {number} Ltd", lei=lei(number), country=self._chance.choice(("CH", "DE", "FR", "US", "JP")),
            tier=tier, representatives=[{"person": speaker}],
        )  # fmt: skip
        self._vote_on(f"proposal/admit-{member}", choice="yes")
        self.plan(timedelta(days=8), partial(self._enter, member))

    async def _enter(self, member: str) -> None:
        stream, speaker = f"member/{member}", f"{member}-rep"
        if not isinstance(self._state(stream), Signing):
            self.members = [each for each in self.members if each != member]
            return
        await self.give(stream, "sign_agreement", speaker, agreement=self.charter.membership.agreement)
        await self.give(stream, "countersign_agreement", "sam")
        await self._name_payee(f"member:{member}", f"Member {member}", speaker)

    async def _grow(self) -> None:
        if len(self.members) < MEMBERS:
            await self._join()

    async def _shrink(self) -> None:
        self.members = [member for member in self.members if not isinstance(self._state(f"member/{member}"), Ended)]
        leavers = [member for member in self.active() if f"{member}-rep" not in REVIEWERS]
        if len(self.members) >= MEMBERS:
            await self.give(f"member/{(leaver := self._chance.choice(leavers))}", "give_notice", f"{leaver}-rep")

    # ------------------------------------------------------------ votes

    async def _propose(self) -> None:
        stream = f"proposal/p{next(self._proposed):05}"
        kind = self._chance.choice(("steering", "steering", "budget", "routine"))
        options = [{"id": size, "label": f"{size[:-1]} billion parameters"} for size in SIZES]
        fields: dict[str, Any] = {"title": f"{kind.capitalize()} matter of {self.now.date()}", "decision": kind}
        if kind == "budget":
            fields |= {"options": [option | {"cost": 40_000_00} for option in options], "budget": 100_000_00}
        elif kind == "steering":
            fields |= {"options": options}
        await self.give(stream, "propose", "sam", **fields)
        how: dict[str, dict[str, Any]] = {
            "routine": {"choice": "consent"},
            "budget": {"approves": ["8b", "32b"]},
            "steering": {"ranking": list(SIZES)},
        }
        self._vote_on(stream, share=0.1 if kind == "routine" else 0.7, **how[kind])

    def _vote_on(self, proposal: str, share: float = 0.7, **ballot: Any) -> None:
        """Whoever is on its roll votes over the next days; some come too late."""

        async def begin() -> None:
            state = self._state(proposal)
            for seat in sorted({**state.seats, **state.persons}) if isinstance(state, Open) else ():
                if self._chance.random() < share:
                    self.plan(self._days(0, 3.5), partial(self._ballot, proposal, seat, ballot))

        self.plan(timedelta(minutes=1), begin)

    async def _ballot(self, proposal: str, voter: str, ballot: dict[str, Any]) -> None:
        if not isinstance(self._state(proposal), Open) and self._chance.random() > 0.05:
            return
        if "ranking" in ballot:
            ballot = {"ranking": self._chance.sample(SIZES, len(SIZES))}
        if voter in OFFICERS:
            await self.give(proposal, "cast_ballot", voter, **ballot)
        else:
            await self.give(proposal, "cast_ballot", f"{voter}-rep", member=voter, **ballot)

    # ------------------------------------------------------------ rounds

    async def _open_round(self) -> None:
        number = next(self._opened)
        stream, run = f"round/r{number:04}", f"run-{number:04}"
        await self.give(
            stream, "open_round", "sam", title=f"Round {number}", text="A model with open weights, data and code.", currency="USD", goal=GOAL,
            minimum=GOAL // 2, opens_at=(self.now + timedelta(days=1)).isoformat(), closes_at=(self.now + timedelta(days=15)).isoformat(), run=run,
            budget=[{"name": "compute", "amount": GOAL * 9 // 10}, {"name": "release", "amount": GOAL // 10}],
            tranches=[
                {"name": "start", "fraction": 3_000}, {"name": "half way", "fraction": 4_000, "milestone": "half"},
                {"name": "end", "fraction": 3_000, "milestone": "end"},
            ],
        )  # fmt: skip
        self.rounds.append(stream)
        for member in self.active():
            self.plan(self._days(0.9, 15.1), partial(self._pledge, stream, member))
        self.plan(timedelta(days=16), partial(self._call, stream, 1))
        if number % 3 == 1:
            self.plan(timedelta(days=17), partial(self._plan_run, run, stream))
            return
        for tranche, days in ((2, 60), (3, 105)):
            self.plan(timedelta(days=days), partial(self._release, stream, tranche))
            self.plan(timedelta(days=days, hours=1), partial(self._call, stream, tranche))

    async def _pledge(self, stream: str, member: str) -> None:
        share = GOAL // len(self.members)
        amount = min(share * self._chance.randint(80, 150) // 100, GOAL // 10)
        await self.give(stream, "pledge", f"{member}-rep", member=member, amount=amount)

    async def _release(self, stream: str, tranche: int) -> None:
        await self.give(stream, "release_tranche", "bo", tranche=tranche)

    async def _call(self, stream: str, tranche: int) -> None:
        if self._books(stream) is None:
            self.rounds = [each for each in self.rounds if each != stream]
            return
        await self.give(stream, "call_tranche", "tess", tranche=tranche)

    def _books(self, stream: str) -> Books | None:
        state = self._state(stream)
        return None if state is None else books_of(state)

    async def _tend(self) -> None:
        """The treasurer spends what has cleared, settles rounds that are over, gives back, and has payments signed; the lead tends the runs."""
        for stream in tuple(self.rounds):
            kept = self._books(stream)
            if kept is not None:
                await self._end_or_spend(stream, kept)
        for run in tuple(self.runs):
            await self._tend_run(run)
        await self._sign()

    async def _end_or_spend(self, stream: str, kept: Books) -> None:
        match self._state(stream):
            case Settled() | Cancelled():
                self.rounds.remove(stream)
            case Refunding():
                for member, account in sorted(kept.accounts.items()):
                    if account.figures.credit:
                        await self.give(stream, "order_refund", "tess", refund=f"{next(self._paid):06}", member=member)
            case Calling() if not kept.running and not kept.reserved:
                free = min(kept.spendable * 9 // 10, GOAL * 9 // 10 - kept.lines.get("compute", 0))
                if free > GOAL // 20:
                    spending = f"s{next(self._paid):06}"
                    await self.give(stream, "propose_spending", "tess", spending=spending, line="compute", amount=free, payee=SUPPLIER)
                    await self.give(stream, "approve_spending", "theo", spending=spending)
                elif len(kept.tranches) == len(kept.terms.tranches):
                    await self.give(stream, "settle_round", "tess")

    async def _sign(self) -> None:
        state = self._state(TREASURY)
        for name in sorted(name for name, payment in state.payments.items() if payment.stage == "ordered"):
            payment = state.payments[name]
            payee = state.payees.get(payment.payee)
            if payee is None or payee.account is None:
                continue
            digest = payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, payee.account_digest)
            for person in ("theo", "bea"):
                await self.give(TREASURY, "approve_payment", person, payment=name, digest=digest)

    # ------------------------------------------------------------ money

    async def _pay(self) -> None:
        """Whoever owes pays within days, mostly: on rounds and in dues."""
        today = self.now.date()
        if today.isoweekday() <= 5:
            for member in self.members:
                state = self._state(f"member/{member}")
                if isinstance(state, Paying | Active | Leaving) and state.dues.owed and self._chance.random() < 0.15:
                    self._credit(f"member/{member}", member, state.dues.owed)
            for stream in self.rounds:
                self._pay_into(stream, today)

    def _pay_into(self, stream: str, today: date) -> None:
        kept = self._books(stream)
        if kept is None or not (kept.running or kept.defaulted):
            return
        for member, owed in sorted(owing(self._state(stream), self.charter.funding.default_interest, today).items()):
            if owed and self._chance.random() < 0.3:
                self._credit(stream, member, owed)

    def _credit(self, stream: str, member: str, amount: int) -> None:
        number = next(self._paid)
        self.simulation.bank.credit(amount, "USD", creditor_reference(stream, member), f"PAID-{number:08}", member)

    # ------------------------------------------------------------ runs

    async def _plan_run(self, run: str, round_: str) -> None:
        if self._books(round_) is None:
            return
        tokens = STAGE.last_step * TOKENS_A_STEP
        contract = Contract.model_validate({
            "title": f"Run {run}", "lead": "lea", "objective": "A model with open weights, data and code.", "architecture": "decoder-only transformer",
            "parameters_millions": 32_000, "token_budget": tokens, "currency": "USD", "p50": GOAL * 6 // 10, "p80": GOAL * 7 // 10,
            "data_mix": [{"name": "web", "fraction": 8_000}, {"name": "code", "fraction": 2_000}],
            "round": round_, "stages": [STAGE], "source": {"adapter": "jsonl", "location": f"{run}/log.jsonl"}, "look_hours": 24,
            "silent_hours": 120, "stalled_hours": 720,
            "milestones": [
                {"id": "half", "text": "Half of it is trained.", "tranche": 2, "due_at": (self.now + timedelta(days=200)).isoformat(),
                 "criteria": {"tokens": tokens // 2}},
                {"id": "end", "text": "All of it is trained.", "tranche": 3, "due_at": (self.now + timedelta(days=400)).isoformat(),
                 "criteria": {"tokens": tokens}},
            ],
        }, strict=False)  # fmt: skip
        stream, proposal = f"run/{run}", f"proposal/train-{run}"
        await self.give(stream, "plan_run", "lea", contract=contract.model_dump(mode="json"))
        motion = {"stream": stream, "command": {"kind": "approve_contract", "contract": self._state(stream).digest}}
        await self.give(proposal, "propose", "lea", title=f"Train {run} under its contract", motion=motion)
        self._vote_on(proposal, share=0.9, choice="yes")
        self.runs.append(run)

    async def _tend_run(self, run: str) -> None:
        stream = f"run/{run}"
        state = self._state(stream)
        if isinstance(state, Approved):
            await self.give(stream, "start_run", "lea")
        elif isinstance(state, Running):
            await self._tend_milestones(stream, state.book)
        elif isinstance(state, RunOver):
            await self.give(stream, "close_run", "sam")
            self.runs.remove(run)

    async def _tend_milestones(self, stream: str, book: Book) -> None:
        round_ = str(book.contract.round)
        for tranche, milestone in enumerate(book.contract.milestones, 2):
            mark = book.mark(milestone.id)
            if mark.stage == "reached":
                await self.give(stream, "claim_milestone", "lea", milestone=milestone.id)
            elif mark.stage == "presented":
                for reviewer in REVIEWERS:
                    await self.give(stream, "accept_milestone", reviewer, milestone=milestone.id, evidence=mark.evidence)
            elif mark.stage == "accepted" and (kept := self._books(round_)) and not kept.running and len(kept.tranches) + 1 == tranche:
                await self.give(round_, "call_tranche", "tess", tranche=tranche)
        if book.all_accepted and not book.looking and book.look > book.accepted_look:
            await self.give(stream, "complete_run", "lea")


# ---------------------------------------------------------------- on a log


class Kept(NamedTuple):
    """A log that was made, and who of its members may vote at its end."""

    file: Path
    """An SQLite database without snapshots and lists."""
    entries: int
    members: Sequence[str]
    signers: Signers
    """Everybody's keys."""


async def made(folder: Path, sizes: Sequence[int], seed: int = SEED, told: Callable[[str], None] = lambda line: None) -> Sequence[Kept]:
    """Logs of these sizes, of which each is the beginning of the next. What lies in the folder already is not made again."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    files = {size: folder / f"years-{seed}-{size}-{_code()}.db" for size in sorted(sizes)}
    if not all(_members(file).exists() for file in files.values()):
        years = Years(seed, signers=signers_of(seed))
        for size, file in files.items():
            told(f"living through {size:,} entries")
            await years.live(size)
            await _keep(file, await years.log.read(0, size), years.active(), signers_of(seed))
    return [Kept(file, size, json.loads(_members(file).read_text(encoding="utf-8")), signers_of(seed)) for size, file in files.items()]


async def put(log: Log, entries: Sequence[Entry], key: SigningKey | None = None) -> None:
    """Puts a whole log on an empty one, with what is kept of its tree, and sealed by this key."""
    edge = Frontier()
    for start in range(0, len(entries), PAGE):
        page = entries[start : start + PAGE]
        edge, kept = edge.extended(entry.hash for entry in page)
        assert await log.append(page, seal=sealing.seal(edge, kept, key)) is Appended.DONE


async def into_postgres(file: Path, url: str, *, earnest: bool = False) -> None:
    """Copies an SQLite log into an empty database: as a rehearsal's, or as a real one that was recorded when its entries say."""
    database, log, edge = await PostgresLog.open(url), await SqliteLog.open(file), Frontier()
    connection, sealed = await asyncpg.connect(url), await log.sealed()
    while page := await log.read(edge.size, PAGE):
        edge, kept = edge.extended(entry.hash for entry in page)
        if earnest:  # past the function that holds the time of what is appended against the clock
            await connection.copy_records_to_table("entries", records=page, columns=Entry._fields)
            await database.keep_hashes(kept)
        else:
            seal = Seal(sealed if sealed is not None and sealed.size == edge.size else None, kept)
            assert await database.append(page, seal=seal) is Appended.DONE
    await connection.execute("VACUUM ANALYZE entries")
    await connection.close()
    await log.close()
    await database.close()


async def _keep(file: Path, entries: Sequence[Entry], members: Sequence[str], signers: Signers) -> None:
    for left in (file, *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))):
        left.unlink(missing_ok=True)
    log = await SqliteLog.open(file)
    private = signers.key(LOG).private
    assert isinstance(private, Ed25519PrivateKey)
    await put(log, entries, SigningKey(origin_of(entries[0].hash.hex()), private))
    await log.close()
    _members(file).write_text(json.dumps(members), encoding="utf-8")


def _members(file: Path) -> Path:
    """Beside a log; written last, so that who finds it finds a whole log."""
    return file.with_suffix(".json")


def _code() -> str:
    """A short digest of what makes a log what it is: the version of the rules, this program, and how everybody signs."""
    sources = [Path(__file__), *(ROOT / "tests" / name for name in ("signed_simulation.py", "signers.py"))]
    return sha256(RULES.encode() + b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def main() -> None:
    """Makes a log, and says what is in it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, nargs="+", default=[10_000])
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--kept", type=Path, default=KEPT, help="where logs are kept")
    given = arguments.parse_args()
    began = time.perf_counter()
    kept = asyncio.run(made(given.kept, given.entries, given.seed, lambda line: print(line, file=sys.stderr, flush=True)))[-1]
    took = time.perf_counter() - began
    with closing(sqlite3.connect(kept.file)) as database:
        rows = database.execute(
            "SELECT substr(stream, 1, instr(stream, '/') - 1), kind, outcome, count(*) FROM entries GROUP BY 1, 2, 3 ORDER BY 4 DESC"
        )
        table = Table("process", "command", "outcome", "entries", title=f"{kept.file}, {took:.0f} s")
        for *what, number in rows:
            table.add_row(*what, f"{number:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
