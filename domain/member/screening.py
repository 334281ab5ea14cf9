"""Screening against the sanctions list: its answers, the review of a hit, and what waits for both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from domain.charter import MembershipTerms, Office
from domain.kernel import Refused
from domain.member import commands, events, steps
from domain.member.joining import end_application, owe_admission_vote
from domain.member.rules import Events, activate, lift_suspension, owe_notice, own_case, rescreenable, suspend
from domain.member.state import Active, Identity, Leaving, MemberState, Paying, Present, Reviewing, Screening, Signing, Vetting, Voting
from domain.process import Context
from domain.register.facts import Holding
from domain.stream import owe


def rescreen(state: MemberState, context: Context) -> Events:
    """A member, or an applicant from the vote on, is screened again."""
    context.require_office(Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER, clause="membership")
    identity = rescreenable(state).identity
    return start_screening(identity, identity.holdings)


def start_screening(identity: Identity, holdings: Iterable[Holding]) -> Events:
    """Another screening, of the present name and these owners; answers to earlier ones do not count any more."""
    latest = replace(identity, holdings=tuple(holdings), vetting=Vetting(identity.vetting.requested + 1))
    return (events.ScreeningStarted(), owe(steps.screen(latest)))


def record_screening(state: Present | None, found: steps.ScreeningCompleted, context: Context) -> Events:
    """The answer to the latest screening: a hit waits for a person's review; without one, what the screening held up goes on.

    An answer to an earlier screening, or after the end, changes nothing.
    """
    if state is None:
        return ()
    identity = state.identity
    if found.step != steps.screening_key(identity.vetting):
        return ()
    _require_reliable(found, identity.terms, context.at.date())
    listed: dict[str, Any] = {
        "list": found.list,
        "list_digest": found.list_digest,
        "list_date": found.list_date,
        "entries": found.entries,
        "score": found.score,
    }
    if found.score >= identity.terms.review_score:
        notice = owe_notice("screening-hit", identity, "office:compliance-reviewer", key=f"screening-hit:{found.step}", score=found.score)
        return (events.ScreeningHit(match=found.match, **listed), notice)
    vetted = not identity.vetting.hits
    return (events.ScreeningPassed(vetted=vetted, **listed), *(_go_on(state, context) if vetted else ()))


def _require_reliable(found: steps.ScreeningCompleted, terms: MembershipTerms, today: date) -> None:
    """Refuses the answer of a list that is too old, too short or of a later day: the step fails, and waits for a person."""
    remedy = "put a fresh list in its place, then retry the step"
    age_days = (today - found.list_date).days if found.list_age_days is None else found.list_age_days
    if age_days > terms.list_age_days:
        raise Refused(
            "list_stale",
            f"{found.list} is of {found.list_date}, the charter allows {terms.list_age_days} days",
            remedy=remedy,
            clause="membership.list_age_days",
        )
    if age_days < -1:
        raise Refused("list_ahead", f"{found.list} is of {found.list_date}, which is still to come", remedy=remedy, clause="membership")
    if found.entries < terms.list_entries:
        raise Refused(
            "list_too_short",
            f"{found.list} has {found.entries} names, the charter asks for {terms.list_entries}",
            remedy=remedy,
            clause="membership.list_entries",
        )


def judge_screening(state: Present, command: commands.JudgeScreening, context: Context) -> Events:
    """A reviewer's judgement of the oldest hit. If it is confirmed, an applicant is rejected, and a member suspended."""
    context.require_office(Office.COMPLIANCE_REVIEWER, clause="membership")
    if context.sides_with(state.identity.member):
        raise own_case(context, state.identity.member)
    if not command.reason.strip():
        raise Refused("reason_missing", "a judgement is recorded with its reason", remedy="say what you compared", clause="membership")
    vetting = state.identity.vetting
    hit = vetting.hits[0]
    vetted = command.verdict == "clear" and vetting.hits == (hit,) and vetting.answered == vetting.requested
    judgement = events.ScreeningJudged(
        verdict=command.verdict, list_digest=hit.list_digest, score=hit.score, reviewer=context.actor, reason=command.reason, vetted=vetted
    )
    if command.verdict == "clear":
        return (judgement, *(_go_on(state, context) if vetted else ()))
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return (judgement, *end_application(state, "rejected", context))
        case Active() | Leaving():
            return (judgement, *suspend(state, "sanctions", context))


def _go_on(state: Present, context: Context) -> Events:
    """What the screening held up, once no answer is outstanding and no hit waits for a review."""
    match state:
        case Screening() | Reviewing():
            return (owe_admission_vote(state.identity, 1, context),)
        case Voting() | Signing():
            return ()
        case Paying():
            return () if state.dues.open else activate(state.identity, context)
        case Active() | Leaving():
            return lift_suspension(state, "sanctions")
