"""What `consortium doctor` looks at in the log: whether it is whole and this release can go by it, its clock, its last entry, its lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

from cli import services, times
from cli.calendars import told_of
from cli.failures import Failure
from cli.findings import CannotTell, Finding, Opened, Patient, Verdict
from cli.site import TROUBLES, clock_of, retries, rows, up_of
from domain.catalog import RULES
from domain.consortium.rules import ANSWERING
from domain.consortium.state import Founded
from domain.kernel import one_line, slug_of
from domain.register.facts import MovedTime, PacedTime, SystemTime
from domain.register.state import Register
from eventstore.clock import TOLERANCE, WAITED_FOR, StandingClock
from eventstore.entries import Entry, flaw_of, instant
from eventstore.keeper import role
from eventstore.log import Log
from eventstore.readmodels import FOLDED

NAMED: Final = 10
"""How many steps are named with the command that tries them again."""
REASON_CHARACTERS: Final = 160
"""The most of a step's reason that is shown."""

# ---------------------------------------------------------------- the log


async def log(patient: Patient) -> Finding:
    """Whether the log can be read, and its last entry is as it was recorded."""
    shown, opened = patient.chosen.log_shown, patient.log
    if isinstance(opened, Failure):
        return Finding("log", Verdict.ACT, opened.message, (opened.remedy,), {"log": shown, "error": opened.name} | opened.details)
    entry = opened.head
    if entry is None:
        return Finding("log", Verdict.WELL, f"{shown}: empty, nothing is founded yet", facts={"log": shown, "position": 0})
    facts = {"log": shown, "position": entry.position}
    if flaw_of(entry):
        remedy = f"consortium verify{patient.folder}"
        return Finding(
            "log", Verdict.ACT, f"{shown}: entry {entry.position:,} is not what was recorded", (remedy, "restore the log"), facts
        )
    return Finding("log", Verdict.WELL, f"{shown}: {entry.position:,} entries", facts=facts)


async def lists(patient: Patient) -> Finding:
    """Whether the lists follow the log, and who sees to it."""
    opened = patient.opened().log
    keeping = await services.keeping(opened)
    facts = {"position": keeping.position, "behind": keeping.behind, "kept": keeping.kept, "of_this_release": keeping.edition}
    others = "" if keeping.edition or not keeping.position else "; they are another release's, until a worker of this one has made its own"
    if not keeping.behind:
        return Finding("lists", Verdict.WELL, f"as of the last entry{others}", facts=facts)
    detail = f"{keeping.behind:,} entries behind the log{others}"
    kept = keeping.kept if keeping.kept or not patient.place else await services.led(opened, role(), patience=services.HANDED_OVER)
    if kept is not False:
        return Finding("lists", Verdict.WELL, f"{detail}; a worker's keeper brings them there", facts=facts)
    if keeping.behind <= FOLDED and not patient.place:
        return Finding("lists", Verdict.NOTE, f"{detail}: whoever looks takes those in by themselves", facts=facts)
    remedies = (patient.begin, "or, where no worker is to run:", f"consortium rebuild{patient.folder}")
    return Finding("lists", Verdict.ACT, f"{detail}, and no worker of this release keeps them", remedies, facts)


# ---------------------------------------------------------------- steps


async def steps(patient: Patient) -> Finding:
    """Whether a step failed, so that a person must look, or is delayed."""
    opened = patient.opened()
    listed = await rows(opened.log)
    found = {state: [(row["stream"], *each) for row in listed for each in row.get(state, {}).items()] for state in TROUBLES}
    troubled = [each for state in TROUBLES for each in found[state]]
    facts = {state: [{"stream": stream, "step": step, "reason": reason} for stream, step, reason in found[state]] for state in TROUBLES}
    if not troubled:
        return Finding("steps", Verdict.WELL, "none failed, none is delayed", facts=facts)
    register = await opened.register() if opened.near else None
    agreed = register if isinstance(register, Register) else None
    again = retries(agreed, [(stream, step) for stream, step, _ in troubled[:NAMED]], patient.where)
    stream, step, reason = troubled[0]
    detail = (
        f"{len(found['failed']):,} failed, {len(found['delayed']):,} delayed; {step} of {stream}: {one_line(reason, REASON_CHARACTERS)}"
    )
    verdict = Verdict.ACT if found["failed"] else Verdict.NOTE
    return Finding("steps", verdict, detail, ("mend the cause (consortium status names each), then try again:", *again), facts)


# ---------------------------------------------------------------- the release


async def release(patient: Patient) -> Finding:
    """Whether this release can read what is on the log, and decide as its last entry was decided."""
    ours, opened = version("open-model-consortium"), patient.opened()
    head = opened.head
    facts = {"release": ours, "rules": RULES, "rules_of_head": head.rules if head else None}
    newer = ("use the release that wrote the log, or a newer one: going back is not possible any more",)
    if head is not None and int(head.rules) > int(RULES):
        detail = f"release {ours} has the rules {RULES}; the last entry was decided by newer ones, {head.rules}"
        return Finding("release", Verdict.ACT, detail, newer, facts)
    if not opened.near:
        unseen = f"release {ours}, rules {RULES}; not looked at whether it can take in all of the log: no snapshot is near its head"
        return Finding("release", Verdict.NOTE, unseen, facts=facts)
    register = await opened.register()
    if not isinstance(register, Register):
        told = f"release {ours} cannot go by this log: {register}"
        return Finding("release", Verdict.ACT, told, (*newer, "consortium verify tells whether the log is damaged"), facts)
    since = "" if head is None or head.rules == RULES else f"; the last entry was decided by rules {head.rules}"
    return Finding("release", Verdict.WELL, f"release {ours}, rules {RULES}{since}", facts=facts)


# ---------------------------------------------------------------- the calendar


async def calendar(patient: Patient) -> Finding:
    """Whether the charter in force names the days without business for long enough."""
    opened = patient.opened()
    register = await opened.register()
    if not isinstance(register, Register):
        raise CannotTell("not looked at: this release cannot go by the log, see what is said of it")
    if not register.version:
        return Finding("calendar", Verdict.WELL, "nothing is founded yet")
    today = opened.now.astimezone(UTC).date()
    named = register.charter.calendar
    line, warnings = told_of(named, today)
    facts = {"until": named.until.isoformat() if named.until else None}
    if not warnings:
        return Finding("calendar", Verdict.WELL, line, facts=facts)
    ended = named.until is not None and named.until < today
    remedies = (
        "write a longer one, then put an amendment with it to the vote:",
        f"consortium charter calendar FEDWIRE --years {today.year}-{today.year + 5}",
    )
    return Finding("calendar", Verdict.ACT if ended else Verdict.NOTE, f"{line}; {warnings[0]}", remedies, facts)


# ---------------------------------------------------------------- the last entry


async def head(patient: Patient) -> Finding:
    """The last entry: where, when, and who gave the command."""
    opened = patient.opened()
    entry = opened.head
    if entry is None:
        return Finding("head", Verdict.WELL, "the log is empty: nothing is founded yet")
    facts = {
        "position": entry.position, "at": instant(entry.at).isoformat(), "hash": entry.hash.hex(), "actor": entry.actor, "kind": entry.kind,
        "stream": entry.stream,
    }  # fmt: skip
    return Finding("head", Verdict.WELL, f"{_named(entry, opened.now)}, hash {entry.hash.hex()}", facts=facts)


def _named(entry: Entry, now: datetime) -> str:
    return f"position {entry.position} at {times.shown(instant(entry.at), now)}: {entry.kind} by {entry.actor} on {entry.stream}"


# ---------------------------------------------------------------- the clock


async def clock(patient: Patient) -> Finding:
    """Whether the log's clock and its last entry agree; if the entry is ahead, the ways out."""
    opened = patient.opened()
    entry = opened.head
    register = await opened.register()
    if not isinstance(register, Register):
        return Finding("clock", Verdict.ACT, "not known, as this release cannot go by this log", ("see what is said of the release",))
    rehearsal = _rehearsal(register, patient)
    if rehearsal:
        return Finding("clock", Verdict.WELL, rehearsal, facts={"clock": register.clock.model_dump(mode="json"), "rehearsed": True})
    now, database = datetime.now(UTC), await opened.log.time()
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
    return await _ahead(patient, opened, entry, register, by, facts)


def _rehearsal(register: Register, patient: Patient) -> str:
    """What a rehearsed log goes by; empty for one in earnest."""
    up = up_of(patient.chosen)
    runs = up is not None and not isinstance(clock_of(up), StandingClock)
    runs_on = "it runs" if runs else "it stands still at its last entry, until `consortium up --go-on` lets it run on"
    match register.clock:
        case PacedTime(pace=pace):
            return f"a rehearsal at {pace:,} times the pace of the system's clock: {runs_on}"
        case MovedTime():
            return f"a rehearsal whose clock was moved: {runs_on}"
        case SystemTime():
            return f"a demonstration's: {runs_on}" if patient.chosen.demonstration else ""


async def _ahead(patient: Patient, opened: Opened, entry: Entry, register: Register, by: timedelta, facts: dict[str, Any]) -> Finding:
    at, now, first = instant(entry.at), instant(entry.at) - by, await _first_at(opened.log, entry)
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
    return Finding("clock", Verdict.ACT, detail, (waiting, *await _acceptances(patient, opened, entry, register)), facts)


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


async def _acceptances(patient: Patient, opened: Opened, entry: Entry, register: Register) -> Sequence[str]:
    """What two officers give to accept the time of the last entry; only the second one's command when the first one's was given."""
    stream = (await opened.log.read(0, 1))[0].stream
    state = (await opened.recorder.standing(stream)).stream.state
    at, position, given = instant(entry.at), entry.position, ""
    first = state.acceptance if isinstance(state, Founded) else None
    if first is not None and first.at == at and register.holds(first.by, *ANSWERING):
        position, given = first.position, first.by
    officers = sorted({person for office in ANSWERING for person in register.holders(office)} - {given})
    wanted = 1 if given else 2
    if len(officers) < wanted:
        return (f"accepting the time takes two people who are {', '.join(ANSWERING)}: there are not so many",)
    words = f"consortium consortium accept-time {slug_of(stream)} --position {position} --at {at.isoformat()}{patient.folder}"
    told = (
        f"or, as {given} accepted the time already, let another officer accept it too:" if given else "or accept the time, by two officers:"
    )
    return (told, *(f"{words} --key {person}" for person in officers[:wanted]))


# ---------------------------------------------------------------- words


def _length(length: timedelta) -> str:
    """How long; below a minute in seconds, as clocks are compared."""
    return times.length(length) or f"{int(length.total_seconds())} seconds"
