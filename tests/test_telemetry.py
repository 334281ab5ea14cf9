"""What readings tell: checkpoints and their gaps, stage by stage, restarts, spikes, divergence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from domain.run.readings import Findings, Reading, lacking, observe, unfinished
from domain.run.telemetry import GAPS, MISSING, STAGES, SpikeRule, StagePlan, Watch, below, forecast, planned, step_of

A = StagePlan(name="a", first_checkpoint=0, checkpoint_every=10, last_step=20)
B = StagePlan(name="b", first_checkpoint=10, checkpoint_every=10, last_step=50)
LONG = StagePlan(name="long", first_checkpoint=0, checkpoint_every=1_000, last_step=4_000)


def saved(stage: str, *steps: int) -> list[Reading]:
    """Rows of checkpoints."""
    return [Reading(stage, step, step, None, f"{stage}{step}") for step in steps]


def trained(stage: str, steps: Iterable[int], loss: int = 2_000_000) -> list[Reading]:
    """Rows of losses."""
    return [Reading(stage, step, step, loss) for step in steps]


def look(plans: Sequence[StagePlan], *readings: Reading, after: Watch | None = None, relisted: bool = False) -> tuple[Watch, Findings]:
    return observe(plans, SpikeRule(), after or Watch(), readings, relisted=relisted)


def missing(found: Findings) -> list[tuple[str, int, int]]:
    return [(each.stage, each.step, each.count) for each in found.missing]


def turned_up(found: Findings) -> list[tuple[str, int, int]]:
    return [(each.stage, each.step, each.count) for each in found.found]


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("plan", "steps"),
    [
        (A, [0, 10, 20]),
        (StagePlan(name="x", first_checkpoint=1, checkpoint_every=10, last_step=25), [1, 11, 21, 25]),
        (StagePlan(name="x", first_checkpoint=7, checkpoint_every=3, last_step=7), [7]),
        (StagePlan(name="x", first_checkpoint=0, checkpoint_every=100, last_step=30), [0, 30]),
    ],
)
def test_a_stage_retains_each_checkpoint_of_its_interval_and_the_last(plan: StagePlan, steps: list[int]) -> None:
    assert [step_of(plan, number) for number in range(planned(plan))] == steps
    for step in range(40):
        assert below(plan, step) == len([each for each in steps if each < step])


def test_a_plan_of_any_size_is_reckoned_with_at_once() -> None:
    huge = StagePlan(name="a", first_checkpoint=0, checkpoint_every=1, last_step=10**12)
    began = time.monotonic()
    watch, found = look((huge,), *saved("a", 0, 10**12))
    assert missing(found) == [("a", 1, 10**12 - 1)]
    assert unfinished((huge,), watch) == []
    assert [each.count for each in unfinished((huge,), Watch())] == [10**12 + 1]
    assert time.monotonic() - began < 1


# ---------------------------------------------------------------- gaps


def test_a_checkpoint_that_a_later_one_follows_is_missing_until_it_turns_up() -> None:
    watch, found = look((LONG,), *saved("long", 0, 1_000, 3_000))
    assert missing(found) == [("long", 2_000, 1)]
    watch, found = look((LONG,), *saved("long", 2_000, 4_000), after=watch)
    assert (missing(found), turned_up(found), found.restarts) == ([], [("long", 2_000, 1)], [])
    assert [(each.first_step, each.last_step) for each in found.checkpoints] == [(2_000, 2_000), (4_000, 4_000)]
    assert unfinished((LONG,), watch) == []


def test_a_row_that_comes_late_in_the_same_look_was_never_missing() -> None:
    _, found = look((LONG,), *saved("long", 0, 1_000, 3_000, 2_000, 4_000))
    assert (missing(found), turned_up(found), found.restarts) == ([], [], [])
    assert sum(each.count for each in found.checkpoints) == 5


def test_a_checkpoint_told_after_the_training_went_on_is_no_step_back() -> None:
    watch, found = look((LONG,), *saved("long", 0), *trained("long", (999, 1_050)), *saved("long", 1_000), *trained("long", (1_060,)))
    assert (missing(found), found.restarts, watch.step) == ([], [], 1_060)


def test_a_run_a_whole_interval_beyond_its_checkpoint_lacks_it() -> None:
    watch, found = look((LONG,), *saved("long", 0), *trained("long", range(0, 2_000, 500)))
    assert missing(found) == []
    _, found = look((LONG,), *trained("long", (2_000,)), after=watch)
    assert missing(found) == [("long", 1_000, 1)]


def test_a_run_that_tells_no_checkpoints_lacks_them_where_they_are_asked_for() -> None:
    watch, found = look((LONG,), *trained("long", range(0, 4_001, 500)))
    assert missing(found) == []
    assert [(each.step, each.count) for each in lacking((LONG,), watch)] == [(0, 4)]
    assert [(each.step, each.count) for each in unfinished((LONG,), watch)] == [(0, 5)]


def test_the_last_checkpoint_of_a_stage_is_missing_when_the_stage_was_left() -> None:
    _, found = look((A, B), *saved("a", 0, 10), *saved("b", 10))
    assert missing(found) == [("a", 20, 1)]


def test_a_stage_that_was_passed_over_is_missing_whole_until_it_turns_up() -> None:
    watch, found = look((A, B), *saved("b", 10))
    assert missing(found) == [("a", 0, 3)]
    _, found = look((A, B), *saved("a", 0, 10, 20), after=watch)
    assert turned_up(found) == [("a", 0, 3)]


def test_stages_that_are_trained_side_by_side_lack_nothing() -> None:
    one, two = (StagePlan(name=name, first_checkpoint=10, checkpoint_every=10, last_step=30) for name in ("one", "two"))
    rows = [saved(name, step)[0] for step in (10, 20, 30) for name in ("one", "two")]
    watch, found = look((one, two), *rows)
    assert (missing(found), found.restarts) == ([], [])
    early, _ = look((one, two), *rows[:4])
    later, found = look((one, two), *rows[4:], after=early)
    assert missing(found) == []
    assert later.stages == watch.stages


def test_a_run_that_goes_back_into_an_earlier_stage_lacks_nothing_that_was_there() -> None:
    rows = [*saved("a", 0, 10, 20), *saved("b", 10, 20), *saved("a", 20), *saved("b", 10, 20, 30, 40, 50)]
    watch, found = look((A, B), *rows)
    assert missing(found) == []
    assert [(each.stage, each.from_step, each.to_step) for each in found.restarts] == [("b", 20, 10)]
    assert watch.checkpoints == 8


def test_a_checkpoint_that_is_no_longer_listed_is_missing() -> None:
    rows = saved("long", 0, 1_000, 2_000, 3_000, 4_000)
    watch, _ = look((LONG,), *rows, relisted=True)
    watch, found = look((LONG,), *rows[:2], *rows[3:], after=watch, relisted=True)
    assert (missing(found), found.restarts) == ([("long", 2_000, 1)], [])
    _, found = look((LONG,), *rows, after=watch, relisted=True)
    assert turned_up(found) == [("long", 2_000, 1)]


def test_a_checkpoint_that_is_listed_with_its_hash_later_is_hashed() -> None:
    rows = saved("long", 0, 1_000)
    watch, _ = look((LONG,), *rows, relisted=True)
    hashed, _ = look((LONG,), *(replace(row, checkpoint_sha256="0" * 64) for row in rows), after=watch, relisted=True)
    assert [(each.checkpoints, each.unhashed) for each in (watch, hashed)] == [(2, 2), (2, 0)]


def test_more_gaps_than_are_told_one_by_one_are_counted_in_the_last() -> None:
    plan = StagePlan(name="a", first_checkpoint=0, checkpoint_every=1, last_step=10_000)
    watch, found = look((plan,), *saved("a", *range(0, 10_001, 2)))
    assert len(found.missing) == MISSING + 1
    assert sum(each.count for each in found.missing) == 5_000
    assert len(watch.stages[0].gaps) == GAPS


def test_stages_that_nobody_planned_are_bounded() -> None:
    watch, found = look((A,), *(Reading(f"s{number}", 1, None, 2_000_000) for number in range(2 * STAGES)), *saved("a", 0))
    assert len(watch.stages) <= STAGES
    assert watch.stage == "a"
    assert found.more > 0


# ---------------------------------------------------------------- losses and progress


def test_going_again_where_the_run_was_is_no_progress() -> None:
    watch, _ = look((LONG,), *trained("long", (100, 200)))
    again, _ = look((LONG,), *trained("long", (50, 150)), after=watch)
    further, _ = look((LONG,), *trained("long", (160, 201)), after=again)
    assert not again.beyond(watch)
    assert further.beyond(again)


def test_a_loss_that_stays_up_is_a_new_level_and_no_spike_for_ever() -> None:
    watch, _ = look((LONG,), *(Reading("long", step, None, 2_000_000 + step % 5 * 1_000) for step in range(40)))
    spikes = []
    for part in range(3):
        rows = [Reading("long", 40 + part * 100 + step, None, 2_300_000 + step % 5 * 1_000) for step in range(100)]
        watch, found = look((LONG,), *rows, after=watch)
        spikes.append(len(found.spikes) + found.more)
    assert 0 < spikes[0] < 50
    assert spikes[1:] == [0, 0]


def test_a_loss_that_is_no_number_is_told_with_whatever_else_its_row_says() -> None:
    rows = [*trained("long", (0,)), Reading("long", 1_000, 8, None, "c", diverged=True), Reading("long", 1_001, 9, diverged=True)]
    watch, found = look((LONG,), *rows)
    assert found.diverged is not None
    assert (found.diverged.step, found.diverged.count, found.diverged.lasting, found.loss_micro) == (1_000, 2, True, None)
    assert (watch.tokens, watch.checkpoints) == (9, 1)
    _, found = look((LONG,), *rows, *trained("long", (1_002,)))
    assert found.diverged is not None
    assert (found.diverged.lasting, found.loss_micro) == (False, 2_000_000)


def test_a_forecast_is_never_below_what_is_spent_and_never_beyond_its_bound() -> None:
    assert forecast(200, 2 * 10**9, 10**9) == 200
    assert forecast(10**12, 0, 10**9) == 10**12
    assert forecast(10**18, 1, 10**18) == 10**18


def test_a_watch_of_one_stage_at_a_time_is_read_as_what_it_meant() -> None:
    stored = {"stage": "b", "step": 25, "tokens": 9, "checkpoint": 20, "seen": ["a", "b"], "losses": [], "readings": 7}
    watch = Watch.model_validate_json(json.dumps(stored))
    watch, found = look((A, B), *saved("b", 40), after=watch)
    assert missing(found) == [("b", 30, 1)]
    assert [(each.stage, each.step) for each in unfinished((A, B), watch)] == [("b", 50)]
