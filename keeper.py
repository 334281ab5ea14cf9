"""The keeper's process, started by a worker, which says on two lines of stdin where the log is and in which role to lead there.

It ends with its worker, however that ends: then its stdin does. Until it leads it has loaded little and does nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from threading import Thread
from typing import Final

import structlog

from activities import logs
from eventstore.log import LogUnavailable
from settings import open_log

AGAIN_SECONDS: Final = 15
"""How long it waits before it tries again what it could not do."""
NICE: Final = 5
"""Who answers commands has the processor first."""

_log = structlog.get_logger(__name__)


async def keep(url: str, role: str) -> None:
    """Keeps the lists and snapshots of the log at this place, through every absence of its database, until cancelled."""
    while True:
        try:
            await _lead(url, role)
        except LogUnavailable as error:
            _log.warning("keeper.interrupted", error=str(error))
            await asyncio.sleep(1)
        except Exception:  # noqa: BLE001  commands go on without lists; what is wrong is told until it is mended
            _log.exception("keeper.failed")
            await asyncio.sleep(AGAIN_SECONDS)


async def _lead(url: str, role: str) -> None:
    log = await open_log(url)
    try:
        async with log.leading(role) as leadership:
            _log.info("keeper.leads", role=role)
            from eventstore.keeper import Keeper

            await Keeper(log).keep(leadership)
        _log.warning("keeper.replaced", role=role)
    finally:
        await log.close()


def _end_with_the_worker() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Runs until the worker ends."""
    logs.configure(sys.stderr)
    os.nice(NICE)
    url, role = (sys.stdin.readline().strip() for _ in range(2))
    Thread(target=_end_with_the_worker, daemon=True).start()
    asyncio.run(keep(url, role))


if __name__ == "__main__":
    main()
