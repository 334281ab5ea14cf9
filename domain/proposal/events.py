"""What becomes true of a proposal, stored for ever."""

from __future__ import annotations

from typing import Literal

from domain.charter import DecisionRule
from domain.kernel import Event, Instant, PersonId, Prose, Slug
from domain.letters import Terms
from domain.proposal.terms import Choice, RollEntry
from domain.register.facts import ContractSteered, MandateGranted, VoteDecided


class ProposalMade(Event):
    """A proposal was announced, or announced anew, under this rule of the charter."""

    kind: Literal["proposal_made"] = "proposal_made"
    terms: Terms
    sponsor: PersonId
    decision: Slug
    rule: DecisionRule
    charter_version: int
    opens_at: Instant


class ProposalWithdrawn(Event):
    """The sponsor took the proposal back."""

    kind: Literal["proposal_withdrawn"] = "proposal_withdrawn"


class VoteOpened(Event):
    """The roll is frozen; ballots are taken until the close."""

    kind: Literal["vote_opened"] = "vote_opened"
    roll: tuple[RollEntry, ...]
    barred: frozenset[Slug] = frozenset()
    """Seats that are recused by rule: the decision is about one of them."""
    closes_at: Instant


class BallotCast(Event):
    """A seat's one ballot, in place of any before."""

    kind: Literal["ballot_cast"] = "ballot_cast"
    seat: Slug
    person: PersonId
    choice: Choice | None = None
    ranking: tuple[Slug, ...] = ()
    approves: frozenset[Slug] = frozenset()


class ConflictDeclared(Event):
    """A seat leaves the quorum and the count, with the ballot it may have cast."""

    kind: Literal["conflict_declared"] = "conflict_declared"
    seat: Slug
    person: PersonId
    reason: Prose


class VoteExtended(Event):
    """The quorum came late: the vote closes later, once."""

    kind: Literal["vote_extended"] = "vote_extended"
    closes_at: Instant


class VoteClosed(Event):
    """The one result."""

    kind: Literal["vote_closed"] = "vote_closed"
    outcome: Literal["passed", "rejected", "lapsed"]
    heads: int
    roll_heads: int
    voted_weight: int
    roll_weight: int
    yes_weight: int
    no_weight: int
    ranking: tuple[tuple[Slug, ...], ...] = ()
    """The options from the winner down, tied ones together."""
    tied: tuple[tuple[Slug, ...], ...] = ()
    """What was tied when the votes were counted, and was put in order by the charter's tie-breaks."""
    funded: tuple[Slug, ...] = ()
    executes_at: Instant | None = None


class ProposalExecuted(Event):
    """The authorised command was sent on its way."""

    kind: Literal["proposal_executed"] = "proposal_executed"


class MotionRefused(Event):
    """The authorised command was refused where it was sent. The secretariat may try it again while its mandate stands."""

    kind: Literal["motion_refused"] = "motion_refused"
    reason: str
    until: Instant
    """The end of the mandate."""


class MotionCarriedOut(Event):
    """A motion that had been refused was carried out after all: another try was accepted, or another proposal ordered the same."""

    kind: Literal["motion_carried_out"] = "motion_carried_out"


class MotionGivenUp(Event):
    """The authorised command was not carried out, and is tried no more: its mandate ended, or the secretariat waived it."""

    kind: Literal["motion_given_up"] = "motion_given_up"
    reason: str


ProposalEvent = (
    ProposalMade
    | ProposalWithdrawn
    | VoteOpened
    | BallotCast
    | ConflictDeclared
    | VoteExtended
    | VoteClosed
    | ProposalExecuted
    | MotionRefused
    | MotionCarriedOut
    | MotionGivenUp
    | VoteDecided
    | ContractSteered
    | MandateGranted
)
