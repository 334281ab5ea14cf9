"""Golden files: one example of every event shape ever stored, under tests/golden/<process>/<kind>.<shape>.json.

`pytest --golden` writes an example, taken from the stories, of every shape that has none yet. A file is never changed: when
an event's shape changes, its new shape gets a file beside the old one, and the old one must still be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from domain.catalog import CATALOG
from domain.kernel import Event
from domain.process import Common, Process
from eventstore.entries import encode_events

FOLDER = Path(__file__).parent / "golden"

_seen: dict[tuple[str, type[Event]], bytes] = {}


def shape(kind: type[Event]) -> str:
    """The first digits of a digest of what an event's fields are."""
    schema = kind.model_json_schema()
    return sha256(json.dumps(_shape_only(schema), sort_keys=True).encode()).hexdigest()[:12]


def _shape_only(schema: Any) -> Any:
    """A schema without its words: rewording a docstring changes no shape; nor does the order of a set that is a default."""
    if isinstance(schema, dict):
        kept = {key: _shape_only(value) for key, value in schema.items() if key not in {"description", "title"} or isinstance(value, dict)}
        return kept | {"default": _in_order(kept["default"])} if "default" in kept else kept
    return [_shape_only(item) for item in schema] if isinstance(schema, list) else schema


def _in_order(default: Any) -> Any:
    """A default value with every list sorted: sets come in any order."""
    if isinstance(default, dict):
        return {key: _in_order(value) for key, value in default.items()}
    return sorted(map(_in_order, default), key=str) if isinstance(default, list) else default


def kinds(process: Process[Any, Any, Any]) -> Iterator[type[Event]]:
    """The classes of a process's own events, and those that every process has."""
    found: list[type[Event]] = []

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Event):
            found.append(annotation)
        for part in get_args(annotation):
            walk(part)

    walk(process.events._type)
    yield from dict.fromkeys(kind for kind in found if process.name == "consortium" or kind not in get_args(Common))


def path_of(process: str, kind: type[Event]) -> Path:
    """Where the example of an event's present shape lies."""
    return FOLDER / process / f"{kind.model_fields['kind'].default}.{shape(kind)}.json"


def note(process: str, event: Event) -> None:
    """Keeps the first example of each kind of event that the stories bring about."""
    owner = "consortium" if type(event) in get_args(Common) else process
    if owner in CATALOG and (owner, type(event)) not in _seen:
        _seen[owner, type(event)] = encode_events([event])


def write() -> int:
    """Writes an example of every shape seen that has none; how many."""
    written = 0
    for (process, kind), body in _seen.items():
        path = path_of(process, kind)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body + b"\n")
            written += 1
    return written
