"""The values that a proposal's commands and events are made of."""

from __future__ import annotations

from typing import Literal

from domain.kernel import MemberId, Message, Slug

Choice = Literal["yes", "no", "abstain", "consent", "object"]


class RollEntry(Message):
    """A seat's vote as it was frozen: whose it is, and what it weighs. Without members it is a board member's own."""

    seat: Slug
    members: tuple[MemberId, ...] = ()
    weight: int
