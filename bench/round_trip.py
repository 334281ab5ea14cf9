"""A signed command's round trip against a bare Update with one local activity, on the same dev server.

`python -m bench.round_trip [--rounds 5] [--commands 100]`: one of the one, one of the other, so that whatever slows the machine slows both; medians in
milliseconds, and their ratio. A command is timed from when it is sent until it is answered, its signature verified, its entry sealed
and proved; what it takes its person to sign it before that is a row of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

import worker
from activities.log.record import Recording
from activities.log.sending import Sender
from bench.bare import Bare, echo
from bench.signed import People, founded, send
from eventstore.entries import Submission
from eventstore.sqlite import SqliteLog
from tests.dev_server import dev_server
from tests.probe import PROBE
from tests.probe_workflows import ProbeWorkflow
from tests.signers import Signers

ROUNDS: Final = 5
COMMANDS: Final = 100
TARGET: Final = 1.35
UPDATES: Final = ("a bare Update, as the SDK runs it", "a bare Update, run as our workers run theirs")
CONTENDERS: Final = (*UPDATES, "to sign a command", "a signed command")
"""Ours run without the SDK's sandbox: see `worker.RUNNER`."""


async def timed(calls: int, *contenders: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """Milliseconds of so many calls of each contender, who take turns."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(calls):
        for contender, own in zip(contenders, times, strict=True):
            start = time.perf_counter()
            await contender()
            own.append((time.perf_counter() - start) * 1_000)
    return times


async def measure(client: Client, folder: Path, rounds: int, commands: int) -> list[list[float]]:
    """The medians of `CONTENDERS`, one a round."""
    log = await SqliteLog.open(folder / "log.db")
    signers = Signers()
    recorder = await founded(log, signers, {"probe": PROBE})
    people, sender, stream = await People.of(log, signers), Sender(client, "ours"), "probe/bench"
    ours = Worker(
        client, task_queue="ours", workflows=[ProbeWorkflow, Bare], activities=[*Recording(recorder).activities(), echo],
        workflow_runner=worker.RUNNER,
    )  # fmt: skip
    async with ours, Worker(client, task_queue="defaults", workflows=[Bare], activities=[echo]):
        as_it_comes, as_ours = [await client.start_workflow(Bare.run, id=queue, task_queue=queue) for queue in ("defaults", "ours")]

        async def update(bare: WorkflowHandle[Bare, None]) -> str:
            return await bare.execute_update(Bare.poke, "x" * 100, id=str(uuid.uuid4()))

        signed = list[Submission]()

        async def sign() -> None:
            signed.append(people.signed(stream, "sam", {"kind": "poke"}))

        async def command() -> None:
            receipt = await send(sender, signed.pop())
            assert receipt.proof

        contenders = (partial(update, as_it_comes), partial(update, as_ours), sign, command)
        await people.send(sender, stream, "sam", {"kind": "begin"})
        await timed(commands, *contenders)
        found = [await timed(commands, *contenders) for _ in range(rounds)]
    await recorder.close()
    await log.close()
    return [[statistics.median(times) for times in each] for each in zip(*found, strict=True)]


async def main(rounds: int, commands: int) -> bool:
    """Prints the table; whether the target was met."""
    async with await dev_server() as environment:
        with tempfile.TemporaryDirectory() as folder:
            medians = [statistics.median(each) for each in await measure(environment.client, Path(folder), rounds, commands)]
    ratios = [medians[-1] / median for median in medians]
    table = Table(f"round trip, {rounds} x {commands}", "median ms", "a command costs", "target")
    for name, median, ratio in zip(CONTENDERS, medians, ratios, strict=True):
        table.add_row(name, f"{median:.1f}", f"{ratio:.2f} ×" if name in UPDATES else "", "")
    met = ratios[0] <= TARGET
    table.add_row("", "", f"at most {TARGET} × {CONTENDERS[0]}", "met" if met else "MISSED")
    Console().print(table)
    return met


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--commands", type=int, default=COMMANDS, help="of each round")
    given = arguments.parse_args()
    sys.exit(not asyncio.run(main(given.rounds, given.commands)))
