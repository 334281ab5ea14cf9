"""A worker ends soon when it is told to, whatever is away; and shows meanwhile what it cannot reach."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

import worker
from tests.databases import postgres
from tests.dev_server import dev_server

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shown(port: int, name: str) -> float | None:
    """A figure of the worker's metrics; `None` while there is none."""
    try:
        text = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=3).read().decode()
    except OSError:
        return None
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.]+)$", text, re.MULTILINE)
    return max(map(float, found), default=None)


async def until(port: int, name: str, holds: Callable[[float], bool]) -> None:
    """Waits until a figure is as wished."""
    async with asyncio.timeout(90):
        while (value := await asyncio.to_thread(shown, port, name)) is None or not holds(value):
            await asyncio.sleep(0.2)


@asynccontextmanager
async def working(tmp_path: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker's process as it is shipped."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONSORTIUM_", "TEMPORAL_"))}
    with (tmp_path / "worker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "worker.py", cwd=ROOT, stdout=log, stderr=log, env=environment | {"CONSORTIUM_FOLDER": str(tmp_path)} | settings
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_worker_ends_soon_while_temporal_is_away(tmp_path: Path) -> None:
    port = free_port()
    environment = await dev_server()
    address = environment.client.service_client.config.target_host
    async with working(tmp_path, CONSORTIUM_ADDRESS=address, CONSORTIUM_METRICS=f"127.0.0.1:{port}") as process:
        await until(port, "temporal_num_pollers", lambda pollers: pollers > 0)
        await environment.shutdown()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2 * worker.STOP_SECONDS):
            assert await process.wait() == 0


async def test_a_worker_shows_that_it_does_not_reach_the_log(tmp_path: Path) -> None:
    port = free_port()
    async with await dev_server() as environment:
        address = environment.client.service_client.config.target_host
        with postgres(tmp_path / "postgres") as server:
            settings = {"CONSORTIUM_ADDRESS": address, "CONSORTIUM_METRICS": f"127.0.0.1:{port}", "CONSORTIUM_LOG": server.get_uri()}
            async with working(tmp_path, **settings):
                await until(port, "log_reachable", lambda reached: reached == 1)
                server.cleanup()
                await until(port, "log_reachable", lambda reached: reached == 0)
    told = (tmp_path / "worker.log").read_text(encoding="utf-8")
    assert "worker.not_examined" in told
    assert not re.search(r'"error": "PostgreSQL: "', told)


@pytest.mark.parametrize(
    "series",
    ["log_reachable", "streams_needing_attention", "overdue_deadlines", "worker_unfit", "head_ahead_seconds", "namespace_unprepared"],
)
def test_every_figure_of_ours_has_an_alert(series: str) -> None:
    assert series in (ROOT / "deploy/prometheus-rules.yaml").read_text(encoding="utf-8")
