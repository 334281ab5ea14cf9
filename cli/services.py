"""What works on a log, as it is seen from here: Temporal, the workers that poll there, and who keeps the lists."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cli import times
from cli.failures import Failure, Unreachable, translated
from cli.options import folder_option
from cli.site import profile, temporal, up_of
from eventstore.keeper import role
from eventstore.log import Log, LogUnavailable
from eventstore.readmodels import STANDINGS, edition
from settings import VARIABLES, Settings

if TYPE_CHECKING:
    from temporalio.client import Client

    from activities.log.cluster import Cluster, Queue

ASKED_SECONDS: Final = 5
"""How long Temporal is asked before it is said that it does not answer."""
WAITED: Final = timedelta(seconds=30)
"""Work that has waited for so long lacks workers."""


HANDED_OVER: Final = 15
"""So many seconds after a leader stood still another one leads."""
_LOOK_SECONDS: Final = 0.5


class Keeping(NamedTuple):
    """How far the lists follow the log, and who sees to it."""

    position: int
    head: int
    edition: bool
    """Whether they are as this release makes them; else another one's are shown."""
    kept: bool | None
    """Whether a keeper of this release is at work; `None` where that may not be seen."""

    @property
    def behind(self) -> int:
        """How many entries are in no list yet; whoever reads takes in the last few thousand by themselves."""
        return max(self.head - self.position, 0)


@dataclass(frozen=True, slots=True)
class Services:
    """What works on a log. Without a place nothing is meant to."""

    place: str
    """Where Temporal is meant to be; empty where only an `up` would run, and does not."""
    cluster: Cluster | None = None
    queue: Queue | None = None
    failure: Failure | None = None
    """Why Temporal does not say it all."""


def place_of(chosen: Settings, *, named: bool = False) -> str:
    """Where the Temporal of a log is meant to be: of the `up` on it, else what the environment names. Empty where nothing is meant to run.

    A log in a folder has no Temporal but that of an `up`, unless the environment names one, and no folder is named on the command line.
    Raises `BadInput` and `Unreachable`.
    """
    up = up_of(chosen)
    if up is not None:
        return str(up["address"])
    if not chosen.log and named:
        return ""
    told = profile()
    if not chosen.log and "target_host" not in told and "address" not in chosen.model_fields_set:
        return ""
    return str(told.get("target_host", chosen.address))


async def found(chosen: Settings, *, named: bool) -> Services:
    """What works there, within a few seconds. Fails for nothing: what cannot be seen is said."""
    place = ""
    try:
        place = place_of(chosen, named=named)
        if not place:
            return Services("")
        from activities.log import cluster

        async with asyncio.timeout(ASKED_SECONDS):
            client = await temporal(chosen)
            return Services(place, await cluster.cluster(client), await cluster.queue(client, chosen.task_queue))
    except TimeoutError:
        return Services(place, failure=_silent(place))
    except Exception as error:  # noqa: BLE001  whatever it is, who looks at the log is told, and sees the log
        return Services(place or VARIABLES["address"], failure=translated(error))


async def connected(chosen: Settings) -> Client:
    """A client of the log's Temporal, within a few seconds. Raises a `Failure`."""
    try:
        async with asyncio.timeout(ASKED_SECONDS):
            return await temporal(chosen)
    except TimeoutError as error:
        raise _silent(place_of(chosen)) from error


def _silent(place: str) -> Unreachable:
    return Unreachable(f"Temporal at {place} gave no answer within {ASKED_SECONDS} s", "look at Temporal, and at the network to it")


async def keeping(log: Log) -> Keeping:
    """How far the lists follow. Raises `LogUnavailable`."""
    shown = await log.shown(edition(), STANDINGS, key="")
    return Keeping(shown.position, (await log.head()).position, shown.edition == edition(), await led(log, role()))


async def led(log: Log, in_role: str, *, patience: float = 0) -> bool | None:
    """Whether anybody leads in a role on a log, at the latest after so many seconds; `None` where that may not be seen."""
    end = asyncio.get_running_loop().time() + patience
    try:
        while not (found := await log.led(in_role)) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  nobody tells who leads
            await asyncio.sleep(_LOOK_SECONDS)
    except LogUnavailable:
        return None
    return found


# ---------------------------------------------------------------- telling


def lines(seen: Services, keeping: Keeping, chosen: Settings) -> Sequence[str]:
    """What works, for people."""
    begin = f"`consortium up{folder_option(chosen.folder)}`" if not chosen.log else "`consortium worker`"
    return (_temporal(seen, chosen), *([_workers(seen.queue, chosen, begin)] if seen.queue else []), _lists(keeping, begin))


def _temporal(seen: Services, chosen: Settings) -> str:
    if not seen.place:
        begin = f"`consortium up{folder_option(chosen.folder)}`"
        return f"Temporal   does not run: nobody takes commands, and nothing happens by itself until {begin}"
    if seen.cluster is None:
        said = seen.failure.message if seen.failure else "says nothing of itself"
        return f"Temporal   {said} (`consortium doctor` says what to do)"
    return f"Temporal   {seen.cluster.version} at {seen.cluster.address}, namespace {seen.cluster.namespace}"


def _workers(queue: Queue, chosen: Settings, begin: str) -> str:
    return f"workers    {workers(queue, chosen)}" + ("" if releases(queue) else f": start one by {begin}")


def workers(queue: Queue, chosen: Settings) -> str:
    """Who works, by release, and what waits for them."""
    at_work = [poller for poller in queue.pollers if poller.polls]
    if not at_work:
        gone = f"; the last one was heard of {times.length(queue.pollers[0].ago)} ago" if queue.pollers else ""
        return f"none polls the task queue {chosen.task_queue}{gone}"
    told = ", ".join(f"{number} of release {name}" for name, number in releases(queue).items())
    waits = f"; {queue.waiting:,} tasks wait, the first for {int(queue.waited.total_seconds()):,} s" if queue.waited >= WAITED else ""
    return f"{told} at the task queue {chosen.task_queue}{waits}"


def releases(queue: Queue) -> Mapping[str, int]:
    """How many workers of each release poll."""
    return dict(sorted(Counter(poller.release or "unknown" for poller in queue.pollers if poller.polls).items()))


def _lists(keeping: Keeping, begin: str) -> str:
    if not keeping.behind:
        return "lists      as of the last entry"
    by = "a worker brings them there" if keeping.kept else f"no worker keeps them: start one by {begin}"
    return f"lists      {keeping.behind:,} entries behind, as of {keeping.position:,}; {by}"


def told(seen: Services, keeping: Keeping) -> dict[str, Any]:
    """What works, as JSON."""
    return {
        "temporal": _temporal_told(seen) if seen.place else None,
        "workers": [
            {
                "identity": poller.identity, "release": poller.release, "seen_seconds": int(poller.ago.total_seconds()), "polls": poller.polls,
                "takes": list(poller.takes),
            }
            for poller in seen.queue.pollers
        ] if seen.queue else None,
        "waiting": {"tasks": seen.queue.waiting, "seconds": int(seen.queue.waited.total_seconds())} if seen.queue else None,
        "lists": {"position": keeping.position, "behind": keeping.behind, "kept": keeping.kept, "of_this_release": keeping.edition},
    }  # fmt: skip


def _temporal_told(seen: Services) -> dict[str, Any]:
    if seen.cluster is None:
        failure = seen.failure
        return {"reached": False, "address": seen.place, "message": failure and failure.message, "remedy": failure and failure.remedy}
    where = seen.cluster
    return {"reached": True, "address": where.address, "namespace": where.namespace, "version": where.version}
