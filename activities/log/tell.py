"""One process speaking to another: a command on its stream, at least once, and by its key only once."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from activities import outside
from activities.log.display import line_of
from activities.log.sending import NotTaken, Sender, TurnedDown
from domain.kernel import SERVICE, Step
from domain.stream import letter_id
from eventstore.entries import encode_json
from eventstore.statement import Sent, written

Retried = Callable[[str, str], Awaitable[int]]
"""How often a person asked again for the owed step of a stream with a key."""


class Tell:
    """Carries out `tell` steps."""

    def __init__(self, sender: Sender, retried: Retried, currency: Callable[[], str] = lambda: "") -> None:
        self._sender = sender
        self._retried = retried
        self._currency = currency
        """The charter's, for words about amounts."""

    async def __call__(self, step: Step) -> dict[str, Any]:
        """Records the step's command on the stream it names. A refusal there is this step's failure, for a person to see.

        When a person asks again it is told anew, unless the stream took it meanwhile.
        """
        source, target, command = outside.stream(), step.data["stream"], step.data["command"]
        line = line_of(target, SERVICE, encode_json(command), self._currency())
        for retries in count():
            try:
                sent = written(Sent(retries=retries, source=source, step=step.key))
                await self._sender.send(
                    target, letter_id(source, step.key, retries), SERVICE, command, signed=b64encode(sent).decode(), line=line
                )
                break
            except TurnedDown as error:
                reason = f"{target} refused: {error}"
            except NotTaken as error:
                reason = f"{target} did not take it: {error}"
            if retries >= await self._retried(source, step.key):
                return outside.failed(step, reason)
        return outside.done(step)
