"""What `consortium doctor` looks at, and what its checks come to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from cli.failures import Failure
from cli.options import Where, folder_option
from domain.register.state import Register
from eventstore.entries import Entry
from eventstore.log import ClockApart, Log, Unfit
from eventstore.recorder import Recorder
from eventstore.replica import UnreadableEntry
from settings import Settings, Wrong

if TYPE_CHECKING:
    from temporalio.client import Client

T = TypeVar("T")


class Verdict(StrEnum):
    """What a check comes to."""

    WELL = "well"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    UNKNOWN = "unknown"
    """It could not be made: because of what another check found, or because this is not told to whoever asks."""
    ACT = "act"
    """Something has to be done, or waited for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: str
    verdict: Verdict
    detail: str
    remedies: Sequence[str] = ()
    """Ways out, each by itself. Lines that begin with the name of a program can be typed as they are."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What programs want to know besides."""


class CannotTell(Exception):
    """A check that cannot be made, and why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The log, opened for reading."""

    log: Log
    recorder: Recorder
    head: Entry | None
    """The last entry; none on an empty log."""
    now: datetime
    """The log's time, from which people count."""
    near: bool
    """Whether a snapshot is near the head: who looks does not fold years."""
    rehearsed: bool

    async def register(self) -> Register | Exception:
        """The register as of the head; why not, where this release cannot take in what is on the log. Raises `CannotTell`."""
        if not self.near:
            raise CannotTell("not looked at: no snapshot is near the head of the log; a worker makes one")
        try:
            register = (await self.recorder.replica()).register
        except (UnreadableEntry, Unfit) as error:
            return error
        unfit = self.recorder.unfit
        return register if unfit is None or isinstance(unfit, ClockApart) else unfit


@dataclass(frozen=True, slots=True)
class Patient:
    """What checks look at."""

    chosen: Settings
    wrong: Sequence[Wrong]
    """Variables that cannot be meant so; the settings are as if they were not set."""
    where: Where
    place: str
    """Where Temporal is meant to be; empty where nothing is meant to run but an `up`, and none does."""
    log: Opened | Failure
    client: Client | Failure | None
    """`None` where Temporal is not meant to be anywhere."""

    @property
    def folder(self) -> str:
        """The option by which a command works on the same folder: see `folder_option`."""
        return folder_option(self.where.folder)

    @property
    def begin(self) -> str:
        """The command that has everything run, or one more worker."""
        return f"consortium up{folder_option(self.chosen.folder)}" if not self.chosen.log else "consortium worker"

    def opened(self) -> Opened:
        """The log. Raises `CannotTell`."""
        if isinstance(self.log, Failure):
            raise CannotTell("not looked at: the log cannot be read, see what is said of it")
        return self.log

    def connected(self) -> Client:
        """A client of Temporal. Raises `CannotTell`."""
        if self.client is None or isinstance(self.client, Failure):
            why = "runs nowhere" if self.client is None else "is not reached"
            raise CannotTell(f"not looked at: Temporal {why}, see what is said of it")
        return self.client


Check = Callable[[Patient], Awaitable[Finding]]


async def aside(work: Callable[[], T]) -> T:
    """Does work that may block, like asking a share that is away, in a thread that nobody waits for when the time is up."""
    done: Future[T] = Future()

    def run() -> None:
        done.set_running_or_notify_cancel()
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  whoever waits gets it
            done.set_exception(error)

    Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wrap_future(done)
