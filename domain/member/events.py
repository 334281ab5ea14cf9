"""What becomes true of a membership, stored for ever."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from domain.charter import MembershipTerms
from domain.kernel import CountryCode, Digest, Event, Instant, Name, PersonId, Prose, Slug
from domain.letters import RoundName, SetOffNumber
from domain.member.terms import ApplicationOutcome, Cause, InvoiceNumber, NamedDelegate, Offset, Rung
from domain.money import Minor
from domain.reference import BankReference, Lei
from domain.register.facts import (
    BankReferenceUsed,
    Holding,
    KeyEnrolled,
    KeyRevoked,
    LegalEntityNamed,
    LegalEntityReleased,
    MemberActivated,
    MemberDeparted,
    MemberDeparting,
    MemberReinstated,
    MemberStaying,
    MemberSuspended,
    OwnershipDeclared,
    PaymentExpected,
    RepresentativeSeated,
    RepresentativeUnseated,
    TierChanged,
    TierReserved,
)


class ApplicationReceived(Event):
    """An organisation applied, under this version of the charter."""

    kind: Literal["application_received"] = "application_received"
    name: Name
    lei: Lei
    country: CountryCode
    tier: Slug
    representatives: tuple[NamedDelegate, ...]
    """The proofs of their keys are in the entry's command."""
    charter_version: int
    terms: MembershipTerms
    lapses_at: Instant


class ScreeningStarted(Event):
    """A member or an applicant is screened again."""

    kind: Literal["screening_started"] = "screening_started"


class ScreeningPassed(Event):
    """No name on the list is so similar that a person must review it."""

    kind: Literal["screening_passed"] = "screening_passed"
    list: Name
    list_digest: Digest
    list_date: date
    entries: Annotated[int, Field(ge=0)] = 0
    """How many names the list has; 0 in old entries, which did not record it."""
    score: int
    vetted: bool = True
    """Whether no other answer is outstanding and no other hit waits for a person."""


class ScreeningHit(Event):
    """A name on the list is so similar that a person must review it. It rejects nobody."""

    kind: Literal["screening_hit"] = "screening_hit"
    list: Name
    list_digest: Digest
    list_date: date
    entries: Annotated[int, Field(ge=0)] = 0
    """How many names the list has; 0 in old entries, which did not record it."""
    score: int
    match: Annotated[str, Field(max_length=200)]


class ScreeningJudged(Event):
    """A person judged a hit, with the reason."""

    kind: Literal["screening_judged"] = "screening_judged"
    verdict: Literal["clear", "confirm"]
    list_digest: Digest
    score: int
    reviewer: PersonId
    reason: Prose
    vetted: bool = True
    """Whether no other answer is outstanding and no other hit waits for a person."""


class ApplicantAdmitted(Event):
    """The vote took the applicant in; the agreement is to be signed."""

    kind: Literal["applicant_admitted"] = "applicant_admitted"
    agreement: Digest
    sign_by: Instant


class AdmissionAskedAgain(Event):
    """Too few members voted on the applicant: they are asked again, and the application's time begins anew."""

    kind: Literal["admission_asked_again"] = "admission_asked_again"
    asked: int
    """How often they are asked by now, this time included."""
    lapses_at: Instant


class ApplicationEnded(Event):
    """The application came to nothing."""

    kind: Literal["application_ended"] = "application_ended"
    outcome: ApplicationOutcome


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
    """The invoice that it is owed under: before the first activation the open one, else a new one."""
    due_at: Instant


class DuesClosed(Event):
    """What is left of the dues at the end: unpaid for ever, and to be paid back."""

    kind: Literal["dues_closed"] = "dues_closed"
    unpaid: Minor
    refund: Minor


class SetOffAnnounced(Event):
    """What is overdue of the dues will be set off against what these rounds owe the member: that of the oldest round first."""

    kind: Literal["set_off_announced"] = "set_off_announced"
    number: SetOffNumber
    owed: Minor
    offsets: tuple[Offset, ...]
    carry_out_at: Instant


class SetOffAsked(Event):
    """A round is asked for so much of the member's credit; its answer is waited for."""

    kind: Literal["set_off_asked"] = "set_off_asked"
    number: SetOffNumber
    source: RoundName
    amount: Minor


class DuesSetOff(Event):
    """A round took so much of the member's credit, and it settled this much of each invoice, by no payment of a bank."""

    kind: Literal["dues_set_off"] = "dues_set_off"
    number: SetOffNumber
    source: RoundName
    amount: Minor
    """What was settled."""
    settled: dict[str, Minor]
    """By invoice number."""
    excess: Minor
    """What was taken and not owed any more: it is the member's credit in the round again."""


class SetOffEnded(Event):
    """A set-off is over: carried out, or given up since nothing is overdue any more."""

    kind: Literal["set_off_ended"] = "set_off_ended"
    number: SetOffNumber
    amount: Minor
    """What it settled in all."""


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
    """The notice is over and something still binds the member, or is owed; that is checked again then."""

    kind: Literal["run_off_continued"] = "run_off_continued"
    again_at: Instant


JoiningEvent = (
    ApplicationReceived | LegalEntityNamed | ApplicantAdmitted | AgreementSigned | MemberActivated | AdmissionAskedAgain | ApplicationEnded
)
ScreeningEvent = ScreeningStarted | ScreeningPassed | ScreeningHit | ScreeningJudged
SpeakerEvent = RepresentativeSeated | RepresentativeUnseated | SeatVacated
OwnershipEvent = OwnershipDeclared | OwnershipChangeAsked | TierChangeAsked | TierChanged
DuesEvent = DuesInvoiced | DuesPaid | DuesReversed | PaymentPlanAgreed | RungReached | DuesClosed
SetOffEvent = SetOffAnnounced | SetOffAsked | DuesSetOff | SetOffEnded
StandingEvent = MemberSuspended | SuspensionLifted
LeavingEvent = DepartureBegun | MemberDeparting | MemberStaying | RunOffContinued | MemberDeparted
MemberEvent = (
    JoiningEvent
    | ScreeningEvent
    | SpeakerEvent
    | OwnershipEvent
    | DuesEvent
    | SetOffEvent
    | StandingEvent
    | LeavingEvent
    | AgreementCountersigned
    | MemberReinstated
    | BankReferenceUsed
    | KeyEnrolled
    | KeyRevoked
    | LegalEntityReleased
    | PaymentExpected
    | TierReserved
)
