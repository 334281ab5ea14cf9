"""What a release is made of in every phase: its terms, its files and what was said about exactly them, early access.

An edition holds the evaluations, reviews and approvals that were given for its manifest: another manifest begins with none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from domain.charter import Office
from domain.kernel import Map, MemberId, PersonId, mapping
from domain.release import events, steps
from domain.release.terms import OpennessClass, Stage, Terms


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How an evaluation of an edition came out."""

    evidence: str
    results: tuple[steps.Result, ...]
    passed: bool
    by: PersonId


@dataclass(frozen=True, slots=True)
class Named:
    """A results file that is being read, or that could not be, with the reason."""

    reading: int
    file: str
    by: PersonId
    note: str
    unread: str = ""


@dataclass(frozen=True, slots=True)
class LicenceReview:
    """What a reviewer said about an edition's licences."""

    accepted: bool
    by: PersonId


@dataclass(frozen=True, slots=True)
class Edition:
    """Files that are listed and signed, and what was said about exactly these."""

    number: int
    manifest: str
    files: int
    bytes: int
    signature: str
    key: str
    openness: events.OpennessJudged | None = None
    """Of the latest classification."""
    latest_verdicts: Map[str, steps.Verdict] = field(default_factory=mapping)
    """By component, the verdict on it when it was there last: what people look at who review."""
    named: Map[str, Named] = field(default_factory=mapping)
    """By evaluation, the results that have not been judged."""
    evaluations: Map[str, Evaluation] = field(default_factory=mapping)
    licence: LicenceReview | None = None
    approvals: Map[Stage, Map[PersonId, Office]] = field(default_factory=mapping)

    @property
    def reviewed(self) -> bool:
        """Whether anybody has agreed to its licences, or to a stage under them."""
        return (self.licence is not None and self.licence.accepted) or any(self.approvals.values())


@dataclass(frozen=True, slots=True)
class Check:
    """Components are being classified, then files verified, before a stage is entered."""

    number: int
    to: Stage
    since: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """A danger, and the manifest for which it was closed last."""

    text: str
    by: PersonId
    closed_on: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """Early access of a member's persons."""

    member: MemberId
    persons: tuple[PersonId, ...]
    starts_at: datetime
    ends_at: datetime
    basis: Literal["named", "speaks-for"]
    openings: int = 0
    """How often a publisher was to let them in."""
    open: Map[str, str] = field(default_factory=mapping)
    """By publisher, the opening by which they are in."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a publisher shows the files, to the audience of which stage."""

    stage: Stage
    where: str


@dataclass(frozen=True, slots=True)
class Documents:
    """Model card and bill of materials of a stage."""

    stage: Stage
    card: str
    bill: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Who stopped the release, why and until when; and who signed for longer."""

    by: PersonId
    reason: str
    since: datetime
    until: datetime
    suspends_access: bool
    keys: frozenset[PersonId] = frozenset()


@dataclass(frozen=True, slots=True)
class Former:
    """What was signed last before an amendment: the embargo's end falls back on it."""

    terms: Terms
    claim: OpennessClass
    edition: Edition


@dataclass(frozen=True, slots=True)
class Release:
    """What is true of a release in every phase."""

    terms: Terms
    claim: OpennessClass
    by: PersonId
    """The person who proposed or amended it last: nobody approves their own."""
    charter_version: int
    contract: str
    not_before: datetime
    embargo_ends_at: datetime
    embargo_limit: datetime
    publish_at: datetime
    """When the system publishes it next by itself."""
    hold_limit: datetime
    hold_seconds: int
    """How long one key can still hold it."""
    hold_extensions: int
    """How many extensions are left."""
    edition: int = 1
    checks: int = 0
    renewals: int = 0
    readings: int = 0
    refused: str = ""
    """Why the last check changed no stage."""
    findings: Map[str, Finding] = field(default_factory=mapping)
    leases: Map[str, Lease] = field(default_factory=mapping)
    """Those that are not over."""
    ended: Map[str, str] = field(default_factory=mapping)
    """Leases that are over, with the cause."""
    check_at: datetime | None = None
    """When the members of leases are looked at again."""
    publications: Map[str, Publication] = field(default_factory=mapping)
    """By publisher, for the present edition."""
    renewing: frozenset[str] = frozenset()
    """Publishers that are to publish once more, whatever they show."""
    documents: Documents | None = None
    former: Former | None = None
    """While the files of an amendment that no vote ordered are not signed."""
