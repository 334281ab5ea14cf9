"""Fetching a component that lies elsewhere: over https from public addresses only, streamed, hashed and bounded."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from activities.artifacts import Told, Unfit

LIMIT: Final = 512 * 1024 * 1024
"""The most bytes of one component that are fetched."""
REDIRECTS: Final = 5
TRIES: Final = 3
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
        """What is at the address, after redirects. Raises `Unfit` for what is not there, is too large or may not be asked."""
        for attempt in range(1, TRIES + 1):
            try:
                return self._fetched(address, told)
            except (httpx.HTTPError, OSError) as error:
                if attempt == TRIES:
                    raise Unfit(address, f"could not be fetched ({type(error).__name__})", "missing") from error
        raise AssertionError(address)

    def _fetched(self, address: str, told: Told) -> Fetched:
        with httpx.Client(transport=self._transport, timeout=20, trust_env=True, headers={"Accept-Encoding": "identity"}) as client:
            place = address
            for _ in range(REDIRECTS + 1):
                self._require_public(address, place)
                with client.stream("GET", place) as answer:
                    if answer.is_redirect and "location" in answer.headers:
                        place = urljoin(place, answer.headers["location"])
                        continue
                    if answer.status_code >= 500:
                        answer.raise_for_status()
                    if answer.status_code != 200:
                        raise Unfit(address, f"the server answers {answer.status_code}", "missing")
                    return self._hashed(address, answer, told)
        raise Unfit(address, f"more than {REDIRECTS} redirects", "missing")

    def _hashed(self, address: str, answer: httpx.Response, told: Told) -> Fetched:
        digest, size, beginning = hashlib.sha256(), 0, bytearray()
        for chunk in answer.iter_raw(1024 * 1024):
            size += len(chunk)
            if size > self._limit:
                raise Unfit(address, f"larger than {self._limit} bytes; release it as a file, or name its description")
            digest.update(chunk)
            if len(beginning) < KEPT:
                beginning += chunk[: KEPT - len(beginning)]
            told(address, size)
        return Fetched(digest.hexdigest(), size, bytes(beginning))

    def _require_public(self, address: str, place: str) -> None:
        parts = urlsplit(place)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise Unfit(address, "only https is fetched, without a user name", "missing")
        if not all(ipaddress.ip_address(found.partition("%")[0]).is_global for found in self._resolve(parts.hostname)):
            raise Unfit(address, f"{parts.hostname} is no machine on the public internet", "missing")
