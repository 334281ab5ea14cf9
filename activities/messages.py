"""What passes between clients, workflows and activities. Small, and free of the domain: workflows load this module."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

LONGEST_LINE: Final = 200
"""The most bytes of a line that Temporal shows of a command or a step."""
LAST_SHOWN: Final = 5
"""How many of a stream's last entries its details show."""
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9 _,:+-]|(?<=[0-9])\.(?=[0-9])|(?<=[a-z])/(?=[a-z0-9]))*", re.ASCII)


def is_plain(line: str) -> bool:
    """Whether a line can be shown as it is: short, and made of characters of which no markup, address or escape code can be made."""
    return len(line) <= LONGEST_LINE and _PLAIN.fullmatch(line) is not None


def _plain(line: str) -> str:
    if not is_plain(line):
        raise ValueError(f"a line of at most {LONGEST_LINE} letters, digits and simple signs is taken")
    return line


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
    command_id: str = ""
    """Under which id it is to be recorded; without one that of the Update. Temporal gives an Update whose id it knows the answer that it gave
    to the first, so what somebody else sent under a command's id, unsigned, would be the answer to who signed it.
    """
    line: Annotated[str, AfterValidator(_plain)] = ""
    """What the sender says of the command, for people who look at the timeline: `pledge by ada for helio: USD 500,000.00`. It is shown
    and nothing else: nobody believes it, and it is not on the log.
    """

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Workers of former releases take no field that they do not know."""
        written: dict[str, Any] = whole(self)
        for name in ("line", "command_id"):
            if not written[name]:
                del written[name]
        return written

    @property
    def shown(self) -> str:
        """The line, as far as it tells of this command and this sender; nothing where even their names are none."""
        own = f"{self.command.get('kind')} by {self.actor}"
        if self.line == own or self.line.startswith((f"{own}:", f"{own} for ")):
            return self.line
        return own if is_plain(own) else ""


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
    due: AwareDatetime | None = None
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
    line: str = ""
    """The step in words; former releases wrote none."""


class StepRef(_Wire):
    """Where an activity finds the step it carries out."""

    stream: str
    key: str
    raises: bool = False
    """Whether the workflow takes it from an error that a step failed for good (`STEP_FAILED`). Those of former releases only take it from
    an outcome.
    """


class Tagged(_Wire):
    """What came of a step, with the tag of the worker that carried it out, as an activity returns it. The log takes no other."""

    command: dict[str, Any]
    signed: str
    """Base64 of what is tagged."""
    signature: str

    @classmethod
    def read(cls, result: dict[str, Any]) -> Tagged:
        """The result of a step's activity. Those of former releases are the command alone, without a tag; so is whatever else may come."""
        try:
            return cls.model_validate(result)
        except ValueError:
            return cls(command=result, signed="", signature="")


class Noted(_Wire):
    """An entry of the stream in a line of Markdown: what was asked, and what came of it."""

    position: int
    line: str


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
    noted: list[Noted] = []
    """The last entries of the stream, when it was looked at; after a command that of the command alone."""


class Refusal(_Wire):
    """Which rule said no, and the remedy."""

    rule: str
    message: str
    remedy: str
    clause: str


class Receipt(_Wire):
    """Where a command stands on the log, and what followed. Nothing of it is believed: whoever gets it checks `entry` and `proof`.

    Of a refusal that leaves no entry there is neither.
    """

    position: int
    stream: str
    command_id: str
    at: datetime
    events: list[str]
    hash: str
    entry: str = ""
    """The entry as a line of an export (docs/log-format.md); empty where it is long, and is read on the log instead."""
    proof: str = ""
    """That the log holds it: a C2SP tlog-proof with the log's signed checkpoint; empty where the log signed nothing over it."""


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
STEP_FAILED = "StepFailed"
"""For workflows alone: a step failed for good; the error's detail is the outcome that says so."""
NOT_OWED = "NotOwed"
"""For workflows alone: the log does not owe what was to be recorded, or no longer; nothing is wrong."""
WRONG_TAG = "WrongTag"
"""For workflows alone: what came of a step is not tagged by a worker of this log, so it is carried out again."""
ANOTHERS = "AnotherWorkers"
"""For workflows alone: what this worker cannot do, and one of a newer release can."""
NO_ENVELOPE = "the argument is no envelope"
"""How the words begin that refuse an argument which is none."""
BUSY = "Busy"
NOT_YET = "NotYet"
"""The types of errors that a client may see; `Refused` carries a `Refusal` as its detail, `NotYet` the seconds until then."""
