"""Public keys of OpenSSH: read from a line or from bytes, checked, and written back."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from signatures import ed25519, wire
from signatures.errors import MalformedKey, UnsupportedKey, WeakKey

MAX_BLOB: Final = 512
"""Bytes of a key: the longest that is taken is a passkey's, with a domain name of 253."""
MAX_LINE: Final = 2_048
"""Characters of a line, comment included."""
_MAX_APPLICATION: Final = 253
_CURVE: Final = "nistp256"
_ED25519_BYTES: Final = 32
_P256_BYTES: Final = 65
_UNCOMPRESSED: Final = 4


class Algorithm(StrEnum):
    """The kinds of keys that are taken, by the names of OpenSSH."""

    ED25519 = "ssh-ed25519"
    P256 = "ecdsa-sha2-nistp256"
    SK_ED25519 = "sk-ssh-ed25519@openssh.com"
    SK_P256 = "sk-ecdsa-sha2-nistp256@openssh.com"

    @property
    def edwards(self) -> bool:
        """Whether it signs with Ed25519, and not with ECDSA on P-256."""
        return self in {Algorithm.ED25519, Algorithm.SK_ED25519}

    @property
    def security_key(self) -> bool:
        """Whether it is held by an authenticator (FIDO), which signs for an application when it is touched."""
        return self in {Algorithm.SK_ED25519, Algorithm.SK_P256}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that was checked when it was made: `PublicKey(blob)`, or `parse` of a line, raise what is wrong with it. Equal when the blobs are."""

    blob: bytes
    """As OpenSSH encodes it: what the Base64 of a line stands for, and what a signature carries."""
    algorithm: Algorithm = field(init=False, compare=False)
    point: bytes = field(init=False, compare=False)
    """32 bytes of Ed25519, or the 65 of an uncompressed point on P-256. Keys with one point are one secret in different wrappings."""
    application: str = field(init=False, compare=False)
    """What a security key signs for: `ssh:…`, or the relying party's id (a domain) of a passkey; empty for other keys."""

    def __post_init__(self) -> None:
        algorithm, point, application = _read(self.blob)
        object.__setattr__(self, "algorithm", algorithm)
        object.__setattr__(self, "point", point)
        object.__setattr__(self, "application", application)

    @property
    def passkey(self) -> bool:
        """Whether it is a browser's: it signs assertions of WebAuthn only, and other security keys never do."""
        return self.algorithm is Algorithm.SK_P256 and not self.application.startswith("ssh:")

    @property
    def line(self) -> str:
        """The one line that stands for it, as in a `.pub` file without its comment; `parse` reads it."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def parse(line: str) -> PublicKey:
    """The key of one line `algorithm base64 [comment]`, as in a `.pub` file; the comment is dropped. Options before the key are not taken.

    Raises `MalformedKey`, `UnsupportedKey` or `WeakKey`.
    """
    if len(line) > MAX_LINE:
        raise MalformedKey(f"the key's line is longer than {MAX_LINE} characters")
    line = line.strip(" \t\r\n")
    if "\n" in line or "\r" in line:
        raise MalformedKey("the key is more than one line")
    words = line.replace("\t", " ").split(" ", 2)
    if len(words) < 2:
        raise MalformedKey("the key's line is not a name of an algorithm and Base64")
    try:
        blob = wire.from_base64(words[1], "the key")
    except wire.Malformed as error:
        raise MalformedKey(str(error)) from error
    key = PublicKey(blob)
    if key.algorithm != words[0]:
        raise MalformedKey(f"the key's line begins with another algorithm than its {key.algorithm}")
    return key


def encode(algorithm: Algorithm, point: bytes, application: str = "") -> PublicKey:
    """The key of a point, and of an application where a security key holds it; checked like every other."""
    parts = [algorithm.encode(), point] if algorithm.edwards else [algorithm.encode(), _CURVE.encode(), point]
    return PublicKey(wire.strings([*parts, application.encode()] if algorithm.security_key else parts))


def _read(blob: bytes) -> tuple[Algorithm, bytes, str]:
    if len(blob) > MAX_BLOB:
        raise MalformedKey(f"the key is longer than {MAX_BLOB} bytes")
    reader = wire.Reader(blob)
    try:
        algorithm = _algorithm(reader.text(64, "the key's algorithm"))
        curve = _CURVE if algorithm.edwards else reader.text(32, "the key's curve")
        point = reader.string(256, "the key's point")
        application = reader.text(_MAX_APPLICATION, "the key's application") if algorithm.security_key else ""
        reader.end("the key")
    except wire.Malformed as error:
        raise MalformedKey(str(error)) from error
    if curve != _CURVE:
        raise UnsupportedKey(f"the key's curve is {curve}: only {_CURVE} is taken")
    if algorithm.security_key and not application:
        raise MalformedKey("the security key's application is empty")
    if algorithm is Algorithm.SK_ED25519 and not application.startswith("ssh:"):
        raise UnsupportedKey("a passkey is taken on P-256 only, not with Ed25519: OpenSSH reads no other")
    if algorithm.edwards:
        _check_edwards(point)
    else:
        _check_p256(point)
    return algorithm, point, application


def _algorithm(name: str) -> Algorithm:
    try:
        return Algorithm(name)
    except ValueError as error:
        raise UnsupportedKey(f"a key of the kind {name} is not taken: only {', '.join(Algorithm)}") from error


def _check_edwards(point: bytes) -> None:
    if len(point) != _ED25519_BYTES:
        raise MalformedKey(f"the key's point is {len(point)} bytes long, and not {_ED25519_BYTES}")
    if weakness := ed25519.weakness(point):
        raise WeakKey(f"the key is not usable: {weakness}")


def _check_p256(point: bytes) -> None:
    if point == b"\0":
        raise WeakKey("the key is not usable: its point is the one at infinity")
    if point[:1] in {b"\2", b"\3"}:
        raise MalformedKey("the key's point is compressed: OpenSSH writes it whole")
    if len(point) != _P256_BYTES or point[0] != _UNCOMPRESSED:
        raise MalformedKey(f"the key's point is not the {_P256_BYTES} bytes of an uncompressed one")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise WeakKey("the key is not usable: its point is not on the curve") from error
