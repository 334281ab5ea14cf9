"""Records histories for tests/test_replay.py: `python -m tests.record_histories`, after a change to workflows/ that is meant.

Plays the story on a dev server, and a probe that goes through several runs. Keep old histories for as long as workflows
that began under the old code may run: those are what a release must not break.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from temporalio.client import Client

import worker
from activities.log.sending import Sender
from activities.messages import TASK_QUEUE
from cli.demo import PACE
from eventstore.clock import PacedClock
from settings import rehearsed
from simulation.live import bank_of, live
from simulation.model import RELEASE, RUN, ModelStory
from simulation.scenario import ATLAS, LEAVER, ROUND, SIZE
from tests.dev_server import dev_server
from tests.stories import charter
from tests.test_shell import Site

HISTORIES: Final = Path(__file__).parent / "histories"
STREAMS: Final = (
    ATLAS,
    f"member/{LEAVER}",
    f"proposal/admit-{LEAVER}",
    SIZE,
    ROUND,
    RUN,
    RELEASE,
    f"treasury/{charter().treasury.account}",
)
EVENTS_A_RUN: Final = 120
"""After so many events the server suggests a new run: short, so that histories are small."""


async def keep(client: Client, stream: str, run_id: str | None, name: str) -> None:
    """Stores the history of a run."""
    history = await client.get_workflow_handle(stream, run_id=run_id).fetch_history()
    (HISTORIES / f"{name}.json").write_text(history.to_json() + "\n", encoding="utf-8")


async def story(client: Client, folder: Path) -> None:
    """Plays the story, and stores the last run of some of its streams."""
    folder.mkdir()
    (folder / "sanctions.txt").write_text("Nobody In Particular\n", encoding="utf-8")
    now = datetime.now(UTC)
    clock = PacedClock(now, now, PACE)
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(bank_of(folder, charter()))
        chosen = rehearsed(folder, bank=bank.url)
        recorder = await stack.enter_async_context(worker.recording(chosen, clock))
        await stack.enter_async_context(worker.compose(client, recorder, chosen))
        stage = await stack.enter_async_context(live(Sender(client, TASK_QUEUE), recorder, bank, folder, print))
        await ModelStory(stage, charter()).play()
        for stream in STREAMS:
            await keep(client, stream, None, stream.replace("/", "-"))


async def probe(client: Client, folder: Path) -> None:
    """Pokes a probe through several runs, and stores the first, which ends by starting a new one."""
    async with Site(client, folder) as site, site.worker():
        stream = site.name()
        await site.give(stream, "begin", work=3, ring_seconds=1)
        first = (await site.handle(stream).describe()).run_id
        while (await site.handle(stream).describe()).run_id == first:
            await site.give(stream, "poke")
        await keep(client, stream, first, "probe")
        await site.give(stream, "finish")


async def main() -> None:
    """Records all of them."""
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="histories-") as folder:
        async with await dev_server(f"limit.historyCount.suggestContinueAsNew={EVENTS_A_RUN}") as environment:
            await probe(environment.client, Path(folder))
            await story(environment.client, Path(folder) / "story")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
