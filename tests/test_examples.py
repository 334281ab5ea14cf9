"""Everything that people write has an example, which is taken as it is: by the reader of the file, or by the command that it is for."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from activities.bank.statements import Statements
from activities.notices.addresses import TomlBook
from activities.release.publishing import Accounts
from cli.amounts import in_minor_units
from cli.example import FILES, VALUES, of_command
from cli.fields import inside_of
from cli.files import example, problems_of, read_charter, read_table
from cli.give import checked
from cli.processes import commands_of
from domain.catalog import CATALOG
from domain.charter import Charter
from domain.kernel import Command
from domain.reference import creditor_reference
from tests.test_cli import Terminal, bare

__all__ = ["bare"]

ROOT: Final = Path(__file__).parent.parent
COMMANDS: Final = [(name, command) for name, process in CATALOG.items() for command in commands_of(process)]
IBAN: Final = "CH9300762011623852957"


def as_command(process: str, kind: str) -> Callable[[Path], object]:
    """A reader for files that are a command's fields."""
    command = next(each for name, each in COMMANDS if (name, each.model_fields["kind"].default) == (process, kind))
    return lambda path: well_formed(process, command, read_table(path))


def well_formed(process: str, command: type[Command], fields: dict[str, Any]) -> bytes:
    """The command that these fields make, as the command line checks it; a charter is a file of its own."""
    charter = {"charter": read_charter(example("charter.toml"))} if "charter" in command.model_fields else {}
    read = in_minor_units(command, {"kind": command.model_fields["kind"].default, **fields, **charter}, "USD")
    return checked(f"{process}/atlas-1", read)


async def addresses(path: Path) -> object:
    book = TomlBook(path)
    found = [await book.find(name) for name in ("ada", "member:helio", "office:treasurer")]
    assert all(found)
    return found


def rate_card(path: Path) -> object:
    charter = read_charter(example("charter.toml")) | in_minor_units(Charter, read_table(path), "USD")
    assert problems_of(charter) == []
    return charter["rate_card"]["rates"]


def statement(path: Path, folder: Path) -> object:
    content = path.read_bytes()
    kept = Statements(folder)
    assert kept.keep(iter([content]), path.name) == hashlib.sha256(content).hexdigest()
    return kept.piece(hashlib.sha256(content).hexdigest(), IBAN, "USD", "").lines


READERS: Final[Mapping[str, Callable[[Path], object]]] = {
    "charter.toml": read_charter,
    "rate-card.toml": rate_card,
    "officers.toml": as_command("consortium", "found"),
    "application.toml": as_command("member", "apply"),
    "round.toml": as_command("round", "open_round"),
    "proposal-order.toml": as_command("proposal", "propose"),
    "proposal-ranked.toml": as_command("proposal", "propose"),
    "proposal-budget.toml": as_command("proposal", "propose"),
    "proposal-lazy.toml": as_command("proposal", "propose"),
    "contract.toml": as_command("run", "plan_run"),
    "release.toml": as_command("release", "propose_release"),
    "accounts.toml": lambda path: [Accounts(path, publisher).of(("ada",)) for publisher in ("hub", "s3")],
}


@pytest.mark.parametrize("name", READERS)
def test_each_file_is_read_as_it_is(name: str) -> None:
    assert READERS[name](example(name))


async def test_the_address_book_is_read_as_it_is() -> None:
    await addresses(example("addresses.toml"))


def test_the_statement_pays_what_its_references_say(tmp_path: Path) -> None:
    lines: Any = statement(example("statement.xml"), tmp_path)
    assert [line.reference for line in lines] == [creditor_reference("member/helio", "helio"), creditor_reference("round/atlas-1", "helio")]


def test_no_file_is_without_a_reader_and_all_are_listed() -> None:
    files = {path.name for path in (ROOT / "examples").iterdir()}
    assert files == set(FILES) == READERS.keys() | {"addresses.toml", "statement.xml"}


@pytest.mark.parametrize(("process", "command"), COMMANDS, ids=lambda value: getattr(value, "__name__", value))
def test_the_example_of_every_command_is_well_formed_and_explains_every_field(
    bare: Terminal, tmp_path: Path, process: str, command: type[Command]
) -> None:
    told = bare("example", process, command.model_fields["kind"].default.replace("_", "-"))
    assert told.code == 0, told.err
    path = tmp_path / "example.toml"
    path.write_text(told.out, encoding="utf-8")
    assert well_formed(process, command, read_table(path))
    for name in command.model_fields:
        assert name == "kind" or re.search(rf"^(#?{name} = |#?\[\[?{name}\]|# {name}: )", told.out, re.MULTILINE), (name, told.out)
    for place, _ in inside_of(command):
        last = place.replace("[]", "").rpartition(".")[2]
        assert place.endswith(">") or re.search(rf"^(#?{last} = |#?\[\[?[a-z_.]*{last}\]|\S.*\b{last} = )", told.out, re.MULTILINE), (
            place,
            told.out,
        )
    filled = tomllib.loads(re.sub(r"^#(?! |$)", "", told.out, flags=re.MULTILINE))
    assert filled.keys() == command.model_fields.keys() - {"kind", "charter"}


@pytest.mark.parametrize(
    "key", [key for key, file in VALUES.items() if key[1] not in {"amend_proposal", "amend_round", "change_contract", "amend_release"}]
)
def test_a_file_that_is_a_command_s_is_what_its_example_prints(key: tuple[str, str]) -> None:
    command = next(each for name, each in COMMANDS if (name, each.model_fields["kind"].default) == key)
    assert example(VALUES[key]).read_text(encoding="utf-8") == of_command(key[0], command)


def test_examples_are_listed_and_printed_by_name(bare: Terminal) -> None:
    listed = bare("example")
    assert listed.code == 0
    for file in FILES:
        name = Path(file).stem
        assert name in listed.out
        assert bare("example", name).out == example(file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("example", "rond"), "no example 'rond'"),
        (("example", "round", "open"), "no command 'open' of round"),
        (("example", "member"), "member has many commands"),
        (("example", "bank", "rob"), "no process 'bank'"),
        (("example", "charter", "--owed"), "has no payers"),
    ],
)
def test_an_example_that_there_is_not_is_told_with_what_there_is(bare: Terminal, words: tuple[str, ...], said: str) -> None:
    told = bare(*words)
    assert (told.code, told.out) == (4, "")
    assert said in told.err


@pytest.mark.parametrize(("process", "command"), COMMANDS, ids=lambda value: getattr(value, "__name__", value))
def test_help_names_every_field_inside_of_a_field_with_its_form(bare: Terminal, process: str, command: type[Command]) -> None:
    told = " ".join(bare(process, command.model_fields["kind"].default.replace("_", "-"), "--help").out.split())
    for place, meaning in inside_of(command):
        assert f"{place}: {' '.join(meaning.split())}" in told


def test_the_date_of_an_example_is_written_as_people_write_it() -> None:
    assert tomllib.loads(example("round.toml").read_text(encoding="utf-8"))["opens_at"] == datetime(2027, 1, 11, 9, tzinfo=UTC)
