"""What people are shown: instants in one form, ids that stay whole, numbers for programs, and nothing that is not there.

| shown | form |
| --- | --- |
| an instant | `2026-12-06 09:00 (in 6 days)`: the terminal's zone, rounded down, the distance from the log's time |
| an id | never broken, however narrow the terminal |
| JSON | numbers and codes; no Markdown |
| a stream | by its name, or by the end of it where that is one only |
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import look, times
from cli.links import links_of
from cli.options import Where
from domain.catalog import RULES
from domain.charter import Office
from domain.kernel import derived_id
from domain.money import Money
from domain.process import Table
from domain.register.facts import RunReported, SubstituteNamed
from eventstore.clock import MovedClock
from eventstore.entries import ACCEPTED, Submission, sealed
from eventstore.log import Appended
from eventstore.readmodels import Projector
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from tests.sealing import salts
from tests.stories import charter, day, founded, noted
from tests.test_cli import Terminal, bare
from tests.test_doctor import OFFICERS, log_in

__all__ = ["bare"]

NOW = datetime(2026, 11, 30, 8, 30, 59, 999_999, UTC)
LONG = f"round/{'a-long-name-' * 3}last"
SHOWN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d \((?:in [\d,]+ \w+|[\d,]+ \w+ ago|now)\)")
FOREIGN = re.compile(r"\d{4}-\d\d-\d\dT|\d\d:\d\dZ|\+00:00|\.\d{6}")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A terminal five and a half hours east of Greenwich."""
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def opened(title: str) -> dict[str, Any]:
    """A round that opens in six days, less a minute."""
    opens_at = datetime.now(UTC) + timedelta(days=7, minutes=-1)
    return {
        "kind": "open_round", "title": title, "currency": "USD", "goal": 100_000_000, "minimum": 80_000_000, "opens_at": opens_at.isoformat(),
        "closes_at": (opens_at + timedelta(days=10)).isoformat(), "budget": [{"name": "compute", "amount": 100_000_000}],
        "tranches": [{"name": "all", "fraction": 10_000}],
    }  # fmt: skip


async def written(folder: Path, given: Sequence[tuple[str, dict[str, Any]]], *, listed: bool = False) -> None:
    """A founded log in this folder on which sam gave these commands, an hour ago."""
    founding = {"kind": "found", "charter": charter().model_dump(mode="json"), "officers": OFFICERS, "clock": {"kind": "system"}}
    async with log_in(folder) as log:
        recorder = Recorder(log, clock=MovedClock(datetime.now(UTC) - timedelta(hours=1, minutes=1)))
        for stream, command in (("consortium/atlas", founding), *given):
            name = derived_id("test", stream, json.dumps(command))
            await recorder.record(Submission(stream, name, "sam", canonical_command(command)))
        await recorder.close()
        if listed:
            await Projector(log).catch_up()


ROUNDS = (("round/atlas", opened("Atlas")), ("round/solo", opened("Solo *one*")), (LONG, opened("Long")))
TYPED_WRONG = ("proposal/typo", {"kind": "cast_ballot", "choice": "yes"})


@pytest.fixture
def type_(bare: Terminal, tmp_path: Path) -> Terminal:
    """A terminal on a folder of its own, with a few rounds and a ballot on a proposal that does not exist."""
    asyncio.run(written(tmp_path, (*ROUNDS, TYPED_WRONG)))
    bare.folder = str(tmp_path)
    return bare


# ---------------------------------------------------------------- instants


@pytest.mark.parametrize(
    ("away", "words"),
    [
        (timedelta(days=7, microseconds=-1), "in 6 days"),
        (timedelta(days=1), "in 1 day"),
        (timedelta(hours=24, seconds=-1), "in 23 hours"),
        (timedelta(minutes=61), "in 1 hour"),
        (timedelta(seconds=59), "now"),
        (timedelta(seconds=-59), "now"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(days=-400), "400 days ago"),
    ],
)
def test_a_distance_is_rounded_down_in_its_largest_unit(away: timedelta, words: str) -> None:
    assert times.distance(NOW + away, NOW) == words


def test_an_instant_is_shown_in_the_terminals_zone_and_rounded_down(elsewhere: None) -> None:
    assert times.shown(NOW, NOW) == "2026-11-30 14:00 (now)"
    assert times.shown((NOW + timedelta(days=2)).isoformat(), NOW) == "2026-12-02 14:00 (in 2 days)"
    assert times.shown(None, NOW) == ""


@pytest.mark.parametrize(
    "words",
    [("rounds",), ("show", "round/solo"), ("log",), ("status",), ("inbox", "sam"), ("doctor",)],
    ids=lambda words: words[0],
)
def test_every_view_shows_instants_in_the_one_form_and_nothing_recorded_in_the_future(type_: Terminal, words: tuple[str, ...]) -> None:
    told = type_(*words)
    assert (told.code, FOREIGN.findall(told.out)) == (0, [])
    if words[0] not in {"inbox", "doctor"}:
        assert SHOWN.search(" ".join(told.out.split())), told.out
    if words[0] == "log":
        assert "(1 hour ago)" in told.out
        assert " (in " not in told.out
    if words[0] in {"rounds", "show", "status"}:
        assert "(in 6 days)" in told.out


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize("width", ["80", "60"])
@pytest.mark.parametrize("words", [("rounds",), ("status",), ("show", LONG), ("log",), ("doctor",)], ids=lambda words: words[0])
def test_no_id_is_broken_on_a_narrow_terminal(type_: Terminal, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], width: str) -> None:
    whole = set(re.findall(r"[^\s,]+", type_(*words).out))
    monkeypatch.setenv("COLUMNS", width)
    told = type_(*words)
    assert told.code == 0
    ids = {word for word in whole if re.fullmatch(r"(consortium|round|proposal)/[a-z-]+|[0-9a-f]{64}|[0-9a-f-]{36}|[a-z]+_[a-z_]+", word)}
    if words[0] != "doctor":
        assert any(word in ids for word in (LONG, "charter_adopted", "round_opened")) or words[0] == "status"
    assert ids - set(re.findall(r"[^\s,]+", told.out)) == set()


def test_a_table_that_fits_stays_a_table(type_: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert type_("members").code == 0
    lines = type_("status").out.splitlines()
    assert any(line.split() == ["process", "phase", "number"] for line in lines)


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("words", [("rounds",), ("show", "round/solo"), ("status",)], ids=lambda words: words[0])
def test_json_carries_numbers_and_no_markdown(type_: Terminal, words: tuple[str, ...]) -> None:
    told = type_(*words, "--json")
    assert told.code == 0, told.err
    assert not re.search(r"\| ---|\*\*|\\\\[*_]", told.out)
    assert "Solo *one*" in told.out
    if words[0] != "status":
        found = told.json[1] if words[0] == "rounds" else told.json
        assert "details" not in found
        assert found["amounts"]["pledged"] == {"minor": 0, "currency": "USD", "units": "USD 0.00"}


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize("listed", [False, True], ids=["folded", "listed"])
def test_a_refused_first_command_leaves_no_row_and_can_still_be_looked_at(bare: Terminal, tmp_path: Path, *, listed: bool) -> None:
    asyncio.run(written(tmp_path, (*ROUNDS, TYPED_WRONG), listed=listed))
    bare.folder = str(tmp_path)
    assert bare("proposals", "--json").json == []
    assert bare("proposals").out == "There is no proposal yet.\n"
    assert "proposal" not in bare("status", "--json").json["processes"]
    shown = bare("show", "proposal/typo")
    assert (shown.code, "has not begun" in shown.out, "refused: " in shown.out) == (0, True, True)


def test_the_end_of_a_name_is_enough_where_it_is_one_only(type_: Terminal) -> None:
    assert type_("show", "solo").out == type_("show", "round/solo").out
    assert type_("log", "--stream", "solo", "--json").out == type_("log", "--stream", "round/solo", "--json").out


@pytest.mark.parametrize(
    ("name", "says"),
    [("atlas", "consortium/atlas or round/atlas"), ("nobody", "nothing is on the log about nobody"), ("No/pe", "is not of the form")],
)
def test_a_name_that_is_several_or_none_is_told_so(type_: Terminal, name: str, says: str) -> None:
    told = type_("show", name)
    assert (told.code, says in told.err) == (4, True), told.err


# ---------------------------------------------------------------- notices that reach nobody


def test_people_whom_no_notice_reaches_need_attention_summed_by_person_and_reason(bare: Terminal, tmp_path: Path) -> None:
    async def told() -> None:
        await written(tmp_path, ())
        async with log_in(tmp_path) as log:
            head = await log.head()
            facts = [
                {"kind": "recipients_unreached", "step": f"notice:{n}", "recipients": lacking(n), "at": NOW.isoformat()} for n in range(154)
            ]
            events = json.dumps([fact for fact in facts if fact["recipients"]], separators=(",", ":"), sort_keys=True).encode()
            name, command = derived_id("sent"), canonical_command({"kind": "step_done", "step": "notice:1"})
            entry = sealed(
                head.position + 1,
                "consortium/atlas",
                name,
                "step_done",
                "service",
                head.at,
                RULES,
                command,
                b"",
                b"",
                ACCEPTED,
                events,
                head.hash,
                salts(1 + events.count(b'"kind"')),
            )
            assert await log.append([entry]) is Appended.DONE

    def lacking(number: int) -> dict[str, str]:
        return {"member:helio": "no_address"} | ({"zoe": "refused"} if number % 2 else {})

    asyncio.run(told())
    bare.folder = str(tmp_path)
    found = bare("status", "--json").json["unreached"]
    assert [(each["recipient"], each["reason"], each["notices"]) for each in found] == [
        ("member:helio", "no_address", 154),
        ("zoe", "refused", 77),
    ]
    shown = bare("status").out
    assert "Nothing needs attention" not in shown
    assert (shown.count("member:helio"), shown.count("zoe")) == (1, 1)
    assert re.search(r"member:helio +no address +154 ", shown)


def test_what_waits_for_an_absent_treasurer_is_in_the_inbox_of_who_stands_in_for_the_time_of_the_absence() -> None:
    row = {
        "stream": "round/atlas-1", "phase": "refunding", "line": "1.00 to give back", "waits_for": ["office:treasurer"],
        "attention": False, "due": None, "deadline": None,
    }  # fmt: skip
    away = SubstituteNamed(person="tess", substitute="bo", offices=(Office.TREASURER,), members=(), since=day(2), until=day(5))
    found = {at: [each["as"] for each in look._waiting(noted(founded(), away), "bo", [row], day(at))] for at in (1, 2, 5)}
    assert found == {1: [], 2: [["office:treasurer"]], 5: []}


def test_a_round_that_waits_for_its_run_is_in_the_boards_inbox_only_while_there_is_no_such_run() -> None:
    row = {
        "stream": "round/atlas-1", "phase": "calling", "line": "the next tranche waits", "waits_for": ["run/vega", "office:board"],
        "attention": False, "due": None, "deadline": None,
    }  # fmt: skip
    assert [each["as"] for each in look._waiting(founded(), "bo", [row], day(1))] == [["office:board"]]
    begun = RunReported(run="vega", phase="approved", contract="c" * 64, checkpoints_retained=True, training_lead="lea")
    assert list(look._waiting(noted(founded(), begun), "bo", [row], day(1))) == []
    agreed, names = noted(founded(), begun), ("run/vega", "office:board", "member:helio")
    assert agreed.awaited(names) == ("run/vega", "member:helio")
    assert agreed.awaited(("run/atlas-1", *names[1:])) == ("run/atlas-1", *names[1:])
    assert agreed.awaited(("office:board",)) == ("office:board",)


def test_status_counts_for_the_board_only_what_still_waits_for_it() -> None:
    row = {"stream": "round/atlas-1", "waits_for": ["run/vega", "office:board"], "attention": False, "due": None}
    begun = RunReported(run="vega", phase="approved", contract="c" * 64, checkpoints_retained=True, training_lead="lea")
    for agreed, waited_for in (
        (None, ["office:board", "run/vega"]),
        (founded(), ["office:board", "run/vega"]),
        (noted(founded(), begun), ["run/vega"]),
    ):
        links = links_of("http://ui", look._as_agreed([row], agreed), NOW)
        assert sorted(link.waits_for for link in links if link.waits_for) == waited_for


def test_the_command_that_tries_a_step_again_is_whole_and_quoted_however_long_the_step_and_its_folder_are() -> None:
    step, folder = f"pay:{'9' * 300}", Path("an odd folder's/$HOME")
    row = {"stream": "round/atlas-1", "failed": {step: "no money"}, "attention": True}
    (command,) = look._again(founded(), Where(folder=folder), [row])
    assert shlex.split(command) == ["consortium", "retry", "round/atlas-1", step, "--key", "sam", "--folder", str(folder)]


def test_an_inbox_says_what_each_member_is_asked_to_pay_by_when_and_what_a_further_day_adds() -> None:
    columns = ("member", "amount", "pay_by", "per_further_day", "reference")
    owed = [(member, Money(100_180, "USD"), date(2026, 11, 29), Money(100, "USD"), "RF18 5390") for member in ("ada", "bel")]
    bills = look._bills_of(["office:treasurer", "member:bel"], [Table("calls", ("call",), [(1,)]), Table("to_pay", columns, owed)])
    assert [bill["member"] for bill in bills] == ["bel"]
    assert look._line_of({"line": "calling", "to_pay": bills}) == (
        "calling; bel pays USD 1,001.80 by 2026-11-29, and USD 1.00 for each further day, with the reference RF18 5390"
    )


def test_steps_that_failed_for_one_reason_are_one_row() -> None:
    row = {
        "stream": "round/a",
        "failed": {f"notice:{number}": "nobody was told" for number in range(154)} | {"pay:1": "no line"},
        "delayed": {},
    }
    assert look._summed(look._troubled([row])) == [
        ("round/a", "notice:0 and 153 more", "failed", "nobody was told"),
        ("round/a", "pay:1", "failed", "no line"),
    ]


# ---------------------------------------------------------------- long logs


@pytest.mark.parametrize("listed", [False, True], ids=["without lists", "with lists"])
def test_who_looks_at_a_long_log_folds_no_years_and_says_what_is_left_out(
    bare: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    asyncio.run(written(tmp_path, ROUNDS, listed=listed))
    bare.folder = str(tmp_path)
    for module in ("cli.site", "cli.checks_log", "eventstore.readmodels"):
        monkeypatch.setattr(f"{module}.FOLDED", 2)
    shown, status, examined = bare("show", "round/atlas"), bare("status", "--json"), bare("doctor", "--json")
    assert (shown.code, "round_opened" in shown.out) == (0, True)
    assert ("no snapshot is near the head" in shown.err) is not listed
    assert (status.code, status.json["lists"]["behind"]) == (0, 0 if listed else 4)
    found = {finding["check"]: finding["verdict"] for finding in examined.json["checks"]}
    assert (examined.code, found["lists"], found["release"], found["clock"]) == (
        (0, "well", "well", "well") if listed else (1, "act", "note", "unknown")
    )
