"""What a release asks of the outside world, and the outcomes that come back: the data of its steps.

What is large lies in files named by their digests; only digests and short summaries are here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain.charter import Office
from domain.evaluation import MilestonePassed
from domain.forms import Form
from domain.kernel import Count, Digest, Instant, MemberId, Message, Name, Outcome, PersonId, Prose, Slug
from domain.release.terms import (
    MOST_COMPONENTS,
    Audience,
    CardText,
    Component,
    InnerPath,
    LicenceTerms,
    Number,
    OpennessClass,
    Shown,
    Stage,
)


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
    what else is in the way. What is not there, as its server says, is judged missing; a server that does not answer is a fault.
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
    value: Annotated[str, Field(max_length=40, pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"), Form("a decimal number", "0.7125")]
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
    """How many the trainer reported."""
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
