"""What `show` tells besides the headline: tables that are computed when somebody looks, from the state, the register and a day.

They are not stored and not bounded by what Temporal shows. Names are codes; who shows them finds words for instants and amounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from domain.money import Money

Cell = str | int | bool | Money | datetime | date | None
"""Nothing where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind of thing."""

    name: str
    """In snake_case, as programs read it."""
    columns: tuple[str, ...]
    """Their names, in snake_case."""
    rows: Sequence[tuple[Cell, ...]]
