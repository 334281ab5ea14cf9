"""A state that is made of other fields comes with a raised version: else a worker would read a snapshot that another release meant otherwise."""

from __future__ import annotations

from enum import Enum
from inspect import get_annotations

import pytest

from tests.shapes import ROOTS, changed, classes_of, known


@pytest.mark.parametrize("name", ROOTS)
def test_what_states_are_made_of_is_as_it_was_written_down_for_their_version(name: str) -> None:
    assert changed(name) == [], f"raise {ROOTS[name].declared}, run `pytest --golden`, and commit what it adds to tests/golden/states.json"


@pytest.mark.parametrize("name", ROOTS)
def test_versions_are_numbered_from_one_without_gaps(name: str) -> None:
    assert sorted(map(int, known()[name])) == list(range(1, ROOTS[name].version() + 1))


@pytest.mark.parametrize("mutation", ["added", "renamed", "retyped", "removed"])
@pytest.mark.parametrize("name", ROOTS)
def test_one_changed_field_of_any_class_is_noticed(name: str, mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unnoticed = list[type]()
    for kind in [kind for kind in classes_of(ROOTS[name].state) if not issubclass(kind, Enum)]:
        own = get_annotations(kind)
        field = next(iter(own), None)
        if field is None and mutation != "added":
            continue
        with monkeypatch.context() as mutated:
            match mutation:
                case "added":
                    changed_fields = own | {"further": "int"}
                case "renamed":
                    changed_fields = {"renamed" if each == field else each: hint for each, hint in own.items()}
                case "retyped":
                    changed_fields = {each: "complex" if each == field else hint for each, hint in own.items()}
                case _:
                    changed_fields = {each: hint for each, hint in own.items() if each != field}
            mutated.setattr(kind, "__annotations__", changed_fields)
            if f"{kind.__module__}.{kind.__qualname__}" not in changed(name):
                unnoticed.append(kind)
    assert unnoticed == []
    assert changed(name) == []


@pytest.mark.parametrize("name", ROOTS)
def test_a_name_that_any_enumeration_has_no_longer_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in [kind for kind in classes_of(ROOTS[name].state) if issubclass(kind, Enum)]:
        with monkeypatch.context() as mutated:
            mutated.setattr(kind, "_member_names_", kind._member_names_[:-1])
            assert f"{kind.__module__}.{kind.__qualname__}" in changed(name)


def test_a_version_that_nobody_wrote_down_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.register.fold.REGISTER_VERSION", 99)
    assert "version 99" in changed("register")[0]
