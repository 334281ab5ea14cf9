"""What a funding round does to the books. R is the round, S its stream, M a member.

| fact | from | to |
| --- | --- | --- |
| payment_recorded | Income:Rounds:R:M, Liabilities:Interest:R, Liabilities:Credit:M:R | Liabilities:In-transit:S |
| credit_applied | Income:Rounds:R:M, Liabilities:Interest:R | Liabilities:Credit:M:R |
| payment_reversed | Liabilities:In-transit:S | Liabilities:Credit:M:R, Liabilities:Interest:R, Income:Rounds:R:M |
| interest_shared | Liabilities:Credit:M:R | Liabilities:Interest:R |
| make_up_reduced | Liabilities:Credit:M:R | Income:Rounds:R:M |
| in_kind_accepted | Income:In-kind:R:M | Expenses:In-kind:R |
| spending_paid; spending_returned: the reverse | Liabilities:In-transit:S | Expenses:Rounds:R:Line |
| round_settled, round_cancelled, surplus_returned | Liabilities:Credit:M:R | Income:Rounds:R:M |
| refund_ordered; refund_released: the reverse | Liabilities:Refunds:M:R | Liabilities:Credit:M:R |
| credit_set_off; credit_restored: the reverse | Liabilities:Set-off:M | Liabilities:Credit:M:R |
| refund_made; refund_returned: the reverse | Liabilities:In-transit:S | Liabilities:Refunds:M:R |

A refund that was made without an order comes from Liabilities:Credit:M:R. An order of many refunds moves nothing by itself:
each refund of it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.ledger.books import Account, Posting, credit, in_transit, moved, part, setting_off
from domain.kernel import slug_of
from domain.round import events
from domain.round.terms import Settlement

MovesNothing = (
    events.RoundOpened
    | events.RoundWithdrawn
    | events.PledgingStarted
    | events.PledgeMade
    | events.PledgeWithdrawn
    | events.MinimumMissed
    | events.RoundExtended
    | events.RoundFailed
    | events.PledgesAllocated
    | events.TrancheReleased
    | events.TrancheCalled
    | events.MakeUpCalled
    | events.CatchUpCalled
    | events.LeavingCharged
    | events.LeaverBound
    | events.ReversalTurnedAway
    | events.CallReopened
    | events.CallReminded
    | events.CallOverdue
    | events.CallWarned
    | events.CallDefaulted
    | events.CallCleared
    | events.MemberDefaulted
    | events.DefaultCured
    | events.InKindDelivered
    | events.InKindRejected
    | events.LateJoinerCommitted
    | events.CommitmentTakenOver
    | events.CommitmentReleased
    | events.MinimumLost
    | events.MinimumRestored
    | events.GoalReduced
    | events.SpendingProposed
    | events.SpendingApproved
    | events.SpendingWithdrawn
    | events.RefundsOrdered
    | events.ShareReduced
    | events.DutyEvent
    | events.StandingEvent
    | events.RoundClosedWithDebts
    | events.DebtsAskedFor
    | events.SetOffDeferred
    | events.RoundClosed
    | events.RoundReopened
    | events.RegisterFact
)
"""Facts by which no money moves. The type checker names an event that is neither here nor in `Rounds.postings`."""


class Rounds:
    """Books what rounds state."""

    def __init__(self) -> None:
        self._currencies: dict[str, str] = {}
        """Of each round."""
        self._spendings: dict[tuple[str, str], tuple[str, int]] = {}
        """The budget line and amount of each spending of each round."""

    def postings(self, stream: str, event: events.RoundEvent, currency: str) -> Sequence[Posting]:
        """See `Bookkeeper.postings`."""
        if isinstance(event, MovesNothing):
            self._learn(stream, event)
            return ()
        here, transit, currency = slug_of(stream), in_transit(stream), self._currencies.get(stream, currency)
        match event:
            case events.PaymentRecorded():
                return _paid_in(here, transit, event, currency)
            case events.CreditApplied(member=member, settled=settled):
                principal, late = _sums(settled)
                return (
                    *moved(contribution(here, member), credit(member, here), principal, currency),
                    *moved(interest(here), credit(member, here), late, currency),
                )
            case events.PaymentReversed():
                return _taken_back(here, transit, event, currency)
            case events.InterestShared(credits=credits):
                return tuple(each for member in credits for each in moved(credit(member, here), interest(here), credits[member], currency))
            case events.MakeUpReduced(repaid=repaid):
                return tuple(
                    each
                    for member, parts in repaid.items()
                    for each in moved(credit(member, here), contribution(here, member), _sums(parts)[0], currency)
                )
            case events.InKindAccepted(member=member, value=value):
                return moved(f"Income:In-kind:{part(here)}:{part(member)}", f"Expenses:In-kind:{part(here)}", value, currency)
            case events.SpendingPaid(spending=spending):
                line, amount = self._spendings[stream, spending]
                return moved(transit, spent(here, line), amount, currency)
            case events.SpendingReturned(spending=spending):
                line, amount = self._spendings[stream, spending]
                return moved(spent(here, line), transit, amount, currency)
            case events.RoundSettled(returns=returns) | events.RoundCancelled(returns=returns) | events.SurplusReturned(returns=returns):
                return tuple(
                    each
                    for member, amount in returns.items()
                    for each in moved(credit(member, here), contribution(here, member), amount, currency)
                )
            case events.CreditSetOff(member=member, amount=amount):
                return moved(setting_off(member), credit(member, here), amount, currency)
            case events.CreditRestored(member=member, amount=amount):
                return moved(credit(member, here), setting_off(member), amount, currency)
            case events.RefundOrdered(member=member, amount=amount):
                return moved(refunds(member, here), credit(member, here), amount, currency)
            case events.RefundReleased(member=member, amount=amount):
                return moved(credit(member, here), refunds(member, here), amount, currency)
            case events.RefundMade(member=member, amount=amount, payment=payment):
                return moved(transit, refunds(member, here) if payment else credit(member, here), amount, currency)
            case events.RefundReturned(member=member, amount=amount):
                return moved(refunds(member, here), transit, amount, currency)

    def _learn(self, stream: str, event: MovesNothing) -> None:
        """Keeps what later facts leave out."""
        match event:
            case events.RoundOpened(terms=terms):
                self._currencies[stream] = terms.currency
            case events.SpendingProposed(spending=spending, line=line, amount=amount):
                self._spendings[stream, spending] = (line, amount)
            case _:
                pass


def _paid_in(here: str, transit: Account, paid: events.PaymentRecorded, currency: str) -> Sequence[Posting]:
    principal, late = _sums(paid.settled)
    return (
        Posting(transit, paid.amount, currency),
        Posting(contribution(here, paid.member), -principal, currency),
        Posting(interest(here), -late, currency),
        Posting(credit(paid.member, here), -paid.credited, currency),
    )


def _taken_back(here: str, transit: Account, reversed_: events.PaymentReversed, currency: str) -> Sequence[Posting]:
    return (
        Posting(transit, -reversed_.amount, currency),
        Posting(interest(here), reversed_.interest, currency),
        Posting(credit(reversed_.member, here), reversed_.credit, currency),
        Posting(contribution(here, reversed_.member), reversed_.uncleared + reversed_.gone_back, currency),
    )


def _sums(settled: Iterable[Settlement]) -> tuple[int, int]:
    """Principal and interest of settlements."""
    parts = tuple(settled)
    return sum(each.principal for each in parts), sum(each.interest for each in parts)


# ---------------------------------------------------------------- accounts


def contribution(round_: str, member: str) -> Account:
    """What a member brought into a round."""
    return f"Income:Rounds:{part(round_)}:{part(member)}"


def refunds(member: str, round_: str) -> Account:
    """Credit on its way back."""
    return f"Liabilities:Refunds:{part(member)}:{part(round_)}"


def interest(round_: str) -> Account:
    """Interest that came in, until it is shared among those who paid in time."""
    return f"Liabilities:Interest:{part(round_)}"


def spent(round_: str, line: str) -> Account:
    """What went out under a budget line."""
    return f"Expenses:Rounds:{part(round_)}:{part(line)}"
