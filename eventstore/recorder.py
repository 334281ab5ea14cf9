"""Recording: commands from many callers, one answer to each, in one serial order.

Everything in a process that decides, or looks at what was decided, takes turns. A command that nobody contends with is recorded
in its caller's own task; the others are queued, and recorded in batches by a task of the recorder's. How a batch is decided and
committed is in `eventstore.pipeline`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from domain.catalog import CATALOG
from domain.kernel import Agenda, Headline
from domain.process import Process, agenda, describe
from domain.register.state import Register
from domain.stream import Stream
from eventstore import sealing
from eventstore.answers import Answers, Pending, Recorded
from eventstore.authority import ByWorker, Unauthorised, behind, check_signature
from eventstore.clock import Clock, SystemClock
from eventstore.entries import ACCEPTED, Entry, Salts, Submission, instant, random_salts
from eventstore.fitness import Fitness
from eventstore.follower import Follower
from eventstore.log import HeadAhead, Log, LogUnavailable, Unfit
from eventstore.pipeline import Pipeline
from eventstore.replica import Replica
from eventstore.statement import VERSION, Carried, digest
from eventstore.verifying import Signing
from eventstore.wire import Malformed, canonical_command, parse

YIELD_EVERY: Final = 4
"""One uncontended command in so many yields to the event loop first, so that a batch can form. It costs a third of a decision."""

REMEMBERED: Final = 1_000
"""Of so many tries of steps a recorder remembers since when they are owed."""

_SYSTEM: Final = SystemClock()


class Standing(NamedTuple):
    """A stream as its workflow and its readers see it, as of a position of the log."""

    position: int
    stream: Stream[Any]
    agenda: Agenda
    headline: Headline


class Recorder:
    """Records commands on one log for everything in this process. Make one per log, in a running event loop."""

    def __init__(
        self,
        log: Log,
        processes: Mapping[str, Process[Any, Any, Any]] = CATALOG,
        clock: Clock = _SYSTEM,
        salts: Salts = random_salts,
        signing: Signing | None = None,
    ) -> None:
        """Without `signing` whatever is submitted is believed: for unit tests of the core, and for looking."""
        self.log = log
        self.signing = signing
        self._processes = processes
        self._fitness = Fitness(log, clock, "" if signing is None else signing.public_key)
        self._follower = Follower(log, processes, self._fitness, salts, signs=signing is not None)
        self._answers = Answers(log)
        self._pipeline = Pipeline(log, self._follower, self._fitness, self._answers, signing)
        self._turn = asyncio.Lock()
        """Held by whoever decides or reads."""
        self._readers = 0
        """How many read, or wait for their turn to read."""
        self._uncontended = 0
        """How many commands in a row were recorded in their callers' own tasks."""
        self._first = ""
        self._owed_since: dict[tuple[str, str, int], datetime] = {}
        """Since when the tries of steps are owed that were looked up last."""
        self._queued = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def record(self, submission: Submission) -> Recorded:
        """Records a command once, however often it is given, and returns its answer: the entry, and the refusal if there is one.

        Raises `Malformed` for what is no command, `Unauthorised` for one behind which nothing stands, `SameIdOtherCommand` for a reused id,
        `NotYet` for a deadline that has not come, `NotOwed` for what the system would say and is not owed, and `LogUnavailable` when the log cannot be written, or not by this worker (`Unfit`), or not now (`HeadAhead`): then
        the command may or may not be recorded, and giving it again with the same id tells.
        """
        if self._fitness.unfit is not None and (unfit := await self.examine()) is not None:
            raise unfit
        vouched = None
        if self.signing is not None:
            submission, vouched = await self.signing.vouch(submission, self._processes, self.log, await self.first())
        pending = Pending(submission, asyncio.get_running_loop().create_future(), vouched)
        queue = self._pipeline.queue
        queue.append(pending)
        uncontended = len(queue) == 1 and not self._turn.locked()
        if not (uncontended and await self._recorded_inline(pending)):
            self._task = self._task or asyncio.create_task(self._record_queued(), name="recorder")
            self._queued.set()
        return await pending.answer

    async def first(self) -> str:
        """The hash of the log's first entry; empty while there is none."""
        if not self._first:
            entries = await self.log.read(0, 1)
            self._first = entries[0].hash.hex() if entries else ""
        return self._first

    def flaw_of(self, stream: str, command: Any) -> str:
        """Why a JSON value is no command of a stream of that name; empty where it is one."""
        try:
            parse(self._follower.replica.process_of(stream), canonical_command(command))
        except Malformed as error:
            return str(error)
        return ""

    async def is_tagged(self, submission: Submission, step: str, attempt: int) -> bool:
        """Whether a worker of this log says that this is what came of this try of a step of the stream, be it a command or not."""
        try:
            authority = behind(submission)
            check_signature(authority)
        except Unauthorised:
            return False
        if not isinstance(authority, ByWorker):
            return False
        said = Carried(
            attempt=attempt, log=await self.first(), outcome=digest(submission.command), step=step, stream=submission.stream, version=VERSION
        )  # fmt: skip
        return authority.said == said and authority.key in self.register.valid_log_keys()

    async def owed_since(self, stream: str, key: str) -> datetime | None:
        """When a step of a stream was owed, or a person asked for it again the last time; `None` for one that never was.

        It reads the stream once for each try of a step, however often it is asked.
        """
        attempt = (await self.standing(stream)).stream.tries.get(key)
        if attempt is None:
            return None
        if (stream, key, attempt) not in self._owed_since:
            since, position = None, 0
            while entries := await self.log.read_stream(stream, position):
                since = next((instant(entry.at) for entry in reversed(entries) if _owes(entry, key)), since)
                position = entries[-1].position
            if since is None:
                return None
            self._owed_since[stream, key, attempt] = since
            if len(self._owed_since) > REMEMBERED:
                del self._owed_since[next(iter(self._owed_since))]
        return self._owed_since[stream, key, attempt]

    async def close(self) -> None:
        """Stops recording. Callers that still wait get `LogUnavailable`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._pipeline.abandon(LogUnavailable("this worker is stopping; ask again with the same command id"))

    # ------------------------------------------------------------ turns

    async def _recorded_inline(self, pending: Pending) -> bool:
        """Records a command in its caller's own task, unless others contend: a switch to another task and back takes as long as deciding."""
        if self._uncontended % YIELD_EVERY == 0:
            await asyncio.sleep(0)
            if self._turn.locked() or self._pipeline.queue != [pending]:
                self._uncontended = 0
                return False
        self._uncontended += 1
        async with self._turn:
            await self._pipeline.record_next()
        return True

    async def _record_queued(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._pipeline.queue:
                async with self._turn:
                    await self._pipeline.record_queued(pause=self._has_readers)

    def _has_readers(self) -> bool:
        return self._readers > 0

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Replica]:
        """The replica at the log's head, while nothing is decided: all that it holds is durable."""
        self._readers += 1
        try:
            async with self._turn:
                await self._follower.catch_up()
                yield self._follower.replica
        finally:
            self._readers -= 1

    # ------------------------------------------------------------ reading

    async def standing(self, stream: str) -> Standing:
        """What is true and owed on a stream, at least as of every answer this recorder has given. Raises `WrittenOn`, `LogUnavailable`."""
        async with self._reading() as replica:
            await self._follower.load((stream,))
            replica.require_readable(stream)
            replica.trim()
            return self.view(stream, replica.head.position, replica.get(stream))

    def view(self, stream: str, position: int, state: Stream[Any]) -> Standing:
        """A stream's state as people and workflows see it."""
        process = self._follower.replica.process_of(stream)
        return Standing(position, state, agenda(process, state), describe(process, state))

    async def replica(self) -> Replica:
        """The replica at the log's head. Look, and do not decide with it."""
        async with self._reading() as replica:
            return replica

    @property
    def register(self) -> Register:
        """The register as far as this worker knows it: for texts about what was recorded, never to decide by."""
        return self._follower.replica.register

    def title_of(self, stream: str) -> str:
        """What a stream is, in words."""
        return self._follower.replica.process_of(stream).title

    # ------------------------------------------------------------ fitness

    @property
    def clock(self) -> Clock:
        """By which entries are dated and deadlines come. Who composes a worker may set it until the first command."""
        return self._fitness.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self._fitness.clock = clock

    @property
    def unfit(self) -> Unfit | None:
        """Why this worker must record nothing, as far as it knows; see `examine`."""
        return self._fitness.unfit

    async def examine(self) -> Unfit | None:
        """Checks again whether this worker may record, and says why not. A worker whose clock was set right, or whose key was enrolled, is fit again."""
        if self.signing is not None:
            await self.replica()  # which keys sign the log may have changed
        return await self._fitness.examine(self._follower.replica)

    # ------------------------------------------------------------ proofs

    async def proof(self, recorded: Recorded) -> bytes | None:
        """The file that proves that the log holds the entry of an answer (C2SP tlog-proof); `None` where the log signed nothing over it."""
        if recorded.commit is not None:
            return recorded.commit.proof(recorded.entry.position)
        sealed = await self.log.sealed()
        if sealed is None or sealed.size < recorded.entry.position:
            return None
        return await sealing.proof(self.log, recorded.entry.position, sealed)

    async def ahead(self) -> HeadAhead | None:
        """Why nothing may be appended after the log's head; `None` when something may."""
        if not self._follower.caught_up:
            await self.replica()
        return self._fitness.head_ahead(await self.log.head(), self.register)


def _owes(entry: Entry, key: str) -> bool:
    """Whether a step was owed by an entry, or a person asked for it again."""
    if entry.outcome != ACCEPTED or b"step_" not in entry.body:
        return False
    return any(
        (event["kind"] == "step_owed" and event["step"]["key"] == key) or (event["kind"] == "step_retried" and event["step"] == key)
        for event in msgspec.json.decode(entry.body)
    )
