"""The bank, by hand: a statement that somebody downloaded is imported from its file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from activities.bank.statements import Content, Hindered, Statements, examine
from activities.bank.xml import Unreadable
from activities.messages import Receipt
from cli.failures import BadInput, of_file
from cli.give import give
from cli.options import MINE, By
from cli.output import Progress
from cli.site import settings
from domain.stream import StepFailed
from domain.treasury.events import ChunkImported, ImportRefused
from domain.treasury.process import TREASURY
from eventstore.log import Log
from eventstore.replica import Replica

CHUNK: Final = 1024 * 1024
READ_SECONDS: Final = 20.0
"""How long the workers are waited for; what takes longer is read all the same."""
BATCH: Final = 500
"""How many entries are looked at in one read."""

File = Annotated[Path, Parameter(help="A camt.053 file, as the bank gave it.")]
Account = Annotated[str, Parameter(help="Which treasury keeps the account.")]


async def import_statement(file: File, *, account: Account = "main", by: By = MINE) -> None:
    """Import a bank statement (camt.053) from a file; each movement counts once, whatever files repeat it. By the treasurer.

    The file is looked at first: what is no statement is refused here. Then it is kept by its SHA-256 in the folder that the workers
    read, and read by them; what came of it is shown, and `consortium show treasury/main` has the account.
    """
    content: Content = "statement"
    try:
        size = file.stat().st_size
        if file.is_file():
            content = await _examined(file, size)
        async with Progress(f"keeping {file.name}", size) as progress:
            kept = Statements(settings(by).folder / "statements")
            digest = await asyncio.to_thread(kept.keep, _chunks(file, progress), file.name)
    except OSError as error:
        raise of_file(error, file, "used", "name the file that the bank gave") from error
    except Hindered as hindered:
        raise BadInput(str(hindered)) from hindered
    command = {"kind": "import_statement", "file": digest, "name": file.name[:200]}
    await give(by, f"treasury/{account}", command, partial(came_of, file.name, digest, content))


async def _examined(file: Path, size: int) -> Content:
    """What the file holds. Raises `BadInput` for one that no worker would import, with what is wrong about it."""
    try:
        async with Progress(f"looking at {file.name}", size) as progress:
            with file.open("rb") as content:
                return await asyncio.to_thread(examine, content, lambda _, done: progress.at(done))
    except Unreadable as unreadable:
        raise BadInput(
            f"{file.name} is no bank statement that can be imported: {unreadable}", "import what the bank gave as camt.053, unchanged"
        ) from unreadable


async def came_of(name: str, digest: str, content: Content, log: Log, receipt: Receipt) -> str:
    """What the file led to: waits until the workers have read it, and not for long. Raises `BadInput` for one that they refused."""
    if "import_started" not in receipt.events:
        return f"{name} was given before; `consortium show {receipt.stream}` tells what came of it"
    counted = repeated = others = 0
    at, end = receipt.position, time.monotonic() + READ_SECONDS
    while True:
        for entry in await log.read_stream(receipt.stream, at, BATCH):
            at = entry.position
            for event in Replica.events_of(TREASURY, entry):
                match event:
                    case ImportRefused(file=file, reason=reason) if file == digest:
                        raise BadInput(f"{name} was not imported: {reason}", "import what the bank gave as camt.053, unchanged")
                    case ChunkImported(file=file) if file == digest:
                        counted, repeated = counted + event.counted, repeated + event.repeated
                        others += event.other_accounts
                        if event.finished:
                            return _read(name, content, counted, repeated, others)
                    case StepFailed(step=step, reason=reason) if step.startswith(f"read:{digest}:"):
                        return f"{name} cannot be read: {reason}; `consortium show {receipt.stream}` names the command that tries again"
                    case _:
                        pass
        left = end - time.monotonic()
        if left <= 0:
            return f"{name} is still being read, and the account is as before: `consortium show {receipt.stream}` tells what comes of it"
        await log.changed(max(at, (await log.head()).position), min(left, 1.0))


def _read(name: str, content: Content, counted: int, repeated: int, others: int) -> str:
    """What a file brought that was read."""
    if content == "report":
        return f"{name} is read: a report on payment orders"
    more = [f"{repeated} that were known already"] if repeated else []
    more += [f"{_numbered(others, 'statement')} of other accounts, left out"] if others else []
    parts = [f"{_numbered(counted, 'movement')} on this account", *more]
    return f"{name} is read: {', '.join(parts)}"


def _numbered(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _chunks(file: Path, progress: Progress) -> Iterator[bytes]:
    done = 0
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            done += len(chunk)
            progress.at(done)
            yield chunk
