"""All lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.chaos import database, disk, frozen, power, releases, story, two_workers, unreadable, workers, workflows
from tests.chaos.lane import Lane

LANES: Final[Sequence[Lane]] = (
    *database.LANES,
    *frozen.LANES,
    *disk.LANES,
    *power.LANES,
    *unreadable.LANES,
    *workflows.LANES,
    *workers.LANES,
    *two_workers.LANES,
    *releases.LANES,
    *story.LANES,
)
