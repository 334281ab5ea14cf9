"""Business days by a calendar that is charter data."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import Field, model_validator

from domain.kernel import Message, is_empty


class Calendar(Message):
    """The days on which money moves: all but the weekend and the named holidays. Days are UTC days."""

    weekend: frozenset[Annotated[int, Field(ge=1, le=7)]] = frozenset({6, 7})
    """ISO weekday numbers: Monday is 1."""
    holidays: frozenset[date] = frozenset()
    until: date | None = Field(default=None, exclude_if=is_empty)
    """The last day up to which all holidays are named. A charter that does not say it is taken at its word for every day."""

    @model_validator(mode="after")
    def _has_business_days(self) -> Calendar:
        if len(self.weekend) == 7:
            raise ValueError("a calendar needs at least one business day in a week")
        return self

    @model_validator(mode="after")
    def _names_no_holiday_beyond_its_end(self) -> Calendar:
        beyond = sorted(day for day in self.holidays if not self.covers(day))
        if beyond:
            raise ValueError(
                f"the holiday {beyond[0]} comes after the calendar's last day, {self.until}: leave it out, or say a later `until`"
            )
        return self

    def covers(self, day: date) -> bool:
        """Whether the calendar says of this day whether it is a business day."""
        return self.until is None or day <= self.until

    def is_business_day(self, day: date) -> bool:
        """Whether money moves on this day."""
        return day.isoweekday() not in self.weekend and day not in self.holidays

    def add(self, start: datetime, business_days: int) -> datetime:
        """The end (24:00 UTC) of the n-th business day after the day of `start`; the day itself never counts.

        Beyond what the calendar covers only weekends are left out: who must not go by that asks `covers` of the day before the end.
        """
        day = start.astimezone(UTC).date()
        while business_days > 0:
            day += timedelta(days=1)
            if self.is_business_day(day):
                business_days -= 1
        return datetime.combine(day + timedelta(days=1), time(), UTC)
