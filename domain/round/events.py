"""What becomes true of a funding round, stored for ever.

Amounts are minor units of the charter's currency. Every amount that was decided is in the event that decided it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from domain.charter import Office
from domain.kernel import BasisPoints, Digest, Event, Instant, MemberId, Name, PersonId, Prose, Slug
from domain.letters import SetOffNumber, Source, TrancheNumber
from domain.money import Minor
from domain.reference import BankReference
from domain.register.facts import (
    BankReferenceUsed,
    CommitmentBound,
    CommitmentKept,
    ContributionCleared,
    ContributionReturned,
    CreditStated,
    DebtStated,
    EvidenceUsed,
    PaymentExpected,
)
from domain.round.terms import Amounts, BoundUntil, CallNumber, Debt, Due, Duty, Quantity, Schedule, Settlement, Stage, Terms, Watch


class RoundOpened(Event):
    """A round was announced, or announced anew, under this version of the charter."""

    kind: Literal["round_opened"] = "round_opened"
    terms: Terms
    charter_version: int


class RoundWithdrawn(Event):
    """The announcement was taken back."""

    kind: Literal["round_withdrawn"] = "round_withdrawn"


class PledgingStarted(Event):
    """Members may pledge."""

    kind: Literal["pledging_started"] = "pledging_started"


class PledgeMade(Event):
    """A member's pledge is this, whatever it was before."""

    kind: Literal["pledge_made"] = "pledge_made"
    member: MemberId
    amount: Minor
    if_total_at_least: Minor = 0
    condition: Prose = ""


class PledgeWithdrawn(Event):
    """A member has no pledge any more."""

    kind: Literal["pledge_withdrawn"] = "pledge_withdrawn"
    member: MemberId


class MinimumMissed(Event):
    """Pledging closed below the minimum; a vote may extend it until then."""

    kind: Literal["minimum_missed"] = "minimum_missed"
    counted: Minor
    minimum: Minor
    vote_ends_at: Instant


class RoundExtended(Event):
    """Pledging goes on until the new close."""

    kind: Literal["round_extended"] = "round_extended"
    closes_at: Instant


class RoundFailed(Event):
    """The minimum was not reached; every pledge is released."""

    kind: Literal["round_failed"] = "round_failed"


class PledgesAllocated(Event):
    """Pledging closed: this is what each member is committed to."""

    kind: Literal["pledges_allocated"] = "pledges_allocated"
    allocation: Amounts
    counted: Minor
    """The pledges that counted, before they were scaled back."""
    concentration: BasisPoints
    """The Herfindahl-Hirschman index of the seats."""
    gauge: BasisPoints
    """The charter's measure to compare it with; no rule follows from being above it."""
    charter_version: int
    default_interest: BasisPoints | None = None
    """What waiting for a payment costs a year; left out by rules before 6."""


class TrancheReleased(Event):
    """The tranche may be called."""

    kind: Literal["tranche_released"] = "tranche_released"
    tranche: TrancheNumber
    evidence: Digest | None = None


class TrancheCalled(Event):
    """Members owe their part of a tranche."""

    kind: Literal["tranche_called"] = "tranche_called"
    call: CallNumber
    tranche: TrancheNumber
    amounts: Amounts
    schedule: Schedule
    delivered: Amounts = Field(default_factory=dict)
    """What members had delivered of it in kind before: they paid it in time."""


class MakeUpCalled(Event):
    """Members owe more than they committed, instead of those who did not pay the call `pool`."""

    kind: Literal["make_up_called"] = "make_up_called"
    call: CallNumber
    pool: CallNumber
    amounts: Amounts
    schedule: Schedule


class CatchUpCalled(Event):
    """One member owes at once what others were called for before."""

    kind: Literal["catch_up_called"] = "catch_up_called"
    call: CallNumber
    member: MemberId
    dues: tuple[Due, ...]
    schedule: Schedule
    replaces: MemberId | None = None
    """In whose place the member was called; nobody's where it joined late, and in what rules before 6 decided."""


class MakeUpReduced(Event):
    """Late money came for a tranche: of what others made up for it, a part comes back to them as credit, or is not asked for any more."""

    kind: Literal["make_up_reduced"] = "make_up_reduced"
    pool: CallNumber
    filled: Minor
    """What of the late money stands for what they made up."""
    repaid: Mapping[MemberId, tuple[Settlement, ...]] = Field(default_factory=dict)
    """What of it was paid and is credit now."""
    lapsed: Mapping[MemberId, tuple[Settlement, ...]] = Field(default_factory=dict)
    """What of it was not paid yet."""
    dues: Mapping[MemberId, tuple[Due, ...]] = Field(default_factory=dict)
    """All that those owe afterwards of whom something lapsed."""


class CreditApplied(Event):
    """A member's credit paid what it owes."""

    kind: Literal["credit_applied"] = "credit_applied"
    member: MemberId
    settled: tuple[Settlement, ...]
    dues: tuple[Due, ...]
    """All that the member owes afterwards."""


class PaymentRecorded(Event):
    """A member's money cleared."""

    kind: Literal["payment_recorded"] = "payment_recorded"
    member: MemberId
    amount: Minor
    reference: BankReference
    value_date: date
    settled: tuple[Settlement, ...]
    dues: tuple[Due, ...]
    credited: Minor


class PaymentReversed(Event):
    """The bank took a member's payment back: what it had settled is owed again, and what of it was credit is gone.

    After a round's end no more of it is owed than the member's share of what was spent: `share_reduced` says how much less.
    """

    kind: Literal["payment_reversed"] = "payment_reversed"
    member: MemberId
    amount: Minor
    reference: BankReference
    original: BankReference
    credit: Minor
    uncleared: Minor
    """What is not cleared any more. With nothing undone it is not called any more either."""
    interest: Minor = 0
    undone: tuple[Settlement, ...] = ()
    """The settlements that do not hold, of the payment and of the credit that it had left."""
    applied: tuple[Settlement, ...] = ()
    """What of the member's credit settled before still holds."""
    dues: tuple[Due, ...] = ()
    """All that the member owes afterwards, when something is undone."""
    gone_back: Minor = 0
    """After the round's end: what of its credit had gone back to the member, or paid what it owes elsewhere. That is owed too."""
    carried: Amounts = Field(default_factory=dict)
    """After the end of a round that did not say so: in which proportion members bear what was spent, from now on."""


class CallReopened(Event):
    """Somebody owes on the call again: its ladder goes on from this stage."""

    kind: Literal["call_reopened"] = "call_reopened"
    call: CallNumber
    stage: Stage


class ReversalTurnedAway(Event):
    """The bank took back a payment that is not booked here; should it still come, it is not taken."""

    kind: Literal["reversal_turned_away"] = "reversal_turned_away"
    reference: BankReference
    original: BankReference


class CallReminded(Event):
    """Who had not paid was reminded."""

    kind: Literal["call_reminded"] = "call_reminded"
    call: CallNumber


class CallOverdue(Event):
    """The due day is over, and this much was missing."""

    kind: Literal["call_overdue"] = "call_overdue"
    call: CallNumber
    unpaid: Minor


class CallWarned(Event):
    """Who is overdue was warned of the default."""

    kind: Literal["call_warned"] = "call_warned"
    call: CallNumber


class CallDefaulted(Event):
    """The cure period is over, and this much is missing."""

    kind: Literal["call_defaulted"] = "call_defaulted"
    call: CallNumber
    unpaid: Minor


class CallCleared(Event):
    """Nobody owes anything on the call any more but interest, which the next call asks for."""

    kind: Literal["call_cleared"] = "call_cleared"
    call: CallNumber


class MemberDefaulted(Event):
    """A member is in default: nothing more is expected of its commitment."""

    kind: Literal["member_defaulted"] = "member_defaulted"
    member: MemberId
    call: CallNumber


class DefaultCured(Event):
    """Nothing is overdue of the member any more; its commitment stands again as far as it is left."""

    kind: Literal["default_cured"] = "default_cured"
    member: MemberId


class InterestShared(Event):
    """Interest that came in for a tranche is credited to those who paid it in time."""

    kind: Literal["interest_shared"] = "interest_shared"
    call: CallNumber
    credits: Amounts


class InKindDelivered(Event):
    """A member says that it delivered; worth this by the rate card, once accepted."""

    kind: Literal["in_kind_delivered"] = "in_kind_delivered"
    member: MemberId
    item: Slug
    quantity: Quantity
    evidence: Digest
    rate: Minor
    rate_card: int
    value: Minor
    delivered_on: date


class InKindAccepted(Event):
    """A delivery counts as paid: it settles dues first, then what is not called yet."""

    kind: Literal["in_kind_accepted"] = "in_kind_accepted"
    member: MemberId
    evidence: Digest
    by: PersonId
    value: Minor
    """What counts, at most what the member still had to bring."""
    settled: tuple[Settlement, ...]
    dues: tuple[Due, ...]


class InKindRejected(Event):
    """A delivery does not count."""

    kind: Literal["in_kind_rejected"] = "in_kind_rejected"
    member: MemberId
    evidence: Digest
    by: PersonId
    reason: Prose


class LateJoinerCommitted(Event):
    """A member committed after the close."""

    kind: Literal["late_joiner_committed"] = "late_joiner_committed"
    member: MemberId
    amount: Minor


class CommitmentTakenOver(Event):
    """A member stands in for a part of a defaulted commitment; the defaulter owes that part no longer."""

    kind: Literal["commitment_taken_over"] = "commitment_taken_over"
    member: MemberId
    defaulter: MemberId
    amount: Minor
    settled: tuple[Settlement, ...]
    """What of it had been called from the defaulter."""
    dues: tuple[Due, ...]
    """What the defaulter owes afterwards."""


class LeaverBound(Event):
    """The commitment of a member that leaves binds it until then; `None`: it does not leave any more."""

    kind: Literal["leaver_bound"] = "leaver_bound"
    member: MemberId
    until: BoundUntil | None


class LeavingCharged(Event):
    """A member whose commitment ended because it leaves is called for a part of what ended."""

    kind: Literal["leaving_charged"] = "leaving_charged"
    call: CallNumber
    pool: CallNumber
    """The call whose punctual payers receive the interest."""
    member: MemberId
    amount: Minor
    schedule: Schedule


class CommitmentReleased(Event):
    """A member's uncalled commitment ended; what was called stays owed, unless the charter forgives it."""

    kind: Literal["commitment_released"] = "commitment_released"
    member: MemberId
    cause: Literal["exit", "leaving"]
    uncalled: Minor
    settled: tuple[Settlement, ...] = ()
    """What is forgiven of what was called."""
    dues: tuple[Due, ...] = ()
    """What the member owes afterwards."""


class MinimumLost(Event):
    """Cleared and still expected money fell below the minimum; without a decision by then the round is cancelled."""

    kind: Literal["minimum_lost"] = "minimum_lost"
    sound: Minor
    minimum: Minor
    decide_by: Instant


class MinimumRestored(Event):
    """Cleared and still expected money reaches the minimum again."""

    kind: Literal["minimum_restored"] = "minimum_restored"
    sound: Minor


class GoalReduced(Event):
    """The round goes on with a smaller goal and budget."""

    kind: Literal["goal_reduced"] = "goal_reduced"
    goal: Minor
    minimum: Minor
    budget: tuple[Minor, ...]
    """What each line may cost, in the order of the terms."""
    cancelled: Amounts = Field(default_factory=dict)
    """What of each commitment will not be called any more."""


class SpendingProposed(Event):
    """Cleared money is reserved for a payee."""

    kind: Literal["spending_proposed"] = "spending_proposed"
    spending: Slug
    line: Name
    amount: Minor
    payee: Name
    by: PersonId


class SpendingApproved(Event):
    """A second person signed."""

    kind: Literal["spending_approved"] = "spending_approved"
    spending: Slug
    by: PersonId


class SpendingWithdrawn(Event):
    """The reserved money is free again."""

    kind: Literal["spending_withdrawn"] = "spending_withdrawn"
    spending: Slug


class SpendingPaid(Event):
    """The reserved money left the account."""

    kind: Literal["spending_paid"] = "spending_paid"
    spending: Slug
    reference: BankReference


class SpendingReturned(Event):
    """What was paid is on the account again, and reserved."""

    kind: Literal["spending_returned"] = "spending_returned"
    spending: Slug
    reference: BankReference


class RoundSettled(Event):
    """The round is over; unspent money is the members' credit again, in proportion to what each paid in."""

    kind: Literal["round_settled"] = "round_settled"
    returns: Amounts
    owed: Mapping[MemberId, tuple[Due, ...]] = Field(default_factory=dict)
    """What members still owe: interest that was carried."""
    on: date | None = None
    """The day; not known under rules before 6."""


class RoundCancelled(Event):
    """The round is given up; what is held is the members' credit again, in proportion to what each paid in."""

    kind: Literal["round_cancelled"] = "round_cancelled"
    cause: Literal["decision", "shortfall", "silence"]
    returns: Amounts
    carried: Amounts = Field(default_factory=dict)
    """In which proportion members bear what was spent; by the cash that they paid in where it is left out, as under rules before 6."""
    owed: Mapping[MemberId, tuple[Due, ...]] = Field(default_factory=dict)
    """What members still owe of their share of what was spent, and the interest that ran up."""
    on: date | None = None
    """The day; not known under rules before 6."""


class ShareReduced(Event):
    """After the round's end less was spent than it seemed: of its share a member owes so much less."""

    kind: Literal["share_reduced"] = "share_reduced"
    member: MemberId
    settled: tuple[Settlement, ...]
    """What of it is owed no more."""
    dues: tuple[Due, ...]
    """What the member owes afterwards."""


class SurplusReturned(Event):
    """After the round's end more is the members' credit, since a payment was given up; or less, since one of theirs was taken back."""

    kind: Literal["surplus_returned"] = "surplus_returned"
    returns: Amounts


class RefundOrdered(Event):
    """A part of a member's credit is on its way back."""

    kind: Literal["refund_ordered"] = "refund_ordered"
    payment: Slug
    member: MemberId
    amount: Minor


class RefundsOrdered(Event):
    """These refunds, which were ordered with it, are on one list that people approve at the treasury."""

    kind: Literal["refunds_ordered"] = "refunds_ordered"
    order: Annotated[int, Field(ge=1)]
    """Orders of one round are numbered from 1."""
    payment_list: Slug
    payments: tuple[Slug, ...]
    by: PersonId
    standing: bool = False
    """Whether the standing order gave it, and no person."""


class RefundMade(Event):
    """A part of a member's credit went back to it."""

    kind: Literal["refund_made"] = "refund_made"
    member: MemberId
    amount: Minor
    reference: BankReference
    payment: Slug | None = None
    """By which order; none where it was recorded without one."""


class RefundReturned(Event):
    """A refund is on the account again, still on its way."""

    kind: Literal["refund_returned"] = "refund_returned"
    payment: Slug
    member: MemberId
    amount: Minor
    reference: BankReference


class RefundReleased(Event):
    """A refund was given up: it is the member's credit again."""

    kind: Literal["refund_released"] = "refund_released"
    payment: Slug
    member: MemberId
    amount: Minor
    reason: Prose = ""
    """As the treasury says; empty under rules before 5."""


class DutyAwaited(Event):
    """A duty is waited for, for so long; waited for anew when somebody acted."""

    kind: Literal["duty_awaited"] = "duty_awaited"
    watch: Watch


class DutyPassed(Event):
    """Nobody acted on a duty: it passed to the holders of this office too, who have so long."""

    kind: Literal["duty_passed"] = "duty_passed"
    to: Office
    watch: Watch


class DutyTaken(Event):
    """A person says that they see to it."""

    kind: Literal["duty_taken"] = "duty_taken"
    duty: Duty
    by: PersonId


class StandingRefundsSigned(Event):
    """One more person approves that the refunds are ordered and paid by themselves, when nobody orders them."""

    kind: Literal["standing_refunds_signed"] = "standing_refunds_signed"
    by: PersonId


class StandingRefundsApproved(Event):
    """With this one enough people approve it: the standing refund order of the round stands."""

    kind: Literal["standing_refunds_approved"] = "standing_refunds_approved"
    by: PersonId


class StandingRefundsRevoked(Event):
    """The standing refund order does not stand any more, nor does what was signed of it."""

    kind: Literal["standing_refunds_revoked"] = "standing_refunds_revoked"
    by: PersonId


class RoundClosedWithDebts(Event):
    """Nobody wound the round up: it ends with these debts, which are asked for again."""

    kind: Literal["round_closed_with_debts"] = "round_closed_with_debts"
    debts: tuple[Debt, ...]
    ask_at: Instant


class DebtsAskedFor(Event):
    """What is still owed of the round was asked for again."""

    kind: Literal["debts_asked_for"] = "debts_asked_for"
    debts: tuple[Debt, ...]
    ask_at: Instant
    """When it is asked for the next time."""


class CreditSetOff(Event):
    """So much of a member's credit pays what it owes on another stream. Nothing, when nothing was payable any more."""

    kind: Literal["credit_set_off"] = "credit_set_off"
    member: MemberId
    debtor: Source
    number: SetOffNumber
    amount: Minor


class SetOffDeferred(Event):
    """Nothing is payable to the member while a refund to it is on its way: what is asked for its debt waits until that is made or given up."""

    kind: Literal["set_off_deferred"] = "set_off_deferred"
    member: MemberId
    debtor: Source
    number: SetOffNumber
    amount: Minor


class CreditRestored(Event):
    """The member owed less than was set off: so much is its credit again."""

    kind: Literal["credit_restored"] = "credit_restored"
    member: MemberId
    debtor: Source
    number: SetOffNumber
    amount: Minor


class RoundClosed(Event):
    """Nothing is held any more."""

    kind: Literal["round_closed"] = "round_closed"


class RoundReopened(Event):
    """Money came back after the round had closed: it is on the account for this round again."""

    kind: Literal["round_reopened"] = "round_reopened"


# ---------------------------------------------------------------- by topic

RegisterFact = (
    CommitmentBound
    | CommitmentKept
    | DebtStated
    | CreditStated
    | ContributionCleared
    | ContributionReturned
    | BankReferenceUsed
    | PaymentExpected
    | EvidenceUsed
)
"""What a round states for all processes."""

PledgingEvent = (
    RoundOpened
    | RoundWithdrawn
    | PledgingStarted
    | PledgeMade
    | PledgeWithdrawn
    | MinimumMissed
    | RoundExtended
    | RoundFailed
    | PledgesAllocated
)
"""From the announcement to the close."""

CallEvent = TrancheCalled | MakeUpCalled | CatchUpCalled | LeavingCharged
"""Members owe more."""

PhaseEvent = (
    MinimumLost | MinimumRestored | RoundSettled | RoundCancelled | RoundClosedWithDebts | DebtsAskedFor | RoundClosed | RoundReopened
)
"""A round that has books goes on to another phase."""

PaymentEvent = PaymentRecorded | CreditApplied | PaymentReversed | ReversalTurnedAway | InterestShared | MakeUpReduced
"""Money of the members came, went or was shared."""

LadderEvent = CallReminded | CallOverdue | CallWarned | CallDefaulted | CallCleared | CallReopened | MemberDefaulted | DefaultCured
"""A call went on, and who does not pay it."""

CommitmentEvent = TrancheReleased | LateJoinerCommitted | CommitmentTakenOver | LeaverBound | CommitmentReleased | GoalReduced
"""What may be called, and of whom."""

InKindEvent = InKindDelivered | InKindAccepted | InKindRejected
"""Deliveries in place of money."""

SpendingEvent = SpendingProposed | SpendingApproved | SpendingWithdrawn | SpendingPaid | SpendingReturned
"""Money goes to payees."""

RefundEvent = SurplusReturned | ShareReduced | RefundOrdered | RefundsOrdered | RefundMade | RefundReturned | RefundReleased
"""Credit goes back to the members."""

DutyEvent = DutyAwaited | DutyPassed | DutyTaken
"""Who has to act next, and until when."""

StandingEvent = StandingRefundsSigned | StandingRefundsApproved | StandingRefundsRevoked
"""What is approved beforehand for a time when nobody orders the refunds: in every phase before the end."""

SetOffEvent = CreditSetOff | SetOffDeferred | CreditRestored
"""Credit pays what members owe elsewhere."""

BooksEvent = PaymentEvent | LadderEvent | CommitmentEvent | InKindEvent | SpendingEvent | RefundEvent | DutyEvent | SetOffEvent
"""What changes the books and not the phase."""

RoundEvent = RegisterFact | PledgingEvent | CallEvent | PhaseEvent | BooksEvent | StandingEvent
