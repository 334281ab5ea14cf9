"""Running: everything in one command, or one worker of many."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated

from cyclopts import Parameter

import worker
from cli.embedded import embedded
from cli.failures import BadInput
from cli.options import HERE, Where
from cli.output import Progress, say, say_json
from cli.site import running as announced
from cli.site import settings

Port = Annotated[int, Parameter(show_default=False, help="Where Temporal listens; any free port by default.")]
UiPort = Annotated[int, Parameter(show_default=False, help="Where Temporal's UI listens; any free port by default.")]


async def up(*, port: Port = 0, ui_port: UiPort = 0, where: Where = HERE) -> None:
    """Run everything in a folder: Temporal with its UI, a worker, the log. Ctrl-C stops all of it; the next `up` goes on."""
    for name, number in (("--port", port), ("--ui-port", ui_port)):
        if not 0 <= number <= 65_535:
            raise BadInput(f"{name}: {number} is no port", "ports go from 1 to 65535; 0 is any free one")
    chosen = settings(where)
    async with AsyncExitStack() as stack:
        async with Progress(f"starting Temporal, a worker and the log in {chosen.folder}"):
            running = await stack.enter_async_context(embedded(chosen.folder, port=port, ui_port=ui_port))
        if where.json:
            say_json({"address": running.address, "ui": running.ui, "log": chosen.log_url, "unfinished": running.unfinished})
        else:
            say(
                f"Temporal's UI  {running.ui}", f"Temporal       {running.address}", f"the log        {chosen.log_url}",
                f"{running.unfinished} unfinished processes go on. Ctrl-C stops everything.",
            )  # fmt: skip
        await running.stopped.wait()
        if not where.json:
            say("stopping …")


async def work(*, where: Where = HERE) -> None:
    """Run one worker of many until it is told to stop (Ctrl-C, SIGTERM): on the log and the Temporal that the environment names."""
    chosen = settings(where)
    up = None if chosen.log else announced(chosen.folder)
    await worker.serve(chosen.model_copy(update={"address": up["address"]}) if up else chosen)
