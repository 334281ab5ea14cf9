"""Whether a checkpoint's file can be loaded, as far as its header tells."""

from __future__ import annotations

import json
import os
from math import prod
from typing import BinaryIO, Final

HEADER: Final = 100 * 1024 * 1024
"""The longest header of a safetensors file, in bytes."""
_BYTES: Final = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
                 "I8": 1, "U8": 1, "BOOL": 1}  # fmt: skip
"""Of the elements of safetensors' types."""


class Broken(Exception):
    """A checkpoint's file is no whole safetensors file."""


def require_loadable(file: BinaryIO) -> None:
    """Refuses a safetensors file whose header cannot be read, or whose tensors do not add up to its size. Raises `Broken`."""
    size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(HEADER, size - 8):
        raise Broken
    try:
        header = json.loads(file.read(length))
        tensors = [header[name] for name in header if name != "__metadata__"]
        places = sorted(
            (int(first), int(last), each["dtype"], prod(each["shape"])) for each in tensors for first, last in [each["data_offsets"]]
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Broken from error
    end = 0
    for first, last, kind, count in places:
        if first != end or last - first != count * _BYTES.get(kind, (last - first) // max(count, 1)):
            raise Broken
        end = last
    if 8 + length + end != size:
        raise Broken
