"""What the rows of trainers say: the names that trackers use, numbers with their bounds, and points of metrics joined to rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from activities.bounded import json_value
from domain.money import CEILING, SAFE
from domain.run import steps
from domain.run.readings import Reading
from domain.run.telemetry import MOST_STEPS, StageName

LINE: Final = 1024 * 1024
"""The longest line that is understood, in bytes."""

STEPS: Final = ("step", "global_step", "_step", "train/step", "Step")
TOKENS: Final = (
    "throughput/total tokens",
    "throughput/total_tokens",
    "train/total_tokens",
    "total_tokens",
    "num_tokens",
    "tokens",
    "Tokens Seen",
)
LOSSES: Final = ("train/CE loss", "train/loss", "train/cross_entropy_loss", "loss")
CHECKPOINTS: Final = ("checkpoint", "checkpoint/path", "checkpoint_path", "Checkpoint Directory")
STAGES: Final = ("stage", "train/stage", "Stage", "Ingredient")
COSTS: Final = ("cost_minor", "cost/total_minor")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
_NO_NUMBER: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_STAGE: Final[TypeAdapter[str]] = TypeAdapter(StageName)


class Hindered(Exception):
    """The source cannot be read now, and a person must mend it; the text says what."""


@dataclass(slots=True)
class Read:
    """What a look read."""

    readings: list[Reading] = field(default_factory=list)
    cursor: str = ""
    unreadable: int = 0
    relisted: bool = False
    """Whether the whole list of checkpoints was read, from its beginning."""
    written_at: float | None = None
    """When the trainer wrote last, as seconds of the epoch, where the source tells."""


# ---------------------------------------------------------------- rows


def columns(line: bytes) -> list[str]:
    """The cells of a line of CSV; a byte order mark before the first is passed over."""
    return next(csv.reader([line.decode("utf-8-sig", "replace")]), [])


def require_columns(header: Sequence[str], asked: steps.FollowTelemetry) -> None:
    """Refuses tables that do not tell what a run is followed by."""
    names = set(header)
    if not names & set(STEPS) or not names & set(CHECKPOINTS):
        raise Hindered(f"no table of checkpoints: its header names none of {', '.join(CHECKPOINTS)}; name the right file")
    if not names & set(STAGES) and len(asked.stages) > 1:
        raise Hindered(f"it does not tell the stage of a checkpoint, and the contract has several: add a column {', '.join(STAGES)}")
    if not names & set(TOKENS) and not asked.watch.tokens:
        raise Hindered("it does not tell the tokens, by which milestones are reached: add a column `Tokens Seen`")


def reading_of(row: Mapping[str, Any] | None, stage: str) -> Reading | None:
    """What a row tells, of this stage if it names none; none when it has no step, nothing besides, or names what can be none.

    Tokens and costs that are out of bounds (negative, fractional, too large) count as missing; the rest of the row is read.
    """
    if row is None:
        return None
    nested = row.get("metrics")
    row = {**row, **nested} if isinstance(nested, Mapping) else row
    step, tokens, place = _integer(_told(row, STEPS)), _integer(_told(row, TOKENS)), _told(row, CHECKPOINTS)
    loss, cost = _told(row, LOSSES), _integer(_told(row, COSTS))
    micro, diverged = _loss(loss)
    if step is None or step > MOST_STEPS or (tokens is None and not loss and not place) or (loss and micro is None and not diverged):
        return None
    try:
        named = _STAGE.validate_python(_told(row, STAGES) or stage)
    except ValidationError:
        return None
    digest = str(row.get("checkpoint_sha256", ""))
    return Reading(
        named, step, tokens, micro, place[:500] or None, digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
        cost if cost is None or cost <= CEILING else None, diverged,
    )  # fmt: skip


def _told(row: Mapping[str, Any], names: Sequence[str]) -> str:
    value = next((row[name] for name in names if row.get(name) is not None), "")
    return value if isinstance(value, str) else "" if isinstance(value, bool | list | dict) else str(value)


def object_of(line: bytes) -> Mapping[str, Any] | None:
    """The JSON object that a line is; none when it is none."""
    try:
        value = json_value(line, most_bytes=LINE, number=str, constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _integer(text: str) -> int | None:
    """A whole number, also written as `1e6` or `12.0`; from 0 to 2^53 - 1."""
    number = _decimal(text.replace(",", ""))
    if number is None or not 0 <= number <= SAFE or number != number.to_integral_value():
        return None
    return int(number)


def _loss(text: str) -> tuple[int | None, bool]:
    """A loss in millionths, rounded half to even; and whether it is NaN, infinite or beyond a million instead."""
    number = _decimal(text)
    if number is None or abs(number) > 10**6:
        return None, number is not None or _NO_NUMBER.fullmatch(text.strip()) is not None
    return int((number * 1_000_000).to_integral_value()), False


def _decimal(text: str) -> Decimal | None:
    if _NUMBER.fullmatch(text.strip()) is None:
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


# ---------------------------------------------------------------- points


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric, as a server keeps it; `at` in milliseconds of the epoch."""

    at: int
    step: int
    loss: str = ""
    tokens: str = ""


def take_points(points: Iterable[Point], read: Read, asked: steps.FollowTelemetry) -> None:
    """Points in the order in which they were logged; those of one step that follow each other are one row."""
    stage, row = asked.watch.stage or asked.stages[0].name, dict[str, Any]()
    for point in points:
        kind = LOSSES[0] if point.loss else TOKENS[0]
        if row and (row["step"] != str(point.step) or kind in row):
            _append(row, read, stage)
            row = {}
        row |= {"step": str(point.step), kind: point.loss or point.tokens}
    if row:
        _append(row, read, stage)


def _append(row: Mapping[str, Any], read: Read, stage: str) -> None:
    reading = reading_of(row, stage)
    if reading is None:
        read.unreadable += 1
    else:
        read.readings.append(reading)
