"""What stories and laws of funding rounds look at."""

from __future__ import annotations

from collections.abc import Mapping

from domain.kernel import MemberId, mapping
from domain.round.books import by_state
from domain.round.state import Pledging, RoundState, Short, books_of


def books(state: RoundState) -> Mapping[MemberId, Mapping[str, int]]:
    """Each member's money, each state of it by name, in order of the members."""
    found = books_of(state)
    if found is None:
        pledges = state.pledges if isinstance(state, Pledging) else state.pledging.pledges if isinstance(state, Short) else mapping()
        return {member: {"pledged": pledge.amount} for member, pledge in sorted(pledges.items())}
    return {member: {**by_state(account.figures), "debt": account.debt} for member, account in sorted(found.accounts.items())}
