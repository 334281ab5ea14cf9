"""Whether a checkpoint's file can be loaded, as far as its header tells."""

from __future__ import annotations

import os
from math import prod
from typing import Any, BinaryIO, Final

from activities.bounded import json_value

HEADER: Final = 16 * 1024 * 1024
"""The longest header of a safetensors file that is read, in bytes: 80 bytes for each of 200,000 tensors."""
DIMENSIONS: Final = 16
LARGEST: Final = 2**53
"""No dimension of a tensor reaches it."""
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
        header = json_value(file.read(length), most_bytes=HEADER, unique=True)
        places = sorted(_place(header[name]) for name in header if name != "__metadata__")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Broken from error
    end = 0
    for first, last, kind, count in places:
        if first != end or last - first != count * _BYTES.get(kind, (last - first) // max(count, 1)):
            raise Broken
        end = last
    if 8 + length + end != size:
        raise Broken


def _place(tensor: Any) -> tuple[int, int, str, int]:
    """Where a tensor begins and ends, its type, and how many elements it has. Raises `ValueError` beyond what any tensor has."""
    first, last = tensor["data_offsets"]
    shape = tensor["shape"]
    numbers = (first, last, *shape)
    if len(shape) > DIMENSIONS or not all(type(number) is int and 0 <= number < LARGEST for number in numbers):
        raise ValueError("no shape and place of a tensor")
    return first, last, str(tensor["dtype"]), prod(shape)
