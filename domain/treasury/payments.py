"""Payees and payments: who is paid on which account, who must sign, and what becomes of an order until a statement shows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from domain import letters
from domain.charter import Office, TreasuryTerms
from domain.kernel import SERVICE, PersonId, Refused, Step, notify
from domain.letters import Purpose
from domain.money import display
from domain.process import Context, StepOwed, StepWaived, owe
from domain.treasury import commands, events, steps
from domain.treasury.lines import Events, given_up_for_source
from domain.treasury.state import Open, Payee, Payment
from domain.treasury.terms import Creditor, Unmatched, payment_digest, sending_ids

RESERVED: Final = tuple(f"{purpose}-" for purpose in (Purpose.SPENDING, Purpose.REFUND, Purpose.RETURN))
"""How the names begin that rounds and the treasury itself give to payments; nobody may take one before them."""

TREASURERS: Final = ("office:treasurer",)


def terms_of(context: Context) -> TreasuryTerms:
    """What the charter in force says of the treasury."""
    return context.charter.treasury


def require_currency(kept: str, currency: str | None) -> None:
    """Refuses amounts in another currency than the account's."""
    if currency not in {None, kept}:
        raise Refused("wrong_currency", f"the account is kept in {kept}, not in {currency}", remedy=f"name {kept}", clause="currency")


# ---------------------------------------------------------------- payees


def name_payee(state: Open, command: commands.NamePayee, context: Context) -> Events:
    """Bank details wait for another person's approval; named again they are old news."""
    if not context.register.holds(context.actor, Office.TREASURER):
        if not command.payee.startswith("member:"):
            context.require_office(Office.TREASURER)
        context.require_representative(command.payee.removeprefix("member:"))
    account = Creditor(name=command.name, iban=command.iban, bic=command.bic, number=command.number, clearing=command.clearing)
    known = state.payees.get(command.payee, Payee())
    if account in {known.account, known.proposed.account if known.proposed else None}:
        return ()
    details = context.digest_without("kind", "payee")
    named = events.PayeeNamed(payee=command.payee, account=account, details=details, by=context.actor)
    offices = tuple(f"office:{office}" for office in sorted(terms_of(context).payee_offices))
    asked = notify(
        "payee_to_approve", offices, key=f"notice:payee:{command.payee}:{details[:40]}:{context.at.isoformat()}", payee=command.payee
    )
    return (named, owe(asked))


def approve_payee(state: Open, command: commands.ApprovePayee, context: Context) -> Events:
    """Bank details are used only after the charter's number of other people compared them."""
    terms = terms_of(context)
    context.require_office(*terms.payee_offices, clause="treasury.payee_offices")
    known = state.payees.get(command.payee, Payee())
    if known.account is not None and known.account_digest == command.details:
        return ()
    proposed = known.proposed
    if proposed is None or proposed.details != command.details:
        raise Refused(
            "no_such_details", f"no such bank details of {command.payee} wait", remedy="name them first, and compare their digest"
        )
    if context.actor == proposed.named_by:
        raise Refused("same_person", f"{context.actor} named these details", remedy="ask another person to approve them", clause="treasury")
    if context.actor in proposed.signed:
        return ()
    if len(proposed.signed) + 1 < terms.payee_approvals:
        return (events.PayeeSigned(payee=command.payee, details=command.details, by=context.actor),)
    return (events.PayeeApproved(payee=command.payee, details=command.details, by=context.actor),)


def block_payee(state: Open, command: commands.BlockPayee, context: Context) -> Events:
    """Nothing more goes there, nor does an order whose sending failed or is delayed: no later try sends it. What is on its way cannot be held."""
    context.require_office(*terms_of(context).payee_offices, clause="treasury.payee_offices")
    known = state.payees.get(command.payee, Payee())
    blocked = () if known == Payee() else (events.PayeeBlocked(payee=command.payee, by=context.actor, reason=command.reason),)
    held: Events = tuple(
        event
        for name in sorted(state.open_payments)
        for payment in (state.payments[name],)
        if (payment.payee, payment.stage) == (command.payee, "sending")
        and (sending_key(name, payment) in context.failed or sending_key(name, payment) in context.delayed)
        for event in _given_up(name, payment, command.reason, context)
    )
    return (*blocked, *held)


# ---------------------------------------------------------------- payments


def order_payment(state: Open, command: letters.OrderPayment, context: Context) -> Events:
    """An order of another stream, or of the treasurer; ordered again it is old news."""
    if context.actor == SERVICE:
        if command.source is None or command.purpose in {Purpose.RETURN, Purpose.OTHER} or command.subject is None:
            raise Refused("no_source", "an order of the system names its stream and its subject", remedy="none is needed")
    else:
        context.require_office(Office.TREASURER)
        if command.source is not None or command.purpose is not Purpose.OTHER:
            raise Refused("service_only", "orders of other streams come from there", remedy="order it there, or for the treasury itself")
        if command.payment.startswith(RESERVED) and command.payment not in state.payments:
            raise Refused("name_reserved", f"{command.payment} is a name that the system gives", remedy="choose another name")
    require_currency(state.currency, command.currency)
    known = state.payments.get(command.payment)
    if known is not None:
        if (known.payee, known.amount, known.source, known.subject) == (command.payee, command.amount, command.source, command.subject):
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
    return (ordered, asked_to_sign(ordered, context))


def asked_to_sign(ordered: events.PaymentOrdered, context: Context, attempt: int = 1) -> StepOwed:
    """The step that asks the charter's offices to sign a payment."""
    offices = tuple(f"office:{office}" for office in sorted(terms_of(context).approval_offices))
    shown = display(ordered.amount, ordered.currency)
    return owe(
        notify("payment_to_approve", offices, key=f"notice:payment:{ordered.payment}:{attempt}", payment=ordered.payment, amount=shown)
    )


def payment_of(state: Open, name: str) -> Payment:
    """The payment of this name. Refuses names that nobody ordered."""
    payment = state.payments.get(name)
    if payment is None:
        raise Refused("no_such_payment", f"nobody ordered {name}", remedy="`consortium show treasury/…` lists the payments")
    return payment


def at_stage(state: Open, name: str, attempt: int, stage: str) -> Payment | None:
    """The payment, if this attempt of it is at this stage; an answer to any other is old news."""
    payment = state.payments.get(name)
    return payment if payment is not None and (payment.attempt, payment.stage) == (attempt, stage) else None


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
            return _signed(state, command, payment, context)


def require_other_than(ordered_by: PersonId, context: Context) -> None:
    """Refuses the approval of whoever ordered it."""
    if context.actor == ordered_by:
        raise Refused("same_person", f"{context.actor} ordered it", remedy="ask other people to approve it", clause="treasury.approvals")


def require_digest(what: str, digest: str, given: str) -> None:
    """Refuses an approval of something else than what waits."""
    if digest != given:
        raise Refused("digest_differs", f"the {what} is not what was signed for", remedy="look at it again (`consortium show`)")


def still_in_office(signed: Iterable[PersonId], context: Context) -> frozenset[PersonId]:
    """Whose signatures count: a signature does as long as who gave it holds an office."""
    offices = terms_of(context).approval_offices
    return frozenset(person for person in signed if context.register.holds(person, *offices))


def require_free(amount: int, free: int, currency: str) -> None:
    """Refuses to send more than is held and free; nothing can always be sent."""
    if amount > max(free, 0):
        raise Refused(
            "more_than_held",
            f"{display(free, currency)} is held and free",
            remedy="wait until more has arrived, or cancel other payments",
            clause="treasury",
        )


def _signed(state: Open, command: commands.ApprovePayment, payment: Payment, context: Context) -> Events:
    require_other_than(payment.ordered_by, context)
    payee = state.payees.get(payment.payee, Payee())
    account = payee.account
    if account is None:
        raise Refused(
            "payee_not_approved",
            f"no bank details of {payment.payee} are approved",
            remedy="name them (`consortium treasury name-payee`), and have them approved (`consortium treasury approve-payee`)",
            clause="treasury.payee_approvals",
        )
    digest = payment_digest(command.payment, payment.attempt, payment.amount, payment.currency, payment.payee, payee.account_digest)
    require_digest("payment", digest, command.digest)
    signed = still_in_office(payment.signed if payment.digest == digest else (), context)
    if context.actor in signed:
        return ()
    if len(signed) + 1 < payment.approvals:
        return (events.PaymentSigned(payment=command.payment, attempt=payment.attempt, digest=digest, by=context.actor),)
    _require_no_debit(state, command.payment)
    kept = state.movements[payment.line].earmarked if payment.line else 0
    require_free(payment.amount, state.free_in(payment.currency) + kept, payment.currency)
    return sent(state, command.payment, account, digest, context)


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


def sent(state: Open, name: str, account: Creditor, digest: str, context: Context) -> Events:
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


def payment_failed(payment: str, attempt: int, code: str, reason: str, by: str | None = None) -> Events:
    """An attempt will not be paid, and the treasurer is told."""
    told = notify("payment_failed", TREASURERS, key=f"notice:payment-failed:{payment}:{attempt}", payment=payment, reason=reason[:500])
    return (events.PaymentFailed(payment=payment, attempt=attempt, code=code, reason=reason, by=by), owe(told))


def _given_up(name: str, payment: Payment, reason: str, context: Context) -> Events:
    """A person says that the bank will not pay the present attempt: a step that failed to send it, or is delayed, is tried no more."""
    step = sending_key(name, payment)
    closed = (StepWaived(step=step, reason=reason),) if step in context.failed or step in context.delayed else ()
    return (*closed, *payment_failed(name, payment.attempt, "", reason, context.actor))


def record_rejection(state: Open, command: commands.RecordRejection, context: Context) -> Events:
    """The treasurer heard that the bank will not pay; not while the order is on its way, for then nobody can know."""
    context.require_office(Office.TREASURER)
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
            return _given_up(command.payment, payment, command.reason, context)
        case "failed":
            return ()
        case "ordered" | "confirmed" | "returned" | "cancelled":
            raise Refused("payment_not_sent", f"{command.payment} is {payment.stage}", remedy="only a payment under way can be rejected")


def retry_payment(state: Open, command: commands.RetryPayment, context: Context) -> Events:
    """A new attempt under new ids: signed anew, to the details that are approved then."""
    context.require_office(Office.TREASURER)
    payment = payment_of(state, command.payment)
    match payment.stage:
        case "ordered" if payment.attempt > 1:
            return ()
        case "failed" | "returned":
            attempt = payment.attempt + 1
            offices = tuple(f"office:{office}" for office in sorted(terms_of(context).approval_offices))
            asked = notify(
                "payment_to_approve",
                offices,
                key=f"notice:payment:{command.payment}:{attempt}",
                payment=command.payment,
                amount=display(payment.amount, payment.currency),
            )
            return (events.PaymentRenewed(payment=command.payment, attempt=attempt, by=context.actor), owe(asked))
        case "ordered" | "sending" | "taken" | "confirmed" | "cancelled":
            raise Refused(
                "payment_not_failed", f"{command.payment} is {payment.stage}", remedy="only a failed or returned payment is retried"
            )


def cancel_payment(state: Open, command: commands.CancelPayment, context: Context) -> Events:
    """Nothing will be paid; the stream that ordered it gets its money free again, and unmatched money waits again."""
    context.require_office(Office.TREASURER)
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
            waits = () if payment.line is None else (_waits_again(state, payment.line, command.reason),)
            return (cancelled, *waits, *given_up_for_source(command.payment, payment, command.reason))


def _waits_again(state: Open, line: str, note: str) -> events.LineUnmatched:
    movement = state.movements[line]
    details = movement.details
    reason = movement.reason or Unmatched.NO_REFERENCE
    return events.LineUnmatched(
        line=line, amount=details.amount, currency=details.currency, side=details.side, reason=reason, note=note[:500]
    )
