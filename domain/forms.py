"""What a field must look like, in words for people: the same ones in help, in examples and in errors.

No wording of pydantic's is passed on: it speaks of inputs, strings and patterns, and changes with its releases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_SHOWN: Final = 100
"""How much of a name that somebody made up is shown."""
_UNBOUNDED: Final = 2**53 - 1
"""No bound that anybody need be told: the largest integer that every JSON reader keeps."""
_KEY: Final = "[key]"
"""How pydantic marks that the name in a table is wrong, and not what it names."""


@dataclass(frozen=True, slots=True)
class Form:
    """Stands in the annotation of a type: how its values look, in words that follow "must be", and one of them."""

    words: str
    like: str | int
    unit: str = ""
    """Of the bounds, where they are not in what people write."""


class Typed(NamedTuple):
    """A type without what is wrapped around it."""

    annotation: Any
    metadata: tuple[Any, ...]

    @property
    def form(self) -> Form | None:
        """How its values look, where the annotation says it; the outermost counts."""
        return next((each for each in reversed(self.metadata) if isinstance(each, Form)), None)

    def bound(self, name: str) -> int | None:
        """The narrowest bound of this name: `gt`, `ge`, `lt`, `le`, `min_length` or `max_length`."""
        found = [value for each in self.metadata if (value := getattr(each, name, None)) is not None]
        if not found:
            return None
        narrowest: int = (max if name in {"gt", "ge", "min_length"} else min)(found)
        return narrowest


def typed(annotation: Any, metadata: Iterable[Any] = ()) -> Typed:
    """The type that a field has when it is given, with all that is said about it."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return typed(parts[0], (*_flat(parts[1:]), *metadata))
    present = [part for part in parts if part is not NoneType]
    if origin in {Union, UnionType} and len(present) == 1:
        return typed(present[0], metadata)
    return Typed(annotation, tuple(_flat(metadata)))


def typed_field(field: FieldInfo) -> Typed:
    """The same for a field of a message."""
    return typed(field.annotation, field.metadata)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from each.metadata
        else:
            yield each


def model_of(found: Typed) -> type[BaseModel] | None:
    """The message that a value of the type is; `None` where it is none."""
    return found.annotation if isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel) else None


def kinds_of(found: Typed) -> Mapping[str, type[BaseModel]]:
    """The messages of a union by their kinds; empty for anything else."""
    if get_origin(found.annotation) not in {Union, UnionType}:
        return {}
    models = [model for part in get_args(found.annotation) if (model := model_of(typed(part)))]
    return {str(model.model_fields["kind"].default): model for model in models if "kind" in model.model_fields}


def items_of(found: Typed) -> Typed | None:
    """The type of what a list holds; `None` where it is no list."""
    if get_origin(found.annotation) not in {tuple, frozenset, list, Sequence}:
        return None
    return typed(get_args(found.annotation)[0])


def entries_of(found: Typed) -> tuple[Typed, Typed] | None:
    """The types of names and values of a table that anybody fills; `None` where it is none."""
    if get_origin(found.annotation) not in {dict, Mapping}:
        return None
    name, value = get_args(found.annotation)
    return typed(name), typed(value)


def choices_of(found: Typed) -> tuple[str, ...]:
    """The values that there are, where they can be listed."""
    if get_origin(found.annotation) is Literal:
        return tuple(str(each) for each in get_args(found.annotation))
    if isinstance(found.annotation, type) and issubclass(found.annotation, Enum):
        return tuple(str(each.value) for each in found.annotation)
    return ()


# ---------------------------------------------------------------- words for a type


def words_for(found: Typed) -> str:
    """How a value of the type looks; the words follow "must be"."""
    if choices := choices_of(found):
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if kinds := kinds_of(found):
        return f"a table with a kind: one of {', '.join(kinds)}"
    if model := model_of(found):
        return f"a table with {', '.join(model.model_fields)}"
    if item := items_of(found):
        return f"a list{_so_many(found)}, each {words_for(item)}"
    if entries := entries_of(found):
        name, value = entries
        return "a table of fields" if value.annotation is Any else f"a table: each name {words_for(name)}, each value {words_for(value)}"
    return _plain_words(found)


def _plain_words(found: Typed) -> str:
    form = found.form
    match found.annotation:
        case type() as kind if kind is bool:
            return "true or false"
        case type() as kind if kind is int:
            return f"{form.words if form else 'a whole number'}{_between(found, form.unit if form else '')}"
        case type() as kind if kind in {datetime, AwareDatetime}:
            return "an instant with an offset, like 2026-11-02T09:00:00Z"
        case type() as kind if kind is date:
            return "a day, like 2026-11-02"
        case type() as kind if kind is str:
            return f"{_text_words(found, form)}{_so_long(found)}"
        case _:
            return "text"


def _text_words(found: Typed, form: Form | None) -> str:
    if form is not None:
        return form.words
    pattern = next((each.pattern for each in found.metadata if getattr(each, "pattern", None)), None)
    return "text" if pattern is None else f"text that fits {pattern}"


def _between(found: Typed, unit: str) -> str:
    """The bounds of a number, as far as anybody need be told."""
    least, above, most, below = found.bound("ge"), found.bound("gt"), found.bound("le"), found.bound("lt")
    most = below - 1 if below is not None and most is None else most
    most = None if most is not None and most >= _UNBOUNDED else most
    if above is not None and (least is None or above >= least):
        low, to = f" above {_number(above)}", " and at most"
    else:
        low, to = ("", " of at most") if least is None else (f" from {_number(least)}", " to")
    if most is None:
        return low if least is None or above is not None else f" of at least {_number(least)}"
    return f"{low}{to} {_number(most)}{unit}"


def _number(value: int) -> str:
    digits = str(abs(value))
    great = len(digits) > 12 and digits == f"1{'0' * (len(digits) - 1)}"
    return f"{'-' if value < 0 else ''}10^{len(digits) - 1}" if great else f"{value:,}"


def _so_long(found: Typed) -> str:
    least, most = found.bound("min_length"), found.bound("max_length")
    long = f", at most {most:,} characters" if most is not None else ""
    return f"{long}, not empty" if least else long


def _so_many(found: Typed) -> str:
    least, most = found.bound("min_length") or 0, found.bound("max_length")
    if most is None:
        return f" of at least {least:,}" if least else ""
    return f" of {least:,} to {most:,}" if least else f" of at most {most:,}"


# ---------------------------------------------------------------- words for what is wrong


def in_words(found: Typed, problems: Iterable[ErrorDetails]) -> list[str]:
    """What is wrong with a value that should be of the type, each problem with the place of its field and the form that it must have."""
    return [_told(found, problem) for problem in problems]


def _told(found: Typed, problem: ErrorDetails) -> str:
    place, wrong, owner = _reached(found, problem["loc"])
    shown = f"{'.'.join(map(_shown, place))}: " if place else ""
    match problem["type"]:
        case "value_error" | "assertion_error":
            return f"{shown}{_own_words(problem)}"
        case "extra_forbidden":
            return f"{shown}there is no such field; {_others(place, owner)}"
        case "missing":
            return f"{shown}is missing; it must be {words_for(wrong)}"
        case "json_invalid":
            return f"{shown}is not readable JSON"
        case _:
            name = "its name " if problem["loc"] and problem["loc"][-1] == _KEY else ""
            return f"{shown}{name}must be {words_for(wrong)}"


def _own_words(problem: ErrorDetails) -> str:
    """What a rule of ours said of a value."""
    return str(problem.get("ctx", {}).get("error", "")) or problem["msg"].partition(", ")[2] or problem["msg"]


def _others(place: Sequence[str], owner: type[BaseModel] | None) -> str:
    names = [name for name in owner.model_fields if name != "kind"] if owner else []
    near = get_close_matches(place[-1], names, n=1) if place else []
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(names)}" if names else "there are no fields here"


def _reached(found: Typed, location: Sequence[str | int]) -> tuple[list[str], Typed, type[BaseModel] | None]:
    """The place that a problem's location means, the type that is asked for there, and the message that it is a field of."""
    place: list[str] = []
    owner: type[BaseModel] | None = None
    for part in location:
        if part == _KEY:
            continue
        model, item, entries = model_of(found), items_of(found), entries_of(found)
        if (kind := kinds_of(found).get(str(part))) is not None:
            found = typed(kind)
        elif model is not None:
            owner, field = model, model.model_fields.get(str(part))
            place.append(str(part))
            found = typed_field(field) if field is not None else Typed(Any, ())
        elif item is not None and isinstance(part, int):
            place.append(str(part))
            found = item
        elif entries is not None:
            place.append(str(part))
            found = entries[0] if location[-1] == _KEY and part == location[-2] else entries[1]
    return place, found, owner


def _shown(name: str) -> str:
    """A name, which somebody may have made up, in printable ASCII."""
    return ascii(name[:_SHOWN])[1:-1]


# ---------------------------------------------------------------- the messages of a union


def messages_in(schema: Mapping[str, Any]) -> Iterator[type[BaseModel]]:
    """The classes of a union of messages, in its order, from pydantic's schema of it."""
    kept = schema.get("cls")
    if isinstance(kept, type) and issubclass(kept, BaseModel):
        yield kept
        return
    for choice in schema.get("choices", {}).values():
        yield from messages_in(choice)
    if "schema" in schema:
        yield from messages_in(schema["schema"])
