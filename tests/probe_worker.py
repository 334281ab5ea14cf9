"""A worker for probes in a process of its own, with a reconciler, so that it can be killed: `python -m tests.probe_worker …`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

import worker
from activities.log.reconciling import CADENCE, Cadence, Reconciler
from domain.consortium.process import CONSORTIUM
from eventstore.readmodels import Projector
from tests.probe import PROBE
from tests.test_shell import Site

PROCESSES: Final = {"probe": PROBE, "consortium": CONSORTIUM}
HURRIED: Final = Cadence(timedelta(seconds=0.5), timedelta(seconds=1), timedelta(seconds=1))
READY: Final = "ready"


async def main(address: str, folder: str, queue: str, cadence: Cadence) -> None:
    """Works until it is killed."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    async with Site(client, Path(folder)) as site:
        site.use(queue)
        reconciling = asyncio.create_task(Reconciler(client, site.recorder, task_queue=queue, processes=PROCESSES, cadence=cadence).run())
        projector = Projector(site.log, PROCESSES)
        async with site.worker(runner=worker.RUNNER):
            sys.stdout.write(f"{READY}\n")
            sys.stdout.flush()
            while not reconciling.done():
                await projector.catch_up()
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    address, folder, queue, *hurried = sys.argv[1:]
    asyncio.run(main(address, folder, queue, HURRIED if hurried else CADENCE))
