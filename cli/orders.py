"""Orders: what a motion is to command, written as the command line that gives it, and read by that command's own parser.

`round reduce-goal vega --goal 8000000 --minimum 6000000` is the command `reduce_goal` on `round/vega`: the same options, files and units as
when a person gives it, without who gives it. Commands that no person gives, but a vote may, are read in the same way.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cyclopts import App, CycloptsError

from cli.failures import BadInput, usage
from cli.give import checked
from cli.options import By
from cli.processes import messages_of, parameters, said, stream_of
from domain.catalog import CATALOG
from domain.kernel import Command, Outcome
from domain.process import Process

LIKE: Final = 'write it as the command is given, like "round reduce-goal vega --goal 8000000 --minimum 6000000"; `--help` after the command shows its fields'

Ordered = tuple[str, dict[str, Any]]
"""A stream, and the command that it is to get as JSON values."""


async def motion(order: str, by: By) -> dict[str, Any]:
    """The motion that an order means, as JSON values. Raises `BadInput` naming the part of the order that is wrong."""
    try:
        stream, command = await _ordered(_words(order), by)
    except CycloptsError as error:
        raise BadInput(f"--order: {usage(error)}", LIKE) from error
    except BadInput as error:
        raise BadInput(f"--order: {error.message}", error.remedy or LIKE, **error.details) from error
    return {"stream": stream, "command": command}


def _words(order: str) -> list[str]:
    """The order's words, from the process on."""
    try:
        words = shlex.split(order)
    except ValueError as error:
        raise BadInput(f"{order[:80]!r} cannot be parted into words: {error}", "close every quotation mark") from error
    words = words[1:] if words[:1] == ["consortium"] and words[1:2] and words[1] in CATALOG else words
    if not words or words[0] not in CATALOG:
        named = f"there is no process {words[0][:80]!r}" if words else "is empty"
        raise BadInput(f"{named}; an order begins with one of {', '.join(CATALOG)}", LIKE)
    if len(words) == 1:
        raise BadInput(f"{words[0]!r} names no command", LIKE)
    return words


async def _ordered(words: list[str], by: By) -> Ordered:
    ordering, bound, _ = _app(CATALOG[words[0]], by).parse_args(words[1:], exit_on_error=False, print_error=False)
    stream, command = await ordering(*bound.args, **bound.kwargs)
    checked(stream, command)
    return stream, command


def _app(process: Process[Any, Any, Any], by: By) -> App:
    """The subcommands of a process as orders: every command but what steps bring back."""
    app = App(name=process.name, help_flags=(), version_flags=())
    for command in messages_of(process):
        if not issubclass(command, Outcome):
            app.command(_ordering(process.name, command, by), name=command.model_fields["kind"].default.replace("_", "-"))
    return app


def _ordering(process: str, command: type[Command], by: By) -> Callable[..., Awaitable[Ordered]]:
    async def ordering(name: str, /, **typed: Any) -> Ordered:
        return stream_of(process, name), await said(command, typed, by)

    ordering.__signature__ = inspect.Signature(list(parameters(process, command)))  # type: ignore[attr-defined]
    ordering.__annotations__ = {}
    return ordering
