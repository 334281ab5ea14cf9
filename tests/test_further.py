"""A further process, `grant/<id>`, added to a copy of this tree by docs/add-a-process.md: what it needs, and that it runs to its end.

Money is asked for by a member, approved by the board, paid by the real treasury through the demonstration's bank, all of it by the
command line; worker and bank are killed once on the way, and the Temporal that they leave behind is ended by whoever goes on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from domain.treasury.terms import payment_digest
from simulation.model import SUPPLIER, SUPPLIER_IBAN, SUPPLIER_NAME
from simulation.scenario import FOURTEEN
from tests.copied import ROOT, Copy
from tests.further import LINES, SOURCES, grown, write_golden_files
from tests.further_stage import READY
from tests.preloaded import consortium_in
from tests.waiting import until

pytestmark = pytest.mark.heavy

GUIDE: Final = ROOT / "docs" / "add-a-process.md"
PATIENCE_SECONDS: Final = 240
"""A bound that shows what never comes, for nothing here is expected at a time."""
AMOUNT: Final = 70_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy."""
    return grown(tmp_path_factory.mktemp("further") / "tree")


@pytest.fixture
def programs(tree: Copy, tmp_path: Path) -> Iterator[Path]:
    """Where the command line of the copy is a program."""
    with consortium_in(tmp_path / "bin", tree.folder) as folder:
        yield folder


def rows(text: str) -> set[str]:
    """The files that the tables of a text name."""
    firsts = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    return {file for first in firsts for file in re.findall(r"`([^`]+)`", first)}


def test_the_guide_names_every_file_that_the_process_needed_and_no_other() -> None:
    package, _, others = GUIDE.read_text(encoding="utf-8").partition("## The other files")
    added = {str(path.relative_to(SOURCES)).replace("grant", "x") for path in SOURCES.rglob("*.py")}
    inside = {path.removeprefix("domain/x/") for path in added if path.startswith("domain/x/")}
    assert rows(others) == {path for path in added if not path.startswith("domain/x/")} | {line.file for line in LINES}
    assert inside - {"__init__.py"} - rows(package) == {"asking.py", "paying.py"}, "a file per topic"


@pytest.mark.timeout(600)
def test_the_copy_passes_the_tests_of_its_process_and_each_that_would_notice_a_line_left_out(tree: Copy) -> None:
    write_golden_files(tree)
    tests = [f"tests/test_{name}.py" for name in ("grant", "golden", "notices", "purity", "commands_named", "replay")]
    tried = tree.pytest(*tests, *sorted({line.noticed for line in LINES} - {"mypy"}))
    assert tried.returncode == 0, tried.stdout[-3_000:]


class Typed:
    """The command line of the copy, on a folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._program = programs / "consortium"
        self._folder = folder

    def __call__(self, *words: str) -> Any:
        """What a command answers as JSON."""
        typed = (str(self._program), *words, "--folder", str(self._folder), "--json")
        done = subprocess.run(typed, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()] if words[0] == "log" else json.loads(done.stdout or "null")


def recorded(folder: Path, kind: str) -> bool:
    """Whether an event of this kind is on the log; looked at cheaply, for others wait for the processor."""
    with closing(sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro", uri=True)) as log:
        return log.execute("SELECT 1 FROM entries WHERE CAST(body AS TEXT) LIKE ?", (f'%"kind":"{kind}"%',)).fetchone() is not None


@contextmanager
def stage(tree: Copy, folder: Path) -> Iterator[Callable[[], None]]:
    """Everything at work on the folder; what is given kills it, but for Temporal, which nobody ends then."""
    environment = os.environ | {"PYTHONPATH": str(tree.folder)}
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.further_stage", str(folder)], cwd=tree.folder, env=environment, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip

    def kill() -> None:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()

    try:
        assert running.stdout is not None
        assert running.stdout.readline() == f"{READY}\n"
        yield kill
    finally:
        if running.poll() is None:
            running.terminate()
            try:
                running.wait(60)
            finally:
                if running.poll() is None:
                    kill()


@pytest.mark.timeout(900)
def test_a_grant_is_asked_for_approved_and_paid_though_it_is_killed_on_the_way(tree: Copy, programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    typed, asking = Typed(programs, folder), FOURTEEN[0]
    with stage(tree, folder) as kill:
        typed("treasury", "name-payee", "main", "--payee", SUPPLIER, "--name", SUPPLIER_NAME, "--iban", SUPPLIER_IBAN, "--key", "tess")
        typed(
            "grant", "request-grant", "g1", "--member", asking.member, "--title", "A data set", "--payee", SUPPLIER,
            "--amount", str(AMOUNT), "--decide-by", "+900d", "--key", asking.representative,
        )  # fmt: skip
        typed("grant", "approve-grant", "g1", "--key", "bea")
        kill()
    with stage(tree, folder):
        events = [event for entry in typed("log") for event in entry.get("events", ())]
        (details,) = (event["details"] for event in events if event["kind"] == "payee_named")
        typed("treasury", "approve-payee", "main", "--payee", SUPPLIER, "--details", details, "--key", "theo")
        until(lambda: recorded(folder, "payment_ordered"), PATIENCE_SECONDS)
        digest = payment_digest("grant-g1", 1, AMOUNT * 100, "USD", SUPPLIER, details)
        for person in ("theo", "ben"):
            typed("treasury", "approve-payment", "main", "--payment", "grant-g1", "--digest", digest, "--key", person)
        until(lambda: recorded(folder, "grant_paid"), PATIENCE_SECONDS)
        assert typed("show", "grant/g1")["phase"] == "paid"
    assert typed("verify", "--decide")
    balances = {each["account"]: each["minor"] for each in typed("ledger")["balances"]}
    assert balances["Expenses:Grants:G1"] == AMOUNT * 100
    assert not [account for account in balances if "In-transit" in account]
    assert sum(balances.values()) == 0
