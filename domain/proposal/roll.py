"""Who votes, and what each vote weighs.

| seats that are active | the roll |
| --- | --- |
| none | the board, one vote each |
| fewer than the charter's `membership.founding_seats` | each seat and each board member, one vote each; who speaks for a seat that votes has no vote besides |
| as many, or more | the seats, by the weights of the class |

Related members are one seat, so nobody ends the founding quorum by splitting. It is looked at when a vote opens: when so many leave that too
few are left, founders and board decide together again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import count

from domain.charter import Charter, Office
from domain.kernel import PersonId
from domain.proposal import voting
from domain.proposal.state import Announced
from domain.proposal.terms import RollEntry
from domain.register.state import Register, Seat


def frozen(proposal: Announced, register: Register) -> tuple[RollEntry, ...]:
    """The roll of this proposal as of now, by the charter that it was made under."""
    charter = register.charters[proposal.charter_version]
    seats, board = voters(register, charter)
    if not seats or _is_founding(seats, charter):
        members = tuple(RollEntry(seat=seat.id, members=seat.members, weight=1) for seat in seats)
        return (*members, *_own_votes(board, {seat.id for seat in seats}))
    weights = voting.capped({seat.id: _weight(proposal, seat, register) for seat in seats}, proposal.rule.group_cap)
    return tuple(RollEntry(seat=seat.id, members=seat.members, weight=weights[seat.id]) for seat in seats)


def voters(register: Register, charter: Charter) -> tuple[tuple[Seat, ...], tuple[PersonId, ...]]:
    """The seats that vote, and the board members who vote beside them or in their place."""
    seats, board = register.seats(), register.holders(Office.BOARD)
    if not seats:
        return (), board
    if not _is_founding(seats, charter):
        return seats, ()
    members = [member for seat in seats for member in seat.members]
    return seats, tuple(person for person in board if not any(register.speaks_for(person, member) for member in members))


def _is_founding(seats: Sequence[Seat], charter: Charter) -> bool:
    return len(seats) < charter.membership.founding_seats


def _own_votes(board: Sequence[PersonId], taken: Set[str]) -> Iterator[RollEntry]:
    """The votes of board members. A member may have the handle of one of them: that person's vote has another name then."""
    free = (name for number in count(1) if (name := f"board-{number}") not in taken and name not in board)
    for person in board:
        if person in taken:
            yield RollEntry(seat=next(free), person=person, weight=1)
        else:
            yield RollEntry(seat=person, weight=1)


def _weight(proposal: Announced, seat: Seat, register: Register) -> int:
    """Related members weigh as one: the most votes any of their tiers has, and all that they contributed."""
    tiers, members = register.charters[proposal.charter_version].tiers, register.members
    votes = max((tiers[members[member].tier].votes for member in seat.members if members[member].tier in tiers), default=0)
    return voting.weight(proposal.rule.scheme, votes, sum(register.cleared.get(member, 0) for member in seat.members))
