"""People, workers and hosts who really sign: a key for each name, and what they sign."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.kernel import LOG, SERVICE, derived_id
from eventstore.entries import Submission, encode_json
from eventstore.statement import Seen, Statement, digest, instant_text, possession, written
from signatures import sshsig
from signatures.signers import KeySigner
from signatures.sshsig import Purpose


@dataclass
class Signers:
    """Everybody's keys, by name."""

    keys: dict[str, KeySigner] = field(default_factory=dict)
    seed: str = ""
    """From which keys are made, the same again and again; without one each is new."""

    def key(self, name: str) -> KeySigner:
        """The key of this name."""
        if name not in self.keys:
            self.keys[name] = KeySigner(self._made(name))
        return self.keys[name]

    def _made(self, name: str) -> Ed25519PrivateKey:
        if not self.seed:
            return Ed25519PrivateKey.generate()
        return Ed25519PrivateKey.from_private_bytes(sha256(f"{self.seed}: {name}".encode()).digest())

    def line(self, name: str) -> str:
        """Its public part."""
        return self.key(name).public_key.line

    def proof(self, person: str, consortium: str, key: str = "") -> str:
        """A person's proof that they hold the key of their name, or of another one."""
        name = key or person
        return self.key(name).sign(possession(consortium, person, self.line(name)), Purpose.POSSESSION)

    def request(self, person: str, consortium: str, key: str = "") -> dict[str, str]:
        """The fields of a key request."""
        return {"person": person, "public_key": self.line(key or person), "proof": self.proof(person, consortium, key)}

    def log_key(self, consortium: str, key: str = LOG) -> dict[str, str]:
        """The fields of a command that brings the log's first key."""
        return {"log_key": self.line(key), "log_key_proof": self.proof(LOG, consortium, key)}

    def founding(self, stream: str, charter: Mapping[str, Any], officers: Mapping[str, list[str]]) -> dict[str, Any]:
        """The founding of a consortium by these officers, with the keys of all and of the log."""
        named = [{**self.request(person, stream), "offices": offices} for person, offices in officers.items()]
        return {"kind": "found", "charter": charter, "officers": named, **self.log_key(stream)}

    def signed(
        self, stream: str, by: str, command: Mapping[str, Any], log: str, *, command_id: str = "", at: datetime | None = None,
        lifetime: timedelta = timedelta(hours=1), key: str = "", seen: Seen | None = None, **changes: Any,
    ) -> Submission:  # fmt: skip
        """A command, signed by whoever gives it; of the founding `log` is empty. `changes` are of the statement alone."""
        body, now = encode_json(command), at or datetime.now(UTC)
        named = command_id or str(uuid.uuid4())
        said = {
            "actor": by, "command": dict(command), "command_id": named, "consortium": log or digest(body), "stream": stream, "version": 1,
            "issued_at": instant_text(now), "expires_at": instant_text(now + lifetime), "seen": seen,
        }  # fmt: skip
        signed = written(Statement(**{**said, **changes}))
        signature = sshsig.unarmour(self.key(key or by).sign(signed, Purpose.COMMAND))
        return Submission(stream, named, by, body, signed, signature)


def unsigned(stream: str, command: Mapping[str, Any], by: str = SERVICE, command_id: str = "") -> Submission:
    """A command behind which nothing stands."""
    body = encode_json(command)
    return Submission(stream, command_id or derived_id(stream, by, body.decode()), by, body)
