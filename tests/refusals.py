"""Every rule that can refuse a command, read from the domain's code: what a refusal names is a text in the code, or handed on."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "domain"


@cache
def rules() -> Set[str]:
    """The names of all rules."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.rglob("*.py"))]
    makers: dict[str, int] = {"Refused": 0}
    while more := {name: place for tree in trees for name, place in _handing_on(tree, makers)}.items() - makers.items():
        makers |= dict(more)
    named = (argument for tree in trees for argument in _arguments(tree, makers))
    return frozenset(text for argument in named for text in _texts(argument))


def _handing_on(tree: ast.AST, makers: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Functions that hand a parameter on as the name of a rule, each with the parameter's place."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name != "__init__":
            parameters = [each.arg for each in function.args.args]
            for argument in _arguments(function, makers):
                if isinstance(argument, ast.Name) and argument.id in parameters:
                    yield function.name, parameters.index(argument.id)


def _arguments(tree: ast.AST, makers: dict[str, int]) -> Iterator[ast.expr]:
    """What calls of these functions name as the rule."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and len(call.args) > makers.get(call.func.id, len(call.args)):
            yield call.args[makers[call.func.id]]


def _texts(argument: ast.expr) -> Iterator[str]:
    match argument:
        case ast.Constant(value=str(text)) if text.replace("_", "").isalpha():
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case _:
            pass
