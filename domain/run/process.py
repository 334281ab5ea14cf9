"""Training runs, `run/<id>`: from the contract that is voted on to the last milestone that reviewers accept.

planned → approved → running ⇄ paused → completed | stopped → closed

The contract is planned, approved and changed in `contract`; the training begins, rests and goes on in `training`. A step looks at the
trainer's readings every few hours, and comes back with one outcome (`looks`), which `readings` makes of them. A milestone: waiting →
reached → claimed (→ failed: reached) → presented (→ rejected: reached) → accepted (`milestones`). Whatever puts the run in question (a
missed milestone, a forecast above the P80) opens one vote: it goes on, goes on under another contract, or stops (`ending`). What comes up
during a vote is put to the next.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain.evaluation import EvaluationRead, EvaluationRefused
from domain.kernel import Agenda, Deadline, Headline, escaped
from domain.money import display
from domain.process import Context, Process, phase_of_deadline
from domain.run import commands, contract, ending, events, looks, milestones, rules, steps, telemetry, training
from domain.run.rules import Events
from domain.run.state import Approved, Book, Closed, Ended, Mark, Paused, Planned, Running, RunState, Unplanned, evolve
from domain.run.tables import tables
from domain.run.terms import Milestone
from domain.stream import Common


def decide(state: RunState, command: commands.RunCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.PlanRun():
            return contract.plan(rules.plannable(state), command, context)
        case commands.ApproveContract():
            return contract.approve(rules.planned(state), command, context)
        case commands.ChangeContract():
            return contract.change(state, command, context)
        case commands.StartRun():
            return training.start(rules.startable(state), context)
        case commands.PauseRun():
            return training.pause(rules.begun(state), command, context)
        case commands.ResumeRun():
            return training.resume(rules.begun(state), context)
        case commands.LookAtTelemetry():
            return looks.begin_look(phase_of_deadline(state, Running).book, context)
        case steps.TelemetryReported():
            return looks.record_telemetry(rules.begun_if_any(state), command, context)
        case commands.SoundAlarm():
            return looks.sound_alarm(phase_of_deadline(state, Running), context)
        case commands.ClaimMilestone():
            return milestones.claim(rules.begun(state), command, context)
        case EvaluationRead():
            return milestones.record_evaluation(rules.begun_if_any(state), command, context)
        case EvaluationRefused():
            return milestones.refuse_evaluation(rules.begun_if_any(state), command, context)
        case commands.AcceptMilestone():
            return milestones.accept(rules.begun(state), command, context)
        case commands.RejectMilestone():
            return milestones.reject(rules.begun(state), command, context)
        case commands.MarkMissed():
            return milestones.miss(rules.with_milestone_days(state), command, context)
        case commands.ContinueRun():
            return ending.go_on(rules.begun_if_any(state), command, context)
        case commands.StopRun():
            return ending.stop(rules.approved_if_any(state), command, context)
        case commands.CompleteRun():
            return ending.complete(rules.completable(state), context)
        case commands.CloseRun():
            return ending.close(rules.over(state), context)


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
        case Planned(contract=terms, digest=digest):
            return Headline("planned", f"{escaped(terms.title)}: its contract waits for a vote", f"contract `{digest}`", (terms.lead,))
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
    terms, watch = book.contract, book.watch
    money = {"spent": book.spent, "forecast": book.forecast, "P50": terms.p50, "P80": terms.p80}
    rows = [f"| {name} | {display(amount, terms.currency)} |" for name, amount in money.items()]
    rows += [f"| {milestone.id} | {_milestone_stands(book.mark(milestone.id), milestone)} |" for milestone in terms.milestones]
    rows.append(f"| checkpoints missing, restarts, spikes | {book.missing}, {book.lineage - 1}, {book.spikes} |")
    values: dict[str, str | int] = {
        "title": terms.title,
        "lead": terms.lead,
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
    return Headline(phase, f"{escaped(terms.title)}: {note}", table, waits_for, values)


def _milestone_stands(mark: Mark, milestone: Milestone) -> str:
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
    state_version=5,
    list_version=3,
)
