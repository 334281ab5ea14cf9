"""Events as values: what is compared when a log is decided again.

Stored events are read by this release, and what was decided is read the same way, so that a field that a later release added, with a
default, makes no difference. The data of steps are read too: they hold what another process or an activity is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from domain.catalog import STEP_DATA, process_for
from domain.kernel import TELL, Event, Step, canonical_json
from domain.process import Process
from domain.stream import StepOwed
from eventstore.entries import encode_events


def same(process: Process[Any, Any, Any], stored: Sequence[Event], decided: Sequence[Event]) -> bool:
    """Whether events that were stored say the same as those that were decided now."""
    if encode_events(stored) == encode_events(decided):
        return True
    read = process.events.validate_json(encode_events(decided))
    return len(stored) == len(read) and all(_read(ours) == _read(theirs) for ours, theirs in zip(read, stored, strict=True))


def _read(event: Event) -> Event:
    """The event with the data of the step that it owes as this release reads them."""
    if not isinstance(event, StepOwed):
        return event
    return event.model_copy(update={"step": event.step.model_copy(update={"data": _data(event.step)})})


def _data(step: Step) -> Mapping[str, Any]:
    if step.kind == TELL:
        return step.data | {"command": _command(step.data["stream"], step.data["command"])}
    known = STEP_DATA.get(step.kind)
    return step.data if known is None else known.model_validate_json(canonical_json(step.data)).model_dump(mode="json")


def _command(stream: str, given: Any) -> Any:
    """A command with every field of it, and of what it moves; as it is where no process here takes it."""
    try:
        told: dict[str, Any] = process_for(stream).commands.validate_json(canonical_json(given)).model_dump(mode="json")
    except (ValidationError, ValueError):
        return given
    if isinstance(motion := told.get("motion"), dict):
        orders = {name: _command(motion["stream"], motion[name]) for name in ("command", "otherwise") if motion.get(name)}
        told["motion"] = motion | orders
    return told
