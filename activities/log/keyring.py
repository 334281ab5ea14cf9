"""A folder of keys: each under a name, with its public half beside it, and the requests by which keys are enrolled.

`NAME` is a private key of OpenSSH (0600), `NAME.pub` its public half, `NAME.request` what is sent to whoever enrols it. The folder is its
owner's alone (0700). A name is a person's handle; `log` is the key with which whoever records signs, and nobody's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import ValidationError

from activities.bounded import json_value
from activities.files import settle
from domain.kernel import LOG, SLUG, Message, PersonId, Proof, PublicKey, process_of
from eventstore.statement import possession
from signatures import keys
from signatures.errors import Unacceptable
from signatures.signers import Ask, CannotSign, KeySigner, Signer, from_file, new_key
from signatures.sshsig import Purpose

_LARGEST: Final = 16_384
"""Bytes of a request, or of a public half."""


class KeyRequest(Message):
    """A person's key, the proof that they hold it, and the consortium that the proof is for."""

    consortium: str
    """The hash of the log's first entry; before the founding the name of its stream."""
    person: PersonId
    public_key: PublicKey
    proof: Proof


def request(signer: Signer, person: str, consortium: str) -> KeyRequest:
    """The request for a key, proved by the key itself. May wait for a person, as `Signer.sign` does. Raises `CannotSign`."""
    line = signer.public_key.line
    return KeyRequest(
        consortium=consortium, person=person, public_key=line, proof=signer.sign(possession(consortium, person, line), Purpose.POSSESSION)
    )


def consortium_of(text: str) -> str:
    """The stream of a consortium that is to be founded, named with or without its process. Raises `ValueError`."""
    stream = text if text.startswith("consortium/") else f"consortium/{text}"
    process_of(stream)
    return stream


class Keyring:
    """The keys in a folder. Nothing is made until something is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where the private key of this name is, or would be. Raises `ValueError` for what is no name."""
        if re.fullmatch(SLUG, name) is None:
            raise ValueError(f"{name[:80]!r} is no name of a key: lower-case ASCII letters, digits and hyphens, at most 64")
        return self.folder / name

    def new(self, name: str, passphrase: bytes | None = None) -> KeySigner:
        """Makes a key, and never overwrites one. Raises `CannotSign`, `OSError` and, for what is no name, `ValueError`."""
        path = self.path(name)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return new_key(path, passphrase, name)

    def own(self, name: str) -> KeySigner:
        """The key of this name without a passphrase, made when it is not there: for what no person signs, and for rehearsals. Raises as `new`."""
        return own(self.path(name), name)

    def ask(self, name: str, consortium: str) -> KeyRequest:
        """The request for the key of this name, as `own` has it."""
        return request(self.own(name), name, consortium)

    def place_of(self, asked: KeyRequest) -> Path:
        """Where the request of a person is kept."""
        return self.folder / f"{asked.person}.request"

    def keep(self, asked: KeyRequest) -> KeyRequest:
        """Writes a request, in the place of a former one of the same person, and returns it. Raises `OSError`."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.place_of(asked)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(asked.model_dump_json(indent=1) + "\n", encoding="utf-8")
        beside.chmod(0o644)
        beside.replace(path)
        return asked

    def requested(self, person: str) -> KeyRequest | None:
        """The request of a person; `None` without one. Raises `ValueError` for a file that holds none, or another's, and `OSError`."""
        try:
            return read_request(self.path(person).with_suffix(".request"), person)
        except FileNotFoundError:
            return None

    def public(self, name: str) -> str:
        """The line of the public half, with its comment; empty where there is none."""
        return public_half(self.path(name))

    def names(self) -> Mapping[str, str]:
        """The keys that are here: each name with the line of its public half."""
        with suppress(OSError):
            found = sorted(path for path in self.folder.glob("*.pub") if re.fullmatch(SLUG, path.stem))
            return {path.stem: line for path in found if (line := public_half(path.with_suffix("")))}
        return {}


def own(path: Path, name: str = LOG) -> KeySigner:
    """The key in a file without a passphrase, made when it is not there; of two who make it at once one does. Raises `CannotSign` and `OSError`."""
    lost = Path(f"{path}.pub").exists() and not path.exists()
    if lost:
        raise CannotSign(f"{path} is missing, and its public half {path}.pub is there: put it back, or remove that too for a new key")
    if not path.exists():
        _made(path, name)
    signer = from_file(path, _no_passphrase(path))
    if not isinstance(signer, KeySigner):
        raise CannotSign(f"{path} is a security key's: this one signs by itself, and lies in a file")
    return signer


def _made(path: Path, name: str) -> None:
    """Writes a new key, whole or not at all: whoever comes first wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
        beside = Path(scratch) / "key"
        new_key(beside, None, name)
        with suppress(FileExistsError):
            os.link(beside, path)
            Path(f"{beside}.pub").replace(f"{path}.pub")
    settle(path.parent)


def _no_passphrase(path: Path) -> Ask:
    def ask() -> bytes:
        raise CannotSign(f"{path} has a passphrase, which nobody is there to give: `ssh-keygen -p -f {path}` removes it")

    return ask


def public_half(path: Path) -> str:
    """The line of the public half beside a private key, with its comment; empty where there is none that can be read."""
    try:
        with Path(f"{path}.pub").open("rb") as file:
            line = file.read(_LARGEST).decode()
        keys.parse(line)
    except (OSError, UnicodeDecodeError, Unacceptable):
        return ""
    return line.strip()


def read_request(path: Path, person: str = "") -> KeyRequest:
    """The request in a file, of this person if one is named. Raises `ValueError` for a file that holds none, and `OSError`."""
    with path.open("rb") as file:
        written = file.read(_LARGEST + 1)
    try:
        found = KeyRequest.model_validate(json_value(written, most_bytes=_LARGEST))
    except (ValidationError, ValueError) as error:
        raise ValueError(f"{path} is no key request as `consortium key request` writes one") from error
    if person and found.person != person:
        raise ValueError(f"{path} is the request of {found.person}, not of {person}")
    return found
