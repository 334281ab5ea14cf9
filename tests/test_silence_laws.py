"""The law of silence: whatever happened in a round, when from some moment on nobody acts any more, all of it is closed in bounded time, or listed.

The histories are those of tests/test_round_laws.py; each ends at a random moment. From then on the clock alone speaks: no person, no vote, no
bank. How long it may last at most is reckoned here from the periods of the charter and of the round, and not from what the round says.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis.stateful import invariant

from domain.charter import Charter
from domain.kernel import Due
from domain.round import commands as round_commands
from domain.round import process as round_process
from domain.round import silence
from domain.round.dues import LATEST_DUE
from domain.round.state import ClosedWithDebts, RoundState, duty_of
from domain.round.terms import Duty
from tests.luck import play
from tests.stories import day
from tests.test_round_laws import OVER, Rounds

pytestmark = pytest.mark.heavy

CALENDAR = 3
"""So many days at most for one of business, over weekends and feasts."""

ends: Counter[str] = Counter()


def longest(charter: Charter) -> timedelta:
    """How long a round may last from the moment on which nobody acts any more, whatever that moment finds."""
    funding, quiet = charter.funding, charter.silence
    pledging = funding.extension_days + funding.extension_vote_days
    ladder = LATEST_DUE.days + CALENDAR * (funding.cure_business_days + 1)
    make_up = CALENDAR * (funding.makeup_notice_business_days + funding.cure_business_days + 2)
    line = quiet.duty_days * 3
    """Who holds a duty, their deputy, and the board."""
    return timedelta(days=pledging + ladder + make_up + funding.extension_vote_days + quiet.milestone_days + line + 2 * line)


class Silent(Rounds):
    """A history, and total silence after it."""

    def teardown(self) -> None:
        if not hasattr(self, "story"):
            return
        if self.story.at.day % 2:
            for person in ("theo", "bo"):
                self.give(round_commands.ApproveStandingRefunds(), person)
        until = max(self.story.at, day(5)) + longest(self.story.register.charter)
        self.stay_silent(until)
        state = self.story.state.state
        ends[self.story.phase] += 1
        if self.story.phase not in OVER:
            assert isinstance(state, ClosedWithDebts), f"{self.story.phase} after all that time: {self.story.agenda}"
            self.lists_what_the_ledger_says(state)
            asked = state.ask_at
            self.stay_silent(asked)
            assert isinstance(self.story.state.state, ClosedWithDebts)
            assert self.story.state.state.ask_at > asked, "it is asked for again, and again"
        self.money_is_conserved()

    @invariant()
    def what_is_waited_for_has_a_day(self) -> None:
        """From the charter of these histories: no duty waits for ever."""
        duty = duty_of(self.story.state.state) if hasattr(self, "story") else None
        if duty is not None:
            assert self.kept is not None
            assert self.kept.watch is not None
            assert self.kept.watch.duty is duty, f"{duty} is waited for, and {self.kept.watch.duty} is watched"

    def stay_silent(self, until: datetime) -> None:
        """The clock alone speaks, and what it says is about something: it never comes twice at one instant without an end."""
        for _ in range(200):
            deadline = self.story.agenda.deadline
            if deadline is None or deadline.at > until:
                return
            assert isinstance(deadline.command, Due)
            assert self.give(deadline.command, at=max(deadline.at, self.story.at))
        raise AssertionError("the clock speaks without an end")

    def lists_what_the_ledger_says(self, state: ClosedWithDebts) -> None:
        """The list is what the members' money is by the events, and what was ordered of the treasury for payees."""
        listed = Counter[str]()
        for debt in state.debts:
            assert debt.amount > 0
            listed[f"{debt.kind}/{debt.party}"] += debt.amount
        members = {f"to a member/{name}": self.ledger.credit[name] + self.ledger.refunding[name] for name in self.ledger.pledged}
        payees = Counter[str]()
        for name, amount in self.ledger.ordered.items():
            payees[f"to a payee/{state.books.spendings[name].payee}"] += amount
        owed = {name: amount for name, amount in listed.items() if not name.startswith("by a member/")}
        assert owed == {name: amount for name, amount in (members | dict(payees)).items() if amount}


def test_after_so_many_days_of_silence_all_of_a_round_is_closed_or_on_the_list_of_its_debts(*, long: bool) -> None:
    ends.clear()
    play(Silent, histories=1_000 if long else 40, steps=30)
    assert ends["closed_with_debts"] >= (200 if long else 8), ends


def test_a_duty_that_nobody_watches_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the order of refunds is waited for without a day, as it was before duties passed on."""

    def unwatched(state: RoundState) -> Duty | None:
        duty = duty_of(state)
        return None if duty is Duty.REFUND else duty

    history().teardown()
    monkeypatch.setattr(silence, "duty_of", unwatched)
    monkeypatch.setattr(round_process, "duty_of", unwatched)
    with pytest.raises(AssertionError, match="refunding after all that time"):
        history().teardown()


def history() -> Silent:
    """A first call that all paid, in a round whose next tranche nobody calls."""
    found = Silent()
    found.open(weights=[8, 8, 8, 8], goal=1026, minimum=1, forgiving=False, binding="notice_given", begun="calling")
    found.nearly_all_pay(but=5)
    return found
