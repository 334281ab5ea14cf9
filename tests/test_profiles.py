"""Whatever becomes of the money of a round, the books of the log are right: for the bank, for the treasury, and for two accounting programs.

| a profile has | and ends |
| --- | --- |
| three to eight members with pledges of their own, one to four tranches, late joiners, who stands in, who leaves | settled, cancelled by vote or for a shortfall, failed, or left as it is |
| payments in time, late, in part, too much, never; deliveries accepted and rejected; a stranger's money | with every cent where bank, treasury and ledger say it is |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from audit.ledger.books import Booking, Posting
from audit.ledger.fold import ledger
from audit.ledger.treasury import bank
from tests.chaos.checks import problems
from tests.profiles import TREASURY, Played, begun, play
from tests.test_ledger import accepted_by_others

pytestmark = pytest.mark.heavy

PROFILES = 15
LONG = 1_000
AT_A_TIME = 50
"""The books of so many profiles are given to the programs at once: each has accounts of its own there."""
FLOOR = (
    "call_tranche",
    "deliver_in_kind",
    "accept_in_kind",
    "join_late",
    "take_over",
    "give_notice",
    "propose_spending",
    "order_refunds",
    "settle_round",
)


def apart(seed: int, bookings: Sequence[Booking]) -> Iterator[Booking]:
    """The bookings of a profile on accounts that no other profile has."""
    for booking in bookings:
        yield replace(booking, postings=tuple(_apart(seed, posting) for posting in booking.postings))


def _apart(seed: int, posting: Posting) -> Posting:
    kind, rest = posting.account.split(":", 1)
    return replace(posting, account=f"{kind}:P{seed:04}:{rest}")


async def books_of(played: Played) -> Sequence[Booking]:
    """The bookings of a profile, after every law of the log and of its account was tried on it."""
    assert problems(played.entries) == [], f"seed {played.seed}"
    books, state = await ledger(played.log), played.simulation.stream(TREASURY).state
    assert books.balance(bank("main"), "USD") == state.balances["USD"], f"seed {played.seed}"
    assert played.simulation.bank.balance == state.balances["USD"] >= 0, f"seed {played.seed}"
    return books.bookings


@pytest.mark.timeout(3_600)
async def test_the_books_of_every_profile_of_money_are_accepted_by_others(tmp_path: Path, *, long: bool) -> None:
    beginning, accepted, refused, phases = await begun(), Counter[str](), Counter[str](), Counter[str]()
    together: list[Booking] = []
    number = LONG if long else PROFILES
    for seed in range(number):
        played = await play(beginning, seed)
        accepted, refused = accepted + played.accepted, refused + played.refused
        phases[played.simulation.standing("round/atlas-1").headline.phase] += 1
        together += apart(seed, await books_of(played))
        if (seed + 1) % AT_A_TIME == 0 or seed + 1 == number:
            accepted_by_others(sorted(together, key=lambda booking: booking.on), tmp_path)
            together.clear()
    rare = [kind for kind in FLOOR if accepted[kind] < (number // 50 if long else 1)]
    assert len(rare) <= (0 if long else 2), f"hardly ever accepted: {rare}, of {accepted}; {phases}; refused: {refused}"


async def test_a_cent_that_is_booked_on_one_side_only_is_found(tmp_path: Path) -> None:
    books = [*apart(0, await books_of(await play(await begun(), 0)))]
    first, *others = books[-1].postings
    books[-1] = replace(books[-1], postings=(replace(first, amount=first.amount + 1), *others))
    with pytest.raises(AssertionError, match="balance"):
        accepted_by_others(books, tmp_path)
