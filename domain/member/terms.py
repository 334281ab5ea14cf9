"""The values that a membership's commands and events are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from domain.kernel import Message, PersonId, Proof, PublicKey
from domain.letters import RoundName
from domain.money import Amount
from domain.register.facts import Capacity

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
    """On a signed log everybody is named with one: where it is left out, it is taken from their key request."""
    proof: Proof | None = None
    """That the person holds the key."""


class NamedDelegate(Message):
    """Whom an application named to speak for the member, as it is kept: before rules 7 a key was any text of this length, and nothing proved it."""

    person: PersonId
    capacity: Capacity = Capacity.REPRESENTATIVE
    public_key: Annotated[str, Field(max_length=1_000)] | None = None


class Offset(Message):
    """What a round is asked for of the member's credit there, at most."""

    source: RoundName
    amount: Amount
    after_refunds: bool = False
    """Whether, while nothing is payable, what becomes of a refund on its way is waited for: what is given up of it is set off then."""


class Rung(StrEnum):
    """The steps of the good-standing ladder, in order."""

    NOTICE = "notice"
    SUSPENDED = "suspended"
    TERMINATION_NOTICE = "termination-notice"
    TERMINATED = "terminated"
