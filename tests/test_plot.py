"""A run as a picture, from its events: as SVG and in the terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cli import main
from cli.plot import COLUMNS, course, drawing, sketch
from eventstore.entries import ACCEPTED, EMPTY, encode_json, microseconds, sealed
from settings import open_log
from tests.stories import START

SVG = "{http://www.w3.org/2000/svg}"
TERMS = {"title": "Atlas <1> & more", "currency": "USD", "token_budget": 10**12, "p50": 80_000_00, "p80": 100_000_00}


def followed(number: int, loss: int | None = 2_000_000) -> Mapping[str, Any]:
    """What a look told, as a read model has it."""
    return {
        "kind": "telemetry_followed",
        "watch": {"tokens": number * 10**9},
        "spent": number * 1_000_00,
        "forecast": "9007199254740993",
        "loss_micro": loss,
    }


def told(*events: Mapping[str, Any]) -> list[tuple[datetime, Mapping[str, Any]]]:
    return [(START + timedelta(hours=6 * number), event) for number, event in enumerate(events)]


WHOLE = told(
    {"kind": "contract_approved", "version": 1, "contract": TERMS},
    followed(1, 2_500_000),
    {"kind": "loss_spiked", "spike": {"step": 1_250}},
    {"kind": "run_restarted", "restart": {"to_step": 1_200}},
    {"kind": "loss_diverged", "stage": "a", "step": 1_300, "count": 2},
    {"kind": "checkpoint_missing", "stage": "a<b>", "step": 2_000},
    {"kind": "checkpoint_missing", "stage": "a", "step": 3_000, "count": 5},
    {"kind": "checkpoints_found", "stage": "a", "step": 3_000, "count": 5},
    {"kind": "run_fell_silent"},
    followed(2),
    {"kind": "milestone_accepted", "milestone": "half"},
    {"kind": "run_completed"},
)
WORDS = (
    "contract 1", "spike at step 1,250", "restart at step 1,200", "no finite loss from step 1,300", "missing: a<b> 2,000",
    "missing: a 3,000 and 4 more", "found: a 3,000 and 4 more", "fell silent", "half accepted", "completed",
)  # fmt: skip


def test_everything_that_happened_is_a_mark() -> None:
    run = course(WHOLE)
    assert tuple(words for _, _, words in run.marks) == WORDS
    assert [value for _, value in run.loss] == [2.5, 2.0]
    assert [value for _, value in run.forecast] == [9007199254740993] * 2


def test_the_picture_is_whole_svg_in_which_every_word_of_people_is_escaped() -> None:
    picture = ElementTree.fromstring(drawing("run/atlas-1", WHOLE))
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    assert "Atlas <1> & more" in texts
    assert all(any(text.endswith(words) for text in texts) for words in WORDS)
    assert len(list(picture.iter(f"{SVG}polyline"))) == 4
    assert {"P50", "P80"} <= set(texts)
    width, height = (int(each) for each in picture.attrib["viewBox"].split()[2:])
    for line in picture.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            across, down = (float(each) for each in point.split(","))
            assert 0 <= across <= width
            assert 0 <= down <= height


def test_a_run_that_was_never_heard_of_is_drawn_as_well() -> None:
    only = told({"kind": "contract_approved", "version": 1, "contract": TERMS})
    assert ElementTree.fromstring(drawing("run/atlas-1", only)).tag == f"{SVG}svg"
    assert "contract 1" in sketch("run/atlas-1", only, only[-1][0])


def test_the_terminal_shows_the_course_the_bands_and_what_happened() -> None:
    shown = sketch("run/atlas-1", WHOLE, WHOLE[-1][0])
    assert shown.startswith("Atlas <1> & more\n")
    assert all(words in shown for words in WORDS)
    assert "P50 USD 80,000.00, P80 USD 100,000.00" in shown
    assert "2.0 B" in shown


def test_a_long_run_fits_into_a_line_of_the_terminal_and_ends_with_its_last_point() -> None:
    shown = sketch("run/atlas-1", told(*(followed(number) for number in range(1_000))), WHOLE[-1][0]).splitlines()
    tokens = next(line for line in shown if line.strip().startswith("tokens"))
    bars = tokens.split()[1]
    assert (len(bars), bars[0], bars[-1]) == (COLUMNS, "▁", "█")
    assert "999.0 B" in tokens


def test_programs_get_the_course_of_a_run_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def recorded() -> None:
        log = await open_log(str(tmp_path / "log.db"))
        body = encode_json([event for _, event in WHOLE])
        entry = sealed(
            1, "run/atlas-1", "c-1", "follow", "service", microseconds(START), "2", b"{}", b"", b"", ACCEPTED, body, EMPTY.hash
        )  # fmt: skip
        await log.append([entry])
        await log.close()

    asyncio.run(recorded())
    assert main.run(["plot", "atlas-1", "--json", "--svg", str(tmp_path / "run.svg"), "--folder", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["stream"], answer["title"], answer["budget"]) == ("run/atlas-1", TERMS["title"], TERMS["token_budget"])
    assert [words for _, _, words in answer["marks"]] == list(WORDS)
    assert datetime.fromisoformat(answer["tokens"][0][0]) == START
    assert (answer["svg"], (tmp_path / "run.svg").exists()) == (str(tmp_path / "run.svg"), True)
