"""Recording: serial decisions under the log's write lock, many callers to a commit.

Callers that ask while a commit is under way are decided together in the next one (group commit). When they are many they are
decided meanwhile, on top of what is not durable yet; nobody is answered before it is. A batch is decided against the head
this worker knows, without holding any lock; the append compares the head. When another worker came between, its entries are
taken in and the batch is decided again; after a few such defeats the lock is held from the start, until nobody comes between any
more, so every worker gets its turn.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from domain import process as kernel
from domain.catalog import CATALOG
from domain.kernel import Agenda, Headline, shown_at
from domain.process import ACCEPTING_TIME, Process, Stream
from domain.register.state import Register
from eventstore.clock import TOLERANCE, Clock, SystemClock, ahead
from eventstore.entries import ACCEPTED, MICROSECOND, Entry, Head, Refusal, Submission, instant, microseconds
from eventstore.log import (
    Appended,
    ClockApart,
    Damaged,
    FellBack,
    HeadAhead,
    HeadFarAhead,
    HostClock,
    Log,
    LogUnavailable,
    Unfit,
    WrittenOn,
)
from eventstore.replica import Mark, Replica, UnreadableEntry
from eventstore.snapshots import Snapshots
from eventstore.wire import Malformed

BATCH: Final = 256
"""The most commands decided in one transaction."""
PAGE: Final = 1_000
"""How many entries of others are read at a time."""
REMEMBERED: Final = 2_048
"""How many answers a worker keeps in memory; older ones are looked up on the log."""
OVERLAPPING: Final = 16
"""Fewer commands than this are not divided among two commits that overlap."""
DEFEATS: Final = 4
"""After so many overtaken appends the lock is held while deciding."""
LOOKING_ROUND: Final = 4
"""A lone caller looks for others, and lets them have the event loop, once in so many commands: it takes a third as long as to decide one."""

_SYSTEM: Final = SystemClock()
_TOLERANCE: Final = TOLERANCE // MICROSECOND

_log = structlog.get_logger(__name__)


class SameIdOtherCommand(Exception):
    """A command id that is on the log already came with another command, stream or actor. Bad input: nothing was done."""


class NotYet(Exception):
    """The deadline that a command answers has not come by the recorder's clock. There is no entry, and its id stays free."""

    def __init__(self, at: datetime, now: datetime) -> None:
        super().__init__(f"the deadline stands at {shown_at(at)}; it is {shown_at(now)}")
        self.at = at
        """By the log's time."""
        self.now = now


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


class _Kind(msgspec.Struct):
    kind: str


class _Waiting(NamedTuple):
    submission: Submission
    answer: asyncio.Future[Recorded]


class _Batch(NamedTuple):
    """Commands that were decided together, on top of a mark."""

    mark: Mark
    waiting: Sequence[_Waiting]
    decided: Sequence[tuple[_Waiting, Recorded]]
    told: Sequence[tuple[_Waiting, Recorded]]
    """Refusals of people whom the log does not know: they leave no entry."""
    early: Sequence[tuple[_Waiting, NotYet]]
    """Deadlines that have not come: they leave no entry either."""
    again: Sequence[_Waiting]
    """Who asks what somebody in the batch, or before it, asked already."""

    @property
    def entries(self) -> Sequence[Entry]:
        """What is to be appended."""
        return [recorded.entry for _, recorded in self.decided]

    @property
    def plain(self) -> bool:
        """Whether an append answers all of it."""
        return bool(self.decided) and not self.told and not self.early and not self.again


class _Flight(NamedTuple):
    """A batch on its way to the log."""

    batch: _Batch
    append: Awaitable[Appended]


class Recorder:
    """Records commands on one log for everything in this process. Make one per log, in a running event loop."""

    def __init__(self, log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG, clock: Clock = _SYSTEM) -> None:
        self.log = log
        self.clock = clock
        """By which entries are dated and deadlines come. Who composes a worker may set it until the first command."""
        self.unfit: Unfit | None = None
        """Why this worker must record nothing, as far as it knows; see `examine`."""
        self._replica = Replica(processes)
        self._snapshots = Snapshots(log)
        self._waiting: list[_Waiting] = []
        self._in_hand: Sequence[_Waiting] = ()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._lookers = 0
        self._lone = 0
        """How many commands in a row were recorded where they were asked."""
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._alerted = 0
        """The head that was told of as ahead of the clock."""
        self._started = False
        """Whether the replica was caught up with the log, and has followed it since as far as is known."""
        self._defeats = 0
        self._task: asyncio.Task[None] | None = None

    async def record(self, submission: Submission) -> Recorded:
        """Records a command once, however often it is asked, and gives its answer: the entry, and the refusal if there is one.

        Raises `Malformed` for what is no command, `SameIdOtherCommand` for a reused id, `NotYet` for a deadline that has not
        come, and `LogUnavailable` when the log cannot be written, or not by this worker (`Unfit`), or not now (`HeadAhead`): then
        the command may or may not be recorded, and asking again with the same id tells.
        """
        if self.unfit is not None and (unfit := await self.examine()) is not None:
            raise unfit
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        lone = len(self._waiting) == 1 and not self._turn.locked()
        if not (lone and await self._here(waiting)):
            self._task = self._task or asyncio.create_task(self._run(), name="recorder")
            self._wake.set()
        return await waiting.answer

    async def standing(self, stream: str) -> Standing:
        """What is true and owed on a stream, at least as of every answer this recorder has given. Raises `WrittenOn`, `LogUnavailable`."""
        async with self._looking():
            await self._catch_up()
            await self._load(self._replica.missing((stream,)))
            self._replica.require_readable(stream)
            self._replica.trim()
            return self.view(stream, self._replica.head.position, self._replica.get(stream))

    def view(self, stream: str, position: int, state: Stream[Any]) -> Standing:
        """A stream's state as people and workflows see it."""
        process = self._replica.process_of(stream)
        return Standing(position, state, kernel.agenda(process, state), kernel.describe(process, state))

    @property
    def register(self) -> Register:
        """The register as far as this worker knows it: for words about what was recorded, never to decide by."""
        return self._replica.register

    def title_of(self, stream: str) -> str:
        """What a stream is, in words."""
        return self._replica.process_of(stream).title

    async def replica(self) -> Replica:
        """The replica at the log's head. Look, and do not decide with it."""
        async with self._looking():
            await self._catch_up()
            return self._replica

    async def examine(self) -> Unfit | None:
        """Looks again whether this worker may record, and says why not. An unfit clock that was mended is fit again."""
        if self.unfit is None or isinstance(self.unfit, ClockApart):
            self._declare(await self._fallen_back() or (await self._apart() if self.clock.earnest else None))
        return self.unfit

    async def ahead(self) -> HeadAhead | None:
        """Why nothing may be appended after the log's head; `None` when something may."""
        if not self._started:
            await self.replica()
        head = await self.log.head()
        return self._ahead_of(head)

    async def close(self) -> None:
        """Stops recording. Who still waits is told that the log is unavailable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        stopping = LogUnavailable("this worker is stopping; ask again with the same command id")
        _fail((*self._in_hand, *self._waiting), stopping)
        self._waiting, self._in_hand = [], ()

    async def _fallen_back(self) -> FellBack | None:
        """Whether the log ends before an entry that was durable."""
        known, found = self._replica.durable.position, (await self.log.head()).position
        return FellBack(known, found) if found < known else None

    # ------------------------------------------------------------ the time

    async def _apart(self) -> ClockApart | None:
        """Whether this host's clock and the log's are further apart than the question took to be answered."""
        before = self._host_clock()
        log = await self.log.time()
        if log is None or before - _TOLERANCE <= log <= self._host_clock() + _TOLERANCE:
            return None
        by = round(abs(log - before) / 1_000_000)
        return ClockApart(f"this host's clock is {by:,} s {'behind' if before < log else 'ahead of'} the database's; set it right")

    def _host_clock(self) -> int:
        return microseconds(self.clock.now(self._replica.head_time))

    @property
    def _checked(self) -> HostClock | None:
        """What an append is judged by: this host's clock, if it is one."""
        return self._host_clock if self.clock.earnest else None

    def _declare(self, unfit: Unfit | None) -> None:
        """Takes down whether this worker may record, and tells of a change."""
        before, self.unfit = self.unfit, unfit
        if unfit is not None and (before is None or before.reason != unfit.reason):
            _log.error("recorder.unfit", reason=unfit.reason, error=str(unfit))
        if unfit is None and before is not None:
            _log.info("recorder.fit", reason=before.reason)

    def _ahead_of(self, head: Head) -> HeadAhead | None:
        """Why nothing may be appended after this head, by the register as far as this worker knows it."""
        accepted = self._replica.register.time_accepted_until
        if not head.position or (accepted is not None and head.at <= microseconds(accepted)):
            return None
        return ahead(self.clock, head.position, instant(head.at))

    def _is_ahead(self) -> bool:
        """Whether the head that this worker knows is ahead: then it looks again before it says so, for the time may have been accepted."""
        return self._ahead_of(self._replica.head) is not None

    async def _stopped(self) -> LogUnavailable | None:
        """Why nothing may be appended now: because of this host's clock, if it is that which is wrong, else because of the head."""
        ahead = self._ahead_of(self._replica.head)
        if ahead is None:
            return None
        unfit = await self.examine()
        if unfit is None and self._alerted != ahead.position:
            self._alerted = ahead.position
            _log.error("head.ahead", position=ahead.position, at=ahead.at.isoformat(), until=ahead.until.isoformat())
        return unfit or ahead

    def _require_time(self, submission: Submission, now: datetime, stopped: LogUnavailable | None) -> None:
        """Raises `NotYet` for a deadline that has not come, and what keeps everything from being appended."""
        accepting = isinstance(stopped, HeadFarAhead) and _kind(submission.command) in ACCEPTING_TIME
        if stopped is not None and not accepting:
            raise stopped
        due = self._replica.due(submission)
        if due is not None and now < due:
            raise NotYet(due, now)

    # ------------------------------------------------------------ taking turns

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """While somebody looks, all that is decided is durable."""
        self._lookers += 1
        try:
            async with self._turn:
                yield
        finally:
            self._lookers -= 1

    async def _here(self, waiting: _Waiting) -> bool:
        """Records a command where it is asked, if nobody else asks meanwhile: the way to another task and back takes as long as deciding."""
        if self._lone % LOOKING_ROUND == 0:
            await asyncio.sleep(0)  # many callers find each other here
            if self._turn.locked() or self._waiting != [waiting]:
                self._lone = 0
                return False
        self._lone += 1
        async with self._turn:
            await self._alone(self._take(1))
            self._replica.trim()
        return True

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                async with self._turn:
                    try:
                        many = len(self._waiting) >= OVERLAPPING and self._defeats < DEFEATS and not self._is_ahead()
                        await (self._overlapping() if many else self._alone(self._take(BATCH)))
                    except Exception as error:  # noqa: BLE001  a bug: what was folded is trusted no longer, and nobody waits for ever
                        self._give_up(self._in_hand, error)
                        self._replica = Replica(self._replica.processes)
                    self._replica.trim()

    def _take(self, most: int) -> Sequence[_Waiting]:
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken

    async def _alone(self, batch: Sequence[_Waiting]) -> None:
        """Decides and commits a batch while nothing else is on its way."""
        self._in_hand = batch
        try:
            await self._commit(batch)
        except Exception as error:  # noqa: BLE001  every caller must get an answer, and the next batch its turn
            self._give_up(batch, error)
        finally:
            self._in_hand = ()

    async def _overlapping(self) -> None:
        """Decides each batch while the one before it is on its way, until nobody waits or somebody wants to look."""
        flight: _Flight | None = None
        while True:
            following = await self._following(flight)
            if flight is not None and not await self._landed(flight, following):
                flight = None
                continue
            if following is not None and not following.plain:
                if flight is not None:
                    self._settle(flight.batch)
                flight = None
                self._replica.back(following.mark)
                await self._alone(following.waiting)
                continue
            ahead = _Flight(following, self.log.begin(following.entries, self._checked)) if following is not None else None
            if flight is not None:
                self._settle(flight.batch)
            flight = ahead
            if flight is None:
                return
            self._in_hand = flight.batch.waiting
            await asyncio.sleep(0)

    async def _following(self, flight: _Flight | None) -> _Batch | None:
        """The next batch, decided; none when nobody waits, or what flies must land first."""
        if not self._waiting or self._lookers or self._replica.crowded or self._is_ahead():
            return None
        outstanding = len(self._waiting) + (len(flight.batch.waiting) if flight is not None else 0)
        batch = self._take(min(BATCH, max(OVERLAPPING, -(-outstanding // 2))))
        self._in_hand = (*self._in_hand, *batch)
        try:
            if flight is None and not self._started:
                await self._catch_up()
            return await self._decide(batch, alone=flight is None)
        except Exception as error:  # noqa: BLE001  every caller must get an answer, and what flies must land
            self._give_up(batch, error)
            return None

    async def _landed(self, flight: _Flight, following: _Batch | None) -> bool:
        """Whether the batch is durable. If not, it is decided again alone, or given up; and what was decided on top of it waits again."""
        appended = Appended.BEHIND
        try:
            appended = await flight.append
        except Exception as error:  # noqa: BLE001  every caller must get an answer
            self._give_up(flight.batch.waiting, error)
        if appended is Appended.DONE:
            return True
        self._replica.back(flight.batch.mark)
        self._started = False
        self._defeats += 1
        if following is not None:
            self._waiting = [*following.waiting, *self._waiting]
        await self._alone(flight.batch.waiting)
        return False

    def _give_up(self, batch: Sequence[_Waiting], error: Exception) -> None:
        _log.warning("batch.failed", error=type(error).__name__, size=len(batch))
        self._started = False
        if isinstance(error, Unfit):
            self._declare(error)
        _fail(batch, error)

    # ------------------------------------------------------------ committing

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Records a batch. While other workers keep coming between, they are not raced: the lock is held from the start."""
        while self._defeats < DEFEATS:
            if await self._attempt(batch):
                self._defeats = 0
                return
            self._defeats += 1
        done = False
        while not done:
            await self._catch_up()
            async with self.log.exclusive():
                known = self._replica.head.position
                await self._catch_up()
                if self._replica.head.position == known:
                    self._defeats = 0
                done = await self._attempt(batch)

    async def _attempt(self, waiting: Sequence[_Waiting]) -> bool:
        """Decides and appends what of the batch is unanswered; whether all of it was answered."""
        if not self._started or self._is_ahead():
            await self._catch_up()
        batch = await self._decide(waiting, alone=True)
        try:
            appended = await (self._append_told(batch) if batch.told or batch.early else self.log.append(batch.entries, self._checked))
        except BaseException:
            self._replica.back(batch.mark)
            self._started = False
            raise
        if appended is not Appended.DONE:
            self._replica.back(batch.mark)
            self._started = False
            if appended is Appended.REPEATED:
                await self._repeated(batch.waiting)
            elif (fallen := await self._fallen_back()) is not None:
                raise fallen
            return False
        self._settle(batch)
        return not [each for each in batch.again if not self._answered(each)]

    async def _append_told(self, batch: _Batch) -> Appended:
        # What leaves no entry is not held against the head by an append: it must have been decided on the last one.
        told = [each for each, _ in (*batch.told, *batch.early)]
        if await self._repeated(told) or (await self.log.head()).position > batch.mark.head.position:
            return Appended.BEHIND
        return await self.log.append(batch.entries, self._checked)

    async def _decide(self, waiting: Sequence[_Waiting], *, alone: bool) -> _Batch:
        """Decides what of this is unanswered, on top of all that was decided. Who repeats a command is answered if nothing is on its way."""
        replica = self._replica
        if missing := replica.missing(each.submission.stream for each in waiting):
            await self._load(missing)
        if replica.beyond is not None:
            raise replica.beyond
        open_ = [each for each in waiting if not each.answer.done() and not (alone and self._answered(each))]
        if (stopped := await self._stopped()) is not None and alone and await self._repeated(open_):
            open_ = [each for each in open_ if not self._answered(each)]
        now = self.clock.now(replica.head_time)
        mark, ids = replica.mark(), set[str]()
        decided, told, again = list[tuple[_Waiting, Recorded]](), list[tuple[_Waiting, Recorded]](), list[_Waiting]()
        early = list[tuple[_Waiting, NotYet]]()
        for each in open_:
            submission = each.submission
            if submission.command_id in ids or submission.command_id in self._answers:
                again.append(each)
                continue
            ids.add(submission.command_id)
            try:
                replica.require_readable(submission.stream)
                self._require_time(submission, now, stopped)
                decision = replica.decide(submission, now)
            except NotYet as error:
                early.append((each, error))
                continue
            except (Malformed, LogUnavailable) as error:
                each.answer.set_exception(error)
                continue
            except Exception as error:  # noqa: BLE001  a bug in a rule: this command's caller learns of it, the others go on
                _log.exception("decision.failed", stream=submission.stream, command_id=submission.command_id)
                each.answer.set_exception(error)
                continue
            on_log = decision.refusal is None or decision.entry.position == replica.head.position
            recorded = Recorded(decision.entry, decision.refusal, replica.head.position, replica.get(submission.stream))
            (decided if on_log else told).append((each, recorded))
        return _Batch(mark, open_, decided, told, early, again)

    def _settle(self, batch: _Batch) -> None:
        """The batch is durable: its callers are answered."""
        self._replica.keep(batch.mark)
        for each, recorded in batch.decided:
            self._remember(Answer(recorded.entry, recorded.refusal))
            if not each.answer.done():
                each.answer.set_result(recorded)
        for each, recorded in batch.told:
            if not each.answer.done():
                each.answer.set_result(recorded)
        for each, error in batch.early:
            if not each.answer.done():
                each.answer.set_exception(error)

    # ------------------------------------------------------------ answers

    def _answered(self, waiting: _Waiting) -> bool:
        """Answers a repeated command with its first answer, if this worker knows it."""
        known = self._answers.get(waiting.submission.command_id)
        if known is None or waiting.answer.done():
            return known is not None
        same = known.entry.command == waiting.submission.command and known.entry.stream == waiting.submission.stream
        if same and known.entry.actor == waiting.submission.actor:
            try:
                self._replica.require_readable(known.entry.stream)
                waiting.answer.set_result(self._recorded(known))
            except WrittenOn as error:
                waiting.answer.set_exception(error)
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

    async def _repeated(self, waiting: Sequence[_Waiting]) -> bool:
        """Looks these commands up on the log; whether any was there."""
        found = await self.log.find([each.submission.command_id for each in waiting])
        for entry in found:
            refusal = None if entry.outcome == ACCEPTED else msgspec.json.decode(entry.body, type=Refusal)
            self._remember(Answer(entry, refusal))
        return bool(found)

    async def _catch_up(self) -> None:
        if self._replica.head.position == 0:
            await self._snapshots.restore(self._replica)
        full = True
        while full:
            entries = await self.log.read(self._replica.head.position, PAGE)
            self._follow(entries)
            full = len(entries) == PAGE  # what comes after a page that was not full, an append will say
        self._started = True

    def _follow(self, entries: Sequence[Entry]) -> None:
        """Takes entries in, and takes down when they make this worker unfit. Raises `Damaged`."""
        try:
            self._replica.follow(entries)
        except Unfit as error:
            self._declare(error)
            raise
        if self._replica.beyond is not None:
            self._declare(self._replica.beyond)

    async def _load(self, streams: Iterable[str]) -> None:
        for stream in streams:
            try:
                self._replica.put(stream, await self._snapshots.load(self._replica, stream, self._replica.durable.position))
            except Malformed:
                continue
            except UnreadableEntry as error:
                _log.error("stream.written_by_newer", stream=stream, position=error.position)
                self._replica.park(stream, error.position)


async def left_to_newer(log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> Unfit | None:
    """Why this release records nothing on a log: a newer one wrote what it cannot take in, or an entry is damaged; `None` when it may."""
    try:
        return (await Recorder(log, processes).replica()).beyond
    except Damaged as damaged:
        return damaged


def _kind(command: bytes) -> str:
    """The kind of a command as it came; empty when it has none."""
    try:
        return msgspec.json.decode(command, type=_Kind).kind
    except msgspec.MsgspecError:
        return ""


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
