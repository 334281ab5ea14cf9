"""The virtual clock does what the durable shell does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from domain.charter import Office
from eventstore.answers import Recorded
from eventstore.memory import MemoryLog
from simulation.world import Simulation
from tests.stories import OFFICERS, START, charter
from tests.test_member import lei

ATLAS: Final = "consortium/atlas"
ORDER: Final = "proposal/dismissal"


class Founded:
    """A consortium after its founding."""

    def __init__(self) -> None:
        self.simulation = Simulation(START, MemoryLog())

    async def begin(self) -> None:
        officers = [{"person": person, "offices": sorted(offices)} for person, offices in OFFICERS.items()]
        await self.give(ATLAS, "found", charter=charter().model_dump(mode="json"), officers=officers)

    async def give(self, stream: str, kind: str, by: str = "sam", **fields: Any) -> Recorded:
        recorded = await self.simulation.give(stream, {"kind": kind, **fields}, by)
        assert recorded.refusal is None, recorded.refusal
        return recorded

    @property
    def phase(self) -> str:
        return self.simulation.standing(ORDER).headline.phase

    @property
    def failed(self) -> dict[str, str]:
        return dict(self.simulation.standing(ORDER).stream.failed)


async def test_what_was_refused_is_told_anew_when_a_person_asks() -> None:
    world = Founded()
    await world.begin()
    dismissal = {"stream": ATLAS, "command": {"kind": "revoke_office", "person": "tess", "office": "treasurer"}}
    await world.give(ORDER, "propose", by="bo", title="Another treasurer", motion=dismissal)
    await world.give(ORDER, "cast_ballot", by="bo", choice="yes")
    await world.simulation.advance(START + timedelta(days=60))
    assert "last_officer" in world.failed["tell:motion"]
    assert world.phase == "refused"
    await world.give(ORDER, "retry_step", step="tell:motion")
    assert "last_officer" in world.failed["tell:motion"]
    await world.give(ATLAS, "grant_office", person="tom", office="treasurer")
    await world.give(ORDER, "retry_step", step="tell:motion")
    assert (world.failed, world.phase) == ({}, "executed")
    assert (await world.simulation.recorder.replica()).register.holders(Office.TREASURER) == ("tom",)


async def test_what_was_refused_stays_refused_when_nobody_mends_the_cause_in_time() -> None:
    world = Founded()
    await world.begin()
    dismissal = {"stream": ATLAS, "command": {"kind": "revoke_office", "person": "tess", "office": "treasurer"}}
    await world.give(ORDER, "propose", by="bo", title="Another treasurer", motion=dismissal)
    await world.give(ORDER, "cast_ballot", by="bo", choice="yes")
    await world.simulation.advance(START + timedelta(days=200))
    assert (world.failed, world.phase) == ({}, "refused")
    assert world.simulation.standing(ORDER).agenda.closed


async def test_what_another_proposal_carried_out_under_the_mandate_of_a_refused_one_counts_as_executed() -> None:
    """Both order the same, and what was voted first is spent first."""
    world, again = Founded(), "proposal/once-more"
    await world.begin()
    dismissal = {"stream": ATLAS, "command": {"kind": "revoke_office", "person": "tess", "office": "treasurer"}}
    await world.give(ORDER, "propose", by="bo", title="Another treasurer", motion=dismissal)
    await world.give(ORDER, "cast_ballot", by="bo", choice="yes")
    await world.simulation.advance(START + timedelta(days=20))
    assert world.phase == "refused"
    await world.give(ATLAS, "grant_office", person="tom", office="treasurer")
    await world.give(again, "propose", by="bo", title="Another treasurer", motion=dismissal)
    await world.give(again, "cast_ballot", by="bo", choice="yes")
    await world.simulation.advance(START + timedelta(days=40))
    assert world.simulation.standing(again).headline.phase == "executed"
    waived = await world.simulation.give(ORDER, {"kind": "waive_step", "step": "tell:motion", "reason": "tess is gone"}, "sam")
    assert waived.refusal is not None
    assert waived.refusal.rule == "already_carried_out"
    await world.simulation.advance(START + timedelta(days=200))
    assert (world.failed, world.phase) == ({}, "executed")
    assert world.simulation.standing(ORDER).agenda.closed


async def test_an_applicant_on_whom_nobody_votes_is_asked_about_again_and_never_turned_down() -> None:
    world = Founded()
    await world.begin()
    representative = {"person": "ada", "capacity": "representative"}
    await world.give(
        "member/helio", "apply", by="ada", name="Helio", lei=lei(1), country="CH", tier="founding", representatives=[representative]
    )
    await world.simulation.advance(START + timedelta(days=400))
    streams = {stream: world.simulation.standing(stream).headline.phase for stream in world.simulation.streams()}
    votes = {f"proposal/admit-helio{again}": "lapsed" for again in ("", "-2", "-3")}
    assert {stream: phase for stream, phase in streams.items() if "helio" in stream} == {**votes, "member/helio": "lapsed"}
