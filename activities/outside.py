"""What the activities that touch the outside world have in common.

An activity takes an owed step and brings back its outcome: a command for the stream that owes it, as JSON. A fault is an
exception, and Temporal tries again; what no further try can mend is the outcome `fail_step`, and waits for a person.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
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


def told_before() -> dict[str, str]:
    """The progress that an earlier try of this step told last; empty on the first."""
    details = activity.info().heartbeat_details if activity.in_activity() else ()
    return dict(details[0]) if details else {}


def tell_progress(progress: Mapping[str, str]) -> None:
    """Keeps the activity alive, and its progress for the next try. Temporal may keep a slightly older one."""
    if activity.in_activity():
        activity.heartbeat(dict(progress))


def plain(text: str, limit: int) -> str:
    """Foreign text as one line that a `Name` may hold: nothing invisible or steering a display, at most `limit` characters."""
    whole = visible(text)
    return whole if len(whole) <= limit else visible(whole[: limit - 1] + "…")
