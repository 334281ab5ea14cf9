"""A network of its own: nothing that listens in it takes a port of this machine, and nothing in it reaches anything else."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from trial.shell import call, succeeds

_CLONE_NEWNET: Final = 0x40000000
BRIDGE: Final = "trial"
HOST: Final = "10.77.0.1"
"""Where containers reach PostgreSQL, Temporal and the mail server."""


@contextmanager
def networks(names: Sequence[str]) -> Iterator[None]:
    """Leaves this machine's network for an empty one, for as long as the process lives, and joins a named network for each container to it."""
    # os.unshare comes with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network cannot be left")
    call("ip", "link", "set", "lo", "up")
    call("ip", "link", "add", BRIDGE, "type", "bridge")
    call("ip", "address", "add", f"{HOST}/24", "dev", BRIDGE)
    call("ip", "link", "set", BRIDGE, "up")
    try:
        for number, name in enumerate(names, 2):
            _join(name, number)
        yield
    finally:
        for name in names:
            succeeds("ip", "netns", "delete", name)


def _join(name: str, number: int) -> None:
    call("ip", "netns", "add", name)
    call("ip", "link", "add", f"{BRIDGE}{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
    call("ip", "link", "set", f"{BRIDGE}{number}", "master", BRIDGE, "up")
    call("ip", "-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        call("ip", "-n", name, "link", "set", device, "up")


def named(part: str) -> str:
    """A network's name, and its container's, that no other run on this machine has."""
    return f"trial-{os.getpid()}-{part}"
