"""The log folded in memory: the register, the states of streams in use, and the next decision on top of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from domain.catalog import CATALOG, RULES
from domain.kernel import SERVICE, Command, Deadline, Event, Refused, StreamId, process_of
from domain.process import Context, Process, decide, evolve, mandate_for, stated_by
from domain.register.facts import Fact
from domain.register.fold import FACT_KINDS, is_fact, note
from domain.register.state import Register
from domain.stream import Stream, deadline_id
from eventstore.authority import BEGINS, Given, Place, Vouched, is_known, permit
from eventstore.entries import (
    ACCEPTED,
    EMPTY,
    REFUSED,
    Entry,
    Head,
    Refusal,
    Salts,
    Submission,
    encode_events,
    encode_json,
    falls,
    flaw_of,
    instant,
    microseconds,
    random_salts,
    sealed,
)
from eventstore.log import Damaged, NewerRules, Unfit, Unsigned, WrittenByNewer, WrittenOn
from eventstore.upcasters import UPCASTERS, upcast
from eventstore.wire import Malformed, parse
from transparency.tree import Frontier, Kept

KEPT: Final = 4_096
"""How many streams' states stay in memory."""


class _Kind(msgspec.Struct):
    kind: str


_kinds: Final = msgspec.json.Decoder(list[_Kind]).decode
_parts: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_kind_of: Final = msgspec.json.Decoder(_Kind).decode
_facts: Final[TypeAdapter[Fact]] = TypeAdapter(Annotated[Fact, Field(discriminator="kind")])


class UnreadableEntry(Exception):
    """A stored entry is whole, and cannot be understood by this release: a newer one wrote it."""

    def __init__(self, entry: Entry, why: str, state: Stream[Any] | None = None) -> None:
        super().__init__(f"entry {entry.position} ({entry.kind} on {entry.stream}): {why}")
        self.position = entry.position
        self.state = state
        """The last state of its stream that could be read, for whoever folds a stream."""


class Decision(NamedTuple):
    """What follows from a submission at the replica's head: the entry to append, and its events."""

    entry: Entry
    events: Sequence[Event]
    refusal: Refusal | None


class Mark(NamedTuple):
    """Where a replica can be taken back to."""

    head: Head
    register: Register
    before: dict[str, Stream[Any]]
    """The states of the streams that were decided on since, as they were."""
    frontier: Frontier | None
    kept: list[Kept]
    """What is to be kept of the tree of the entries since, when they become durable."""


class Replica:
    """A fold of the log up to `head`. Holds states of streams it was given or has seen begin; the rest must be loaded.

    Everything it holds is persistent data, so going back to a mark costs nothing: a batch that could not be appended
    leaves no trace.
    """

    def __init__(self, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG, salts: Salts = random_salts) -> None:
        """Of these processes; what it decides is sealed with these salts."""
        self.head: Head = EMPTY
        self.first = ""
        """The hash of the log's first entry; empty before it."""
        self.register: Register = Register()
        self._frontier: Frontier | None = None
        self._ungrown: list[bytes] = []
        """The hashes of the entries after it: the tree grows by many at once."""
        self.processes = processes
        self.salts = salts
        self._streams: OrderedDict[str, Stream[Any]] = OrderedDict()
        self._marks: list[Mark] = []
        self._passing: set[tuple[str, str]] = set()
        """Processes, each with a kind of its events that was read once and is no fact of the register."""
        self._parked: dict[str, int] = {}
        """Streams on which a newer release wrote what this one cannot read, each with the first such entry."""
        self._beyond: Unfit | None = None

    @property
    def durable(self) -> Head:
        """The head without what was decided and may still be taken back."""
        return self._marks[0].head if self._marks else self.head

    @property
    def frontier(self) -> Frontier | None:
        """The edge of the tree up to the head, for who signs it; extended from when it was set."""
        if self._frontier is not None and self._ungrown:
            self._frontier, kept = self._frontier.extended(self._ungrown)
            self._ungrown = []
            if kept and self._marks:
                self._marks[-1].kept.extend(kept)
        return self._frontier

    @frontier.setter
    def frontier(self, frontier: Frontier | None) -> None:
        self._frontier, self._ungrown = frontier, []

    @property
    def head_time(self) -> datetime:
        """The time of the last entry."""
        return instant(self.head.at)

    def copy(self) -> Replica:
        """Another replica that stands where this one does, and goes its own way; only while no mark is held."""
        assert not self._marks, "what may still be taken back belongs to one replica"
        other = Replica(self.processes, self.salts)
        other.head, other.first, other.register, other._streams = self.head, self.first, self.register, self._streams.copy()
        other._parked, other._beyond, other.frontier = dict(self._parked), self._beyond, self.frontier
        return other

    @property
    def beyond(self) -> Unfit | None:
        """Why nothing may be decided after the head: a newer release wrote what this one cannot take in. Streams can still be looked at."""
        if self._beyond is None and falls(RULES, self.head.rules):
            self._beyond = NewerRules(f"rules {self.head.rules} decided entry {self.head.position}, and this release has rules {RULES}")
        return self._beyond

    # ------------------------------------------------------------ streams

    def park(self, stream: str, position: int) -> None:
        """Leaves a stream to a newer release, which wrote this entry."""
        self._parked.setdefault(stream, position)
        self._streams.pop(stream, None)

    def require_readable(self, stream: str) -> None:
        """Raises `WrittenOn` for a stream that is left to a newer release."""
        if stream in self._parked:
            raise WrittenOn(stream, self._parked[stream])

    def process_of(self, stream: str) -> Process[Any, Any, Any]:
        """The process of a stream. Raises `Malformed` for a name that no process has."""
        try:
            name = process_of(stream)
        except ValueError as error:
            raise Malformed(str(error)) from error
        if name not in self.processes:
            raise Malformed(f"there is no process {name!r}; there are {', '.join(self.processes)}")
        return self.processes[name]

    def missing(self, streams: Iterable[str]) -> Sequence[str]:
        """Those of these streams whose state must be loaded before they can be decided on."""
        return [stream for stream in dict.fromkeys(streams) if stream not in self._streams and stream not in self._parked]

    def put(self, stream: str, state: Stream[Any]) -> None:
        """Gives the replica a stream's state as of its head."""
        self._streams[stream] = state
        self._streams.move_to_end(stream)

    def get(self, stream: str) -> Stream[Any]:
        """A stream's state as of the head. `KeyError` when it is not held."""
        return self._streams[stream]

    @property
    def crowded(self) -> bool:
        """Whether there is something to trim."""
        return len(self._streams) > KEPT

    def trim(self) -> None:
        """Forgets the streams longest unused beyond `KEPT`; only while no mark is held."""
        while len(self._streams) > KEPT:
            self._streams.popitem(last=False)

    def fold(self, stream: str, entries: Iterable[Entry], state: Stream[Any] | None = None) -> Stream[Any]:
        """The state of a stream after more of its entries. Raises `UnreadableEntry` with the state before, and `Damaged`."""
        process = self.process_of(stream)
        state = state or Stream(process.initial)
        for entry in entries:
            try:
                events = self.events_of(process, entry)
            except UnreadableEntry as error:
                error.state = state
                raise
            for event in events:
                state = evolve(process, state, event)
        return state

    @staticmethod
    def events_of(process: Process[Any, Any, Any], entry: Entry) -> Sequence[Event]:
        """The events of an entry, of whatever age. Raises `UnreadableEntry`, or `Damaged` when it is not whole."""
        if entry.outcome != ACCEPTED:
            return ()
        try:
            events: Sequence[Event] = process.events.validator.validate_json(entry.body)
        except ValidationError as first:
            _require_whole(entry)
            try:
                events = process.events.validate_json(upcast(entry.body))
            except ValueError:
                raise UnreadableEntry(entry, str(first)) from first
        return events

    # ------------------------------------------------------------ following the log

    def follow(self, entries: Iterable[Entry]) -> None:
        """Takes in entries that others appended right after the head. Raises `Damaged`.

        What this release cannot read is passed over: its stream is left to a newer release, or, where the register needs it, all of
        the log is from then on (`beyond`).
        """
        for entry in entries:
            assert entry.position == self.head.position + 1, "a follower must not skip an entry"
            if entry.previous != self.head.hash:
                raise Damaged(entry.position, "it does not follow the entry before it")
            if flaw := flaw_of(entry):
                raise Damaged(entry.position, f"it {flaw}")
            if self._passes_by(entry):
                self._advance(entry)
            elif self.beyond is not None or falls(RULES, entry.rules):
                self._look_at(entry)
            else:
                try:
                    process = self.process_of(entry.stream)
                    events = self.events_of(process, entry)
                except (Malformed, UnreadableEntry):
                    self.pass_over(entry)
                    continue
                self.take(entry, process, events)
                self._learn(entry, events)

    def pass_over(self, entry: Entry) -> None:
        """Takes in of an entry that cannot be read what the register needs, and leaves its stream to a newer release. Raises `Damaged`."""
        if entry.outcome == ACCEPTED:
            _require_whole(entry)
        self.park(entry.stream, entry.position)
        register, kind = self.register, ""
        try:
            for part in _parts(upcast(entry.body)) if entry.outcome == ACCEPTED else ():
                kind = _kind_of(part).kind
                if kind in FACT_KINDS:
                    register = note(register, _facts.validate_json(bytes(part)))
            if self._beyond is None:
                self.register = register
        except ValidationError:
            self._beyond = WrittenByNewer(f"a newer release stated a {kind} in entry {entry.position}, which this release cannot take in")
        self._advance(entry)

    def _look_at(self, entry: Entry) -> None:
        """Takes in an entry for those who look only: its stream's state where it can be read, and no fact, for some may be missing."""
        state = self._streams.get(entry.stream)
        if state is not None:
            try:
                self.put(entry.stream, self.fold(entry.stream, (entry,), state))
            except Exception:  # noqa: BLE001  what newer rules made of a stream may be anything, and nothing is decided on it
                self.park(entry.stream, entry.position)
        self._advance(entry)

    def _passes_by(self, entry: Entry) -> bool:
        """Whether nothing here changes by an entry, as its kinds tell without reading all of it: most entries of others are of that sort."""
        if entry.stream in self._streams:
            return False
        if entry.outcome != ACCEPTED:
            return True
        try:
            return all((_process(entry), event.kind) in self._passing for event in _kinds(entry.body))
        except msgspec.MsgspecError:
            return False

    def _learn(self, entry: Entry, events: Sequence[Event]) -> None:
        """Takes down which kinds of events pass the register by; kinds that were read as others are not among them."""
        for event in events:
            if not is_fact(event) and event.kind not in UPCASTERS:
                self._passing.add((_process(entry), event.kind))

    def mark(self) -> Mark:
        """Where the replica stands, to come back to with `back`; later marks stand on earlier ones."""
        self._marks.append(Mark(self.head, self.register, {}, self.frontier, []))
        return self._marks[-1]

    def back(self, mark: Mark) -> None:
        """Undoes everything decided since the mark, and since the marks after it."""
        while (last := self._marks.pop()) is not mark:
            self._streams.update(last.before)
        self._streams.update(mark.before)
        self.head, self.register, self.frontier = mark.head, mark.register, mark.frontier
        self.first = self.first if self.head.position else ""

    def keep(self, mark: Mark) -> None:
        """What was decided since the oldest mark stands."""
        assert self._marks[0] is mark, "batches become durable in their order"
        del self._marks[0]

    # ------------------------------------------------------------ deciding

    def due(self, submission: Submission) -> datetime | None:
        """When the deadline comes that a submission answers; `None` when it answers none. Raises `Malformed`.

        Who gives the stream's own deadline, under its id, answers it, whatever instant they name or leave out. Another process may tell
        the stream the same command under an id of its own, before its deadline: that is no answer to it.
        """
        if submission.actor != SERVICE:
            return submission.due
        stream = self._streams[submission.stream]
        standing = self.process_of(submission.stream).agenda(stream.state).deadline
        if standing is None or standing.command.kind.encode() not in submission.command:
            return submission.due
        command = standing.command.model_dump(mode="json")
        if submission.command_id != deadline_id(submission.stream, stream.version, standing.at, command):
            return submission.due
        return standing.at if submission.due is None else max(standing.at, submission.due)

    def decide(self, submission: Submission, at: datetime, vouched: Vouched | None = None) -> Decision:
        """The entry that records this submission next, at this time (in UTC) or the head's, already taken in.

        Where nothing is `vouched` for it, it is believed. Raises `Malformed` for what is no command here, `Unauthorised` and `NotOwed` for
        what leaves no entry, `WrittenOn` for a stream that is left to a newer release, and an `Unfit` when all of the log is.
        """
        if self.beyond is not None:
            raise self.beyond
        self.require_readable(submission.stream)
        process = self.process_of(submission.stream)
        command = parse(process, submission.command)
        now = max(at, self.head_time)
        events, refusal = self._judged(process, submission, command, now, vouched)
        entry = sealed(
            self.head.position + 1, submission.stream, submission.command_id, command.kind, submission.actor, microseconds(now), RULES,
            submission.command, submission.signed, submission.signature,
            ACCEPTED if refusal is None else REFUSED,
            encode_events(events) if refusal is None else encode_json(refusal),
            self.head.hash,
            self.salts(2 if refusal else 1 + len(events)),
        )  # fmt: skip
        if refusal is None or self._knows(submission.actor, vouched):
            self.take(entry, process, events)
        return Decision(entry, events, refusal)

    def judge(self, entry: Entry, vouched: Vouched | None = None) -> tuple[Sequence[Event], Refusal | None]:
        """What the rules of this release say of the command of the entry after the head. Nothing is taken in. Raises as `decide` does."""
        process = self.process_of(entry.stream)
        command = parse(process, entry.command)
        if command.kind != entry.kind:
            raise Malformed(f"the command is a {command.kind}, not a {entry.kind[:40]}")
        return self._judged(process, entry, command, instant(entry.at), vouched)

    def permitted(self, entry: Entry, vouched: Vouched) -> Refusal | None:
        """The refusal of what stands behind the command of the entry after the head, which older rules decided; none where it suffices.

        Raises `Malformed`, `Unauthorised` and `NotOwed`.
        """
        process = self.process_of(entry.stream)
        try:
            self._permit(process, entry, parse(process, entry.command), instant(entry.at), vouched)
        except Refused as refused:
            return Refusal.of(refused)
        return None

    def _knows(self, actor: str, vouched: Vouched | None) -> bool:
        return self.register.knows(actor) if vouched is None else is_known(vouched.authority, self.register, actor)

    def _judged(
        self, process: Process[Any, Any, Any], given: Given, command: Command, now: datetime, vouched: Vouched | None
    ) -> tuple[Sequence[Event], Refusal | None]:
        register, mandate, stream = self.register, None, self._streams[given.stream]
        if register.mandates and given.actor == SERVICE:
            mandate = mandate_for(register, given.stream, msgspec.json.decode(given.command), given.actor, now)
        proven = stated_by(command) if vouched is None else vouched.proven
        context = Context(
            now, given.actor, StreamId(given.stream), register, mandate, stream.owed, stream.failed, self.head.position + 1, given.command,
            stream.delayed, proven,
        )  # fmt: skip
        if vouched is not None and self.head.position and not register.signing and command.kind != BEGINS:
            raise Unsigned(self.head.position)
        try:
            if vouched is not None:
                self._permit(process, given, command, now, vouched)
            return decide(process, stream, command, context), None
        except Refused as refused:
            return (), Refusal.of(refused)

    def _permit(self, process: Process[Any, Any, Any], given: Given, command: Command, now: datetime, vouched: Vouched) -> None:
        source = self._streams.get(vouched.source) if vouched.source is not None else None
        permit(vouched, given, command, self._place(process, given.stream, now), source)

    def _advance(self, entry: Entry) -> None:
        self.head = Head.of(entry)
        if entry.position == 1:
            self.first = entry.hash.hex()
        if self._frontier is not None:
            self._ungrown.append(entry.hash)

    def _place(self, process: Process[Any, Any, Any], name: str, now: datetime) -> Place:
        stream = self._streams[name]

        def owed() -> Mapping[str, Deadline]:
            deadlines = process.agenda(stream.state).deadlines
            return {deadline_id(name, stream.version, each.at, each.command.model_dump(mode="json")): each for each in deadlines}

        return Place(self.first, now, self.register, stream, owed)

    def take(self, entry: Entry, process: Process[Any, Any, Any], events: Sequence[Event]) -> None:
        """Takes in the entry after the head, whose events these are."""
        state = self._streams.get(entry.stream)
        if state is not None:
            if self._marks:
                self._marks[-1].before.setdefault(entry.stream, state)
            for event in events:
                state = evolve(process, state, event)
            self.put(entry.stream, state)
        for event in events:
            self.register = note(self.register, event)
        self._advance(entry)


def _require_whole(entry: Entry) -> None:
    """Raises `Damaged` for an entry that is not as it was recorded, or that holds no events."""
    if flaw := flaw_of(entry):
        raise Damaged(entry.position, f"it {flaw}")
    try:
        _kinds(entry.body)
    except msgspec.MsgspecError as error:
        raise Damaged(entry.position, "its events are not readable JSON") from error


def _process(entry: Entry) -> str:
    return entry.stream.partition("/")[0]
