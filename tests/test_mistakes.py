"""Mistakes of `python -m tests.mistakes` that are quickly noticed, and that each of the others still finds what it changes.

What the tools for this name, tests and files of tests, is there: else a name that nobody has any more would count as one that notices.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests import golden_log, mutants
from tests.copied import ROOT, Copy, failed
from tests.further import GOLDEN as WRITTEN_BY
from tests.further import LINES, PLACES, SOURCES
from tests.mistakes import GOLDEN, MISTAKES, MYPY, WITH_FURTHER, Mistake, checkable, drawn, every_arm, make, noticed, without


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return checkable(tmp_path_factory.mktemp("mistakes") / "copy")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_a_mistake_changes_what_it_names_and_is_undone(copy: Copy, mistake: Mistake) -> None:
    before = make(copy, mistake)
    assert all(path.read_text(encoding="utf-8") != text for path, text in before.items())
    for path in before:
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    copy.put_back(before)
    assert all(path.read_text(encoding="utf-8") == text for path, text in before.items())


def test_a_letter_that_its_process_does_not_take_is_named(copy: Copy) -> None:
    (mistake,) = (each for each in MISTAKES if each.title == "who gets SupersedeRelease takes a class of its own in its place")
    assert noticed(copy, mistake)


# ---------------------------------------------------------------- arms


@cache
def cases(text: str) -> int:
    """How many cases all match statements of a module have."""
    return sum(len(node.cases) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Match))


def test_every_case_of_a_match_statement_can_be_left_out_alone() -> None:
    for arm in every_arm():
        text = (ROOT / arm.path).read_text(encoding="utf-8")
        left = without(text, arm)
        inside = "\n".join(text.splitlines()[arm.first - 1 : arm.last])
        assert cases(left) == cases(text) - len(re.findall(r"^ *case ", inside, re.MULTILINE)), str(arm)


def test_the_same_cases_are_drawn_for_the_same_seed() -> None:
    assert drawn(30, seed=1) == drawn(30, seed=1) != drawn(30, seed=2)


# ---------------------------------------------------------------- names


def named() -> Iterator[str]:
    """The tests, as pytest names them, and the files that the tools for mistakes and mutants name."""
    yield from (GOLDEN, PLACES, *WITH_FURTHER, *WRITTEN_BY)
    for mistake in MISTAKES:
        if mistake.tool != MYPY:
            yield mistake.tool
            yield from (f"{mistake.tool.partition('::')[0]}::{name}" for name in re.findall(r"\btest_\w+", mistake.says))
    yield from (line.noticed for line in LINES if line.noticed != MYPY)
    suites = (mutants.STORIES, *mutants.SUITES.values(), golden_log.STORIES)
    yield from (f"tests/test_{name}.py" for suite in suites for name in suite)


@pytest.mark.parametrize("name", sorted(set(named())))
def test_what_is_named_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    place = ROOT / file if (ROOT / file).exists() else SOURCES / file
    assert place.exists()
    assert not test or re.search(rf"^(async )?def {test}\(", place.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", mutants.SUITES)
def test_a_suite_is_of_a_module_of_the_domain_or_of_a_package(name: str) -> None:
    assert (
        any((ROOT / package / name).is_dir() or list((ROOT / package).rglob(f"{name}.py")) for package in ("domain", "signatures"))
        or (ROOT / name).is_dir()
    )


def test_a_test_that_fails_names_a_mistake_and_one_that_is_not_there_names_none(copy: Copy) -> None:
    nowhere = copy.pytest("tests/test_nowhere.py")
    assert nowhere.returncode != 0
    assert failed(nowhere.stdout + nowhere.stderr) == []
    assert failed("FAILED tests/test_x.py::test_y - assert 1 == 2\n") == ["FAILED tests/test_x.py::test_y - assert 1 == 2"]
