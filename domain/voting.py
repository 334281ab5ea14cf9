"""Counting votes: integers only, and the same whatever order the ballots came in.

Ranked choice is Schulze's method (M. Schulze, "A new monotonic, clone-independent … single-winner election method",
Social Choice and Welfare 36, 2011), by winning votes; ties are part of the result. Budgets are shared by the Method of
Equal Shares (D. Peters, P. Skowron, "Proportionality and the Limits of Welfarism", 2020), completed by approval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt
from typing import Final

from domain.charter import DecisionRule, Scheme

WHOLE: Final = 10_000
"""Basis points of the whole."""

# ---------------------------------------------------------------- weights


def weight(scheme: Scheme, votes: int, cleared: int) -> int:
    """A seat's weight by the scheme: one, its tier's votes, what it contributed, or the integer square root of that."""
    match scheme:
        case "per_member":
            return 1
        case "per_tier":
            return votes
        case "contribution":
            return cleared
        case "square_root":
            return isqrt(cleared)


def capped(weights: Mapping[str, int], cap: int) -> Mapping[str, int]:
    """The weights cut to the highest level at which nobody carries more than `cap` basis points of their sum.

    With nothing to weigh, or so few seats that the cap cannot hold, everybody weighs one.
    """
    if not any(weights.values()):
        return dict.fromkeys(weights, 1)
    low, high = 0, max(weights.values())
    while low < high:
        level = (low + high + 1) // 2
        if level * WHOLE <= cap * sum(min(held, level) for held in weights.values()):
            low = level
        else:
            high = level - 1
    return {seat: min(held, low) for seat, held in weights.items()} if low else dict.fromkeys(weights, 1)


# ---------------------------------------------------------------- yes and no


@dataclass(frozen=True, slots=True)
class Tally:
    """Where a vote stands. Who is recused is in neither the roll nor the count."""

    roll_heads: int
    roll_weight: int
    heads: int = 0
    voted: int = 0
    yes: int = 0
    no: int = 0

    def counted(self, choice: str, held: int, sign: int = 1) -> Tally:
        """With a ballot more, or one less: `yes` and `no` count for the result, any other for the quorum only."""
        return replace(
            self, heads=self.heads + sign, voted=self.voted + sign * held,
            yes=self.yes + sign * held * (choice == "yes"), no=self.no + sign * held * (choice in {"no", "object"}),
        )  # fmt: skip

    def without(self, held: int) -> Tally:
        """With a seat less on the roll."""
        return replace(self, roll_heads=self.roll_heads - 1, roll_weight=self.roll_weight - held)


def has_quorum(rule: DecisionRule, tally: Tally) -> bool:
    """Whether enough seats and enough weight voted. Lazy consensus needs none."""
    if rule.method == "lazy":
        return True
    heads = tally.heads * WHOLE >= rule.quorum_heads * tally.roll_heads
    return tally.heads > 0 and heads and tally.voted * WHOLE >= rule.quorum_weight * tally.roll_weight


def carries(rule: DecisionRule, tally: Tally) -> bool:
    """Whether the ballots cast carry the motion, the quorum aside."""
    if rule.method == "lazy":
        return tally.no * WHOLE < rule.objection * tally.roll_weight or tally.no == 0
    return tally.yes * WHOLE > rule.threshold * (tally.yes + tally.no)


def is_settled(rule: DecisionRule, tally: Tally) -> bool:
    """Whether the result stands whatever those do who have not voted."""
    open_ = tally.roll_weight - tally.voted
    match rule.method:
        case "weighted":
            all_no = replace(tally, no=tally.no + open_)
            all_yes = replace(tally, yes=tally.yes + open_)
            return has_quorum(rule, tally) and carries(rule, all_no) == carries(rule, all_yes)
        case "lazy":
            return not carries(rule, tally) or open_ == 0
        case "ranked" | "budget":
            return tally.heads == tally.roll_heads


# ---------------------------------------------------------------- ranked choice

Ranking = Sequence[str]
"""Options from the best down; the ones left out are tied at the end."""


def schulze(options: Sequence[str], ballots: Sequence[tuple[Ranking, int]]) -> tuple[tuple[str, ...], ...]:
    """The options from the winner down, tied ones together in their groups, each group sorted by name."""
    strength = _strongest_paths(options, _pairwise(options, ballots))
    left, order = sorted(options), list[tuple[str, ...]]()
    while left:
        best = tuple(a for a in left if all(strength[a, b] >= strength[b, a] for b in left if b != a))
        order.append(best)
        left = [option for option in left if option not in best]
    return tuple(order)


def _pairwise(options: Sequence[str], ballots: Sequence[tuple[Ranking, int]]) -> dict[tuple[str, str], int]:
    preferring = {(a, b): 0 for a in options for b in options if a != b}
    for ranking, held in ballots:
        place = {option: index for index, option in enumerate(ranking)}
        for a, b in preferring:
            if place.get(a, len(options)) < place.get(b, len(options)):
                preferring[a, b] += held
    return preferring


def _strongest_paths(options: Sequence[str], preferring: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    strength = {(a, b): held if held > preferring[b, a] else 0 for (a, b), held in preferring.items()}
    for middle in options:
        for a in options:
            for b in options:
                if len({a, b, middle}) == 3:
                    strength[a, b] = max(strength[a, b], min(strength[a, middle], strength[middle, b]))
    return strength


# ---------------------------------------------------------------- sharing a budget


def equal_shares(costs: Mapping[str, int], budget: int, ballots: Sequence[tuple[frozenset[str], int]]) -> tuple[str, ...]:
    """The projects that are funded, in the order in which they are bought.

    Every voter holds a part of the budget by his weight. The project whose supporters pay least per unit of weight is
    bought until none is affordable to its own supporters; then the most approved ones that the rest still pays for.
    """
    held = sum(weight for _, weight in ballots)
    if held == 0:
        return ()
    purses = [Fraction(budget * weight, held) for _, weight in ballots]
    bought: list[str] = []
    while True:
        prices = {
            project: price for project in sorted(costs.keys() - bought)
            if (price := _price(costs[project], [(purses[i], weight) for i, (liked, weight) in enumerate(ballots) if weight and project in liked])) is not None
        }  # fmt: skip
        if not prices:
            break
        project = min(prices, key=lambda name: (prices[name], name))
        for index, (liked, weight) in enumerate(ballots):
            if project in liked:
                purses[index] -= min(purses[index], prices[project] * weight)
        bought.append(project)
    return (*bought, *_completed(costs, budget - sum(costs[project] for project in bought), bought, ballots))


def _price(cost: int, supporters: Sequence[tuple[Fraction, int]]) -> Fraction | None:
    """What a unit of weight pays when the supporters share a cost equally, each as far as his purse goes."""
    if sum(purse for purse, _ in supporters) < cost:
        return None
    left, weight = Fraction(cost), sum(held for _, held in supporters)
    for purse, held in sorted(supporters, key=lambda supporter: supporter[0] / supporter[1]):
        if left / weight * held <= purse:
            break
        left, weight = left - purse, weight - held
    return left / weight


def _completed(costs: Mapping[str, int], left: int, bought: Sequence[str], ballots: Sequence[tuple[frozenset[str], int]]) -> Sequence[str]:
    approval = {project: sum(weight for liked, weight in ballots if project in liked) for project in costs.keys() - bought}
    more: list[str] = []
    for project in sorted(approval, key=lambda name: (-approval[name], name)):
        if approval[project] and costs[project] <= left:
            more.append(project)
            left -= costs[project]
    return more
