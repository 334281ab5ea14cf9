"""Training runs: the contract that is voted on, the trainer's readings, milestones under review, and votes when it goes badly.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| plan_run | the training lead whom it names | run_planned, lead_named, suppliers_named | office_required, not_the_lead, other_currency, steered_otherwise (the proposal), nobody_decides, due_date_passed, no_round, contract_approved, other_contract_waits, too_many_checkpoints, looks_too_rare, loss_band_inverted |
| approve_contract | a passed proposal | contract_approved, run_reported | no_mandate, other_contract, steered_otherwise (the proposal), no_contract_waits |
| start_run | the training lead | run_started, look_began, run_reported | not_the_lead, not_funded, not_approved |
| pause_run, resume_run | the training lead | run_paused, run_resumed, look_began, run_reported | not_the_lead, run_not_running |
| look_at_telemetry | the service | look_began | service_only, not_due |
| sound_alarm | the service | run_fell_silent, run_stalled | service_only, not_due |
| claim_milestone | the training lead | milestone_claimed, evidence_presented or claim_failed | run_not_running, not_the_lead, no_such_milestone, criteria_not_met, results_missing, evidence_waits |
| accept_milestone | reviewers of different organisations | milestone_signed, milestone_accepted, look_began | run_not_running, no_such_milestone, office_required, lead_reviews, supplier_reviews (training.reviewers), no_organisation, other_evidence, same_person, same_organisation (training.reviewers) |
| reject_milestone | a reviewer | milestone_rejected | run_not_running, no_such_milestone, office_required, lead_reviews, supplier_reviews (training.reviewers), no_organisation, other_evidence, milestone_accepted |
| mark_missed | the service | milestone_missed, question_asked | service_only, not_due |
| continue_run, change_contract, stop_run | a passed proposal; stop_run also the rejection of continue_run | question_settled, question_asked, contract_approved, look_began, checkpoint_missing…, run_stopped, run_reported | no_mandate, run_not_running, other_currency, steered_otherwise (the proposal), milestone_accepted, too_many_checkpoints, looks_too_rare, loss_band_inverted |
| complete_run | the training lead | checkpoint_missing…, run_completed, run_reported | run_not_running, not_the_lead, milestones_open, last_look_awaited |
| close_run | secretariat | run_closed, run_reported | office_required, run_not_over |

| outcome of | command | events |
| --- | --- | --- |
| follow_telemetry | telemetry_reported | telemetry_followed, checkpoints_written…, checkpoint_missing…, checkpoints_found…, run_restarted…, loss_spiked…, loss_diverged, alarm_ended, milestone_reached…, overrun_forecast, question_asked, run_reported |
| read_evaluation | evaluation_read, evaluation_refused | evidence_presented, claim_failed |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.charter import Office
from domain.evaluation import EvaluationRead, EvaluationRefused, Measured, Score
from domain.kernel import Command, StreamId, digest_of, slug_of
from domain.process import Context
from domain.register.facts import (
    Capacity,
    CharterAdopted,
    ContributionCleared,
    MandateGranted,
    OfficeGranted,
    OfficeRevoked,
    RepresentativeSeated,
    RunReported,
)
from domain.run import commands as run_commands
from domain.run import events as run_events
from domain.run import steps as run_steps
from domain.run.process import RUN
from domain.run.readings import Reading, observe
from domain.run.rules import put_to_vote
from domain.run.telemetry import CheckpointRange, Divergence, Restart, Spike, StagePlan, Watch
from domain.run.terms import Contract, Criteria, Milestone, Share, Source
from domain.stream import FailStep, WaiveStep
from tests.stories import START, Story, charter, day, founded, noted, stated, with_members

ROUND = "round/atlas-1"
STAGE = StagePlan(name="pretraining", first_checkpoint=0, checkpoint_every=100, last_step=1_000)
SCORE = Score(task="speech_mc", metric="acc,none", at_least=600_000)


def contract(**changes: Any) -> Contract:
    """A run of 1,000 steps and a billion tokens, paid by one round, with two milestones."""
    terms: dict[str, Any] = {
        "title": "Atlas-1", "lead": "lea", "objective": "An open 32B model.", "architecture": "decoder", "parameters_millions": 32_000,
        "token_budget": 1_000_000_000, "data_mix": (Share(name="web", fraction=10_000),), "currency": "USD", "p50": 80_000_00, "p80": 100_000_00,
        "round": ROUND, "start_funds": 10_000_00, "stages": (STAGE,), "source": Source(adapter="jsonl", location="atlas-1/log.jsonl"),
        "milestones": (
            Milestone(id="half", text="Half the tokens.", criteria=Criteria(tokens=500_000_000), due_at=day(30), tranche=2),
            Milestone(id="end", text="All of them.", criteria=Criteria(tokens=1_000_000_000, scores=(SCORE,)), due_at=day(60), tranche=3),
        ),
    }  # fmt: skip
    return Contract(**terms | changes)


def cast() -> Story:
    """Reviewers eva (of amber), sia (of birch), ella (of amber too), lia (of the lead's organisation, cedar) and sol (of none);
    20,000 dollars have cleared.
    """
    register = with_members(founded(charter()), "amber", "birch", "cedar")
    for person, office, member in (("eva", Office.EVALUATION_REVIEWER, "amber"), ("ella", Office.EVALUATION_REVIEWER, "amber"),
                                   ("sia", Office.SAFETY_REVIEWER, "birch"), ("lea", Office.EVALUATION_REVIEWER, "cedar"),
                                   ("lia", Office.SAFETY_REVIEWER, "cedar"), ("sol", Office.SAFETY_REVIEWER, "")):  # fmt: skip
        register = noted(register, OfficeGranted(person=person, office=office))
        if member:
            register = noted(register, RepresentativeSeated(member=member, person=person, capacity=Capacity.ALTERNATE, at=START))
    return Story.of(RUN, "run/atlas-1", noted(register, ContributionCleared(member="amber", source=ROUND, amount=20_000_00)))


def voted(story: Story, command: Command) -> Story:
    """A proposal to give this command has passed, and gives it."""
    digest = digest_of("run/atlas-1", command.model_dump(mode="json"))
    return replace(story, register=noted(story.register, MandateGranted(proposal="proposal/x", digest=digest))).when(command)


def approved(terms: Contract | None = None) -> Story:
    terms = terms or contract()
    return voted(cast().when(run_commands.PlanRun(contract=terms), by="lea"), run_commands.ApproveContract(contract=stated(terms)))


def running(terms: Contract | None = None) -> Story:
    return approved(terms).when(run_commands.StartRun(), by="lea")


def told(story: Story, *, steps: Sequence[int] = (), at: Any = None, **more: Any) -> Story:
    """The look that is under way brings readings of these steps, a million tokens each, with a checkpoint every hundred."""
    step = next(step for step in story.steps if step.kind == "follow_telemetry")
    readings = [Reading("pretraining", n, n * 1_000_000, 2_000_000, f"step{n}" if n % 100 == 0 else None) for n in steps]
    watch, found = observe((STAGE,), contract().spikes, Watch.model_validate(step.data["watch"], strict=False), readings)
    fields = {
        "step": step.key, "number": step.data["number"], "cursor": str(watch.readings), "watch": watch, "loss_micro": found.loss_micro,
        "checkpoints": tuple(found.checkpoints), "missing": tuple(found.missing), "found": tuple(found.found),
        "restarts": tuple(found.restarts),
    }  # fmt: skip
    return story.when(run_steps.TelemetryReported(**fields | more), at=at)


def half(**changes: Any) -> Story:
    """Half of the run is done, with all its checkpoints."""
    return told(running(contract(**changes)), steps=range(0, 501, 50))


def claimed() -> tuple[Story, str]:
    story = half().when(run_commands.ClaimMilestone(milestone="half"), by="lea")
    return story, next(event.evidence for event in story.answer if isinstance(event, run_events.EvidencePresented))


# ---------------------------------------------------------------- the contract


def test_what_is_done_in_another_phase_is_told_where_the_run_is() -> None:
    stands = {
        "no run of this name was planned": cast(),
        "its contract is not approved yet": cast().when(run_commands.PlanRun(contract=contract()), by="lea"),
        "its contract is approved, and the training has not begun": approved(),
        "the run is over: stopped": voted(running(), run_commands.StopRun(reason="too dear")),
    }
    for words, reached in stands.items():
        turned = reached.when(run_commands.PauseRun(reason="a break"), by="lea").refused("run_not_running").refusal
        assert turned is not None
        assert turned.message == f"{words}; this is done while the training runs"
    missing = cast().when(run_commands.PauseRun(reason="a break"), by="lea").refusal
    assert missing is not None
    assert "`consortium runs`" in missing.remedy


def test_a_contract_waits_for_its_lead_to_put_it_to_the_vote_and_never_for_the_board_which_has_no_ballot() -> None:
    assert RUN.describe(cast().when(run_commands.PlanRun(contract=contract()), by="lea").state.state).waits_for == ("lea",)


def test_a_contract_is_planned_by_its_lead_and_waits_for_the_vote_on_its_hash() -> None:
    story = cast().when(run_commands.PlanRun(contract=contract()), by="lea").followed_by("run_planned", "lead_named")
    assert story.when(run_commands.PlanRun(contract=contract()), by="lea").answer == ()
    assert story.phase == "planned"
    cast().when(run_commands.PlanRun(contract=contract()), by="sam").refused("office_required")
    cast().when(run_commands.PlanRun(contract=contract(lead="lena")), by="lea").refused("not_the_lead")


def test_a_contract_is_approved_by_a_vote_on_exactly_it() -> None:
    planned = cast().when(run_commands.PlanRun(contract=contract()), by="lea")
    planned.when(run_commands.ApproveContract(contract=stated(contract())), by="bo").refused("no_mandate")
    voted(planned, run_commands.ApproveContract(contract="0" * 64)).refused("other_contract")
    story = approved().followed_by("mandate_exercised", "contract_approved", "run_reported")
    assert story.register.runs["atlas-1"].phase == "approved"
    story.when(run_commands.PlanRun(contract=contract()), by="lea").refused("contract_approved")
    voted(cast(), run_commands.ApproveContract(contract="0" * 64)).refused("no_contract_waits")


def test_a_contract_that_cannot_hold_is_not_taken() -> None:
    cast().when(run_commands.PlanRun(contract=contract(currency="EUR")), by="lea").refused("other_currency")
    cast().when(run_commands.PlanRun(contract=contract(round=None)), by="lea").refused("no_round")
    cast().when(run_commands.PlanRun(contract=contract()), by="lea", at=day(31)).refused("due_date_passed")
    silent = charter()
    fewer = silent.model_copy(update={"decisions": {name: rule for name, rule in silent.decisions.items() if name != "runs"}})
    bare = replace(cast(), register=founded(fewer))
    bare.when(run_commands.PlanRun(contract=contract()), by="lea").refused("nobody_decides")
    for wrong in ({"p80": 1}, {"data_mix": (Share(name="web", fraction=9_999),)}, {"stages": (STAGE, STAGE)}):
        with pytest.raises(ValidationError):
            contract(**wrong)


@pytest.mark.parametrize(
    ("terms", "rule"),
    [
        ({"stages": (StagePlan(name="p", first_checkpoint=0, checkpoint_every=1, last_step=10**12),)}, "too_many_checkpoints"),
        ({"silent_hours": 6}, "looks_too_rare"),
        ({"stalled_hours": 5}, "looks_too_rare"),
        ({"milestones": (Milestone(id="a", text="x", criteria=Criteria(loss_at_least_micro=5, loss_at_most_micro=1), due_at=day(30)),)},
         "loss_band_inverted"),
    ],
)  # fmt: skip
def test_terms_that_no_run_can_be_followed_by_are_taken_neither_at_first_nor_by_a_change_order(terms: dict[str, Any], rule: str) -> None:
    cast().when(run_commands.PlanRun(contract=contract(**terms)), by="lea").refused(rule)
    voted(running(), run_commands.ChangeContract(contract=contract(**terms))).refused(rule)


def test_a_contract_that_waits_is_displaced_by_its_own_lead_only() -> None:
    planned = cast().when(run_commands.PlanRun(contract=contract()), by="lea")
    rivals = replace(planned, register=noted(planned.register, OfficeGranted(person="leo", office=Office.TRAINING_LEAD)))
    rivals.when(run_commands.PlanRun(contract=contract(lead="leo")), by="leo").refused("other_contract_waits")
    rivals.when(run_commands.PlanRun(contract=contract(title="Atlas-2")), by="lea").followed_by("run_planned", "lead_named")
    gone = replace(rivals, register=noted(rivals.register, OfficeRevoked(person="lea", office=Office.TRAINING_LEAD)))
    gone.when(run_commands.PlanRun(contract=contract(lead="leo")), by="leo").followed_by("run_planned", "lead_named")


def test_a_run_keeps_the_charter_that_its_contract_was_approved_under() -> None:
    story, evidence = claimed()
    stricter = charter(training__reviewers=3, training__review_offices=["board"])
    amended = replace(story, register=noted(story.register, CharterAdopted(version=2, charter=stricter)))
    signed = amended.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="eva").followed_by("milestone_signed")
    signed.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="sia").followed_by("milestone_accepted")


def test_a_run_starts_when_its_money_has_cleared() -> None:
    approved(contract(start_funds=20_000_01)).when(run_commands.StartRun(), by="lea").refused("not_funded")
    approved().when(run_commands.StartRun(), by="sam").refused("not_the_lead")
    cast().when(run_commands.StartRun(), by="lea").refused("not_approved")
    story = running().followed_by("run_started", "run_reported", "look_began").owes("follow_telemetry", "follow:1")
    assert story.when(run_commands.StartRun(), by="lea").answer == ()


# ---------------------------------------------------------------- readings


def test_readings_are_looked_at_one_look_after_another() -> None:
    story = told(running(), steps=range(0, 201, 50)).followed_by("step_carried_out", "telemetry_followed", "checkpoints_written")
    story.when(run_commands.LookAtTelemetry()).refused("not_due")
    story.when(run_commands.LookAtTelemetry(), by="lea").refused("service_only")
    again = story.due().followed_by("look_began").owes("follow_telemetry", "follow:2")
    assert again.at == START + timedelta(hours=6)
    assert again.when(run_commands.LookAtTelemetry()).answer == ()


def test_an_answer_to_an_older_look_is_old_news() -> None:
    late = run_steps.TelemetryReported(step="follow:9", number=9, cursor="", watch=Watch())
    assert running().when(late).answer == ()


def test_a_look_that_does_not_come_back_is_begun_anew() -> None:
    waived = running().when(FailStep(step="follow:1", reason="x")).when(WaiveStep(step="follow:1", reason="x"), by="sam")
    assert waived.when(run_commands.LookAtTelemetry(), at=START + timedelta(hours=29)).answer == ()
    silent = waived.due().followed_by("run_fell_silent")
    again = silent.due().followed_by("look_began").owes("follow_telemetry", "follow:2")
    assert again.at == START + timedelta(hours=30)
    resumed = waived.when(run_commands.PauseRun(reason="x"), by="lea").when(run_commands.ResumeRun(), by="lea")
    resumed.followed_by("run_resumed", "run_reported", "look_began").owes("follow_telemetry", "follow:2")


def test_another_source_is_read_from_its_beginning_at_once() -> None:
    story = told(running(), steps=(0, 50, 100))
    moved = contract(source=Source(adapter="checkpoint-table", location="atlas-1/table.csv"))
    changed = voted(story, run_commands.ChangeContract(contract=moved)).followed_by(
        "mandate_exercised", "contract_approved", "run_reported", "look_began"
    )
    step = next(step for step in changed.steps if step.kind == "follow_telemetry")
    assert (step.data["number"], step.data["cursor"], step.data["source"]["adapter"]) == (2, "", "checkpoint-table")
    again = told(changed, steps=(0, 100))
    again.followed_by("step_carried_out", "telemetry_followed")
    rests = voted(story.due().when(run_commands.PauseRun(reason="x"), by="lea"), run_commands.ChangeContract(contract=moved))
    late = run_steps.TelemetryReported(step="follow:2", number=2, cursor="99:abc", watch=Watch(readings=99))
    assert [event.kind for event in rests.when(late).answer] == ["step_carried_out"]


def test_a_missing_checkpoint_that_turns_up_is_missing_no_longer() -> None:
    gap = told(running(), steps=(0, 100, 300))
    whole = told(gap.due(), steps=(200, 400))
    kinds = [event.kind for event in whole.answer if event.kind != "step_owed"]
    assert {"checkpoints_found", "run_reported"} <= set(kinds)
    assert whole.register.runs["atlas-1"].checkpoints_retained
    told(whole.due(), steps=(500,)).when(run_commands.ClaimMilestone(milestone="half"), by="lea").followed_by(
        "milestone_claimed", "evidence_presented"
    )


def test_a_run_that_has_diverged_is_told_of_and_has_no_loss() -> None:
    nan = Divergence(stage="pretraining", step=150, count=3, lasting=True)
    story = told(half().due(), steps=(550,), diverged=nan, loss_micro=None)
    story.owes("notify", "notice:diverged:2")
    assert [event.kind for event in story.answer if event.kind != "step_owed"][-1] == "loss_diverged"
    assert RUN.describe(story.state.state).values["loss_micro"] == 0


def test_a_missing_checkpoint_is_a_fact_that_everybody_learns_once() -> None:
    story = told(running(), steps=(0, 100, 300)).followed_by(
        "step_carried_out", "telemetry_followed", "checkpoints_written", "checkpoints_written", "checkpoint_missing", "run_reported"
    )
    assert not story.register.runs["atlas-1"].checkpoints_retained
    story.owes("notify", "notice:findings:1")
    again = told(story.due(), steps=(500,))
    assert [event for event in again.answer if isinstance(event, RunReported)] == []


def test_restarts_and_spikes_are_told_with_their_lineage() -> None:
    restart = Restart(stage="pretraining", from_step=300, to_step=200)
    spike = Spike(stage="pretraining", step=250, loss_micro=9_000_000, score=2_000)
    story = told(running(), steps=(0, 100), restarts=(restart, restart), spikes=(spike,))
    story.followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "run_restarted", "run_restarted", "loss_spiked")
    values = RUN.describe(story.state.state).values
    assert (values["restarts"], values["spikes"]) == (2, 1)


def test_what_the_trainer_does_not_tell_is_reckoned_by_the_contracts_rate() -> None:
    values = RUN.describe(half().state.state).values
    assert (values["spent_minor"], values["forecast_minor"]) == (40_000_00, 80_000_00)
    priced = RUN.describe(half(cost_per_billion_tokens=90_000_00).state.state).values
    assert priced["forecast_minor"] == 90_000_00
    assert RUN.describe(told(running(), steps=(0, 50), cost=1_000_00).state.state).values["spent_minor"] == 1_000_00


def test_a_cost_that_was_told_is_replaced_by_no_reckoned_one() -> None:
    story = told(running(), steps=(0, 50), cost=1_000_00)
    quiet = told(story.due(), steps=(100,))
    assert quiet.state.state.book.spent == 1_000_00
    assert told(quiet.due(), steps=(150,), cost=2_000_00).state.state.book.spent == 2_000_00


def test_what_is_spent_above_the_p80_is_an_overrun_before_the_first_token_and_after_the_last() -> None:
    spent = told(running(), cost=999_999_00)
    assert [event.forecast for event in spent.answer if isinstance(event, run_events.OverrunForecast)] == [999_999_00]
    over = told(running(contract(token_budget=200_000_000)), steps=range(0, 501, 50), cost=150_000_00)
    assert [event.forecast for event in over.answer if isinstance(event, run_events.OverrunForecast)] == [150_000_00]


def test_an_amount_of_any_size_is_stored_so_that_it_can_be_read_again() -> None:
    wild = told(running(contract(token_budget=2**53 - 1)), watch=Watch(stage="p", step=1, tokens=1, readings=5), cost=10**30 - 1)
    facts = [event for event in wild.answer if isinstance(event, run_events.TelemetryFollowed)]
    assert facts
    assert run_events.TelemetryFollowed.model_validate_json(facts[0].model_dump_json()) == facts[0]


def test_silence_counts_from_when_the_trainer_wrote() -> None:
    story = told(running(), steps=(0, 50), at=START + timedelta(hours=6), quiet_seconds=4 * 3_600)
    assert story.state.state.heard_at == START + timedelta(hours=2)
    assert told(running(), steps=(0,), quiet_seconds=10**9).state.state.heard_at == START


def test_a_run_that_crashes_again_and_again_does_not_get_on() -> None:
    story = told(running(), steps=(0, 50, 90))
    for hours in range(6, 60, 6):
        story = told(story.when(run_commands.LookAtTelemetry(), at=START + timedelta(hours=hours)), steps=(40, 80 + hours // 12))
        if hours == 48:
            story = story.when(run_commands.SoundAlarm()).followed_by("run_stalled")


def test_a_silent_run_pages_once_even_when_nobody_looks() -> None:
    story = running()
    story.when(run_commands.SoundAlarm()).refused("not_due")
    paged = story.due().followed_by("run_fell_silent").owes("notify")
    assert paged.at == START + timedelta(hours=24)
    assert paged.when(run_commands.SoundAlarm()).answer == ()
    told(paged, steps=(0, 50)).followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "alarm_ended")


def test_a_run_that_does_not_get_on_is_told_of() -> None:
    story = told(running(), steps=(0, 50))
    for hour in (20, 40):
        story = told(story.when(run_commands.LookAtTelemetry(), at=START + timedelta(hours=hour)), steps=(50,))
    stalled = story.when(run_commands.SoundAlarm(), at=START + timedelta(hours=48)).followed_by("run_stalled")
    stalled.when(run_commands.SoundAlarm(), at=START + timedelta(hours=63)).refused("not_due")
    stalled.when(run_commands.SoundAlarm(), at=START + timedelta(hours=64)).followed_by("run_fell_silent").owes("notify")
    on = told(stalled.when(run_commands.LookAtTelemetry(), at=START + timedelta(hours=50)), steps=(60,))
    on.followed_by("step_carried_out", "telemetry_followed", "alarm_ended")


def test_a_run_rests_and_goes_on() -> None:
    story = running().when(run_commands.PauseRun(reason="The cluster moves."), by="lea").followed_by("run_paused", "run_reported")
    assert story.when(run_commands.PauseRun(reason="x"), by="lea").answer == ()
    rested = told(story, steps=(0, 50)).followed_by("step_carried_out", "telemetry_followed", "checkpoints_written")
    rested.when(run_commands.ResumeRun(), by="sam").refused("not_the_lead")
    rested.when(run_commands.ResumeRun(), by="lea").followed_by("run_resumed", "run_reported", "look_began")
    assert running().when(run_commands.ResumeRun(), by="lea").answer == ()
    approved().when(run_commands.PauseRun(reason="x"), by="lea").refused("run_not_running")


# ---------------------------------------------------------------- milestones


def test_reaching_a_milestone_is_a_fact_with_evidence() -> None:
    half().followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "milestone_reached")


def test_a_milestone_is_claimed_by_the_lead_when_its_criteria_are_met() -> None:
    running().when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")
    half().when(run_commands.ClaimMilestone(milestone="half"), by="sia").refused("not_the_lead")
    half().when(run_commands.ClaimMilestone(milestone="third"), by="lea").refused("no_such_milestone")
    story, _ = claimed()
    story.followed_by("milestone_claimed", "evidence_presented").owes("notify", "notice:review:half:1")


@pytest.mark.parametrize(
    "criteria",
    [Criteria(loss_at_most_micro=1_999_999), Criteria(loss_at_least_micro=2_000_001), Criteria(spent_at_most=1)],
)
def test_every_criterion_counts(criteria: Criteria) -> None:
    only = (Milestone(id="half", text="x", criteria=criteria, due_at=day(30)),)
    half(milestones=only).when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_a_gap_in_the_checkpoints_stands_in_the_way_of_a_milestone() -> None:
    story = told(running(), steps=(0, 200, 300, 400, 500))
    story.when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_a_run_that_tells_no_checkpoints_reaches_no_milestone_that_asks_for_them() -> None:
    story = told(running(), steps=range(1, 502, 50))
    story.when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_when_the_tokens_are_used_up_the_whole_plan_must_be_there() -> None:
    soup = StagePlan(name="soup", first_checkpoint=1_000, checkpoint_every=1, last_step=1_000)
    only = (Milestone(id="end", text="x", criteria=Criteria(tokens=900_000_000), due_at=day(60)),)
    terms = contract(stages=(STAGE, soup), milestones=only)
    told(running(terms), steps=range(0, 951, 50)).when(run_commands.ClaimMilestone(milestone="end"), by="lea").followed_by(
        "milestone_claimed", "evidence_presented"
    )
    told(running(terms), steps=range(0, 1_001, 50)).when(run_commands.ClaimMilestone(milestone="end"), by="lea").refused("criteria_not_met")


def test_checkpoints_must_be_hashed_where_the_milestone_asks_for_it() -> None:
    only = (Milestone(id="half", text="x", criteria=Criteria(checkpoints_hashed=True), due_at=day(30)),)
    half(milestones=only).when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_a_loss_of_zero_is_a_bound_as_well() -> None:
    only = (Milestone(id="half", text="x", criteria=Criteria(loss_at_most_micro=0), due_at=day(30)),)
    half(milestones=only).when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_evidence_that_waits_is_not_claimed_again() -> None:
    story, evidence = claimed()
    signed = story.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="eva")
    again = told(signed.due(), steps=(550, 600)).when(run_commands.ClaimMilestone(milestone="half"), by="lea").refused("evidence_waits")
    again.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="sia").followed_by("milestone_accepted")


def test_a_reviewer_speaks_for_an_organisation_and_not_for_the_leads() -> None:
    story, evidence = claimed()
    accept = run_commands.AcceptMilestone(milestone="half", evidence=evidence)
    story.when(accept, by="sol").refused("no_organisation")
    story.when(accept, by="lia").refused("same_organisation")


def test_a_signature_counts_while_its_reviewer_holds_the_office() -> None:
    story, evidence = claimed()
    accept = run_commands.AcceptMilestone(milestone="half", evidence=evidence)
    signed = story.when(accept, by="eva")
    revoked = replace(signed, register=noted(signed.register, OfficeRevoked(person="eva", office=Office.EVALUATION_REVIEWER)))
    alone = revoked.when(accept, by="sia").followed_by("milestone_signed")
    alone.when(accept, by="sia").refused("same_person")
    back = replace(alone, register=noted(alone.register, OfficeGranted(person="eva", office=Office.EVALUATION_REVIEWER)))
    back.when(accept, by="eva").followed_by("milestone_accepted")


def test_two_reviewers_of_different_organisations_accept_and_the_tranche_is_released() -> None:
    story, evidence = claimed()
    accept = run_commands.AcceptMilestone(milestone="half", evidence=evidence)
    story.when(accept, by="lea").refused("lead_reviews")
    story.when(accept, by="sam").refused("office_required")
    story.when(run_commands.AcceptMilestone(milestone="half", evidence="0" * 64), by="eva").refused("other_evidence")
    signed = story.when(accept, by="eva").followed_by("milestone_signed")
    signed.when(accept, by="eva").refused("same_person")
    signed.when(accept, by="ella").refused("same_organisation")
    accepted = signed.when(accept, by="sia").followed_by("milestone_accepted").owes("tell", "tell:release:half")
    assert accepted.when(accept, by="eva").answer == ()
    assert accepted.when(run_commands.ClaimMilestone(milestone="half"), by="lea").answer == ()
    accepted.when(run_commands.RejectMilestone(milestone="half", evidence=evidence, reason="x"), by="eva").refused("milestone_accepted")


def test_a_rejection_is_final_for_its_evidence() -> None:
    story, evidence = claimed()
    rejected = story.when(run_commands.RejectMilestone(milestone="half", evidence=evidence, reason="The curve is odd."), by="sia")
    rejected.followed_by("milestone_rejected").owes("notify", "notice:rejected:half:1")
    rejected.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="eva").refused("other_evidence")
    rejected.when(run_commands.ClaimMilestone(milestone="half"), by="lea").followed_by("milestone_claimed", "claim_failed")
    more = told(rejected.due(), steps=(550, 600)).when(run_commands.ClaimMilestone(milestone="half"), by="lea")
    more.followed_by("milestone_claimed", "evidence_presented")


def evaluating() -> Story:
    story = told(running(), steps=range(0, 1_001, 50))
    story.when(run_commands.ClaimMilestone(milestone="end"), by="lea").refused("results_missing")
    return story.when(run_commands.ClaimMilestone(milestone="end", results="atlas-1/results.json"), by="lea")


def test_scores_are_read_from_the_harness_before_anybody_judges() -> None:
    story = evaluating().followed_by("milestone_claimed").owes("read_evaluation", "evaluate:end:1")
    read = EvaluationRead(
        step="evaluate:end:1", subject="end", number=1, file="1" * 64, harness="lm-evaluation-harness 0.4.13",
        measured=(Measured(task="speech_mc", metric="acc,none", value=700_000, stderr=100_000, samples=20),),
    )  # fmt: skip
    story.when(read).followed_by("step_carried_out", "evidence_presented")
    low = read.model_copy(update={"measured": (Measured(task="speech_mc", metric="acc,none", value=599_999),)})
    story.when(low).followed_by("step_carried_out", "claim_failed").owes("notify", "notice:claim:end:1")
    story.when(read.model_copy(update={"measured": ()})).followed_by("step_carried_out", "claim_failed")
    partial = EvaluationRefused(step="evaluate:end:1", subject="end", number=1, reason="speech_mc: 5 of 20 items")
    story.when(partial).followed_by("step_carried_out", "claim_failed")


def read(**changes: Any) -> EvaluationRead:
    """The harness measured enough."""
    fields: dict[str, Any] = {
        "step": "evaluate:end:1", "subject": "end", "number": 1, "file": "1" * 64, "harness": "lm-evaluation-harness 0.4.13", "model": "atlas-1",
        "measured": (Measured(task="speech_mc", metric="acc,none", value=700_000, samples=20),),
    }  # fmt: skip
    return EvaluationRead(**fields | changes)


def test_a_claim_whose_results_do_not_come_is_given_up_for_the_next() -> None:
    stuck = evaluating().when(FailStep(step="evaluate:end:1", reason="x")).when(WaiveStep(step="evaluate:end:1", reason="x"), by="sam")
    again = stuck.when(run_commands.ClaimMilestone(milestone="end", results="right.json"), by="lea").followed_by("milestone_claimed")
    again.owes("read_evaluation", "evaluate:end:2")
    assert evaluating().when(run_commands.ClaimMilestone(milestone="end", results="x.json"), by="lea").when(read()).answer[1:] == ()
    again.when(read(step="evaluate:end:2", number=2)).followed_by("step_carried_out", "evidence_presented")


def test_the_criteria_are_looked_at_again_when_the_results_are_there() -> None:
    tight = Criteria(tokens=500_000_000, loss_at_most_micro=2_500_000, scores=(SCORE,), spent_at_most=50_000_00)
    story = half(milestones=(Milestone(id="end", text="x", criteria=tight, due_at=day(60)),))
    story = story.when(run_commands.ClaimMilestone(milestone="end", results="r.json"), by="lea").followed_by("milestone_claimed")
    worse = told(story.when(run_commands.LookAtTelemetry(), at=START + timedelta(hours=6)), steps=(550, 600, 700), loss_micro=9_000_000)
    worse.when(read()).followed_by("step_carried_out", "claim_failed")
    story.when(read()).followed_by("step_carried_out", "evidence_presented")


def test_a_score_of_which_less_is_better_has_a_bound_above() -> None:
    perplexity = Score(task="wikitext", metric="word_perplexity,none", at_most=10_000_000)
    only = (Milestone(id="end", text="x", criteria=Criteria(scores=(perplexity,)), due_at=day(60)),)
    story = half(milestones=only).when(run_commands.ClaimMilestone(milestone="end", results="r.json"), by="lea")
    for value, kind in ((10_000_000, "evidence_presented"), (10_000_001, "claim_failed")):
        story.when(read(measured=(Measured(task="wikitext", metric="word_perplexity,none", value=value),))).followed_by(
            "step_carried_out", kind
        )
    for bounds in ({}, {"at_least": 1, "at_most": 2}):
        with pytest.raises(ValidationError):
            Score(task="x", metric="y", **bounds)


def test_reviewers_see_what_was_measured_on_which_model() -> None:
    story = evaluating().when(read())
    facts = next(step.data["facts"] for step in story.steps if step.key == "notice:review:end:1")
    assert (facts["model"], facts["results"]) == ("atlas-1", "1" * 64)
    assert "atlas-1" in RUN.describe(story.state.state).text
    digests = {
        event.evidence
        for results in (read(), read(model="atlas-0"), read(file="2" * 64))
        for event in evaluating().when(results).answer
        if isinstance(event, run_events.EvidencePresented)
    }
    assert len(digests) == 3


def test_evidence_is_bound_to_the_spend() -> None:
    digests = set()
    for cost in (1_000_00, 2_000_00):
        story = told(running(), steps=range(0, 501, 50), cost=cost).when(run_commands.ClaimMilestone(milestone="half"), by="lea")
        digests |= {event.evidence for event in story.answer if isinstance(event, run_events.EvidencePresented)}
    assert len(digests) == 2


def test_a_claim_made_in_time_is_not_missed_while_it_is_read() -> None:
    story = told(running(), steps=range(0, 1_001, 50)).when(
        run_commands.ClaimMilestone(milestone="end", results="r.json"), by="lea", at=day(60) - timedelta(hours=1)
    )
    story.when(run_commands.MarkMissed(milestone="end"), at=day(60)).refused("not_due")
    story.when(read(), at=day(60) + timedelta(hours=1)).followed_by("step_carried_out", "evidence_presented")
    failed = story.when(EvaluationRefused(step="evaluate:end:1", subject="end", number=1, reason="x"), at=day(60))
    failed.when(run_commands.MarkMissed(milestone="end")).followed_by("milestone_missed", "question_asked")
    story.when(run_commands.MarkMissed(milestone="end"), at=day(61)).followed_by("milestone_missed", "question_asked")


# ---------------------------------------------------------------- questions


def test_a_missed_milestone_opens_one_vote_and_a_majority_lets_the_run_go_on() -> None:
    story = told(running(), steps=(0, 50))
    story.when(run_commands.MarkMissed(milestone="half")).refused("not_due")
    missed = story.when(run_commands.MarkMissed(milestone="half"), at=day(30)).followed_by("milestone_missed", "question_asked")
    missed.owes("tell", "tell:question:1")
    assert missed.when(run_commands.MarkMissed(milestone="half")).answer == ()
    missed.when(run_commands.MarkMissed(milestone="end"), at=day(60)).followed_by("milestone_missed")
    voted(missed, run_commands.ContinueRun(question=1)).followed_by("mandate_exercised", "question_settled")
    missed.when(run_commands.ContinueRun(question=1), by="lea").refused("no_mandate")


def test_without_a_majority_the_run_is_stopped() -> None:
    missed = running().when(run_commands.MarkMissed(milestone="half"), at=day(30))
    assert missed.when(run_commands.StopRun(question=2)).answer == ()
    stopped = missed.when(run_commands.StopRun(question=1, reason="milestone half was missed")).followed_by("run_stopped", "run_reported")
    assert stopped.register.runs["atlas-1"].phase == "stopped"
    running().when(run_commands.StopRun(reason="x"), by="bo").refused("no_mandate")
    voted(running(), run_commands.StopRun(reason="We have a better plan.")).followed_by("mandate_exercised", "run_stopped", "run_reported")


def test_a_forecast_above_the_p80_is_put_to_a_vote_once_for_each_contract() -> None:
    story = told(running(), steps=(0, 50), cost=6_000_00)
    story.followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "overrun_forecast", "question_asked")
    again = told(story.due(), steps=(60,), cost=7_000_00)
    assert [event.kind for event in again.answer if event.kind != "step_owed"] == ["step_carried_out", "telemetry_followed"]
    dearer = contract(p50=150_000_00, p80=200_000_00)
    changed = voted(again, run_commands.ChangeContract(contract=dearer))
    changed.followed_by("mandate_exercised", "contract_approved", "question_settled", "run_reported")
    assert changed.register.runs["atlas-1"].contract == stated(dearer)


def test_what_comes_up_during_a_vote_is_put_to_the_next() -> None:
    missed = told(running(), steps=(0, 50)).when(run_commands.MarkMissed(milestone="half"), at=day(30))
    dear = told(missed.when(run_commands.LookAtTelemetry()), steps=(60,), cost=7_000_00)
    dear.followed_by("step_carried_out", "telemetry_followed", "overrun_forecast")
    on = voted(dear, run_commands.ContinueRun(question=1)).followed_by("mandate_exercised", "question_settled", "question_asked")
    asked = next(step.data["command"]["text"] for step in on.steps if step.key == "tell:question:2")
    assert "P80" in asked
    assert "missed" not in asked
    assert (
        voted(on, run_commands.ContinueRun(question=2)).followed_by("mandate_exercised", "question_settled").state.state.book.waiting == ()
    )


def test_an_overrun_that_has_grown_since_the_vote_is_put_to_a_vote_again() -> None:
    story = voted(told(running(), steps=(0, 50), cost=6_000_00), run_commands.ContinueRun(question=1))
    steady = told(story.due(), steps=(60,), cost=7_500_00).followed_by("step_carried_out", "telemetry_followed")
    grown = told(steady.due(), steps=(70,), cost=9_300_00)
    grown.followed_by("step_carried_out", "telemetry_followed", "overrun_forecast", "question_asked")


@pytest.mark.parametrize("ending", ["one", "two"])
def test_no_two_runs_ask_by_one_proposal(ending: str) -> None:
    run = f"atlas-frontier-open-model-2027-pretraining-run-number-of-{ending}"
    (asked, _) = put_to_vote(running().state.state.book, "x", _about(run))
    assert isinstance(asked, run_events.QuestionAsked)
    assert len(slug_of(asked.proposal)) <= 64
    other = put_to_vote(running().state.state.book, "x", _about(run[:-1]))[0]
    assert isinstance(other, run_events.QuestionAsked)
    assert other.proposal != asked.proposal


def _about(run: str) -> Context:
    """The context of a decision about another run."""
    return Context(START, "service", StreamId(f"run/{run}"), founded())


def test_a_change_order_leaves_accepted_milestones_as_they_are() -> None:
    story, evidence = claimed()
    for reviewer in ("eva", "sia"):
        story = story.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by=reviewer)
    voted(story, run_commands.ChangeContract(contract=contract(milestones=contract().milestones[1:]))).refused("milestone_accepted")
    voted(story, run_commands.ChangeContract(contract=contract(currency="EUR"))).refused("other_currency")


def test_evidence_for_the_terms_before_a_change_order_is_accepted_no_longer() -> None:
    story, evidence = claimed()
    signed = story.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="eva")
    changed = voted(signed, run_commands.ChangeContract(contract=contract(p80=120_000_00)))
    changed.when(run_commands.AcceptMilestone(milestone="half", evidence=evidence), by="sia").refused("other_evidence")
    again = changed.when(run_commands.ClaimMilestone(milestone="half"), by="lea").followed_by("milestone_claimed", "evidence_presented")
    renewed = next(event.evidence for event in again.answer if isinstance(event, run_events.EvidencePresented))
    assert renewed != evidence
    again.when(run_commands.AcceptMilestone(milestone="half", evidence=renewed), by="sia").followed_by("milestone_signed")


def test_a_milestone_with_another_day_can_be_missed_anew() -> None:
    missed = running().when(run_commands.MarkMissed(milestone="half"), at=day(30))
    half_, end = contract().milestones
    later = contract(milestones=(half_.model_copy(update={"due_at": day(40)}), end))
    changed = voted(missed, run_commands.ChangeContract(contract=later))
    changed.when(run_commands.MarkMissed(milestone="half"), at=day(39)).refused("not_due")
    changed.when(run_commands.MarkMissed(milestone="half"), at=day(40)).followed_by("milestone_missed", "question_asked")
    same = voted(missed, run_commands.ChangeContract(contract=contract(p80=120_000_00)))
    assert same.when(run_commands.MarkMissed(milestone="half"), at=day(40)).answer == ()


# ---------------------------------------------------------------- the end


def all_accepted() -> Story:
    only = (Milestone(id="end", text="x", criteria=Criteria(tokens=900_000_000), due_at=day(60)),)
    story = told(running(contract(milestones=only)), steps=range(0, 901, 50)).when(run_commands.ClaimMilestone(milestone="end"), by="lea")
    evidence = next(event.evidence for event in story.answer if isinstance(event, run_events.EvidencePresented))
    for reviewer in ("eva", "sia"):
        story = story.when(run_commands.AcceptMilestone(milestone="end", evidence=evidence), by=reviewer)
    return story


def finished() -> Story:
    return told(all_accepted())


def test_a_run_is_completed_when_all_is_accepted_and_what_it_lacks_is_told() -> None:
    half().when(run_commands.CompleteRun(), by="lea").refused("milestones_open")
    finished().when(run_commands.CompleteRun(), by="sam").refused("not_the_lead")
    story = finished().when(run_commands.CompleteRun(), by="lea").followed_by("checkpoint_missing", "run_completed", "run_reported")
    run = story.register.runs["atlas-1"]
    assert not run.checkpoints_retained
    assert run.missing == sum(event.count for event in story.answer if isinstance(event, run_events.CheckpointMissing)) > 0
    assert (run.tokens, [passed.milestone for passed in run.accepted]) == (story.state.state.book.watch.tokens, ["end"])
    assert story.when(run_commands.CompleteRun(), by="lea").answer == ()


def test_a_run_is_completed_after_one_more_look() -> None:
    accepted = all_accepted().followed_by("milestone_accepted", "look_began")
    accepted.when(run_commands.CompleteRun(), by="lea").refused("last_look_awaited")
    whole = told(accepted, steps=(1_000,)).when(run_commands.CompleteRun(), by="lea").followed_by("run_completed", "run_reported")
    assert whole.register.runs["atlas-1"].checkpoints_retained


def test_a_run_that_is_stopped_lacks_what_should_be_there_by_then() -> None:
    stopped = voted(told(running(), steps=(1, 501)), run_commands.StopRun(reason="x"))
    stopped.followed_by("mandate_exercised", "checkpoint_missing", "run_stopped", "run_reported")
    assert not stopped.register.runs["atlas-1"].checkpoints_retained


def test_a_run_that_is_over_is_closed_by_the_secretariat() -> None:
    running().when(run_commands.CloseRun(), by="sam").refused("run_not_over")
    over = finished().when(run_commands.CompleteRun(), by="lea")
    over.when(run_commands.CloseRun(), by="lea").refused("office_required")
    closed = over.when(run_commands.CloseRun(), by="sam").followed_by("run_closed", "run_reported")
    assert RUN.agenda(closed.state.state).closed
    assert closed.when(run_commands.CloseRun(), by="sam").answer == ()


def test_every_phase_is_told_in_a_line() -> None:
    phases = {
        "unplanned": cast(), "planned": cast().when(run_commands.PlanRun(contract=contract()), by="lea"), "approved": approved(), "running": running(),
        "paused": running().when(run_commands.PauseRun(reason="x"), by="lea"), "completed": finished().when(run_commands.CompleteRun(), by="lea"),
        "stopped": voted(running(), run_commands.StopRun(reason="x")),
        "closed": finished().when(run_commands.CompleteRun(), by="lea").when(run_commands.CloseRun(), by="sam"),
    }  # fmt: skip
    for phase, story in phases.items():
        assert story.phase == phase
        assert RUN.describe(story.state.state).line


def test_a_look_tells_a_bounded_number_of_facts_whatever_the_trainer_writes() -> None:
    wild = [Reading("pretraining", step % 97, step, 2_000_000 + step % 7 * 10**6, f"c{step}") for step in range(20_000)]
    watch, found = observe((STAGE,), contract().spikes, Watch(), wild)
    assert len(found.restarts) + len(found.spikes) <= 50
    assert watch.readings == 20_000
    assert found.more > 0
    assert all(isinstance(each, CheckpointRange) for each in found.checkpoints)
