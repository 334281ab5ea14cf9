"""What a workflow is told about its stream: ids under which the system's own commands are recorded once each, and only once.

On a real recorder, without Temporal: whatever a workflow asks again, and however late it asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

import pytest
import pytest_asyncio
from temporalio.exceptions import ApplicationError

from activities.log.record import Recording
from activities.messages import NOT_YET, Answering, Due, Envelope, Recorded, RecordRequest, Standing
from domain.catalog import RULES
from domain.kernel import SERVICE, Headline
from domain.register.facts import RunReported
from eventstore.clock import MovedClock, PacedClock, fact_of
from eventstore.entries import ACCEPTED, encode_events, microseconds, sealed
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from tests.probe import PROBE
from tests.sealing import salts
from tests.stories import START, charter
from tests.test_doctor import OFFICERS

STREAM: Final = "probe/one"


class Desk:
    """Records commands on one probe, as its workflow does."""

    def __init__(self, recorder: Recorder, clock: MovedClock) -> None:
        self._recording = Recording(recorder)
        self._clock = clock
        self._given = 0

    async def give(self, kind: str, **fields: Any) -> Standing:
        self._given += 1
        command = {"kind": kind, **fields}
        return (await self._record(f"00000000-0000-4000-8000-{self._given:012}", "sam", command)).standing

    async def comes(self, standing: Standing) -> Recorded:
        """The deadline comes as it stood then."""
        stood = due(standing)
        self._clock.to(stood.at)
        return await self._record(Answering(what="deadline", number=standing.version), SERVICE, stood.command, stood.at)

    async def looks(self) -> Standing:
        return await self._recording.standing(STREAM)

    async def _record(self, command_id: str | Answering, actor: str, command: dict[str, Any], due: datetime | None = None) -> Recorded:
        request = RecordRequest(stream=STREAM, command_id=command_id, due=due)
        return await self._recording.record(request, Envelope(actor=actor, command=command))


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = MovedClock(START)
    recorder = Recorder(MemoryLog(), {"probe": PROBE}, clock)
    yield Desk(recorder, clock)
    await recorder.close()


def due(standing: Standing) -> Due:
    assert standing.due is not None, "nothing is due"
    return standing.due


async def test_two_deadlines_of_one_kind_at_one_instant_both_come(desk: Desk) -> None:
    standing = await desk.give("begin", bells=2)
    for _ in range(2):
        rung = await desk.comes(standing)
        assert rung.receipt.events == ["rung"]
        standing = rung.standing
    assert standing.due is None


async def test_a_deadline_that_came_while_it_was_off_comes_when_it_stands_again(desk: Desk) -> None:
    early = await desk.give("begin")
    await desk.give("muffle", muffled=True)
    assert (await desk.comes(early)).receipt.events == []
    again = await desk.give("muffle", muffled=False)
    assert due(again).at == due(early).at
    assert (await desk.comes(again)).receipt.events == ["rung"]


async def test_a_deadline_that_is_given_again_gets_its_first_answer(desk: Desk) -> None:
    first = await desk.give("begin", bells=2)
    once, again = await desk.comes(first), await desk.comes(first)
    assert again.receipt == once.receipt


async def test_no_time_that_a_caller_says_moves_the_logs(desk: Desk) -> None:
    await desk.give("begin")
    said = {"stream": STREAM, "command_id": "00000000-0000-4000-8000-00000000000a", "at": "2199-01-01T00:00:00Z", "not_before": None}
    poke = Envelope(actor="sam", command={"kind": "poke"})
    recorded = await desk._recording.record(RecordRequest.model_validate(said), poke)
    assert recorded.receipt.at == START


async def test_a_deadline_that_has_not_come_is_answered_with_the_seconds_until_then(desk: Desk) -> None:
    stood = due(standing := await desk.give("begin"))
    with pytest.raises(ApplicationError) as early:
        await desk._record(Answering(what="deadline", number=standing.version), SERVICE, stood.command, stood.at)
    assert (early.value.type, early.value.details[0], early.value.non_retryable) == (NOT_YET, 3_600.0, True)
    assert await desk.looks() == standing
    assert (await desk.comes(standing)).receipt.events == ["rung"]


async def test_a_deadline_keeps_its_id_until_something_happens(desk: Desk) -> None:
    first = await desk.give("begin", bells=2)
    assert await desk.looks() == first
    moved = await desk.give("poke")
    assert due(moved) == due(first)
    assert (await desk.comes(moved)).receipt.command_id != (await desk.comes(first)).receipt.command_id


async def test_a_founding_repeated_after_its_rehearsal_was_let_go_on_at_another_pace_gets_its_first_answer() -> None:
    first, later = (PacedClock(START, START, pace) for pace in (1_440, 60))
    recorder = Recorder(MemoryLog(), clock=first)
    recording, request = Recording(recorder), RecordRequest(stream="consortium/atlas", command_id="00000000-0000-4000-8000-000000000001")
    clock = fact_of(first).model_dump(mode="json")
    founding = {"kind": "found", "charter": charter().model_dump(mode="json"), "officers": OFFICERS, "clock": clock}
    envelope = Envelope(actor="sam", command=founding)
    recorded = await recording.record(request, envelope)
    recorder.clock = later
    assert (await recording.record(request, envelope)).receipt == recorded.receipt
    await recorder.close()


async def test_the_board_is_waited_for_no_longer_once_the_run_that_a_round_waits_for_exists() -> None:
    log, stream = MemoryLog(), "round/atlas-1"
    recorder = Recorder(log, clock=MovedClock(START))
    recording = Recording(recorder)
    waiting = (await recorder.standing(stream))._replace(headline=Headline("calling", "", waits_for=("run/vega", "office:board")))
    before = recording._shown(stream, waiting, [])
    assert (before.waits_for, r"office\:board" in before.details) == (["run/vega", "office:board"], True)
    begun = RunReported(run="vega", phase="approved", contract="c" * 64, checkpoints_retained=True, training_lead="lea")
    events, head = encode_events([begun]), await log.head()
    await log.append(
        [
            sealed(
                1,
                "run/vega",
                "begun",
                "report",
                SERVICE,
                microseconds(START),
                RULES,
                b"{}",
                b"",
                b"",
                ACCEPTED,
                events,
                head.hash,
                salts(2),
            )
        ]
    )
    await recorder.replica()
    after = recording._shown(stream, waiting, [])
    assert (after.waits_for, r"office\:board" in after.details) == (["run/vega"], False)
    await recorder.close()
