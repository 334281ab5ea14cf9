"""How a run goes on after a vote, is stopped, completed and closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from domain.kernel import SERVICE, notify
from domain.process import Context, owe
from domain.register.facts import RunReported
from domain.run import events, telemetry
from domain.run.rules import ask, not_now, reported, require_lead
from domain.run.state import Book, Events
from domain.run.telemetry import Missing

MOST_WORDS: Final = 2_000
"""Of the reasons of a vote."""


def go_on(book: Book, context: Context) -> Events:
    """The vote lets the run go on; what came up meanwhile is put to the next."""
    settled = events.QuestionSettled(question=book.question, by="vote")
    if not book.waiting:
        return (settled,)
    return (settled, *ask(replace(book, asked=False), "; ".join(book.waiting)[:MOST_WORDS], context))


def stop(book: Book, question: int | None, reason: str, context: Context) -> Events:
    """The run is stopped by a vote, or because the question whether it goes on found no majority."""
    if context.actor == SERVICE and context.mandate is None:
        if not book.asked or question != book.question:
            return ()
    else:
        context.require_mandate()
    lead = notify(
        "run-stopped",
        (book.contract.lead, "office:secretariat", "office:treasurer"),
        key="notice:stopped",
        run=context.stream,
        reason=reason[:500],
    )
    lacking = telemetry.lacking(book.contract.stages, book.watch)
    return (*_missing(lacking), events.RunStopped(reason=reason), _over(book, "stopped", lacking, context), owe(lead))


def complete(book: Book, context: Context) -> Events:
    """Every milestone is accepted and the last readings were looked at: the run is over."""
    require_lead(book, context)
    if not book.all_accepted:
        open_ = [milestone.id for milestone in book.contract.milestones if book.mark(milestone.id).stage != "accepted"]
        raise not_now("milestones_open", f"{', '.join(open_)} are not accepted", "have them accepted, or change the contract by a vote")
    if book.looking or book.look <= book.accepted_look:
        raise not_now(
            "last_look_awaited",
            "the readings are to be looked at once more after the last acceptance, so that no checkpoint is called missing "
            "that came meanwhile",
            "wait for the look that is under way, or the next one",
        )
    lacking = telemetry.unfinished(book.contract.stages, book.watch)
    return (*_missing(lacking), events.RunCompleted(), _over(book, "completed", lacking, context))


def _missing(lacking: Sequence[Missing]) -> Events:
    return tuple(events.CheckpointMissing(stage=each.stage, step=each.step, count=each.count) for each in lacking)


def _over(book: Book, how: str, lacking: Sequence[Missing], context: Context) -> RunReported:
    return reported(book, how, context, missing=sum(each.count for each in lacking))
