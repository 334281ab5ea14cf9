"""What nobody gains by: leaving before others or after them, and splitting one company into two related members.

Members leave a round by every door, at one instant and in any order; then it is lived to its end, and everybody's account is the same to the last
unit. A company pledges and votes alone, or as two members of which one holds the other, which is known before the pledges or after them. Each law
is shown to catch a mistake that is planted in the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain import letters
from domain.charter import FundingTerms
from domain.kernel import SERVICE, Command, Event
from domain.money import share, share_under_caps
from domain.process import Context
from domain.proposal import roll
from domain.register.facts import ContributionCleared, Holding, OwnershipDeclared
from domain.register.state import Register, Seat
from domain.round import commands as round_commands
from domain.round import leaving
from domain.round import pledging as pledging_rules
from domain.round.allocation import summed
from domain.round.books import Books
from domain.round.rules import terms_of
from tests.rounds import books
from tests.stories import Story, charter, founded, noted, with_members
from tests.test_proposal import admission, weights_of
from tests.test_round import RELEASE, everybody_pays, knowing, opposed, paid, pledged, pledging, rules, until

pytestmark = pytest.mark.heavy


def examples(number: int, *, shortest: bool = True) -> settings:
    """So many, the same in every run; the first that breaks a law is made as short as it can be if `shortest`."""
    return settings(
        max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shortest else (Phase.generate,),
    )  # fmt: skip


# ---------------------------------------------------------------- leaving

MEMBERS: Final = ("ada", "bel", "cyd", "dov", "eli", "fay")
DOORS: Final = ("exit", "notice", "notice after a yes", "the end of the notice")


@dataclass(frozen=True)
class Leaving:
    """A round that some of its members leave at one instant."""

    pledges: Mapping[str, int]
    terms: Mapping[str, Any]
    """What the charter says of leavers."""
    minimum: int
    tranches: int
    """So many are called before."""
    behind: frozenset[str]
    """Who has not paid the last of them yet, and is not late."""
    doors: Mapping[str, str]
    """Who leaves, and by which door."""

    def before(self) -> Story:
        """The round at that instant."""
        story = pledged(pledging(rules(**self.terms), minimum=self.minimum), **self.pledges).due()
        for tranche in range(1, self.tranches + 1):
            story = called(everybody_pays(story), tranche)
        for member, figures in books(story.state.state).items():
            story = paid(story, member, figures["debt"]) if figures["debt"] and member not in self.behind else story
        by = {door: tuple(member for member, chosen in self.doors.items() if chosen == door) for door in DOORS}
        return opposed(story, no=by["exit"], yes=by["notice after a yes"])

    def lived(self, order: Sequence[str]) -> tuple[list[Mapping[str, Any]], Counter[str]]:
        """Everybody's account after they left in this order, and at the end; and how often each event came about."""
        story, seen = self.before(), Counter[str]()
        for member in order:
            story = given_to(story, *exit_of(member, self.doors[member]))
            seen.update(event.kind for event in story.answer)
        left = accounts(story)
        story = self.to_its_end(story, order)
        return [left, accounts(story)], seen + Counter([story.phase])

    def to_its_end(self, story: Story, order: Sequence[str]) -> Story:
        """All is called and paid, notices are over, and the round is settled; or nobody decides on one that fell below its minimum."""
        steps: list[Callable[[Story], Story]] = [everybody_pays]
        for tranche in range(self.tranches + 1, 3):
            steps += [partial(called, tranche=tranche), everybody_pays]
        over = [letters.ReleaseLeaver(member=member, notice_over=True) for member in order if self.doors[member] == "notice"]
        steps += [partial(given_to, command=letter) for letter in over]
        steps += [everybody_pays, partial(given_to, command=round_commands.SettleRound(), by="tess")]
        for step in steps:
            if story.phase == "endangered":
                return until(story, "cancel_round")
            story = step(story)
        return story


def called(story: Story, tranche: int) -> Story:
    """The tranche is released, and called."""
    return given_to(story.when(RELEASE) if tranche == 2 else story, round_commands.CallTranche(tranche=tranche), "tess")


def exit_of(member: str, door: str) -> tuple[Command, str]:
    """The command by which a member leaves, and who gives it."""
    if door == "exit":
        return round_commands.ExitRound(member=member, proposal="proposal/smaller"), f"rep-{member}"
    return letters.ReleaseLeaver(member=member, notice_over=door == "the end of the notice"), SERVICE


def given_to(story: Story, command: Command, by: str = SERVICE) -> Story:
    """The story after a command that is not refused."""
    story = story.when(command, by=by)
    assert story.refusal is None, story.refusal
    return story


def accounts(story: Story) -> Mapping[str, Any]:
    """What each member has in the round, owes to it, and is bound to, and where the round stands."""
    register = story.register
    return {
        "phase": story.phase,
        "books": {member: dict(figures) for member, figures in books(story.state.state).items()},
        "bound": {member: dict(sources) for member, sources in register.commitments.items()},
        "kept": {member: dict(sources) for member, sources in register.still_bound.items()},
        "owed": {member: dict(debts) for member, debts in register.debts.items()},
    }


ROUNDS: Final = st.builds(
    Leaving,
    pledges=st.fixed_dictionaries(dict.fromkeys(MEMBERS, st.integers(150_000, 300_000))),
    terms=st.fixed_dictionaries(
        {
            "funding__leaver_bound_until": st.sampled_from(("notice_given", "notice_ended", "next_tranche")),
            "funding__leaving_charge": st.sampled_from((0, 1, 1_500, 10_000)),
            "funding__leaver_funds_called": st.booleans(),
        }
    ),
    minimum=st.sampled_from((1, 1, 700_000)),
    tranches=st.integers(0, 2),
    behind=st.frozensets(st.sampled_from(MEMBERS)),
    doors=st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(DOORS), min_size=2, max_size=4),
)


def try_exits(number: int, *, shortest: bool = True) -> Counter[str]:
    """Holds so many rounds to the law, and tells how often each event came about in them."""
    seen = Counter[str]()

    @examples(number, shortest=shortest)
    @given(ROUNDS, st.randoms(use_true_random=False))
    def in_any_order(round_: Leaving, chance: Any) -> None:
        order = sorted(round_.doors)
        one, events = round_.lived(order)
        chance.shuffle(order)
        other, _ = round_.lived(order)
        assert one == other
        seen.update(events)

    in_any_order()
    return seen


FLOOR: Final = {"commitment_released": 40, "leaving_charged": 10, "leaver_bound": 10, "minimum_lost": 3, "refunding": 30}
"""How often each must have come about, so that the law was tried on it: `refunding` is where all rounds end here."""


def test_what_is_left_to_everybody_does_not_depend_on_the_order_in_which_members_leave(*, long: bool) -> None:
    seen = try_exits(1_000 if long else 60)
    rare = {kind: seen[kind] for kind, least in FLOOR.items() if seen[kind] < least}
    assert not rare, f"came about too rarely: {rare}"


def test_a_planted_mistake_that_charges_the_later_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def dearer(context: Context, kept: Books) -> FundingTerms:
        terms = terms_of(context, kept)
        gone = sum(account.releases > 0 for account in kept.accounts.values())
        return terms.model_copy(update={"leaving_charge": min(terms.leaving_charge * (1 + gone), 10_000)})

    monkeypatch.setattr(leaving, "terms_of", dearer)
    with pytest.raises(AssertionError):
        try_exits(200, shortest=False)


# ---------------------------------------------------------------- splitting

ONE, SISTER = "ada", "eli"
RELATED: Final = OwnershipDeclared(member=SISTER, holdings=(Holding(holder=ONE, fraction=9_000),))
CAP: Final = 400_000
"""What one seat may carry of the round."""
Pledges = Mapping[str, tuple[int, int]]
"""What each member pledges, and from which total on it counts."""


def shared_out(pledges: Pledges, *, before: Sequence[Event] = (), after: Sequence[Event] = ()) -> Mapping[str, int] | None:
    """What each member is allocated, when this becomes known before the pledges and after them; nothing when a pledge is refused."""
    story = knowing(pledging(rules(), minimum=1), *before)
    for member, (amount, total) in pledges.items():
        story = story.when(round_commands.Pledge(member=member, amount=amount, if_total_at_least=total or None), by=f"rep-{member}")
        if story.refusal is not None:
            assert story.refusal.rule == "pledge_above_cap"
            return None
    story = knowing(story, *after).due()
    if story.phase == "short":
        return {}
    return {member: figures["committed"] for member, figures in books(story.state.state).items()}


AMOUNT: Final = st.integers(20_000, CAP) | st.just(CAP)
TOTAL: Final = st.sampled_from((0, 0, 500_000, 900_000, 1_300_000))
PROMISE: Final = st.tuples(AMOUNT, TOTAL)


def try_pledges(number: int, *, shortest: bool = True) -> Counter[str]:
    """Holds so many rounds to the law, and tells how often a seat pledged more than it may carry, and was scaled back."""
    seen = Counter[str]()

    @examples(number, shortest=shortest)
    @given(
        PROMISE,
        PROMISE,
        st.dictionaries(st.sampled_from(("bel", "cyd", "dov", "fay")), PROMISE, min_size=2),
        st.sampled_from(("before", "after")),
    )
    def split(one: tuple[int, int], sister: tuple[int, int], others: Pledges, known: str) -> None:
        apart = shared_out({ONE: one, SISTER: sister, **others}, **{known: (RELATED,)})
        if apart is None:
            assert one[0] + sister[0] > CAP
            seen["refused"] += 1
            return
        both = min(one[0] + sister[0], CAP)
        alone = [shared_out({ONE: promise, **others}) for promise in ((both, max(one[1], sister[1])), one, sister)]
        merged = {ONE: apart.get(ONE, 0) + apart.get(SISTER, 0), **{member: apart.get(member, 0) for member in others}}
        assert merged in [{member: found.get(member, 0) for member in merged} for found in alone if found is not None]
        seen["above"] += one[0] + sister[0] > CAP
        seen["scaled"] += merged[ONE] not in {0, both}

    split()
    return seen


def test_nobody_is_allocated_more_by_splitting_into_two_related_members(*, long: bool) -> None:
    seen = try_pledges(2_000 if long else 150)
    assert min(seen["refused"], seen["above"], seen["scaled"]) >= 10, seen


TIERS: Final = ("founding", "partner", "associate")
SIX: Final = ("ada", "bel", "cyd", "dov", "gil", "hal")


def weighed(scheme: str, members: Mapping[str, tuple[str, int]], *known: Event) -> Mapping[str, int]:
    """What each seat weighs when a vote opens."""
    register = founded(charter(decisions__admission__scheme=scheme, membership__founding_seats=3))
    for member, (tier, cleared) in members.items():
        register = with_members(register, member, tier=tier)
        register = noted(register, ContributionCleared(member=member, source="round/atlas-1", amount=cleared)) if cleared else register
    return weights_of(admission(noted(register, *known)))


def try_votes(number: int, *, shortest: bool = True) -> None:
    """Holds so many rolls to the law."""
    joined = st.tuples(st.sampled_from(TIERS), st.integers(0, 10**6))

    @examples(number, shortest=shortest)
    @given(
        st.sampled_from(("per_member", "per_tier", "contribution", "square_root")), joined, st.integers(0, 10**6),
        st.dictionaries(st.sampled_from(SIX[1:]), joined),
    )  # fmt: skip
    def split(scheme: str, one: tuple[str, int], apart: int, others: Mapping[str, tuple[str, int]]) -> None:
        tier, cleared = one
        alone = weighed(scheme, {ONE: (tier, cleared + apart), **others})
        assert weighed(scheme, {ONE: one, SISTER: (tier, apart), **others}, RELATED) == alone

    split()


def test_nobody_weighs_more_in_a_vote_by_splitting_into_two_related_members(*, long: bool) -> None:
    try_votes(1_000 if long else 80)


def _knows_no_relations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Register, "seat_of", lambda _, member: member)


def _shares_out_by_what_is_above_the_cap_too(patch: pytest.MonkeyPatch) -> None:
    def by_all(goal: int, pledges: Mapping[str, int], seats: Mapping[str, str], cap: int) -> Mapping[str, int]:
        by_seat = summed(pledges, seats)
        granted = share_under_caps(goal, by_seat, {seat: min(amount, cap) for seat, amount in by_seat.items()})
        of_seat = {seat: {member: amount for member, amount in pledges.items() if seats[member] == seat} for seat in granted}
        split = (share(granted[seat], amounts) for seat, amounts in of_seat.items())
        return {member: amount for shares in split for member, amount in shares.items() if amount}

    patch.setattr(pledging_rules, "allocate", by_all)


def _adds_up_the_votes_of_tiers(patch: pytest.MonkeyPatch) -> None:
    def added(proposal: Any, seat: Seat, register: Register) -> int:
        return sum(weight(proposal, Seat(seat.id, (member,)), register) for member in seat.members)

    weight = roll._weight
    patch.setattr(roll, "_weight", added)


@pytest.mark.parametrize(
    ("plant", "law"),
    [
        (_knows_no_relations, try_pledges), (_shares_out_by_what_is_above_the_cap_too, try_pledges),
        (_knows_no_relations, try_votes), (_adds_up_the_votes_of_tiers, try_votes),
    ],
    ids=lambda each: each.__name__.strip("_"),
)  # fmt: skip
def test_a_planted_mistake_by_which_who_splits_gains_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], law: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        law(200, shortest=False)
