"""Acts that several people sign: different persons, and of each organisation, with the companies related to it, one.

| act | first | second | refusals of the second |
| --- | --- | --- | --- |
| a payment, a payment list | an approval office, not the orderer | another | same_person, same_organisation (`treasury.approvals`) |
| bank details of a payee | who named them, a payee office | another | same_person, same_organisation (`treasury.payee_approvals`) |
| spending of a round | the treasurer who proposed it | the second signatory | same_person, same_organisation (`roles`) |
| the standing refund order | an approval office | another | same_person, same_organisation (`treasury.approvals`) |
| a stage of a release | an office of the stage, not the proposer | another | same_person, same_organisation (`release.<stage>`) |
| a longer hold | a hold office | another | same_person, same_organisation (`release.hold_keys`) |
| a recall | a recall office | another | same_person, same_organisation (`release.recall_keys`) |
| a milestone | a reviewer, not the lead | another | same_person, same_organisation (`training.reviewers`) |
| a time that ran ahead | an officer | another | same_person, same_organisation (`roles`) |
| the log's keys, those of releases, signing begun, a lost key | an officer | another | in `test_service_keys`, `test_key_recovery` |
| owners of a member, its agreement, a hit, a delivery | who declared, signed or delivered | an officer who stands on neither side | second_person_required, own_case, own_delivery, same_organisation |

Who speaks for no member is of the consortium's own staff, and differs from others by their person only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from domain.charter import Office
from domain.kernel import Command, PersonId
from domain.member import commands as member_commands
from domain.register.facts import Capacity, Holding, OfficeGranted, OwnershipDeclared, RepresentativeSeated
from domain.release import commands as release_commands
from domain.release.terms import Stage
from domain.round import commands as round_commands
from domain.run import commands as run_commands
from domain.treasury import commands as treasury_commands
from domain.treasury.terms import Creditor
from tests import test_consortium, test_member, test_release, test_round, test_run, test_silence, test_treasury
from tests.stories import START, Story, noted, stated, with_members


class Act(NamedTuple):
    """An act that a first person signed."""

    story: Story
    command: Command
    first: PersonId
    second: PersonId


def payment() -> Act:
    story = test_treasury.signed(test_treasury.ordered(test_treasury.with_payee(test_treasury.funded())), by=("theo",))
    command = treasury_commands.ApprovePayment(payment="p1", digest=test_treasury.digest(story))
    return Act(story, command, "theo", "bo")


def payment_list() -> Act:
    story = test_treasury.approved_list(test_treasury.listed(), by=("theo",))
    return Act(story, test_treasury.approve_list(story), "theo", "bo")


def payee() -> Act:
    name = treasury_commands.NamePayee(payee="cloud", name="C", iban=test_treasury.SUPPLIER)
    approve = treasury_commands.ApprovePayee(payee="cloud", details=stated(Creditor(name="C", iban=test_treasury.SUPPLIER)))
    story = test_treasury.opened(treasury__payee_approvals=2).when(name, by="tess").when(approve, by="theo")
    return Act(story, approve, "theo", "bo")


def named_payee() -> Act:
    act = payee()
    story = test_treasury.opened(treasury__payee_approvals=2)
    story = story.when(treasury_commands.NamePayee(payee="cloud", name="C", iban=test_treasury.SUPPLIER), by="tess")
    return Act(story, act.command, "tess", "bo")


def spending() -> Act:
    story = test_round.spending(test_round.paid(test_round.called(), "ada", 100_000))
    story = replace(story, register=noted(story.register, OfficeGranted(person="tess", office=Office.SECOND_SIGNATORY)))
    return Act(story, round_commands.ApproveSpending(spending="gpu-1"), "tess", "theo")


def standing_refunds() -> Act:
    story = test_round.called(test_silence.WATCHED)
    return Act(story.when(test_silence.APPROVE, by="theo"), test_silence.APPROVE, "theo", "bo")


def stage() -> Act:
    story = test_release.gated(test_release.with_members_stage(test_release.internal()))
    command = release_commands.ApproveStage(stage=Stage.PUBLIC, manifest=test_release.MANIFEST, office=Office.BOARD)
    return Act(story.when(command, by="bo"), command, "bo", "bea")


def hold() -> Act:
    command = release_commands.ExtendHold(reason="x")
    return Act(test_release.held(test_release.internal()).when(command, by="sia"), command, "sia", "bo")


def recall() -> Act:
    command = release_commands.RecallRelease(reason="it leaks")
    return Act(test_release.public().when(command, by="sia"), command, "sia", "bo")


def milestone() -> Act:
    story, evidence = test_run.claimed()
    command = run_commands.AcceptMilestone(milestone="half", evidence=evidence)
    return Act(story.when(command, by="eva"), command, "eva", "sia")


def time_ahead() -> Act:
    return Act(test_consortium.ahead().when(test_consortium.HEAD, by="sam"), test_consortium.HEAD, "sam", "tess")


ACTS: tuple[Callable[[], Act], ...] = (
    payment, payment_list, payee, named_payee, spending, standing_refunds, stage, hold, recall, milestone, time_ahead,
)  # fmt: skip


def speaking(act: Act, **members: str) -> Story:
    """The story, in which these persons speak for these members besides, and nobody for another."""
    register = with_members(act.story.register, *sorted(set(members.values())))
    for person in (act.first, act.second):
        known = register.people[person]
        register = register._replace(people=register.people.set(person, known._replace(speaks_for=type(known.speaks_for)())))
    seats = [
        RepresentativeSeated(member=member, person=person, capacity=Capacity.REPRESENTATIVE, at=START) for person, member in members.items()
    ]
    return replace(act.story, register=noted(register, *seats))


def related(story: Story) -> Story:
    """The same, where `west` belongs to `east`."""
    return replace(
        story, register=noted(story.register, OwnershipDeclared(member="west", holdings=(Holding(holder="east", fraction=6_000),)))
    )


@pytest.mark.parametrize("make", ACTS, ids=lambda make: make.__name__)
def test_nobody_signs_twice(make: Callable[[], Act]) -> None:
    act = make()
    assert act.story.refusal is None
    act.story.when(act.command, by=act.first).refused("same_person")


@pytest.mark.parametrize("make", ACTS, ids=lambda make: make.__name__)
def test_two_of_one_organisation_or_of_related_ones_sign_once(make: Callable[[], Act]) -> None:
    act = make()
    speaking(act, **{act.first: "east", act.second: "east"}).when(act.command, by=act.second).refused("same_organisation")
    apart = speaking(act, **{act.first: "east", act.second: "west"})
    related(apart).when(act.command, by=act.second).refused("same_organisation")
    assert apart.when(act.command, by=act.second).refusal is None


@pytest.mark.parametrize("make", [make for make in ACTS if make is not milestone], ids=lambda make: make.__name__)
def test_the_consortiums_own_staff_differs_by_person_only(make: Callable[[], Act]) -> None:
    act = make()
    assert act.story.when(act.command, by=act.second).refusal is None


def test_signatures_of_companies_that_became_related_count_as_one() -> None:
    act = payment()
    register = related(speaking(act, theo="east", bo="west")).register
    assert register.independent(("theo", "bo", "tess")) == ("theo", "tess")
    assert register.independent(("bo", "theo", "bo")) == ("bo",)


def test_nobody_judges_for_a_company_that_is_related_to_their_own() -> None:
    admitted = test_member.admitted()
    signed = admitted.when(test_member.agreement(admitted), by="ada")
    register = with_members(signed.register, "east")
    facts = (
        OwnershipDeclared(member="helio", holdings=(Holding(holder="east", fraction=6_000),)),
        RepresentativeSeated(member="east", person="bo", capacity=Capacity.REPRESENTATIVE, at=START),
    )
    own = replace(signed, register=noted(register, *facts))
    own.when(member_commands.CountersignAgreement(), by="bo").refused("own_case")
    assert own.when(member_commands.CountersignAgreement(), by="sam").refusal is None
