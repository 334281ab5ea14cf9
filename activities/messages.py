"""What passes between clients, workflows and activities. Small, and free of the domain: workflows load this module."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Wire(BaseModel):
    """What a later release says besides is passed over: workers of two releases read each other while they are exchanged."""

    model_config = ConfigDict(frozen=True)


class Envelope(_Wire):
    """A command as a person sends it: the argument of the Update that bears the command's kind as its name."""

    model_config = ConfigDict(extra="forbid")

    actor: str
    command: dict[str, Any]
    signed: str = ""
    """Base64 of what was signed; empty without a signature."""
    signature: str = ""


class Answering(_Wire):
    """What a command of the system's own answers. Its id is derived from that: told again, it is the same."""

    what: Literal["deadline", "outcome", "failure", "delay"]
    """A deadline, a step that was carried out, one whose outcome was not taken, or one that takes long."""
    number: int
    """The stream's version at which the deadline stood, or the step's attempt."""
    step: str = ""


class RecordRequest(_Wire):
    """Where a command in its envelope is to be recorded. Its entry's time is the worker's own, never one that is asked for."""

    stream: str
    command_id: str | Answering
    due: datetime | None = None
    """When the deadline stands that the command answers, by the log's time."""


class Due(_Wire):
    """The next deadline: what the system will say, and when by Temporal's clock and by the log's."""

    command: dict[str, Any]
    wake_at: datetime | None
    """`None`: not by itself, as long as the log's time stands still."""
    at: datetime

    @property
    def kind(self) -> str:
        """The deadline's name."""
        return str(self.command["kind"])


class Owed(_Wire):
    """A step to carry out; its data stays on the log. `attempt` is never the same when it is owed again, or a person asks for another try."""

    kind: str
    key: str
    attempt: int
    start_to_close_seconds: int
    heartbeat_seconds: int
    attempts: int
    """Tries after which a person is asked to look; 0, which former releases wrote, is never."""
    delayed: bool = False
    """Whether a person was asked."""
    delayed_seconds: int = 900
    """How long it is waited at most between two tries from then on."""


class StepRef(_Wire):
    """Where an activity finds the step it carries out."""

    stream: str
    key: str


class Standing(_Wire):
    """A stream as its workflow sees it. `version` orders two of them."""

    stream: str
    version: int
    phase: str
    line: str
    details: str
    waits_for: list[str]
    attention: bool
    due: Due | None
    steps: list[Owed]
    closed: bool


class Refusal(_Wire):
    """Which rule said no, and the way out."""

    rule: str
    message: str
    remedy: str
    clause: str


class Receipt(_Wire):
    """Where a command stands on the log, and what followed. `hash` lets its holder check that it is still there."""

    position: int
    stream: str
    command_id: str
    at: datetime
    events: list[str]
    hash: str


class Recorded(_Wire):
    """A command's answer and the standing since."""

    receipt: Receipt
    refusal: Refusal | None
    standing: Standing


class LogHead(_Wire):
    """A log, by the hash of its first entry, and how far it reaches: the position and the hash of an entry."""

    first: str
    position: int
    hash: str


LOG = "log"
"""The name of the workflow, and its id, that holds what Temporal has seen of its log."""
NOTED = "Head"
"""Under which name its memo holds it."""

TASK_QUEUE = "consortium"
"""Where workers find their work, when the settings name no other."""

REFUSED = "Refused"
MALFORMED = "Malformed"
ID_REUSED = "IdReused"
BUG = "Bug"
UNAVAILABLE = "LogUnavailable"
ANOTHERS = "AnotherWorkers"
"""For workflows alone: what this worker cannot do, and one of a newer release can."""
BUSY = "Busy"
NOT_YET = "NotYet"
"""The types of errors that a client may see; `Refused` carries a `Refusal` as its detail, `NotYet` the seconds until then."""
