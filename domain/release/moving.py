"""How a release moves: proposed, listed and signed, checked before every stage, and published by itself at the embargo's end."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from domain import letters
from domain.charter import Office, ReleaseTerms, days
from domain.kernel import SERVICE, Refused, Step, shown_at, slug_of, tell
from domain.process import Context, owe
from domain.release import commands, events, steps
from domain.release.gates import (
    ROMAN,
    answered,
    changes,
    earliest,
    following,
    missing,
    openness_of,
    reaches,
    rules_of,
    stage_terms,
    wanted_by,
)
from domain.release.publishing import classification, documents_step, judgement, rejudged, staged_fact, told
from domain.release.rules import Events, embargo_over, folded, signed
from domain.release.state import (
    UNCLASSIFIED,
    Abandoned,
    Check,
    Edition,
    Former,
    Held,
    Known,
    Listing,
    Pending,
    Place,
    Public,
    Recalled,
    Release,
    ReleaseState,
    Signed,
    Signing,
    Staged,
    Superseded,
    Unproposed,
    Verifying,
)
from domain.release.terms import FRAMEWORK, PUBLISHERS, Stage, Terms

HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""The categories of characters that no file of a release has in its name."""

FINISHED: Final = frozenset({"completed", "closed-completed"})
"""The phases of a run whose model can be released."""

# ---------------------------------------------------------------- proposing


def _require_known(terms: Terms) -> None:
    """Refuses names that no worker could do anything with: nobody would find out before the embargo's end."""
    if strange := sorted({component.name for component in terms.components} - FRAMEWORK):
        raise Refused(
            "unknown_component",
            f"{', '.join(strange)[:200]}: not among the components of the Model Openness Framework",
            remedy=f"name them as the framework does: {', '.join(sorted(FRAMEWORK))}",
        )
    if hiding := [place for place in _places(terms) if any(unicodedata.category(character) in HIDDEN for character in place)]:
        raise Refused(
            "unsafe_place",
            f"{hiding[0][:200]!a} holds characters that are invisible or steer a display",
            remedy="rename the file, and name it as it reads",
        )
    if strange := sorted(set(terms.publishers) - PUBLISHERS):
        raise Refused(
            "unknown_publisher", f"there is no publisher {', '.join(strange)}", remedy=f"name some of {', '.join(sorted(PUBLISHERS))}"
        )


def _places(terms: Terms) -> Iterator[str]:
    licences = terms.licences
    yield terms.location
    yield from filter(None, (licences.place, licences.code_place, licences.data_place, licences.document_place))
    for component in terms.components:
        yield component.place
        yield component.licence_place or ""


def propose(state: ReleaseState, command: commands.ProposeRelease, context: Context) -> Events:
    """A release begins: its run is completed, its claim is one that the charter takes, its embargo is bounded."""
    terms = _terms(command)
    match state:
        case Unproposed():
            pass
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            if context.actor == state.release.by and terms == state.release.terms:
                return ()
            raise Refused("already_proposed", "there is a release of this name", remedy="choose another name, or amend it")
    context.require_office(Office.RELEASE_MANAGER, clause="release")
    rules = context.charter.release
    run = _require_terms(terms, rules, context)
    limit = context.at + days(rules.embargo_days)
    ends_at, not_before = command.embargo_ends_at or limit, command.not_before or context.at
    least = context.at + _shortest(context)
    if not least <= ends_at <= limit:
        raise Refused(
            "embargo_out_of_bounds",
            f"the embargo ends between {shown_at(least)} and {shown_at(limit)}",
            remedy="name an end in between",
            clause="release.embargo_days",
        )
    if not_before > ends_at:
        raise Refused("embargo_out_of_bounds", "the embargo ends before it may be public", remedy="name an earlier `not_before`")
    proposed = events.ReleaseProposed(
        terms=terms,
        by=context.actor,
        charter_version=context.register.version,
        contract=run,
        not_before=not_before,
        embargo_ends_at=ends_at,
        embargo_limit=limit,
        hold_limit=limit + rules.hold,
        hold_seconds=rules.hold_days * 86_400,
        hold_extensions=rules.hold_extensions,
    )
    return (proposed, owe(_building(terms, 1, context)))


def _terms(command: commands.ProposeRelease | commands.AmendRelease) -> Terms:
    return Terms(**{name: getattr(command, name) for name in Terms.model_fields})


def _shortest(context: Context) -> timedelta:
    """How long the stages before the public last at least."""
    rules = context.charter.release
    early = max(rules.members.hours + rules.gated.hours, rules.early_access_hours)
    return timedelta(hours=rules.internal.hours + early)


def _require_terms(terms: Terms, rules: ReleaseTerms, context: Context) -> str:
    """The hash of the run's contract. Refuses terms under which nothing can be released."""
    run = context.register.runs.get(terms.run)
    if run is None:
        raise Refused("unknown_run", f"there is no run {terms.run}", remedy="check the spelling against `consortium runs`")
    if run.phase not in FINISHED:
        raise Refused("run_not_completed", f"run/{terms.run} is {run.phase}", remedy="wait until the run is completed", clause="release")
    if not reaches(terms.claim, rules.lowest_class):
        raise Refused(
            "claim_below_charter",
            f"every release reaches class {ROMAN[rules.lowest_class]}",
            clause="release.lowest_class",
            remedy="claim it, and release what it asks for",
        )
    _require_known(terms)
    asked = any("evaluations" in stage_terms(rules, stage).gates for stage in Stage)
    if asked and not wanted_by(terms, rules):
        raise Refused("no_evaluation_named", "a stage asks for evaluations, and none is named", remedy="name them", clause="release")
    if asked and (unmeasured := sorted(wanted_by(terms, rules) - {each.evaluation for each in terms.thresholds})):
        raise Refused(
            "no_threshold",
            f"nothing says what {', '.join(unmeasured)[:200]} must reach",
            clause="release.evaluations",
            remedy="name the scores of each evaluation (`thresholds`) before they are measured",
        )
    if terms.supersedes is not None:
        older = context.register.releases.get(terms.supersedes)
        if older is None or older.standing != "public" or terms.supersedes == slug_of(context.stream):
            raise Refused("nothing_to_supersede", f"release/{terms.supersedes} is not public", remedy="name a public release, or none")
    return run.contract


def _building(terms: Terms, edition: int, context: Context) -> Step:
    data = steps.BuildManifest(release=slug_of(context.stream), edition=edition, location=terms.location)
    return Step(kind="build_manifest", key=f"manifest:{edition}", data=data.model_dump(mode="json"))


def amend(state: Pending | Held, command: commands.AmendRelease, context: Context) -> Events:
    """Other files close every gate; near the embargo's end, when nobody could look at them any more, only a vote allows it."""
    release, terms = state.release, _terms(command)
    rules = rules_of(release, context.register)
    if isinstance(state.place, Listing) and terms == release.terms:
        return ()
    if context.mandate is None:
        context.require_office(Office.RELEASE_MANAGER, clause="release")
        if context.at >= release.embargo_ends_at - timedelta(hours=rules.freeze_hours):
            raise Refused(
                "files_are_frozen",
                f"the embargo ends at {shown_at(release.embargo_ends_at)}",
                clause="release.freeze_hours",
                remedy="propose the amendment to a vote",
            )
    if terms.run != release.terms.run:
        raise Refused("other_run", f"it is a release of run/{release.terms.run}", remedy="propose another release for another run")
    if missing_publishers := sorted(set(release.terms.publishers) - set(terms.publishers)):
        raise Refused(
            "publisher_in_use", f"{', '.join(missing_publishers)} may show it already", remedy="keep its publishers; others can be added"
        )
    _require_terms(terms, rules, context)
    edition = release.edition + 1
    amended = events.ReleaseAmended(terms=terms, by=context.actor, edition=edition, voted=context.mandate is not None)
    return (amended, owe(_building(terms, edition, context)))


def move_embargo(state: Pending | Held, ends_at: datetime, context: Context) -> Events:
    """By vote, within the charter's longest embargo."""
    context.require_mandate()
    release = state.release
    if ends_at == release.embargo_ends_at:
        return ()
    if not max(context.at, release.not_before) < ends_at <= release.embargo_limit:
        raise Refused(
            "embargo_out_of_bounds",
            f"the embargo ends at {shown_at(release.embargo_limit)} at the latest, and not in the past",
            remedy="name an end before that",
            clause="release.embargo_days",
        )
    return (events.EmbargoMoved(ends_at=ends_at),)


def lower_claim(state: Pending | Held, command: commands.LowerClaim, context: Context) -> Events:
    """Less is claimed, never less than the charter asks for."""
    context.require_office(Office.RELEASE_MANAGER, clause="release")
    release, rules = state.release, rules_of(state.release, context.register)
    if command.claim == release.claim:
        return ()
    if reaches(command.claim, release.claim):
        raise Refused("claim_not_lower", f"class {ROMAN[release.claim]} is claimed", remedy="amend the release to claim more")
    if not reaches(command.claim, rules.lowest_class):
        raise Refused(
            "claim_below_charter",
            f"every release reaches class {ROMAN[rules.lowest_class]}",
            clause="release.lowest_class",
            remedy="release what that class asks for",
        )
    return (events.ClaimLowered(claim=command.claim, by=context.actor),)


# ---------------------------------------------------------------- listing and signing


def listed(state: Known, outcome: steps.ManifestBuilt, context: Context) -> Events:
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


def sealed(state: Known, outcome: steps.ManifestSigned, context: Context) -> Events:
    """Signed files are checked at once for the first stage; for the public one when the embargo is over."""
    match state:
        case Pending(release=release, place=Signing(manifest=manifest)) | Held(release=release, place=Signing(manifest=manifest)):
            if (release.edition, manifest) != (outcome.edition, outcome.manifest):
                return ()
            sealed: Events = (events.ManifestSealed(edition=outcome.edition, signature=outcome.signature, key=outcome.key),)
            match folded(state, sealed):
                case Pending(place=Verifying(edition=edition)):
                    to = Stage.PUBLIC if embargo_over(release, context) else Stage.INTERNAL
                    return (*sealed, *_check(release, edition, to, context))
                case Unproposed() | Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
                    return sealed
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return ()


# ---------------------------------------------------------------- moving on


def advance(state: Pending, to: Stage, context: Context) -> Events:
    """The next stage is wanted: its time has come and its gates are open, so it is checked. Asked while it is checked, nothing is done."""
    context.require_office(Office.RELEASE_MANAGER, clause="release")
    release, place = state.release, signed(state)
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


def _under_check(state: Known, number: int) -> tuple[Pending, Signed, Check] | None:
    """What is being checked, if it is this check: what a former one brings back late is old news."""
    match state:
        case Pending(place=Verifying(check=Check(number=current) as check) as place) if current == number:
            return state, place, check
        case Pending(place=Staged(check=Check(number=current) as check) as place) if current == number:
            return state, place, check
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return None


def classified(state: Known, outcome: steps.OpennessClassified, context: Context) -> Events:
    """The class must reach the claim, under the licences that were reviewed; at the embargo's end and later the class is what it is."""
    if isinstance(state, Public | Superseded):
        return rejudged(state, outcome, context)
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
        return (*decided, refused, *_told_refused(refused, check.number, context))
    if not reaches(judged.openness_class, release.claim):
        if not over:
            reason = f"class {ROMAN[release.claim]} is claimed, {ROMAN[judged.openness_class]} is reached"
            refused = events.StageRefused(
                to=check.to, rule="claim_not_reached", subject=f"class {ROMAN[judged.openness_class]}", reason=reason
            )
            return (*decided, refused, *_told_refused(refused, check.number, context))
        decided = (*decided, events.ClaimLowered(claim=judged.openness_class, by=SERVICE))
    return (*decided, owe(_verification(release, edition, check.number, context)))


def unclassified(state: Known, outcome: steps.ClassificationFailed, context: Context) -> Events:
    """Without a class no stage is entered; at the embargo's end it is named among what is missing, and holds up nothing."""
    found = _under_check(state, outcome.check)
    if found is None:
        return ()
    pending, place, check = found
    if embargo_over(pending.release, context):
        return (owe(_verification(pending.release, place.edition, check.number, context)),)
    refused = events.StageRefused(to=check.to, rule="not_classified", subject="openness class", reason=outcome.reason)
    return (refused, *_told_refused(refused, check.number, context))


def refused(state: Known, outcome: steps.ArtifactsRefused, context: Context) -> Events:
    """A file is not as it was signed: the stage is not entered, and people are told which file it is."""
    found = _under_check(state, outcome.check)
    if found is None:
        return ()
    refused = events.StageRefused(to=found[2].to, rule="artifacts_refused", subject=outcome.path, reason=outcome.detail or outcome.reason)
    return (refused, *_told_refused(refused, outcome.check, context))


def _told_refused(refused: events.StageRefused, number: int, context: Context) -> Events:
    return told(
        "stage_refused",
        Stage.INTERNAL,
        f"notice:refused:{number}",
        context,
        stage=refused.to,
        subject=refused.subject,
        reason=refused.reason,
    )


def verified(state: Known, number: int, context: Context) -> Events:
    """The files are those that were signed. Gates are looked at once more: somebody may think otherwise meanwhile."""
    found = _under_check(state, number)
    if found is None:
        return ()
    pending, place, check = found
    release, edition = pending.release, place.edition
    if embargo_over(release, context):
        stale = () if answered(edition, check.number) else (UNCLASSIFIED,)
        return _enter(release, edition, Stage.PUBLIC, (*_lacking(release, place, context), *stale), context)
    begins = earliest(release, place, rules_of(release, context.register))
    if check.to is not following(place) or (begins is not None and context.at < begins):
        at = "" if begins is None else begins.isoformat()
        return (events.StageRefused(to=check.to, rule="too_early", subject=check.to, reason=f"the next stage is {following(place)}, {at}"),)
    if lacking := missing(release, edition, check.to, context.register):
        refused = events.StageRefused(to=check.to, rule="gates_missing", subject=check.to, reason="; ".join(lacking)[:300])
        return (refused, *_told_refused(refused, number, context))
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
    notices = told("stage_entered", stage, f"notice:{stage}:{release.checks}", context, stage=stage, title=release.terms.title)
    return (entered, staged, written, *notices, *(_superseding(release, context) if stage is Stage.PUBLIC else ()))


def _superseding(release: Release, context: Context) -> Events:
    older = release.terms.supersedes
    if older is None:
        return ()
    return (owe(tell(f"release/{older}", letters.SupersedeRelease(by=slug_of(context.stream)), key=f"supersede:{older}")),)


# ---------------------------------------------------------------- the embargo's end


def publish_by_itself(state: ReleaseState, context: Context) -> Events:
    """The embargo is over: what is missing is named, and the files go to their last check. Tried again until they are public."""
    context.require_service()
    match state:
        case Pending(release=release, place=place):
            if context.at < release.publish_at:
                return ()
            if isinstance(place, Listing | Signing) and release.former is not None:
                return _restored(state, release.former, context)
            return _embargo_ended(release, place, context)
        case Unproposed() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return ()


def _restored(state: Pending, former: Former, context: Context) -> Events:
    """Files that are still not signed at the embargo's end hold up nothing: those that were signed last go public."""
    restored = (events.EditionRestored(edition=former.edition.number, manifest=former.edition.manifest),)
    match folded(state, restored):
        case Pending(release=release, place=place):
            return (*restored, *_embargo_ended(release, place, context))
        case Unproposed() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            raise AssertionError(context.stream)


def _embargo_ended(release: Release, place: Place, context: Context) -> Events:
    rules, lacking = rules_of(release, context.register), _lacking(release, place, context)
    ended = events.EmbargoEnded(missing=lacking, again_at=context.at + timedelta(hours=rules.recheck_hours))
    notices = told("embargo_ended", Stage.INTERNAL, f"notice:embargo:{context.at.isoformat()}", context, missing="; ".join(lacking)[:1_000])
    match place:
        case Listing() | Signing():
            return (ended, *notices)
        case Verifying() | Staged():
            return (ended, *notices, *_last_check(release, place, rules, context))


def _last_check(release: Release, place: Signed, rules: ReleaseTerms, context: Context) -> Events:
    """The files are verified whatever else: a classification that is not back since the embargo's end is waited for no longer."""
    check, edition = place.check, place.edition
    if check is not None and check.since >= release.embargo_ends_at and not answered(edition, check.number):
        number = release.checks + 1
        return (events.CheckBegan(check=number, to=Stage.PUBLIC, at=context.at), owe(_verification(release, edition, number, context)))
    return () if _under_way(place, rules, context) else _check(release, edition, Stage.PUBLIC, context)
