"""A request to cancel a workflow ends no process: whatever the loop was waiting for, it goes on as before.

On the real Temporal server, with the probe of tests/probe.py standing for every process.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateStage

from activities.messages import Envelope, Receipt
from domain.kernel import Step
from eventstore.answers import Recorded
from eventstore.entries import Submission
from eventstore.recorder import Recorder, Standing
from tests.dev_server import dev_server
from tests.probe_workflows import HurriedProbe
from tests.test_shell import Site, works

pytestmark = pytest.mark.heavy


@pytest_asyncio.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with await dev_server() as environment:
        yield environment.client


class Held(Recorder):
    """A recorder whose log can be made to answer late, as a slow database does."""

    def hold(self, after: int = 0) -> None:
        """From now on answers wait, but for so many."""
        self.passing = after
        self.gate.clear()
        self.asked.clear()

    def let_go(self) -> None:
        """Answers come again."""
        self.gate.set()

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.gate, self.asked, self.passing = asyncio.Event(), asyncio.Event(), 0
        self.gate.set()

    async def record(self, submission: Submission) -> Recorded:
        await self._wait()
        return await super().record(submission)

    async def standing(self, stream: str) -> Standing:
        await self._wait()
        return await super().standing(stream)

    async def _wait(self) -> None:
        if self.passing:
            self.passing -= 1
            return
        self.asked.set()
        await self.gate.wait()


class HeldSite(Site):
    """A site whose workers record late when a test says so."""

    recorder: Held

    async def __aenter__(self) -> HeldSite:
        await super().__aenter__()
        self.recorder = Held(self.log, (await self.recorder.replica()).processes)
        return self

    async def cancel(self, stream: str) -> None:
        """Asks Temporal to cancel the workflow, and waits until its history says so."""
        handle = self.handle(stream)
        await handle.cancel()
        async with asyncio.timeout(20):
            while "CANCEL_REQUESTED" not in (await handle.fetch_history()).to_json():
                await asyncio.sleep(0.02)

    async def runs(self, stream: str) -> bool:
        return (await self.handle(stream).describe()).status == WorkflowExecutionStatus.RUNNING


@pytest_asyncio.fixture
async def site(temporal: Client, tmp_path: Path) -> AsyncIterator[HeldSite]:
    async with HeldSite(temporal, tmp_path) as site:
        yield site


async def test_a_cancelled_workflow_takes_commands_and_gives_its_deadline_as_before(site: HeldSite) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=2)
        run = (await site.handle(stream).describe()).run_id
        await site.cancel(stream)
        await site.give(stream, "poke")
        state = await site.until(stream, lambda stream: stream.state.rung)
        assert (state.pokes, state.rung) == (1, 1)
        assert (await site.handle(stream).describe()).run_id == run
        await site.give(stream, "finish")
        async with asyncio.timeout(20):
            await site.handle(stream).result()
        assert (await site.handle(stream).describe()).status == WorkflowExecutionStatus.COMPLETED


async def test_a_workflow_that_is_cancelled_twice_goes_on(site: HeldSite) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=2)
        run = (await site.handle(stream).describe()).run_id
        for _ in range(2):
            await site.cancel(stream)
            await site.give(stream, "poke")
        assert (await site.until(stream, lambda stream: stream.state.rung)).pokes == 2
        assert (await site.handle(stream).describe()).run_id == run


async def test_a_workflow_that_is_cancelled_before_its_first_look_at_the_log_goes_on(site: HeldSite) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "work": 1})
    site.recorder.hold()
    async with site.worker():
        await site.sender.start(stream)
        await site.recorder.asked.wait()
        await site.handle(stream).cancel()
        await asyncio.sleep(0.2)
        site.recorder.let_go()
        await site.until(stream, lambda stream: stream.state.results == ("work:000",))
        assert await site.runs(stream)


async def test_a_workflow_that_was_cancelled_while_no_worker_ran_goes_on(site: HeldSite) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "work": 1})
    await site.sender.start(stream)
    await site.handle(stream).cancel()
    async with site.worker():
        await site.until(stream, lambda stream: stream.state.results == ("work:000",))
        assert await site.runs(stream)


async def test_a_command_that_is_being_recorded_when_its_workflow_is_cancelled_is_answered(site: HeldSite) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        site.recorder.hold()
        poked = asyncio.create_task(site.give(stream, "poke"))
        await site.recorder.asked.wait()
        await site.handle(stream).cancel()
        await asyncio.sleep(0.2)
        site.recorder.let_go()
        assert (await poked).events == ["poked"]
        assert (await site.state(stream)).pokes == 1
        assert await site.runs(stream)


async def test_a_deadline_that_is_being_recorded_when_its_workflow_is_cancelled_stands_once(site: HeldSite) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=1)
        site.recorder.hold()
        await site.recorder.asked.wait()
        await site.handle(stream).cancel()
        await asyncio.sleep(0.2)
        site.recorder.let_go()
        assert (await site.until(stream, lambda stream: stream.state.rung)).rung == 1
        assert await site.runs(stream)
        assert [entry.kind for entry in await site.log.read_stream(stream, 0)] == ["begin", "ring"]


async def test_a_step_that_is_under_way_when_its_workflow_is_cancelled_is_carried_out_once(site: HeldSite) -> None:
    begun, ended, times = asyncio.Event(), asyncio.Event(), 0

    async def takes_long(step: Step) -> dict[str, Any]:
        nonlocal times
        times += 1
        begun.set()
        await ended.wait()
        return await works(step)

    async with site.worker(takes_long):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await begun.wait()
        await site.cancel(stream)
        ended.set()
        await site.until(stream, lambda stream: not stream.owed)
        assert (times, (await site.state(stream)).results) == (1, ("work:000",))
        assert await site.runs(stream)


async def test_a_workflow_that_is_cancelled_while_it_drains_for_a_new_run_continues_in_it(site: HeldSite) -> None:
    async with site.worker(workflow=HurriedProbe):
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=3)
        first = (await site.handle(stream).describe()).run_id
        for _ in range(HurriedProbe.most_updates - 3):
            await site.give(stream, "poke")
        site.recorder.hold(after=1)
        # The first of these to be recorded shows the loop that the run is full; it drains while the others are being recorded.
        poked = [asyncio.create_task(site.give(stream, "poke")) for _ in range(4)]
        await site.recorder.asked.wait()
        await asyncio.sleep(0.3)
        await site.handle(stream).cancel()
        await asyncio.sleep(0.2)
        site.recorder.let_go()
        for each in poked:
            assert (await each).events == ["poked"]
        state = await site.until(stream, lambda stream: stream.state.rung)
        assert (state.pokes, state.rung) == (HurriedProbe.most_updates + 1, 1)
        drained = await site.client.get_workflow_handle(stream, run_id=first).describe()
        assert drained.status == WorkflowExecutionStatus.CONTINUED_AS_NEW
        assert await site.runs(stream)


async def test_commands_under_a_rain_of_cancel_requests_are_all_answered_once_through_several_runs(site: HeldSite) -> None:
    async with site.worker(workflow=HurriedProbe):
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=2, work=3)
        first = (await site.handle(stream).describe()).run_id
        calls = iter(range(100))

        async def poke() -> None:
            for _ in calls:
                await site.give(stream, "poke")

        async def rain() -> None:
            while True:
                await site.handle(stream).cancel()
                await asyncio.sleep(0.03)

        raining = asyncio.create_task(rain())
        await asyncio.gather(*(poke() for _ in range(4)))
        await site.until(stream, lambda stream: stream.state.rung and len(stream.state.results) == 3)
        raining.cancel()
        await asyncio.gather(raining, return_exceptions=True)
        assert (await site.state(stream)).pokes == 100
        assert await site.runs(stream)
        assert (await site.client.get_workflow_handle(stream, run_id=first).describe()).status == WorkflowExecutionStatus.CONTINUED_AS_NEW


async def test_an_update_that_came_with_the_cancel_request_is_answered(site: HeldSite) -> None:
    stream, command_id = site.name(), str(uuid.uuid4())
    await site.record(stream, {"kind": "begin"})
    await site.sender.start(stream)
    waiting = asyncio.create_task(
        site.handle(stream).start_update(
            "poke",
            Envelope(actor="sam", command={"kind": "poke"}),
            id=command_id,
            result_type=Receipt,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
        )
    )
    await asyncio.sleep(0.3)
    await site.handle(stream).cancel()
    async with site.worker():
        receipt: Receipt = await (await waiting).result()
        assert receipt.events == ["poked"]
        assert await site.runs(stream)
