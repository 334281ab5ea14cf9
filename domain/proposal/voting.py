"""Counting votes: integers only, and the same whatever order the ballots came in.

Ranked choice is Schulze's method (M. Schulze, "A new monotonic, clone-independent … single-winner election method",
Social Choice and Welfare 36, 2011), by winning votes: a path is as strong as its weakest link, and a link is a pair of the votes for it
and the votes against it; ties are part of the result. Budgets are shared by the Method of
Equal Shares (D. Peters, P. Skowron, "Proportionality and the Limits of Welfarism", 2020), completed by approval.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heappop, heappush
from itertools import permutations
from math import isqrt
from typing import Final, TypeVar

from domain.charter import DecisionRule, Scheme, TieBreak, seats_for_cap
from domain.kernel import WHOLE

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

    With nothing to weigh everybody weighs one; with so few seats that the cap cannot hold, everybody who weighs anything does.
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
    return {seat: min(held, max(low, 1)) for seat, held in weights.items()}


def cap_holds(weights: Iterable[int], cap: int) -> bool:
    """Whether there are so many seats that weigh anything that none needs to carry more than `cap`; of weights as they were, or as they were cut."""
    return sum(held > 0 for held in weights) >= seats_for_cap(cap)


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
            self,
            heads=self.heads + sign,
            voted=self.voted + sign * held,
            yes=self.yes + sign * held * (choice == "yes"),
            no=self.no + sign * held * (choice in {"no", "object"}),
        )

    def without(self, held: int) -> Tally:
        """With a seat less on the roll."""
        return replace(self, roll_heads=self.roll_heads - 1, roll_weight=self.roll_weight - held)


def quorum(rule: DecisionRule, tally: Tally) -> tuple[int, int]:
    """How many seats, and how much weight, must vote: one seat at least. Lazy consensus needs none."""
    if rule.method == "lazy":
        return 0, 0
    heads = -(-rule.quorum_heads * tally.roll_heads // WHOLE)
    return max(1, heads), -(-rule.quorum_weight * tally.roll_weight // WHOLE)


def has_quorum(rule: DecisionRule, tally: Tally) -> bool:
    """Whether enough seats and enough weight voted. Where everybody is recused nobody decides, by silence either."""
    heads, held = quorum(rule, tally)
    return tally.roll_heads > 0 and tally.heads >= heads and tally.voted >= held


def carries(rule: DecisionRule, tally: Tally) -> bool:
    """Whether the ballots cast carry the motion, the quorum aside."""
    if rule.method == "lazy":
        return tally.no * WHOLE < rule.objection * tally.roll_weight or tally.no == 0
    whole = tally.roll_weight if rule.threshold_of == "roll" else tally.yes + tally.no
    if rule.threshold == WHOLE:
        return tally.yes == whole > 0
    return tally.yes * WHOLE > rule.threshold * whole


def is_settled(rule: DecisionRule, tally: Tally) -> bool:
    """Whether the result stands whatever those do who have not voted."""
    if tally.roll_heads == 0:
        return True
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


Link = tuple[int, int]
"""What prefers one option to another, and minus what prefers the other: of two links the greater pair is the stronger.

By the votes for it first, then by the votes against it. A link that does not win, tied or lost, carries no path.
"""
NO_PATH: Final[Link] = (0, 0)
"""Weaker than every link that wins: the votes for that one are more than none."""


def schulze(options: Sequence[str], ballots: Sequence[tuple[Ranking, int]]) -> tuple[tuple[str, ...], ...]:
    """The options from the winner down, tied ones together in their groups, each group sorted by name.

    An option stands in the first group in which no option that is left beats it: by a stronger path to it than the one back.
    """
    path = strongest_paths(options, ballots)
    left, order = sorted(options), list[tuple[str, ...]]()
    while left:
        best = tuple(a for a in left if all(path[a, b] >= path[b, a] for b in left if b != a))
        order.append(best)
        left = [option for option in left if option not in best]
    return tuple(order)


def without_ties(
    order: Sequence[Sequence[str]], breaks: frozenset[TieBreak], options: Sequence[str], rankings: Sequence[Ranking]
) -> tuple[tuple[str, ...], ...]:
    """The order with tied options apart as far as the charter's tie-breaks put them: counted again by heads, then as they are listed."""
    by_heads = [part for group in order for part in (_by_heads(group, rankings) if "heads" in breaks else [tuple(group)])]
    if "listed" not in breaks:
        return tuple(by_heads)
    return tuple((option,) for group in by_heads for option in sorted(group, key=options.index))


def _by_heads(group: Sequence[str], rankings: Sequence[Ranking]) -> Sequence[tuple[str, ...]]:
    """Tied options, ranked again among themselves with one vote a seat."""
    return schulze(group, [(tuple(option for option in ranking if option in group), 1) for ranking in rankings])


def strongest_paths(options: Sequence[str], ballots: Sequence[tuple[Ranking, int]]) -> Mapping[tuple[str, str], Link]:
    """The weakest link of the strongest path from each option to each other one; `NO_PATH` where a link would be tied or lost.

    Ties are above losses in Schulze's order, and are no links here: where neither of two options has a path to the other, the two are
    tied by themselves, for a lost link between them would be a won one the other way.
    """
    for_ = _pairwise(options, ballots)
    path = {(a, b): (held, -for_[b, a]) if held > for_[b, a] else NO_PATH for (a, b), held in for_.items()}
    for middle, a, b in permutations(options, 3):
        path[a, b] = max(path[a, b], min(path[a, middle], path[middle, b]))
    return path


def _pairwise(options: Sequence[str], ballots: Sequence[tuple[Ranking, int]]) -> dict[tuple[str, str], int]:
    preferring = {(a, b): 0 for a in options for b in options if a != b}
    for ranking, weight in _merged((tuple(ranking), weight) for ranking, weight in ballots).items():
        left = dict.fromkeys(options)
        for better in ranking:
            del left[better]
            for worse in left:
                preferring[better, worse] += weight
    return preferring


# ---------------------------------------------------------------- sharing a budget


def equal_shares(costs: Mapping[str, int], budget: int, ballots: Sequence[tuple[frozenset[str], int]]) -> tuple[str, ...]:
    """The projects that are funded, in the order in which they are bought.

    Every voter holds a part of the budget by its weight. The project whose supporters pay least per unit of weight is
    bought until none is affordable to its own supporters; then the most approved ones that the rest still pays for.
    """
    groups = _merged(ballots)
    held = sum(groups.values())
    if held == 0:
        return ()
    rest = dict.fromkeys(groups, Fraction(budget, held))
    bought: list[str] = []
    queue = [(Fraction(0), project) for project in sorted(costs)]
    while queue:
        _, project = heappop(queue)
        price = _price(costs[project], [(rest[liked], weight) for liked, weight in groups.items() if project in liked])
        if price is None:
            continue  # purses only shrink: what is out of reach stays there
        if queue and queue[0] < (price, project):
            heappush(queue, (price, project))
            continue
        for liked in groups:
            if project in liked:
                rest[liked] -= min(rest[liked], price)
        bought.append(project)
    return (*bought, *_completed(costs, budget - sum(costs[project] for project in bought), bought, ballots))


B = TypeVar("B", bound=Hashable)


def _merged(ballots: Iterable[tuple[B, int]]) -> dict[B, int]:
    """Equal ballots, merged into one with the sum of their weights."""
    weights: dict[B, int] = {}
    for ballot, weight in ballots:
        if weight:
            weights[ballot] = weights.get(ballot, 0) + weight
    return weights


def _price(cost: int, supporters: Sequence[tuple[Fraction, int]]) -> Fraction | None:
    """What a unit of weight pays when the supporters share a cost equally, each as far as a unit's rest goes; none if that is too short."""
    if sum(rest * weight for rest, weight in supporters) < cost:
        return None
    left, sharing = Fraction(cost), sum(weight for _, weight in supporters)
    for rest, weight in sorted(supporters):
        if left <= rest * sharing:
            break
        left, sharing = left - rest * weight, sharing - weight
    return left / sharing


def _completed(costs: Mapping[str, int], left: int, bought: Sequence[str], ballots: Sequence[tuple[frozenset[str], int]]) -> Sequence[str]:
    approval = {project: sum(weight for liked, weight in ballots if project in liked) for project in costs.keys() - bought}
    more: list[str] = []
    for project in sorted(approval, key=lambda name: (-approval[name], name)):
        if approval[project] and costs[project] <= left:
            more.append(project)
            left -= costs[project]
    return more
