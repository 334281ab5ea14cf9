"""Where a release is, and how each fact changes it: its places before the public, its phases, and what is true after an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.charter import Office
from domain.kernel import Map, PersonId, mapping
from domain.register.facts import LeasesHeld, ReleaseStaged
from domain.release import events
from domain.release.parts import (
    Check,
    Documents,
    Edition,
    Evaluation,
    Finding,
    Former,
    Hold,
    Lease,
    LicenceReview,
    Named,
    Publication,
    Release,
)
from domain.release.terms import OpennessClass, Stage

UNCLASSIFIED: Final = "a classification of its components just now"
"""What is missing from a release that the embargo's end published before its components were classified."""

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


Proposed = Pending | Held | Public | Superseded | Recalled | Abandoned
ReleaseState = Unproposed | Proposed

# ---------------------------------------------------------------- evolve


def evolve(state: ReleaseState, event: events.ReleaseEvent) -> ReleaseState:
    """What is true after an event."""
    if isinstance(event, events.LeaseEvent):
        return _after_lease(state, event)
    if isinstance(event, events.StageEvent):
        return _after_stage(state, event)
    if isinstance(event, events.EditionEvent):
        return _after_edition(state, event)
    if isinstance(event, events.ReviewEvent):
        return _after_review(state, event)
    if isinstance(event, events.PublishingEvent):
        return _after_publishing(state, event)
    if isinstance(event, events.HoldEvent):
        return _after_hold(state, event)
    if isinstance(event, events.EndingEvent):
        return _after_ending(state, event)
    match event:
        case ReleaseStaged() | LeasesHeld():
            return state


def _after_edition(state: ReleaseState, event: events.EditionEvent) -> ReleaseState:
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
            state = _release(state, lambda release: replace(release, former=None))
            return _place(state, lambda place: _sealed(place, event))


def _after_stage(state: ReleaseState, event: events.StageEvent) -> ReleaseState:
    match event:
        case events.CheckBegan(check=number, to=to, at=at):
            state = _release(state, lambda release: replace(release, checks=number, refused=""))
            return _signed_if_any(state, lambda place: replace(place, check=Check(number, to, at)))
        case events.OpennessJudged() if isinstance(state, Public | Superseded):
            return _judged_in_public(state, event)
        case events.OpennessJudged():
            return _edition(state, lambda edition: _judged(edition, event))
        case events.LicenceChanged() | events.ComponentChanged():
            return _edition(state, lambda edition: replace(edition, licence=None, approvals=mapping()))
        case events.StageRefused(subject=subject, reason=reason):
            state = _release(state, lambda release: replace(release, refused=f"{subject}: {reason}"))
            return _signed(state, lambda place: replace(place, check=None))
        case events.StageEntered():
            return _entered(state, event)
        case events.EmbargoMoved(ends_at=ends_at):
            return _release(state, lambda release: replace(release, embargo_ends_at=ends_at, publish_at=ends_at))
        case events.EmbargoEnded(again_at=again_at):
            return _signed_if_any(_release(state, lambda release: replace(release, publish_at=again_at)), _bound_for_the_public)
        case events.ClaimLowered(claim=claim):
            state = _release(state, lambda release: replace(release, claim=claim))
            return _edition(state, lambda edition: replace(edition, approvals=mapping()))


def _after_publishing(state: ReleaseState, event: events.PublishingEvent) -> ReleaseState:
    match event:
        case events.DocumentsKept(stage=stage, card=card, bill=bill):
            return _release(state, lambda release: replace(release, documents=Documents(stage, card, bill)))
        case events.PublishingRenewed(number=number):
            return _release(state, lambda release: replace(release, renewals=number, renewing=frozenset(release.terms.publishers)))
        case events.EditionPublished():
            return _release(state, lambda release: _published(release, event))
        case events.EditionWithdrawn():
            return state


def _after_review(state: ReleaseState, event: events.ReviewEvent) -> ReleaseState:
    match event:
        case events.EvaluationNamed(evaluation=name, reading=reading, file=file, by=by, note=note):
            state = _release(state, lambda release: replace(release, readings=reading))
            return _edition(state, lambda edition: replace(edition, named=edition.named.set(name, Named(reading, file, by, note))))
        case events.EvaluationUnread(evaluation=name, reason=reason):
            return _edition(
                state, lambda edition: replace(edition, named=edition.named.set(name, replace(edition.named[name], unread=reason)))
            )
        case events.EvaluationRecorded():
            return _edition(state, lambda edition: _evaluated(edition, event))
        case events.FindingOpened(finding=name, text=text, by=by):
            return _release(state, lambda release: replace(release, findings=release.findings.set(name, Finding(text, by))))
        case events.FindingClosed(finding=name, manifest=manifest):
            return _release(state, lambda release: _closed(release, name, manifest))
        case events.LicenceReviewed(accepted=accepted, by=by):
            return _edition(state, lambda edition: replace(edition, licence=LicenceReview(accepted, by)))
        case events.StageApproved(stage=stage, by=by, office=office):
            return _approvals(state, stage, lambda given: given.set(by, office))
        case events.ApprovalWithdrawn(stage=stage, by=by):
            return _approvals(state, stage, lambda given: given.delete(by))


def _after_hold(state: ReleaseState, event: events.HoldEvent) -> ReleaseState:
    match event:
        case events.ReleaseHeld(by=by, reason=reason, since=since, until=until, suspend_access=suspends):
            assert isinstance(state, Pending)
            held = Held(state.release, state.place, Hold(by, reason, since, until, suspends))
            return _signed_if_any(held, lambda place: replace(place, check=None))
        case events.HoldExtensionSigned(by=by):
            return _hold(state, lambda hold: replace(hold, keys=hold.keys | {by}))
        case events.HoldExtended(until=until, extensions_left=left):
            state = _release(state, lambda release: replace(release, hold_extensions=left))
            return _hold(state, lambda hold: replace(hold, until=until, keys=frozenset()))
        case events.HoldEnded(seconds_left=left, at=ended_at):
            assert isinstance(state, Held)
            publish_at = state.release.publish_at if ended_at is None else max(state.release.publish_at, ended_at)
            return Pending(replace(state.release, hold_seconds=left, publish_at=publish_at), state.place)


def _after_lease(state: ReleaseState, event: events.LeaseEvent) -> ReleaseState:
    match event:
        case events.LeaseGranted(lease=name, check_at=check_at):
            lease = Lease(event.member, event.persons, event.starts_at, event.ends_at, event.basis)
            return _release(state, lambda release: replace(release, leases=release.leases.set(name, lease), check_at=check_at))
        case events.LeaseOpened(lease=name, publisher=publisher, opening=opening):
            return _lease(state, name, lambda lease: replace(lease, openings=lease.openings + 1, open=lease.open.set(publisher, opening)))
        case events.LeaseSuspended(lease=name):
            return _lease(state, name, lambda lease: replace(lease, open=mapping()))
        case events.LeaseNarrowed(lease=name, persons=persons):
            return _lease(state, name, lambda lease: replace(lease, persons=persons, open=mapping()))
        case events.LeaseEnded(lease=name, cause=cause):
            return _release(
                state, lambda release: replace(release, leases=release.leases.delete(name), ended=release.ended.set(name, cause))
            )
        case events.LeasesMinded(check_at=check_at):
            return _release(state, lambda release: replace(release, check_at=check_at))
        case events.AccessGiven() | events.AccessTaken():
            return state


def _after_ending(state: ReleaseState, event: events.EndingEvent) -> ReleaseState:
    match event:
        case events.ReleaseAbandoned(reason=reason, at=at):
            assert not isinstance(state, Unproposed)
            return Abandoned(state.release, reason, at)
        case events.RecallSigned(by=by):
            assert isinstance(state, Public | Superseded)
            return replace(state, recall=state.recall | {by})
        case events.ReleaseRecalled(reason=reason, at=at):
            assert isinstance(state, Public | Superseded)
            return Recalled(state.release, state.edition, state.openness_class, reason, at)
        case events.ReleaseSuperseded(release=newer, at=at):
            assert isinstance(state, Public)
            return Superseded(state.release, state.edition, state.openness_class, at, newer, state.recall)


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
    before, former = state.release, state.release.former
    match state.place:
        case Verifying(edition=edition) | Staged(edition=edition):
            former = Former(before.terms, before.claim, edition)
        case Listing() | Signing():
            pass
    release = replace(
        before,
        terms=event.terms,
        claim=event.terms.claim,
        by=before.by if event.voted else event.by,
        edition=event.edition,
        publications=mapping(),
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
    verdicts = edition.latest_verdicts
    for verdict in event.verdicts:
        if verdict.standing != "missing":
            verdicts = verdicts.set(verdict.component, verdict)
    return replace(edition, openness=event, latest_verdicts=verdicts)


def _judged_in_public(state: Public | Superseded, event: events.OpennessJudged) -> Public | Superseded:
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


def _published(release: Release, event: events.EditionPublished) -> Release:
    publications = release.publications.set(event.publisher, Publication(event.stage, event.where))
    return replace(release, publications=publications, renewing=release.renewing - {event.publisher})


def _closed(release: Release, finding: str, manifest: str) -> Release:
    return replace(release, findings=release.findings.set(finding, replace(release.findings[finding], closed_on=manifest)))


def _release(state: ReleaseState, change: Callable[[Release], Release]) -> ReleaseState:
    assert not isinstance(state, Unproposed)
    return replace(state, release=change(state.release))


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
    return _release(state, lambda release: replace(release, leases=release.leases.set(name, change(release.leases[name]))))
