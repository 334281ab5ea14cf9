"""What people see in Temporal's UI of a process: who did what and what came of it, what failed, who is waited for and until when.

On the real Temporal server, with the probe of tests/probe.py standing for every process.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.log.record import SEARCHED_BYTES, Recording
from activities.log.sending import NotTaken, TurnedDown, details_of, summary_of
from activities.messages import LONGEST_LINE, MALFORMED, REFUSED, STEP_FAILED, Envelope, Receipt, StepRef
from cli.links import links_of, pages_of
from domain.catalog import CATALOG
from domain.kernel import Headline, Step
from eventstore.recorder import Recorder
from tests.dev_server import dev_server
from tests.environment import of_workflow
from tests.probe import PROBE, Probe
from tests.probe_workflows import FormerProbe, HurriedProbe, ProbeWorkflow
from tests.sandbox import sandbox
from tests.test_shell import FOUNDED, Site

PHASE = SearchAttributeKey.for_keyword("Phase")
ATTENTION = SearchAttributeKey.for_bool("Attention")


@pytest_asyncio.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with await dev_server() as environment:
        yield environment.client


@pytest_asyncio.fixture
async def site(temporal: Client, tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(temporal, tmp_path) as site:
        yield site


async def history(site: Site, stream: str) -> Sequence[HistoryEvent]:
    return (await site.handle(stream).fetch_history()).events


async def timeline(site: Site, stream: str) -> list[str]:
    """What the timeline says of everything that happened, but for the Updates, whose names it shows."""
    return [
        json.loads(event.user_metadata.summary.data) for event in await history(site, stream) if event.user_metadata.HasField("summary")
    ]


async def details(site: Site, stream: str) -> str:
    """The current details as the UI asks for them."""
    told: WorkflowMetadata = await site.handle(stream).query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return told.current_details


async def until_details(site: Site, stream: str, text: str) -> str:
    async with asyncio.timeout(20):
        while text not in (shown := await details(site, stream)):
            await asyncio.sleep(0.05)
    return shown


async def fails(step: Step) -> dict[str, Any]:
    return {"kind": "fail_step", "step": step.key, "reason": "the address is wrong"}


# ---------------------------------------------------------------- the timeline


async def test_every_recording_says_what_it_records_and_who_gave_it(site: Site) -> None:
    async with site.worker():
        stream, neighbour = site.name(), site.name()
        await site.give(neighbour, "begin")
        await site.sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "begin", "work": 1, "ring_seconds": 1, "tell": neighbour})
        await site.sender.send(stream, str(uuid.uuid4()), "ada", {"kind": "poke"}, line="poke by ada for helio: USD 500,000.00")
        await site.until(stream, lambda stream: stream.state.rung and not stream.owed)
        async with asyncio.timeout(20):
            while "\nring: due" not in "\n".join(shown := await timeline(site, stream)):
                await asyncio.sleep(0.05)
        assert {"begin by sam", "poke by ada for helio: USD 500,000.00", "worked: work:000", f"step_done: tell:{neighbour}"} <= set(shown)
        assert {"work:000", f"poke to {neighbour}", "ring"} <= set(shown)
        assert [line[:20] for line in shown if line.startswith("ring: due")] == [f"ring: due {datetime.now(UTC):%Y-%m-%d}"]
        markers = [each for each in await history(site, stream) if each.event_type is EventType.EVENT_TYPE_MARKER_RECORDED]
        assert [marker for marker in markers if not marker.user_metadata.HasField("summary")] == []
        assert "poke by service" in await timeline(site, neighbour)


async def test_a_line_that_lies_about_kind_or_person_is_not_shown_and_one_with_markup_is_not_taken(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        for lie in ("finish by sam: USD 1.00", "poke by adam: USD 1.00", "poke by ada and by sam"):
            await site.sender.send(
                stream, str(uuid.uuid4()), "sam", {"kind": "begin"} if lie.startswith("finish") else {"kind": "poke"}, line=lie
            )
        assert [line for line in await timeline(site, stream) if " by " in line] == [
            "begin by sam",
            "poke by sam",
            "poke by sam",
        ]
        for markup in (
            "poke by sam: [x](y)",
            "poke by sam: www.evil.example",
            "poke by sam: https://e",
            "poke by sam: \x1b[2J",
            "x" * (LONGEST_LINE + 1),
        ):
            with pytest.raises(ValueError, match="line"):
                Envelope(actor="sam", command={"kind": "poke"}, line=markup)
            raw = {"actor": "sam", "command": {"kind": "poke"}, "line": markup}
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await site.handle(stream).execute_update("poke", raw, id=str(uuid.uuid4()), result_type=Receipt)
            assert isinstance(refused.value.cause, ApplicationError)
            assert refused.value.cause.type == MALFORMED


async def test_a_line_is_never_on_the_log_and_a_repeat_with_another_one_is_the_same_command(site: Site) -> None:
    async with site.worker():
        stream, command_id = site.name(), str(uuid.uuid4())
        first = await site.sender.send(stream, command_id, "sam", {"kind": "begin"}, line="begin by sam: USD 1.00")
        assert await site.sender.send(stream, command_id, "sam", {"kind": "begin"}, line="begin by sam: USD 2.00") == first
        (entry,) = await site.log.read(0)
        assert b"USD" not in b"".join(part for part in entry if isinstance(part, bytes))


async def test_a_worker_of_a_former_release_that_knows_no_line_is_sent_none(site: Site) -> None:
    async with site.worker(workflow=FormerProbe):
        stream = site.name()
        assert (await site.sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "begin"}, line="begin by sam: USD 1.00")).events == [
            "begun"
        ]
        assert (await site.give(stream, "poke")).events == ["poked"]
        with pytest.raises(NotTaken, match="no command"):
            await site.sender.send(stream, str(uuid.uuid4()), "sam", {"kind": "pook"}, line="pook by sam")


async def test_a_workflow_says_what_its_process_is_in_every_run(site: Site) -> None:
    assert summary_of("round/atlas-1") == "round/atlas-1: a funding round"
    assert "tranche by tranche" in (details_of("round/atlas-1") or "")
    assert [name for name, process in CATALOG.items() if not process.title or len(process.about) < 60] == []
    site.recorder = Recorder(site.log, {"probe": replace(PROBE, title="a probe")})
    async with site.worker(workflow=HurriedProbe):
        stream = site.name()
        await site.give(stream, "begin")
        first = await site.handle(stream).describe()
        for _ in range(HurriedProbe.most_updates * 2):
            await site.give(stream, "poke")
        later = await site.handle(stream).describe()
        assert later.run_id != first.run_id
        assert await first.static_summary() == stream
        assert (await details(site, stream)).count("A probe\\.") == 1, "Temporal keeps the summary of the first run only"


# ---------------------------------------------------------------- what came of it


async def test_what_came_of_a_command_is_seen_on_its_update_and_in_the_details(site: Site) -> None:
    await site.record(*FOUNDED)
    async with site.worker():
        stream, refused = site.name(), str(uuid.uuid4())
        await site.give(stream, "begin")
        await site.give(stream, "muffle", muffled=True)
        with pytest.raises(TurnedDown):
            await site.give(stream, "poke", refused)
        outcomes = [
            event.workflow_execution_update_completed_event_attributes.outcome
            for event in await history(site, stream)
            if event.event_type is EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
        ]
        assert [outcome.HasField("success") for outcome in outcomes] == [True, True, False]
        assert outcomes[-1].failure.message == "muffled: a muffled probe is not poked"
        assert outcomes[-1].failure.application_failure_info.type == REFUSED
        last = (await until_details(site, stream, "refused")).partition("**Last**")[2]
        assert [line.partition(" UTC ")[2] for line in last.split("\n- ")[1:]] == [
            "poke by sam: **refused** by muffled", "muffle by sam: accepted, muffled", "begin by sam: accepted, begun",
        ]  # fmt: skip


async def test_the_last_lines_are_five_and_come_from_the_log_in_a_new_run(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        for number in range(7):
            await site.sender.send(stream, str(uuid.uuid4()), f"person-{number}", {"kind": "poke"})
        before = await until_details(site, stream, "person-6")
        assert [f"person-{number}:" in before for number in range(7)] == [False, False, True, True, True, True, True]
        await site.handle(stream).terminate()
        await site.sender.start(stream)
        assert await until_details(site, stream, "person") == before


# ---------------------------------------------------------------- what failed


async def test_a_step_that_failed_for_good_is_an_activity_that_failed_and_waits_for_a_person_as_ever(site: Site) -> None:
    async with site.worker(fails):
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await site.until(stream, lambda stream: "work:000" in stream.failed)
        (failed,) = (each for each in await history(site, stream) if each.event_type is EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
        failure = failed.activity_task_failed_event_attributes.failure
        assert (failure.message, failure.application_failure_info.type) == ("the address is wrong", STEP_FAILED)
        assert failure.application_failure_info.non_retryable
        assert (await site.recorder.standing(stream)).stream.failed["work:000"] == "the address is wrong"
        assert [entry.kind for entry in await site.log.read(0)] == ["begin", "fail_step"], "one try, and no word of a delay"
        shown = await until_details(site, stream, "Needs attention")
        assert f"failed: the address is wrong; to try again: `consortium retry {stream} work:000 --key " in shown
        await site.record(*FOUNDED)
        await site.give(stream, "waive_step", step="work:000", reason="done by hand")
        await site.until(stream, lambda stream: not stream.owed)


async def test_a_step_whose_failure_a_former_release_brings_back_as_an_outcome_fails_too(site: Site) -> None:
    @activity.defn(name="work")
    async def former(ref: StepRef) -> dict[str, Any]:
        return await fails(Step(kind="work", key=ref.key))

    recording = Recording(site.recorder)
    async with Worker(
        site.client, task_queue=site.queue, workflows=[ProbeWorkflow], activities=[*recording.activities(), former], workflow_runner=sandbox(),
    ):  # fmt: skip
        stream = site.name()
        await site.give(stream, "begin", work=1)
        await site.until(stream, lambda stream: "work:000" in stream.failed)
        assert [entry.kind for entry in await site.log.read(0)] == ["begin", "fail_step"]


async def test_a_workflow_of_a_former_release_gets_the_failure_as_the_outcome_that_it_knows(site: Site) -> None:
    stream = site.name()
    await site.record(stream, {"kind": "begin", "work": 1})
    carried_out = Recording(site.recorder).carrying_out("work", fails)
    former = StepRef.model_validate_json(json.dumps({"stream": stream, "key": "work:000"}))
    assert (await of_workflow(stream).run(carried_out, former))["kind"] == "fail_step"
    with pytest.raises(ApplicationError) as raised:
        await of_workflow(stream).run(carried_out, former.model_copy(update={"raises": True}))
    assert raised.value.details == ({"kind": "fail_step", "step": "work:000", "reason": "the address is wrong"},)


@pytest.mark.parametrize("fields", [{"kind": "waive_step", "step": "x", "reason": "y"}, {"kind": "pook"}], ids=["refused", "no command"])
async def test_a_first_command_that_is_not_taken_leaves_a_run_that_no_list_shows(site: Site, fields: dict[str, Any]) -> None:
    async with site.worker():
        stream = site.name()
        with pytest.raises((TurnedDown, NotTaken)):
            await site.sender.send(stream, str(uuid.uuid4()), "sam", fields)
        async with asyncio.timeout(20):
            await site.handle(stream).result()
        described = await site.handle(stream).describe()
        assert described.status is WorkflowExecutionStatus.COMPLETED
        assert described.typed_search_attributes.get(PHASE) == "nothing"
        assert described.typed_search_attributes.get(ATTENTION) is None


# ---------------------------------------------------------------- who is waited for, and until when


async def test_the_details_name_who_is_waited_for_and_until_when(site: Site) -> None:
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin", ring_seconds=3_600)
        due = (await site.recorder.standing(stream)).agenda.deadline
        assert due is not None
        shown = await until_details(site, stream, "Waits for")
        assert f"**Waits for** member\\:helio, until {due.at:%Y-%m-%d %H:%M} UTC: then ring" in shown
        await site.give(stream, "muffle", muffled=True)
        await until_details(site, stream, "**Waits for** member\\:helio, without a deadline")


async def test_as_many_of_those_waited_for_can_be_searched_as_temporal_takes(site: Site) -> None:
    everybody = tuple(f"member:{number:03}-{'x' * 9}" for number in range(200))

    def waits(state: Probe) -> Headline:
        return Headline("running" if state.begun else "new", "200 people", waits_for=everybody)

    site.recorder = Recorder(site.log, {"probe": replace(PROBE, describe=waits)})
    async with site.worker():
        stream = site.name()
        await site.give(stream, "begin")
        listed = (await Recording(site.recorder).standing(stream)).waits_for
        assert listed == list(everybody[: len(listed)])
        taken, more = (len(json.dumps(everybody[:number], separators=(",", ":"))) for number in (len(listed), len(listed) + 1))
        assert taken <= SEARCHED_BYTES < more
        assert len(listed) > 80
        query = f"WorkflowId = '{stream}' AND WaitsFor = '{listed[-1]}'"
        async with asyncio.timeout(20):
            while not [found async for found in site.client.list_workflows(query)]:
                await asyncio.sleep(0.05)
        assert "and 180 more" in await until_details(site, stream, "more, until")


async def test_the_links_list_what_is_stuck_who_is_waited_for_and_what_comes_due(site: Site) -> None:
    async with site.worker(fails):
        stuck, soon, later = site.name(), site.name(), site.name()
        await site.give(stuck, "begin", work=1, ring_seconds=90 * 86_400)
        await site.give(soon, "begin", ring_seconds=6 * 86_400)
        await site.give(later, "begin", ring_seconds=8 * 86_400)
        await site.until(stuck, lambda stream: bool(stream.failed))
        now = datetime.now(UTC)
        rows: list[dict[str, Any]] = [
            {"waits_for": ["member:helio", "office:secretariat"], "attention": True, "due": (now + timedelta(days=90)).isoformat()},
            {"waits_for": ["member:helio"], "attention": False, "due": (now + timedelta(days=6)).isoformat()},
            {"waits_for": ["member:helio"], "attention": False, "due": (now + timedelta(days=8)).isoformat()},
        ]
        (page,) = await pages_of(site.client, "http://127.0.0.1:8233/", [row | {"stream": stuck} for row in rows])
        run = (await site.handle(stuck).describe()).run_id
        assert (page.waits_for, page.due) == (rows[0]["waits_for"], datetime.fromisoformat(rows[0]["due"]))
        assert page.url == f"http://127.0.0.1:8233/namespaces/default/workflows/{quote(stuck, safe='')}/{run}/user-metadata"
        (gone,) = await pages_of(site.client, "http://127.0.0.1:8233", [rows[0] | {"stream": "probe/gone"}])
        assert gone.url == "http://127.0.0.1:8233/namespaces/default/workflows/probe%2Fgone"
        links = links_of("http://127.0.0.1:8233", rows, now)
        assert [(link.what.partition(":")[0], link.streams) for link in links] == [
            ("stuck", 1), ("due this week", 1), ("waits for member", 3), ("waits for office", 1),
        ]  # fmt: skip
        assert links[2].due == datetime.fromisoformat(rows[1]["due"])
        for link, wanted in zip(links, ({stuck}, {soon}, {stuck, soon, later}, {stuck}), strict=True):
            (query,) = parse_qs(urlsplit(link.url).query)["query"]
            async with asyncio.timeout(20):
                while {found.id async for found in site.client.list_workflows(query)} & {stuck, soon, later} != wanted:
                    await asyncio.sleep(0.05)
