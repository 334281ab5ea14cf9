"""Proposals and votes, `proposal/<id>`: from the announcement to the execution of exactly what was voted on.

announced → open → passed (→ timelock → executed) | rejected | lapsed (no quorum) | withdrawn

What a proposal would do fixes its class, and the class the rule (`announcing`): quorum by heads and by weight on the roll that is frozen
at the opening (`opening`), threshold, duration, who is barred. Ballots are taken in `balloting` and counted in `closing`, by the methods in
`voting`. A passed proposal authorises one command, by its digest, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from domain import letters
from domain.kernel import AWAITED, Agenda, Deadline, Headline, Refused, escaped, process_of, shown_at
from domain.process import Common, Context, Process
from domain.proposal import commands, events, voting
from domain.proposal.announcing import announce, require_own_name, require_readable, require_sponsor_of, withdraw
from domain.proposal.balloting import cast, declare
from domain.proposal.closing import close, executed
from domain.proposal.opening import names_of, open_vote
from domain.proposal.rules import Events, not_now, outcome_of, require_due, values_of
from domain.proposal.state import Announced, Open, Over, ProposalState, Timelocked, Unproposed, Withdrawn, evolve


def decide(state: ProposalState, command: commands.ProposalCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case letters.Propose():
            match state:
                case Unproposed():
                    require_own_name(context)
                    return announce(command, context)
                case Announced() | Open() | Timelocked() | Over() | Withdrawn():
                    raise Refused(
                        "already_proposed", "this proposal has been made", remedy="give the new one a name of its own", clause="decisions"
                    )
        case commands.AmendProposal():
            match state:
                case Announced():
                    require_sponsor_of(state, context)
                    return announce(command, context)
                case Unproposed() | Open() | Timelocked() | Over() | Withdrawn():
                    raise not_now("not_amendable", "amended before its vote opens", state, context)
        case commands.WithdrawProposal():
            match state:
                case Announced():
                    return withdraw(state, context)
                case Open(proposal=proposal, ballots=ballots, closes_at=closes_at) if not ballots and context.at < closes_at:
                    return withdraw(proposal, context)
                case Unproposed() | Open() | Timelocked() | Over() | Withdrawn():
                    raise not_now("not_withdrawable", "withdrawn before anybody voted and its vote is over", state, context)
        case commands.OpenVote():
            context.require_service()
            match state:
                case Announced(opens_at=opens_at):
                    require_due(opens_at, context)
                    return open_vote(state, context)
                case Unproposed() | Open() | Timelocked() | Over() | Withdrawn():
                    return ()
        case commands.CastBallot():
            match state:
                case Open():
                    return cast(state, command, context)
                case Unproposed() | Announced() | Timelocked() | Over() | Withdrawn():
                    raise not_now("vote_not_open", "voted on while its vote is open", state, context)
        case commands.DeclareConflict():
            match state:
                case Open():
                    return declare(state, command, context)
                case Unproposed() | Announced() | Timelocked() | Over() | Withdrawn():
                    raise not_now("vote_not_open", "stepped back from while its vote is open", state, context)
        case commands.CloseVote():
            context.require_service()
            match state:
                case Open(closes_at=closes_at):
                    require_due(closes_at, context)
                    return close(state, context)
                case Unproposed() | Announced() | Timelocked() | Over() | Withdrawn():
                    return ()
        case commands.Execute():
            context.require_service()
            match state:
                case Timelocked(executes_at=executes_at, proposal=proposal):
                    require_due(executes_at, context)
                    return executed(proposal, context)
                case Unproposed() | Announced() | Open() | Over() | Withdrawn():
                    return ()


def agenda(state: ProposalState) -> Agenda:
    """The opening, the close, or the end of the timelock."""
    match state:
        case Announced(opens_at=opens_at):
            return Agenda((Deadline(opens_at, commands.OpenVote()),))
        case Open(closes_at=closes_at):
            return Agenda((Deadline(closes_at, commands.CloseVote()),))
        case Timelocked(executes_at=executes_at):
            return Agenda((Deadline(executes_at, commands.Execute()),))
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
            return _headline(phase, proposal, outcome_of(result, phase), _numbers(result), values=values_of(result))
        case Withdrawn(proposal=proposal):
            return _headline("withdrawn", proposal, "withdrawn by its sponsor")


def _headline(
    phase: str,
    proposal: Announced,
    note: str,
    numbers: dict[str, str] | None = None,
    waits_for: tuple[str, ...] = (),
    values: dict[str, str | int] | None = None,
) -> Headline:
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
    return tuple(name for seat in silent for name in names_of(state.roll[seat]))


def _numbers(result: events.VoteClosed) -> dict[str, str]:
    voted = f"{result.voted_weight} of {result.roll_weight} by {result.heads} of {result.roll_heads}"
    return {"voted": voted, "yes": str(result.yes_weight), "no": str(result.no_weight)}


def proposals(processes: Iterable[Process[Any, Any, Any]]) -> Process[commands.ProposalCommand, events.ProposalEvent, ProposalState]:
    """The process of proposals whose motions order commands of these processes."""
    orders = {process.name: process.commands for process in processes}

    def decide_readable(state: ProposalState, command: commands.ProposalCommand, context: Context) -> Events:
        decided = decide(state, command, context)
        if isinstance(command, letters.Propose | commands.AmendProposal) and command.motion is not None:
            require_readable(command.motion, orders)
        return decided

    return Process(
        name="proposal",
        title="a vote",
        about="Announced, opened on a roll that is frozen, voted on and closed. What passed orders exactly one command, once, after its timelock.",
        initial=Unproposed(),
        decide=decide_readable,
        evolve=evolve,
        agenda=agenda,
        describe=describe,
        commands=TypeAdapter(Annotated[commands.ProposalCommand, Field(discriminator="kind")]),
        events=TypeAdapter(tuple[Annotated[events.ProposalEvent | Common, Field(discriminator="kind")], ...]),
        state_version=3,
        list_version=3,
    )
