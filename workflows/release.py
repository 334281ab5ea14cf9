"""Drives `release/<id>`."""

from __future__ import annotations

from temporalio import workflow

from workflows.process import ProcessWorkflow


@workflow.defn(name="release")
class Release(ProcessWorkflow):
    """A model's files, from the proposal until they are everybody's, and after."""

    @workflow.run
    async def run(self) -> None:
        """See `ProcessWorkflow.drive`."""
        await self.drive()
