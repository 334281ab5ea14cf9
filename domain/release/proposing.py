"""What is to be released: proposed, amended, its embargo moved and its claim lowered before it is public."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from domain.charter import Office, ReleaseTerms, days
from domain.kernel import STEERING, Refused, Step, shown_at, slug_of
from domain.process import Context
from domain.release import commands, events, steps
from domain.release.gates import ROMAN, reaches, rules_of, stage_terms, wanted_by
from domain.release.rules import Events
from domain.release.state import Abandoned, Held, Listing, Pending, Public, Recalled, ReleaseState, Superseded, Unproposed
from domain.release.terms import FRAMEWORK, PUBLISHERS, Stage, Terms
from domain.stream import owe

FINISHED: Final = frozenset({"completed", "closed-completed"})
"""The phases of a run whose model can be released."""


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
    return (proposed, owe(_build_manifest(terms, 1, context)))


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
    _require_readable(terms)
    gated = any("evaluations" in stage_terms(rules, stage).gates for stage in Stage)
    if gated and not wanted_by(terms, rules):
        raise Refused("no_evaluation_named", "a stage asks for evaluations, and none is named", remedy="name them", clause="release")
    if gated and (unmeasured := sorted(wanted_by(terms, rules) - {each.evaluation for each in terms.thresholds})):
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


def _require_readable(terms: Terms) -> None:
    """Refuses names that no worker could do anything with: nobody would find out before the embargo's end."""
    if strange := sorted({component.name for component in terms.components} - FRAMEWORK):
        raise Refused(
            "unknown_component",
            f"{', '.join(strange)[:200]}: not among the components of the Model Openness Framework",
            remedy=f"name them as the framework does: {', '.join(sorted(FRAMEWORK))}",
        )
    if hiding := [place for place in _places(terms) if any(unicodedata.category(character) in STEERING for character in place)]:
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


def _build_manifest(terms: Terms, edition: int, context: Context) -> Step:
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
    return (amended, owe(_build_manifest(terms, edition, context)))


def move_embargo(state: Pending | Held, command: commands.MoveEmbargo, context: Context) -> Events:
    """By vote, within the charter's longest embargo."""
    context.require_mandate()
    release, ends_at = state.release, command.ends_at
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
