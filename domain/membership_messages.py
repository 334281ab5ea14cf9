"""What a membership is told and what is stored of it for ever: its commands and its events."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from domain.charter import MembershipTerms
from domain.forms import Form
from domain.kernel import SLUG, Command, CountryCode, Digest, Event, Instant, Message, Name, Outcome, PersonId, Prose, Slug
from domain.money import Amount, Currency, Minor
from domain.register import (
    BankReference,
    BankReferenceUsed,
    Capacity,
    Holding,
    KeyEnrolled,
    KeyRevoked,
    LegalEntityNamed,
    LegalEntityReleased,
    MemberActivated,
    MemberDeparted,
    MemberDeparting,
    MemberReinstated,
    MemberSuspended,
    OwnershipDeclared,
    PaymentExpected,
    PublicKey,
    RepresentativeSeated,
    RepresentativeUnseated,
    TierChanged,
    TierReserved,
)


def _lei(text: str) -> str:
    """ISO 17442: the number that the letters and digits spell leaves 1 when divided by 97 (ISO 7064)."""
    if int("".join(str(int(character, 36)) for character in text)) % 97 != 1:
        raise ValueError("the check digits of this Legal Entity Identifier are wrong; copy it again from its certificate")
    return text


Lei = Annotated[
    str, Field(pattern=r"^[A-Z0-9]{18}[0-9]{2}$"), AfterValidator(_lei),
    Form("a Legal Entity Identifier: 18 capital letters and digits, then two check digits (ISO 17442)", "52990000000000000196"),
]  # fmt: skip
"""A Legal Entity Identifier with right check digits."""

Cause = Literal["left", "terminated", "expelled"]
"""Why a membership ends."""

HOLDERS: Final = 50
"""How many holders a declaration of ownership names at most."""

RoundName = Annotated[str, Field(pattern=rf"^round/{SLUG}$"), Form("a round's stream", "round/atlas-1")]

InvoiceNumber = Annotated[int, Field(ge=1)]


class Delegate(Message):
    """A person who is to speak for the member."""

    person: PersonId
    capacity: Capacity = Capacity.REPRESENTATIVE
    public_key: PublicKey | None = None


# ---------------------------------------------------------------- commands


class Apply(Command):
    """Ask for membership. By one of the representatives named, or the secretariat."""

    kind: Literal["apply"] = "apply"
    name: Name
    """The organisation's legal name."""
    lei: Lei
    country: CountryCode
    """Where it is registered."""
    tier: Slug
    """A tier of the charter."""
    holdings: Annotated[tuple[Holding, ...], Field(max_length=HOLDERS)] = ()
    """Who owns the applicant, all holders above a tenth."""
    representatives: Annotated[tuple[Delegate, ...], Field(min_length=1, max_length=10)]
    """Who is to speak for it."""


class WithdrawApplication(Command):
    """Take the application back. By a representative."""

    kind: Literal["withdraw_application"] = "withdraw_application"


class ScreeningCompleted(Outcome):
    """What the sanctions list says of the applicant and its owners. By the service."""

    kind: Literal["screening_completed"] = "screening_completed"
    list: Name
    list_digest: Digest
    list_date: date
    list_age_days: int | None = None
    """The list's age when it was asked, by the clock that dated it: a rehearsal's log runs faster. None: what the date says."""
    entries: Annotated[int, Field(ge=1)]
    score: Annotated[int, Field(ge=0, le=100)]
    match: Annotated[str, Field(max_length=200)] = ""


class JudgeScreening(Command):
    """Say whether the oldest hit that waits is the applicant, or an owner. By a compliance reviewer who does not speak for it."""

    kind: Literal["judge_screening"] = "judge_screening"
    verdict: Literal["clear", "confirm"]
    reason: Prose


class Rescreen(Command):
    """Screen a member again, or an applicant whom the members vote on or took in. By the secretariat or a compliance reviewer."""

    kind: Literal["rescreen"] = "rescreen"


class Admit(Command):
    """Take the applicant in. By a passed proposal."""

    kind: Literal["admit"] = "admit"


class Decline(Command):
    """Turn the applicant down. By a proposal that did not pass."""

    kind: Literal["decline"] = "decline"


class SignAgreement(Command):
    """Sign the membership agreement, named by its digest. By a representative."""

    kind: Literal["sign_agreement"] = "sign_agreement"
    agreement: Digest


class CountersignAgreement(Command):
    """Countersign for the consortium. By the secretariat or the board, nobody who signed or speaks for the member."""

    kind: Literal["countersign_agreement"] = "countersign_agreement"


class RecordDuesPayment(Command):
    """Dues arrived on the account. They settle the oldest invoice first; what is left over is credit. By the treasury process."""

    kind: Literal["record_dues_payment"] = "record_dues_payment"
    amount: Amount
    currency: Currency | None = None
    reference: BankReference
    value_date: date


class ReverseDuesPayment(Command):
    """The bank took a payment of dues back: credit shrinks first, and what it had settled is owed again. By the treasury process."""

    kind: Literal["reverse_dues_payment"] = "reverse_dues_payment"
    amount: Amount
    reference: BankReference
    """Of the movement that took it back."""
    original: BankReference


class AgreePaymentPlan(Command):
    """Stop the clock of overdue dues until an instant. By the treasurer."""

    kind: Literal["agree_payment_plan"] = "agree_payment_plan"
    until: Instant


class IssueInvoice(Command):
    """The next year's dues are to be paid. By the service."""

    kind: Literal["issue_invoice"] = "issue_invoice"


class ClimbLadder(Command):
    """Overdue dues reach the next rung. By the service."""

    kind: Literal["climb_ladder"] = "climb_ladder"


class LapseApplication(Command):
    """The application took too long. By the service."""

    kind: Literal["lapse_application"] = "lapse_application"


class SuspendForDefault(Command):
    """A round reports a default. By the service."""

    kind: Literal["suspend_for_default"] = "suspend_for_default"
    source: RoundName


class LiftDefault(Command):
    """The default is mended. By the service."""

    kind: Literal["lift_default"] = "lift_default"
    source: RoundName


class SeatRepresentative(Command):
    """Let a person speak for the member, or enrol one's own further key. By a representative; while none is seated by the
    secretariat or the board, though not by who vacated the seat.
    """

    kind: Literal["seat_representative"] = "seat_representative"
    person: PersonId
    capacity: Capacity = Capacity.REPRESENTATIVE
    public_key: PublicKey | None = None


class UnseatRepresentative(Command):
    """Let a person speak for the member no longer. By that person, a representative or the secretariat."""

    kind: Literal["unseat_representative"] = "unseat_representative"
    person: PersonId


class SuspendVacancy(Command):
    """Nobody speaks for the member, and the time to name somebody is over. By the service."""

    kind: Literal["suspend_vacancy"] = "suspend_vacancy"


class DeclareOwnership(Command):
    """Say who owns the member now, in full. By a representative or the secretariat. What an officer declares waits until a
    second person confirms it, and so does what would part companies that share a seat, or bind another member to this one.
    """

    kind: Literal["declare_ownership"] = "declare_ownership"
    holdings: Annotated[tuple[Holding, ...], Field(max_length=HOLDERS)]


class ConfirmOwnership(Command):
    """Confirm the declaration that waits, named in full. By the secretariat or a compliance reviewer who does not speak for the
    member; an officer's also by a representative. Never by who declared it.
    """

    kind: Literal["confirm_ownership"] = "confirm_ownership"
    holdings: Annotated[tuple[Holding, ...], Field(max_length=HOLDERS)]


class ChangeTier(Command):
    """Belong to another tier from the next invoice on. By a representative."""

    kind: Literal["change_tier"] = "change_tier"
    tier: Slug


class GiveNotice(Command):
    """Leave the consortium when the notice is over and dues and everything called are paid. By a representative."""

    kind: Literal["give_notice"] = "give_notice"


class Expel(Command):
    """Expel the member. By a passed proposal."""

    kind: Literal["expel"] = "expel"


class EndMembership(Command):
    """The notice, or a week of run-off, is over. By the service."""

    kind: Literal["end_membership"] = "end_membership"


MembershipCommand = (
    Apply | WithdrawApplication | ScreeningCompleted | JudgeScreening | Rescreen | Admit | Decline | SignAgreement | CountersignAgreement
    | RecordDuesPayment | ReverseDuesPayment | AgreePaymentPlan | IssueInvoice | ClimbLadder | LapseApplication | SuspendForDefault | LiftDefault
    | SeatRepresentative | UnseatRepresentative | SuspendVacancy | DeclareOwnership | ConfirmOwnership | ChangeTier | GiveNotice | Expel | EndMembership
)  # fmt: skip

# ---------------------------------------------------------------- events


class Rung(StrEnum):
    """The steps of the good-standing ladder, in order."""

    NOTICE = "notice"
    SUSPENDED = "suspended"
    TERMINATION_NOTICE = "termination-notice"
    TERMINATED = "terminated"


class ApplicationReceived(Event):
    """An organisation applied, under this version of the charter."""

    kind: Literal["application_received"] = "application_received"
    name: Name
    lei: Lei
    country: CountryCode
    tier: Slug
    representatives: tuple[Delegate, ...]
    charter_version: int
    terms: MembershipTerms
    lapses_at: Instant


class ScreeningStarted(Event):
    """A member or an applicant is screened again."""

    kind: Literal["screening_started"] = "screening_started"


class ScreeningPassed(Event):
    """Nothing on the list is near enough to look at."""

    kind: Literal["screening_passed"] = "screening_passed"
    list: Name
    list_digest: Digest
    list_date: date
    entries: Annotated[int, Field(ge=0)] = 0
    """How many names the list has; 0 where it was not kept."""
    score: int
    vetted: bool = True
    """Whether nothing else is asked or waits for a person."""


class ScreeningHit(Event):
    """Something on the list is near enough that a person must look. It rejects nobody."""

    kind: Literal["screening_hit"] = "screening_hit"
    list: Name
    list_digest: Digest
    list_date: date
    entries: Annotated[int, Field(ge=0)] = 0
    """How many names the list has; 0 where it was not kept."""
    score: int
    match: Annotated[str, Field(max_length=200)]


class ScreeningJudged(Event):
    """A person looked, and said why."""

    kind: Literal["screening_judged"] = "screening_judged"
    verdict: Literal["clear", "confirm"]
    list_digest: Digest
    score: int
    reviewer: PersonId
    reason: Prose
    vetted: bool = True
    """Whether nothing else is asked or waits for a person."""


class ApplicantAdmitted(Event):
    """The vote took the applicant in; the agreement is to be signed."""

    kind: Literal["applicant_admitted"] = "applicant_admitted"
    agreement: Digest
    sign_by: Instant


class ApplicationEnded(Event):
    """The application came to nothing."""

    kind: Literal["application_ended"] = "application_ended"
    outcome: Literal["rejected", "lapsed", "withdrawn"]


class AgreementSigned(Event):
    """A representative signed for the member."""

    kind: Literal["agreement_signed"] = "agreement_signed"
    agreement: Digest
    person: PersonId


class AgreementCountersigned(Event):
    """An officer signed for the consortium."""

    kind: Literal["agreement_countersigned"] = "agreement_countersigned"
    agreement: Digest
    person: PersonId


class DuesInvoiced(Event):
    """A year's dues are to be paid; credit was used first."""

    kind: Literal["dues_invoiced"] = "dues_invoiced"
    number: InvoiceNumber
    tier: Slug
    amount: Minor
    credit_used: Minor
    due_at: Instant
    next_at: Instant
    """When the year after is invoiced."""


class DuesPaid(Event):
    """Money arrived, and settled this much of each invoice."""

    kind: Literal["dues_paid"] = "dues_paid"
    amount: Minor
    reference: BankReference
    value_date: date
    settled: dict[str, Minor]
    """By invoice number."""
    credit: Minor
    """What is left over, in all."""


class DuesReversed(Event):
    """A payment of dues was taken back: the credit is this now, and so much is owed again."""

    kind: Literal["dues_reversed"] = "dues_reversed"
    amount: Minor
    reference: BankReference
    original: BankReference
    credit: Minor
    reopened: Minor
    number: InvoiceNumber
    """Under which invoice it is owed: the open one of who is not active yet, else a new one."""
    due_at: Instant


class DuesClosed(Event):
    """What is left of the dues at the end: unpaid for ever, and to be paid back."""

    kind: Literal["dues_closed"] = "dues_closed"
    unpaid: Minor
    refund: Minor


class PaymentPlanAgreed(Event):
    """The ladder's clock stands still until then."""

    kind: Literal["payment_plan_agreed"] = "payment_plan_agreed"
    agreed_at: Instant
    until: Instant
    overdue_from: dict[str, Instant] | None = None
    """From when each open invoice counts as overdue now, by its number. None in old plans, which moved all alike."""


class RungReached(Event):
    """Overdue dues reached a rung."""

    kind: Literal["rung_reached"] = "rung_reached"
    invoice: InvoiceNumber
    rung: Rung


class SuspensionLifted(Event):
    """One cause of a suspension is gone."""

    kind: Literal["suspension_lifted"] = "suspension_lifted"
    cause: Slug


class SeatVacated(Event):
    """Nobody speaks for the member; somebody must be named by then."""

    kind: Literal["seat_vacated"] = "seat_vacated"
    name_by: Instant


class TierChangeAsked(Event):
    """The member changes its tier with the next invoice."""

    kind: Literal["tier_change_asked"] = "tier_change_asked"
    tier: Slug


class OwnershipChangeAsked(Event):
    """Owners were declared, which counts when a second person has confirmed it."""

    kind: Literal["ownership_change_asked"] = "ownership_change_asked"
    holdings: tuple[Holding, ...]
    person: PersonId


class DepartureBegun(Event):
    """Why the member goes."""

    kind: Literal["departure_begun"] = "departure_begun"
    cause: Cause


class RunOffContinued(Event):
    """The notice is over and something is still owed; it is looked at again then."""

    kind: Literal["run_off_continued"] = "run_off_continued"
    again_at: Instant


MembershipEvent = (
    ApplicationReceived | ScreeningStarted | ScreeningPassed | ScreeningHit | ScreeningJudged | ApplicantAdmitted | ApplicationEnded
    | AgreementSigned | AgreementCountersigned | DuesInvoiced | DuesPaid | DuesReversed | PaymentPlanAgreed | RungReached | SuspensionLifted | SeatVacated
    | TierChangeAsked | OwnershipChangeAsked | DepartureBegun | RunOffContinued | DuesClosed
    | BankReferenceUsed | KeyEnrolled | KeyRevoked | LegalEntityNamed | LegalEntityReleased | MemberActivated | MemberDeparted | MemberDeparting | MemberReinstated
    | MemberSuspended | OwnershipDeclared | PaymentExpected | RepresentativeSeated | RepresentativeUnseated
    | TierChanged | TierReserved
)  # fmt: skip
