"""A membership in tables: what dues are open, with what they are paid by, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.kernel import MemberId, StreamId
from domain.member.dues import next_rung, rung_after
from domain.member.state import Active, Belonging, Dues, Ended, MemberState, Paying, SetOff
from domain.money import Money
from domain.process import Table
from domain.reference import creditor_reference, shown_reference
from domain.register.state import Register


def tables(state: MemberState, register: Register, at: datetime) -> Sequence[Table]:
    """Each open invoice with amount, reference and due day; the credit, the plan, the ladder's next rung and what is set off. Of one that has ended, what is left."""
    if not register.version:
        return ()
    currency = register.charter.currency
    if isinstance(state, Ended):
        left = [("unpaid", Money(state.unpaid, currency)), ("refund_owed", Money(state.refund, currency))]
        return [Table("left", ("what", "amount"), [row for row in left if row[1].minor])]
    if not isinstance(state, Paying | Belonging):
        return ()
    set_off = [_set_off(state.dues.set_off, currency)] if state.dues.set_off else []
    return [_invoices(state.identity.member, state.dues, currency, at), _ladder(state, currency), *set_off]


def _invoices(member: MemberId, dues: Dues, currency: str, at: datetime) -> Table:
    reference = shown_reference(creditor_reference(StreamId(f"member/{member}"), member))
    rows = [
        (
            each.number,
            Money(each.amount, currency),
            Money(each.owed, currency),
            reference,
            each.due_at,
            each.overdue_from <= at,
        )
        for each in dues.open
    ]
    return Table("dues", ("invoice", "amount", "owed", "reference", "due_at", "overdue"), rows)


def _set_off(set_off: SetOff, currency: str) -> Table:
    """The rounds that are asked for the member's credit: the one whose answer is waited for, then those that are still to be asked."""
    asked = [(set_off.asked, None, set_off.carry_out_at, "asked")] if set_off.asked else []
    left = [(each.source, Money(each.amount, currency), set_off.carry_out_at, "announced") for each in set_off.offsets]
    return Table("set_off", ("round", "at_most", "at", "stands"), [*asked, *left])


def _ladder(state: Paying | Belonging, currency: str) -> Table:
    """What else stands in the account of a member."""
    rung = next_rung(state) if isinstance(state, Belonging) else None
    rows = [
        ("set_off", Money(state.dues.offset, currency) if state.dues.offset else None),
        ("credit", Money(state.dues.credit, currency) if state.dues.credit else None),
        ("payment_plan_until", state.dues.plan_until),
        (rung_after(state.dues) if rung else "next_rung", rung),
        ("next_invoice_at", state.next_at if isinstance(state, Paying | Active) else None),
    ]
    return Table("account", ("what", "value"), [row for row in rows if row[1] is not None])
