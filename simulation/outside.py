"""What the outside world answers on the virtual clock, where nothing real is reached.

Everything that is asked for works. Nobody is on a sanctions list, trainers write nothing more, files are as they were signed, and
publishers show what they are given. What only a real file can say (the results of an evaluation) fails, and waits for a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from domain.kernel import Step

Answer = Callable[[Step], dict[str, Any]]


def _digest(step: Step, what: str) -> str:
    """A digest in the place of that of a file which nobody wrote; the same for the same step."""
    return hashlib.sha256(f"simulated {what} of {step.key}".encode()).hexdigest()


def _screened(step: Step) -> dict[str, Any]:
    return {
        "kind": "screening_completed", "step": step.key, "list": "simulated", "list_digest": "0" * 64,
        "list_date": "2026-11-01", "list_age_days": 1, "entries": 10_000, "score": 0, "match": "",
    }  # fmt: skip


def _nothing_new(step: Step) -> dict[str, Any]:
    return {**_outcome(step, "telemetry_reported", "number", "cursor"), "watch": step.data["watch"]}


def _listed(step: Step) -> dict[str, Any]:
    return {**_outcome(step, "manifest_built", "edition"), "manifest": _digest(step, "manifest"), "files": 1, "bytes": 0}


def _signed(step: Step) -> dict[str, Any]:
    signature, key = _digest(step, "signature"), _digest(step, "key")
    return {**_outcome(step, "manifest_signed", "edition", "manifest"), "signature": signature, "key": key}


def _not_classified(step: Step) -> dict[str, Any]:
    return {**_outcome(step, "classification_failed", "check"), "reason": "the simulation has no files"}


def _documented(step: Step) -> dict[str, Any]:
    return {**_outcome(step, "documents_written", "edition", "stage"), "card": _digest(step, "card"), "bill": _digest(step, "bill")}


def _shown(step: Step) -> dict[str, Any]:
    return {**_outcome(step, "published", "edition", "stage", "publisher", "manifest"), "where": "simulated"}


def _without_results(step: Step) -> dict[str, Any]:
    return {"kind": "fail_step", "step": step.key, "reason": "the simulation has no results of evaluations"}


def _outcome(step: Step, kind: str, *same: str) -> dict[str, Any]:
    """An outcome that repeats these of the step's data."""
    return {"kind": kind, "step": step.key, **{name: step.data[name] for name in same}}


ANSWERS: Final[Mapping[str, Answer]] = {
    "screen": _screened,
    "notify": lambda step: {"kind": "step_done", "step": step.key},
    "follow_telemetry": _nothing_new,
    "read_evaluation": _without_results,
    "build_manifest": _listed,
    "sign_manifest": _signed,
    "verify_artifacts": lambda step: _outcome(step, "artifacts_verified", "check", "manifest"),
    "classify_openness": _not_classified,
    "write_documents": _documented,
    "publish": _shown,
    "withdraw": lambda step: _outcome(step, "withdrawn", "publisher"),
    "open_access": lambda step: _outcome(step, "access_opened", "publisher", "opening"),
    "close_access": lambda step: _outcome(step, "access_closed", "publisher", "opening"),
}
"""By the kind of step. The bank's are answered by the simulated bank, and what one process tells another by that other process."""


async def silent(step: Step) -> dict[str, Any]:
    """See the module: an outside world that does what it is asked, and nothing of its own accord."""
    return ANSWERS[step.kind](step)
