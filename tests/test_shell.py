"""The durable shell on the real Temporal server: whatever is killed goes on, whatever is asked twice happens once.

The probe (tests/probe.py) owes steps, tells its neighbour, waits for a deadline and closes; it stands for every process,
because the shell treats all alike.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.worker import Worker, WorkflowRunner

import worker
from activities.log.record import Policy, Recording
from activities.log.sending import Mistaken, NotAnswered, NotTaken, Sender, TurnedDown
from activities.log.tell import Tell
from activities.messages import Receipt
from domain.consortium.process import CONSORTIUM
from domain.kernel import SERVICE, Step
from domain.process import Context
from domain.stream import letter_id
from eventstore.entries import Submission
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from eventstore.wire import canonical_command
from tests.dev_server import dev_server
from tests.probe import PROBE, Poke, Probe
from tests.probe_workflows import HurriedProbe, ProbeWorkflow
from tests.sandbox import sandbox
from tests.stories import OFFICERS, charter
from workflows.process import ProcessWorkflow

pytestmark = pytest.mark.heavy

EVENTS_A_RUN = 400
"""After so many events the server suggests a new run: soon, so that tests see several."""
FOUNDED: Final = (
    "consortium/atlas",
    {
        "kind": "found", "charter": charter().model_dump(mode="json"),
        "officers": [{"person": person, "offices": sorted(offices)} for person, offices in OFFICERS.items()],
    },
)  # fmt: skip
FAST = {"work": Policy(attempts=2, delayed=timedelta(seconds=1)), "tell": Policy(attempts=20)}


@pytest_asyncio.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with await dev_server(f"limit.historyCount.suggestContinueAsNew={EVENTS_A_RUN}") as environment:
        yield environment.client


async def works(step: Step) -> dict[str, Any]:
    return {"kind": "worked", "step": step.key, "result": step.key}


class Site:
    """A log and a task queue of its own on the shared server, with as many workers as a test likes."""

    def __init__(self, client: Client, path: Path) -> None:
        self.client, self.path, self.queue = client, path, f"queue-{uuid.uuid4()}"
        self.sender = Sender(client, self.queue)
        self.log: SqliteLog
        self.recorder: Recorder

    def use(self, queue: str) -> None:
        """Shares the task queue of another site."""
        self.queue, self.sender = queue, Sender(self.client, queue)

    async def __aenter__(self) -> Site:
        self.log = await SqliteLog.open(self.path / "log.db")
        self.recorder = Recorder(self.log, {"probe": PROBE, "consortium": CONSORTIUM})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.recorder.close()
        await self.log.close()

    @asynccontextmanager
    async def worker(
        self,
        work: Callable[[Step], Any] = works,
        workflow: type[ProcessWorkflow] = ProbeWorkflow,
        policies: Mapping[str, Policy] = FAST,
        runner: WorkflowRunner | None = None,
    ) -> AsyncIterator[None]:
        recording = Recording(self.recorder, policies=policies)
        activities = [*recording.activities(), recording.carrying_out("work", work)]
        activities.append(recording.carrying_out("tell", Tell(self.sender, recording)))
        async with Worker(
            self.client, task_queue=self.queue, workflows=[workflow], activities=activities, workflow_runner=runner or sandbox(),
            sticky_queue_schedule_to_start_timeout=worker.STICKY,
        ):  # fmt: skip
            yield

    async def record(self, stream: str, command: dict[str, Any], command_id: str = "", by: str = "sam") -> None:
        """Records a command without a workflow."""
        raw = canonical_command(command)
        recorded = await self.recorder.record(Submission(stream, command_id or str(uuid.uuid4()), by, raw))
        assert recorded.refusal is None

    def name(self) -> str:
        return f"probe/{uuid.uuid4()}"

    async def give(self, stream: str, kind: str, command_id: str = "", **fields: Any) -> Receipt:
        return await self.sender.send(stream, command_id or str(uuid.uuid4()), "sam", {"kind": kind, **fields})

    async def state(self, stream: str) -> Probe:
        state: Probe = (await self.recorder.standing(stream)).stream.state
        return state

    async def until(self, stream: str, holds: Callable[[Any], bool]) -> Probe:
        """Waits until the stream's state is as wished."""
        async with asyncio.timeout(30):
            while not holds((await self.recorder.standing(stream)).stream):
                await asyncio.sleep(0.02)
        return await self.state(stream)

    def handle(self, stream: str) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(stream)


@pytest_asyncio.fixture
async def site(temporal: Client, tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(temporal, tmp_path) as site:
        yield site


async def test_a_command_starts_its_workflow_and_a_repeat_gets_the_same_receipt(site: Site) -> None:
    async with site.worker():
        stream, command_id = site.name(), str(uuid.uuid4())
        receipt = await site.give(stream, "begin", command_id)
        assert (receipt.position, receipt.events) == (1, ["begun"])
        assert await site.give(stream, "begin", command_id) == receipt
        assert (await site.log.head()).position == 1


async def test_a_refusal_reaches_its_sender_with_the_remedy(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        await site.give(stream, "finish")
        with pytest.raises(TurnedDown) as refused:
            await site.give(stream, "poke")
        assert (refused.value.refusal.rule, refused.value.refusal.remedy) == ("finished", "take another")


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"kind": "poke", "extra": 1}, "extra"), ({"kind": "pook"}, "no command 'pook'"), ({"kind": "poke", "text": "x" * 90_000}, "bytes")],
)
async def test_bad_input_is_told_and_leaves_the_workflow_well(site: Site, fields: dict[str, Any], said: str) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        with pytest.raises(NotTaken, match=said):
            await site.sender.send(stream, str(uuid.uuid4()), "sam", fields)
        await site.give(stream, "poke")


async def test_a_sender_without_a_handle_or_an_id_is_told(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        for actor, command_id in (("Sam Smith", str(uuid.uuid4())), ("sam\x00", str(uuid.uuid4())), ("sam", "seventeen")):
            with pytest.raises(NotTaken, match="handle|UUID"):
                await site.sender.send(stream, command_id, actor, {"kind": "begin"})
        assert (await site.log.head()).position == 0


async def test_the_largest_command_goes_through_with_its_signed_text(site: Site) -> None:
    async with site.worker():
        text = "é" * (31 * 1024)
        command = {"kind": "waive_step", "step": "work:000", "reason": text}
        signed = base64.b64encode(json.dumps(command, ensure_ascii=False).encode()).decode()
        with pytest.raises(NotTaken, match="reason: must be text, at most 4,000 characters"):
            await site.sender.send(site.name(), str(uuid.uuid4()), "sam", command, signed=signed, signature=signed[:400])


async def test_a_rule_that_fails_is_our_mistake_and_the_command_is_taken_once_it_is_mended(site: Site) -> None:
    broken = True

    def decide(state: Probe, command: Any, context: Context) -> Sequence[Any]:
        if broken and isinstance(command, Poke):
            raise ZeroDivisionError
        return PROBE.decide(state, command, context)

    site.recorder = Recorder(site.log, {"probe": replace(PROBE, decide=decide)})
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        with pytest.raises(Mistaken, match="ZeroDivisionError"):
            await site.give(stream, "poke")
        broken = False
        assert (await site.give(stream, "poke")).events == ["poked"]


async def test_owed_steps_are_carried_out_and_what_a_step_tells_arrives_once(site: Site) -> None:
    async with site.worker():
        stream, neighbour = site.name(), site.name()
        await site.give(neighbour, "begin")
        await site.give(stream, "begin", work=40, tell=neighbour)
        state = await site.until(stream, lambda stream: len(stream.state.results) == 40 and not stream.owed)
        assert sorted(state.results) == [f"work:{number:03}" for number in range(40)]
        assert (await site.state(neighbour)).pokes == 1


async def test_a_step_that_fails_for_good_waits_for_a_person_who_asks_for_another_try(site: Site) -> None:
    broken = True

    async def breaks(step: Step) -> dict[str, Any]:
        return {"kind": "fail_step", "step": step.key, "reason": "the address is wrong"} if broken else await works(step)

    async with site.worker(breaks):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await site.until(stream, lambda stream: "work:000" in stream.failed)
        assert "the address is wrong" in (await site.recorder.standing(stream)).stream.failed["work:000"]
        broken = False
        with pytest.raises(TurnedDown, match="office_required"):
            await site.give(stream, "retry_step", step="work:000")
        await site.record(*FOUNDED)
        await site.give(stream, "retry_step", step="work:000")
        state = await site.until(stream, lambda stream: not stream.owed)
        assert state.results == ("work:000",)


async def test_what_does_not_succeed_for_long_asks_for_attention_and_is_tried_until_it_is_done(site: Site) -> None:
    broken, tries = True, 0

    async def breaks(step: Step) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if broken:
            raise ConnectionError("the outside world is `down`")
        return await works(step)

    async with site.worker(breaks):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await site.until(stream, lambda stream: "work:000" in stream.delayed)
        stood = await site.recorder.standing(stream)
        assert "the outside world is `down`" in stood.stream.delayed["work:000"]
        assert not stood.stream.failed
        query = f"WorkflowId = '{stream}' AND Attention = true AND WaitsFor = 'office:secretariat'"
        async with asyncio.timeout(20):
            while not [found async for found in site.client.list_workflows(query)]:
                await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            while tries < FAST["work"].attempts + 3:
                await asyncio.sleep(0.1)
        broken = False
        state = await site.until(stream, lambda stream: not stream.owed)
        assert state.results == ("work:000",)
        kinds = [entry.kind for entry in await site.log.read(0)]
        assert kinds == ["begin", "delay_step", "worked"], "one word of it, however often it was tried"


async def test_a_try_that_shows_no_life_counts_as_one_and_gives_nothing_up(site: Site) -> None:
    tries = 0

    async def hangs(step: Step) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if tries <= FAST["work"].attempts + 1:
            await asyncio.sleep(60)
        return await works(step)

    silent = {"work": Policy(timedelta(seconds=30), timedelta(seconds=1), attempts=2, delayed=timedelta(seconds=1))}
    async with site.worker(hangs, policies=silent):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await site.until(stream, lambda stream: "work:000" in stream.delayed)
        state = await site.until(stream, lambda stream: not stream.owed)
        assert state.results == ("work:000",)


async def test_a_delayed_step_is_tried_at_once_when_a_person_asks_and_by_nobody_once_it_is_waived(site: Site) -> None:
    broken, tried = True, list[str]()

    async def breaks(step: Step) -> dict[str, Any]:
        tried.append(step.key)
        if broken:
            raise ConnectionError("the outside world is down")
        return await works(step)

    seldom = {"work": Policy(attempts=1, delayed=timedelta(hours=1))}
    await site.record(*FOUNDED)
    async with site.worker(breaks, policies=seldom):
        stream = site.name()
        await site.give(stream, "begin", work=2)
        await site.until(stream, lambda stream: len(stream.delayed) == 2)
        async with asyncio.timeout(20):
            while len(tried) < 4:  # the first of the seldom tries come at once, the next would in a minute
                await asyncio.sleep(0.1)
        broken = False
        await site.give(stream, "waive_step", step="work:000", reason="done by hand")
        await site.give(stream, "retry_step", step="work:001")
        state = await site.until(stream, lambda stream: not stream.owed)
        assert state.results == ("work:001",)
        await site.give(stream, "finish")
        async with asyncio.timeout(20):
            await site.handle(stream).result()
        assert tried.count("work:000") == 2


async def test_a_run_that_can_take_no_more_leaves_its_delayed_step_to_the_next(site: Site) -> None:
    broken = True

    async def breaks(step: Step) -> dict[str, Any]:
        if broken:
            raise ConnectionError("the outside world is down")
        return await works(step)

    async with site.worker(breaks, HurriedProbe):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await site.until(stream, lambda stream: "work:000" in stream.delayed)
        first = await site.handle(stream).describe()
        for _ in range(HurriedProbe.most_updates * 2):
            await site.give(stream, "poke")
        assert (await site.handle(stream).describe()).run_id != first.run_id
        assert "work:000" in (await site.recorder.standing(stream)).stream.delayed
        broken = False
        state = await site.until(stream, lambda stream: not stream.owed)
        assert (state.pokes, state.results) == (HurriedProbe.most_updates * 2, ("work:000",))
        assert [entry.kind for entry in await site.log.read(0)].count("delay_step") == 1


async def test_what_was_refused_is_told_anew_when_a_person_asks(site: Site) -> None:
    await site.record(*FOUNDED)
    async with site.worker():
        stream, neighbour = site.name(), site.name()
        told = f"tell:{neighbour}"
        await site.give(neighbour, "begin")
        await site.give(neighbour, "muffle", muffled=True)
        await site.give(stream, "begin", tell=neighbour)
        for _ in range(2):
            await site.until(stream, lambda stream: "muffled" in stream.failed.get(told, ""))
            await site.give(stream, "retry_step", step=told)
        await site.until(stream, lambda stream: told in stream.failed)
        await site.give(neighbour, "muffle", muffled=False)
        await site.give(stream, "retry_step", step=told)
        await site.until(stream, lambda stream: not stream.owed)
        assert (await site.state(neighbour)).pokes == 1


async def test_what_was_taken_after_its_sender_gave_up_is_not_told_anew(site: Site) -> None:
    stream, neighbour = site.name(), site.name()
    told = f"tell:{neighbour}"
    await site.record(*FOUNDED)
    await site.record(neighbour, {"kind": "begin"})
    await site.record(stream, {"kind": "begin", "tell": neighbour})
    await site.record(stream, {"kind": "fail_step", "step": told, "reason": "cancelled"}, by=SERVICE)
    await site.record(stream, {"kind": "retry_step", "step": told})
    await site.record(neighbour, {"kind": "poke"}, letter_id(stream, told, 0), by=SERVICE)
    async with site.worker():
        await site.sender.start(stream)
        await site.until(stream, lambda stream: not stream.owed)
        assert (await site.state(neighbour)).pokes == 1


async def test_an_outcome_that_is_no_command_becomes_the_failure_of_its_step(site: Site) -> None:
    async def babbles(step: Step) -> dict[str, Any]:
        return {"kind": "worked", "step": step.key, "result": 7}

    async with site.worker(babbles):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        stream_state = await site.until(stream, lambda stream: "work:000" in stream.failed)
        assert stream_state.results == ()


async def test_a_deadline_comes_by_itself_and_by_name(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=1)
        await site.until(stream, lambda stream: stream.state.rung)
        history = await site.handle(stream).fetch_history()
        assert '"ring"' in history.to_json() or "InJpbmci" in history.to_json()


async def test_deadlines_at_one_instant_all_come_on_one_timer_whatever_happens_before(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=3, bells=3)
        for _ in range(4):
            await site.give(stream, "poke")
        await site.until(stream, lambda stream: stream.state.rung == 3)
        started = EventType.EVENT_TYPE_TIMER_STARTED
        assert [event.event_type for event in (await site.handle(stream).fetch_history()).events].count(started) == 1


async def test_a_terminated_workflow_goes_on_when_it_is_started_again(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", work=3, ring_seconds=2)
        await site.handle(stream).terminate()
        await site.sender.start(stream)
        state = await site.until(stream, lambda stream: stream.state.rung and len(stream.state.results) == 3)
        assert sorted(state.results) == ["work:000", "work:001", "work:002"]


async def test_a_closed_process_ends_its_workflow_and_a_later_command_opens_it_again(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        await site.give(stream, "finish")
        async with asyncio.timeout(20):
            await site.handle(stream).result()
        with pytest.raises(TurnedDown):
            await site.give(stream, "poke")


async def test_a_refused_first_command_leaves_no_workflow_running(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        with pytest.raises(TurnedDown):
            await site.give(stream, "waive_step", step="x", reason="y")
        async with asyncio.timeout(20):
            await site.handle(stream).result()


async def test_history_stays_bounded_while_commands_keep_coming(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", work=1)
        calls = iter(range(300))

        async def poke() -> None:
            for _ in calls:
                await site.give(stream, "poke")

        await asyncio.gather(*(poke() for _ in range(8)))
        assert (await site.state(stream)).pokes == 300
        description = await site.handle(stream).describe()
        assert description.status == WorkflowExecutionStatus.RUNNING
        assert description.history_length < EVENTS_A_RUN * 2


async def test_a_long_step_keeps_its_run_while_commands_and_deadlines_go_on(site: Site) -> None:
    ended, begun = asyncio.Event(), 0

    async def takes_long(step: Step) -> dict[str, Any]:
        nonlocal begun
        begun += 1
        await ended.wait()
        return await works(step)

    async with site.worker(takes_long):
        stream = site.name()
        await site.give(stream, "begin", work=1, ring_seconds=3)
        first = await site.handle(stream).describe()
        while not (await site.state(stream)).rung or (await site.handle(stream).describe()).history_length < EVENTS_A_RUN * 2:
            await site.give(stream, "poke")
        assert (await site.handle(stream).describe()).run_id == first.run_id
        ended.set()
        await site.until(stream, lambda stream: not stream.owed)
        await site.give(stream, "poke")
        async with asyncio.timeout(20):
            while (await site.handle(stream).describe()).run_id == first.run_id:
                await asyncio.sleep(0.1)
        assert begun == 1


async def test_a_run_that_can_take_no_more_leaves_its_step_to_the_next(site: Site) -> None:
    ended, begun = asyncio.Event(), 0

    async def takes_long(step: Step) -> dict[str, Any]:
        nonlocal begun
        begun += 1
        await ended.wait()
        return await works(step)

    async with site.worker(takes_long, HurriedProbe):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        first = await site.handle(stream).describe()
        for _ in range(HurriedProbe.most_updates * 2):
            await site.give(stream, "poke")
        assert (await site.handle(stream).describe()).run_id != first.run_id
        assert begun > 1
        ended.set()
        state = await site.until(stream, lambda stream: not stream.owed)
        assert (state.pokes, state.results) == (HurriedProbe.most_updates * 2, ("work:000",))


async def test_commands_sent_while_no_worker_runs_are_answered_when_one_comes(site: Site) -> None:
    stream = site.name()
    impatient = asyncio.create_task(site.give(stream, "begin"))
    await asyncio.sleep(1)
    async with site.worker():
        assert (await impatient).events == ["begun"]


async def test_a_caller_is_told_to_ask_again_when_no_answer_comes(site: Site) -> None:
    sender = Sender(site.client, site.queue, patience=timedelta(seconds=1))
    with pytest.raises(NotAnswered, match="Ask again"):
        await sender.send(site.name(), str(uuid.uuid4()), "sam", {"kind": "begin"})


async def test_phase_and_who_is_waited_for_can_be_searched(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        query = f"WorkflowId = '{stream}' AND Phase = 'running' AND WaitsFor = 'member:helio'"
        async with asyncio.timeout(20):
            while not [found async for found in site.client.list_workflows(query)]:
                await asyncio.sleep(0.1)
        attributes = (await site.handle(stream).describe()).typed_search_attributes
        assert attributes.get(SearchAttributeKey.for_bool("Attention")) is False
