"""Training runs, `run/<id>`: from the contract that is voted on to the last milestone that reviewers accept.

planned → approved → running ⇄ paused → completed | stopped → closed

The trainer's readings are looked at every few hours by a step; what they tell (`domain.telemetry`) comes back as one outcome
(`training_looks`). A milestone: waiting → reached → claimed (→ failed: reached) → presented (→ rejected: reached) → accepted
(`training_milestones`). Whatever puts the run in question (a missed milestone, a forecast above the P80) opens one vote: it goes on,
goes on under another contract, or stops. What comes up during a vote is put to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import telemetry
from domain import training_looks as looks
from domain import training_milestones as milestones
from domain.charter import Office
from domain.evaluation import EvaluationRead, EvaluationRefused
from domain.kernel import SERVICE, Agenda, Deadline, Headline, Refused, escaped, notify, shown_at, slug_of
from domain.money import display
from domain.process import Common, Context, Process, owe
from domain.register import LeadNamed, RunReported
from domain.telemetry import Missing
from domain.training_messages import (
    AcceptMilestone,
    ApproveContract,
    ChangeContract,
    CheckpointMissing,
    ClaimMilestone,
    CloseRun,
    CompleteRun,
    ContinueRun,
    Contract,
    ContractApproved,
    LookAtTelemetry,
    MarkMissed,
    Milestone,
    PauseRun,
    PlanRun,
    QuestionSettled,
    RejectMilestone,
    ResumeRun,
    RunClosed,
    RunCompleted,
    RunPaused,
    RunPlanned,
    RunResumed,
    RunStopped,
    SoundAlarm,
    StartRun,
    StopRun,
    TelemetryReported,
    TrainingCommand,
    TrainingEvent,
)
from domain.training_rules import ask, elsewhere, not_now, not_running, reported, require_due, require_lead
from domain.training_state import (
    Approved,
    Book,
    Closed,
    Ended,
    Events,
    Mark,
    Paused,
    Planned,
    Running,
    TrainingState,
    Unplanned,
    evolve,
)
from domain.training_tables import tables

MOST_CHECKPOINTS: Final = 1_000_000
MOST_WORDS: Final = 2_000
"""Of the reasons of a vote."""
VOTED: Final = ("run/approve_contract", "run/continue_run", "run/change_contract", "run/stop_run")
"""What only a vote can order here."""

# ---------------------------------------------------------------- decide


def decide(state: TrainingState, command: TrainingCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case PlanRun(contract=contract):
            match state:
                case Unplanned() | Planned():
                    return _plan(state, contract, context)
                case Approved() | Running() | Paused() | Ended() | Closed():
                    raise elsewhere("contract_approved", "a contract is planned while none is approved", state)
        case ApproveContract(contract=digest):
            match state:
                case Planned():
                    return _approve(state, digest, context)
                case Unplanned() | Approved() | Running() | Paused() | Ended() | Closed():
                    raise elsewhere("no_contract_waits", "no contract waits for its vote", state)
        case StartRun():
            match state:
                case Approved(book=book):
                    return looks.start(book, context)
                case Running() | Paused():
                    return ()
                case Unplanned() | Planned() | Ended() | Closed():
                    raise elsewhere("not_approved", "a run starts under an approved contract", state)
        case PauseRun(reason=reason):
            match state:
                case Running(book=book):
                    require_lead(book, context)
                    return (RunPaused(reason=reason), reported(book, "paused", context))
                case Paused():
                    return ()
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case ResumeRun():
            match state:
                case Paused(book=book):
                    require_lead(book, context)
                    return (RunResumed(at=context.at), reported(book, "running", context), *looks.look(book, context))
                case Running():
                    return ()
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case LookAtTelemetry():
            context.require_service()
            match state:
                case Running(book=book) if not book.looking or context.at >= looks.look_at(state):
                    require_due(looks.look_at(state), context)
                    return looks.look(book, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case TelemetryReported(number=number):
            match state:
                case Running(book=book) | Paused(book=book) if book.looking and number == book.look:
                    return looks.followed(state, command, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case SoundAlarm():
            context.require_service()
            match state:
                case Running(alarm="" | "stalled"):
                    return looks.alarm(state, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case ClaimMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return milestones.claim(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case EvaluationRead(subject=name, number=claim) | EvaluationRefused(subject=name, number=claim):
            match state:
                case Running(book=book) | Paused(book=book) if book.mark(name).stage == "claimed" and book.mark(name).claim == claim:
                    return milestones.evaluated(book, command, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case AcceptMilestone():
            match state:
                case Running() | Paused():
                    return milestones.accept(state, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case RejectMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return milestones.reject(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case MarkMissed(milestone=name):
            context.require_service()
            match state:
                case Running(book=book) | Paused(book=book):
                    return milestones.missed(book, name, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    return ()
        case ContinueRun(question=question):
            context.require_mandate()
            match state:
                case Running(book=book) | Paused(book=book) if book.asked and question == book.question:
                    return _went_on(book, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case ChangeContract(contract=contract):
            context.require_mandate()
            match state:
                case Approved(book=book) | Running(book=book) | Paused(book=book):
                    return _changed(state, book, contract, context)
                case Unplanned() | Planned() | Ended() | Closed():
                    raise not_running(state)
        case StopRun(question=question, reason=reason):
            match state:
                case Approved(book=book) | Running(book=book) | Paused(book=book):
                    return _stop(book, question, reason, context)
                case Unplanned() | Planned() | Ended() | Closed():
                    return ()
        case CompleteRun():
            match state:
                case Running(book=book):
                    return _complete(book, context)
                case Ended(how="completed"):
                    return ()
                case Unplanned() | Planned() | Approved() | Paused() | Ended() | Closed():
                    raise not_running(state)
        case CloseRun():
            match state:
                case Ended(book=book, how=how):
                    context.require_office(Office.SECRETARIAT)
                    return (RunClosed(), reported(book, f"closed-{how}", context))
                case Closed():
                    return ()
                case Unplanned() | Planned() | Approved() | Running() | Paused():
                    raise elsewhere("run_not_over", "a run is closed when it is over", state)


# ---------------------------------------------------------------- the contract


def _plan(state: Unplanned | Planned, contract: Contract, context: Context) -> Events:
    context.require_office(Office.TRAINING_LEAD, clause="training")
    if context.actor != contract.lead:
        raise not_now("not_the_lead", f"the contract names {contract.lead} as responsible", "name yourself, or let that person plan it")
    if (
        isinstance(state, Planned)
        and context.actor != (other := state.contract.lead)
        and context.register.holds(other, Office.TRAINING_LEAD)
    ):
        raise not_now(
            "other_contract_waits", f"the contract of {other} waits for its vote", f"let it be voted on, or let {other} plan anew"
        )
    _require_sound(contract, context)
    if isinstance(state, Planned) and state.contract == contract:
        return ()
    digest = context.digest_of("contract")
    board = notify("run-planned", ("office:board",), key=f"notice:planned:{digest[:16]}", run=context.stream, contract=digest)
    return (RunPlanned(contract=contract, digest=digest), LeadNamed(run=slug_of(context.stream), lead=contract.lead), owe(board))


def _require_sound(contract: Contract, context: Context) -> None:
    _require_terms(contract, context)
    undecided = [command for command in VOTED if context.charter.class_of(command) is None]
    if undecided:
        raise Refused(
            "nobody_decides", f"no class of decision covers {', '.join(undecided)}", clause="decisions",
            remedy="amend the charter: let a class cover them, for example [decisions.runs]",
        )  # fmt: skip
    past = next((milestone for milestone in contract.milestones if milestone.due_at <= context.at), None)
    if past is not None:
        raise not_now("due_date_passed", f"{past.id} is due at {shown_at(past.due_at)}, which is over", "name a later day")
    if contract.start_funds and contract.round is None:
        raise not_now("no_round", "the contract waits for money of no round", "name the round that pays for it")


def _require_terms(contract: Contract, context: Context) -> None:
    """Refuses terms that no run can be followed or judged by, in a contract as in a change order."""
    currency = context.charter.currency
    if contract.currency != currency:
        raise Refused("other_currency", f"the books are kept in {currency}", remedy="state the cost in that currency", clause="currency")
    checkpoints = sum(telemetry.planned(stage) for stage in contract.stages)
    if checkpoints > MOST_CHECKPOINTS:
        raise not_now(
            "too_many_checkpoints", f"the stages retain {checkpoints:,} checkpoints", f"retain at most {MOST_CHECKPOINTS:,}: fewer of each"
        )
    if contract.look_hours >= min(contract.silent_hours, contract.stalled_hours):
        raise not_now(
            "looks_too_rare", f"the readings are looked at every {contract.look_hours} hours, which is too rare to tell a silent run in time",
            "let `silent_hours` and `stalled_hours` be longer than `look_hours`",
        )  # fmt: skip
    for milestone in contract.milestones:
        lowest, highest = milestone.criteria.loss_at_least_micro, milestone.criteria.loss_at_most_micro
        if lowest is not None and highest is not None and lowest > highest:
            raise not_now("loss_band_inverted", f"no loss is within the band of {milestone.id}", "name the lower loss as the lower end")


def _approve(state: Planned, digest: str, context: Context) -> Events:
    context.require_mandate()
    if digest != state.digest:
        raise not_now("other_contract", f"the contract that waits is {state.digest}", "vote on that one")
    version = context.register.version
    book = Book(state.contract, digest, 1, version)
    lead = notify("run-approved", (state.contract.lead,), key="notice:approved", run=context.stream)
    approved = ContractApproved(contract=state.contract, digest=digest, version=1, charter_version=version)
    return (approved, reported(book, "approved", context), owe(lead))


def _changed(state: Approved | Running | Paused, book: Book, contract: Contract, context: Context) -> Events:
    _require_sound_change(book, contract, context)
    digest = context.digest_of("contract")
    approved = ContractApproved(contract=contract, digest=digest, version=book.version + 1, charter_version=book.charter_version)
    settled = (QuestionSettled(question=book.question, by="change-order"),) if book.asked else ()
    after = evolve(state, approved)
    assert isinstance(after, Approved | Running | Paused), "a change order changes no phase"
    phase = {Approved: "approved", Running: "running", Paused: "paused"}[type(state)]
    moved = isinstance(after, Running) and contract.source != book.contract.source
    return (approved, *settled, reported(after.book, phase, context), *(looks.look(after.book, context) if moved else ()))


def _require_sound_change(book: Book, contract: Contract, context: Context) -> None:
    _require_terms(contract, context)
    kept = {milestone.id: milestone for milestone in contract.milestones}
    for milestone in book.contract.milestones:
        if book.mark(milestone.id).stage == "accepted" and kept.get(milestone.id) != milestone:
            raise not_now("milestone_accepted", f"{milestone.id} is accepted under its terms", "leave accepted milestones as they are")


# ---------------------------------------------------------------- the end


def _went_on(book: Book, context: Context) -> Events:
    """The vote lets the run go on; what came up meanwhile is put to the next."""
    settled = QuestionSettled(question=book.question, by="vote")
    if not book.waiting:
        return (settled,)
    return (settled, *ask(replace(book, asked=False), "; ".join(book.waiting)[:MOST_WORDS], context))


def _stop(book: Book, question: int | None, reason: str, context: Context) -> Events:
    if context.actor == SERVICE and context.mandate is None:
        if not book.asked or question != book.question:
            return ()
    else:
        context.require_mandate()
    lead = notify("run-stopped", (book.contract.lead, "office:secretariat", "office:treasurer"), key="notice:stopped", run=context.stream,
                  reason=reason[:500])  # fmt: skip
    lacking = telemetry.lacking(book.contract.stages, book.watch)
    return (*_missing(lacking), RunStopped(reason=reason), _over(book, "stopped", lacking, context), owe(lead))


def _complete(book: Book, context: Context) -> Events:
    require_lead(book, context)
    if not book.all_accepted:
        open_ = [milestone.id for milestone in book.contract.milestones if book.mark(milestone.id).stage != "accepted"]
        raise not_now("milestones_open", f"{', '.join(open_)} are not accepted", "have them accepted, or change the contract by a vote")
    if book.looking or book.look <= book.accepted_look:
        raise not_now(
            "last_look_awaited", "the readings are to be looked at once more after the last acceptance, so that no checkpoint is called missing "
            "that came meanwhile", "wait for the look that is under way, or the next one",
        )  # fmt: skip
    lacking = telemetry.unfinished(book.contract.stages, book.watch)
    return (*_missing(lacking), RunCompleted(), _over(book, "completed", lacking, context))


def _missing(lacking: Sequence[Missing]) -> Events:
    return tuple(CheckpointMissing(stage=each.stage, step=each.step, count=each.count) for each in lacking)


def _over(book: Book, how: str, lacking: Sequence[Missing], context: Context) -> RunReported:
    return reported(book, how, context, missing=sum(each.count for each in lacking))


# ---------------------------------------------------------------- agenda


def agenda(state: TrainingState) -> Agenda:
    """The next look, the alarm when nothing is heard, or the day of a milestone."""
    match state:
        case Running(book=book):
            due = [_day_of(book)]
            due.append(Deadline(looks.look_at(state), LookAtTelemetry()))
            if state.alarm != "silent":
                due.append(Deadline(looks.alarm_at(state), SoundAlarm()))
            return Agenda(min((each for each in due if each is not None), key=lambda each: each.at, default=None))
        case Paused(book=book):
            return Agenda(_day_of(book))
        case Unplanned() | Planned() | Approved() | Ended():
            return Agenda()
        case Closed():
            return Agenda(closed=True)


def _day_of(book: Book) -> Deadline | None:
    """The next day on which a milestone is missed that nobody has brought evidence for."""
    days = [(at, each.id) for each in book.contract.milestones if (at := milestones.missed_at(book, each)) is not None]
    first = min(days, default=None)
    return Deadline(first[0], MarkMissed(milestone=first[1])) if first is not None else None


# ---------------------------------------------------------------- describe


def describe(state: TrainingState) -> Headline:
    """The run in one line: how far, at what cost, and who is waited for."""
    match state:
        case Unplanned():
            return Headline("unplanned", "no contract was put forward yet")
        case Planned(contract=contract, digest=digest):
            return Headline(
                "planned", f"{escaped(contract.title)}: its contract waits for a vote", f"contract `{digest}`", (contract.lead,)
            )
        case Approved(book=book):
            return _of_book("approved", book, "approved; waits for its money", (book.contract.lead,))
        case Running(book=book, alarm=alarm):
            note = {"": "", "silent": "**silent**: ", "stalled": "**stalled**: "}[alarm]
            return _of_book("running", book, note + _progress(book), _waits_for(book) or ((book.contract.lead,) if alarm else ()))
        case Paused(book=book, reason=reason):
            return _of_book("paused", book, f"rests: {escaped(reason)}", (book.contract.lead,))
        case Ended(book=book, how=how):
            return _of_book(how, book, how, ("office:secretariat",))
        case Closed(book=book, how=how):
            return _of_book("closed", book, f"closed, {how}", ())


def _progress(book: Book) -> str:
    return telemetry.summary(book.watch.stage, book.watch.step, book.watch.tokens, book.contract.token_budget)


def _waits_for(book: Book) -> tuple[str, ...]:
    """Reviewers when evidence waits. Who has not voted on a question is named by its proposal."""
    if any(mark.stage == "presented" for mark in book.marks.values()):
        return ("office:evaluation-reviewer", "office:safety-reviewer")
    return ()


def _of_book(phase: str, book: Book, note: str, waits_for: tuple[str, ...]) -> Headline:
    contract, watch = book.contract, book.watch
    money = {"spent": book.spent, "forecast": book.forecast, "P50": contract.p50, "P80": contract.p80}
    rows = [f"| {name} | {display(amount, contract.currency)} |" for name, amount in money.items()]
    rows += [f"| {milestone.id} | {_told(book.mark(milestone.id), milestone)} |" for milestone in contract.milestones]
    rows.append(f"| checkpoints missing, restarts, spikes | {book.missing}, {book.lineage - 1}, {book.spikes} |")
    values: dict[str, str | int] = {
        "title": contract.title, "lead": contract.lead, "contract": book.digest, "version": book.version, "stage": watch.stage,
        "step": watch.step, "tokens": watch.tokens, "loss_micro": book.loss_micro or 0, "spent_minor": book.spent,
        "forecast_minor": book.forecast, "missing": book.missing, "restarts": book.lineage - 1, "spikes": book.spikes,
    }  # fmt: skip
    table = "| run | |\n| --- | --- |\n" + "\n".join(rows)
    return Headline(phase, f"{escaped(contract.title)}: {note}", table, waits_for, values)


def _told(mark: Mark, milestone: Milestone) -> str:
    model = f", measured on {escaped(mark.model or 'a model without a name')} (results `{mark.results}`)" if mark.results else ""
    waits = f", evidence `{mark.evidence}`{model}" if mark.stage == "presented" else ""
    return f"{mark.stage}{', missed' if mark.missed else ''}{waits}; due {milestone.due_at.date().isoformat()}"


TRAINING: Final[Process[TrainingCommand, TrainingEvent, TrainingState]] = Process(
    name="run",
    title="a training run",
    about="A contract that a vote approved, what its trainer writes, milestones that reviewers accept or reject, and questions put to the vote when the run falls silent, spends too much or comes late.",
    initial=Unplanned(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[TrainingCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[TrainingEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=2,
    list_version=3,
)
