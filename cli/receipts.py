"""Receipts: an answer is checked before it is shown, kept, and looked up again later. A worker's word alone proves nothing.

What is known of a log is pinned at the first contact with it, in `receipts/known.json` of the folder: the hash of its first entry, and its keys.
A later key counts once the log itself, which is read here, says that it is enrolled.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec

from activities.log.sending import TurnedDown
from activities.messages import Receipt, Refusal
from cli.failures import BadInput, Broken, Failure, Unreachable, of_file, translated
from cli.options import HERE, Where
from cli.output import Progress, say, say_json, table
from cli.site import log_of, register, settings
from domain.kernel import one_line
from eventstore.authority import INTRODUCES, ByPerson, Unauthorised, behind, check_signature
from eventstore.entries import ACCEPTED, Entry, flaw_of, instant
from eventstore.export import BadLine, entry_of, line_of
from eventstore.log import Log, Sealed
from eventstore.sealing import hashes, log_keys, origin_of
from eventstore.sealing import proof as proof_on
from settings import Settings, make_private
from transparency import checkpoint, note, proof, tree
from transparency.checkpoint import Checkpoint
from transparency.strict import Invalid

SEEN_SECONDS: Final = 5
"""How long an acknowledged entry may take to show on the log (a replica of the database may lag)."""
FOLDER: Final = "receipts"
KNOWN: Final = "known.json"
LARGEST: Final = 2**22
"""Bytes of the largest receipt that is read."""
SHOWN: Final = 5
"""How many broken receipts are named in one sentence."""
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


# ---------------------------------------------------------------- what is known of a log


class Known(NamedTuple):
    """A log, as it was met first, and the keys that sign it."""

    first: str
    """The hash of its first entry."""
    keys: Mapping[str, tuple[int, int | None]]
    """Each with the position from which on it signs, and the last one that it covers."""

    @classmethod
    async def on(cls, log: Log) -> Known | None:
        """What the log says of itself; `None` while it is not signed."""
        entries, agreed = await log.read(0, 1), await register(log)
        if not entries or not agreed.signing:
            return None
        return cls(entries[0].hash.hex(), {line: (key.since, key.until) for line, key in agreed.log_keys.items()})

    def proven(self, entry: Entry, file: bytes) -> Checkpoint:
        """The checkpoint in whose tree a proof shows this entry, signed by a key that was valid at its size. Raises `Invalid`."""
        parsed = proof.parse(file)
        if parsed.index != entry.position - 1:
            raise Invalid("the proof is of another position")
        origin, size = origin_of(self.first), checkpoint.read(note.parse(parsed.checkpoint).text).size
        return proof.verified(parsed, entry.hash, origin, log_keys(origin, self._at(size)))

    def proves(self, entry: Entry, file: bytes) -> bool:
        """Whether it is so, as far as its keys are known."""
        try:
            self.proven(entry, file)
        except Invalid:
            return False
        return True

    def opened(self, sealed: Sealed) -> Checkpoint:
        """What the log signed last. Raises `Invalid`."""
        origin = origin_of(self.first)
        return checkpoint.opened(sealed.checkpoint, origin, log_keys(origin, self._at(sealed.size)))

    def _at(self, size: int) -> Iterator[str]:
        return (line for line, (since, until) in self.keys.items() if since <= size and (until is None or size <= until))


class Desk:
    """The receipts of a folder, and what is known of the logs that it was used with."""

    def __init__(self, chosen: Settings) -> None:
        self._folder = chosen.folder / FOLDER
        self._log = chosen.log_shown

    def known(self) -> Known | None:
        """What was pinned of this log; `None` before the first contact. Raises a `Failure`."""
        told = self._pinned().get(self._log)
        return None if told is None else Known(told["first"], {line: tuple(each) for line, each in told["keys"].items()})

    def learn(self, found: Known | None) -> Known | None:
        """Pins what the log says of itself. Raises `Broken` where it is another one than the one that was met first."""
        known = self.known()
        if known is not None and (found is None or found.first != known.first):
            raise Broken(
                f"the log at {self._log} is another one than the one that was there when this folder first met it: that began with entry {known.first}",
                f"find out who put it there; if that is meant, remove {self._folder / KNOWN}",
            )
        if found is not None and found != known:
            pinned = self._pinned() | {self._log: {"first": found.first, "keys": found.keys}}
            self._write(KNOWN, pinned)
        return found

    def keep(self, known: Known, entry: Entry, file: bytes) -> None:
        """Keeps the receipt of an entry. Raises `OSError`."""
        told = {
            "log": known.first, "command_id": entry.command_id, "stream": entry.stream, "kind": entry.kind, "position": entry.position,
            "outcome": entry.outcome, "entry": line_of(entry).decode(), "proof": file.decode(),
        }  # fmt: skip
        self._write(f"{entry.command_id}.json", told)

    def kept(self) -> Sequence[Path]:
        """The files of the receipts, in the order of their ids."""
        return sorted(path for path in self._folder.glob("*.json") if path.name != KNOWN)

    def _pinned(self) -> dict[str, Any]:
        path = self._folder / KNOWN
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise of_file(error, path, "read") from error
        except ValueError as error:
            raise BadInput(
                f"{path} is damaged: {error}", "bring it back from a backup; without it the log's keys are believed anew"
            ) from error
        return found

    def _write(self, name: str, value: Any) -> None:
        """Whole or not at all, for its owner alone."""
        make_private(self._folder)
        part = self._folder / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / name)


# ---------------------------------------------------------------- before an answer is shown


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
        failure.details |= {"command_id": command_id} | ({"unseen": answer.unseen} if answer.unseen else {})
        raise failure
    assert answer.receipt is not None, "what is accepted has a receipt"
    return answer.receipt


async def checked(chosen: Settings, given: Given, receipt: Receipt | None, refusal: Refusal | None) -> Answer:
    """A worker's answer held against what the log signed, and kept: what is shown of it is what the entry says.

    Raises `Broken` for an answer that is not so, `BadInput` for an id of another command, and `Unreachable` for one on a signed log that cannot be
    checked from here. On a log that nobody signs the entry is looked up, and `unseen` says why it could not be.
    """
    try:
        return await _checked(chosen, _Claim(given, receipt, refusal))
    except Failure as failure:
        failure.details["command_id"] = given.command_id
        raise


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
        check_signature(first)
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
        return Answer(claim.receipt, claim.refusal)
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


# ---------------------------------------------------------------- later


class _Kept(NamedTuple):
    """A receipt as it was kept."""

    log: str
    entry: Entry
    proof: bytes

    @classmethod
    def of(cls, path: Path) -> Self:
        """The receipt in a file. Raises ValueError for what is none, and OSError."""
        with path.open("rb") as file:
            written = file.read(LARGEST + 1)
        if len(written) > LARGEST:
            raise ValueError("it is too large")
        told = json.loads(written)
        if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in ("log", "entry", "proof")):
            raise ValueError("it is no receipt")
        return cls(told["log"], entry_of(told["entry"].encode()), told["proof"].encode())


class _Judge:
    """Holds receipts against a log as it is now."""

    def __init__(self, log: Log, known: Known, newest: Checkpoint) -> None:
        self._log = log
        self._known = known
        self._newest = newest

    async def wrong(self, kept: _Kept) -> str:
        """What is wrong with a receipt or with the log, as a sentence; empty where the log still holds what it proves."""
        entry, newest = kept.entry, self._newest
        try:
            if flaw := flaw_of(entry):
                return f"its entry {flaw}"
            signed = self._known.proven(entry, kept.proof)
        except Invalid as error:
            return f"it proves nothing: {error}"
        there = await self._log.read(entry.position - 1, 1)
        if not there or there[0].position != entry.position:
            return f"the log does not hold entry {entry.position:,} any more"
        if there[0].hash != entry.hash:
            return f"the log holds another entry at {entry.position:,}"
        if newest.size < signed.size:
            return f"the log signed {signed.size:,} entries, and says now that there are {newest.size:,}"
        try:
            path = await hashes(self._log, tree.inclusion(entry.position - 1, newest.size))
            tree.verify_inclusion(entry.hash, entry.position - 1, newest.size, newest.root, path)
            step = await hashes(self._log, tree.consistency(signed.size, newest.size))
            tree.verify_consistency(signed.size, signed.root, newest.size, newest.root, step)
        except (Invalid, ValueError) as error:
            return f"what the log signs now does not go on from what it signed then: {error}"
        return ""


async def receipts(*, where: Where = HERE) -> None:
    """Check that the log still holds every entry of which a receipt is kept here, unchanged, and goes on from what it signed then.

    Ends with 1 and names those of which it does not.
    """
    chosen = settings(where)
    desk = Desk(chosen)
    files = desk.kept()
    async with log_of(chosen) as log, Progress("checking the receipts"):
        known = desk.learn(await Known.on(log))
        found, newest = await _judged(log, known, files)
    broken = [each for each in found if each["wrong"]]
    if broken:
        shown = "; ".join(f"{each['receipt']}: {each['wrong']}" for each in broken[:SHOWN]) + ("; …" if len(broken) > SHOWN else "")
        raise Broken(
            f"{len(broken):,} of {len(found):,} receipts do not hold: {shown}",
            "the log was changed, or put back to an older copy: show the receipts to the officers and to other members, and compare with a backup",
            receipts=found, newest=newest,
        )  # fmt: skip
    if where.json:
        say_json({"receipts": found, "newest": newest})
        return
    if found:
        rows = [(f"{each['position']:,}", each["stream"], each["kind"], each["outcome"], each["receipt"]) for each in found]
        table(("entry", "stream", "command", "outcome", "receipt"), rows, right=("entry",))
    say(f"{len(found):,} receipts: the log holds every one of them, and signed {newest:,} entries since it began.")


async def _judged(log: Log, known: Known | None, files: Sequence[Path]) -> tuple[list[dict[str, Any]], int]:
    """What each receipt of this log is and what is wrong with it, and over how many entries the log signed last. Raises `Broken`."""
    if known is None:
        return [], 0
    judge, newest = await _judge(log, known)
    found: list[dict[str, Any]] = []
    for path in files:
        try:
            kept = _Kept.of(path)
        except (OSError, ValueError) as error:
            found.append({"receipt": path.stem, "wrong": f"it cannot be read: {one_line(str(error), 200)}"})
            continue
        if kept.log == known.first:
            entry = kept.entry
            told = {"position": entry.position, "stream": entry.stream, "kind": entry.kind, "outcome": entry.outcome}
            found.append({"receipt": path.stem, **told, "wrong": await judge.wrong(kept)})
    return sorted(found, key=lambda each: int(each.get("position", 0))), newest


async def _judge(log: Log, known: Known) -> tuple[_Judge, int]:
    sealed = await log.sealed()
    why = "there is no checkpoint"
    if sealed is not None:
        try:
            newest = known.opened(sealed)
            return _Judge(log, known, newest), newest.size
        except Invalid as error:
            why = str(error)
    raise Broken(
        f"the log does not say what it holds: {why}", "look what `consortium doctor` finds; a worker signs the log with each commit"
    )
