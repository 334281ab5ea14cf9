"""A worker of a rehearsal in a process of its own, which can be killed: `python -m tests.paced_worker REAL,LOG,PACE`.

A shipped worker opens a rehearsal standing still; here the caller says by which clock it runs.
"""

from __future__ import annotations

import asyncio
import sys

from eventstore.clock import PacedClock
from settings import in_force
from worker import serve

if __name__ == "__main__":
    asyncio.run(serve(in_force(), PacedClock.parse(sys.argv[1])))
