"""How each fact changes the books of a funding round, topic by topic. It copies what the event says, and judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from domain.kernel import Digest, Map, MemberId, Slug, mapping
from domain.round import events
from domain.round.books import (
    Account,
    Books,
    Call,
    Delivery,
    Figures,
    Movement,
    Receipt,
    Refund,
    RefundOrder,
    SetOff,
    Spending,
    TakenOver,
    add,
    put,
)
from domain.round.terms import CallNumber, Due, Purpose, Schedule, Settlement, Stage


def book(books: Books, event: events.BooksEvent) -> Books:
    """The books after a fact that changes them and not the phase. Payments are the most frequent, so they come first."""
    if isinstance(event, events.PaymentEvent):
        return _book_payment(books, event)
    if isinstance(event, events.LadderEvent):
        return _book_ladder(books, event)
    if isinstance(event, events.CommitmentEvent):
        return _book_commitment(books, event)
    if isinstance(event, events.InKindEvent):
        return _book_in_kind(books, event)
    if isinstance(event, events.SpendingEvent):
        return _book_spending(books, event)
    if isinstance(event, events.DutyEvent):
        return books if isinstance(event, events.DutyTaken) else books._replace(watch=event.watch)
    if isinstance(event, events.SetOffEvent):
        return _book_set_off(books, event)
    return _book_refund(books, event)


# ---------------------------------------------------------------- calls


def charge(books: Books, event: events.CallEvent) -> Books:
    """The books after a call: each called member owes its part."""
    dues = _dues_of(event)
    owing = {member: sum(due.principal for due in charged) for member, charged in dues.items()}
    for member, charged in dues.items():
        account = books.accounts[member]
        added = owing[member] if isinstance(event, events.MakeUpCalled) else 0
        figures = account.figures + Figures(pledged=added, called=owing[member])
        books = put(books, member, account._replace(figures=figures, dues=(*account.dues, *charged)))
    call = Call(
        event.call, _purpose_of(event), event.schedule, mapping(owing), mapping(owing), sum(owing.values()), replaces=_replaces(event)
    )
    books = books._replace(calls=books.calls.set(call.number, call), running=(*books.running, call.number))
    match event:
        case events.TrancheCalled(delivered=delivered):
            return _count_delivered(books._replace(tranches=(*books.tranches, call.number)), call, owing, delivered)
        case events.MakeUpCalled(pool=number, amounts=amounts):
            pool = books.calls[number]
            made_up = {member: amount + pool.made_up.get(member, 0) for member, amount in amounts.items()}
            books = _with_call(books, pool._replace(made_up=pool.made_up.update(made_up)))
        case events.CatchUpCalled() | events.LeavingCharged():
            pass
    return books._replace(calls=_carry(books.calls, dues, 1))


def _dues_of(event: events.CallEvent) -> Mapping[MemberId, tuple[Due, ...]]:
    match event:
        case events.TrancheCalled(call=number, amounts=amounts, schedule=plan):
            return {member: (_due(number, number, amount, plan),) for member, amount in amounts.items()}
        case events.MakeUpCalled(call=number, pool=pool, amounts=amounts, schedule=plan):
            return {member: (_due(number, pool, amount, plan),) for member, amount in amounts.items()}
        case events.CatchUpCalled(member=member, dues=dues):
            return {member: dues}
        case events.LeavingCharged(call=number, pool=pool, member=member, amount=amount, schedule=plan):
            return {member: (_due(number, pool, amount, plan),)}


def _replaces(event: events.CallEvent) -> bool:
    return isinstance(event, events.CatchUpCalled) and event.replaces is not None


def _due(number: CallNumber, pool: CallNumber, amount: int, schedule: Schedule) -> Due:
    return Due(call=number, pool=pool, principal=amount, interest=0, accrued_to=schedule.due_on)


def _purpose_of(event: events.CallEvent) -> Purpose:
    match event:
        case events.TrancheCalled():
            return Purpose.TRANCHE
        case events.MakeUpCalled():
            return Purpose.MAKE_UP
        case events.CatchUpCalled():
            return Purpose.CATCH_UP
        case events.LeavingCharged():
            return Purpose.LEAVING


def _count_delivered(books: Books, call: Call, owing: Mapping[MemberId, int], delivered: Mapping[MemberId, int]) -> Books:
    """What members had delivered of a tranche before it was called counts as paid in time."""
    carried = {**delivered} | {member: amount + delivered.get(member, 0) for member, amount in owing.items()}
    books = _with_call(books, call._replace(in_time=mapping(delivered), carried=mapping(carried)))
    for member, amount in delivered.items():
        account = books.accounts[member]
        books = put(books, member, account._replace(ahead=account.ahead - amount))
    return books


def _carry(calls: Map[int, Call], parts: Mapping[MemberId, Iterable[Due | Settlement]], sign: Literal[1, -1]) -> Map[int, Call]:
    """Each member carries so much more, or less, of the tranches that its parts belong to."""
    for member, each in parts.items():
        for part in each:
            pool = calls[part.pool]
            carried = _with_amount(pool.carried, member, pool.carried.get(member, 0) + sign * part.principal)
            calls = calls.set(part.pool, pool._replace(carried=carried))
    return calls


def _with_call(books: Books, call: Call) -> Books:
    return books._replace(calls=books.calls.set(call.number, call))


def _with_amount(amounts: Map[MemberId, int], member: MemberId, amount: int) -> Map[MemberId, int]:
    """The amounts with this one; there is no entry for nothing."""
    if amount:
        return amounts.set(member, amount)
    return amounts.delete(member) if member in amounts else amounts


# ---------------------------------------------------------------- the ladder of a call


def _book_ladder(books: Books, event: events.LadderEvent) -> Books:
    match event:
        case events.CallReminded(call=number):
            return _at_stage(books, number, Stage.REMINDED)
        case events.CallOverdue(call=number):
            return _at_stage(books, number, Stage.OVERDUE)
        case events.CallWarned(call=number):
            return _at_stage(books, number, Stage.WARNED)
        case events.CallDefaulted(call=number):
            books = _stopped(_at_stage(books, number, Stage.DEFAULTED), number)
            return books._replace(defaulted=(*books.defaulted, number))
        case events.CallCleared(call=number):
            return _stopped(_at_stage(books, number, Stage.CLEARED), number)
        case events.CallReopened(call=number, stage=stage):
            call = books.calls[number]
            books = _with_call(_stopped(books, number), call._replace(stage=stage, reopened=call.reopened + 1))
            return books._replace(running=(*books.running, number))
        case events.MemberDefaulted(member=member):
            account = books.accounts[member]
            return put(books, member, account._replace(in_default=True, defaults=account.defaults + 1))
        case events.DefaultCured(member=member):
            return put(books, member, books.accounts[member]._replace(in_default=False))


def _at_stage(books: Books, number: CallNumber, stage: Stage) -> Books:
    return _with_call(books, books.calls[number]._replace(stage=stage))


def _stopped(books: Books, number: CallNumber) -> Books:
    """The call neither runs nor is in default."""
    running, defaulted = (tuple(call for call in calls if call != number) for calls in (books.running, books.defaulted))
    return books._replace(running=running, defaulted=defaulted)


# ---------------------------------------------------------------- payments, credit and interest


def _book_payment(books: Books, event: events.PaymentEvent) -> Books:
    match event:
        case events.PaymentRecorded(member=member, amount=amount, reference=reference, settled=settled, dues=dues, credited=credited):
            principal, interest = _sums(settled)
            account = books.accounts[member]
            figures = account.figures + Figures(cash=principal, interest=interest, credit=credited, received=amount)
            books = books._replace(
                calls=_settle_calls(books.calls, member, settled, dues),
                receipts=books.receipts.set(reference, Receipt(member, amount, settled, credited)),
                movements=books.movements.set(reference, Movement("payment", member, amount)),
            )
            return put(books, member, account._replace(figures=figures, dues=dues))
        case events.CreditApplied(member=member, settled=settled, dues=dues):
            principal, interest = _sums(settled)
            account = books.accounts[member]
            figures = account.figures + Figures(cash=principal, interest=interest, credit=-principal - interest)
            books = books._replace(calls=_settle_calls(books.calls, member, settled, dues))
            return put(books, member, account._replace(figures=figures, dues=dues, applied=(*account.applied, *settled)))
        case events.PaymentReversed():
            return _reverse_payment(books, event)
        case events.ReversalTurnedAway(reference=reference, original=original):
            return books._replace(gone=books.gone.set(original, reference))
        case events.InterestShared(call=number, credits=credits):
            for member, amount in credits.items():
                books = add(books, member, Figures(earned=amount, credit=amount))
            call = books.calls[number]
            return _with_call(books, call._replace(interest=call.interest - sum(credits.values())))
        case events.MakeUpReduced():
            return _reduce_make_up(books, event)


def _reduce_make_up(books: Books, event: events.MakeUpReduced) -> Books:
    """What others made up ends in part: for who has not paid it nothing of it is owed, and for who has it is credit."""
    for member, parts in event.lapsed.items():
        books = _release(books, member, parts, event.dues[member], cancelled=_sums(parts)[0])
    for member, parts in event.repaid.items():
        books = _repay(books, member, parts)
    pool = books.calls[event.pool]
    ended = {
        member: _sums((*event.lapsed.get(member, ()), *event.repaid.get(member, ())))[0]
        for member in event.lapsed.keys() | event.repaid.keys()
    }
    made_up, given_back = pool.made_up, pool.given_back
    for member, amount in ended.items():
        made_up = _with_amount(made_up, member, made_up[member] - amount)
        given_back = _with_amount(given_back, member, given_back.get(member, 0) + amount)
    return _with_call(books, pool._replace(made_up=made_up, given_back=given_back, filled=pool.filled + event.filled))


def _repay(books: Books, member: MemberId, parts: Sequence[Settlement]) -> Books:
    """What the member's money settled is credit: of the same payments, the latest by reference first, and then of its credit that settled."""
    amount, account = _sums(parts)[0], books.accounts[member]
    receipts, applied = books.receipts, account.applied
    for part in parts:
        left = part.principal
        for name in sorted((name for name, receipt in receipts.items() if receipt.member == member), reverse=True):
            receipt = receipts[name]
            settled, taken = _without(receipt.settled, part, left)
            receipts, left = receipts.set(name, receipt._replace(settled=settled, credited=receipt.credited + taken)), left - taken
        applied, _ = _without(applied, part, left)
    figures = account.figures + Figures(called=-amount, cancelled=amount, cash=-amount, credit=amount)
    calls = _carry(books.calls, {member: parts}, -1)
    return put(books._replace(receipts=receipts, calls=calls), member, account._replace(figures=figures, applied=applied))


def _without(settled: Sequence[Settlement], part: Settlement, amount: int) -> tuple[tuple[Settlement, ...], int]:
    """The settlements without so much principal of the same call and tranche, and how much that was."""
    left, taken = list[Settlement](), 0
    for each in settled:
        less = min(each.principal, amount - taken) if (each.call, each.pool) == (part.call, part.pool) else 0
        taken += less
        rest = each.model_copy(update={"principal": each.principal - less}) if less else each
        if rest.total:
            left.append(rest)
    return tuple(left), taken


def _sums(settled: Sequence[Settlement]) -> tuple[int, int]:
    """The principal and the interest of these settlements."""
    return sum([part.principal for part in settled]), sum([part.interest for part in settled])


def _settle_calls(calls: Map[int, Call], member: MemberId, settled: Sequence[Settlement], dues: Sequence[Due]) -> Map[int, Call]:
    """A member's dues got smaller: so does what their calls miss. Interest goes to the pool of those who paid in time.

    Nobody owes on a call on which nothing of theirs is left.
    """
    left = {due.call for due in dues}
    for part in settled:
        call = calls[part.call]
        if part.call in left:
            owing = call.owing.set(member, call.owing[member] - part.principal)
        else:
            owing = call.owing.delete(member) if member in call.owing else call.owing
        in_time = call.in_time
        if part.in_time and part.pool == part.call and part.principal:
            in_time = in_time.set(member, in_time.get(member, 0) + part.principal)
        calls = calls.set(part.call, call._replace(owing=owing, unpaid=call.unpaid - part.principal, in_time=in_time))
        if part.interest:
            pool = calls[part.pool]
            calls = calls.set(part.pool, pool._replace(interest=pool.interest + part.interest))
    return calls


def _reverse_payment(books: Books, event: events.PaymentReversed) -> Books:
    """What the payment had settled is owed again, on the same calls; interest leaves the pool, also what was shared of it.

    So is what went back to the member of its credit: as if it were called, and had been returned.
    """
    member, uncleared, back = event.member, event.uncleared, event.gone_back
    gone = Figures(cash=-uncleared, interest=-event.interest, credit=-event.credit, received=-event.amount)
    gone = gone + Figures(pledged=back, called=back, returned=back) if back else gone
    if event.undone:
        account = books.accounts[member]
        books = books._replace(calls=_unsettle_calls(books.calls, event))
        books = put(books, member, account._replace(dues=event.dues, applied=event.applied))
    else:
        books, gone = _not_in_time(books, member, uncleared), gone + Figures(called=-uncleared)
    books = books._replace(receipts=books.receipts.delete(event.original))
    books = books._replace(carried=mapping(event.carried)) if event.carried else books
    return _moved(add(books, member, gone), event.reference, Movement("reversal", member, event.amount))


def _unsettle_calls(calls: Map[int, Call], event: events.PaymentReversed) -> Map[int, Call]:
    """The calls on which these settlements do not hold."""
    member = event.member
    for part in event.undone:
        call = calls[part.call]
        in_time = call.in_time
        if part.in_time and part.pool == part.call and part.principal:
            in_time = _with_amount(in_time, member, max(in_time.get(member, 0) - part.principal, 0))
        owing = call.owing.set(member, call.owing.get(member, 0) + part.principal)
        calls = calls.set(part.call, call._replace(owing=owing, unpaid=call.unpaid + part.principal, in_time=in_time))
        pool = calls[part.pool]
        calls = calls.set(part.pool, pool._replace(interest=pool.interest - part.interest))
    return calls


def _not_in_time(books: Books, member: MemberId, amount: int) -> Books:
    """So much of what the member paid in time was not paid after all: it shares no interest for it, the latest call first."""
    for number in reversed(books.tranches):
        call = books.calls[number]
        part = min(amount, call.in_time.get(member, 0))
        if part:
            in_time = _with_amount(call.in_time, member, call.in_time[member] - part)
            books, amount = _with_call(books, call._replace(in_time=in_time)), amount - part
    return books


def _moved(books: Books, reference: str, movement: Movement) -> Books:
    return books._replace(movements=books.movements.set(reference, movement))


# ---------------------------------------------------------------- who carries the round


def _book_commitment(books: Books, event: events.CommitmentEvent) -> Books:
    match event:
        case events.TrancheReleased(tranche=tranche):
            return books._replace(released=books.released | {tranche})
        case events.LateJoinerCommitted(member=member, amount=amount):
            account = books.accounts.get(member, Account())
            return put(books, member, account._replace(figures=account.figures + Figures(pledged=amount), late=True))
        case events.CommitmentTakenOver(member=member, defaulter=defaulter, amount=amount, settled=settled, dues=dues):
            books = _release(books, defaulter, settled, dues, cancelled=amount)
            books = add(books, member, Figures(pledged=amount))
            account = books.accounts[member]
            taken = TakenOver(books.accounts[defaulter].defaults, amount)
            return put(books, member, account._replace(taken_over=account.taken_over.set(defaulter, taken)))
        case events.CommitmentReleased(member=member, uncalled=uncalled, settled=settled, dues=dues):
            books = _release(books, member, settled, dues, cancelled=uncalled + _sums(settled)[0])
            account = books.accounts[member]
            return put(books, member, account._replace(releases=account.releases + 1, bound=None))
        case events.LeaverBound(member=member, until=until):
            account = books.accounts[member]
            return put(books, member, account._replace(bound=until, bindings=account.bindings + (until is not None)))
        case events.GoalReduced(goal=goal, minimum=minimum, budget=budget, cancelled=cancelled):
            for member, amount in cancelled.items():
                books = add(books, member, Figures(cancelled=amount))
            lines = {line.name: amount for line, amount in zip(books.terms.budget, budget, strict=True)}
            return books._replace(goal=goal, minimum=minimum, budget=mapping(lines))


def _release(books: Books, member: MemberId, settled: Sequence[Settlement], dues: tuple[Due, ...], *, cancelled: int) -> Books:
    """A part of a commitment ends, and with it these dues: the member neither owes nor carries them any more."""
    calls = _carry(_settle_calls(books.calls, member, settled, dues), {member: settled}, -1)
    account = books.accounts[member]
    figures = account.figures + Figures(called=-_sums(settled)[0], cancelled=cancelled)
    return put(books._replace(calls=calls), member, account._replace(figures=figures, dues=dues))


# ---------------------------------------------------------------- deliveries in kind


def _book_in_kind(books: Books, event: events.InKindEvent) -> Books:
    match event:
        case events.InKindDelivered(member=member, value=value):
            return _judged(books, event, books.accounts[member], offered=value)
        case events.InKindAccepted(member=member, evidence=evidence, value=value, settled=settled, dues=dues):
            account, ahead = books.accounts[member], value - _sums(settled)[0]
            account = account._replace(
                figures=account.figures + Figures(called=ahead, in_kind=value), dues=dues, ahead=account.ahead + ahead
            )
            books = books._replace(calls=_settle_calls(books.calls, member, settled, dues))
            return _judged(books, event, account, offered=-_offered(books, evidence))
        case events.InKindRejected(member=member, evidence=evidence):
            return _judged(books, event, books.accounts[member], offered=-_offered(books, evidence))


def _offered(books: Books, evidence: Digest) -> int:
    """What the delivery on this evidence would be worth, which waits to be judged."""
    delivery = books.deliveries[evidence]
    assert isinstance(delivery, events.InKindDelivered)
    return delivery.value


def _judged(books: Books, delivery: Delivery, account: Account, *, offered: int) -> Books:
    """The delivery stands so from now on; what nobody judged yet changes by `offered`."""
    books = books._replace(deliveries=books.deliveries.set(delivery.evidence, delivery))
    return put(books, delivery.member, account._replace(offered=account.offered + offered))


# ---------------------------------------------------------------- spending


def _book_spending(books: Books, event: events.SpendingEvent) -> Books:
    match event:
        case events.SpendingProposed(spending=name, line=line, amount=amount, payee=payee, by=by):
            return _reserve(books, name, Spending(line, amount, payee, by), amount)
        case events.SpendingApproved(spending=name):
            return _with_spending(books, name, books.spendings[name]._replace(stage="approved"))
        case events.SpendingWithdrawn(spending=name):
            spending = books.spendings[name]
            return _reserve(books, name, spending._replace(stage="withdrawn"), -spending.amount)
        case events.SpendingPaid(spending=name, reference=reference):
            spending = books.spendings[name]
            books = books._replace(reserved=books.reserved - spending.amount, spent=books.spent + spending.amount)
            books = _with_spending(books, name, spending._replace(stage="paid"))
            return _moved(books, reference, Movement("spending", name, spending.amount))
        case events.SpendingReturned(spending=name, reference=reference):
            spending = books.spendings[name]
            books = books._replace(reserved=books.reserved + spending.amount, spent=books.spent - spending.amount)
            books = _with_spending(books, name, spending._replace(stage="approved"))
            return _moved(books, reference, Movement("spending-return", name, spending.amount))


def _with_spending(books: Books, name: Slug, spending: Spending) -> Books:
    return books._replace(spendings=books.spendings.set(name, spending))


def _reserve(books: Books, name: Slug, spending: Spending, amount: int) -> Books:
    """So much more, or less, is reserved for it under its line."""
    lines = books.lines.set(spending.line, books.lines.get(spending.line, 0) + amount)
    return _with_spending(books, name, spending)._replace(lines=lines, reserved=books.reserved + amount)


# ---------------------------------------------------------------- giving back


def end(books: Books, returns: Mapping[MemberId, int], owed: Mapping[MemberId, tuple[Due, ...]]) -> Books:
    """Nothing is owed but this, and nothing will be called any more; what is neither spent nor ordered is the members' credit.

    Who is in default stays so while it owes principal.
    """
    for member, account in books.accounts.items():
        figures, back, dues = account.figures, returns.get(member, 0), owed.get(member, ())
        left = sum(due.principal for due in dues)
        released = Figures(cancelled=figures.outstanding - left, called=left - figures.owed, credit=back, returned=back)
        in_default = account.in_default and left > 0
        books = put(books, member, account._replace(figures=figures + released, dues=dues, in_default=in_default))
    return books._replace(running=(), defaulted=(), reserved=books.ordered)


def _book_refund(books: Books, event: events.RefundEvent) -> Books:
    match event:
        case events.SurplusReturned(returns=returns):
            for member, amount in returns.items():
                books = add(books, member, Figures(credit=amount, returned=amount))
            return books
        case events.ShareReduced(member=member, settled=settled, dues=dues):
            return _release(books, member, settled, dues, cancelled=_sums(settled)[0])
        case events.RefundOrdered(payment=payment, member=member, amount=amount):
            return _with_refund(add(books, member, Figures(credit=-amount, refunding=amount)), payment, Refund(member, amount))
        case events.RefundsOrdered(order=order, payment_list=payment_list, payments=payments, standing=standing):
            return books._replace(refund_orders=books.refund_orders.set(order, RefundOrder(payment_list, payments, standing)))
        case events.RefundMade(payment=payment, member=member, amount=amount, reference=reference):
            if payment is None:
                books = add(books, member, Figures(credit=-amount, refunded=amount))
                return _moved(books, reference, Movement("refund", member, amount))
            books = add(books, member, Figures(refunding=-amount, refunded=amount))
            books = _with_refund(books, payment, Refund(member, amount, "made"))
            return _moved(books, reference, Movement("refund", payment, amount))
        case events.RefundReturned(payment=payment, member=member, amount=amount, reference=reference):
            books = _with_refund(add(books, member, Figures(refunding=amount, refunded=-amount)), payment, Refund(member, amount))
            return _moved(books, reference, Movement("refund-return", payment, amount))
        case events.RefundReleased(payment=payment, member=member, amount=amount, reason=reason):
            books = add(books, member, Figures(credit=amount, refunding=-amount))
            return _with_refund(books, payment, Refund(member, amount, "released", reason))


def _with_refund(books: Books, payment: Slug, refund: Refund) -> Books:
    return books._replace(refunds=books.refunds.set(payment, refund))


# ---------------------------------------------------------------- set-off


def set_off_key(debtor: str, number: int) -> str:
    """By what the books know a set-off."""
    return f"{debtor}:{number}"


def _book_set_off(books: Books, event: events.SetOffEvent) -> Books:
    member, amount = event.member, event.amount
    match event:
        case events.CreditSetOff():
            books = add(books, member, Figures(credit=-amount, set_off=amount))
            return _with_set_off(books, SetOff(member, event.debtor, event.number, amount))
        case events.SetOffDeferred():
            return _with_set_off(books, SetOff(member, event.debtor, event.number, amount, waits=True))
        case events.CreditRestored():
            books = add(books, member, Figures(credit=amount, set_off=-amount))
            return _with_set_off(books, books.set_offs[set_off_key(event.debtor, event.number)]._replace(restored=amount))


def _with_set_off(books: Books, set_off: SetOff) -> Books:
    return books._replace(set_offs=books.set_offs.set(set_off_key(set_off.debtor, set_off.number), set_off))
