"""What the log signed of itself, held against its entries (docs/log-format.md, Checkpoints)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from domain.register.state import Register
from eventstore.entries import Broken
from eventstore.sealing import opened, origin_of
from transparency import checkpoint, note
from transparency.strict import Invalid
from transparency.tree import Frontier


class Signed:
    """A checkpoint, beside the tree of the entries that are read. Nothing of it is believed before `judge`."""

    def __init__(self, sealed: bytes) -> None:
        """Raises `Invalid` for what is no signed checkpoint."""
        self._note = sealed
        self._stated: Final = checkpoint.read(note.parse(sealed).text)
        self.size: Final = self._stated.size
        self.believed = False
        """Whether it is this log's, by a key that is known."""
        self._tree = Frontier()
        """Of the entries that it is over, as far as they were read."""

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Adds the next entries. What comes after those that the checkpoint is over is passed by."""
        left = self.size - self._tree.size
        if left > 0:
            self._tree = self._tree.extended(each for _, each in zip(range(left), hashes, strict=False)).frontier

    def judge(self, first: str, register: Register, *, complete: bool) -> Broken | None:
        """Why the checkpoint is not that of these entries, whose first has this hash; the position is the last that it says anything of.

        Where the register is not `complete`, for newer rules decided some of them, an unknown key may be one that they enrolled: then nothing
        is wrong, and nothing is believed.
        """
        if self._tree.size < self.size:
            return Broken(self._tree.size + 1, f"is missing, with all that follow: the log signed {self.size:,} entries")
        try:
            opened(self._note, origin_of(first), register)
            self.believed = True
        except Invalid as error:
            if complete or self._stated.origin != origin_of(first):
                return Broken(self.size, f"is the last under the checkpoint, and the checkpoint is not this log's: {error}")
        if self._stated.root != self._tree.root():
            return Broken(self.size, "is the last under the checkpoint, and the log signed other entries than those up to it")
        return None
