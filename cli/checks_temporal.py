"""What `consortium doctor` looks at in Temporal: whether it is there and works for this log, what the namespace lacks, and who works."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from activities.log import cluster
from activities.log.cluster import NotTold, Unprepared
from activities.log.heads import Heads, OtherLog
from activities.log.reconciling import ROLE
from cli import services, times
from cli.failures import Failure, translated
from cli.findings import CannotTell, Finding, Opened, Patient, Verdict
from eventstore.clock import SystemClock
from eventstore.outstanding import LATE, late
from eventstore.readmodels import seen
from worker import release

TRIED: Final = (1, 32)
"""The oldest version of the server with which this release was tried."""


async def temporal(patient: Patient) -> Finding:
    """Whether Temporal is reached, has our namespace, is one that was tried or newer, and works for this log."""
    if patient.client is None:
        return await _at_rest(patient)
    if isinstance(patient.client, Failure):
        return _unreached(patient, patient.client)
    client = patient.client
    facts: dict[str, Any] = {"reached": True, "address": cluster.address_of(client), "namespace": client.namespace}
    try:
        found = await cluster.cluster(client)
        facts |= {"version": found.version, "retention_seconds": int(found.retention.total_seconds())}
        if not isinstance(patient.log, Failure):
            await Heads(client, patient.log.log, patient.chosen.task_queue).require_same()
    except Unprepared as error:
        return Finding("temporal", Verdict.ACT, str(error), error.remedies, facts)
    except OtherLog as error:
        return Finding("temporal", Verdict.ACT, str(error), (translated(error).remedy,), facts)
    detail = f"{found.version} at {found.address}, namespace {found.namespace}, which keeps what has ended for {_days(found.retention)}"
    if _older(found.version):
        tried = ".".join(map(str, TRIED))
        older = f"{detail}: older than {tried}, with which this release was tried"
        return Finding("temporal", Verdict.NOTE, older, (f"upgrade it to {tried} or newer, a minor version at a time",), facts)
    return Finding("temporal", Verdict.WELL, detail, facts=facts)


def _unreached(patient: Patient, failure: Failure) -> Finding:
    why = failure.details.get("why", "")
    facts = {"reached": False, "address": patient.place, "error": failure.name}
    return Finding("temporal", Verdict.ACT, f"{failure.message}{f': {why}' if why else ''}", (failure.remedy,), facts)


async def _at_rest(patient: Patient) -> Finding:
    """A folder on which no `up` runs: nothing is wrong with that before a deadline has come."""
    opened, detail = patient.opened(), f"`consortium up` does not run on {patient.chosen.folder}"
    overdue = await _overdue(opened)
    facts = {"reached": False, "address": "", "overdue": len(overdue)}
    if not overdue:
        return Finding("temporal", Verdict.NOTE, f"{detail}: nobody takes commands", (patient.begin,), facts)
    longest = times.length(max(overdue))
    which = "a deadline has" if len(overdue) == 1 else f"{len(overdue):,} deadlines have"
    return Finding("temporal", Verdict.ACT, f"{detail}, and {which} passed, {longest} ago at the earliest", (patient.begin,), facts)


async def _overdue(opened: Opened) -> Sequence[timedelta]:
    """For how long each overdue deadline has stood. In a rehearsal that nobody runs no time passes."""
    if opened.rehearsed:
        return ()
    clock, now = SystemClock(), datetime.now(UTC)
    dues = [datetime.fromisoformat(row["due"]) for row in (await seen(opened.log)).rows if row["due"]]
    stood = [late(due, clock, now) for due in dues]
    return [by for by in stood if by >= LATE]


def _older(version: str) -> bool:
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    return bool(numbers) and numbers < TRIED


def _days(span: timedelta) -> str:
    return times.length(span) or "no time"


async def search_attributes(patient: Patient) -> Finding:
    """Whether the namespace has what workflows set: they get on only where it has."""
    client = patient.connected()
    names = list(cluster.SEARCH_ATTRIBUTES)
    try:
        await cluster.require(client)
    except Unprepared as error:
        return Finding("search_attributes", Verdict.ACT, str(error), error.remedies, {"wanted": names})
    except NotTold as error:
        raise CannotTell(f"{error}: look whether there are {', '.join(names)}") from error
    return Finding("search_attributes", Verdict.WELL, ", ".join(names), facts={"wanted": names})


async def workers(patient: Patient) -> Finding:
    """Who polls the task queue, by release, what waits there, and whether one of them looks after what was ended from outside."""
    queue = await cluster.queue(patient.connected(), patient.chosen.task_queue)
    releases = services.releases(queue)
    facts = {
        "releases": releases,
        "waiting": queue.waiting,
        "waited_seconds": int(queue.waited.total_seconds()),
        "task_queue": patient.chosen.task_queue,
    }
    detail = services.workers(queue, patient.chosen)
    if not releases:
        return Finding("workers", Verdict.ACT, detail, (patient.begin,), facts)
    if lacking := [name for name in cluster.TAKEN if not any(each.polls and name in each.takes for each in queue.pollers)]:
        return Finding("workers", Verdict.ACT, f"{detail}; none takes {' or '.join(lacking)}", (patient.begin,), facts)
    if queue.waited >= services.WAITED:
        return Finding("workers", Verdict.ACT, detail, ("look at the workers' log, and start more of them",), facts)
    if not isinstance(patient.log, Failure) and await services.led(patient.log.log, ROLE, patience=services.HANDED_OVER) is False:
        told = f"{detail}; none looks after what was ended from outside"
        return Finding("workers", Verdict.ACT, told, ("look at the workers' log for `reconciler`",), facts)
    if set(releases) != {release()}:
        told = f"{detail}; this command is of {release()}"
        return Finding("workers", Verdict.NOTE, told, ("bring all to one release: docs/operations.md, Upgrade",), facts)
    return Finding("workers", Verdict.WELL, detail, facts=facts)
