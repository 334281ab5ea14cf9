"""What a funding round can be asked for. Amounts are minor units of the charter's currency."""

from __future__ import annotations

from datetime import date
from typing import Literal

from domain import letters
from domain.charter import Office
from domain.kernel import Command, Digest, Due, MemberId, Name, Prose, Slug
from domain.letters import PayeeId, TrancheNumber
from domain.money import Amount, Currency
from domain.round.terms import CallNumber, Duty, ProposalStream, Quantity, Terms


class OpenRound(Terms, Command):
    """Announce a round; pledging starts at `opens_at`. By the secretariat or the treasurer."""

    kind: Literal["open_round"] = "open_round"


class AmendRound(Terms, Command):
    """Announce other terms before pledging starts. By the secretariat or the treasurer."""

    kind: Literal["amend_round"] = "amend_round"


class WithdrawRound(Command):
    """Take the announcement back before pledging starts. By the secretariat or the treasurer."""

    kind: Literal["withdraw_round"] = "withdraw_round"


class StartPledging(Due):
    """The opening instant came."""

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


class ClosePledging(Due):
    """The closing instant came."""

    kind: Literal["close_pledging"] = "close_pledging"


class ExtendRound(Command):
    """Take pledges again, once. By a passed proposal."""

    kind: Literal["extend_round"] = "extend_round"


class FailRound(Due):
    """Release the pledges of a round that missed its minimum. When no vote extended it: by the proposal, or when its time is over."""

    kind: Literal["fail_round"] = "fail_round"


class ReduceGoal(Command):
    """Go on with a smaller run. By a passed proposal; for a shortfall only while there is one."""

    kind: Literal["reduce_goal"] = "reduce_goal"
    goal: Amount
    minimum: Amount
    cause: Literal["decision", "shortfall"] = "decision"


class CancelRound(Due):
    """End the round and give back what is held. By a passed proposal; for a shortfall also when the time to vote is over."""

    kind: Literal["cancel_round"] = "cancel_round"
    cause: Literal["decision", "shortfall"] = "decision"


class SettleRound(Command):
    """End the round after its last call: the surplus goes back. By the treasurer."""

    kind: Literal["settle_round"] = "settle_round"


class CallTranche(Command):
    """Call the next tranche on every commitment. By the treasurer."""

    kind: Literal["call_tranche"] = "call_tranche"
    tranche: TrancheNumber
    due: date | None = None
    """The earliest day that the charter's notice allows, when left out."""


class RemindBeforeDue(Due):
    """A call is due soon."""

    kind: Literal["remind_before_due"] = "remind_before_due"
    call: CallNumber


class MarkOverdue(Due):
    """The due day is over: interest runs."""

    kind: Literal["mark_overdue"] = "mark_overdue"
    call: CallNumber


class RemindOverdue(Due):
    """The cure period is running out."""

    kind: Literal["remind_overdue"] = "remind_overdue"
    call: CallNumber


class DeclareDefault(Due):
    """The cure period is over: who still owes is in default."""

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


class ApproveStandingRefunds(Command):
    """Approve that the refunds are ordered and paid by themselves, to payees whose bank details are approved, when nobody orders them after the end.

    By as many different holders of the charter's approval offices as sign a payment, before the round ends.
    """

    kind: Literal["approve_standing_refunds"] = "approve_standing_refunds"


class RevokeStandingRefunds(Command):
    """Take the standing refund order back, and what was signed of it. By a holder of the charter's approval offices."""

    kind: Literal["revoke_standing_refunds"] = "revoke_standing_refunds"


class OrderStandingRefunds(Due):
    """Nobody ordered the refunds in the charter's time: the standing order does."""

    kind: Literal["order_standing_refunds"] = "order_standing_refunds"


class TakeDuty(Command):
    """See to what the round waits for: whoever it passed to has their time anew. By who holds the duty, or will hold it next."""

    kind: Literal["take_duty"] = "take_duty"
    duty: Duty


class PassDuty(Due):
    """Nobody acted on a duty in their time: it passes to the next office."""

    kind: Literal["pass_duty"] = "pass_duty"
    duty: Duty
    to: Office


class EndInSilence(Due):
    """Nobody is left to whom the duty could pass: the round is cancelled; one that is over already is closed with its debts."""

    kind: Literal["end_in_silence"] = "end_in_silence"


class AskForDebts(Due):
    """Time to ask again for what is left of a round that was closed with debts."""

    kind: Literal["ask_for_debts"] = "ask_for_debts"


RoundCommand = (
    OpenRound
    | AmendRound
    | WithdrawRound
    | StartPledging
    | Pledge
    | WithdrawPledge
    | ClosePledging
    | ExtendRound
    | FailRound
    | ReduceGoal
    | CancelRound
    | SettleRound
    | letters.ReleaseTranche
    | CallTranche
    | letters.RecordPayment
    | letters.ReversePayment
    | RemindBeforeDue
    | MarkOverdue
    | RemindOverdue
    | DeclareDefault
    | DeliverInKind
    | AcceptInKind
    | RejectInKind
    | JoinLate
    | TakeOver
    | ExitRound
    | letters.ReleaseLeaver
    | letters.KeepMember
    | ProposeSpending
    | ApproveSpending
    | WithdrawSpending
    | letters.RecordSpending
    | letters.ReturnSpending
    | letters.ReleaseSpending
    | OrderRefund
    | OrderRefunds
    | ApproveStandingRefunds
    | RevokeStandingRefunds
    | OrderStandingRefunds
    | TakeDuty
    | PassDuty
    | EndInSilence
    | AskForDebts
    | letters.RecordRefund
    | letters.ReturnRefund
    | letters.ReleaseRefund
    | letters.SetOffCredit
    | letters.RestoreCredit
)
