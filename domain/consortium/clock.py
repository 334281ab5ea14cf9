"""The log's time: which clock it goes by, and how its officers accept a time that ran ahead of the clock.

Entries are dated by the recorder's own clock, and never earlier than the entry before. So one entry that was dated wrongly dates
all that follow. While the last entry lies more than an hour ahead of the clock nothing is recorded but what these officers say here.
"""

from __future__ import annotations

from domain.consortium import commands, events
from domain.consortium.rules import ANSWERING, Events
from domain.consortium.state import Founded
from domain.kernel import Refused, shown_at
from domain.process import Context
from domain.register.facts import ClockSet, SystemTime, TimeAccepted


def accept(state: Founded, command: commands.AcceptTime, context: Context) -> Events:
    """A first acceptance, or the second one, from when on the time is accepted. Accepted already: nothing follows.

    The first one counts as long as the officer who gave it holds one of the offices.
    """
    given = state.acceptance
    context.require_office(*ANSWERING)
    _require_ahead(command, context)
    accepted = context.register.time_accepted_until
    if accepted is not None and accepted >= command.at:
        return ()
    if given is None or given.at != context.at or not context.register.holds(given.by, *ANSWERING):
        _require_head(command, context)
        return (events.TimeAcceptanceGiven(position=command.position, at=command.at, by=context.actor),)
    context.require_independent((given.by,))
    if given.position != command.position:
        raise Refused(
            "other_head_accepted",
            f"{given.by} accepted the time of position {given.position}",
            clause="roles",
            remedy=f"look at that entry (`consortium log --after {given.position - 1}`), and name its position",
        )
    return (TimeAccepted(position=command.position, until=command.at, by=(given.by, context.actor)),)


def restart(_: Founded, command: commands.RestartClock, context: Context) -> Events:
    """The clock of a rehearsal, set anew."""
    if isinstance(context.register.clock, SystemTime):
        raise Refused(
            "clock_is_real", "this log goes by the system's clock", remedy="rehearse in a folder of its own (`consortium up --pace`)"
        )
    return () if command.clock == context.register.clock else (ClockSet(clock=command.clock),)


def _require_ahead(command: commands.AcceptTime, context: Context) -> None:
    """Entries are dated like the last one as long as that one is ahead: then this entry has exactly the time that is to be accepted."""
    if isinstance(context.register.clock, SystemTime) and command.at == context.at:
        return
    raise Refused(
        "nothing_to_accept",
        f"the log's last entry is not ahead of its clock, or is not dated {shown_at(command.at)}",
        remedy="`consortium doctor` shows the last entry, and whether there is anything to accept",
    )


def _require_head(command: commands.AcceptTime, context: Context) -> None:
    last = context.position - 1
    if command.position != last:
        raise Refused(
            "not_the_head",
            f"the last entry is at position {last}, not {command.position}",
            remedy="`consortium doctor` shows the last entry: name its position and its time",
        )
