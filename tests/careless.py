"""Workflows that were changed without a thought for those that run: what tests/test_replay.py must catch."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Standing
    from workflows.process import ProcessWorkflow


@workflow.defn(name="member")
class LooksTwice(ProcessWorkflow):
    """A careless change: it looks at the log once more before it begins."""

    @workflow.run
    async def run(self) -> None:
        await self._look()
        await self.drive()


@workflow.defn(name="member")
class RecordsFirst(ProcessWorkflow):
    """A careless change: it asks another activity before the one that came first."""

    async def _look(self) -> Standing:
        await workflow.execute_local_activity("record", self._stream, start_to_close_timeout=timedelta(seconds=30))
        return await super()._look()

    @workflow.run
    async def run(self) -> None:
        await self.drive()


@workflow.defn(name="probe")
class Fails(ProcessWorkflow):
    """A workflow whose task fails again and again, as that of one whose history does not replay."""

    @workflow.run
    async def run(self) -> None:
        raise ZeroDivisionError
