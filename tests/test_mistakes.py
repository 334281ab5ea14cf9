"""Mistakes of `python -m tests.mistakes` that are quickly noticed, and that each of the others still finds what it changes."""

from __future__ import annotations

import pytest

from tests.mistakes import MISTAKES, Copy, Mistake, drawn, noticed


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy.into(tmp_path_factory.mktemp("mistakes") / "copy")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_a_mistake_changes_what_it_names_and_is_undone(copy: Copy, mistake: Mistake) -> None:
    before = copy.make(mistake)
    assert all(path.read_text(encoding="utf-8") != text for path, text in before.items())
    for path in before:
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    copy.undo(before)
    assert all(path.read_text(encoding="utf-8") == text for path, text in before.items())


def test_a_letter_that_its_process_does_not_take_is_named(copy: Copy) -> None:
    (mistake,) = (each for each in MISTAKES if each.title == "who gets SupersedeRelease takes a class of its own in its place")
    assert noticed(copy, mistake)


def test_every_case_of_a_match_statement_can_be_left_out_alone(copy: Copy) -> None:
    chosen = drawn(30, seed=1)
    assert chosen == drawn(30, seed=1)
    for arm in chosen:
        before = copy.leave_out(arm)
        (path,) = before
        left = path.read_text(encoding="utf-8")
        compile(left, str(path), "exec")
        assert left.count("\n") == before[path].count("\n") - (arm.last - arm.first + 1)
        copy.undo(before)
