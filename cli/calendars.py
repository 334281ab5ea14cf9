"""Bank calendars, made from the library `holidays`: the days on which a payment system moves no money, as charter data.

The library knows the rules by which each system names its days (https://github.com/vacanza/holidays, MIT licence). What it says is looked at
and adopted once, by vote: nothing that decides imports it, since its data changes from release to release.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple

from cli.failures import BadInput
from domain.calendar import Calendar
from domain.kernel import one_line

if TYPE_CHECKING:
    from holidays import HolidayBase

SOON: Final = 366 + 90
"""Fewer days than this are few: calls fall due up to a year ahead, and an amendment takes its time."""
YEARS: Final = 30
"""The most years of one calendar: a charter is small."""
FIRST: Final = 2000
LAST: Final = 2100


class System(NamedTuple):
    """A payment system: what it is, and by which names the library knows its days."""

    about: str
    market: str = ""
    country: str = ""
    part: str | None = None


SYSTEMS: Final[Mapping[str, System]] = {
    "TARGET2": System("euro: the Eurosystem's T2 and TARGET2", market="ECB"),
    "FEDWIRE": System("US dollar: the Federal Reserve's Fedwire and FedACH", market="FED"),
    "CHAPS": System("pound sterling: bank holidays of England", country="GB", part="ENG"),
}
"""Those whose days the library has. Of a country without one its public holidays are taken, by its two letters."""


class Bank(NamedTuple):
    """A calendar as it stands in a charter, with the name of each of its holidays."""

    source: str
    weekend: Sequence[int]
    """ISO weekday numbers."""
    holidays: Mapping[date, str]
    until: date


def calendar_of(names: Sequence[str], years: range) -> Bank:
    """The days in these years on which one of the systems moves no money, weekends left out. Raises `BadInput` for names without days."""
    systems = {name: _days(name, years) for name in dict.fromkeys(name.upper() for name in names)}
    weekend = sorted({day + 1 for days in systems.values() for day in days.weekend})
    found: dict[date, list[str]] = {}
    for name, days in systems.items():
        for day, reason in days.items():
            if day.year in years and day.isoweekday() not in weekend:
                found.setdefault(day, []).append(f"{reason} ({name})" if len(systems) > 1 else reason)
    named = {day: ", ".join(reasons) for day, reasons in sorted(found.items())}
    source = f"{', '.join(systems)} {_span(years)}, made from the library holidays {version('holidays')}"
    return Bank(source, weekend, named, date(years.stop - 1, 12, 31))


def as_toml(bank: Bank) -> Iterator[str]:
    """The lines of a charter's clause `calendar`."""
    yield from (
        f"# {bank.source}.",
        "[calendar]",
        f"weekend = [{', '.join(map(str, bank.weekend))}]",
        f'until = "{bank.until}"',
        "holidays = [",
    )
    yield from (f'  "{day}", # {one_line(reason, 100)}' for day, reason in bank.holidays.items())
    yield "]"


def told_of(calendar: Calendar, today: date) -> tuple[str, tuple[str, ...]]:
    """Until when a charter's calendar reaches, in a line, and what to warn of."""
    if calendar.until is None:
        return f"{len(calendar.holidays)} holidays, without a last day", (
            "calendar.until: it does not say until when its holidays are named, so every weekday that is not among them counts as a business day",
        )
    left = (calendar.until - today).days
    distance = f"in {_days_long(left)}" if left >= 0 else f"{_days_long(-left)} ago"
    line = f"{len(calendar.holidays)} holidays, until {calendar.until} ({distance})"
    if left >= SOON:
        return line, ()
    ends = f"ends in {_days_long(left)}" if left >= 0 else "has ended"
    return line, (
        f"calendar.until: the calendar {ends}, and calls that would fall due later are refused: `consortium charter calendar` writes a longer one",
    )


def _days_long(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"


def years_of(text: str) -> range:
    """`2026-2030`, or one year. Raises `BadInput`."""
    first, _, last = text.partition("-")
    if not all(year.isascii() and year.isdigit() and len(year) == 4 for year in (first, last or first)):
        raise BadInput(f"--years: {text} is no span of years", "write it as 2026-2030")
    span = range(int(first), int(last or first) + 1)
    if not span or span.start < FIRST or span.stop > LAST + 1 or len(span) > YEARS:
        raise BadInput(f"--years: {text} is no span of 1 to {YEARS} years from {FIRST} to {LAST}", "write it as 2026-2030")
    return span


def _span(years: range) -> str:
    return f"{years.start} to {years.stop - 1}" if len(years) > 1 else f"{years.start}"


def _days(name: str, years: Iterable[int]) -> HolidayBase:
    from holidays import country_holidays, financial_holidays  # a quarter of a second, which checking a charter need not take

    system = SYSTEMS.get(name, System("", country=name))
    try:
        if system.market:
            return financial_holidays(system.market, years=years, language="en_US")
        return country_holidays(system.country, subdiv=system.part, years=years, language="en_US")
    except NotImplementedError as error:
        known = ", ".join(f"{each} ({about.about})" for each, about in SYSTEMS.items())
        raise BadInput(
            f"{name}: no days of such a payment system are known", f"name one of {known}, or a country by its two letters"
        ) from error
