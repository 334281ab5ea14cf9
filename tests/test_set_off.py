"""Set-off: what a member owes is paid by what the consortium owes it, by one fact on both accounts and by no bank.

Two streams decide it, each by itself, in the one order of the log: `member/M`, where dues are owed, and `round/R`, where credit is
payable. A round states in the register what is payable to each member (`credit_stated`), so the member's stream knows whom to ask.

| | `member/M` | `round/R` | amounts |
| --- | --- | --- | --- |
| 1 | before each rung of the ladder, where dues are overdue and the register names credit: `set_off_announced`, notices; the ladder stands still | | of each round, the oldest first, its credit, in all at most what is overdue |
| 2 | after the charter's notice, the deadline `carry_out_set_off`: `set_off_asked`, letter `set_off_credit` to the first round | | at most what was announced, and what is overdue now |
| 3 | | `credit_set_off`, letter `record_set_off`; or `set_off_deferred`, and that once the refund is made or given up | at most what was asked, and what a refund order could give now |
| 4 | `dues_set_off`, notices; the next round is asked; after the last `set_off_ended` | | at most what is overdue now |
| 5 | where less was owed than taken: letter `restore_credit` | `credit_restored` | what was taken and is not owed |

| what comes between | what follows |
| --- | --- |
| dues are paid in full before anybody is asked | `set_off_ended`, nothing is taken |
| dues are paid in part before | less is asked |
| dues are paid between the asking and the answer | what is not owed any more goes back to the round (5) |
| a payment plan is agreed before; between the asking and the answer | the set-off is given up; what was taken goes back |
| the credit is ordered back before the asking | nothing is taken of it: it is on its way. Before the last rung the answer waits until the refund is made (nothing is taken) or given up (that is taken) |
| the refund is ordered after the taking | it is of what is left |
| the bank takes back a payment of which the credit was | the round hands the movement to the treasury: what it paid meanwhile cannot be undone there |
| an interest, or a surplus, makes more credit meanwhile | at most what was announced is taken, the rest is announced before the next rung |
| the round ends, or is cancelled, meanwhile | its credit is payable as before; with the last of it the round closes, and is open again when some comes back |
| less is on the account than the round owes, or than is earmarked | the part that a refund order would give |
| the member goes (notice, expulsion) | the run-off goes on until the answer is there |
| another currency | that credit is not announced; a round that is asked in another one takes nothing |
| any letter arrives twice; a process is killed anywhere | nothing follows twice: a set-off of a stream is taken once, an answer is booked while it is waited for, and what comes back does so once |
| no round gives anything | `set_off_ended`, and the round has stated that nothing is payable: the ladder goes on, and is looked at again before the next rung |

| command | by whom | refusals |
| --- | --- | --- |
| carry_out_set_off | the clock | service_only |
| set_off_credit, record_set_off, restore_credit | another stream | service_only |

No rule refuses a letter: where nothing can be taken, nothing is answered for. The clause is `treasury.set_off_notice_business_days`; 0, the
default, knows no set-off.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain import letters
from domain.member import commands as member_commands
from domain.member.process import MEMBER
from domain.member.state import Ended
from domain.member.terms import Offset, Rung
from domain.money import Money
from domain.register.facts import CharterAdopted
from domain.register.fold import note
from domain.round import commands as round_commands
from domain.round.process import ROUND
from tests.set_offs import ADA, BOUND, CALLED, FEE, FIRST, SECOND, World, rules
from tests.stories import Story, charter

# ---------------------------------------------------------------- beginnings


def overpaid(*owed: int, **changes: int | str) -> World:
    """A world in which ada has so much credit in each of the rounds, and the next year's dues are invoiced."""
    world = World.begin(**changes)
    for stream, credit in zip((FIRST, SECOND), owed, strict=False):
        world.open(stream)
        world.all_pay(stream, besides=credit)
    world.until("dues_invoiced")
    return world


def announced(*owed: int, **changes: int | str) -> World:
    """The same up to the announcement: the dues are 60 days overdue."""
    world = overpaid(*owed, **changes)
    world.until("set_off_announced")
    return world


def asked(*owed: int) -> World:
    """The same up to the asking, and the letter is on its way."""
    world = announced(*owed)
    world.due(ADA)
    assert [event.kind for event in world.stories[ADA].answer][:1] == ["set_off_asked"]
    return world


def taken(*owed: int) -> World:
    """The same, and the round's answer is on its way."""
    world = asked(*owed)
    world.send(*world.letters()[0])
    return world


def quiet(world: World) -> None:
    """Nothing is on its way any more, and nobody lost or won anything by it."""
    world.deliver()
    assert world.on_the_way == 0
    assert world.in_the_ledger == 0


# ---------------------------------------------------------------- the way of it


def test_overdue_dues_are_announced_with_their_amounts_and_set_off_ten_business_days_later() -> None:
    world = announced(40_000, 30_000)
    (told,) = world.of("set_off_announced")
    assert told.owed == FEE
    assert told.offsets == (Offset(source=FIRST, amount=40_000), Offset(source=SECOND, amount=20_000))
    assert told.carry_out_at == charter().calendar.add(world.at, 10)
    assert [facts["amount"] for facts in world.notices("set-off-announced")] == ["USD 600.00"]
    assert world.notices("set-off-announced")[0]["offsets"] == "USD 400.00 of round/first, USD 200.00 of round/second"
    position = world.position
    world.until("set_off_ended")
    assert [(event.source, event.amount) for event in world.of("dues_set_off")] == [(FIRST, 40_000), (SECOND, 20_000)]
    assert (world.dues.owed, world.dues.offset, world.credit(FIRST), world.credit(SECOND)) == (0, FEE, 0, 10_000)
    assert world.of("rung_reached") == [], "the ladder stood still, and nobody was reminded or suspended"
    assert [facts["owed"] for facts in world.notices("set-off-carried-out")] == ["USD 200.00"]
    assert [facts["amount"] for facts in world.notices("set-off-of-all-dues")] == ["USD 200.00"], "no dues are left of which it could tell"
    assert world.position == position
    quiet(world)


def test_the_credit_of_the_oldest_round_is_set_off_first_whatever_it_is_called() -> None:
    world = World.begin()
    for stream in (SECOND, FIRST):
        world.open(stream)
        world.all_pay(stream, besides=FEE)
    world.until("set_off_announced")
    assert world.of("set_off_announced")[0].offsets == (Offset(source=SECOND, amount=FEE),)


def test_a_charter_that_does_not_name_a_notice_knows_no_set_off_and_states_no_credit() -> None:
    world = overpaid(FEE, treasury__set_off_notice_business_days=0)
    world.until("departure_begun")
    assert [event.rung for event in world.of("rung_reached")] == list(Rung)
    assert world.of("set_off_announced") == world.of("credit_stated") == []
    assert not world.register.credits


def test_without_credit_the_ladder_is_climbed_as_ever() -> None:
    world = overpaid(0)
    world.until("departure_begun")
    assert [event.rung for event in world.of("rung_reached")] == list(Rung)
    assert world.of("set_off_announced") == []


def test_what_is_set_off_pays_as_money_does_and_gives_a_suspended_member_its_rights_back() -> None:
    world = overpaid(0)
    world.until("member_suspended")
    world.pays(FIRST, FEE)
    world.until("set_off_ended")
    assert world.dues.owed == 0
    assert [event.kind for event in world.stories[ADA].answer if event.kind != "step_owed"] == [
        "dues_set_off", "set_off_ended", "suspension_lifted", "member_reinstated",
    ]  # fmt: skip
    assert world.register.active("ada")


def test_what_credit_does_not_cover_stays_on_the_ladder() -> None:
    world = announced(10_000)
    world.until("member_suspended")
    assert [event.amount for event in world.of("dues_set_off")] == [10_000]
    assert world.dues.owed == FEE - 10_000
    assert [event.rung for event in world.of("rung_reached")] == [Rung.NOTICE, Rung.SUSPENDED]
    quiet(world)


def test_no_member_is_terminated_over_dues_while_a_round_owes_it_money() -> None:
    """Nobody does anything any more: the rounds hold what they owe, and the clock alone goes on."""
    world = World.begin()
    for stream in (FIRST, SECOND):
        world.open(stream)
        world.all_pay(stream)
        world.voted(stream, round_commands.CancelRound())
    assert world.credit(FIRST) == world.credit(SECOND) == CALLED
    world.pass_days(365 * 3 + 60)
    assert [event.amount for event in world.of("dues_set_off")] == [FEE, CALLED - FEE, 2 * FEE - CALLED, FEE]
    assert world.of("rung_reached") == [], "three years of dues, and as much credit"
    world.pass_days(365)
    assert [event.rung for event in world.of("rung_reached")] == list(Rung), "the credit is used up"
    assert world.credit(FIRST) == world.credit(SECOND) == 0
    assert sum(event.amount for event in world.of("dues_set_off")) == 2 * CALLED
    quiet(world)


# ---------------------------------------------------------------- what comes between the announcement and the asking


def test_paid_before_it_is_carried_out_nothing_is_set_off() -> None:
    world = announced(FEE)
    world.pays_dues(FEE)
    assert [event.amount for event in world.of("set_off_ended")] == [0]
    assert world.stories[ADA].agenda.deadline is not None
    assert world.stories[ADA].agenda.deadline.command.kind == "issue_invoice"
    assert world.credit(FIRST) == FEE


def test_paid_in_part_only_the_rest_is_asked_for() -> None:
    world = announced(FEE)
    world.pays_dues(FEE - 1)
    world.until("set_off_ended")
    assert [event.amount for event in world.of("dues_set_off")] == [1]
    assert world.credit(FIRST) == FEE - 1
    quiet(world)


def test_a_payment_plan_gives_the_set_off_up_and_after_it_another_one_is_announced() -> None:
    world = announced(FEE)
    world.must(ADA, member_commands.AgreePaymentPlan(until=world.at + timedelta(days=100)), "tess")
    assert [event.amount for event in world.of("set_off_ended")] == [0]
    until = world.at + timedelta(days=100)
    world.until("set_off_announced")
    assert world.at >= until
    world.until("dues_set_off")
    assert (world.dues.owed, [event.number for event in world.of("set_off_announced")]) == (0, [1, 2])


def test_a_payment_plan_that_gives_a_set_off_up_stops_the_ladder_for_its_whole_time() -> None:
    """The ladder stood still for the set-off: its rung, whose day has passed meanwhile, comes when the plan is over and not before."""
    world = announced(FEE)
    world.pass_days(10)
    until = world.at + timedelta(days=1)
    world.must(ADA, member_commands.AgreePaymentPlan(until=until), "tess")
    deadline = world.stories[ADA].agenda.deadline
    assert deadline is not None
    assert (deadline.at, deadline.command.kind) == (until, "climb_ladder")


def test_what_is_ordered_back_meanwhile_is_left_alone_and_the_ladder_goes_on() -> None:
    world = announced(FEE)
    world.orders_refund(FIRST, "wanted")
    world.until("set_off_ended")
    assert (world.of("credit_set_off")[0].amount, world.of("set_off_ended")[0].amount) == (0, 0)
    assert world.refunding(FIRST) == FEE
    assert world.dues.owed == FEE
    world.until("rung_reached")
    assert world.of("rung_reached")[0].rung is Rung.NOTICE, "the ladder goes on"


def test_at_most_what_was_announced_is_taken_when_there_is_more_meanwhile() -> None:
    world = announced(10_000)
    world.pays(FIRST, FEE)
    world.until("set_off_ended")
    assert [event.amount for event in world.of("dues_set_off")] == [10_000]
    world.until("set_off_ended")
    assert [event.amount for event in world.of("dues_set_off")] == [10_000, FEE - 10_000], "the rest is announced by itself"
    assert world.of("rung_reached") == []


def test_a_further_invoice_that_is_not_overdue_is_not_set_off() -> None:
    world = overpaid(3 * FEE)
    for start, length in ((40, 180), (180, 110)):
        world.pass_days(start)
        world.must(ADA, member_commands.AgreePaymentPlan(until=world.at + timedelta(days=length)), "tess")
    world.until("dues_invoiced")
    world.until("set_off_ended")
    assert [invoice.number for invoice in world.dues.open] == [3], "it is due a day later"
    assert (world.of("set_off_announced")[0].owed, world.credit(FIRST)) == (FEE, 2 * FEE)


# ---------------------------------------------------------------- what comes while the answer is waited for


def test_paid_between_the_asking_and_the_answer_the_round_gets_its_credit_back() -> None:
    world = taken(FEE)
    position = world.position
    assert (world.credit(FIRST), world.in_the_ledger) == (0, FEE)
    world.pays_dues(FEE - 1_000)
    assert world.position == position + FEE - 1_000
    quiet(world)
    assert (world.of("dues_set_off")[0].amount, world.of("dues_set_off")[0].excess) == (1_000, FEE - 1_000)
    assert (world.credit(FIRST), world.dues.owed, world.dues.credit) == (FEE - 1_000, 0, 0)
    assert world.position == position + FEE - 1_000


def test_a_payment_plan_between_the_asking_and_the_answer_sends_all_of_it_back() -> None:
    world = taken(FEE)
    world.must(ADA, member_commands.AgreePaymentPlan(until=world.at + timedelta(days=50)), "tess")
    quiet(world)
    assert (world.credit(FIRST), world.dues.owed) == (FEE, FEE)
    assert [event.amount for event in world.of("set_off_ended")] == [0]


def test_what_comes_back_pays_what_the_member_owes_in_the_round_meanwhile() -> None:
    world = taken(FEE)
    world.must(FIRST, letters.ReleaseTranche(tranche=2, run="atlas-1", milestone="half"))
    world.must(FIRST, round_commands.CallTranche(tranche=2), "tess")
    world.pays_dues(FEE)
    quiet(world)
    account = world.books(FIRST).accounts["ada"]
    assert (account.figures.credit, account.debt) == (0, 150_000 - FEE)


def test_every_letter_that_arrives_again_changes_nothing() -> None:
    world = taken(FEE)
    world.pays_dues(1_000)
    quiet(world)
    before = [story.state.state for story in world.stories.values()]
    for sender, key in world.sent:
        world.arrive(sender, key).then()
    assert [story.state.state for story in world.stories.values()] == before


def test_a_member_on_notice_does_not_go_before_the_answer_is_there() -> None:
    world = asked(FEE)
    world.must(ADA, member_commands.GiveNotice(), "rep-ada")
    world.pays_dues(FEE)
    world.pass_days(100, delivering=False)
    assert world.of("run_off_continued"), "the round's answer is waited for"
    assert world.stories[ADA].phase == "leaving"
    quiet(world)
    assert world.credit(FIRST) == FEE
    world.voted(FIRST, round_commands.CancelRound())
    world.until("member_departed")


def test_an_expelled_member_has_its_dues_set_off_too() -> None:
    world = announced(FEE)
    world.voted(ADA, member_commands.Expel())
    world.until("member_departed")
    assert [event.amount for event in world.of("dues_set_off")] == [FEE]
    assert world.of("dues_closed") == []


def test_what_a_round_owes_by_the_end_pays_the_dues_of_a_member_that_was_put_out_over_them() -> None:
    """Its credit came about after the last rung: closed unpaid, its dues would be lost while the round went on owing it money."""
    world = overpaid(0)
    world.until("departure_begun")
    assert world.of("set_off_announced") == []
    world.pays(FIRST, FEE + 5_000)
    world.until("member_departed")
    quiet(world)
    ended = world.stories[ADA].state.state
    assert isinstance(ended, Ended)
    assert ([each.amount for each in world.of("set_off_ended")], ended.unpaid, world.credit(FIRST)) == ([FEE], 0, 5_000)


@pytest.mark.parametrize(("credit", "set_off"), [(FEE + 15_000, FEE), (FEE, FEE - 15_000)])
def test_what_the_charter_charges_a_leaver_is_paid_first(credit: int, set_off: int) -> None:
    world = announced(credit, **BOUND)
    world.voted(ADA, member_commands.Expel())
    world.until("member_departed")
    assert [event.amount for event in world.of("leaving_charged")] == [15_000]
    assert [event.amount for event in world.of("dues_set_off")] == [set_off]
    assert world.credit(FIRST) == 0
    assert world.of("debt_stated")[-1].amount == 0, "the charge is paid"
    quiet(world)


def test_a_leaver_that_is_bound_is_charged_when_its_notice_is_over_and_its_dues_are_set_off_meanwhile() -> None:
    world = announced(FEE + 15_000, **BOUND)
    world.must(ADA, member_commands.GiveNotice(), "rep-ada")
    world.until("dues_set_off")
    assert (world.of("dues_set_off")[0].amount, world.credit(FIRST), world.of("leaving_charged")) == (FEE, 15_000, [])
    world.until("member_departed")
    assert [event.amount for event in world.of("leaving_charged")] == [15_000]
    assert world.credit(FIRST) == 0
    quiet(world)


def test_two_rounds_are_asked_one_after_the_other_and_the_second_for_what_is_left() -> None:
    world = asked(40_000, 30_000)
    world.pays_dues(15_000)
    world.send(*world.letters()[0])
    world.send(*world.letters()[0])
    assert [event.amount for event in world.of("set_off_asked")] == [40_000, 5_000]
    quiet(world)
    assert (world.credit(FIRST), world.credit(SECOND), world.dues.owed) == (0, 25_000, 0)


# ---------------------------------------------------------------- refunds on their way


def before_the_last_rung() -> World:
    """All that a round owes ada is on its way back to her, and three rungs of the ladder are behind her."""
    world = overpaid(FEE)
    world.orders_refund(FIRST, "wanted")
    while len(world.of("rung_reached")) < 3:
        world.until("rung_reached")
    assert world.of("set_off_announced") == [], "what is on its way back is left alone"
    return world


def test_before_the_last_rung_a_refund_on_its_way_is_waited_for() -> None:
    world = before_the_last_rung()
    world.until("set_off_announced")
    assert world.of("set_off_announced")[0].offsets == (Offset(source=FIRST, amount=FEE, after_refunds=True),)
    world.until("set_off_deferred")
    world.pass_days(120)
    assert len(world.of("rung_reached")) == 3, "she is not expelled while the consortium pays her back"
    assert world.stories[ADA].phase == "suspended"


def test_what_is_ordered_back_after_the_announcement_before_the_last_rung_is_waited_for_too() -> None:
    world = overpaid(0)
    while len(world.of("rung_reached")) < 3:
        world.until("rung_reached")
    world.pays(FIRST, FEE)
    world.until("set_off_announced")
    world.orders_refund(FIRST, "wanted")
    world.until("set_off_deferred")
    world.pass_days(100)
    assert len(world.of("rung_reached")) == 3


def test_a_refund_that_is_given_up_is_set_off_then() -> None:
    world = before_the_last_rung()
    world.until("set_off_deferred")
    position = world.position
    world.pass_days(30)
    world.refund_given_up(FIRST)
    quiet(world)
    assert (world.dues.owed, world.credit(FIRST), world.dues.offset) == (0, 0, FEE)
    assert world.position == position
    assert world.register.active("ada")


def test_a_refund_that_is_made_leaves_nothing_to_set_off_and_the_ladder_goes_on() -> None:
    world = before_the_last_rung()
    world.until("set_off_deferred")
    world.pass_days(30)
    world.refund_made(FIRST)
    quiet(world)
    assert [event.amount for event in world.of("set_off_ended")] == [0]
    world.until("departure_begun")
    assert [event.rung for event in world.of("rung_reached")] == list(Rung)


def test_dues_that_are_paid_while_a_refund_is_waited_for_are_not_set_off_as_well() -> None:
    world = before_the_last_rung()
    world.until("set_off_deferred")
    world.pays_dues(FEE)
    world.refund_given_up(FIRST)
    quiet(world)
    assert (world.credit(FIRST), world.dues.owed, world.dues.credit) == (FEE, 0, 0)


def test_a_refund_in_a_round_that_has_ended_closes_it_when_nothing_is_set_off() -> None:
    world = World.begin()
    world.open(FIRST)
    world.all_pay(FIRST)
    world.voted(FIRST, round_commands.CancelRound())
    for member in ("bel", "cyd", "dov"):
        world.must(FIRST, round_commands.OrderRefund(refund=f"back-{member}", member=member), "tess")
        name = next(name for name, each in world.books(FIRST).refunds.items() if each.member == member)
        world.must(FIRST, letters.RecordRefund(payment=name, member=member, amount=CALLED, reference=f"BACK-{member.upper()}"))
    world.orders_refund(FIRST, "wanted")
    world.until("set_off_deferred")
    world.refund_made(FIRST)
    assert world.stories[FIRST].phase == "cancelled"
    quiet(world)


# ---------------------------------------------------------------- the round's side


def test_the_last_credit_that_is_set_off_closes_the_round_and_what_comes_back_opens_it_again() -> None:
    world = World.begin()
    world.open(FIRST)
    world.pays(FIRST, FEE)
    world.voted(FIRST, round_commands.CancelRound())
    world.until("set_off_announced")
    world.due(ADA)
    asked = world.letters()[0]
    world.arrive(*asked)
    assert world.stories[FIRST].phase == "cancelled"
    assert world.send(*asked).answer == (), "asked again after the end it answers no second time"
    world.pays_dues(FEE)
    quiet(world)
    assert (world.stories[FIRST].phase, world.credit(FIRST)) == ("refunding", FEE)
    assert world.register.credits_of("ada", "USD")[0][1].payable == FEE


def test_a_round_that_is_short_of_money_gives_the_part_that_a_refund_order_would() -> None:
    """The bank takes payments back that were spent: less is left than the round owes, and all get the same part of theirs."""
    world = World.begin()
    world.open(FIRST)
    world.all_pay(FIRST)
    world.must(FIRST, round_commands.ProposeSpending(spending="gpu", line="compute", amount=260_000, payee="cloud"), "tess")
    world.must(FIRST, round_commands.ApproveSpending(spending="gpu"), "theo")
    world.must(FIRST, letters.RecordSpending(spending="gpu", reference="OUT-GPU"))
    world.pays(FIRST, 60_000)
    world.pays(FIRST, 20_000, "bel")
    for member, number in (("cyd", 3), ("dov", 4)):
        world.must(FIRST, letters.ReversePayment(member=member, amount=CALLED, reference=f"GONE-{number}", original=f"IN-{number}"))
    assert (world.books(FIRST).held, world.credit(FIRST), world.credit(FIRST, "bel")) == (20_000, 60_000, 20_000)
    story = world.must(FIRST, letters.SetOffCredit(member="ada", debtor=ADA, number=1, amount=FEE, currency="USD"))
    assert story.answer[0].model_dump()["amount"] == 15_000
    assert (world.books(FIRST).held, world.credit(FIRST)) == (5_000, 45_000)


def test_what_is_earmarked_for_spending_is_not_set_off() -> None:
    world = World.begin()
    world.open(FIRST)
    world.all_pay(FIRST, besides=FEE)
    world.must(FIRST, round_commands.ProposeSpending(spending="gpu", line="compute", amount=4 * CALLED, payee="cloud"), "tess")
    world.must(FIRST, letters.ReversePayment(member="bel", amount=CALLED, reference="GONE-2", original="IN-2"))
    assert world.books(FIRST).held == 3 * CALLED + FEE < world.books(FIRST).reserved + FEE
    story = world.must(FIRST, letters.SetOffCredit(member="ada", debtor=ADA, number=1, amount=FEE, currency="USD"))
    assert story.answer[0].model_dump()["amount"] == 0


def test_credit_that_is_not_payable_while_a_refund_is_on_its_way_is_waited_for_too() -> None:
    """Her credit is earmarked, a refund is on its way: an answer of nothing would be asked for again and again while the ladder stands still."""
    world = World.begin()
    world.open(FIRST)
    world.all_pay(FIRST, besides=FEE)
    world.orders_refund(FIRST, "wanted")
    world.pays(FIRST, FEE)
    world.must(FIRST, round_commands.ProposeSpending(spending="gpu", line="compute", amount=4 * CALLED, payee="cloud"), "tess")
    world.must(FIRST, letters.ReversePayment(member="bel", amount=CALLED, reference="GONE-2", original="IN-2"))
    assert world.credit(FIRST) == FEE
    letter = letters.SetOffCredit(member="ada", debtor=ADA, number=1, amount=FEE, currency="USD", after_refunds=True)
    assert [event.kind for event in world.must(FIRST, letter).answer][:1] == ["set_off_deferred"]
    world.refund_made(FIRST)
    assert world.of("credit_set_off")[-1].amount == 0, "none is on its way any more, and nothing is payable"


def test_a_payment_that_the_bank_takes_back_after_its_credit_was_set_off_waits_for_a_person() -> None:
    world = World.begin()
    world.open(FIRST)
    world.all_pay(FIRST)
    world.pays(FIRST, FEE)
    world.until("dues_set_off")
    story = world.must(FIRST, letters.ReversePayment(member="ada", amount=FEE, reference="GONE-5", original="IN-5"))
    assert [step.data["command"]["kind"] for step in story.steps if "turned-away" in step.key] == ["turn_away_payment"]
    assert world.dues.owed == 0


def test_a_round_that_keeps_its_books_in_another_currency_gives_nothing() -> None:
    world = World.begin()
    world.open(FIRST)
    world.all_pay(FIRST, besides=FEE)
    story = world.must(FIRST, letters.SetOffCredit(member="ada", debtor=ADA, number=1, amount=FEE, currency="EUR"))
    assert story.answer[0].model_dump()["amount"] == 0
    world.register = note(world.register, CharterAdopted(version=2, charter=rules(currency="EUR")))
    world.until("rung_reached")
    assert world.of("set_off_announced") == []


@pytest.mark.parametrize("member", ["ada", "nobody"])
def test_a_round_that_owes_nothing_answers_with_nothing(member: str) -> None:
    letter = letters.SetOffCredit(member=member, debtor=ADA, number=1, amount=FEE, currency="USD")
    world = World.begin()
    world.stories[FIRST] = Story.of(ROUND, FIRST, world.register)
    story = world.must(FIRST, letter).then()
    assert story.steps[0].data["command"] == {"kind": "record_set_off", "source": FIRST, "number": 1, "amount": 0}
    world.open(FIRST)
    world.must(FIRST, letter).followed_by("credit_set_off")
    world.must(FIRST, letter).then()


def test_nothing_comes_back_that_was_not_taken() -> None:
    world = taken(FEE)
    for number, amount in ((1, FEE + 1), (2, 1)):
        world.must(FIRST, letters.RestoreCredit(member="ada", debtor=ADA, number=number, amount=amount)).then()
    world.must(FIRST, letters.RestoreCredit(member="bel", debtor=ADA, number=1, amount=1)).then()
    world.must(ADA, letters.RecordSetOff(source=SECOND, number=1, amount=5)).then()


def test_who_is_no_member_has_nothing_to_be_set_off() -> None:
    Story.of(MEMBER, "member/helio").when(letters.RecordSetOff(source=FIRST, number=1, amount=5)).then()


# ---------------------------------------------------------------- what people see


def table(world: World, stream: str, name: str) -> list[tuple[object, ...]]:
    story = world.stories[stream]
    return next((list(each.rows) for each in story.process.tables(story.state.state, world.register, world.at) if each.name == name), [])


def test_show_tells_what_will_be_set_off_when_and_what_was() -> None:
    world = announced(40_000, 30_000)
    at = world.of("set_off_announced")[0].carry_out_at
    usd = [Money(amount, "USD") for amount in (40_000, 20_000)]
    assert table(world, ADA, "set_off") == [(FIRST, usd[0], at, "announced"), (SECOND, usd[1], at, "announced")]
    assert "set off against credit at" in MEMBER.describe(world.stories[ADA].state.state).line
    world.due(ADA)
    assert table(world, ADA, "set_off") == [(FIRST, None, at, "asked"), (SECOND, usd[1], at, "announced")]
    assert f"{FIRST} is asked" in MEMBER.describe(world.stories[ADA].state.state).line
    quiet(world)
    assert table(world, ADA, "set_off") == []
    assert ("set_off", Money(FEE, "USD")) in table(world, ADA, "account")
    assert table(world, FIRST, "set_offs") == [("ada", ADA, 1, "taken", usd[0], None)]
    assert ROUND.describe(world.stories[FIRST].state.state).values["set_off_minor"] == 40_000


def test_show_tells_what_waits_for_a_refund_and_what_came_back() -> None:
    world = before_the_last_rung()
    world.until("set_off_deferred")
    assert table(world, FIRST, "set_offs") == [("ada", ADA, 1, "waits for a refund", Money(FEE, "USD"), None)]
    world.pays_dues(1_000)
    world.refund_given_up(FIRST)
    quiet(world)
    assert table(world, FIRST, "set_offs") == [("ada", ADA, 1, "taken", Money(FEE, "USD"), Money(1_000, "USD"))]


def test_the_register_knows_what_each_round_owes_a_member_and_what_is_on_its_way() -> None:
    world = overpaid(FEE)

    def known() -> list[tuple[str, int, int]]:
        return [(source, each.payable, each.refunding) for source, each in world.register.credits_of("ada", "USD")]

    assert known() == [(FIRST, FEE, 0)]
    world.orders_refund(FIRST, "some", 10_000)
    assert known() == [(FIRST, FEE - 10_000, 10_000)]
    world.refund_made(FIRST)
    assert known() == [(FIRST, FEE - 10_000, 0)]
    world.voted(FIRST, round_commands.CancelRound())
    assert known() == [(FIRST, FEE - 10_000 + CALLED, 0)]
    assert world.register.credits_of("ada", "EUR") == ()
    assert world.register.credits_of("bel", "USD")[0][1].payable == CALLED
