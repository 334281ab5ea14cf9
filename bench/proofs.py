"""What the log's tree costs: to append, to sign a checkpoint, to prove that an entry is in it and that it only grew, and to check that.

`python -m bench.proofs [--entries 1000000] [--rounds 500]`: entries and what is kept of the tree lie in an SQLite file, in rows as wide as a
log's, and a proof reads them there. Medians and 99th percentiles in milliseconds, of entries and sizes drawn at random.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from transparency import checkpoint, proof, tree
from transparency.checkpoint import Checkpoint
from transparency.note import SigningKey
from transparency.proof import Proof
from transparency.tree import Frontier, Plan, Recent, Tile

ENTRIES: Final = 1_000_000
ROUNDS: Final = 500
BATCH: Final = 64
"""Entries of one commit, each with a checkpoint."""
ROW_BYTES: Final = 700
"""What an entry takes besides its hash."""
TARGET: Final = 10.0
"""Milliseconds."""
ORIGIN: Final = "example.com/bench"

Work = Callable[[], object]


def hashes(entries: int) -> Iterator[bytes]:
    """What stands for the hashes of entries."""
    return (sha256(number.to_bytes(8, "big")).digest() for number in range(entries))


class Store:
    """A log's entries, and what is kept of its tree, in a file."""

    def __init__(self, folder: Path, entries: int) -> None:
        self.frontier = Frontier()
        self._database = apsw.Connection(str(folder / "log.sqlite"))
        self._database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE entries (position INTEGER PRIMARY KEY, body BLOB, hash BLOB)")
        self._database.execute("CREATE TABLE kept (level INTEGER, number INTEGER, hash BLOB, PRIMARY KEY (level, number)) WITHOUT ROWID")
        self._fill(entries)

    def _fill(self, entries: int) -> None:
        coming, body = hashes(entries), bytes(ROW_BYTES)
        with self._database:
            while batch := list(islice(coming, 10_000)):
                first = self.frontier.size + 1
                self._database.executemany(
                    "INSERT INTO entries VALUES (?, ?, ?)", ((first + at, body, each) for at, each in enumerate(batch))
                )
                self.frontier, kept = self.frontier.extended(batch)
                self._database.executemany("INSERT INTO kept VALUES (?, ?, ?)", kept)

    def read(self, tile: Tile) -> Sequence[bytes]:
        """A tile: an entry's position is one more than its leaf's index."""
        if tile.level:
            found = self._database.execute(
                "SELECT hash FROM kept WHERE level = ? AND number >= ? AND number < ? ORDER BY number", (tile.level, tile.begin, tile.end)
            )
        else:
            found = self._database.execute(
                "SELECT hash FROM entries WHERE position > ? AND position <= ? ORDER BY position", (tile.begin, tile.end)
            )
        return [row[0] for row in found]

    def hashes(self, plan: Plan) -> tuple[bytes, ...]:
        """What a plan gives."""
        return plan.hashes([self.read(tile) for tile in plan.tiles])

    def root(self, size: int) -> bytes:
        """Of an older size."""
        return Frontier(size, self.hashes(tree.edge(size))).root()


def timed(works: Sequence[Work]) -> list[float]:
    """Milliseconds of each."""
    times = []
    for work in works:
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1_000)
    return times


def measure(store: Store, rounds: int, luck: Random) -> Mapping[str, Sequence[float]]:
    """Milliseconds of each kind of work, `rounds` times."""
    size, key = store.frontier.size, SigningKey(ORIGIN, Ed25519PrivateKey.generate())
    batch = list(hashes(BATCH))
    drawn = [(luck.randrange(size), luck.randrange(1, size)) for _ in range(rounds)]
    root, signed = store.frontier.root(), checkpoint.sign(Checkpoint(ORIGIN, size, store.frontier.root()), key)
    proofs = [Proof(index, store.hashes(tree.inclusion(index, size)), signed).encode() for index, _ in drawn]
    steps = [store.hashes(tree.consistency(old, size)) for _, old in drawn]
    data, roots = [store.read(Tile(0, index // 256, 256))[index % 256] for index, _ in drawn], [store.root(old) for _, old in drawn]

    def grow() -> None:
        grown = store.frontier.extended(batch).frontier
        checkpoint.sign(Checkpoint(ORIGIN, grown.size, grown.root()), key)

    def prove_new() -> None:
        Proof(size, Recent(store.frontier, batch).inclusion(size), signed).encode()

    def check(file: bytes, entry: bytes) -> None:
        proof.verified(proof.parse(file), entry, ORIGIN, [key.verifier])

    def prove(index: int, old: int) -> tuple[Work, Work, Work]:
        return (
            lambda: store.hashes(tree.edge(old)),
            lambda: store.hashes(tree.inclusion(index, size)),
            lambda: store.hashes(tree.consistency(old, size)),
        )

    edges, inclusions, consistencies = zip(*(prove(index, old) for index, old in drawn), strict=True)
    return {
        f"append {BATCH} and sign a checkpoint": timed([grow] * rounds),
        "the root, from the frontier": timed([store.frontier.root] * rounds),
        "the frontier of an older size": timed(edges),
        "a proof of inclusion": timed(inclusions),
        f"the first proof of {BATCH} that were just appended": timed([prove_new] * rounds),
        "a proof of consistency": timed(consistencies),
        "check a proof file": timed([partial(check, *each) for each in zip(proofs, data, strict=True)]),
        "check a step to this size": timed(
            [
                partial(tree.verify_consistency, old, before, size, root, step)
                for (_, old), before, step in zip(drawn, roots, steps, strict=True)
            ]
        ),
    }


def main() -> None:
    """Prints the table; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, default=ENTRIES)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    with TemporaryDirectory(prefix="bench-") as folder:
        found = measure(Store(Path(folder), given.entries), given.rounds, Random(6_962))
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
