"""Statements: asked for at the bank, imported chunk by chunk; and the bank's reports on orders."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.charter import Office
from domain.kernel import SERVICE, Step, notify, slug_of
from domain.process import Context, StepCarriedOut, StepEvent, owe
from domain.treasury import events, steps
from domain.treasury.lines import Events, folded, missed, received, shown_again
from domain.treasury.payments import TREASURERS, at_stage, payment_failed, sending_key, terms_of
from domain.treasury.state import Import, Open, former_editions
from domain.treasury.terms import StatementFile, sending_ids


def next_look(context: Context) -> datetime:
    """When the bank is asked for statements again by itself."""
    return context.at + timedelta(hours=terms_of(context).statement_hours)


def look(state: Open, context: Context) -> Events:
    """Ask the bank now; the next time comes after the charter's hours. Asked early by the system, nothing is done."""
    if context.actor == SERVICE:
        if context.at < state.look_at:
            return ()
    else:
        context.require_office(Office.TREASURER)
    return _sought(state, context)


def _sought(state: Open, context: Context) -> Events:
    number = state.looks + 1
    asked = steps.FetchStatements(
        account=slug_of(context.stream), iban=state.account.iban, number=state.account.number, cursor=state.cursor
    )
    step = Step(kind="fetch_statements", key=f"fetch:{number}", data=asked.model_dump(mode="json"))
    return (events.StatementsSought(number=number, look_at=next_look(context)), owe(step))


def fetched(state: Open, command: steps.StatementsFetched, context: Context) -> Events:
    """Every file that is new is read; when the bank has more, it is asked again at once, as long as its cursor moves."""
    moved = command.cursor != state.cursor
    found: Events = (events.StatementsFound(cursor=command.cursor),) if moved else ()
    if command.aside:
        told = notify("statement_refused", TREASURERS, key=f"notice:aside:{command.step}", reason="; ".join(command.aside)[:500])
        found = (*found, owe(told))
    current = folded(state, found)
    for file in command.files:
        started = import_file(current, file)
        found, current = (*found, *started), folded(current, started)
    return (*found, *_sought(current, context)) if command.more and moved else found


def import_file(state: Open, file: StatementFile) -> Events:
    """Reads a file that is new, or that could not be read before."""
    known = state.files.get(file.file)
    if known is not None and known.stage != "refused":
        return ()
    tries = known.tries + 1 if known else 1
    return (events.ImportStarted(file=file.file, name=file.name), owe(_reading(state, file.file, f"{tries}:1", "")))


def _reading(state: Open, file: str, number: str, cursor: str) -> Step:
    asked = steps.ReadStatement(file=file, iban=state.account.iban, number=state.account.number, currency=state.currency, cursor=cursor)
    return Step(kind="read_statement", key=f"read:{file}:{number}", data=asked.model_dump(mode="json"))


def read(state: Open, command: steps.StatementRead, context: Context) -> Events:
    """Every line of the chunk counts once; the next chunk is owed."""
    known = state.files.get(command.file, Import(""))
    page = command.page if command.page is not None and command.page.account == state.account.account_id else None
    decided: list[events.TreasuryEvent | StepEvent] = []
    current, counted = state, 0
    shown: tuple[str, ...] = ()
    if known.page is not None and known.page != page:
        decided += missed(state, command.file, known.page, known.shown)
    lines = command.lines if page is not None else ()
    if page is not None:
        again = bool(former_editions(state, command.file, page))
        shown = shown_again(state, page.account, lines) if again else ()
        for line in lines:
            facts = received(current, command.file, page, line, context, again=again)
            counted += bool(facts)
            decided += facts
            current = folded(current, facts)
        if not command.next_cursor:
            decided += missed(current, command.file, page, {*shown, *(known.shown if known.page == page else ())})
    finished = not command.next_cursor
    imported = events.ChunkImported(
        file=command.file,
        page=page,
        counted=counted,
        repeated=len(lines) - counted,
        other_accounts=command.other_accounts,
        not_booked=command.not_booked,
        finished=finished,
        shown=shown,
    )
    after = folded(state, (*decided, imported))
    if len(after.waiting) > len(state.waiting):
        waits = notify(
            "money_unmatched", TREASURERS, key=f"notice:unmatched:{command.step[5:]}", treasury=context.stream, lines=len(after.waiting)
        )
        decided.append(owe(waits))
    if not finished:
        decided.append(owe(_reading(state, command.file, f"{known.tries}:{known.chunks + 2}", command.next_cursor)))
    return (*decided, imported)


def reported(state: Open, command: steps.ReportRead, context: Context) -> Events:
    """A bank may refuse an order after it took it. Nobody sends such an order again; an answer to any other is old news."""
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
    return (read, *closed, *payment_failed(name, attempt, answer.code, answer.reason or answer.code or "no reason given"))
