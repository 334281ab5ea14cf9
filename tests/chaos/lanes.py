"""All lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.chaos import database, disk, power
from tests.chaos.lane import Lane

LANES: Final[Sequence[Lane]] = (*database.LANES, *disk.LANES, *power.LANES)
