"""The rules of what members owe each other when a round is over: each bears its share of what was spent, whoever paid for it.

A member's share of what was spent is in proportion to what it was called for, in money and for itself: what it made up for others is not its
own. What it paid less than its share stays owed, with the interest that has run up, and comes to those who paid more than theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Literal

from domain.kernel import MemberId, notify
from domain.money import share, share_under_caps
from domain.process import Context
from domain.register.facts import DebtStated
from domain.round import events
from domain.round.books import Account, Books
from domain.round.calls import shared_interest
from domain.round.catching_up import notify_cured
from domain.round.consequences import contributions, fold_phase, lift_default
from domain.round.dues import in_order, owed_again, run_up, settle, together
from domain.round.notices import bills, notify_members, soon
from domain.round.rules import STAFF, Events, amount_text, terms_of
from domain.round.state import Ended
from domain.round.terms import Due
from domain.stream import StepOwed, owe

# ---------------------------------------------------------------- who bears what


def weights(books: Books) -> Mapping[MemberId, int]:
    """In which proportion members bear what was spent: what each was called for by itself, without deliveries and what it made up for others."""
    made_up = dict.fromkeys(books.accounts, 0)
    for number in books.tranches:
        for member, amount in books.calls[number].made_up.items():
            made_up[member] += amount
    own = {
        member: max(account.figures.called - account.figures.in_kind - made_up[member], 0)
        for member, account in sorted(books.accounts.items())
    }
    return {member: amount for member, amount in own.items() if amount}


def _beyond_share(books: Books, carried: Mapping[MemberId, int]) -> Mapping[MemberId, int]:
    """What each paid beyond its share of what is spent, ordered or advanced, and did not get back; less than nothing where it paid less."""
    gone = books.spent + books.ordered + books.advanced
    borne = share(gone, carried) if carried else {}
    return {
        member: account.figures.cash - account.figures.returned - borne.get(member, 0) for member, account in sorted(books.accounts.items())
    }


def returned(books: Books, carried: Mapping[MemberId, int], free: int) -> dict[MemberId, int]:
    """What of an amount that is free comes back to each: to all who paid beyond their share the same part of that."""
    beyond = {member: max(amount, 0) for member, amount in _beyond_share(books, carried).items()}
    return {member: amount for member, amount in share_under_caps(free, beyond, beyond).items() if amount}


def in_proportion(books: Books, amount: int) -> dict[MemberId, int]:
    """An amount shared by the cash that each paid in and did not get back."""
    paid = {member: max(account.figures.cash - account.figures.returned, 0) for member, account in books.accounts.items()}
    return {member: part for member, part in sorted(share(amount, paid).items()) if part}


# ---------------------------------------------------------------- what stays owed


def still_owed(
    books: Books, way: Literal["settled", "cancelled"], carried: Mapping[MemberId, int], context: Context
) -> dict[MemberId, tuple[Due, ...]]:
    """What members owe beyond the end: of a round that is cancelled, what they paid less than their share, and every interest that has run up.

    Of a round that is settled all is paid but by who is gone; that is given up, and interest alone stays owed.
    """
    rate, today = terms_of(context, books).default_interest, context.at.date()
    beyond = _beyond_share(books, carried)
    owed = dict[MemberId, tuple[Due, ...]]()
    for member, account in sorted(books.accounts.items()):
        left = max(-beyond[member], 0) if way == "cancelled" else 0
        dues = list[Due]()
        for due in in_order(books, account.dues):
            principal = min(due.principal, left)
            left -= principal
            late = run_up(due, rate, today) if way == "cancelled" or not due.principal else 0
            if principal or late:
                day = max(today, due.accrued_to)
                dues.append(due.model_copy(update={"principal": principal, "interest": late, "accrued_to": day}))
        if dues:
            owed[member] = tuple(dues)
    return owed


def notify_owed(books: Books, context: Context) -> Iterator[StepOwed]:
    """Who owes beyond the end is told what, and that its default lasts until that is paid."""
    owing = [member for member, account in sorted(books.accounts.items()) if account.dues]
    for member in owing:
        each = bills(context, books, (member,), asked_by(books, member, context))
        yield from notify_members("share_owed", (member,), f"share-owed:{member}", each=each, round=context.stream)


def asked_by(books: Books, member: MemberId, context: Context) -> date:
    """By when a member is asked for all that it owes beyond the end: soon, or by the last day on which some of it falls due."""
    return max(soon(context), *(books.calls[due.call].schedule.due_on for due in books.accounts[member].dues))


# ---------------------------------------------------------------- what the bank takes back


def surplus_taken_back(books: Books, member: MemberId) -> dict[MemberId, int]:
    """What of their credit members lose for what is missing since the bank took a payment of this member back.

    First it gives back itself what it got beyond its share; the rest is taken of the others, in proportion to what each got of it and still has.
    """
    figures, missing = books.accounts[member].figures, max(-books.spendable, 0)
    own = max(min(missing, figures.credit, figures.returned, -_beyond_share(books, books.carried)[member]), 0)
    theirs = {other: amount for other, amount in _surplus_left(books).items() if other != member}
    taken = {member: own, **share_under_caps(missing - own, theirs, theirs)}
    return {each: amount for each, amount in sorted(taken.items()) if amount}


def _surplus_left(books: Books) -> dict[MemberId, int]:
    """What members still have of what they got of the surplus."""
    left = {member: min(account.figures.credit, account.figures.returned) for member, account in books.accounts.items()}
    return {member: amount for member, amount in sorted(left.items()) if amount > 0}


def share_again(before: Books, books: Books, undone: events.PaymentReversed, context: Context) -> Iterator[events.ShareReduced]:
    """Of what a payment had settled no more is owed again than its member paid less than its share.

    As if it had never been paid: the interest runs on all of it to the round's end, and on the share alone since.
    """
    member, rate = undone.member, terms_of(context, books).default_interest
    less = books.accounts[member].figures.owed - max(-_beyond_share(books, books.carried)[member], 0)
    if less > 0:
        ended_on = books.ended_on or context.at.date()
        settled, left = settle(books, owed_again(books, (), undone.undone, rate), less, ended_on, rate, by="replacement")
        yield events.ShareReduced(member=member, settled=settled, dues=together((*before.accounts[member].dues, *left), rate))


# ---------------------------------------------------------------- what comes in


def wind_up(state: Ended, context: Context) -> Events:
    """What follows from any change of the books of a round that is over.

    Credit pays what its member owes; what less was spent lowers what is owed; surplus of a refund that was given up is nobody's while a payment
    that was taken back is missing; what is free comes back to those who paid beyond their share, and
    interest to those who paid in time; a member that owes no principal any more is in default no more.

    While everybody owes something, interest that is shared pays interest, and so comes in again. Then it is shared once, if each gets at least
    one unit of it; what comes in by that, or is too little to be shared, waits in its pool until more money comes.
    """
    decided, after = _come_to_rest(state, (), context)
    if shared := shared_interest(after.books, least=1):
        decided, after = _come_to_rest(fold_phase(after, shared), (*decided, *shared), context)
    cured = [member for member, account in sorted(after.books.accounts.items()) if account.in_default and not account.figures.owed]
    return (*decided, *(events.DefaultCured(member=member) for member in cured), *notify_over(after.books, cured, context))


def _come_to_rest(state: Ended, decided: Events, context: Context) -> tuple[Events, Ended]:
    """The decision with all that follows while interest comes only to members that owe nothing; and the round after it.

    It terminates: nothing here adds to what members owe, and no money is shared a second time without having paid some of that in between.
    """
    while True:
        further: Events = (*_reduced(state, context), *_applied(state.books, context))
        further = further or _missing(state.books) or _shared(state.books)
        if not further:
            return decided, state
        decided, state = (*decided, *further), fold_phase(state, further)


def notify_taken_back(before: Books, books: Books, key: str, context: Context, *, but: MemberId | None = None) -> Iterator[StepOwed]:
    """The notices to members that have less of the surplus than before, since a payment that the bank took back is missing: to all `but` one."""
    less = {
        member: amount
        for member, account in sorted(books.accounts.items())
        if member != but and (amount := before.accounts[member].figures.returned - account.figures.returned) > 0
    }
    each = {member: {"less": amount_text(books, amount)} for member, amount in less.items()}
    yield from notify_members("surplus_taken_back", less, f"surplus-{key}", each=each, round=context.stream)


def notify_over(books: Books, members: Iterable[MemberId], context: Context) -> Iterator[StepOwed]:
    """Whose default is over has its votes back, and is told."""
    for member in members:
        yield lift_default(context, member, books)
        yield from notify_cured(books, member, context)


def _reduced(state: Ended, context: Context) -> Iterator[events.ShareReduced]:
    """Less was spent than it seemed: less of it stays owed."""
    books = state.books
    if not books.carried:
        return
    today, rate = context.at.date(), terms_of(context, books).default_interest
    for member, beyond in _beyond_share(books, books.carried).items():
        account = books.accounts[member]
        less = account.figures.owed - max(-beyond, 0)
        if less > 0:
            settled, dues = settle(books, account.dues, less, today, rate, by="replacement")
            yield events.ShareReduced(member=member, settled=settled, dues=dues)


def _applied(books: Books, context: Context) -> Iterator[events.CreditApplied]:
    today, rate = context.at.date(), terms_of(context, books).default_interest
    for member, account in sorted(books.accounts.items()):
        if account.figures.credit and account.dues:
            settled, dues = settle(books, account.dues, account.figures.credit, today, rate)
            yield events.CreditApplied(member=member, settled=settled, dues=dues)


def _missing(books: Books) -> Events:
    left = _surplus_left(books)
    taken = share_under_caps(-books.spendable, left, left) if books.carried and books.spendable < 0 else {}
    less = {member: -amount for member, amount in taken.items() if amount}
    return (events.SurplusReturned(returns=less),) if less else ()


def _shared(books: Books) -> Events:
    free = max(books.spendable, 0)
    returns = returned(books, books.carried, free) if books.carried else in_proportion(books, free)
    surplus = (events.SurplusReturned(returns=returns),) if returns else ()
    return (*surplus, *shared_interest(books, owing=False))


def facts_after_end(before: Books, books: Books, context: Context) -> Iterator[events.RegisterFact]:
    """What the register must know of the difference between two books of a round that is over."""
    for member, account in sorted(books.accounts.items()):
        if account.debt != before.accounts.get(member, Account()).debt:
            yield DebtStated(member=member, source=context.stream, amount=account.debt)
    yield from contributions(before, books, sorted(books.accounts), context)


def notify_refunds(books: Books, key: str, context: Context) -> Iterator[StepOwed]:
    """The officers are told that credit is to go back, if there is any."""
    if books.totals.credit:
        credit = amount_text(books, books.totals.credit)
        yield owe(notify("refunds_due", STAFF, key=f"notice:refunds-due{key}", round=context.stream, credit=credit))
