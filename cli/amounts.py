"""Amounts in files that people write: text in units with the currency, as `"500,000.00 USD"`.

The log holds integers of minor units. In a file an integer could be either, so that it is refused with both readings; only a
charter, whose head says so, may have minor units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from cli.failures import BadInput
from domain.catalog import process_for
from domain.charter import Charter
from domain.forms import messages_in
from domain.kernel import Message
from domain.money import MINOR_UNITS, Minor, display, parse_amount

MONEY: Final = get_args(Minor)[1]
"""What marks an integer as an amount of money in the annotations of messages."""
_TEXT: Final = re.compile(
    r"(?:(?P<before>[A-Z]{3}) )?(?P<digits>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?P<fraction>\.[0-9]+)?(?: (?P<after>[A-Z]{3}))?", re.ASCII
)


def minor(text: str, currency: str) -> int:
    """Minor units of an amount in units with its currency, before or after it; commas may part thousands. Raises `ValueError`."""
    digits, named = _parted(text)
    if len(named) != 1:
        raise ValueError(f'{text[:40]!r} is no amount: write units and the currency, like "1,250,000.50 {currency or "USD"}"')
    _require_same(text, named, currency)
    return 0 if not int(digits.replace(".", "")) else parse_amount(digits, *named)


def minor_typed(text: str, currency: str) -> int:
    """Minor units of an amount as it is typed in an option: in units of this currency, which may stand with it. Raises `ValueError`."""
    digits, named = _parted(text)
    _require_same(text, named, currency)
    return parse_amount(digits or text, currency)


def _parted(text: str) -> tuple[str, frozenset[str]]:
    """The digits of an amount, without what parts thousands, and the currencies that stand with it; no digits where it is no amount."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return "", frozenset()
    return match["digits"].replace(",", "") + (match["fraction"] or ""), frozenset({match["before"], match["after"]} - {None})


def _require_same(text: str, named: frozenset[str], currency: str) -> None:
    if currency and (others := sorted(named - {currency})):
        raise ValueError(f"{text[:40]!r} is in {others[0]}, and here amounts are in {currency}")


Amount = Callable[[Any, str, str], Any]
"""What is made of an amount as it was written, in the currency that is expected, at its place."""


def in_minor_units(message: type[Message], fields: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """The fields of a message with every amount in minor units. Raises `BadInput` naming the place of what is no amount.

    `currency` is the one in which amounts are when the message names none. In a charter integers are minor units.
    """
    return _fields(message, fields, currency, "", _minor_or_written if issubclass(message, Charter) else _written)


def amounts_of(message: type[Message], fields: Mapping[str, Any], currency: str) -> Mapping[str, int]:
    """Every amount of a message in minor units, by its place."""
    found: dict[str, int] = {}
    _fields(message, fields, currency, "", lambda value, _, place: found.setdefault(place, value))
    return found


def _fields(message: type[Message], fields: Mapping[str, Any], currency: str, place: str, amount: Amount) -> dict[str, Any]:
    named = fields.get("currency")
    own = named if isinstance(named, str) and "currency" in message.model_fields else currency
    amount = _minor_or_written if issubclass(message, Charter) and amount is _written else amount
    read = dict(fields)
    for name, field in message.model_fields.items():
        if name in fields:
            annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            read[name] = _read(annotation, fields[name], own, f"{place}{name}", amount)
    return _carrying(read, own, place, amount)


def _read(annotation: Any, value: Any, currency: str, place: str, amount: Amount) -> Any:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated and MONEY in parts:
        return amount(value, currency, place)
    if origin is Annotated:
        return _read(parts[0], value, currency, place, amount)
    if origin in {Union, UnionType}:
        chosen = _chosen(parts, value)
        return value if chosen is None else _read(chosen, value, currency, place, amount)
    if isinstance(value, list) and parts:
        return [_read(parts[0], item, currency, f"{place}.{number}", amount) for number, item in enumerate(value)]
    if isinstance(value, dict) and isinstance(annotation, type) and issubclass(annotation, Message):
        return _fields(annotation, value, currency, f"{place}.", amount)
    if isinstance(value, dict) and len(parts) == 2:
        return {key: _read(parts[1], item, currency, f"{place}.{key}", amount) for key, item in value.items()}
    return value


def _chosen(parts: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that the value is meant as: by its `kind`, else the only one that is not `None`."""
    kind = value.get("kind") if isinstance(value, dict) else None
    present = [part for part in parts if part is not type(None)]
    named = [part for part in present if kind is not None and _kind_of(part) == kind]
    return named[0] if named else present[0] if len(present) == 1 and value is not None else None


def _kind_of(part: Any) -> Any:
    field = part.model_fields.get("kind") if isinstance(part, type) and issubclass(part, Message) else None
    return field.default if field is not None else None


def _carrying(fields: dict[str, Any], currency: str, place: str, amount: Amount) -> dict[str, Any]:
    """The commands that a message carries for another stream, as a motion does, are read as that stream's."""
    stream = fields.get("stream")
    if not isinstance(stream, str):
        return fields
    for name in ("command", "otherwise"):
        inner = fields.get(name)
        if isinstance(inner, dict) and isinstance(inner.get("kind"), str):
            command = command_of(stream, inner["kind"])
            if command is not None:
                fields[name] = _fields(command, inner, currency, f"{place}{name}.", amount)
    return fields


def command_of(stream: str, kind: str) -> type[Message] | None:
    """The message of a stream's command; `None` when there is none, which others tell better."""
    try:
        commands = messages(process_for(stream).commands.core_schema)
    except ValueError:
        return None
    return next((command for command in commands if _kind_of(command) == kind), None)


def messages(schema: Mapping[str, Any]) -> Iterator[type[Message]]:
    """The classes of a union of messages, from pydantic's schema of it."""
    return (each for each in messages_in(schema) if issubclass(each, Message))


def _minor_or_written(value: Any, currency: str, place: str) -> Any:
    return value if isinstance(value, int) else _written(value, currency, place)


def _written(value: Any, currency: str, place: str) -> Any:
    if isinstance(value, str):
        try:
            return minor(value, currency)
        except ValueError as error:
            raise BadInput(f"{place}: {error}") from error
    if isinstance(value, int) and not isinstance(value, bool):
        known = currency if currency in MINOR_UNITS else "USD"
        units, cents = (display(each, known).partition(" ")[2] for each in (value * 10 ** MINOR_UNITS[known], value))
        raise BadInput(
            f'{place}: {value} names no currency: write "{units} {known}" if these are units, or "{cents} {known}" if these are minor units'
        )
    return value
