"""Workers that die: work is done in a process of its own and killed at one of its effects outside, without a word."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

EFFECTS = frozenset(("os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "http.client.send"))
"""What the interpreter's audit hooks call changes of the file system, and requests over HTTP."""

PAUSE_SECONDS = 0.005
PATIENCE = 10_000
"""So many pauses are waited for a child to end."""


def dies(work: Callable[[], object], at: int) -> bool:
    """Whether the work, done in a process of its own, lives to the effect outside that has this number: there it is killed, without a word."""
    child = os.fork()
    if child == 0:
        effects = count(1)

        def kill(event: str, _arguments: tuple[object, ...]) -> None:
            if event in EFFECTS and next(effects) == at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        try:
            import httpx2

            send = httpx2.Client.send

            def audited(*arguments: Any, **options: Any) -> Any:
                sys.audit("http.client.send")
                return send(*arguments, **options)

            httpx2.Client.send = audited  # type: ignore[method-assign]
            work()
        finally:
            os._exit(0)
    return _ended_by_a_signal(child)


def _ended_by_a_signal(child: int) -> bool:
    """How a child ended. One that was forked while another thread held a lock may never get on: it is killed, as if at its effect."""
    for _ in range(PATIENCE):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status)
        time.sleep(PAUSE_SECONDS)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True
