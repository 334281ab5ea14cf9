"""What the core takes to decide and fold a command: one more pledge, and one more payment of a member to a call.

`python -m bench.deciding [--rounds 30]`: so many rounds of 100 members, who pledge and then pay what the first tranche calls. Microseconds of
CPU of one thread in `Replica.decide` (read the command, decide, seal the entry, fold its events): the median over the members of a round, of
the round in which it was least, since whatever else the machine does only adds to it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.pledges import SEED, START, founding, given, opening, pledging
from domain.catalog import CATALOG
from domain.kernel import SERVICE
from domain.round.state import books_of
from domain.stream import Stream
from eventstore.entries import Submission
from eventstore.replica import Decision, Replica

MEMBERS: Final = 100
PLEDGED: Final = 10**11
TARGETS: Final[Mapping[str, float]] = {"pledge": 60, "payment": 150}
"""Microseconds."""


class Bench:
    """A replica of a consortium with its members, and the time that it decides at."""

    def __init__(self) -> None:
        self.now = START
        self.replica = Replica({**CATALOG, "seed": SEED})
        for submission in founding(MEMBERS):
            self.decide(submission)

    def decide(self, submission: Submission) -> int:
        """Nanoseconds that a command takes, whose stream is new or was decided on before."""
        if self.replica.missing((submission.stream,)):
            self.replica.put(submission.stream, Stream(self.replica.process_of(submission.stream).initial))
        began = time.thread_time_ns()
        decided: Decision = self.replica.decide(submission, self.now)
        took = time.thread_time_ns() - began
        assert decided.refusal is None, decided.refusal
        return took

    def pledges(self, stream: str) -> Iterator[int]:
        """Opens a round, and lets every member pledge."""
        self.decide(given(stream, opening(stream, self.now), "sam"))
        self.now += timedelta(minutes=2)
        self.decide(given(stream, {"kind": "start_pledging"}, SERVICE))
        yield from map(self.decide, pledging(stream, MEMBERS, PLEDGED))

    def payments(self, stream: str) -> Iterator[int]:
        """Closes the round, calls its tranche, and lets every member pay what it owes."""
        self.now += timedelta(days=21)
        self.decide(given(stream, {"kind": "close_pledging"}, SERVICE))
        self.decide(given(stream, {"kind": "call_tranche", "tranche": 1}, "tess"))
        books = books_of(self.replica.get(stream).state)
        assert books is not None
        for number, (member, owed) in enumerate(sorted(books.calls[1].owing.items())):
            letter = {
                "member": member,
                "amount": owed,
                "currency": "USD",
                "reference": f"{stream.upper()}-{number}",
                "value_date": f"{self.now:%Y-%m-%d}",
            }
            yield self.decide(given(stream, {"kind": "record_payment", **letter}, SERVICE))
        after = books_of(self.replica.get(stream).state)
        assert after is not None
        assert not after.running


def measure(rounds: int) -> Mapping[str, float]:
    """Microseconds of each kind of command."""
    bench, pledges, payments = Bench(), list[float](), list[float]()
    for number in range(rounds):
        pledges.append(statistics.median(bench.pledges(f"round/bench-{number}")))
        payments.append(statistics.median(bench.payments(f"round/bench-{number}")))
    return {"pledge": min(pledges) / 1_000, "payment": min(payments) / 1_000}


def main() -> None:
    """Prints the table; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=30)
    found = measure(arguments.parse_args().rounds)
    table = Table("command", "us of CPU", "target", "met", title=f"Deciding and folding, in rounds of {MEMBERS} members")
    for name, target in TARGETS.items():
        table.add_row(name, f"{found[name]:.0f}", f"at most {target:.0f}", "yes" if found[name] <= target else "no")
    Console().print(table)
    sys.exit(any(found[name] > target for name, target in TARGETS.items()))


if __name__ == "__main__":
    main()
