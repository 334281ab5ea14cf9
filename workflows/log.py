"""Drives `log`: what Temporal knows of the log that it works for."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import NOTED, LogHead


@workflow.defn(name="log")
class Log:
    """Holds the furthest head of the log that a worker told of, in its memo: there it can be read when no worker runs."""

    def __init__(self) -> None:
        self._head: LogHead | None = None

    @workflow.run
    async def run(self, head: LogHead) -> None:
        """Holds it for as long as this Temporal works for the log. The memo that it was started with holds the first one."""
        self.seen(head)
        noted: LogHead | None = head
        while not workflow.info().is_continue_as_new_suggested():
            await workflow.wait_condition(lambda noted=noted: self._head != noted)  # type: ignore[misc]
            noted = self._head
            workflow.upsert_memo({NOTED: noted})
            if noted is not None:
                workflow.set_current_details(f"entry {noted.position}, {noted.hash}")
        workflow.continue_as_new(noted, memo={NOTED: noted})

    @workflow.signal
    def seen(self, head: LogHead) -> None:
        """The log reaches this far."""
        if self._head is None or head.position > self._head.position:
            self._head = head
