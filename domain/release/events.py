"""What becomes true of a release, stored for ever."""

from __future__ import annotations

from typing import Literal

from domain.charter import Office
from domain.kernel import Count, Digest, Event, Instant, MemberId, Name, PersonId, Prose, Slug
from domain.register.facts import LeasesHeld, ReleaseStaged
from domain.release import steps
from domain.release.terms import Number, OpennessClass, Shown, Stage, Terms


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
    verdicts: tuple[steps.Verdict, ...]
    reasons: tuple[Shown, ...]
    report: Digest
    framework: Digest


class LicenceChanged(Event):
    """A component's licence is another than the one that was reviewed: review and approvals must be given anew."""

    kind: Literal["licence_changed"] = "licence_changed"
    component: Name
    was: Shown
    became: Shown


class ComponentChanged(Event):
    """A component that lies elsewhere is not the one that was reviewed: review and approvals must be given anew."""

    kind: Literal["component_changed"] = "component_changed"
    component: Name
    was: Digest
    became: Digest


class StageRefused(Event):
    """A stage was not entered."""

    kind: Literal["stage_refused"] = "stage_refused"
    to: Stage
    rule: Literal[
        "artifacts_refused",
        "licence_changed",
        "component_changed",
        "not_classified",
        "claim_not_reached",
        "gates_missing",
        "too_early",
        "release_key_revoked",
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
    results: tuple[steps.Result, ...] = ()
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


EditionEvent = ReleaseProposed | ReleaseAmended | EditionRestored | ManifestListed | ManifestSealed
StageEvent = (
    CheckBegan
    | OpennessJudged
    | LicenceChanged
    | ComponentChanged
    | StageRefused
    | StageEntered
    | EmbargoMoved
    | EmbargoEnded
    | ClaimLowered
)
PublishingEvent = DocumentsKept | PublishingRenewed | EditionPublished | EditionWithdrawn
ReviewEvent = (
    EvaluationNamed
    | EvaluationUnread
    | EvaluationRecorded
    | FindingOpened
    | FindingClosed
    | LicenceReviewed
    | StageApproved
    | ApprovalWithdrawn
)
HoldEvent = ReleaseHeld | HoldExtensionSigned | HoldExtended | HoldEnded
LeaseEvent = LeaseGranted | LeaseOpened | LeaseSuspended | LeaseNarrowed | LeaseEnded | LeasesMinded | AccessGiven | AccessTaken
EndingEvent = ReleaseAbandoned | RecallSigned | ReleaseRecalled | ReleaseSuperseded
ReleaseEvent = EditionEvent | StageEvent | PublishingEvent | ReviewEvent | HoldEvent | LeaseEvent | EndingEvent | ReleaseStaged | LeasesHeld
