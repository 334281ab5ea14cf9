"""The log's time: which clock it goes by, and how its officers accept a time that ran ahead of the clock.

Entries are dated by the recorder's own clock, and never earlier than the entry before. So one entry that was dated wrongly dates
all that follow. While the last entry lies more than an hour ahead of the clock nothing is recorded but what these officers say here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from domain.charter import Office
from domain.kernel import Command, Event, Instant, PersonId, Refused, shown_at
from domain.process import Context
from domain.register import ClockSet, PacedTime, SystemTime, TimeAccepted

ACCEPTING: Final = (Office.SECRETARIAT, Office.TREASURER, Office.SECOND_SIGNATORY, Office.BOARD)
"""Whose holders may accept a time that ran ahead: two of them, different people."""

Position = Annotated[int, Field(ge=1, lt=2**53)]
"""The position of an entry on the log."""

# ---------------------------------------------------------------- commands


class AcceptTime(Command):
    """Accept that the last entry is dated ahead of the clock. By two of secretariat, treasurer, second signatory and board."""

    kind: Literal["accept_time"] = "accept_time"
    position: Position
    """The last entry's position, as `consortium doctor` names it; for the second officer the one that the first accepted."""
    at: Instant
    """The last entry's time."""


class RestartClock(Command):
    """Let a rehearsal run on from new anchors, at this or another pace. By the service."""

    kind: Literal["restart_clock"] = "restart_clock"
    clock: PacedTime


# ---------------------------------------------------------------- events


class TimeAcceptanceGiven(Event):
    """A first officer accepts that entries are dated like this one until the clock has passed it. It takes a second one."""

    kind: Literal["time_acceptance_given"] = "time_acceptance_given"
    position: int
    at: Instant
    by: PersonId


# ---------------------------------------------------------------- decide


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The last acceptance that a first officer gave."""

    position: int
    at: datetime
    by: PersonId


def accept(given: Acceptance | None, command: AcceptTime, context: Context) -> Sequence[TimeAcceptanceGiven | TimeAccepted]:
    """A first acceptance, or the second one, from when on the time is accepted. Accepted already: nothing follows."""
    context.require_office(*ACCEPTING)
    _require_ahead(command, context)
    accepted = context.register.time_accepted_until
    if accepted is not None and accepted >= command.at:
        return ()
    if given is None or given.at != context.at:
        _require_head(command, context)
        return (TimeAcceptanceGiven(position=command.position, at=command.at, by=context.actor),)
    if given.by == context.actor:
        raise Refused(
            "same_person", f"{context.actor} accepted it already, and a second officer must", clause="roles",
            remedy="ask another holder of one of the offices secretariat, treasurer, second-signatory or board",
        )  # fmt: skip
    if given.position != command.position:
        raise Refused(
            "other_head_accepted", f"{given.by} accepted the time of position {given.position}", clause="roles",
            remedy=f"look at that entry (`consortium log --after {given.position - 1}`), and name its position",
        )  # fmt: skip
    return (TimeAccepted(position=command.position, until=command.at, by=(given.by, context.actor)),)


def restart(command: RestartClock, context: Context) -> Sequence[ClockSet]:
    """The clock of a rehearsal, set anew."""
    context.require_service()
    if isinstance(context.register.clock, SystemTime):
        raise Refused(
            "clock_is_real", "this log goes by the system's clock", remedy="rehearse in a folder of its own (`consortium up --pace`)"
        )
    return () if command.clock == context.register.clock else (ClockSet(clock=command.clock),)


def _require_ahead(command: AcceptTime, context: Context) -> None:
    """Entries are dated like the last one as long as that one is ahead: then this entry has exactly the time that is to be accepted."""
    if isinstance(context.register.clock, SystemTime) and command.at == context.at:
        return
    raise Refused(
        "nothing_to_accept", f"the log's last entry is not ahead of its clock, or is not dated {shown_at(command.at)}",
        remedy="`consortium doctor` shows the last entry, and whether there is anything to accept",
    )  # fmt: skip


def _require_head(command: AcceptTime, context: Context) -> None:
    last = context.position - 1
    if command.position != last:
        raise Refused(
            "not_the_head", f"the last entry is at position {last}, not {command.position}",
            remedy="`consortium doctor` shows the last entry: name its position and its time",
        )  # fmt: skip
