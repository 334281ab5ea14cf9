"""Everything in one process and one folder: Temporal's dev server with its UI, a worker, the log and its read models."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

import worker
from activities import logs
from activities.bounded import json_value
from activities.log.heads import Heads
from activities.log.sending import Sender
from cli.failures import BadInput
from domain.consortium import commands
from domain.kernel import SERVICE, derived_id
from domain.register.facts import LogTime, PacedTime, SystemTime
from eventstore.clock import Clock, PacedClock, StandingClock, fact_of
from eventstore.entries import Submission
from eventstore.log import LogUnavailable
from eventstore.readmodels import unfinished
from eventstore.recorder import Recorder
from eventstore.statement import VERSION, Restarted, digest
from eventstore.wire import canonical_command
from settings import Settings, keep_private, make_private

ADVANCE: Final = "advance.json"
"""The file by which `consortium advance` says how much time is to pass."""
LOCK: Final = "up.lock"
"""The file that whoever uses the folder holds."""
PORTS: Final = "ports.json"
"""The file that holds the ports of the last time."""
LAST_PORT: Final = 65_535
RESTING_SECONDS: Final = 120
"""How long a rehearsal that ends may take to do what it owes."""
QUIET_SECONDS: Final = 2
"""How long nothing was recorded when all is done: deadlines that had come already are on their way for less."""
PATIENCE_SECONDS: Final = 30
"""How long the server may take to answer."""
ENDING_SECONDS: Final = 20
"""How long a server that an `up` left behind may take to end, before it is killed, and then once more."""


_log = structlog.get_logger(__name__)


class AlreadyUp(Exception):
    """Somebody uses this folder."""


@dataclass(frozen=True)
class Embedded:
    """What runs, and where it is found."""

    folder: Path
    client: Client
    recorder: Recorder
    sender: Sender
    address: str
    ui: str
    log_shown: str
    """Where its log is, without a password."""
    unfinished: int
    """How many processes were taken up again."""
    moved: Sequence[int] = ()
    """The ports of the last time that are taken by something else: others are used."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by Ctrl-C and SIGTERM."""

    @property
    def clock(self) -> Clock:
        """The log's clock."""
        return self.recorder.clock

    async def advance(self, by: timedelta) -> None:
        """Lets the time of a rehearsal pass at once: what comes due until then comes due now."""
        assert isinstance(self.clock, PacedClock), "only a rehearsal that runs can be advanced"
        head = (await self.recorder.replica()).head_time
        clock = PacedClock(datetime.now(UTC), max(self.clock.now(head), head) + by, self.clock.pace)
        first = await self.recorder.log.read(0, 1)
        if first:
            await _restart(self.recorder, first[0].stream, clock)
        self.recorder.clock = clock
        _announced(self)
        await recover(self.recorder, self.sender, anew=True)

    async def stand_still(self) -> bool:
        """Lets the log stand still at its last entry, and waits for `rest`."""
        still = await rest(self.recorder)
        _announced(self)
        return still


@asynccontextmanager
async def embedded(
    chosen: Settings, *, port: int = 0, ui_port: int = 0, pace: int | None = None, go_on: bool = False
) -> AsyncIterator[Embedded]:
    """Runs everything on the settings' folder, and takes up every unfinished process.

    Ports that are not named are those of the last time on this folder, so that links go on to lead here; free ones where those are taken.
    With a pace a new log becomes a rehearsal. One that was begun stands still at its last entry; to go on lets it run from there.
    Other commands find the server and the log's clock by `up.json` in the folder for as long as it runs. Raises `AlreadyUp`, and
    `BadInput` for another clock than the log's.
    """
    folder = chosen.folder
    async with AsyncExitStack() as stack:
        stack.callback(os.umask, keep_private(folder))
        stack.enter_context(alone(folder))
        await _end_orphan(folder)
        (port, ui_port), moved = _ports(folder, (port, ui_port))
        log = stack.enter_context((folder / "worker.log").open("a", encoding="utf-8", buffering=1))
        logs.configure(log)
        address, ui = f"127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
        await stack.enter_async_context(_server(folder, port, ui_port))
        client = await _connected(address)
        recorder = await stack.enter_async_context(worker.recording(chosen))
        heads = Heads(client, recorder.log, chosen.task_queue)
        await heads.compare()
        recorder.clock = await _clock(recorder, pace, go_on=go_on)
        await stack.enter_async_context(worker.working(client, recorder, chosen.model_copy(update={"address": address})))
        await stack.enter_async_context(worker.keeping(chosen.log_url, log))
        await stack.enter_async_context(worker.reconciling(client, recorder, chosen))
        await stack.enter_async_context(worker.comparing(heads))
        sender = Sender(client, chosen.task_queue)
        running = Embedded(
            folder, client, recorder, sender, address, ui, chosen.log_shown, await recover(recorder, sender, anew=go_on), moved
        )
        _remember(folder, (port, ui_port))
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(name, running.stopped.set)
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
        stack.callback(asyncio.create_task(_advancing(running, asked)).cancel)
        stack.callback(_announced(running).unlink, missing_ok=True)
        yield running


async def _advancing(running: Embedded, asked: asyncio.Event) -> None:
    """Lets time pass as often as `consortium advance` asks for it: by a file, which is gone when it is done, and a signal."""
    request = running.folder / ADVANCE
    while True:
        await asked.wait()
        asked.clear()
        try:
            await running.advance(timedelta(seconds=int(json_value(request.read_bytes())["seconds"])))
            request.unlink()
        except (OSError, ValueError, KeyError, TypeError, OverflowError, LogUnavailable, RPCError):
            _log.warning("rehearsal.not_advanced", exc_info=True)


async def rest(recorder: Recorder) -> bool:
    """Lets the log stand still at its last entry, and waits until all that is owed already is done; whether that came to be in time.

    Then nothing follows any more but what people do.
    """
    recorder.clock = StandingClock()
    clock = asyncio.get_running_loop().time
    end, since, before = clock() + RESTING_SECONDS, clock(), -1
    while clock() < end:
        position = (await recorder.log.head()).position
        if position != before or await _owing(recorder):
            since, before = clock(), position
        elif clock() - since > QUIET_SECONDS:
            return True
        await asyncio.sleep(0.2)
    return False


async def _owing(recorder: Recorder) -> bool:
    """Whether any stream owes a step that does not wait for a person."""
    streams, position = set[str](), 0
    while entries := await recorder.log.read(position):
        streams |= {entry.stream for entry in entries}
        position = entries[-1].position
    return any([(await recorder.standing(stream)).agenda.steps for stream in sorted(streams)])


async def recover(recorder: Recorder, sender: Sender, *, anew: bool = False) -> int:
    """Starts every unfinished process again from the log; how many there are. Repeating it changes nothing.

    `anew` ends those that run: what they saw of the log's clock is not so any more.
    """
    streams = await unfinished(recorder.log)
    await sender.start_all(streams, anew=anew)
    return len(streams)


@asynccontextmanager
async def _server(folder: Path, port: int, ui_port: int) -> AsyncIterator[None]:
    with (folder / "temporal.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            worker.binary("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--ui-port", str(ui_port),
            "--db-filename", str(folder / "temporal.db"), "--log-level", "error", *worker.server_options(),
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
        await _ended(int(pid))


async def _ended(pid: int) -> None:
    """Ends a process that is no child of this one, and returns when it is gone: until then it holds its database and its ports.

    Raises `AlreadyUp` for one that does not even end when it is killed.
    """
    for way in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, way)
        if await _gone(pid, ENDING_SECONDS):
            return
    raise AlreadyUp(f"process {pid}, the Temporal server of an earlier `consortium up` on this folder, does not end: end it first")


async def _gone(pid: int, seconds: float) -> bool:
    """Whether a process has ended within so many seconds. A zombie has: it holds nothing but its number."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        ps = await asyncio.create_subprocess_exec("ps", "-p", str(pid), "-o", "stat=", stdout=asyncio.subprocess.PIPE)
        state = (await ps.communicate())[0].strip()
        if not state or state.startswith(b"Z"):
            return True
        if asyncio.get_running_loop().time() >= end:
            return False
        await asyncio.sleep(0.1)


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


async def _clock(recorder: Recorder, pace: int | None, *, go_on: bool) -> Clock:
    """The clock of a log that was opened: its own, a new rehearsal's, or that of a rehearsal which runs on from its last entry."""
    first = await recorder.log.read(0, 1)
    register, stands = (await recorder.replica()).register, not recorder.clock.is_real
    require_clock(register.clock if stands else None, pace, begun=bool(first), go_on=go_on)
    now = datetime.now(UTC)
    if not first:
        return recorder.clock if pace is None else PacedClock(now, now, pace)
    if not go_on:
        return recorder.clock
    clock = PacedClock(now, (await recorder.replica()).head_time, pace or pace_of(register.clock))
    if not isinstance(register.clock, SystemTime):  # a demonstration's log of an earlier release tells of no clock
        await _restart(recorder, first[0].stream, clock)
    return clock


def require_clock(rehearsed_by: LogTime | None, pace: int | None, *, begun: bool, go_on: bool) -> None:
    """Raises `BadInput` for a pace that is not the log's, and for going on where nothing stands still. `None`: the log is in earnest."""
    if not begun:
        if go_on:
            raise BadInput("--go-on: nothing is on the log yet", "begin a rehearsal with --pace, in a folder of its own")
    elif rehearsed_by is None:
        if pace is not None:
            raise BadInput(
                "--pace: this log is in earnest: it goes by the system's clock, and no other",
                "rehearse in a new folder: name it by --folder",
            )
        if go_on:
            raise BadInput("--go-on: this log is in earnest: it never stands still", "leave it out")
    elif pace is not None and not go_on and pace != pace_of(rehearsed_by):
        raise BadInput(
            f"--pace: this rehearsal runs at a pace of {pace_of(rehearsed_by):,}, and stands still",
            "add --go-on to let it run on at another pace",
        )


def pace_of(clock: LogTime) -> int:
    """How many times as fast as the system's clock a log's runs when it runs."""
    return clock.pace if isinstance(clock, PacedTime) else 1


async def _restart(recorder: Recorder, stream: str, clock: PacedClock) -> None:
    """Records on the consortium's stream that a rehearsal runs on; dated like its last entry, at which it stands still."""
    position = (await recorder.log.head()).position
    command = commands.RestartClock(clock=PacedTime(real=clock.anchor_real, log=clock.anchor_log, pace=clock.pace)).model_dump(mode="json")
    body = canonical_command(command)
    assert recorder.signing is not None, "whoever runs a rehearsal signs"
    command_id = derived_id(stream, "clock", str(position))
    said = Restarted(command=digest(body), command_id=command_id, log=await recorder.first(), version=VERSION)
    recorded = await recorder.record(Submission(stream, command_id, SERVICE, body, *recorder.signing.tag(said)))
    assert recorded.refusal is None, f"a rehearsal's clock can be restarted: {recorded.refusal}"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder, and holds it against a second one of us. Raises `AlreadyUp`."""
    make_private(folder)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(f"{folder} is in use by another `consortium up` or demo: end that one, or name another --folder") from error
        yield


def _announced(running: Embedded) -> Path:
    """Writes where everything is found, whole or not at all."""
    path, beside = running.folder / "up.json", running.folder / ".up.json.new"
    standing = isinstance(running.clock, StandingClock)
    clock = {"kind": "standing"} if standing else fact_of(running.clock).model_dump(mode="json")
    found = {"address": running.address, "ui": running.ui, "pid": os.getpid(), "clock": clock, "log": running.log_shown}
    beside.write_text(json.dumps(found), encoding="utf-8")
    beside.replace(path)
    return path


Ports = tuple[int, int]
"""Where Temporal listens, and where its UI does."""


def _ports(folder: Path, named: Ports) -> tuple[Ports, Sequence[int]]:
    """The ports that are named, else those of the last time on this folder, else free ones; and those of the last time that are taken."""
    before = _remembered(folder)
    wanted = [chosen or former for chosen, former in zip(named, before, strict=True)]
    moved = [port for port, chosen in zip(wanted, named, strict=True) if port and not chosen and not is_free(port)]
    first, second = (0 if port in moved else port for port in wanted)
    return (first or _free_port(), second or _free_port()), moved


def _remembered(folder: Path) -> Ports:
    """The ports of the last time; zeros where there was none, or where what is there is none of ours."""
    try:
        found = json_value((folder / PORTS).read_bytes())
        first, second = int(found["temporal"]), int(found["ui"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0
    return (first, second) if 0 < first <= LAST_PORT and 0 < second <= LAST_PORT and first != second else (0, 0)


def _remember(folder: Path, ports: Ports) -> None:
    beside = folder / f".{PORTS}.new"
    beside.write_text(json.dumps({"temporal": ports[0], "ui": ports[1]}), encoding="utf-8")
    beside.replace(folder / PORTS)


def is_free(port: int) -> bool:
    """Whether something here can listen at a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
