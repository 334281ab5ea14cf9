"""What is measured: a process with one command and one event of about 400 bytes, so that the rules cost next to nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, cycle
from typing import Annotated, Any, Final, Literal

from pydantic import TypeAdapter
from pydantic.fields import Field

from domain.catalog import RULES
from domain.kernel import Agenda, Command, Event, Headline
from domain.process import Context, Process
from domain.stream import Common
from eventstore.entries import ACCEPTED, EMPTY, Entry, Head, Submission, encode_events, encode_json, hash_of, microseconds, random_salts

STREAMS: Final = 200
_MEMO: Final = "Paid in under tranche two of the first round, cleared by the treasurer against the bank statement of the day. " * 3
_BEGAN: Final = datetime.now(UTC)


class Post(Command):
    """Add to an account."""

    kind: Literal["post"] = "post"
    amount: int
    reference: str


class Posted(Event):
    """It was added."""

    kind: Literal["posted"] = "posted"
    amount: int
    reference: str
    memo: str
    total: int


@dataclass(frozen=True, slots=True)
class Account:
    """What was added so far."""

    total: int = 0


def _decide(state: Account, command: Post, _: Context) -> Sequence[Posted]:
    return (Posted(amount=command.amount, reference=command.reference, memo=_MEMO, total=state.total + command.amount),)


def _evolve(_: Account, event: Posted) -> Account:
    return Account(event.total)


ACCOUNT: Final[Process[Post, Posted, Account]] = Process(
    name="account",
    initial=Account(),
    decide=_decide,
    evolve=_evolve,
    agenda=lambda _: Agenda(),
    describe=lambda state: Headline("open", str(state.total)),
    commands=TypeAdapter(Post),
    events=TypeAdapter(tuple[Annotated[Posted | Common, Field(discriminator="kind")], ...]),
)
PROCESSES: Final[Mapping[str, Process[Any, Any, Any]]] = {"account": ACCOUNT}


def command_ids() -> Iterator[str]:
    """Ids in the order of time, as uuid7 are, no two alike in any process."""
    now = f"{time.time_ns() // 1_000_000:012x}"
    prefix = f"{now[:8]}-{now[8:]}-{os.getpid() & 0xFFFF:04x}-{os.urandom(2).hex()}"
    for number in count():
        yield f"{prefix}-{number:012x}"


def submissions() -> Iterator[Submission]:
    """Commands without end, spread over the streams. They are made beforehand; only their ids are new."""
    commands = [
        (f"account/{number}", b'{"amount":%d,"kind":"post","reference":"RF18539007547034-%09d"}' % (number % 977, number))
        for number in range(STREAMS)
    ]
    for (stream, command), command_id in zip(cycle(commands), command_ids(), strict=False):
        yield Submission(stream, command_id, "ada", command)


def entries(size: int, head: Head = EMPTY) -> list[Entry]:
    """A whole log of one event an entry, ready to be inserted."""
    position, _, previous, _ = head
    at = max(head.at, microseconds(_BEGAN))
    made: list[Entry] = []
    for submission in submissions():
        position += 1
        event = Posted(amount=position % 977, reference=f"RF18539007547034-{position:09}", memo=_MEMO, total=position)
        entry = Entry(
            position, submission.stream, submission.command_id, "post", submission.actor, at, RULES,
            submission.command, b"", b"", ACCEPTED, encode_events((event,)), random_salts(2), previous, b"",
        )  # fmt: skip
        previous = hash_of(entry)
        made.append(entry._replace(hash=previous))
        if len(made) == size:
            return made
    return made


def state() -> bytes:
    """One event as other stores take it."""
    return encode_json(Posted(amount=1, reference="RF18539007547034-000000001", memo=_MEMO, total=1).model_dump())
