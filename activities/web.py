"""Asking other machines by HTTP, bounded: in bytes, in time, in redirects and in pages, and never a machine that was not meant.

Only addresses of the public internet are asked, wherever a name or a redirect leads, unless the settings name a host or a network
(`CONSORTIUM_PRIVATE_HOSTS`). A name is resolved once, and the very machine that was looked at is asked. Redirects are followed
for reading only, and never from https to http.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx

from activities.bounded import Unreadable, json_value
from activities.private import PUBLIC, Private

BYTES: Final = 16 * 1024 * 1024
"""The most of one answer that is read."""
SECONDS: Final = 60
"""How long one answer may take, from the connection to its last byte."""
REDIRECTS: Final = 3
PAGES: Final = 1_000
"""The most pages of one list."""
LATER: Final = frozenset((408, 425, 429))
"""Answers by which a server puts us off."""

Resolve = Callable[[str, int], list[str]]
"""The addresses of a host. Raises `OSError`."""


class Refused(Exception):
    """What is asked for may not be asked, or what came back is more than is taken: trying again changes nothing."""


class Unreachable(OSError):
    """The server could not be asked, or did not answer whole: that says nothing about what it has. Worth another try."""


class Turned(Exception):
    """The server answered that it does not give this; `status` says how."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answers {status}")
        self.status = status


def addresses(host: str, port: int) -> list[str]:
    """See `Resolve`."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, as it comes in."""

    status: int
    chunks: Iterator[bytes]

    def body(self, most_bytes: int = BYTES) -> bytes:
        """All of it. Raises `Refused` beyond the bound, and `Unreachable`."""
        body = bytearray()
        for chunk in self.chunks:
            body += chunk
            if len(body) > most_bytes:
                raise Refused(f"the answer is larger than {most_bytes} bytes")
        return bytes(body)


class Web:
    """Asks by http and https. Safe to use from several threads."""

    def __init__(
        self, private: Private = PUBLIC, *, resolve: Resolve = addresses, transport: httpx.BaseTransport | None = None,
        seconds: float = SECONDS, https_only: bool = False,
    ) -> None:  # fmt: skip
        self._private = private
        self._resolve = resolve
        self._transport = transport
        self._seconds = seconds
        self._https_only = https_only

    @cached_property
    def _client(self) -> httpx.Client:
        # A connection is made for one host's name, and kept for none: another name at the same address must not get it.
        alone = httpx.Limits(max_keepalive_connections=0)
        waiting = min(20, self._seconds)
        return httpx.Client(transport=self._transport, limits=alone, timeout=waiting, headers={"Accept-Encoding": "identity"})

    @contextmanager
    def asked(
        self, address: str, *, method: str = "GET", parameters: Mapping[str, str] | None = None, content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Answer]:  # fmt: skip
        """The answer to a request, whatever its status. Raises `Refused` and `Unreachable`."""
        with _reached():
            place = str(httpx.URL(address, params=dict(parameters))) if parameters else address
        with _Patience(self._seconds) as patience:
            yield from self._followed(method, place, content, dict(headers or {}), patience)

    def _followed(self, method: str, place: str, content: bytes | None, headers: dict[str, str], patience: _Patience) -> Iterator[Answer]:
        for _ in range(REDIRECTS + 1):
            request = self._request(method, place, content, headers, patience)
            with patience.kept(), _reached(), _sent(self._client, request) as response:
                target = response.headers.get("location", "")
                if method != "GET" or not (response.is_redirect and target):
                    yield Answer(response.status_code, _in_time(response, patience))
                    return
                further = urljoin(place, target)
                if place.startswith("https:") and not further.startswith("https:"):
                    raise Refused("it is redirected from https to http")
                place = further
        raise Refused(f"more than {REDIRECTS} redirects")

    def json(
        self, address: str, parameters: Mapping[str, str] | None = None, *, most_bytes: int = BYTES, number: Callable[[str], Any] = str
    ) -> Any:
        """The JSON value at an address. Raises `Turned` for an answer that is none, `Refused` and `Unreachable`."""
        with self.asked(address, parameters=parameters) as answer:
            require_well(answer.status)
            body = answer.body(most_bytes)
        try:
            return json_value(body, most_bytes=most_bytes, number=number, constant=number)
        except Unreadable as error:
            raise Refused(f"the answer: {error}") from error

    def _request(
        self, method: str, place: str, content: bytes | None, headers: dict[str, str], patience: _Patience
    ) -> httpx.Request:  # fmt: skip
        """A request to the very machine whose address was looked at: a name that is resolved a second time may lead elsewhere."""
        parts = urlsplit(place)
        if parts.scheme not in ({"https"} if self._https_only else {"http", "https"}) or not parts.hostname or parts.username is not None:
            raise Refused(f"only {'https' if self._https_only else 'http and https'} is asked, without a user name")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            found = self._resolve(parts.hostname, port)
        except ValueError as error:
            raise Refused("the address names no port") from error
        except OSError as error:
            raise Unreachable(f"{parts.hostname} cannot be found") from error
        if not found or not all(self._private.admits(parts.hostname, each) for each in found):
            raise Refused(f"{parts.hostname} is no machine on the public internet, and CONSORTIUM_PRIVATE_HOSTS does not name it")
        return self._client.build_request(
            method, httpx.URL(place).copy_with(host=found[0]), content=content, headers={**headers, "Host": parts.netloc},
            extensions={"sni_hostname": parts.hostname, "trace": patience.follow},
        )  # fmt: skip


def require_well(status: int) -> None:
    """Passes an answer 2xx. Raises `Unreachable` for what a server may answer otherwise later, `Turned` for the rest."""
    if status >= 500 or status in LATER:
        raise Unreachable(f"the server answers {status}")
    if not 200 <= status < 300:
        raise Turned(status)


@contextmanager
def _sent(client: httpx.Client, request: httpx.Request) -> Iterator[httpx.Response]:
    response = client.send(request, stream=True)
    try:
        yield response
    finally:
        response.close()


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except httpx.InvalidURL as error:
        raise Refused("the address cannot be read") from error
    except httpx.HTTPError as error:
        raise Unreachable(type(error).__name__) from error


class _Patience:
    """Ends the connections of one exchange when it has taken too long, whatever they wait for: the handshake, the head or the body."""

    def __init__(self, seconds: float) -> None:
        self.over = threading.Event()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []
        self._held = ExitStack()

    def __enter__(self) -> _Patience:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._held.close()

    def follow(self, name: str, info: Mapping[str, Any]) -> None:
        """Called by the connection for each thing that it does."""
        if name == "connection.connect_tcp.complete":
            # A second handle: encryption takes the first one over.
            self._sockets.append(self._held.enter_context(info["return_value"].get_extra_info("socket").dup()))
            if self.over.is_set():
                self._end()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Says what it was that ended a connection."""
        try:
            yield
        except Unreachable:
            if not self.over.is_set():
                raise
            raise Unreachable("the server takes too long to answer") from None

    def _end(self) -> None:
        self.over.set()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _in_time(response: httpx.Response, patience: _Patience) -> Iterator[bytes]:
    """The answer's bytes as they come."""
    with patience.kept(), _reached():
        for chunk in response.iter_raw():
            yield chunk
            if patience.over.is_set():
                raise Unreachable("the server takes too long to answer")


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts to addresses that the operator wrote down. Follows no redirect, and reads no more of an answer than its status."""

    proxy: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10
    """For the whole exchange: a receiver that drips cannot hold the others up."""
    trust: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, repr=False)

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int | None:
        """The status of the answer; `None` without one."""
        client = httpx.AsyncClient(verify=self.trust, proxy=self.proxy, trust_env=False, timeout=self.timeout_seconds)
        with suppress(httpx.TransportError, TimeoutError):
            sent = client.stream("POST", url, content=content, headers=dict(headers))
            async with asyncio.timeout(self.timeout_seconds), client, sent as response:
                return response.status_code
        return None
