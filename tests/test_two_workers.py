"""Two workers share a log: each command once, each caller his answer, and a follower misses nothing (tests/two_workers.py)."""

from __future__ import annotations

import pytest
from temporalio.client import Client

from tests.test_shell import temporal
from tests.two_workers import run

__all__ = ["temporal"]


@pytest.mark.timeout(600)
async def test_two_workers_on_one_log_lose_double_and_reorder_nothing(temporal: Client, postgres_url: str, *, long: bool) -> None:
    commands, streams, clients = (5_000, 200, 8) if long else (200, 20, 2)
    outcome = await run(temporal, postgres_url, commands, streams, clients)
    assert outcome.problems == []
    assert outcome.entries == commands
    assert min(outcome.by_worker) > 0
