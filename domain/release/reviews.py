"""What people say about a release: evaluations, findings, licence reviews and approvals, each on exactly these files; and holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from domain.charter import Office, days
from domain.evaluation import EvaluationRead, EvaluationRefused, ReadEvaluation, Score, decimal_of
from domain.kernel import Refused, Step, mapping, shown_at
from domain.process import Context
from domain.release import commands, events, steps
from domain.release.gates import rules_of, stage_terms, wanted_evaluations
from domain.release.parts import Edition, Named, Release
from domain.release.publishing import notify_audience
from domain.release.rules import Events, held, pending, require_manifest, signed
from domain.release.state import Held, Pending, Proposed, ReleaseState, Staged, Verifying
from domain.release.terms import STAGES, Stage, Threshold
from domain.stream import owe

# ---------------------------------------------------------------- gates


def _require_not_the_lead(release: Release, context: Context) -> None:
    run = context.register.runs.get(release.terms.run)
    if run is not None and context.actor == run.training_lead:
        raise Refused(
            "run_lead", f"{context.actor} led run/{release.terms.run}", remedy="let somebody judge it who did not make it", clause="release"
        )


def record_evaluation(state: Pending | Held, command: commands.RecordEvaluation, context: Context) -> Events:
    """What a harness wrote about exactly these files is read; named again while it is read, nothing is done."""
    context.require_office(Office.EVALUATION_REVIEWER, clause="release")
    release, edition = state.release, signed(state).edition
    _require_not_the_lead(release, context)
    require_manifest(edition, command.manifest)
    wanted = wanted_evaluations(release, rules_of(release, context.register))
    if command.evaluation not in wanted:
        raise Refused(
            "evaluation_not_asked", f"{command.evaluation} is not asked for", remedy=f"record one of {', '.join(wanted) or 'none'}"
        )
    thresholds = _thresholds(release, command.evaluation)
    if not thresholds:
        raise Refused(
            "no_threshold", f"nothing says what {command.evaluation} must reach", remedy="amend the release, naming its `thresholds`"
        )
    earlier = edition.named.get(command.evaluation)
    if earlier is not None and (earlier.file, earlier.by, earlier.unread) == (command.file, context.actor, ""):
        return ()
    reading = release.readings + 1
    named = events.EvaluationNamed(
        evaluation=command.evaluation, manifest=command.manifest, file=command.file, reading=reading, by=context.actor, note=command.note
    )
    data = ReadEvaluation(
        run=release.terms.run,
        subject=command.evaluation,
        number=reading,
        file=command.file,
        scores=tuple(Score(task=each.task, metric=each.metric, at_least=each.at_least) for each in thresholds),
    )
    return (named, owe(Step(kind="read_evaluation", key=f"evaluation:{reading}", data=data.model_dump(mode="json"))))


def _thresholds(release: Release, evaluation: str) -> Sequence[Threshold]:
    return [each for each in release.terms.thresholds if each.evaluation == evaluation]


def judge_evaluation(state: Proposed, outcome: EvaluationRead, context: Context) -> Events:
    """The scores are judged by the thresholds, whoever hopes for what. Nothing follows from results of former files."""
    found = _named(state, outcome.subject, outcome.number)
    if found is None:
        return ()
    release, edition, named = found
    values = {(each.task, each.metric): each.value for each in outcome.measured}
    thresholds = _thresholds(release, outcome.subject)
    passed = all(values.get((each.task, each.metric), each.at_least - 1) >= each.at_least for each in thresholds)
    recorded = events.EvaluationRecorded(
        evaluation=outcome.subject,
        manifest=edition.manifest,
        evidence=outcome.file,
        passed=passed,
        by=named.by,
        note=named.note,
        harness=outcome.harness,
        model=outcome.model,
        results=tuple(
            steps.Result(metric=f"{each.task} {each.metric}"[:120].rstrip(), value=decimal_of(each.value)) for each in outcome.measured
        ),
    )
    return (recorded,)


def refuse_evaluation(state: Proposed, outcome: EvaluationRefused, context: Context) -> Events:
    """The file proves nothing; other results can be named."""
    if _named(state, outcome.subject, outcome.number) is None:
        return ()
    notices = notify_audience(
        "stage_refused",
        Stage.INTERNAL,
        f"notice:evaluation:{outcome.number}",
        context,
        stage="evaluations",
        subject=outcome.subject,
        reason=outcome.reason,
    )
    return (events.EvaluationUnread(evaluation=outcome.subject, reading=outcome.number, reason=outcome.reason), *notices)


def _named(state: Proposed, evaluation: str, reading: int) -> tuple[Release, Edition, Named] | None:
    if not isinstance(state, Pending | Held) or not isinstance(state.place, Verifying | Staged):
        return None
    named = state.place.edition.named.get(evaluation)
    return None if named is None or named.reading != reading else (state.release, state.place.edition, named)


def open_finding(state: Pending | Held, command: commands.OpenFinding, context: Context) -> Events:
    """A danger that every stage with the gate `findings` waits for, in whatever files."""
    context.require_office(Office.SAFETY_REVIEWER, clause="release")
    earlier = state.release.findings.get(command.finding)
    if earlier is not None:
        if (earlier.text, earlier.by) == (command.text, context.actor):
            return ()
        raise Refused("finding_exists", f"there is a finding {command.finding}", remedy="choose another id")
    if len(state.release.findings) >= 500:
        raise Refused("too_many_findings", "a release holds at most 500 findings", remedy="put several into one")
    return (events.FindingOpened(finding=command.finding, text=command.text, by=context.actor),)


def close_finding(state: Pending | Held, command: commands.CloseFinding, context: Context) -> Events:
    """The danger was dealt with in exactly these files; in others it is open again."""
    context.require_office(Office.SAFETY_REVIEWER, clause="release")
    require_manifest(signed(state).edition, command.manifest)
    finding = state.release.findings.get(command.finding)
    if finding is None:
        raise Refused("no_such_finding", f"there is no finding {command.finding}", remedy="`consortium show release/…` lists them")
    if finding.closed_on == command.manifest:
        return ()
    closed = events.FindingClosed(
        finding=command.finding, manifest=command.manifest, resolution=command.resolution, evidence=command.evidence, by=context.actor
    )
    return (closed,)


def review_licence(state: Pending | Held, command: commands.ReviewLicence, context: Context) -> Events:
    """Accepts the licences of the latest classification, or turns them down."""
    context.require_office(Office.LICENCE_REVIEWER, clause="release")
    edition = signed(state).edition
    require_manifest(edition, command.manifest)
    if edition.openness is None or edition.openness.report != command.report:
        raise Refused("other_report", "the latest classification has another report", remedy="look at the latest one, and name its report")
    earlier = edition.licence
    if earlier is not None and (earlier.accepted, earlier.by) == (command.accepted, context.actor):
        return ()
    reviewed = events.LicenceReviewed(
        manifest=command.manifest, report=command.report, accepted=command.accepted, by=context.actor, note=command.note
    )
    return (reviewed,)


def approve(state: Pending | Held, command: commands.ApproveStage, context: Context) -> Events:
    """Nobody approves their own, and nobody counts for two offices."""
    release, place = state.release, signed(state)
    context.require_office(command.office, clause=f"release.{command.stage}")
    if command.office not in stage_terms(rules_of(release, context.register), command.stage).approvals:
        raise Refused(
            "approval_not_asked",
            f"{command.stage} asks for no approval by {command.office}",
            remedy="none is needed",
            clause=f"release.{command.stage}",
        )
    if isinstance(place, Staged) and STAGES.index(command.stage) <= STAGES.index(place.stage):
        raise Refused("stage_entered_already", f"it is in {place.stage}", remedy="approve a later stage")
    require_manifest(place.edition, command.manifest)
    if place.edition.openness is None:
        raise Refused("not_classified", "its components are not classified yet", remedy="wait; `consortium show` tells when they are")
    _require_not_the_lead(release, context)
    clause = f"release.{command.stage}"
    context.require_not_own(release.by, "proposed these files", clause=clause, remedy="let somebody else approve")
    given = place.edition.approvals.get(command.stage, mapping())
    others = (person for person, office in given.items() if person != context.actor or office is command.office)
    context.require_independent((person for person in others if context.register.holds(person, given[person])), clause=clause)
    return (events.StageApproved(stage=command.stage, manifest=command.manifest, by=context.actor, office=command.office),)


def withdraw_approval(state: Pending | Held, command: commands.WithdrawApproval, context: Context) -> Events:
    """The approval counts no longer; a stage that was entered stays entered."""
    stage = command.stage
    given = signed(state).edition.approvals.get(stage)
    if given is None or context.actor not in given:
        return ()
    return (events.ApprovalWithdrawn(stage=stage, by=context.actor),)


# ---------------------------------------------------------------- holds


def hold(state: ReleaseState, command: commands.HoldRelease, context: Context) -> Events:
    """One key holds for the charter's days in all, however often; beyond that it takes several."""
    context.require_office(Office.SAFETY_REVIEWER, clause="release.hold_days")
    before = pending(state)
    match before:
        case Held(hold=hold):
            if (hold.by, hold.reason) == (context.actor, command.reason):
                return ()
            raise Refused(
                "already_held",
                f"{hold.by} holds it until {shown_at(hold.until)}",
                remedy="sign for a longer hold (`consortium release extend-hold`)",
            )
        case Pending(release=release):
            until = min(context.at + timedelta(seconds=release.hold_seconds), release.hold_limit)
            if until <= context.at:
                raise Refused(
                    "hold_is_spent",
                    "it was held as long as the charter allows",
                    clause="release.hold_days",
                    remedy="propose to a vote that it is abandoned (`consortium proposal propose`)",
                )
            stopped = events.ReleaseHeld(
                by=context.actor, reason=command.reason, since=context.at, until=until, suspend_access=command.suspend_access
            )
            notices = notify_audience(
                "release_held",
                Stage.INTERNAL,
                f"notice:held:{context.at.isoformat()}",
                context,
                until=until.isoformat(),
                reason=command.reason[:500],
            )
            return (stopped, *notices)


def extend_hold(state: Held, command: commands.ExtendHold, context: Context) -> Events:
    """Who signed counts as long as they hold one of the charter's offices."""
    release, hold = state.release, state.hold
    rules = rules_of(release, context.register)
    context.require_office(*sorted(rules.hold_offices), clause="release.hold_offices")
    in_office = sorted(person for person in hold.keys if context.register.holds(person, *rules.hold_offices))
    signed = context.register.independent(in_office)
    context.require_independent(signed, clause="release.hold_keys")
    if context.at >= hold.until:
        raise Refused(
            "not_held",
            f"the hold was over at {shown_at(hold.until)}",
            remedy="a safety reviewer can hold it (`consortium release hold-release`)",
        )
    until = min(hold.until + days(rules.hold_extension_days), release.hold_limit)
    if release.hold_extensions == 0 or until <= hold.until:
        raise Refused(
            "hold_is_spent",
            f"it cannot be held longer than until {shown_at(hold.until)}",
            clause="release.hold_extensions",
            remedy="propose to a vote that it is abandoned (`consortium proposal propose`)",
        )
    extension = events.HoldExtensionSigned(by=context.actor, reason=command.reason)
    keys = sorted((*signed, context.actor))
    if len(keys) < rules.hold_keys:
        return (extension,)
    return (extension, events.HoldExtended(by=tuple(keys), until=until, extensions_left=release.hold_extensions - 1))


def lift_hold(state: ReleaseState, command: commands.LiftHold, context: Context) -> Events:
    """A safety reviewer lets the release go on before the hold's time is over."""
    context.require_office(Office.SAFETY_REVIEWER, clause="release")
    return _go_on(held(state), "lifted", command.reason, context)


def end_hold(state: Held, context: Context) -> Events:
    """The hold's time is over."""
    return _go_on(state, "over", "", context)


def _go_on(state: Held, cause: Literal["lifted", "over"], reason: str, context: Context) -> Events:
    """What the hold took is taken from what one key can hold the release again."""
    seconds = -((state.hold.since - context.at) // timedelta(seconds=1))
    left = max(0, state.release.hold_seconds - seconds)
    return (events.HoldEnded(cause=cause, by=context.actor, reason=reason, seconds_left=left, at=context.at),)
