"""Links to the lists of Temporal's UI that answer what is asked first: what is stuck, who is waited for, what comes due.

Each is a list filtered by the search attributes that workflows set. What it counts and names is read from the lists of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cli import times
from cli.output import say, say_whole

if TYPE_CHECKING:
    from temporalio.client import Client

WEEK: Final = timedelta(days=7)
NAMED: Final = 8
"""How many of those waited for have a link in what people read; JSON has all."""
ASKED: Final = timedelta(seconds=2)
"""How long Temporal is asked for the present run of a stream."""
NAMESPACE: Final = "default"
"""Where nothing else is said."""
_RUNNING: Final = "ExecutionStatus = 'Running'"


@dataclass(frozen=True, slots=True)
class Page:
    """What is stuck: on whom, until when, and the page of Temporal's UI that says why."""

    stream: str
    waits_for: Sequence[str]
    due: datetime | None
    url: str


@dataclass(frozen=True, slots=True)
class Link:
    """A list of Temporal's UI: what it lists, how many there are, when the first of them comes due, and where it is found."""

    what: str
    waits_for: str
    """Who is waited for there; empty for a list of others."""
    streams: int
    due: datetime | None
    url: str


def links_of(ui: str, rows: Iterable[Mapping[str, Any]], now: datetime, namespace: str = NAMESPACE) -> Sequence[Link]:
    """The links for what is on the lists: what is stuck, what is due within a week of the log's time, and one for each who is waited for.

    Who is waited for in most streams comes first.
    """
    found = list(rows)
    week = now.astimezone(UTC) + WEEK
    waiting: dict[str, list[Mapping[str, Any]]] = {}
    for row in found:
        for name in row["waits_for"]:
            waiting.setdefault(name, []).append(row)
    lists = [
        ("stuck: a step failed or is delayed", "", [row for row in found if row["attention"]], "Attention = true"),
        (
            "due this week", "", [row for row in found if row["due"] and datetime.fromisoformat(row["due"]) <= week],
            f"Due <= '{week:%Y-%m-%dT%H:%M:%SZ}'",
        ),
        *(
            (f"waits for {name}", name, rows_of, f"WaitsFor = '{name}'")
            for name, rows_of in sorted(waiting.items(), key=lambda item: (-len(item[1]), item[0]))
        ),
    ]  # fmt: skip
    return [Link(what, name, len(some), _first_due(some), address(ui, query, namespace)) for what, name, some, query in lists]


def address(ui: str, query: str, namespace: str = NAMESPACE) -> str:
    """Where Temporal's UI shows the workflows that run and match a query."""
    return f"{_workflows(ui, namespace)}?query={quote(f'{query} AND {_RUNNING}')}"


async def pages_of(client: Client, ui: str, rows: Iterable[Mapping[str, Any]]) -> Sequence[Page]:
    """A page for each of the first streams that are stuck: the details of its present run, or its timeline where Temporal does not name that."""
    stuck = [row for row in rows if row["attention"]][:NAMED]
    return [
        Page(
            row["stream"], row["waits_for"], row["due"] and datetime.fromisoformat(row["due"]),
            f"{_workflows(ui, client.namespace)}/{quote(row['stream'], safe='')}{await _details(client, row['stream'])}",
        )
        for row in stuck
    ]  # fmt: skip


async def _details(client: Client, stream: str) -> str:
    from temporalio.service import RPCError

    try:
        return f"/{(await client.get_workflow_handle(stream).describe(rpc_timeout=ASKED)).run_id}/user-metadata"
    except RPCError:
        return ""


def _workflows(ui: str, namespace: str) -> str:
    return f"{ui.rstrip('/')}/namespaces/{quote(namespace, safe='')}/workflows"


def _first_due(rows: Iterable[Mapping[str, Any]]) -> datetime | None:
    return min((datetime.fromisoformat(row["due"]) for row in rows if row["due"]), default=None)


def links_shown(links: Sequence[Link], pages: Sequence[Page], now: datetime) -> None:
    """The links for people: what each leads to, and under it the address by itself, whole."""
    waiting = [link for link in links if link.waits_for]
    shown = [link for link in links if not link.waits_for] + waiting[:NAMED]
    say("In Temporal's UI:")
    for link in shown:
        number = f"{link.streams:,} stream{'' if link.streams == 1 else 's'}"
        due = f", the next due {times.shown(link.due, now)}" if link.due is not None and link.streams else ""
        say(f"  {link.what} ({number}{due})")
        say_whole(f"    {link.url}")
        for page in pages if link is links[0] else ():
            until = f", until {times.shown(page.due, now)}" if page.due is not None else ", without a deadline"
            say(f"    {page.stream} waits for {_named(page.waits_for)}{until}")
            say_whole(f"      {page.url}")
    if len(waiting) > NAMED:
        say(f"  and {len(waiting) - NAMED} more who are waited for; --json has a link for each")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def links_told(links: Sequence[Link], pages: Sequence[Page]) -> dict[str, Any]:
    """The links for programs: by what they list, and those of who is waited for by name."""
    stuck, due, *waiting = links

    def told(link: Link) -> dict[str, Any]:
        return {"streams": link.streams, "due": link.due and link.due.isoformat(), "url": link.url}

    of_pages = {page.stream: {"waits_for": page.waits_for, "due": page.due and page.due.isoformat(), "url": page.url} for page in pages}
    return {
        "stuck": told(stuck) | {"pages": of_pages},
        "due_this_week": told(due),
        "waits_for": {link.waits_for: told(link) for link in waiting},
    }
