"""The lane in which two workers race on one PostgreSQL log, under many clients, and a follower who reads all the while.

Every worker, client and follower is a process of its own. Some commands are sent by two clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from temporalio.worker import Worker

import worker
from activities.log.record import Recording
from activities.log.sending import NotAnswered, Sender
from activities.log.tell import Tell
from domain.kernel import derived_id
from eventstore.entries import Entry
from eventstore.postgres import PostgresLog
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from settings import open_log
from tests.chaos.careless import BlindPostgres
from tests.chaos.checks import Receipt, chained, everything, kept
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.servers import postgres, temporal
from tests.probe import PROBE
from tests.probe_workflows import ProbeWorkflow
from tests.test_shell import FAST, works

WORKERS: Final = 2
CLIENTS: Final = 2
PATIENCE: Final = 30
IMPATIENT: Final = 3
"""For how many seconds a client waits for an answer; a control's, which may wait in vain."""
TRIES: Final = 5
FEW: Final = 60
RACES: Final = 4
LIED: Final = "acknowledged, and not on the log"
STREAM_COMMANDS: Final = 10
KINDS: Final = {"careful": PostgresLog, "blind": BlindPostgres}
POKE: Final = canonical_command({"kind": "poke"})
AT_ONCE: Final = 8
"""Commands a client has in flight."""
TWICE: Final = 10
"""One in so many commands is sent by a second client too."""


@dataclass(frozen=True, slots=True)
class Work:
    """A command of the run: which stream is poked, under which id."""

    number: int
    streams: int

    @property
    def stream(self) -> str:
        """Where it goes."""
        return f"probe/stream-{self.number % self.streams}"

    @property
    def command_id(self) -> str:
        """Its id, whoever sends it."""
        return derived_id("two-workers", str(self.number))

    def sent_by(self, clients: int) -> set[int]:
        """Which clients send it."""
        first = self.number % clients
        return {first, (first + 1) % clients} if self.number % TWICE == 0 else {first}


# ------------------------------------------------------------ the processes


async def work(address: str, log_url: str, queue: str, kind: str) -> None:
    """A worker, until SIGTERM; then it says how many commands it was given to record."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client, log = await worker.connect(address), await KINDS[kind].open(log_url)
    recorder = Recorder(log, {"probe": PROBE})
    sender, recording = Sender(client, queue), Recording(recorder, policies=FAST)
    activities = [
        *recording.activities(),
        recording.carrying_out("work", works),
        recording.carrying_out("tell", Tell(sender, recording)),
    ]
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=activities, workflow_runner=worker.RUNNER,
        graceful_shutdown_timeout=timedelta(seconds=5),
    ):  # fmt: skip
        _say("ready")
        await stop.wait()
        if kind == "blind":
            # What is owed on a log that is broken is asked for without an end, and Temporal's worker waits for it.
            _say(str(len(recorder._answers)))
            os._exit(0)
    _say(str(len(recorder._answers)))
    await recorder.close()
    await log.close()


async def send(address: str, queue: str, me: int, commands: int, streams: int, clients: int, patience: int) -> None:
    """A client: sends its commands, and says the answer to each."""
    sender = Sender(await worker.connect(address), queue, timedelta(seconds=patience))
    mine = iter([work for number in range(commands) if me in (work := Work(number, streams)).sent_by(clients)])

    async def one_after_another() -> None:
        for work in mine:
            for _ in range(TRIES if patience == PATIENCE else 1):
                try:
                    receipt = await sender.send(work.stream, work.command_id, "sam", {"kind": "poke"})
                except NotAnswered as error:
                    print(f"client {me}: {work.stream} {work.command_id}: {error}", file=sys.stderr)
                    continue
                _say(json.dumps((receipt.command_id, receipt.position, receipt.hash)))
                break

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


async def follow(log_url: str) -> None:
    """A follower: says every position in the order it sees them, until SIGTERM and the head."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log, seen = await open_log(log_url), 0
    _say("ready")
    while True:
        last = stop.is_set()
        while entries := await log.read(seen, 100):
            seen = entries[-1].position
            _say("\n".join(str(entry.position) for entry in entries))
        if last:
            break
        await log.changed(seen, 0.5)
    await log.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# ------------------------------------------------------------ the run


@asynccontextmanager
async def started(task: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of them as a process, that has said it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.two_workers", task, *map(str, arguments), stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    try:
        if task != "send":
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n", f"{task} did not start"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, *, stopped: bool = False) -> list[str]:
    """What it said until its end."""
    if stopped:
        process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    assert process.returncode == 0, f"it ended with {process.returncode}"
    return out.decode().splitlines()


async def race(ground: Ground, *, kind: str = "careful", patience: int = PATIENCE) -> Findings:
    """One run of so many commands."""
    commands, streams = ground.faults, max(2, ground.faults // STREAM_COMMANDS)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres(ground.folder))
        address, queue = (await stack.enter_async_context(temporal(ground.folder))).address, f"queue-{uuid.uuid4()}"
        follower = await stack.enter_async_context(started("follow", server.url))
        following = asyncio.create_task(said(follower))
        workers = [await stack.enter_async_context(started("work", address, server.url, queue, kind)) for _ in range(WORKERS)]
        senders = [
            await stack.enter_async_context(started("send", address, queue, me, commands, streams, CLIENTS, patience))
            for me in range(CLIENTS)
        ]
        receipts = [Receipt(*json.loads(line)) for lines in await asyncio.gather(*map(said, senders)) for line in lines]
        answers = [int((await said(one, stopped=True))[-1]) for one in workers]
        follower.send_signal(signal.SIGTERM)
        seen = [int(line) for line in await following]
        log = await PostgresLog.open(server.url)
        entries = await everything(log)
        await log.close()
    wanted = [Work(number, streams) for number in range(commands)]
    found = problems(wanted, entries, receipts, seen)
    return Findings(commands, [*found, *(["a worker had nothing to do"] if min(answers) == 0 else [])])


async def blind(ground: Ground) -> Findings:
    """The control: a worker that takes "another came before you" for done.

    Who reads that the log is broken records nothing more: where both read it before either has lied, they race again.
    """
    found = Findings(0, [])
    for race_number in range(RACES):
        folder = ground.folder / str(race_number)
        folder.mkdir()
        found = await race(replace(ground, faults=FEW, folder=folder), kind="blind", patience=IMPATIENT)
        if any(LIED in each for each in found.problems):
            break
    return found


def problems(wanted: Sequence[Work], entries: Sequence[Entry], receipts: Sequence[Receipt], seen: Sequence[int]) -> list[str]:
    """Which promises were broken."""
    asked = {work.command_id: (work.stream, "sam", POKE) for work in wanted}
    times = Counter({work.command_id: len(work.sent_by(CLIENTS)) for work in wanted})
    promises = {
        "every command stands": {entry.command_id for entry in entries} == asked.keys(),
        "every caller was answered": Counter(receipt.command_id for receipt in receipts) == times,
        "the follower saw every position once, in order": list(seen) == [entry.position for entry in entries],
    }
    return [*chained(entries), *kept(entries, receipts, asked), *(f"it is not so: {it}" for it, holds in promises.items() if not holds)]


LANES: Final = (
    Lane(
        "two-workers", "two workers race on one log", 200, 20_000, 5_000,
        race, blind, "another's entries are overlooked", LIED, seconds=50,
    ),
)  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", address, log_url, queue, kind]:
            asyncio.run(work(address, log_url, queue, kind))
        case ["follow", log_url]:
            asyncio.run(follow(log_url))
        case ["send", address, queue, *numbers]:
            asyncio.run(send(address, queue, *map(int, numbers)))
        case strange:
            raise ValueError(strange)
