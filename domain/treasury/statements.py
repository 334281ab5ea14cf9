"""Statements: asked for at the bank, imported chunk by chunk; and the bank's reports on orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.charter import Office
from domain.kernel import SERVICE, Step, notify, slug_of
from domain.process import Context
from domain.stream import StepCarriedOut, StepEvent, StepOwed, owe
from domain.treasury import commands, events, steps
from domain.treasury.lines import lines_shown_again, missing_lines, receive_line
from domain.treasury.payments import fail_payment, sending_key
from domain.treasury.records import Import
from domain.treasury.rules import TREASURERS, Events, at_stage, fold, terms_of
from domain.treasury.state import Open, former_editions
from domain.treasury.terms import Line, Page, StatementFile, sending_ids


def next_look(context: Context) -> datetime:
    """When the bank is asked for statements again by itself."""
    return context.at + timedelta(hours=terms_of(context).statement_hours)


def fetch_statements(state: Open, context: Context) -> Events:
    """Ask the bank now; the next time comes after the charter's hours. Asked early by the system, nothing is done."""
    if context.actor == SERVICE:
        if context.at < state.look_at:
            return ()
    else:
        context.require_duty(Office.TREASURER)
    return _ask_bank(state, context)


def _ask_bank(state: Open, context: Context) -> Events:
    number = state.looks + 1
    data = steps.FetchStatements(account=slug_of(context.stream), iban=state.account.iban, number=state.account.number, cursor=state.cursor)
    step = Step(kind="fetch_statements", key=f"fetch:{number}", data=data.model_dump(mode="json"))
    return (events.StatementsSought(number=number, look_at=next_look(context)), owe(step))


def import_fetched(state: Open, command: steps.StatementsFetched, context: Context) -> Events:
    """Every file that is new is read; when the bank has more, it is asked again at once, as long as its cursor moves."""
    moved = command.cursor != state.cursor
    found: Events = (events.StatementsFound(cursor=command.cursor),) if moved else ()
    if command.aside:
        notice = notify("statement_refused", TREASURERS, key=f"notice:aside:{command.step}", reason="; ".join(command.aside)[:500])
        found = (*found, owe(notice))
    current = fold(state, found)
    for file in command.files:
        started = import_file(current, file)
        found, current = (*found, *started), fold(current, started)
    return (*found, *_ask_bank(current, context)) if command.more and moved else found


def import_statement(state: Open, command: commands.ImportStatement, context: Context) -> Events:
    """The treasurer names a stored file."""
    context.require_duty(Office.TREASURER)
    return import_file(state, StatementFile(file=command.file, name=command.name))


def import_file(state: Open, file: StatementFile) -> Events:
    """Reads a file that is new, or that could not be read before."""
    before = state.files.get(file.file)
    if before is not None and before.stage != "refused":
        return ()
    tries = before.tries + 1 if before else 1
    return (events.ImportStarted(file=file.file, name=file.name), owe(_reading_step(state, file.file, f"{tries}:1", "")))


def _reading_step(state: Open, file: str, number: str, cursor: str) -> Step:
    data = steps.ReadStatement(file=file, iban=state.account.iban, number=state.account.number, currency=state.currency, cursor=cursor)
    return Step(kind="read_statement", key=f"read:{file}:{number}", data=data.model_dump(mode="json"))


def refuse_file(state: Open, command: steps.StatementRefused) -> Events:
    """A file cannot be read: a notice tells the treasurer why."""
    key = f"notice:refused:{command.file[:40]}:{state.files[command.file].tries}"
    notice = notify("statement_refused", TREASURERS, key=key, reason=command.reason)
    return (events.ImportRefused(file=command.file, reason=command.reason), owe(notice))


def import_chunk(state: Open, command: steps.StatementRead, context: Context) -> Events:
    """Every line of the chunk counts once; the next chunk is owed."""
    file = state.files.get(command.file, Import(""))
    page = command.page if command.page is not None and command.page.account == state.account.account_id else None
    left_out = missing_lines(state, command.file, file.page, file.shown) if file.page is not None and file.page != page else ()
    again = page is not None and bool(former_editions(state, command.file, page))
    lines = command.lines if page is not None else ()
    shown = lines_shown_again(state, page.account, lines) if page is not None and again else ()
    received, after, counted = _receive_lines(state, command.file, page, lines, context, again=again)
    if page is not None and not command.next_cursor:
        left_out_here = missing_lines(after, command.file, page, {*shown, *(file.shown if file.page == page else ())})
    else:
        left_out_here = ()
    imported = events.ChunkImported(
        file=command.file,
        page=page,
        counted=counted,
        repeated=len(lines) - counted,
        other_accounts=command.other_accounts,
        not_booked=command.not_booked,
        finished=not command.next_cursor,
        shown=shown,
    )
    waiting = len(fold(after, (*left_out, *left_out_here)).waiting)
    notices = (_ask_to_match(command.step, waiting, context),) if waiting > len(state.waiting) else ()
    number = f"{file.tries}:{file.chunks + 2}"
    further = (owe(_reading_step(state, command.file, number, command.next_cursor)),) if command.next_cursor else ()
    return (*left_out, *received, *left_out_here, *notices, *further, imported)


def _receive_lines(
    state: Open, file: str, page: Page | None, lines: Sequence[Line], context: Context, *, again: bool
) -> tuple[Events, Open, int]:
    """What follows from the lines of a page in their order, the account after that, and how many of them were new."""
    if page is None:
        return (), state, 0
    received: list[events.TreasuryEvent | StepEvent] = []
    counted = 0
    for line in lines:
        follows, state = receive_line(state, file, page, line, context, again=again)
        received += follows
        counted += bool(follows)
    return received, state, counted


def _ask_to_match(step: str, waiting: int, context: Context) -> StepOwed:
    """The step that tells the treasurer how many movements wait."""
    return owe(notify("money_unmatched", TREASURERS, key=f"notice:unmatched:{step[5:]}", treasury=context.stream, lines=waiting))


def record_report(state: Open, command: steps.ReportRead, context: Context) -> Events:
    """A bank may refuse an order after it took it. Nobody sends such an order again; an answer to any other changes nothing."""
    read = events.ChunkImported(
        file=command.file,
        page=None,
        counted=0,
        repeated=0,
        other_accounts=0,
        not_booked=0,
        finished=True,
    )
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
    return (read, *closed, *fail_payment(name, attempt, answer.code, answer.reason or answer.code or "no reason given"))
