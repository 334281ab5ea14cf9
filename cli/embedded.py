"""Everything in one process and one folder: Temporal's dev server with its UI, a worker, the log and its read models."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError

import worker
from activities import logs
from activities.sending import Sender
from eventstore.clock import Clock, PacedClock, SystemClock
from eventstore.readmodels import unfinished
from eventstore.recorder import Recorder
from settings import Settings

LOCK: Final = "up.lock"
"""The file that whoever uses the folder holds."""
PATIENCE_SECONDS: Final = 30
"""How long the server may take to answer."""


class AlreadyUp(Exception):
    """Somebody uses this folder."""


@dataclass(frozen=True)
class Embedded:
    """What runs, and where it is found."""

    client: Client
    recorder: Recorder
    sender: Sender
    clock: Clock
    address: str
    ui: str
    unfinished: int
    """How many processes were taken up again."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by Ctrl-C and SIGTERM."""


@asynccontextmanager
async def embedded(chosen: Settings, *, port: int = 0, ui_port: int = 0, pace: int = 1) -> AsyncIterator[Embedded]:
    """Runs everything on the settings' folder, and takes up every unfinished process. Raises `AlreadyUp`.

    Other commands find the server by `up.json` in the folder for as long as it runs.
    """
    folder = chosen.folder
    port, ui_port = port or _free_port(), ui_port or _free_port()
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(folder))
        log = stack.enter_context((folder / "worker.log").open("a", encoding="utf-8", buffering=1))
        logs.configure(log)
        address, ui = f"127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
        await stack.enter_async_context(_server(folder, port, ui_port))
        client = await _connected(address)
        recorder = await stack.enter_async_context(worker.recording(chosen.log_url, worker.clock_of(chosen)))
        recorder.clock = clock = await _clock(recorder, pace)
        await stack.enter_async_context(worker.working(client, recorder, chosen.model_copy(update={"address": address})))
        await stack.enter_async_context(worker.keeping(chosen.log_url, log))
        await stack.enter_async_context(worker.reconciling(client, recorder, chosen))
        sender = Sender(client, chosen.task_queue)
        running = Embedded(client, recorder, sender, clock, address, ui, await recover(recorder, sender))
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(name, running.stopped.set)
        stack.callback(_announced(folder, running).unlink, missing_ok=True)
        yield running


async def recover(recorder: Recorder, sender: Sender) -> int:
    """Starts every unfinished process again from the log; how many there are. Repeating it changes nothing."""
    streams = await unfinished(recorder.log)
    await sender.start_all(streams)
    return len(streams)


@asynccontextmanager
async def _server(folder: Path, port: int, ui_port: int) -> AsyncIterator[None]:
    attributes = [text for name in worker.SEARCH_ATTRIBUTES for text in ("--search-attribute", name)]
    dynamic = [text for name in worker.DEV_SERVER for text in ("--dynamic-config-value", name)]
    await _end_orphan(folder)
    with (folder / "temporal.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            worker.binary("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--ui-port", str(ui_port),
            "--db-filename", str(folder / "temporal.db"), "--log-level", "error", *attributes, *dynamic,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    _pid(folder).write_text(str(process.pid), encoding="ascii")
    try:
        yield
    finally:
        _pid(folder).unlink(missing_ok=True)
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _pid(folder: Path) -> Path:
    return folder / "temporal.pid"


async def _end_orphan(folder: Path) -> None:
    """Ends the server that an `up` which was killed left on this folder: two on one database would spoil it."""
    if not _pid(folder).exists():
        return
    pid = _pid(folder).read_text(encoding="ascii").strip()
    ps = await asyncio.create_subprocess_exec("ps", "-p", pid, "-o", "command=", stdout=asyncio.subprocess.PIPE)
    command, _ = await ps.communicate()
    if str(folder / "temporal.db").encode() in command:
        os.kill(int(pid), signal.SIGTERM)
        await asyncio.sleep(1)


async def _connected(address: str) -> Client:
    end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    runtime = worker.telemetry("")
    while True:
        try:
            return await worker.connect_here(address, runtime)
        except (RuntimeError, RPCError):
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(0.1)


async def _clock(recorder: Recorder, pace: int) -> Clock:
    """The log's clock: the system's, or running faster from the later of now and the last entry."""
    if pace == 1:
        return SystemClock()
    now = datetime.now(UTC)
    return PacedClock(now, max(now, (await recorder.replica()).head_time), pace)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder, and holds it against a second one of us. Raises `AlreadyUp`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(f"{folder} is in use by another `consortium up` or demo: end that one, or name another --folder") from error
        yield


def _announced(folder: Path, running: Embedded) -> Path:
    """Writes where everything is found, whole or not at all."""
    path, beside = folder / "up.json", folder / ".up.json.new"
    found = {"address": running.address, "ui": running.ui, "pid": os.getpid(), "clock": str(running.clock)}
    beside.write_text(json.dumps(found), encoding="utf-8")
    beside.replace(path)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
