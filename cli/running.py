"""Commands that run the system or set it going again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

import worker
from cli import embedded, output, places
from cli.places import Folder, Json
from eventstore.readmodels import Projector


def up(
    *,
    folder: Folder = None,
    port: Annotated[int, Parameter(help="Temporal's port; a free one when left out.")] = 0,
    ui_port: Annotated[int, Parameter(help="The UI's port; a free one when left out.")] = 0,
    pace: Annotated[int, Parameter(help="How many times faster the log's clock runs: for rehearsals.")] = 1,
) -> None:
    """Run everything here until Ctrl-C; what is on the log goes on with the next `up`."""
    asyncio.run(_up(places.chosen(folder).folder, port, ui_port, pace))


async def _up(folder: Path, port: int, ui_port: int, pace: int) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"starting Temporal, a worker and the log in {folder} …")
    async with embedded.embedded(folder, port=port, ui_port=ui_port, pace=pace) as running:
        console.print(f"Temporal's UI   {running.ui}\nTemporal        {running.address}\nthe log         {folder / 'log.db'}")
        console.print(f"{running.unfinished} unfinished processes go on. Ctrl-C stops.")
        sys.stdout.flush()
        await running.stopped.wait()
        console.print("stopping …")


def work() -> None:
    """Work until the process is told to stop."""
    asyncio.run(worker.serve(worker.settings()))


def recover(*, folder: Folder = None, json: Json = False) -> None:
    """Start every unfinished process again from the log; those that run are left alone."""
    count = asyncio.run(_recover(folder))
    if json:
        output.as_json({"unfinished": count})
    else:
        output.Console(highlight=False).print(f"{count} unfinished processes run")


async def _recover(folder: Path | None) -> int:
    async with places.recorder(folder) as recorder:
        with Console(stderr=True).status("starting unfinished processes …"):
            return await embedded.recover(recorder, await places.sender(folder))


def rebuild(*, folder: Folder = None, json: Json = False) -> None:
    """Make the read models anew from the first entry; readers see the old ones until then."""
    position = asyncio.run(_rebuild(folder))
    if json:
        output.as_json({"position": position})
    else:
        output.Console(highlight=False).print(f"the read models are made anew from {position} entries")


async def _rebuild(folder: Path | None) -> int:
    async with places.recorder(folder) as recorder:
        with Console(stderr=True).status("rebuilding the read models …"):
            return await Projector(recorder.log).rebuild()
