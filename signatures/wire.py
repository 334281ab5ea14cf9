"""The binary encoding of SSH (RFC 4251, section 5), read strictly: what has two forms is accepted in the canonical one only."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable


class Malformed(ValueError):
    """The bytes are not what they should be; says what in a few words that fit after "the key: "."""


class Reader:
    """Reads one value after another from bytes, each within a limit; `end` refuses what is left over."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int, what: str) -> bytes:
        """The next so many bytes."""
        end = self._at + count
        if end > len(self._data):
            raise Malformed(f"{what} is cut off")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def exactly(self, expected: bytes, what: str) -> None:
        """Refuses other bytes than these."""
        if self.take(len(expected), what) != expected:
            raise Malformed(f"{what} is another")

    def byte(self, what: str) -> int:
        """One byte as a number."""
        return self.take(1, what)[0]

    def number(self, what: str, limit: int = 2**32 - 1) -> int:
        """A `uint32` of at most so much."""
        read = int.from_bytes(self.take(4, what), "big")
        if read > limit:
            raise Malformed(f"{what} is {read}, above {limit}")
        return read

    def string(self, limit: int, what: str) -> bytes:
        """A `string` of at most so many bytes."""
        length = self.number(what)
        if length > limit:
            raise Malformed(f"{what} is longer than {limit} bytes")
        return self.take(length, what)

    def text(self, limit: int, what: str) -> str:
        """A `string` of printable ASCII without spaces."""
        read = self.string(limit, what).decode("latin-1")
        if not (read.isascii() and read.isprintable()) or " " in read:
            raise Malformed(f"{what} has other characters than printable ASCII")
        return read

    def positive(self, limit: int, what: str) -> int:
        """An `mpint` above zero, without needless leading zeros."""
        read = self.string(limit, what)
        if not read.strip(b"\0"):
            raise Malformed(f"{what} is zero")
        if read[0] & 0x80:
            raise Malformed(f"{what} is negative")
        if read[0] == 0 and not read[1] & 0x80:
            raise Malformed(f"{what} has needless leading zeros")
        return int.from_bytes(read, "big")

    def end(self, what: str) -> None:
        """Refuses bytes after the last value."""
        if self._at != len(self._data):
            raise Malformed(f"{what} has {len(self._data) - self._at} bytes too many")


def string(data: bytes) -> bytes:
    """Bytes as a `string`."""
    return len(data).to_bytes(4, "big") + data


def strings(values: Iterable[bytes]) -> bytes:
    """Several, one after another."""
    return b"".join(map(string, values))


def positive(value: int) -> bytes:
    """A number above zero as an `mpint`."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def from_base64(text: str, what: str) -> bytes:
    """What canonical Base64 (RFC 4648, section 4) stands for: with padding, and without spaces or bits that nobody reads."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Malformed(f"{what} is not Base64") from error
    if base64.b64encode(data) != text.encode("ascii"):
        raise Malformed(f"{what} is not Base64 in its canonical form")
    return data
