"""A simulation in which everybody really signs: persons by keys of their own, what came of a step by the log's key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from domain.kernel import LOG, SERVICE, Step
from domain.stream import failure_id, letter_id, outcome_id
from eventstore.answers import Recorded
from eventstore.entries import Submission
from eventstore.log import Log
from eventstore.recorder import Recorder
from eventstore.statement import Carried, Sent, digest, written
from eventstore.verifying import Signing
from eventstore.wire import canonical_command
from simulation.world import Outside, Simulation, agreeable, salts_of
from tests.signers import Signers

BRINGING: Final = {"apply": "representatives", "found": "officers"}
"""Commands that bring keys, and in which field."""


class SignedSimulation(Simulation):
    """The same histories as a `Simulation`, on a log that takes nobody's word. Make it in a running event loop."""

    def __init__(
        self, start: datetime, log: Log, outside: Outside = agreeable, seed: int = 0, *, idle_looks: bool = True,
        signers: Signers | None = None,
    ) -> None:  # fmt: skip
        """With `signers` whose keys are made from a seed, one seed is one history, as of a `Simulation`."""
        super().__init__(start, log, outside, seed, idle_looks=idle_looks)
        self.signers = Signers() if signers is None else signers
        self.signing = Signing(self.signers.key(LOG))
        self.recorder = Recorder(log, clock=self.clock, salts=salts_of(seed), signing=self.signing)
        self._sending: tuple[str, str] = ("", "")
        """The stream that sends a letter now, and its step."""

    async def _tell(self, stream: str, step: Step) -> dict[str, Any]:
        self._sending = stream, step.key
        return await super()._tell(stream, step)

    async def _record(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> Recorded:
        recorded = await self.recorder.record(await self._vouched(stream, command, by, command_id))
        self._keep(stream, recorded.position, recorded.stream)
        return recorded

    async def _vouched(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> Submission:
        first = await self.recorder.first()
        if by != SERVICE:
            return self.signers.signed(stream, by, self._with_keys(stream, command, first), first, command_id=command_id, at=self.now)
        body, step = canonical_command(command), str(command.get("step", ""))
        attempt = self._streams[stream][1].tries.get(step) if stream in self._streams else None
        if attempt is not None and command_id in {outcome_id(stream, step, attempt), failure_id(stream, step, attempt)}:
            return Submission(
                stream, command_id, by, body, *self.signing.tag(Carried(attempt, first, digest(body), step, stream, 1))
            )  # fmt: skip
        source, key = self._sending
        retried = self._streams[source][1].retried.get(key, 0) if source else -1
        for retries in range(retried + 1):
            if command_id == letter_id(source, key, retries):
                return Submission(stream, command_id, by, body, written(Sent(retries, source, key)))
        return Submission(stream, command_id, by, body)

    def _with_keys(self, stream: str, command: Mapping[str, Any], first: str) -> Mapping[str, Any]:
        field = BRINGING.get(command["kind"])
        if field is None:
            return command
        keyed: dict[str, Any] = {field: [{**each, **self.signers.request(each["person"], first or stream)} for each in command[field]]}
        if command["kind"] == "found":
            keyed |= self.signers.log_key(stream)
        return {**command, **keyed}
