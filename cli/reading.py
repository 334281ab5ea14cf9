"""Commands that look: at the processes, the log, the register, and whether all of it holds."""

from __future__ import annotations

import asyncio
import json as jsonlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli import output, places
from cli.places import Folder, Json
from domain.kernel import process_of
from domain.register import Register
from eventstore.entries import EMPTY, Broken, Entry, Head, instant
from eventstore.entries import verify as chained
from eventstore.readmodels import Projector, standings
from eventstore.recorder import Recorder

SHOWN: Final = 20
BATCH: Final = 5_000

# ---------------------------------------------------------------- processes


def status(*, folder: Folder = None, json: Json = False) -> None:
    """What runs, what needs attention, and what is due next."""
    rows, _ = asyncio.run(_standings(folder))
    counts = Counter((row["process"], row["phase"]) for row in rows)
    attention = [row for row in rows if row["attention"]]
    due = sorted((row for row in rows if row["due"]), key=lambda row: row["due"])
    if json:
        phases = [{"process": process, "phase": phase, "count": count} for (process, phase), count in sorted(counts.items())]
        output.as_json({"phases": phases, "attention": attention, "due": due[:SHOWN]})
        return
    output.table("processes", [{"process": process, "phase": phase, "count": count} for (process, phase), count in sorted(counts.items())],
                 ("process", "phase", "count"))  # fmt: skip
    output.table("due next", due[:SHOWN], ("due", "deadline", "stream", "line"))
    failed = [{"stream": row["stream"], "step": step, "reason": reason} for row in attention for step, reason in row["failed"].items()]
    output.table("needs attention (consortium retry | waive STREAM STEP)", failed, ("stream", "step", "reason"))


def members(*, folder: Folder = None, json: Json = False) -> None:
    """All members and applicants."""
    _list("member", ("member", "phase", "name", "tier", "country", "dues_owed_minor"), folder, json)


def proposals(*, folder: Folder = None, json: Json = False) -> None:
    """All proposals."""
    _list("proposal", ("proposal", "phase", "title", "class", "result", "due"), folder, json)


def rounds(*, folder: Folder = None, json: Json = False) -> None:
    """All funding rounds, with their money by state."""
    _list("round", ("round", "phase", "committed_minor", "called_minor", "cleared_minor", "overdue_minor", "held_minor"), folder, json)


def show(stream: str, *, folder: Folder = None, json: Json = False) -> None:
    """One process: where it stands, what it owes, who is waited for, and by when."""
    process_of(stream)
    rows, currency = asyncio.run(_standings(folder))
    row = next((row for row in rows if row["stream"] == stream), None)
    if row is None:
        raise ValueError(f"nothing happened on {stream}; `consortium status` shows what there is")
    if json:
        output.as_json(row)
        return
    facts = {
        "phase": row["phase"], "waits for": ", ".join(row["waits_for"]) or "nobody", "due": row["due"] or "nothing",
        "deadline": row["deadline"] or "", **{f"failed: {step}": reason for step, reason in row["failed"].items()},
        **{name: output.value(name, content, currency) for name, content in row["values"].items()},
    }  # fmt: skip
    shown = [{"": name.removesuffix("_minor").replace("_", " "), " ": content} for name, content in facts.items() if content != ""]
    output.table(output.unescaped(row["line"]), shown, ("", " "))


def inbox(*, as_: Annotated[str, Parameter(name="--as", help="Whose inbox.")], folder: Folder = None, json: Json = False) -> None:
    """What waits for a person, for the members he speaks for and the offices he holds; by when."""
    rows, names = asyncio.run(_inbox(as_, folder))
    if json:
        output.as_json(rows)
    else:
        output.table(f"waiting for {', '.join(names)}", rows, ("due", "deadline", "stream", "line"))


def _list(process: str, columns: Sequence[str], folder: Path | None, json: bool) -> None:  # noqa: FBT001  the flag is the command's
    rows, currency = asyncio.run(_standings(folder))
    mine = [{process: row["stream"].partition("/")[2], **row, **row["values"]} for row in rows if row["process"] == process]
    if json:
        output.as_json([row for row in rows if row["process"] == process])
    else:
        output.table(f"{process}s", mine, columns, currency)


async def _current(recorder: Recorder) -> Sequence[dict[str, Any]]:
    await Projector(recorder.log).catch_up()
    return [{**row, "line": output.unescaped(row["line"])} for row in await standings(recorder.log)]


async def _standings(folder: Path | None) -> tuple[Sequence[dict[str, Any]], str]:
    async with places.recorder(folder) as recorder:
        register = (await recorder.replica()).register
        return await _current(recorder), register.charter.currency if register.version else "USD"


async def _inbox(person: str, folder: Path | None) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
    async with places.recorder(folder) as recorder:
        names = _names(person, (await recorder.replica()).register)
        waiting = [row for row in await _current(recorder) if not set(names).isdisjoint(row["waits_for"])]
        return sorted(waiting, key=lambda row: row["due"] or "9999"), names


def _names(person: str, register: Register) -> Sequence[str]:
    known = register.people.get(person)
    if known is None:
        raise ValueError(f"the log knows nobody called {person}")
    return [person, *(f"office:{office}" for office in sorted(known.offices)), *(f"member:{member}" for member in sorted(known.speaks_for))]


# ---------------------------------------------------------------- the register


def who_represents(
    organisation: str,
    *,
    as_of: Annotated[str, Parameter(help="A date, or an instant with its offset; now when left out.")] = "",
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Who speaks for an organisation, as of any date."""
    at = _instant(as_of)
    terms = asyncio.run(_terms(organisation, at, folder))
    if json:
        output.as_json(terms)
    else:
        output.table(f"who speaks for {organisation} as of {at.isoformat()}", terms, ("person", "capacity", "since", "until"))


def _instant(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    if len(text) == len("2026-01-01"):
        return datetime.fromisoformat(f"{text}T23:59:59+00:00")
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} says no offset from UTC: write {text}Z or {text}+01:00")
    return at


async def _terms(organisation: str, at: datetime, folder: Path | None) -> Sequence[Mapping[str, Any]]:
    async with places.recorder(folder) as recorder:
        register = (await recorder.replica()).register
        if organisation not in register.terms:
            raise ValueError(f"nobody ever spoke for {output.plain(organisation)}; `consortium members` shows who there is")
        return [
            {
                "person": term.person,
                "capacity": term.capacity.value,
                "since": term.since.isoformat(),
                "until": term.until and term.until.isoformat(),
            }
            for term in register.representatives(organisation, at)
        ]


# ---------------------------------------------------------------- the log


def log(
    *,
    stream: Annotated[str, Parameter(help="Of one stream only.")] = "",
    after: Annotated[int, Parameter(help="After this position.")] = 0,
    limit: Annotated[int, Parameter(help="At most so many entries.")] = 1_000,
    follow: Annotated[bool, Parameter(negative=(), help="Wait for more, until Ctrl-C.")] = False,
    folder: Folder = None,
    json: Json = False,
) -> None:
    """The log, entry by entry."""
    asyncio.run(_log(stream, after, limit, follow, folder, json))


async def _log(stream: str, after: int, limit: int, follow: bool, folder: Path | None, json: bool) -> None:  # noqa: FBT001
    console = Console(highlight=False, markup=False, soft_wrap=True)
    async with places.recorder(folder) as recorder:
        while True:
            entries = await (recorder.log.read_stream(stream, after, limit) if stream else recorder.log.read(after, limit))
            for entry in entries:
                console.print(jsonlib.dumps(_entry(entry), ensure_ascii=False) if json else _line(entry))
                after = entry.position
            if not follow:
                return
            await recorder.log.changed(max(after, (await recorder.log.head()).position), 5.0)


def _entry(entry: Entry) -> Mapping[str, Any]:
    bodies = {"command": jsonlib.loads(entry.command), "body": jsonlib.loads(entry.body)}
    hashes = {"signed": entry.signed.hex(), "signature": entry.signature.hex(), "previous": entry.previous.hex(), "hash": entry.hash.hex()}
    return {**entry._asdict(), "at": instant(entry.at).isoformat(), **bodies, **hashes}


def _line(entry: Entry) -> str:
    body = jsonlib.loads(entry.body)
    what = body["rule"] if entry.outcome == "refused" else ", ".join(event["kind"] for event in body) or "nothing new"
    at = instant(entry.at).isoformat(timespec="seconds")
    return output.plain(f"{entry.position:>6}  {at}  {entry.stream}  {entry.actor}: {entry.kind} -> {entry.outcome}: {what}")


def verify(*, folder: Folder = None, json: Json = False) -> int:
    """Check the hash chain from the first entry to the last; a changed byte is named by its position."""
    start = time.perf_counter()
    end = asyncio.run(_verify(folder))
    if isinstance(end, Broken):
        if json:
            output.as_json({"holds": False, "position": end.position, "reason": end.reason})
        else:
            print(f"broken at position {end.position}: {end.reason}")
        return 1
    if json:
        output.as_json({"holds": True, "position": end.position, "hash": end.hash.hex()})
    else:
        print(f"{end.position} entries hold, checked in {time.perf_counter() - start:.1f} s; the head is {end.hash.hex()}")
    return 0


async def _verify(folder: Path | None) -> Head | Broken:
    async with places.recorder(folder) as recorder:
        size = (await recorder.log.head()).position
        columns = (TextColumn("verifying"), BarColumn(), TextColumn("{task.completed:,} of {task.total:,}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task, head = progress.add_task("entries", total=size), EMPTY
            while entries := await recorder.log.read(head.position, BATCH):
                end = chained(entries, head)
                if isinstance(end, Broken):
                    return end
                head = end
                progress.update(task, completed=head.position)
        return head
