"""Nothing that is unfinished stays dead: a reconciler compares what the log says with what runs in Temporal, and starts what does not.

It holds no rule. The log says what is unfinished and what is due; a workflow that is started looks there and does what is owed, and
one that need not have been started ends at once. So a mistake here costs a start, and never changes anything on the log.

Every worker has a reconciler; one at a time is at work on a log. A turn costs what happened since the last one, not what is open
or finished: all open streams are held against Temporal's list of running workflows only now and then, the more seldom the longer
that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, NoReturn

import structlog
from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from activities.log.sending import ANSWER, Sender, few_at_once
from domain.catalog import CATALOG
from domain.process import Process
from domain.stream import deadline_id
from eventstore.log import Leadership, LogUnavailable
from eventstore.outstanding import LATE, Outstanding, Unfinished, late
from eventstore.recorder import Recorder

ROLE: Final = "reconciler"
"""In which role a reconciler leads on its log."""
SHARE: Final = 20
"""A sweep takes at most this part of the time: after one of 5 s the next comes in 100 s."""
PAGE: Final = 500
"""How many running workflows Temporal lists at a time."""
STARTS: Final = 500
"""The most streams that are started in one turn, those longest due first."""
RESTED: Final = timedelta(seconds=20)
LONGEST_REST: Final = timedelta(hours=1)
"""A stream that was seen to is left alone for so long at first, then for twice as long each time, at most for this."""
FAILING: Final = 3
"""A workflow task at this attempt does not succeed by itself."""
AWAY: Final = timedelta(seconds=60)
"""How long is waited at most before what was away, Temporal or the log, is asked again."""
AGAIN: Final = timedelta(seconds=1)
"""What is waited after a turn that left something to do."""

_ITS_OWN: Final = (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.ALREADY_EXISTS)
"""Errors of Temporal that tell of one stream; any other tells that Temporal is away."""

_log = structlog.get_logger(__name__)


class Cadence(NamedTuple):
    """How often a reconciler looks, and when it begins to wonder."""

    turn: timedelta = timedelta(seconds=10)
    """Between two looks at the log."""
    suspect: timedelta = timedelta(seconds=10)
    """What has been due for so long has perhaps no workflow: what is well acts sooner."""
    sweep: timedelta = timedelta(seconds=30)
    """At least so long between two comparisons of all unfinished streams with what runs."""


CADENCE: Final = Cadence()


@dataclass(frozen=True, slots=True)
class _Rest:
    """How often a stream was seen to, and until when it is left alone."""

    times: int
    until: datetime

    @classmethod
    def after(cls, rest: _Rest | None, now: datetime) -> _Rest:
        times = rest.times if rest else 0
        return cls(times + 1, now + min(RESTED * 2 ** min(times, 16), LONGEST_REST))


class Reconciler:
    """Keeps the unfinished streams of one log running. `turn` is what it does; `run` does it again and again while it leads."""

    def __init__(
        self, client: Client, recorder: Recorder, *, task_queue: str, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG,
        cadence: Cadence = CADENCE, now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        """For the recorder's log and clock. Figures are shown by the client's runtime."""
        self._client = client
        self._recorder = recorder
        self._log = recorder.log
        self._processes = processes
        self._now = now
        self._cadence = cadence
        self._running = f"ExecutionStatus = 'Running' AND WorkflowType IN ({', '.join(map(repr, processes))})"
        self._sender = Sender(client, task_queue)
        meter = (client.service_client.config.runtime or Runtime.default()).metric_meter
        self._begin()
        self._leading = meter.create_gauge("reconciler_leading", "1 where the reconciler of a worker is at work on its log, else 0")
        self._overdue = meter.create_gauge("overdue_deadlines", "Deadlines that have stood for a minute or more")
        self._oldest = meter.create_gauge("overdue_deadline_age_seconds", "For how long the oldest of them has stood", "s")
        self._attention = meter.create_gauge("streams_needing_attention", "Streams of which a step failed, or is tried without success")
        self._started = meter.create_counter("streams_started_again", "Unfinished streams whose workflow had to be started")
        self._show(())

    def _begin(self) -> None:
        """Knows nothing yet: what others did meanwhile must be looked at."""
        self._outstanding = Outstanding(self._log, self._processes)
        self._rests: dict[str, _Rest] = {}
        self._missing: dict[str, None] = {}
        """What the last sweep did not find running and nobody has seen to yet."""
        self._sweep_at = self._now()

    async def run(self) -> NoReturn:
        """Takes turns while it leads, through every absence of the log and of Temporal."""
        wait = self._cadence.turn
        while True:
            try:
                async with self._log.leading(ROLE) as lead:
                    wait = self._cadence.turn
                    await self._lead(lead)
            except LogUnavailable as error:
                _log.warning("reconciler.interrupted", error=str(error))
            except Exception:  # noqa: BLE001  the worker goes on without it; what is wrong is told until it is mended
                _log.exception("reconciler.failed")
            finally:
                self._leading.set(0)
                self._show(())
            await asyncio.sleep(wait.total_seconds())
            wait = min(wait * 2, AWAY)

    async def _lead(self, lead: Leadership) -> None:
        self._begin()
        self._leading.set(1)
        wait = self._cadence.turn
        while await lead.holds():
            try:
                wait = AGAIN if await self.turn() else self._cadence.turn
            except RPCError as error:
                _log.warning("reconciler.temporal_away", error=error.message)
                wait = min(max(wait, self._cadence.turn) * 2, AWAY)
            await asyncio.sleep(wait.total_seconds())

    async def turn(self) -> bool:
        """Sees to what should run and does not; whether more of it is left. Raises `LogUnavailable`, and `RPCError` when Temporal is away."""
        unfinished = await self._outstanding.look()
        now = self._now()
        stood = {each.stream: late(each.due, self._recorder.clock, now) for each in unfinished.values()}
        self._show([for_ for for_ in stood.values() if for_ >= LATE], sum(each.attention for each in unfinished.values()))
        suspects = [stream for stream, for_ in stood.items() if for_ >= self._cadence.suspect]
        if now >= self._sweep_at:
            await self._sweep(unfinished, suspects)
        suspects.sort(key=stood.__getitem__, reverse=True)
        waiting = [stream for stream in dict.fromkeys((*suspects, *self._missing)) if stream in unfinished and self._rested(stream, now)]

        async def see_to(stream: str) -> None:
            await self._see_to(stream, stood[stream])

        await few_at_once(waiting[:STARTS], see_to)
        return len(waiting) > STARTS

    def _rested(self, stream: str, now: datetime) -> bool:
        rest = self._rests.get(stream)
        return rest is None or now >= rest.until

    async def _sweep(self, unfinished: Mapping[str, Unfinished], suspects: Iterable[str]) -> None:
        """Finds what is unfinished and does not run. Temporal's list may be a moment behind: what it does not show is no more than suspected."""
        began = self._now()
        found = self._client.list_workflows(self._running, page_size=PAGE, rpc_timeout=ANSWER)
        running = {each.id async for each in found}
        self._missing = {stream: None for stream in unfinished if stream not in running}
        troubled, now = {*suspects, *self._missing}, self._now()
        self._rests = {stream: rest for stream, rest in self._rests.items() if stream in troubled or now < rest.until}
        self._sweep_at = now + max(self._cadence.sweep, (now - began) * SHARE)

    async def _see_to(self, stream: str, stood: timedelta) -> None:
        """Starts a stream's workflow if it does not run, or anew if it runs and is stuck."""
        try:
            started = await self._sender.start(stream)
            if not started and stood >= LATE and await self._stuck(stream):
                started = await self._sender.start(stream, anew=True)
        except LogUnavailable:
            raise
        except Exception as error:
            if isinstance(error, RPCError) and error.status not in _ITS_OWN:
                raise
            # A stream that Temporal does not take, or that this release cannot read, keeps no other from being started.
            _log.exception("stream.not_reconciled", stream=stream)
            started = False
        self._missing.pop(stream, None)
        self._rests[stream] = _Rest.after(self._rests.get(stream), self._now())
        if started:
            self._started.add(1)
            _log.warning("stream.started_again", stream=stream, overdue_seconds=int(stood.total_seconds()))

    async def _stuck(self, stream: str) -> bool:
        """Whether a workflow that runs will not give its overdue deadline, so that starting it anew from the log helps.

        That is so when it waits for something else (its timer was lost; it was reset to a point from which it does not see what the
        log holds) or when its task fails again and again (its history does not replay). It is not when a worker has the task in hand,
        as it has while the log cannot be written, or when none has taken it yet; nor when the log has answered this deadline and it
        still stands: asked again, the answer is the same. Ended wrongly, a workflow loses nothing that the log does not say; the steps
        that it had under way are tried again under the same keys.
        """
        standing = await self._recorder.standing(stream)
        deadline = standing.agenda.deadline
        if deadline is None or late(deadline.at, self._recorder.clock, self._now()) < LATE:
            return False
        command = deadline.command.model_dump(mode="json")
        if await self._log.find([deadline_id(stream, standing.stream.version, deadline.at, command)]):
            _log.warning("deadline.stands_though_answered", stream=stream, deadline=deadline.command.kind)
            return False
        try:
            described = (await self._client.get_workflow_handle(stream).describe(rpc_timeout=ANSWER)).raw_description
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        task = described.pending_workflow_task
        idle = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_UNSPECIFIED
        return idle or task.attempt >= FAILING

    def _show(self, overdue: Sequence[timedelta], attention: int = 0) -> None:
        self._attention.set(attention)
        self._overdue.set(len(overdue))
        self._oldest.set(int(max(overdue, default=timedelta()).total_seconds()))
