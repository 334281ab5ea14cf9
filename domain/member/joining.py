"""Joining: the application, its screening and judgement, the vote, and the agreement signed from both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final, Literal

from domain import letters
from domain.charter import MembershipTerms, Office, days
from domain.kernel import MemberId, Refused, Step, asked_in, given, shortened, slug_of, tell
from domain.member import commands, events, steps
from domain.member.dues import closed, first_invoice
from domain.member.rules import (
    Events,
    activated,
    farewell,
    lifted,
    note,
    own_case,
    released,
    require_in_time,
    require_new,
    require_seat_in,
    seated,
    suspended,
)
from domain.member.state import Active, Applying, Dues, Identity, Leaving, Paying, Reviewing, Screening, Signing, Vetting, Voting, lapses_at
from domain.process import NAMED, Context, StepOwed, owe
from domain.register.facts import Capacity, Holding, LegalEntityNamed, OwnershipDeclared, TierReserved

HANDLE: Final = 57
"""The longest handle, so that the vote on its admission has a name too."""

# ---------------------------------------------------------------- applying


def applied(command: commands.Apply, context: Context) -> Events:
    """The application, its owners and who speaks for it; the list is asked about all of them."""
    member = slug_of(context.stream)
    _require_applicant(member, command, context)
    require_seat_in(command.tier, member, context)
    require_holdings(command.holdings, context)
    identity = Identity(
        member,
        command.name,
        command.lei,
        command.country,
        command.tier,
        context.register.version,
        context.charter.membership,
        command.holdings,
    )
    return (
        events.ApplicationReceived(
            name=command.name,
            lei=command.lei,
            country=command.country,
            tier=command.tier,
            representatives=command.representatives,
            charter_version=context.register.version,
            terms=identity.terms,
            lapses_at=context.at + days(context.charter.membership.application_days),
        ),
        LegalEntityNamed(member=member, lei=command.lei),
        OwnershipDeclared(member=member, holdings=command.holdings),
        *(event for delegate in command.representatives for event in seated(member, delegate, context)),
        owe(_screening_step(identity)),
    )


Outcome = Literal["rejected", "lapsed", "withdrawn"]


def over(state: Applying, outcome: Outcome, context: Context) -> Events:
    """The application came to nothing: who applied is told, unless they took it back themselves, and what was paid is paid back."""
    identity = state.identity
    dues = state.dues if isinstance(state, Paying) else Dues()
    told = () if outcome == "withdrawn" else (note(f"application-{outcome}", identity, *farewell(identity)),)
    return (
        *released(identity, context),
        events.ApplicationEnded(outcome=outcome),
        *closed(identity, dues, joined=False, context=context),
        *told,
    )


def _require_applicant(member: MemberId, command: commands.Apply, context: Context) -> None:
    persons = [delegate.person for delegate in command.representatives]
    if context.actor not in persons and not context.register.holds(context.actor, Office.SECRETARIAT):
        named = ", ".join(f"`--as {person}`" for person in persons[:NAMED])
        raise Refused(
            "office_required",
            f"{context.actor} is not among the representatives that the application names, nor of the secretariat",
            remedy=f"one of those whom it names gives it ({named}), or the secretariat; or name {context.actor} in it",
            clause="membership",
        )
    if len(member) > HANDLE:
        raise Refused(
            "handle_too_long", f"a member's handle has at most {HANDLE} characters", remedy="take a shorter one", clause="membership"
        )
    if len(persons) != len(set(persons)):
        raise Refused("representative_named_twice", "a person is named twice", remedy="name each person once", clause="membership")
    keys = [delegate.public_key for delegate in command.representatives if delegate.public_key]
    if len(keys) != len(set(keys)):
        raise Refused("key_taken", "two persons are named with one key", remedy="give each person a key of their own", clause="membership")
    if all(delegate.capacity is not Capacity.REPRESENTATIVE for delegate in command.representatives):
        raise Refused(
            "representative_missing",
            "alternates alone cannot sign for an applicant",
            clause="membership",
            remedy="name at least one of them as a representative",
        )
    for person in persons:
        require_new(person, member, context)
    _require_unclaimed(member, command.lei, context)
    holder = context.register.entities.get(command.lei)
    if holder is not None:
        raise Refused(
            "entity_known",
            f"{command.lei} applied as {holder}",
            clause="membership",
            remedy=f"see member/{holder}; one legal entity applies once",
        )


def _require_unclaimed(member: MemberId, lei: str, context: Context) -> None:
    """The handle of somebody's declared holder is the holder's own: whoever took it would share that member's seat."""
    for company, holdings in context.register.holdings.items():
        if any(holding.holder == member and holding.lei != lei for holding in holdings):
            raise Refused(
                "handle_of_a_holder",
                f"{company} declared {member} as its holder, and not as {lei}",
                clause="membership",
                remedy=f"apply under another handle, or let {company} declare that this entity is its holder",
            )


def shown_holdings(holdings: Sequence[Holding]) -> str:
    """Holdings in words, the largest first."""
    ordered = sorted(holdings, key=lambda holding: (-holding.fraction, holding.holder))
    return ", ".join(f"{holding.holder} {holding.fraction // 100}.{holding.fraction % 100:02} %" for holding in ordered) or "none declared"


def require_holdings(holdings: Sequence[Holding], context: Context) -> None:
    """Refuses holdings that do not add up, or name one company in two ways."""
    if sum(holding.fraction for holding in holdings) > 10_000:
        raise Refused(
            "more_than_the_whole",
            "the holdings add up to more than the whole",
            clause="membership",
            remedy="correct the fractions (basis points)",
        )
    if len({holding.holder for holding in holdings}) != len(holdings):
        raise Refused("holder_named_twice", "a holder is named twice", remedy="add its holdings up", clause="membership")
    for holding in holdings:
        known = holding.lei and context.register.entities.get(holding.lei)
        if known and known != holding.holder:
            raise Refused(
                "holder_known_otherwise",
                f"{holding.lei} is {known} here, not {holding.holder}",
                clause="membership",
                remedy=f"name that holder {known}",
            )


# ---------------------------------------------------------------- screening


def _screening_step(identity: Identity) -> Step:
    data = {
        "names": [identity.name, *(holding.holder for holding in identity.holdings)],
        "country": identity.country,
        "lei": identity.lei,
        "owner_leis": [holding.lei for holding in identity.holdings if holding.lei],
    }
    return Step(kind="screen", key=_screening_key(identity.vetting), data=data)


def _screening_key(vetting: Vetting) -> str:
    return f"screen:{vetting.asked}"


def screened_again(identity: Identity, holdings: Iterable[Holding]) -> Events:
    """The list is asked anew, about the present name and these owners."""
    again = replace(identity, holdings=tuple(holdings), vetting=Vetting(identity.vetting.asked + 1))
    return (events.ScreeningStarted(), owe(_screening_step(again)))


Vetted = Screening | Reviewing | Voting | Signing | Paying | Active | Leaving


def screened(state: Vetted, found: steps.ScreeningCompleted, context: Context) -> Events:
    """A list that can be relied on answered: a person looks at a hit; where nothing is left to look at, it goes on."""
    identity = state.identity
    if found.step != _screening_key(identity.vetting):
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
        told = note("screening-hit", identity, "office:compliance-reviewer", key=f"screening-hit:{found.step}", score=found.score)
        return (events.ScreeningHit(match=found.match, **listed), told)
    vetted = not identity.vetting.hits
    return (events.ScreeningPassed(vetted=vetted, **listed), *(_vetted(state, context) if vetted else ()))


def _require_reliable(found: steps.ScreeningCompleted, terms: MembershipTerms, today: date) -> None:
    """A list that is stale, cut off or from the future screens nobody: its step fails, and waits for a person."""
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


def judged(state: Vetted, hit: events.ScreeningHit, command: commands.JudgeScreening, context: Context) -> Events:
    """A person's word on the oldest hit. Confirmed, an applicant is rejected, and a member's rights rest."""
    context.require_office(Office.COMPLIANCE_REVIEWER, clause="membership")
    if context.register.speaks_for(context.actor, state.identity.member):
        raise own_case(context, state.identity.member)
    if not command.reason.strip():
        raise Refused("reason_missing", "a judgement is recorded with its reason", remedy="say what you compared", clause="membership")
    vetting = state.identity.vetting
    vetted = command.verdict == "clear" and vetting.hits == (hit,) and vetting.answered == vetting.asked
    judgement = events.ScreeningJudged(
        verdict=command.verdict, list_digest=hit.list_digest, score=hit.score, reviewer=context.actor, reason=command.reason, vetted=vetted
    )
    if command.verdict == "clear":
        return (judgement, *(_vetted(state, context) if vetted else ()))
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return (judgement, *over(state, "rejected", context))
        case Active() | Leaving():
            return (judgement, *suspended(state, "sanctions", context))


def _vetted(state: Vetted, context: Context) -> Events:
    """Nothing is left to look at."""
    match state:
        case Screening() | Reviewing():
            return (_vote_asked_for(state.identity, context),)
        case Voting() | Signing():
            return ()
        case Paying():
            return () if state.dues.open else activated(state.identity, context)
        case Active() | Leaving():
            return lifted(state, "sanctions")


def _vote_asked_for(identity: Identity, context: Context) -> StepOwed:
    proposal = letters.Propose(
        title=f"Admit {identity.name}"[:200].rstrip(" \u200c\u200d"),
        text=f"{identity.name} ({identity.country}, LEI {identity.lei}) asks to join as {identity.tier}.\n"
        f"Its owners, as it declares them: {shortened(shown_holdings(identity.holdings), 3_000)}.",
        motion=letters.Motion(stream=context.stream, command=given(commands.Admit()), otherwise=given(commands.Decline())),
    )
    return owe(tell(asked_in("admit", identity.member), proposal, key="tell:admission"))


# ---------------------------------------------------------------- the vote and the agreement


def admitted(state: Voting, context: Context) -> Events:
    """The vote took it in, and a seat of its tier is kept for it; the agreement is to be signed. Too late, the application lapses."""
    identity = state.identity
    if context.at >= state.lapses_at:
        return over(state, "lapsed", context)
    require_seat_in(identity.tier, identity.member, context)
    admission = events.ApplicantAdmitted(agreement=identity.terms.agreement, sign_by=context.at + days(identity.terms.signing_days))
    return (
        admission,
        TierReserved(member=identity.member, tier=identity.tier),
        note("agreement-to-sign", identity, sign_by=min(admission.sign_by, state.lapses_at).isoformat()),
    )


def signed(state: Signing, command: commands.SignAgreement, context: Context) -> Events:
    """A representative signs the text that the vote admitted it under."""
    context.require_representative(state.identity.member)
    require_in_time(lapses_at(state), context)
    if command.agreement != state.agreement:
        raise Refused(
            "other_agreement",
            "this is the digest of another text",
            clause="membership.agreement",
            remedy=f"sign the text with SHA-256 {state.agreement}",
        )
    told = note("agreement-to-countersign", state.identity, "office:secretariat", "office:board")
    return (events.AgreementSigned(agreement=command.agreement, person=context.actor), told)


def countersigned(state: Signing, context: Context) -> Events:
    """An officer signs for the consortium, and the first dues are invoiced."""
    context.require_office(Office.SECRETARIAT, Office.BOARD, clause="membership.agreement")
    if context.actor == state.signer or context.register.speaks_for(context.actor, state.identity.member):
        raise own_case(context, state.identity.member, "membership.agreement")
    require_in_time(lapses_at(state), context)
    return (events.AgreementCountersigned(agreement=state.agreement, person=context.actor), *first_invoice(state.identity, context))
