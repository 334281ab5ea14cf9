"""Checking signatures before the turn, in threads: the arithmetic releases the interpreter's lock, so that deciding goes on meanwhile."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.process import Process, Proven
from eventstore.authority import (
    BEGINNINGS,
    Authority,
    ByPerson,
    Given,
    Unauthorised,
    Vouched,
    behind,
    check_signature,
    is_misdelivered,
    misdelivered_id,
    proven,
)
from eventstore.entries import Submission
from eventstore.log import Log
from eventstore.statement import Carried, Restarted, Seen, written
from eventstore.wire import Malformed, parse
from signatures import sshsig
from signatures.signers import KeySigner
from signatures.sshsig import Purpose
from transparency.note import SigningKey

THREADS: Final = 2
AT_ONCE: Final = 32
"""The most signatures that a thread is given at a time: what waits meanwhile goes to the next."""


class Signing:
    """What a worker signs with, and how it checks what others signed. Make one per recorder, in a running event loop."""

    def __init__(self, log_key: KeySigner, origins: AbstractSet[str] = frozenset()) -> None:
        """Raises TypeError for a log key of another kind than Ed25519: checkpoints are signed by no other."""
        if not isinstance(log_key.private, Ed25519PrivateKey):
            raise TypeError("the log is signed by an Ed25519 key")
        self._log_key, self._private = log_key, log_key.private
        self._public_key = log_key.public_key.line
        self._note_key: SigningKey | None = None
        self._origins = origins
        """On which pages a passkey may be used."""
        self._pool = ThreadPoolExecutor(THREADS, "signatures")
        self._waiting: list[tuple[Authority, asyncio.Future[None]]] = []
        self._busy = 0
        """How many threads are at work."""

    @property
    def public_key(self) -> str:
        """The line of this worker's log key."""
        return self._public_key

    def note_key(self, origin: str) -> SigningKey:
        """The same key as it signs checkpoints of the log of this name."""
        if self._note_key is None or self._note_key.name != origin:
            self._note_key = SigningKey(origin, self._private)
        return self._note_key

    def tag(self, said: Carried | Restarted) -> tuple[bytes, bytes]:
        """What this worker says, and its signature: what an entry keeps of both."""
        signed = written(said)
        purpose = Purpose.OUTCOME if isinstance(said, Carried) else Purpose.CLOCK
        return signed, sshsig.unarmour(self._log_key.sign(signed, purpose))

    def authentication(self, stream: str, step: str, attempt: int, data: bytes) -> str:
        """A code of what this worker wrote of one try of a step, where others can write too (HMAC, RFC 2104). Who shares its log key makes the same."""
        key = sha256(b"open-model-consortium/progress" + self._private.private_bytes_raw()).digest()
        return hmac.new(key, b"\0".join((stream.encode(), step.encode(), str(attempt).encode(), data)), "sha256").hexdigest()

    async def vouch(
        self, submission: Submission, processes: Mapping[str, Process[Any, Any, Any]], log: Log, first: str
    ) -> tuple[Submission, Vouched]:
        """What stands behind a submission, checked as far as it can be before its turn; and the submission as it is to be judged.

        `first` is the hash of the log's first entry, or empty. Raises `Unauthorised` for what is turned away without an entry.
        """
        authority = behind(submission)
        await self._verify(authority)
        self._require_own_key(submission)
        if isinstance(authority, ByPerson):
            if authority.said.seen is not None:
                await _require_seen(log, authority.said.seen)
            if is_misdelivered(submission, authority.said):
                submission = submission._replace(command_id=misdelivered_id(submission.signed))
        return submission, Vouched(authority, proofs_in(submission, processes, first))

    def _require_own_key(self, submission: Submission) -> None:
        """Raises `Unauthorised` for a command by which a log begins to be signed, and not by this host: whoever reaches it could name theirs."""
        if b'"log_key":' not in submission.command and b'"found"' not in submission.command:
            return
        given = msgspec.json.decode(submission.command)
        if given.get("kind") in BEGINNINGS and given.get("log_key") != self.public_key:
            raise Unauthorised(f"log_key: must be the key of the host that records, {self.public_key}")

    async def _verify(self, authority: Authority) -> None:
        loop = asyncio.get_running_loop()
        checked: asyncio.Future[None] = loop.create_future()
        self._waiting.append((authority, checked))
        self._begin(loop)
        await checked

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._busy < THREADS:
            share = min(AT_ONCE, -(-len(self._waiting) // (THREADS - self._busy)))
            batch, self._waiting = self._waiting[:share], self._waiting[share:]
            self._busy += 1
            work = loop.run_in_executor(self._pool, _verify_all, [authority for authority, _ in batch], self._origins)
            work.add_done_callback(lambda done, batch=batch: self._end(loop, batch, done))  # type: ignore[misc]

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Sequence[tuple[Authority, asyncio.Future[None]]],
        done: asyncio.Future[Sequence[Exception | None]],
    ) -> None:
        self._busy -= 1
        failed = done.exception()
        results = [failed] * len(batch) if failed is not None else done.result()
        for (_, checked), error in zip(batch, results, strict=True):
            if not checked.done():
                checked.set_result(None) if error is None else checked.set_exception(error)
        self._begin(loop)


def proofs_in(given: Given, processes: Mapping[str, Process[Any, Any, Any]], first: str) -> Proven:
    """Those proofs of possession in a command that hold. Few commands have any, and only those are read here."""
    process = processes.get(given.stream.partition("/")[0])
    if process is None or b'proof":' not in given.command:
        return frozenset()
    try:
        command = parse(process, given.command)
    except Malformed:
        return frozenset()
    return proven(command, first or given.stream)


def _verify_all(authorities: Sequence[Authority], origins: AbstractSet[str]) -> Sequence[Exception | None]:
    results: list[Exception | None] = []
    for authority in authorities:
        try:
            check_signature(authority, origins)
            results.append(None)
        except Exception as error:  # noqa: BLE001  its caller gets it
            results.append(error)
    return results


async def _require_seen(log: Log, seen: Seen) -> None:
    """Raises `Unauthorised` where the log does not hold what the person was shown: it is another, or an older copy."""
    entries = await log.read(seen.position - 1, 1) if seen.position else ()
    if not entries or entries[0].position != seen.position or entries[0].hash.hex() != seen.hash:
        raise Unauthorised(
            f"this log does not hold the entry {seen.position:,} that whoever signed was shown: it is another log, or an older copy"
        )
