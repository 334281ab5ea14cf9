"""The demonstration: from a consortium's founding to its first published model, on the real parts, in about a minute."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

import worker
from activities import logs
from activities.log import cluster
from activities.log.sending import Sender, TurnedDown
from activities.log.signed import Moment
from audit.ledger.books import Booking
from audit.ledger.export import beancount, hledger
from audit.ledger.fold import ledger
from cli.embedded import LOCK, PORTS, alone, embedded, rest
from cli.failures import BadInput, Broken
from cli.files import charter_in, example
from cli.options import folder_option
from domain.charter import Charter
from domain.kernel import percent
from domain.money import display
from domain.round.books import Books
from domain.round.state import books_of, money_by_state
from eventstore.clock import MovedClock
from eventstore.recorder import Recorder
from settings import MARKER, rehearsed
from simulation import mock_bank, model_files
from simulation.live import Late, LiveStage, bank_of, live
from simulation.mock_bank import MockBank
from simulation.model import RELEASE, ModelStory
from simulation.scenario import FOURTEEN, ROUND, Look

PACE: Final = 120_000
"""One day in 0.72 seconds."""
PACES: Final = (PACE, PACE // 2, PACE // 5)
"""A machine that is busy otherwise comes too late for deadlines at the first; then the story begins again at the next."""
SKIPPING: Final = 50_000
"""About so fast the log's time runs on the time-skipping server, at most."""
ACCEPTS: Final = "accepts the books"


def demo(
    *,
    folder: Path = Path("state/demo"),
    charter: Path | None = None,
    full_length: Annotated[bool, Parameter(negative=())] = False,
    stay: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Play a consortium from its founding to its first published model: periods compressed, or at full length on the time-skipping server.

    Parameters
    ----------
    folder
        Where the demonstration keeps its log; what an earlier one left there is removed.
    charter
        The charter that is adopted; by default the example.
    full_length
        Use the time-skipping server, on which every period has its full length.
    stay
        Keep everything running afterwards, to look at it in Temporal's UI.
    json_
        Print the end as JSON.
    """
    console = Console(stderr=True, highlight=False, emoji=False)
    rules = adopted(charter or example("charter.toml"))
    mock_bank.require()
    model_files.require()
    start = time.monotonic()

    def told(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - start:5.1f} s[/dim]  {escape(line)}", markup=True)

    end = asyncio.run(_skipped(folder, rules, told) if full_length else _compressed(folder, rules, told, console if stay else None))
    if json_:
        print(json.dumps(end, ensure_ascii=False))
    else:
        _show(Console(markup=False, highlight=False, emoji=False), end, rules.currency, folder)
    require_accepted(end["books"])


def require_accepted(verdicts: Mapping[str, str]) -> None:
    """Raises `Broken` when a program refused the books: a demonstration that ends so has failed."""
    for program, verdict in verdicts.items():
        if verdict != ACCEPTS:
            raise Broken(f"{program} {verdict}", "report it, with the demonstration's folder: the books are made from its log alone")


def prepare(folder: Path) -> None:
    """Makes the folder anew, with a sanctions list in it.

    Raises `BadInput` for a folder in which no demonstration was played, and `AlreadyUp` for one in use.
    """
    if folder.exists() and not (folder / MARKER).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} holds something that no demonstration left there", "name a new folder with --folder, or remove this one")
    with alone(folder):
        (folder / MARKER).touch()
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name not in {MARKER, LOCK, PORTS}:
                left.unlink()
    (folder / "sanctions.txt").write_text(files("cli").joinpath("sanctions.txt").read_text(encoding="utf-8"), encoding="utf-8")


def adopted(path: Path) -> Charter:
    """The charter in a file. Raises `BadInput`."""
    if not path.is_file():
        raise BadInput(f"there is no charter at {path}", "name another with --charter, or leave it out: the example is adopted then")
    return charter_in(path)


async def _compressed(folder: Path, charter: Charter, told: Callable[[str], None], console: Console | None) -> dict[str, Any]:
    for pace in PACES[:-1]:
        try:
            return await at_pace(pace, folder, charter, told, console)
        except (TurnedDown, Late, ExceptionGroup) as error:
            if not came_late(error):
                raise
            told("this machine is too busy for the pace; the story begins again, slower")
    return await at_pace(PACES[-1], folder, charter, told, console)


def came_late(error: Exception) -> bool:
    """Whether the story was only overtaken by its deadlines."""
    if isinstance(error, ExceptionGroup):
        return all(came_late(each) for each in error.exceptions)
    return isinstance(error, TurnedDown | Late)


async def at_pace(pace: int, folder: Path, charter: Charter, told: Callable[[str], None], console: Console | None = None) -> dict[str, Any]:
    """Plays the whole story with every period divided by the pace. Raises what turned it away."""
    prepare(folder)
    async with bank_of(folder, charter) as bank, embedded(rehearsed(folder, bank=bank.url), pace=pace) as running:
        told(f"Temporal, a worker, a bank and the log run in {folder}; the UI is at {running.ui}")
        async with live(running.sender, running.recorder, bank, folder, told) as stage:
            await ModelStory(stage, charter).play()
        if not await running.stand_still():
            told("something is still owed: `consortium status` shows it; the next `consortium up` carries it out")
        end = await _end(running.recorder, folder)
        if console is not None:
            console.print(f"look at {running.ui}/namespaces/default/workflows/{ROUND.replace('/', '%2F')}; Ctrl-C ends")
            await running.stopped.wait()
    return end


async def _skipped(folder: Path, charter: Charter, told: Callable[[str], None]) -> dict[str, Any]:
    prepare(folder)
    logs.configure((folder / "worker.log").open("a", encoding="utf-8", buffering=1))
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=worker.binary("temporal-test-server"),
        data_converter=pydantic_data_converter,
        runtime=worker.telemetry(""),
    ) as environment:
        await cluster.make_search_attributes(environment.client)
        told("the time-skipping server runs: every period has its full length")
        async with AsyncExitStack() as stack:
            stack.enter_context(alone(folder))
            bank = await stack.enter_async_context(bank_of(folder, charter))
            chosen = rehearsed(folder, bank=bank.url, task_queue="demo")
            clock = MovedClock(await environment.get_current_time())
            recorder = await stack.enter_async_context(worker.recording(chosen, clock))
            following = Following(environment, clock)
            await stack.enter_async_context(worker.compose(environment.client, recorder, chosen, [following]))
            await ModelStory(SkippingStage(environment, recorder, bank, folder, told), charter).play()
            await rest(recorder)
            return await _end(recorder, folder)


class Following(Interceptor):
    """Moves the log's clock to the time-skipping server's before each activity: a deadline is recorded at the time that the server
    skipped to for it, which nobody else sees.
    """

    def __init__(self, environment: WorkflowEnvironment, clock: MovedClock) -> None:
        self._environment = environment
        self._clock = clock

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  the SDK's name
        """See `Interceptor.intercept_activity`."""
        environment, clock = self._environment, self._clock

        class Moving(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  the SDK's name
                clock.to(await environment.get_current_time())
                return await super().execute_activity(input)

        return Moving(next)


class SkippingStage(LiveStage):
    """Temporal's time-skipping server as a stage: the clock is moved on whenever the story waits."""

    def __init__(
        self, environment: WorkflowEnvironment, recorder: Recorder, bank: MockBank, folder: Path, told: Callable[[str], None]
    ) -> None:
        super().__init__(Sender(environment.client, "demo"), recorder, bank, folder, told)
        self._environment = environment
        self._moving = asyncio.Lock()
        self._moves = 0

    async def now(self) -> datetime:
        """See `Stage.now`."""
        return max(await self._environment.get_current_time(), (await self._recorder.replica()).head_time).astimezone(UTC)

    async def _moment(self) -> Moment:
        """While a command is under way, others let months pass."""
        return replace(await super()._moment(), at=await self.now(), pace=SKIPPING)

    async def wait(self, until: datetime) -> None:
        """See `Stage.wait`."""
        while (left := until - await self.now()) > timedelta():
            await self._move(min(left, timedelta(hours=6)))
            await asyncio.sleep(0.05)

    async def until(self, stream: str, holds: Callable[[Look], bool]) -> Look:
        """See `Stage.until`."""
        patience = 0
        while True:
            look = await self._look(stream)
            if look is not None and holds(look):
                return look
            patience += 1
            if patience > 10:  # what is under way has settled: now time may pass
                await self._move(timedelta(hours=6))
            await asyncio.sleep(0.01)

    async def _move(self, by: timedelta) -> None:
        """Moves the clock on, once for all who wait."""
        moves = self._moves
        async with self._moving:
            if self._moves == moves:
                await self._environment.sleep(by)
                await self._bank.today((await self.now()).date())
                self._moves += 1


async def _end(recorder: Recorder, folder: Path) -> dict[str, Any]:
    """What the story came to: members with their share, leverage and lease; the round's money; the ledger; the published model."""
    state = (await recorder.standing(ROUND)).stream.state
    kept = books_of(state)
    assert kept is not None, "the story ends with a committed round"
    register = (await recorder.replica()).register
    release = await recorder.standing(RELEASE)
    known = release.stream.state.release
    leases = {lease.member: f"{lease.starts_at.date()} to {lease.ends_at.date()}" for lease in known.leases.values()}
    books = await ledger(recorder.log)
    verdicts = await asyncio.to_thread(judged, books.bookings, folder)
    members = [
        {
            "member": each.member, "name": each.name, "standing": register.members[each.member].standing.value,
            **_share(kept, each.member), "early_access": leases.get(each.member, ""),
        }
        for each in FOURTEEN
    ]  # fmt: skip
    model = {
        "line": release.headline.line, "where": str(folder / "published" / "public" / "atlas-1"), "openness": release.headline.values["openness"],
        "reasons": list(release.stream.state.edition.openness.reasons),
    }  # fmt: skip
    return {
        "goal": kept.goal, "members": members, "money": dict(money_by_state(state)), "model": model,
        "ledger": {f"{account} {money}": amount for (account, money), amount in sorted(books.balances.items()) if amount},
        "books": verdicts, "entries": (await recorder.log.head()).position,
    }  # fmt: skip


def judged(bookings: Sequence[Booking], folder: Path) -> dict[str, str]:
    """Writes the books for both accounting programs into the folder, and tells what each that is installed says of them."""
    beans, journal = folder / "ledger.beancount", folder / "ledger.journal"
    beans.write_text(beancount(bookings), encoding="utf-8")
    journal.write_text(hledger(bookings), encoding="utf-8")
    checks = {"bean-check": (str(beans),), "hledger": ("check", "--strict", "-f", str(journal))}
    verdicts = dict[str, str]()
    for name, arguments in checks.items():
        program = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
        if program is not None:
            said = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  # a program by its name, on our files
            verdicts[name] = ACCEPTS if said.returncode == 0 else f"refuses the books: {(said.stdout + said.stderr)[:500]}"
    return verdicts


def _share(kept: Books, member: str) -> dict[str, Any]:
    figures = kept.accounts[member].figures
    own = figures.committed
    return {
        "committed": own, "cleared": figures.cleared, "share_basis_points": own * 10_000 // kept.goal,
        "leverage_hundredths": kept.goal * 100 // own if own else None,
    }  # fmt: skip


def _show(console: Console, end: dict[str, Any], currency: str, folder: Path) -> None:
    members = Table(
        "member", "standing", "committed", "cleared", "share", "leverage", "early access", title=f"Members of {ROUND}, in {currency}"
    )
    for row in end["members"]:
        leverage = row["leverage_hundredths"]
        members.add_row(
            row["name"], row["standing"], _plain(row["committed"], currency), _plain(row["cleared"], currency),
            percent(row["share_basis_points"]), f"{leverage / 100:.1f} x" if leverage else "-", row["early_access"],
        )  # fmt: skip
    money = Table("state", "amount", title=f"Its money, of {display(end['goal'], currency)}")
    for name, amount in end["money"].items():
        money.add_row(name.replace("_", " "), _plain(amount, currency))
    for table, columns in ((members, (2, 3, 4, 5)), (money, (1,))):
        for column in columns:
            table.columns[column].justify = "right"
            table.columns[column].no_wrap = True
    books = Table("account", "balance", title="The ledger")
    for name, amount in end["ledger"].items():
        books.add_row(name, _plain(amount, currency))
    books.columns[1].justify = "right"
    console.print(members, money, books)
    for program, verdict in end["books"].items():
        console.print(f"{program} {verdict}", markup=False)
    model = end["model"]
    console.print(
        f"{model['line']}\n  openness class {model['openness']}" + "".join(f"\n    {reason}" for reason in model["reasons"]), markup=False
    )
    console.print(f"  the files, their signature, card and bill of materials: {model['where']}", markup=False)
    console.print(
        f"{end['entries']} entries on the log. Look around with `consortium up{folder_option(folder)}`: Temporal's UI shows every process,\n"
        f"{ROUND} under Workflows. Or: consortium log | show {ROUND} | verify, each with{folder_option(folder)}.",
        markup=False,
    )


def _plain(minor: int, currency: str) -> str:
    return display(minor, currency).removeprefix(f"{currency} ")
