"""The lane in which entries stand on the log that this release cannot read: of a newer one, and damaged ones."""

from __future__ import annotations

import asyncio
from typing import Final

from domain.catalog import RULES
from domain.kernel import derived_id
from eventstore.entries import ACCEPTED, Entry, Submission, sealed
from eventstore.log import Appended, Log, LogUnavailable
from eventstore.sqlite import SqliteLog
from tests.chaos.checks import Receipt, chained, everything, kept
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.load import Callers, under_load
from tests.places import SqlitePlace
from tests.sealing import salts

NEWER: Final = str(int(RULES) + 1)
WAITED_SECONDS: Final = 3
"""How long a worker is asked to record after an entry of newer rules."""


async def strange(ground: Ground) -> Findings:
    """Entries with events that nobody here knows come between those of the load, each on a stream of its own; at last one of newer rules."""
    path = ground.folder / "log.db"
    callers, other = Callers(await SqliteLog.open(path)), await SqliteLog.open(path)
    async with under_load(callers):
        for number in range(ground.faults):
            await asyncio.sleep(ground.chance.uniform(0, 0.1))
            _known(callers, await _between(other, f"member/strange-{number}", RULES))
    _known(callers, await _between(other, "member/newer", NEWER))
    shown = await _shown(callers)
    entries = await everything(other)
    last = entries[-1]
    found = [*callers.faults, *shown, *chained(entries), *kept(entries, callers.receipts, callers.asked)]
    if last.rules != NEWER:
        found.append(f"recorded after an entry of newer rules: {last.kind} at position {last.position}")
    await callers.close()
    await other.close()
    return Findings(ground.faults, found)


async def damaged(ground: Ground) -> Findings:
    """The control: an entry in the middle was changed behind the log's back."""
    path = ground.folder / "log.db"
    callers = Callers(await SqliteLog.open(path))
    await callers.begin()
    await SqlitePlace(path).tamper(100, "body", b"[]")
    found = chained(await everything(callers.log))
    await callers.close()
    return Findings(1, found)


async def _between(log: Log, stream: str, rules: str) -> Entry:
    """Appends an entry that a newer release could have written."""
    while True:
        head = await log.head()
        entry = sealed(
            head.position + 1, stream, derived_id("strange", stream), "greet", "sam", head.at, rules, b'{"kind":"greet"}', b"", b"",
            ACCEPTED, b'[{"kind":"greeted"}]', head.hash, salts(2),
        )  # fmt: skip
        if await log.append([entry]) is Appended.DONE:
            return entry


def _known(callers: Callers, entry: Entry) -> None:
    callers.asked[entry.command_id] = (entry.stream, entry.actor, entry.command)
    callers.receipts.append(Receipt(entry.command_id, entry.position, entry.hash.hex()))


async def _shown(callers: Callers) -> list[str]:
    """What a caller is shown that must not be: "unavailable" is the only answer that may be given now."""
    ask = Submission("round/atlas-1", derived_id("strange", "last"), "sam", b'{"amount":1,"kind":"pledge","member":"helio-labs"}')
    end = asyncio.get_running_loop().time() + WAITED_SECONDS
    while asyncio.get_running_loop().time() < end:
        try:
            recorded = await callers.recorder.record(ask)
        except LogUnavailable:
            await asyncio.sleep(0.1)
        except Exception as error:  # noqa: BLE001  whatever else a caller is shown is a finding
            return [f"a caller was shown {type(error).__name__}: {error}"[:300]]
        else:
            return [f"a command was answered after an entry of newer rules, at position {recorded.entry.position}"]
    return []


LANES: Final = (
    Lane(
        "unreadable-entries", "entries of a newer release stand on the log", 10, 1_000, 100,
        strange, damaged, "an entry was changed", "chain",
    ),
)  # fmt: skip
