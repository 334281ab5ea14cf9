"""What the activities that touch the outside world have in common.

An activity takes an owed step and brings back its outcome: a command for the stream that owes it, as JSON. A fault is an
exception, and Temporal tries again; what no further try can mend is the outcome `fail_step`, and waits for a person.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final

from temporalio import activity

from domain.kernel import Step, visible

Outcome = dict[str, Any]
"""A command as JSON; its `step` is the key of the step it answers."""

CarryOut = Callable[[Step], Awaitable[Outcome]]
"""What every outside activity is: called again with the same step, it does the same again, and others can tell."""

Now = Callable[[], datetime]
"""Tells the time in UTC."""

FAILED: Final = "fail_step"
"""The kind of the outcome of a step that failed for good."""
_LASTING: Final = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
)


def passes(error: OSError) -> bool:
    """Whether the next try may go well though nobody touches the file: a full disk, a share that is away, too many open files.

    A file that is not there, is another thing, or may not be read waits for a person instead.
    """
    return error.errno not in _LASTING


def done(step: Step) -> Outcome:
    """The step was carried out, and there is nothing else to say."""
    return {"kind": "step_done", "step": step.key}


def failed(step: Step, reason: str) -> Outcome:
    """The step failed for good: a person reads the reason and does what it says."""
    return {"kind": FAILED, "step": step.key, "reason": plain(reason, 1_000)}


def stream() -> str:
    """The stream that owes the step: the id of the workflow that drives it. Empty outside Temporal."""
    return activity.info().workflow_id or "" if activity.in_activity() else ""


Authenticate = Callable[[bytes], str]
"""The authentication code of the progress of one try of a step: workers who share a log key make the same."""
_authenticate: Final[ContextVar[Authenticate | None]] = ContextVar("authenticate", default=None)


@contextmanager
def progress_authenticated(authenticate: Authenticate | None) -> Iterator[None]:
    """Meanwhile progress is believed only with its code: whoever works on the task queue can write progress. Without `authenticate` all is."""
    token = _authenticate.set(authenticate)
    try:
        yield
    finally:
        _authenticate.reset(token)


def former_progress() -> dict[str, str]:
    """The progress that an earlier try of this step kept last; empty on the first, and where it is not known to be a worker's of this log."""
    details, authenticate = activity.info().heartbeat_details if activity.in_activity() else (), _authenticate.get()
    if not details or not isinstance(details[0], dict):
        return {}
    if authenticate is None:
        return dict(details[0])
    code = details[1] if len(details) > 1 else None
    if not isinstance(code, str) or not code.isascii():  # other text cannot be compared in constant time
        return {}
    return dict(details[0]) if compare_digest(code, authenticate(_canonical(details[0]))) else {}


def keep_progress(progress: Mapping[str, str]) -> None:
    """Keeps the activity alive, and its progress for the next try. Temporal may keep a slightly older one."""
    if activity.in_activity():
        authenticate = _authenticate.get()
        activity.heartbeat(dict(progress), *(() if authenticate is None else (authenticate(_canonical(progress)),)))


def _canonical(progress: Mapping[str, str]) -> bytes:
    return json.dumps(progress, sort_keys=True).encode()


def plain(text: str, limit: int) -> str:
    """Foreign text as one line that a `Name` may hold: nothing invisible or steering a display, at most `limit` characters."""
    whole = visible(text)
    return whole if len(whole) <= limit else visible(whole[: limit - 1] + "…")
