"""One process speaking to another: a command on its stream, at least once, and by its key only once."""

from __future__ import annotations

from typing import Any

from activities import outside
from activities.sending import NotTaken, Sender, TurnedDown
from domain.kernel import SERVICE, Step, derived_id


class Tell:
    """Carries out `tell` steps."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def __call__(self, step: Step) -> dict[str, Any]:
        """Records the step's command on the stream it names. A refusal there is this step's failure, for a person to see."""
        target, command = step.data["stream"], step.data["command"]
        try:
            await self._sender.send(target, derived_id(outside.stream(), "tell", step.key), SERVICE, command)
        except TurnedDown as error:
            return outside.failed(step, f"{target} refused: {error}")
        except NotTaken as error:
            return outside.failed(step, f"{target} did not take it: {error}")
        return outside.done(step)
