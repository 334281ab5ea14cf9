"""Recording: serial decisions under the log's write lock, many callers to a commit.

Callers that ask while a commit is under way are decided together in the next one (group commit). A batch is decided
against the head this worker knows, without holding any lock; the append compares the head. When another worker came
between, its entries are taken in and the batch is decided again; after two such defeats the lock is held for one batch,
so every worker gets its turn.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from domain import process as kernel
from domain.catalog import CATALOG
from domain.kernel import Agenda, Headline
from domain.process import Process, Stream
from eventstore.entries import ACCEPTED, Entry, Refusal, Submission
from eventstore.log import Appended, Log, LogUnavailable
from eventstore.replica import Decision, Mark, Replica
from eventstore.snapshots import Snapshots
from eventstore.wire import Malformed

BATCH: Final = 256
"""The most commands decided in one transaction."""
REMEMBERED: Final = 8_192
"""How many answers a worker keeps in memory; older ones are looked up on the log."""
DEFEATS: Final = 2
"""After so many overtaken appends the lock is held while deciding."""

_log = structlog.get_logger(__name__)


class SameIdOtherCommand(Exception):
    """A command id that is on the log already came with another command, stream or actor. Bad input: nothing was done."""


class Answer(NamedTuple):
    """A command's one and only answer."""

    entry: Entry
    refusal: Refusal | None


class Recorded(NamedTuple):
    """A command's one and only answer, and what is true on its stream since."""

    entry: Entry
    refusal: Refusal | None
    position: int
    stream: Stream[Any]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the events that followed."""
        if self.refusal is not None:
            return ()
        return tuple(event["kind"] for event in msgspec.json.decode(self.entry.body))


class Standing(NamedTuple):
    """A stream as its workflow and its readers see it, as of a position of the log."""

    position: int
    stream: Stream[Any]
    agenda: Agenda
    headline: Headline


class _Waiting(NamedTuple):
    submission: Submission
    answer: asyncio.Future[Recorded]


class Recorder:
    """Records commands on one log for everything in this process. Make one per log, in a running event loop."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> None:
        self.log = log
        self._replica = Replica(processes)
        self._snapshots = Snapshots(log)
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._started = False
        self._task: asyncio.Task[None] | None = None

    async def record(self, submission: Submission) -> Recorded:
        """Records a command once, however often it is asked, and gives its answer: the entry, and the refusal if there is one.

        Raises `Malformed` for what is no command, `SameIdOtherCommand` for a reused id, and `LogUnavailable` when the log
        cannot be written: then the command may or may not be recorded, and asking again with the same id tells.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="recorder")
        answer: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(submission, answer))
        self._wake.set()
        return await answer

    async def standing(self, stream: str) -> Standing:
        """What is true and owed on a stream, at least as of every answer this recorder has given."""
        async with self._turn:
            await self._catch_up()
            await self._load((stream,))
            return self.view(stream, self._replica.head.position, self._replica.get(stream))

    def view(self, stream: str, position: int, state: Stream[Any]) -> Standing:
        """A stream's state as people and workflows see it."""
        process = self._replica.process_of(stream)
        return Standing(position, state, kernel.agenda(process, state), process.describe(state.state))

    async def replica(self) -> Replica:
        """The replica at the log's head. Look, and do not decide with it."""
        async with self._turn:
            await self._catch_up()
            return self._replica

    async def close(self) -> None:
        """Stops recording. Who still waits is told that the log is unavailable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for waiting in self._waiting:
            if not waiting.answer.done():
                waiting.answer.set_exception(LogUnavailable("this worker is stopping; ask again with the same command id"))
        self._waiting = []

    # ------------------------------------------------------------ inside

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                async with self._turn:
                    try:
                        await self._commit(batch)
                    except Exception as error:  # noqa: BLE001  every caller must get an answer, and the next batch its turn
                        _log.warning("batch.failed", error=type(error).__name__, size=len(batch))
                        self._started = False
                        _fail(batch, error)
                    self._replica.trim()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        for defeats in range(DEFEATS):
            if await self._attempt(batch, first=defeats == 0):
                return
        while True:
            async with self.log.exclusive():
                done = await self._attempt(batch, first=False)
            if done:
                return

    async def _attempt(self, batch: Sequence[_Waiting], *, first: bool) -> bool:
        """Decides and appends what of the batch is unanswered; whether all of it was answered."""
        if not first or not self._started:
            await self._catch_up()
        open_ = [waiting for waiting in batch if not waiting.answer.done() and not self._answered(waiting)]
        await self._load(waiting.submission.stream for waiting in open_)
        mark = self._replica.mark()
        decided: list[tuple[_Waiting, Decision]] = []
        told: list[tuple[_Waiting, Decision]] = []
        again: list[_Waiting] = []
        ids: set[str] = set()
        for waiting in open_:
            if waiting.submission.command_id in ids:
                again.append(waiting)
                continue
            ids.add(waiting.submission.command_id)
            try:
                decision = self._replica.decide(waiting.submission)
            except Malformed as error:
                waiting.answer.set_exception(error)
                continue
            except Exception as error:  # noqa: BLE001  a bug in a rule: this command's caller learns of it, the others go on
                _log.exception("decision.failed", stream=waiting.submission.stream, command_id=waiting.submission.command_id)
                waiting.answer.set_exception(error)
                continue
            on_log = decision.refusal is None or decision.entry.position == self._replica.head.position
            (decided if on_log else told).append((waiting, decision))
        if told and (
            await self._repeated([waiting.submission for waiting, _ in told]) or (await self.log.head()).position > mark.head.position
        ):
            # A refusal that leaves no entry is not held against the head by an append: it must have been decided on the last one.
            self._replica.back(mark)
            return False
        match await self._append([decision.entry for _, decision in decided], mark):
            case Appended.BEHIND:
                self._replica.back(mark)
                return False
            case Appended.REPEATED:
                self._replica.back(mark)
                await self._repeated([waiting.submission for waiting in open_])
                return False
            case Appended.DONE:
                for waiting, decision in decided:
                    self._remember(Answer(decision.entry, decision.refusal))
                    self._answered(waiting)
                for waiting, decision in told:
                    waiting.answer.set_result(self._recorded(Answer(decision.entry, decision.refusal)))
                return not [waiting for waiting in again if not self._answered(waiting)]

    async def _append(self, entries: Sequence[Entry], mark: Mark) -> Appended:
        try:
            return await self.log.append(entries)
        except BaseException:
            self._replica.back(mark)
            self._started = False
            raise

    def _answered(self, waiting: _Waiting) -> bool:
        """Answers a repeated command with its first answer, if this worker knows it."""
        known = self._answers.get(waiting.submission.command_id)
        if known is None or waiting.answer.done():
            return known is not None
        same = known.entry.command == waiting.submission.command and known.entry.stream == waiting.submission.stream
        if same and known.entry.actor == waiting.submission.actor:
            waiting.answer.set_result(self._recorded(known))
        else:
            waiting.answer.set_exception(
                SameIdOtherCommand(f"command id {waiting.submission.command_id} was used at position {known.entry.position}; give a new id")
            )
        return True

    def _recorded(self, answer: Answer) -> Recorded:
        return Recorded(answer.entry, answer.refusal, self._replica.head.position, self._replica.get(answer.entry.stream))

    def _remember(self, answer: Answer) -> None:
        self._answers[answer.entry.command_id] = answer
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    async def _repeated(self, submissions: Sequence[Submission]) -> bool:
        """Looks these commands up on the log; whether any was there."""
        found = await self.log.find([submission.command_id for submission in submissions])
        for entry in found:
            refusal = None if entry.outcome == ACCEPTED else msgspec.json.decode(entry.body, type=Refusal)
            self._remember(Answer(entry, refusal))
        return bool(found)

    async def _catch_up(self) -> None:
        if self._replica.head.position == 0:
            await self._snapshots.restore(self._replica)
        while entries := await self.log.read(self._replica.head.position):
            self._replica.follow(entries)
        self._started = True
        await self._snapshots.keep_register(self._replica)

    async def _load(self, streams: Iterable[str]) -> None:
        for stream in self._replica.missing(streams):
            try:
                self._replica.put(stream, await self._snapshots.load(self._replica, stream, self._replica.head.position))
            except Malformed:
                continue


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
