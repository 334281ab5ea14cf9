"""What a treasury's age costs it: its headline, and taking in one more statement, after few entries of a consortium's log and after many.

`python -m bench.treasury [--entries 2000 30000] [--kept FOLDER]`: microseconds of CPU of one thread, the least of many tries. The logs
are those of `bench.years`, made once for a folder.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.years import KEPT, TREASURY, made
from domain.kernel import SERVICE, Event, StreamId
from domain.process import Context
from domain.stream import StepEvent, Stream
from domain.treasury import events as treasury_events
from domain.treasury import steps as treasury_steps
from domain.treasury.process import TREASURY as PROCESS
from domain.treasury.state import Open, evolve
from domain.treasury.terms import Balance, Line, Page
from eventstore.entries import instant
from eventstore.replica import Replica
from eventstore.sqlite import SqliteLog

ENTRIES: Final = (2_000, 30_000)
LINES: Final = 10
"""Of the statement that is taken in."""
TRIES: Final = 200
TARGET: Final = 1.5
"""What it may cost after the most entries, as a multiple of after the fewest. Not 1: the maps grow by a level or two."""


class Costs(NamedTuple):
    """Microseconds."""

    headline: float
    deciding: float
    """What follows from one more statement."""
    folding: float
    """Taking that in."""


async def folded(file: Path, entries: int) -> tuple[Stream[Open], Replica]:
    """The treasury after so many entries, and the replica with the register as it is then."""
    log, replica = await SqliteLog.open(file), Replica()
    replica.put(TREASURY, Stream(PROCESS.initial))
    while replica.head.position < entries:
        replica.follow(await log.read(replica.head.position, min(1_000, entries - replica.head.position)))
    await log.close()
    return replica.get(TREASURY), replica


def costs(kept: Open, replica: Replica) -> Costs:
    """What it costs this treasury to take in a statement of lines that nobody knows, and to say where it stands."""
    now, file = instant(replica.head.at) + timedelta(days=1), "f" * 64
    balance, today = Balance(amount=kept.balances[kept.currency], on=now.date()), now.date()
    number = max((page.sequence or 0 for page in kept.pages.values()), default=0) + 1
    page = Page(
        statement=f"S{number}", account=kept.account.account_id, currency=kept.currency, sequence=number, opening=balance, closing=balance
    )
    lines = tuple(
        Line(booked_on=today, value_date=today, amount=100 + each, currency=kept.currency, side="credit", bank_id=f"NEW{each}")
        for each in range(LINES)
    )
    begun = _after(kept, [treasury_events.ImportStarted(file=file, name="one more")])
    command = treasury_steps.StatementRead(step=f"read:{file}:1:1", file=file, page=page, lines=lines)
    context = Context(now, SERVICE, StreamId(TREASURY), replica.register)
    events = PROCESS.decide(begun, command, context)
    return Costs(
        _least(lambda: PROCESS.describe(kept)),
        _least(lambda: PROCESS.decide(begun, command, context)),
        _least(lambda: _after(begun, events)),
    )


def _after(state: Open, events: Sequence[Event]) -> Open:
    for event in events:
        if not isinstance(event, StepEvent):
            after = evolve(state, event)  # type: ignore[arg-type]
            assert isinstance(after, Open)
            state = after
    return state


def _least(act: Callable[[], object]) -> float:
    times = list[int]()
    for _ in range(TRIES):
        began = time.thread_time_ns()
        act()
        times.append(time.thread_time_ns() - began)
    return min(times) / 1_000


def main() -> None:
    """Prints the table; ends with 1 when the target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, nargs="+", default=ENTRIES)
    arguments.add_argument("--kept", type=Path, default=KEPT, help="where logs are kept between runs")
    given = arguments.parse_args()
    table = Table(
        "entries", "statements", "payments", "open", "headline", "deciding a statement", "taking it in", title="A treasury's age, in us"
    )
    found = list[Costs]()
    for log in asyncio.run(made(given.kept, given.entries)):
        stream, replica = asyncio.run(folded(log.file, log.entries))
        kept = stream.state
        found.append(costs(kept, replica))
        counts = (log.entries, len(kept.pages), len(kept.payments), len(kept.open_payments))
        table.add_row(*(f"{count:,}" for count in counts), *(f"{cost:.0f}" for cost in found[-1]))
    Console().print(table)
    met = all(last <= TARGET * first for first, last in zip(found[0][1:], found[-1][1:], strict=True))
    print(
        f"target: a statement costs at most {TARGET} times as much on the longest log ({'met' if met else 'MISSED'}); a headline grows with what is open"
    )
    sys.exit(not met)


if __name__ == "__main__":
    main()
