"""Drives `treasury/<account>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="treasury")
class Treasury(ProcessWorkflow):
    """The consortium's bank account; it has no end."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
