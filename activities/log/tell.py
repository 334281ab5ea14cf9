"""One process speaking to another: a command on its stream, at least once, and by its key only once."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec

from activities import outside
from activities.log.display import line_of
from activities.log.record import Recording
from activities.log.sending import NotAnswered, NotTaken, Sender, TurnedDown
from domain.kernel import SERVICE, Step
from domain.stream import letter_id
from eventstore.entries import ACCEPTED, Entry, Refusal, encode_json
from eventstore.statement import Sent, written


class Tell:
    """Carries out `tell` steps."""

    def __init__(self, sender: Sender, recording: Recording) -> None:
        self._sender = sender
        self._recording = recording

    async def __call__(self, step: Step) -> dict[str, Any]:
        """Records the step's command on the stream it names. A refusal there is this step's failure, for a person to see.

        When a person asks again it is sent anew, unless the stream took it meanwhile. Whatever the answer is, the log is looked at, for
        anybody who works on the task queue can answer. Raises `NotAnswered` while the log does not hold the command.
        """
        source, target, command = outside.stream(), step.data["stream"], step.data["command"]
        retries = 0
        while True:
            said = await self._sent(Sent(retries=retries, source=source, step=step.key), target, command)
            last = retries >= await self._recording.retried(source, step.key)
            entry = await self._recording.entry(letter_id(source, step.key, retries))
            reason = self._recording.flaw_of(target, command) if entry is None else _refused(entry, target, command)
            if entry is not None and not reason:
                return outside.done(step)
            if last and not reason:
                raise NotAnswered(f"the log does not hold what {target} was sent" + (f", whose worker answered: {said}" if said else ""))
            if last:
                return outside.failed(step, f"{target} {'refused' if entry is not None else 'did not take it'}: {reason}")
            retries += 1

    async def _sent(self, sent: Sent, target: str, command: Any) -> str:
        """Sends a letter; why it was turned down, if that was the answer."""
        line = line_of(target, SERVICE, encode_json(command), self._recording.currency)
        signed = b64encode(written(sent)).decode()
        try:
            await self._sender.send(target, letter_id(sent.source, sent.step, sent.retries), SERVICE, command, signed=signed, line=line)
        except (TurnedDown, NotTaken) as error:
            return str(error)
        return ""


def _refused(entry: Entry, target: str, command: Any) -> str:
    """Why a letter of this id was not accepted, as the log says; empty where it was."""
    if (entry.stream, entry.command) != (target, encode_json(command)):
        return f"its id stands on the log at position {entry.position}, with another command"
    if entry.outcome == ACCEPTED:
        return ""
    refusal = msgspec.json.decode(entry.body, type=Refusal)
    return f"{refusal.rule}: {refusal.message}"
