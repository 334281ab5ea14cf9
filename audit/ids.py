"""Which ids were there already, of millions, in about sixteen bytes each."""

from __future__ import annotations

import os
from array import array
from hashlib import blake2b
from typing import Final

_DIGEST_BYTES: Final = 8
_KEY_BYTES: Final = 16


class Ids:
    """A set of texts that only grows.

    It keeps 64 bits of each, by a secret that nobody who chose an id could know: two of a million are taken for one by one chance in tens of millions.
    """

    def __init__(self, slots: int = 2**10) -> None:
        """`slots` is a power of two."""
        self._secret = os.urandom(_KEY_BYTES)
        self._count = 0
        self._table = array("Q", bytes(8 * slots))
        """Open addressing, at most half full; 0 is an empty slot."""

    def add(self, name: str) -> bool:
        """Whether it was not there yet."""
        digest = blake2b(name.encode(), digest_size=_DIGEST_BYTES, key=self._secret).digest()
        if not self._put(int.from_bytes(digest, "big") or 1):
            return False
        self._count += 1
        if 2 * self._count > len(self._table):
            before, self._table = self._table, array("Q", bytes(16 * len(self._table)))
            for value in before:
                if value:
                    self._put(value)
        return True

    def _put(self, value: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        at = value & mask
        while found := table[at]:
            if found == value:
                return False
            at = (at + 1) & mask
        table[at] = value
        return True
