"""How many signatures a second are checked, of every kind of key, on one thread and on two: reading the text and the arithmetic.

One run, interleaved rounds, medians. `bare` is the arithmetic of `cryptography` alone, for an Ed25519 key. Messages have 800 bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from signatures import sshsig
from signatures.sshsig import Purpose
from tests.authenticator import ORIGIN, Pen, pens

MESSAGE: Final = bytes(800)
SECONDS: Final = 0.5
ROUNDS: Final = 5
TARGET: Final = 0.8
"""Of the bare arithmetic on as many threads, for Ed25519."""
TARGET_TWO: Final = 1.6
"""Two threads, against one: more than that of two cores are the other programs'."""


def checks(by: Pen) -> Callable[[], None]:
    """One check, as a command's signature is checked."""
    armoured = sshsig.armour(sshsig.encode(by.sign(MESSAGE)))
    return lambda: sshsig.verify(sshsig.parse(armoured), MESSAGE, Purpose.COMMAND, by.public_key, {ORIGIN})


def bare(by: Pen) -> Callable[[], None]:
    """The arithmetic that cannot be saved."""
    data = sshsig.to_be_signed(MESSAGE, Purpose.COMMAND)
    public, value = ed25519.Ed25519PublicKey.from_public_bytes(by.public_key.point), by.raw(data)
    return lambda: public.verify(value, data)


def rate(check: Callable[[], None], threads: int) -> float:
    """Checks a second, by so many threads together."""

    def one() -> int:
        done, end = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            for _ in range(20):
                check()
            done += 20
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(lambda _: one(), range(threads)))
    return done / (time.perf_counter() - began)


def main() -> None:
    """Prints a row for each kind of key."""
    by = pens()
    what: Mapping[str, Callable[[], None]] = {"bare": bare(by["ed25519"])} | {kind: checks(each) for kind, each in by.items()}
    seen: dict[tuple[str, int], list[float]] = {(name, threads): [] for name in what for threads in (1, 2)}
    for _ in range(ROUNDS):
        for (name, threads), rates in seen.items():
            rates.append(rate(what[name], threads))
    medians = {each: median(rates) for each, rates in seen.items()}
    for name in what:
        one, two = medians[name, 1], medians[name, 2]
        print(f"{name:<12} one thread {one:7,.0f}/s   two threads {two:7,.0f}/s   ({two / one:.2f} times)")
    share = medians["ed25519", 1] / medians["bare", 1]
    print(f"target: at least {TARGET} of the bare arithmetic: {share:.2f}, {'met' if share >= TARGET else 'missed'}")
    gain = medians["ed25519", 2] / medians["ed25519", 1]
    print(f"target: two threads at least {TARGET_TWO} times one: {gain:.2f}, {'met' if gain >= TARGET_TWO else 'missed'}")


if __name__ == "__main__":
    main()
