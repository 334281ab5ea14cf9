"""Random histories: a state machine tried many times over, with the same luck in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def play(machine: type[RuleBasedStateMachine], *, histories: int, steps: int) -> None:
    """Plays so many histories of at most so many steps; the first that breaks a law is made as short as it can be, and raised."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def try_laws(
    machine: type[RuleBasedStateMachine],
    accepted: Counter[str],
    floor: Mapping[str, int],
    *,
    histories: int,
    steps: int = 50,
    long: bool,
) -> None:
    """Plays 25 times as many when `long`. `floor` says how often each command must have been accepted then, so that the laws were tried
    on it; a short run asks for a third.
    """
    accepted.clear()
    play(machine, histories=histories * 25 if long else histories, steps=steps)
    rare = {kind: accepted[kind] for kind, least in floor.items() if accepted[kind] < (least if long else max(least // 3, 1))}
    # Which histories are tried depends on the modules that happen to be loaded: a few rare commands may be missed in a short run.
    assert len(rare) <= (0 if long else len(floor) // 4), f"accepted too rarely: {rare}, of {dict(accepted)}"
