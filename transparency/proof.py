"""A file that proves, without the log, that an entry is in it, after C2SP tlog-proof v1 (https://c2sp.org/tlog-proof).

    c2sp.org/tlog-proof@v1
    extra base64          only where there is any; nothing vouches for it
    index n               from 0
    base64                hashes, from the leaf's sibling to the root's child
    <empty line>
    the signed checkpoint, as it is

Its name ends with `.tlog-proof`. The data of the leaf (an entry's hash) is not in it: who checks it has the entry, and reckons the hash anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from transparency import checkpoint as checkpoints
from transparency import note
from transparency.checkpoint import Checkpoint
from transparency.note import VerifierKey
from transparency.strict import Invalid, decoded, encoded, hashes_of, number_of
from transparency.tree import verify_inclusion

HEADER: Final = "c2sp.org/tlog-proof@v1"
MOST_HASHES: Final = 63
"""The height of the largest tree."""
MOST_EXTRA: Final = 64 * 1024
"""Bytes of extra data."""
LARGEST_FILE: Final = note.LARGEST + 2 * MOST_EXTRA


@dataclass(frozen=True, slots=True)
class Proof:
    """What such a file holds. It says nothing until it is verified."""

    index: int
    """Of the leaf: the entry's position less one."""
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    """The signed note, byte by byte."""
    extra: bytes = b""
    """For whoever wrote it: nothing vouches for it."""

    def encode(self) -> bytes:
        """The file. `parse` reads it."""
        extra = (f"extra {encoded(self.extra)}",) if self.extra else ()
        lines = (HEADER, *extra, f"index {self.index}", *map(encoded, self.hashes), "", "")
        return "\n".join(lines).encode() + self.checkpoint


def parse(data: bytes) -> Proof:
    """Reads such a file, strictly: what it gives encodes to the same bytes. Raises `Invalid`. Nothing is verified."""
    if len(data) > LARGEST_FILE:
        raise Invalid("the proof is too large")
    head, between, checkpoint = data.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Invalid("the proof is not ASCII before its checkpoint") from error
    if header != HEADER or not between:
        raise Invalid("this is no transparency log proof")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decoded(lines.pop(0).removeprefix("extra "), "the extra data")
        if not 0 < len(extra) <= MOST_EXTRA:
            raise Invalid("the extra data is empty or too large")
    if not lines or not lines[0].startswith("index "):
        raise Invalid("the proof names no index")
    index = number_of(lines.pop(0).removeprefix("index "), "the index")
    if len(lines) > MOST_HASHES:
        raise Invalid("the proof has too many hashes")
    return Proof(index, hashes_of(lines, "a hash of the proof"), checkpoint, extra)


def verified(proof: Proof, data: bytes, origin: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint in whose tree the proof shows this leaf data to be, at the proof's index.

    `origin` names the log, `keys` are those of that log that are believed. Raises `Invalid` for everything that is not shown.
    """
    found = checkpoints.opened(proof.checkpoint, origin, keys)
    verify_inclusion(data, proof.index, found.size, found.root, proof.hashes)
    return found
