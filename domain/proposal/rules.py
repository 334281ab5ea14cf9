"""What the rules of a proposal share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.kernel import ASKED, Refused, shown_at, slug_of
from domain.process import Context, StepOwed
from domain.proposal import events
from domain.proposal.state import Announced, Open, Over, ProposalState, Timelocked, Unproposed, Withdrawn

Events = Sequence[events.ProposalEvent | StepOwed]


def not_now(rule: str, when: str, state: ProposalState, context: Context) -> Refused:
    """A refusal that says first where the proposal stands, and what can be done there."""
    where, remedy = _stands(state, context)
    return Refused(rule, f"{where}; a proposal is {when}", remedy=remedy, clause="decisions")


def require_due(at: datetime, context: Context) -> None:
    """Refuses what is due later."""
    if context.at < at:
        raise Refused("not_due", f"this comes at {shown_at(at)}", remedy="wait: the system gives it when it is due", clause="decisions")


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
            return f"its vote is over: {outcome_of(result, 'executed' if executed else result.outcome)}", anew
        case Withdrawn():
            return "its sponsor took it back", "what is wanted still is proposed under another name (`consortium proposal propose`)"


def values_of(result: events.VoteClosed) -> dict[str, str | int]:
    """What lists show of a result."""
    chosen = " > ".join(" = ".join(group) for group in result.ranking) or ", ".join(result.funded)
    return {"outcome": result.outcome, "yes_weight": result.yes_weight, "no_weight": result.no_weight} | (
        {"result": chosen} if chosen else {}
    )


def outcome_of(result: events.VoteClosed, phase: str) -> str:
    """How the proposal ended, with what was chosen."""
    chosen = values_of(result).get("result")
    return f"{phase}: {chosen}" if chosen else phase
