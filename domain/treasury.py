"""The treasury, `treasury/<account>`: the consortium's bank account, from the statement to the payment order.

unopened → open. A line of a statement: booked → matched | unmatched (→ matched | returning → sent-back | explained) | paid | undone (by a line that
is reversed); or doubted → booked | dismissed; and whatever counts may be missing on a corrected page, until a person judges. A payment: ordered → sending → taken → confirmed (→ returned) | failed | cancelled; a failed or
returned one is ordered anew as the next attempt.

Money counts when a statement shows it, once, whatever the files repeat; money goes out when different people signed for exactly
this amount, payee and account, and is gone when a statement shows it. What is stored is in `treasury_messages`, what is
true in `treasury_state`, how a line is recognised in `treasury_lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from domain.charter import Office, TreasuryTerms
from domain.kernel import SERVICE, Agenda, Deadline, Headline, Refused, Step, escaped, notify, process_of, slug_of
from domain.money import display
from domain.process import Common, Context, Process, StepCarriedOut, StepEvent, StepOwed, StepWaived, owe
from domain.reference import masked
from domain.treasury_lines import (
    Events,
    classified,
    folded,
    gone,
    missed,
    passed_on,
    received,
    returned,
    returned_to_source,
    shown_again,
    undone,
    withdrawn,
)
from domain.treasury_messages import (
    AccountOpened,
    ApprovePayee,
    ApprovePayment,
    AssignLine,
    BlockPayee,
    BookLine,
    CancelPayment,
    ChunkImported,
    Creditor,
    FetchStatements,
    ImportRefused,
    ImportStarted,
    ImportStatement,
    JudgeLine,
    LineBooked,
    LineDismissed,
    LineExplained,
    LineMatched,
    LineUnmatched,
    LookForStatements,
    MatchPayment,
    MissedLineJudged,
    NamePayee,
    OpenAccount,
    OrderPayment,
    PayeeApproved,
    PayeeBlocked,
    PayeeNamed,
    PayeeSigned,
    PaymentAccepted,
    PaymentApproved,
    PaymentCancelled,
    PaymentFailed,
    PaymentOrdered,
    PaymentRejected,
    PaymentRenewed,
    PaymentSigned,
    PaymentTaken,
    Purpose,
    ReadStatement,
    ReceiptReversed,
    RecordRejection,
    ReportRead,
    RetryPayment,
    ReturnLine,
    SendPayment,
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
    Unmatched,
    details_digest,
    payment_digest,
    sending_ids,
)
from domain.treasury_state import Import, Movement, Open, Payee, Payment, TreasuryState, Unopened, closing_balance, evolve, former_editions

RESERVED: Final = tuple(f"{purpose}-" for purpose in (Purpose.SPENDING, Purpose.REFUND, Purpose.RETURN))
"""How the names begin that rounds and the treasury itself give to payments; nobody may take one before them."""

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
                    | OrderPayment() | ApprovePayment() | PaymentAccepted() | PaymentRejected() | RecordRejection() | RetryPayment()
                    | CancelPayment()
                ):  # fmt: skip
                    raise Refused("account_not_opened", "no bank account was named yet", remedy="the treasurer opens it (`open_account`)")
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
                    return _assign(state, command, context)
                case ReturnLine():
                    return _return(state, command, context)
                case MatchPayment():
                    return _match_payment(state, command, context)
                case UndoReceipt():
                    return _undo(state, command, context)
                case BookLine():
                    return _explain(state, command, context)
                case JudgeLine():
                    return _judge(state, command, context)
                case TurnAwayPayment():
                    return _turned_away(state, command, context)
                case NamePayee():
                    return _name_payee(state, command, context)
                case ApprovePayee():
                    return _approve_payee(state, command, context)
                case BlockPayee():
                    return _block(state, command, context)
                case OrderPayment():
                    return _order(state, command, context)
                case ApprovePayment():
                    return _approve(state, command, context)
                case PaymentAccepted(payment=payment, attempt=attempt, bank_id=bank_id):
                    if _current(state, payment, attempt, "sending") is None:
                        return ()
                    return (PaymentTaken(payment=payment, attempt=attempt, bank_id=bank_id),)
                case PaymentRejected(payment=payment, attempt=attempt, code=code, reason=reason):
                    if _current(state, payment, attempt, "sending") is None:
                        return ()
                    return _failed(payment, attempt, code, reason or code or "no reason given")
                case RecordRejection():
                    return _record_rejection(state, command, context)
                case RetryPayment():
                    return _retry(state, command, context)
                case CancelPayment():
                    return _cancel(state, command, context)


TREASURERS: Final = ("office:treasurer",)


def _terms(context: Context) -> TreasuryTerms:
    return context.charter.treasury


# ---------------------------------------------------------------- the account and its statements


def _open(command: OpenAccount, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    _require_own_stream(context)
    _require_currency(context.charter.currency, command.currency)
    opened = AccountOpened(
        iban=command.iban, bic=command.bic, owner=command.owner, currency=context.charter.currency,
        opening_balance=command.opening_balance, look_at=_next_look(context),
    )  # fmt: skip
    return (opened,)


def _open_again(state: Open, command: OpenAccount, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    if state.account == Creditor(name=command.owner, iban=command.iban, bic=command.bic):
        return ()
    raise Refused(
        "account_opened", f"this treasury keeps the account {masked(state.account.iban)}",
        remedy="name another account in the charter's clause `treasury`, and open that treasury", clause="treasury.account",
    )  # fmt: skip


def _require_own_stream(context: Context) -> None:
    account = _terms(context).account
    if slug_of(context.stream) != account:
        raise Refused(
            "other_account", f"the charter's account is {account}", remedy=f"open treasury/{account}, or amend the charter", clause="treasury.account"
        )  # fmt: skip


def _require_currency(kept: str, currency: str | None) -> None:
    if currency not in {None, kept}:
        raise Refused("wrong_currency", f"the account is kept in {kept}, not in {currency}", remedy=f"name {kept}", clause="currency")


def _next_look(context: Context) -> datetime:
    return context.at + timedelta(hours=_terms(context).statement_hours)


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
    asked = FetchStatements(account=slug_of(context.stream), iban=state.account.iban, cursor=state.cursor)
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
    asked = ReadStatement(file=file, iban=state.account.iban, currency=state.currency, cursor=cursor)
    return Step(kind="read_statement", key=f"read:{file}:{number}", data=asked.model_dump(mode="json"))


def _read(state: Open, command: StatementRead, context: Context) -> Events:
    """Every line of the chunk counts once; the next chunk is owed."""
    known = state.files.get(command.file, Import(""))
    page = command.page if command.page is not None and command.page.account == state.account.iban else None
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
    payment = _current(state, name, attempt, "sending") or _current(state, name, attempt, "taken")
    if payment is None:
        return (read,)
    own = sending_ids(context.stream, name, attempt)[1]
    answers = {answer.end_to_end_id: answer for answer in command.answers}
    answer = answers.get(own) or answers.get("")
    if answer is None or not answer.rejected:
        return (read,)
    step = _sending(name, payment)
    closed = (StepCarriedOut(step=step),) if step in context.owed else ()
    return (read, *closed, *_failed(name, attempt, answer.code, answer.reason or answer.code or "no reason given"))


# ---------------------------------------------------------------- money that waits


def _waiting(state: Open, line: str, stage: Literal["unmatched", "doubted"] = "unmatched") -> Movement:
    movement = state.movements.get(line)
    if movement is None:
        raise Refused("no_such_line", f"no statement shows {line}", remedy="`consortium show treasury/…` lists what waits")
    if movement.stage != stage:
        raise Refused("line_not_waiting", f"{line} is {movement.stage}", remedy="`consortium show treasury/…` lists what waits")
    return movement


def _assign(state: Open, command: AssignLine, context: Context) -> Events:
    """Unmatched money goes to a member's account on a round, or pays its dues; that stream may still turn it away."""
    context.require_office(Office.TREASURER)
    known = state.movements.get(command.line)
    if known is not None and known.stage == "matched" and (known.stream, known.member) == (command.stream, command.member):
        return ()
    movement = _waiting(state, command.line)
    _require_assignable(state, movement, command, context)
    details, attempt = movement.details, movement.tries + 1
    matched = LineMatched(
        line=command.line, stream=command.stream, member=command.member, amount=details.amount, currency=details.currency,
        value_date=details.value_date, attempt=attempt, by=context.actor, reason=command.reason,
    )  # fmt: skip
    return (matched, passed_on(matched, context))


def _require_assignable(state: Open, movement: Movement, command: AssignLine, context: Context) -> None:
    if movement.details.side == "debit":
        raise Refused(
            "not_a_receipt", f"{command.line} took money away", remedy="say what it was (`match_payment`, `undo_receipt`, `book_line`)"
        )
    if movement.details.currency != state.currency:
        raise Refused(
            "wrong_currency", f"the books are kept in {state.currency}, the money is {movement.details.currency}",
            remedy="send it back (`return_line`)", clause="currency",
        )  # fmt: skip
    if process_of(command.stream) not in {"round", "member"}:
        raise Refused("no_such_receiver", f"{command.stream} takes no members' money", remedy="name round/<id> or member/<id>")
    known = command.member in context.register.members or any(
        expected.member == command.member and expected.stream == command.stream for expected in context.register.expected.values()
    )
    if not known or (process_of(command.stream) == "member" and slug_of(command.stream) != command.member):
        raise Refused("unknown_member", f"{command.member} is not a member that pays there", remedy="check `consortium members`")


def _return(state: Open, command: ReturnLine, context: Context) -> Events:
    """Unmatched money goes back as a payment of the treasury's own, approved like every other; until then it is kept."""
    context.require_office(Office.TREASURER)
    name = f"return-{command.line[5:].lower()}"
    known = state.movements.get(command.line)
    if known is not None and known.stage == "returning":
        return ()
    movement = _waiting(state, command.line)
    if movement.details.side == "debit":
        raise Refused("not_a_receipt", f"{command.line} took money away", remedy="say what it was (`book_line`)")
    free = next(each for number in count(1) if (each := f"{name}-{number}") not in state.payments)
    ordered = PaymentOrdered(
        payment=free, source=None, payee=command.payee, amount=movement.details.amount, currency=movement.details.currency,
        purpose=Purpose.RETURN, subject=None, text=command.reason[:140], by=context.actor, approvals=_terms(context).approvals, line=command.line,
    )  # fmt: skip
    return (ordered, _asked(ordered, context))


def _match_payment(state: Open, command: MatchPayment, context: Context) -> Events:
    """A person says what the ids do not: the payment went, or came back. The bank's charges are the difference, and never negative."""
    context.require_office(Office.TREASURER)
    known = state.movements.get(command.line)
    if known is not None and (known.stage, known.partner) == ("paid", command.payment):
        return ()
    movement, payment = _waiting(state, command.line), _payment(state, command.payment)
    details = movement.details
    out = details.side == "debit"
    charges = details.amount - payment.amount if out else payment.amount - details.amount
    if charges < 0 or details.currency != payment.currency:
        raise Refused(
            "other_amount", f"{command.payment} is of {display(payment.amount, payment.currency)}, {command.line} of {display(details.amount, details.currency)}",
            remedy="say what else it was (`book_line`)",
        )  # fmt: skip
    match payment.stage:
        case "sending" | "taken" | "failed" if out:
            return gone(command.payment, payment, payment.attempt, command.line, details, context.actor, command.reason)
        case "ordered" if out and payment.attempt - 1 > payment.shown:
            return gone(command.payment, payment, payment.attempt - 1, command.line, details, context.actor, command.reason)
        case "confirmed" if not out:
            return returned(command.payment, payment, command.line, details, context.actor, command.reason)
        case "ordered" | "sending" | "taken" | "failed" | "confirmed" | "returned" | "cancelled":
            raise Refused(
                "payment_elsewhere", f"{command.payment} is {payment.stage}: no {details.side} of it is waited for",
                remedy="name another payment, or say what else it was (`book_line`, `assign_line`)",
            )  # fmt: skip


def _undo(state: Open, command: UndoReceipt, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    known = state.movements.get(command.line)
    if known is not None and (known.stage, known.partner) == ("reversed", command.original):
        return ()
    details, original = _waiting(state, command.line).details, state.movements.get(command.original)
    if details.side == "credit":
        raise Refused("not_a_debit", f"{command.line} brought money", remedy="assign it, or say which payment came back (`match_payment`)")
    if original is None or original.details.side == "debit" or original.stage not in {"unmatched", "matched"}:
        raise Refused(
            "no_such_receipt", f"{command.original} is no credit that stands", remedy="`consortium show treasury/…` lists what waits"
        )
    if (details.amount, details.currency) != (original.details.amount, original.details.currency):
        raise Refused(
            "other_amount", f"{command.original} is of {display(original.details.amount, original.details.currency)}",
            remedy="only a whole credit is taken back: say what the debit was (`book_line`), and settle the rest with the payer",
        )  # fmt: skip
    return undone(state, command.line, command.original, context.actor, command.reason)


def _explain(state: Open, command: BookLine, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    known = state.movements.get(command.line)
    if known is not None and known.stage == "explained":
        return ()
    movement = _waiting(state, command.line)
    details = movement.details
    return (
        LineExplained(
            line=command.line, amount=details.amount, currency=details.currency, side=details.side, account=command.account,
            by=context.actor, reason=command.reason,
        ),
    )  # fmt: skip


def _judge(state: Open, command: JudgeLine, context: Context) -> Events:
    """What a repeated or corrected page left in doubt: whether a line is there twice, or is there no more."""
    context.require_office(Office.TREASURER)
    match command.verdict:
        case "repeat":
            _waiting(state, command.line, "doubted")
            return (LineDismissed(line=command.line, by=context.actor, reason=command.reason),)
        case "new":
            movement = _waiting(state, command.line, "doubted")
            place = movement.place
            booked = LineBooked(
                line=command.line, details=movement.details, key=movement.key, likeness=movement.likeness,
                file=place.file, statement=place.statement, page=place.page,
            )  # fmt: skip
            return (booked, *classified(folded(state, (booked,)), command.line, context))
        case "stands" | "withdrawn":
            return _judge_missed(state, command, command.verdict, context)


def _judge_missed(state: Open, command: JudgeLine, verdict: Literal["stands", "withdrawn"], context: Context) -> Events:
    movement = state.movements.get(command.line)
    if movement is not None and movement.missed == verdict:
        return ()
    if movement is None or movement.missed != "open":
        raise Refused(
            "line_not_missed", f"no corrected page leaves {command.line} out", remedy="`consortium show treasury/…` lists what waits"
        )
    judged = MissedLineJudged(line=command.line, verdict=verdict, by=context.actor, reason=command.reason)
    return (judged, *(withdrawn(state, command.line, context) if verdict == "withdrawn" else ()))


def _turned_away(state: Open, command: TurnAwayPayment, context: Context) -> Events:
    """Money that a stream cannot take waits for the treasurer; so does a reversal that it cannot undo.

    Of money that was taken back before the stream turned it away nothing waits: the stream has neither the one nor the other.
    """
    context.require_service()
    movement = state.movements.get(command.line)
    if movement is None or movement.stream != command.stream:
        return ()
    match movement.stage:
        case "matched":
            return _back(state, command, context, command.line, Unmatched.TURNED_AWAY)
        case "reversed":
            return _back(state, command, context, command.line, Unmatched.REVERSED_ABROAD)
        case "undone":
            assert movement.partner is not None
            undoing = state.movements[movement.partner]
            if undoing.stage not in {"reversed", "unmatched"}:
                return _back(state, command, context, command.line, Unmatched.TURNED_AWAY)
            lines = (command.line, movement.partner) if undoing.stage == "reversed" else (command.line,)
            home = tuple(_unmatched_by(state, command, line, Unmatched.TURNED_AWAY) for line in lines)
            cancelled = ReceiptReversed(
                line=movement.partner, original=command.line, amount=movement.details.amount, currency=movement.details.currency
            )
            return (*home, cancelled)
        case _:
            return ()


def _back(state: Open, command: TurnAwayPayment, context: Context, line: str, reason: Unmatched) -> Events:
    told = notify(
        "money_unmatched", TREASURERS, key=f"notice:turned-away:{line}:{state.movements[line].tries}", treasury=context.stream, lines=1
    )
    return (_unmatched_by(state, command, line, reason), owe(told))


def _unmatched_by(state: Open, command: TurnAwayPayment, line: str, reason: Unmatched) -> LineUnmatched:
    details = state.movements[line].details
    return LineUnmatched(
        line=line, amount=details.amount, currency=details.currency, side=details.side, reason=reason, stream=command.stream,
        note=command.reason,
    )  # fmt: skip


# ---------------------------------------------------------------- payees


def _name_payee(state: Open, command: NamePayee, context: Context) -> Events:
    if not context.register.holds(context.actor, Office.TREASURER):
        if not command.payee.startswith("member:"):
            context.require_office(Office.TREASURER)
        context.require_representative(command.payee.removeprefix("member:"))
    account = Creditor(name=command.name, iban=command.iban, bic=command.bic)
    known = state.payees.get(command.payee, Payee())
    if account in {known.account, known.proposed.account if known.proposed else None}:
        return ()
    details = details_digest(account)
    named = PayeeNamed(payee=command.payee, account=account, details=details, by=context.actor)
    offices = tuple(f"office:{office}" for office in sorted(_terms(context).payee_offices))
    asked = notify("payee_to_approve", offices, key=f"notice:payee:{details[:40]}:{context.at.isoformat()}", payee=command.payee)
    return (named, owe(asked))


def _approve_payee(state: Open, command: ApprovePayee, context: Context) -> Events:
    """Bank details are used only after the charter's number of other people compared them."""
    terms = _terms(context)
    context.require_office(*terms.payee_offices, clause="treasury.payee_offices")
    known = state.payees.get(command.payee, Payee())
    if known.account is not None and details_digest(known.account) == command.details:
        return ()
    proposed = known.proposed
    if proposed is None or proposed.details != command.details:
        raise Refused(
            "no_such_details", f"no such bank details of {command.payee} wait", remedy="name them first, and compare their digest"
        )
    if context.actor == proposed.named_by:
        raise Refused("same_person", f"{context.actor} named these details", remedy="ask another person to approve them", clause="treasury")
    if context.actor in proposed.signed:
        return ()
    if len(proposed.signed) + 1 < terms.payee_approvals:
        return (PayeeSigned(payee=command.payee, details=command.details, by=context.actor),)
    return (PayeeApproved(payee=command.payee, details=command.details, by=context.actor),)


def _block(state: Open, command: BlockPayee, context: Context) -> Events:
    """Nothing more goes there, nor does an order whose sending failed: no later try sends it. What is on its way cannot be held."""
    context.require_office(*_terms(context).payee_offices, clause="treasury.payee_offices")
    known = state.payees.get(command.payee, Payee())
    blocked = () if known == Payee() else (PayeeBlocked(payee=command.payee, by=context.actor, reason=command.reason),)
    held: Events = tuple(
        event
        for name, payment in sorted(state.payments.items())
        if (payment.payee, payment.stage) == (command.payee, "sending") and _sending(name, payment) in context.failed
        for event in _given_up(name, payment, command.reason, context)
    )
    return (*blocked, *held)


# ---------------------------------------------------------------- payments


def _order(state: Open, command: OrderPayment, context: Context) -> Events:
    """An order of another stream, or of the treasurer; ordered again it is old news."""
    if context.actor == SERVICE:
        if command.source is None or command.purpose in {Purpose.RETURN, Purpose.OTHER} or command.subject is None:
            raise Refused("no_source", "an order of the system names its stream and its subject", remedy="none is needed")
    else:
        context.require_office(Office.TREASURER)
        if command.source is not None or command.purpose is not Purpose.OTHER:
            raise Refused("service_only", "orders of other streams come from there", remedy="order it there, or for the treasury itself")
        if command.payment.startswith(RESERVED) and command.payment not in state.payments:
            raise Refused("name_reserved", f"{command.payment} is a name that the system gives", remedy="choose another name")
    _require_currency(state.currency, command.currency)
    known = state.payments.get(command.payment)
    if known is not None:
        if (known.payee, known.amount, known.source, known.subject) == (command.payee, command.amount, command.source, command.subject):
            return ()
        raise Refused("payment_exists", f"{command.payment} names another payment", remedy="choose another name")
    by = context.actor if command.ordered_by is None or context.actor != SERVICE else command.ordered_by
    ordered = PaymentOrdered(
        payment=command.payment, source=command.source, payee=command.payee, amount=command.amount, currency=state.currency,
        purpose=command.purpose, subject=command.subject, text=command.text, by=by, approvals=_terms(context).approvals,
    )  # fmt: skip
    return (ordered, _asked(ordered, context))


def _asked(ordered: PaymentOrdered, context: Context, attempt: int = 1) -> StepOwed:
    offices = tuple(f"office:{office}" for office in sorted(_terms(context).approval_offices))
    shown = display(ordered.amount, ordered.currency)
    return owe(
        notify("payment_to_approve", offices, key=f"notice:payment:{ordered.payment}:{attempt}", payment=ordered.payment, amount=shown)
    )


def _payment(state: Open, name: str) -> Payment:
    payment = state.payments.get(name)
    if payment is None:
        raise Refused("no_such_payment", f"nobody ordered {name}", remedy="`consortium show treasury/…` lists the payments")
    return payment


def _current(state: Open, name: str, attempt: int, stage: str) -> Payment | None:
    """The payment, if this attempt of it is at this stage; an answer to any other is old news."""
    payment = state.payments.get(name)
    return payment if payment is not None and (payment.attempt, payment.stage) == (attempt, stage) else None


def _approve(state: Open, command: ApprovePayment, context: Context) -> Events:
    """One more signature; with the last one the order goes to the bank. Never is more approved than is held and free.

    A signature counts as long as who gave it holds an office.
    """
    context.require_office(*_terms(context).approval_offices, clause="treasury.approval_offices")
    payment = _payment(state, command.payment)
    match payment.stage:
        case "sending" | "taken" | "confirmed":
            return ()
        case "failed" | "returned" | "cancelled":
            raise Refused(
                "payment_not_ordered", f"{command.payment} is {payment.stage}", remedy="the treasurer retries it (`retry_payment`)"
            )
        case "ordered":
            return _signed(state, command, payment, context)


def _signed(state: Open, command: ApprovePayment, payment: Payment, context: Context) -> Events:
    if context.actor == payment.ordered_by:
        raise Refused("same_person", f"{context.actor} ordered it", remedy="ask other people to approve it", clause="treasury.approvals")
    account = state.payees.get(payment.payee, Payee()).account
    if account is None:
        raise Refused(
            "payee_not_approved", f"no bank details of {payment.payee} are approved",
            remedy="name them (`name_payee`), and have them approved (`approve_payee`)", clause="treasury.payee_approvals",
        )  # fmt: skip
    digest = payment_digest(command.payment, payment.attempt, payment.amount, payment.currency, payment.payee, account)
    if digest != command.digest:
        raise Refused("digest_differs", "the payment is not what was signed for", remedy="look at it again (`consortium show`)")
    offices = _terms(context).approval_offices
    before = payment.signed if payment.digest == digest else frozenset()
    signed = {person for person in before if context.register.holds(person, *offices)}
    if context.actor in signed:
        return ()
    if len(signed) + 1 < payment.approvals:
        return (PaymentSigned(payment=command.payment, attempt=payment.attempt, digest=digest, by=context.actor),)
    _require_no_debit(state, command.payment)
    kept = state.movements[payment.line].earmarked if payment.line else 0
    free = state.free_in(payment.currency) + kept
    if payment.amount > free:
        raise Refused(
            "more_than_held", f"{display(free, payment.currency)} is held and free",
            remedy="wait until more has arrived, or cancel other payments", clause="treasury",
        )  # fmt: skip
    return _sent(state, command, payment, account, digest, context)


def _require_no_debit(state: Open, name: str) -> None:
    """Nothing more is decided of a payment while a debit under one of its ids waits: it may have gone already."""
    for line in state.waiting:
        details = state.movements[line].details
        if details.side == "debit" and state.sent.get(details.end_to_end_id, ("", 0))[0] == name:
            raise Refused(
                "debit_waits", f"{line} took {display(details.amount, details.currency)} away under an id of {name}",
                remedy="the treasurer says first what it was (`match_payment`, `book_line`)", clause="treasury",
            )  # fmt: skip


def _sent(state: Open, command: ApprovePayment, payment: Payment, account: Creditor, digest: str, context: Context) -> Events:
    message_id, end_to_end_id = sending_ids(context.stream, command.payment, payment.attempt)
    day = context.charter.calendar.add(context.at, _terms(context).execution_business_days) - timedelta(days=1)
    approved = PaymentApproved(
        payment=command.payment, attempt=payment.attempt, digest=digest, by=context.actor, account=account, amount=payment.amount,
        currency=payment.currency, message_id=message_id, end_to_end_id=end_to_end_id, execute_on=day.date(),
    )  # fmt: skip
    order = SendPayment(
        payment=command.payment, attempt=payment.attempt, message_id=message_id, end_to_end_id=end_to_end_id, debtor=state.account,
        creditor=account, amount=payment.amount, currency=payment.currency, text=payment.text, execute_on=day.date(), created_at=context.at,
    )  # fmt: skip
    return (approved, owe(Step(kind="send_payment", key=_sending(command.payment, payment), data=order.model_dump(mode="json"))))


def _sending(name: str, payment: Payment) -> str:
    """The key of the step that sends the present attempt."""
    return f"pay:{name}:{payment.attempt}"


def _failed(payment: str, attempt: int, code: str, reason: str, by: str | None = None) -> Events:
    told = notify("payment_failed", TREASURERS, key=f"notice:payment-failed:{payment}:{attempt}", payment=payment, reason=reason[:500])
    return (PaymentFailed(payment=payment, attempt=attempt, code=code, reason=reason, by=by), owe(told))


def _given_up(name: str, payment: Payment, reason: str, context: Context) -> Events:
    """A person says that the bank will not pay the present attempt: a step that failed to send it is tried no more."""
    step = _sending(name, payment)
    closed = (StepWaived(step=step, reason=reason),) if step in context.failed else ()
    return (*closed, *_failed(name, payment.attempt, "", reason, context.actor))


def _record_rejection(state: Open, command: RecordRejection, context: Context) -> Events:
    context.require_office(Office.TREASURER)
    payment = _payment(state, command.payment)
    step = _sending(command.payment, payment)
    match payment.stage:
        case "sending" if step in context.owed and step not in context.failed:
            raise Refused(
                "payment_on_its_way", f"{command.payment} is being sent, and the bank may still take it",
                remedy="wait for the bank's answer, or until the step fails", clause="treasury",
            )  # fmt: skip
        case "sending" | "taken":
            return _given_up(command.payment, payment, command.reason, context)
        case "failed":
            return ()
        case "ordered" | "confirmed" | "returned" | "cancelled":
            raise Refused("payment_not_sent", f"{command.payment} is {payment.stage}", remedy="only a payment under way can be rejected")


def _retry(state: Open, command: RetryPayment, context: Context) -> Events:
    """A new attempt under new ids: signed anew, to the details that are approved then."""
    context.require_office(Office.TREASURER)
    payment = _payment(state, command.payment)
    match payment.stage:
        case "ordered" if payment.attempt > 1:
            return ()
        case "failed" | "returned":
            attempt = payment.attempt + 1
            offices = tuple(f"office:{office}" for office in sorted(_terms(context).approval_offices))
            asked = notify(
                "payment_to_approve", offices, key=f"notice:payment:{command.payment}:{attempt}", payment=command.payment,
                amount=display(payment.amount, payment.currency),
            )  # fmt: skip
            return (PaymentRenewed(payment=command.payment, attempt=attempt, by=context.actor), owe(asked))
        case "ordered" | "sending" | "taken" | "confirmed" | "cancelled":
            raise Refused(
                "payment_not_failed", f"{command.payment} is {payment.stage}", remedy="only a failed or returned payment is retried"
            )


def _cancel(state: Open, command: CancelPayment, context: Context) -> Events:
    """Nothing will be paid; the stream that ordered it gets its money free again, and unmatched money waits again."""
    context.require_office(Office.TREASURER)
    payment = _payment(state, command.payment)
    match payment.stage:
        case "cancelled":
            return ()
        case "sending" | "taken" | "confirmed":
            raise Refused("payment_under_way", f"{command.payment} is {payment.stage}", remedy="wait for the bank's statement")
        case "ordered" | "failed" | "returned":
            _require_no_debit(state, command.payment)
            cancelled = PaymentCancelled(payment=command.payment, by=context.actor, reason=command.reason)
            waits = () if payment.line is None else (_waits_again(state, payment.line, command.reason),)
            return (cancelled, *waits, *returned_to_source(command.payment, payment, command.reason))


def _waits_again(state: Open, line: str, note: str) -> LineUnmatched:
    movement = state.movements[line]
    details = movement.details
    reason = movement.reason or Unmatched.NO_REFERENCE
    return LineUnmatched(line=line, amount=details.amount, currency=details.currency, side=details.side, reason=reason, note=note[:500])


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
    open_payments = {name: payment for name, payment in state.payments.items() if payment.stage not in {"confirmed", "cancelled"}}
    to_sign = [name for name, payment in open_payments.items() if payment.stage == "ordered"]
    troubled = [name for name, payment in open_payments.items() if payment.stage in {"failed", "returned"}]
    payees = [name for name, payee in state.payees.items() if payee.proposed]
    refused = [known.name or file[:12] for file, known in state.files.items() if known.stage == "refused"]
    closing = closing_balance(state)
    doubted = any(state.movements[line].stage == "doubted" for line in state.waiting)
    differs = 0 if closing is None or doubted else balance - closing[1]
    trouble = bool(state.waiting or state.gaps or refused or troubled or differs)
    waits = (*(TREASURERS if trouble or to_sign or payees else ()), *(("office:second-signatory",) if to_sign or payees else ()))
    line = f"{display(balance, state.currency)} on {masked(state.account.iban)}; {len(state.waiting)} to match, {len(to_sign)} to sign"
    if state.gaps:
        line += "; statements are missing"
    if differs:
        line += f"; the books differ from the bank by {display(differs, state.currency)}"
    return Headline(
        "open", line, _text(state, open_payments, refused), waits,
        {
            "balance_minor": balance, "free_minor": state.free, "suspense_minor": state.earmarked.get(state.currency, 0),
            "outgoing_minor": state.outgoing.get(state.currency, 0), "unmatched": len(state.waiting), "to_sign": len(to_sign),
            "gaps": len(state.gaps), "differs_minor": differs, "currency": state.currency,
        },
    )  # fmt: skip


def _text(state: Open, payments: dict[str, Payment], refused: Sequence[str]) -> str:
    parts = [f"- missing: {escaped(gap, 120)}" for gap in state.gaps[:SHOWN]]
    parts += [f"- not imported: {escaped(name)}" for name in refused[:SHOWN]]
    elsewhere = [known.name or file[:12] for file, known in state.files.items() if known.others and not known.ours]
    parts += [f"- of other accounts only: {escaped(name)}" for name in elsewhere[:SHOWN]]
    if state.waiting:
        rows = (_waiting_row(state, line) for line in islice(state.waiting, SHOWN))
        parts += ["", "| waits | day | amount | why | from | text |", "| --- | --- | --- | --- | --- | --- |", *rows]
    if payments:
        rows = (_payment_row(state, name, payment) for name, payment in islice(sorted(payments.items()), SHOWN))
        parts += ["", "| payment | payee | account | amount | stage | to sign |", "| --- | --- | --- | --- | --- | --- |", *rows]
    proposed = [(name, payee.proposed) for name, payee in sorted(state.payees.items()) if payee.proposed]
    if proposed:
        parts += ["", "| payee | account | details |", "| --- | --- | --- |"]
        parts += [f"| {escaped(name)} | {masked(given.account.iban)} | {given.details} |" for name, given in proposed[:SHOWN]]
    return "\n".join(parts)


def _waiting_row(state: Open, line: str) -> str:
    movement = state.movements[line]
    details = movement.details
    why = "missing on a corrected page" if movement.missed == "open" else movement.reason or movement.stage
    amount = display(movement.signed, details.currency)
    return f"| {line} | {details.booked_on} | {amount} | {why} | {escaped(details.counterparty, 40)} | {escaped(details.text, 60)} |"


def _payment_row(state: Open, name: str, payment: Payment) -> str:
    account = payment.account or state.payees.get(payment.payee, Payee()).account
    digest = (
        payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, account)
        if account
        else "no approved account"
    )
    sign = digest if payment.stage == "ordered" else ""
    where = masked(account.iban) if account else ""
    return f"| {name} | {escaped(payment.payee)} | {where} | {display(payment.amount, payment.currency)} | {payment.stage} | {sign} |"


TREASURY: Final[Process[TreasuryCommand, TreasuryEvent, TreasuryState]] = Process(
    name="treasury",
    initial=Unopened(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[TreasuryCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[TreasuryEvent | Common, Field(discriminator="kind")], ...]),
)
