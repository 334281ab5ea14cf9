"""Each process of the catalog is named where a process must be, that nothing else would miss."""

from __future__ import annotations

import tomllib
from pathlib import Path

from temporalio.workflow import _Definition

from domain.catalog import CATALOG
from tests.golden_log import STORIES
from workflows.catalog import PROCESSES

ROOT = Path(__file__).parent.parent


def test_every_process_has_a_workflow_of_its_name() -> None:
    assert sorted(_Definition.must_from_class(each).name or "" for each in PROCESSES) == sorted(CATALOG)


def independent(layer: str) -> list[str]:
    """The packages of a layer that may not import each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (modules,) = (each["modules"] for each in contracts if each["type"] == "independence" and each["modules"][0].startswith(f"{layer}."))
    return sorted(modules)


def test_every_process_is_a_package_and_none_may_import_another() -> None:
    assert independent("domain") == sorted(f"domain.{name}" for name in CATALOG)
    assert all((ROOT / "domain" / name / "process.py").is_file() for name in CATALOG)


def test_no_port_may_import_another() -> None:
    assert independent("activities") == sorted(
        f"activities.{package.parent.name}" for package in (ROOT / "activities").glob("*/__init__.py")
    )


def test_the_stories_of_every_process_are_played_into_the_golden_logs() -> None:
    assert set(STORIES) >= {*CATALOG, "process"}
    assert all((Path(__file__).parent / f"test_{name}.py").exists() for name in STORIES)
