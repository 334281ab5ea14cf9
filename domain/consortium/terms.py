"""The values that the consortium's commands and events are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domain.charter import Office
from domain.forms import Form
from domain.kernel import Message, PersonId, Proof, PublicKey

Position = Annotated[int, Field(ge=1, lt=2**53)]
"""The position of an entry on the log."""


class Officer(Message):
    """A person, their offices and their key, as named at the founding."""

    person: PersonId
    offices: frozenset[Office] = Field(min_length=1)
    public_key: PublicKey | None = None
    """At the founding of a signed log every officer is named with one: where it is left out, it is taken from their key request."""
    proof: Proof | None = None
    """That the person holds the key: the proof of their key request."""


class KeyRequest(Message):
    """A key request: a person's key and the proof that they hold it, for whoever enrols it."""

    person: PersonId
    public_key: PublicKey
    proof: Proof | None = None


ReleaseKey = Annotated[
    PublicKey,
    Field(pattern=r"^ecdsa-sha2-nistp256 "),
    Form(
        "an OpenSSH public key in one line, on the curve P-256 (ecdsa-sha2-nistp256), as model signing takes it",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKSr1ESMSVYtgoEV0TofzOqSf1K01UWSl/i0PkLaiSOLwTYm5D3LON2wgkiJJ+yQT7QgV0Q5g+iFhRedUFUa/mI=",
    ),
]
"""The public part of a key that signs releases: P-256, which the format of model signing asks for."""
