"""What a release must have passed before a stage: its gates, its openness class, the licences that were reviewed.

Everything is bound to a manifest: what was said about other files counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.charter import Charter, ReleaseTerms, StageTerms
from domain.kernel import mapping
from domain.process import Context
from domain.register.state import Register
from domain.release import events, steps
from domain.release.parts import Edition, Finding, Release
from domain.release.state import Signed, Staged, Verifying
from domain.release.terms import STAGES, OpennessClass, Stage, Terms

ROMAN = {0: "none", 1: "I", 2: "II", 3: "III"}


def charter_of(release: Release, register: Register) -> Charter:
    """The charter that the release was proposed under."""
    return register.charters[release.charter_version]


def rules_of(release: Release, register: Register) -> ReleaseTerms:
    """Its clause for releases."""
    return charter_of(release, register).release


def stage_terms(rules: ReleaseTerms, stage: Stage) -> StageTerms:
    """What the charter says about a stage."""
    match stage:
        case Stage.INTERNAL:
            return rules.internal
        case Stage.MEMBERS:
            return rules.members
        case Stage.GATED:
            return rules.gated
        case Stage.PUBLIC:
            return rules.public


def following(place: Signed) -> Stage:
    """The stage after this place."""
    match place:
        case Verifying():
            return Stage.INTERNAL
        case Staged(stage=stage):
            return STAGES[STAGES.index(stage) + 1]


def earliest(release: Release, place: Signed, rules: ReleaseTerms) -> datetime | None:
    """Before when the next stage is not entered, unless the embargo ends; `None` when nothing has to be waited for."""
    match place:
        case Verifying():
            return None
        case Staged(stage=stage, since=since, early_since=early_since):
            over = since + timedelta(hours=stage_terms(rules, stage).hours)
            if following(place) is not Stage.PUBLIC:
                return over
            led = over if early_since is None else early_since + timedelta(hours=rules.early_access_hours)
            return max(over, led, release.not_before)


# ---------------------------------------------------------------- gates


def wanted_evaluations(release: Release, rules: ReleaseTerms) -> tuple[str, ...]:
    """The evaluations that must be passed, in order."""
    return tuple(sorted(wanted_by(release.terms, rules)))


def wanted_by(terms: Terms, rules: ReleaseTerms) -> frozenset[str]:
    """The evaluations that charter and terms ask for."""
    return rules.evaluations.union(terms.evaluations, (each.evaluation for each in terms.thresholds))


def open_findings(release: Release, manifest: str) -> tuple[str, ...]:
    """The dangers that were not dealt with in these files, in order."""
    return tuple(sorted(name for name, finding in release.findings.items() if not _closed(finding, manifest)))


def _closed(finding: Finding, manifest: str) -> bool:
    return finding.closed_on == manifest


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that a stage asks for, in words, and whether these files have it."""

    words: str
    met: bool


SIGNATURE: Final = "a signature by a key that signs releases now"
"""What every stage asks for on a log that is signed."""


def signed_validly(edition: Edition, register: Register) -> bool:
    """Whether the key that signed these files signs releases now. Before a log is signed nothing says which keys do."""
    return not register.signing or register.signs_releases(edition.key)


def missing(release: Release, edition: Edition, to: Stage, register: Register) -> tuple[str, ...]:
    """What these files have not passed yet that a stage asks for, in words; nothing when its gates are open."""
    return tuple(gate.words for gate in gates(release, edition, to, register) if not gate.met)


def gates(release: Release, edition: Edition, to: Stage, register: Register) -> Sequence[Gate]:
    """All that a stage asks for, with what the stages before it do, in order."""
    rules = rules_of(release, register)
    kinds = frozenset().union(*(stage_terms(rules, stage).gates for stage in STAGES[: STAGES.index(to) + 1]))
    found = [Gate(SIGNATURE, met=signed_validly(edition, register))] if register.signing else []
    if "evaluations" in kinds:
        found += [_evaluation(name, edition) for name in wanted_evaluations(release, rules)]
    if "findings" in kinds:
        open_ = open_findings(release, edition.manifest)
        found += [Gate(f"finding {name} is open", met=False) for name in open_] or [Gate("no finding is open", met=True)]
    if "licence" in kinds:
        found.append(_licence_review(edition))
    return (*found, *_approvals(edition, to, rules, register))


def _evaluation(name: str, edition: Edition) -> Gate:
    made = edition.evaluations.get(name)
    failed = made is not None and not made.passed
    return Gate(f"evaluation {name}, which was not passed" if failed else f"evaluation {name}", met=made is not None and made.passed)


def _licence_review(edition: Edition) -> Gate:
    turned_down = edition.licence is not None and not edition.licence.accepted
    return Gate(
        "licence review, which turned it down" if turned_down else "licence review", met=edition.licence is not None and not turned_down
    )


def _approvals(edition: Edition, to: Stage, rules: ReleaseTerms, register: Register) -> Sequence[Gate]:
    """Who approved counts as long as they hold the office they approved for; of an organisation one does."""
    given = edition.approvals.get(to, mapping())
    counted = register.independent(sorted(person for person, office in given.items() if register.holds(person, office)))
    found: list[Gate] = []
    for office, wanted in sorted(stage_terms(rules, to).approvals.items()):
        count = sum(given[person] is office for person in counted)
        left = wanted - count
        found.append(Gate(f"{left if left > 0 else wanted} of {wanted} approvals by {office}", met=left <= 0))
    return found


# ---------------------------------------------------------------- openness


def reaches(openness_class: int, wanted: int) -> bool:
    """Whether a class is at least as open as another; 0 asks for nothing."""
    return wanted == 0 or 0 < openness_class <= wanted


def openness_of(edition: Edition) -> OpennessClass:
    """The class that was computed last; none for what was never classified."""
    return 0 if edition.openness is None else edition.openness.openness_class


def left_by_the_run(computed: OpennessClass, release: Release, context: Context) -> OpennessClass:
    """The class that remains when the run lost checkpoints that its contract retains: never class I."""
    run = context.register.runs.get(release.terms.run)
    return 2 if computed == 1 and (run is None or not run.checkpoints_retained) else computed


def changes(edition: Edition, after: Sequence[steps.Verdict]) -> tuple[events.LicenceChanged | events.ComponentChanged, ...]:
    """The components that are there under another licence than was reviewed, or with other content; what is missing has not changed.

    Nothing when nobody has agreed to these files yet.
    """
    if not edition.reviewed:
        return ()
    found: list[events.LicenceChanged | events.ComponentChanged] = []
    for now in after:
        was = edition.latest_verdicts.get(now.component)
        if was is None or now.standing == "missing":
            continue
        if _licence(now) != _licence(was):
            found.append(events.LicenceChanged(component=was.component, was=_licence_in_words(was), became=_licence_in_words(now)))
        elif was.sha256 is not None and now.sha256 is not None and was.sha256 != now.sha256:
            found.append(events.ComponentChanged(component=was.component, was=was.sha256, became=now.sha256))
    return tuple(found)


def _licence(verdict: steps.Verdict) -> tuple[str, str | None]:
    return verdict.licence, verdict.licence_sha256


def _licence_in_words(verdict: steps.Verdict) -> str:
    text = f", text {verdict.licence_sha256[:16]}" if verdict.licence_sha256 else ""
    return f"{verdict.licence or verdict.standing}{text}"


def classified_for(edition: Edition, check: int) -> bool:
    """Whether the components were classified for this check."""
    return edition.openness is not None and edition.openness.check == check
