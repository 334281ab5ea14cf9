"""What the rules of grants share: the phases in which each thing can be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from domain.grant import events
from domain.grant.state import Approved, Ended, GrantState, Paid, Requested, Unrequested
from domain.kernel import Refused
from domain.stream import StepOwed

Events = Sequence[events.GrantEvent | StepOwed]


def unrequested(state: GrantState) -> Unrequested:
    """Refuses a second request."""
    match state:
        case Unrequested():
            return state
        case Requested() | Approved() | Paid() | Ended():
            raise Refused("grant_requested", "this grant was asked for already", remedy="ask for another under a name of its own")


def requested(state: GrantState) -> Requested:
    """Refuses what only the board's decision can follow."""
    match state:
        case Requested():
            return state
        case Unrequested():
            raise Refused("grant_not_requested", "nobody asked for this grant", remedy="ask for it (`consortium grant request-grant`)")
        case Approved() | Paid() | Ended():
            raise Refused("grant_decided", "this grant is decided", remedy="ask for another")


def ordered(state: GrantState) -> Approved | Paid | Ended:
    """Refuses what the treasury says of a payment that nobody ordered."""
    match state:
        case Approved() | Paid() | Ended():
            return state
        case Unrequested() | Requested():
            raise Refused("grant_not_approved", "this grant is not approved", remedy="the board approves it first")
