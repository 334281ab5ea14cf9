"""The values that a membership's commands and events are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from domain.forms import Form
from domain.kernel import Message, PersonId
from domain.register.facts import Capacity, PublicKey


def _lei(text: str) -> str:
    """ISO 17442: the number that the letters and digits spell leaves 1 when divided by 97 (ISO 7064)."""
    if int("".join(str(int(character, 36)) for character in text)) % 97 != 1:
        raise ValueError("the check digits of this Legal Entity Identifier are wrong; copy it again from its certificate")
    return text


Lei = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9]{18}[0-9]{2}$"),
    AfterValidator(_lei),
    Form("a Legal Entity Identifier: 18 capital letters and digits, then two check digits (ISO 17442)", "52990000000000000196"),
]
"""A Legal Entity Identifier with right check digits."""

ApplicationOutcome = Literal["rejected", "lapsed", "withdrawn"]
"""How an application ends that comes to nothing."""

Cause = Literal["left", "terminated", "expelled"]
"""Why a membership ends."""

HOLDERS: Final = 50
"""How many holders a declaration of ownership names at most."""


InvoiceNumber = Annotated[int, Field(ge=1)]


class Delegate(Message):
    """A person who is to speak for the member."""

    person: PersonId
    capacity: Capacity = Capacity.REPRESENTATIVE
    public_key: PublicKey | None = None


class Rung(StrEnum):
    """The steps of the good-standing ladder, in order."""

    NOTICE = "notice"
    SUSPENDED = "suspended"
    TERMINATION_NOTICE = "termination-notice"
    TERMINATED = "terminated"
