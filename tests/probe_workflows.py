"""The workflows that drive the probe of tests/probe.py. They know nothing of its rules, as all workflows, so the sandbox has little to load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from workflows.process import ProcessWorkflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import MALFORMED, NO_ENVELOPE, Receipt


@workflow.defn(name="probe")
class ProbeWorkflow(ProcessWorkflow):
    """Drives a probe."""

    @workflow.run
    async def run(self) -> None:
        await self.drive()


@workflow.defn(name="probe")
class HurriedProbe(ProcessWorkflow):
    """Drives a probe in runs that take few commands."""

    most_updates = 20

    @workflow.run
    async def run(self) -> None:
        await self.drive()


@workflow.defn(name="probe")
class FormerProbe(ProcessWorkflow):
    """Drives a probe as a release did that knew no line of an envelope: it takes no field that it does not know."""

    @workflow.run
    async def run(self) -> None:
        await self.drive()

    @workflow.update(dynamic=True)
    async def command(self, name: str, args: Sequence[RawValue]) -> Receipt:  # type: ignore[override]
        former: Any = super()
        receipt: Receipt = await former.command(name, args)
        return receipt

    @command.validator
    def _accept(self, name: str, args: Sequence[RawValue]) -> None:
        if b'"line"' in args[0].payload.data:
            raise ApplicationError(f"{NO_ENVELOPE}: line: Extra inputs are not permitted", type=MALFORMED)
