"""All benchmarks, one after another: `python -m bench`, or some of them by name."""

from __future__ import annotations

import subprocess
import sys
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

for name in sys.argv[1:] or ALL:
    print(f"\n{name}", flush=True)
    subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False)
