"""The values that a proposal's commands and events are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from domain.forms import Form
from domain.kernel import STREAM, Instant, MemberId, Message, Name, Prose, Slug
from domain.money import Amount


class Motion(Message):
    """What a passed proposal does: one command on one stream, which is authorised exactly as it is written here.

    `otherwise` is given when it does not pass; only a process that asks for a vote may say so.
    """

    stream: Annotated[str, Field(pattern=rf"^{STREAM.pattern}$", max_length=100), Form("a stream, like round/atlas-1", "round/atlas-1")]
    command: dict[str, Any]
    """A command of that stream: its kind and its fields."""
    otherwise: dict[str, Any] | None = None
    """What is given when it does not pass; a person leaves it out."""


class Option(Message):
    """One of several to choose from; with its cost when a budget is shared."""

    id: Slug
    label: Name
    cost: Amount | None = None


class Terms(Message):
    """What is voted on."""

    title: Name
    text: Prose = ""
    motion: Motion | None = None
    """What is done when it passes; the class of decision follows from it."""
    decision: Slug | None = None
    """The class of decision, where no motion tells it."""
    options: Annotated[tuple[Option, ...], Field(max_length=50)] = ()
    """What is chosen from, where options are ranked or share a budget."""
    budget: Amount | None = None
    """What the options share."""
    opens_at: Instant | None = None
    """Later than the charter's notice, when wished."""


Choice = Literal["yes", "no", "abstain", "consent", "object"]


class RollEntry(Message):
    """A seat's vote as it was frozen: whose it is, and what it weighs. Without members it is a board member's own."""

    seat: Slug
    members: tuple[MemberId, ...] = ()
    weight: int
