"""Payees: whose bank details are approved, and so where payments may go."""

from __future__ import annotations

from domain.charter import Office
from domain.kernel import Refused, holders, notify
from domain.process import Context
from domain.stream import owe
from domain.treasury import commands, events
from domain.treasury.payments import give_up_sending, sending_key
from domain.treasury.records import Payee
from domain.treasury.rules import Events, terms_of
from domain.treasury.state import Open
from domain.treasury.terms import Creditor


def name_payee(state: Open, command: commands.NamePayee, context: Context) -> Events:
    """Bank details wait for another person's approval; named again they are old news."""
    if not context.register.holds(context.actor, Office.TREASURER):
        if not command.payee.startswith("member:"):
            context.require_office(Office.TREASURER)
        context.require_representative(command.payee.removeprefix("member:"))
    account = Creditor(name=command.name, iban=command.iban, bic=command.bic, number=command.number, clearing=command.clearing)
    payee = state.payees.get(command.payee, Payee())
    if account in {payee.account, payee.proposed.account if payee.proposed else None}:
        return ()
    details = context.digest_without("kind", "payee")
    named = events.PayeeNamed(payee=command.payee, account=account, details=details, by=context.actor)
    offices = holders(terms_of(context).payee_offices)
    notice = notify(
        "payee_to_approve", offices, key=f"notice:payee:{command.payee}:{details[:40]}:{context.at.isoformat()}", payee=command.payee
    )
    return (named, owe(notice))


def approve_payee(state: Open, command: commands.ApprovePayee, context: Context) -> Events:
    """Bank details are used only after the charter's number of other people compared them."""
    terms = terms_of(context)
    context.require_office(*terms.payee_offices, clause="treasury.payee_offices")
    payee = state.payees.get(command.payee, Payee())
    if payee.account is not None and payee.account_digest == command.details:
        return ()
    proposed = payee.proposed
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
    payee = state.payees.get(command.payee, Payee())
    blocked = () if payee == Payee() else (events.PayeeBlocked(payee=command.payee, by=context.actor, reason=command.reason),)
    failed: Events = tuple(
        event
        for name in sorted(state.open_payments)
        for payment in (state.payments[name],)
        if (payment.payee, payment.stage) == (command.payee, "sending")
        and (sending_key(name, payment) in context.failed or sending_key(name, payment) in context.delayed)
        for event in give_up_sending(name, payment, command.reason, context)
    )
    return (*blocked, *failed)
