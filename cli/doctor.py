"""`consortium doctor`: what is not as it should be, with a remedy for each.

Each check looks at one thing and gives a finding. A further check is a function in `CHECKS`: the table, the JSON and the exit code
follow from what it finds. None writes, sends or starts anything, none takes longer than `CHECK_SECONDS`, and none is left out because
another one failed: it says why it could not be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeVar

from cli import checks_files, checks_keys, checks_log, checks_temporal, services
from cli.failures import Failure, Unreachable, Unwell, translated
from cli.findings import CannotTell, Check, Finding, Opened, Patient, Verdict
from cli.options import HERE, Where
from cli.output import Progress, say_json, say_whole, table
from cli.site import log_of, near, now_of, played
from eventstore.recorder import Recorder
from settings import Settings, examined

if TYPE_CHECKING:
    from temporalio.client import Client

T = TypeVar("T")

CHECK_SECONDS: Final = 20
"""How long a check may take. What takes longer is not well, or is asked for again when a worker has made lists and snapshots."""


async def doctor(*, where: Where = HERE) -> None:
    """Look whether all is well: settings, files, log, clock, lists, steps, calendar, Temporal, workers, disk. Ends with 1 when something has to be done."""
    async with AsyncExitStack() as stack:
        progress = await stack.enter_async_context(Progress("opening the log", len(CHECKS)))
        patient = await _patient(where, stack)
        found = []
        for number, check in enumerate(CHECKS):
            progress.at(number, f"looking at the {_named(check.__name__)}")
            found.append(await _made(check, patient))
    _show(found, where)
    wanting = [_named(finding.check) for finding in found if finding.verdict is Verdict.ACT]
    if wanting:
        raise Unwell(f"something has to be done about the {', the '.join(wanting)}", "as told above")


async def _patient(where: Where, stack: AsyncExitStack) -> Patient:
    chosen, wrong = examined()
    if where.folder is not None:
        chosen = chosen.model_copy(update={"folder": where.folder, "log": ""})
    log = await _tried(_opened(chosen, stack))
    place, client = await _temporal(chosen, where)
    return Patient(chosen, wrong, where, place, log, client)


async def _opened(chosen: Settings, stack: AsyncExitStack) -> Opened:
    log = await stack.enter_async_context(log_of(chosen))
    recorder = Recorder(log)
    stack.push_async_callback(recorder.close)
    position = (await log.head()).position
    last = await log.read(position - 1, 1) if position else ()
    return Opened(log, recorder, last[0] if last else None, await now_of(log, chosen), await near(log), await played(log, chosen))


async def _temporal(chosen: Settings, where: Where) -> tuple[str, Client | Failure | None]:
    """Where Temporal is meant to be, and a client of it or why there is none."""
    try:
        place = services.place_of(chosen, named=where.folder is not None)
    except Exception as error:  # noqa: BLE001  a profile that cannot be read, say: it is told as what it is
        return "", translated(error)
    return place, await _tried(services.connected(chosen)) if place else None


async def _tried(work: Awaitable[T]) -> T | Failure:
    """What comes of it in time, or why nothing does."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await work
    except TimeoutError:
        return Unreachable(f"it gave no answer within {CHECK_SECONDS} s", "look whether it runs, and at the network to it")
    except Exception as error:  # noqa: BLE001  whatever it is, the other checks are made
        return translated(error)


async def _made(check: Check, patient: Patient) -> Finding:
    """What a check finds, or why it could not be made."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(patient)
    except CannotTell as error:
        return Finding(check.__name__, Verdict.UNKNOWN, str(error))
    except TimeoutError:
        return Finding(
            check.__name__, Verdict.ACT, f"could not be looked at within {CHECK_SECONDS} s", ("ask again; look at what is slow",)
        )
    except Exception as error:  # noqa: BLE001  whatever it is, the other checks are made
        failure = translated(error)
        return Finding(check.__name__, Verdict.ACT, f"could not be looked at: {failure.message}", (failure.remedy,))


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
    table(("check", "", "what was found"), [(_named(finding.check), finding.verdict.value, finding.detail) for finding in found])
    for finding in found:
        if finding.remedies:
            say_whole(f"{_named(finding.check)}:", *(f"  {remedy}" for remedy in finding.remedies))


def _named(check: str) -> str:
    return "Temporal" if check == "temporal" else check.replace("_", " ")


CHECKS: Final[Sequence[Check]] = (
    checks_files.settings, checks_files.files, checks_files.outside, checks_files.disk,
    checks_log.log, checks_log.release, checks_log.head, checks_log.clock, checks_log.lists, checks_log.steps, checks_log.calendar,
    checks_keys.keys, checks_temporal.temporal, checks_temporal.search_attributes, checks_temporal.workers,
)  # fmt: skip
"""In the order in which they are shown."""
