"""`python -m tests.chaos`: runs the lanes, each with its control, and says how far each was run. Exits 1 if anything is wrong.

Without `--long` it is the short run that every change goes through. A long one can be cut off at any time: with `--resume FOLDER`
it keeps what was done in the folder, a JSON object a line, and goes on from there when it is begun again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.chaos.lanes import LANES
from tests.chaos.running import Journal, Run


def main() -> int:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lane", action="append", choices=[lane.name for lane in LANES], metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--list", action="store_true", help="say which lanes there are, and end")
    parser.add_argument("--long", action="store_true", help="as many faults as the long run brings about")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="keep what was done here, and go on from it")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    lanes = [lane for lane in LANES if not chosen.lane or lane.name in chosen.lane]
    if chosen.list:
        for lane in lanes:
            print(f"{lane.name}: {lane.fault} ({lane.short}, long {lane.long}); control: {lane.careless}")
        return 0
    return Run(Journal(chosen.resume), seed=chosen.seed, long=chosen.long).lanes(lanes)


if __name__ == "__main__":
    sys.exit(main())
