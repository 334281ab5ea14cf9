"""What others wrote steers nothing: no link, table, picture or heading in Temporal's UI, no escape code in a terminal, no formula in the books.

A story from the founding to a published model is told with one text in every place that takes anybody's (names, titles, reasons, what a
bank or a server said): one that tries it all. Then its log is looked at in every way.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import pytest
import pytest_asyncio
import structlog
from markdown_it import MarkdownIt
from pydantic import TypeAdapter, ValidationError
from temporalio.exceptions import ApplicationError

from activities import logs as our_logs
from activities.log.record import Recording
from activities.messages import StepRef
from audit.ledger.export import beancount, hledger
from audit.ledger.fold import ledger
from cli import main
from domain.catalog import CATALOG
from domain.charter import Office
from domain.kernel import Event, Message, Refused, Step, escaped, notify, one_line, steerless, unescaped
from domain.process import Process, agenda, describe, evolve
from domain.stream import StepDelayed, StepFailed, Stream, owe
from eventstore.entries import ACCEPTED, EMPTY, REFUSED, Entry, Head, Refusal, encode_events, encode_json
from eventstore.log import Appended, Log
from eventstore.readmodels import Projector, seen
from eventstore.recorder import Recorder
from eventstore.replica import Replica
from eventstore.sqlite import SqliteLog
from tests.environment import of_workflow
from tests.sealing import resealed
from tests.test_scenario import played_to_the_end

MARKUP: Final = "[EVIL](https://evil.example) ![x](//evil.example/y) <b>EVIL</b> | EVIL | `c` **b** www.evil.example"
STEERING: Final = "\x1b[31mEVIL\x9b2J\u202eEVIL\u2028EVIL\u200b\n# EVIL\r\n| a | b |\n| - | - |\n"
LONG: Final = "EVIL " * 100
TEXTS: Final = (LONG + STEERING + MARKUP, STEERING + MARKUP, MARKUP)
"""The first of these that a place takes stands there."""
RAW: Final = ("[EVIL](", "![x](", "<b>", "| EVIL |", "://evil", "www.evil", "`c`", "**b", "//evil")
IDS: Final = frozenset(("kind", "key", "step", "stream", "template", "currency", "command", "otherwise", "facts", "to", "each"))
"""Fields by which something is found, and what a step carries."""
STEERS: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


# ---------------------------------------------------------------- a log of which every text is hostile


M = TypeVar("M", bound=Message)


@cache
def taker(kind: type[Message], field: str) -> TypeAdapter[Any]:
    info = kind.model_fields[field]
    annotation: Any = info.annotation
    return TypeAdapter(Annotated[annotation, *info.metadata] if info.metadata else annotation)


def hostile(message: M) -> M:
    """The message with a hostile text in every place that takes one."""
    changed: dict[str, Any] = {}
    for name, value in message.__dict__.items():
        if name in IDS:
            continue
        for text in TEXTS:
            put = replaced(value, text)
            try:
                taker(type(message), name).validate_python(put, strict=True)
            except (ValidationError, Refused, ValueError):
                continue
            changed[name] = put
            break
    return message.model_copy(update=changed)


def replaced(value: Any, text: str) -> Any:
    match value:
        case Message():
            return hostile(value)
        case str():
            return f"{text}{value}"
        case tuple():
            return tuple(replaced(item, text) for item in value)
        case dict():
            return {key: replaced(item, text) for key, item in value.items()}
        case _:
            return value


def steers(text: str, keep: str = "") -> list[str]:
    """The characters by which a text steers a display."""
    return [character for character in text if unicodedata.category(character) in STEERS and character not in keep]


def assert_inert(markdown: str) -> None:
    """Nothing of anybody's acts in a Markdown text."""
    assert not steers(markdown, keep="\n"), markdown
    for raw in RAW:
        assert raw not in markdown, (raw, markdown)
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        assert token.type not in {"heading_open", "html_block", "fence", "code_block", "hr"}, markdown
        for inner in token.children or ():
            assert inner.type not in {"link_open", "image", "html_inline"}, markdown


# ---------------------------------------------------------------- headlines


async def hostile_log(folder: Path) -> Log:
    """A log of the story from the founding to a published model; every text that is anybody's is hostile, where the history is the same
    with it. In the end a step of each process failed, another is delayed, and something is refused.
    """
    _, told = await played_to_the_end(folder)
    replica, streams, head, changed = Replica(), dict[str, Stream[Any]](), EMPTY, list[Entry]()
    for entry in await told.read(0, 100_000):
        process = replica.process_of(entry.stream)
        stream = streams.get(entry.stream, Stream(process.initial))
        events = list[Event]()
        for was in replica.events_of(process, entry):
            stream, event = followed(process, stream, was)
            events.append(event)
        streams[entry.stream] = stream
        body = encode_events(events) if entry.outcome == ACCEPTED else entry.body
        changed.append(linked(entry, head, body))
        head = Head.of(changed[-1])
    failed = [notify("x", ("office:secretariat",), key=f"notice:{number}") for number in (1, 2)]
    troubles = encode_events([
        *map(owe, failed), StepFailed(step=failed[0].key, reason=TEXTS[0]), StepDelayed(step=failed[1].key, reason=TEXTS[0]),
    ])  # fmt: skip
    refused = encode_json(Refusal.of(Refused("no_such_thing", f"there is no {TEXTS[0]}", remedy=TEXTS[0])))
    for stream_name in (next((name for name in streams if name.startswith(f"{process}/")), f"{process}/new") for process in CATALOG):
        for outcome, body in ((ACCEPTED, troubles), (REFUSED, refused)):
            entry = changed[0]._replace(position=head.position + 1, stream=stream_name, command_id=f"{outcome} {stream_name}", at=head.at)
            changed.append(linked(entry._replace(outcome=outcome), head, body))
            head = Head.of(changed[-1])
    log = await SqliteLog.open(folder / "log.db")
    for first in range(0, len(changed), 500):
        assert await log.append(changed[first : first + 500]) is Appended.DONE
    return log


def followed(process: Process[Any, Any, Any], stream: Stream[Any], event: Event) -> tuple[Stream[Any], Event]:
    """The stream after the event with hostile texts, or after the event as it was where the process finds nothing again with them."""
    changed = hostile(event)
    try:
        after = evolve(process, stream, changed)
        describe(process, after)
        agenda(process, after)
    except (KeyError, ValueError, AssertionError, IndexError, AttributeError, TypeError, StopIteration):
        return evolve(process, stream, event), event
    return after, changed


def linked(entry: Entry, head: Head, body: bytes) -> Entry:
    """The entry with this body, as the one after this head."""
    return resealed(entry, previous=head.hash, body=body)


@pytest_asyncio.fixture(scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    log = await hostile_log(folder)
    await Projector(log).catch_up()
    await log.close()
    yield folder


async def test_no_text_of_anybody_acts_in_what_temporal_shows_of_any_process(folder: Path) -> None:
    log = await SqliteLog.look(folder / "log.db")
    recorder = Recorder(log)
    recording, hit = Recording(recorder), set[str]()
    for row in (await seen(log)).rows:
        standing = await recording.standing(row["stream"])
        assert "\n" not in standing.line
        assert len(standing.line) + len(standing.details) < 8_000
        assert_inert(f"**{standing.line}**\n\n{standing.details}")
        assert [noted.position for noted in standing.noted]
        assert_inert("\n".join(f"- {noted.line}" for noted in standing.noted))
        assert not steers(" ".join((standing.phase, *standing.waits_for, *(step.key for step in standing.steps))))
        if "EVIL" in standing.line + standing.details:
            hit.add(row["process"])
    assert hit >= {"member", "proposal", "round", "run", "release", "treasury"}
    await recorder.close()
    await log.close()


LOOKS: Final = (
    ("status",), ("members",), ("proposals",), ("rounds",), ("runs",), ("releases",), ("log",), ("registry",),
    ("ledger",), ("ledger", "--format", "beancount"), ("ledger", "--format", "hledger"), ("plot", "atlas-1"), ("doctor",),
    ("who-represents", "helio"), ("charter", "show"),
)  # fmt: skip


async def test_no_text_of_anybody_steers_a_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = await SqliteLog.look(folder / "log.db")
    streams, recorder = [row["stream"] for row in (await seen(log)).rows], Recorder(log)
    secretary = min((await recorder.replica()).register.holders(Office.SECRETARIAT))
    await recorder.close()
    await log.close()
    shown = [("show", next(stream for stream in streams if stream.startswith(f"{name}/"))) for name in CATALOG]
    troubled = 0
    for words in (*LOOKS, *shown, ("inbox", secretary)):
        for how in ((), ("--json",)):
            code = await asyncio.to_thread(main.run, [*words, *how, "--folder", str(folder)])
            out, err = capsys.readouterr()
            assert not steers(out + err, keep="\n"), words
            assert "\n# EVIL" not in out + err, words
            assert code == 0 or words[0] in {"doctor", "who-represents"}, (words, out, err)
            if how and code == 0:
                json.loads(out.splitlines()[0] if words[0] == "log" else out)
            troubled += "EVIL" in out
    assert troubled > len(LOOKS)


async def test_no_text_of_anybody_is_a_formula_or_a_directive_in_the_books(folder: Path) -> None:
    log = await SqliteLog.look(folder / "log.db")
    books = await ledger(log)
    await log.close()
    formulas = [replace(booking, text=f"{sign}cmd|' /C calc'!A0") for booking in books.bookings[:1] for sign in "=+-@"]
    for export in (beancount(formulas), hledger(formulas)):
        assert "cmd" in export
        assert re.search(r"[=+@|-]\s*cmd", export) is None
    for export in (beancount(books.bookings), hledger(books.bookings)):
        assert not steers(export, keep="\n")
        assert "EVIL" in export


# ---------------------------------------------------------------- the parts


@pytest.mark.parametrize(
    "text", [MARKUP, STEERING, "- a", "--- ", "1. a", "=== a", "# a", "www.evil.example", "https://evil.example", "a@evil.example"]
)
def test_what_is_escaped_is_one_line_of_plain_text_and_comes_back(text: str) -> None:
    made = escaped(text, 200)
    assert_inert(made)
    tokens = MarkdownIt("commonmark").enable("table").parse(made)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert unescaped(made) == one_line(text, 200)
    assert len(one_line(text * 100, 200)) == 200


def test_what_a_rule_quotes_of_a_command_is_bounded_on_the_log() -> None:
    refusal = Refusal.of(Refused("unknown", TEXTS[0] * 100, remedy=STEERING))
    assert len(refusal.message) == 1_000
    assert not steers(refusal.message + refusal.remedy)
    assert Refusal.of(Refused("r", "as  ité was", remedy="do")).message == "as  ité was"


async def test_what_a_server_said_is_one_short_line_in_temporals_history(folder: Path) -> None:
    log = await SqliteLog.look(folder / "log.db")
    recorder = Recorder(log)
    streams = [(row["stream"], (await recorder.standing(row["stream"])).stream) for row in (await seen(log)).rows]
    owed = [(name, step) for name, stream in streams for key, step in stream.owed.items() if key not in stream.failed]
    assert owed

    async def fails(_: Step) -> dict[str, Any]:
        raise OSError(TEXTS[0] * 100)

    stream, step = owed[0]
    carried_out = Recording(recorder).carrying_out(step.kind, fails)
    with pytest.raises(ApplicationError) as raised:
        await of_workflow(stream).run(carried_out, StepRef(stream=stream, key=step.key))
    assert raised.value.type == "OSError"
    assert raised.value.__cause__ is None
    assert len(raised.value.message) <= 500
    assert not steers(raised.value.message)
    await recorder.close()
    await log.close()


def test_no_text_of_anybody_steers_who_reads_the_logs() -> None:
    out = io.StringIO()
    our_logs.configure(out)
    structlog.get_logger("x").warning("statement.refused", reason=STEERING, more="x" * 1_000_000)
    assert not steers(out.getvalue(), keep="\n")
    assert out.getvalue().count("\n") == 1
    assert len(out.getvalue()) < 30_000
    assert json.loads(out.getvalue())["reason"] == STEERING
    assert steerless("Zoë 中文") == "Zoë 中文"
