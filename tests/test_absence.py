"""Absence: a person names a substitute for a period and for named duties.

| command | by whom | events | refusals (clause) |
| --- | --- | --- | --- |
| name_substitute | who is absent, of their own offices and of members that they represent | substitute_named | no_substitutes, absence_over, absence_too_long, too_many_substitutes (silence.substitute_days), no_duties_named, office_required, office_is_personal, no_such_substitute (roles), offices_apart (roles.apart), not_a_representative, representative_required, not_of_the_member (membership) |
| withdraw_substitute | who is absent, or the substitute | substitute_withdrawn | not_your_absence (silence.substitute_days) |

| what | the substitute, in [since, until) | before and after |
| --- | --- | --- |
| acts of the secretariat and of the treasurer: announcing a round, calling, settling, refunds, spending, unmatched money, payments, steps that failed | as the absent | office_required, which names the period |
| one signature of several: payments, lists, payees, spending, releases | never by substitution | |
| what only a representative may do for a member | as the absent, for whom they speak anyway | representative_required |

What the charter keeps apart is kept apart when a substitute is named and whenever they act; who ordered a payment as a substitute does not approve it.
The absent may still act. An office that is taken from them is their substitute's no longer. Term: `silence.substitute_days`, 0 by default (nobody), 180
in the example.

Steps: `notify` (`substitute_named`, to both, with what members owe and are bound to; `substitute_withdrawn`, to both). Notices to an office go to who stands in as well.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from activities.notices.sending import standing_for
from cli.fields import docs_of
from domain.charter import Charter, Office
from domain.consortium import commands
from domain.consortium.absence import ACTING
from domain.consortium.process import CONSORTIUM
from domain.kernel import Event
from domain.register.facts import (
    Capacity,
    CharterAdopted,
    CommitmentBound,
    DebtStated,
    KeyEnrolled,
    OfficeGranted,
    OfficeRevoked,
    RepresentativeSeated,
    SubstituteNamed,
)
from domain.register.state import Register
from domain.round import commands as round_commands
from domain.stream import StepOwed
from domain.treasury.commands import NamePayee
from tests.keys import key_of
from tests.stories import Story, charter, day, founded, noted, with_members
from tests.test_round import all_paid, called, mandated, rules, settled
from tests.test_treasury import SUPPLIER
from tests.test_treasury import opened as opened_account

KEYS = {name: key_of(name) for name in ("sam", "tess", "theo", "bo", "ann", "alt", "rep-ada")}
WATCHED = rules(silence=charter().silence.model_dump(mode="json"))


def people(register: Register) -> Register:
    """`alt` is an alternate of ada, `ann` sits on the board too; everybody has a key."""
    seated = (
        OfficeGranted(person="ann", office=Office.BOARD),
        RepresentativeSeated(member="ada", person="alt", capacity=Capacity.ALTERNATE, at=day(0)),
    )
    return noted(register, *seated, *(KeyEnrolled(person=person, public_key=key) for person, key in KEYS.items()))


def consortium(rules_: Charter | None = None) -> Story:
    register = people(with_members(founded(rules_), "ada", "bel"))
    story = Story.of(CONSORTIUM, "consortium/atlas", register).given(CharterAdopted(version=1, charter=rules_ or charter()))
    return replace(story, register=register)


def absent(since: float = 1, until: float = 31, **duties: Any) -> commands.NameSubstitute:
    named = {"substitute": "ann", "offices": (Office.TREASURER,), **duties}
    return commands.NameSubstitute(since=day(since), until=day(until), **named)


def treasurer_away(since: datetime, until: datetime, person: str = "ann") -> Event:
    return SubstituteNamed(person="tess", substitute=person, offices=(Office.TREASURER,), members=(), since=since, until=until)


def knowing(story: Story, *events: Event) -> Story:
    return replace(story, register=noted(people(story.register), *events))


# ---------------------------------------------------------------- naming


def test_who_goes_away_names_a_substitute_for_a_period_and_duties_and_both_are_told() -> None:
    story = consortium().when(absent(), by="tess")
    named = SubstituteNamed(person="tess", substitute="ann", offices=(Office.TREASURER,), members=(), since=day(1), until=day(31))
    story.then(named)
    (notice,) = (event.step.data for event in story.answer if isinstance(event, StepOwed))
    assert (notice["to"], notice["facts"]["duties"]) == (["ann", "tess"], "treasurer")
    story.when(absent(), by="tess").then()
    longer = story.when(absent(until=61), by="tess").followed_by("substitute_named")
    assert [each.until for each in longer.register.substitutes["tess"]] == [day(61)]
    (table,) = CONSORTIUM.tables(longer.state.state, longer.register, day(2))
    assert table.rows == [("tess", "ann", "treasurer", day(1), day(61), True)]
    assert CONSORTIUM.tables(longer.state.state, longer.register, day(61)) == []


def test_the_handover_tells_what_the_member_owes_and_is_bound_to() -> None:
    story = consortium()
    money = (
        CommitmentBound(member="ada", source="round/atlas-1", amount=250_000),
        DebtStated(member="ada", source="round/atlas-1", amount=100_000),
    )
    story = replace(story, register=noted(story.register, *money)).when(
        absent(substitute="alt", offices=(), members=("ada",)), by="rep-ada"
    )
    (notice,) = (event.step.data for event in story.answer if isinstance(event, StepOwed))
    assert notice["facts"]["duties"] == "representing ada"
    assert notice["facts"]["waits"] == "ada owes USD 1,000.00 and is bound to USD 2,500.00"


@pytest.mark.parametrize(
    ("by", "changes", "rule"),
    [
        ("theo", {}, "office_required"),
        ("tess", {"until": 0}, "absence_over"),
        ("tess", {"until": 182}, "absence_too_long"),
        ("tess", {"offices": ()}, "no_duties_named"),
        ("tess", {"substitute": "tess"}, "no_such_substitute"),
        ("tess", {"substitute": "cora"}, "no_such_substitute"),
        ("tess", {"substitute": "theo"}, "offices_apart"),
        ("bo", {"offices": (Office.BOARD,)}, "office_is_personal"),
        ("rep-ada", {"offices": (), "members": ("ada",)}, "not_of_the_member"),
        ("alt", {"offices": (), "members": ("ada",), "substitute": "rep-ada"}, "representative_required"),
        ("rep-ada", {"offices": (), "members": ("bel",), "substitute": "alt"}, "not_a_representative"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nobody_names_a_substitute_for_what_is_not_theirs_to_pass_on(by: str, changes: dict[str, Any], rule: str) -> None:
    consortium().when(absent(**changes), by=by).refused(rule)


def test_a_charter_that_says_nothing_lets_nobody_name_a_substitute() -> None:
    consortium(charter(silence={})).when(absent(), by="tess").refused("no_substitutes")


def test_the_absent_or_the_substitute_withdraws_it() -> None:
    story = consortium().when(absent(), by="tess")
    withdraw = commands.WithdrawSubstitute(person="tess", substitute="ann")
    story.when(withdraw, by="theo").refused("not_your_absence")
    for by in ("tess", "ann"):
        done = story.when(withdraw, by=by).followed_by("substitute_withdrawn")
        (told,) = (step for step in done.steps if step.data.get("template") == "substitute_withdrawn")
        assert (set(told.data["to"]), told.data["facts"]["by"]) == ({"ann", "tess"}, by)
        done.when(withdraw, by=by).then()
        assert done.register.substitutes["tess"] == ()


def test_one_person_names_so_many_substitutes_at_most() -> None:
    story = consortium()
    others = [KeyEnrolled(person=f"p{number}", public_key=key_of(f"p{number}")) for number in range(21)]
    story = replace(story, register=noted(story.register, *others))
    for number in range(20):
        story = story.when(absent(substitute=f"p{number}"), by="tess").followed_by("substitute_named")
    story.when(absent(substitute="p20"), by="tess").refused("too_many_substitutes")


# ---------------------------------------------------------------- acting


def test_a_substitute_acts_for_the_absent_treasurer_in_the_period_only_and_the_refusal_names_it() -> None:
    story = knowing(settled(WATCHED), treasurer_away(day(100), day(130)))
    order = round_commands.OrderRefunds()
    early = story.when(order, by="ann").refused("office_required").refusal
    assert early is not None
    assert "is a substitute from 2027-02-10 09:00 UTC until 2027-03-12 09:00 UTC" in early.message
    acted = replace(story, at=day(101)).when(order, by="ann")
    assert "refunds_ordered" in {event.kind for event in acted.answer}
    assert replace(story, at=day(101)).when(order, by="tess").refusal is None, "the absent may still act"
    replace(story, at=day(130)).when(order, by="ann").refused("office_required")
    taken = knowing(story, OfficeRevoked(person="tess", office=Office.TREASURER))
    replace(taken, at=day(101)).when(order, by="ann").refused("office_required")


def test_the_help_names_the_offices_that_can_be_stood_in_for() -> None:
    told = docs_of(commands.NameSubstitute)["offices"]
    assert {office for office in Office if office.replace("_", " ") in told} == ACTING


def test_what_the_charter_keeps_apart_is_kept_apart_of_a_substitute_whenever_they_act() -> None:
    story = knowing(settled(WATCHED), treasurer_away(day(0), day(365)), OfficeGranted(person="ann", office=Office.SECOND_SIGNATORY))
    refused = story.when(round_commands.OrderRefunds(), by="ann").refused("office_required").refusal
    assert refused is not None
    assert "keeps it apart" in refused.message


def test_a_substitute_proposes_spending_and_signs_none_that_they_proposed() -> None:
    story = knowing(all_paid(called(WATCHED), 100_000), treasurer_away(day(0), day(365)))
    spend = round_commands.ProposeSpending(spending="gpu-1", line="compute", amount=100_000, payee="cloud")
    story = story.when(spend, by="ann").followed_by("spending_proposed")
    story.when(round_commands.ApproveSpending(spending="gpu-1"), by="ann").refused("office_required")
    assert story.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").refusal is None


def test_a_signature_of_several_is_no_substitutes() -> None:
    story = knowing(called(WATCHED), treasurer_away(day(0), day(365), person="alt"))
    story.when(round_commands.ApproveStandingRefunds(), by="alt").refused("office_required")


def test_an_alternate_stands_in_for_a_representative_in_the_period() -> None:
    away = SubstituteNamed(person="rep-ada", substitute="alt", offices=(), members=("ada",), since=day(50), until=day(60))
    story = knowing(consortium(), away)
    at = {when: story.register.represents_absent("alt", "ada", day(when)) for when in (49, 50, 59, 60)}
    assert at == {49: False, 50: True, 59: True, 60: False}
    assert not story.register.represents_absent("alt", "bel", day(55))
    treasury = knowing(opened_account(), away)
    named = NamePayee(payee="member:ada", name="Ada SA", iban=SUPPLIER)
    refused = treasury.when(named, by="alt").refused("representative_required").refusal
    assert refused is not None
    assert "is an alternate of ada, and is a substitute from 2026-12-22 09:00 UTC until 2027-01-01 09:00 UTC" in refused.message
    assert "payee_named" in {event.kind for event in replace(treasury, at=day(50)).when(named, by="alt").answer}
    replace(treasury, at=day(60)).when(named, by="alt").refused("representative_required")


def test_notices_to_an_office_reach_who_stands_in() -> None:
    register = noted(people(founded()), treasurer_away(day(10), day(20)))
    assert standing_for(register, "office:treasurer", day(9)) == ("tess",)
    assert standing_for(register, "office:treasurer", day(10)) == ("tess", "ann")


def test_the_substitutes_act_begins_the_days_of_the_duty_anew() -> None:
    story = knowing(mandated(all_paid(called(WATCHED), 100_000), round_commands.CancelRound()), treasurer_away(day(0), day(365)))
    later = replace(story, at=day(40)).when(round_commands.OrderRefund(refund="ada-1", member="ada"), by="ann")
    assert later.agenda.deadline is not None
    assert later.agenda.deadline.at == day(70)
