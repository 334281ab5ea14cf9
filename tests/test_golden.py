"""What was stored is read for ever: an example of every event shape ever stored lies in tests/golden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.catalog import CATALOG
from domain.kernel import Event
from domain.process import Process
from eventstore.entries import encode_events
from eventstore.upcasters import upcast
from tests import golden


@pytest.mark.parametrize(
    ("process", "kind"),
    [pytest.param(process, kind, id=f"{process.name}-{kind.__name__}") for process in CATALOG.values() for kind in golden.kinds(process)],
)
def test_the_present_shape_of_every_event_has_an_example(process: Process[Any, Any, Any], kind: type[Event]) -> None:
    assert golden.path_of(process.name, kind).exists(), "run `pytest --golden` and commit the new file; leave the old ones alone"


@pytest.mark.parametrize("path", sorted(golden.FOLDER.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_stored_shape_is_still_read(path: Path) -> None:
    process, body = CATALOG[path.parent.name], path.read_bytes().strip()
    present = {kind.model_fields["kind"].default: golden.shape(kind) for kind in golden.kinds(process)}
    kind, shape = path.stem.split(".")
    if present.get(kind) == shape:
        assert encode_events(process.events.validate_json(body)) == body
    else:
        assert process.events.validate_json(upcast(body))


def test_an_older_shape_is_brought_up_to_date_by_its_upcaster() -> None:
    def renamed(event: dict[str, Any]) -> dict[str, Any] | None:
        return {"kind": "office_granted", "person": event["who"], "office": event["office"]} if "who" in event else None

    old = b'[{"kind":"office_granted","office":"auditor","who":"ann"},{"kind":"office_granted","office":"auditor","person":"bea"}]'
    events = CATALOG["consortium"].events.validate_json(upcast(old, {"office_granted": (renamed,)}))
    assert [event.model_dump()["person"] for event in events] == ["ann", "bea"]
