"""What states are made of: every class that a stored state may hold, with its fields and their types, under the version declared for it.

`tests/golden/states.json` says for the register, for what all streams have in common, and for each process, which classes its
states are made of in each version ever declared: a class by its place and a digest of its fields. Snapshots hold just that, so a
class that changes must come with a raised version. `pytest --golden` writes down a version that has none; a line is never changed.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from hashlib import sha256
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from domain import stream as streams
from domain.catalog import CATALOG
from domain.register import fold as register_fold
from domain.register.state import Register
from domain.stream import Stream

FILE: Final = Path(__file__).parent / "golden" / "states.json"

Shape = Mapping[str, str]
"""The digest of each class, by its module and name."""


class Root(NamedTuple):
    """States that are stored, and who says which version of them this is."""

    state: Any
    version: Callable[[], int]
    declared: str
    """Where the version is raised."""


ROOTS: Final[Mapping[str, Root]] = {
    "register": Root(Register, lambda: register_fold.REGISTER_VERSION, "REGISTER_VERSION in domain/register/fold.py"),
    "stream": Root(Stream, lambda: streams.STREAM_VERSION, "STREAM_VERSION in domain/stream.py"),
    **{
        name: Root(
            get_type_hints(process.evolve)["return"],
            lambda name=name: CATALOG[name].state_version,  # type: ignore[misc]
            f"state_version of the process {name}",
        )
        for name, process in CATALOG.items()
    },
}


def shape_of(root: Any) -> Shape:
    """The classes that values of a type are made of, each with a digest of what it is made of itself."""
    found: dict[str, str] = {}
    left = list(_classes(root))
    while left:
        kind = left.pop()
        if _place(kind) not in found:
            fields = fields_of(kind)
            found[_place(kind)] = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]
            left += [inner for hint in _hints(kind).values() for inner in _classes(hint)]
    return dict(sorted(found.items()))


def fields_of(kind: type) -> Mapping[str, str]:
    """The fields of a class with their types in words; the names of an enumeration with their values."""
    if issubclass(kind, Enum):
        return {member.name: repr(member.value) for member in kind}
    return {name: _text(hint) for name, hint in _hints(kind).items()}


def classes_of(root: Any) -> Iterator[type]:
    """Every class of ours that values of a type are made of."""
    met, left = set[type](), list(_classes(root))
    while left:
        kind = left.pop()
        if kind not in met:
            met.add(kind)
            left += [inner for hint in _hints(kind).values() for inner in _classes(hint)]
            yield kind


_read: dict[type, tuple[tuple[object, ...], Mapping[str, Any]]] = {}
"""What was read of each class, beside the annotations it was read from: to read them takes most of the time, and few classes change."""


def _hints(kind: type) -> Mapping[str, Any]:
    if issubclass(kind, Enum):
        return {}
    annotations = tuple(map(get_annotations, kind.__mro__))
    before, hints = _read.get(kind, ((), {}))
    if before != annotations:
        found = get_type_hints(kind).items()
        hints = {name: hint for name, hint in found if get_origin(hint) is not ClassVar and hint is not ClassVar}
        _read[kind] = (annotations, hints)
    return hints


def _classes(hint: Any) -> Iterator[type]:
    """The classes of ours that a type names."""
    hint = _plain(hint)
    if isinstance(hint, type) and get_origin(hint) is None:
        if hint.__module__.startswith("domain."):
            yield hint
        return
    for part in (get_origin(hint), *get_args(hint)):
        if part is not None and part is not hint and get_origin(hint) is not Literal:
            yield from _classes(part)


def _text(hint: Any) -> str:
    """A type in words, without what only restricts its values."""
    hint = _plain(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"Literal{sorted(map(repr, arguments))}"
    if origin in {Union, types.UnionType}:
        return " | ".join(sorted(map(_text, arguments)))
    if origin is not None:
        return f"{_text(origin)}[{', '.join(map(_text, arguments))}]"
    if isinstance(hint, TypeVar):
        return hint.__name__
    return _place(hint) if isinstance(hint, type) else repr(hint)


def _plain(hint: Any) -> Any:
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif isinstance(hint, NewType):
            hint = hint.__supertype__
        else:
            return hint


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


# ---------------------------------------------------------------- what is written down


@cache
def known() -> Mapping[str, Mapping[str, Shape]]:
    """What is written down: by root and version."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def changed(name: str) -> list[str]:
    """Which classes of a root are not as they are written down under the version that it declares; none when all are."""
    root = ROOTS[name]
    written = known().get(name, {}).get(str(root.version()))
    if written is None:
        return [f"version {root.version()} is not written down: run `pytest --golden`"]
    present = shape_of(root.state)
    return sorted(place for place in {*written, *present} if written.get(place) != present.get(place))


def write() -> None:
    """Writes down every declared version that is not yet."""
    written = {name: dict(versions) for name, versions in known().items()}
    for name, root in ROOTS.items():
        written.setdefault(name, {}).setdefault(str(root.version()), shape_of(root.state))
    FILE.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n", encoding="utf-8")
