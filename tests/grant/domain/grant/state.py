"""The phases of a grant, and how each event changes them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.grant import events
from domain.kernel import MemberId, Name, PersonId
from domain.letters import PayeeId
from domain.money import Amount
from domain.register.facts import BankReferenceUsed


class Terms(NamedTuple):
    """What was asked for, and by whom."""

    member: MemberId
    title: Name
    payee: PayeeId
    amount: Amount
    by: PersonId


class Unrequested(NamedTuple):
    """Before the first event."""


class Requested(NamedTuple):
    """The board is waited for."""

    terms: Terms
    decide_by: datetime


class Approved(NamedTuple):
    """The treasury has the order."""

    terms: Terms


class Paid(NamedTuple):
    """The money has left the account."""

    terms: Terms
    reference: str


class Ended(NamedTuple):
    """It lapsed, or its payment was given up."""

    terms: Terms


GrantState = Unrequested | Requested | Approved | Paid | Ended


def evolve(state: GrantState, event: events.GrantEvent) -> GrantState:
    """The state after a fact."""
    match event:
        case events.GrantRequested(member=member, title=title, payee=payee, amount=amount, decide_by=decide_by, by=by):
            return Requested(Terms(member, title, payee, amount, by), decide_by)
        case events.GrantApproved() | events.GrantReturned():
            return Approved(_terms(state))
        case events.GrantPaid(reference=reference):
            return Paid(_terms(state), reference)
        case events.GrantLapsed() | events.GrantReleased():
            return Ended(_terms(state))
        case BankReferenceUsed():
            return state


def _terms(state: GrantState) -> Terms:
    assert not isinstance(state, Unrequested)
    return state.terms
