"""The phases of a proposal, and how each event changes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from domain.charter import DecisionRule
from domain.kernel import Map, PersonId, mapping
from domain.letters import Terms
from domain.proposal import events
from domain.proposal.terms import Choice, RollEntry
from domain.proposal.voting import Tally
from domain.register.facts import ContractSteered, MandateGranted, VoteDecided


@dataclass(frozen=True, slots=True)
class Unproposed:
    """Before the announcement."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """The choice, ranking or approvals of a seat."""

    choice: Choice | None
    ranking: tuple[str, ...]
    approves: frozenset[str]


@dataclass(frozen=True, slots=True)
class Announced:
    """The notice runs."""

    terms: Terms
    sponsor: PersonId
    decision: str
    rule: DecisionRule
    charter_version: int
    opens_at: datetime


@dataclass(frozen=True, slots=True)
class Open:
    """Ballots are taken."""

    proposal: Announced
    roll: Map[str, RollEntry]
    """Every seat as it was frozen, recused ones included."""
    seats: Map[str, str]
    """The seat of each member on the roll."""
    persons: Map[str, str]
    """The seat of each board member who votes for nobody but themself. A member may have the handle of one."""
    recused: Map[str, str]
    """The seats that are in neither the quorum nor the count, and why."""
    ballots: Map[str, Ballot]
    tally: Tally
    closes_at: datetime
    extended: bool


@dataclass(frozen=True, slots=True)
class Timelocked:
    """Passed; who opposed may leave until it takes effect."""

    proposal: Announced
    result: events.VoteClosed
    executes_at: datetime


@dataclass(frozen=True, slots=True)
class Unexecuted:
    """Passed, and refused where it was to be carried out; the secretariat may try it again while the mandate stands."""

    proposal: Announced
    result: events.VoteClosed
    reason: str
    until: datetime
    """When the mandate ends."""


Ending = Literal["passed", "executed", "refused", "rejected", "lapsed"]


@dataclass(frozen=True, slots=True)
class Over:
    """The end."""

    proposal: Announced
    result: events.VoteClosed
    phase: Ending
    """How it ended."""
    reason: str = ""
    """Why what passed was not carried out, where it was refused."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Taken back."""

    proposal: Announced


ProposalState = Unproposed | Announced | Open | Timelocked | Unexecuted | Over | Withdrawn


def evolve(state: ProposalState, event: events.ProposalEvent) -> ProposalState:
    """The state after a fact."""
    match event:
        case events.ProposalMade():
            return announced_by(event)
        case events.VoteOpened():
            assert isinstance(state, Announced)
            return _opened(state, event)
        case events.BallotCast(seat=seat):
            assert isinstance(state, Open)
            tally = _uncounted(state, seat).counted(_choice_of(event), state.roll[seat].weight)
            return replace(state, ballots=state.ballots.set(seat, ballot_of(event)), tally=tally)
        case events.ConflictDeclared(seat=seat):
            assert isinstance(state, Open)
            tally = _uncounted(state, seat).without(state.roll[seat].weight)
            ballots = state.ballots.delete(seat) if seat in state.ballots else state.ballots
            return replace(state, ballots=ballots, tally=tally, recused=state.recused.set(seat, "it declared a conflict"))
        case events.VoteExtended(closes_at=closes_at):
            assert isinstance(state, Open)
            return replace(state, closes_at=closes_at, extended=True)
        case events.VoteClosed(executes_at=executes_at):
            assert isinstance(state, Open)
            return Over(state.proposal, event, event.outcome) if executes_at is None else Timelocked(state.proposal, event, executes_at)
        case events.ProposalExecuted():
            assert isinstance(state, Timelocked)
            return Over(state.proposal, state.result, "executed")
        case events.MotionRefused(reason=reason, until=until):
            assert isinstance(state, Over | Unexecuted)
            return Unexecuted(state.proposal, state.result, reason, until)
        case events.MotionCarriedOut():
            assert isinstance(state, Unexecuted)
            return Over(state.proposal, state.result, "executed")
        case events.MotionGivenUp(reason=reason):
            assert isinstance(state, Over | Unexecuted)
            return Over(state.proposal, state.result, "refused", reason)
        case events.ProposalWithdrawn():
            assert isinstance(state, Announced | Open)
            return Withdrawn(state.proposal if isinstance(state, Open) else state)
        case VoteDecided() | ContractSteered() | MandateGranted():
            return state


def announced_by(event: events.ProposalMade) -> Announced:
    """The phase that a proposal begins with."""
    return Announced(event.terms, event.sponsor, event.decision, event.rule, event.charter_version, event.opens_at)


def _opened(state: Announced, event: events.VoteOpened) -> Open:
    roll = {entry.seat: entry for entry in event.roll}
    seats = {member: entry.seat for entry in event.roll for member in entry.members}
    persons = {entry.voter: entry.seat for entry in event.roll if not entry.members}
    recused = dict.fromkeys(event.barred, "the decision is about it")
    tally = Tally(len(roll) - len(recused), sum(entry.weight for entry in event.roll if entry.seat not in recused))
    return Open(state, mapping(roll), mapping(seats), mapping(persons), mapping(recused), mapping(), tally, event.closes_at, extended=False)


def _uncounted(state: Open, seat: str) -> Tally:
    before = state.ballots.get(seat)
    return state.tally if before is None else state.tally.counted(_choice_of(before), state.roll[seat].weight, -1)


def _choice_of(ballot: Ballot | events.BallotCast) -> str:
    return ballot.choice or "chose"


def ballot_of(event: events.BallotCast) -> Ballot:
    """The ballot in the state: without the seat and the person."""
    return Ballot(event.choice, event.ranking, event.approves)
