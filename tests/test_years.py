"""The benchmarks' logs of years are logs: every entry is decided by the rules, and a seed is one history."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit.reexecute import Reexecution
from bench.mix import CALLING, prepared
from bench.years import Years, into_postgres, made
from eventstore.entries import Broken, Entry, verify
from eventstore.postgres import PostgresLog
from eventstore.sqlite import SqliteLog

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
    copied = await PostgresLog.open(postgres_url)
    assert await copied.read(0, ENTRIES) == entries[: ENTRIES // 10]
    await copied.close()


async def test_one_seed_is_one_history() -> None:
    heads = []
    for seed in (1, 1, 2):
        years = Years(seed)
        await years.live(300)
        heads.append((await years.log.read(0, 300))[-1].hash)
    assert heads[0] == heads[1] != heads[2]


async def test_what_the_mix_needs_is_there_before() -> None:
    log, lines = await prepared(20, datetime.now(UTC))
    entries = await log.read(0, 10**6)
    assert len(lines) == 20
    assert Counter(entry.kind for entry in entries)["call_tranche"] == CALLING
    assert not [entry for entry in entries if entry.outcome == "refused"]
