"""A command's round trip against a bare Update with one local activity, on the same dev server.

`python -m bench.round_trip`: one of the one, one of the other, so that whatever slows the machine slows both; medians in
milliseconds, and their ratio.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import worker
from activities.record import Recording
from activities.sending import Sender
from bench.bare import Bare, echo
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from tests.probe import PROBE, ProbeWorkflow

ROUNDS: Final = 5
COMMANDS: Final = 100
TARGET: Final = 1.15


async def timed(*contenders: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """Milliseconds of each of `COMMANDS` calls of each contender, who take turns."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(COMMANDS):
        for contender, own in zip(contenders, times, strict=True):
            start = time.perf_counter()
            await contender()
            own.append((time.perf_counter() - start) * 1_000)
    return times


async def measure(client: Client, folder: Path) -> tuple[list[float], list[float]]:
    """The medians of both, a pair a round."""
    log = await SqliteLog.open(folder / "log.db")
    recorder = Recorder(log, {"probe": PROBE})
    sender, stream = Sender(client, "bench"), "probe/bench"
    async with Worker(
        client, task_queue="bench", workflows=[ProbeWorkflow, Bare], activities=[*Recording(recorder).activities(), echo],
        workflow_runner=worker.RUNNER,
    ):  # fmt: skip
        bare = await client.start_workflow(Bare.run, id="bare", task_queue="bench")

        async def update() -> str:
            return await bare.execute_update(Bare.poke, "x" * 100, id=str(uuid.uuid4()))

        async def command() -> object:
            return await sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "poke"})

        await sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "begin"})
        await timed(update, command)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            bare_times, command_times = await timed(update, command)
            theirs.append(statistics.median(bare_times))
            ours.append(statistics.median(command_times))
    await recorder.close()
    await log.close()
    return ours, theirs


async def main() -> bool:
    """Prints the table; whether the target was met."""
    extra = [text for name in worker.SEARCH_ATTRIBUTES for text in ("--search-attribute", name)]
    extra += [text for name in worker.DEV_SERVER for text in ("--dynamic-config-value", name)]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=worker.binary("temporal"), data_converter=pydantic_data_converter, dev_server_extra_args=extra
    ) as environment:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = await measure(environment.client, Path(folder))
    ratio = statistics.median(ours) / statistics.median(theirs)
    table = Table("round trip, median ms of", "bare Update", "command", "ratio", "target", "met")
    table.add_row(
        f"{ROUNDS} x {COMMANDS}", f"{statistics.median(theirs):.1f}", f"{statistics.median(ours):.1f}", f"{ratio:.2f}",
        f"at most {TARGET}", "yes" if ratio <= TARGET else "no",
    )  # fmt: skip
    Console().print(table)
    return ratio <= TARGET


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
