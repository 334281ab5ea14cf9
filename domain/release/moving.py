"""How a release moves: its files are listed and signed, checked before every stage, and published by itself at the embargo's end."""

from __future__ import annotations

from datetime import timedelta

from domain import letters
from domain.charter import Office, ReleaseTerms
from domain.kernel import SERVICE, Digest, Refused, Step, shown_at, slug_of, tell
from domain.process import Context
from domain.release import commands, events, steps
from domain.release.gates import (
    ROMAN,
    changes,
    classified_for,
    earliest,
    following,
    missing,
    openness_of,
    reaches,
    rules_of,
    signed_validly,
)
from domain.release.parts import Check, Edition, Former, Release
from domain.release.publishing import classification, documents_step, judgement, notify_audience, reclassify, staged_fact
from domain.release.rules import Events, after, embargo_over, signed
from domain.release.state import (
    UNCLASSIFIED,
    Abandoned,
    Held,
    Listing,
    Pending,
    Place,
    Proposed,
    Public,
    Recalled,
    Signed,
    Signing,
    Staged,
    Superseded,
    Unproposed,
    Verifying,
)
from domain.release.terms import Stage
from domain.stream import owe

# ---------------------------------------------------------------- listing and signing


def record_manifest(state: Proposed, outcome: steps.ManifestBuilt, context: Context) -> Events:
    """The files are listed: they are signed next."""
    match state:
        case Pending(release=release, place=Listing()) | Held(release=release, place=Listing()):
            if release.edition != outcome.edition:
                return ()
            data = steps.SignManifest(
                release=slug_of(context.stream), edition=outcome.edition, location=release.terms.location, manifest=outcome.manifest
            )
            step = Step(kind="sign_manifest", key=f"sign:{outcome.edition}", data=data.model_dump(mode="json"))
            listed = events.ManifestListed(edition=outcome.edition, manifest=outcome.manifest, files=outcome.files, bytes=outcome.bytes)
            return (listed, owe(step))
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return ()


def record_signature(state: Proposed, outcome: steps.ManifestSigned, context: Context) -> Events:
    """Signed files are checked at once for the first stage; for the public one when the embargo is over."""
    match state:
        case Pending(release=release, place=Signing(manifest=manifest)) | Held(release=release, place=Signing(manifest=manifest)):
            if (release.edition, manifest) != (outcome.edition, outcome.manifest):
                return ()
            _require_enrolled(outcome.key, context)
            sealed: Events = (events.ManifestSealed(edition=outcome.edition, signature=outcome.signature, key=outcome.key),)
            match after(state, sealed):
                case Pending(place=Verifying(edition=edition)):
                    to = Stage.PUBLIC if embargo_over(release, context) else Stage.INTERNAL
                    return (*sealed, *_check(release, edition, to, context))
                case Unproposed() | Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
                    return sealed
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return ()


def _require_enrolled(key: Digest, context: Context) -> None:
    """Refuses a signature by a key that nobody enrolled: the step fails, and waits for a person. On an unsigned log every key is taken."""
    if context.register.signing and not context.register.signs_releases(key):
        raise Refused(
            "release_key_unknown",
            f"the files were signed with the key {key[:16]}…, which signs no releases",
            clause="release",
            remedy="have that key enrolled (`consortium consortium enrol-release-key`), or give the worker one that is; then retry the step",
        )


# ---------------------------------------------------------------- moving on


def advance(state: Pending, command: commands.AdvanceRelease, context: Context) -> Events:
    """The next stage is wanted: its time has come and its gates are open, so it is checked. Nothing follows while it is being checked."""
    context.require_office(Office.RELEASE_MANAGER, clause="release")
    release, place, to = state.release, signed(state), command.to
    rules = rules_of(release, context.register)
    if isinstance(place, Staged) and place.stage is to:
        return ()
    if following(place) is not to:
        raise Refused("not_the_next_stage", f"the next stage is {following(place)}", remedy=f"enter {following(place)} first")
    if _under_way(place, rules, context):
        return ()
    begins = earliest(release, place, rules)
    if begins is not None and context.at < begins:
        raise Refused(
            "too_early",
            f"{to} begins at {shown_at(begins)} at the earliest",
            remedy="wait, or let a vote move the embargo",
            clause="release",
        )
    if lacking := missing(release, place.edition, to, context.register):
        raise Refused(
            "gates_missing",
            f"{to} needs: {'; '.join(lacking)}"[:500],
            clause=f"release.{to}",
            remedy="ask the reviewers and approvers named; each looks at this manifest",
        )
    return _check(release, place.edition, to, context)


def _under_way(place: Signed, rules: ReleaseTerms, context: Context) -> bool:
    """Whether a check may still bring something back; one that took too long is begun anew."""
    return place.check is not None and context.at < place.check.since + timedelta(hours=rules.check_hours)


def _check(release: Release, edition: Edition, to: Stage, context: Context) -> Events:
    """Classify the components; files are verified last, so that nothing lies between that and the stage."""
    return (
        events.CheckBegan(check=release.checks + 1, to=to, at=context.at),
        owe(classification(release, edition, release.checks + 1, context)),
    )


def _verification(release: Release, edition: Edition, number: int, context: Context) -> Step:
    data = steps.VerifyArtifacts(
        release=slug_of(context.stream),
        check=number,
        location=release.terms.location,
        manifest=edition.manifest,
        signature=edition.signature,
        key=edition.key,
    )
    return Step(kind="verify_artifacts", key=f"verify:{number}", data=data.model_dump(mode="json"))


def _under_check(state: Proposed, number: int) -> tuple[Pending, Signed, Check] | None:
    """What is being checked, if it is this check: a former one may bring something back late."""
    match state:
        case Pending(place=Verifying(check=Check(number=current) as check) as place) if current == number:
            return state, place, check
        case Pending(place=Staged(check=Check(number=current) as check) as place) if current == number:
            return state, place, check
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return None


def record_openness(state: Proposed, outcome: steps.OpennessClassified, context: Context) -> Events:
    """The class must reach the claim, under the licences that were reviewed; at the embargo's end and later the class is what it is."""
    if isinstance(state, Public | Superseded):
        return reclassify(state, outcome, context)
    found = _under_check(state, outcome.check)
    if found is None:
        return ()
    pending, place, check = found
    release, edition = pending.release, place.edition
    judged = judgement(release, outcome, context)
    changed = changes(edition, outcome.verdicts)
    decided: Events = (judged, *changed)
    over = embargo_over(release, context)
    if changed and not over:
        first = changed[0]
        refused = events.StageRefused(
            to=check.to, rule=first.kind, subject=first.component, reason=f"{first.was} became {first.became}"[:300]
        )
        return (*decided, refused, *_notify_refused(refused, check.number, context))
    if not reaches(judged.openness_class, release.claim):
        if not over:
            reason = f"class {ROMAN[release.claim]} is claimed, {ROMAN[judged.openness_class]} is reached"
            refused = events.StageRefused(
                to=check.to, rule="claim_not_reached", subject=f"class {ROMAN[judged.openness_class]}", reason=reason
            )
            return (*decided, refused, *_notify_refused(refused, check.number, context))
        decided = (*decided, events.ClaimLowered(claim=judged.openness_class, by=SERVICE))
    return (*decided, owe(_verification(release, edition, check.number, context)))


def record_unclassified(state: Proposed, outcome: steps.ClassificationFailed, context: Context) -> Events:
    """Without a class no stage is entered; at the embargo's end it is named among what is missing, and holds up nothing."""
    found = _under_check(state, outcome.check)
    if found is None:
        return ()
    pending, place, check = found
    if embargo_over(pending.release, context):
        return (owe(_verification(pending.release, place.edition, check.number, context)),)
    refused = events.StageRefused(to=check.to, rule="not_classified", subject="openness class", reason=outcome.reason)
    return (refused, *_notify_refused(refused, check.number, context))


def refuse_artifacts(state: Proposed, outcome: steps.ArtifactsRefused, context: Context) -> Events:
    """A file is not as it was signed: the stage is not entered, and people are notified which file it is."""
    found = _under_check(state, outcome.check)
    if found is None:
        return ()
    refused = events.StageRefused(to=found[2].to, rule="artifacts_refused", subject=outcome.path, reason=outcome.detail or outcome.reason)
    return (refused, *_notify_refused(refused, outcome.check, context))


def _notify_refused(refused: events.StageRefused, number: int, context: Context) -> Events:
    return notify_audience(
        "stage_refused",
        Stage.INTERNAL,
        f"notice:refused:{number}",
        context,
        stage=refused.to,
        subject=refused.subject,
        reason=refused.reason,
    )


def record_verification(state: Proposed, outcome: steps.ArtifactsVerified, context: Context) -> Events:
    """The files are those that were signed. Gates are looked at once more: somebody may think otherwise meanwhile."""
    number = outcome.check
    found = _under_check(state, number)
    if found is None:
        return ()
    pending, place, check = found
    release, edition = pending.release, place.edition
    if not signed_validly(edition, context.register):
        reason = f"the key {edition.key[:16]}… signs no releases any more: amend the release, and its files are signed anew"
        refused = events.StageRefused(to=check.to, rule="release_key_revoked", subject="model.sig", reason=reason)
        return (refused, *_notify_refused(refused, number, context))
    if embargo_over(release, context):
        stale = () if classified_for(edition, check.number) else (UNCLASSIFIED,)
        return _enter(release, edition, Stage.PUBLIC, (*_lacking(release, place, context), *stale), context)
    begins = earliest(release, place, rules_of(release, context.register))
    if check.to is not following(place) or (begins is not None and context.at < begins):
        at = "" if begins is None else begins.isoformat()
        return (events.StageRefused(to=check.to, rule="too_early", subject=check.to, reason=f"the next stage is {following(place)}, {at}"),)
    if lacking := missing(release, edition, check.to, context.register):
        refused = events.StageRefused(to=check.to, rule="gates_missing", subject=check.to, reason="; ".join(lacking)[:300])
        return (refused, *_notify_refused(refused, number, context))
    return _enter(release, edition, check.to, (), context)


def _lacking(release: Release, place: Place, context: Context) -> tuple[str, ...]:
    """What is missing when the embargo's end publishes."""
    match place:
        case Listing() | Signing():
            return ("files that are listed and signed",)
        case Verifying(edition=edition) | Staged(edition=edition):
            lowest = rules_of(release, context.register).lowest_class
            short = () if reaches(openness_of(edition), lowest) else (f"openness class {ROMAN[lowest]}",)
            return tuple(text[:300] for text in (*missing(release, edition, Stage.PUBLIC, context.register), *short))


def _enter(release: Release, edition: Edition, stage: Stage, lacking: tuple[str, ...], context: Context) -> Events:
    """The release is in the stage from now on; documents and publishers follow."""
    openness_class = openness_of(edition)
    entered = events.StageEntered(stage=stage, manifest=edition.manifest, openness_class=openness_class, missing=lacking, at=context.at)
    staged = staged_fact(release, stage, edition.manifest, openness_class, context)
    written = owe(documents_step(release, edition, stage, lacking, release.renewals, context))
    notices = notify_audience("stage_entered", stage, f"notice:{stage}:{release.checks}", context, stage=stage, title=release.terms.title)
    return (entered, staged, written, *notices, *(_superseding(release, context) if stage is Stage.PUBLIC else ()))


def _superseding(release: Release, context: Context) -> Events:
    older = release.terms.supersedes
    if older is None:
        return ()
    return (owe(tell(f"release/{older}", letters.SupersedeRelease(by=slug_of(context.stream)), key=f"supersede:{older}")),)


# ---------------------------------------------------------------- the embargo's end


def publish_by_itself(state: Pending, context: Context) -> Events:
    """The embargo is over: what is missing is named, and the files go to their last check. Tried again until they are public."""
    release, place = state.release, state.place
    if isinstance(place, Listing | Signing) and release.former is not None:
        return _restore(state, release.former, context)
    return _end_embargo(release, place, context)


def _restore(state: Pending, former: Former, context: Context) -> Events:
    """Files that are still not signed at the embargo's end hold up nothing: those that were signed last go public."""
    restored = (events.EditionRestored(edition=former.edition.number, manifest=former.edition.manifest),)
    match after(state, restored):
        case Pending(release=release, place=place):
            return (*restored, *_end_embargo(release, place, context))
        case Unproposed() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            raise AssertionError(context.stream)


def _end_embargo(release: Release, place: Place, context: Context) -> Events:
    rules, lacking = rules_of(release, context.register), _lacking(release, place, context)
    ended = events.EmbargoEnded(missing=lacking, again_at=context.at + timedelta(hours=rules.recheck_hours))
    notices = notify_audience(
        "embargo_ended", Stage.INTERNAL, f"notice:embargo:{context.at.isoformat()}", context, missing="; ".join(lacking)[:1_000]
    )
    match place:
        case Listing() | Signing():
            return (ended, *notices)
        case Verifying() | Staged():
            return (ended, *notices, *_last_check(release, place, rules, context))


def _last_check(release: Release, place: Signed, rules: ReleaseTerms, context: Context) -> Events:
    """The files are verified whatever else: a classification that is not back since the embargo's end is waited for no longer."""
    check, edition = place.check, place.edition
    if check is not None and check.since >= release.embargo_ends_at and not classified_for(edition, check.number):
        number = release.checks + 1
        return (events.CheckBegan(check=number, to=Stage.PUBLIC, at=context.at), owe(_verification(release, edition, number, context)))
    return () if _under_way(place, rules, context) else _check(release, edition, Stage.PUBLIC, context)
