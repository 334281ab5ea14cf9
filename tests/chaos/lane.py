"""What a lane is: one kind of fault, the means to bring it about, and a control that shows that the lane would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one round takes place."""

    folder: Path
    """Empty, and gone after the round."""
    chance: Random
    """The same for the same seed, lane and number of the round."""
    faults: int
    """How many are to be brought about."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a round came to."""

    faults: int
    """How many were brought about."""
    problems: Sequence[str]
    """What must not be, each as a sentence."""


Round = Callable[[Ground], Awaitable[Findings]]


def always() -> str:
    """Nothing is missing."""
    return ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of fault."""

    name: str
    fault: str
    """What goes wrong, for people."""
    short: int
    """How many faults the short run brings about."""
    long: int
    """How many the long one does."""
    a_round: int
    """The most in one round."""
    run: Round
    control: Round
    """The same with a carelessness in it."""
    careless: str
    """Which one, for people."""
    notices: str
    """What one of the control's problems must say. A control without such a problem fails the lane: it would notice nothing."""
    missing: Callable[[], str] = always
    """Why the lane cannot run here; empty when it can."""
    seconds: int = 20
    """About how long the short run takes beside others: what takes longest is begun first, and nothing waits for it in the end."""
