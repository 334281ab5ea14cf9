"""Fields of commands as options: how each is named, explained, and read from what people type."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from cli.amounts import MONEY
from cli.files import read_charter
from domain.charter import Charter
from domain.kernel import Command
from domain.money import parse_amount
from eventstore.wire import Malformed, strict_json

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    rf"{_DAY.pattern}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?(?P<offset>Z|[+-][0-9]{{2}}:[0-9]{{2}})?"
)

Read = Callable[[str, str], Any]
"""From what was typed, and the currency of amounts, to a JSON value. Raises `ValueError`, `BadInput` or `Malformed`."""


class Reading(NamedTuple):
    """How a type is read, and the words for it."""

    read: Read
    hint: str = ""
    choices: tuple[str, ...] = ()
    money: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """A field of a command as an option."""

    field: str
    help: str
    reading: Reading

    @property
    def name(self) -> str:
        """The option as it is typed."""
        return f"--{self.field.replace('_', '-')}"


def options_of(command: type[Command]) -> tuple[Option, ...]:
    """The options of a command: one for each field but its kind."""
    return tuple(_option(command, name, field) for name, field in command.model_fields.items() if name != "kind")


def instant(text: str) -> str:
    """An instant as people type it, in ISO form. Raises `ValueError` for one without an offset, and for anything else."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not an instant; write it like 2026-11-02T09:00Z or 2026-11-02T10:00+01:00")
    if match["offset"] is None:
        raise ValueError(f"{text[:40]!r} has no offset; write {text}Z for UTC, or an offset like {text}+01:00")
    return datetime.fromisoformat(text).isoformat()


def day(text: str) -> str:
    """A day in ISO form. Raises `ValueError`."""
    if _DAY.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a day; write it like 2026-11-02")
    return date.fromisoformat(text).isoformat()


def _option(command: type[Command], name: str, field: FieldInfo) -> Option:
    reading = _reading(field.annotation, tuple(field.metadata))
    words = (_docs(command).get(name, ""), reading.hint, "Required." if field.is_required() else "")
    return Option(name, " ".join(word for word in words if word), reading)


def _reading(annotation: Any, metadata: tuple[Any, ...] = ()) -> Reading:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _reading(parts[0], (*metadata, *parts[1:]))
    if origin in {Union, UnionType} and len(inner := [part for part in parts if part is not NoneType]) == 1:
        return _reading(inner[0], metadata)
    if origin in {tuple, frozenset} and (each := _reading(parts[0])).read is not _json:
        return each._replace(many=True)
    if origin is Literal and all(isinstance(part, str) for part in parts):
        return Reading(_text, choices=parts)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Reading(_text, choices=tuple(str(member.value) for member in annotation))
    if annotation is int and MONEY in metadata:
        return Reading(parse_amount, "An amount in the charter's currency, like 1250000.50.", money=True)
    return _PLAIN.get(annotation, Reading(_json, "JSON, or by --from."))


def _text(text: str, _: str) -> str:
    return text


def _whole(text: str, _: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _instant(text: str, _: str) -> str:
    return instant(text)


def _day(text: str, _: str) -> str:
    return day(text)


def _charter(text: str, _: str) -> dict[str, Any]:
    return read_charter(Path(text))


def _json(text: str, _: str) -> Any:
    try:
        return strict_json(text)
    except Malformed as error:
        raise ValueError(f'must be JSON, like {{"key": 1}}: {error}') from error


_PLAIN: Final[Mapping[Any, Reading]] = {
    str: Reading(_text),
    int: Reading(_whole),
    date: Reading(_day, "A day, like 2026-11-02."),
    datetime: Reading(_instant, "An instant with an offset, like 2026-11-02T09:00Z."),
    AwareDatetime: Reading(_instant, "An instant with an offset, like 2026-11-02T09:00Z."),
    Charter: Reading(_charter, "A TOML file."),
}


def _docs(command: type[Command]) -> Mapping[str, str]:
    """What the source says about each field of a command, inherited ones included."""
    found: dict[str, str] = {}
    for owner in reversed(command.__mro__):
        if owner.__module__.startswith("domain."):
            found |= _docs_of_module(owner.__module__).get(owner.__name__, {})
    return found


@cache
def _docs_of_module(module: str) -> Mapping[str, Mapping[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: dict(_docs_of_class(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in pairwise(node.body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())
            case _:
                continue
