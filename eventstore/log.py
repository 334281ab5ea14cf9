"""The port to a log, and what it promises; every adapter keeps the same contract (tests/test_log.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import takewhile
from typing import Any, Final, NamedTuple, Protocol

from domain.kernel import shown_at
from eventstore.entries import Entry, Head
from transparency.tree import Kept


class Appended(Enum):
    """How an append ended. Only `DONE` changed anything."""

    DONE = auto()
    """All entries are durable."""
    BEHIND = auto()
    """The log has entries after the one that the first of these follows."""
    REPEATED = auto()
    """A command id among these is on the log already."""


class Row(NamedTuple):
    """One row of a list: `body` is a JSON object, or empty when the row is gone."""

    model: str
    key: str
    body: bytes


class Lists(NamedTuple):
    """Rows as readers see them."""

    edition: str
    """Of which edition they are; empty when there is none."""
    position: int
    """As of which entry."""
    rows: Sequence[Row]


class Sealed(NamedTuple):
    """What the log signed of itself last."""

    size: int
    """Over how many entries."""
    checkpoint: bytes
    """A signed note (C2SP tlog-checkpoint)."""


class Seal(NamedTuple):
    """What becomes durable with entries, of the tree over all of them (docs/log-format.md, Checkpoints)."""

    sealed: Sealed | None
    """As of the last of the entries; none where nobody signs."""
    kept: Sequence[Kept]
    """The hashes of the subtrees that they complete, which are kept."""


class LogUnavailable(Exception):
    """The log cannot be reached or written now (connection lost, disk full); nothing was half done. Try again."""


class NotWritable(LogUnavailable):
    """The log can be read but not written: by the role that asks, or because it is a standby."""


class NotReadable(LogUnavailable):
    """Who asks may not read the log, or not what must be read with it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class NotMigrated(LogUnavailable):
    """The log has the schema of an earlier release, or none. Who only reads changes nothing about that."""


class Unfit(LogUnavailable):
    """A worker that must record nothing, though the log is well: another worker can. It still reads."""

    reason: str = "unfit"
    """The fact in snake_case, for logs and metrics."""


class ClockApart(Unfit):
    """The host's clock is not the one that the log goes by: it differs from the database's, or is a rehearsal's on a real log."""

    reason = "clock_apart"


class KeyNotEnrolled(Unfit):
    """The key with which this worker signs is not one that officers enrolled: nobody would believe what it records."""

    reason = "log_key_not_enrolled"


class NewerRules(Unfit):
    """The log holds entries that newer rules decided: a newer release has taken over."""

    reason = "newer_rules"


class WrittenByNewer(Unfit):
    """A newer release stated something that all processes must agree on, and that this release cannot take in."""

    reason = "written_by_newer"


class Damaged(Unfit):
    """An entry is not what was recorded. Nothing is recorded after it: what follows from it is not known."""

    reason = "damaged"

    def __init__(self, position: int, why: str) -> None:
        super().__init__(f"the log is broken at position {position}: {why}; compare with a backup (`consortium verify`)")
        self.position = position


class FellBack(Unfit):
    """The log lost entries that this worker knows to have been durable: an older copy was put in its place, or a standby that lagged took over."""

    reason = "fell_back"

    def __init__(self, known: int, found: int) -> None:
        super().__init__(
            f"the log fell back from entry {known:,} to {found:,}: what was acknowledged in between is gone; bring it back from a backup or from"
            " the copy of a member, or go on without it as docs/operations.md, Restore, says"
        )


class Unsigned(LogUnavailable):
    """The log was begun without signatures, and its officers did not begin to sign yet: nothing else is recorded until they do."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"this log is unsigned up to entry {position:,}, and goes on only once two of its officers begin to sign"
            " (`consortium consortium begin-signing`; docs/operations.md says how)"
        )


class WrittenOn(LogUnavailable):
    """A newer release wrote on this stream what this one cannot read. Everything else goes on here; a worker of that release answers."""

    def __init__(self, stream: str, position: int) -> None:
        super().__init__(f"{stream} was written by a newer release (entry {position}): a worker of that release answers")
        self.position = position


class EntryStale(LogUnavailable):
    """An entry's time is not now: it waited for too long on its way. Decided again it gets a time of its own."""


class HeadAhead(LogUnavailable):
    """The last entry is later than the clock: nothing is appended until the clock has come near it."""

    remedy = "it is waited for"

    def __init__(self, position: int, at: datetime, by: timedelta, until: datetime) -> None:
        super().__init__(
            f"entry {position} is dated {shown_at(at)}, which this host's clock has not reached; nothing is appended before"
            f" {shown_at(until)}: {self.remedy} (`consortium doctor`)"
        )
        self.position = position
        self.at = at
        self.by = by
        self.until = until
        """When entries are appended again, if nothing is done."""


class HeadFarAhead(HeadAhead):
    """The last entry is so much later than the clock that only the commands by which officers accept its time are appended."""

    remedy = "wait until then, or let two officers accept the time"


HostClock = Callable[[], int]
"""Reads a host's clock, in microseconds since 1970 as entries have them."""


OLDER_RULES: Final = "entries of newer rules come before this one"
"""What a database says when it refuses an entry of older rules than those that decided the entry before."""


class Leadership(Protocol):
    """Being the one that leads in a role on a log."""

    async def holds(self) -> bool:
        """Whether it is still so. Once lost it is never held again: leave, and ask to lead anew."""


class Log(Protocol):
    """One consortium's log, and the derived tables beside it. Safe to use from several tasks and processes."""

    async def head(self) -> Head:
        """The last entry."""

    async def read(self, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """Entries after a position, in order."""

    async def read_stream(self, stream: str, after: int, limit: int = 1_000) -> Sequence[Entry]:
        """Entries of one stream after a position, in order."""

    async def last_of(self, stream: str, limit: int) -> Sequence[Entry]:
        """The last entries of one stream, at most so many, in order."""

    async def find(self, command_ids: Sequence[str]) -> Sequence[Entry]:
        """Those of these commands that are on the log, in order."""

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        """Makes entries durable that follow one another, all or none, and their seal with them. Compares `previous` of the first with the head.

        Where several hosts write, `host_clock` is compared with the database's, and so is the time of an entry that is later than
        the head: raises `ClockApart`, `EntryStale`; and `NewerRules` for entries of older rules than the head's. Without a host's
        clock the log is a rehearsal: it is one from its first entry on, or never.
        """

    def begin(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Awaitable[Appended]:
        """An `append` under way: it goes on while the caller does something else, and ends when it is awaited."""

    async def sealed(self) -> Sealed | None:
        """The newest checkpoint; `None` while the log signed nothing. It proves nothing until its signature is verified."""

    async def hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """Neighbours in a level of the tree's tiles (`transparency.tree.Tile`), `begin` to `end` (exclusive), as many as there are.

        Of level 0 the hashes of the entries at positions `begin + 1` to `end`; of the others what was kept, up to the first that is missing.
        """

    async def keep_hashes(self, kept: Sequence[Kept]) -> None:
        """Keeps hashes of the tree in place of those that are missing or wrong. They are derived: `eventstore.sealing.mend` makes them anew."""

    async def time(self) -> int | None:
        """What the clock shows by which the hosts of this log are judged, in microseconds; `None` when that is the host's own."""

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Holds the log's write lock: inside, `append` on this object is not `BEHIND` what `read` showed.

        A process that stops while holding it does not stop the others: after a few seconds they go on, and its append fails or is `BEHIND`.
        """

    def leading(self, role: str) -> AbstractAsyncContextManager[Leadership]:
        """Waits until nobody else leads in this role, in any process, and leads until it is left. Raises `LogUnavailable`.

        A leader that ends loses it at once. One that stands still loses it too where the database keeps it (PostgreSQL); beside a file
        it does not, so what a leader alone may do is done after `holds` said yes, and must be harmless when done twice.
        """

    async def led(self, role: str) -> bool:
        """Whether anybody leads in this role now, in whatever process. It may be over at once."""

    async def changed(self, after: int, timeout: float) -> bool:  # noqa: ASYNC109
        """Waits until there are entries after a position, at most `timeout` seconds; whether there are."""

    async def generation(self, edition: str) -> int:
        """The generation of an edition's lists that readers see; 0 when there is none."""

    async def new_generation(self, edition: str) -> int:
        """A further generation of an edition's lists, empty and unseen."""

    async def checkpoint(self, generation: int) -> int:
        """How far the lists of a generation follow the log; 0 for one that is empty or gone."""

    async def project(self, generation: int, after: int, upto: int, rows: Sequence[Row]) -> bool:
        """Writes rows and moves the checkpoint from `after` to `upto` in one transaction; false when it is not at `after`."""

    async def promote(self, generation: int, at: int) -> bool:
        """Shows readers this generation of its edition; false when its checkpoint is behind `at`, or behind what they see.

        The edition's other generations are gone, and so are all others that nobody saw. Of the other editions the one that
        follows the log furthest stays: two releases have theirs side by side.
        """

    async def sweep(self, most: int) -> int:
        """Removes rows of generations that are gone, at most so many; how many it removed."""

    async def shown(self, edition: str, model: str, *, key: str | None = None) -> Lists:
        """The rows of a model by key, of this edition, or where there is none of the one that follows the log furthest."""

    async def load_snapshots(self, names: Sequence[str], version: str) -> Mapping[str, tuple[int, bytes]]:
        """Snapshots of this version by name, each with the position it was taken at."""

    async def save_snapshot(self, name: str, version: str, position: int, body: bytes) -> None:
        """Keeps a snapshot in place of the one before it by that name and version, and beside the latest of another version."""

    async def close(self) -> None:
        """Lets go of connections and threads."""


def without_gap(after: int, rows: Iterable[Sequence[Any]]) -> list[bytes]:
    """The second columns of rows whose first go on from `after` one by one, up to the first that does not: a helper of the adapters."""
    return [row[1] for _, row in takewhile(lambda each: each[0] == each[1][0], enumerate(rows, after + 1))]
