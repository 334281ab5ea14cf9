"""What the rules of training runs have in common: refusals, what the register is told, and the votes that put a run in question."""

from __future__ import annotations

from datetime import datetime

from domain import letters
from domain.charter import TrainingTerms
from domain.evaluation import MilestonePassed
from domain.kernel import Refused, asked_in, given, shown_at, slug_of, tell
from domain.process import Context, owe
from domain.register.facts import RunReported
from domain.run import commands, events
from domain.run.state import Approved, Book, Closed, Ended, Events, Paused, Planned, Running, RunState, Unplanned

# ---------------------------------------------------------------- refusals


def not_now(rule: str, message: str, remedy: str) -> Refused:
    """A refusal by the clause `training`."""
    return Refused(rule, message, remedy=remedy, clause="training")


def elsewhere(rule: str, when: str, state: RunState) -> Refused:
    """The refusal of what is done in another phase: it says first where the run is, and what can be done there."""
    stands, remedy = _stands(state)
    return not_now(rule, f"{stands}; {when}", remedy)


def _stands(state: RunState) -> tuple[str, str]:
    """Where the run is, in words, and what can be done there."""
    changed = "or a vote changes its contract (`consortium proposal propose`)"
    match state:
        case Unplanned():
            return "no run of this name was planned", "check its name (`consortium runs`), or plan it (`consortium run plan-run`)"
        case Planned():
            return "its contract is not approved yet", "have it voted on (`consortium proposal propose`)"
        case Approved():
            return "its contract is approved, and the training has not begun", f"its lead starts it (`consortium run start-run`), {changed}"
        case Running():
            return "the training runs", f"its lead completes it (`consortium run complete-run`), {changed}"
        case Paused():
            return "the training rests", f"its lead lets it go on (`consortium run resume-run`), {changed}"
        case Ended(how=how) | Closed(how=how):
            return f"the run is over: {how}", "another run has a contract of its own (`consortium run plan-run`)"


def not_running(state: RunState) -> Refused:
    """What a run that is not under way says."""
    return elsewhere("run_not_running", "this is done while the training runs", state)


def require_due(at: datetime, context: Context) -> None:
    """Refuses what is due later."""
    if context.at < at:
        raise not_now("not_due", f"this is due at {shown_at(at)}", "none is needed: the system gives it when it is due")


def require_lead(book: Book, context: Context) -> None:
    """Refuses everybody but the training lead."""
    if context.actor != book.contract.lead:
        lead = book.contract.lead
        raise not_now("not_the_lead", f"{lead} is responsible for this run", f"ask {lead}, or propose a change order with another lead")


# ---------------------------------------------------------------- the charter and the register


def terms_of(book: Book, context: Context) -> TrainingTerms:
    """The clause `training` of the charter that the contract was approved under."""
    kept = book.charter_version
    return (context.charter if kept is None else context.register.charters[kept]).training


def reported(book: Book, phase: str, context: Context, *, missing: int = 0) -> RunReported:
    """What the register is told, when so many checkpoints more are missing."""
    lacking, marks = book.missing + missing, ((milestone.id, book.mark(milestone.id)) for milestone in book.contract.milestones)
    return RunReported(
        run=slug_of(context.stream),
        phase=phase,
        contract=book.digest,
        checkpoints_retained=lacking == 0,
        training_lead=book.contract.lead,
        tokens=book.watch.tokens,
        checkpoints=book.watch.checkpoints,
        missing=lacking,
        accepted=tuple(
            MilestonePassed(milestone=name, evidence=mark.evidence, measured=mark.measured)
            for name, mark in marks
            if mark.stage == "accepted"
        ),
    )


def phase_of(state: Running | Paused) -> str:
    """The phase as the register has it."""
    return "running" if isinstance(state, Running) else "paused"


# ---------------------------------------------------------------- votes


def ask(book: Book, why: str, context: Context) -> Events:
    """One vote at a time: what else comes up meanwhile is put to the next one."""
    if book.asked:
        return ()
    number, run = book.question + 1, slug_of(context.stream)
    stream = asked_in("question", run, number)
    proposal = letters.Propose(
        title=f"Shall the run {run} go on?",
        text=f"{why[:1].upper()}{why[1:]}. Without a majority it is stopped; a change order is a proposal of its own.",
        motion=letters.Motion(
            stream=context.stream,
            command=given(commands.ContinueRun(question=number)),
            otherwise=given(commands.StopRun(question=number, reason=why)),
        ),
    )
    return (events.QuestionAsked(question=number, proposal=stream), owe(tell(stream, proposal, key=f"tell:question:{number}")))
