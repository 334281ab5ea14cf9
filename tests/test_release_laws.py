"""Laws of releases, under random histories on a virtual clock: whatever people, steps and members do, and in whatever order.

Nobody has the files early, and nobody longer than agreed. Nothing is public before its gates on exactly these files or the
embargo's end; with everybody silent the embargo's end publishes; a hold cannot outlast the charter; public is final but for
recall and succession. The laws are told by `Watch`, which reads the events and nothing else. A floor on how often each command was
accepted keeps the machine honest.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import letters
from domain.charter import Charter, Office, ReleaseTerms
from domain.evaluation import EvaluationRead, EvaluationRefused, Measured
from domain.kernel import SERVICE, Command, Event, PersonId, Step, digest_of
from domain.register.facts import (
    Capacity,
    MandateGranted,
    MemberReinstated,
    MemberSuspended,
    OfficeGranted,
    OfficeRevoked,
    RepresentativeSeated,
    RepresentativeUnseated,
)
from domain.register.state import Register
from domain.release import commands as release_commands
from domain.release import events as release_events
from domain.release import steps as release_steps
from domain.release.state import Held, Pending, Public, Signed, Staged, Verifying
from domain.release.terms import STAGES, OpennessClass, Stage
from domain.stream import FailStep, RetryStep
from tests.luck import try_laws
from tests.stories import START, Story, charter, day, noted
from tests.test_release import REPORT, amendment, proposal, register, sha, unproposed, verdicts

pytestmark = pytest.mark.heavy

MEMBERS = ("ada", "bel", "cyd")
AFTER_THE_PUBLIC = {
    "documents_kept", "edition_published", "publishing_renewed", "lease_ended", "leases_held", "leases_minded", "access_given", "access_taken",
    "check_began", "openness_judged", "recall_signed", "release_recalled", "release_superseded", "release_staged", "edition_withdrawn", "step_owed", "step_carried_out",
    "step_failed", "step_delayed", "step_retried", "step_waived", "recipients_unreached", "recipients_reached", "mandate_exercised",
}  # fmt: skip

# ---------------------------------------------------------------- the laws


@dataclass
class Watch:
    """What the events say, and what they must never say."""

    rules: ReleaseTerms
    proposed: release_events.ReleaseProposed | None = None
    embargo_ends_at: datetime = START
    manifest: str = ""
    check: int = 0
    """The check that is under way; a hold ends it."""
    entered: dict[Stage, datetime] = field(default_factory=dict)
    evaluations: dict[str, bool] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)
    licence: bool = False
    approvals: dict[Stage, dict[str, Office]] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    sealed: bool = False
    former: tuple[str, tuple[str, ...], dict[str, bool], bool, dict[Stage, dict[str, Office]]] | None = None
    """What was signed before an amendment that no vote ordered, and what was said about it."""
    held_since: datetime | None = None
    held_until: datetime = START
    held: timedelta = timedelta()
    leases: dict[str, release_events.LeaseGranted] = field(default_factory=dict)
    open: dict[str, dict[str, str]] = field(default_factory=dict)
    openings: set[str] = field(default_factory=set)
    shown: dict[str, Stage] = field(default_factory=dict)
    over: str = ""

    def note(self, command: Command, events: Sequence[Event], at: datetime, known: Register) -> None:
        """Follow the events of one decision; complain about what must not be."""
        for event in events:
            assert self.over == "" or event.kind in AFTER_THE_PUBLIC, f"{event.kind} after {self.over}"
            self._note(command, event, at, known)

    def _note(self, command: Command, event: Event, at: datetime, known: Register) -> None:
        match event:  # type: ignore[exhaustive-match]  # the other facts say nothing that the laws are about
            case release_events.ReleaseProposed(embargo_ends_at=ends_at, terms=terms):
                self.proposed, self.embargo_ends_at, self.wanted = event, ends_at, terms.evaluations
                assert ends_at <= at + timedelta(days=self.rules.embargo_days)
            case release_events.EmbargoMoved(ends_at=ends_at):
                assert self.proposed is not None
                assert ends_at <= self.proposed.embargo_limit
                self.embargo_ends_at = ends_at
            case release_events.ReleaseAmended(terms=terms, voted=voted):
                if voted:
                    self.former = None
                elif self.sealed:
                    self.former = (self.manifest, self.wanted, self.evaluations, self.licence, self.approvals)
                self.evaluations, self.licence, self.approvals, self.entered, self.shown = {}, False, {}, {}, {}
                self.manifest, self.wanted, self.sealed = "", terms.evaluations, False
            case release_events.ManifestSealed():
                self.sealed, self.former = True, None
            case release_events.EditionRestored(manifest=manifest):
                assert at >= self.embargo_ends_at
                assert self.former is not None
                self.manifest, self.wanted, self.evaluations, self.licence, self.approvals = self.former
                assert manifest == self.manifest
                self.sealed, self.former = True, None
            case release_events.ManifestListed(manifest=manifest):
                self.manifest = manifest
            case release_events.EvaluationRecorded(evaluation=name, manifest=manifest, passed=passed):
                assert manifest == self.manifest
                assert isinstance(command, EvaluationRead), "nobody's word passes an evaluation"
                self.evaluations[name] = passed
            case release_events.FindingOpened(finding=name):
                self.findings[name] = ""
            case release_events.FindingClosed(finding=name, manifest=manifest):
                self.findings[name] = manifest
            case release_events.LicenceReviewed(manifest=manifest, accepted=accepted):
                assert manifest == self.manifest
                self.licence = accepted
            case release_events.StageApproved(stage=stage, manifest=manifest, by=by, office=office):
                assert manifest == self.manifest
                assert known.holds(by, office)
                self.approvals.setdefault(stage, {})[by] = office
            case release_events.ApprovalWithdrawn(stage=stage, by=by):
                del self.approvals[stage][by]
            case release_events.LicenceChanged() | release_events.ComponentChanged():
                self.licence, self.approvals = False, {}
            case release_events.ClaimLowered():
                self.approvals = {}
            case release_events.CheckBegan(check=check):
                self.check = check
            case release_events.StageEntered():
                self._entered(command, event, at, known)
            case release_events.ReleaseHeld(since=since, until=until):
                assert self.held_since is None
                self.held_since, self.held_until, self.check = since, until, 0
                self._bounded()
            case release_events.HoldExtended(by=by, until=until):
                assert len(set(by)) >= self.rules.hold_keys >= 2
                assert all(known.holds(person, *self.rules.hold_offices) for person in by)
                self.held_until = until
                self._bounded()
            case release_events.HoldEnded():
                assert self.held_since is not None
                assert at <= self.held_until
                self.held, self.held_since = self.held + (at - self.held_since), None
            case release_events.EditionPublished(stage=stage, publisher=publisher):
                self.shown[publisher] = stage
            case release_events.LeaseGranted(lease=lease, member=member):
                assert known.active(member)
                assert lease not in self.leases
                self.leases[lease] = event
            case release_events.LeaseOpened():
                self._opened(event, at, known)
            case (
                release_events.LeaseSuspended(lease=lease)
                | release_events.LeaseNarrowed(lease=lease)
                | release_events.LeaseEnded(lease=lease)
            ):
                assert at <= self.leases[lease].ends_at or lease not in self.open, f"{lease} was open after its end"
                self.open.pop(lease, None)
            case release_events.ReleaseRecalled(by=by):
                assert self.over == "public"
                assert not by or len(set(by)) >= self.rules.recall_keys
                self.over = "recalled"
            case release_events.ReleaseSuperseded():
                assert self.over == "public"
            case release_events.ReleaseAbandoned():
                self.over, self.held_since = "abandoned", None

    def _entered(self, command: Command, event: release_events.StageEntered, at: datetime, known: Register) -> None:
        """Right after a verification of the present files, never while held; by itself only at the embargo's end."""
        assert isinstance(command, release_steps.ArtifactsVerified)
        assert command.manifest == event.manifest == self.manifest
        assert command.check == self.check, "entered by a check that was over"
        assert self.held_since is None
        if at >= self.embargo_ends_at:
            assert event.stage is Stage.PUBLIC
        else:
            self._in_turn(event, at, known)
            assert not event.missing
        self.entered[event.stage] = at
        if event.stage is Stage.PUBLIC:
            self.over = "public"

    def _in_turn(self, event: release_events.StageEntered, at: datetime, known: Register) -> None:
        number = STAGES.index(event.stage)
        terms = {stage: getattr(self.rules, stage) for stage in STAGES}
        assert set(self.entered) == set(STAGES[:number]), "a stage was skipped"
        if number:
            before = STAGES[number - 1]
            assert at >= self.entered[before] + timedelta(hours=terms[before].hours)
        gates = {gate for stage in STAGES[: number + 1] for gate in terms[stage].gates}
        if "evaluations" in gates:
            assert all(self.evaluations.get(name) for name in {*self.wanted, *self.rules.evaluations})
        if "findings" in gates:
            assert all(closed_on == self.manifest for closed_on in self.findings.values())
        assert "licence" not in gates or self.licence
        given = self.approvals.get(event.stage, {})
        for office, wanted in terms[event.stage].approvals.items():
            assert sum(held is office and known.holds(person, office) for person, held in given.items()) >= wanted
        assert self.proposed is not None
        assert not given.keys() & {self.proposed.by, "lea"}
        if event.stage is Stage.PUBLIC:
            assert at >= self.proposed.not_before
            assert at >= self.entered[Stage.MEMBERS] + timedelta(hours=self.rules.early_access_hours)

    def _bounded(self) -> None:
        assert self.held_since is not None
        assert self.proposed is not None
        assert self.held_until <= self.proposed.hold_limit
        assert self.held + (self.held_until - self.held_since) <= self.rules.hold, "held longer than the charter allows"

    def _opened(self, event: release_events.LeaseOpened, at: datetime, known: Register) -> None:
        lease = self.leases[event.lease]
        assert lease.starts_at <= at < lease.ends_at, "opened early, or late"
        assert Stage.MEMBERS in self.entered, "opened before early access"
        assert self.shown[event.publisher] in {Stage.MEMBERS, Stage.GATED}, "opened before the files were there"
        assert known.active(lease.member)
        assert self.held_since is None
        assert event.opening not in self.openings
        self.openings.add(event.opening)
        self.open.setdefault(event.lease, {})[event.publisher] = event.opening

    def look(self, at: datetime) -> None:
        """What must hold between decisions."""
        for lease in self.open:
            assert at < self.leases[lease].ends_at, f"{lease} is open after its end"
        assert self.held_since is None or at < self.held_until, "held after the hold's end"


# ---------------------------------------------------------------- the world

accepted: Counter[str] = Counter()


class World:
    """A release on a virtual clock: what is due is given in time, steps come back when they are told to."""

    def __init__(self, rules: Charter, **terms: Any) -> None:
        self.story = unproposed(register(rules))
        self.watch = Watch(rules.release)
        self.since_suspended: dict[str, datetime] = {}
        assert self.give(proposal(**terms), "max")

    @property
    def at(self) -> datetime:
        """The time."""
        return self.story.at

    def give(self, command: Command, by: PersonId = SERVICE, at: datetime | None = None) -> bool:
        """Somebody gives a command; whether it was accepted with consequences."""
        self.story = self.story.when(command, by=by, at=at)
        self.watch.note(command, self.story.answer, self.at, self.story.register)
        accepted[command.kind] += bool(self.story.answer)
        return bool(self.story.answer)

    def again(self, command: Command, by: PersonId) -> None:
        """Given and given again: the second time changes nothing."""
        if self.give(command, by):
            before = self.story.state.state
            self.give(command, by)
            assert self.story.state.state == before, f"{command.kind} told twice"

    def voted(self, command: Command) -> bool:
        """A vote orders it."""
        granted = MandateGranted(proposal="proposal/x", digest=digest_of(self.story.stream, command.model_dump(mode="json")))
        self.noted(granted)
        return self.give(command)

    def noted(self, *facts: Event) -> None:
        """Something happened elsewhere."""
        self.story = replace(self.story, register=noted(self.story.register, *facts))

    def until(self, at: datetime) -> None:
        """Time passes; what is due is given when it is due."""
        for _ in range(5_000):
            deadline = self.story.agenda.deadline
            if deadline is None or deadline.at > at:
                break
            before = self.story.state.state
            self.give(deadline.command, at=deadline.at)
            assert self.story.state.state != before, f"{deadline.command.kind} came and changed nothing"
        else:
            raise AssertionError("what is due has no end")
        self.story = replace(self.story, at=max(at, self.at))

    def answer(
        self, step: Step, *, well: bool = True, licence: str = "Apache-2.0", openness_class: OpennessClass = 1, value: int = 1_000_000
    ) -> None:
        """A step comes back, well or with what it may find, or not well at all."""
        data, key = step.data, step.key
        if not well and step.kind in {"build_manifest", "sign_manifest", "write_documents", "publish"}:
            self.give(FailStep(step=key, reason="the disk is full"))
            return
        outcomes: dict[str, Callable[[], Command]] = {
            "build_manifest": lambda: release_steps.ManifestBuilt(
                step=key, edition=data["edition"], manifest=sha(f"edition {data['edition']}"), files=1, bytes=1
            ),
            "sign_manifest": lambda: release_steps.ManifestSigned(
                step=key, edition=data["edition"], manifest=data["manifest"], signature=sha("s"), key=sha("k")
            ),
            "classify_openness": lambda: (
                release_steps.OpennessClassified(
                    step=key, check=data["check"], openness_class=openness_class, verdicts=verdicts(licence), report=sha(licence), framework=REPORT
                ) if well else release_steps.ClassificationFailed(step=key, check=data["check"], reason="no framework")
            ),
            "verify_artifacts": lambda: (
                release_steps.ArtifactsVerified(step=key, check=data["check"], manifest=data["manifest"]) if well
                else release_steps.ArtifactsRefused(step=key, check=data["check"], manifest=data["manifest"], path="weights", reason="changed")
            ),
            "write_documents": lambda: release_steps.DocumentsWritten(
                step=key, edition=data["edition"], stage=Stage(data["stage"]), card=sha("c"), bill=sha("b")
            ),
            "publish": lambda: release_steps.Published(
                step=key, edition=data["edition"], stage=Stage(data["stage"]), publisher=data["publisher"], manifest=data["manifest"],
                where="/srv",
            ),
            "read_evaluation": lambda: (
                EvaluationRead(
                    step=key, subject=data["subject"], number=data["number"], file=sha(key), harness="lm-evaluation-harness",
                    measured=tuple(Measured(task=each["task"], metric=each["metric"], value=value) for each in data["scores"]),
                ) if well else EvaluationRefused(step=key, subject=data["subject"], number=data["number"], reason="a partial run")
            ),
            "withdraw": lambda: release_steps.Withdrawn(step=key, publisher=data["publisher"]),
            "open_access": lambda: release_steps.AccessOpened(step=key, publisher=data["publisher"], opening=data["opening"]),
            "close_access": lambda: release_steps.AccessClosed(step=key, publisher=data["publisher"], opening=data["opening"]),
        }  # fmt: skip
        if step.kind in outcomes:
            self.give(outcomes[step.kind]())

    @property
    def steps(self) -> list[Step]:
        """What may come back, in an order that is the same in every run."""
        failed = self.story.state.failed
        return sorted(
            (step for step in self.story.steps if step.kind not in {"notify", "tell"} and step.key not in failed), key=lambda step: step.key
        )

    def retried(self) -> None:
        """The secretariat asks for another try of whatever failed."""
        for key in sorted(self.story.state.failed):
            self.give(RetryStep(step=key), "sam")

    def look_at_seats(self) -> None:
        """Whoever is let in for speaking for a member speaks for it."""
        state, known = self.story.state.state, self.story.register
        if isinstance(state, Pending | Held):
            for lease in state.release.leases.values():
                assert lease.basis == "named" or all(known.speaks_for(person, lease.member) for person in lease.persons)

    def settle(self) -> None:
        """Everything that is owed comes back well: what checks of many days left, at the most."""
        for _ in range(2_000):
            ready = self.steps
            if not ready:
                return
            self.answer(ready[0])
        raise AssertionError("steps without end")

    @property
    def place(self) -> Signed | None:
        """Where it is, when its files are signed and nobody holds it."""
        state = self.story.state.state
        return state.place if isinstance(state, Pending) and isinstance(state.place, Verifying | Staged) else None

    def read(self, value: int = 1_000_000) -> None:
        """The results that were named are read."""
        for step in self.steps:
            if step.kind == "read_evaluation":
                self.answer(step, value=value)

    def open_gates(self) -> None:
        """Every reviewer and approver says yes to the present files, for every stage."""
        place = self.place
        if place is None or place.edition.openness is None:
            return
        manifest = place.edition.manifest
        self.give(release_commands.RecordEvaluation(evaluation="mmlu", manifest=manifest, file="mmlu.json"), "eva")
        self.read()
        for name in self.watch.findings:
            self.give(release_commands.CloseFinding(finding=name, manifest=manifest, resolution="mended"), "sol")
        self.give(release_commands.ReviewLicence(manifest=manifest, report=place.edition.openness.report, accepted=True), "lin")
        for stage, person, office in (
            (Stage.MEMBERS, "sia", Office.SAFETY_REVIEWER), (Stage.GATED, "lin", Office.LICENCE_REVIEWER), (Stage.PUBLIC, "bea", Office.BOARD),
            (Stage.PUBLIC, "bo", Office.BOARD), (Stage.PUBLIC, "sia", Office.SAFETY_REVIEWER),
        ):  # fmt: skip
            self.give(release_commands.ApproveStage(stage=stage, manifest=manifest, office=office), person)

    def advance(self) -> bool:
        """The next stage is asked for."""
        place = self.place
        stage = place.stage if isinstance(place, Staged) else None
        to = STAGES[STAGES.index(stage) + 1] if stage is not None else Stage.INTERNAL
        return self.give(release_commands.AdvanceRelease(to=to), "max")

    def move_on(self) -> None:
        """Everybody says yes, and the next stage is asked for."""
        self.open_gates()
        self.advance()

    def suspend(self, member: str) -> None:
        """A member loses its rights; nobody tells the release."""
        if self.story.register.active(member):
            self.noted(MemberSuspended(member=member, cause="dues"))
            self.since_suspended[member] = self.at

    def reinstate(self, member: str) -> None:
        """It has them again."""
        if not self.story.register.active(member):
            self.noted(MemberReinstated(member=member))
            del self.since_suspended[member]

    def look(self) -> None:
        """The laws that hold at every moment."""
        self.watch.look(self.at)
        late = timedelta(hours=self.watch.rules.lease_check_hours)
        for lease in self.watch.open:
            since = self.since_suspended.get(self.watch.leases[lease].member)
            assert since is None or self.at < since + late, "a suspended member kept its access too long"

    def end_in_silence(self) -> None:
        """From here on nobody does anything, and steps come back well: in the end it is public, and not long after the latest bound."""
        proposed = self.watch.proposed
        assert proposed is not None
        if not self.watch.sealed and self.watch.former is None:
            self.retried()
        state = self.story.state.state
        bound = max(self.at, self.watch.embargo_ends_at, state.hold.until if isinstance(state, Held) else START)
        rules = self.watch.rules
        bound += timedelta(hours=rules.recheck_hours)
        while self.at < bound and self.watch.over == "":
            self.settle()
            deadline = self.story.agenda.deadline
            self.until(min(bound, deadline.at if deadline is not None else bound))
        self.settle()
        self.look()
        assert self.watch.over in {"public", "recalled", "abandoned"}, "silence kept it from the public"


QUICK = {
    "release__internal": {"hours": 1},
    "release__members": {"hours": 24, "gates": ["evaluations", "findings"], "approvals": {"safety-reviewer": 1}},
    "release__gated": {"hours": 12, "gates": ["licence"], "approvals": {"licence-reviewer": 1}},
    "release__early_access_hours": 48,
}

# ---------------------------------------------------------------- random histories


class Releases(RuleBasedStateMachine):
    """Everybody does anything, in any order, and steps come back as they like."""

    world: World
    counter = 0

    @initialize(
        quick=st.sampled_from([True, True, False]),
        publishers=st.sampled_from([("directory",), ("directory", "hub")]),
        embargo=st.integers(20, 90),
        agreed=st.integers(0, 20),
        claim=st.sampled_from([1, 2, 3]),
    )
    def begin(self, *, quick: bool, publishers: tuple[str, ...], embargo: int, agreed: int, claim: int) -> None:
        rules = charter(**QUICK) if quick else charter()
        self.world = World(rules, publishers=publishers, embargo_ends_at=day(embargo), not_before=day(agreed), claim=claim)

    def fresh(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}-{self.counter}"

    @property
    def manifest(self) -> str:
        place = self.world.place
        return place.edition.manifest if place is not None else sha("none")

    @rule(hours=st.sampled_from([1, 5, 12, 24, 48, 100, 300, 600]))
    def time_passes(self, hours: int) -> None:
        self.world.until(self.world.at + timedelta(hours=hours))

    @rule(pick=st.integers(0, 10), well=st.integers(0, 9), licence=st.sampled_from(["Apache-2.0"] * 6 + ["MIT"]))
    def a_step_comes_back(self, pick: int, well: int, licence: str) -> None:
        steps = self.world.steps
        if steps:
            self.world.answer(steps[pick % len(steps)], well=well > 0, licence=licence)

    @rule()
    def what_failed_is_tried_again(self) -> None:
        self.world.retried()

    @rule(member=st.sampled_from(MEMBERS), back=st.booleans())
    def seats_change(self, *, member: str, back: bool) -> None:
        person, at = f"alt-{member}", self.world.at
        seated = self.world.story.register.speaks_for(person, member)
        if seated == back:
            return
        self.world.noted(
            RepresentativeSeated(member=member, person=person, capacity=Capacity.ALTERNATE, at=at) if back
            else RepresentativeUnseated(member=member, person=person, at=at)
        )  # fmt: skip
        self.world.give(release_commands.MindLeases())
        self.world.look_at_seats()

    @rule(member=st.sampled_from(MEMBERS))
    def who_speaks_for_a_member_has_it_early(self, member: str) -> None:
        persons = tuple(person for person in (f"rep-{member}", f"alt-{member}") if self.world.story.register.speaks_for(person, member))
        if persons:
            self.world.again(release_commands.GrantLease(lease=self.fresh("l"), member=member, persons=persons), "max")

    @rule()
    def steps_come_back(self) -> None:
        self.world.settle()

    @rule()
    def gates_open(self) -> None:
        self.world.open_gates()

    @rule()
    def the_manager_goes_on(self) -> None:
        self.world.advance()

    @rule(times=st.sampled_from([1, 1, 2, 8]), hours=st.sampled_from([6, 12, 24]), settled=st.booleans())
    def everything_goes_well(self, *, times: int, hours: int, settled: bool) -> None:
        for _ in range(times):
            self.world.settle()
            self.world.open_gates()
            self.world.until(self.world.at + timedelta(hours=hours))
            self.world.advance()
        if settled:
            self.world.settle()

    @rule(openness_class=st.sampled_from([0, 1, 1, 1, 2, 3]), good=st.booleans(), licence=st.sampled_from(["Apache-2.0"] * 3 + ["MIT"]))
    def a_check_finds_what_it_finds(self, *, openness_class: OpennessClass, good: bool, licence: str) -> None:
        for kind in ("build_manifest", "sign_manifest"):
            for step in [step for step in self.world.steps if step.kind == kind]:
                self.world.answer(step)
        self.world.move_on()
        for kind in ("classify_openness", "verify_artifacts"):
            for step in [step for step in self.world.steps if step.kind == kind]:
                self.world.answer(step, well=good or kind == "classify_openness", licence=licence, openness_class=openness_class)

    @rule(stage=st.sampled_from(STAGES), by=st.sampled_from(["max", "sam"]))
    def somebody_goes_on(self, stage: Stage, by: str) -> None:
        self.world.again(release_commands.AdvanceRelease(to=stage), by)

    @rule(passed=st.booleans(), by=st.sampled_from(["eva", "eva", "sia"]), stale=st.booleans(), read=st.booleans())
    def an_evaluation_comes(self, *, passed: bool, by: str, stale: bool, read: bool) -> None:
        manifest = sha("edition 1") if stale else self.manifest
        self.world.again(release_commands.RecordEvaluation(evaluation="mmlu", manifest=manifest, file=f"{self.fresh('r')}.json"), by)
        if read:
            self.world.read(1_000_000 if passed else 0)

    @rule()
    def a_danger_is_found(self) -> None:
        self.world.again(release_commands.OpenFinding(finding=self.fresh("f"), text="a danger"), "sia")

    @rule(stale=st.booleans())
    def dangers_are_dealt_with(self, *, stale: bool) -> None:
        for name in list(self.world.watch.findings):
            self.world.again(
                release_commands.CloseFinding(finding=name, manifest=sha("edition 1") if stale else self.manifest, resolution="mended"),
                "sol",
            )

    @rule(good=st.booleans())
    def licences_are_reviewed(self, *, good: bool) -> None:
        place = self.world.place
        report = place.edition.openness.report if place is not None and place.edition.openness is not None else REPORT
        self.world.again(release_commands.ReviewLicence(manifest=self.manifest, report=report, accepted=good), "lin")

    @rule(
        stage=st.sampled_from(STAGES),
        person=st.sampled_from(["sia", "lin", "bea", "bo", "ben", "max", "lea"]),
        office=st.sampled_from([Office.BOARD, Office.SAFETY_REVIEWER, Office.LICENCE_REVIEWER]),
    )
    def somebody_approves(self, stage: Stage, person: str, office: Office) -> None:
        self.world.again(release_commands.ApproveStage(stage=stage, manifest=self.manifest, office=office), person)

    @rule(stage=st.sampled_from(STAGES), person=st.sampled_from(["sia", "lin", "bea", "bo"]))
    def somebody_changes_their_mind(self, stage: Stage, person: str) -> None:
        self.world.again(release_commands.WithdrawApproval(stage=stage), person)

    @rule(
        person=st.sampled_from(["bea", "bo", "sia", "max", "lea"]),
        office=st.sampled_from([Office.BOARD, Office.SAFETY_REVIEWER]),
        back=st.booleans(),
    )
    def offices_change(self, *, person: str, office: Office, back: bool) -> None:
        held = self.world.story.register.holds(person, office)
        if held != back:
            self.world.noted(OfficeGranted(person=person, office=office) if back else OfficeRevoked(person=person, office=office))

    @rule(by=st.sampled_from(["sol", "ben", "max"]), rests=st.booleans())
    def somebody_holds(self, *, by: str, rests: bool) -> None:
        self.world.again(release_commands.HoldRelease(reason="a danger", suspend_access=rests), by)

    @precondition(lambda self: isinstance(self.world.story.state.state, Held))
    @rule(people=st.lists(st.sampled_from(["sol", "ben", "bo", "bea"]), max_size=4))
    def somebody_signs_for_longer(self, people: list[str]) -> None:
        for person in people:
            self.world.give(release_commands.ExtendHold(reason="not yet"), person)

    @rule()
    def somebody_lifts(self) -> None:
        self.world.again(release_commands.LiftHold(), "sol")

    @rule(
        member=st.sampled_from(MEMBERS),
        starts=st.integers(-5, 200),
        hours=st.integers(1, 500),
        named=st.booleans(),
    )
    def a_lease_is_given(self, *, member: str, starts: int, hours: int, named: bool) -> None:
        begins = self.world.at + timedelta(hours=starts)
        persons = ("amy", "abe") if named else (f"rep-{member}",)
        lease = release_commands.GrantLease(
            lease=self.fresh("l"), member=member, persons=persons, starts_at=begins, ends_at=begins + timedelta(hours=hours)
        )  # fmt: skip
        self.world.again(lease, f"rep-{member}" if named else "max")

    @rule(pick=st.integers(0, 10), by=st.sampled_from(["max", "sol", "rep-ada", "rep-bel"]))
    def a_lease_is_revoked(self, pick: int, by: str) -> None:
        names = sorted(self.world.watch.leases)
        if names:
            self.world.again(release_commands.RevokeLease(lease=names[pick % len(names)]), by)

    @rule(member=st.sampled_from(MEMBERS), told=st.booleans())
    def a_member_is_suspended(self, *, member: str, told: bool) -> None:
        name = self.fresh("l")
        self.world.give(release_commands.GrantLease(lease=name, member=member, persons=("ann",)), f"rep-{member}")
        self.world.suspend(member)
        if told:
            self.world.give(letters.EndLeases(member=member))
            assert not any(self.world.watch.leases[lease].member == member for lease in self.world.watch.open)

    @rule(member=st.sampled_from(MEMBERS))
    def a_member_is_reinstated(self, member: str) -> None:
        self.world.reinstate(member)

    @precondition(lambda self: self.counter % 4 == 0)
    @rule(voted=st.booleans())
    def other_files_come(self, *, voted: bool) -> None:
        state = self.world.story.state.state
        if isinstance(state, Pending | Held):
            command = amendment(title=self.fresh("Atlas"), publishers=state.release.terms.publishers)
            if voted:
                self.world.voted(command)
            else:
                self.world.again(command, "max")

    @rule(claim=st.sampled_from([2, 3]))
    def less_is_claimed(self, claim: Any) -> None:
        self.world.again(release_commands.LowerClaim(claim=claim), "max")

    @rule(days=st.integers(1, 95))
    def the_embargo_moves(self, days: int) -> None:
        self.world.voted(release_commands.MoveEmbargo(ends_at=day(days)))

    @rule(people=st.lists(st.sampled_from(["sam", "bea", "ben", "sol", "max"]), min_size=1))
    def some_recall(self, people: list[str]) -> None:
        for person in people:
            self.world.again(release_commands.RecallRelease(reason="it leaks"), person)

    @precondition(lambda self: self.counter % 7 == 6)
    @rule()
    def a_vote_abandons(self) -> None:
        self.world.voted(release_commands.AbandonRelease(reason="too dangerous"))

    @invariant()
    def the_laws_hold(self) -> None:
        if hasattr(self, "world"):
            self.world.look()

    @invariant()
    def what_it_says_of_itself_can_be_told(self) -> None:
        if hasattr(self, "world"):
            headline = self.world.story.process.describe(self.world.story.state.state)
            assert headline.phase in {"proposed", "verifying", *STAGES, "held", "recalled", "abandoned"}

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.end_in_silence()


FLOOR = {
    "advance_release": 100, "record_evaluation": 50, "open_finding": 30, "close_finding": 20, "review_licence": 50, "approve_stage": 100,
    "withdraw_approval": 5, "hold_release": 30, "extend_hold": 20, "lift_hold": 10, "end_hold": 10, "grant_lease": 100, "revoke_lease": 10,
    "mind_leases": 50, "amend_release": 20, "lower_claim": 2, "move_embargo": 20, "publish_by_itself": 50, "recall_release": 10,
    "abandon_release": 5, "artifacts_refused": 5, "artifacts_verified": 100, "published": 100, "access_opened": 20, "access_closed": 10,
    "end_leases": 2,
}  # fmt: skip
"""How often each command must have been accepted, so that the laws were tried on it."""


def test_whatever_happens_the_laws_of_a_release_hold(*, long: bool) -> None:
    try_laws(Releases, accepted, FLOOR, histories=120, long=long)


# ---------------------------------------------------------------- schedules of early access


def schedule(seed: int) -> tuple[int, int]:
    """One life of leases: given, begun, rested, revoked and over at random instants; how many opened and ended."""
    luck = random.Random(seed)
    world = World(
        charter(**QUICK), publishers=luck.choice((("directory",), ("directory", "hub"))), embargo_ends_at=day(luck.randint(8, 30))
    )
    ways: Sequence[Callable[[], object]] = (
        world.settle,
        world.settle,
        world.move_on,
        world.move_on,
        lambda: _lease(world, luck),
        lambda: _lease(world, luck),
        lambda: _lease(world, luck),
        lambda: world.give(release_commands.RevokeLease(lease=luck.choice([*world.watch.leases, "none"])), luck.choice(("max", "sol"))),
        lambda: world.suspend(luck.choice(MEMBERS)),
        lambda: world.reinstate(luck.choice(MEMBERS)),
        lambda: (
            world.give(release_commands.HoldRelease(reason="x", suspend_access=luck.random() < 0.5), "sol") if luck.random() < 0.3 else None
        ),
        lambda: world.give(release_commands.LiftHold(), "sol"),
        lambda: world.give(amendment(publishers=world.story.state.state.release.terms.publishers), "max") if luck.random() < 0.1 else None,
    )
    for _ in range(30):
        luck.choice(ways)()
        world.until(world.at + timedelta(seconds=luck.randint(0, 60 * 60 * 16)))
        world.look()
    world.end_in_silence()
    world.until(world.at + timedelta(days=100))
    world.look()
    assert not world.watch.open
    return len(world.watch.openings), len(world.watch.leases)


def _lease(world: World, luck: random.Random) -> None:
    member = luck.choice(MEMBERS)
    begins = world.at + timedelta(minutes=luck.randint(-600, 6_000))
    lease = release_commands.GrantLease(
        lease=f"l-{len(world.watch.leases)}", member=member, persons=("amy",), starts_at=begins,
        ends_at=begins + timedelta(minutes=luck.randint(1, 12_000)),
    )  # fmt: skip
    world.give(lease, f"rep-{member}")


def test_a_lease_never_opens_early_nor_stays_open_late(*, long: bool) -> None:
    opened = given = 0
    for seed in range(10_000 if long else 100):
        more = schedule(seed)
        opened, given = opened + more[0], given + more[1]
    assert opened > given // 4, f"only {opened} openings of {given} leases"


# ---------------------------------------------------------------- the embargo and holds, at their worst


@pytest.mark.parametrize("seed", range(20))
def test_holds_end_and_the_embargos_end_publishes_whatever_safety_reviewers_sign(seed: int) -> None:
    """They hold whenever they can, and sign every extension they can; everybody else is silent."""
    luck = random.Random(seed)
    world = World(charter(), embargo_ends_at=day(luck.randint(20, 90)))
    limit = world.watch.rules.hold + timedelta(days=90)
    while world.watch.over == "" and world.at < START + limit + timedelta(days=30):
        world.give(release_commands.HoldRelease(reason="x"), luck.choice(("sol", "sia")))
        for person in ("sol", "ben", "bo", "sia"):
            if luck.random() < 0.7:
                world.give(release_commands.ExtendHold(reason="x"), person)
        if luck.random() < 0.3:
            world.give(release_commands.LiftHold(), "sol")
        world.settle()
        world.until(world.at + timedelta(hours=luck.randint(1, 60)))
        world.look()
    world.settle()
    assert world.watch.over == "public"
    assert world.at <= START + limit + timedelta(days=4)
    assert isinstance(world.story.state.state, Public)


def test_a_story_on_the_virtual_clock_is_the_same_twice() -> None:
    assert schedule(7) == schedule(7)
    assert isinstance(World(charter()).story, Story)
