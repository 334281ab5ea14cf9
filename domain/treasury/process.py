"""The treasury, `treasury/<account>`: the consortium's bank account, from the statement to the payment order.

unopened → open. A line of a statement: booked → matched | unmatched (→ matched | returning → sent-back | explained) | paid | undone
(by a line that is then reversed); or doubted → booked | dismissed. What counts and is missing on a corrected page waits until a person
judges. A payment: ordered → sending → taken → confirmed (→ returned) | failed | cancelled; a failed or returned one is ordered anew as
the next attempt. A payment list: ordered → approved (each of its payments is sent) | cancelled.

Money counts when a statement shows it, once, whatever the files repeat; money goes out when different people signed for exactly
this amount, payee and account, and is gone when a statement shows it. The account is opened in `account`, statements are read in `statements`,
a line is recognised in `lines`, what a person says of one is in `inbox`, who may be paid in `payees`, each payment in `payments`, what is
approved together in `lists`, and what the other processes get to know of their money in `payers`.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import letters
from domain.kernel import Agenda, Deadline, Headline, escaped
from domain.money import display
from domain.process import Context, Process
from domain.reference import masked
from domain.stream import Common
from domain.treasury import account, commands, events, inbox, lists, payees, payments, rules, statements, steps
from domain.treasury.records import Payee, Payment, PaymentList
from domain.treasury.rules import TREASURERS, Events
from domain.treasury.state import Open, TreasuryState, Unopened, closing_balance, evolve
from domain.treasury.tables import tables
from domain.treasury.terms import Creditor, payment_digest

SHOWN: Final = 20
"""How many movements, payments and payees are listed for people."""


def decide(state: TreasuryState, command: commands.TreasuryCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.OpenAccount():
            return account.open_account(state, command, context)
        case commands.LookForStatements():
            return statements.fetch_statements(rules.opened(state), context)
        case commands.ImportStatement():
            return statements.import_statement(rules.opened(state), command, context)
        case steps.StatementsFetched():
            return statements.import_fetched(rules.opened(state), command, context)
        case steps.StatementRead():
            return statements.import_chunk(rules.opened(state), command, context)
        case steps.ReportRead():
            return statements.record_report(rules.opened(state), command, context)
        case steps.StatementRefused():
            return statements.refuse_file(rules.opened(state), command)
        case commands.AssignLine():
            return inbox.assign_line(rules.opened(state), command, context)
        case commands.ReturnLine():
            return inbox.return_line(rules.opened(state), command, context)
        case commands.MatchPayment():
            return inbox.match_payment(rules.opened(state), command, context)
        case commands.UndoReceipt():
            return inbox.undo_receipt(rules.opened(state), command, context)
        case commands.BookLine():
            return inbox.book_line(rules.opened(state), command, context)
        case commands.JudgeLine():
            return inbox.judge_line(rules.opened(state), command, context)
        case letters.TurnAwayPayment():
            return inbox.reopen_turned_away(rules.opened(state), command, context)
        case commands.NamePayee():
            return payees.name_payee(rules.opened(state), command, context)
        case commands.ApprovePayee():
            return payees.approve_payee(rules.opened(state), command, context)
        case commands.BlockPayee():
            return payees.block_payee(rules.opened(state), command, context)
        case letters.OrderPayment():
            return payments.order_payment(rules.opened(state), command, context)
        case commands.ApprovePayment():
            return payments.approve_payment(rules.opened(state), command, context)
        case steps.PaymentAccepted():
            return payments.record_acceptance(rules.opened(state), command)
        case steps.PaymentRejected():
            return payments.record_refusal(rules.opened(state), command)
        case commands.RecordRejection():
            return payments.record_rejection(rules.opened(state), command, context)
        case commands.RetryPayment():
            return payments.retry_payment(rules.opened(state), command, context)
        case commands.CancelPayment():
            return payments.cancel_payment(rules.opened(state), command, context)
        case letters.OrderPaymentList():
            return lists.order_payment_list(rules.opened(state), command, context)
        case commands.ApprovePaymentList():
            return lists.approve_payment_list(rules.opened(state), command, context)
        case commands.CancelPaymentList():
            return lists.cancel_payment_list(rules.opened(state), command, context)


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
        parts += [
            "",
            "| payment | payee | account | same account as | amount | stage | to sign |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    if state.proposed:
        rows = (_payee_row(state, name) for name in islice(sorted(state.proposed), SHOWN))
        parts += ["", "| payee | account | belongs to | same account as | details |", "| --- | --- | --- | --- | --- |", *rows]
    return "\n".join(parts)


def _file(state: Open, file: str) -> str:
    return escaped(state.files[file].name or file[:12])


def _refused(state: Open, file: str) -> str:
    """A file that was not imported, and why: what to change is in the reason."""
    return f"{_file(state, file)}: {escaped(state.files[file].reason, 200)}"


def _payee_row(state: Open, name: str) -> str:
    given = state.payees[name].proposed
    assert given is not None
    same = ", ".join(map(escaped, _sharing(state, name, given.account)))
    return f"| {escaped(name)} | {masked(given.account.account_id)} | {given.member or ''} | {same} | {given.details} |"


def _sharing(state: Open, name: str, account: Creditor) -> tuple[str, ...]:
    """The other payees of whom details with this account are approved or wait, in order."""
    return tuple(
        other
        for other, payee in sorted(state.payees.items())
        if other != name and any(each is not None and not each.accounts.isdisjoint(account.accounts) for each in payee.accounts)
    )


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
    paid_to = payment.account or payee.account
    digest = (
        payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, payee.account_digest)
        if paid_to
        else "no approved account"
    )
    sign = digest if payment.stage == "ordered" else ""
    where = masked(paid_to.account_id) if paid_to else ""
    same = ", ".join(map(escaped, _sharing(state, payment.payee, paid_to))) if paid_to else ""
    return (
        f"| {name} | {escaped(payment.payee)} | {where} | {same} | {display(payment.amount, payment.currency)} | {payment.stage} | {sign} |"
    )


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
    state_version=8,
    list_version=3,
)
