"""Temporal as a stage for a story: real workers, real servers, the log's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from activities.clock import Clock
from activities.sending import NotAnswered, Sender
from eventstore.log import LogUnavailable
from eventstore.recorder import Recorder
from simulation.scenario import Look

POLL_SECONDS: Final = 0.05
TRIES: Final = 20
"""How often a command is asked again while workers come and go."""


class LiveStage:
    """Plays a story through Temporal, and watches it on the log."""

    def __init__(self, sender: Sender, recorder: Recorder, clock: Clock, told: Callable[[str], None] = lambda line: None) -> None:
        self._sender = sender
        self._recorder = recorder
        self._clock = clock
        self.told = told

    async def now(self) -> datetime:
        """See `Stage.now`. Never before the last entry."""
        head = (await self._recorder.replica()).head_time
        return max(self._clock.log_time(datetime.now(UTC)), head)

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> None:
        """See `Stage.give`. Asks again, with the same id, for as long as workers come and go."""
        for left in reversed(range(TRIES)):
            try:
                await self._sender.send(stream, command_id, by, command)
            except NotAnswered:
                if not left:
                    raise
            else:
                return

    async def until(self, stream: str, holds: Callable[[Look], bool]) -> Look:
        """See `Stage.until`."""
        while True:
            look = await self._look(stream)
            if look is not None and holds(look):
                return look
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, stream: str) -> Look | None:
        try:
            standing = await self._recorder.standing(stream)
        except LogUnavailable:
            return None
        return Look(standing.headline.phase, standing.headline.line, standing.stream.state)
