"""How the training begins, rests and goes on."""

from __future__ import annotations

from domain.kernel import Refused
from domain.money import display
from domain.process import Context
from domain.run import commands, events, looks
from domain.run.rules import Events, report, require_lead
from domain.run.state import Approved, Paused, Running


def start(state: Approved | Running | Paused, context: Context) -> Events:
    """The run begins, when its money has cleared. A run that has begun already is left as it is."""
    if not isinstance(state, Approved):
        return ()
    book, contract = state.book, state.book.contract
    require_lead(book, context)
    raised = context.register.raised.get(contract.round or "", 0)
    if raised < contract.start_funds:
        lacking = display(contract.start_funds - raised, contract.currency)
        raise Refused(
            "not_funded",
            f"{lacking} of what the contract waits for has not cleared in {contract.round}",
            clause="training",
            remedy="wait until the tranche has cleared; only cleared money counts",
        )
    return (events.RunStarted(at=context.at), report(book, "running", context), *looks.begin_look(book, context))


def pause(state: Running | Paused, command: commands.PauseRun, context: Context) -> Events:
    """The training rests, and nothing is looked at. Nothing follows while it rests already."""
    if isinstance(state, Paused):
        return ()
    require_lead(state.book, context)
    return (events.RunPaused(reason=command.reason), report(state.book, "paused", context))


def resume(state: Running | Paused, context: Context) -> Events:
    """The training goes on, and is looked at at once. Nothing follows while it runs already."""
    if isinstance(state, Running):
        return ()
    require_lead(state.book, context)
    return (events.RunResumed(at=context.at), report(state.book, "running", context), *looks.begin_look(state.book, context))
