"""The composition root: which log, which Temporal, which outside world; and the worker process.

`consortium worker` and `python worker.py` run it. Everything is configured by the environment: the connection to
Temporal by its own profiles (`temporalio.envconfig`), the rest by `settings.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import structlog
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from activities import logs
from activities.bank.banking import Bank, Banking
from activities.bank.folder import FolderBank
from activities.bank.http import HttpBank
from activities.bank.statements import Statements
from activities.log import cluster, keyring
from activities.log.cluster import NotTold, Unprepared
from activities.log.heads import Heads, OtherLog
from activities.log.reconciling import Reconciler
from activities.log.record import Policy, Recording
from activities.log.sending import Sender
from activities.log.tell import Tell
from activities.missing import ExtraMissing
from activities.notices.addresses import TomlBook
from activities.notices.sending import Mail, Notices, Outbox, Smtp, Webhooks, standing_for
from activities.outside import CarryOut
from activities.private import Private
from activities.release.directory import DirectoryPublisher
from activities.release.fetching import Fetching
from activities.release.hub import HubPublisher
from activities.release.publishing import Accounts, Publisher
from activities.release.releasing import Places, Releasing
from activities.release.s3 import S3Publisher
from activities.release.s3 import client as s3_client
from activities.run.evaluation import Evaluations
from activities.run.telemetry import Following
from activities.screening import ListFiles, Screening
from activities.web import Web
from domain.catalog import RULES
from eventstore.clock import Clock, StandingClock, SystemClock
from eventstore.keeper import role
from eventstore.log import HeadAhead, LogUnavailable, Unfit
from eventstore.recorder import Recorder
from eventstore.verifying import Signing
from settings import Settings, in_force, is_rehearsal, keep_private, make_private, open_log, rehearsed
from signatures.signers import CannotSign, KeySigner
from workflows.catalog import WORKFLOWS

RUNNER: Final = UnsandboxedWorkflowRunner()
"""All workflows are one small loop that lint and a test keep from clocks, chance and files, and that the tests run and replay in
Temporal's sandbox. In production the sandbox would cost a sixth of the time of each command, and a fifth of the streams begun in a second.
"""

POLICIES: Final[Mapping[str, Policy]] = {
    "tell": Policy(timedelta(seconds=45), attempts=20, delayed=timedelta(minutes=1)),
    "screen": Policy(timedelta(minutes=5), timedelta(seconds=30), attempts=10),
    "notify": Policy(timedelta(minutes=10), timedelta(seconds=60), attempts=60),
    "follow_telemetry": Policy(timedelta(hours=1), timedelta(seconds=60), attempts=60),
    "read_evaluation": Policy(timedelta(minutes=10), timedelta(seconds=60), attempts=20),
    "fetch_statements": Policy(timedelta(minutes=10), timedelta(seconds=60), attempts=60),
    "read_statement": Policy(timedelta(minutes=30), timedelta(seconds=60), attempts=20),
    **dict.fromkeys(
        ("build_manifest", "sign_manifest", "verify_artifacts", "classify_openness"),
        Policy(timedelta(hours=24), timedelta(seconds=60), attempts=20, delayed=timedelta(hours=1)),
    ),
    "publish": Policy(timedelta(hours=24), timedelta(seconds=60), attempts=20),
    **dict.fromkeys(("withdraw", "open_access", "close_access"), Policy(timedelta(minutes=5), attempts=20, delayed=timedelta(minutes=1))),
    "write_documents": Policy(timedelta(minutes=30), timedelta(seconds=60), attempts=20),
    "send_payment": Policy(timedelta(minutes=5), timedelta(seconds=60), attempts=60),
}
"""How each kind of step is tried. What is owed is tried until it is done; after so many attempts a person is asked to look."""

EXAMINED_SECONDS: Final = 2
"""How often a worker looks whether it may record: whether its clock is the database's."""
STOP_SECONDS: Final = 12
"""How long a worker that was told to stop may take: the half of what service managers allow."""
KEEPER_AGAIN_SECONDS: Final = 5
"""How long a keeper that ended is missed before another is started."""
STICKY: Final = timedelta(seconds=3)
"""For how long a workflow's next task waits for the worker that has it in memory, which may be gone, before another may take it."""
PREPARED_SECONDS: Final = 20
"""How long a worker that starts waits for what its namespace lacks: what was made a moment ago is not known to all of Temporal yet."""
LOOK_AGAIN_SECONDS: Final = 60
"""How often a worker at work looks whether its namespace still has what workflows need."""
DEV_SERVER: Final = ("history.transferProcessorMaxPollRPS=1000", "history.maxInFlightUpdates=0", "limit.blobSize.error=8388608")
"""Dynamic configuration of the embedded server: its defaults are made for a shared cluster and slow a single one down. An Update that a worker
refuses goes back to the server whole: where the server takes no megabytes from the worker, the task fails, and the workflow answers nobody for as
long as that Update lives. The frontend takes at most four (gRPC), so with eight every one is answered.
"""

_log = structlog.get_logger(__name__)


def binary(name: str) -> str:
    """A program that came with the extra `embedded`, or that is on the path. Raises `ExtraMissing`."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ExtraMissing(name, "embedded")
    return found


def profile() -> dict[str, Any]:
    """What Temporal's configuration says of the connection; empty without one. Raises `ValueError` for a file or a profile that is not there."""
    named = os.environ.get("TEMPORAL_CONFIG_FILE")
    if named and not Path(named).is_file():
        raise ValueError(f"TEMPORAL_CONFIG_FILE: there is no file {named}")
    try:
        return dict(ClientConfig.load_client_connect_config())
    except RuntimeError as error:
        raise ValueError(f"Temporal's configuration: {' '.join(str(error).split())}") from error


async def connect(address: str, runtime: Runtime | None = None) -> Client:
    """A client by the profile in force, else at this address. Raises `ValueError` as `profile` does."""
    return await Client.connect(**({"target_host": address} | profile()), data_converter=pydantic_data_converter, runtime=runtime)


async def connect_here(address: str, runtime: Runtime) -> Client:
    """A client of the embedded server, whatever the environment says of another."""
    return await Client.connect(address, data_converter=pydantic_data_converter, runtime=runtime)


def telemetry(metrics: str) -> Runtime:
    """Temporal's own metrics for Prometheus, named as its dashboards expect; its logs go with ours."""
    ours = LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=LogForwardingConfig(logger=logging.getLogger("temporal"))
    )
    prometheus = PrometheusConfig(bind_address=metrics) if metrics else None
    return Runtime(telemetry=TelemetryConfig(logging=ours, metrics=prometheus))


def outside(chosen: Settings, recorder: Recorder) -> Mapping[str, CarryOut]:
    """Who carries out each kind of step, as the settings say."""

    async def persons(recipient: str) -> tuple[str, ...]:
        return standing_for((await recorder.replica()).register, recipient, now())

    folder, private = chosen.folder, Private.parse(chosen.private_hosts)
    sanctions = ListFiles("sanctions", chosen.sanctions_list or folder / "sanctions.txt", chosen.sanctions_aliases)
    password = chosen.smtp_password.get_secret_value() if chosen.smtp_password else None
    mail: Mail = Outbox(folder / "outbox")
    if chosen.smtp_host:
        mail = Smtp(chosen.smtp_host, chosen.smtp_port, chosen.smtp_security, chosen.smtp_username, password)
    book = TomlBook(chosen.address_book or folder / "addresses.toml")
    return {
        "screen": Screening(sanctions, folder, now=now),
        "notify": Notices(chosen.sender, book, persons, mail, Webhooks(now), now=now),
        **Banking(_bank(chosen), Statements(folder / "statements")).activities(),
        **Following(chosen.runs or folder / "runs", Web(private)).activities(),
        **Evaluations(chosen.runs or folder / "runs").activities(),
        **Releasing(_places(chosen), _publishers(chosen), fetch=Fetching(private)).activities(),
    }


def _bank(chosen: Settings) -> Bank:
    if chosen.bank:
        return HttpBank(chosen.bank)
    return FolderBank(chosen.folder / "bank" / "in", chosen.folder / "bank" / "out")


def _places(chosen: Settings) -> Places:
    folder = chosen.folder
    return Places(
        artifacts=chosen.artifacts or folder / "artifacts", kept=chosen.kept or folder / "kept",
        key=chosen.release_key_path, licences=chosen.licences,
    )  # fmt: skip


def _publishers(chosen: Settings) -> Mapping[str, Publisher]:
    """Publishers by the names that releases give them: a directory always, the others when they are configured."""
    folder = chosen.folder
    accounts = chosen.accounts or folder / "accounts.toml"
    found: dict[str, Publisher] = {"directory": DirectoryPublisher(chosen.published or folder / "published")}
    if chosen.s3_bucket:
        storage = partial(s3_client, chosen.s3_endpoint or None, chosen.s3_region or None)
        found["s3"] = S3Publisher(storage, chosen.s3_bucket, Accounts(accounts, "s3"))
    if chosen.hub_namespace:
        token = chosen.hub_token.get_secret_value() if chosen.hub_token else None
        leases = (chosen.kept or folder / "kept") / "hub"
        found["hub"] = HubPublisher(
            chosen.hub_namespace, Accounts(accounts, "hub"), leases, endpoint=chosen.hub_endpoint or None, token=token
        )  # fmt: skip
    return found


def server_options(*dynamic: str) -> Sequence[str]:
    """The options of a development server: our search attributes, and our dynamic configuration with these settings besides. See deploy/ for a cluster."""
    attributes = [word for name, kind in cluster.SEARCH_ATTRIBUTES.items() for word in ("--search-attribute", f"{name}={kind}")]
    return (*attributes, *(word for setting in (*DEV_SERVER, *dynamic) for word in ("--dynamic-config-value", setting)))


def release() -> str:
    """Which release this is, and with which rules: by that name Temporal knows its workers."""
    return f"{version('open-model-consortium')}+rules.{RULES}"


def now() -> datetime:
    """The time, for what is dated outside the log."""
    return datetime.now(UTC)


def compose(client: Client, recorder: Recorder, chosen: Settings, interceptors: Sequence[Interceptor] = ()) -> Worker:
    """A worker for every process, recording with this recorder."""
    recording = Recording(recorder, POLICIES)
    tell = Tell(Sender(client, chosen.task_queue), recording)
    steps: Mapping[str, CarryOut] = {"tell": tell, **outside(chosen, recorder)}
    return Worker(
        client,
        task_queue=chosen.task_queue,
        workflows=WORKFLOWS,
        activities=[*recording.activities(), *(recording.carrying_out(kind, carry_out) for kind, carry_out in steps.items())],
        workflow_runner=RUNNER,
        interceptors=interceptors,
        sticky_queue_schedule_to_start_timeout=STICKY,
        graceful_shutdown_timeout=timedelta(seconds=5),
        # The release is told with every poll, and steers nothing: rules run in activities, and any release may take any workflow.
        deployment_config=WorkerDeploymentConfig(WorkerDeploymentVersion("consortium", release()), use_worker_versioning=False),
    )


@asynccontextmanager
async def working(client: Client, recorder: Recorder, chosen: Settings) -> AsyncIterator[None]:
    """Works meanwhile, whenever the recorder is fit to record. While it is not, other workers are left what there is to do.

    The first worker polls when this is entered, unless the recorder is unfit. Fails, and cancels who entered it, when a worker fails.
    """
    entered, begun, left = asyncio.current_task(), asyncio.Event(), False
    assert entered is not None

    def failed(_: object) -> None:
        begun.set()
        if not left:
            entered.cancel()

    keeping = asyncio.create_task(_keep(lambda: compose(client, recorder, chosen), recorder, _FitnessGauges(client), begun), name="worker")
    keeping.add_done_callback(failed)
    try:
        await begun.wait()
        yield
    finally:
        left = True
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            entered.uncancel()
            raise error


async def _keep(make: Callable[[], Worker], recorder: Recorder, fitness: _FitnessGauges, begun: asyncio.Event) -> None:
    """Runs a worker while the recorder is fit, and drains it while it is not."""
    while True:
        if await _examined(recorder, fitness) is None:
            async with make():
                begun.set()
                await _until_unfit(recorder, fitness)
                _log.error("worker.draining")
            _log.error("worker.drained")
        begun.set()
        await asyncio.sleep(EXAMINED_SECONDS)


async def _until_unfit(recorder: Recorder, fitness: _FitnessGauges) -> None:
    while True:
        await asyncio.sleep(EXAMINED_SECONDS)
        if await _examined(recorder, fitness) is not None:
            return


async def _examined(recorder: Recorder, fitness: _FitnessGauges) -> Unfit | None:
    """Why the recorder is unfit, as far as can be seen now."""
    try:
        await recorder.examine()
        fitness.show(recorder.unfit, await recorder.ahead())
        fitness.reach(log=True)
    except LogUnavailable as error:
        fitness.reach(log=isinstance(error, Unfit))
        _log.warning("worker.not_examined", error=str(error))
    except Exception:  # noqa: BLE001  what cannot be read is told to who asks for it; here it changes nothing
        _log.exception("worker.not_examined")
    return recorder.unfit


class _FitnessGauges:
    """What metrics tell of a worker's fitness and of the log's head."""

    def __init__(self, client: Client) -> None:
        meter = (client.service_client.config.runtime or Runtime.default()).metric_meter
        self._unfit = meter.create_gauge("worker_unfit", "1 while a worker must record nothing, by the reason")
        self._ahead = meter.create_gauge_float(
            "head_ahead_seconds", "How far the log's last entry is ahead of the clock, when nothing may follow it", "s"
        )
        self._reachable = meter.create_gauge("log_reachable", "1 while the worker reaches the log, else 0")
        self._shown = set[str]()

    def reach(self, *, log: bool) -> None:
        """Shows whether the log was reached."""
        self._reachable.set(int(log))

    def show(self, unfit: Unfit | None, ahead: HeadAhead | None) -> None:
        """Shows what is so now."""
        reasons = set() if unfit is None else {unfit.reason}
        for reason in self._shown | reasons:
            self._unfit.set(int(reason in reasons), {"reason": reason})
        self._shown |= reasons
        self._ahead.set(0.0 if ahead is None else ahead.by.total_seconds())


@asynccontextmanager
async def recording(chosen: Settings, clock: Clock | None = None) -> AsyncIterator[Recorder]:
    """A recorder on the log, closed in the end: by this clock, else by the one that the log goes by. A rehearsal stands still.

    Raises `CannotSign` where there is no key to sign with, and none can be made.
    """
    signing = Signing(log_key(chosen))
    log = await open_log(chosen.log_url)
    recorder = Recorder(log, clock=clock or SystemClock(), signing=signing)
    try:
        if clock is None and await stands(recorder, chosen):
            recorder.clock = StandingClock()
        yield recorder
    finally:
        await recorder.close()
        await log.close()


def log_key(chosen: Settings) -> KeySigner:
    """The key with which whoever records here signs; made on first use. Raises `CannotSign`."""
    path = chosen.log_key_path
    try:
        make_private(chosen.folder)
        return keyring.own(path)
    except OSError as error:
        raise CannotSign(f"{error.filename or path} cannot be used: {error.strerror}; CONSORTIUM_LOG_KEY names another file") from error


async def stands(recorder: Recorder, chosen: Settings) -> bool:
    """Whether the log is a rehearsal that was begun: it stands still at its last entry, unless somebody lets it run on."""
    return is_rehearsal((await recorder.replica()).register, chosen) and (await recorder.log.head()).position > 0


def played(chosen: Settings) -> Settings:
    """The settings for a rehearsal on the same log and folder: no real bank, mailbox or publisher can be meant."""
    return rehearsed(
        chosen.folder, log=chosen.log, log_key=chosen.log_key, task_queue=chosen.task_queue, address=chosen.address, metrics=chosen.metrics
    )


@asynccontextmanager
async def keeping(url: str, log: IO[str]) -> AsyncIterator[None]:
    """Has a keeper of the log at this place meanwhile, a process that is started again when it ends; it logs to this file."""
    async with _beside(_run_keeper(url, log), "keeper"):
        yield


async def _run_keeper(url: str, log: IO[str]) -> None:
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("keeper.py")),
            stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(f"{url}\n{role()}\n".encode())
            code = await process.wait()
        finally:
            process.stdin.close()
            with suppress(ProcessLookupError):
                process.kill()  # whatever it was about is whole or not done at all
            await process.wait()
        _log.warning("keeper.ended", code=code)
        await asyncio.sleep(KEEPER_AGAIN_SECONDS)


@asynccontextmanager
async def comparing(heads: Heads) -> AsyncIterator[None]:
    """Has Temporal know of the log's head meanwhile. Fails, and cancels who entered it, when this log is not the one that Temporal works for."""
    entered, left = asyncio.current_task(), False
    assert entered is not None

    def failed(_: object) -> None:
        if not left:
            entered.cancel()

    task = asyncio.create_task(heads.keep(), name="heads")
    task.add_done_callback(failed)
    try:
        yield
        await heads.last()
    finally:
        left = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            entered.uncancel()
            raise error


@asynccontextmanager
async def reconciling(client: Client, recorder: Recorder, chosen: Settings) -> AsyncIterator[None]:
    """Has what the log says is unfinished run in Temporal meanwhile, if no other worker's reconciler does."""
    async with _beside(Reconciler(client, recorder, task_queue=chosen.task_queue).run(), "reconciler"):
        yield


async def prepared(client: Client) -> None:
    """Waits until workflows get on in the client's namespace. Raises `Unprepared` when they still do not after `PREPARED_SECONDS`."""
    clock = asyncio.get_running_loop().time
    end, told = clock() + PREPARED_SECONDS, False
    while True:
        try:
            await cluster.require(client)
        except NotTold as error:
            _log.warning("namespace.not_told", error=str(error))
        except Unprepared as error:
            if clock() >= end:
                raise
            if not told:
                _log.warning("namespace.unprepared", error=str(error), commands=list(error.remedies))
            told = True
            await asyncio.sleep(1)
            continue
        return


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[None]:
    """Tells meanwhile, in logs and metrics, when the client's namespace lacks what workflows need: those that run get on no more."""
    async with _beside(_watch(client), "namespace"):
        yield


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Has work done meanwhile that never ends by itself."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(client: Client) -> None:
    meter = (client.service_client.config.runtime or Runtime.default()).metric_meter
    unprepared = meter.create_gauge("namespace_unprepared", "1 while Temporal's namespace lacks what workflows need")
    unprepared.set(0)
    while True:
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        try:
            await cluster.require(client)
            unprepared.set(0)
        except Unprepared as error:
            unprepared.set(1)
            _log.error("namespace.unprepared", error=str(error), commands=list(error.remedies))
        except (RPCError, NotTold) as error:
            _log.warning("namespace.not_told", error=str(error))


@asynccontextmanager
async def _ended_in_time(stop: asyncio.Event) -> AsyncIterator[None]:
    """Ends the process once it was told to stop and does not come to an end: polls of a Temporal that is away are waited for long.

    Nothing is lost by it: what was recorded is durable, and what was under way outside is tried again by another worker.
    """

    async def end() -> None:
        await stop.wait()
        bound = threading.Timer(STOP_SECONDS, _end)
        bound.daemon = True
        bound.start()

    task = asyncio.create_task(end(), name="stop")
    try:
        yield
    finally:
        task.cancel()


def _end() -> None:
    _log.warning("worker.ended_short", seconds=STOP_SECONDS)
    sys.stderr.flush()
    os._exit(0)


async def serve(chosen: Settings, clock: Clock | None = None) -> None:
    """Works until the process is told to stop: by this clock, else by the one that the log goes by.

    Raises `OtherLog` when Temporal works for another log, or has seen more of this one than is left, and `Unprepared` when its namespace
    lacks what workflows need.
    """
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    logs.configure(sys.stderr)
    keep_private(chosen.folder)
    client = await connect(chosen.address, telemetry(chosen.metrics))
    async with _ended_in_time(stop), recording(chosen, clock) as recorder:
        await prepared(client)
        heads = Heads(client, recorder.log, chosen.task_queue)
        await heads.compare()
        async with (
            watching(client),
            keeping(chosen.log_url, sys.stderr),
            working(client, recorder, chosen if recorder.clock.is_real or clock is not None else played(chosen)),
            reconciling(client, recorder, chosen),
            comparing(heads),
        ):
            _log.info("worker.started", release=release(), task_queue=chosen.task_queue, namespace=client.namespace)
            await stop.wait()
            _log.info("worker.stopping")


def main() -> None:
    """Works until the process is told to stop. What a person has to mend is told in words, not by a trace."""
    try:
        asyncio.run(serve(in_force()))
    except Unprepared as error:
        sys.exit("\n".join((str(error), *error.remedies)))
    except (OtherLog, LogUnavailable, RPCError, CannotSign, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
