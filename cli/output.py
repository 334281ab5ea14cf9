"""What people see: text without markup or control characters, tables, JSON, and progress from two seconds on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from domain import kernel

SLOW_SECONDS: Final = 2.0
"""From when on a command shows that it is working; also how often it says so where there is no terminal."""
_PIPED_WIDTH: Final = 200
_LONGEST_CELL: Final = 500
_BETWEEN: Final = 3
"""Columns of a terminal between those of a table."""
_MARKED: Final = re.compile(r"(?<!\\)(?:\*\*|`)")
"""What makes Markdown bold, or code."""


def console(*, stderr: bool = False) -> Console:
    """A console that takes text as it is: no markup, no emoji codes."""
    piped = not _measured(sys.stderr if stderr else sys.stdout)
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=_PIPED_WIDTH if piped else None)


def _measured(stream: TextIO) -> bool:
    """Whether there is a width to keep to: a terminal's, or the one that the environment names."""
    return stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()


def plain(text: str, keep: str = "") -> str:
    """Text of anybody made safe for a terminal: control, format and unassigned characters become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if character not in keep and unicodedata.category(character) in kernel.STEERING else character for character in text)


def brief(text: str) -> str:
    """`plain` text, and no more of it than a cell of a table holds."""
    return plain(text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…")


def unescaped(line: str) -> str:
    """A headline, which is in Markdown and escaped, as a terminal and a program read it."""
    return plain(kernel.unescaped(_MARKED.sub("", line)))


def say(*lines: str) -> None:
    """Lines for people, on stdout. Where there is a width to keep to, they break between words, and never inside of one."""
    for line in lines:
        console().print(plain(line), soft_wrap=not _measured(sys.stdout) or _breaks(line, console().width))


def say_whole(*lines: str) -> None:
    """Lines that are copied as they are, like commands: nothing in them is broken."""
    for line in lines:
        console().print(plain(line), soft_wrap=True)


def _breaks(text: str, width: int) -> bool:
    """Whether a word is wider than a line."""
    return _widest(text) > width


def _widest(text: str) -> int:
    return max((cell_len(word) for word in plain(text).split()), default=0)


def say_json(value: Any) -> None:
    """One JSON value on one line of stdout, its strings free of characters that steer a terminal."""
    print(as_json(value), flush=True)


def as_json(value: Any) -> str:
    """JSON in which characters that steer a terminal are escaped and every script is kept as it is."""
    return kernel.steerless(json.dumps(value, ensure_ascii=False, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", right: Iterable[str] = ()) -> None:
    """A table on stdout. Every cell is made plain. No word is broken, so that ids stay whole: where the columns
    are too narrow for that, each row is a paragraph with a line for every cell.
    """
    cells = [[brief(cell) for cell in row] for row in rows]
    out = console()
    widths = _widths(list(zip(columns, *cells, strict=True)), out.width - _BETWEEN * (len(columns) - 1))
    if not widths:
        _paragraphs(columns, cells, title)
        return
    shown = Table(
        *columns, title=plain(title) or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False, show_edge=False
    )
    for column, width in zip(shown.columns, widths, strict=True):
        column.width = width
        if column.header in set(right):
            column.justify = "right"
    for row in cells:
        shown.add_row(*row)
    out.print(shown)


def _widths(columns: Sequence[Sequence[str]], room: int) -> Sequence[int]:
    """How wide each column is in so much room, none narrower than its widest word; nothing where there is not enough room for these."""
    least = [max(map(_widest, column)) for column in columns]
    wanted = [max(map(cell_len, column)) - word for column, word in zip(columns, least, strict=True)]
    left, short = room - sum(least), sum(wanted)
    if left < 0:
        return ()
    return [word + (more if short <= left else more * left // short) for word, more in zip(least, wanted, strict=True)]


def _paragraphs(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        say(title)
    for number, row in enumerate(rows):
        filled = [(name, cell) for name, cell in zip(columns, row, strict=True) if cell]
        say(*([""] if number else []), *(f"{name}: {cell}" if name else cell for name, cell in filled))


class Progress:
    """Tells on stderr that something takes its time, and how far it is: nothing within the first two seconds."""

    def __init__(self, what: str, total: int = 0) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._task: asyncio.Task[None] | None = None
        self._shown: Status | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._show())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._shown is not None:
            self._shown.stop()

    def at(self, done: int, what: str = "") -> None:
        """How far it is."""
        self._done, self._what = done, what or self._what

    async def _show(self) -> None:
        out = console(stderr=True)
        await asyncio.sleep(SLOW_SECONDS)
        if out.is_terminal:
            self._shown = out.status(Text(self._line()))
            self._shown.start()
        while True:
            if self._shown is None:
                out.print(self._line())
            else:
                self._shown.update(Text(self._line()))
            await asyncio.sleep(SLOW_SECONDS if self._shown is None else 0.2)

    def _line(self) -> str:
        of = f" of {self._total:,}" if self._total else ""
        return plain(f"{self._what}: {self._done:,}{of}" if self._done else f"{self._what} …")
