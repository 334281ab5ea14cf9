"""Answers: what a worker says of a command is held against what the log signed, before anything of it is shown. Its word alone proves nothing."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable
from typing import Final, NamedTuple, Self

import msgspec

from activities.log.sending import TurnedDown
from activities.messages import Receipt, Refusal
from cli.failures import BadInput, Broken, Failure, Unreachable, of_file, translated
from cli.receipts import FOLDER, Desk, Known
from cli.site import log_of, register
from eventstore.authority import INTRODUCES, ByPerson, Unauthorised, behind, check_recorded
from eventstore.entries import ACCEPTED, Entry, flaw_of, instant
from eventstore.export import BadLine, entry_of
from eventstore.log import Log
from eventstore.sealing import proof as proof_on
from settings import Settings
from transparency.strict import Invalid

SEEN_SECONDS: Final = 5
"""How long an acknowledged entry may take to show on the log (a replica of the database may lag)."""
WHO_LIES: Final = (
    "do not believe the answer, and tell the officers: a worker answered what the log does not hold; check that --folder or CONSORTIUM_LOG names"
    " the log that this Temporal works on, then run `consortium verify`"
)


class Given(NamedTuple):
    """A command as it was given."""

    stream: str
    command_id: str
    actor: str
    command: bytes
    signed: bytes = b""
    """What the person signed; empty where nobody signs."""
    signature: bytes = b""

    @classmethod
    def of(cls, stream: str, command_id: str, actor: str, command: bytes, signed: str, signature: str) -> Self:
        """A command with what its envelope carries, in Base64."""
        return cls(stream, command_id, actor, command, base64.b64decode(signed), base64.b64decode(signature))


class Answer(NamedTuple):
    """What came of a command, as the log says: checked, or with the reason why it could not be."""

    receipt: Receipt | None
    """Nothing of a refusal that left no entry."""
    refusal: Refusal | None
    unseen: str = ""
    """Why the log was not looked at."""
    unkept: str = ""
    """Why the receipt was not kept."""


class _Claim(NamedTuple):
    """What a worker says of a command."""

    given: Given
    receipt: Receipt | None
    refusal: Refusal | None

    @property
    def said(self) -> str:
        """In words."""
        at = f" at position {self.receipt.position}" if self.receipt is not None and self.refusal is None else ""
        return f"a worker answered that the command is {'refused' if self.refusal is not None else ACCEPTED}{at}"

    @property
    def leaves_none(self) -> bool:
        """Whether a refusal may leave no entry: that of somebody whom the log does not know yet, and who brings their own key."""
        return self.refusal is not None and msgspec.json.decode(self.given.command)["kind"] in INTRODUCES


class _Evidence(NamedTuple):
    """What a claim rests on."""

    entry: Entry | None
    proof: bytes

    @classmethod
    def in_(cls, receipt: Receipt | None) -> Self:
        """What came with the answer. Raises `Broken`."""
        if receipt is None:
            return cls(None, b"")
        try:
            return cls(entry_of(receipt.entry.encode()) if receipt.entry else None, receipt.proof.encode())
        except (BadLine, UnicodeEncodeError) as error:
            raise Broken(f"the answer holds an entry that {error}", WHO_LIES) from error


async def answered(sent: Awaitable[Receipt]) -> tuple[Receipt | None, Refusal | None]:
    """What a worker answered to a command that was sent: nothing of it is believed yet. Raises what else `Sender.send` raises."""
    try:
        return await sent, None
    except TurnedDown as error:
        return error.receipt, error.refusal


def accepted(answer: Answer, command_id: str) -> Receipt:
    """The receipt of a command that was accepted. Raises `Refused` for one that was not."""
    if answer.refusal is not None:
        failure = translated(TurnedDown(answer.refusal))
        said = {"command_id": command_id, "unseen": answer.unseen, "unkept": answer.unkept}
        failure.details |= {name: words for name, words in said.items() if words}
        raise failure
    assert answer.receipt is not None, "what is accepted has a receipt"
    return answer.receipt


async def checked(chosen: Settings, given: Given, receipt: Receipt | None, refusal: Refusal | None) -> Answer:
    """A worker's answer held against what the log signed, and kept: what is shown of it is what the entry says.

    Raises `Broken` for an answer that is not so, `BadInput` for an id of another command, and `Unreachable` for one on a signed log that cannot be
    checked from here. A refusal, and on a log that nobody signs every entry, is looked up too, and `unseen` says why it could not be.
    """
    try:
        answer = await _checked(chosen, _Claim(given, receipt, refusal))
        return answer if answer.refusal is None else await _looked_up(chosen, answer)
    except Failure as failure:
        failure.details["command_id"] = given.command_id
        raise


async def _looked_up(chosen: Settings, refused: Answer) -> Answer:
    """A refusal, once the log shows its entry: the pinned key that proves it may have been revoked since. Raises `Broken`.

    What was accepted is looked up by whoever shows what it led to (`require_shown`).
    """
    if refused.receipt is None or refused.unseen:
        return refused
    try:
        async with log_of(chosen) as log:
            await require_shown(chosen, log, refused.receipt)
    except Broken:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the command was answered, and whoever gave it must know
        return refused._replace(unseen=translated(error).message)
    return refused


async def require_shown(chosen: Settings, log: Log, receipt: Receipt) -> None:
    """Raises `Broken` where the log that is read here does not show the entry of an answer, though that was proven: it is another copy."""
    entry = await _entry(log, receipt.command_id, wait=True)
    if entry is None or entry.hash.hex() != receipt.hash:
        raise Broken(
            f"the answer named position {receipt.position}, but the log at {chosen.log_shown} does not hold this command there",
            WHO_LIES, command_id=receipt.command_id,
        )  # fmt: skip


async def _checked(chosen: Settings, claim: _Claim) -> Answer:
    desk, found = Desk(chosen), _Evidence.in_(claim.receipt)
    known = desk.known()
    if known is None or found.entry is None or not known.proves(found.entry, found.proof):
        # What is missing the log can say: its first entry, a key that was enrolled since, an entry that was too long to be sent.
        signed = known is not None or bool(found.proof)
        try:
            async with log_of(chosen) as log:
                known = desk.learn(await Known.on(log))
                found = await _completed(log, claim, found, signed=known is not None)
        except (Broken, BadInput):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the command was answered, and whoever gave it must know
            return _unchecked(claim, translated(error), signed=signed)
    if known is None:
        return _unsigned(chosen, claim, found.entry)
    if found.entry is None:
        return _without_entry(claim)
    return await _answered(chosen, claim, known, found.entry, found.proof)


async def _completed(log: Log, claim: _Claim, found: _Evidence, *, signed: bool) -> _Evidence:
    """The evidence with what the log itself holds. An entry that comes with an answer says nothing where nobody signs."""
    entry = (found.entry if signed else None) or await _entry(
        log, claim.given.command_id, wait=claim.refusal is None or (signed and not claim.leaves_none)
    )
    if entry is None or found.proof or not signed:
        return _Evidence(entry, found.proof)
    sealed = await log.sealed()
    reaches = sealed is not None and sealed.size >= entry.position
    return _Evidence(entry, await proof_on(log, entry.position, sealed) if sealed is not None and reaches else b"")


async def _entry(log: Log, command_id: str, *, wait: bool) -> Entry | None:
    """The entry of a command, which a replica of the log may be late to show."""
    end = time.monotonic() + (SEEN_SECONDS if wait else 0)
    while True:
        found = await log.find([command_id])
        if found or time.monotonic() >= end:
            return found[0] if found else None
        await asyncio.sleep(0.1)


async def _answered(chosen: Settings, claim: _Claim, known: Known, entry: Entry, file: bytes) -> Answer:
    """The answer that an entry gives, once all of it is proven. Raises `Broken`, and `BadInput` for an id of another command."""
    if flaw := flaw_of(entry):
        raise Broken(f"the answer holds an entry that {flaw}", WHO_LIES)
    await _require_own(chosen, claim.given, entry)
    try:
        known.proven(entry, file)
    except Invalid as error:
        raise Broken(f"{claim.said}, and the log does not prove it: {error}", WHO_LIES) from error
    if (entry.outcome == ACCEPTED) != (claim.refusal is None):
        raise Broken(f"{claim.said}, and the log says {entry.outcome}, at position {entry.position}", WHO_LIES)
    answer = _answer_of(entry)
    try:
        Desk(chosen).keep(known, entry, file)
    except OSError as error:
        return answer._replace(unkept=of_file(error, chosen.folder / FOLDER, "written").message)
    return answer


async def _require_own(chosen: Settings, given: Given, entry: Entry) -> None:
    """Raises `Broken` for an entry that is not of this command, and `BadInput` where another one has its id."""
    if entry.command_id != given.command_id:
        raise Broken("the answer is to another command", WHO_LIES)
    _require_same(given, entry)
    if entry.signed == given.signed:
        return
    # A repeated command: what was signed the first time differs in its times, and perhaps in the key.
    try:
        first, again = behind(entry), behind(given)
        check_recorded(first)
    except Unauthorised as error:
        raise Broken(f"the entry is not signed as the command was: {error}", WHO_LIES) from error
    if not (isinstance(first, ByPerson) and isinstance(again, ByPerson)) or _without_times(first) != _without_times(again):
        raise Broken("what is signed in the entry is another command", WHO_LIES)
    if first.key != again.key:
        async with log_of(chosen) as log:
            if not (await register(log)).knows_key(given.actor, first.key):
                raise Broken(f"the entry is signed by a key that never was {given.actor}'s", WHO_LIES)


def _require_same(given: Given, entry: Entry) -> None:
    if (entry.stream, entry.actor, entry.command) != (given.stream, given.actor, given.command):
        raise BadInput(f"--id: another command has this id, at position {entry.position}", "give a new id, or none")


def _without_times(signed: ByPerson) -> object:
    return msgspec.structs.replace(signed.said, issued_at="", expires_at="", seen=None)


def _answer_of(entry: Entry) -> Answer:
    """What an entry says of its command."""
    told = msgspec.json.decode(entry.body)
    accepted = entry.outcome == ACCEPTED
    receipt = Receipt(
        position=entry.position, stream=entry.stream, command_id=entry.command_id, at=instant(entry.at),
        events=[event["kind"] for event in told] if accepted else [], hash=entry.hash.hex(),
    )  # fmt: skip
    return Answer(receipt, None if accepted else Refusal.model_validate(told))


# ---------------------------------------------------------------- what cannot be proven


def _unchecked(claim: _Claim, why: Failure, *, signed: bool) -> Answer:
    """An answer that cannot be held against the log from here: of a signed one nothing is shown."""
    if signed:
        raise Unreachable(f"{claim.said}, and that cannot be checked from here: {why.message}", why.remedy)
    return Answer(claim.receipt, claim.refusal, unseen=why.message)


def _unsigned(chosen: Settings, claim: _Claim, entry: Entry | None) -> Answer:
    """The answer on a log that nobody signs, where all that can be done is to look."""
    if claim.refusal is not None and (entry is None or entry.outcome != ACCEPTED):
        unseen = "nobody signs this log, and it does not hold the command: nothing proves it" if entry is None else ""
        return Answer(claim.receipt, claim.refusal, unseen=unseen)
    receipt = claim.receipt
    if entry is None or entry.outcome != ACCEPTED or flaw_of(entry) or receipt is None or entry.hash.hex() != receipt.hash:
        raise Broken(f"{claim.said}, but the log at {chosen.log_shown} does not hold this command there", WHO_LIES)
    _require_same(claim.given, entry)
    return Answer(receipt, None)


def _without_entry(claim: _Claim) -> Answer:
    if not claim.leaves_none:
        raise Broken(f"{claim.said}, and the log does not hold it", WHO_LIES)
    return Answer(
        claim.receipt, claim.refusal, unseen="what those are refused whom the log does not know is not recorded: nothing proves it"
    )
