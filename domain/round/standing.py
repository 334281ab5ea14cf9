"""The standing refund order: approved by people while a round runs, it pays back what an ended round holds when nobody orders that.

It is the one order of all refunds (`refunds`), given by the clock. Whoever's bank details are not approved is left out of its list by the
treasury, and told; such a refund is credit again, and only a person orders it anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.charter import Office
from domain.kernel import MemberId, Refused, notify
from domain.process import Context
from domain.round import commands, events, refunds
from domain.round.books import Books
from domain.round.consequences import fold_phase
from domain.round.rules import STAFF, Events, amount_text, charter_of
from domain.round.state import Calling, Committed, Draft, Endangered, Pledging, Refunding, Short, standing_of
from domain.stream import owe

BeforeEnd = Draft | Pledging | Short | Committed | Calling | Endangered

# ---------------------------------------------------------------- approving


def approve(state: BeforeEnd, _: commands.ApproveStandingRefunds, context: Context) -> Events:
    """One more signature; with the last one the order stands. Who signed counts also when they hold no office any more: it is for that time."""
    charter = charter_of(context, _version(state))
    _require_office(context)
    if not charter.silence.standing_days:
        raise Refused(
            "no_standing_refunds",
            "the charter of this round knows no standing refund order",
            clause="silence.standing_days",
            remedy="a vote can amend the charter for rounds to come; the refunds of this one are ordered by its treasurer",
        )
    order = standing_of(state)
    if order.approved:
        return ()
    signed = context.register.independent(sorted(order.signed))
    context.require_independent(signed, clause="treasury.approvals")
    if len(signed) + 1 < context.charter.treasury.approvals:
        return (events.StandingRefundsSigned(by=context.actor),)
    return (events.StandingRefundsApproved(by=context.actor),)


def revoke(state: BeforeEnd | Refunding, _: commands.RevokeStandingRefunds, context: Context) -> Events:
    """Nothing is ordered by itself any more; what was ordered before goes on."""
    _require_office(context)
    return (events.StandingRefundsRevoked(by=context.actor),) if standing_of(state).signed else ()


def _require_office(context: Context) -> None:
    context.require_office(*sorted(context.charter.treasury.approval_offices), clause="treasury.approval_offices")


def _version(state: BeforeEnd) -> int:
    match state:
        case Draft() | Pledging():
            return state.charter_version
        case Short(pledging=pledging):
            return pledging.charter_version
        case Committed() | Calling() | Endangered():
            return state.books.charter_version


# ---------------------------------------------------------------- ordering


def payable(books: Books) -> Sequence[MemberId]:
    """Whose credit the standing order still pays back: not of whom it was given up once. Nobody while nothing is there to pay with."""
    if not books.standing.approved or books.free <= 0:
        return ()
    tried = (books.refunds[payment] for order in books.refund_orders.values() if order.standing for payment in order.payments)
    failed = {refund.member for refund in tried if refund.stage == "released"}
    return sorted(member for member, account in books.accounts.items() if account.figures.credit and member not in failed)


def order(state: Refunding, _: commands.OrderStandingRefunds, context: Context) -> Events:
    """Nobody ordered the refunds in time: all of them are ordered, by lists of as many as one takes, and whoever keeps the round is told."""
    decided: Events = ()
    books = state.books
    while members := payable(books):
        decided = (*decided, *refunds.order_by_standing(books, members, context))
        books = fold_phase(state, decided).books
    notice = notify(
        "refunds_by_standing_order",
        (*STAFF, f"office:{Office.BOARD}"),
        key=f"notice:standing:{max(books.refund_orders, default=0)}",
        round=context.stream,
        amount=amount_text(books, books.totals.refunding - state.books.totals.refunding),
    )
    return (*decided, owe(notice))
