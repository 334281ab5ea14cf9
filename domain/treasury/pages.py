"""The pages of statements that were read: what is missing of them, and what the latest of them says is on the account.

Both follow the pages as they come, in any order and also anew: taking one in costs as much as its own statement is long, and nothing
for all that came before. Of a year only tuples of numbers are copied.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

from domain.kernel import Map, mapping
from domain.treasury.terms import Page

_UNDATED: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a page was made that does not say so: before every other."""
_MOST_PAGES: Final = 10_000
"""Of a statement with more pages, those beyond are not looked for."""


class End(NamedTuple):
    """What a statement says at its end, in the order in which a later one counts more."""

    on: date
    sequence: int
    made: datetime
    amount: int


class Version(NamedTuple):
    """One of the statements with the same number, in the order in which a later one counts more."""

    made: datetime
    statement: str


class Gap(NamedTuple):
    """Where something is missing, in the order in which people read it: within a statement, or before a number of a year."""

    currency: str
    counted: bool
    statement: str
    year: int
    number: int


class Year(NamedTuple):
    """The statements of a currency and a year."""

    numbers: tuple[int, ...] = ()
    """By which the bank counts them, in order."""
    versions: Map[int, tuple[Version, ...]] = mapping()
    """The statements of each number, in order: the last of them is looked at."""
    ends: tuple[End, ...] = ()
    """What the last pages say, also of statements that are not counted; in order."""


class Statements(NamedTuple):
    """The pages that were read last of each place, by the statements that they belong to."""

    pages: Map[tuple[str, str], tuple[Page, ...]] = mapping()
    """By currency and statement, in order."""
    years: Map[tuple[str, int], Year] = mapping()
    """By currency and year."""
    missing: Map[Gap, str] = mapping()
    """What the statements' own numbers and balances say is missing, in words for people."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, in order."""
        return tuple(self.missing[gap] for gap in sorted(self.missing))

    def latest(self, currency: str) -> tuple[date, int] | None:
        """What the latest statement of a currency says was on the account at its end, and on which day."""
        years = (key for key, year in self.years.items() if key[0] == currency and year.ends)
        newest = max(years, default=None)
        if newest is None:
            return None
        end = self.years[newest].ends[-1]
        return end.on, end.amount


def with_page(statements: Statements, page: Page) -> Statements:
    """The statements with a page that takes the place of the one that was read there before, if any was."""
    key = (page.currency, page.statement)
    before = statements.pages.get(key, ())
    after = tuple(sorted((*(each for each in before if each.page != page.page), page), key=lambda each: each.page))
    gap = Gap(page.currency, counted=False, statement=page.statement, year=0, number=0)
    statements = statements._replace(
        pages=statements.pages.set(key, after), missing=_set_gap(statements.missing, gap, _missing_page(page.statement, after))
    )
    former = next((each for each in before if each.page == page.page), None)
    return _recount(_replace_end(statements, former, page), page, before, after)


# ---------------------------------------------------------------- what the latest says


def _replace_end(statements: Statements, former: Page | None, page: Page) -> Statements:
    """The statements after what a page says of their end, and no more what it said before."""
    gone, come = _end(former) if former else None, _end(page)
    if gone == come:
        return statements
    if gone is not None:
        year = _year(statements, page.currency, gone.on.year)
        statements = _set(statements, page.currency, gone.on.year, year._replace(ends=_without(year.ends, gone)))
    if come is not None:
        year = _year(statements, page.currency, come.on.year)
        statements = _set(statements, page.currency, come.on.year, year._replace(ends=_with(year.ends, come)))
    return statements


def _end(page: Page) -> End | None:
    if not page.last or page.closing is None:
        return None
    return End(page.closing.on, page.sequence or 0, page.created_at or _UNDATED, page.closing.amount)


# ---------------------------------------------------------------- what is missing


def _missing_page(statement: str, found: Sequence[Page]) -> str:
    """Which page a statement lacks; nothing when it has all."""
    first = next((number for number, page in enumerate(found, 1) if page.page != number), _MOST_PAGES)
    if first < _MOST_PAGES:
        return f"statement {statement}: page {first} is missing"
    return "" if found[-1].last else f"statement {statement}: the pages after {found[-1].page} are missing"


def _recount(statements: Statements, page: Page, before: Sequence[Page], after: Sequence[Page]) -> Statements:
    """The statements after a statement has other pages, which may give it another number, another year, or another balance."""
    former, present = _number_of(before), _number_of(after)
    if former != present:
        if former is not None:
            statements = _remove_number(statements, page, *former)
        if present is not None:
            statements = _add_number(statements, page, *present)
    for year, number in {place[:2] for place in (former, present) if place is not None}:
        statements = _compare_neighbours(statements, page.currency, year, number)
    return statements


def _number_of(found: Sequence[Page]) -> tuple[int, int, datetime] | None:
    """The year and the number of a statement, and when it was made; nothing where the bank does not count, or names no day."""
    if not found or (sequence := found[0].sequence) is None:
        return None
    closing, created = found[-1].closing, found[0].created_at
    day = closing.on if closing else found[-1].last_day or (created.date() if created else None)
    return None if day is None else (day.year, sequence, created or _UNDATED)


def _add_number(statements: Statements, page: Page, year: int, number: int, made: datetime) -> Statements:
    counted = _year(statements, page.currency, year)
    versions = counted.versions.get(number, ())
    return _set(
        statements,
        page.currency,
        year,
        counted._replace(
            numbers=counted.numbers if versions else _with(counted.numbers, number),
            versions=counted.versions.set(number, _with(versions, Version(made, page.statement))),
        ),
    )


def _remove_number(statements: Statements, page: Page, year: int, number: int, made: datetime) -> Statements:
    counted = _year(statements, page.currency, year)
    versions = _without(counted.versions[number], Version(made, page.statement))
    return _set(
        statements,
        page.currency,
        year,
        counted._replace(
            numbers=counted.numbers if versions else _without(counted.numbers, number),
            versions=counted.versions.set(number, versions) if versions else counted.versions.delete(number),
        ),
    )


def _compare_neighbours(statements: Statements, currency: str, year: int, number: int) -> Statements:
    """The statements after what a number has, or has no more, was compared with its neighbours. Before the first of a year nothing is missing."""
    counted, missing = _year(statements, currency, year), statements.missing
    here = bisect_left(counted.numbers, number)
    around = counted.numbers[max(here - 1, 0) : here + 2]
    found = dict.fromkeys((number, *counted.numbers[:1]), "")
    found |= {later: _between(statements, currency, year, earlier, later) for earlier, later in pairwise(around)}
    for later, words in found.items():
        missing = _set_gap(missing, Gap(currency, counted=True, statement="", year=year, number=later), words)
    return statements._replace(missing=missing)


def _between(statements: Statements, currency: str, year: int, earlier: int, later: int) -> str:
    """What is missing between two numbers of which none between is there; nothing when they follow each other."""
    if later == earlier + 2:
        return f"{year}: statement {earlier + 1} is missing"
    if later > earlier + 2:
        return f"{year}: statements {earlier + 1} to {later - 1} are missing"
    end, start = (
        _latest_version(statements, currency, year, earlier)[-1].closing,
        _latest_version(statements, currency, year, later)[0].opening,
    )
    if end is None or start is None or end.amount == start.amount:
        return ""
    return f"{year}: statement {later} does not begin with the balance that statement {earlier} ends with"


def _latest_version(statements: Statements, currency: str, year: int, number: int) -> Sequence[Page]:
    return statements.pages[currency, statements.years[currency, year].versions[number][-1].statement]


def _set_gap(missing: Map[Gap, str], gap: Gap, words: str) -> Map[Gap, str]:
    if missing.get(gap, "") == words:
        return missing
    return missing.set(gap, words) if words else missing.delete(gap)


# ---------------------------------------------------------------- parts

Item = TypeVar("Item", int, Version, End)


def _year(statements: Statements, currency: str, year: int) -> Year:
    return statements.years.get((currency, year), Year())


def _set(statements: Statements, currency: str, year: int, counted: Year) -> Statements:
    return statements._replace(years=statements.years.set((currency, year), counted))


def _with(items: tuple[Item, ...], item: Item) -> tuple[Item, ...]:
    """Items in order with one more."""
    found = list(items)
    insort(found, item)
    return tuple(found)


def _without(items: tuple[Item, ...], item: Item) -> tuple[Item, ...]:
    """Items in order without one of them."""
    place = bisect_left(items, item)
    return items[:place] + items[place + 1 :]
