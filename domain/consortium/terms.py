"""The values that the consortium's commands and events are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domain.charter import Office
from domain.kernel import Message, PersonId
from domain.register.facts import PublicKey

Position = Annotated[int, Field(ge=1, lt=2**53)]
"""The position of an entry on the log."""


class Officer(Message):
    """A person, their offices and their key, as named at the founding."""

    person: PersonId
    offices: frozenset[Office] = Field(min_length=1)
    public_key: PublicKey | None = None
