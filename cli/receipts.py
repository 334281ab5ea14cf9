"""Receipts of what was answered here: kept, and looked up on the log later, so that nothing that was answered can vanish unnoticed.

What is known of a log is pinned at the first contact with it, in `receipts/known.json` of the folder: the hash of its first entry, and its keys.
A later key counts once the log itself, which is read here, says that it is enrolled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec

from activities.bounded import json_value
from cli.failures import BadInput, Broken, of_file
from cli.options import HERE, Where
from cli.output import Progress, say, say_json, table
from cli.site import log_of, register, settings
from domain.kernel import one_line
from eventstore.entries import Entry, flaw_of
from eventstore.export import entry_of, line_of
from eventstore.log import Log, Sealed
from eventstore.sealing import hashes, log_keys, origin_of
from settings import Settings, make_private
from transparency import checkpoint, note, proof, tree
from transparency.checkpoint import Checkpoint
from transparency.strict import Invalid

FOLDER: Final = "receipts"
KNOWN: Final = "known.json"
LARGEST: Final = 2**22
"""Bytes of the largest receipt that is read."""
SHOWN: Final = 5
"""How many broken receipts are named in one sentence."""


# ---------------------------------------------------------------- what is known of a log


class Known(msgspec.Struct, frozen=True):
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
        return self._pinned().get(self._log)

    def learn(self, found: Known | None) -> Known | None:
        """Pins what the log says of itself. Raises `Broken` where it is another one than the one that was met first."""
        known = self.known()
        if known is not None and (found is None or found.first != known.first):
            raise Broken(
                f"the log at {self._log} is another one than the one that was there when this folder first met it: that began with entry {known.first}",
                f"find out who put it there; if that is meant, remove {self._folder / KNOWN}",
            )
        if found is not None and found != known:
            with suppress(OSError):  # who may write nothing here keeps no receipt either, and is told so
                self._write(KNOWN, msgspec.to_builtins({**self._pinned(), self._log: found}))
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

    def _pinned(self) -> Mapping[str, Known]:
        path = self._folder / KNOWN
        try:
            return msgspec.convert(json_value(path.read_bytes()), dict[str, Known])
        except (FileNotFoundError, PermissionError):
            return {}  # another user's pins are not ours: to us each contact is the first
        except OSError as error:
            raise of_file(error, path, "read") from error
        except ValueError as error:
            raise BadInput(
                f"{path} is damaged: {error}", "bring it back from a backup; without it the log's keys are believed anew"
            ) from error

    def _write(self, name: str, value: Any) -> None:
        """Whole or not at all, for its owner alone."""
        make_private(self._folder)
        part = self._folder / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / name)


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
        told = json_value(written)
        if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in ("log", "entry", "proof")):
            raise ValueError("it is no receipt")
        return cls(told["log"], entry_of(told["entry"].encode()), told["proof"].encode())


class _Judge:
    """Holds receipts against a log as it is now."""

    def __init__(self, log: Log, known: Known, newest: Checkpoint) -> None:
        self.first = known.first
        """The hash of its first entry."""
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

    Ends with 1 and names those of which it does not; with 1 too where there are receipts, and all of other logs than this one.
    """
    chosen = settings(where)
    desk = Desk(chosen)
    files = desk.kept()
    async with log_of(chosen) as log, Progress("checking the receipts"):
        known = desk.learn(await Known.on(log))
        found, others, newest = await _judged(log, known, files)
    facts = {"receipts": found, "others": others, "newest": newest}
    broken = [each for each in found if each["wrong"]]
    if broken:
        shown = "; ".join(f"{each['receipt']}: {each['wrong']}" for each in broken[:SHOWN]) + ("; …" if len(broken) > SHOWN else "")
        raise Broken(
            f"{len(broken):,} of {len(found):,} receipts do not hold: {shown}{f' ({_unchecked(others)})' if others else ''}",
            "the log was changed, or put back to an older copy: show the receipts to the officers and to other members, and compare with a backup",
            **facts,
        )
    if others and not found:
        raise Broken(
            f"none of the receipts here is of the log at {chosen.log_shown}: {_unchecked(others)}",
            "name the log that they are of by --folder or CONSORTIUM_LOG; if this one was put in its place, find out by whom",
            **facts,
        )
    if where.json:
        say_json(facts)
        return
    if found:
        rows = [(f"{each['position']:,}", each["stream"], each["kind"], each["outcome"], each["receipt"]) for each in found]
        table(("entry", "stream", "command", "outcome", "receipt"), rows, right=("entry",))
    say(f"{len(found):,} receipts: the log holds every one of them, and signed {newest:,} entries since it began.")
    if others:
        say(f"Besides, {_unchecked(others)}: CONSORTIUM_LOG names theirs.")


def _unchecked(others: int) -> str:
    return f"{others:,} {'is' if others == 1 else 'are'} of another log, and {'was' if others == 1 else 'were'} not checked"


async def _judged(log: Log, known: Known | None, files: Sequence[Path]) -> tuple[list[dict[str, Any]], int, int]:
    """What each receipt of this log is and what is wrong with it, how many are of other logs, and over how many entries the log signed last.

    Raises `Broken`.
    """
    judge, newest = (None, 0) if known is None else await _judge(log, known)
    found: list[dict[str, Any]] = []
    others = 0
    for path in files:
        try:
            kept = _Kept.of(path)
        except (OSError, ValueError) as error:
            found.append({"receipt": path.stem, "wrong": f"it cannot be read: {one_line(str(error), 200)}"})
            continue
        if judge is None or kept.log != judge.first:
            others += 1
            continue
        entry = kept.entry
        told = {"position": entry.position, "stream": entry.stream, "kind": entry.kind, "outcome": entry.outcome}
        found.append({"receipt": path.stem, **told, "wrong": await judge.wrong(kept)})
    return sorted(found, key=lambda each: int(each.get("position", 0))), others, newest


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
