"""What the world is told and shown of a release: documents, publishers, the public registry; and how it ends."""

from __future__ import annotations

from typing import Final

from domain.charter import Office
from domain.kernel import Refused, Step, notify, slug_of
from domain.process import Context, owe
from domain.register.facts import ReleaseStaged
from domain.release import events, steps
from domain.release.gates import answered, charter_of, left_by_the_run, open_findings, openness_of, rules_of
from domain.release.leases import EARLY, opened_again
from domain.release.rules import BOARD, MANAGER, SAFETY, Events, folded, known_of, pending
from domain.release.state import (
    Abandoned,
    Edition,
    Held,
    Known,
    Pending,
    Public,
    Recalled,
    Release,
    ReleaseState,
    Staged,
    Superseded,
    Verifying,
)
from domain.release.terms import AUDIENCE, Stage

# ---------------------------------------------------------------- who is told what


def told(template: str, stage: Stage, key: str, context: Context, /, **facts: str) -> Events:
    """Notices to all who see a stage, a hundred at a time."""
    offices = (MANAGER, SAFETY, BOARD)
    members = sorted(member for member in context.register.members if context.register.active(member))
    everybody = offices if stage is Stage.INTERNAL else (*offices, *(f"member:{member}" for member in members))
    return tuple(
        owe(notify(template, everybody[start : start + 100], key=f"{key}:{start}", release=context.stream, **facts))
        for start in range(0, len(everybody), 100)
    )


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


def rejudged(state: Public | Superseded, outcome: steps.OpennessClassified, context: Context) -> Events:
    """What is public is of the class that it has now: where the judgement is another, registry, documents and publishers follow."""
    if outcome.check != state.release.checks or answered(state.edition, outcome.check):
        return ()
    judged = judgement(state.release, outcome, context)
    before = state.edition.openness
    if before is not None and state.openness_class == judged.openness_class and before.verdicts == judged.verdicts:
        return (judged,)
    renewed = events.PublishingRenewed(number=state.release.renewals + 1)
    after = folded(state, (judged, renewed))
    assert isinstance(after, Public | Superseded)
    newer, standing = (after.by, "superseded") if isinstance(after, Superseded) else (None, Stage.PUBLIC)
    lacking = after.missing if isinstance(after, Public) else ()
    return (
        judged,
        renewed,
        staged_fact(after.release, standing, after.edition.manifest, after.openness_class, context, newer),
        owe(documents_step(after.release, after.edition, Stage.PUBLIC, lacking, renewed.number, context)),
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


def _shown_stage(state: Known) -> tuple[Edition, Stage, tuple[str, ...]] | None:
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


def documented(state: Known, outcome: steps.DocumentsWritten, context: Context) -> Events:
    """The documents are kept; publishers that do not show the stage yet are asked to."""
    found = _shown_stage(state)
    if found is None or (found[0].number, found[1]) != (outcome.edition, outcome.stage):
        return ()
    edition, stage, _ = found
    kept = events.DocumentsKept(stage=stage, card=outcome.card, bill=outcome.bill)
    release = state.release
    asked = (each for each in release.terms.publishers if each in release.renewing or not shows(release, each, stage))
    return (kept, *(owe(_publishing(release, edition, kept, publisher, context)) for publisher in asked))


def shows(release: Release, publisher: str, stage: Stage) -> bool:
    """Whether a publisher shows the present files to the audience of this stage."""
    shown = release.shown.get(publisher)
    return shown is not None and shown.stage is stage


def _publishing(release: Release, edition: Edition, kept: events.DocumentsKept, publisher: str, context: Context) -> Step:
    data = steps.Publish(
        release=slug_of(context.stream),
        edition=edition.number,
        stage=kept.stage,
        audience=AUDIENCE[kept.stage],
        publisher=publisher,
        location=release.terms.location,
        manifest=edition.manifest,
        signature=edition.signature,
        key=edition.key,
        card=kept.card,
        bill=kept.bill,
    )
    key = f"publish:{edition.number}:{kept.stage}:{publisher}:{release.renewals}"
    return Step(kind="publish", key=key, data=data.model_dump(mode="json"))


def published(state: Known, outcome: steps.Published, context: Context) -> Events:
    """A publisher shows the stage; what a former stage or edition brings back late is old news."""
    found = _shown_stage(state)
    if found is None or (found[0].number, found[1]) != (outcome.edition, outcome.stage):
        return ()
    shown = events.EditionPublished(stage=outcome.stage, publisher=outcome.publisher, manifest=outcome.manifest, where=outcome.where)
    lost = outcome.publisher in state.release.renewing and outcome.stage in EARLY
    return (shown, *(opened_again(state.release, outcome.publisher, context) if lost else ()))


def publish_again(state: Known, context: Context) -> Events:
    """For what was given up, or was lost where it was published: documents are written anew, and every publisher is asked once more.

    What is public already is classified anew meanwhile: at the embargo's end that may have come back too late.
    """
    context.require_office(Office.RELEASE_MANAGER, clause="release")
    found = _shown_stage(state)
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


def abandon(state: ReleaseState, reason: str, context: Context) -> Events:
    """By vote, before it is public: it is taken from every publisher."""
    context.require_mandate()
    if isinstance(state, Abandoned):
        return ()
    known = pending(state)
    manifest = known.place.edition.manifest if isinstance(known.place, Verifying | Staged) else None
    return (
        events.ReleaseAbandoned(reason=reason, at=context.at),
        staged_fact(known.release, "abandoned", manifest, 0, context),
        *_withdrawals(known.release, reason, context),
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


def recall(state: ReleaseState, reason: str, context: Context) -> Events:
    """By a vote at once; else when enough different people signed. Who signed counts as long as they hold such an office."""
    known = known_of(state)
    match known:
        case Recalled():
            return ()
        case Abandoned():
            raise Refused("release_over", "it was never public, and will not be", remedy="nothing is left to recall")
        case Pending() | Held():
            raise Refused(
                "not_public",
                "it is not public",
                remedy="hold it (`consortium release hold-release`), or abandon it by a vote (`consortium proposal propose`)",
            )
        case Public() | Superseded():
            pass
    if context.mandate is not None:
        return _recalled(known, (), reason, context)
    rules = rules_of(known.release, context.register)
    context.require_office(*sorted(rules.recall_offices), clause="release.recall_offices")
    if context.actor in known.recall:
        return ()
    keys = sorted(person for person in known.recall | {context.actor} if context.register.holds(person, *rules.recall_offices))
    signed = events.RecallSigned(by=context.actor, reason=reason)
    return (signed,) if len(keys) < rules.recall_keys else (signed, *_recalled(known, tuple(keys), reason, context))


def _recalled(state: Public | Superseded, keys: tuple[str, ...], reason: str, context: Context) -> Events:
    release, manifest, newer = state.release, state.edition.manifest, state.by if isinstance(state, Superseded) else None
    return (
        events.ReleaseRecalled(by=keys, reason=reason, at=context.at),
        staged_fact(release, "recalled", manifest, state.openness_class, context, newer),
        *_withdrawals(release, reason, context),
        *told("release_recalled", Stage.PUBLIC, "notice:recalled", context, reason=reason[:500]),
    )


def supersede(state: Known, by: str, context: Context) -> Events:
    """A newer release that names this one is public. What is not public is not superseded."""
    context.require_service()
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
