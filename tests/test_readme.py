"""The README's own words: what "Your own" tells a newcomer to type is typed here, as it stands there, into a shell.

Where the text says that something happens by itself (a screening, a vote's end), it is waited for before the next block.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.preloaded import consortium_in
from tests.test_cli import Terminal, bare
from tests.waiting import until

__all__ = ["bare"]

ROOT: Final = Path(__file__).parent.parent
DONE: Final = "::done::"


def blocks(section: str) -> Sequence[str]:
    """The fenced blocks of a section of the README, in its order."""
    text = ROOT.joinpath("README.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {section}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)


def bash(*words: str, programs: Path = Path(sys.executable).parent) -> subprocess.Popen[str]:
    """A shell in the present folder that finds `consortium` in the folder of programs: by default the installed one."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
    )  # fmt: skip


@contextmanager
def left_running(block: str) -> Iterator[None]:
    """A terminal of its own in which a command runs until Ctrl-C; it is begun once it says so."""
    terminal = bash("-c", f"exec {block}")
    assert terminal.stdout is not None
    shown: list[str] = []
    for line in terminal.stdout:
        shown.append(line)
        if "Ctrl-C stops everything" in line:
            break
    else:
        pytest.fail("".join(shown))
    yield
    terminal.send_signal(signal.SIGINT)
    assert terminal.wait(30) == 0


class Shell:
    """One shell for all blocks, as somebody has it open: what is exported in one of them holds in the next."""

    def __init__(self, programs: Path) -> None:
        self._shell = bash(programs=programs)

    def type_in(self, block: str) -> str:
        """What is shown while the block is carried out; the first command that fails fails the test."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{block}\necho {DONE}\n")
        self._shell.stdin.flush()
        shown: list[str] = []
        for line in self._shell.stdout:
            if line == f"{DONE}\n":
                return "".join(shown)
            shown.append(line)
        pytest.fail(f"a command failed:\n{block}\n{''.join(shown)}")

    def close(self) -> None:
        """Leaves it."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(20)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with consortium_in(tmp_path / "bin") as programs:
        opened = Shell(programs)
        yield opened
        opened.close()


@pytest.mark.timeout(180)
def test_a_newcomer_comes_to_a_funded_round_by_the_readme_alone(bare: Terminal, shell: Shell) -> None:
    first, found, apply, vote, join, pledge, call, look, propose = blocks("Your own")
    bare.folder = "own"

    def row(stream: str) -> Mapping[str, Any]:
        shown: Mapping[str, Any] = bare("show", stream, "--json").json
        return shown

    def reaches(phase: str, *streams: str) -> Callable[[], bool]:
        return lambda: all(row(stream)["phase"] == phase for stream in streams)

    with left_running(first):
        shell.type_in(found)
        shell.type_in(apply)
        until(lambda: len(bare("inbox", "bea", "--json").json) == 2)
        shell.type_in(vote)
        until(reaches("signing", "member/helio", "member/nova"))
        joined = shell.type_in(join)
        until(reaches("active", "member/helio", "member/nova"))
        shell.type_in(pledge)
        until(reaches("committed", "round/atlas-1"))
        called = shell.type_in(call)
        until(lambda: all(member["cleared"]["units"] == "USD 150,000.00" for member in row("round/atlas-1")["tables"]["members"]))
        shown = shell.type_in(look)
        proposed = shell.type_in(propose)
    assert "dues.xml is read: 2 movements on this account\ntreasury/main, open: USD 400,000.00 on" in joined
    assert "call.xml is read: 2 movements on this account\ntreasury/main, open: USD 700,000.00 on" in called
    assert "USD 300,000.00 of USD 1,000,000.00 cleared" in shown
    assert "decided as the rules demand" in shown
    assert "proposal/smaller, open: A smaller run" in proposed
