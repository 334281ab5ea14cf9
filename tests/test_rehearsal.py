"""Rehearsing one's own charter: a log whose time runs faster, stands still between two runs, and goes on when it is let.

| `consortium up` | on a new folder | on a rehearsal's | on a log in earnest |
| --- | --- | --- | --- |
| | in earnest | stands still at the last entry | goes on |
| `--pace N` | a rehearsal at that pace | stands still; refused for another pace | refused |
| `--go-on` | refused | runs on from the last entry, at its pace | refused |
| `--go-on --pace N` | refused | runs on at that pace, which is a fact on the log | refused |
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import worker
from activities.log.record import require_clock
from cli import embedded
from cli.embedded import ADVANCE, Embedded, _advancing, _ended, pace_of
from cli.embedded import require_clock as require_own_clock
from cli.failures import BadInput
from cli.site import clock_of, running
from domain.register.facts import LogTime, MovedTime, PacedTime, SystemTime
from domain.register.state import Register
from eventstore.clock import Clock, MovedClock, PacedClock, StandingClock, SystemClock, fact_of
from eventstore.wire import Malformed
from settings import MARKER, Settings, is_rehearsal
from tests.keyrings import keys_in
from tests.stories import charter
from tests.test_cli import CHARTER, OFFICERS, Terminal, bare, consortium
from tests.waiting import until

__all__ = ["bare"]

pytestmark = pytest.mark.heavy

PACE = 86_400
"""A day in a second."""
START = datetime(2026, 11, 2, tzinfo=UTC)
PACED = PacedClock(START, START, 1_440)
REHEARSAL = fact_of(PACED)


class Run:
    """An `up` on a folder, for as long as a test needs it."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._words = consortium("up", "--folder", str(folder), "--json", *words)

    def __enter__(self) -> dict[str, Any]:
        self._up = subprocess.Popen(self._words, stdout=subprocess.PIPE, text=True)
        assert self._up.stdout is not None
        line = self._up.stdout.readline()
        assert line, "up ended"
        told: dict[str, Any] = json.loads(line)
        return told

    def __exit__(self, *_: object) -> None:
        self._up.send_signal(signal.SIGINT)
        assert self._up.wait(30) == 0


def entries(type_: Terminal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in type_("log", "--json").out.splitlines()]


def at(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"])


def found(type_: Terminal, folder: Path) -> None:
    officers = folder / "officers.toml"
    officers.write_text(OFFICERS, encoding="utf-8")
    keys_in(folder, "sam", "tess")
    told = type_("consortium", "found", "atlas", "--charter", str(CHARTER), "--from", str(officers), "--key", "sam")
    assert told.code == 0, told.err


def open_round(type_: Terminal, opens_at: datetime) -> None:
    terms = {
        "title": "Atlas-1", "currency": "USD", "goal": "1,000,000.00 USD", "minimum": "800,000.00 USD", "opens_at": opens_at.isoformat(),
        "closes_at": (opens_at + timedelta(days=365)).isoformat(), "budget": [{"name": "compute", "amount": "1,000,000.00 USD"}],
        "tranches": [{"name": "all", "fraction": 10_000}],
    }  # fmt: skip
    terms_file = Path(type_.folder) / "terms.json"
    terms_file.write_text(json.dumps(terms), encoding="utf-8")
    told = type_("round", "open-round", "atlas-1", "--from", str(terms_file), "--key", "sam")
    assert told.code == 0, told.err


def grant(type_: Terminal, person: str) -> None:
    told = type_("consortium", "grant-office", "atlas", "--person", person, "--office", "auditor", "--key", "sam")
    assert told.code == 0, told.err


@pytest.fixture
def type_(bare: Terminal, tmp_path: Path) -> Terminal:
    bare.folder = str(tmp_path)
    return bare


def clock_row(type_: Terminal) -> str:
    """What `doctor` says of the clock."""
    return next(str(each["detail"]) for each in type_("doctor", "--json").json["checks"] if each["check"] == "clock")


@pytest.mark.timeout(300)
def test_a_charter_is_rehearsed_stands_still_between_two_runs_and_goes_on_when_it_is_let(type_: Terminal, tmp_path: Path) -> None:
    with Run(tmp_path, "--pace", str(PACE)):
        found(type_, tmp_path)
        time.sleep(1)
        grant(type_, "lea")
        founding, granted = entries(type_)
        assert founding["command"]["clock"]["pace"] == PACE
        assert at(granted) - at(founding) > timedelta(days=1)
        open_round(type_, at(granted) + timedelta(days=1_000))
        assert "it runs" in clock_row(type_)
    begun = entries(type_)
    with Run(tmp_path) as told:
        assert told["clock"] == "standing"
        assert running(tmp_path)["clock"] == {"kind": "standing"}  # type: ignore[index]
        time.sleep(5)
        assert entries(type_) == begun
        grant(type_, "leo")
        *_, last = entries(type_)
        assert at(last) == at(begun[-1])
        assert type_("up", "--pace", "2").code == 4
        assert "stands still" in clock_row(type_)
        assert "stands still" in type_("advance", "1d").err
    assert type_("verify", "--decide").code == 0
    with Run(tmp_path, "--go-on", "--pace", str(100 * PACE)):
        until(lambda: any(entry["kind"] == "start_pledging" for entry in entries(type_)))
    restarted = entries(type_)[len(begun) + 1]
    assert (restarted["kind"], restarted["actor"], restarted["at"]) == ("restart_clock", "service", last["at"])
    assert restarted["events"][0]["clock"]["pace"] == 100 * PACE
    assert type_("verify", "--decide").code == 0


@pytest.mark.timeout(120)
def test_a_log_in_earnest_gets_no_other_clock(type_: Terminal, tmp_path: Path) -> None:
    assert type_("up", "--go-on").code == 4
    with Run(tmp_path) as told:
        assert told["clock"] == "system"
        found(type_, tmp_path)
    before = entries(type_)
    assert {"kind": "clock_set", "clock": {"kind": "system"}} in before[0]["events"]
    for words in (("--pace", "60"), ("--pace", "1"), ("--go-on",), ("--go-on", "--pace", "60")):
        told_off = type_("up", *words)
        assert told_off.code == 4
        assert "in earnest" in told_off.err
    assert entries(type_) == before


@pytest.mark.parametrize("pace", ["0", "-1", "10000001"])
def test_no_pace_is_taken_that_is_none(type_: Terminal, pace: str) -> None:
    assert type_("up", "--pace", pace).code == 4


def test_no_rehearsal_is_begun_on_the_log_that_the_environment_names(
    bare: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSORTIUM_LOG", str(tmp_path / "log.db"))
    told = bare("up", "--pace", "60")
    assert (told.code, "CONSORTIUM_LOG" in told.err) == (4, True)


def test_the_clock_is_no_setting_and_who_sets_it_is_told_how_to_rehearse(bare: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_CLOCK", "now,then,0")
    told = bare("status")
    assert (told.code, "consortium up --pace" in told.err) == (4, True)


def test_a_rehearsal_reaches_nothing_real() -> None:
    real = Settings(bank="https://bank.example", smtp_host="mail.example", s3_bucket="models", log="postgresql://db/rehearsal")
    played = worker.played(real)
    assert (played.bank, played.smtp_host, played.s3_bucket) == ("", "", "")
    assert (played.log, played.folder, played.task_queue) == (real.log, real.folder, real.task_queue)


@pytest.mark.parametrize(("known", "pace", "begun", "go_on"), [
    (None, None, False, False), (None, 60, False, False),
    (None, None, True, False),
    (REHEARSAL, None, True, False), (REHEARSAL, 1_440, True, False), (REHEARSAL, None, True, True), (REHEARSAL, 60, True, True),
    (MovedTime(), 1, True, False), (SystemTime(), 60, True, True),
])  # fmt: skip
def test_what_up_does_with_a_log_is_what_the_log_says(known: LogTime | None, pace: int | None, *, begun: bool, go_on: bool) -> None:
    require_own_clock(known, pace, begun=begun, go_on=go_on)


@pytest.mark.parametrize(("known", "pace", "begun", "go_on"), [
    (None, None, False, True), (None, 60, False, True),
    (None, 60, True, False), (None, 1, True, False), (None, None, True, True),
    (REHEARSAL, 60, True, False), (MovedTime(), 60, True, False),
])  # fmt: skip
def test_up_refuses_every_other_clock(known: LogTime | None, pace: int | None, *, begun: bool, go_on: bool) -> None:
    with pytest.raises(BadInput):
        require_own_clock(known, pace, begun=begun, go_on=go_on)


@pytest.mark.parametrize(("clock", "fact"), [
    (SystemClock(), SystemTime()), (PACED, PacedTime(real=START, log=START, pace=1_440)), (MovedClock(START), MovedTime()),
])  # fmt: skip
def test_a_founding_states_the_clock_by_which_it_is_dated_and_no_other(clock: Clock, fact: LogTime) -> None:
    founding = {"kind": "found", "charter": charter().model_dump(mode="json"), "clock": fact.model_dump(mode="json")}
    require_clock(founding, clock)
    if isinstance(clock, MovedClock):
        return
    other = SystemTime() if isinstance(fact, PacedTime) else fact_of(PACED)
    for wrong in (other.model_dump(mode="json"), PacedTime(real=START, log=START, pace=2).model_dump(mode="json"), {"kind": "sundial"}):
        with pytest.raises(Malformed):
            require_clock(founding | {"clock": wrong}, clock)


def test_a_founding_that_states_no_clock_is_in_earnest() -> None:
    require_clock({"kind": "found"}, SystemClock())
    with pytest.raises(Malformed):
        require_clock({"kind": "found"}, PACED)


@pytest.mark.parametrize(("announced", "clock"), [
    (None, SystemClock()), ({"kind": "system"}, SystemClock()), ({"kind": "standing"}, StandingClock()),
    (REHEARSAL.model_dump(mode="json"), PACED),
])  # fmt: skip
def test_tools_and_workers_beside_an_up_go_by_the_clock_that_it_announced(announced: dict[str, Any] | None, clock: Clock) -> None:
    assert clock_of(announced and {"clock": announced}) == clock


def test_a_log_is_a_rehearsal_by_what_it_says_or_by_the_marker_of_a_demonstration(tmp_path: Path) -> None:
    assert not is_rehearsal(Register(), Settings(folder=tmp_path))
    assert is_rehearsal(Register(clock=REHEARSAL), Settings(folder=tmp_path))
    (tmp_path / MARKER).touch()
    assert is_rehearsal(Register(), Settings(folder=tmp_path))
    assert not is_rehearsal(Register(), Settings(folder=tmp_path, log="postgresql://db/consortium"))
    assert pace_of(MovedTime()) == pace_of(SystemTime()) == 1


class Asked:
    """An `up` whose time cannot pass the first time it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times = 0

    async def advance(self, by: timedelta) -> None:
        self.times += 1
        if self.times == 1:
            raise OverflowError("date value out of range")
        assert by == timedelta(days=1)


async def test_time_that_cannot_pass_is_no_end_of_asking(tmp_path: Path) -> None:
    up, asked = Asked(tmp_path), asyncio.Event()
    request = tmp_path / ADVANCE
    request.write_text('{"seconds": 86400}', encoding="utf-8")
    task = asyncio.create_task(_advancing(cast(Embedded, up), asked))
    async with asyncio.timeout(20):
        while request.exists():
            asked.set()
            await asyncio.sleep(0)
    assert up.times == 2
    task.cancel()


def test_a_server_that_does_not_end_when_it_is_asked_to_is_killed_and_gone_before_another_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "ENDING_SECONDS", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); held = b'1' * 2**27; print(len(held), flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        asyncio.run(_ended(server.pid))
        assert server.poll() == -signal.SIGKILL
