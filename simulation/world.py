"""Every process on a virtual clock: years in moments, for laws, rehearsals and what-ifs.

The simulation does what the durable shell does: it carries out owed steps, gives deadlines when they come, and records every
outcome. What the outside world answers is scripted. Steps that are shown together are carried out in an order of chance, as on
many workers; one seed is one order.

A simulation begins with an empty log, or goes on from one (`resumed`): what stood there stands, what was owed is carried out, and the
simulated bank takes the account up where the real one left it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Final

from domain import process
from domain.catalog import process_for
from domain.kernel import SERVICE, Agenda, Deadline, Step, derived_id, process_of
from domain.run.commands import LookAtTelemetry
from domain.run.state import Running
from domain.stream import Stream, deadline_id, failure_id, letter_id, outcome_id
from domain.treasury.commands import LookForStatements
from domain.treasury.state import Open
from eventstore.answers import Recorded
from eventstore.clock import MovedClock
from eventstore.entries import SALT_BYTES, Salts, Submission
from eventstore.log import Log
from eventstore.recorder import Recorder, Standing
from eventstore.wire import canonical_command
from simulation import bank
from simulation.bank import Bank, account_of
from simulation.outside import ANSWERS, silent

Outside = Callable[[Step], Awaitable[dict[str, Any]]]
"""What the outside world answers to a step: its outcome as a command."""

PATIENCE: Final = 10_000
"""Steps or deadlines in a row after which a simulation that does not come to rest is a bug."""


async def agreeable(step: Step) -> dict[str, Any]:
    """An outside world in which everything is done, and nobody is on a sanctions list."""
    return ANSWERS["screen"](step) if step.kind == "screen" else {"kind": "step_done", "step": step.key}


def salts_of(seed: int) -> Salts:
    """The salts of a simulation's log, by chance."""
    chance = Random(f"salts of {seed}")  # noqa: S311  one seed is one history, and nothing of it is secret
    return lambda parts: chance.randbytes(SALT_BYTES * parts)


class Simulation:
    """A consortium on a virtual clock with a bank of its own, used by one task at a time.

    Without `idle_looks` a treasury looks for statements only when its bank has written one since, at the instant at which it would have
    found it anyway; and nobody looks at a run any more that has fallen silent. Only who knows what the outside world will do may leave
    them out: a real account is looked at every day, for money that nobody expects comes, and money that nobody ordered goes.
    """

    def __init__(self, start: datetime, log: Log, outside: Outside = agreeable, seed: int = 0, *, idle_looks: bool = True) -> None:
        self.clock = MovedClock(start)
        self.bank = Bank(lambda: self.now, rings=self._ring)
        self.recorder = Recorder(log, clock=self.clock, salts=salts_of(seed))
        self._outside = outside
        self._idle_looks = idle_looks
        self._banks: dict[str, Bank] = {}
        """Of the treasuries whose account was taken up; `bank` serves every other."""
        self._begun_at = 0
        """The position of the log's head at the beginning."""
        self._streams: dict[str, tuple[int, Stream[Any]]] = {}
        """Each with the position that it was looked at last."""
        self._agendas: dict[str, Agenda] = {}
        self._owing: set[str] = set()
        """Streams that owe a step."""
        self._alarms: list[tuple[datetime, str]] = []
        """A heap of the deadlines of streams; one that stands no longer is dropped when it comes to the top."""
        self._numbers = count(1)
        self._chance = Random(seed)  # noqa: S311  an order, no secret

    @classmethod
    async def resumed(
        cls, log: Log, start: datetime | None = None, outside: Outside = silent, seed: int = 0, *, idle_looks: bool = False
    ) -> Simulation:
        """A simulation that goes on from a log, and writes on it: whoever looks at a real one gives a copy.

        It begins at `start`, never before the last entry. Raises `LogUnavailable` for a log that this release cannot go on from.
        """
        simulation = cls(datetime.min.replace(tzinfo=UTC), log, outside, seed, idle_looks=idle_looks)
        await simulation._take_up(start)
        return simulation

    async def _take_up(self, start: datetime | None) -> None:
        last, position = dict[str, int](), 0
        while entries := await self.recorder.log.read(position):
            position = entries[-1].position
            last |= {entry.stream: entry.position for entry in entries}
        replica = await self.recorder.replica()
        if replica.beyond is not None:
            raise replica.beyond
        self._begun_at = position
        self.clock.to(max(start or replica.head_time, replica.head_time))
        for stream in sorted(last):
            standing = await self.recorder.standing(stream)
            if isinstance(standing.stream.state, Open):
                self._banks[stream] = Bank(lambda: self.now, account_of(stream, standing.stream.state), self._ring)
            self._keep(stream, last[stream], standing.stream)
        if replica.register.version:
            self.bank = self._banks.get(f"treasury/{replica.register.charter.treasury.account}", self.bank)

    @property
    def now(self) -> datetime:
        """The time on the virtual clock."""
        return self.clock.now()

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str = "") -> Recorded:
        """A person gives a command now; whatever it brings about at once is carried out."""
        recorded = await self._record(stream, command, by, command_id or self._new_id(stream))
        await self.settle()
        return recorded

    def _new_id(self, stream: str) -> str:
        """An id that no simulation before this one gave on the log."""
        begun = [str(self._begun_at)] if self._begun_at else []
        return derived_id(stream, "simulated", *begun, str(next(self._numbers)))

    async def settle(self) -> None:
        """Carries out every owed step, and those that follow from them."""
        for _ in range(PATIENCE):
            owed = [
                (stream, step, self._streams[stream][1].tries[step.key])
                for stream in sorted(self._owing)
                for step in self._agendas[stream].steps
            ]
            if not owed:
                return
            self._chance.shuffle(owed)
            for stream, step, attempt in owed:
                await self._carry_out(stream, step, attempt)
        raise AssertionError("the simulation does not come to rest: steps are owed again and again")

    async def advance(self, to: datetime) -> None:
        """Lets time pass: every deadline on the way comes at its instant, and what follows is carried out."""
        for _ in range(PATIENCE):
            await self.settle()
            due = self._next()
            if due is None or due[0] > to:
                self.clock.to(to)
                return
            self.clock.to(due[0])
            await self._deadline(due[1])
        raise AssertionError("the simulation does not come to rest: deadlines come again and again")

    async def until(self, holds: Callable[[], bool]) -> None:
        """Lets time pass, deadline by deadline, until something holds. `LookupError` when nothing is due that could bring it."""
        for _ in range(PATIENCE):
            if holds():
                return
            due = self._next()
            if due is None:
                raise LookupError("nothing is due any more")
            self.clock.to(due[0])
            await self._deadline(due[1])
            await self.settle()
        raise AssertionError("the simulation does not come to what is waited for")

    def standing(self, stream: str) -> Standing:
        """What is true and owed on a stream. `KeyError` for one that nothing happened on."""
        return self.recorder.view(stream, *self._streams[stream])

    def stream(self, stream: str) -> Stream[Any]:
        """What is true on a stream, without what people are shown of it. `KeyError` as in `standing`."""
        return self._streams[stream][1]

    def streams(self) -> tuple[str, ...]:
        """Every stream on which something happened, by name."""
        return tuple(sorted(self._streams))

    def _next(self) -> tuple[datetime, str] | None:
        """The deadline that comes first, and the stream it stands on; by the streams' names among those of one instant."""
        while self._alarms:
            at, stream = self._alarms[0]
            if self._due(stream) == at:
                return at, stream
            heappop(self._alarms)
        return None

    def _due(self, stream: str) -> datetime | None:
        """When the next deadline of a stream comes; a look that would find nothing does not come."""
        found = (self._comes_at(stream, deadline) for deadline in self._agendas[stream].deadlines)
        return min(filter(None, found), default=None)

    def _comes_at(self, stream: str, deadline: Deadline) -> datetime | None:
        """When a deadline comes; `None` for a look as long as it would find nothing, where such looks are left out."""
        if self._idle_looks:
            return deadline.at
        match deadline.command:
            case LookForStatements():
                every = timedelta(hours=self.recorder.register.charter.treasury.statement_hours)
                return self._bank_of(stream).shows_from(deadline.at, every)
            case LookAtTelemetry():
                state = self._streams[stream][1].state
                return None if isinstance(state, Running) and state.alarm == "silent" else deadline.at
            case _:
                return deadline.at

    def _ring(self) -> None:
        """The bank has booked something: looks for statements come again."""
        for stream in self._agendas:
            if process_of(stream) == "treasury":
                self._set_alarm(stream)

    def _set_alarm(self, stream: str) -> None:
        at = self._due(stream)
        if at is not None:
            heappush(self._alarms, (at, stream))

    def _bank_of(self, treasury: str) -> Bank:
        return self._banks.get(treasury, self.bank)

    async def _deadline(self, stream: str) -> None:
        deadline = self._agendas[stream].deadline
        assert isinstance(deadline, Deadline)
        command = deadline.command.model_dump(mode="json")
        await self._record(stream, command, SERVICE, deadline_id(stream, self._streams[stream][1].version, deadline.at, command))
        assert self._agendas[stream].deadline != deadline, f"{deadline.command.kind} on {stream} came, and still stands"

    async def _carry_out(self, stream: str, step: Step, attempt: int) -> None:
        outcome = await self._answer(stream, step)
        recorded = await self._record(stream, outcome, SERVICE, outcome_id(stream, step.key, attempt))
        if recorded.refusal is not None:
            failure = {"kind": "fail_step", "step": step.key, "reason": f"{recorded.refusal.rule}: {recorded.refusal.message}"}
            await self._record(stream, failure, SERVICE, failure_id(stream, step.key, attempt))

    async def _answer(self, stream: str, step: Step) -> dict[str, Any]:
        if step.kind == "tell":
            return await self._tell(stream, step)
        return await (self._bank_of(stream).answer(step) if step.kind in bank.STEPS else self._outside(step))

    async def _tell(self, stream: str, step: Step) -> dict[str, Any]:
        target, refused = step.data["stream"], ""
        for retries in range(self._streams[stream][1].retried.get(step.key, 0) + 1):
            recorded = await self._record(target, step.data["command"], SERVICE, letter_id(stream, step.key, retries))
            if recorded.refusal is None:
                return {"kind": "step_done", "step": step.key}
            refused = f"{recorded.refusal.rule}: {recorded.refusal.message}"
        return {"kind": "fail_step", "step": step.key, "reason": f"{target} refused: {refused}"}

    async def _record(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> Recorded:
        recorded = await self.recorder.record(Submission(stream, command_id, by, canonical_command(command)))
        self._keep(stream, recorded.position, recorded.stream)
        return recorded

    def _keep(self, stream: str, position: int, state: Stream[Any]) -> None:
        """Keeps the state of a stream as of a position, and what is owed there."""
        agenda = process.agenda(process_for(stream), state)
        self._streams[stream], self._agendas[stream] = (position, state), agenda
        (self._owing.add if agenda.steps else self._owing.discard)(stream)
        self._set_alarm(stream)
