"""How long `consortium --help` and a look at nothing take: CPU time of whole processes, medians.

`python -m bench.cli_start [--rounds 7]`
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

ROUNDS: Final = 7
TARGET_SECONDS: Final = 0.3


class Started(NamedTuple):
    """What is started, and what it ends with."""

    words: tuple[str, ...]
    status: int = 0


COMMANDS: Final = {
    "python -c pass": Started(("-c", "pass")),
    "consortium --help": Started(("-m", "cli.main", "--help")),
    "consortium status": Started(("-m", "cli.main", "status"), 3),
}
"""The last finds no log."""


def cpu_seconds(started: Started, environment: Mapping[str, str]) -> float:
    """What one process used. Raises `RuntimeError` when it ends otherwise than it should."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([sys.executable, *started.words], capture_output=True, check=False, env=dict(environment))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != started.status:
        raise RuntimeError(f"{' '.join(started.words)} ended with {ended.returncode}: {ended.stderr.decode()[-2_000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def nowhere(folder: Path) -> Mapping[str, str]:
    """An environment in which there is no log, whatever the shell's own settings are."""
    return os.environ | {"CONSORTIUM_FOLDER": str(folder), "CONSORTIUM_LOG": str(folder / "log.db")}


def main() -> None:
    """Prints a row for each command; ends with 1 when the target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    seen: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with TemporaryDirectory(prefix="bench-") as folder:
        for _ in range(given.rounds):
            for name, started in COMMANDS.items():
                seen[name].append(cpu_seconds(started, nowhere(Path(folder))))
    for name, seconds in seen.items():
        print(f"{name:<20} {median(seconds):6.3f} s CPU")
    met = median(seen["consortium --help"]) < TARGET_SECONDS
    print(f"target: consortium --help under {TARGET_SECONDS} s: {'met' if met else 'MISSED'}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
