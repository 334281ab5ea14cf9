"""A release in tables: for each stage that it has not reached, the gates that are met and those that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from domain.process import Cell, Table
from domain.register.state import Register
from domain.release.gates import earliest, following, gates, rules_of
from domain.release.state import Held, Pending, ReleaseState, Signed, Staged, Verifying
from domain.release.terms import STAGES


def tables(state: ReleaseState, register: Register, at: datetime) -> Sequence[Table]:
    """What `advance_release` would look at, before anybody asks for it."""
    if not isinstance(state, Pending | Held) or not isinstance(state.place, Verifying | Staged):
        return ()
    return [Table("gates", ("stage", "gate", "stands"), list(_gates(state, state.place, register, at)))]


def _gates(state: Pending | Held, place: Signed, register: Register, at: datetime) -> Iterator[tuple[Cell, ...]]:
    release, rules = state.release, rules_of(state.release, register)
    upcoming = following(place)
    for stage in STAGES[STAGES.index(upcoming) :]:
        if isinstance(state, Held):
            yield stage.value, f"held by {state.hold.by}", "missing"
        begins = earliest(release, place, rules) if stage is upcoming else None
        if begins is not None:
            yield stage.value, begins, "met" if at >= begins else "missing"
        yield from ((stage.value, gate.words, "met" if gate.met else "missing") for gate in gates(release, place.edition, stage, register))
