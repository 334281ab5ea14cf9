"""All lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.chaos import database, disk, power, story, two_workers
from tests.chaos.lane import Lane

LANES: Final[Sequence[Lane]] = (*database.LANES, *disk.LANES, *power.LANES, *two_workers.LANES, *story.LANES)
