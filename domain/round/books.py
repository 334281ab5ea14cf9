"""The books of a funding round: every member's account, every call, and how each fact changes them.

The totals of all accounts are kept beside them: `put` is the only way to change an account, so the totals are always
their sum and no command has to add up ten thousand members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Literal

from domain.kernel import Digest, Map, MemberId, PersonId, Slug, mapping
from domain.round import events
from domain.round.terms import Due, Purpose, Schedule, Settlement, Stage, Terms

# ---------------------------------------------------------------- the books


@dataclass(frozen=True, slots=True)
class Figures:
    """One member's money in the round, or everybody's together. Each line only grows, but for those that say so.

    pledged = called + uncalled + cancelled; called = cleared + owed;
    received + earned + returned = cash + interest + credit + refunding + refunded.
    """

    pledged: int = 0
    """What the member bound itself to, and what make-up calls added."""
    cancelled: int = 0
    """What of it ended: scaled back, released, taken over."""
    called: int = 0
    """Falls when a called amount is taken over or forgiven."""
    cash: int = 0
    """Money that settled calls."""
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
    """Cash that became credit when the round ended."""
    received: int = 0
    """Falls when the bank takes a payment back; so does what it had cleared."""
    refunded: int = 0
    """Falls when a refund comes back."""
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

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, name) + getattr(other, name) for name in _FIGURES))

    def __sub__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, name) - getattr(other, name) for name in _FIGURES))


_FIGURES = tuple(item.name for item in fields(Figures))


@dataclass(frozen=True, slots=True)
class TakenOver:
    """So much of a commitment, in the so many-th default of its member."""

    default: int
    amount: int


@dataclass(frozen=True, slots=True)
class Account:
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
    ahead: int = 0
    """The value of accepted deliveries that belongs to tranches that are not called yet."""

    @property
    def debt(self) -> int:
        """What the member owes, with the interest reckoned so far."""
        return sum(due.principal + due.interest for due in self.dues)


@dataclass(frozen=True, slots=True)
class Call:
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
    """What was called of others in the stead of who did not pay it."""

    @property
    def gap(self) -> int:
        """What nobody was called for yet in the stead of who does not pay it."""
        return max(self.unpaid - sum(self.made_up.values()), 0)

    @property
    def label(self) -> str:
        """The call's name in the keys of what its ladder owes: another one each time that the ladder starts again."""
        return f"{self.number}-{self.reopened}" if self.reopened else f"{self.number}"

    def stage_at(self, at: datetime) -> Stage:
        """How far the ladder of somebody who owes has come at an instant; a default is declared, and does not come by itself."""
        waiting = (Stage.NOTIFIED, Stage.REMINDED, Stage.OVERDUE)
        return next((stage for stage in waiting if at < self.ends(stage)), Stage.WARNED)

    def past(self, stage: Stage) -> bool:
        """Whether the ladder has gone on from this stage."""
        return _LADDER.index(self.stage) > _LADDER.index(stage)

    def ends(self, stage: Stage) -> datetime:
        """When the ladder goes on from this stage by itself; the last two end with the cure period."""
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


@dataclass(frozen=True, slots=True)
class Spending:
    """Money reserved for a payee: proposed by one person, approved by another, then paid."""

    line: str
    amount: int
    payee: str
    proposed_by: PersonId
    stage: Literal["proposed", "approved", "paid", "withdrawn"] = "proposed"


@dataclass(frozen=True, slots=True)
class Refund:
    """Credit that was ordered back."""

    member: MemberId
    amount: int
    stage: Literal["ordered", "made", "released"] = "ordered"
    reason: str = ""
    """Why it was given up."""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Refunds that were ordered as one list, with the list's name at the treasury."""

    payment_list: Slug
    payments: tuple[Slug, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A member's payment that the bank has not taken back: what it settled, and what of it became credit."""

    member: MemberId
    amount: int
    settled: tuple[Settlement, ...]
    credited: int


@dataclass(frozen=True, slots=True)
class Movement:
    """What a bank reference of this round stands for: whose money moved, or for which spending, and how much."""

    purpose: Literal["payment", "reversal", "refund", "refund-return", "spending", "spending-return"]
    whose: str
    amount: int


Delivery = events.InKindDelivered | events.InKindAccepted | events.InKindRejected


@dataclass(frozen=True, slots=True)
class Books:
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
    movements: Map[str, Movement] = mapping()
    receipts: Map[str, Receipt] = mapping()
    """The payments that stand, by their bank reference."""
    gone: Map[str, str] = mapping()
    """The references of payments that were taken back before they came, and of what took them back."""
    shortfalls: int = 0
    """How often the minimum was lost."""

    @classmethod
    def of(cls, terms: Terms, charter_version: int) -> Books:
        """The books of a round before anything was committed."""
        budget = mapping({line.name: line.amount for line in terms.budget})
        return cls(terms, charter_version, terms.goal, terms.minimum, budget)

    @property
    def held(self) -> int:
        """What is on the account for this round."""
        return self.totals.received - self.totals.refunded - self.spent

    @property
    def spendable(self) -> int:
        """Cleared money that is neither spent nor reserved nor given back; below nothing after a payment was taken back that is."""
        return self.totals.cash - self.totals.returned - self.spent - self.reserved - self.advanced

    @property
    def advanced(self) -> int:
        """Interest that was shared and then taken back: cleared money stands in for it until it is paid again."""
        return sum(max(-self.calls[number].interest, 0) for number in self.tranches)

    @property
    def soundly_called(self) -> int:
        """What is paid, or called of members that are not in default."""
        return self.totals.called - self.totals.defaulted_owed

    @property
    def room(self) -> int:
        """What of the goal nobody soundly stands for."""
        return max(self.goal - self.totals.sound, 0)

    @property
    def overdue(self) -> int:
        """What is called, not paid, and past its due day."""
        late = (call for call in map(self.calls.__getitem__, self.running) if call.stage in {Stage.OVERDUE, Stage.WARNED})
        return sum(call.unpaid for call in late) + sum(self.calls[number].unpaid for number in self.defaulted)


# ---------------------------------------------------------------- the fold

Booked = (
    events.TrancheReleased
    | events.CreditApplied
    | events.PaymentRecorded
    | events.PaymentReversed
    | events.ReversalTurnedAway
    | events.CallReopened
    | events.CallReminded
    | events.CallOverdue
    | events.CallWarned
    | events.CallDefaulted
    | events.CallCleared
    | events.MemberDefaulted
    | events.DefaultCured
    | events.InterestShared
    | events.InKindDelivered
    | events.InKindAccepted
    | events.InKindRejected
    | events.LateJoinerCommitted
    | events.CommitmentTakenOver
    | events.CommitmentReleased
    | events.GoalReduced
    | events.SpendingProposed
    | events.SpendingApproved
    | events.SpendingWithdrawn
    | events.SpendingPaid
    | events.SpendingReturned
    | events.SurplusReturned
    | events.RefundOrdered
    | events.RefundsOrdered
    | events.RefundMade
    | events.RefundReturned
    | events.RefundReleased
)
"""Facts that change the books and not the phase."""


def booked(books: Books, event: Booked) -> Books:
    """The books after a fact."""
    match event:
        case events.TrancheReleased(tranche=tranche):
            return replace(books, released=books.released | {tranche})
        case events.CreditApplied(member=member, settled=settled, dues=dues):
            principal, interest = _sums(settled)
            books = _settled(books, member, settled, dues)
            books = put(books, member, replace(books.accounts[member], applied=(*books.accounts[member].applied, *settled)))
            return add(books, member, Figures(cash=principal, interest=interest, credit=-principal - interest))
        case events.PaymentRecorded(member=member, amount=amount, reference=reference, settled=settled, dues=dues, credited=credited):
            principal, interest = _sums(settled)
            books = _settled(books, member, settled, dues)
            books = add(books, member, Figures(cash=principal, interest=interest, credit=credited, received=amount))
            books = replace(books, receipts=books.receipts.set(reference, Receipt(member, amount, settled, credited)))
            return _moved(books, reference, Movement("payment", member, amount))
        case events.PaymentReversed():
            return _reversed(books, event)
        case events.ReversalTurnedAway(reference=reference, original=original):
            return replace(books, gone=books.gone.set(original, reference))
        case events.CallReopened(call=number, stage=stage):
            call = books.calls[number]
            books = _kept(_without(books, number), replace(call, stage=stage, reopened=call.reopened + 1))
            return replace(books, running=(*books.running, number))
        case events.CallReminded(call=number):
            return _staged(books, number, Stage.REMINDED)
        case events.CallOverdue(call=number):
            return _staged(books, number, Stage.OVERDUE)
        case events.CallWarned(call=number):
            return _staged(books, number, Stage.WARNED)
        case events.CallDefaulted(call=number):
            return _staged(books, number, Stage.DEFAULTED)
        case events.CallCleared(call=number):
            return _staged(books, number, Stage.CLEARED)
        case events.MemberDefaulted(member=member):
            return put(books, member, replace(books.accounts[member], in_default=True, defaults=books.accounts[member].defaults + 1))
        case events.DefaultCured(member=member):
            return put(books, member, replace(books.accounts[member], in_default=False))
        case events.InterestShared(call=number, credits=credits):
            for member, amount in credits.items():
                books = add(books, member, Figures(earned=amount, credit=amount))
            call = books.calls[number]
            return _kept(books, replace(call, interest=call.interest - sum(credits.values())))
        case events.InKindDelivered(member=member, value=value):
            return _delivered(_offered(books, member, value), event)
        case events.InKindAccepted(member=member, evidence=evidence, value=value, settled=settled, dues=dues):
            books = _offered(books, member, -_offer(books, evidence))
            books = _settled(_delivered(books, event), member, settled, dues)
            ahead = value - _sums(settled)[0]
            books = put(books, member, replace(books.accounts[member], ahead=books.accounts[member].ahead + ahead))
            return add(books, member, Figures(called=ahead, in_kind=value))
        case events.InKindRejected(member=member, evidence=evidence):
            return _delivered(_offered(books, member, -_offer(books, evidence)), event)
        case events.LateJoinerCommitted(member=member, amount=amount):
            books = add(books, member, Figures(pledged=amount))
            return put(books, member, replace(books.accounts[member], late=True))
        case events.CommitmentTakenOver(member=member, defaulter=defaulter, amount=amount, settled=settled, dues=dues):
            books = _carried(_settled(books, defaulter, settled, dues), defaulter, settled, -1)
            books = add(books, defaulter, Figures(called=-_sums(settled)[0], cancelled=amount))
            books = add(books, member, Figures(pledged=amount))
            account = books.accounts[member]
            taken = TakenOver(books.accounts[defaulter].defaults, amount)
            return put(books, member, replace(account, taken_over=account.taken_over.set(defaulter, taken)))
        case events.CommitmentReleased(member=member, uncalled=uncalled, settled=settled, dues=dues):
            forgiven = _sums(settled)[0]
            books = _carried(_settled(books, member, settled, dues), member, settled, -1)
            books = add(books, member, Figures(called=-forgiven, cancelled=uncalled + forgiven))
            account = books.accounts[member]
            return put(books, member, replace(account, releases=account.releases + 1))
        case events.GoalReduced(goal=goal, minimum=minimum, budget=budget, cancelled=cancelled):
            for member, amount in cancelled.items():
                books = add(books, member, Figures(cancelled=amount))
            lines = {line.name: amount for line, amount in zip(books.terms.budget, budget, strict=True)}
            return replace(books, goal=goal, minimum=minimum, budget=mapping(lines))
        case events.SpendingProposed(spending=spending, line=line, amount=amount, payee=payee, by=by):
            return _reserved(books, spending, Spending(line, amount, payee, by), amount)
        case events.SpendingApproved(spending=spending):
            return replace(books, spendings=books.spendings.set(spending, replace(books.spendings[spending], stage="approved")))
        case events.SpendingWithdrawn(spending=spending):
            known = books.spendings[spending]
            return _reserved(books, spending, replace(known, stage="withdrawn"), -known.amount)
        case events.SpendingPaid(spending=spending, reference=reference):
            known = books.spendings[spending]
            books = replace(books, reserved=books.reserved - known.amount, spent=books.spent + known.amount)
            books = replace(books, spendings=books.spendings.set(spending, replace(known, stage="paid")))
            return _moved(books, reference, Movement("spending", spending, known.amount))
        case events.SpendingReturned(spending=spending, reference=reference):
            known = books.spendings[spending]
            books = replace(books, reserved=books.reserved + known.amount, spent=books.spent - known.amount)
            books = replace(books, spendings=books.spendings.set(spending, replace(known, stage="approved")))
            return _moved(books, reference, Movement("spending-return", spending, known.amount))
        case events.SurplusReturned(returns=returns):
            for member, amount in returns.items():
                books = add(books, member, Figures(credit=amount, returned=amount))
            return books
        case events.RefundOrdered(payment=payment, member=member, amount=amount):
            return _refund(add(books, member, Figures(credit=-amount, refunding=amount)), payment, Refund(member, amount))
        case events.RefundsOrdered(order=order, payment_list=payment_list, payments=payments):
            return replace(books, refund_orders=books.refund_orders.set(order, RefundOrder(payment_list, payments)))
        case events.RefundMade(payment=payment, member=member, amount=amount, reference=reference):
            if payment is None:
                books = add(books, member, Figures(credit=-amount, refunded=amount))
                return _moved(books, reference, Movement("refund", member, amount))
            books = _refund(add(books, member, Figures(refunding=-amount, refunded=amount)), payment, Refund(member, amount, "made"))
            return _moved(books, reference, Movement("refund", payment, amount))
        case events.RefundReturned(payment=payment, member=member, amount=amount, reference=reference):
            books = _refund(add(books, member, Figures(refunding=amount, refunded=-amount)), payment, Refund(member, amount))
            return _moved(books, reference, Movement("refund-return", payment, amount))
        case events.RefundReleased(payment=payment, member=member, amount=amount, reason=reason):
            books = add(books, member, Figures(credit=amount, refunding=-amount))
            return _refund(books, payment, Refund(member, amount, "released", reason))


def put(books: Books, member: MemberId, account: Account) -> Books:
    """The books with this account; the totals change by exactly what the account changed."""
    mine = account.figures
    if account.in_default:
        mine = replace(mine, defaulted_owed=mine.owed, defaulted_uncalled=mine.uncalled)
    elif mine.defaulted_owed or mine.defaulted_uncalled:
        mine = replace(mine, defaulted_owed=0, defaulted_uncalled=0)
    former = books.accounts.get(member)
    totals = books.totals + mine if former is None else books.totals + (mine - former.figures)
    squares = books.squares + mine.committed**2 - (former.figures.committed**2 if former else 0)
    return replace(books, accounts=books.accounts.set(member, replace(account, figures=mine)), totals=totals, squares=squares)


def add(books: Books, member: MemberId, change: Figures) -> Books:
    """The books with this change to a member's figures."""
    account = books.accounts.get(member, Account())
    return put(books, member, replace(account, figures=account.figures + change))


def _sums(settled: Iterable[Settlement]) -> tuple[int, int]:
    settled = tuple(settled)
    return sum(part.principal for part in settled), sum(part.interest for part in settled)


def _settled(books: Books, member: MemberId, settled: Sequence[Settlement], dues: tuple[Due, ...]) -> Books:
    """Dues got smaller: so does what their calls miss; interest goes to the pool of who paid in time."""
    for part in settled:
        call = books.calls[part.call]
        owing = call.owing.set(member, call.owing[member] - part.principal)
        in_time = call.in_time
        if part.in_time and part.pool == part.call and part.principal:
            in_time = in_time.set(member, in_time.get(member, 0) + part.principal)
        books = _kept(books, replace(call, owing=owing, unpaid=call.unpaid - part.principal, in_time=in_time))
        pool = books.calls[part.pool]
        books = _kept(books, replace(pool, interest=pool.interest + part.interest))
    left = {due.call for due in dues}
    for number in {part.call for part in settled} - left:
        call = books.calls[number]
        books = _kept(books, replace(call, owing=call.owing.delete(member)))
    return put(books, member, replace(books.accounts[member], dues=dues))


def _reversed(books: Books, event: events.PaymentReversed) -> Books:
    """What the payment had settled is owed again, on the same calls; interest leaves the pool, also what was shared of it."""
    member, uncleared = event.member, event.uncleared
    gone = Figures(cash=-uncleared, interest=-event.interest, credit=-event.credit, received=-event.amount)
    if event.undone:
        books = _unsettled(books, event)
    else:
        books, gone = _late(books, member, uncleared), gone + Figures(called=-uncleared)
    books = replace(books, receipts=books.receipts.delete(event.original))
    return _moved(add(books, member, gone), event.reference, Movement("reversal", member, event.amount))


def _unsettled(books: Books, event: events.PaymentReversed) -> Books:
    member = event.member
    for part in event.undone:
        call = books.calls[part.call]
        in_time = call.in_time
        if part.in_time and part.pool == part.call and part.principal:
            left = max(in_time.get(member, 0) - part.principal, 0)
            in_time = _amount(in_time, member, left)
        owing = call.owing.set(member, call.owing.get(member, 0) + part.principal)
        books = _kept(books, replace(call, owing=owing, unpaid=call.unpaid + part.principal, in_time=in_time))
        pool = books.calls[part.pool]
        books = _kept(books, replace(pool, interest=pool.interest - part.interest))
    return put(books, member, replace(books.accounts[member], dues=event.dues, applied=event.applied))


def called(books: Books, event: events.TrancheCalled | events.MakeUpCalled | events.CatchUpCalled) -> Books:
    """The books after a call: each called member owes its part."""
    dues = _charged(event)
    owing = {member: sum(due.principal for due in mine) for member, mine in dues.items()}
    for member, mine in dues.items():
        account = books.accounts[member]
        added = owing[member] if isinstance(event, events.MakeUpCalled) else 0
        figures = account.figures + Figures(pledged=added, called=owing[member])
        books = put(books, member, replace(account, figures=figures, dues=(*account.dues, *mine)))
    call = Call(event.call, _purpose(event), event.schedule, mapping(owing), mapping(owing), sum(owing.values()))
    if isinstance(event, events.TrancheCalled):
        carried = {**event.delivered} | {member: amount + event.delivered.get(member, 0) for member, amount in owing.items()}
        call = replace(call, in_time=mapping(event.delivered), carried=mapping(carried))
        for member, amount in event.delivered.items():
            books = put(books, member, replace(books.accounts[member], ahead=books.accounts[member].ahead - amount))
    tranches = (*books.tranches, event.call) if isinstance(event, events.TrancheCalled) else books.tranches
    if isinstance(event, events.MakeUpCalled):
        pool = books.calls[event.pool]
        made_up = {member: amount + pool.made_up.get(member, 0) for member, amount in event.amounts.items()}
        books = _kept(books, replace(pool, made_up=pool.made_up.update(made_up)))
    books = replace(_kept(books, call), running=(*books.running, event.call), tranches=tranches)
    if not isinstance(event, events.TrancheCalled):
        for member, mine in dues.items():
            books = _carried(books, member, mine, 1)
    return books


def _charged(event: events.TrancheCalled | events.MakeUpCalled | events.CatchUpCalled) -> Mapping[MemberId, tuple[Due, ...]]:
    match event:
        case events.TrancheCalled(call=number, amounts=amounts, schedule=plan):
            return {member: (_due(number, number, amount, plan),) for member, amount in amounts.items()}
        case events.MakeUpCalled(call=number, pool=pool, amounts=amounts, schedule=plan):
            return {member: (_due(number, pool, amount, plan),) for member, amount in amounts.items()}
        case events.CatchUpCalled(member=member, dues=dues):
            return {member: dues}


def _carried(books: Books, member: MemberId, parts: Iterable[Due | Settlement], sign: Literal[1, -1]) -> Books:
    """The member carries so much more, or less, of the tranches that these parts belong to."""
    for part in parts:
        pool = books.calls[part.pool]
        carried = _amount(pool.carried, member, pool.carried.get(member, 0) + sign * part.principal)
        books = _kept(books, replace(pool, carried=carried))
    return books


def _purpose(event: events.TrancheCalled | events.MakeUpCalled | events.CatchUpCalled) -> Purpose:
    match event:
        case events.TrancheCalled():
            return Purpose.TRANCHE
        case events.MakeUpCalled():
            return Purpose.MAKE_UP
        case events.CatchUpCalled():
            return Purpose.CATCH_UP


def _due(number: int, pool: int, amount: int, schedule: Schedule) -> Due:
    return Due(call=number, pool=pool, principal=amount, interest=0, accrued_to=schedule.due_on)


def _amount(amounts: Map[MemberId, int], member: MemberId, amount: int) -> Map[MemberId, int]:
    """The amounts with this one; nobody is kept with nothing."""
    if amount:
        return amounts.set(member, amount)
    return amounts.delete(member) if member in amounts else amounts


def _kept(books: Books, call: Call) -> Books:
    return replace(books, calls=books.calls.set(call.number, call))


def _staged(books: Books, number: int, stage: Stage) -> Books:
    books = _kept(books, replace(books.calls[number], stage=stage))
    match stage:
        case Stage.DEFAULTED:
            books = _without(books, number)
            return replace(books, defaulted=(*books.defaulted, number))
        case Stage.CLEARED:
            return _without(books, number)
        case Stage.NOTIFIED | Stage.REMINDED | Stage.OVERDUE | Stage.WARNED:
            return books


def _without(books: Books, number: int) -> Books:
    """The call neither runs nor is in default."""
    running, defaulted = (tuple(call for call in calls if call != number) for calls in (books.running, books.defaulted))
    return replace(books, running=running, defaulted=defaulted)


def _offer(books: Books, evidence: str) -> int:
    delivery = books.deliveries[evidence]
    assert isinstance(delivery, events.InKindDelivered)
    return delivery.value


def _offered(books: Books, member: MemberId, change: int) -> Books:
    account = books.accounts[member]
    return put(books, member, replace(account, offered=account.offered + change))


def _delivered(books: Books, delivery: Delivery) -> Books:
    return replace(books, deliveries=books.deliveries.set(delivery.evidence, delivery))


def _reserved(books: Books, name: Slug, spending: Spending, amount: int) -> Books:
    lines = books.lines.set(spending.line, books.lines.get(spending.line, 0) + amount)
    return replace(books, spendings=books.spendings.set(name, spending), lines=lines, reserved=books.reserved + amount)


def _refund(books: Books, payment: Slug, refund: Refund) -> Books:
    return replace(books, refunds=books.refunds.set(payment, refund))


def _late(books: Books, member: MemberId, amount: int) -> Books:
    """So much of what the member paid in time was not paid after all: it shares no interest for it, the latest call first."""
    for number in reversed(books.tranches):
        call = books.calls[number]
        part = min(amount, call.in_time.get(member, 0))
        if part:
            left = call.in_time[member] - part
            in_time = _amount(call.in_time, member, left)
            books, amount = _kept(books, replace(call, in_time=in_time)), amount - part
    return books


def _moved(books: Books, reference: str, movement: Movement) -> Books:
    return replace(books, movements=books.movements.set(reference, movement))


def ended(books: Books, returns: Mapping[MemberId, int]) -> Books:
    """Nothing is owed and nothing will be called any more; what is neither spent nor ordered is the members' credit."""
    for member, account in books.accounts.items():
        mine, back = account.figures, returns.get(member, 0)
        released = Figures(cancelled=mine.outstanding, called=-mine.owed, credit=back, returned=back)
        books = put(books, member, replace(account, figures=mine + released, dues=(), in_default=False))
    ordered = sum(spending.amount for spending in books.spendings.values() if spending.stage == "approved")
    return replace(books, running=(), defaulted=(), reserved=ordered)


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
    }
