"""The keys of the consortium itself: those that sign the log, those that sign releases, and how an older log begins to be signed.

| command | by whom | events | refusals |
| --- | --- | --- | --- |
| begin_signing | two of secretariat, treasurer, second signatory, board, who give the same command | act_proposed; then act_seconded, key_revoked… (unproven), key_enrolled…, log_key_enrolled, signing_begun | office_required, signing_begun_already, no_role, holder_named_twice, person_reserved, key_missing, key_taken, key_ended, key_not_proven, same_person, same_organisation (`roles`) |
| enrol_log_key | the same | act_proposed; then act_seconded, log_key_enrolled | office_required, key_taken, key_ended, key_not_proven, same_person, same_organisation (`roles`) |
| revoke_log_key | the same | act_proposed; then act_seconded, log_key_revoked | office_required, last_log_key, same_person, same_organisation (`roles`) |
| enrol_release_key | two of release manager, safety reviewer, board | act_proposed; then act_seconded, release_key_enrolled, release_key_revoked (of the one replaced) | office_required, no_such_key, key_malformed, same_person, same_organisation (`release`), key_taken, key_ended, key_not_proven (`roles`) |
| revoke_release_key | one of these, the secretariat | release_key_revoked | office_required (`release`) |

What the first officer gave waits for a second one who gives exactly the same; another command of the kind takes its place, and so does the same one once the first
officer holds none of these offices any more.

A release on a signed log: manifest_signed by a key that is not enrolled is refused (release_key_unknown, `release`); every stage asks for a signature
by a key that signs releases now, the embargo's end too (stage_refused, release_key_revoked).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.charter import Office
from domain.consortium import commands, events
from domain.consortium.process import CONSORTIUM
from domain.consortium.signing import fingerprint
from domain.consortium.terms import KeyRequest
from domain.kernel import LOG, Command, Event, PublicKey
from domain.register.facts import (
    Capacity,
    KeyEnrolled,
    KeyRevoked,
    LogKeyEnrolled,
    LogKeyRevoked,
    OfficeGranted,
    OfficeRevoked,
    ReleaseKeyEnrolled,
    ReleaseKeyRevoked,
    RepresentativeSeated,
    SigningBegun,
)
from tests.keys import LOG_KEY, PROOF, key_of, p256_key_of, request_of
from tests.stories import START, Story, noted, with_members
from tests.test_key_rules import OFFICERS, founding, keys, signed, unfounded

FURTHER = key_of("the second worker")
ENROL = commands.EnrolLogKey(public_key=FURTHER, proof=PROOF)
REVOKE = commands.RevokeLogKey(public_key=LOG_KEY)


def seconded(story: Story) -> tuple[Event, ...]:
    """What a second officer's command brought about."""
    assert story.refusal is None, story.refusal
    first, *facts = (event for event in story.answer if event.kind != "step_owed")
    assert isinstance(first, events.ActSeconded)
    return tuple(facts)


# ---------------------------------------------------------------- the log's keys


def test_two_officers_enrol_a_key_of_the_log_from_the_second_ones_entry_on() -> None:
    first = signed().when(ENROL, by="sam").followed_by("act_proposed")
    assert first.register.valid_log_keys() == (LOG_KEY,)
    second = first.when(ENROL, by="bo")
    assert seconded(second) == (LogKeyEnrolled(public_key=FURTHER, position=3),)
    assert second.register.valid_log_keys() == (LOG_KEY, FURTHER)
    second.when(ENROL, by="sue").then()
    assert second.register.knows_key(LOG, FURTHER)


def test_two_officers_revoke_one_but_never_the_last() -> None:
    signed().when(REVOKE, by="sam").refused("last_log_key")
    both = signed().when(ENROL, by="sam").when(ENROL, by="bo")
    gone = both.when(REVOKE, by="bo").when(REVOKE, by="tess")
    assert seconded(gone) == (LogKeyRevoked(public_key=LOG_KEY, position=5),)
    assert gone.register.valid_log_keys() == (FURTHER,)
    gone.when(REVOKE, by="sam").then()
    gone.when(commands.EnrolLogKey(public_key=LOG_KEY, proof=PROOF), by="sam").refused("key_ended")


def test_a_checkpoint_is_judged_by_the_keys_as_of_its_size() -> None:
    register = signed().when(ENROL, by="sam").when(ENROL, by="bo").when(REVOKE, by="bo").when(REVOKE, by="tess").register
    assert [register.log_key_at(LOG_KEY, position) for position in (0, 1, 5, 6)] == [False, True, True, False]
    assert [register.log_key_at(FURTHER, position) for position in (2, 3, 6, 99)] == [False, True, True, True]
    assert not register.log_key_at(key_of("eve"), 3)


@pytest.mark.parametrize("command", [ENROL, REVOKE], ids=lambda command: command.kind)
def test_it_takes_two_people_of_different_organisations_in_office(command: Command) -> None:
    story = signed().when(ENROL, by="sam").when(ENROL, by="bo") if command is REVOKE else signed()
    story.when(command, by="eve").refused("office_required")
    first = story.when(command, by="sam")
    first.when(command, by="sam").refused("same_person")
    register = with_members(first.register, "helio")
    seats = [RepresentativeSeated(member="helio", person=person, capacity=Capacity.ALTERNATE, at=START) for person in ("sam", "bo")]
    replace(first, register=noted(register, *seats)).when(command, by="bo").refused("same_organisation")


def test_a_second_officer_who_gives_another_command_is_the_first_one_of_that() -> None:
    other = commands.EnrolLogKey(public_key=key_of("a third worker"), proof=PROOF)
    story = signed().when(ENROL, by="sam").when(other, by="bo").followed_by("act_proposed")
    story.when(ENROL, by="tess").followed_by("act_proposed")
    assert seconded(story.when(other, by="tess")) == (LogKeyEnrolled(public_key=other.public_key, position=4),)


def test_what_an_officer_gave_counts_no_longer_once_they_hold_no_such_office() -> None:
    gone = signed().when(ENROL, by="bo").given(OfficeRevoked(person="bo", office=Office.BOARD))
    story = gone.when(ENROL, by="tess").followed_by("act_proposed")
    assert story.register.valid_log_keys() == (LOG_KEY,)
    assert seconded(story.when(ENROL, by="sam")) == (LogKeyEnrolled(public_key=FURTHER, position=4),)
    elsewhere = gone.given(OfficeGranted(person="bo", office=Office.AUDITOR))
    elsewhere.when(ENROL, by="tess").followed_by("act_proposed")


@pytest.mark.parametrize(
    ("command", "by", "waits"),
    [
        (ENROL, "sam", ("board", "second-signatory", "secretariat", "treasurer")),
        (commands.EnrolReleaseKey(public_key=p256_key_of("release"), proof=PROOF), "bo", ("board", "release-manager", "safety-reviewer")),
    ],
)
def test_whoever_may_second_it_is_waited_for(command: Command, by: str, waits: tuple[str, ...]) -> None:
    def waited_for(story: Story) -> tuple[str, ...]:
        return CONSORTIUM.describe(story.state.state).waits_for

    first = signed().when(command, by=by)
    assert waited_for(first) == tuple(f"office:{office}" for office in waits)
    second = first.given(OfficeGranted(person="sia", office=Office.SAFETY_REVIEWER)).when(command, by="sia" if by == "bo" else "tess")
    assert waited_for(second) == waited_for(signed()) == ()


def test_the_log_has_no_key_of_a_person_and_none_that_is_not_proved() -> None:
    signed().when(commands.EnrolLogKey(public_key=key_of("sam"), proof=PROOF), by="sam").refused("key_taken")
    signed().when(commands.EnrolLogKey(public_key=FURTHER), by="sam").refused("key_not_proven")


# ---------------------------------------------------------------- an older log begins to be signed

BARE = tuple(officer.model_copy(update={"public_key": None, "proof": None}) for officer in OFFICERS)
CEREMONY = commands.BeginSigning(holders=tuple(request_of(officer.person) for officer in OFFICERS), log_key=LOG_KEY, log_key_proof=PROOF)


def old() -> Story:
    """A log of older rules: an officer and a representative have keys that nobody proved."""
    story = unfounded().when(founding(BARE, None), by="sam")
    register = with_members(story.register, "helio")
    unproven = (KeyEnrolled(person="tess", public_key=key_of("whose?")), KeyEnrolled(person="rep-helio", public_key=key_of("rep-helio")))
    return replace(story, register=register).given(*unproven)


def ceremony(**changes: object) -> commands.BeginSigning:
    return CEREMONY.model_copy(update=changes)


def test_two_officers_begin_to_sign_an_older_log_with_keys_that_are_all_proved() -> None:
    first = old().when(CEREMONY, by="sam").followed_by("act_proposed")
    assert not first.register.signing
    second = first.when(CEREMONY, by="tess")
    assert seconded(second) == (
        KeyRevoked(person="rep-helio", public_key=key_of("rep-helio"), cause="unproven"),
        KeyRevoked(person="tess", public_key=key_of("whose?"), cause="unproven"),
        *(KeyEnrolled(person=officer.person, public_key=key_of(officer.person)) for officer in OFFICERS),
        LogKeyEnrolled(public_key=LOG_KEY, position=3),
        SigningBegun(position=3),
    )
    assert (second.register.signing, second.register.signing_since) == (True, 3)
    assert keys(second, "tess") == {key_of("tess")}


def test_a_representative_who_is_named_keeps_the_key_and_who_is_not_gets_one_by_a_recovery() -> None:
    named = ceremony(holders=(*CEREMONY.holders, request_of("rep-helio")))
    story = old().when(named, by="sam").when(named, by="tess")
    assert KeyEnrolled(person="rep-helio", public_key=key_of("rep-helio")) not in story.answer
    assert keys(story, "rep-helio") == {key_of("rep-helio")}
    left_out = old().when(CEREMONY, by="sam").when(CEREMONY, by="tess")
    again = commands.RecoverKey(person="rep-helio", public_key=key_of("rep-helio"), proof=PROOF)
    sure = commands.ConfirmKeyRecovery(person="rep-helio", public_key=key_of("rep-helio"))
    assert keys(left_out.when(again, by="sam").when(sure, by="bo").due(), "rep-helio") == {key_of("rep-helio")}


def test_it_takes_two_different_officers_who_give_the_same() -> None:
    old().when(CEREMONY, by="eve").refused("office_required")
    first = old().when(CEREMONY, by="sam")
    first.when(CEREMONY, by="sam").refused("same_person")
    other = ceremony(log_key=FURTHER)
    first.when(other, by="tess").followed_by("act_proposed").when(CEREMONY, by="bo").followed_by("act_proposed")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"holders": CEREMONY.holders[1:]}, "key_missing"),
        ({"holders": (*CEREMONY.holders, request_of("eve"))}, "no_role"),
        ({"holders": (*CEREMONY.holders, CEREMONY.holders[0])}, "holder_named_twice"),
        ({"holders": (*CEREMONY.holders, request_of("log"))}, "person_reserved"),
        ({"holders": (*CEREMONY.holders[1:], KeyRequest(person="sam", public_key=key_of("sam")))}, "key_not_proven"),
        ({"holders": (*CEREMONY.holders[1:], KeyRequest(person="sam", public_key=key_of("tess"), proof=PROOF))}, "key_taken"),
        ({"log_key": key_of("sam")}, "key_taken"),
        ({"log_key_proof": None}, "key_not_proven"),
    ],
)  # fmt: skip
def test_every_officer_and_the_log_have_a_proved_key_of_their_own(change: dict[str, object], rule: str) -> None:
    old().when(ceremony(**change), by="sam").refused(rule)


def test_a_log_that_is_signed_begins_no_second_time() -> None:
    signed().when(CEREMONY, by="sam").refused("signing_begun_already")


# ---------------------------------------------------------------- release keys

RELEASE, NEXT = p256_key_of("release"), p256_key_of("next")


def with_managers() -> Story:
    story = signed().when(commands.GrantOffice(person="rhea", office=Office.RELEASE_MANAGER), by="sam")
    return story.when(commands.GrantOffice(person="sia", office=Office.SAFETY_REVIEWER), by="sam")


def enrol(key: PublicKey = RELEASE, replaces: PublicKey | None = None) -> commands.EnrolReleaseKey:
    return commands.EnrolReleaseKey(public_key=key, proof=PROOF, replaces=replaces)


def enrolled() -> Story:
    return with_managers().when(enrol(), by="rhea").when(enrol(), by="sia")


def test_a_release_manager_and_a_second_officer_enrol_a_key_for_releases() -> None:
    story = enrolled()
    assert seconded(story) == (ReleaseKeyEnrolled(public_key=RELEASE, fingerprint=fingerprint(RELEASE), position=5),)
    assert story.register.valid_release_keys() == (RELEASE,)
    assert story.register.signs_releases(fingerprint(RELEASE))
    story.when(enrol(), by="bo").then()


def test_a_key_for_releases_is_rotated_in_one_entry() -> None:
    story = enrolled().when(enrol(NEXT, RELEASE), by="rhea").when(enrol(NEXT, RELEASE), by="bo")
    assert seconded(story) == (
        ReleaseKeyEnrolled(public_key=NEXT, fingerprint=fingerprint(NEXT), position=7),
        ReleaseKeyRevoked(public_key=RELEASE, position=7),
    )
    assert story.register.valid_release_keys() == (NEXT,)
    story.when(enrol(), by="rhea").refused("key_ended")


@pytest.mark.parametrize("by", ["rhea", "sia", "bo", "sam"])
def test_one_officer_revokes_it_and_a_repeat_changes_nothing(by: str) -> None:
    revoke = commands.RevokeReleaseKey(public_key=RELEASE)
    story = enrolled().when(revoke, by=by).then(ReleaseKeyRevoked(public_key=RELEASE, position=6))
    assert not story.register.signs_releases(fingerprint(RELEASE))
    story.when(revoke, by=by).then()
    enrolled().when(revoke, by="tess").refused("office_required")


def test_who_may_not_enrol_a_release_key_does_not() -> None:
    with_managers().when(enrol(), by="tess").refused("office_required")
    with_managers().when(enrol(), by="rhea").when(enrol(), by="rhea").refused("same_person")
    with_managers().when(enrol(NEXT, RELEASE), by="rhea").refused("no_such_key")
    with_managers().when(commands.EnrolReleaseKey(public_key=RELEASE), by="rhea").refused("key_not_proven")
    person = replace(with_managers(), register=noted(with_managers().register, KeyEnrolled(person="bo", public_key=RELEASE)))
    person.when(enrol(), by="rhea").refused("key_taken")


def test_a_line_that_holds_no_point_on_the_curve_names_no_release_key() -> None:
    bad = f"ecdsa-sha2-nistp256 {key_of('x').partition(' ')[2]}"
    with_managers().when(enrol(bad), by="rhea").refused("key_malformed")


def test_the_fingerprint_is_of_the_pem_file_that_model_signing_names() -> None:
    private = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"release").digest()), ec.SECP256R1())
    public = private.public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert fingerprint(line) == hashlib.sha256(pem).hexdigest()
