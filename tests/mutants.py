"""`python -m tests.mutants`: breaks rules on purpose, one at a time, and tells which of them no test notices.

A mutant is the domain with one comparison, condition, amount or guard changed. Each is tried in a copy of this folder by the stories and
laws of its process; golden logs are left out, for they hold to any behaviour, also to one that nobody meant. A mutant that survives is a
rule that no story tells: write the story, or, where both say the same, the simpler rule.

Of the libraries for this, mutmut changes every text too and cosmic-ray changes files where they lie; neither draws some of all.
"""

from __future__ import annotations

import argparse
import ast
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.copied import ROOT, Copy

MEMORY: Final = 4 * 2**30
"""What a mutant may use at most: some of them never come to an end."""

STORIES: Final = ("consortium", "charter", "process", "values", "member", "proposal", "round", "run", "release", "treasury")
SUITES: Final[Mapping[str, Sequence[str]]] = {
    "allocation": ("round", "round_laws"),
    "charter": ("charter", *STORIES),
    "consortium": ("consortium", "charter", "clock"),
    "evaluation": ("run", "release"),
    "round": ("round", "round_laws"),
    "member": ("member", "member_laws"),
    "proposal": ("proposal", "votes"),
    "release": ("release", "release_laws"),
    "readings": ("telemetry", "run", "run_laws"),
    "telemetry": ("telemetry", "run", "run_laws"),
    "run": ("run", "run_laws"),
    "signatures": ("signatures", "signature_attacks"),
    "signers": ("signers",),
    "treasury": ("treasury", "treasury_laws", "treasury_payers"),
    "voting": ("voting", "schulze_laws", "proposal", "votes"),
}
"""The tests that try a module's rules, by its name or its package, the quickest first; for all others it is `STORIES`."""
SHOWN_ONLY: Final = ("str", "Headline", "Sequence[Table]", "Iterator[str]", "Sequence[str]", "Table")
"""What functions return that say something to people and decide nothing."""

_COMPARED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_RECKONED: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip
_BOUNDED: Final[Mapping[str, str]] = {"min": "max", "max": "min"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one thing changed."""

    path: Path
    """In the folder."""
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.before}  →  {self.after}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for function in _deciding(tree):
        for holder, name, index, node in list(_inside(function)):
            for changed in _changes(node):
                _put(holder, name, index, changed)
                yield Mutant(path, _line(node, holder), _words(node), _words(changed), ast.unparse(ast.fix_missing_locations(tree)))
                _put(holder, name, index, node)


def _deciding(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a module that do not only say something to people; one inside another is part of it."""
    holders: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef) and not (node.returns and ast.unparse(node.returns) in SHOWN_ONLY):
                yield node


Place = tuple[ast.AST, str, int | None, ast.AST]
"""A node, and where it hangs: in which node, in which of its fields, at which place of a list."""


def _inside(function: ast.FunctionDef) -> Iterator[Place]:
    """Every node of a function's body, but for words, how far they go, types and what a refusal says."""
    waiting: list[Place] = [(function, "body", index, node) for index, node in enumerate(function.body)]
    while waiting:
        place = waiting.pop(0)
        node = place[3]
        if isinstance(node, ast.JoinedStr | ast.arg | ast.Slice) or (
            isinstance(node, ast.Call) and _words(node.func) in {"Refused", "AssertionError"}
        ):
            continue
        yield place
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list"}:
                continue
            children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            waiting += [(node, name, index, child) for index, child in children if isinstance(child, ast.AST)]


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node is changed into, one at a time."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=comparators) if type(op) in _COMPARED:
            yield ast.Compare(left, [_COMPARED[type(op)]()], comparators)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for index in range(len(values)):
                rest = values[:index] + values[index + 1 :]
                yield ast.BoolOp(op, rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _RECKONED and not {type(left), type(right)} & {
            ast.JoinedStr,
            ast.Tuple,
        }:
            yield ast.BinOp(left, _RECKONED[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _BOUNDED:
            yield ast.Call(ast.Name(_BOUNDED[name]), args, keywords)
        case ast.Expr(value=ast.Call(func=func)) if "require" in _words(func):
            yield ast.Pass()
        case ast.comprehension(target=target, iter=items, ifs=[_, *_], is_async=is_async):
            yield ast.comprehension(target, items, [], is_async)
        case _:
            pass


def _put(holder: ast.AST, name: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(holder, name, node)
    else:
        getattr(holder, name)[index] = node


def _line(node: ast.AST, holder: ast.AST) -> int:
    return int(getattr(node, "lineno", getattr(holder, "lineno", 0)))


def _words(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:110]


# ---------------------------------------------------------------- trying


def tests_of(path: Path, *, laws: bool) -> tuple[str, ...]:
    """The files of the tests that try a module, with the laws under random histories or without."""
    names = SUITES.get(path.stem, SUITES.get(path.parent.name, STORIES))
    return tuple(f"tests/test_{name}.py" for name in names if laws or not name.endswith("_laws"))


class Trial:
    """A copy of this folder in which one mutant after another is tried."""

    def __init__(self, folder: Path, seconds: int, *, laws: bool) -> None:
        self._copy = Copy.into(folder)
        self._seconds = seconds
        self._laws = laws

    def noticed(self, mutant: Mutant) -> bool:
        """Whether a test fails with the mutant, or never ends."""
        original = (ROOT / mutant.path).read_text(encoding="utf-8")
        try:
            self._copy.write(mutant.path, mutant.source)
            return not self.passes(self.tests(mutant))
        finally:
            self._copy.write(mutant.path, original)

    def tests(self, mutant: Mutant) -> tuple[str, ...]:
        """The files of the tests that a mutant is tried by."""
        return tests_of(mutant.path, laws=self._laws)

    def passes(self, files: Sequence[str]) -> bool:
        """Whether the tests in these files pass in time: in so much of the processor's, for others may use it too."""
        return self._copy.pytest("-x", "--timeout=0", *files, limit=self._bounded).returncode == 0

    def _bounded(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (self._seconds, self._seconds))


def main() -> int:
    """What the command line says; 1 if a mutant survives."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("only", nargs="*", metavar="FILE[:LINE]", help="mutants of these modules, or of these lines of them, only")
    parser.add_argument("--number", type=int, default=25, help="so many, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=300, help="a mutant that takes more of the processor's time is noticed")
    parser.add_argument("--stories", action="store_true", help="try them by stories only, which is quicker, and notices less")
    parser.add_argument("--list", action="store_true", help="say which would be tried, and end")
    chosen = parser.parse_args()
    drawn = _drawn(chosen.only, chosen.number, chosen.seed)
    if chosen.list:
        print(*drawn, sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return _tried(Trial(Path(folder) / "copy", chosen.seconds, laws=not chosen.stories), drawn)


def _drawn(only: Sequence[str], number: int, seed: int) -> list[Mutant]:
    """So many mutants, one module after the other."""
    wanted = dict(each.partition(":")[::2] for each in only) or {
        str(path.relative_to(ROOT)): "" for path in (ROOT / "domain").rglob("*.py")
    }
    found = [
        mutant for name, line in sorted(wanted.items()) for mutant in mutants(Path(name)) if line in {"", str(mutant.line)}
    ]  # fmt: skip
    luck = Random(seed)
    return sorted(luck.sample(found, min(number, len(found))), key=lambda mutant: (str(mutant.path), mutant.line))


def _tried(trial: Trial, drawn: Sequence[Mutant]) -> int:
    for files in dict.fromkeys(map(trial.tests, drawn)):
        if not trial.passes(files):
            print(f"without any mutant these fail, or take too long: {' '.join(files)}", flush=True)
            return 2
    survivors = []
    for number, mutant in enumerate(drawn, 1):
        start = time.monotonic()
        noticed = trial.noticed(mutant)
        print(f"{number}/{len(drawn)} {'noticed ' if noticed else 'SURVIVES'} {time.monotonic() - start:4.0f} s  {mutant}", flush=True)
        survivors += [] if noticed else [mutant]
    print(f"{len(survivors)} of {len(drawn)} mutants survive" + "".join(f"\n  {mutant}" for mutant in survivors))
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
