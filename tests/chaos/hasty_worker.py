"""The shipped worker with one carelessness: it answers a command before the log has it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import settings
import worker
from eventstore.entries import Entry
from eventstore.log import Appended, HostClock, Log, Seal
from eventstore.postgres import PostgresLog

LATER_SECONDS: Final = 2.0


class HastyPostgres(PostgresLog):
    """Says done, and does it later."""

    async def append(self, entries: Sequence[Entry], host_clock: HostClock | None = None, seal: Seal | None = None) -> Appended:
        self._later = asyncio.create_task(self._append_later(entries, host_clock, seal))
        return Appended.DONE

    async def _append_later(self, entries: Sequence[Entry], host_clock: HostClock | None, seal: Seal | None) -> None:
        await asyncio.sleep(LATER_SECONDS)
        await super().append(entries, host_clock, seal)


async def opened(url: str) -> Log:
    """The careless log."""
    return await HastyPostgres.open(url)


if __name__ == "__main__":
    worker.open_log = opened  # type: ignore[attr-defined]
    asyncio.run(worker.serve(settings.in_force()))
