"""The whole story on the virtual clock: a founding, fourteen members, a vote and a funded round."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from activities.release.directory import DirectoryPublisher
from activities.release.releasing import Places, Releasing
from activities.run.evaluation import Evaluations
from activities.run.telemetry import Following
from audit.ledger.export import beancount, hledger
from audit.ledger.fold import ledger
from audit.reexecute import Reexecution
from domain.kernel import Step
from domain.money import display
from domain.round.state import books_of, money_by_state
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from simulation.model import EARLY, RELEASE, RUN, ModelStory
from simulation.scenario import DEFAULTER, FOURTEEN, GOAL, LATE, LEAVER, ROUND, SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation, agreeable
from tests.stories import START, charter


async def played() -> tuple[Simulation, MemoryLog]:
    log = MemoryLog()
    simulation = Simulation(START, log)
    await Story(SimulatedStage(simulation), charter()).play()
    return simulation, log


@pytest.fixture(scope="module")
async def told() -> tuple[Simulation, MemoryLog]:
    return await played()


async def test_the_story_ends_with_a_funded_round_and_every_cent_in_its_place(told: tuple[Simulation, MemoryLog]) -> None:
    simulation, _ = told
    money = money_by_state(simulation.standing(ROUND).stream.state)
    assert money["pledged"] == money["called"] + money["uncalled"] + money["released"]
    assert simulation.standing(SIZE).headline.phase == "passed"
    assert simulation.standing(f"member/{DEFAULTER}").headline.phase == "active"
    assert simulation.standing(f"member/{LEAVER}").headline.phase == "leaving"
    assert money["held"] >= GOAL * 3 // 10 - GOAL // 100
    assert [stream for stream in simulation.streams() if simulation.standing(stream).stream.failed] == []


async def test_who_is_late_pays_what_it_was_asked_for_and_who_made_up_has_that_back(told: tuple[Simulation, MemoryLog]) -> None:
    simulation, log = told
    entries = [entry for entry in await log.read_stream(ROUND, 0, 10_000) if entry.outcome == "accepted"]
    events = [event for entry in entries for event in json.loads(entry.body)]
    notices = [event["step"]["data"] for event in events if event["kind"] == "step_owed" and event["step"]["kind"] == "notify"]
    asked = [notice["each"][f"member:{LATE}"].get("amount") for notice in notices if f"member:{LATE}" in notice.get("each", {})]
    paid = [display(event["amount"], "USD") for event in events if event["kind"] == "payment_recorded" and event["member"] == LATE]
    assert paid[0] in asked
    made_up = next(event for event in events if event["kind"] == "make_up_called")["amounts"]
    (reduced,) = (event for event in events if event["kind"] == "make_up_reduced")
    assert {member: sum(part["principal"] for part in parts) for member, parts in reduced["repaid"].items()} == made_up
    books = books_of(simulation.stream(ROUND).state)
    assert books is not None
    assert not [member for member, account in books.accounts.items() if account.in_default]
    assert {member: books.accounts[member].figures.credit for member in made_up} == made_up
    assert books.accounts[DEFAULTER].figures.interest > 0


async def test_the_story_is_the_same_when_it_is_decided_again(told: tuple[Simulation, MemoryLog]) -> None:
    _, log = told
    entries: list[Entry] = list(await log.read(0, 100_000))
    assert Reexecution().check(entries) is None
    assert len(entries) > 20 * len(FOURTEEN)


async def test_a_story_begun_again_changes_nothing(told: tuple[Simulation, MemoryLog]) -> None:
    simulation, log = told
    head = await log.head()
    await Story(SimulatedStage(simulation), charter()).play()
    assert await log.head() == head


# ---------------------------------------------------------------- to the end, with the real files


def accepted(*command: str) -> bool:
    """Whether a checker has nothing to say."""
    return subprocess.run(command, check=False).returncode == 0


async def played_to_the_end(folder: Path) -> tuple[Simulation, MemoryLog]:
    """The whole story; trainers, evaluations and releases are the real activities on real files."""
    releasing = Releasing(
        Places(folder / "artifacts", folder / "kept", folder / "signing.pem"), {"directory": DirectoryPublisher(folder / "published")}
    )
    real = {**Following(folder / "runs").activities(), **Evaluations(folder / "runs").activities(), **releasing.activities()}

    async def outside(step: Step) -> dict[str, Any]:
        return await real[step.kind](step) if step.kind in real else await agreeable(step)

    log = MemoryLog()
    simulation = Simulation(START, log, outside)
    await ModelStory(SimulatedStage(simulation, folder=folder), charter()).play()
    return simulation, log


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulation, MemoryLog, Path]:
    folder = tmp_path_factory.mktemp("whole")
    simulation, log = await played_to_the_end(folder)
    return simulation, log, folder


async def test_the_story_ends_with_a_published_model_and_a_paid_supplier(whole: tuple[Simulation, MemoryLog, Path]) -> None:
    simulation, _, folder = whole
    assert simulation.standing(RUN).headline.phase == "completed"
    released = simulation.standing(RELEASE).headline
    assert (released.phase, released.values["openness"]) == ("public", "III")
    assert money_by_state(simulation.standing(ROUND).stream.state)["spent"] == GOAL // 4
    assert [stream for stream in simulation.streams() if simulation.standing(stream).stream.failed] == []
    shown = next((folder / "published" / "public" / "atlas-1").iterdir())
    assert {"MODEL_CARD.md", "bom.cdx.json", "manifest.json", "model.sig"} <= {path.name for path in shown.iterdir()}
    assert (shown / "model" / "model.safetensors").stat().st_size > 1_000_000


async def test_the_last_tranche_is_called_by_whom_the_duty_of_an_absent_treasurer_passed_to(
    whole: tuple[Simulation, MemoryLog, Path],
) -> None:
    _, log, _ = whole
    entries = await log.read_stream(ROUND, 0, 10_000)
    called = {json.loads(entry.command)["tranche"]: entry.actor for entry in entries if entry.kind == "call_tranche"}
    assert called == {1: "tess", 2: "tess", 3: "sam"}
    assert "pass_duty" in {entry.kind for entry in entries}


async def test_every_checkpoint_of_the_real_run_is_on_the_log_once(whole: tuple[Simulation, MemoryLog, Path]) -> None:
    _, log, _ = whole
    told = [event for entry in await log.read_stream(RUN, 0, 10_000) if entry.outcome == "accepted" for event in json.loads(entry.body)]
    assert sum(event["range"]["count"] for event in told if event["kind"] == "checkpoints_written") == 742
    kinds = [event["kind"] for event in told]
    assert (kinds.count("milestone_rejected"), kinds.count("milestone_accepted"), kinds.count("checkpoint_missing")) == (1, 2, 0)
    assert "run_fell_silent" in kinds


async def test_nobody_had_the_model_early_but_the_persons_of_leases(whole: tuple[Simulation, MemoryLog, Path]) -> None:
    _, log, _ = whole
    told = [event for entry in await log.read_stream(RELEASE, 0, 10_000) if entry.outcome == "accepted" for event in json.loads(entry.body)]
    assert {event["member"] for event in told if event["kind"] == "lease_granted"} == set(EARLY)
    assert "release_held" in {event["kind"] for event in told}


async def test_the_whole_story_is_the_same_when_it_is_decided_again(whole: tuple[Simulation, MemoryLog, Path]) -> None:
    _, log, _ = whole
    assert Reexecution().check(list(await log.read(0, 100_000))) is None


async def test_the_books_of_the_whole_story_please_the_checkers(whole: tuple[Simulation, MemoryLog, Path]) -> None:
    _, log, folder = whole
    books = await ledger(log)
    (folder / "ledger.beancount").write_text(beancount(books.bookings), encoding="utf-8")
    (folder / "ledger.journal").write_text(hledger(books.bookings), encoding="utf-8")
    assert accepted(str(Path(sys.executable).with_name("bean-check")), str(folder / "ledger.beancount"))
    if program := shutil.which("hledger"):
        assert accepted(program, "check", "--strict", "-f", str(folder / "ledger.journal"))
