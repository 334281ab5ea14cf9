"""What a funding round is told and what is stored of it for ever: its commands and its events.

Amounts are minor units of the charter's currency. Every amount that was decided is in the event that decided it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from domain.forms import Form
from domain.kernel import SLUG, BasisPoints, Command, Digest, Event, Instant, MemberId, Message, Name, PersonId, Prose, Slug
from domain.money import Amount, Currency, Minor
from domain.register import (
    BankReference,
    BankReferenceUsed,
    CommitmentBound,
    ContributionCleared,
    ContributionReturned,
    DebtStated,
    EvidenceUsed,
    PaymentExpected,
)

TrancheNumber = Annotated[int, Field(ge=1, le=50)]
"""Tranches are numbered from 1 in the order in which they are called."""

CallNumber = Annotated[int, Field(ge=1)]
"""Calls of one round are numbered from 1: of tranches, make-up calls and catch-up calls alike."""

Quantity = Annotated[int, Field(ge=1, le=10**9)]
PayeeId = Annotated[str, Field(pattern=rf"^(member:)?{SLUG}$", max_length=72), Form("a supplier's handle, or member:<id>", "gpu-cloud")]
"""Who is paid, as the treasury knows it: a supplier's handle, or `member:<id>`."""

ProposalStream = Annotated[str, Field(pattern=r"^proposal/[a-z0-9-]{1,64}$"), Form("a proposal's stream", "proposal/smaller-run")]

# ---------------------------------------------------------------- terms


class BudgetLine(Message):
    """What a part of the money is for."""

    name: Name
    amount: Amount


class Tranche(Message):
    """A part of every commitment, called once its milestone is accepted."""

    name: Name
    fraction: Annotated[BasisPoints, Field(gt=0)]
    """Of every commitment."""
    milestone: Slug | None = None
    """The milestone of the round's run that releases it; only the first tranche may do without."""


class Terms(Message):
    """What the members pledge to."""

    title: Name
    text: Prose = ""
    """What the money is for."""
    currency: Currency
    """The charter's."""
    goal: Amount
    """What is to be raised in all."""
    minimum: Amount
    """Below it nothing is committed, and nothing stays committed."""
    opens_at: Instant
    """From when on members pledge."""
    closes_at: Instant
    """When pledges are counted, and the goal is shared out."""
    run: Slug | None = None
    """The run whose milestones release the tranches."""
    budget: Annotated[tuple[BudgetLine, ...], Field(min_length=1, max_length=100)]
    """What the goal is spent on: the lines sum to it."""
    tranches: Annotated[tuple[Tranche, ...], Field(min_length=1, max_length=50)]
    """The parts in which commitments are called: the fractions sum to 10,000."""


# ---------------------------------------------------------------- commands: the round


class OpenRound(Terms, Command):
    """Announce a round; pledging starts at `opens_at`. By the secretariat or the treasurer."""

    kind: Literal["open_round"] = "open_round"


class AmendRound(Terms, Command):
    """Announce other terms before pledging starts. By the secretariat or the treasurer."""

    kind: Literal["amend_round"] = "amend_round"


class WithdrawRound(Command):
    """Take the announcement back before pledging starts. By the secretariat or the treasurer."""

    kind: Literal["withdraw_round"] = "withdraw_round"


class StartPledging(Command):
    """The opening instant came. By the service."""

    kind: Literal["start_pledging"] = "start_pledging"


class Pledge(Command):
    """Promise an amount, in place of any former pledge. By a representative of an active member."""

    kind: Literal["pledge"] = "pledge"
    member: MemberId
    amount: Amount
    currency: Currency | None = None
    """The charter's when left out."""
    if_total_at_least: Amount | None = None
    """The pledge counts only if the pledges that count reach this total."""
    condition: Prose = ""
    """What the member says about it; it binds nobody."""


class WithdrawPledge(Command):
    """Take the pledge back: pledges are conditional until the close. By a representative."""

    kind: Literal["withdraw_pledge"] = "withdraw_pledge"
    member: MemberId


class ClosePledging(Command):
    """The closing instant came. By the service."""

    kind: Literal["close_pledging"] = "close_pledging"


class ExtendRound(Command):
    """Take pledges again, once. By a passed proposal."""

    kind: Literal["extend_round"] = "extend_round"


class FailRound(Command):
    """Release the pledges of a round that missed its minimum. When no vote extended it: by the proposal, or when its time is over."""

    kind: Literal["fail_round"] = "fail_round"


class ReduceGoal(Command):
    """Go on with a smaller run. By a passed proposal; for a shortfall only while there is one."""

    kind: Literal["reduce_goal"] = "reduce_goal"
    goal: Amount
    minimum: Amount
    cause: Literal["decision", "shortfall"] = "decision"


class CancelRound(Command):
    """End the round and give back what is held. By a passed proposal; for a shortfall also when the time to vote is over."""

    kind: Literal["cancel_round"] = "cancel_round"
    cause: Literal["decision", "shortfall"] = "decision"


class SettleRound(Command):
    """End the round after its last call: the surplus goes back. By the treasurer."""

    kind: Literal["settle_round"] = "settle_round"


# ---------------------------------------------------------------- commands: calls and money


class ReleaseTranche(Command):
    """The milestone was accepted. By the round's run, which names itself and the milestone; by the board while there is no run."""

    kind: Literal["release_tranche"] = "release_tranche"
    tranche: TrancheNumber
    run: Slug | None = None
    milestone: Slug | None = None
    evidence: Digest | None = None


class CallTranche(Command):
    """Call the next tranche on every commitment. By the treasurer."""

    kind: Literal["call_tranche"] = "call_tranche"
    tranche: TrancheNumber
    due: date | None = None
    """The earliest day that the charter's notice allows, when left out."""


class RecordPayment(Command):
    """Money of a member arrived. It settles the oldest call first; what is left over is the member's credit. By the treasury process."""

    kind: Literal["record_payment"] = "record_payment"
    member: MemberId
    amount: Amount
    currency: Currency | None = None
    reference: BankReference
    value_date: date


class ReversePayment(Command):
    """The bank took a member's payment back: credit shrinks first, and what it had settled is called again. By the treasury process."""

    kind: Literal["reverse_payment"] = "reverse_payment"
    member: MemberId
    amount: Amount
    reference: BankReference
    """Of the movement that took it back."""
    original: BankReference


class RemindBeforeDue(Command):
    """A call is due soon. By the service."""

    kind: Literal["remind_before_due"] = "remind_before_due"
    call: CallNumber


class MarkOverdue(Command):
    """The due day is over: interest runs. By the service."""

    kind: Literal["mark_overdue"] = "mark_overdue"
    call: CallNumber


class RemindOverdue(Command):
    """The cure period is running out. By the service."""

    kind: Literal["remind_overdue"] = "remind_overdue"
    call: CallNumber


class DeclareDefault(Command):
    """The cure period is over: who still owes is in default. By the service."""

    kind: Literal["declare_default"] = "declare_default"
    call: CallNumber


class DeliverInKind(Command):
    """Say what was delivered in place of money. By a representative."""

    kind: Literal["deliver_in_kind"] = "deliver_in_kind"
    member: MemberId
    item: Slug
    """A kind of the charter's rate card."""
    quantity: Quantity
    evidence: Digest


class AcceptInKind(Command):
    """Confirm a delivery: from here on it counts as paid. By the secretariat or the treasurer, nobody of that member."""

    kind: Literal["accept_in_kind"] = "accept_in_kind"
    evidence: Digest


class RejectInKind(Command):
    """Turn a delivery down; final for this evidence. By the secretariat or the treasurer, nobody of that member."""

    kind: Literal["reject_in_kind"] = "reject_in_kind"
    evidence: Digest
    reason: Prose


class JoinLate(Command):
    """Commit after the close and pay in as if early. By a representative of an active member that is not in the round."""

    kind: Literal["join_late"] = "join_late"
    member: MemberId
    amount: Amount


class TakeOver(Command):
    """Stand in for a defaulted commitment, or a part of it. By a representative of an active member."""

    kind: Literal["take_over"] = "take_over"
    member: MemberId
    defaulter: MemberId
    amount: Amount


class ExitRound(Command):
    """Leave before a decision that the member opposed takes effect. By a representative."""

    kind: Literal["exit_round"] = "exit_round"
    member: MemberId
    proposal: ProposalStream


class ReleaseLeaver(Command):
    """The member leaves the consortium. By the membership process."""

    kind: Literal["release_leaver"] = "release_leaver"
    member: MemberId


class ProposeSpending(Command):
    """Reserve cleared money for a payee under a budget line. By the treasurer."""

    kind: Literal["propose_spending"] = "propose_spending"
    spending: Slug
    line: Name
    amount: Amount
    payee: PayeeId


class ApproveSpending(Command):
    """The second signature: the payment is ordered from the treasury. By a second signatory who did not propose it."""

    kind: Literal["approve_spending"] = "approve_spending"
    spending: Slug


class WithdrawSpending(Command):
    """Free what was reserved and not ordered. By the treasurer."""

    kind: Literal["withdraw_spending"] = "withdraw_spending"
    spending: Slug


class RecordSpending(Command):
    """The approved amount left the account. By the treasury process."""

    kind: Literal["record_spending"] = "record_spending"
    spending: Slug
    reference: BankReference


class ReturnSpending(Command):
    """What was paid came back to the account: it is reserved again. By the treasury process."""

    kind: Literal["return_spending"] = "return_spending"
    spending: Slug
    reference: BankReference


class ReleaseSpending(Command):
    """The payment is given up: what was reserved is free. By the treasury process."""

    kind: Literal["release_spending"] = "release_spending"
    spending: Slug
    reason: Prose = ""


class OrderRefund(Command):
    """Give a part of a member's credit back: the payment is ordered from the treasury. By the treasurer."""

    kind: Literal["order_refund"] = "order_refund"
    refund: Slug
    member: MemberId
    amount: Amount | None = None
    """All of the credit when left out."""


class OrderRefunds(Command):
    """Give all credit back: a refund of each member's credit, ordered from the treasury as one list. By the treasurer.

    What of it turned out not to be possible is credit again, and is ordered again in the same way.
    """

    kind: Literal["order_refunds"] = "order_refunds"


class RecordRefund(Command):
    """A refund left the account. By the treasury process."""

    kind: Literal["record_refund"] = "record_refund"
    payment: Slug
    member: MemberId
    amount: Amount
    reference: BankReference


class ReturnRefund(Command):
    """A refund came back to the account: it is on its way again, or will be given up. By the treasury process."""

    kind: Literal["return_refund"] = "return_refund"
    payment: Slug
    member: MemberId
    amount: Amount
    reference: BankReference


class ReleaseRefund(Command):
    """The refund is given up: it is the member's credit again. By the treasury process."""

    kind: Literal["release_refund"] = "release_refund"
    payment: Slug
    member: MemberId
    amount: Amount
    reason: Prose = ""


FundingCommand = (
    OpenRound | AmendRound | WithdrawRound | StartPledging | Pledge | WithdrawPledge | ClosePledging | ExtendRound | FailRound | ReduceGoal
    | CancelRound | SettleRound | ReleaseTranche | CallTranche | RecordPayment | ReversePayment | RemindBeforeDue | MarkOverdue | RemindOverdue
    | DeclareDefault | DeliverInKind | AcceptInKind | RejectInKind | JoinLate | TakeOver | ExitRound | ReleaseLeaver | ProposeSpending
    | ApproveSpending | WithdrawSpending | RecordSpending | ReturnSpending | ReleaseSpending | OrderRefund | OrderRefunds | RecordRefund
    | ReturnRefund | ReleaseRefund
)  # fmt: skip

# ---------------------------------------------------------------- parts of events


class Due(Message):
    """What a member still owes on a call."""

    call: CallNumber
    pool: CallNumber
    """The tranche's call whose punctual payers receive the interest."""
    principal: Minor
    interest: Minor
    accrued_to: date
    """Up to which day the interest is reckoned."""


class Settlement(Message):
    """By how much a due got smaller."""

    call: CallNumber
    pool: CallNumber
    principal: Minor
    interest: Minor = 0
    in_time: bool = False
    """Whether the value date lies on or before the due day."""
    accrued_to: date | None = None
    """Up to which day its interest was reckoned; the due day where it is left out."""

    @property
    def total(self) -> int:
        """Principal and interest."""
        return self.principal + self.interest


class Schedule(Message):
    """When a call is reminded of, due, overdue and in default."""

    due_on: date
    """A business day; the call can be paid until its end."""
    remind_at: Instant
    due_at: Instant
    warn_at: Instant
    cure_ends_at: Instant


class Purpose(StrEnum):
    """Why members are called."""

    TRANCHE = "tranche"
    MAKE_UP = "make-up"
    CATCH_UP = "catch-up"


class Stage(StrEnum):
    """How far a call's ladder has come; each stage waits for the next instant of the schedule."""

    NOTIFIED = "notified"
    REMINDED = "reminded"
    OVERDUE = "overdue"
    WARNED = "warned"
    DEFAULTED = "defaulted"
    CLEARED = "cleared"


Amounts = Mapping[MemberId, Minor]

# ---------------------------------------------------------------- events


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
    """Members owe more than they committed, in the stead of those who did not pay the call `pool`."""

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
    """The bank took a member's payment back: what it had settled is owed again, and what of it was credit is gone."""

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
    """Nobody owes anything on the call."""

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


class RoundCancelled(Event):
    """The round is given up; what is held is the members' credit again, in proportion to what each paid in."""

    kind: Literal["round_cancelled"] = "round_cancelled"
    cause: Literal["decision", "shortfall"]
    returns: Amounts


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


class RoundClosed(Event):
    """Nothing is held any more."""

    kind: Literal["round_closed"] = "round_closed"


class RoundReopened(Event):
    """Money came back after the round had closed: it is on the account for this round again."""

    kind: Literal["round_reopened"] = "round_reopened"


RegisterFact = (
    CommitmentBound | DebtStated | ContributionCleared | ContributionReturned | BankReferenceUsed | PaymentExpected | EvidenceUsed
)
"""What a round tells everybody."""

FundingEvent = (
    RoundOpened | RoundWithdrawn | PledgingStarted | PledgeMade | PledgeWithdrawn | MinimumMissed | RoundExtended | RoundFailed
    | PledgesAllocated | TrancheReleased | TrancheCalled | MakeUpCalled | CatchUpCalled | CreditApplied | PaymentRecorded | PaymentReversed
    | ReversalTurnedAway | CallReopened | CallReminded
    | CallOverdue | CallWarned | CallDefaulted | CallCleared | MemberDefaulted | DefaultCured | InterestShared | InKindDelivered
    | InKindAccepted | InKindRejected | LateJoinerCommitted | CommitmentTakenOver | CommitmentReleased | MinimumLost | MinimumRestored
    | GoalReduced | SpendingProposed | SpendingApproved | SpendingWithdrawn | SpendingPaid | SpendingReturned | RoundSettled | RoundCancelled
    | SurplusReturned | RefundOrdered | RefundsOrdered | RefundMade | RefundReturned | RefundReleased | RoundClosed | RoundReopened
    | RegisterFact
)  # fmt: skip
