"""Every process on a virtual clock: years in moments, for laws, rehearsals and what-ifs.

The simulation does what the durable shell does: it carries out owed steps, gives deadlines when they come, and records every
outcome. What the outside world answers is scripted. Steps that are shown together are carried out in an order of chance, as on
many workers; one seed is one order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Final

from domain import process
from domain.catalog import process_for
from domain.kernel import SERVICE, Agenda, Deadline, Step, derived_id
from domain.stream import Stream, deadline_id, failure_id, letter_id, outcome_id
from eventstore.answers import Recorded
from eventstore.clock import MovedClock
from eventstore.entries import Submission
from eventstore.log import Log
from eventstore.recorder import Recorder, Standing
from eventstore.wire import canonical_command
from simulation import bank
from simulation.bank import Bank

Outside = Callable[[Step], Awaitable[dict[str, Any]]]
"""What the outside world answers to a step: its outcome as a command."""

PATIENCE: Final = 10_000
"""Steps or deadlines in a row after which a simulation that does not come to rest is a bug."""


async def agreeable(step: Step) -> dict[str, Any]:
    """An outside world in which everything works and nobody is on a sanctions list."""
    if step.kind == "screen":
        return {
            "kind": "screening_completed", "step": step.key, "list": "simulated", "list_digest": "0" * 64,
            "list_date": "2026-11-01", "list_age_days": 1, "entries": 10_000, "score": 0, "match": "",
        }  # fmt: skip
    return {"kind": "step_done", "step": step.key}


class Simulation:
    """A consortium on a virtual clock with a bank of its own, used by one task at a time."""

    def __init__(self, start: datetime, log: Log, outside: Outside = agreeable, seed: int = 0) -> None:
        self.clock = MovedClock(start)
        self.bank = Bank(lambda: self.now)
        self.recorder = Recorder(log, clock=self.clock)
        self._outside = outside
        self._streams: dict[str, tuple[int, Stream[Any]]] = {}
        """Each with the position that it was looked at last."""
        self._agendas: dict[str, Agenda] = {}
        self._owing: set[str] = set()
        """Streams that owe a step."""
        self._alarms: list[tuple[datetime, str]] = []
        """A heap of the deadlines of streams; one that stands no longer is dropped when it comes to the top."""
        self._numbers = count(1)
        self._chance = Random(seed)  # noqa: S311  an order, no secret

    @property
    def now(self) -> datetime:
        """The time on the virtual clock."""
        return self.clock.now()

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str = "") -> Recorded:
        """A person gives a command now; whatever it brings about at once is carried out."""
        recorded = await self._record(stream, command, by, command_id or derived_id(stream, "simulated", str(next(self._numbers))))
        await self.settle()
        return recorded

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
            deadline = self._agendas[stream].deadline
            if deadline is not None and deadline.at == at:
                return at, stream
            heappop(self._alarms)
        return None

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
        return await (self.bank.answer(step) if step.kind in bank.STEPS else self._outside(step))

    async def _tell(self, stream: str, step: Step) -> dict[str, Any]:
        target, refused = step.data["stream"], ""
        for retries in range(self._streams[stream][1].retried.get(step.key, 0) + 1):
            told = await self._record(target, step.data["command"], SERVICE, letter_id(stream, step.key, retries))
            if told.refusal is None:
                return {"kind": "step_done", "step": step.key}
            refused = f"{told.refusal.rule}: {told.refusal.message}"
        return {"kind": "fail_step", "step": step.key, "reason": f"{target} refused: {refused}"}

    async def _record(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> Recorded:
        recorded = await self.recorder.record(Submission(stream, command_id, by, canonical_command(command)))
        self._note(stream, recorded)
        return recorded

    def _note(self, stream: str, recorded: Recorded) -> None:
        agenda = process.agenda(process_for(stream), recorded.stream)
        self._streams[stream], self._agendas[stream] = (recorded.position, recorded.stream), agenda
        (self._owing.add if agenda.steps else self._owing.discard)(stream)
        if agenda.deadline is not None:
            heappush(self._alarms, (agenda.deadline.at, stream))
