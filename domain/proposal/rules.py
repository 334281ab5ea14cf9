"""What the rules of a proposal share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from domain import process
from domain.charter import seats_for_cap
from domain.kernel import ASKED, Refused, one_line, percent, shown_at, slug_of
from domain.process import Context
from domain.proposal import events, voting
from domain.proposal.state import Announced, Open, Over, ProposalState, Timelocked, Unexecuted, Unproposed, Withdrawn
from domain.proposal.terms import RollEntry

REASON_LENGTH: Final = 300
"""The most characters of a refusal in a line."""
Events = process.Events[events.ProposalEvent]


def unproposed(state: ProposalState) -> Unproposed:
    """Refuses a second proposal under the name."""
    match state:
        case Unproposed():
            return state
        case Announced() | Open() | Timelocked() | Unexecuted() | Over() | Withdrawn():
            raise Refused(
                "already_proposed", "this proposal has been made", remedy="give the new one a name of its own", clause="decisions"
            )


def amendable(state: ProposalState, context: Context) -> Announced:
    """Refuses other terms once the vote has opened."""
    match state:
        case Announced():
            return state
        case Unproposed() | Open() | Timelocked() | Unexecuted() | Over() | Withdrawn():
            raise _not_now("not_amendable", "amended before its vote opens", state, context)


def withdrawable(state: ProposalState, context: Context) -> Announced | Open:
    """Refuses to take a proposal back once somebody voted, or the time to vote is over."""
    match state:
        case Announced():
            return state
        case Open(ballots=ballots, closes_at=closes_at) if not ballots and context.at < closes_at:
            return state
        case Unproposed() | Open() | Timelocked() | Unexecuted() | Over() | Withdrawn():
            raise _not_now("not_withdrawable", "withdrawn while nobody has voted and its vote is not over", state, context)


def voting_open(state: ProposalState, context: Context) -> Open:
    """Refuses ballots and recusals before the opening and after the result."""
    match state:
        case Open():
            return state
        case Unproposed() | Announced() | Timelocked() | Unexecuted() | Over() | Withdrawn():
            raise _not_now("vote_not_open", "voted on, or stepped back from, while its vote is open", state, context)


def _not_now(rule: str, when: str, state: ProposalState, context: Context) -> Refused:
    """The refusal of a command in another phase; the message begins with the present one."""
    phase, remedy = _phase_in_words(state, context)
    return Refused(rule, f"{phase}; a proposal is {when}", remedy=remedy, clause="decisions")


def _phase_in_words(state: ProposalState, context: Context) -> tuple[str, str]:
    """The present phase in words, and what can be done in it."""
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
        case Unexecuted(reason=reason):
            return f"its vote is over: it passed, and was refused when it was carried out ({one_line(reason, REASON_LENGTH)})", anew
        case Over():
            why = one_line(state.reason, REASON_LENGTH)
            return f"its vote is over: {outcome_of(state)}{f' ({why})' if why else ''}", anew
        case Withdrawn():
            return "its sponsor took it back", "what is wanted still is proposed under another name (`consortium proposal propose`)"


def values_of(result: events.VoteClosed) -> dict[str, str | int]:
    """What lists show of a result."""
    chosen = " > ".join(" = ".join(group) for group in result.ranking) or ", ".join(result.funded)
    return {"outcome": result.outcome, "yes_weight": result.yes_weight, "no_weight": result.no_weight} | (
        {"result": chosen} if chosen else {}
    )


def outcome_of(state: Over) -> str:
    """How the proposal ended, with what was chosen."""
    chosen = values_of(state.result).get("result")
    return f"{state.phase}: {chosen}" if chosen else state.phase


def equal_weights(proposal: Announced, roll: Collection[RollEntry]) -> str:
    """Why every seat of a roll weighs the same, where the charter's cap on a group cannot hold; empty where it can, and where the board votes."""
    cap, held = proposal.rule.group_cap, [entry.weight for entry in roll]
    if not any(entry.members for entry in roll) or voting.cap_holds(held, cap):
        return ""
    needed = f"; from {seats_for_cap(cap)} seats on it holds" if cap else ""
    return (
        f"every seat that weighs anything weighs one: of {sum(weight > 0 for weight in held)} seats none can be kept to "
        f"{percent(cap)} (decisions.{proposal.decision}.group_cap){needed}"
    )


def founding(roll: Collection[RollEntry]) -> bool:
    """Whether members and board decide together, one vote each."""
    return len({bool(entry.members) for entry in roll}) > 1
