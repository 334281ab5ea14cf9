"""Instants as people read them: in the zone of their terminal, to the minute, rounded down, with the distance from now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def shown(at: datetime | str | None, now: datetime) -> str:
    """`2026-12-06 09:00 (in 6 days)`; nothing for no instant. `now` is the log's time, from which people count."""
    if at is None:
        return ""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{minute(at)} ({distance(at, now)})"


def minute(at: datetime) -> str:
    """`2026-12-06 09:00`, in the zone of the terminal."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def distance(at: datetime, now: datetime) -> str:
    """How far an instant is from another one: `in 6 days`, `2 hours ago`, `now` within the minute."""
    words = length(abs(at - now))
    if not words:
        return "now"
    return f"in {words}" if at > now else f"{words} ago"


def length(span: timedelta) -> str:
    """A span in its largest unit, rounded down: `6 days`; nothing for less than a minute."""
    seconds = int(span.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            number = seconds // size
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return ""
