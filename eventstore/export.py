"""A log as a file: JSON lines, an entry a line with every column exactly as stored. The form is written down in docs/log-format.md.

An entry of rules without salts has no field of that name, so that its line is the one that releases before salts wrote.
"""

from __future__ import annotations

from typing import Any, Final, get_type_hints

import msgspec

from eventstore.entries import Entry

LONGEST: Final = 2**26
"""Bytes of the longest line that is read: several times the largest entry."""

_FIELDS: Final = [(name, kind, b"") if name == "salts" else (name, kind) for name, kind in get_type_hints(Entry).items()]
_Line: Final[Any] = msgspec.defstruct("_Line", _FIELDS, kw_only=True, forbid_unknown_fields=True)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Line).decode


class BadLine(ValueError):
    """A line that no export wrote."""


def line_of(entry: Entry) -> bytes:
    """The line of an entry, with its end; columns of bytes are in base64."""
    columns = entry._asdict()
    if not entry.salts:
        del columns["salts"]
    return _encode(columns) + b"\n"


def entry_of(line: bytes) -> Entry:
    """The entry of a line with its end. Raises `BadLine` for a line that differs in any byte from that of its entry."""
    try:
        entry = read(line)
        again = line_of(entry)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadLine(f"cannot be read: {error}") from error
    if again != line:
        raise BadLine("is not written as exports are" if line.endswith(b"\n") else "is cut off")
    return entry


def read(line: bytes) -> Entry:
    """The entry of a line that `entry_of` took before: that it is written as exports are is not looked at again."""
    return Entry._make(msgspec.structs.astuple(_decode(line)))
