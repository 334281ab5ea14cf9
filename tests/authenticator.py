"""A security key and a passkey made of software, and the judge of what they sign: `ssh-keygen -Y verify`.

They sign whatever they are told to, also what no honest authenticator or browser would: what is refused is refused with a true signature on it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signatures import sshsig, wire
from signatures.keys import Algorithm, PublicKey, encode
from signatures.sshsig import Asserted, Flags, Form, Hash, Plain, Purpose, Signature, Touched

ORIGIN: Final = "https://desk.consortium.example"
RELYING_PARTY: Final = "consortium.example"
WEBAUTHN: Final = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"
Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

JUDGED: Final = bool(shutil.which("ssh-keygen") or os.environ.get("CI"))
"""Whether there is a judge: where the checks run there has to be."""
needs_ssh_keygen: Final = pytest.mark.skipif(not JUDGED, reason="ssh-keygen is not installed: no judge")


@dataclass(frozen=True)
class Pen:
    """A key pair that signs in the way of its kind."""

    private: Private
    public_key: PublicKey

    def sign(self, message: bytes, purpose: Purpose = Purpose.COMMAND, hash_name: Hash = Hash.SHA512) -> Signature:
        """As an honest one does."""
        signed = sshsig.to_be_signed(message, purpose, hash_name)
        key = self.public_key
        if key.passkey:
            return self.seal(self.answer(client_data(signed)), purpose, hash_name)
        form = self.touched(signed) if key.algorithm.security_key else Plain(self.raw(signed))
        return self.seal(form, purpose, hash_name)

    def touched(self, signed: bytes, flags: int = 1, counter: int = 7) -> Touched:
        """What a security key of OpenSSH makes, with any flags."""
        data = self._application() + bytes([flags]) + counter.to_bytes(4, "big") + sha256(signed).digest()
        return Touched(self.raw(data), Flags(flags), counter)

    def answer(self, said: bytes, flags: int = 5, extensions: bytes = b"", origin: str = ORIGIN, counter: int = 7) -> Asserted:
        """What a passkey makes of whatever a browser says."""
        data = self._application() + bytes([flags]) + counter.to_bytes(4, "big") + extensions + sha256(said).digest()
        return Asserted(self.raw(data), Flags(flags), counter, origin, said, extensions)

    def seal(self, form: Form, purpose: Purpose = Purpose.COMMAND, hash_name: Hash = Hash.SHA512) -> Signature:
        """The signature around it."""
        algorithm = WEBAUTHN if isinstance(form, Asserted) else self.public_key.algorithm.value
        return Signature(self.public_key.blob, purpose, hash_name, algorithm, form)

    def raw(self, data: bytes) -> bytes:
        """Over any bytes."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        der = self.private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return b"".join(map(wire.positive, decode_dss_signature(der)))

    def _application(self) -> bytes:
        return sha256(self.public_key.application.encode()).digest()


def client_data(signed: bytes, origin: str = ORIGIN, **members: object) -> bytes:
    """What a browser says of a challenge; further members come last, and those of the same names replace."""
    challenge = urlsafe_b64encode(signed).decode().rstrip("=")
    said: Mapping[str, object] = {"type": "webauthn.get", "challenge": challenge, "origin": origin, "crossOrigin": False} | members
    return json.dumps(said, separators=(",", ":")).encode()


def pen(algorithm: Algorithm, application: str = "", luck: str = "one") -> Pen:
    """The same pair for the same words."""
    drawn = sha256(f"{algorithm} {application} {luck}".encode()).digest()
    if algorithm.edwards:
        edwards = ed25519.Ed25519PrivateKey.from_private_bytes(drawn)
        return Pen(edwards, encode(algorithm, edwards.public_key().public_bytes_raw(), application))
    private = ec.derive_private_key(int.from_bytes(drawn, "big") >> 1, ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return Pen(private, encode(algorithm, point, application))


def pens() -> Mapping[str, Pen]:
    """One of each kind that is taken."""
    return {
        "ed25519": pen(Algorithm.ED25519),
        "p256": pen(Algorithm.P256),
        "sk-ed25519": pen(Algorithm.SK_ED25519, "ssh:"),
        "sk-p256": pen(Algorithm.SK_P256, "ssh:atlas"),
        "passkey": pen(Algorithm.SK_P256, RELYING_PARTY),
    }


@dataclass(frozen=True)
class Judge:
    """`ssh-keygen -Y verify`, in a folder of its own."""

    folder: Path

    def accepts(self, armoured: str, message: bytes, namespace: str, line: str) -> bool:
        """What it says of a signature by the key of this line."""
        (self.folder / "signers").write_text(f'ada namespaces="{namespace}" {line}\n', encoding="utf-8")
        (self.folder / "signature").write_text(armoured, encoding="utf-8")
        words = ("ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "ada", "-n", namespace, "-s", "signature")
        done = subprocess.run(words, cwd=self.folder, input=message, capture_output=True, check=False)
        assert done.returncode in {0, 255}, done
        return done.returncode == 0

    def agrees(self, accepted: bool | None, armoured: str, by: PublicKey, message: bytes) -> bool:  # noqa: FBT001
        """Whether it says the same of a command's signature; it has no say where it is not installed, or where its versions differ (`None`)."""
        if accepted is None or not JUDGED:
            return True
        return self.accepts(armoured, message, Purpose.COMMAND, by.line) == accepted
