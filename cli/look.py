"""Looking: what is under way, what waits for whom, what was recorded, who speaks for whom."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.markdown import Markdown

from cli import services, times
from cli.failures import BadInput, Failure
from cli.fields import day, instant
from cli.links import NAMESPACE, Page, links_of, links_shown, links_told, pages_of
from cli.options import HERE, Where
from cli.output import console, plain, say, say_json, say_whole, table, unescaped
from cli.site import (
    TROUBLES,
    clock_of,
    currency,
    log_of,
    near,
    now_of,
    played,
    profile,
    register,
    retries,
    row_of,
    rows,
    settings,
    tables_of,
    up_of,
)
from cli.tabled import amount_told, tables_shown, tables_told
from domain.catalog import process_for
from domain.charter import Office
from domain.kernel import SLUG, one_line, slug_of
from domain.money import Money
from domain.process import Table
from domain.register.state import Register, Unreached
from eventstore.entries import ACCEPTED, Entry
from eventstore.entries import instant as instant_of
from eventstore.log import Log, Unfit
from eventstore.outstanding import LATE, late
from eventstore.replica import UnreadableEntry
from eventstore.wire import decoded
from settings import VARIABLES, Settings

SOON: Final = 10
"""How many deadlines `status` shows, and how many entries `show`."""
NAMED: Final = 20
"""How many of those waited for a list names."""
LINE_CHARACTERS: Final = 300
"""The most of a reason or a refusal that a line for people shows; JSON has all of it."""
BATCH: Final = 500
LAST: Final = 2**63 - 1
"""The last position that a log can have."""
FOLLOW_SECONDS: Final = 30.0
MINOR: Final = "_minor"
"""How the names of amounts in minor units end."""

Row = Mapping[str, Any]


# ---------------------------------------------------------------- everything at a glance


async def status(*, where: Where = HERE) -> None:
    """Show what is under way, what needs attention, and what is due next."""
    chosen = settings(where)
    up, works = up_of(chosen), await services.found(chosen, named=where.folder is not None)
    async with log_of(chosen) as log:
        keeps = await services.keeping(log)
        agreed = await _agreed(log)
        found, head, now = _as_agreed(await rows(log), agreed), await log.head(), await now_of(log, chosen)
        overdue, unreached = await _overdue(log, found, up, chosen), _unreached(agreed)
        attention = [row for row in found if row["attention"]]
        again = _again(agreed, where, attention)
    phases: dict[str, Counter[str]] = {}
    for row in found:
        phases.setdefault(row["process"], Counter())[row["phase"]] += 1
    due = sorted((row for row in found if row["due"]), key=lambda row: row["due"])[:SOON]
    ui = up["ui"] if up else chosen.ui
    links = links_of(ui, found, now, NAMESPACE if up else str(profile().get("namespace", NAMESPACE))) if ui else ()
    pages = await _pages(chosen, ui, attention) if ui and attention else ()
    if where.json:
        brief = ("stream", "phase", "line", "due", "deadline", "waits_for", "failed", "delayed")
        told = [[{name: row_told(row).get(name, {}) for name in brief} for row in some] for some in (attention, due)]
        say_json({
            "log": chosen.log_shown, "position": head.position, "up": up, **services.told(works, keeps),
            "processes": {name: dict(counted) for name, counted in phases.items()}, "attention": told[0], "due": told[1], "try_again": again,
            "unreached": [{"recipient": who, "reason": each.reason, "notices": each.notices, "since": each.since.isoformat()} for who, each in unreached],
            "overdue": [{name: row_told(row).get(name, {}) for name in brief} | {"overdue_seconds": int(by.total_seconds())} for row, by in overdue],
            "links": links_told(links, pages) if links else {},
        })  # fmt: skip
        return
    say(
        f"{chosen.log_shown}: {head.position:,} entries" + (f"; up with Temporal's UI at {up['ui']}" if up else ""),
        *services.lines(works, keeps, chosen),
    )
    table(
        ("process", "phase", "number"),
        [(name, phase, str(number)) for name, counted in phases.items() for phase, number in counted.most_common()],
        right=("number",),
    )
    if attention:
        table(
            ("stream", "step", "state", "reason"), _troubled(attention), title="Needs attention (`consortium retry` or `consortium waive`)"
        )
        _again_shown(again)
    else:
        say("Nothing needs attention." if not unreached else "No step needs attention.")
    if unreached:
        lacking = [(who, each.reason.replace("_", " "), str(each.notices), times.shown(each.since, now)) for who, each in unreached]
        title = "Notices do not reach these (give them an address in the address book, or correct it)"
        table(("who", "why", "notices", "since"), lacking, title=title, right=("notices",))
    if overdue:
        late_by = [(times.length(by), row["deadline"], row["stream"]) for row, by in overdue]
        table(("overdue by", "what", "stream"), late_by, title="Overdue (a worker starts them again; does one run?)", right=("overdue by",))
    if due:
        table(("due", "what", "stream"), [(times.shown(row["due"], now), row["deadline"], row["stream"]) for row in due], title="Due next")
    if links:
        links_shown(links, pages, now)


async def _pages(chosen: Settings, ui: str, attention: Sequence[Row]) -> Sequence[Page]:
    """The pages of what is stuck; none when Temporal does not answer, which is told besides."""
    try:
        return await pages_of(await services.connected(chosen), ui, attention)
    except Failure:
        return ()


def _troubled(found: Iterable[Row]) -> list[tuple[str, str, str, str]]:
    """The steps that a person should look at: those that failed, and those that are tried on; rows of former releases know none of these."""
    return [
        (row["stream"], one_line(step, 160), state, one_line(reason, LINE_CHARACTERS))
        for row in found
        for state in TROUBLES
        for step, reason in row.get(state, {}).items()
    ]


def _summed(troubled: Iterable[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The same with one row for all that have one reason: the first of them, and how many more there are."""
    alike: dict[tuple[str, str], list[tuple[str, str, str, str]]] = {}
    for each in troubled:
        alike.setdefault(each[2:], []).append(each)
    return [
        (stream, step + (f" and {len(same) - 1} more" if len(same) > 1 else ""), state, reason)
        for same in alike.values()
        for stream, step, state, reason in same[:1]
    ]


def _again(agreed: Register | None, where: Where, found: Iterable[Row]) -> Sequence[str]:
    """The commands by which the first of the steps that a person should look at are tried again, one for each."""
    first = [(row["stream"], step) for row in found for state in TROUBLES for step in row.get(state, {})]
    return retries(agreed, first[:SOON], where)


def _again_shown(commands: Sequence[str]) -> None:
    if commands:
        say_whole("Once the cause is mended:", *(f"  {command}" for command in commands))


async def _agreed(log: Log) -> Register | None:
    """The register; `None` as long as this release cannot go by the log, which `doctor` tells, or no snapshot is near its head."""
    if not await near(log):
        return None
    try:
        return await register(log)
    except (UnreadableEntry, Unfit):
        return None


def _as_agreed(found: Iterable[Row], agreed: Register | None) -> Sequence[Row]:
    """The rows with those alone who are still to act; as they are where the register is not known."""
    return [row if agreed is None else {**row, "waits_for": list(agreed.awaited(row["waits_for"]))} for row in found]


def _unreached(agreed: Register | None) -> Sequence[tuple[str, Unreached]]:
    """Whom notices do not reach, most notices first."""
    if agreed is None:
        return ()
    return sorted(agreed.unreached.items(), key=lambda item: (-item[1].notices, item[0]))


async def _overdue(log: Log, found: Iterable[Row], up: Mapping[str, Any] | None, chosen: Settings) -> Sequence[tuple[Row, timedelta]]:
    """Deadlines that have stood for a minute or more, each with for how long in real time; the longest first."""
    clock, now = clock_of(up), datetime.now(UTC)
    stood = [(row, late(datetime.fromisoformat(row["due"]), clock, now)) for row in found if row["due"]]
    overdue = sorted((each for each in stood if each[1] >= LATE), key=lambda each: each[1], reverse=True)
    if overdue and up is None and await played(log, chosen):
        return ()  # a rehearsal that nobody runs stands still
    return overdue


async def members(*, where: Where = HERE) -> None:
    """List the members and applicants."""
    await _list("member", where)


async def proposals(*, where: Where = HERE) -> None:
    """List the proposals."""
    await _list("proposal", where)


async def runs(*, where: Where = HERE) -> None:
    """List the training runs."""
    await _list("run", where)


async def releases(*, where: Where = HERE) -> None:
    """List the releases of models."""
    await _list("release", where)


async def rounds(*, where: Where = HERE) -> None:
    """List the funding rounds."""
    await _list("round", where)


async def _list(process: str, where: Where) -> None:
    chosen = settings(where)
    async with log_of(chosen) as log:
        found, money, now = await rows(log, process), await currency(log), await now_of(log, chosen)
    if where.json:
        say_json([row_told(row, money) for row in found])
    elif found:
        shown = [(row["stream"], row["phase"], unescaped(row["line"]), _awaited(row), times.shown(row["due"], now)) for row in found]
        table((process, "phase", "", "waits for", "due"), shown)
    else:
        say(f"There is no {process} yet.")


# ---------------------------------------------------------------- one stream


async def show(
    stream: Annotated[str, Parameter(help="Which, like round/atlas-1; atlas-1 is enough where it is one only.")], /, *, where: Where = HERE
) -> None:
    """Show one process: where it stands, what is owed, and its last entries."""
    chosen = settings(where)
    async with log_of(chosen) as log:
        stream = await _meant(log, stream)
        agreed, row, money, now = await _agreed(log), await row_of(log, stream), await currency(log), await now_of(log, chosen)
        found = row and _as_agreed([row], agreed)[0]
        details = await tables_of(log, stream, now)
        again = _again(agreed, where, [found] if found else [])
        last = await log.last_of(stream, SOON)
    if not last:
        raise BadInput(f"nothing is on the log about {stream}", "`consortium status` and the lists show what there is")
    if where.json:
        say_json(
            (row_told(found, money) if found else {"stream": stream})
            | tables_told(details)
            | {"try_again": again, "entries": [entry_told(entry) for entry in last]}
        )
        return
    if found:
        _standing_shown(found, now)
        _again_shown(again)
        tables_shown(details, now)
    else:
        say(f"{stream} has not begun: every command was refused")
    _entries_shown(last, now)


def _standing_shown(found: Row, now: datetime) -> None:
    say(f"{found['stream']}, {found['phase']}: {unescaped(found['line'])}")
    if found["details"]:
        console().print(Markdown(plain(found["details"], keep="\n"), hyperlinks=False))
    if found["waits_for"]:
        say(f"waits for {_awaited(found)}")
    if found["due"]:
        say(f"due {times.shown(found['due'], now)}: {found['deadline']}")
    say(*(f"{state}: {step}: {reason}" for _, step, state, reason in _troubled([found])))


async def _meant(log: Log, name: str) -> str:
    """The stream of this name, or the only one whose name ends so. Raises `BadInput` where there are several, or it can be none."""
    if "/" in name:
        process_of(name)
        return name
    if re.fullmatch(SLUG, name) is None:
        raise BadInput(f"{name[:80]!r} is no stream", "a stream is named like round/atlas-1")
    meant = [row["stream"] for row in await rows(log) if slug_of(row["stream"]) == name]
    if len(meant) > 1:
        raise BadInput(f"{name} can be {' or '.join(meant)}", "name one of them")
    if not meant:
        raise BadInput(f"nothing is on the log about {name}", "`consortium status` and the lists show what there is")
    return str(meant[0])


async def log(
    *,
    follow: Annotated[bool, Parameter(negative=(), show_default=False, help="Wait for more, until Ctrl-C.")] = False,
    stream: Annotated[str | None, Parameter(help="Only those of one stream, like round/atlas-1.")] = None,
    after: Annotated[int, Parameter(help="Only those after this position.")] = 0,
    where: Where = HERE,
) -> None:
    """Show the entries of the log in order; in JSON one a line."""
    if not 0 <= after <= LAST:
        raise BadInput("--after: positions are counted from 1, and there are fewer than 2^63", "leave it out to see everything")
    chosen = settings(where)
    async with log_of(chosen) as log:
        stream, seen = None if stream is None else await _meant(log, stream), after
        while True:
            head, now = (await log.head()).position, await now_of(log, chosen)
            async for entry in _entries(log, stream, seen):
                _entry_shown(entry, now, where)
                seen = entry.position
            if not follow:
                return
            await log.changed(max(seen, head), FOLLOW_SECONDS)


async def _entries(log: Log, stream: str | None, after: int) -> AsyncIterator[Entry]:
    while batch := await (log.read_stream(stream, after, BATCH) if stream else log.read(after, BATCH)):
        for entry in batch:
            yield entry
        after = batch[-1].position


# ---------------------------------------------------------------- people


async def inbox(
    who: Annotated[str, Parameter(help="Whose: a person's handle; by default of the key that CONSORTIUM_KEY names.")] = "", /, *, where: Where = HERE
) -> None:  # fmt: skip
    """Show what waits for a person, for their offices and for the members they speak for, and until when."""
    chosen = settings(where)
    who = who or _own_handle(chosen)
    async with log_of(chosen) as log:
        agreed, found, now = await register(log), await rows(log), await now_of(log, chosen)
        if not agreed.knows(who):
            raise BadInput(f"the log knows nobody called {who!r}", "`consortium show` of the consortium or a member names its people")
        mine = sorted(_waiting(agreed, who, found, now), key=lambda item: (item["due"] or "9999", item["stream"]))
        for item in mine:
            item["to_pay"] = _bills_of(item["as"], await tables_of(log, item["stream"], now)) if _speaks(item["as"]) else []
    if where.json:
        say_json([item | {"line": unescaped(item["line"])} for item in mine])
    elif mine:
        table(
            ("stream", "phase", "", "as", "by"),
            [(item["stream"], item["phase"], _line_of(item), ", ".join(item["as"]), times.shown(item["due"], now)) for item in mine],
        )
    else:
        say(f"Nothing waits for {who}.")


def _own_handle(chosen: Settings) -> str:
    """The person of the key that the environment names. Raises `BadInput`."""
    if not chosen.key:
        raise BadInput("nobody is named", f"name a person, like `consortium inbox ada`, or your key in {VARIABLES['key']}")
    from cli.signing import path_of, person_of  # what looks at others need not know keys

    return person_of(path_of(chosen.key, chosen), chosen)


def _speaks(roles: Sequence[str]) -> bool:
    return any(role.startswith("member:") for role in roles)


def _bills_of(roles: Sequence[str], details: Sequence[Table]) -> list[dict[str, Any]]:
    """What the members that a person speaks for are asked to pay, as the process tells it in its table `to_pay`."""
    members = {role.removeprefix("member:") for role in roles if role.startswith("member:")}
    return [row for row in tables_told(details)["tables"].get("to_pay", ()) if row["member"] in members]


def _line_of(item: Mapping[str, Any]) -> str:
    bills = (
        f"{bill['member']} pays {bill['amount']['units']} by {bill['pay_by']}, and {bill['per_further_day']['units']} for each further day, "
        f"with the reference {bill['reference']}"
        for bill in item["to_pay"]
    )
    return "; ".join((item["line"], *bills))


def _waiting(agreed: Register, who: str, found: Iterable[Row], now: datetime) -> Iterable[dict[str, Any]]:
    person = agreed.people.get(who)
    names = {who}
    if person is not None:
        names |= {f"office:{office}" for office in person.offices} | {f"member:{member}" for member in person.speaks_for}
    names |= {f"office:{office}" for office in Office if agreed.stands_in(who, office, now)}
    for row in found:
        roles = [name for name in agreed.awaited(row["waits_for"]) if name in names]
        if row["attention"] and f"office:{Office.SECRETARIAT}" in names:
            roles.append("secretariat: a step failed or is delayed")
        if roles:
            yield {
                "stream": row["stream"],
                "phase": row["phase"],
                "line": unescaped(row["line"]),
                "as": roles,
                "due": row["due"],
                "deadline": row["deadline"],
            }


async def who_represents(
    org: Annotated[str, Parameter(help="The organisation's handle.")],
    /,
    *,
    as_of: Annotated[
        str | None, Parameter(help="An instant with an offset, or a day, which means its end (24:00 UTC); now by default.")
    ] = None,
    where: Where = HERE,
) -> None:
    """Show who speaks for an organisation, or spoke for it at a time."""
    if re.fullmatch(SLUG, org) is None:
        raise BadInput(f"{org[:80]!r} is not an organisation's handle", "`consortium members` lists them")
    asked = as_of_instant(as_of)
    chosen = settings(where)
    async with log_of(chosen) as log:
        agreed, now = await register(log), await now_of(log, chosen)
        at = asked or now
    if org not in agreed.members and org not in agreed.terms:
        raise BadInput(f"the log knows no organisation {org!r}", "`consortium members` lists them")
    terms = [
        (term.person, term.capacity.value, term.since.isoformat(), term.until.isoformat() if term.until else None)
        for term in agreed.representatives(org, at)
    ]
    if where.json:
        told = [dict(zip(("person", "capacity", "since", "until"), term, strict=True)) for term in terms]
        say_json({"organisation": org, "as_of": at.isoformat(), "representatives": told})
    elif terms:
        shown = [(person, capacity, times.shown(since, now), times.shown(until, now)) for person, capacity, since, until in terms]
        table(("person", "capacity", "since", "until"), shown, title=f"{org} as of {as_of or times.minute(at)}")
    else:
        say(f"Nobody speaks for {org} as of {as_of or times.minute(at)}.")


def as_of_instant(text: str | None) -> datetime | None:
    """The instant that `--as-of` names; a day means its end. Raises `BadInput`."""
    if text is None:
        return None
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(day(text)), time.max, UTC)
        return datetime.fromisoformat(instant(text)).astimezone(UTC)
    except ValueError as error:
        raise BadInput(f"--as-of: {error}") from error


# ---------------------------------------------------------------- telling


def process_of(stream: str) -> str:
    """The name of a stream's process. Raises `BadInput` for what is no stream."""
    try:
        return process_for(stream).name
    except ValueError as error:
        raise BadInput(str(error), "a stream is named like round/atlas-1") from error


def entry_told(entry: Entry) -> dict[str, Any]:
    """An entry as JSON."""
    body = decoded(entry.body)
    return {
        "position": entry.position, "at": instant_of(entry.at).isoformat(), "stream": entry.stream, "kind": entry.kind, "actor": entry.actor,
        "command_id": entry.command_id, "command": decoded(entry.command), "outcome": entry.outcome,
        ("events" if entry.outcome == ACCEPTED else "refusal"): body, "rules": entry.rules,
        "signed": base64.b64encode(entry.signed).decode(), "signature": base64.b64encode(entry.signature).decode(),
        "salts": base64.b64encode(entry.salts).decode(),
        "previous": entry.previous.hex(), "hash": entry.hash.hex(),
    }  # fmt: skip


def row_told(row: Row, money: str = "") -> dict[str, Any]:
    """A row as JSON: numbers and codes, and no Markdown. Amounts are in minor units and, where the currency is known, in words for people."""
    told = {name: value for name, value in row.items() if name != "details"} | {"line": unescaped(row["line"])}
    own = str(row["values"].get("currency", money))
    if own:
        minor = {name.removesuffix(MINOR): int(value) for name, value in row["values"].items() if name.endswith(MINOR)}
        told["amounts"] = {name: amount_told(Money(value, own)) for name, value in minor.items()}
    return told


def _awaited(row: Row) -> str:
    """Who is waited for, in a few words however many they are."""
    more = len(row["waits_for"]) - NAMED
    return ", ".join(row["waits_for"][:NAMED]) + (f" and {more} more" if more > 0 else "")


def _entry_shown(entry: Entry, now: datetime, where: Where) -> None:
    if where.json:
        say_json(entry_told(entry))
    else:
        at = times.shown(instant_of(entry.at), now)
        say(f"{entry.position:>7}  {at}  {entry.stream}  {entry.kind} by {entry.actor}: {_followed(entry)}")


def _entries_shown(entries: Iterable[Entry], now: datetime) -> None:
    shown = [(str(entry.position), times.shown(instant_of(entry.at), now), entry.kind, entry.actor, _followed(entry)) for entry in entries]
    table(("position", "at", "command", "by", "what followed"), shown, title="Last entries", right=("position",))


def _followed(entry: Entry) -> str:
    body = decoded(entry.body)
    if entry.outcome == ACCEPTED:
        return ", ".join(event["kind"] for event in body) or "nothing changed"
    return one_line(f"refused: {body['rule']}: {body['message']}", LINE_CHARACTERS)
