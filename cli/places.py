"""Where the log and Temporal are: what a running `up` wrote into the folder, else what the environment says."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import worker
from activities.sending import Sender
from eventstore.log import LogUnavailable
from eventstore.recorder import Recorder

Folder = Annotated[Path | None, Parameter(name="--folder", help="The folder of `consortium up`; by default CONSORTIUM_FOLDER, or state.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


def chosen(folder: Path | None) -> worker.Settings:
    """The settings, with the folder that the command names."""
    settings = worker.settings()
    return settings.model_copy(update={"folder": folder}) if folder else settings


def running(settings: worker.Settings) -> Mapping[str, Any] | None:
    """What an `up` on the folder wrote, if it still runs."""
    path = settings.folder / "up.json"
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        os.kill(int(found["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return found


@asynccontextmanager
async def recorder(folder: Path | None) -> AsyncIterator[Recorder]:
    """A recorder to look at the log with. Raises `LogUnavailable` when there is no log yet."""
    settings = chosen(folder)
    url = settings.log_url
    if "://" not in url and not os.path.exists(url):  # noqa: PTH110  an asynchronous function may not block on a Path
        raise LogUnavailable(f"there is no log at {url}")
    async with worker.recording(url) as opened:
        yield opened


async def sender(folder: Path | None) -> Sender:
    """Sends to the Temporal of a running `up` on the folder, or of the environment. Raises `RuntimeError` when unreachable."""
    settings = chosen(folder)
    found = running(settings)
    client = await worker.connect(found["address"] if found else settings.address)
    return Sender(client, settings.task_queue)
