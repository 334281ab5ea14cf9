"""Work that is killed at one of its effects: it died there, or it ended, and whatever else becomes of it is a failure of the test."""

from __future__ import annotations

import signal
from itertools import count
from pathlib import Path

import pytest

from tests import dying
from tests.dying import dies

NAMES = ("a", "b", "c")


def make_folders(place: Path) -> None:
    for name in NAMES:
        (place / name).mkdir()


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_work_dies_at_the_effect_with_the_number_and_lives_when_there_is_none(tmp_path: Path, at: int) -> None:
    place, died = dies(lambda: tmp_path, make_folders, at)
    assert died == (at <= len(NAMES))
    assert {path.name for path in place.iterdir()} == set(NAMES[: at - 1])


def test_work_that_fails_is_not_taken_for_work_that_lived(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(AssertionError, match="the work failed before effect 2"):
        dies(lambda: tmp_path, make_folders, 2)


def test_work_that_hangs_is_tried_at_a_fresh_place_and_then_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dying, "PATIENCE_SECONDS", 0.05)
    numbers = count(1)

    def fresh() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    def hang(_place: Path) -> None:
        signal.pause()

    with pytest.raises(AssertionError, match="the work hangs before effect 1: tried 2 times"):
        dies(fresh, hang, 1)
    assert len(list(tmp_path.iterdir())) == dying.TRIES
