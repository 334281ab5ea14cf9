"""Temporal as a stage for a story: real workers, real servers, the log's own clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from activities.log.display import currency_of, line_of
from activities.log.keyring import Keyring, request
from activities.log.sending import NotAnswered, Sender
from activities.log.signed import Moment, sign
from activities.release.signing import release_key
from domain.charter import Charter
from domain.kernel import RELEASES
from domain.register.facts import LogTime
from eventstore.clock import fact_of
from eventstore.log import LogUnavailable
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from signatures.signers import KeySigner
from simulation.mock_bank import MockBank, mock_bank
from simulation.scenario import IBAN, Look

POLL_SECONDS: Final = 0.05
PATIENCE: Final = timedelta(days=400)
"""By the log's time: what does not come to pass in so long does not come."""
TRIES: Final = 20
"""How often a command is asked again while workers come and go."""


class Late(Exception):
    """The story waits for what does not come any more: somebody came too late for a deadline."""


class LiveStage:
    """Plays a story through Temporal and a bank, and watches it on the log. Everybody in it signs with a key of their own in the folder."""

    def __init__(
        self, sender: Sender, recorder: Recorder, bank: MockBank, folder: Path, told: Callable[[str], None] = lambda line: None
    ) -> None:
        self._sender = sender
        self._recorder = recorder
        self._bank = bank
        self._keys = Keyring(folder / "keys")
        self._signers = dict[str, KeySigner]()
        self.folder = folder
        self.told = told

    async def now(self) -> datetime:
        """See `Stage.now`. Never before the last entry."""
        head = (await self._recorder.replica()).head_time
        return max(self._recorder.clock.now(head), head)

    async def clock(self) -> LogTime:
        """See `Stage.clock`."""
        return fact_of(self._recorder.clock)

    async def key_of(self, person: str, consortium: str = "") -> Mapping[str, str]:
        """See `Stage.key_of`."""
        wanted = consortium or await self._recorder.first()
        asked = self._keys.requested(person)
        if asked is None or asked.consortium != wanted:
            asked = self._keys.keep(request(self._signer(person), person, wanted))
            # kept: a story that begins again gives the same command, and no two proofs on P-256 are alike
        return {"public_key": asked.public_key, "proof": asked.proof}

    def _signer(self, person: str) -> KeySigner:
        if person not in self._signers:
            self._signers[person] = release_key(self.folder / "signing.pem") if person == RELEASES else self._keys.own(person)
        return self._signers[person]

    async def _moment(self) -> Moment:
        """The log as who signs now sees it."""
        return await Moment.of(self._recorder.log, self._recorder.clock)

    async def give(self, stream: str, command: Mapping[str, Any], by: str, command_id: str) -> None:
        """See `Stage.give`. Signs and asks again, with the same id, for as long as workers come and go."""
        if command["kind"] == "found":
            command = await self._founding(command)
        line = line_of(stream, by, canonical_command(dict(command)), currency_of(self._recorder.register))
        for left in reversed(range(TRIES)):
            said = sign(self._signer(by), by, stream, command_id, dict(command), await self._moment())
            try:
                await self._sender.send(stream, command_id, by, command, signed=said.signed, signature=said.signature, line=line)
            except NotAnswered:
                if not left:
                    raise
            else:
                return

    async def _founding(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """A story that begins again founds with the words of the first time: its clock was another, and sets come in any order."""
        for founded in await self._recorder.log.read(0, 1):
            words: Mapping[str, Any] = json.loads(founded.command)
            return words
        return command

    async def credit(self, amount: int, currency: str, reference: str, end_to_end_id: str, payer: str) -> None:
        """See `Stage.credit`."""
        await self._bank.credit(amount, currency, reference, end_to_end_id, payer)

    async def wait(self, until: datetime) -> None:
        """See `Stage.wait`."""
        while True:
            left = until - await self.now()
            if left <= timedelta():
                return
            await asyncio.sleep(POLL_SECONDS)

    async def until(self, stream: str, holds: Callable[[Look], bool]) -> Look:
        """See `Stage.until`. Raises `Late`."""
        end = await self.now() + PATIENCE
        while await self.now() < end:
            look = await self._look(stream)
            if look is not None and holds(look):
                return look
            await asyncio.sleep(POLL_SECONDS)
        raise Late(f"{stream} did not come to what the story waits for")

    async def _look(self, stream: str) -> Look | None:
        try:
            standing = await self._recorder.standing(stream)
        except LogUnavailable:
            return None
        return Look(standing.headline.phase, standing.headline.line, standing.stream.state, standing.headline.values)


@asynccontextmanager
async def live(
    sender: Sender, recorder: Recorder, bank: MockBank, folder: Path, told: Callable[[str], None] = lambda line: None
) -> AsyncIterator[LiveStage]:
    """The stage, whose bank keeps to the log's date meanwhile."""
    stage = LiveStage(sender, recorder, bank, folder, told)
    following = asyncio.create_task(bank.follow(stage.now), name="bank-days")
    try:
        yield stage
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def bank_of(folder: Path, charter: Charter) -> AbstractAsyncContextManager[MockBank]:
    """A bank that keeps the consortium's account."""
    return mock_bank(folder, iban=IBAN, currency=charter.currency, owner=charter.name, today=datetime.now(UTC).date())
