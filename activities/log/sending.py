"""Sending a command to the workflow that drives its stream, which is started when it is not running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from secrets import token_hex
from typing import Any, Final, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import BUG, BUSY, ID_REUSED, MALFORMED, NO_ENVELOPE, REFUSED, TASK_QUEUE, Envelope, Receipt, Refusal
from domain.catalog import CATALOG

PATIENCE: Final = timedelta(seconds=30)
"""How long an answer is waited for before the caller is told to ask again."""
TASK_TIMEOUT: Final = timedelta(seconds=5)
"""How soon another worker takes over from one that died."""
REMEMBERED: Final = 10_000
"""How many streams a sender remembers to be running."""
AT_ONCE: Final = 16
"""How many workflows are started at the same time: more gain nothing, and would keep commands waiting."""
ANSWER: Final = timedelta(seconds=10)
"""How long Temporal's answer to anything but a command is waited for."""

T = TypeVar("T")

_PASSING: Final = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.ABORTED,
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.FAILED_PRECONDITION,
)
"""What is worth another try. Preconditions were seen to fail under load ("Workflow Task in failed state"), and to hold a moment later."""


class NotAnswered(Exception):
    """No answer came in time. The command may still be recorded: asking again with the same id is safe and tells."""


class Mistaken(NotAnswered):
    """A worker failed where it had to decide: a mistake of its release, not of the sender, or one that was being stopped."""


class NotTaken(Exception):
    """The command was bad input; nothing was recorded."""


class TurnedDown(Exception):
    """A rule said no, as a worker says: who shows it to a person checks the receipt first."""

    def __init__(self, refusal: Refusal, receipt: Receipt | None = None) -> None:
        super().__init__(f"{refusal.rule}: {refusal.message}")
        self.refusal = refusal
        self.receipt = receipt
        """Nothing from a worker of a former release."""


class Sender:
    """Sends commands through one Temporal client."""

    def __init__(self, client: Client, task_queue: str = TASK_QUEUE, patience: timedelta = PATIENCE) -> None:
        self._client = client
        self._task_queue = task_queue
        self._patience = patience
        self._running: set[str] = set()
        """Streams whose workflow answered before: it most likely still runs, and need not be started."""

    async def send(
        self, stream: str, command_id: str, actor: str, command: Mapping[str, Any], *, signed: str = "", signature: str = "", line: str = ""
    ) -> Receipt:
        """Sends a command until it is answered. Raises `TurnedDown`, `NotTaken`, `NotAnswered` or `Mistaken`.

        `line` is what Temporal's timeline shows of it, made by `activities.log.display`; without one its kind and who gave it.
        """
        named = command_id if signed else ""
        envelope = Envelope(actor=actor, command=dict(command), signed=signed, signature=signature, command_id=named, line=line)
        # nobody else knows it, so what they send first is never the answer to this: the log knows a repeated command by its own id
        update_id = f"{command_id}:{token_hex(8)}" if signed else command_id
        clock = asyncio.get_running_loop().time
        end, wait = clock() + self._patience.total_seconds(), 0.05
        while (left := end - clock()) > 0:
            try:
                receipt = await self._try(stream, update_id, envelope, timedelta(seconds=left))
            except NotTaken as error:
                if not envelope.line or not str(error).startswith(NO_ENVELOPE):
                    raise
                envelope = envelope.model_copy(update={"line": ""})  # a worker of a former release takes none
                continue
            if receipt is not None:
                return receipt
            await asyncio.sleep(min(wait, left))
            wait = min(wait * 2, 1.0)
        raise NotAnswered(
            f"no answer within {self._patience.total_seconds():.0f} s: is a worker running? Ask again with id {command_id}"
        )  # fmt: skip

    async def start(self, stream: str, *, anew: bool = False) -> bool:
        """Makes sure that the stream's workflow runs; whether it had to be started. `anew` ends the one that runs, if any, and starts another."""
        try:
            await self._client.start_workflow(
                stream.partition("/")[0], id=stream, task_queue=self._task_queue, task_timeout=TASK_TIMEOUT,
                static_summary=summary_of(stream), static_details=details_of(stream),
                id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING if anew else WorkflowIDConflictPolicy.FAIL,
                rpc_timeout=ANSWER,
            )  # fmt: skip
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def start_all(self, streams: Iterable[str], *, anew: bool = False) -> None:
        """Makes sure that the workflows of all these streams run, as `start` does. Raises what the first that fails raises."""

        async def start(stream: str) -> None:
            await self.start(stream, anew=anew)

        await few_at_once(streams, start)

    async def _try(self, stream: str, update_id: str, envelope: Envelope, patience: timedelta) -> Receipt | None:
        """One try; `None` when it is worth another."""
        kind, running = str(envelope.command["kind"]), stream in self._running
        self._running.discard(stream)
        try:
            if running:
                handle = self._client.get_workflow_handle(stream)
                receipt: Receipt = await handle.execute_update(kind, envelope, id=update_id, result_type=Receipt, rpc_timeout=patience)
            else:
                receipt = await self._start_and_update(stream, update_id, kind, envelope, patience)
        except WorkflowUpdateFailedError as error:
            _raise_unless_passing(error)
            return None
        except (WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
            if isinstance(error, RPCError) and (error.status not in _PASSING or no_namespace(error)):
                raise NotAnswered(f"Temporal answered: {error.message}") from error
            return None
        if len(self._running) < REMEMBERED:
            self._running.add(stream)
        return receipt

    async def _start_and_update(self, stream: str, update_id: str, kind: str, envelope: Envelope, patience: timedelta) -> Receipt:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            stream.partition("/")[0], id=stream, task_queue=self._task_queue, task_timeout=TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING, result_type=type(None),
            static_summary=summary_of(stream), static_details=details_of(stream),
        )  # fmt: skip
        try:
            receipt: Receipt = await self._client.execute_update_with_start_workflow(
                kind, envelope, start_workflow_operation=start, id=update_id, result_type=Receipt, rpc_timeout=patience
            )
        except BaseException:
            with suppress(Exception):  # the handle fails as the Update did; unasked for, it would complain when it is collected
                await asyncio.wait_for(start.workflow_handle(), 0.1)
            raise
        return receipt


def summary_of(stream: str) -> str:
    """What Temporal's UI shows of a workflow besides its id: what its process is."""
    process = CATALOG.get(stream.partition("/")[0])
    return f"{stream}: {process.title}" if process is not None else stream


def details_of(stream: str) -> str | None:
    """The same at length, in Markdown; nothing for a process that is in no catalog."""
    process = CATALOG.get(stream.partition("/")[0])
    if process is None:
        return None
    return (
        f"**{process.title.capitalize()}.** {process.about}\n\nCommands are Updates, accepted or refused by a rule; deadlines are timers; what is"
        f" owed to the outside world are activities. `consortium show {stream}` tells more."
    )


async def few_at_once(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Does work for each item, a few at a time. Raises what the first that fails raises; those not begun by then are left."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(take()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def no_namespace(error: RPCError) -> bool:
    """Whether it is the namespace that was not found: another try finds none either."""
    return any(detail.type_url.endswith("NamespaceNotFoundFailure") for detail in error.grpc_status.details)


def _raise_unless_passing(error: WorkflowUpdateFailedError) -> None:
    """Raises what the failed Update means; returns when it is worth another try."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        raise NotAnswered(f"the command was not answered: {cause}") from error
    if cause.type == REFUSED:
        receipt = Receipt.model_validate(cause.details[2]) if len(cause.details) > 2 else None
        raise TurnedDown(Refusal.model_validate(cause.details[0]), receipt) from error
    if cause.type in {MALFORMED, ID_REUSED}:
        raise NotTaken(cause.message) from error
    if cause.type == BUG:
        raise Mistaken(cause.message) from error
    if cause.type not in {BUSY, "AcceptedUpdateCompletedWorkflow"}:
        raise NotAnswered(f"the command was not answered: {cause.message}") from error
