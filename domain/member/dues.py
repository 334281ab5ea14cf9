"""Dues: invoices, payments and plans, and the good-standing ladder that unpaid dues climb."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from domain import letters
from domain.charter import Office, days
from domain.kernel import Refused, shown_at
from domain.member import commands, events
from domain.member.rules import (
    Events,
    activate,
    begin_departure,
    charter_of,
    display_dues,
    in_good_standing,
    lift_suspension,
    owe_notice,
    parting_recipients,
    rungs,
    settle_oldest,
    suspend,
)
from domain.member.set_off import announce_set_off, give_up_set_off
from domain.member.state import Active, Belonging, Dues, Identity, Leaving, Paying, after_payment
from domain.member.terms import Rung
from domain.process import Context, turn_away
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import BankReferenceUsed, PaymentExpected, TierChanged
from domain.stream import StepOwed

YEAR: Final = days(365)

# ---------------------------------------------------------------- invoices


def issue_first_invoice(identity: Identity, context: Context) -> Events:
    """The dues of the first year. Where the tier has none, and the screening is done, the member has its rights at once."""
    invoice = _invoice(identity, identity.tier, Dues(), context.at, context)
    at_once = invoice.amount == 0 and identity.vetting.done
    return (
        invoice,
        *_expect_payment(identity, invoice, context),
        *(activate(identity, context) if at_once else ()),
        *_invoice_notice(identity, invoice, context),
    )


def issue_invoice(state: Active, context: Context) -> Events:
    """The dues of the next year, in the tier that the member has asked for, if any. The year begins when the deadline fell, however late this is."""
    identity = state.identity
    tier = state.next_tier or identity.tier
    invoice = _invoice(identity, tier, state.dues, state.next_at, context)
    changed = (TierChanged(member=identity.member, tier=tier),) if tier != identity.tier else ()
    return (*changed, invoice, *_expect_payment(identity, invoice, context), *_invoice_notice(identity, invoice, context))


def _invoice(identity: Identity, tier: str, dues: Dues, year_begins: datetime, context: Context) -> events.DuesInvoiced:
    charter = charter_of(identity, context)
    fee = charter.tiers[tier].annual_fee if tier in charter.tiers else context.charter.tiers[tier].annual_fee
    due_at = context.at + days(charter.membership.dues_days)
    return events.DuesInvoiced(
        number=dues.last + 1, tier=tier, amount=fee, credit_used=min(dues.credit, fee), due_at=due_at, next_at=year_begins + YEAR
    )


def _invoice_notice(identity: Identity, invoice: events.DuesInvoiced, context: Context) -> Events:
    if invoice.amount == invoice.credit_used:
        return ()
    facts: dict[str, str | int] = {
        "amount": display_dues(invoice.amount - invoice.credit_used, context),
        "due_at": invoice.due_at.isoformat(),
        "number": invoice.number,
        "reference": shown_reference(creditor_reference(context.stream, identity.member)),
    }
    return (owe_notice("dues-invoiced", identity, key=f"dues-invoiced:{invoice.number}", **facts),)


def _expect_payment(identity: Identity, invoice: events.DuesInvoiced, context: Context) -> tuple[PaymentExpected, ...]:
    """The creditor reference that the member's dues have on every statement; stated once."""
    reference = creditor_reference(context.stream, identity.member)
    if invoice.amount == invoice.credit_used or reference in context.register.expected:
        return ()
    return (PaymentExpected(reference=reference, stream=context.stream, member=identity.member),)


# ---------------------------------------------------------------- payments


def record_payment(state: Paying | Belonging | None, command: letters.RecordDuesPayment, context: Context) -> Events:
    """Money settles the oldest invoice first; rights come, or come back, when no open invoice stands against it.

    Money that nobody owes is handed back to the treasury.
    """
    if state is None:
        return (turn_away(context, command.reference, "no dues are invoiced"),)
    _require_money(command, context)
    parts, left = settle_oldest(state.dues.open, command.amount + state.dues.credit)
    payment = events.DuesPaid(amount=command.amount, reference=command.reference, value_date=command.value_date, settled=parts, credit=left)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    after = after_payment(state.dues, payment)
    if isinstance(state, Paying):
        return (payment, used, *(activate(state.identity, context) if not after.open and state.identity.vetting.done else ()))
    return (
        payment,
        used,
        *give_up_set_off(after),
        *(lift_suspension(state, "dues") if in_good_standing(after, state.identity.terms, context) else ()),
    )


def reverse_payment(state: Paying | Belonging | None, command: letters.ReverseDuesPayment, context: Context) -> Events:
    """The bank took a payment back: the credit shrinks first; the rest is owed again, with a full invoice's time to pay.

    A reversal that is booked already changes nothing; one of a payment that is not booked here is handed back to the treasury.
    """
    if state is None:
        return (turn_away(context, command.reference, "its dues are settled no more"),)
    if command.reference in context.register.references:
        return ()
    if context.register.references.get(command.original) != context.stream:
        return (turn_away(context, command.reference, "the payment that it undoes is not booked here"),)
    credit = max(state.dues.credit - command.amount, 0)
    reopened = command.amount - (state.dues.credit - credit)
    number = state.dues.open[0].number if isinstance(state, Paying) and state.dues.open else state.dues.last + 1
    due_at = context.at + days(charter_of(state.identity, context).membership.dues_days)
    undone = events.DuesReversed(
        amount=command.amount,
        reference=command.reference,
        original=command.original,
        credit=credit,
        reopened=reopened,
        number=number,
        due_at=due_at,
    )
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    return (undone, used, _notify_reversed(state.identity, undone, context))


def _notify_reversed(identity: Identity, undone: events.DuesReversed, context: Context) -> StepOwed:
    """The member is told what was taken back, and what of it is owed again, if anything."""
    key, amount = f"dues-reversed:{undone.reference}", display_dues(undone.amount, context)
    if not undone.reopened:
        return owe_notice("dues-reversed-nothing-owed", identity, key=key, amount=amount)
    return owe_notice("dues-reversed", identity, key=key, amount=amount, owed=display_dues(undone.reopened, context))


def _require_money(command: letters.RecordDuesPayment, context: Context) -> None:
    if command.currency not in {None, context.charter.currency}:
        raise Refused(
            "other_currency",
            f"the books are kept in {context.charter.currency}",
            clause="currency",
            remedy="record what the bank credited in that currency",
        )
    if command.reference in context.register.references:
        used = context.register.references[command.reference]
        raise Refused(
            "reference_used",
            f"{command.reference} is booked on {used}",
            remedy="each movement on the account is booked once",
            clause="membership",
        )
    if command.value_date > context.at.date():
        raise Refused(
            "value_date_ahead", f"{command.value_date} has not come", remedy="record money when it has arrived", clause="membership"
        )


# ---------------------------------------------------------------- the end


def close_dues(identity: Identity, dues: Dues, *, joined: bool, context: Context) -> Events:
    """States what stays unpaid and what is to be paid back: the credit, or everything to an applicant who never joined.

    The treasurer gets a notice of what to pay back.
    """
    unpaid, refund = (dues.owed, dues.credit) if joined else (0, dues.received)
    if not unpaid and not refund:
        return ()
    notice = owe_notice(
        "dues-to-refund",
        identity,
        "office:treasurer",
        *parting_recipients(identity),
        amount=display_dues(refund, context),
        payee=f"member:{identity.member}",
    )
    return (events.DuesClosed(unpaid=unpaid, refund=refund), *((notice,) if refund else ()))


# ---------------------------------------------------------------- the good-standing ladder


def agree_payment_plan(state: Belonging, command: commands.AgreePaymentPlan, context: Context) -> Events:
    """The clock of overdue dues stops now, or at the end of the plan that this one replaces. No invoice is overdue before it is due.

    A set-off that was announced is given up.
    """
    context.require_office(Office.TREASURER, clause="membership")
    longest = context.at + days(state.identity.terms.payment_plan_days)
    if not context.at < command.until <= longest:
        raise Refused(
            "plan_too_long",
            f"a plan ends after now and by {shown_at(longest)}",
            remedy="name an earlier end",
            clause="membership.payment_plan_days",
        )
    if command.until == state.dues.plan_until:
        return ()
    stopped = command.until - max(context.at, state.dues.plan_until or context.at)
    moved = {str(invoice.number): max(invoice.due_at, invoice.overdue_from + stopped) for invoice in state.dues.open}
    agreed = events.PaymentPlanAgreed(agreed_at=context.at, until=command.until, overdue_from=moved)
    return (agreed, *give_up_set_off(state.dues, though_owed=True))


def next_rung(state: Belonging) -> datetime | None:
    """When the oldest open invoice reaches its next rung: not while a payment plan runs, nor until a set-off is over."""
    if not is_pursued(state.dues) or state.dues.set_off is not None:
        return None
    reached = state.dues.open[0].overdue_from + days(rungs(state.identity.terms)[state.dues.rung][1])
    return max(reached, state.dues.plan_until or reached)


def rung_after(dues: Dues) -> str:
    """The name of the rung that the oldest open invoice reaches next."""
    return tuple(Rung)[min(dues.rung, len(Rung) - 1)].value


def is_pursued(dues: Dues) -> bool:
    """Whether dues are open and the ladder has not ended."""
    return bool(dues.open) and dues.rung < len(Rung)


def climb_ladder(state: Belonging, context: Context) -> Events:
    """The next rung: the second suspends the member, and the last ends the membership. Before any of them, what rounds owe the member is set
    off, if the charter says so.
    """
    announced = announce_set_off(state, context)
    if announced:
        return announced
    oldest, rung = state.dues.open[0], rungs(state.identity.terms)[state.dues.rung][0]
    reached = events.RungReached(invoice=oldest.number, rung=rung)
    notice = owe_notice(f"dues-{rung}", state.identity, key=f"dues-{rung}:{oldest.number}", amount=display_dues(oldest.owed, context))
    match rung:
        case Rung.NOTICE | Rung.TERMINATION_NOTICE:
            return (reached, notice)
        case Rung.SUSPENDED:
            return (reached, *suspend(state, "dues", context), notice)
        case Rung.TERMINATED:
            return (reached, *_terminate(state, context), notice)


def _terminate(state: Belonging, context: Context) -> Events:
    """The membership ends over its dues: now, or with the notice that the member gave itself, which cannot be taken back any more.

    Of a member that was expelled, or whose notice is over, nothing changes.
    """
    match state:
        case Active():
            return begin_departure(state, "terminated", context.at, context)
        case Leaving(cause="left", over=False, ends_at=ends_at):
            return begin_departure(state, "terminated", ends_at, context)
        case Leaving():
            return ()
