"""What a training run can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain.evaluation import EvaluationRead, EvaluationRefused, Place
from domain.kernel import Command, Digest, Due, Prose, Slug
from domain.run import steps
from domain.run.terms import Contract


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


class LookAtTelemetry(Due):
    """It is time to look at what the trainer wrote."""

    kind: Literal["look_at_telemetry"] = "look_at_telemetry"


class SoundAlarm(Due):
    """Nothing was heard of the run for too long, or it does not get on."""

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


class MarkMissed(Due):
    """A milestone's day came without its evidence: a vote decides how the run goes on."""

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


RunCommand = (
    PlanRun
    | ApproveContract
    | StartRun
    | PauseRun
    | ResumeRun
    | LookAtTelemetry
    | steps.TelemetryReported
    | SoundAlarm
    | ClaimMilestone
    | EvaluationRead
    | EvaluationRefused
    | AcceptMilestone
    | RejectMilestone
    | MarkMissed
    | ContinueRun
    | ChangeContract
    | StopRun
    | CompleteRun
    | CloseRun
)
