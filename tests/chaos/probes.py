"""What the lanes about Temporal have in common: streams of the probe, each with a bell that rings when it is due, and pokes meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.worker import Worker

import worker
from activities.log.record import Recording
from activities.log.sending import NotAnswered, Sender
from activities.log.tell import Tell
from domain.kernel import derived_id
from eventstore.entries import ACCEPTED, Entry, instant
from eventstore.log import Log
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from tests.chaos.checks import Receipt, chained, everything, kept
from tests.probe import PROBE
from tests.probe_workflows import ProbeWorkflow
from tests.test_shell import FAST, works

QUEUE: Final = "chaos"
BY: Final = "sam"
TRIES: Final = 4
"""How often a command is given again that was not answered."""
PATIENCE: Final = timedelta(seconds=20)


@dataclass
class Probes:
    """Streams of the probe, driven through one client of Temporal."""

    client: Client
    recorder: Recorder
    receipts: list[Receipt] = field(default_factory=list)
    asked: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    async def begin(self, number: int, seconds: int) -> str:
        """A new stream, whose bell rings in so many seconds; its name."""
        stream = f"probe/bell-{number}"
        await self.give(stream, {"kind": "begin", "ring_seconds": seconds})
        return stream

    async def give(self, stream: str, command: dict[str, object]) -> None:
        """Gives a command until it is answered."""
        command_id = derived_id("probes", stream, str(next(self._numbers)))
        self.asked[command_id] = (stream, BY, canonical_command(command))
        for _ in range(TRIES):
            try:
                receipt = await Sender(self.client, QUEUE, PATIENCE).send(stream, command_id, BY, command)
            except NotAnswered:
                continue
            except Exception as error:  # noqa: BLE001  whatever a caller is shown but "not answered" is a finding
                return self.faults.append(f"a caller was shown {type(error).__name__}: {error}")
            return self.receipts.append(Receipt(receipt.command_id, receipt.position, receipt.hash))
        return self.faults.append(f"not answered: {command_id} on {stream}")

    async def poke(self, streams: Sequence[str], stop: asyncio.Event) -> None:
        """Pokes one stream after the other until it is to stop."""
        while not stop.is_set() and not self.faults:
            for stream in streams:
                await self.give(stream, {"kind": "poke"})

    async def rung(self, upto: datetime) -> None:
        """Waits until every bell rang, or until an instant."""
        while worker.now() < upto and not all(bells(await everything(self.recorder.log)).values()):
            await asyncio.sleep(0.2)

    async def found(self, late: timedelta) -> list[str]:
        """What is wrong: with the log, with what callers were promised, with the bells."""
        entries = await everything(self.recorder.log)
        by_people = [entry for entry in entries if entry.actor == BY]
        return [*self.faults, *chained(entries), *kept(by_people, self.receipts, self.asked), *rings(entries, late)]


def bells(entries: Sequence[Entry]) -> dict[str, list[datetime]]:
    """When the bell of each stream rang."""
    found: dict[str, list[datetime]] = {}
    for entry in entries:
        if entry.outcome == ACCEPTED:
            kinds = [event["kind"] for event in json.loads(entry.body)]
            found.setdefault(entry.stream, []).extend(instant(entry.at) for kind in kinds if kind == "rung")
    return found


def rings(entries: Sequence[Entry], late: timedelta) -> list[str]:
    """Which bells did not ring once, at their time."""
    due = {
        entry.stream: datetime.fromisoformat(event["rings_at"])
        for entry in entries if entry.outcome == ACCEPTED
        for event in json.loads(entry.body) if event["kind"] == "begun"
    }  # fmt: skip
    rang = bells(entries)
    wrong = list[str]()
    for stream, at in due.items():
        match rang.get(stream, []):
            case []:
                wrong.append(f"{stream} did not ring")
            case [once] if once < at:
                wrong.append(f"{stream} rang {at - once} early")
            case [once] if once > at + late:
                wrong.append(f"{stream} rang {once - at} late")
            case [_]:
                pass
            case more:
                wrong.append(f"{stream} rang {len(more)} times")
    begun = Counter(entry.stream for entry in entries if entry.kind == "begin")
    return [*wrong, *(f"{stream} was begun {times} times" for stream, times in begun.items() if times > 1)]


@asynccontextmanager
async def probing(client: Client, log: Log) -> AsyncIterator[Probes]:
    """A worker in this process on a log, and what it takes to give commands to it."""
    recorder = Recorder(log, {"probe": PROBE})
    recording = Recording(recorder, policies=FAST)
    sender = Sender(client, QUEUE)
    activities = [
        *recording.activities(), recording.carrying_out("work", works), recording.carrying_out("tell", Tell(sender, recording)),
    ]  # fmt: skip
    async with AsyncExitStack() as stack:
        stack.push_async_callback(recorder.close)
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=QUEUE,
                workflows=[ProbeWorkflow],
                activities=activities,
                workflow_runner=worker.RUNNER,
                sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
                graceful_shutdown_timeout=timedelta(seconds=5),
            )
        )
        yield Probes(client, recorder)


def log_in(folder: Path) -> str:
    """Where the log of a lane is."""
    return str(folder / "log.db")
