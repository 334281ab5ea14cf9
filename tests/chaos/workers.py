"""Lanes with the shipped worker as a process: it is stopped and killed under load, and its host's clock is wrong. And what they share."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import worker
from activities.log.sending import NotAnswered, NotTaken, Sender, TurnedDown
from domain.kernel import derived_id
from eventstore.entries import Entry, instant
from eventstore.wire import canonical_command
from settings import open_log
from simulation.scenario import ATLAS, OFFICERS, lei
from tests.chaos.checks import Receipt, everything, kept, problems
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.servers import Temporal, postgres, temporal
from tests.keyrings import Holders
from tests.stories import charter

CLIENTS: Final = 3
COMMANDS: Final = 4
"""How many organisations each client has apply in each phase."""
PATIENCE: Final = timedelta(seconds=10)
ANSWER_SECONDS: Final = 90
"""How long a command may take, whatever becomes of workers."""
IMPATIENT_SECONDS: Final = 8
START_SECONDS: Final = 60
APART: Final = timedelta(seconds=45)
"""No entry is dated further from when it was recorded: so far clocks may be apart, and some time passes until its caller is told."""
AT_ONCE: Final = 5
"""How many workers with wrong clocks there are at a time."""
SHIPPED: Final = (sys.executable, "-m", "worker")
HASTY: Final = (sys.executable, "-m", "tests.chaos.hasty_worker")


# ------------------------------------------------------------ workers


@dataclass
class Site:
    """One log, one Temporal, and workers."""

    folder: Path
    url: str
    server: Temporal
    problems: list[str] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    @asynccontextmanager
    async def worker(self, *program: str | Path, name: str = "shipped") -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker meanwhile, run by such a program; it is told to stop with SIGTERM, and must end well. Killed by others it may be."""
        log = self.folder / f"worker-{next(self._numbers)}-{name}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CONSORTIUM_", "TEMPORAL_", "PYTHON"))}
        environment |= {"CONSORTIUM_FOLDER": str(self.folder), "CONSORTIUM_LOG": self.url, "CONSORTIUM_ADDRESS": self.server.address}
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(*program, cwd=self.folder, env=environment, stdout=errors, stderr=errors)
        try:
            await self._begun(process, log)
            yield process
            if process.returncode is None:
                process.terminate()
                await asyncio.wait_for(process.wait(), START_SECONDS)
            if process.returncode not in {0, -signal.SIGKILL}:
                self.problems.append(f"a {name} worker ended with {process.returncode}: {log.read_text(encoding='utf-8')[-500:]}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _begun(self, process: asyncio.subprocess.Process, log: Path) -> None:
        end = asyncio.get_running_loop().time() + START_SECONDS
        while "worker.started" not in (said := log.read_text(encoding="utf-8")):
            assert process.returncode is None, f"it did not start: {said[-1_000:]}"
            assert asyncio.get_running_loop().time() < end, f"it did not start: {said[-1_000:]}"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def together(workers: Sequence[AbstractAsyncContextManager[object]]) -> AsyncIterator[None]:
    """Starts workers side by side, and stops them so: each waits for itself."""
    entered = await asyncio.gather(*(each.__aenter__() for each in workers), return_exceptions=True)
    try:
        for failed in entered:
            if isinstance(failed, BaseException):
                raise failed
        yield
    finally:
        begun = [each for each, how in zip(workers, entered, strict=True) if not isinstance(how, BaseException)]
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in begun))


# ------------------------------------------------------------ people


class People:
    """Who go on giving commands, whichever release answers: organisations apply in one phase, and withdraw in the next."""

    def __init__(self, sender: Sender, folder: Path, patience_seconds: float = ANSWER_SECONDS) -> None:
        self._sender = sender
        self._holders = Holders(folder)
        self._patience_seconds = patience_seconds
        self._numbers = count(1)
        self.receipts: list[Receipt] = []
        self.asked: dict[str, tuple[str, str, bytes]] = {}
        self.shown: list[str] = []
        """What nobody may be shown who asks for nothing wrong."""
        self.applied: list[str] = []

    async def found(self) -> None:
        """The founding."""
        await self.give(ATLAS, "sam", self._holders.founding(charter().model_dump(mode="json"), OFFICERS))
        self._holders.first = self.receipts[0].hash

    async def go_on(self) -> None:
        """One phase: who applied in the last one withdraws, and others apply."""
        before, self.applied = self.applied, []
        await asyncio.gather(*(self._client(before[number::CLIENTS]) for number in range(CLIENTS)))

    async def _client(self, applied: Sequence[str]) -> None:
        for stream in applied:
            await self.withdraw(stream)
        for _ in range(COMMANDS):
            self.applied.append(await self.apply())

    async def without_end(self, stop: asyncio.Event) -> None:
        """One phase after the other, until it is to stop or something is shown that must not be."""
        while not stop.is_set() and not self.shown:
            await self.go_on()

    async def apply(self) -> str:
        """An organisation applies; its stream."""
        number = next(self._numbers)
        stream = f"member/applicant-{number}"
        person = _person(stream)
        command = {
            "kind": "apply", "name": f"Applicant {number}", "lei": lei(5_000 + number), "country": "CH", "tier": "associate",
            "representatives": [{"person": person, **self._holders.key_of(person)}],
        }  # fmt: skip
        await self.give(stream, person, command)
        return stream

    async def withdraw(self, stream: str) -> None:
        """It thinks better of it."""
        await self.give(stream, _person(stream), {"kind": "withdraw_application"})

    async def note_contact(self, stream: str) -> None:
        """What only the newer release knows."""
        await self.give(stream, _person(stream), {"kind": "note_contact", "contact": "by the door"})

    async def give(self, stream: str, actor: str, command: dict[str, Any]) -> None:
        """Gives a command until it is answered."""
        kind, command_id = str(command["kind"]), derived_id(stream, str(command["kind"]))
        self.asked[command_id] = (stream, actor, canonical_command(command))
        end = asyncio.get_running_loop().time() + self._patience_seconds
        while asyncio.get_running_loop().time() < end:
            try:
                said = self._holders.sign(stream, command_id, actor, command)
                receipt = await self._sender.send(stream, command_id, actor, command, **said)
            except (TurnedDown, NotTaken) as error:
                return self.shown.append(f"wrongly refused: {kind} on {stream}: {error}")
            except NotAnswered:
                await asyncio.sleep(0.2)
            else:
                return self.receipts.append(Receipt(receipt.command_id, receipt.position, receipt.hash))
        return self.shown.append(f"not answered within {self._patience_seconds:.0f} s: {kind} on {stream}")


def _person(stream: str) -> str:
    return stream.partition("/")[2] + "-rep"


# ------------------------------------------------------------ stopped and killed


@asynccontextmanager
async def staffed(ground: Ground, *, url: str = "", patience_seconds: float = ANSWER_SECONDS) -> AsyncIterator[tuple[Site, People]]:
    """A site without workers, and people. By default on PostgreSQL."""
    (ground.folder / "sanctions.txt").write_text("Nobody In Particular\nSomebody Else Entirely\n", encoding="utf-8")
    async with AsyncExitStack() as stack:
        place = url or stack.enter_context(postgres(ground.folder)).url
        site = Site(ground.folder, place, await stack.enter_async_context(temporal(ground.folder)))
        yield site, People(Sender(await site.server.client(), patience=PATIENCE), ground.folder, patience_seconds)


async def stopped(ground: Ground) -> Findings:
    """Three workers: one that stays, one that is told to stop and replaced, and one that is killed and replaced, again and again."""
    async with staffed(ground) as (site, people):
        async with site.worker(*SHIPPED):
            await people.found()
            stop = asyncio.Event()
            giving = asyncio.create_task(people.without_end(stop))
            lives = [ground.chance.uniform(0.2, 1.0) for _ in range(ground.faults)]
            await asyncio.gather(_told_to_stop(site, lives[::2]), _killed(site, lives[1::2]))
            stop.set()
            await giving
        return Findings(ground.faults, [*site.problems, *await found(site, people)])


async def _told_to_stop(site: Site, lives: Sequence[float]) -> None:
    """One worker after the other works for so many seconds, and is told to stop."""
    for seconds in lives:
        async with site.worker(*SHIPPED):
            await asyncio.sleep(seconds)


async def _killed(site: Site, lives: Sequence[float]) -> None:
    """One worker after the other works for so many seconds, and is killed."""
    for seconds in lives:
        async with site.worker(*SHIPPED) as process:
            await asyncio.sleep(seconds)
            process.kill()
            await process.wait()


async def hasty(ground: Ground) -> Findings:
    """The control: a worker that answers before the log has it, killed."""
    async with staffed(ground) as (site, people):
        async with site.worker(*SHIPPED):
            await people.found()
        async with site.worker(*HASTY) as process:
            giving = asyncio.create_task(people.go_on())
            while len(people.receipts) < CLIENTS + 1 and not people.shown:
                await asyncio.sleep(0.01)
            process.kill()
            await process.wait()
            giving.cancel()  # nobody is there to answer
            await asyncio.gather(giving, return_exceptions=True)
        return Findings(1, [*site.problems, *await found(site, people)])


async def found(site: Site, people: People) -> list[str]:
    """What is wrong: with the log, with what people were promised and shown."""
    log = await open_log(site.url)
    entries = await everything(log)
    await log.close()
    return [*people.shown[:20], *promises(entries, people), *problems(entries)]


def promises(entries: Sequence[Entry], people: People) -> list[str]:
    """Which promises to people were broken."""
    by_people = [entry for entry in entries if entry.actor != "service"]
    refused = [f"wrongly refused: {entry.kind} at position {entry.position}" for entry in by_people if entry.outcome == "refused"]
    return [*kept(by_people, people.receipts, people.asked), *refused]


# ------------------------------------------------------------ clocks


async def apart(ground: Ground) -> Findings:
    """One worker whose host's clock is right, and others whose clocks are wrong by a minute to a week."""
    begun = worker.now()
    async with staffed(ground) as (site, people):
        async with site.worker(*SHIPPED):
            await people.found()
            left = ground.faults
            while left > 0:
                wrong = [site.worker(*wrong_by(_skew(ground)), *SHIPPED, name="wrong") for _ in range(min(AT_ONCE, left))]
                async with together(wrong):
                    await people.go_on()
                left -= AT_ONCE
        return Findings(ground.faults, [*site.problems, *await found(site, people), *await misdated(site, begun)])


async def believed(ground: Ground) -> Findings:
    """The control: a log without a clock of its own, which believes the one host it has."""
    begun = worker.now()
    async with staffed(ground, url=str(ground.folder / "log.db"), patience_seconds=IMPATIENT_SECONDS) as (site, people):
        async with site.worker(*wrong_by(timedelta(minutes=10)), *SHIPPED, name="wrong"):
            await people.found()
        return Findings(1, await misdated(site, begun))


def _skew(ground: Ground) -> timedelta:
    return timedelta(seconds=ground.chance.choice((-1, 1)) * 10 ** ground.chance.uniform(2.0, 5.8))


def wrong_by(skew: timedelta) -> Sequence[str]:
    """What runs a program whose clock is wrong, and goes on at the right pace."""
    return ("env", f"LD_PRELOAD={_library()}", f"FAKETIME={skew.total_seconds():+.0f}s", "DONT_FAKE_MONOTONIC=1")


@cache
def _library() -> str:
    """What `faketime` loads before a program. By itself it would stand between us and the program's signals."""
    said = subprocess.run(("faketime", "-m", "-f", "+0s", "printenv", "LD_PRELOAD"), check=True, capture_output=True, text=True)
    return said.stdout.strip()


async def misdated(site: Site, begun: datetime) -> list[str]:
    """Which entries are dated when nobody recorded anything."""
    log = await open_log(site.url)
    entries = await everything(log)
    await log.close()
    first, last = begun - APART, worker.now() + APART
    return [
        f"entry {each.position} is dated {instant(each.at):%Y-%m-%d %H:%M:%S}" for each in entries if not first <= instant(each.at) <= last
    ]


def no_faketime() -> str:
    """Why no clock can be wrong."""
    return "" if shutil.which("faketime") else "faketime is not installed (Debian: faketime)"


LANES: Final = (
    Lane(
        "workers-stopped", "workers are told to stop, and killed, under load", 10, 1_000, 50,
        stopped, hasty, "answers before the log has them", "acknowledged, and not on the log", seconds=180,
    ),
    Lane(
        "clocks-apart", "hosts have wrong clocks", 10, 100, 20,
        apart, believed, "a log that believes its host", "is dated", no_faketime, seconds=80,
    ),
)  # fmt: skip
