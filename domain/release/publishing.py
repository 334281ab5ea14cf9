"""What the world sees of a release: notices, documents, publishers, the public registry; and how it ends."""

from __future__ import annotations

from typing import Final

from domain import letters
from domain.charter import Office
from domain.kernel import Refused, Step, slug_of
from domain.process import Context
from domain.register.facts import ReleaseStaged
from domain.release import commands, events, steps
from domain.release.gates import charter_of, classified_for, left_by_the_run, open_findings, openness_of, rules_of
from domain.release.leases import EARLY, reopen
from domain.release.parts import Edition, Release
from domain.release.rules import BOARD, MANAGER, SAFETY, Events, after, pending
from domain.release.state import (
    Abandoned,
    Held,
    Pending,
    Proposed,
    Public,
    Recalled,
    ReleaseState,
    Staged,
    Superseded,
    Verifying,
)
from domain.release.terms import AUDIENCE, Stage
from domain.stream import RECIPIENTS, owe, owe_notices

# ---------------------------------------------------------------- notices and the registry


def notify_audience(template: str, stage: Stage, key: str, context: Context, /, **facts: str) -> Events:
    """Notices to all who see a stage, a hundred at a time."""
    offices = (MANAGER, SAFETY, BOARD)
    members = sorted(member for member in context.register.members if context.register.active(member))
    everybody = offices if stage is Stage.INTERNAL else (*offices, *(f"member:{member}" for member in members))
    return tuple(owe_notices(template, everybody, key, {"release": context.stream, **facts}, first=0, by=RECIPIENTS))


def staged_fact(
    release: Release, standing: str, manifest: str | None, openness_class: int, context: Context, newer: str | None = None
) -> ReleaseStaged:
    """The fact for the public registry."""
    return ReleaseStaged(
        release=slug_of(context.stream),
        standing=str(standing),
        title=release.terms.title,
        run=release.terms.run,
        manifest=manifest,
        openness_class=openness_class,
        supersedes=release.terms.supersedes,
        superseded_by=newer,
        at=context.at,
    )


# ---------------------------------------------------------------- the openness class


LOST_CHECKPOINTS: Final = "class I lacks checkpoints that the run's contract retains: the run lost some"


def classification(release: Release, edition: Edition, check: int, context: Context) -> Step:
    """The components are looked at where they are now."""
    terms = release.terms
    data = steps.ClassifyOpenness(
        release=slug_of(context.stream),
        check=check,
        title=terms.title,
        location=terms.location,
        manifest=edition.manifest,
        licences=terms.licences,
        components=terms.components,
    )
    return Step(kind="classify_openness", key=f"classify:{check}", data=data.model_dump(mode="json"))


def judgement(release: Release, outcome: steps.OpennessClassified, context: Context) -> events.OpennessJudged:
    """The class that the components reach, as far as the run's checkpoints leave it."""
    left = left_by_the_run(outcome.openness_class, release, context)
    return events.OpennessJudged(
        check=outcome.check,
        computed=outcome.openness_class,
        openness_class=left,
        conditional=outcome.conditional,
        verdicts=outcome.verdicts,
        reasons=outcome.reasons if left == outcome.openness_class else (LOST_CHECKPOINTS, *outcome.reasons),
        report=outcome.report,
        framework=outcome.framework,
    )


def reclassify(state: Public | Superseded, outcome: steps.OpennessClassified, context: Context) -> Events:
    """What is public is of the class that it has now: where the judgement is another, registry, documents and publishers follow."""
    if outcome.check != state.release.checks or classified_for(state.edition, outcome.check):
        return ()
    judged = judgement(state.release, outcome, context)
    before = state.edition.openness
    if before is not None and state.openness_class == judged.openness_class and before.verdicts == judged.verdicts:
        return (judged,)
    renewed = events.PublishingRenewed(number=state.release.renewals + 1)
    folded = after(state, (judged, renewed))
    assert isinstance(folded, Public | Superseded)
    newer, standing = (folded.by, "superseded") if isinstance(folded, Superseded) else (None, Stage.PUBLIC)
    lacking = folded.missing if isinstance(folded, Public) else ()
    return (
        judged,
        renewed,
        staged_fact(folded.release, standing, folded.edition.manifest, folded.openness_class, context, newer),
        owe(documents_step(folded.release, folded.edition, Stage.PUBLIC, lacking, renewed.number, context)),
    )


# ---------------------------------------------------------------- documents and publishers


def documents_step(release: Release, edition: Edition, stage: Stage, lacking: tuple[str, ...], renewal: int, context: Context) -> Step:
    """Everything that card and bill of materials say, as it is when the stage is entered."""
    terms, openness = release.terms, edition.openness
    passed = tuple(
        steps.Evaluated(evaluation=name, evidence=made.evidence, results=made.results)
        for name, made in sorted(edition.evaluations.items())
        if made.passed
    )
    approved = tuple(steps.Approved(person=person, office=office) for person, office in sorted(edition.approvals.get(stage, {}).items()))
    data = steps.WriteDocuments(
        release=slug_of(context.stream),
        edition=edition.number,
        stage=stage,
        title=terms.title,
        producer=charter_of(release, context.register).name,
        text=terms.text,
        card=terms.card,
        run=terms.run,
        contract=release.contract,
        training=_run_facts(release, context),
        location=terms.location,
        manifest=edition.manifest,
        files=edition.files,
        bytes=edition.bytes,
        signature=edition.signature,
        key=edition.key,
        licences=terms.licences,
        components=terms.components,
        openness_class=openness_of(edition),
        verdicts=() if openness is None else openness.verdicts,
        reasons=() if openness is None else openness.reasons,
        report=None if openness is None else openness.report,
        evaluations=passed,
        approvals=approved,
        findings=open_findings(release, edition.manifest),
        missing=lacking,
        supersedes=terms.supersedes,
        at=context.at,
    )
    return Step(kind="write_documents", key=f"documents:{edition.number}:{stage}:{renewal}", data=data.model_dump(mode="json"))


def _run_facts(release: Release, context: Context) -> steps.RunFacts | None:
    """What the register has of the run, while it is the contract that the release was proposed under."""
    run = context.register.runs.get(release.terms.run)
    if run is None or run.contract != release.contract:
        return None
    return steps.RunFacts(
        checkpoints_retained=run.checkpoints_retained,
        tokens=run.tokens,
        checkpoints=run.checkpoints,
        missing=run.missing,
        accepted=run.accepted,
    )


def _current_stage(state: Proposed) -> tuple[Edition, Stage, tuple[str, ...]] | None:
    """The files that are to be seen, by the audience of which stage, and what was missing then."""
    match state:
        case Pending(place=Staged(edition=edition, stage=stage)) | Held(place=Staged(edition=edition, stage=stage)):
            return edition, stage, ()
        case Public(edition=edition, missing=lacking):
            return edition, Stage.PUBLIC, lacking
        case Superseded(edition=edition):
            return edition, Stage.PUBLIC, ()
        case Pending() | Held() | Recalled() | Abandoned():
            return None


def record_documents(state: Proposed, outcome: steps.DocumentsWritten, context: Context) -> Events:
    """The documents are written; publishers that do not show the stage yet are to publish it."""
    found = _current_stage(state)
    if found is None or (found[0].number, found[1]) != (outcome.edition, outcome.stage):
        return ()
    edition, stage, _ = found
    documents = events.DocumentsKept(stage=stage, card=outcome.card, bill=outcome.bill)
    release = state.release
    lacking = (each for each in release.terms.publishers if each in release.renewing or not shows(release, each, stage))
    return (documents, *(owe(_publishing(release, edition, documents, publisher, context)) for publisher in lacking))


def shows(release: Release, publisher: str, stage: Stage) -> bool:
    """Whether a publisher shows the present files to the audience of this stage."""
    publication = release.publications.get(publisher)
    return publication is not None and publication.stage is stage


def _publishing(release: Release, edition: Edition, documents: events.DocumentsKept, publisher: str, context: Context) -> Step:
    data = steps.Publish(
        release=slug_of(context.stream),
        edition=edition.number,
        stage=documents.stage,
        audience=AUDIENCE[documents.stage],
        publisher=publisher,
        location=release.terms.location,
        manifest=edition.manifest,
        signature=edition.signature,
        key=edition.key,
        card=documents.card,
        bill=documents.bill,
    )
    key = f"publish:{edition.number}:{documents.stage}:{publisher}:{release.renewals}"
    return Step(kind="publish", key=key, data=data.model_dump(mode="json"))


def record_publication(state: Proposed, outcome: steps.Published, context: Context) -> Events:
    """A publisher shows the stage. Nothing follows from what a former stage or edition brings back late."""
    found = _current_stage(state)
    if found is None or (found[0].number, found[1]) != (outcome.edition, outcome.stage):
        return ()
    published = events.EditionPublished(stage=outcome.stage, publisher=outcome.publisher, manifest=outcome.manifest, where=outcome.where)
    lost = outcome.publisher in state.release.renewing and outcome.stage in EARLY
    return (published, *(reopen(state.release, outcome.publisher, context) if lost else ()))


def record_withdrawal(outcome: steps.Withdrawn) -> Events:
    """A publisher shows it to nobody any more."""
    return (events.EditionWithdrawn(publisher=outcome.publisher),)


def publish_again(state: Proposed, context: Context) -> Events:
    """For what was given up, or was lost where it was published: documents are written anew, and every publisher is to publish once more.

    What is public already is classified anew meanwhile: at the embargo's end that may have come back too late.
    """
    context.require_office(Office.RELEASE_MANAGER, clause="release")
    found = _current_stage(state)
    if found is None:
        raise Refused("nothing_staged", "it is in no stage that is published", remedy="`consortium show release/…` tells where it is")
    release = state.release
    renewed = events.PublishingRenewed(number=release.renewals + 1)
    decided: Events = (renewed, owe(documents_step(release, *found, renewed.number, context)))
    if not isinstance(state, Public | Superseded):
        return decided
    check = events.CheckBegan(check=release.checks + 1, to=Stage.PUBLIC, at=context.at)
    return (*decided, check, owe(classification(release, state.edition, check.check, context)))


# ---------------------------------------------------------------- the ends


def abandon(state: ReleaseState, command: commands.AbandonRelease, context: Context) -> Events:
    """By vote, before it is public: it is taken from every publisher."""
    context.require_mandate()
    if isinstance(state, Abandoned):
        return ()
    before, reason = pending(state), command.reason
    release, place = before.release, before.place
    manifest = place.edition.manifest if isinstance(place, Verifying | Staged) else None
    return (
        events.ReleaseAbandoned(reason=reason, at=context.at),
        staged_fact(release, "abandoned", manifest, 0, context),
        *_withdrawals(release, reason, context),
    )


def _withdrawals(release: Release, reason: str, context: Context) -> Events:
    return tuple(
        owe(
            Step(
                kind="withdraw",
                key=f"withdraw:{publisher}",
                data=steps.Withdraw(release=slug_of(context.stream), publisher=publisher, reason=reason).model_dump(mode="json"),
            )
        )
        for publisher in release.terms.publishers
    )


def recall(state: Public | Superseded | Recalled, command: commands.RecallRelease, context: Context) -> Events:
    """By a vote at once; else when enough different people signed. Who signed counts as long as they hold such an office.

    Nothing follows when it was recalled already.
    """
    if isinstance(state, Recalled):
        return ()
    if context.mandate is not None:
        return _take_back(state, (), command.reason, context)
    rules = rules_of(state.release, context.register)
    context.require_office(*sorted(rules.recall_offices), clause="release.recall_offices")
    in_office = sorted(person for person in state.recall if context.register.holds(person, *rules.recall_offices))
    before = context.register.independent(in_office)
    context.require_independent(before, clause="release.recall_keys")
    keys = sorted((*before, context.actor))
    signed = events.RecallSigned(by=context.actor, reason=command.reason)
    return (signed,) if len(keys) < rules.recall_keys else (signed, *_take_back(state, tuple(keys), command.reason, context))


def _take_back(state: Public | Superseded, keys: tuple[str, ...], reason: str, context: Context) -> Events:
    release, manifest, newer = state.release, state.edition.manifest, state.by if isinstance(state, Superseded) else None
    return (
        events.ReleaseRecalled(by=keys, reason=reason, at=context.at),
        staged_fact(release, "recalled", manifest, state.openness_class, context, newer),
        *_withdrawals(release, reason, context),
        *notify_audience("release_recalled", Stage.PUBLIC, "notice:recalled", context, reason=reason[:500]),
    )


def supersede(state: Proposed, letter: letters.SupersedeRelease, context: Context) -> Events:
    """A newer release that names this one is public. What is not public is not superseded."""
    by = letter.by
    newer = context.register.releases.get(by)
    match state:
        case Public(release=release, edition=edition, openness_class=openness_class):
            if newer is None or (newer.standing, newer.supersedes) != ("public", slug_of(context.stream)):
                raise Refused("not_a_successor", f"release/{by} is not public in its place", remedy="none is needed")
            return (
                events.ReleaseSuperseded(release=by, at=context.at),
                staged_fact(release, "superseded", edition.manifest, openness_class, context, by),
            )
        case Pending() | Held() | Superseded() | Recalled() | Abandoned():
            return ()
