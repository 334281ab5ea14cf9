"""The treasury, `treasury/<account>`: the consortium's bank account, from the statement to the payment order.

unopened → open. A line of a statement: booked → matched | unmatched (→ matched | returning → sent-back | explained) | paid | undone
(by a line that is then reversed); or doubted → booked | dismissed. What counts and is missing on a corrected page waits until a person
judges. A payment: ordered → sending → taken → confirmed (→ returned) | failed | cancelled; a failed or returned one is ordered anew as
the next attempt. A payment list: ordered → approved (each of its payments is sent) | cancelled.

Money counts when a statement shows it, once, whatever the files repeat; money goes out when different people signed for exactly
this amount, payee and account, and is gone when a statement shows it. What is stored is in `treasury_messages`, what is
true in `treasury_state`, how a line is recognised in `treasury_lines`, what a person says of one in `treasury_inbox`, who is
paid in `treasury_payments`, and what is approved together in `treasury_lists`.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain.charter import Office
from domain.kernel import SERVICE, Agenda, Deadline, Headline, Refused, Step, escaped, notify, slug_of
from domain.money import display
from domain.process import Common, Context, Process, StepCarriedOut, StepEvent, owe
from domain.reference import masked
from domain.treasury_inbox import assign_line, book_line, judge_line, match_payment, return_line, turned_away, undo_receipt
from domain.treasury_lines import Events, folded, missed, received, shown_again
from domain.treasury_lists import approve_payment_list, cancel_payment_list, order_payment_list
from domain.treasury_messages import (
    AccountOpened,
    ApprovePayee,
    ApprovePayment,
    ApprovePaymentList,
    AssignLine,
    BlockPayee,
    BookLine,
    CancelPayment,
    CancelPaymentList,
    ChunkImported,
    Creditor,
    FetchStatements,
    ImportRefused,
    ImportStarted,
    ImportStatement,
    JudgeLine,
    LookForStatements,
    MatchPayment,
    NamePayee,
    OpenAccount,
    OrderPayment,
    OrderPaymentList,
    PaymentAccepted,
    PaymentRejected,
    PaymentTaken,
    ReadStatement,
    RecordRejection,
    ReportRead,
    RetryPayment,
    ReturnLine,
    StatementFile,
    StatementRead,
    StatementRefused,
    StatementsFetched,
    StatementsFound,
    StatementsSought,
    TreasuryCommand,
    TreasuryEvent,
    TurnAwayPayment,
    UndoReceipt,
    payment_digest,
    sending_ids,
)
from domain.treasury_payments import (
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
    require_currency,
    retry_payment,
    sending_key,
    terms_of,
)
from domain.treasury_state import (
    Import,
    Open,
    Payee,
    Payment,
    PaymentList,
    TreasuryState,
    Unopened,
    closing_balance,
    evolve,
    former_editions,
)
from domain.treasury_tables import tables

SHOWN: Final = 20
"""How many movements, payments and payees are listed for people."""

# ---------------------------------------------------------------- decide


def decide(state: TreasuryState, command: TreasuryCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match state:
        case Unopened():
            match command:
                case OpenAccount():
                    return _open(command, context)
                case (
                    LookForStatements() | StatementsFetched() | ImportStatement() | StatementRead() | ReportRead() | StatementRefused()
                    | AssignLine() | ReturnLine() | MatchPayment() | UndoReceipt() | BookLine() | JudgeLine() | TurnAwayPayment() | NamePayee() | ApprovePayee() | BlockPayee()
                    | OrderPayment() | ApprovePayment() | OrderPaymentList() | ApprovePaymentList() | CancelPaymentList() | PaymentAccepted()
                    | PaymentRejected() | RecordRejection() | RetryPayment() | CancelPayment()
                ):  # fmt: skip
                    raise Refused(
                        "account_not_opened",
                        "no bank account was named yet",
                        remedy="the treasurer opens it (`consortium treasury open-account`)",
                    )
        case Open():
            match command:
                case OpenAccount():
                    return _open_again(state, command, context)
                case LookForStatements():
                    return _look(state, context)
                case StatementsFetched():
                    return _fetched(state, command, context)
                case ImportStatement(file=file, name=name):
                    context.require_office(Office.TREASURER)
                    return _import(state, StatementFile(file=file, name=name))
                case StatementRead():
                    return _read(state, command, context)
                case ReportRead():
                    return _reported(state, command, context)
                case StatementRefused(file=file, reason=reason):
                    told = notify(
                        "statement_refused", TREASURERS, key=f"notice:refused:{file[:40]}:{state.files[file].tries}", reason=reason
                    )
                    return (ImportRefused(file=file, reason=reason), owe(told))
                case AssignLine():
                    return assign_line(state, command, context)
                case ReturnLine():
                    return return_line(state, command, context)
                case MatchPayment():
                    return match_payment(state, command, context)
                case UndoReceipt():
                    return undo_receipt(state, command, context)
                case BookLine():
                    return book_line(state, command, context)
                case JudgeLine():
                    return judge_line(state, command, context)
                case TurnAwayPayment():
                    return turned_away(state, command, context)
                case NamePayee():
                    return name_payee(state, command, context)
                case ApprovePayee():
                    return approve_payee(state, command, context)
                case BlockPayee():
                    return block_payee(state, command, context)
                case OrderPayment():
                    return order_payment(state, command, context)
                case ApprovePayment():
                    return approve_payment(state, command, context)
                case OrderPaymentList():
                    return order_payment_list(state, command, context)
                case ApprovePaymentList():
                    return approve_payment_list(state, command, context)
                case CancelPaymentList():
                    return cancel_payment_list(state, command, context)
                case PaymentAccepted(payment=payment, attempt=attempt, bank_id=bank_id):
                    if at_stage(state, payment, attempt, "sending") is None:
                        return ()
                    return (PaymentTaken(payment=payment, attempt=attempt, bank_id=bank_id),)
                case PaymentRejected(payment=payment, attempt=attempt, code=code, reason=reason):
                    if at_stage(state, payment, attempt, "sending") is None:
                        return ()
                    return payment_failed(payment, attempt, code, reason or code or "no reason given")
                case RecordRejection():
                    return record_rejection(state, command, context)
                case RetryPayment():
                    return retry_payment(state, command, context)
                case CancelPayment():
                    return cancel_payment(state, command, context)


# ---------------------------------------------------------------- the account and its statements


def _open(command: OpenAccount, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    _require_own_stream(context)
    require_currency(context.charter.currency, command.currency)
    opened = AccountOpened(
        iban=command.iban, bic=command.bic, owner=command.owner, currency=context.charter.currency,
        opening_balance=command.opening_balance, look_at=_next_look(context), number=command.number, clearing=command.clearing,
    )  # fmt: skip
    return (opened,)


def _open_again(state: Open, command: OpenAccount, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    if state.account == Creditor(name=command.owner, iban=command.iban, bic=command.bic, number=command.number, clearing=command.clearing):
        return ()
    raise Refused(
        "account_opened", f"this treasury keeps the account {masked(state.account.account_id)}",
        remedy="name another account in the charter's clause `treasury`, and open that treasury", clause="treasury.account",
    )  # fmt: skip


def _require_own_stream(context: Context) -> None:
    account = terms_of(context).account
    if slug_of(context.stream) != account:
        raise Refused(
            "other_account", f"the charter's account is {account}", remedy=f"open treasury/{account}, or amend the charter", clause="treasury.account"
        )  # fmt: skip


def _next_look(context: Context) -> datetime:
    return context.at + timedelta(hours=terms_of(context).statement_hours)


def _look(state: Open, context: Context) -> Events:
    """Ask the bank now; the next time comes after the charter's hours. Asked early by the system, nothing is done."""
    if context.actor == SERVICE:
        if context.at < state.look_at:
            return ()
    else:
        context.require_office(Office.TREASURER)
    return _sought(state, context)


def _sought(state: Open, context: Context) -> Events:
    number = state.looks + 1
    asked = FetchStatements(account=slug_of(context.stream), iban=state.account.iban, number=state.account.number, cursor=state.cursor)
    step = Step(kind="fetch_statements", key=f"fetch:{number}", data=asked.model_dump(mode="json"))
    return (StatementsSought(number=number, look_at=_next_look(context)), owe(step))


def _fetched(state: Open, command: StatementsFetched, context: Context) -> Events:
    """Every file that is new is read; when the bank has more, it is asked again at once, as long as its cursor moves."""
    moved = command.cursor != state.cursor
    found: Events = (StatementsFound(cursor=command.cursor),) if moved else ()
    if command.aside:
        told = notify("statement_refused", TREASURERS, key=f"notice:aside:{command.step}", reason="; ".join(command.aside)[:500])
        found = (*found, owe(told))
    current = folded(state, found)
    for file in command.files:
        started = _import(current, file)
        found, current = (*found, *started), folded(current, started)
    return (*found, *_sought(current, context)) if command.more and moved else found


def _import(state: Open, file: StatementFile) -> Events:
    known = state.files.get(file.file)
    if known is not None and known.stage != "refused":
        return ()
    tries = known.tries + 1 if known else 1
    return (ImportStarted(file=file.file, name=file.name), owe(_reading(state, file.file, f"{tries}:1", "")))


def _reading(state: Open, file: str, number: str, cursor: str) -> Step:
    asked = ReadStatement(file=file, iban=state.account.iban, number=state.account.number, currency=state.currency, cursor=cursor)
    return Step(kind="read_statement", key=f"read:{file}:{number}", data=asked.model_dump(mode="json"))


def _read(state: Open, command: StatementRead, context: Context) -> Events:
    """Every line of the chunk counts once; the next chunk is owed."""
    known = state.files.get(command.file, Import(""))
    page = command.page if command.page is not None and command.page.account == state.account.account_id else None
    events: list[TreasuryEvent | StepEvent] = []
    current, counted = state, 0
    shown: tuple[str, ...] = ()
    if known.page is not None and known.page != page:
        events += missed(state, command.file, known.page, known.shown)
    lines = command.lines if page is not None else ()
    if page is not None:
        again = bool(former_editions(state, command.file, page))
        shown = shown_again(state, page.account, lines) if again else ()
        for line in lines:
            facts = received(current, command.file, page, line, context, again=again)
            counted += bool(facts)
            events += facts
            current = folded(current, facts)
        if not command.next_cursor:
            events += missed(current, command.file, page, {*shown, *(known.shown if known.page == page else ())})
    finished = not command.next_cursor
    imported = ChunkImported(
        file=command.file, page=page, counted=counted, repeated=len(lines) - counted, other_accounts=command.other_accounts,
        not_booked=command.not_booked, finished=finished, shown=shown,
    )  # fmt: skip
    after = folded(state, (*events, imported))
    if len(after.waiting) > len(state.waiting):
        waits = notify(
            "money_unmatched", TREASURERS, key=f"notice:unmatched:{command.step[5:]}", treasury=context.stream, lines=len(after.waiting)
        )
        events.append(owe(waits))
    if not finished:
        events.append(owe(_reading(state, command.file, f"{known.tries}:{known.chunks + 2}", command.next_cursor)))
    return (*events, imported)


def _reported(state: Open, command: ReportRead, context: Context) -> Events:
    """A bank may refuse an order after it took it. Nobody sends such an order again; an answer to any other is old news."""
    read = ChunkImported(
        file=command.file, page=None, counted=0, repeated=0, other_accounts=0, not_booked=0, finished=True,
    )  # fmt: skip
    name, attempt = state.orders.get(command.order, ("", 0))
    payment = at_stage(state, name, attempt, "sending") or at_stage(state, name, attempt, "taken")
    if payment is None:
        return (read,)
    own = sending_ids(context.stream, name, attempt)[1]
    answers = {answer.end_to_end_id: answer for answer in command.answers}
    answer = answers.get(own) or answers.get("")
    if answer is None or not answer.rejected:
        return (read,)
    step = sending_key(name, payment)
    closed = (StepCarriedOut(step=step),) if step in context.owed else ()
    return (read, *closed, *payment_failed(name, attempt, answer.code, answer.reason or answer.code or "no reason given"))


# ---------------------------------------------------------------- agenda and describe


def agenda(state: TreasuryState) -> Agenda:
    """The next look for statements; an account has no end."""
    match state:
        case Unopened():
            return Agenda(closed=True)
        case Open(look_at=look_at):
            return Agenda(Deadline(look_at, LookForStatements()))


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
        "open", line, _text(state), waits,
        {
            "balance_minor": balance, "free_minor": state.free, "suspense_minor": state.earmarked.get(state.currency, 0),
            "outgoing_minor": state.outgoing.get(state.currency, 0), "unmatched": len(state.waiting), "to_sign": to_sign,
            "gaps": len(state.gaps), "differs_minor": differs, "currency": state.currency,
        },
    )  # fmt: skip


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


TREASURY: Final[Process[TreasuryCommand, TreasuryEvent, TreasuryState]] = Process(
    name="treasury",
    title="the bank account of the consortium",
    about="Statements that are imported, lines that are matched with what is owed, payees and payments that several people approve.",
    initial=Unopened(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[TreasuryCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[TreasuryEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=3,
    list_version=3,
)
