"""A consortium of two members that runs in a folder, with its bank, until it is killed: `python -m tests.further_stage FOLDER`.

It is for a copy of this tree that has a process more (tests/further.py). Begun again on the same folder it goes on.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from cli.demo import adopted, prepare
from cli.embedded import embedded
from cli.files import example
from settings import rehearsed
from simulation.live import bank_of, live
from simulation.scenario import FOURTEEN, Story

PACE: Final = 40_000
"""A day in two seconds."""
READY: Final = "ready"


async def main(folder: Path) -> None:
    """Says when the members are active, and then waits."""
    begun = (folder / "log.db").exists()
    if not begun:
        prepare(folder)
    charter = adopted(example("charter.toml"))
    async with (
        bank_of(folder, charter) as bank,
        embedded(rehearsed(folder, bank=bank.url), pace=PACE, go_on=begun) as running,
        live(running.sender, running.recorder, bank, folder) as stage,
    ):
        story = Story(stage, charter, FOURTEEN[:2])
        await story.found()
        await story.admit()
        print(READY, flush=True)
        await running.stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
