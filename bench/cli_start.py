"""How long `consortium --help` and a look at nothing take: CPU time of whole processes, medians."""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median
from typing import Final

ROUNDS: Final = 7
TARGET_SECONDS: Final = 0.3
COMMANDS: Final = {
    "python -c pass": ["-c", "pass"],
    "consortium --help": ["-m", "cli.main", "--help"],
    "consortium status": ["-m", "cli.main", "status"],
}


def cpu_seconds(words: list[str]) -> float:
    """What one process of these words used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Prints a row for each command."""
    seen: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, words in COMMANDS.items():
            seen[name].append(cpu_seconds(words))
    for name, seconds in seen.items():
        print(f"{name:<20} {median(seconds):6.3f} s CPU")
    helped = median(seen["consortium --help"])
    print(f"target: consortium --help under {TARGET_SECONDS} s: {'met' if helped < TARGET_SECONDS else 'missed'}")


if __name__ == "__main__":
    main()
