"""Every command that a text names: in refusals, remedies, help, notices and documents; and why one of them cannot be given."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from cyclopts import App

from cli.main import app

ROOT: Final = Path(__file__).parent.parent
CODE: Final = ("domain", "cli", "activities", "eventstore", "audit", "signatures", "workflows", "simulation")
SINGLE: Final = ("worker.py", "settings.py", "keeper.py", "open_model_consortium.py")
_CODED: Final = re.compile(r"`([^`\n]*)`")
_NAMED: Final = re.compile(r"(?:[A-Z_]+=\S+ )*consortium(?: |$)")
_ITSELF: Final = re.compile(r"[a-z][a-z0-9-]*")
_OPTION: Final = re.compile(r"--[a-z][a-z0-9-]*")


class Named(NamedTuple):
    """A command line in a text."""

    place: str
    words: str


# ---------------------------------------------------------------- where commands are named


def in_code() -> Iterator[Named]:
    """Commands between backticks in the texts of the code, docstrings and parts of formatted texts included."""
    paths = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))] + [ROOT / name for name in SINGLE]
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            text = _text(node)
            if text is not None:
                yield from in_text(text, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")


def in_documents() -> Iterator[Named]:
    """Commands between backticks, and lines of code blocks that begin with the program's name."""
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("deploy/**/*.md"))):
        within, number, told = False, 0, ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            place = f"{path.relative_to(ROOT)}:{number}"
            if line.lstrip().startswith("```"):
                within = not within
            elif within:
                told += line.strip()
                if told.endswith("\\"):
                    told = told.removesuffix("\\")
                    continue
                for part in re.split(r"&&|\|\s|;\s", told.split(" # ")[0].removeprefix("$ ")):
                    if part.strip().startswith("consortium "):
                        yield Named(place, part.strip())
                told = ""
            else:
                yield from in_text(line, place)


def in_text(text: str, place: str) -> Iterator[Named]:
    """Commands between backticks in one text."""
    for coded in _CODED.findall(text):
        if _NAMED.match(coded):
            yield Named(place, coded[coded.index("consortium") :])


def coded_words() -> Iterator[tuple[str, str]]:
    """Single words between backticks in texts that people are shown, with their place; docstrings are for engineers."""
    for path in (*sorted((ROOT / "domain").rglob("*.py")), ROOT / "activities/notices/templates.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
                yield from ((f"{path.name}:{node.lineno}", word) for word in _CODED.findall(node.value) if word.replace("_", "").isalpha())


def _text(node: ast.AST) -> str | None:
    """The whole of a text, `…` for what is filled in."""
    match node:
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else _filled_in(part) for part in values)
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = (_text(left) or "…", _text(right) or "…")
            return "".join(parts)
        case _:
            return None


def _filled_in(part: ast.expr) -> str:
    """What stands for a part that is filled in: the option that names a folder has its own space."""
    match part:
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="folder_option"))):
            return " --folder …"
        case _:
            return "…"


# ---------------------------------------------------------------- whether they can be given


def wrong(named: Iterable[Named]) -> list[str]:
    """What is wrong with each of these that cannot be given."""
    return sorted({f"{each.place}: `{each.words}`: {why}" for each in named if (why := wrong_with(each.words))})


@cache
def wrong_with(words: str) -> str:
    """Why a command line cannot be given; nothing when it can. What stands for something else, like `…` or `FILE`, is not looked at."""
    try:
        given = [word.rstrip(",.;:") for word in shlex.split(words, comments=True)][1:]
    except ValueError:
        given = words.split()[1:]
    found: App = app
    while given and _ITSELF.fullmatch(given[0]):
        try:
            found = found[given[0]]
        except KeyError:
            if _subcommands(found):
                return f"there is no command {given[0]!r} in {' '.join(found.name)}"
            break
        given = given[1:]
    options = set(_options(found))
    unknown = [word.partition("=")[0] for word in given if _OPTION.match(word) and word.partition("=")[0] not in options]
    return f"it has no option {', '.join(unknown)}" if unknown else ""


def _subcommands(found: App) -> list[str]:
    return [name for name in found if not name.startswith("-")]


def _options(found: App) -> Iterator[str]:
    yield from ("--help", "--version")
    if found.default_command is None:
        return
    arguments: Any = found.assemble_argument_collection(parse_docstring=False)
    for argument in arguments:
        yield from argument.names
