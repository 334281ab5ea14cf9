"""The log's time: the recorder's own clock, and how far a head may be ahead of it.

Entries are dated by the clock of who records them, never by a caller's time or Temporal's. A rehearsal's time runs faster,
stands still, or is moved; see docs/log-format.md for what the time of an entry promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from domain.register.facts import LogTime, MovedTime, PacedTime, SystemTime
from eventstore.log import HeadAhead, HeadFarAhead

TOLERANCE: Final = timedelta(seconds=30)
"""How far the clocks of a log's hosts may be apart; so far a head may be ahead of this host's clock without anybody noticing."""
WAITED_FOR: Final = timedelta(hours=1)
"""A head further ahead than `TOLERANCE` is waited for; one further than this is not, unless officers accept its time."""


class Clock(Protocol):
    """The log's time as one host knows it."""

    @property
    def is_real(self) -> bool:
        """Whether it is the system's own clock: then how far it may be apart from others' is checked."""

    @property
    def runs(self) -> bool:
        """Whether it goes on by itself."""

    def now(self, head: datetime) -> datetime:
        """The log's time now, in UTC. `head` is the time of the last entry."""

    def real(self, log: datetime) -> datetime | None:
        """When Temporal's clock will have reached a time of the log's, rounded up; `None` when it never does by itself."""


def _system() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The log's time is the real one. `read` says what the host's clock shows."""

    read: Callable[[], datetime] = _system
    is_real: bool = True
    runs: bool = True

    def now(self, head: datetime) -> datetime:
        """See `Clock.now`."""
        return self.read()

    def real(self, log: datetime) -> datetime:
        """See `Clock.real`."""
        return log

    def __str__(self) -> str:
        return "system"


@dataclass(frozen=True, slots=True)
class PacedClock:
    """A rehearsal: the log's time runs `pace` times as fast as the real one since the anchor, at which they were `log` and `real`."""

    anchor_real: datetime
    anchor_log: datetime
    pace: int
    is_real: bool = False
    runs: bool = True

    @classmethod
    def parse(cls, text: str) -> PacedClock:
        """The clock that `str` wrote. Raises `ValueError`."""
        real, log, pace = text.split(",")
        clock = cls(datetime.fromisoformat(real), datetime.fromisoformat(log), int(pace))
        if clock.pace < 1 or clock.anchor_real.tzinfo is None or clock.anchor_log.tzinfo is None:
            raise ValueError(f"{text!r}: an anchor needs its offset from UTC, and a pace is 1 or more")
        return clock

    def __str__(self) -> str:
        return f"{self.anchor_real.isoformat()},{self.anchor_log.isoformat()},{self.pace}"

    def now(self, head: datetime) -> datetime:
        """See `Clock.now`."""
        return (self.anchor_log + (_system() - self.anchor_real) * self.pace).astimezone(UTC)

    def real(self, log: datetime) -> datetime:
        """See `Clock.real`."""
        return self.anchor_real - (self.anchor_log - log) // self.pace


@dataclass(frozen=True, slots=True)
class StandingClock:
    """A rehearsal that is only looked at: the log's time is that of its last entry, so nothing comes due."""

    is_real: bool = False
    runs: bool = False

    def now(self, head: datetime) -> datetime:
        """See `Clock.now`."""
        return head

    def real(self, log: datetime) -> None:
        """See `Clock.real`."""
        return

    def __str__(self) -> str:
        return "standing"


class MovedClock:
    """A clock that somebody moves: a test, a simulation, or whoever follows a time-skipping server, whose time it then is."""

    is_real: Final = False
    runs: Final = False

    def __init__(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)

    def to(self, at: datetime) -> None:
        """Moves it on to this time. It never goes back."""
        self._at = max(self._at, at.astimezone(UTC))

    def now(self, head: datetime | None = None) -> datetime:
        """See `Clock.now`."""
        return self._at

    def real(self, log: datetime) -> datetime:
        """See `Clock.real`."""
        return log

    def __str__(self) -> str:
        return "moved"


def fact_of(clock: Clock) -> LogTime:
    """What the founding states of a clock, so that everybody knows from the log which one it goes by."""
    match clock:
        case SystemClock():
            return SystemTime()
        case PacedClock(anchor_real=real, anchor_log=log, pace=pace):
            return PacedTime(real=real, log=log, pace=pace)
        case _:
            return MovedTime()


def ahead(clock: Clock, position: int, head: datetime) -> HeadAhead | None:
    """Why nothing may be appended after a head at this position and time; `None` when something may.

    Who else's clock it was that dated the head cannot be told from here: a rehearsal's clock is never in doubt.
    """
    if not clock.is_real:
        return None
    by = head - clock.now(head)
    if by <= TOLERANCE:
        return None
    return (HeadAhead if by <= WAITED_FOR else HeadFarAhead)(position, head, by, until=head - TOLERANCE)
