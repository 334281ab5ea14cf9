"""What every process has in common: owed steps and mandates, told with the probe.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| step_done, or an outcome of the step's own | the service | step_carried_out, and what the outcome brings about | service_only |
| fail_step | the service | step_failed | service_only |
| delay_step | the service | step_delayed, once | service_only |
| step_done, notice_sent to a notify step | the service | step_carried_out, recipients_unreached, recipients_reached | service_only |
| retry_step, waive_step | the secretariat | step_retried, step_waived | office_required, step_not_failed |

An answer to a step that is owed no longer is old news: nothing follows, and it is no error.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from domain.kernel import digest_of, notify
from domain.process import describe, evolve
from domain.register.facts import MandateExercised, MandateGranted, RecipientsUnreached
from domain.register.state import Unreached
from domain.stream import AT_ONCE, DelayStep, FailStep, NoticeSent, RetryStep, StepDone, StepOwed, WaiveStep
from tests.probe import PROBE, Begin, Finish, Muffled, Poke, Poked, Worked, poked_by
from tests.stories import Story, day, noted

FIRST = "work:000"


def begun(work: int = 1) -> Story:
    return Story.of(PROBE, "probe/one").when(Begin(work=work), by="sam").owes("work", FIRST)


def failed() -> Story:
    return begun().when(FailStep(step=FIRST, reason="the bank is closed")).followed_by("step_failed")


def delayed() -> Story:
    return begun().when(DelayStep(step=FIRST, reason="the bank is [closed](x)")).followed_by("step_delayed")


def test_an_outcome_answers_its_step_and_says_what_came_of_it() -> None:
    story = begun().when(Worked(step=FIRST, result="42")).followed_by("step_carried_out", "work_done")
    assert not story.steps


def test_an_outcome_told_twice_is_old_news() -> None:
    begun().when(Worked(step=FIRST, result="42")).when(Worked(step=FIRST, result="43")).then()


def test_an_outcome_of_a_step_never_owed_changes_nothing() -> None:
    begun().when(Worked(step="work:999", result="42")).then()


def test_nobody_but_the_service_brings_outcomes() -> None:
    begun().when(Worked(step=FIRST, result="42"), by="sam").refused("service_only")
    begun().when(StepDone(step=FIRST), by="sam").refused("service_only")
    begun().when(FailStep(step=FIRST, reason="no"), by="sam").refused("service_only")


def test_a_failed_step_waits_for_a_person_and_is_not_on_the_agenda() -> None:
    story = failed()
    assert story.agenda.steps == ()
    assert story.state.failed[FIRST] == "the bank is closed"


def test_a_late_outcome_of_a_failed_step_changes_nothing() -> None:
    failed().when(Worked(step=FIRST, result="42")).then()


def test_the_secretariat_asks_for_another_try_and_the_step_is_owed_again() -> None:
    story = failed().when(RetryStep(step=FIRST), by="sam").followed_by("step_retried")
    assert [step.key for step in story.agenda.steps] == [FIRST]
    assert story.state.tries[FIRST] != failed().state.tries[FIRST]


def test_a_step_that_is_owed_once_more_after_it_was_done_is_another_try() -> None:
    story = begun()
    again = story.when(Worked(step=FIRST, result="42")).given(StepOwed(step=story.steps[0]))
    assert again.state.tries[FIRST] != story.state.tries[FIRST]


def test_the_secretariat_waives_a_failed_step_with_a_reason() -> None:
    story = failed().when(WaiveStep(step=FIRST, reason="told them by phone"), by="sam").followed_by("step_waived")
    assert not story.steps


def test_only_a_failed_step_is_retried_or_waived() -> None:
    begun().when(RetryStep(step=FIRST), by="sam").refused("step_not_failed")
    begun().when(WaiveStep(step=FIRST, reason="no"), by="sam").refused("step_not_failed")


def test_only_the_secretariat_retries_or_waives() -> None:
    failed().when(RetryStep(step=FIRST), by="tess").refused("office_required")
    failed().when(WaiveStep(step=FIRST, reason="no"), by="tess").refused("office_required")


def test_a_delayed_step_is_still_owed_and_asks_for_attention() -> None:
    story = delayed().owes("work", FIRST)
    assert story.state.attention
    assert story.state.tries == begun().state.tries
    headline = describe(PROBE, story.state)
    assert headline.line.endswith("; delayed: work\\:000")
    assert headline.waits_for == ("member:helio", "office:secretariat")


def test_a_step_is_delayed_once_however_often_it_is_said() -> None:
    delayed().when(DelayStep(step=FIRST, reason="again")).then()
    failed().when(DelayStep(step=FIRST, reason="late")).then()
    begun().when(DelayStep(step="work:999", reason="of nothing")).then()
    begun().when(DelayStep(step=FIRST, reason="no"), by="sam").refused("service_only")


def test_a_delayed_step_that_is_carried_out_or_fails_is_delayed_no_longer() -> None:
    done = delayed().when(Worked(step=FIRST, result="42")).followed_by("step_carried_out", "work_done")
    assert not done.state.attention
    over = delayed().when(FailStep(step=FIRST, reason="the bank refused")).followed_by("step_failed")
    assert (dict(over.state.delayed), dict(over.state.failed)) == ({}, {FIRST: "the bank refused"})
    again = delayed().given(StepOwed(step=delayed().steps[0]))
    assert not again.state.attention


def test_the_secretariat_has_a_delayed_step_tried_now_or_waives_it() -> None:
    again = delayed().when(RetryStep(step=FIRST), by="sam").followed_by("step_retried")
    assert not again.state.attention
    assert shown(again) == [FIRST]
    assert again.state.tries[FIRST] != delayed().state.tries[FIRST]
    assert shown(again.when(DelayStep(step=FIRST, reason="still closed")).followed_by("step_delayed")) == [FIRST]
    waived = delayed().when(WaiveStep(step=FIRST, reason="told them by phone"), by="sam").followed_by("step_waived")
    assert not waived.steps
    assert not waived.state.attention


def test_so_many_steps_are_shown_at_once_and_no_more() -> None:
    assert len(begun(AT_ONCE + 10).agenda.steps) == AT_ONCE


def told(*keys_and_targets: str) -> Story:
    """A probe that owes these tells (`key>target`), in this order."""
    pairs = [text.split(">") for text in keys_and_targets]
    return Story.of(PROBE, "probe/one").given(*(StepOwed(step=poked_by(f"probe/{target}", key)) for key, target in pairs))


def shown(story: Story) -> list[str]:
    return [step.key for step in story.agenda.steps]


def test_steps_are_shown_in_the_order_in_which_they_are_owed() -> None:
    assert shown(told("z>two", "y>three", "x>four")) == ["z", "y", "x"]


def test_what_one_stream_is_told_is_shown_one_at_a_time() -> None:
    story = told("z>two", "y>two", "x>three", "w>two")
    for expected in (["z", "x"], ["x", "y"], ["x", "w"], ["x"]):
        assert sorted(shown(story)) == sorted(expected)
        story = story.when(StepDone(step=min(set(shown(story)) - {"x"}, default="x")))
    assert shown(story) == []


def test_a_tell_that_failed_holds_no_other_up_and_is_the_last_when_it_is_asked_for_again() -> None:
    story = told("z>two", "y>two").when(FailStep(step="z", reason="refused"))
    assert shown(story) == ["y"]
    story = story.when(RetryStep(step="z"), by="sam")
    assert shown(story) == ["y"]
    assert shown(story.when(StepDone(step="y"))) == ["z"]


def test_many_tells_to_one_stream_do_not_keep_other_steps_waiting() -> None:
    story = told(*(f"tell-{number}>two" for number in range(AT_ONCE + 10)), "aside>three")
    assert shown(story) == ["tell-0", "aside"]


def test_a_step_owed_again_while_it_waits_for_a_person_waits_on() -> None:
    story = failed()
    assert shown(story.given(StepOwed(step=story.steps[0]))) == []


def test_a_closed_process_is_over_when_it_owes_nothing() -> None:
    story = begun().when(Finish(), by="sam")
    assert not story.agenda.closed
    assert story.when(StepDone(step=FIRST)).agenda.closed


POKING: Final = digest_of("probe/one", Poke().model_dump(mode="json"))


def authorised(*granted: MandateGranted) -> Story:
    story = begun()
    return replace(story, register=noted(story.register, *granted))


def poking(proposal: str = "proposal/one", until: datetime | None = None) -> MandateGranted:
    return MandateGranted(proposal=proposal, digest=POKING, until=until)


def test_a_mandate_is_spent_by_the_command_it_authorises_and_by_no_other() -> None:
    story = authorised(poking()).due().followed_by("rung")
    story = story.when(Poke()).followed_by("mandate_exercised", "poked")
    story.when(Poke()).followed_by("poked")


def test_nobody_but_the_service_exercises_a_mandate() -> None:
    story = authorised(poking()).when(Poke(), by="sam").followed_by("poked")
    story.when(Poke()).followed_by("mandate_exercised", "poked")


def test_two_votes_for_one_command_authorise_it_twice() -> None:
    story = authorised(poking("proposal/one"), poking("proposal/two"))
    for proposal in ("proposal/one", "proposal/two"):
        story = story.when(Poke()).then(MandateExercised(proposal=proposal, digest=POKING), Poked())
    story.when(Poke()).followed_by("poked")


def test_a_mandate_ends_with_its_time() -> None:
    authorised(poking(until=day(1))).when(Poke(), at=day(0.9)).followed_by("mandate_exercised", "poked")
    authorised(poking(until=day(1))).when(Poke(), at=day(1)).followed_by("poked")
    authorised(poking("proposal/one", day(1)), poking("proposal/two")).when(Poke(), at=day(2)).followed_by("mandate_exercised", "poked")


def test_a_refused_command_leaves_its_mandate_for_another_try() -> None:
    story = authorised(poking()).given(Muffled(muffled=True)).when(Poke()).refused("muffled")
    story.given(Muffled(muffled=False)).when(Poke()).followed_by("mandate_exercised", "poked")


def test_an_order_that_is_given_up_is_authorised_no_longer() -> None:
    ordering = replace(told("tell:motion>one"), register=noted(begun().register, poking("probe/one"), poking("proposal/two")))
    refused = ordering.when(FailStep(step="tell:motion", reason="muffled"))
    waived = refused.when(WaiveStep(step="tell:motion", reason="too late"), by="sam").followed_by("step_waived", "mandate_withdrawn")
    assert [granted.proposal for granted in waived.register.mandates[POKING]] == ["proposal/two"]


def test_a_step_that_failed_stands_in_the_headline_and_the_secretariat_is_waited_for() -> None:
    assert describe(PROBE, begun().state) == PROBE.describe(begun().state.state)
    shown = describe(PROBE, failed().state)
    assert "failed: work" in shown.line
    assert shown.waits_for == ("member:helio", "office:secretariat")


# ---------------------------------------------------------------- notices


def owing_a_notice(story: Story, number: int, *to: str) -> Story:
    """The same with a notice that is owed to these."""
    state = evolve(PROBE, story.state, StepOwed(step=notify("rung", to, key=f"notice:{number}")))
    return replace(story, state=state)


def test_whom_a_notice_did_not_come_to_is_a_fact_that_sums_up_until_one_comes() -> None:
    story = begun()
    for number in (1, 2):
        story = owing_a_notice(story, number, "ada", "zoe").when(NoticeSent(step=f"notice:{number}", unreached={"zoe": "no_address"}))
        assert [event.kind for event in story.answer] == ["step_carried_out", "recipients_unreached"]
    assert dict(story.register.unreached) == {"zoe": Unreached("no_address", 2, story.at)}
    again = owing_a_notice(story, 3, "ada", "zoe").when(StepDone(step="notice:3")).followed_by("step_carried_out", "recipients_reached")
    assert not again.register.unreached
    owing_a_notice(again, 4, "ada", "zoe").when(StepDone(step="notice:4")).followed_by("step_carried_out")


def test_a_notice_says_nothing_of_people_whom_it_was_not_for() -> None:
    story = owing_a_notice(begun(), 1, "ada").when(NoticeSent(step="notice:1", unreached={"mallory": "refused"}))
    assert [event.kind for event in story.answer] == ["step_carried_out"]
    begun().when(NoticeSent(step=FIRST, unreached={"zoe": "refused"}), by="sam").refused("service_only")


def test_a_reason_that_changes_is_the_last_one() -> None:
    story = Story.of(PROBE, "probe/one")
    known = noted(
        story.register,
        RecipientsUnreached(step="a", recipients={"zoe": "no_address"}, at=day(0)),
        RecipientsUnreached(step="b", recipients={"zoe": "refused"}, at=day(3)),
    )
    assert dict(known.unreached) == {"zoe": Unreached("refused", 2, day(0))}
