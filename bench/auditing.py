"""What an audit of an export costs (`consortium audit`), beside one thread that does nothing but verify signed commands.

`python -m bench.auditing [--entries 1000000] [--mixed 20000] [--kept FOLDER]`: a log of pledges that persons sign with Ed25519, and the real
mix of `bench.years`, in which workers, letters and deadlines speak too. Both are made first, once for a folder (a million entries
take a quarter of an hour), with the log's checkpoint beside them. The audit is the command as it is shipped, a process with those that it starts; its memory is what they hold
together, shared pages counted once. Its share is told by the clock, and by the processor's time: that holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from bench.signed import ONE_THREAD, Verified, verified
from bench.years import GOAL, ROOT, SEED, SIZES, START, Years, charter, signers_of
from eventstore.export import entry_of, line_of
from eventstore.memory import MemoryLog
from simulation.scenario import Organisation, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.signed_simulation import SignedSimulation

ENTRIES: Final = 1_000_000
MIXED: Final = 20_000
MEMBERS: Final = 40
CHANGES: Final = 50
"""How often each member pledges in a round: the last pledge holds."""
SAMPLE: Final = 20_000
"""Signatures that the one thread checks."""
LOOK_SECONDS: Final = 0.25
TARGET: Final = 0.5
"""Of the rate of one verifying thread."""
TARGET_MB: Final = 400
PAGE: Final = 10_000


# ---------------------------------------------------------------- the logs


async def pledges(entries: int, file: Path) -> None:
    """Writes an export of a log in which members pledge, and pledge again."""
    log = MemoryLog()
    simulation = SignedSimulation(START, log)
    members = [f"m{number:02}" for number in range(MEMBERS)]
    story = Story(SimulatedStage(simulation), charter(), [
        Organisation(member, f"Member {member} Ltd", "CH", "partner", 0, SIZES) for member in members
    ])  # fmt: skip
    await story.found()
    await story.admit()
    for number in count(1):
        if (await log.head()).position >= entries:
            break
        await _round(simulation, f"round/r{number:05}", members)
    await written(simulation, file)


async def _round(simulation: SignedSimulation, stream: str, members: Sequence[str]) -> None:
    begins = simulation.now + timedelta(minutes=1)
    await _given(simulation, stream, "sam", {
        "kind": "open_round", "title": stream, "currency": "USD", "goal": GOAL, "minimum": GOAL // 100, "run": stream.partition("/")[2],
        "opens_at": begins.isoformat(), "closes_at": (begins + timedelta(days=15)).isoformat(),
        "budget": [{"name": "compute", "amount": GOAL}], "tranches": [{"name": "all", "fraction": 10_000}],
    })  # fmt: skip
    await simulation.advance(begins)
    for change in range(CHANGES):
        for member in members:
            amount = GOAL // 2 // MEMBERS + change
            await _given(simulation, stream, f"{member}-rep", {"kind": "pledge", "member": member, "amount": amount})


async def _given(simulation: SignedSimulation, stream: str, by: str, command: Mapping[str, Any]) -> None:
    refusal = (await simulation.give(stream, command, by)).refusal
    assert refusal is None, refusal


async def mix(entries: int, file: Path) -> None:
    """Writes an export of the log of a consortium over years."""
    years = Years(signers=signers_of(SEED))
    await years.live(entries)
    await written(years.simulation, file)


async def written(simulation: Simulation, file: Path) -> None:
    """Writes a log to a file, and beside it what the log signed last."""
    await simulation.recorder.close()
    log, part, position = simulation.recorder.log, file.with_suffix(".part"), 0
    with part.open("wb") as lines:
        while entries := await log.read(position, PAGE):
            lines.writelines(map(line_of, entries))
            position = entries[-1].position
    sealed = await log.sealed()
    assert sealed is not None
    assert sealed.size == position, "every commit is sealed"
    file.with_name(f"{file.name}.checkpoint").write_bytes(sealed.checkpoint)
    part.rename(file)


def made(kind: str, entries: int, folder: Path) -> Path:
    """The export of a kind and a size, made by a process of its own where the folder has none."""
    file = folder / f"{kind}-{entries}.jsonl"
    if not file.exists():
        subprocess.run([sys.executable, "-m", "bench.auditing", "make", kind, str(entries), str(file)], cwd=ROOT, check=True)
    return file


# ---------------------------------------------------------------- what is measured


def verifying(file: Path) -> Verified:
    """The rate of one thread over the first signed statements of an export."""
    with file.open("rb") as lines:
        return verified([entry for entry in map(entry_of, islice(lines, 2 * SAMPLE)) if entry.signature][:SAMPLE])


class Audited(NamedTuple):
    """What an audit took."""

    entries: int
    signatures: int
    seconds: float
    cpu: float
    """Seconds of all its processes."""
    mib: float
    """The most that its processes held together."""


def audited(file: Path) -> Audited:
    """One run of the command."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "cli.main", "audit", str(file), "--json"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        used, most = dict[int, float](), 0.0
        while process.poll() is None:
            most = max(most, _held(psutil.Process(process.pid), used))
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - began
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
    assert told["sealed_up_to"] == told["entries"], told
    return Audited(told["entries"], told["signatures"], seconds, sum(used.values()), most)


def _held(root: psutil.Process, used: dict[int, float]) -> float:
    """MiB of a process tree now; what each used of the processor so far is taken down."""
    total = 0
    try:
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
            total += process.memory_full_info().pss
    except psutil.Error:
        return 0.0  # it ends
    return total / 2**20


def main() -> None:
    """Prints the table; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, default=ENTRIES)
    arguments.add_argument("--mixed", type=int, default=MIXED)
    arguments.add_argument("--kept", type=Path)
    given = arguments.parse_args()
    cores = os.cpu_count() or 1
    with TemporaryDirectory(prefix="bench-") as folder:
        kept = given.kept or Path(folder)
        rows = []
        for kind, entries in (("pledges", given.entries), ("mix", given.mixed)):
            file = made(kind, entries, kept)
            one = verifying(file)
            found = audited(file)
            rows.append((kind, found, one, found.entries / found.seconds / one.each_second, cores * one.cpu * found.entries / found.cpu))
    table = Table(
        "log", "entries", "signatures", "a second", ONE_THREAD, "share by the clock", f"share by {cores} free cores", "MiB",
        title=f"An audit with {cores} cores; of the pledges at least {TARGET} of one thread in at most {TARGET_MB} MB",
    )  # fmt: skip
    for kind, found, one, share, by_cpu in rows:
        table.add_row(
            kind, f"{found.entries:,}", f"{found.signatures:,}", f"{found.entries / found.seconds:,.0f}", f"{one.each_second:,.0f}",
            f"{share:.2f}", f"{by_cpu:.2f}", f"{found.mib:.0f}",
        )  # fmt: skip
    Console(width=140).print(table)
    _, found, _, share, _ = rows[0]
    sys.exit(share < TARGET or found.mib * 2**20 > TARGET_MB * 10**6)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", kind, entries, file]:
            asyncio.run({"pledges": pledges, "mix": mix}[kind](int(entries), Path(file)))
        case _:
            main()
