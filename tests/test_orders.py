"""Orders: what a motion is to command, written as the command line that gives it.

| part of an order | read as | told when it is wrong |
| --- | --- | --- |
| the process, the command | one of those there are | its name, and one that is near |
| the stream | the command's own | its form |
| an option | by the command's own parser: units of the stream's currency, days, instants, JSON, files | its name and its form |
| nothing, or something left out | | what is missing |
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import fields
from cli.failures import BadInput
from cli.fields import Option, Reading, options_of
from cli.options import By
from cli.orders import motion
from cli.processes import messages_of, said
from domain import letters
from domain.catalog import CATALOG
from domain.kernel import Command, Outcome
from domain.money import MINOR_UNITS
from domain.round import commands as round_commands
from eventstore.wire import canonical_command
from tests import golden
from tests.stories import charter
from tests.test_cli import Terminal, bare
from tests.test_looking import written

__all__ = ["bare"]

ORDER = "round reduce-goal vega --goal 8000000 --minimum 6000000.50"
REDUCED = {"kind": "reduce_goal", "goal": 800_000_000, "minimum": 600_000_050}
NESTED = {"stream": "round/vega", "command": REDUCED}


@pytest.fixture(scope="module")
def by(tmp_path_factory: pytest.TempPathFactory) -> By:
    """Somebody where a consortium was founded, whose charter has its currency."""
    folder = tmp_path_factory.mktemp("founded")
    asyncio.run(written(folder, ()))
    return By(folder=folder, key="sam")


def orderable() -> Iterator[tuple[str, type[Command]]]:
    """Every command of every process on which a vote can order something, whichever a charter lets it."""
    for name, process in CATALOG.items():
        if name != "proposal":
            yield from ((name, command) for command in messages_of(process) if not issubclass(command, Outcome))


def typed(option: Option, value: Any, currency: str, folder: Path) -> list[str]:
    """A field's value as it is typed."""
    if option.reading.many:
        one = replace(option, reading=option.reading._replace(many=False))
        return [option.name, *(typed(one, each, currency, folder)[-1] for each in value)]
    if option.reading.money:
        places = MINOR_UNITS[currency]
        return [option.name, f"{int(value) // 10**places}.{int(value) % 10**places:0{places}}" if places else str(value)]
    if option.reading.read is fields._charter:
        file = folder / "charter.json"
        file.write_text(json.dumps(value), encoding="utf-8")
        return [option.name, str(file)]
    if option.reading.read is fields._json:
        return [option.name, json.dumps(value)]
    return [option.name, str(value)]


def written_as_order(stream: str, command: type[Command], given: dict[str, Any], folder: Path) -> str:
    """A command as the line that gives it; what every option takes is said there."""
    process, _, name = stream.partition("/")
    words = [process, given["kind"].replace("_", "-"), name]
    for option in options_of(command):
        if given.get(option.field) is not None:
            words += typed(option, given[option.field], given.get("currency") or "USD", folder)
    return shlex.join(words)


def as_typed(value: Any, reading: Reading) -> Any:
    """Instants as the command line has them."""
    return fields.instant(value) if reading.read is fields._instant else value


def example(process: str, command: type[Command]) -> dict[str, Any]:
    """A command as it was given, without what nobody types: fields that say nothing."""
    found: dict[str, Any] = json.loads(golden.path_of(process, command).read_text(encoding="utf-8"))
    said_by = {option.field: option.reading for option in options_of(command)}
    unsaid = {name for name, value in found.items() if value is None or (name in said_by and _says_nothing(value, said_by[name]))}
    return {name: as_typed(value, said_by[name]) if name in said_by else value for name, value in found.items() if name not in unsaid}


def _says_nothing(value: Any, reading: Reading) -> bool:
    """No values of many, or an amount of nothing."""
    return (reading.many and value == []) or (reading.money and value == 0)


@pytest.mark.parametrize(
    ("process", "command"),
    [pytest.param(process, command, id=f"{process}-{golden.kind_of(command)}") for process, command in orderable()],
)
async def test_every_motion_can_be_written_as_an_order_and_is_the_same_to_the_byte(
    process: str, command: type[Command], by: By, tmp_path: Path
) -> None:
    given, stream = example(process, command), f"{process}/vega"
    order = written_as_order(stream, command, given, tmp_path)
    assert canonical_command({"kind": "", **await motion(order, by)}) == canonical_command({"kind": "", "stream": stream, "command": given})


def test_what_the_charter_lets_a_vote_decide_is_among_them() -> None:
    known = {f"{process}/{golden.kind_of(command)}" for process, command in orderable()}
    covered = {command for rule in charter().decisions.values() for command in rule.covers}
    assert covered
    assert covered <= known


async def test_a_proposal_with_an_order_is_the_same_command_as_with_its_motion_in_json_or_from_a_file(by: By, tmp_path: Path) -> None:
    file = tmp_path / "motion.json"
    in_units = {"stream": "round/vega", "command": REDUCED | {"goal": "8,000,000.00 USD", "minimum": "6,000,000.50 USD"}}
    file.write_text(json.dumps({"motion": in_units}), encoding="utf-8")
    ways: Sequence[dict[str, Any]] = ({"order_": ORDER}, {"motion": json.dumps(NESTED)}, {"from_": file})
    bodies = {canonical_command(await said(letters.Propose, {"title": "A smaller run"} | way, by)) for way in ways}
    assert bodies == {canonical_command({"kind": "propose", "title": "A smaller run", "motion": NESTED})}


@pytest.mark.parametrize("typed", ["500000", "500000.00", "500,000", "500,000 USD", "USD 500,000.00"])
async def test_an_amount_is_typed_in_units_with_or_without_its_currency(by: By, typed: str) -> None:
    assert (await said(round_commands.Pledge, {"member": "helio", "amount": typed}, by))["amount"] == 50_000_000


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("500,000 EUR", "is in EUR, and here amounts are in USD"),
        ("0 USD", "lies above 0"),
        ("5,00 USD", "is not an amount in USD"),
        ("1e3", "is not an amount"),
    ],
)
async def test_an_amount_in_another_currency_or_none_at_all_is_told_by_its_option(by: By, typed: str, told: str) -> None:
    with pytest.raises(BadInput, match=rf"--amount: .*{told}"):
        await said(round_commands.Pledge, {"member": "helio", "amount": typed}, by)


async def test_an_order_takes_the_file_that_the_command_takes_and_may_begin_with_the_programs_name(by: By, tmp_path: Path) -> None:
    file = tmp_path / "goal.toml"
    file.write_text('goal = "8,000,000.00 USD"\n', encoding="utf-8")
    assert await motion(f"consortium round reduce-goal round/vega --minimum 6000000.50 --from {file}", by) == NESTED


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("", "is empty; an order begins with one of consortium, member"),
        ("raund reduce-goal vega", "there is no process 'raund'"),
        ("round", "'round' names no command"),
        ("round reduce-gaol vega", "there is no command 'reduce-gaol'; did you mean 'reduce-goal'?"),
        ("round reduce-goal --goal 5 --minimum 4", "ROUND"),
        ("round reduce-goal Vega --goal 5 --minimum 4", "'round/Vega' is not of the form process/slug"),
        ("round reduce-goal vega --gaol 5", "--gaol"),
        ("round reduce-goal vega --goal 5x --minimum 4", "--goal: '5x' is not an amount in USD"),
        ("round reduce-goal vega --goal 5 --minimum 4.001", "--minimum: '4.001' is not an amount in USD"),
        ("round reduce-goal vega --goal 5", "minimum"),
        ("round reduce-goal vega --goal 5 --minimum 4 --cause whim", '"whim" for --cause'),
        ("round reduce-goal vega more --goal 5 --minimum 4", "more"),
        ("round reduce-goal vega --goal 5 --minimum 4 --key sam", "--key"),
        ("round reduce-goal vega --help", "--help"),
        ("round reduce-goal 'vega", "cannot be parted into words"),
        ("consortium amend-charter atlas --charter nowhere.toml", "nowhere.toml"),
    ],
)
def test_what_is_wrong_with_an_order_is_told_by_its_part(bare: Terminal, by: By, order: str, told: str) -> None:
    bare.folder = str(by.folder)
    answer = bare("proposal", "propose", "smaller", "--title", "A smaller run", "--order", order, "--key", "sam", "--json")
    assert answer.code == 4
    assert answer.error["message"].startswith("--order: ")
    assert told in answer.error["message"]


def test_a_motion_is_given_in_one_way(bare: Terminal, by: By) -> None:
    bare.folder = str(by.folder)
    words = ("proposal", "propose", "smaller", "--title", "A smaller run", "--order", ORDER, "--motion", json.dumps(NESTED), "--key", "sam")
    answer = bare(*words, "--json")
    assert (answer.code, answer.error["message"]) == (4, "--order: the motion is given in another way too")
