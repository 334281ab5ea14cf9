"""Training runs, `run/<id>`: from the contract that is voted on to the last milestone that reviewers accept.

planned → approved → running ⇄ paused → completed | stopped → closed

The trainer's readings are looked at every few hours by a step; what they tell (`domain.telemetry`) comes back as one outcome.
A milestone: waiting → reached → claimed (→ failed: reached) → presented (→ rejected: reached) → accepted. Whatever puts the run in
question (a missed milestone, a forecast above the P80) opens one vote: it goes on, goes on under another contract, or stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from domain import telemetry
from domain.charter import Office
from domain.kernel import (
    SERVICE,
    Agenda,
    Deadline,
    Headline,
    Map,
    PersonId,
    Refused,
    Step,
    asked_in,
    escaped,
    mapping,
    notify,
    slug_of,
    tell,
)
from domain.money import display
from domain.process import Common, Context, Process, StepOwed, owe
from domain.register import LeadNamed, RunReported
from domain.telemetry import Watch
from domain.training_messages import (
    AcceptMilestone,
    AlarmEnded,
    ApproveContract,
    ChangeContract,
    CheckpointMissing,
    CheckpointsWritten,
    ClaimFailed,
    ClaimMilestone,
    CloseRun,
    CompleteRun,
    ContinueRun,
    Contract,
    ContractApproved,
    EvaluationRead,
    EvaluationRefused,
    EvidencePresented,
    FollowTelemetry,
    LookAtTelemetry,
    LookBegan,
    LossSpiked,
    MarkMissed,
    Measured,
    Milestone,
    MilestoneAccepted,
    MilestoneClaimed,
    MilestoneMissed,
    MilestoneReached,
    MilestoneRejected,
    MilestoneSigned,
    OverrunForecast,
    PauseRun,
    PlanRun,
    QuestionAsked,
    QuestionSettled,
    ReadEvaluation,
    RejectMilestone,
    ResumeRun,
    RunClosed,
    RunCompleted,
    RunFellSilent,
    RunPaused,
    RunPlanned,
    RunRestarted,
    RunResumed,
    RunStalled,
    RunStarted,
    RunStopped,
    Score,
    SoundAlarm,
    StartRun,
    StopRun,
    TelemetryFollowed,
    TelemetryReported,
    TrainingCommand,
    TrainingEvent,
    contract_digest,
    evidence_digest,
)

Events = Sequence[TrainingEvent | StepOwed]

BILLION: Final = 10**9
VOTED: Final = ("run/approve_contract", "run/continue_run", "run/change_contract", "run/stop_run")
"""What only a vote can order here."""

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a milestone is."""

    stage: Literal["waiting", "reached", "claimed", "presented", "accepted"] = "waiting"
    claim: int = 0
    evidence: str = ""
    signed: tuple[PersonId, ...] = ()
    rejected: frozenset[str] = frozenset()
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Book:
    """A run under its contract."""

    contract: Contract
    digest: str
    version: int
    watch: Watch = Watch()
    cursor: str = ""
    look: int = 0
    looking: bool = False
    """Whether a look is under way."""
    loss_micro: int | None = None
    spent: int = 0
    forecast: int = 0
    lineage: int = 1
    missing: int = 0
    spikes: int = 0
    marks: Map[str, Mark] = field(default_factory=mapping)
    question: int = 0
    asked: bool = False
    """Whether the vote on the last question is under way."""
    overrun: bool = False
    """Whether this contract's overrun was put to a vote."""

    def mark(self, milestone: str) -> Mark:
        """How far a milestone is."""
        return self.marks.get(milestone, Mark())


@dataclass(frozen=True, slots=True)
class Unplanned:
    """Before the first contract."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A contract waits for its vote."""

    contract: Contract
    digest: str


@dataclass(frozen=True, slots=True)
class Approved:
    """The contract is approved; the money is waited for."""

    book: Book


@dataclass(frozen=True, slots=True)
class Running:
    """The training runs."""

    book: Book
    look_at: datetime
    heard_at: datetime
    advanced_at: datetime
    alarm: Literal["", "silent", "stalled"] = ""


@dataclass(frozen=True, slots=True)
class Paused:
    """The training rests."""

    book: Book
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The training is over; the run is not in the files yet."""

    book: Book
    how: Literal["completed", "stopped"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The run is in the files."""

    book: Book
    how: Literal["completed", "stopped"]


TrainingState = Unplanned | Planned | Approved | Running | Paused | Ended | Closed

# ---------------------------------------------------------------- decide


def decide(state: TrainingState, command: TrainingCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case PlanRun(contract=contract):
            match state:
                case Unplanned() | Planned():
                    return _plan(state, contract, context)
                case Approved() | Running() | Paused() | Ended() | Closed():
                    raise _not_now("contract_approved", "this run has a contract", "propose a change order (`change_contract`)")
        case ApproveContract(contract=digest):
            match state:
                case Planned():
                    return _approve(state, digest, context)
                case Unplanned() | Approved() | Running() | Paused() | Ended() | Closed():
                    raise _not_now("no_contract_waits", "no contract waits for its vote", "plan the run first (`plan_run`)")
        case StartRun():
            match state:
                case Approved(book=book):
                    return _start(book, context)
                case Running() | Paused():
                    return ()
                case Unplanned() | Planned() | Ended() | Closed():
                    raise _not_now("not_approved", "a run starts under an approved contract", "have its contract voted on")
        case PauseRun(reason=reason):
            match state:
                case Running(book=book):
                    _require_lead(book, context)
                    return (RunPaused(reason=reason), _reported(book, "paused", context))
                case Paused():
                    return ()
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise _not_running()
        case ResumeRun():
            match state:
                case Paused(book=book):
                    _require_lead(book, context)
                    began = () if book.looking else _look(book, context)
                    return (RunResumed(at=context.at), _reported(book, "running", context), *began)
                case Running():
                    return ()
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise _not_running()
        case LookAtTelemetry():
            context.require_service()
            match state:
                case Running(book=book, look_at=look_at) if not book.looking:
                    _require_due(look_at, context)
                    return _look(book, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case TelemetryReported(number=number):
            match state:
                case Running(book=book) | Paused(book=book) if number == book.look:
                    return _followed(state, command, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case SoundAlarm():
            context.require_service()
            match state:
                case Running(alarm="" | "stalled"):
                    return _alarm(state, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case ClaimMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return _claim(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise _not_running()
        case EvaluationRead(milestone=name, claim=claim) | EvaluationRefused(milestone=name, claim=claim):
            match state:
                case Running(book=book) | Paused(book=book) if book.mark(name).stage == "claimed" and book.mark(name).claim == claim:
                    return _evaluated(book, command, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case AcceptMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return _accept(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise _not_running()
        case RejectMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return _reject(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise _not_running()
        case MarkMissed(milestone=name):
            context.require_service()
            match state:
                case Running(book=book) | Paused(book=book):
                    return _missed(book, name, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    return ()
        case ContinueRun(question=question):
            context.require_mandate()
            match state:
                case Running(book=book) | Paused(book=book) if book.asked and question == book.question:
                    return (QuestionSettled(question=question, by="vote"),)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case ChangeContract(contract=contract):
            context.require_mandate()
            match state:
                case Approved(book=book) | Running(book=book) | Paused(book=book):
                    return _changed(state, book, contract, context)
                case Unplanned() | Planned() | Ended() | Closed():
                    raise _not_running()
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
                    raise _not_running()
        case CloseRun():
            match state:
                case Ended(book=book, how=how):
                    context.require_office(Office.SECRETARIAT)
                    return (RunClosed(), _reported(book, f"closed-{how}", context))
                case Closed():
                    return ()
                case Unplanned() | Planned() | Approved() | Running() | Paused():
                    raise _not_now("run_not_over", "a run is closed when it is over", "complete it, or have it stopped by a vote")


def _not_now(rule: str, message: str, remedy: str) -> Refused:
    return Refused(rule, message, remedy=remedy, clause="training")


def _not_running() -> Refused:
    return _not_now("run_not_running", "this can be done while the training runs", "`consortium show` tells how far the run is")


def _require_due(at: datetime, context: Context) -> None:
    if context.at < at:
        raise _not_now("not_due", f"this is due at {at.isoformat()}", "none is needed: the system gives it when it is due")


def _require_lead(book: Book, context: Context) -> None:
    if context.actor != book.contract.lead:
        lead = book.contract.lead
        raise _not_now("not_the_lead", f"{lead} is responsible for this run", f"ask {lead}, or propose a change order with another lead")


def _reported(book: Book, phase: str, context: Context, *, missing: int = 0) -> RunReported:
    return RunReported(
        run=slug_of(context.stream), phase=phase, contract=book.digest, checkpoints_retained=book.missing + missing == 0,
        training_lead=book.contract.lead,
    )  # fmt: skip


# ---------------------------------------------------------------- the contract


def _plan(state: Unplanned | Planned, contract: Contract, context: Context) -> Events:
    context.require_office(Office.TRAINING_LEAD, clause="training")
    if context.actor != contract.lead:
        raise _not_now("not_the_lead", f"the contract names {contract.lead} as responsible", "name yourself, or let that person plan it")
    _require_sound(contract, context)
    digest = contract_digest(contract)
    if isinstance(state, Planned) and state.digest == digest:
        return ()
    board = notify("run-planned", ("office:board",), key=f"notice:planned:{digest[:16]}", run=context.stream, contract=digest)
    return (RunPlanned(contract=contract, digest=digest), LeadNamed(run=slug_of(context.stream), lead=contract.lead), owe(board))


def _require_sound(contract: Contract, context: Context) -> None:
    charter = context.charter
    if contract.currency != charter.currency:
        raise Refused(
            "other_currency", f"the books are kept in {charter.currency}", remedy="state the cost in that currency", clause="currency"
        )
    undecided = [command for command in VOTED if charter.class_of(command) is None]
    if undecided:
        raise Refused(
            "nobody_decides", f"no class of decision covers {', '.join(undecided)}", clause="decisions",
            remedy="amend the charter: let a class cover them, for example [decisions.runs]",
        )  # fmt: skip
    past = next((milestone for milestone in contract.milestones if milestone.due_at <= context.at), None)
    if past is not None:
        raise _not_now("due_date_passed", f"{past.id} is due at {past.due_at.isoformat()}, which is over", "name a later day")
    if contract.start_funds and contract.round is None:
        raise _not_now("no_round", "the contract waits for money of no round", "name the round that pays for it")


def _approve(state: Planned, digest: str, context: Context) -> Events:
    context.require_mandate()
    if digest != state.digest:
        raise _not_now("other_contract", f"the contract that waits is {state.digest}", "vote on that one")
    book = Book(state.contract, digest, 1)
    lead = notify("run-approved", (state.contract.lead,), key="notice:approved", run=context.stream)
    return (ContractApproved(contract=state.contract, digest=digest, version=1), _reported(book, "approved", context), owe(lead))


def _changed(state: Approved | Running | Paused, book: Book, contract: Contract, context: Context) -> Events:
    _require_sound_change(book, contract, context)
    digest = contract_digest(contract)
    approved = ContractApproved(contract=contract, digest=digest, version=book.version + 1)
    settled = (QuestionSettled(question=book.question, by="change-order"),) if book.asked else ()
    after = replace(book, contract=contract, digest=digest)
    phase = {Approved: "approved", Running: "running", Paused: "paused"}[type(state)]
    return (approved, *settled, _reported(after, phase, context))


def _require_sound_change(book: Book, contract: Contract, context: Context) -> None:
    if contract.currency != context.charter.currency:
        raise Refused("other_currency", f"the books are kept in {context.charter.currency}", remedy="keep the currency", clause="currency")
    kept = {milestone.id: milestone for milestone in contract.milestones}
    for milestone in book.contract.milestones:
        if book.mark(milestone.id).stage == "accepted" and kept.get(milestone.id) != milestone:
            raise _not_now("milestone_accepted", f"{milestone.id} is accepted under its terms", "leave accepted milestones as they are")


# ---------------------------------------------------------------- running


def _start(book: Book, context: Context) -> Events:
    _require_lead(book, context)
    contract = book.contract
    raised = context.register.raised.get(contract.round or "", 0)
    if raised < contract.start_funds:
        lacking = display(contract.start_funds - raised, contract.currency)
        raise Refused(
            "not_funded", f"{lacking} of what the contract waits for has not cleared in {contract.round}", clause="training",
            remedy="wait until the tranche has cleared; only cleared money counts",
        )  # fmt: skip
    return (RunStarted(at=context.at), _reported(book, "running", context), *_look(book, context))


def _look(book: Book, context: Context) -> Events:
    contract, number = book.contract, book.look + 1
    asked = FollowTelemetry(
        run=slug_of(context.stream), number=number, source=contract.source, cursor=book.cursor, stages=contract.stages,
        spikes=contract.spikes, watch=book.watch,
    )  # fmt: skip
    step = Step(kind="follow_telemetry", key=f"follow:{number}", data=asked.model_dump(mode="json"))
    return (LookBegan(number=number, look_at=context.at + timedelta(hours=contract.look_hours)), owe(step))


def _followed(state: Running | Paused, told: TelemetryReported, context: Context) -> Events:
    book, contract = state.book, state.book.contract
    new = told.watch.readings > book.watch.readings
    advanced = told.watch.stage != book.watch.stage or told.watch.step > book.watch.step
    tokens = told.watch.tokens
    spent = max(book.spent, told.cost if told.cost is not None else _reckoned(contract, tokens))
    forecast = telemetry.forecast(spent, tokens, contract.token_budget)
    heard_at, advanced_at = (state.heard_at, state.advanced_at) if isinstance(state, Running) else (context.at, context.at)
    followed = TelemetryFollowed(
        number=told.number, cursor=told.cursor, watch=told.watch, loss_micro=told.loss_micro if told.loss_micro is not None else book.loss_micro,
        spent=spent, forecast=forecast, heard_at=context.at if new else heard_at, advanced_at=context.at if advanced else advanced_at,
        more=told.more, unreadable=told.unreadable,
    )  # fmt: skip
    lineages = [RunRestarted(lineage=book.lineage + number, restart=restart) for number, restart in enumerate(told.restarts, 1)]
    findings: Events = (
        *(CheckpointsWritten(range=written) for written in told.checkpoints),
        *(CheckpointMissing(stage=each.stage, step=each.step) for each in told.missing),
        *lineages,
        *(LossSpiked(spike=spike) for spike in told.spikes),
    )
    lost = (_reported(book, _phase(state), context, missing=len(told.missing)),) if told.missing and not book.missing else ()
    heard = (AlarmEnded(),) if isinstance(state, Running) and state.alarm and new and (advanced or state.alarm == "silent") else ()
    return (
        followed, *findings, *lost, *heard, *_reached(book, told.watch), *_overrun(book, forecast, context),
        *_told_of(told, contract.lead, context),
    )  # fmt: skip


def _phase(state: Running | Paused) -> str:
    return "running" if isinstance(state, Running) else "paused"


def _reckoned(contract: Contract, tokens: int) -> int:
    rate = contract.cost_per_billion_tokens
    return tokens * rate // BILLION if rate is not None else tokens * contract.p50 // contract.token_budget


def _reached(book: Book, watch: Watch) -> Events:
    return tuple(
        MilestoneReached(milestone=each.id, step=watch.step, tokens=watch.tokens, evidence=watch.evidence)
        for each in book.contract.milestones
        if book.mark(each.id).stage == "waiting" and watch.tokens >= each.criteria.tokens
    )


def _overrun(book: Book, forecast: int, context: Context) -> Events:
    if forecast <= book.contract.p80 or book.overrun:
        return ()
    shown = display(forecast, book.contract.currency)
    return (
        OverrunForecast(forecast=forecast, p80=book.contract.p80),
        *_ask(book, f"it is forecast to cost {shown}, above its P80", context),
    )


def _told_of(told: TelemetryReported, lead: PersonId, context: Context) -> Events:
    if not (told.missing or told.restarts or told.spikes):
        return ()
    notice = notify(
        "run-findings", (lead, "office:secretariat"), key=f"notice:findings:{told.number}", run=context.stream,
        missing=len(told.missing), restarts=len(told.restarts), spikes=len(told.spikes),
    )  # fmt: skip
    return (owe(notice),)


def _alarm(state: Running, context: Context) -> Events:
    contract = state.book.contract
    _require_due(_alarm_at(state), context)
    event = RunFellSilent(since=state.heard_at) if context.at >= _silent_at(state) else RunStalled(since=state.advanced_at)
    since = event.since.isoformat()
    key = f"notice:{event.kind.replace('_', '-')}:{since}"
    page = notify(event.kind.replace("_", "-"), (contract.lead, "office:secretariat"), key=key, run=context.stream, since=since)
    return (event, owe(page))


def _silent_at(state: Running) -> datetime:
    return state.heard_at + timedelta(hours=state.book.contract.silent_hours)


def _alarm_at(state: Running) -> datetime:
    """When somebody is told next. A run that stalled can still fall silent, which is worse."""
    if state.alarm == "stalled":
        return _silent_at(state)
    return min(_silent_at(state), state.advanced_at + timedelta(hours=state.book.contract.stalled_hours))


# ---------------------------------------------------------------- milestones


def _milestone(book: Book, name: str) -> Milestone:
    found = next((milestone for milestone in book.contract.milestones if milestone.id == name), None)
    if found is None:
        names = ", ".join(milestone.id for milestone in book.contract.milestones)
        raise _not_now("no_such_milestone", f"the contract has no milestone {name}", f"name one of: {names}")
    return found


def _claim(book: Book, command: ClaimMilestone, context: Context) -> Events:
    _require_lead(book, context)
    milestone, mark = _milestone(book, command.milestone), book.mark(command.milestone)
    if mark.stage == "accepted":
        return ()
    _require_met(book, milestone)
    if milestone.criteria.scores and command.results is None:
        raise _not_now("results_missing", f"{milestone.id} asks for evaluations", "name the results file that the harness wrote")
    if mark.stage == "claimed":
        raise _not_now("claim_pending", f"claim {mark.claim} of {milestone.id} is being read", "wait for what comes of it")
    claimed = MilestoneClaimed(milestone=milestone.id, claim=mark.claim + 1, results=command.results, note=command.note)
    if not milestone.criteria.scores or command.results is None:
        return (claimed, *_present(book, milestone, claimed.claim, None, (), context))
    asked = ReadEvaluation(
        run=slug_of(context.stream), milestone=milestone.id, claim=claimed.claim, file=command.results, scores=milestone.criteria.scores
    )
    return (claimed, owe(Step(kind="read_evaluation", key=f"evaluate:{milestone.id}:{claimed.claim}", data=asked.model_dump(mode="json"))))


def _require_met(book: Book, milestone: Milestone) -> None:
    criteria, lacking = milestone.criteria, list[str]()
    if book.watch.tokens < criteria.tokens:
        lacking.append(f"{book.watch.tokens:,} of {criteria.tokens:,} tokens")
    lowest, highest = criteria.loss_at_least_micro, criteria.loss_at_most_micro
    if (lowest is not None or highest is not None) and book.loss_micro is None:
        lacking.append("no loss was read")
    if book.loss_micro is not None and not (lowest or book.loss_micro) <= book.loss_micro <= (highest or book.loss_micro):
        lacking.append(f"a loss of {book.loss_micro} micro-nats, outside of the registered band")
    if criteria.checkpoints_retained and book.missing:
        lacking.append(f"{book.missing} checkpoints are missing")
    if criteria.spent_at_most is not None and book.spent > criteria.spent_at_most:
        lacking.append(f"{display(book.spent, book.contract.currency)} is spent")
    if lacking:
        raise _not_now("criteria_not_met", f"{milestone.id}: {'; '.join(lacking)}", "train on, or propose a change order")


def _evaluated(book: Book, told: EvaluationRead | EvaluationRefused, context: Context) -> Events:
    milestone = _milestone(book, told.milestone)
    match told:
        case EvaluationRefused(reason=reason):
            return _failed(milestone, told.claim, reason, book, context)
        case EvaluationRead(measured=measured):
            lacking = [text for score in milestone.criteria.scores if (text := _lacking(score, measured))]
            if lacking:
                return _failed(milestone, told.claim, "; ".join(lacking)[:1_000], book, context)
            return _present(book, milestone, told.claim, told.file, measured, context)


def _lacking(score: Score, measured: Sequence[Measured]) -> str:
    found = next((each for each in measured if (each.task, each.metric) == (score.task, score.metric)), None)
    if found is None:
        return f"{score.task} has no {score.metric}"
    return "" if found.value >= score.at_least else f"{score.task} {score.metric} is {found.value}, not {score.at_least} millionths"


def _failed(milestone: Milestone, claim: int, reason: str, book: Book, context: Context) -> Events:
    told = notify(
        "claim-failed", (book.contract.lead,), key=f"notice:claim:{milestone.id}:{claim}", run=context.stream, milestone=milestone.id,
        reason=reason[:500],
    )  # fmt: skip
    return (ClaimFailed(milestone=milestone.id, claim=claim, reason=reason), owe(told))


def _present(
    book: Book, milestone: Milestone, claim: int, results: str | None, measured: Sequence[Measured], context: Context
) -> Events:  # fmt: skip
    evidence = evidence_digest(book.digest, milestone, book.watch, results, measured)
    if evidence in book.mark(milestone.id).rejected:
        return _failed(milestone, claim, "exactly this evidence was rejected, which is final: bring other evidence", book, context)
    presented = EvidencePresented(
        milestone=milestone.id, claim=claim, evidence=evidence, results=results, measured=tuple(measured), tokens=book.watch.tokens,
        loss_micro=book.loss_micro, spent=book.spent,
    )  # fmt: skip
    reviewers = tuple(f"office:{office}" for office in sorted(context.charter.training.review_offices))
    asked = notify(
        "milestone-to-review", reviewers, key=f"notice:review:{milestone.id}:{claim}", run=context.stream, milestone=milestone.id,
        evidence=evidence,
    )  # fmt: skip
    return (presented, owe(asked))


def _require_reviewer(book: Book, milestone: str, evidence: str, context: Context) -> Mark:
    terms, mark = context.charter.training, book.mark(milestone)
    context.require_office(*sorted(terms.review_offices), clause="training.review_offices")
    if context.actor == book.contract.lead:
        raise _not_now("lead_reviews", f"{context.actor} is responsible for the run", "let others judge it")
    if mark.stage not in {"presented", "accepted"} or mark.evidence != evidence:
        shown = f"the evidence that waits is {mark.evidence}" if mark.stage == "presented" else "no evidence waits"
        raise _not_now("other_evidence", f"{milestone}: {shown}", "look at the evidence that waits (`consortium show`)")
    return mark


def _accept(book: Book, command: AcceptMilestone, context: Context) -> Events:
    milestone = _milestone(book, command.milestone)
    mark = _require_reviewer(book, milestone.id, command.evidence, context)
    if mark.stage == "accepted" or context.actor in mark.signed:
        return ()
    for other in mark.signed:
        shared = _organisations(context, context.actor) & _organisations(context, other)
        if shared:
            raise Refused(
                "same_organisation", f"{other} accepted it already, and speaks for {min(shared)} too", clause="training.reviewers",
                remedy="let a reviewer of another organisation judge it",
            )  # fmt: skip
    signed = (*mark.signed, context.actor)
    if len(signed) < context.charter.training.reviewers:
        return (MilestoneSigned(milestone=milestone.id, evidence=command.evidence, by=context.actor),)
    accepted = MilestoneAccepted(milestone=milestone.id, evidence=command.evidence, by=signed)
    told = notify("milestone-accepted", (book.contract.lead, "office:treasurer"), key=f"notice:accepted:{milestone.id}", run=context.stream,
                  milestone=milestone.id)  # fmt: skip
    return (accepted, *_released(book, milestone, command.evidence, context), owe(told))


def _organisations(context: Context, person: PersonId) -> frozenset[str]:
    known = context.register.people.get(person)
    return frozenset(context.register.seat_of(member) for member in known.speaks_for) if known is not None else frozenset()


def _released(book: Book, milestone: Milestone, evidence: str, context: Context) -> Events:
    if milestone.tranche is None or book.contract.round is None:
        return ()
    command = {
        "kind": "release_tranche", "tranche": milestone.tranche, "run": slug_of(context.stream), "milestone": milestone.id, "evidence": evidence,
    }  # fmt: skip
    return (owe(tell(book.contract.round, command, key=f"tell:release:{milestone.id}")),)


def _reject(book: Book, command: RejectMilestone, context: Context) -> Events:
    milestone = _milestone(book, command.milestone)
    if command.evidence in book.mark(milestone.id).rejected:
        return ()
    mark = _require_reviewer(book, milestone.id, command.evidence, context)
    if mark.stage == "accepted":
        raise _not_now("milestone_accepted", f"{milestone.id} is accepted", "none: an acceptance is final")
    told = notify("milestone-rejected", (book.contract.lead,), key=f"notice:rejected:{milestone.id}:{mark.claim}", run=context.stream,
                  milestone=milestone.id, reason=command.reason[:500])  # fmt: skip
    rejected = MilestoneRejected(milestone=milestone.id, evidence=command.evidence, by=context.actor, reason=command.reason)
    return (rejected, owe(told))


# ---------------------------------------------------------------- questions


def _missed(book: Book, name: str, context: Context) -> Events:
    milestone, mark = _milestone(book, name), book.mark(name)
    if mark.missed or mark.stage in {"presented", "accepted"}:
        return ()
    _require_due(milestone.due_at, context)
    return (MilestoneMissed(milestone=name), *_ask(book, f"milestone {name} was missed", context))


def _ask(book: Book, why: str, context: Context) -> Events:
    """One vote at a time: whatever else comes up meanwhile is decided by it too."""
    if book.asked:
        return ()
    number, run = book.question + 1, slug_of(context.stream)
    stream = asked_in("question", run, number)
    proposal = {
        "kind": "propose", "title": f"Shall the run {run} go on?",
        "text": f"{why[:1].upper()}{why[1:]}. Without a majority it is stopped; a change order is a proposal of its own.",
        "motion": {
            "stream": context.stream, "command": {"kind": "continue_run", "question": number},
            "otherwise": {"kind": "stop_run", "question": number, "reason": why},
        },
    }  # fmt: skip
    return (QuestionAsked(question=number, proposal=stream), owe(tell(stream, proposal, key=f"tell:question:{number}")))


def _stop(book: Book, question: int | None, reason: str, context: Context) -> Events:
    if context.actor == SERVICE and context.mandate is None:
        if not book.asked or question != book.question:
            return ()
    else:
        context.require_mandate()
    lead = notify("run-stopped", (book.contract.lead, "office:secretariat", "office:treasurer"), key="notice:stopped", run=context.stream,
                  reason=reason[:500])  # fmt: skip
    return (RunStopped(reason=reason), _reported(book, "stopped", context), owe(lead))


# ---------------------------------------------------------------- the end


def _complete(book: Book, context: Context) -> Events:
    _require_lead(book, context)
    open_ = [milestone.id for milestone in book.contract.milestones if book.mark(milestone.id).stage != "accepted"]
    if open_:
        raise _not_now("milestones_open", f"{', '.join(open_)} are not accepted", "have them accepted, or change the contract by a vote")
    lacking = telemetry.unfinished(book.contract.stages, book.watch)
    missing = tuple(CheckpointMissing(stage=each.stage, step=each.step) for each in lacking)
    return (*missing, RunCompleted(), _reported(book, "completed", context, missing=len(missing)))


# ---------------------------------------------------------------- evolve


def evolve(state: TrainingState, event: TrainingEvent) -> TrainingState:
    """What is true after an event."""
    match event:
        case RunPlanned(contract=contract, digest=digest):
            return Planned(contract, digest)
        case ContractApproved(contract=contract, digest=digest, version=version):
            if isinstance(state, Unplanned | Planned):
                return Approved(Book(contract, digest, version))
            return _with(state, _under(state.book, contract, digest, version))
        case RunStarted(at=at):
            return Running(_book(state), at, at, at)
        case RunResumed(at=at):
            return Running(_book(state), at, at, at)
        case RunPaused(reason=reason):
            return Paused(_book(state), reason)
        case LookBegan(number=number, look_at=look_at):
            book = replace(_book(state), look=number, looking=True)
            return replace(state, book=book, look_at=look_at) if isinstance(state, Running) else _with(state, book)
        case TelemetryFollowed():
            return _after_look(state, event)
        case CheckpointsWritten() | RunReported() | LeadNamed():
            return state
        case CheckpointMissing():
            return _with(state, replace(_book(state), missing=_book(state).missing + 1))
        case RunRestarted(lineage=lineage):
            return _with(state, replace(_book(state), lineage=lineage))
        case LossSpiked():
            return _with(state, replace(_book(state), spikes=_book(state).spikes + 1))
        case RunFellSilent():
            return replace(state, alarm="silent") if isinstance(state, Running) else state
        case RunStalled():
            return replace(state, alarm="stalled") if isinstance(state, Running) else state
        case AlarmEnded():
            return replace(state, alarm="") if isinstance(state, Running) else state
        case MilestoneReached(milestone=name):
            return _marked(state, name, stage="reached")
        case MilestoneClaimed(milestone=name, claim=claim):
            return _marked(state, name, stage="claimed", claim=claim)
        case ClaimFailed(milestone=name):
            return _marked(state, name, stage="reached")
        case EvidencePresented(milestone=name, evidence=evidence):
            return _marked(state, name, stage="presented", evidence=evidence, signed=())
        case MilestoneSigned(milestone=name, by=by):
            return _marked(state, name, signed=(*_book(state).mark(name).signed, by))
        case MilestoneAccepted(milestone=name, by=persons):
            return _marked(state, name, stage="accepted", signed=persons)
        case MilestoneRejected(milestone=name, evidence=evidence):
            return _marked(state, name, stage="reached", signed=(), rejected=_book(state).mark(name).rejected | {evidence})
        case MilestoneMissed(milestone=name):
            return _marked(state, name, missed=True)
        case OverrunForecast():
            return _with(state, replace(_book(state), overrun=True))
        case QuestionAsked(question=question):
            return _with(state, replace(_book(state), question=question, asked=True))
        case QuestionSettled():
            return _with(state, replace(_book(state), asked=False))
        case RunStopped(reason=reason):
            return Ended(_book(state), "stopped", reason)
        case RunCompleted():
            return Ended(_book(state), "completed")
        case RunClosed():
            return Closed(_book(state), state.how) if isinstance(state, Ended) else state


def _book(state: TrainingState) -> Book:
    assert not isinstance(state, Unplanned | Planned), "a run without an approved contract has no book"
    return state.book


def _under(book: Book, contract: Contract, digest: str, version: int) -> Book:
    """The book under another contract: evidence for the terms of the last one is worth nothing, and another day can be missed anew."""
    before = {milestone.id: milestone for milestone in book.contract.milestones}
    after = {milestone.id: milestone for milestone in contract.milestones}
    marks = book.marks
    for name, mark in book.marks.items():
        if mark.stage != "accepted":
            reached = mark.stage != "waiting" and name in after and book.watch.tokens >= after[name].criteria.tokens
            same_day = name in before and name in after and before[name].due_at == after[name].due_at
            again = replace(mark, stage="reached" if reached else "waiting", evidence="", signed=(), missed=mark.missed and same_day)
            marks = marks.set(name, again)
    return replace(book, contract=contract, digest=digest, version=version, overrun=False, marks=marks)


def _with(state: TrainingState, book: Book) -> TrainingState:
    assert not isinstance(state, Unplanned | Planned), "a run without an approved contract has no book"
    return replace(state, book=book)


def _after_look(state: TrainingState, event: TelemetryFollowed) -> TrainingState:
    book = replace(
        _book(state), watch=event.watch, cursor=event.cursor, looking=False, loss_micro=event.loss_micro, spent=event.spent, forecast=event.forecast
    )  # fmt: skip
    if isinstance(state, Running):
        return replace(state, book=book, heard_at=event.heard_at, advanced_at=event.advanced_at)
    return _with(state, book)


def _marked(state: TrainingState, name: str, **changes: object) -> TrainingState:
    book = _book(state)
    return _with(state, replace(book, marks=book.marks.set(name, replace(book.mark(name), **changes))))  # type: ignore[arg-type]


# ---------------------------------------------------------------- agenda


def agenda(state: TrainingState) -> Agenda:
    """The next look, the alarm when nothing is heard, or the day of a milestone."""
    match state:
        case Running(book=book):
            due = [_day_of(book)]
            if not book.looking:
                due.append(Deadline(state.look_at, LookAtTelemetry()))
            if state.alarm != "silent":
                due.append(Deadline(_alarm_at(state), SoundAlarm()))
            return Agenda(min((each for each in due if each is not None), key=lambda each: each.at, default=None))
        case Paused(book=book):
            return Agenda(_day_of(book))
        case Unplanned() | Planned() | Approved() | Ended():
            return Agenda()
        case Closed():
            return Agenda(closed=True)


def _day_of(book: Book) -> Deadline | None:
    """The next day on which a milestone is missed that nobody has brought evidence for."""
    waiting = [
        milestone
        for milestone in book.contract.milestones
        if not book.mark(milestone.id).missed and book.mark(milestone.id).stage not in {"presented", "accepted"}
    ]
    first = min(waiting, key=lambda milestone: (milestone.due_at, milestone.id), default=None)
    return Deadline(first.due_at, MarkMissed(milestone=first.id)) if first is not None else None


# ---------------------------------------------------------------- describe


def describe(state: TrainingState) -> Headline:
    """The run in one line: how far, at what cost, and who is waited for."""
    match state:
        case Unplanned():
            return Headline("unplanned", "no contract was put forward yet")
        case Planned(contract=contract, digest=digest):
            return Headline(
                "planned", f"{escaped(contract.title)}: its contract waits for a vote", f"contract `{digest}`", ("office:board",)
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
    """Reviewers when evidence waits; the board when a vote does."""
    if any(mark.stage == "presented" for mark in book.marks.values()):
        return ("office:evaluation-reviewer", "office:safety-reviewer")
    return ("office:board",) if book.asked else ()


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
    waits = f", evidence `{mark.evidence}`" if mark.stage == "presented" else ""
    return f"{mark.stage}{', missed' if mark.missed else ''}{waits}; due {milestone.due_at.date().isoformat()}"


TRAINING: Final[Process[TrainingCommand, TrainingEvent, TrainingState]] = Process(
    name="run",
    initial=Unplanned(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[TrainingCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[TrainingEvent | Common, Field(discriminator="kind")], ...]),
)
