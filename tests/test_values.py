"""The values that messages are made of: text, money and time, at their edges."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from activities.bank.camt import minor_units
from activities.outside import plain
from domain.catalog import CATALOG
from domain.kernel import Instant, Name, Prose, shortened
from domain.money import MINOR_UNITS, display, parse_amount
from eventstore.wire import Malformed, canonical_command, parse
from tests.stories import charter

NAME: Final = TypeAdapter[str](Name)
PROSE: Final = TypeAdapter[str](Prose)

# ---------------------------------------------------------------- text

AWKWARD: Final = "\u200c\u200d\u200b\u202e\u2066\u00ad\ufeff\u0000\u000b\u0085\u2028 \u094d\u0915\u0633\u0644a\u0301e\ud800\ue000\u0378…"
"""Joiners and what makes them spelling, steering, invisible, composing, private and unassigned characters."""


@given(st.text(st.one_of(st.sampled_from(AWKWARD), st.characters()), max_size=60), st.integers(1, 40))
def test_what_is_left_of_foreign_text_is_taken_everywhere(text: str, limit: int) -> None:
    left = plain(text, limit)
    assert len(left) <= limit
    assert PROSE.validate_python(left) == left
    assert not left or NAME.validate_python(left) == left
    assert plain(left, limit) == left


@pytest.mark.parametrize("word", ["می‌خواهم", "क्‍ष", "Zoë Müller", "山田"])
def test_words_keep_the_joiners_that_are_their_spelling(word: str) -> None:
    assert plain(word, 100) == word


@pytest.mark.parametrize("text", ["a\u200db", "\u200cabc", "abc\u200d", "a \u200d b", "می\u200c"])
def test_joiners_that_join_nothing_are_taken_away(text: str) -> None:
    assert "\u200d" not in plain(text, 100)
    assert "\u200c" not in plain(text, 100)


@pytest.mark.parametrize(("text", "limit", "left"), [("نمی‌دانم", 4, "نمی"), ("नमस्‍कार", 5, "नमस्‍"), ("short", 10, "short"), ("a b", 2, "a ")])
def test_a_text_that_is_cut_is_a_text_still(text: str, limit: int, left: str) -> None:
    assert shortened(text, limit) == left
    TypeAdapter(Prose).validate_python(left)


# ---------------------------------------------------------------- money


@pytest.mark.parametrize(("currency", "minor"), [("TND", 1_234), ("USD", None), ("JPY", None), ("CLF", 12_340)])
def test_an_amount_has_the_places_of_its_currency(currency: str, minor: int | None) -> None:
    if minor is None:
        with pytest.raises(ValueError, match="decimal places"):
            parse_amount("1.234", currency)
        return
    assert parse_amount("1.234", currency) == minor_units("1.234", currency, 1) == minor
    assert display(minor, currency).startswith(f"{currency} 1.234")


@given(st.sampled_from(sorted(MINOR_UNITS)), st.integers(1, 10**15))
def test_an_amount_is_read_as_it_was_shown(currency: str, minor: int) -> None:
    text = display(minor, currency).removeprefix(f"{currency} ").replace(",", "")
    assert parse_amount(text, currency) == minor_units(text, currency, 1) == minor


# ---------------------------------------------------------------- time

INSTANT: Final = TypeAdapter[datetime](Instant)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_an_instant_beyond_the_calendar_is_bad_input(text: str) -> None:
    with pytest.raises(ValidationError, match="outside of the calendar"):
        INSTANT.validate_json(f'"{text}"')


@pytest.mark.parametrize("day", ["0001-01-01", "1999-12-31", "2200-01-01", "9999-12-31"])
def test_a_command_names_no_day_that_periods_cannot_be_counted_from(day: str) -> None:
    call = {"kind": "call_tranche", "tranche": 1, "due": day}
    with pytest.raises(Malformed, match="outside of the years 2000 to 2199"):
        parse(CATALOG["round"], canonical_command(call))
    parse(CATALOG["round"], canonical_command(call | {"due": "2199-12-31"}))


def test_no_part_of_a_command_names_one() -> None:
    rules = charter().model_dump(mode="json")
    rules["calendar"]["holidays"].append("9999-12-25")
    with pytest.raises(Malformed, match="9999-12-25"):
        parse(CATALOG["consortium"], canonical_command({"kind": "amend_charter", "charter": rules}))
