"""Workers that die: work is done in a process of its own and killed at one of its effects outside, without a word."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from typing import Any, Final, NoReturn, TypeVar

EFFECTS: Final = frozenset(
    ("os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "http.client.send")
)  # fmt: skip
"""What the interpreter's audit hooks call changes of the file system, and requests over HTTP."""

PAUSE_SECONDS: Final = 0.005
PATIENCE_SECONDS: Final = 30
"""How long a child is waited for: a bound that shows one which never ends."""
TRIES: Final = 2
"""A child that was forked while another thread held a lock may never get on, and that is no fault of its work: once more it is tried."""

P = TypeVar("P")


def dies(fresh: Callable[[], P], work: Callable[[P], object], at: int) -> tuple[P, bool]:
    """Does work at a fresh place, in a process of its own, and kills it, without a word, at the effect outside that has this number.

    The place, and whether the work lived to that effect. Fails where the work fails, and where it hangs at one fresh place after another.
    """
    for _ in range(TRIES):
        place = fresh()
        child = os.fork()
        if child == 0:
            _work(work, place, at)
        status = _status(child)
        if status is None:
            continue
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or os.waitstatus_to_exitcode(status) == 0, f"the work failed before effect {at}: see what its process printed"
        return place, killed
    raise AssertionError(f"the work hangs before effect {at}: tried {TRIES} times, it did not end within {PATIENCE_SECONDS} seconds")


def _work(work: Callable[[P], object], place: P, at: int) -> NoReturn:
    """What the child does."""
    effects = count(1)

    def kill(event: str, _arguments: tuple[object, ...]) -> None:
        if event in EFFECTS and next(effects) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        import httpx2

        send = httpx2.Client.send

        def audited(*arguments: Any, **options: Any) -> Any:
            sys.audit("http.client.send")
            return send(*arguments, **options)

        httpx2.Client.send = audited  # type: ignore[method-assign]
        sys.addaudithook(kill)
        work(place)
        code = 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(code)


def _status(child: int) -> int | None:
    """How a child ended; `None` for one that did not in time, and was killed."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(PAUSE_SECONDS)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
