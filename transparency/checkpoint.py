"""What a log signs of itself, after C2SP tlog-checkpoint v1 (https://c2sp.org/tlog-checkpoint@v1.0.0): a signed note of these lines.

| line | what |
| --- | --- |
| origin | which log |
| size | how many entries, in decimal |
| root | of the tree of that size, Base64 |
| extensions | any more lines; nobody can audit them, and none are written here |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from transparency import note
from transparency.note import SigningKey, VerifierKey
from transparency.strict import Invalid, encoded, hash_of, number_of
from transparency.tree import EMPTY_ROOT


class Checkpoint(NamedTuple):
    """A log's tree at a size, as the log states it."""

    origin: str
    """The log's name, for ever the same; the name of its keys, too."""
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """What is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, encoded(self.root), *self.extensions))


def sign(checkpoint: Checkpoint, *keys: SigningKey) -> bytes:
    """The checkpoint as a signed note, by at least one key of the log.

    Raises ValueError for what this log must not sign: another name than its keys', a size or root that cannot be. That it is consistent
    with everything that was signed before is for the caller to see to.
    """
    if not keys or any(key.name != checkpoint.origin for key in keys):
        raise ValueError("a checkpoint is signed by keys of its log, and they have its name")
    if read(checkpoint.text()) != checkpoint:
        raise ValueError("the checkpoint cannot be written")
    return note.sign(checkpoint.text(), *keys).encode()


def read(text: str) -> Checkpoint:
    """The checkpoint that a note's text states; signed by whom is not asked. Raises `Invalid`."""
    origin, size, root, *extensions = lines if len(lines := text.removesuffix("\n").split("\n")) >= 3 else ("", "", "")
    if not origin or not text.endswith("\n") or not all(extensions):
        raise Invalid("a checkpoint has three lines, and none is empty")
    found = Checkpoint(origin, number_of(size, "the checkpoint's size"), hash_of(root, "the checkpoint's root"), tuple(extensions))
    if not found.size and found.root != EMPTY_ROOT:
        raise Invalid("the tree without entries has another root")
    return found


def opened(data: bytes, origin: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint in a signed note, verified: of the log of this name, and signed by at least one of these keys, which are that log's.

    Raises `Invalid`. Other signatures under it (a key of a later time, witnesses) are passed over.
    """
    signed = note.parse(data)
    note.verify(signed, keys)
    found = read(signed.text)
    if found.origin != origin:
        raise Invalid("the checkpoint is another log's")
    return found
