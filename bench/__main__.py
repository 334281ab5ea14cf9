"""All benchmarks, one after another: `python -m bench`, or some of them by name. Ends with 1 when one failed or missed a target."""

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

failed = []
for name in sys.argv[1:] or ALL:
    print(f"\n{name}", flush=True)
    if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
        failed.append(name)
if failed:
    sys.exit(f"failed, or missed a target: {', '.join(failed)}")
