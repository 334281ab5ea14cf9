"""Drives `member/<name>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="member")
class Member(ProcessWorkflow):
    """A membership, from the application to the last duty."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
