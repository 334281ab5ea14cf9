"""What becomes true of the consortium; most of it is kept by the register."""

from __future__ import annotations

from typing import Literal

from domain.kernel import Event, Instant, PersonId
from domain.register.facts import (
    CharterAdopted,
    ClockSet,
    KeyEnrolled,
    KeyRevoked,
    OfficeGranted,
    OfficeRevoked,
    SubstituteNamed,
    SubstituteWithdrawn,
    TimeAccepted,
)


class TimeAcceptanceGiven(Event):
    """A first officer accepts that entries are dated like this one until the clock has passed it. It takes a second one."""

    kind: Literal["time_acceptance_given"] = "time_acceptance_given"
    position: int
    at: Instant
    by: PersonId


ConsortiumEvent = (
    CharterAdopted
    | OfficeGranted
    | OfficeRevoked
    | KeyEnrolled
    | KeyRevoked
    | SubstituteNamed
    | SubstituteWithdrawn
    | ClockSet
    | TimeAcceptanceGiven
    | TimeAccepted
)
