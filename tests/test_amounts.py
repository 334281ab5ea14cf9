"""Amounts in files are written in units with their currency; an integer, which could be either, is refused with both readings."""

from __future__ import annotations

from typing import Any

import pytest

from cli.amounts import amounts_of, in_minor_units, messages, minor
from cli.failures import BadInput
from cli.files import example, read_charter
from domain import letters
from domain.catalog import CATALOG
from domain.charter import Charter
from domain.kernel import Message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500,000.00 USD", 50_000_000), ("USD 500,000.00", 50_000_000), ("1250000.5 USD", 125_000_050), ("12 USD", 1_200), ("0.00 USD", 0),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_people_write_it(text: str, expected: int) -> None:
    assert minor(text, "USD") == expected


def test_each_currency_has_its_own_minor_units() -> None:
    assert (minor("1,000 JPY", ""), minor("1.234 KWD", "KWD")) == (1_000, 1_234)


@pytest.mark.parametrize(
    "text",
    [
        "500",
        "USD",
        "5,00.00 USD",
        "5.000 USD",
        "-5 USD",
        "1e6 USD",
        "５ USD",
        "5 USD EUR",
        "USD 5 EUR",
        "5.00 usd",
        "5 EUR",
        "",
        "99999999999999999 USD",
    ],
)
def test_what_could_be_meant_otherwise_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|USD"):
        minor(text, "USD")


def test_an_integer_is_refused_with_both_readings() -> None:
    with pytest.raises(BadInput, match=r'amount: 50000 names no currency: write "50,000.00 USD".*or "500.00 USD"'):
        in_minor_units(command("round/a", "pledge"), {"member": "helio", "amount": 50_000}, "USD")


def test_amounts_deep_inside_are_read_and_what_is_no_amount_stays() -> None:
    given = {
        "title": "Atlas", "goal": "1,000.00 USD", "currency": "USD",
        "budget": [{"name": "compute", "amount": "999.99 USD"}, {"name": "rest", "amount": "0.01 USD"}], "tranches": [{"name": "all", "fraction": 10_000}],
    }  # fmt: skip
    read = in_minor_units(command("round/a", "open_round"), given, "")
    assert (read["goal"], [line["amount"] for line in read["budget"]]) == (100_000, [99_999, 1])
    assert read["tranches"] == given["tranches"]


def test_the_command_that_a_motion_carries_is_read_as_its_stream_s() -> None:
    motion = {"stream": "round/vega", "command": {"kind": "reduce_goal", "goal": "8,000,000.00 USD", "minimum": "1.00 USD"}}
    read = in_minor_units(letters.Propose, {"title": "less", "motion": motion}, "USD")
    assert read["motion"]["command"]["goal"] == 800_000_000
    with pytest.raises(BadInput, match=r"motion\.command\.goal: 8 names no currency"):
        in_minor_units(letters.Propose, {"motion": {"stream": "round/vega", "command": {"kind": "reduce_goal", "goal": 8}}}, "USD")


def test_a_charter_may_have_minor_units_and_the_example_has_units() -> None:
    charter = read_charter(example("charter.toml"))
    amounts = amounts_of(Charter, charter, charter["currency"])
    assert amounts["tiers.founding.annual_fee"] == 50_000_000
    assert amounts["rate_card.rates.h100-hour"] == 250
    assert in_minor_units(Charter, charter, "USD") == charter


def command(stream: str, kind: str) -> type[Message]:
    process = CATALOG[stream.partition("/")[0]]
    return next(each for each in messages(process.commands.core_schema) if each.model_fields["kind"].default == kind)


def _bounded(schema: Any) -> bool:
    """Whether an amount stands in this part of a JSON schema: it is bounded by 10^15, and nothing else is."""
    return isinstance(schema, dict) and (schema.get("maximum") == 10**15 or any(map(_bounded, schema.get("anyOf", ()))))


@pytest.mark.parametrize(
    "each", [each for process in CATALOG.values() for each in messages(process.commands.core_schema)], ids=lambda each: str(each.__name__)
)
def test_every_amount_of_a_command_is_read_in_units(each: type[Message]) -> None:
    written = {name: "1.00 USD" for name, field in each.model_json_schema()["properties"].items() if _bounded(field)}
    assert in_minor_units(each, written, "USD") == dict.fromkeys(written, 100)
