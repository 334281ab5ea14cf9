"""Which 32 bytes are a public key of Ed25519 (RFC 8032) that a signer can have: libsodium's `crypto_core_ed25519_is_valid_point`.

OpenSSH and `cryptography` take any bytes. Under a point of small order one signature fits many messages or all of them; under one with a part of
small order two verifiers may disagree about a signature. Every key made by the standard is in the subgroup of prime order, and written in one way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

PRIME: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Of the subgroup that signatures are made in."""
_D: Final = -121665 * pow(121666, -1, PRIME) % PRIME
_ROOT_OF_MINUS_ONE: Final = pow(2, (PRIME - 1) // 4, PRIME)


class Point(NamedTuple):
    """A point of the curve in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z."""

    x: int
    y: int
    z: int
    t: int

    @property
    def neutral(self) -> bool:
        """Whether adding it changes nothing."""
        return self.x % PRIME == 0 and (self.y - self.z) % PRIME == 0


_NEUTRAL: Final = Point(0, 1, 1, 0)


@lru_cache(maxsize=4_096)
def weakness(encoded: bytes) -> str | None:
    """What is wrong with 32 bytes as a public key, in a few words; `None` when nothing is. About a millisecond; the last 4,096 answers are kept."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= PRIME:
        return "its point is not written in the canonical form"
    point = _point(y, odd=bool(encoded[31] >> 7))
    if point is None:
        return "its point is not on the curve"
    if _times(8, point).neutral:
        return "its point has a small order, so that a signature fits more than one message"
    if not _times(ORDER, point).neutral:
        return "its point has a part of small order, which no key that was made by the standard has"
    return None


def _point(y: int, *, odd: bool) -> Point | None:
    """The point with this y, and with an odd or even x, if there is one (RFC 8032, section 5.1.3)."""
    above, below = (y * y - 1) % PRIME, (_D * y * y + 1) % PRIME
    x = above * pow(below, 3, PRIME) * pow(above * pow(below, 7, PRIME), (PRIME - 5) // 8, PRIME) % PRIME
    if (below * x * x - above) % PRIME:
        x = x * _ROOT_OF_MINUS_ONE % PRIME
    if (below * x * x - above) % PRIME or (x == 0 and odd):
        return None
    if x % 2 != odd:
        x = PRIME - x
    return Point(x, y, 1, x * y % PRIME)


def _plus(one: Point, other: Point) -> Point:
    """Their sum, also of a point and itself (RFC 8032, section 5.1.4)."""
    a = (one.y - one.x) * (other.y - other.x) % PRIME
    b = (one.y + one.x) * (other.y + other.x) % PRIME
    c = one.t * 2 * _D * other.t % PRIME
    d = one.z * 2 * other.z % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return Point(e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME)


def _times(count: int, point: Point) -> Point:
    """The point added to itself; public values only: how long it takes tells the bits."""
    found = _NEUTRAL
    for bit in f"{count:b}":
        found = _plus(found, found)
        if bit == "1":
            found = _plus(found, point)
    return found
