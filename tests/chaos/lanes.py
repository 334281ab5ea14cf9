"""All lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.chaos import database, disk, frozen, power, story, two_workers, workers, workflows
from tests.chaos.lane import Lane

LANES: Final[Sequence[Lane]] = (
    *database.LANES,
    *frozen.LANES,
    *disk.LANES,
    *power.LANES,
    *workflows.LANES,
    *workers.LANES,
    *two_workers.LANES,
    *story.LANES,
)
