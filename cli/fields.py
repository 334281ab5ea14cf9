"""Fields of commands as options: how each is named, explained, and read from what people type."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from cli.amounts import MONEY, minor_typed
from cli.files import read_charter
from domain.charter import Charter
from domain.forms import Typed, choices_of, entries_of, items_of, kinds_of, model_of, typed_field, words_for
from domain.kernel import Command
from eventstore.wire import Malformed, strict_json

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    rf"{_DAY.pattern}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?(?P<offset>Z|[+-][0-9]{{2}}:[0-9]{{2}})?"
)

_FROM_NOW: Final = re.compile(r"\+(?P<number>[0-9]{1,5})(?P<unit>[dhm])", re.ASCII)
_UNITS: Final = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}

Read = Callable[[str, str], Any]
"""From what was typed, and the currency of amounts, to a JSON value. Raises `ValueError`, `BadInput` or `Malformed`."""


class Reading(NamedTuple):
    """How a type is read, and the words for it."""

    read: Read
    hint: str = ""
    choices: tuple[str, ...] = ()
    money: bool = False
    many: bool = False
    at: bool = False
    """Whether it is an instant, which may be told by its distance from the log's time."""


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


def inside_of(message: type[BaseModel], place: str = "") -> Iterator[tuple[str, str]]:
    """Each field inside of a message's fields, like `tranches[].fraction`, with what it means and how it looks."""
    for name, field in message.model_fields.items():
        yield from _inside(typed_field(field), f"{place}{name}")


def _inside(found: Typed, place: str) -> Iterator[tuple[str, str]]:
    if item := items_of(found):
        yield from _inside(item, f"{place}[]")
    elif entries := entries_of(found):
        yield from _inside(entries[1], f"{place}.<name>")
    elif kinds := kinds_of(found):
        for kind in kinds.values():
            yield from _fields(kind, place)
    elif (model := model_of(found)) and model is not Charter:
        yield from _fields(model, place)


def _fields(model: type[BaseModel], place: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        yield f"{place}.{name}", meaning_of(model, name) + (" Required." if field.is_required() else "")
        yield from _inside(typed_field(field), f"{place}.{name}")


def meaning_of(message: type[BaseModel], name: str) -> str:
    """What a field means and how it looks, in sentences."""
    words = words_for(typed_field(message.model_fields[name]))
    said = docs_of(message).get(name, "")
    return f"{said} {words[0].upper()}{words[1:]}.".lstrip()


def span(text: str) -> timedelta | None:
    """The distance that a text like `+14d`, `+36h` or `+10m` tells; `None` for any other."""
    match = _FROM_NOW.fullmatch(text)
    return int(match["number"]) * _UNITS[match["unit"]] if match else None


def instant(text: str) -> str:
    """An instant as people type it, in ISO form. Raises `ValueError` for one without an offset, and for anything else."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text[:40]!r} is not an instant; write it like 2026-11-02T09:00Z or 2026-11-02T10:00+01:00, or +14d for a fortnight from now"
        )
    if match["offset"] is None:
        raise ValueError(f"{text[:40]!r} has no offset; write {text}Z for UTC, or an offset like {text}+01:00")
    return datetime.fromisoformat(text).isoformat()


def day(text: str) -> str:
    """A day in ISO form. Raises `ValueError`."""
    if _DAY.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a day; write it like 2026-11-02")
    return date.fromisoformat(text).isoformat()


def _option(command: type[Command], name: str, field: FieldInfo) -> Option:
    found = typed_field(field)
    reading = _reading(found)
    words = words_for(found)
    hint = "" if reading.choices else reading.hint or f"{words[0].upper()}{words[1:]}."
    said = (docs_of(command).get(name, ""), hint, "Required." if field.is_required() else "")
    return Option(name, " ".join(word for word in said if word), reading)


def _reading(found: Typed) -> Reading:
    item = items_of(found)
    if item is not None and (each := _reading(item)).read is not _json:
        return each._replace(many=True, hint="")
    if choices := choices_of(found):
        return Reading(_whole) if choices[0].isdecimal() else Reading(_text, choices=choices)
    if found.annotation is int and MONEY in found.metadata:
        return Reading(minor_typed, "An amount in units of the charter's currency, like 1250000.50 or '1,250,000.50 USD'.", money=True)
    return _PLAIN.get(found.annotation, Reading(_json, "By --from, or as JSON; what is in it is told below."))


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


_AT: Final = "An instant with an offset, like 2026-11-02T09:00Z, or its distance from now on the log: +14d, +36h or +10m."
_PLAIN: Final[Mapping[Any, Reading]] = {
    str: Reading(_text),
    int: Reading(_whole),
    date: Reading(_day, "A day, like 2026-11-02."),
    datetime: Reading(_instant, _AT, at=True),
    AwareDatetime: Reading(_instant, _AT, at=True),
    bool: Reading(_json),
    Charter: Reading(_charter, "A TOML file, as `consortium example charter` prints one."),
}


def docs_of(message: type[BaseModel]) -> Mapping[str, str]:
    """What the source says about each field of a message, inherited ones included."""
    found: dict[str, str] = {}
    for owner in reversed(message.__mro__):
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
