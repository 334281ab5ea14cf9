"""What voters are told: that something will be voted on, that they can vote, that this changed, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable

from domain.charter import Office
from domain.kernel import SERVICE, holders, process_of
from domain.process import Context
from domain.proposal import events
from domain.proposal.roll import voters
from domain.proposal.rules import Events, equal_weights, values_of
from domain.proposal.state import Announced, Open
from domain.proposal.terms import RollEntry
from domain.stream import owe_notices


def recipients_of(entry: RollEntry) -> tuple[str, ...]:
    """The recipients of a notice to a seat: each of its members, or the person on the board."""
    return tuple(f"member:{member}" for member in entry.members) or (entry.voter,)


def notify_announced(made: events.ProposalMade, context: Context) -> Events:
    """Tells who would vote now what is going to be voted on, and when: that is what the charter's notice is for."""
    facts = {"title": made.terms.title, "decision": made.decision, "opens_at": made.opens_at.isoformat()}
    return tuple(owe_notices("vote-announced", _voters(context), f"notice:announced:{context.position}", facts))


def notify_opened(proposal: Announced, opened: events.VoteOpened) -> Events:
    """Tells the roll that it can vote."""
    facts = {"title": proposal.terms.title, "closes_at": opened.closes_at.isoformat()}
    alike = equal_weights(proposal, opened.roll)
    facts |= {"weights": alike} if alike else {}
    return tuple(owe_notices("vote-opened", _on(opened.roll), "notice:opened", facts))


def notify_extended(state: Open, extended: events.VoteExtended) -> Events:
    """Tells the roll that it can vote for longer than it was told."""
    facts = {"title": state.proposal.terms.title, "closes_at": extended.closes_at.isoformat()}
    return tuple(owe_notices("vote-extended", _on(state.roll.values()), "notice:extended", facts))


def notify_withdrawn(state: Announced | Open, context: Context) -> Events:
    """Tells whoever was told of the vote that there is none."""
    proposal, recipients = (state.proposal, _on(state.roll.values())) if isinstance(state, Open) else (state, _voters(context))
    return tuple(owe_notices("vote-withdrawn", recipients, "notice:withdrawn", {"title": proposal.terms.title}))


def notify_closed(state: Open, closed: events.VoteClosed) -> Events:
    """Tells the roll and the sponsor the result; and until when a member that opposed what passed may leave the round that it is about."""
    proposal, until, recipients = state.proposal, closed.executes_at, _on(state.roll.values())
    motion, locked = proposal.terms.motion, proposal.rule.timelock_hours > 0
    facts: dict[str, str | int] = {"title": proposal.terms.title, "outcome": closed.outcome}
    facts |= {"yes": closed.yes_weight, "no": closed.no_weight} if proposal.rule.method in {"weighted", "lazy"} else {}
    facts |= {name: value for name, value in values_of(closed).items() if name == "result"}
    sponsor = () if proposal.sponsor == SERVICE else (proposal.sponsor,)
    template = "vote-closed"
    if until is not None and locked and motion is not None:
        facts["takes_effect_at"] = until.isoformat()
        template = "vote-closed-exit" if process_of(motion.stream) in {"round", "run"} else "vote-closed-timelock"
    return tuple(owe_notices(template, tuple(dict.fromkeys((*recipients, *sponsor))), "notice:closed", facts))


def notify_voters(template: str, proposal: Announced, context: Context, **facts: str) -> Events:
    """Tells who would vote now, who proposed it, and the secretariat, what became of what passed."""
    sponsor = () if proposal.sponsor == SERVICE else (proposal.sponsor,)
    people = tuple(dict.fromkeys((*_voters(context), *sponsor, *holders([Office.SECRETARIAT]))))
    return tuple(owe_notices(template, people, f"notice:{template}", {"title": proposal.terms.title, **facts}))


def _voters(context: Context) -> tuple[str, ...]:
    """Who would be on a roll that is frozen now."""
    seats, board = voters(context.register, context.charter)
    return (*(f"member:{member}" for seat in seats for member in seat.members), *board)


def _on(roll: Iterable[RollEntry]) -> tuple[str, ...]:
    """All who are on the roll, by their seats."""
    return tuple(name for entry in sorted(roll, key=lambda entry: entry.seat) for name in recipients_of(entry))
