"""Training runs, `run/<id>`: from the contract that is voted on to the last milestone that reviewers accept.

planned → approved → running ⇄ paused → completed | stopped → closed

The contract is planned, approved and changed in `contract`. The trainer's readings are looked at every few hours by a step; what they
tell (`telemetry`) comes back as one outcome (`looks`). A milestone: waiting → reached → claimed (→ failed: reached) → presented (→
rejected: reached) → accepted (`milestones`). Whatever puts the run in question (a missed milestone, a forecast above the P80) opens one
vote: it goes on, goes on under another contract, or stops (`ending`). What comes up during a vote is put to the next.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain.charter import Office
from domain.evaluation import EvaluationRead, EvaluationRefused
from domain.kernel import Agenda, Deadline, Headline, escaped
from domain.money import display
from domain.process import Common, Context, Process
from domain.run import commands, events, looks, milestones, steps, telemetry
from domain.run.contract import approve, change, plan
from domain.run.ending import complete, go_on, stop
from domain.run.rules import elsewhere, not_running, reported, require_due, require_lead
from domain.run.state import Approved, Book, Closed, Ended, Events, Mark, Paused, Planned, Running, RunState, Unplanned, evolve
from domain.run.tables import tables
from domain.run.terms import Milestone


def decide(state: RunState, command: commands.RunCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.PlanRun(contract=contract):
            match state:
                case Unplanned() | Planned():
                    return plan(state, contract, context)
                case Approved() | Running() | Paused() | Ended() | Closed():
                    raise elsewhere("contract_approved", "a contract is planned while none is approved", state)
        case commands.ApproveContract(contract=digest):
            match state:
                case Planned():
                    return approve(state, digest, context)
                case Unplanned() | Approved() | Running() | Paused() | Ended() | Closed():
                    raise elsewhere("no_contract_waits", "no contract waits for its vote", state)
        case commands.StartRun():
            match state:
                case Approved(book=book):
                    return looks.start(book, context)
                case Running() | Paused():
                    return ()
                case Unplanned() | Planned() | Ended() | Closed():
                    raise elsewhere("not_approved", "a run starts under an approved contract", state)
        case commands.PauseRun(reason=reason):
            match state:
                case Running(book=book):
                    require_lead(book, context)
                    return (events.RunPaused(reason=reason), reported(book, "paused", context))
                case Paused():
                    return ()
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case commands.ResumeRun():
            match state:
                case Paused(book=book):
                    require_lead(book, context)
                    return (events.RunResumed(at=context.at), reported(book, "running", context), *looks.look(book, context))
                case Running():
                    return ()
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case commands.LookAtTelemetry():
            context.require_service()
            match state:
                case Running(book=book) if not book.looking or context.at >= looks.look_at(state):
                    require_due(looks.look_at(state), context)
                    return looks.look(book, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case steps.TelemetryReported(number=number):
            match state:
                case Running(book=book) | Paused(book=book) if book.looking and number == book.look:
                    return looks.followed(state, command, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case commands.SoundAlarm():
            context.require_service()
            match state:
                case Running(alarm="" | "stalled"):
                    return looks.alarm(state, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case commands.ClaimMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return milestones.claim(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case EvaluationRead(subject=name, number=claim) | EvaluationRefused(subject=name, number=claim):
            match state:
                case Running(book=book) | Paused(book=book) if book.mark(name).stage == "claimed" and book.mark(name).claim == claim:
                    return milestones.evaluated(book, command, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case commands.AcceptMilestone():
            match state:
                case Running() | Paused():
                    return milestones.accept(state, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case commands.RejectMilestone():
            match state:
                case Running(book=book) | Paused(book=book):
                    return milestones.reject(book, command, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    raise not_running(state)
        case commands.MarkMissed(milestone=name):
            context.require_service()
            match state:
                case Running(book=book) | Paused(book=book):
                    return milestones.missed(book, name, context)
                case Unplanned() | Planned() | Approved() | Ended() | Closed():
                    return ()
        case commands.ContinueRun(question=question):
            context.require_mandate()
            match state:
                case Running(book=book) | Paused(book=book) if book.asked and question == book.question:
                    return go_on(book, context)
                case Unplanned() | Planned() | Approved() | Running() | Paused() | Ended() | Closed():
                    return ()
        case commands.ChangeContract(contract=contract):
            context.require_mandate()
            match state:
                case Approved(book=book) | Running(book=book) | Paused(book=book):
                    return change(state, book, contract, context)
                case Unplanned() | Planned() | Ended() | Closed():
                    raise not_running(state)
        case commands.StopRun(question=question, reason=reason):
            match state:
                case Approved(book=book) | Running(book=book) | Paused(book=book):
                    return stop(book, question, reason, context)
                case Unplanned() | Planned() | Ended() | Closed():
                    return ()
        case commands.CompleteRun():
            match state:
                case Running(book=book):
                    return complete(book, context)
                case Ended(how="completed"):
                    return ()
                case Unplanned() | Planned() | Approved() | Paused() | Ended() | Closed():
                    raise not_running(state)
        case commands.CloseRun():
            match state:
                case Ended(book=book, how=how):
                    context.require_office(Office.SECRETARIAT)
                    return (events.RunClosed(), reported(book, f"closed-{how}", context))
                case Closed():
                    return ()
                case Unplanned() | Planned() | Approved() | Running() | Paused():
                    raise elsewhere("run_not_over", "a run is closed when it is over", state)


def agenda(state: RunState) -> Agenda:
    """The next look, the alarm when nothing is heard, or the day of a milestone."""
    match state:
        case Running(book=book):
            followed = [Deadline(looks.look_at(state), commands.LookAtTelemetry())]
            if state.alarm != "silent":
                followed.append(Deadline(looks.alarm_at(state), commands.SoundAlarm()))
            return Agenda((*_days_of(book), *followed))
        case Paused(book=book):
            return Agenda(_days_of(book))
        case Unplanned() | Planned() | Approved() | Ended():
            return Agenda()
        case Closed():
            return Agenda(closed=True)


def _days_of(book: Book) -> tuple[Deadline, ...]:
    """The days on which milestones are missed that nobody has brought evidence for."""
    days = sorted((at, each.id) for each in book.contract.milestones if (at := milestones.missed_at(book, each)) is not None)
    return tuple(Deadline(at, commands.MarkMissed(milestone=name)) for at, name in days)


def describe(state: RunState) -> Headline:
    """The run in one line: how far, at what cost, and who is waited for."""
    match state:
        case Unplanned():
            return Headline("unplanned", "no contract was put forward yet")
        case Planned(contract=contract, digest=digest):
            return Headline(
                "planned", f"{escaped(contract.title)}: its contract waits for a vote", f"contract `{digest}`", (contract.lead,)
            )
        case Approved(book=book):
            return _of_book("approved", book, "approved; waits for its money", (book.contract.lead,))
        case Running(book=book, alarm=alarm):
            note = {"": "", "silent": "**silent**: ", "stalled": "**stalled**: "}[alarm]
            return _of_book("running", book, note + _progress(book), _waits_for(book) or ((book.contract.lead,) if alarm else ()))
        case Paused(book=book, reason=reason):
            return _of_book("paused", book, f"rests: {escaped(reason)}", (book.contract.lead,))
        case Ended(book=book, how=how):
            return _of_book(how, book, how, ("office:secretariat",))
        case Closed(book=book, how=how):
            return _of_book("closed", book, f"closed, {how}", ())


def _progress(book: Book) -> str:
    return telemetry.summary(book.watch.stage, book.watch.step, book.watch.tokens, book.contract.token_budget)


def _waits_for(book: Book) -> tuple[str, ...]:
    """Reviewers when evidence waits. Who has not voted on a question is named by its proposal."""
    if any(mark.stage == "presented" for mark in book.marks.values()):
        return ("office:evaluation-reviewer", "office:safety-reviewer")
    return ()


def _of_book(phase: str, book: Book, note: str, waits_for: tuple[str, ...]) -> Headline:
    contract, watch = book.contract, book.watch
    money = {"spent": book.spent, "forecast": book.forecast, "P50": contract.p50, "P80": contract.p80}
    rows = [f"| {name} | {display(amount, contract.currency)} |" for name, amount in money.items()]
    rows += [f"| {milestone.id} | {_told(book.mark(milestone.id), milestone)} |" for milestone in contract.milestones]
    rows.append(f"| checkpoints missing, restarts, spikes | {book.missing}, {book.lineage - 1}, {book.spikes} |")
    values: dict[str, str | int] = {
        "title": contract.title,
        "lead": contract.lead,
        "contract": book.digest,
        "version": book.version,
        "stage": watch.stage,
        "step": watch.step,
        "tokens": watch.tokens,
        "loss_micro": book.loss_micro or 0,
        "spent_minor": book.spent,
        "forecast_minor": book.forecast,
        "missing": book.missing,
        "restarts": book.lineage - 1,
        "spikes": book.spikes,
    }
    table = "| run | |\n| --- | --- |\n" + "\n".join(rows)
    return Headline(phase, f"{escaped(contract.title)}: {note}", table, waits_for, values)


def _told(mark: Mark, milestone: Milestone) -> str:
    model = f", measured on {escaped(mark.model or 'a model without a name')} (results `{mark.results}`)" if mark.results else ""
    waits = f", evidence `{mark.evidence}`{model}" if mark.stage == "presented" else ""
    return f"{mark.stage}{', missed' if mark.missed else ''}{waits}; due {milestone.due_at.date().isoformat()}"


RUN: Final[Process[commands.RunCommand, events.RunEvent, RunState]] = Process(
    name="run",
    title="a training run",
    about="A contract that a vote approved, what its trainer writes, milestones that reviewers accept or reject, and questions put to the vote when the run falls silent, spends too much or comes late.",
    initial=Unplanned(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.RunCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.RunEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=3,
    list_version=3,
)
