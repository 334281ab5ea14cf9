"""`consortium doctor`: what it finds, and that its remedies can be typed as they are.

| check | acts when |
| --- | --- |
| settings | a variable is read by nobody, or cannot be meant |
| files | what is named is not there, may not be read or written, or does not hold what it must |
| outside | the bank, mail, a publisher or private hosts are named in a way that cannot be meant |
| disk | there is hardly any room |
| log | it cannot be read, or its last entry is not what was recorded |
| release | the last entry was decided by newer rules, or an entry cannot be read |
| head | never: it shows the last entry and who gave its command |
| clock | the host's clock is not the database's, or the last entry is ahead of the clock and nobody accepted its time |
| lists | they are behind, and nobody keeps them |
| steps | one failed |
| temporal, search_attributes, workers | see tests/test_services.py; where no `up` runs, a deadline has passed |
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from cli import checks_files, checks_log, doctor, findings, main, services
from cli.site import rows
from domain.catalog import RULES
from domain.kernel import derived_id
from domain.register.facts import LogTime, MovedTime, PacedTime, SystemTime
from eventstore.answers import Recorded
from eventstore.clock import MovedClock, SystemClock
from eventstore.entries import ACCEPTED, Submission, instant, sealed
from eventstore.log import Appended, HeadFarAhead, Log
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from settings import MARKER, Settings, open_log
from tests.places import SqlitePlace
from tests.sealing import salts
from tests.stories import charter
from tests.test_cli import Answer, Terminal, bare
from tests.test_member import ADA, ALAN, application

__all__ = ["bare"]

ATLAS = "consortium/atlas"
EARNEST = SystemTime()
OFFICERS = [{"person": "sam", "offices": ["secretariat"]}, {"person": "tess", "offices": ["treasurer", "board"]}]


@asynccontextmanager
async def log_in(folder: Path) -> AsyncIterator[Log]:
    log = await open_log(str(folder / "log.db"))
    try:
        yield log
    finally:
        await log.close()


def grant(person: str) -> dict[str, Any]:
    return {"kind": "grant_office", "person": person, "office": "auditor"}


async def give(recorder: Recorder, by: str, command: dict[str, Any]) -> Recorded:
    """A person's command, once for each content."""
    command_id = derived_id("test", by, json.dumps(command))
    return await recorder.record(Submission(ATLAS, command_id, by, canonical_command(command)))


async def written(folder: Path, ahead: timedelta = timedelta(), clock: LogTime = EARNEST) -> None:
    """A founded log in this folder; two entries lie as far ahead of the clock as is asked, the first of them by sam."""
    now = datetime.now(UTC)
    moved = MovedClock(now - timedelta(days=1))
    async with log_in(folder) as log:
        recorder = Recorder(log, clock=moved)
        founding = {
            "kind": "found",
            "charter": charter().model_dump(mode="json"),
            "officers": OFFICERS,
            "clock": clock.model_dump(mode="json"),
        }
        await give(recorder, "sam", founding)
        await give(recorder, "sam", grant("ada"))
        moved.to(now + ahead)
        await give(recorder, "sam", grant("lea"))
        await give(recorder, "sam", grant("leo"))
        await recorder.close()


def found(told: Answer, check: str) -> dict[str, Any]:
    """What one check found."""
    return next(finding for finding in told.json["checks"] if finding["check"] == check)


def commands_in(remedies: Sequence[str]) -> list[list[str]]:
    """The remedies that are command lines, as words after `consortium`."""
    return [shlex.split(line)[1:] for line in remedies if line.startswith("consortium ")]


async def examined(type_: Terminal, *words: str) -> Answer:
    """What the doctor tells; in a thread, for it runs a loop of its own."""
    return await asyncio.to_thread(type_, "doctor", *words)


@pytest.fixture
def type_(bare: Terminal, tmp_path: Path) -> Terminal:
    """A terminal on a folder of its own."""
    bare.folder = str(tmp_path)
    return bare


async def test_a_healthy_log_needs_nothing(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path)
    told = await examined(type_, "--json")
    assert (told.code, told.json["well"]) == (0, True)
    assert [finding["check"] for finding in told.json["checks"]] == [check.__name__ for check in doctor.CHECKS]
    verdicts = {finding["check"]: finding["verdict"] for finding in told.json["checks"]}
    notes = dict.fromkeys(("files", "lists", "calendar", "keys", "temporal"), "note") | dict.fromkeys(
        ("search_attributes", "workers"), "unknown"
    )
    assert verdicts == {name: notes.get(name, "well") for name in verdicts}
    assert found(told, "release")["rules"] == RULES
    assert "the last entry is not ahead" in (await examined(type_)).out


async def test_an_empty_log_needs_nothing(type_: Terminal, tmp_path: Path) -> None:
    async with log_in(tmp_path):
        pass
    assert (await examined(type_, "--json")).code == 0


async def test_the_last_entry_is_shown_with_who_gave_its_command(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path)
    async with log_in(tmp_path) as log:
        last = (await log.read(3, 1))[0]
    head = found(await examined(type_, "--json"), "head")
    assert (head["position"], head["at"], head["hash"]) == (4, instant(last.at).isoformat(), last.hash.hex())
    assert (head["actor"], head["kind"], head["stream"]) == ("sam", "grant_office", ATLAS)


async def test_a_head_two_hours_ahead_is_named_with_who_recorded_it_and_the_ways_out(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path, timedelta(hours=2))
    told = await examined(type_)
    assert told.code == 1
    assert "position 3" in told.out
    assert "grant_office by sam on consortium/atlas" in told.out
    assert "wait until" in told.out
    assert told.err.startswith("unwell: something has to be done about the clock")
    clock = found(await examined(type_, "--json"), "clock")
    assert clock["ahead_since"] == {"position": 3, "actor": "sam", "kind": "grant_office", "stream": ATLAS}
    one, other = commands_in(clock["remedies"])
    assert one[:5] == other[:5] == ["consortium", "accept-time", "atlas", "--position", "4"]
    assert {one[-1], other[-1]} == {"sam", "tess"}


async def test_two_officers_accept_the_time_by_the_commands_that_the_doctor_names_and_life_goes_on_dated_like_the_head(
    type_: Terminal, tmp_path: Path
) -> None:
    await written(tmp_path, timedelta(hours=2))
    clock = SystemClock()
    async with log_in(tmp_path) as log:
        recorder = Recorder(log, clock=clock)
        with pytest.raises(HeadFarAhead):
            await give(recorder, "sam", grant("lou"))
        first, _ = commands_in(found(await examined(type_, "--json"), "clock")["remedies"])
        assert (await give(recorder, *accepting(first))).refusal is None
        after_one = found(await examined(type_, "--json"), "clock")
        assert f"as {first[-1]} accepted the time already" in after_one["remedies"][1]
        (second,) = commands_in(after_one["remedies"])
        assert second[-1] != first[-1]
        assert (await give(recorder, *accepting(second))).kinds == ("time_accepted",)
        told = await examined(type_, "--json")
        assert (told.code, found(told, "clock")["verdict"]) == (0, "note")
        head = (await log.head()).at
        given = await give(recorder, "sam", grant("lou"))
        assert (given.entry.at, given.kinds) == (head, ("office_granted",))
        await recorder.close()


async def test_the_acceptance_of_an_officer_who_is_gone_is_not_seconded_but_given_anew(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path, timedelta(hours=2))
    async with log_in(tmp_path) as log:
        head = (await log.read(3, 1))[0]
        recorder = Recorder(log, clock=MovedClock(instant(head.at)))
        await give(recorder, "sam", {"kind": "accept_time", "position": 4, "at": instant(head.at).isoformat()})
        await give(recorder, "sam", {"kind": "grant_office", "person": "lou", "office": "secretariat"})
        assert (await give(recorder, "lou", {"kind": "revoke_office", "person": "sam", "office": "secretariat"})).refusal is None
        await recorder.close()
    one, other = commands_in(found(await examined(type_, "--json"), "clock")["remedies"])
    assert one[:5] == other[:5] == ["consortium", "accept-time", "atlas", "--position", "7"]
    assert {one[-1], other[-1]} == {"lou", "tess"}


def accepting(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Who gives which command, by the words of a command line."""
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:2] == ["consortium", "accept-time"]
    return options["--key"], {"kind": "accept_time", "position": int(options["--position"]), "at": options["--at"]}


async def test_a_head_some_minutes_ahead_is_waited_for_and_nobody_accepts_it(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path, timedelta(minutes=10))
    told = await examined(type_, "--json")
    clock = found(told, "clock")
    assert (told.code, clock["verdict"], len(clock["remedies"])) == (1, "act", 1)
    assert clock["remedies"][0].startswith("wait until")


async def test_a_head_some_seconds_ahead_is_well(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path, timedelta(seconds=20))
    assert (await examined(type_, "--json")).code == 0


REHEARSAL = PacedTime(real=datetime(2026, 1, 1, tzinfo=UTC), log=datetime(2026, 1, 1, tzinfo=UTC), pace=1_440)


@pytest.mark.parametrize("clock", [REHEARSAL, MovedTime()], ids=lambda clock: clock.kind)
async def test_a_rehearsal_far_ahead_is_well_and_said_to_stand_still(type_: Terminal, tmp_path: Path, clock: LogTime) -> None:
    await written(tmp_path, timedelta(days=400), clock)
    told = await examined(type_, "--json")
    assert told.code == 0
    assert "stands still at its last entry" in found(told, "clock")["detail"]


async def test_a_demonstration_of_an_earlier_release_is_known_by_its_marker(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path, timedelta(days=400))
    assert (await examined(type_)).code == 1
    (tmp_path / MARKER).touch()
    assert (await examined(type_)).code == 0


async def test_a_log_whose_rules_are_newer_is_refused_by_an_older_release(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(tmp_path)
    monkeypatch.setattr(checks_log, "RULES", str(int(RULES) - 1))
    told = await examined(type_, "--json")
    release = found(told, "release")
    assert (told.code, release["verdict"], release["rules_of_head"]) == (1, "act", RULES)
    assert "use the release that wrote the log" in release["remedies"][0]


async def test_an_entry_that_this_release_cannot_take_in_is_named_with_what_to_use(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path)
    async with log_in(tmp_path) as log:
        last = (await log.read(3, 1))[0]
        events = b'[{"kind":"office_granted","office":"auditor","person":"lys","until":"2027-01-01"}]'
        newer = sealed(
            5, ATLAS, derived_id("newer"), "grant_office", "sam", last.at, last.rules, canonical_command(grant("lys")), b"", b"",
            ACCEPTED, events, last.hash, salts(2),
        )  # fmt: skip
        assert await log.append([newer]) is Appended.DONE
    told = await examined(type_, "--json")
    release = found(told, "release")
    assert (told.code, release["verdict"], found(told, "head")["position"]) == (1, "act", 5)
    assert "entry 5" in release["detail"]
    assert "use the release that wrote the log" in release["remedies"][0]


async def test_one_officer_alone_is_told_that_there_is_no_second_one(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "OFFICERS", [{"person": "sam", "offices": ["secretariat", "treasurer", "board"]}])
    await written(tmp_path, timedelta(hours=2))
    remedies = found(await examined(type_, "--json"), "clock")["remedies"]
    assert commands_in(remedies) == []
    assert "there are not so many" in remedies[-1]


# ---------------------------------------------------------------- this host


async def test_every_misspelt_variable_is_named_with_the_one_that_is_meant_and_the_rest_is_looked_at(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(tmp_path)
    monkeypatch.setenv("CONSORTIUM_SMTP_PROT", "the-secret")
    monkeypatch.setenv("consortium_log", "the-secret")
    monkeypatch.setenv("CONSORTIUM_SMTP_PORT", "the-secret")
    monkeypatch.setenv("CONSORTIUM_PRIVATE_HOSTS", "10.0.0.0/33")
    monkeypatch.setenv("TEMPORAL_ADRESS", "the-secret")
    told = await examined(type_, "--json")
    settings = found(told, "settings")
    assert (told.code, settings["verdict"], found(told, "head")["position"]) == (1, "act", 4)
    remedies = " ".join(settings["remedies"])
    for variable, meant in (
        ("CONSORTIUM_SMTP_PROT", "CONSORTIUM_SMTP_PORT"), ("consortium_log", "CONSORTIUM_LOG"), ("TEMPORAL_ADRESS", "TEMPORAL_ADDRESS"),
    ):  # fmt: skip
        assert f"{variable}: is {meant} meant?" in remedies
    assert "CONSORTIUM_PRIVATE_HOSTS: '10.0.0.0/33' is neither" in remedies
    assert "the-secret" not in told.out + told.err


def test_another_command_is_refused_for_the_same_variables_with_what_is_meant(type_: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_SMTP_PROT", "25")
    told = type_("status")
    assert told.code == 4
    assert "CONSORTIUM_SMTP_PROT: it is no setting; is CONSORTIUM_SMTP_PORT meant?" in told.err


async def test_files_that_are_not_there_or_hold_something_else_are_named(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(tmp_path)
    for name, content in (("addresses.toml", '[ada]\nemails = ["nobody"]\n'), ("accounts.toml", "[hub"), ("signing.pem", "key")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "signing.pem").chmod(0o644)
    old = tmp_path / "names.txt"
    old.write_text("Listed Company\n", encoding="utf-8")
    os.utime(old, (0, 0))
    monkeypatch.setenv("CONSORTIUM_SANCTIONS_LIST", str(old))
    monkeypatch.setenv("CONSORTIUM_LICENCES", str(tmp_path / "none.json"))
    monkeypatch.setenv("CONSORTIUM_RUNS", str(old))
    told = await examined(type_, "--json")
    files = found(told, "files")
    assert (told.code, files["verdict"]) == (1, "act")
    details = [problem["detail"] for problem in files["problems"]]
    for part in (
        "there is no file", "there is no folder", "days old, and screens nobody", "the address book: addresses.toml, ada.emails.0",
        "the accounts with publishers: accounts.toml", "is open to others",
    ):  # fmt: skip
        assert any(part in detail for detail in details), (part, details)
    assert f"chmod 600 {tmp_path / 'signing.pem'}" in files["remedies"]


async def test_what_is_configured_is_told_and_nobody_is_asked(type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await written(tmp_path)
    hook = '[ada]\nwebhooks = [{ url = "https://helio.example/x", secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }]\n'
    (tmp_path / "addresses.toml").write_text(hook, encoding="utf-8")
    for name, value in (
        ("BANK", "https://us:the-secret@bank.example"), ("SMTP_HOST", "mail.example"), ("SENDER", "Atlas <notices@atlas.example>"),
        ("PRIVATE_HOSTS", "mlflow.lan, 10.20.0.0/16"),
    ):  # fmt: skip
        monkeypatch.setenv(f"CONSORTIUM_{name}", value)
    told = await examined(type_, "--json")
    outside = found(told, "outside")
    assert (told.code, outside["verdict"]) == (0, "well")
    assert outside["bank"] == "https://us:***@bank.example"
    assert (outside["mail"], outside["webhooks"], outside["private_hosts"]) == (
        "mail.example:465 (tls)", "1", "mlflow.lan, 10.20.0.0/16",
    )  # fmt: skip
    assert "the-secret" not in told.out


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SMTP_USERNAME": "us"}, "no mail server"),
        ({"SMTP_HOST": "mail.example", "SENDER": "a <a@b.example>", "SMTP_SECURITY": "none"}, "tls or starttls only"),
        ({"SMTP_HOST": "mail.example", "SENDER": "a <a@b.example>", "SMTP_USERNAME": "us"}, "CONSORTIUM_SMTP_PASSWORD is empty"),
        ({"SMTP_HOST": "mail.example"}, "nobody's"),
        ({"BANK": "bank.example"}, "is no address"),
        ({"BANK": "http://bank.example"}, "in the clear"),
        ({"HUB_NAMESPACE": "atlas"}, "has no token"),
        ({"HUB_TOKEN": "the-secret"}, "nobody to publish as"),
        ({"PRIVATE_HOSTS": "0.0.0.0/0"}, "any machine"),
    ],
)
async def test_what_cannot_be_meant_outside_is_told(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    await written(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(f"CONSORTIUM_{name}", value)
    told = await examined(type_, "--json")
    outside = found(told, "outside")
    assert (told.code, outside["verdict"]) == (1, "act")
    assert says in outside["detail"]
    assert "the-secret" not in told.out


def test_a_disk_that_is_almost_full_is_told_and_one_with_room_is_not() -> None:
    def verdicts(free: int, total: int, files: float = 1.0) -> list[str]:
        return [problem.verdict for problem in checks_files.scarce(checks_files.Room(Path("/x"), free, total, files))]

    giga = checks_files.GIGABYTE
    assert verdicts(100 * giga, 500 * giga) == []
    assert verdicts(giga, 500 * giga) == ["note"]
    assert verdicts(giga // 10, 500 * giga) == ["act"]
    assert verdicts(100 * giga, 500 * giga, 0.001) == ["act"]


async def test_the_disks_of_folder_and_log_are_told_once_each(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path)
    (room,) = found(await examined(type_, "--json"), "disk")["rooms"]
    assert room["place"] == str(tmp_path)
    assert 0 < room["free"] <= room["total"]


# ---------------------------------------------------------------- what cannot be looked at


async def test_without_a_log_all_else_is_looked_at_and_what_needs_it_says_so(type_: Terminal) -> None:
    told = await examined(type_, "--json")
    assert told.code == 1
    assert "there is no log at" in found(told, "log")["detail"]
    assert "consortium up --folder" in found(told, "log")["remedies"][0]
    for name in ("release", "head", "clock", "lists", "temporal"):
        assert found(told, name)["verdict"] == "unknown"
        assert "the log cannot be read" in found(told, name)["detail"]
    assert found(told, "disk")["verdict"] == "well"


async def test_a_changed_last_entry_is_told(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path)
    await SqlitePlace(tmp_path / "log.db").tamper(4, "actor", "eve")
    told = await examined(type_, "--json")
    assert (told.code, found(told, "log")["verdict"]) == (1, "act")
    assert found(told, "log")["remedies"][0] == f"consortium verify --folder {tmp_path}"


async def test_a_check_that_takes_too_long_is_given_up_and_the_others_are_made(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(tmp_path)
    hangs = Event()

    async def share(_: findings.Patient) -> findings.Finding:
        await findings.aside(hangs.wait)
        pytest.fail("nobody waits for it")

    monkeypatch.setattr(doctor, "CHECKS", (share, checks_log.head))
    monkeypatch.setattr(doctor, "CHECK_SECONDS", 0.1)
    told = await examined(type_, "--json")
    hangs.set()
    assert (told.code, found(told, "share")["verdict"], found(told, "head")["verdict"]) == (1, "act", "well")
    assert "could not be looked at within" in found(told, "share")["detail"]


async def test_a_deadline_that_passed_while_nothing_runs_is_told(type_: Terminal, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    async with log_in(tmp_path) as log:
        recorder = Recorder(log, clock=MovedClock(now - timedelta(days=20)))
        charter_told = charter().model_dump(mode="json")
        await give(recorder, "sam", {"kind": "found", "charter": charter_told, "officers": OFFICERS, "clock": {"kind": "system"}})
        opens_at = now - timedelta(days=12)
        opened = {
            "kind": "open_round", "title": "Atlas", "currency": "USD", "goal": 100_000_000, "minimum": 80_000_000,
            "opens_at": opens_at.isoformat(), "closes_at": (opens_at + timedelta(days=30)).isoformat(),
            "budget": [{"name": "compute", "amount": 100_000_000}], "tranches": [{"name": "all", "fraction": 10_000}],
        }  # fmt: skip
        name = derived_id("test", "round")
        assert (await recorder.record(Submission("round/atlas", name, "sam", canonical_command(opened)))).refusal is None
        await recorder.close()
    told = await examined(type_, "--json")
    temporal = found(told, "temporal")
    assert (told.code, temporal["verdict"], temporal["overdue"]) == (1, "act", 1)
    assert "a deadline has passed, 12 days ago" in temporal["detail"]
    assert commands_in(temporal["remedies"]) == [["consortium", "up", "--folder", str(tmp_path)][1:]]


async def test_a_step_that_failed_is_told_with_the_command_that_tries_it_again_wherever_one_looks(type_: Terminal, tmp_path: Path) -> None:
    await written(tmp_path)
    assert found(await examined(type_, "--json"), "steps")["verdict"] == "well"
    helio = "member/helio"
    async with log_in(tmp_path) as log:
        recorder = Recorder(log)
        applied = application(representatives=(ADA.model_copy(update={"person": "otto"}), ALAN)).model_dump(mode="json")
        assert (await recorder.record(Submission(helio, derived_id("apply"), "sam", canonical_command(applied)))).refusal is None
        (step,) = (await recorder.standing(helio)).stream.owed
        fails = {"kind": "fail_step", "step": step, "reason": "sanctions.txt is of yesteryear; put a fresh list in its place"}
        await recorder.record(Submission(helio, derived_id("fail"), "service", canonical_command(fails)))
        await recorder.close()
    told = await examined(type_, "--json")
    steps, again = found(told, "steps"), ["retry", helio, step, "--key", "sam", "--folder", str(tmp_path)]
    assert (told.code, steps["verdict"], commands_in(steps["remedies"])) == (1, "act", [again])
    assert "yesteryear" in steps["detail"]
    for looked in (("show", helio), ("status",)):
        shown = await asyncio.to_thread(type_, *looked)
        assert shlex.join(["consortium", *again]) in shown.out


async def test_the_steps_are_found_in_one_look_at_the_lists(type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[Log]()

    async def counted(log: Log) -> Sequence[dict[str, Any]]:
        looks.append(log)
        return await rows(log)

    await written(tmp_path)
    monkeypatch.setattr(checks_log, "rows", counted)
    assert found(await examined(type_, "--json"), "steps")["verdict"] == "well"
    assert len(looks) == 1


@pytest.mark.parametrize("words", [("status",), ("doctor",), ("advance", "1d")], ids=lambda words: words[0])
async def test_a_folder_with_an_odd_name_is_named_so_that_the_command_can_be_typed(
    type_: Terminal, tmp_path: Path, words: Sequence[str]
) -> None:
    odd = tmp_path / "our model's $HOME"
    type_.folder = str(odd)
    told = await asyncio.to_thread(type_, *words, "--json")
    remedy = found(told, "log")["remedies"][0] if words == ("doctor",) else told.error["remedy"]
    assert f"consortium up --folder {shlex.quote(str(odd))}" in remedy


async def test_what_begins_everything_is_named_so_that_it_can_be_typed(type_: Terminal, tmp_path: Path) -> None:
    odd = tmp_path / "our model's $HOME"
    odd.mkdir()
    await written(odd)
    chosen = Settings(folder=odd)
    async with log_in(odd) as log:
        lines = services.lines(await services.found(chosen, named=True), await services.keeping(log), chosen)
    assert f"until `consortium up --folder {shlex.quote(str(odd))}`" in lines[0]


def test_every_remedy_is_a_command_that_there_is() -> None:
    assert main.app["consortium"]["accept-time"].help
