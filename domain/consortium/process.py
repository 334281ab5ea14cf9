"""The consortium itself, `consortium/<name>`: its founding, its charter, its officers and their keys.

The first entry of every log is `found`. Afterwards the charter changes only by a passed proposal (`founding`); offices are granted
and revoked by the secretariat, and the board's by a vote through the same commands under a mandate (`offices`). Persons' keys are enrolled with a
proof (`keys`), and two officers replace a lost one (`recovery`); two enrol what signs the log and releases (`signing`). Who is absent names
a substitute (`absence`). The log's clock is a topic of its own (`clock`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain.charter import Office
from domain.consortium import absence, clock, commands, events, founding, keys, offices, recovery, rules, signing
from domain.consortium.rules import Events
from domain.consortium.state import ConsortiumState, Founded, Unfounded, evolve
from domain.kernel import Agenda, Deadline, Headline, escaped, holders, shown_at
from domain.process import Context, Process, Table, phase_of_deadline
from domain.register.state import Register, ServiceKey
from domain.stream import Common


def decide(state: ConsortiumState, command: commands.ConsortiumCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.Found():
            return founding.found(rules.unfounded(state), command, context)
        case commands.AmendCharter():
            return founding.amend_charter(rules.founded(state), command, context)
        case commands.GrantOffice():
            return offices.grant(rules.founded(state), command, context)
        case commands.RevokeOffice():
            return offices.revoke(rules.founded(state), command, context)
        case commands.EnrolKey():
            return keys.enrol(rules.founded(state), command, context)
        case commands.RotateKey():
            return keys.rotate(rules.founded(state), command, context)
        case commands.RevokeKey():
            return keys.revoke(rules.founded(state), command, context)
        case commands.RecoverKey():
            return recovery.request(rules.founded(state), command, context)
        case commands.ConfirmKeyRecovery():
            return recovery.confirm(rules.founded(state), command, context)
        case commands.StopKeyRecovery():
            return recovery.stop(rules.founded(state), command, context)
        case commands.CompleteKeyRecovery():
            return recovery.complete(phase_of_deadline(state, Founded), command, context)
        case commands.BeginSigning():
            return signing.begin(rules.founded(state), command, context)
        case commands.EnrolLogKey():
            return signing.enrol_log_key(rules.founded(state), command, context)
        case commands.RevokeLogKey():
            return signing.revoke_log_key(rules.founded(state), command, context)
        case commands.EnrolReleaseKey():
            return signing.enrol_release_key(rules.founded(state), command, context)
        case commands.RevokeReleaseKey():
            return signing.revoke_release_key(rules.founded(state), command, context)
        case commands.NameSubstitute():
            return absence.name_substitute(rules.founded(state), command, context)
        case commands.WithdrawSubstitute():
            return absence.withdraw_substitute(rules.founded(state), command, context)
        case commands.AcceptTime():
            return clock.accept(rules.founded(state), command, context)
        case commands.RestartClock():
            return clock.restart(rules.founded(state), command, context)


def agenda(state: ConsortiumState) -> Agenda:
    """The end of each time in which the recovery of a key can be stopped. Otherwise a consortium owes nothing by itself, and does not end."""
    match state:
        case Unfounded():
            return Agenda(closed=True)
        case Founded(recoveries=recoveries):
            due = tuple(
                Deadline(each.until, commands.CompleteKeyRecovery(person=person, public_key=each.public_key))
                for person, each in sorted(recoveries.items())
                if each.until is not None
            )
            return Agenda(due, closed=not due)


def describe(state: ConsortiumState) -> Headline:
    """The charter's name and version, and who holds which office."""
    match state:
        case Unfounded():
            return Headline("unfounded", "not founded yet")
        case Founded(version=version, charter=charter, officers=held):
            rows = "\n".join(f"| {person} | {', '.join(sorted(each))} |" for person, each in sorted(held.items()) if each)
            text = f"| officer | offices |\n| --- | --- |\n{rows}"
            values: dict[str, str | int] = {
                "name": charter.name,
                "currency": charter.currency,
                "seat": charter.seat,
                "charter_version": version,
            }
            line = f"{escaped(charter.name)}, charter version {version}{_waiting(state)}"
            return Headline("founded", line, text, holders(_deciding(state)), values)


def _deciding(state: Founded) -> frozenset[Office]:
    """Whose holders second what one of them gave, or may stop the recovery of a key."""
    recovering = state.charter.roles.recovery_offices if state.recoveries else frozenset[Office]()
    return recovering.union(*(signing.SECONDING[act] for act in state.acts))


def _waiting(state: Founded) -> str:
    """What waits for a second officer, or for its time, in words."""
    waiting = [f"{person} is to have a new key{_from(each.until)}" for person, each in sorted(state.recoveries.items())]
    waiting += [f"{act.replace('_', '-')} waits for a second officer" for act in sorted(state.acts)]
    return "".join(f"; {each}" for each in waiting[:3]) + ("; …" if len(waiting) > 3 else "")


def _from(until: datetime | None) -> str:
    return ", if a second officer confirms it" if until is None else f" from {shown_at(until)} on"


SUBSTITUTES: Final = ("absent", "substitute", "duties", "since", "until", "in_force")


def tables(state: ConsortiumState, register: Register, at: datetime) -> Sequence[Table]:
    """Who stands in for whom, for what and when, unless the absence is over; the keys of the consortium; and what waits for a second officer."""
    named = (_substitutes(register, at), _keys(register), _recoveries(state), _acts(state))
    return [table for table in named if table.rows]


def _keys(register: Register) -> Table:
    """The keys that sign the log and releases, and those that did, each with its positions."""
    held = (("log", register.log_keys), ("releases", register.release_keys))
    rows = [(use, public_key, key.since, key.until) for use, keys in held for public_key, key in sorted(keys.items(), key=_since)]
    return Table("service_keys", ("signs", "public_key", "since", "until"), rows)


def _since(item: tuple[str, ServiceKey]) -> int:
    return item[1].since


def _recoveries(state: ConsortiumState) -> Table:
    """Whose lost key two officers replace, and until when that can be stopped."""
    found = state.recoveries if isinstance(state, Founded) else {}
    rows = [(person, each.public_key, ", ".join(each.signed), each.until) for person, each in sorted(found.items())]
    return Table("key_recoveries", ("person", "public_key", "signed", "until"), rows)


def _acts(state: ConsortiumState) -> Table:
    """What one officer gave and a second one must give too."""
    found = state.acts if isinstance(state, Founded) else {}
    return Table("awaiting_second", ("command", "digest", "by"), [(act, each.digest, each.by) for act, each in sorted(found.items())])


def _substitutes(register: Register, at: datetime) -> Table:
    rows = [
        (absent, each.person, ", ".join((*sorted(each.offices), *sorted(each.members))), each.since, each.until, each.covers(at))
        for absent, named in sorted(register.substitutes.items())
        for each in sorted(named, key=lambda each: (each.since, each.person))
        if at < each.until
    ]
    return Table("substitutes", SUBSTITUTES, rows)


CONSORTIUM: Final[Process[commands.ConsortiumCommand, events.ConsortiumEvent, ConsortiumState]] = Process(
    name="consortium",
    title="the consortium itself",
    about="Holds the charter in force, the officers and their keys. It begins with the founding; a vote amends the charter.",
    initial=Unfounded(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.ConsortiumCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.ConsortiumEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=13,
    list_version=3,
)
