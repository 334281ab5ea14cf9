"""The founding, the charter and the officers. Keys are in `test_key_rules`, `test_key_recovery` and `test_service_keys`.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| found | one of the officers named | charter_adopted, office_granted…, key_enrolled…, clock_set | already_founded, founder_not_named, officer_named_twice (roles), person_reserved (roles), office_vacant (roles), offices_apart (roles.apart), and what keeps a key from being enrolled |
| amend_charter | a passed proposal | charter_adopted | no_mandate, currency_is_fixed, tier_in_use |
| grant_office, revoke_office | secretariat; a passed proposal for the board | office_granted, office_revoked | office_required, no_mandate, person_reserved, offices_apart, last_officer |
| accept_time | two of secretariat, treasurer, second signatory, board | time_acceptance_given, then time_accepted | office_required (roles), nothing_to_accept, not_the_head, same_person (roles), same_organisation (roles), other_head_accepted (roles) |
| restart_clock | the service | clock_set | service_only, clock_is_real |
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.charter import Office
from domain.consortium import commands, events
from domain.consortium.process import CONSORTIUM
from domain.consortium.terms import Officer
from domain.kernel import RESERVED, SERVICE, digest_of
from domain.register.facts import (
    ClockSet,
    LogTime,
    MandateGranted,
    MemberDeparted,
    MovedTime,
    OfficeGranted,
    OfficeRevoked,
    PacedTime,
    SystemTime,
    TierReserved,
    TimeAccepted,
)
from domain.register.state import Register
from tests.stories import START, Story, charter, day, noted, with_members

OFFICERS = (
    Officer(person="sam", offices=frozenset({Office.SECRETARIAT})),
    Officer(person="tess", offices=frozenset({Office.TREASURER})),
    Officer(person="bo", offices=frozenset({Office.BOARD})),
)


def unfounded() -> Story:
    return Story.of(CONSORTIUM, "consortium/atlas", Register())


def founded() -> Story:
    return unfounded().when(commands.Found(charter=charter(), officers=OFFICERS), by="sam")


def test_founding_adopts_the_charter_and_seats_the_officers() -> None:
    founded().followed_by("charter_adopted", *("office_granted",) * 3, "clock_set")


@pytest.mark.parametrize("missing", ["sam", "tess", "bo"])
def test_no_office_without_which_nothing_can_be_decided_stands_empty_at_the_founding(missing: str) -> None:
    officers = tuple(officer for officer in OFFICERS if officer.person != missing)
    unfounded().when(commands.Found(charter=charter(), officers=officers), by=officers[0].person).refused("office_vacant")


@pytest.mark.parametrize("handle", sorted(RESERVED))
def test_what_is_no_person_holds_no_office(handle: str) -> None:
    as_officer = (*OFFICERS, Officer(person=handle, offices=frozenset({Office.AUDITOR})))
    unfounded().when(commands.Found(charter=charter(), officers=as_officer), by="sam").refused("person_reserved")
    founded().when(commands.GrantOffice(person=handle, office=Office.AUDITOR), by="sam").refused("person_reserved")


def test_a_log_is_founded_once() -> None:
    founded().when(commands.Found(charter=charter(), officers=OFFICERS), by="sam").refused("already_founded")


def test_nobody_founds_a_consortium_without_being_named() -> None:
    unfounded().when(commands.Found(charter=charter(), officers=OFFICERS), by="eve").refused("founder_not_named")


def test_nothing_happens_before_the_founding() -> None:
    unfounded().when(commands.GrantOffice(person="sam", office=Office.AUDITOR), by="sam").refused("not_founded")


def test_the_secretariat_grants_an_office_and_a_repeat_changes_nothing() -> None:
    grant = commands.GrantOffice(person="lea", office=Office.TRAINING_LEAD)
    story = founded().when(grant, by="sam").then(OfficeGranted(person="lea", office=Office.TRAINING_LEAD))
    story.when(grant, by="sam").then()


@pytest.mark.parametrize(("person", "office"), [("tess", Office.SECOND_SIGNATORY), ("sam", Office.COMPLIANCE_REVIEWER)])
def test_offices_that_the_charter_keeps_apart_come_together_in_nobody(person: str, office: Office) -> None:
    founded().when(commands.GrantOffice(person=person, office=office), by="sam").refused("offices_apart")
    founded().when(commands.GrantOffice(person="lea", office=office), by="sam").followed_by("office_granted")
    both = tuple(
        officer.model_copy(update={"offices": officer.offices | {office}}) if officer.person == person else officer for officer in OFFICERS
    )
    unfounded().when(commands.Found(charter=charter(), officers=both), by="sam").refused("offices_apart")
    unfounded().when(commands.Found(charter=charter(roles__apart={}), officers=both), by="sam").followed_by(
        "charter_adopted", *("office_granted",) * 4, "clock_set"
    )


def test_offices_are_apart_whichever_of_them_the_charter_names_first_and_one_is_free_when_the_other_is_given_up() -> None:
    theo = founded().when(commands.GrantOffice(person="theo", office=Office.SECOND_SIGNATORY), by="sam")
    theo.when(commands.GrantOffice(person="theo", office=Office.TREASURER), by="sam").refused("offices_apart")
    freed = theo.when(commands.RevokeOffice(person="theo", office=Office.SECOND_SIGNATORY), by="sam")
    freed.when(commands.GrantOffice(person="theo", office=Office.TREASURER), by="sam").followed_by("office_granted")


def test_nobody_else_grants_an_office() -> None:
    founded().when(commands.GrantOffice(person="tess", office=Office.SECRETARIAT), by="tess").refused("office_required")


def test_the_last_treasurer_stays_until_a_successor_is_named() -> None:
    story = founded().when(commands.RevokeOffice(person="tess", office=Office.TREASURER), by="sam").refused("last_officer")
    story = story.when(commands.GrantOffice(person="tom", office=Office.TREASURER), by="sam")
    story.when(commands.RevokeOffice(person="tess", office=Office.TREASURER), by="sam").then(
        OfficeRevoked(person="tess", office=Office.TREASURER)
    )


def test_the_charter_is_amended_by_a_mandate_only_and_once() -> None:
    amendment = commands.AmendCharter(charter=charter(funding__share_cap=2_000))
    story = founded().when(amendment, by="sam").refused("no_mandate")
    digest = digest_of("consortium/atlas", amendment.model_dump(mode="json"))
    story = replace(story, register=noted(story.register, MandateGranted(proposal="share-cap", digest=digest)))
    story = story.when(amendment).followed_by("mandate_exercised", "charter_adopted")
    assert story.register.charter.funding.share_cap == 2_000
    story.when(amendment).refused("no_mandate")


def test_no_amendment_leaves_out_a_tier_that_has_members() -> None:
    rules = charter()
    fewer = rules.model_copy(update={"tiers": {name: tier for name, tier in rules.tiers.items() if name != "associate"}})
    amendment = commands.AmendCharter(charter=fewer)
    granted = MandateGranted(proposal="proposal/x", digest=digest_of("consortium/atlas", amendment.model_dump(mode="json")))
    story = founded()
    with_one = replace(story, register=noted(with_members(story.register, "helio", tier="associate"), granted))
    with_one.when(amendment).refused("tier_in_use")
    kept = TierReserved(member="helio", tier="associate")
    replace(story, register=noted(story.register, kept, granted)).when(amendment).refused("tier_in_use")
    gone = noted(with_one.register, MemberDeparted(member="helio", cause="left", at=START))
    replace(with_one, register=gone).when(amendment).followed_by("mandate_exercised", "charter_adopted")


def test_the_currency_outlives_every_amendment() -> None:
    amendment = commands.AmendCharter(charter=charter(currency="EUR"))
    digest = digest_of("consortium/atlas", amendment.model_dump(mode="json"))
    story = founded()
    story = replace(story, register=noted(story.register, MandateGranted(proposal="euro", digest=digest)))
    story.when(amendment).refused("currency_is_fixed")


# ---------------------------------------------------------------- the log's time

REHEARSAL = PacedTime(real=START, log=day(30), pace=1_000)


def rehearsed(clock: LogTime = REHEARSAL) -> Story:
    return unfounded().when(commands.Found(charter=charter(), officers=OFFICERS, clock=clock), by="sam")


def ahead(by: float = 400) -> Story:
    """The founded consortium, whose second entry is dated so many days too late."""
    return founded().when(commands.GrantOffice(person="lea", office=Office.TRAINING_LEAD), by="sam", at=day(by))


HEAD = commands.AcceptTime(position=2, at=day(400))


@pytest.mark.parametrize("clock", [SystemTime(), REHEARSAL, MovedTime()], ids=lambda clock: clock.kind)
def test_every_log_says_from_its_founding_which_clock_it_goes_by(clock: LogTime) -> None:
    assert rehearsed(clock).register.clock == clock
    assert founded().register.clock == SystemTime()


def test_a_log_that_was_founded_before_clocks_were_facts_goes_by_the_systems() -> None:
    assert Register().clock == SystemTime()


def test_a_rehearsal_runs_on_from_new_anchors_at_another_pace_and_a_repeat_changes_nothing() -> None:
    onward = PacedTime(real=day(1), log=day(31), pace=60)
    story = rehearsed().when(commands.RestartClock(clock=onward), at=day(31)).then(ClockSet(clock=onward))
    assert story.register.clock == onward
    story.when(commands.RestartClock(clock=onward)).then()
    rehearsed(MovedTime()).when(commands.RestartClock(clock=onward)).then(ClockSet(clock=onward))


def test_no_log_that_is_in_earnest_is_made_a_rehearsal() -> None:
    founded().when(commands.RestartClock(clock=REHEARSAL)).refused("clock_is_real")


def test_nobody_but_the_system_restarts_a_clock() -> None:
    rehearsed().when(commands.RestartClock(clock=REHEARSAL), by="sam").refused("service_only")


def test_two_officers_accept_a_time_that_ran_ahead_of_the_clock() -> None:
    one = ahead().when(HEAD, by="sam").then(events.TimeAcceptanceGiven(position=2, at=day(400), by="sam"))
    assert one.register.time_accepted_until is None
    both = one.when(HEAD, by="tess").then(TimeAccepted(position=2, until=day(400), by=("sam", "tess")))
    assert both.register.time_accepted_until == day(400)


def test_a_time_that_is_accepted_already_is_accepted_again_by_anybody_without_effect() -> None:
    both = ahead().when(HEAD, by="sam").when(HEAD, by="tess")
    both.when(HEAD, by="bo").then()
    both.when(HEAD, by="sam").then()


def test_it_takes_two_different_officers_to_accept_a_time() -> None:
    ahead().when(HEAD, by="sam").when(HEAD, by="sam").refused("same_person")


def test_the_acceptance_of_an_officer_who_is_gone_waits_for_nobody() -> None:
    story = ahead().when(HEAD, by="sam").given(OfficeRevoked(person="sam", office=Office.SECRETARIAT))
    again = HEAD.model_copy(update={"position": 3})
    story = story.when(again, by="tess").followed_by("time_acceptance_given")
    story.when(again, by="bo").followed_by("time_accepted")


@pytest.mark.parametrize("office", [Office.SECRETARIAT, Office.TREASURER, Office.SECOND_SIGNATORY, Office.BOARD])
def test_each_of_four_offices_may_accept_a_time(office: Office) -> None:
    story = ahead()
    story = replace(story, register=noted(story.register, OfficeGranted(person="theo", office=office)))
    story.when(HEAD, by="theo").followed_by("time_acceptance_given").when(HEAD, by="sam").followed_by("time_accepted")


@pytest.mark.parametrize("person", ["lea", "eve", SERVICE])
def test_nobody_else_accepts_a_time(person: str) -> None:
    ahead().when(HEAD, by=person).refused("office_required")


def test_a_time_that_the_clock_has_reached_needs_no_acceptance() -> None:
    ahead().when(HEAD, by="sam", at=day(400.001)).refused("nothing_to_accept")
    ahead().when(HEAD, by="sam").when(HEAD, by="tess", at=day(400.001)).refused("nothing_to_accept")


@pytest.mark.parametrize("at", [399, 401])
def test_no_time_is_accepted_but_that_of_the_last_entry(at: float) -> None:
    ahead().when(commands.AcceptTime(position=2, at=day(at)), by="sam").refused("nothing_to_accept")


@pytest.mark.parametrize("position", [1, 3])
def test_a_first_officer_names_the_last_entry(position: int) -> None:
    ahead().when(commands.AcceptTime(position=position, at=day(400)), by="sam").refused("not_the_head")


def test_both_officers_accept_the_same_entry() -> None:
    story = ahead().when(HEAD, by="sam")
    story.when(commands.AcceptTime(position=3, at=day(400)), by="tess").refused("other_head_accepted")


def test_an_acceptance_that_was_never_seconded_ends_with_the_time_that_it_was_for() -> None:
    later = ahead().when(HEAD, by="sam").when(commands.GrantOffice(person="leo", office=Office.AUDITOR), by="sam", at=day(800))
    again = commands.AcceptTime(position=4, at=day(800))
    later.when(again, by="sam").followed_by("time_acceptance_given").when(again, by="tess").followed_by("time_accepted")


def test_a_rehearsal_has_nothing_to_accept() -> None:
    rehearsed().when(commands.AcceptTime(position=1, at=START), by="sam").refused("nothing_to_accept")
