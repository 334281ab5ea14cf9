"""Payment lists: the refunds that a stream orders together, approved once for all of them, and then sent each by itself.

A list is what people approve, and never changes: whose bank details are not approved when it is ordered is left out of it, and whose are
others by its last approval is not paid by it. What is left out is cancelled, which whoever ordered it gets to know, and can be ordered again; it
holds up nobody else. Once approved, a payment of a list is like every other: sent once, confirmed by a statement, retried or cancelled by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain import letters
from domain.charter import Office
from domain.kernel import SERVICE, Digest, PersonId, Refused, holders, notify, shortened, with_own_facts
from domain.letters import Purpose
from domain.money import display
from domain.process import Context
from domain.stream import StepOwed, owe
from domain.treasury import commands, events
from domain.treasury.payers import report_released
from domain.treasury.payments import require_digest, require_free, require_other_than, send_payment, still_in_office
from domain.treasury.records import Payee, PaymentList
from domain.treasury.rules import TREASURERS, Events, fold, require_currency, terms_of
from domain.treasury.state import Open
from domain.treasury.terms import ListedPayment, list_digest

SHARED_LENGTH = 500
"""The most characters by which a notice names who shares an account."""
NO_ACCOUNT = "no bank details of the payee were approved when the list was ordered"
OTHER_ACCOUNT = "the payee's bank details are not those that were approved with the list"

# ---------------------------------------------------------------- ordering


def order_payment_list(state: Open, command: letters.OrderPaymentList, context: Context) -> Events:
    """An order of another stream; ordered again nothing follows."""
    require_currency(state.currency, command.currency)
    before = state.lists.get(command.payment_list)
    if before is not None and before.source == command.source:
        return ()
    _require_new_names(state, command)
    ordered = _ordered(state, command, context)
    payable = [each for each in ordered if state.payees.get(each.payee, Payee()).account is not None]
    lines = tuple(
        ListedPayment(payment=each.payment, payee=each.payee, amount=each.amount, details=state.payees[each.payee].account_digest)
        for each in payable
    )
    without = tuple(each.payment for each in ordered if each not in payable)
    listed = events.PaymentListOrdered(
        payment_list=command.payment_list,
        source=command.source,
        currency=state.currency,
        lines=lines,
        left_out=without,
        digest=list_digest(command.payment_list, state.currency, lines),
        by=command.ordered_by,
        approvals=terms_of(context).approvals,
        approved_by=command.approved_by,
    )
    after = fold(state, (*ordered, listed))
    left_out = _leave_out(after, command.payment_list, without, NO_ACCOUNT, "ordered")
    if not lines:
        return (*ordered, listed, *left_out)
    if _is_approved_beforehand(after, listed):
        return (*ordered, listed, *left_out, *_send_all(after, listed, context))
    return (*ordered, listed, *left_out, _ask_to_sign(listed, context))


def _is_approved_beforehand(state: Open, listed: events.PaymentListOrdered) -> bool:
    """Whether as many people as the charter asks for approved it by a standing order, every account stands, and the money is there; else
    people are asked now.
    """
    approved = len(set(listed.approved_by)) >= listed.approvals and all(_account_stands(state, line) for line in listed.lines)
    return approved and sum(line.amount for line in listed.lines) <= max(state.free_in(listed.currency), 0)


def _send_all(state: Open, listed: events.PaymentListOrdered, context: Context) -> Events:
    """The list is approved with its order, and all of it goes to the bank: the accounts are those that are approved now."""
    approved = events.PaymentListApproved(payment_list=listed.payment_list, digest=listed.digest, by=SERVICE, left_out=())
    return (approved, *(event for line in listed.lines for event in _send(state, line, listed.digest, context)))


def _require_new_names(state: Open, command: letters.OrderPaymentList) -> None:
    names = [refund.payment for refund in command.refunds]
    taken = {name for name in names if name in state.payments or names.count(name) > 1}
    if command.payment_list in state.lists:
        taken.add(command.payment_list)
    if taken:
        raise Refused("payment_exists", f"{min(taken)} names another payment", remedy="choose another name")


def _ordered(state: Open, command: letters.OrderPaymentList, context: Context) -> Sequence[events.PaymentOrdered]:
    return [
        events.PaymentOrdered(
            payment=refund.payment,
            source=command.source,
            payee=f"member:{refund.member}",
            amount=refund.amount,
            currency=state.currency,
            purpose=Purpose.REFUND,
            subject=refund.member,
            text=command.text,
            by=command.ordered_by,
            approvals=terms_of(context).approvals,
        )
        for refund in command.refunds
    ]


def _ask_to_sign(listed: events.PaymentListOrdered, context: Context) -> StepOwed:
    offices = holders(terms_of(context).approval_offices)
    total = display(sum(line.amount for line in listed.lines), listed.currency)
    shared = [line.payee for line in listed.lines if context.register.sharing_account(line.payee)]
    facts = {"accounts_shared_by": shortened(", ".join(shared), SHARED_LENGTH)} if shared else {}
    return owe(
        notify(
            "payment_list_to_approve",
            offices,
            key=f"notice:list:{listed.payment_list}",
            payment_list=listed.payment_list,
            payments=len(listed.lines),
            amount=total,
            treasury=context.stream,
            **facts,
        )
    )


# ---------------------------------------------------------------- approving and giving up


def approve_payment_list(state: Open, command: commands.ApprovePaymentList, context: Context) -> Events:
    """One more signature for the whole list; with the last one each of its payments goes to the bank, if its payee's account is the listed one."""
    context.require_office(*terms_of(context).approval_offices, clause="treasury.approval_offices")
    listed = _list_of(state, command.payment_list)
    match listed.stage:
        case "approved":
            return ()
        case "cancelled":
            raise _not_ordered(command.payment_list, listed)
        case "ordered":
            return _add_signature(state, command, listed, context)


def _add_signature(state: Open, command: commands.ApprovePaymentList, listed: PaymentList, context: Context) -> Events:
    require_other_than(listed.ordered_by, context)
    require_digest("list", listed.digest, command.digest)
    signed = still_in_office(listed.signed, context)
    context.require_independent(signed, clause="treasury.approvals")
    if len(signed) + 1 < listed.approvals:
        return (events.PaymentListSigned(payment_list=command.payment_list, digest=listed.digest, by=context.actor),)
    going = [line for line in listed.lines if _account_stands(state, line)]
    require_free(sum(line.amount for line in going), state.free_in(listed.currency), listed.currency)
    gone = tuple(line.payment for line in listed.lines if line not in going)
    approved = events.PaymentListApproved(payment_list=command.payment_list, digest=listed.digest, by=context.actor, left_out=gone)
    payments = (event for line in going for event in _send(state, line, listed.digest, context))
    return (approved, *payments, *_leave_out(state, command.payment_list, gone, OTHER_ACCOUNT, "approved"))


def _account_stands(state: Open, line: ListedPayment) -> bool:
    payee = state.payees.get(line.payee, Payee())
    account = payee.account
    return account is not None and payee.account_digest == line.details and account.accounts.isdisjoint(state.account.accounts)


def _send(state: Open, line: ListedPayment, digest: Digest, context: Context) -> Events:
    account = state.payees[line.payee].account
    assert account is not None
    return send_payment(state, line.payment, account, digest, context)


def cancel_payment_list(state: Open, command: commands.CancelPaymentList, context: Context) -> Events:
    """Nothing of the list will be paid, and whoever ordered it gets a letter of each payment."""
    context.require_duty(Office.TREASURER)
    listed = _list_of(state, command.payment_list)
    match listed.stage:
        case "cancelled":
            return ()
        case "approved":
            raise _not_ordered(command.payment_list, listed)
        case "ordered":
            cancelled = events.PaymentListCancelled(payment_list=command.payment_list, by=context.actor, reason=command.reason)
            return (cancelled, *_cancel(state, (line.payment for line in listed.lines), command.reason, context.actor))


def _list_of(state: Open, name: str) -> PaymentList:
    listed = state.lists.get(name)
    if listed is None:
        raise Refused("no_such_list", f"nobody ordered the list {name}", remedy="`consortium show treasury/…` lists what waits")
    return listed


def _not_ordered(name: str, listed: PaymentList) -> Refused:
    return Refused(
        "list_not_ordered",
        f"{name} is {listed.stage}",
        remedy="`consortium show treasury/…` tells of each of its payments; what is not paid is ordered anew (`consortium round order-refunds`)",
    )


# ---------------------------------------------------------------- what is not paid


def _leave_out(state: Open, payment_list: str, names: Sequence[str], reason: str, when: str) -> Events:
    """These payments are cancelled; whoever ordered them, the treasurer and the payees get to know why."""
    if not names:
        return ()
    payments = [state.payments[name] for name in names]
    source = payments[0].source or ""
    to_treasurers = notify(
        "payments_left_out",
        TREASURERS,
        key=f"notice:left-out:{payment_list}:{when}",
        payment_list=payment_list,
        payments=len(names),
        reason=reason,
        source=source,
    )
    payees = tuple(payment.payee for payment in payments)
    to_payees = notify("refund_without_account", payees, key=f"notice:without-account:{payment_list}:{when}", source=source)
    each = {payment.payee: {"amount": display(payment.amount, payment.currency)} for payment in payments}
    return (*_cancel(state, names, reason, SERVICE), owe(to_treasurers), owe(with_own_facts(to_payees, each)))


def _cancel(state: Open, names: Iterable[str], reason: str, by: PersonId) -> Events:
    return tuple(
        event
        for name in names
        for event in (events.PaymentCancelled(payment=name, by=by, reason=reason), *report_released(name, state.payments[name], reason))
    )
