"""A run in tables: what of its telemetry was not understood, and why claims of milestones failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.process import Table
from domain.register.state import Register
from domain.run.state import Planned, RunState, Unplanned


def tables(state: RunState, register: Register, at: datetime) -> Sequence[Table]:
    """Rows that could not be read, checkpoints without a hash, and the last reason for which each open claim failed."""
    if isinstance(state, Unplanned | Planned):
        return ()
    book = state.book
    counted = [
        ("rows of telemetry that could not be read", book.unreadable),
        ("checkpoints reported without a hash", book.watch.unhashed),
        ("checkpoints that the contract retains and nobody reported", book.missing),
    ]
    failed = [
        (milestone.id, mark.claim, mark.failed)
        for milestone in book.contract.milestones
        if (mark := book.mark(milestone.id)).failed and mark.stage != "accepted"
    ]
    return [
        Table("not_understood", ("what", "number"), [row for row in counted if row[1]]),
        Table("failed_claims", ("milestone", "claim", "reason"), failed),
    ]
