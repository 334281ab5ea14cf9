"""What can be said with every command: where the consortium is, who speaks, and how to answer."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where the consortium is."""

    folder: Annotated[Path | None, Parameter(help="The folder that `consortium up` keeps everything in; by default state.")] = None
    json: Annotated[bool, Parameter(negative=(), help="Answer in JSON; errors too, on stderr.", show_default=False)] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class By(Where):
    """Who gives a command."""

    key: Annotated[
        str | None,
        Parameter(
            show_default=False,
            help="What signs the command: the name of a key in `keys` in the folder, or a path with a /; by default CONSORTIUM_KEY.",
        ),
    ] = None
    signer: Annotated[
        str | None,
        Parameter(show_default=False, help="Whose key it is: a person's handle; by default the first word of the key's comment."),
    ] = None
    id: Annotated[str | None, Parameter(help="The command's id, to ask again safely; by default a new one.")] = None


def folder_option(folder: Path | None) -> str:
    """The option that names a folder, as it is typed, with a space before it; empty without one, where the environment names it."""
    return "" if folder is None else f" --folder {shlex.quote(str(folder))}"


EXIT_CODES: Final = (
    "Exit codes: 0 done, 1 the log is broken or something has to be done, 2 refused by a rule, 3 nobody answers, 4 bad input, 5 whole, but in part for a release with "
    "other rules to decide again, 70 our own mistake, 130 interrupted."
)

HERE: Final = Where()

MINE: Final = By()
