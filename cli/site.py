"""Where the consortium is: its settings, its log, its read models, and Temporal."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from activities import logs
from activities.bounded import json_value
from activities.log.display import retry_command
from cli.failures import BadInput, Unreachable, of_file
from cli.options import Where, folder_option
from cli.output import Progress
from domain.catalog import process_for
from domain.kernel import one_line
from domain.process import Table, no_tables
from domain.register.facts import PacedTime
from domain.register.state import Register
from eventstore.clock import Clock, PacedClock, StandingClock, SystemClock
from eventstore.entries import ACCEPTED, instant
from eventstore.log import Log, WrittenOn
from eventstore.readmodels import FOLDED, STANDINGS, Seen, edition, seen, seen_of
from eventstore.recorder import Recorder
from eventstore.replica import UnreadableEntry
from eventstore.wire import decoded
from settings import Settings, file_of, in_force, look_at_log, open_log

if TYPE_CHECKING:
    from temporalio.client import Client

CONNECT_SECONDS: Final = 10
WHY: Final = 200
"""The most characters that are told of why a connection was not made."""
TROUBLES: Final = ("failed", "delayed")
"""Where a row of the lists has the steps that a person should look at, each with the reason."""
_SQLITE: Final = b"SQLite format 3\0"

logs.configure(sys.__stderr__ or sys.stderr, level=logging.WARNING)


def settings(where: Where) -> Settings:
    """The settings in force; a folder that is named on the command line has its own log. Raises `BadInput` for wrong ones."""
    try:
        chosen = in_force()
    except ValueError as error:
        raise BadInput(f"the settings in the environment: {error}") from error
    return chosen if where.folder is None else chosen.model_copy(update={"folder": where.folder, "log": ""})


@asynccontextmanager
async def log_of(chosen: Settings, *, writing: bool = False) -> AsyncIterator[Log]:
    """The log, which must exist: to look at, which takes no right to write, or for writing, migrated when needed.

    Raises `Unreachable`, and `BadInput` for what is no log.
    """
    _require_database(chosen)
    log = await (open_log if writing else look_at_log)(chosen.log_url)
    try:
        yield log
    finally:
        await log.close()


def _require_database(chosen: Settings) -> None:
    """Raises `Unreachable` for a file that is not there, or may not be read, and `BadInput` for one that holds something else."""
    if "://" in chosen.log_url:
        return
    path = file_of(chosen.log_url)
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_SQLITE))
    except FileNotFoundError as error:
        begun = f"start one with `consortium up{folder_option(chosen.folder)}`, or name another folder"
        remedy = "CONSORTIUM_LOG names it: name another; a worker makes one that is not there" if chosen.log else begun
        raise Unreachable(f"there is no log at {chosen.log_shown}", remedy) from error
    except OSError as error:
        raise of_file(error, path, "read", "name the log's file, or the folder that holds it") from error
    if beginning not in {b"", _SQLITE}:
        raise BadInput(f"{path} is no SQLite database", "name the log's file, or the folder that holds it; a damaged one is in the backup")


async def rows(log: Log, process: str | None = None) -> Sequence[dict[str, Any]]:
    """The list's row of every stream; when the lists are far behind the log, it is said how far."""
    async with Progress("reading the lists"):
        return _told(await seen(log, process)).rows


async def row_of(log: Log, stream: str) -> dict[str, Any] | None:
    """The list's row of one stream, as `rows`."""
    async with Progress("reading the lists"):
        return next(iter(_told(await seen_of(log, stream)).rows), None)


def _told(found: Seen) -> Seen:
    if found.position < found.head:
        print(
            f"(the lists are as of position {found.position:,}, the log is at {found.head:,}: a worker brings them there,"
            " or `consortium rebuild` where none runs)",
            file=sys.stderr,
        )
    return found


async def currency(log: Log) -> str:
    """The charter's currency; empty before the founding."""
    return next((str(row["values"]["currency"]) for row in await rows(log, "consortium") if "currency" in row["values"]), "")


async def now_of(log: Log, chosen: Settings) -> datetime:
    """The log's time now, never before its last entry: from here people count. A rehearsal that nobody runs stands at its last entry."""
    up, head = up_of(chosen), instant((await log.head()).at)
    if up is None and await played(log, chosen):
        return head
    return max(clock_of(up).now(head), head)


async def played(log: Log, chosen: Settings) -> bool:
    """Whether the log is a rehearsal's, as its first entry says."""
    first = await log.read(0, 1)
    events = decoded(first[0].body) if first and first[0].outcome == ACCEPTED else ()
    return chosen.demonstration or any(event["kind"] == "clock_set" and event["clock"]["kind"] != "system" for event in events)


def retries(agreed: Register | None, steps: Iterable[tuple[str, str]], where: Where) -> Sequence[str]:
    """The commands by which steps, each after its stream, are tried again, as they are typed."""
    known = Register() if agreed is None else agreed
    return [f"{retry_command(known, stream, step)}{folder_option(where.folder)}" for stream, step in steps]


async def near(log: Log) -> bool:
    """Whether lists and snapshots, which one process keeps, are so near the log's head that who looks can take in the rest in a moment."""
    shown = await log.shown(edition(), STANDINGS, key="")
    return shown.position + FOLDED >= (await log.head()).position


async def register(log: Log) -> Register:
    """The register as of the log's head."""
    recorder = Recorder(log)
    try:
        async with Progress("reading the log"):
            return (await recorder.replica()).register
    finally:
        await recorder.close()


async def tables_of(log: Log, stream: str, at: datetime) -> Sequence[Table]:
    """What the process of a stream tells of it besides its row, as of the log's head, reckoned to an instant.

    Nothing of what a newer release wrote, and nothing where no snapshot is near the head: who looks does not fold years.
    """
    process = process_for(stream)
    if process.tables is no_tables:
        return ()
    if not await near(log):
        print("(what there is besides is left out: no snapshot is near the head of the log; a worker makes one)", file=sys.stderr)
        return ()
    recorder = Recorder(log)
    try:
        async with Progress("reading the log"):
            agreed = (await recorder.replica()).register
            state = (await recorder.standing(stream)).stream.state
    except (UnreadableEntry, WrittenOn):
        return ()
    finally:
        await recorder.close()
    return process.tables(state, agreed, at)


def running(folder: Path) -> dict[str, Any] | None:
    """What the `consortium up` that runs on this folder announced; `None` when none runs. Raises `Unreachable` when that may not be read."""
    found: dict[str, Any] = {}
    try:
        found = json_value((folder / "up.json").read_bytes())
        with (folder / "up.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return found
    except PermissionError as error:
        raise of_file(error, folder / "up.json", "read") from error
    except (OSError, ValueError):
        return None
    return None


def up_of(chosen: Settings) -> dict[str, Any] | None:
    """What the `consortium up` announced that runs on this very log; `None` when none does. Raises `Unreachable` as `running` does."""
    up = running(chosen.folder)
    return up if up is None or not chosen.log or up.get("log") == chosen.log_shown else None


def clock_of(up: Mapping[str, Any] | None) -> Clock:
    """The clock of the log as the `consortium up` that runs announced it, else the system's."""
    announced = up["clock"] if up else {}
    match announced:
        case {"kind": "standing"}:
            return StandingClock()
        case {"kind": "paced"}:
            told = PacedTime.model_validate_json(json.dumps(announced))
            return PacedClock(told.real, told.log, told.pace)
        case _:
            return SystemClock()


def profile() -> Mapping[str, Any]:
    """What Temporal's configuration says of the connection; empty without one. Raises `BadInput`."""
    import worker

    try:
        return worker.profile()
    except ValueError as error:
        raise BadInput(str(error), "check TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE") from error


async def temporal(chosen: Settings) -> Client:
    """A client of the Temporal that `up` runs on the folder, else of the profile in force. Raises `Unreachable` and `BadInput`."""
    from temporalio.service import RPCError

    import worker

    told = profile()
    up, runtime = up_of(chosen), worker.telemetry("")
    where = up["address"] if up else told.get("target_host", chosen.address)
    try:
        async with asyncio.timeout(CONNECT_SECONDS), Progress(f"connecting to Temporal at {where}"):
            if up:
                return await worker.connect_here(where, runtime)
            return await worker.connect(where, runtime)
    except (RuntimeError, RPCError, OSError, ValueError) as error:
        begun = "start it there" if chosen.log else f"start everything with `consortium up{folder_option(chosen.folder)}`"
        raise Unreachable(
            f"Temporal cannot be reached at {where}", f"{begun}, or say where it is: TEMPORAL_ADDRESS or CONSORTIUM_ADDRESS",
            why=one_line(str(error) or "it did not answer in time", WHY),
        ) from error  # fmt: skip
