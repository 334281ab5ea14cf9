"""What callers of a recorder get: one answer to each command, and the same one to every duplicate of it."""

from __future__ import annotations

from asyncio import Future
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from domain.kernel import shown_at
from domain.stream import Stream
from eventstore.authority import Vouched
from eventstore.entries import ACCEPTED, Entry, Refusal, Submission
from eventstore.log import Log
from eventstore.sealing import Commit

CACHED: Final = 2_048
"""How many answers a worker keeps in memory; older ones are looked up on the log."""


class SameIdOtherCommand(Exception):
    """A command id that is on the log already came with another command, stream or actor. Bad input: nothing was done."""


class NotYet(Exception):
    """The deadline that a command answers has not come by the recorder's clock. There is no entry, and its id stays free."""

    def __init__(self, at: datetime, now: datetime) -> None:
        super().__init__(f"the deadline stands at {shown_at(at)}; it is {shown_at(now)}")
        self.at = at
        """By the log's time."""
        self.now = now


class Recorded(NamedTuple):
    """The answer to a command, and the state of its stream when it was given."""

    entry: Entry
    refusal: Refusal | None
    position: int
    """As of which entry `stream` is."""
    stream: Stream[Any]
    commit: Commit | None = None
    """With which the entry became durable, where it was just now and the log signs: proofs are made of it."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the events that followed."""
        if self.refusal is not None:
            return ()
        return tuple(event["kind"] for event in msgspec.json.decode(self.entry.body))


class Pending(NamedTuple):
    """A command whose caller waits for the answer."""

    submission: Submission
    answer: Future[Recorded]
    vouched: Vouched | None = None
    """What stands behind it; nothing in unit tests of the core."""

    @property
    def streams(self) -> Iterator[str]:
        """Those by whose state it is decided."""
        yield self.submission.stream
        if self.vouched is not None and self.vouched.source is not None:
            yield self.vouched.source

    def accept(self, recorded: Recorded) -> None:
        """Gives the caller the answer, unless there is one already or the caller is gone."""
        if not self.answer.done():
            self.answer.set_result(recorded)

    def fail(self, error: Exception) -> None:
        """Gives the caller an error, unless there is an answer already or the caller is gone."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Answer(NamedTuple):
    """The answer to a command as the log holds it."""

    entry: Entry
    refusal: Refusal | None

    def require_same(self, submission: Submission) -> None:
        """Raises `SameIdOtherCommand` for a submission that is no duplicate of the command that was answered."""
        entry = self.entry
        if (entry.command, entry.stream, entry.actor) != (submission.command, submission.stream, submission.actor):
            raise SameIdOtherCommand(f"command id {submission.command_id} was used at position {entry.position}; give a new id")


class Answers:
    """The answers of one log by command id: the latest in memory, the others when they are looked up."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cached: OrderedDict[str, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cached)

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._cached

    def get(self, command_id: str) -> Answer | None:
        """The answer to this command, if it is in memory."""
        return self._cached.get(command_id)

    def add(self, entry: Entry, refusal: Refusal | None) -> None:
        """Keeps the answer that a durable entry is; the oldest one gives way."""
        self._cached[entry.command_id] = Answer(entry, refusal)
        if len(self._cached) > CACHED:
            self._cached.popitem(last=False)

    async def look_up(self, pending: Sequence[Pending]) -> bool:
        """Takes the answers to these commands from the log into memory; whether there was any."""
        found = await self._log.find([each.submission.command_id for each in pending])
        for entry in found:
            self.add(entry, None if entry.outcome == ACCEPTED else msgspec.json.decode(entry.body, type=Refusal))
        return bool(found)
