"""What the system cannot do now is a fault that is tried again, never an outcome: here a process that may open no more files."""

from __future__ import annotations

import errno
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activities.bank.banking import Banking
from activities.bank.folder import FolderBank
from activities.bank.statements import Statements
from activities.outside import passes
from activities.release.openness import framework
from activities.run.evaluation import Evaluations
from activities.run.telemetry import Following
from activities.screening import ListFiles, Screening
from domain.evaluation import ReadEvaluation, Score
from domain.kernel import Message, Step
from domain.run import steps
from domain.run.telemetry import SpikeRule, StagePlan, Watch
from domain.run.terms import Source

NOTHING = "0" * 64


@contextmanager
def no_file_more() -> Iterator[None]:
    """Every file that this process would open now is one too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def step(kind: str, asked: Message | dict[str, Any]) -> Step:
    return Step(kind=kind, key="x", data=asked if isinstance(asked, dict) else asked.model_dump(mode="json"))


def follow(adapter: Any, location: str) -> Callable[[Path], Awaitable[dict[str, Any]]]:
    plan = StagePlan(name="main", first_checkpoint=0, checkpoint_every=1_000, last_step=4_000)
    asked = steps.FollowTelemetry(
        run="a", number=1, source=Source(adapter=adapter, location=location), cursor="", stages=(plan,), spikes=SpikeRule(), watch=Watch()
    )  # fmt: skip
    return lambda folder: Following(folder).follow(step("follow_telemetry", asked))


def screen(folder: Path) -> Awaitable[dict[str, Any]]:
    (folder / "names.txt").write_text("Listed Company\n", encoding="utf-8")
    activity = Screening(ListFiles("list", folder / "names.txt"), folder, now=lambda: datetime.now(UTC))
    return activity(step("screen", {"names": ["Helio"], "country": "CH"}))


def evaluate(folder: Path) -> Awaitable[dict[str, Any]]:
    scores = (Score(task="a", metric="acc,none", at_least=1),)
    return Evaluations(folder).read(step("read_evaluation", ReadEvaluation(run="a", subject="end", number=1, file="r.json", scores=scores)))


def read(folder: Path) -> Awaitable[dict[str, Any]]:
    banking = Banking(FolderBank(folder / "in", folder / "out"), Statements(folder / "statements"))
    return banking.read_statement(
        step("read_statement", {"file": NOTHING, "iban": "GB33BUKB20201555555555", "currency": "EUR", "cursor": ""})
    )


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(screen, id="screen"),
        pytest.param(evaluate, id="read_evaluation"),
        pytest.param(read, id="read_statement"),
        pytest.param(follow("jsonl", "log.jsonl"), id="follow_telemetry-jsonl"),
        pytest.param(follow("tensorboard", "events"), id="follow_telemetry-tensorboard"),
    ],
)
async def test_a_process_that_may_open_no_more_files_says_nothing_final(
    tmp_path: Path, work: Callable[[Path], Awaitable[dict[str, Any]]]
) -> None:
    (tmp_path / "events").mkdir()
    working = work(tmp_path)
    with no_file_more(), pytest.raises(OSError, match="Too many open files"):
        await working  # what was begun before is carried out now
    outcome = await work(tmp_path)
    assert outcome["kind"]


def test_a_list_of_licences_that_cannot_be_opened_now_is_no_unfit_list(tmp_path: Path) -> None:
    framework()  # its own data are read now, and no more
    with no_file_more(), pytest.raises(OSError, match="Too many open files"):
        framework(tmp_path / "components.yml")


@pytest.mark.parametrize(
    ("number", "passing"),
    [
        (errno.ENOSPC, True), (errno.EIO, True), (errno.ESTALE, True), (errno.EMFILE, True), (errno.ETIMEDOUT, True), (errno.EDQUOT, True),
        (errno.ENOENT, False), (errno.EACCES, False), (errno.EISDIR, False), (errno.ELOOP, False),
    ],
)  # fmt: skip
def test_what_is_over_by_itself_is_told_from_what_a_person_mends(number: int, passing: bool) -> None:  # noqa: FBT001
    assert passes(OSError(number, "why")) is passing
