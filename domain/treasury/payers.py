"""The streams that money comes in for, and those that order payments: which letter each gets of what became of it.

Money comes in for a `Receiver`, and goes out for a `Purpose`. Both are matched exhaustively for each thing that can happen, so a further one
is named by the type checker until each of them is answered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from domain import letters
from domain.kernel import process_of, reply, shortened, tell
from domain.letters import Purpose
from domain.process import Context
from domain.stream import StepOwed, owe
from domain.treasury import events
from domain.treasury.records import Movement, Payment
from domain.treasury.rules import Events

# ---------------------------------------------------------------- money that comes in


class Receiver(StrEnum):
    """The processes that money comes in for, by the names of their streams. Each takes a letter of its own."""

    ROUND = "round"
    MEMBER = "member"


def receiver_of(stream: str) -> Receiver:
    """Which process takes the money that this stream expects."""
    return Receiver(process_of(stream))


def pass_on(matched: events.LineMatched, context: Context) -> StepOwed:
    """The step that sends a stream the letter of money that came in for it; a value date that has not come is today's."""
    amount, currency, line, on = matched.amount, matched.currency, matched.line, min(matched.value_date, context.at.date())
    letter: letters.RecordPayment | letters.RecordDuesPayment
    match receiver_of(matched.stream):
        case Receiver.ROUND:
            assert matched.member is not None, "a round's money is a member's"
            letter = letters.RecordPayment(member=matched.member, amount=amount, currency=currency, reference=line, value_date=on)
        case Receiver.MEMBER:
            letter = letters.RecordDuesPayment(amount=amount, currency=currency, reference=line, value_date=on)
    return owe(tell(matched.stream, letter, key=f"tell:{line}:{matched.attempt}"))


def report_reversal(line: str, original: str, movement: Movement) -> Events:
    """The step that sends the stream that had the money the letter that it is gone."""
    if movement.stage != "matched":
        return ()
    assert movement.stream is not None
    amount = movement.details.amount
    letter: letters.ReversePayment | letters.ReverseDuesPayment
    match receiver_of(movement.stream):
        case Receiver.ROUND:
            assert movement.member is not None, "a round's money is a member's"
            letter = letters.ReversePayment(member=movement.member, amount=amount, reference=line, original=original)
        case Receiver.MEMBER:
            letter = letters.ReverseDuesPayment(amount=amount, reference=line, original=original)
    return (owe(tell(movement.stream, letter, key=f"tell:{line}:reversal")),)


# ---------------------------------------------------------------- money that goes out

OWN_PURPOSES: Final = frozenset({Purpose.RETURN, Purpose.OTHER})
"""Why the treasury pays by itself: no other stream orders such a payment, and none hears of it."""


def report_paid(name: str, payment: Payment, line: str) -> Events:
    """The step that sends whoever ordered a payment the letter that it left."""
    if payment.source is None:
        return ()
    assert payment.subject is not None
    letter: letters.RecordSpending | letters.RecordRefund
    match payment.purpose:
        case Purpose.SPENDING:
            letter = letters.RecordSpending(spending=payment.subject, reference=line)
        case Purpose.REFUND:
            letter = letters.RecordRefund(payment=name, member=payment.subject, amount=payment.amount, reference=line)
        case Purpose.RETURN | Purpose.OTHER:
            raise AssertionError(f"{name} is the treasury's own")
    return (owe(reply(payment.source, letter, key=f"tell:record:{name}:{payment.attempt}")),)


def report_returned(name: str, payment: Payment, line: str) -> Events:
    """The step that sends whoever ordered a payment the letter that it came back."""
    if payment.source is None:
        return ()
    assert payment.subject is not None
    letter: letters.ReturnSpending | letters.ReturnRefund
    match payment.purpose:
        case Purpose.SPENDING:
            letter = letters.ReturnSpending(spending=payment.subject, reference=line)
        case Purpose.REFUND:
            letter = letters.ReturnRefund(payment=name, member=payment.subject, amount=payment.amount, reference=line)
        case Purpose.RETURN | Purpose.OTHER:
            raise AssertionError(f"{name} is the treasury's own")
    return (owe(reply(payment.source, letter, key=f"tell:return:{name}:{payment.attempt}")),)


def report_released(name: str, payment: Payment, reason: str) -> Events:
    """The step that sends whoever ordered a payment the letter that it is given up: what was reserved for it is free."""
    if payment.source is None:
        return ()
    assert payment.subject is not None
    letter: letters.ReleaseSpending | letters.ReleaseRefund
    why = shortened(reason, 500)
    match payment.purpose:
        case Purpose.SPENDING:
            letter = letters.ReleaseSpending(spending=payment.subject, reason=why)
        case Purpose.REFUND:
            letter = letters.ReleaseRefund(payment=name, member=payment.subject, amount=payment.amount, reason=why)
        case Purpose.RETURN | Purpose.OTHER:
            raise AssertionError(f"{name} is the treasury's own")
    return (owe(reply(payment.source, letter, key=f"tell:release:{name}")),)
