"""Fetching a component that lies elsewhere: over https from public addresses only, streamed, hashed and bounded."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from activities.artifacts import Absent, Told

LIMIT: Final = 512 * 1024 * 1024
"""The most bytes of one component that are fetched."""
REDIRECTS: Final = 5
TRIES: Final = 3
LATER: Final = frozenset((408, 425, 429))
"""Answers by which a server puts us off."""
KEPT: Final = 1024 * 1024
"""How much of the beginning is kept, for licence texts."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was found at an address."""

    sha256: str
    size: int
    beginning: bytes


Resolve = Callable[[str], list[str]]


def addresses(host: str) -> list[str]:
    """The addresses of a host. Raises `OSError`."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)})


class Fetching:
    """Fetches by https. Machines that are not on the public internet are not asked, wherever a name or a redirect leads."""

    def __init__(self, *, resolve: Resolve = addresses, transport: httpx.BaseTransport | None = None, limit: int = LIMIT) -> None:
        self._resolve = resolve
        self._transport = transport
        self._limit = limit

    def __call__(self, address: str, told: Told) -> Fetched:
        """What is at the address, after redirects.

        Raises `Absent` when its server says that it is not there, when it is too large or may not be asked. A server that cannot be
        asked now says nothing about what it has: that is a fault, to be tried again.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return self._fetched(address, told)
            except (httpx.HTTPError, OSError):
                if attempt == TRIES:
                    raise
        raise AssertionError(address)

    def _fetched(self, address: str, told: Told) -> Fetched:
        with httpx.Client(transport=self._transport, timeout=20, trust_env=True, headers={"Accept-Encoding": "identity"}) as client:
            place = address
            for _ in range(REDIRECTS + 1):
                with self._asked(client, address, place) as answer:
                    if answer.is_redirect and "location" in answer.headers:
                        place = urljoin(place, answer.headers["location"])
                        continue
                    if 400 <= answer.status_code < 500 and answer.status_code not in LATER:
                        raise Absent(address, f"the server answers {answer.status_code}")
                    if answer.status_code != 200:
                        raise httpx.HTTPStatusError(f"it answers {answer.status_code}", request=answer.request, response=answer)
                    return self._hashed(address, answer, told)
        raise Absent(address, f"more than {REDIRECTS} redirects")

    def _hashed(self, address: str, answer: httpx.Response, told: Told) -> Fetched:
        digest, size, beginning = hashlib.sha256(), 0, bytearray()
        for chunk in answer.iter_raw(1024 * 1024):
            size += len(chunk)
            if size > self._limit:
                raise Absent(address, f"larger than {self._limit} bytes; release it as a file, or name its description")
            digest.update(chunk)
            if len(beginning) < KEPT:
                beginning += chunk[: KEPT - len(beginning)]
            told(address, size)
        return Fetched(digest.hexdigest(), size, bytes(beginning))

    def _asked(self, client: httpx.Client, address: str, place: str) -> AbstractContextManager[httpx.Response]:
        """Asks the very machine whose address was looked at: a name that is resolved a second time may lead elsewhere."""
        parts = urlsplit(place)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise Absent(address, "only https is fetched, without a user name")
        found = self._resolve(parts.hostname)
        if not found or not all(ipaddress.ip_address(each.partition("%")[0]).is_global for each in found):
            raise Absent(address, f"{parts.hostname} is no machine on the public internet")
        machine = httpx.URL(place).copy_with(host=found[0])
        return client.stream("GET", machine, headers={"Host": parts.netloc}, extensions={"sni_hostname": parts.hostname})
