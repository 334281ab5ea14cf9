"""Opening a vote: the roll is frozen, with its weights and those who are barred."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from domain.charter import Office
from domain.kernel import MemberId, PersonId, process_of, slug_of
from domain.letters import Motion
from domain.process import Context
from domain.proposal import events, voting
from domain.proposal.notices import notify_opened
from domain.proposal.rules import Events, equal_weights
from domain.proposal.state import Announced
from domain.proposal.terms import RollEntry
from domain.register.state import Register, Seat


def open_vote(proposal: Announced, context: Context) -> Events:
    """Freezes the roll as of this position; while there is no active member the board is the roll, one vote each."""
    roll = _roll(proposal, context)
    opened = events.VoteOpened(
        roll=roll,
        barred=_barred(proposal, roll, context),
        closes_at=context.at + timedelta(hours=proposal.rule.duration_hours),
        group_cap_holds=not equal_weights(proposal, roll),
    )
    return (opened, *notify_opened(proposal, opened))


def _roll(proposal: Announced, context: Context) -> tuple[RollEntry, ...]:
    seats = context.register.seats()
    if not seats:
        return tuple(RollEntry(seat=person, weight=1) for person in context.register.holders(Office.BOARD))
    weights = voting.capped({seat.id: _weight(proposal, seat, context) for seat in seats}, proposal.rule.group_cap)
    return tuple(RollEntry(seat=seat.id, members=seat.members, weight=weights[seat.id]) for seat in seats)


def _weight(proposal: Announced, seat: Seat, context: Context) -> int:
    """Related members weigh as one: the most votes any of their tiers has, and all that they contributed."""
    tiers, members = context.register.charters[proposal.charter_version].tiers, context.register.members
    votes = max((tiers[members[member].tier].votes for member in seat.members if members[member].tier in tiers), default=0)
    return voting.weight(proposal.rule.scheme, votes, sum(context.register.cleared.get(member, 0) for member in seat.members))


def _barred(proposal: Announced, roll: Sequence[RollEntry], context: Context) -> frozenset[str]:
    """The seats that the motion is about: those of the members it concerns, with all who are related to them, or the board members themselves."""
    motion = proposal.terms.motion
    if motion is None or not proposal.rule.subject_barred:
        return frozenset()
    members, persons = _concerned(motion, context.register)
    seats = {context.register.seat_of(member) for member in members}
    return frozenset(entry.seat for entry in roll if entry.seat in (seats if entry.members else persons))


def _concerned(motion: Motion, register: Register) -> tuple[frozenset[MemberId], frozenset[PersonId]]:
    """The members and persons that a motion is about: the member on whose stream it is, the persons it names, and all members these speak for.

    A run is its training lead's, whether the contract is in force, waits for its vote, or is the motion's own.
    """
    command, slug, process = motion.command, slug_of(motion.stream), process_of(motion.stream)
    named = [command.get("person")]
    if process == "run":
        run, contract = register.runs.get(slug), command.get("contract")
        named += [register.leads.get(slug), run and run.training_lead, contract.get("lead") if isinstance(contract, dict) else None]
    persons = frozenset(person for person in named if isinstance(person, str))
    represented = {member for person in persons if person in register.people for member in register.people[person].speaks_for}
    return frozenset(represented | ({slug} if process == "member" else set())), persons
