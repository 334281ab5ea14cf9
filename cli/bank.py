"""The bank, by hand: a statement that somebody downloaded is imported from its file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from activities.bank_statements import Hindered, Statements
from cli.failures import BadInput, of_file
from cli.give import give
from cli.options import By
from cli.output import Progress
from cli.site import settings

CHUNK: Final = 1024 * 1024

File = Annotated[Path, Parameter(help="A camt.053 file, as the bank gave it.")]
Account = Annotated[str, Parameter(help="Which treasury keeps the account.")]


async def import_statement(file: File, *, account: Account = "main", by: By) -> None:
    """Import a bank statement (camt.053) from a file; each movement counts once, whatever files repeat it. By the treasurer.

    The file is kept by its SHA-256 in the folder that the workers read, and read by them: `consortium show treasury/main` tells
    what came of it.
    """
    try:
        size = file.stat().st_size
        async with Progress(f"keeping {file.name}", size) as progress:
            kept = Statements(settings(by).folder / "statements")
            digest = await asyncio.to_thread(kept.keep, _chunks(file, progress), file.name)
    except OSError as error:
        raise of_file(error, file, "used", "name the file that the bank gave") from error
    except Hindered as hindered:
        raise BadInput(str(hindered)) from hindered
    await give(by, f"treasury/{account}", {"kind": "import_statement", "file": digest, "name": file.name[:200]})


def _chunks(file: Path, progress: Progress) -> Iterator[bytes]:
    done = 0
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            done += len(chunk)
            progress.at(done)
            yield chunk
