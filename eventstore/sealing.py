"""Sealing: with every commit the log signs how it stands, and keeps of its tree what proofs need (docs/log-format.md, Checkpoints).

Whoever records holds the right edge of the tree (`Replica.frontier`), extends it by each entry, and signs its root. What is kept is derived
from the entries' hashes: where it is missing it is computed, and `mend` makes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import structlog

from domain.register.state import Register
from eventstore.entries import Entry
from eventstore.log import Damaged, FellBack, Log, Seal, Sealed
from signatures import keys
from signatures.errors import Unacceptable
from transparency import checkpoint, note, tree
from transparency.checkpoint import Checkpoint
from transparency.note import SigningKey, VerifierKey
from transparency.proof import Proof
from transparency.strict import Invalid
from transparency.tree import WIDTH, Frontier, Kept, Plan, Recent, Tile, kept_of

ORIGIN: Final = "open-model-consortium/"
"""How the names of these logs begin; the hash of the first entry follows, in hexadecimal digits."""
PAGE: Final = 10_000
"""How many hashes of entries are read at a time."""

_log = structlog.get_logger(__name__)


def origin_of(first: str) -> str:
    """The name of a log in its checkpoints, by the hash of its first entry."""
    return ORIGIN + first


def seal(frontier: Frontier, kept: Sequence[Kept], key: SigningKey | None) -> Seal:
    """What becomes durable with the entries up to this edge; without a key only what is kept."""
    if key is None:
        return Seal(None, kept)
    return Seal(Sealed(frontier.size, checkpoint.sign(Checkpoint(key.name, frontier.size, frontier.root()), key)), kept)


@dataclass(frozen=True)
class Commit:
    """Entries that became durable together, sealed. Proofs that they are on the log are made of what is at hand."""

    recent: Recent
    checkpoint: bytes

    @classmethod
    def of(cls, before: Frontier, entries: Iterable[Entry], sealed: Sealed) -> Commit:
        """The entries after an edge, and what was signed over them."""
        return cls(Recent(before, [entry.hash for entry in entries]), sealed.checkpoint)

    def proof(self, position: int) -> bytes:
        """The file that proves that the log holds one of the entries (C2SP tlog-proof)."""
        return Proof(position - 1, self.recent.inclusion(position - 1), self.checkpoint).encode()


# ---------------------------------------------------------------- whose signature counts


def log_keys(origin: str, lines: Iterable[str]) -> tuple[VerifierKey, ...]:
    """These log keys as signers of notes; one that signs none is left out."""
    found = []
    for line in lines:
        try:
            key = keys.parse(line)
        except Unacceptable:
            continue
        if key.algorithm is keys.Algorithm.ED25519:
            found.append(VerifierKey(origin, key.point))
    return tuple(found)


def opened(sealed: bytes, origin: str, register: Register) -> Checkpoint:
    """The checkpoint in a signed note, signed by a log key that was valid at its size (`Register.log_key_at`). Raises `Invalid`."""
    size = checkpoint.read(note.parse(sealed).text).size
    return checkpoint.opened(sealed, origin, log_keys(origin, (line for line in register.log_keys if register.log_key_at(line, size))))


# ---------------------------------------------------------------- the tree as the log keeps it


async def hashes(log: Log, plan: Plan) -> tuple[bytes, ...]:
    """What a plan gives on this log. What should be kept and is not is computed from below. Raises ValueError beyond the end of the log."""
    return plan.hashes([await _read(log, each) for each in plan.tiles])


async def _read(log: Log, tile: Tile) -> Sequence[bytes]:
    found = list(await log.hashes(tile.level, tile.begin, tile.end))
    while tile.level and len(found) < tile.width:
        below = Tile(tile.level - 1, tile.begin + len(found), WIDTH)
        found.append(kept_of(below, await _read(log, below)).hash)
    return found


async def frontier_at(log: Log, size: int) -> Frontier:
    """The edge of the tree of the first `size` entries."""
    return Frontier(size, await hashes(log, tree.edge(size)))


async def frontier(log: Log, sealed: Sealed | None, first: str, register: Register, position: int) -> Frontier:
    """The edge of the tree at a position, for who will sign it: what the log signed last, `sealed`, is held against the entries.

    Raises `FellBack` where the log signed more entries than there are, and `Damaged` where it signed others.
    """
    signed = None if sealed is None else _believed(sealed, first, register)
    if signed is None:
        await mend(log)
        return await frontier_at(log, position)
    if signed.size > position:
        raise FellBack(signed.size, position)
    edge = await frontier_at(log, signed.size)
    if edge.root() != signed.root:
        wrong = await mend(log)
        _log.warning("tree.mended", hashes=wrong)
        edge = await frontier_at(log, signed.size)
    if edge.root() != signed.root:
        raise Damaged(signed.size, "the entries up to it are not those that the log signed")
    while edge.size < position:
        edge = edge.extended(await log.hashes(0, edge.size, min(edge.size + PAGE, position))).frontier
    return edge


def _believed(sealed: Sealed, first: str, register: Register) -> Checkpoint | None:
    """What the log signed; nothing where it is signed by no key of this log: who can write there put something else in its place."""
    try:
        return opened(sealed.checkpoint, origin_of(first), register)
    except Invalid as error:
        _log.error("checkpoint.not_of_this_log", size=sealed.size, error=str(error))
        return None


async def mend(log: Log) -> int:
    """Makes anew what is kept of the tree, and says how many hashes were missing or wrong. Reads the hashes of all entries."""
    edge, mended = Frontier(), 0
    while data := await log.hashes(0, edge.size, edge.size + PAGE):
        edge, kept = edge.extended(data)
        stored = await _stored(log, kept)
        if wrong := [each for each in kept if each not in stored]:
            await log.keep_hashes(wrong)
            mended += len(wrong)
    return mended


async def _stored(log: Log, kept: Sequence[Kept]) -> set[Kept]:
    """Those of a row of hashes that are kept; of each level they are neighbours."""
    found = set[Kept]()
    for level, row in groupby(sorted(kept), lambda each: each.level):
        numbers = [each.number for each in row]
        stored = await log.hashes(level, numbers[0], numbers[-1] + 1)
        found |= {Kept(level, numbers[0] + at, each) for at, each in enumerate(stored)}
    return found


# ---------------------------------------------------------------- proofs


async def proof(log: Log, position: int, sealed: Sealed) -> bytes:
    """The file that proves that an entry is among those that a checkpoint of this log is over (C2SP tlog-proof)."""
    return Proof(position - 1, await hashes(log, tree.inclusion(position - 1, sealed.size)), sealed.checkpoint).encode()
