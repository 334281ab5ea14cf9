"""One Temporal works for one log, and never for an older copy of it: its workflows have seen entries that the copy does not hold, and
would wait for ever, or act on what never was.

What Temporal has seen is kept where it is lost with that which has seen it: in the memo of a workflow, `log`, that runs beside the
others. A memo is read without any worker. It names the log's first entry, and the furthest one that a worker told of, with their hashes.
A worker compares before it takes any work, and every few seconds after that:

- another first entry: this Temporal works for another log;
- a log that ends before the entry, or has another one in its place: an older copy, or one that was continued elsewhere.

Then it ends, and names both heads. Temporal is asked first and the log second, so a log that others append to meanwhile is never taken
for an older copy. What a worker told of last may be `NOTED_SECONDS` old when it is killed: an older copy of so few seconds is not
noticed here, but by those who were acknowledged what it lacks (`consortium verify`, and the kept heads).

Whoever restores a log on purpose begins Temporal anew, as docs/operations.md says: with its databases, its `temporal.db`, or all its
running workflows, `log` goes too, and the next worker tells of the log that there is then. Ended by itself, it is started again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, NoReturn

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.log.sending import ANSWER, TASK_TIMEOUT
from activities.messages import LOG, NOTED, LogHead
from eventstore.log import Log, LogUnavailable

NOTED_SECONDS: Final = 5
"""How often Temporal is told of the head."""
LAST_SECONDS: Final = 2
"""How long a worker that ends takes to tell of the last head."""

_log = structlog.get_logger(__name__)


class OtherLog(Exception):
    """A log that is not the one that this Temporal works for, or of which it has seen more than is left."""

    def __init__(self, why: str, namespace: str, noted: LogHead, found: LogHead | None) -> None:
        ours = f"this log ends with entry {found.position:,}, {found.hash}" if found else "this log is empty"
        super().__init__(f"{why}: Temporal (namespace {namespace}) has seen entry {noted.position:,}, {noted.hash}; {ours}")
        self.noted = noted
        self.found = found


class Heads:
    """Compares one log with what one Temporal has seen of it."""

    def __init__(self, client: Client, log: Log, task_queue: str) -> None:
        self._client = client
        self._log = log
        self._task_queue = task_queue

    async def compare(self) -> None:
        """Tells Temporal of the log's head. Raises `OtherLog`, `LogUnavailable` and `RPCError`."""
        while True:
            noted = await self.noted()
            found = await self._found()
            if noted is not None:
                await self._require_same(noted, found)
                if found is not None and found.position > noted.position:
                    await self._client.get_workflow_handle(LOG).signal("seen", found, rpc_timeout=ANSWER)
                return
            if found is None or await self._begun(found):
                return

    async def require_same(self) -> None:
        """Raises `OtherLog` as `compare` does, and tells Temporal nothing."""
        noted = await self.noted()
        if noted is not None:
            await self._require_same(noted, await self._found())

    async def keep(self) -> NoReturn:
        """Compares again and again, through every absence of the log and of Temporal. Raises `OtherLog`."""
        while True:
            await asyncio.sleep(NOTED_SECONDS)
            try:
                await self.compare()
            except (LogUnavailable, RPCError) as error:
                _log.warning("head.not_compared", error=str(error))

    async def last(self) -> None:
        """Tells Temporal of the last head, and waits until it is noted, for a short time; what cannot be told now is told by the next worker."""
        with suppress(TimeoutError, LogUnavailable, RPCError, OtherLog):
            async with asyncio.timeout(LAST_SECONDS):
                await self.compare()
                found = await self._found()
                while found is not None and ((noted := await self.noted()) is None or noted.position < found.position):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def noted(self) -> LogHead | None:
        """What Temporal has seen; `None` when it works for no log yet."""
        try:
            described = await self._client.get_workflow_handle(LOG).describe(rpc_timeout=ANSWER)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        if described.status is not WorkflowExecutionStatus.RUNNING:
            return None
        head: LogHead = await described.memo_value(NOTED, type_hint=LogHead)
        return head

    async def _found(self) -> LogHead | None:
        head = await self._log.head()
        if not head.position:
            return None
        first = (await self._log.read(0, 1))[0]
        return LogHead(first=first.hash.hex(), position=head.position, hash=head.hash.hex())

    async def _require_same(self, noted: LogHead, found: LogHead | None) -> None:
        if found is not None and found.first != noted.first:
            raise OtherLog("this is another log", self._client.namespace, noted, found)
        if found is None or found.position < noted.position:
            raise OtherLog("this is another log, or an older copy of it", self._client.namespace, noted, found)
        there = await self._log.read(noted.position - 1, 1)
        if not there or there[0].hash.hex() != noted.hash:
            raise OtherLog("this log went on otherwise from an older copy", self._client.namespace, noted, found)

    async def _begun(self, found: LogHead) -> bool:
        """Tells a Temporal that works for no log yet; false when somebody else told it just before."""
        try:
            await self._client.start_workflow(
                LOG, found, id=LOG, task_queue=self._task_queue, task_timeout=TASK_TIMEOUT, memo={NOTED: found},
                static_summary="the log that this Temporal works for", id_conflict_policy=WorkflowIDConflictPolicy.FAIL, rpc_timeout=ANSWER,
            )  # fmt: skip
        except WorkflowAlreadyStartedError:
            return False
        return True
