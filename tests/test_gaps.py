"""From a row that a published table of checkpoints lacks to the class of the release: told by name, and never class I."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from activities.run.telemetry import Following
from domain.register.facts import RunReported
from domain.run import commands, events, steps
from domain.run.telemetry import StagePlan, planned, step_of
from domain.run.terms import Criteria, Milestone, Source
from tests.stories import Story, day, noted
from tests.test_following import OLMO, TABLE
from tests.test_release import internal, register
from tests.test_run import contract, running


async def looked(story: Story, folder: Path) -> Story:
    """The look that is under way, as the real activity has it."""
    outcome = await Following(folder).follow(next(step for step in story.steps if step.kind == "follow_telemetry"))
    return story.when(steps.TelemetryReported.model_validate_json(json.dumps(outcome)))


async def completed(folder: Path, lines: list[str]) -> tuple[Story, list[events.CheckpointMissing]]:
    """A run that followed a table with these lines to its end, and the gaps that were told."""
    (folder / "table.csv").write_text("".join(lines), encoding="utf-8")
    only = (Milestone(id="end", text="x", criteria=Criteria(tokens=10**12, checkpoints_retained=False), due_at=day(60)),)
    source = Source(adapter="checkpoint-table", location="table.csv")
    story = await looked(running(contract(stages=OLMO, source=source, milestones=only, token_budget=5_979_089_403_904)), folder)
    told = list(story.answer)
    story = story.when(commands.ClaimMilestone(milestone="end"), by="lea")
    evidence = next(event.evidence for event in story.answer if isinstance(event, events.EvidencePresented))
    for reviewer in ("eva", "sia"):
        story = story.when(commands.AcceptMilestone(milestone="end", evidence=evidence), by=reviewer)
    story = await looked(story, folder)
    told += story.answer
    story = story.when(commands.CompleteRun(), by="lea")
    assert story.phase == "completed"
    return story, [event for event in (*told, *story.answer) if isinstance(event, events.CheckpointMissing)]


def openness(run: Story) -> int:
    """The class of a release of this run whose components would give it class I."""
    reported = next(event for event in reversed(run.answer) if isinstance(event, RunReported))
    known = noted(register(), reported.model_copy(update={"run": "atlas"}))
    return internal(known, openness_class=1, claim=2).register.releases["atlas-8b"].openness_class


async def test_a_run_that_retains_every_checkpoint_can_be_released_as_class_one(tmp_path: Path) -> None:
    run, gaps = await completed(tmp_path, TABLE.read_text(encoding="utf-8").splitlines(keepends=True))
    assert gaps == []
    assert openness(run) == 1


@pytest.mark.parametrize("stage", OLMO, ids=lambda stage: stage.name)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
async def test_any_checkpoint_that_is_not_there_is_named_once_and_costs_class_one(tmp_path: Path, stage: StagePlan, place: str) -> None:
    step = step_of(stage, {"first": 0, "middle": planned(stage) // 2, "last": planned(stage) - 1}[place])
    lines = TABLE.read_text(encoding="utf-8").splitlines(keepends=True)
    run, gaps = await completed(tmp_path, [line for line in lines if not line.startswith(f"{stage.name},{step},")])
    assert [(gap.stage, gap.step, gap.count) for gap in gaps] == [(stage.name, step, 1)]
    assert openness(run) == 2
