"""The load under which faults come: one caller tells the story of the first round, others apply, and pledge for members they do not speak for.

In the lane's own process, or in one of its own that may be killed, starved or given a bad disk, and says what happens (`speaking`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Final, NamedTuple

from domain.kernel import derived_id
from eventstore.answers import Recorded
from eventstore.clock import MovedClock
from eventstore.entries import Entry, Submission, instant
from eventstore.log import Appended, Log, LogUnavailable
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from simulation.scenario import FOURTEEN, ROUND, Story, lei
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import Receipt, everything, kept, problems
from tests.stories import START, charter

RULES: Final = charter(decisions__admission__duration_hours=24 * 28, membership__open_applications=10_000)
PATIENCE_SECONDS: Final = 60
"""How long a command may take, faults and all; and everything that was asked, once the faults stop."""
AGAIN_SECONDS: Final = 0.02
CROWD: Final = 8
PAUSE_SECONDS: Final = 0.005
"""How long a caller takes from an answer to the next command."""
TOLD: Final = 150
"""How many commands of the story are given under faults; those before are no more than its stage."""


class Ask(NamedTuple):
    """A command that a caller gives, and when."""

    stream: str
    command_id: str
    actor: str
    command: bytes
    at: datetime | None = None
    """By the story's time; `None` for whenever it is given."""

    @classmethod
    def of(cls, entry: Entry) -> Ask:
        """What an entry answers."""
        return cls(entry.stream, entry.command_id, entry.actor, entry.command, instant(entry.at))


async def story() -> Sequence[Entry]:
    """The log of the story, as it is played on the virtual clock; its commands, given again in this order, are decided alike."""
    if not _STORY:
        log = MemoryLog()
        await Story(SimulatedStage(Simulation(START, log)), RULES).play()
        _STORY.extend(await everything(log))
    return _STORY


_STORY: Final[list[Entry]] = []


def crowd(caller: int) -> Iterator[Ask]:
    """What one of the others asks, without end: to become a member, which is accepted, and to pledge for others, which is refused."""
    for number in count(1):
        member, command_id = f"crowd-{caller}-{number}", derived_id("crowd", str(caller), str(number))
        if number % 3 == 0:
            pledge = {"kind": "pledge", "member": FOURTEEN[number % len(FOURTEEN)].member, "amount": number}
            yield Ask(ROUND, command_id, "sam", canonical_command(pledge))
        else:
            apply = {
                "kind": "apply", "name": f"Applicant {member}", "lei": lei(1_000_000 * (caller + 1) + number), "country": "CH", "tier": "associate",
                "representatives": [{"person": f"{member}-rep"}],
            }  # fmt: skip
            yield Ask(f"member/{member}", command_id, f"{member}-rep", canonical_command(apply))


def receipt_of(recorded: Recorded) -> Receipt:
    """What its caller is told."""
    return Receipt(recorded.entry.command_id, recorded.entry.position, recorded.entry.hash.hex())


@dataclass
class Callers:
    """Callers on one log, recorded by one recorder, whose clock the story moves. Each asks again, with the same id, for as long as the log is unavailable."""

    log: Log
    acknowledged: Callable[[Receipt], None] = lambda _: None
    asking: Callable[[Ask], None] = lambda _: None
    patience_seconds: float = PATIENCE_SECONDS
    clock: MovedClock = field(default_factory=lambda: MovedClock(START))
    receipts: list[Receipt] = field(default_factory=list)
    asked: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    failures: int = 0
    """How often the log was unavailable."""
    faults: list[str] = field(default_factory=list)
    """What callers were shown that they must never be shown."""

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.log, clock=self.clock)

    async def close(self) -> None:
        """Ends the recorder, and lets go of the log."""
        await self.recorder.close()
        await self.log.close()

    async def ask(self, ask: Ask) -> None:
        """Gives a command until it is answered."""
        self.asked[ask.command_id] = (ask.stream, ask.actor, ask.command)
        self.asking(ask)
        submission = Submission(ask.stream, ask.command_id, ask.actor, ask.command)
        try:
            async with asyncio.timeout(self.patience_seconds):
                receipt = await self._answer(submission)
        except TimeoutError:
            self.faults.append(f"not answered within {self.patience_seconds:.0f} s: command {ask.command_id} on {ask.stream}")
        except Exception as error:  # noqa: BLE001  whatever a caller is shown but "unavailable" is a finding
            self.faults.append(f"a caller was shown {type(error).__name__}: {error}")
        else:
            self.receipts.append(receipt)
            self.acknowledged(receipt)

    async def _answer(self, submission: Submission) -> Receipt:
        while True:
            try:
                return receipt_of(await self.recorder.record(submission))
            except LogUnavailable:
                self.failures += 1
                await asyncio.sleep(AGAIN_SECONDS)

    async def begin(self) -> Sequence[Ask]:
        """Writes the beginning of the story as it was, before any fault. The rest, to be told."""
        entries = await story()
        beginning = entries[:-TOLD]
        assert await self.log.append(beginning) is Appended.DONE
        self.asked |= {entry.command_id: (entry.stream, entry.actor, entry.command) for entry in beginning}
        self.receipts += [Receipt(entry.command_id, entry.position, entry.hash.hex()) for entry in beginning]
        return [Ask.of(entry) for entry in entries[-TOLD:]]

    async def tell(self, asks: Sequence[Ask]) -> None:
        """Tells more of the story, command by command. Nobody goes on after what must not be shown to a caller."""
        for ask in asks:
            if self.faults:
                return
            if ask.at is not None:
                self.clock.to(ask.at)
            await self.ask(ask)
            await asyncio.sleep(PAUSE_SECONDS)

    async def throng(self, caller: int, stop: asyncio.Event) -> None:
        """One of the crowd, until it is to stop."""
        for ask in crowd(caller):
            if stop.is_set() or self.faults:
                return
            await self.ask(ask)
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def under_load(callers: Callers, end: Sequence[Ask] | None = None) -> AsyncIterator[None]:
    """The end of the story, which is about money, and the crowd go on meanwhile. Afterwards everybody gets their answer.

    Without an end, the story is told from its beginning.
    """
    stop = asyncio.Event()
    if end is None:
        end = await callers.begin()
    tasks = [asyncio.create_task(callers.tell(end)), *(asyncio.create_task(callers.throng(each, stop)) for each in range(CROWD))]
    try:
        yield
        await tasks[0]
        stop.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def found(callers: Callers) -> list[str]:
    """What is wrong after a round: with the log, with what callers were promised, with what they were shown."""
    entries = await everything(callers.log)
    return [*callers.faults[:20], *kept(entries, callers.receipts, callers.asked), *problems(entries)]


# ------------------------------------------------------------ in a process of its own


@dataclass(frozen=True, slots=True)
class Told:
    """What a load in a process of its own said until it ended, or was ended."""

    receipts: Sequence[Receipt]
    asked: dict[str, tuple[str, str, bytes]]
    shown: Sequence[str]
    faults: int

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Told:
        """Read from its output; a last line that was cut off says nothing."""
        receipts, asked, shown, faults = list[Receipt](), dict[str, tuple[str, str, bytes]](), list[str](), 0
        for line in lines:
            if not line.endswith(b"\n"):
                break
            match json.loads(line):
                case ["receipt", command_id, position, hash_]:
                    receipts.append(Receipt(command_id, position, hash_))
                case ["asked", command_id, stream, actor, command]:
                    asked[command_id] = (stream, actor, base64.b64decode(command))
                case ["shown", text]:
                    shown.append(text)
                case ["fault"]:
                    faults += 1
                case strange:
                    shown.append(f"the load said {strange}")
        return cls(receipts, asked, shown, faults)

    def problems(self, entries: list[Entry], begun: Callers) -> list[str]:
        """What is wrong with the log that was begun by others, and went on here."""
        receipts, asked = [*begun.receipts, *self.receipts], begun.asked | self.asked
        return [*begun.faults, *self.shown[:20], *kept(entries, receipts, asked), *problems(entries)]


def say(*words: object) -> None:
    """Says something to the lane, at once."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def written(asks: Iterable[Ask]) -> str:
    """Commands as text, for a process of its own."""
    return json.dumps([(stream, id_, actor, command.decode(), at and at.isoformat()) for stream, id_, actor, command, at in asks])


def read(text: str) -> Sequence[Ask]:
    """What was written."""
    return [
        Ask(stream, id_, actor, command.encode(), at and datetime.fromisoformat(at)) for stream, id_, actor, command, at in json.loads(text)
    ]


def speaking(log: Log) -> Callers:
    """Callers that say whatever they ask and are told."""
    return Callers(
        log,
        acknowledged=lambda receipt: say("receipt", *receipt),
        asking=lambda ask: say("asked", ask.command_id, ask.stream, ask.actor, base64.b64encode(ask.command).decode()),
    )
