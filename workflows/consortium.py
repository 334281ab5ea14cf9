"""Drives `consortium/<name>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="consortium")
class Consortium(ProcessWorkflow):
    """The founding, the charter and the officers."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
