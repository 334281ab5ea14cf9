"""Drives `run/<id>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="run")
class Run(ProcessWorkflow):
    """One training run, from its contract to its last milestone."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
