"""Nobody whose money passes through the treasury is forgotten by it: who waits for some, and who had some paid."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

import pytest

from domain.catalog import CATALOG
from domain.kernel import SERVICE, Letter, StreamId, process_of
from domain.letters import Purpose
from domain.process import Context, Process
from domain.register.facts import PaymentExpected
from domain.register.state import Register
from domain.stream import StepOwed
from domain.treasury import events
from domain.treasury.payers import (
    OWN_PURPOSES,
    Receiver,
    pass_on,
    receiver_of,
    report_paid,
    report_released,
    report_returned,
    report_reversal,
)
from domain.treasury.records import Movement, Payment, Place
from domain.treasury.rules import Events
from domain.treasury.terms import Line, line_id
from tests import golden
from tests.stipend import STIPEND
from tests.stories import START

LINE, OTHER = line_id("a" * 64), line_id("b" * 64)
NAME: Final = "refund-1"
STREAMS: Final[Mapping[Receiver, str]] = {Receiver.ROUND: "round/atlas-1", Receiver.MEMBER: "member/ada"}
SOURCES: Final[Mapping[Purpose, str]] = {Purpose.SPENDING: "round/atlas-1", Purpose.REFUND: "round/atlas-1"}
"""A stream that orders payments for each purpose that is not the treasury's own."""

# ---------------------------------------------------------------- money that comes in


def waiting_for_money(catalog: Mapping[str, Process[Any, Any, Any]]) -> set[str]:
    """The processes that say by which reference their money comes: the treasury passes on what comes by it."""
    return {name for name, process in catalog.items() if PaymentExpected in golden.kinds(process)}


def without_receiver(catalog: Mapping[str, Process[Any, Any, Any]]) -> set[str]:
    """The processes that the treasury cannot pass money on to, though they wait for it."""
    return waiting_for_money(catalog) - set(Receiver)


def letter_in(follows: Events) -> Letter:
    """The one letter that these events owe, as the process that it is for reads it."""
    (owed,) = follows
    assert isinstance(owed, StepOwed)
    stream, command = owed.step.data["stream"], owed.step.data["command"]
    letter = CATALOG[process_of(stream)].commands.validate_json(json.dumps(command))
    assert isinstance(letter, Letter)
    return letter


def movement(stream: str) -> Movement:
    details = Line(booked_on=date(2026, 11, 2), value_date=date(2026, 11, 2), amount=5_000, currency="EUR", side="credit")
    return Movement(details, Place("f" * 64, "1", 1), "a" * 64, "a" * 64, "matched", stream, "ada", 1)


def test_the_treasury_passes_money_on_to_every_process_that_waits_for_some_and_to_no_other() -> None:
    assert without_receiver(CATALOG) == set()
    assert waiting_for_money(CATALOG) == set(Receiver)


def test_a_new_process_that_waits_for_money_is_named_until_the_treasury_knows_it() -> None:
    assert without_receiver({**CATALOG, "stipend": STIPEND}) == {"stipend"}
    with pytest.raises(ValueError, match="'stipend' is not a valid Receiver"):
        receiver_of("stipend/g")


@pytest.mark.parametrize("receiver", Receiver)
def test_whoever_gets_money_gets_a_letter_when_it_comes_and_one_when_it_is_taken_back(receiver: Receiver) -> None:
    stream = STREAMS[receiver]
    day = date(2026, 11, 2)
    matched = events.LineMatched(line=LINE, stream=stream, member="ada", amount=5_000, currency="EUR", value_date=day, attempt=1)
    came = letter_in((pass_on(matched, Context(START, SERVICE, StreamId("treasury/main"), Register())),))
    gone = letter_in(report_reversal(OTHER, LINE, movement(stream)))
    assert (came.to, gone.to) == (receiver, receiver)
    assert type(came) is not type(gone)


# ---------------------------------------------------------------- money that goes out

Report = Callable[[str, Payment, str], Events]
REPORTS: Final[Mapping[str, Report]] = {"record": report_paid, "return": report_returned, "release": report_released}


def payment(purpose: Purpose, source: str | None) -> Payment:
    return Payment("member:ada", 5_000, "EUR", purpose, "ada", source, "", "sam", 2, None)


def test_every_purpose_is_the_treasurys_own_or_some_process_orders_payments_for_it() -> None:
    assert set(SOURCES) == set(Purpose) - OWN_PURPOSES


@pytest.mark.parametrize("purpose", sorted(set(Purpose) - OWN_PURPOSES))
@pytest.mark.parametrize("what", REPORTS)
def test_whoever_ordered_a_payment_gets_a_letter_when_it_left_when_it_came_back_and_when_it_is_given_up(
    what: str, purpose: Purpose
) -> None:
    source = SOURCES[purpose]
    letter = letter_in(REPORTS[what](NAME, payment(purpose, source), LINE))
    assert letter.kind == f"{what}_{purpose}"
    assert letter.to == process_of(source)


@pytest.mark.parametrize("purpose", sorted(OWN_PURPOSES))
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_nobody_gets_a_letter_of_what_the_treasury_pays_by_itself(report: Report, purpose: Purpose) -> None:
    assert report(NAME, payment(purpose, None), LINE) == ()


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_a_source_that_takes_no_such_letter_stops_no_statement(report: Report) -> None:
    """A vote may order a payment in the name of any stream: the letter is turned away there, and its step waits for a person."""
    (owed,) = report(NAME, payment(Purpose.SPENDING, "member/ada"), LINE)
    assert isinstance(owed, StepOwed)
    assert owed.step.data["stream"] == "member/ada"
