"""The arithmetic of a funding round: who counts, who gets how much, what a call asks for, what waiting costs.

Integers in, integers out. Every split sums exactly and does not depend on the order of the members.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.kernel import WHOLE, MemberId, Slug
from domain.money import share, share_under_caps

YEAR_DAYS: Final = 360
"""Actual/360: the days that passed over a year of 360, the money market's convention."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a member pledged, and from which total of the round on the pledge counts."""

    amount: int
    if_total_at_least: int = 0
    condition: str = ""
    """What the member says about it; it binds nobody."""


def part(amount: int, fraction: int) -> int:
    """So many basis points of an amount, rounded down."""
    return amount * fraction // WHOLE


def interest(principal: int, rate: int, days: int) -> int:
    """Simple interest actual/360 at `rate` basis points a year, rounded down; none for days that are not over."""
    return principal * rate * max(days, 0) // (WHOLE * YEAR_DAYS)


def counted(promises: Mapping[MemberId, Promise], seats: Mapping[MemberId, Slug], cap: int) -> dict[MemberId, int]:
    """The largest set of pledges that all hold: each condition is met by the total of those that count.

    A seat counts up to its cap, whatever its members pledged. Taking a pledge out only lowers the total, so the pledge with
    the highest condition falls first, and what is left when the highest is met is the largest set.
    """
    by_seat = summed({member: promise.amount for member, promise in promises.items()}, seats)
    total = sum(min(cap, amount) for amount in by_seat.values())
    strictest = [(-promise.if_total_at_least, member) for member, promise in promises.items()]
    heapq.heapify(strictest)
    while strictest and -strictest[0][0] > total:
        _, member = heapq.heappop(strictest)
        seat, before = seats[member], by_seat[seats[member]]
        by_seat[seat] = before - promises[member].amount
        total -= min(cap, before) - min(cap, by_seat[seat])
    return {member: promises[member].amount for _, member in sorted(strictest, key=lambda entry: entry[1])}


def allocate(goal: int, pledges: Mapping[MemberId, int], seats: Mapping[MemberId, Slug], cap: int) -> dict[MemberId, int]:
    """Each member's commitment: the pledges, each seat's up to its cap, scaled back to the goal by largest remainder.

    What a seat pledged beyond its cap counts for nothing: members may be known to be related only after they pledged.
    """
    by_seat = {seat: min(amount, cap) for seat, amount in summed(pledges, seats).items()}
    granted = share(min(goal, sum(by_seat.values())), by_seat)
    members: dict[Slug, dict[MemberId, int]] = {}
    for member, amount in pledges.items():
        members.setdefault(seats[member], {})[member] = amount
    split = (share(granted[seat], amounts) for seat, amounts in members.items())
    return {member: amount for shares in split for member, amount in shares.items() if amount}


def summed(amounts: Mapping[MemberId, int], seats: Mapping[MemberId, Slug]) -> dict[Slug, int]:
    """The amounts of related members together."""
    totals: dict[Slug, int] = {}
    for member, amount in amounts.items():
        totals[seats[member]] = totals.get(seats[member], 0) + amount
    return totals


def concentration(by_seat: Mapping[Slug, int]) -> int:
    """The Herfindahl-Hirschman index in basis points: 10,000 when one seat carries all."""
    return index(sum(amount * amount for amount in by_seat.values()), sum(by_seat.values()))


def index(squares: int, total: int) -> int:
    """The same, of amounts with this sum of squares and this sum."""
    return squares * WHOLE // (total * total) if total else 0


def tranche(uncalled: Mapping[MemberId, int], need: int, fraction: int, remaining: int) -> dict[MemberId, int]:
    """What one tranche calls: its fraction of the remaining ones, of what is uncalled and still needed, in proportion.

    The last tranche calls all that is needed, so rounding never accumulates. Nobody is called for more than is uncalled.
    """
    total = min(sum(uncalled.values()), max(need, 0)) * fraction // remaining
    return {member: amount for member, amount in share(total, uncalled).items() if amount} if total else {}


def make_up(gap: int, own_calls: Mapping[MemberId, int], cap: int, before: Mapping[MemberId, int]) -> dict[MemberId, int]:
    """What the others are called for instead of those who did not pay, each at most a fraction of the own call, with what it made up before."""
    caps = {member: part(amount, cap) - before.get(member, 0) for member, amount in own_calls.items()}
    return {member: amount for member, amount in share_under_caps(gap, own_calls, caps).items() if amount}
