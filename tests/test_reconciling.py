"""What the log says is unfinished runs again, whatever became of its workflow: the reconciler on the real Temporal server.

The probe of tests/probe.py stands for every process. A test takes the reconciler's turns itself, and moves its clock when time must pass.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType, ResetReapplyType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.runtime import Runtime
from temporalio.service import RPCError

import worker
from activities.log.reconciling import FAILING, Reconciler
from domain.process import Context
from eventstore.answers import Recorded
from eventstore.clock import StandingClock
from eventstore.entries import Submission
from eventstore.log import LogUnavailable
from eventstore.readmodels import Projector
from eventstore.recorder import Recorder
from tests.careless import Fails
from tests.dev_server import dev_server
from tests.probe import PROBE, Probe, Ring
from tests.probe_worker import PROCESSES, READY
from tests.test_shell import Site

pytestmark = pytest.mark.heavy


class Metrics(NamedTuple):
    """A worker's runtime, and where Prometheus finds its figures."""

    address: str
    runtime: Runtime


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    return Metrics(address, worker.telemetry(address))


@pytest_asyncio.fixture(scope="module")
async def temporal(metrics: Metrics) -> AsyncIterator[Client]:
    async with await dev_server() as environment:
        yield await worker.connect_here(environment.client.service_client.config.target_host, metrics.runtime)


def stands(state: Probe, command: Any, context: Context) -> Sequence[Any]:
    """Rules by which a deadline that came still stands."""
    return () if isinstance(command, Ring) else PROBE.decide(state, command, context)


class Watched(Site):
    """A site with a reconciler."""

    def __init__(self, client: Client, path: Path, metrics: Metrics) -> None:
        super().__init__(client, path)
        self.metrics = metrics

    async def __aenter__(self) -> Watched:
        await super().__aenter__()
        self.later = timedelta()
        self.projector = Projector(self.log, PROCESSES)
        self.reconciler = self.make()
        return self

    def make(self) -> Reconciler:
        """A reconciler that knows nothing yet."""
        return Reconciler(
            self.client, self.recorder, task_queue=self.queue, processes=PROCESSES, now=lambda: datetime.now(UTC) + self.later
        )  # fmt: skip

    async def turn(self, after: timedelta = timedelta()) -> None:
        """The reconciler's next turn, so much later, with the lists at the log's head."""
        self.later += after
        await self.projector.catch_up()
        await self.reconciler.turn()

    async def runs(self, stream: str) -> bool:
        return (await self.handle(stream).describe()).status == WorkflowExecutionStatus.RUNNING

    async def run_id(self, stream: str) -> str:
        return (await self.handle(stream).describe()).run_id

    async def started(self, stream: str) -> bool:
        """Whether it runs, also where Temporal never heard of it."""
        with suppress(RPCError):
            return await self.runs(stream)
        return False

    async def shows(self, name: str) -> float:
        """What Prometheus finds under a name; the counter of all tests before, too."""
        async with httpx.AsyncClient() as prometheus:
            text = (await prometheus.get(f"http://{self.metrics.address}/metrics")).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}\b", line))

    async def reset(self, stream: str, *, with_updates: bool) -> None:
        """Takes the workflow back to before its last task, with the commands that came since or without."""
        events = (await self.handle(stream).fetch_history()).events
        event = [event.event_id for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED][-1]
        exclude = [] if with_updates else [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE]
        await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=stream),
                reason="a test",
                workflow_task_finish_event_id=event,
                request_id=str(uuid.uuid4()),
                reset_reapply_type=ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE,
                reset_reapply_exclude_types=exclude,
            )
        )


@pytest_asyncio.fixture
async def site(temporal: Client, tmp_path: Path, metrics: Metrics) -> AsyncIterator[Watched]:
    async with Watched(temporal, tmp_path, metrics) as site:
        yield site


MINUTE = timedelta(seconds=61)


async def test_a_terminated_workflow_is_started_again_and_carries_out_what_is_owed(site: Watched) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=2)
        await site.handle(stream).terminate()
        await site.turn()
        state = await site.until(stream, lambda stream: stream.state.rung)
        assert state.rung == 1
        assert await site.runs(stream)


async def test_a_stream_on_the_log_that_temporal_never_heard_of_is_started(site: Watched) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "work": 2})
    async with site.worker():
        await site.turn()
        await site.until(stream, lambda stream: len(stream.state.results) == 2)


async def test_what_ends_between_two_sweeps_is_started_once_its_deadline_is_late(site: Watched) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=1)
        await site.turn()
        await site.handle(stream).terminate()
        await site.turn(after=timedelta(seconds=9))
        assert not await site.runs(stream)
        await site.turn(after=timedelta(seconds=9))
        assert (await site.until(stream, lambda stream: stream.state.rung)).rung == 1


async def test_what_runs_and_what_is_finished_is_left_alone(site: Watched) -> None:
    async with site.worker():
        running, finished = site.name(), site.name()
        for stream in (running, finished):
            await site.give(stream, "begin")
        await site.give(finished, "finish")
        async with asyncio.timeout(20):
            await site.handle(finished).result()
        runs = [await site.run_id(stream) for stream in (running, finished)]
        for _ in range(3):
            await site.turn(after=MINUTE)
        assert [await site.run_id(stream) for stream in (running, finished)] == runs


async def test_a_workflow_that_was_reset_to_where_it_knew_of_no_deadline_is_started_anew(site: Watched) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=2)
        await site.give(stream, "muffle", muffled=True)
        await site.give(stream, "muffle", muffled=False)
        await site.reset(stream, with_updates=False)
        await asyncio.sleep(2.5)
        assert (await site.state(stream)).rung == 0
        await site.turn(after=MINUTE)
        assert (await site.until(stream, lambda stream: stream.state.rung)).rung == 1


async def test_a_workflow_that_was_reset_with_its_commands_gives_its_deadline_once_by_itself(site: Watched) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=2)
        await site.give(stream, "poke")
        await site.reset(stream, with_updates=True)
        state = await site.until(stream, lambda stream: stream.state.rung)
        assert (state.pokes, state.rung) == (1, 1)


async def test_a_workflow_whose_task_fails_again_and_again_is_started_anew(site: Watched) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "ring_seconds": 0})
    async with site.worker(workflow=Fails):
        await site.sender.start(stream)
        async with asyncio.timeout(60):
            while (await site.handle(stream).describe()).raw_description.pending_workflow_task.attempt < FAILING:
                await asyncio.sleep(0.1)
        run = await site.run_id(stream)
    await site.turn(after=MINUTE)
    assert await site.run_id(stream) != run
    async with site.worker():
        await site.until(stream, lambda stream: stream.state.rung)


async def test_a_workflow_whose_log_cannot_be_written_is_not_started_anew(site: Watched) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=1)
        recorder = site.recorder
        away = asyncio.Event()

        async def record(_: Submission) -> Recorded:
            away.set()
            raise LogUnavailable("the disk is full")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recorder, "record", record)
            await away.wait()
            run = await site.run_id(stream)
            await site.turn(after=MINUTE)
            assert await site.run_id(stream) == run
        await site.until(stream, lambda stream: stream.state.rung)


async def test_a_deadline_that_stands_though_the_log_answered_it_starts_nothing_anew(site: Watched) -> None:
    site.recorder = Recorder(site.log, {"probe": replace(PROBE, decide=stands)})
    site.reconciler = site.make()
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=0)
        async with asyncio.timeout(30):
            while (await site.log.head()).position < 2:
                await asyncio.sleep(0.05)
        run = await site.run_id(stream)
        for _ in range(3):
            await site.turn(after=MINUTE)
        assert await site.run_id(stream) == run


async def test_no_worker_takes_a_task_and_nothing_is_started_anew(site: Watched) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "ring_seconds": 0})
    await site.sender.start(stream)
    run = await site.run_id(stream)
    for _ in range(3):
        await site.turn(after=MINUTE)
    assert await site.run_id(stream) == run


async def test_nothing_is_overdue_while_the_logs_clock_stands_still(site: Watched) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "ring_seconds": 0})
    clock, site.recorder.clock = site.recorder.clock, StandingClock()
    await site.turn(after=timedelta(days=1))
    assert (await site.shows("overdue_deadlines"), await site.shows("overdue_deadline_age_seconds")) == (0, 0)
    site.recorder.clock = clock
    await site.turn()
    assert await site.shows("overdue_deadlines") == 1
    assert await site.shows("overdue_deadline_age_seconds") >= 24 * 3_600


async def test_a_stream_that_ends_whenever_it_is_started_is_started_ever_more_seldom(site: Watched) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin"})
    before = await site.shows("streams_started_again")
    for _ in range(60):
        await site.turn(after=timedelta(seconds=30))
        if await site.started(stream):
            await site.handle(stream).terminate()
            async with asyncio.timeout(20):
                while [run async for run in site.client.list_workflows(f"WorkflowId = '{stream}' AND ExecutionStatus = 'Running'")]:
                    await asyncio.sleep(0.02)
    assert 3 <= await site.shows("streams_started_again") - before <= 8


@asynccontextmanager
async def worker_process(site: Watched, *, hurried: bool) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker with a reconciler in a process of its own, once it is at work; killed in the end."""
    address = site.client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.probe_worker", address, str(site.path), site.queue, *(["hurried"] if hurried else []),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        while (line := await process.stdout.readline()).decode().strip() != READY:
            assert line, "the worker ended"
        yield process
    finally:
        process.kill()
        await process.wait()


@pytest.mark.timeout(240)
async def test_every_deadline_comes_once_whether_its_workflow_was_killed_cancelled_terminated_or_reset(
    site: Watched, *, long: bool
) -> None:
    """As shipped, with 20 streams each, deadlines 30 s ahead and 90 s for all of them: with --long."""
    size, ahead, within = (20, 30, 90) if long else (3, 10, 90)
    async with worker_process(site, hurried=not long):
        killed, cancelled, terminated, reset = ([site.name() for _ in range(size)] for _ in range(4))
        streams = [*killed, *cancelled, *terminated, *reset]
        for stream in streams:
            await site.give(stream, "begin", ring_seconds=ahead)
    async with asyncio.timeout(within), worker_process(site, hurried=not long):
        for one, two, three in zip(cancelled, terminated, reset, strict=True):
            await site.handle(one).cancel()
            await site.handle(two).terminate()
            await site.reset(three, with_updates=True)
        while not all([(await site.state(stream)).rung for stream in streams]):
            await asyncio.sleep(0.2)
    for stream in streams:
        assert [entry.kind for entry in await site.log.read_stream(stream, 0)] == ["begin", "ring"]
