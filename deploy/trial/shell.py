"""Running programs, and waiting for what they bring about."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
PATIENCE_SECONDS: Final = 90
"""How long something may take that comes by itself."""
Found = TypeVar("Found")
TOLD: Final = 4_000
"""So much of what a program said is shown when it fails."""


class Failed(Exception):
    """Something is not as it must be; the message says what."""


def call(*words: str | Path, env: Mapping[str, str] | None = None, errors: bool = True) -> str:
    """What a program says, on stderr too unless `errors` is false. Raises `Failed` when it does not end well."""
    ran = subprocess.run(
        list(map(str, words)), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT if errors else subprocess.PIPE, env=os.environ | dict(env or {}),
    )  # fmt: skip
    if ran.returncode:
        said = f"{ran.stdout}{ran.stderr or ''}"
        raise Failed(f"{' '.join(map(str, words))}\nended with {ran.returncode}:\n{said[-TOLD:]}")
    return ran.stdout


def succeeds(*words: str | Path) -> bool:
    """Whether a program ends well."""
    return subprocess.run(list(map(str, words)), check=False, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def until(what: str, look: Callable[[], Found | None]) -> Found:
    """What is found by looking again and again. Raises `Failed` when it does not come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        if time.monotonic() > end:
            raise Failed(f"it did not come about within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.2)
    return found


def require(holds: object, what: str) -> None:
    """Raises `Failed` for what does not hold."""
    if not holds:
        raise Failed(what)
