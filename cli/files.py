"""Files that people write: commands and charters in TOML or JSON, read strictly and never more than is taken."""

from __future__ import annotations

import json
import sys
from datetime import date, datetime, time
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from activities.bounded import Unreadable, toml_table
from cli.amounts import in_minor_units
from cli.failures import BadInput, of_file
from domain.charter import Charter, flaws
from domain.forms import in_words, typed
from eventstore.wire import LIMIT, Malformed, strict_json

STDIN: Final = Path("-")


def example(name: str) -> Path:
    """Where a file of `examples/` lies in this installation."""
    return Path(str(files("cli").joinpath("examples", name)))


def read_table(path: Path) -> dict[str, Any]:
    """What a TOML or JSON file (or stdin, `-`) holds, as JSON values. Raises `BadInput` naming the place of what is wrong."""
    text = _text(path)
    try:
        if path.suffix == ".json" or (path.suffix != ".toml" and text.lstrip().startswith("{")):
            found = strict_json(text)
        else:
            found = strict_json(json.dumps(_plain(toml_table(text, most_bytes=LIMIT), "")))
    except (Malformed, Unreadable) as error:
        raise BadInput(f"{path}: {error}") from error
    except RecursionError as error:
        raise BadInput(f"{path}: is nested too deeply") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path}: must hold a table of fields")
    return found


def read_charter(path: Path) -> dict[str, Any]:
    """The charter in a file, checked. Raises `BadInput` that names every problem with its place."""
    found = read_table(path)
    currency = found.get("currency")
    try:
        found = in_minor_units(Charter, found, currency if isinstance(currency, str) else "")
    except BadInput as error:
        raise BadInput(f"{path}: {error.message}") from error
    problems = problems_of(found)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise BadInput(f"{path}: {count} in the charter" + "".join(f"\n  {problem}" for problem in problems), problems=problems)
    return found


def charter_in(path: Path) -> Charter:
    """The same as a charter. Raises `BadInput`."""
    return Charter.model_validate_json(json.dumps(read_charter(path)))


def problems_of(charter: dict[str, Any]) -> list[str]:
    """Everything that keeps this from being a charter that can be adopted, each with its place."""
    try:
        return list(flaws(Charter.model_validate_json(json.dumps(charter))))
    except ValidationError as error:
        return in_words(typed(Charter), error.errors(include_url=False, include_input=False))


def _text(path: Path) -> str:
    try:
        with sys.stdin.buffer if path == STDIN else path.open("rb") as file:
            raw = file.read(LIMIT + 1)
        if len(raw) > LIMIT:
            raise BadInput(f"{path}: is larger than {LIMIT} bytes", "put large content elsewhere and name its digest")
        return raw.decode()
    except OSError as error:
        raise of_file(error, path, "read") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _plain(value: Any, place: str) -> Any:
    """TOML's values as JSON's: instants as text; floats are refused by the name of their place."""
    match value:
        case dict():
            return {key: _plain(item, f"{place}.{key}".lstrip(".")) for key, item in value.items()}
        case list():
            return [_plain(item, f"{place}[{number}]") for number, item in enumerate(value)]
        case float() | Decimal():
            raise BadInput(f"{place}: {value} is no integer; amounts are whole minor units, fractions basis points")
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return value
