"""Where a membership stands: its states, and how each stored event changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from domain.charter import MembershipTerms
from domain.kernel import Map, MemberId, PersonId, StreamId, asked_in, mapping
from domain.member import events
from domain.member.terms import Cause, Offset
from domain.register.facts import (
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
    MemberStaying,
    MemberSuspended,
    OwnershipDeclared,
    PaymentExpected,
    RepresentativeSeated,
    RepresentativeUnseated,
    TierChanged,
    TierReserved,
)

# ---------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Invoice:
    """A year's dues that are not yet paid in full."""

    number: int
    amount: int
    paid: int
    due_at: datetime
    overdue_from: datetime
    """The due date, moved on by what payment plans stopped the clock."""

    @property
    def owed(self) -> int:
        """What of it is not paid."""
        return self.amount - self.paid


@dataclass(frozen=True, slots=True)
class SetOff:
    """What is overdue will be set off against what rounds owe the member."""

    number: int
    offsets: tuple[Offset, ...]
    """Which rounds are still to be asked, in this order."""
    carry_out_at: datetime
    settled: int = 0
    """What it has settled so far."""
    asked: str | None = None
    """The round whose answer is waited for."""


@dataclass(frozen=True, slots=True)
class Dues:
    """The open invoices, oldest first, and what was paid too much."""

    open: tuple[Invoice, ...] = ()
    credit: int = 0
    received: int = 0
    """What was paid in all, without what the bank took back."""
    last: int = 0
    """The number of the latest invoice."""
    rung: int = 0
    """How many rungs of the ladder the oldest invoice has reached."""
    plan_until: datetime | None = None
    """Until when a payment plan stops the clock."""
    offset: int = 0
    """What was set off in all."""
    set_off: SetOff | None = None
    """The set-off that is announced or under way: until it is over the ladder stands still."""
    set_offs: int = 0
    """The number of the latest set-off."""

    @property
    def owed(self) -> int:
        """What is invoiced and not paid, in all."""
        return sum(invoice.owed for invoice in self.open)


@dataclass(frozen=True, slots=True)
class Vetting:
    """The screenings of this member. Only the answer to the latest one counts: it covers all names of the earlier ones."""

    requested: int = 1
    """How many screenings were requested, and so the number of the latest."""
    answered: int = 0
    """The number of the latest screening that was answered."""
    hits: tuple[events.ScreeningHit, ...] = ()
    """Those that wait for a person, oldest first."""

    @property
    def done(self) -> bool:
        """Whether no answer is outstanding and no hit waits for a person."""
        return self.answered == self.requested and not self.hits


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is, who owns it, and who speaks for it."""

    member: MemberId
    name: str
    lei: str
    country: str
    tier: str
    charter: int
    terms: MembershipTerms
    """Of the charter version that it applied under."""
    holdings: tuple[Holding, ...] = ()
    unconfirmed: events.OwnershipChangeAsked | None = None
    """The declaration of its owners that waits for a second person."""
    delegates: Map[PersonId, Capacity] = field(default_factory=mapping)
    vacated_by: PersonId | None = None
    """Who last unseated its only representative."""
    vetting: Vetting = Vetting()
    stayed: int = 0
    """How often it took a notice back."""

    @property
    def represented(self) -> bool:
        """Whether a representative is seated; alternates do not count."""
        return Capacity.REPRESENTATIVE in self.delegates.values()


def admission_vote(member: MemberId, asked: int) -> StreamId:
    """The proposal in which the members are asked about an applicant, when they are asked so often by now."""
    return asked_in("admit", member, None if asked == 1 else asked)


@dataclass(frozen=True, slots=True)
class Unapplied:
    """Before the application."""


@dataclass(frozen=True, slots=True)
class Screening:
    """The answer of the sanctions list is outstanding."""

    identity: Identity
    lapses_at: datetime


@dataclass(frozen=True, slots=True)
class Reviewing:
    """A hit waits for a person's review."""

    identity: Identity
    lapses_at: datetime


@dataclass(frozen=True, slots=True)
class Voting:
    """The members decide."""

    identity: Identity
    lapses_at: datetime
    asked: int
    """How often they were asked: again when too few of them voted."""

    @property
    def proposal(self) -> StreamId:
        """The vote on the admission."""
        return admission_vote(self.identity.member, self.asked)


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
    """The first dues are to be paid, and owners declared since the first screening are screened."""

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


@dataclass(frozen=True, slots=True)
class Resumption:
    """What of a membership rests while the member leaves, and goes on if it takes its notice back."""

    next_at: datetime
    """When the next dues are invoiced."""
    next_tier: str
    """In which tier then, if that changes."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Notice was given; dues and what was called are still owed."""

    identity: Identity
    cause: Cause
    ends_at: datetime
    dues: Dues
    resumption: Resumption
    causes: frozenset[str] = frozenset()
    over: bool = False
    """Whether the notice is over, so that nothing takes it back."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Over: rejected, lapsed, withdrawn, left, terminated or expelled."""

    identity: Identity
    outcome: str
    unpaid: int = 0
    refund: int = 0
    """What it paid too much, and is to be paid back."""


MemberState = Unapplied | Screening | Reviewing | Voting | Signing | Paying | Active | Leaving | Ended
Applying = Screening | Reviewing | Voting | Signing | Paying
Belonging = Active | Leaving
"""A member, also on notice."""
Present = Applying | Belonging
"""From the application to the end."""


def lapses_at(state: Applying) -> datetime:
    """When the application lapses."""
    return min(state.lapses_at, state.sign_by) if isinstance(state, Signing) else state.lapses_at


# ---------------------------------------------------------------- evolve


def evolve(state: MemberState, event: events.MemberEvent) -> MemberState:
    """The state after a fact: a function per topic; facts that only the register keeps change nothing here."""
    if isinstance(event, events.JoiningEvent):
        return _after_joining(state, event)
    if isinstance(event, events.ScreeningEvent):
        return _after_screening(state, event)
    if isinstance(event, events.SpeakerEvent):
        return _after_speakers(state, event)
    if isinstance(event, events.OwnershipEvent):
        return _after_ownership(state, event)
    if isinstance(event, events.DuesEvent):
        return _after_dues(state, event)
    if isinstance(event, events.SetOffEvent):
        return _after_set_off(state, event)
    if isinstance(event, events.StandingEvent):
        return _after_standing(state, event)
    if isinstance(event, events.LeavingEvent):
        return _after_leaving(state, event)
    match event:
        case (
            events.AgreementCountersigned()
            | MemberReinstated()
            | BankReferenceUsed()
            | KeyEnrolled()
            | KeyRevoked()
            | LegalEntityReleased()
            | PaymentExpected()
            | TierReserved()
        ):
            return state


def _after_joining(state: MemberState, event: events.JoiningEvent) -> MemberState:
    match event:
        case events.ApplicationReceived():
            return Screening(_applicant(event), event.lapses_at)
        case LegalEntityNamed(member=member):
            return _with(state, member=member)
        case events.ApplicantAdmitted(agreement=agreement, sign_by=sign_by):
            assert isinstance(state, Voting)
            return Signing(state.identity, state.lapses_at, sign_by, agreement, None)
        case events.AdmissionAskedAgain(asked=asked, lapses_at=lapses_at):
            assert isinstance(state, Voting)
            return Voting(state.identity, lapses_at, asked)
        case events.AgreementSigned(person=person):
            assert isinstance(state, Signing)
            return replace(state, signer=person)
        case MemberActivated():
            assert isinstance(state, Paying)
            return Active(state.identity, state.dues, state.next_at)
        case events.ApplicationEnded(outcome=outcome):
            return Ended(_identity(state), outcome)


def _after_screening(state: MemberState, event: events.ScreeningEvent) -> MemberState:
    vetting = _identity(state).vetting
    match event:
        case events.ScreeningStarted():
            return _with(state, vetting=replace(vetting, requested=vetting.requested + 1))
        case events.ScreeningHit():
            hit = _with(state, vetting=replace(vetting, answered=vetting.requested, hits=(*vetting.hits, event)))
            return Reviewing(hit.identity, hit.lapses_at) if isinstance(hit, Screening) else hit
        case events.ScreeningPassed(vetted=vetted):
            return _to_the_vote(_with(state, vetting=replace(vetting, answered=vetting.requested)), vetted=vetted)
        case events.ScreeningJudged(vetted=vetted):
            return _to_the_vote(_with(state, vetting=replace(vetting, hits=vetting.hits[1:])), vetted=vetted)


def _after_speakers(state: MemberState, event: events.SpeakerEvent) -> MemberState:
    match event:
        case RepresentativeSeated(person=person, capacity=capacity):
            seated = _with(state, delegates=_identity(state).delegates.set(person, capacity))
            return replace(seated, name_by=None) if isinstance(seated, Active) and capacity is Capacity.REPRESENTATIVE else seated
        case RepresentativeUnseated(person=person, vacated_by=vacated_by):
            identity = _identity(state)
            return _with(state, delegates=identity.delegates.delete(person), vacated_by=vacated_by or identity.vacated_by)
        case events.SeatVacated(name_by=name_by):
            assert isinstance(state, Active)
            return replace(state, name_by=name_by)


def _after_ownership(state: MemberState, event: events.OwnershipEvent) -> MemberState:
    match event:
        case OwnershipDeclared(holdings=holdings):
            return _with(state, holdings=holdings, unconfirmed=None)
        case events.OwnershipChangeAsked():
            return _with(state, unconfirmed=event)
        case events.TierChangeAsked(tier=tier):
            assert isinstance(state, Active)
            return replace(state, next_tier=tier)
        case TierChanged(tier=tier):
            changed = _with(state, tier=tier)
            return replace(changed, next_tier="") if isinstance(changed, Active) else changed


def _after_dues(state: MemberState, event: events.DuesEvent) -> MemberState:
    match event:
        case events.DuesInvoiced():
            return _invoiced(state, event)
        case events.DuesPaid():
            assert isinstance(state, Paying | Belonging)
            return replace(state, dues=after_payment(state.dues, event))
        case events.DuesReversed():
            assert isinstance(state, Paying | Belonging)
            return replace(state, dues=_reopened(state.dues, event))
        case events.PaymentPlanAgreed():
            assert isinstance(state, Belonging)
            return replace(state, dues=_planned(state.dues, event))
        case events.RungReached():
            assert isinstance(state, Belonging)
            return replace(state, dues=replace(state.dues, rung=state.dues.rung + 1))
        case events.DuesClosed(unpaid=unpaid, refund=refund):
            assert isinstance(state, Ended)
            return replace(state, unpaid=unpaid, refund=refund)


def _after_set_off(state: MemberState, event: events.SetOffEvent) -> MemberState:
    assert isinstance(state, Belonging)
    dues = state.dues
    match event:
        case events.SetOffAnnounced(number=number, offsets=offsets, carry_out_at=carry_out_at):
            return replace(state, dues=replace(dues, set_off=SetOff(number, offsets, carry_out_at), set_offs=number))
        case events.SetOffAsked(source=source):
            assert dues.set_off is not None
            left = tuple(offset for offset in dues.set_off.offsets if offset.source != source)
            return replace(state, dues=replace(dues, set_off=replace(dues.set_off, offsets=left, asked=source)))
        case events.DuesSetOff():
            return replace(state, dues=after_set_off(dues, event))
        case events.SetOffEnded():
            return replace(state, dues=replace(dues, set_off=None))


def _after_standing(state: MemberState, event: events.StandingEvent) -> MemberState:
    assert isinstance(state, Belonging)
    match event:
        case MemberSuspended(cause=cause):
            suspended = replace(state, causes=state.causes | {cause})
            return replace(suspended, name_by=None) if isinstance(suspended, Active) and cause == "vacancy" else suspended
        case events.SuspensionLifted(cause=cause):
            return replace(state, causes=state.causes - {cause})


def _after_leaving(state: MemberState, event: events.LeavingEvent) -> MemberState:
    match event:
        case events.DepartureBegun(cause=cause):
            assert isinstance(state, Belonging)
            rests = Resumption(state.next_at, state.next_tier) if isinstance(state, Active) else state.resumption
            return Leaving(state.identity, cause, _NEVER, state.dues, rests, state.causes)
        case MemberDeparting(leaves_at=ends_at):
            assert isinstance(state, Leaving)
            return replace(state, ends_at=ends_at)
        case events.RunOffContinued(again_at=ends_at):
            assert isinstance(state, Leaving)
            return replace(state, ends_at=ends_at, over=True)
        case MemberStaying():
            assert isinstance(state, Leaving)
            identity, rested = replace(state.identity, stayed=state.identity.stayed + 1), state.resumption
            return Active(identity, state.dues, rested.next_at, state.causes, next_tier=rested.next_tier)
        case MemberDeparted(cause=cause):
            return Ended(_identity(state), cause)


_NEVER: Final = datetime.max.replace(tzinfo=UTC)
"""For the moment between the two events by which a departure begins."""


def _applicant(event: events.ApplicationReceived) -> Identity:
    return Identity("", event.name, event.lei, event.country, event.tier, event.charter_version, event.terms)


def _identity(state: MemberState) -> Identity:
    assert not isinstance(state, Unapplied)
    return state.identity


Identified = Screening | Reviewing | Voting | Signing | Paying | Active | Leaving | Ended


def _with(state: MemberState, **changes: Any) -> Identified:
    assert not isinstance(state, Unapplied)
    return replace(state, identity=replace(state.identity, **changes))


def _to_the_vote(state: Identified, *, vetted: bool) -> MemberState:
    return Voting(state.identity, state.lapses_at, asked=1) if vetted and isinstance(state, Screening | Reviewing) else state


def _invoiced(state: MemberState, event: events.DuesInvoiced) -> MemberState:
    assert isinstance(state, Signing | Active)
    dues = state.dues if isinstance(state, Active) else Dues()
    owed = Invoice(event.number, event.amount, event.credit_used, event.due_at, event.due_at)
    open_ = (*dues.open, owed) if owed.paid < owed.amount else dues.open
    dues = replace(dues, open=open_, credit=dues.credit - event.credit_used, last=event.number)
    match state:
        case Signing(identity=identity, lapses_at=lapses_at):
            return Paying(identity, lapses_at, dues, event.next_at)
        case Active():
            return replace(state, dues=dues, next_at=event.next_at)


def after_payment(dues: Dues, paid: events.DuesPaid) -> Dues:
    """The dues after a payment."""
    return replace(_settled(dues, paid.settled), credit=paid.credit, received=dues.received + paid.amount)


def after_set_off(dues: Dues, taken: events.DuesSetOff) -> Dues:
    """The dues after a round's answer."""
    assert dues.set_off is not None
    set_off = replace(dues.set_off, settled=dues.set_off.settled + taken.amount, asked=None)
    return replace(_settled(dues, taken.settled), offset=dues.offset + taken.amount, set_off=set_off)


def _settled(dues: Dues, parts: Mapping[str, int]) -> Dues:
    """The dues with so much more paid of each invoice. Once the oldest is paid, the next one starts at the foot of the ladder."""
    paid = [replace(invoice, paid=invoice.paid + parts.get(str(invoice.number), 0)) for invoice in dues.open]
    left = tuple(invoice for invoice in paid if invoice.paid < invoice.amount)
    rung = dues.rung if left[:1] == tuple(paid[:1]) else 0
    return replace(dues, open=left, rung=rung, plan_until=dues.plan_until if left else None)


def _reopened(dues: Dues, undone: events.DuesReversed) -> Dues:
    dues = replace(dues, credit=undone.credit, received=dues.received - undone.amount, last=max(dues.last, undone.number))
    if any(invoice.number == undone.number for invoice in dues.open):
        owed = (replace(invoice, paid=invoice.paid - undone.reopened * (invoice.number == undone.number)) for invoice in dues.open)
        return replace(dues, open=tuple(owed))
    again = Invoice(undone.number, undone.reopened, 0, undone.due_at, undone.due_at)
    return replace(dues, open=(*dues.open, again)) if undone.reopened else dues


def _planned(dues: Dues, agreed: events.PaymentPlanAgreed) -> Dues:
    moved = agreed.overdue_from
    if moved is None:
        stopped = agreed.until - max(agreed.agreed_at, dues.plan_until or agreed.agreed_at)
        moved = {str(invoice.number): invoice.overdue_from + stopped for invoice in dues.open}
    open_ = tuple(replace(invoice, overdue_from=moved[str(invoice.number)]) for invoice in dues.open)
    return replace(dues, open=open_, plan_until=agreed.until)
