"""The laws of a round's money: they hold after every command of any history.

A ledger of its own is folded from the events, never from the round's counters, and compared with them. Members, the treasurer
and the clock act at random, guided towards what matters: everything that is accepted is told again, payments and refunds are
booked twice, and a floor on how often each command was accepted keeps the machine honest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import letters
from domain.kernel import SERVICE, WHOLE, Command, Event, digest_of, mapping
from domain.register.facts import BankReferenceUsed, MandateGranted, MemberReinstated, MemberSuspended, VoteDecided
from domain.round import commands as round_commands
from domain.round import events as round_events
from domain.round import notices, reversals, winding_up
from domain.round.allocation import Promise, allocate, counted, interest, make_up, summed, tranche
from domain.round.books import Books, Refund
from domain.round.dues import Bill, due_by, owed_on
from domain.round.process import ROUND
from domain.round.set_off import payable
from domain.round.state import books_of, money_by_state
from domain.round.terms import BudgetLine, Due, Settlement, Tranche
from domain.stream import StepOwed
from tests.luck import try_laws
from tests.rounds import books
from tests.stories import Story, charter, day, founded, noted, with_members

pytestmark = pytest.mark.heavy

MEMBERS = ("ada", "bel", "cyd", "dov", "eli", "fay")
OF_SILENCE = {"order_standing_refunds", "pass_duty", "end_in_silence", "ask_for_debts"}
"""What the clock does when nobody acts for long: tests/test_silence_laws.py looks at that, and here it would end all rounds soon."""
CHARGE = 1_500
OVER = {"settled", "cancelled", "failed", "withdrawn"}

# ---------------------------------------------------------------- the ledger


@dataclass
class Ledger:
    """What the events say about the money, and nothing else."""

    promised: Counter[str] = field(default_factory=Counter)
    pledged: Counter[str] = field(default_factory=Counter)
    cancelled: Counter[str] = field(default_factory=Counter)
    called: Counter[str] = field(default_factory=Counter)
    cash: Counter[str] = field(default_factory=Counter)
    in_kind: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    credit: Counter[str] = field(default_factory=Counter)
    earned: Counter[str] = field(default_factory=Counter)
    returned: Counter[str] = field(default_factory=Counter)
    pools: Counter[int] = field(default_factory=Counter)
    refunding: Counter[str] = field(default_factory=Counter)
    released: Counter[str] = field(default_factory=Counter)
    """What ended of the commitments of those that left with their membership."""
    charged: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    set_off: Counter[str] = field(default_factory=Counter)
    amounts: dict[str, int] = field(default_factory=dict)
    spendings: dict[str, int] = field(default_factory=dict)
    """What is reserved, and of that below what is ordered."""
    ordered: dict[str, int] = field(default_factory=dict)
    spent: int = 0
    taken_back: int = 0
    references: set[str] = field(default_factory=set)
    over: bool = False

    def note(self, event: Event) -> None:
        """Book one event; complain about one that splits or repeats wrongly."""
        match event:  # type: ignore[exhaustive-match]  # the other facts move no money
            case round_events.PledgeMade(member=member, amount=amount):
                self.promised[member] = amount
            case round_events.PledgeWithdrawn(member=member):
                del self.promised[member]
            case round_events.PledgesAllocated(allocation=allocation, counted=total):
                assert 0 < sum(allocation.values()) <= total
                for member, amount in allocation.items():
                    assert 0 < amount <= self.promised[member]
                    self.pledged[member], self.cancelled[member] = self.promised[member], self.promised[member] - amount
            case round_events.TrancheCalled(amounts=amounts):
                self.called.update(amounts)
            case round_events.MakeUpCalled(amounts=amounts):
                self.pledged.update(amounts)
                self.called.update(amounts)
            case round_events.CatchUpCalled(member=member, dues=dues):
                self.called[member] += sum(due.principal for due in dues)
            case round_events.LateJoinerCommitted(member=member, amount=amount):
                self.pledged[member] += amount
            case round_events.CommitmentTakenOver(member=member, defaulter=defaulter, amount=amount, settled=settled):
                self.pledged[member] += amount
                self.cancelled[defaulter] += amount
                self.called[defaulter] -= sum(part.principal for part in settled)
            case round_events.CommitmentReleased(member=member, cause=cause, uncalled=uncalled, settled=settled):
                forgiven = sum(part.principal for part in settled)
                self.cancelled[member] += uncalled + forgiven
                self.called[member] -= forgiven
                self.released[member] += uncalled if cause == "leaving" else 0
                self.releases[member] += 1
            case round_events.LeavingCharged(member=member, amount=amount):
                self.called[member] += amount
                self.charged[member] += amount
            case round_events.GoalReduced(cancelled=cancelled):
                self.cancelled.update(cancelled)
            case round_events.PaymentRecorded(member=member, amount=amount, settled=settled, credited=credited):
                self.received[member] += amount
                assert self._cleared(member, settled) + credited == amount
                self.credit[member] += credited
            case round_events.PaymentReversed(
                member=member, amount=amount, credit=credit, uncleared=uncleared, interest=late, undone=undone, gone_back=back
            ):
                assert credit + uncleared + late + back == amount
                assert not back or self.over
                assert (sum(part.principal for part in undone), sum(part.interest for part in undone)) == (uncleared + back, late)
                self.pledged[member] += back
                self.called[member] += back
                self.returned[member] += back
                self.received[member] -= amount
                self.taken_back += amount
                self.credit[member] -= credit
                self.cash[member] -= uncleared
                for part in undone:
                    self.pools[part.pool] -= part.interest
            case round_events.MakeUpReduced(filled=filled, repaid=repaid, lapsed=lapsed):
                assert filled > 0
                for member, parts in [*repaid.items(), *lapsed.items()]:
                    ended = sum(part.principal for part in parts)
                    self.called[member] -= ended
                    self.cancelled[member] += ended
                    if parts is repaid.get(member):
                        self.cash[member] -= ended
                        self.credit[member] += ended
            case round_events.CreditApplied(member=member, settled=settled):
                self.credit[member] -= self._cleared(member, settled)
            case round_events.InKindAccepted(member=member, value=value, settled=settled):
                self.in_kind[member] += value
                self.called[member] += value - sum(part.principal for part in settled)
            case round_events.InterestShared(call=call, credits=credits):
                assert sum(credits.values()) == self.pools[call] > 0
                self.pools[call] = 0
                self.credit.update(credits)
                self.earned.update(credits)
            case round_events.SpendingProposed(spending=name, amount=amount):
                assert name not in self.amounts
                self.spendings[name] = self.amounts[name] = amount
            case round_events.SpendingApproved(spending=name):
                self.ordered[name] = self.spendings[name]
            case round_events.SpendingWithdrawn(spending=name):
                del self.spendings[name]
                self.ordered.pop(name, None)
            case round_events.SpendingPaid(spending=name):
                del self.spendings[name]
                self.spent += self.ordered.pop(name)
            case round_events.SpendingReturned(spending=name):
                amount = self.amounts[name]
                self.spent -= amount
                self.spendings[name] = self.ordered[name] = amount
            case round_events.SurplusReturned(returns=returns):
                self.credit.update(returns)
                self.returned.update(returns)
            case round_events.CreditSetOff(member=member, amount=amount):
                self.credit[member] -= amount
                self.set_off[member] += amount
            case round_events.CreditRestored(member=member, amount=amount):
                self.credit[member] += amount
                self.set_off[member] -= amount
            case round_events.RefundOrdered(member=member, amount=amount):
                self.credit[member] -= amount
                self.refunding[member] += amount
            case round_events.RefundMade(member=member, amount=amount):
                self.refunded[member] += amount
                self.refunding[member] -= amount
            case round_events.RefundReturned(member=member, amount=amount):
                self.refunded[member] -= amount
                self.refunding[member] += amount
            case round_events.RefundReleased(member=member, amount=amount):
                self.refunding[member] -= amount
                self.credit[member] += amount
            case round_events.ShareReduced(member=member, settled=settled):
                ended = sum(part.principal for part in settled)
                self.called[member] -= ended
                self.cancelled[member] += ended
            case round_events.RoundSettled(returns=returns, owed=owed) | round_events.RoundCancelled(returns=returns, owed=owed):
                assert sum(returns.values()) == max(self.cash.total() - self.spent - sum(self.ordered.values()) - self.advanced, 0)
                assert all(amount <= self.cash[member] for member, amount in returns.items())
                self._end(returns, owed)
            case BankReferenceUsed(reference=reference):
                assert reference not in self.references
                self.references.add(reference)

    def _cleared(self, member: str, settled: tuple[Settlement, ...]) -> int:
        for part in settled:
            self.cash[member] += part.principal
            self.pools[part.pool] += part.interest
        return sum(part.principal + part.interest for part in settled)

    def _end(self, returns: Mapping[str, int], owed: Mapping[str, Sequence[Due]]) -> None:
        for member in self.pledged:
            paid = self.cash[member] + self.in_kind[member] + sum(due.principal for due in owed.get(member, ()))
            self.cancelled[member], self.called[member] = self.pledged[member] - paid, paid
        self.credit.update(returns)
        self.returned.update(returns)
        self.spendings = dict(self.ordered)
        self.over = True

    @property
    def advanced(self) -> int:
        """Interest that was shared, and then taken back."""
        return sum(-amount for amount in self.pools.values() if amount < 0)

    def conserves(self) -> None:
        """No cent is lost, invented, or in two places. Only what the bank takes back after it was spent can be missing."""
        for member in self.pledged:
            paid = self.cash[member] + self.in_kind[member]
            uncalled = self.pledged[member] - self.called[member] - self.cancelled[member]
            assert min(uncalled, self.cancelled[member], self.credit[member], self.refunding[member]) >= 0
            assert 0 <= paid <= self.called[member] <= self.pledged[member] - self.cancelled[member]
            assert self.set_off[member] >= 0
            gone = self.refunded[member] + self.refunding[member] + self.set_off[member]
            claim = self.called[member] - paid if self.taken_back and self.over else 0
            assert gone <= self.received[member] + self.earned[member] + claim
            assert self.returned[member] <= self.cash[member] + claim, "what went back of what was taken back is owed"
        held = self.received.total() - self.refunded.total() - self.set_off.total() - self.spent
        unspent = self.cash.total() - self.returned.total() - self.spent
        assert held == unspent + self.credit.total() + self.refunding.total() + self.pools.total()
        assert held + self.taken_back >= 0
        if not self.taken_back:
            assert self.spent + sum(self.spendings.values()) <= self.cash.total()
        if self.over:
            assert unspent <= sum(self.ordered.values()) + self.advanced

    def agrees(self, story: Story) -> None:
        """The round's own counters, and what it told the register, say the same."""
        kept = books_of(story.state.state)
        if kept is None:
            assert money_by_state(story.state.state)["pledged"] in {self.promised.total(), 0}
            return
        money = money_by_state(story.state.state)
        assert money["held"] == self.received.total() - self.refunded.total() - self.set_off.total() - self.spent
        assert money["reserved"] == sum(self.spendings.values())
        for member, mine in books(story.state.state).items():
            own = (
                mine["pledged"],
                mine["released"],
                mine["called"],
                mine["cleared"],
                mine["credit"],
                mine["refunding"],
                mine["received"],
                mine["refunded"],
            )
            paid = self.cash[member] + self.in_kind[member]
            assert own == (
                self.pledged[member], self.cancelled[member], self.called[member], paid,
                self.credit[member], self.refunding[member], self.received[member], self.refunded[member],
            )  # fmt: skip
            assert told(story.register.commitments, member) == (0 if self.over else mine["committed"])
            assert told(story.register.debts, member) == mine["debt"]
            assert mine["set_off"] == self.set_off[member]
            credit = story.register.credits.get(member, mapping()).get(story.stream)
            stated = (credit.payable, credit.refunding) if credit else (0, 0)
            assert stated == (payable(kept, member), mine["refunding"])
            assert story.register.cleared.get(member, 0) == max(paid - self.returned[member], 0)
        for name in ("pledged", "released", "committed", "called", "cleared", "in_default", "credit", "refunding", "received", "refunded"):
            assert money[name] == sum(mine[name] for mine in books(story.state.state).values())
        self._ladders(kept)

    def _ladders(self, kept: Books) -> None:
        assert kept.squares == sum(account.figures.committed**2 for account in kept.accounts.values())
        late = sum(account.figures.owed for account in kept.accounts.values()) if not self.over else 0
        assert 0 <= kept.overdue <= late
        for member, account in kept.accounts.items():
            mine = account.figures
            came = mine.received + mine.earned + mine.returned
            assert came == mine.cash + mine.interest + mine.credit + mine.refunding + mine.refunded + mine.set_off
            assert account.figures.owed == sum(due.principal for due in account.dues)
            lost = (account.figures.owed, account.figures.uncalled) if account.in_default else (0, 0)
            assert (account.figures.defaulted_owed, account.figures.defaulted_uncalled) == lost
            assert not (account.figures.credit and account.dues), f"{member} owes, and has credit"
        if self.over and kept.carried and kept.spendable < 0:
            left = [member for member, account in kept.accounts.items() if account.figures.credit and account.figures.returned > 0]
            assert not left, f"{left} keep what came of a payment that was taken back"
        if self.over and any(amount > 0 for amount in self.pools.values()):
            assert all(account.dues for account in kept.accounts.values() if account.figures.pledged), "interest waits only while all owe"
        for call in kept.calls.values() if not self.over else ():
            assert call.unpaid == sum(call.owing.values())
            assert (call.number in kept.running) <= bool(call.owing)


def told(amounts: Mapping[str, Mapping[str, int]], member: str) -> int:
    """What the register keeps of the member's money in the only round."""
    return sum(amounts[member].values()) if member in amounts else 0


# ---------------------------------------------------------------- the machine

accepted: Counter[str] = Counter()
asked: Counter[str] = Counter()
"""How often a payment of what a notice asked for was tried, by the first fact of the decision that owes the notice."""


def facts_of_each(answer: Sequence[Event]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """What the notices of a decision tell each member and nobody else: by their template, and the member."""
    notices = (event.step.data for event in answer if isinstance(event, StepOwed) and event.step.kind == "notify")
    for notice in notices:
        for recipient, facts in notice.get("each", {}).items():
            yield notice["template"], recipient.removeprefix("member:"), facts


def in_minor(amount: str) -> int:
    return int("".join(filter(str.isdigit, amount)))


def amounts_in(template: str, fact: str, answer: Sequence[Event]) -> Iterator[tuple[str, int]]:
    """The amount that each member is told of by notices of this template."""
    return ((member, in_minor(facts[fact])) for named, member, facts in facts_of_each(answer) if named == template)


def asked_for(answer: Sequence[Event]) -> Iterator[tuple[str, int, date, int]]:
    """Whom the notices of a decision ask for money: how much, by when, and how much more for each further day."""
    for _, member, facts in facts_of_each(answer):
        if "per_day" in facts:
            yield member, in_minor(facts["amount"]), date.fromisoformat(facts["pay_by"]), in_minor(facts["per_day"])


class Rounds(RuleBasedStateMachine):
    """Everybody does what they may, in any order; the clock goes on."""

    @initialize(
        weights=st.lists(st.integers(8, 30), min_size=4, max_size=4),
        goal=st.integers(1_000, 9_999),
        minimum=st.integers(1, 6),
        forgiving=st.booleans(),
        binding=st.sampled_from(("notice_given", "notice_ended", "next_tranche", "next_tranche")),
        begun=st.sampled_from(("defaulted", "calling", "calling", "short", "pledging", "pledging")),
    )
    def open(self, weights: list[int], goal: int, minimum: int, forgiving: bool, binding: str, begun: str) -> None:  # noqa: FBT001
        self.ledger = Ledger()
        self.count = 0
        self.payments: dict[str, tuple[str, int]] = {}
        self.taken_back: set[str] = set()
        self.last: tuple[Command, str] | None = None
        rules = charter(
            funding__share_cap=6_000, funding__share_floor=0, funding__default_interest=9_000, funding__equalisation_interest=9_000,
            funding__makeup_cap=9_000, funding__leaver_funds_called=not forgiving, funding__pledge_lock_hours=0,
            funding__leaver_bound_until=binding, funding__leaving_charge=0 if binding == "notice_given" else CHARGE, rate_card__rates={"hour": 7},
        )  # fmt: skip
        register = with_members(founded(rules), *MEMBERS)
        self.story = Story.of(ROUND, "round/atlas-1", register)
        tranches = (
            Tranche(name="a", fraction=3_333),
            Tranche(name="b", fraction=3_333, milestone="b"),
            Tranche(name="c", fraction=3_334, milestone="c"),
        )
        terms: dict[str, Any] = {
            "title": "A", "currency": "USD", "goal": goal, "minimum": goal * minimum // 10 or 1, "opens_at": day(1), "closes_at": day(5), "run": "r",
            "budget": (BudgetLine(name="x", amount=goal - 1), BudgetLine(name="y", amount=1)), "tranches": tranches,
        }  # fmt: skip
        self.give(round_commands.OpenRound(**terms), "sam")
        self.give(round_commands.AmendRound(**{**terms, "title": "B"}), "sam")
        self.tick()
        for member, weight in list(zip(MEMBERS, weights, strict=False))[: 1 if begun == "short" else 4]:
            self.give(round_commands.Pledge(member=member, amount=min(goal * weight // 50 or 1, goal * 6_000 // 10_000)), f"rep-{member}")
        if begun != "pledging":
            self.tick()
        if begun == "short" and goal % 2:
            self.decide_on_the_extension(passed=goal % 3 > 0)
        if begun in {"calling", "defaulted"}:
            self.call()
        if begun == "defaulted":
            self.nearly_all_pay(but=goal % 4)
            for _ in range(4):
                self.tick()

    def give(self, command: Command, by: str = SERVICE, *, at: Any = None) -> bool:
        """Give a command, book what follows, and give it again: the second time nothing may follow."""
        was_over = self.story.phase in OVER
        after = self.story.when(command, by=by, at=at)
        if after.refusal is not None:
            assert after.refusal.remedy
            return False
        news = [event for event in after.answer if event.kind not in {"mandate_exercised", "step_owed"}]
        assert not was_over or not news or news[0].kind == "round_reopened", "nothing happens after the end, unless money comes back"
        for event in after.answer:
            self.ledger.note(event)
            self.bound_by_yes(event)
        accepted[command.kind] += bool(news)
        again = after.when(command, by=by)
        assert again.state.state == after.state.state, f"{command!r} told twice"
        self.who_has_less_of_the_surplus_is_told(after)
        self.story, self.last = after, (command, by)
        self.what_is_asked_for_settles(after)
        return True

    def who_has_less_of_the_surplus_is_told(self, story: Story) -> None:
        """Whose credit is not there since the bank took a payment back is told how much, but for who had made that payment."""
        back = Counter[str]()
        for event in story.answer:
            if isinstance(event, round_events.SurplusReturned):
                back.update(event.returns)
        payers = {event.member for event in story.answer if isinstance(event, round_events.PaymentReversed)}
        less = {member: -amount for member, amount in back.items() if amount < 0 and member not in payers}
        assert less == dict(amounts_in("surplus_taken_back", "less", story.answer)), "who has less of the surplus is told how much"

    def what_is_asked_for_settles(self, story: Story) -> None:
        """Who pays what a notice asked for, by the day that it names or with each further day, owes nothing.

        Unless something else falls due on these further days: it is paid first, and interest alone is left, which makes no default.
        """
        before = books_of(story.state.state)
        if before is None:
            return
        for number, (member, amount, pay_by, per_day) in enumerate(islice(asked_for(story.answer), 2)):
            days = (number + self.count) % 4
            on = pay_by + timedelta(days=days)
            at = max(story.at, datetime.combine(on, time(12), UTC))
            ask = letters.RecordPayment(member=member, amount=amount + days * per_day, reference="ASKED", value_date=on)
            kept = books_of(story.when(ask, at=at).state.state)
            assert kept is not None
            account, rate = kept.accounts[member], story.register.charters[1].funding.default_interest
            left = owed_on(kept, account, rate, pay_by)
            overtaken = any(pay_by < kept.calls[due.call].schedule.due_on <= on for due in before.accounts[member].dues)
            assert left == 0 or overtaken, f"{member} paid what it was asked for, and owes {left}"
            assert not any(due.principal for due in due_by(kept, account, pay_by))
            assert not account.in_default
            asked[story.answer[0].kind] += 1

    def mandated(self, command: Command) -> bool:
        digest = digest_of(self.story.stream, command.model_dump(mode="json"))
        self.learn(MandateGranted(proposal="proposal/p", digest=digest))
        return self.give(command)

    def bound_by_yes(self, event: Event) -> None:
        """Nobody's commitment ends with its membership after it voted for the round or its run, where the charter binds leavers."""
        register = self.story.register
        if isinstance(event, round_events.CommitmentReleased) and event.cause == "leaving":
            assert register.charter.funding.leaver_bound_until == "notice_given" or not any(
                event.member in vote.yes for vote in register.votes.values()
            )

    def learn(self, *events: Event) -> None:
        self.story = replace(self.story, register=noted(self.story.register, *events))

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def pick(self, members: list[str], choice: int) -> str | None:
        return sorted(members)[choice % len(members)] if members else None

    @property
    def kept(self) -> Books | None:
        return books_of(self.story.state.state)

    def who(self, test: Callable[[Any], bool]) -> list[str]:
        return [member for member, account in self.kept.accounts.items() if test(account)] if self.kept else []

    # ---- the clock

    @rule()
    def tick(self) -> None:
        deadline = self.story.agenda.deadline
        if deadline is not None and deadline.command.kind not in OF_SILENCE:
            assert self.give(deadline.command, at=max(deadline.at, self.story.at))

    @precondition(lambda self: self.story.phase in {"refunding", "closed_with_debts"})
    @rule()
    def nobody_acts(self) -> None:
        deadline = self.story.agenda.deadline
        if deadline is not None:
            assert self.give(deadline.command, at=max(deadline.at, self.story.at))

    @precondition(lambda self: self.story.phase in {"calling", "endangered"})
    @rule(days=st.integers(1, 12))
    def time_goes_on(self, days: int) -> None:
        until = self.story.at + timedelta(days=days)
        while (deadline := self.story.agenda.deadline) is not None and deadline.at <= until and deadline.command.kind not in OF_SILENCE:
            self.tick()

    @precondition(lambda self: self.last is not None)
    @rule()
    def tell_again(self) -> None:
        assert self.last is not None
        before = self.story.state.state
        self.give(*self.last)
        assert self.story.state.state == before

    # ---- pledging

    @precondition(lambda self: self.story.phase == "pledging")
    @rule(choice=st.integers(0, 5), amount=st.integers(1, 5_000), threshold=st.none() | st.integers(1, 12_000))
    def pledge(self, choice: int, amount: int, threshold: int | None) -> None:
        member = MEMBERS[choice]
        self.give(round_commands.Pledge(member=member, amount=amount, if_total_at_least=threshold), f"rep-{member}")

    @precondition(lambda self: self.story.phase == "pledging")
    @rule(choice=st.integers(0, 5))
    def withdraw_pledge(self, choice: int) -> None:
        self.give(round_commands.WithdrawPledge(member=MEMBERS[choice]), f"rep-{MEMBERS[choice]}")

    @precondition(lambda self: self.story.phase == "short")
    @rule(passed=st.sampled_from((True, True, False)))
    def decide_on_the_extension(self, passed: bool) -> None:  # noqa: FBT001
        self.mandated(round_commands.ExtendRound() if passed else round_commands.FailRound())

    # ---- calls

    @precondition(lambda self: self.story.phase in {"committed", "calling"})
    @rule()
    def call(self) -> None:
        assert self.kept is not None
        number = len(self.kept.tranches) + 1
        if number <= 3:
            self.give(letters.ReleaseTranche(tranche=number, run="r", milestone=self.kept.terms.tranches[number - 1].milestone))
            self.give(round_commands.CallTranche(tranche=number), "tess")

    @rule(choice=st.integers(0, 5), late=st.integers(0, 20), part=st.sampled_from((1, 1, 1, 2, 3)), extra=st.sampled_from((0, 0, 0, 50)))
    def pay(self, choice: int, late: int, part: int, extra: int) -> None:
        member = self.pick(self.who(lambda account: account.dues), choice)
        if member and self.kept:
            amount = self.kept.accounts[member].debt // part + late + extra
            self.settle(member, max(amount, 1), late)

    def settle(self, member: str, amount: int, late: int) -> None:
        reference, value_date = self.fresh("IN"), (self.story.at - timedelta(days=late)).date()
        ask = letters.RecordPayment(member=member, amount=amount, reference=reference, value_date=value_date)
        if self.give(ask) and any(event.kind == "payment_recorded" for event in self.story.answer):
            self.payments[reference] = (member, amount)
            before = self.story.state.state
            self.give(ask.model_copy(update={"amount": amount + 1}))
            assert self.story.state.state == before, "one movement of the bank, one payment"

    @rule(but=st.integers(0, 5))
    def nearly_all_pay(self, but: int) -> None:
        for member in sorted(self.who(lambda account: account.dues)):
            assert self.kept is not None
            if member != MEMBERS[but]:
                self.settle(member, self.kept.accounts[member].debt + 40, 0)

    @rule(choice=st.integers(0, 5), amount=st.integers(1, 60))
    def refund(self, choice: int, amount: int) -> None:
        member = self.pick(self.who(lambda account: account.figures.credit), choice)
        if member and self.kept:
            credit = self.kept.accounts[member].figures.credit
            name = self.fresh("r")
            self.give(round_commands.OrderRefund(refund=name, member=member, amount=credit + 1), "tess")
            before = self.kept.refunds
            if self.give(round_commands.OrderRefund(refund=name, member=member, amount=min(amount, credit)), "tess") and credit % 4:
                (payment,) = set(self.kept.refunds) - set(before)
                self.pay_out(payment, self.kept.refunds[payment], back=credit % 3)

    @rule(made=st.lists(st.sampled_from(("made", "back", "released", "later")), min_size=6, max_size=6))
    def refund_everybody(self, made: list[str]) -> None:
        """One order gives all credit back, as far as it is there; the treasury pays what it can and gives up the rest."""
        kept = self.kept
        if kept is None or not self.give(round_commands.OrderRefunds(), "tess") or self.kept is None:
            return
        new = {name: refund for name, refund in self.kept.refunds.items() if name not in kept.refunds}
        ordered, free = sum(refund.amount for refund in new.values()), kept.held - kept.totals.refunding
        assert ordered == min(kept.totals.credit, free if new else 0)
        assert all(0 < refund.amount <= kept.accounts[refund.member].figures.credit for refund in new.values())
        assert len({refund.member for refund in new.values()}) == len(new)
        for (payment, refund), what in zip(sorted(new.items()), made, strict=False):
            if what == "released":
                self.give(letters.ReleaseRefund(payment=payment, member=refund.member, amount=refund.amount, reason="no account"))
            elif what != "later":
                self.pay_out(payment, refund, back=1 if what == "back" else 0)

    def pay_out(self, payment: str, refund: Refund, *, back: int) -> None:
        """The bank shows a refund; now and then it comes back, and is paid again or given up."""
        ask = letters.RecordRefund(payment=payment, member=refund.member, amount=refund.amount, reference=self.fresh("BACK"))
        self.give(ask)
        before = self.story.state.state
        self.give(ask.model_copy(update={"reference": self.fresh("BACK")}))
        self.give(ask.model_copy(update={"amount": refund.amount + 1, "reference": self.fresh("BACK")}))
        assert self.story.state.state == before, "one order is refunded once"
        if back and self.give(
            letters.ReturnRefund(payment=payment, member=refund.member, amount=refund.amount, reference=self.fresh("IN"))
        ):
            if back == 1:
                self.give(ask.model_copy(update={"reference": self.fresh("BACK")}))
            else:
                self.give(letters.ReleaseRefund(payment=payment, member=refund.member, amount=refund.amount))

    @rule(choice=st.integers(0, 5))
    def pay_out_what_was_ordered(self, choice: int) -> None:
        """Refunds that were ordered, and payments, are shown by the bank later, also after the end."""
        kept = self.kept
        open_ = sorted(name for name, refund in kept.refunds.items() if refund.stage == "ordered") if kept else []
        if kept and (name := self.pick(open_, choice)):
            self.pay_out(name, kept.refunds[name], back=0)
        ordered = sorted(name for name, spending in kept.spendings.items() if spending.stage == "approved") if kept else []
        if kept and (name := self.pick(ordered, choice)):
            self.give(
                letters.ReleaseSpending(spending=name) if choice % 2 else letters.RecordSpending(spending=name, reference=self.fresh("OUT"))
            )

    @rule(choice=st.integers(0, 5))
    def take_back(self, choice: int) -> None:
        """The bank takes a payment back, whatever was done with it."""
        reference = self.pick([name for name in self.payments if name not in self.taken_back], choice)
        if reference is None or self.kept is None:
            return
        member, amount = self.payments[reference]
        undo = letters.ReversePayment(member=member, amount=amount, reference=self.fresh("GONE"), original=reference)
        if self.give(undo) and any(event.kind == "payment_reversed" for event in self.story.answer):
            self.taken_back.add(reference)
            self.nobody_keeps_what_came_of_it(member)
            before = self.story.state.state
            self.give(undo.model_copy(update={"reference": self.fresh("GONE")}))
            assert self.story.state.state == before, "one payment is taken back once"

    def nobody_keeps_what_came_of_it(self, member: str) -> None:
        """After the end its member owes its share and what went back to it, in default once its time is over."""
        kept = self.kept
        if kept is None or not self.ledger.over:
            return
        asked["taken back after the end"] += 1
        account = kept.accounts[member]
        gone, carried = kept.spent + kept.ordered + kept.advanced, sum(kept.carried.values())
        borne = gone * kept.carried.get(member, 0) // carried if carried else 0
        (undone,) = (event.undone for event in self.story.answer if isinstance(event, round_events.PaymentReversed))
        missing = min(borne + account.figures.returned - account.figures.cash, sum(part.principal for part in undone))
        assert account.figures.owed >= missing, f"{member} owes {account.figures.owed}, and {missing} of its share is missing"
        late = any(due.principal and kept.calls[due.call].schedule.cure_ends_at <= self.story.at for due in account.dues)
        assert account.in_default or not late, f"{member} owes its share, and is not in default"

    @precondition(lambda self: hasattr(self, "ledger") and self.ledger.over)
    @rule(choice=st.integers(0, 5))
    def take_back_after_the_end(self, choice: int) -> None:
        self.take_back(choice)

    @precondition(lambda self: hasattr(self, "ledger") and self.ledger.over)
    @rule(choice=st.integers(0, 5), part=st.sampled_from((1, 1, 2)))
    def pay_after_the_end(self, choice: int, part: int) -> None:
        self.pay(choice, 0, part, 0)

    # ---- who carries it

    @rule(choice=st.integers(0, 5), quantity=st.integers(1, 300), pay=st.booleans())
    def deliver(self, choice: int, quantity: int, pay: bool) -> None:  # noqa: FBT001
        member = self.pick(self.who(lambda account: account.figures.outstanding), choice)
        self.count += 1
        evidence = f"{self.count:064x}"
        if member and self.give(
            round_commands.DeliverInKind(member=member, item="hour", quantity=quantity, evidence=evidence), f"rep-{member}"
        ):
            if pay:
                self.settle(member, 30, 0)
            if self.count % 3:
                self.give(round_commands.AcceptInKind(evidence=evidence), "sam")
            elif self.count % 2:
                self.give(round_commands.RejectInKind(evidence=evidence, reason="no"), "sam")

    @rule(choice=st.integers(0, 5), amount=st.integers(1, 4_000))
    def join(self, choice: int, amount: int) -> None:
        member = MEMBERS[choice]
        self.give(round_commands.JoinLate(member=member, amount=amount), f"rep-{member}")

    @precondition(lambda self: bool(self.who(lambda account: account.in_default)))
    @rule(choice=st.integers(0, 5), of=st.integers(0, 5), amount=st.integers(1, 2_000), whole=st.booleans())
    def take_over(self, choice: int, of: int, amount: int, whole: bool) -> None:  # noqa: FBT001
        defaulter = self.pick(self.who(lambda account: account.in_default), of)
        if defaulter and self.kept:
            open_ = self.kept.accounts[defaulter].figures.outstanding
            amount = open_ if whole else min(amount, open_)
            member = MEMBERS[choice]
            if amount:
                self.give(round_commands.TakeOver(member=member, defaulter=defaulter, amount=amount), f"rep-{member}")

    @rule(choice=st.integers(0, 5), back=st.booleans())
    def suspend(self, choice: int, back: bool) -> None:  # noqa: FBT001
        self.learn(MemberReinstated(member=MEMBERS[choice]) if back else MemberSuspended(member=MEMBERS[choice], cause="dues"))

    @rule(choice=st.integers(0, 20), over=st.booleans(), voted=st.integers(0, 3))
    def leave(self, choice: int, over: bool, voted: int) -> None:  # noqa: FBT001
        if choice >= len(MEMBERS):
            return
        member = MEMBERS[choice]
        bound = self.kept is not None and member in self.kept.accounts and self.kept.accounts[member].bound
        if voted == 3 and not bound:  # who is on notice votes no more
            yes, at = frozenset({member}), self.story.at
            self.learn(VoteDecided(proposal=f"proposal/{member}", concerns="run/r", passed=True, yes=yes, effective_at=at))
        self.give(letters.ReleaseLeaver(member=member, notice_over=over))

    @rule(choice=st.integers(0, 20))
    def stay(self, choice: int) -> None:
        if choice < len(MEMBERS):
            self.give(letters.KeepMember(member=MEMBERS[choice]))

    @rule(choice=st.integers(0, 20))
    def leave_in_opposition(self, choice: int) -> None:
        if choice >= len(MEMBERS):
            return
        member, at = MEMBERS[choice], self.story.at + timedelta(days=1)
        self.learn(VoteDecided(proposal="proposal/v", concerns=self.story.stream, passed=True, no=frozenset({member}), effective_at=at))
        self.give(round_commands.ExitRound(member=member, proposal="proposal/v"), f"rep-{member}")

    @precondition(lambda self: self.story.phase in {"calling", "endangered"})
    @rule(goal=st.integers(1, 9_000), minimum=st.integers(1, 9), really=st.integers(0, 5))
    def reduce(self, goal: int, minimum: int, really: int) -> None:
        if really == 5 or self.story.phase == "endangered":
            self.mandated(round_commands.ReduceGoal(goal=goal, minimum=goal * minimum // 10 or 1))

    @rule(really=st.integers(0, 40))
    def cancel(self, really: int) -> None:
        if really == 40:
            self.mandated(round_commands.CancelRound())

    # ---- spending and the end

    @rule(percent=st.integers(1, 120), line=st.sampled_from("xxxy"))
    def spend(self, percent: int, line: str) -> None:
        upto = percent % 5
        name, amount = self.fresh("s"), (max(self.kept.spendable, 0) if self.kept else 0) * percent // 100 + 1
        if not self.give(round_commands.ProposeSpending(spending=name, line=line, amount=amount, payee="p"), "tess"):
            return
        if upto == 0:
            self.give(round_commands.WithdrawSpending(spending=name), "tess")
        if upto > 1:
            self.give(round_commands.ApproveSpending(spending=name), "theo")
        if upto > 2:
            self.give(letters.RecordSpending(spending=name, reference=self.fresh("OUT")))
            before = self.story.state.state
            self.give(letters.RecordSpending(spending=name, reference=self.fresh("OUT")))
            assert self.story.state.state == before, "one spending is paid once"
            if percent % 2:
                self.give(letters.ReturnSpending(spending=name, reference=self.fresh("IN")))

    @precondition(lambda self: self.kept is not None and len(self.kept.tranches) == 3 and not self.kept.running)
    @rule()
    def end(self) -> None:
        for name, spending in sorted(self.kept.spendings.items()) if self.kept else ():
            if spending.stage == "proposed":
                self.give(round_commands.WithdrawSpending(spending=name), "tess")
            if spending.stage == "approved":
                self.give(letters.ReleaseSpending(spending=name))
        self.give(round_commands.SettleRound(), "tess")

    @rule(choice=st.integers(0, 5), percent=st.sampled_from((30, 100, 200)), more=st.booleans())
    def credit_is_set_off(self, choice: int, percent: int, *, more: bool) -> None:
        """A member owes something elsewhere, and less than was taken for it."""
        kept = self.kept
        owed = sorted(member for member, account in kept.accounts.items() if account.figures.credit) if kept else []
        if kept and (member := self.pick(owed, choice)):
            self.count += 1
            number, amount = self.count, max(kept.accounts[member].figures.credit * percent // 100, 1)
            asked = letters.SetOffCredit(
                member=member, debtor=f"member/{member}", number=number, amount=amount, currency="USD", after_refunds=more
            )
            self.give(asked)
            if more and (taken := self.story.state.state.books.set_offs[f"member/{member}:{number}"].amount):
                self.give(letters.RestoreCredit(member=member, debtor=f"member/{member}", number=number, amount=(taken + 1) // 2))

    @rule(choice=st.integers(0, 5))
    def money_comes_back(self, choice: int) -> None:
        """A payee, or a member's bank, sends back what it was paid, also after the end."""
        kept = self.kept
        gone = sorted(name for name, spending in kept.spendings.items() if spending.stage == "paid") if kept else []
        if choice < 3 and (name := self.pick(gone, choice)):
            self.give(letters.ReturnSpending(spending=name, reference=self.fresh("IN")))
        made = sorted(name for name, refund in kept.refunds.items() if refund.stage == "made") if kept else []
        if kept and choice == 4 and (name := self.pick(made, choice)):
            refund = kept.refunds[name]
            self.give(letters.ReturnRefund(payment=name, member=refund.member, amount=refund.amount, reference=self.fresh("IN")))

    # ---- the laws

    @invariant()
    def money_is_conserved(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.conserves()
            self.ledger.agrees(self.story)

    @invariant()
    def a_released_commitment_has_its_price(self) -> None:
        if hasattr(self, "story") and self.kept:
            terms = self.story.register.charter.funding
            for member, released in self.ledger.released.items():
                whole = released + self.ledger.charged[member]
                least = whole * terms.leaving_charge // WHOLE - self.ledger.releases[member] + 1  # each is rounded down by itself
                assert self.ledger.charged[member] >= least or not whole, f"{member} left too cheaply"

    @invariant()
    def a_round_is_never_funded_on_promises(self) -> None:
        if hasattr(self, "story") and self.kept and self.story.phase in {"committed", "calling"}:
            assert self.kept.totals.sound >= self.kept.minimum


FLOOR = {
    "pledge": 100, "withdraw_pledge": 5, "close_pledging": 20, "extend_round": 2, "call_tranche": 40, "record_payment": 100,
    "declare_default": 10, "deliver_in_kind": 20, "accept_in_kind": 10, "reject_in_kind": 5, "join_late": 10, "take_over": 5,
    "release_leaver": 10, "keep_member": 3, "exit_round": 10, "reduce_goal": 10, "cancel_round": 5, "propose_spending": 20, "record_spending": 5,
    "withdraw_spending": 5, "settle_round": 2, "record_refund": 20, "order_refund": 20, "order_refunds": 20, "return_refund": 5,
    "release_refund": 5, "return_spending": 2, "release_spending": 2, "reverse_payment": 10, "set_off_credit": 10, "restore_credit": 3,
}  # fmt: skip
"""How often each command must have been accepted, so that the laws were tried on it; a round that fails has stories of its own."""


def test_a_payment_is_taken_back_from_a_member_that_one_call_asks_for_two_parts_of_a_tranche() -> None:
    rounds = Rounds()
    rounds.open(weights=[8, 8, 8, 8], goal=1026, minimum=1, forgiving=False, binding="notice_given", begun="defaulted")
    rounds.take_back(choice=0)
    rounds.time_goes_on(days=1)
    rounds.take_over(amount=72, choice=1, of=0, whole=False)
    assert rounds.kept is not None
    assert [due.pool for due in rounds.kept.accounts["bel"].dues if due.call == 4] == [1, 1]
    rounds.take_back(choice=0)
    rounds.money_is_conserved()


def test_a_planted_mistake_that_asks_for_no_interest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "bill", lambda books, account, _rate, day: Bill(day, owed_on(books, account, 0, day), 0))
    with pytest.raises(AssertionError, match="paid what it was asked for, and owes"):
        Rounds().open(weights=[8, 8, 8, 8], goal=9_999, minimum=1, forgiving=False, binding="notice_given", begun="defaulted")


def ended_with_something_spent() -> Rounds:
    """All paid, a part of it is spent, and the round is cancelled; what is left is credit."""
    rounds = Rounds()
    rounds.open(weights=[8, 8, 8, 8], goal=1026, minimum=1, forgiving=False, binding="notice_given", begun="calling")
    rounds.nearly_all_pay(but=5)
    rounds.spend(percent=48, line="x")
    rounds.cancel(really=40)
    assert rounds.kept is not None
    assert (rounds.story.phase, rounds.kept.spent > 0) == ("refunding", True)
    return rounds


def taken_back_long_after_the_end() -> None:
    """The bank takes a payment back when all time to cure is over."""
    rounds = ended_with_something_spent()
    rounds.story = replace(rounds.story, at=rounds.story.at + timedelta(days=90))
    rounds.take_back(choice=0)
    rounds.money_is_conserved()


@pytest.mark.parametrize(
    ("module", "rule_", "broken", "complaint"),
    [
        (reversals, "_in_default_again", lambda *_: (), "is not in default"),
        (reversals, "notify_taken_back", lambda *_, **__: (), "is told how much"),
        (winding_up, "_surplus_left", lambda _: {}, "keep what came of"),
    ],
)
def test_a_planted_mistake_in_what_is_taken_back_after_the_end_is_found(
    module: Any, rule_: str, broken: Callable[..., Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_back_long_after_the_end()
    monkeypatch.setattr(module, rule_, broken)
    with pytest.raises(AssertionError, match=complaint):
        taken_back_long_after_the_end()


def test_a_call_for_what_was_missed_that_credit_pays_at_once_is_cleared_at_once() -> None:
    rounds = Rounds()
    rounds.open(weights=[30, 30, 28, 24], goal=2553, minimum=6, forgiving=True, binding="next_tranche", begun="defaulted")
    rounds.spend(line="x", percent=67)
    rounds.take_back(choice=0)
    rounds.pay(choice=2, extra=50, late=8, part=1)
    rounds.deliver(choice=2, pay=False, quantity=300)
    rounds.spend(line="x", percent=90)
    rounds.pay(choice=5, extra=0, late=5, part=3)
    rounds.take_back(choice=5)
    rounds.nearly_all_pay(but=2)
    rounds.reduce(goal=1011, minimum=5, really=5)
    rounds.time_goes_on(days=6)
    rounds.call()
    rounds.pay(choice=5, extra=50, late=1, part=1)
    assert [event.kind for event in rounds.story.answer].count("catch_up_called") == 1
    rounds.money_is_conserved()


def test_money_is_conserved_whatever_happens_and_everything_told_twice_is_old_news(*, long: bool) -> None:
    asked.clear()
    try_laws(Rounds, accepted, FLOOR, histories=100, steps=60, long=long)
    assert {"tranche_called", "call_reminded", "call_overdue", "call_warned", "call_defaulted"} <= asked.keys()


# ---------------------------------------------------------------- the arithmetic

amounts = st.dictionaries(st.sampled_from([f"m{number}" for number in range(12)]), st.integers(1, 10**15), min_size=1)


@given(pledges=amounts, goal=st.integers(1, 10**15), cap=st.integers(1, 10**15), groups=st.integers(1, 12))
def test_the_goal_is_shared_out_to_the_last_unit_under_the_caps_whatever_the_order(
    pledges: dict[str, int], goal: int, cap: int, groups: int
) -> None:
    seats = {member: f"g{int(member[1:]) % groups}" for member in pledges}
    allocation = allocate(goal, pledges, seats, cap)
    by_seat = summed(pledges, seats)
    assert sum(allocation.values()) == min(goal, sum(min(amount, cap) for amount in by_seat.values()))
    assert all(amount <= pledges[member] for member, amount in allocation.items())
    assert all(amount <= cap for amount in summed(allocation, seats).values())
    assert allocation == allocate(goal, dict(reversed(pledges.items())), seats, cap)


@given(
    data=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 300)), min_size=1, max_size=8),
    cap=st.integers(1, 60),
    groups=st.integers(1, 8),
)
def test_the_counted_pledges_are_the_largest_set_that_holds(data: list[tuple[int, int]], cap: int, groups: int) -> None:
    promises = {f"m{number}": Promise(amount, threshold) for number, (amount, threshold) in enumerate(data)}
    seats = {member: f"g{int(member[1:]) % groups}" for member in promises}

    def holds(chosen: set[str]) -> bool:
        total = sum(min(cap, amount) for amount in summed({member: promises[member].amount for member in chosen}, seats).values())
        return all(promises[member].if_total_at_least <= total for member in chosen)

    found = set(counted(promises, seats, cap))
    assert holds(found)
    sets = ({f"m{bit}" for bit in range(len(data)) if mask >> bit & 1} for mask in range(1 << len(data)))
    assert all(chosen <= found for chosen in sets if holds(chosen))


@given(uncalled=amounts, fractions=st.lists(st.integers(1, 5_000), min_size=1, max_size=6), need=st.integers(0, 10**16))
def test_the_tranches_call_what_is_needed_and_nobody_for_more_than_is_uncalled(
    uncalled: dict[str, int], fractions: list[int], need: int
) -> None:
    total, left = 0, dict(uncalled)
    for number, fraction in enumerate(fractions):
        asked = tranche(left, need - total, fraction, sum(fractions[number:]))
        assert all(amount <= left[member] for member, amount in asked.items())
        left = {member: amount - asked.get(member, 0) for member, amount in left.items()}
        total += sum(asked.values())
    assert total == min(need, sum(uncalled.values()))


@given(own=amounts, gap=st.integers(0, 10**15), cap=st.integers(0, 10_000))
def test_a_make_up_call_covers_the_gap_as_far_as_the_caps_allow(own: dict[str, int], gap: int, cap: int) -> None:
    asked = make_up(gap, own, cap, {})
    assert all(amount <= own[member] * cap // 10_000 for member, amount in asked.items())
    assert sum(asked.values()) == min(gap, sum(amount * cap // 10_000 for amount in own.values()))


@pytest.mark.parametrize(("days", "owed"), [(-5, 0), (0, 0), (1, 22), (360, 8_000)])
def test_interest_is_simple_on_actual_days_of_a_year_of_360(days: int, owed: int) -> None:
    assert interest(100_000, 800, days) == owed
