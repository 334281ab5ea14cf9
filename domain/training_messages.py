"""What a training run is told and what is stored of it for ever: its contract, its steps, its commands and its events.

Amounts are minor units of the charter's currency; losses are micro-nats; scores of evaluations are millionths.

| step | data | outcomes |
| --- | --- | --- |
| follow_telemetry | `FollowTelemetry` | `TelemetryReported` |
| read_evaluation | see `domain/evaluation.py` | |
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from domain.evaluation import EvaluationRead, EvaluationRefused, Measured, Place, Score
from domain.forms import Form
from domain.kernel import BasisPoints, Command, Digest, Event, Instant, Message, Name, Outcome, PersonId, Prose, Slug
from domain.money import Amount, Currency, Minor
from domain.register import LeadNamed, RunReported
from domain.telemetry import (
    MISSING,
    MOST,
    MOST_TOKENS,
    STAGES,
    CheckpointRange,
    Divergence,
    Found,
    MicroNats,
    Missing,
    Restart,
    Spike,
    SpikeRule,
    StagePlan,
    StepNumber,
    Tokens,
    Watch,
)

MOST_MILESTONES: Final = 40
RANGES: Final = 60
"""The most ranges of checkpoints of one look."""

Cursor = Annotated[str, Field(max_length=400, pattern=r"^[ -~]*$"), Form("printable ASCII", "1")]
"""Where reading goes on, as only the reader understands it; empty at the beginning."""

RoundStream = Annotated[str, Field(pattern=r"^round/[a-z0-9-]{1,64}$"), Form("a round's stream", "round/atlas-1")]

# ---------------------------------------------------------------- the contract


class Share(Message):
    """A part of the data mix."""

    name: Name
    fraction: BasisPoints


class Source(Message):
    """Where the trainer's readings come from."""

    adapter: Literal["jsonl", "checkpoint-table", "mlflow", "tensorboard"]
    location: Place


class Criteria(Message):
    """When a milestone is reached; what is left out is not asked for."""

    tokens: Tokens = 0
    loss_at_least_micro: MicroNats | None = None
    loss_at_most_micro: MicroNats | None = None
    """The loss band that was registered beforehand."""
    scores: Annotated[tuple[Score, ...], Field(max_length=30)] = ()
    checkpoints_retained: bool = True
    """Whether every checkpoint of the plan up to here must be there."""
    checkpoints_hashed: bool = False
    """Whether each of them must be told with its SHA-256."""
    spent_at_most: Amount | None = None


class Milestone(Message):
    """A part of the run that people look at before it goes on being paid."""

    id: Slug
    text: Annotated[Prose, Field(min_length=1)]
    criteria: Criteria
    due_at: Instant
    tranche: Annotated[int, Field(ge=1, le=50)] | None = None
    """The tranche of the round that its acceptance releases."""


class Contract(Message):
    """What is trained, by whom, for how much, and how everybody can tell that it goes well."""

    title: Name
    lead: PersonId
    """The directly responsible individual."""
    objective: Annotated[Prose, Field(min_length=1)]
    architecture: Name
    parameters_millions: Annotated[int, Field(ge=1, le=10**8)]
    token_budget: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    data_mix: Annotated[tuple[Share, ...], Field(min_length=1, max_length=100)]
    currency: Currency
    p50: Amount
    """What it costs as likely as not."""
    p80: Amount
    """What it costs at most in four of five cases: a forecast above it opens a vote."""
    cost_per_billion_tokens: Amount | None = None
    """What is reckoned while the trainer does not tell its cost; the P50 over the token budget when left out."""
    round: RoundStream | None = None
    """The round that pays for it."""
    start_funds: Minor = Field(default=0, ge=0)
    """What must have cleared in that round before the run starts."""
    stages: Annotated[tuple[StagePlan, ...], Field(min_length=1, max_length=STAGES)]
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1, max_length=MOST_MILESTONES)]
    source: Source
    spikes: SpikeRule = SpikeRule()
    look_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 6
    """How often the trainer's readings are looked at: so many looks bound the events of a day, whatever the trainer writes."""
    silent_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    """After so long without a reading somebody is paged."""
    stalled_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 48
    """After so long without a later step, though readings come, somebody is told."""

    @model_validator(mode="after")
    def _adds_up(self) -> Contract:
        if sum(share.fraction for share in self.data_mix) != 10_000:
            raise ValueError("the fractions of the data mix add up to 10,000 basis points")
        if self.p80 < self.p50:
            raise ValueError("the P80 is at least the P50")
        names = [milestone.id for milestone in self.milestones]
        stages = [stage.name for stage in self.stages]
        if len(set(names)) != len(names) or len(set(stages)) != len(stages):
            raise ValueError("a milestone or a stage is named twice; name it once")
        if any(stage.last_step < stage.first_checkpoint for stage in self.stages):
            raise ValueError("a stage's last step comes before its first checkpoint")
        return self


# ---------------------------------------------------------------- steps and their outcomes


class FollowTelemetry(Message):
    """The data of a step `follow_telemetry`: read what the trainer wrote since the cursor, and tell what it means."""

    run: Slug
    number: Annotated[int, Field(ge=1)]
    source: Source
    cursor: Cursor
    stages: tuple[StagePlan, ...]
    spikes: SpikeRule
    watch: Watch


class TelemetryReported(Outcome):
    """What the readings since the last look tell; a bounded number of facts, whatever the trainer wrote."""

    kind: Literal["telemetry_reported"] = "telemetry_reported"
    number: Annotated[int, Field(ge=1)]
    cursor: Cursor
    watch: Watch
    loss_micro: MicroNats | None = None
    cost: Minor | None = None
    """What the run has cost so far, where the trainer tells it."""
    checkpoints: Annotated[tuple[CheckpointRange, ...], Field(max_length=RANGES)] = ()
    missing: Annotated[tuple[Missing, ...], Field(max_length=MISSING + STAGES)] = ()
    found: Annotated[tuple[Found, ...], Field(max_length=STAGES)] = ()
    restarts: Annotated[tuple[Restart, ...], Field(max_length=MOST)] = ()
    spikes: Annotated[tuple[Spike, ...], Field(max_length=MOST)] = ()
    diverged: Divergence | None = None
    quiet_seconds: Annotated[int, Field(ge=0, le=10**10)] = 0
    """How long before the look the trainer wrote last, where the source tells."""
    more: Annotated[int, Field(ge=0)] = 0
    """How many findings are not told one by one."""
    unreadable: Annotated[int, Field(ge=0)] = 0
    """Rows that could not be understood and were passed over."""


# ---------------------------------------------------------------- commands


class PlanRun(Command):
    """Put a contract forward, in place of one that is not approved yet. By its training lead."""

    kind: Literal["plan_run"] = "plan_run"
    contract: Contract


class ApproveContract(Command):
    """Let the run be made under the contract with this digest. By a passed proposal."""

    kind: Literal["approve_contract"] = "approve_contract"
    contract: Digest


class StartRun(Command):
    """Begin, once the money that the contract asks for has cleared. By the training lead."""

    kind: Literal["start_run"] = "start_run"


class PauseRun(Command):
    """Rest: nothing is looked at meanwhile. By the training lead."""

    kind: Literal["pause_run"] = "pause_run"
    reason: Annotated[Prose, Field(min_length=1)]


class ResumeRun(Command):
    """Go on. By the training lead."""

    kind: Literal["resume_run"] = "resume_run"


class LookAtTelemetry(Command):
    """It is time to look at what the trainer wrote. By the service."""

    kind: Literal["look_at_telemetry"] = "look_at_telemetry"


class SoundAlarm(Command):
    """Nothing was heard of the run for too long, or it does not get on. By the service."""

    kind: Literal["sound_alarm"] = "sound_alarm"


class ClaimMilestone(Command):
    """Say that a milestone is reached, with the results file that its scores ask for; a claim that is still being read is given up
    for this one. By the training lead.
    """

    kind: Literal["claim_milestone"] = "claim_milestone"
    milestone: Slug
    results: Place | None = None
    note: Prose = ""


class AcceptMilestone(Command):
    """Accept exactly this evidence. By different reviewers of different organisations, none of them the training lead."""

    kind: Literal["accept_milestone"] = "accept_milestone"
    milestone: Slug
    evidence: Digest


class RejectMilestone(Command):
    """Turn this evidence down; final for it. By a reviewer who is not the training lead."""

    kind: Literal["reject_milestone"] = "reject_milestone"
    milestone: Slug
    evidence: Digest
    reason: Annotated[Prose, Field(min_length=1)]


class MarkMissed(Command):
    """A milestone's day came without its evidence: a vote decides how the run goes on. By the service."""

    kind: Literal["mark_missed"] = "mark_missed"
    milestone: Slug


class ContinueRun(Command):
    """Go on as before, whatever was missed or is forecast. By a passed proposal."""

    kind: Literal["continue_run"] = "continue_run"
    question: Annotated[int, Field(ge=1)]


class ChangeContract(Command):
    """Go on under another contract (change order). By a passed proposal."""

    kind: Literal["change_contract"] = "change_contract"
    contract: Contract


class StopRun(Command):
    """End it before its time. By a passed proposal; by the service when no vote let it go on."""

    kind: Literal["stop_run"] = "stop_run"
    question: Annotated[int, Field(ge=1)] | None = None
    reason: Prose = ""


class CompleteRun(Command):
    """All milestones are accepted: the training is over. By the training lead."""

    kind: Literal["complete_run"] = "complete_run"


class CloseRun(Command):
    """Put the run to the files. By the secretariat."""

    kind: Literal["close_run"] = "close_run"


TrainingCommand = (
    PlanRun | ApproveContract | StartRun | PauseRun | ResumeRun | LookAtTelemetry | TelemetryReported | SoundAlarm | ClaimMilestone
    | EvaluationRead | EvaluationRefused | AcceptMilestone | RejectMilestone | MarkMissed | ContinueRun | ChangeContract | StopRun
    | CompleteRun | CloseRun
)  # fmt: skip

# ---------------------------------------------------------------- events


class RunPlanned(Event):
    """A contract waits for its vote."""

    kind: Literal["run_planned"] = "run_planned"
    contract: Contract
    digest: Digest


class ContractApproved(Event):
    """The run is to be made under this contract."""

    kind: Literal["contract_approved"] = "contract_approved"
    contract: Contract
    digest: Digest
    version: Annotated[int, Field(ge=1)]
    charter_version: Annotated[int, Field(ge=1)] | None = None
    """The charter whose clause `training` the run keeps; none where it was not stored, and the one in force counts."""


class RunStarted(Event):
    """The training runs."""

    kind: Literal["run_started"] = "run_started"
    at: Instant


class RunPaused(Event):
    """The training rests."""

    kind: Literal["run_paused"] = "run_paused"
    reason: Prose


class RunResumed(Event):
    """The training goes on."""

    kind: Literal["run_resumed"] = "run_resumed"
    at: Instant


class LookBegan(Event):
    """The readings are looked at; again at the latest then."""

    kind: Literal["look_began"] = "look_began"
    number: Annotated[int, Field(ge=1)]
    look_at: Instant


class TelemetryFollowed(Event):
    """How far the run is, and what it cost."""

    kind: Literal["telemetry_followed"] = "telemetry_followed"
    number: Annotated[int, Field(ge=1)]
    cursor: Cursor
    watch: Watch
    loss_micro: MicroNats | None
    spent: Minor
    forecast: Minor
    heard_at: Instant
    """When there was something new last."""
    advanced_at: Instant
    """When the run got further than ever before last."""
    cost: Minor | None = None
    """What the trainer told last of what the run has cost; none while it told nothing."""
    more: int = 0
    unreadable: int = 0


class CheckpointsWritten(Event):
    """Checkpoints came, without any missing in between."""

    kind: Literal["checkpoints_written"] = "checkpoints_written"
    range: CheckpointRange


class CheckpointMissing(Event):
    """Checkpoints that the contract retains are not there: it costs the openness class."""

    kind: Literal["checkpoint_missing"] = "checkpoint_missing"
    stage: str
    step: StepNumber
    """Of the first."""
    count: Annotated[int, Field(ge=1)] = 1
    """How many of the stage's, from that step on."""


class CheckpointsFound(Event):
    """Checkpoints that were missing are there after all."""

    kind: Literal["checkpoints_found"] = "checkpoints_found"
    stage: str
    step: StepNumber
    """Of the first."""
    count: Annotated[int, Field(ge=1)]


class RunRestarted(Event):
    """The run went on from an earlier step: a branch of its lineage begins."""

    kind: Literal["run_restarted"] = "run_restarted"
    lineage: Annotated[int, Field(ge=1)]
    restart: Restart


class LossSpiked(Event):
    """A loss lay far above those before it."""

    kind: Literal["loss_spiked"] = "loss_spiked"
    spike: Spike


class LossDiverged(Event):
    """Losses were no finite numbers."""

    kind: Literal["loss_diverged"] = "loss_diverged"
    stage: str
    step: StepNumber
    """Of the first."""
    count: Annotated[int, Field(ge=1)]


class RunFellSilent(Event):
    """Nothing was heard since; somebody is paged."""

    kind: Literal["run_fell_silent"] = "run_fell_silent"
    since: Instant


class RunStalled(Event):
    """There was no later step since."""

    kind: Literal["run_stalled"] = "run_stalled"
    since: Instant


class AlarmEnded(Event):
    """The run is heard of again, and gets on."""

    kind: Literal["alarm_ended"] = "alarm_ended"


class MilestoneReached(Event):
    """The readings say that a milestone's tokens are reached."""

    kind: Literal["milestone_reached"] = "milestone_reached"
    milestone: Slug
    step: StepNumber
    tokens: Tokens
    evidence: Digest
    """Of all readings up to there."""


class MilestoneClaimed(Event):
    """The training lead says that a milestone is reached."""

    kind: Literal["milestone_claimed"] = "milestone_claimed"
    milestone: Slug
    claim: Annotated[int, Field(ge=1)]
    results: Place | None
    note: Prose


class ClaimFailed(Event):
    """The evidence does not meet the criteria."""

    kind: Literal["claim_failed"] = "claim_failed"
    milestone: Slug
    claim: int
    reason: Annotated[Prose, Field(max_length=1_000)]


class EvidencePresented(Event):
    """The evidence meets the criteria and waits for the reviewers."""

    kind: Literal["evidence_presented"] = "evidence_presented"
    milestone: Slug
    claim: int
    evidence: Digest
    """Of the contract, the milestone's terms, the readings, the spend and the results; an acceptance is bound to it."""
    results: Digest | None
    measured: tuple[Measured, ...]
    tokens: Tokens
    loss_micro: MicroNats | None
    spent: Minor
    harness: str = ""
    model: str = ""
    """The model that was evaluated, as the harness names it."""


class MilestoneSigned(Event):
    """One reviewer accepted; more are needed."""

    kind: Literal["milestone_signed"] = "milestone_signed"
    milestone: Slug
    evidence: Digest
    by: PersonId


class MilestoneAccepted(Event):
    """Enough reviewers accepted."""

    kind: Literal["milestone_accepted"] = "milestone_accepted"
    milestone: Slug
    evidence: Digest
    by: tuple[PersonId, ...]


class MilestoneRejected(Event):
    """A reviewer turned the evidence down, for good."""

    kind: Literal["milestone_rejected"] = "milestone_rejected"
    milestone: Slug
    evidence: Digest
    by: PersonId
    reason: Prose


class MilestoneMissed(Event):
    """A milestone's day is over without its evidence."""

    kind: Literal["milestone_missed"] = "milestone_missed"
    milestone: Slug


class OverrunForecast(Event):
    """The run is forecast to cost more than the P80."""

    kind: Literal["overrun_forecast"] = "overrun_forecast"
    forecast: Minor
    p80: Minor


class QuestionAsked(Event):
    """A vote decides whether the run goes on."""

    kind: Literal["question_asked"] = "question_asked"
    question: Annotated[int, Field(ge=1)]
    proposal: str


class QuestionSettled(Event):
    """The run goes on."""

    kind: Literal["question_settled"] = "question_settled"
    question: Annotated[int, Field(ge=1)]
    by: Literal["vote", "change-order"]


class RunStopped(Event):
    """The run ended before its time."""

    kind: Literal["run_stopped"] = "run_stopped"
    reason: Prose


class RunCompleted(Event):
    """The training is over."""

    kind: Literal["run_completed"] = "run_completed"


class RunClosed(Event):
    """The run is in the files."""

    kind: Literal["run_closed"] = "run_closed"


TrainingEvent = (
    RunPlanned | ContractApproved | RunStarted | RunPaused | RunResumed | LookBegan | TelemetryFollowed | CheckpointsWritten
    | CheckpointMissing | CheckpointsFound | RunRestarted | LossSpiked | LossDiverged | RunFellSilent | RunStalled | AlarmEnded | MilestoneReached | MilestoneClaimed
    | ClaimFailed | EvidencePresented | MilestoneSigned | MilestoneAccepted | MilestoneRejected | MilestoneMissed | OverrunForecast
    | QuestionAsked | QuestionSettled | RunStopped | RunCompleted | RunClosed | RunReported | LeadNamed
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Results:
    """What a harness measured, and on what; nothing where a milestone asks for no scores."""

    file: str | None = None
    """The SHA-256 of the results file."""
    harness: str = ""
    model: str = ""
    measured: tuple[Measured, ...] = ()


def evidence_digest(contract: str, milestone: str, watch: Watch, loss_micro: int | None, spent: int, results: Results) -> str:
    """What an acceptance is bound to: the contract, the milestone, every reading so far, the spend, and the results.

    The contract's digest stands for the milestone's terms; nothing is encoded again.
    """
    measured = (f"{each.task}\x1f{each.metric}\x1f{each.value} {each.stderr} {each.samples}" for each in results.measured)
    read = f"{watch.tokens} {loss_micro} {spent}"
    parts = (contract, milestone, watch.evidence, read, results.file or "-", results.harness, results.model, *measured)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
