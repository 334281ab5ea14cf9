"""What a release can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain import letters
from domain.charter import Office
from domain.evaluation import EvaluationRead, EvaluationRefused
from domain.kernel import Command, Digest, Due, Instant, MemberId, PersonId, Prose, Slug
from domain.release import steps
from domain.release.terms import MOST_PERSONS, InnerPath, OpennessClass, Stage, Terms


class ProposeRelease(Terms, Command):
    """Start a release: its files are listed and signed, and its embargo runs. By a release manager."""

    kind: Literal["propose_release"] = "propose_release"
    not_before: Instant | None = None
    """Nothing is public before."""
    embargo_ends_at: Instant | None = None
    """When it is published by itself; the charter's longest embargo when left out."""


class AmendRelease(Terms, Command):
    """Release other files or under other terms: files are listed and signed anew, and every gate is closed again. The embargo runs on.

    By a release manager; shortly before the embargo's end and after it by a passed proposal.
    """

    kind: Literal["amend_release"] = "amend_release"


class MoveEmbargo(Command):
    """Let the embargo end at another instant, within the charter's longest. By a passed proposal."""

    kind: Literal["move_embargo"] = "move_embargo"
    ends_at: Instant


class AdvanceRelease(Command):
    """Enter the next stage, once the files are verified and the components classified anew. By a release manager."""

    kind: Literal["advance_release"] = "advance_release"
    to: Stage


class LowerClaim(Command):
    """Claim no more than was computed; approvals must be given anew. By a release manager."""

    kind: Literal["lower_claim"] = "lower_claim"
    claim: OpennessClass


class PublishByItself(Due):
    """The embargo is over."""

    kind: Literal["publish_by_itself"] = "publish_by_itself"


class PublishAgain(Command):
    """Write the documents and publish this stage once more, where it has not been published. By a release manager."""

    kind: Literal["publish_again"] = "publish_again"


class AbandonRelease(Command):
    """Never publish it. By a passed proposal."""

    kind: Literal["abandon_release"] = "abandon_release"
    reason: Prose


class RecallRelease(Command):
    """Take a public release back. By a passed proposal, or by as many different persons as the charter asks for."""

    kind: Literal["recall_release"] = "recall_release"
    reason: Annotated[Prose, Field(min_length=1)]


class RecordEvaluation(Command):
    """Name the harness's own output of an evaluation of exactly these files: it is read, and judged by the release's thresholds.

    By an evaluation reviewer who did not lead the run.
    """

    kind: Literal["record_evaluation"] = "record_evaluation"
    evaluation: Slug
    manifest: Digest
    file: InnerPath
    """Under the workers' folder of runs."""
    note: Prose = ""


class OpenFinding(Command):
    """Name a danger that must be dealt with. By a safety reviewer."""

    kind: Literal["open_finding"] = "open_finding"
    finding: Slug
    text: Annotated[Prose, Field(min_length=1)]


class CloseFinding(Command):
    """Say how a danger was dealt with in exactly these files. By a safety reviewer."""

    kind: Literal["close_finding"] = "close_finding"
    finding: Slug
    manifest: Digest
    resolution: Annotated[Prose, Field(min_length=1)]
    evidence: Digest | None = None


class ReviewLicence(Command):
    """Judge the licences as they were classified. By a licence reviewer."""

    kind: Literal["review_licence"] = "review_licence"
    manifest: Digest
    report: Digest
    """Of the latest classification."""
    accepted: bool
    note: Prose = ""


class ApproveStage(Command):
    """Agree to a stage for exactly these files, as the holder of an office. By a person who did not propose them and did not lead the run."""

    kind: Literal["approve_stage"] = "approve_stage"
    stage: Stage
    manifest: Digest
    office: Office


class WithdrawApproval(Command):
    """Agree no longer, before the stage is entered. By the person who approved."""

    kind: Literal["withdraw_approval"] = "withdraw_approval"
    stage: Stage


class HoldRelease(Command):
    """Stop it before it is public, for a bounded time. By a safety reviewer."""

    kind: Literal["hold_release"] = "hold_release"
    reason: Annotated[Prose, Field(min_length=1)]
    suspend_access: bool = False
    """Whether early access rests too."""


class ExtendHold(Command):
    """Sign for a longer hold; it takes the charter's number of different persons. By holders of the charter's offices."""

    kind: Literal["extend_hold"] = "extend_hold"
    reason: Annotated[Prose, Field(min_length=1)]


class LiftHold(Command):
    """Let it go on. By a safety reviewer."""

    kind: Literal["lift_hold"] = "lift_hold"
    reason: Prose = ""


class EndHold(Due):
    """The hold's time is over."""

    kind: Literal["end_hold"] = "end_hold"


class GrantLease(Command):
    """Early access for persons of an active member, between two instants.

    By a representative of the member for anybody whom they name; by a release manager for those who speak for the member.
    """

    kind: Literal["grant_lease"] = "grant_lease"
    lease: Annotated[Slug, Field(max_length=40)]
    member: MemberId
    persons: Annotated[tuple[PersonId, ...], Field(min_length=1, max_length=MOST_PERSONS)]
    starts_at: Instant | None = None
    """At once when left out; never before the stage of early access."""
    ends_at: Instant | None = None
    """After the charter's longest lease when left out."""


class RevokeLease(Command):
    """End early access now. By a representative of the member, a release manager or a safety reviewer."""

    kind: Literal["revoke_lease"] = "revoke_lease"
    lease: Slug
    reason: Prose = ""


class MindLeases(Due):
    """A lease begins or ends, or members are looked at again."""

    kind: Literal["mind_leases"] = "mind_leases"


ReleaseRequest = (
    ProposeRelease
    | AmendRelease
    | MoveEmbargo
    | AdvanceRelease
    | LowerClaim
    | PublishByItself
    | PublishAgain
    | AbandonRelease
    | RecallRelease
    | letters.SupersedeRelease
    | RecordEvaluation
    | OpenFinding
    | CloseFinding
    | ReviewLicence
    | ApproveStage
    | WithdrawApproval
    | HoldRelease
    | ExtendHold
    | LiftHold
    | EndHold
    | GrantLease
    | RevokeLease
    | letters.EndLeases
    | MindLeases
)
"""What people, the clock and other releases ask for."""
ReleaseOutcome = (
    steps.ManifestBuilt
    | steps.ManifestSigned
    | steps.OpennessClassified
    | steps.ClassificationFailed
    | steps.ArtifactsVerified
    | steps.ArtifactsRefused
    | steps.DocumentsWritten
    | steps.Published
    | steps.Withdrawn
    | steps.AccessOpened
    | steps.AccessClosed
    | EvaluationRead
    | EvaluationRefused
)
"""What the steps of a release bring back."""
ReleaseCommand = ReleaseRequest | ReleaseOutcome
