"""Whether a worker may record: its clock, the time of the log's head, and what a newer release wrote there."""

from __future__ import annotations

from typing import Final

import structlog

from domain.register.state import Register
from eventstore.clock import TOLERANCE, Clock, ahead
from eventstore.entries import MICROSECOND, Head, instant, microseconds
from eventstore.log import ClockApart, FellBack, HeadAhead, HostClock, KeyNotEnrolled, Log, LogUnavailable, Unfit
from eventstore.replica import Replica
from signatures import keys

_TOLERANCE: Final = TOLERANCE // MICROSECOND

_log = structlog.get_logger(__name__)


class Fitness:
    """What keeps one worker from recording on one log, as far as the worker knows."""

    def __init__(self, log: Log, clock: Clock, log_key: str = "") -> None:
        self._log = log
        self._log_key = log_key
        """The key with which this worker signs; empty in unit tests of the core."""
        self.clock = clock
        """By which entries are dated and deadlines come."""
        self.unfit: Unfit | None = None
        """Why this worker must record nothing; see `examine`."""
        self._reported = 0
        """The head that was last reported as ahead of the clock."""

    async def examine(self, replica: Replica) -> Unfit | None:
        """Says why this worker may not record. A wrong clock, or key, is looked at again, and forgiven once it is right; every other reason lasts
        until a restart.
        """
        if self.unfit is None or isinstance(self.unfit, ClockApart | KeyNotEnrolled):
            apart = await self._apart(replica) if self.clock.is_real else None
            self.declare(await self.fallen_back(replica) or apart or self.unenrolled(replica.register))
        return self.unfit

    def unenrolled(self, register: Register) -> KeyNotEnrolled | None:
        """Whether the log is signed, and this worker's key signs nothing of it, or no longer."""
        key = register.log_keys.get(self._log_key)
        if not self._log_key or not register.signing or (key is not None and key.until is None):
            return None
        return KeyNotEnrolled(
            f"the key with which this worker signs the log ({keys.parse(self._log_key).fingerprint}) is not enrolled: `consortium key request log` on"
            " its host writes its request, and two officers of different organisations enrol it (`consortium key enrol --log`)"
        )

    def declare(self, unfit: Unfit | None) -> None:
        """Keeps whether this worker may record, and logs a change."""
        before, self.unfit = self.unfit, unfit
        if unfit is not None and (before is None or before.reason != unfit.reason):
            _log.error("recorder.unfit", reason=unfit.reason, error=str(unfit))
        if unfit is None and before is not None:
            _log.info("recorder.fit", reason=before.reason)

    async def fallen_back(self, replica: Replica) -> FellBack | None:
        """Whether the log ends before an entry that this worker knows to have been durable."""
        known, found = replica.durable.position, (await self._log.head()).position
        return FellBack(known, found) if found < known else None

    # ------------------------------------------------------------ the host's clock

    def host_clock(self, replica: Replica) -> HostClock | None:
        """What an append compares the database's clock with: this host's; `None` when the log goes by a rehearsal's."""
        return (lambda: self._host_time(replica)) if self.clock.is_real else None

    def _host_time(self, replica: Replica) -> int:
        return microseconds(self.clock.now(replica.head_time))

    async def _apart(self, replica: Replica) -> ClockApart | None:
        """Whether this host's clock and the log's differ by more than the time that asking for the log's took."""
        before = self._host_time(replica)
        log = await self._log.time()
        if log is None or before - _TOLERANCE <= log <= self._host_time(replica) + _TOLERANCE:
            return None
        by = round(abs(log - before) / 1_000_000)
        return ClockApart(f"this host's clock is {by:,} s {'behind' if before < log else 'ahead of'} the database's; set it right")

    # ------------------------------------------------------------ the head's time

    def head_ahead(self, head: Head, register: Register) -> HeadAhead | None:
        """Why nothing may be appended after a head, by its time and by what officers accepted of it; `None` when something may."""
        accepted = register.time_accepted_until
        if not head.position or (accepted is not None and head.at <= microseconds(accepted)):
            return None
        return ahead(self.clock, head.position, instant(head.at))

    async def obstacle(self, replica: Replica) -> LogUnavailable | None:
        """Why nothing may be appended after the replica's head: this host's clock, where it is the clock that is wrong, else the head."""
        found = self.head_ahead(replica.head, replica.register)
        if found is None:
            return None
        unfit = await self.examine(replica)
        if unfit is None and self._reported != found.position:
            self._reported = found.position
            _log.error("head.ahead", position=found.position, at=found.at.isoformat(), until=found.until.isoformat())
        return unfit or found
