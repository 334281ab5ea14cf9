"""Laws of the whole consortium, under random histories on the virtual clock: members, votes and a round at once.

Whatever people do and repeat in whatever order: the log is one chain and can be decided again byte for byte, books balance
at every entry, nothing happens to a process after its end, a deadline that came does not come again, and a repeat changes
nothing. A floor on what was accepted keeps the histories from being trivial.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.kernel import Event
from domain.process import Stream, evolve
from eventstore.entries import Entry
from eventstore.memory import MemoryLog
from eventstore.replica import Replica
from simulation.scenario import FOURTEEN, ROUND, SIZE, Story
from simulation.stage import SimulatedStage
from simulation.world import Simulation
from tests.kill_worker import everything, problems
from tests.stories import START, charter

MEMBERS: Final = [organisation.member for organisation in FOURTEEN[:6]]
ENDS: Final = {
    "proposal": {"passed", "executed", "rejected", "lapsed", "withdrawn"},
    "round": {"settled", "failed", "cancelled", "withdrawn"},
    "member": {"left", "terminated", "expelled", "rejected", "lapsed", "withdrawn"},
}
AFTER_THE_END: Final = {"step_owed", "step_carried_out", "step_failed", "step_retried", "step_waived", "mandate_exercised", "mandate_granted",
                        "vote_decided", "commitment_bound", "debt_stated", "contribution_returned"}  # fmt: skip
"""What may still be stated in the entry that ends a process, or of what it owed."""

Action = tuple[str, dict[str, Any], str] | int
"""A command (stream, command, by whom), or so many days that pass; a negative number repeats an earlier command."""


def commands() -> st.SearchStrategy[Action]:
    member = st.sampled_from(MEMBERS)
    millions = st.integers(1, 120).map(lambda number: number * 1_000_000_00)
    day = START.date().isoformat()
    reference = st.integers(1, 12).map(lambda number: f"BANK-{number}")

    def by_member(build: Callable[[str], dict[str, Any]], stream: str) -> st.SearchStrategy[Action]:
        return member.map(lambda name: (stream, build(name), f"{name}-rep"))

    treasurer: Sequence[st.SearchStrategy[dict[str, Any]]] = (
        st.just({"kind": "call_tranche", "tranche": 1}),
        st.fixed_dictionaries(
            {"kind": st.just("record_payment"), "member": member, "amount": millions, "reference": reference, "value_date": st.just(day)}
        ),
        st.fixed_dictionaries({"kind": st.just("record_refund"), "member": member, "amount": millions, "reference": reference}),
        st.just({"kind": "settle_round"}),
    )
    return st.one_of(
        st.integers(1, 15),
        st.integers(-5, -1),
        st.builds(lambda name, amount: (ROUND, {"kind": "pledge", "member": name, "amount": amount}, f"{name}-rep"), member, millions),
        st.builds(lambda command: (ROUND, command, "tess"), st.one_of(*treasurer)),
        by_member(lambda name: {"kind": "withdraw_pledge", "member": name}, ROUND),
        by_member(lambda name: {"kind": "cast_ballot", "member": name, "ranking": ["8b", "32b"]}, SIZE),
        by_member(lambda name: {"kind": "cast_ballot", "member": name, "choice": "yes"}, "proposal/expel"),
        by_member(lambda name: {"kind": "cast_ballot", "member": name, "choice": "no"}, "proposal/expel"),
        by_member(lambda name: {"kind": "declare_conflict", "member": name, "reason": "a supplier"}, "proposal/expel"),
        member.map(lambda name: (f"member/{name}", {"kind": "give_notice"}, f"{name}-rep")),
        st.just(
            (
                "proposal/expel",
                {"kind": "propose", "title": "Expel", "motion": {"stream": f"member/{MEMBERS[0]}", "command": {"kind": "expel"}}},
                "sam",
            )
        ),
    )


async def history(actions: Sequence[Action]) -> tuple[list[Entry], Counter[str]]:
    """Plays the founding, then these actions; the log, and how often each kind of command was accepted."""
    log = MemoryLog()
    simulation = Simulation(START, log)
    story = Story(SimulatedStage(simulation), charter(funding__share_cap=3_000), FOURTEEN[:6])
    await story.found()
    await story.admit()
    await simulation.give(SIZE, {"kind": "propose", "title": "Size?", "decision": "steering", "options": [
        {"id": "8b", "label": "8"}, {"id": "32b", "label": "32"}]}, "lea")  # fmt: skip
    await story._open_round()
    accepted: Counter[str] = Counter()
    given_: list[tuple[str, dict[str, Any], str, str]] = []
    for number, action in enumerate(actions):
        if isinstance(action, int):
            if action > 0:
                await simulation.advance(simulation.now + timedelta(days=action))
            elif given_:
                stream, command, by, command_id = given_[action % len(given_)]
                before = await log.head()
                await simulation.give(stream, command, by, command_id)
                assert await log.head() == before, "a repeat changed something"
            continue
        stream, command, by = action
        command_id = f"00000000-0000-4000-8000-{number:012}"
        recorded = await simulation.give(stream, command, by, command_id)
        given_.append((stream, command, by, command_id))
        accepted[command["kind"]] += recorded.refusal is None
    await simulation.advance(simulation.now + timedelta(days=120))
    return await everything(log), accepted


def after_the_end(entries: Sequence[Entry]) -> list[str]:
    """What happened to processes after their end."""
    replica, states, ended, found = Replica(), dict[str, Stream[Any]](), set[str](), list[str]()
    for entry in entries:
        process = replica.process_of(entry.stream)
        events: Sequence[Event] = replica.events_of(process, entry)
        if entry.stream in ended:
            found += [f"{entry.position}: {event.kind} on {entry.stream}" for event in events if event.kind not in AFTER_THE_END]
        state = states.get(entry.stream, Stream(process.initial))
        for event in events:
            state = evolve(process, state, event)
        states[entry.stream] = state
        if process.describe(state.state).phase in ENDS.get(process.name, set()):
            ended.add(entry.stream)
    return found


def test_the_laws_hold_under_every_history(request: pytest.FixtureRequest) -> None:
    total: Counter[str] = Counter()
    examples = 400 if request.config.getoption("--long") else 40

    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink)
    )
    @given(st.lists(commands(), min_size=10, max_size=60))
    def laws(actions: list[Action]) -> None:
        entries, accepted = asyncio.run(history(actions))
        total.update(accepted)
        assert problems(entries) == []
        assert after_the_end(entries) == []

    laws()
    for kind in ("pledge", "cast_ballot", "give_notice", "propose", "withdraw_pledge"):
        assert total[kind] >= examples // 10, f"{kind} was hardly ever accepted: {total}"
