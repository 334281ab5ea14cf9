"""The laws of set-off, whatever comes between its announcement, its asking, the answer and its booking, in whatever order.

| law | of every history |
| --- | --- |
| at most what is owed | what is booked is overdue at that moment; what was more goes back |
| at most the credit | what is taken is the member's credit, was announced, and leaves what is on its way back, or earmarked for spending, alone |
| announced before | the charter's business days lie between the announcement and the asking |
| conserved | what was taken is booked, on its way, or credit again; no step of a set-off changes what the member has in the consortium; the ledger says the same |
| once | a letter that arrives again changes nothing |
| before expulsion | nobody is terminated over dues while a round owes them money that it could pay back, or pays them back |
| in any order | the same happenings leave the same dues and the same credit in the end, whichever came first |

Each planted bug breaks one of them, and is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import domain.member.dues
import domain.member.set_off
import domain.round.set_off
from domain import letters
from domain.kernel import SERVICE, Command
from domain.member import commands as member_commands
from domain.member import events as member_events
from domain.member.rules import charter_of
from domain.member.state import Belonging, Invoice
from domain.member.terms import Rung
from domain.round import commands as round_commands
from domain.round import events as round_events
from domain.round.books import Books
from domain.round.state import Calling, books_of
from tests.set_offs import ADA, BOUND, FEE, FIRST, SECOND, World
from tests.stories import Story, charter
from tests.test_set_off import announced, asked, before_the_last_rung, overpaid, taken

pytestmark = pytest.mark.heavy

OF_SET_OFFS: Final = frozenset({"carry_out_set_off", "set_off_credit", "record_set_off", "restore_credit"})


def waiting_for_a_refund() -> World:
    """All that a round owes ada is on its way back, and her dues wait for what becomes of it."""
    world = before_the_last_rung()
    world.until("set_off_deferred")
    return world


BEGINNINGS: Final[Sequence[Callable[[], World]]] = (
    lambda: announced(40_000, 30_000),
    lambda: announced(FEE),
    lambda: announced(FEE + 15_000, **BOUND),
    lambda: overpaid(0, 10_000),
    lambda: asked(40_000, 30_000),
    lambda: taken(FEE),
    before_the_last_rung,
    waiting_for_a_refund,
)


@cache
def _beginning(number: int) -> World:
    return BEGINNINGS[number]()


class Watched(World):
    """A world whose every decision is held to the laws."""

    def give(self, stream: str, command: Command, by: str = SERVICE) -> Story:
        """See `World.give`."""
        before, position, books = self.stories.get(stream), self.position, self._all_books()
        story = super().give(stream, command, by)
        if story.refusal is None:
            if command.kind in OF_SET_OFFS:
                assert self.position == position, f"{command.kind} changed what the member has"
            for event in story.answer:
                self._judge(stream, event, before, books)
            assert self.in_the_ledger == self.on_the_way >= 0
        return story

    def _all_books(self) -> dict[str, Books]:
        found = {stream: books_of(self.stories[stream].state.state) for stream in self.rounds()}
        return {stream: books for stream, books in found.items() if books is not None}

    def _judge(self, stream: str, event: Any, before: Story | None, books: dict[str, Books]) -> None:
        match event:
            case round_events.CreditSetOff(member=member, amount=amount):
                former, now = books[stream].accounts[member].figures, self.books(stream)
                answer = self.stories[stream].answer
                given_up = sum(each.amount for each in answer if isinstance(each, round_events.RefundReleased))
                made = sum(each.amount for each in answer if isinstance(each, round_events.RefundMade))
                assert 0 <= amount <= former.credit + given_up
                assert now.accounts[member].figures.refunding == former.refunding - given_up - made
                assert not amount or now.held - now.totals.refunding - now.reserved >= 0
                assert amount <= [asked.amount for asked in self.of("set_off_asked")][-1]
            case round_events.CreditRestored(amount=amount):
                assert amount > 0
            case member_events.SetOffAnnounced(owed=owed, offsets=offsets, carry_out_at=at):
                assert 0 < sum(offset.amount for offset in offsets) <= owed == self._overdue(before)
                assert at >= charter().calendar.add(self.at, 10)
            case member_events.SetOffAsked(number=number, source=source, amount=amount):
                told = self.of("set_off_announced")[number - 1]
                assert self.at >= told.carry_out_at
                assert 0 < amount <= next(offset.amount for offset in told.offsets if offset.source == source)
                assert amount <= self._overdue(self.stories[ADA])
            case member_events.DuesSetOff(amount=amount, settled=settled, excess=excess):
                assert 0 <= amount == sum(settled.values()) <= self._overdue(before)
                assert excess >= 0
            case member_events.RungReached(rung=Rung.TERMINATED):
                for each in books.values():
                    figures = each.accounts["ada"].figures
                    assert not figures.refunding, "terminated while it is paid back"
                    assert not _payable(each), "terminated while it is owed money"
            case _:
                pass

    def _overdue(self, story: Story | None) -> int:
        """What is overdue, reckoned anew."""
        assert story is not None
        dues = story.state.state.dues
        if dues.plan_until and self.at < dues.plan_until:
            return 0
        return sum(invoice.amount - invoice.paid for invoice in dues.open if invoice.overdue_from <= self.at)


def _payable(books: Books) -> int:
    """What a refund order could give ada, reckoned anew."""
    free = books.held - books.totals.refunding - books.reserved
    mine, everybodys = books.accounts["ada"].figures.credit, books.totals.credit
    return mine if everybodys <= free else max(free, 0) * mine // max(everybodys, 1)


def watched(world: World) -> Watched:
    """The same world, watched from now on."""
    return Watched(**vars(world.fork()))


# ---------------------------------------------------------------- histories

CHOICE: Final = st.integers(0, 2**16)


@dataclass
class Playing:
    """The member, the treasurer, the bank and the clock do what they may, and letters come late, twice, and after a kill.

    Each action takes a number, by which it chooses among what there is.
    """

    world: Watched
    accepted: Counter[str] = field(default_factory=Counter)

    def give(self, stream: str, command: Command, by: str = SERVICE) -> None:
        if self.world.give(stream, command, by).refusal is None:
            self.accepted[command.kind] += 1

    @property
    def _belongs(self) -> bool:
        return isinstance(self.world.stories[ADA].state.state, Belonging)

    def _round(self, choice: int) -> str:
        return self.world.rounds()[choice % len(self.world.rounds())]

    # ---- letters, and the clock

    def a_letter_arrives(self, choice: int) -> None:
        if waiting := self.world.letters():
            self.world.send(*waiting[choice % len(waiting)])

    def a_letter_arrives_and_its_sender_is_killed_before_it_knows(self, choice: int) -> None:
        if waiting := self.world.letters():
            self.world.arrive(*waiting[choice % len(waiting)])
            self._old_news(*waiting[choice % len(waiting)])

    def a_letter_arrives_again(self, choice: int) -> None:
        if self.world.sent:
            self._old_news(*self.world.sent[choice % len(self.world.sent)])

    def _old_news(self, sender: str, key: str) -> None:
        before = [story.state.state for story in self.world.stories.values()]
        self.world.arrive(sender, key)
        assert [story.state.state for story in self.world.stories.values()] == before, "what arrives again changes nothing"

    def time_goes_on(self, choice: int) -> None:
        self.world.pass_days((1, 3, 14, 40)[choice % 4], delivering=choice % 8 > 3)

    def the_members_next_deadline_comes(self, choice: int) -> None:
        if self.world.stories[ADA].agenda.deadline is not None:
            self.world.due(ADA)

    # ---- money

    def dues_are_paid(self, choice: int) -> None:
        if self._belongs and self.world.dues.owed:
            self.world.pays_dues(max(self.world.dues.owed * (1, 50, 100, 120)[choice % 4] // 100, 1))

    def dues_are_paid_while_something_is_on_its_way(self, choice: int) -> None:
        if self.world.on_the_way:
            self.dues_are_paid(choice)

    def a_round_is_paid(self, choice: int) -> None:
        self.world.pays(self._round(choice), (1_000, 25_000, 70_000)[choice % 3])

    def credit_is_ordered_back(self, choice: int) -> None:
        stream = max(self.world.rounds(), key=self.world.credit)
        if amount := self.world.credit(stream) * (30, 100)[choice % 2] // 100:
            order = round_commands.OrderRefund(refund=f"r-{len(self.world.told)}", member="ada", amount=amount)
            self.give(stream, order, "tess")

    def a_refund_ends(self, choice: int) -> None:
        stream = max(self.world.rounds(), key=self.world.refunding)
        if self.world.refund(stream):
            story = self.world.refund_made(stream) if choice % 2 else self.world.refund_given_up(stream)
            self.accepted[story.answer[0].kind] += 1

    def a_round_spends(self, choice: int) -> None:
        stream = self._round(choice)
        if (free := self.world.books(stream).spendable) > 0:
            spending = round_commands.ProposeSpending(spending=f"s-{len(self.world.told)}", line="compute", amount=free, payee="cloud")
            self.give(stream, spending, "tess")

    def a_payment_of_another_member_is_taken_back(self, choice: int) -> None:
        stream = self._round(choice)
        for original, receipt in sorted(self.world.books(stream).receipts.items()):
            if receipt.member != "ada":
                gone = f"GONE-{len(self.world.told)}"
                letter = letters.ReversePayment(member=receipt.member, amount=receipt.amount, reference=gone, original=original)
                return self.give(stream, letter)
        return None

    def a_round_is_cancelled(self, choice: int) -> None:
        if isinstance(self.world.stories[stream := self._round(choice)].state.state, Calling):
            self.accepted["cancel_round"] += 1
            self.world.voted(stream, round_commands.CancelRound())

    def the_next_tranche_is_called(self, choice: int) -> None:
        stream = self._round(choice)
        if len(self.world.books(stream).tranches) == 1:
            self.give(stream, letters.ReleaseTranche(tranche=2, run="atlas-1", milestone="half"))
            self.give(stream, round_commands.CallTranche(tranche=2), "tess")

    # ---- the membership

    def a_payment_plan_is_agreed(self, choice: int) -> None:
        self.give(ADA, member_commands.AgreePaymentPlan(until=self.world.at + timedelta(days=(1, 5, 60)[choice % 3])), "tess")

    def it_gives_notice(self, choice: int) -> None:
        self.give(ADA, member_commands.GiveNotice(), "rep-ada")

    # ---- in the end

    def nothing_stays_on_its_way(self) -> None:
        """Once every letter has arrived, all of it is booked, and nobody waits for an answer but for that of a refund."""
        self.world.deliver()
        books = [self.world.books(stream) for stream in self.world.rounds()]
        waits = any(each.waits and kept.accounts["ada"].figures.refunding for kept in books for each in kept.set_offs.values())
        state = self.world.stories[ADA].state.state
        set_off = state.dues.set_off if isinstance(state, Belonging) else None
        assert self.world.on_the_way == 0
        assert set_off is None or set_off.asked is None or waits, "an answer is waited for that nobody will give"


ACTIONS: Final[Mapping[str, int]] = {
    "a_letter_arrives": 4, "a_letter_arrives_and_its_sender_is_killed_before_it_knows": 1, "a_letter_arrives_again": 1, "time_goes_on": 2,
    "the_members_next_deadline_comes": 3, "dues_are_paid": 1, "dues_are_paid_while_something_is_on_its_way": 4, "a_round_is_paid": 2,
    "credit_is_ordered_back": 2, "a_refund_ends": 2, "a_round_spends": 1, "a_payment_of_another_member_is_taken_back": 1,
    "a_round_is_cancelled": 1, "the_next_tranche_is_called": 1, "a_payment_plan_is_agreed": 1, "it_gives_notice": 1,
}  # fmt: skip
"""What happens, and how often in comparison."""
ACTION: Final = st.sampled_from([name for name, often in ACTIONS.items() for _ in range(often)])


def try_histories(number: int, steps: int, accepted: Counter[str], *, shortest: bool = True) -> None:
    """Plays so many histories of so many steps; the first that breaks a law is raised, made as short as it can be if `shortest`."""

    @settings(
        max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shortest else (Phase.generate,),
    )  # fmt: skip
    @given(st.integers(0, len(BEGINNINGS) - 1), st.lists(st.tuples(ACTION, CHOICE), min_size=steps, max_size=steps))
    def histories(beginning: int, actions: list[tuple[str, int]]) -> None:
        playing = Playing(watched(_beginning(beginning)))
        begun = len(playing.world.told)
        for name, choice in actions:
            getattr(playing, name)(choice)
        playing.nothing_stays_on_its_way()
        accepted.update(playing.accepted)
        accepted.update(event.kind for _, event in playing.world.told[begun:])

    histories()


FLOOR: Final = {
    "set_off_announced": 12, "set_off_asked": 12, "credit_set_off": 15, "dues_set_off": 15, "set_off_ended": 20, "set_off_deferred": 2,
    "credit_restored": 4, "refund_ordered": 20, "refund_made": 8, "refund_released": 10, "payment_plan_agreed": 12, "cancel_round": 10,
    "tranche_called": 10, "spending_proposed": 10, "payment_reversed": 12, "rung_reached": 7, "member_departed": 1,
}  # fmt: skip
"""How often each must have come about, so that the laws were tried on it."""


def test_a_set_off_takes_no_more_than_is_owed_and_loses_nothing_whatever_comes_between(*, long: bool) -> None:
    accepted = Counter[str]()
    try_histories(3_000 if long else 120, 25, accepted)
    rare = {kind: accepted[kind] for kind, least in FLOOR.items() if accepted[kind] < least}
    assert not rare, f"came about too rarely: {rare}"


# ---------------------------------------------------------------- planted bugs


def _loses_the_excess(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(domain.member.set_off, "_restore", lambda *_: ())


def _takes_what_is_on_its_way_back(patch: pytest.MonkeyPatch) -> None:
    def payable(books: Books, member: str) -> int:
        figures = books.accounts[member].figures
        return figures.credit + figures.refunding

    patch.setattr(domain.round.set_off, "payable", payable)


def _takes_what_is_earmarked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(domain.round.set_off, "payable", lambda books, member: books.accounts[member].figures.credit)


def _takes_it_at_once(patch: pytest.MonkeyPatch) -> None:
    def hasty(identity: Any, context: Any) -> Any:
        known = charter_of(identity, context)
        return known.model_copy(update={"treasury": known.treasury.model_copy(update={"set_off_notice_business_days": 1})})

    patch.setattr(domain.member.set_off, "charter_of", hasty)


def _books_more_than_is_owed(patch: pytest.MonkeyPatch) -> None:
    def greedy(overdue: Sequence[Invoice], amount: int) -> tuple[dict[str, int], int]:
        """All of it on the oldest invoice, whatever is open of it."""
        return ({str(overdue[0].number): amount}, 0) if amount and overdue else ({}, amount)

    patch.setattr(domain.member.set_off, "settle_oldest", greedy)


def _takes_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(domain.round.set_off, "set_off_key", lambda debtor, number: f"{debtor}/{number}")


def _expels_first(patch: pytest.MonkeyPatch) -> None:
    announce = domain.member.set_off.announce_set_off
    patch.setattr(domain.member.dues, "announce_set_off", lambda state, context: () if state.dues.rung == 3 else announce(state, context))


def _answers_nobody_who_waits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("domain.round.refunds.after_refund", lambda *_: ())


@pytest.mark.parametrize(
    "plant",
    [
        _loses_the_excess, _takes_what_is_on_its_way_back, _takes_what_is_earmarked, _takes_it_at_once, _books_more_than_is_owed, _takes_twice,
        _expels_first, _answers_nobody_who_waits,
    ],
    ids=lambda plant: plant.__name__.strip("_"),
)  # fmt: skip
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(len(BEGINNINGS)):
        _beginning(number)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        try_histories(400, 25, Counter(), shortest=False)


# ---------------------------------------------------------------- in any order

HAPPENINGS: Final[dict[str, Callable[[World], object]]] = {
    "the set-off comes due": lambda world: world.due(ADA),
    "a letter": lambda world: [world.send(*each) for each in world.letters()[:1]],
    "another letter": lambda world: [world.send(*each) for each in world.letters()[:1]],
    "a third letter": lambda world: [world.send(*each) for each in world.letters()[:1]],
    "some dues are paid": lambda world: world.pays_dues(20_000),
    "more dues are paid": lambda world: world.pays_dues(7_000),
    "the first round is overpaid": lambda world: world.pays(FIRST, 5_000),
    "the second round is overpaid": lambda world: world.pays(SECOND, 9_000),
    "a refund is ordered and given up": lambda world: (
        world.orders_refund(SECOND, "wanted", 2_000) if world.credit(SECOND) >= 2_000 else None
    ),
}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(order=st.permutations(sorted(HAPPENINGS)))
def test_the_same_happenings_leave_the_same_dues_and_credit_whatever_their_order(order: list[str]) -> None:
    world = watched(_beginning(0))
    for name in order:
        HAPPENINGS[name](world)
    if world.refund(SECOND):
        world.refund_given_up(SECOND)
    world.pass_days(40)
    assert (world.dues.owed, world.credit(FIRST) + world.credit(SECOND) + world.dues.credit) == (
        0,
        40_000 + 30_000 + 5_000 + 9_000 + 27_000 - FEE,
    )
