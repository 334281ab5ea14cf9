"""How a run is followed: looks at the trainer's readings, what they bring to light, what it costs, and alarms."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from domain.kernel import PersonId, Step, notify, slug_of
from domain.process import Context
from domain.run import events, steps, telemetry
from domain.run.rules import Events, phase_of, put_to_vote, report
from domain.run.state import Book, Paused, Running, overrun_why
from domain.run.telemetry import Watch
from domain.run.terms import Contract
from domain.stream import owe

BILLION: Final = 10**9
GROWTH_PERCENT: Final = 10
"""A forecast that is so much above the one that was voted on is put to a vote again."""


def begin_look(book: Book, context: Context) -> Events:
    """A look begins. One that is still under way is given up: its outcome will be ignored."""
    contract, number = book.contract, book.look + 1
    data = steps.FollowTelemetry(
        run=slug_of(context.stream),
        number=number,
        source=contract.source,
        cursor=book.cursor,
        stages=contract.stages,
        spikes=contract.spikes,
        watch=book.watch,
    )
    step = Step(kind="follow_telemetry", key=f"follow:{number}", data=data.model_dump(mode="json"))
    return (events.LookBegan(number=number, look_at=context.at + timedelta(hours=contract.look_hours)), owe(step))


def look_at(state: Running) -> datetime:
    """When the next look begins; after a look that does not come back, when the run counts as silent."""
    return state.look_at + timedelta(hours=state.book.contract.silent_hours) if state.book.looking else state.look_at


# ---------------------------------------------------------------- what a look brings


def record_telemetry(state: Running | Paused | None, outcome: steps.TelemetryReported, context: Context) -> Events:
    """The facts that a look brought to light. Nothing follows from a look that was given up, or of a run that is over."""
    if state is None or not state.book.looking or outcome.number != state.book.look:
        return ()
    followed = _progress(state, outcome, context)
    return (
        followed,
        *_findings(state.book, outcome),
        *_retained(state, outcome, context),
        *_alarm_ended(state, outcome.watch),
        *_reached(state.book, outcome.watch),
        *_overrun(state.book, followed.forecast, context),
        *_notices(outcome, state.book.contract.lead, context),
    )


def _progress(state: Running | Paused, outcome: steps.TelemetryReported, context: Context) -> events.TelemetryFollowed:
    """How far the run is, what it cost and will cost, and when it was heard of last."""
    book, contract = state.book, state.book.contract
    new, advanced = outcome.watch.readings > book.watch.readings, outcome.watch.beyond(book.watch)
    heard_at, advanced_at = (state.heard_at, state.advanced_at) if isinstance(state, Running) else (context.at, context.at)
    written_at = max(heard_at, context.at - timedelta(seconds=outcome.quiet_seconds))
    cost = outcome.cost if outcome.cost is not None else book.cost
    spent = max(book.spent, min(telemetry.MOST_COST, cost if cost is not None else _estimated(contract, outcome.watch.tokens)))
    lasting = outcome.diverged is not None and outcome.diverged.lasting
    loss_micro = outcome.loss_micro if outcome.loss_micro is not None else book.loss_micro
    return events.TelemetryFollowed(
        number=outcome.number,
        cursor=outcome.cursor,
        watch=outcome.watch,
        loss_micro=None if lasting else loss_micro,
        spent=spent,
        forecast=telemetry.forecast(spent, outcome.watch.tokens, contract.token_budget),
        heard_at=written_at if new else heard_at,
        advanced_at=written_at if advanced else advanced_at,
        more=outcome.more,
        unreadable=outcome.unreadable,
        cost=cost,
    )


def _alarm_ended(state: Running | Paused, watch: Watch) -> Events:
    """Any reading ends the alarm of a silent run; that of a stalled one ends when it gets further."""
    before = state.book.watch
    if not isinstance(state, Running) or not state.alarm or watch.readings <= before.readings:
        return ()
    return (events.AlarmEnded(),) if state.alarm == "silent" or watch.beyond(before) else ()


def _findings(book: Book, outcome: steps.TelemetryReported) -> Events:
    diverged = outcome.diverged
    return (
        *(events.CheckpointsWritten(range=written) for written in outcome.checkpoints),
        *(events.CheckpointMissing(stage=each.stage, step=each.step, count=each.count) for each in outcome.missing),
        *(events.CheckpointsFound(stage=each.stage, step=each.step, count=each.count) for each in outcome.found),
        *(events.RunRestarted(lineage=book.lineage + number, restart=restart) for number, restart in enumerate(outcome.restarts, 1)),
        *(events.LossSpiked(spike=spike) for spike in outcome.spikes),
        *((events.LossDiverged(stage=diverged.stage, step=diverged.step, count=diverged.count),) if diverged is not None else ()),
    )


def _retained(state: Running | Paused, outcome: steps.TelemetryReported, context: Context) -> Events:
    """The register learns when the first checkpoint is missing, and when none is any more."""
    before = state.book.missing
    after = max(0, before + sum(each.count for each in outcome.missing) - sum(each.count for each in outcome.found))
    if (before == 0) == (after == 0):
        return ()
    return (report(state.book, phase_of(state), context, missing=after - before),)


def _reached(book: Book, watch: Watch) -> Events:
    return tuple(
        events.MilestoneReached(milestone=each.id, step=watch.step, tokens=watch.tokens, evidence=watch.evidence)
        for each in book.contract.milestones
        if book.mark(each.id).stage == "waiting" and watch.tokens >= each.criteria.tokens
    )


def _notices(outcome: steps.TelemetryReported, lead: PersonId, context: Context) -> Events:
    to = (lead, "office:secretariat")
    findings = notify(
        "run-findings",
        to,
        key=f"notice:findings:{outcome.number}",
        run=context.stream,
        missing=sum(each.count for each in outcome.missing),
        restarts=len(outcome.restarts),
        spikes=len(outcome.spikes),
    )
    found = (owe(findings),) if outcome.missing or outcome.restarts or outcome.spikes else ()
    if outcome.diverged is None:
        return found
    diverged = notify(
        "run-diverged",
        to,
        key=f"notice:diverged:{outcome.number}",
        run=context.stream,
        stage=outcome.diverged.stage,
        step=outcome.diverged.step,
        count=outcome.diverged.count,
    )
    return (*found, owe(diverged))


# ---------------------------------------------------------------- cost


def _estimated(contract: Contract, tokens: int) -> int:
    rate = contract.cost_per_billion_tokens
    return tokens * rate // BILLION if rate is not None else tokens * contract.p50 // contract.token_budget


def _overrun(book: Book, forecast: int, context: Context) -> Events:
    """A forecast above the P80 is put to a vote, and again when it has grown since."""
    if forecast <= book.contract.p80 or forecast * 100 < book.overrun * (100 + GROWTH_PERCENT):
        return ()
    return (
        events.OverrunForecast(forecast=forecast, p80=book.contract.p80),
        *put_to_vote(book, overrun_why(forecast, book.contract), context),
    )


# ---------------------------------------------------------------- alarms


def sound_alarm(state: Running, context: Context) -> Events:
    """The lead and the secretariat are notified that nothing is heard of the run, or that it does not get on."""
    contract = state.book.contract
    event = events.RunFellSilent(since=state.heard_at) if context.at >= _silent_at(state) else events.RunStalled(since=state.advanced_at)
    since = event.since.isoformat()
    key = f"notice:{event.kind.replace('_', '-')}:{since}"
    page = notify(event.kind.replace("_", "-"), (contract.lead, "office:secretariat"), key=key, run=context.stream, since=since)
    return (event, owe(page))


def alarm_at(state: Running) -> datetime:
    """When the next alarm is sounded. A run that stalled can still fall silent, which is worse."""
    if state.alarm == "stalled":
        return _silent_at(state)
    return min(_silent_at(state), state.advanced_at + timedelta(hours=state.book.contract.stalled_hours))


def _silent_at(state: Running) -> datetime:
    return state.heard_at + timedelta(hours=state.book.contract.silent_hours)
