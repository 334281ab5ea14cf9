"""What is true of a training run, and how its events make it so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from domain.evaluation import Measured
from domain.kernel import Map, PersonId, mapping
from domain.money import display
from domain.register.facts import LeadNamed, RunReported, SuppliersNamed
from domain.run import events
from domain.run.telemetry import Watch
from domain.run.terms import Contract

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a milestone is."""

    stage: Literal["waiting", "reached", "claimed", "presented", "accepted"] = "waiting"
    claim: int = 0
    evidence: str = ""
    results: str = ""
    """The SHA-256 of the results file of the evidence, where there is one."""
    model: str = ""
    """The model that it was measured on."""
    measured: tuple[Measured, ...] = ()
    """The scores of the evidence."""
    signed: tuple[PersonId, ...] = ()
    rejected: frozenset[str] = frozenset()
    missed: bool = False
    failed: str = ""
    """Why the last claim failed; nothing while one is under way, and after one that did not."""


@dataclass(frozen=True, slots=True)
class Book:
    """A run under its contract."""

    contract: Contract
    digest: str
    version: int
    charter_version: int | None = None
    """The charter under which its milestones are judged; none is the one in force."""
    watch: Watch = Watch()
    cursor: str = ""
    look: int = 0
    looking: bool = False
    """Whether a look is under way."""
    loss_micro: int | None = None
    cost: int | None = None
    """The last cost that the trainer reported."""
    spent: int = 0
    forecast: int = 0
    lineage: int = 1
    missing: int = 0
    spikes: int = 0
    unreadable: int = 0
    """How many rows of the telemetry could not be read."""
    marks: Map[str, Mark] = field(default_factory=mapping)
    accepted_look: int = 0
    """The look that was under way, or the last one, when a milestone was accepted last."""
    question: int = 0
    question_open: bool = False
    """Whether the vote on the last question is under way."""
    overrun: int = 0
    """The forecast that was put to a vote under this contract."""
    waiting: tuple[str, ...] = ()
    """What came up during that vote, and is put to the next."""

    def mark(self, milestone: str) -> Mark:
        """How far a milestone is."""
        return self.marks.get(milestone, Mark())

    @property
    def all_accepted(self) -> bool:
        """Whether no milestone is open."""
        return all(self.mark(milestone.id).stage == "accepted" for milestone in self.contract.milestones)


@dataclass(frozen=True, slots=True)
class Unplanned:
    """Before the first contract."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A contract waits for its vote."""

    contract: Contract
    digest: str


@dataclass(frozen=True, slots=True)
class Approved:
    """The contract is approved; the money is waited for."""

    book: Book


@dataclass(frozen=True, slots=True)
class Running:
    """The training runs."""

    book: Book
    look_at: datetime
    heard_at: datetime
    advanced_at: datetime
    alarm: Literal["", "silent", "stalled"] = ""


@dataclass(frozen=True, slots=True)
class Paused:
    """The training rests."""

    book: Book
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The training is over; the run is not in the files yet."""

    book: Book
    how: Literal["completed", "stopped"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The run is in the files."""

    book: Book
    how: Literal["completed", "stopped"]


RunState = Unplanned | Planned | Approved | Running | Paused | Ended | Closed

# ---------------------------------------------------------------- evolve


def evolve(state: RunState, event: events.RunEvent) -> RunState:
    """What is true after an event."""
    if isinstance(event, events.TelemetryEvent):
        return _after_telemetry(state, event)
    if isinstance(event, events.MilestoneEvent):
        return _after_milestone(state, event)
    if isinstance(event, events.ContractEvent):
        return _after_contract(state, event)
    if isinstance(event, events.TrainingEvent):
        return _after_training(state, event)
    if isinstance(event, events.QuestionEvent):
        return _after_question(state, event)
    if isinstance(event, events.EndingEvent):
        return _after_ending(state, event)
    match event:
        case RunReported() | LeadNamed() | SuppliersNamed():
            return state


def _after_contract(state: RunState, event: events.ContractEvent) -> RunState:
    match event:
        case events.RunPlanned(contract=contract, digest=digest):
            return Planned(contract, digest)
        case events.ContractApproved():
            if isinstance(state, Unplanned | Planned):
                return Approved(Book(event.contract, event.digest, event.version, event.charter_version))
            return _with(state, _under(state.book, event))


def _after_training(state: RunState, event: events.TrainingEvent) -> RunState:
    match event:
        case events.RunStarted(at=at) | events.RunResumed(at=at):
            return Running(_book(state), at, at, at)
        case events.RunPaused(reason=reason):
            return Paused(_book(state), reason)


def _after_telemetry(state: RunState, event: events.TelemetryEvent) -> RunState:
    match event:
        case events.LookBegan(number=number, look_at=look_at):
            book = replace(_book(state), look=number, looking=True)
            return replace(state, book=book, look_at=look_at) if isinstance(state, Running) else _with(state, book)
        case events.TelemetryFollowed():
            return _after_look(state, event)
        case events.CheckpointsWritten() | events.LossDiverged():
            return state
        case events.CheckpointMissing(count=count):
            return _with(state, replace(_book(state), missing=_book(state).missing + count))
        case events.CheckpointsFound(count=count):
            return _with(state, replace(_book(state), missing=max(0, _book(state).missing - count)))
        case events.RunRestarted(lineage=lineage):
            return _with(state, replace(_book(state), lineage=lineage))
        case events.LossSpiked():
            return _with(state, replace(_book(state), spikes=_book(state).spikes + 1))
        case events.RunFellSilent():
            return replace(state, alarm="silent") if isinstance(state, Running) else state
        case events.RunStalled():
            return replace(state, alarm="stalled") if isinstance(state, Running) else state
        case events.AlarmEnded():
            return replace(state, alarm="") if isinstance(state, Running) else state


def _after_milestone(state: RunState, event: events.MilestoneEvent) -> RunState:
    match event:
        case events.MilestoneReached(milestone=name):
            return _marked(state, name, stage="reached")
        case events.MilestoneClaimed(milestone=name, claim=claim):
            return _marked(state, name, stage="claimed", claim=claim, failed="")
        case events.ClaimFailed(milestone=name, reason=reason):
            return _marked(state, name, stage="reached", failed=reason)
        case events.EvidencePresented(milestone=name, evidence=evidence):
            results, model, measured = event.results or "", event.model, event.measured
            return _marked(state, name, stage="presented", signed=(), evidence=evidence, results=results, model=model, measured=measured)
        case events.MilestoneSigned(milestone=name, by=by):
            return _marked(state, name, signed=(*_book(state).mark(name).signed, by))
        case events.MilestoneAccepted(milestone=name, by=persons):
            state = _marked(state, name, stage="accepted", signed=persons)
            return _with(state, replace(_book(state), accepted_look=_book(state).look))
        case events.MilestoneRejected(milestone=name, evidence=evidence):
            return _marked(state, name, stage="reached", signed=(), rejected=_book(state).mark(name).rejected | {evidence})
        case events.MilestoneMissed(milestone=name):
            return _came_up(_marked(state, name, missed=True), missed_why(name))


def _after_question(state: RunState, event: events.QuestionEvent) -> RunState:
    match event:
        case events.OverrunForecast(forecast=forecast):
            state = _with(state, replace(_book(state), overrun=forecast))
            return _came_up(state, overrun_why(forecast, _book(state).contract))
        case events.QuestionAsked(question=question):
            return _with(state, replace(_book(state), question=question, question_open=True, waiting=()))
        case events.QuestionSettled():
            return _with(state, replace(_book(state), question_open=False, waiting=()))


def _after_ending(state: RunState, event: events.EndingEvent) -> RunState:
    match event:
        case events.RunStopped(reason=reason):
            return Ended(_book(state), "stopped", reason)
        case events.RunCompleted():
            return Ended(_book(state), "completed")
        case events.RunClosed():
            return Closed(_book(state), state.how) if isinstance(state, Ended) else state


def missed_why(milestone: str) -> str:
    """Why a missed milestone puts the run in question, in words."""
    return f"milestone {milestone} was missed"


def overrun_why(forecast: int, contract: Contract) -> str:
    """Why an overrun puts the run in question, in words."""
    return f"it is forecast to cost {display(forecast, contract.currency)}, above its P80"


def _came_up(state: RunState, why: str) -> RunState:
    """What comes up during a vote waits for the next."""
    book = _book(state)
    return _with(state, replace(book, waiting=(*book.waiting, why))) if book.question_open else state


def _book(state: RunState) -> Book:
    assert not isinstance(state, Unplanned | Planned), "a run without an approved contract has no book"
    return state.book


def _under(book: Book, approved: events.ContractApproved) -> Book:
    """The book under another contract: evidence for the terms of the last one is worth nothing, and another day can be missed anew.

    Another source is read from its beginning; the look at the last one is waited for no longer.
    """
    contract = approved.contract
    before = {milestone.id: milestone for milestone in book.contract.milestones}
    after = {milestone.id: milestone for milestone in contract.milestones}
    marks = book.marks
    for name, mark in book.marks.items():
        if mark.stage != "accepted":
            reached = mark.stage != "waiting" and name in after and book.watch.tokens >= after[name].criteria.tokens
            same_day = name in before and name in after and before[name].due_at == after[name].due_at
            again = replace(
                mark, stage="reached" if reached else "waiting", evidence="", signed=(), failed="", missed=mark.missed and same_day
            )
            marks = marks.set(name, again)
    if contract.source != book.contract.source:
        book = replace(book, cursor="", looking=False, watch=book.watch.elsewhere())
    return replace(
        book,
        contract=contract,
        digest=approved.digest,
        version=approved.version,
        charter_version=approved.charter_version,
        overrun=0,
        marks=marks,
    )


def _with(state: RunState, book: Book) -> RunState:
    assert not isinstance(state, Unplanned | Planned), "a run without an approved contract has no book"
    return replace(state, book=book)


def _after_look(state: RunState, event: events.TelemetryFollowed) -> RunState:
    book = replace(
        _book(state),
        watch=event.watch,
        cursor=event.cursor,
        looking=False,
        loss_micro=event.loss_micro,
        cost=event.cost,
        spent=event.spent,
        forecast=event.forecast,
        unreadable=_book(state).unreadable + event.unreadable,
    )
    if isinstance(state, Running):
        return replace(state, book=book, heard_at=event.heard_at, advanced_at=event.advanced_at)
    return _with(state, book)


def _marked(state: RunState, name: str, **changes: object) -> RunState:
    book = _book(state)
    return _with(state, replace(book, marks=book.marks.set(name, replace(book.mark(name), **changes))))  # type: ignore[arg-type]
