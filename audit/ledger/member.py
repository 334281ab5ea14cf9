"""What a membership does to the books: its dues. M is the member, S its stream.

| fact | from | to |
| --- | --- | --- |
| dues_invoiced, from credit | Income:Dues:M | Liabilities:Credit:M:Dues |
| dues_set_off | Income:Dues:M | Liabilities:Set-off:M |
| dues_paid; dues_reversed: the reverse | Income:Dues:M, Liabilities:Credit:M:Dues | Liabilities:In-transit:S |

The credit that is left when a membership ends stays owed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.ledger.books import Account, Posting, credit, in_transit, moved, part, setting_off
from domain.kernel import slug_of
from domain.member import events
from domain.register import facts

DUES: Final = "dues"
"""Where a member's credit is that is none of a round's."""

MovesNothing = (
    events.ApplicationReceived
    | events.ScreeningStarted
    | events.ScreeningPassed
    | events.ScreeningHit
    | events.ScreeningJudged
    | events.ApplicantAdmitted
    | events.ApplicationEnded
    | events.AdmissionAskedAgain
    | events.AgreementSigned
    | events.AgreementCountersigned
    | events.PaymentPlanAgreed
    | events.RungReached
    | events.SetOffAnnounced
    | events.SetOffAsked
    | events.SetOffEnded
    | events.SuspensionLifted
    | events.SeatVacated
    | events.TierChangeAsked
    | events.OwnershipChangeAsked
    | events.DepartureBegun
    | events.RunOffContinued
    | events.DuesClosed
    | facts.BankReferenceUsed
    | facts.KeyEnrolled
    | facts.KeyRevoked
    | facts.LegalEntityNamed
    | facts.LegalEntityReleased
    | facts.MemberActivated
    | facts.MemberDeparted
    | facts.MemberDeparting
    | facts.MemberStaying
    | facts.MemberReinstated
    | facts.MemberSuspended
    | facts.OwnershipDeclared
    | facts.PaymentExpected
    | facts.RepresentativeSeated
    | facts.RepresentativeUnseated
    | facts.TierChanged
    | facts.TierReserved
)
"""Facts by which no money moves. The type checker names an event that is neither here nor in `postings`."""


class Members:
    """Books what members' streams state."""

    def postings(self, stream: str, event: events.MemberEvent, currency: str) -> Sequence[Posting]:
        """See `Bookkeeper.postings`."""
        if isinstance(event, MovesNothing):
            return ()
        member, transit = slug_of(stream), in_transit(stream)
        match event:
            case events.DuesInvoiced(credit_used=used):
                return moved(dues(member), credit(member, DUES), used, currency)
            case events.DuesPaid(amount=amount, settled=settled):
                paid = sum(settled.values())
                return (
                    *moved(dues(member), transit, paid, currency),
                    *moved(credit(member, DUES), transit, amount - paid, currency),
                )
            case events.DuesSetOff(amount=amount):
                return moved(dues(member), setting_off(member), amount, currency)
            case events.DuesReversed(amount=amount, reopened=reopened):
                return (
                    *moved(transit, dues(member), reopened, currency),
                    *moved(transit, credit(member, DUES), amount - reopened, currency),
                )


def dues(member: str) -> Account:
    """What a member paid for its membership."""
    return f"Income:Dues:{part(member)}"
