"""Commands as they arrive from outside: strictly read, or refused with what to change."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

import msgspec
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from domain.kernel import SLUG, Command
from domain.money import SAFE
from domain.process import Process, StepCommand
from eventstore.entries import encode_json

LIMIT: Final = 64 * 1024
"""The largest command, in bytes: larger ones would block their workflow."""

DEPTH: Final = 32

_STEP_COMMANDS: Final[TypeAdapter[StepCommand]] = TypeAdapter(Annotated[StepCommand, Field(discriminator="kind")])
_STEP_KINDS: Final = frozenset({"step_done", "fail_step", "retry_step", "waive_step"})


class Malformed(Exception):
    """Input that is no command at all; never on the log. The message names what to change."""


def canonical_command(raw: bytes | str) -> bytes:
    """The canonical form of a JSON object given as a command.

    Raises `Malformed` for what is too large or too deep, is no JSON object with a `kind`, repeats a key, or holds a
    float or a NaN.
    """
    value = strict_json(raw)
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise Malformed('the command must be a JSON object with a "kind"')
    return encode_json(value)


def require_sender(actor: str, command_id: str) -> None:
    """Raises `Malformed` for an actor that is no handle, and for a command id that is no UUID in its canonical form."""
    if re.fullmatch(SLUG, actor) is None:
        raise Malformed(f"{actor[:80]!r} is no handle: lower-case ASCII letters, digits and inner hyphens, at most 64")
    try:
        canonical = str(UUID(command_id))
    except ValueError:
        canonical = ""
    if canonical != command_id:
        raise Malformed(f"the command id {command_id[:80]!r} is no UUID in lower case with hyphens")


def strict_json(raw: bytes | str) -> Any:
    """The value of JSON from outside.

    Raises `Malformed` for what is too large or too deep, repeats a key, or holds a float, a NaN, an integer that JSON
    does not hold exactly everywhere, or half a character.
    """
    size = len(raw) if isinstance(raw, bytes) else len(raw.encode(errors="surrogatepass"))
    if size > LIMIT:
        raise Malformed(f"the command is {size} bytes long; at most {LIMIT} are taken: put large content into a file and name its digest")
    try:
        value = json.loads(raw, object_pairs_hook=_unique, parse_int=_whole, parse_float=_no_float, parse_constant=_no_float)
        depth = _depth(value)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the command is not readable JSON: {error}") from error
    if depth > DEPTH:
        raise Malformed(f"the command is nested deeper than {DEPTH} levels")
    return value


class _Kind(msgspec.Struct):
    kind: str


def parse(process: Process[Any, Any, Any], command: bytes) -> Command:
    """The command of a process in these bytes. Raises `Malformed` naming each wrong field."""
    try:
        if msgspec.json.decode(command, type=_Kind).kind in _STEP_KINDS:
            return _STEP_COMMANDS.validate_json(command)
        parsed: Command = process.commands.validator.validate_json(command)
    except ValidationError as error:
        raise Malformed("; ".join(_told(problem) for problem in error.errors(include_url=False, include_input=False)[:5])) from error
    return parsed


def _told(problem: ErrorDetails) -> str:
    if problem["type"] == "union_tag_invalid":
        context = problem.get("ctx", {})
        return f"there is no command {context.get('tag')!r} here; there are {context.get('expected_tags')}"
    place = ".".join(str(part) for part in problem["loc"][1:]) or "command"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is named twice")
    if not all(key.isascii() for key in result):
        raise ValueError("keys are ASCII")
    return result


def _whole(text: str) -> int:
    number = int(text) if len(text) <= len(str(-SAFE)) else SAFE + 1
    if abs(number) > SAFE:
        raise ValueError(f"{text[:20]} is beyond 2^53 - 1")
    return number


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not an integer; amounts are whole minor units")


def _depth(value: Any) -> int:
    """How deep a value is nested. Raises `ValueError` for text with half of a surrogate pair, which no encoding holds."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        if isinstance(item, dict):
            stack += [(child, level + 1) for child in item.values()]
        elif isinstance(item, list):
            stack += [(child, level + 1) for child in item]
        elif isinstance(item, str) and not item.isascii():
            item.encode()
    return deepest
