"""Drives `proposal/<name>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="proposal")
class Proposal(ProcessWorkflow):
    """A proposal, from the announcement to its execution."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
