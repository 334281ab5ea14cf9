"""All benchmarks, one after another: `python -m bench`, or some of them by name, with options of theirs: `python -m bench growth --entries 10000`.

Ends with 1 when one failed or missed a target.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

ALL: Final = (
    "cli_start",
    "round_trip",
    "deciding",
    "pledges",
    "treasury",
    "proofs",
    "reading",
    "verifying",
    "auditing",
    "appends",
    "mix",
    "growth",
)


def main(words: Sequence[str]) -> str | int:
    """Runs what the words name; what to exit with."""
    names = list(takewhile(lambda word: not word.startswith("-"), words))
    options = words[len(names) :]
    if unknown := [name for name in names if name not in ALL]:
        return f"no benchmark is called {', '.join(unknown)}; there are {', '.join(ALL)}"
    if options and not names:
        print(f"{__doc__}\nThere are {', '.join(ALL)}; each says its options by --help.")
        return 0 if set(options) <= {"-h", "--help"} else 2
    failed = []
    for name in names or ALL:
        print(f"\n{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}", *options], check=False).returncode:
            failed.append(name)
    return f"failed, or missed a target: {', '.join(failed)}" if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
