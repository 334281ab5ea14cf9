"""The founding, the charter and the officers.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| found | one of the officers named | charter_adopted, office_granted…, key_enrolled… | already_founded, founder_not_named, officer_named_twice, office_vacant |
| amend_charter | a passed proposal | charter_adopted | no_mandate, currency_is_fixed, tier_in_use |
| grant_office, revoke_office | secretariat; a passed proposal for the board | office_granted, office_revoked | office_required, no_mandate, last_officer |
| enrol_key, revoke_key | the person, the secretariat | key_enrolled, key_revoked | office_required |
"""

from __future__ import annotations

from dataclasses import replace

from domain.charter import Office
from domain.consortium import CONSORTIUM, AmendCharter, EnrolKey, Found, GrantOffice, Officer, RevokeKey, RevokeOffice
from domain.kernel import digest_of
from domain.register import MandateGranted, MemberDeparted, OfficeGranted, OfficeRevoked, Register, TierReserved
from tests.stories import START, Story, charter, noted, with_members

OFFICERS = (
    Officer(person="sam", offices=frozenset({Office.SECRETARIAT})),
    Officer(person="tess", offices=frozenset({Office.TREASURER})),
)


def unfounded() -> Story:
    return Story.of(CONSORTIUM, "consortium/atlas", Register())


def founded() -> Story:
    return unfounded().when(Found(charter=charter(), officers=OFFICERS), by="sam")


def test_founding_adopts_the_charter_and_seats_the_officers() -> None:
    founded().followed_by("charter_adopted", "office_granted", "office_granted")


def test_a_log_is_founded_once() -> None:
    founded().when(Found(charter=charter(), officers=OFFICERS), by="sam").refused("already_founded")


def test_nobody_founds_a_consortium_without_being_named() -> None:
    unfounded().when(Found(charter=charter(), officers=OFFICERS), by="eve").refused("founder_not_named")


def test_nothing_happens_before_the_founding() -> None:
    unfounded().when(GrantOffice(person="sam", office=Office.AUDITOR), by="sam").refused("not_founded")


def test_the_secretariat_grants_an_office_and_a_repeat_changes_nothing() -> None:
    grant = GrantOffice(person="lea", office=Office.TRAINING_LEAD)
    story = founded().when(grant, by="sam").then(OfficeGranted(person="lea", office=Office.TRAINING_LEAD))
    story.when(grant, by="sam").then()


def test_nobody_else_grants_an_office() -> None:
    founded().when(GrantOffice(person="tess", office=Office.SECRETARIAT), by="tess").refused("office_required")


def test_the_last_treasurer_stays_until_a_successor_is_named() -> None:
    story = founded().when(RevokeOffice(person="tess", office=Office.TREASURER), by="sam").refused("last_officer")
    story = story.when(GrantOffice(person="tom", office=Office.TREASURER), by="sam")
    story.when(RevokeOffice(person="tess", office=Office.TREASURER), by="sam").then(OfficeRevoked(person="tess", office=Office.TREASURER))


def test_the_charter_is_amended_by_a_mandate_only_and_once() -> None:
    amendment = AmendCharter(charter=charter(funding__share_cap=2_000))
    story = founded().when(amendment, by="sam").refused("no_mandate")
    digest = digest_of("consortium/atlas", amendment.model_dump(mode="json"))
    story = replace(story, register=noted(story.register, MandateGranted(proposal="share-cap", digest=digest)))
    story = story.when(amendment).followed_by("mandate_exercised", "charter_adopted")
    assert story.register.charter.funding.share_cap == 2_000
    story.when(amendment).refused("no_mandate")


def test_no_amendment_leaves_out_a_tier_that_has_members() -> None:
    rules = charter()
    fewer = rules.model_copy(update={"tiers": {name: tier for name, tier in rules.tiers.items() if name != "associate"}})
    amendment = AmendCharter(charter=fewer)
    granted = MandateGranted(proposal="proposal/x", digest=digest_of("consortium/atlas", amendment.model_dump(mode="json")))
    story = founded()
    with_one = replace(story, register=noted(with_members(story.register, "helio", tier="associate"), granted))
    with_one.when(amendment).refused("tier_in_use")
    kept = TierReserved(member="helio", tier="associate")
    replace(story, register=noted(story.register, kept, granted)).when(amendment).refused("tier_in_use")
    gone = noted(with_one.register, MemberDeparted(member="helio", cause="left", at=START))
    replace(with_one, register=gone).when(amendment).followed_by("mandate_exercised", "charter_adopted")


def test_the_currency_outlives_every_amendment() -> None:
    amendment = AmendCharter(charter=charter(currency="EUR"))
    digest = digest_of("consortium/atlas", amendment.model_dump(mode="json"))
    story = founded()
    story = replace(story, register=noted(story.register, MandateGranted(proposal="euro", digest=digest)))
    story.when(amendment).refused("currency_is_fixed")


def test_a_person_enrols_his_own_key_and_a_stranger_does_not() -> None:
    key = "ssh-ed25519 " + "A" * 68
    founded().when(EnrolKey(person="tess", public_key=key), by="tess").followed_by("key_enrolled")
    founded().when(EnrolKey(person="tess", public_key=key), by="eve").refused("office_required")


def test_a_revoked_key_speaks_for_nobody_and_a_repeat_changes_nothing() -> None:
    key = "ssh-ed25519 " + "A" * 68
    story = founded().when(EnrolKey(person="tess", public_key=key), by="tess")
    story = story.when(RevokeKey(person="tess", public_key=key), by="sam").followed_by("key_revoked")
    assert story.register.people["tess"].keys == frozenset()
    story.when(RevokeKey(person="tess", public_key=key), by="sam").then()
