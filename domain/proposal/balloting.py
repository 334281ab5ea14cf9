"""Ballots and conflicts of interest while a vote is open, and what follows from them at once."""

from __future__ import annotations

from datetime import timedelta

from domain.charter import Office
from domain.kernel import MemberId, Refused, shown_at
from domain.process import Context
from domain.proposal import commands, events, voting
from domain.proposal.closing import close_vote
from domain.proposal.notices import notify_extended
from domain.proposal.rules import Events
from domain.proposal.state import Announced, Open, ballot_of, evolve


def cast_ballot(state: Open, command: commands.CastBallot, context: Context) -> Events:
    """A seat votes, or changes its vote until the close; the same ballot again changes nothing."""
    seat = _seat(state, command.member, context)
    _require_in_time(state, context)
    _require_not_recused(state, seat)
    _require_choice(state.proposal, command)
    ballot = events.BallotCast(seat=seat, person=context.actor, choice=command.choice, ranking=command.ranking, approves=command.approves)
    return () if state.ballots.get(seat) == ballot_of(ballot) else (ballot, *_consequences(state, ballot, context))


def _seat(state: Open, member: MemberId | None, context: Context) -> str:
    """The seat that the actor speaks for now: a member's that they name, or their own where the board votes.

    Persons and members may share a handle, so a person's own handle never finds a member's seat, nor a member's a person's.
    """
    seat = state.persons.get(context.actor) if member is None else state.seats.get(member)
    if seat is None:
        raise Refused(
            "not_on_roll",
            f"{member or context.actor} is not on the roll of this vote",
            clause=f"decisions.{state.proposal.decision}",
            remedy="name the member you vote for; the roll was frozen when the vote opened",
        )
    if member is None:
        context.require_office(Office.BOARD)
    else:
        context.require_speaker(member)
        context.require_active(member)
    return seat


def _require_not_recused(state: Open, seat: str) -> None:
    if seat in state.recused:
        raise Refused(
            "recused",
            f"{seat} is recused from this decision: {state.recused[seat]}",
            remedy="leave it to the others",
            clause=f"decisions.{state.proposal.decision}",
        )


def _require_in_time(state: Open, context: Context) -> None:
    if context.at >= state.closes_at:
        raise Refused(
            "vote_not_open", f"the vote closed at {shown_at(state.closes_at)}", remedy="nothing: its result follows", clause="decisions"
        )


def _require_choice(proposal: Announced, command: commands.CastBallot) -> None:
    fits, needed = _fitting(proposal, command)
    if not fits:
        raise Refused("choice_unfit", f"this vote takes {needed}", remedy=f"give {needed}", clause=f"decisions.{proposal.decision}")


def _fitting(proposal: Announced, command: commands.CastBallot) -> tuple[bool, str]:
    """Whether the ballot is one that this method counts, and which are."""
    options = {option.id for option in proposal.terms.options}
    plain = not command.ranking and not command.approves
    match proposal.rule.method:
        case "weighted":
            return plain and command.choice in {"yes", "no", "abstain"}, "a choice of yes, no or abstain"
        case "lazy":
            return plain and command.choice in {"consent", "object"}, "a choice of consent or object"
        case "ranked":
            ranked = command.choice is None and len(set(command.ranking)) == len(command.ranking) > 0 and not command.approves
            fits = (plain and command.choice == "abstain") or (ranked and options.issuperset(command.ranking))
            return fits, f"a ranking of {', '.join(sorted(options))}, each at most once, or abstain"
        case "budget":
            approved = command.choice is None and bool(command.approves) and not command.ranking
            fits = (plain and command.choice == "abstain") or (approved and options.issuperset(command.approves))
            return fits, f"which of {', '.join(sorted(options))} to approve, or abstain"


def declare_conflict(state: Open, command: commands.DeclareConflict, context: Context) -> Events:
    """A seat steps back from a decision that concerns it; it cannot come back."""
    seat = _seat(state, command.member, context)
    if seat in state.recused:
        return ()
    _require_in_time(state, context)
    declared = events.ConflictDeclared(seat=seat, person=context.actor, reason=command.reason)
    return (declared, *_consequences(state, declared, context))


def _consequences(before: Open, event: events.BallotCast | events.ConflictDeclared, context: Context) -> Events:
    """A decision closes at once when it stands whatever the others do; a quorum that comes late extends the vote, once."""
    after, rule = evolve(before, event), before.proposal.rule
    assert isinstance(after, Open)
    if rule.early_close and voting.is_settled(rule, after.tally):
        return close_vote(after, context)
    late = timedelta(hours=rule.late_quorum_hours)
    reached = voting.has_quorum(rule, after.tally) and not voting.has_quorum(rule, before.tally)
    if reached and late and not before.extended and before.closes_at - context.at <= late:
        extended = events.VoteExtended(closes_at=before.closes_at + late)
        return (extended, *notify_extended(before, extended))
    return ()
