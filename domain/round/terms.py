"""The values that a round's commands and events are made of.

Amounts are minor units of the charter's currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.charter import Office
from domain.forms import Form
from domain.kernel import BasisPoints, Instant, MemberId, Message, Name, Prose, Slug
from domain.money import Amount, Currency, Minor

CallNumber = Annotated[int, Field(ge=1)]
"""Calls of one round are numbered from 1: of tranches, make-up calls and catch-up calls alike."""

Quantity = Annotated[int, Field(ge=1, le=10**9)]

ProposalStream = Annotated[str, Field(pattern=r"^proposal/[a-z0-9-]{1,64}$"), Form("a proposal's stream", "proposal/smaller-run")]


class BudgetLine(Message):
    """What a part of the money is for."""

    name: Name
    amount: Amount


class Tranche(Message):
    """A part of every commitment, called once its milestone is accepted."""

    name: Name
    fraction: Annotated[BasisPoints, Field(gt=0)]
    """Of every commitment."""
    milestone: Slug | None = None
    """The milestone of the round's run that releases it; only the first tranche may do without."""


class Terms(Message):
    """What the members pledge to."""

    title: Name
    text: Prose = ""
    """What the money is for."""
    currency: Currency
    """The charter's."""
    goal: Amount
    """What is to be raised in all."""
    minimum: Amount
    """Below it nothing is committed, and nothing stays committed."""
    opens_at: Instant
    """From when on members pledge."""
    closes_at: Instant
    """When pledges are counted, and the goal is shared out."""
    run: Slug | None = None
    """The run whose milestones release the tranches."""
    budget: Annotated[tuple[BudgetLine, ...], Field(min_length=1, max_length=100)]
    """What the goal is spent on: the lines sum to it."""
    tranches: Annotated[tuple[Tranche, ...], Field(min_length=1, max_length=50)]
    """The parts in which commitments are called: the fractions sum to 10,000."""


class Due(Message):
    """What a member still owes on a call."""

    call: CallNumber
    pool: CallNumber
    """The tranche's call whose punctual payers receive the interest."""
    principal: Minor
    interest: Minor
    accrued_to: date
    """Up to which day the interest is reckoned."""


class Settlement(Message):
    """By how much a due got smaller."""

    call: CallNumber
    pool: CallNumber
    principal: Minor
    interest: Minor = 0
    in_time: bool = False
    """Whether the value date lies on or before the due day."""
    accrued_to: date | None = None
    """Up to which day its interest was reckoned; the due day where it is left out."""

    @property
    def total(self) -> int:
        """Principal and interest."""
        return self.principal + self.interest


class Schedule(Message):
    """When a call is reminded of, due, overdue and in default."""

    due_on: date
    """A business day; the call can be paid until its end."""
    remind_at: Instant
    due_at: Instant
    warn_at: Instant
    cure_ends_at: Instant


class Purpose(StrEnum):
    """Why members are called."""

    TRANCHE = "tranche"
    MAKE_UP = "make-up"
    CATCH_UP = "catch-up"
    LEAVING = "leaving"


class Stage(StrEnum):
    """How far a call's ladder has come; each stage waits for the next instant of the schedule."""

    NOTIFIED = "notified"
    REMINDED = "reminded"
    OVERDUE = "overdue"
    WARNED = "warned"
    DEFAULTED = "defaulted"
    CLEARED = "cleared"


class Duty(StrEnum):
    """What a round waits for by people, while no instant of its own comes next."""

    CALL = "call"
    """Of the next tranche, which may be called."""
    MILESTONE = "milestone"
    """That releases the next tranche."""
    SETTLE = "settle"
    """All is called."""
    REFUND = "refund"
    """Credit goes back to its members."""
    PAY = "pay"
    """What was ordered of the treasury is to be approved, and paid."""


class DebtKind(StrEnum):
    """Who owes what is left of a round."""

    TO_MEMBER = "to a member"
    TO_PAYEE = "to a payee"
    BY_MEMBER = "by a member"


class Debt(Message):
    """What is left of a round that nobody wound up."""

    kind: DebtKind
    party: Name
    """The member or the payee."""
    amount: Minor


class Watch(Message):
    """How long a duty waits for those who hold it, and to whom it passes then."""

    duty: Duty
    until: Instant
    passed: tuple[Office, ...] = ()
    """The offices that it passed to, in order: whoever holds one may act, besides those who always may."""
    line: tuple[Office, ...] = ()
    """The offices that it passes to next. When nobody is left, the round ends."""
    standing_at: Instant | None = None
    """When the standing order gives the refunds by itself, if one was approved."""
    number: Annotated[int, Field(ge=1)] = 1
    """Watches of one round are numbered, so that each passing is told once."""


class BoundUntil(StrEnum):
    """How long a commitment binds its member that leaves."""

    NOTICE_ENDS = "notice_ends"
    NEXT_TRANCHE = "next_tranche"
    END = "end"
    """All of it: the member voted for the round or its run."""


Amounts = Mapping[MemberId, Minor]
