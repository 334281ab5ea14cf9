"""What the log's tree costs: to seal a commit, to prove that an entry is on the log and that it only grew, and to check that.

`python -m bench.proofs [--entries 1000000] [--rounds 500]`: on an SQLite log of so many entries, by what recorders and auditors use. Medians
and 99th percentiles in milliseconds, of entries and sizes drawn at random; it takes a minute to fill a log of a million.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from bench.subject import entries
from eventstore import sealing
from eventstore.entries import EMPTY, head_of
from eventstore.log import Appended, Log, Sealed
from eventstore.sealing import Commit, origin_of
from eventstore.sqlite import SqliteLog
from transparency import proof, tree
from transparency.note import SigningKey
from transparency.tree import Frontier

ENTRIES: Final = 1_000_000
ROUNDS: Final = 500
BATCH: Final = 64
"""Entries of one commit."""
PAGE: Final = 10_000
TARGET: Final = 10.0
"""Milliseconds."""

Work = Callable[[], object]
Waiting = Callable[[], Awaitable[object]]


class Filled(NamedTuple):
    """A log, and what its recorder holds of it."""

    log: Log
    frontier: Frontier
    key: SigningKey
    sealed: Sealed
    """As of its head."""


async def filled(file: Path, size: int) -> Filled:
    """A log of so many entries, sealed page by page."""
    log, edge, private = await SqliteLog.open(file), Frontier(), Ed25519PrivateKey.generate()
    head, key = EMPTY, None
    while edge.size < size:
        page = entries(min(PAGE, size - edge.size), head)
        key = key or SigningKey(origin_of(page[0].hash.hex()), private)
        edge, kept = edge.extended(entry.hash for entry in page)
        assert await log.append(page, seal=sealing.seal(edge, kept, key)) is Appended.DONE
        head = head_of(page, head)
    sealed = await log.sealed()
    assert key is not None
    assert sealed is not None
    return Filled(log, edge, key, sealed)


def timed(works: Sequence[Work]) -> list[float]:
    """Milliseconds of each."""
    times = []
    for work in works:
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1_000)
    return times


async def awaited(works: Sequence[Waiting]) -> list[float]:
    """Milliseconds of each, with what it waits for the log."""
    times = []
    for work in works:
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1_000)
    return times


async def measure(filled: Filled, rounds: int, luck: Random) -> Mapping[str, Sequence[float]]:
    """Milliseconds of each kind of work, `rounds` times."""
    log, frontier, key, sealed = filled
    size, root = frontier.size, frontier.root()
    batch = entries(BATCH, await log.head())
    drawn = [(luck.randrange(size) + 1, luck.randrange(1, size)) for _ in range(rounds)]

    def grown() -> Sealed:
        edge, kept = frontier.extended(entry.hash for entry in batch)
        found = sealing.seal(edge, kept, key).sealed
        assert found is not None
        return found

    after = grown()

    def prove_new() -> bytes:
        return Commit.of(frontier, batch, after).proof(size + 1)

    def check(file: bytes, entry: bytes) -> None:
        proof.verified(proof.parse(file), entry, key.name, [key.verifier])

    def step(old: int) -> Awaitable[tuple[bytes, ...]]:
        return sealing.hashes(log, tree.consistency(old, size))

    proofs = [await sealing.proof(log, position, sealed) for position, _ in drawn]
    data = [(await log.hashes(0, position - 1, position))[0] for position, _ in drawn]
    roots, steps = [(await sealing.frontier_at(log, old)).root() for _, old in drawn], [await step(old) for _, old in drawn]
    return {
        f"seal a commit of {BATCH}": timed([grown] * rounds),
        "the root, from the frontier": timed([frontier.root] * rounds),
        "the frontier of an older size": await awaited([partial(sealing.frontier_at, log, old) for _, old in drawn]),
        "the proof of an entry": await awaited([partial(sealing.proof, log, position, sealed) for position, _ in drawn]),
        f"the first proof of {BATCH} that were just appended": timed([prove_new] * rounds),
        "a proof of consistency": await awaited([partial(step, old) for _, old in drawn]),
        "check a proof file": timed([partial(check, *each) for each in zip(proofs, data, strict=True)]),
        "check a step to this size": timed(
            [
                partial(tree.verify_consistency, old, before, size, root, hashes)
                for (_, old), before, hashes in zip(drawn, roots, steps, strict=True)
            ]
        ),
    }


async def run(size: int, rounds: int) -> Mapping[str, Sequence[float]]:
    """Fills a log, and measures on it."""
    with TemporaryDirectory(prefix="bench-") as folder:
        place = await filled(Path(folder) / "log.db", size)
        try:
            return await measure(place, rounds, Random(6_962))
        finally:
            await place.log.close()


def main() -> None:
    """Prints the table; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, default=ENTRIES)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    found = asyncio.run(run(given.entries, given.rounds))
    table = Table("work", "ms (median)", "ms (99 %)", "target", "met", title=f"The tree of {given.entries:,} entries")
    for name, times in found.items():
        table.add_row(
            name,
            f"{median(times):.3f}",
            f"{quantiles(times, n=100)[-1]:.3f}",
            f"under {TARGET:.0f}",
            "yes" if median(times) < TARGET else "no",
        )
    Console().print(table)
    sys.exit(any(median(times) >= TARGET for times in found.values()))


if __name__ == "__main__":
    main()
