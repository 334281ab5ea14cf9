"""Keys of persons: who enrols, rotates and revokes them, and where they speak.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| found | one of the officers named | …, key_enrolled…, clock_set, log_key_enrolled, signing_begun | key_missing, key_not_proven, key_taken (`roles`) |
| enrol_key | the person; the secretariat for an officer who never had one | key_enrolled | office_required, not_an_officer, has_a_key, had_a_key (`roles.recovery_offices`), key_taken, key_ended, key_not_proven, person_reserved (`roles`) |
| rotate_key | its holder | key_enrolled, key_revoked (rotated) | key_of_another, no_such_key, same_key, key_taken, key_ended, key_not_proven (`roles`) |
| revoke_key | the person, not their last one; the secretariat | key_revoked (revoked) | office_required, last_key (`roles`), too_few_keys_left (`roles.recovery_offices`) |
| apply (on a signed log) | a person named in it | …, representative_seated, key_enrolled… | office_required (`membership`), key_missing, key_not_proven, key_taken, key_ended (`roles`), person_taken (`membership`), too_many_applications (`membership.open_applications`) |
| seat_representative | as before; a first key also by who may seat | representative_seated, key_enrolled | key_missing on a signed log, key_not_proven (`roles`), key_of_another, person_taken (`membership`) |

No key serves two people, ever: whose it was it stays. A key that was revoked, rotated or lost speaks for nobody again; one that ended because
its holder had no role any more may come back to the same person. The keys of whoever stands for an applicant alone speak on its stream only,
until the members took it in, and speak no more when the application ends.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from immutables import Map

from domain.charter import Office
from domain.consortium import commands
from domain.consortium.process import CONSORTIUM
from domain.consortium.terms import Officer
from domain.kernel import LOG, RELEASES, RESERVED, PersonId, PublicKey, Refused
from domain.member import commands as member_commands
from domain.member.terms import Delegate
from domain.process import Context, decide, stated_by
from domain.register.facts import Capacity, KeyEnrolled, KeyRevoked, LogKeyEnrolled, RepresentativeSeated, SigningBegun
from domain.register.fold import note
from domain.register.state import Person, Register
from tests.keys import LOG_KEY, PROOF, key_of, with_key
from tests.stories import START, Story, charter, noted, with_members
from tests.test_member import application, lei, mandated, nobody, voting

OFFICERS = tuple(
    with_key(Officer(person=person, offices=frozenset({office})))
    for person, office in (("sam", Office.SECRETARIAT), ("tess", Office.TREASURER), ("bo", Office.BOARD), ("sue", Office.SECRETARIAT))
)
OWN, OTHER = key_of("tess"), key_of("another")


def founding(officers: tuple[Officer, ...] = OFFICERS, log_key: PublicKey | None = LOG_KEY, **changes: object) -> commands.Found:
    return commands.Found(charter=charter(**changes), officers=officers, log_key=log_key, log_key_proof=PROOF)


def unfounded() -> Story:
    return Story.of(CONSORTIUM, "consortium/atlas", Register())


def signed() -> Story:
    """A consortium whose log is signed from its founding on, and each of whose officers has the key of their name."""
    return unfounded().when(founding(), by="sam")


def enrol(person: PersonId, key: PublicKey, *, proved: bool = True) -> commands.EnrolKey:
    return commands.EnrolKey(person=person, public_key=key, proof=PROOF if proved else None)


def rotate(person: PersonId, old: PublicKey, new: PublicKey, *, proved: bool = True) -> commands.RotateKey:
    return commands.RotateKey(person=person, old_key=old, public_key=new, proof=PROOF if proved else None)


def revoke(person: PersonId, key: PublicKey) -> commands.RevokeKey:
    return commands.RevokeKey(person=person, public_key=key)


def keys(story: Story, person: PersonId) -> frozenset[str]:
    return story.register.people.get(person, Person()).keys


# ---------------------------------------------------------------- the founding


def test_a_founding_proves_every_officers_key_and_the_logs_and_everything_is_signed_from_then_on() -> None:
    story = signed().followed_by(
        "charter_adopted", *("office_granted",) * 4, *("key_enrolled",) * 4, "clock_set", "log_key_enrolled", "signing_begun"
    )
    assert story.answer[-2:] == (LogKeyEnrolled(public_key=LOG_KEY, position=1), SigningBegun(position=1))
    assert (story.register.signing, story.register.signing_since, story.register.valid_log_keys()) == (True, 1, (LOG_KEY,))
    assert all(keys(story, person) == {key_of(person)} for person in ("sam", "tess", "bo", "sue"))


def test_no_officer_is_without_a_key_at_a_signed_founding() -> None:
    keyless = (*OFFICERS, Officer(person="ann", offices=frozenset({Office.AUDITOR})))
    unfounded().when(founding(keyless), by="sam").refused("key_missing")


@pytest.mark.parametrize("lacking", ["the officer's", "the log's"])
def test_no_key_is_taken_at_the_founding_without_its_proof(lacking: str) -> None:
    officers = (OFFICERS[0].model_copy(update={"proof": None}), *OFFICERS[1:]) if lacking == "the officer's" else OFFICERS
    command = founding(officers)
    if lacking == "the log's":
        command = command.model_copy(update={"log_key_proof": None})
    unfounded().when(command, by="sam").refused("key_not_proven")


def test_two_officers_never_share_a_key_nor_does_one_with_the_log() -> None:
    alike = tuple(officer.model_copy(update={"public_key": OWN}) for officer in OFFICERS)
    unfounded().when(founding(alike), by="sam").refused("key_taken")
    unfounded().when(founding(log_key=OWN), by="sam").refused("key_taken")


def test_an_unsigned_founding_still_begins_a_log_that_says_so() -> None:
    bare = tuple(officer.model_copy(update={"public_key": None, "proof": None}) for officer in OFFICERS)
    story = unfounded().when(founding(bare, None), by="sam").followed_by("charter_adopted", *("office_granted",) * 4, "clock_set")
    assert not story.register.signing


# ---------------------------------------------------------------- enrolling


def test_a_person_enrols_their_own_further_keys_and_a_repeat_changes_nothing() -> None:
    story = signed().when(enrol("tess", OTHER), by="tess").then(KeyEnrolled(person="tess", public_key=OTHER))
    story.when(enrol("tess", OTHER), by="tess").then()
    assert keys(story, "tess") == {OWN, OTHER}


def test_nobody_enrols_a_key_without_proving_that_they_hold_it() -> None:
    signed().when(enrol("tess", OTHER, proved=False), by="tess").refused("key_not_proven")


def test_a_proof_that_did_not_verify_enrols_nothing() -> None:
    story, command = signed(), enrol("tess", OTHER)
    context = Context(START, "tess", story.stream, story.register, proven=frozenset({("sam", OTHER), ("tess", OWN)}))
    with pytest.raises(Refused) as raised:
        decide(CONSORTIUM, story.state, command, context)
    assert raised.value.rule == "key_not_proven"
    assert stated_by(command) == {("tess", OTHER)}


def test_a_stranger_enrols_no_key_and_nobody_one_for_another() -> None:
    signed().when(enrol("tess", OTHER), by="eve").refused("office_required")
    signed().when(enrol("eve", OTHER), by="eve").refused("not_an_officer")
    signed().when(enrol("tess", OTHER), by="bo").refused("office_required")


def test_an_officer_granted_later_gets_the_first_key_from_the_secretariat_and_the_next_by_themselves() -> None:
    story = signed().when(commands.GrantOffice(person="lea", office=Office.TRAINING_LEAD), by="sam")
    story = story.when(enrol("lea", key_of("lea")), by="sam").followed_by("key_enrolled")
    story.when(enrol("lea", OTHER), by="sam").refused("has_a_key")
    story.when(enrol("lea", OTHER), by="lea").followed_by("key_enrolled")


def test_no_one_person_puts_another_key_in_the_place_of_one_that_they_revoked() -> None:
    story = signed().when(revoke("tess", OWN), by="sam").followed_by("key_revoked")
    story.when(enrol("tess", OTHER), by="sam").refused("had_a_key")
    story.when(enrol("tess", OTHER), by="sue").refused("had_a_key")


@pytest.mark.parametrize("handle", sorted(RESERVED))
def test_what_is_no_person_has_no_key_as_a_person(handle: str) -> None:
    signed().when(enrol(handle, OTHER), by="sam").refused("person_reserved")
    nobody().when(application(representatives=(Delegate(person=handle),)), by=handle).refused("person_reserved")


# ---------------------------------------------------------------- one key, one person


def test_one_key_speaks_for_one_person_and_never_for_another_whatever_became_of_it() -> None:
    story = signed()
    story.when(enrol("sam", OWN), by="sam").refused("key_taken")
    for gone in (story.when(revoke("tess", OWN), by="sam"), story.when(rotate("tess", OWN, OTHER), by="tess")):
        gone.when(enrol("sam", OWN), by="sam").refused("key_taken")
        assert gone.register.knows_key("tess", OWN)
        assert not gone.register.speaks_by("tess", OWN, "consortium/atlas")


def test_no_person_has_the_key_of_the_log() -> None:
    signed().when(enrol("tess", LOG_KEY), by="tess").refused("key_taken")
    assert signed().register.knows_key(LOG, LOG_KEY)
    assert not signed().register.knows_key(RELEASES, LOG_KEY)


def test_a_revoked_key_never_speaks_again_not_even_for_whose_it_was() -> None:
    story = signed().when(enrol("tess", OTHER), by="tess").when(revoke("tess", OWN), by="tess").followed_by("key_revoked")
    story.when(enrol("tess", OWN), by="tess").refused("key_ended")


def test_a_key_that_rules_before_these_revoked_is_free_as_it_was_then() -> None:
    register = noted(signed().register, KeyRevoked(person="tess", public_key=OWN))
    assert OWN not in register.keyholders
    assert "cause" not in KeyRevoked(person="tess", public_key=OWN).model_dump()


def test_one_key_has_one_form() -> None:
    sloppy = key_of("x")[:-1] + "="
    with pytest.raises(ValueError, match="Base64"):
        enrol("tess", sloppy)
    twice = "ecdsa-sha2-nistp256 " + "AAAA" * 10 + "AB=="
    with pytest.raises(ValueError, match="one form"):
        enrol("tess", twice)


# ---------------------------------------------------------------- rotating and revoking


def test_a_new_key_takes_the_place_of_the_last_one_in_one_entry() -> None:
    story = signed().when(rotate("tess", OWN, OTHER), by="tess")
    story.then(KeyEnrolled(person="tess", public_key=OTHER), KeyRevoked(person="tess", public_key=OWN, cause="rotated"))
    assert keys(story, "tess") == {OTHER}
    story.when(rotate("tess", OWN, OTHER), by="tess").then()


def test_a_key_gives_way_to_another_that_its_holder_has_already() -> None:
    both = signed().when(enrol("tess", OTHER), by="tess")
    both.when(rotate("tess", OWN, OTHER), by="tess").then(KeyRevoked(person="tess", public_key=OWN, cause="rotated"))


def test_nobody_rotates_the_key_of_another_nor_one_that_they_have_not_nor_into_itself() -> None:
    signed().when(rotate("tess", OWN, OTHER), by="sam").refused("key_of_another")
    signed().when(rotate("tess", key_of("sam"), OTHER), by="tess").refused("no_such_key")
    signed().when(rotate("tess", OWN, OWN), by="tess").refused("same_key")
    signed().when(rotate("tess", OWN, OTHER, proved=False), by="tess").refused("key_not_proven")
    signed().when(rotate("tess", OWN, key_of("sam")), by="tess").refused("key_taken")


def test_nobody_shuts_all_other_officers_out() -> None:
    story = signed().when(revoke("tess", OWN), by="sam").when(revoke("bo", key_of("bo")), by="sam").followed_by("key_revoked")
    story.when(revoke("sue", key_of("sue")), by="sam").refused("too_few_keys_left")
    two = story.when(enrol("sue", OTHER), by="sue")
    two.when(revoke("sue", key_of("sue")), by="sam").followed_by("key_revoked")


def two_left() -> Story:
    """Of the officers who replace lost keys, sam and sue alone have one; an auditor and a representative have one too."""
    story = signed().when(commands.GrantOffice(person="ann", office=Office.AUDITOR), by="sam").when(enrol("ann", key_of("ann")), by="sam")
    story = story.when(revoke("tess", OWN), by="sam").when(revoke("bo", key_of("bo")), by="sam").followed_by("key_revoked")
    register = noted(with_members(story.register, "helio"), KeyEnrolled(person="rep-helio", public_key=key_of("rep-helio")))
    return replace(story, register=register)


@pytest.mark.parametrize("person", ["ann", "rep-helio"])
@pytest.mark.parametrize("left", ["two", "one"])
def test_the_key_of_somebody_who_replaces_none_is_revoked_however_few_do(left: str, person: PersonId) -> None:
    story = two_left() if left == "two" else two_left().given(KeyRevoked(person="sue", public_key=key_of("sue"), cause="left"))
    story.when(revoke(person, key_of(person)), by="sam").then(KeyRevoked(person=person, public_key=key_of(person), cause="revoked"))


def test_two_officers_are_left_whoever_of_a_third_organisation_stands_between_them() -> None:
    story = signed()
    seats = [("sue", "helio"), ("sam", "helio"), ("sam", "nova"), ("tess", "nova")]
    facts = [RepresentativeSeated(member=member, person=person, capacity=Capacity.ALTERNATE, at=START) for person, member in seats]
    story = replace(story, register=noted(with_members(story.register, "helio", "nova"), *facts))
    story.when(revoke("bo", key_of("bo")), by="sam").followed_by("key_revoked")


def test_nobody_revokes_their_own_last_key_but_the_secretariat_may() -> None:
    signed().when(revoke("tess", OWN), by="tess").refused("last_key")
    signed().when(revoke("sam", key_of("sam")), by="sam").refused("last_key")
    story = signed().when(revoke("tess", OWN), by="sam").then(KeyRevoked(person="tess", public_key=OWN, cause="revoked"))
    story.when(revoke("tess", OWN), by="sam").then()
    signed().when(revoke("tess", OWN), by="bo").refused("office_required")


# ---------------------------------------------------------------- representatives and applicants

ADA = Delegate(person="ada", public_key=key_of("ada"), proof=PROOF)
ALAN = Delegate(person="alan", capacity=Capacity.ALTERNATE, public_key=key_of("alan"), proof=PROOF)


def applied(*representatives: Delegate, by: PersonId = "ada", **changes: object) -> Story:
    return nobody(signed().register).when(application(representatives=representatives or (ADA, ALAN), **changes), by=by)


def test_on_a_signed_log_an_application_carries_every_key_and_is_signed_by_one_of_whom_it_names() -> None:
    story = applied().followed_by(
        "application_received", "legal_entity_named", "ownership_declared", *("representative_seated", "key_enrolled") * 2
    )
    assert keys(story, "ada") == {key_of("ada")}
    applied(by="sam").refused("office_required")
    applied(ADA, Delegate(person="alan")).refused("key_missing")
    applied(ADA.model_copy(update={"proof": None})).refused("key_not_proven")
    applied(ADA.model_copy(update={"public_key": OWN})).refused("key_taken")


def test_the_keys_of_an_applicant_speak_on_its_stream_only_until_the_members_took_it_in() -> None:
    story = applied().register
    assert story.confined_to("ada") == frozenset({"member/helio"})
    assert story.speaks_by("ada", key_of("ada"), "member/helio")
    assert not story.speaks_by("ada", key_of("ada"), "consortium/atlas")
    assert not story.speaks_by("ada", key_of("alan"), "member/helio")
    admitted = taken_in(signed().register).register
    assert admitted.speaks_by("ada", key_of("ada"), "consortium/atlas")


def test_an_officer_who_stands_for_an_applicant_as_well_speaks_everywhere() -> None:
    register = noted(signed().register, RepresentativeSeated(member="nova", person="tess", capacity=Capacity.ALTERNATE, at=START))
    assert register.confined_to("tess") is None


def test_the_keys_of_an_applicant_are_forgotten_with_the_application_and_are_nobody_elses() -> None:
    story = applied().when(member_commands.WithdrawApplication(), by="ada")
    assert keys(story, "ada") == frozenset()
    assert not story.register.speaks_by("ada", key_of("ada"), "member/helio")
    again = nobody(story.register, "member/helio-again").when(application(representatives=(ADA, ALAN)), by="ada")
    assert again.refusal is None
    eve = Delegate(person="eve", public_key=key_of("ada"), proof=PROOF)
    nobody(story.register, "member/evil").when(application(representatives=(eve,)), by="eve").refused("key_taken")


def without_office(person: PersonId, *before: commands.ConsortiumCommand) -> Story:
    """A consortium with a former auditor, who speaks for nobody."""
    story = signed().when(commands.GrantOffice(person=person, office=Office.AUDITOR), by="sam")
    for command in before:
        story = story.when(command, by="sam").followed_by("key_enrolled")
    return story.when(commands.RevokeOffice(person=person, office=Office.AUDITOR), by="sam").followed_by("office_revoked")


@pytest.mark.parametrize("had", [(), (enrol("ann", key_of("ann")),)], ids=["no key", "a key"])
def test_no_stranger_takes_the_handle_of_a_former_officer_with_a_key_of_their_own(had: tuple[commands.EnrolKey, ...]) -> None:
    stranger = Delegate(person="ann", public_key=OTHER, proof=PROOF)
    story = without_office("ann", *had)
    nobody(story.register).when(application(representatives=(stranger,)), by="ann").refused("person_taken")
    applicant = nobody(story.register).when(application(representatives=(ADA,)), by="ada")
    named = member_commands.SeatRepresentative(person="ann", public_key=OTHER, proof=PROOF)
    applicant.when(named, by="ada").refused("person_taken")
    assert keys(story, "ann") == frozenset(each.public_key for each in had)


def test_a_former_officer_applies_with_the_key_that_they_had() -> None:
    story = without_office("ann", enrol("ann", key_of("ann")))
    herself = Delegate(person="ann", public_key=key_of("ann"), proof=PROOF)
    nobody(story.register).when(application(representatives=(herself,)), by="ann").followed_by(
        "application_received", "legal_entity_named", "ownership_declared", "representative_seated"
    )


def taken_in(register: Register) -> Story:
    """An application that the members said yes to, while nobody has signed the agreement yet."""
    story = mandated(voting(register, representatives=(ADA, ALAN)), member_commands.Admit()).when(member_commands.Admit())
    return story.followed_by("mandate_exercised", "applicant_admitted", "tier_reserved")


@pytest.mark.parametrize("ended", ["withdrawn", "admitted"])
def test_so_many_applications_are_open_at_a_time_and_no_more(ended: str) -> None:
    rules = founding(membership__open_applications=2)
    register = unfounded().when(rules, by="sam").register
    stories = list[Story]()
    for number in (1, 2, 3):
        person = Delegate(person=f"rep-{number}", public_key=key_of(f"rep-{number}"), proof=PROOF)
        command = application(lei=lei(number), representatives=(person,))
        stories.append(nobody(register, f"member/m-{number}").when(command, by=f"rep-{number}"))
        register = stories[-1].register
    stories[2].refused("too_many_applications")
    assert len(register.applicants) == 2
    if ended == "withdrawn":
        register = replace(stories[1], register=register).when(member_commands.WithdrawApplication(), by="rep-2").register
    else:
        register = taken_in(unfounded().when(rules, by="sam").register).register
        assert not register.applicants
    third = application(lei=lei(3), representatives=(Delegate(person="rep-3", public_key=key_of("rep-3"), proof=PROOF),))
    assert nobody(register, "member/m-3").when(third, by="rep-3").refusal is None


def seated(*delegates: Delegate) -> Story:
    """An applicant whose representative seats people."""
    story = applied(ADA)
    for each in delegates:
        story = story.when(
            member_commands.SeatRepresentative(person=each.person, capacity=each.capacity, public_key=each.public_key, proof=each.proof),
            by="ada",
        )
    return story


def test_on_a_signed_log_nobody_is_seated_without_a_key_and_its_proof() -> None:
    seated(ALAN).followed_by("representative_seated", "key_enrolled")
    seated(Delegate(person="alan")).refused("key_missing")
    seated(ALAN.model_copy(update={"proof": None})).refused("key_not_proven")


def test_who_was_seated_without_a_key_gets_the_first_one_from_who_may_seat_them_and_no_second_one() -> None:
    story = applied(ADA)
    old = RepresentativeSeated(member="helio", person="alan", capacity=Capacity.REPRESENTATIVE, at=START)
    story = story.given(old)
    first = member_commands.SeatRepresentative(person="alan", public_key=key_of("alan"), proof=PROOF)
    story = story.when(first, by="ada").followed_by("key_enrolled")
    second = member_commands.SeatRepresentative(person="alan", public_key=OTHER, proof=PROOF)
    story.when(second, by="ada").refused("key_of_another")
    story.when(second, by="alan").followed_by("key_enrolled")


def test_the_register_names_who_has_a_role_and_no_key() -> None:
    bare = tuple(officer.model_copy(update={"public_key": None, "proof": None}) for officer in OFFICERS)
    assert unfounded().when(founding(bare, None), by="sam").register.without_key() == ("bo", "sam", "sue", "tess")
    story = applied(ADA)
    assert story.register.without_key() == ()
    story = story.given(RepresentativeSeated(member="helio", person="alan", capacity=Capacity.REPRESENTATIVE, at=START))
    assert story.register.without_key() == ("alan",)
    story = story.when(member_commands.UnseatRepresentative(person="alan"), by="ada")
    assert story.register.without_key() == ()


@pytest.mark.parametrize(
    ("by", "rule"),
    [("sam", "seat_not_vacant"), ("bo", "seat_not_vacant"), ("alan", "representative_required"), ("tess", "not_a_representative")],
)
def test_nobody_but_a_representative_gives_a_representative_without_a_key_the_first_one(by: PersonId, rule: str) -> None:
    keyless = RepresentativeSeated(member="helio", person="grace", capacity=Capacity.REPRESENTATIVE, at=START)
    story = applied().given(keyless)
    first = member_commands.SeatRepresentative(person="grace", public_key=OTHER, proof=PROOF)
    story.when(first, by=by).refused(rule)
    assert keys(story, "grace") == frozenset()
    story.when(first, by="ada").followed_by("key_enrolled")


def test_where_no_representative_has_a_key_two_officers_give_one_the_first() -> None:
    story = replace(signed(), register=with_members(signed().register, "helio"))
    recovered = story.when(commands.RecoverKey(person="rep-helio", public_key=OTHER, proof=PROOF), by="sam")
    recovered = recovered.when(commands.ConfirmKeyRecovery(person="rep-helio", public_key=OTHER), by="bo").due()
    recovered.followed_by("key_recovered", "key_enrolled")


def test_who_has_no_role_left_has_no_key_left_and_comes_back_with_the_same_one() -> None:
    story = seated(ALAN).when(member_commands.UnseatRepresentative(person="alan"), by="ada")
    assert [event for event in story.answer if event.kind == "key_revoked"] == [
        KeyRevoked(person="alan", public_key=key_of("alan"), cause="left")
    ]
    back = member_commands.SeatRepresentative(person="alan", public_key=key_of("alan"), proof=PROOF)
    story.when(back, by="ada").followed_by("representative_seated", "key_enrolled")


def test_who_was_unseated_is_seated_again_with_another_key_by_the_same_member_and_by_no_other() -> None:
    story = seated(ALAN).when(member_commands.UnseatRepresentative(person="alan"), by="ada")
    renewed = member_commands.SeatRepresentative(person="alan", public_key=OTHER, proof=PROOF)
    story.when(renewed, by="ada").followed_by("representative_seated", "key_enrolled")
    eve = Delegate(person="eve", public_key=key_of("eve"), proof=PROOF)
    nova = nobody(story.register, "member/nova").when(application(lei=lei(2), representatives=(eve,)), by="eve")
    nova.when(renewed, by="eve").refused("person_taken")


def test_a_representative_enrols_more_keys_by_themselves_and_no_officer_does() -> None:
    register = with_members(signed().register, "helio")
    story = replace(signed(), register=register)
    story.when(enrol("rep-helio", OTHER), by="sam").refused("not_an_officer")
    story.when(enrol("rep-helio", OTHER), by="rep-helio").followed_by("key_enrolled")


def test_the_secretariat_alone_revokes_a_representatives_key_for_them() -> None:
    story = replace(signed(), register=with_members(signed().register, "helio")).when(enrol("rep-helio", OTHER), by="rep-helio")
    story.when(revoke("rep-helio", OTHER), by="bo").refused("office_required")
    story.when(revoke("rep-helio", OTHER), by="sam").then(KeyRevoked(person="rep-helio", public_key=OTHER, cause="revoked"))


def test_the_register_of_a_log_without_these_facts_is_as_it_was() -> None:
    register = note(Register(), KeyEnrolled(person="sam", public_key=OWN))
    assert (register.log_keys, register.release_keys, register.signing, register.ended_keys) == (Map(), Map(), False, Map())
