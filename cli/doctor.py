"""`consortium doctor`: what is not as it should be, and the way out.

Each check looks at one thing and gives a finding. A further check is a function in `CHECKS`: the table, the JSON and the exit code
follow from what it finds.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Final

from cli import times
from cli.failures import Unwell
from cli.options import HERE, Where
from cli.output import say_json, say_whole, table
from cli.site import log_of, now_of, settings
from domain.catalog import RULES
from domain.consortium import Founded
from domain.consortium_time import ACCEPTING
from domain.kernel import slug_of
from domain.register import MovedTime, PacedTime, Register, SystemTime
from eventstore.clock import TOLERANCE, WAITED_FOR
from eventstore.entries import Entry, instant
from eventstore.log import ClockApart, Log, Unfit
from eventstore.recorder import Recorder
from eventstore.replica import UnreadableEntry
from settings import Settings


class Verdict(StrEnum):
    """What a check comes to."""

    WELL = "well"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    ACT = "act"
    """Something has to be done, or waited for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: str
    verdict: Verdict
    detail: str
    remedies: Sequence[str] = ()
    """Ways out, each by itself; lines that begin with `consortium` can be typed as they are."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What programs want to know besides."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What checks look at."""

    chosen: Settings
    where: Where
    log: Log
    head: Entry | None
    """The last entry; none on an empty log."""
    recorder: Recorder
    now: datetime
    """The log's time, from which people count."""


Check = Callable[[Patient], Awaitable[Finding]]


async def doctor(*, where: Where = HERE) -> None:
    """Look whether all is well: the log's clock, its last entry, this release. Ends with 1 when something has to be done."""
    chosen = settings(where)
    async with log_of(chosen) as log:
        recorder = Recorder(log)
        try:
            position = (await log.head()).position
            last = await log.read(position - 1, 1) if position else ()
            patient = Patient(chosen, where, log, last[0] if last else None, recorder, await now_of(log, chosen))
            found = [await check(patient) for check in CHECKS]
        finally:
            await recorder.close()
    _show(found, where)
    wanting = [finding.check for finding in found if finding.verdict is Verdict.ACT]
    if wanting:
        raise Unwell(f"something has to be done about the {', the '.join(wanting)}", "as told above")


def _show(found: Sequence[Finding], where: Where) -> None:
    if where.json:
        well = all(finding.verdict is not Verdict.ACT for finding in found)
        told = [
            {"check": finding.check, "verdict": finding.verdict.value, "detail": finding.detail, "remedies": list(finding.remedies)}
            | dict(finding.facts)
            for finding in found
        ]
        say_json({"well": well, "checks": told})
        return
    table(("check", "", "what was found"), [(finding.check, finding.verdict.value, finding.detail) for finding in found])
    for finding in found:
        if finding.remedies:
            say_whole(f"{finding.check}:", *(f"  {remedy}" for remedy in finding.remedies))


# ---------------------------------------------------------------- the release


async def release(patient: Patient) -> Finding:
    """Whether this release can read what is on the log, and decide as its last entry was decided."""
    ours, head = version("open-model-consortium"), patient.head
    facts = {"release": ours, "rules": RULES, "rules_of_head": head.rules if head else None}
    newer = ("use the release that wrote the log, or a newer one: going back is not possible any more",)
    if head is not None and int(head.rules) > int(RULES):
        detail = f"release {ours} has the rules {RULES}; the last entry was decided by newer ones, {head.rules}"
        return Finding("release", Verdict.ACT, detail, newer, facts)
    register = await _register(patient)
    if not isinstance(register, Register):
        told = f"release {ours} cannot go by this log: {register}"
        return Finding("release", Verdict.ACT, told, (*newer, "consortium verify tells whether the log is damaged"), facts)
    since = "" if head is None or head.rules == RULES else f"; the last entry was decided by rules {head.rules}"
    return Finding("release", Verdict.WELL, f"release {ours}, rules {RULES}{since}", facts=facts)


async def _register(patient: Patient) -> Register | Exception:
    """The register as of the head; why not, where this release cannot take in what is on the log."""
    try:
        register = (await patient.recorder.replica()).register
    except (UnreadableEntry, Unfit) as error:
        return error
    unfit = patient.recorder.unfit
    return register if unfit is None or isinstance(unfit, ClockApart) else unfit


# ---------------------------------------------------------------- the last entry


async def head(patient: Patient) -> Finding:
    """The last entry: where, when, and who gave the command."""
    entry = patient.head
    if entry is None:
        return Finding("head", Verdict.WELL, "the log is empty: nothing is founded yet")
    facts = {
        "position": entry.position, "at": instant(entry.at).isoformat(), "hash": entry.hash.hex(), "actor": entry.actor, "kind": entry.kind,
        "stream": entry.stream,
    }  # fmt: skip
    return Finding("head", Verdict.WELL, f"{_named(entry, patient.now)}, hash {entry.hash.hex()}", facts=facts)


def _named(entry: Entry, now: datetime) -> str:
    return f"position {entry.position} at {times.shown(instant(entry.at), now)}: {entry.kind} by {entry.actor} on {entry.stream}"


# ---------------------------------------------------------------- the clock


async def clock(patient: Patient) -> Finding:
    """Whether the log's clock and its last entry agree; if the entry is ahead, the ways out."""
    entry = patient.head
    register = await _register(patient)
    if not isinstance(register, Register):
        return Finding("clock", Verdict.ACT, "not known, as this release cannot go by this log", ("see what is said of the release",))
    rehearsal = _rehearsal(register, patient)
    if rehearsal:
        return Finding("clock", Verdict.WELL, rehearsal, facts={"clock": register.clock.model_dump(mode="json"), "rehearsed": True})
    now, database = datetime.now(UTC), await patient.log.time()
    facts: dict[str, Any] = {"clock": register.clock.model_dump(mode="json"), "rehearsed": False, "now": now.isoformat()}
    if database is not None:
        apart = instant(database) - now
        facts["database_ahead_seconds"] = round(apart.total_seconds(), 3)
        if abs(apart) > TOLERANCE:
            which = "behind" if apart > timedelta() else "ahead of"
            detail = f"this host's clock shows {times.minute(now)}, {_length(abs(apart))} {which} the database's: nothing that it records is taken"
            return Finding("clock", Verdict.ACT, detail, ("set the clock of this host right (NTP)",), facts)
        now = instant(database)
    if entry is None:
        return Finding("clock", Verdict.WELL, f"the system's, {times.minute(now)}", facts=facts)
    by = instant(entry.at) - now
    facts["head_ahead_seconds"] = round(by.total_seconds(), 3)
    if by <= TOLERANCE:
        return Finding("clock", Verdict.WELL, f"the system's, {times.minute(now)}; the last entry is not ahead of it", facts=facts)
    return await _ahead(patient, entry, register, by, facts)


def _rehearsal(register: Register, patient: Patient) -> str:
    """What a rehearsed log goes by; empty for one in earnest."""
    runs_on = "it stands still at its last entry, until `consortium up --go-on` lets it run on"
    match register.clock:
        case PacedTime(pace=pace):
            return f"a rehearsal at {pace:,} times the pace of the system's clock: {runs_on}"
        case MovedTime():
            return f"a rehearsal whose clock was moved: {runs_on}"
        case SystemTime():
            return f"a demonstration's: {runs_on}" if patient.chosen.demonstration else ""


async def _ahead(patient: Patient, entry: Entry, register: Register, by: timedelta, facts: dict[str, Any]) -> Finding:
    at, now, first = instant(entry.at), instant(entry.at) - by, await _first_at(patient.log, entry)
    facts |= {"ahead_since": {"position": first.position, "actor": first.actor, "kind": first.kind, "stream": first.stream}}
    who = f"since {_named(first, now)}"
    accepted = register.time_accepted_until
    if accepted is not None and at <= accepted:
        detail = (
            f"the last entry is {_length(by)} ahead of the clock, {who}; two officers accepted it, and entries are dated"
            f" {times.shown(at, now)} until the clock has passed that"
        )
        return Finding("clock", Verdict.NOTE, detail, facts=facts)
    waiting = f"wait until {times.shown(at - TOLERANCE, now)}: then entries are recorded again by themselves"
    if by <= WAITED_FOR:
        detail = f"the last entry is {_length(by)} ahead of the clock, {who}: commands and deadlines wait for the clock"
        return Finding("clock", Verdict.ACT, detail, (waiting,), facts)
    detail = f"the last entry is {_length(by)} ahead of the clock, {who}: nothing is recorded"
    return Finding("clock", Verdict.ACT, detail, (waiting, *await _acceptances(patient, entry, register)), facts)


async def _first_at(log: Log, last: Entry) -> Entry:
    """The first of the entries that are dated like the last one: the one by which the log's time came there."""
    before, found = 0, last
    while found.position - before > 1:
        middle = (await log.read((before + found.position) // 2 - 1, 1))[0]
        if middle.at == last.at:
            found = middle
        else:
            before = middle.position
    return found


async def _acceptances(patient: Patient, entry: Entry, register: Register) -> Sequence[str]:
    """What two officers give to accept the time of the last entry; only the second one's command when the first one's was given."""
    stream = (await patient.log.read(0, 1))[0].stream
    state = (await patient.recorder.standing(stream)).stream.state
    at, position, given = instant(entry.at), entry.position, ""
    if isinstance(state, Founded) and state.acceptance is not None and state.acceptance.at == at:
        position, given = state.acceptance.position, state.acceptance.by
    officers = sorted({person for office in ACCEPTING for person in register.holders(office)} - {given})
    wanted = 1 if given else 2
    if len(officers) < wanted:
        return (f"accepting the time takes two people who are {', '.join(ACCEPTING)}: there are not so many",)
    folder = f" --folder {shlex.quote(str(patient.where.folder))}" if patient.where.folder else ""
    words = f"consortium consortium accept-time {slug_of(stream)} --position {position} --at {at.isoformat()}{folder}"
    told = (
        f"or, as {given} accepted the time already, let another officer accept it too:" if given else "or accept the time, by two officers:"
    )
    return (told, *(f"{words} --as {person}" for person in officers[:wanted]))


# ---------------------------------------------------------------- words


def _length(length: timedelta) -> str:
    """How long; below a minute in seconds, as clocks are compared."""
    return times.length(length) or f"{int(length.total_seconds())} seconds"


CHECKS: Final[Sequence[Check]] = (release, head, clock)
"""In the order in which they are shown."""
