"""Signatures in OpenSSH's form SSHSIG (PROTOCOL.sshsig, PROTOCOL.u2f): read, written, and checked.

Whatever `verify` accepts, `ssh-keygen -Y verify` accepts. The other way round it is stricter: a security key has to be touched, a passkey has to be
used on an accepted page, and there is one encoding of each value. Nothing may be derived from a signature's bytes: ECDSA has two for each message,
and a key signs as often as it is asked; who signed what is the same whichever of them is shown.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from signatures import wire
from signatures.errors import (
    MalformedSignature,
    NotTouched,
    OtherChallenge,
    OtherKey,
    OtherOrigin,
    OtherPurpose,
    UnsupportedSignature,
    WrongSignature,
)
from signatures.keys import MAX_BLOB, Algorithm, PublicKey

MAX_ARMOURED: Final = 16_384
"""Characters of a signature as text. The longest that can be accepted is a passkey's, of about 9,000."""
_MAX_SIGNATURE: Final = 8_192
_MAX_NAMESPACE: Final = 256
_MAX_CLIENT_DATA: Final = 4_096
_MAX_ORIGIN: Final = 512
_MAX_EXTENSIONS: Final = 1_024
_ED25519_BYTES: Final = 64
_NUMBER_BYTES: Final = 33
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----\n"
_END: Final = "-----END SSH SIGNATURE-----"
_LINE: Final = 70
_WEBAUTHN: Final = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"
_ALGORITHMS: Final = frozenset([*map(str, Algorithm), _WEBAUTHN])
_PLAIN: Final = frozenset(map(str, (Algorithm.ED25519, Algorithm.P256)))
_EDWARDS: Final = frozenset(map(str, (Algorithm.ED25519, Algorithm.SK_ED25519)))


class Purpose(StrEnum):
    """The namespaces of SSHSIG that people and workers sign in here: what was signed for one purpose stands for no other, and for no other program."""

    COMMAND = "open-model-consortium/command"
    """A command, given by the person who signs."""
    POSSESSION = "open-model-consortium/key-possession"
    """That whoever asks for a key to be enrolled has it."""
    LOGIN = "open-model-consortium/login"
    """A challenge of the door."""
    AGREEMENT = "open-model-consortium/agreement"
    """The members' agreement, by its digest."""
    OUTCOME = "open-model-consortium/outcome"
    """What came of a step, by the log key of the worker that carried it out."""
    CLOCK = "open-model-consortium/clock"
    """That a rehearsal's clock is set anew, by the log key of whoever runs it."""


class Hash(StrEnum):
    """What the message is hashed with before it is signed."""

    SHA256 = "sha256"
    SHA512 = "sha512"


_HASHES: Final = {str(each): each for each in Hash}


class Flags(int):
    """What an authenticator says of how it signed (WebAuthn, section 6.1)."""

    @property
    def user_present(self) -> bool:
        """Somebody touched it."""
        return bool(self & 0x01)

    @property
    def user_verified(self) -> bool:
        """It knew who: by a PIN, a finger, a face."""
        return bool(self & 0x04)

    @property
    def attested(self) -> bool:
        """A new key's data follow, as they never do when something is signed."""
        return bool(self & 0x40)

    @property
    def extended(self) -> bool:
        """Data of extensions follow."""
        return bool(self & 0x80)


@dataclass(frozen=True, slots=True)
class Plain:
    """What a key in a file or an agent makes."""

    value: bytes
    """64 bytes of Ed25519, or the two numbers of ECDSA, each an `mpint`."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a security key of OpenSSH makes."""

    value: bytes
    flags: Flags
    counter: int


@dataclass(frozen=True, slots=True)
class Asserted:
    """What a passkey makes in a browser: an assertion of WebAuthn whose challenge is what SSHSIG signs."""

    value: bytes
    flags: Flags
    counter: int
    origin: str
    client_data: bytes
    """`clientDataJSON`, as the browser wrote it."""
    extensions: bytes


Form = Plain | Touched | Asserted


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature says of itself. Nothing of it is believed before `verify`, and the key it names is not even read."""

    key_blob: bytes
    """Of the key that is said to have signed: look up by it whom you know (`PublicKey.blob`)."""
    namespace: str
    hash: Hash
    algorithm: str
    form: Form


# ---------------------------------------------------------------- checking


def verify(signature: Signature, message: bytes, purpose: Purpose, key: PublicKey, origins: AbstractSet[str] = frozenset()) -> None:
    """Returns when this key signed this message for this purpose, and else raises an `Unacceptable` that says what is wrong.

    `key` comes from what you know of the person, never from the signature. `origins` are the pages, like `https://consortium.example`, on which a
    passkey may be used; without any, no passkey's signature is accepted. Safe in threads: the arithmetic releases the interpreter's lock.
    """
    if signature.key_blob != key.blob:
        raise OtherKey(f"another key signed than {key.fingerprint}")
    if signature.namespace != purpose:
        raise OtherPurpose(f"it was signed for {_shown(signature.namespace)}, and not for {purpose}")
    _check_kind(signature, key)
    signed = to_be_signed(message, purpose, signature.hash)
    match signature.form:
        case Plain(value=value):
            _check_value(key, value, signed)
        case Touched(value=value, flags=flags):
            _check_touch(flags, b"")
            _check_value(key, value, _authenticator_data(key, signature.form) + hashlib.sha256(signed).digest())
        case Asserted(value=value, flags=flags, extensions=extensions, client_data=client_data):
            _check_touch(flags, extensions)
            _check_client_data(signature.form, signed, origins)
            _check_value(key, value, _authenticator_data(key, signature.form) + hashlib.sha256(client_data).digest())


def to_be_signed(message: bytes, purpose: Purpose, hash_name: Hash = Hash.SHA512) -> bytes:
    """The bytes that a key signs over a message, and that are the challenge of a passkey. They begin like no other data that SSH signs."""
    digest = (hashlib.sha512 if hash_name is Hash.SHA512 else hashlib.sha256)(message).digest()
    return _MAGIC + wire.strings([purpose.encode(), b"", hash_name.encode(), digest])


def _check_kind(signature: Signature, key: PublicKey) -> None:
    own = _WEBAUTHN if key.passkey else key.algorithm.value
    if signature.algorithm != own:
        raise UnsupportedSignature(f"a key like {key.fingerprint} signs as {own}, and this is {signature.algorithm}")
    form = Asserted if key.passkey else Touched if key.algorithm.security_key else Plain
    if not isinstance(signature.form, form):
        raise MalformedSignature(f"a signature of the kind {own} has other parts")


def _check_touch(flags: Flags, extensions: bytes) -> None:
    if flags.attested or flags.extended != bool(extensions):
        raise MalformedSignature(f"the authenticator's flags {flags:#04x} tell of other data than there are")
    if not flags.user_present:
        raise NotTouched("the security key signed without being touched")


def _check_client_data(form: Asserted, signed: bytes, origins: AbstractSet[str]) -> None:
    """The browser's own account of what was asked of the passkey, and where.

    OpenSSH wants it to begin as WebAuthn's serialization does (section 5.8.1.2) and looks no further; here it has to say the same as JSON too.
    """
    challenge = base64.urlsafe_b64encode(signed).decode().rstrip("=")
    said = _client_data(form.client_data)
    if said.get("type") != "webauthn.get":
        raise OtherChallenge("the browser made something else with the passkey than a signature")
    if said.get("challenge") != challenge:
        raise OtherChallenge("the passkey signed another message, or for another purpose")
    if said.get("origin") != form.origin or form.origin not in origins:
        raise OtherOrigin(f"the passkey was used on {_shown(form.origin)}, which is not an accepted page")
    if said.get("crossOrigin", False) is not False or "topOrigin" in said:
        raise OtherOrigin("the passkey was used in a page inside another's")
    if not form.client_data.startswith(f'{{"type":"webauthn.get","challenge":"{challenge}","origin":"{form.origin}"'.encode()):
        raise MalformedSignature("the browser's data do not begin with type, challenge and origin")


def _client_data(read: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(read.decode(), object_pairs_hook=_members, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedSignature("the browser's data are not JSON as a browser writes it") from error
    if not isinstance(said, dict):
        raise MalformedSignature("the browser's data are not an object of JSON")
    return said


def _members(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _authenticator_data(key: PublicKey, form: Touched | Asserted) -> bytes:
    """What an authenticator puts before the hash that it signs (WebAuthn, section 6.1)."""
    extensions = form.extensions if isinstance(form, Asserted) else b""
    application = hashlib.sha256(key.application.encode()).digest()
    return application + bytes([form.flags]) + form.counter.to_bytes(4, "big") + extensions


def _check_value(key: PublicKey, value: bytes, data: bytes) -> None:
    loaded = _loaded(key)
    try:
        if isinstance(loaded, ed25519.Ed25519PublicKey):
            loaded.verify(value, data)
        else:
            loaded.verify(encode_dss_signature(*_two_numbers(value)), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise WrongSignature(f"the signature is not {key.fingerprint}'s over this message") from error


@lru_cache(maxsize=4_096)
def _loaded(key: PublicKey) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    if key.algorithm.edwards:
        return ed25519.Ed25519PublicKey.from_public_bytes(key.point)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.point)


# ---------------------------------------------------------------- reading and writing


def parse(armoured: str) -> Signature:
    """A signature of its text, `-----BEGIN SSH SIGNATURE-----` to the end. Raises `MalformedSignature` or `UnsupportedSignature`."""
    return parse_blob(unarmour(armoured))


def parse_blob(blob: bytes) -> Signature:
    """A signature of its bytes: what the text's Base64 stands for."""
    reader = wire.Reader(blob)
    try:
        reader.exactly(_MAGIC, "the signature's beginning")
        version = reader.number("the signature's version")
        key_blob = reader.string(MAX_BLOB, "the signing key")
        namespace = reader.text(_MAX_NAMESPACE, "the namespace")
        reader.string(0, "the reserved field")
        hash_name = reader.text(16, "the name of the hash")
        inner = reader.string(_MAX_SIGNATURE, "the signature's value")
        reader.end("the signature")
    except wire.Malformed as error:
        raise MalformedSignature(str(error)) from error
    if version != _VERSION:
        raise UnsupportedSignature(f"version {version} of the form is not taken: only {_VERSION}")
    if hash_name not in _HASHES:
        raise UnsupportedSignature(f"the hash {hash_name} is not taken: only {' and '.join(Hash)}")
    return of_parts(key_blob, namespace, _HASHES[hash_name], inner)


def of_parts(key_blob: bytes, namespace: str, hash_name: Hash, inner: bytes) -> Signature:
    """A signature around what a key made over `to_be_signed(...)`, in the encoding of SSH: an agent's answer."""
    try:
        algorithm, form = _inner(inner)
    except wire.Malformed as error:
        raise MalformedSignature(str(error)) from error
    return Signature(key_blob, namespace, hash_name, algorithm, form)


def encode(signature: Signature) -> bytes:
    """Its bytes: what `parse_blob` reads."""
    inner = wire.strings([signature.algorithm.encode(), signature.form.value])
    match signature.form:
        case Plain():
            pass
        case Touched(flags=flags, counter=counter):
            inner += _touch(flags, counter)
        case Asserted(flags=flags, counter=counter, origin=origin, client_data=client_data, extensions=extensions):
            inner += _touch(flags, counter) + wire.strings([origin.encode(), client_data, extensions])
    outer = [signature.key_blob, signature.namespace.encode(), b"", signature.hash.encode(), inner]
    return _MAGIC + _VERSION.to_bytes(4, "big") + wire.strings(outer)


def armour(blob: bytes) -> str:
    """The text of a signature's bytes, as `ssh-keygen -Y sign` writes it."""
    written = base64.b64encode(blob).decode()
    return _BEGIN + re.sub(f"(.{{1,{_LINE}}})", r"\1\n", written) + _END + "\n"


def unarmour(armoured: str) -> bytes:
    """The bytes of a signature's text. Lines may have any length; before and after the text there is nothing but a line's end."""
    if len(armoured) > MAX_ARMOURED:
        raise MalformedSignature(f"the signature is longer than {MAX_ARMOURED} characters")
    text = armoured.removesuffix("\n")
    if not text.startswith(_BEGIN) or not text.endswith("\n" + _END):
        raise MalformedSignature("it does not begin and end with the lines of a signature of SSH")
    try:
        return wire.from_base64(text[len(_BEGIN) : -len(_END)].replace("\n", ""), "the signature")
    except wire.Malformed as error:
        raise MalformedSignature(str(error)) from error


def from_assertion(key: PublicKey, purpose: Purpose, authenticator_data: bytes, client_data: bytes, signature: bytes, *, hash_name: Hash = Hash.SHA512) -> Signature:  # fmt: skip
    """The signature that a browser's assertion is, from `authenticatorData`, `clientDataJSON` and `signature` as `navigator.credentials.get` gives
    them for the challenge `to_be_signed(...)`.

    Raises `MalformedSignature`, or `OtherOrigin` when the assertion is of another relying party than the key; what it is worth, `verify` says.
    """  # fmt: skip
    reader = wire.Reader(authenticator_data)
    try:
        application = reader.take(32, "the authenticator's data")
        flags, counter = Flags(reader.byte("the authenticator's data")), reader.number("the authenticator's data")
        value = b"".join(map(wire.positive, decode_dss_signature(signature)))
    except ValueError as error:
        raise MalformedSignature("the browser's assertion is malformed") from error
    if application != hashlib.sha256(key.application.encode()).digest():
        raise OtherOrigin(f"the passkey was not used for {key.application}")
    origin = _client_data(client_data).get("origin")
    if not isinstance(origin, str):
        raise MalformedSignature("the browser's data name no origin")
    if not origin.isascii():  # JSON can also name half of a character, which no encoding has
        raise MalformedSignature("the origin in the browser's data is not printable ASCII")
    form = Asserted(value, flags, counter, origin, client_data, authenticator_data[37:])
    return parse_blob(encode(Signature(key.blob, purpose, hash_name, _WEBAUTHN, form)))


def _inner(blob: bytes) -> tuple[str, Form]:
    """The signature within: the name of its algorithm, and what follows from that."""
    reader = wire.Reader(blob)
    algorithm = reader.text(64, "the signature's algorithm")
    if algorithm not in _ALGORITHMS:
        raise UnsupportedSignature(f"a signature of the kind {algorithm} is not taken: only {', '.join(sorted(_ALGORITHMS))}")
    value = reader.string(256, "the signature's value")
    if algorithm in _EDWARDS:
        if len(value) != _ED25519_BYTES:
            raise MalformedSignature(f"a signature of Ed25519 has {_ED25519_BYTES} bytes, and not {len(value)}")
    else:
        _two_numbers(value)
    form: Form = Plain(value)
    if algorithm not in _PLAIN:
        form = Touched(value, Flags(reader.byte("the authenticator's flags")), reader.number("the authenticator's counter"))
    if isinstance(form, Touched) and algorithm == _WEBAUTHN:
        origin = reader.text(_MAX_ORIGIN, "the origin")
        client_data = reader.string(_MAX_CLIENT_DATA, "the browser's data")
        form = Asserted(value, form.flags, form.counter, origin, client_data, reader.string(_MAX_EXTENSIONS, "the extensions"))
        if '"' in origin:
            raise MalformedSignature("the origin has a quotation mark in it")
    reader.end("the signature's value")
    return algorithm, form


def _two_numbers(value: bytes) -> tuple[int, int]:
    """Of ECDSA, each from one to the order of P-256."""
    reader = wire.Reader(value)
    two = (reader.positive(_NUMBER_BYTES, "the signature's first number"), reader.positive(_NUMBER_BYTES, "the signature's second number"))
    reader.end("the signature's numbers")
    if max(two) >= _P256_ORDER:
        raise wire.Malformed("a number of the signature is too large")
    return two


def _touch(flags: Flags, counter: int) -> bytes:
    return bytes([flags]) + counter.to_bytes(4, "big")


def _shown(text: str) -> str:
    """At most 60 characters of what a stranger wrote: it is printable ASCII by then."""
    return text if len(text) <= 60 else f"{text[:57]}..."
