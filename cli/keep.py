"""Keeping the system whole: checking the log, taking processes up again, making the lists anew, and mending failed steps."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from activities.log.heads import Heads
from activities.log.sending import Sender
from audit.reexecute import Reexecution
from cli.audit import audit, broken, say_decided
from cli.embedded import recover as taken_up
from cli.failures import BadInput, of_file
from cli.give import give
from cli.look import process_of
from cli.options import HERE, MINE, By, Where
from cli.output import Progress, say, say_json
from cli.site import log_of, settings, temporal
from eventstore import entries as chain
from eventstore.entries import EMPTY, Entry
from eventstore.export import LONGEST, BadLine, entry_of, line_of
from eventstore.keeper import Keeper
from eventstore.log import Log, LogUnavailable
from eventstore.recorder import Recorder
from worker import prepared

BATCH: Final = 2_000
_UNREADABLE: Final = (LogUnavailable, ValueError, TypeError, struct.error)
"""What a damaged entry may raise before its hash is even looked at."""


Stream = Annotated[str, Parameter(help="Whose, like member/helio.")]
Step = Annotated[str, Parameter(help="The step's key; `consortium show` names it.")]
Decide = Annotated[
    bool, Parameter(negative=(), show_default=False, help="Decide every entry again: each event and refusal must be as before.")
]

File = Annotated[Path | None, Parameter(help="Check what `consortium export` wrote to this file, instead of the log.")]


async def verify(*, file: File = None, decide: Decide = False, where: Where = HERE) -> None:
    """Check the whole log: no gap, no change, no time running back, no older rules after newer ones.

    Ends with 1 and names the position where it is broken; with 5 where it is whole, and --decide met entries that a release with
    other rules must decide again. With --file and --decide it is `consortium audit`.
    """
    if file is not None and decide:
        await audit(file, where=where)
        return
    again = Reexecution() if decide else None
    if file is not None:
        head = await _whole(of_export(file), again)
    else:
        async with log_of(settings(where)) as log:
            last = (await log.head()).position
            head = await _whole(of_log(log), again, last)
        if head.position < last:
            raise broken(chain.Broken(head.position + 1, "is missing"))
    if again is not None:
        say_decided(again, where)
    elif where.json:
        say_json({"entries": head.position, "head": head.hash.hex(), "decided_again": False})
    else:
        say(f"{head.position:,} entries are whole.", f"head {head.hash.hex()}")


async def export(file: Annotated[Path, Parameter(help="A new file.")], /, *, where: Where = HERE) -> None:
    """Write the whole log to a file, an entry a line, and beside it (.checkpoint) what the log signed of it: anybody can check both by
    themselves (`consortium audit`), without a database, a worker or Temporal.
    """
    beside = file.with_name(f"{file.name}.checkpoint")
    for name in (file, beside):
        if name.exists():
            raise BadInput(f"{name} is there already", "name a new file")
    part, head = file.with_name(f"{file.name}.part"), EMPTY
    async with log_of(settings(where)) as log, Progress("exported", (await log.head()).position) as progress:
        try:
            with part.open("wb") as lines:
                async for batch in of_log(log):
                    lines.writelines(map(line_of, batch))
                    head = chain.head_of(batch, head)
                    progress.at(head.position)
                sealed = await log.sealed()
                while sealed is not None and head.position < sealed.size:  # others appended meanwhile
                    batch = await _batch(log, head.position, min(BATCH, sealed.size - head.position))
                    if not batch:
                        break  # the log signed more than it holds: whoever audits the file is told
                    lines.writelines(map(line_of, batch))
                    head = chain.head_of(batch, head)
            if sealed is not None:
                beside.write_bytes(sealed.checkpoint)
            part.rename(file)
        except OSError as error:
            raise of_file(error, file, "written", "name another file, or make room") from error
        finally:
            with suppress(OSError):
                part.unlink()
    if where.json:
        say_json({"file": str(file), "entries": head.position, "head": head.hash.hex(), "sealed": 0 if sealed is None else sealed.size})
    else:
        say(f"{head.position:,} entries are in {file}.", f"head {head.hash.hex()}")


async def _whole(batches: AsyncIterator[Sequence[Entry]], again: Reexecution | None, last: int = 0) -> chain.Head:
    """The head after entries that are whole, and decided as the rules demand where that is asked. Raises `Broken`."""
    head = EMPTY
    async with Progress("checked", last) as progress:
        async for batch in batches:
            found = _checked(batch, head)
            if isinstance(found, chain.Broken):
                raise broken(found)
            if again is not None and (wrong := again.check(batch)) is not None:
                raise broken(wrong)
            head = found
            progress.at(head.position)
    return head


async def of_log(log: Log) -> AsyncIterator[Sequence[Entry]]:
    """The entries of a log, in order. Raises `Broken` where one cannot even be read."""
    position = 0
    while batch := await _batch(log, position):
        yield batch
        position = batch[-1].position


async def of_export(file: Path) -> AsyncIterator[Sequence[Entry]]:
    """The entries of an export; where a line is none, those before it, and then `Broken`."""
    whole: list[Entry] = []
    try:
        with file.open("rb") as lines:
            for position in count(1):
                line = lines.readline(LONGEST)
                if not line:
                    break
                try:
                    whole.append(entry_of(line))
                except BadLine as error:
                    yield whole
                    raise broken(chain.Broken(position, str(error))) from error
                if len(whole) == BATCH:
                    yield whole
                    await asyncio.sleep(0)  # a long file lets the progress be seen
                    whole = []
    except OSError as error:
        raise of_file(error, file, "read", "name a file that `consortium export` wrote") from error
    yield whole


async def _batch(log: Log, after: int, most: int = BATCH) -> Sequence[Entry]:
    """The next entries; where one cannot even be read, those before it, and then `Broken`."""
    try:
        return await log.read(after, most)
    except _UNREADABLE:
        await log.head()  # a database that does not answer at all is not a broken log
        whole: list[Entry] = []
        for position in range(after, after + most):
            try:
                whole += await log.read(position, 1)
            except _UNREADABLE as error:
                if whole:
                    return whole
                raise broken(chain.Broken(position + 1, f"cannot be read: {error}")) from error
        return whole


def _checked(batch: Sequence[Entry], head: chain.Head) -> chain.Head | chain.Broken:
    try:
        return chain.verify(batch, head)
    except _UNREADABLE:
        for entry in batch:
            try:
                found = chain.verify((entry,), head)
            except _UNREADABLE as error:
                return chain.Broken(head.position + 1, f"cannot be hashed: {error}")
            if isinstance(found, chain.Broken):
                return found
            head = found
        raise


async def recover(*, where: Where = HERE) -> None:
    """Start every unfinished process again from the log, whatever Temporal still knows. Repeating it changes nothing."""
    chosen = settings(where)
    async with log_of(chosen, writing=True) as log:
        client = await temporal(chosen)
        await prepared(client)
        await Heads(client, log, chosen.task_queue).compare()
        recorder = Recorder(log)
        try:
            async with Progress("starting unfinished processes again"):
                await Keeper(log).catch_up()
                number = await taken_up(recorder, Sender(client, chosen.task_queue))
        finally:
            await recorder.close()
    if where.json:
        say_json({"unfinished": number})
    else:
        say(f"{number} unfinished {'process runs' if number == 1 else 'processes run'}.")


async def migrate(*, where: Where = HERE) -> None:
    """Bring the log's schema to this release, as the log's owner, before its workers start. Repeating it changes nothing.

    Workers do it by themselves where they may; commands that look never do.
    """
    async with log_of(settings(where), writing=True) as log:
        head = await log.head()
    if where.json:
        say_json({"entries": head.position})
    else:
        say(f"The log has the schema of this release; it holds {head.position:,} entries.")


async def rebuild(*, where: Where = HERE) -> None:
    """Make the lists anew from the first entry, while everything runs; readers see the old ones until then."""
    async with log_of(settings(where), writing=True) as log:
        last = (await log.head()).position
        async with Progress("waiting for the one who rebuilds the lists already", last) as progress:
            position = await Keeper(log).rebuild(lambda position: progress.at(position, "rebuilding the lists"))
    if where.json:
        say_json({"position": position})
    else:
        say(f"The lists are made anew, up to position {position:,}.")


async def retry(stream: Stream, step: Step, /, *, by: By = MINE) -> None:
    """Try a failed step of a process again. By the secretariat."""
    process_of(stream)
    await give(by, stream, {"kind": "retry_step", "step": step})


async def waive(
    stream: Stream, step: Step, /, *, reason: Annotated[str, Parameter(help="Why it can be done without.")], by: By = MINE
) -> None:
    """Live without a failed step of a process. By the secretariat."""
    process_of(stream)
    await give(by, stream, {"kind": "waive_step", "step": step, "reason": reason})
