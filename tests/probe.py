"""A process made for looking at the shell: it owes steps, tells its neighbour, waits for a deadline, and closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from domain.kernel import TELL, Agenda, Command, Deadline, Due, Event, Headline, Instant, Outcome, Refused, Step
from domain.process import Context, Process
from domain.stream import Common, StepOwed, owe


class Begin(Command):
    """Owe `work` steps and ring the bells, one after the other, after so many seconds."""

    kind: Literal["begin"] = "begin"
    work: int = 0
    ring_seconds: int = 3_600
    bells: int = 1
    tell: str = ""


class Poke(Command):
    """Count."""

    kind: Literal["poke"] = "poke"


class Muffle(Command):
    """Ring no bell and take no poke, or again."""

    kind: Literal["muffle"] = "muffle"
    muffled: bool


class Finish(Command):
    """Close."""

    kind: Literal["finish"] = "finish"


class Ring(Due):
    """By the system, when it is due."""

    kind: Literal["ring"] = "ring"
    bell: int = 1


class Worked(Outcome):
    """A step was carried out."""

    kind: Literal["worked"] = "worked"
    result: str


ProbeCommand = Begin | Poke | Muffle | Finish | Ring | Worked


class Begun(Event):
    """The probe runs."""

    kind: Literal["begun"] = "begun"
    rings_at: Instant
    bells: int = 1


class Poked(Event):
    """One more."""

    kind: Literal["poked"] = "poked"


class Muffled(Event):
    """No bell rings and no poke is taken, or they are again."""

    kind: Literal["muffled"] = "muffled"
    muffled: bool


class Rung(Event):
    """The next bell's deadline came."""

    kind: Literal["rung"] = "rung"


class WorkDone(Event):
    """One more result."""

    kind: Literal["work_done"] = "work_done"
    result: str


class Finished(Event):
    """The end."""

    kind: Literal["finished"] = "finished"


ProbeEvent = Begun | Poked | Muffled | Rung | WorkDone | Finished


@dataclass(frozen=True, slots=True)
class Probe:
    """What happened so far."""

    begun: bool = False
    pokes: int = 0
    results: tuple[str, ...] = ()
    rings_at: datetime | None = None
    bells: int = 0
    rung: int = 0
    muffled: bool = False
    finished: bool = False


def poked_by(target: str, key: str) -> Step:
    """The step that pokes another probe."""
    return Step(kind=TELL, key=key, data={"stream": target, "command": {"kind": "poke"}})


def decide(state: Probe, command: ProbeCommand, context: Context) -> Sequence[ProbeEvent | StepOwed]:
    if state.finished:
        raise Refused("finished", "the probe is finished", remedy="take another")
    match command:
        case Begin(work=work, ring_seconds=seconds, bells=bells, tell=target):
            told = [owe(poked_by(target, f"tell:{target}"))] if target else []
            steps = [owe(Step(kind="work", key=f"work:{number:03}")) for number in range(work)]
            return (Begun(rings_at=context.at + timedelta(seconds=seconds), bells=bells), *steps, *told)
        case Poke():
            if state.muffled:
                raise Refused("muffled", "a muffled probe is not poked", remedy="take the muffle off")
            return (Poked(),)
        case Muffle(muffled=muffled):
            return (Muffled(muffled=muffled),)
        case Finish():
            return (Finished(),)
        case Ring(bell=bell):
            context.require_service()
            return () if state.muffled or bell <= state.rung else (Rung(),)
        case Worked(result=result):
            return (WorkDone(result=result),)


def evolve(state: Probe, event: ProbeEvent) -> Probe:
    match event:
        case Begun(rings_at=at, bells=bells):
            return replace(state, begun=True, rings_at=at, bells=bells)
        case Poked():
            return replace(state, pokes=state.pokes + 1)
        case Muffled(muffled=muffled):
            return replace(state, muffled=muffled)
        case Rung():
            return replace(state, rung=state.rung + 1)
        case WorkDone(result=result):
            return replace(state, results=(*state.results, result))
        case Finished():
            return replace(state, finished=True)


def agenda(state: Probe) -> Agenda:
    if state.rings_at is None or state.muffled or state.finished or state.rung == state.bells:
        return Agenda(closed=state.finished)
    return Agenda((Deadline(state.rings_at, Ring(bell=state.rung + 1)),))


def describe(state: Probe) -> Headline:
    phase = "finished" if state.finished else "running" if state.begun else "new"
    return Headline(phase, f"{state.pokes} pokes, {len(state.results)} results", waits_for=() if state.finished else ("member:helio",))


PROBE: Final[Process[Any, Any, Any]] = Process(
    name="probe",
    initial=Probe(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[ProbeCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[ProbeEvent | Common, Field(discriminator="kind")], ...]),
)
