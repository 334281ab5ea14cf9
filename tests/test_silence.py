"""Silence: a round's duties pass on when nobody acts, and a round that nobody winds up ends with its debts.

| duty | while | whose | passes to | when nobody is left |
| --- | --- | --- | --- | --- |
| call | nothing is due, and the next tranche may be called | treasurer | deputy of the treasurer, the board | the round is cancelled |
| milestone | the next tranche waits for its milestone | training lead | deputy of the training lead, the board | the round is cancelled |
| settle | all is called, and nothing is due | treasurer | as call | the round is cancelled |
| refund | the round is over, and members have credit | treasurer | as call | closed with debts |
| pay | the round is over, and the rest is ordered of the treasury | treasurer | as call | closed with debts |

| command | by whom | events | refusals (clause) |
| --- | --- | --- | --- |
| take_duty | who holds it, whom it passed to, and who is next | duty_taken, duty_awaited | duty_not_awaited (silence), office_required (silence.deputies) |
| call_tranche, settle_round, order_refund, order_refunds | besides the treasurer, whom the duty passed to | as before | office_required (roles) |
| approve_standing_refunds | holders of the approval offices, as many as sign a payment, before the end | standing_refunds_signed, standing_refunds_approved | no_standing_refunds (silence.standing_days), office_required (treasury.approval_offices), same_person, same_organisation (treasury.approvals), round_closed |
| revoke_standing_refunds | one of them, until all is given back | standing_refunds_revoked | office_required (treasury.approval_offices), round_closed |
| order_standing_refunds | the clock | refund_ordered…, refunds_ordered (standing) | |
| pass_duty | the clock | duty_passed | |
| end_in_silence | the clock | round_cancelled (silence); round_closed_with_debts | |
| ask_for_debts | the clock | debts_asked_for | |

| term of the charter (`silence`) | default | in the example |
| --- | --- | --- |
| duty_days: how long each of the line has | 0: for ever | 30 |
| milestone_days: how long a milestone is waited for first | 0: for ever | 365 |
| standing_days: how long after the end the standing order gives the refunds | 0: never | 14 |
| deputies: who comes before the board | nobody | the secretariat for the treasurer and the training lead |
| debts_days: how often debts are asked for again | 91 | 91 |

Whoever holds a duty and acts, by whatever command, begins their days anew; so does a vote that is carried out, and another duty. In
`closed_with_debts` everything that goes on in `refunding` goes on: refunds are ordered by whoever the duty came to, and the last one closes the round.

The **standing order** is asked for when a round is announced. Other terms before pledging need it anew. It pays nobody twice: whose refund it could not pay
(no approved bank details) has credit again, which only a person orders.

Steps: `tell` to the treasury (`order_payment_list`, with who approved it beforehand); `notify` (`duty_passed` to whom it passes and who had it; `debts_listed` to treasurer, secretariat and board; `debt_to_you` and
`debt_of_yours` to each member of its own).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import letters
from domain.charter import Charter, Office, SilenceTerms, flaws
from domain.kernel import Step
from domain.round import commands as round_commands
from domain.round import events as round_events
from domain.round import standing
from domain.round.process import ROUND
from domain.round.state import ClosedWithDebts, books_of, duty_of, standing_of
from domain.round.terms import Debt, DebtKind, Duty
from domain.stream import StepOwed
from tests.stories import Story, charter
from tests.test_round import (
    MEMBERS,
    RELEASE,
    all_paid,
    called,
    committed,
    delivery,
    list_of,
    mandated,
    money,
    opened,
    paid,
    pledged,
    pledging,
    refund_of,
    rules,
    settled,
    shown_as_paid,
    terms,
    until,
)

WATCHED = rules(silence=charter().silence.model_dump(mode="json"))
"""What the example charter says of silence."""


def silent(story: Story, *kinds: str) -> Story:
    """Nobody acts, and the clock gives these commands and no others."""
    for kind in kinds:
        deadline = story.agenda.deadline
        assert deadline is not None
        assert deadline.command.kind == kind
        story = story.due()
        assert story.refusal is None
    return story


def with_debts(story: Story) -> Story:
    return silent(story, "pass_duty", "pass_duty", "end_in_silence")


def facts(story: Story, template: str) -> dict[str, str | int]:
    """What the notice of this template that was just owed says to all."""
    said: dict[str, str | int] = notice(story, template).data["facts"]
    return said


def notice(story: Story, template: str) -> Step:
    return next(event.step for event in story.answer if isinstance(event, StepOwed) and event.step.data.get("template") == template)


def told(story: Story, template: str) -> tuple[str, ...]:
    """Whom it goes to."""
    return tuple(notice(story, template).data["to"])


# ---------------------------------------------------------------- the silent treasurer


def test_a_treasurer_who_does_not_order_the_refunds_holds_nobody_up_for_ever() -> None:
    """The silent consortium: a round waited for its treasurer without a date, while nothing was passed on."""
    story = silent(settled(WATCHED), "pass_duty").followed_by("duty_passed")
    assert (story.at - settled(WATCHED).at).days == 30
    assert told(story, "duty_passed") == ("office:secretariat", "office:treasurer")
    said = facts(story, "duty_passed")
    assert (said["waits"], said["credit"], said["held"]) == ("Refunds are to be ordered", "USD 4,000.00", "USD 4,000.00")
    assert said["then"] == "it passes to board"
    story.when(round_commands.OrderRefunds(), by="bo").refused("office_required")
    done = story.when(round_commands.OrderRefunds(), by="sam").followed_by(*["refund_ordered"] * 4, "refunds_ordered")
    assert list_of(done).ordered_by == "sam"
    assert shown_as_paid(done, *MEMBERS).phase == "settled"
    assert story.when(round_commands.OrderRefunds(), by="tess").refusal is None


def test_a_duty_passes_at_last_to_the_whole_board_and_then_the_round_is_closed_with_its_debts() -> None:
    story = silent(settled(WATCHED), "pass_duty", "pass_duty")
    assert told(story, "duty_passed") == ("office:board", "office:secretariat", "office:treasurer")
    assert facts(story, "duty_passed")["then"] == "the round is closed with its debts, which are listed and asked for again"
    assert story.process.describe(story.state.state).waits_for == ("office:treasurer", "office:board", "office:secretariat")
    closed = silent(story, "end_in_silence").followed_by("round_closed_with_debts")
    assert (closed.phase, (closed.at - settled(WATCHED).at).days) == ("closed_with_debts", 90)
    assert isinstance(closed.state.state, ClosedWithDebts)
    assert closed.state.state.debts == tuple(Debt(kind=DebtKind.TO_MEMBER, party=member, amount=100_000) for member in MEMBERS)
    assert sorted(told(closed, "debts_listed")) == ["office:board", "office:secretariat", "office:treasurer"]
    assert (facts(closed, "debts_listed")["amount"], facts(closed, "debts_listed")["creditors"]) == ("USD 4,000.00", 4)
    assert told(closed, "debt_to_you") == tuple(f"member:{member}" for member in MEMBERS)
    said = ROUND.describe(closed.state.state)
    assert "closed with debts of USD 4,000.00" in said.line
    assert "| to a member | dov | USD 1,000.00 |" in said.text
    (listed,) = (table for table in ROUND.tables(closed.state.state, closed.register, closed.at) if table.name == "debts")
    assert [row[1] for row in listed.rows] == list(MEMBERS)


def test_debts_are_asked_for_again_each_quarter_and_fewer_when_some_are_paid() -> None:
    story = silent(with_debts(settled(WATCHED)), "ask_for_debts").followed_by("debts_asked_for")
    assert (story.at - with_debts(settled(WATCHED)).at).days == 91
    story = story.owes("notify", "notice:debts:7:1").when(round_commands.OrderRefund(refund="ada-1", member="ada"), by="bo")
    story = story.when(refund_of(story, "ada"))
    again = silent(story, "ask_for_debts")
    assert isinstance(again.state.state, ClosedWithDebts)
    assert [debt.party for debt in again.state.state.debts] == ["bel", "cyd", "dov"]
    assert facts(again, "debts_listed")["amount"] == "USD 3,000.00"


def test_debts_are_paid_by_whoever_they_came_to_and_the_last_one_closes_the_round() -> None:
    story = with_debts(settled(WATCHED))
    story.when(round_commands.OrderRefunds(), by="theo").refused("office_required")
    ordered = story.when(round_commands.OrderRefunds(), by="bo").followed_by(*["refund_ordered"] * 4, "refunds_ordered")
    assert ordered.phase == "closed_with_debts"
    paid = shown_as_paid(ordered, *MEMBERS)
    assert (paid.phase, money(paid, "held"), ROUND.agenda(paid.state.state).closed) == ("settled", 0, True)
    back = refund_of(paid, "ada").model_dump(exclude={"kind", "reference"})
    again = paid.when(letters.ReturnRefund(**back, reference="RETURNED-1")).followed_by(
        "round_reopened", "refund_returned", "bank_reference_used"
    )
    assert [each.command.kind for each in again.agenda.deadlines] == ["pass_duty"]
    once_more = with_debts(again).followed_by("round_closed_with_debts")
    former = notice(with_debts(settled(WATCHED)), "debts_listed").key
    assert notice(once_more, "debts_listed").key != former, "what is listed anew is told anew"


def test_refunds_that_nobody_approves_are_debts_too() -> None:
    story = settled(WATCHED).when(round_commands.OrderRefunds(), by="tess")
    closed = with_debts(story)
    assert money(closed, "refunding") == 400_000
    assert isinstance(closed.state.state, ClosedWithDebts)
    assert sum(debt.amount for debt in closed.state.state.debts) == 400_000
    given_up = list_of(closed).refunds[0]
    freed = closed.when(letters.ReleaseRefund(payment=given_up.payment, member=given_up.member, amount=given_up.amount, reason="cancelled"))
    assert (freed.phase, money(freed, "credit")) == ("closed_with_debts", 100_000)
    again = freed.when(round_commands.OrderRefunds(), by="bo")
    assert shown_as_paid(again, given_up.member).phase == "closed_with_debts"


def test_a_payee_whose_payment_was_ordered_and_never_made_is_a_creditor() -> None:
    story = all_paid(called(WATCHED), 100_000).when(
        round_commands.ProposeSpending(spending="gpu-1", line="compute", amount=300_000, payee="cloud"), by="tess"
    )
    story = mandated(story.when(round_commands.ApproveSpending(spending="gpu-1"), by="theo"), round_commands.CancelRound())
    closed = with_debts(story)
    assert isinstance(closed.state.state, ClosedWithDebts)
    assert closed.state.state.debts[-1] == Debt(kind=DebtKind.TO_PAYEE, party="cloud", amount=300_000)
    assert sum(debt.amount for debt in closed.state.state.debts) == money(closed, "held") == 400_000
    paid = closed.when(letters.RecordSpending(spending="gpu-1", reference="OUT-1"))
    assert (paid.refusal, paid.phase) == (None, "closed_with_debts")
    freed = closed.when(letters.ReleaseSpending(spending="gpu-1", reason="never sent")).followed_by(
        "spending_withdrawn", "surplus_returned", *["contribution_returned"] * 4
    )
    assert (freed.phase, money(freed, "credit")) == ("closed_with_debts", 400_000)


def test_money_that_comes_or_goes_back_meanwhile_is_booked_in_a_round_with_debts() -> None:
    closed = with_debts(settled(WATCHED))
    late = closed.when(letters.RecordPayment(member="ada", amount=5, reference="LATE", value_date=closed.at.date()))
    assert (late.refusal, late.phase) == (None, "closed_with_debts")
    kept = books_of(closed.state.state)
    assert kept is not None
    original, receipt = next((name, each) for name, each in kept.receipts.items() if each.member == "ada" and each.amount == 100_000)
    back = closed.when(letters.ReversePayment(member="ada", amount=receipt.amount, reference="BACK", original=original))
    assert (back.phase, money(back, "credit", "ada"), money(back, "held")) == ("closed_with_debts", 0, 300_000)


# ---------------------------------------------------------------- the standing order

APPROVE = round_commands.ApproveStandingRefunds()


def with_standing(story: Story) -> Story:
    return (
        story.when(APPROVE, by="theo")
        .followed_by("standing_refunds_signed")
        .when(APPROVE, by="bo")
        .followed_by("standing_refunds_approved")
    )


def ended() -> Story:
    """A round with a standing order, in which four members have credit of 1,000.00 each."""
    return mandated(all_paid(with_standing(called(WATCHED)), 100_000), round_commands.CancelRound())


def test_the_standing_order_gives_the_refunds_that_nobody_ordered_and_its_list_is_approved() -> None:
    story = ended()
    assert "the standing order gives the refunds" in ROUND.describe(story.state.state).text
    story = silent(story, "order_standing_refunds").followed_by(*["refund_ordered"] * 4, "refunds_ordered")
    assert (story.at - ended().at).days == 14
    order = list_of(story)
    assert [(refund.member, refund.amount) for refund in order.refunds] == [(member, 100_000) for member in MEMBERS]
    assert (order.ordered_by, order.approved_by) == ("service", ("bo", "theo"))
    assert facts(story, "refunds_by_standing_order")["amount"] == "USD 4,000.00"
    assert shown_as_paid(story, *MEMBERS).phase == "cancelled"


def test_whom_the_standing_order_could_not_pay_waits_for_a_person_and_is_no_loop() -> None:
    story = shown_as_paid(silent(ended(), "order_standing_refunds"), "ada", "bel", "cyd")
    left = next(refund for refund in list_of(story).refunds if refund.member == "dov")
    story = story.when(letters.ReleaseRefund(payment=left.payment, member="dov", amount=left.amount, reason="no account"))
    closed = silent(story, "pass_duty", "pass_duty", "end_in_silence")
    assert isinstance(closed.state.state, ClosedWithDebts)
    assert closed.state.state.debts == (Debt(kind=DebtKind.TO_MEMBER, party="dov", amount=100_000),)
    assert list_of(story.when(round_commands.OrderRefunds(), by="tess")).approved_by == ()


def test_a_treasurer_who_orders_in_time_needs_no_standing_order() -> None:
    story = ended().when(round_commands.OrderRefunds(), by="tess")
    assert [each.command.kind for each in story.agenda.deadlines] == ["pass_duty"]
    assert list_of(story).approved_by == ()


def test_the_standing_order_is_approved_from_the_announcement_on_and_lives_as_long_as_the_terms() -> None:
    story = opened(WATCHED)
    assert sorted(told(story, "standing_refunds_to_approve")) == ["office:board", "office:second-signatory", "office:treasurer"]
    story = with_standing(story)
    story.when(APPROVE, by="theo").then()
    assert standing_of(story.due().state.state).approved
    kept = pledged(story.due(), ada=400_000, bel=400_000).due()
    assert standing_of(kept.state.state).approved
    amended = story.when(round_commands.AmendRound(**terms(title="Atlas, smaller")), by="sam")
    assert not standing_of(amended.state.state).signed
    assert sorted(told(amended, "standing_refunds_to_approve")) == ["office:board", "office:second-signatory", "office:treasurer"]
    assert notice(amended, "standing_refunds_to_approve").key != notice(opened(WATCHED), "standing_refunds_to_approve").key
    opened(WATCHED).when(round_commands.AmendRound(**terms(title="Atlas, smaller")), by="sam").followed_by("round_opened")
    assert [each.key for each in opened(WATCHED).when(round_commands.AmendRound(**terms(title="Atlas, smaller")), by="sam").steps] == [
        "notice:standing-refunds"
    ], "who was asked and did not sign yet is not asked again"
    short = with_standing(pledged(pledging(WATCHED), ada=400_000).due())
    assert standing_of(mandated(short, round_commands.ExtendRound()).state.state).approved


def test_two_different_holders_approve_the_standing_order_and_any_of_them_takes_it_back() -> None:
    story = called(WATCHED)
    story.when(APPROVE, by="rep-ada").refused("office_required")
    called().when(APPROVE, by="theo").refused("no_standing_refunds")
    once = story.when(APPROVE, by="theo")
    once.when(APPROVE, by="theo").refused("same_person")
    revoke = round_commands.RevokeStandingRefunds()
    with_standing(story).when(revoke, by="rep-ada").refused("office_required")
    story.when(revoke, by="tess").then()
    revoked = ended().when(revoke, by="tess").followed_by("standing_refunds_revoked")
    assert [each.command.kind for each in revoked.agenda.deadlines] == ["pass_duty"]
    settled(WATCHED).when(APPROVE, by="theo").refused("round_closed")
    Story.of(ROUND, "round/none").when(APPROVE, by="theo").refused("round_not_opened")


def test_where_less_is_left_than_all_have_the_standing_order_gives_each_its_part_once() -> None:
    story = ended()
    kept = books_of(story.state.state)
    assert kept is not None
    assert standing.payable(kept) == list(MEMBERS)
    assert standing.payable(kept._replace(spent=kept.held)) == ()


# ---------------------------------------------------------------- a round that is live


@pytest.mark.parametrize(
    ("story", "duty", "waits"),
    [(committed(WATCHED), Duty.CALL, 30), (all_paid(called(WATCHED), 100_000), Duty.MILESTONE, 365)],
    ids=["nobody calls the first tranche", "nobody accepts the milestone"],
)
def test_a_round_that_nobody_goes_on_with_is_cancelled_and_gives_back_what_it_holds(story: Story, duty: Duty, waits: int) -> None:
    began, held = story.at, money(story, "held")
    passed = silent(story, "pass_duty")
    assert (passed.at - began).days == waits
    said = facts(passed, "duty_passed")
    assert said["then"] == "it passes to board"
    ended = silent(passed, "pass_duty", "end_in_silence")
    assert (ended.at - began).days == waits + 60
    kinds = [event.kind for event in ended.answer if event.kind != "step_owed"]
    assert kinds[0] == "round_cancelled"
    assert duty is Duty.CALL or ended.phase == "refunding"
    assert money(ended, "credit") == held
    last = ended if ended.phase == "cancelled" else with_debts(ended)
    assert last.phase == ("cancelled" if held == 0 else "closed_with_debts")


def test_a_round_that_is_not_settled_is_given_back_too() -> None:
    story = all_paid(all_paid(called(WATCHED), 100_000).when(RELEASE).when(round_commands.CallTranche(tranche=2), by="tess"), 150_000)
    passed = silent(story, "pass_duty")
    assert facts(passed, "duty_passed")["waits"] == "All is called, and the round is to be settled"
    assert passed.when(round_commands.SettleRound(), by="sam").phase == "refunding"
    assert silent(passed, "pass_duty", "end_in_silence").phase == "refunding"


def test_a_round_whose_goal_was_reduced_to_what_is_called_waits_to_be_settled() -> None:
    story = mandated(all_paid(called(WATCHED), 100_000), round_commands.ReduceGoal(goal=400_000, minimum=400_000))
    assert duty_of(story.state.state) is Duty.SETTLE
    assert story.when(round_commands.SettleRound(), by="tess").refusal is None


def test_a_round_whose_members_deliver_everything_before_a_call_waits_to_be_settled_by_a_day() -> None:
    """What an officer other than the treasurer accepts turns the duty to call into that to settle: nobody watched it, and it had no day."""
    story = committed(WATCHED)
    for number, member in enumerate(MEMBERS):
        assert watched_duty(story) is Duty.CALL
        story = story.when(delivery(member, quantity=1_000, evidence=f"{number:064x}"), by=f"rep-{member}")
        story = story.when(round_commands.AcceptInKind(evidence=f"{number:064x}"), by="sam")
    assert watched_duty(story) is duty_of(story.state.state) is Duty.SETTLE
    passed = silent(story, "pass_duty")
    assert (passed.at - story.at).days == 30
    assert silent(passed, "pass_duty", "end_in_silence").phase == "cancelled"
    assert passed.when(round_commands.SettleRound(), by="sam").phase == "settled"


def test_a_round_that_late_money_brings_to_its_goal_waits_to_be_settled_by_a_day() -> None:
    """Who is in default pays nearly all: that much more is soundly called, though its default is not over."""
    story = until(all_paid(called(WATCHED), 100_000, "ada", "bel", "cyd"), "declare_default")
    story = all_paid(story, 25_000, "ada", "bel", "cyd")
    kept = books_of(story.state.state)
    assert kept is not None
    goal = kept.soundly_called + 20_000
    story = mandated(story, round_commands.ReduceGoal(goal=goal, minimum=kept.soundly_called))
    assert watched_duty(story) is duty_of(story.state.state) is Duty.MILESTONE
    story = paid(story, "dov", 99_000)
    assert (money(story, "in_default") > 0, watched_duty(story), duty_of(story.state.state)) == (True, Duty.SETTLE, Duty.SETTLE)
    assert (silent(story, "pass_duty").at - story.at).days == 30


def watched_duty(story: Story) -> Duty | None:
    """The duty that has a day."""
    kept = books_of(story.state.state)
    assert kept is not None
    return kept.watch.duty if kept.watch and story.agenda.deadline is not None else None


def test_the_deputy_calls_the_tranche_that_the_treasurer_does_not_call() -> None:
    committed(WATCHED).when(round_commands.CallTranche(tranche=1), by="sam").refused("office_required")
    story = silent(committed(WATCHED), "pass_duty").when(round_commands.CallTranche(tranche=1), by="sam")
    assert story.refusal is None
    assert story.phase == "calling"
    paid = all_paid(story, 100_000).when(RELEASE)
    paid.when(round_commands.CallTranche(tranche=2), by="sam").refused("office_required")


# ---------------------------------------------------------------- whoever acts has their days anew


def test_who_holds_a_duty_and_acts_has_their_days_anew() -> None:
    story = replace(settled(WATCHED), at=settled(WATCHED).at + timedelta(days=20))
    acted = story.when(round_commands.OrderRefund(refund="ada-1", member="ada"), by="tess")
    assert acted.agenda.deadline is not None
    assert acted.agenda.deadline.at == story.at + timedelta(days=30)
    told_again = replace(acted, at=acted.at + timedelta(days=1)).when(round_commands.OrderRefund(refund="ada-1", member="ada"), by="tess")
    assert told_again.agenda.deadline == acted.agenda.deadline


def test_a_duty_is_taken_by_who_holds_it_or_will_and_by_nobody_else() -> None:
    story = settled(WATCHED)
    take = round_commands.TakeDuty(duty=Duty.REFUND)
    story.when(take, by="rep-ada").refused("office_required")
    story.when(round_commands.TakeDuty(duty=Duty.CALL), by="tess").refused("duty_not_awaited")
    called(WATCHED).when(round_commands.TakeDuty(duty=Duty.CALL), by="tess").refused("duty_not_awaited")
    later = replace(story, at=story.at + timedelta(days=29)).when(take, by="bo").followed_by("duty_taken")
    assert later.agenda.deadline is not None
    assert later.agenda.deadline.at == story.at + timedelta(days=59)
    later.when(take, by="bo").then()
    last = silent(later, "pass_duty", "pass_duty")
    last = replace(last, at=last.at + timedelta(days=1)).when(take, by="sam")
    assert last.answer[0] == round_events.DutyTaken(duty=Duty.REFUND, by="sam")


def test_another_duty_begins_with_who_holds_it() -> None:
    story = silent(settled(WATCHED), "pass_duty", "pass_duty").when(round_commands.OrderRefunds(), by="bo")
    left = list_of(story).refunds[0]
    story = story.when(letters.ReleaseRefund(payment=left.payment, member=left.member, amount=left.amount, reason="no account"))
    kept = books_of(story.state.state)
    assert kept is not None
    assert kept.watch is not None
    assert (kept.watch.duty, kept.watch.passed, kept.watch.line) == (Duty.REFUND, (), (Office.SECRETARIAT, Office.BOARD))


# ---------------------------------------------------------------- the charter


def patient(**changes: int) -> Charter:
    return rules(silence={**SilenceTerms().model_dump(mode="json"), **changes})


def test_a_charter_that_says_nothing_of_silence_lets_everything_wait_as_before() -> None:
    story = settled_under(patient())
    assert story.agenda.deadlines == ()
    assert all(event.kind != "duty_awaited" for event in story.answer)
    story.when(round_commands.TakeDuty(duty=Duty.REFUND), by="tess").refused("duty_not_awaited")
    assert "silence" not in patient().model_dump(mode="json")
    assert Charter.model_validate(patient().model_dump()) == patient()


def test_a_milestone_is_waited_for_as_long_as_the_charter_says_or_for_ever() -> None:
    assert all_paid(called(patient(duty_days=30)), 100_000).agenda.deadlines == ()
    assert silent(settled_under(patient(duty_days=30)), "pass_duty", "end_in_silence").phase == "closed_with_debts"


def settled_under(charter_: Charter) -> Story:
    return mandated(all_paid(called(charter_), 100_000), round_commands.CancelRound())


def test_a_deputy_is_not_kept_apart_from_the_office() -> None:
    (flaw,) = flaws(charter(silence__deputies={"treasurer": "second-signatory"}))
    assert flaw.startswith("silence.deputies.treasurer: second-signatory is kept apart")
    (same,) = flaws(charter(silence__deputies={"treasurer": "treasurer"}))
    assert same.startswith("silence.deputies.treasurer: ")
    assert SilenceTerms(deputies={Office.TREASURER: Office.BOARD}).line(Office.TREASURER) == (Office.BOARD,)
    assert SilenceTerms().line(Office.BOARD) == ()
