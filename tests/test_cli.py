"""The command line on the real parts: one `consortium up` in a folder, and everything that can be said to it.

| exit code | when |
| --- | --- |
| 0 | done: the entry was seen on the log |
| 1 | the log does not hold what it must: its position is named; or something has to be done (`doctor`) |
| 2 | a rule said no: its id, the clause, the remedy |
| 3 | Temporal, a worker or the log does not answer: what to start |
| 4 | bad input: what to change |
| 70 | our own mistake |
| 130 | Ctrl-C |
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities import logs
from activities.log.sending import Mistaken, TurnedDown
from activities.missing import ExtraMissing
from cli import demo, keep, main, processes
from cli.embedded import LOCK, PORTS, _free_port, _ports, _remember
from cli.failures import translated
from cli.files import read_charter
from cli.output import Progress
from cli.processes import commands_of
from domain.catalog import CATALOG
from domain.kernel import Due, Letter, Outcome
from eventstore.entries import Entry, Head
from eventstore.log import LogUnavailable, NotWritable
from eventstore.memory import MemoryLog
from settings import MARKER, Settings, rehearsed
from simulation.live import Late
from tests.keyrings import keys_in
from tests.waiting import until

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parent.parent
CHARTER = ROOT / "examples/charter.toml"
OFFICERS = """
[[officers]]
person = "sam"
offices = ["secretariat"]
[[officers]]
person = "tess"
offices = ["treasurer", "board"]
"""
ID = "018f0000-0000-7000-8000-000000000001"
LEI = "52990000000000000778"


@dataclass
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.err)
        return told


def consortium(*words: str) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "cli.main", *words]


@dataclass
class Site:
    """A folder, and the `up` that runs on it."""

    folder: Path
    up: subprocess.Popen[str] = field(init=False)
    told: dict[str, Any] = field(init=False)

    def start(self) -> None:
        self.up = subprocess.Popen(consortium("up", "--folder", str(self.folder), "--json"), stdout=subprocess.PIPE, text=True)
        assert self.up.stdout is not None
        line = self.up.stdout.readline()
        assert line, (self.folder / "temporal.log").read_text(encoding="utf-8")
        self.told = json.loads(line)

    def stop(self) -> int:
        self.up.send_signal(signal.SIGINT)
        return self.up.wait(20)

    def file(self, name: str, content: str) -> str:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return str(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("up"))
    site.start()
    officers = site.file("officers.toml", OFFICERS)
    keys_in(site.folder, "sam", "tess")
    words = ("consortium", "found", "atlas", "--charter", str(CHARTER), "--from", officers, "--key", "sam", "--folder", str(site.folder))
    founded = subprocess.run(consortium(*words), capture_output=True, text=True, timeout=120, check=False)
    assert founded.returncode == 0, founded.stderr
    assert founded.stdout.startswith("accepted at position 1: charter_adopted, office_granted")
    assert "Atlas Open-Model Consortium, charter version 1" in founded.stdout
    yield site
    if site.up.poll() is None:
        site.stop()


class Terminal:
    """Somebody typing."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.folder = ""

    def __call__(self, *words: str) -> Answer:
        """The answer to a command on the folder."""
        self._capsys.readouterr()
        logs.configure(sys.__stderr__ or sys.stderr, level=logging.WARNING)  # as a process of its own does
        code = main.run([*words, "--folder", self.folder] if self.folder else words)
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return Answer(code, out, err)


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal without a folder."""
    return Terminal(capsys)


@pytest.fixture
def type_(bare: Terminal, site: Site) -> Terminal:
    """A terminal on the running site."""
    bare.folder = str(site.folder)
    return bare


# ---------------------------------------------------------------- words


def test_help_imports_nothing_that_is_not_needed_to_print_it() -> None:
    code = "import sys; from cli import main; main.run(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "who-represents" in told.stdout
    loaded = set(re.findall(r"'([a-z_]+)[.']", told.stderr))
    assert not loaded & {"temporalio", "pydantic", "domain", "eventstore", "asyncio", "structlog", "pygments"}


def test_every_process_is_a_command_and_every_command_can_be_asked_for() -> None:
    offered = {name for name, (path, *_) in main.COMMANDS.items() if path.startswith("cli.processes:")}
    assert offered == set(CATALOG)
    assert all(main.app[name].help for name in main.COMMANDS)


@pytest.mark.parametrize("name", CATALOG)
def test_what_only_the_system_says_is_not_offered(name: str) -> None:
    process = CATALOG[name]
    offered = {command.model_fields["kind"].default for command in commands_of(process)}
    known = set(process.commands.json_schema()["discriminator"]["mapping"])
    hidden = [command for command in processes.messages_of(process) if command.model_fields["kind"].default in known - offered]
    assert all(issubclass(command, Due | Letter | Outcome) for command in hidden)
    assert not offered & {
        "start_pledging",
        "close_pledging",
        "screening_completed",
        "issue_invoice",
        "open_vote",
        "execute",
        "release_leaver",
    }
    assert offered


@pytest.mark.parametrize(("process", "command"), [(name, command) for name, process in CATALOG.items() for command in commands_of(process)])
def test_every_command_explains_itself(bare: Terminal, process: str, command: Any) -> None:
    told = bare(process, command.model_fields["kind"].default.replace("_", "-"), "--help")
    assert told.code == 0
    for name in command.model_fields:
        assert name == "kind" or f"--{name.replace('_', '-')}" in told.out


def test_an_unknown_word_is_told_with_what_there_is(bare: Terminal) -> None:
    told = bare("statsu")
    assert (told.code, told.err) == (4, "bad input: there is no command 'statsu'; did you mean 'status'?\n  remedy: see --help\n")
    assert bare("status", "--jsn").code == 4


def test_who_reads_only_the_beginning_is_no_error(type_: Terminal, site: Site) -> None:
    command = f"{' '.join(consortium('log', '--folder', str(site.folder)))} | head -n 1"
    told = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=30)
    assert (told.stdout.split()[0], told.stderr) == ("1", "")


async def test_what_takes_long_says_so_and_what_is_quick_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Progress("quick"):
        pass
    monkeypatch.setattr("cli.output.SLOW_SECONDS", 0.01)
    async with Progress("checked", 2_000) as progress:
        await asyncio.sleep(0.05)
        progress.at(1_000)
        await asyncio.sleep(0.05)
    said = capsys.readouterr().err
    assert said.startswith("checked …\n")
    assert "checked: 1,000 of 2,000\n" in said
    assert "quick" not in said


def test_a_misspelt_setting_is_no_default(bare: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_FOLDR", "x")
    told = bare("status", "--json")
    assert told.code == 4
    assert "CONSORTIUM_FOLDR" in told.error["message"]


def test_nobody_there_is_told_with_what_to_start(bare: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_ADDRESS", "127.0.0.1:1")
    bare.folder = str(tmp_path)
    for words in (["status"], ["verify"], ["log"], ["rounds"], ["recover"], ["charter", "show"]):
        told = bare(*words)
        assert (told.code, told.out) == (3, "")
        assert f"consortium up --folder {tmp_path}" in told.err
    keys_in(tmp_path, "sam")
    told = bare("consortium", "grant-office", "atlas", "--person", "lea", "--office", "auditor", "--key", "sam", "--json")
    assert (told.code, told.error["error"]) == (3, "unreachable")
    assert "127.0.0.1:1" in told.error["message"]


# ---------------------------------------------------------------- commands


def grant(*more: str, person: str = "lea") -> tuple[str, ...]:
    return ("consortium", "grant-office", "atlas", "--person", person, "--office", "training-lead", *more)


def test_an_accepted_command_is_seen_on_the_log_and_its_repeat_gets_the_same_answer(type_: Terminal) -> None:
    first = type_(*grant("--key", "sam", "--id", ID, "--json"))
    assert first.code == 0
    assert (first.json["events"], first.json["seen"], first.json["command_id"]) == (["office_granted"], True, ID)
    assert type_(*grant("--key", "sam", "--id", ID, "--json")).json == first.json
    entry = json.loads(type_("log", "--after", str(first.json["position"] - 1), "--json").out.splitlines()[0])
    assert (entry["hash"], entry["actor"], entry["command"]["person"]) == (first.json["hash"], "sam", "lea")


def test_an_id_belongs_to_one_command(type_: Terminal) -> None:
    words = ("--key", "sam", "--id", ID.replace("1", "2"))
    assert type_(*grant(*words, person="leo")).code == 0
    told = type_(*grant(*words, person="lou"))
    assert told.code == 4
    assert "another command has this id" in told.err or "was used at position" in told.err


def test_a_rule_that_says_no_is_named_with_its_clause_and_the_remedy(type_: Terminal) -> None:
    told = type_(*grant("--key", "tess"))
    assert told.code == 2
    assert told.err.startswith("refused: office_required: tess does not hold the office secretariat\n")
    assert "charter clause: roles" in told.err
    assert "remedy: ask a holder of secretariat" in told.err
    asked = type_(*grant("--key", "tess", "--json"))
    assert (asked.code, asked.out) == (2, "")
    assert (asked.error["rule"], asked.error["clause"]) == ("office_required", "roles")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", asked.error["command_id"])


PLEDGE = ("round", "pledge", "atlas-1", "--member", "helio", "--key", "sam")
APPLY = ("member", "apply", "helio", "--country", "CH", "--tier", "founding", "--representatives", '[{"person":"rep"}]', "--key", "sam")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (grant("--key", "sam", "--signer", "service"), "nobody speaks as 'service'"),
        (grant("--key", "sam", "--signer", "Sam"), "--signer: 'Sam' is not a person's handle"),
        (grant("--key", "Sam"), "--key: 'Sam' is no name of a key"),
        (grant("--key", "nobody"), "there is no key at"),
        (grant("--key", "./nobody"), "does not say whose key it is"),
        (grant("--key", "log"), "nobody speaks as 'log'"),
        (grant("--key", "tess", "--signer", "sam"), "the signature is by no key of sam"),
        (grant(), "nobody is named who gives the command"),
        (grant("--key", "sam", "--id", "17"), "not a UUID"),
        (("consortium", "grant-office", "Atlas!", "--person", "lea", "--office", "auditor", "--key", "sam"), "process/slug"),
        (("consortium", "grant-office", "atlas", "--person", "lea", "--office", "king", "--key", "sam"), '"king" for --office'),
        (("consortium", "grant-office", "atlas", "--person", "lea", "--key", "sam"), "office: is missing; it must be one of secretariat, "),
        ((*PLEDGE, "--amount", "1e9"), "--amount: '1e9' is not an amount in USD"),
        ((*PLEDGE, "--amount", "-1"), "--amount"),
        ((*PLEDGE, "--amount", "0"), "--amount"),
        ((*PLEDGE, "--amount", "1.001"), "at most 2 decimal places"),
        ((*PLEDGE, "--amount", "1_000"), "--amount"),
        ((*PLEDGE, "--amount", "١٢٣"), "--amount"),
        ((*PLEDGE, "--amount", "99999999999999999999"), "--amount"),
        ((*PLEDGE, "--amount", "1", "--currency", "XXX"), "is not a currency"),
        (("proposal", "propose", "p", "--title", "x", "--opens-at", "2026-12-01T09:00", "--key", "sam"), "has no offset"),
        (("proposal", "propose", "p", "--title", "x", "--opens-at", "1764579600", "--key", "sam"), "is not an instant"),
        (("proposal", "propose", "p", "--title", "x", "--motion", "{", "--key", "sam"), "--motion: must be JSON"),
        (("proposal", "propose", "p", "--title", "x", "--motion", '{"a":1,"a":2}', "--key", "sam"), "a key is named twice"),
        (("proposal", "propose", "p", "--title", "x", "--text", "x" * 70_000, "--key", "sam"), "bytes long"),
        (
            ("proposal", "propose", "p", "--title", "x", "--key", "sam", "--motion",
             '{"stream":"consortium/atlas","command":{"kind":"grant_office","person":"lea","office":"king"}}'),
            "motion.command: office",
        ),
        (
            ("proposal", "propose", "p", "--title", "x", "--key", "sam", "--motion", '{"stream":"bank/atlas","command":{"kind":"rob"}}'),
            "there is no process 'bank'",
        ),
        ((*APPLY, "--name", "He\u202elio", "--lei", LEI), "U+202E"),
        ((*APPLY, "--name", "He\x1b[31mlio", "--lei", LEI), "U+001B"),
        ((*APPLY, "--name", "Helio", "--lei", LEI.replace("778", "779")), "check digits"),
        (("round", "call-tranche", "r", "--tranche", "1", "--due", "1.2.2026", "--key", "sam"), "not a day"),
        (("round", "call-tranche", "atlas-1", "--tranche", "1.0", "--key", "sam"), "not a whole number"),
        (("show", "round"), "nothing is on the log about round"),
        (("show", "round/none"), "nothing is on the log"),
        (("log", "--stream", "bank/x"), "there is no process"),
        (("log", "--after", "99999999999999999999"), "fewer than 2^63"),
        (("inbox", "nobody"), "knows nobody"),
        (("who-represents", "nobody"), "knows no organisation"),
        (("who-represents", "nobody", "--as-of", "2026-12-01T00:00"), "has no offset"),
        (("retry", "round", "x", "--key", "sam"), "process/slug"),
        (("charter", "show", "--version", "7"), "no version 7"),
        (("charter", "show", "--version", "0"), "no version 0"),
        (("proposal", "propose", "p", "--title", "", "--key", "sam"), "title: "),
        (("up", "--port", "99999"), "is no port"),
        (("advance", "soon"), "is no time to pass"),
        (("advance", "14d"), "cannot be advanced"),
        (("example", "statement", "--owed"), "is in earnest"),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_message_and_leaves_nothing_behind(type_: Terminal, words: tuple[str, ...], said: str) -> None:
    before = type_("verify", "--json").json
    told = type_(*words)
    assert (told.code, told.out) == (4, "")
    assert said in told.err
    assert told.err.startswith("bad input: ")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", told.err)
    assert type_("verify", "--json").json == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("float.toml", 'title = "x"\nbudget = 1.5', "budget: 1.5 is no integer"),
        ("nan.json", '{"title": NaN}', "not an integer"),
        ("twice.json", '{"title": "x", "title": "y"}', "a key is named twice"),
        ("broken.toml", "title = ", "is no TOML"),
        ("deep.json", '{"title": ' + "[" * 40 + "]" * 40 + "}", "nested deeper"),
        ("deeper.toml", "title = " + "[" * 5_000 + "]" * 5_000, "nested"),
        ("large.toml", f'title = "{"x" * 1_000_000}"', "is larger than 65536 bytes"),
        ("list.json", "[]", "must hold a table"),
        ("kind.json", '{"kind": "execute"}', "is a 'execute', not a 'propose'"),
        ("extra.json", '{"title": "x", "colour": "blue"}', "colour: there is no such field; there are title, text"),
        ("bare.json", '{"title": "x", "budget": 50000}', 'write "50,000.00 USD" if these are units, or "500.00 USD" if these are minor units'),
        ("other.json", '{"title": "x", "budget": "5.00 EUR"}', "is in EUR, and here amounts are in USD"),
    ],
)  # fmt: skip
def test_files_are_read_strictly(type_: Terminal, tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    told = type_("proposal", "propose", "p", "--from", str(path), "--key", "sam")
    assert told.code == 4
    assert said in told.err


def test_a_round_is_opened_with_amounts_as_people_write_them_and_from_a_file(type_: Terminal, tmp_path: Path) -> None:
    terms = tmp_path / "terms.toml"
    terms.write_text(
        'title = "Atlas-1"\ncurrency = "USD"\nopens_at = 2030-01-01T00:00:00Z\ncloses_at = 2030-02-01T00:00:00Z\n'
        '[[budget]]\nname = "compute"\namount = "1,000,000.00 USD"\n[[tranches]]\nname = "all"\nfraction = 10_000\n',
        encoding="utf-8",
    )
    words = ("--from", str(terms), "--goal", "1000000.00", "--minimum", "800000", "--title", "Atlas One", "--key", "sam", "--json")
    opened = type_("round", "open-round", "atlas-1", *words)
    assert opened.code == 0, opened.err
    entry = json.loads(type_("log", "--stream", "round/atlas-1", "--json").out.splitlines()[0])
    assert (entry["command"]["goal"], entry["command"]["minimum"], entry["command"]["title"]) == (100_000_000, 80_000_000, "Atlas One")
    assert "USD 1,000,000.00" in type_("show", "round/atlas-1").out
    assert [row["stream"] for row in type_("rounds", "--json").json] == ["round/atlas-1"]
    assert "round/atlas-1" in type_("rounds").out


def test_fields_are_read_from_stdin(type_: Terminal, site: Site) -> None:
    words = (
        "consortium",
        "grant-office",
        "atlas",
        "--from",
        "-",
        "--person",
        "lys",
        "--key",
        "sam",
        "--json",
        "--folder",
        str(site.folder),
    )
    given = subprocess.run(
        consortium(*words), input='{"person": "overridden", "office": "auditor"}', capture_output=True, text=True, timeout=30, check=False
    )
    assert given.returncode == 0, given.stderr
    entry = json.loads(type_("log", "--after", str(json.loads(given.stdout)["position"] - 1), "--json").out.splitlines()[0])
    assert entry["command"] == {"kind": "grant_office", "person": "lys", "office": "auditor"}


# ---------------------------------------------------------------- what goes wrong around it


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ExtraMissing("boto3", "release"), 4, "pip install"),
        (Mistaken("ZeroDivisionError while deciding"), 70, "worker's log"),
        (RPCError("namespace none is not found", RPCStatusCode.NOT_FOUND, b""), 3, "TEMPORAL_NAMESPACE"),
        (NotWritable("permission denied"), 3, "may write"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_goes_wrong_below_has_a_code_and_a_remedy(error: Exception, code: int, said: str) -> None:
    failure = translated(error)
    assert failure.code == code
    assert said in failure.message + failure.remedy


def test_a_namespace_that_is_not_there_is_told_at_once(bare: Terminal, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_LOG", str(site.folder / "log.db"))
    monkeypatch.setenv("CONSORTIUM_ADDRESS", site.told["address"])
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    began = time.monotonic()
    told = bare(*grant("--key", str(site.folder / "keys/sam")))
    assert (told.code, time.monotonic() - began < 15) == (3, True)
    assert "nowhere" in told.err


def test_a_profile_or_its_file_that_is_not_there_is_bad_input(
    bare: Terminal, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSORTIUM_LOG", str(site.folder / "log.db"))
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "none.toml"))
    told = bare("recover")
    assert told.code == 4
    assert "none.toml" in told.err
    (tmp_path / "some.toml").write_text('[profile.default]\naddress = "127.0.0.1:1"\n', encoding="utf-8")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "some.toml"))
    monkeypatch.setenv("TEMPORAL_PROFILE", "producton")
    told = bare("recover")
    assert told.code == 4
    assert "producton" in told.err


def test_wrong_settings_are_told_in_one_line_without_their_values(bare: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_SMTP_PORT", "the-secret")
    monkeypatch.setenv("CONSORTIUM_SMTP_SECURITY", "the-secret")
    told = bare("status")
    assert told.code == 4
    assert "CONSORTIUM_SMTP_PORT: " in told.err
    assert "CONSORTIUM_SMTP_SECURITY: " in told.err
    assert "the-secret" not in told.err
    assert told.err.count("\n") == 1


def test_a_file_that_is_no_database_is_bad_input(bare: Terminal, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_text("Dear diary, today the consortium was founded.", encoding="utf-8")
    told = bare("status", "--folder", str(tmp_path))
    assert told.code == 4
    assert "is no SQLite database" in told.err


def test_no_password_is_shown_with_the_place_of_the_log() -> None:
    shown = {
        "postgresql://ada:se/cr@t@db/consortium?sslmode=require": "postgresql://ada:***@db/consortium?sslmode=require",
        "postgresql://db/consortium?user=ada&password=secret&sslmode=require": "postgresql://db/consortium?user=ada&password=***&sslmode=require",
        "postgresql://ada@db/consortium": "postgresql://ada@db/consortium",
        "state/log.db": "state/log.db",
    }
    assert {log: Settings(log=log).log_shown for log in shown} == shown


async def test_a_database_that_is_lost_meanwhile_is_no_broken_log() -> None:
    class Lost(MemoryLog):
        async def read(self, after: int, limit: int = 1_000) -> Sequence[Entry]:
            raise LogUnavailable("the server was stopped")

        async def head(self) -> Head:
            raise LogUnavailable("the server was stopped")

    with pytest.raises(LogUnavailable):
        await keep._batch(Lost(), 0)


# ---------------------------------------------------------------- looking


def test_a_failed_step_is_seen_waits_in_an_inbox_and_is_tried_again(type_: Terminal, site: Site) -> None:
    name = "李 [bold]Helio[/bold] :smile: 研究所"
    keys_in(site.folder, "rep", consortium=type_("key", "list", "--json").json["consortium"])
    applied = type_("member", "apply", "helio", *APPLY[3:-1], "rep", "--name", name, "--lei", LEI)
    assert applied.code == 0, applied.err
    assert name in applied.out
    assert name in type_("members").out
    until(lambda: "screen:1" in type_("status").out)
    told = type_("status", "--json").json
    assert told["attention"]
    assert told["links"]["stuck"]["streams"] == 1
    page = told["links"]["stuck"]["pages"]["member/helio"]
    assert "office:secretariat" in page["waits_for"]
    assert page["url"].startswith(f"{site.told['ui']}/namespaces/default/workflows/member%2Fhelio/")
    assert told["links"]["waits_for"]["office:secretariat"]["url"].startswith(
        f"{site.told['ui']}/namespaces/default/workflows?query=WaitsFor"
    )
    assert f"\n    {told['links']['stuck']['url']}\n" in type_("status").out, "an address by itself, whole"
    assert set(site.told["links"]) == {"stuck", "due_this_week", "waits_for"}
    assert "sanctions.txt" in type_("show", "member/helio").out
    assert "member/helio" in [item["stream"] for item in type_("inbox", "sam", "--json").json]
    site.file("sanctions.txt", "Somebody Else\n")
    assert type_("retry", "member/helio", "nothing", "--key", "sam").code == 2
    assert type_("retry", "member/helio", "screen:1", "--key", "tess").code == 2
    assert type_("retry", "member/helio", "screen:1", "--key", "sam").code == 0
    until(lambda: "proposal/admit-helio" in type_("proposals").out)
    until(lambda: "proposal/admit-helio" in type_("inbox", "tess").out)
    terms = type_("who-represents", "helio", "--json").json
    assert [term["person"] for term in terms["representatives"]] == ["rep"]
    assert "Nobody" in type_("who-represents", "helio", "--as-of", "2020-01-01").out


def test_the_log_is_whole_can_be_decided_again_and_its_lists_made_anew(type_: Terminal) -> None:
    whole = type_("verify", "--decide", "--json")
    assert whole.code == 0
    before = type_("status", "--json").json
    assert type_("rebuild", "--json").json["position"] >= whole.json["entries"]
    assert type_("status", "--json").json["processes"] == before["processes"]
    assert type_("recover", "--json").json == type_("recover", "--json").json


def test_the_books_are_exported_as_they_are_or_within_json(type_: Terminal) -> None:
    for program in ("beancount", "hledger"):
        export = type_("ledger", "--format", program).out
        assert type_("ledger", "--format", program, "--json").json[program] == export != ""


@pytest.mark.parametrize(("column", "forged"), [("actor", "mallory"), ("stream", b"\xff\xfe"), ("hash", bytes(32))])
def test_a_changed_entry_is_named_by_its_position(type_: Terminal, site: Site, tmp_path: Path, column: str, forged: object) -> None:
    shutil.copytree(site.folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("temporal*", "up.*", "*.log"))
    database = apsw.Connection(str(tmp_path / "log.db"))
    database.execute("DROP TRIGGER entries_are_final_update")
    value = "CAST(? AS TEXT)" if column == "stream" else "?"
    database.execute(f"UPDATE entries SET {column} = {value} WHERE position = 2", (forged,))
    database.close()
    type_.folder = str(tmp_path)
    told = type_("verify", "--json")
    assert (told.code, told.error["error"], told.error["position"]) == (1, "broken", 2)


def test_an_exported_log_is_checked_and_decided_again_from_the_file_alone(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "atlas.jsonl"
    exported = type_("export", str(file), "--json")
    assert exported.code == 0, exported.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["atlas.jsonl", "atlas.jsonl.checkpoint"]
    again = type_("export", str(file))
    assert (again.code, again.err.partition("\n")[0]) == (4, f"bad input: {file} is there already")
    assert type_("export", str(file / "below")).code == 4
    type_.folder = str(tmp_path / "nothing")
    monkeypatch.setattr(keep, "BATCH", 2)
    whole = type_("verify", "--file", str(file), "--decide", "--json")
    assert whole.code == 0, whole.err
    assert (whole.json["entries"], whole.json["head"]) == (exported.json["entries"], exported.json["head"])
    assert whole.json["sealed_up_to"] == exported.json["sealed"] == whole.json["entries"]
    assert whole.json["unsigned_up_to"] == 0
    assert len(file.read_bytes().splitlines()) == whole.json["entries"]
    assert type_("verify", "--file", str(tmp_path / "none")).code == 4


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("bit", [1, 128])
def test_one_changed_byte_of_an_exported_log_is_named_by_its_position(type_: Terminal, tmp_path: Path, where: float, bit: int) -> None:
    file = tmp_path / "atlas.jsonl"
    assert type_("export", str(file)).code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    line = bytearray(lines[-1])
    line[int(where * (len(line) - 1))] ^= bit
    file.write_bytes(b"".join((*lines[:-1], line)))
    told = type_("verify", "--file", str(file), "--json")
    assert (told.code, told.error["error"], told.error["position"]) == (1, "broken", len(lines))


def test_an_answer_that_the_log_does_not_know_is_not_believed(
    type_: Terminal, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "log.db"
    source, target = apsw.Connection(str(site.folder / "log.db")), apsw.Connection(str(other))
    with target.backup("main", source, "main") as backup:
        backup.step()
    type_.folder = ""
    monkeypatch.setenv("CONSORTIUM_LOG", str(other))
    monkeypatch.setenv("CONSORTIUM_ADDRESS", site.told["address"])
    monkeypatch.setattr("cli.answers.SEEN_SECONDS", 0.1)
    told = type_(*grant("--key", str(site.folder / "keys/sam"), person="liv"))
    assert told.code == 1
    assert "does not hold this command" in told.err


def test_the_log_is_followed_as_it_grows(type_: Terminal, site: Site) -> None:
    follower = subprocess.Popen(
        consortium("log", "--follow", "--stream", "consortium/atlas", "--folder", str(site.folder), "--json"),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["position"] == 1
    position = type_(*grant("--key", "sam", "--json", person="lin")).json["position"]
    while json.loads(follower.stdout.readline())["position"] < position:
        continue
    follower.send_signal(signal.SIGINT)
    assert follower.wait(10) == 130


# ---------------------------------------------------------------- the charter


def test_every_problem_of_a_charter_is_named_with_its_place(bare: Terminal, tmp_path: Path) -> None:
    good = CHARTER.read_text(encoding="utf-8")
    bad = tmp_path / "bad.toml"
    bad.write_text(good.replace('seat = "CH"', 'seat = "Switzerland"').replace("share_cap = 1_000", "share_cap = 11_000"), encoding="utf-8")
    told = bare("charter", "check", str(bad), "--json")
    assert told.code == 4
    assert [problem.partition(":")[0] for problem in told.error["problems"]] == ["seat", "funding.share_cap"]
    bad.write_text(good.replace('"member/expel"', '"member/banish"'), encoding="utf-8")
    assert "no class of decision covers member/expel" in bare("charter", "check", str(bad)).err
    bad.write_text(good.replace('["member/expel"]', '["member/expel", "member/banish"]'), encoding="utf-8")
    assert "knows no command member/banish" in bare("charter", "check", str(bad)).out
    assert bare("charter", "check", str(tmp_path / "none.toml")).code == 4
    assert bare("charter", "check", str(CHARTER)).code == 0


def test_what_a_charter_changes_is_told_by_its_place(bare: Terminal, type_: Terminal, tmp_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    text = CHARTER.read_text(encoding="utf-8")
    changed.write_text(text.replace("founding_seats = 5\n", "").replace("500,000.00 USD", "600,000.00 USD"), encoding="utf-8")
    changes = {
        "tiers.founding.annual_fee": {"before": "USD 500,000.00", "after": "USD 600,000.00"},
        "membership.founding_seats": {"before": "5", "after": ""},
    }
    for told in (bare("charter", "diff", str(changed), str(CHARTER), "--json"), type_("charter", "diff", str(changed), "--json")):
        assert {each.pop("clause"): each for each in told.json["changes"]} == changes
    assert "not said" in bare("charter", "diff", str(changed), str(CHARTER)).out
    assert "changes nothing" in type_("charter", "diff", str(CHARTER)).out


def test_the_charter_in_force_is_shown_as_it_can_be_adopted(type_: Terminal, tmp_path: Path) -> None:
    shown = type_("charter", "show").out
    copy = tmp_path / "copy.toml"
    copy.write_text(shown, encoding="utf-8")
    assert type_("charter", "check", str(copy)).code == 0
    assert tomllib.loads(shown)["tiers"]["founding"] == read_charter(CHARTER)["tiers"]["founding"]
    assert tomllib.loads(shown) == type_("charter", "show", "--json").json["charter"]


# ---------------------------------------------------------------- running


def test_a_folder_has_one_up_and_what_is_on_the_log_goes_on_with_the_next(type_: Terminal, site: Site) -> None:
    second = type_("up")
    assert second.code == 4
    assert "in use by another" in second.err
    assert type_("up", "--port", site.told["address"].partition(":")[2]).code == 4
    before, found_at = type_("verify", "--json").json, (site.told["ui"], site.told["address"])
    assert site.stop() == 0
    assert not (site.folder / "up.json").exists()
    assert type_("verify", "--json").json == before
    assert type_(*grant("--key", "sam", person="lot")).code == 3
    site.start()
    assert site.told["unfinished"] >= 1
    assert (site.told["ui"], site.told["address"], site.told["taken_ports"]) == (*found_at, [])
    again = type_(*grant("--key", "sam", "--json", person="lot"))
    assert again.code == 0, again.err
    assert again.json["position"] == before["entries"] + 1


def test_a_port_of_the_last_time_that_is_taken_is_told_and_another_is_used(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken, former = other.getsockname()[1], _free_port()
        _remember(tmp_path, (former, taken))
        (port, ui), moved = _ports(tmp_path, (0, 0))
        assert (port, moved) == (former, [taken])
        assert ui not in {0, taken}
        assert _ports(tmp_path, (0, ui)) == ((former, ui), [])
    assert _ports(tmp_path, (0, 0)) == ((former, taken), [])


@pytest.mark.parametrize(
    "kept", ["", "[]", '{"temporal": 0, "ui": 1}', '{"temporal": 7, "ui": 70000}', '{"temporal": 7, "ui": 7}', '{"ui": "x"}']
)
def test_ports_that_are_none_are_not_used(tmp_path: Path, kept: str) -> None:
    (tmp_path / PORTS).write_text(kept, encoding="utf-8")
    (port, ui), moved = _ports(tmp_path, (0, 0))
    assert port > 1_000 < ui
    assert moved == []


def test_a_demonstration_removes_nothing_but_what_a_demonstration_left(
    bare: Terminal, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = tmp_path / "demo", tmp_path / "ours"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work", encoding="utf-8")
    told = bare("demo", "--folder", str(theirs))
    assert (told.code, told.out) == (4, "")
    assert "no demonstration left" in told.err
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]
    demo.prepare(ours)
    (ours / "log.db").touch()
    (ours / "bank").mkdir()
    demo.prepare(ours)
    assert sorted(path.name for path in ours.iterdir()) == [MARKER, "sanctions.txt", LOCK]
    (site.folder / MARKER).touch()
    told = bare("demo", "--folder", str(site.folder))
    (site.folder / MARKER).unlink()
    assert told.code == 4
    assert "in use by another" in told.err
    assert (site.folder / "log.db").exists()


async def test_a_demonstration_that_its_deadlines_overtake_begins_again_slower_and_no_other(tmp_path: Path) -> None:
    hurried = 40 * demo.PACE
    with pytest.raises((TurnedDown, Late, ExceptionGroup)) as raised:
        await demo.at_pace(hurried, tmp_path / "demo", demo.adopted(CHARTER), lambda _: None)
    assert demo.came_late(raised.value)
    assert not demo.came_late(ValueError("a bug"))
    assert not demo.came_late(ExceptionGroup("both", [Late("late"), ValueError("a bug")]))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(importlib.util.find_spec("silero_vad") is None, reason="the demonstration's model is not installed")
def test_a_demonstration_at_full_length_ends_as_it_should_and_takes_its_months(bare: Terminal, tmp_path: Path) -> None:
    words = consortium("demo", "--full-length", "--charter", str(CHARTER), "--json", "--folder", str(tmp_path))
    played = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert played.returncode == 0, played.stderr
    end = json.loads(played.stdout)
    assert end["money"]["cleared"] > 0
    assert set(end["books"].values()) == {"accepts the books"}
    bare.folder = str(tmp_path)
    assert bare("verify", "--decide", "--json").json["entries"] == end["entries"]
    entries = [json.loads(line) for line in bare("log", "--json").out.splitlines()]
    took = datetime.fromisoformat(entries[-1]["at"]) - datetime.fromisoformat(entries[0]["at"])
    assert took > timedelta(days=60)
    silent = bare("outlook", "--json").json
    assert silent["position"] == end["entries"]
    owed = sum(each["minor"] for each in silent["obligations"] if each["debtor"] == "consortium")
    assert 0 < owed <= silent["held_minor"]


def test_a_folder_that_is_named_has_its_own_log_and_what_is_played_has_nothing_of_the_environment(
    type_: Terminal, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSORTIUM_LOG", str(tmp_path / "other.db"))
    monkeypatch.setenv("CONSORTIUM_SMTP_HOST", "mail.example")
    assert type_("status", "--json").json["log"] == str(site.folder / "log.db")
    played = rehearsed(tmp_path)
    assert (played.log_url, played.smtp_host, played.smtp_port) == (str(tmp_path / "log.db"), "", 465)
