"""Laws of leaving, over a membership and a round together: its member gives notice, takes it back, or is expelled at any moment around the close
of pledging, and letters between the two come late.

Nobody is gone whom a round still binds, or has not let go. A pledge counts at the close for who is a member then, and for who began to leave
when pledges were locked and is bound. Whoever stays is bound like others; whoever leaves is gone at last. Whose dues have climbed the whole ladder stays no member, whatever notice it
gives and takes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import pytest

from domain import letters
from domain.kernel import SERVICE
from domain.member import commands as member_commands
from domain.member.state import Active, Ended, Leaving
from domain.member.terms import Rung
from domain.register.facts import MemberDeparting, MemberStaying
from domain.round import commands as round_commands
from domain.round import events as round_events
from domain.round.state import books_of
from domain.round.terms import BoundUntil, BudgetLine, Tranche
from tests.set_offs import ADA, FIRST, MEMBERS, World

LOCK: Final = timedelta(hours=48)
CLOSE: Final = 10
"""Days from the announcement to the close of pledging."""
SHORT_LADDER: Final = {
    "membership__dues_days": 1, "membership__notice_overdue_days": 2, "membership__suspended_overdue_days": 4,
    "membership__termination_notice_overdue_days": 6, "membership__terminated_overdue_days": 8, "treasury__set_off_notice_business_days": 0,
}  # fmt: skip
"""Dues that are invoiced after a month end the membership some days later, while notices run."""
REPRESENTATIVE: Final = "rep-ada"


class Leavings(World):
    """`ada` comes and goes; the others stay and pay."""

    def announce(self) -> datetime:
        """Everybody pledges a quarter; when pledging closes."""
        closes_at = self.at + timedelta(days=CLOSE)
        opened: dict[str, Any] = {
            "title": "A", "currency": "USD", "goal": 1_000_000, "minimum": 200_000, "opens_at": self.at + timedelta(days=1), "closes_at": closes_at,
            "budget": (BudgetLine(name="compute", amount=1_000_000),), "run": "atlas-1",
            "tranches": (Tranche(name="start", fraction=4_000), Tranche(name="half", fraction=6_000, milestone="half")),
        }  # fmt: skip
        self.must(FIRST, round_commands.OpenRound(**opened), "sam")
        self.due(FIRST)
        for member in MEMBERS:
            self.must(FIRST, round_commands.Pledge(member=member, amount=250_000), f"rep-{member}")
        return closes_at

    def everybody_pays(self) -> None:
        books = books_of(self.stories[FIRST].state.state)
        for member, account in sorted(books.accounts.items()) if books else ():
            if account.debt:
                self.pays(FIRST, account.debt, member)

    def act(self, chance: Random) -> None:
        """What ada, the members or the treasurer do."""
        match chance.randrange(9):
            case 0 | 1:
                self.depart(chance)
            case 2 | 3:
                self.give(ADA, member_commands.WithdrawNotice(), REPRESENTATIVE)
            case 4 | 5:
                self.call(chance.choice((1, 1, 2)))
            case 6 if isinstance(state := self.stories[ADA].state.state, Active | Leaving) and state.dues.owed:
                self.pays_dues(state.dues.owed)
            case _:
                self.everybody_pays()

    def depart(self, chance: Random) -> None:
        """Ada gives notice mostly; sometimes it is expelled, and sometimes it stays after all."""
        match chance.randrange(8):
            case 0:
                self.voted(ADA, member_commands.Expel())
            case 1 | 2:
                pass
            case _:
                self.give(ADA, member_commands.GiveNotice(), REPRESENTATIVE)

    def call(self, number: int) -> None:
        """The treasurer calls a tranche, if it may be called."""
        books = books_of(self.stories[FIRST].state.state)
        if books is not None and number == 2 and len(books.tranches) == 1:
            self.give(FIRST, letters.ReleaseTranche(tranche=2, run="atlas-1", milestone="half"), SERVICE)
        self.give(FIRST, round_commands.CallTranche(tranche=number), "tess")

    # ------------------------------------------------------------ the laws

    def no_notice_saves_who_owes_dues(self) -> None:
        climbed = any(event.rung is Rung.TERMINATED for event in self.of("rung_reached"))
        assert not (climbed and isinstance(self.stories[ADA].state.state, Active)), "its notice saved it"

    def nobody_is_gone_whom_the_round_binds(self) -> None:
        state, books = self.stories[ADA].state.state, books_of(self.stories[FIRST].state.state)
        account = books.accounts.get("ada") if books else None
        if isinstance(state, Ended) and account is not None:
            assert (account.figures.uncalled, account.debt) == (0, 0), account
        if self.letters() or account is None:
            return
        if isinstance(state, Active):
            assert account.bound is None, account
        if isinstance(state, Leaving) and state.over:
            assert account.bound is not BoundUntil.NOTICE_ENDS or not account.still_bound, account

    def pledges_counted_as_they_should(self, closes_at: datetime) -> None:
        """Reckoned anew from what became true of the membership before the close."""
        names = [event for _, event in self.told]
        close = next(i for i, event in enumerate(names) if isinstance(event, round_events.PledgesAllocated))
        since, ends = None, None
        for event in names[:close]:
            match event:
                case MemberDeparting(leaves_at=leaves_at, at=at):
                    since, ends = since or at, leaves_at
                case MemberStaying():
                    since, ends = None, None
                case _:
                    pass
        allocated = names[close]
        assert isinstance(allocated, round_events.PledgesAllocated)
        bound = since is not None and ends is not None and since >= closes_at - LOCK and ends > closes_at
        assert ("ada" in allocated.allocation) == (since is None or bound)


def lived(seed: int) -> Counter[str]:
    """A random history; how often what became true of ada."""
    chance = Random(seed)
    world = Leavings.begin(
        membership__notice_can_be_withdrawn=True, membership__leaving_notice_days=chance.choice((2, 5, 30)), funding__pledge_lock_hours=48, **SHORT_LADDER,
        funding__leaver_bound_until=chance.choice(("notice_ended", "next_tranche")), funding__leaving_charge=1_000,
    )  # fmt: skip
    assert isinstance(world, Leavings)
    closes_at = world.announce()
    world.pass_days(chance.choice((0, 6, 7.9, 8, 9)), delivering=False)
    world.depart(chance)
    for _ in range(60):
        world.pass_days(chance.choice((0.1, 0.5, 1, 3)), delivering=chance.random() < 0.6)
        if chance.random() < 0.5:
            world.act(chance)
        world.nobody_is_gone_whom_the_round_binds()
        world.no_notice_saves_who_owes_dues()
    for number in (1, 2):
        world.pass_days(30)
        world.everybody_pays()
        world.call(number)
        world.everybody_pays()
    world.pass_days(60)
    world.nobody_is_gone_whom_the_round_binds()
    world.pledges_counted_as_they_should(closes_at)
    assert not isinstance(world.stories[ADA].state.state, Leaving), "whoever leaves is gone at last"
    return Counter(_what(event) for _, event in world.told)


def _lives(histories: int) -> Counter[str]:
    total: Counter[str] = Counter()
    for seed in range(histories):
        total.update(lived(seed))
    return total


def _what(event: object) -> str:
    kind = str(getattr(event, "kind", ""))
    return f"{kind}:{event.until}" if isinstance(event, round_events.LeaverBound) else kind


def test_whoever_leaves_is_let_go_and_nobody_is_gone_before(*, long: bool) -> None:
    histories = 2_000 if long else 120
    total = _lives(histories)
    bound = (f"leaver_bound:{until}" for until in (BoundUntil.NOTICE_ENDS, BoundUntil.NEXT_TRANCHE, None))
    for kind in ("member_departed", "member_staying", "commitment_released", "leaving_charged", *bound):
        assert total[kind] >= histories // 30, f"{kind} hardly ever came true: {total}"


@pytest.mark.parametrize(
    ("place", "mistake"),
    [
        ("domain.member.leaving._rounds_to_hear", lambda _context: False),
        ("domain.round.pledging._locked_from", lambda state, _context: state.terms.opens_at),
        ("domain.register.state.Register.notice_over", lambda _register, _member, _at: False),
        ("domain.round.leaving.keep_member", lambda _state, _command, _context: ()),
        ("domain.member.dues._terminate", lambda _state, _context: ()),
    ],
    ids=[
        "gone before rounds know it",
        "every leaver's pledge counts",
        "a notice runs for ever",
        "a notice cannot be taken back",
        "no end over dues",
    ],
)
def test_a_planted_mistake_is_found(place: str, mistake: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, mistake)
    with pytest.raises(AssertionError):
        _lives(120)
