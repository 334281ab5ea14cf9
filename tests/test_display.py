"""Commands in a line for people, as timelines show them: kind, person, member, amounts in units; short, and nothing that acts as markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activities.log.display import answered, lacks_currency, line_of, step_line
from activities.messages import LONGEST_LINE, Envelope, is_plain
from domain import letters
from domain.catalog import CATALOG
from domain.kernel import Step, tell
from eventstore.entries import ACCEPTED, EMPTY, REFUSED, Entry, Refusal, encode_json, sealed
from tests import golden

COMMANDS = sorted(golden.FOLDER.glob(f"*/{golden.COMMANDS}/*.json"))
PLEDGE = {"kind": "pledge", "member": "helio", "amount": 50_000_000}


def said(stream: str, command: dict[str, Any], currency: str = "USD") -> str:
    return line_of(stream, "ada", encode_json(command), currency)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_every_command_ever_stored_has_a_short_plain_line_that_its_envelope_takes(path: Path) -> None:
    command = json.loads(path.read_bytes())
    line = said(f"{path.parts[-3]}/one", command)
    assert line.startswith(f"{command['kind']} by ada")
    assert len(line.encode()) <= LONGEST_LINE
    assert Envelope(actor="ada", command=command, line=line).shown == line


def test_every_process_has_commands_that_are_looked_at() -> None:
    assert {path.parts[-3] for path in COMMANDS} == set(CATALOG)


@pytest.mark.parametrize(
    ("stream", "command", "line"),
    [
        ("round/atlas-1", PLEDGE, "pledge by ada for helio: USD 500,000.00"),
        ("round/atlas-1", PLEDGE | {"currency": "JPY"}, "pledge by ada for helio: JPY 50,000,000"),
        ("round/atlas-1", PLEDGE | {"if_total_at_least": 10**15}, "pledge by ada for helio: USD 500,000.00, if total at least USD 10,000,000,000,000.00"),
        ("round/atlas-1", {"kind": "reduce_goal", "goal": 800, "minimum": 5}, "reduce_goal by ada: goal USD 8.00, minimum USD 0.05"),
        ("round/atlas-1", {"kind": "withdraw_pledge", "member": "helio"}, "withdraw_pledge by ada for helio"),
        ("proposal/size", {"kind": "cast_ballot", "member": "helio", "choice": "yes"}, "cast_ballot by ada for helio"),
        ("member/helio", {"kind": "retry_step", "step": "screen:1"}, "retry_step by ada: screen:1"),
        (
            "proposal/smaller",
            {"kind": "propose", "title": "[x](y)", "motion": {"stream": "round/vega", "command": {"kind": "reduce_goal", "goal": 800, "minimum": 5}}},
            "propose by ada: reduce_goal on round/vega, goal USD 8.00, minimum USD 0.05",
        ),
        ("round/atlas-1", {"kind": "pook"}, ""),
        ("probe/one", {"kind": "poke"}, ""),
    ],
)  # fmt: skip
def test_a_line_names_kind_person_member_and_amounts_in_units(stream: str, command: dict[str, Any], line: str) -> None:
    assert said(stream, command) == line


def test_an_amount_whose_currency_is_not_known_is_left_out() -> None:
    assert said("round/atlas-1", PLEDGE, "") == "pledge by ada for helio"
    assert lacks_currency("round/atlas-1", encode_json(PLEDGE))
    assert not lacks_currency("round/atlas-1", encode_json(PLEDGE | {"currency": "USD"}))
    assert not lacks_currency("round/atlas-1", encode_json({"kind": "settle_round"}))


@pytest.mark.parametrize(
    "line", ["[x](y)", "**x**", "`x`", "a | b", "<b>", "https://e", "www.e.example", "a@b", "\x1b[2J", "\u202e", "é", "x\ny", "x" * (LONGEST_LINE + 1)]
)  # fmt: skip
def test_no_markup_address_or_escape_code_is_plain(line: str) -> None:
    assert not is_plain(line)
    with pytest.raises(ValidationError):
        Envelope(actor="ada", command=PLEDGE, line=line)


def test_an_envelope_without_a_line_is_written_as_former_releases_read_it() -> None:
    assert set(json.loads(Envelope(actor="ada", command=PLEDGE).model_dump_json())) == {"actor", "command", "signed", "signature"}


@pytest.mark.parametrize(
    ("actor", "line", "shown"),
    [
        ("ada", "", "pledge by ada"),
        ("ada", "pledge by ada", "pledge by ada"),
        ("ada", "pledge by ada for helio: USD 1.00", "pledge by ada for helio: USD 1.00"),
        ("ada", "pledge by adam", "pledge by ada"),
        ("ada", "approve by ada: USD 1.00", "pledge by ada"),
        ("[x](y)", "", ""),
    ],
)
def test_who_gives_which_command_is_shown_as_the_command_says_it(actor: str, line: str, shown: str) -> None:
    assert Envelope(actor=actor, command=PLEDGE, line=line).shown == shown


def test_a_step_that_speaks_to_another_stream_says_what_and_where() -> None:
    assert step_line(tell("round/atlas-1", letters.ReleaseLeaver(member="ada"), key="tell:7:1")) == "release_leaver to round/atlas-1"
    assert step_line(Step(kind="screen", key="screen:1")) == "screen:1"
    assert step_line(Step(kind="screen", key="[x](y)")) == ""


def entry(outcome: str, body: bytes) -> Entry:
    at, command = 1_795_000_000_000_000, encode_json(PLEDGE)
    return sealed(1, "round/atlas-1", "id", "pledge", "ada", at, "4", command, b"", b"", outcome, body, EMPTY.hash)


def test_an_answer_tells_when_what_and_what_came_of_it() -> None:
    asked = "2026-11-18 11:06 UTC pledge by ada for helio: USD 500,000.00: "
    owed = encode_json([{"kind": "pledge_made"}, *({"kind": "step_owed"},) * 3])
    assert re.sub(r"\\", "", answered(entry(ACCEPTED, owed), "USD")) == asked + "accepted, pledge_made, step_owed ×3"
    kinds = encode_json([{"kind": f"{letter}_made"} for letter in "abcdefg"])
    assert (
        re.sub(r"\\", "", answered(entry(ACCEPTED, kinds), "USD")) == asked + "accepted, a_made, b_made, c_made, d_made, e_made and 2 more"
    )
    assert answered(entry(ACCEPTED, b"[]"), "USD") == asked + "accepted, nothing changed"
    refusal = encode_json(Refusal("round_closed", "it is closed", "take another"))
    assert re.sub(r"\\", "", answered(entry(REFUSED, refusal), "USD")) == asked + "**refused** by round_closed"
    assert answered(entry(ACCEPTED, b"\xff"), "USD") == asked + "accepted"
