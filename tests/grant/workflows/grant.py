"""Drives `grant/<id>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="grant")
class Grant(ProcessWorkflow):
    """A grant, from the request to its payment."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
