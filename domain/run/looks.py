"""How a run is followed: looks at the trainer's readings, what they tell, what it costs, and alarms."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from domain.kernel import PersonId, Refused, Step, notify, slug_of
from domain.money import display
from domain.process import Context, owe
from domain.run import events, steps, telemetry
from domain.run.rules import ask, phase_of, reported, require_due, require_lead
from domain.run.state import Book, Events, Paused, Running, overrun_why
from domain.run.telemetry import Watch
from domain.run.terms import Contract

BILLION: Final = 10**9
GROWTH_PERCENT: Final = 10
"""A forecast that is so much above the one that was voted on is put to a vote again."""


def start(book: Book, context: Context) -> Events:
    """The run begins, when its money has cleared."""
    require_lead(book, context)
    contract = book.contract
    raised = context.register.raised.get(contract.round or "", 0)
    if raised < contract.start_funds:
        lacking = display(contract.start_funds - raised, contract.currency)
        raise Refused(
            "not_funded",
            f"{lacking} of what the contract waits for has not cleared in {contract.round}",
            clause="training",
            remedy="wait until the tranche has cleared; only cleared money counts",
        )
    return (events.RunStarted(at=context.at), reported(book, "running", context), *look(book, context))


def look(book: Book, context: Context) -> Events:
    """A look begins. One that is still under way is given up: what it brings is old news."""
    contract, number = book.contract, book.look + 1
    asked = steps.FollowTelemetry(
        run=slug_of(context.stream),
        number=number,
        source=contract.source,
        cursor=book.cursor,
        stages=contract.stages,
        spikes=contract.spikes,
        watch=book.watch,
    )
    step = Step(kind="follow_telemetry", key=f"follow:{number}", data=asked.model_dump(mode="json"))
    return (events.LookBegan(number=number, look_at=context.at + timedelta(hours=contract.look_hours)), owe(step))


def look_at(state: Running) -> datetime:
    """When the next look begins; after a look that does not come back, when the run counts as silent."""
    return state.look_at + timedelta(hours=state.book.contract.silent_hours) if state.book.looking else state.look_at


# ---------------------------------------------------------------- what a look brings


def followed(state: Running | Paused, told: steps.TelemetryReported, context: Context) -> Events:
    """The facts that a look brought to light."""
    book, contract = state.book, state.book.contract
    new, advanced = told.watch.readings > book.watch.readings, told.watch.beyond(book.watch)
    heard_at, advanced_at = (state.heard_at, state.advanced_at) if isinstance(state, Running) else (context.at, context.at)
    written_at = max(heard_at, context.at - timedelta(seconds=told.quiet_seconds))
    cost = told.cost if told.cost is not None else book.cost
    spent = max(book.spent, min(telemetry.MOST_COST, cost if cost is not None else _reckoned(contract, told.watch.tokens)))
    forecast = telemetry.forecast(spent, told.watch.tokens, contract.token_budget)
    lasting = told.diverged is not None and told.diverged.lasting
    kept = told.loss_micro if told.loss_micro is not None else book.loss_micro
    facts = events.TelemetryFollowed(
        number=told.number,
        cursor=told.cursor,
        watch=told.watch,
        loss_micro=None if lasting else kept,
        spent=spent,
        forecast=forecast,
        heard_at=written_at if new else heard_at,
        advanced_at=written_at if advanced else advanced_at,
        more=told.more,
        unreadable=told.unreadable,
        cost=cost,
    )
    heard = (events.AlarmEnded(),) if isinstance(state, Running) and state.alarm and new and (advanced or state.alarm == "silent") else ()
    return (
        facts,
        *_findings(book, told),
        *_retained(state, told, context),
        *heard,
        *_reached(book, told.watch),
        *_overrun(book, forecast, context),
        *_notices(told, contract.lead, context),
    )


def _findings(book: Book, told: steps.TelemetryReported) -> Events:
    diverged = told.diverged
    return (
        *(events.CheckpointsWritten(range=written) for written in told.checkpoints),
        *(events.CheckpointMissing(stage=each.stage, step=each.step, count=each.count) for each in told.missing),
        *(events.CheckpointsFound(stage=each.stage, step=each.step, count=each.count) for each in told.found),
        *(events.RunRestarted(lineage=book.lineage + number, restart=restart) for number, restart in enumerate(told.restarts, 1)),
        *(events.LossSpiked(spike=spike) for spike in told.spikes),
        *((events.LossDiverged(stage=diverged.stage, step=diverged.step, count=diverged.count),) if diverged is not None else ()),
    )


def _retained(state: Running | Paused, told: steps.TelemetryReported, context: Context) -> Events:
    """The register learns when the first checkpoint is missing, and when none is any more."""
    before = state.book.missing
    after = max(0, before + sum(each.count for each in told.missing) - sum(each.count for each in told.found))
    if (before == 0) == (after == 0):
        return ()
    return (reported(state.book, phase_of(state), context, missing=after - before),)


def _reached(book: Book, watch: Watch) -> Events:
    return tuple(
        events.MilestoneReached(milestone=each.id, step=watch.step, tokens=watch.tokens, evidence=watch.evidence)
        for each in book.contract.milestones
        if book.mark(each.id).stage == "waiting" and watch.tokens >= each.criteria.tokens
    )


def _notices(told: steps.TelemetryReported, lead: PersonId, context: Context) -> Events:
    to = (lead, "office:secretariat")
    findings = notify(
        "run-findings",
        to,
        key=f"notice:findings:{told.number}",
        run=context.stream,
        missing=sum(each.count for each in told.missing),
        restarts=len(told.restarts),
        spikes=len(told.spikes),
    )
    found = (owe(findings),) if told.missing or told.restarts or told.spikes else ()
    if told.diverged is None:
        return found
    diverged = notify(
        "run-diverged",
        to,
        key=f"notice:diverged:{told.number}",
        run=context.stream,
        stage=told.diverged.stage,
        step=told.diverged.step,
        count=told.diverged.count,
    )
    return (*found, owe(diverged))


# ---------------------------------------------------------------- cost


def _reckoned(contract: Contract, tokens: int) -> int:
    rate = contract.cost_per_billion_tokens
    return tokens * rate // BILLION if rate is not None else tokens * contract.p50 // contract.token_budget


def _overrun(book: Book, forecast: int, context: Context) -> Events:
    """A forecast above the P80 is put to a vote, and again when it has grown since."""
    if forecast <= book.contract.p80 or forecast * 100 < book.overrun * (100 + GROWTH_PERCENT):
        return ()
    return (events.OverrunForecast(forecast=forecast, p80=book.contract.p80), *ask(book, overrun_why(forecast, book.contract), context))


# ---------------------------------------------------------------- alarms


def alarm(state: Running, context: Context) -> Events:
    """Somebody is told that nothing is heard of the run, or that it does not get on."""
    contract = state.book.contract
    require_due(alarm_at(state), context)
    event = events.RunFellSilent(since=state.heard_at) if context.at >= _silent_at(state) else events.RunStalled(since=state.advanced_at)
    since = event.since.isoformat()
    key = f"notice:{event.kind.replace('_', '-')}:{since}"
    page = notify(event.kind.replace("_", "-"), (contract.lead, "office:secretariat"), key=key, run=context.stream, since=since)
    return (event, owe(page))


def alarm_at(state: Running) -> datetime:
    """When somebody is told next. A run that stalled can still fall silent, which is worse."""
    if state.alarm == "stalled":
        return _silent_at(state)
    return min(_silent_at(state), state.advanced_at + timedelta(hours=state.book.contract.stalled_hours))


def _silent_at(state: Running) -> datetime:
    return state.heard_at + timedelta(hours=state.book.contract.silent_hours)
