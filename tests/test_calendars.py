"""Calendars: the days on which banks move no money, as charter data, and until when they reach.

| clause | says | by default |
| --- | --- | --- |
| `calendar.weekend` | ISO weekdays without business | Saturday, Sunday |
| `calendar.holidays` | further days without business | none |
| `calendar.until` | the last day up to which the holidays are named | not said: every day is taken at the list's word |

| who asks | beyond `until` |
| --- | --- |
| a person, for a call that would fall due then | refused: `calendar_ended` (tests/test_round.py) |
| the clock, or what follows from a call (a make-up call, the end of a cure) | by weekends alone, and the officers are told |
| a payment's day at the bank | by weekends alone: the bank moves it to its next business day |
"""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from cli.calendars import as_toml, calendar_of, told_of, years_of
from cli.failures import BadInput
from cli.files import charter_in, example
from domain.calendar import Calendar


def made(*systems: str, years: str = "2026-2030") -> Calendar:
    table = tomllib.loads("\n".join(as_toml(calendar_of(systems, years_of(years)))))["calendar"]
    return Calendar.model_validate_json(json.dumps(table))


def after(calendar: Calendar, start: str, business_days: int) -> str:
    """The n-th business day after a day."""
    return (calendar.add(datetime.fromisoformat(start).replace(tzinfo=UTC), business_days) - timedelta(days=1)).date().isoformat()


def test_ten_business_days_over_new_year_are_those_of_the_payment_system() -> None:
    assert after(Calendar(), "2029-12-20", 10) == "2030-01-03"
    assert after(made("TARGET2"), "2029-12-20", 10) == "2030-01-08"
    assert after(made("FEDWIRE"), "2029-12-20", 10) == "2030-01-07"


def test_the_federal_reserve_rests_on_the_monday_after_a_sunday_and_not_on_the_friday_before_a_saturday() -> None:
    fed = made("fedwire")
    assert not fed.is_business_day(date(2027, 7, 5))
    assert fed.is_business_day(date(2026, 7, 3))
    assert fed.is_business_day(date(2027, 12, 24))


def test_of_several_systems_money_moves_on_the_days_of_all() -> None:
    both = made("TARGET2", "FEDWIRE", "CH")
    for day in (date(2027, 3, 26), date(2027, 7, 5), date(2028, 8, 1)):
        assert not both.is_business_day(day)
    assert made("TARGET2").is_business_day(date(2027, 7, 5))


def test_a_written_calendar_reaches_to_the_end_of_its_last_year_and_names_only_days_of_its_years() -> None:
    calendar = made("CHAPS", years="2028")
    assert calendar.until == date(2028, 12, 31)
    assert calendar.covers(date(2028, 12, 31))
    assert not calendar.covers(date(2029, 1, 1))
    assert {day.year for day in calendar.holidays} == {2028}
    assert made("IL").weekend == {5, 6}


@pytest.mark.parametrize("years", ["", "26-30", "2030-2026", "2026-2099", "1999-2001", "2026-2030-2031", "２０２６"])
def test_years_that_are_no_span_are_bad_input(years: str) -> None:
    with pytest.raises(BadInput, match="--years"):
        years_of(years)


@pytest.mark.parametrize("system", ["SIC", "X", "XX", "ÄÖ", "", "../etc"])
def test_a_system_without_days_is_refused_by_the_names_of_those_with_days(system: str) -> None:
    with pytest.raises(BadInput) as refused:
        calendar_of((system,), range(2026, 2027))
    assert "FEDWIRE (US dollar" in refused.value.remedy


def test_a_holiday_after_the_last_day_is_no_calendar() -> None:
    with pytest.raises(ValidationError, match="2031-01-01 comes after the calendar's last day, 2030-12-31"):
        Calendar(holidays=frozenset({date(2031, 1, 1)}), until=date(2030, 12, 31))


def test_the_example_names_the_days_of_its_currencys_payment_system() -> None:
    calendar = charter_in(example("charter.toml")).calendar
    assert calendar == made("FEDWIRE")


def test_until_when_a_calendar_reaches_is_told_and_warned_of_in_time() -> None:
    fed = made("FEDWIRE")
    assert told_of(fed, date(2026, 11, 2)) == (f"{len(fed.holidays)} holidays, until 2030-12-31 (in 1,520 days)", ())
    assert "ends in 456 days" not in "".join(told_of(fed, date(2029, 10, 1))[1])
    assert "ends in 455 days" in told_of(fed, date(2029, 10, 2))[1][0]
    line, warnings = told_of(fed, date(2030, 12, 30))
    assert (line.endswith("until 2030-12-31 (in 1 day)"), "the calendar ends in 1 day," in warnings[0]) == (True, True)
    assert told_of(fed, date(2031, 1, 1))[0].endswith("until 2030-12-31 (1 day ago)")
    line, warnings = told_of(fed, date(2031, 1, 2))
    assert line.endswith("until 2030-12-31 (2 days ago)")
    assert "has ended" in warnings[0]
    assert "does not say until when" in told_of(Calendar(), date(2026, 11, 2))[1][0]
