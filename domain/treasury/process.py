"""The treasury, `treasury/<account>`: the consortium's bank account, from the statement to the payment order.

unopened → open. A line of a statement: booked → matched | unmatched (→ matched | returning → sent-back | explained) | paid | undone
(by a line that is then reversed); or doubted → booked | dismissed. What counts and is missing on a corrected page waits until a person
judges. A payment: ordered → sending → taken → confirmed (→ returned) | failed | cancelled; a failed or returned one is ordered anew as
the next attempt. A payment list: ordered → approved (each of its payments is sent) | cancelled.

Money counts when a statement shows it, once, whatever the files repeat; money goes out when different people signed for exactly
this amount, payee and account, and is gone when a statement shows it. The account is opened in `account`, statements are read in `statements`, a line
is recognised in `lines`, what a person says of one is in `inbox`, who is paid in `payments`, and what is approved together in `lists`.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import letters
from domain.charter import Office
from domain.kernel import Agenda, Deadline, Headline, Refused, escaped, notify
from domain.money import display
from domain.process import Common, Context, Process, owe
from domain.reference import masked
from domain.treasury import commands, events, steps
from domain.treasury.account import open_account, open_again
from domain.treasury.inbox import assign_line, book_line, judge_line, match_payment, return_line, turned_away, undo_receipt
from domain.treasury.lines import Events
from domain.treasury.lists import approve_payment_list, cancel_payment_list, order_payment_list
from domain.treasury.payments import (
    TREASURERS,
    approve_payee,
    approve_payment,
    at_stage,
    block_payee,
    cancel_payment,
    name_payee,
    order_payment,
    payment_failed,
    record_rejection,
    retry_payment,
)
from domain.treasury.state import Open, Payee, Payment, PaymentList, TreasuryState, Unopened, closing_balance, evolve
from domain.treasury.statements import fetched, import_file, look, read, reported
from domain.treasury.tables import tables
from domain.treasury.terms import StatementFile, payment_digest

SHOWN: Final = 20
"""How many movements, payments and payees are listed for people."""


def decide(state: TreasuryState, command: commands.TreasuryCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match state:
        case Unopened():
            match command:
                case commands.OpenAccount():
                    return open_account(command, context)
                case (
                    commands.LookForStatements()
                    | steps.StatementsFetched()
                    | commands.ImportStatement()
                    | steps.StatementRead()
                    | steps.ReportRead()
                    | steps.StatementRefused()
                    | commands.AssignLine()
                    | commands.ReturnLine()
                    | commands.MatchPayment()
                    | commands.UndoReceipt()
                    | commands.BookLine()
                    | commands.JudgeLine()
                    | letters.TurnAwayPayment()
                    | commands.NamePayee()
                    | commands.ApprovePayee()
                    | commands.BlockPayee()
                    | letters.OrderPayment()
                    | commands.ApprovePayment()
                    | letters.OrderPaymentList()
                    | commands.ApprovePaymentList()
                    | commands.CancelPaymentList()
                    | steps.PaymentAccepted()
                    | steps.PaymentRejected()
                    | commands.RecordRejection()
                    | commands.RetryPayment()
                    | commands.CancelPayment()
                ):
                    raise Refused(
                        "account_not_opened",
                        "no bank account was named yet",
                        remedy="the treasurer opens it (`consortium treasury open-account`)",
                    )
        case Open():
            match command:
                case commands.OpenAccount():
                    return open_again(state, command, context)
                case commands.LookForStatements():
                    return look(state, context)
                case steps.StatementsFetched():
                    return fetched(state, command, context)
                case commands.ImportStatement(file=file, name=name):
                    context.require_office(Office.TREASURER)
                    return import_file(state, StatementFile(file=file, name=name))
                case steps.StatementRead():
                    return read(state, command, context)
                case steps.ReportRead():
                    return reported(state, command, context)
                case steps.StatementRefused(file=file, reason=reason):
                    told = notify(
                        "statement_refused", TREASURERS, key=f"notice:refused:{file[:40]}:{state.files[file].tries}", reason=reason
                    )
                    return (events.ImportRefused(file=file, reason=reason), owe(told))
                case commands.AssignLine():
                    return assign_line(state, command, context)
                case commands.ReturnLine():
                    return return_line(state, command, context)
                case commands.MatchPayment():
                    return match_payment(state, command, context)
                case commands.UndoReceipt():
                    return undo_receipt(state, command, context)
                case commands.BookLine():
                    return book_line(state, command, context)
                case commands.JudgeLine():
                    return judge_line(state, command, context)
                case letters.TurnAwayPayment():
                    return turned_away(state, command, context)
                case commands.NamePayee():
                    return name_payee(state, command, context)
                case commands.ApprovePayee():
                    return approve_payee(state, command, context)
                case commands.BlockPayee():
                    return block_payee(state, command, context)
                case letters.OrderPayment():
                    return order_payment(state, command, context)
                case commands.ApprovePayment():
                    return approve_payment(state, command, context)
                case letters.OrderPaymentList():
                    return order_payment_list(state, command, context)
                case commands.ApprovePaymentList():
                    return approve_payment_list(state, command, context)
                case commands.CancelPaymentList():
                    return cancel_payment_list(state, command, context)
                case steps.PaymentAccepted(payment=payment, attempt=attempt, bank_id=bank_id):
                    if at_stage(state, payment, attempt, "sending") is None:
                        return ()
                    return (events.PaymentTaken(payment=payment, attempt=attempt, bank_id=bank_id),)
                case steps.PaymentRejected(payment=payment, attempt=attempt, code=code, reason=reason):
                    if at_stage(state, payment, attempt, "sending") is None:
                        return ()
                    return payment_failed(payment, attempt, code, reason or code or "no reason given")
                case commands.RecordRejection():
                    return record_rejection(state, command, context)
                case commands.RetryPayment():
                    return retry_payment(state, command, context)
                case commands.CancelPayment():
                    return cancel_payment(state, command, context)


def agenda(state: TreasuryState) -> Agenda:
    """The next look for statements; an account has no end."""
    match state:
        case Unopened():
            return Agenda(closed=True)
        case Open(look_at=look_at):
            return Agenda((Deadline(look_at, commands.LookForStatements()),))


def describe(state: TreasuryState) -> Headline:
    """What is on the account, what waits for whom, and whether the bank's statements say the same."""
    match state:
        case Unopened():
            return Headline("unopened", "no account was named yet", waits_for=TREASURERS)
        case Open():
            return _headline(state)


def _headline(state: Open) -> Headline:
    balance = state.balances.get(state.currency, 0)
    stages = Counter(payment.stage for payment in map(state.payments.__getitem__, state.open_payments) if not payment.waits_in_list)
    to_sign, troubled = stages["ordered"] + len(state.open_lists), stages["failed"] + stages["returned"]
    closing = closing_balance(state)
    doubted = any(state.movements[line].stage == "doubted" for line in state.waiting)
    differs = 0 if closing is None or doubted else balance - closing[1]
    trouble = bool(state.waiting or state.gaps or state.refused or troubled or differs)
    to_approve = bool(to_sign or state.proposed)
    waits = (*(TREASURERS if trouble or to_approve else ()), *(("office:second-signatory",) if to_approve else ()))
    line = f"{display(balance, state.currency)} on {masked(state.account.account_id)}; {len(state.waiting)} to match, {to_sign} to sign"
    if state.gaps:
        line += "; statements are missing"
    if state.refused:
        line += f"; {len(state.refused)} not imported, {_refused(state, next(iter(state.refused)))}"
    if differs:
        line += f"; the books differ from the bank by {display(differs, state.currency)}"
    return Headline(
        "open",
        line,
        _text(state),
        waits,
        {
            "balance_minor": balance,
            "free_minor": state.free,
            "suspense_minor": state.earmarked.get(state.currency, 0),
            "outgoing_minor": state.outgoing.get(state.currency, 0),
            "unmatched": len(state.waiting),
            "to_sign": to_sign,
            "gaps": len(state.gaps),
            "differs_minor": differs,
            "currency": state.currency,
        },
    )


def _text(state: Open) -> str:
    parts = [f"- missing: {escaped(gap, 120)}" for gap in state.gaps[:SHOWN]]
    parts += [f"- not imported: {_refused(state, file)}" for file in islice(state.refused, SHOWN)]
    parts += [f"- of other accounts only: {_file(state, file)}" for file in islice(state.elsewhere, SHOWN)]
    if state.waiting:
        rows = (_waiting_row(state, line) for line in islice(state.waiting, SHOWN))
        parts += ["", "| waits | day | amount | why | from | text |", "| --- | --- | --- | --- | --- | --- |", *rows]
    if state.open_lists:
        rows = (_list_row(name, state.lists[name]) for name in islice(sorted(state.open_lists), SHOWN))
        parts += ["", "| payment list | of | payments | amount | to sign |", "| --- | --- | --- | --- | --- |", *rows]
    alone = [name for name in sorted(state.open_payments) if not state.payments[name].waits_in_list]
    if alone:
        rows = (_payment_row(state, name, state.payments[name]) for name in alone[:SHOWN])
        parts += ["", "| payment | payee | account | amount | stage | to sign |", "| --- | --- | --- | --- | --- | --- |", *rows]
    if state.proposed:
        rows = (_payee_row(state, name) for name in islice(sorted(state.proposed), SHOWN))
        parts += ["", "| payee | account | details |", "| --- | --- | --- |", *rows]
    return "\n".join(parts)


def _file(state: Open, file: str) -> str:
    return escaped(state.files[file].name or file[:12])


def _refused(state: Open, file: str) -> str:
    """A file that was not imported, and why: what to change is in the reason."""
    return f"{_file(state, file)}: {escaped(state.files[file].reason, 200)}"


def _payee_row(state: Open, name: str) -> str:
    given = state.payees[name].proposed
    assert given is not None
    return f"| {escaped(name)} | {masked(given.account.account_id)} | {given.details} |"


def _waiting_row(state: Open, line: str) -> str:
    movement = state.movements[line]
    details = movement.details
    why = "missing on a corrected page" if movement.missed == "open" else movement.reason or movement.stage
    amount = display(movement.signed, details.currency)
    return f"| {line} | {details.booked_on} | {amount} | {why} | {escaped(details.counterparty, 40)} | {escaped(details.text, 60)} |"


def _list_row(name: str, listed: PaymentList) -> str:
    return f"| {name} | {listed.source} | {len(listed.lines)} | {display(listed.total, listed.currency)} | {listed.digest} |"


def _payment_row(state: Open, name: str, payment: Payment) -> str:
    payee = state.payees.get(payment.payee, Payee())
    account = payment.account or payee.account
    digest = (
        payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, payee.account_digest)
        if account
        else "no approved account"
    )
    sign = digest if payment.stage == "ordered" else ""
    where = masked(account.account_id) if account else ""
    return f"| {name} | {escaped(payment.payee)} | {where} | {display(payment.amount, payment.currency)} | {payment.stage} | {sign} |"


TREASURY: Final[Process[commands.TreasuryCommand, events.TreasuryEvent, TreasuryState]] = Process(
    name="treasury",
    title="the bank account of the consortium",
    about="Statements that are imported, lines that are matched with what is owed, payees and payments that several people approve.",
    initial=Unopened(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.TreasuryCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.TreasuryEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=5,
    list_version=3,
)
