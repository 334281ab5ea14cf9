"""Funding rounds: pledges, calls, the default ladder, late joiners, leavers, spending and refunds.

| command | by whom | events | refusals (clause), besides office_required, not_a_representative, not_committed, not_in_round, round_not_opened, round_closed |
| --- | --- | --- | --- |
| open_round, amend_round | secretariat, treasurer | round_opened | round_exists, name_too_long, wrong_currency (currency), opens_in_the_past, closes_before_opening, closes_too_late, minimum_above_goal, budget_does_not_sum, tranches_do_not_sum, tranche_without_milestone, milestone_named_twice, pledging_started |
| withdraw_round | secretariat, treasurer | round_withdrawn | pledging_started |
| pledge | representative of an active member | (pledging_started) pledge_made | pledging_not_started, pledging_closed, member_not_active, unknown_member, wrong_currency, pledge_below_floor (funding.share_floor), pledge_above_cap (funding.share_cap), pledges_locked (funding.pledge_lock_hours) |
| withdraw_pledge | representative | pledge_withdrawn | pledging_not_started, pledging_closed, pledges_locked (funding.pledge_lock_hours) |
| extend_round, reduce_goal | a passed proposal | round_extended; goal_reduced, commitment_bound… | no_mandate, goal_out_of_range |
| cancel_round | a passed proposal; for a shortfall also the clock | round_cancelled, round_closed where nothing is to be paid back | no_mandate, not_pledging, service_only, not_due |
| fail_round | the proposal's rejection, the service when the vote's time is over | round_failed | service_only, not_due |
| release_tranche | the run; the board while there is none | tranche_released | other_milestone, run_releases (training.reviewers), no_such_tranche |
| call_tranche | treasurer | interest_shared…, tranche_called, credit_applied… | no_such_tranche, tranche_out_of_order, tranche_not_released, minimum_lost, calendar_ended (calendar.until), not_a_business_day (calendar), notice_too_short (funding.call_notice_business_days), due_too_late, too_many_calls |
| record_payment | treasury | payment_recorded, make_up_reduced, call_cleared, default_cured, catch_up_called | reference_used, value_date_in_the_future, wrong_currency; what is not taken goes to the treasury's inbox |
| record_payment after the end | treasury, of a member that still owes | (round_reopened) payment_recorded, surplus_returned, interest_shared, default_cured, round_closed once nothing is held | value_date_in_the_future; of who owes nothing it goes to the treasury's inbox |
| reverse_payment | treasury | payment_reversed, call_reopened…; reversal_turned_away of a payment that never came | reference_used; what went back meanwhile goes to the treasury's inbox |
| reverse_payment after the end | treasury | (round_reopened) payment_reversed, surplus_returned, share_reduced, member_defaulted, round_closed; reversal_turned_away | reference_used; credit of a round that called nothing, which went back, goes to the treasury's inbox |
| deliver_in_kind | representative | in_kind_delivered | not_on_rate_card (rate_card), delivery_above_commitment (rate_card), evidence_used |
| accept_in_kind, reject_in_kind | secretariat, treasurer, not of that member | in_kind_accepted, evidence_used; in_kind_rejected | evidence_used, own_delivery, no_such_delivery, delivery_rejected, delivery_accepted |
| join_late | representative of an active member outside the round | late_joiner_committed, catch_up_called | member_not_active, unknown_member, already_committed, commitment_below_floor (funding.share_floor), commitment_above_cap (funding.share_cap), calendar_ended (calendar.until), too_many_calls |
| take_over | representative of an active member | commitment_taken_over, catch_up_called | member_not_active, unknown_member, not_in_default, more_than_defaulted, taken_over_before, commitment_above_cap (funding.share_cap), calendar_ended (calendar.until), too_many_calls |
| exit_round | representative | commitment_released | no_such_decision, bound_by_yes, did_not_oppose, decision_in_effect, in_default |
| release_leaver | the membership process: notice given, notice over | commitment_released, leaving_charged; leaver_bound; nothing before the close | service_only |
| keep_member | the membership process: notice taken back | leaver_bound | service_only |
| propose_, approve_, withdraw_spending | treasurer; second signatory | spending_… | more_than_cleared, line_exceeded, no_such_line, minimum_lost, spending_exists, no_such_spending, same_person (roles), same_organisation (roles), own_payment (roles), spending_paid, spending_withdrawn, payment_ordered |
| record_, return_, release_spending | treasury | spending_paid, (round_reopened) spending_returned, spending_withdrawn | no_such_spending, not_approved, spending_paid, spending_withdrawn, spending_not_paid, reference_used |
| settle_round | treasurer | round_settled | not_all_called, calls_running, default_open (funding), delivery_open, spending_open |
| order_refund | treasurer | refund_ordered | refund_above_credit, refund_above_held (funding), refund_exists |
| order_refunds | treasurer | refund_ordered of each credit, refunds_ordered | nothing_to_refund, refund_above_held (funding) |
| record_, return_, release_refund | treasury | refund_made, (round_reopened) refund_returned, refund_released; round_closed | no_such_refund, refund_not_made, refund_released, reference_used |

| state | deadline | its command |
| --- | --- | --- |
| draft | opens_at | start_pledging |
| pledging | closes_at | close_pledging |
| short | vote_ends_at | fail_round |
| committed, calling, endangered | the next rung of a call that runs | remind_before_due, mark_overdue, remind_overdue, declare_default |
| endangered | decide_by | cancel_round (shortfall) |
| committed, calling, refunding, where nothing else comes next | the end of a watch (tests/test_silence.py) | pass_duty, end_in_silence |
| closed_with_debts | ask_at | ask_for_debts |
| withdrawn, failed, settled, cancelled | closed, until money comes back | |

A notice of a call asks for everything that the member owes by a day, interest included, with what each further day adds: so much paid by then
settles it. Money settles the principal that is due, then its interest, then what is not due yet. Interest alone makes no default up to the
charter's `interest_carried_up_to`. Late money of a member in default, or of who stands in for it, lowers what others made up, in proportion:
`make_up_reduced`. A member that is cured is called at once for what it missed: `catch_up_called`. When a round is cancelled, a member bears what
was spent in proportion to what it was called for by itself; what it paid less stays owed, with its default. What the bank takes back
after the end is owed again up to that share, with what went back of it, and others' surplus that had come of it is theirs no more until it is paid.

A pledge counts at the close for who is an active member then, and for a leaver whose notice runs and was given when pledges were locked already:
that one is bound to what it is allocated, as by a notice after the close. A commitment that a leaver is let go of costs it the charter's
`leaving_charge` of what ends. The charge is called, pays for what the round does, and counts like any other call: what nobody spends of it comes
back, at a settlement in proportion to the cash that each paid in; at a cancellation the leaver bears its share of what was spent as of one that
was called for so much, and where it never paid, that share stays owed. So it is no penalty: who leaves carries the charter's part of what it
had committed, wherever the round goes.

An order of all refunds takes what is credit now, from each in proportion where less is left on the account, a hundred members at a time;
the treasury has it approved as one list. What the treasury gives up of it (`release_refund`) is credit again, and in the next order.

Steps: `notify` (treasurer, secretariat, board, members by the hundred) and `tell` to `proposal/extend-<round>`,
`proposal/shortfall-<round>-<n>`, `member/<slug>` (suspend_for_default, lift_default) and `treasury/<account>` (order_payment,
order_payment_list, turn_away_payment).
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.notices.templates import written
from domain import letters
from domain.charter import Charter, Office
from domain.kernel import Command, Event, digest_of, mapping
from domain.letters import LISTED
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import (
    BankReferenceUsed,
    Capacity,
    CharterAdopted,
    CommitmentBound,
    Holding,
    MandateGranted,
    MemberDeparted,
    MemberDeparting,
    MemberStaying,
    MemberSuspended,
    OfficeGranted,
    OwnershipDeclared,
    PaymentExpected,
    RepresentativeSeated,
    RunReported,
    VoteDecided,
)
from domain.round import commands as round_commands
from domain.round import events as round_events
from domain.round.dues import owed_on
from domain.round.process import ROUND
from domain.round.state import books_of, money_by_state
from domain.round.terms import BudgetLine, Tranche
from domain.stream import StepOwed
from tests.rounds import books
from tests.stories import Story, charter, day, founded, noted, with_members

GOAL = 1_000_000
RELEASE = letters.ReleaseTranche(tranche=2, run="atlas-1", milestone="half-way")
MEMBERS = ("ada", "bel", "cyd", "dov")
ALL = (*MEMBERS, "eli", "fay")


def rules(**changes: Any) -> Charter:
    """Few members carry much each, so that stories stay short; what is waited for by people waits for ever (see tests/test_silence.py).

    A commitment ends when its member gives notice, without a charge, and pledges are never locked, where a story does not say otherwise.
    """
    return charter(
        **{
            "silence": {},
            "funding__leaver_bound_until": "notice_given",
            "funding__leaving_charge": 0,
            "funding__pledge_lock_hours": 0,
            "funding__share_cap": 4_000,
            "funding__default_interest": 3_600,
            "funding__equalisation_interest": 3_600,
            **changes,
        }
    )


def terms(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Atlas 1",
        "currency": "USD",
        "goal": GOAL,
        "minimum": 700_000,
        "opens_at": day(1),
        "closes_at": day(10),
        "run": "atlas-1",
        "budget": (BudgetLine(name="compute", amount=800_000), BudgetLine(name="data", amount=200_000)),
        "tranches": (Tranche(name="start", fraction=4_000), Tranche(name="half", fraction=6_000, milestone="half-way")),
        **changes,
    }


def unopened(charter: Charter | None = None) -> Story:
    return Story.of(ROUND, "round/atlas-1", with_members(founded(charter or rules()), *ALL))


def opened(charter: Charter | None = None, **changes: Any) -> Story:
    return unopened(charter).when(round_commands.OpenRound(**terms(**changes)), by="sam")


def pledging(charter: Charter | None = None, **changes: Any) -> Story:
    return opened(charter, **changes).due()


def pledged(story: Story, **pledges: int) -> Story:
    for member, amount in pledges.items():
        story = story.when(round_commands.Pledge(member=member, amount=amount), by=f"rep-{member}")
        assert story.refusal is None, story.refusal
    return story


def committed(charter: Charter | None = None, **changes: Any) -> Story:
    """Four members carry a quarter each."""
    return pledged(pledging(charter, **changes), **dict.fromkeys(MEMBERS, 250_000)).due()


def called(charter: Charter | None = None, **changes: Any) -> Story:
    """The first tranche is called: 100,000 of each."""
    return committed(charter, **changes).when(round_commands.CallTranche(tranche=1), by="tess")


def paid(story: Story, member: str, amount: int, *, reference: str = "", on: date | None = None) -> Story:
    reference = reference or f"{member.upper()}-{len(story.register.references)}"
    return story.when(letters.RecordPayment(member=member, amount=amount, reference=reference, value_date=on or story.at.date()))


def refund_of(story: Story, member: str) -> letters.RecordRefund:
    """How the treasury tells of the member's last refund."""
    kept = books_of(story.state.state)
    assert kept is not None
    name, refund = next((name, refund) for name, refund in kept.refunds.items() if refund.member == member)
    return letters.RecordRefund(payment=name, member=member, amount=refund.amount, reference=f"BACK-{member.upper()}")


def refunded(story: Story, member: str, amount: int | None = None) -> Story:
    """The treasurer orders a refund, and the bank shows it."""
    story = story.when(round_commands.OrderRefund(refund=f"{member}-1", member=member, amount=amount), by="tess").followed_by(
        "refund_ordered"
    )
    return story.when(refund_of(story, member))


def all_paid(story: Story, amount: int, *members: str) -> Story:
    for member in members or MEMBERS:
        story = paid(story, member, amount)
        assert story.refusal is None, story.refusal
    return story


def mandated(story: Story, command: Command) -> Story:
    digest = digest_of(story.stream, command.model_dump(mode="json"))
    return knowing(story, MandateGranted(proposal="proposal/p", digest=digest)).when(command)


def knowing(story: Story, *events: Event) -> Story:
    return replace(story, register=noted(story.register, *events))


def until(story: Story, kind: str) -> Story:
    """Deadlines come until one of this kind has come."""
    for _ in range(20):
        deadline = story.agenda.deadline
        assert deadline is not None
        story = story.due()
        if deadline.command.kind == kind:
            return story
    raise AssertionError(f"no {kind} came")


def money(story: Story, name: str, member: str = "") -> int:
    return (books(story.state.state)[member] if member else money_by_state(story.state.state))[name]


# ---------------------------------------------------------------- the announcement


def test_a_round_is_announced_pledged_called_paid_spent_and_settled_with_the_surplus_back() -> None:
    story = all_paid(called(), 100_000)
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story = all_paid(story, 150_000)
    assert money(story, "cleared") == GOAL
    story = story.when(round_commands.ProposeSpending(spending="gpu-1", line="compute", amount=600_000, payee="cloud"), by="tess")
    story = story.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").when(
        letters.RecordSpending(spending="gpu-1", reference="OUT-1")
    )
    story = story.when(round_commands.SettleRound(), by="tess")
    assert story.phase == "refunding"
    for member in MEMBERS:
        story = refunded(story, member, 100_000)
    assert story.phase == "settled"
    assert ROUND.agenda(story.state.state).closed
    assert money(story, "held") == 0
    assert money(story, "refunded") == 400_000
    assert story.register.commitments.get("ada") is None
    assert story.register.cleared["ada"] == 150_000


def test_pledging_starts_by_itself_at_the_announced_instant_and_is_told_to_every_active_member() -> None:
    story = opened()
    assert story.phase == "draft"
    assert story.agenda.deadline is not None
    assert story.agenda.deadline.at == day(1)
    story.when(round_commands.StartPledging(), at=day(0.5)).refused("not_due")
    story = story.due().followed_by("pledging_started").owes("notify", "notice:pledging:1")
    assert story.steps[0].data["to"] == [f"member:{member}" for member in ALL]
    story.when(round_commands.StartPledging()).then()


def test_only_the_secretariat_or_the_treasurer_opens_a_round_and_only_once() -> None:
    unopened().when(round_commands.OpenRound(**terms()), by="rep-ada").refused("office_required")
    story = opened()
    story.when(round_commands.OpenRound(**terms()), by="sam").then()
    story.when(round_commands.OpenRound(**terms(goal=2 * GOAL)), by="sam").refused("round_exists")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"currency": "EUR"}, "wrong_currency"),
        ({"opens_at": day(-1)}, "opens_in_the_past"),
        ({"closes_at": day(1)}, "closes_before_opening"),
        ({"closes_at": day(1_831)}, "closes_too_late"),
        ({"minimum": GOAL + 1}, "minimum_above_goal"),
        ({"budget": (BudgetLine(name="compute", amount=GOAL - 1),)}, "budget_does_not_sum"),
        ({"budget": (BudgetLine(name="a", amount=GOAL // 2), BudgetLine(name="a", amount=GOAL // 2))}, "budget_does_not_sum"),
        ({"tranches": (Tranche(name="a", fraction=9_999),)}, "tranches_do_not_sum"),
        ({"tranches": (Tranche(name="a", fraction=5_000), Tranche(name="b", fraction=5_000))}, "tranche_without_milestone"),
        ({"run": None}, "tranche_without_milestone"),
        (
            {"tranches": (Tranche(name="a", fraction=5_000, milestone="m"), Tranche(name="b", fraction=5_000, milestone="m"))},
            "milestone_named_twice",
        ),
    ],
)
def test_terms_that_do_not_add_up_are_refused(changes: dict[str, Any], rule: str) -> None:
    unopened().when(round_commands.OpenRound(**terms(**changes)), by="sam").refused(rule)
    opened().when(round_commands.AmendRound(**terms(**changes)), by="sam").refused(rule)


def test_a_name_too_long_to_name_proposals_by_is_refused() -> None:
    story = Story.of(ROUND, "round/" + "a" * 60, unopened().register)
    story.when(round_commands.OpenRound(**terms()), by="sam").refused("name_too_long")


def test_a_draft_is_amended_or_withdrawn_until_pledging_starts() -> None:
    story = opened().when(round_commands.AmendRound(**terms(title="Atlas One")), by="tess").followed_by("round_opened")
    story.when(round_commands.AmendRound(**terms(title="Atlas One")), by="tess").then()
    gone = story.when(round_commands.WithdrawRound(), by="sam").followed_by("round_withdrawn")
    assert gone.phase == "withdrawn"
    assert gone.agenda.closed
    gone.when(round_commands.WithdrawRound(), by="sam").then()
    gone.when(round_commands.AmendRound(**terms()), by="sam").refused("round_closed")
    story.when(round_commands.WithdrawRound(), by="rep-ada").refused("office_required")
    pledging().when(round_commands.WithdrawRound(), by="sam").refused("pledging_started")
    unopened().when(round_commands.WithdrawRound(), by="sam").refused("round_not_opened")


# ---------------------------------------------------------------- pledges


def test_a_new_pledge_replaces_the_former_and_the_same_again_is_old_news() -> None:
    story = (
        pledging()
        .when(round_commands.Pledge(member="ada", amount=100_000), by="rep-ada")
        .then(round_events.PledgeMade(member="ada", amount=100_000))
    )
    story.when(round_commands.Pledge(member="ada", amount=100_000), by="rep-ada").then()
    story.when(round_commands.Pledge(member="ada", amount=100_000, condition="if the data is open"), by="rep-ada").followed_by(
        "pledge_made"
    )
    story = story.when(round_commands.Pledge(member="ada", amount=300_000, condition="if the data is open"), by="rep-ada").followed_by(
        "pledge_made"
    )
    assert money(story, "pledged") == 300_000


def test_a_pledge_is_conditional_until_the_close_and_can_be_withdrawn() -> None:
    story = pledged(pledging(), ada=100_000)
    story.when(round_commands.WithdrawPledge(member="ada"), by="rep-bel").refused("not_a_representative")
    story = story.when(round_commands.WithdrawPledge(member="ada"), by="rep-ada").followed_by("pledge_withdrawn")
    story.when(round_commands.WithdrawPledge(member="ada"), by="rep-ada").then()
    story.when(round_commands.WithdrawPledge(member="ada"), by="rep-ada", at=day(10)).refused("pledging_closed")


def test_pledges_are_taken_from_the_opening_to_the_close_only() -> None:
    ask = round_commands.Pledge(member="ada", amount=100_000)
    unopened().when(ask, by="rep-ada").refused("round_not_opened")
    opened().when(ask, by="rep-ada").refused("pledging_not_started")
    opened().when(ask, by="rep-ada", at=day(10)).refused("pledging_closed")  # nobody pledged, and no worker gave the deadlines meanwhile
    pledging().when(ask, by="rep-ada", at=day(10)).refused("pledging_closed")
    committed().when(ask, by="rep-ada").refused("pledging_closed")


def test_the_instant_decides_whether_pledging_has_started_and_not_the_timer() -> None:
    story = opened().when(round_commands.Pledge(member="ada", amount=100_000), by="rep-ada", at=day(1))
    story.followed_by("pledging_started", "pledge_made").owes("notify", "notice:pledging:1")
    story.when(round_commands.StartPledging()).then()
    late = opened().when(round_commands.AmendRound(**terms(title="x")), by="sam", at=day(1)).refused("pledging_started")
    late.when(round_commands.WithdrawRound(), by="sam").refused("pledging_started")


def test_only_representatives_of_active_members_pledge() -> None:
    story = pledging()
    story.when(round_commands.Pledge(member="ada", amount=100_000), by="rep-bel").refused("not_a_representative")
    story.when(round_commands.Pledge(member="zoe", amount=100_000), by="rep-zoe").refused("not_a_representative")
    resting = knowing(story, MemberSuspended(member="ada", cause="dues"))
    resting.when(round_commands.Pledge(member="ada", amount=100_000), by="rep-ada").refused("member_not_active")


def test_a_pledge_keeps_to_the_floor_unless_it_is_the_last_remainder() -> None:
    story = pledging()
    story.when(round_commands.Pledge(member="ada", amount=19_999), by="rep-ada").refused("pledge_below_floor")
    story = pledged(story, ada=400_000, bel=400_000, cyd=199_000)
    story.when(round_commands.Pledge(member="dov", amount=999), by="rep-dov").refused("pledge_below_floor")
    pledged(story, dov=1_000)


def test_a_pledge_keeps_to_the_cap_with_related_companies_together_and_to_the_charters_currency() -> None:
    story = pledging()
    story.when(round_commands.Pledge(member="ada", amount=400_001), by="rep-ada").refused("pledge_above_cap")
    story.when(round_commands.Pledge(member="ada", amount=100_000, currency="EUR"), by="rep-ada").refused("wrong_currency")
    story = knowing(pledged(story, ada=300_000), OwnershipDeclared(member="bel", holdings=(Holding(holder="ada", fraction=5_001),)))
    story.when(round_commands.Pledge(member="bel", amount=100_001), by="rep-bel").refused("pledge_above_cap")
    pledged(story, bel=100_000)


# ---------------------------------------------------------------- the close


def test_at_the_close_pledges_become_commitments_and_everybody_knows() -> None:
    story = committed()
    story.then(
        round_events.PledgesAllocated(
            allocation=dict.fromkeys(MEMBERS, 250_000),
            counted=GOAL,
            concentration=2_500,
            gauge=1_500,
            charter_version=1,
            default_interest=3_600,
        ),
        *(CommitmentBound(member=member, source="round/atlas-1", amount=250_000) for member in MEMBERS),
        *(
            PaymentExpected(reference=creditor_reference("round/atlas-1", member), stream="round/atlas-1", member=member)
            for member in MEMBERS
        ),
    )
    assert story.phase == "committed"
    assert dict(story.register.commitments["ada"]) == {"round/atlas-1": 250_000}
    assert (
        "2,500 of 10,000 basis points (n equal shares make 10,000 / n, a single member 10,000), above the charter's gauge of 1,500: much hangs on few, and no rule follows from it"
        in ROUND.describe(story.state.state).text
    )


def test_the_concentration_is_shown_while_pledges_come_and_when_commitments_change() -> None:
    story = pledged(pledging(), ada=300_000, bel=300_000)
    assert "by member: 5,000 of 10,000 basis points" in ROUND.describe(story.state.state).text
    story = story.when(round_commands.WithdrawPledge(member="bel"), by="rep-bel")
    assert "by member: 10,000 of 10,000 basis points" in ROUND.describe(story.state.state).text
    assert "Now, by member: 2,500." in ROUND.describe(committed().state.state).text
    left = committed(minimum=1).when(letters.ReleaseLeaver(member="ada")).when(letters.ReleaseLeaver(member="bel"))
    assert "Now, by member: 5,000." in ROUND.describe(left.state.state).text


def test_over_subscription_is_scaled_back_to_the_goal_to_the_last_cent() -> None:
    story = pledged(pledging(), ada=400_000, bel=400_000, cyd=399_999).due()
    assert {member: figures["committed"] for member, figures in books(story.state.state).items()} == {
        "ada": 333_334, "bel": 333_333, "cyd": 333_333,
    }  # fmt: skip
    assert money(story, "committed") == GOAL
    assert money(story, "pledged") == GOAL + money(story, "released") == 1_199_999


def test_members_that_are_no_longer_active_at_the_close_do_not_count() -> None:
    story = pledged(pledging(), ada=400_000, bel=400_000, cyd=300_000)
    story = knowing(story, MemberSuspended(member="cyd", cause="dues")).due()
    assert sorted(books(story.state.state)) == ["ada", "bel"]
    assert money(story, "committed") == 800_000


def test_companies_that_became_related_share_one_cap_at_the_close() -> None:
    story = pledged(pledging(), ada=300_000, bel=300_000, cyd=400_000)
    story = knowing(story, OwnershipDeclared(member="bel", holdings=(Holding(holder="ada", fraction=6_000),))).due()
    assert money(story, "committed", "ada") == money(story, "committed", "bel") == 200_000
    assert money(story, "committed") == 800_000


def test_a_conditional_pledge_counts_only_if_the_counted_pledges_reach_its_total() -> None:
    story = pledged(pledging(), ada=400_000, bel=400_000)
    met = story.when(round_commands.Pledge(member="cyd", amount=100_000, if_total_at_least=900_000), by="rep-cyd").due()
    assert money(met, "committed") == 900_000
    missed = story.when(round_commands.Pledge(member="cyd", amount=100_000, if_total_at_least=900_001), by="rep-cyd").due()
    assert money(missed, "committed") == 800_000


def test_what_a_group_pledged_beyond_its_cap_counts_for_nothing_though_it_became_known_only_then() -> None:
    alone = pledged(pledging(), ada=400_000, bel=400_000, cyd=400_000).due()
    story = pledged(pledging(), ada=400_000, bel=400_000, cyd=400_000, eli=400_000)
    split = knowing(story, OwnershipDeclared(member="eli", holdings=(Holding(holder="ada", fraction=9_000),))).due()
    assert money(alone, "committed", "ada") == 333_334
    assert (money(split, "committed", "ada"), money(split, "committed", "eli")) == (166_667, 166_667)


def test_conditions_that_lean_on_each_other_hold_together_or_fall_together() -> None:
    story = pledged(pledging(minimum=400_000), ada=400_000)
    story = story.when(round_commands.Pledge(member="bel", amount=200_000, if_total_at_least=800_000), by="rep-bel")
    both = story.when(round_commands.Pledge(member="cyd", amount=200_000, if_total_at_least=800_000), by="rep-cyd").due()
    assert money(both, "committed") == 800_000
    one = story.when(round_commands.Pledge(member="cyd", amount=200_000, if_total_at_least=800_001), by="rep-cyd").due()
    assert money(one, "committed") == 400_000


def test_below_the_minimum_a_vote_is_asked_for() -> None:
    story = pledged(pledging(), ada=400_000).due().followed_by("minimum_missed").owes("tell", "tell:proposal:extend-atlas-1")
    assert story.phase == "short"
    step = next(step for step in story.steps if step.kind == "tell")
    assert step.data["stream"] == "proposal/extend-atlas-1"
    assert step.data["command"]["motion"] == {
        "stream": "round/atlas-1", "command": {"kind": "extend_round"}, "otherwise": {"kind": "fail_round"},
    }  # fmt: skip
    story.when(round_commands.ExtendRound(), by="sam").refused("no_mandate")
    story.when(round_commands.FailRound(), by="sam").refused("service_only")
    story.when(round_commands.FailRound()).refused("not_due")
    story.when(round_commands.Pledge(member="bel", amount=100_000), by="rep-bel").refused("pledging_closed")


def test_a_vote_extends_the_round_once_and_the_pledges_stand() -> None:
    story = mandated(pledged(pledging(), ada=400_000).due(), round_commands.ExtendRound()).followed_by(
        "mandate_exercised", "round_extended"
    )
    assert story.phase == "pledging"
    assert story.agenda.deadline is not None
    assert story.agenda.deadline.at == day(10) + timedelta(days=30)
    assert pledged(story, bel=400_000).due().phase == "committed"
    failed = story.due().then(round_events.RoundFailed())
    assert failed.phase == "failed"
    assert failed.agenda.deadline is None


def test_without_an_extension_the_round_fails_by_the_vote_or_when_its_time_is_over() -> None:
    story = pledged(pledging(), ada=400_000).due()
    assert mandated(story, round_commands.FailRound()).phase == "failed"
    failed = story.due().then(round_events.RoundFailed())
    failed.when(round_commands.FailRound()).then()
    failed.when(round_commands.Pledge(member="ada", amount=100_000), by="rep-ada").refused("round_closed")
    mandated(failed, round_commands.ExtendRound()).followed_by("mandate_exercised")


def test_a_round_keeps_the_charter_version_it_was_opened_under() -> None:
    story = knowing(pledging(), CharterAdopted(version=2, charter=rules(funding__share_cap=1_000)))
    pledged(story, ada=400_000)


# ---------------------------------------------------------------- calls


def test_a_call_gives_the_charters_notice_and_falls_due_at_the_end_of_a_business_day() -> None:
    story = called().followed_by("tranche_called", *["debt_stated"] * 4).owes("notify", "notice:call:1:1")
    assert story.phase == "calling"
    call = story.state.state.books.calls[1]
    assert call.schedule.due_on == date(2026, 11, 26)
    assert call.schedule.due_at.isoformat() == "2026-11-27T00:00:00+00:00"
    assert dict(story.register.debts["ada"]) == {"round/atlas-1": 100_000}
    assert ROUND.describe(story.state.state).waits_for == tuple(f"member:{member}" for member in MEMBERS)
    story.when(round_commands.CallTranche(tranche=1), by="tess").then()


def test_every_called_member_is_told_its_amount_and_its_reference_and_sees_them() -> None:
    story = paid(called(), "ada", 130_000)
    step = story.state.owed["notice:call:1:1"]
    reference = shown_reference(creditor_reference(story.stream, "bel"))
    asked = {"amount": "USD 1,000.00", "pay_by": "2026-11-26", "per_day": "USD 1.00", "reference": reference}
    assert step.data["each"]["member:bel"] == asked
    text = ROUND.describe(story.state.state).text
    assert f"| bel | USD 1,000.00 | 2026-11-26 | USD 1.00 | {reference} |" in text
    assert "| ada |" not in text
    due = story.due().state.owed["notice:capital-call-due:1:1"].data["each"]
    assert due["member:bel"] == asked
    story = all_paid(story, 100_000, "bel", "cyd", "dov").when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert story.state.owed["notice:call:2:1"].data["each"]["member:ada"]["amount"] == "USD 1,200.00", "its credit pays a part"


def test_a_due_day_without_business_or_with_too_little_notice_is_refused() -> None:
    story = committed()
    story.when(round_commands.CallTranche(tranche=1, due=date(2026, 11, 28)), by="tess").refused("not_a_business_day")
    story.when(round_commands.CallTranche(tranche=1, due=date(2026, 12, 25)), by="tess").refused("not_a_business_day")
    story.when(round_commands.CallTranche(tranche=1, due=date(2026, 11, 25)), by="tess").refused("notice_too_short")
    for due in (date(2027, 11, 15), date(2199, 12, 31)):
        story.when(round_commands.CallTranche(tranche=1, due=due), by="tess").refused("due_too_late")
    story.when(round_commands.CallTranche(tranche=1, due=date(2026, 11, 26)), by="tess").followed_by("tranche_called", *["debt_stated"] * 4)


def test_a_call_that_would_fall_due_after_the_calendars_last_day_is_refused_until_an_amendment_names_further_days() -> None:
    story = committed(rules(calendar={"until": "2026-11-25"}))
    refused = story.when(round_commands.CallTranche(tranche=1), by="tess").refused("calendar_ended")
    assert refused.refusal is not None
    assert (refused.refusal.clause, "2026-11-25" in refused.refusal.message, "consortium charter calendar" in refused.refusal.remedy) == (
        "calendar.until", True, True
    )  # fmt: skip
    amended = knowing(story, CharterAdopted(version=2, charter=rules(calendar={"until": "2027-12-31"})))
    amended.when(round_commands.CallTranche(tranche=1), by="tess").followed_by("tranche_called", *["debt_stated"] * 4)


def test_who_names_a_due_day_after_the_calendars_end_is_told_the_last_one_that_can_be_named() -> None:
    story = committed(rules(calendar={"until": "2027-01-29"}))
    refused = story.when(round_commands.CallTranche(tranche=1, due=date(2027, 2, 1)), by="tess").refused("calendar_ended")
    assert refused.refusal is not None
    assert refused.refusal.remedy.startswith("name a day until 2027-01-29, or amend")
    story.when(round_commands.CallTranche(tranche=1, due=date(2027, 1, 29)), by="tess").followed_by("tranche_called", *["debt_stated"] * 4)


def test_a_cure_that_ends_after_the_calendar_is_reckoned_by_weekdays_and_its_officers_are_told() -> None:
    within = called(rules(calendar={"until": "2026-12-10"}))
    beyond = called(rules(calendar={"until": "2026-12-09"}))
    assert within.state.state.books.calls[1].schedule == beyond.state.state.books.calls[1].schedule
    assert within.state.state.books.calls[1].schedule.cure_ends_at.isoformat() == "2026-12-11T00:00:00+00:00"
    assert "notice:calendar:1" not in within.state.owed
    told = beyond.state.owed["notice:calendar:1"].data
    assert (told["template"], told["facts"]["until"]) == ("calendar_ended", "2026-12-09")
    assert told["to"] == ["office:treasurer", "office:secretariat", "office:board"]


def test_what_a_round_does_by_itself_stops_for_no_calendar() -> None:
    story = until(all_paid(called(rules(calendar={"until": "2026-11-26"})), 100_000, "ada", "bel", "cyd"), "declare_default")
    assert money(story, "debt", "ada") == 25_000
    story.owes("notify", "notice:calendar:2")
    until(story, "declare_default")


def test_a_calendar_without_a_last_day_is_taken_at_its_word() -> None:
    story = committed().when(round_commands.CallTranche(tranche=1, due=date(2027, 11, 1)), by="tess")
    story.followed_by("tranche_called", *["debt_stated"] * 4)


def test_tranches_are_called_by_the_treasurer_in_order_and_after_their_milestone() -> None:
    story = committed()
    story.when(round_commands.CallTranche(tranche=1), by="sam").refused("office_required")
    story.when(round_commands.CallTranche(tranche=2), by="tess").refused("tranche_out_of_order")
    story.when(round_commands.CallTranche(tranche=3), by="tess").refused("no_such_tranche")
    story = story.when(round_commands.CallTranche(tranche=1), by="tess")
    story.when(round_commands.CallTranche(tranche=2), by="tess").refused("tranche_not_released")
    story = story.when(RELEASE).followed_by("tranche_released")
    story.when(RELEASE).then()
    story = story.when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "called") == GOAL
    assert money(story, "uncalled") == 0


def test_the_run_releases_its_tranches_and_the_board_only_while_there_is_no_run() -> None:
    story = called()
    story.when(RELEASE, by="tess").refused("office_required")
    for other in ({"milestone": "end"}, {"run": "other"}):
        story.when(RELEASE.model_copy(update=other)).refused("other_milestone")
        story.when(RELEASE.model_copy(update=other), by="bo").refused("other_milestone")
    story.when(letters.ReleaseTranche(tranche=2)).refused("other_milestone")
    story.when(letters.ReleaseTranche(tranche=2), by="bo").followed_by("tranche_released")
    reported = RunReported(run="atlas-1", phase="running", contract="c" * 64, checkpoints_retained=True, training_lead="lea")
    story = knowing(story, reported)
    story.when(letters.ReleaseTranche(tranche=2), by="bo").refused("run_releases")
    story.when(RELEASE).followed_by("tranche_released")


def test_nothing_is_called_before_the_commitment() -> None:
    pledging().when(round_commands.CallTranche(tranche=1), by="tess").refused("not_committed")
    opened().when(RELEASE).then()


def test_uneven_tranches_call_every_cent_in_the_end() -> None:
    thirds = (
        Tranche(name="a", fraction=3_333),
        Tranche(name="b", fraction=3_333, milestone="b"),
        Tranche(name="c", fraction=3_334, milestone="c"),
    )
    story = pledged(pledging(tranches=thirds), ada=333_331, bel=333_337, cyd=333_332).due()
    for number in (1, 2, 3):
        story = story.when(letters.ReleaseTranche(tranche=number, run="atlas-1", milestone=thirds[number - 1].milestone)).when(
            round_commands.CallTranche(tranche=number), by="tess"
        )
    assert money(story, "called") == GOAL
    assert {member: figures["uncalled"] for member, figures in books(story.state.state).items()} == {"ada": 0, "bel": 0, "cyd": 0}


def test_a_round_names_the_run_and_the_board_while_the_next_tranche_is_not_released_and_the_treasurer_once_it_is() -> None:
    assert ROUND.describe(called().state.state).waits_for == tuple(f"member:{member}" for member in MEMBERS)
    story = all_paid(called(), 100_000)
    headline = ROUND.describe(story.state.state)
    assert headline.waits_for == ("run/atlas-1", "office:board")
    assert headline.line.endswith(
        "1 of 2 tranches called; the next waits for the milestone half-way of run/atlas-1, or for the board as long as there is no such run"
    )
    headline = ROUND.describe(story.when(RELEASE).state.state)
    assert (headline.waits_for, headline.line.endswith("1 of 2 tranches called")) == (("office:treasurer",), True)


def test_a_round_about_which_the_members_vote_does_not_name_the_board_which_has_no_ballot() -> None:
    story = pledged(pledging(), ada=100_000).due()
    headline = ROUND.describe(story.state.state)
    assert (headline.phase, headline.waits_for) == ("short", ())
    assert "`consortium proposals`" in headline.text


def test_what_is_done_in_another_phase_is_told_where_the_round_is() -> None:
    register = with_members(founded(charter()), *MEMBERS)
    short = pledged(pledging(), ada=100_000).due()
    stands = {
        ("there is no such round", "round_not_opened"): Story.of(ROUND, "round/atlas-1", register),
        ("pledging starts at", "pledging_not_started"): opened(),
        ("pledging is closed: the minimum was missed, and a vote may extend pledging until", "pledging_closed"): short,
        ("pledging is closed: pledging is over, and the round is committed", "pledging_closed"): committed(),
        ("this round is over: it missed its minimum, and the pledges were released", "round_closed"): short.due(),
        ("this round is over: it was withdrawn before pledging began", "round_closed"): opened().when(
            round_commands.WithdrawRound(), by="sam"
        ),
    }
    for (words, rule), reached in stands.items():
        turned = reached.when(round_commands.Pledge(member="ada", amount=100_000), by="rep-ada").refused(rule).refusal
        assert turned is not None
        assert turned.message.startswith(words)


def test_between_an_instant_and_the_command_of_the_clock_nobody_is_told_to_wait_for_what_is_past() -> None:
    ask = round_commands.Pledge(member="ada", amount=100_000)
    late = pledging().when(ask, by="rep-ada", at=day(10)).refused("pledging_closed").refusal
    assert late is not None
    assert late.message.startswith("members could pledge until")
    assert "until the pledges are counted" in late.remedy
    amended = opened().when(round_commands.AmendRound(**terms()), by="sam", at=day(1)).refused("pledging_started").refusal
    assert amended is not None
    assert "has not begun" not in amended.message


def test_notices_go_out_by_the_hundred() -> None:
    many = [f"m{number:03}" for number in range(250)]
    register = with_members(founded(rules(funding__share_floor=0, tiers__founding__seats=1_000)), *many)
    story = Story.of(ROUND, "round/atlas-1", register).when(round_commands.OpenRound(**terms()), by="sam").due()
    story = pledged(story, **dict.fromkeys(many, 4_000)).due().when(round_commands.CallTranche(tranche=1), by="tess")
    assert sorted(len(step.data["to"]) for step in story.state.owed.values() if step.key.startswith("notice:call:1")) == [50, 100, 100]
    assert ROUND.describe(story.state.state).waits_for == ("office:treasurer",)


def test_each_of_thirty_members_finds_its_call() -> None:
    thirty = [f"m{number:02}" for number in range(30)]
    register = with_members(founded(rules(funding__share_floor=0, tiers__founding__seats=30)), *thirty)
    story = Story.of(ROUND, "round/atlas-1", register).when(round_commands.OpenRound(**terms()), by="sam").due()
    story = pledged(story, **dict.fromkeys(thirty, 40_000)).due().when(round_commands.CallTranche(tranche=1), by="tess")
    assert ROUND.describe(story.state.state).waits_for == tuple(f"member:{member}" for member in thirty)


# ---------------------------------------------------------------- payments


def test_partial_payments_clear_the_call_when_the_last_cent_is_there() -> None:
    story = paid(called(), "ada", 40_000).followed_by("payment_recorded", "bank_reference_used", "debt_stated", "contribution_cleared")
    assert story.register.cleared["ada"] == 40_000
    assert dict(story.register.debts["ada"]) == {"round/atlas-1": 60_000}
    story = all_paid(paid(story, "ada", 60_000), 100_000, "bel", "cyd")
    story = paid(story, "dov", 100_000).followed_by(
        "payment_recorded", "bank_reference_used", "call_cleared", "debt_stated", "contribution_cleared"
    )
    assert story.agenda.deadline is None
    assert not story.register.debts


def test_an_over_payment_is_credit_that_pays_the_next_call_or_goes_back() -> None:
    story = paid(called(), "ada", 130_000)
    assert money(story, "credit", "ada") == 30_000
    assert story.register.cleared["ada"] == 100_000
    story.when(round_commands.OrderRefund(refund="ada-1", member="ada", amount=30_001), by="tess").refused("refund_above_credit")
    story.when(round_commands.OrderRefund(refund="ada-1", member="ada", amount=30_000), by="rep-ada").refused("office_required")
    back = refunded(story, "ada").followed_by("refund_made", "bank_reference_used")
    back.when(refund_of(back, "ada")).then()
    back.when(refund_of(back, "ada"), by="tess").refused("service_only")
    back.when(round_commands.OrderRefund(refund="ada-1", member="ada"), by="tess").then()
    back.when(round_commands.OrderRefund(refund="ada-1", member="bel"), by="tess").refused("refund_exists")
    back.when(round_commands.OrderRefund(refund="ada-2", member="ada"), by="tess").refused("refund_above_credit")
    assert money(back, "held") == 100_000
    story = all_paid(story, 100_000, "bel", "cyd", "dov").when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "credit", "ada") == 0
    assert money(story, "debt", "ada") == 120_000
    assert story.register.cleared["ada"] == 130_000


def test_each_bank_reference_is_booked_once_and_the_same_movement_again_is_old_news() -> None:
    story = paid(called(), "ada", 100_000, reference="IN-1")
    paid(story, "ada", 100_000, reference="IN-1").then()
    paid(story, "ada", 99_999, reference="IN-1").refused("reference_used")
    paid(story, "bel", 100_000, reference="IN-1").refused("reference_used")
    elsewhere = knowing(story, BankReferenceUsed(reference="IN-2", source="member/bel"))
    paid(elsewhere, "bel", 100_000, reference="IN-2").refused("reference_used")


def turned_away(story: Story, line: str) -> bool:
    """Whether the treasury is told that a movement is not taken here."""
    return any(step.data.get("command", {}).get("line") == line for step in story.steps if step.kind == "tell")


def test_a_payment_is_of_a_member_in_the_round_told_by_the_treasury_and_not_of_the_future() -> None:
    story = called()
    assert turned_away(paid(story, "eli", 100_000, reference="IN-9").then(), "IN-9")
    paid(story, "ada", 100_000, on=story.at.date() + timedelta(days=1)).refused("value_date_in_the_future")
    ask = letters.RecordPayment(member="ada", amount=100_000, reference="IN-1", value_date=story.at.date())
    for person in ("sam", "tess", "rep-ada"):
        story.when(ask, by=person).refused("service_only")
    story.when(ask.model_copy(update={"currency": "EUR"})).refused("wrong_currency")
    assert turned_away(pledging().when(ask).then(), "IN-1")


# ---------------------------------------------------------------- the default ladder


def test_the_ladder_reminds_marks_overdue_warns_and_declares_the_default() -> None:
    story = all_paid(called(), 100_000, "ada", "bel", "cyd")
    story = story.due().followed_by("call_reminded").owes("notify", "notice:capital-call-due:1:1")
    story.when(round_commands.MarkOverdue(call=1)).refused("not_due")
    story = story.due().followed_by("call_overdue").owes("notify", "notice:capital-call-overdue:1:1")
    assert money(story, "overdue") == 100_000
    story = story.due().followed_by("call_warned").owes("notify", "notice:capital-call-cure-ends:1:1")
    story.when(round_commands.DeclareDefault(call=1)).refused("not_due")
    story.when(round_commands.DeclareDefault(call=1), by="tess").refused("service_only")
    story = story.due().owes("tell", "tell:default:dov:1").owes("notify", "notice:default:1")
    assert {"call_defaulted", "member_defaulted", "make_up_called"} <= {event.kind for event in story.answer}
    tell = next(step for step in story.steps if step.key == "tell:default:dov:1")
    assert tell.data == {"stream": "member/dov", "command": {"kind": "suspend_for_default", "source": "round/atlas-1"}}
    story.when(round_commands.DeclareDefault(call=1)).then()
    story.when(round_commands.MarkOverdue(call=1)).then()
    story.when(round_commands.DeclareDefault(call=9)).then()


def test_only_what_is_past_its_due_day_is_overdue_and_once() -> None:
    story = all_paid(called(minimum=1), 100_000, "ada", "bel", "cyd").when(RELEASE)
    story = until(story.when(round_commands.CallTranche(tranche=2, due=date(2027, 1, 15)), by="tess"), "declare_default")
    assert money(story, "debt", "dov") == 250_000
    assert money(story, "overdue") == 100_000
    cured = paid(story, "dov", 110_000)
    assert money(cured, "overdue") == 0


def asked(story: Story, notice: str, member: str = "dov") -> tuple[int, date, int]:
    """What a notice asked of a member: the amount, the day until which it is enough, and what each further day adds."""
    facts = story.known[f"notice:{notice}"].data["each"][f"member:{member}"]
    amount, per_day = (int(facts[name].removeprefix("USD ").replace(",", "").replace(".", "")) for name in ("amount", "per_day"))
    return amount, date.fromisoformat(facts["pay_by"]), per_day


def sent(story: Story, notice: str) -> tuple[str, list[str]]:
    """The template of a notice, and whom it went to."""
    data = story.known[f"notice:{notice}"].data
    return data["template"], data["to"]


@pytest.mark.parametrize(
    ("rung", "notice", "days"),
    [("mark_overdue", "capital-call-overdue:1:1", 3), ("remind_overdue", "capital-call-cure-ends:1:1", 14)],
)
@pytest.mark.parametrize("further", [0, 1, 2])
def test_who_pays_late_what_its_notice_asked_for_by_the_day_it_names_owes_nothing(rung: str, notice: str, days: int, further: int) -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), rung)
    amount, pay_by, per_day = asked(story, notice)
    assert (amount, pay_by, per_day) == (100_000 + 100 * days, date(2026, 11, 26) + timedelta(days=days), 100)
    on = pay_by + timedelta(days=further)
    story = story.when(
        letters.RecordPayment(member="dov", amount=amount + further * per_day, reference="LATE", value_date=on),
        at=story.at + timedelta(days=14),
    )
    assert money(story, "debt", "dov") == money(story, "credit", "dov") == 0
    assert story.agenda.deadline is None


def test_interest_alone_is_no_default_it_is_told_and_the_next_call_asks_for_it() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "mark_overdue")
    story = paid(story, "dov", 100_000, on=story.at.date()).owes("notify", "notice:interest-left:DOV-3:1")
    assert money(story, "debt", "dov") == 100, "36 % a year on 100,000 for one day"
    assert story.state.owed["notice:interest-left:DOV-3:1"].data["facts"]["interest"] == "USD 1.00"
    assert story.agenda.deadline is None, "nothing that is not paid can make a default"
    assert "| dov | USD 1.00 |" in ROUND.describe(story.state.state).text
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    amount, _, _ = asked(story, "call:2:1")
    assert amount == 150_100
    cured = paid(story, "dov", amount)
    assert money(cured, "debt", "dov") == 0
    short = paid(story, "dov", 150_000)
    assert [(due.principal, due.interest) for due in short.state.state.books.accounts["dov"].dues] == [(0, 100)], "it is carried again"
    assert money(paid(story, "dov", 100), "debt", "dov") == 150_000, "what pays no call pays the interest"


def test_a_charter_may_set_how_much_interest_alone_is_carried() -> None:
    story = until(all_paid(called(rules(funding__interest_carried_up_to=99)), 100_000, "ada", "bel", "cyd"), "mark_overdue")
    late = paid(story, "dov", 100_000, on=story.at.date())
    defaulted = until(late, "declare_default")
    assert money(defaulted, "in_default") == 150_000
    assert defaulted.known["notice:default:1"].data["facts"]["unpaid"] == "USD 1.00"
    assert (
        paid(defaulted, "dov", 1)
        .followed_by("payment_recorded", "bank_reference_used", "call_cleared", "default_cured", "debt_stated")
        .phase
        == "calling"
    ), "USD 0.99 is carried again"
    carried = called(rules(funding__interest_carried_up_to=100))
    assert paid(until(all_paid(carried, 100_000, "ada", "bel", "cyd"), "mark_overdue"), "dov", 100_000).agenda.deadline is None


def test_who_is_late_is_told_first_that_it_is_in_default_what_it_owes_and_the_way_back() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    keys = [event.step.key for event in story.answer if isinstance(event, StepOwed)]
    assert keys[:2] == ["notice:in-default:1:1", "tell:default:dov:1"]
    assert keys.index("notice:default:1") > 1 < keys.index("notice:call:2:1")
    amount, pay_by, per_day = asked(story, "in-default:1:1")
    assert (amount, pay_by, per_day) == (101_800, date(2026, 12, 14), 100)
    assert "member:dov" in ROUND.describe(story.state.state).waits_for
    days = 4
    story = story.when(
        letters.RecordPayment(member="dov", amount=amount + days * per_day, reference="CURE", value_date=pay_by + timedelta(days=days)),
        at=story.at + timedelta(days=days + 4),
    )
    assert "default_cured" in {event.kind for event in story.answer}
    assert money(story, "debt", "dov") == money(story, "credit", "dov") == 0


def test_who_is_called_for_what_its_credit_pays_is_told_that_nothing_is_to_be_done() -> None:
    story = all_paid(paid(called(), "ada", 250_000), 100_000, "bel", "cyd", "dov")
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert sent(story, "call-covered:2:1") == ("call_covered", ["member:ada"])
    assert sent(story, "call:2:1") == ("capital_called", ["member:bel", "member:cyd", "member:dov"])


def test_who_is_called_to_make_up_what_its_credit_pays_is_told_that_nothing_is_to_be_done() -> None:
    story = until(all_paid(paid(called(), "ada", 125_000), 100_000, "bel", "cyd"), "declare_default")
    assert sent(story, "call-covered:2:1") == ("call_covered", ["member:ada"])
    assert sent(story, "call:2:1") == ("make_up_called", ["member:bel", "member:cyd"])


def test_who_has_not_made_up_yet_is_told_what_is_not_to_be_paid_any_more_and_who_has_what_comes_back() -> None:
    story = cured(made_up(paid_by=("ada",)))
    assert sent(story, "make-up-returned:1:75000:1") == ("make_up_returned", ["member:ada"])
    assert sent(story, "make-up-lapsed:1:75000:1") == ("make_up_lapsed", ["member:bel", "member:cyd"])
    assert story.known["notice:make-up-lapsed:1:75000:1"].data["each"]["member:bel"] == {"lapsed": "USD 250.00"}


def test_nobody_is_asked_to_order_refunds_of_a_round_that_ends_without_any_credit() -> None:
    assert "notice:refunds-due" not in mandated(called(), round_commands.CancelRound()).known
    assert "notice:refunds-due" in mandated(paid(called(), "ada", 1), round_commands.CancelRound()).known


def test_money_settles_first_what_is_due_first_whatever_was_called_first() -> None:
    story = all_paid(called(minimum=1), 100_000, "ada", "bel", "cyd").when(RELEASE)
    story = until(story.when(round_commands.CallTranche(tranche=2, due=date(2027, 1, 15)), by="tess"), "declare_default")
    amount, pay_by, _ = asked(story, "call:3:1", "ada")
    assert (amount, pay_by) == (25_000, story.state.state.books.calls[3].schedule.due_on)
    story = paid(story, "ada", amount)
    assert [due.call for due in story.state.state.books.accounts["ada"].dues] == [2]
    cured = paid(story, "dov", asked(story, "in-default:1:1")[0])
    assert "default_cured" in {event.kind for event in cured.answer}, "what is not due yet keeps nobody in default"


def test_money_with_a_value_date_in_time_bears_no_interest_however_late_it_is_booked() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "remind_overdue")
    story = paid(story, "dov", 100_000, on=date(2026, 11, 26))
    assert money(story, "debt", "dov") == 0
    assert story.agenda.deadline is None


def test_who_pays_on_the_due_day_has_paid_in_time() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel"), "mark_overdue")
    story = paid(paid(story, "cyd", 100_000, on=date(2026, 11, 26)), "dov", 100_100, on=date(2026, 11, 27))
    assert dict(story.state.state.books.calls[1].in_time) == {"ada": 100_000, "bel": 100_000, "cyd": 100_000}


def test_default_interest_goes_to_those_who_paid_the_tranche_in_time() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "remind_overdue")
    story = paid(story, "dov", 100_400, on=date(2026, 11, 30))
    assert money(story, "credit") == 0
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "debt", "ada") == 150_000 - 134
    assert money(story, "debt", "bel") == money(story, "debt", "cyd") == 150_000 - 133
    assert money(story, "debt", "dov") == 150_000


def test_interest_is_shared_though_nobody_paid_anything_in_time() -> None:
    story = until(called(minimum=1), "mark_overdue")
    story = paid(story, "dov", 100_000, on=story.at.date())
    story = paid(story, "dov", 100, on=date(2026, 11, 26))
    assert not story.state.state.books.calls[1].in_time
    over = mandated(story, round_commands.CancelRound())
    assert money(over, "credit") == money(over, "held") == 100_100


def test_a_defaulter_whose_due_is_taken_over_before_its_day_did_not_pay_in_time() -> None:
    story = all_paid(called(minimum=1), 100_000, "ada", "bel", "cyd").when(RELEASE)
    story = until(story.when(round_commands.CallTranche(tranche=2, due=date(2027, 1, 15)), by="tess"), "declare_default")
    story = story.when(round_commands.TakeOver(member="eli", defaulter="dov", amount=250_000), by="rep-eli")
    assert "dov" not in story.state.state.books.calls[2].in_time


def test_who_delivered_in_kind_before_the_call_shares_the_interest_of_its_tranche() -> None:
    story = committed().when(delivery(quantity=1_000), by="rep-ada").when(round_commands.AcceptInKind(evidence=PROOF), by="sam")
    story = all_paid(story.when(round_commands.CallTranche(tranche=1), by="tess"), 100_000, "bel", "cyd")
    story = paid(until(story, "remind_overdue"), "dov", 100_400, on=date(2026, 11, 30))
    over = mandated(story, round_commands.CancelRound())
    assert [money(over, "credit", member) - money(over, "cleared", member) + money(over, "in_kind", member) for member in MEMBERS] == [
        134, 133, 133, 0,
    ]  # fmt: skip


def test_the_others_make_up_for_a_default_each_up_to_the_charters_fraction_of_his_own_call() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    assert {member: figures["debt"] for member, figures in books(story.state.state).items()} == {
        "ada": 25_000, "bel": 25_000, "cyd": 25_000, "dov": 100_000,
    }  # fmt: skip
    assert money(story, "in_default") == 250_000
    assert money(story, "committed", "ada") == 275_000
    story = all_paid(story, 25_000, "ada", "bel", "cyd")
    assert money(story, "cleared") == 375_000
    assert story.agenda.deadline is None


def test_a_member_that_is_suspended_or_late_itself_makes_up_for_nobody() -> None:
    story = all_paid(called(minimum=500_000), 100_000, "ada", "bel")
    story = until(knowing(story, MemberSuspended(member="bel", cause="dues")), "declare_default")
    assert money(story, "debt", "ada") == 25_000
    assert money(story, "debt", "bel") == 0


def test_who_left_the_round_and_companies_of_the_defaulters_seat_make_up_for_nobody() -> None:
    story = opposed(all_paid(called(minimum=600_000), 100_000, "ada", "bel", "cyd"), no=("ada",)).when(EXIT, by="rep-ada")
    story = knowing(story, OwnershipDeclared(member="bel", holdings=(Holding(holder="dov", fraction=9_000),)))
    story = until(story, "declare_default")
    assert [money(story, "debt", member) for member in ("ada", "bel", "cyd")] == [0, 0, 25_000]
    assert money(story, "committed", "ada") == 100_000


def test_a_make_up_call_may_lift_a_seat_above_the_share_that_it_could_pledge() -> None:
    story = until(all_paid(called(rules(funding__share_cap=2_500)), 100_000, "ada", "bel", "cyd"), "declare_default")
    assert money(story, "committed", "ada") == 275_000


def test_a_make_up_call_that_is_not_paid_is_a_default_but_makes_up_for_no_further_one() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = until(all_paid(story, 25_000, "ada", "bel"), "declare_default")
    assert "make_up_called" not in {event.kind for event in story.answer}
    assert story.steps
    assert money(story, "in_default") == 250_000 + 175_000
    assert story.phase == "endangered"


def test_a_defaulter_that_pays_with_interest_has_its_votes_and_its_commitment_back() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    days = (story.at.date() - date(2026, 11, 26)).days
    story = paid(story, "dov", 100_000 + 100 * days).owes("tell", "tell:lift-default:dov:1")
    assert "default_cured" in {event.kind for event in story.answer}
    assert money(story, "in_default") == 0
    assert [money(story, "debt", member) for member in MEMBERS] == [0] * 4, "what the others made up is not asked for any more"
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "called") == GOAL


# ---------------------------------------------------------------- late money


def made_up(*, paid_by: tuple[str, ...] = ("ada", "bel", "cyd"), charter: Charter | None = None, **changes: Any) -> Story:
    """Dov is in default, and these have paid their make-up call of 25,000 each."""
    return all_paid(until(all_paid(called(charter, **changes), 100_000, "ada", "bel", "cyd"), "declare_default"), 25_000, *paid_by)


def cured(story: Story, member: str = "dov") -> Story:
    """The member pays all that it owes today."""
    kept = books_of(story.state.state)
    assert kept is not None
    rate = story.register.charters[1].funding.default_interest
    return paid(story, member, owed_on(kept, kept.accounts[member], rate, story.at.date()))


def test_what_a_defaulter_pays_comes_back_first_to_those_who_made_up_and_all_end_equal_but_for_the_interest() -> None:
    story = cured(made_up())
    assert {"make_up_reduced", "default_cured"} <= {event.kind for event in story.answer}
    assert [money(story, "credit", member) for member in MEMBERS] == [25_000, 25_000, 25_000, 0]
    assert [money(story, "committed", member) for member in MEMBERS] == [250_000] * 4
    assert story.register.cleared["ada"] == 100_000
    assert story.known["notice:make-up-returned:1:75000:1"].data["each"]["member:ada"] == {"returned": "USD 250.00"}
    assert refunded(story, "ada").state.state.books.accounts["ada"].figures.refunded == 25_000, "the credit can be refunded"
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert [money(story, "debt", member) for member in MEMBERS][3] == 150_000
    assert all(124_000 < money(story, "debt", member) < 125_000 for member in ("ada", "bel", "cyd")), (
        "the credit, and the interest, pay a part"
    )
    story = everybody_pays(story)
    assert [money(story, "cleared", member) for member in MEMBERS] == [250_000] * 4
    late = money(story, "interest", "dov")
    assert late == 1_500
    assert [cost(story, member) for member in MEMBERS] == [250_000 - late // 3] * 3 + [250_000 + late]


def cost(story: Story, member: str) -> int:
    """What the round has cost a member so far, with what is still asked of it: paid, and owed, less what came back or is credit."""
    figures = books(story.state.state)[member]
    return figures["received"] + figures["debt"] - figures["refunded"] - figures["refunding"] - figures["credit"]


def test_a_part_of_the_late_money_comes_back_in_proportion_and_makes_open_make_up_calls_smaller() -> None:
    story = paid(made_up(paid_by=("ada",)), "dov", 30_000)
    assert [money(story, "credit", member) for member in MEMBERS] == [10_000, 0, 0, 0]
    assert [money(story, "debt", member) for member in ("bel", "cyd")] == [15_000, 15_000]
    assert money(story, "debt", "dov") == 70_000 + 1_500
    story = all_paid(story, 15_000, "bel", "cyd")
    assert money(story, "cleared") == 375_000 - 30_000 + 30_000
    other = paid(made_up(), "dov", 30_000)
    assert [money(other, "credit", member) for member in MEMBERS] == [10_000] * 3 + [0], "the same, had they paid before"


def test_payments_of_one_day_come_to_the_same_in_whichever_order() -> None:
    story = until(
        all_paid(called(goal=999_999, budget=(BudgetLine(name="x", amount=999_999),)), 100_000, "ada", "bel", "cyd"), "declare_default"
    )
    one = paid(all_paid(story, 25_000, "ada", "bel"), "dov", 44_444)
    other = all_paid(paid(story, "dov", 44_444), 25_000, "bel", "ada")
    for member in MEMBERS:
        assert books(one.state.state)[member] == books(other.state.state)[member]


def test_nobody_stays_in_default_for_a_make_up_call_whose_gap_is_filled() -> None:
    story = made_up(paid_by=("ada", "bel"), minimum=500_000)
    story = until(story, "declare_default")
    kept = books_of(story.state.state)
    assert kept is not None
    assert kept.accounts["cyd"].in_default
    story = cured(story)
    assert {event.member for event in story.answer if isinstance(event, round_events.DefaultCured)} == {"cyd", "dov"}
    story.owes("tell", "tell:lift-default:cyd:1").owes("tell", "tell:lift-default:dov:1")
    late = 25_000 * (story.at.date() - story.state.state.books.calls[2].schedule.due_on).days * 3_600 // 3_600_000
    assert money(story, "debt", "cyd") == late, "the interest that ran up is carried"


def test_what_stands_in_for_a_defaulter_comes_back_to_those_who_made_up_as_its_own_money_would() -> None:
    story = made_up().when(round_commands.TakeOver(member="eli", defaulter="dov", amount=250_000), by="rep-eli")
    assert [money(story, "credit", member) for member in ("ada", "bel", "cyd")] == [0] * 3, "a promise is no money"
    story = paid(story, "eli", 100_000)
    assert [money(story, "credit", member) for member in ("ada", "bel", "cyd")] == [25_000] * 3


def test_a_make_up_payment_that_came_back_and_is_taken_back_by_the_bank_is_owed_no_more() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = all_paid(paid(story, "ada", 25_000, reference="IN-MU"), 25_000, "bel", "cyd")
    story = taken_back(cured(story), "ada", 25_000, "IN-MU")
    assert (money(story, "credit", "ada"), money(story, "debt", "ada"), money(story, "cleared", "ada")) == (0, 0, 100_000)


def test_a_make_up_call_that_cannot_save_the_round_is_not_made() -> None:
    at_the_edge = 500_000 + 2 * 25_000
    for minimum, makes_up in ((at_the_edge, True), (at_the_edge + 1, False)):
        story = until(all_paid(called(minimum=minimum), 100_000, "ada", "bel"), "declare_default")
        assert ("make_up_called" in {event.kind for event in story.answer}) == makes_up
        assert story.phase == ("calling" if makes_up else "endangered")


def test_who_is_cured_after_a_later_tranche_was_called_is_called_for_it_too() -> None:
    story = made_up(minimum=600_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story = cured(everybody_pays_but(story, "dov"))
    assert {"default_cured", "catch_up_called"} <= {event.kind for event in story.answer}
    amount, pay_by, _ = asked(story, "call:4:1")
    assert amount == 150_000 + 150_000 * 3_600 * (pay_by - story.state.state.books.calls[3].schedule.due_on).days // 3_600_000
    story = paid(story, "dov", amount)
    assert [money(story, "cleared", member) for member in MEMBERS] == [250_000] * 4
    assert min(cost(story, member) for member in MEMBERS) < cost(story, "dov")


def test_a_member_in_default_is_called_for_nothing_more() -> None:
    story = until(all_paid(called(minimum=600_000), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "uncalled", "dov") == 150_000
    assert money(story, "uncalled", "ada") == 0


# ---------------------------------------------------------------- the minimum, again


def endangered() -> Story:
    """Two of four are in default: 500,000 of at least 700,000 are left, and nobody is asked to make up what would not save the round."""
    return until(all_paid(called(), 100_000, "ada", "bel"), "declare_default")


def test_the_minimum_is_tested_after_every_loss_of_money() -> None:
    story = endangered().owes("tell", "tell:proposal:shortfall-atlas-1-1")
    assert story.phase == "endangered"
    motion = next(step for step in story.steps if step.kind == "tell" and step.key.startswith("tell:proposal")).data["command"]["motion"]
    assert motion["command"] == {"kind": "reduce_goal", "goal": 500_000, "minimum": 500_000, "cause": "shortfall"}
    assert motion["otherwise"] == {"kind": "cancel_round", "cause": "shortfall"}
    story = story.when(RELEASE)
    story.when(round_commands.CallTranche(tranche=2), by="tess").refused("minimum_lost")
    story.when(round_commands.ProposeSpending(spending="x", line="compute", amount=1, payee="p"), by="tess").refused("minimum_lost")


def test_a_vote_makes_the_run_smaller_and_the_round_goes_on() -> None:
    story = endangered()
    story.when(round_commands.ReduceGoal(goal=500_000, minimum=500_000), by="sam").refused("no_mandate")
    story = mandated(story, round_commands.ReduceGoal(goal=500_000, minimum=500_000)).followed_by(
        "mandate_exercised", "goal_reduced", "minimum_restored"
    )
    assert story.phase == "calling"
    assert dict(story.state.state.books.budget) == {"compute": 400_000, "data": 100_000}


def test_a_smaller_goal_cancels_what_it_will_not_call_in_proportion() -> None:
    story = mandated(called(minimum=1), round_commands.ReduceGoal(goal=500_000, minimum=1))
    story.followed_by("mandate_exercised", "goal_reduced", *["commitment_bound"] * 4)
    assert [money(story, "committed", member) for member in MEMBERS] == [125_000] * 4
    assert dict(story.register.commitments["ada"]) == {"round/atlas-1": 125_000}
    story = all_paid(story, 100_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "called") == 500_000
    assert money(story, "uncalled") == 0


def test_a_smaller_budget_keeps_what_is_spent_on_each_line() -> None:
    story = all_paid(all_paid(called(minimum=1), 100_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess"), 150_000)
    story = ordered(story, amount=600_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    story = mandated(story, round_commands.ReduceGoal(goal=700_000, minimum=1))
    assert dict(story.state.state.books.budget) == {"compute": 650_000, "data": 50_000}


def test_a_smaller_run_that_a_shortfall_asked_for_is_old_news_once_the_shortfall_is_over() -> None:
    story = endangered().when(round_commands.JoinLate(member="eli", amount=200_000), by="rep-eli")
    mandated(story, round_commands.ReduceGoal(goal=500_000, minimum=500_000, cause="shortfall")).followed_by("mandate_exercised")
    mandated(endangered(), round_commands.ReduceGoal(goal=500_000, minimum=500_000, cause="shortfall")).followed_by(
        "mandate_exercised", "goal_reduced", "minimum_restored"
    )


def test_the_goal_falls_neither_below_what_is_spent_nor_below_its_minimum_and_never_rises() -> None:
    story = all_paid(called(), 100_000).when(
        round_commands.ProposeSpending(spending="x", line="compute", amount=300_000, payee="p"), by="tess"
    )
    for goal, minimum in ((GOAL, 1), (299_999, 1), (500_000, 500_001)):
        mandated(story, round_commands.ReduceGoal(goal=goal, minimum=minimum)).refused("goal_out_of_range")


def test_a_reduction_that_came_too_late_for_a_further_loss_is_followed_by_another_vote() -> None:
    story = endangered().when(letters.ReleaseLeaver(member="ada"))
    story = mandated(story, round_commands.ReduceGoal(goal=500_000, minimum=500_000)).owes("tell", "tell:proposal:shortfall-atlas-1-2")
    assert story.phase == "endangered"


def test_without_a_decision_in_time_the_round_is_cancelled_and_what_is_held_goes_back() -> None:
    story = until(endangered(), "cancel_round")
    assert story.phase == "refunding"
    assert money(story, "credit", "ada") == money(story, "credit", "bel") == 100_000
    assert story.register.cleared["ada"] == 0
    assert not story.register.commitments
    assert {member: debts["round/atlas-1"] for member, debts in story.register.debts.items()} == {"cyd": 3_600, "dov": 3_600}, (
        "the interest"
    )
    for member in ("cyd", "dov"):
        story.owes("tell", f"tell:lift-default:{member}:1").owes("notify", f"notice:default-cured:{member}:1:1")
    for member in ("ada", "bel"):
        story = refunded(story, member, 100_000)
    story.followed_by("refund_made", "bank_reference_used", "round_closed")
    assert story.phase == "cancelled"
    assert turned_away(paid(story, "ada", 1, reference="LATE").then(), "LATE")
    story.when(round_commands.OrderRefund(refund="ada-1", member="ada", amount=1), by="tess").refused("round_closed")
    story.when(round_commands.CancelRound(cause="shortfall")).then()


def spent_and_cancelled() -> Story:
    """The others paid 125,000 each, 300,000 is spent, and the round is cancelled: dov has paid nothing of what it was called for."""
    story = ordered(made_up(), amount=300_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    return mandated(story, round_commands.CancelRound())


def test_who_paid_nothing_of_what_was_spent_owes_its_share_beyond_the_end_and_stays_in_default() -> None:
    story = spent_and_cancelled()
    late = 100_000 * 3_600 * (story.at.date() - date(2026, 11, 26)).days // 3_600_000
    assert [money(story, "credit", member) for member in MEMBERS] == [25_000, 25_000, 25_000, 0]
    assert [money(story, "debt", member) for member in MEMBERS] == [0, 0, 0, 75_000 + late]
    assert story.register.debts["dov"]["round/atlas-1"] == 75_000 + late
    assert "tell:lift-default:dov:1" not in story.known
    amount, pay_by, per_day = asked(story, "share-owed:dov:1")
    assert (
        amount
        == 75_000 + 100_000 * 3_600 * (story.at.date() - date(2026, 11, 26)).days // 3_600_000 + per_day * (pay_by - story.at.date()).days
    )
    told = ROUND.describe(story.state.state)
    assert "| dov |" in told.text
    assert ("member:dov" in told.waits_for, "members still owe USD 7" in told.line) == (True, True)
    assert [cost(story, member) for member in MEMBERS] == [100_000] * 3 + [75_000 + late]


def test_who_owes_beyond_the_end_is_asked_to_pay_by_the_next_business_day_as_who_is_in_default_is() -> None:
    story = spent_and_cancelled()
    assert story.at.date() == date(2026, 12, 11), "a Friday"
    assert asked(story, "in-default:1:1")[1] == asked(story, "share-owed:dov:1")[1] == date(2026, 12, 14)


@pytest.mark.parametrize("closed", [False, True])
def test_what_comes_in_after_the_end_goes_to_those_who_bore_it_and_ends_the_default(*, closed: bool) -> None:
    story = spent_and_cancelled()
    if closed:
        for member in ("ada", "bel", "cyd"):
            story = refunded(story, member)
        assert story.phase == "cancelled"
    story = paid(story, "dov", 30_000, reference="FIRST")
    assert story.phase == "refunding"
    assert [money(story, "credit", member) for member in ("ada", "bel", "cyd")] == [10_000 + (0 if closed else 25_000)] * 3
    assert "default_cured" not in {event.kind for event in story.answer}
    late = money(story, "debt", "dov") - 45_000
    story = cured(story)
    assert "default_cured" in {event.kind for event in story.answer}
    story.owes("tell", "tell:lift-default:dov:1").owes("notify", "notice:default-cured:dov:1:1")
    assert [cost(story, member) for member in MEMBERS] == [75_000 - late // 3] * 3 + [75_000 + late]
    assert money(story, "held") == money(story, "credit")
    assert not story.register.debts.get("dov")
    assert turned_away(paid(story, "dov", 1, reference="MORE").then(), "MORE")


def without_what_was_spent() -> Story:
    """Of 200,000 that were spent half was taken back, and the round is cancelled: all but bel owe their share, and nothing is there."""
    story = paid(paid(paid(called(), "bel", 100_000), "ada", 100_000, reference="IN-1"), "ada", 30_000)
    story = story.when(set_off := letters.SetOffCredit(member="ada", debtor="member/ada", number=1, amount=30_000, currency="USD"))
    story = ordered(story.when(set_off).then(), amount=200_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    story = mandated(taken_back(story, "ada", 100_000, "IN-1"), round_commands.CancelRound())
    assert (story.phase, money(story, "held"), money(story, "credit")) == ("cancelled", -100_000, 0)
    assert [money(story, "debt", member) for member in MEMBERS] == [50_000, 0, 50_000, 50_000]
    return story


def test_a_payment_after_the_end_that_leaves_nothing_to_give_back_closes_the_round_again() -> None:
    story = paid(without_what_was_spent(), "cyd", 50_000)
    assert [event.kind for event in story.answer if event.kind != "step_owed"][-3:] == [
        "debt_stated",
        "contribution_cleared",
        "round_closed",
    ]
    assert (story.phase, money(story, "held")) == ("cancelled", -50_000)
    assert not any(key.startswith("notice:refunds-due:") for key in story.known), "there is nothing to refund"
    story = paid(paid(story, "dov", 50_000), "ada", 50_000)
    assert (story.phase, money(story, "credit", "bel"), money(story, "held")) == ("refunding", 50_000, 50_000)
    assert refunded(story, "bel").phase == "cancelled"


def test_credit_that_comes_back_after_the_end_and_pays_what_its_member_owes_closes_the_round_again() -> None:
    back = letters.RestoreCredit(member="ada", debtor="member/ada", number=1, amount=30_000)
    story = without_what_was_spent().when(back)
    assert (story.phase, money(story, "debt", "ada"), money(story, "credit", "ada")) == ("cancelled", 20_000, 0)
    story.when(back).then()


def test_interest_that_was_carried_is_taken_from_what_comes_back_at_the_end() -> None:
    story = all_paid(called(), 100_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story = until(all_paid(story, 150_000, "ada", "bel", "cyd"), "mark_overdue")
    story = paid(story, "dov", 150_000)
    late = money(story, "debt", "dov")
    assert late == 150
    story = story.when(round_commands.SettleRound(), by="tess")
    assert [money(story, "credit", member) for member in MEMBERS] == [250_050] * 3 + [250_000 - 150]
    assert not story.register.debts
    assert money(story, "held") == money(story, "credit") == GOAL


def all_owing_interest() -> Story:
    """All paid the last tranche five days late, all of it is spent, and the round is settled: each owes 900 of interest, nobody has credit."""
    story = all_paid(called(), 100_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story = until(story, "mark_overdue")
    story = all_paid(replace(story, at=story.at + timedelta(days=5)), 150_000)
    for line, amount in (("compute", 800_000), ("data", 200_000)):
        propose = round_commands.ProposeSpending(spending=line, line=line, amount=amount, payee="cloud")
        story = story.when(propose, by="tess").when(round_commands.ApproveSpending(spending=line), by="theo")
        story = story.when(letters.RecordSpending(spending=line, reference=f"OUT-{amount}"))
    story = story.when(round_commands.SettleRound(), by="tess")
    assert (story.phase, [money(story, "debt", member) for member in MEMBERS]) == ("settled", [900] * 4)
    return story


def test_a_payment_of_one_unit_lowers_what_its_payer_owes_by_one_while_everybody_owes_interest() -> None:
    """It went round and round: each time it came to the same member, whose debt it lowered by 500 units."""
    for payer in MEMBERS:
        story = paid(all_owing_interest(), payer, 1)
        assert [money(story, "debt", member) for member in MEMBERS] == [900 - (member == payer) for member in MEMBERS]
        assert (story.phase, money(story, "held"), money(story, "credit")) == ("settled", 1, 0), "it waits in its pool"


@pytest.mark.parametrize("amount", [1, 4, 100, 899, 900])
def test_what_is_paid_while_everybody_owes_interest_is_shared_at_most_twice(amount: int) -> None:
    story = paid(all_owing_interest(), "ada", amount)
    going_round = [event.kind for event in story.answer if event.kind in {"interest_shared", "credit_applied"}]
    assert len(going_round) <= 2 * (len(MEMBERS) + 1), going_round
    assert not any(money(story, "credit", member) and money(story, "debt", member) for member in MEMBERS)


def test_interest_that_waited_while_everybody_owed_comes_to_its_members_once_all_is_paid() -> None:
    story = all_owing_interest()
    for member in ("ada", "bel", "cyd", "dov"):
        story = paid(story, member, 1)
    assert [money(story, "debt", member) for member in MEMBERS] == [898] * 4, "one that was paid, and one of the four that each gets"
    for member in ("ada", "bel", "cyd", "dov"):
        if owed := money(story, "debt", member):
            story = paid(story, member, owed)
    assert not story.register.debts
    assert money(story, "held") == money(story, "credit") > 0, "nothing waits any more"


def test_less_is_owed_when_what_was_spent_comes_back_after_the_end() -> None:
    story = spent_and_cancelled().when(letters.ReturnSpending(spending="gpu-1", reference="BACK-1"))
    late = money(story, "debt", "dov") - 75_000
    story = story.when(letters.ReleaseSpending(spending="gpu-1"))
    assert "share_reduced" in {event.kind for event in story.answer}
    assert money(story, "debt", "dov") == late > 0, "the interest alone"
    story.owes("tell", "tell:lift-default:dov:1").owes("notify", "notice:default-cured:dov:1:1")
    assert [money(story, "credit", member) for member in MEMBERS] == [125_000] * 3 + [0]


def test_who_was_called_and_not_late_owes_its_share_of_what_was_spent_too() -> None:
    story = ordered(all_paid(called(), 100_000, "ada", "bel", "cyd"), amount=200_000).when(
        letters.RecordSpending(spending="gpu-1", reference="OUT")
    )
    story = mandated(story, round_commands.CancelRound())
    assert [money(story, "debt", member) for member in MEMBERS] == [0, 0, 0, 50_000]
    assert [money(story, "credit", member) for member in MEMBERS] == [33_334, 33_333, 33_333, 0]
    story = paid(story, "dov", 50_000)
    assert [cost(story, member) for member in MEMBERS] == [50_000] * 4


def test_a_shortfall_that_is_mended_cancels_nothing_any_more() -> None:
    story = endangered().when(round_commands.JoinLate(member="eli", amount=200_000), by="rep-eli")
    assert "minimum_restored" in {event.kind for event in story.answer}
    assert story.phase == "calling"
    mandated(story, round_commands.CancelRound(cause="shortfall")).followed_by("mandate_exercised")
    story.when(round_commands.CancelRound(), by="tess").refused("no_mandate")
    story.when(round_commands.CancelRound(cause="shortfall"), by="tess").refused("service_only")
    endangered().when(round_commands.CancelRound(cause="shortfall")).refused("not_due")


def test_a_vote_cancels_a_round_in_any_phase_after_the_draft() -> None:
    mandated(opened(), round_commands.CancelRound()).refused("not_pledging")
    released = mandated(pledged(pledging(), ada=100_000), round_commands.CancelRound()).followed_by(
        "mandate_exercised", "round_cancelled", "round_closed"
    )
    assert released.phase == "cancelled"
    assert mandated(committed(), round_commands.CancelRound()).phase == "cancelled"
    assert mandated(paid(called(), "ada", 100_000), round_commands.CancelRound()).phase == "refunding"
    mandated(pledged(pledging(), ada=400_000).due(), round_commands.CancelRound(cause="shortfall")).followed_by("mandate_exercised")


# ---------------------------------------------------------------- in kind

PROOF, OTHER_PROOF = "a" * 64, "b" * 64


def delivery(member: str = "ada", quantity: int = 400, evidence: str = PROOF, item: str = "h100-hour") -> round_commands.DeliverInKind:
    return round_commands.DeliverInKind(member=member, item=item, quantity=quantity, evidence=evidence)


def test_a_delivery_counts_by_the_rate_card_once_accepted_for_what_is_owed_first() -> None:
    story = called().when(delivery(quantity=600), by="rep-ada").followed_by("in_kind_delivered").owes("notify", f"notice:delivery:{PROOF}")
    assert money(story, "cleared") == 0
    story.when(delivery(quantity=600), by="rep-ada").then()
    story = story.when(round_commands.AcceptInKind(evidence=PROOF), by="sam").followed_by(
        "in_kind_accepted", "evidence_used", "debt_stated", "contribution_cleared"
    )
    assert money(story, "debt", "ada") == 0
    assert money(story, "cleared", "ada") == money(story, "called", "ada") == 150_000, "beyond the call it is called and paid at once"
    assert money(story, "held") == 0
    story.when(round_commands.AcceptInKind(evidence=PROOF), by="tess").then()
    story.when(round_commands.RejectInKind(evidence=PROOF, reason="no"), by="tess").refused("delivery_accepted")
    story = all_paid(story, 100_000, "bel", "cyd", "dov").when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "debt", "ada") == 100_000


def test_deliveries_cannot_be_worth_more_than_the_commitment_or_be_of_unknown_kinds() -> None:
    story = called()
    story.when(delivery(quantity=1_001), by="rep-ada").refused("delivery_above_commitment")
    story.when(delivery(item="banana"), by="rep-ada").refused("not_on_rate_card")
    story.when(delivery(), by="rep-bel").refused("not_a_representative")
    story.when(delivery(member="eli"), by="rep-eli").refused("not_in_round")
    story = story.when(delivery(), by="rep-ada")
    story.when(delivery(member="bel"), by="rep-bel").refused("evidence_used")
    story.when(delivery(quantity=601, evidence=OTHER_PROOF), by="rep-ada").refused("delivery_above_commitment")


def test_an_accepted_delivery_counts_no_more_than_is_still_open() -> None:
    story = called().when(delivery(quantity=1_000), by="rep-ada")
    story = paid(story, "ada", 100_000).when(round_commands.AcceptInKind(evidence=PROOF), by="sam")
    assert money(story, "cleared", "ada") == 250_000
    assert money(story, "in_kind", "ada") == 150_000


def test_a_rejection_is_final_for_its_evidence_and_nobody_judges_his_own_delivery() -> None:
    story = called().when(delivery(), by="rep-ada")
    own = knowing(story, RepresentativeSeated(member="ada", person="tess", capacity=Capacity.ALTERNATE, at=day(0)))
    own.when(round_commands.AcceptInKind(evidence=PROOF), by="tess").refused("own_delivery")
    own.when(round_commands.RejectInKind(evidence=PROOF, reason="no"), by="tess").refused("own_delivery")
    story.when(round_commands.AcceptInKind(evidence=PROOF), by="rep-bel").refused("office_required")
    story.when(round_commands.AcceptInKind(evidence=OTHER_PROOF), by="sam").refused("no_such_delivery")
    story = story.when(round_commands.RejectInKind(evidence=PROOF, reason="the logs show 300 hours"), by="sam").followed_by(
        "in_kind_rejected"
    )
    story.when(round_commands.RejectInKind(evidence=PROOF, reason="again"), by="sam").then()
    story.when(round_commands.AcceptInKind(evidence=PROOF), by="sam").refused("delivery_rejected")
    story.when(delivery(quantity=1_000, evidence=OTHER_PROOF), by="rep-ada").followed_by("in_kind_delivered")


def test_what_one_evidence_shows_counts_once_in_all_rounds() -> None:
    counted = called().when(delivery(), by="rep-ada").when(round_commands.AcceptInKind(evidence=PROOF), by="sam")
    other = replace(called(), register=counted.register)
    other.when(delivery(), by="rep-ada").refused("evidence_used")
    pending = called().when(delivery(), by="rep-ada")
    replace(pending, register=counted.register).when(round_commands.AcceptInKind(evidence=PROOF), by="sam").refused("evidence_used")


# ---------------------------------------------------------------- late joiners and replacements


def test_a_late_joiner_pays_in_as_if_early_with_interest_to_those_who_paid_in_time() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "mark_overdue")
    story = paid(story, "dov", 100_100).when(round_commands.JoinLate(member="eli", amount=250_000), by="rep-eli", at=day(54))
    assert [event.kind for event in story.answer if event.kind.startswith(("late", "catch"))] == [
        "late_joiner_committed",
        "catch_up_called",
    ]
    waited = (story.state.state.books.calls[2].schedule.due_on - date(2026, 11, 26)).days
    assert money(story, "debt", "eli") == 100_000 + 100 * waited, "interest up to the day on which it is due"
    story = paid(story, "eli", 100_000 + 100 * waited)
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert {member: figures["called"] for member, figures in books(story.state.state).items()} == dict.fromkeys((*MEMBERS, "eli"), 200_000)
    interest = 100 + 100 * waited
    assert money(story, "debt", "ada") == 100_000 - interest // 3 - (interest % 3 > 0)
    assert money(story, "debt", "dov") == 100_000
    assert money(story, "debt", "eli") == 100_000


def everybody_pays_but(story: Story, *late: str) -> Story:
    """All that the others owe is paid."""
    for member, figures in books(story.state.state).items():
        story = paid(story, member, figures["debt"]) if figures["debt"] and member not in late else story
    return story


def everybody_pays(story: Story) -> Story:
    """All that is owed is paid, to the last cent."""
    for member, figures in books(story.state.state).items():
        story = paid(story, member, figures["debt"]) if figures["debt"] else story
    return story


def joined(story: Story, member: str, amount: int = 250_000) -> Story:
    story = story.when(round_commands.JoinLate(member=member, amount=amount), by=f"rep-{member}")
    assert story.refusal is None
    return everybody_pays(story)


def costs(story: Story) -> dict[str, int]:
    """What each hundred that a member brought cost it in the end, in cents, of a round that spent half of its goal."""
    story = (
        ordered(story, amount=GOAL // 2)
        .when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
        .when(round_commands.SettleRound(), by="tess")
    )
    assert story.phase == "refunding"
    kept = {member: (figures["received"] - figures["credit"], figures["cleared"]) for member, figures in books(story.state.state).items()}
    return {member: cost * 10_000 // cleared for member, (cost, cleared) in kept.items() if cleared}


FREE = rules(funding__equalisation_interest=0, funding__default_interest=0)


def test_whoever_joins_when_ends_with_the_same_costs_for_the_same_commitment() -> None:
    story = joined(everybody_pays(called(FREE)), "eli").when(RELEASE)
    story = joined(everybody_pays(story.when(round_commands.CallTranche(tranche=2), by="tess")), "fay")
    assert {member: figures["called"] for member, figures in books(story.state.state).items()} == dict.fromkeys(ALL, 200_000)
    assert len({figures["committed"] for figures in books(story.state.state).values()}) == 1
    assert len(set(costs(story).values())) == 1


def test_a_late_joiner_carries_its_part_of_what_the_others_made_up() -> None:
    story = until(all_paid(called(FREE, minimum=600_000), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = story.when(RELEASE)
    story = all_paid(story, 25_000, "ada", "bel", "cyd").when(round_commands.JoinLate(member="eli", amount=250_000), by="rep-eli")
    assert money(story, "debt", "eli") == 250_000 * 125_000 // 275_000
    story = paid(story, "eli", money(story, "debt", "eli")).when(round_commands.CallTranche(tranche=2), by="tess")
    figures = books(story.state.state)
    parts = {figures[member]["called"] * 10_000 // figures[member]["committed"] for member in ("ada", "bel", "cyd", "eli")}
    assert len(parts) == 1, "the same part of its commitment from each"


def test_joining_after_the_last_call_brings_a_surplus_that_goes_back_in_proportion() -> None:
    story = all_paid(called(tranches=(Tranche(name="all", fraction=10_000),)), 250_000)
    story = story.when(round_commands.JoinLate(member="eli", amount=250_000), by="rep-eli")
    story = paid(story, "eli", money(story, "debt", "eli")).when(round_commands.SettleRound(), by="tess")
    assert {member: figures["credit"] for member, figures in books(story.state.state).items()} == dict.fromkeys((*MEMBERS, "eli"), 250_000)
    assert money(story, "held") == 1_250_000


def test_joining_before_the_first_call_needs_no_catching_up() -> None:
    story = committed().when(round_commands.JoinLate(member="eli", amount=100_000), by="rep-eli")
    story.followed_by("late_joiner_committed", "commitment_bound", "payment_expected")
    assert story.phase == "committed"


def test_only_an_active_member_outside_the_round_joins_late_within_floor_and_cap() -> None:
    story = called()
    story.when(round_commands.JoinLate(member="ada", amount=100_000), by="rep-ada").refused("already_committed")
    story.when(round_commands.JoinLate(member="eli", amount=100_000), by="rep-fay").refused("not_a_representative")
    story.when(round_commands.JoinLate(member="eli", amount=19_999), by="rep-eli").refused("commitment_below_floor")
    story.when(round_commands.JoinLate(member="eli", amount=400_001), by="rep-eli").refused("commitment_above_cap")
    related = knowing(story, OwnershipDeclared(member="eli", holdings=(Holding(holder="ada", fraction=9_000),)))
    related.when(round_commands.JoinLate(member="eli", amount=150_001), by="rep-eli").refused("commitment_above_cap")
    resting = knowing(story, MemberSuspended(member="eli", cause="dues"))
    resting.when(round_commands.JoinLate(member="eli", amount=100_000), by="rep-eli").refused("member_not_active")
    pledging().when(round_commands.JoinLate(member="eli", amount=100_000), by="rep-eli").refused("not_committed")


def test_another_member_stands_in_for_a_defaulted_commitment_called_or_not() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = story.when(round_commands.TakeOver(member="eli", defaulter="dov", amount=80_000), by="rep-eli")
    assert {"commitment_taken_over", "catch_up_called"} <= {event.kind for event in story.answer}
    assert money(story, "debt", "eli") == 80_000
    assert money(story, "uncalled", "eli") == 0
    assert money(story, "in_default") == 170_000
    story.when(round_commands.TakeOver(member="eli", defaulter="dov", amount=80_000), by="rep-eli").then()
    story.when(round_commands.TakeOver(member="eli", defaulter="dov", amount=50_000), by="rep-eli").refused("taken_over_before")
    story.when(round_commands.TakeOver(member="fay", defaulter="dov", amount=170_001), by="rep-fay").refused("more_than_defaulted")
    within = story.when(round_commands.TakeOver(member="ada", defaulter="dov", amount=50_000), by="rep-ada")
    assert (money(within, "debt", "ada"), money(within, "uncalled", "ada")) == (25_000 + 20_000, 150_000 + 30_000), "its make-up besides"
    assert (money(within, "in_default"), money(within, "uncalled", "dov")) == (0, 120_000), "all that was called of dov is covered"
    story = story.when(round_commands.TakeOver(member="fay", defaulter="dov", amount=170_000), by="rep-fay")
    assert (money(story, "debt", "fay"), money(story, "uncalled", "fay")) == (20_000, 150_000)
    assert money(story, "in_default") == 0
    assert story.register.commitments.get("dov") is None
    assert money(story, "debt", "dov") == 100 * (story.at.date() - date(2026, 11, 26)).days, "the interest stays the defaulter's"


def test_a_later_default_of_a_member_is_taken_over_anew_and_by_its_own_group_within_its_share() -> None:
    story = until(all_paid(called(rules(funding__share_cap=2_500), minimum=1), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = knowing(story, OwnershipDeclared(member="eli", holdings=(Holding(holder="dov", fraction=9_000),)))
    take = round_commands.TakeOver(member="eli", defaulter="dov", amount=50_000)
    story = story.when(take, by="rep-eli").when(RELEASE)
    assert money(story, "committed", "eli") == 50_000
    story = paid(everybody_pays(story), "dov", 10_000).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "in_default") == 0
    story = until(story, "declare_default").when(take, by="rep-eli")
    assert "commitment_taken_over" in {event.kind for event in story.answer}
    assert money(story, "committed", "eli") == 100_000


def test_only_defaulted_commitments_are_taken_over_and_by_members_in_good_order() -> None:
    story = called()
    story.when(round_commands.TakeOver(member="eli", defaulter="ada", amount=100), by="rep-eli").refused("not_in_default")
    story.when(round_commands.TakeOver(member="eli", defaulter="fay", amount=100), by="rep-eli").refused("not_in_round")
    story = until(all_paid(story, 100_000, "ada", "bel"), "declare_default")
    story.when(round_commands.TakeOver(member="cyd", defaulter="dov", amount=100), by="rep-cyd").refused("not_in_default")
    story.when(round_commands.TakeOver(member="ada", defaulter="dov", amount=100_000), by="rep-bel").refused("not_a_representative")
    resting = knowing(story, MemberSuspended(member="eli", cause="dues"))
    resting.when(round_commands.TakeOver(member="eli", defaulter="dov", amount=100), by="rep-eli").refused("member_not_active")
    story.when(round_commands.TakeOver(member="ada", defaulter="dov", amount=150_001), by="rep-ada").refused("commitment_above_cap")


# ---------------------------------------------------------------- leaving


def opposed(
    story: Story, *, yes: tuple[str, ...] = (), no: tuple[str, ...] = (), passed: bool = True, concerns: str = "round/atlas-1"
) -> Story:
    return knowing(
        story,
        VoteDecided(
            proposal="proposal/smaller", concerns=concerns, passed=passed, yes=frozenset(yes), no=frozenset(no),
            effective_at=story.at + timedelta(days=2),
        ),
    )  # fmt: skip


EXIT = round_commands.ExitRound(member="ada", proposal="proposal/smaller")


def test_a_member_leaves_before_a_decision_that_it_opposed_takes_effect() -> None:
    story = opposed(called(), yes=("bel",), no=("ada",)).when(EXIT, by="rep-ada")
    story.followed_by("commitment_released", "commitment_bound")
    assert money(story, "uncalled", "ada") == 0
    assert money(story, "debt", "ada") == 100_000, "what was called stays owed"
    story.when(EXIT, by="rep-ada").then()
    of_the_run = opposed(called(), no=("ada",), concerns="run/atlas-1").when(EXIT, by="rep-ada")
    of_the_run.followed_by("commitment_released", "commitment_bound")


def test_a_member_does_not_leave_after_it_voted_yes_or_not_at_all_or_too_late() -> None:
    story = called()
    story.when(EXIT, by="rep-ada").refused("no_such_decision")
    opposed(story, no=("ada",), passed=False).when(EXIT, by="rep-ada").refused("no_such_decision")
    opposed(story, no=("ada",), concerns="round/other").when(EXIT, by="rep-ada").refused("no_such_decision")
    opposed(story, yes=("ada",)).when(EXIT, by="rep-ada").refused("bound_by_yes")
    opposed(story, yes=("bel",)).when(EXIT, by="rep-ada").refused("did_not_oppose")
    opposed(story, no=("ada",)).when(EXIT, by="rep-ada", at=story.at + timedelta(days=2)).refused("decision_in_effect")
    opposed(story, no=("ada",)).when(EXIT, by="rep-bel").refused("not_a_representative")
    opposed(endangered(), no=("cyd",)).when(round_commands.ExitRound(member="cyd", proposal="proposal/smaller"), by="rep-cyd").refused(
        "in_default"
    )


def test_who_left_and_then_stood_in_for_another_leaves_again_and_the_staff_hear_of_each() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = opposed(story, no=("ada",)).when(EXIT, by="rep-ada").owes("notify", "notice:exit:ada:1")
    story = story.when(round_commands.TakeOver(member="ada", defaulter="dov", amount=110_000), by="rep-ada")
    story.when(EXIT, by="rep-ada").owes("notify", "notice:exit:ada:2")


def test_a_leaver_of_the_consortium_owes_what_was_called_and_nothing_more() -> None:
    story = called()
    story.when(letters.ReleaseLeaver(member="ada"), by="sam").refused("service_only")
    left = story.when(letters.ReleaseLeaver(member="ada")).followed_by("commitment_released", "commitment_bound")
    assert money(left, "debt", "ada") == 100_000
    assert money(left, "committed", "ada") == 100_000
    left.when(letters.ReleaseLeaver(member="ada")).then()
    story.when(letters.ReleaseLeaver(member="eli")).then()
    pledged(pledging(), ada=100_000).when(letters.ReleaseLeaver(member="ada")).then()


def test_a_charter_may_forgive_a_leaver_what_was_called() -> None:
    story = called(rules(funding__leaver_funds_called=False)).when(letters.ReleaseLeaver(member="ada"))
    assert money(story, "debt", "ada") == money(story, "committed", "ada") == 0
    assert money(story, "called") == 300_000


BINDING = {"funding__leaver_bound_until": "next_tranche", "funding__leaving_charge": 2_000}
GIVEN, OVER = letters.ReleaseLeaver(member="ada"), letters.ReleaseLeaver(member="ada", notice_over=True)


def kept(story: Story) -> int:
    return story.register.still_bound.get("ada", mapping()).get("round/atlas-1", 0)


def test_a_charter_binds_a_leaver_through_its_notice_and_charges_it_for_what_ends() -> None:
    story = committed(rules(**BINDING | {"funding__leaver_bound_until": "notice_ended"}))
    story = story.when(GIVEN).followed_by("leaver_bound", "commitment_kept").owes("notify", "notice:bound:ada:notice_ends:1")
    story.when(GIVEN).then()
    assert kept(story) == 250_000
    story = story.when(round_commands.CallTranche(tranche=1), by="tess")
    assert (money(story, "debt", "ada"), kept(story)) == (100_000, 150_000), "it is called like others"
    ended = story.when(OVER).followed_by("commitment_released", "leaving_charged", "commitment_bound", "commitment_kept", "debt_stated")
    ended.owes("notify", "notice:leaving:ada:1").owes("notify", "notice:call:2:1")
    assert (money(ended, "committed", "ada"), money(ended, "debt", "ada"), kept(ended)) == (130_000, 130_000, 0)
    ended.when(OVER).then()


def test_a_charter_binds_a_leaver_to_the_next_tranche_after_its_notice() -> None:
    story = committed(rules(**BINDING)).when(OVER).followed_by("leaver_bound", "commitment_kept")
    story = story.when(round_commands.CallTranche(tranche=1), by="tess")
    assert {"tranche_called", "commitment_released", "leaving_charged"} <= {event.kind for event in story.answer}
    assert money(story, "debt", "ada") == 100_000 + 30_000, "its part of the tranche, and a fifth of what ended"
    assert kept(story) == 0
    story = everybody_pays(story).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "committed") == 880_000
    assert money(story, "debt", "ada") == 0
    last = everybody_pays(called(rules(**BINDING))).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    last.when(OVER).then()


def test_who_leaves_before_the_first_call_is_charged_too_and_late_interest_on_it_is_shared() -> None:
    story = committed(rules(**BINDING | {"funding__leaver_bound_until": "notice_ended"}), minimum=1).when(OVER)
    story = story.followed_by("commitment_released", "leaving_charged", "commitment_bound", "debt_stated")
    assert money(story, "debt", "ada") == 50_000
    late = until(story, "mark_overdue")
    owed = money(late.when(round_commands.CallTranche(tranche=1), by="tess"), "debt", "ada")
    late = paid(late, "ada", owed + 1_000)
    assert money(late, "interest") > 0
    shared = everybody_pays(late.when(round_commands.CallTranche(tranche=1), by="tess")).when(RELEASE)
    shared = everybody_pays(shared.when(round_commands.CallTranche(tranche=2), by="tess")).when(round_commands.SettleRound(), by="tess")
    account = books(shared.state.state)
    assert sum(each["credit"] for each in account.values()) >= money(late, "interest"), "nobody's interest stays behind"


@pytest.mark.parametrize("concerns", ["round/atlas-1", "run/atlas-1"])
def test_who_voted_yes_is_bound_to_all_of_its_commitment_by_whichever_door_it_leaves(concerns: str) -> None:
    story = opposed(called(rules(**BINDING)), yes=("ada",), concerns=concerns)
    story.when(EXIT, by="rep-ada").refused("bound_by_yes")
    story = story.when(GIVEN).followed_by("leaver_bound", "commitment_kept").when(OVER).then()
    story = everybody_pays(story).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert (money(story, "debt", "ada"), money(story, "committed", "ada"), kept(story)) == (150_000, 250_000, 0)


def test_who_takes_its_notice_back_is_bound_like_others() -> None:
    story = called(rules(**BINDING)).when(GIVEN)
    story.when(letters.KeepMember(member="ada"), by="sam").refused("service_only")
    story = story.when(letters.KeepMember(member="ada")).followed_by("leaver_bound", "commitment_kept")
    story.when(letters.KeepMember(member="ada")).then()
    assert (kept(story), money(story, "committed", "ada")) == (0, 250_000)


def test_what_binds_a_leaver_ends_with_the_round() -> None:
    story = opposed(called(rules(**BINDING)), yes=("ada",)).when(GIVEN)
    assert kept(story) == 150_000
    assert kept(mandated(story, round_commands.CancelRound())) == 0


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("notice_ended", "binds it still, until its notice is over."),
        ("next_tranche", "binds it still, until the next tranche is called, of which it pays its part."),
        ("voted", "binds it still, to the end: all of it is called like that of others, because it voted for the round or its run."),
    ],
)
def test_a_leaver_is_told_in_words_until_when_it_is_bound(until: str, told: str) -> None:
    story = committed(rules(**BINDING))
    if until == "voted":
        story = opposed(story, yes=("ada",))
    story = story.when(GIVEN if until == "notice_ended" else OVER)
    (step,) = (step.data for step in story.steps if step.data.get("template") == "leaver_bound")
    text = written("leaver_bound", step["facts"], "").text
    assert text == f"ada gave notice. USD 2,500.00 of its commitment to round/atlas-1 that is not called yet {told}\n"


LOCKED = {**BINDING, "funding__pledge_lock_hours": 48}


def test_in_the_last_hours_before_the_close_pledges_are_only_raised() -> None:
    story = pledged(pledging(rules(**LOCKED)), **dict.fromkeys(MEMBERS, 200_000))
    lower = round_commands.Pledge(member="ada", amount=100_000)
    withdraw = round_commands.WithdrawPledge(member="ada")
    story.when(withdraw, by="rep-ada", at=day(8) - timedelta(microseconds=1)).followed_by("pledge_withdrawn")
    for command in (withdraw, lower, round_commands.Pledge(member="ada", amount=200_000, if_total_at_least=GOAL)):
        story.when(command, by="rep-ada", at=day(8)).refused("pledges_locked")
    story.when(round_commands.Pledge(member="ada", amount=250_000), by="rep-ada", at=day(8)).followed_by("pledge_made")
    story.when(round_commands.WithdrawPledge(member="eli"), by="rep-eli", at=day(8)).then()


def pledged_by_all(**changes: Any) -> Story:
    """Four members pledged a quarter each, and pledges will be locked two days before the close."""
    return pledged(pledging(rules(**LOCKED | changes)), **dict.fromkeys(MEMBERS, 250_000))


def leaves(story: Story, at: datetime | None, ends: datetime | None = None) -> Story:
    """The story in which ada's departure began then."""
    return knowing(story, MemberDeparting(member="ada", leaves_at=ends or day(90), at=at))


def test_members_are_told_from_when_on_pledges_are_only_raised() -> None:
    plain, locked = opened().due(), opened(rules(**LOCKED)).due()
    told = plain.state.owed["notice:pledging:1"].data
    assert (told["template"], told["facts"].keys()) == ("pledging_started", {"round", "closes_at"})
    told = locked.state.owed["notice:pledging:1"].data
    assert told["facts"] == {"round": "round/atlas-1", "closes_at": day(10).isoformat(), "locked_from": day(8).isoformat()}
    assert written(told["template"], told["facts"], "").text == (
        f"round/atlas-1 is open. Your organisation can pledge until {day(10).isoformat()}, and change or withdraw its pledge until "
        f"{day(8).isoformat()}: from then on it can only be raised.\n"
    )
    extended = mandated(pledged(pledging(rules(**LOCKED)), ada=400_000).due(), round_commands.ExtendRound())
    told, closes_at = extended.state.owed["notice:extended:1"].data, day(40)
    locked_from = closes_at - timedelta(hours=48)
    assert told["facts"] == {"round": "round/atlas-1", "closes_at": closes_at.isoformat(), "locked_from": locked_from.isoformat()}
    assert f"changed or withdrawn until {locked_from.isoformat()}" in written(told["template"], told["facts"], "").text
    extended.when(round_commands.WithdrawPledge(member="ada"), by="rep-ada", at=locked_from).refused("pledges_locked")
    extended.when(round_commands.WithdrawPledge(member="ada"), by="rep-ada", at=locked_from - timedelta(microseconds=1)).followed_by(
        "pledge_withdrawn"
    )


def test_a_notice_opens_no_lock() -> None:
    story = leaves(pledged_by_all(), day(8)).due().owes("notify", "notice:bound:ada:notice_ends:1")
    assert {"leaver_bound", "commitment_kept"} <= {event.kind for event in story.answer}
    assert (money(story, "committed"), kept(story)) == (GOAL, 250_000)


@pytest.mark.parametrize("binding", ["notice_ended", "next_tranche"])
def test_a_pledge_of_who_was_on_the_way_out_before_pledges_were_locked_does_not_count(binding: str) -> None:
    story = pledged_by_all(funding__leaver_bound_until=binding)
    for early in (leaves(story, day(8) - timedelta(microseconds=1)), leaves(story, day(3), ends=day(3)), leaves(story, None)):
        closed = early.due()
        assert sorted(books(closed.state.state)) == ["bel", "cyd", "dov"]
        assert "leaver_bound" not in {event.kind for event in closed.answer}
    again = leaves(leaves(story, day(3)), day(9), ends=day(9)).due()
    assert sorted(books(again.state.state)) == ["bel", "cyd", "dov"], "expelled in the last hours, it was on the way out before"


def test_a_notice_that_is_taken_back_before_the_close_changes_nothing_about_the_pledge() -> None:
    story = knowing(leaves(pledged_by_all(), day(3)), MemberStaying(member="ada"))
    closed = story.due()
    assert (money(closed, "committed"), kept(closed)) == (GOAL, 0)
    assert kept(leaves(story, day(9)).due()) == 250_000, "and its next notice opens no lock"


@pytest.mark.parametrize("binding", ["notice_ended", "next_tranche"])
def test_who_is_expelled_while_pledges_are_locked_pledges_nothing_that_counts(binding: str) -> None:
    expelled = leaves(pledged_by_all(funding__leaver_bound_until=binding), day(9), ends=day(9)).due()
    assert sorted(books(expelled.state.state)) == ["bel", "cyd", "dov"]


def test_who_voted_to_go_on_with_a_round_and_leaves_while_pledges_are_locked_is_bound_to_all_of_it() -> None:
    story = leaves(opposed(pledged_by_all(), yes=("ada",)), day(9)).due().owes("notify", "notice:bound:ada:end:1")
    story = story.when(OVER).then().when(round_commands.CallTranche(tranche=1), by="tess")
    assert kept(story) == 150_000


def test_nobody_is_bound_to_a_pledge_who_is_suspended_or_gone_at_the_close() -> None:
    leaver = leaves(pledged_by_all(), day(9))
    suspended = knowing(leaver, MemberSuspended(member="ada", cause="dues")).due()
    gone = knowing(leaver, MemberDeparted(member="ada", cause="left", at=day(9))).due()
    assert sorted(books(suspended.state.state)) == sorted(books(gone.state.state)) == ["bel", "cyd", "dov"]


def test_a_round_that_hears_of_a_notice_only_when_it_is_over_does_not_bind_the_leaver_through_it() -> None:
    story = committed(rules(**BINDING | {"funding__leaver_bound_until": "notice_ended"}), minimum=1)
    for late in (
        leaves(story, day(3), ends=story.at),
        knowing(leaves(story, day(3)), MemberDeparted(member="ada", cause="left", at=day(9))),
    ):
        late.when(GIVEN).followed_by("commitment_released", "leaving_charged", "commitment_bound", "debt_stated")
    leaves(story, day(3), ends=story.at + timedelta(microseconds=1)).when(GIVEN).followed_by("leaver_bound", "commitment_kept")


def test_a_member_is_told_of_each_notice_what_binds_it() -> None:
    story = called(rules(**BINDING)).when(GIVEN).owes("notify", "notice:bound:ada:notice_ends:1")
    again = story.when(letters.KeepMember(member="ada")).when(GIVEN).owes("notify", "notice:bound:ada:notice_ends:2")
    again.when(OVER).owes("notify", "notice:bound:ada:next_tranche:3")


def charged() -> Story:
    """Ada left before the first call, and is charged 50,000; each other is called for 100,000."""
    story = committed(rules(**BINDING | {"funding__leaver_bound_until": "notice_ended"}), minimum=1).when(OVER)
    return story.when(round_commands.CallTranche(tranche=1), by="tess")


def half_is_spent(story: Story) -> Story:
    amount = money(story, "cleared") // 2
    return ordered(story, amount=amount).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))


def test_of_what_a_leaver_was_charged_the_part_that_nobody_spent_comes_back_at_a_settlement() -> None:
    story = everybody_pays(everybody_pays(charged()).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess"))
    story = half_is_spent(story).when(round_commands.SettleRound(), by="tess")
    assert [money(story, "credit", member) for member in MEMBERS] == [25_000, 125_000, 125_000, 125_000]


def test_of_what_a_leaver_was_charged_its_share_of_what_was_spent_is_borne_at_a_cancellation() -> None:
    story = mandated(half_is_spent(everybody_pays(charged())), round_commands.CancelRound())
    assert [money(story, "credit", member) for member in MEMBERS] == [25_000, 50_000, 50_000, 50_000]
    unpaid = mandated(half_is_spent(everybody_pays_but(charged(), "ada")), round_commands.CancelRound())
    share = 150_000 * 50_000 // 350_000
    assert abs(money(unpaid, "debt", "ada") - share) <= 1, "of what it was charged and never paid, its share stays owed, and no more"
    assert sum(money(unpaid, "credit", member) for member in MEMBERS) == 150_000
    nothing_spent = mandated(everybody_pays(charged()), round_commands.CancelRound())
    assert [money(nothing_spent, "credit", member) for member in MEMBERS] == [50_000, 100_000, 100_000, 100_000]


def test_a_lock_that_a_notice_would_open_is_no_charter() -> None:
    with pytest.raises(ValidationError, match="a notice would open the lock"):
        rules(funding__pledge_lock_hours=48)


def test_leavers_that_take_the_minimum_along_endanger_the_round() -> None:
    story = called()
    for member in ("ada", "bel"):
        story = story.when(letters.ReleaseLeaver(member=member))
    assert story.phase == "calling"
    assert story.when(letters.ReleaseLeaver(member="cyd")).phase == "endangered"


# ---------------------------------------------------------------- spending and the end


def spending(story: Story, name: str = "gpu-1", amount: int = 100_000, line: str = "compute") -> Story:
    return story.when(round_commands.ProposeSpending(spending=name, line=line, amount=amount, payee="cloud"), by="tess")


def test_never_is_more_committed_to_spending_than_has_cleared() -> None:
    story = paid(called(), "ada", 100_000)
    spending(story, amount=100_001).refused("more_than_cleared")
    story = spending(story, amount=60_000).followed_by("spending_proposed").owes("notify", "notice:spending:gpu-1")
    spending(story, amount=60_000).then()
    spending(story, amount=60_001).refused("spending_exists")
    spending(story, "gpu-2", amount=40_001).refused("more_than_cleared")
    freed = story.when(round_commands.WithdrawSpending(spending="gpu-1"), by="tess").followed_by("spending_withdrawn")
    freed.when(round_commands.WithdrawSpending(spending="gpu-1"), by="tess").then()
    freed.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").refused("spending_withdrawn")
    freed.when(letters.RecordSpending(spending="gpu-1", reference="OUT-1")).refused("spending_withdrawn")
    spending(freed, "gpu-2", amount=100_000).followed_by("spending_proposed")


def test_credit_and_deliveries_are_no_money_to_spend() -> None:
    story = called().when(delivery(), by="rep-ada").when(round_commands.AcceptInKind(evidence=PROOF), by="sam")
    story = paid(story, "bel", 150_000)
    spending(story, amount=100_001).refused("more_than_cleared")
    spending(story, amount=100_000).followed_by("spending_proposed")


def test_no_budget_line_is_exceeded() -> None:
    story = all_paid(called(), 100_000)
    spending(story, line="travel").refused("no_such_line")
    spending(story, line="data", amount=200_001).refused("line_exceeded")
    story = spending(story, line="data", amount=150_000)
    spending(story, "more", line="data", amount=50_001).refused("line_exceeded")
    story.when(round_commands.ProposeSpending(spending="x", line="data", amount=1, payee="p"), by="sam").refused("office_required")


def test_spending_needs_the_signature_of_a_second_person_and_is_paid_once() -> None:
    story = spending(paid(called(), "ada", 100_000))
    pay = letters.RecordSpending(spending="gpu-1", reference="OUT-1")
    story.when(pay, by="tess").refused("service_only")
    story.when(pay).refused("not_approved")
    story.when(round_commands.ApproveSpending(spending="gpu-1"), by="tess").refused("office_required")
    both = knowing(story, OfficeGranted(person="tess", office=Office.SECOND_SIGNATORY))
    both.when(round_commands.ApproveSpending(spending="gpu-1"), by="tess").refused("same_person")
    story.when(round_commands.ApproveSpending(spending="gpu-9"), by="theo").refused("no_such_spending")
    story = story.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").followed_by("spending_approved")
    story.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").then()
    story.when(round_commands.WithdrawSpending(spending="gpu-1"), by="tess").refused("payment_ordered")
    story = story.when(pay).followed_by("spending_paid", "bank_reference_used")
    story.when(pay).then()
    story.when(letters.RecordSpending(spending="gpu-1", reference="OUT-2")).refused("spending_paid")
    story.when(round_commands.WithdrawSpending(spending="gpu-1"), by="tess").refused("spending_paid")
    assert money(story, "held") == 0
    assert money(story, "spent") == 100_000


def ordered(story: Story, name: str = "gpu-1", amount: int = 100_000) -> Story:
    """Spending is proposed and signed, and its payment ordered."""
    return spending(story, name, amount).when(round_commands.ApproveSpending(spending=name), by="theo").followed_by("spending_approved")


def test_nobody_proposes_or_signs_a_payment_to_a_member_that_he_speaks_for() -> None:
    story = paid(called(), "ada", 100_000)
    ask = round_commands.ProposeSpending(spending="bel-1", line="compute", amount=1_000, payee="member:bel")
    speaks = [RepresentativeSeated(member="bel", person=person, capacity=Capacity.ALTERNATE, at=day(0)) for person in ("tess", "theo")]
    knowing(story, speaks[0]).when(ask, by="tess").refused("own_payment")
    knowing(story.when(ask, by="tess"), speaks[1]).when(round_commands.ApproveSpending(spending="bel-1"), by="theo").refused("own_payment")


def test_approved_spending_orders_its_payment_from_the_treasury_once() -> None:
    story = ordered(paid(called(), "ada", 100_000))
    (order,) = (step.data for step in story.steps if step.data.get("command", {}).get("kind") == "order_payment")
    assert order["stream"] == "treasury/main"
    assert order["command"] | {"payment": ""} == {
        "kind": "order_payment", "payment": "", "source": "round/atlas-1", "payee": "cloud", "amount": 100_000, "currency": "USD",
        "purpose": "spending", "subject": "gpu-1", "text": "atlas-1 gpu-1", "ordered_by": "tess",
    }  # fmt: skip
    letters.OrderPayment.model_validate_json(json.dumps(order["command"]))


def test_spending_that_comes_back_is_reserved_again_and_one_given_up_is_free() -> None:
    story = ordered(paid(called(), "ada", 100_000))
    story.when(letters.ReturnSpending(spending="gpu-1", reference="BACK")).refused("spending_not_paid")
    story = story.when(letters.RecordSpending(spending="gpu-1", reference="OUT")).when(
        letters.ReturnSpending(spending="gpu-1", reference="BACK")
    )
    story.followed_by("spending_returned", "bank_reference_used").when(letters.ReturnSpending(spending="gpu-1", reference="BACK")).then()
    assert (money(story, "spent"), money(story, "reserved"), money(story, "held")) == (0, 100_000, 100_000)
    again = story.when(letters.RecordSpending(spending="gpu-1", reference="OUT-2")).followed_by("spending_paid", "bank_reference_used")
    assert money(again, "held") == 0
    story.when(letters.ReleaseSpending(spending="gpu-1"), by="tess").refused("service_only")
    story = story.when(letters.ReleaseSpending(spending="gpu-1")).followed_by("spending_withdrawn")
    story.when(letters.ReleaseSpending(spending="gpu-1")).then()
    spending(story, "gpu-2", 100_000).followed_by("spending_proposed")


def test_spending_is_approved_only_while_its_money_is_there() -> None:
    story = spending(paid(called(), "ada", 100_000, reference="IN-1"))
    gone = taken_back(story, "ada", 100_000, "IN-1")
    gone.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").refused("more_than_cleared")
    paid(gone, "ada", 100_000).when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").followed_by("spending_approved")
    lost = until(spending(all_paid(called(), 100_000, "ada", "bel")), "declare_default")
    lost.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").refused("minimum_lost")


def test_a_given_up_payment_returns_no_more_than_is_there() -> None:
    story = ordered(paid(called(), "ada", 100_000, reference="IN-1"))
    story = mandated(taken_back(story, "ada", 100_000, "IN-1"), round_commands.CancelRound())
    closed = story.when(letters.ReleaseSpending(spending="gpu-1")).followed_by(
        "spending_withdrawn", *["share_reduced"] * 4, "round_closed", *["debt_stated"] * 4
    )
    assert (closed.phase, money(closed, "held"), money(closed, "credit")) == ("cancelled", 0, 0)
    story = paid(paid(called(), "ada", 100_000, reference="IN-1"), "bel", 100_000, reference="IN-2")
    story = mandated(taken_back(ordered(story, amount=200_000), "ada", 100_000, "IN-1"), round_commands.CancelRound())
    story = story.when(letters.ReleaseSpending(spending="gpu-1"))
    assert (money(story, "credit", "bel"), money(story, "held")) == (100_000, 100_000)


def test_no_refund_is_ordered_of_money_that_is_not_there() -> None:
    story = paid(paid(called(), "bel", 130_000), "ada", 100_000, reference="IN-1")
    story = taken_back(
        ordered(story, amount=200_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT")), "ada", 100_000, "IN-1"
    )
    assert (money(story, "held"), money(story, "credit", "bel")) == (-70_000, 30_000)
    story.when(round_commands.OrderRefund(refund="bel-1", member="bel"), by="tess").refused("refund_above_held")
    paid(story, "ada", 100_000).when(round_commands.OrderRefund(refund="bel-1", member="bel"), by="tess").followed_by("refund_ordered")


def test_a_payment_under_way_outlives_the_round_and_is_returned_to_the_members_when_it_is_given_up() -> None:
    story = mandated(ordered(all_paid(called(), 100_000)), round_commands.CancelRound())
    assert (money(story, "credit"), money(story, "reserved")) == (300_000, 100_000)
    for member in ("ada", "bel", "cyd", "dov"):
        story = refunded(story, member)
    assert story.phase == "refunding"
    done = story.when(letters.RecordSpending(spending="gpu-1", reference="OUT")).followed_by(
        "spending_paid", "bank_reference_used", "round_closed"
    )
    assert (done.phase, money(done, "held")) == ("cancelled", 0)
    story = story.when(letters.ReleaseSpending(spending="gpu-1"))
    assert (story.phase, money(story, "credit"), money(story, "held")) == ("refunding", 100_000, 100_000)


def test_money_that_comes_back_after_the_round_had_closed_opens_it_again_for_its_members() -> None:
    story = all_paid(called(tranches=(Tranche(name="all", fraction=10_000),), budget=(BudgetLine(name="compute", amount=GOAL),)), 250_000)
    story = (
        ordered(story, amount=GOAL)
        .when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
        .when(round_commands.SettleRound(), by="tess")
    )
    assert story.phase == "settled"
    story = story.when(letters.ReturnSpending(spending="gpu-1", reference="IN")).followed_by(
        "round_reopened", "spending_returned", "bank_reference_used"
    )
    assert (story.phase, money(story, "held"), money(story, "reserved")) == ("refunding", GOAL, GOAL)
    again = story.when(letters.RecordSpending(spending="gpu-1", reference="OUT-2"))
    assert again.phase == "settled"
    story = story.when(letters.ReleaseSpending(spending="gpu-1"))
    assert {money(story, "credit", member) for member in MEMBERS} == {250_000}
    for member in MEMBERS:
        story = refunded(story, member)
    assert story.phase == "settled"
    back = refund_of(story, "ada").model_dump(exclude={"kind", "reference"})
    story = story.when(letters.ReturnRefund(**back, reference="IN-2")).followed_by(
        "round_reopened", "refund_returned", "bank_reference_used"
    )
    assert (story.phase, money(story, "held")) == ("refunding", 250_000)


def test_a_refund_that_comes_back_is_on_its_way_and_one_given_up_is_credit() -> None:
    story = refunded(paid(called(), "ada", 130_000), "ada")
    told = refund_of(story, "ada").model_dump(exclude={"kind", "reference"})
    back = letters.ReturnRefund(**told, reference="BACK")
    story = story.when(back).followed_by("refund_returned", "bank_reference_used").when(back).then()
    assert (money(story, "refunding"), money(story, "refunded"), money(story, "credit")) == (30_000, 0, 0)
    given_up = letters.ReleaseRefund(**told)
    story.when(given_up, by="tess").refused("service_only")
    story.when(letters.ReleaseRefund(**(told | {"amount": 1}))).refused("no_such_refund")
    story = story.when(given_up).followed_by("refund_released").when(given_up).then()
    assert (money(story, "refunding"), money(story, "credit"), money(story, "held")) == (0, 30_000, 130_000)


def test_a_refund_that_was_given_up_is_not_made_and_one_that_was_not_made_does_not_come_back() -> None:
    story = paid(called(), "ada", 130_000).when(round_commands.OrderRefund(refund="ada-1", member="ada"), by="tess")
    made = refund_of(story, "ada")
    told = made.model_dump(exclude={"kind", "reference"})
    story.when(letters.ReturnRefund(**told, reference="BACK")).refused("refund_not_made")
    given_up = story.when(letters.ReleaseRefund(**told)).followed_by("refund_released")
    given_up.when(made).refused("refund_released")
    given_up.when(letters.ReturnRefund(**told, reference="BACK")).refused("refund_not_made")


def settled(charter: Charter | None = None) -> Story:
    """A round whose surplus, 100,000 of each of four members, goes back."""
    story = all_paid(all_paid(called(charter), 100_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess"), 150_000)
    story = story.when(round_commands.ProposeSpending(spending="gpu-1", line="compute", amount=600_000, payee="cloud"), by="tess")
    story = story.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo").when(
        letters.RecordSpending(spending="gpu-1", reference="OUT-1")
    )
    return story.when(round_commands.SettleRound(), by="tess")


def list_of(story: Story) -> letters.OrderPaymentList:
    """The last order that the treasury was told of."""
    kept = books_of(story.state.state)
    assert kept is not None
    name = kept.refund_orders[max(kept.refund_orders)].payment_list
    return letters.OrderPaymentList.model_validate_json(json.dumps(story.state.owed[f"tell:order:{name}"].data["command"]))


def shown_as_paid(story: Story, *members: str) -> Story:
    """The treasury tells of each of these refunds of the last order."""
    for refund in list_of(story).refunds:
        if refund.member in members:
            paid_out = letters.RecordRefund(
                payment=refund.payment, member=refund.member, amount=refund.amount, reference=f"R-{refund.payment}".upper()
            )
            story = story.when(paid_out)
            assert story.refusal is None
            story.when(paid_out).then()
    return story


def test_all_of_a_round_is_refunded_by_one_order_that_the_treasury_gets_as_one_list() -> None:
    settled().when(round_commands.OrderRefunds(), by="theo").refused("office_required")
    story = settled().when(round_commands.OrderRefunds(), by="tess").followed_by(*["refund_ordered"] * 4, "refunds_ordered")
    order = list_of(story)
    assert [(refund.member, refund.amount) for refund in order.refunds] == [(member, 100_000) for member in MEMBERS]
    assert (order.source, order.ordered_by, order.text) == ("round/atlas-1", "tess", "atlas-1 refund")
    assert (money(story, "credit"), money(story, "refunding")) == (0, 400_000)
    story.when(round_commands.OrderRefunds(), by="tess").then()
    story = shown_as_paid(story, *MEMBERS)
    assert (story.phase, money(story, "held"), money(story, "refunded")) == ("settled", 0, 400_000)
    story.when(round_commands.OrderRefunds(), by="tess").refused("round_closed")


def test_what_an_order_of_refunds_could_not_pay_is_credit_again_and_in_the_next_order() -> None:
    story = shown_as_paid(settled().when(round_commands.OrderRefunds(), by="tess"), "ada", "bel", "cyd")
    left = next(refund for refund in list_of(story).refunds if refund.member == "dov")
    story = story.when(letters.ReleaseRefund(payment=left.payment, member="dov", amount=100_000, reason="no account")).followed_by(
        "refund_released"
    )
    assert (story.phase, money(story, "credit"), money(story, "credit", "dov")) == ("refunding", 100_000, 100_000)
    (row,) = (
        row
        for table in story.process.tables(story.state.state, story.register, story.at)
        for row in table.rows
        if "dov" in row and "released" in row
    )
    assert "no account" in row
    story = story.when(round_commands.OrderRefunds(), by="tess").followed_by("refund_ordered", "refunds_ordered")
    again = list_of(story)
    assert [(refund.member, refund.amount) for refund in again.refunds] == [("dov", 100_000)]
    assert again.refunds[0].payment != left.payment
    story.when(letters.ReleaseRefund(payment=left.payment, member="dov", amount=100_000)).then()
    assert shown_as_paid(story, "dov").phase == "settled"


def test_an_order_of_refunds_leaves_out_what_is_on_its_way_by_itself_and_who_has_no_credit() -> None:
    story = paid(paid(called(), "ada", 130_000), "bel", 120_000).when(
        round_commands.OrderRefund(refund="ada-1", member="ada", amount=10_000), by="tess"
    )
    story = story.when(round_commands.OrderRefunds(), by="tess").followed_by("refund_ordered", "refund_ordered", "refunds_ordered")
    assert [(refund.member, refund.amount) for refund in list_of(story).refunds] == [("ada", 20_000), ("bel", 20_000)]
    committed().when(round_commands.OrderRefunds(), by="tess").refused("nothing_to_refund")
    pledging().when(round_commands.OrderRefunds(), by="tess").refused("not_committed")


def test_where_less_is_left_than_is_owed_back_everybody_gets_the_same_part_to_the_last_cent() -> None:
    story = paid(paid(paid(called(), "bel", 130_000), "cyd", 160_000), "ada", 100_000, reference="IN-1")
    story = ordered(story, amount=300_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    story = taken_back(story, "ada", 100_000, "IN-1")
    assert (money(story, "held"), money(story, "credit")) == (-10_000, 90_000)
    story.when(round_commands.OrderRefunds(), by="tess").refused("refund_above_held")
    story = (
        paid(story, "ada", 20_000)
        .when(round_commands.OrderRefunds(), by="tess")
        .followed_by("refund_ordered", "refund_ordered", "refunds_ordered")
    )
    assert [(refund.member, refund.amount) for refund in list_of(story).refunds] == [("bel", 3_333), ("cyd", 6_667)]
    story.when(round_commands.OrderRefunds(), by="tess").refused("refund_above_held")
    story = paid(story, "ada", 80_000).when(round_commands.OrderRefunds(), by="tess")
    assert [(refund.member, refund.amount) for refund in list_of(story).refunds] == [("bel", 26_667), ("cyd", 53_333)]


def test_an_order_of_refunds_is_as_long_as_the_treasury_takes_and_the_rest_is_ordered_next() -> None:
    many = [f"m{number:03}" for number in range(LISTED + 5)]
    story = (
        Story.of(ROUND, "round/atlas-1", with_members(founded(rules(funding__share_floor=0)), *many))
        .when(round_commands.OpenRound(**terms()), by="sam")
        .due()
    )
    story = pledged(story, **dict.fromkeys(many, 7_000)).due().when(round_commands.CallTranche(tranche=1), by="tess")
    for member in many:
        story = paid(story, member, books(story.state.state)[member]["debt"] + 10)
    story = story.when(round_commands.OrderRefunds(), by="tess")
    assert [refund.member for refund in list_of(story).refunds] == many[:LISTED]
    story = story.when(round_commands.OrderRefunds(), by="tess")
    assert [refund.member for refund in list_of(story).refunds] == many[LISTED:]
    story.when(round_commands.OrderRefunds(), by="tess").then()


def test_credit_that_is_on_its_way_back_pays_no_call() -> None:
    story = all_paid(paid(called(), "ada", 130_000), 100_000, "bel", "cyd", "dov").when(
        round_commands.OrderRefund(refund="ada-1", member="ada"), by="tess"
    )
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "debt", "ada") == 150_000
    (name,) = books_of(story.state.state).refunds  # type: ignore[union-attr]
    story = story.when(letters.ReleaseRefund(payment=name, member="ada", amount=30_000))
    story.followed_by("refund_released", "credit_applied", "debt_stated", "contribution_cleared")
    assert money(story, "debt", "ada") == 120_000


def taken_back(story: Story, member: str, amount: int, original: str, reference: str = "") -> Story:
    """The treasury tells that the bank took a payment back."""
    return story.when(letters.ReversePayment(member=member, amount=amount, reference=reference or f"GONE-{original}", original=original))


def test_a_payment_that_the_bank_takes_back_is_owed_again_as_it_was_called() -> None:
    story = paid(all_paid(called(), 100_000, "bel", "cyd", "dov"), "ada", 130_000, reference="IN-1")
    undo = letters.ReversePayment(member="ada", amount=130_000, reference="BACK-1", original="IN-1")
    story.when(undo, by="tess").refused("service_only")
    dues = called().state.state.books.accounts["ada"].dues
    story = story.when(undo).followed_by("payment_reversed", "bank_reference_used", "call_reopened", "debt_stated", "contribution_returned")
    story.owes("notify", "notice:reversed:BACK-1:1").when(undo).then()
    assert (money(story, "received", "ada"), money(story, "credit", "ada"), money(story, "debt", "ada")) == (0, 0, 100_000)
    assert story.state.state.books.accounts["ada"].dues == dues
    assert story.register.cleared["ada"] == 0
    assert story.agenda.deadline is not None
    assert story.agenda.deadline.command.kind == "remind_before_due"
    again = paid(story, "ada", 100_000)
    assert (money(again, "debt", "ada"), money(again, "cleared", "ada")) == (0, 100_000)
    assert again.agenda.deadline is None


def test_whose_payment_is_taken_back_without_which_it_owes_nothing_is_told_so() -> None:
    story = paid(paid(called(), "ada", 100_000, reference="IN-1"), "ada", 30_000, reference="IN-2")
    back = taken_back(story, "ada", 30_000, "IN-2")
    assert sent(back, "reversed:GONE-IN-2:1") == ("payment_reversed_nothing_owed", ["member:ada"])
    assert back.known["notice:reversed:GONE-IN-2:1"].data["facts"]["taken_back"] == "USD 300.00"
    ended = taken_back(mandated(story, round_commands.CancelRound()), "ada", 30_000, "IN-2")
    assert sent(ended, "reversed:GONE-IN-2:1") == ("payment_reversed_nothing_owed", ["member:ada"])


def test_a_late_payment_that_is_taken_back_leaves_the_interest_running_from_the_due_day() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "mark_overdue")
    story = paid(story, "dov", 100_100, reference="IN-D", on=date(2026, 11, 27))
    assert (money(story, "debt", "dov"), story.state.state.books.calls[1].interest) == (0, 100)
    story = taken_back(story, "dov", 100_100, "IN-D")
    assert (money(story, "debt", "dov"), money(story, "cleared", "dov"), money(story, "interest", "dov")) == (100_100, 0, 0)
    assert story.state.state.books.calls[1].interest == 0
    days = (date(2026, 12, 4) - date(2026, 11, 26)).days
    story = paid(replace(story, at=day(33)), "dov", 100_000 + 100 * days, on=date(2026, 12, 4))
    assert (money(story, "debt", "dov"), money(story, "credit", "dov")) == (0, 0)


def test_who_had_paid_in_time_shares_no_interest_for_what_was_taken_back() -> None:
    story = paid(called(), "ada", 100_000, reference="IN-1")
    story = taken_back(story, "ada", 100_000, "IN-1")
    assert "ada" not in story.state.state.books.calls[1].in_time


def test_a_member_whose_payments_bounce_is_in_default_when_the_time_to_cure_is_over() -> None:
    story = all_paid(called(), 100_000, "ada", "bel", "cyd")
    for number in range(3):
        story = paid(story, "dov", 100_000 + money(story, "interest", "dov"), reference=f"IN-{number}", on=story.at.date())
        story = taken_back(story, "dov", 100_000, f"IN-{number}").due()
    story = until(story, "declare_default")
    assert money(story, "in_default") == 250_000
    assert story.at.date() == date(2026, 12, 11)
    story.owes("tell", "tell:default:dov:1")


def test_a_cured_default_is_one_again_when_its_payment_is_taken_back_and_nobody_makes_up_for_it_twice() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "declare_default")
    owed = 100_000 + 100 * (story.at.date() - date(2026, 11, 26)).days
    story = all_paid(paid(story, "dov", owed, reference="IN-D"), 25_000, "ada", "bel", "cyd")
    assert money(story, "in_default") == 0
    story = taken_back(story, "dov", owed, "IN-D")
    assert (money(story, "debt", "dov"), story.state.state.books.calls[1].stage) == (owed, "warned")
    story = story.due()
    assert [event.kind for event in story.answer if event.kind != "step_owed"][:2] == ["call_defaulted", "member_defaulted"]
    assert [money(story, "cleared", member) for member in ("ada", "bel", "cyd")] == [125_000] * 3, "what came back pays for it again, once"
    assert [money(story, "debt", member) for member in ("ada", "bel", "cyd")] == [0] * 3, "nobody pays a second time"
    story.owes("tell", "tell:default:dov:2").owes("notify", "notice:default:1-1")


def test_a_payment_is_taken_back_once() -> None:
    story = paid(paid(called(), "ada", 60_000, reference="IN-1"), "ada", 40_000, reference="IN-2")
    story = taken_back(story, "ada", 40_000, "IN-2")
    assert turned_away(taken_back(story, "ada", 40_000, "IN-2", "AGAIN").then(), "AGAIN")
    assert money(story, "cleared", "ada") == 60_000


def test_credit_of_a_payment_that_is_taken_back_holds_nothing_that_it_settled_later() -> None:
    story = all_paid(paid(called(), "ada", 130_000, reference="IN-1"), 100_000, "bel", "cyd", "dov")
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    assert money(story, "debt", "ada") == 120_000
    story = taken_back(story, "ada", 130_000, "IN-1")
    assert (money(story, "debt", "ada"), money(story, "received", "ada")) == (250_000, 0)
    assert [(due.call, due.principal) for due in story.state.state.books.accounts["ada"].dues] == [(1, 100_000), (2, 150_000)]


def test_interest_that_was_shared_before_it_was_taken_back_is_missing_to_nobody_once_it_is_paid_again() -> None:
    story = until(all_paid(called(), 100_000, "ada", "bel", "cyd"), "remind_overdue")
    story = paid(story, "dov", 100_400, reference="IN-D", on=date(2026, 11, 30))
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story = taken_back(story, "dov", 100_400, "IN-D")
    assert story.state.state.books.calls[1].interest == -400
    assert story.state.state.books.spendable == 300_000, "of the cleared 300,400 the shared interest is not there"
    back = paid(story, "dov", 100_400, on=date(2026, 11, 30))
    assert back.state.state.books.calls[1].interest == 0
    over = mandated(story, round_commands.CancelRound())
    assert money(over, "credit") == money(over, "held") == 300_000


def test_a_payment_that_is_told_again_after_the_end_is_old_news() -> None:
    story = paid(called(), "ada", 100_000, reference="IN-1")
    ask = letters.RecordPayment(member="ada", amount=100_000, reference="IN-1", value_date=story.at.date())
    assert not turned_away(mandated(story, round_commands.CancelRound()).when(ask).then(), "IN-1")


def test_a_payment_that_was_taken_back_before_it_came_is_not_taken() -> None:
    story = taken_back(called(), "ada", 100_000, "IN-1").followed_by("reversal_turned_away")
    assert turned_away(story, "GONE-IN-1")
    taken_back(story, "ada", 100_000, "IN-1").then()
    assert turned_away(paid(story, "ada", 100_000, reference="IN-1").then(), "IN-1")
    assert money(story, "received") == 0


def test_a_reversal_of_what_went_back_to_the_member_goes_to_the_treasurer() -> None:
    story = refunded(paid(called(), "ada", 130_000, reference="IN-1"), "ada")
    assert turned_away(taken_back(story, "ada", 130_000, "IN-1").then(), "GONE-IN-1")
    assert turned_away(pledging().when(letters.ReversePayment(member="ada", amount=1, reference="B-2", original="IN-9")).then(), "B-2")


def less_credit(story: Story, cause: str) -> dict[str, str]:
    """What members were told of their credit that is not there since a payment is missing."""
    return {member: facts["less"] for member, facts in story.known[f"notice:surplus-{cause}:1"].data["each"].items()}


def over(*, refunds: tuple[str, ...] = ()) -> Story:
    """All paid 100,000, of which 200,000 was spent; the round is cancelled, and so much of the surplus of 50,000 each went back."""
    story = paid(all_paid(called(), 100_000, "bel", "cyd", "dov"), "ada", 100_000, reference="IN-1")
    story = ordered(story, amount=200_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    story = mandated(story, round_commands.CancelRound())
    assert {money(story, "credit", member) for member in MEMBERS} == {50_000}
    for member in refunds:
        story = refunded(story, member)
    return story


def test_after_the_end_a_payment_that_is_taken_back_leaves_its_share_owed_and_nobody_with_what_came_of_it() -> None:
    story = taken_back(over(), "ada", 100_000, "IN-1").followed_by(
        "payment_reversed", "bank_reference_used", "surplus_returned", "share_reduced", "debt_stated", "contribution_returned",
        *["contribution_cleared"] * 3,
    )  # fmt: skip
    assert [money(story, "credit", member) for member in MEMBERS] == [0, 33_333, 33_333, 33_334]
    assert money(story, "held") == money(story, "credit") == 100_000
    assert (money(story, "debt", "ada"), story.register.debts["ada"]["round/atlas-1"]) == (50_000, 50_000)
    assert asked(story, "reversed:GONE-IN-1:1", "ada") == (50_000, date(2026, 11, 26), 50)
    assert less_credit(story, "reversed:GONE-IN-1") == {
        "member:bel": "USD 166.67", "member:cyd": "USD 166.67", "member:dov": "USD 166.66",
    }  # fmt: skip
    assert "ada" not in {member for member, account in books_of(story.state.state).accounts.items() if account.in_default}  # type: ignore[union-attr]
    story = paid(story, "ada", 50_000)
    assert [money(story, "credit", member) for member in MEMBERS] == [0] + [50_000] * 3
    assert ([cost(story, member) for member in MEMBERS], money(story, "held")) == ([50_000] * 4, 150_000)


def test_after_the_end_what_went_back_of_a_payment_that_is_taken_back_is_owed_too() -> None:
    story = taken_back(over(refunds=("ada",)), "ada", 100_000, "IN-1")
    assert (money(story, "debt", "ada"), money(story, "held"), money(story, "credit")) == (100_000, 50_000, 50_000)
    assert story.register.cleared["ada"] == 0
    story = paid(story, "ada", 100_000)
    assert ([cost(story, member) for member in MEMBERS], money(story, "held")) == ([50_000] * 4, 150_000)


def test_a_round_that_had_closed_has_a_claim_on_who_was_paid_back_of_a_payment_that_is_taken_back() -> None:
    story = over(refunds=MEMBERS)
    assert story.phase == "cancelled"
    story = taken_back(story, "ada", 100_000, "IN-1").followed_by(
        "round_reopened", "payment_reversed", "bank_reference_used", "debt_stated", "contribution_returned", "round_closed"
    )
    assert (story.phase, money(story, "debt", "ada"), money(story, "held")) == ("cancelled", 100_000, -100_000)
    assert turned_away(taken_back(story, "ada", 100_000, "IN-1", "AGAIN").then(), "AGAIN")
    story = paid(story, "ada", 100_000)
    assert (story.phase, money(story, "debt", "ada"), money(story, "held")) == ("cancelled", 0, 0)
    assert [cost(story, member) for member in MEMBERS] == [50_000] * 4


def test_who_still_has_its_surplus_gets_it_again_before_others_who_were_paid() -> None:
    story = taken_back(over(refunds=("cyd", "dov")), "ada", 100_000, "IN-1")
    assert [money(story, "credit", member) for member in MEMBERS] == [0] * 4
    assert (story.phase, money(story, "held"), money(story, "debt", "ada")) == ("cancelled", 0, 50_000)
    story = paid(story, "ada", 50_000)
    assert ([money(story, "credit", member) for member in MEMBERS], money(story, "held")) == ([0, 50_000, 0, 0], 50_000)


def test_a_refund_that_is_given_up_while_a_payment_is_missing_comes_back_when_that_is_paid() -> None:
    story = over(refunds=("cyd", "dov")).when(round_commands.OrderRefund(refund="bel-1", member="bel"), by="tess")
    told = refund_of(story, "bel").model_dump(exclude={"kind", "reference"})
    story = taken_back(story, "ada", 100_000, "IN-1")
    assert (story.phase, money(story, "refunding", "bel"), money(story, "held")) == ("refunding", 50_000, 0)
    story = story.when(letters.ReleaseRefund(**told))
    assert (story.phase, money(story, "credit", "bel"), money(story, "debt", "ada")) == ("cancelled", 0, 50_000)
    assert less_credit(story, f"refund:{told['payment']}") == {"member:bel": "USD 500.00"}
    story = paid(story, "ada", 50_000)
    assert ([money(story, "credit", member) for member in MEMBERS], money(story, "held")) == ([0, 50_000, 0, 0], 50_000)


def test_who_pays_more_than_it_owes_while_another_payment_is_missing_is_told_that_it_gets_nothing_of_it_back_yet() -> None:
    """Of what went back to both of them half is missing still, and what is paid too much stands in for it."""
    story = paid(all_paid(called(), 100_000, "cyd", "dov"), "ada", 100_000, reference="IN-1")
    story = paid(story, "bel", 100_000, reference="IN-2")
    story = ordered(story, amount=200_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    story = mandated(story, round_commands.CancelRound())
    for member in MEMBERS:
        story = refunded(story, member)
    story = taken_back(taken_back(story, "ada", 100_000, "IN-1"), "bel", 100_000, "IN-2")
    story = paid(story, "bel", 130_000, reference="IN-3")
    assert (money(story, "debt", "bel"), money(story, "credit", "bel"), money(story, "held")) == (0, 0, -70_000)
    assert less_credit(story, "payment:IN-3") == {"member:bel": "USD 300.00"}


def test_a_default_that_a_payment_after_the_end_had_ended_is_one_again_when_it_is_taken_back() -> None:
    story = spent_and_cancelled()
    before, costs = story, [cost(story, member) for member in MEMBERS]
    rate = story.register.charters[1].funding.default_interest
    owed = owed_on(books_of(story.state.state), books_of(story.state.state).accounts["dov"], rate, story.at.date())  # type: ignore[union-attr,arg-type]
    story = paid(story, "dov", owed, reference="IN-D")
    assert money(story, "in_default") == 0
    story = taken_back(story, "dov", owed, "IN-D")
    kinds = [event.kind for event in story.answer if event.kind != "step_owed"]
    assert kinds[:4] == ["payment_reversed", "bank_reference_used", "surplus_returned", "member_defaulted"]
    assert (money(story, "in_default"), money(story, "debt", "dov")) == (75_000, money(before, "debt", "dov"))
    late = owed - 75_000
    assert sum(money(story, "credit", member) for member in ("ada", "bel", "cyd")) == money(story, "held") == 75_000
    assert [cost(story, member) for member in MEMBERS] == costs, "the interest that was shared comes out of what they brought"
    story.owes("tell", "tell:default:dov:2").owes("notify", "notice:in-default:dov:2:1")
    story = cured(story)
    story.owes("tell", "tell:lift-default:dov:2").owes("notify", "notice:default-cured:dov:2:1")
    assert [cost(story, member) for member in MEMBERS] == [75_000 - late // 3] * 3 + [75_000 + late]
    assert money(story, "held") == money(story, "credit")


def test_a_payment_that_is_taken_back_after_the_end_leaves_everybody_where_they_were_had_it_never_been_made() -> None:
    def lived(story: Story) -> Story:
        story = all_paid(story, 100_000, "ada", "bel", "cyd")
        story = ordered(story, amount=200_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
        return mandated(replace(story, at=day(32)), round_commands.CancelRound())

    never, back = lived(called()), lived(paid(called(), "dov", 100_000, reference="IN-D"))
    later = day(50)
    back = taken_back(replace(back, at=later), "dov", 100_000, "IN-D")
    rate, kept = never.register.charters[1].funding.default_interest, [books_of(story.state.state) for story in (never, back)]
    owed = [owed_on(each, each.accounts["dov"], rate, later.date()) for each in kept if each]
    assert owed == [51_700, 51_700], "the interest ran on all of it to the end, and on the share since"
    assert [money(back, "credit", member) for member in MEMBERS] == [33_333, 33_333, 33_334, 0]
    assert sum(money(never, "credit", member) for member in MEMBERS) == 100_000
    back.owes("tell", "tell:default:dov:1").owes("notify", "notice:in-default:dov:1:1")


def test_after_a_settlement_a_payment_that_is_taken_back_leaves_its_part_of_what_was_spent_owed() -> None:
    story = all_paid(called(), 100_000, "bel", "cyd", "dov")
    story = paid(story, "ada", 100_000, reference="IN-1").when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story = paid(all_paid(story, 150_000, "bel", "cyd", "dov"), "ada", 150_000, reference="IN-2")
    story = ordered(story, amount=600_000).when(letters.RecordSpending(spending="gpu-1", reference="OUT"))
    story = story.when(round_commands.SettleRound(), by="tess")
    assert {money(story, "credit", member) for member in MEMBERS} == {100_000}
    story = taken_back(story, "ada", 150_000, "IN-2")
    assert ([money(story, "credit", member) for member in MEMBERS], money(story, "debt", "ada")) == (
        [0, 83_333, 83_333, 83_334], 50_000,
    )  # fmt: skip
    assert money(story, "held") == money(story, "credit") == 250_000
    story = taken_back(story, "ada", 100_000, "IN-1")
    assert money(story, "held") == money(story, "credit") == 150_000
    assert money(story, "debt", "ada") == 150_000
    for member in ("bel", "cyd", "dov"):
        story = refunded(story, member)
    assert story.phase == "settled"
    story = paid(story, "ada", 150_000)
    assert ([cost(story, member) for member in MEMBERS], money(story, "held")) == ([150_000] * 4, 150_000)


def test_after_the_end_credit_that_was_paid_out_of_a_payment_that_is_taken_back_is_owed() -> None:
    story = refunded(paid(all_paid(called(), 100_000, "bel", "cyd", "dov"), "ada", 130_000, reference="IN-1"), "ada")
    assert turned_away(taken_back(story, "ada", 130_000, "IN-1").then(), "GONE-IN-1")
    story = mandated(story, round_commands.CancelRound())
    for member in ("bel", "cyd", "dov"):
        story = refunded(story, member)
    story = story.when(round_commands.OrderRefund(refund="ada-2", member="ada"), by="tess")
    kept = books_of(story.state.state)
    assert kept is not None
    (name,) = (name for name, refund in kept.refunds.items() if refund.stage == "ordered")
    story = story.when(letters.RecordRefund(payment=name, member="ada", amount=100_000, reference="BACK-2"))
    assert (story.phase, money(story, "held")) == ("cancelled", 0)
    story = taken_back(story, "ada", 130_000, "IN-1")
    assert (story.phase, money(story, "debt", "ada"), money(story, "held")) == ("cancelled", 130_000, -130_000)
    story = paid(story, "ada", 130_000)
    assert (story.phase, money(story, "debt", "ada"), money(story, "held")) == ("cancelled", 0, 0)


def test_credit_of_a_round_that_never_called_and_was_paid_out_goes_to_the_treasurer_when_its_payment_is_taken_back() -> None:
    story = refunded(mandated(paid(committed(), "ada", 1_000, reference="IN-1"), round_commands.CancelRound()), "ada")
    assert turned_away(taken_back(story, "ada", 1_000, "IN-1").then(), "GONE-IN-1")


def test_a_payment_that_was_taken_back_before_it_came_is_not_taken_by_a_round_that_had_closed() -> None:
    story = taken_back(without_what_was_spent(), "dov", 50_000, "IN-D").followed_by(
        "round_reopened", "reversal_turned_away", "round_closed"
    )
    assert turned_away(story, "GONE-IN-D")
    taken_back(story, "dov", 50_000, "IN-D").then()
    assert turned_away(paid(story, "dov", 50_000, reference="IN-D").then(), "IN-D")


def test_a_round_that_is_closed_with_debts_closes_when_what_it_held_was_taken_back() -> None:
    story = called(rules(silence=charter().silence.model_dump(mode="json")))
    story = mandated(paid(story, "ada", 100_000, reference="IN-1"), round_commands.CancelRound())
    story = until(story, "end_in_silence")
    assert (story.phase, money(story, "credit", "ada")) == ("closed_with_debts", 100_000)
    story = taken_back(story, "ada", 100_000, "IN-1")
    assert (story.phase, money(story, "credit"), money(story, "held")) == ("cancelled", 0, 0)


def test_every_committed_member_has_its_reference() -> None:
    story = committed()
    reference = creditor_reference("round/atlas-1", "ada")
    assert (story.register.expected[reference].stream, story.register.expected[reference].member) == ("round/atlas-1", "ada")


def test_a_round_settles_only_when_all_is_called_and_cleared_and_nothing_is_reserved() -> None:
    story = all_paid(called(), 100_000)
    story.when(round_commands.SettleRound(), by="sam").refused("office_required")
    story.when(round_commands.SettleRound(), by="tess").refused("not_all_called")
    story = story.when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess")
    story.when(round_commands.SettleRound(), by="tess").refused("calls_running")
    story = spending(all_paid(story, 150_000))
    story.when(round_commands.SettleRound(), by="tess").refused("spending_open")
    story = story.when(round_commands.WithdrawSpending(spending="gpu-1"), by="tess").when(round_commands.SettleRound(), by="tess")
    assert story.phase == "refunding"
    assert ROUND.describe(story.state.state).waits_for == ("office:treasurer",)
    story.when(round_commands.SettleRound(), by="tess").then()
    assert turned_away(paid(story, "ada", 1, reference="LATE").then(), "LATE")


def test_no_round_settles_while_somebody_owes_who_can_still_pay() -> None:
    story = all_paid(called(minimum=1, tranches=(Tranche(name="all", fraction=10_000),)), 250_000, "ada", "bel", "cyd")
    story = all_paid(until(story, "declare_default"), 62_500, "ada", "bel", "cyd")
    story.when(round_commands.SettleRound(), by="tess").refused("default_open")
    assert everybody_pays(story).when(round_commands.SettleRound(), by="tess").refusal is None
    gone = knowing(story, MemberDeparted(member="dov", cause="expelled", at=story.at)).when(round_commands.SettleRound(), by="tess")
    assert gone.phase == "refunding"


def test_no_round_settles_before_every_delivery_is_judged() -> None:
    story = all_paid(called(tranches=(Tranche(name="all", fraction=10_000),)), 250_000, "bel", "cyd", "dov")
    story = paid(story.when(delivery(quantity=1_000), by="rep-ada"), "ada", 250_000)
    story.when(round_commands.SettleRound(), by="tess").refused("delivery_open")
    judged = story.when(round_commands.RejectInKind(evidence=PROOF, reason="too late"), by="sam").when(
        round_commands.SettleRound(), by="tess"
    )
    assert judged.phase == "refunding"


def test_a_round_that_spent_everything_closes_at_once() -> None:
    story = all_paid(called(tranches=(Tranche(name="all", fraction=10_000),), budget=(BudgetLine(name="compute", amount=GOAL),)), 250_000)
    story = spending(story, amount=GOAL).when(round_commands.ApproveSpending(spending="gpu-1"), by="theo")
    story = story.when(letters.RecordSpending(spending="gpu-1", reference="OUT")).when(round_commands.SettleRound(), by="tess")
    assert story.phase == "settled"
    story.when(round_commands.SettleRound(), by="tess").then()


def test_nothing_happens_after_the_end() -> None:
    story = mandated(committed(), round_commands.CancelRound())
    assert story.phase == "cancelled"
    for command, by in (
        (round_commands.CallTranche(tranche=1), "tess"), (round_commands.JoinLate(member="eli", amount=100_000), "rep-eli"), (EXIT, "rep-ada"), (delivery(), "rep-ada"),
        (round_commands.SettleRound(), "tess"), (round_commands.Pledge(member="ada", amount=100_000), "rep-ada"), (round_commands.OpenRound(**terms(title="x")), "sam"),
    ):  # fmt: skip
        assert story.when(command, by=by).refusal is not None
    told = (
        RELEASE,
        letters.ReleaseLeaver(member="ada"),
        round_commands.MarkOverdue(call=1),
        round_commands.StartPledging(),
        round_commands.CancelRound(cause="shortfall"),
    )
    for news in told:
        story.when(news).then()


def test_the_ladders_that_run_at_the_same_time_are_bounded() -> None:
    many = [f"m{number:02}" for number in range(66)]
    story = called(rules(funding__share_floor=0))
    story = replace(story, register=with_members(story.register, *many))
    for member in many[:63]:
        story = story.when(round_commands.JoinLate(member=member, amount=1_000), by=f"rep-{member}").followed_by(
            "late_joiner_committed", "catch_up_called", "commitment_bound", "payment_expected", "debt_stated"
        )
    story.when(round_commands.JoinLate(member="m65", amount=1_000), by="rep-m65").refused("too_many_calls")
