"""`python -m tests.chaos`: runs the lanes, each with its control, and says how far each was run. Exits 1 if anything is wrong.

Without `--long` it is the short run that every change goes through. A long one can be cut off at any time: with `--resume FOLDER`
it keeps what was done in the folder, a file a lane and a JSON object a line, and goes on from there when it is begun again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.lane import Lane
from tests.chaos.lanes import LANES
from tests.chaos.running import Journal, Run, say


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
    parser.add_argument("--jobs", type=int, default=1, help="so many lanes at a time: most of a lane is waiting")
    chosen = parser.parse_args()
    lanes = [lane for lane in LANES if not chosen.lane or lane.name in chosen.lane]
    if chosen.list:
        for lane in lanes:
            print(f"{lane.name}: {lane.fault} ({lane.short}, long {lane.long}); control: {lane.careless}")
        return 0
    if chosen.jobs > 1:
        return asyncio.run(side_by_side(lanes, chosen))
    return Run(Journal(chosen.resume), seed=chosen.seed, long=chosen.long).lanes(lanes)


async def side_by_side(lanes: Sequence[Lane], chosen: argparse.Namespace) -> int:
    """Runs each lane in a process of its own; 1 if anything is wrong in any of them, else 0."""
    turn, start = asyncio.Semaphore(chosen.jobs), time.monotonic()
    lanes = sorted(lanes, key=lambda lane: -lane.seconds)
    same = ["--seed", str(chosen.seed), *(["--long"] if chosen.long else []), *(["--resume", str(chosen.resume)] if chosen.resume else [])]

    async def run(lane: Lane) -> int:
        async with turn:
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.chaos", "--lane", lane.name, *same)
            return await process.wait()

    wrong = [lane.name for lane, code in zip(lanes, await asyncio.gather(*map(run, lanes)), strict=True) if code]
    say(f"chaos: all lanes in {time.monotonic() - start:.0f} s; " + (f"wrong: {', '.join(wrong)}" if wrong else "nothing is wrong"))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
