"""Proposals and votes, `proposal/<id>`: from the announcement to the execution of exactly what was voted on.

announced → open → passed (→ timelock → executed) | rejected | lapsed (no quorum) | withdrawn

What a proposal would do fixes its class, and the class the rule: quorum by heads and by weight on the roll that is frozen
at the opening, threshold, duration, who is barred. A passed proposal authorises one command, by its digest, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from domain import voting
from domain.charter import DecisionRule, Office
from domain.kernel import (
    ASKED,
    AWAITED,
    SERVICE,
    Agenda,
    Deadline,
    Headline,
    Map,
    MemberId,
    PersonId,
    Refused,
    canonical_json,
    digest_of,
    escaped,
    mapping,
    notify,
    process_of,
    shown_at,
    slug_of,
    tell,
)
from domain.process import Common, Context, Process, StepOwed, owe
from domain.proposal_messages import (
    AmendProposal,
    BallotCast,
    CastBallot,
    Choice,
    CloseVote,
    ConflictDeclared,
    DeclareConflict,
    Execute,
    Motion,
    OpenVote,
    ProposalCommand,
    ProposalEvent,
    ProposalExecuted,
    ProposalMade,
    ProposalWithdrawn,
    Propose,
    RollEntry,
    Terms,
    VoteClosed,
    VoteExtended,
    VoteOpened,
    WithdrawProposal,
)
from domain.register import MandateGranted, Register, Seat, VoteDecided
from domain.voting import Tally

TOLD_AT_ONCE: Final = 100
"""Recipients of one notice."""
NAMED_PROBLEMS: Final = 5
"""How many problems of an unreadable motion are named."""
SHOWN: Final = 100
"""How much of a problem's place is shown: people make up names of any length."""
OPENS_WITHIN: Final = timedelta(days=366)
"""How far ahead an opening may be set."""

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Unproposed:
    """Before the announcement."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a seat said."""

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
    """The seat of each member, or board member, on the roll."""
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
    result: VoteClosed
    executes_at: datetime


@dataclass(frozen=True, slots=True)
class Over:
    """The end: passed, executed, rejected, lapsed."""

    proposal: Announced
    result: VoteClosed
    executed: bool


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Taken back."""

    proposal: Announced


ProposalState = Unproposed | Announced | Open | Timelocked | Over | Withdrawn
Events = Sequence[ProposalEvent | StepOwed]

# ---------------------------------------------------------------- decide


def decide(state: ProposalState, command: ProposalCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case Propose():
            match state:
                case Unproposed():
                    _require_own_name(context)
                    return _announce(command, context)
                case Announced() | Open() | Timelocked() | Over() | Withdrawn():
                    raise Refused(
                        "already_proposed", "this proposal has been made", remedy="give the new one a name of its own", clause="decisions"
                    )
        case AmendProposal():
            match state:
                case Announced():
                    _require_sponsor_of(state, context)
                    return _announce(command, context)
                case Unproposed() | Open() | Timelocked() | Over() | Withdrawn():
                    raise _not_now("not_amendable", "amended before its vote opens", state, context)
        case WithdrawProposal():
            match state:
                case Announced():
                    return _withdraw(state, context)
                case Open(proposal=proposal, ballots=ballots, closes_at=closes_at) if not ballots and context.at < closes_at:
                    return _withdraw(proposal, context)
                case Unproposed() | Open() | Timelocked() | Over() | Withdrawn():
                    raise _not_now("not_withdrawable", "withdrawn before anybody voted and its vote is over", state, context)
        case OpenVote():
            context.require_service()
            match state:
                case Announced(opens_at=opens_at):
                    _require_due(opens_at, context)
                    return _open(state, context)
                case Unproposed() | Open() | Timelocked() | Over() | Withdrawn():
                    return ()
        case CastBallot():
            match state:
                case Open():
                    return _cast(state, command, context)
                case Unproposed() | Announced() | Timelocked() | Over() | Withdrawn():
                    raise _not_now("vote_not_open", "voted on while its vote is open", state, context)
        case DeclareConflict():
            match state:
                case Open():
                    return _declare(state, command, context)
                case Unproposed() | Announced() | Timelocked() | Over() | Withdrawn():
                    raise _not_now("vote_not_open", "stepped back from while its vote is open", state, context)
        case CloseVote():
            context.require_service()
            match state:
                case Open(closes_at=closes_at):
                    _require_due(closes_at, context)
                    return _close(state, context)
                case Unproposed() | Announced() | Timelocked() | Over() | Withdrawn():
                    return ()
        case Execute():
            context.require_service()
            match state:
                case Timelocked(executes_at=executes_at, proposal=proposal):
                    _require_due(executes_at, context)
                    return _executed(proposal, context)
                case Unproposed() | Announced() | Open() | Over() | Withdrawn():
                    return ()


def _not_now(rule: str, when: str, state: ProposalState, context: Context) -> Refused:
    """A refusal that says first where the proposal stands, and what can be done there."""
    stands, remedy = _stands(state, context)
    return Refused(rule, f"{stands}; a proposal is {when}", remedy=remedy, clause="decisions")


def _stands(state: ProposalState, context: Context) -> tuple[str, str]:
    """Where the proposal is, in words, and what can be done there."""
    anew = "what shall be otherwise is put to a vote of its own (`consortium proposal propose`)"
    match state:
        case Unproposed() if slug_of(context.stream).partition("-")[0] in ASKED:
            return (
                "there is no proposal of this name, or none yet: the process that it is about asks once it has come so far",
                "check the name against `consortium proposals`; `consortium show` tells how far the process is",
            )
        case Unproposed():
            return (
                "there is no proposal of this name",
                "check it against `consortium proposals`; a new one is made by `consortium proposal propose`",
            )
        case Announced(opens_at=opens_at):
            return f"its vote has not begun, and opens at {shown_at(opens_at)}", "wait until it opens"
        case Open(closes_at=closes_at):
            against = "vote against it (`consortium proposal cast-ballot`), or wait for its result"
            return f"its vote has begun, and closes at {shown_at(closes_at)}", against
        case Timelocked(executes_at=executes_at):
            return f"its vote is over: it passed, and is carried out at {shown_at(executes_at)}", anew
        case Over(result=result, executed=executed):
            return f"its vote is over: {_outcome(result, 'executed' if executed else result.outcome)}", anew
        case Withdrawn():
            return "its sponsor took it back", "what is wanted still is proposed under another name (`consortium proposal propose`)"


def _require_due(at: datetime, context: Context) -> None:
    if context.at < at:
        raise Refused(
            "not_due", f"this comes at {shown_at(at)}", remedy="wait: the system gives it when it is due", clause="decisions"
        )  # fmt: skip


# ---------------------------------------------------------------- announcing


def _announce(terms: Propose | AmendProposal, context: Context) -> Events:
    decision = _class_of(terms, context)
    rule = context.charter.decisions[decision]
    clause = f"decisions.{decision}"
    _require_sponsor(rule, clause, context)
    _require_fitting(terms, rule, clause)
    _require_own_motion(terms, clause, context)
    _require_opening_near(terms.opens_at, clause, context)
    opens_at = max(context.at + timedelta(hours=rule.notice_hours), terms.opens_at or context.at)
    made = ProposalMade(
        terms=Terms(**{name: getattr(terms, name) for name in Terms.model_fields}),
        sponsor=context.actor, decision=decision, rule=rule, charter_version=context.register.version, opens_at=opens_at,
    )  # fmt: skip
    return (made,) if opens_at > context.at else (made, *_open(_announced(made), context))


def _require_own_name(context: Context) -> None:
    """The names under which processes ask are theirs: whoever took one would keep the question from ever being put."""
    word, _, about = slug_of(context.stream).partition("-")
    if context.actor != SERVICE and about and word in ASKED:
        raise Refused(
            "name_reserved", f"what is called {word}-… is put to the vote by the process it is about", clause="decisions",
            remedy=f"give it a name that does not begin with {word}-",
        )  # fmt: skip


def _class_of(terms: Terms, context: Context) -> str:
    """The class follows from what the motion would do; only where there is none the sponsor names it."""
    charter = context.charter
    if terms.motion is None:
        rule = charter.decisions.get(terms.decision or "")
        if terms.decision is None or rule is None or rule.covers:
            named = ", ".join(sorted(name for name, rule in charter.decisions.items() if not rule.covers))
            raise Refused(
                "no_decision_class", "no class of decision is named that needs no motion", remedy=f"name one of {named}", clause="decisions"
            )
        return terms.decision
    command = f"{process_of(terms.motion.stream)}/{terms.motion.command.get('kind')}"
    decision = charter.class_of(command)
    if decision is None:
        raise Refused(
            "no_decision_class",
            f"no vote can order {command}",
            remedy="move a command that the charter lets a vote decide",
            clause="decisions",
        )
    if terms.decision not in {None, decision}:
        raise Refused(
            "class_follows_from_motion", f"{command} is decided as {decision}", remedy=f"leave the class out, or say {decision}",
            clause=f"decisions.{decision}",
        )  # fmt: skip
    return decision


def _require_sponsor(rule: DecisionRule, clause: str, context: Context) -> None:
    person = context.register.people.get(context.actor)
    represents = person is not None and any(context.register.active(member) for member in person.speaks_for)
    if context.actor != SERVICE and not represents and not context.register.holds(context.actor, *rule.sponsors):
        raise Refused(
            "not_a_sponsor", f"{context.actor} cannot put this to the vote", clause=clause,
            remedy="ask a representative of an active member" + "".join(f", or the {office}" for office in sorted(rule.sponsors)),
        )  # fmt: skip


def _require_fitting(terms: Terms, rule: DecisionRule, clause: str) -> None:
    """Ranked choices need options, budgets options with costs, everything else none."""
    several = rule.method in {"ranked", "budget"}
    ids = [option.id for option in terms.options]
    if several and (len(ids) < 2 or len(ids) != len(set(ids))):
        raise Refused("options_unfit", "at least two options are needed, each named once", remedy="name the options", clause=clause)
    if not several and ids:
        raise Refused("options_unfit", f"a {rule.method} vote has no options", remedy="leave the options out", clause=clause)
    costed = [option.cost is not None for option in terms.options]
    if rule.method == "budget" and (terms.budget is None or not all(costed)):
        raise Refused("options_unfit", "sharing a budget needs the budget and each option's cost", remedy="name them", clause=clause)
    if rule.method != "budget" and (terms.budget is not None or any(costed)):
        raise Refused("options_unfit", "only a budget vote has a budget and costs", remedy="leave them out", clause=clause)


def _require_own_motion(terms: Terms, clause: str, context: Context) -> None:
    """What is ordered when a motion fails is ordered without a majority: only the process that needs the answer may say it."""
    if terms.motion is not None and terms.motion.otherwise is not None and context.actor != SERVICE:
        raise Refused(
            "otherwise_reserved", "a person's motion orders nothing when it does not pass", clause=clause,
            remedy="leave `otherwise` out, and propose that command by itself",
        )  # fmt: skip


def _require_readable(motion: Motion, orders: Mapping[str, TypeAdapter[Any]]) -> None:
    """What is voted on must be a command of its stream's process, so that what passed is not turned away as no command at all."""
    process = process_of(motion.stream)
    if process not in orders:
        raise Refused(
            "motion_unreadable", f"no vote orders anything on {motion.stream}", clause="decisions",
            remedy=f"move a command on a stream of {', '.join(sorted(orders))}",
        )  # fmt: skip
    for command in (motion.command, motion.otherwise):
        try:
            if command is not None:
                orders[process].validate_json(canonical_json(command))
        except ValidationError as error:
            wrong = "; ".join(_told(problem) for problem in error.errors(include_url=False, include_input=False)[:NAMED_PROBLEMS])
            raise Refused(
                "motion_unreadable", f"{motion.stream} takes no such command: {wrong}", clause="decisions",
                remedy=f"write the command as `consortium {process}` would give it, every field and no other",
            ) from error  # fmt: skip


def _told(problem: ErrorDetails) -> str:
    """A problem with its place, in words that no release of a library changes; a name that somebody made up steers no terminal."""
    place = ".".join(str(part) for part in problem["loc"][1:]) or "command"
    what = problem["msg"].removeprefix("Value error, ") if problem["type"] == "value_error" else problem["type"].replace("_", " ")
    return f"{ascii(place[:SHOWN])[1:-1]}: {what}"


def _require_opening_near(opens_at: datetime | None, clause: str, context: Context) -> None:
    if opens_at is not None and not context.at <= opens_at <= context.at + OPENS_WITHIN:
        raise Refused(
            "opening_out_of_range", f"a vote opens within {OPENS_WITHIN.days} days, and not at {shown_at(opens_at)}", clause=clause,
            remedy="leave the opening out to open as soon as the notice is over, or name an instant in that time",
        )  # fmt: skip


def _require_sponsor_of(proposal: Announced, context: Context) -> None:
    if context.actor != proposal.sponsor:
        raise Refused("not_the_sponsor", f"{proposal.sponsor} made this proposal", remedy=f"ask {proposal.sponsor}", clause="decisions")


def _withdraw(proposal: Announced, context: Context) -> Events:
    _require_sponsor_of(proposal, context)
    return (ProposalWithdrawn(), *_otherwise(proposal, context))


# ---------------------------------------------------------------- the roll


def _open(proposal: Announced, context: Context) -> Events:
    """Freezes the roll as of this position; while there is no active member the board is the roll, one vote each."""
    roll = _roll(proposal, context)
    opened = VoteOpened(
        roll=roll, barred=_barred(proposal, roll, context), closes_at=context.at + timedelta(hours=proposal.rule.duration_hours)
    )
    asked = [name for entry in roll for name in _names(entry)]
    notices = [
        owe(notify("vote-opened", tuple(asked[first : first + TOLD_AT_ONCE]), key=f"notice:opened:{first // TOLD_AT_ONCE + 1}",
                   title=proposal.terms.title, closes_at=opened.closes_at.isoformat()))
        for first in range(0, len(asked), TOLD_AT_ONCE)
    ]  # fmt: skip
    return (opened, *notices)


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
    """The seats of whom the motion is about: of the members with all that are related to them, or the board members themselves."""
    motion = proposal.terms.motion
    if motion is None or not proposal.rule.subject_barred:
        return frozenset()
    members, persons = _concerned(motion, context.register)
    seats = {context.register.seat_of(member) for member in members}
    return frozenset(entry.seat for entry in roll if entry.seat in (seats if entry.members else persons))


def _concerned(motion: Motion, register: Register) -> tuple[frozenset[MemberId], frozenset[PersonId]]:
    """Whom a motion is about: the member on whose stream it is, and the persons whom it names, with all that they speak for.

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


# ---------------------------------------------------------------- voting


def _cast(state: Open, command: CastBallot, context: Context) -> Events:
    seat = _seat(state, command.member, context)
    _require_in_time(state, context)
    _require_not_recused(state, seat)
    _require_choice(state.proposal, command)
    ballot = BallotCast(
        seat=seat, person=context.actor, choice=command.choice, ranking=command.ranking, approves=command.approves
    )  # fmt: skip
    return () if state.ballots.get(seat) == _ballot(ballot) else (ballot, *_consequences(state, ballot, context))


def _seat(state: Open, member: MemberId | None, context: Context) -> str:
    """The seat that the actor speaks for now: a member's that they name, or their own where the board votes.

    Persons and members may share a handle, so a person's own handle never finds a member's seat, nor a member's a person's.
    """
    entry = state.roll.get(state.seats.get(member or context.actor, ""))
    if entry is None or bool(entry.members) != (member is not None):
        raise Refused(
            "not_on_roll", f"{member or context.actor} is not on the roll of this vote", clause=f"decisions.{state.proposal.decision}",
            remedy="name the member you vote for; the roll was frozen when the vote opened",
        )  # fmt: skip
    if member is None:
        context.require_office(Office.BOARD)
    else:
        context.require_speaker(member)
        context.require_active(member)
    return entry.seat


def _require_not_recused(state: Open, seat: str) -> None:
    if seat in state.recused:
        raise Refused(
            "recused", f"{seat} is recused from this decision: {state.recused[seat]}", remedy="leave it to the others",
            clause=f"decisions.{state.proposal.decision}",
        )  # fmt: skip


def _require_in_time(state: Open, context: Context) -> None:
    if context.at >= state.closes_at:
        raise Refused(
            "vote_not_open", f"the vote closed at {shown_at(state.closes_at)}", remedy="nothing: its result follows", clause="decisions"
        )


def _require_choice(proposal: Announced, command: CastBallot) -> None:
    fits, needed = _fitting(proposal, command)
    if not fits:
        raise Refused("choice_unfit", f"this vote takes {needed}", remedy=f"give {needed}", clause=f"decisions.{proposal.decision}")


def _fitting(proposal: Announced, command: CastBallot) -> tuple[bool, str]:
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


def _declare(state: Open, command: DeclareConflict, context: Context) -> Events:
    seat = _seat(state, command.member, context)
    if seat in state.recused:
        return ()
    _require_in_time(state, context)
    declared = ConflictDeclared(seat=seat, person=context.actor, reason=command.reason)
    return (declared, *_consequences(state, declared, context))


def _consequences(before: Open, event: BallotCast | ConflictDeclared, context: Context) -> Events:
    """A decision closes at once when it stands whatever the others do; a quorum that comes late extends the vote, once."""
    after, rule = evolve(before, event), before.proposal.rule
    assert isinstance(after, Open)
    if rule.early_close and voting.is_settled(rule, after.tally):
        return _close(after, context)
    late = timedelta(hours=rule.late_quorum_hours)
    reached = voting.has_quorum(rule, after.tally) and not voting.has_quorum(rule, before.tally)
    if reached and late and not before.extended and before.closes_at - context.at <= late:
        return (VoteExtended(closes_at=before.closes_at + late),)
    return ()


# ---------------------------------------------------------------- the result


def _close(state: Open, context: Context) -> Events:
    proposal, tally, motion = state.proposal, state.tally, state.proposal.terms.motion
    quorum = voting.has_quorum(proposal.rule, tally)
    passed = quorum and (_chose(state) if proposal.rule.method in {"ranked", "budget"} else voting.carries(proposal.rule, tally))
    executes_at = context.at + timedelta(hours=proposal.rule.timelock_hours) if passed and motion else None
    closed = VoteClosed(
        outcome="passed" if passed else "rejected" if quorum else "lapsed",
        heads=tally.heads, roll_heads=tally.roll_heads, voted_weight=tally.voted, roll_weight=tally.roll_weight,
        yes_weight=tally.yes, no_weight=tally.no, executes_at=executes_at,
        ranking=_order(state) if passed and proposal.rule.method == "ranked" else (),
        funded=_funded(state) if passed and proposal.rule.method == "budget" else (),
    )  # fmt: skip
    decided = VoteDecided(
        proposal=context.stream, concerns=motion.stream if motion else "", passed=passed, yes=_members(state, "yes", "consent"),
        no=_members(state, "no", "object"), effective_at=executes_at or context.at,
    )  # fmt: skip
    told = () if proposal.sponsor == SERVICE else (owe(_result_notice(proposal, closed)),)
    if not passed:
        return (closed, decided, *_otherwise(proposal, context), *told)
    if motion is None or executes_at is None:
        return (closed, decided, *told)
    return (closed, decided, *told, *(_executed(proposal, context) if executes_at <= context.at else ()))


def _result_notice(proposal: Announced, closed: VoteClosed) -> Any:
    return notify("vote-closed", (proposal.sponsor,), key="notice:closed", title=proposal.terms.title, outcome=closed.outcome)


def _chose(state: Open) -> bool:
    """Whether anybody whose vote weighs something named an option: where all abstain nothing is chosen."""
    return any((ballot.ranking or ballot.approves) and state.roll[seat].weight for seat, ballot in state.ballots.items())


def _order(state: Open) -> tuple[tuple[str, ...], ...]:
    ballots = [(ballot.ranking, state.roll[seat].weight) for seat, ballot in state.ballots.items() if ballot.ranking]
    return voting.schulze([option.id for option in state.proposal.terms.options], ballots)


def _funded(state: Open) -> tuple[str, ...]:
    terms = state.proposal.terms
    ballots = [(ballot.approves, state.roll[seat].weight) for seat, ballot in sorted(state.ballots.items()) if ballot.approves]
    return voting.equal_shares({option.id: option.cost or 0 for option in terms.options}, terms.budget or 0, ballots)


def _members(state: Open, *choices: str) -> frozenset[MemberId]:
    seats = (seat for seat, ballot in state.ballots.items() if ballot.choice in choices)
    return frozenset(member for seat in seats for member in state.roll[seat].members)


def _otherwise(proposal: Announced, context: Context) -> Events:
    """What is ordered when the motion does not pass."""
    motion = proposal.terms.motion
    if motion is None or motion.otherwise is None:
        return ()
    return (_mandate(proposal, motion.stream, motion.otherwise, context), owe(tell(motion.stream, motion.otherwise, key="tell:otherwise")))


def _executed(proposal: Announced, context: Context) -> Events:
    """Orders the motion. Its mandate is granted only now, so that nobody can use it before the timelock is over."""
    motion = proposal.terms.motion
    assert motion is not None
    granted = _mandate(proposal, motion.stream, motion.command, context)
    return (ProposalExecuted(), granted, owe(tell(motion.stream, motion.command, key="tell:motion")))


def _mandate(proposal: Announced, stream: str, command: Mapping[str, Any], context: Context) -> MandateGranted:
    until = context.at + timedelta(days=proposal.rule.mandate_days)
    return MandateGranted(proposal=context.stream, digest=digest_of(stream, command), until=until)


# ---------------------------------------------------------------- evolve


def evolve(state: ProposalState, event: ProposalEvent) -> ProposalState:
    """The state after a fact."""
    match event:
        case ProposalMade():
            return _announced(event)
        case VoteOpened():
            assert isinstance(state, Announced)
            return _opened(state, event)
        case BallotCast(seat=seat):
            assert isinstance(state, Open)
            tally = _uncounted(state, seat).counted(_said(event), state.roll[seat].weight)
            return replace(state, ballots=state.ballots.set(seat, _ballot(event)), tally=tally)
        case ConflictDeclared(seat=seat):
            assert isinstance(state, Open)
            tally = _uncounted(state, seat).without(state.roll[seat].weight)
            ballots = state.ballots.delete(seat) if seat in state.ballots else state.ballots
            return replace(state, ballots=ballots, tally=tally, recused=state.recused.set(seat, "it declared a conflict"))
        case VoteExtended(closes_at=closes_at):
            assert isinstance(state, Open)
            return replace(state, closes_at=closes_at, extended=True)
        case VoteClosed(executes_at=executes_at):
            assert isinstance(state, Open)
            return Over(state.proposal, event, executed=False) if executes_at is None else Timelocked(state.proposal, event, executes_at)
        case ProposalExecuted():
            assert isinstance(state, Timelocked)
            return Over(state.proposal, state.result, executed=True)
        case ProposalWithdrawn():
            assert isinstance(state, Announced | Open)
            return Withdrawn(state.proposal if isinstance(state, Open) else state)
        case VoteDecided() | MandateGranted():
            return state


def _announced(event: ProposalMade) -> Announced:
    return Announced(event.terms, event.sponsor, event.decision, event.rule, event.charter_version, event.opens_at)


def _opened(state: Announced, event: VoteOpened) -> Open:
    roll = {entry.seat: entry for entry in event.roll}
    seats = {member: entry.seat for entry in event.roll for member in entry.members or (entry.seat,)}
    recused = dict.fromkeys(event.barred, "the decision is about it")
    tally = Tally(len(roll) - len(recused), sum(entry.weight for entry in event.roll if entry.seat not in recused))
    return Open(state, mapping(roll), mapping(seats), mapping(recused), mapping(), tally, event.closes_at, extended=False)


def _uncounted(state: Open, seat: str) -> Tally:
    before = state.ballots.get(seat)
    return state.tally if before is None else state.tally.counted(_said(before), state.roll[seat].weight, -1)


def _said(ballot: Ballot | BallotCast) -> str:
    return ballot.choice or "chose"


def _ballot(event: BallotCast) -> Ballot:
    return Ballot(event.choice, event.ranking, event.approves)


# ---------------------------------------------------------------- agenda and describe


def agenda(state: ProposalState) -> Agenda:
    """The opening, the close, or the end of the timelock."""
    match state:
        case Announced(opens_at=opens_at):
            return Agenda(Deadline(opens_at, OpenVote()))
        case Open(closes_at=closes_at):
            return Agenda(Deadline(closes_at, CloseVote()))
        case Timelocked(executes_at=executes_at):
            return Agenda(Deadline(executes_at, Execute()))
        case Unproposed() | Over() | Withdrawn():
            return Agenda(closed=True)


def describe(state: ProposalState) -> Headline:
    """What is voted on, where it stands, and who has not voted."""
    match state:
        case Unproposed():
            return Headline("unproposed", "not proposed yet")
        case Announced(opens_at=opens_at):
            return _headline("announced", state, f"the vote opens at {shown_at(opens_at)}")
        case Open(proposal=proposal, tally=tally, closes_at=closes_at):
            quorum = "quorum reached" if voting.has_quorum(proposal.rule, tally) else "no quorum yet"
            line = f"{tally.heads} of {tally.roll_heads} voted, {quorum}; closes at {shown_at(closes_at)}"
            heads, held = voting.quorum(proposal.rule, tally)
            numbers = {
                "quorum": f"{heads} of {tally.roll_heads} seats and {held} of {tally.roll_weight} by weight",
                "voted": f"{tally.heads} of {tally.roll_heads} seats and {tally.voted} of {tally.roll_weight} by weight",
                "yes": str(tally.yes),
                "no": str(tally.no),
            }
            return _headline("open", proposal, line, numbers, _waited_for(state))
        case Timelocked(proposal=proposal, result=result, executes_at=executes_at):
            note = f"passed; nobody is waited for: it is carried out by itself at {shown_at(executes_at)}, when its timelock is over"
            return _headline("timelocked", proposal, note, _numbers(result) | {"timelock": _timelock(proposal)})
        case Over(proposal=proposal, result=result, executed=executed):
            phase = "executed" if executed else result.outcome
            return _headline(phase, proposal, _outcome(result, phase), _numbers(result), values=_values(result))
        case Withdrawn(proposal=proposal):
            return _headline("withdrawn", proposal, "withdrawn by its sponsor")


def _headline(
    phase: str, proposal: Announced, note: str, numbers: dict[str, str] | None = None, waits_for: tuple[str, ...] = (),
    values: dict[str, str | int] | None = None,
) -> Headline:  # fmt: skip
    rule = proposal.rule
    rows = {"decided as": proposal.decision, "method": rule.method, "weights": rule.scheme, "sponsor": proposal.sponsor} | (numbers or {})
    if proposal.terms.options:
        rows["options"] = ", ".join(option.id for option in proposal.terms.options)
    motion = proposal.terms.motion
    if motion is not None:
        rows["orders"] = f"{escaped(str(motion.command.get('kind')))} on {motion.stream}"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    shown: dict[str, str | int] = {"title": proposal.terms.title, "class": proposal.decision, "method": rule.method}
    return Headline(
        phase, f"{escaped(proposal.terms.title)}: {note}", f"| vote | |\n| --- | --- |\n{table}", waits_for, shown | (values or {})
    )


def _timelock(proposal: Announced) -> str:
    """How long what passed waits, and what for."""
    motion, hours = proposal.terms.motion, proposal.rule.timelock_hours
    leaves = motion is not None and process_of(motion.stream) in {"round", "run"}
    return f"{hours} hours from the result to its effect" + (
        "; until then a member that opposed it may leave the round (`consortium round exit-round`)" if leaves else ""
    )


def _waited_for(state: Open) -> tuple[str, ...]:
    """All the members of the seats that have not voted; when these are too many to name, the secretariat reminds them."""
    if state.tally.roll_heads - state.tally.heads > AWAITED:
        return ("office:secretariat",)
    silent = sorted(seat for seat in state.roll if seat not in state.ballots and seat not in state.recused)
    return tuple(name for seat in silent for name in _names(state.roll[seat]))


def _names(entry: RollEntry) -> tuple[str, ...]:
    """Whom notices reach: every member of the seat, or the person on the board."""
    return tuple(f"member:{member}" for member in entry.members) or (entry.seat,)


def _numbers(result: VoteClosed) -> dict[str, str]:
    voted = f"{result.voted_weight} of {result.roll_weight} by {result.heads} of {result.roll_heads}"
    return {"voted": voted, "yes": str(result.yes_weight), "no": str(result.no_weight)}


def _values(result: VoteClosed) -> dict[str, str | int]:
    chosen = " > ".join(" = ".join(group) for group in result.ranking) or ", ".join(result.funded)
    return {"outcome": result.outcome, "yes_weight": result.yes_weight, "no_weight": result.no_weight} | (
        {"result": chosen} if chosen else {}
    )


def _outcome(result: VoteClosed, phase: str) -> str:
    chosen = _values(result).get("result")
    return f"{phase}: {chosen}" if chosen else phase


def proposals(processes: Iterable[Process[Any, Any, Any]]) -> Process[ProposalCommand, ProposalEvent, ProposalState]:
    """The process of proposals whose motions order commands of these processes."""
    orders = {process.name: process.commands for process in processes}

    def decide_readable(state: ProposalState, command: ProposalCommand, context: Context) -> Events:
        events = decide(state, command, context)
        if isinstance(command, Propose | AmendProposal) and command.motion is not None:
            _require_readable(command.motion, orders)
        return events

    return Process(
        name="proposal",
        title="a vote",
        about="Announced, opened on a roll that is frozen, voted on and closed. What passed orders exactly one command, once, after its timelock.",
        initial=Unproposed(),
        decide=decide_readable,
        evolve=evolve,
        agenda=agenda,
        describe=describe,
        commands=TypeAdapter(Annotated[ProposalCommand, Field(discriminator="kind")]),
        events=TypeAdapter(tuple[Annotated[ProposalEvent | Common, Field(discriminator="kind")], ...]),
        state_version=1,
        list_version=3,
    )
