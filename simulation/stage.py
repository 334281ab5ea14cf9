"""The virtual clock as a stage for a story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.catalog import process_for
from domain.register.facts import LogTime, MovedTime
from simulation.scenario import Look
from simulation.world import Simulation


class SimulatedStage:
    """Plays a story on the virtual clock: time passes only while the story waits."""

    def __init__(self, simulation: Simulation, told: Callable[[str], None] = lambda line: None, folder: Path = Path()) -> None:
        self._simulation = simulation
        self.folder = folder
        self._turn = asyncio.Lock()
        self.told = told

    async def now(self) -> datetime:
        """See `Stage.now`."""
        return self._simulation.now

    async def clock(self) -> LogTime:
        """See `Stage.clock`."""
        return MovedTime()

    async def key_of(self, person: str, consortium: str = "") -> Mapping[str, str]:
        """See `Stage.key_of`: the core alone believes whoever speaks."""
        return {}

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> None:
        """See `Stage.give`."""
        async with self._turn:
            recorded = await self._simulation.give(stream, command, by, command_id)
        assert recorded.refusal is None, f"{by} on {stream}: {recorded.refusal}"

    async def credit(self, amount: int, currency: str, reference: str, end_to_end_id: str, payer: str) -> None:
        """See `Stage.credit`."""
        async with self._turn:
            self._simulation.bank.credit(amount, currency, reference, end_to_end_id, payer)

    async def wait(self, until: datetime) -> None:
        """See `Stage.wait`."""
        async with self._turn:
            await self._simulation.advance(until)

    async def until(self, stream: str, holds: Callable[[Look], bool]) -> Look:
        """See `Stage.until`."""
        async with self._turn:
            await self._simulation.until(lambda: holds(self._look(stream)))
            return self._look(stream)

    def _look(self, stream: str) -> Look:
        if stream not in self._simulation.streams():
            process = process_for(stream)
            return Look(process.describe(process.initial).phase, "", process.initial)
        standing = self._simulation.standing(stream)
        return Look(standing.headline.phase, standing.headline.line, standing.stream.state, standing.headline.values)
