"""Looking at what is derived from the whole log: the ledger, the registry of releases, and a run's picture."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from audit.ledger.export import beancount, hledger
from audit.ledger.fold import ledger as books_of
from cli import times
from cli.failures import BadInput, of_file
from cli.look import as_of_instant
from cli.options import HERE, Where
from cli.output import Progress, console, say, say_json, table
from cli.plot import course, drawing, sketch
from cli.site import log_of, now_of, settings
from domain.kernel import process_of
from domain.money import display
from domain.register.facts import ReleaseStaged
from domain.register.fold import note
from domain.register.state import Register
from eventstore.entries import ACCEPTED
from eventstore.entries import instant as instant_of
from eventstore.log import Log
from eventstore.replica import Replica
from eventstore.wire import decoded

BATCH = 1_000

Format = Annotated[
    Literal["table", "beancount", "hledger"],
    Parameter(name="--format", help="As a table of balances, or all bookings for Beancount or hledger."),
]
AsOf = Annotated[str | None, Parameter(help="An instant with an offset, or a day, which means its end (24:00 UTC); now by default.")]
Svg = Annotated[Path | None, Parameter(help="Write the picture to this file, as SVG.")]


async def ledger(*, format_: Format = "table", where: Where = HERE) -> None:
    """Show the double-entry ledger of the whole log: it balances after every entry."""
    async with log_of(settings(where)) as log, Progress("folding the log"):
        books = await books_of(log)
    rows = [(str(account), money, amount) for (account, money), amount in books.balances.items()]
    told: dict[str, Any] = {"position": books.position}
    match format_:
        case "table" if where.json:
            say_json(told | {"balances": [dict(zip(("account", "currency", "minor"), row, strict=True)) for row in rows]})
        case "table":
            table(("account", "balance"), [(name, display(amount, money)) for name, money, amount in rows], right=("balance",))
        case _:
            export = (beancount if format_ == "beancount" else hledger)(books.bookings)
            if where.json:
                say_json(told | {format_: export})
            else:
                print(export, end="")


async def registry(*, as_of: AsOf = None, where: Where = HERE) -> None:
    """List the releases of models and what stood where, now or at a time."""
    asked = as_of_instant(as_of)
    chosen = settings(where)
    async with log_of(chosen) as log, Progress("reading the log"):
        agreed, now = await _register(log, asked), await now_of(log, chosen)
    found: list[dict[str, Any]] = [
        {
            "release": name, "title": each.title, "standing": each.standing, "class": each.openness_class, "manifest": each.manifest,
            "run": each.run, "since": each.since.isoformat(), "superseded_by": each.superseded_by,
        }
        for name, each in sorted(agreed.releases.items())
    ]  # fmt: skip
    if where.json:
        say_json({"as_of": (asked or now).isoformat(), "releases": found})
    elif found:
        rows = [
            (row["release"], row["standing"], "I" * row["class"] or "-", row["manifest"] or "", times.shown(row["since"], now))
            for row in found
        ]
        table(("release", "standing", "class", "manifest", "since"), rows)
    else:
        say("No release stood in the registry then.")


async def _register(log: Log, asked: datetime | None) -> Register:
    """The part of the register that tells of releases, as of an instant."""
    replica, agreed, position = Replica(), Register(), 0
    while entries := await log.read(position, BATCH):
        position = entries[-1].position
        for entry in entries:
            if asked is not None and instant_of(entry.at) > asked:
                return agreed
            if entry.outcome == ACCEPTED and process_of(entry.stream) == "release":
                for event in replica.events_of(replica.process_of(entry.stream), entry):
                    agreed = note(agreed, event) if isinstance(event, ReleaseStaged) else agreed
    return agreed


async def plot(run: Annotated[str, Parameter(help="Which run, like atlas-1.")], /, *, svg: Svg = None, where: Where = HERE) -> None:
    """Draw a run: tokens and loss over time, with spikes, restarts, missing checkpoints, milestones, and spend against its bands."""
    stream = run if run.startswith("run/") else f"run/{run}"
    chosen = settings(where)
    async with log_of(chosen) as log, Progress("reading the log"):
        told, now = await _told(log, stream), await now_of(log, chosen)
    if not told:
        raise BadInput(f"nothing is on the log of {stream}", "`consortium runs` lists the runs")
    if svg is not None:
        try:
            svg.write_text(drawing(stream, told), encoding="utf-8")
        except OSError as error:
            raise of_file(error, svg, "written", "name another file") from error
    if where.json:
        say_json({"stream": stream, "svg": None if svg is None else str(svg), **msgspec.to_builtins(course(told))})
    elif svg is not None:
        say(f"{svg} is drawn.")
    else:
        console().print(sketch(stream, told, now), markup=False, highlight=False)


async def _told(log: Log, stream: str) -> list[tuple[datetime, Mapping[str, Any]]]:
    """The events of a stream, each with its time."""
    told: list[tuple[datetime, Mapping[str, Any]]] = []
    position = 0
    while entries := await log.read_stream(stream, position, BATCH):
        position = entries[-1].position
        told += [(instant_of(entry.at), event) for entry in entries if entry.outcome == ACCEPTED for event in decoded(entry.body)]
    return told
