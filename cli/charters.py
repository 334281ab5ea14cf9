"""Checking a charter, and showing the one in force."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any, Final

from cyclopts import App
from pydantic import ValidationError

from cli import output, places
from cli.places import Folder, Json
from domain.charter import Charter

LIMIT: Final = 1_000_000
"""The largest charter, in bytes."""

app: Final = App(name="charter", help="Check a charter, or show the one in force.")


def read(path: Path) -> Charter:
    """The charter in a TOML file. Raises `ValueError` that names every problem with its place."""
    try:
        content = path.read_bytes()
        if len(content) > LIMIT:
            raise ValueError(f"{path}: a charter has at most {LIMIT} bytes")
        data = tomllib.loads(content.decode())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not readable TOML: {error}") from error
    try:
        return Charter.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'charter'}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()
        ]
        raise ValueError(f"{path} is no charter: " + "; ".join(problems)) from error


@app.command
def check(file: Path, *, json: Json = False) -> None:
    """Say whether a charter can be adopted, and if not, name every problem with its place."""
    charter = read(file)
    if json:
        output.as_json(
            {"name": charter.name, "currency": charter.currency, "decisions": sorted(charter.decisions), "tiers": sorted(charter.tiers)}
        )
    else:
        print(
            output.plain(
                f"{file} can be adopted: {charter.name}, {charter.currency}, {len(charter.tiers)} tiers, {len(charter.decisions)} classes of decision"
            )
        )


@app.command
def show(*, folder: Folder = None) -> None:
    """Print the charter in force, as JSON."""
    print(json.dumps(asyncio.run(_in_force(folder)), indent=2, ensure_ascii=False))


async def _in_force(folder: Path | None) -> dict[str, Any]:
    async with places.recorder(folder) as recorder:
        register = (await recorder.replica()).register
        return {"version": register.version, **register.charter.model_dump(mode="json")}
