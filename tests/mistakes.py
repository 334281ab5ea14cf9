"""`python -m tests.mistakes`: makes mistakes that whoever changes a process may make, one at a time, and tells what notices each.

Each is made in a copy of this folder. A mistake of the list must be noticed by the tool that it names: a letter renamed on one side by
the type checker, a renamed kind by the golden files, a process without its place in the ledger and a command of the system that
anybody can give by a test. `--further` leaves out, one at a time, the lines that a further process needs in other files (tests/further.py):
each must be noticed as it says. `--arms 30` leaves out arms of `match` statements in the processes' packages, drawn at random: the type
checker must name each, or a test of its process. It ends with 1 when something is not noticed, and with 2 when a tool finds fault with the
copy as it is: then what it says tells nothing.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.copied import ROOT, Copy, failed
from tests.further import LINES, PLACES, Line, grown, write_golden_files, written
from tests.mutants import tests_of

MYPY: Final = "mypy"
CHECKED: Final = ("domain", "audit")
"""What the type checker looks at: where the processes are, and the one table of another package that names their messages."""
GOLDEN: Final = "tests/test_golden_log.py::test_the_rules_in_force_decide_their_golden_logs_again_byte_for_byte"
WITH_FURTHER: Final = (
    "workflows", "cli/main.py", "tests/test_grant.py", "tests/test_ledger.py", "tests/test_treasury_payers.py",
)  # fmt: skip
"""What names the messages of a further process besides."""


@dataclass(frozen=True, slots=True)
class Change:
    """Text that is replaced wherever it stands in some files."""

    files: str
    """A pattern, from the root."""
    before: str
    """A regular expression."""
    after: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """A change that must be noticed."""

    title: str
    changes: Sequence[Change]
    tool: str
    """What must notice it: `mypy`, or a test as pytest names it."""
    says: str
    """What must be among its words: a regular expression."""


def _renamed(where: str, before: str, after: str) -> Change:
    return Change(where, rf"\b{before}\b", after)


def _letter(name: str, receiver: str, kind: str) -> Iterator[Mistake]:
    """A letter of which only one side learns the new name."""
    yield Mistake(
        f"{name} has another name for who gets it",
        (_renamed(f"domain/{receiver}/*.py", rf"letters\.{name}", f"letters.Other{name}"),),
        MYPY,
        rf'domain/{receiver}/.*has no attribute "Other{name}"',
    )
    yield Mistake(
        f"{name} has another name among the letters",
        (_renamed("domain/letters.py", name, f"Other{name}"),),
        MYPY,
        rf'domain/.*has no attribute "{name}"',
    )
    yield Mistake(
        f"who gets {name} takes a class of its own in its place",
        (
            Change(
                f"domain/{receiver}/commands.py",
                rf"(\w+(?:Command|Request) = \()([^)]*?)letters\.{name}\b",
                rf'class Other{name}(letters.{name}):\n    """Its own."""\n\n\n\1\2Other{name}',
            ),
        ),
        "tests/test_letters.py",
        rf"test_a_letter_is_a_command_of_the_process_that_it_names\[{name}\]",
    )
    yield Mistake(
        f"{name} has another kind",
        (Change("domain/letters.py", f'"{kind}"', f'"other_{kind}"'),),
        "tests/test_golden.py",
        rf"test_every_shape_of_a_command_is_still_taken\[{receiver}/{kind}\.",
    )


_SUSPENSION_RENAMED: Final = (
    _renamed("domain/**/*.py", "suspend_for_default", "suspend_by_default"),
    _renamed("tests/*.py", "suspend_for_default", "suspend_by_default"),
)

MISTAKES: Final[Sequence[Mistake]] = (
    *_letter("SupersedeRelease", "release", "supersede_release"),
    *_letter("ReturnSpending", "round", "return_spending"),
    Mistake(
        "the kind suspend_for_default has another name everywhere: what is stored under the old one is not taken any more",
        _SUSPENSION_RENAMED,
        "tests/test_golden.py",
        r"test_every_shape_of_a_command_is_still_taken\[member/suspend_for_default\.",
    ),
    Mistake(
        "the kind suspend_for_default has another name everywhere: an old log is not decided again as it was",
        _SUSPENSION_RENAMED,
        GOLDEN,
        "FAILED.*test_the_rules_in_force_decide_their_golden_logs_again_byte_for_byte",
    ),
    Mistake(
        "a process that owns money has no place in the ledger",
        (Change("audit/ledger/fold.py", r'"member": Members, ', ""),),
        PLACES,
        "'member': 'has a bookkeeper, or a reason to have none'",
    ),
    Mistake(
        "somebody says of a process that owns money that it owns none",
        (
            Change("audit/ledger/fold.py", r'"member": Members, ', ""),
            Change("audit/ledger/fold.py", r'    "proposal": ', '    "member": "somebody says so",\n    "proposal": '),
        ),
        PLACES,
        "'member': 'owns money by its messages, and has no bookkeeper'",
    ),
    Mistake(
        "anybody can say what the clock says",
        (Change("domain/process.py", r"(case Speaker\.CLOCK:\n\s+)context\.require_service\(\)", r"\1pass"),),
        "tests/test_letters.py",
        "test_what_the_system_says_is_refused_of_a_person_before_its_process_is_asked.*CloseVote",
    ),
    Mistake(
        "anybody can say what another process, or a step, says",
        (Change("domain/process.py", r"(case Speaker\.SYSTEM:\n\s+)context\.require_service\(\)", r"\1pass"),),
        "tests/test_letters.py",
        "test_what_the_system_says_is_refused_of_a_person_before_its_process_is_asked.*RecordPayment",
    ),
    Mistake(
        "a deadline's command is a person's by its type",
        (Change("domain/proposal/commands.py", r"class CloseVote\(Due\)", "class CloseVote(Command)"),),
        "tests/test_letters.py",
        "test_the_clock_gives_what_agendas_name_and_nothing_else",
    ),
    Mistake(
        "one more command takes two kinds of speakers",
        (Change("domain/process.py", r'    "cancel_round": ', '    "close_vote": "the clock, or whoever",\n    "cancel_round": '),),
        "tests/test_letters.py",
        "test_two_kinds_of_speakers_give_these_commands_and_no_others",
    ),
)  # fmt: skip

# ---------------------------------------------------------------- arms


@dataclass(frozen=True, slots=True)
class Arm:
    """A case of a `match` statement."""

    path: Path
    """From the root."""
    first: int
    last: int
    """Its lines."""
    pattern: str

    def __str__(self) -> str:
        return f"{self.path}:{self.first}  case {self.pattern}"


def arms(path: Path) -> Iterator[Arm]:
    """The cases of a module that can be left out: those that are not alone."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Match) and len(node.cases) > 1:
            for case in node.cases:
                pattern = " ".join(ast.unparse(case.pattern).split())
                guard = f" if {ast.unparse(case.guard)}" if case.guard else ""
                first, last = case.pattern.lineno, case.body[-1].end_lineno
                assert last is not None
                while not lines[first - 1].lstrip().startswith("case "):
                    first -= 1  # a long pattern stands in parentheses, below its `case`
                yield Arm(path, first, last, f"{pattern}{guard}"[:110])


def without(text: str, arm: Arm) -> str:
    """A module without one of its cases."""
    lines = text.splitlines(keepends=True)
    return "".join(lines[: arm.first - 1] + lines[arm.last :])


def every_arm() -> Sequence[Arm]:
    """The cases of the processes' packages."""
    return [arm for path in sorted(ROOT.glob("domain/*/*.py")) for arm in arms(path.relative_to(ROOT))]


def drawn(number: int, seed: int) -> Sequence[Arm]:
    """So many cases, drawn at random, in the order of their places."""
    every = every_arm()
    return sorted(Random(seed).sample(every, min(number, len(every))), key=lambda arm: (str(arm.path), arm.first))


# ---------------------------------------------------------------- trying


def checkable(folder: Path) -> Copy:
    """A fresh copy, with what the type checker knows of this tree already."""
    copy = Copy.into(folder)
    if (known := ROOT / ".mypy_cache").exists():
        shutil.copytree(known, folder / ".mypy_cache")
    return copy


def make(copy: Copy, mistake: Mistake) -> Mapping[Path, str]:
    """Makes a mistake; what stood in the files before. Each of its changes must find what it changes."""
    before: dict[Path, str] = {}
    for change in mistake.changes:
        made = 0
        for path in sorted(copy.folder.glob(change.files)):
            text = path.read_text(encoding="utf-8")
            changed, times = re.subn(change.before, change.after, text)
            if times and path != copy.folder / "tests/mistakes.py":
                before.setdefault(path, text)
                copy.write(path, changed)
                made += times
        assert made, f"{mistake.title}: {change.before!r} stands nowhere in {change.files}: bring it up to date"
    return before


def leave_out(copy: Copy, arm: Arm) -> Mapping[Path, str]:
    """Leaves a case out; what stood in the file before."""
    path = copy.folder / arm.path
    text = path.read_text(encoding="utf-8")
    copy.write(path, without(text, arm))
    return {path: text}


def checked(copy: Copy, *also: str) -> str:
    """What the type checker has to say of the domain and the ledger, and of these files; empty when nothing."""
    words = (sys.executable, "-m", "mypy", "--no-error-summary", "--no-color-output", *CHECKED, *also)
    done = subprocess.run(words, cwd=copy.folder, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout


def tried(copy: Copy, *tests: str) -> str:
    """What these tests have to say when one fails; empty when all pass."""
    done = copy.pytest(*tests)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def noticed(copy: Copy, mistake: Mistake) -> bool:
    """Whether the tool that a mistake names says what it should."""
    before = make(copy, mistake)
    try:
        said = checked(copy) if mistake.tool == MYPY else tried(copy, mistake.tool)
    finally:
        copy.put_back(before)
    return re.search(mistake.says, said) is not None


def tests_that_name(arm: Arm) -> Sequence[Sequence[str]]:
    """The tests that may name a case that was left out, the quickest first."""
    return (tests_of(arm.path, laws=False), tests_of(arm.path, laws=True), (GOLDEN,))


def named_by(copy: Copy, arm: Arm) -> str:
    """What names a case that was left out, in a line; empty when nothing does."""
    before = leave_out(copy, arm)
    try:
        if said := checked(copy):
            return f"mypy: {said.splitlines()[0]}"
        return next((lines[0] for tests in tests_that_name(arm) if (lines := failed(tried(copy, "-x", *tests)))), "")
    finally:
        copy.put_back(before)


def _further(folder: Path) -> int:
    """Leaves out each line of a further process."""
    copy = grown(folder)
    write_golden_files(copy)
    for tool in dict.fromkeys(line.noticed for line in LINES):
        if said := _said(copy, tool):
            print(f"with every line {tool} says:\n{said}")
            return 2
    missed = 0
    for line in LINES:
        start = time.monotonic()
        found = _noticed(copy, line)
        missed += not found
        words = line.text.strip().splitlines()[0][:70]
        print(
            f"{'noticed by' if found else 'MISSED BY '} {line.noticed:32} {time.monotonic() - start:4.0f} s  {line.file}: {words}",
            flush=True,
        )
    return bool(missed)


def _noticed(copy: Copy, line: Line) -> bool:
    """Whether a line that is left out is noticed as it says."""
    copy.write(Path(line.file), written(line.file, without=line))
    try:
        said = _said(copy, line.noticed)
    finally:
        copy.write(Path(line.file), written(line.file))
    return bool(said if line.noticed == MYPY else failed(said))


def _said(copy: Copy, tool: str) -> str:
    """What the type checker, or tests, have to say."""
    return checked(copy, *WITH_FURTHER) if tool == MYPY else tried(copy, "-x", tool)


def main() -> int:
    """What the command line says; 1 if something is not noticed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mistakes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="mistakes of the list with these words in their title only")
    parser.add_argument("--further", action="store_true", help="leave out lines of a further process, in place of the list")
    parser.add_argument("--arms", type=int, default=0, help="leave out so many cases, drawn at random, in place of the list")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="say what would be tried, and end")
    chosen = parser.parse_args()
    if chosen.list:
        print(*(drawn(chosen.arms, chosen.seed) if chosen.arms else (each.title for each in MISTAKES)), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if chosen.further:
            return _further(Path(folder) / "further")
        copy = checkable(Path(folder) / "copy")
        if said := checked(copy):
            print(f"without any mistake the type checker says:\n{said}")
            return 2
        return _arms(copy, drawn(chosen.arms, chosen.seed)) if chosen.arms else _mistakes(copy, chosen.only)


def _mistakes(copy: Copy, words: str) -> int:
    chosen = [mistake for mistake in MISTAKES if words in mistake.title]
    if not _sound(copy, *dict.fromkeys(mistake.tool for mistake in chosen if mistake.tool != MYPY)):
        return 2
    missed = 0
    for mistake in chosen:
        start = time.monotonic()
        found = noticed(copy, mistake)
        missed += not found
        print(
            f"{'noticed by' if found else 'MISSED BY '} {mistake.tool:24} {time.monotonic() - start:4.0f} s  {mistake.title}",
            flush=True,
        )
    return bool(missed)


def _sound(copy: Copy, *tests: str) -> bool:
    """Whether these tests pass in the copy as it is: else what they say of a mistake tells nothing."""
    said = tried(copy, "-x", *tests) if tests else ""
    if said:
        print(f"without any mistake tests say:\n{said}")
    return not said


def _arms(copy: Copy, chosen: Sequence[Arm]) -> int:
    missed, suspected = 0, dict[str, None]()
    for number, arm in enumerate(chosen, 1):
        start = time.monotonic()
        by = named_by(copy, arm)
        missed += not by
        if by and not by.startswith(MYPY):
            suspected |= dict.fromkeys(test for tests in tests_that_name(arm) for test in tests)
        print(f"{number}/{len(chosen)} {time.monotonic() - start:4.0f} s  {arm}\n      {by[:200] or 'NOTHING NAMES IT'}", flush=True)
    if not _sound(copy, *suspected):
        return 2
    print(f"{missed} of {len(chosen)} cases can be left out, and nothing says so")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
