"""What becomes true of a training run, stored for ever."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain.evaluation import Measured, Place
from domain.kernel import Digest, Event, Instant, PersonId, Prose, Slug
from domain.money import Minor
from domain.register.facts import LeadNamed, RunReported, SuppliersNamed
from domain.run.telemetry import CheckpointRange, MicroNats, Restart, Spike, StepNumber, Tokens, Watch
from domain.run.terms import Contract, Cursor


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
    """The last cost that the trainer reported; none while it reported nothing."""
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


ContractEvent = RunPlanned | ContractApproved
TrainingEvent = RunStarted | RunPaused | RunResumed
TelemetryEvent = (
    LookBegan
    | TelemetryFollowed
    | CheckpointsWritten
    | CheckpointMissing
    | CheckpointsFound
    | RunRestarted
    | LossSpiked
    | LossDiverged
    | RunFellSilent
    | RunStalled
    | AlarmEnded
)
MilestoneEvent = (
    MilestoneReached
    | MilestoneClaimed
    | ClaimFailed
    | EvidencePresented
    | MilestoneSigned
    | MilestoneAccepted
    | MilestoneRejected
    | MilestoneMissed
)
QuestionEvent = OverrunForecast | QuestionAsked | QuestionSettled
EndingEvent = RunStopped | RunCompleted | RunClosed
RunEvent = (
    ContractEvent | TrainingEvent | TelemetryEvent | MilestoneEvent | QuestionEvent | EndingEvent | RunReported | LeadNamed | SuppliersNamed
)
