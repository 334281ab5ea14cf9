"""Drives `round/<name>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="round")
class Round(ProcessWorkflow):
    """A funding round, from the first pledge to the last refund."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
