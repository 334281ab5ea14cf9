"""A rule is changed while its workflow runs: the new worker goes on with it, and what comes next is decided by the new rule.

Workflows hold no rules, so nothing in their histories can disagree with a changed one. What was decided stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.worker import Worker

from activities.log.record import Recording
from activities.log.sending import TurnedDown
from activities.log.tell import Tell
from domain.kernel import Refused, derived_id
from domain.process import Context, Process
from domain.stream import StepOwed
from eventstore.recorder import Recorder
from tests import probe
from tests.probe import PROBE, Probe
from tests.probe_workflows import ProbeWorkflow
from tests.sandbox import sandbox
from tests.test_shell import FAST, Site, temporal, works

__all__ = ["temporal"]


def at_most_three_pokes(state: Probe, command: probe.ProbeCommand, context: Context) -> Sequence[probe.ProbeEvent | StepOwed]:
    """The new rule."""
    if isinstance(command, probe.Poke) and state.pokes >= 3:
        raise Refused("poked_enough", "a probe is poked three times", remedy="take another")
    return probe.decide(state, command, context)


CHANGED = replace(PROBE, decide=at_most_three_pokes)


@asynccontextmanager
async def release(site: Site, process: Process[Any, Any, Any], cached: int) -> AsyncIterator[None]:
    """A worker as one release starts it: its rules, a recorder of its own, the same log and task queue."""
    recorder = Recorder(site.log, {"probe": process})
    recording = Recording(recorder, policies=FAST)
    activities = [
        *recording.activities(),
        recording.carrying_out("work", works),
        recording.carrying_out("tell", Tell(site.sender, recording)),
    ]
    try:
        async with Worker(
            site.client, task_queue=site.queue, workflows=[ProbeWorkflow], activities=activities, workflow_runner=sandbox(),
            max_cached_workflows=cached,
        ):  # fmt: skip
            yield
    finally:
        await recorder.close()


@pytest.mark.parametrize("cached", [1_000, 0], ids=["cached", "replayed at every task"])
async def test_a_running_workflow_obeys_the_new_rule_and_keeps_what_the_old_one_decided(
    temporal: Client, tmp_path: Path, cached: int
) -> None:
    async with Site(temporal, tmp_path) as site:
        stream, fifth = site.name(), derived_id("fifth")
        async with release(site, PROBE, cached):
            await site.give(stream, "begin", work=3, ring_seconds=6)
            for _ in range(4):
                await site.give(stream, "poke")
            old = await site.give(stream, "poke", fifth)
            await site.until(stream, lambda stream: len(stream.state.results) == 3)
            run = (await site.handle(stream).describe()).run_id
        async with release(site, CHANGED, cached):
            with pytest.raises(TurnedDown, match="poked_enough"):
                await site.give(stream, "poke")
            assert await site.give(stream, "poke", fifth) == old
            state = await site.until(stream, lambda stream: stream.state.rung)
            assert (state.pokes, len(state.results)) == (5, 3)
            assert (await site.handle(stream).describe()).run_id == run
            await site.give(stream, "finish")
            async with asyncio.timeout(20):
                await site.handle(stream).result()
        failed = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        assert [event for event in (await site.handle(stream).fetch_history()).events if event.event_type == failed] == []
