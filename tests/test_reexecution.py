"""Deciding a log again: what is a rule and what is wording, and what other releases must decide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from audit.reexecute import Reexecution, Undecided
from cli import main
from domain.catalog import RULES
from eventstore.clock import MovedClock
from eventstore.entries import EMPTY, Broken, Entry, Head, Submission, encode_json, verify
from eventstore.export import line_of
from eventstore.log import Log, NewerRules
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from tests.places import MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.sealing import resealed
from tests.stories import START, charter

OLDER, NEWER = str(int(RULES) - 1), str(int(RULES) + 1)


def given(number: int, by: str = "sam", /, **fields: object) -> Submission:
    """A command on the consortium's stream."""
    return Submission("consortium/atlas", f"00000000-0000-4000-8000-{number:012}", by, canonical_command(dict(fields)))


def founding() -> Submission:
    offices = {"sam": "secretariat", "tess": "treasurer", "bo": "board"}
    officers = [{"person": person, "offices": [office]} for person, office in offices.items()]
    return given(1, kind="found", charter=charter().model_dump(mode="json"), officers=officers)


async def recorded(log: Log) -> list[Entry]:
    """A founding, an office that is granted, one that is refused, and one that is granted."""
    recorder = Recorder(log, clock=MovedClock(START))
    await recorder.record(founding())
    await recorder.record(given(2, kind="grant_office", person="ann", office="auditor"))
    await recorder.record(given(3, "ann", kind="grant_office", person="bea", office="auditor"))
    await recorder.record(given(4, kind="grant_office", person="bea", office="auditor"))
    await recorder.close()
    return list(await log.read(0))


def chained(entries: Sequence[Entry], change: Callable[[Entry], Entry]) -> list[Entry]:
    """The entries, each changed and sealed anew, so that only the change itself can be found."""
    head, made = EMPTY, list[Entry]()
    for entry in entries:
        made.append(resealed(change(entry), previous=head.hash))
        head = Head.of(made[-1])
    return made


def refusal_with(**changes: str) -> Callable[[Entry], Entry]:
    """A change of every refusal."""

    def changed(entry: Entry) -> Entry:
        return entry._replace(body=encode_json(json.loads(entry.body) | changes)) if entry.outcome == "refused" else entry

    return changed


def by_rules(*versions: str) -> Callable[[Entry], Entry]:
    """The first entries by these versions of the rules, and all that follow by the last of them."""
    return lambda entry: entry._replace(rules=versions[min(entry.position, len(versions)) - 1])


@pytest.mark.parametrize("words", [{"message": "in other words"}, {"remedy": "ask somebody else"}])
async def test_other_words_of_a_refusal_are_told_by_position_and_nothing_is_wrong(words: dict[str, str]) -> None:
    entries = chained(await recorded(MemoryLog()), refusal_with(**words))
    again = Reexecution()
    assert again.check(entries) is None
    assert (again.reworded, again.reworded_at, again.head) == (1, [3], Head.of(entries[-1]))


@pytest.mark.parametrize("changes", [{"rule": "another_rule"}, {"clause": "another.clause"}])
async def test_another_rule_or_clause_of_a_refusal_is_broken(changes: dict[str, str]) -> None:
    found = Reexecution().check(chained(await recorded(MemoryLog()), refusal_with(**changes)))
    assert found is not None
    assert found == Broken(3, found.reason)
    assert found.reason.startswith("the rules demand another refusal")


@pytest.mark.parametrize(
    ("position", "changes", "said"),
    [
        (2, {"body": b'[{"kind":"office_granted","office":"auditor","person":"eve"}]'}, "the rules demand other events"),
        (2, {"body": b"[]"}, "the rules demand other events"),
        (2, {"body": b'[{"person":"ann","kind":"office_granted","office":"auditor"}]'}, "not canonical"),
        (2, {"command": b'{"kind":"grant_office", "office":"auditor","person":"ann"}'}, "not canonical"),
        (2, {"kind": "revoke_office"}, "its kind"),
        (2, {"outcome": "deferred"}, "outcome"),
        (2, {"outcome": "refused", "body": b'{"clause":"","message":"m","remedy":"r","rule":"x"}'}, "another outcome: accepted"),
        (3, {"outcome": "accepted", "body": b"[]"}, "another outcome: refused"),
        (3, {"body": b'{"message":"m","remedy":"r","rule":"office_required"}'}, "clause"),
        (3, {"actor": "nobody-known"}, "no refusal of nobody-known is recorded"),
    ],
)
async def test_everything_else_that_an_entry_holds_is_a_rule(position: int, changes: dict[str, object], said: str) -> None:
    entries = await recorded(MemoryLog())
    forged = chained(entries, lambda entry: entry._replace(**changes) if entry.position == position else entry)  # type: ignore[arg-type]
    assert not isinstance(verify(forged), Broken), "only deciding again finds it"
    found = Reexecution().check(forged)
    assert found is not None
    assert found.position == position
    assert said in found.reason


@pytest.mark.parametrize(
    ("versions", "undecided"),
    [
        ((OLDER,), [Undecided(OLDER, 1, 4)]),
        ((OLDER, OLDER, RULES), [Undecided(OLDER, 1, 2)]),
        ((RULES, RULES, NEWER), [Undecided(NEWER, 3, 4)]),
        (("1", OLDER, RULES, NEWER), [Undecided("1", 1, 1), Undecided(OLDER, 2, 2), Undecided(NEWER, 4, 4)]),
    ],
)
async def test_what_other_rules_decided_is_left_to_the_release_that_has_them(versions: tuple[str, ...], undecided: list[Undecided]) -> None:
    entries = chained(await recorded(MemoryLog()), by_rules(*versions))
    again = Reexecution()
    assert again.check(entries) is None
    assert (again.undecided, again.head) == (undecided, Head.of(entries[-1]))


async def test_what_newer_rules_decided_need_not_be_readable_by_this_release() -> None:
    def newer(entry: Entry) -> Entry:
        unheard = b'[{"kind":"office_lent","person":"ann"}]'
        return entry._replace(rules=NEWER, body=unheard) if entry.position == 4 else entry

    again = Reexecution()
    assert again.check(chained(await recorded(MemoryLog()), newer)) is None
    assert again.undecided == [Undecided(NEWER, 4, 4)]


@pytest.mark.parametrize("versions", [(RULES, OLDER), (NEWER, RULES), (RULES, RULES, OLDER, RULES)])
async def test_older_rules_after_newer_ones_are_broken_with_and_without_deciding_again(versions: tuple[str, ...]) -> None:
    entries = chained(await recorded(MemoryLog()), by_rules(*versions))
    position = next(place for place, pair in enumerate(pairwise(versions), 2) if int(pair[1]) < int(pair[0]))
    for found in (verify(entries), Reexecution().check(entries)):
        assert isinstance(found, Broken)
        assert found.position == position
        assert "never falls" in found.reason


@pytest.mark.parametrize("version", ["", "four", "04", "4.0", "-1", "٤"])
async def test_a_version_of_the_rules_is_a_number(version: str) -> None:
    found = verify(chained(await recorded(MemoryLog()), by_rules(RULES, version)))
    assert isinstance(found, Broken)
    assert found.position == 2


# ---------------------------------------------------------------- recording


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    match request.param:
        case "sqlite":
            return SqlitePlace(request.getfixturevalue("tmp_path") / "log.sqlite")
        case "postgres":
            return PostgresPlace(request.getfixturevalue("postgres_url"))
        case _:
            return MemoryPlace()


async def test_every_log_refuses_older_rules_after_newer_ones_and_keeps_nothing_of_the_batch(place: Place) -> None:
    entries = await recorded(MemoryLog())
    log = await place.open()
    newer = chained(entries, by_rules(OLDER, RULES, RULES, NEWER))
    await log.append(newer[:3])
    fallen = chained(entries, by_rules(OLDER, RULES, RULES, OLDER))
    with pytest.raises(NewerRules):
        await log.append(fallen[3:])
    assert list(await log.read(0)) == newer[:3]
    await log.append(newer[3:])
    assert list(await log.read(0)) == newer
    await log.close()


@pytest.mark.parametrize("place", ["memory", "sqlite"], indirect=True)
async def test_no_batch_hides_a_fall_within_it(place: Place) -> None:
    log = await place.open()
    with pytest.raises(NewerRules):
        await log.append(chained(await recorded(MemoryLog()), by_rules(RULES, NEWER, RULES)))
    assert list(await log.read(0)) == []
    await log.close()


async def test_a_recorder_decides_nothing_after_newer_rules_and_goes_on_after_older_ones(place: Place) -> None:
    entries = await recorded(MemoryLog())
    log = await place.open()
    await log.append(chained(entries, by_rules(OLDER))[:2])
    recorder = Recorder(log, clock=MovedClock(START))
    answer = await recorder.record(given(5, kind="grant_office", person="bea", office="auditor"))
    assert (answer.refusal, answer.entry.rules) == (None, RULES)
    await log.append([resealed(entries[3], previous=answer.entry.hash, rules=NEWER, position=4)])
    for _ in "twice":
        with pytest.raises(NewerRules):
            await recorder.record(given(6, kind="grant_office", person="cyd", office="auditor"))
    assert (await log.head()).position == 4
    await recorder.close()
    await log.close()


# ---------------------------------------------------------------- at the terminal


def exported(folder: Path, change: Callable[[Entry], Entry]) -> str:
    """The path of an export of the log with a change."""
    file = folder / "atlas.jsonl"
    file.write_bytes(b"".join(map(line_of, chained(asyncio.run(recorded(MemoryLog())), change))))
    return str(file)


def test_a_log_of_other_rules_ends_with_a_code_and_a_message_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = exported(tmp_path, by_rules(OLDER, OLDER, RULES, NEWER))
    assert main.run(["verify", "--file", file]) == 0
    capsys.readouterr()
    assert main.run(["verify", "--file", file, "--decide", "--json"]) == 5
    told = json.loads(capsys.readouterr().err)
    assert (told["error"], told["entries"]) == ("other rules", 4)
    assert told["not_decided"] == [{"rules": OLDER, "first": 1, "last": 2}, {"rules": NEWER, "first": 4, "last": 4}]
    assert main.run(["verify", "--file", file, "--decide"]) == 5
    said = capsys.readouterr().err
    assert "the log was not changed" in said
    assert f"1 to 2 need a release with rules {OLDER}" in said


def test_a_log_that_was_changed_ends_with_another_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = exported(tmp_path, by_rules(RULES, OLDER))
    for words in (["--decide"], []):
        assert main.run(["verify", "--file", file, "--json", *words]) == 1
        told = json.loads(capsys.readouterr().err)
        assert (told["error"], told["position"]) == ("broken", 2)


def test_other_wording_is_told_and_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = exported(tmp_path, refusal_with(remedy="ask somebody else"))
    assert main.run(["verify", "--file", file, "--decide", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["reworded"], told["reworded_at"]) == (1, [3])
    assert main.run(["verify", "--file", file, "--decide"]) == 0
    assert "1 refusal stands, worded otherwise by this release: at 3." in capsys.readouterr().out
