"""The loop that drives a stream: it waits for people and deadlines, carries out what is owed, and knows no rule.

What is true and owed comes back with every recorded command as the stream's standing. The workflow remembers nothing
that the log does not say: terminate it anywhere, start it again, and it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn, TypeVar

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import (
        ANOTHERS,
        BUG,
        BUSY,
        LAST_SHOWN,
        MALFORMED,
        NO_ENVELOPE,
        NOT_OWED,
        NOT_YET,
        REFUSED,
        STEP_FAILED,
        WRONG_TAG,
        Answering,
        Due,
        Envelope,
        Owed,
        Receipt,
        Recorded,
        RecordRequest,
        Standing,
        StepRef,
        Tagged,
        is_plain,
    )

SERVICE = "service"
LARGEST_UPDATE = 160 * 1024
"""Bytes of an envelope: a command of 64 KiB, the signed text that repeats it in Base64, and the signature."""
LONGEST_RUN = 20_000
LARGEST_RUN = 20 * 1024 * 1024
"""Events and bytes of a history that is continued whatever is under way: the server ends a workflow at 51,200 events or 50 MB."""

NOTHING = "nothing"
"""The phase of a run that ends without anything on its stream, because its first command was refused."""

PHASE = SearchAttributeKey.for_keyword("Phase")
WAITS_FOR = SearchAttributeKey.for_keyword_list("WaitsFor")
DUE = SearchAttributeKey.for_datetime("Due")
ATTENTION = SearchAttributeKey.for_bool("Attention")

T = TypeVar("T")

_Deadline = tuple[int, str, datetime]
"""The version of the stream at which it stands, what is said then, and when."""

_LOCAL = timedelta(seconds=30)
SOONEST, LATEST = timedelta(seconds=1), timedelta(seconds=10)
"""When a deadline is given again that had not come yet by the worker's clock. Another worker's may be right, so it is not waited long."""
_UNTIL_DONE = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5))
_UNLESS_BUG = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5), non_retryable_error_types=[BUG]
)
_UNKNOWN = Standing(
    stream="", version=0, phase="", line="", details="", waits_for=[], attention=False, due=None, steps=[], closed=False
)  # fmt: skip


class GivenBack(Exception):
    """A newer release wrote what this worker cannot read: the task fails, nothing of it is kept, and Temporal gives it to another worker."""


class ProcessWorkflow:
    """Drives one stream, whatever its process. A workflow class adds its name and a `run` that calls `drive`."""

    most_updates: ClassVar[int] = 1_900
    """Commands that one run takes; the server takes 2,000 and no more."""

    def __init__(self) -> None:
        self._stream = workflow.info().workflow_id
        self._standing = _UNKNOWN
        self._seen = False
        self._noted: dict[int, str] = {}
        """The last entries in words, by their positions."""
        self._under_way: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._patient: set[tuple[str, int]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._timer_for: tuple[str, datetime] | None = None
        self._given: set[_Deadline] = set()
        self._not_before: tuple[_Deadline, datetime] | None = None
        """The deadline that was given too early, and when it is given again at the earliest."""
        self._giving = False
        self._taken = 0
        self._recording = 0
        self._draining = False
        self._shown: tuple[object, ...] = ()
        self._given_back = ""

    async def drive(self) -> None:
        """Runs until the process is closed and nothing is owed, through as many runs as its history needs."""
        self._see(await self._look())
        while True:
            self._seen = False
            self._show()
            if self._outgrown() and not self._over():
                await self._continue_as_new()
            self._start_steps()
            self._set_timer()
            if self._over():
                await self._until(lambda: self._seen or workflow.all_handlers_finished())
                if not self._seen:
                    self._leave()
                    return
            else:
                await self._until(lambda: self._seen)
            if self._given_back:
                raise GivenBack(self._given_back)

    @workflow.update(dynamic=True)
    async def command(self, name: str, args: Sequence[RawValue]) -> Receipt:
        """Records the command of this name; answers with its receipt, or fails with the refusal."""
        self._taken += 1
        info = workflow.current_update_info()
        assert info is not None
        envelope = _read(args[0])
        request = RecordRequest(stream=self._stream, command_id=(envelope and envelope.command_id) or info.id)
        recorded = await self._record(request, args[0], envelope.shown if envelope else "", retry=_UNLESS_BUG)
        if recorded.refusal is not None:
            refusal = recorded.refusal
            raise ApplicationError(
                f"{refusal.rule}: {refusal.message}", refusal.model_dump(), recorded.receipt.position,
                recorded.receipt.model_dump(mode="json"), type=REFUSED, non_retryable=True,
            )  # fmt: skip
        return recorded.receipt

    @command.validator
    def _accept(self, name: str, args: Sequence[RawValue]) -> None:
        if self._draining:
            raise ApplicationError("the workflow is starting a new run; ask again", type=BUSY)
        if len(args) != 1 or len(args[0].payload.data) > LARGEST_UPDATE:
            raise ApplicationError(f"one envelope of at most {LARGEST_UPDATE} bytes is taken", type=MALFORMED)
        try:
            envelope = Envelope.model_validate_json(args[0].payload.data)
        except ValueError as error:
            raise ApplicationError(f"{NO_ENVELOPE}: {error}"[:500], type=MALFORMED) from error
        if envelope.command.get("kind") != name:
            raise ApplicationError(f"the Update {name!r} must carry a command of that kind", type=MALFORMED)

    # ------------------------------------------------------------ what is true

    def _see(self, standing: Standing) -> None:
        for noted in standing.noted:
            self._noted[noted.position] = noted.line
        self._noted = dict(sorted(self._noted.items())[-LAST_SHOWN:])
        if standing.version >= self._standing.version:
            self._standing = standing

    async def _look(self) -> Standing:
        async def look() -> Standing:
            standing: Standing = await workflow.execute_local_activity(
                "standing", self._stream, result_type=Standing, start_to_close_timeout=_LOCAL, retry_policy=_UNTIL_DONE,
                summary=self._stream,
            )  # fmt: skip
            return standing

        try:
            return await _uncancelled(look)
        except ApplicationError as error:
            if error.type == ANOTHERS:
                raise GivenBack(error.message) from error
            raise

    async def _record(self, request: RecordRequest, envelope: Envelope | RawValue, line: str, *, retry: RetryPolicy) -> Recorded:
        self._recording += 1
        try:
            recorded: Recorded = await workflow.execute_local_activity(
                "record", args=[request, envelope], result_type=Recorded, start_to_close_timeout=_LOCAL, retry_policy=retry,
                summary=line or None,
            )  # fmt: skip
        except ApplicationError as error:
            if error.type != ANOTHERS:
                raise
            self._given_back = error.message
            raise GivenBack(error.message) from error
        finally:
            self._recording -= 1
            self._seen = True
        self._see(recorded.standing)
        return recorded

    async def _record_own(self, answering: Answering, tagged: Tagged, due: datetime | None = None) -> Recorded | None:
        """Records what the system itself says; `None` for what the log does not owe, or no longer: then it is looked what it does.

        A bug in a rule is waited out: a mended release takes up where this one stood.
        """
        request = RecordRequest(stream=self._stream, command_id=answering, due=due)
        command = tagged.command
        kind, about = str(command.get("kind")), answering.step if due is None else f"due {due:%Y-%m-%d %H:%M} UTC"
        line = next((line for line in (f"{kind}: {about}", kind) if is_plain(line)), answering.what)
        envelope = Envelope(actor=SERVICE, command=command, signed=tagged.signed, signature=tagged.signature)
        try:
            return await self._record(request, envelope, line, retry=_UNTIL_DONE)
        except ApplicationError as error:
            if error.type != NOT_OWED:
                raise
            self._see(await self._look())
            return None

    # ------------------------------------------------------------ what is owed

    def _start_steps(self) -> None:
        self._under_way = {key: task for key, task in self._under_way.items() if not task.done()}
        for given_up in self._patient - {(step.key, step.attempt) for step in self._standing.steps}:
            self._under_way[given_up].cancel()
        for step in self._standing.steps:
            if (step.key, step.attempt) not in self._under_way:
                self._under_way[step.key, step.attempt] = asyncio.create_task(self._carry_out(step))

    async def _carry_out(self, step: Owed) -> None:
        """Carries a step out, however long it takes. After so many tries a person is asked to look, and it is tried less often from then on.

        What came of it without the tag of a worker of this log is not believed: the step is carried out again.
        """
        while (outcome := await self._outcome_of(step)) is not None and not await self._answer(step, outcome):
            await workflow.sleep(LATEST, summary=step.key)

    async def _outcome_of(self, step: Owed) -> Tagged | None:
        """What came of a step; nothing when it is owed no longer."""
        while True:
            try:
                return await (self._tried_on(step) if step.delayed else self._tried(step, _at_first(step)))
            except ActivityError as error:
                if step.delayed:
                    return None  # it was waived, or a person asked for another try
                reason = str(error.cause or error)
                await self._record_own(Answering(what="delay", step=step.key, number=step.attempt), _told("delay_step", step, reason))
                owed = [each for each in self._standing.steps if (each.key, each.attempt) == (step.key, step.attempt)]
                if not owed:
                    return None
                step = owed[0]

    async def _tried_on(self, step: Owed) -> Tagged:
        """Carries out a delayed step, unless it is given up meanwhile: then it raises as a cancelled activity does."""
        mark = (step.key, step.attempt)
        self._patient.add(mark)
        try:
            while True:
                try:
                    return await self._tried(step, _from_then_on(step))
                except ActivityError as error:
                    if isinstance(error.cause, CancelledError):
                        raise
                    await workflow.sleep(step.delayed_seconds, summary=step.key)
        finally:
            self._patient.discard(mark)

    async def _tried(self, step: Owed, policy: RetryPolicy) -> Tagged:
        """The outcome, also that of a step that failed for good: of its activity, which shows it, that is an error."""
        try:
            outcome: dict[str, Any] = await workflow.execute_activity(
                step.kind,
                StepRef(stream=self._stream, key=step.key, raises=True),
                result_type=dict[str, Any],
                start_to_close_timeout=timedelta(seconds=step.start_to_close_seconds),
                heartbeat_timeout=timedelta(seconds=step.heartbeat_seconds) if step.heartbeat_seconds else None,
                retry_policy=policy,
                summary=step.line or step.key,
            )
        except ActivityError as error:
            failed = error.cause
            if not isinstance(failed, ApplicationError) or failed.type != STEP_FAILED or not failed.details:
                raise
            outcome = failed.details[0]
        return Tagged.read(outcome)

    async def _answer(self, step: Owed, outcome: Tagged) -> bool:
        """Records an outcome; whether it had a tag that the log takes. One that is refused, or no command at all, becomes the failure of its
        step, for a person to see: where commands are signed by the activity that records it, else by what is recorded next.
        """
        try:
            recorded = await self._record_own(Answering(what="outcome", step=step.key, number=step.attempt), outcome)
            refusal = recorded.refusal if recorded is not None else None
            reason = f"{refusal.rule}: {refusal.message}" if refusal else ""
        except ApplicationError as error:
            if error.type == WRONG_TAG:
                return False
            reason = error.message
        if reason:
            await self._record_own(Answering(what="failure", step=step.key, number=step.attempt), _told("fail_step", step, reason))
        return True

    # ------------------------------------------------------------ what is due

    def _set_timer(self) -> None:
        """Keeps one timer, for the deadline that stands. One that came and still stands is not given again until something else happens."""
        due, version = self._standing.due, self._standing.version
        wake_at = None if due is None or (version, due.kind, due.at) in self._given else due.wake_at
        wanted = (due.kind, due.at) if due is not None and wake_at is not None else None
        if wanted == self._timer_for or self._giving:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_for = wanted
        self._timer = asyncio.create_task(self._give(due, version, wake_at)) if due is not None and wake_at is not None else None

    async def _give(self, due: Due, version: int, wake_at: datetime) -> None:
        if self._not_before is not None and self._not_before[0] == (version, due.kind, due.at):
            wake_at = max(wake_at, self._not_before[1])
        wait = wake_at - workflow.now()
        if wait > timedelta():
            await workflow.sleep(wait, summary=due.kind)
        now = self._standing
        if now.due is not None and (now.due.kind, now.due.at) == (due.kind, due.at):
            due, version = now.due, now.version
        self._giving = True
        given = (version, due.kind, due.at)
        try:
            self._given.add(given)
            said = Tagged(command=due.command, signed="", signature="")
            recorded = await self._record_own(Answering(what="deadline", number=version), said, due.at)
            still = recorded.standing.due if recorded is not None else None
            if recorded is not None and still is not None and (still.command, still.at) == (due.command, due.at):
                self._given.add((recorded.standing.version, still.kind, still.at))
        except ApplicationError as error:
            if error.type != NOT_YET:
                raise
            seconds: float | None = error.details[0]
            if seconds is not None:  # else the log's time stands still, and nothing comes by itself
                self._given.discard(given)
                self._not_before = given, workflow.now() + min(max(timedelta(seconds=seconds), SOONEST), LATEST)
        finally:
            self._giving = False
            self._timer_for = None

    # ------------------------------------------------------------ the end

    def _over(self) -> bool:
        standing = self._standing
        if standing.version == 0:
            return True
        return standing.closed and standing.due is None and not standing.steps and not self._working()

    def _working(self) -> bool:
        return self._giving or any(not task.done() for task in self._under_way.values())

    def _outgrown(self) -> bool:
        """Whether a new run is to begin: when one is due and no step is under way, so that none is carried out by two runs at once;
        at the latest when the server would soon take no more.
        """
        info = workflow.info()
        full = info.get_current_history_length() > LONGEST_RUN or info.get_current_history_size() > LARGEST_RUN
        return full or self._taken >= self.most_updates or (info.is_continue_as_new_suggested() and not self._working())

    async def _continue_as_new(self) -> NoReturn:
        """Starts a new run when nothing is being recorded; its timer and its steps come from the log again."""
        self._draining = True
        await self._until(lambda: workflow.all_handlers_finished() and not self._recording)
        workflow.continue_as_new()

    @staticmethod
    async def _until(holds: Callable[[], bool]) -> None:
        await _uncancelled(lambda: workflow.wait_condition(holds))

    # ------------------------------------------------------------ what people see

    def _show(self) -> None:
        standing = self._standing
        workflow.set_current_details("\n\n".join(part for part in (f"**{standing.line}**", standing.details, self._last()) if part))
        due = standing.due.at if standing.due else None
        shown = (standing.phase, tuple(standing.waits_for), due, standing.attention)
        if shown == self._shown or standing.version == 0:
            return
        self._shown = shown
        workflow.upsert_search_attributes(
            [
                PHASE.value_set(standing.phase),
                ATTENTION.value_set(standing.attention),
                WAITS_FOR.value_set(standing.waits_for) if standing.waits_for else WAITS_FOR.value_unset(),
                DUE.value_set(due) if due else DUE.value_unset(),
            ]
        )

    def _last(self) -> str:
        """What was asked last and what came of it, the newest first."""
        lines = [f"- {self._noted[position]}" for position in sorted(self._noted, reverse=True)]
        return "\n".join(("**Last**", "", *lines)) if lines else ""

    def _leave(self) -> None:
        """Marks a run of which nothing is on the stream: no list of what is under way shows it."""
        if self._standing.version == 0:
            workflow.set_current_details("\n\n".join(("**nothing began**", self._last())))
            workflow.upsert_search_attributes([PHASE.value_set(NOTHING)])


async def _uncancelled(wait: Callable[[], Awaitable[T]]) -> T:
    """Waits, and begins again when Temporal was asked to cancel the workflow: a process ends by its rules alone.

    The request reaches what the workflow's main task waits for, and nothing else: every wait of that task goes through here. When
    a worker drops a workflow from its cache it cancels everything, too; then beginning again raises what ends the task.
    """
    while True:
        try:
            return await wait()
        except (asyncio.CancelledError, FailureError) as error:
            if not is_cancelled_exception(error):
                raise


def _read(envelope: RawValue) -> Envelope | None:
    """The envelope, as far as this release can read it."""
    try:
        return Envelope.model_validate_json(envelope.payload.data)
    except ValueError:
        return None


def _told(kind: str, step: Owed, reason: str) -> Tagged:
    return Tagged(command={"kind": kind, "step": step.key, "reason": reason[:1_000]}, signed="", signature="")


def _at_first(step: Owed) -> RetryPolicy:
    """Tries soon after one another, and so many; then a person is asked to look."""
    return RetryPolicy(maximum_attempts=step.attempts, maximum_interval=timedelta(minutes=1))


def _from_then_on(step: Owed) -> RetryPolicy:
    """Tries for ever, further and further apart up to a bound."""
    longest = timedelta(seconds=step.delayed_seconds)
    return RetryPolicy(initial_interval=min(timedelta(minutes=1), longest), maximum_interval=longest)
