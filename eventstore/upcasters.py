"""Reading events of older shapes: each upcaster recognises a shape and turns it into the present one.

A stored event is never rewritten. New fields with defaults need nothing here; a shape that the present model refuses
gets one line in `UPCASTERS` and a golden file in tests/golden.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Upcaster = Callable[[dict[str, Any]], dict[str, Any] | None]
"""The event in a newer shape, or `None` when it is not of the shape this one knows."""

UPCASTERS: Final[Mapping[str, Sequence[Upcaster]]] = {}
"""By event kind, oldest shape first."""


def upcast(body: bytes, upcasters: Mapping[str, Sequence[Upcaster]] = UPCASTERS) -> bytes:
    """A stored array of events with every event of an older shape brought to the present one."""
    return json.dumps([_newest(event, upcasters.get(event["kind"], ())) for event in json.loads(body)]).encode()


def _newest(event: dict[str, Any], upcasters: Sequence[Upcaster]) -> dict[str, Any]:
    for upcaster in upcasters:
        event = upcaster(event) or event
    return event
