"""From the queue of commands to durable entries: batches, each decided by one worker and appended in one commit (group commit).

A batch is decided against the head that this worker knows, without a lock, and the append compares the head (optimistic
append). When another worker appended in between, its entries are taken in and the batch is decided again. After several such
conflicts in a row the log's write lock is held while deciding, until no worker appends in between any more, so every worker
gets its turn.

While many commands are queued, batches overlap: the next one is decided while the one before it is in flight, on top of entries
that are not durable yet. No command is answered before its own entry is durable. If the batch in flight does not become durable,
what was decided on top of it is rolled back, and decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import structlog

from domain.process import ACCEPTING_TIME
from eventstore import sealing
from eventstore.answers import Answers, NotYet, Pending, Recorded, SameIdOtherCommand
from eventstore.authority import NotOwed, Unauthorised
from eventstore.entries import Entry, Submission
from eventstore.fitness import Fitness
from eventstore.follower import Follower
from eventstore.log import Appended, HeadFarAhead, Log, LogUnavailable, Seal, Unfit, WrittenOn
from eventstore.replica import Mark, Replica
from eventstore.sealing import Commit, origin_of
from eventstore.verifying import Signing
from eventstore.wire import Malformed

BATCH: Final = 256
"""The most commands of one commit."""
OVERLAP: Final = 16
"""Fewer commands than this are not divided among two commits that overlap."""
CONFLICTS: Final = 4
"""After so many optimistic appends in a row that another worker was ahead of, the log's lock is held while deciding."""

_log = structlog.get_logger(__name__)


class Batch(NamedTuple):
    """Commands that were decided together, on top of a mark of the replica."""

    mark: Mark
    pending: Sequence[Pending]
    """All of them. Each is in one of the lists below, or has its answer already."""
    decided: list[tuple[Pending, Recorded]]
    """Those with an entry to append."""
    unlogged: list[tuple[Pending, Recorded]]
    """Refusals of people whom the log does not know: they leave no entry."""
    turned_away: list[tuple[Pending, NotYet | NotOwed | Unauthorised]]
    """Deadlines that have not come, what is not owed, and behind which nothing stands: they leave no entry either."""
    duplicates: list[Pending]
    """Commands with the id of another one, in this batch or earlier."""

    @classmethod
    def on(cls, mark: Mark, pending: Sequence[Pending]) -> Batch:
        """A batch of which nothing is decided yet."""
        return cls(mark, pending, [], [], [], [])

    @property
    def entries(self) -> Sequence[Entry]:
        """What is to be appended."""
        return [recorded.entry for _, recorded in self.decided]

    @property
    def without_entry(self) -> Sequence[Pending]:
        """The commands that get an answer and no entry."""
        return [pending for pending, _ in (*self.unlogged, *self.turned_away)]

    @property
    def may_overlap(self) -> bool:
        """Whether an append is all that it needs: then the next batch can be decided meanwhile."""
        return bool(self.decided) and not self.unlogged and not self.turned_away and not self.duplicates


class InFlight(NamedTuple):
    """A batch whose append is under way."""

    batch: Batch
    seal: Seal | None
    append: Awaitable[Appended]


class Pipeline:
    """Takes commands from its queue and records them. One task at a time runs it; the others only add to the queue."""

    def __init__(self, log: Log, follower: Follower, fitness: Fitness, answers: Answers, signing: Signing | None = None) -> None:
        """With `signing` every commit is sealed."""
        self._log = log
        self._signing = signing
        self._follower = follower
        self._fitness = fitness
        self._answers = answers
        self.queue: list[Pending] = []
        self._in_hand: Sequence[Pending] = ()
        """Taken from the queue, and not answered yet."""
        self._conflicts = 0
        """How many optimistic appends in a row another worker was ahead of."""

    @property
    def _replica(self) -> Replica:
        return self._follower.replica

    def abandon(self, error: LogUnavailable) -> None:
        """Fails every command that has no answer yet."""
        _fail((*self._in_hand, *self.queue), error)
        self.queue, self._in_hand = [], ()

    # ------------------------------------------------------------ turns

    async def record_next(self) -> None:
        """Records the command at the front of the queue, by itself."""
        await self._record(self._take(1))
        self._replica.trim()

    async def record_queued(self, pause: Callable[[], bool]) -> None:
        """Records a batch of the queue; or, while the queue is long, batches that overlap, until it is empty or `pause()` is true."""
        try:
            if len(self.queue) >= OVERLAP and self._conflicts < CONFLICTS and not self._head_ahead():
                await self._overlap(pause)
            else:
                await self._record(self._take(BATCH))
        except Exception as error:  # noqa: BLE001  a bug: what was folded is trusted no longer, and no caller waits for ever
            self._give_up(self._in_hand, error)
            self._follower.start_over()
        self._replica.trim()

    def _take(self, most: int) -> Sequence[Pending]:
        taken, self.queue = self.queue[:most], self.queue[most:]
        return taken

    async def _record(self, pending: Sequence[Pending]) -> None:
        """Records a batch while no other is in flight. Each of its callers gets an answer or an error."""
        self._in_hand = pending
        try:
            await self._commit(pending)
        except Exception as error:  # noqa: BLE001  every caller must get an answer, and the next batch its turn
            self._give_up(pending, error)
        finally:
            self._in_hand = ()

    def _give_up(self, pending: Sequence[Pending], error: Exception) -> None:
        _log.warning("batch.failed", error=type(error).__name__, size=len(pending))
        self._follower.caught_up = False
        if isinstance(error, Unfit):
            self._fitness.declare(error)
        _fail(pending, error)

    # ------------------------------------------------------------ one batch at a time

    async def _commit(self, pending: Sequence[Pending]) -> None:
        """Makes a batch durable: by optimistic appends, and after several conflicts in a row under the log's lock."""
        while self._conflicts < CONFLICTS:
            if await self._attempt(pending):
                self._conflicts = 0
                return
            self._conflicts += 1
        while not await self._attempt_locked(pending):
            pass

    async def _attempt_locked(self, pending: Sequence[Pending]) -> bool:
        """Decides and appends while the log's lock is held. When no worker appended in between, later batches are optimistic again."""
        await self._follower.catch_up()
        async with self._log.exclusive():
            known = self._replica.head.position
            await self._follower.catch_up()
            if self._replica.head.position == known:
                self._conflicts = 0
            return await self._attempt(pending)

    async def _attempt(self, pending: Sequence[Pending]) -> bool:
        """Decides what has no answer yet, and appends it if the head is still the one it was decided on. Whether everything is answered."""
        if not self._follower.caught_up or self._head_ahead():
            await self._follower.catch_up()
        batch = await self._decide(pending, in_flight=False)
        try:
            seal = self._seal(batch)
            appended = await self._append(batch, seal)
        except BaseException:
            self._roll_back(batch)
            raise
        if appended is not Appended.DONE:
            self._roll_back(batch)
            if appended is Appended.REPEATED:
                await self._answers.look_up(batch.pending)
            elif (fallen := await self._fitness.fallen_back(self._replica)) is not None:
                raise fallen
            return False
        self._settle(batch, seal)
        return not [each for each in batch.duplicates if not self._answer_duplicate(each)]

    async def _append(self, batch: Batch, seal: Seal | None) -> Appended:
        if batch.without_entry and await self._has_log_moved(batch):
            return Appended.BEHIND
        return await self._log.append(batch.entries, self._fitness.host_clock(self._replica), seal)

    async def _has_log_moved(self, batch: Batch) -> bool:
        """Whether the log went on since the batch was decided. An append finds that out for entries; commands that leave none need it as well."""
        return await self._answers.look_up(batch.without_entry) or (await self._log.head()).position > batch.mark.head.position

    def _roll_back(self, batch: Batch) -> None:
        """Undoes what was decided since the batch's mark. The log may have changed: the replica catches up before the next decision."""
        self._replica.back(batch.mark)
        self._follower.caught_up = False

    def _seal(self, batch: Batch) -> Seal | None:
        """What the log signs of the batch that was decided last; nothing without entries, or where nothing is signed."""
        replica, frontier = self._replica, self._replica.frontier
        if self._signing is None or frontier is None or not batch.decided:
            return None
        assert frontier.size == replica.head.position == batch.decided[-1][1].entry.position, "the batch is the last one decided"
        signs = replica.register.log_key_at(self._signing.public_key, replica.head.position)
        return sealing.seal(frontier, batch.mark.kept, self._signing.note_key(origin_of(replica.first)) if signs else None)

    def _settle(self, batch: Batch, seal: Seal | None) -> None:
        """Answers the callers of a batch that is durable."""
        self._replica.keep(batch.mark)
        commit = None
        if seal is not None and seal.sealed is not None and batch.mark.frontier is not None:
            commit = Commit.of(batch.mark.frontier, batch.entries, seal.sealed)
        for pending, recorded in batch.decided:
            self._answers.add(recorded.entry, recorded.refusal)
            pending.accept(recorded._replace(commit=commit) if commit is not None else recorded)
        for pending, recorded in batch.unlogged:
            pending.accept(recorded)
        for pending, error in batch.turned_away:
            pending.fail(error)

    # ------------------------------------------------------------ overlapping batches

    async def _overlap(self, pause: Callable[[], bool]) -> None:
        """Decides each batch while the one before it is in flight, until the queue is empty or `pause()` is true."""
        flight: InFlight | None = None
        while True:
            following = None if pause() else await self._decide_ahead(flight)
            if flight is not None and not await self._landed(flight, following):
                flight = None
                continue
            landed, flight = flight, None
            if following is not None and following.may_overlap:
                seal = self._seal(following)
                append = self._log.begin(following.entries, self._fitness.host_clock(self._replica), seal)
                flight = InFlight(following, seal, append)
            if landed is not None:
                self._settle(landed.batch, landed.seal)
            if following is None:
                return
            if flight is None:
                self._replica.back(following.mark)
                await self._record(following.pending)
                continue
            self._in_hand = following.pending
            await asyncio.sleep(0)  # who was answered may queue the next command

    async def _decide_ahead(self, flight: InFlight | None) -> Batch | None:
        """The next batch, about half of what is outstanding, decided; `None` when the queue is empty or what is in flight must land first."""
        if not self.queue or self._replica.crowded or self._head_ahead():
            return None
        outstanding = len(self.queue) + (len(flight.batch.pending) if flight is not None else 0)
        pending = self._take(min(BATCH, max(OVERLAP, -(-outstanding // 2))))
        self._in_hand = (*self._in_hand, *pending)
        try:
            if flight is None and not self._follower.caught_up:
                await self._follower.catch_up()
            return await self._decide(pending, in_flight=flight is not None)
        except Exception as error:  # noqa: BLE001  every caller must get an answer, and what is in flight must land
            self._give_up(pending, error)
            return None

    async def _landed(self, flight: InFlight, following: Batch | None) -> bool:
        """Whether the batch in flight is durable. If not, it is recorded by itself or fails, and what was decided on top of it is queued again."""
        appended = Appended.BEHIND
        try:
            appended = await flight.append
        except Exception as error:  # noqa: BLE001  every caller must get an answer
            self._give_up(flight.batch.pending, error)
        if appended is Appended.DONE:
            return True
        self._roll_back(flight.batch)
        self._conflicts += 1
        if following is not None:
            self.queue = [*following.pending, *self.queue]
        await self._record(flight.batch.pending)
        return False

    # ------------------------------------------------------------ deciding

    async def _decide(self, pending: Sequence[Pending], *, in_flight: bool) -> Batch:
        """Decides what has no answer yet, on top of everything decided before.

        While another batch is `in_flight` duplicates get no answer, for what is known may still be rolled back.
        """
        await self._follower.load(stream for each in pending for stream in each.streams)
        replica = self._replica
        if replica.beyond is not None:
            raise replica.beyond
        unanswered = [each for each in pending if not each.answer.done() and (in_flight or not self._answer_duplicate(each))]
        if (unfit := self._fitness.unenrolled(replica.register)) is not None:
            raise unfit
        obstacle = await self._fitness.obstacle(replica)
        if obstacle is not None and not in_flight and await self._answers.look_up(unanswered):
            unanswered = [each for each in unanswered if not self._answer_duplicate(each)]
        batch, ids = Batch.on(replica.mark(), unanswered), set[str]()
        now = self._fitness.clock.now(replica.head_time)
        for each in unanswered:
            command_id = each.submission.command_id
            if command_id in ids or command_id in self._answers:
                batch.duplicates.append(each)
            elif (unfit := self._fitness.unenrolled(replica.register)) is not None:  # nobody could seal what comes after it
                self._fitness.declare(unfit)
                each.fail(unfit)
            else:
                ids.add(command_id)
                self._decide_one(batch, each, now, obstacle)
        return batch

    def _decide_one(self, batch: Batch, pending: Pending, now: datetime, obstacle: LogUnavailable | None) -> None:
        """Decides a command and adds it to its batch; or fails it, and the others go on."""
        replica, submission = self._replica, pending.submission
        try:
            for stream in pending.streams:
                replica.require_readable(stream)
            self._require_time(submission, now, obstacle)
            decision = replica.decide(submission, now, pending.vouched)
        except (NotYet, NotOwed, Unauthorised) as error:
            batch.turned_away.append((pending, error))
        except (Malformed, LogUnavailable) as error:
            pending.fail(error)
        except Exception as error:  # noqa: BLE001  a bug in a rule: this command's caller learns of it, the others go on
            _log.exception("decision.failed", stream=submission.stream, command_id=submission.command_id)
            pending.fail(error)
        else:
            logged = decision.refusal is None or decision.entry.position == replica.head.position
            recorded = Recorded(decision.entry, decision.refusal, replica.head.position, replica.get(submission.stream))
            (batch.decided if logged else batch.unlogged).append((pending, recorded))

    def _require_time(self, submission: Submission, now: datetime, obstacle: LogUnavailable | None) -> None:
        """Raises `NotYet` for a deadline that has not come, and what keeps everything from being appended."""
        accepting = isinstance(obstacle, HeadFarAhead) and _kind_of(submission.command) in ACCEPTING_TIME
        if obstacle is not None and not accepting:
            raise obstacle
        due = self._replica.due(submission)
        if due is not None and now < due:
            raise NotYet(due, now)

    def _answer_duplicate(self, pending: Pending) -> bool:
        """Gives a duplicate the first answer, or the error of an id that was used for another command; false when this id is not known here."""
        submission = pending.submission
        answer = self._answers.get(submission.command_id)
        if answer is None or pending.answer.done():
            return answer is not None
        try:
            answer.require_same(submission)
            self._replica.require_readable(submission.stream)
            state = self._replica.get(submission.stream)
            pending.accept(Recorded(answer.entry, answer.refusal, self._replica.head.position, state))
        except (SameIdOtherCommand, WrittenOn) as error:
            pending.fail(error)
        return True

    def _head_ahead(self) -> bool:
        """Whether the head that this worker knows is ahead of the clock: then it catches up first, for officers may have accepted the time."""
        return self._fitness.head_ahead(self._replica.head, self._replica.register) is not None


class _Kind(msgspec.Struct):
    kind: str


def _kind_of(command: bytes) -> str:
    """The kind of a command as it came; empty when it has none."""
    try:
        return msgspec.json.decode(command, type=_Kind).kind
    except msgspec.MsgspecError:
        return ""


def _fail(pending: Sequence[Pending], error: Exception) -> None:
    for each in pending:
        each.fail(error)
