"""Signing a release's files in the format of OpenSSF model signing (https://github.com/ossf/model-signing-spec), with a P-256 key.

Anybody can check a published model: `model_signing verify key MODEL --signature model.sig --public_key release.pub`. The signed
statement lists each file with its SHA-256; it must be the manifest's list, neither more nor less.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from activities.bounded import json_value
from activities.files import Told, Unfit, settle, unheard
from activities.missing import explained
from activities.release.artifacts import Manifest, Store, require_names, require_same
from signatures.signers import KeySigner

LIMIT: Final = 64 * 1024 * 1024
"""The largest signature file, in bytes: it lists every file."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature over a manifest's files."""

    signature: str
    """The SHA-256 of the signature file (a Sigstore bundle)."""
    key: str
    """The SHA-256 of the public key's PEM file, which the signature names too."""


class Signing:
    """Signs with the key at a path, made on first use, and keeps signatures and public keys in a store."""

    def __init__(self, key: Path, store: Store, signatures: Path) -> None:
        self._key = key
        self._store = store
        self._signatures = signatures

    def sign(self, folder: Path, manifest: Manifest, told: Told = unheard) -> Signed:
        """Signs the manifest's files as they lie in the folder; signed before with this key, it is the same signature. Raises `Unfit`."""
        key = self._store.put(self._public_key())
        path = self._signatures / f"{manifest.digest}.{key}"
        if path.exists():
            signed = Signed(self._store.put(path.read_bytes()), key)
            self.verify(folder, manifest, signed, told)
            return signed
        require_names(folder, manifest)
        with explained(), _scratch() as scratch:
            from model_signing import hashing, signing

            everything = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)  # type: ignore[no-untyped-call]
            config = signing.Config().set_hashing_config(everything)  # type: ignore[no-untyped-call]
            config.use_elliptic_key_signer(private_key=self._key).sign(folder, scratch / "model.sig")
            made = (scratch / "model.sig").read_bytes()
        self._require_listed(folder, manifest, made, told)
        _put_first(path, made)
        return Signed(self._store.put(path.read_bytes()), key)

    def verify(self, folder: Path, manifest: Manifest, signed: Signed, told: Told = unheard) -> None:
        """Nothing, when the folder holds exactly the manifest's files and the signature is this key's over them. Raises `Unfit`.

        The files are read once; a second time only to name the one that differs.
        """
        require_names(folder, manifest)
        signature, key = self._store.get(signed.signature, LIMIT), self._store.get(signed.key, 10_000)
        with explained(), _scratch() as scratch:
            from model_signing import hashing, verifying

            (scratch / "model.sig").write_bytes(signature)
            (scratch / "release.pub").write_bytes(key)
            everything = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)  # type: ignore[no-untyped-call]
            config = verifying.Config().set_hashing_config(everything)  # type: ignore[no-untyped-call]
            try:
                config.use_elliptic_key_verifier(public_key=scratch / "release.pub").verify(folder, scratch / "model.sig")
            except OSError:
                raise
            except Exception as error:
                require_same(folder, manifest, told)
                why = str(error) or type(error).__name__
                raise Unfit("model.sig", f"the signature does not verify with the key {signed.key[:16]}: {why}", "signature") from error
        self._require_listed(folder, manifest, signature, told)

    @staticmethod
    def _require_listed(folder: Path, manifest: Manifest, signature: bytes, told: Told) -> None:
        """The signed list is the manifest's. Raises `Unfit`, naming the file that made it another."""
        if _listed(signature) != {file.path: file.sha256 for file in manifest.files}:
            require_same(folder, manifest, told)
            raise Unfit("model.sig", "the signature is over other files than the manifest lists", "signature")

    def _public_key(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        with explained():
            public = release_key(self._key).private.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def release_key(path: Path) -> KeySigner:
    """The key that signs releases, made when it is not there: it proves itself when officers enrol it. Raises `Unfit`."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    try:
        private = serialization.load_pem_private_key(_private_key(path), None)
    except (ValueError, TypeError) as error:
        raise Unfit(path.name, f"it holds no private key in PEM without a passphrase: {error}", "signature") from error
    if not isinstance(private, EllipticCurvePrivateKey):
        raise Unfit(path.name, "it holds a key of another kind than P-256", "signature")
    return KeySigner(private)


def _private_key(path: Path) -> bytes:
    """The private key's PEM. Only its owner may read the file: another mode is `Unfit`."""
    if not path.exists():
        _put_first(path, _new_key(), mode=0o600)
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Unfit(path.name, f"others may read this private key: `chmod 600 {path}`, and if they did, make a new one")
        return file.read(10_000)


def _new_key() -> bytes:
    with explained():
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _put_first(path: Path, body: bytes, *, mode: int = 0o644) -> None:
    """Writes a file durably unless it is there: whoever comes first wins, and nobody sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid4()}.part")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    settle(path.parent)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="consortium-signing-") as folder:
        yield Path(folder)


def _listed(signature: bytes) -> dict[str, str]:
    """The files of a signed statement with their digests. Raises `Unfit`."""
    try:
        statement: Any = json_value(base64.b64decode(json_value(signature)["dsseEnvelope"]["payload"], validate=True))
        resources = statement["predicate"]["resources"]
        listed = {str(each["name"]): str(each["digest"]) for each in resources if each["algorithm"] == "sha256"}
        if len(listed) != len(resources):
            raise Unfit("model.sig", "it lists a file twice, or by another hash than SHA-256", "signature")
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        raise Unfit("model.sig", "not a signed statement of model signing", "signature") from error
    return listed
