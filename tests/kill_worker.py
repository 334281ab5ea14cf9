"""Kills the worker with SIGKILL at random instants while the story is played on Temporal, until so many kills were done.

`python -m tests.kill_worker [--kills 100] [--seed N]`: prints what was lost, doubled or out of balance; exits 1 if anything.
Each telling has a log of its own; between tellings the server goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker
from activities.sending import Sender
from audit.reexecute import Reexecution
from domain.funding_books import Figures
from domain.funding_state import books_of
from domain.process import Stream, evolve
from eventstore.clock import PacedClock
from eventstore.entries import Broken, Entry, verify
from eventstore.log import Log
from eventstore.recorder import Recorder
from eventstore.replica import Replica
from settings import open_log
from simulation.live import bank_of, live
from simulation.mock_bank import MockBank
from simulation.scenario import ROUND, Story
from tests.stories import charter
from tests.votes import unfair

PACE: Final = 20_000
RULES: Final = charter(decisions__admission__duration_hours=24 * 28)
"""A day in 4.3 seconds: slow enough that nobody misses a deadline because a worker is down."""
ROOT: Final = Path(__file__).parent.parent


class Killed:
    """A worker process that is killed and started again, until it is let be."""

    def __init__(self, environment: Mapping[str, str], chance: random.Random) -> None:
        self._environment = environment
        self._chance = chance
        self.kills = 0

    async def run(self, most: int) -> None:
        """Kills up to `most` times, then leaves one worker running until cancelled."""
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "worker.py",
                cwd=ROOT,
                env=dict(self._environment),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                if self.kills < most:
                    await asyncio.sleep(3.0 + self._chance.random() * 6.0)
                    process.send_signal(signal.SIGKILL)
                    self.kills += 1
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def everything(log: Log) -> list[Entry]:
    """All entries of a log."""
    entries: list[Entry] = []
    while more := await log.read(len(entries), 10_000):
        entries += more
    return entries


def problems(entries: list[Entry]) -> list[str]:
    """What is wrong with a log: its chain, its decisions, doubled commands, unfair votes, books out of balance at any entry."""
    found: list[str] = []
    if isinstance(head := verify(entries), Broken):
        found.append(f"chain: {head}")
    if (broken := Reexecution().check(entries)) is not None:
        found.append(f"re-execution: {broken}")
    found += [
        f"command {command_id} stands {times} times" for command_id, times in Counter(e.command_id for e in entries).items() if times > 1
    ]
    found += unfair(entries)
    replica, state = Replica(), Stream(Replica().process_of(ROUND).initial)
    process = replica.process_of(ROUND)
    for entry in entries:
        if entry.stream == ROUND:
            for event in replica.events_of(process, entry):
                state = evolve(process, state, event)
            found += [f"entry {entry.position}: {wrong}" for wrong in unbalanced(state)]
    return found


def unbalanced(state: Stream[object]) -> list[str]:
    """Which laws of money a round breaks."""
    kept = books_of(state.state)  # type: ignore[arg-type]
    if kept is None:
        return []
    total: Figures = kept.totals
    summed = sum((account.figures for account in kept.accounts.values()), Figures())
    laws = {
        "the totals are the sum of the accounts": summed == total,
        "pledged = called + uncalled + cancelled": total.pledged == total.called + total.uncalled + total.cancelled,
        "called is at most committed": total.called <= total.committed,
        "cleared is at most called": total.cleared <= total.called,
        "cash in = refunded + spent + held": total.received == total.refunded + kept.spent + kept.held,
        "nothing is negative": min(total.uncalled, total.owed, kept.held, kept.spent, total.credit) >= 0,
    }
    return [law for law, holds in laws.items() if not holds]


async def telling(client: Client, folder: Path, chance: random.Random, kills: int) -> tuple[int, list[str]]:
    """One telling of the story under fire: how many kills it took, and what went wrong."""
    queue = folder.name
    (folder / "sanctions.txt").write_text("Nobody In Particular\nSomebody Else Entirely\n", encoding="utf-8")
    now = datetime.now(UTC)
    clock = PacedClock(now, now.replace(microsecond=0), PACE)
    environment = os.environ | {
        "CONSORTIUM_FOLDER": str(folder), "CONSORTIUM_ADDRESS": client.service_client.config.target_host,
        "CONSORTIUM_TASK_QUEUE": queue, "CONSORTIUM_CLOCK": str(clock), "TEMPORAL_NAMESPACE": client.namespace,
    }  # fmt: skip
    async with bank_of(folder, RULES) as bank:
        return await _told(client, folder, environment | {"CONSORTIUM_BANK": bank.url}, bank, clock, chance, kills)


async def _told(
    client: Client, folder: Path, environment: dict[str, str], bank: MockBank, clock: PacedClock, chance: random.Random, kills: int
) -> tuple[int, list[str]]:
    killed = Killed(environment, chance)
    log = await open_log(str(folder / "log.db"))
    recorder = Recorder(log)
    sender = Sender(client, folder.name, patience=timedelta(seconds=30))
    killing = asyncio.create_task(killed.run(kills))
    try:
        async with asyncio.timeout(1_800), live(sender, recorder, clock, bank, partial(print, flush=True)) as stage:
            await Story(stage, RULES).play()
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        found = problems(await everything(log))
        await recorder.close()
        await log.close()
    return killed.kills, found


async def main(kills: int, seed: int) -> int:
    """Tells the story until so many kills were done; the number of problems found."""
    chance, done, wrong, tellings, start = random.Random(seed), 0, 0, 0, time.monotonic()
    attributes = [text for name in worker.SEARCH_ATTRIBUTES for text in ("--search-attribute", name)]
    dynamic = [text for name in worker.DEV_SERVER for text in ("--dynamic-config-value", name)]
    while done < kills:
        async with await WorkflowEnvironment.start_local(
            dev_server_existing_path=worker.binary("temporal"), data_converter=pydantic_data_converter,
            dev_server_extra_args=[*attributes, *dynamic], dev_server_log_level="error",
        ) as environment:  # fmt: skip
            with tempfile.TemporaryDirectory(prefix="telling-") as folder:
                times, found = await telling(environment.client, Path(folder), chance, kills - done)
        done, wrong, tellings = done + times, wrong + len(found), tellings + 1
        print(f"telling {tellings}: {times} kills, {len(found)} problems {found[:3]}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} kills in {tellings} tellings: {wrong} problems; every command of the story was answered and stands once")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(bool(asyncio.run(main(arguments.kills, arguments.seed))))
