"""The rules of making up: what the others are called for instead of a member in default, and what comes back to them when late money comes.

A part of a make-up call that is not needed any more comes back to who paid it, or is not asked for any more of who did not. Which part that
is follows from all late money of the tranche together, so it does not depend on the order in which it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from domain.kernel import MemberId
from domain.money import share
from domain.process import Context
from domain.round import events
from domain.round.allocation import make_up
from domain.round.books import Account, Books, Call
from domain.round.dues import in_order, own_schedule, settle
from domain.round.notices import notify_members
from domain.round.rules import Events, amount_text, terms_of
from domain.round.terms import CallNumber, Due, Purpose, Settlement
from domain.stream import StepOwed

# ---------------------------------------------------------------- calling


def make_up_call(books: Books, call: Call, late: Sequence[MemberId], context: Context) -> events.MakeUpCalled | None:
    """A make-up call on the active members that paid: for a tranche only, so that no gap is called for twice.

    Not on who left the round, nor on companies of a defaulter's seat. Its cap is the charter's `makeup_cap`, and the only one:
    it may lift a seat above the share that it could pledge. Where even all of it would leave the round below its minimum, nobody is asked.
    """
    terms = terms_of(context, books)
    failing = {context.register.seat_of(member) for member in late}
    paid = {
        member: amount
        for member, amount in sorted(call.amounts.items())
        if _makes_up(books.accounts[member], member, context) and context.register.seat_of(member) not in failing
    }
    amounts = make_up(call.gap, paid, terms.makeup_cap, call.made_up) if call.purpose is Purpose.TRANCHE else {}
    if not amounts or books.totals.sound + sum(amounts.values()) < books.minimum:
        return None
    plan = own_schedule(context, books, terms.makeup_notice_business_days)
    return events.MakeUpCalled(call=len(books.calls) + 1, pool=call.number, amounts=amounts, schedule=plan)


def _makes_up(account: Account, member: MemberId, context: Context) -> bool:
    return not account.in_default and not account.releases and context.register.active(member)


# ---------------------------------------------------------------- late money


def late_money(before: Books, decided: Events, books: Books) -> Mapping[CallNumber, int]:
    """What came by these events for tranches that others made up: of members in default, or of those that stand in for them."""
    came = Counter[CallNumber]()
    for event in decided:
        if isinstance(event, events.PaymentRecorded | events.CreditApplied | events.InKindAccepted):
            for part in event.settled:
                own = part.call == part.pool and event.member in before.accounts and before.accounts[event.member].in_default
                if (own or books.calls[part.call].replaces) and books.calls[part.pool].made_up:
                    came[part.pool] += part.principal
    return {pool: amount for pool, amount in sorted(came.items()) if amount}


def reduced(books: Books, pool: CallNumber, came: int, context: Context) -> events.MakeUpReduced | None:
    """What late money changes for those who made up, each in proportion: first less is open of their make-up call, then what they paid comes back.

    Not more comes back than there is cleared money that is neither spent nor reserved; the rest does with later money.
    """
    call = books.calls[pool]
    whole = {member: call.made_up.get(member, 0) + call.given_back.get(member, 0) for member in {*call.made_up, *call.given_back}}
    filled = min(call.filled + came, sum(whole.values()))
    if filled == call.filled:
        return None
    freed = {member: amount * filled // sum(whole.values()) - call.given_back.get(member, 0) for member, amount in sorted(whole.items())}
    lapsed, dues = _lapsed(books, pool, freed, context)
    closed = {member: sum(part.principal for part in parts) for member, parts in lapsed.items()}
    paid = {member: _paid(books, member, pool) for member in freed}
    back = {member: min(amount - closed.get(member, 0), sum(part.principal for part in paid[member])) for member, amount in freed.items()}
    back = {member: amount for member, amount in back.items() if amount > 0}
    there = max(books.spendable, 0)
    back = share(there, back) if sum(back.values()) > there else back
    repaid = {member: _latest(paid[member], amount) for member, amount in back.items() if amount}
    return events.MakeUpReduced(pool=pool, filled=filled - call.filled, repaid=repaid, lapsed=lapsed, dues=dues)


def _lapsed(
    books: Books, pool: CallNumber, freed: Mapping[MemberId, int], context: Context
) -> tuple[dict[MemberId, tuple[Settlement, ...]], dict[MemberId, tuple[Due, ...]]]:
    """Of what each may keep: what is not paid yet of its make-up call, and what it owes afterwards; interest that has run up stays owed."""
    today, rate = context.at.date(), terms_of(context, books).default_interest
    lapsed, left = dict[MemberId, tuple[Settlement, ...]](), dict[MemberId, tuple[Due, ...]]()
    for member, amount in freed.items():
        dues = books.accounts[member].dues
        open_ = tuple(due for due in dues if _is_made_up(books, due, pool))
        settled, rest = settle(books, open_, max(amount, 0), today, rate, by="replacement")
        if settled:
            lapsed[member] = settled
            left[member] = in_order(books, (*(due for due in dues if due not in open_), *rest))
    return lapsed, left


def _is_made_up(books: Books, part: Due | Settlement, pool: CallNumber) -> bool:
    return part.pool == pool and books.calls[part.call].purpose is Purpose.MAKE_UP


def _paid(books: Books, member: MemberId, pool: CallNumber) -> tuple[Settlement, ...]:
    """What the member's money, and its credit, settled of make-up calls for this tranche, payment by payment."""
    receipts = (receipt for _, receipt in sorted(books.receipts.items()) if receipt.member == member)
    settled = (*(part for receipt in receipts for part in receipt.settled), *books.accounts[member].applied)
    return tuple(part for part in settled if part.principal and _is_made_up(books, part, pool))


def _latest(paid: Sequence[Settlement], amount: int) -> tuple[Settlement, ...]:
    """So much of these settlements, by calls."""
    by_call = Counter[tuple[CallNumber, CallNumber]]()
    for part in reversed(paid):
        taken = min(part.principal, amount)
        by_call[part.call, part.pool] += taken
        amount -= taken
    return tuple(Settlement(call=call, pool=pool, principal=taken) for (call, pool), taken in sorted(by_call.items()) if taken)


def notify_reduced(books: Books, event: events.MakeUpReduced, context: Context) -> Iterator[StepOwed]:
    """Who made up is told what comes back to it, and what is not asked for any more; where it is one of them alone, of that."""
    returned, lapsed = _principal_texts(books, event.repaid), _principal_texts(books, event.lapsed)
    both, key = returned.keys() & lapsed.keys(), f"{event.pool}:{books.calls[event.pool].filled}"
    each = {
        "make_up_reduced": {member: {"returned": returned[member], "lapsed": lapsed[member]} for member in both},
        "make_up_returned": {member: {"returned": amount} for member, amount in returned.items() if member not in both},
        "make_up_lapsed": {member: {"lapsed": amount} for member, amount in lapsed.items() if member not in both},
    }
    for template, own in each.items():
        name = template.replace("_", "-")
        yield from notify_members(template, own, f"{name}:{key}", each=own, round=context.stream, call=event.pool)


def _principal_texts(books: Books, parts: Mapping[MemberId, Sequence[Settlement]]) -> dict[MemberId, str]:
    """The principal of each member's settlements, in words; without those that have none."""
    sums = {member: sum(part.principal for part in settled) for member, settled in parts.items()}
    return {member: amount_text(books, amount) for member, amount in sums.items() if amount}
