"""Signed commands to measure with: a log that two officers founded with their keys, and statements that one of them signed beforehand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.pledges import charter
from bench.subject import PROCESSES, STREAMS, submissions
from domain.catalog import CATALOG
from domain.kernel import LOG
from domain.process import Process
from eventstore.authority import behind, check_signature
from eventstore.entries import Submission
from eventstore.log import Log
from eventstore.recorder import Recorder
from eventstore.statement import Statement, instant_text, written
from eventstore.verifying import Signing
from signatures import sshsig
from signatures.sshsig import Hash, Plain, Purpose, Signature
from tests.signers import Signers

SIGNED_PROCESSES: Final[Mapping[str, Process[Any, Any, Any]]] = {**PROCESSES, "consortium": CATALOG["consortium"]}
CONSORTIUM: Final = "consortium/bench"
OFFICERS: Final = {"sam": ["secretariat"], "tess": ["treasurer"], "theo": ["second-signatory"], "bo": ["board"]}
LIFETIME: Final = timedelta(hours=1)


async def founded(log: Log, signers: Signers) -> Recorder:
    """A recorder that signs, on a log of its own."""
    recorder = Recorder(log, SIGNED_PROCESSES, signing=Signing(signers.key(LOG)))
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


def verified(seconds: float) -> float:
    """How many statements a second one thread reads and verifies, as a recorder does."""
    signers = Signers()
    given = list(statements(STREAMS, "0" * 64, signers))
    checked, began = 0, time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        for each in given:
            check_signature(behind(each))
        checked += len(given)
    return checked / (now - began)
