"""The shipped worker is killed with SIGKILL at random instants while the story is played on Temporal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from temporalio.client import Client

from activities.log.sending import Sender
from eventstore.clock import PacedClock
from eventstore.recorder import Recorder
from settings import open_log
from simulation.live import bank_of, live
from simulation.mock_bank import MockBank
from simulation.scenario import Story
from tests.chaos.checks import everything, problems
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.load import story
from tests.chaos.servers import temporal
from tests.sealing import resealed
from tests.stories import charter

PACE: Final = 20_000
"""A day in 4.3 seconds: slow enough that nobody misses a deadline because a worker is down."""
RULES: Final = charter(decisions__admission__duration_hours=24 * 28)
ROOT: Final = Path(__file__).parent.parent.parent


class Killed:
    """A worker process that is killed and started again, until it is let be."""

    def __init__(self, environment: Mapping[str, str], clock: PacedClock, chance: Random) -> None:
        self._environment = environment
        self._clock = clock
        self._chance = chance
        self.kills = 0

    async def run(self, most: int) -> None:
        """Kills up to `most` times, then leaves one worker running until cancelled."""
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.paced_worker",
                str(self._clock),
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


async def telling(client: Client, folder: Path, chance: Random, kills: int) -> tuple[int, list[str]]:
    """One telling of the story under fire: how many kills it took, and what went wrong."""
    queue = folder.name
    (folder / "sanctions.txt").write_text("Nobody In Particular\nSomebody Else Entirely\n", encoding="utf-8")
    now = datetime.now(UTC)
    clock = PacedClock(now, now.replace(microsecond=0), PACE)
    environment = os.environ | {
        "CONSORTIUM_FOLDER": str(folder), "CONSORTIUM_ADDRESS": client.service_client.config.target_host,
        "CONSORTIUM_TASK_QUEUE": queue, "TEMPORAL_NAMESPACE": client.namespace,
    }  # fmt: skip
    async with bank_of(folder, RULES) as bank:
        return await _told(client, folder, environment | {"CONSORTIUM_BANK": bank.url}, bank, clock, chance, kills)


async def _told(
    client: Client, folder: Path, environment: dict[str, str], bank: MockBank, clock: PacedClock, chance: Random, kills: int
) -> tuple[int, list[str]]:
    killed = Killed(environment, clock, chance)
    log = await open_log(str(folder / "log.db"))
    recorder = Recorder(log, clock=clock)
    sender = Sender(client, folder.name, patience=timedelta(seconds=30))
    killing = asyncio.create_task(killed.run(kills))
    try:
        async with asyncio.timeout(1_800), live(sender, recorder, bank, folder, partial(print, flush=True)) as stage:
            await Story(stage, RULES).play()
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        found = problems(await everything(log))
        await recorder.close()
        await log.close()
    return killed.kills, found


async def killed(ground: Ground) -> Findings:
    """Tells the story once, while up to so many kills are done."""
    async with temporal(ground.folder) as server:
        times, found = await telling(await server.client(), ground.folder, ground.chance, ground.faults)
    return Findings(times, found)


async def falsified(ground: Ground) -> Findings:
    """The control: the log of a telling in which one amount was changed afterwards, by somebody who can chain entries."""
    entries = list(await story())
    at = next(number for number, entry in enumerate(entries) if entry.kind == "pledge")
    entries[at] = entries[at]._replace(body=re.sub(rb'"amount":(\d+)', rb'"amount":1\1', entries[at].body))
    for number in range(at, len(entries)):
        entries[number] = resealed(entries[number], previous=entries[number - 1].hash)
    return Findings(1, problems(entries))


LANES: Final = (
    Lane(
        "story", "the shipped worker is killed while the story is played", 0, 1_000, 60,
        killed, falsified, "a changed amount, chained anew", "re-execution",
    ),
)  # fmt: skip
