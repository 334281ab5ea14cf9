"""The log's time as a function of Temporal's: the same in earnest, faster in a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Clock:
    """The log's time runs `pace` times as fast as Temporal's since the anchor."""

    real: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    log: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    pace: int = 1

    @classmethod
    def parse(cls, text: str) -> Clock:
        """The clock that `str` wrote. Raises `ValueError`."""
        real, log, pace = text.split(",")
        return cls(datetime.fromisoformat(real), datetime.fromisoformat(log), int(pace))

    def __str__(self) -> str:
        return f"{self.real.isoformat()},{self.log.isoformat()},{self.pace}"

    def log_time(self, real: datetime) -> datetime:
        """What the log's clock shows at a time of Temporal's."""
        return self.log + (real - self.real) * self.pace

    def real_time(self, log: datetime) -> datetime:
        """When Temporal's clock will have reached a time of the log's; rounded up, so that it is never early."""
        return self.real - (self.log - log) // self.pace


TRUE: Final = Clock()
"""The log's time is Temporal's."""
