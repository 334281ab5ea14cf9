"""What the rules of training runs share: guards by phase, refusals, the report to the register, and the vote that puts a run in question."""

from __future__ import annotations

from domain import letters, process
from domain.charter import TrainingTerms
from domain.evaluation import MilestonePassed
from domain.kernel import Refused, asked_in, given, slug_of, tell
from domain.process import Context
from domain.register.facts import RunReported
from domain.run import commands, events
from domain.run.state import Approved, Book, Closed, Ended, Paused, Planned, Running, RunState, Unplanned
from domain.stream import owe

Events = process.Events[events.RunEvent]

# ---------------------------------------------------------------- refusals


def not_now(rule: str, message: str, remedy: str) -> Refused:
    """A refusal by the clause `training`."""
    return Refused(rule, message, remedy=remedy, clause="training")


def wrong_phase(rule: str, when: str, state: RunState) -> Refused:
    """The refusal of what is done in another phase: it says first where the run is, and what can be done there."""
    position, remedy = _position(state)
    return not_now(rule, f"{position}; {when}", remedy)


def _position(state: RunState) -> tuple[str, str]:
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


def _not_running(state: RunState) -> Refused:
    return wrong_phase("run_not_running", "this is done while the training runs", state)


def require_lead(book: Book, context: Context) -> None:
    """Refuses everybody but the training lead."""
    if context.actor != book.contract.lead:
        lead = book.contract.lead
        raise not_now("not_the_lead", f"{lead} is responsible for this run", f"ask {lead}, or propose a change order with another lead")


# ---------------------------------------------------------------- guards by phase


def plannable(state: RunState) -> Unplanned | Planned:
    """Refuses another plan once a contract is approved."""
    match state:
        case Unplanned() | Planned():
            return state
        case Approved() | Running() | Paused() | Ended() | Closed():
            raise wrong_phase("contract_approved", "a contract is planned while none is approved", state)


def planned(state: RunState) -> Planned:
    """Refuses an approval while no contract waits for one."""
    match state:
        case Planned():
            return state
        case Unplanned() | Approved() | Running() | Paused() | Ended() | Closed():
            raise wrong_phase("no_contract_waits", "no contract waits for its vote", state)


def startable(state: RunState) -> Approved | Running | Paused:
    """A run under an approved contract, also when it has begun already. Refuses the rest."""
    match state:
        case Approved() | Running() | Paused():
            return state
        case Unplanned() | Planned() | Ended() | Closed():
            raise wrong_phase("not_approved", "a run starts under an approved contract", state)


def changeable(state: RunState) -> Approved | Running | Paused:
    """A run whose contract a vote can change. Refuses the rest."""
    match state:
        case Approved() | Running() | Paused():
            return state
        case Unplanned() | Planned() | Ended() | Closed():
            raise _not_running(state)


def begun(state: RunState) -> Running | Paused:
    """A run that has begun and is not over. Refuses the rest."""
    match state:
        case Running() | Paused():
            return state
        case Unplanned() | Planned() | Approved() | Ended() | Closed():
            raise _not_running(state)


def completable(state: RunState) -> Running | Ended:
    """A run that is going on, or was completed already. Refuses the rest."""
    match state:
        case Running() | Ended(how="completed"):
            return state
        case Unplanned() | Planned() | Approved() | Paused() | Ended() | Closed():
            raise _not_running(state)


def over(state: RunState) -> Ended | Closed:
    """A run that is over. Refuses the rest."""
    match state:
        case Ended() | Closed():
            return state
        case Unplanned() | Planned() | Approved() | Running() | Paused():
            raise wrong_phase("run_not_over", "a run is closed when it is over", state)


def begun_if_any(state: RunState) -> Running | Paused | None:
    """A run that has begun and is not over; nothing for the rest, where outcomes and votes that come late change nothing."""
    match state:
        case Running() | Paused():
            return state
        case Unplanned() | Planned() | Approved() | Ended() | Closed():
            return None


def approved_if_any(state: RunState) -> Approved | Running | Paused | None:
    """A run under an approved contract that is not over; nothing for the rest."""
    match state:
        case Approved() | Running() | Paused():
            return state
        case Unplanned() | Planned() | Ended() | Closed():
            return None


def with_milestone_days(state: RunState) -> Running | Paused:
    """The phases in which the agenda names the days of milestones."""
    assert isinstance(state, Running | Paused), f"no milestone's day stands in {type(state).__name__}"
    return state


# ---------------------------------------------------------------- the charter and the register


def terms_of(book: Book, context: Context) -> TrainingTerms:
    """The clause `training` of the charter that the contract was approved under."""
    version = book.charter_version
    return (context.charter if version is None else context.register.charters[version]).training


def report(book: Book, phase: str, context: Context, *, missing: int = 0) -> RunReported:
    """The fact for the register, when so many checkpoints more are missing."""
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


def phase_of(state: Approved | Running | Paused) -> str:
    """The phase as the register has it."""
    match state:
        case Approved():
            return "approved"
        case Running():
            return "running"
        case Paused():
            return "paused"


# ---------------------------------------------------------------- votes


def put_to_vote(book: Book, why: str, context: Context) -> Events:
    """Asks whether the run goes on. One vote at a time: what else comes up meanwhile is put to the next one."""
    if book.question_open:
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
