"""A newer release writes what this one does not know: what can go on goes on, and nothing is decided on what could not be read.

| what was written | here |
| --- | --- |
| a new kind of event, a new field, a new process; the same rules | that stream is left to the newer release, everything else goes on |
| a fact of the register with an unknown field, or newer rules | nothing is recorded; what can be read is read; the worker is drained |
| bytes that are not what was recorded | the log is broken, by position; nothing is recorded after it |
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import pytest
from pydantic import Field, TypeAdapter
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.log.record import Recording
from activities.log.sending import NotAnswered, Sender
from audit.reexecute import Reexecution
from domain.catalog import CATALOG, RULES
from domain.consortium.process import CONSORTIUM
from domain.kernel import SERVICE, Event
from domain.process import Context, Process
from domain.register.facts import Fact
from domain.stream import Common, StepOwed
from eventstore.entries import ACCEPTED, Submission, encode_json, sealed
from eventstore.log import Appended, Damaged, Log, LogUnavailable, NewerRules, Unfit, WrittenByNewer, WrittenOn
from eventstore.memory import MemoryLog
from eventstore.readmodels import Projector, standings
from eventstore.recorder import Recorder
from eventstore.wire import canonical_command
from tests import golden, probe
from tests.probe import PROBE, Probe
from tests.probe_workflows import ProbeWorkflow
from tests.sandbox import sandbox
from tests.sealing import salts
from tests.test_shell import FAST, FOUNDED, Site, temporal, works

__all__ = ["temporal"]

FACTS = Path(__file__).parent / "golden" / "register_facts.json"


class Whistled(Event):
    """What only the newer release knows."""

    kind: Literal["whistled"] = "whistled"


def whistling(state: Probe, command: probe.ProbeCommand, context: Context) -> Sequence[probe.ProbeEvent | StepOwed | Whistled]:
    """The newer release whistles at every poke."""
    events = probe.decide(state, command, context)
    return [*events, Whistled()] if isinstance(command, probe.Poke) else events


def heard(state: Probe, event: Any) -> Probe:
    return state if isinstance(event, Whistled) else probe.evolve(state, event)


NEWER: Final[Process[Any, Any, Any]] = replace(
    PROBE, decide=whistling, evolve=heard,
    events=TypeAdapter(tuple[Annotated[probe.ProbeEvent | Whistled | Common, Field(discriminator="kind")], ...]),
)  # fmt: skip
OLDER_CATALOG: Final = {"probe": PROBE, "consortium": CONSORTIUM}
NEWER_CATALOG: Final = {"probe": NEWER, "consortium": CONSORTIUM, "siren": replace(NEWER, name="siren")}


def asked(stream: str, kind: str, *, by: str = "sam", **fields: Any) -> Submission:
    return Submission(stream, str(uuid.uuid4()), by, canonical_command({"kind": kind, **fields}))


async def appended(log: Log, stream: str, kind: str, events: Sequence[dict[str, Any]], rules: str = RULES) -> int:
    """An entry as another release may have written it; its position."""
    head = await log.head()
    entry = sealed(
        head.position + 1, stream, str(uuid.uuid4()), kind, SERVICE, head.at + 1, rules, encode_json({"kind": kind}), b"", b"", ACCEPTED,
        encode_json(list(events)), head.hash, salts(1 + len(events)),
    )  # fmt: skip
    assert await log.append([entry]) is Appended.DONE
    return entry.position


async def left_to_newer(log: Log, processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> Unfit | None:
    """Why a release records nothing on this log; `None` when it may."""
    try:
        return (await Recorder(log, processes).replica()).beyond
    except Damaged as damaged:
        return damaged


async def begun(log: Log) -> Recorder:
    """The older release, on a log on which two probes run."""
    recorder = Recorder(log, OLDER_CATALOG)
    founded = await recorder.record(Submission(FOUNDED[0], str(uuid.uuid4()), "sam", canonical_command(FOUNDED[1])))
    assert founded.refusal is None
    for stream in ("probe/a", "probe/b"):
        await recorder.record(asked(stream, "begin"))
    return recorder


class TestAStreamOfTheNewerRelease:
    """A kind or a field that this release does not know, and that only one stream is about."""

    async def test_is_left_to_it_and_everything_else_goes_on(self) -> None:
        log = MemoryLog()
        older, newer = await begun(log), Recorder(log, NEWER_CATALOG)
        whistled = (await newer.record(asked("probe/a", "poke"))).entry.position
        assert (await older.record(asked("probe/b", "poke"))).kinds == ("poked",)
        for _ in range(2):
            with pytest.raises(WrittenOn, match=f"probe/a was written by a newer release \\(entry {whistled}\\)"):
                await older.record(asked("probe/a", "poke"))
            with pytest.raises(WrittenOn):
                await older.standing("probe/a")
        assert (await older.standing("probe/b")).stream.state.pokes == 1
        assert older.unfit is None
        assert (await newer.record(asked("probe/a", "poke"))).kinds == ("poked", "whistled")
        assert (await older.record(asked("probe/b", "poke"))).kinds == ("poked",)

    async def test_is_recognised_however_it_is_met_first(self) -> None:
        log = MemoryLog()
        await begun(log)
        position = await appended(log, "probe/a", "poke", [{"kind": "poked", "loudness": 11}])
        fresh = Recorder(log, OLDER_CATALOG)
        with pytest.raises(WrittenOn) as met:
            await fresh.standing("probe/a")
        assert met.value.position == position
        many = [asyncio.create_task(fresh.record(asked(stream, "poke"))) for stream in ("probe/a", "probe/b") * 20]
        answers = await asyncio.gather(*many, return_exceptions=True)
        assert [type(answer) is WrittenOn for answer in answers] == [True, False] * 20
        assert (await fresh.standing("probe/b")).stream.state.pokes == 20

    async def test_keeps_nothing_from_the_register_that_this_release_knows(self) -> None:
        log = MemoryLog()
        older = await begun(log)
        await appended(log, "siren/a", "wail", [{"kind": "wailed"}, {"kind": "office_granted", "person": "ann", "office": "auditor"}])
        assert "ann" in (await older.replica()).register.people
        assert (await older.record(asked("probe/a", "poke"))).kinds == ("poked",)

    async def test_gives_its_first_answer_only_where_it_can_be_read(self) -> None:
        log = MemoryLog()
        older, newer = await begun(log), Recorder(log, NEWER_CATALOG)
        poke = asked("probe/a", "poke")
        receipt = (await newer.record(poke)).entry
        with pytest.raises(WrittenOn):
            await older.record(poke)
        assert (await newer.record(poke)).entry == receipt

    async def test_is_shown_in_lists_as_it_could_be_read_last(self) -> None:
        log = MemoryLog()
        older, newer = await begun(log), Recorder(log, NEWER_CATALOG)
        await older.record(asked("probe/a", "poke"))
        projector = Projector(log, OLDER_CATALOG)
        await projector.catch_up()
        whistled = (await newer.record(asked("probe/a", "poke"))).entry.position
        await newer.record(asked("siren/a", "begin"))
        await older.record(asked("probe/b", "poke"))
        for each in (projector, Projector(log, OLDER_CATALOG)):
            await each.catch_up()
            rows = {row["stream"]: row for row in await standings(log)}
            assert sorted(rows) == ["consortium/atlas", "probe/a", "probe/b"]
            assert rows["probe/a"]["unreadable"] == whistled
            assert rows["probe/a"]["line"].startswith("1 pokes, 0 results; a newer release wrote entry")
            assert rows["probe/b"]["line"] == "1 pokes, 0 results"


class TestALogOfTheNewerRelease:
    """What all processes must agree on, and this release cannot take in."""

    @pytest.mark.parametrize("by_rules", [False, True], ids=["a fact with an unknown field", "newer rules"])
    async def test_nothing_is_recorded_any_more_and_what_can_be_read_is_read(self, *, by_rules: bool) -> None:
        log = MemoryLog()
        older = await begun(log)
        if by_rules:
            await appended(log, "probe/b", "poke", [{"kind": "poked"}], rules=str(int(RULES) + 1))
            reason: type[LogUnavailable] = NewerRules
        else:
            fact = {"kind": "office_granted", "person": "ann", "office": "auditor", "until": "2030-01-01T00:00:00Z"}
            await appended(log, FOUNDED[0], "grant_office", [fact])
            reason = WrittenByNewer
        head = await log.head()
        with capture_logs() as told:
            for _ in range(2):
                with pytest.raises(reason):
                    await older.record(asked("probe/a", "poke"))
        assert [event["reason"] for event in told if event["event"] == "recorder.unfit"] == [reason.reason]  # type: ignore[attr-defined]
        assert isinstance(older.unfit, reason)
        assert (await older.standing("probe/a")).stream.state.begun
        await appended(log, "probe/a", "poke", [{"kind": "poked"}], rules=str(int(RULES) + by_rules))
        assert (await older.standing("probe/a")).stream.state.pokes == 1
        answers = await asyncio.gather(*(older.record(asked("probe/a", "poke")) for _ in range(40)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {reason}
        assert (await log.head()).position == head.position + 1
        fresh = Recorder(log, OLDER_CATALOG)
        await fresh.replica()
        assert isinstance(fresh.unfit, reason)


class TestADamagedLog:
    """Bytes that are not what was recorded."""

    @pytest.mark.parametrize("column", ["body", "command", "at", "previous"])
    async def test_is_broken_by_position_and_nothing_is_recorded_after_it(self, column: str) -> None:
        log = MemoryLog()
        older = await begun(log)
        other = Recorder(log, OLDER_CATALOG)
        broken = (await other.record(asked("probe/b", "poke"))).entry
        changed: dict[str, Any] = {"body": b'[{"kind":"poked"},{"kind":"poked"}]', "command": b"{}", "at": 7, "previous": bytes(32)}
        log._entries[broken.position - 1] = broken._replace(**{column: changed[column]})
        for _ in range(2):
            with pytest.raises(Damaged, match=f"broken at position {broken.position}"):
                await older.record(asked("probe/a", "poke"))
        assert isinstance(older.unfit, Damaged)
        assert (await log.head()).position == broken.position


class TestLookingAgain:
    """Deciding again, and going back to a former release."""

    async def test_what_a_newer_release_wrote_is_for_it_to_decide_and_nothing_is_broken(self) -> None:
        log = MemoryLog()
        recorder = Recorder(log)
        await recorder.record(Submission(FOUNDED[0], str(uuid.uuid4()), "sam", canonical_command(FOUNDED[1])))
        first = await appended(log, "round/atlas-1", "wail", [{"kind": "wailed"}])
        last = await appended(log, "round/atlas-1", "pledge", [{"kind": "wailed"}])
        grant = asked(FOUNDED[0], "grant_office", person="lea", office="auditor")
        assert (await recorder.record(grant)).refusal is None
        again = Reexecution()
        assert again.check(await log.read(0)) is None
        assert [tuple(each) for each in again.undecided] == [(f"{RULES} of a newer release", first, last)]
        assert await left_to_newer(log) is None
        await appended(
            log, FOUNDED[0], "grant_office", [{"kind": "office_granted", "person": "ann", "office": "auditor", "until": "never"}]
        )
        again = Reexecution()
        assert again.check(await log.read(0)) is None
        assert [(each.first, each.last) for each in again.undecided] == [(first, (await log.head()).position)], (
            "it is told, never passed over in silence"
        )
        assert isinstance(await left_to_newer(log), WrittenByNewer)

    async def test_a_former_release_may_go_on_until_the_register_or_the_rules_are_beyond_it(self) -> None:
        log = MemoryLog()
        await begun(log)
        await appended(log, "probe/a", "poke", [{"kind": "whistled"}])
        assert await left_to_newer(log, OLDER_CATALOG) is None
        await appended(log, "probe/a", "poke", [{"kind": "poked"}], rules=str(int(RULES) + 1))
        assert isinstance(await left_to_newer(log, OLDER_CATALOG), NewerRules)
        log._entries[1] = log._entries[1]._replace(body=b"[]")
        damaged = await left_to_newer(log, OLDER_CATALOG)
        assert isinstance(damaged, Damaged)
        assert damaged.position == 2


# ---------------------------------------------------------------- two releases at work


@asynccontextmanager
async def release(site: Site, catalog: dict[str, Process[Any, Any, Any]]) -> AsyncIterator[Recorder]:
    """A worker of a release, with a client of its own as if it were on another host."""
    recorder = Recorder(site.log, catalog)
    recording = Recording(recorder, policies=FAST)
    client = await Client.connect(site.client.service_client.config.target_host, data_converter=pydantic_data_converter)
    try:
        async with Worker(
            client, task_queue=site.queue, workflows=[ProbeWorkflow], workflow_runner=sandbox(),
            activities=[*recording.activities(), recording.carrying_out("work", works)],
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ):  # fmt: skip
            yield recorder
    finally:
        await recorder.close()


async def test_a_command_on_a_stream_of_the_newer_release_is_given_back_until_a_worker_of_it_takes_it(
    temporal: Client, tmp_path: Path
) -> None:
    async with Site(temporal, tmp_path) as site, release(site, OLDER_CATALOG):
        stream, other, given = site.name(), site.name(), str(uuid.uuid4())
        await site.give(stream, "begin", ring_seconds=8)
        newer = Recorder(site.log, NEWER_CATALOG)
        await newer.record(asked(stream, "poke"))
        with pytest.raises(NotAnswered):
            await Sender(site.client, site.queue, patience=timedelta(seconds=3)).send(stream, given, "sam", {"kind": "poke"})
        assert (await site.give(other, "begin")).events == ["begun"]
        async with release(site, NEWER_CATALOG) as working:
            patient = Sender(site.client, site.queue, patience=timedelta(seconds=90))
            assert (await patient.send(stream, given, "sam", {"kind": "poke"})).events == ["poked", "whistled"]
            async with asyncio.timeout(90):
                while not (await working.standing(stream)).stream.state.rung:
                    await asyncio.sleep(0.1)
            assert (await working.standing(stream)).stream.state.pokes == 2
        await newer.close()


# ---------------------------------------------------------------- what the register needs


def test_whoever_changes_a_fact_of_the_register_raises_the_rules() -> None:
    """A worker of the former release would record on a register that lacks the fact: newer rules are how it learns to stop."""
    written = json.loads(FACTS.read_text(encoding="utf-8"))
    present = {str(fact.model_fields["kind"].default): golden.shape(fact) for fact in get_args(Fact)}
    assert present == written[RULES], f"raise RULES and write these down under it in {FACTS.name}; leave the former ones"
    assert list(written) == sorted(written, key=int)
