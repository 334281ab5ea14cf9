"""A snapshot is believed only when it is whole, in its place, and of this log; else the log is folded, with the same end."""

from __future__ import annotations

import io
import json
import pickle
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domain.catalog import CATALOG, process_for
from domain.register import fold as register_fold
from domain.register.state import Register
from domain.stream import Stream
from eventstore import snapshots
from eventstore.entries import EMPTY, Head
from eventstore.keeper import Keeper
from eventstore.log import Log
from eventstore.memory import MemoryLog
from eventstore.replica import Replica
from eventstore.snapshots import GROWTH, REGISTER, SnapshotKeeper, Snapshots, register_version, sealed, stream_version
from simulation.scenario import SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.sealing import flipped
from tests.stories import START, charter


@pytest_asyncio.fixture(scope="module")
async def log() -> Log:
    """A log on which a story was played, with snapshots of the register and of a stream."""
    log = MemoryLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "REGISTER_EVERY", 1)
        patch.setattr(snapshots, "STREAM_EVERY", 1)
        await Story(SimulatedStage(Simulation(START, log)), charter()).play()
        await Keeper(log).catch_up()
    return log


async def restored(log: Log) -> Head:
    """How far the register's snapshot takes an empty replica."""
    replica = Replica()
    await Snapshots(log).restore(replica)
    return replica.head


def version(name: str) -> str:
    """Which snapshots by this name are read."""
    return register_version() if name == REGISTER else stream_version(process_for(name))


async def kept(log: Log, name: str) -> tuple[int, bytes]:
    return (await log.load_snapshots([name], version(name)))[name]


async def copied(log: Log, name: str, position: int, body: bytes) -> Log:
    """The same log with one snapshot only."""
    copy = MemoryLog()
    await copy.append(await log.read(0, 100_000))
    await copy.save_snapshot(name, version(name), position, body)
    return copy


async def test_a_whole_snapshot_is_believed(log: Log) -> None:
    position, body = await kept(log, REGISTER)
    assert position > 0
    assert (await restored(await copied(log, REGISTER, position, body))).position == position
    assert SIZE in await log.load_snapshots([SIZE], version(SIZE))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(min_value=0, max_value=1, exclude_max=True), bit=st.integers(min_value=0, max_value=7))
async def test_a_flipped_bit_leaves_no_snapshot(log: Log, place: float, bit: int) -> None:
    position, body = await kept(log, REGISTER)
    changed = flipped(body, 8 * int(place * len(body)) + bit)
    assert await restored(await copied(log, REGISTER, position, changed)) == EMPTY


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
    await other.save_snapshot(REGISTER, register_version(), position, body)
    assert await restored(other) == EMPTY
    shorter = MemoryLog()
    await shorter.append(await log.read(0, position - 1))
    await shorter.save_snapshot(REGISTER, register_version(), position, body)
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


async def state_of(log: Log, stream: str) -> Stream[Any]:
    return await Snapshots(log).load(Replica(), stream, (await log.head()).position)


async def test_a_stream_is_folded_from_its_snapshot_on_to_the_same_end(log: Log) -> None:
    bare = MemoryLog()
    await bare.append(await log.read(0, 100_000))
    assert await state_of(log, SIZE) == await state_of(bare, SIZE)


async def test_a_snapshot_of_another_version_is_not_looked_at(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await restored(log), await state_of(log, SIZE)
    monkeypatch.setattr(snapshots, "REGISTER_VERSION", register_fold.REGISTER_VERSION + 1)
    monkeypatch.setitem(vars(CATALOG["proposal"]), "state_version", 99)
    with capture_logs() as told:
        assert await restored(log) == EMPTY
        assert await state_of(log, SIZE) == before[1]
    assert told == []
    await copied(log, REGISTER, 1, b"")
    monkeypatch.undo()
    assert await restored(log) == before[0]


async def test_two_releases_keep_theirs_side_by_side_and_go_on_reading_their_own(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "REGISTER_EVERY", 1)
    both = MemoryLog()
    await both.append(await log.read(0, 100_000))
    await Keeper(both).catch_up()
    old = await restored(both)
    with monkeypatch.context() as newer:
        newer.setattr(snapshots, "REGISTER_VERSION", register_fold.REGISTER_VERSION + 1)
        assert await restored(both) == EMPTY
        await Keeper(both).catch_up()
        assert await restored(both) == old
    assert await restored(both) == old


async def test_a_snapshot_whose_classes_are_elsewhere_now_is_passed_over_with_a_word(log: Log) -> None:
    position, body = await kept(log, REGISTER)
    moved = body[32:].replace(b"domain.register", b"domain.regisTer")
    assert moved != body[32:]
    with capture_logs() as told:
        assert await restored(await copied(log, REGISTER, position, sealed(REGISTER, position, moved))) == EMPTY
    assert [(event["event"], event["name"]) for event in told] == [("snapshot.unreadable", REGISTER)]
    assert "regisTer" in told[0]["error"]


BEFORE_THE_PACKAGES = json.loads((Path(__file__).parent / "data/snapshots-before-the-packages.json").read_text(encoding="utf-8"))
"""Snapshots that were written while each process was spread over modules beside one another."""


@pytest.mark.parametrize("old", BEFORE_THE_PACKAGES, ids=lambda old: old["name"])
async def test_snapshots_from_before_the_packages_are_not_looked_at_and_would_fail_nothing(log: Log, old: dict[str, Any]) -> None:
    short = MemoryLog()
    await short.append(await log.read(0, 60))
    name, position, body = old["name"], old["position"], b64decode(old["body"])
    await short.save_snapshot(name, old["version"], position, body)
    with capture_logs() as told:
        assert await Snapshots(short).find(name, version(name)) is None
    assert told == []
    await short.save_snapshot(name, version(name), position, body)
    with capture_logs() as told:
        assert await Snapshots(short).find(name, version(name)) is None
    assert [event["event"] for event in told] == ["snapshot.unreadable"]


class Saving(MemoryLog):
    """Counts the snapshots that are made."""

    made = 0

    async def save_snapshot(self, name: str, version: str, position: int, body: bytes) -> None:
        """See `Log.save_snapshot`."""
        self.made += 1
        await super().save_snapshot(name, version, position, body)


async def test_all_snapshots_of_a_stream_together_hold_some_times_its_events_and_the_last_nearly_all(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "STREAM_EVERY", 1)
    head, process, events = Head.of((await log.read(0, 1))[0]), process_for(SIZE), 3_000
    saving, at = Saving(), list[int]()
    keeper = SnapshotKeeper(saving, CATALOG)
    for version in range(1, events + 1):
        await keeper.keep_stream(SIZE, process, head, Stream(process.initial, version=version))
        at += [version] * (saving.made - len(at))
    assert sum(at) < 18 * events
    assert events - at[-1] <= events // GROWTH
