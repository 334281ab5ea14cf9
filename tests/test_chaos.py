"""How lanes are run: each with a control that must fail, as many faults as wanted, and from where a cut session left off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.lane import Findings, Ground, Lane, Round
from tests.chaos.running import Journal, Run


class Rounds:
    """A lane's rounds, which find what they are told to find."""

    def __init__(self, *found: str, control: str = "a loss") -> None:
        self.ran: list[int] = []
        self._found = found
        self.lane = Lane("lane", "a fault", 5, 10, 2, self._run, self._control(control), "carelessness", "a loss")

    async def _run(self, ground: Ground) -> Findings:
        self.ran.append(ground.faults)
        return Findings(ground.faults, self._found)

    def _control(self, problem: str) -> Round:
        async def control(_: Ground) -> Findings:
            self.ran.append(0)
            return Findings(1, [problem] if problem else [])

        return control


def ran(lane: Lane, folder: Path | None = None, *, long: bool = False) -> int:
    return Run(Journal(folder), seed=1, long=long).lanes([lane])


def test_a_lane_brings_about_as_many_faults_as_are_wanted_after_its_control() -> None:
    rounds = Rounds()
    assert ran(rounds.lane) == 0
    assert rounds.ran == [0, 2, 2, 1]


@pytest.mark.parametrize("control", ["", "something else"])
def test_a_control_that_does_not_show_the_loss_fails_its_lane(control: str, capsys: pytest.CaptureFixture[str]) -> None:
    rounds = Rounds(control=control)
    assert ran(rounds.lane) == 1
    assert rounds.ran == [0]
    assert "FAILED, its control (carelessness)" in capsys.readouterr().out


def test_a_problem_in_any_round_fails_the_lane() -> None:
    assert ran(Rounds("money is gone").lane) == 1


def test_a_round_that_brings_about_nothing_fails_the_lane_and_ends() -> None:
    rounds = Rounds()

    async def nothing(_: Ground) -> Findings:
        return Findings(0, [])

    assert ran(replace(rounds.lane, run=nothing)) == 1


def test_a_lane_whose_tool_is_missing_is_skipped_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = Rounds()
    assert ran(replace(rounds.lane, missing=lambda: "no such tool")) == 0
    assert rounds.ran == []
    assert "lane: skipped, no such tool" in capsys.readouterr().out


def test_a_session_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Rounds()
    ran(first.lane, tmp_path, long=True)
    path = tmp_path / "lane.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:20], encoding="utf-8")
    second = Rounds()
    assert ran(second.lane, tmp_path, long=True) == 0
    assert second.ran == [2, 2, 2]
    third = Rounds()
    assert ran(third.lane, tmp_path, long=True) == 0
    assert third.ran == []


def test_what_was_found_before_the_session_was_cut_off_still_counts(tmp_path: Path) -> None:
    ran(Rounds("money is gone").lane, tmp_path)
    assert ran(Rounds().lane, tmp_path) == 1
