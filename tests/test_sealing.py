"""The log signs how it stands with every commit, and proves each answer: as stories of workers on one log.

| promise | |
| --- | --- |
| sealed | the newest checkpoint is over the last entry, signed by an enrolled key, whoever recorded it and however many at once |
| proven | every answer, a refusal too, comes with a proof; a repeated command's too |
| one history | who starts goes on from what was signed last, and stops where the entries are others or fewer |
| keys | a worker whose key is not enrolled records nothing; one whose key is revoked seals that entry and nothing after |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from domain.catalog import CATALOG
from domain.kernel import LOG, derived_id
from eventstore import sealing, snapshots
from eventstore.answers import Recorded
from eventstore.entries import EMPTY
from eventstore.log import Damaged, FellBack, KeyNotEnrolled, Log, Seal, Sealed
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.sealing import log_keys, opened, origin_of
from eventstore.snapshots import SnapshotKeeper
from eventstore.sqlite import SqliteLog
from eventstore.verifying import Signing
from signatures.signers import KeySigner
from tests.test_authority import ATLAS, GRANT, Site
from transparency import checkpoint, proof
from transparency.checkpoint import Checkpoint
from transparency.tree import Frontier, Kept


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.found()
    yield site
    await site.recorder.close()


def worker(site: Site, key: str = "log", log: Log | None = None) -> Recorder:
    """Another worker on the log, with a key of its own."""
    return Recorder(log or site.log, clock=site.clock, signing=Signing(site.signers.key(key)))


async def stated(site: Site) -> Checkpoint:
    """What the log says of itself, verified by its keys."""
    sealed = await site.log.sealed()
    assert sealed is not None
    found = opened(sealed.checkpoint, origin_of(site.first), (await site.recorder.replica()).register)
    assert found.size == sealed.size
    return found


async def root(log: Log) -> tuple[int, bytes]:
    """The tree of the log's entries, from their hashes alone."""
    edge = Frontier().extended([entry.hash for entry in await log.read(0, 10_000)]).frontier
    return edge.size, edge.root()


async def sound(site: Site) -> None:
    """What the log says of itself is so."""
    said = await stated(site)
    assert (said.size, said.root) == await root(site.log)


async def shown(site: Site, recorder: Recorder, recorded: Recorded) -> Checkpoint:
    """The checkpoint by which an answer is proven."""
    file = await recorder.proof(recorded)
    assert file is not None
    keys = log_keys(origin_of(site.first), (await site.recorder.replica()).register.log_keys)
    return proof.verified(proof.parse(file), recorded.entry.hash, origin_of(site.first), keys)


def granted(number: int) -> dict[str, Any]:
    """A command of its own."""
    return GRANT | {"person": f"ann-{number}"}


# ---------------------------------------------------------------- sealed and proven


async def test_from_the_founding_on_every_commit_is_sealed(site: Site) -> None:
    assert (await stated(site)).size == 1
    for number in range(3):
        await site.give(ATLAS, "sam", granted(number))
        await sound(site)


async def test_every_answer_is_proven_and_a_refusal_too(site: Site) -> None:
    accepted = await site.give(ATLAS, "sam", GRANT)
    refused = await site.give(ATLAS, "bo", GRANT | {"office": "treasurer"})
    assert refused.refusal is not None
    for answer in (accepted, refused):
        assert (await shown(site, site.recorder, answer)).size == answer.entry.position


async def test_a_repeated_command_is_proven_by_what_the_log_signed_since(site: Site) -> None:
    one = derived_id("once")
    await site.give(ATLAS, "sam", GRANT, command_id=one)
    await site.give(ATLAS, "sam", granted(2))
    again = await site.give(ATLAS, "sam", GRANT, command_id=one)
    assert (again.entry.position, (await shown(site, site.recorder, again)).size) == (2, 3)


async def test_an_entry_after_what_the_log_signed_last_has_no_proof(site: Site) -> None:
    site.log._sealed = None
    again = await site.recorder.record(site.signed(ATLAS, "sam", GRANT))
    assert await site.recorder.proof(again._replace(commit=None)) is not None
    site.log._sealed = Sealed(1, b"older")
    assert await site.recorder.proof(again._replace(commit=None)) is None


@pytest.mark.parametrize("place", ["memory", "sqlite"])
async def test_commands_of_many_at_once_are_sealed_in_batches_and_each_is_proven(place: str, tmp_path: Path) -> None:
    site = Site()
    site.log = log = MemoryLog() if place == "memory" else await SqliteLog.open(tmp_path / "log.db")  # type: ignore[assignment]
    site.recorder = Recorder(log, clock=site.clock, signing=site.signing)
    await site.found()
    answers = await asyncio.gather(*(site.give(ATLAS, "sam", granted(number)) for number in range(300)))
    sizes = {(await shown(site, site.recorder, answer)).size for answer in answers}
    assert len(sizes) < 100, "they were recorded together"
    await sound(site)
    assert len(await log.hashes(1, 0, 9)) == 1
    assert await sealing.mend(log) == 0
    await site.recorder.close()
    await log.close()


# ---------------------------------------------------------------- one history


async def test_workers_with_keys_of_their_own_seal_one_history(site: Site) -> None:
    other = worker(site, "log-2")
    await site.enrol_log_key("log-2")
    for number in range(3):
        for recorder in (site.recorder, other):
            answer = await recorder.record(site.signed(ATLAS, "sam", granted(2 * number + (recorder is other))))
            await shown(site, recorder, answer)
            await sound(site)
    await other.close()


async def test_who_starts_from_a_snapshot_goes_on_where_the_log_stands(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(site.give(ATLAS, "sam", granted(number)) for number in range(300)))
    monkeypatch.setattr(snapshots, "REGISTER_EVERY", 1)
    await SnapshotKeeper(site.log, CATALOG).keep_register(1_000)
    await site.give(ATLAS, "sam", granted(300))
    later = worker(site)
    await later.record(site.signed(ATLAS, "sam", granted(301)))
    await sound(site)
    await later.close()


async def test_what_is_kept_wrongly_is_mended_before_anything_is_signed(site: Site) -> None:
    await asyncio.gather(*(site.give(ATLAS, "sam", granted(number)) for number in range(300)))
    await site.log.keep_hashes([Kept(1, 0, b"?" * 32)])
    later = worker(site)
    await later.record(site.signed(ATLAS, "sam", granted(300)))
    await sound(site)
    assert await sealing.mend(site.log) == 0
    await later.close()


async def test_nothing_is_recorded_on_entries_other_than_those_that_the_log_signed(site: Site) -> None:
    edge = Frontier().extended([b"another entry's hash".ljust(32)]).frontier
    lie = sealing.seal(edge, [], site.signing.note_key(origin_of(site.first)))
    site.log._sealed = lie.sealed
    later = worker(site)
    with pytest.raises(Damaged, match="not those that the log signed"):
        await later.record(site.signed(ATLAS, "sam", GRANT))
    assert isinstance(later.unfit, Damaged)
    await later.close()


async def test_nothing_is_recorded_on_an_older_copy_of_what_the_log_signed(site: Site) -> None:
    await site.give(ATLAS, "sam", GRANT)
    newest = site.log._sealed
    copy = MemoryLog()
    await copy.append(await site.log.read(0, 1), None, Seal(newest, []))
    later = worker(site, log=copy)
    with pytest.raises(FellBack):
        await later.record(site.signed(ATLAS, "sam", granted(2)))
    await later.close()


async def test_what_somebody_else_put_in_the_checkpoints_place_is_passed_over_and_replaced(site: Site) -> None:
    key = Signing(site.signers.key("a stranger's")).note_key(origin_of(site.first))
    site.log._sealed = Sealed(7, checkpoint.sign(Checkpoint(origin_of(site.first), 7, bytes(32)), key))
    for forged in (site.log._sealed, Sealed(1, b"nonsense")):
        site.log._sealed = forged
        later = worker(site)
        await later.record(site.signed(ATLAS, "sam", granted(len(forged.checkpoint))))
        await sound(site)
        await later.close()


# ---------------------------------------------------------------- keys


async def test_a_worker_whose_key_is_not_enrolled_records_nothing_until_it_is(site: Site) -> None:
    other = worker(site, "log-2")
    given = site.signed(ATLAS, "sam", GRANT)
    with pytest.raises(KeyNotEnrolled, match="is not enrolled"):
        await other.record(given)
    assert await site.log.find([given.command_id]) == []
    await site.enrol_log_key("log-2")
    assert (await other.record(given)).refusal is None
    assert other.unfit is None
    await sound(site)
    await other.close()


async def test_a_worker_whose_key_is_revoked_seals_that_entry_and_records_nothing_after_it(site: Site) -> None:
    await site.enrol_log_key("log-2")
    revoke = {"kind": "revoke_log_key", "public_key": site.signers.line(LOG)}
    await site.give(ATLAS, "sam", revoke)
    given = [site.signed(ATLAS, "bo", revoke), *(site.signed(ATLAS, "sam", granted(number)) for number in range(20))]
    last, *rest = await asyncio.gather(*map(site.recorder.record, given), return_exceptions=True)
    assert isinstance(last, Recorded)
    after = [each for each in rest if not (isinstance(each, Recorded) and each.entry.position < last.entry.position)]
    assert all(isinstance(each, KeyNotEnrolled) for each in after), after
    assert (await stated(site)).size == last.entry.position == (await site.log.head()).position
    other = worker(site, "log-2")
    await other.record(given[1])
    await sound(site)
    await other.close()


async def test_where_nobody_signs_nothing_is_sealed() -> None:
    log = MemoryLog()
    recorder = Recorder(log)
    assert (await log.sealed(), (await recorder.replica()).frontier, await log.head()) == (None, None, EMPTY)
    await recorder.close()


def test_only_an_ed25519_key_signs_the_log() -> None:
    key = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(TypeError, match="Ed25519"):
        Signing(key)
    assert log_keys("a-log", ["nonsense", key.public_key.line]) == ()
