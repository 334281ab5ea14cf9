"""Memberships, `member/<slug>`: from the application to the last duty of one who left.

screening → (review) → voting → signing → paying → active ⇄ suspended → leaving → left | terminated | expelled
and before that: rejected | lapsed | withdrawn

What is stored for ever is in `membership_messages`. A hit of the screening never rejects by itself: it opens a review. A
member's rights rest for as long as any cause stands, and come back exactly as they were when the last one is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from domain.charter import Charter, MembershipTerms, Office, days
from domain.kernel import (
    Agenda,
    Command,
    Deadline,
    Headline,
    Map,
    MemberId,
    PersonId,
    Refused,
    Step,
    asked_in,
    escaped,
    mapping,
    notify,
    slug_of,
    tell,
)
from domain.membership_messages import (
    Admit,
    AgreementCountersigned,
    AgreementSigned,
    AgreePaymentPlan,
    ApplicantAdmitted,
    ApplicationEnded,
    ApplicationReceived,
    Apply,
    Cause,
    ChangeTier,
    ClimbLadder,
    CountersignAgreement,
    DeclareOwnership,
    Decline,
    Delegate,
    DepartureBegun,
    DuesInvoiced,
    DuesPaid,
    DuesReversed,
    EndMembership,
    Expel,
    GiveNotice,
    IssueInvoice,
    JudgeScreening,
    LapseApplication,
    LiftDefault,
    MembershipCommand,
    MembershipEvent,
    PaymentPlanAgreed,
    RecordDuesPayment,
    Rescreen,
    ReverseDuesPayment,
    Rung,
    RungReached,
    RunOffContinued,
    ScreeningCompleted,
    ScreeningHit,
    ScreeningJudged,
    ScreeningPassed,
    ScreeningStarted,
    SeatRepresentative,
    SeatVacated,
    SignAgreement,
    SuspendForDefault,
    SuspendVacancy,
    SuspensionLifted,
    TierChangeAsked,
    UnseatRepresentative,
    WithdrawApplication,
)
from domain.money import CEILING, display
from domain.process import Common, Context, Process, StepOwed, owe
from domain.reference import creditor_reference, shown_reference
from domain.register import (
    BankReferenceUsed,
    Capacity,
    Holding,
    KeyEnrolled,
    LegalEntityNamed,
    LegalEntityReleased,
    MemberActivated,
    MemberDeparted,
    MemberDeparting,
    MemberReinstated,
    MemberSuspended,
    OwnershipDeclared,
    PaymentExpected,
    RepresentativeSeated,
    RepresentativeUnseated,
    TierChanged,
)

YEAR: Final = days(365)
RUN_OFF: Final = days(7)
"""How often one who still owes something called is looked at again."""
HANDLE: Final = 57
"""The longest handle, so that the vote on its admission has a name too."""

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Invoice:
    """A year's dues that are not yet paid in full."""

    number: int
    amount: int
    paid: int
    overdue_from: datetime
    """The due date, moved on by what payment plans stopped the clock."""


@dataclass(frozen=True, slots=True)
class Dues:
    """What is invoiced and not paid, oldest first; and what was paid too much."""

    open: tuple[Invoice, ...] = ()
    credit: int = 0
    last: int = 0
    rung: int = 0
    """How many rungs of the ladder the oldest invoice has reached."""
    plan_until: datetime | None = None
    """Until when a payment plan stops the clock."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is, and who speaks for it."""

    member: MemberId
    name: str
    lei: str
    country: str
    tier: str
    charter: int
    terms: MembershipTerms
    """Of the charter version that it applied under."""
    holdings: tuple[Holding, ...] = ()
    delegates: Map[PersonId, Capacity] = field(default_factory=mapping)
    screenings: int = 1


@dataclass(frozen=True, slots=True)
class Unapplied:
    """Before the application."""


@dataclass(frozen=True, slots=True)
class Screening:
    """The list is asked."""

    identity: Identity
    lapses_at: datetime


@dataclass(frozen=True, slots=True)
class Reviewing:
    """A person looks at a hit."""

    identity: Identity
    lapses_at: datetime
    hit: ScreeningHit


@dataclass(frozen=True, slots=True)
class Voting:
    """The members decide."""

    identity: Identity
    lapses_at: datetime


@dataclass(frozen=True, slots=True)
class Signing:
    """The agreement is signed from both sides."""

    identity: Identity
    lapses_at: datetime
    sign_by: datetime
    agreement: str
    signer: PersonId | None


@dataclass(frozen=True, slots=True)
class Paying:
    """The first dues are waited for."""

    identity: Identity
    lapses_at: datetime
    dues: Dues
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Active:
    """A member; suspended for as long as there are causes."""

    identity: Identity
    dues: Dues
    next_at: datetime
    causes: frozenset[str] = frozenset()
    name_by: datetime | None = None
    """By when an empty seat must be filled."""
    next_tier: str = ""
    hit: ScreeningHit | None = None


@dataclass(frozen=True, slots=True)
class Leaving:
    """Notice was given; what was called is still owed."""

    identity: Identity
    cause: Cause
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """Over: rejected, lapsed, withdrawn, left, terminated or expelled. The record stays public."""

    identity: Identity
    outcome: str


MembershipState = Unapplied | Screening | Reviewing | Voting | Signing | Paying | Active | Leaving | Ended
Applying = Screening | Reviewing | Voting | Signing | Paying
Events = Sequence[MembershipEvent | StepOwed]

# ---------------------------------------------------------------- decide


def decide(state: MembershipState, command: MembershipCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case Apply():
            match state:
                case Unapplied():
                    return _apply(command, context)
                case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise Refused(
                        "handle_taken",
                        "there is an application under this handle",
                        remedy="apply under another handle",
                        clause="membership",
                    )
        case WithdrawApplication():
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying():
                    context.require_representative(state.identity.member)
                    return _over(state.identity, "withdrawn", context)
                case Unapplied() | Active() | Leaving() | Ended():
                    raise _not_now("while the application is under way", "give notice instead, if you are a member")
        case LapseApplication():
            context.require_service()
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying():
                    _require_due(_lapses_at(state), context)
                    return (*_over(state.identity, "lapsed", context), _note("application-lapsed", state.identity))
                case Unapplied() | Active() | Leaving() | Ended():
                    return ()
        case ScreeningCompleted():
            return _screened(state, command, context)
        case JudgeScreening():
            match state:
                case Reviewing(hit=hit):
                    return _judged(state, hit, command, context)
                case Active(hit=hit) if hit is not None:
                    return _judged(state, hit, command, context)
                case Unapplied() | Screening() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise _not_now("while a hit waits for a review", "`consortium show` tells whether one does")
        case Rescreen():
            context.require_office(Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER, clause="membership")
            match state:
                case Active(hit=None, identity=identity):
                    return (ScreeningStarted(), owe(_screening_step(identity, identity.screenings + 1)))
                case Active():
                    raise _not_now("when no hit waits for a review", "judge that one first")
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    raise _not_now("while it is a member", "an application is screened by itself")
        case Admit():
            context.require_mandate()
            match state:
                case Voting():
                    return _admit(state, context)
                case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case Decline():
            context.require_mandate()
            match state:
                case Voting():
                    return (*_over(state.identity, "rejected", context), _note("application-rejected", state.identity))
                case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case SignAgreement():
            match state:
                case Signing(signer=None):
                    return _sign(state, command, context)
                case Signing(signer=signer) if signer == context.actor:
                    return ()
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise _not_now("once, after the admission", "`consortium show` tells where the application stands")
        case CountersignAgreement():
            match state:
                case Signing(signer=str()):
                    return _countersign(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise _not_now("when a representative has signed", "ask a representative to sign first")
        case RecordDuesPayment():
            match state:
                case Paying() | Active():
                    return _paid(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Leaving() | Ended():
                    context.require_service()
                    return (_turned_away(command.reference, "no dues are invoiced", context),)
        case ReverseDuesPayment():
            match state:
                case Paying() | Active():
                    return _reversed(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Leaving() | Ended():
                    context.require_service()
                    return (_turned_away(command.reference, "its dues are settled no more", context),)
        case AgreePaymentPlan():
            match state:
                case Active(dues=dues) if dues.open:
                    return _plan(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise _not_now("while a member owes dues", "nothing is needed")
        case IssueInvoice():
            context.require_service()
            match state:
                case Active(next_at=next_at):
                    _require_due(next_at, context)
                    return _invoice(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return ()
        case ClimbLadder():
            context.require_service()
            match state:
                case Active() if (at := _next_rung(state)) is not None:
                    _require_due(at, context)
                    return _climb(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case SuspendForDefault(source=source):
            context.require_service()
            match state:
                case Active():
                    return _suspend(state, _default(source), context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return ()
        case LiftDefault(source=source):
            context.require_service()
            match state:
                case Active():
                    return _lift(state, _default(source))
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return ()
        case SeatRepresentative():
            return _seat(_identified(state, context), state, command, context)
        case UnseatRepresentative():
            return _unseat(_identified(state, context), state, command, context)
        case SuspendVacancy():
            context.require_service()
            match state:
                case Active(name_by=name_by) if name_by is not None:
                    _require_due(name_by, context)
                    notice = _note("seat-vacant", state.identity, "office:secretariat", key=f"seat-vacant:{name_by.isoformat()}")
                    return (*_suspend(state, "vacancy", context), notice)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case DeclareOwnership(holdings=holdings):
            identity = _identified(state, context)
            _require_holdings(holdings)
            return (OwnershipDeclared(member=identity.member, holdings=holdings),) if holdings != identity.holdings else ()
        case ChangeTier(tier=tier):
            match state:
                case Active(identity=identity):
                    context.require_representative(identity.member)
                    if tier == (state.next_tier or identity.tier):
                        return ()
                    if tier != identity.tier:
                        _require_tier(tier, context)
                    return (TierChangeAsked(tier=tier),)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    raise _not_now("while it is a member", "withdraw the application and apply for another tier")
        case GiveNotice():
            match state:
                case Active(identity=identity):
                    context.require_representative(identity.member)
                    return _depart(identity, "left", context.at + days(state.identity.terms.leaving_notice_days), context)
                case Leaving():
                    context.require_representative(state.identity.member)
                    return ()
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    raise _not_now("while it is a member", "withdraw the application instead")
        case Expel():
            context.require_mandate()
            match state:
                case Active(identity=identity) | Leaving(identity=identity):
                    return _depart(identity, "expelled", context.at, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case EndMembership():
            context.require_service()
            match state:
                case Leaving(ends_at=ends_at):
                    _require_due(ends_at, context)
                    return _end(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Ended():
                    return ()


def _not_now(when: str, remedy: str) -> Refused:
    return Refused("not_in_this_phase", f"this is done {when}", remedy=remedy, clause="membership")


def _require_due(at: datetime, context: Context) -> None:
    if context.at < at:
        raise Refused("not_due", f"this comes at {at.isoformat()}", remedy="wait: the system gives it when it is due")


def _charter(identity: Identity, context: Context) -> Charter:
    return context.register.charters[identity.charter]


def _note(template: str, identity: Identity, *to: str, key: str = "", **facts: str | int) -> StepOwed:
    return owe(notify(template, to or (f"member:{identity.member}",), key=f"notice:{key or template}", name=identity.name, **facts))


def _shown(amount: int, context: Context) -> str:
    return display(amount, context.charter.currency)


# ---------------------------------------------------------------- applying


def _apply(command: Apply, context: Context) -> Events:
    member = slug_of(context.stream)
    _require_applicant(member, command, context)
    _require_tier(command.tier, context)
    _require_holdings(command.holdings)
    identity = Identity(
        member, command.name, command.lei, command.country, command.tier, context.register.version, context.charter.membership, command.holdings
    )  # fmt: skip
    lapses_at = context.at + days(context.charter.membership.application_days)
    return (
        ApplicationReceived(
            name=command.name, lei=command.lei, country=command.country, tier=command.tier, representatives=command.representatives,
            charter_version=context.register.version, terms=identity.terms, lapses_at=lapses_at,
        ),
        LegalEntityNamed(member=member, lei=command.lei),
        OwnershipDeclared(member=member, holdings=command.holdings),
        *(event for delegate in command.representatives for event in _seated(member, delegate, context)),
        owe(_screening_step(identity, 1)),
    )  # fmt: skip


def _over(identity: Identity, outcome: Literal["rejected", "lapsed", "withdrawn"], context: Context) -> Events:
    """The application came to nothing: entity and persons are free to try again under another handle."""
    unseated = [RepresentativeUnseated(member=identity.member, person=person, at=context.at) for person in sorted(identity.delegates)]
    return (*unseated, LegalEntityReleased(lei=identity.lei), ApplicationEnded(outcome=outcome))


def _seated(member: MemberId, delegate: Delegate | SeatRepresentative, context: Context) -> Events:
    seated = RepresentativeSeated(member=member, person=delegate.person, capacity=delegate.capacity, at=context.at)
    if delegate.public_key is None:
        return (seated,)
    context.register.require_free(delegate.public_key, delegate.person)
    return (seated, KeyEnrolled(person=delegate.person, public_key=delegate.public_key))


def _screening_step(identity: Identity, number: int) -> Step:
    names = [identity.name, *(holding.holder for holding in identity.holdings)]
    data = {"names": names, "country": identity.country, "lei": identity.lei, "list_age_days": identity.terms.list_age_days}
    return Step(kind="screen", key=f"screen:{number}", data=data)


def _require_applicant(member: MemberId, command: Apply, context: Context) -> None:
    persons = [delegate.person for delegate in command.representatives]
    if context.actor not in persons:
        context.require_office(Office.SECRETARIAT, clause="membership")
    if len(member) > HANDLE:
        raise Refused(
            "handle_too_long", f"a member's handle has at most {HANDLE} characters", remedy="take a shorter one", clause="membership"
        )
    if len(persons) != len(set(persons)):
        raise Refused("representative_named_twice", "a person is named twice", remedy="name each person once", clause="membership")
    keys = [delegate.public_key for delegate in command.representatives if delegate.public_key]
    if len(keys) != len(set(keys)):
        raise Refused("key_taken", "two persons are named with one key", remedy="give each person a key of his own", clause="membership")
    for person in persons:
        _require_new(person, member, context)
    holder = context.register.entities.get(command.lei)
    if holder is not None:
        raise Refused(
            "entity_known",
            f"{command.lei} applied as {holder}",
            remedy=f"see member/{holder}; one legal entity applies once",
            clause="membership",
        )


def _require_new(person: PersonId, member: MemberId, context: Context) -> None:
    """A handle that already speaks for somebody else, or holds an office, cannot be claimed by an application."""
    known = context.register.people.get(person)
    if context.register.knows(person) and (known is None or known.offices or any(other != member for other in known.speaks_for)):
        raise Refused(
            "person_taken", f"{person} is another person on this log", remedy="choose a handle that nobody has", clause="membership"
        )


def _require_tier(tier: str, context: Context) -> None:
    terms = context.charter.tiers.get(tier)
    if terms is None:
        raise Refused(
            "unknown_tier",
            f"the charter has no tier {tier}",
            remedy=f"ask for one of {', '.join(sorted(context.charter.tiers))}",
            clause="tiers",
        )
    if (
        terms.seats < 10_000
        and sum(member.tier == tier and member.standing != "gone" for member in context.register.members.values()) >= terms.seats
    ):
        raise Refused("tier_full", f"all {terms.seats} seats of {tier} are taken", remedy="ask for another tier", clause=f"tiers.{tier}")


def _require_holdings(holdings: Sequence[Holding]) -> None:
    if sum(holding.fraction for holding in holdings) > 10_000:
        raise Refused(
            "more_than_the_whole",
            "the holdings add up to more than the whole",
            remedy="correct the fractions (basis points)",
            clause="membership",
        )
    if len({holding.holder for holding in holdings}) != len(holdings):
        raise Refused("holder_named_twice", "a holder is named twice", remedy="add its holdings up", clause="membership")


# ---------------------------------------------------------------- screening


def _screened(state: MembershipState, found: ScreeningCompleted, context: Context) -> Events:
    match state:
        case Screening() | Active(hit=None):
            pass
        case Unapplied() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
            return ()
    listed: dict[str, Any] = {"list": found.list, "list_digest": found.list_digest, "list_date": found.list_date, "score": found.score}
    if found.score >= state.identity.terms.review_score:
        number = state.identity.screenings
        notice = _note("screening-hit", state.identity, "office:compliance-reviewer", key=f"screening-hit:{number}", score=found.score)
        return (ScreeningHit(match=found.match, **listed), notice)
    passed = ScreeningPassed(**listed)
    return (passed, *(_ask_for_vote(state.identity, context) if isinstance(state, Screening) else _lift(state, "sanctions")))


def _judged(state: Reviewing | Active, hit: ScreeningHit, command: JudgeScreening, context: Context) -> Events:
    context.require_office(Office.COMPLIANCE_REVIEWER, clause="membership")
    if context.register.speaks_for(context.actor, state.identity.member):
        raise Refused("own_case", f"{context.actor} speaks for {state.identity.member}", remedy="ask another reviewer", clause="membership")
    if not command.reason.strip():
        raise Refused("reason_missing", "a judgement is recorded with its reason", remedy="say what you compared", clause="membership")
    judged = ScreeningJudged(
        verdict=command.verdict, list_digest=hit.list_digest, score=hit.score, reviewer=context.actor, reason=command.reason
    )  # fmt: skip
    match state:
        case Reviewing():
            if command.verdict == "clear":
                return (judged, *_ask_for_vote(state.identity, context))
            return (judged, *_over(state.identity, "rejected", context), _note("application-rejected", state.identity))
        case Active():
            return (judged, *(_suspend(state, "sanctions", context) if command.verdict == "confirm" else _lift(state, "sanctions")))


def _ask_for_vote(identity: Identity, context: Context) -> Events:
    proposal = {
        "kind": "propose", "title": f"Admit {identity.name}"[:200].rstrip(" \u200c\u200d"),
        "text": f"{identity.name} ({identity.country}, LEI {identity.lei}) asks to join as {identity.tier}.",
        "motion": {"stream": context.stream, "command": {"kind": "admit"}, "otherwise": {"kind": "decline"}},
    }  # fmt: skip
    return (owe(tell(asked_in("admit", identity.member), proposal, key="tell:admission")),)


# ---------------------------------------------------------------- agreement


def _admit(state: Voting, context: Context) -> Events:
    terms = state.identity.terms
    admitted = ApplicantAdmitted(agreement=terms.agreement, sign_by=context.at + days(terms.signing_days))
    return (admitted, _note("agreement-to-sign", state.identity, sign_by=admitted.sign_by.isoformat()))


def _sign(state: Signing, command: SignAgreement, context: Context) -> Events:
    context.require_representative(state.identity.member)
    if command.agreement != state.agreement:
        raise Refused(
            "other_agreement",
            "this is the digest of another text",
            remedy=f"sign the text with SHA-256 {state.agreement}",
            clause="membership.agreement",
        )
    notice = _note("agreement-to-countersign", state.identity, "office:secretariat", "office:board")
    return (AgreementSigned(agreement=command.agreement, person=context.actor), notice)


def _countersign(state: Signing, context: Context) -> Events:
    context.require_office(Office.SECRETARIAT, Office.BOARD, clause="membership.agreement")
    if context.actor == state.signer or context.register.speaks_for(context.actor, state.identity.member):
        raise Refused(
            "own_case", f"{context.actor} stands on the member's side", remedy="ask another officer", clause="membership.agreement"
        )
    signed = AgreementCountersigned(agreement=state.agreement, person=context.actor)
    invoice = _invoiced(state.identity, state.identity.tier, Dues(), context)
    activated = _activated(state.identity, context) if invoice.amount == 0 else ()
    return (signed, invoice, *_expected(state.identity, invoice, context), *activated, *_invoice_notice(state.identity, invoice, context))


def _activated(identity: Identity, context: Context) -> Events:
    return (
        MemberActivated(member=identity.member, name=identity.name, tier=identity.tier, country=identity.country, at=context.at),
        _note("member-active", identity),
        *(() if identity.delegates else _vacated(identity, context)),
    )


# ---------------------------------------------------------------- dues


def _invoiced(identity: Identity, tier: str, dues: Dues, context: Context) -> DuesInvoiced:
    charter = _charter(identity, context)
    fee = charter.tiers[tier].annual_fee if tier in charter.tiers else context.charter.tiers[tier].annual_fee
    due_at = context.at + days(charter.membership.dues_days)
    return DuesInvoiced(
        number=dues.last + 1, tier=tier, amount=fee, credit_used=min(dues.credit, fee), due_at=due_at, next_at=context.at + YEAR
    )  # fmt: skip


def _invoice_notice(identity: Identity, invoice: DuesInvoiced, context: Context) -> Events:
    if invoice.amount == invoice.credit_used:
        return ()
    facts: dict[str, str | int] = {
        "amount": _shown(invoice.amount - invoice.credit_used, context),
        "due_at": invoice.due_at.isoformat(),
        "number": invoice.number,
        "reference": shown_reference(creditor_reference(context.stream, identity.member)),
    }
    return (_note("dues-invoiced", identity, key=f"dues-invoiced:{invoice.number}", **facts),)


def _invoice(state: Active, context: Context) -> Events:
    tier = state.next_tier or state.identity.tier
    invoice = _invoiced(state.identity, tier, state.dues, context)
    changed = (TierChanged(member=state.identity.member, tier=tier),) if tier != state.identity.tier else ()
    return (*changed, invoice, *_expected(state.identity, invoice, context), *_invoice_notice(state.identity, invoice, context))


def _paid(state: Paying | Active, command: RecordDuesPayment, context: Context) -> Events:
    context.require_service()
    _require_money(command, context)
    left, settled = command.amount + state.dues.credit, dict[str, int]()
    for invoice in state.dues.open:
        part = min(left, invoice.amount - invoice.paid)
        if part:
            settled[str(invoice.number)] = part
        left -= part
    paid = DuesPaid(amount=command.amount, reference=command.reference, value_date=command.value_date, settled=settled, credit=left)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    if _settled(state.dues, paid).open:
        return (paid, used)
    return (paid, used, *(_activated(state.identity, context) if isinstance(state, Paying) else _lift(state, "dues")))


def _reversed(state: Paying | Active, command: ReverseDuesPayment, context: Context) -> Events:
    """What was credit shrinks; what had settled an invoice is owed again, by a date as far away as an invoice's."""
    context.require_service()
    if command.reference in context.register.references:
        return ()
    if context.register.references.get(command.original) != context.stream:
        return (_turned_away(command.reference, "the payment that it undoes is not booked here", context),)
    credit = max(state.dues.credit - command.amount, 0)
    reopened = command.amount - (state.dues.credit - credit)
    number = state.dues.open[0].number if isinstance(state, Paying) and state.dues.open else state.dues.last + 1
    due_at = context.at + days(_charter(state.identity, context).membership.dues_days)
    undone = DuesReversed(
        amount=command.amount, reference=command.reference, original=command.original, credit=credit, reopened=reopened, number=number, due_at=due_at
    )  # fmt: skip
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    told = _note(
        "dues-reversed",
        state.identity,
        key=f"dues-reversed:{command.reference}",
        amount=_shown(command.amount, context),
        owed=_shown(reopened, context),
    )
    return (undone, used, told)


def _turned_away(line: str, reason: str, context: Context) -> StepOwed:
    """The step by which the treasury keeps money that is not taken here: a person decides."""
    back = {"kind": "turn_away_payment", "line": line, "stream": context.stream, "reason": reason}
    return owe(tell(f"treasury/{context.charter.treasury.account}", back, key=f"tell:turned-away:{line}:{context.at.isoformat()}"))


def _expected(identity: Identity, invoice: DuesInvoiced, context: Context) -> tuple[PaymentExpected, ...]:
    """The creditor reference by which the member's dues are known on every statement; stated once."""
    reference = creditor_reference(context.stream, identity.member)
    if invoice.amount == invoice.credit_used or reference in context.register.expected:
        return ()
    return (PaymentExpected(reference=reference, stream=context.stream, member=identity.member),)


def _require_money(command: RecordDuesPayment, context: Context) -> None:
    if command.currency not in {None, context.charter.currency}:
        raise Refused(
            "other_currency",
            f"the books are kept in {context.charter.currency}",
            remedy="record what the bank credited in that currency",
            clause="currency",
        )
    if command.reference in context.register.references:
        used = context.register.references[command.reference]
        raise Refused(
            "reference_used",
            f"{command.reference} is booked on {used}",
            remedy="each movement on the account is booked once",
            clause="membership",
        )
    if command.value_date > context.at.date():
        raise Refused(
            "value_date_ahead", f"{command.value_date} has not come", remedy="record money when it has arrived", clause="membership"
        )
    assert command.amount <= CEILING


def _settled(dues: Dues, paid: DuesPaid) -> Dues:
    parts = [replace(invoice, paid=invoice.paid + paid.settled.get(str(invoice.number), 0)) for invoice in dues.open]
    left = tuple(invoice for invoice in parts if invoice.paid < invoice.amount)
    rung = dues.rung if left[:1] == tuple(parts[:1]) else 0
    return replace(dues, open=left, credit=paid.credit, rung=rung, plan_until=dues.plan_until if left else None)


def _reopened(dues: Dues, undone: DuesReversed) -> Dues:
    dues = replace(dues, credit=undone.credit, last=max(dues.last, undone.number))
    if any(invoice.number == undone.number for invoice in dues.open):
        owed = (replace(invoice, paid=invoice.paid - undone.reopened * (invoice.number == undone.number)) for invoice in dues.open)
        return replace(dues, open=tuple(owed))
    return replace(dues, open=(*dues.open, Invoice(undone.number, undone.reopened, 0, undone.due_at))) if undone.reopened else dues


def _plan(state: Active, command: AgreePaymentPlan, context: Context) -> Events:
    context.require_office(Office.TREASURER, clause="membership")
    longest = context.at + days(state.identity.terms.payment_plan_days)
    if not context.at < command.until <= longest:
        raise Refused(
            "plan_too_long",
            f"a plan ends after now and by {longest.isoformat()}",
            remedy="name an earlier end",
            clause="membership.payment_plan_days",
        )
    return (PaymentPlanAgreed(agreed_at=context.at, until=command.until),) if command.until != state.dues.plan_until else ()


def _planned(dues: Dues, agreed_at: datetime, until: datetime) -> Dues:
    """The clock stands still from the agreement on, or from the end of the plan that this one replaces."""
    stopped = until - max(agreed_at, dues.plan_until or agreed_at)
    moved = tuple(replace(invoice, overdue_from=invoice.overdue_from + stopped) for invoice in dues.open)
    return replace(dues, open=moved, plan_until=until)


# ---------------------------------------------------------------- the good-standing ladder


def _rungs(terms: MembershipTerms) -> Sequence[tuple[Rung, int]]:
    return (
        (Rung.NOTICE, terms.notice_overdue_days), (Rung.SUSPENDED, terms.suspended_overdue_days),
        (Rung.TERMINATION_NOTICE, terms.termination_notice_overdue_days), (Rung.TERMINATED, terms.terminated_overdue_days),
    )  # fmt: skip


def _next_rung(state: Active) -> datetime | None:
    if not state.dues.open or state.dues.rung >= len(Rung):
        return None
    return state.dues.open[0].overdue_from + days(_rungs(state.identity.terms)[state.dues.rung][1])


def _climb(state: Active, context: Context) -> Events:
    oldest, rung = state.dues.open[0], _rungs(state.identity.terms)[state.dues.rung][0]
    reached = RungReached(invoice=oldest.number, rung=rung)
    notice = _note(f"dues-{rung}", state.identity, key=f"dues-{rung}:{oldest.number}", amount=_shown(oldest.amount - oldest.paid, context))
    match rung:
        case Rung.NOTICE | Rung.TERMINATION_NOTICE:
            return (reached, notice)
        case Rung.SUSPENDED:
            return (reached, *_suspend(state, "dues", context), notice)
        case Rung.TERMINATED:
            return (reached, *_depart(state.identity, "terminated", context.at, context), notice)


# ---------------------------------------------------------------- suspension


def _default(source: str) -> str:
    return f"default-{slug_of(source)}"[:64].rstrip("-")


def _suspend(state: Active, cause: str, context: Context) -> Events:
    if cause in state.causes:
        return ()
    return (MemberSuspended(member=state.identity.member, cause=cause), *_leases_looked_at(state.identity.member, cause, context))


def _leases_looked_at(member: MemberId, why: str, context: Context) -> Sequence[StepOwed]:
    """Early access ends with the rights it came from: each release that gave the member some is told to look."""
    return tuple(
        owe(tell(release, {"kind": "end_leases", "member": member}, key=f"tell:{release}:{why[:32]}:{context.at.isoformat()}"))
        for release in sorted(context.register.leases.get(member, mapping()))
    )


def _lift(state: Active, cause: str) -> Events:
    """One cause less; without any the member has exactly its former rights."""
    if cause not in state.causes:
        return ()
    lifted = SuspensionLifted(cause=cause)
    return (lifted,) if state.causes - {cause} else (lifted, MemberReinstated(member=state.identity.member))


# ---------------------------------------------------------------- representatives


def _identified(state: MembershipState, context: Context) -> Identity:
    """Who it is, for what a representative or the secretariat may do at any time of a membership."""
    match state:
        case Unapplied() | Ended():
            raise _not_now("between the application and the end", "`consortium show` tells where it stands")
        case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
            if not context.register.holds(context.actor, Office.SECRETARIAT):
                context.require_representative(state.identity.member)
            return state.identity


def _seat(identity: Identity, state: MembershipState, command: SeatRepresentative, context: Context) -> Events:
    _require_new(command.person, identity.member, context)
    if identity.delegates.get(command.person) == command.capacity and _has_key(command, context):
        return ()
    return (*_seated(identity.member, command, context), *(_lift(state, "vacancy") if isinstance(state, Active) else ()))


def _has_key(command: SeatRepresentative, context: Context) -> bool:
    return command.public_key is None or command.public_key in context.register.people[command.person].keys


def _unseat(identity: Identity, state: MembershipState, command: UnseatRepresentative, context: Context) -> Events:
    if command.person not in identity.delegates:
        return ()
    unseated = RepresentativeUnseated(member=identity.member, person=command.person, at=context.at)
    told = _leases_looked_at(identity.member, command.person, context)
    if len(identity.delegates) > 1 or not isinstance(state, Active):
        return (unseated, *told)
    return (unseated, *_vacated(identity, context), *told)


def _vacated(identity: Identity, context: Context) -> Events:
    name_by = context.at + days(identity.terms.vacancy_days)
    key = f"seat-vacated:{context.at.isoformat()}"
    return (
        SeatVacated(name_by=name_by),
        _note("seat-vacated", identity, "office:secretariat", key=key, name_by=name_by.isoformat()),
    )


# ---------------------------------------------------------------- leaving


def _depart(identity: Identity, cause: Cause, leaves_at: datetime, context: Context) -> Events:
    """Notice is given: rounds let go what was not called; what was called stays owed until it is paid."""
    member = identity.member
    rounds = sorted(context.register.commitments.get(member, mapping()))
    return (
        DepartureBegun(cause=cause),
        MemberDeparting(member=member, leaves_at=leaves_at),
        *(owe(tell(source, {"kind": "release_leaver", "member": member}, key=f"tell:{source}:{cause}")) for source in rounds),
        *_leases_looked_at(member, cause, context),
        _note("departure", identity, f"member:{member}", "office:secretariat", key=f"departure:{cause}", leaves_at=leaves_at.isoformat()),
    )


def _end(state: Leaving, context: Context) -> Events:
    member = state.identity.member
    if member in context.register.debts:
        return (RunOffContinued(again_at=context.at + RUN_OFF),)
    return (MemberDeparted(member=member, cause=state.cause, at=context.at),)


# ---------------------------------------------------------------- evolve


def evolve(state: MembershipState, event: MembershipEvent) -> MembershipState:
    """The state after a fact."""
    match event:
        case ApplicationReceived():
            return Screening(_applicant(event), event.lapses_at)
        case LegalEntityNamed(member=member):
            return _with(state, member=member)
        case OwnershipDeclared(holdings=holdings):
            return _with(state, holdings=holdings)
        case RepresentativeSeated(person=person, capacity=capacity):
            seated = _with(state, delegates=_identity(state).delegates.set(person, capacity))
            return replace(seated, name_by=None) if isinstance(seated, Active) else seated
        case RepresentativeUnseated(person=person):
            return _with(state, delegates=_identity(state).delegates.delete(person))
        case ScreeningStarted():
            return _with(state, screenings=_identity(state).screenings + 1)
        case ScreeningHit():
            match state:
                case Screening(identity=identity, lapses_at=lapses_at):
                    return Reviewing(identity, lapses_at, event)
                case Active():
                    return replace(state, hit=event)
                case Unapplied() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return state
        case ScreeningPassed() | ScreeningJudged():
            match state:
                case Screening(identity=identity, lapses_at=lapses_at) | Reviewing(identity=identity, lapses_at=lapses_at):
                    return Voting(identity, lapses_at)
                case Active():
                    return replace(state, hit=None)
                case Unapplied() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return state
        case ApplicantAdmitted(agreement=agreement, sign_by=sign_by):
            assert isinstance(state, Voting)
            return Signing(state.identity, state.lapses_at, sign_by, agreement, None)
        case AgreementSigned(person=person):
            assert isinstance(state, Signing)
            return replace(state, signer=person)
        case DuesInvoiced():
            return _with_invoice(state, event)
        case DuesPaid():
            assert isinstance(state, Paying | Active)
            return replace(state, dues=_settled(state.dues, event))
        case DuesReversed():
            assert isinstance(state, Paying | Active)
            return replace(state, dues=_reopened(state.dues, event))
        case MemberActivated():
            assert isinstance(state, Paying)
            return Active(state.identity, state.dues, state.next_at)
        case PaymentPlanAgreed(agreed_at=agreed_at, until=until):
            assert isinstance(state, Active)
            return replace(state, dues=_planned(state.dues, agreed_at, until))
        case RungReached():
            assert isinstance(state, Active)
            return replace(state, dues=replace(state.dues, rung=state.dues.rung + 1))
        case MemberSuspended(cause=cause):
            assert isinstance(state, Active)
            return replace(state, causes=state.causes | {cause}, name_by=None if cause == "vacancy" else state.name_by)
        case SuspensionLifted(cause=cause):
            assert isinstance(state, Active)
            return replace(state, causes=state.causes - {cause})
        case SeatVacated(name_by=name_by):
            assert isinstance(state, Active)
            return replace(state, name_by=name_by)
        case TierChangeAsked(tier=tier):
            assert isinstance(state, Active)
            return replace(state, next_tier=tier)
        case TierChanged(tier=tier):
            changed = _with(state, tier=tier)
            return replace(changed, next_tier="") if isinstance(changed, Active) else changed
        case DepartureBegun(cause=cause):
            return Leaving(_identity(state), cause, _NEVER)
        case MemberDeparting(leaves_at=ends_at) | RunOffContinued(again_at=ends_at):
            assert isinstance(state, Leaving)
            return replace(state, ends_at=ends_at)
        case MemberDeparted(cause=cause):
            return Ended(_identity(state), cause)
        case ApplicationEnded(outcome=outcome):
            return Ended(_identity(state), outcome)
        case (
            AgreementCountersigned() | MemberReinstated() | BankReferenceUsed() | KeyEnrolled() | LegalEntityReleased() | PaymentExpected()
        ):
            return state


_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def _applicant(event: ApplicationReceived) -> Identity:
    return Identity("", event.name, event.lei, event.country, event.tier, event.charter_version, event.terms)


def _identity(state: MembershipState) -> Identity:
    assert not isinstance(state, Unapplied)
    return state.identity


def _with(state: MembershipState, **changes: Any) -> MembershipState:
    assert not isinstance(state, Unapplied)
    return replace(state, identity=replace(state.identity, **changes))


def _with_invoice(state: MembershipState, event: DuesInvoiced) -> MembershipState:
    dues = state.dues if isinstance(state, Active) else Dues()
    owed = Invoice(event.number, event.amount, event.credit_used, event.due_at)
    open_ = (*dues.open, owed) if owed.paid < owed.amount else dues.open
    dues = replace(dues, open=open_, credit=dues.credit - event.credit_used, last=event.number)
    match state:
        case Signing(identity=identity, lapses_at=lapses_at):
            return Paying(identity, lapses_at, dues, event.next_at)
        case Active():
            return replace(state, dues=dues, next_at=event.next_at)
        case Unapplied() | Screening() | Reviewing() | Voting() | Paying() | Leaving() | Ended():
            return state


# ---------------------------------------------------------------- agenda and describe


def agenda(state: MembershipState) -> Agenda:
    """The end of an application, the next invoice or rung, the end of a vacancy, or of a notice: whichever comes first."""
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return Agenda(Deadline(_lapses_at(state), LapseApplication()))
        case Active():
            return Agenda(min(_deadlines(state), key=lambda deadline: deadline.at))
        case Leaving(ends_at=ends_at):
            return Agenda(Deadline(ends_at, EndMembership()))
        case Unapplied() | Ended():
            return Agenda(closed=True)


def _lapses_at(state: Applying) -> datetime:
    return min(state.lapses_at, state.sign_by) if isinstance(state, Signing) else state.lapses_at


def _deadlines(state: Active) -> Sequence[Deadline]:
    rung = _next_rung(state)
    due: list[tuple[datetime | None, Command]] = [
        (state.next_at, IssueInvoice()), (rung, ClimbLadder()), (state.name_by, SuspendVacancy()),
    ]  # fmt: skip
    return [Deadline(at, command) for at, command in due if at is not None]


def describe(state: MembershipState) -> Headline:
    """Who it is, where it stands, and who is waited for."""
    match state:
        case Unapplied():
            return Headline("unapplied", "no application yet")
        case Screening(identity=identity):
            return _headline("screening", identity, "the sanctions list is asked")
        case Reviewing(identity=identity, hit=hit):
            return _headline("review", identity, f"a hit of {hit.score} in {escaped(hit.list)} is looked at", "office:compliance-reviewer")
        case Voting(identity=identity):
            return _headline("voting", identity, f"the members decide in {asked_in('admit', identity.member)}")
        case Signing(identity=identity, signer=None, sign_by=sign_by):
            return _headline("signing", identity, f"the agreement is to be signed by {sign_by.isoformat()}", f"member:{identity.member}")
        case Signing(identity=identity):
            return _headline("signing", identity, "the agreement is to be countersigned", "office:secretariat")
        case Paying(identity=identity):
            return _headline("paying", identity, "the first dues are waited for", f"member:{identity.member}")
        case Active():
            return _of_member(state)
        case Leaving(identity=identity, cause=cause, ends_at=ends_at):
            return _headline("leaving", identity, f"goes ({cause}), not before {ends_at.isoformat()}", cause=cause)
        case Ended(identity=identity, outcome=outcome):
            return _headline(outcome, identity, outcome)


def _of_member(state: Active) -> Headline:
    identity = state.identity
    owed = sum(invoice.amount - invoice.paid for invoice in state.dues.open)
    waits = [f"member:{identity.member}"] if state.dues.open else []
    waits += ["office:compliance-reviewer"] if state.hit else []
    waits += ["office:secretariat"] if state.name_by else []
    if state.causes:
        note = f"suspended: {', '.join(sorted(state.causes))}"
        return _headline("suspended", identity, note, *waits, dues_owed_minor=owed, causes=", ".join(sorted(state.causes)))
    return _headline("active", identity, "in good standing" if not owed else "dues are owed", *waits, dues_owed_minor=owed)


def _headline(phase: str, identity: Identity, note: str, *waits_for: str, **values: str | int) -> Headline:
    speakers = ", ".join(f"{person} ({capacity})" for person, capacity in sorted(identity.delegates.items())) or "nobody"
    owners = (
        ", ".join(f"{holding.holder} {holding.fraction // 100}.{holding.fraction % 100:02} %" for holding in identity.holdings)
        or "none declared"
    )
    rows = {"tier": identity.tier, "country": identity.country, "LEI": identity.lei, "spoken for by": speakers, "owners": owners}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    shown: dict[str, str | int] = {"name": identity.name, "tier": identity.tier, "country": identity.country, "lei": identity.lei, **values}
    return Headline(phase, f"{escaped(identity.name)}: {note}", f"| member | |\n| --- | --- |\n{table}", waits_for, shown)


MEMBERSHIP: Final[Process[MembershipCommand, MembershipEvent, MembershipState]] = Process(
    name="member",
    initial=Unapplied(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[MembershipCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[MembershipEvent | Common, Field(discriminator="kind")], ...]),
)
