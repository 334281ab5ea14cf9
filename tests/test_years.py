"""The benchmarks' logs of years are logs: every entry is decided by the rules, and a seed is one history."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from audit.reexecute import Reexecution
from bench.mix import CALLING, mixed, prepared
from bench.signed import People
from bench.years import SIZES, Kept, Years, into_postgres, made, signers_of
from domain.kernel import LOG
from eventstore.clock import StandingClock
from eventstore.entries import Broken, Entry, verify
from eventstore.log import Log
from eventstore.postgres import PostgresLog
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from eventstore.verifying import Signing

ENTRIES: Final = 2_000
KINDS: Final = {
    "apply", "sign_agreement", "record_dues_payment", "propose", "cast_ballot", "close_vote", "open_round", "pledge", "call_tranche",
    "record_payment", "statement_read", "order_payment", "record_spending", "telemetry_reported", "accept_milestone",
}  # fmt: skip


async def entries_of(file: Path) -> list[Entry]:
    log, entries = await SqliteLog.open(file), list[Entry]()
    while page := await log.read(len(entries), 1_000):
        entries += page
    await log.close()
    return entries


async def test_a_log_of_years_is_whole_and_is_decided_again_as_it_was(tmp_path: Path, postgres_url: str) -> None:
    small, large = await made(tmp_path, [ENTRIES // 10, ENTRIES])
    entries = await entries_of(large.file)
    assert [entry.position for entry in entries] == list(range(1, ENTRIES + 1))
    assert not isinstance(verify(entries), Broken)
    assert Reexecution().check(entries) is None
    counted = Counter((entry.kind, entry.outcome) for entry in entries)
    assert not KINDS - {kind for kind, outcome in counted if outcome == "accepted"}, "a part of the consortium's life is gone"
    assert any(outcome == "refused" for _, outcome in counted)
    assert await entries_of(small.file) == entries[: ENTRIES // 10], "a shorter log is the beginning of a longer one"
    await into_postgres(small.file, postgres_url)
    copied, original = await PostgresLog.open(postgres_url), await SqliteLog.open(small.file)
    assert await copied.read(0, ENTRIES) == entries[: ENTRIES // 10]
    sealed = await copied.sealed()
    assert sealed == await original.sealed()
    assert sealed is not None
    assert sealed.size == ENTRIES // 10
    for log in (copied, original):
        await goes_on(log, small)
        await log.close()


async def goes_on(log: Log, kept: Kept) -> None:
    """Its people and its key give one more command on it, as on a rehearsal that stands still."""
    recorder = Recorder(log, clock=StandingClock(), signing=Signing(kept.signers.key(LOG)))
    options = [{"id": size, "label": size} for size in SIZES]
    proposal = {"kind": "propose", "title": "How large?", "decision": "steering", "options": options}
    given = (await People.of(log, kept.signers)).signed("proposal/one-more", "sam", proposal)
    refusal = (await recorder.record(given)).refusal
    assert refusal is None, refusal
    await recorder.close()


@pytest.mark.parametrize("signed", [False, True])
async def test_one_seed_is_one_history(signed: bool) -> None:  # noqa: FBT001
    heads = []
    for seed in (1, 1, 2):
        years = Years(seed, signers=signers_of(seed) if signed else None)
        await years.live(300)
        heads.append((await years.log.read(0, 300))[-1].hash)
    assert heads[0] == heads[1] != heads[2]


async def test_what_the_mix_needs_is_there_before() -> None:
    log, signers, lines = await prepared(20, datetime.now(UTC))
    entries = await log.read(0, 10**6)
    assert len(lines) == 20
    assert Counter(entry.kind for entry in entries)["call_tranche"] == CALLING
    assert not [entry for entry in entries if entry.outcome == "refused"]
    recorder = Recorder(log, signing=Signing(signers.key(LOG)))
    for kind, given in mixed(await People.of(log, signers), lines):
        refusal = (await recorder.record(given)).refusal
        assert refusal is None, f"{kind}: {refusal}"
    await recorder.close()
