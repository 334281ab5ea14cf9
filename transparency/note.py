"""Signed notes: a text, and lines of signatures under it, after C2SP signed-note v1 (https://c2sp.org/signed-note@v1.0.0).

    text, one or more lines
    <empty line>
    — name base64(4 bytes of key id, then the signature)

Keys are Ed25519 (signature type 0x01) only. Signatures by keys that nobody asked about are kept as they are and believed by nobody, of whatever
type and length: so another kind of signer (witnesses, type 0x04 and 0x06) can put its line under a note without any change here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from transparency.strict import Invalid, decoded, encoded

LARGEST: Final = 256 * 1024
"""Bytes of a note: room for more than the 16 signatures of 5 kB that the standard asks for."""
MOST_SIGNATURES: Final = 64
ED25519: Final = b"\x01"
"""The signature type of a plain Ed25519 signature over the text."""
_DASH: Final = "\N{EM DASH} "
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4


class Signature(NamedTuple):
    """A line under a note."""

    name: str
    """Of the key."""
    key_id: bytes
    """Four bytes, which with the name say which key and which type: no proof of anything."""
    signature: bytes
    """By the key's own algorithm; for Ed25519 64 bytes."""

    def line(self) -> str:
        """As it stands in a note."""
        return f"{_DASH}{self.name} {encoded(self.key_id + self.signature)}\n"


class Note(NamedTuple):
    """A text and what stands under it. It says nothing until it is verified."""

    text: str
    """With its last newline."""
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The bytes that `parse` reads."""
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}".encode()


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a key that signs notes, under its name. `str` gives its C2SP form (vkey), which `parse_key` reads.

    That the point is a good one is judged where the key was enrolled, not here.
    """

    name: str
    public: bytes
    """The 32 bytes of RFC 8032."""

    def __post_init__(self) -> None:
        require_name(self.name)
        if len(self.public) != _KEY_BYTES:
            raise Invalid(f"an Ed25519 key has {_KEY_BYTES} bytes")

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || 0x0A || 0x01 || public key)."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encoded(ED25519 + self.public)}"

    def verify(self, text: str, signature: bytes) -> None:
        """Raises `Invalid` unless this key signed this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError) as error:
            raise Invalid("the signature of a known key does not fit the note") from error


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs notes, under its name. Making one, and keeping it, is its owner's."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """What others need to know of it."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """The line that this key puts under a text: always the same under the same."""
        return Signature(self.name, self.verifier.key_id, self.private.sign(text.encode()))


def require_name(name: str) -> None:
    """Raises `Invalid` unless a key may have this name: not empty, no spaces of any script, no plus, no control characters."""
    if not name or "+" in name or any(character.isspace() or character < " " for character in name):
        raise Invalid("the name of a key is empty, or has a space, a plus or a control character in it")
    _utf8(name)


def parse_key(text: str) -> VerifierKey:
    """The key that a C2SP vkey states: name+id+base64(type, key). Raises `Invalid`, also for other types than Ed25519."""
    # Base64 has pluses, names and ids have none.
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Invalid("a verifier key has three parts with a plus between")
    name, stated, key = parts[0], parts[1], decoded(parts[2], "the verifier key")
    if key[:1] != ED25519:
        raise Invalid("the verifier key is of another type than Ed25519")
    found = VerifierKey(name, key[1:])
    if stated != found.key_id.hex():
        raise Invalid("the verifier key's id is not that of its name and key")
    return found


def sign(text: str, *keys: SigningKey) -> Note:
    """A text with the signatures of these keys, of at least one. Raises `Invalid` when the text cannot be a note's."""
    if not keys:
        raise ValueError("a note is signed by somebody")
    _require_text(text)
    return Note(text, tuple(key.sign(text) for key in keys))


def parse(data: bytes) -> Note:
    """Reads a note, strictly: what it gives encodes to the same bytes. Raises `Invalid`. Nothing is verified."""
    if len(data) > LARGEST:
        raise Invalid("the note is too large")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise Invalid("the note is not UTF-8") from error
    text, between, under = whole.rpartition("\n\n")
    if not between or not under.endswith("\n"):
        raise Invalid("the note has no signatures after an empty line")
    text += "\n"
    _require_text(text)
    lines = under[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise Invalid("the note has too many signatures")
    return Note(text, tuple(map(_signature, lines)))


def verify(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Which of these keys signed the note: at least one.

    Raises `Invalid` when none did, when a line that names one of them does not verify, and when two of them have one name and id, which happens
    only to who chose their keys so.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for each in keys:
        if known.setdefault((each.name, each.key_id), each) != each:
            raise Invalid("two keys of one name and id cannot be told apart")
    signed: dict[VerifierKey, None] = {}
    for signature in note.signatures:
        if key := known.get((signature.name, signature.key_id)):
            key.verify(note.text, signature.signature)
            signed[key] = None
    if not signed:
        raise Invalid("the note is not signed by any known key")
    return tuple(signed)


def _signature(line: str) -> Signature:
    dash, name, written = line[: len(_DASH)], *line[len(_DASH) :].partition(" ")[::2]
    if dash != _DASH:
        raise Invalid("a line under the note is no signature")
    require_name(name)
    data = decoded(written, "a signature")
    if len(data) <= _ID_BYTES:
        raise Invalid("a signature is empty")
    return Signature(name, data[:_ID_BYTES], data[_ID_BYTES:])


def _require_text(text: str) -> None:
    if not text.endswith("\n"):
        raise Invalid("a note's text ends with a newline")
    if any(character < " " and character != "\n" for character in text):
        raise Invalid("the note has a control character in it")
    _utf8(text)


def _utf8(text: str) -> None:
    """Python's texts may hold lone surrogates, which nothing outside can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("the text is not UTF-8") from error
