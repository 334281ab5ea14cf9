"""A copy of this tree with one process more: `grant/<id>`, which a member asks for, the board approves and the treasury pays.

Its files lie in tests/grant/, each where it belongs from the root. The lines that other files need are listed here, in the order of
docs/add-a-process.md, and are all: a test holds the two lists to each other.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.copied import ROOT, Copy

SOURCES: Final = Path(__file__).parent / "grant"
GOLDEN: Final = ("tests/test_grant.py", "tests/test_treasury.py")
"""The stories that the golden files of the copy are written from."""


@dataclass(frozen=True, slots=True)
class Line:
    """Text for a file that there is already."""

    file: str
    place: str
    """What stands before it, or is replaced by it: a regular expression, found once."""
    text: str
    """What stands there then; `\\g<0>` is what was found."""
    noticed: str
    """What says so when it is left out: `mypy`, or tests as pytest names them."""


LETTERS: Final = '''class RecordGrant(Letter):
    """The approved amount left the account. By the treasury process."""

    to: ClassVar[str] = "grant"
    kind: Literal["record_grant"] = "record_grant"
    reference: BankReference


class ReturnGrant(Letter):
    """What was paid came back to the account: it is paid anew, or given up. By the treasury process."""

    to: ClassVar[str] = "grant"
    kind: Literal["return_grant"] = "return_grant"
    reference: BankReference


class ReleaseGrant(Letter):
    """The payment is given up. By the treasury process."""

    to: ClassVar[str] = "grant"
    kind: Literal["release_grant"] = "release_grant"
    reason: Prose = ""


'''
RAISED: Final = "raised"
"""The text of a line that is a number, raised by one."""
PAYERS: Final = "domain/treasury/payers.py"
COMMANDS: Final = "tests/test_cli.py::test_every_process_is_a_command_and_every_command_can_be_asked_for"
HISTORIES: Final = "tests/test_replay.py::test_every_process_has_a_history_unless_none_was_recorded_of_it_yet"
NOTICES: Final = "tests/test_notices.py::test_every_notice_of_every_process_has_a_text_and_no_text_is_for_nothing"
PLACES: Final = "tests/test_ledger.py::test_every_process_keeps_books_or_has_a_reason_to_keep_none"
TABLES: Final = "tests/test_ledger.py::test_the_tables_of_the_ledger_name_every_fact_that_moves_money_and_no_other"


def _letter(one: str, letter: str) -> Sequence[Line]:
    """A letter from the treasury to a grant, in one of its three tables, whose letter for a spending is `one`."""
    return (
        Line(PAYERS, rf"    letter: letters\.{one}\b", rf"\g<0> | letters.{letter.partition('(')[0]}", "mypy"),
        Line(
            PAYERS,
            rf"            letter = letters\.{one}\(.*\n",
            rf"\g<0>        case Purpose.GRANT:\n            letter = letters.{letter}\n",
            "mypy",
        ),
    )


LINES: Final[Sequence[Line]] = (
    Line("domain/catalog.py", r"from domain\.kernel import", r"from domain.grant.process import GRANT\n\g<0>", "mypy"),
    Line("domain/catalog.py", r"TREASURY\)", "TREASURY, GRANT)", "tests/test_letters.py"),
    Line("domain/letters.py", r"# -+ to the treasury\n", "# " + "-" * 64 + r" to a grant\n\n\n" + LETTERS + r"\g<0>", "mypy"),
    Line("domain/letters.py", r'    REFUND = "refund"\n', r'\g<0>    GRANT = "grant"\n', "mypy"),
    *_letter("RecordSpending", "RecordGrant(reference=line)"),
    *_letter("ReturnSpending", "ReturnGrant(reference=line)"),
    *_letter("ReleaseSpending", "ReleaseGrant(reason=why)"),
    Line("domain/treasury/process.py", r"state_version=(\d+)", RAISED, "tests/test_shapes.py"),
    Line(
        "tests/test_treasury_payers.py",
        r"SOURCES: Final\[Mapping\[Purpose, str\]\] = \{",
        r'\g<0>Purpose.GRANT: "grant/g", ',
        "tests/test_treasury_payers.py",
    ),
    Line("workflows/catalog.py", r"from workflows\.log import Log\n", r"from workflows.grant import Grant\n\g<0>", "mypy"),
    Line("workflows/catalog.py", r"Treasury\)", "Treasury, Grant)", "tests/test_catalog.py"),
    Line("cli/main.py", r'    "import-statement": ', r'    "grant": ("cli.processes:grant", ACT, "Ask for a grant, approve it."),\n\g<0>', COMMANDS),
    Line("audit/ledger/fold.py", r"from audit\.ledger\.member import", r"from audit.ledger.grant import Grants\n\g<0>", "mypy"),
    Line("audit/ledger/fold.py", r'"round": Rounds, ', r'\g<0>"grant": Grants, ', PLACES),
    Line(
        "activities/notices/templates.py",
        r'    "delivery_rejected": ',
        r'    "grant_paid": Letter("The grant {grant} is paid", "{amount} left the account for {grant}."),\n'
        r'    "grant_to_decide": Letter("The grant {grant} waits for the board", "A member asks for {amount}. Approve it, or let it lapse."),\n'
        r"\g<0>",
        NOTICES,
    ),
    Line(
        "tests/test_ledger.py",
        r'STORIES: Final = \{"treasury": TREASURY, ',
        'GRANT_PAID = grant_events.GrantPaid(amount=70, reference=A)\n'
        'SPENT: Final = "Expenses:Grants:G"\n'
        "GRANTS: Final[Sequence[tuple[str, Sequence[Event], Mapping[str, int]]]] = (\n"
        '    ("a grant", (GRANT_PAID,), {in_transit("grant/g"): -70, SPENT: 70}),\n'
        '    ("that came back", (GRANT_PAID, grant_events.GrantReturned(amount=70, reference=B)), {}),\n'
        r')\n\n\g<0>"grant": GRANTS, ',
        TABLES,
    ),
    Line("tests/test_ledger.py", r'STREAMS: Final = \{"treasury": "treasury/main", ', r'\g<0>"grant": "grant/g", ', TABLES),
    Line("tests/test_ledger.py", r"from domain\.kernel import", r"from domain.grant import events as grant_events\n\g<0>", "mypy"),
    Line("pyproject.toml", r'"domain\.member", ', r'"domain.grant", \g<0>', "tests/test_catalog.py"),
    Line("tests/test_letters.py", r'by_the_clock == \{\n        ', r'\g<0>"grant lapse_grant", ', "tests/test_letters.py"),
    Line("tests/golden_log.py", r'STORIES: Final = \(\n    ', '\\g<0>"grant",\n    ', "tests/test_catalog.py"),
    Line("tests/test_replay.py", r"UNRECORDED: Final\[Sequence\[str\]\] = \(", r'\g<0>"grant",', HISTORIES),
)  # fmt: skip


def grown(folder: Path) -> Copy:
    """Makes the copy."""
    copy = Copy.into(folder)
    for source in SOURCES.rglob("*.py"):
        target = folder / source.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for file in dict.fromkeys(line.file for line in LINES):
        (folder / file).write_text(written(file), encoding="utf-8")
    return copy


def write_golden_files(copy: Copy) -> None:
    """Writes an example of each of its messages, and what its states are made of, as the guide says at its end."""
    stories = copy.pytest("--golden", *GOLDEN)
    assert stories.returncode == 0, stories.stdout[-3_000:]


def written(file: str, without: Line | None = None) -> str:
    """A file of this tree with its lines, or without one of them."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for line in LINES:
        if line.file == file and line is not without:
            found = re.findall(line.place, text)
            assert len(found) == 1, f"{line.place!r} stands {len(found)} times in {file}: bring it up to date"
            text = re.sub(line.place, f"state_version={int(found[0]) + 1}" if line.text == RAISED else line.text, text)
    return text
