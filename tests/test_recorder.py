"""Recording: once, in one order, whoever asks and however often; with several workers on one log."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from audit.reexecute import Reexecution, Undecided
from domain.catalog import CATALOG, process_for
from domain.charter import Office
from domain.consortium import commands
from domain.consortium.process import CONSORTIUM
from domain.consortium.terms import Officer
from domain.kernel import Command
from domain.process import Process
from eventstore import snapshots
from eventstore.answers import SameIdOtherCommand
from eventstore.clock import Clock, MovedClock, SystemClock
from eventstore.entries import EMPTY, Entry, Head, Submission, encode_json, verify
from eventstore.keeper import Keeper
from eventstore.log import Appended, FellBack, Log
from eventstore.recorder import YIELD_EVERY, Recorder
from eventstore.wire import Malformed, canonical_command, require_sender, strict_json
from tests.places import MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.sealing import resealed
from tests.stories import START, charter

ATLAS = "consortium/atlas"
SYSTEM = SystemClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    return SqlitePlace(tmp_path / "log.db") if request.param == "sqlite" else PostgresPlace(request.getfixturevalue("postgres_url"))


Workers = Callable[..., Any]


@pytest_asyncio.fixture
async def worker(place: Place) -> AsyncIterator[Workers]:
    """Makes recorders on the place's log, each as a process of its own would."""
    async with AsyncExitStack() as stack:

        async def make(processes: Mapping[str, Process[Any, Any, Any]] = CATALOG, clock: Clock = SYSTEM) -> Recorder:
            log = await place.open()
            recorder = Recorder(log, processes, clock)
            stack.push_async_callback(log.close)
            stack.push_async_callback(recorder.close)
            return recorder

        yield make


def submission(command: Command, by: str = "sam", *, command_id: str = "") -> Submission:
    return Submission(ATLAS, command_id or str(uuid.uuid4()), by, encode_json(command.model_dump()))


def founding() -> Submission:
    officers = (
        Officer(person="sam", offices=frozenset({Office.SECRETARIAT})),
        Officer(person="tess", offices=frozenset({Office.TREASURER})),
        Officer(person="bo", offices=frozenset({Office.BOARD})),
    )
    return submission(commands.Found(charter=charter(), officers=officers))


def grant(number: int) -> Submission:
    return submission(commands.GrantOffice(person=f"person-{number}", office=Office.AUDITOR))


async def everything(log: Log) -> list[Entry]:
    entries: list[Entry] = []
    while more := await log.read(len(entries)):
        entries += more
    return entries


async def assert_sound(log: Log, size: int) -> None:
    entries = await everything(log)
    assert isinstance(head := verify(entries), Head)
    assert head.position == len(entries) == size
    assert Reexecution().check(entries) is None


async def test_a_repeated_command_has_one_answer_and_one_entry(worker: Workers) -> None:
    recorder = await worker()
    first = founding()
    answers = await asyncio.gather(*(recorder.record(first) for _ in range(20)))
    again = await (await worker()).record(first)
    assert {answer.entry for answer in (*answers, again)} == {answers[0].entry}
    await assert_sound(recorder.log, 1)


async def test_a_refusal_is_on_the_log_and_stays_the_answer(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    second = founding()
    refused = await recorder.record(second)
    assert refused.refusal is not None
    assert refused.refusal.rule == "already_founded"
    again = await (await worker()).record(second)
    assert (again.refusal, again.entry) == (refused.refusal, refused.entry)
    await assert_sound(recorder.log, 2)


async def test_a_strangers_refusal_leaves_no_trace(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    refused = await recorder.record(submission(commands.GrantOffice(person="eve", office=Office.TREASURER), by="eve"))
    assert refused.refusal is not None
    await assert_sound(recorder.log, 1)


@pytest.mark.parametrize("known_here", [True, False])
async def test_an_id_is_never_used_for_another_command(worker: Workers, *, known_here: bool) -> None:
    recorder = await worker()
    first = founding()
    await recorder.record(first)
    other = recorder if known_here else await worker()
    for changed in (
        grant(1)._replace(command_id=first.command_id),
        first._replace(actor="tess"),
        first._replace(stream="consortium/other"),
    ):
        with pytest.raises(SameIdOtherCommand):
            await other.record(changed)
    await assert_sound(recorder.log, 1)


async def test_many_callers_of_several_workers_make_one_order(worker: Workers) -> None:
    workers = [await worker() for _ in range(3)]
    await workers[0].record(founding())
    answers = await asyncio.gather(*(workers[number % 3].record(grant(number)) for number in range(150)))
    assert sorted(answer.entry.position for answer in answers) == list(range(2, 152))
    states = [(await each.standing(ATLAS)).stream for each in workers]
    assert states[0] == states[1] == states[2]
    await assert_sound(workers[0].log, 151)


async def test_a_caller_who_never_pauses_yields_to_the_event_loop(worker: Workers) -> None:
    recorder, turns = await worker(), 0
    await recorder.record(founding())

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for number in range(40):
        await recorder.record(grant(number))
    task.cancel()
    assert turns >= 40 // YIELD_EVERY


@pytest.mark.parametrize("uncontended", range(YIELD_EVERY))
async def test_many_callers_share_commits_however_many_uncontended_commands_came_before(
    worker: Workers, monkeypatch: pytest.MonkeyPatch, uncontended: int
) -> None:
    recorder, batches = await worker(), list[int]()
    for command in (founding(), *map(grant, range(uncontended))):
        await recorder.record(command)

    def counted(way: Callable[..., Any]) -> Callable[..., Any]:
        def send(entries: Sequence[Entry], *rest: Any) -> Any:
            batches.append(len(entries))
            return way(entries, *rest)

        return send

    for name in ("append", "begin"):
        monkeypatch.setattr(recorder.log, name, counted(getattr(recorder.log, name)))
    await asyncio.gather(*(recorder.record(grant(number)) for number in range(100, 164)))
    assert max(batches) >= 16
    await assert_sound(recorder.log, 1 + uncontended + 64)


async def test_a_decision_sees_what_another_worker_recorded(worker: Workers) -> None:
    one, two = await worker(), await worker()
    await one.record(founding())
    await two.record(grant(1))
    await one.record(submission(commands.GrantOffice(person="tom", office=Office.SECRETARIAT)))
    accepted = await two.record(submission(commands.GrantOffice(person="ann", office=Office.AUDITOR), by="tom"))
    assert accepted.refusal is None


async def test_time_on_the_log_never_goes_back(worker: Workers) -> None:
    recorder = await worker(clock=MovedClock(START))
    await recorder.record(founding())
    early = await (await worker(clock=MovedClock(START - timedelta(days=1)))).record(grant(1))
    late = await (await worker(clock=MovedClock(START + timedelta(days=1)))).record(grant(2))
    assert early.entry.at == (await everything(recorder.log))[0].at < late.entry.at


async def test_bad_input_is_told_what_to_change_and_is_not_recorded(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    for command, said in (
        (b'{"kind":"grant_office","office":"auditor","person":"Ann Smith"}', "person"),
        (b'{"kind":"grant_office","office":"king","person":"ann"}', "office"),
        (b'{"kind":"grant_throne"}', "there is no command 'grant_throne'"),
        (b'{"extra":1,"kind":"grant_office","office":"auditor","person":"ann"}', "extra"),
    ):
        with pytest.raises(Malformed, match=said):
            await recorder.record(Submission(ATLAS, str(uuid.uuid4()), "sam", command))
    with pytest.raises(Malformed, match="no process"):
        await recorder.record(grant(1)._replace(stream="nothing/atlas"))
    await assert_sound(recorder.log, 1)


async def test_a_bug_in_a_rule_is_told_to_its_caller_and_to_nobody_else(worker: Workers) -> None:
    def decide(state: Any, command: Any, context: Any) -> Any:
        if isinstance(command, commands.EnrolKey):
            raise ZeroDivisionError
        return CONSORTIUM.decide(state, command, context)

    recorder = await worker({"consortium": replace(CONSORTIUM, decide=decide)})
    await recorder.record(founding())
    bad = submission(commands.EnrolKey(person="sam", public_key="ssh-ed25519 AAAA"))
    answers = await asyncio.gather(*(recorder.record(each) for each in (grant(1), bad, grant(2))), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["Recorded", "ZeroDivisionError", "Recorded"]
    await assert_sound(recorder.log, 3)


async def test_an_answer_that_was_lost_is_found_again(worker: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = await worker()
    await recorder.record(founding())
    append = recorder.log.append

    async def lost(*arguments: Any) -> Appended:
        await append(*arguments)
        raise ConnectionResetError

    monkeypatch.setattr(recorder.log, "append", lost)
    asked = grant(1)
    with pytest.raises(ConnectionResetError):
        await recorder.record(asked)
    monkeypatch.undo()
    assert (await recorder.record(asked)).entry.position == 2
    await assert_sound(recorder.log, 2)


async def test_a_log_that_fell_back_is_told_and_nothing_is_recorded_on_what_is_left(place: Place, worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    for number in range(3):
        await recorder.record(grant(number))
    await place.cut(2)
    for _ in "at once and again":
        with pytest.raises(FellBack, match="from entry 4 to 2"):
            async with asyncio.timeout(10):
                await recorder.record(grant(9))
    assert isinstance(recorder.unfit, FellBack)
    assert (await recorder.log.head()).position == 2


async def test_a_worker_that_is_idle_notices_that_the_log_fell_back(place: Place, worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    await recorder.record(grant(1))
    assert await recorder.examine() is None
    await place.cut(1)
    assert isinstance(await recorder.examine(), FellBack)


async def test_a_caller_who_goes_away_meanwhile_harms_nobody(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    asked = [grant(number) for number in range(40)]
    for number, each in enumerate(asked):
        caller = asyncio.create_task(recorder.record(each))
        await asyncio.sleep(number * 0.0001)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    answers = [await recorder.record(each) for each in asked]
    entries = await everything(recorder.log)
    assert sorted(entry.command_id for entry in entries[1:]) == sorted(each.command_id for each in asked)
    assert sorted(answer.entry for answer in answers) == entries[1:]
    assert verify(entries) == Head.of(entries[-1])


async def test_a_snapshot_changes_nothing_but_the_time_to_start(worker: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "REGISTER_EVERY", 10)
    monkeypatch.setattr(snapshots, "STREAM_EVERY", 10)
    first = await worker()
    await first.record(founding())
    await asyncio.gather(*(first.record(grant(number)) for number in range(30)))
    plain = await first.standing(ATLAS)
    assert await first.log.load_snapshots(("register",), snapshots.register_version()) == {}, "who answers commands makes none"
    await Keeper(first.log).catch_up()
    assert set(await first.log.load_snapshots(("register",), snapshots.register_version())) == {"register"}
    assert set(await first.log.load_snapshots((ATLAS,), snapshots.stream_version(process_for(ATLAS)))) == {ATLAS}
    uses = await worker()
    assert (await uses.standing(ATLAS)).stream == plain.stream
    assert (await uses.replica()).register == (await first.replica()).register
    await uses.record(grant(99))
    await assert_sound(first.log, 32)


async def test_a_forged_snapshot_runs_no_code(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    forged = b"cos\nsystem\n(S'echo forged'\ntR."
    await recorder.log.save_snapshot("register", snapshots.register_version(), 1, forged)
    assert (await (await worker()).standing(ATLAS)).stream.version == 5


async def test_reexecution_names_an_entry_that_the_rules_did_not_demand(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    await recorder.record(grant(1))
    entries = await everything(recorder.log)
    forged = entries[1]._replace(body=entries[1].body.replace(b"person-1", b"person-2"))
    assert (broken := Reexecution().check([entries[0], forged])) is not None
    assert broken.position == 2


async def test_what_other_rules_decided_is_followed_and_named_and_not_decided_again(worker: Workers) -> None:
    recorder = await worker()
    await recorder.record(founding())
    await recorder.record(grant(1))
    head, older = EMPTY, list[Entry]()
    for entry in await everything(recorder.log):
        older.append(resealed(entry, rules="0" if entry.position == 1 else entry.rules, previous=head.hash))
        head = Head.of(older[-1])
    again = Reexecution()
    assert again.check(older) is None
    assert again.undecided == [Undecided("0", 1, 1)]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"kind":"x","amount":1.5}', "not an integer"),
        (b'{"kind":"x","amount":NaN}', "not an integer"),
        (b'{"kind":"x","amount":9007199254740992}', "beyond"),
        (b'{"kind":"x","amount":-9007199254740992}', "beyond"),
        (b'{"kind":"x","amount":' + b"9" * 9_000 + b"}", "beyond"),
        (b'{"kind":"x","kind":"y"}', "twice"),
        (b'{"kind":"x"} more', "readable"),
        (b"[1]", "kind"),
        (b'{"kind":"x","a":' + b"[" * 40 + b"]" * 40 + b"}", "deeper"),
        (b'{"kind":"' + b"x" * 70_000 + b'"}', "bytes long"),
        (b'{"kind":"x","a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "readable|deeper"),
        ('{"kind":"x","ä":1}'.encode(), "ASCII"),
        (rb'{"kind":"x","a":"\ud800"}', "surrogates"),
    ],
)
def test_what_is_no_command_is_refused_before_it_is_read_further(raw: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        canonical_command(strict_json(raw))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "not an integer"),
        (float("nan"), "not an integer"),
        (2**53, "beyond"),
        (-(10**4_000), "beyond"),
        ({"ä": 1}, "ASCII"),
        ({1: 1}, "ASCII"),
        ("\ud800", "surrogates"),
        (json.loads("[" * 40 + "]" * 40), "deeper"),
        ("x" * 70_000, "bytes long"),
        (b"x", "not an integer"),
    ],
)
def test_a_value_that_json_does_not_keep_is_no_part_of_a_command(value: object, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        canonical_command({"kind": "x", "a": [value]})


@pytest.mark.parametrize(
    ("actor", "command_id", "said"),
    [
        ("Sam", "018f0000-0000-7000-8000-000000000001", "handle"),
        ("sam\x00", "018f0000-0000-7000-8000-000000000001", "handle"),
        ("s" * 65, "018f0000-0000-7000-8000-000000000001", "handle"),
        ("sam", "17", "no UUID"),
        ("sam", "\ud800", "no UUID"),
        ("sam", "018F0000-0000-7000-8000-00000000000A", "lower case"),
        ("sam", "018f000000007000800000000000000a", "hyphens"),
    ],
)
def test_who_gives_a_command_and_its_id_have_one_form(actor: str, command_id: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        require_sender(actor, command_id)


def test_the_largest_whole_number_goes_through() -> None:
    raw = b'{"amount":-9007199254740991,"kind":"x"}'
    assert canonical_command(strict_json(raw)) == raw


def test_a_command_has_one_canonical_form() -> None:
    assert canonical_command({"kind": "x", "b": [1, "é"], "a": None}) == json.dumps(
        {"a": None, "b": [1, "é"], "kind": "x"}, separators=(",", ":"), ensure_ascii=False
    ).encode()  # fmt: skip


def test_an_empty_log_verifies() -> None:
    assert verify([]) == EMPTY
