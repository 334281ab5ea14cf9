"""Waiting for what comes in another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 20


def until(holds: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until something holds; fails when it does not within so many seconds: a bound that shows what never comes."""
    end = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
