"""What becomes true of a grant."""

from __future__ import annotations

from typing import Literal

from domain.kernel import Event, Instant, MemberId, Name, PersonId
from domain.letters import PayeeId
from domain.money import Amount
from domain.reference import BankReference
from domain.register.facts import BankReferenceUsed


class GrantRequested(Event):
    """Money was asked for."""

    kind: Literal["grant_requested"] = "grant_requested"
    member: MemberId
    title: Name
    payee: PayeeId
    amount: Amount
    decide_by: Instant
    by: PersonId


class GrantApproved(Event):
    """The board approved it, and the treasury was asked to pay."""

    kind: Literal["grant_approved"] = "grant_approved"
    by: PersonId


class GrantLapsed(Event):
    """Nobody approved it in time."""

    kind: Literal["grant_lapsed"] = "grant_lapsed"


class GrantPaid(Event):
    """It left the account."""

    kind: Literal["grant_paid"] = "grant_paid"
    amount: Amount
    reference: BankReference


class GrantReturned(Event):
    """It came back to the account."""

    kind: Literal["grant_returned"] = "grant_returned"
    amount: Amount
    reference: BankReference


class GrantReleased(Event):
    """Its payment was given up."""

    kind: Literal["grant_released"] = "grant_released"


GrantEvent = GrantRequested | GrantApproved | GrantLapsed | GrantPaid | GrantReturned | GrantReleased | BankReferenceUsed
