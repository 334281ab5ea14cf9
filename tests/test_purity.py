"""The core, the workflows and what checks signatures ask nobody for the time, for luck or for anything outside: their imports are a short list."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

DOMAIN = Path(__file__).parent.parent / "domain"
WORKFLOWS = DOMAIN.parent / "workflows"
SIGNATURES = DOMAIN.parent / "signatures"

ALLOWED = frozenset(
    {"__future__", "base64", "binascii", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "immutables",
     "itertools", "json", "math", "operator", "pydantic", "pydantic.fields", "pydantic_core", "re", "types", "typing", "typing_extensions", "unicodedata", "uuid"}
)  # fmt: skip
OF_WORKFLOWS = frozenset(
    {"__future__", "activities.messages", "asyncio", "collections.abc", "datetime", "temporalio", "temporalio.common", "temporalio.exceptions", "typing"}
)  # fmt: skip
OF_SIGNATURES = ALLOWED | {
    "base64", "binascii", "cryptography.exceptions", "cryptography.hazmat.primitives", "cryptography.hazmat.primitives.asymmetric",
    "cryptography.hazmat.primitives.asymmetric.utils",
}  # fmt: skip
CLOCKS_AND_CHANCE = frozenset({"now", "utcnow", "today", "uuid1", "uuid4", "fromtimestamp"})
INPUT_AND_OUTPUT = frozenset({"open", "print", "input", "exec", "eval", "__import__"})


def impurities(source: str, own: str = "domain", allowed: frozenset[str] = ALLOWED) -> list[str]:
    """What in this source reaches outside: imports beyond its own package and the list, clocks, chance, input and output."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names if alias.name not in allowed]
            case ast.ImportFrom(module=module) if module not in allowed and (module or "").partition(".")[0] != own:
                found.append(str(module))
            case ast.Attribute(value=ast.Name(id="workflow"), attr="now"):
                pass
            case ast.Attribute(attr=name) if name in CLOCKS_AND_CHANCE:
                found.append(name)
            case ast.Call(func=ast.Name(id=name)) if name in INPUT_AND_OUTPUT:
                found.append(name)
            case _:
                pass
    return found


@pytest.mark.parametrize("path", sorted(DOMAIN.rglob("*.py")), ids=lambda path: str(path.relative_to(DOMAIN)))
def test_the_domain_reaches_nothing_outside(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.py")), ids=lambda path: path.stem)
def test_workflows_reach_nothing_outside_but_messages_and_temporal(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8"), "workflows", OF_WORKFLOWS) == []


@pytest.mark.parametrize("path", sorted(SIGNATURES.glob("*.py")), ids=lambda path: path.stem)
def test_what_checks_signatures_reaches_nothing_outside_and_what_signs_does(path: Path) -> None:
    assert bool(impurities(path.read_text(encoding="utf-8"), "signatures", OF_SIGNATURES)) == (path.stem == "signers")


@pytest.mark.parametrize(
    "source",
    ["import time", "from datetime import datetime\ndatetime.now()", "import random", "from uuid import uuid4\nx = uuid.uuid4()", "open('x')",
     "import os", "from temporalio import workflow", "from eventstore import log"],
)  # fmt: skip
def test_a_clock_chance_or_a_file_in_the_domain_is_noticed(source: str) -> None:
    assert impurities(source)
