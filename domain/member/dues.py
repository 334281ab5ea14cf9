"""Dues: invoices, payments and plans, and the good-standing ladder that unpaid dues climb."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain import letters
from domain.charter import MembershipTerms, Office, days
from domain.kernel import Refused, shown_at, tell
from domain.member import commands, events
from domain.member.rules import Events, activated, charter_of, departing, farewell, lifted, note, suspended
from domain.member.state import Active, Belonging, Dues, Identity, Paying, settled
from domain.member.terms import Rung
from domain.money import CEILING, display
from domain.process import Context, StepOwed, owe
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import BankReferenceUsed, PaymentExpected, TierChanged

YEAR: Final = days(365)

# ---------------------------------------------------------------- invoices


def first_invoice(identity: Identity, context: Context) -> Events:
    """The dues of the first year; where there are none, and nothing is left to look at, the member has its rights at once."""
    invoice = _invoice(identity, identity.tier, Dues(), context.at, context)
    at_once = invoice.amount == 0 and identity.vetting.done
    return (
        invoice,
        *_expected(identity, invoice, context),
        *(activated(identity, context) if at_once else ()),
        *_told(identity, invoice, context),
    )


def next_invoice(state: Active, context: Context) -> Events:
    """The dues of the year that begins when this invoice was due, in the tier asked for."""
    identity = state.identity
    tier = state.next_tier or identity.tier
    invoice = _invoice(identity, tier, state.dues, state.next_at, context)
    changed = (TierChanged(member=identity.member, tier=tier),) if tier != identity.tier else ()
    return (*changed, invoice, *_expected(identity, invoice, context), *_told(identity, invoice, context))


def _invoice(identity: Identity, tier: str, dues: Dues, year_begins: datetime, context: Context) -> events.DuesInvoiced:
    charter = charter_of(identity, context)
    fee = charter.tiers[tier].annual_fee if tier in charter.tiers else context.charter.tiers[tier].annual_fee
    due_at = context.at + days(charter.membership.dues_days)
    return events.DuesInvoiced(
        number=dues.last + 1, tier=tier, amount=fee, credit_used=min(dues.credit, fee), due_at=due_at, next_at=year_begins + YEAR
    )


def _told(identity: Identity, invoice: events.DuesInvoiced, context: Context) -> Events:
    if invoice.amount == invoice.credit_used:
        return ()
    facts: dict[str, str | int] = {
        "amount": _shown(invoice.amount - invoice.credit_used, context),
        "due_at": invoice.due_at.isoformat(),
        "number": invoice.number,
        "reference": shown_reference(creditor_reference(context.stream, identity.member)),
    }
    return (note("dues-invoiced", identity, key=f"dues-invoiced:{invoice.number}", **facts),)


def _expected(identity: Identity, invoice: events.DuesInvoiced, context: Context) -> tuple[PaymentExpected, ...]:
    """The creditor reference by which the member's dues are known on every statement; stated once."""
    reference = creditor_reference(context.stream, identity.member)
    if invoice.amount == invoice.credit_used or reference in context.register.expected:
        return ()
    return (PaymentExpected(reference=reference, stream=context.stream, member=identity.member),)


def _shown(amount: int, context: Context) -> str:
    return display(amount, context.charter.currency)


# ---------------------------------------------------------------- payments


def paid(state: Paying | Belonging, command: letters.RecordDuesPayment, context: Context) -> Events:
    """Money settles the oldest invoice first; rights come, or come back, when nothing is open that would take them."""
    context.require_service()
    _require_money(command, context)
    left, parts = command.amount + state.dues.credit, dict[str, int]()
    for invoice in state.dues.open:
        part = min(left, invoice.amount - invoice.paid)
        if part:
            parts[str(invoice.number)] = part
        left -= part
    payment = events.DuesPaid(amount=command.amount, reference=command.reference, value_date=command.value_date, settled=parts, credit=left)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    after = settled(state.dues, payment)
    if isinstance(state, Paying):
        return (payment, used, *(activated(state.identity, context) if not after.open and state.identity.vetting.done else ()))
    return (payment, used, *(lifted(state, "dues") if _in_good_standing(after, state.identity.terms, context) else ()))


def _in_good_standing(dues: Dues, terms: MembershipTerms, context: Context) -> bool:
    """Whether no dues are overdue for so long that they suspend: neither on the ladder, nor on their way up it."""
    if not dues.open:
        return True
    below = all(rung is not Rung.SUSPENDED for rung, _ in _rungs(terms)[: dues.rung])
    return below and context.at < dues.open[0].overdue_from + days(terms.suspended_overdue_days)


def reversed_(state: Paying | Belonging, command: letters.ReverseDuesPayment, context: Context) -> Events:
    """What was credit shrinks; what had settled an invoice is owed again, by a date as far away as an invoice's."""
    context.require_service()
    if command.reference in context.register.references:
        return ()
    if context.register.references.get(command.original) != context.stream:
        return (turned_away(command.reference, "the payment that it undoes is not booked here", context),)
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
    told = note(
        "dues-reversed",
        state.identity,
        key=f"dues-reversed:{command.reference}",
        amount=_shown(command.amount, context),
        owed=_shown(reopened, context),
    )
    return (undone, used, told)


def turned_away(line: str, reason: str, context: Context) -> StepOwed:
    """The step by which the treasury keeps money that is not taken here: a person decides."""
    back = letters.TurnAwayPayment(line=line, stream=context.stream, reason=reason)
    return owe(tell(f"treasury/{context.charter.treasury.account}", back, key=f"tell:turned-away:{line}:{context.at.isoformat()}"))


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
    assert command.amount <= CEILING


# ---------------------------------------------------------------- the end


def closed(identity: Identity, dues: Dues, *, joined: bool, context: Context) -> Events:
    """What stays unpaid is stated, and the treasurer is told what to pay back: the credit, and all of it to one who never joined."""
    unpaid, refund = (dues.owed, dues.credit) if joined else (0, dues.received)
    if not unpaid and not refund:
        return ()
    told = note(
        "dues-to-refund",
        identity,
        "office:treasurer",
        *farewell(identity),
        amount=_shown(refund, context),
        payee=f"member:{identity.member}",
    )
    return (events.DuesClosed(unpaid=unpaid, refund=refund), *((told,) if refund else ()))


# ---------------------------------------------------------------- the good-standing ladder


def planned(state: Belonging, command: commands.AgreePaymentPlan, context: Context) -> Events:
    """The clock stands still from now on, or from the end of the plan that this one replaces; nothing is overdue before it is due."""
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
    return (events.PaymentPlanAgreed(agreed_at=context.at, until=command.until, overdue_from=moved),)


def _rungs(terms: MembershipTerms) -> Sequence[tuple[Rung, int]]:
    return (
        (Rung.NOTICE, terms.notice_overdue_days),
        (Rung.SUSPENDED, terms.suspended_overdue_days),
        (Rung.TERMINATION_NOTICE, terms.termination_notice_overdue_days),
        (Rung.TERMINATED, terms.terminated_overdue_days),
    )


def next_rung(state: Belonging) -> datetime | None:
    """When the oldest open invoice reaches its next rung."""
    if not waited_for(state.dues):
        return None
    return state.dues.open[0].overdue_from + days(_rungs(state.identity.terms)[state.dues.rung][1])


def rung_after(dues: Dues) -> str:
    """The name of the rung that the oldest open invoice reaches next."""
    return tuple(Rung)[min(dues.rung, len(Rung) - 1)].value


def waited_for(dues: Dues) -> bool:
    """Whether dues are open and the ladder has not ended."""
    return bool(dues.open) and dues.rung < len(Rung)


def climbed(state: Belonging, context: Context) -> Events:
    """The next rung: rights rest at the second, and the last ends the membership of one who has not begun to leave."""
    oldest, rung = state.dues.open[0], _rungs(state.identity.terms)[state.dues.rung][0]
    reached = events.RungReached(invoice=oldest.number, rung=rung)
    told = note(f"dues-{rung}", state.identity, key=f"dues-{rung}:{oldest.number}", amount=_shown(oldest.amount - oldest.paid, context))
    match rung:
        case Rung.NOTICE | Rung.TERMINATION_NOTICE:
            return (reached, told)
        case Rung.SUSPENDED:
            return (reached, *suspended(state, "dues", context), told)
        case Rung.TERMINATED:
            return (reached, *(departing(state, "terminated", context.at, context) if isinstance(state, Active) else ()), told)
