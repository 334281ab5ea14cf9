"""Set-off: overdue dues are paid by what rounds owe the member, by no payment of a bank, before the ladder goes on.

Announced with amounts the charter's notice before, carried out round by round, the oldest first: each is asked for what is still overdue,
and answers with what it took of the member's credit. What is not owed any more when the answer comes goes back to the round.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain import letters
from domain.charter import Office
from domain.kernel import tell
from domain.member import events
from domain.member.rules import Events, charter_of, display_dues, in_good_standing, lift_suspension, owe_notice, settle_oldest
from domain.member.state import Belonging, Dues, Invoice, SetOff, after_set_off
from domain.member.terms import Offset, Rung
from domain.process import Context
from domain.stream import StepOwed, owe

# ---------------------------------------------------------------- announcing


def announce_set_off(state: Belonging, context: Context) -> Events:
    """The announcement before a rung of the ladder: what of the overdue dues will be set off, when, and against what.

    Nothing where the charter knows no set-off, or no round owes the member anything. Only before the last rung it reckons with refunds
    that are on their way: they are waited for, so nobody is expelled while money goes back to them.
    """
    charter, dues = charter_of(state.identity, context), state.dues
    notice = charter.treasury.set_off_notice_business_days
    if not notice:
        return ()
    owed = sum(invoice.owed for invoice in _overdue(dues, context.at))
    offsets = _offsets(state, owed, context)
    if not offsets:
        return ()
    announced = events.SetOffAnnounced(
        number=dues.set_offs + 1, owed=owed, offsets=offsets, carry_out_at=context.charter.calendar.add(context.at, notice)
    )
    facts: dict[str, str | int] = {
        "amount": display_dues(sum(offset.amount for offset in offsets), context),
        "owed": display_dues(owed, context),
        "carry_out_at": announced.carry_out_at.isoformat(),
        "offsets": ", ".join(f"{display_dues(offset.amount, context)} of {offset.source}" for offset in offsets),
    }
    key = f"set-off-announced:{announced.number}"
    return (announced, owe_notice("set-off-announced", state.identity, *_who_is_told(state), key=key, **facts))


def _overdue(dues: Dues, at: datetime) -> Sequence[Invoice]:
    """The invoices that are overdue, oldest first: no other is set off, and none while a payment plan runs."""
    planned = dues.plan_until is not None and at < dues.plan_until
    return () if planned else tuple(invoice for invoice in dues.open if invoice.overdue_from <= at)


def _offsets(state: Belonging, owed: int, context: Context) -> tuple[Offset, ...]:
    last = state.dues.rung == len(Rung) - 1
    offsets: list[Offset] = []
    for source, credit in context.register.credits_of(state.identity.member, context.charter.currency):
        amount = min(credit.payable or (credit.refunding if last else 0), owed)
        if amount:
            offsets.append(Offset(source=source, amount=amount, after_refunds=last))
            owed -= amount
    return tuple(offsets)


# ---------------------------------------------------------------- carrying out


def carried_out_at(state: Belonging) -> datetime | None:
    """When a set-off that was announced is carried out; nothing once it is under way."""
    set_off = state.dues.set_off
    return None if set_off is None or set_off.asked else set_off.carry_out_at


def carry_out_set_off(state: Belonging, context: Context) -> Events:
    """Ask the first round for what is still overdue."""
    assert state.dues.set_off is not None, "the deadline of a set-off stands while there is one"
    return _go_on(state, state.dues, state.dues.set_off, context)


def _go_on(state: Belonging, dues: Dues, set_off: SetOff, context: Context) -> Events:
    """Ask the next round for what is still overdue; the end when nothing is, or no round is left."""
    owed = sum(invoice.owed for invoice in _overdue(dues, context.at))
    if not owed or not set_off.offsets:
        return (events.SetOffEnded(number=set_off.number, amount=set_off.settled),)
    offset = set_off.offsets[0]
    amount = min(offset.amount, owed)
    letter = letters.SetOffCredit(
        member=state.identity.member,
        debtor=context.stream,
        number=set_off.number,
        amount=amount,
        currency=context.charter.currency,
        after_refunds=offset.after_refunds,
    )
    asked = events.SetOffAsked(number=set_off.number, source=offset.source, amount=amount)
    return (asked, owe(tell(offset.source, letter, key=f"tell:set-off:{offset.source}:{set_off.number}")))


def record_set_off(state: Belonging | None, command: letters.RecordSetOff, context: Context) -> Events:
    """What a round took settles the oldest overdue invoice first. What is not owed any more goes back to that round; an answer that was
    booked changes nothing.
    """
    set_off = state.dues.set_off if state else None
    if state is None or set_off is None or (set_off.number, set_off.asked) != (command.number, command.source):
        return ()
    settled, excess = settle_oldest(_overdue(state.dues, context.at), command.amount)
    amount = command.amount - excess
    taken = events.DuesSetOff(number=command.number, source=command.source, amount=amount, settled=settled, excess=excess)
    after = after_set_off(state.dues, taken)
    assert after.set_off is not None
    return (
        taken,
        *_restore(state, taken, context),
        *_go_on(state, after, after.set_off, context),
        *(lift_suspension(state, "dues") if in_good_standing(after, state.identity.terms, context) else ()),
        *_told(state, taken, after, context),
    )


def _restore(state: Belonging, taken: events.DuesSetOff, context: Context) -> Sequence[StepOwed]:
    """The step by which what was taken and is not owed is the member's credit in the round again."""
    if not taken.excess:
        return ()
    letter = letters.RestoreCredit(member=state.identity.member, debtor=context.stream, number=taken.number, amount=taken.excess)
    return (owe(tell(taken.source, letter, key=f"tell:restore:{taken.source}:{taken.number}")),)


def _told(state: Belonging, taken: events.DuesSetOff, after: Dues, context: Context) -> Sequence[StepOwed]:
    if not taken.amount:
        return ()
    template, left = ("set-off-carried-out", {"owed": display_dues(after.owed, context)}) if after.owed else ("set-off-of-all-dues", {})
    key, amount = f"set-off-carried-out:{taken.number}:{taken.source}", display_dues(taken.amount, context)
    return (owe_notice(template, state.identity, *_who_is_told(state), key=key, amount=amount, round=taken.source, **left),)


# ---------------------------------------------------------------- what both begin and end with


def give_up_set_off(dues: Dues, *, though_owed: bool = False) -> Sequence[events.SetOffEnded]:
    """The end of a set-off that was announced, and of which no round was asked yet, when nothing is owed any more, or it is to be `though_owed`."""
    set_off = dues.set_off
    if set_off is None or set_off.asked or (dues.open and not though_owed):
        return ()
    return (events.SetOffEnded(number=set_off.number, amount=set_off.settled),)


def _who_is_told(state: Belonging) -> tuple[str, str]:
    """The member, and the treasurer."""
    return f"member:{state.identity.member}", f"office:{Office.TREASURER}"
