"""Golden files: one example of every shape of an event or a command ever stored.

They lie in tests/golden/<process>/<kind>.<shape>.json, and tests/golden/<process>/commands/<kind>.<shape>.json. `pytest --golden` writes
an example, taken from the stories, of every shape that has none yet. A file is never changed: when a shape changes, the new one gets a
file beside the old one, and the old one must still be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, get_args

from domain.catalog import CATALOG
from domain.kernel import Command, Event, Message, canonical
from domain.process import Process
from domain.stream import Common, StepCommand
from eventstore.entries import encode_events

FOLDER = Path(__file__).parent / "golden"
COMMANDS = "commands"
"""Where in the folder of a process its commands lie."""

M = TypeVar("M", bound=Message)

_seen: dict[Path, bytes] = {}


@cache
def shape(kind: type[Message]) -> str:
    """The first digits of a digest of what a message's fields are."""
    schema = kind.model_json_schema()
    return sha256(json.dumps(_shape_only(schema), sort_keys=True).encode()).hexdigest()[:12]


def _shape_only(schema: Any) -> Any:
    """A schema without its words: rewording a docstring changes no shape; nor does the order of a set that is a default."""
    if isinstance(schema, dict):
        kept = {key: _shape_only(value) for key, value in schema.items() if key not in {"description", "title"} or isinstance(value, dict)}
        return kept | {"default": in_order(kept["default"])} if "default" in kept else kept
    return [_shape_only(item) for item in schema] if isinstance(schema, list) else schema


def in_order(value: Any) -> Any:
    """A value with every list sorted: sets come in any order."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in value.items()}
    return sorted(map(in_order, value), key=str) if isinstance(value, list) else value


def kinds(process: Process[Any, Any, Any]) -> Iterator[type[Event]]:
    """The classes of a process's own events; of the consortium also those that every process has."""
    found = _classes(process.events._type, Event)
    yield from (kind for kind in found if process.name == "consortium" or kind not in get_args(Common))


def command_kinds(process: Process[Any, Any, Any]) -> Iterator[type[Command]]:
    """The classes of a process's own commands; of the consortium also those that every process takes."""
    yield from _classes(process.commands._type, Command)
    if process.name == "consortium":
        yield from get_args(StepCommand)


def _classes(annotation: Any, base: type[M]) -> Iterable[type[M]]:
    """The classes of messages in a union, however it is annotated, in their order."""
    found: dict[type[M], None] = {}

    def walk(part: Any) -> None:
        if isinstance(part, type) and issubclass(part, base):
            found[part] = None
        for inner in get_args(part):
            walk(inner)

    walk(annotation)
    return found


def kind_of(kind: type[Message]) -> str:
    """The wire name of a message."""
    return str(kind.model_fields["kind"].default)


def path_of(process: str, kind: type[Message]) -> Path:
    """Where the example of a message's present shape lies."""
    folder = FOLDER / process / COMMANDS if issubclass(kind, Command) else FOLDER / process
    return folder / f"{kind_of(kind)}.{shape(kind)}.json"


def note(process: str, event: Event) -> None:
    """Keeps the first example of each kind of event that the stories bring about."""
    owner = "consortium" if type(event) in get_args(Common) else process
    if owner in CATALOG and (path := _path(owner, type(event))) not in _seen:
        _seen[path] = encode_events([event])


def note_command(process: str, command: Command) -> None:
    """Keeps the first example of each kind of command that the stories hold."""
    owner = "consortium" if type(command) in get_args(StepCommand) else process
    if owner in CATALOG and (path := _path(owner, type(command))) not in _seen:
        _seen[path] = canonical(command)


_paths: dict[tuple[str, type[Message]], Path] = {}


def _path(process: str, kind: type[Message]) -> Path:
    if (process, kind) not in _paths:
        _paths[process, kind] = path_of(process, kind)
    return _paths[process, kind]


def write() -> int:
    """Writes an example of every shape seen that has none; how many."""
    new = {path: body for path, body in _seen.items() if not path.exists()}
    for path, body in new.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body + b"\n")
    return len(new)
