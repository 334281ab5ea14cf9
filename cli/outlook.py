"""Looking ahead: what happens from here on if nobody acts any more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from cli.failures import BadInput
from cli.keep import of_export, of_log
from cli.look import LINE_CHARACTERS
from cli.options import HERE, Where
from cli.output import Progress, say, say_json, table, unescaped
from cli.site import log_of, now_of, settings
from cli.times import minute
from domain.kernel import one_line
from domain.money import display
from settings import copied
from simulation.outlook import Change, Outlook, Undated, look_ahead
from simulation.world import Simulation

YEAR: Final = timedelta(days=365)
MOST_YEARS: Final = 50

Years = Annotated[int, Parameter(help="How far to look ahead, in years of 365 days: 1 to 50.")]
File = Annotated[Path | None, Parameter(help="Begin from what `consortium export` wrote to this file, instead of the log.")]


async def outlook(*, years: Years = 10, file: File = None, where: Where = HERE) -> None:
    """Tell what happens from here on if nobody acts any more: every deadline comes, everything owed outside works, no person says a word.

    The log is copied and lived on in memory; nothing is written, sent or paid. Told are each process that comes into another phase, what is
    owed in the end and to whom, and what then comes to no end by itself.
    """
    if not 1 <= years <= MOST_YEARS:
        raise BadInput(f"--years: {years:,} is not looked ahead", f"it is a number from 1 to {MOST_YEARS}")
    simulation = await _resumed(file, where)
    begins = simulation.now
    async with Progress("looking ahead, days", years * YEAR.days) as progress:
        found = await look_ahead(simulation, begins + years * YEAR, lambda now: progress.at((now - begins).days))
    if where.json:
        say_json(told(found))
    else:
        _show(found)


async def _resumed(file: Path | None, where: Where) -> Simulation:
    """The simulator, where the log or the export ends."""
    async with Progress("reading the log"):
        if file is not None:
            copy, now = await copied(of_export(file)), None
        else:
            chosen = settings(where)
            async with log_of(chosen) as log:
                copy, now = await copied(of_log(log)), await now_of(log, chosen)
        simulation = await Simulation.resumed(copy, now)
    if not simulation.recorder.register.version:
        raise BadInput("no consortium was founded on this log yet", "found one: `consortium consortium found`")
    return simulation


# ---------------------------------------------------------------- as JSON


def told(found: Outlook) -> dict[str, Any]:
    """The outlook for programs; amounts in minor units."""
    return {
        "position": found.position, "begins": found.begins.isoformat(), "ends": found.ends.isoformat(), "entries": found.entries,
        "currency": found.currency, "held_minor": found.held,
        "changes": [
            {"at": each.at.isoformat(), "stream": each.stream, "before": each.before, "phase": each.phase, "line": unescaped(each.line), "entry": each.entry}
            for each in found.changes
        ],
        "obligations": [
            {"debtor": each.debtor, "creditor": each.creditor, "stream": each.stream, "minor": each.amount, "currency": each.currency}
            for each in found.obligations
        ],
        "undated": [
            {"stream": each.stream, "phase": each.phase, "line": unescaped(each.line), "waits_for": list(each.waits_for), "failed": list(each.steps)}
            for each in found.undated
        ],
    }  # fmt: skip


# ---------------------------------------------------------------- for people


def _show(found: Outlook) -> None:
    say(f"If nobody acts from {minute(found.begins)} to {minute(found.ends)}, {found.entries:,} entries are recorded.")
    _changes(found.changes)
    if found.obligations:
        rows = [(each.debtor, each.creditor, display(each.amount, each.currency), each.stream) for each in found.obligations]
        table(("who owes", "to whom", "amount", "where"), rows, title="What is owed in the end", right=("amount",))
    else:
        say("Nothing is owed in the end.")
    say(f"The consortium holds {display(found.held, found.currency)} then.")
    if found.undated:
        table(
            ("what", "phase", "waits for", "how it stands"),
            map(_undated, found.undated),
            title="What comes to no end by itself: it has no date",
        )
    else:
        say("Everything comes to an end by itself.")


def _changes(changes: Iterable[Change]) -> None:
    rows = [
        (minute(each.at), each.stream, f"{each.before} → {each.phase}", one_line(unescaped(each.line), LINE_CHARACTERS)) for each in changes
    ]
    if rows:
        table(("when", "what", "phase", "how it stands then"), rows, title="What changes")
    else:
        say("No process comes into another phase.")


def _undated(each: Undated) -> tuple[str, str, str, str]:
    waited = ", ".join((*each.waits_for, *(f"a person, for the step {step}" for step in each.steps)))
    return each.stream, each.phase, waited, one_line(unescaped(each.line), LINE_CHARACTERS)
