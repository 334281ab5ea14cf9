"""What a proposal is told and what is stored of it for ever: its commands and its events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from domain.charter import DecisionRule
from domain.forms import Form
from domain.kernel import STREAM, Command, Event, Instant, MemberId, Message, Name, PersonId, Prose, Slug
from domain.money import Amount
from domain.register import MandateGranted, VoteDecided

# ---------------------------------------------------------------- parts


class Motion(Message):
    """What a passed proposal does: one command on one stream, which is authorised exactly as it is written here.

    `otherwise` is given when it does not pass; only a process that asks for a vote may say so.
    """

    stream: Annotated[str, Field(pattern=rf"^{STREAM.pattern}$", max_length=100), Form("a stream, like round/atlas-1", "round/atlas-1")]
    command: dict[str, Any]
    """A command of that stream: its kind and its fields."""
    otherwise: dict[str, Any] | None = None
    """What is given when it does not pass; a person leaves it out."""


class Option(Message):
    """One of several to choose from; with its cost when a budget is shared."""

    id: Slug
    label: Name
    cost: Amount | None = None


class Terms(Message):
    """What is voted on."""

    title: Name
    text: Prose = ""
    motion: Motion | None = None
    """What is done when it passes; the class of decision follows from it."""
    decision: Slug | None = None
    """The class of decision, where no motion tells it."""
    options: Annotated[tuple[Option, ...], Field(max_length=50)] = ()
    """What is chosen from, where options are ranked or share a budget."""
    budget: Amount | None = None
    """What the options share."""
    opens_at: Instant | None = None
    """Later than the charter's notice, when wished."""


Choice = Literal["yes", "no", "abstain", "consent", "object"]


class RollEntry(Message):
    """A seat's vote as it was frozen: whose it is, and what it weighs. Without members it is a board member's own."""

    seat: Slug
    members: tuple[MemberId, ...] = ()
    weight: int


# ---------------------------------------------------------------- commands


class Propose(Terms, Command):
    """Put something to the vote. By a representative of an active member, or an office that sponsors such decisions."""

    kind: Literal["propose"] = "propose"


class AmendProposal(Terms, Command):
    """Announce other terms before the opening; the notice begins again. By the sponsor."""

    kind: Literal["amend_proposal"] = "amend_proposal"


class WithdrawProposal(Command):
    """Take the proposal back before anybody voted and the vote is over. By the sponsor."""

    kind: Literal["withdraw_proposal"] = "withdraw_proposal"


class OpenVote(Command):
    """The notice is over: freeze the roll. By the service."""

    kind: Literal["open_vote"] = "open_vote"


class CastBallot(Command):
    """Vote, or change the vote. By a representative of a member on the roll; by a board member where the board votes."""

    kind: Literal["cast_ballot"] = "cast_ballot"
    member: MemberId | None = None
    choice: Choice | None = None
    ranking: Annotated[tuple[Slug, ...], Field(max_length=50)] = ()
    """The options from the best down; those left out are tied at the end."""
    approves: frozenset[Slug] = frozenset()
    """The projects that are to share the budget."""


class DeclareConflict(Command):
    """Step back from a decision that concerns oneself. By a representative; final."""

    kind: Literal["declare_conflict"] = "declare_conflict"
    member: MemberId | None = None
    reason: Prose


class CloseVote(Command):
    """The voting time is over. By the service."""

    kind: Literal["close_vote"] = "close_vote"


class Execute(Command):
    """The timelock is over. By the service."""

    kind: Literal["execute"] = "execute"


ProposalCommand = Propose | AmendProposal | WithdrawProposal | OpenVote | CastBallot | DeclareConflict | CloseVote | Execute

# ---------------------------------------------------------------- events


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
    funded: tuple[Slug, ...] = ()
    executes_at: Instant | None = None


class ProposalExecuted(Event):
    """The authorised command was sent on its way."""

    kind: Literal["proposal_executed"] = "proposal_executed"


ProposalEvent = (
    ProposalMade | ProposalWithdrawn | VoteOpened | BallotCast | ConflictDeclared | VoteExtended | VoteClosed | ProposalExecuted
    | VoteDecided | MandateGranted
)  # fmt: skip
