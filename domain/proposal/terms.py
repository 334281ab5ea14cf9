"""The values that a proposal's commands and events are made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from domain.kernel import MemberId, Message, PersonId, Slug, is_empty

Choice = Literal["yes", "no", "abstain", "consent", "object"]


class RollEntry(Message):
    """A seat's vote as it was frozen: whose it is, and what it weighs. Without members it is a board member's own."""

    seat: Slug
    members: tuple[MemberId, ...] = ()
    weight: int
    person: PersonId | None = Field(default=None, exclude_if=is_empty)
    """The board member whose vote it is, where the seat does not have their handle: a member has it."""

    @property
    def voter(self) -> PersonId:
        """Whose own vote it is, where it is no member's."""
        assert not self.members, "a member's vote is nobody's own"
        return self.person or self.seat
