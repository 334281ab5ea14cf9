"""Opening a vote: the roll is frozen, with its weights and those who are barred."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from domain.kernel import MemberId, PersonId, process_of, slug_of
from domain.letters import Motion
from domain.process import Context
from domain.proposal import events
from domain.proposal.notices import notify_opened
from domain.proposal.roll import frozen
from domain.proposal.rules import Events
from domain.proposal.state import Announced
from domain.proposal.terms import RollEntry
from domain.register.state import Register


def open_vote(proposal: Announced, context: Context) -> Events:
    """Freezes the roll as of this position."""
    roll = frozen(proposal, context.register)
    opened = events.VoteOpened(
        roll=roll,
        barred=_barred(proposal, roll, context),
        closes_at=context.at + timedelta(hours=proposal.rule.duration_hours),
    )
    return (opened, *notify_opened(proposal, opened))


def _barred(proposal: Announced, roll: Sequence[RollEntry], context: Context) -> frozenset[str]:
    """The seats that the motion is about: those of the members it concerns, with all who are related to them, or the board members themselves.

    Where board members vote beside the seats, who speaks for a member that it concerns is barred too: an applicant has no seat yet.
    """
    motion = proposal.terms.motion
    if motion is None or not proposal.rule.subject_barred:
        return frozenset()
    members, persons = _concerned(motion, context.register)
    seats = {context.register.seat_of(member) for member in members}
    beside = any(entry.members for entry in roll)

    def is_barred(entry: RollEntry) -> bool:
        if entry.members:
            return entry.seat in seats
        return entry.voter in persons or (beside and any(context.register.speaks_for(entry.voter, member) for member in members))

    return frozenset(entry.seat for entry in roll if is_barred(entry))


def _concerned(motion: Motion, register: Register) -> tuple[frozenset[MemberId], frozenset[PersonId]]:
    """The members and persons that a motion is about: the member on whose stream it is, the persons it names, and all members these speak for.

    A run is its training lead's, and of the companies behind who is paid under its contract, whether that is in force, waits for its vote, or
    is the motion's own.
    """
    command, slug, process = motion.command, slug_of(motion.stream), process_of(motion.stream)
    named, suppliers = [command.get("person")], frozenset[str]()
    if process == "run":
        run, given = register.runs.get(slug), command.get("contract")
        contract = given if isinstance(given, dict) else {}
        named += [register.leads.get(slug), run and run.training_lead, contract.get("lead")]
        suppliers = register.suppliers.get(slug, frozenset()) | frozenset(contract.get("suppliers", ()))
    persons = frozenset(person for person in named if isinstance(person, str))
    represented = {member for person in persons if person in register.people for member in register.people[person].speaks_for}
    supplying = {company for supplier in suppliers for company in register.behind(supplier)}
    their_people = {person for person, known in register.people.items() if supplying.intersection(known.speaks_for)} if supplying else set()
    return frozenset(represented | supplying | ({slug} if process == "member" else set())), persons | their_people
