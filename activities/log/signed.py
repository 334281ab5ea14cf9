"""What a person sends: a command with their statement and their signature over it, made where they are."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self

from eventstore.clock import Clock, PacedClock
from eventstore.entries import ACCEPTED, Entry, Head, instant
from eventstore.log import Log
from eventstore.statement import VERSION, Seen, Statement, digest, instant_text, written
from eventstore.wire import canonical_command, decoded
from signatures import sshsig
from signatures.signers import Signer
from signatures.sshsig import Purpose

LIFETIME: Final = timedelta(minutes=15)
"""How long a command may be under way to the log, by the real clock: it is recorded before that, or never."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The log as whoever signs sees it: which one it is, what stands on it, what time it is there."""

    first: str
    """The hash of its first entry; empty before it."""
    head: Head
    at: datetime
    pace: int = 1
    """How many times as fast as the real one its time runs."""

    @classmethod
    async def of(cls, log: Log, clock: Clock) -> Self:
        """What a log is now, by this clock."""
        head, first = await log.head(), await log.read(0, 1)
        at = clock.now(instant(head.at))
        pace = clock.pace if isinstance(clock, PacedClock) else _founded_pace(first)
        return cls(first[0].hash.hex() if first else "", head, max(at, instant(head.at)) if first else at, pace)


def _founded_pace(first: Sequence[Entry]) -> int:
    """At which pace a log was founded: a rehearsal that stands still may run on while a command is under way. 1 in earnest, and before the founding."""
    events = decoded(first[0].body) if first and first[0].outcome == ACCEPTED else ()
    return next((event["clock"]["pace"] for event in events if event["kind"] == "clock_set" and event["clock"]["kind"] == "paced"), 1)


class Signed(NamedTuple):
    """The statement and the signature, as an envelope carries them: in Base64."""

    signed: str
    signature: str


def sign(signer: Signer, person: str, stream: str, command_id: str, command: dict[str, Any], moment: Moment) -> Signed:
    """What a person signs of a command. May wait for them, as `Signer.sign` does. Raises `CannotSign`, and `Malformed` for what is no command."""
    head = moment.head
    said = written(
        Statement(
            actor=person, command=command, command_id=command_id, consortium=moment.first or digest(canonical_command(command)),
            expires_at=instant_text(moment.at + LIFETIME * moment.pace), issued_at=instant_text(moment.at), stream=stream, version=VERSION,
            seen=Seen(head.hash.hex(), head.position) if head.position else None,
        )
    )  # fmt: skip
    signature = sshsig.unarmour(signer.sign(said, Purpose.COMMAND))
    return Signed(base64.b64encode(said).decode(), base64.b64encode(signature).decode())
