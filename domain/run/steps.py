"""What a run asks of the outside world, and the outcomes that come back.

| step | data | outcomes |
| --- | --- | --- |
| follow_telemetry | `FollowTelemetry` | `TelemetryReported` |
| read_evaluation | see `domain/evaluation.py` | |
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain.kernel import Message, Outcome, Slug
from domain.money import Minor
from domain.run.telemetry import (
    MISSING,
    MOST,
    STAGES,
    CheckpointRange,
    Divergence,
    Found,
    MicroNats,
    Missing,
    Restart,
    Spike,
    SpikeRule,
    StagePlan,
    Watch,
)
from domain.run.terms import RANGES, Cursor, Source


class FollowTelemetry(Message):
    """The data of a step `follow_telemetry`: read what the trainer wrote since the cursor, and report what it means."""

    run: Slug
    number: Annotated[int, Field(ge=1)]
    source: Source
    cursor: Cursor
    stages: tuple[StagePlan, ...]
    spikes: SpikeRule
    watch: Watch


class TelemetryReported(Outcome):
    """What the readings since the last look brought to light: a bounded number of facts, whatever the trainer wrote."""

    kind: Literal["telemetry_reported"] = "telemetry_reported"
    number: Annotated[int, Field(ge=1)]
    cursor: Cursor
    watch: Watch
    loss_micro: MicroNats | None = None
    cost: Minor | None = None
    """What the run has cost so far, where the trainer reports it."""
    checkpoints: Annotated[tuple[CheckpointRange, ...], Field(max_length=RANGES)] = ()
    missing: Annotated[tuple[Missing, ...], Field(max_length=MISSING + STAGES)] = ()
    found: Annotated[tuple[Found, ...], Field(max_length=STAGES)] = ()
    restarts: Annotated[tuple[Restart, ...], Field(max_length=MOST)] = ()
    spikes: Annotated[tuple[Spike, ...], Field(max_length=MOST)] = ()
    diverged: Divergence | None = None
    quiet_seconds: Annotated[int, Field(ge=0, le=10**10)] = 0
    """How long before the look the trainer wrote last, where the source says so."""
    more: Annotated[int, Field(ge=0)] = 0
    """How many findings are not listed one by one."""
    unreadable: Annotated[int, Field(ge=0)] = 0
    """Rows that could not be understood and were passed over."""
