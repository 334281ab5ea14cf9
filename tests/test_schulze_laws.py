"""Ranked choice: what Schulze proved of his method holds here, and an outside judge says the same of every vote.

| law | a method that breaks it |
| --- | --- |
| Pareto: what everybody ranks above another stands above it; what nobody ranks below another never stands below it | the last ballot decides |
| who beats everybody one by one wins alone | Borda's points, and the single transferable vote |
| clones: an option in many copies wins when it would win alone, and changes nothing for the others | Borda's points |
| monotone: a winner that is ranked higher still wins | the single transferable vote |
| the order, and every strongest path, is what `belenios-tool` finds | strengths of votes for alone, which took four of 600 wrong |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.proposal import voting
from tests import belenios
from tests.belenios import Ballots, Order

Method = Callable[[Sequence[str], Ballots], Order]
CLONES: Final = ("x", "y")


@dataclass(frozen=True)
class Profile:
    """A ranked vote, and what the laws change in it: which option, in which ballots."""

    options: tuple[str, ...]
    ballots: Ballots
    option: str
    changed: tuple[int, ...]
    """For each ballot how far the option is raised, or in which order its clones stand."""


@st.composite
def _profiles(draw: st.DrawFn) -> Profile:
    options = tuple("abcd"[: draw(st.integers(2, 4))])
    ranking = st.lists(st.sampled_from(options), min_size=1, max_size=len(options), unique=True).map(tuple)
    ballots = tuple(draw(st.lists(st.tuples(ranking, st.integers(1, 6)), min_size=1, max_size=6)))
    raised = tuple(draw(st.integers(0, 3)) for _ in ballots)
    return Profile(options, ballots, draw(st.sampled_from(options)), raised)


PROFILES = _profiles()


def place(order: Order, option: str) -> int:
    """The group of an option, from the front."""
    return next(number for number, group in enumerate(order) if option in group)


def ranked(ballot: Sequence[str], option: str) -> int:
    """The place of an option on a ballot; what is left out is last."""
    return ballot.index(option) if option in ballot else len(ballot)


def laws_broken(method: Method, profile: Profile) -> Iterator[str]:
    """The laws that a method breaks in this vote."""
    order = method(profile.options, profile.ballots)
    yield from _pareto(order, profile)
    if not _has_condorcets_winner_in_front(order, profile):
        yield "who beats everybody one by one wins alone"
    if not _ignores_clones(method, order, profile):
        yield "clones change nothing"
    if profile.option in order[0] and profile.option not in method(profile.options, _raised(profile))[0]:
        yield "a winner that is ranked higher still wins"


def _pareto(order: Order, profile: Profile) -> Iterator[str]:
    for one in profile.options:
        for other in set(profile.options) - {one}:
            places = [(ranked(ballot, one), ranked(ballot, other)) for ballot, _ in profile.ballots]
            if all(a < b for a, b in places) and place(order, one) >= place(order, other):
                yield "what everybody ranks above another stands above it"
            if all(a <= b for a, b in places) and place(order, one) > place(order, other):
                yield "what nobody ranks below another never stands below it"


def _margin(profile: Profile, one: str, other: str) -> int:
    return sum(
        weight * ((ranked(ballot, one) < ranked(ballot, other)) - (ranked(ballot, other) < ranked(ballot, one)))
        for ballot, weight in profile.ballots
    )


def _has_condorcets_winner_in_front(order: Order, profile: Profile) -> bool:
    winner = [one for one in profile.options if all(_margin(profile, one, other) > 0 for other in profile.options if other != one)]
    return not winner or order[0] == tuple(winner)


def _ignores_clones(method: Method, order: Order, profile: Profile) -> bool:
    """The option is replaced by two that stand in its place on every ballot, in the one order or the other."""

    def cloned(ballot: Sequence[str], turned: int) -> tuple[str, ...]:
        return tuple(name for each in ballot for name in ((CLONES[:: -1 if turned % 2 else 1]) if each == profile.option else (each,)))

    ballots = tuple((cloned(ballot, turned), weight) for (ballot, weight), turned in zip(profile.ballots, profile.changed, strict=True))
    first = set(method((*(each for each in profile.options if each != profile.option), *CLONES), ballots)[0])
    return first - set(CLONES) == set(order[0]) - {profile.option} and bool(first & set(CLONES)) == (profile.option in order[0])


def _raised(profile: Profile) -> Ballots:
    """The option stands some places higher on the ballots that name it, the others in their order."""

    def raised(ballot: tuple[str, ...], by: int) -> tuple[str, ...]:
        rest = tuple(each for each in ballot if each != profile.option)
        at = max(ranked(ballot, profile.option) - by, 0)
        return (*rest[:at], profile.option, *rest[at:]) if by else ballot

    return tuple((raised(ballot, by), weight) for (ballot, weight), by in zip(profile.ballots, profile.changed, strict=True))


@given(PROFILES)
def test_what_schulze_proved_of_his_method_holds(profile: Profile) -> None:
    assert list(laws_broken(voting.schulze, profile)) == []


# ---------------------------------------------------------------- planted bugs


def by_votes_for_alone(options: Sequence[str], ballots: Ballots) -> Order:
    """The method as it was before: of two links that as many are for, the one that more are against counts as much."""

    def strongest_paths(options: Sequence[str], ballots: Ballots) -> Mapping[tuple[str, str], voting.Link]:
        for_ = {(a, b): sum(w for ballot, w in ballots if ranked(ballot, a) < ranked(ballot, b)) for a, b in permutations(options, 2)}
        path = {(a, b): (held if held > for_[b, a] else 0, 0) for (a, b), held in for_.items()}
        for middle, a, b in permutations(options, 3):
            path[a, b] = max(path[a, b], min(path[a, middle], path[middle, b]))
        return path

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(voting, "strongest_paths", strongest_paths)
        return voting.schulze(options, ballots)


def borda(options: Sequence[str], ballots: Ballots) -> Order:
    """A point for each option that stands below on a ballot."""
    points = {
        one: sum(weight * sum(ranked(ballot, one) < ranked(ballot, other) for other in options) for ballot, weight in ballots)
        for one in options
    }
    return _grouped(options, points)


def transferable(options: Sequence[str], ballots: Ballots) -> Order:
    """Who is first on the fewest ballots goes, until one is left."""
    left, order = sorted(options), list[tuple[str, ...]]()
    while left:
        first = {one: sum(w for ballot, w in ballots if next((each for each in ballot if each in left), "") == one) for one in left}
        last = min(left, key=lambda one: (first[one], one))
        order.insert(0, (last,))
        left.remove(last)
    return tuple(order)


def last_ballot(options: Sequence[str], ballots: Ballots) -> Order:
    """The last ballot decides."""
    return _grouped(options, {option: -ranked(ballots[-1][0], option) for option in options})


def nobody_decides(options: Sequence[str], ballots: Ballots) -> Order:
    """All are tied."""
    return (tuple(sorted(options)),)


def _grouped(options: Sequence[str], points: Mapping[str, int]) -> Order:
    return tuple(tuple(sorted(one for one in options if points[one] == held)) for held in sorted(set(points.values()), reverse=True))


def vote(ballots: str, option: str = "a", changed: str = "") -> Profile:
    """A vote in a line: `39 abc, 25 bca`; the option that is copied, or raised so far on each ballot."""
    held = tuple((tuple(ranking), int(weight)) for weight, ranking in (each.split() for each in ballots.split(", ")))
    options = tuple(sorted({each for ranking, _ in held for each in ranking}))
    return Profile(options, held, option, tuple(map(int, changed or "0" * len(held))))


@pytest.mark.parametrize(
    ("method", "profile", "law"),
    [
        (nobody_decides, vote("1 ab"), "what everybody ranks above another stands above it"),
        (transferable, vote("1 cab"), "what nobody ranks below another never stands below it"),
        (last_ballot, vote("2 ab, 1 ba"), "who beats everybody one by one wins alone"),
        (borda, vote("3 abc, 2 bca"), "who beats everybody one by one wins alone"),
        (transferable, vote("4 abc, 3 cba, 2 bac"), "who beats everybody one by one wins alone"),
        (borda, vote("3 ab, 2 ba", "b"), "clones change nothing"),
        (transferable, vote("39 abc, 25 bca, 10 bca, 26 cab", "a", "0020"), "a winner that is ranked higher still wins"),
    ],
)
def test_each_law_names_a_method_that_is_known_to_break_it(method: Method, profile: Profile, law: str) -> None:
    assert law in laws_broken(method, profile)
    assert list(laws_broken(voting.schulze, profile)) == []


# ---------------------------------------------------------------- the outside judge


def differs(method: Method, judged: belenios.Judged) -> bool:
    """Whether a method finds another order than the judge."""
    return method(judged.options, judged.ballots) != judged.order


def in_pairs(judged: belenios.Judged) -> Mapping[tuple[str, str], tuple[int, int]]:
    """The strongest paths here, as the judge writes them: votes for, votes against."""
    return {pair: (for_, -against) for pair, (for_, against) in voting.strongest_paths(judged.options, judged.ballots).items()}


def test_where_nobody_prefers_b_to_a_the_two_are_not_tied_because_of_others() -> None:
    ballots = ((("a", "b", "c"), 1), (("c", "d"), 1), (("d", "a", "b", "c"), 1))
    assert voting.schulze("abcd", ballots) == (("a", "c", "d"), ("b",))
    assert by_votes_for_alone("abcd", ballots) == (("a", "b", "c", "d"),)


def test_two_hundred_stored_results_of_belenios_come_out_as_it_found_them() -> None:
    votes = belenios.stored()
    assert len(votes) == belenios.SIZE
    assert [each for each in votes if differs(voting.schulze, each)] == []
    assert [each for each in votes if in_pairs(each) != each.paths] == []
    assert [each for each in votes if differs(by_votes_for_alone, each)], "a planted bug differs from none"


@pytest.mark.skipif(belenios.missing() != "", reason=belenios.missing())
def test_belenios_finds_the_same_order_in_a_thousand_votes_with_truncated_ballots() -> None:
    votes = [belenios.judged(options, ballots) for options, ballots in belenios.profiles(Random(), 1_000)]
    assert [each for each in votes if differs(voting.schulze, each) or in_pairs(each) != each.paths] == []
