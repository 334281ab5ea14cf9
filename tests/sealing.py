"""What tests change themselves: a bit, or an entry that is sealed again as a recorder would have sealed it."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import Any

from eventstore.entries import SALT_BYTES, UNSALTED, Entry, hash_of, parts_of


def salts(parts: int) -> bytes:
    """The same salts whenever they are made, another for each part."""
    return b"".join(sha256(b"salt %d" % number).digest()[:SALT_BYTES] for number in range(parts))


def flipped(data: bytes, bit: int) -> bytes:
    """With one bit changed. They are counted from the first byte on, the lowest first, round and round: -8 is in the last byte."""
    place, within = divmod(bit % (8 * len(data)), 8)
    return data[:place] + bytes([data[place] ^ 1 << within]) + data[place + 1 :]


def flipped_somewhere(luck: Random, data: bytes) -> bytes:
    """With any one bit changed."""
    return flipped(data, luck.randrange(8 * len(data)))


def without_salts(entry: Entry) -> tuple[Any, ...]:
    """The columns that entries had before they had salts."""
    return tuple(value for name, value in entry._asdict().items() if name != "salts")


def resealed(entry: Entry, **columns: Any) -> Entry:
    """The entry with these columns, with as many salts as it then has parts, and with the hash of all that."""
    changed = entry._replace(**columns)
    changed = changed._replace(salts=b"" if changed.rules in UNSALTED else salts(len(parts_of(changed))))
    return changed._replace(hash=hash_of(changed))
