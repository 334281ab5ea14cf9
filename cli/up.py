"""Running: everything in one command, or one worker of many."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import Annotated

from cyclopts import Parameter
from temporalio.service import RPCError

import worker
from cli.embedded import embedded
from cli.failures import BadInput, Unreachable
from cli.options import HERE, Where
from cli.output import Progress, say, say_json
from cli.site import running as announced
from cli.site import settings, temporal

Port = Annotated[int, Parameter(show_default=False, help="Where Temporal listens; any free port by default.")]
UiPort = Annotated[int, Parameter(show_default=False, help="Where Temporal's UI listens; any free port by default.")]


async def up(*, port: Port = 0, ui_port: UiPort = 0, where: Where = HERE) -> None:
    """Run everything in a folder: Temporal with its UI, a worker, the log. Ctrl-C stops all of it; the next `up` goes on."""
    chosen = settings(where)
    for name, number in (("--port", port), ("--ui-port", ui_port)):
        _require_free(name, number)
    async with AsyncExitStack() as stack:
        try:
            async with Progress(f"starting Temporal, a worker and the log in {chosen.folder}"):
                running = await stack.enter_async_context(embedded(chosen, port=port, ui_port=ui_port))
        except OSError as error:
            raise BadInput(f"{chosen.folder}: {error.strerror or error}", "name another folder with --folder") from error
        except (RuntimeError, RPCError) as error:
            raise Unreachable(f"Temporal does not start: {error}", f"{chosen.folder}/temporal.log says why") from error
        if where.json:
            say_json({"address": running.address, "ui": running.ui, "log": chosen.log_shown, "unfinished": running.unfinished})
        else:
            say(
                f"Temporal's UI  {running.ui}",
                f"Temporal       {running.address}",
                f"the log        {chosen.log_shown}",
                f"{running.unfinished} unfinished processes go on. Ctrl-C stops everything.",
            )
        await running.stopped.wait()
        if not where.json:
            say("stopping …")


async def work(*, where: Where = HERE) -> None:
    """Run one worker of many until it is told to stop (Ctrl-C, SIGTERM), on the log and the Temporal that the environment names."""
    chosen = settings(where)
    await temporal(chosen)
    up = None if chosen.log else announced(chosen.folder)
    await worker.serve(chosen.model_copy(update={"address": up["address"]}) if up else chosen)


def _require_free(name: str, port: int) -> None:
    if not 0 <= port <= 65_535:
        raise BadInput(f"{name}: {port} is no port", "ports go from 1 to 65535; 0 is any free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"{name}: {port} cannot be used: {error.strerror}", "choose another, or leave it out") from error
