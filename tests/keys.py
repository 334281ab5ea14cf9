"""Keys and proofs that look real, without any cryptography: for tests of rules, which look at their form only.

The same name gives the same key. Real keys, and signatures that verify, are made where they are checked.
"""

from __future__ import annotations

import base64
from hashlib import sha256, sha512
from typing import Final

from domain.consortium.terms import KeyRequest, Officer
from domain.kernel import LOG, PersonId, Proof, PublicKey

PROOF: Final[Proof] = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n"
"""A proof by its form. A story takes every proof as verified."""


def _line(*parts: bytes) -> PublicKey:
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"{parts[0].decode()} {base64.b64encode(blob).decode()}"


def key_of(name: str) -> PublicKey:
    """The Ed25519 key of this name."""
    return _line(b"ssh-ed25519", sha256(name.encode()).digest())


def p256_key_of(name: str) -> PublicKey:
    """The key of this name on P-256, as those have that sign releases."""
    return _line(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + sha512(name.encode()).digest())


def request_of(person: PersonId) -> KeyRequest:
    """The key request of a person, for the key of their name."""
    return KeyRequest(person=person, public_key=key_of(person), proof=PROOF)


def with_key(officer: Officer) -> Officer:
    """The officer with the key of their name."""
    return officer.model_copy(update={"public_key": key_of(officer.person), "proof": PROOF})


LOG_KEY: Final = key_of(LOG)
"""The key with which a log begins."""
