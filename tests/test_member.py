"""Memberships: from the application to the last duty of one who left.

States: unapplied, screening, review, voting, signing, paying, active, suspended, leaving; ended as rejected, lapsed,
withdrawn, left, terminated or expelled.

| command | by whom | events | refusals (besides office_required, not_a_representative, representative_required, service_only, not_in_this_phase) |
| --- | --- | --- | --- |
| apply | a person named in it; on an unsigned log the secretariat too | application_received, legal_entity_named, ownership_declared, representative_seated…, key_enrolled… | handle_taken, handle_too_long, handle_of_a_holder, person_taken, representative_named_twice, representative_missing, key_taken, entity_known, more_than_the_whole, holder_named_twice, holder_known_otherwise (`membership`), unknown_tier (`tiers`), tier_full (`tiers.<tier>`), too_many_applications (`membership.open_applications`), person_reserved (`membership`), and what keeps a key from being enrolled (`test_key_rules`) |
| withdraw_application | a representative | representative_unseated…, key_revoked…, legal_entity_released, application_ended, dues_closed | |
| screening_completed | the service | screening_passed, or screening_hit; member_activated, suspension_lifted, member_reinstated | list_stale (`membership.list_age_days`), list_too_short (`membership.list_entries`), list_ahead (`membership`) |
| judge_screening | a compliance reviewer | screening_judged; as withdraw_application, member_activated, member_suspended, suspension_lifted, member_reinstated | own_case, reason_missing (`membership`) |
| rescreen | the secretariat, a compliance reviewer | screening_started | |
| ask_again | a proposal on which too few voted | admission_asked_again; application_ended after the last time | no_mandate (`decisions`) |
| admit, decline | a passed proposal | applicant_admitted, tier_reserved; as withdraw_application | no_mandate (`decisions`), unknown_tier (`tiers`), tier_full (`tiers.<tier>`) |
| sign_agreement | a representative | agreement_signed | other_agreement (`membership.agreement`), too_late (`membership`) |
| countersign_agreement | the secretariat, the board | agreement_countersigned, dues_invoiced, payment_expected, member_activated where nothing is to be paid | own_case (`membership.agreement`), too_late (`membership`) |
| record_dues_payment | the treasury | dues_paid, bank_reference_used, member_activated, suspension_lifted, member_reinstated | other_currency (`currency`), reference_used, value_date_ahead (`membership`) |
| reverse_dues_payment | the treasury | dues_reversed, bank_reference_used | |
| agree_payment_plan | the treasurer | payment_plan_agreed | plan_too_long (`membership.payment_plan_days`) |
| suspend_for_default, lift_default | the service | member_suspended; suspension_lifted, member_reinstated | |
| seat_representative | a representative; on a vacant seat the secretariat or the board; for a further key of their own the person seated | representative_seated, key_enrolled, seat_vacated, suspension_lifted, member_reinstated | person_taken, key_of_another, seat_not_vacant, second_person_required, too_many_speakers (`membership`), key_taken (`roles`) |
| unseat_representative | the person, a representative, the secretariat | representative_unseated, key_revoked…, seat_vacated | |
| declare_ownership | a representative, the secretariat | ownership_declared, screening_started; or ownership_change_asked | more_than_the_whole, holder_named_twice, holder_known_otherwise (`membership`) |
| confirm_ownership | the secretariat, a compliance reviewer; of an officer's declaration a representative | ownership_declared, screening_started | no_such_declaration, second_person_required, own_case (`membership`) |
| change_tier | a representative | tier_change_asked, tier_reserved | unknown_tier (`tiers`), tier_full (`tiers.<tier>`) |
| give_notice | a representative | departure_begun, member_departing | |
| withdraw_notice | a representative, while the notice runs that it gave, unless dues have climbed the whole ladder since | member_staying | notice_is_final (membership.notice_can_be_withdrawn), no_notice_runs |
| expel | a passed proposal | departure_begun, member_departing | no_mandate (`decisions`) |

| deadline | comes | events |
| --- | --- | --- |
| lapse_application | `application_days` after applying; until the agreement is countersigned, `signing_days` after the admission if that is earlier | as withdraw_application |
| issue_invoice | a year after the last one was due to be issued | tier_changed, dues_invoiced |
| climb_ladder | by default 60, 75, 90 and 105 days after the due date, not while a payment plan runs or a set-off is announced or under way | rung_reached, member_suspended, departure_begun, member_departing (of one on notice with the end of that notice); before each rung set_off_announced where a round owes the member (tests/test_set_off.py) |
| suspend_vacancy | `vacancy_days` after the last representative left | member_suspended |
| end_membership | at the end of the notice, then every `run_off_days` while something is owed or binds it, or a round has not heard of it | member_departed, legal_entity_released, dues_closed; or run_off_continued |

Steps: `screen` (the applicant and its owners), `tell` (the proposal to admit; the rounds and releases of one who leaves; the treasury, when money is not taken), `notify`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from domain import letters
from domain.charter import Office
from domain.consortium import commands as consortium_commands
from domain.consortium.terms import Officer
from domain.kernel import RESERVED, SERVICE, Command, Event, canonical_json, digest_of
from domain.member import commands as member_commands
from domain.member import events as member_events
from domain.member import steps as member_steps
from domain.member.process import MEMBER
from domain.member.terms import Delegate
from domain.money import display
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import (
    BankReferenceUsed,
    Capacity,
    CommitmentBound,
    CommitmentKept,
    DebtStated,
    Holding,
    LeasesHeld,
    LegalEntityNamed,
    MandateGranted,
    MemberDeparted,
    MemberSuspended,
    OfficeGranted,
    OwnershipDeclared,
    RepresentativeSeated,
    Standing,
    TierChanged,
)
from domain.register.state import Register
from domain.stream import NoticeSent, StepDone
from eventstore.entries import Submission, encode_events, encode_json
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from tests.keys import PROOF, key_of
from tests.stories import START, Story, charter, day, founded, noted, with_members

FEE = 50_000_000
"""The founding tier's annual fee in the example charter, in cents."""

TODAY = START.date()
KEY, OTHER_KEY = key_of("ada"), key_of("another")
ADA = Delegate(person="ada", public_key=KEY, proof=PROOF)
ALAN = Delegate(person="alan", capacity=Capacity.ALTERNATE)
OVER = ("representative_unseated", "key_revoked", "representative_unseated", "legal_entity_released", "application_ended")
"""What ends an application: entity and persons are free again, and no key of theirs speaks for them."""
GONE = ("representative_unseated", "key_revoked", "representative_unseated", "legal_entity_released", "member_departed")
"""What ends a membership."""

# ---------------------------------------------------------------- the vocabulary


def lei(number: int) -> str:
    """A Legal Entity Identifier with right check digits."""
    body = f"HELIO{number:013}"
    digits = int("".join(str(int(character, 36)) for character in body) + "00")
    return f"{body}{98 - digits % 97:02}"


def application(**changes: Any) -> member_commands.Apply:
    fields = {"name": "Helio Compute", "lei": lei(1), "country": "CH", "tier": "founding", "representatives": (ADA, ALAN)}
    return member_commands.Apply.model_validate(fields | changes)


def nobody(register: Register | None = None, stream: str = "member/helio") -> Story:
    return Story.of(MEMBER, stream, register or founded())


def applied(register: Register | None = None, **changes: Any) -> Story:
    return nobody(register).when(application(**changes), by="ada")


def screening(
    score: int, match: str = "", number: int = 1, listed: date = date(2026, 11, 1), entries: int = 1_000
) -> member_steps.ScreeningCompleted:
    return member_steps.ScreeningCompleted(
        step=f"screen:{number}", list="UN consolidated", list_digest="a" * 64, list_date=listed, entries=entries, score=score, match=match
    )  # fmt: skip


def hit(story: Story | None = None) -> Story:
    return (story or applied()).when(screening(93, "HELIO COMPUTER LLC"))


def voting(register: Register | None = None, **changes: Any) -> Story:
    return applied(register, **changes).when(screening(12))


def mandated(story: Story, command: Command) -> Story:
    """A vote authorised the command on this stream."""
    granted = MandateGranted(proposal="admit-helio", digest=digest_of(story.stream, command.model_dump(mode="json")))
    return replace(story, register=noted(story.register, granted))


def also(story: Story, *facts: Event) -> Story:
    """Elsewhere on the log this became true."""
    return replace(story, register=noted(story.register, *facts))


def admitted(register: Register | None = None, **changes: Any) -> Story:
    return mandated(voting(register, **changes), member_commands.Admit()).when(member_commands.Admit())


def agreement(story: Story) -> member_commands.SignAgreement:
    return member_commands.SignAgreement(agreement=story.register.charter.membership.agreement)


def signed(register: Register | None = None, **changes: Any) -> Story:
    story = admitted(register, **changes)
    return story.when(agreement(story), by="ada")


def invoiced(register: Register | None = None, **changes: Any) -> Story:
    return signed(register, **changes).when(member_commands.CountersignAgreement(), by="sam")


def payment(amount: int, reference: str = "BANK-1", value_date: date = TODAY, currency: str | None = None) -> letters.RecordDuesPayment:
    return letters.RecordDuesPayment(amount=amount, currency=currency, reference=reference, value_date=value_date)


def member(register: Register | None = None, **changes: Any) -> Story:
    return invoiced(register, **changes).when(payment(FEE))


def standing(story: Story) -> Standing:
    return story.register.members["helio"].standing


def overdue() -> Story:
    """A member whose second year is invoiced and not paid; its due date is day 395."""
    return member().due()


def suspended_for_dues() -> Story:
    return overdue().due().due()


def confirmed() -> Story:
    """A member whom a reviewer found on the list."""
    story = hit_again(member())
    return story.when(member_commands.JudgeScreening(verdict="confirm", reason="same LEI"), by="cora")


def hit_again(story: Story) -> Story:
    return story.when(member_commands.Rescreen(), by="sam").when(screening(97, "HELIO COMPUTE AG", number=2))


# ---------------------------------------------------------------- applying


def test_a_representative_named_in_it_applies_and_the_list_is_asked() -> None:
    story = applied().followed_by(
        "application_received", "legal_entity_named", "ownership_declared", "representative_seated", "key_enrolled", "representative_seated"
    )
    story.owes("screen", "screen:1")
    assert story.phase == "screening"
    assert story.register.speaks_for("ada", "helio")
    assert story.register.speaks_for("alan", "helio")


def test_the_secretariat_applies_for_somebody() -> None:
    nobody().when(application(), by="sam").followed_by(
        "application_received", "legal_entity_named", "ownership_declared", "representative_seated", "key_enrolled", "representative_seated"
    )


@pytest.mark.parametrize("person", ["eve", "tess", "bo", SERVICE])
def test_a_stranger_applies_for_nobody(person: str) -> None:
    nobody().when(application(), by=person).refused("office_required")


def test_a_stranger_who_applies_reads_who_can_give_the_application() -> None:
    refusal = nobody().when(application(), by="eve").refusal
    assert refusal is not None
    assert refusal.message == "eve is not among the representatives that the application names, nor of the secretariat"
    assert "ada, alan" in refusal.remedy


def test_a_command_of_an_office_names_who_holds_it() -> None:
    refusal = signed().when(member_commands.CountersignAgreement(), by="tess").refused("office_required").refusal
    assert refusal is not None
    assert refusal.remedy == "ask a holder of secretariat or board to give this command: bo, sam"


def test_what_is_done_in_another_phase_is_told_where_the_membership_is() -> None:
    stands = {
        "nobody has applied under this handle": nobody(),
        "its application is being screened": applied(),
        "its screening waits for a review": hit(),
        "its admission is voted on in proposal/admit-helio": voting(),
        "it is admitted, and has not signed the agreement": admitted(),
    }
    for words, reached in stands.items():
        turned = reached.when(member_commands.CountersignAgreement(), by="sam").refused("not_in_this_phase").refusal
        assert turned is not None
        assert turned.message == f"{words}; this is done when a representative has signed"
    missing = nobody().when(member_commands.CountersignAgreement(), by="sam").refusal
    assert missing is not None
    assert "`consortium members`" in missing.remedy


@pytest.mark.parametrize(
    "key", ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJb", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJbU", "ssh-ed25519 A=A="]
)
def test_an_application_whose_key_was_pasted_in_part_is_read_for_ever_as_it_was_stored(key: str) -> None:
    """Before rules 7 any text that looked like Base64 was a key."""
    kept = json.loads(encode_events(applied().answer))
    for named in (*kept[0]["representatives"], *(event for event in kept if event["kind"] == "key_enrolled")):
        named["public_key"] = key if named["person"] == "ada" else None
    assert "proof" not in kept[0]["representatives"][0]
    stored = canonical_json(kept)
    assert encode_events(MEMBER.events.validate_json(stored)) == stored
    assert nobody().given(*MEMBER.events.validate_json(stored)).register.people["ada"].keys == {key}


def test_a_handle_is_taken_by_the_first_who_applies_under_it() -> None:
    applied().when(application(lei=lei(2), representatives=(Delegate(person="noor"),)), by="noor").refused("handle_taken")


def test_a_handle_leaves_room_for_the_name_of_its_vote() -> None:
    nobody(stream="member/" + "h" * 57).when(application(), by="ada").owes("screen")
    nobody(stream="member/" + "h" * 58).when(application(), by="ada").refused("handle_too_long")


@pytest.mark.parametrize("person", ["tess", "rep-nova"])
def test_no_application_claims_an_officer_or_another_members_representative(person: str) -> None:
    register = with_members(founded(), "nova")
    nobody(register).when(application(representatives=(ADA, Delegate(person=person))), by="ada").refused("person_taken")


@pytest.mark.parametrize("handle", sorted(RESERVED))
def test_no_application_claims_the_handle_of_what_is_no_person(handle: str) -> None:
    nobody().when(application(representatives=(ADA, Delegate(person=handle))), by="ada").refused("person_reserved")


def test_a_representative_is_named_once() -> None:
    nobody().when(application(representatives=(ADA, ADA)), by="ada").refused("representative_named_twice")


def test_a_legal_entity_applies_once() -> None:
    register = noted(founded(), LegalEntityNamed(member="nova", lei=lei(1)))
    nobody(register).when(application(), by="ada").refused("entity_known")


def test_a_tier_is_one_of_the_charters() -> None:
    nobody().when(application(tier="platinum"), by="ada").refused("unknown_tier")


def test_a_full_tier_takes_nobody_until_a_member_is_gone() -> None:
    register = with_members(founded(charter(tiers__founding__seats=2)), "nova", "orbit")
    nobody(register).when(application(), by="ada").refused("tier_full")
    nobody(register).when(application(tier="partner"), by="ada").owes("screen")
    register = noted(register, MemberDeparted(member="nova", cause="left", at=START))
    nobody(register).when(application(), by="ada").owes("screen")


def test_nobody_owns_more_than_the_whole() -> None:
    holdings = (Holding(holder="sol", fraction=6_000), Holding(holder="luna", fraction=4_001))
    nobody().when(application(holdings=holdings), by="ada").refused("more_than_the_whole")


def test_a_holder_is_named_once() -> None:
    holdings = (Holding(holder="sol", fraction=1_000), Holding(holder="sol", fraction=2_000))
    nobody().when(application(holdings=holdings), by="ada").refused("holder_named_twice")


def test_wrong_check_digits_are_no_legal_entity_identifier() -> None:
    right = lei(1)
    wrong = right[:-1] + str((int(right[-1]) + 1) % 10)
    with pytest.raises(ValidationError, match="check digits"):
        application(lei=wrong)


@pytest.mark.parametrize(
    "name",
    [
        "Ægir Køling ApS",
        "株式会社ヘリオ",
        "شركة هيليو",
        "חברת הליו",
        "ООО «Гелиос»",
        "हेलियो कंप्यूट",
        "می\u200cخواهم",
        "क्\u200dष",
        "Ελλάς",
        "O'Neill <b> & Co.",
    ],
)
def test_a_name_is_kept_in_any_script(name: str) -> None:
    assert MEMBER.describe(applied(name=name).state.state).values["name"] == name


@pytest.mark.parametrize(
    "name",
    [
        "He\u202elio",
        "He\u2066lio",
        "He\u200blio",
        "He\x00lio",
        "He\nlio",
        "He\x1b[31mlio",
        "He\u200dlio",
        "Не\u200dlio",
        "\u200cH",
        " Helio",
        "",
    ],
)
def test_a_name_that_steers_the_display_or_hides_something_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        application(name=name)


def test_a_name_appears_without_its_markup() -> None:
    line = MEMBER.describe(applied(name="<b>Helio</b> [x](y)").state.state).line
    assert "\\<b\\>" in line
    assert "\\[x\\]" in line


def test_an_application_lapses_after_its_days() -> None:
    story = applied().when(member_commands.LapseApplication(), at=day(89)).refused("not_due")
    story = story.due().followed_by(*OVER).owes("notify", "notice:application-lapsed")
    assert story.at == day(90)
    assert story.phase == "lapsed"
    assert story.agenda.deadline is None


@pytest.mark.parametrize("story", [applied(), hit(), voting(), admitted(), signed(), invoiced()], ids=lambda story: story.phase)
def test_an_application_is_taken_back_by_a_representative_at_any_time(story: Story) -> None:
    story.when(member_commands.WithdrawApplication(), by="sam").refused("not_a_representative")
    story.when(member_commands.WithdrawApplication(), by="alan").refused("representative_required")
    story = story.when(member_commands.WithdrawApplication(), by="ada").followed_by(*OVER)
    assert story.phase == "withdrawn"
    assert story.agenda.deadline is None


def test_a_member_withdraws_no_application_but_gives_notice() -> None:
    member().when(member_commands.WithdrawApplication(), by="ada").refused("not_in_this_phase")


# ---------------------------------------------------------------- screening


def test_a_screening_that_finds_nothing_asks_for_the_vote() -> None:
    story = voting().followed_by("step_carried_out", "screening_passed").owes("tell", "tell:admission")
    told = story.state.owed["tell:admission"].data
    assert told["stream"] == "proposal/admit-helio"
    assert told["command"]["motion"] == {
        "stream": "member/helio", "command": {"kind": "admit"}, "otherwise": {"kind": "decline"}, "unanswered": {"kind": "ask_again"},
    }  # fmt: skip
    assert story.phase == "voting"


def test_the_owners_are_screened_with_the_applicant() -> None:
    story = applied(holdings=(Holding(holder="sol-holding", fraction=6_000, lei=lei(9)), Holding(holder="luna", fraction=1)))
    asked = story.state.owed["screen:1"].data
    assert asked["names"] == ["Helio Compute", "sol-holding", "luna"]
    assert (asked["lei"], asked["owner_leis"]) == (lei(1), [lei(9)])


def test_the_title_of_the_vote_is_a_name_however_long_the_applicants_is() -> None:
    story = voting(name="H" * 193 + " Comp")
    title = story.state.owed["tell:admission"].data["command"]["title"]
    assert application(name=title).name == title


@pytest.mark.parametrize(("score", "phase"), [(87, "voting"), (88, "review"), (100, "review")])
def test_a_hit_opens_a_review_from_the_charters_score_on_and_rejects_nobody(score: int, phase: str) -> None:
    assert applied().when(screening(score)).phase == phase


def test_a_hit_waits_for_a_compliance_reviewer() -> None:
    story = hit().followed_by("step_carried_out", "screening_hit").owes("notify", "notice:screening-hit:screen:1")
    assert MEMBER.describe(story.state.state).waits_for == ("office:compliance-reviewer",)


def test_an_agreement_waits_for_the_member_and_then_for_the_secretariat() -> None:
    story = admitted()
    assert MEMBER.describe(story.state.state).waits_for == ("member:helio",)
    story = story.when(agreement(story), by="ada")
    assert MEMBER.describe(story.state.state).waits_for == ("office:secretariat",)


def test_a_cleared_hit_goes_on_to_the_vote() -> None:
    story = (
        hit()
        .when(member_commands.JudgeScreening(verdict="clear", reason="another country, another owner"), by="cora")
        .followed_by("screening_judged")
    )
    story.owes("tell", "tell:admission")
    assert story.phase == "voting"


def test_a_confirmed_hit_rejects_by_a_persons_word() -> None:
    story = (
        hit()
        .when(member_commands.JudgeScreening(verdict="confirm", reason="the same LEI"), by="cora")
        .followed_by("screening_judged", *OVER)
    )
    assert story.phase == "rejected"


@pytest.mark.parametrize("person", ["sam", "bo", "ada", SERVICE])
def test_only_a_compliance_reviewer_judges(person: str) -> None:
    hit().when(member_commands.JudgeScreening(verdict="clear", reason="ours"), by=person).refused("office_required")


def test_no_reviewer_judges_their_own_case() -> None:
    story = also(hit(), OfficeGranted(person="ada", office=Office.COMPLIANCE_REVIEWER))
    story.when(member_commands.JudgeScreening(verdict="clear", reason="it is us"), by="ada").refused("own_case")


def test_a_judgement_has_its_reason() -> None:
    hit().when(member_commands.JudgeScreening(verdict="clear", reason=" \n"), by="cora").refused("reason_missing")


def test_without_a_hit_there_is_nothing_to_judge() -> None:
    voting().when(member_commands.JudgeScreening(verdict="confirm", reason="no"), by="cora").refused("not_in_this_phase")


def test_a_person_gives_no_screening_result() -> None:
    applied().when(screening(0), by="sam").refused("service_only")


def test_a_screening_answered_twice_counts_once() -> None:
    hit().when(screening(0)).then()


# ---------------------------------------------------------------- the vote


@pytest.mark.parametrize("command", [member_commands.Admit(), member_commands.Decline()])
@pytest.mark.parametrize("person", ["sam", "bo", SERVICE])
def test_nobody_is_admitted_or_declined_without_a_vote(command: Command, person: str) -> None:
    voting().when(command, by=person).refused("no_mandate")


def test_the_vote_admits_and_the_agreement_is_to_be_signed() -> None:
    story = admitted().followed_by("mandate_exercised", "applicant_admitted", "tier_reserved").owes("notify", "notice:agreement-to-sign")
    assert story.phase == "signing"
    story.when(member_commands.Admit()).refused("no_mandate")


def test_the_vote_declines() -> None:
    story = mandated(voting(), member_commands.Decline()).when(member_commands.Decline()).followed_by("mandate_exercised", *OVER)
    assert story.phase == "rejected"


def proposed(story: Story, key: str) -> Any:
    """The letter that proposes the admission, and the proposal that it is sent to."""
    data = story.known[key].data
    return data["stream"], data["command"]["motion"]


def asked_again(story: Story, at: datetime) -> Story:
    return mandated(story, member_commands.AskAgain()).when(member_commands.AskAgain(), at=at)


def test_silence_is_no_answer_and_the_members_are_asked_again_as_often_as_the_charter_says() -> None:
    """Three times, and each time the application's 90 days begin anew; then it lapses, and was never turned down."""
    story = voting()
    assert proposed(story, "tell:admission")[0] == "proposal/admit-helio"
    assert proposed(story, "tell:admission")[1]["unanswered"] == {"kind": "ask_again"}
    for asked in (2, 3):
        at = day(8 * (asked - 1))
        story = asked_again(story, at).followed_by("mandate_exercised", "admission_asked_again")
        story.owes("notify", f"notice:admission-asked-again:{asked}")
        assert proposed(story, f"tell:admission:{asked}")[0] == f"proposal/admit-helio-{asked}"
        headline = MEMBER.describe(story.state.state)
        assert (headline.phase, story.agenda.deadline and story.agenda.deadline.at) == ("voting", at + timedelta(days=90))
        assert f"the members decide in proposal/admit-helio-{asked}; too few voted before" in headline.line
    over = asked_again(story, day(24)).followed_by("mandate_exercised", *OVER).owes("notify", "notice:application-lapsed")
    assert over.phase == "lapsed"
    assert admitted_by(story).phase == "signing", "the later vote admits as the first would have"


def admitted_by(story: Story) -> Story:
    return mandated(story, member_commands.Admit()).when(member_commands.Admit())


def test_an_application_whose_time_is_over_is_not_asked_about_again() -> None:
    assert asked_again(voting(), day(90)).followed_by("mandate_exercised", *OVER).phase == "lapsed"


def test_under_a_charter_that_asks_once_silence_turns_an_applicant_down() -> None:
    rules = founded(charter(membership__admission_asks=1))
    motion = proposed(voting(rules), "tell:admission")[1]
    assert (motion["otherwise"], "unanswered" in motion) == ({"kind": "decline"}, False)


def test_nobody_has_the_members_asked_again_without_their_vote() -> None:
    voting().when(member_commands.AskAgain(), by="sam").refused("no_mandate")
    mandated(admitted(), member_commands.AskAgain()).when(member_commands.AskAgain()).followed_by("mandate_exercised")


def test_a_vote_about_an_application_that_was_withdrawn_changes_nothing() -> None:
    story = voting().when(member_commands.WithdrawApplication(), by="ada")
    mandated(story, member_commands.Admit()).when(member_commands.Admit()).followed_by("mandate_exercised")


def test_a_mandate_for_another_applicant_admits_nobody_here() -> None:
    elsewhere = digest_of("member/nova", member_commands.Admit().model_dump(mode="json"))
    also(voting(), MandateGranted(proposal="admit-nova", digest=elsewhere)).when(member_commands.Admit()).refused("no_mandate")


# ---------------------------------------------------------------- the agreement


def test_a_representative_signs_the_agreement_by_its_digest_and_a_repeat_changes_nothing() -> None:
    story = admitted()
    story = story.when(agreement(story), by="ada").then(member_events.AgreementSigned(agreement=agreement(story).agreement, person="ada"))
    story.owes("notify", "notice:agreement-to-countersign").when(agreement(story), by="ada").then()


def test_nobody_signs_another_text() -> None:
    admitted().when(member_commands.SignAgreement(agreement="0" * 64), by="ada").refused("other_agreement")


def test_nobody_signs_for_a_member_that_they_do_not_speak_for() -> None:
    admitted().when(agreement(admitted()), by="sam").refused("not_a_representative")


def test_nobody_signs_before_the_admission() -> None:
    voting().when(agreement(voting()), by="ada").refused("not_in_this_phase")


def test_the_headline_names_who_signs_countersigns_and_pays_next() -> None:
    named = [MEMBER.describe(story.state.state).waits_for for story in (admitted(), signed(), invoiced())]
    assert named == [("member:helio",), ("office:secretariat",), ("member:helio",)]


def test_the_countersignature_waits_for_the_signature() -> None:
    admitted().when(member_commands.CountersignAgreement(), by="sam").refused("not_in_this_phase")


@pytest.mark.parametrize("person", ["sam", "bo"])
def test_the_secretariat_or_the_board_countersigns_and_the_dues_are_invoiced(person: str) -> None:
    story = (
        signed()
        .when(member_commands.CountersignAgreement(), by=person)
        .followed_by("agreement_countersigned", "dues_invoiced", "payment_expected")
    )
    assert story.owes("notify", "notice:dues-invoiced:1").phase == "paying"


def test_a_treasurer_countersigns_nothing() -> None:
    signed().when(member_commands.CountersignAgreement(), by="tess").refused("office_required")


def test_nobody_countersigns_what_they_signed_nor_for_a_member_that_they_speak_for() -> None:
    story = also(signed(), *(OfficeGranted(person=person, office=Office.BOARD) for person in ("ada", "alan")))
    story.when(member_commands.CountersignAgreement(), by="ada").refused("own_case")
    story.when(member_commands.CountersignAgreement(), by="alan").refused("own_case")


@pytest.mark.parametrize("story", [admitted(), signed()], ids=["unsigned", "not countersigned"])
def test_an_agreement_that_is_not_signed_in_time_lapses_the_application(story: Story) -> None:
    deadline = story.agenda.deadline
    assert deadline is not None
    assert deadline.at == day(30)
    assert story.due().phase == "lapsed"


def test_a_late_admission_does_not_outlive_the_application() -> None:
    story = replace(voting(), at=day(80))
    deadline = mandated(story, member_commands.Admit()).when(member_commands.Admit()).agenda.deadline
    assert deadline is not None
    assert deadline.at == day(90)


def test_whoever_owes_no_dues_is_a_member_at_once() -> None:
    register = founded(charter(tiers__associate__annual_fee=0))
    story = invoiced(register, tier="associate")
    assert story.followed_by("agreement_countersigned", "dues_invoiced", "member_activated").phase == "active"


@pytest.mark.parametrize(
    ("story", "command", "by", "at"),
    [(admitted(), agreement(admitted()), "ada", 30), (signed(), member_commands.CountersignAgreement(), "sam", 30)],
    ids=["signature", "countersignature"],
)
def test_nothing_is_signed_after_its_time_even_if_the_end_is_late(story: Story, command: Command, by: str, at: int) -> None:
    story.when(command, by=by, at=day(at)).refused("too_late")


def test_an_admission_after_the_applications_time_finds_it_lapsed() -> None:
    story = mandated(voting(), member_commands.Admit()).when(member_commands.Admit(), at=day(90)).followed_by("mandate_exercised", *OVER)
    assert story.phase == "lapsed"


# ---------------------------------------------------------------- dues


def test_a_member_has_its_rights_when_the_first_dues_are_paid() -> None:
    story = member().followed_by("dues_paid", "bank_reference_used", "member_activated").owes("notify", "notice:member-active")
    known = story.register.members["helio"]
    assert (known.standing, known.tier, known.country, known.name) == (Standing.ACTIVE, "founding", "CH", "Helio Compute")


def test_a_part_of_the_dues_makes_no_member_and_the_rest_does() -> None:
    story = invoiced().when(payment(FEE - 1)).followed_by("dues_paid", "bank_reference_used")
    assert story.phase == "paying"
    assert story.when(payment(1, "BANK-2")).phase == "active"


def test_what_is_paid_too_much_is_used_by_the_next_invoice() -> None:
    story = invoiced().when(payment(FEE + 700)).due()
    (issued,) = story.followed_by("dues_invoiced").answer[:1]
    assert issued.model_dump(include={"amount", "credit_used"}) == {"amount": FEE, "credit_used": 700}
    assert story.state.owed["notice:dues-invoiced:2"].data["facts"]["amount"] == display(FEE - 700, charter().currency)
    assert story.when(payment(FEE - 700, "BANK-2")).state.state.dues.open == ()


def test_two_years_paid_at_once_owe_nothing_next_year() -> None:
    story = invoiced().when(payment(2 * FEE)).due()
    dues = story.followed_by("dues_invoiced").state.state.dues
    assert (dues.open, dues.credit) == ((), 0)
    assert "notice:dues-invoiced:2" not in story.state.owed


def test_one_payment_settles_the_oldest_invoice_first() -> None:
    story = overdue().when(member_commands.AgreePaymentPlan(until=day(546)), by="tess", at=day(366))
    story = story.when(member_commands.AgreePaymentPlan(until=day(725)), by="tess", at=day(545)).due().followed_by("dues_invoiced")
    story = story.when(payment(FEE + 5, "BANK-2"))
    (paid,) = story.answer[:1]
    assert paid.model_dump(mode="json")["settled"] == {"2": FEE, "3": 5}


def test_a_movement_on_the_account_is_booked_once_on_the_whole_log() -> None:
    invoiced().when(payment(5)).when(payment(5)).refused("reference_used")
    also(invoiced(), BankReferenceUsed(reference="BANK-1", source="round/atlas-1")).when(payment(5)).refused("reference_used")


def test_the_books_are_kept_in_one_currency() -> None:
    invoiced().when(payment(FEE, currency="EUR")).refused("other_currency")
    invoiced().when(payment(FEE, currency="USD")).followed_by("dues_paid", "bank_reference_used", "member_activated")


def test_money_is_recorded_when_it_has_arrived() -> None:
    invoiced().when(payment(FEE, value_date=day(1).date())).refused("value_date_ahead")


@pytest.mark.parametrize("person", ["sam", "ada", "bo", "tess"])
def test_only_the_treasury_records_money(person: str) -> None:
    invoiced().when(payment(FEE), by=person).refused("service_only")
    invoiced().when(letters.ReverseDuesPayment(amount=1, reference="BANK-2", original="BANK-1"), by=person).refused("service_only")


def test_money_that_comes_before_the_invoice_is_turned_away_to_the_treasury() -> None:
    story = signed().when(payment(FEE, "LINE-1")).then()
    (step,) = (owed for owed in story.steps if owed.kind == "tell" and owed.data["stream"] == "treasury/main")
    assert step.data["command"]["kind"] == "turn_away_payment"
    assert step.data["command"]["line"] == "LINE-1"
    signed().when(payment(FEE), by="tess").refused("service_only")


@pytest.mark.parametrize("end", ["left", "withdrawn"])
def test_money_that_comes_after_the_end_is_turned_away_to_the_treasury(end: End) -> None:
    story = ENDS[end].when(payment(5, "BANK-9")).then()
    assert any(owed.kind == "tell" and owed.data["stream"] == "treasury/main" for owed in story.steps)


def test_an_invoice_issues_the_reference_that_its_payment_is_known_by() -> None:
    reference = creditor_reference("member/helio", "helio")
    story = invoiced()
    assert story.register.expected[reference].stream == "member/helio"
    assert story.state.owed["notice:dues-invoiced:1"].data["facts"]["reference"] == shown_reference(reference)


def undone(amount: int, reference: str = "BACK-1", original: str = "BANK-1") -> letters.ReverseDuesPayment:
    return letters.ReverseDuesPayment(amount=amount, reference=reference, original=original)


def test_a_payment_that_the_bank_takes_back_is_owed_again() -> None:
    story = member().when(undone(FEE)).followed_by("dues_reversed", "bank_reference_used")
    (invoice,) = story.state.state.dues.open
    assert (invoice.number, invoice.amount, invoice.paid) == (2, FEE, 0)
    assert story.when(undone(FEE)).then().when(payment(FEE, "BANK-2")).state.state.dues.open == ()


def test_a_payment_that_a_member_takes_back_is_an_invoice_beside_those_that_are_open() -> None:
    story = member().due().when(undone(FEE))
    assert [(invoice.number, invoice.amount) for invoice in story.state.state.dues.open] == [(2, FEE), (3, FEE)]


def test_a_payment_taken_back_takes_the_credit_first() -> None:
    story = invoiced().when(payment(FEE + 700)).when(undone(FEE + 700))
    assert story.state.state.dues.credit == 0
    assert [invoice.amount for invoice in story.state.state.dues.open] == [FEE]


def test_a_payment_taken_back_that_no_invoice_had_used_leaves_nothing_owed_and_the_notice_says_so() -> None:
    story = invoiced().when(payment(FEE)).when(payment(700, "BANK-2")).when(undone(700, original="BANK-2"))
    assert (story.state.state.dues.credit, story.state.state.dues.open) == (0, ())
    told = story.known["notice:dues-reversed:BACK-1"].data
    assert (told["template"], told["facts"]["amount"]) == ("dues-reversed-nothing-owed", display(700, charter().currency))


def test_a_first_payment_taken_back_waits_for_the_first_dues_again() -> None:
    story = invoiced().when(payment(FEE - 1)).when(undone(FEE - 1)).followed_by("dues_reversed", "bank_reference_used")
    assert story.phase == "paying"
    assert story.when(payment(FEE - 1, "BANK-2")).phase == "paying"
    assert story.when(payment(FEE, "BANK-2")).phase == "active"


def test_a_reversal_of_what_was_never_booked_here_goes_to_a_person() -> None:
    story = member().when(undone(FEE, original="ELSEWHERE")).then()
    assert any(owed.data.get("command", {}).get("kind") == "turn_away_payment" for owed in story.steps)


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1])
def test_a_payment_is_a_positive_amount_within_reason(amount: int) -> None:
    with pytest.raises(ValidationError):
        payment(amount)


def test_the_dues_are_invoiced_every_year() -> None:
    story = member().when(member_commands.IssueInvoice(), at=day(364)).refused("not_due")
    for year in (1, 2, 3):
        story = story.due().followed_by("dues_invoiced").owes("notify", f"notice:dues-invoiced:{year + 1}")
        assert story.at == day(365 * year)
        story = story.when(payment(FEE, f"BANK-{year + 1}"))
    story.when(member_commands.IssueInvoice(), by="sam").refused("service_only")


def test_an_invoice_that_came_late_moves_no_later_one() -> None:
    story = member().when(member_commands.IssueInvoice(), at=day(375)).followed_by("dues_invoiced")
    assert story.state.state.dues.open[0].due_at == day(375 + 30)
    assert story.when(payment(FEE, "BANK-2")).due().at == day(730)


def test_the_first_dues_that_never_come_lapse_the_application() -> None:
    assert invoiced().due().phase == "lapsed"


# ---------------------------------------------------------------- the good-standing ladder


def test_overdue_dues_climb_the_ladder_rung_by_rung() -> None:
    story = overdue()
    rungs = []
    for _ in range(4):
        story = story.due()
        rungs.append((story.at, story.answer[0].model_dump()["rung"], standing(story)))
    due = 365 + 30
    assert rungs == [
        (day(due + 60), "notice", Standing.ACTIVE),
        (day(due + 75), "suspended", Standing.SUSPENDED),
        (day(due + 90), "termination-notice", Standing.SUSPENDED),
        (day(due + 105), "terminated", Standing.LEAVING),
    ]  # fmt: skip
    story = story.due().followed_by(*GONE, "dues_closed")
    assert story.phase == "terminated"
    assert story.state.state.unpaid == FEE
    assert standing(story) is Standing.GONE


def test_each_rung_is_told_once() -> None:
    story = overdue()
    for rung in ("notice", "suspended", "termination-notice", "terminated"):
        story = story.due().owes("notify", f"notice:dues-{rung}:2")


def test_the_ladder_climbs_when_it_is_time_and_by_the_service() -> None:
    overdue().when(member_commands.ClimbLadder(), at=day(395 + 59)).refused("not_due")
    overdue().when(member_commands.ClimbLadder(), by="tess", at=day(395 + 60)).refused("service_only")


def test_whoever_owes_nothing_climbs_nowhere() -> None:
    member().when(member_commands.ClimbLadder(), at=day(300)).then()


def test_paying_gives_back_exactly_the_former_rights() -> None:
    before = member().register.members["helio"]
    story = suspended_for_dues().when(payment(FEE, "BANK-2"))
    story.followed_by("dues_paid", "bank_reference_used", "suspension_lifted", "member_reinstated")
    assert story.register.members["helio"] == before


def test_paying_a_part_gives_back_nothing_and_stops_nothing() -> None:
    story = suspended_for_dues().when(payment(FEE - 1, "BANK-2")).followed_by("dues_paid", "bank_reference_used")
    assert standing(story.due().due()) is Standing.LEAVING


def test_whoever_paid_starts_at_the_foot_of_the_ladder_next_year() -> None:
    story = suspended_for_dues().when(payment(FEE, "BANK-2")).due().followed_by("dues_invoiced").due()
    assert story.followed_by("rung_reached").at == day(730 + 30 + 60)


def test_paying_gives_no_rights_back_while_another_cause_stands() -> None:
    story = suspended_for_dues().when(letters.SuspendForDefault(source="round/atlas-1"))
    story = story.when(payment(FEE, "BANK-2")).followed_by("dues_paid", "bank_reference_used", "suspension_lifted")
    assert standing(story) is Standing.SUSPENDED
    story = story.when(letters.LiftDefault(source="round/atlas-1")).followed_by("suspension_lifted", "member_reinstated")
    assert standing(story) is Standing.ACTIVE


def test_a_payment_plan_stops_the_clock() -> None:
    story = (
        overdue().due().when(member_commands.AgreePaymentPlan(until=day(500)), by="tess", at=day(460)).followed_by("payment_plan_agreed")
    )
    assert story.due().at == day(395 + 75 + 40)


def test_a_plan_agreed_again_stops_the_clock_once_and_another_one_replaces_it() -> None:
    plan = member_commands.AgreePaymentPlan(until=day(500))
    story = overdue().due().when(plan, by="tess", at=day(460)).followed_by("payment_plan_agreed")
    story.when(plan, by="tess", at=day(470)).then()
    longer = story.when(member_commands.AgreePaymentPlan(until=day(520)), by="tess", at=day(470))
    shorter = story.when(member_commands.AgreePaymentPlan(until=day(480)), by="tess", at=day(470))
    assert (longer.due().at, shorter.due().at) == (day(395 + 75 + 60), day(395 + 75 + 20))


def test_no_rung_is_reached_while_a_plan_runs_however_late_the_one_before_it_came() -> None:
    story = overdue().when(member_commands.AgreePaymentPlan(until=day(500)), by="tess", at=day(470))
    assert story.due().at == day(500)


@pytest.mark.parametrize("until", [460, 459, 460 + 181])
def test_a_plan_ends_after_now_and_within_the_charters_days(until: int) -> None:
    overdue().when(member_commands.AgreePaymentPlan(until=day(until)), by="tess", at=day(460)).refused("plan_too_long")


def test_only_the_treasurer_agrees_a_plan_and_only_about_what_is_owed() -> None:
    overdue().when(member_commands.AgreePaymentPlan(until=day(400)), by="ada").refused("office_required")
    member().when(member_commands.AgreePaymentPlan(until=day(30)), by="tess").refused("not_in_this_phase")


def test_a_shorter_plan_makes_nothing_overdue_before_it_is_due() -> None:
    story = overdue().when(member_commands.AgreePaymentPlan(until=day(546)), by="tess", at=day(366))
    story = story.when(member_commands.AgreePaymentPlan(until=day(724)), by="tess", at=day(545))
    story = story.when(member_commands.AgreePaymentPlan(until=day(900)), by="tess", at=day(723)).due().followed_by("dues_invoiced")
    story = story.when(member_commands.AgreePaymentPlan(until=day(745)), by="tess", at=day(740)).followed_by("payment_plan_agreed")
    (agreed,) = story.answer
    assert agreed.model_dump()["overdue_from"] == {"2": day(395 + 745 - 366), "3": day(760)}
    assert story.when(payment(FEE, "BANK-2"), at=day(741)).due().followed_by("rung_reached").at == day(760 + 60)


def test_a_plan_of_the_time_before_its_dates_were_kept_moves_all_invoices_alike() -> None:
    story = overdue().given(member_events.PaymentPlanAgreed(agreed_at=day(400), until=day(410)))
    assert story.state.state.dues.open[0].overdue_from == day(395 + 10)


def test_a_member_that_paid_what_suspended_it_has_its_rights_though_a_later_invoice_is_open() -> None:
    story = suspended_for_dues().when(member_commands.AgreePaymentPlan(until=day(649)), by="tess")
    story = story.when(member_commands.AgreePaymentPlan(until=day(645 + 180)), by="tess", at=day(648)).due().followed_by("dues_invoiced")
    story = story.when(payment(FEE - 1, "BANK-2"), at=day(731)).followed_by("dues_paid", "bank_reference_used")
    assert standing(story) is Standing.SUSPENDED
    story = story.when(payment(1, "BANK-3"))
    story.followed_by("dues_paid", "bank_reference_used", "suspension_lifted", "member_reinstated")
    assert story.state.state.dues.owed == FEE


def test_a_later_invoice_that_is_overdue_for_as_long_keeps_the_member_suspended() -> None:
    story = suspended_for_dues().when(member_commands.AgreePaymentPlan(until=day(649)), by="tess")
    story = story.when(member_commands.AgreePaymentPlan(until=day(645 + 180)), by="tess", at=day(648)).due()
    story.when(payment(FEE, "BANK-2"), at=day(760 + 75)).followed_by("dues_paid", "bank_reference_used")


# ---------------------------------------------------------------- defaults of a round


def test_a_default_suspends_until_it_is_mended_and_repeats_change_nothing() -> None:
    default, mended = letters.SuspendForDefault(source="round/atlas-1"), letters.LiftDefault(source="round/atlas-1")
    before = member().register.members["helio"]
    story = member().when(default).then(MemberSuspended(member="helio", cause="default-atlas-1"))
    assert story.phase == "suspended"
    story = story.when(default).then()
    story = story.when(mended).followed_by("suspension_lifted", "member_reinstated")
    assert story.register.members["helio"] == before
    story.when(mended).then()


def test_the_default_of_one_round_is_not_mended_by_another() -> None:
    story = member().when(letters.SuspendForDefault(source="round/atlas-1")).when(letters.SuspendForDefault(source="round/atlas-2"))
    story = story.when(letters.LiftDefault(source="round/atlas-1")).followed_by("suspension_lifted")
    assert standing(story) is Standing.SUSPENDED


def test_a_round_of_any_name_can_report_a_default() -> None:
    member().when(letters.SuspendForDefault(source="round/" + "a" * 55 + "-" + "b" * 8)).followed_by("member_suspended")
    with pytest.raises(ValidationError):
        letters.SuspendForDefault(source="round/-a")


def test_the_defaults_of_rounds_with_long_and_like_names_are_told_apart() -> None:
    one, two = "round/" + "a" * 57 + "-1", "round/" + "a" * 57 + "-2"
    story = member().when(letters.SuspendForDefault(source=one)).when(letters.SuspendForDefault(source=two)).followed_by("member_suspended")
    assert standing(story.when(letters.LiftDefault(source=one))) is Standing.SUSPENDED
    assert standing(story.when(letters.LiftDefault(source=one)).when(letters.LiftDefault(source=two))) is Standing.ACTIVE


@pytest.mark.parametrize("command", [letters.SuspendForDefault(source="round/a"), letters.LiftDefault(source="round/a")])
def test_nobody_but_a_round_reports_a_default(command: Command) -> None:
    member().when(command, by="tess").refused("service_only")


# ---------------------------------------------------------------- representatives


def test_a_member_seats_and_unseats_who_speaks_for_it() -> None:
    story = (
        member()
        .when(member_commands.SeatRepresentative(person="grace", public_key=OTHER_KEY, proof=PROOF), by="ada")
        .followed_by("representative_seated", "key_enrolled")
    )
    story = story.when(member_commands.UnseatRepresentative(person="ada"), by="grace", at=day(10)).followed_by(
        "representative_unseated", "key_revoked"
    )
    assert not story.register.speaks_for("ada", "helio")
    assert [term.person for term in story.register.representatives("helio", day(9))] == ["ada", "grace", "alan"]
    assert [term.person for term in story.register.representatives("helio", day(10))] == ["grace", "alan"]


def test_a_key_that_speaks_for_somebody_else_seats_nobody() -> None:
    member().when(member_commands.SeatRepresentative(person="grace", public_key=KEY, proof=PROOF), by="ada").refused("key_taken")
    both = (ADA, Delegate(person="alan", public_key=KEY, proof=PROOF))
    nobody().when(application(representatives=both), by="ada").refused("key_taken")


def test_who_is_unseated_by_another_hears_of_it_himself() -> None:
    story = member().when(member_commands.UnseatRepresentative(person="ada"), by="sam")
    (told,) = (step.data["to"] for step in story.steps if step.key.startswith("notice:unseated:ada"))
    assert told == ["ada", "member:helio"]
    resigned = member().when(member_commands.UnseatRepresentative(person="ada"), by="ada")
    assert not any(step.key.startswith("notice:unseated") for step in resigned.steps)


def test_seating_or_unseating_somebody_again_changes_nothing() -> None:
    member().when(member_commands.SeatRepresentative(person="ada", public_key=KEY, proof=PROOF), by="ada").then()
    member().when(member_commands.SeatRepresentative(person="alan", capacity=Capacity.ALTERNATE), by="sam").then()
    member().when(member_commands.UnseatRepresentative(person="eve"), by="sam").then()


def test_an_alternate_becomes_a_representative() -> None:
    story = member()
    story.when(member_commands.SeatRepresentative(person="alan"), by="ada").then(
        RepresentativeSeated(member="helio", person="alan", capacity=Capacity.REPRESENTATIVE, at=story.at)
    )


@pytest.mark.parametrize("person", ["tess", "bo"])
def test_no_officer_is_seated_for_a_member(person: str) -> None:
    member().when(member_commands.SeatRepresentative(person=person), by="ada").refused("person_taken")


@pytest.mark.parametrize(
    "command",
    [
        member_commands.SeatRepresentative(person="eve"),
        member_commands.UnseatRepresentative(person="ada"),
        member_commands.DeclareOwnership(holdings=()),
    ],
)
def test_a_stranger_changes_nothing_about_a_member(command: Command) -> None:
    member().when(command, by="eve").refused("not_a_representative")


def silent() -> Story:
    """A member without a representative since day 5, when the secretariat unseated the only one; its alternate stayed."""
    return replace(member(), at=day(5)).when(member_commands.UnseatRepresentative(person="ada"), by="sam")


def test_the_last_representative_leaves_a_seat_that_must_be_filled_in_time() -> None:
    story = silent().followed_by("representative_unseated", "key_revoked", "seat_vacated")
    story = story.when(member_commands.SuspendVacancy(), at=day(34)).refused("not_due")
    story = story.due().then(MemberSuspended(member="helio", cause="vacancy"))
    assert story.at == day(35)
    story = story.when(member_commands.SeatRepresentative(person="grace"), by="bo")
    story.followed_by("representative_seated", "suspension_lifted", "member_reinstated")
    assert standing(story) is Standing.ACTIVE


def test_a_seat_filled_in_time_suspends_nobody() -> None:
    story = silent().when(member_commands.SeatRepresentative(person="grace"), by="bo", at=day(20)).followed_by("representative_seated")
    story.when(member_commands.SuspendVacancy(), at=day(35)).then()
    assert story.due().followed_by("dues_invoiced").at == day(365)


def test_every_vacancy_is_told() -> None:
    story = silent().due()
    first = {key for key in story.state.owed if key.startswith("notice:seat-vacant:")}
    story = (
        story.when(member_commands.SeatRepresentative(person="grace"), by="bo")
        .when(member_commands.UnseatRepresentative(person="grace"), by="grace")
        .due()
    )
    assert len({key for key in story.state.owed if key.startswith("notice:seat-vacant:")} - first) == 1


def test_an_applicant_for_whom_nobody_speaks_any_more_becomes_a_member_with_a_vacant_seat() -> None:
    story = (
        invoiced().when(member_commands.UnseatRepresentative(person="ada"), by="ada").followed_by("representative_unseated", "key_revoked")
    )
    story = story.when(payment(FEE))
    story.followed_by("dues_paid", "bank_reference_used", "member_activated", "seat_vacated").due().followed_by("member_suspended")


def test_an_alternate_speaks_for_a_member_day_by_day_but_changes_nothing_about_it() -> None:
    commands: list[Command] = [
        member_commands.SeatRepresentative(person="grace"), member_commands.UnseatRepresentative(person="ada"), member_commands.DeclareOwnership(holdings=()),
        member_commands.ChangeTier(tier="partner"), member_commands.GiveNotice(),
    ]  # fmt: skip
    for command in commands:
        member().when(command, by="alan").refused("representative_required")
    story = admitted()
    story.when(agreement(story), by="alan").refused("representative_required")
    assert member().register.speaks_for("alan", "helio")
    member().when(member_commands.UnseatRepresentative(person="alan"), by="alan").followed_by("representative_unseated")


def test_alternates_alone_make_no_application() -> None:
    nobody().when(application(representatives=(ALAN,)), by="alan").refused("representative_missing")


def test_a_further_key_is_enrolled_by_whose_it_is_and_nobody_else() -> None:
    more = member_commands.SeatRepresentative(person="ada", public_key=OTHER_KEY, proof=PROOF)
    member().when(more, by="alan").refused("key_of_another")
    member().when(more, by="sam").refused("key_of_another")
    two = member().when(member_commands.SeatRepresentative(person="grace"), by="ada")
    two.when(more, by="grace").refused("key_of_another")
    member().when(more, by="ada").followed_by("key_enrolled").when(more, by="ada").then()
    own = member_commands.SeatRepresentative(person="alan", capacity=Capacity.ALTERNATE, public_key=OTHER_KEY, proof=PROOF)
    member().when(own, by="alan").followed_by("key_enrolled")


@pytest.mark.parametrize("officer", ["sam", "bo"])
def test_an_officer_seats_nobody_on_a_member_that_has_a_representative(officer: str) -> None:
    member().when(member_commands.SeatRepresentative(person="sock", public_key=OTHER_KEY, proof=PROOF), by=officer).refused(
        "seat_not_vacant"
    )
    member().when(member_commands.SeatRepresentative(person="alan"), by=officer).refused("seat_not_vacant")


def test_who_vacated_a_seat_does_not_fill_it() -> None:
    sock = member_commands.SeatRepresentative(person="sock", public_key=OTHER_KEY, proof=PROOF)
    silent().when(sock, by="sam").refused("second_person_required")
    silent().when(sock, by="alan").refused("representative_required")
    silent().when(sock, by="bo").followed_by("representative_seated", "key_enrolled")
    resigned = (
        member()
        .when(member_commands.UnseatRepresentative(person="ada"), by="ada")
        .followed_by("representative_unseated", "key_revoked", "seat_vacated")
    )
    resigned.when(member_commands.SeatRepresentative(person="grace"), by="sam").followed_by("representative_seated")


def test_an_alternate_fills_no_vacant_seat_and_a_representative_made_one_leaves_it() -> None:
    story = (
        silent()
        .when(member_commands.SeatRepresentative(person="grace", capacity=Capacity.ALTERNATE), by="bo")
        .followed_by("representative_seated")
    )
    story.due().then(MemberSuspended(member="helio", cause="vacancy"))
    stepped_back = member().when(member_commands.SeatRepresentative(person="ada", capacity=Capacity.ALTERNATE), by="ada")
    stepped_back.followed_by("representative_seated", "seat_vacated")


def test_a_representative_who_holds_an_office_changes_their_capacity_too() -> None:
    story = also(member(), OfficeGranted(person="alan", office=Office.BOARD))
    story.when(member_commands.SeatRepresentative(person="alan"), by="ada").followed_by("representative_seated")


def test_the_key_of_a_person_without_any_role_left_is_revoked() -> None:
    story = silent()
    assert story.register.people["ada"].keys == frozenset()
    officer = also(member(), OfficeGranted(person="ada", office=Office.BOARD)).when(
        member_commands.UnseatRepresentative(person="ada"), by="sam"
    )
    assert officer.followed_by("representative_unseated", "seat_vacated").register.people["ada"].keys == frozenset({KEY})


def test_only_so_many_persons_speak_for_a_member() -> None:
    story = member()
    for number in range(28):
        story = story.when(member_commands.SeatRepresentative(person=f"rep-{number}"), by="ada").followed_by("representative_seated")
    story.when(member_commands.SeatRepresentative(person="rep-28"), by="ada").refused("too_many_speakers")


# ---------------------------------------------------------------- ownership


def test_more_than_half_of_a_company_shares_its_holders_seat() -> None:
    story = member(with_members(founded(), "nova"))
    half = (Holding(holder="nova", fraction=5_000),)
    control = (Holding(holder="nova", fraction=5_001),)
    story = story.when(member_commands.DeclareOwnership(holdings=half), by="ada").followed_by("ownership_declared", "screening_started")
    assert story.register.seat_of("helio") == "helio"
    story = story.when(member_commands.DeclareOwnership(holdings=control), by="ada").followed_by("ownership_change_asked")
    story = story.when(member_commands.ConfirmOwnership(holdings=control), by="cora").followed_by("ownership_declared")
    assert story.register.related("nova") == ("helio", "nova")
    assert len(story.register.seats()) == 1


def test_sisters_under_a_parent_that_is_no_member_share_a_seat() -> None:
    register = noted(with_members(founded(), "nova"), OwnershipDeclared(member="nova", holdings=(Holding(holder="sol", fraction=9_000),)))
    story = member(register, holdings=(Holding(holder="sol", fraction=5_001),))
    assert story.register.seat_of("helio") == story.register.seat_of("nova")
    assert len(story.register.seats()) == 1


def test_ownership_declared_again_changes_nothing() -> None:
    member().when(member_commands.DeclareOwnership(holdings=()), by="ada").then()


def test_a_declaration_adds_up() -> None:
    whole = Holding(holder="sol", fraction=10_000)
    member().when(member_commands.DeclareOwnership(holdings=(whole, Holding(holder="luna", fraction=1))), by="ada").refused(
        "more_than_the_whole"
    )
    part = Holding(holder="sol", fraction=1)
    member().when(member_commands.DeclareOwnership(holdings=(part, part)), by="ada").refused("holder_named_twice")


def test_what_an_applicant_declares_binds_no_members_to_each_other() -> None:
    birch = OwnershipDeclared(member="birch", holdings=(Holding(holder="sol", fraction=6_000),))
    register = noted(with_members(founded(), "amber", "birch"), birch)
    story = applied(register, holdings=(Holding(holder="amber", fraction=4_000), Holding(holder="sol", fraction=6_000)))
    assert len(story.register.seats()) == 2
    assert (story.register.seat_of("helio"), story.register.seat_of("birch")) == ("birch", "birch")
    assert "helio" not in story.register.related("birch")
    story = story.when(member_commands.WithdrawApplication(), by="ada")
    assert len(story.register.seats()) == 2
    assert "helio" not in story.register.holdings


def test_who_left_is_related_to_nobody_by_what_it_declared() -> None:
    story = member(with_members(founded(), "nova"), holdings=(Holding(holder="nova", fraction=5_001),))
    assert story.register.related("nova") == ("helio", "nova")
    assert leaving(story).due().register.related("nova") == ("nova",)


def test_the_handle_of_a_declared_holder_is_that_entitys_own() -> None:
    def held(**known: str) -> Register:
        held = OwnershipDeclared(member="birch", holdings=(Holding(holder="helio", fraction=6_000, **known),))
        return noted(with_members(founded(), "amber", "birch"), held)

    nobody(held()).when(application(), by="ada").refused("handle_of_a_holder")
    nobody(held(lei=lei(2))).when(application(), by="ada").refused("handle_of_a_holder")
    story = member(held(lei=lei(1)))
    assert story.register.related("birch") == ("birch", "helio")


def test_a_holder_has_one_name_here() -> None:
    register = noted(with_members(founded(), "nova"), LegalEntityNamed(member="nova", lei=lei(2)))
    alias = (Holding(holder="nova-holding", fraction=6_000, lei=lei(2)),)
    nobody(register).when(application(holdings=alias), by="ada").refused("holder_known_otherwise")
    member(register).when(member_commands.DeclareOwnership(holdings=alias), by="ada").refused("holder_known_otherwise")


def owned() -> Story:
    """A member that shares a seat with its owner."""
    return member(with_members(founded(), "nova"), holdings=(Holding(holder="nova", fraction=6_000),))


def test_a_member_makes_no_second_vote_by_its_own_word_alone() -> None:
    free = (Holding(holder="nova", fraction=1_000),)
    story = owned().when(member_commands.DeclareOwnership(holdings=free), by="ada").followed_by("ownership_change_asked").owes("notify")
    assert len(story.register.seats()) == 1
    story.when(member_commands.DeclareOwnership(holdings=free), by="ada").then()
    confirm = member_commands.ConfirmOwnership(holdings=free)
    story.when(confirm, by="ada").refused("second_person_required")
    story.when(confirm, by="alan").refused("own_case")
    story.when(confirm, by="eve").refused("not_a_representative")
    story.when(member_commands.ConfirmOwnership(holdings=()), by="cora").refused("no_such_declaration")
    for officer in ("cora", "sam"):
        confirmed = story.when(confirm, by=officer).followed_by("ownership_declared")
        assert len(confirmed.register.seats()) == 2
        confirmed.when(confirm, by=officer).then()
    assert "owners to confirm" in MEMBER.describe(story.state.state).text
    story.when(member_commands.DeclareOwnership(holdings=(Holding(holder="nova", fraction=6_000),)), by="ada").followed_by(
        "ownership_declared"
    )


@pytest.mark.parametrize("fewer", [(), (Holding(holder="sol", fraction=6_000),), (Holding(holder="nova", fraction=5_000),)])
def test_dropping_renaming_or_reducing_a_controlling_holder_waits_for_a_second_person(fewer: tuple[Holding, ...]) -> None:
    owned().when(member_commands.DeclareOwnership(holdings=fewer), by="ada").followed_by("ownership_change_asked")
    other = (Holding(holder="nova", fraction=5_001), Holding(holder="sol", fraction=1))
    owned().when(member_commands.DeclareOwnership(holdings=other), by="ada").followed_by("ownership_declared", "screening_started")


def test_a_member_binds_no_other_member_to_it_by_its_own_word_alone() -> None:
    sol = OwnershipDeclared(member="nova", holdings=(Holding(holder="sol", fraction=9_000),))
    story = member(noted(with_members(founded(), "nova"), sol))
    for holder in ("nova", "sol"):
        story.when(member_commands.DeclareOwnership(holdings=(Holding(holder=holder, fraction=6_000),)), by="ada").followed_by(
            "ownership_change_asked"
        )
    alone = member_commands.DeclareOwnership(holdings=(Holding(holder="luna", fraction=6_000),))
    story.when(alone, by="ada").followed_by("ownership_declared", "screening_started")


def test_an_owner_who_may_be_listed_comes_or_goes_by_no_word_of_the_member_alone() -> None:
    evil = (Holding(holder="evil-corp", fraction=2_000),)
    story = member(holdings=evil).when(member_commands.Rescreen(), by="sam").when(screening(97, "EVIL CORP", number=2))
    story.when(member_commands.DeclareOwnership(holdings=()), by="ada").followed_by("ownership_change_asked")
    story = story.when(member_commands.JudgeScreening(verdict="confirm", reason="it is"), by="cora")
    story.when(member_commands.DeclareOwnership(holdings=()), by="ada").followed_by("ownership_change_asked")


def test_the_voters_read_who_owns_the_applicant() -> None:
    story = voting(holdings=(Holding(holder="luna", fraction=1_005), Holding(holder="sol", fraction=6_000)))
    assert "sol 60.00 %, luna 10.05 %" in story.state.owed["tell:admission"].data["command"]["text"]


def test_an_officer_alone_binds_no_member_to_another() -> None:
    control = (Holding(holder="nova", fraction=6_000),)
    story = (
        member(with_members(founded(), "nova"))
        .when(member_commands.DeclareOwnership(holdings=control), by="sam")
        .followed_by("ownership_change_asked")
    )
    assert len(story.register.seats()) == 2
    story.when(member_commands.ConfirmOwnership(holdings=control), by="sam").refused("second_person_required")
    story.when(member_commands.ConfirmOwnership(holdings=control), by="alan").refused("representative_required")
    for other in ("ada", "cora"):
        story.when(member_commands.ConfirmOwnership(holdings=control), by=other).followed_by("ownership_declared", "screening_started")


# ---------------------------------------------------------------- tiers


def test_a_tier_changes_with_the_next_invoice() -> None:
    story = member().when(member_commands.ChangeTier(tier="partner"), by="ada").followed_by("tier_change_asked", "tier_reserved")
    story.when(member_commands.ChangeTier(tier="partner"), by="ada").then()
    assert story.register.members["helio"].tier == "founding"
    story = story.due().followed_by("tier_changed", "dues_invoiced")
    assert TierChanged(member="helio", tier="partner") in story.answer
    assert story.register.members["helio"].tier == "partner"
    assert story.state.state.dues.open[0].amount == 20_000_000


def test_a_member_takes_a_change_back_even_where_its_own_tier_is_full() -> None:
    register = with_members(founded(charter(tiers__founding__seats=2)), "nova")
    story = member(register)
    story.when(member_commands.ChangeTier(tier="founding"), by="ada").then()
    story = story.when(member_commands.ChangeTier(tier="partner"), by="ada").when(member_commands.ChangeTier(tier="founding"), by="ada")
    story.followed_by("tier_change_asked", "tier_reserved").due().followed_by("dues_invoiced")


def test_nobody_changes_to_a_tier_that_is_unknown_or_full() -> None:
    member().when(member_commands.ChangeTier(tier="platinum"), by="ada").refused("unknown_tier")
    register = with_members(founded(charter(tiers__associate__seats=1)), "nova", tier="associate")
    story = member(register)
    story.when(member_commands.ChangeTier(tier="associate"), by="ada").refused("tier_full")


def test_only_a_representative_changes_the_tier_of_a_member_alone() -> None:
    member().when(member_commands.ChangeTier(tier="partner"), by="sam").refused("not_a_representative")
    voting().when(member_commands.ChangeTier(tier="partner"), by="ada").refused("not_in_this_phase")


def test_the_seats_of_a_tier_are_kept_for_whom_they_were_promised() -> None:
    one = founded(charter(tiers__founding__seats=1))
    first = admitted(one)
    other = nobody(first.register, "member/nova")
    second = application(lei=lei(2), representatives=(Delegate(person="noor"),))
    other.when(second, by="noor").refused("tier_full")
    assert (
        nobody(first.when(member_commands.WithdrawApplication(), by="ada").register, "member/nova").when(second, by="noor").refusal is None
    )


def test_a_vote_on_one_too_many_waits_until_a_seat_of_the_tier_is_free() -> None:
    story = voting(founded(charter(tiers__founding__seats=1)))
    full = (
        mandated(replace(story, register=with_members(story.register, "nova")), member_commands.Admit())
        .when(member_commands.Admit())
        .refused("tier_full")
    )
    free = also(full, MemberDeparted(member="nova", cause="left", at=START))
    assert free.when(member_commands.Admit()).phase == "signing"


def test_a_seat_is_kept_for_a_member_that_changes_to_it() -> None:
    story = member(founded(charter(tiers__associate__seats=1))).when(member_commands.ChangeTier(tier="associate"), by="ada")
    late = application(lei=lei(2), tier="associate", representatives=(Delegate(person="noor"),))
    nobody(story.register, "member/nova").when(late, by="noor").refused("tier_full")
    back = story.when(member_commands.ChangeTier(tier="founding"), by="ada")
    assert nobody(back.register, "member/nova").when(late, by="noor").refusal is None


# ---------------------------------------------------------------- screening again


def test_a_member_is_screened_again_with_its_present_owners() -> None:
    story = member(holdings=(Holding(holder="sol", fraction=6_000),))
    story = story.when(member_commands.Rescreen(), by="cora").followed_by("screening_started").owes("screen", "screen:2")
    assert story.state.owed["screen:2"].data["names"] == ["Helio Compute", "sol"]
    story = story.when(screening(3, number=2)).followed_by("step_carried_out", "screening_passed")
    assert story.phase == "active"


def test_a_new_hit_takes_no_rights_until_a_person_confirms_it() -> None:
    story = hit_again(member()).followed_by("step_carried_out", "screening_hit")
    assert standing(story) is Standing.ACTIVE
    story.when(member_commands.Rescreen(), by="sam").refused("not_in_this_phase")
    cleared = story.when(member_commands.JudgeScreening(verdict="clear", reason="a namesake"), by="cora").followed_by("screening_judged")
    assert cleared.phase == "active"
    assert standing(confirmed().followed_by("screening_judged", "member_suspended")) is Standing.SUSPENDED


def test_a_screening_that_passes_judges_no_hit_that_waits_for_a_person() -> None:
    story = hit_again(voting()).when(member_commands.DeclareOwnership(holdings=(Holding(holder="sol", fraction=1),)), by="ada")
    story = story.when(screening(0, number=3)).followed_by("step_carried_out", "screening_passed")
    story.when(member_commands.Rescreen(), by="sam").refused("not_in_this_phase")
    story.when(member_commands.JudgeScreening(verdict="clear", reason="a namesake"), by="cora").followed_by("screening_judged")


def test_of_two_screenings_the_later_one_counts() -> None:
    story = member().when(member_commands.Rescreen(), by="sam").when(member_commands.Rescreen(), by="cora")
    story = story.when(screening(97, number=2)).followed_by("step_carried_out")
    story.when(screening(0, number=3)).followed_by("step_carried_out", "screening_passed")


def test_every_hit_is_told_and_judged_by_itself_the_oldest_first() -> None:
    evil = (Holding(holder="evil-corp", fraction=1),)
    story = (
        hit_again(member())
        .when(member_commands.DeclareOwnership(holdings=evil), by="ada")
        .when(member_commands.ConfirmOwnership(holdings=evil), by="sam")
    )
    story = story.when(screening(91, "EVIL CORP", number=3)).owes("notify", "notice:screening-hit:screen:3")
    story = story.when(member_commands.JudgeScreening(verdict="clear", reason="a namesake"), by="cora").followed_by("screening_judged")
    assert [waiting.match for waiting in story.state.state.identity.vetting.hits] == ["EVIL CORP"]
    story = story.when(member_commands.JudgeScreening(verdict="confirm", reason="it is"), by="cora").followed_by(
        "screening_judged", "member_suspended"
    )


def test_a_new_owner_is_screened_whenever_it_is_declared_and_an_old_one_is_not() -> None:
    evil, more = (
        member_commands.DeclareOwnership(holdings=(Holding(holder="evil-corp", fraction=2_000),)),
        Holding(holder="evil-corp", fraction=9_000),
    )
    for story in (applied(), hit(), voting(), admitted(), invoiced(), member(), leaving()):
        declared = story.when(evil, by="ada").followed_by("ownership_declared", "screening_started").owes("screen", "screen:2")
        assert declared.state.owed["screen:2"].data["names"] == ["Helio Compute", "evil-corp"]
        declared.when(member_commands.DeclareOwnership(holdings=(more,)), by="ada").followed_by("ownership_declared")


def test_an_application_goes_to_the_vote_when_the_owners_named_meanwhile_are_screened_too() -> None:
    evil = member_commands.DeclareOwnership(holdings=(Holding(holder="evil-corp", fraction=9_000),))
    story = applied().when(evil, by="ada").when(screening(0)).followed_by("step_carried_out")
    assert story.phase == "screening"
    assert story.when(screening(0, number=2)).owes("tell", "tell:admission").phase == "voting"
    story = (
        hit()
        .when(evil, by="ada")
        .when(member_commands.JudgeScreening(verdict="clear", reason="a namesake"), by="cora")
        .followed_by("screening_judged")
    )
    assert story.phase == "review"
    assert story.when(screening(0, number=2)).owes("tell", "tell:admission").phase == "voting"


def test_nobody_becomes_a_member_while_an_owner_waits_to_be_looked_at() -> None:
    evil = member_commands.DeclareOwnership(holdings=(Holding(holder="evil-corp", fraction=9_000),))
    story = invoiced().when(evil, by="ada").when(payment(FEE)).followed_by("dues_paid", "bank_reference_used")
    assert story.phase == "paying"
    assert story.when(screening(0, number=2)).followed_by("step_carried_out", "screening_passed", "member_activated").phase == "active"
    story = story.when(screening(99, number=2)).followed_by("step_carried_out", "screening_hit")
    story.when(member_commands.JudgeScreening(verdict="clear", reason="a namesake"), by="cora").followed_by(
        "screening_judged", "member_activated"
    )
    story = story.when(member_commands.JudgeScreening(verdict="confirm", reason="it is"), by="cora").followed_by(
        "screening_judged", *OVER, "dues_closed"
    )
    assert (story.phase, story.state.state.refund) == ("rejected", FEE)


def test_an_applicant_without_dues_waits_for_the_screening_of_its_owners_too() -> None:
    story = signed(founded(charter(tiers__associate__annual_fee=0)), tier="associate")
    story = story.when(member_commands.DeclareOwnership(holdings=(Holding(holder="sol", fraction=1),)), by="ada").when(
        member_commands.CountersignAgreement(), by="sam"
    )
    assert story.followed_by("agreement_countersigned", "dues_invoiced").phase == "paying"
    assert story.when(screening(0, number=2)).phase == "active"


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (screening(0, listed=date(2026, 10, 25)), "list_stale"), (screening(0, listed=date(2026, 11, 4)), "list_ahead"),
        (screening(0).model_copy(update={"list_age_days": 8}), "list_stale"), (screening(0, entries=999), "list_too_short"),
    ],
    ids=["stale", "ahead", "old", "short"],
)  # fmt: skip
def test_a_list_that_cannot_be_relied_on_screens_nobody(answer: member_steps.ScreeningCompleted, rule: str) -> None:
    story = applied(founded(charter(membership__list_entries=1_000)))
    story.when(answer).refused(rule).owes("screen", "screen:1")
    assert story.when(screening(0, listed=date(2026, 10, 26))).phase == "voting"
    assert story.when(screening(0, listed=date(2026, 11, 3))).phase == "voting"


def test_a_later_clearance_lifts_the_sanctions() -> None:
    story = confirmed().when(member_commands.Rescreen(), by="sam").when(screening(91, number=3))
    story = story.when(member_commands.JudgeScreening(verdict="clear", reason="struck off the list"), by="cora")
    assert standing(story.followed_by("screening_judged", "suspension_lifted", "member_reinstated")) is Standing.ACTIVE


def test_whoever_is_no_longer_on_the_list_is_reinstated() -> None:
    story = confirmed().when(member_commands.Rescreen(), by="sam").when(screening(5, number=3))
    story.followed_by("step_carried_out", "screening_passed", "suspension_lifted", "member_reinstated")


def test_the_secretariat_and_the_reviewers_screen_again_but_only_members() -> None:
    member().when(member_commands.Rescreen(), by="ada").refused("office_required")
    applied().when(member_commands.Rescreen(), by="sam").refused("not_in_this_phase")
    voting().when(member_commands.Rescreen(), by="sam").followed_by("screening_started")


# ---------------------------------------------------------------- leaving


def leaving(story: Story | None = None) -> Story:
    return (story or member()).when(member_commands.GiveNotice(), by="ada")


def test_a_member_leaves_when_its_notice_is_over() -> None:
    story = leaving().followed_by("departure_begun", "member_departing").owes("notify", "notice:departure:left")
    assert (standing(story), story.register.members["helio"].leaves_at) == (Standing.LEAVING, day(90))
    story = story.when(member_commands.GiveNotice(), by="ada").then().when(member_commands.EndMembership(), at=day(89)).refused("not_due")
    story = story.due().followed_by(*GONE).owes("notify", "notice:membership-ended")
    assert (story.at, story.phase, standing(story)) == (day(90), "left", Standing.GONE)


def test_only_a_representative_gives_notice_and_only_for_a_member() -> None:
    member().when(member_commands.GiveNotice(), by="sam").refused("not_a_representative")
    leaving().when(member_commands.GiveNotice(), by="eve").refused("not_a_representative")
    voting().when(member_commands.GiveNotice(), by="ada").refused("not_in_this_phase")


def test_the_rounds_let_a_leaver_go() -> None:
    bound = [CommitmentBound(member="helio", source=source, amount=5) for source in ("round/b", "round/a")]
    story = leaving(also(member(), *bound, CommitmentBound(member="nova", source="round/c", amount=5)))
    told = [step.data for step in story.steps if step.key.startswith("tell:round/")]
    assert sorted(data["stream"] for data in told) == ["round/a", "round/b"]
    assert told[0]["command"] == {"kind": "release_leaver", "member": "helio", "notice_over": False}


WITHDRAWABLE = {"membership__notice_can_be_withdrawn": True}
BOUND = (CommitmentBound(member="helio", source="round/a", amount=5), CommitmentKept(member="helio", source="round/a", amount=5))
"""A round holds helio to its commitment although it leaves."""


def test_a_notice_is_taken_back_while_it_runs_and_the_member_is_what_it_was() -> None:
    story = also(member(founded(charter(**WITHDRAWABLE))), *BOUND)
    story.when(member_commands.WithdrawNotice(), by="ada").then()
    story = leaving(story).when(member_commands.WithdrawNotice(), by="sam").refused("not_a_representative")
    story = story.when(letters.SuspendForDefault(source="round/a")).when(member_commands.WithdrawNotice(), by="ada", at=day(80))
    story.followed_by("member_staying").owes("tell", "tell:round/a:stays:1").owes("notify", "notice:departure:withdrawn:1")
    assert (story.phase, standing(story), story.register.members["helio"].leaves_at) == ("suspended", Standing.SUSPENDED, None)
    story = story.when(letters.LiftDefault(source="round/a"))
    assert (story.phase, standing(story)) == ("active", Standing.ACTIVE)
    again = leaving(story).owes("notify", "notice:departure:left:2")
    assert again.due().followed_by("run_off_continued").owes("tell", "tell:round/a:left:over:2").phase == "leaving"


def test_a_round_that_has_not_heard_of_a_notice_yet_hears_too_that_it_is_taken_back() -> None:
    story = leaving(also(member(founded(charter(**WITHDRAWABLE))), CommitmentBound(member="helio", source="round/a", amount=5)))
    story = story.when(member_commands.WithdrawNotice(), by="ada").followed_by("member_staying")
    told = [story.known[key].data["command"]["kind"] for to, key in story.state.ready if to == "round/a"]
    assert told == ["release_leaver", "keep_member"], "letters to one stream come in their order"


def test_a_member_that_took_its_notice_back_goes_on_with_the_invoices_and_the_tier_that_it_had() -> None:
    story = member(founded(charter(**WITHDRAWABLE, membership__leaving_notice_days=500)))
    story = story.when(member_commands.ChangeTier(tier="partner"), by="ada")
    story = leaving(story).when(member_commands.WithdrawNotice(), by="ada", at=day(400)).followed_by("member_staying").due()
    story.followed_by("tier_changed", "dues_invoiced")
    assert (story.at, story.state.state.dues.last) == (day(400), 2), "the year that began meanwhile is invoiced at once"


def test_a_notice_saves_nobody_from_the_end_over_unpaid_dues() -> None:
    ended = ("rung_reached", "departure_begun", "member_departing")
    on_notice = leaving(member(founded(charter(**WITHDRAWABLE))).due().due()).due().due()
    back = on_notice.when(member_commands.WithdrawNotice(), by="ada").followed_by("member_staying")
    assert back.due().followed_by(*ended).at == day(395 + 105), "the ladder went on meanwhile"
    story = on_notice.due().followed_by(*ended).owes("notify", "notice:departure:terminated")
    assert story.register.members["helio"].leaves_at == day(395 + 60 + 90), "the notice runs on"
    story = story.when(member_commands.WithdrawNotice(), by="ada").refused("no_notice_runs")
    story = story.when(payment(FEE, "BANK-2")).when(member_commands.WithdrawNotice(), by="ada").refused("no_notice_runs")
    assert (story.due().phase, story.due().at) == ("terminated", day(395 + 60 + 90))


def last_rung(story: Story) -> Story:
    """Deadlines come until dues have climbed the whole ladder."""
    while not any(isinstance(event, member_events.RungReached) and event.rung == "terminated" for event in story.answer):
        story = story.due()
    return story


def test_who_was_expelled_or_whose_notice_is_over_is_terminated_no_more() -> None:
    owing = leaving(overdue()).due()
    over = owing.when(member_commands.EndMembership(), at=day(455)).followed_by("run_off_continued")
    expelled = mandated(overdue(), member_commands.Expel()).when(member_commands.Expel())
    assert (last_rung(over).followed_by("rung_reached").due().phase, last_rung(expelled).followed_by("rung_reached").due().phase) == (
        "left",
        "expelled",
    )


def test_a_notice_is_not_taken_back_where_the_charter_says_nothing_or_when_it_is_over_or_was_given_to_the_member() -> None:
    final = member(founded(charter(membership__notice_can_be_withdrawn=False)))
    leaving(final).when(member_commands.WithdrawNotice(), by="ada").refused("notice_is_final")
    story = member(founded(charter(**WITHDRAWABLE)))
    owing = leaving(also(story, DebtStated(member="helio", source="round/a", amount=7))).due()
    owing.when(member_commands.WithdrawNotice(), by="ada").refused("no_notice_runs")
    expelled = mandated(story, member_commands.Expel()).when(member_commands.Expel())
    expelled.when(member_commands.WithdrawNotice(), by="ada").refused("no_notice_runs")


def test_rounds_that_hold_a_leaver_are_told_when_its_notice_is_over_and_it_stays_until_they_let_it_go() -> None:
    story = leaving(also(member(), *BOUND)).when(StepDone(step="tell:round/a:left")).due()
    story = story.followed_by("run_off_continued").owes("tell", "tell:round/a:left:over")
    asked = next(step.data for step in story.steps if step.key == "tell:round/a:left:over")
    assert asked["command"] == {"kind": "release_leaver", "member": "helio", "notice_over": True}
    story = story.due().followed_by("run_off_continued")
    assert len([step for step in story.steps if step.key.startswith("tell:round/a:left:over")]) == 1, "they are told once"
    story = story.when(StepDone(step="tell:round/a:left:over"))
    assert also(story, CommitmentKept(member="helio", source="round/a", amount=0)).due().phase == "left"


def test_nobody_is_gone_before_the_rounds_know_that_they_leave() -> None:
    story = also(member(), CommitmentBound(member="helio", source="round/a", amount=5))
    expelled = mandated(story, member_commands.Expel()).when(member_commands.Expel()).due().followed_by("run_off_continued")
    told = expelled.when(StepDone(step="tell:round/a:expelled"))
    charged = also(told, DebtStated(member="helio", source="round/a", amount=1)).due().followed_by("run_off_continued")
    assert also(charged, DebtStated(member="helio", source="round/a", amount=0)).due().phase == "expelled"


@pytest.mark.parametrize(
    ("command", "by"),
    [
        (letters.SuspendForDefault(source="round/a"), SERVICE),
        (member_commands.GiveNotice(), "ada"),
        (member_commands.UnseatRepresentative(person="ada"), "sam"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_releases_that_gave_a_member_early_access_look_at_it_when_its_rights_change(command: Command, by: str) -> None:
    held = [LeasesHeld(member="helio", source="release/a", leases=2), LeasesHeld(member="helio", source="release/b", leases=1)]
    ended = LeasesHeld(member="helio", source="release/b", leases=0)
    story = also(member(), *held, LeasesHeld(member="nova", source="release/c", leases=1), ended).when(command, by=by)
    told = [step.data for step in story.steps if step.key.startswith("tell:release/")]
    assert told == [{"stream": "release/a", "command": {"kind": "end_leases", "member": "helio"}}]


def test_whoever_owes_what_was_called_stays_until_it_is_paid() -> None:
    story = leaving(also(member(), DebtStated(member="helio", source="round/a", amount=7))).due().followed_by("run_off_continued")
    assert story.phase == "leaving"
    story = story.due().followed_by("run_off_continued")
    story = also(story, DebtStated(member="helio", source="round/a", amount=0)).due()
    assert story.followed_by(*GONE).at == day(90 + 14)


def test_a_member_is_expelled_by_a_vote_only() -> None:
    member().when(member_commands.Expel(), by="bo").refused("no_mandate")
    story = (
        mandated(member(), member_commands.Expel())
        .when(member_commands.Expel())
        .followed_by("mandate_exercised", "departure_begun", "member_departing")
    )
    story = story.due().followed_by(*GONE)
    assert (story.at, story.phase) == (START, "expelled")


def test_who_is_leaving_can_still_be_expelled() -> None:
    story = mandated(leaving(), member_commands.Expel()).when(member_commands.Expel(), at=day(30))
    assert (story.due().at, story.due().phase) == (day(30), "expelled")


def test_who_is_expelled_already_is_not_expelled_again() -> None:
    story = (
        mandated(also(member(), DebtStated(member="helio", source="round/a", amount=1)), member_commands.Expel())
        .when(member_commands.Expel())
        .due()
    )
    mandated(story, member_commands.Expel()).when(member_commands.Expel(), at=day(3)).followed_by("mandate_exercised")


def test_a_suspended_member_may_leave_and_stays_on_notice_whatever_becomes_of_the_causes() -> None:
    story = leaving(member().when(letters.SuspendForDefault(source="round/a")))
    assert standing(story) is Standing.LEAVING
    story = story.when(letters.LiftDefault(source="round/a")).followed_by("suspension_lifted", "member_reinstated")
    story = story.when(letters.SuspendForDefault(source="round/a")).followed_by("member_suspended")
    assert standing(story) is Standing.LEAVING


def test_early_access_lasts_to_the_end_for_one_who_leaves_by_himself_in_good_standing() -> None:
    story = leaving(also(member(), LeasesHeld(member="helio", source="release/a", leases=1)))
    assert story.register.reads_early("helio")
    assert not story.when(letters.SuspendForDefault(source="round/a")).register.reads_early("helio")
    assert not mandated(story, member_commands.Expel()).when(member_commands.Expel()).register.reads_early("helio")
    assert not leaving(member().when(letters.SuspendForDefault(source="round/a"))).register.reads_early("helio")
    ended = story.due()
    assert not ended.register.reads_early("helio")
    assert any(step.key.startswith("tell:release/a:end:") for step in ended.steps)


def test_a_leaver_owes_its_dues_and_stays_until_they_are_paid() -> None:
    story = leaving(overdue()).due().followed_by("rung_reached").due()
    assert story.followed_by("run_off_continued").phase == "leaving"
    assert MEMBER.describe(story.state.state).values["dues_owed_minor"] == FEE
    story.when(payment(FEE, "BANK-2")).followed_by("dues_paid", "bank_reference_used").due().followed_by(*GONE)
    story = leaving(suspended_for_dues()).when(payment(FEE, "BANK-2"))
    story.followed_by("dues_paid", "bank_reference_used", "suspension_lifted", "member_reinstated")
    assert standing(story) is Standing.LEAVING


def test_a_leaver_who_never_pays_its_dues_climbs_the_whole_ladder_and_the_rest_is_on_the_record() -> None:
    story, rungs = leaving(overdue()), []
    while story.phase == "leaving":
        story = story.due()
        rungs += [event.model_dump()["rung"] for event in story.answer if event.kind == "rung_reached"]
    assert rungs == ["notice", "suspended", "termination-notice", "terminated"]
    assert (story.phase, story.state.state.unpaid) == ("left", FEE)
    assert MEMBER.describe(story.state.state).values["dues_unpaid_minor"] == FEE


def test_a_leaver_agrees_a_plan_and_the_bank_may_take_its_payment_back() -> None:
    leaving(overdue()).when(member_commands.AgreePaymentPlan(until=day(400)), by="tess").followed_by("payment_plan_agreed")
    story = leaving().when(undone(FEE)).followed_by("dues_reversed", "bank_reference_used").due().due()
    assert story.followed_by("run_off_continued").state.state.dues.owed == FEE


def test_a_hit_on_a_leaver_is_judged_and_confirmed_takes_its_early_access() -> None:
    story = leaving(hit_again(member()))
    story = story.when(member_commands.JudgeScreening(verdict="confirm", reason="same LEI"), by="cora").followed_by(
        "screening_judged", "member_suspended"
    )
    assert not story.register.reads_early("helio")


def test_what_a_leaver_paid_too_much_is_told_to_the_treasurer_and_stays_on_the_record() -> None:
    story = leaving(invoiced().when(payment(FEE + 700))).due().followed_by(*GONE, "dues_closed")
    assert MEMBER.describe(story.state.state).values["refund_minor"] == 700
    told = story.owes("notify", "notice:dues-to-refund").state.owed["notice:dues-to-refund"].data
    assert told["to"] == ["office:treasurer", "member:helio", "ada", "alan"]
    assert told["facts"]["amount"] == display(700, charter().currency)


@pytest.mark.parametrize("end", ["withdrawn", "lapsed"])
def test_what_an_applicant_paid_who_never_joined_is_paid_back(end: str) -> None:
    story = invoiced().when(payment(FEE - 1))
    story = story.when(member_commands.WithdrawApplication(), by="ada") if end == "withdrawn" else story.due()
    story.followed_by(*OVER, "dues_closed").owes("notify", "notice:dues-to-refund")
    assert (story.phase, story.state.state.refund, story.state.state.unpaid) == (end, FEE - 1, 0)


@pytest.mark.parametrize(
    "story", [applied().due(), mandated(voting(), member_commands.Decline()).when(member_commands.Decline())], ids=lambda story: story.phase
)
def test_who_applied_in_vain_is_told_by_name_since_nobody_speaks_for_the_applicant_any_more(story: Story) -> None:
    assert story.state.owed[f"notice:application-{story.phase}"].data["to"] == ["member:helio", "ada", "alan"]


def test_who_left_is_represented_no_more_and_everybody_is_free_to_come_again() -> None:
    story = leaving().due()
    assert story.register.representatives("helio", day(1_000)) == ()
    assert [term.person for term in story.register.representatives("helio", day(50))] == ["ada", "alan"]
    again = nobody(story.register, "member/helio-again").when(application(), by="ada", at=day(100))
    assert again.refusal is None
    assert again.register.represents("ada", "helio-again")


End = Literal["left", "withdrawn"]
ENDS: dict[End, Story] = {"left": leaving().due(), "withdrawn": voting().when(member_commands.WithdrawApplication(), by="ada")}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("command", "by"),
    [
        (member_commands.WithdrawApplication(), "ada"), (member_commands.JudgeScreening(verdict="clear", reason="r"), "cora"), (member_commands.Rescreen(), "sam"),
        (agreement(voting()), "ada"), (member_commands.CountersignAgreement(), "sam"),
        (member_commands.AgreePaymentPlan(until=day(100)), "tess"), (member_commands.SeatRepresentative(person="eve"), "sam"), (member_commands.UnseatRepresentative(person="ada"), "sam"),
        (member_commands.DeclareOwnership(holdings=()), "sam"), (member_commands.ChangeTier(tier="partner"), "ada"), (member_commands.GiveNotice(), "ada"),
    ],
    ids=lambda value: value.kind if isinstance(value, Command) else value,
)  # fmt: skip
def test_persons_change_nothing_after_the_end(end: End, command: Command, by: str) -> None:
    ENDS[end].when(command, by=by).refused("not_in_this_phase")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "command",
    [
        member_commands.IssueInvoice(), member_commands.ClimbLadder(), member_commands.LapseApplication(), member_commands.SuspendVacancy(), member_commands.EndMembership(), letters.SuspendForDefault(source="round/a"),
        letters.LiftDefault(source="round/a"), screening(100),
    ],
    ids=lambda command: command.kind,
)  # fmt: skip
def test_the_system_changes_nothing_after_the_end(end: End, command: Command) -> None:
    ENDS[end].when(command, at=day(1_000)).then()


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_owed_after_the_end_but_what_is_still_to_be_told(end: End) -> None:
    story = ENDS[end]
    assert story.agenda.deadline is None
    assert not story.agenda.closed
    for step in story.steps:
        story = story.when(StepDone(step=step.key))
    assert story.agenda.closed


@pytest.mark.parametrize(
    "command",
    [
        member_commands.IssueInvoice(),
        member_commands.ClimbLadder(),
        member_commands.LapseApplication(),
        member_commands.SuspendVacancy(),
        member_commands.EndMembership(),
    ],
    ids=lambda command: command.kind,
)
def test_a_deadline_is_nobodys_to_give(command: Command) -> None:
    member().when(command, by="sam", at=day(1_000)).refused("service_only")


def test_a_record_of_who_left_stays() -> None:
    story = ENDS["left"]
    assert MEMBER.describe(story.state.state).values["lei"] == lei(1)
    assert [term.person for term in story.register.representatives("helio", day(50))] == ["ada", "alan"]


# ---------------------------------------------------------------- at size


def applying(number: int) -> Submission:
    apply = application(lei=lei(number), tier="partner", representatives=(Delegate(person=f"rep-{number}"),))
    return _submission(f"member/m-{number}", apply, f"rep-{number}", number)


def _submission(stream: str, command: Command, by: str, number: int) -> Submission:
    return Submission(stream, f"00000000-0000-4000-8000-{number:012}", by, encode_json(command.model_dump()))


async def test_the_two_thousandth_application_asks_for_no_more_work_than_the_first() -> None:
    officers = (
        Officer(person="sam", offices=frozenset({Office.SECRETARIAT})),
        Officer(person="tess", offices=frozenset({Office.TREASURER})),
        Officer(person="bo", offices=frozenset({Office.BOARD})),
    )
    recorder = Recorder(MemoryLog())
    founding = consortium_commands.Found(charter=charter(membership__open_applications=10_000), officers=officers)
    assert (await recorder.record(_submission("consortium/atlas", founding, "sam", 0))).refusal is None
    calls = []
    for start in range(1, 2_001, 500):
        called = count()
        sys.setprofile(lambda *_, called=called: next(called))
        answers = await asyncio.gather(*(recorder.record(applying(number)) for number in range(start, start + 500)))
        sys.setprofile(None)
        calls.append(next(called))
        assert not [answer.refusal for answer in answers if answer.refusal]
    await recorder.close()
    assert calls[-1] < 1.2 * min(calls), calls


def test_an_entity_whose_application_came_to_nothing_applies_again_under_another_handle() -> None:
    over = applied().when(member_commands.WithdrawApplication(), by="ada")
    again = nobody(over.register, "member/helio-again").when(application(), by="ada")
    assert again.refusal is None
    assert again.register.speaks_for("ada", "helio-again")


def test_a_member_whom_no_notice_reaches_is_known_until_one_comes() -> None:
    lacking = NoticeSent(step="notice:dues-invoiced:1", unreached={"member:helio": "no_address"})
    story = invoiced().when(lacking).followed_by("step_carried_out", "recipients_unreached")
    assert story.register.unreached["member:helio"].notices == 1
    story = story.when(payment(FEE))
    told = next(step.key for step in story.steps if step.kind == "notify" and "member:helio" in step.data["to"])
    story = story.when(StepDone(step=told)).followed_by("step_carried_out", "recipients_reached")
    assert not story.register.unreached
