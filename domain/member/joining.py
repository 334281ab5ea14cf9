"""Joining: the application, the members' decision on it, and the agreement signed from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain import letters
from domain.charter import Office, days
from domain.kernel import MemberId, PersonId, Refused, given, percent, shortened, slug_of, tell
from domain.member import commands, events, steps
from domain.member.dues import close_dues, issue_first_invoice
from domain.member.rules import (
    Events,
    owe_notice,
    own_case,
    parting_recipients,
    release_identity,
    require_in_time,
    require_new,
    require_seat_in,
    seat_person,
)
from domain.member.state import (
    Applying,
    Dues,
    Identity,
    Paying,
    Signing,
    Unapplied,
    Voting,
    admission_vote,
    lapses_at,
)
from domain.member.terms import ApplicationOutcome, Delegate, NamedDelegate
from domain.process import NAMED, Context
from domain.register.facts import Capacity, Holding, LegalEntityNamed, OwnershipDeclared, TierReserved
from domain.stream import StepOwed, owe

HANDLE: Final = 57
"""The longest handle, so that the vote on its admission has a name too."""

# ---------------------------------------------------------------- applying


def apply(_: Unapplied, command: commands.Apply, context: Context) -> Events:
    """The application, its owners and who speaks for it; the name and the owners are screened."""
    member = slug_of(context.stream)
    _require_applicant(member, command, context)
    _require_room(context)
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
            representatives=tuple(map(_as_kept, command.representatives)),
            charter_version=context.register.version,
            terms=identity.terms,
            lapses_at=context.at + days(context.charter.membership.application_days),
        ),
        LegalEntityNamed(member=member, lei=command.lei),
        OwnershipDeclared(member=member, holdings=command.holdings),
        *(event for delegate in command.representatives for event in seat_person(member, delegate, context)),
        owe(steps.screen(identity)),
    )


def _as_kept(delegate: Delegate) -> NamedDelegate:
    return NamedDelegate(person=delegate.person, capacity=delegate.capacity, public_key=delegate.public_key)


def withdraw_application(state: Applying, context: Context) -> Events:
    """A representative takes the application back."""
    context.require_representative(state.identity.member)
    return end_application(state, "withdrawn", context)


def lapse_application(state: Applying, context: Context) -> Events:
    """The application took too long."""
    return end_application(state, "lapsed", context)


def end_application(state: Applying, outcome: ApplicationOutcome, context: Context) -> Events:
    """The application came to nothing. The applicant gets a notice, unless they withdrew it, and is paid back what they paid."""
    identity = state.identity
    dues = state.dues if isinstance(state, Paying) else Dues()
    notices = () if outcome == "withdrawn" else (owe_notice(f"application-{outcome}", identity, *parting_recipients(identity)),)
    return (
        *release_identity(identity, context),
        events.ApplicationEnded(outcome=outcome),
        *close_dues(identity, dues, joined=False, context=context),
        *notices,
    )


def _require_applicant(member: MemberId, command: commands.Apply, context: Context) -> None:
    persons = [delegate.person for delegate in command.representatives]
    _require_signer(persons, context)
    if len(member) > HANDLE:
        raise Refused(
            "handle_too_long", f"a member's handle has at most {HANDLE} characters", remedy="take a shorter one", clause="membership"
        )
    if len(persons) != len(set(persons)):
        raise Refused("representative_named_twice", "a person is named twice", remedy="name each person once", clause="membership")
    keys = [delegate.public_key for delegate in command.representatives if delegate.public_key]
    if context.register.signing:
        for delegate in command.representatives:
            context.require_key(delegate.person, delegate.public_key)
    if len(keys) != len(set(keys)):
        raise Refused("key_taken", "two persons are named with one key", remedy="give each person a key of their own", clause="membership")
    if all(delegate.capacity is not Capacity.REPRESENTATIVE for delegate in command.representatives):
        raise Refused(
            "representative_missing",
            "alternates alone cannot sign for an applicant",
            clause="membership",
            remedy="name at least one of them as a representative",
        )
    for delegate in command.representatives:
        require_new(delegate, member, context)
    _require_unclaimed(member, command.lei, context)
    holder = context.register.entities.get(command.lei)
    if holder is not None:
        raise Refused(
            "entity_known",
            f"{command.lei} applied as {holder}",
            clause="membership",
            remedy=f"see member/{holder}; one legal entity applies once",
        )


def _require_signer(persons: Sequence[PersonId], context: Context) -> None:
    """Refuses everybody whom the application does not name: it is signed with a key that it carries. On an unsigned log the secretariat may."""
    if context.actor in persons:
        return
    signed = context.register.signing
    if signed or not context.register.holds(context.actor, Office.SECRETARIAT):
        named = ", ".join(persons[:NAMED])
        raise Refused(
            "office_required",
            f"{context.actor} is not among the representatives that the application names" + ("" if signed else ", nor of the secretariat"),
            remedy=f"one of those whom it names gives it: {named}; or name {context.actor} in it",
            clause="membership",
        )


def _require_room(context: Context) -> None:
    """Refuses a further application while as many as the charter takes at a time wait for the members' decision: strangers make them."""
    most = context.charter.membership.open_applications
    if len(context.register.applicants) >= most:
        raise Refused(
            "too_many_applications",
            f"{most} applications are under way, and the members decided on none of them yet",
            clause="membership.open_applications",
            remedy="apply again when one of them is decided, withdrawn or lapsed; `consortium members` lists them",
        )


def _require_unclaimed(member: MemberId, lei: str, context: Context) -> None:
    """Refuses a handle by which a member names its holder, to any other entity: it would share that member's seat."""
    for company, holdings in context.register.holdings.items():
        if any(holding.holder == member and holding.lei != lei for holding in holdings):
            raise Refused(
                "handle_of_a_holder",
                f"{company} declared {member} as its holder, and not as {lei}",
                clause="membership",
                remedy=f"apply under another handle, or let {company} declare that this entity is its holder",
            )


def holdings_in_words(holdings: Sequence[Holding]) -> str:
    """Holdings in words, the largest first."""
    ordered = sorted(holdings, key=lambda holding: (-holding.fraction, holding.holder))
    return ", ".join(f"{holding.holder} {percent(holding.fraction)}" for holding in ordered) or "none declared"


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
        handle = holding.lei and context.register.entities.get(holding.lei)
        if handle and handle != holding.holder:
            raise Refused(
                "holder_known_otherwise",
                f"{holding.lei} is {handle} here, not {holding.holder}",
                clause="membership",
                remedy=f"name that holder {handle}",
            )


# ---------------------------------------------------------------- the vote and the agreement


def admit(state: Voting | None, context: Context) -> Events:
    """The members took the applicant in: a seat of its tier is reserved, and the agreement is to be signed. After its time the application lapses."""
    context.require_mandate()
    if state is None:
        return ()
    identity = state.identity
    if context.at >= state.lapses_at:
        return end_application(state, "lapsed", context)
    require_seat_in(identity.tier, identity.member, context)
    admission = events.ApplicantAdmitted(agreement=identity.terms.agreement, sign_by=context.at + days(identity.terms.signing_days))
    return (
        admission,
        TierReserved(member=identity.member, tier=identity.tier),
        owe_notice("agreement-to-sign", identity, sign_by=min(admission.sign_by, state.lapses_at).isoformat()),
    )


def decline(state: Voting | None, context: Context) -> Events:
    """The members turned the applicant down."""
    context.require_mandate()
    return () if state is None else end_application(state, "rejected", context)


def ask_again(state: Voting | None, context: Context) -> Events:
    """Too few members voted: silence is no answer. They are asked again, as often as the charter says; then the application lapses."""
    context.require_mandate()
    if state is None:
        return ()
    identity, asked = state.identity, state.asked + 1
    if asked > identity.terms.admission_asks or context.at >= state.lapses_at:
        return end_application(state, "lapsed", context)
    again = events.AdmissionAskedAgain(asked=asked, lapses_at=context.at + days(identity.terms.application_days))
    notice = owe_notice(
        "admission-asked-again",
        identity,
        key=f"admission-asked-again:{asked}",
        vote=admission_vote(identity.member, asked),
    )
    return (again, owe_admission_vote(identity, asked, context), notice)


def owe_admission_vote(identity: Identity, asked: int, context: Context) -> StepOwed:
    """The letter that proposes the admission to the members, and how often they are asked by now."""
    unanswered = given(commands.AskAgain()) if identity.terms.admission_asks > 1 else None
    motion = letters.Motion(
        stream=context.stream, command=given(commands.Admit()), otherwise=given(commands.Decline()), unanswered=unanswered
    )
    proposal = letters.Propose(
        title=f"Admit {identity.name}"[:200].rstrip(" \u200c\u200d"),
        text=f"{identity.name} ({identity.country}, LEI {identity.lei}) asks to join as {identity.tier}.\n"
        f"Its owners, as it declares them: {shortened(holdings_in_words(identity.holdings), 3_000)}.",
        motion=motion,
    )
    key = "tell:admission" if asked == 1 else f"tell:admission:{asked}"
    return owe(tell(admission_vote(identity.member, asked), proposal, key=key))


def sign_agreement(state: Signing, command: commands.SignAgreement, context: Context) -> Events:
    """A representative signs the text that the members voted on; the same person's second signature changes nothing."""
    if state.signer == context.actor:
        return ()
    context.require_representative(state.identity.member)
    require_in_time(lapses_at(state), context)
    if command.agreement != state.agreement:
        raise Refused(
            "other_agreement",
            "this is the digest of another text",
            clause="membership.agreement",
            remedy=f"sign the text with SHA-256 {state.agreement}",
        )
    notice = owe_notice("agreement-to-countersign", state.identity, "office:secretariat", "office:board")
    return (events.AgreementSigned(agreement=command.agreement, person=context.actor), notice)


def countersign_agreement(state: Signing, context: Context) -> Events:
    """An officer signs for the consortium, and the first dues are invoiced."""
    context.require_office(Office.SECRETARIAT, Office.BOARD, clause="membership.agreement")
    if context.actor == state.signer or context.sides_with(state.identity.member):
        raise own_case(context, state.identity.member, "membership.agreement")
    require_in_time(lapses_at(state), context)
    return (events.AgreementCountersigned(agreement=state.agreement, person=context.actor), *issue_first_invoice(state.identity, context))
