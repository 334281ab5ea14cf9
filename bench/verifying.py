"""How many signatures a second are checked, of every kind of key, on one thread and on two: reading the text and the arithmetic.

`python -m bench.verifying [--rounds 5]`: interleaved rounds, medians. `bare` is the arithmetic of `cryptography` alone, for an Ed25519 key. Messages have 800 bytes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ed25519

from signatures import sshsig
from signatures.sshsig import Purpose
from tests.authenticator import ORIGIN, Pen, pens

MESSAGE: Final = bytes(800)
SECONDS: Final = 0.5
ROUNDS: Final = 5
TARGET: Final = 0.8
"""The share of the bare arithmetic in a check of Ed25519, by the processor's time."""
TARGET_TWO: Final = 1.6
"""Two threads, against one, where two cores are free for them: the rest is under the interpreter's lock."""


def checks(by: Pen) -> Callable[[], None]:
    """One check, as a command's signature is checked."""
    armoured = sshsig.armour(sshsig.encode(by.sign(MESSAGE)))
    return lambda: sshsig.verify(sshsig.parse(armoured), MESSAGE, Purpose.COMMAND, by.public_key, {ORIGIN})


def bare(by: Pen) -> Callable[[], None]:
    """The arithmetic that cannot be saved."""
    data = sshsig.to_be_signed(MESSAGE, Purpose.COMMAND)
    public, value = ed25519.Ed25519PublicKey.from_public_bytes(by.public_key.point), by.raw(data)
    return lambda: public.verify(value, data)


class Rate(NamedTuple):
    """How many checks a second there were, and what each took of a processor: that holds on a busy machine too."""

    each_second: float
    cpu_micros: float


def rate(check: Callable[[], None], threads: int) -> Rate:
    """By so many threads together."""

    def one() -> int:
        done, end = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            for _ in range(20):
                check()
            done += 20
        return done

    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(lambda _: one(), range(threads)))
    return Rate(done / (time.perf_counter() - began), (time.process_time() - used) / done * 1e6)


def main() -> None:
    """Prints a row for each kind of key; ends with 1 when a target was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    by = pens()
    what: Mapping[str, Callable[[], None]] = {"bare": bare(by["ed25519"])} | {kind: checks(each) for kind, each in by.items()}
    seen: dict[tuple[str, int], list[Rate]] = {(name, threads): [] for name in what for threads in (1, 2)}
    for _ in range(given.rounds):
        for (name, threads), rates in seen.items():
            rates.append(rate(what[name], threads))
    medians = {each: median(rate.each_second for rate in rates) for each, rates in seen.items()}
    cpu = {name: median(rate.cpu_micros for rate in seen[name, 1]) for name in what}
    for name in what:
        one, two = medians[name, 1], medians[name, 2]
        print(f"{name:<12} one thread {one:7,.0f}/s   two threads {two:7,.0f}/s   ({two / one:.2f} times)   {cpu[name]:4.0f} µs CPU each")
    share = cpu["bare"] / cpu["ed25519"]
    print(f"target: the bare arithmetic at least {TARGET} of the processor's time: {share:.2f}, {'met' if share >= TARGET else 'MISSED'}")
    gain = medians["ed25519", 2] / medians["ed25519", 1]
    print(f"target: two threads at least {TARGET_TWO} times one: {gain:.2f}, {'met' if gain >= TARGET_TWO else 'MISSED'}")
    sys.exit(share < TARGET or gain < TARGET_TWO)


if __name__ == "__main__":
    main()
