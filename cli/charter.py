"""The charter: checking one that is being written, its calendar, and showing the one in force."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from cli.amounts import amounts_of
from cli.calendars import SYSTEMS, as_toml, calendar_of, told_of, years_of
from cli.failures import BadInput
from cli.files import charter_in
from cli.options import HERE, Where
from cli.output import plain, say, say_json, say_whole, table
from cli.site import log_of, register, settings
from domain.catalog import CATALOG
from domain.charter import Charter, cautions
from domain.money import display

app: Final = App(name="charter")


@app.command
def check(file: Annotated[Path, Parameter(help="A TOML file; - is stdin.", allow_leading_hyphen=True)], /, *, where: Where = HERE) -> None:
    """Check a charter: every problem is named with its place."""
    charter = charter_in(file)
    reach, calendar_warnings = told_of(charter.calendar, datetime.now(UTC).date())
    warnings = [*sorted(_uncovered(charter)), *calendar_warnings, *cautions(charter)]
    amounts = _amounts(charter, charter.model_dump(mode="json", exclude_unset=True))
    if where.json:
        told = {
            "file": str(file),
            "name": charter.name,
            "currency": charter.currency,
            "calendar": reach,
            "amounts": amounts,
            "warnings": warnings,
        }
        say_json(told)
        return
    say(f"{file} is a charter: {charter.name}, in {charter.currency}.")
    table(("amount", "clause"), [(amount, place) for place, amount in amounts.items()], right=("amount",))
    say(f"Its calendar: {reach}.")
    say(*(f"  note: {warning}" for warning in warnings))


@app.command
def calendar(
    *systems: Annotated[
        str, Parameter(help="Payment systems (TARGET2, FEDWIRE, CHAPS) or countries by their two letters; of several, the days of each.")
    ],
    years: Annotated[str, Parameter(help="Of which years, like 2026-2030.")],
    where: Where = HERE,
) -> None:
    """Write the days on which banks move no money as a charter's clause `calendar`, to be put into the charter's file and looked at."""
    if not systems:
        raise BadInput("no payment system is named", f"name one: {', '.join(SYSTEMS)}, or a country by its two letters")
    made = calendar_of(systems, years_of(years))
    if where.json:
        days = {"weekend": made.weekend, "until": made.until.isoformat(), "holidays": [day.isoformat() for day in made.holidays]}
        say_json({"source": made.source, "calendar": days})
    else:
        say_whole(*as_toml(made))


@app.command
async def show(
    *, version: Annotated[int | None, Parameter(help="An earlier one; by default the one in force.")] = None, where: Where = HERE
) -> None:
    """Show the charter in force, as TOML that `charter check` takes."""
    async with log_of(settings(where)) as log:
        agreed = await register(log)
    if not agreed.version:
        raise BadInput("the consortium has not been founded yet", "found it with `consortium consortium found`")
    chosen = agreed.version if version is None else version
    if chosen not in agreed.charters:
        raise BadInput(f"--version: there is no version {chosen}", f"there are 1 to {agreed.version}")
    charter = _in_order(agreed.charters[chosen].model_dump(mode="json", exclude_none=True))
    if where.json:
        say_json({"version": chosen, "charter": charter})
    else:
        say(f"# version {chosen}" + (", in force" if chosen == agreed.version else ""), *toml(charter))


@app.command
async def diff(
    file: Annotated[Path, Parameter(help="A TOML file; - is stdin.", allow_leading_hyphen=True)],
    base: Annotated[Path | None, Parameter(help="The file of another charter; by default it is the one in force.")] = None,
    /,
    *,
    where: Where = HERE,
) -> None:
    """Show what a charter would change in another: each term with its place, before and after."""
    after = _terms(charter_in(file))
    before = _terms(charter_in(base) if base else await _in_force(where))
    places = [place for place in dict.fromkeys((*before, *after)) if before.get(place) != after.get(place)]
    changes = [(place, before.get(place, ""), after.get(place, "")) for place in places]
    if where.json:
        say_json({"changes": [{"clause": place, "before": was, "after": becomes} for place, was, becomes in changes]})
        return
    say(f"{file} changes {len(changes)} terms." if changes else f"{file} changes nothing.")
    table(("clause", "before", "after"), [(place, was or "not said", becomes or "not said") for place, was, becomes in changes])


async def _in_force(where: Where) -> Charter:
    async with log_of(settings(where)) as log:
        agreed = await register(log)
    if not agreed.version:
        raise BadInput("the consortium has not been founded yet", "found it with `consortium consortium found`, or name two files")
    return agreed.charters[agreed.version]


def _terms(charter: Charter) -> Mapping[str, str]:
    """What a charter says, each term by its place, amounts in units. What is left out by default is not said."""
    dumped = _in_order(charter.model_dump(mode="json", exclude_none=True))
    amounts = _amounts(charter, dumped)
    return {place: amounts.get(place, _toml_value(value)) for place, value in _flat(dumped)}


def _amounts(charter: Charter, dumped: Mapping[str, Any]) -> Mapping[str, str]:
    """The amounts of a charter's terms in units, each by its place."""
    return {place: display(amount, charter.currency) for place, amount in amounts_of(Charter, dumped, charter.currency).items()}


def _flat(terms: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in terms.items():
        inner = f"{place}.{key}".lstrip(".")
        if isinstance(value, Mapping):
            yield from _flat(value, inner)
        else:
            yield inner, value


def _in_order(value: Any) -> Any:
    """A charter's lists are sets: the same charter is shown the same way."""
    if isinstance(value, Mapping):
        return {key: _in_order(item) for key, item in value.items()}
    return sorted(value) if isinstance(value, list) else value


def toml(table: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """A charter's lines as TOML: plain values first, then the tables."""
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {_toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = f"{place}.{key}".lstrip(".")
            if not value or any(not isinstance(item, Mapping) for item in value.values()):
                yield from ("", f"[{inner}]")
            yield from toml(value, inner)


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    return json.dumps(plain(value) if isinstance(value, str) else value, ensure_ascii=False)


def _uncovered(charter: Charter) -> Iterator[str]:
    """Commands that classes of decisions name and that no process knows."""
    known = {f"{name}/{kind}" for name, process in CATALOG.items() for kind in process.commands.json_schema()["discriminator"]["mapping"]}
    for name, rule in charter.decisions.items():
        for command in rule.covers:
            if command not in known:
                yield f"decisions.{name}.covers: this release knows no command {command}"
