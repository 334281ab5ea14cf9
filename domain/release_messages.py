"""What a release is told and what is stored of it for ever: its steps, its commands and its events.

A release is the files of a model, listed in a manifest that is named by its SHA-256. What is large (manifest, signature, reports,
documents) lies in files named by their digests; only digests and short summaries are here. Openness classes are those of the Model
Openness Framework: 3 is an open model, 2 open tooling, 1 open science, 0 none of them. A lower number other than 0 asks for more.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from domain.charter import Office
from domain.evaluation import EvaluationRead, EvaluationRefused, MilestonePassed, Millionths, TaskName
from domain.kernel import Command, Count, Digest, Event, Instant, MemberId, Message, Name, Outcome, PersonId, Prose, Slug
from domain.register import LeasesHeld, ReleaseStaged

MOST_COMPONENTS: Final = 40
MOST_PERSONS: Final = 100
MOST_PUBLISHERS: Final = 5

FRAMEWORK: Final = frozenset(
    (
        "Model architecture", "Data preprocessing code", "Training code", "Inference code", "Evaluation code",
        "Supporting libraries and tools", "Model parameters (Final)", "Model parameters (Intermediate)", "Datasets", "Evaluation data",
        "Model metadata", "Sample model outputs", "Model card", "Data card", "Technical report", "Research paper", "Evaluation results",
    )
)  # fmt: skip
"""The components of the Model Openness Framework, by its names for them."""

PUBLISHERS: Final = frozenset(("directory", "s3", "hub"))
"""The publishers that a worker can have, by the names that it knows them under."""

_PLAIN_PATH: Final = re.compile(r"[^\x00-\x1f\\]+")


def _inside(path: str) -> str:
    parts = path.split("/")
    if _PLAIN_PATH.fullmatch(path) is None or any(part in {"", ".", ".."} or part != part.strip() for part in parts):
        raise ValueError("a relative path of plain names, without `..`, is wanted")
    return path


def _place(text: str) -> str:
    if text.startswith("https://"):
        if re.fullmatch(r"https://[!-~]{3,1000}", text) is None:
            raise ValueError("an https address in printable ASCII without spaces is wanted")
        return text
    return _inside(text)


InnerPath = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_inside)]
"""A relative path with `/` between names, which stays inside its folder."""

Place = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_place)]
"""Where a component is: a path among the release's files, or an https address."""

Licence = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+ -]{0,99}$")]
"""An SPDX licence identifier, or the name of one that has none."""

OpennessClass = Literal[0, 1, 2, 3]

Shown = Annotated[str, Field(max_length=300)]
"""Short text of an activity: a path or a reason, safe to show."""

Key = Slug
"""An id within the release."""

Number = Annotated[int, Field(ge=1)]


class Stage(StrEnum):
    """The stages that a release is walked through, in this order."""

    INTERNAL = "internal"
    MEMBERS = "members"
    """Early access: the persons of members' leases."""
    GATED = "gated"
    """Announced; the files are still for the persons of leases."""
    PUBLIC = "public"


STAGES: Final = tuple(Stage)

Audience = Literal["private", "gated", "public"]
"""Who can read what is published: the consortium's own machines, the persons of open leases, everybody."""

AUDIENCE: Final[dict[Stage, Audience]] = {
    Stage.INTERNAL: "private", Stage.MEMBERS: "gated", Stage.GATED: "gated", Stage.PUBLIC: "public",
}  # fmt: skip

# ---------------------------------------------------------------- terms


class Component(Message):
    """One component of the Model Openness Framework, as the release names it."""

    name: Name
    """As the framework calls it, for example `Model parameters (Final)`."""
    place: Place
    licence: Licence | None = None
    """Its own licence; without one it has that of its kind, or of the whole."""
    licence_place: Place | None = None
    """Where the text of that licence is."""


class LicenceTerms(Message):
    """The licences of whole groups."""

    distribution: Licence | None = None
    code: Licence | None = None
    data: Licence | None = None
    document: Licence | None = None
    place: Place | None = None
    """Where the text of the distribution's licence is."""
    code_place: Place | None = None
    data_place: Place | None = None
    document_place: Place | None = None
    """Where the texts of the kinds' licences are."""

    def of(self, kind: Literal["code", "data", "document"]) -> str | None:
        """The licence of components of this kind, where they have one as a group."""
        return {"code": self.code, "data": self.data, "document": self.document}[kind]

    def place_of(self, kind: Literal["code", "data", "document"]) -> str | None:
        """Where the text of that licence is."""
        return {"code": self.code_place, "data": self.data_place, "document": self.document_place}[kind]


class Threshold(Message):
    """What a score of an evaluation must reach, named before it is read."""

    evaluation: Slug
    task: TaskName
    metric: TaskName
    """As the harness writes it, for example `acc,none`."""
    at_least: Millionths


class CardText(Message):
    """What people say about the model on its card."""

    architecture: Prose = ""
    data: Prose = ""
    intended_use: Prose = ""
    limitations: Prose = ""
    tokens: Count | None = None
    """How many it saw in training."""


class Terms(Message):
    """What is released, under what, and what is claimed of it."""

    title: Name
    text: Prose = ""
    run: Slug
    """The run that made it."""
    location: InnerPath
    """The folder of the files, under the workers' folder of artifacts."""
    claim: OpennessClass
    """The openness class that is claimed; the class computed from the components must reach it."""
    licences: LicenceTerms = LicenceTerms()
    components: Annotated[tuple[Component, ...], Field(min_length=1, max_length=MOST_COMPONENTS)]
    evaluations: Annotated[tuple[Slug, ...], Field(max_length=30)] = ()
    """The evaluations that must have been passed, besides those of the charter."""
    thresholds: Annotated[tuple[Threshold, ...], Field(max_length=60)] = ()
    """What each of them, and of the charter's, is judged by."""
    publishers: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=MOST_PUBLISHERS)] = ("directory",)
    """By the names that the workers know them under."""
    supersedes: Slug | None = None
    """The public release that this one takes the place of."""
    card: CardText = CardText()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Terms:
        names = [component.name for component in self.components]
        if len(set(names)) != len(names):
            raise ValueError("a component is named twice; name it once")
        if len(set(self.publishers)) != len(self.publishers) or len(set(self.evaluations)) != len(self.evaluations):
            raise ValueError("a publisher or an evaluation is named twice; name it once")
        return self


# ---------------------------------------------------------------- steps and their outcomes


class BuildManifest(Message):
    """The data of a step `build_manifest`: hash every file in the folder and keep the manifest as a file named by its SHA-256.

    Files that do not fit (a symbolic link, a name with `..`) fail the step for good; the reason names the file.
    """

    release: Slug
    edition: Number
    """Counts the manifests of a release."""
    location: InnerPath


class ManifestBuilt(Outcome):
    """The files are listed."""

    kind: Literal["manifest_built"] = "manifest_built"
    edition: Number
    manifest: Digest
    files: Annotated[int, Field(ge=1, le=1_000_000)]
    bytes: Count


class SignManifest(Message):
    """The data of a step `sign_manifest`: sign exactly the manifest's files (OpenSSF model signing), and keep the signature as a file."""

    release: Slug
    edition: Number
    location: InnerPath
    manifest: Digest


class ManifestSigned(Outcome):
    """The files are signed."""

    kind: Literal["manifest_signed"] = "manifest_signed"
    edition: Number
    manifest: Digest
    signature: Digest
    """SHA-256 of the signature file."""
    key: Digest
    """The key's fingerprint: SHA-256 of the public key's PEM file."""


class ClassifyOpenness(Message):
    """The data of a step `classify_openness`: fetch and hash each component, judge its licence by the framework's data.

    It brings back `openness_classified`; `artifacts_refused` for a file that is not as it was signed; `classification_failed` for
    what else is in the way. What is not there, as its server says, is judged missing; a server that cannot be asked is a fault.
    """

    release: Slug
    check: Number
    title: Name
    location: InnerPath
    manifest: Digest
    licences: LicenceTerms
    components: tuple[Component, ...]


class Verdict(Message):
    """How one component of the framework stands."""

    component: Name
    standing: Literal["open", "conditional", "closed", "unlicensed", "missing"]
    """`conditional`: open, under a licence made for another kind."""
    licence: Annotated[str, Field(max_length=100)] = ""
    sha256: Digest | None = None
    """Of the component itself, or of the list of its files."""
    licence_sha256: Digest | None = None
    """Of the licence's text, where the release says where it is."""
    note: Shown = ""
    """Why it stands so, when that is not plain."""


class OpennessClassified(Outcome):
    """The class that the components reach, whatever was claimed."""

    kind: Literal["openness_classified"] = "openness_classified"
    check: Number
    openness_class: OpennessClass
    conditional: bool = False
    """Whether a component that the class needs is open on condition only."""
    verdicts: Annotated[tuple[Verdict, ...], Field(max_length=MOST_COMPONENTS)]
    reasons: Annotated[tuple[Shown, ...], Field(max_length=30)] = ()
    """What the next class lacks, and the conditions."""
    report: Digest
    """SHA-256 of the full report, kept as a file."""
    framework: Digest
    """SHA-256 of the framework's data that judged."""


class VerifyArtifacts(Message):
    """The data of a step `verify_artifacts`: the folder holds exactly the manifest's files, and the signature is this key's over them.

    It brings back `artifacts_verified` or `artifacts_refused`; a file that does not fit does not fail the step.
    """

    release: Slug
    check: Number
    """Counts the checks of a release; there is one before every change of stage."""
    location: InnerPath
    manifest: Digest
    signature: Digest
    key: Digest


class ClassificationFailed(Outcome):
    """The components could not be classified, though the files are as they were signed; the reason says what was in the way."""

    kind: Literal["classification_failed"] = "classification_failed"
    check: Number
    reason: Shown


class ArtifactsVerified(Outcome):
    """Every file is as it was signed."""

    kind: Literal["artifacts_verified"] = "artifacts_verified"
    check: Number
    manifest: Digest


class ArtifactsRefused(Outcome):
    """A file is not as it was signed: the stage does not change."""

    kind: Literal["artifacts_refused"] = "artifacts_refused"
    check: Number
    manifest: Digest
    path: Shown
    """The first file that does not fit."""
    reason: Literal["changed", "extra", "missing", "symlink", "path", "signature", "unreadable"]
    """`path`: a name that leaves the folder (`..`) or that is no plain name."""
    detail: Shown = ""


class Result(Message):
    """One measured number."""

    metric: Name
    value: Annotated[str, Field(max_length=40, pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$")]
    """In decimal, as text."""


class Evaluated(Message):
    """An evaluation that was passed, with its evidence."""

    evaluation: Slug
    evidence: Digest
    results: tuple[Result, ...]


class Approved(Message):
    """Who approved, as the holder of which office."""

    person: PersonId
    office: Office


class RunFacts(Message):
    """What the log holds of the training run when the documents are written."""

    checkpoints_retained: bool
    tokens: Count | None = None
    checkpoints: Count | None = None
    """How many the trainer told of."""
    missing: Count | None = None
    """How many that the contract retains are not there."""
    accepted: tuple[MilestonePassed, ...] = ()


class WriteDocuments(Message):
    """The data of a step `write_documents`: write and validate the model card and the bill of materials (CycloneDX ML-BOM)."""

    release: Slug
    edition: Number
    stage: Stage
    title: Name
    producer: Name
    """The consortium."""
    text: Prose
    card: CardText
    run: Slug
    contract: Digest
    """Of the run."""
    training: RunFacts | None = None
    location: InnerPath
    manifest: Digest
    files: int
    bytes: int
    signature: Digest
    key: Digest
    licences: LicenceTerms
    components: tuple[Component, ...]
    openness_class: OpennessClass
    verdicts: tuple[Verdict, ...]
    reasons: tuple[Shown, ...]
    report: Digest | None
    """Of the classification; nothing when the embargo's end published it unclassified."""
    evaluations: tuple[Evaluated, ...]
    """Those that these files passed."""
    approvals: tuple[Approved, ...]
    """Of this stage."""
    findings: tuple[Slug, ...]
    """Safety findings that are open."""
    missing: tuple[Shown, ...]
    """What was not reviewed when the embargo's end published it."""
    supersedes: Slug | None
    at: Instant
    """When the stage was entered."""


class DocumentsWritten(Outcome):
    """The documents are kept as files."""

    kind: Literal["documents_written"] = "documents_written"
    edition: Number
    stage: Stage
    card: Digest
    bill: Digest


class Publish(Message):
    """The data of a step `publish`: make what the audience sees show exactly these files and documents."""

    release: Slug
    edition: Number
    stage: Stage
    audience: Audience
    publisher: Slug
    location: InnerPath
    manifest: Digest
    signature: Digest
    key: Digest
    card: Digest
    bill: Digest


class Published(Outcome):
    """The audience sees them there."""

    kind: Literal["published"] = "published"
    edition: Number
    stage: Stage
    publisher: Slug
    manifest: Digest
    where: Annotated[str, Field(max_length=1_000)]


class Withdraw(Message):
    """The data of a step `withdraw`: take the release from every audience, for good."""

    release: Slug
    publisher: Slug
    reason: Prose


class Withdrawn(Outcome):
    """Nobody sees it there any more."""

    kind: Literal["withdrawn"] = "withdrawn"
    publisher: Slug


class OpenAccess(Message):
    """The data of a step `open_access`: let these persons read the gated files until then. An opening once closed stays closed."""

    release: Slug
    publisher: Slug
    opening: Slug
    """Names this opening of a lease at this publisher; never used again."""
    member: MemberId
    persons: tuple[PersonId, ...]
    opens_at: Instant
    until: Instant


class AccessOpened(Outcome):
    """The persons can read the files."""

    kind: Literal["access_opened"] = "access_opened"
    publisher: Slug
    opening: Slug


class CloseAccess(Message):
    """The data of a step `close_access`: end an opening, whether it took place before or not."""

    release: Slug
    publisher: Slug
    opening: Slug


class AccessClosed(Outcome):
    """The persons can read the files no longer by this opening."""

    kind: Literal["access_closed"] = "access_closed"
    publisher: Slug
    opening: Slug


# ---------------------------------------------------------------- commands: the release and its stages


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
    """Claim no more than was computed; approvals are asked for again. By a release manager."""

    kind: Literal["lower_claim"] = "lower_claim"
    claim: OpennessClass


class PublishByItself(Command):
    """The embargo is over. By the service."""

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


class SupersedeRelease(Command):
    """A newer release is public in its place. By the release process."""

    kind: Literal["supersede_release"] = "supersede_release"
    by: Slug


# ---------------------------------------------------------------- commands: gates


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


# ---------------------------------------------------------------- commands: holds


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


class EndHold(Command):
    """The hold's time is over. By the service."""

    kind: Literal["end_hold"] = "end_hold"


# ---------------------------------------------------------------- commands: early access


class GrantLease(Command):
    """Early access for persons of an active member, between two instants.

    By a representative of the member for anybody whom he names; by a release manager for those who speak for the member.
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


class EndLeases(Command):
    """A member lost its rights: its early access ends. By the membership process."""

    kind: Literal["end_leases"] = "end_leases"
    member: MemberId


class MindLeases(Command):
    """A lease begins or ends, or members are looked at again. By the service."""

    kind: Literal["mind_leases"] = "mind_leases"


ReleaseOutcome = (
    ManifestBuilt | ManifestSigned | OpennessClassified | ClassificationFailed | ArtifactsVerified | ArtifactsRefused | DocumentsWritten
    | Published | Withdrawn | AccessOpened | AccessClosed | EvaluationRead | EvaluationRefused
)  # fmt: skip
ReleaseCommand = (
    ProposeRelease | AmendRelease | MoveEmbargo | AdvanceRelease | LowerClaim | PublishByItself | PublishAgain | AbandonRelease
    | RecallRelease | SupersedeRelease | RecordEvaluation | OpenFinding | CloseFinding | ReviewLicence | ApproveStage | WithdrawApproval
    | HoldRelease | ExtendHold | LiftHold | EndHold | GrantLease | RevokeLease | EndLeases | MindLeases | ManifestBuilt | ManifestSigned
    | OpennessClassified | ClassificationFailed | ArtifactsVerified | ArtifactsRefused | DocumentsWritten | Published | Withdrawn | AccessOpened | AccessClosed
    | EvaluationRead | EvaluationRefused
)  # fmt: skip

# ---------------------------------------------------------------- events


class ReleaseProposed(Event):
    """A release was started under this version of the charter."""

    kind: Literal["release_proposed"] = "release_proposed"
    terms: Terms
    by: PersonId
    charter_version: int
    contract: Digest
    """Of the run."""
    not_before: Instant
    embargo_ends_at: Instant
    embargo_limit: Instant
    """The latest instant that the embargo may be moved to."""
    hold_limit: Instant
    """After it nobody can hold the release."""
    hold_seconds: Count
    """How long one key can hold it, in all."""
    hold_extensions: Count


class ReleaseAmended(Event):
    """Other files or terms: a new edition is made, and every gate is closed again."""

    kind: Literal["release_amended"] = "release_amended"
    terms: Terms
    by: PersonId
    edition: Number
    voted: bool = False
    """Whether a passed proposal ordered it."""


class EditionRestored(Event):
    """The embargo ended before the files of an amendment were signed: the edition that was signed last is released after all."""

    kind: Literal["edition_restored"] = "edition_restored"
    edition: Number
    manifest: Digest


class ManifestListed(Event):
    """The files of an edition, by the digest of their manifest."""

    kind: Literal["manifest_listed"] = "manifest_listed"
    edition: Number
    manifest: Digest
    files: int
    bytes: Count


class ManifestSealed(Event):
    """The files of an edition are signed."""

    kind: Literal["manifest_sealed"] = "manifest_sealed"
    edition: Number
    signature: Digest
    key: Digest


class CheckBegan(Event):
    """Before a stage is entered, components are classified and files verified."""

    kind: Literal["check_began"] = "check_began"
    check: Number
    to: Stage
    at: Instant


class OpennessJudged(Event):
    """The class that the components reach, and what the run leaves of it."""

    kind: Literal["openness_judged"] = "openness_judged"
    check: Number
    computed: OpennessClass
    openness_class: OpennessClass
    """After the run's gaps: without every checkpoint that its contract retains, no model is class I."""
    conditional: bool
    verdicts: tuple[Verdict, ...]
    reasons: tuple[Shown, ...]
    report: Digest
    framework: Digest


class LicenceChanged(Event):
    """A component's licence is another than the one that was reviewed: review and approvals are asked for again."""

    kind: Literal["licence_changed"] = "licence_changed"
    component: Name
    was: Shown
    became: Shown


class ComponentChanged(Event):
    """A component that lies elsewhere is not the one that was reviewed: review and approvals are asked for again."""

    kind: Literal["component_changed"] = "component_changed"
    component: Name
    was: Digest
    became: Digest


class StageRefused(Event):
    """A stage was not entered."""

    kind: Literal["stage_refused"] = "stage_refused"
    to: Stage
    rule: Literal[
        "artifacts_refused", "licence_changed", "component_changed", "not_classified", "claim_not_reached", "gates_missing", "too_early"
    ]
    subject: Shown
    """The file, component or gates."""
    reason: Shown


class StageEntered(Event):
    """A release is in this stage, with these files, verified just now."""

    kind: Literal["stage_entered"] = "stage_entered"
    stage: Stage
    manifest: Digest
    openness_class: OpennessClass
    missing: tuple[Shown, ...] = ()
    """What was not there when the embargo's end published it."""
    at: Instant


class EmbargoMoved(Event):
    """The embargo ends at another instant."""

    kind: Literal["embargo_moved"] = "embargo_moved"
    ends_at: Instant


class EmbargoEnded(Event):
    """The embargo is over: the release goes public whatever is missing; tried again then, as long as it is not."""

    kind: Literal["embargo_ended"] = "embargo_ended"
    missing: tuple[Shown, ...]
    again_at: Instant


class ClaimLowered(Event):
    """Less openness is claimed."""

    kind: Literal["claim_lowered"] = "claim_lowered"
    claim: OpennessClass
    by: PersonId


class DocumentsKept(Event):
    """Model card and bill of materials of a stage."""

    kind: Literal["documents_kept"] = "documents_kept"
    stage: Stage
    card: Digest
    bill: Digest


class PublishingRenewed(Event):
    """Documents and publishing of a stage are tried anew."""

    kind: Literal["publishing_renewed"] = "publishing_renewed"
    number: Number


class EditionPublished(Event):
    """A publisher shows the files to the stage's audience."""

    kind: Literal["edition_published"] = "edition_published"
    stage: Stage
    publisher: Slug
    manifest: Digest
    where: str


class EvaluationNamed(Event):
    """A results file of an evaluation of these files is to be read."""

    kind: Literal["evaluation_named"] = "evaluation_named"
    evaluation: Slug
    manifest: Digest
    file: str
    reading: Number
    """Counts the readings of a release."""
    by: PersonId
    note: Prose = ""


class EvaluationUnread(Event):
    """The results file proves nothing: a partial run, another task, or no results file."""

    kind: Literal["evaluation_unread"] = "evaluation_unread"
    evaluation: Slug
    reading: Number
    reason: Prose


class EvaluationRecorded(Event):
    """How an evaluation of these files came out, as the harness wrote it."""

    kind: Literal["evaluation_recorded"] = "evaluation_recorded"
    evaluation: Slug
    manifest: Digest
    evidence: Digest
    results: tuple[Result, ...] = ()
    passed: bool
    by: PersonId
    note: Prose = ""
    harness: str = ""
    model: str = ""
    """The model that was evaluated, as the harness names it."""


class FindingOpened(Event):
    """A danger must be dealt with."""

    kind: Literal["finding_opened"] = "finding_opened"
    finding: Slug
    text: Prose
    by: PersonId


class FindingClosed(Event):
    """A danger was dealt with in these files."""

    kind: Literal["finding_closed"] = "finding_closed"
    finding: Slug
    manifest: Digest
    resolution: Prose
    evidence: Digest | None = None
    by: PersonId


class LicenceReviewed(Event):
    """How a reviewer judged the licences."""

    kind: Literal["licence_reviewed"] = "licence_reviewed"
    manifest: Digest
    report: Digest
    accepted: bool
    by: PersonId
    note: Prose = ""


class StageApproved(Event):
    """A person agrees to a stage."""

    kind: Literal["stage_approved"] = "stage_approved"
    stage: Stage
    manifest: Digest
    by: PersonId
    office: Office


class ApprovalWithdrawn(Event):
    """A person agrees no longer."""

    kind: Literal["approval_withdrawn"] = "approval_withdrawn"
    stage: Stage
    by: PersonId


class ReleaseHeld(Event):
    """Nothing moves on until then."""

    kind: Literal["release_held"] = "release_held"
    by: PersonId
    reason: Prose
    since: Instant
    until: Instant
    suspend_access: bool


class HoldExtensionSigned(Event):
    """A person signed for a longer hold."""

    kind: Literal["hold_extension_signed"] = "hold_extension_signed"
    by: PersonId
    reason: Prose


class HoldExtended(Event):
    """Enough different persons signed: the hold lasts until then."""

    kind: Literal["hold_extended"] = "hold_extended"
    by: tuple[PersonId, ...]
    until: Instant
    extensions_left: Count


class HoldEnded(Event):
    """The release goes on. One key can hold it again for what is left."""

    kind: Literal["hold_ended"] = "hold_ended"
    cause: Literal["lifted", "over"]
    by: PersonId
    reason: Prose = ""
    seconds_left: Count
    at: Instant | None = None


class LeaseGranted(Event):
    """Persons of a member have early access between two instants."""

    kind: Literal["lease_granted"] = "lease_granted"
    lease: Slug
    member: MemberId
    persons: tuple[PersonId, ...]
    starts_at: Instant
    ends_at: Instant
    basis: Literal["named", "speaks-for"]
    """Named by the member's representative, or persons who speak for it: those lose it with their seat."""
    by: PersonId
    check_at: Instant
    """When members are looked at again."""


class LeaseOpened(Event):
    """A publisher lets the persons in."""

    kind: Literal["lease_opened"] = "lease_opened"
    lease: Slug
    publisher: Slug
    opening: Slug
    at: Instant


class LeaseSuspended(Event):
    """The persons are kept out while this lasts; the lease may open again."""

    kind: Literal["lease_suspended"] = "lease_suspended"
    lease: Slug
    cause: Literal["held", "amended"]
    at: Instant


class LeaseNarrowed(Event):
    """Persons of the lease lost their seats: it goes on for the others."""

    kind: Literal["lease_narrowed"] = "lease_narrowed"
    lease: Slug
    persons: tuple[PersonId, ...]
    """Who still has it."""
    at: Instant


class LeaseEnded(Event):
    """Early access by this lease is over."""

    kind: Literal["lease_ended"] = "lease_ended"
    lease: Slug
    cause: Literal["over", "revoked", "member", "seat", "public", "withdrawn"]
    by: PersonId
    at: Instant


class LeasesMinded(Event):
    """Members were looked at, and will be again then."""

    kind: Literal["leases_minded"] = "leases_minded"
    check_at: Instant


class AccessGiven(Event):
    """A publisher carried an opening out."""

    kind: Literal["access_given"] = "access_given"
    publisher: Slug
    opening: Slug


class AccessTaken(Event):
    """A publisher carried the end of an opening out."""

    kind: Literal["access_taken"] = "access_taken"
    publisher: Slug
    opening: Slug


class ReleaseAbandoned(Event):
    """It will never be published."""

    kind: Literal["release_abandoned"] = "release_abandoned"
    reason: Prose
    at: Instant


class RecallSigned(Event):
    """A person signed for the recall."""

    kind: Literal["recall_signed"] = "recall_signed"
    by: PersonId
    reason: Prose


class ReleaseRecalled(Event):
    """A public release was taken back."""

    kind: Literal["release_recalled"] = "release_recalled"
    by: tuple[PersonId, ...]
    """Who signed for it; nobody when a passed proposal ordered it."""
    reason: Prose
    at: Instant


class ReleaseSuperseded(Event):
    """A newer release took its place; it stays public."""

    kind: Literal["release_superseded"] = "release_superseded"
    release: Slug
    """The newer one."""
    at: Instant


class EditionWithdrawn(Event):
    """A publisher shows it to nobody any more."""

    kind: Literal["edition_withdrawn"] = "edition_withdrawn"
    publisher: Slug


ReleaseEvent = (
    ReleaseProposed | ReleaseAmended | EditionRestored | ManifestListed | ManifestSealed | CheckBegan | OpennessJudged | LicenceChanged | ComponentChanged | StageRefused
    | StageEntered | EmbargoMoved | EmbargoEnded | ClaimLowered | DocumentsKept | PublishingRenewed | EditionPublished | EvaluationNamed | EvaluationUnread
    | EvaluationRecorded
    | FindingOpened | FindingClosed | LicenceReviewed | StageApproved | ApprovalWithdrawn | ReleaseHeld | HoldExtensionSigned
    | HoldExtended | HoldEnded | LeaseGranted | LeaseOpened | LeaseSuspended | LeaseNarrowed | LeaseEnded | LeasesMinded | AccessGiven | AccessTaken
    | ReleaseAbandoned | RecallSigned | ReleaseRecalled | ReleaseSuperseded | EditionWithdrawn | ReleaseStaged
    | LeasesHeld
)  # fmt: skip
