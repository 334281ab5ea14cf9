"""A worker that must record nothing is drained and comes back by itself; the others do its work meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.worker import Worker

import worker
from activities.log.record import Recording
from activities.log.sending import NotAnswered, Sender
from activities.messages import Receipt
from domain.charter import Office
from eventstore.clock import Clock, StandingClock, SystemClock
from eventstore.entries import instant, microseconds
from eventstore.log import Log, Unfit
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from settings import rehearsed
from tests.keyrings import Holders
from tests.probe import PROBE
from tests.probe_workflows import ProbeWorkflow
from tests.sandbox import sandbox
from tests.stories import OFFICERS, charter
from tests.test_clock import Off
from tests.test_shell import temporal

__all__ = ["temporal"]

pytestmark = pytest.mark.heavy

APART: Final = timedelta(minutes=10)


@dataclass
class Host:
    """A worker on a host with a clock of its own."""

    off: Off
    recorder: Recorder
    recorded: int = 0

    async def until(self, holds: Callable[[Unfit | None], bool]) -> None:
        """Waits until its fitness is as wished."""
        async with asyncio.timeout(30):
            while not holds(self.recorder.unfit):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def host(client: Client, url: str, folder: Path, queue: str, off: timedelta = timedelta()) -> AsyncIterator[Host]:
    """A worker as it is shipped, with a connection of its own, that counts what it records."""
    clock = Off(off)
    client = await worker.connect(client.service_client.config.target_host)
    chosen = rehearsed(folder, log=url, task_queue=queue)
    async with worker.recording(chosen, SystemClock(clock)) as recorder:
        there, record = Host(clock, recorder), recorder.record

        async def counted(submission: Any) -> Any:
            answer = await record(submission)
            there.recorded += 1
            return answer

        recorder.record = counted  # type: ignore[method-assign]
        async with worker.working(client, recorder, chosen):
            yield there


class Givers:
    """People who give one command after another on one stream."""

    def __init__(self, client: Client, queue: str, folder: Path) -> None:
        self._sender = Sender(client, queue)
        self._holders = Holders(folder)
        self._stream = f"consortium/{uuid.uuid4()}"
        self.receipts: list[Receipt] = []
        self.ended = False

    async def found(self) -> None:
        await self._give(self._holders.founding(charter().model_dump(mode="json"), OFFICERS, self._stream))
        self._holders.first = self.receipts[0].hash

    async def go_on(self) -> None:
        """Gives commands until told to end; each is answered."""
        while not self.ended:
            await self._give({"kind": "grant_office", "person": f"person-{len(self.receipts)}", "office": Office.AUDITOR})

    async def more(self, number: int) -> None:
        """Waits until so many more commands were answered."""
        wanted = len(self.receipts) + number
        async with asyncio.timeout(60):
            while len(self.receipts) < wanted:
                await asyncio.sleep(0.02)

    async def _give(self, command: dict[str, Any]) -> None:
        command_id = str(uuid.uuid4())
        said = self._holders.sign(self._stream, command_id, "sam", command)
        self.receipts.append(await self._sender.send(self._stream, command_id, "sam", command, **said))


@pytest.mark.parametrize("by", [APART, -APART], ids=["ahead", "behind"])
async def test_of_two_workers_ten_minutes_apart_the_wrong_one_is_drained_and_the_other_goes_on(
    temporal: Client, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    monkeypatch.setattr(worker, "EXAMINED_SECONDS", 0.2)
    queue = f"queue-{uuid.uuid4()}"
    people = Givers(temporal, queue, tmp_path)
    with capture_logs() as told:
        async with AsyncExitStack() as right_until, host(temporal, postgres_url, tmp_path, queue) as wrong:
            right = await right_until.enter_async_context(host(temporal, postgres_url, tmp_path, queue))
            await people.found()
            giving = asyncio.create_task(people.go_on())
            await people.more(20)
            wrong.off.by = by
            await wrong.until(lambda unfit: unfit is not None)
            await drained(told)
            await people.more(5)
            before = wrong.recorded
            await people.more(20)
            assert wrong.recorded == before, "the wrong one records nothing"
            assert (await right.recorder.examine()) is None
            assert (await wrong.recorder.replica()).head.position > 0, "it still reads"
            wrong.off.by = timedelta()
            await wrong.until(lambda unfit: unfit is None)
            await right_until.aclose()
            await people.more(5)
            people.ended = True
            await giving
            assert wrong.recorded > before, "it came back"
            entries = await wrong.recorder.log.read(0, 10_000)
    assert [entry.command_id for entry in entries] == [receipt.command_id for receipt in people.receipts]
    assert all(abs(instant(entry.at) - datetime.now(UTC)) < timedelta(minutes=3) for entry in entries)
    assert [each["event"] for each in told if each["event"].startswith("worker.dr")] == ["worker.draining", "worker.drained"]


async def drained(told: list[Any]) -> None:
    """Waits until a worker was drained."""
    async with asyncio.timeout(30):
        while not any(each["event"] == "worker.drained" for each in told):
            await asyncio.sleep(0.02)


async def test_a_worker_that_starts_on_a_host_with_a_wrong_clock_polls_nothing_until_it_is_right(
    temporal: Client, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "EXAMINED_SECONDS", 0.2)
    queue = f"queue-{uuid.uuid4()}"
    people = Givers(temporal, queue, tmp_path)
    async with host(temporal, postgres_url, tmp_path, queue, APART) as alone:
        assert alone.recorder.unfit is not None
        founding = asyncio.create_task(people.found())
        await asyncio.sleep(1)
        assert not founding.done()
        alone.off.by = timedelta()
        await founding
        assert alone.recorded == 1


async def test_a_person_is_told_at_once_when_the_head_is_far_ahead_and_what_the_system_says_waits(temporal: Client, tmp_path: Path) -> None:
    log, off, queue = MemoryLog(), Off(timedelta(days=1)), f"queue-{uuid.uuid4()}"
    async with probing(temporal, log, SystemClock(off), queue):
        sender, stream = Sender(temporal, queue), f"probe/{uuid.uuid4()}"
        await sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "begin"})
        off.by = timedelta()
        with pytest.raises(NotAnswered, match=r"entry 1 is dated .* two officers accept the time"):
            await sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "poke"})
        saying = asyncio.create_task(sender.send(stream, str(uuid.uuid4()), "service", {"kind": "poke"}))
        await asyncio.sleep(1)
        assert not saying.done()
        off.by = timedelta(days=1)
        assert (await saying).events == ["poked"]


# ------------------------------------------------------------ deadlines that Temporal brings too early


@asynccontextmanager
async def probing(client: Client, log: Log, clock: Clock, queue: str) -> AsyncIterator[Recorder]:
    """A worker for probes, by this clock."""
    recorder = Recorder(log, {"probe": PROBE}, clock)
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=Recording(recorder).activities(), workflow_runner=sandbox()
    ):
        yield recorder
    await recorder.close()


async def test_a_deadline_that_temporal_brings_early_comes_once_when_the_recorders_clock_is_there(temporal: Client) -> None:
    log, queue, stream = MemoryLog(), f"queue-{uuid.uuid4()}", f"probe/{uuid.uuid4()}"
    behind = timedelta(seconds=4)
    async with probing(temporal, log, SystemClock(Off(timedelta())), queue) as before:
        began = await Sender(temporal, queue).send(stream, str(uuid.uuid4()), "sam", {"kind": "begin", "ring_seconds": 3})
    head = await before.log.head()
    assert head.position == 1
    async with probing(temporal, log, SystemClock(Off(-behind)), queue):
        async with asyncio.timeout(30):
            while (await log.head()).position < 2:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
    (rung,) = await log.read(1)
    assert (rung.kind, rung.outcome) == ("ring", "accepted")
    assert rung.at >= microseconds(began.at + timedelta(seconds=3))
    history = await temporal.get_workflow_handle(stream).fetch_history()
    assert len(history.events) < 60, "it is no busy loop"


async def test_while_the_logs_time_stands_still_a_timer_that_was_set_before_brings_nothing_and_is_not_set_again(temporal: Client) -> None:
    log, queue, stream = MemoryLog(), f"queue-{uuid.uuid4()}", f"probe/{uuid.uuid4()}"
    async with probing(temporal, log, SystemClock(Off(timedelta())), queue):
        await Sender(temporal, queue).send(stream, str(uuid.uuid4()), "sam", {"kind": "begin", "ring_seconds": 2})
    async with probing(temporal, log, StandingClock(), queue):
        await asyncio.sleep(5)
        history = await temporal.get_workflow_handle(stream).fetch_history()
        await Sender(temporal, queue).send(stream, str(uuid.uuid4()), "sam", {"kind": "poke"})
    assert (await log.head()).position == 2
    assert len([event for event in history.events if event.HasField("timer_started_event_attributes")]) == 1
