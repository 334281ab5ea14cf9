"""What was stored is read for ever: an example of every shape of an event or a command ever stored lies in tests/golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.catalog import CATALOG
from domain.kernel import Command, Event, canonical
from domain.process import Process
from eventstore.entries import encode_events
from eventstore.upcasters import upcast
from eventstore.wire import parse
from tests import golden


@pytest.mark.parametrize(
    ("process", "kind"),
    [pytest.param(process, kind, id=f"{process.name}-{kind.__name__}") for process in CATALOG.values() for kind in golden.kinds(process)],
)
def test_the_present_shape_of_every_event_has_an_example(process: Process[Any, Any, Any], kind: type[Event]) -> None:
    assert golden.path_of(process.name, kind).exists(), "run `pytest --golden` and commit the new file; leave the old ones alone"


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(golden.FOLDER.glob("*/*.json")) if path.parent.name in CATALOG],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_stored_shape_is_still_read(path: Path) -> None:
    process, body = CATALOG[path.parent.name], path.read_bytes().strip()
    present = {kind.model_fields["kind"].default: golden.shape(kind) for kind in golden.kinds(process)}
    kind, shape = path.stem.split(".")
    if present.get(kind) == shape:
        assert encode_events(process.events.validate_json(body)) == body
    else:
        assert process.events.validate_json(upcast(body))


@pytest.mark.parametrize(
    ("process", "kind"),
    [
        pytest.param(process, kind, id=f"{process.name}-{kind.__name__}")
        for process in CATALOG.values()
        for kind in golden.command_kinds(process)
    ],
)
def test_the_present_shape_of_every_command_has_an_example(process: Process[Any, Any, Any], kind: type[Command]) -> None:
    assert golden.path_of(process.name, kind).exists(), "run `pytest --golden` and commit the new file; leave the old ones alone"


@pytest.mark.parametrize(
    "path", sorted(golden.FOLDER.glob(f"*/{golden.COMMANDS}/*.json")), ids=lambda path: f"{path.parts[-3]}/{path.stem}"
)
def test_every_shape_of_a_command_is_still_taken(path: Path) -> None:
    process, body = CATALOG[path.parts[-3]], path.read_bytes().strip()
    kind, shape = path.stem.split(".")
    command = parse(process, body)
    assert command.kind == kind
    if golden.shape(type(command)) == shape:
        assert parse(process, canonical(command)) == command
        assert json.loads(body).keys() == json.loads(canonical(command)).keys()


def test_an_older_shape_is_brought_up_to_date_by_its_upcaster() -> None:
    def renamed(event: dict[str, Any]) -> dict[str, Any] | None:
        return {"kind": "office_granted", "person": event["who"], "office": event["office"]} if "who" in event else None

    old = b'[{"kind":"office_granted","office":"auditor","who":"ann"},{"kind":"office_granted","office":"auditor","person":"bea"}]'
    events = CATALOG["consortium"].events.validate_json(upcast(old, {"office_granted": (renamed,)}))
    assert [event.model_dump()["person"] for event in events] == ["ann", "bea"]
