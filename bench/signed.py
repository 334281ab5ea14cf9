"""Signed commands to measure with: a log that officers founded with their keys, what one of them signed beforehand, and people who send."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from activities.log.keyring import Keyring
from activities.log.sending import Sender
from activities.messages import Receipt
from bench.pledges import charter
from bench.subject import PROCESSES, submissions
from domain.catalog import CATALOG
from domain.kernel import LOG
from domain.process import Process
from domain.register.facts import SystemTime
from eventstore.authority import Given, behind, check_signature
from eventstore.entries import Submission, instant
from eventstore.log import Log
from eventstore.recorder import Recorder
from eventstore.statement import Seen, Statement, instant_text, written
from eventstore.verifying import Signing
from signatures import sshsig
from signatures.sshsig import Hash, Plain, Purpose, Signature
from tests.signers import Signers

CONSORTIUM: Final = "consortium/bench"
OFFICERS: Final = {"sam": ["secretariat"], "tess": ["treasurer"], "theo": ["second-signatory"], "bo": ["board"]}
LIFETIME: Final = timedelta(hours=1)


async def founded(log: Log, signers: Signers, processes: Mapping[str, Process[Any, Any, Any]] = PROCESSES) -> Recorder:
    """A recorder that signs, for these processes and the consortium's, on a log of its own."""
    recorder = Recorder(log, {**processes, "consortium": CATALOG["consortium"]}, signing=Signing(signers.key(LOG)))
    command = signers.founding(CONSORTIUM, charter().model_dump(mode="json"), OFFICERS) | {"clock": {"kind": "system"}}
    recorded = await recorder.record(signers.signed(CONSORTIUM, "sam", command, ""))
    assert recorded.refusal is None, recorded.refusal
    return recorder


def statements(many: int, first: str, signers: Signers) -> Iterator[Submission]:
    """So many commands by one person, signed one after another: without looking at each signature again, as a person's client does."""
    key, now = signers.key("sam"), datetime.now(UTC)
    blob, private = key.public_key.blob, key.private
    assert isinstance(private, Ed25519PrivateKey)
    issued, expires = instant_text(now), instant_text(now + LIFETIME)
    for _, given in zip(range(many), submissions(), strict=False):
        command = msgspec.json.decode(given.command)
        signed = written(
            Statement(
                actor="sam", command=command, command_id=given.command_id, consortium=first, expires_at=expires, issued_at=issued,
                stream=given.stream, version=1,
            )
        )  # fmt: skip
        value = private.sign(sshsig.to_be_signed(signed, Purpose.COMMAND))
        signature = sshsig.encode(Signature(blob, Purpose.COMMAND, Hash.SHA512, key.public_key.algorithm, Plain(value)))
        yield given._replace(actor="sam", signed=signed, signature=signature)


def keep_log_key(signers: Signers, folder: Path) -> None:
    """Writes the log's key where workers on a folder look for theirs."""
    path = Keyring(folder / "keys").path(LOG)
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(signers.key(LOG).private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


@dataclass(frozen=True)
class People:
    """Everybody who gives commands on a log, with what they saw of it last."""

    signers: Signers
    first: str
    """The hash of the log's first entry."""
    seen: Seen
    at: datetime | None
    """The log's time, where it stands still; nothing where it is the real one."""

    @classmethod
    async def of(cls, log: Log, signers: Signers) -> Self:
        """Those who look at a founded log now."""
        head, replica = await log.head(), await Recorder(log).replica()
        stands = not isinstance(replica.register.clock, SystemTime)
        return cls(signers, replica.first, Seen(head.hash.hex(), head.position), instant(head.at) if stands else None)

    def signed(self, stream: str, by: str, command: Mapping[str, Any]) -> Submission:
        """A command as a person signs it now."""
        return self.signers.signed(stream, by, command, self.first, at=self.at, lifetime=LIFETIME, seen=self.seen)

    async def send(self, sender: Sender, stream: str, by: str, command: Mapping[str, Any]) -> Receipt:
        """Signs a command, sends it and waits for its answer. Raises as `Sender.send` does."""
        return await send(sender, self.signed(stream, by, command))


async def send(sender: Sender, given: Submission) -> Receipt:
    """Sends what a person signed and waits for its answer. Raises as `Sender.send` does."""
    signed, signature = (base64.b64encode(each).decode() for each in (given.signed, given.signature))
    command = msgspec.json.decode(given.command)
    return await sender.send(given.stream, given.command_id, given.actor, command, signed=signed, signature=signature)


ONE_THREAD: Final = "one thread that verifies signed commands (Ed25519)"


class Verified(NamedTuple):
    """What one thread does that verifies signed commands, and nothing else."""

    each_second: float
    cpu: float
    """Seconds each."""


def verified(given: Sequence[Given]) -> Verified:
    """The rate of one thread that reads what was signed and checks the signature, as recorders and auditors do."""
    began, used = time.perf_counter(), time.thread_time()
    for each in given:
        check_signature(behind(each))
    seconds = time.perf_counter() - began
    return Verified(len(given) / seconds, (time.thread_time() - used) / len(given))
