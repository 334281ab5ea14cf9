"""Proposals and votes, `proposal/<id>`: from the announcement to the execution of exactly what was voted on.

announced → open → passed (→ timelock → executed | refused) | rejected | lapsed (no quorum) | withdrawn

What a proposal would do fixes its class, and the class the rule (`announcing`): quorum by heads and by weight on the roll that is frozen
at the opening (`opening`), threshold, duration, who is barred. Ballots are taken in `balloting` and counted in `closing`, by the methods in
`voting`. A passed proposal authorises one command, by its digest, once (`ordering`); what is refused there ends as refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from domain import letters
from domain.charter import DecisionRule, Office
from domain.kernel import AWAITED, WHOLE, Agenda, Deadline, Headline, escaped, percent, process_of, shown_at
from domain.process import Context, Process, phase_of_deadline
from domain.proposal import announcing, balloting, closing, commands, events, notices, opening, ordering, rules, voting
from domain.proposal.rules import Events
from domain.proposal.state import Announced, Open, Over, ProposalState, Timelocked, Unexecuted, Unproposed, Withdrawn, evolve
from domain.stream import Common


def decide(state: ProposalState, command: commands.ProposalCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case letters.Propose():
            return announcing.propose(rules.unproposed(state), command, context)
        case commands.AmendProposal():
            return announcing.amend(rules.amendable(state, context), command, context)
        case commands.WithdrawProposal():
            return announcing.withdraw(rules.withdrawable(state, context), context)
        case commands.OpenVote():
            return opening.open_vote(phase_of_deadline(state, Announced), context)
        case commands.CastBallot():
            return balloting.cast_ballot(rules.voting_open(state, context), command, context)
        case commands.DeclareConflict():
            return balloting.declare_conflict(rules.voting_open(state, context), command, context)
        case commands.CloseVote():
            return closing.close_vote(phase_of_deadline(state, Open), context)
        case commands.Execute():
            return ordering.execute(phase_of_deadline(state, Timelocked), context)
        case commands.EndMandate():
            return ordering.end_mandate(phase_of_deadline(state, Unexecuted), context)


def agenda(state: ProposalState) -> Agenda:
    """The opening, the close, the end of the timelock, or that of the mandate of what was refused."""
    match state:
        case Announced(opens_at=opens_at):
            return Agenda((Deadline(opens_at, commands.OpenVote()),))
        case Open(closes_at=closes_at):
            return Agenda((Deadline(closes_at, commands.CloseVote()),))
        case Timelocked(executes_at=executes_at):
            return Agenda((Deadline(executes_at, commands.Execute()),))
        case Unexecuted(until=until):
            return Agenda((Deadline(until, commands.EndMandate()),))
        case Unproposed() | Over() | Withdrawn():
            return Agenda(closed=True)


def describe(state: ProposalState) -> Headline:
    """The title, the phase, the count, and who has not voted."""
    match state:
        case Unproposed():
            return Headline("unproposed", "not proposed yet")
        case Announced(opens_at=opens_at):
            return _headline("announced", state, f"the vote opens at {shown_at(opens_at)}")
        case Open(proposal=proposal, roll=frozen, tally=tally, closes_at=closes_at):
            roll = tuple(frozen.values())
            quorum = "quorum reached" if voting.has_quorum(proposal.rule, tally) else "no quorum yet"
            line = f"{tally.heads} of {tally.roll_heads} voted, {quorum}; closes at {shown_at(closes_at)}"
            heads, held = voting.quorum(proposal.rule, tally)
            numbers = {
                "quorum": f"{heads} of {tally.roll_heads} seats and {held} of {tally.roll_weight} by weight",
                "voted": f"{tally.heads} of {tally.roll_heads} seats and {tally.voted} of {tally.roll_weight} by weight",
                "yes": str(tally.yes),
                "no": str(tally.no),
            }
            alike = rules.equal_weights(proposal, roll)
            numbers |= {"group cap": alike} if alike else {}
            numbers |= {"roll": "members and board together, one vote each (membership.founding_seats)"} if rules.founding(roll) else {}
            return _headline("open", proposal, line, numbers, _waits_for(state))
        case Timelocked(proposal=proposal, result=result, executes_at=executes_at):
            note = f"passed; nobody is waited for: it is carried out by itself at {shown_at(executes_at)}, when its timelock is over"
            return _headline("timelocked", proposal, note, _numbers(result) | {"timelock": _timelock(proposal)})
        case Unexecuted(proposal=proposal, result=result, reason=reason, until=until):
            again = f"the secretariat may try it again (`consortium retry`) until {shown_at(until)}"
            note = f"passed, and refused when it was carried out: {escaped(reason, rules.REASON_LENGTH)}; {again}"
            return _headline("refused", proposal, note, _numbers(result), (f"office:{Office.SECRETARIAT}",), rules.values_of(result))
        case Over(proposal=proposal, result=result, phase=phase, reason=reason):
            note = rules.outcome_of(state) + (f": {escaped(reason, rules.REASON_LENGTH)}" if reason else "")
            return _headline(phase, proposal, note, _numbers(result), values=rules.values_of(result))
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
    rows = {"decided as": proposal.decision, "method": rule.method, "weights": rule.scheme, "sponsor": proposal.sponsor}
    rows |= _threshold(rule) | (numbers or {})
    if proposal.terms.options:
        rows["options"] = ", ".join(option.id for option in proposal.terms.options)
        runs = sorted({option.contract.run for option in proposal.terms.options if option.contract is not None})
        if runs:
            rows["binds"] = f"the contract of {', '.join(f'run/{run}' for run in runs)}"
    motion = proposal.terms.motion
    if motion is not None:
        rows["orders"] = f"{escaped(str(motion.command.get('kind')))} on {motion.stream}"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    described: dict[str, str | int] = {"title": proposal.terms.title, "class": proposal.decision, "method": rule.method}
    return Headline(
        phase, f"{escaped(proposal.terms.title)}: {note}", f"| vote | |\n| --- | --- |\n{table}", waits_for, described | (values or {})
    )


def _threshold(rule: DecisionRule) -> dict[str, str]:
    """What yes needs, and how a tie is broken, where the charter says so."""
    if rule.method == "weighted":
        least = "all" if rule.threshold == WHOLE else f"more than {percent(rule.threshold)}"
        return {"needs": f"{least} of {'the roll' if rule.threshold_of == 'roll' else 'yes and no'}"}
    return {"ties": "broken by " + ", then as ".join(sorted(rule.tie_breaks))} if rule.tie_breaks else {}


def _timelock(proposal: Announced) -> str:
    """How long what passed waits, and what for."""
    motion, hours = proposal.terms.motion, proposal.rule.timelock_hours
    leaves = motion is not None and process_of(motion.stream) in {"round", "run"}
    return f"{hours} hours from the result to its effect" + (
        "; until then a member that opposed it may leave the round (`consortium round exit-round`)" if leaves else ""
    )


def _waits_for(state: Open) -> tuple[str, ...]:
    """All the members of the seats that have not voted; when these are too many to name, the secretariat reminds them."""
    if state.tally.roll_heads - state.tally.heads > AWAITED:
        return ("office:secretariat",)
    silent = sorted(seat for seat in state.roll if seat not in state.ballots and seat not in state.recused)
    return tuple(name for seat in silent for name in notices.recipients_of(state.roll[seat]))


def _numbers(result: events.VoteClosed) -> dict[str, str]:
    tied = "; ".join(", ".join(group) for group in result.tied)
    voted = f"{result.voted_weight} of {result.roll_weight} by {result.heads} of {result.roll_heads}"
    numbers = {"voted": voted, "yes": str(result.yes_weight), "no": str(result.no_weight)}
    return numbers | ({"tied in the count": tied} if tied else {})


def proposals(processes: Iterable[Process[Any, Any, Any]]) -> Process[commands.ProposalCommand, events.ProposalEvent, ProposalState]:
    """The process of proposals whose motions order commands of these processes."""
    orders = {process.name: process.commands for process in processes}

    def decide_readable(state: ProposalState, command: commands.ProposalCommand, context: Context) -> Events:
        decided = decide(state, command, context)
        if isinstance(command, letters.Propose | commands.AmendProposal) and command.motion is not None:
            announcing.require_readable(command.motion, orders)
        return decided

    return Process(
        name="proposal",
        title="a vote",
        about="Announced, opened on a roll that is frozen, voted on and closed. What passed orders exactly one command, once, after its timelock; refused there it ends as refused.",
        initial=Unproposed(),
        decide=decide_readable,
        evolve=evolve,
        agenda=agenda,
        describe=describe,
        after_step=ordering.after_step,
        commands=TypeAdapter(Annotated[commands.ProposalCommand, Field(discriminator="kind")]),
        events=TypeAdapter(tuple[Annotated[events.ProposalEvent | Common, Field(discriminator="kind")], ...]),
        state_version=9,
        list_version=6,
    )
