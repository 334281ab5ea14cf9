"""What a grant does to the books. G is the grant, S its stream.

| fact | from | to |
| --- | --- | --- |
| grant_paid; grant_returned: the reverse | Liabilities:In-transit:S | Expenses:Grants:G |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, get_args

from audit.ledger.books import Posting, in_transit, moved, part
from domain.grant import events
from domain.kernel import slug_of
from domain.register import facts

if TYPE_CHECKING:
    from typing_extensions import TypeIs

MovesNothing = events.GrantRequested | events.GrantApproved | events.GrantLapsed | events.GrantReleased | facts.BankReferenceUsed
"""Facts by which no money moves. The type checker names an event that is neither here nor in `postings`."""
_MOVES_NOTHING: Final = frozenset(get_args(MovesNothing))


def _moves_nothing(event: events.GrantEvent) -> TypeIs[MovesNothing]:
    return type(event) in _MOVES_NOTHING


class Grants:
    """Books what grants state."""

    def postings(self, stream: str, event: events.GrantEvent, currency: str) -> Sequence[Posting]:
        """See `Bookkeeper.postings`."""
        if _moves_nothing(event):
            return ()
        transit, spent = in_transit(stream), f"Expenses:Grants:{part(slug_of(stream))}"
        match event:
            case events.GrantPaid(amount=amount):
                return moved(transit, spent, amount, currency)
            case events.GrantReturned(amount=amount):
                return moved(spent, transit, amount, currency)
