"""A snapshot is believed only when it is whole, in its place, and of this log; else the log is folded, with the same end."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.register import Register
from eventstore import snapshots
from eventstore.entries import EMPTY, Head
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.replica import Replica
from eventstore.snapshots import REGISTER, Snapshots, sealed, shape
from simulation.scenario import SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.stories import START, charter


@pytest_asyncio.fixture(scope="module")
async def log() -> Log:
    """A log on which a story was played, with snapshots of the register and of a stream."""
    log = MemoryLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "REGISTER_EVERY", 1)
        patch.setattr(snapshots, "STREAM_EVERY", 1)
        await Story(SimulatedStage(Simulation(START, log)), charter()).play()
        await (again := Recorder(log)).replica()
        await again.close()
        await Snapshots(log).load(Replica(), SIZE, (await log.head()).position)
    return log


async def restored(log: Log) -> Head:
    """How far the register's snapshot takes an empty replica."""
    replica = Replica()
    await Snapshots(log).restore(replica)
    return replica.head


async def kept(log: Log, name: str) -> tuple[int, bytes]:
    return (await log.load_snapshots([name], shape()))[name]


async def copied(log: Log, name: str, position: int, body: bytes) -> Log:
    """The same log with one snapshot only."""
    copy = MemoryLog()
    await copy.append(await log.read(0, 100_000))
    await copy.save_snapshot(name, shape(), position, body)
    return copy


async def test_a_whole_snapshot_is_believed(log: Log) -> None:
    position, body = await kept(log, REGISTER)
    assert position > 0
    assert (await restored(await copied(log, REGISTER, position, body))).position == position
    assert SIZE in await log.load_snapshots([SIZE], shape())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(min_value=0, max_value=1, exclude_max=True), bit=st.integers(min_value=0, max_value=7))
async def test_a_flipped_bit_leaves_no_snapshot(log: Log, place: float, bit: int) -> None:
    position, body = await kept(log, REGISTER)
    index = int(place * len(body))
    flipped = body[:index] + bytes([body[index] ^ 1 << bit]) + body[index + 1 :]
    assert await restored(await copied(log, REGISTER, position, flipped)) == EMPTY


@pytest.mark.parametrize("length", [0, 1, 32, 33, 1_000])
async def test_a_cut_snapshot_is_none(log: Log, length: int) -> None:
    position, body = await kept(log, REGISTER)
    assert await restored(await copied(log, REGISTER, position, body[:length])) == EMPTY


async def test_a_snapshot_under_another_name_or_position_is_none(log: Log) -> None:
    position, body = await kept(log, REGISTER)
    assert await restored(await copied(log, REGISTER, position - 1, body)) == EMPTY
    position, body = await kept(log, SIZE)
    assert await restored(await copied(log, REGISTER, position, body)) == EMPTY


async def test_a_snapshot_of_another_log_is_none(log: Log) -> None:
    position, body = await kept(log, REGISTER)
    other = MemoryLog()
    await Story(SimulatedStage(Simulation(START.replace(year=START.year + 1), other)), charter()).play()
    await other.save_snapshot(REGISTER, shape(), position, body)
    assert await restored(other) == EMPTY
    shorter = MemoryLog()
    await shorter.append(await log.read(0, position - 1))
    await shorter.save_snapshot(REGISTER, shape(), position, body)
    assert await restored(shorter) == EMPTY


@pytest.mark.parametrize(
    "named",
    ["os\nsystem", "domain.kernel\nhashlib.sha256", "domain.kernel\ndigest_of", "domain.kernel\nUUID", "domain\nkernel", "builtins\neval"],
)
async def test_nothing_but_data_of_the_domain_is_built(log: Log, named: str) -> None:
    forged = pickle.PROTO + b"\x04" + b"".join(pickle.SHORT_BINUNICODE + bytes([len(part)]) + part.encode() for part in named.split("\n"))
    forged += pickle.STACK_GLOBAL + pickle.STOP
    assert pickle.loads(forged) is not None
    assert await restored(await copied(log, REGISTER, 1, sealed(REGISTER, 1, forged))) == EMPTY


def test_an_empty_register_goes_through(log: Log) -> None:
    content = pickle.dumps((EMPTY, Register()), protocol=5)
    built: Any = snapshots._DomainUnpickler(io.BytesIO(content)).load()
    assert built == (EMPTY, Register())
