"""Payments: who must sign, and what becomes of an order until a statement shows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from domain import letters
from domain.charter import Office
from domain.kernel import SERVICE, PersonId, Refused, Step, holders, notify, shortened
from domain.letters import Purpose
from domain.money import display
from domain.process import Context
from domain.reference import masked
from domain.stream import StepOwed, StepWaived, owe
from domain.treasury import commands, events, steps
from domain.treasury.payers import OWN_PURPOSES, report_released
from domain.treasury.records import Payee, Payment
from domain.treasury.rules import TREASURERS, Events, at_stage, payment_of, require_currency, terms_of
from domain.treasury.state import Open
from domain.treasury.terms import Creditor, Unmatched, payment_digest, sending_ids

RESERVED: Final = tuple(f"{purpose}-" for purpose in Purpose if purpose is not Purpose.OTHER)
"""How the names begin that rounds and the treasury itself give to payments; nobody may take one before them."""


def order_payment(state: Open, command: letters.OrderPayment, context: Context) -> Events:
    """An order of another stream, or of the treasurer; ordered again it changes nothing."""
    if context.actor == SERVICE:
        if command.source is None or command.purpose in OWN_PURPOSES or command.subject is None:
            raise Refused("no_source", "an order of the system names its stream and its subject", remedy="none is needed")
    else:
        context.require_duty(Office.TREASURER)
        if command.source is not None or command.purpose is not Purpose.OTHER:
            raise Refused("service_only", "orders of other streams come from there", remedy="order it there, or for the treasury itself")
        if command.payment.startswith(RESERVED) and command.payment not in state.payments:
            raise Refused("name_reserved", f"{command.payment} is a name that the system gives", remedy="choose another name")
        context.require_disinterested(command.payee)
    require_currency(state.currency, command.currency)
    before = state.payments.get(command.payment)
    if before is not None:
        if (before.payee, before.amount, before.source, before.subject) == (command.payee, command.amount, command.source, command.subject):
            return ()
        raise Refused("payment_exists", f"{command.payment} names another payment", remedy="choose another name")
    by = context.actor if command.ordered_by is None or context.actor != SERVICE else command.ordered_by
    ordered = events.PaymentOrdered(
        payment=command.payment,
        source=command.source,
        payee=command.payee,
        amount=command.amount,
        currency=state.currency,
        purpose=command.purpose,
        subject=command.subject,
        text=command.text,
        by=by,
        approvals=terms_of(context).approvals,
    )
    return (ordered, ask_to_sign(command.payment, 1, command.amount, state.currency, command.payee, context))


def ask_to_sign(name: str, attempt: int, amount: int, currency: str, payee: str, context: Context) -> StepOwed:
    """The step that asks the charter's offices to sign an attempt of a payment; whose account it goes to besides stands in it."""
    offices, register = holders(terms_of(context).approval_offices), context.register
    facts: dict[str, str | int] = {"payment": name, "amount": display(amount, currency)}
    if sharing := register.sharing_account(payee):
        facts["same_account_as"] = ", ".join(sharing)
    return owe(notify("payment_to_approve", offices, key=f"notice:payment:{name}:{attempt}", **facts))


def _require_unlisted(name: str, payment: Payment) -> None:
    """Refuses a decision of one payment of a list that waits: what people approve is the whole list as it was shown."""
    if payment.waits_in_list:
        raise Refused(
            "payment_listed",
            f"{name} waits in the list {payment.listed}",
            clause="treasury.approvals",
            remedy="approve the list (`consortium treasury approve-payment-list`), or give it up (`consortium treasury cancel-payment-list`)",
        )


def approve_payment(state: Open, command: commands.ApprovePayment, context: Context) -> Events:
    """One more signature; with the last one the order goes to the bank. Never is more approved than is held and free.

    A signature counts as long as who gave it holds an office.
    """
    context.require_office(*terms_of(context).approval_offices, clause="treasury.approval_offices")
    payment = payment_of(state, command.payment)
    _require_unlisted(command.payment, payment)
    match payment.stage:
        case "sending" | "taken" | "confirmed":
            return ()
        case "failed" | "returned" | "cancelled":
            raise Refused(
                "payment_not_ordered",
                f"{command.payment} is {payment.stage}",
                remedy="the treasurer retries it (`consortium treasury retry-payment`)",
            )
        case "ordered":
            return _add_signature(state, command, payment, context)


def require_other_than(ordered_by: PersonId, context: Context) -> None:
    """Refuses the approval of whoever ordered it."""
    context.require_not_own(ordered_by, "ordered it", clause="treasury.approvals", remedy="ask other people to approve it")


def require_foreign_account(state: Open, account: Creditor) -> None:
    """Refuses the consortium's own account as somebody's: money that goes there would be paid to nobody."""
    if not account.accounts.isdisjoint(state.account.accounts):
        raise Refused(
            "own_account",
            f"{masked(account.account_id)} is the account that this treasury keeps",
            remedy="name the account of who is to be paid",
            clause="treasury.account",
        )


def require_digest(what: str, digest: str, given: str) -> None:
    """Refuses an approval of something else than what waits."""
    if digest != given:
        raise Refused("digest_differs", f"the {what} is not what was signed for", remedy="look at it again (`consortium show`)")


def still_in_office(signed: Iterable[PersonId], context: Context) -> frozenset[PersonId]:
    """Whose signatures count: a signature does as long as who gave it holds an office, one for each organisation."""
    offices = terms_of(context).approval_offices
    return frozenset(context.register.independent(sorted(person for person in signed if context.register.holds(person, *offices))))


def _still_sign(payment: Payment, signed: Iterable[PersonId], context: Context) -> frozenset[PersonId]:
    """Whose signatures under a payment count: of who is in office and has come to speak for nobody who is paid by it."""
    return frozenset(
        person for person in still_in_office(signed, context) if not (_judged(payment) and context.own_companies(person, payment.payee))
    )


def _judged(payment: Payment) -> bool:
    """Whether people judge that it is to be paid; what a round gives back to its members follows from its books."""
    return payment.purpose is not Purpose.REFUND


def require_free(amount: int, free: int, currency: str) -> None:
    """Refuses to send more than is held and free; nothing can always be sent."""
    if amount > max(free, 0):
        raise Refused(
            "more_than_held",
            f"{display(free, currency)} is held and free",
            remedy="wait until more has arrived, or cancel other payments",
            clause="treasury",
        )


def _add_signature(state: Open, command: commands.ApprovePayment, payment: Payment, context: Context) -> Events:
    require_other_than(payment.ordered_by, context)
    if _judged(payment):
        context.require_disinterested(payment.payee)
    payee = state.payees.get(payment.payee, Payee())
    account = payee.account
    if account is None:
        raise Refused(
            "payee_not_approved",
            f"no bank details of {payment.payee} are approved",
            remedy="name them (`consortium treasury name-payee`), and have them approved (`consortium treasury approve-payee`)",
            clause="treasury.payee_approvals",
        )
    require_foreign_account(state, account)
    digest = payment_digest(command.payment, payment.attempt, payment.amount, payment.currency, payment.payee, payee.account_digest)
    require_digest("payment", digest, command.digest)
    signed = _still_sign(payment, payment.signed if payment.digest == digest else (), context)
    context.require_independent(signed, clause="treasury.approvals")
    if len(signed) + 1 < payment.approvals:
        return (events.PaymentSigned(payment=command.payment, attempt=payment.attempt, digest=digest, by=context.actor),)
    _require_no_debit(state, command.payment)
    earmarked = state.movements[payment.line].earmarked if payment.line else 0
    require_free(payment.amount, state.free_in(payment.currency) + earmarked, payment.currency)
    return send_payment(state, command.payment, account, digest, context)


def _require_no_debit(state: Open, name: str) -> None:
    """Nothing more is decided of a payment while a debit under one of its ids waits: it may have gone already."""
    for line in state.waiting:
        details = state.movements[line].details
        if details.side == "debit" and state.sent.get(details.end_to_end_id, ("", 0))[0] == name:
            raise Refused(
                "debit_waits",
                f"{line} took {display(details.amount, details.currency)} away under an id of {name}",
                remedy="the treasurer says first what it was (`consortium treasury match-payment`, `consortium treasury book-line`)",
                clause="treasury",
            )


def send_payment(state: Open, name: str, account: Creditor, digest: str, context: Context) -> Events:
    """The payment is approved with this digest, and its order goes to the bank, to this account."""
    payment = state.payments[name]
    message_id, end_to_end_id = sending_ids(context.stream, name, payment.attempt)
    day = context.charter.calendar.add(context.at, terms_of(context).execution_business_days) - timedelta(days=1)
    approved = events.PaymentApproved(
        payment=name,
        attempt=payment.attempt,
        digest=digest,
        by=context.actor,
        account=account,
        amount=payment.amount,
        currency=payment.currency,
        message_id=message_id,
        end_to_end_id=end_to_end_id,
        execute_on=day.date(),
    )
    order = steps.SendPayment(
        payment=name,
        attempt=payment.attempt,
        message_id=message_id,
        end_to_end_id=end_to_end_id,
        debtor=state.account,
        creditor=account,
        amount=payment.amount,
        currency=payment.currency,
        text=payment.text,
        execute_on=day.date(),
        created_at=context.at,
    )
    return (approved, owe(Step(kind="send_payment", key=sending_key(name, payment), data=order.model_dump(mode="json"))))


def sending_key(name: str, payment: Payment) -> str:
    """The key of the step that sends the present attempt."""
    return f"pay:{name}:{payment.attempt}"


def record_acceptance(state: Open, command: steps.PaymentAccepted) -> Events:
    """The bank took the order; an answer to an attempt that is not being sent any more changes nothing."""
    if at_stage(state, command.payment, command.attempt, "sending") is None:
        return ()
    return (events.PaymentTaken(payment=command.payment, attempt=command.attempt, bank_id=command.bank_id),)


def record_refusal(state: Open, command: steps.PaymentRejected) -> Events:
    """The bank did not take the order; an answer to an attempt that is not being sent any more changes nothing."""
    if at_stage(state, command.payment, command.attempt, "sending") is None:
        return ()
    return fail_payment(command.payment, command.attempt, command.code, command.reason or command.code or "no reason given")


def fail_payment(payment: str, attempt: int, code: str, reason: str, by: str | None = None) -> Events:
    """An attempt will not be paid; a notice tells the treasurer."""
    notice = notify("payment_failed", TREASURERS, key=f"notice:payment-failed:{payment}:{attempt}", payment=payment, reason=reason[:500])
    return (events.PaymentFailed(payment=payment, attempt=attempt, code=code, reason=reason, by=by), owe(notice))


def give_up_sending(name: str, payment: Payment, reason: str, context: Context) -> Events:
    """A person says that the bank will not pay the present attempt: a step that failed to send it, or is delayed, is tried no more."""
    step = sending_key(name, payment)
    closed = (StepWaived(step=step, reason=reason),) if step in context.failed or step in context.delayed else ()
    return (*closed, *fail_payment(name, payment.attempt, "", reason, context.actor))


def record_rejection(state: Open, command: commands.RecordRejection, context: Context) -> Events:
    """The treasurer heard that the bank will not pay; not while the order is on its way, for then nobody can know."""
    context.require_duty(Office.TREASURER)
    payment = payment_of(state, command.payment)
    step = sending_key(command.payment, payment)
    match payment.stage:
        case "sending" if step in context.owed and step not in context.failed:
            raise Refused(
                "payment_on_its_way",
                f"{command.payment} is being sent, and the bank may still take it",
                remedy="wait for the bank's answer, or until the step fails or is waived",
                clause="treasury",
            )
        case "sending" | "taken":
            return give_up_sending(command.payment, payment, command.reason, context)
        case "failed":
            return ()
        case "ordered" | "confirmed" | "returned" | "cancelled":
            raise Refused("payment_not_sent", f"{command.payment} is {payment.stage}", remedy="only a payment under way can be rejected")


def retry_payment(state: Open, command: commands.RetryPayment, context: Context) -> Events:
    """A new attempt under new ids: signed anew, to the details that are approved then."""
    context.require_duty(Office.TREASURER)
    payment = payment_of(state, command.payment)
    match payment.stage:
        case "ordered" if payment.attempt > 1:
            return ()
        case "failed" | "returned":
            renewed = events.PaymentRenewed(payment=command.payment, attempt=payment.attempt + 1, by=context.actor)
            return (renewed, ask_to_sign(command.payment, renewed.attempt, payment.amount, payment.currency, payment.payee, context))
        case "ordered" | "sending" | "taken" | "confirmed" | "cancelled":
            raise Refused(
                "payment_not_failed", f"{command.payment} is {payment.stage}", remedy="only a failed or returned payment is retried"
            )


def cancel_payment(state: Open, command: commands.CancelPayment, context: Context) -> Events:
    """Nothing will be paid; the stream that ordered it gets its money free again, and unmatched money waits again."""
    context.require_duty(Office.TREASURER)
    payment = payment_of(state, command.payment)
    _require_unlisted(command.payment, payment)
    match payment.stage:
        case "cancelled":
            return ()
        case "sending" | "taken" | "confirmed":
            raise Refused("payment_under_way", f"{command.payment} is {payment.stage}", remedy="wait for the bank's statement")
        case "ordered" | "failed" | "returned":
            _require_no_debit(state, command.payment)
            cancelled = events.PaymentCancelled(payment=command.payment, by=context.actor, reason=command.reason)
            waits = () if payment.line is None else (_wait_again(state, payment.line, command.reason),)
            return (cancelled, *waits, *report_released(command.payment, payment, command.reason))


def _wait_again(state: Open, line: str, note: str) -> events.LineUnmatched:
    movement = state.movements[line]
    details = movement.details
    reason = movement.reason or Unmatched.NO_REFERENCE
    return events.LineUnmatched(
        line=line, amount=details.amount, currency=details.currency, side=details.side, reason=reason, note=shortened(note, 500)
    )
