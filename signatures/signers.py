"""What signs for a person: a file with a private key, ssh-agent, or a security key through `ssh-keygen`; and how a new key is made.

Each is a `Signer`. `from_file` takes whatever OpenSSH wrote; `from_agent` what an agent holds. Whatever signs is checked before it is handed on:
a signature that `sshsig.verify` would refuse is never sent. Private keys never leave this module, and no error shows them.
"""

from __future__ import annotations

import binascii
import os
import re
import secrets
import socket
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from signatures import sshsig, wire
from signatures.errors import MalformedSignature, Unacceptable
from signatures.keys import Algorithm, PublicKey, encode
from signatures.sshsig import Hash, Plain, Purpose, Signature

KDF_ROUNDS: Final = 32
"""Of bcrypt, for a new key's passphrase: about half a second for each guess. OpenSSH takes 24 of itself."""
MAX_FILE: Final = 65_536
"""Bytes of a private key's file."""
_MAX_MESSAGE: Final = 262_144
_MAX_KEYS: Final = 1_000
_MAX_COMMENT: Final = 1_024
_ANSWER_SECONDS: Final = 30.0
_SIGN_SECONDS: Final = 120.0
"""Somebody has to find and touch the security key, or to confirm."""
_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
"""Kinds of messages of an agent (draft-miller-ssh-agent)."""
_PRIVATE: Final = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END OPENSSH PRIVATE KEY-----\s*")
_PRIVATE_MAGIC: Final = b"openssh-key-v1\0"
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{0,200}")


class CannotSign(Exception):
    """Nothing was signed, or no signer was found; says why and what to do, without any secret."""


class WrongPassphrase(CannotSign):
    """The file's passphrase is another: ask again."""


class Signer(Protocol):
    """Signs for whoever holds its key."""

    @property
    def public_key(self) -> PublicKey:
        """By which its signatures are checked."""

    def sign(self, message: bytes, purpose: Purpose) -> str:
        """The armoured signature of a message, which `sshsig.verify` accepts under `public_key`.

        May wait for a person, up to two minutes. Raises `CannotSign`.
        """


Ask = Callable[[], bytes]
"""Asks a person for the passphrase of a file; called only when it has one."""


# ---------------------------------------------------------------- in a file


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A private key in memory, Ed25519 or P-256: from a file, or made by `new_key` or a test."""

    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        """Shows the public key only."""
        return f"KeySigner({self.public_key.fingerprint})"

    @property
    def public_key(self) -> PublicKey:
        """Of the pair."""
        public = self.private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return encode(Algorithm.ED25519, public.public_bytes_raw())
        point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return encode(Algorithm.P256, point)

    def sign(self, message: bytes, purpose: Purpose) -> str:
        """At once."""
        data = sshsig.to_be_signed(message, purpose)
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            value = self.private.sign(data)
        else:
            value = b"".join(map(wire.positive, decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))))
        key = self.public_key
        return _checked(Signature(key.blob, purpose, Hash.SHA512, key.algorithm, Plain(value)), message, purpose, key)


def from_file(path: Path, ask: Ask) -> Signer:
    """What signs with the private key of a file that `ssh-keygen` or `new_key` wrote.

    A security key's file is no secret: it is handed to `ssh-keygen`, which waits for a touch. Raises `CannotSign`: `WrongPassphrase` when another
    one is to be asked for.
    """
    written = _private_bytes(path)
    head = _head(written, path)
    if head.key.algorithm.security_key:
        return KeygenSigner(path, head.key)
    try:
        private = serialization.load_ssh_private_key(written, ask() if head.encrypted else None)
    except UnsupportedAlgorithm as error:
        raise CannotSign(f"{path}: its encryption is not supported; `ssh-keygen -p -f {path}` writes it anew") from error
    except (ValueError, TypeError) as error:
        if head.encrypted:
            raise WrongPassphrase(f"{path}: the passphrase does not open it") from error
        raise CannotSign(f"{path} is damaged") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise CannotSign(f"{path} holds a key of another kind than Ed25519 and P-256")
    signer = KeySigner(private)
    if signer.public_key != head.key:
        raise CannotSign(f"{path} is damaged: its two halves are of different keys")
    return signer


def new_key(path: Path, passphrase: bytes | None, comment: str) -> KeySigner:
    """Makes an Ed25519 key and writes it as OpenSSH does: `path` (0600, encrypted when there is a passphrase) and `path.pub` (0644).

    Nothing is ever overwritten: raises `CannotSign` when either file is there, and then writes neither. Both are durable when it returns.
    """
    if not _NAME.fullmatch(comment):
        raise CannotSign("a key's comment is one line of at most 200 characters")
    if passphrase is not None and not 0 < len(passphrase) <= 1_024:
        raise CannotSign("a passphrase has 1 to 1,024 bytes")
    private = ed25519.Ed25519PrivateKey.generate()
    signer = KeySigner(private)
    plain: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        plain = serialization.PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(KDF_ROUNDS).build(passphrase)
    written = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, plain)
    public = Path(f"{path}.pub")
    _write_new(public, f"{signer.public_key.line} {comment}".rstrip().encode() + b"\n", 0o644)
    try:
        _write_new(path, written, 0o600)
    except CannotSign:
        public.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return signer


def _write_new(path: Path, written: bytes, mode: int) -> None:
    """Whole or not at all: who is killed meanwhile leaves no half of a key under its name."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(written)
                file.flush()
                os.fsync(descriptor)
            os.link(part, path)
        finally:
            part.unlink()
    except FileExistsError as error:
        raise CannotSign(f"{path} is there already: a key is never overwritten; name another file") from error
    except OSError as error:
        raise CannotSign(f"{path} cannot be written: {error.strerror}") from error


def key_in(path: Path) -> PublicKey:
    """The public key of a private key's file, which takes no passphrase. Raises `CannotSign`."""
    return _head(_private_bytes(path), path).key


def _private_bytes(path: Path) -> bytes:
    """What is in a private key's file that nobody else can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CannotSign(f"{path} cannot be read: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise CannotSign(f"{path} is no file")
        if mode & 0o077:
            raise CannotSign(f"{path} can be read by others: `chmod 600 {path}`, and make a new key if others use this machine")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            written = file.read(MAX_FILE + 1)
    finally:
        os.close(descriptor)
    if len(written) > MAX_FILE:
        raise CannotSign(f"{path} is larger than {MAX_FILE} bytes: it is no private key")
    return written


class _Head(NamedTuple):
    """What a private key's file says without its passphrase."""

    encrypted: bool
    key: PublicKey


def _head(written: bytes, path: Path) -> _Head:
    match = _PRIVATE.fullmatch(written)
    if not match:
        raise CannotSign(
            f"{path} is no private key of OpenSSH: name the file without `.pub`, or `ssh-keygen -p -f {path}` writes another format anew"
        )
    try:
        reader = wire.Reader(binascii.a2b_base64(match[1]))
        reader.exactly(_PRIVATE_MAGIC, "its beginning")
        cipher = reader.string(64, "its cipher")
        for what in ("its derivation", "its derivation's options"):
            reader.string(1_024, what)
        reader.exactly((1).to_bytes(4, "big"), "its number of keys")
        return _Head(cipher != b"none", PublicKey(reader.string(MAX_FILE, "its public key")))
    except (wire.Malformed, binascii.Error, Unacceptable) as error:
        raise CannotSign(f"{path} cannot be used: {error}") from error


# ---------------------------------------------------------------- by a security key


@dataclass(frozen=True, slots=True)
class KeygenSigner:
    """A security key: `ssh-keygen -Y sign` speaks with it, asks for its PIN on the terminal, and waits for a touch."""

    path: Path
    public_key: PublicKey
    program: str = "ssh-keygen"

    def sign(self, message: bytes, purpose: Purpose) -> str:
        """When it is touched, within two minutes. What `ssh-keygen` tells the person goes to the terminal."""
        words = [self.program, "-Y", "sign", "-f", str(self.path), "-n", purpose]
        try:
            done = subprocess.run(words, input=message, stdout=subprocess.PIPE, timeout=_SIGN_SECONDS, check=False)
        except OSError as error:
            raise CannotSign(f"{self.program} cannot be run ({error.strerror}): a security key needs OpenSSH 8.2 or newer") from error
        except subprocess.TimeoutExpired as error:
            raise CannotSign(f"the security key of {self.path} was not touched within two minutes") from error
        if done.returncode:
            raise CannotSign(f"{self.program} did not sign with {self.path}: is the security key plugged in?")
        return _checked(
            _own(lambda: sshsig.parse(done.stdout[: sshsig.MAX_ARMOURED + 1].decode("ascii"))), message, purpose, self.public_key
        )


# ---------------------------------------------------------------- in an agent


class Held(NamedTuple):
    """A key that an agent holds, and what its owner called it."""

    key: PublicKey
    comment: str


@dataclass(frozen=True, slots=True)
class AgentSigner:
    """A key in the ssh-agent that listens on a socket."""

    public_key: PublicKey
    listening: str

    def sign(self, message: bytes, purpose: Purpose) -> str:
        """As soon as the agent does: it may ask for a confirmation or a touch."""
        key = self.public_key
        request = bytes([_SIGN]) + wire.strings([key.blob, sshsig.to_be_signed(message, purpose)]) + bytes(4)
        answer = _ask(self.listening, request, _SIGN_SECONDS)
        if answer[:1] != bytes([_SIGNED]):
            raise CannotSign(f"the agent did not sign with {key.fingerprint}: it is locked, the key was removed, or somebody said no")
        return _checked(_own(lambda: _from_agent(key, purpose, answer[1:])), message, purpose, key)


def from_agent(key: PublicKey) -> AgentSigner:
    """What signs with a key in the agent of `SSH_AUTH_SOCK`. Raises `CannotSign` when there is no agent, or it does not hold the key."""
    listening = _listening()
    if key not in {each.key for each in _held(listening)}:
        raise CannotSign(f"the agent does not hold {key.fingerprint}: `ssh-add` adds it")
    return AgentSigner(key, listening)


def held_by_agent() -> Sequence[Held]:
    """The keys in the agent of `SSH_AUTH_SOCK`, in its order, of the kinds that are taken here. Raises `CannotSign` when there is no agent."""
    return _held(_listening())


def _listening() -> str:
    listening = os.environ.get("SSH_AUTH_SOCK", "")
    if not listening:
        raise CannotSign("no ssh-agent is there: SSH_AUTH_SOCK is not set")
    return listening


def _held(listening: str) -> Sequence[Held]:
    answer = _ask(listening, bytes([_LIST]), _ANSWER_SECONDS)
    if answer[0] != _LISTED:
        raise CannotSign("the agent does not tell its keys: `ssh-add -X` unlocks it")
    reader = wire.Reader(answer[1:])
    found: list[Held] = []
    try:
        for _ in range(reader.number("the agent's number of keys", _MAX_KEYS)):
            blob, comment = reader.string(_MAX_MESSAGE, "a key"), reader.string(_MAX_COMMENT, "a comment")
            with suppress(Unacceptable):
                found.append(Held(PublicKey(blob), comment.decode(errors="replace")))
        reader.end("the agent's answer")
    except wire.Malformed as error:
        raise CannotSign(f"the agent answers what nobody understands: {error}") from error
    return found


def _from_agent(key: PublicKey, purpose: Purpose, answer: bytes) -> Signature:
    reader = wire.Reader(answer)
    try:
        inner = reader.string(_MAX_MESSAGE, "the agent's signature")
        reader.end("the agent's answer")
    except wire.Malformed as error:
        raise MalformedSignature(str(error)) from error
    return sshsig.of_parts(key.blob, purpose, Hash.SHA512, inner)


def _ask(listening: str, request: bytes, seconds: float) -> bytes:
    """One question to an agent, and its answer: each is a `string`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(seconds)
            agent.connect(listening)
            agent.sendall(wire.string(request))
            length = int.from_bytes(_received(agent, 4), "big")
            if not 0 < length <= _MAX_MESSAGE:
                raise CannotSign(f"the agent's answer is {length} bytes long")
            return _received(agent, length)
    except TimeoutError as error:
        raise CannotSign(f"the agent did not answer within {seconds:.0f} seconds") from error
    except OSError as error:
        raise CannotSign(f"no ssh-agent answers at {listening}: {error.strerror or error}") from error


def _received(agent: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        part = agent.recv(count - len(got))
        if not part:
            raise CannotSign("the agent hung up before it had answered")
        got += part
    return bytes(got)


# ---------------------------------------------------------------- what all do


def _own(parse: Callable[[], Signature]) -> Signature:
    try:
        return parse()
    except (Unacceptable, UnicodeDecodeError) as error:
        raise CannotSign(f"what was signed is no signature that is taken: {error}") from error


def _checked(signature: Signature, message: bytes, purpose: Purpose, key: PublicKey) -> str:
    try:
        sshsig.verify(signature, message, purpose, key)
    except Unacceptable as error:
        raise CannotSign(f"what was signed would not be accepted: {error}") from error
    return sshsig.armour(sshsig.encode(signature))
