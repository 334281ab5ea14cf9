"""Counting: integers only, the same whatever the order of the ballots; published examples come out as published."""

from __future__ import annotations

from itertools import product
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from domain.charter import DecisionRule, TieBreak
from domain.proposal import voting
from domain.proposal.voting import Tally

WEIGHTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 10**12), min_size=1, max_size=12)
OPTIONS = ("a", "b", "c", "d")
RANKINGS = st.lists(st.tuples(st.permutations(OPTIONS), st.integers(1, 50)), min_size=1, max_size=12)

# ---------------------------------------------------------------- weights


def test_a_seat_weighs_by_its_scheme() -> None:
    assert [voting.weight(scheme, 3, 1_000_001) for scheme in ("per_member", "per_tier", "contribution", "square_root")] == [
        1,
        3,
        1_000_001,
        1_000,
    ]


@given(WEIGHTS, st.integers(1, 10_000))
def test_no_seat_carries_more_than_the_cap_wherever_the_cap_can_hold(weights: dict[str, int], cap: int) -> None:
    capped = voting.capped(weights, cap)
    equal = max(capped.values()) == 1
    assert equal or all(held * 10_000 <= cap * sum(capped.values()) for held in capped.values())
    assert set(capped) == set(weights)


@given(WEIGHTS, st.integers(1, 10_000))
def test_the_cap_takes_from_the_heaviest_only_and_keeps_the_order(weights: dict[str, int], cap: int) -> None:
    capped = voting.capped(weights, cap)
    if any(weights.values()):
        level = max(capped.values())
        assert all(capped[seat] == min(held, level) for seat, held in weights.items())


def test_with_nothing_to_weigh_everybody_weighs_one() -> None:
    assert voting.capped({"a": 0, "b": 0}, 10_000) == {"a": 1, "b": 1}


def test_where_the_cap_cannot_hold_who_weighs_nothing_still_weighs_nothing() -> None:
    assert voting.capped({"a": 700, "b": 20, "c": 0}, 1_500) == {"a": 1, "b": 1, "c": 0}


@given(
    st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 10**12), min_size=1, max_size=12), st.integers(0, 10_000)
)
def test_the_cap_is_said_not_to_hold_exactly_where_somebody_carries_more(weights: dict[str, int], cap: int) -> None:
    capped = voting.capped(weights, cap)
    holds = all(held * 10_000 <= cap * sum(capped.values()) for held in capped.values())
    assert voting.cap_holds(weights.values(), cap) == voting.cap_holds(capped.values(), cap) == holds
    assert holds or set(capped.values()) == {1}


# ---------------------------------------------------------------- yes and no

RULE = DecisionRule(quorum_heads=5_000, quorum_weight=5_000, threshold=5_000)


def test_yes_must_be_more_than_the_threshold_and_a_tie_is_none() -> None:
    tally = Tally(4, 4)
    assert not voting.carries(RULE, tally.counted("yes", 2).counted("no", 2))
    assert voting.carries(RULE, tally.counted("yes", 3).counted("no", 2))


def test_a_threshold_of_the_whole_is_carried_when_nobody_is_against() -> None:
    unanimous, tally = DecisionRule(threshold=10_000), Tally(8, 8)
    assert voting.carries(unanimous, tally.counted("yes", 7))
    assert not voting.carries(unanimous, tally.counted("yes", 7).counted("no", 1))
    assert not voting.carries(unanimous, tally.counted("abstain", 8))


def test_of_the_whole_roll_who_abstains_or_is_silent_counts_as_if_against() -> None:
    roll = DecisionRule(threshold=5_000, threshold_of="roll")
    tally = Tally(20, 20)
    for _ in range(10):
        tally = tally.counted("abstain", 1)
    assert voting.carries(RULE, tally.counted("yes", 1)), "of the votes cast one is enough"
    assert not voting.carries(roll, tally.counted("yes", 1))
    assert not voting.carries(roll, tally.counted("yes", 10))
    assert voting.carries(roll, tally.counted("yes", 11))
    assert voting.carries(roll, tally.without(1).counted("yes", 10)), "who is recused is not on the roll"


def test_all_of_the_whole_roll_must_say_yes() -> None:
    rule, tally = DecisionRule(threshold=10_000, threshold_of="roll"), Tally(8, 8)
    assert not voting.carries(rule, tally.counted("yes", 7))
    assert voting.carries(rule, tally.counted("yes", 8))
    assert not voting.carries(rule, Tally(0, 0))


def test_who_abstains_counts_for_the_quorum_only() -> None:
    tally = Tally(2, 2).counted("abstain", 1)
    assert voting.has_quorum(RULE, tally)
    assert not voting.carries(RULE, tally)


def test_a_quorum_needs_heads_and_weight() -> None:
    heavy = Tally(4, 100).counted("yes", 97)
    assert not voting.has_quorum(RULE, heavy)
    assert not voting.has_quorum(RULE, Tally(4, 100).counted("yes", 1).counted("yes", 1))
    assert voting.has_quorum(RULE, heavy.counted("no", 1))


@given(st.lists(st.tuples(st.sampled_from(("yes", "no", "abstain")), st.integers(1, 9)), max_size=8))
def test_taking_a_ballot_back_undoes_counting_it(ballots: list[tuple[str, int]]) -> None:
    tally = start = Tally(9, 90)
    for choice, held in ballots:
        tally = tally.counted(choice, held)
    for choice, held in reversed(ballots):
        tally = tally.counted(choice, held, -1)
    assert tally == start


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.sampled_from((0, 5_000, 6_667, 10_000)),
    st.sampled_from(("votes", "roll")),
    st.data(),
)
def test_a_settled_vote_ends_alike_whatever_the_others_do(
    weights: list[int], threshold: int, threshold_of: Literal["votes", "roll"], data: st.DataObject
) -> None:
    rule = DecisionRule(quorum_heads=5_000, quorum_weight=5_000, threshold=threshold, threshold_of=threshold_of)
    voted = data.draw(st.integers(0, len(weights)))
    tally = Tally(len(weights), sum(weights))
    for held in weights[:voted]:
        tally = tally.counted(data.draw(st.sampled_from(("yes", "no", "abstain"))), held)
    if not voting.is_settled(rule, tally):
        return
    ends = set()
    for choices in product(("yes", "no", "abstain", ""), repeat=len(weights) - voted):
        end = tally
        for choice, held in zip(choices, weights[voted:], strict=True):
            end = end.counted(choice, held) if choice else end
        ends.add((voting.has_quorum(rule, end), voting.carries(rule, end)))
    assert len(ends) == 1


def test_lazy_consensus_fails_by_enough_weight_only() -> None:
    lazy = DecisionRule(method="lazy", objection=2_500)
    assert voting.carries(lazy, Tally(4, 4))
    assert not voting.carries(lazy, Tally(4, 4).counted("object", 1))
    assert voting.carries(lazy, Tally(5, 5).counted("object", 1))


def test_nobody_is_nobodys_quorum() -> None:
    for method in ("weighted", "lazy", "ranked", "budget"):
        rule = DecisionRule(method=method, quorum_heads=0, quorum_weight=0)
        assert not voting.has_quorum(rule, Tally(0, 0))
        assert voting.is_settled(rule, Tally(0, 0))


def test_the_quorum_is_rounded_up_and_one_seat_at_least() -> None:
    assert voting.quorum(RULE, Tally(7, 21)) == (4, 11)
    assert voting.quorum(DecisionRule(quorum_heads=0, quorum_weight=0), Tally(7, 21)) == (1, 0)
    assert voting.quorum(DecisionRule(method="lazy"), Tally(7, 21)) == (0, 0)


# ---------------------------------------------------------------- ranked choice


def test_schulzes_published_example_comes_out_as_published() -> None:
    ballots = [("ACBED", 5), ("ADECB", 5), ("BEDAC", 8), ("CABED", 3), ("CAEBD", 7), ("CBADE", 2), ("DCEBA", 7), ("EBADC", 8)]
    assert voting.schulze("ABCDE", ballots) == (("E",), ("A",), ("C",), ("B",), ("D",))


def test_options_nobody_prefers_are_tied() -> None:
    assert voting.schulze(OPTIONS, [(("a",), 3)]) == (("a",), ("b", "c", "d"))
    assert voting.schulze(("x", "y"), [(("x", "y"), 1), (("y", "x"), 1)]) == (("x", "y"),)


@given(RANKINGS, st.randoms(use_true_random=False))
def test_the_order_of_ballots_and_options_changes_nothing(ballots: list[tuple[tuple[str, ...], int]], chance: object) -> None:
    shuffled, options = list(ballots), list(OPTIONS)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    chance.shuffle(options)  # type: ignore[attr-defined]
    assert voting.schulze(options, shuffled) == voting.schulze(OPTIONS, ballots)


@given(RANKINGS)
def test_who_beats_everybody_one_by_one_wins(ballots: list[tuple[tuple[str, ...], int]]) -> None:
    def beats(a: str, b: str) -> bool:
        margin = sum(held if ranking.index(a) < ranking.index(b) else -held for ranking, held in ballots)
        return margin > 0

    order = voting.schulze(OPTIONS, ballots)
    for option in OPTIONS:
        if all(beats(option, other) for other in OPTIONS if other != option):
            assert order[0] == (option,)
    assert sorted(option for group in order for option in group) == sorted(OPTIONS)


TIED = (("a", "c"), ("b",))
BALLOTS = (("a", "c"), ("c", "a"), ("c",))
"""By heads c is before a."""


def test_what_is_tied_is_told_as_tied_where_the_charter_breaks_no_ties() -> None:
    assert voting.without_ties(TIED, frozenset(), OPTIONS, BALLOTS) == TIED


def test_a_tie_is_broken_by_heads_and_then_by_the_order_of_the_proposal() -> None:
    assert voting.without_ties(TIED, frozenset({"heads"}), OPTIONS, BALLOTS) == (("c",), ("a",), ("b",))
    assert voting.without_ties(TIED, frozenset({"heads"}), OPTIONS, BALLOTS[:2]) == TIED
    assert voting.without_ties(TIED, frozenset({"listed"}), ("c", "b", "a"), BALLOTS[:1]) == (("c",), ("a",), ("b",))
    assert voting.without_ties(TIED, frozenset({"heads", "listed"}), ("a", "b", "c"), BALLOTS) == (("c",), ("a",), ("b",))
    assert voting.without_ties(TIED, frozenset({"heads", "listed"}), ("c", "b", "a"), BALLOTS[:2]) == (("c",), ("a",), ("b",))


@given(RANKINGS, st.sets(st.sampled_from(("heads", "listed"))))
def test_tie_breaks_only_take_apart_what_was_tied(ballots: list[tuple[tuple[str, ...], int]], breaks: set[TieBreak]) -> None:
    counted = voting.schulze(OPTIONS, ballots)
    order = voting.without_ties(counted, frozenset(breaks), OPTIONS, [ranking for ranking, _ in ballots])
    for group in counted:
        parts = [part for part in order if set(part) <= set(group)]
        assert sorted(option for part in parts for option in part) == sorted(group)
    places = [next(place for place, group in enumerate(counted) if set(part) <= set(group)) for part in order]
    assert places == sorted(places)
    assert "listed" not in breaks or all(len(part) == 1 for part in order)


# ---------------------------------------------------------------- sharing a budget

APPROVALS = st.lists(st.tuples(st.frozensets(st.sampled_from(OPTIONS)), st.integers(0, 20)), max_size=8)
COSTS = st.fixed_dictionaries(dict.fromkeys(OPTIONS, st.integers(1, 100)))


@given(COSTS, st.integers(0, 300), APPROVALS)
def test_a_budget_is_never_overspent_and_nobody_pays_for_what_nobody_wants(
    costs: dict[str, int], budget: int, ballots: list[tuple[frozenset[str], int]]
) -> None:
    funded = voting.equal_shares(costs, budget, ballots)
    assert sum(costs[project] for project in funded) <= budget
    assert len(set(funded)) == len(funded)
    assert all(any(project in liked and weight for liked, weight in ballots) for project in funded)


@given(COSTS, st.integers(0, 300), APPROVALS)
def test_the_order_of_ballots_changes_no_budget(costs: dict[str, int], budget: int, ballots: list[tuple[frozenset[str], int]]) -> None:
    assert voting.equal_shares(costs, budget, ballots) == voting.equal_shares(costs, budget, ballots[::-1])


def test_a_minority_gets_its_share_of_the_budget() -> None:
    ballots = [(frozenset({"a", "b", "c"}), 2), (frozenset({"d"}), 1)]
    assert voting.equal_shares({"a": 10, "b": 10, "c": 10, "d": 10}, 30, ballots) == ("a", "b", "d")


@given(COSTS, st.integers(0, 300), APPROVALS)
def test_voters_who_approve_the_same_are_as_one_of_their_weight(
    costs: dict[str, int], budget: int, ballots: list[tuple[frozenset[str], int]]
) -> None:
    merged: dict[frozenset[str], int] = {}
    for liked, weight in ballots:
        merged[liked] = merged.get(liked, 0) + weight
    assert voting.equal_shares(costs, budget, ballots) == voting.equal_shares(costs, budget, list(merged.items()))


def test_a_hundred_ballots_on_fifty_options_are_counted() -> None:
    options = [f"option-{number:02}" for number in range(50)]
    ranked = [(tuple(options[seat * 7 % 50 :] + options[: seat * 7 % 50]), seat + 1) for seat in range(100)]
    approved = [
        (frozenset(option for place, option in enumerate(options) if (seat * 2_654_435_761 >> place % 30) & 1), seat + 1)
        for seat in range(100)
    ]
    assert sorted(option for group in voting.schulze(options, ranked) for option in group) == options
    costs = {option: 10**9 + place for place, option in enumerate(options)}
    funded = voting.equal_shares(costs, 20 * 10**9, approved)
    assert sum(costs[option] for option in funded) <= 20 * 10**9
