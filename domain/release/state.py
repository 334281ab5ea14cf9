"""What a release knows: its terms, its files and what was said about exactly them, early access; and how each fact changes it.

An edition holds the evaluations, reviews and approvals that were given for its manifest: another manifest begins with none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from domain.charter import Office
from domain.kernel import Map, MemberId, PersonId, mapping
from domain.register.facts import LeasesHeld, ReleaseStaged
from domain.release import events, steps
from domain.release.terms import OpennessClass, Stage, Terms

UNCLASSIFIED: Final = "a classification of its components just now"
"""What is missing from a release that the embargo's end published before its components were classified."""

# ---------------------------------------------------------------- parts


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
    known: Map[str, steps.Verdict] = field(default_factory=mapping)
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
    """How often a publisher was told to let them in."""
    open: Map[str, str] = field(default_factory=mapping)
    """By publisher, the opening by which they are in."""


@dataclass(frozen=True, slots=True)
class Shown:
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
    """What every phase of a release knows."""

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
    shown: Map[str, Shown] = field(default_factory=mapping)
    """By publisher, for the present edition."""
    renewing: frozenset[str] = frozenset()
    """Publishers that are asked once more, whatever they show."""
    documents: Documents | None = None
    former: Former | None = None
    """While the files of an amendment that no vote ordered are not signed."""


# ---------------------------------------------------------------- places before the public


@dataclass(frozen=True, slots=True)
class Listing:
    """The files are being listed."""


@dataclass(frozen=True, slots=True)
class Signing:
    """The files are listed and being signed."""

    manifest: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Verifying:
    """The files are signed; nobody has been given them yet."""

    edition: Edition
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """The files are with the audience of a stage."""

    edition: Edition
    stage: Stage
    since: datetime
    early_since: datetime | None
    """When early access began, if it has."""
    check: Check | None = None


Signed = Verifying | Staged
Place = Listing | Signing | Verifying | Staged

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Unproposed:
    """Before the first command."""


@dataclass(frozen=True, slots=True)
class Pending:
    """On its way to the public."""

    release: Release
    place: Place


@dataclass(frozen=True, slots=True)
class Held:
    """A safety reviewer stopped it for a bounded time; it goes on from its place."""

    release: Release
    place: Place
    hold: Hold


@dataclass(frozen=True, slots=True)
class Public:
    """Everybody may have the files."""

    release: Release
    edition: Edition
    openness_class: OpennessClass
    since: datetime
    missing: tuple[str, ...] = ()
    """What was not there when the embargo's end published it, but for a classification that came later."""
    recall: frozenset[PersonId] = frozenset()
    """Who signed for taking it back."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Everybody may have the files; a newer release took its place."""

    release: Release
    edition: Edition
    openness_class: OpennessClass
    since: datetime
    by: str
    recall: frozenset[PersonId] = frozenset()


@dataclass(frozen=True, slots=True)
class Recalled:
    """It was public and was taken back."""

    release: Release
    edition: Edition
    openness_class: OpennessClass
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Abandoned:
    """It will never be public."""

    release: Release
    reason: str
    since: datetime


Known = Pending | Held | Public | Superseded | Recalled | Abandoned
ReleaseState = Unproposed | Known

# ---------------------------------------------------------------- evolve


def evolve(state: ReleaseState, event: events.ReleaseEvent) -> ReleaseState:
    """The state after a fact."""
    match event:
        case events.ReleaseProposed():
            return Pending(_proposed(event), Listing())
        case events.ReleaseAmended():
            return _amended(state, event)
        case events.EditionRestored():
            return _restored(state)
        case events.ManifestListed(manifest=manifest, files=files, bytes=size):
            return _place(state, lambda _: Signing(manifest, files, size))
        case events.ManifestSealed():
            state = _release(state, lambda known: replace(known, former=None))
            return _place(state, lambda place: _sealed(place, event))
        case events.CheckBegan(check=number, to=to, at=at):
            state = _release(state, lambda known: replace(known, checks=number, refused=""))
            return _signed_if_any(state, lambda place: replace(place, check=Check(number, to, at)))
        case events.OpennessJudged() if isinstance(state, Public | Superseded):
            return _rejudged(state, event)
        case events.OpennessJudged():
            return _edition(state, lambda edition: _judged(edition, event))
        case events.LicenceChanged() | events.ComponentChanged():
            return _edition(state, lambda edition: replace(edition, licence=None, approvals=mapping()))
        case events.StageRefused(subject=subject, reason=reason):
            state = _release(state, lambda known: replace(known, refused=f"{subject}: {reason}"))
            return _signed(state, lambda place: replace(place, check=None))
        case events.StageEntered():
            return _entered(state, event)
        case events.EmbargoMoved(ends_at=ends_at):
            return _release(state, lambda known: replace(known, embargo_ends_at=ends_at, publish_at=ends_at))
        case events.EmbargoEnded(again_at=again_at):
            return _signed_if_any(_release(state, lambda known: replace(known, publish_at=again_at)), _bound_for_the_public)
        case events.ClaimLowered(claim=claim):
            state = _release(state, lambda known: replace(known, claim=claim))
            return _edition(state, lambda edition: replace(edition, approvals=mapping()))
        case events.DocumentsKept(stage=stage, card=card, bill=bill):
            return _release(state, lambda known: replace(known, documents=Documents(stage, card, bill)))
        case events.PublishingRenewed(number=number):
            return _release(state, lambda known: replace(known, renewals=number, renewing=frozenset(known.terms.publishers)))
        case events.EditionPublished(stage=stage, publisher=publisher, where=where):
            return _release(
                state,
                lambda known: replace(known, shown=known.shown.set(publisher, Shown(stage, where)), renewing=known.renewing - {publisher}),
            )
        case events.EvaluationNamed(evaluation=name, reading=reading, file=file, by=by, note=note):
            state = _release(state, lambda known: replace(known, readings=reading))
            return _edition(state, lambda edition: replace(edition, named=edition.named.set(name, Named(reading, file, by, note))))
        case events.EvaluationUnread(evaluation=name, reason=reason):
            return _edition(
                state, lambda edition: replace(edition, named=edition.named.set(name, replace(edition.named[name], unread=reason)))
            )
        case events.EvaluationRecorded():
            return _edition(state, lambda edition: _evaluated(edition, event))
        case events.FindingOpened(finding=name, text=text, by=by):
            return _release(state, lambda known: replace(known, findings=known.findings.set(name, Finding(text, by))))
        case events.FindingClosed(finding=name, manifest=manifest):
            return _release(
                state, lambda known: replace(known, findings=known.findings.set(name, replace(known.findings[name], closed_on=manifest)))
            )
        case events.LicenceReviewed(accepted=accepted, by=by):
            return _edition(state, lambda edition: replace(edition, licence=LicenceReview(accepted, by)))
        case events.StageApproved(stage=stage, by=by, office=office):
            return _approvals(state, stage, lambda given: given.set(by, office))
        case events.ApprovalWithdrawn(stage=stage, by=by):
            return _approvals(state, stage, lambda given: given.delete(by))
        case events.ReleaseHeld(by=by, reason=reason, since=since, until=until, suspend_access=suspends):
            assert isinstance(state, Pending)
            held = Held(state.release, state.place, Hold(by, reason, since, until, suspends))
            return _signed_if_any(held, lambda place: replace(place, check=None))
        case events.HoldExtensionSigned(by=by):
            return _hold(state, lambda hold: replace(hold, keys=hold.keys | {by}))
        case events.HoldExtended(until=until, extensions_left=left):
            state = _release(state, lambda known: replace(known, hold_extensions=left))
            return _hold(state, lambda hold: replace(hold, until=until, keys=frozenset()))
        case events.HoldEnded(seconds_left=left, at=ended_at):
            assert isinstance(state, Held)
            publish_at = state.release.publish_at if ended_at is None else max(state.release.publish_at, ended_at)
            return Pending(replace(state.release, hold_seconds=left, publish_at=publish_at), state.place)
        case events.LeaseGranted(lease=name, check_at=check_at):
            lease = Lease(event.member, event.persons, event.starts_at, event.ends_at, event.basis)
            return _release(state, lambda known: replace(known, leases=known.leases.set(name, lease), check_at=check_at))
        case events.LeaseOpened(lease=name, publisher=publisher, opening=opening):
            return _lease(state, name, lambda lease: replace(lease, openings=lease.openings + 1, open=lease.open.set(publisher, opening)))
        case events.LeaseSuspended(lease=name):
            return _lease(state, name, lambda lease: replace(lease, open=mapping()))
        case events.LeaseNarrowed(lease=name, persons=persons):
            return _lease(state, name, lambda lease: replace(lease, persons=persons, open=mapping()))
        case events.LeaseEnded(lease=name, cause=cause):
            return _release(state, lambda known: replace(known, leases=known.leases.delete(name), ended=known.ended.set(name, cause)))
        case events.LeasesMinded(check_at=check_at):
            return _release(state, lambda known: replace(known, check_at=check_at))
        case events.ReleaseAbandoned(reason=reason, at=at):
            return Abandoned(_known(state).release, reason, at)
        case events.RecallSigned(by=by):
            assert isinstance(state, Public | Superseded)
            return replace(state, recall=state.recall | {by})
        case events.ReleaseRecalled(reason=reason, at=at):
            assert isinstance(state, Public | Superseded)
            return Recalled(state.release, state.edition, state.openness_class, reason, at)
        case events.ReleaseSuperseded(release=newer, at=at):
            assert isinstance(state, Public)
            return Superseded(state.release, state.edition, state.openness_class, at, newer, state.recall)
        case events.AccessGiven() | events.AccessTaken() | events.EditionWithdrawn() | ReleaseStaged() | LeasesHeld():
            return state


def _proposed(event: events.ReleaseProposed) -> Release:
    return Release(
        event.terms,
        event.terms.claim,
        event.by,
        event.charter_version,
        event.contract,
        event.not_before,
        event.embargo_ends_at,
        event.embargo_limit,
        event.embargo_ends_at,
        event.hold_limit,
        event.hold_seconds,
        event.hold_extensions,
    )


def _amended(state: ReleaseState, event: events.ReleaseAmended) -> ReleaseState:
    assert isinstance(state, Pending | Held)
    known, former = state.release, state.release.former
    match state.place:
        case Verifying(edition=edition) | Staged(edition=edition):
            former = Former(known.terms, known.claim, edition)
        case Listing() | Signing():
            pass
    release = replace(
        known,
        terms=event.terms,
        claim=event.terms.claim,
        by=known.by if event.voted else event.by,
        edition=event.edition,
        shown=mapping(),
        documents=None,
        refused="",
        former=None if event.voted else former,
    )
    return replace(state, release=release, place=Listing())


def _restored(state: ReleaseState) -> ReleaseState:
    assert isinstance(state, Pending | Held)
    former = state.release.former
    assert former is not None
    return replace(
        state, release=replace(state.release, terms=former.terms, claim=former.claim, former=None), place=Verifying(former.edition)
    )


def _evaluated(edition: Edition, event: events.EvaluationRecorded) -> Edition:
    made = Evaluation(event.evidence, event.results, event.passed, event.by)
    named = edition.named.delete(event.evaluation) if event.evaluation in edition.named else edition.named
    return replace(edition, evaluations=edition.evaluations.set(event.evaluation, made), named=named)


def _judged(edition: Edition, event: events.OpennessJudged) -> Edition:
    known = edition.known
    for verdict in event.verdicts:
        if verdict.standing != "missing":
            known = known.set(verdict.component, verdict)
    return replace(edition, openness=event, known=known)


def _rejudged(state: Public | Superseded, event: events.OpennessJudged) -> Public | Superseded:
    judged = replace(state, edition=_judged(state.edition, event), openness_class=event.openness_class)
    match judged:
        case Public(missing=missing):
            return replace(judged, missing=tuple(each for each in missing if each != UNCLASSIFIED))
        case Superseded():
            return judged


def _sealed(place: Place, event: events.ManifestSealed) -> Place:
    assert isinstance(place, Signing)
    return Verifying(Edition(event.edition, place.manifest, place.files, place.bytes, event.signature, event.key))


def _entered(state: ReleaseState, event: events.StageEntered) -> ReleaseState:
    assert isinstance(state, Pending)
    place = state.place
    assert isinstance(place, Verifying | Staged)
    release = replace(state.release, documents=None, refused="")
    if event.stage is Stage.PUBLIC:
        return Public(release, place.edition, event.openness_class, event.at, event.missing)
    early = place.early_since if isinstance(place, Staged) else None
    if event.stage is Stage.MEMBERS:
        early = event.at
    return Pending(release, Staged(place.edition, event.stage, event.at, early))


def _bound_for_the_public(place: Signed) -> Signed:
    return place if place.check is None else replace(place, check=replace(place.check, to=Stage.PUBLIC))


def _known(state: ReleaseState) -> Known:
    assert not isinstance(state, Unproposed)
    return state


def _release(state: ReleaseState, change: Callable[[Release], Release]) -> ReleaseState:
    known = _known(state)
    return replace(known, release=change(known.release))


def _place(state: ReleaseState, change: Callable[[Place], Place]) -> ReleaseState:
    assert isinstance(state, Pending | Held)
    return replace(state, place=change(state.place))


def _signed(state: ReleaseState, change: Callable[[Signed], Signed]) -> ReleaseState:
    assert isinstance(state, Pending | Held)
    assert isinstance(state.place, Verifying | Staged)
    return replace(state, place=change(state.place))


def _signed_if_any(state: ReleaseState, change: Callable[[Signed], Signed]) -> ReleaseState:
    if isinstance(state, Public | Superseded):
        return state
    assert isinstance(state, Pending | Held)
    return _signed(state, change) if isinstance(state.place, Verifying | Staged) else state


def _edition(state: ReleaseState, change: Callable[[Edition], Edition]) -> ReleaseState:
    return _signed_if_any(state, lambda place: replace(place, edition=change(place.edition)))


def _approvals(state: ReleaseState, stage: Stage, change: Callable[[Map[PersonId, Office]], Map[PersonId, Office]]) -> ReleaseState:
    return _edition(
        state, lambda edition: replace(edition, approvals=edition.approvals.set(stage, change(edition.approvals.get(stage, mapping()))))
    )


def _hold(state: ReleaseState, change: Callable[[Hold], Hold]) -> ReleaseState:
    assert isinstance(state, Held)
    return replace(state, hold=change(state.hold))


def _lease(state: ReleaseState, name: str, change: Callable[[Lease], Lease]) -> ReleaseState:
    return _release(state, lambda known: replace(known, leases=known.leases.set(name, change(known.leases[name]))))
