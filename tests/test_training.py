"""Training runs: the contract that is voted on, the trainer's readings, milestones under review, and votes when it goes badly.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| plan_run | the training lead whom it names | run_planned, lead_named | office_required, not_the_lead, other_currency, nobody_decides, due_date_passed, no_round, contract_approved |
| approve_contract | a passed proposal | contract_approved, run_reported | no_mandate, other_contract, no_contract_waits |
| start_run | the training lead | run_started, look_began, run_reported | not_the_lead, not_funded, not_approved |
| pause_run, resume_run | the training lead | run_paused, run_resumed, look_began | not_the_lead, run_not_running |
| look_at_telemetry | the service | look_began | service_only, not_due |
| sound_alarm | the service | run_fell_silent, run_stalled | service_only, not_due |
| claim_milestone | the training lead | milestone_claimed, evidence_presented | not_the_lead, no_such_milestone, criteria_not_met, results_missing, claim_pending |
| accept_milestone | reviewers of different organisations | milestone_signed, milestone_accepted | office_required, lead_reviews, other_evidence, same_organisation |
| reject_milestone | a reviewer | milestone_rejected | the same, milestone_accepted |
| mark_missed | the service | milestone_missed, question_asked | service_only, not_due |
| continue_run, change_contract, stop_run | a passed proposal | question_settled, contract_approved, run_stopped | no_mandate, milestone_accepted |
| complete_run | the training lead | checkpoint_missing…, run_completed | not_the_lead, milestones_open |
| close_run | secretariat | run_closed | office_required, run_not_over |

| outcome of | command | events |
| --- | --- | --- |
| follow_telemetry | telemetry_reported | telemetry_followed, checkpoints_written…, checkpoint_missing…, run_restarted…, loss_spiked…, alarm_ended, milestone_reached…, overrun_forecast, question_asked |
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
from domain.kernel import Command, digest_of
from domain.register import Capacity, ContributionCleared, MandateGranted, OfficeGranted, RepresentativeSeated, RunReported
from domain.telemetry import CheckpointRange, Missing, Reading, Restart, Spike, StagePlan, Watch, observe
from domain.training import TRAINING
from domain.training_messages import (
    AcceptMilestone,
    ApproveContract,
    ChangeContract,
    ClaimMilestone,
    CloseRun,
    CompleteRun,
    ContinueRun,
    Contract,
    Criteria,
    EvaluationRead,
    EvaluationRefused,
    EvidencePresented,
    LookAtTelemetry,
    MarkMissed,
    Measured,
    Milestone,
    PauseRun,
    PlanRun,
    RejectMilestone,
    ResumeRun,
    Score,
    Share,
    SoundAlarm,
    Source,
    StartRun,
    StopRun,
    TelemetryReported,
    contract_digest,
)
from tests.stories import START, Story, charter, day, founded, noted, with_members

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
    """Reviewers eva (of amber), sia (of birch), ella (of amber too); 20,000 dollars have cleared."""
    register = with_members(founded(charter()), "amber", "birch")
    for person, office, member in (("eva", Office.EVALUATION_REVIEWER, "amber"), ("ella", Office.EVALUATION_REVIEWER, "amber"),
                                   ("sia", Office.SAFETY_REVIEWER, "birch"), ("lea", Office.EVALUATION_REVIEWER, "")):  # fmt: skip
        register = noted(register, OfficeGranted(person=person, office=office))
        if member:
            register = noted(register, RepresentativeSeated(member=member, person=person, capacity=Capacity.ALTERNATE, at=START))
    return Story.of(TRAINING, "run/atlas-1", noted(register, ContributionCleared(member="amber", source=ROUND, amount=20_000_00)))


def voted(story: Story, command: Command) -> Story:
    """A proposal to give this command has passed, and gives it."""
    digest = digest_of("run/atlas-1", command.model_dump(mode="json"))
    return replace(story, register=noted(story.register, MandateGranted(proposal="proposal/x", digest=digest))).when(command)


def approved(terms: Contract | None = None) -> Story:
    terms = terms or contract()
    return voted(cast().when(PlanRun(contract=terms), by="lea"), ApproveContract(contract=contract_digest(terms)))


def running(terms: Contract | None = None) -> Story:
    return approved(terms).when(StartRun(), by="lea")


def told(story: Story, *, steps: Sequence[int] = (), at: Any = None, **more: Any) -> Story:
    """The look that is under way brings readings of these steps, a million tokens each, with a checkpoint every hundred."""
    step = next(step for step in story.steps if step.kind == "follow_telemetry")
    readings = [Reading("pretraining", n, n * 1_000_000, 2_000_000, f"step{n}" if n % 100 == 0 else None) for n in steps]
    watch, found = observe((STAGE,), contract().spikes, Watch.model_validate(step.data["watch"], strict=False), readings)
    fields = {
        "step": step.key, "number": step.data["number"], "cursor": str(watch.readings), "watch": watch, "loss_micro": found.loss_micro,
        "checkpoints": tuple(found.checkpoints), "missing": tuple(found.missing), "restarts": tuple(found.restarts),
    }  # fmt: skip
    return story.when(TelemetryReported(**fields | more), at=at)


def half(**changes: Any) -> Story:
    """Half of the run is done, with all its checkpoints."""
    return told(running(contract(**changes)), steps=range(0, 501, 50))


def claimed() -> tuple[Story, str]:
    story = half().when(ClaimMilestone(milestone="half"), by="lea")
    return story, next(event.evidence for event in story.answer if isinstance(event, EvidencePresented))


# ---------------------------------------------------------------- the contract


def test_a_contract_is_planned_by_its_lead_and_waits_for_the_vote_on_its_hash() -> None:
    story = cast().when(PlanRun(contract=contract()), by="lea").followed_by("run_planned", "lead_named")
    assert story.when(PlanRun(contract=contract()), by="lea").answer == ()
    assert story.phase == "planned"
    cast().when(PlanRun(contract=contract()), by="sam").refused("office_required")
    cast().when(PlanRun(contract=contract(lead="lena")), by="lea").refused("not_the_lead")


def test_a_contract_is_approved_by_a_vote_on_exactly_it() -> None:
    planned = cast().when(PlanRun(contract=contract()), by="lea")
    planned.when(ApproveContract(contract=contract_digest(contract())), by="bo").refused("no_mandate")
    voted(planned, ApproveContract(contract="0" * 64)).refused("other_contract")
    story = approved().followed_by("mandate_exercised", "contract_approved", "run_reported")
    assert story.register.runs["atlas-1"].phase == "approved"
    story.when(PlanRun(contract=contract()), by="lea").refused("contract_approved")
    voted(cast(), ApproveContract(contract="0" * 64)).refused("no_contract_waits")


def test_a_contract_that_cannot_hold_is_not_taken() -> None:
    cast().when(PlanRun(contract=contract(currency="EUR")), by="lea").refused("other_currency")
    cast().when(PlanRun(contract=contract(round=None)), by="lea").refused("no_round")
    cast().when(PlanRun(contract=contract()), by="lea", at=day(31)).refused("due_date_passed")
    silent = charter()
    fewer = silent.model_copy(update={"decisions": {name: rule for name, rule in silent.decisions.items() if name != "runs"}})
    bare = replace(cast(), register=founded(fewer))
    bare.when(PlanRun(contract=contract()), by="lea").refused("nobody_decides")
    for wrong in ({"p80": 1}, {"data_mix": (Share(name="web", fraction=9_999),)}, {"stages": (STAGE, STAGE)}):
        with pytest.raises(ValidationError):
            contract(**wrong)


def test_a_run_starts_when_its_money_has_cleared() -> None:
    approved(contract(start_funds=20_000_01)).when(StartRun(), by="lea").refused("not_funded")
    approved().when(StartRun(), by="sam").refused("not_the_lead")
    cast().when(StartRun(), by="lea").refused("not_approved")
    story = running().followed_by("run_started", "run_reported", "look_began").owes("follow_telemetry", "follow:1")
    assert story.when(StartRun(), by="lea").answer == ()


# ---------------------------------------------------------------- readings


def test_readings_are_looked_at_one_look_after_another() -> None:
    story = told(running(), steps=range(0, 201, 50)).followed_by("step_carried_out", "telemetry_followed", "checkpoints_written")
    story.when(LookAtTelemetry()).refused("not_due")
    story.when(LookAtTelemetry(), by="lea").refused("service_only")
    again = story.due().followed_by("look_began").owes("follow_telemetry", "follow:2")
    assert again.at == START + timedelta(hours=6)
    assert again.when(LookAtTelemetry()).answer == ()


def test_an_answer_to_an_older_look_is_old_news() -> None:
    late = TelemetryReported(step="follow:9", number=9, cursor="", watch=Watch())
    assert running().when(late).answer == ()


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
    values = TRAINING.describe(story.state.state).values
    assert (values["restarts"], values["spikes"]) == (2, 1)


def test_what_the_trainer_does_not_tell_is_reckoned_by_the_contracts_rate() -> None:
    values = TRAINING.describe(half().state.state).values
    assert (values["spent_minor"], values["forecast_minor"]) == (40_000_00, 80_000_00)
    priced = TRAINING.describe(half(cost_per_billion_tokens=90_000_00).state.state).values
    assert priced["forecast_minor"] == 90_000_00
    assert TRAINING.describe(told(running(), steps=(0, 50), cost=1_000_00).state.state).values["spent_minor"] == 1_000_00


def test_a_silent_run_pages_once_even_when_nobody_looks() -> None:
    story = running()
    story.when(SoundAlarm()).refused("not_due")
    paged = story.due().followed_by("run_fell_silent").owes("notify")
    assert paged.at == START + timedelta(hours=24)
    assert paged.when(SoundAlarm()).answer == ()
    told(paged, steps=(0, 50)).followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "alarm_ended")


def test_a_run_that_does_not_get_on_is_told_of() -> None:
    story = told(running(), steps=(0, 50))
    for hour in (20, 40):
        story = told(story.when(LookAtTelemetry(), at=START + timedelta(hours=hour)), steps=(50,))
    stalled = story.when(SoundAlarm(), at=START + timedelta(hours=48)).followed_by("run_stalled")
    stalled.when(SoundAlarm(), at=START + timedelta(hours=63)).refused("not_due")
    stalled.when(SoundAlarm(), at=START + timedelta(hours=64)).followed_by("run_fell_silent").owes("notify")
    on = told(stalled.when(LookAtTelemetry(), at=START + timedelta(hours=50)), steps=(60,))
    on.followed_by("step_carried_out", "telemetry_followed", "alarm_ended")


def test_a_run_rests_and_goes_on() -> None:
    story = running().when(PauseRun(reason="The cluster moves."), by="lea").followed_by("run_paused", "run_reported")
    assert story.when(PauseRun(reason="x"), by="lea").answer == ()
    rested = told(story, steps=(0, 50)).followed_by("step_carried_out", "telemetry_followed", "checkpoints_written")
    rested.when(ResumeRun(), by="sam").refused("not_the_lead")
    rested.when(ResumeRun(), by="lea").followed_by("run_resumed", "run_reported", "look_began")
    assert running().when(ResumeRun(), by="lea").answer == ()
    approved().when(PauseRun(reason="x"), by="lea").refused("run_not_running")


# ---------------------------------------------------------------- milestones


def test_reaching_a_milestone_is_a_fact_with_evidence() -> None:
    half().followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "milestone_reached")


def test_a_milestone_is_claimed_by_the_lead_when_its_criteria_are_met() -> None:
    running().when(ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")
    half().when(ClaimMilestone(milestone="half"), by="sia").refused("not_the_lead")
    half().when(ClaimMilestone(milestone="third"), by="lea").refused("no_such_milestone")
    story, _ = claimed()
    story.followed_by("milestone_claimed", "evidence_presented").owes("notify", "notice:review:half:1")


@pytest.mark.parametrize(
    "criteria",
    [Criteria(loss_at_most_micro=1_999_999), Criteria(loss_at_least_micro=2_000_001), Criteria(spent_at_most=1)],
)
def test_every_criterion_counts(criteria: Criteria) -> None:
    only = (Milestone(id="half", text="x", criteria=criteria, due_at=day(30)),)
    half(milestones=only).when(ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_a_gap_in_the_checkpoints_stands_in_the_way_of_a_milestone() -> None:
    story = told(running(), steps=(0, 200, 500), missing=(Missing(stage="pretraining", step=100),), checkpoints=())
    story.when(ClaimMilestone(milestone="half"), by="lea").refused("criteria_not_met")


def test_two_reviewers_of_different_organisations_accept_and_the_tranche_is_released() -> None:
    story, evidence = claimed()
    accept = AcceptMilestone(milestone="half", evidence=evidence)
    story.when(accept, by="lea").refused("lead_reviews")
    story.when(accept, by="sam").refused("office_required")
    story.when(AcceptMilestone(milestone="half", evidence="0" * 64), by="eva").refused("other_evidence")
    signed = story.when(accept, by="eva").followed_by("milestone_signed")
    assert signed.when(accept, by="eva").answer == ()
    signed.when(accept, by="ella").refused("same_organisation")
    accepted = signed.when(accept, by="sia").followed_by("milestone_accepted").owes("tell", "tell:release:half")
    assert accepted.when(accept, by="eva").answer == ()
    assert accepted.when(ClaimMilestone(milestone="half"), by="lea").answer == ()
    accepted.when(RejectMilestone(milestone="half", evidence=evidence, reason="x"), by="eva").refused("milestone_accepted")


def test_a_rejection_is_final_for_its_evidence() -> None:
    story, evidence = claimed()
    rejected = story.when(RejectMilestone(milestone="half", evidence=evidence, reason="The curve is odd."), by="sia")
    rejected.followed_by("milestone_rejected").owes("notify", "notice:rejected:half:1")
    rejected.when(AcceptMilestone(milestone="half", evidence=evidence), by="eva").refused("other_evidence")
    rejected.when(ClaimMilestone(milestone="half"), by="lea").followed_by("milestone_claimed", "claim_failed")
    more = told(rejected.due(), steps=(550, 600)).when(ClaimMilestone(milestone="half"), by="lea")
    more.followed_by("milestone_claimed", "evidence_presented")


def evaluating() -> Story:
    story = told(running(), steps=range(0, 1_001, 50))
    story.when(ClaimMilestone(milestone="end"), by="lea").refused("results_missing")
    return story.when(ClaimMilestone(milestone="end", results="atlas-1/results.json"), by="lea")


def test_scores_are_read_from_the_harness_before_anybody_judges() -> None:
    story = evaluating().followed_by("milestone_claimed").owes("read_evaluation", "evaluate:end:1")
    story.when(ClaimMilestone(milestone="end", results="x.json"), by="lea").refused("claim_pending")
    read = EvaluationRead(
        step="evaluate:end:1", milestone="end", claim=1, file="1" * 64, harness="lm-evaluation-harness 0.4.13",
        measured=(Measured(task="speech_mc", metric="acc,none", value=700_000, stderr=100_000, samples=20),),
    )  # fmt: skip
    story.when(read).followed_by("step_carried_out", "evidence_presented")
    low = read.model_copy(update={"measured": (Measured(task="speech_mc", metric="acc,none", value=599_999),)})
    story.when(low).followed_by("step_carried_out", "claim_failed").owes("notify", "notice:claim:end:1")
    story.when(read.model_copy(update={"measured": ()})).followed_by("step_carried_out", "claim_failed")
    partial = EvaluationRefused(step="evaluate:end:1", milestone="end", claim=1, reason="speech_mc: 5 of 20 items")
    story.when(partial).followed_by("step_carried_out", "claim_failed")


# ---------------------------------------------------------------- questions


def test_a_missed_milestone_opens_one_vote_and_a_majority_lets_the_run_go_on() -> None:
    story = told(running(), steps=(0, 50))
    story.when(MarkMissed(milestone="half")).refused("not_due")
    missed = story.when(MarkMissed(milestone="half"), at=day(30)).followed_by("milestone_missed", "question_asked")
    missed.owes("tell", "tell:question:1")
    assert missed.when(MarkMissed(milestone="half")).answer == ()
    missed.when(MarkMissed(milestone="end"), at=day(60)).followed_by("milestone_missed")
    voted(missed, ContinueRun(question=1)).followed_by("mandate_exercised", "question_settled")
    missed.when(ContinueRun(question=1), by="lea").refused("no_mandate")


def test_without_a_majority_the_run_is_stopped() -> None:
    missed = running().when(MarkMissed(milestone="half"), at=day(30))
    assert missed.when(StopRun(question=2)).answer == ()
    stopped = missed.when(StopRun(question=1, reason="milestone half was missed")).followed_by("run_stopped", "run_reported")
    assert stopped.register.runs["atlas-1"].phase == "stopped"
    running().when(StopRun(reason="x"), by="bo").refused("no_mandate")
    voted(running(), StopRun(reason="We have a better plan.")).followed_by("mandate_exercised", "run_stopped", "run_reported")


def test_a_forecast_above_the_p80_is_put_to_a_vote_once_for_each_contract() -> None:
    story = told(running(), steps=(0, 50), cost=6_000_00)
    story.followed_by("step_carried_out", "telemetry_followed", "checkpoints_written", "overrun_forecast", "question_asked")
    again = told(story.due(), steps=(60,), cost=8_000_00)
    assert [event.kind for event in again.answer if event.kind != "step_owed"] == ["step_carried_out", "telemetry_followed"]
    dearer = contract(p50=150_000_00, p80=200_000_00)
    changed = voted(again, ChangeContract(contract=dearer))
    changed.followed_by("mandate_exercised", "contract_approved", "question_settled", "run_reported")
    assert changed.register.runs["atlas-1"].contract == contract_digest(dearer)


def test_a_change_order_leaves_accepted_milestones_as_they_are() -> None:
    story, evidence = claimed()
    for reviewer in ("eva", "sia"):
        story = story.when(AcceptMilestone(milestone="half", evidence=evidence), by=reviewer)
    voted(story, ChangeContract(contract=contract(milestones=contract().milestones[1:]))).refused("milestone_accepted")
    voted(story, ChangeContract(contract=contract(currency="EUR"))).refused("other_currency")


def test_evidence_for_the_terms_before_a_change_order_is_accepted_no_longer() -> None:
    story, evidence = claimed()
    signed = story.when(AcceptMilestone(milestone="half", evidence=evidence), by="eva")
    changed = voted(signed, ChangeContract(contract=contract(p80=120_000_00)))
    changed.when(AcceptMilestone(milestone="half", evidence=evidence), by="sia").refused("other_evidence")
    again = changed.when(ClaimMilestone(milestone="half"), by="lea").followed_by("milestone_claimed", "evidence_presented")
    renewed = next(event.evidence for event in again.answer if isinstance(event, EvidencePresented))
    assert renewed != evidence
    again.when(AcceptMilestone(milestone="half", evidence=renewed), by="sia").followed_by("milestone_signed")


def test_a_milestone_with_another_day_can_be_missed_anew() -> None:
    missed = running().when(MarkMissed(milestone="half"), at=day(30))
    half_, end = contract().milestones
    later = contract(milestones=(half_.model_copy(update={"due_at": day(40)}), end))
    changed = voted(missed, ChangeContract(contract=later))
    changed.when(MarkMissed(milestone="half"), at=day(39)).refused("not_due")
    changed.when(MarkMissed(milestone="half"), at=day(40)).followed_by("milestone_missed", "question_asked")
    same = voted(missed, ChangeContract(contract=contract(p80=120_000_00)))
    assert same.when(MarkMissed(milestone="half"), at=day(40)).answer == ()


# ---------------------------------------------------------------- the end


def finished() -> Story:
    only = (Milestone(id="end", text="x", criteria=Criteria(tokens=900_000_000), due_at=day(60)),)
    story = told(running(contract(milestones=only)), steps=range(0, 901, 50)).when(ClaimMilestone(milestone="end"), by="lea")
    evidence = next(event.evidence for event in story.answer if isinstance(event, EvidencePresented))
    return story.when(AcceptMilestone(milestone="end", evidence=evidence), by="eva").when(
        AcceptMilestone(milestone="end", evidence=evidence), by="sia"
    )


def test_a_run_is_completed_when_all_is_accepted_and_what_it_lacks_is_told() -> None:
    half().when(CompleteRun(), by="lea").refused("milestones_open")
    finished().when(CompleteRun(), by="sam").refused("not_the_lead")
    story = finished().when(CompleteRun(), by="lea").followed_by("checkpoint_missing", "run_completed", "run_reported")
    assert not story.register.runs["atlas-1"].checkpoints_retained
    assert story.when(CompleteRun(), by="lea").answer == ()


def test_a_run_that_is_over_is_closed_by_the_secretariat() -> None:
    running().when(CloseRun(), by="sam").refused("run_not_over")
    over = finished().when(CompleteRun(), by="lea")
    over.when(CloseRun(), by="lea").refused("office_required")
    closed = over.when(CloseRun(), by="sam").followed_by("run_closed", "run_reported")
    assert TRAINING.agenda(closed.state.state).closed
    assert closed.when(CloseRun(), by="sam").answer == ()


def test_every_phase_is_told_in_a_line() -> None:
    phases = {
        "unplanned": cast(), "planned": cast().when(PlanRun(contract=contract()), by="lea"), "approved": approved(), "running": running(),
        "paused": running().when(PauseRun(reason="x"), by="lea"), "completed": finished().when(CompleteRun(), by="lea"),
        "stopped": voted(running(), StopRun(reason="x")),
        "closed": finished().when(CompleteRun(), by="lea").when(CloseRun(), by="sam"),
    }  # fmt: skip
    for phase, story in phases.items():
        assert story.phase == phase
        assert TRAINING.describe(story.state.state).line


def test_a_look_tells_a_bounded_number_of_facts_whatever_the_trainer_writes() -> None:
    wild = [Reading("pretraining", step % 97, step, 2_000_000 + step % 7 * 10**6, f"c{step}") for step in range(20_000)]
    watch, found = observe((STAGE,), contract().spikes, Watch(), wild)
    assert len(found.restarts) + len(found.spikes) <= 50
    assert watch.readings == 20_000
    assert found.more > 0
    assert all(isinstance(each, CheckpointRange) for each in found.checkpoints)
