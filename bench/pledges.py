"""What a pledge costs in a small round and in a large one; and that the large one closes.

`python -m bench.pledges [--members 10000] [--passes 5]`: rounds of 100 pledges and one of 10,000, recorded by 64 callers on SQLite, in interleaved passes;
medians in microseconds a pledge, their ratio, and what closing takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter
from rich.console import Console
from rich.table import Table

from cli.files import example, read_charter
from domain.catalog import CATALOG
from domain.charter import Charter, Office
from domain.consortium import commands
from domain.consortium.terms import Officer
from domain.kernel import SERVICE, Agenda, Command, Headline, derived_id
from domain.process import Process
from domain.register.facts import Capacity, MemberActivated, RepresentativeSeated
from domain.stream import Common
from eventstore.clock import MovedClock
from eventstore.entries import Submission
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from eventstore.wire import canonical_command

MEMBERS: Final = 10_000
SMALL: Final = 100
PASSES: Final = 5
CALLERS: Final = 64
TARGET: Final = 1.2
START: Final = datetime(2026, 11, 2, 9, tzinfo=UTC)
GOAL: Final = 10**13
LEAST: Final = 10**7


class Seed(Command):
    """Make so many members at once: what onboarding would take years for."""

    kind: Literal["seed"] = "seed"
    members: int


def members(count: int) -> Iterator[MemberActivated | RepresentativeSeated]:
    """The facts that make members."""
    for number in range(count):
        name = f"m{number:05}"
        yield MemberActivated(member=name, name=name, tier="founding", country="CH", at=START)
        yield RepresentativeSeated(member=name, person=f"rep-{name}", capacity=Capacity.REPRESENTATIVE, at=START)


SEED: Final[Process[Any, Any, Any]] = Process(
    name="seed",
    initial=0,
    decide=lambda state, command, context: tuple(members(command.members)),
    evolve=lambda state, event: state + 1,
    agenda=lambda state: Agenda(closed=True),
    describe=lambda state: Headline("seeded", f"{state} facts"),
    commands=TypeAdapter(Seed),
    events=TypeAdapter(tuple[Annotated[MemberActivated | RepresentativeSeated | Common, Field(discriminator="kind")], ...]),
)


def charter() -> Charter:
    """The example charter, with room for small pledges."""
    data = read_charter(example("charter.toml"))
    data["funding"]["share_floor"] = 0
    return Charter.model_validate_json(json.dumps(data, default=str))


def given(stream: str, command: dict[str, Any], by: str) -> Submission:
    """A command on its way to the log."""
    return Submission(stream, derived_id(stream, str(command), by), by, canonical_command(command))


def opening(title: str, at: datetime) -> dict[str, Any]:
    """The command that announces a round, a minute before pledging starts."""
    return {
        "kind": "open_round", "title": title, "currency": "USD", "goal": GOAL, "minimum": GOAL // 10**6,
        "opens_at": (at + timedelta(minutes=1)).isoformat(), "closes_at": (at + timedelta(days=20)).isoformat(), "run": "bench",
        "budget": [{"name": "compute", "amount": GOAL}], "tranches": [{"name": "all", "fraction": 10_000}],
    }  # fmt: skip


def founding(members: int) -> Sequence[Submission]:
    """What a log begins with: a consortium, and so many members at once."""
    officers = tuple(
        Officer(person=person, offices=frozenset({office}))
        for person, office in (("sam", Office.SECRETARIAT), ("tess", Office.TREASURER), ("bo", Office.BOARD))
    )
    found = commands.Found(charter=charter(), officers=officers).model_dump(mode="json")
    return given("consortium/bench", found, "sam"), given("seed/members", {"kind": "seed", "members": members}, "sam")


def pledging(stream: str, members: int, least: int) -> Iterator[Submission]:
    """A pledge of each member, of another amount each."""
    for number in range(members):
        name = f"m{number:05}"
        yield given(stream, {"kind": "pledge", "member": name, "amount": least + number}, f"rep-{name}")


async def pledged(recorder: Recorder, clock: MovedClock, stream: str, count: int) -> float:
    """Opens a round and lets so many members pledge; microseconds a pledge."""
    await recorder.record(given(stream, opening(stream, clock.now()), "sam"))
    clock.to(clock.now() + timedelta(minutes=2))
    await recorder.record(given(stream, {"kind": "start_pledging"}, SERVICE))
    pledges = iter(list(pledging(stream, count, LEAST)))

    async def caller() -> None:
        for pledge in pledges:
            refusal = (await recorder.record(pledge)).refusal
            assert refusal is None, refusal

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return (time.perf_counter() - start) / count * 1e6


async def measure(folder: Path, members: int, passes: int) -> tuple[list[float], list[float], float]:
    """Microseconds a pledge in small rounds and in the large one, a pair a pass; and seconds that closing took."""
    log = await SqliteLog.open(folder / "log.db")
    clock = MovedClock(START)
    recorder = Recorder(log, {**CATALOG, "seed": SEED}, clock)
    for submission in founding(members):
        await recorder.record(submission)
    small, large = [], []
    for number in range(passes):
        small.append(statistics.median([await pledged(recorder, clock, f"round/small-{number}-{each}", SMALL) for each in range(20)]))
        large.append(await pledged(recorder, clock, f"round/large-{number}", members))
    clock.to(clock.now() + timedelta(days=20))
    start = time.perf_counter()
    closed = await recorder.record(given("round/large-0", {"kind": "close_pledging"}, SERVICE))
    took = time.perf_counter() - start
    assert "pledges_allocated" in closed.kinds, closed.refusal
    await recorder.close()
    await log.close()
    return small, large, took


async def main(members: int, passes: int) -> bool:
    """Prints the table; whether the target was met."""
    with tempfile.TemporaryDirectory() as folder:
        small, large, took = await measure(Path(folder), members, passes)
    ratio = statistics.median(large) / statistics.median(small)
    table = Table("pledges in the round", f"{SMALL:,}", f"{members:,}", "ratio", "target", "met", "closing the large one")
    table.add_row(
        "us a pledge", f"{statistics.median(small):.0f}", f"{statistics.median(large):.0f}", f"{ratio:.2f}", f"at most {TARGET}",
        "yes" if ratio <= TARGET else "no", f"{took:.2f} s",
    )  # fmt: skip
    Console().print(table)
    return ratio <= TARGET


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--members", type=int, default=MEMBERS, help="who pledge in the large round")
    arguments.add_argument("--passes", type=int, default=PASSES)
    chosen = arguments.parse_args()
    sys.exit(not asyncio.run(main(chosen.members, chosen.passes)))
