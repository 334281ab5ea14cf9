"""The result of a vote."""

from __future__ import annotations

from datetime import timedelta

from domain.kernel import MemberId
from domain.process import Context
from domain.proposal import events, ordering, voting
from domain.proposal.notices import notify_closed
from domain.proposal.rules import Events
from domain.proposal.state import Open
from domain.proposal.steering import steer
from domain.register.facts import VoteDecided


def close_vote(state: Open, context: Context) -> Events:
    """The result: by quorum and threshold, and by the method of the vote; without a timelock it is carried out at once."""
    proposal, tally, motion = state.proposal, state.tally, state.proposal.terms.motion
    quorum = voting.has_quorum(proposal.rule, tally)
    passed = quorum and (_chose(state) if proposal.rule.method in {"ranked", "budget"} else voting.carries(proposal.rule, tally))
    executes_at = context.at + timedelta(hours=proposal.rule.timelock_hours) if passed and motion else None
    ranking, tied = _order(state) if passed and proposal.rule.method == "ranked" else ((), ())
    closed = events.VoteClosed(
        outcome="passed" if passed else "rejected" if quorum else "lapsed",
        heads=tally.heads,
        roll_heads=tally.roll_heads,
        voted_weight=tally.voted,
        roll_weight=tally.roll_weight,
        yes_weight=tally.yes,
        no_weight=tally.no,
        executes_at=executes_at,
        ranking=ranking,
        tied=tied,
        funded=_funded(state) if passed and proposal.rule.method == "budget" else (),
    )
    decided = VoteDecided(
        proposal=context.stream,
        concerns=motion.stream if motion else "",
        passed=passed,
        yes=_members(state, "yes", "consent"),
        no=_members(state, "no", "object"),
        effective_at=executes_at or context.at,
    )
    notices = notify_closed(state, closed)
    if not passed:
        return (closed, decided, *ordering.order_otherwise(proposal, context, unanswered=not quorum), *notices)
    if executes_at is None:
        return (closed, decided, *steer(context.stream, proposal.terms, closed), *notices)
    return (closed, decided, *notices, *(ordering.order_motion(proposal, context) if executes_at <= context.at else ()))


def _chose(state: Open) -> bool:
    """Whether a ballot that weighs something names an option. If none does, nothing is chosen."""
    return any((ballot.ranking or ballot.approves) and state.roll[seat].weight for seat, ballot in state.ballots.items())


Groups = tuple[tuple[str, ...], ...]


def _order(state: Open) -> tuple[Groups, Groups]:
    """The options from the winner down, and which of them were tied until the charter's tie-breaks put them in order."""
    options = [option.id for option in state.proposal.terms.options]
    ballots = [(ballot.ranking, state.roll[seat].weight) for seat, ballot in state.ballots.items() if ballot.ranking]
    counted = voting.schulze(options, ballots)
    order = voting.without_ties(counted, state.proposal.rule.tie_breaks, options, [ranking for ranking, _ in ballots])
    return order, tuple(group for group in counted if group not in order)


def _funded(state: Open) -> tuple[str, ...]:
    terms = state.proposal.terms
    ballots = [(ballot.approves, state.roll[seat].weight) for seat, ballot in sorted(state.ballots.items()) if ballot.approves]
    return voting.equal_shares({option.id: option.cost or 0 for option in terms.options}, terms.budget or 0, ballots)


def _members(state: Open, *choices: str) -> frozenset[MemberId]:
    seats = (seat for seat, ballot in state.ballots.items() if ballot.choice in choices)
    return frozenset(member for seat in seats for member in state.roll[seat].members)
