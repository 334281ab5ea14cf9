"""Commands as they arrive from outside: strictly read, or refused with what to change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Final, NoReturn

import msgspec
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from domain.forms import in_words, messages_in, typed
from domain.kernel import SLUG, Command
from domain.money import SAFE
from domain.process import Process
from domain.stream import StepCommand
from eventstore.entries import encode_json

LIMIT: Final = 64 * 1024
"""The largest command, in bytes: larger ones would block their workflow."""

DEPTH: Final = 32

NAMED: Final = 5
"""How many problems of a command are told."""

_HANDLE: Final = re.compile(SLUG)
_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STEP_COMMANDS: Final[TypeAdapter[StepCommand]] = TypeAdapter(Annotated[StepCommand, Field(discriminator="kind")])
_STEP_KINDS: Final = frozenset({"step_done", "notice_sent", "fail_step", "delay_step", "retry_step", "waive_step"})


class Malformed(Exception):
    """Input that is no command at all; never on the log. The message names what to change."""


def canonical_command(command: Any) -> bytes:
    """The canonical form of a JSON value given as a command.

    Raises `Malformed` for what is too large or too deep, is no JSON object with a `kind`, or holds what `strict_json` refuses.
    """
    if not isinstance(command, dict) or not isinstance(command.get("kind"), str):
        raise Malformed('the command must be a JSON object with a "kind"')
    _require_strict(command)
    canonical = encode_json(command)
    _require_size(len(canonical))
    return canonical


def require_sender(actor: str, command_id: str) -> None:
    """Raises `Malformed` for an actor that is no handle, and for a command id that is no UUID in its canonical form."""
    if _HANDLE.fullmatch(actor) is None:
        raise Malformed(f"{actor[:80]!r} is no handle: lower-case ASCII letters, digits and inner hyphens, at most 64")
    if _UUID.fullmatch(command_id) is None:
        raise Malformed(f"the command id {command_id[:80]!r} is no UUID in lower case with hyphens")


def strict_json(raw: bytes | str) -> Any:
    """The value of JSON from outside.

    Raises `Malformed` for what is too large or too deep, names a key twice or not in ASCII, or holds a float, a NaN, an
    integer that JSON does not hold exactly everywhere, or half a character.
    """
    _require_size(len(raw) if isinstance(raw, bytes) else len(raw.encode(errors="surrogatepass")))
    try:
        value = json.loads(raw, object_pairs_hook=_unique, parse_int=_whole, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the command is not readable JSON: {error}") from error
    _require_strict(value)
    return value


decoded: Final = msgspec.json.decode
"""The value of JSON that the log holds: what this system wrote."""


class _Kind(msgspec.Struct):
    kind: str


def parse(process: Process[Any, Any, Any], command: bytes) -> Command:
    """The command of a process in these bytes. Raises `Malformed` naming each wrong field."""
    try:
        parsed: Command = process.commands.validator.validate_json(command)
    except ValidationError as error:
        return _about_step(process, command, error)
    return parsed


def _about_step(process: Process[Any, Any, Any], command: bytes, no_other: ValidationError) -> Command:
    """The command that every process takes in these bytes, which are no other. Raises `Malformed`."""
    commands, error = process.commands, no_other
    try:
        if msgspec.json.decode(command, type=_Kind).kind in _STEP_KINDS:
            return _STEP_COMMANDS.validate_json(command)
    except (msgspec.MsgspecError, RecursionError) as wrong:
        raise Malformed(f"the command is no object with a kind: {wrong}") from wrong
    except ValidationError as wrong:
        commands, error = _STEP_COMMANDS, wrong
    problems = error.errors(include_url=False, include_input=False)[:NAMED]
    raise Malformed("; ".join(_told(commands, problem) for problem in problems)) from error


def _told(commands: TypeAdapter[Any], problem: ErrorDetails) -> str:
    kinds = {str(message.model_fields["kind"].default): message for message in messages_in(commands.core_schema)}
    if not problem["loc"]:
        kind = problem.get("ctx", {}).get("tag")
        near = get_close_matches(str(kind), kinds, n=1)
        return f"there is no command {str(kind)[:80]!r} here; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}")
    kind, *place = problem["loc"]
    (told,) = in_words(typed(kinds[str(kind)]), [{**problem, "loc": tuple(place)}])
    return told


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is named twice")
    return result


def _whole(text: str) -> int:
    if len(text) > len(str(-SAFE)):
        raise ValueError(f"{text[:20]} is beyond 2^53 - 1")
    return int(text)


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not an integer; amounts are whole minor units")


def _require_size(size: int) -> None:
    if size > LIMIT:
        raise Malformed(f"the command is {size} bytes long; at most {LIMIT} are taken: put large content into a file and name its digest")


def _require_strict(value: Any) -> None:
    """Raises `Malformed` unless the value is one that every JSON reader and writer keeps as it is, and is not nested too deeply."""
    inside, level = [value], 0
    while inside:
        level += 1
        if level > DEPTH:
            raise Malformed(f"the command is nested deeper than {DEPTH} levels")
        inside = [part for item in inside for part in _parts(item)]


def _parts(item: Any) -> Iterable[Any]:
    """What a JSON value holds; none for one that holds no others."""
    match item:
        case str():
            if not item.isascii():
                _require_characters(item)
        case int():
            if abs(item) > SAFE:
                raise Malformed(f"the command is not readable JSON: {str(item)[:20]} is beyond 2^53 - 1")
        case None:
            pass
        case dict():
            if not all(isinstance(key, str) and key.isascii() for key in item):
                raise Malformed("the command is not readable JSON: keys are ASCII")
            return item.values()
        case list() | tuple():
            return item
        case _:
            raise Malformed(f"the command is not readable JSON: {item!r:.20} is not an integer; amounts are whole minor units")
    return ()


def _require_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"the command is not readable JSON: {error}") from error
