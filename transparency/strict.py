"""Texts that have one form only: what is read here is refused unless it is written exactly as it would be written here."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Final

HASH_BYTES: Final = 32
"""Of a SHA-256."""
LARGEST: Final = 2**63 - 1
"""Of sizes and indexes: what every other program can read too."""


class Invalid(ValueError):
    """What was shown proves nothing: it is malformed, signed by nobody who is known, or not so. The message says which; it quotes nothing."""


def encoded(data: bytes) -> str:
    """Standard Base64 (RFC 4648, section 4), with padding."""
    return b64encode(data).decode("ascii")


def decoded(text: str, what: str) -> bytes:
    """The bytes of standard Base64 in its one form: no other characters, no missing padding, no bits set in what is cut off."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise Invalid(f"{what} is not Base64") from error
    if encoded(data) != text:
        raise Invalid(f"{what} is not Base64 in its one form")
    return data


def hash_of(text: str, what: str) -> bytes:
    """A SHA-256 that is written in Base64."""
    data = decoded(text, what)
    if len(data) != HASH_BYTES:
        raise Invalid(f"{what} is not a hash of {HASH_BYTES} bytes")
    return data


def hashes_of(lines: Iterable[str], what: str) -> tuple[bytes, ...]:
    """SHA-256 hashes, one a line."""
    return tuple(hash_of(line, what) for line in lines)


def number_of(text: str, what: str) -> int:
    """A number in ASCII digits without leading zeros, at most `LARGEST`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(LARGEST)) or (text[0] == "0" and text != "0"):
        raise Invalid(f"{what} is not a decimal number")
    number = int(text)
    if number > LARGEST:
        raise Invalid(f"{what} is too large")
    return number
