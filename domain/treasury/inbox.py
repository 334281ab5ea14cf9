"""The treasurer's inbox: what becomes of movements that wait for a person, and of money that its stream turned away."""

from __future__ import annotations

from itertools import count
from typing import Literal

from domain import letters
from domain.charter import Office
from domain.kernel import Refused, notify, process_of, shortened, slug_of
from domain.letters import Purpose
from domain.money import display
from domain.process import Context
from domain.reference import creditor_reference
from domain.stream import owe
from domain.treasury import commands, events
from domain.treasury.lines import classify, confirm_payment, return_payment, reverse_receipt, withdraw_line
from domain.treasury.payers import Receiver, pass_on
from domain.treasury.payments import ask_to_sign
from domain.treasury.records import Movement
from domain.treasury.rules import TREASURERS, Events, fold, payment_of, terms_of
from domain.treasury.state import Open
from domain.treasury.terms import Unmatched


def _waiting(state: Open, line: str, stage: Literal["unmatched", "doubted"] = "unmatched") -> Movement:
    movement = state.movements.get(line)
    if movement is None:
        raise Refused("no_such_line", f"no statement shows {line}", remedy="`consortium show treasury/…` lists what waits")
    if movement.stage != stage:
        raise Refused("line_not_waiting", f"{line} is {movement.stage}", remedy="`consortium show treasury/…` lists what waits")
    return movement


def assign_line(state: Open, command: commands.AssignLine, context: Context) -> Events:
    """Unmatched money goes to a member's account on a round, or pays its dues; that stream may still turn it away."""
    context.require_duty(Office.TREASURER)
    before = state.movements.get(command.line)
    if before is not None and before.stage == "matched" and (before.stream, before.member) == (command.stream, command.member):
        return ()
    movement = _waiting(state, command.line)
    _require_assignable(state, movement, command, context)
    details, attempt = movement.details, movement.tries + 1
    matched = events.LineMatched(
        line=command.line,
        stream=command.stream,
        member=command.member,
        amount=details.amount,
        currency=details.currency,
        value_date=details.value_date,
        attempt=attempt,
        by=context.actor,
        reason=command.reason,
    )
    return (matched, pass_on(matched, context))


def _require_assignable(state: Open, movement: Movement, command: commands.AssignLine, context: Context) -> None:
    if movement.details.side == "debit":
        raise Refused(
            "not_a_receipt",
            f"{command.line} took money away",
            remedy="say what it was (`consortium treasury match-payment`, `consortium treasury undo-receipt`, `consortium treasury book-line`)",
        )
    if movement.details.currency != state.currency:
        raise Refused(
            "wrong_currency",
            f"the books are kept in {state.currency}, the money is {movement.details.currency}",
            remedy="send it back (`consortium treasury return-line`)",
            clause="currency",
        )
    if process_of(command.stream) not in set(Receiver):
        receivers = " or ".join(f"{each}/<id>" for each in Receiver)
        raise Refused("no_such_receiver", f"{command.stream} takes no members' money", remedy=f"name {receivers}")
    pays_there = (
        command.member in context.register.members or creditor_reference(command.stream, command.member) in context.register.expected
    )
    if not pays_there or (process_of(command.stream) == "member" and slug_of(command.stream) != command.member):
        raise Refused("unknown_member", f"{command.member} is not a member that pays there", remedy="check `consortium members`")


def return_line(state: Open, command: commands.ReturnLine, context: Context) -> Events:
    """Unmatched money goes back as a payment of the treasury's own, approved like every other; until then it is earmarked."""
    context.require_duty(Office.TREASURER)
    name = f"return-{command.line[5:].lower()}"
    before = state.movements.get(command.line)
    if before is not None and before.stage == "returning":
        return ()
    movement = _waiting(state, command.line)
    if movement.details.side == "debit":
        raise Refused("not_a_receipt", f"{command.line} took money away", remedy="say what it was (`consortium treasury book-line`)")
    context.require_disinterested(command.payee)
    free = next(each for number in count(1) if (each := f"{name}-{number}") not in state.payments)
    ordered = events.PaymentOrdered(
        payment=free,
        source=None,
        payee=command.payee,
        amount=movement.details.amount,
        currency=movement.details.currency,
        purpose=Purpose.RETURN,
        subject=None,
        text=shortened(command.reason, 140),
        by=context.actor,
        approvals=terms_of(context).approvals,
        line=command.line,
    )
    return (ordered, ask_to_sign(free, 1, ordered.amount, ordered.currency, ordered.payee, context))


def match_payment(state: Open, command: commands.MatchPayment, context: Context) -> Events:
    """A person says what the ids do not: the payment went, or came back. The bank's charges are the difference, and never negative."""
    context.require_duty(Office.TREASURER)
    before = state.movements.get(command.line)
    if before is not None and (before.stage, before.partner) == ("paid", command.payment):
        return ()
    movement, payment = _waiting(state, command.line), payment_of(state, command.payment)
    details = movement.details
    out = details.side == "debit"
    charges = details.amount - payment.amount if out else payment.amount - details.amount
    if charges < 0 or details.currency != payment.currency:
        raise Refused(
            "other_amount",
            f"{command.payment} is of {display(payment.amount, payment.currency)}, {command.line} of {display(details.amount, details.currency)}",
            remedy="say what else it was (`consortium treasury book-line`)",
        )
    match payment.stage:
        case "sending" | "taken" | "failed" if out:
            return confirm_payment(command.payment, payment, payment.attempt, command.line, details, context.actor, command.reason)
        case "ordered" if out and payment.attempt - 1 > payment.shown:
            return confirm_payment(command.payment, payment, payment.attempt - 1, command.line, details, context.actor, command.reason)
        case "confirmed" if not out:
            return return_payment(command.payment, payment, command.line, details, context.actor, command.reason)
        case "ordered" | "sending" | "taken" | "failed" | "confirmed" | "returned" | "cancelled":
            raise Refused(
                "payment_elsewhere",
                f"{command.payment} is {payment.stage}: no {details.side} of it is waited for",
                remedy="name another payment, or say what else it was (`consortium treasury book-line`, `consortium treasury assign-line`)",
            )


def undo_receipt(state: Open, command: commands.UndoReceipt, context: Context) -> Events:
    """A person says what the ids do not: a debit took a whole credit back."""
    context.require_duty(Office.TREASURER)
    before = state.movements.get(command.line)
    if before is not None and (before.stage, before.partner) == ("reversed", command.original):
        return ()
    details, original = _waiting(state, command.line).details, state.movements.get(command.original)
    if details.side == "credit":
        raise Refused(
            "not_a_debit",
            f"{command.line} brought money",
            remedy="assign it, or say which payment came back (`consortium treasury match-payment`)",
        )
    if original is None or original.details.side == "debit" or original.stage not in {"unmatched", "matched"}:
        raise Refused(
            "no_such_receipt", f"{command.original} is no credit that stands", remedy="`consortium show treasury/…` lists what waits"
        )
    if (details.amount, details.currency) != (original.details.amount, original.details.currency):
        raise Refused(
            "other_amount",
            f"{command.original} is of {display(original.details.amount, original.details.currency)}",
            remedy="only a whole credit is taken back: say what the debit was (`consortium treasury book-line`), and settle the rest with the payer",
        )
    return reverse_receipt(state, command.line, command.original, context.actor, command.reason)


def book_line(state: Open, command: commands.BookLine, context: Context) -> Events:
    """A movement that concerns no member and no payment leaves the inbox to an account of the books."""
    context.require_duty(Office.TREASURER)
    before = state.movements.get(command.line)
    if before is not None and before.stage == "explained":
        return ()
    movement = _waiting(state, command.line)
    details = movement.details
    return (
        events.LineExplained(
            line=command.line,
            amount=details.amount,
            currency=details.currency,
            side=details.side,
            account=command.account,
            by=context.actor,
            reason=command.reason,
        ),
    )


def judge_line(state: Open, command: commands.JudgeLine, context: Context) -> Events:
    """What a repeated or corrected page left in doubt: whether a line is there twice, or is there no more."""
    context.require_duty(Office.TREASURER)
    match command.verdict:
        case "repeat":
            _waiting(state, command.line, "doubted")
            return (events.LineDismissed(line=command.line, by=context.actor, reason=command.reason),)
        case "new":
            movement = _waiting(state, command.line, "doubted")
            place = movement.place
            booked = events.LineBooked(
                line=command.line,
                details=movement.details,
                key=movement.key,
                likeness=movement.likeness,
                file=place.file,
                statement=place.statement,
                page=place.page,
            )
            return (booked, *classify(fold(state, (booked,)), command.line, context))
        case "stands" | "withdrawn":
            return _judge_missed(state, command, command.verdict, context)


def _judge_missed(state: Open, command: commands.JudgeLine, verdict: Literal["stands", "withdrawn"], context: Context) -> Events:
    movement = state.movements.get(command.line)
    if movement is not None and movement.missed == verdict:
        return ()
    if movement is None or movement.missed != "open":
        raise Refused(
            "line_not_missed", f"no corrected page leaves {command.line} out", remedy="`consortium show treasury/…` lists what waits"
        )
    judged = events.MissedLineJudged(line=command.line, verdict=verdict, by=context.actor, reason=command.reason)
    return (judged, *(withdraw_line(state, command.line, context) if verdict == "withdrawn" else ()))


def reopen_turned_away(state: Open, command: letters.TurnAwayPayment, context: Context) -> Events:
    """Money that a stream cannot take waits for the treasurer; so does a reversal that it cannot undo.

    Of money that was taken back before the stream turned it away nothing waits: the stream has neither the one nor the other.
    """
    movement = state.movements.get(command.line)
    if movement is None or movement.stream != command.stream:
        return ()
    match movement.stage:
        case "matched":
            return _wait_again(state, command, context, command.line, Unmatched.TURNED_AWAY)
        case "reversed":
            return _wait_again(state, command, context, command.line, Unmatched.REVERSAL_TURNED_AWAY)
        case "undone":
            assert movement.partner is not None
            undoing = state.movements[movement.partner]
            if undoing.stage not in {"reversed", "unmatched"}:
                return _wait_again(state, command, context, command.line, Unmatched.TURNED_AWAY)
            lines = (command.line, movement.partner) if undoing.stage == "reversed" else (command.line,)
            home = tuple(_unmatched_by(state, command, line, Unmatched.TURNED_AWAY) for line in lines)
            cancelled = events.ReceiptReversed(
                line=movement.partner, original=command.line, amount=movement.details.amount, currency=movement.details.currency
            )
            return (*home, cancelled)
        case _:
            return ()


def _wait_again(state: Open, command: letters.TurnAwayPayment, context: Context, line: str, reason: Unmatched) -> Events:
    notice = notify(
        "money_unmatched", TREASURERS, key=f"notice:turned-away:{line}:{state.movements[line].tries}", treasury=context.stream, lines=1
    )
    return (_unmatched_by(state, command, line, reason), owe(notice))


def _unmatched_by(state: Open, command: letters.TurnAwayPayment, line: str, reason: Unmatched) -> events.LineUnmatched:
    details = state.movements[line].details
    return events.LineUnmatched(
        line=line,
        amount=details.amount,
        currency=details.currency,
        side=details.side,
        reason=reason,
        stream=command.stream,
        note=command.reason,
    )
