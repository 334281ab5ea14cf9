"""How a run goes on after a vote, is stopped, completed and closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from domain.charter import Office
from domain.kernel import SERVICE, notify
from domain.process import Context
from domain.register.facts import RunReported
from domain.run import commands, events, readings
from domain.run.rules import Events, not_now, put_to_vote, report, require_lead
from domain.run.state import Approved, Book, Closed, Ended, Paused, Running
from domain.run.telemetry import Missing
from domain.stream import owe

MOST_WORDS: Final = 2_000
"""Of the reasons of a vote."""


def go_on(state: Running | Paused | None, command: commands.ContinueRun, context: Context) -> Events:
    """The vote lets the run go on; what came up meanwhile is put to the next. Nothing follows from a vote on another question."""
    context.require_mandate()
    if state is None or not state.book.question_open or command.question != state.book.question:
        return ()
    book = state.book
    settled = events.QuestionSettled(question=book.question, by="vote")
    if not book.waiting:
        return (settled,)
    return (settled, *put_to_vote(replace(book, question_open=False), "; ".join(book.waiting)[:MOST_WORDS], context))


def stop(state: Approved | Running | Paused | None, command: commands.StopRun, context: Context) -> Events:
    """The run is stopped by a vote, or because the question whether it goes on found no majority.

    Nothing follows while no contract is approved, and when the run is over.
    """
    if state is None:
        return ()
    book, reason = state.book, command.reason
    if context.actor == SERVICE and context.mandate is None:
        if not book.question_open or command.question != book.question:
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
    lacking = readings.lacking(book.contract.stages, book.watch)
    return (*_missing(lacking), events.RunStopped(reason=reason), _over(book, "stopped", lacking, context), owe(lead))


def complete(state: Running | Ended, context: Context) -> Events:
    """Every milestone is accepted and the last readings were looked at: the run is over. Nothing follows when it was completed."""
    if isinstance(state, Ended):
        return ()
    book = state.book
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
    lacking = readings.unfinished(book.contract.stages, book.watch)
    return (*_missing(lacking), events.RunCompleted(), _over(book, "completed", lacking, context))


def close(state: Ended | Closed, context: Context) -> Events:
    """The run is put to the files. Nothing follows when it is there already."""
    if isinstance(state, Closed):
        return ()
    context.require_office(Office.SECRETARIAT)
    return (events.RunClosed(), report(state.book, f"closed-{state.how}", context))


def _missing(lacking: Sequence[Missing]) -> Events:
    return tuple(events.CheckpointMissing(stage=each.stage, step=each.step, count=each.count) for each in lacking)


def _over(book: Book, how: str, lacking: Sequence[Missing], context: Context) -> RunReported:
    return report(book, how, context, missing=sum(each.count for each in lacking))
