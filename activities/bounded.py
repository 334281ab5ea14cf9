"""Reading what others wrote, bounded: JSON and TOML that can neither fill memory, nor hold the process up, nor mean two things.

Everything here raises `Unreadable`, a `ValueError` whose text names the fault and never quotes what was read.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NoReturn

BYTES: Final = 16 * 1024 * 1024
"""The longest text that is read."""
DEPTH: Final = 64
"""The most levels of nesting."""
VALUES: Final = 2_000_000
"""The most values in one text: each takes some hundred bytes of memory, however short it is written."""
DIGITS: Final = 40
"""Of the longest whole number: more than any count or amount has. Longer ones take time that grows with the square of their length."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)


_QUOTED: Final = re.compile(r"'[^']*'|\([^)]*,\)|\[[^\]]*\]")
"""What the parser's messages repeat of the text."""


class Unreadable(ValueError):
    """Text that is not read: too large, too deep, or not of its format."""


def _never(text: str) -> NoReturn:
    raise Unreadable(f"{text[:9]} is no number")


def json_value(
    raw: bytes | str, *, most_bytes: int = BYTES, depth: int = DEPTH, number: Callable[[str], Any] = Decimal,
    constant: Callable[[str], Any] = _never, unique: bool = False,
) -> Any:  # fmt: skip
    """The value of JSON text. Numbers with a fraction or an exponent go to `number`; NaN and the infinities, which JSON does not have, to `constant`.

    With `unique` an object that names a key twice is refused; else the last one counts, as most writers and readers have it.
    """
    _require_small(raw, most_bytes)
    pairs = _unique if unique else None
    try:
        value = json.loads(
            raw, parse_int=_whole, parse_float=lambda text: number(_number(text)), parse_constant=constant, object_pairs_hook=pairs
        )
    except RecursionError as error:
        raise Unreadable(f"nested deeper than {depth} levels") from error
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(_where(error)) from error
    _require_shallow(value, depth)
    return value


def toml_table(raw: bytes | str, *, most_bytes: int = 1024 * 1024, depth: int = DEPTH) -> dict[str, Any]:
    """The table that TOML text is. Numbers with a fraction are `Decimal`."""
    _require_small(raw, most_bytes)
    try:
        table = tomllib.loads(raw.decode() if isinstance(raw, bytes) else raw, parse_float=_measure)
    except RecursionError as error:
        raise Unreadable(f"nested deeper than {depth} levels") from error
    except Unreadable:
        raise
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 text (byte {error.start})") from error
    except ValueError as error:
        raise Unreadable(f"is no TOML: {_QUOTED.sub('…', str(error))[:200]}") from error
    _require_shallow(table, depth)
    return table


def _require_small(raw: bytes | str, most_bytes: int) -> None:
    if len(raw) > most_bytes:
        raise Unreadable(f"is larger than {most_bytes} bytes")
    values = raw.count(b",") + raw.count(b"[") + raw.count(b"{") if isinstance(raw, bytes) else sum(map(raw.count, ",[{"))
    if values > VALUES:
        raise Unreadable(f"holds more than {VALUES} values")


def _require_shallow(value: Any, depth: int) -> None:
    level, reached = [value], 0
    while level:
        reached += 1
        if reached > depth:
            raise Unreadable(f"nested deeper than {depth} levels")
        level = [child for item in level if isinstance(item, dict | list) for child in (item.values() if isinstance(item, dict) else item)]


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise Unreadable(f"a whole number has more than {DIGITS} digits")
    return int(text)


def _number(text: str) -> str:
    if _NUMBER.fullmatch(text) is None:
        raise Unreadable("a number is longer than any measurement is written")
    return text


def _measure(text: str) -> Decimal:
    """A number of TOML, which may be infinite or none, and may have underscores between its digits."""
    plain = text.replace("_", "")
    return Decimal(plain if plain.lstrip("+-") in {"inf", "nan"} else _number(plain.removeprefix("+")))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a key is named twice")
    return found


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no readable JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"no readable JSON: not UTF-8 (byte {error.start})"
    return "no readable JSON"
