"""What a text tells people to type can be typed: each command that a refusal, a notice, a help text or a document names is there."""

from __future__ import annotations

import pytest

from cli.processes import commands_of
from domain.catalog import CATALOG
from tests.commands_named import Named, coded_words, in_code, in_documents, in_text, wrong, wrong_with
from tests.golden import kind_of


def test_every_command_that_the_code_names_is_there() -> None:
    named = list(in_code())
    assert len(named) > 60
    assert wrong(named) == []


def test_every_command_that_a_document_names_is_there() -> None:
    named = list(in_documents())
    assert len(named) > 20
    assert wrong(named) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("consortium leave", "no command 'leave'"),
        ("consortium member depart helio", "no command 'depart'"),
        ("consortium show round/atlas-1 --people", "no option --people"),
        ("consortium proposal propose p --titel x", "no option --titel"),
    ],
)
def test_a_command_or_an_option_that_is_not_there_is_found(words: str, says: str) -> None:
    assert says in wrong_with(words)


@pytest.mark.parametrize(
    "words",
    [
        "consortium show member/…",
        "consortium up --folder DIR --pace 1440",
        "consortium proposal propose p --title 'x y' --key sam",
        "consortium",
    ],
)
def test_a_command_that_is_there_is_not_blamed(words: str) -> None:
    assert wrong_with(words) == ""


def test_a_command_is_found_in_the_middle_of_a_sentence() -> None:
    assert list(in_text("ask a representative (`consortium who-represents …`), or leave", "x")) == [
        Named("x", "consortium who-represents …")
    ]


def test_what_people_are_to_type_is_named_as_it_is_typed() -> None:
    """The log's name of a command, like `order_refund`, is no word of the command line."""
    typed = {kind_of(command) for process in CATALOG.values() for command in commands_of(process)}
    assert [f"{place}: {word}" for place, word in coded_words() if word in typed] == []
