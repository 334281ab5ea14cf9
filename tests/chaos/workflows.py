"""Lanes in which Temporal is killed, or forgets everything, and in which workflows are ended from outside, with timers outstanding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, ResetWorkflowExecutionRequest
from temporalio.client import Client

import worker
from activities.log.reconciling import Cadence, Reconciler
from eventstore.log import Log
from eventstore.readmodels import Projector
from eventstore.sqlite import SqliteLog
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.probes import QUEUE, Probes, probing
from tests.chaos.servers import Temporal, temporal
from tests.probe import PROBE

SOON_SECONDS: Final = 6
AHEAD_SECONDS: Final = 30
"""How far ahead deadlines are: while Temporal is killed; while workflows are ended."""
LATE: Final = timedelta(seconds=90)
"""So long after it is due a bell has rung at the latest, whatever was ended."""
BELLS: Final = 8
"""How many streams are begun before each kill."""
CADENCE: Final = Cadence(turn=timedelta(seconds=2), suspect=timedelta(seconds=4), sweep=timedelta(seconds=10))
PROCESSES: Final = {"probe": PROBE}
FOLLOW_SECONDS: Final = 1.0
HOWS: Final = ("cancel", "terminate", "reset", "delete")


@asynccontextmanager
async def running(ground: Ground, *, reconciled: bool = True) -> AsyncIterator[tuple[Temporal, Probes]]:
    """A Temporal server, a worker with its reconciler, and streams to be begun."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(temporal(ground.folder))
        log = await SqliteLog.open(ground.folder / "log.db")
        stack.push_async_callback(log.close)
        probes = await stack.enter_async_context(probing(await server.client(), log))
        if reconciled:
            stack.push_async_callback(_ended, asyncio.create_task(_reconcile(probes)))
        yield server, probes


async def _reconcile(probes: Probes) -> None:
    """What every worker does beside recording: the lists are kept, and what they show unfinished is started."""
    lists = Projector(probes.recorder.log, PROCESSES)
    reconciler = Reconciler(probes.client, probes.recorder, task_queue=QUEUE, processes=PROCESSES, cadence=CADENCE)
    await asyncio.gather(_follow(lists, probes.recorder.log), reconciler.run())


async def _follow(lists: Projector, log: Log) -> None:
    while True:
        await log.changed(await lists.catch_up(), FOLLOW_SECONDS)


async def _ended(task: asyncio.Task[None]) -> None:
    """It went on until now."""
    if task.done():
        await task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ------------------------------------------------------------ Temporal


async def killed(ground: Ground) -> Findings:
    """Kills the server on its file, and starts it again."""
    return await _kills(ground, forgets=False)


async def wiped(ground: Ground) -> Findings:
    """Kills the server, deletes all that it knew, and starts it again."""
    return await _kills(ground, forgets=True)


async def forgotten(ground: Ground) -> Findings:
    """The control: it forgets everything, and nobody starts again what the log says is unfinished."""
    return await _kills(ground, forgets=True, reconciled=False)


async def _kills(ground: Ground, *, forgets: bool, reconciled: bool = True) -> Findings:
    late = LATE if reconciled else timedelta(seconds=SOON_SECONDS)
    async with running(ground, reconciled=reconciled) as (server, probes):
        for kill in range(ground.faults):
            streams = [await probes.begin(kill * BELLS + number, SOON_SECONDS + number % 3) for number in range(BELLS)]
            stop = asyncio.Event()
            pokes = asyncio.create_task(probes.poke(streams[:1], stop))
            await asyncio.sleep(ground.chance.uniform(0.2, 2.0))
            await server.kill()
            if forgets:
                server.wipe()
            await server.start()
            stop.set()
            await pokes
        await probes.rung(worker.now() + timedelta(seconds=SOON_SECONDS) + late)
        return Findings(ground.faults, await probes.found(late))


# ------------------------------------------------------------ workflows


async def ended(ground: Ground) -> Findings:
    """Cancels, terminates, resets and deletes workflows, each with a deadline ahead."""
    return await _ends(ground, reconciled=True)


async def left_dead(ground: Ground) -> Findings:
    """The control: nobody starts again what was ended."""
    return await _ends(ground, reconciled=False)


async def _ends(ground: Ground, *, reconciled: bool) -> Findings:
    ahead = AHEAD_SECONDS if ground.faults > BELLS * 2 else SOON_SECONDS + 4
    late = LATE if reconciled else timedelta(seconds=SOON_SECONDS)
    async with running(ground, reconciled=reconciled) as (_, probes):
        streams = await asyncio.gather(*(probes.begin(number, ahead) for number in range(ground.faults)))
        for number, stream in enumerate(streams):
            await end(probes.client, stream, HOWS[number % len(HOWS)])
        await probes.rung(worker.now() + timedelta(seconds=ahead) + late)
        return Findings(ground.faults, await probes.found(late))


async def end(client: Client, stream: str, how: str) -> None:
    """Ends a workflow from outside."""
    handle = client.get_workflow_handle(stream)
    match how:
        case "cancel":
            await handle.cancel()
        case "terminate":
            await handle.terminate("chaos")
        case "reset":
            await _reset(client, stream)
        case "delete":
            await _delete(client, stream)
        case _:
            raise ValueError(how)


async def _reset(client: Client, stream: str) -> None:
    described = await client.get_workflow_handle(stream).describe()
    execution = WorkflowExecution(workflow_id=stream, run_id=described.run_id)
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=execution,
            reason="chaos",
            request_id=described.run_id or stream,
            workflow_task_finish_event_id=4,
        )
    )


async def _delete(client: Client, stream: str) -> None:
    execution = WorkflowExecution(workflow_id=stream)
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    )


_DEAD: Final = "nobody starts again what is unfinished"
LANES: Final = (
    Lane(
        "temporal-killed", "Temporal is killed, with timers outstanding", 2, 500, 10, killed, forgotten, _DEAD, "did not ring", seconds=35
    ),
    Lane(
        "temporal-wiped",
        "Temporal forgets everything, with timers outstanding",
        2,
        50,
        5,
        wiped,
        forgotten,
        _DEAD,
        "did not ring",
        seconds=35,
    ),
    Lane(
        "workflows-ended",
        "workflows are cancelled, terminated, reset and deleted",
        12,
        400,
        80,
        ended,
        left_dead,
        _DEAD,
        "did not ring",
        seconds=35,
    ),
)
