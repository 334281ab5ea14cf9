"""The commands of a proposal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain import letters
from domain.kernel import Command, Due, MemberId, Prose, Slug
from domain.letters import Terms
from domain.proposal.terms import Choice


class AmendProposal(Terms, Command):
    """Announce other terms before the opening; the notice begins again. By the sponsor."""

    kind: Literal["amend_proposal"] = "amend_proposal"


class WithdrawProposal(Command):
    """Take the proposal back while nobody has voted and the vote is not over. By the sponsor."""

    kind: Literal["withdraw_proposal"] = "withdraw_proposal"


class OpenVote(Due):
    """The notice is over: freeze the roll."""

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


class CloseVote(Due):
    """The voting time is over."""

    kind: Literal["close_vote"] = "close_vote"


class Execute(Due):
    """The timelock is over."""

    kind: Literal["execute"] = "execute"


class EndMandate(Due):
    """The mandate of a motion that was refused is over."""

    kind: Literal["end_mandate"] = "end_mandate"


ProposalCommand = (
    letters.Propose | AmendProposal | WithdrawProposal | OpenVote | CastBallot | DeclareConflict | CloseVote | Execute | EndMandate
)
