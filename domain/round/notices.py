"""Notices to the members of a round, and what each of them has to pay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from domain.kernel import MemberId, mapping
from domain.process import Context
from domain.reference import creditor_reference, shown_reference
from domain.round import events
from domain.round.books import Books
from domain.round.rules import Events, amount_text
from domain.stream import StepOwed, owe_notices


def notify_members(
    template: str,
    members: Iterable[MemberId],
    key: str,
    *,
    each: Mapping[MemberId, Mapping[str, str]] = mapping(),
    **facts: str | int,
) -> Iterator[StepOwed]:
    """The steps that notify members, in their order, each of what concerns nobody else."""
    to = [f"member:{member}" for member in sorted(members)]
    own = {f"member:{member}": alone for member, alone in each.items()}
    return owe_notices(template, to, f"notice:{key}", facts, each=own)


def bills(context: Context, books: Books, owed: Mapping[MemberId, int]) -> dict[MemberId, dict[str, str]]:
    """How much each member is to pay, and the reference by which its money is known."""
    return {
        member: {"amount": amount_text(books, amount), "reference": shown_reference(creditor_reference(context.stream, member))}
        for member, amount in owed.items()
    }


def left_to_pay(charged: Mapping[MemberId, int], number: int, decided: Events) -> dict[MemberId, int]:
    """What each member has to pay of a call, when these events let credit pay a part of what it was charged."""
    left = dict(charged)
    for event in decided:
        if isinstance(event, events.CreditApplied) and event.member in left:
            left[event.member] -= sum(part.total for part in event.settled if part.call == number)
    return left
