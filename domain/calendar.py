"""Business days by a calendar that is charter data."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import Field, model_validator

from domain.kernel import Message


class Calendar(Message):
    """The days on which money moves: all but the weekend and the named holidays. Days are UTC days."""

    weekend: frozenset[Annotated[int, Field(ge=1, le=7)]] = frozenset({6, 7})
    """ISO weekday numbers: Monday is 1."""
    holidays: frozenset[date] = frozenset()

    @model_validator(mode="after")
    def _has_business_days(self) -> Calendar:
        if len(self.weekend) == 7:
            raise ValueError("a calendar needs at least one business day in a week")
        return self

    def is_business_day(self, day: date) -> bool:
        """Whether money moves on this day."""
        return day.isoweekday() not in self.weekend and day not in self.holidays

    def add(self, start: datetime, business_days: int) -> datetime:
        """The end (24:00 UTC) of the n-th business day after the day of `start`; the day itself never counts."""
        day = start.astimezone(UTC).date()
        while business_days > 0:
            day += timedelta(days=1)
            if self.is_business_day(day):
                business_days -= 1
        return datetime.combine(day + timedelta(days=1), time(), UTC)
