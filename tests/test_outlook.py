"""What happens from here on if nobody acts: the simulator goes on from any log, and tells what becomes of every process.

| begins with | where from |
| --- | --- |
| every process, the register | the log, folded |
| the clock | the last entry, or later |
| the steps that are owed | the log: each is carried out, as a worker would that was away |
| the bank's balance, the number of its next statement and line | the last statement that the treasury read |
| the bank's cursor | the treasury's, whatever the bank before meant by it |
| orders that the bank before took, and that no statement showed | the treasury's payments; the first statement shows them |

| the simulated bank | answers |
| --- | --- |
| a look with the cursor of the bank before | what came since |
| a file of the bank before | that it does not have it: the step waits for a person |
| when it next shows something | the first look after something was booked; no other look is made where idle ones are left out |
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from domain.kernel import Step
from domain.member.state import Ended
from domain.round.state import ClosedWithDebts
from domain.round.terms import DebtKind
from domain.treasury.state import Open
from eventstore.entries import Entry
from eventstore.export import line_of
from eventstore.memory import MemoryLog
from simulation import bank
from simulation.bank import Account, Bank, Order, account_of
from simulation.outlook import CONSORTIUM, Outlook, look_ahead
from simulation.outside import ANSWERS
from simulation.scenario import DEFAULTER, LEAVER, ROUND, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.chaos.checks import chained, everything, problems
from tests.golden_log import FOLDER, entries_of, logs, rules_file
from tests.stories import START, charter
from tests.test_cli import Terminal, bare
from worker import POLICIES

__all__ = ["bare"]

YEAR: Final = timedelta(days=365)
GOLDEN: Final = sorted(path.name.split(".")[0].removeprefix("rules-") for path in FOLDER.glob("rules-*.jsonl.xz"))[-2:]
"""The rules of the newest golden logs."""
TREASURY: Final = "treasury/main"


async def copy_of(log: MemoryLog) -> MemoryLog:
    copy = MemoryLog()
    await copy.append(await everything(log))
    return copy


async def founded(log: MemoryLog) -> Simulation:
    simulation = Simulation(START, log)
    await Story(SimulatedStage(simulation), charter()).found()
    return simulation


@pytest.fixture(scope="module")
async def told() -> MemoryLog:
    """The log of the story: a founding, fourteen members, a funded round, a defaulter, a leaver."""
    log = MemoryLog()
    await Story(SimulatedStage(Simulation(START, log)), charter()).play()
    return log


@pytest.fixture(scope="module")
async def unwatched() -> MemoryLog:
    """The same story under a charter that says nothing of silence."""
    log = MemoryLog()
    await Story(SimulatedStage(Simulation(START, log)), charter(silence={})).play()
    return log


def entries_on(log: MemoryLog) -> list[Entry]:
    return asyncio.run(everything(log))


def without_entries(found: Outlook) -> Outlook:
    """The outlook without how many entries were made of it."""
    return found._replace(entries=0, changes=tuple(each._replace(entry=0) for each in found.changes))


# ---------------------------------------------------------------- beginning from a log


async def test_a_log_is_gone_on_from_as_if_the_simulator_had_never_ended() -> None:
    going_on = Simulation(START, log := MemoryLog())
    await Story(SimulatedStage(going_on), charter()).play()
    await going_on.advance(going_on.now + timedelta(days=3))
    other = await Simulation.resumed(await copy_of(log), going_on.now, idle_looks=True)
    assert other.bank.balance == going_on.bank.balance
    ends = going_on.now + YEAR
    assert without_entries(await look_ahead(other, ends)) == without_entries(await look_ahead(going_on, ends))


async def test_looks_that_would_find_nothing_are_left_out_and_everything_else_is_as_with_them(told: MemoryLog) -> None:
    looking, idle = await Simulation.resumed(await copy_of(told), idle_looks=True), await Simulation.resumed(await copy_of(told))
    ends = idle.now + 2 * YEAR
    more, fewer = await look_ahead(looking, ends), await look_ahead(idle, ends)
    assert without_entries(more) == without_entries(fewer)
    assert more.entries - fewer.entries > 2 * 2 * 300
    assert problems(await everything(idle.recorder.log)) == []


@pytest.mark.parametrize("hours", [0, 1, 24 * 400 + 7])
async def test_money_that_nobody_expects_is_found_at_the_look_that_would_have_found_it(told: MemoryLog, hours: int) -> None:
    found = []
    for idle_looks in (True, False):
        simulation = await Simulation.resumed(await copy_of(told), idle_looks=idle_looks)
        await simulation.advance(simulation.now + timedelta(hours=hours))
        simulation.bank.credit(12_00, "USD", "", "GIFT", "A stranger")
        await simulation.advance(simulation.now + timedelta(days=3))
        assert simulation.bank.balance == simulation.stream(TREASURY).state.balances["USD"]
        entries = await everything(simulation.recorder.log)
        found += [(entry.at, entry.stream) for entry in entries if b"A stranger" in entry.body]
    assert len(set(found)) == 1
    assert len(found) == 2


async def test_a_step_that_is_owed_is_carried_out_as_soon_as_the_log_is_taken_up() -> None:
    simulation = Simulation(START, log := MemoryLog(), outside=never)
    await Story(SimulatedStage(simulation), charter()).found()
    apply = {
        "kind": "apply",
        "name": "Helio",
        "lei": "52990000000000000778",
        "country": "DE",
        "tier": "partner",
        "representatives": [{"person": "ada"}],
    }
    with pytest.raises(Away):
        await simulation.give("member/helio", apply, "ada")
    resumed = await Simulation.resumed(log)
    assert resumed.standing("member/helio").headline.phase == "screening"
    await resumed.settle()
    assert resumed.standing("member/helio").headline.phase == "voting"


class Away(Exception):
    """Nobody carries steps out."""


async def never(step: Step) -> dict[str, Any]:
    raise Away


async def test_a_command_is_given_under_an_id_that_no_simulation_before_gave() -> None:
    log = MemoryLog()
    simulation = await founded(log)
    for each in (simulation, await Simulation.resumed(log)):
        recorded = await each.give("consortium/atlas", {"kind": "grant_office", "person": f"p{each.now:%f}", "office": "auditor"}, "sam")
        assert recorded.refusal is None
    assert len({entry.command_id for entry in await everything(log)}) == (await log.head()).position


# ---------------------------------------------------------------- the bank


def bank_from(before: Account) -> Bank:
    return Bank(lambda: START, before)


async def asked(bank: Bank, cursor: str) -> dict[str, Any]:
    data = {"account": "main", "iban": "CH9300762011623852957", "cursor": cursor}
    return await bank.answer(Step(kind="fetch_statements", key="fetch:9", data=data))


async def read(bank: Bank, file: str) -> dict[str, Any]:
    data = {"file": file, "iban": "CH9300762011623852957", "currency": "USD"}
    return await bank.answer(Step(kind="read_statement", key="read:9", data=data))


@pytest.mark.parametrize("cursor", ["", "4e650c44ef6a4a0b9f0ec965f489bd5c:84", "17", "9" * 30])
async def test_a_look_goes_on_from_the_cursor_of_the_bank_before_whatever_it_looks_like(cursor: str) -> None:
    bank = bank_from(Account(balance=500, cursor=cursor, statements=max(17, int(cursor) if cursor.isdecimal() else 0), lines=40))
    nothing = await asked(bank, cursor)
    assert (nothing["files"], nothing["cursor"]) == ([], cursor)
    bank.credit(30, "USD", "", "A")
    found = await asked(bank, cursor)
    assert len(found["files"]) == 1
    assert found["cursor"] != cursor
    page = (await read(bank, found["files"][0]["file"]))["page"]
    assert [int(page[end]["amount"]) for end in ("opening", "closing")] == [500, 530]
    assert (await asked(bank, found["cursor"]))["files"] == []
    bank.credit(1, "USD", "", "B")
    assert len((await asked(bank, found["cursor"]))["files"]) == 1
    assert len((await asked(bank, "an older one"))["files"]) == 2


async def test_an_order_that_the_bank_before_took_is_shown_on_the_first_statement() -> None:
    bank = bank_from(Account(balance=500, orders=(Order(200, "USD", "E1", "nordic"),)))
    (file,) = (await asked(bank, ""))["files"]
    (line,) = (await read(bank, file["file"]))["lines"]
    assert (line["end_to_end_id"], line["side"], line["bank_id"], bank.balance) == ("E1", "debit", "BK00000001", 300)


async def test_a_file_that_only_the_bank_before_has_fails_its_step_and_waits_for_a_person() -> None:
    assert (await read(bank_from(Account()), "f" * 64))["kind"] == "fail_step"


async def test_the_account_stands_where_the_last_statement_left_it(told: MemoryLog) -> None:
    simulation = await Simulation.resumed(await copy_of(told))
    state = simulation.stream(TREASURY).state
    assert isinstance(state, Open)
    taken = account_of(TREASURY, state)
    assert (taken.balance, taken.cursor) == (state.balances["USD"], state.cursor)
    assert taken.lines == len(state.movements) > taken.statements == len(state.files)


def test_every_step_has_an_answer_in_the_simulator() -> None:
    assert set(ANSWERS) == set(POLICIES) - bank.STEPS - {"tell"}


# ---------------------------------------------------------------- any log


async def test_the_simulator_goes_on_from_every_golden_log(*, long: bool) -> None:
    """Logs of earlier rules among them: what they hold is folded, and what follows is decided by the rules in force."""
    every = [entries for rules in GOLDEN for entries in logs(entries_of(rules_file(rules)))]
    for entries in every if long else every[:: len(every) // 12]:
        log = MemoryLog()
        await log.append(entries)
        simulation = await Simulation.resumed(log)
        if simulation.recorder.register.version:
            found = await look_ahead(simulation, simulation.now + YEAR)
            assert [
                step for each in found.undated for step in each.steps if not step.startswith(("tell:", "read:", "read-evaluation:"))
            ] == []
        await simulation.settle()
        assert chained(await everything(log)) == []


# ---------------------------------------------------------------- ten silent years


async def test_after_ten_silent_years_every_law_holds_and_what_is_open_is_told(told: MemoryLog) -> None:
    simulation = await Simulation.resumed(await copy_of(told))
    found = await look_ahead(simulation, simulation.now + 10 * YEAR)
    assert problems(await everything(simulation.recorder.log)) == []
    members = {name: simulation.stream(f"member/{name}").state for name in simulation.recorder.register.members}
    gone = {name: state for name, state in members.items() if isinstance(state, Ended)}
    assert len(gone) < len(members), "nobody is put out whose dues the round's debt to them pays"
    assert all(state.dues.offset and len(state.dues.open) <= 1 for name, state in members.items() if name not in gone)
    assert all(state.unpaid == 0 for state in gone.values()), "what the round owes whoever went pays their dues before the end"
    ended = simulation.stream(ROUND).state
    assert isinstance(ended, ClosedWithDebts)
    owed = [each for each in found.obligations if each.debtor == CONSORTIUM]
    assert {each.stream for each in owed} == {ROUND}
    assert 0 < sum(each.amount for each in owed) <= found.held
    listed = {f"member:{debt.party}": debt.amount for debt in ended.debts if debt.kind is DebtKind.TO_MEMBER}
    assert listed == {each.creditor: each.amount for each in owed}
    assert found.undated == ()


# ---------------------------------------------------------------- for people


def test_an_export_is_enough_to_be_told_what_comes(unwatched: MemoryLog, bare: Terminal, tmp_path: Path) -> None:
    export = tmp_path / "atlas.jsonl"
    export.write_bytes(b"".join(map(line_of, entries_on(unwatched))))
    answer = bare("outlook", "--file", str(export), "--years", "2", "--json").json
    assert answer["position"] == len(entries_on(unwatched))
    assert {each["phase"] for each in answer["changes"] if each["stream"] == f"member/{LEAVER}"} == set(), "it owes the charge for leaving"
    assert [each["stream"] for each in answer["undated"]] == [ROUND]
    assert {each["debtor"] for each in answer["obligations"] if each["stream"] == ROUND} == {
        CONSORTIUM,
        f"member:{DEFAULTER}",
        f"member:{LEAVER}",
    }
    in_words = bare("outlook", "--file", str(export), "--years", "2")
    for title in ("What changes", "What is owed in the end", "What comes to no end by itself"):
        assert title in in_words.out
    assert export.read_bytes() == b"".join(map(line_of, entries_on(unwatched))), "nothing is written"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--years", "0"), "is not looked ahead"),
        (("--years", "51"), "is not looked ahead"),
        (("--file", "NONE"), "cannot be read"),
        (("--file", "EMPTY"), "no consortium was founded"),
    ],
)
def test_what_cannot_be_looked_ahead_is_said_with_what_to_do(words: tuple[str, str], said: str, bare: Terminal, tmp_path: Path) -> None:
    (tmp_path / "EMPTY").touch()
    option, value = words
    answer = bare("outlook", option, value if value.isdecimal() else str(tmp_path / value), "--json")
    assert (answer.code, said in answer.error["message"]) == (4, True)
    assert answer.error["remedy"]
