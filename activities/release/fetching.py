"""Fetching a component that lies elsewhere: over https from public addresses only, streamed, hashed and bounded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from activities.files import Absent, Told
from activities.private import PUBLIC, Private
from activities.web import Answer, Refused, Turned, Unreachable, Web, require_well

LIMIT: Final = 512 * 1024 * 1024
"""The most bytes of one component that are fetched."""
SECONDS: Final = 3_600
"""How long one component may take: it is much larger than other answers."""
TRIES: Final = 3
KEPT: Final = 1024 * 1024
"""How much of the beginning is kept, for licence texts."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was found at an address."""

    sha256: str
    size: int
    beginning: bytes


class Fetching:
    """Fetches by https."""

    def __init__(self, private: Private = PUBLIC, *, web: Web | None = None, limit: int = LIMIT) -> None:
        self._web = web or Web(private, seconds=SECONDS, https_only=True)
        self._limit = limit

    def __call__(self, address: str, told: Told) -> Fetched:
        """What is at the address, after redirects.

        Raises `Absent` when its server says that it is not there, when it is too large or may not be asked; `Unreachable` for a
        server that cannot be asked now, which says nothing about what it has: that is a fault, to be tried again.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self._web.asked(address) as answer:
                    require_well(answer.status)
                    return self._hashed(address, answer, told)
            except (Refused, Turned) as error:
                raise Absent(address, str(error)) from error
            except Unreachable:
                if attempt == TRIES:
                    raise
        raise AssertionError(address)

    def _hashed(self, address: str, answer: Answer, told: Told) -> Fetched:
        digest, size, beginning = hashlib.sha256(), 0, bytearray()
        for chunk in answer.chunks:
            size += len(chunk)
            if size > self._limit:
                raise Absent(address, f"larger than {self._limit} bytes; release it as a file, or name its description")
            digest.update(chunk)
            if len(beginning) < KEPT:
                beginning += chunk[: KEPT - len(beginning)]
            told(address, size)
        return Fetched(digest.hexdigest(), size, bytes(beginning))
