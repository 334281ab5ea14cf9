"""The books of a funding round: every member's account, every call, every spending and refund.

The totals of all accounts stand beside them: `put` is the only way to change an account, so the totals are always
their sum and no command has to add up ten thousand members. `booking` says how each fact changes the books.

Everything here is a named tuple: with so many fields it is several times cheaper to copy than a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from operator import add as plus
from operator import sub as minus
from typing import Literal, NamedTuple

from domain.kernel import Digest, Map, MemberId, PersonId, Slug, mapping
from domain.round import events
from domain.round.terms import BoundUntil, Due, Purpose, Schedule, Settlement, Stage, Terms, Watch

# ---------------------------------------------------------------- the books


class Figures(NamedTuple):
    """One member's money in the round, or everybody's together. Each line only grows, but for those that say so.

    pledged = called + uncalled + cancelled; called = cleared + owed;
    received + earned + returned = cash + interest + credit + refunding + refunded + set_off.
    """

    pledged: int = 0
    """What the member bound itself to, what make-up calls added, and after the end what went back to it of money that the bank took back."""
    cancelled: int = 0
    """What of it ended: scaled back, released, taken over."""
    called: int = 0
    """Falls when a called amount is taken over or forgiven, and when a make-up call shrinks because its defaulter paid after all."""
    cash: int = 0
    """Money that settled calls. Falls when a payment is taken back, and by what of it came back from a make-up call."""
    in_kind: int = 0
    """Deliveries that settled calls."""
    interest: int = 0
    """Interest that the member paid."""
    earned: int = 0
    """Interest that others paid to the member."""
    credit: int = 0
    """The member's money that settled nothing: it pays the next call, or goes back. Falls by both."""
    refunding: int = 0
    """Credit on its way back, until the bank shows it. Falls by being refunded, or given up."""
    returned: int = 0
    """Cash that became credit when the round ended, and credit that went back to the member before the bank took its payment back."""
    received: int = 0
    """Falls when the bank takes a payment back; so does what it had cleared."""
    refunded: int = 0
    """Falls when a refund comes back."""
    set_off: int = 0
    """Credit that paid what the member owes elsewhere. Falls by what was more than it owed."""
    defaulted_owed: int = 0
    """While the member is in default: what is called and not paid; else nothing."""
    defaulted_uncalled: int = 0
    """While the member is in default: what is not called; else nothing."""

    @property
    def committed(self) -> int:
        """What the members are bound to."""
        return self.pledged - self.cancelled

    @property
    def uncalled(self) -> int:
        """What of it is still to be called."""
        return self.committed - self.called

    @property
    def cleared(self) -> int:
        """What has been paid of it, in money or in kind."""
        return self.cash + self.in_kind

    @property
    def owed(self) -> int:
        """What has been called and not paid, without interest."""
        return self.called - self.cleared

    @property
    def outstanding(self) -> int:
        """What is still to be brought, called or not."""
        return self.committed - self.cleared

    @property
    def sound(self) -> int:
        """Cleared, or still expected of members that are not in default."""
        return self.committed - self.defaulted_owed - self.defaulted_uncalled

    def __add__(self, other: Figures) -> Figures:  # type: ignore[override]  # sums, where a tuple would append
        return Figures._make(map(plus, self, other))


class TakenOver(NamedTuple):
    """So much of a commitment, and the number of the default of its member."""

    default: int
    amount: int


class Account(NamedTuple):
    """A member in the round."""

    figures: Figures = Figures()
    dues: tuple[Due, ...] = ()
    """What it owes, the oldest call first."""
    reference: str = ""
    """By which its money is known on statements."""
    in_default: bool = False
    defaults: int = 0
    """How often it was in default."""
    releases: int = 0
    """How often what it had committed and not yet paid ended, by exit or by leaving."""
    offered: int = 0
    """The value of deliveries that nobody judged yet."""
    taken_over: Map[MemberId, TakenOver] = mapping()
    """What it took over of whom, the last time."""
    applied: tuple[Settlement, ...] = ()
    """What its credit settled, the latest last."""
    late: bool = False
    """Whether it joined when the round was committed already."""
    bound: BoundUntil | None = None
    """Of a member that leaves: until when what it is not called for binds it."""
    bindings: int = 0
    """How often it was told that it is bound although it leaves."""
    ahead: int = 0
    """The value of accepted deliveries that belongs to tranches that are not called yet."""

    @property
    def still_bound(self) -> int:
        """What a member that leaves is still bound to and not called for."""
        return self.figures.uncalled if self.bound else 0

    @property
    def debt(self) -> int:
        """What the member owes, with the interest reckoned so far."""
        return sum(due.principal + due.interest for due in self.dues)


class Call(NamedTuple):
    """Members were asked to pay by a day."""

    number: int
    purpose: Purpose
    schedule: Schedule
    amounts: Map[MemberId, int]
    owing: Map[MemberId, int]
    """Who still owes on it, and the principal of it."""
    unpaid: int
    in_time: Map[MemberId, int] = mapping()
    """Who paid how much of it by the due day: these share the interest."""
    interest: int = 0
    """Interest that came in for them and is not shared yet; below nothing while some that was shared is taken back."""
    stage: Stage = Stage.NOTIFIED
    reopened: int = 0
    """How often its ladder started again."""
    carried: Map[MemberId, int] = mapping()
    """Of a tranche: what each was called for of it, by itself, to make up, to catch up, or had delivered before."""
    made_up: Map[MemberId, int] = mapping()
    """What was called of others instead of those who did not pay it, without what came back to them or lapsed."""
    given_back: Map[MemberId, int] = mapping()
    """What of it came back to them or lapsed, since late money came."""
    filled: int = 0
    """How much late money came in place of what they made up."""
    replaces: bool = False
    """Whether it calls a member that stands in for another."""

    @property
    def gap(self) -> int:
        """What nobody was called for yet instead of those who do not pay it."""
        return max(self.unpaid - sum(self.made_up.values()), 0)

    @property
    def label(self) -> str:
        """The call's name in the keys of what its ladder owes: another one each time that the ladder starts again."""
        return f"{self.number}-{self.reopened}" if self.reopened else f"{self.number}"

    def stage_at(self, at: datetime) -> Stage:
        """How far the ladder of somebody who owes has come at an instant; a default is declared, and does not come by itself."""
        waiting = (Stage.NOTIFIED, Stage.REMINDED, Stage.OVERDUE)
        return next((stage for stage in waiting if at < self.ends(stage)), Stage.WARNED)

    def pay_by(self, stage: Stage) -> date:
        """The last day on which a notice of this stage can be followed: the due day before it is over, then the day on which the rung ends."""
        ends = self.schedule.due_at if stage is Stage.NOTIFIED else self.ends(stage)
        return (ends - ends.resolution).date()

    def past(self, stage: Stage) -> bool:
        """Whether the ladder has gone on from this stage."""
        return _LADDER.index(self.stage) > _LADDER.index(stage)

    def ends(self, stage: Stage) -> datetime:
        """When the ladder goes on from this stage by itself; the last three end with the cure period."""
        match stage:
            case Stage.NOTIFIED:
                return self.schedule.remind_at
            case Stage.REMINDED:
                return self.schedule.due_at
            case Stage.OVERDUE:
                return self.schedule.warn_at
            case Stage.WARNED | Stage.DEFAULTED | Stage.CLEARED:
                return self.schedule.cure_ends_at


_LADDER = tuple(Stage)


class Spending(NamedTuple):
    """Money reserved for a payee: proposed by one person, approved by another, then paid."""

    line: str
    amount: int
    payee: str
    proposed_by: PersonId
    stage: Literal["proposed", "approved", "paid", "withdrawn"] = "proposed"


class Refund(NamedTuple):
    """Credit that was ordered back."""

    member: MemberId
    amount: int
    stage: Literal["ordered", "made", "released"] = "ordered"
    reason: str = ""
    """Why it was given up."""


class RefundOrder(NamedTuple):
    """Refunds that were ordered as one list, with the list's name at the treasury."""

    payment_list: Slug
    payments: tuple[Slug, ...]
    standing: bool = False
    """Whether the standing order gave it, and no person."""


class StandingOrder(NamedTuple):
    """The standing refund order: who approved it, and whether they are enough."""

    signed: frozenset[PersonId] = frozenset()
    approved: bool = False


class SetOff(NamedTuple):
    """Credit of a member that was asked for what it owes elsewhere."""

    member: MemberId
    debtor: str
    """The stream that it owes on."""
    number: int
    amount: int
    """What was asked while it waits; afterwards what was taken."""
    restored: int = 0
    """What of it was more than the member owed, and is its credit again."""
    waits: bool = False
    """Whether it waits until refunds to the member are made or given up."""


class Receipt(NamedTuple):
    """A member's payment that the bank has not taken back: what it settled, and what of it became credit."""

    member: MemberId
    amount: int
    settled: tuple[Settlement, ...]
    credited: int


class Movement(NamedTuple):
    """What a bank reference of this round stands for: whose money moved, or for which spending, and how much."""

    purpose: Literal["payment", "reversal", "refund", "refund-return", "spending", "spending-return"]
    whose: str
    amount: int


Delivery = events.InKindDelivered | events.InKindAccepted | events.InKindRejected


class Books(NamedTuple):
    """A round's money."""

    terms: Terms
    charter_version: int
    goal: int
    minimum: int
    budget: Map[str, int]
    """What each line may cost."""
    concentration: int = 0
    """The Herfindahl-Hirschman index at the close, in basis points, and the gauge above which it is too high."""
    gauge: int = 0
    default_interest: int | None = None
    """What waiting for a payment costs a year, in basis points; not known of a round that was committed under rules before 6."""
    accounts: Map[MemberId, Account] = mapping()
    totals: Figures = Figures()
    squares: int = 0
    """The sum of the squares of what each member is committed to."""
    released: frozenset[int] = frozenset()
    """The tranches whose milestone was accepted."""
    tranches: tuple[int, ...] = ()
    """The calls of the tranches called so far, in order."""
    calls: Map[int, Call] = mapping()
    running: tuple[int, ...] = ()
    """The calls whose ladder goes on by itself."""
    defaulted: tuple[int, ...] = ()
    """The calls whose default was declared, and on which somebody still owes."""
    deliveries: Map[Digest, Delivery] = mapping()
    """By the evidence: what was said to be delivered, or how it was judged."""
    spendings: Map[Slug, Spending] = mapping()
    lines: Map[str, int] = mapping()
    """What each budget line has reserved and spent."""
    reserved: int = 0
    spent: int = 0
    refunds: Map[Slug, Refund] = mapping()
    refund_orders: Map[int, RefundOrder] = mapping()
    """By their numbers."""
    set_offs: Map[str, SetOff] = mapping()
    """By the stream that the member owes on, and the number of the set-off there."""
    movements: Map[str, Movement] = mapping()
    receipts: Map[str, Receipt] = mapping()
    """The payments that stand, by their bank reference."""
    gone: Map[str, str] = mapping()
    """The references of payments that were taken back before they came, and of what took them back."""
    carried: Map[MemberId, int] = mapping()
    """Once the round is cancelled, or a payment was taken back after its end: in which proportion members bear what was spent."""
    ended_on: date | None = None
    """The day of its end; not known of a round that ended under rules before 6."""
    shortfalls: int = 0
    """How often the minimum was lost."""
    watch: Watch | None = None
    """Over the duty that was waited for last; none where the charter lets it wait for ever."""
    standing: StandingOrder = StandingOrder()

    @classmethod
    def of(cls, terms: Terms, charter_version: int) -> Books:
        """The books of a round before anything was committed."""
        budget = mapping({line.name: line.amount for line in terms.budget})
        return cls(terms, charter_version, terms.goal, terms.minimum, budget)

    @property
    def ordered(self) -> int:
        """What is ordered of the treasury and not paid yet."""
        return sum(spending.amount for spending in self.spendings.values() if spending.stage == "approved")

    @property
    def held(self) -> int:
        """What is on the account for this round."""
        return self.totals.received - self.totals.refunded - self.totals.set_off - self.spent

    @property
    def free(self) -> int:
        """What is on the account for this round and not on its way back."""
        return self.held - self.totals.refunding

    @property
    def unreserved(self) -> int:
        """What of that is not earmarked for spending."""
        return self.free - self.reserved

    @property
    def spendable(self) -> int:
        """Cleared money that is neither spent nor reserved nor given back; below nothing after a payment was taken back that is."""
        return self.totals.cash - self.totals.returned - self.spent - self.reserved - self.advanced

    @property
    def advanced(self) -> int:
        """Interest that was shared and then taken back: cleared money stands in for it until it is paid again."""
        return sum(max(-self.calls[number].interest, 0) for number in self.pools)

    @property
    def pools(self) -> tuple[int, ...]:
        """The calls whose punctual payers share interest: those of tranches, and what a leaver is charged before the first of them."""
        before = self.tranches[0] if self.tranches else len(self.calls) + 1
        early = (number for number in range(1, before) if self.calls[number].purpose is Purpose.LEAVING)
        return (*early, *self.tranches)

    @property
    def soundly_called(self) -> int:
        """What is paid, or called of members that are not in default."""
        return self.totals.called - self.totals.defaulted_owed

    @property
    def all_called(self) -> bool:
        """Whether no tranche is left to be called: each was, or what is soundly called reaches the goal."""
        return len(self.tranches) == len(self.terms.tranches) or self.soundly_called >= self.goal

    @property
    def room(self) -> int:
        """What of the goal nobody soundly stands for."""
        return max(self.goal - self.totals.sound, 0)

    @property
    def overdue(self) -> int:
        """What is called, not paid, and past its due day."""
        late = (call for call in map(self.calls.__getitem__, self.running) if call.stage in {Stage.OVERDUE, Stage.WARNED})
        return sum(call.unpaid for call in late) + sum(self.calls[number].unpaid for number in self.defaulted)


# ---------------------------------------------------------------- changing an account


def put(books: Books, member: MemberId, account: Account) -> Books:
    """The books with this account; the totals change by exactly what the account changed."""
    figures = account.figures
    owed, uncalled = (figures.owed, figures.uncalled) if account.in_default else (0, 0)
    if (figures.defaulted_owed, figures.defaulted_uncalled) != (owed, uncalled):
        figures = figures._replace(defaulted_owed=owed, defaulted_uncalled=uncalled)
        account = account._replace(figures=figures)
    former = books.accounts[member].figures if member in books.accounts else Figures()
    return books._replace(
        accounts=books.accounts.set(member, account),
        totals=Figures._make(map(plus, books.totals, map(minus, figures, former))),
        squares=books.squares + figures.committed**2 - former.committed**2,
    )


def add(books: Books, member: MemberId, change: Figures) -> Books:
    """The books with this change to a member's figures."""
    account = books.accounts.get(member, Account())
    return put(books, member, account._replace(figures=account.figures + change))


# ---------------------------------------------------------------- by state


def by_state(figures: Figures) -> Mapping[str, int]:
    """Money by the name of its state."""
    return {
        "pledged": figures.pledged,
        "released": figures.cancelled,
        "committed": figures.committed,
        "uncalled": figures.uncalled,
        "called": figures.called,
        "cleared": figures.cleared,
        "in_kind": figures.in_kind,
        "in_default": figures.defaulted_owed + figures.defaulted_uncalled,
        "interest": figures.interest,
        "credit": figures.credit,
        "refunding": figures.refunding,
        "received": figures.received,
        "refunded": figures.refunded,
        "set_off": figures.set_off,
    }
