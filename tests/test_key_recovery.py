"""Recovery of a lost last key: two other officers, and a time in which it can be stopped.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| recover_key | a holder of a recovery office, not the person | key_recovery_requested | office_required, same_person, recovery_under_way (`roles.recovery_offices`), no_role, key_missing, key_taken, key_ended, key_not_proven (`roles`) |
| confirm_key_recovery | a second one, of another organisation, not the person | key_recovery_confirmed | office_required, same_person, same_organisation, no_such_recovery (`roles.recovery_offices`) |
| stop_key_recovery | the person, a holder of a recovery office | key_recovery_stopped | office_required (`roles.recovery_offices`) |
| complete_key_recovery | the clock, `roles.recovery_hours` after the second officer | key_recovered, key_enrolled, key_revoked… (recovered); or key_recovery_stopped | |

States: none → requested (another request takes its place) → confirmed, with a deadline → done | stopped. Notices (`key_recovery_requested`,
`key_recovery_confirmed`, `key_recovery_stopped`, `key_recovered`) go to the person, the secretariat and the board.

At the deadline it is done only if both officers still hold a recovery office and are of different organisations, the person still has a role, and
the key is still nobody else's. A new key that the person enrolled meanwhile stays.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.charter import Office
from domain.consortium import commands, events
from domain.consortium.process import CONSORTIUM
from domain.kernel import PersonId, PublicKey, Refused, StreamId
from domain.process import Context, decide
from domain.register.facts import Capacity, KeyEnrolled, KeyRevoked, OfficeGranted, OfficeRevoked, RepresentativeSeated
from tests.keys import PROOF, key_of
from tests.stories import START, Story, charter, day, noted, with_members
from tests.test_key_rules import OWN, enrol, founding, keys, signed, unfounded

NEW = key_of("tess-new")
HOURS = charter().roles.recovery_hours


def recover(person: PersonId = "tess", key: PublicKey = NEW, *, proved: bool = True) -> commands.RecoverKey:
    return commands.RecoverKey(person=person, public_key=key, proof=PROOF if proved else None)


def confirm(person: PersonId = "tess", key: PublicKey = NEW) -> commands.ConfirmKeyRecovery:
    return commands.ConfirmKeyRecovery(person=person, public_key=key)


STOP = commands.StopKeyRecovery(person="tess", reason="It was in the other bag.")


def requested() -> Story:
    return signed().when(recover(), by="sam")


def confirmed() -> Story:
    return requested().when(confirm(), by="bo", at=day(1))


def test_two_officers_and_time_put_a_new_key_in_the_place_of_a_lost_one() -> None:
    first = requested().then(events.KeyRecoveryRequested(person="tess", public_key=NEW, by="sam", at=START))
    assert first.agenda.deadline is None
    until = day(1) + timedelta(hours=HOURS)
    second = first.when(confirm(), by="bo", at=day(1)).then(
        events.KeyRecoveryConfirmed(person="tess", public_key=NEW, by="bo", until=until)
    )
    assert keys(second, "tess") == {OWN}
    assert second.agenda.deadline is not None
    assert (second.agenda.deadline.at, second.agenda.closed) == (until, False)
    done = second.due().then(
        events.KeyRecovered(person="tess", public_key=NEW, by=("sam", "bo")),
        KeyEnrolled(person="tess", public_key=NEW),
        KeyRevoked(person="tess", public_key=OWN, cause="recovered"),
    )
    assert keys(done, "tess") == {NEW}
    assert done.agenda.deadline is None
    done.when(enrol("tess", OWN), by="tess").refused("key_ended")


def test_the_person_the_secretariat_and_the_board_are_told_of_every_step() -> None:
    told = sorted((step for step in confirmed().due().steps if step.kind == "notify"), key=lambda step: step.key.rpartition(":")[2])
    assert [step.data["template"] for step in told] == ["key_recovery_requested", "key_recovery_confirmed", "key_recovered"]
    assert all(step.data["to"] == ["tess", "office:secretariat", "office:board"] for step in told)


def test_it_cannot_be_done_before_its_time() -> None:
    command = commands.CompleteKeyRecovery(person="tess", public_key=NEW)
    confirmed().when(command, at=day(1) + timedelta(hours=HOURS, seconds=-1)).refused("not_due")
    requested().when(command, at=day(100)).then()


@pytest.mark.parametrize("by", ["tess", "sam", "bo", "sue"])
def test_the_person_or_any_officer_of_the_charters_stops_it(by: PersonId) -> None:
    story = confirmed().when(STOP, by=by).then(events.KeyRecoveryStopped(person="tess", by=by, reason=STOP.reason))
    assert story.agenda.deadline is None
    assert keys(story, "tess") == {OWN}
    story.when(STOP, by=by).then()
    requested().when(STOP, by=by).followed_by("key_recovery_stopped")


def test_nobody_else_asks_for_it_confirms_it_or_stops_it() -> None:
    for by in ("eve", "lea"):
        signed().when(recover(), by=by).refused("office_required")
        requested().when(confirm(), by=by).refused("office_required")
        confirmed().when(STOP, by=by).refused("office_required")


def test_nobody_vouches_for_themselves_and_nobody_twice() -> None:
    signed().when(recover(), by="tess").refused("same_person")
    requested().when(confirm(), by="tess").refused("same_person")
    requested().when(confirm(), by="sam").refused("same_person")


def test_two_of_one_organisation_or_of_related_ones_are_not_two() -> None:
    story = requested()
    register = with_members(story.register, "helio", "nova")
    seats = [RepresentativeSeated(member="helio", person=person, capacity=Capacity.REPRESENTATIVE, at=START) for person in ("sam", "bo")]
    same = replace(story, register=noted(register, *seats))
    same.when(confirm(), by="bo").refused("same_organisation")
    same.when(confirm(), by="sue").followed_by("key_recovery_confirmed")
    other = RepresentativeSeated(member="nova", person="bo", capacity=Capacity.REPRESENTATIVE, at=START)
    replace(story, register=noted(register, seats[0], other)).when(confirm(), by="bo").followed_by("key_recovery_confirmed")


def test_the_second_officer_confirms_the_key_that_the_first_one_named() -> None:
    requested().when(confirm(key=key_of("evil")), by="bo").refused("no_such_recovery")
    signed().when(confirm(), by="bo").refused("no_such_recovery")


def test_a_request_that_nobody_confirmed_gives_way_to_another_and_a_confirmed_one_does_not() -> None:
    other = key_of("tess-newer")
    story = requested().when(recover(key=other), by="bo").followed_by("key_recovery_requested")
    story.when(confirm(), by="sue").refused("no_such_recovery")
    story.when(confirm(key=other), by="sue").followed_by("key_recovery_confirmed")
    confirmed().when(recover(key=other), by="sue").refused("recovery_under_way")


def test_what_comes_twice_changes_nothing() -> None:
    requested().when(recover(), by="sam").then()
    confirmed().when(confirm(), by="bo").then()
    confirmed().when(recover(), by="sam").then()


def test_no_key_is_asked_for_that_is_not_proved_or_is_not_the_persons() -> None:
    signed().when(recover(proved=False), by="sam").refused("key_not_proven")
    signed().when(recover(key=key_of("bo")), by="sam").refused("key_taken")
    lost = signed().when(commands.RevokeKey(person="tess", public_key=OWN), by="sam")
    lost.when(recover(key=OWN), by="sam").refused("key_ended")
    lost.when(recover(), by="sam").followed_by("key_recovery_requested")


def test_who_has_no_role_has_no_key_to_recover() -> None:
    signed().when(recover("eve", key_of("eve")), by="sam").refused("no_role")


def test_a_representative_of_a_member_recovers_a_key_in_the_same_way() -> None:
    story = signed()
    story = replace(story, register=with_members(story.register, "helio"))
    story = story.when(recover("rep-helio"), by="sam").when(confirm("rep-helio"), by="tess").due()
    assert keys(story, "rep-helio") == {NEW}


def test_the_key_that_the_person_enrolled_themselves_meanwhile_stays_and_all_others_end() -> None:
    story = confirmed().when(enrol("tess", NEW), by="tess").due()
    assert KeyRevoked(person="tess", public_key=NEW, cause="recovered") not in story.answer
    assert keys(story, "tess") == {NEW}
    story.when(enrol("tess", key_of("further")), by="tess").followed_by("key_enrolled")


def test_two_officers_who_come_to_speak_for_one_organisation_meanwhile_recover_nothing() -> None:
    seats = [RepresentativeSeated(member="helio", person=person, capacity=Capacity.ALTERNATE, at=START) for person in ("sam", "bo")]
    story = confirmed()
    joined = replace(story, register=noted(with_members(story.register, "helio"), *seats)).due().followed_by("key_recovery_stopped")
    assert keys(joined, "tess") == {OWN}


@pytest.mark.parametrize("change", ["an officer left", "the person left", "the key was taken"])
def test_at_its_time_it_is_done_only_if_all_of_it_still_stands(change: str) -> None:
    facts = {
        "an officer left": OfficeRevoked(person="bo", office=Office.BOARD),
        "the person left": OfficeRevoked(person="tess", office=Office.TREASURER),
        "the key was taken": KeyEnrolled(person="sue", public_key=NEW),
    }
    story = confirmed().given(facts[change]).due().followed_by("key_recovery_stopped")
    assert NEW not in keys(story, "tess")
    assert story.agenda.deadline is None


def test_the_charter_says_which_offices_and_how_long() -> None:
    rules = founding(roles__recovery_offices=["treasurer", "auditor"], roles__recovery_hours=5)
    story = unfounded().when(rules, by="sam")
    story = story.given(OfficeGranted(person="ann", office=Office.AUDITOR), OfficeGranted(person="theo", office=Office.TREASURER))
    story.when(recover("bo"), by="sam").refused("office_required")
    story = story.when(recover("bo"), by="ann").when(confirm("bo"), by="theo")
    assert CONSORTIUM.describe(story.state.state).waits_for == ("office:auditor", "office:treasurer")
    assert story.agenda.deadline is not None
    assert story.agenda.deadline.at == START + timedelta(hours=5)


def test_the_defaults_are_not_written_into_a_charter() -> None:
    written = charter().model_dump(mode="json")
    assert written["roles"].keys() == {"apart"}
    assert "open_applications" not in written["membership"]


def test_a_proof_by_another_key_or_for_another_person_recovers_nothing() -> None:
    context = Context(START, "sam", StreamId("consortium/atlas"), signed().register, proven=frozenset({("bo", NEW), ("tess", OWN)}))
    with pytest.raises(Refused) as raised:
        decide(CONSORTIUM, signed().state, recover(), context)
    assert raised.value.rule == "key_not_proven"
