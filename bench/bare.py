"""The least that a durable command can be: one Update, one local activity."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def echo(text: str) -> str:
    """Gives back what it is given."""
    return text


@workflow.defn
class Bare:
    """One Update, one local activity, nothing else."""

    @workflow.run
    async def run(self) -> None:
        """Waits for ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def poke(self, text: str) -> str:
        """Echoes by a local activity."""
        return await workflow.execute_local_activity(echo, text, start_to_close_timeout=timedelta(seconds=10))
