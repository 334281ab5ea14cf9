"""Running: everything in one command, or one worker of many."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from temporalio.service import RPCError

import worker
from cli.embedded import ADVANCE, embedded, require_clock
from cli.failures import BadInput, Unreachable, of_file
from cli.fields import span
from cli.links import links_of, links_shown, links_told, pages_of
from cli.options import HERE, Where, folder_option
from cli.output import Progress, say, say_json
from cli.site import clock_of, log_of, now_of, register, rows, settings, temporal, up_of
from cli.times import minute
from domain.register.state import Register
from eventstore.clock import Clock, PacedClock, StandingClock
from settings import Settings, is_rehearsal

ADVANCE_SECONDS: Final = 60
"""How long it may take to let time pass."""
FASTEST: Final = 10_000_000
"""The fastest pace: more than a year in four seconds."""

Port = Annotated[int, Parameter(show_default=False, help="Where Temporal listens; by default as the last time, else any free port.")]
UiPort = Annotated[int, Parameter(show_default=False, help="Where Temporal's UI listens; by default as the last time, else any free port.")]


Pace = Annotated[int | None, Parameter(show_default=False, help="Rehearse in a new folder: the log's time runs so many times as fast.")]
GoOn = Annotated[bool, Parameter(negative=(), show_default=False, help="Let a rehearsal, which stands still at its last entry, run on.")]


async def up(*, port: Port = 0, ui_port: UiPort = 0, pace: Pace = None, go_on: GoOn = False, where: Where = HERE) -> None:
    """Run everything in a folder: Temporal with its UI, a worker, the log. Ctrl-C stops all of it; the next `up` goes on.

    With --pace a charter is rehearsed; so is every log that a rehearsal or a demonstration left: nothing is sent to the bank, the mail
    server or the publishers that the environment names.
    """
    chosen = await _opened(settings(where), pace, go_on=go_on)
    for name, number in (("--port", port), ("--ui-port", ui_port)):
        _require_free(name, number)
    async with AsyncExitStack() as stack:
        try:
            async with Progress(f"starting Temporal, a worker and the log in {chosen.folder}"):
                running = await stack.enter_async_context(embedded(chosen, port=port, ui_port=ui_port, pace=pace, go_on=go_on))
        except OSError as error:
            raise of_file(error, chosen.folder, "used", "name another folder with --folder") from error
        except (RuntimeError, RPCError) as error:
            raise Unreachable(f"Temporal does not start: {error}", f"{chosen.folder}/temporal.log says why") from error
        unfit = await running.recorder.examine()
        now = await now_of(running.recorder.log, chosen)
        found = await rows(running.recorder.log)
        links, pages = links_of(running.ui, found, now), await pages_of(running.client, running.ui, found)
        if where.json:
            say_json({
                "address": running.address, "ui": running.ui, "log": chosen.log_shown, "clock": str(running.clock),
                "unfinished": running.unfinished, "taken_ports": list(running.moved), "unfit": unfit and str(unfit), "links": links_told(links, pages),
            })  # fmt: skip
        else:
            say(
                f"Temporal's UI  {running.ui}",
                f"Temporal       {running.address}",
                f"the log        {chosen.log_shown}",
                f"its clock      {_shown(running.clock)}",
            )
            if running.moved:
                taken = " and ".join(map(str, running.moved))
                say(
                    f"({taken}, where this folder was found the last time, {'is' if len(running.moved) == 1 else 'are'} taken by something else)"
                )
            links_shown(links, pages, now)
            if unfit is not None:
                say(f"Nothing is recorded by this worker: {unfit}.")
            say(f"{running.unfinished} unfinished processes go on. Ctrl-C stops everything.")
        await running.stopped.wait()
        if not where.json:
            say("stopping …")


By = Annotated[str, Parameter(help="How much, like 14d, 36h or 10m.", allow_leading_hyphen=True)]


async def advance(by: By, /, *, where: Where = HERE) -> None:
    """Let the time of a rehearsal pass at once: what comes due until then comes due now. It runs on from there at its pace."""
    chosen = settings(where)
    distance = span(f"+{by.removeprefix('+')}")
    if distance is None:
        raise BadInput(f"{by[:40]!r} is no time to pass", "write it like 14d, 36h or 10m")
    up = up_of(chosen)
    if up is None:
        raise Unreachable(
            f"no rehearsal runs on {chosen.folder}", f"start one in a new folder: `consortium up{folder_option(chosen.folder)} --pace 1440`"
        )
    match clock_of(up):
        case PacedClock():
            pass
        case StandingClock():
            further = f"end that `consortium up`, and let time run on: `consortium up{folder_option(chosen.folder)} --go-on`"
            raise BadInput("the time here cannot be advanced: this rehearsal stands still at its last entry", further)
        case _:
            rehearse = "rehearse in a new folder: `consortium up --folder NEW --pace 1440`"
            raise BadInput("the time here cannot be advanced: this log is in earnest, and goes by the system's clock", rehearse)
    await _advanced(chosen.folder, distance, int(up["pid"]))
    told = up_of(chosen)
    now = clock_of(told).now(datetime.now(UTC))
    if where.json:
        say_json({"now": now.isoformat()})
    else:
        say(f"It is {minute(now)} on the log.")


async def _advanced(folder: Path, distance: timedelta, pid: int) -> None:
    """Asks the `consortium up` with this pid, and waits until it has done it. Raises `Unreachable`."""
    request = folder / ADVANCE
    try:
        request.write_text(json.dumps({"seconds": int(distance.total_seconds())}), encoding="utf-8")
        os.kill(pid, signal.SIGUSR1)
        async with asyncio.timeout(ADVANCE_SECONDS), Progress("letting time pass"):
            while request.exists():  # noqa: ASYNC110  another process removes it
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        request.unlink(missing_ok=True)
        raise Unreachable("`consortium up` did not let the time pass", f"{folder}/worker.log says why") from error
    except OSError as error:
        raise of_file(error, request, "written") from error


async def work(*, where: Where = HERE) -> None:
    """Run one worker of many until it is told to stop (Ctrl-C, SIGTERM), on the log and the Temporal that the environment names."""
    chosen = settings(where)
    await temporal(chosen)
    up = up_of(chosen)
    clock = clock_of(up)
    beside = chosen.model_copy(update={"address": up["address"]}) if up else chosen
    if isinstance(clock, PacedClock):
        await worker.serve(worker.played(beside), clock)
    else:
        await worker.serve(beside)


async def _opened(chosen: Settings, pace: int | None, *, go_on: bool) -> Settings:
    """The settings for this log: those in force, or for a rehearsal those that reach nothing real. Raises `BadInput`."""
    if pace is not None and not 1 <= pace <= FASTEST:
        raise BadInput(f"--pace: {pace:,} is no pace", f"it is a number from 1 to {FASTEST:,}: 1440 plays a day in a minute")
    if pace is not None and chosen.log:
        raise BadInput("--pace: a rehearsal has a log of its own, not the one that CONSORTIUM_LOG names", "name a new folder by --folder")
    try:
        async with log_of(chosen) as log:
            begun, known = (await log.head()).position > 0, await register(log)
    except Unreachable:
        if "://" in chosen.log_url:
            raise
        begun, known = False, Register()
    plays = begun and is_rehearsal(known, chosen)
    require_clock(known.clock if plays else None, pace, begun=begun, go_on=go_on)
    return worker.played(chosen) if plays or pace is not None else chosen


def _shown(clock: Clock) -> str:
    match clock:
        case PacedClock(pace=pace):
            return f"a rehearsal's, {pace:,} times as fast as the system's"
        case StandingClock():
            return "a rehearsal's: it stands still at the last entry; --go-on lets it run on"
        case _:
            return "the system's"


def _require_free(name: str, port: int) -> None:
    if not 0 <= port <= 65_535:
        raise BadInput(f"{name}: {port} is no port", "ports go from 1 to 65535; 0 is any free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"{name}: {port} cannot be used: {error.strerror}", "choose another, or leave it out") from error
