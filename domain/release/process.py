"""A staged release, `release/<id>`: a model's files on their way from the inside to the public.

proposed → verifying → internal → members → gated → **public** → superseded | recalled; held at any stage before the public; abandoned
by vote. Files are listed and signed once an edition; before every stage the components are classified and the files verified.

The embargo's end publishes by itself, whoever is silent: evaluations, reviews and approvals that are missing then are named in
the event and hold up nothing, a claim that is not reached is lowered. What still must hold is that the files are exactly those
that were signed: while they are not, it is tried again every few hours. A safety hold stops it too, for the charter's time in all.

`decide` is the table of commands; each row's rule stands in its topic: `proposing` for what is to be released, `moving` from stage to
stage, `reviews` for what people say, `leases` for early access, `publishing` for what the world sees; gates are computed in `gates`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import letters
from domain.evaluation import EvaluationRead, EvaluationRefused
from domain.kernel import Agenda, Deadline, Headline, escaped, shown_at
from domain.process import Context, Process, phase_of_deadline
from domain.release import commands, events, leases, moving, proposing, publishing, reviews, rules, steps
from domain.release.gates import ROMAN, open_findings
from domain.release.parts import Edition, Lease, Release
from domain.release.rules import MANAGER, SAFETY, Events
from domain.release.state import (
    Abandoned,
    Held,
    Listing,
    Pending,
    Place,
    Proposed,
    Public,
    Recalled,
    ReleaseState,
    Signing,
    Staged,
    Superseded,
    Unproposed,
    Verifying,
    evolve,
)
from domain.release.tables import tables
from domain.release.terms import Stage
from domain.stream import Common

SHOWN: Final = 20
"""How many leases are listed for people."""

# ---------------------------------------------------------------- decide


def decide(state: ReleaseState, command: commands.ReleaseCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`. Whatever the command was, leases are brought up to date afterwards."""
    decided = _outcome(state, command, context) if isinstance(command, commands.ReleaseOutcome) else _request(state, command, context)
    folded = rules.after(state, decided)
    tended = leases.tend(folded, context)
    return (*decided, *tended, *leases.count(state, rules.after(folded, tended), context.stream))


def _request(state: ReleaseState, command: commands.ReleaseRequest, context: Context) -> Events:
    match command:
        case commands.ProposeRelease():
            return proposing.propose(state, command, context)
        case commands.AmendRelease():
            return proposing.amend(rules.pending(state), command, context)
        case commands.MoveEmbargo():
            return proposing.move_embargo(rules.pending(state), command, context)
        case commands.LowerClaim():
            return proposing.lower_claim(rules.pending(state), command, context)
        case commands.AdvanceRelease():
            return moving.advance(rules.unheld(state), command, context)
        case commands.PublishByItself():
            return moving.publish_by_itself(phase_of_deadline(state, Pending), context)
        case commands.PublishAgain():
            return publishing.publish_again(rules.proposed(state), context)
        case commands.AbandonRelease():
            return publishing.abandon(state, command, context)
        case commands.RecallRelease():
            return publishing.recall(rules.recallable(state), command, context)
        case letters.SupersedeRelease():
            return publishing.supersede(rules.proposed(state), command, context)
        case commands.RecordEvaluation():
            return reviews.record_evaluation(rules.pending(state), command, context)
        case commands.OpenFinding():
            return reviews.open_finding(rules.pending(state), command, context)
        case commands.CloseFinding():
            return reviews.close_finding(rules.pending(state), command, context)
        case commands.ReviewLicence():
            return reviews.review_licence(rules.pending(state), command, context)
        case commands.ApproveStage():
            return reviews.approve(rules.pending(state), command, context)
        case commands.WithdrawApproval():
            return reviews.withdraw_approval(rules.pending(state), command, context)
        case commands.HoldRelease():
            return reviews.hold(state, command, context)
        case commands.ExtendHold():
            return reviews.extend_hold(rules.held(state), command, context)
        case commands.LiftHold():
            return reviews.lift_hold(state, command, context)
        case commands.EndHold():
            return reviews.end_hold(phase_of_deadline(state, Held), context)
        case commands.GrantLease():
            return leases.grant(rules.pending(state), command, context)
        case commands.RevokeLease():
            return leases.revoke(rules.proposed(state), command, context)
        case commands.MindLeases():
            return leases.mind(rules.with_leases(state), context)
        case letters.EndLeases():
            return ()


def _outcome(state: ReleaseState, command: commands.ReleaseOutcome, context: Context) -> Events:
    match command:
        case steps.ManifestBuilt():
            return moving.record_manifest(rules.proposed(state), command, context)
        case steps.ManifestSigned():
            return moving.record_signature(rules.proposed(state), command, context)
        case steps.OpennessClassified():
            return moving.record_openness(rules.proposed(state), command, context)
        case steps.ClassificationFailed():
            return moving.record_unclassified(rules.proposed(state), command, context)
        case steps.ArtifactsVerified():
            return moving.record_verification(rules.proposed(state), command, context)
        case steps.ArtifactsRefused():
            return moving.refuse_artifacts(rules.proposed(state), command, context)
        case steps.DocumentsWritten():
            return publishing.record_documents(rules.proposed(state), command, context)
        case steps.Published():
            return publishing.record_publication(rules.proposed(state), command, context)
        case steps.Withdrawn():
            return publishing.record_withdrawal(command)
        case steps.AccessOpened():
            return leases.record_opened(command)
        case steps.AccessClosed():
            return leases.record_closed(command)
        case EvaluationRead():
            return reviews.judge_evaluation(rules.proposed(state), command, context)
        case EvaluationRefused():
            return reviews.refuse_evaluation(rules.proposed(state), command, context)


# ---------------------------------------------------------------- agenda and describe


def agenda(state: ReleaseState) -> Agenda:
    """While held the hold's end, else the embargo's end; and the next instant at which leases are looked at."""
    match state:
        case Unproposed():
            return Agenda(closed=True)
        case Pending(release=release):
            return Agenda((*_leases(state), Deadline(release.publish_at, commands.PublishByItself())))
        case Held(hold=hold):
            return Agenda((*_leases(state), Deadline(hold.until, commands.EndHold())))
        case Public() | Superseded() | Recalled() | Abandoned():
            deadlines = _leases(state)
            return Agenda(deadlines, closed=not deadlines)


def _leases(state: Proposed) -> tuple[Deadline, ...]:
    """When leases are looked at next. It comes before what else is due at the same instant."""
    at = leases.next_instant(state)
    return () if at is None else (Deadline(at, commands.MindLeases()),)


def describe(state: ReleaseState) -> Headline:
    """Where the release is, of which class, what it waits for, and who has early access."""
    match state:
        case Unproposed():
            return Headline("unproposed", "not proposed yet", waits_for=(MANAGER,))
        case Pending(release=release, place=place):
            line = f"{escaped(release.terms.title)}, {_where(place)}; public by itself at {shown_at(release.embargo_ends_at)}"
            return _headline(_phase(place), line, state, _edition(place), (MANAGER,))
        case Held(release=release, place=place, hold=hold):
            line = f"{escaped(release.terms.title)}, held by {hold.by} until {shown_at(hold.until)}: {escaped(hold.reason, 120)}"
            return _headline("held", line, state, _edition(place), (SAFETY,))
        case Public(release=release, edition=edition, openness_class=openness_class):
            shown_by = sum(publishing.shows(release, publisher, Stage.PUBLIC) for publisher in release.terms.publishers)
            line = f"{escaped(release.terms.title)}, class {ROMAN[openness_class]}, shown by {shown_by} of {len(release.terms.publishers)}"
            return _headline("public", line, state, edition, ())
        case Superseded(release=release, edition=edition, by=by):
            return _headline("superseded", f"{escaped(release.terms.title)}, superseded by release/{by}", state, edition, ())
        case Recalled(release=release, edition=edition, reason=reason):
            return _headline("recalled", f"{escaped(release.terms.title)}, recalled: {escaped(reason, 120)}", state, edition, ())
        case Abandoned(release=release, reason=reason):
            return _headline("abandoned", f"{escaped(release.terms.title)}, abandoned: {escaped(reason, 120)}", state, None, ())


def _phase(place: Place) -> str:
    match place:
        case Listing():
            return "proposed"
        case Signing() | Verifying():
            return "verifying"
        case Staged(stage=stage):
            return stage


def _where(place: Place) -> str:
    match place:
        case Listing():
            return "files are being listed"
        case Signing():
            return "files are being signed"
        case Verifying(check=check):
            return "files are signed" if check is None else f"being checked for {check.to}"
        case Staged(stage=stage, since=since, check=check):
            return f"{stage} since {shown_at(since)}" + ("" if check is None else f", being checked for {check.to}")


def _edition(place: Place) -> Edition | None:
    match place:
        case Listing() | Signing():
            return None
        case Verifying(edition=edition) | Staged(edition=edition):
            return edition


def _headline(phase: str, line: str, state: Proposed, edition: Edition | None, waits_for: tuple[str, ...]) -> Headline:
    release = state.release
    if release.refused:
        line += f"; stopped: {escaped(release.refused, 160)}"
    values: dict[str, str | int] = {
        "title": release.terms.title,
        "run": release.terms.run,
        "claim": ROMAN[release.claim],
        "leases": len(release.leases),
        "embargo_ends_at": release.embargo_ends_at.isoformat(),
    }
    if edition is not None:
        values["manifest"] = edition.manifest
        if edition.openness is not None:
            values |= {"openness": ROMAN[edition.openness.openness_class], "report": edition.openness.report}
    return Headline(phase, line, _text(state, edition), waits_for, values)


def _text(state: Proposed, edition: Edition | None) -> str:
    release = state.release
    parts: list[str] = []
    if edition is not None:
        parts += [f"- manifest {edition.manifest}: {edition.files} files, {edition.bytes} bytes"]
        if edition.openness is not None:
            parts += [f"- {escaped(reason, 200)}" for reason in edition.openness.reasons]
            parts += ["", "| component | stands | licence |", "| --- | --- | --- |"]
            parts += [f"| {escaped(each.component)} | {each.standing} | {escaped(each.licence)} |" for each in edition.openness.verdicts]
        parts += ["", "| gate | stands |", "| --- | --- |", *_gate_rows(release, edition)]
    if release.publications:
        parts += ["", "| publisher | audience of | where |", "| --- | --- | --- |"]
        parts += [f"| {name} | {each.stage} | {escaped(each.where, 200)} |" for name, each in sorted(release.publications.items())]
    if release.leases:
        parts += ["", "| lease | member | persons | from | until | |", "| --- | --- | --- | --- | --- | --- |"]
        parts += [_lease_row(name, lease) for name, lease in sorted(release.leases.items())[:SHOWN]]
    return "\n".join(parts)


def _gate_rows(release: Release, edition: Edition) -> list[str]:
    rows = [f"| evaluation {name} | {'passed' if made.passed else 'not passed'} |" for name, made in sorted(edition.evaluations.items())]
    rows += [f"| evaluation {name} | {escaped(each.unread, 200) or 'being read'} |" for name, each in sorted(edition.named.items())]
    rows += [f"| finding {name} | open |" for name in open_findings(release, edition.manifest)[:SHOWN]]
    if edition.licence is not None:
        rows.append(f"| licence review | {'accepted' if edition.licence.accepted else 'turned down'} by {edition.licence.by} |")
    for stage in Stage:
        given = edition.approvals.get(stage)
        if given:
            rows.append(f"| approvals of {stage} | {', '.join(f'{person} ({office})' for person, office in sorted(given.items()))} |")
    return rows


def _lease_row(name: str, lease: Lease) -> str:
    stands = f"open at {', '.join(sorted(lease.open))}" if lease.open else "waits"
    persons = ", ".join(lease.persons[:5]) + (" …" if len(lease.persons) > 5 else "")
    return f"| {name} | {lease.member} | {persons} | {shown_at(lease.starts_at)} | {shown_at(lease.ends_at)} | {stands} |"


RELEASE: Final[Process[commands.ReleaseCommand, events.ReleaseEvent, ReleaseState]] = Process(
    name="release",
    title="a staged release of a model",
    about="Files that are listed, signed and verified; stages with their gates, reviews and early access; holds and the embargo; and at last the publication.",
    initial=Unproposed(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.ReleaseCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.ReleaseEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=3,
    list_version=2,
)
