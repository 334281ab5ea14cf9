"""A staged release: a model's files on their way from the inside to the public.

States: unproposed, pending (proposed, verifying, internal, members, gated), held, public, superseded, recalled, abandoned.

| command | by whom | events | refusals (besides office_required, service_only, no_mandate, not_proposed, already_public, release_over, not_signed) |
| --- | --- | --- | --- |
| propose_release | release manager | release_proposed | already_proposed, unknown_run, run_not_completed, unknown_component, unknown_publisher, unsafe_place, no_threshold, claim_below_charter (`release.lowest_class`), embargo_out_of_bounds (`release.embargo_days`), no_evaluation_named, nothing_to_supersede |
| amend_release | release manager; near the embargo's end a passed proposal | release_amended, lease_suspended… | files_are_frozen (`release.freeze_hours`), other_run, publisher_in_use, and those of its terms |
| move_embargo | a passed proposal | embargo_moved | embargo_out_of_bounds |
| advance_release | release manager | check_began; then openness_judged, stage_entered or stage_refused | release_held, not_the_next_stage, too_early, gates_missing |
| lower_claim | release manager | claim_lowered | claim_not_lower, claim_below_charter |
| publish_again | release manager | publishing_renewed; of what is public check_began, then openness_judged and, if it is another, release_staged | nothing_staged |
| abandon_release | a passed proposal | release_abandoned, release_staged, lease_ended… | |
| recall_release | a passed proposal; `recall_keys` different holders of `recall_offices` | recall_signed, release_recalled, release_staged, lease_ended… | not_public, same_person, same_organisation (`release.recall_keys`) |
| supersede_release | the newer release (service) | release_superseded, release_staged | not_a_successor |
| record_evaluation | evaluation reviewer, not the run's lead | evaluation_named; then evaluation_recorded or evaluation_unread | other_manifest, evaluation_not_asked, no_threshold, run_lead |
| open_finding, close_finding | safety reviewer | finding_opened, finding_closed | finding_exists, too_many_findings, no_such_finding, other_manifest |
| review_licence | licence reviewer | licence_reviewed | other_manifest, other_report |
| approve_stage | holder of an office that the stage asks for; not who proposed, not the run's lead | stage_approved | approval_not_asked, stage_entered_already, other_manifest, not_classified, same_person, same_organisation (`release.<stage>`), run_lead |
| withdraw_approval | who approved | approval_withdrawn | |
| hold_release | safety reviewer | release_held | already_held, hold_is_spent (`release.hold_days`) |
| extend_hold | `hold_keys` different holders of `hold_offices` | hold_extension_signed, hold_extended | not_held, same_person, same_organisation (`release.hold_keys`), hold_is_spent (`release.hold_extensions`) |
| lift_hold | safety reviewer | hold_ended | not_held |
| grant_lease | a representative of an active member; release manager for who speaks for it | lease_granted, lease_opened…, leases_held | not_a_representative, member_not_active, person_not_named, lease_exists, lease_too_long, lease_ends_before_it_starts, too_many_persons |
| revoke_lease | a representative of the member, release manager, safety reviewer | lease_ended, leases_held | no_such_lease |
| end_leases | the membership process (service) | lease_ended…, leases_held | |

| outcome of | command | events |
| --- | --- | --- |
| build_manifest | manifest_built | manifest_listed |
| sign_manifest | manifest_signed | manifest_sealed, check_began |
| classify_openness | openness_classified | openness_judged, licence_changed…, component_changed…, claim_lowered, stage_refused; of what is public openness_judged and, if it is another, publishing_renewed, release_staged |
| classify_openness | classification_failed | stage_refused; after the embargo's end nothing but the verification |
| verify_artifacts | artifacts_verified, artifacts_refused | stage_entered, release_staged; stage_refused |
| write_documents | documents_written | documents_kept |
| publish, withdraw | published, withdrawn | edition_published, edition_withdrawn |
| open_access, close_access | access_opened, access_closed | access_given, access_taken |
| read_evaluation | evaluation_read, evaluation_refused | evaluation_recorded, evaluation_unread |

| deadline | comes | events |
| --- | --- | --- |
| publish_by_itself | at the embargo's end (of a hold that outlasts it), then every `recheck_hours` until it is public | edition_restored, embargo_ended, check_began |
| end_hold | at the hold's end | hold_ended |
| mind_leases | when a lease begins or ends; every `lease_check_hours` | lease_opened…, lease_ended…, leases_held, leases_minded |

Steps: `build_manifest`, `sign_manifest`, `classify_openness`, `verify_artifacts`, `write_documents`, `publish`, `withdraw`,
`open_access`, `close_access`, `read_evaluation`; `tell` (to the release that is superseded), `notify`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activities.release.openness import framework
from cli.books import registry
from cli.options import Where
from domain import letters
from domain.charter import Charter, Office
from domain.evaluation import EvaluationRead, EvaluationRefused, Measured, MilestonePassed
from domain.kernel import SERVICE, Command, Event, Step, derived_id, digest_of, shown_at
from domain.register.facts import (
    Capacity,
    MandateGranted,
    MemberDeparted,
    MemberSuspended,
    OfficeGranted,
    OfficeRevoked,
    ReleaseKeyEnrolled,
    ReleaseKeyRevoked,
    ReleaseStaged,
    RepresentativeSeated,
    RepresentativeUnseated,
    RunReported,
    SigningBegun,
)
from domain.register.state import Register
from domain.release import commands as release_commands
from domain.release import events as release_events
from domain.release import steps as release_steps
from domain.release.process import RELEASE
from domain.release.state import Pending, Public, Staged
from domain.release.terms import FRAMEWORK, Component, LicenceTerms, Stage, Threshold
from eventstore.clock import MovedClock
from eventstore.entries import Submission, encode_json
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from tests.keys import p256_key_of
from tests.stories import START, Story, charter, day, founded, noted, with_members

PEOPLE = {
    "max": (Office.RELEASE_MANAGER,),
    "mona": (Office.RELEASE_MANAGER,),
    "eva": (Office.EVALUATION_REVIEWER,),
    "sia": (Office.SAFETY_REVIEWER,),
    "sol": (Office.SAFETY_REVIEWER,),
    "lin": (Office.LICENCE_REVIEWER,),
    "bea": (Office.BOARD,),
    "ben": (Office.BOARD, Office.SAFETY_REVIEWER),
}
STREAM = "release/atlas-8b"
PARAMETERS = "Model parameters (Final)"


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


MANIFEST, SIGNATURE, KEY, REPORT = sha("manifest"), sha("signature"), sha("key"), sha("report")


def register(rules: Charter | None = None, *, phase: str = "completed", retained: bool = True) -> Register:
    """Members ada, bel and cyd; the offices that a release needs; a run that is over."""
    known = with_members(founded(rules), "ada", "bel", "cyd")
    for person, offices in PEOPLE.items():
        known = noted(known, *(OfficeGranted(person=person, office=office) for office in offices))
    reported = RunReported(run="atlas", phase=phase, contract=sha("contract"), checkpoints_retained=retained, training_lead="lea")
    return noted(known, reported)


def threshold(evaluation: str) -> Threshold:
    return Threshold(evaluation=evaluation, task=evaluation, metric="acc,none", at_least=600_000)


def proposal(**changes: Any) -> release_commands.ProposeRelease:
    usual: dict[str, Any] = {
        "title": "Atlas 8B", "run": "atlas", "location": "atlas-8b", "claim": 3, "evaluations": ("mmlu",),
        "thresholds": (threshold("mmlu"),),
        "components": (Component(name=PARAMETERS, place="model.safetensors", licence="Apache-2.0", licence_place="LICENSE"),),
        "licences": LicenceTerms(distribution="Apache-2.0", place="LICENSE"),
    }  # fmt: skip
    return release_commands.ProposeRelease(**(usual | changes))


def amendment(**changes: Any) -> release_commands.AmendRelease:
    given = proposal(**changes)
    return release_commands.AmendRelease(
        **{name: getattr(given, name) for name in release_commands.AmendRelease.model_fields if name != "kind"}
    )


def unproposed(known: Register | None = None) -> Story:
    return Story.of(RELEASE, STREAM, known or register())


def proposed(known: Register | None = None, **changes: Any) -> Story:
    return unproposed(known).when(proposal(**changes), by="max").followed_by("release_proposed").owes("build_manifest", "manifest:1")


def listed(story: Story, manifest: str = MANIFEST) -> Story:
    """The step `build_manifest` comes back."""
    step = owed(story, "build_manifest")
    return story.when(release_steps.ManifestBuilt(step=step.key, edition=step.data["edition"], manifest=manifest, files=3, bytes=2**41))


def sealed(story: Story) -> Story:
    """The step `sign_manifest` comes back."""
    step = owed(story, "sign_manifest")
    outcome = release_steps.ManifestSigned(
        step=step.key, edition=step.data["edition"], manifest=step.data["manifest"], signature=SIGNATURE, key=KEY
    )  # fmt: skip
    return story.when(outcome)


def signed(story: Story, manifest: str = MANIFEST) -> Story:
    """Listed and signed; the first check is under way."""
    return sealed(listed(story, manifest))


def owed(story: Story, kind: str) -> Step:
    """The step of this kind that was owed last."""
    found = [step for step in story.steps if step.kind == kind]
    assert found, f"no {kind} is owed"
    return max(found, key=lambda step: (len(step.key), step.key))


def verdicts(licence: str = "Apache-2.0", text: str = "apache") -> tuple[release_steps.Verdict, ...]:
    return (
        release_steps.Verdict(component=PARAMETERS, standing="open", licence=licence, sha256=sha("weights"), licence_sha256=sha(text)),
        release_steps.Verdict(component="Technical report", standing="open", licence="CC-BY-4.0", sha256=sha("paper")),
    )


def classified(story: Story, openness_class: int = 3, **changes: Any) -> Story:
    """The step `classify_openness` comes back."""
    step = owed(story, "classify_openness")
    usual: dict[str, Any] = {"verdicts": verdicts(), "report": REPORT, "framework": sha("framework"), "openness_class": openness_class}
    return story.when(release_steps.OpennessClassified(step=step.key, check=step.data["check"], **(usual | changes)))


def verified(story: Story) -> Story:
    """The step `verify_artifacts` comes back: nothing has changed."""
    step = owed(story, "verify_artifacts")
    return story.when(release_steps.ArtifactsVerified(step=step.key, check=step.data["check"], manifest=step.data["manifest"]))


def checked(story: Story, openness_class: int = 3, **changes: Any) -> Story:
    return verified(classified(story, openness_class, **changes))


def published(story: Story) -> Story:
    """Documents are written, and every publisher shows the stage."""
    step = owed(story, "write_documents")
    story = story.when(
        release_steps.DocumentsWritten(step=step.key, edition=step.data["edition"], stage=Stage(step.data["stage"]), card=sha("card"), bill=sha("bill"))
    )  # fmt: skip
    for each in sorted((step for step in story.steps if step.kind == "publish"), key=lambda step: step.key):
        data = release_steps.Publish.model_validate_json(json.dumps(each.data))
        story = story.when(
            release_steps.Published(
                step=each.key, edition=data.edition, stage=data.stage, publisher=data.publisher, manifest=data.manifest,
                where=f"/srv/{data.audience}/atlas-8b",
            )
        )  # fmt: skip
    return story


def internal(known: Register | None = None, openness_class: int = 3, **changes: Any) -> Story:
    story = checked(signed(proposed(known, **changes)), openness_class)
    assert story.phase == "internal"
    return published(story)


def evaluated(story: Story, manifest: str = MANIFEST) -> Story:
    story = story.when(
        release_commands.RecordEvaluation(evaluation="mmlu", manifest=manifest, file="atlas/mmlu.json"), by="eva"
    ).followed_by("evaluation_named")
    return measured(story)


def measured(story: Story, value: int = 700_000, evidence: str = "results") -> Story:
    """The step `read_evaluation` comes back."""
    data = owed(story, "read_evaluation").data
    scores = tuple(Measured(task=each["task"], metric=each["metric"], value=value) for each in data["scores"])
    return story.when(
        EvaluationRead(
            step=f"evaluation:{data['number']}", subject=data["subject"], number=data["number"], file=sha(evidence), measured=scores,
            harness="lm-evaluation-harness 0.4.9", model="atlas",
        )
    )  # fmt: skip


def approved(story: Story, stage: Stage, *people: tuple[str, Office], manifest: str = MANIFEST) -> Story:
    for person, office in people:
        story = story.when(release_commands.ApproveStage(stage=stage, manifest=manifest, office=office), by=person).followed_by(
            "stage_approved"
        )
    return story


def advanced(story: Story, to: Stage, at: datetime | None = None) -> Story:
    """The stage is asked for, checked and published."""
    story = story.when(release_commands.AdvanceRelease(to=to), by="max", at=at)
    assert story.refusal is None, story.refusal
    story = checked(story)
    assert story.phase == to, story.answer
    return published(story)


def with_members_stage(story: Story) -> Story:
    """Through the gates into early access, on day 2."""
    story = approved(evaluated(story), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    return advanced(story, Stage.MEMBERS, day(2))


def gated(story: Story) -> Story:
    story = story.when(release_commands.ReviewLicence(manifest=MANIFEST, report=REPORT, accepted=True), by="lin")
    story = approved(story, Stage.GATED, ("lin", Office.LICENCE_REVIEWER))
    return advanced(story, Stage.GATED, day(20))


BOARD = (("bea", Office.BOARD), ("bo", Office.BOARD), ("sia", Office.SAFETY_REVIEWER))


def public(known: Register | None = None, **changes: Any) -> Story:
    story = gated(with_members_stage(internal(known, **changes)))
    return advanced(approved(story, Stage.PUBLIC, *BOARD), Stage.PUBLIC, day(30))


def mandated(story: Story, command: Command) -> Story:
    """A vote authorises this command."""
    granted = MandateGranted(proposal="proposal/x", digest=digest_of(story.stream, command.model_dump(mode="json")))
    return replace(story, register=noted(story.register, granted))


def kinds(story: Story) -> list[str]:
    assert story.refusal is None, story.refusal
    return [event.kind for event in story.answer if event.kind not in {"step_owed", "step_carried_out"}]


def where(story: Story) -> Staged:
    state = story.state.state
    assert isinstance(state, Pending)
    assert isinstance(state.place, Staged)
    return state.place


# ---------------------------------------------------------------- proposing


def test_a_release_is_proposed_and_its_files_are_listed_then_signed_then_checked() -> None:
    story = proposed()
    assert story.phase == "proposed"
    story = listed(story).followed_by("step_carried_out", "manifest_listed").owes("sign_manifest", "sign:1")
    story = signed(proposed()).followed_by("step_carried_out", "manifest_sealed", "check_began").owes("classify_openness", "classify:1")
    assert story.phase == "verifying"
    story = classified(story).followed_by("step_carried_out", "openness_judged").owes("verify_artifacts", "verify:1")
    story = verified(story).followed_by("step_carried_out", "stage_entered", "release_staged")
    assert story.phase == "internal"
    story.owes("write_documents", "documents:1:internal:0")
    assert story.register.releases["atlas-8b"].standing == "internal"


def test_proposed_twice_alike_is_old_news_and_otherwise_refused() -> None:
    story = proposed().when(proposal(), by="max").then()
    story.when(proposal(title="Other"), by="max").refused("already_proposed")


def test_only_a_release_manager_proposes() -> None:
    unproposed().when(proposal(), by="sam").refused("office_required")


def test_names_that_no_worker_knows_are_refused_when_they_are_proposed() -> None:
    strange = Component(name="Secret sauce", place="sauce.bin")
    unproposed().when(proposal(components=(strange,)), by="max").refused("unknown_component")
    unproposed().when(proposal(publishers=("moon",)), by="max").refused("unknown_publisher")
    internal().when(amendment(components=(strange,)), by="max").refused("unknown_component")
    hiding = Component(name=PARAMETERS, place="gpj.\u202eexe.bin")
    story = unproposed().when(proposal(components=(hiding,)), by="max").refused("unsafe_place")
    assert story.refusal is not None
    assert "\u202e" not in story.refusal.message


def test_the_framework_s_names_are_those_of_its_data() -> None:
    assert {each.name for each in framework().components} == FRAMEWORK


def test_nothing_is_said_about_a_release_that_was_not_proposed() -> None:
    story = unproposed()
    story.when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max").refused("not_proposed")
    story.when(release_commands.HoldRelease(reason="x"), by="sia").refused("not_proposed")


def test_a_release_names_a_run_that_is_completed() -> None:
    unproposed().when(proposal(run="other"), by="max").refused("unknown_run")
    unproposed(register(phase="running")).when(proposal(), by="max").refused("run_not_completed")
    unproposed(register(phase="stopped")).when(proposal(), by="max").refused("run_not_completed")
    unproposed(register(phase="closed-stopped")).when(proposal(), by="max").refused("run_not_completed")
    unproposed(register(phase="closed-completed")).when(proposal(), by="max").followed_by("release_proposed")


def test_a_claim_below_the_charters_class_is_refused() -> None:
    unproposed().when(proposal(claim=0), by="max").refused("claim_below_charter")
    unproposed(register(charter(release__lowest_class=2))).when(proposal(claim=3), by="max").refused("claim_below_charter")


def test_evaluations_that_a_stage_asks_for_are_named() -> None:
    unproposed().when(proposal(evaluations=(), thresholds=()), by="max").refused("no_evaluation_named")
    unproposed(register(charter(release__evaluations=["arc"]))).when(
        proposal(evaluations=(), thresholds=(threshold("arc"),)), by="max"
    ).followed_by("release_proposed")


def test_the_embargo_is_bounded_by_the_charter_and_leaves_time_for_the_stages() -> None:
    unproposed().when(proposal(embargo_ends_at=day(91)), by="max").refused("embargo_out_of_bounds")
    unproposed().when(proposal(embargo_ends_at=day(3)), by="max").refused("embargo_out_of_bounds")
    unproposed().when(proposal(embargo_ends_at=day(40), not_before=day(41)), by="max").refused("embargo_out_of_bounds")
    story = unproposed().when(proposal(embargo_ends_at=day(40)), by="max")
    deadline = story.agenda.deadline
    assert deadline is not None
    assert (deadline.at, deadline.command.kind) == (day(40), "publish_by_itself")


@pytest.mark.parametrize("location", ["../x", "/etc", "a//b", "a/../b", ".", "a\\b", " a"])
def test_a_location_outside_the_folder_of_artifacts_is_no_location(location: str) -> None:
    with pytest.raises(ValidationError):
        proposal(location=location)


@pytest.mark.parametrize("place", ["../weights", "http://example.org/x", "https://a b", "https://x\u202e", "/weights"])
def test_a_component_is_among_the_files_or_at_an_https_address(place: str) -> None:
    with pytest.raises(ValidationError):
        Component(name=PARAMETERS, place=place)


def test_a_component_is_named_once() -> None:
    with pytest.raises(ValidationError):
        proposal(components=(Component(name="X", place="x"), Component(name="X", place="y")))


# ---------------------------------------------------------------- stages and what they wait for


def test_a_release_is_walked_to_the_public() -> None:
    story = public()
    assert story.phase == "public"
    assert story.register.releases["atlas-8b"].standing == "public"
    assert story.agenda.closed or story.steps
    state = story.state.state
    assert isinstance(state, Public)
    assert state.release.publications["directory"].where == "/srv/public/atlas-8b"
    assert state.missing == ()


def test_every_change_of_stage_is_preceded_by_a_verification_of_exactly_the_signed_files() -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = (
        story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2))
        .followed_by("check_began")
        .owes("classify_openness", "classify:2")
    )
    assert story.phase == "internal"
    story = classified(story)
    step = owed(story, "verify_artifacts")
    assert (step.key, step.data["manifest"], step.data["signature"], step.data["key"]) == ("verify:2", MANIFEST, SIGNATURE, KEY)
    assert story.phase == "internal"
    assert verified(story).phase == "members"


@pytest.mark.parametrize(
    ("path", "reason"),
    [("model.safetensors", "changed"), ("notes.txt", "extra"), ("config.json", "missing"), ("link", "symlink"), ("a/../../b", "path"),
     ("model.sig", "signature")],
)  # fmt: skip
def test_files_that_are_not_as_signed_refuse_the_stage_and_are_named(path: str, reason: Any) -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = classified(story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)))
    story = story.when(release_steps.ArtifactsRefused(step="verify:2", check=2, manifest=MANIFEST, path=path, reason=reason))
    assert kinds(story) == ["stage_refused"]
    assert story.phase == "internal"
    line = RELEASE.describe(story.state.state).line.replace("\\", "")
    assert path in line
    assert reason in line
    story.owes("notify")
    assert checked(story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max")).phase == "members"


def test_a_stage_is_entered_in_its_turn() -> None:
    internal().when(release_commands.AdvanceRelease(to=Stage.GATED), by="max", at=day(2)).refused("not_the_next_stage")
    internal().when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(2)).refused("not_the_next_stage")
    internal().when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="sam", at=day(2)).refused("office_required")


def test_a_stage_that_was_entered_or_is_being_checked_is_not_asked_for_twice() -> None:
    internal().when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max").then()
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2))
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="mona").then()


def test_a_check_that_never_comes_back_is_begun_anew_after_the_charters_hours() -> None:
    story = signed(proposed())
    story.when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max", at=day(1)).then()
    story = (
        story.when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max", at=day(2))
        .followed_by("check_began")
        .owes("classify_openness", "classify:2")
    )
    late = next(step for step in story.steps if step.key == "classify:1")
    story = story.when(
        release_steps.OpennessClassified(step=late.key, check=1, openness_class=1, verdicts=(), report=REPORT, framework=REPORT)
    ).followed_by("step_carried_out")  # fmt: skip
    assert checked(story).phase == "internal"


def test_a_stage_lasts_its_hours() -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(0.9)).refused("too_early")
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(1)).followed_by("check_began")


def test_members_have_the_files_for_the_charters_lead_before_everybody() -> None:
    rules = charter(release__members={"hours": 0}, release__gated={"hours": 0})
    story = internal(register(rules), evaluations=("mmlu",))
    story = advanced(advanced(story, Stage.MEMBERS, day(2)), Stage.GATED, day(3))
    story = approved(story, Stage.PUBLIC, *BOARD)
    story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(15.9)).refused("too_early")
    story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(16)).followed_by("check_began")


def test_nothing_is_public_before_the_agreed_day() -> None:
    story = approved(gated(with_members_stage(internal(not_before=day(50)))), Stage.PUBLIC, *BOARD)
    story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(49)).refused("too_early")
    story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(50)).followed_by("check_began")


# ---------------------------------------------------------------- openness


def test_the_class_is_the_computed_one_and_must_reach_the_claim() -> None:
    story = classified(signed(proposed(claim=2)), 3)
    assert kinds(story) == ["openness_judged", "stage_refused"]
    assert story.phase == "verifying"
    story = story.when(release_commands.LowerClaim(claim=3), by="max").followed_by("claim_lowered")
    assert checked(story.when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max"), 3).phase == "internal"


def test_a_better_class_than_claimed_is_told_as_it_is() -> None:
    assert internal(openness_class=1).register.releases["atlas-8b"].openness_class == 1


def test_no_class_at_all_reaches_no_claim() -> None:
    assert kinds(classified(signed(proposed()), 0)) == ["openness_judged", "stage_refused"]


def test_a_gap_in_the_runs_checkpoints_costs_class_one() -> None:
    story = classified(signed(proposed(register(retained=False), claim=1)), 1)
    assert kinds(story) == ["openness_judged", "stage_refused"]
    story = story.when(release_commands.LowerClaim(claim=2), by="max").when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max")
    assert checked(story, 1).register.releases["atlas-8b"].openness_class == 2


def test_a_gap_that_shows_later_costs_the_class_at_the_next_stage() -> None:
    story = approved(evaluated(internal(openness_class=1, claim=1)), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    gap = RunReported(run="atlas", phase="completed", contract=sha("contract"), checkpoints_retained=False, training_lead="lea")
    story = replace(story, register=noted(story.register, gap)).when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2))
    assert kinds(classified(story, 1)) == ["openness_judged", "stage_refused"]


def test_documents_say_what_the_register_has_of_the_run() -> None:
    passed = (MilestonePassed(milestone="end", evidence=sha("evidence")),)
    told = RunReported(
        run="atlas", phase="completed", contract=sha("contract"), checkpoints_retained=False, training_lead="lea", tokens=9_000,
        checkpoints=4, missing=1, accepted=passed,
    )  # fmt: skip
    data = release_steps.WriteDocuments.model_validate_json(
        json.dumps(owed(checked(signed(proposed(noted(register(), told)))), "write_documents").data)
    )
    assert data.training == release_steps.RunFacts(checkpoints_retained=False, tokens=9_000, checkpoints=4, missing=1, accepted=passed)


def test_a_claim_is_lowered_only_and_not_below_the_charter() -> None:
    story = internal(claim=2, openness_class=2)
    story.when(release_commands.LowerClaim(claim=1), by="max").refused("claim_not_lower")
    story.when(release_commands.LowerClaim(claim=0), by="max").refused("claim_below_charter")
    story.when(release_commands.LowerClaim(claim=2), by="max").then()


def test_a_lowered_claim_asks_for_approvals_again() -> None:
    story = approved(evaluated(internal(claim=2, openness_class=2)), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = story.when(release_commands.LowerClaim(claim=3), by="max")
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).refused("gates_missing")


@pytest.mark.parametrize("changed", [verdicts("Llama-3"), verdicts(text="another text")])
def test_a_licence_changed_after_approval_refuses_the_next_stage_and_is_named(changed: tuple[release_steps.Verdict, ...]) -> None:
    story = approved(with_members_stage(internal()).when(release_commands.ReviewLicence(manifest=MANIFEST, report=REPORT, accepted=True), by="lin"),
                     Stage.GATED, ("lin", Office.LICENCE_REVIEWER))  # fmt: skip
    story = classified(
        story.when(release_commands.AdvanceRelease(to=Stage.GATED), by="max", at=day(20)), verdicts=changed, report=sha("other")
    )
    assert kinds(story) == ["openness_judged", "licence_changed", "stage_refused"]
    refused = next(event for event in story.answer if event.kind == "stage_refused")
    assert refused.model_dump()["subject"] == PARAMETERS
    story.when(release_commands.AdvanceRelease(to=Stage.GATED), by="max").refused("gates_missing")
    story.when(release_commands.ReviewLicence(manifest=MANIFEST, report=REPORT, accepted=True), by="lin").refused("other_report")
    story.when(release_commands.ReviewLicence(manifest=MANIFEST, report=sha("other"), accepted=True), by="lin").followed_by(
        "licence_reviewed"
    )


def test_a_licence_that_changes_before_anybody_agreed_to_it_stops_nothing() -> None:
    story = internal(register(charter(release__members={"hours": 336}))).when(
        release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)
    )
    assert kinds(classified(story, verdicts=verdicts("MIT"))) == ["openness_judged"]
    assert checked(story, verdicts=verdicts("MIT")).phase == "members"


# ---------------------------------------------------------------- gates


def test_a_stage_names_what_it_still_needs() -> None:
    story = internal().when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).refused("gates_missing")
    assert story.refusal is not None
    assert "evaluation mmlu" in story.refusal.message
    assert "1 of 1 approvals by safety-reviewer" in story.refusal.message


def test_an_evaluation_that_was_not_passed_opens_nothing_until_better_evidence_comes() -> None:
    named = release_commands.RecordEvaluation(evaluation="mmlu", manifest=MANIFEST, file="atlas/mmlu.json")
    story = internal().when(named, by="eva").owes("read_evaluation", "evaluation:1")
    story.when(named, by="eva").then()
    story = measured(story, 599_999, "bad").followed_by("step_carried_out", "evaluation_recorded")
    made = where(story).edition.evaluations["mmlu"]
    assert (made.passed, made.evidence, made.results) == (
        False,
        sha("bad"),
        (release_steps.Result(metric="mmlu acc,none", value="0.599999"),),
    )
    story = approved(story, Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).refused("gates_missing")
    evaluated(story).when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).followed_by("check_began")


def test_evaluations_are_of_these_files_by_a_reviewer_who_did_not_lead_the_run() -> None:
    usual = release_commands.RecordEvaluation(evaluation="mmlu", manifest=MANIFEST, file="atlas/mmlu.json")
    story = internal()
    story.when(usual, by="sia").refused("office_required")
    story.when(usual.model_copy(update={"manifest": sha("other")}), by="eva").refused("other_manifest")
    story.when(usual.model_copy(update={"evaluation": "other"}), by="eva").refused("evaluation_not_asked")
    led = noted(story.register, OfficeGranted(person="lea", office=Office.EVALUATION_REVIEWER))
    replace(story, register=led).when(usual, by="lea").refused("run_lead")


def test_results_that_prove_nothing_are_named_and_others_can_be_read() -> None:
    named = release_commands.RecordEvaluation(evaluation="mmlu", manifest=MANIFEST, file="atlas/mmlu.json")
    story = internal().when(named, by="eva")
    refused = EvaluationRefused(step="evaluation:1", subject="mmlu", number=1, reason="12 of 100 items were run: run it whole")
    story = story.when(refused).followed_by("step_carried_out", "evaluation_unread")
    assert "12 of 100" in story.process.describe(story.state.state).text
    story = measured(story.when(named, by="eva").owes("read_evaluation", "evaluation:2"))
    assert where(story).edition.evaluations["mmlu"].passed


def test_results_that_were_read_of_former_files_say_nothing_about_others() -> None:
    story = internal().when(release_commands.RecordEvaluation(evaluation="mmlu", manifest=MANIFEST, file="atlas/mmlu.json"), by="eva")
    story = published(checked(signed(story.when(amendment(), by="max"), sha("other"))))
    assert not where(measured(story).followed_by("step_carried_out")).edition.evaluations


def test_what_an_evaluation_must_reach_is_named_before_it_is_measured() -> None:
    unproposed().when(proposal(thresholds=()), by="max").refused("no_threshold")
    unproposed(register(charter(release__evaluations=["arc"]))).when(proposal(), by="max").refused("no_threshold")


def test_the_charters_evaluations_are_asked_for_too() -> None:
    story = evaluated(internal(register(charter(release__evaluations=["arc"])), thresholds=(threshold("mmlu"), threshold("arc"))))
    story = approved(story, Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).refused("gates_missing")
    assert story.refusal is not None
    assert "arc" in story.refusal.message


def test_findings_are_closed_on_these_files_by_safety_reviewers() -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story.when(release_commands.OpenFinding(finding="jailbreak", text="x"), by="max").refused("office_required")
    story = story.when(release_commands.OpenFinding(finding="jailbreak", text="x"), by="sia").followed_by("finding_opened")
    story.when(release_commands.OpenFinding(finding="jailbreak", text="x"), by="sia").then()
    story.when(release_commands.OpenFinding(finding="jailbreak", text="y"), by="sol").refused("finding_exists")
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).refused("gates_missing")
    closing = release_commands.CloseFinding(finding="jailbreak", manifest=MANIFEST, resolution="retrained")
    story.when(closing, by="max").refused("office_required")
    story.when(closing.model_copy(update={"finding": "other"}), by="sol").refused("no_such_finding")
    story.when(closing.model_copy(update={"manifest": sha("other")}), by="sol").refused("other_manifest")
    story = story.when(closing, by="sol").followed_by("finding_closed")
    story.when(closing, by="sol").then()
    story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).followed_by("check_began")


def test_a_release_holds_five_hundred_findings() -> None:
    found = (release_events.FindingOpened(finding=f"f-{number}", text="x", by="sia") for number in range(499))
    story = internal().given(*found).when(release_commands.OpenFinding(finding="last", text="x"), by="sia").followed_by("finding_opened")
    story.when(release_commands.OpenFinding(finding="one-more", text="x"), by="sia").refused("too_many_findings")
    story.when(release_commands.OpenFinding(finding="last", text="x"), by="sia").then()


def test_a_finding_opened_during_the_check_refuses_the_stage() -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)).when(
        release_commands.OpenFinding(finding="leak", text="x"), by="sia"
    )
    assert kinds(checked(story)) == ["stage_refused"]


def test_licences_are_reviewed_by_a_licence_reviewer_and_may_be_turned_down() -> None:
    story = with_members_stage(internal())
    review = release_commands.ReviewLicence(manifest=MANIFEST, report=REPORT, accepted=False)
    story.when(review, by="sia").refused("office_required")
    story.when(review.model_copy(update={"manifest": sha("other")}), by="lin").refused("other_manifest")
    story = approved(story.when(review, by="lin").followed_by("licence_reviewed"), Stage.GATED, ("lin", Office.LICENCE_REVIEWER))
    story.when(review, by="lin").then()
    story = story.when(release_commands.AdvanceRelease(to=Stage.GATED), by="max", at=day(20)).refused("gates_missing")
    assert story.refusal is not None
    assert "turned it down" in story.refusal.message


def test_approvals_come_from_different_people_who_hold_the_office_and_did_not_propose() -> None:
    story = gated(with_members_stage(internal()))
    approve = release_commands.ApproveStage(stage=Stage.PUBLIC, manifest=MANIFEST, office=Office.BOARD)
    story.when(approve, by="sia").refused("office_required")
    story.when(approve.model_copy(update={"manifest": sha("other")}), by="bo").refused("other_manifest")
    story.when(approve.model_copy(update={"office": Office.TREASURER}), by="tess").refused("approval_not_asked")
    story.when(approve.model_copy(update={"stage": Stage.GATED, "office": Office.LICENCE_REVIEWER}), by="lin").refused(
        "stage_entered_already"
    )
    both = noted(story.register, *(OfficeGranted(person=person, office=Office.BOARD) for person in ("max", "lea")))
    replace(story, register=both).when(approve, by="max").refused("same_person")
    replace(story, register=both).when(approve, by="lea").refused("run_lead")
    story = approved(story, Stage.PUBLIC, ("bo", Office.BOARD))
    story.when(approve, by="bo").refused("same_person")
    story = approved(story, Stage.PUBLIC, ("ben", Office.BOARD), ("sia", Office.SAFETY_REVIEWER))
    story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30)).followed_by("check_began")
    swapped = approved(story, Stage.PUBLIC, ("ben", Office.SAFETY_REVIEWER))
    swapped.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30)).refused("gates_missing")


def test_an_approval_counts_as_long_as_its_office_is_held_and_it_is_not_withdrawn() -> None:
    story = approved(gated(with_members_stage(internal())), Stage.PUBLIC, *BOARD)
    gone = noted(story.register, OfficeRevoked(person="bea", office=Office.BOARD))
    replace(story, register=gone).when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30)).refused("gates_missing")
    withdrawn = story.when(release_commands.WithdrawApproval(stage=Stage.PUBLIC), by="bea").followed_by("approval_withdrawn")
    withdrawn.when(release_commands.WithdrawApproval(stage=Stage.PUBLIC), by="bea").then()
    withdrawn.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30)).refused("gates_missing")
    late = story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30)).when(
        release_commands.WithdrawApproval(stage=Stage.PUBLIC), by="bea"
    )
    assert kinds(checked(late)) == ["stage_refused"]


def test_nothing_is_approved_before_the_components_are_classified() -> None:
    story = signed(proposed())
    story.when(release_commands.ApproveStage(stage=Stage.MEMBERS, manifest=MANIFEST, office=Office.SAFETY_REVIEWER), by="sia").refused(
        "not_classified"
    )
    proposed().when(release_commands.ApproveStage(stage=Stage.MEMBERS, manifest=MANIFEST, office=Office.SAFETY_REVIEWER), by="sia").refused(
        "not_signed"
    )


# ---------------------------------------------------------------- other files


def test_other_files_close_every_gate() -> None:
    story = with_members_stage(internal()).when(release_commands.OpenFinding(finding="leak", text="x"), by="sia")
    story = story.when(release_commands.CloseFinding(finding="leak", manifest=MANIFEST, resolution="fine"), by="sia")
    story = story.when(amendment(), by="max").followed_by("release_amended").owes("build_manifest", "manifest:2")
    assert story.phase == "proposed"
    other = sha("other")
    story = published(checked(signed(story, other)))
    assert story.phase == "internal"
    story = story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(9)).refused("gates_missing")
    assert story.refusal is not None
    for lacking in ("evaluation mmlu", "finding leak", "safety-reviewer"):
        assert lacking in story.refusal.message
    story.when(release_commands.RecordEvaluation(evaluation="mmlu", manifest=MANIFEST, file="atlas/mmlu.json"), by="eva").refused(
        "other_manifest"
    )


def test_what_former_files_bring_back_late_is_old_news() -> None:
    story = proposed()
    late = owed(story, "build_manifest")
    story = story.when(amendment(title="Atlas 8B v2"), by="max")
    story = story.when(release_steps.ManifestBuilt(step=late.key, edition=1, manifest=MANIFEST, files=1, bytes=1)).followed_by(
        "step_carried_out"
    )
    assert story.phase == "proposed"
    story = signed(story, sha("other"))
    assert story.phase == "verifying"


def test_an_amendment_keeps_run_and_publishers_and_the_embargo_runs_on() -> None:
    story = internal(publishers=("directory", "hub"))
    story.when(amendment(run="other", publishers=("directory", "hub")), by="max").refused("other_run")
    story.when(amendment(publishers=("hub",)), by="max").refused("publisher_in_use")
    story.when(amendment(publishers=("directory", "hub")), by="sam").refused("office_required")
    story = story.when(amendment(publishers=("directory", "hub", "s3")), by="max", at=day(5))
    story.when(amendment(publishers=("directory", "hub", "s3")), by="max").then()
    deadline = story.agenda.deadline
    assert deadline is not None
    assert deadline.at == day(90)


def test_other_files_shortly_before_the_embargos_end_need_a_vote() -> None:
    story = with_members_stage(internal())
    story.when(amendment(), by="max", at=day(87.1)).refused("files_are_frozen")
    mandated(story, amendment()).when(amendment(), at=day(87.1)).followed_by("mandate_exercised", "release_amended")


# ---------------------------------------------------------------- publishers and documents


def test_a_stage_is_shown_to_its_audience_with_its_documents_at_every_publisher() -> None:
    story = checked(signed(proposed(publishers=("directory", "hub"))))
    step = owed(story, "write_documents")
    data = release_steps.WriteDocuments.model_validate_json(json.dumps(step.data))
    assert (data.title, data.producer, data.openness_class, data.manifest) == ("Atlas 8B", "Atlas Open-Model Consortium", 3, MANIFEST)
    story = story.when(release_steps.DocumentsWritten(step=step.key, edition=1, stage=Stage.INTERNAL, card=sha("card"), bill=sha("bill")))
    story.followed_by("step_carried_out", "documents_kept")
    for publisher in ("directory", "hub"):
        story.owes("publish", f"publish:1:internal:{publisher}:0")
    assert {step.data["audience"] for step in story.steps if step.kind == "publish"} == {"private"}
    story = published(checked(signed(proposed())))
    assert [step.data for step in with_members_stage(story).steps if step.kind == "publish"] == []


def test_a_publisher_that_comes_late_with_a_former_stage_says_nothing_about_this_one() -> None:
    story = checked(signed(proposed()))
    step = owed(story, "write_documents")
    story = story.when(release_steps.DocumentsWritten(step=step.key, edition=1, stage=Stage.INTERNAL, card=sha("card"), bill=sha("bill")))
    late = owed(story, "publish")
    story = approved(evaluated(story), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = checked(story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)))
    told = release_steps.Published(step=late.key, edition=1, stage=Stage.INTERNAL, publisher="directory", manifest=MANIFEST, where="/x")
    story.when(told).followed_by("step_carried_out")


def test_what_was_given_up_or_lost_is_published_again() -> None:
    story = checked(signed(proposed(publishers=("directory", "hub"))))
    story.when(release_commands.PublishAgain(), by="sam").refused("office_required")
    story = published(story)
    again = (
        story.when(release_commands.PublishAgain(), by="max")
        .followed_by("publishing_renewed")
        .owes("write_documents", "documents:1:internal:1")
    )
    again = again.when(
        release_steps.DocumentsWritten(step="documents:1:internal:1", edition=1, stage=Stage.INTERNAL, card=sha("card"), bill=sha("bill"))
    )
    again.owes("publish", "publish:1:internal:directory:1").owes("publish", "publish:1:internal:hub:1")
    story = with_members_stage(story)
    signed(proposed()).when(release_commands.PublishAgain(), by="max").refused("nothing_staged")
    story = approved(evaluated(checked(signed(proposed(publishers=("directory", "hub"))))), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = checked(story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)))
    story = (
        story.when(release_commands.PublishAgain(), by="max")
        .followed_by("publishing_renewed")
        .owes("write_documents", "documents:1:members:1")
    )
    story = story.when(
        release_steps.DocumentsWritten(step="documents:1:members:1", edition=1, stage=Stage.MEMBERS, card=sha("card"), bill=sha("bill"))
    )
    story.owes("publish", "publish:1:members:hub:1")


def test_who_has_early_access_is_told_again_to_a_publisher_that_may_have_lost_it() -> None:
    story = with_members_stage(internal())
    story = story.when(release_commands.GrantLease(lease="ada-1", member="ada", persons=("amy", "abe")), by="rep-ada")
    first = owed(story, "open_access")
    story = story.when(release_steps.AccessOpened(step=first.key, publisher="directory", opening="ada-1-1"))
    again = published(story.when(release_commands.PublishAgain(), by="max"))
    step = owed(again, "open_access")
    assert (step.key, step.data["persons"]) == ("open:ada-1-1:directory:1", first.data["persons"])
    over = story.when(release_commands.RevokeLease(lease="ada-1"), by="rep-ada")
    assert [step for step in published(over.when(release_commands.PublishAgain(), by="max")).steps if step.kind == "open_access"] == []


def test_what_is_public_is_classified_again_when_it_is_published_again() -> None:
    story = published(checked(settled(proposed()).due()))
    assert story.register.releases["atlas-8b"].openness_class == 3
    again = story.when(release_commands.PublishAgain(), by="max").followed_by("publishing_renewed", "check_began")
    again.owes("write_documents", "documents:1:public:1").owes("classify_openness", "classify:3")
    assert kinds(classified(again)) == ["openness_judged"]
    better = classified(again, 2).followed_by("step_carried_out", "openness_judged", "publishing_renewed", "release_staged")
    better.owes("write_documents", "documents:1:public:2")
    assert (better.register.releases["atlas-8b"].openness_class, better.state.state.openness_class) == (2, 2)
    assert better.phase == "public"
    twice = again.when(release_commands.PublishAgain(), by="max").owes("classify_openness", "classify:4")
    late = next(step for step in again.steps if step.kind == "classify_openness")
    assert (
        kinds(
            twice.when(
                release_steps.OpennessClassified(step=late.key, check=3, verdicts=(), report=REPORT, framework=sha("x"), openness_class=2)
            )
        )
        == []
    )


def test_what_the_embargos_end_published_unclassified_gets_its_class_when_it_is_published_again() -> None:
    story = signed(proposed()).when(release_commands.PublishByItself(), at=day(90))
    step = owed(story, "classify_openness")
    story = published(
        verified(story.when(release_steps.ClassificationFailed(step=step.key, check=step.data["check"], reason="the network is down")))
    )
    assert story.register.releases["atlas-8b"].openness_class == 0
    story = classified(story.when(release_commands.PublishAgain(), by="max"))
    assert story.register.releases["atlas-8b"].openness_class == 3
    state = story.state.state
    assert isinstance(state, Public)
    assert (state.openness_class, "a classification of its components just now" in state.missing) == (3, False)
    assert next(step for step in story.steps if step.key == "documents:1:public:2").data["openness_class"] == 3


# ---------------------------------------------------------------- the embargo's end


def deadlines(story: Story, until: datetime) -> Story:
    """Nobody does anything but the system, and steps come back as they should."""
    while (deadline := story.agenda.deadline) is not None and deadline.at <= until:
        story = settled(story.due())
    return replace(story, at=until)


def settled(story: Story) -> Story:
    """Whatever is owed for the next stage comes back well."""
    ways = {"build_manifest": listed, "sign_manifest": sealed, "classify_openness": classified, "verify_artifacts": verified,
            "write_documents": published}  # fmt: skip
    while ready := sorted(step.kind for step in story.steps if step.kind in ways):
        story = ways[ready[0]](story)
    return story


def test_the_embargos_end_publishes_with_everybody_silent() -> None:
    story = deadlines(settled(proposed()), day(89))
    assert story.phase == "internal"
    story = story.due().followed_by("embargo_ended", "check_began")
    assert story.at == day(90)
    story = published(checked(story))
    assert story.phase == "public"
    state = story.state.state
    assert isinstance(state, Public)
    assert {"evaluation mmlu", "licence review", "2 of 2 approvals by board"} <= set(state.missing)


def test_files_that_are_not_as_signed_stop_even_the_embargos_end_until_they_are() -> None:
    story = classified(settled(proposed()).due())
    story = story.when(release_steps.ArtifactsRefused(step="verify:2", check=2, manifest=MANIFEST, path="weights", reason="changed"))
    assert kinds(story) == ["stage_refused"]
    story = story.due().followed_by("embargo_ended", "check_began")
    assert story.at == day(90.25)
    assert checked(story).phase == "public"


def test_at_the_embargos_end_the_class_is_told_as_it_is() -> None:
    story = classified(settled(proposed()).due(), 0, report=sha("other"), verdicts=verdicts("Proprietary"))
    assert kinds(story) == ["openness_judged", "claim_lowered"]
    story = verified(story)
    assert story.register.releases["atlas-8b"].openness_class == 0
    state = story.state.state
    assert isinstance(state, Public)
    assert "openness class III" in state.missing


def test_a_licence_that_changed_stops_nothing_at_the_embargos_end_but_is_told() -> None:
    story = with_members_stage(internal()).when(release_commands.ReviewLicence(manifest=MANIFEST, report=REPORT, accepted=True), by="lin")
    story = classified(story.due(), report=sha("other"), verdicts=verdicts("MIT"))
    assert kinds(story) == ["openness_judged", "licence_changed"]
    assert verified(story).phase == "public"


def test_files_signed_after_the_embargos_end_are_published_at_once() -> None:
    story = proposed().due().followed_by("embargo_ended")
    story = signed(story)
    assert checked(story).phase == "public"


def test_a_check_under_way_at_the_embargos_end_leads_to_the_public() -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = classified(story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(89.99)))
    story = story.due().followed_by("embargo_ended")
    assert verified(story).phase == "public"


def moved_during_the_last_check(story: Story, to: float) -> Story:
    """The embargo ends and the files go to their last check; while they are there a vote moves the embargo."""
    story = story.due().followed_by("embargo_ended", "check_began")
    move = release_commands.MoveEmbargo(ends_at=day(to))
    return classified(mandated(story, move).when(move).followed_by("mandate_exercised", "embargo_moved"))


def refused_stage(story: Story) -> tuple[str, str]:
    """The stage that the last answer did not let the release enter, and by which rule."""
    (refused,) = (event for event in story.answer if event.kind == "stage_refused")
    told = refused.model_dump()
    return told["to"], told["rule"]


def test_files_on_their_way_to_the_public_skip_no_stage_when_the_embargo_is_moved_meanwhile() -> None:
    story = verified(moved_during_the_last_check(settled(proposed(embargo_ends_at=day(40))), 60))
    assert refused_stage(story) == ("public", "too_early")
    assert story.phase == "internal"
    story = approved(evaluated(story), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    assert advanced(story, Stage.MEMBERS, story.at).phase == "members"


def test_files_on_their_way_to_the_public_wait_for_their_day_when_the_embargo_is_moved_meanwhile() -> None:
    gated_first = approved(gated(with_members_stage(internal(embargo_ends_at=day(22)))), Stage.PUBLIC, *BOARD)
    story = moved_during_the_last_check(gated_first, 60)
    early = verified(replace(story, at=day(23) - timedelta(seconds=1)))
    assert refused_stage(early) == ("public", "too_early")
    assert early.phase == "gated"
    assert verified(replace(story, at=day(23))).phase == "public"


def test_at_the_embargos_end_a_check_that_never_comes_back_is_begun_anew() -> None:
    story = settled(proposed()).due()
    for _ in range(8):
        story = story.due()
    assert kinds(story) == ["embargo_ended", "check_began"]
    assert story.at == day(92)
    assert checked(story).phase == "public"


def test_a_vote_moves_the_embargo_within_the_charters_longest() -> None:
    story = internal(embargo_ends_at=day(40))
    move = release_commands.MoveEmbargo(ends_at=day(60))
    story.when(move, by="max").refused("no_mandate")
    moved = mandated(story, move).when(move).followed_by("mandate_exercised", "embargo_moved")
    deadline = moved.agenda.deadline
    assert deadline is not None
    assert deadline.at == day(60)
    for wrong in (day(91), START):
        command = release_commands.MoveEmbargo(ends_at=wrong)
        mandated(story, command).when(command, at=day(1)).refused("embargo_out_of_bounds")


def test_the_system_publishes_nothing_by_itself_early() -> None:
    story = internal()
    deadline = story.agenda.deadline
    assert deadline is not None
    story.when(deadline.command, at=day(89)).refused("not_due")
    story.when(deadline.command, by="max", at=day(91)).refused("service_only")


# ---------------------------------------------------------------- holds


def held(story: Story, by: str = "sia", at: datetime | None = None, **changes: Any) -> Story:
    return story.when(release_commands.HoldRelease(reason="a leak", **changes), by=by, at=at).followed_by("release_held")


def test_a_safety_reviewer_holds_at_every_stage_before_the_public() -> None:
    for story in (proposed(), listed(proposed()), signed(proposed()), internal(), with_members_stage(internal())):
        story.when(release_commands.HoldRelease(reason="x"), by="bo").refused("office_required")
        stopped = held(story)
        assert stopped.phase == "held"
        stopped.when(release_commands.HoldRelease(reason="a leak"), by="sia").then()
        stopped.when(release_commands.HoldRelease(reason="b"), by="sol").refused("already_held")
        stopped.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(3)).refused("release_held")
        assert stopped.when(release_commands.LiftHold(), by="sol").followed_by("hold_ended").phase == story.phase
    public().when(release_commands.HoldRelease(reason="x"), by="sia").refused("already_public")
    internal().when(release_commands.LiftHold(), by="sia").refused("not_held")
    held(internal()).when(release_commands.LiftHold(), by="max").refused("office_required")


def test_a_hold_stops_the_check_that_is_under_way() -> None:
    story = approved(evaluated(internal()), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    story = classified(story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)))
    stopped = held(story)
    assert verified(stopped).followed_by("step_carried_out").phase == "held"
    lifted = stopped.when(release_commands.LiftHold(), by="sia")
    assert verified(lifted).followed_by("step_carried_out").phase == "internal"


def test_files_are_listed_and_signed_while_it_is_held() -> None:
    story = signed(held(proposed())).followed_by("step_carried_out", "manifest_sealed")
    story = (
        story.when(release_commands.LiftHold(), by="sia")
        .when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max")
        .followed_by("check_began")
    )
    assert checked(story).phase == "internal"


def test_a_hold_ends_by_itself() -> None:
    story = held(internal())
    deadline = story.agenda.deadline
    assert deadline is not None
    assert (deadline.at, deadline.command.kind) == (day(14), "end_hold")
    story.when(deadline.command, at=day(13)).refused("not_due")
    story = story.due().followed_by("hold_ended")
    story.when(release_commands.HoldRelease(reason="again"), by="sia").refused("hold_is_spent")
    story.when(release_commands.HoldRelease(reason="again"), by="sol").refused("hold_is_spent")


def test_one_key_holds_for_the_charters_days_in_all() -> None:
    story = held(internal()).when(release_commands.LiftHold(), by="sia", at=day(10))
    story = held(story, by="sol", at=day(20))
    deadline = story.agenda.deadline
    assert deadline is not None
    assert deadline.at == day(24)


def test_a_longer_hold_takes_two_keys_each_time_and_has_an_end() -> None:
    story = held(internal())
    story.when(release_commands.ExtendHold(reason="x"), by="max").refused("office_required")
    story = story.when(release_commands.ExtendHold(reason="x"), by="sia").followed_by("hold_extension_signed")
    story.when(release_commands.ExtendHold(reason="x"), by="sia").refused("same_person")
    story = story.when(release_commands.ExtendHold(reason="y"), by="bo").followed_by("hold_extension_signed", "hold_extended")
    assert RELEASE.describe(story.state.state).line.count(shown_at(day(28)))
    story = story.when(release_commands.ExtendHold(reason="x"), by="bo").followed_by("hold_extension_signed")
    left = noted(story.register, OfficeRevoked(person="bo", office=Office.BOARD))
    replace(story, register=left).when(release_commands.ExtendHold(reason="x"), by="sia").followed_by("hold_extension_signed")
    story = story.when(release_commands.ExtendHold(reason="x"), by="ben").followed_by("hold_extension_signed", "hold_extended")
    story.when(release_commands.ExtendHold(reason="x"), by="bo").refused("hold_is_spent")
    assert story.due().at == day(42)
    internal().when(release_commands.ExtendHold(reason="x"), by="sia").refused("not_held")


def test_a_hold_stops_the_embargos_end_until_it_is_over() -> None:
    story = held(settled(proposed()), at=day(89))
    story = story.due().followed_by("hold_ended")
    assert story.at == day(103)
    story = story.due().followed_by("embargo_ended", "check_began")
    assert story.at == day(103)
    assert checked(story).phase == "public"


# ---------------------------------------------------------------- early access


def lease(name: str = "ada-1", member: str = "ada", *persons: str, **changes: Any) -> release_commands.GrantLease:
    return release_commands.GrantLease(lease=name, member=member, persons=persons or ("amy", "abe"), **changes)


def test_a_lease_opens_with_early_access_and_closes_at_its_end() -> None:
    story = internal().when(lease(ends_at=day(5)), by="rep-ada").followed_by("lease_granted", "leases_held")
    story = (
        with_members_stage(story)
        .followed_by("step_carried_out", "edition_published", "lease_opened")
        .owes("open_access", "open:ada-1-1:directory")
    )
    step = owed(story, "open_access")
    assert (step.data["persons"], step.data["until"]) == (["abe", "amy"], day(5).isoformat().replace("+00:00", "Z"))
    story = story.when(release_steps.AccessOpened(step=step.key, publisher="directory", opening="ada-1-1")).followed_by(
        "step_carried_out", "access_given"
    )
    while "lease_ended" not in kinds(story):
        story = story.due()
    assert story.at == day(5)
    story = story.owes("close_access", "close:ada-1-1:directory")
    closed = release_steps.AccessClosed(step="close:ada-1-1:directory", publisher="directory", opening="ada-1-1")
    story.when(closed).followed_by("step_carried_out", "access_taken")


def test_a_lease_that_starts_later_opens_at_its_start() -> None:
    story = (
        with_members_stage(internal())
        .when(lease(starts_at=day(3), ends_at=day(5)), by="rep-ada")
        .followed_by("lease_granted", "leases_held")
    )
    while "lease_opened" not in kinds(story):
        assert story.at < day(3)
        story = story.due()
    assert story.at == day(3)


def test_a_lease_is_given_by_a_representative_for_whom_he_names_or_by_a_manager_for_who_speaks_for_the_member() -> None:
    story = internal()
    story.when(lease(), by="rep-bel").refused("office_required")
    story.when(lease(), by="sia").refused("office_required")
    story.when(lease(), by="max").refused("person_not_named")
    story.when(lease("ada-2", "ada", "rep-ada"), by="max").followed_by("lease_granted", "leases_held")
    story.when(lease("dov-1", "dov"), by="max").refused("person_not_named")


def test_only_active_members_have_early_access() -> None:
    story = internal()
    suspended = replace(story, register=noted(story.register, MemberSuspended(member="ada", cause="dues")))
    suspended.when(lease(), by="rep-ada").refused("member_not_active")


def test_leases_are_bounded() -> None:
    story = internal(register(charter(release__lease_persons=3)))
    story.when(lease(ends_at=START), by="rep-ada").refused("lease_ends_before_it_starts")
    story.when(lease(ends_at=day(91)), by="rep-ada").refused("lease_too_long")
    story.when(lease("ada-1", "ada", "a", "b", "c", "d"), by="rep-ada").refused("too_many_persons")
    story = story.when(lease(), by="rep-ada")
    story.when(lease("ada-2", "ada", "x", "y"), by="rep-ada").refused("too_many_persons")
    story.when(lease("ada-2", "ada", "x"), by="rep-ada").followed_by("lease_granted", "leases_held")
    story.when(lease("ada-1", "bel"), by="rep-bel").refused("lease_exists")
    story.when(lease(), by="rep-ada").then()


def test_a_lease_is_revoked_by_its_member_a_manager_or_a_safety_reviewer() -> None:
    story = with_members_stage(internal()).when(lease(), by="rep-ada").followed_by("lease_granted", "lease_opened", "leases_held")
    story.when(release_commands.RevokeLease(lease="ada-1"), by="rep-bel").refused("office_required")
    story.when(release_commands.RevokeLease(lease="other"), by="max").refused("no_such_lease")
    for by in ("rep-ada", "max", "sia"):
        ended = (
            story.when(release_commands.RevokeLease(lease="ada-1"), by=by).followed_by("lease_ended", "leases_held").owes("close_access")
        )
        ended.when(release_commands.RevokeLease(lease="ada-1"), by=by).then()
        ended.when(lease(), by="rep-ada").refused("lease_exists")


def test_a_suspended_or_departed_members_leases_end_when_membership_says_so() -> None:
    story = with_members_stage(internal()).when(lease(), by="rep-ada").when(lease("bel-1", "bel"), by="rep-bel")
    for fact in (MemberSuspended(member="ada", cause="dues"), MemberDeparted(member="ada", cause="left", at=START)):
        told = replace(story, register=noted(story.register, fact)).when(letters.EndLeases(member="ada"))
        assert kinds(told) == ["lease_ended", "leases_held"]
        told.owes("close_access", "close:ada-1-1:directory")
    story.when(letters.EndLeases(member="ada"), by="rep-bel").refused("service_only")
    story.when(letters.EndLeases(member="ada")).then()


def test_members_are_looked_at_again_while_leases_are_open() -> None:
    story = with_members_stage(internal()).when(lease(), by="rep-ada")
    story = story.due().followed_by("leases_minded")
    assert story.at == day(2.25)
    suspended = replace(story, register=noted(story.register, MemberSuspended(member="ada", cause="dues")))
    assert kinds(suspended.due())[-2:] == ["lease_ended", "leases_held"]


def test_who_has_access_because_he_speaks_for_a_member_loses_it_with_his_seat() -> None:
    story = (
        with_members_stage(internal())
        .when(lease("ada-2", "ada", "rep-ada"), by="max")
        .followed_by("lease_granted", "lease_opened", "leases_held")
    )
    gone = replace(story, register=noted(story.register, RepresentativeUnseated(member="ada", person="rep-ada", at=START)))
    assert kinds(gone.due())[-2:] == ["lease_ended", "leases_held"]


def test_no_lease_opens_while_it_is_held_and_those_that_are_open_rest_when_the_hold_says_so() -> None:
    story = with_members_stage(internal()).when(lease(), by="rep-ada")
    stopped = held(story).when(lease("bel-1", "bel"), by="rep-bel").followed_by("lease_granted", "leases_held")
    stopped.when(release_commands.LiftHold(), by="sia").followed_by("hold_ended", "lease_opened")
    rested = story.when(release_commands.HoldRelease(reason="x", suspend_access=True), by="sia").followed_by(
        "release_held", "lease_suspended"
    )
    rested = (
        rested.owes("close_access", "close:ada-1-1:directory")
        .when(release_commands.LiftHold(), by="sia")
        .followed_by("hold_ended", "lease_opened")
    )
    rested.owes("open_access", "open:ada-1-2:directory")


def test_other_files_take_early_access_away_until_they_are_with_the_members_too() -> None:
    story = with_members_stage(internal()).when(lease(), by="rep-ada")
    story = (
        story.when(amendment(), by="max").followed_by("release_amended", "lease_suspended").owes("close_access", "close:ada-1-1:directory")
    )
    story = published(checked(signed(story, sha("other"))))
    assert not any(each.open for each in state_of(story).leases.values())


def state_of(story: Story) -> Any:
    return story.state.state.release


def test_leases_end_when_everybody_has_the_files() -> None:
    story = gated(with_members_stage(internal()).when(lease(), by="rep-ada"))
    story = approved(story, Stage.PUBLIC, *BOARD).when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30))
    story = checked(story)
    assert state_of(story).leases["ada-1"].open
    story = published(story).followed_by("step_carried_out", "edition_published", "lease_ended", "leases_held")
    assert story.agenda.deadline is None
    story.when(lease("ada-2"), by="rep-ada").refused("already_public")


# ---------------------------------------------------------------- the ends


def test_a_public_release_is_recalled_by_enough_different_people() -> None:
    story = public()
    recall = release_commands.RecallRelease(reason="it leaks")
    story.when(recall, by="max").refused("office_required")
    story = story.when(recall, by="sia").followed_by("recall_signed")
    story.when(recall, by="sia").refused("same_person")
    story = story.when(recall, by="bo").followed_by("recall_signed")
    without = noted(story.register, OfficeRevoked(person="bo", office=Office.BOARD))
    replace(story, register=without).when(recall, by="sam").followed_by("recall_signed")
    story = (
        story.when(recall, by="sam")
        .followed_by("recall_signed", "release_recalled", "release_staged")
        .owes("withdraw", "withdraw:directory")
    )
    assert story.phase == "recalled"
    story = story.when(release_steps.Withdrawn(step="withdraw:directory", publisher="directory")).followed_by(
        "step_carried_out", "edition_withdrawn"
    )
    story.when(recall, by="sia").then()
    story.when(release_commands.HoldRelease(reason="x"), by="sia").refused("release_over")
    assert story.register.releases["atlas-8b"].standing == "recalled"


def test_a_vote_recalls_a_public_release_at_once() -> None:
    recall = release_commands.RecallRelease(reason="it leaks")
    mandated(public(), recall).when(recall).followed_by("mandate_exercised", "release_recalled", "release_staged")
    internal().when(recall, by="sia").refused("not_public")


def test_a_vote_abandons_a_release_before_it_is_public_and_takes_it_from_the_publishers() -> None:
    abandon = release_commands.AbandonRelease(reason="too dangerous")
    story = with_members_stage(internal()).when(lease(), by="rep-ada")
    story.when(abandon, by="max").refused("no_mandate")
    for begun in (story, held(story), proposed()):
        over = mandated(begun, abandon).when(abandon)
        assert kinds(over)[:3] == ["mandate_exercised", "release_abandoned", "release_staged"]
        over.owes("withdraw", "withdraw:directory")
        assert over.phase == "abandoned"
        assert over.agenda.deadline is None
        over.when(release_commands.RecallRelease(reason="x"), by="sia").refused("release_over")
    assert "lease_ended" in kinds(mandated(story, abandon).when(abandon))
    mandated(public(), abandon).when(abandon).refused("already_public")


def newer(standing: str = "public", supersedes: str | None = "atlas-8b") -> ReleaseStaged:
    return ReleaseStaged(
        release="atlas-8b-2", standing=standing, title="Atlas 8B 2", run="atlas", manifest=sha("n"), openness_class=3, supersedes=supersedes, at=START
    )  # fmt: skip


def test_a_newer_public_release_takes_the_place_of_this_one() -> None:
    story = public()
    story.when(letters.SupersedeRelease(by="atlas-8b-2")).refused("not_a_successor")
    replace(story, register=noted(story.register, newer("members"))).when(letters.SupersedeRelease(by="atlas-8b-2")).refused(
        "not_a_successor"
    )
    replace(story, register=noted(story.register, newer(supersedes=None))).when(letters.SupersedeRelease(by="atlas-8b-2")).refused(
        "not_a_successor"
    )
    story = replace(story, register=noted(story.register, newer()))
    story.when(letters.SupersedeRelease(by="atlas-8b-2"), by="max").refused("service_only")
    story = story.when(letters.SupersedeRelease(by="atlas-8b-2")).followed_by("release_superseded", "release_staged")
    assert story.phase == "superseded"
    assert story.register.releases["atlas-8b"].superseded_by == "atlas-8b-2"
    story.when(letters.SupersedeRelease(by="atlas-8b-2")).then()
    recall = release_commands.RecallRelease(reason="it leaks")
    mandated(story, recall).when(recall).followed_by("mandate_exercised", "release_recalled", "release_staged")


def test_a_release_that_supersedes_another_tells_it_when_it_is_public() -> None:
    older = ReleaseStaged(release="atlas-7b", standing="public", title="7B", run="atlas", manifest=sha("n"), openness_class=3, at=START)
    unproposed().when(proposal(supersedes="atlas-7b"), by="max").refused("nothing_to_supersede")
    story = settled(proposed(noted(register(), older), supersedes="atlas-7b"))
    assert not any(step.kind == "tell" for step in story.steps)
    story = checked(story.due())
    step = owed(story, "tell")
    assert step.data == {"stream": "release/atlas-7b", "command": {"kind": "supersede_release", "by": "atlas-8b"}}


def test_public_is_final_but_for_recall_and_succession() -> None:
    story = public()
    commands: tuple[tuple[Command, str], ...] = (
        (amendment(), "max"), (release_commands.AdvanceRelease(to=Stage.GATED), "max"), (release_commands.LowerClaim(claim=3), "max"), (release_commands.HoldRelease(reason="x"), "sia"),
        (release_commands.OpenFinding(finding="f", text="x"), "sia"), (lease(), "rep-ada"), (release_commands.WithdrawApproval(stage=Stage.PUBLIC), "bo"),
    )  # fmt: skip
    for command, by in commands:
        story.when(command, by=by).refused("already_public")
    assert story.phase == "public"


def test_people_see_what_a_release_waits_for() -> None:
    story = (
        with_members_stage(internal()).when(lease(), by="rep-ada").when(release_commands.OpenFinding(finding="leak", text="x"), by="sia")
    )
    headline = RELEASE.describe(story.state.state)
    assert headline.phase == "members"
    assert "public by itself at" in headline.line
    assert headline.values["openness"] == "III"
    for shown in ("finding leak", "ada-1", PARAMETERS.replace("(", "\\(").replace(")", "\\)"), "directory"):
        assert shown in headline.text
    assert RELEASE.describe(unproposed().state.state).phase == "unproposed"
    assert RELEASE.describe(listed(proposed()).state.state).phase == "verifying"
    assert RELEASE.describe(held(story).state.state).waits_for == ("office:safety-reviewer",)


def test_a_step_says_in_its_own_words_what_it_is_about() -> None:
    step = owed(signed(proposed()), "classify_openness")
    data = release_steps.ClassifyOpenness.model_validate_json(json.dumps(step.data))
    assert (data.release, data.location, data.components[0].name) == ("atlas-8b", "atlas-8b", PARAMETERS)


# ---------------------------------------------------------------- what must not keep it from the public


def reviewed_for_gated() -> Story:
    story = with_members_stage(internal()).when(release_commands.ReviewLicence(manifest=MANIFEST, report=REPORT, accepted=True), by="lin")
    return approved(story, Stage.GATED, ("lin", Office.LICENCE_REVIEWER)).when(
        release_commands.AdvanceRelease(to=Stage.GATED), by="max", at=day(20)
    )


def test_what_is_missing_for_once_is_no_changed_licence() -> None:
    absent = other_verdict(standing="missing", licence="", sha256=None)
    story = checked(reviewed_for_gated(), verdicts=(verdicts()[0], absent), report=sha("other"))
    assert story.phase == "gated"
    assert where(story).edition.approvals
    back = where(story).edition.latest_verdicts["Technical report"]
    assert back == verdicts()[1]


def other_verdict(**changes: Any) -> release_steps.Verdict:
    return verdicts()[1].model_copy(update=changes)


def test_a_licence_that_changed_while_its_component_was_missing_is_found_when_it_is_back() -> None:
    away = other_verdict(standing="missing", licence="", sha256=None)
    story = classified(reviewed_for_gated(), verdicts=(verdicts()[0], away), report=sha("other"), openness_class=0)
    assert kinds(story) == ["openness_judged", "stage_refused"]
    back = other_verdict(licence="CC-BY-NC-4.0")
    story = classified(
        story.when(release_commands.AdvanceRelease(to=Stage.GATED), by="max"), verdicts=(verdicts()[0], back), report=sha("third")
    )
    assert kinds(story) == ["openness_judged", "licence_changed", "stage_refused"]


def test_a_component_that_was_replaced_where_it_lies_after_review_refuses_the_next_stage() -> None:
    other = other_verdict(sha256=sha("another paper"))
    story = classified(reviewed_for_gated(), verdicts=(verdicts()[0], other), report=sha("other"))
    assert kinds(story) == ["openness_judged", "component_changed", "stage_refused"]
    assert story.state.state.release.refused.startswith("Technical report: ")
    assert where(story).edition.licence is None
    story.when(release_commands.AdvanceRelease(to=Stage.GATED), by="max").refused("gates_missing")


def test_components_that_cannot_be_classified_enter_no_stage() -> None:
    story = signed(proposed())
    step = owed(story, "classify_openness")
    story = story.when(
        release_steps.ClassificationFailed(step=step.key, check=step.data["check"], reason="the list of licences cannot be read")
    )
    assert kinds(story) == ["stage_refused"]
    story.when(release_commands.AdvanceRelease(to=Stage.INTERNAL), by="max").followed_by("check_began")


def test_at_the_embargos_end_a_classification_that_fails_is_named_and_holds_up_nothing() -> None:
    story = internal().when(release_commands.PublishByItself(), at=day(90))
    step = owed(story, "classify_openness")
    story = verified(story.when(release_steps.ClassificationFailed(step=step.key, check=step.data["check"], reason="x")))
    state = story.state.state
    assert isinstance(state, Public)
    assert "a classification of its components just now" in state.missing
    assert state.openness_class == 3


def test_at_the_embargos_end_a_classification_that_does_not_come_back_is_waited_for_no_longer() -> None:
    story = signed(proposed()).when(release_commands.PublishByItself(), at=day(90)).owes("classify_openness", "classify:2")
    story = story.due()
    assert kinds(story) == ["embargo_ended", "check_began"]
    story = verified(story.owes("verify_artifacts", "verify:3"))
    state = story.state.state
    assert isinstance(state, Public)
    assert state.openness_class == 0
    step = owed(story, "write_documents")
    assert release_steps.WriteDocuments.model_validate_json(json.dumps(step.data)).report is None


def test_files_of_an_amendment_that_are_not_signed_at_the_embargos_end_give_way_to_those_signed_last() -> None:
    story = with_members_stage(internal()).when(amendment(location="nowhere"), by="max", at=day(80)).followed_by("release_amended")
    story = checked(story.when(release_commands.PublishByItself(), at=day(90)))
    state = story.state.state
    assert isinstance(state, Public)
    assert (state.edition.manifest, state.release.terms.location) == (MANIFEST, "atlas-8b")
    assert published(story).state.state.release.publications["directory"].stage is Stage.PUBLIC


def test_the_files_that_a_vote_replaced_are_not_restored() -> None:
    story = internal()
    command = amendment(location="mended")
    story = mandated(story, command).when(command, at=day(80)).when(release_commands.PublishByItself(), at=day(90))
    assert kinds(story) == ["embargo_ended"]
    assert story.phase == "proposed"


def test_after_an_amendment_by_vote_the_proposer_approves_his_files_no_more_than_before() -> None:
    story, command = internal(), amendment(location="mended")
    story = published(checked(signed(mandated(story, command).when(command), sha("second"))))
    story = replace(story, register=noted(story.register, OfficeGranted(person="max", office=Office.SAFETY_REVIEWER)))
    story.when(release_commands.ApproveStage(stage=Stage.MEMBERS, manifest=sha("second"), office=Office.SAFETY_REVIEWER), by="max").refused(
        "same_person"
    )


def test_a_hold_that_is_over_is_not_extended() -> None:
    story = internal().when(release_commands.HoldRelease(reason="a danger"), by="sia", at=day(1))
    until = story.state.state.hold.until
    story.when(release_commands.ExtendHold(reason="late"), by="sol", at=until).refused("not_held")


def test_a_hold_that_outlasts_the_embargo_owes_the_publishing_at_its_own_end() -> None:
    story = (
        internal()
        .when(release_commands.HoldRelease(reason="a danger"), by="sia", at=day(89))
        .when(release_commands.PublishByItself(), at=day(90))
        .then()
    )
    story = story.due()
    assert kinds(story) == ["hold_ended"]
    deadline = story.agenda.deadline
    assert deadline is not None
    assert (deadline.command.kind, deadline.at) == ("publish_by_itself", day(103))


def test_reasons_name_the_checkpoints_that_cost_the_class() -> None:
    story = classified(signed(proposed(register(retained=False))), openness_class=1)
    judged = next(event for event in story.answer if event.kind == "openness_judged")
    assert judged.openness_class == 2  # type: ignore[attr-defined]
    assert "checkpoints" in judged.reasons[0]  # type: ignore[attr-defined]


def test_one_person_who_loses_his_seat_ends_only_his_own_access() -> None:
    story = internal()
    second = RepresentativeSeated(member="ada", person="alt-ada", capacity=Capacity.ALTERNATE, at=START)
    story = replace(with_members_stage(story), register=noted(with_members_stage(story).register, second))
    story = story.when(release_commands.GrantLease(lease="early", member="ada", persons=("rep-ada", "alt-ada")), by="max")
    gone = RepresentativeUnseated(member="ada", person="alt-ada", at=day(3))
    story = replace(story, register=noted(story.register, gone)).when(release_commands.MindLeases(), at=day(3))
    assert [kind for kind in kinds(story) if kind.startswith("lease_")] == ["lease_narrowed", "lease_opened"]
    assert story.state.state.release.leases["early"].persons == ("rep-ada",)
    story.owes("close_access", "close:early-1:directory").owes("open_access", "open:early-2:directory")


async def test_on_the_log_a_hold_that_outlasts_the_embargo_is_followed_by_the_publishing() -> None:
    """Deadlines are recorded under ids that say what is due and when: one that was given in vain is not given again."""
    story = settled(proposed())
    clock = MovedClock(START)
    recorder = Recorder(MemoryLog(), {"release": RELEASE}, clock)
    replica = await recorder.replica()
    replica.register = story.register
    replica.put(story.stream, story.state)

    async def given(command: Command, by: str, at: datetime, command_id: str) -> Sequence[str]:
        clock.to(at)
        return (await recorder.record(Submission(story.stream, command_id, by, encode_json(command.model_dump())))).kinds

    async def due() -> Sequence[str]:
        deadline = (await recorder.standing(story.stream)).agenda.deadline
        assert deadline is not None
        name = derived_id(story.stream, "deadline", deadline.command.kind, deadline.at.isoformat())
        return await given(deadline.command, SERVICE, deadline.at, name)

    try:
        publishing = (await recorder.standing(story.stream)).agenda.deadline
        assert publishing is not None
        assert await given(release_commands.HoldRelease(reason="a danger"), "sia", publishing.at, "hold") == ("release_held", "step_owed")
        late = derived_id(story.stream, "deadline", publishing.command.kind, publishing.at.isoformat())
        assert await given(publishing.command, SERVICE, publishing.at, late) == ()
        assert await due() == ("hold_ended",)
        assert "embargo_ended" in await due()
    finally:
        await recorder.close()


async def test_the_registry_tells_what_stood_where_at_any_instant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready = approved(gated(with_members_stage(internal())), Stage.PUBLIC, *BOARD)
    log = await SqliteLog.open(tmp_path / "log.db")
    clock = MovedClock(START)
    recorder = Recorder(log, {"release": RELEASE}, clock)
    replica = await recorder.replica()
    replica.register = ready.register
    replica.put(ready.stream, ready.state)
    story = ready.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30))
    classify, verify = owed(story, "classify_openness"), owed(classified(story), "verify_artifacts")
    number = classify.data["check"]
    told: tuple[tuple[Command, str, datetime], ...] = (
        (release_commands.AdvanceRelease(to=Stage.PUBLIC), "max", day(30)),
        (
            release_steps.OpennessClassified(
                step=classify.key, check=number, verdicts=verdicts(), report=REPORT, framework=sha("framework"), openness_class=3
            ), SERVICE, day(30),
        ),
        (release_steps.ArtifactsVerified(step=verify.key, check=number, manifest=MANIFEST), SERVICE, day(31)),
        *((release_commands.RecallRelease(reason="it leaks"), person, day(40)) for person in ("bea", "ben", "sia")),
    )  # fmt: skip
    for number, (command, by, at) in enumerate(told):
        clock.to(at)
        await recorder.record(Submission(story.stream, f"command-{number}", by, encode_json(command.model_dump())))
    await recorder.close()
    await log.close()
    standings = [await standing(tmp_path, at, capsys) for at in (day(30), day(32), None)]
    assert standings == [[], ["public"], ["recalled"]]


async def standing(folder: Path, at: datetime | None, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """How the releases stand that `consortium registry` lists as of an instant."""
    await registry(as_of=None if at is None else at.isoformat(), where=Where(folder=folder, json=True))
    return [each["standing"] for each in json.loads(capsys.readouterr().out)["releases"]]


# ---------------------------------------------------------------- the keys that sign releases


def key_enrolled(name: str = "key", position: int = 2) -> ReleaseKeyEnrolled:
    return ReleaseKeyEnrolled(public_key=p256_key_of(name), fingerprint=sha(name), position=position)


def signed_log(*facts: Event) -> Register:
    """The register of a log that is signed, on which these things are true of release keys."""
    return noted(register(), SigningBegun(position=1), *facts)


def test_on_a_signed_log_files_are_signed_with_an_enrolled_key_or_wait_for_a_person() -> None:
    sealed(listed(proposed(signed_log()))).refused("release_key_unknown")
    sealed(listed(proposed(signed_log(key_enrolled("other"))))).refused("release_key_unknown")
    sealed(listed(proposed(signed_log(key_enrolled())))).followed_by("step_carried_out", "manifest_sealed", "check_began")
    sealed(listed(proposed())).followed_by("step_carried_out", "manifest_sealed", "check_began")


def test_no_stage_is_entered_under_a_signature_of_a_key_that_was_revoked() -> None:
    story = internal(signed_log(key_enrolled()))
    revoked = noted(story.register, ReleaseKeyRevoked(public_key=p256_key_of("key"), position=9))
    story = approved(evaluated(story), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    refused = replace(story, register=revoked).when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2))
    refused.refused("gates_missing")
    assert refused.refusal is not None
    assert "a key that signs releases now" in refused.refusal.message
    begun = story.when(release_commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2))
    story = verified(classified(replace(begun, register=revoked)))
    assert refused_stage(story) == ("members", "release_key_revoked")


def test_the_embargos_end_publishes_nothing_that_a_revoked_key_signed_and_an_amendment_signs_it_anew() -> None:
    story = internal(signed_log(key_enrolled()))
    revoked = noted(story.register, ReleaseKeyRevoked(public_key=p256_key_of("key"), position=9))
    ended = replace(story, register=revoked).due()
    while not any(event.kind == "embargo_ended" for event in ended.answer):
        ended = ended.due()
    assert refused_stage(checked(ended)) == ("public", "release_key_revoked")
    both = noted(revoked, ReleaseKeyEnrolled(public_key=p256_key_of("next"), fingerprint=sha("next"), position=10))
    amended = replace(story, register=both).when(amendment(title="Atlas 8B, signed anew"), by="max")
    again = listed(amended)
    step = owed(again, "sign_manifest")
    outcome = release_steps.ManifestSigned(step=step.key, edition=2, manifest=step.data["manifest"], signature=SIGNATURE, key=sha("next"))
    again.when(outcome).followed_by("step_carried_out", "manifest_sealed", "check_began")


def test_what_became_public_is_shown_though_its_key_is_revoked_meanwhile() -> None:
    story = approved(gated(with_members_stage(internal(signed_log(key_enrolled())))), Stage.PUBLIC, *BOARD)
    story = checked(story.when(release_commands.AdvanceRelease(to=Stage.PUBLIC), by="max", at=day(30)))
    revoked = noted(story.register, ReleaseKeyRevoked(public_key=p256_key_of("key"), position=99))
    shown = published(replace(story, register=revoked))
    assert (shown.phase, kinds(shown)) == ("public", ["edition_published"])
