"""What others appended is taken in without reading most of it, to the same end as reading all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest_asyncio

from domain.register.fold import note
from domain.register.state import Register
from domain.stream import Stream
from eventstore.entries import Entry, head_of
from eventstore.memory import MemoryLog
from eventstore.replica import Replica
from simulation.scenario import ROUND, SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.stories import START, charter


@pytest_asyncio.fixture(scope="module")
async def entries() -> Sequence[Entry]:
    """A story, from its founding on."""
    log = MemoryLog()
    await Story(SimulatedStage(Simulation(START, log)), charter()).play()
    return await log.read(0, 100_000)


def test_the_register_is_that_of_a_fold_of_every_event(entries: Sequence[Entry]) -> None:
    replica, register = Replica(), Register()
    replica.follow(entries)
    for entry in entries:
        for event in replica.events_of(replica.process_of(entry.stream), entry):
            register = note(register, event)
    assert replica.register == register
    assert replica.head == head_of(entries, replica.head)


def test_streams_that_are_held_are_those_of_a_fold_of_their_entries(entries: Sequence[Entry]) -> None:
    replica = Replica()
    for stream in (ROUND, SIZE):
        replica.put(stream, Stream(replica.process_of(stream).initial))
    replica.follow(entries)
    for stream in (ROUND, SIZE):
        assert replica.get(stream) == replica.fold(stream, [entry for entry in entries if entry.stream == stream])


def test_what_no_stream_here_and_no_fact_is_about_is_not_read_whole(entries: Sequence[Entry]) -> None:
    replica, read = Replica(), list[int]()

    def events_of(process, entry):  # type: ignore[no-untyped-def]
        read.append(entry.position)
        return Replica.events_of(process, entry)

    replica.events_of = events_of  # type: ignore[method-assign]
    replica.follow(entries)
    assert len(read) < len(entries) / 2
