"""Laws of training runs: whatever a trainer, a lead, reviewers and voters do, in any order.

An independent watch follows the events and complains about what must never be: an acceptance that is not bound to the
evidence that waits under the contract in force, evidence that comes back after its rejection, a run that is silent for longer
than its bound and nobody was paged, two votes at a time, or more facts in a look than the bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.charter import Office
from domain.evaluation import EvaluationRead, EvaluationRefused, Measured
from domain.kernel import SERVICE, Command, Event, PersonId, digest_of
from domain.register.facts import MandateGranted, OfficeGranted, OfficeRevoked, RunReported
from domain.register.state import Register
from domain.run import commands as run_commands
from domain.run import events as run_events
from domain.run import steps as run_steps
from domain.run.milestones import READING
from domain.run.process import RUN
from domain.run.readings import Reading, observe
from domain.run.state import Ended, Paused, Planned, Running
from domain.run.telemetry import MISSING, MOST, STAGES, Watch
from domain.run.terms import MOST_MILESTONES, RANGES, Contract, Criteria, Milestone
from domain.stream import FailStep, StepOwed, WaiveStep
from tests.luck import try_laws
from tests.stories import START, Story, day, noted, stated
from tests.test_run import SCORE, STAGE, cast, contract

pytestmark = pytest.mark.heavy

FACTS: Final = RANGES + MISSING + 2 * STAGES + 2 * MOST + MOST_MILESTONES + 10
"""The most events of one look."""
REVIEWERS: Final = ("eva", "ella", "sia", "lea", "sam")
OVER: Final = {
    "run_closed",
    "run_reported",
    "step_owed",
    "step_carried_out",
    "step_failed",
    "step_delayed",
    "step_waived",
    "recipients_unreached",
    "recipients_reached",
    "mandate_exercised",
}

# ---------------------------------------------------------------- the laws


@dataclass
class Law:
    """What the events say, and what they must never say."""

    contract: Contract | None = None
    presented: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The evidence that waits for each milestone, and the digest of the contract that it was presented under."""
    signed: dict[str, list[PersonId]] = field(default_factory=dict)
    rejected: set[tuple[str, str]] = field(default_factory=set)
    accepted: dict[str, str] = field(default_factory=dict)
    missed: set[tuple[str, datetime]] = field(default_factory=set)
    asked: bool = False
    questions: int = 0
    looks: int = 0
    looking: bool = False
    look_at: datetime = START
    lineage: int = 1
    spent: int = 0
    phase: str = ""
    missing: int = 0
    claimed: set[str] = field(default_factory=set)
    """Whose results are being read."""
    heard_at: datetime = START
    advanced_at: datetime = START
    alarm: str = ""

    def note(self, command: Command, events: Sequence[Event], at: datetime, register: Register) -> None:
        """Follow the events of one decision; complain about what must not be."""
        if isinstance(command, run_steps.TelemetryReported):
            assert len(events) <= FACTS
        released = [event.step for event in events if isinstance(event, StepOwed) and event.step.key.startswith("tell:release:")]
        assert not released or any(isinstance(event, run_events.MilestoneAccepted) for event in events), (
            "a tranche released without an acceptance"
        )
        for event in events:
            assert self.phase not in {"ended", "closed"} or event.kind in OVER, f"{event.kind} after the run was over"
            self._contract(event, register)
            self._milestones(event, at, register)
            self._running(event, at)

    @property
    def terms(self) -> dict[str, Milestone]:
        """The milestones of the contract in force."""
        assert self.contract is not None
        return {milestone.id: milestone for milestone in self.contract.milestones}

    def _contract(self, event: Event, register: Register) -> None:
        match event:  # type: ignore[exhaustive-match]  # the other facts say nothing that these laws are about
            case run_events.ContractApproved(contract=terms, digest=digest):
                assert digest == stated(terms)
                if self.contract is not None:
                    assert all(terms.milestones.count(self.terms[name]) == 1 for name in self.accepted), "an accepted milestone was changed"
                self.contract, self.presented, self.signed, self.claimed = terms, {}, {}, set()
            case RunReported(contract=digest):
                assert self.contract is not None
                assert digest == stated(self.contract)
            case run_events.QuestionAsked(question=number):
                assert not self.asked, "two votes at a time"
                assert number == self.questions + 1
                self.asked, self.questions = True, number
            case run_events.QuestionSettled(question=number):
                assert self.asked
                assert number == self.questions
                self.asked = False

    def _milestones(self, event: Event, at: datetime, register: Register) -> None:
        match event:  # type: ignore[exhaustive-match]
            case run_events.MilestoneClaimed(milestone=name):
                self.claimed.add(name)
            case run_events.ClaimFailed(milestone=name):
                self.claimed.discard(name)
            case run_events.EvidencePresented(milestone=name, evidence=evidence, tokens=tokens, measured=measured):
                assert self.contract is not None
                self.claimed.discard(name)
                assert (name, evidence) not in self.rejected, "rejected evidence came back"
                assert tokens >= self.terms[name].criteria.tokens
                assert all(
                    any(each.task == score.task and score.reached(each.value) for each in measured)
                    for score in self.terms[name].criteria.scores
                )
                self.presented[name], self.signed[name] = (evidence, stated(self.contract)), []
            case run_events.MilestoneSigned(milestone=name, evidence=evidence, by=by):
                self._require_waiting(name, evidence)
                self.signed[name].append(by)
            case run_events.MilestoneAccepted(milestone=name, evidence=evidence, by=by):
                assert self.contract is not None
                self._require_waiting(name, evidence)
                assert set(by[:-1]) <= set(self.signed[name])
                assert len(set(by)) == len(by) >= 2
                assert self.contract.lead not in by
                assert all(register.holds(person, Office.EVALUATION_REVIEWER, Office.SAFETY_REVIEWER) for person in by)
                houses = [{register.seat_of(member) for member in register.people[person].speaks_for} for person in by]
                assert all(houses), "a reviewer of no organisation"
                assert not set.intersection(*houses), "one organisation accepted it twice"
                assert name not in self.accepted
                self.accepted[name] = evidence
                del self.presented[name]
            case run_events.MilestoneRejected(milestone=name, evidence=evidence):
                self._require_waiting(name, evidence)
                self.rejected.add((name, evidence))
                del self.presented[name]
            case run_events.MilestoneMissed(milestone=name):
                due = self.terms[name].due_at
                assert at >= due
                assert name not in self.accepted
                assert (name, due) not in self.missed, "missed twice"
                self.missed.add((name, due))

    def _require_waiting(self, name: str, evidence: str) -> None:
        assert self.contract is not None
        assert self.presented[name] == (evidence, stated(self.contract)), "judged what does not wait under this contract"

    def _running(self, event: Event, at: datetime) -> None:
        match event:  # type: ignore[exhaustive-match]
            case run_events.RunStarted() | run_events.RunResumed():
                self.phase, self.heard_at, self.advanced_at, self.alarm = "running", at, at, ""
            case run_events.RunPaused():
                self.phase = "paused"
            case run_events.RunStopped() | run_events.RunCompleted():
                self.phase = "ended"
            case run_events.RunClosed():
                assert self.phase == "ended"
                self.phase = "closed"
            case run_events.LookBegan(number=number, look_at=look_at):
                assert number == self.looks + 1
                self.looks, self.looking, self.look_at = number, True, look_at
            case run_events.TelemetryFollowed(number=number, spent=spent, heard_at=heard_at, advanced_at=advanced_at):
                assert self.looking
                assert number == self.looks, "a look that was given up came back"
                assert spent >= self.spent, "money was unspent"
                assert heard_at <= at
                assert advanced_at <= at
                self.looking, self.spent, self.heard_at, self.advanced_at = False, spent, heard_at, advanced_at
            case run_events.CheckpointMissing(count=count):
                self.missing += count
            case run_events.CheckpointsFound(count=count):
                self.missing -= count
                assert self.missing >= 0, "more was found than was missing"
            case run_events.RunRestarted(lineage=lineage):
                assert lineage == self.lineage + 1
                self.lineage = lineage
            case run_events.RunFellSilent():
                assert self.alarm != "silent", "paged twice for one silence"
                self.alarm = "silent"
            case run_events.RunStalled():
                assert self.alarm == ""
                self.alarm = "stalled"
            case run_events.AlarmEnded():
                assert self.alarm
                self.alarm = ""

    def look(self, at: datetime, *, retained: bool) -> None:
        """What must hold between decisions: nobody waits longer than the contract says to be told of silence, a stall or a missed day."""
        if self.phase == "running":
            assert self.contract is not None
            assert self.alarm == "silent" or at < self.heard_at + timedelta(hours=self.contract.silent_hours), (
                "silent, and nobody was paged"
            )
            given_up = self.look_at + timedelta(hours=self.contract.silent_hours if self.looking else 0)
            assert at < given_up, "nobody looks at the readings any more"
            assert self.alarm or at < self.advanced_at + timedelta(hours=self.contract.stalled_hours), "stalled, and nobody was told"
        if self.phase in {"running", "paused"}:
            assert retained == (self.missing == 0), "the register knows another tale of the checkpoints"
            for milestone in self.terms.values():
                waits = milestone.id not in self.accepted and milestone.id not in self.presented
                latest = milestone.due_at + (READING if milestone.id in self.claimed else timedelta())
                assert not waits or at < latest or (milestone.id, milestone.due_at) in self.missed, "missed, and nobody was asked"


# ---------------------------------------------------------------- the world

accepted: Counter[str] = Counter()


class World:
    """A run on a virtual clock: what is due is given in time, steps come back when they are told to."""

    def __init__(self, terms: Contract) -> None:
        self.story: Story = cast()
        self.law = Law()
        self.step = 0
        self.cost = 0
        assert self.give(run_commands.PlanRun(contract=terms), "lea")

    @property
    def at(self) -> datetime:
        """The time."""
        return self.story.at

    @property
    def state(self) -> Any:
        """Where the run stands."""
        return self.story.state.state

    def give(self, command: Command, by: PersonId = SERVICE, at: datetime | None = None) -> bool:
        """Somebody gives a command; whether it was accepted with consequences."""
        self.story = self.story.when(command, by=by, at=at)
        self.law.note(command, self.story.answer, self.at, self.story.register)
        accepted[command.kind] += bool(self.story.answer)
        return bool(self.story.answer)

    def again(self, command: Command, by: PersonId = SERVICE) -> None:
        """Given and given again: the second time changes nothing."""
        if self.give(command, by):
            before = self.state
            self.give(command, by)
            assert self.state == before, f"{command.kind} told twice"

    def voted(self, command: Command) -> bool:
        """A vote orders it."""
        digest = digest_of(self.story.stream, command.model_dump(mode="json"))
        self.story = replace(self.story, register=noted(self.story.register, MandateGranted(proposal="proposal/x", digest=digest)))
        return self.give(command)

    def until(self, at: datetime) -> None:
        """Time passes; what is due is given when it is due."""
        for _ in range(1_000):
            deadline = self.story.agenda.deadline
            if deadline is None or deadline.at > at:
                break
            before = self.state
            self.give(deadline.command, at=deadline.at)
            assert self.state != before, f"{deadline.command.kind} came and changed nothing"
        else:
            raise AssertionError("what is due has no end")
        self.story = replace(self.story, at=max(at, self.at))

    def written(self, moves: Sequence[int], *, cost: int = 0) -> bool:
        """The look that is under way brings what the trainer wrote; whether one was."""
        step = next((step for step in self.story.steps if step.kind == "follow_telemetry"), None)
        if step is None or not isinstance(self.state, Running | Paused):
            return False
        readings = []
        for move in moves:
            self.step = min(max(self.step + move * 10, 0), STAGE.last_step)
            checkpoint = f"step{self.step}" if self.step % STAGE.checkpoint_every == 0 else None
            readings.append(Reading("pretraining", self.step, self.step * 1_000_000, 2_000_000, checkpoint))
        self.cost += cost
        watch, found = observe((STAGE,), contract().spikes, Watch.model_validate(step.data["watch"], strict=False), readings)
        told = run_steps.TelemetryReported(
            step=step.key, number=step.data["number"], cursor=str(watch.readings), watch=watch, loss_micro=found.loss_micro,
            cost=self.cost or None, checkpoints=tuple(found.checkpoints), missing=tuple(found.missing), restarts=tuple(found.restarts), found=tuple(found.found),
            spikes=tuple(found.spikes), more=found.more,
        )  # fmt: skip
        self.again(told)
        return True


class Runs(RuleBasedStateMachine):
    """Everybody does anything, in any order."""

    world: World
    seen: list[tuple[str, str]]

    @initialize(
        retained=st.booleans(),
        first=st.integers(2, 20),
        last=st.integers(10, 60),
        silent=st.sampled_from([7, 24]),
        stalled=st.sampled_from([12, 48]),
    )
    def begin(self, *, retained: bool, first: int, last: int, silent: int, stalled: int) -> None:
        self.seen = []
        half = Criteria(tokens=300_000_000, checkpoints_retained=retained)
        end = Criteria(tokens=600_000_000, checkpoints_retained=retained, scores=(SCORE,))
        milestones = (
            Milestone(id="half", text="x", criteria=half, due_at=day(first), tranche=2),
            Milestone(id="end", text="x", criteria=end, due_at=day(last), tranche=3),
        )
        terms = contract(milestones=milestones, silent_hours=silent, stalled_hours=stalled)
        self.world = World(terms)
        assert self.world.voted(run_commands.ApproveContract(contract=stated(terms)))
        self.world.again(run_commands.StartRun(), "lea")

    @rule(hours=st.sampled_from([1, 5, 6, 12, 24, 100, 300]))
    def time_passes(self, hours: int) -> None:
        self.world.until(self.world.at + timedelta(hours=hours))

    @rule(moves=st.lists(st.integers(-1, 6), max_size=12), cost=st.sampled_from([0, 0, 1, 2_000_00]))
    def the_trainer_writes(self, moves: list[int], cost: int) -> None:
        if not self.world.written(moves, cost=cost) and isinstance(self.world.state, Running):
            self.world.until(self.world.state.look_at)
            self.world.written(moves, cost=cost)

    @rule(
        name=st.sampled_from(["half", "end"]),
        by=st.sampled_from(["lea", "lea", "lea", "sam"]),
        results=st.sampled_from(["results.json", None]),
    )
    def a_milestone_is_claimed(self, name: str, by: str, results: str | None) -> None:
        self.world.give(run_commands.ClaimMilestone(milestone=name, results=results), by)

    @rule(value=st.sampled_from([700_000, 700_000, 500_000, None]), samples=st.integers(1, 10**6))
    def the_results_are_read(self, value: int | None, samples: int) -> None:
        for step in [step for step in self.world.story.steps if step.kind == "read_evaluation"]:
            name, claim = step.data["subject"], step.data["number"]
            if value is None:
                self.world.again(EvaluationRefused(step=step.key, subject=name, number=claim, reason="a partial run"))
            else:
                measured = (Measured(task=SCORE.task, metric=SCORE.metric, value=value, samples=samples),)
                self.world.again(
                    EvaluationRead(step=step.key, subject=name, number=claim, file="1" * 64, harness="lm-eval", measured=measured)
                )

    @rule(
        reviewers=st.lists(st.sampled_from(REVIEWERS), min_size=1, max_size=4),
        stale=st.booleans(),
        reject=st.sampled_from([False, False, True]),
    )
    def reviewers_judge(self, reviewers: list[str], *, stale: bool, reject: bool) -> None:
        self.seen += [(name, evidence) for name, (evidence, _) in self.world.law.presented.items()]
        waiting = self.seen if stale else [(name, evidence) for name, (evidence, _) in self.world.law.presented.items()]
        for name, evidence in dict.fromkeys(waiting):
            for reviewer in reviewers:
                if reject:
                    self.world.again(run_commands.RejectMilestone(milestone=name, evidence=evidence, reason="odd"), reviewer)
                else:
                    self.world.again(run_commands.AcceptMilestone(milestone=name, evidence=evidence), reviewer)

    @rule(
        name=st.sampled_from(["half", "end"]), value=st.sampled_from([700_000, 700_000, None]), reject=st.sampled_from([False, False, True])
    )
    def a_milestone_goes_its_way(self, name: str, value: int | None, *, reject: bool) -> None:
        self.the_lead_pauses_or_resumes(rests=False)
        for _ in range(8):
            self.the_trainer_writes([5, 5], 0)
        self.a_milestone_is_claimed(name, "lea", "results.json")
        self.the_results_are_read(value, 5)
        self.reviewers_judge(["eva", "sia"], stale=False, reject=reject)

    @rule(person=st.sampled_from(["eva", "sia"]))
    def a_reviewer_loses_the_office_or_gets_it_back(self, person: str) -> None:
        office = Office.EVALUATION_REVIEWER if person == "eva" else Office.SAFETY_REVIEWER
        change = OfficeRevoked if self.world.story.register.holds(person, office) else OfficeGranted
        self.world.story = replace(self.world.story, register=noted(self.world.story.register, change(person=person, office=office)))

    @rule(
        days=st.integers(0, 40),
        tokens=st.sampled_from([200_000_000, 300_000_000, 800_000_000]),
        p80=st.sampled_from([90_000_00, 500_000_00]),
    )
    def a_change_order_passes(self, days: int, tokens: int, p80: int) -> None:
        if isinstance(self.world.state, Running | Paused):
            terms: Contract = self.world.state.book.contract
            half, end = terms.milestones
            if "half" not in self.world.law.accepted:
                half = half.model_copy(
                    update={"due_at": half.due_at + timedelta(days=days), "criteria": half.criteria.model_copy(update={"tokens": tokens})}
                )
            self.world.voted(run_commands.ChangeContract(contract=terms.model_copy(update={"milestones": (half, end), "p80": p80})))

    @rule(passes=st.sampled_from([True, True, True, False]))
    def the_vote_on_the_question_ends(self, *, passes: bool) -> None:
        if self.world.law.asked:
            number = self.world.law.questions
            if passes:
                assert self.world.voted(run_commands.ContinueRun(question=number))
            elif not isinstance(self.world.state, Ended):
                self.world.again(run_commands.StopRun(question=number, reason="no majority"))

    @rule(kind=st.sampled_from(["follow_telemetry", "read_evaluation"]))
    def what_was_asked_outside_never_comes_back(self, kind: str) -> None:
        for step in [step for step in self.world.story.steps if step.kind == kind]:
            self.world.again(FailStep(step=step.key, reason="x"))
            self.world.again(WaiveStep(step=step.key, reason="x"), "sam")

    @rule(rests=st.booleans())
    def the_lead_pauses_or_resumes(self, *, rests: bool) -> None:
        self.world.again(run_commands.PauseRun(reason="x") if rests else run_commands.ResumeRun(), "lea")

    @rule(by=st.sampled_from(["lea", "sam"]))
    def somebody_ends_it(self, by: str) -> None:
        self.world.again(run_commands.CompleteRun(), by)
        self.world.again(run_commands.CloseRun(), by)

    @precondition(lambda self: isinstance(self.world.state, Planned))
    @rule()
    def another_contract_is_planned(self) -> None:
        self.world.again(run_commands.PlanRun(contract=contract()), "lea")

    @invariant()
    def the_laws_hold(self) -> None:
        if hasattr(self, "world"):
            self.world.until(self.world.at)
            self.world.law.look(self.world.at, retained=self.world.story.register.runs["atlas-1"].checkpoints_retained)

    @invariant()
    def the_register_knows_where_it_stands(self) -> None:
        if hasattr(self, "world"):
            said = self.world.story.register.runs["atlas-1"].phase
            assert said.removeprefix("closed-") in {RUN.describe(self.world.state).phase, "completed", "stopped"}


FLOOR: Final = {
    "telemetry_reported": 500, "look_at_telemetry": 300, "sound_alarm": 200, "claim_milestone": 100, "evaluation_read": 10,
    "evaluation_refused": 3, "accept_milestone": 50, "reject_milestone": 10, "mark_missed": 100, "continue_run": 50, "stop_run": 20,
    "change_contract": 100, "pause_run": 100, "resume_run": 50, "complete_run": 1, "close_run": 10,
}  # fmt: skip
"""How often each command must have been accepted, so that the laws were tried on it."""


def test_whatever_happens_the_laws_of_a_training_run_hold(*, long: bool) -> None:
    try_laws(Runs, accepted, FLOOR, histories=120, long=long)
