"""Proposals and votes.

| command | by whom | events | refusals (clause `decisions.<class>`) |
| --- | --- | --- | --- |
| propose | a representative of an active member, an office that sponsors the class, the service | proposal_made, vote_opened | already_proposed, no_decision_class, class_follows_from_motion, not_a_sponsor, options_unfit |
| amend_proposal | the sponsor, before the opening | proposal_made | not_the_sponsor, vote_not_open |
| withdraw_proposal | the sponsor, before anybody voted | proposal_withdrawn, mandate_granted | not_the_sponsor, vote_not_open |
| open_vote, close_vote, execute | the service, when due | vote_opened; vote_closed, vote_decided, mandate_granted; proposal_executed | service_only, not_due |
| cast_ballot | who speaks for a member on the roll; a board member where the board votes | ballot_cast, vote_extended, and the close when it is settled | vote_not_open, not_on_roll, recused, choice_unfit, not_a_representative, member_not_active |
| declare_conflict | the same | conflict_declared | the same |

States: unproposed, announced, open, timelocked, passed, executed, rejected, lapsed, withdrawn. Deadlines: the opening, the
close, the end of the timelock. Steps: `tell:motion`, `tell:otherwise`, notices to the roll and to the sponsor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.charter import Office
from domain.kernel import digest_of
from domain.proposal import PROPOSAL, Open, Over, Timelocked
from domain.proposal_messages import (
    AmendProposal,
    CastBallot,
    CloseVote,
    DeclareConflict,
    Execute,
    Motion,
    OpenVote,
    Option,
    Propose,
    VoteExtended,
    WithdrawProposal,
)
from domain.register import Holding, MandateGranted, MemberSuspended, OfficeGranted, OwnershipDeclared, Register, VoteDecided
from tests.stories import Story, charter, day, founded, noted, with_members

EIGHT = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven")
ADMIT = Motion(stream="member/zenith", command={"kind": "admit"}, otherwise={"kind": "decline"})
EXPEL = Motion(stream="member/amber", command={"kind": "expel"})
SIZES = (Option(id="small", label="8 billion"), Option(id="medium", label="32 billion"), Option(id="large", label="70 billion"))
PROJECTS = (
    Option(id="data", label="Data", cost=60),
    Option(id="safety", label="Safety", cost=40),
    Option(id="chips", label="Chips", cost=90),
)


def story(register: Register | None = None, stream: str = "proposal/one") -> Story:
    return Story.of(PROPOSAL, stream, register or with_members(founded(), *EIGHT))


def admission(register: Register | None = None) -> Story:
    return story(register).when(Propose(title="Admit Zenith", motion=ADMIT))


def steering(**changes: Any) -> Story:
    register = with_members(founded(charter(**changes)), *EIGHT)
    return story(register).when(Propose(title="How large?", decision="steering", options=SIZES), by="lea")


def amendment() -> Propose:
    command = {"kind": "amend_charter", "charter": charter(funding__share_cap=2_000).model_dump(mode="json")}
    return Propose(title="A larger cap", motion=Motion(stream="consortium/atlas", command=command))


def votes(story: Story, choice: str, *members: str, at: float | None = None) -> Story:
    for member in members:
        ballot = CastBallot(member=member, choice=choice)  # type: ignore[arg-type]
        story = story.when(ballot, by=f"rep-{member}", at=None if at is None else day(at))
        assert story.refusal is None, story.refusal
    return story


# ---------------------------------------------------------------- announcing


def test_without_notice_the_vote_opens_at_once_and_the_roll_is_told() -> None:
    opened = admission().followed_by("proposal_made", "vote_opened").owes("notify", "notice:opened:1")
    assert opened.phase == "open"
    assert opened.agenda.deadline is not None
    assert opened.agenda.deadline.at == day(7)


def test_a_proposal_is_made_once() -> None:
    admission().when(Propose(title="Again", motion=ADMIT), by="sam").refused("already_proposed")


def test_the_class_follows_from_the_motion_whatever_the_sponsor_says() -> None:
    story().when(Propose(title="Admit", motion=ADMIT, decision="routine"), by="sam").refused("class_follows_from_motion")


def test_no_vote_orders_what_the_charter_lets_none_decide() -> None:
    motion = Motion(stream="round/x", command={"kind": "record_payment"})
    story().when(Propose(title="Pay", motion=motion), by="sam").refused("no_decision_class")


def test_without_a_motion_the_class_is_named_and_must_be_one_that_needs_none() -> None:
    story().when(Propose(title="What?"), by="sam").refused("no_decision_class")
    story().when(Propose(title="What?", decision="admission"), by="sam").refused("no_decision_class")


def test_a_stranger_or_an_office_that_does_not_sponsor_such_decisions_cannot_propose() -> None:
    story().when(Propose(title="Admit", motion=ADMIT), by="eve").refused("not_a_sponsor")
    story().when(Propose(title="Admit", motion=ADMIT), by="tess").refused("not_a_sponsor")
    assert story().when(Propose(title="Admit", motion=ADMIT), by="rep-amber").phase == "open"


@pytest.mark.parametrize(
    "proposal",
    [
        Propose(title="One option", decision="steering", options=SIZES[:1]),
        Propose(title="The same twice", decision="steering", options=(SIZES[0], SIZES[0])),
        Propose(title="Options on yes and no", decision="routine", options=SIZES),
        Propose(title="No budget", decision="budget", options=PROJECTS),
        Propose(title="No costs", decision="budget", options=SIZES, budget=100),
        Propose(title="Costs without a budget", decision="steering", options=PROJECTS),
    ],
    ids=lambda proposal: proposal.title,
)
def test_options_must_fit_the_method(proposal: Propose) -> None:
    story().when(proposal, by="sam").refused("options_unfit")


def test_a_notice_runs_before_the_vote_and_the_sponsor_may_amend_meanwhile() -> None:
    announced = story().when(amendment(), by="bo").followed_by("proposal_made")
    assert announced.agenda.deadline is not None
    assert announced.agenda.deadline.at == day(7)
    announced.when(OpenVote(), at=day(6)).refused("not_due")
    announced.when(OpenVote(), by="sam", at=day(7)).refused("service_only")
    again = AmendProposal(title="A cap larger still", motion=amendment().motion)
    announced.when(again, by="sam", at=day(3)).refused("not_the_sponsor")
    amended = announced.when(again, by="bo", at=day(3)).followed_by("proposal_made")
    assert amended.due().at == day(10)


def test_a_sponsor_may_ask_for_a_later_opening() -> None:
    later = story().when(Propose(title="Admit", motion=ADMIT, opens_at=day(5)), by="sam")
    assert later.phase == "announced"
    assert later.due().phase == "open"


def test_an_open_vote_is_amended_no_more() -> None:
    admission().when(AmendProposal(title="Else", motion=ADMIT)).refused("vote_not_open")


# ---------------------------------------------------------------- the roll


def test_the_roll_is_frozen_at_the_opening() -> None:
    opened = admission()
    later = replace(opened, register=with_members(opened.register, "newcomer"))
    later.when(CastBallot(member="newcomer", choice="yes"), by="rep-newcomer").refused("not_on_roll")


def test_related_companies_share_one_seat_and_one_vote() -> None:
    register = noted(
        with_members(founded(), *EIGHT), OwnershipDeclared(member="birch", holdings=(Holding(holder="amber", fraction=5_001),))
    )
    opened = votes(admission(register), "yes", "amber")
    opened = votes(opened, "no", "birch")
    state = opened.state.state
    assert isinstance(state, Open)
    assert (state.tally.roll_heads, state.tally.heads, state.tally.yes, state.tally.no) == (7, 1, 0, 1)


def test_the_member_that_a_decision_is_about_is_barred_and_leaves_the_quorum() -> None:
    opened = story().when(Propose(title="Expel", motion=EXPEL), by="sam")
    opened.when(CastBallot(member="amber", choice="no"), by="rep-amber").refused("recused")
    state = opened.state.state
    assert isinstance(state, Open)
    assert state.tally.roll_heads == 7


def test_the_board_votes_while_there_is_no_member() -> None:
    register = noted(founded(), OfficeGranted(person="bea", office=Office.BOARD), OfficeGranted(person="ben", office=Office.BOARD))
    opened = admission(register)
    opened.when(CastBallot(choice="yes"), by="sam").refused("not_on_roll")
    voted = opened.when(CastBallot(choice="yes"), by="bo").when(CastBallot(choice="yes"), by="bea")
    assert voted.phase == "executed"


def test_a_suspended_member_does_not_vote_though_it_is_on_the_roll() -> None:
    opened = admission()
    opened = replace(opened, register=noted(opened.register, MemberSuspended(member="amber", cause="dues")))
    opened.when(CastBallot(member="amber", choice="yes"), by="rep-amber").refused("member_not_active")


def test_nobody_votes_for_a_member_that_he_does_not_speak_for() -> None:
    admission().when(CastBallot(member="amber", choice="yes"), by="rep-birch").refused("not_a_representative")


# ---------------------------------------------------------------- ballots


def test_a_ballot_can_be_changed_until_the_close_and_counts_once() -> None:
    voted = votes(votes(admission(), "yes", "amber"), "no", "amber")
    state = voted.state.state
    assert isinstance(state, Open)
    assert (state.tally.heads, state.tally.yes, state.tally.no) == (1, 0, 1)
    voted.when(CastBallot(member="amber", choice="no"), by="rep-amber").then()


def test_nothing_is_counted_at_or_after_the_close() -> None:
    admission().when(CastBallot(member="amber", choice="yes"), by="rep-amber", at=day(7)).refused("vote_not_open")
    admission().due().when(CastBallot(member="amber", choice="yes"), by="rep-amber").refused("vote_not_open")


def test_who_declares_a_conflict_leaves_the_count_with_the_ballot_he_cast() -> None:
    declared = votes(admission(), "yes", "amber").when(DeclareConflict(member="amber", reason="our supplier"), by="rep-amber")
    declared.followed_by("conflict_declared")
    state = declared.state.state
    assert isinstance(state, Open)
    assert (state.tally.roll_heads, state.tally.heads, state.tally.yes) == (7, 0, 0)
    declared.when(CastBallot(member="amber", choice="yes"), by="rep-amber").refused("recused")
    declared.when(DeclareConflict(member="amber", reason="our supplier"), by="rep-amber").then()


@pytest.mark.parametrize(
    "ballot", [CastBallot(member="amber"), CastBallot(member="amber", choice="consent"), CastBallot(member="amber", ranking=("small",))]
)
def test_a_weighted_vote_takes_yes_no_or_abstain(ballot: CastBallot) -> None:
    admission().when(ballot, by="rep-amber").refused("choice_unfit")


@pytest.mark.parametrize(
    "ballot",
    [
        CastBallot(member="amber", choice="yes"),
        CastBallot(member="amber", ranking=("small", "small")),
        CastBallot(member="amber", ranking=("huge",)),
        CastBallot(member="amber", ranking=("small",), choice="abstain"),
        CastBallot(member="amber"),
    ],
)
def test_a_ranked_vote_takes_each_option_at_most_once(ballot: CastBallot) -> None:
    steering().when(ballot, by="rep-amber").refused("choice_unfit")


# ---------------------------------------------------------------- results


def test_what_can_no_longer_change_closes_at_once_and_is_carried_out_once() -> None:
    closed = votes(admission(), "yes", "amber", "birch", "cedar", "delta", "ember")
    closed.followed_by("ballot_cast", "vote_closed", "vote_decided", "mandate_granted", "proposal_executed").owes("tell", "tell:motion")
    granted = [event for event in closed.answer if isinstance(event, MandateGranted)]
    assert [event.digest for event in granted] == [digest_of("member/zenith", {"kind": "admit"})]
    decided = next(event for event in closed.answer if isinstance(event, VoteDecided))
    assert (decided.passed, decided.concerns, decided.yes) == (True, "member/zenith", frozenset(EIGHT[:5]))
    closed.when(CloseVote(), at=day(8)).then()
    closed.when(Execute(), at=day(8)).then()


def test_a_vote_without_quorum_lapses_and_orders_what_was_to_happen_otherwise() -> None:
    lapsed = votes(admission(), "yes", "amber").due().followed_by("vote_closed", "vote_decided", "mandate_granted")
    assert lapsed.phase == "lapsed"
    lapsed.owes("tell", "tell:otherwise")


def test_a_rejected_motion_orders_what_was_to_happen_otherwise() -> None:
    rejected = votes(admission(), "no", "amber", "birch", "cedar", "delta").owes("tell", "tell:otherwise")
    assert rejected.phase == "rejected"
    assert rejected.register.mandates


def test_who_abstains_makes_the_quorum_and_not_the_majority() -> None:
    closed = votes(votes(admission(), "abstain", "amber", "birch"), "yes", "cedar").due()
    assert closed.phase == "executed"


def test_a_passed_motion_waits_for_its_timelock_and_says_who_opposed_it() -> None:
    opened = story().when(Propose(title="Expel", motion=EXPEL), by="sam")
    passed = votes(votes(opened, "no", "birch"), "yes", "cedar", "delta", "ember", "fjord", "grove")
    assert isinstance(passed.state.state, Timelocked)
    assert passed.register.votes["proposal/one"].no == {"birch"}
    passed.when(Execute(), at=day(2)).refused("not_due")
    executed = passed.due().followed_by("proposal_executed").owes("tell", "tell:motion")
    assert executed.at == day(3)


def test_a_late_quorum_extends_the_close_once() -> None:
    voted = votes(steering(), "abstain", "amber", "birch", "cedar")
    late = voted.when(CastBallot(member="delta", choice="abstain"), by="rep-delta", at=day(9.5))
    late.then(late.answer[0], VoteExtended(closes_at=day(11)))
    again = late.when(DeclareConflict(member="delta", reason="after all"), by="rep-delta", at=day(10.5))
    again.when(CastBallot(member="ember", choice="abstain"), by="rep-ember", at=day(10.6)).followed_by("ballot_cast")


def test_silence_is_consent_under_lazy_consensus() -> None:
    opened = story().when(Propose(title="Move the call", decision="routine"), by="sam")
    assert opened.agenda.deadline is not None
    assert opened.agenda.deadline.at == day(3)
    assert opened.due().phase == "passed"


def test_enough_objections_end_lazy_consensus_at_once() -> None:
    opened = story().when(Propose(title="Move the call", decision="routine"), by="sam")
    assert votes(opened, "object", "amber", "birch").phase == "rejected"


def test_a_ranked_vote_orders_the_options() -> None:
    opened = steering()
    for member, ranking in (("amber", "small"), ("birch", "medium"), ("cedar", "medium"), ("delta", "large"), ("ember", "medium")):
        opened = opened.when(
            CastBallot(member=member, ranking=(ranking, "medium") if ranking != "medium" else ("medium",)), by=f"rep-{member}"
        )
    state = opened.due().state.state
    assert isinstance(state, Over)
    assert state.result.ranking[0] == ("medium",)


def test_a_budget_is_shared_among_the_projects() -> None:
    opened = story().when(Propose(title="Share 100", decision="budget", options=PROJECTS, budget=100), by="sam")
    opened.when(CastBallot(member="amber", approves=frozenset({"gold"})), by="rep-amber").refused("choice_unfit")
    for member in EIGHT[:5]:
        opened = opened.when(CastBallot(member=member, approves=frozenset({"data", "safety"})), by=f"rep-{member}")
    state = opened.due().state.state
    assert isinstance(state, Over)
    assert set(state.result.funded) == {"data", "safety"}


def test_a_proposal_is_withdrawn_by_its_sponsor_until_somebody_voted() -> None:
    opened = story().when(Propose(title="Admit", motion=ADMIT), by="sam")
    opened.when(WithdrawProposal(), by="bo").refused("not_the_sponsor")
    assert opened.when(WithdrawProposal(), by="sam").followed_by("proposal_withdrawn", "mandate_granted").phase == "withdrawn"
    votes(opened, "yes", "amber").when(WithdrawProposal(), by="sam").refused("vote_not_open")


def test_nothing_happens_before_the_announcement() -> None:
    story().when(CastBallot(member="amber", choice="yes"), by="rep-amber").refused("vote_not_open")
    story().when(DeclareConflict(member="amber", reason="x"), by="rep-amber").refused("vote_not_open")
    story().when(CloseVote()).then()


def test_a_roll_of_ten_thousand_opens_and_takes_ballots() -> None:
    register = with_members(founded(), *(f"m{number:05}" for number in range(10_000)))
    opened = admission(register)
    assert sum(step.kind == "notify" for step in opened.steps) == 100
    voted = votes(opened, "yes", *(f"m{number:05}" for number in range(50)))
    assert voted.state.state.tally.heads == 50
