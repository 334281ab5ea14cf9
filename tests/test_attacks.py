"""Attacks on the running system: whoever reaches Temporal gets nothing recorded that the log does not owe or a person did not sign.

| attack | what comes of it |
| --- | --- |
| a command for another, unsigned, or signed by another's key | not taken; no entry |
| a command as the system (`service`), of any kind | not taken; no entry |
| a command of one's own time: 2199, 9999, expired long ago | refused, on the log |
| what somebody signed, sent again under a new id, or to another stream | refused once, on the log; later ones not taken |
| what somebody signed, after their key was revoked | refused, on the log |
| a key with which everything verifies (small order); a key of another person | refused, on the log |
| a charter or a key that would permit itself | judged by the state before: refused, or not taken |
| a worker of somebody else's on the task queue: outcomes, failures, outcomes of no form | carried out again by ours |
| a worker of somebody else's that answers commands by itself: acknowledgements, refusals | not shown as true by the client; kept nowhere |
| a deadline before its time, and letters that no stream owes | not taken; no entry |
| envelopes of no form, with more fields, too large | not taken; the stream answers again within seconds |
| an Update of megabytes | refused by the workflow, or by Temporal's frontend; the stream answers on |
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import worker
from activities.log.record import Policy, Recording
from activities.log.sending import NotAnswered, NotTaken, Sender, TurnedDown
from activities.log.tell import Tell
from activities.messages import (
    NOT_OWED,
    STEP_FAILED,
    WRONG_TAG,
    Answering,
    Envelope,
    Receipt,
    Recorded,
    RecordRequest,
    Refusal,
    Standing,
    StepRef,
)  # fmt: skip
from activities.outside import former_progress
from audit.reexecute import Reexecution
from cli import answers, receipts
from cli.failures import Broken
from cli.options import Where
from domain.kernel import SERVICE, Step
from domain.stream import deadline_id, delay_id, outcome_id
from eventstore.entries import Entry, Submission, encode_json
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from eventstore.statement import VERSION, Carried, digest, instant_text
from eventstore.verifying import Signing
from settings import Settings
from signatures import sshsig, wire
from signatures.sshsig import Hash, Plain, Purpose, Signature
from tests.dev_server import dev_server
from tests.environment import of_workflow
from tests.signers import Signers
from tests.stories import charter
from workflows.catalog import WORKFLOWS

pytestmark = pytest.mark.heavy

ATLAS = "consortium/atlas"
VEGA = "round/vega"
OFFICERS = {"sam": ["secretariat"], "tess": ["treasurer"], "theo": ["second-signatory"], "bo": ["board"]}
GRANT = {"kind": "grant_office", "person": "ann", "office": "auditor"}
WITHDRAW = {"kind": "withdraw_round"}
LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes of the largest request that Temporal's frontend takes."""
SMALL_ORDER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""A key for which one signature fits every message."""


def fits_everything() -> str:
    """The signature that fits every message under the key of small order."""
    point = b"\1" + bytes(31)
    signature = Signature(wire.strings([b"ssh-ed25519", point]), Purpose.POSSESSION, Hash.SHA512, "ssh-ed25519", Plain(point + bytes(32)))
    return sshsig.armour(sshsig.encode(signature))


@pytest_asyncio.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with await dev_server() as environment:
        yield environment.client


class Site:
    """A signed log with a worker on the shared server, and everybody's keys; and an attacker who has Temporal's client."""

    def __init__(self, client: Client, path: Path) -> None:
        self.client, self.path, self.queue = client, path, f"queue-{uuid.uuid4()}"
        self.sender = Sender(client, self.queue, patience=timedelta(seconds=60))
        self.signers = Signers()
        self.carried: list[str] = []
        self.policies = {"notify": Policy(), "tell": Policy()}
        self.let_go = asyncio.Event()
        """Until then steps take long."""
        self.let_go.set()
        self.log: SqliteLog
        self.recorder: Recorder
        self.first = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Site]:
        self.log = await SqliteLog.open(self.path / "log.db")
        self.recorder = Recorder(self.log, signing=Signing(self.signers.key("log")))
        try:
            async with self.worker():
                founding = self.signers.founding(ATLAS, charter().model_dump(mode="json"), OFFICERS)
                await self.give(ATLAS, "sam", founding)
                self.first = await self.recorder.first()
                yield self
                self.let_go.set()
                check = Reexecution()
                assert (check.check(await self.entries()), check.unsigned) == (None, 0)
        finally:
            self.let_go.set()
            await self.recorder.close()
            await self.log.close()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        recording = Recording(self.recorder, self.policies)
        activities = [
            *recording.activities(),
            recording.carrying_out("notify", self._notified),
            recording.carrying_out("tell", Tell(self.sender, recording)),
        ]
        async with Worker(
            self.client, task_queue=self.queue, workflows=WORKFLOWS, activities=activities, workflow_runner=UnsandboxedWorkflowRunner(),
            sticky_queue_schedule_to_start_timeout=worker.STICKY,
            disable_eager_activity_execution=True,  # else steps go to the worker of their workflow, and none to a rogue
        ):  # fmt: skip
            yield

    async def _notified(self, step: Step) -> dict[str, Any]:
        await self.let_go.wait()
        self.carried.append(step.key)
        return {"kind": "step_done", "step": step.key}

    async def entries(self) -> list[Entry]:
        return list(await self.log.read(0, 10_000))

    def signed(self, stream: str, by: str, command: Mapping[str, Any], **changes: Any) -> Submission:
        return self.signers.signed(stream, by, command, self.first, **changes)

    async def send(self, given: Submission, **changes: Any) -> Receipt:
        """Sends what was signed, as a client of ours does; `changes` are an attacker's."""
        fields: dict[str, Any] = {
            "stream": given.stream, "command_id": given.command_id, "actor": given.actor,
            "signed": base64.b64encode(given.signed).decode(), "signature": base64.b64encode(given.signature).decode(),
        }  # fmt: skip
        command = json.loads(given.command)
        fields |= changes
        return await self.sender.send(
            fields.pop("stream"), fields.pop("command_id"), fields.pop("actor"), fields.pop("command", command), **fields
        )

    async def give(self, stream: str, by: str, command: Mapping[str, Any], **changes: Any) -> Receipt:
        return await self.send(self.signed(stream, by, command, **changes))

    async def no_entry(self, sending: Any) -> str:
        """It is not taken, and the log is as before."""
        before = await self.log.head()
        with pytest.raises(NotTaken) as raised:
            await sending
        assert await self.log.head() == before
        return str(raised.value)

    async def refused(self, rule: str, sending: Any) -> None:
        """It is refused by this rule, and the log says so."""
        with pytest.raises(TurnedDown) as raised:
            await sending
        last = (await self.entries())[-1]
        assert (raised.value.refusal.rule, last.outcome, rule.encode() in last.body) == (rule, "refused", True)


@pytest_asyncio.fixture
async def site(temporal: Client, tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(temporal, tmp_path).running() as site:
        yield site


def round_terms(opens_in: timedelta = timedelta(days=2)) -> dict[str, Any]:
    opens = datetime.now(UTC) + opens_in
    return {
        "kind": "open_round", "title": "Vega", "currency": "USD", "goal": 100_000_000, "minimum": 50_000_000,
        "opens_at": instant_text(opens), "closes_at": instant_text(opens + timedelta(days=7)),
        "budget": [{"name": "compute", "amount": 100_000_000}], "tranches": [{"name": "all", "fraction": 10_000}],
    }  # fmt: skip


# ---------------------------------------------------------------- by what is sent


async def test_nobody_speaks_for_another(site: Site) -> None:
    grant = site.signed(ATLAS, "sam", GRANT)
    await site.no_entry(site.send(grant, signed="", signature=""))
    await site.no_entry(site.give(ATLAS, "sam", GRANT, key="bo"))
    await site.no_entry(site.give(ATLAS, "sam", GRANT, key="eve"))
    await site.no_entry(site.send(site.signed(ATLAS, "bo", GRANT), actor="sam"))
    await site.no_entry(site.send(grant, command={**GRANT, "person": "eve"}))
    assert (await site.send(grant)).events == ["office_granted"]


async def test_nobody_speaks_as_the_system(site: Site) -> None:
    await site.give(VEGA, "tess", round_terms())
    standing = await site.recorder.standing(VEGA)
    deadline, owed = standing.agenda.deadline, next(iter(standing.stream.owed), "notice:none")
    assert deadline is not None
    early = deadline.command.model_dump(mode="json")
    money = {"kind": "record_payment", "member": "ada", "amount": 1, "reference": "X", "value_date": "2026-03-01"}
    failed = {"kind": "fail_step", "step": owed, "reason": "forged"}
    under = deadline_id(VEGA, standing.stream.version, deadline.at, early)
    for stream, command, command_id in (
        (VEGA, money, ""), (VEGA, money, under), (VEGA, failed, ""), (VEGA, failed, under), (VEGA, early, ""), (VEGA, early, under),
        ("member/ada", {"kind": "suspend_for_default", "source": VEGA}, ""),
    ):  # fmt: skip
        with pytest.raises((NotTaken, NotAnswered)) as raised:
            await site.sender.send(stream, command_id or str(uuid.uuid4()), SERVICE, command)
        assert "no answer within" not in str(raised.value)
    kinds = {entry.kind for entry in await site.entries()}
    assert not {"record_payment", early["kind"], "fail_step", "suspend_for_default"} & kinds


async def test_nobody_says_before_its_time_that_a_step_takes_long(site: Site) -> None:
    """It is the one word of the system that nobody can sign, and its id can be reckoned by everybody."""
    site.let_go.clear()
    vega = f"round/{uuid.uuid4()}"
    await site.give(vega, "tess", round_terms())
    stream = (await site.recorder.standing(vega)).stream
    key = next(key for key, step in stream.owed.items() if step.kind == "notify")
    delayed = {"kind": "delay_step", "step": key, "reason": "forged"}
    handle = site.client.get_workflow_handle(vega)
    with pytest.raises((WorkflowUpdateFailedError, RPCError)):
        await handle.execute_update(
            "delay_step",
            {"actor": SERVICE, "command": delayed},
            id=delay_id(vega, key, stream.tries[key]),
            rpc_timeout=timedelta(seconds=20),
        )
    assert not (await site.recorder.standing(vega)).stream.delayed


async def test_nobody_gives_a_command_a_time_of_their_own(site: Site) -> None:
    await site.refused("issued_ahead", site.give(ATLAS, "sam", GRANT, at=datetime(2199, 1, 1, tzinfo=UTC)))
    nines = {"issued_at": "9999-12-31T23:00:00Z", "expires_at": "9999-12-31T23:59:59Z"}
    await site.refused("issued_ahead", site.give(ATLAS, "sam", GRANT, **nines))
    await site.refused("command_expired", site.give(ATLAS, "sam", GRANT, at=datetime.now(UTC) - timedelta(days=400)))
    granted = await site.give(ATLAS, "sam", GRANT, issued_at="2020-01-01T00:00:00Z")
    assert granted.at > datetime.now(UTC) - timedelta(minutes=2), "whatever was signed, the recorder's clock dates the entry"


async def test_what_somebody_signed_is_worth_nothing_anywhere_else(site: Site) -> None:
    grant = site.signed(ATLAS, "sam", GRANT)
    await site.refused("other_place", site.send(grant, command_id=str(uuid.uuid4())))
    await site.no_entry(site.send(grant, stream="consortium/other"))
    await site.refused("other_consortium", site.give(ATLAS, "sam", GRANT, consortium="0" * 64))
    assert (await site.send(grant)).events == ["office_granted"]
    first = await site.send(grant)
    assert (await site.send(grant)).hash == first.hash, "sent again it is the same"


async def test_a_revoked_key_and_a_weak_one_open_nothing(site: Site) -> None:
    second = site.signers.request("sam", site.first, "sam's second")
    await site.give(ATLAS, "sam", {"kind": "enrol_key", **second})
    kept = site.signed(ATLAS, "sam", GRANT)
    await site.give(ATLAS, "sam", {"kind": "revoke_key", "person": "sam", "public_key": site.signers.line("sam")}, key="sam's second")
    await site.refused("key_not_valid", site.send(kept))
    weak = {"kind": "enrol_key", "person": "bo", "public_key": SMALL_ORDER, "proof": fits_everything()}
    await site.refused("key_not_proven", site.give(ATLAS, "bo", weak))
    theirs = {
        "kind": "enrol_key",
        "person": "bo",
        **{name: second[name] for name in ("public_key",)},
        "proof": site.signers.proof("bo", site.first),
    }
    await site.refused("key_taken", site.give(ATLAS, "bo", theirs))


async def test_nothing_permits_itself(site: Site) -> None:
    mine = {"kind": "enrol_key", **site.signers.request("eve", site.first)}
    await site.no_entry(site.give(ATLAS, "eve", mine))
    await site.refused("office_required", site.give(ATLAS, "bo", {"kind": "grant_office", "person": "bo", "office": "secretariat"}))
    await site.refused("no_mandate", site.give(ATLAS, "bo", {"kind": "amend_charter", "charter": charter().model_dump(mode="json")}))


async def test_envelopes_of_no_form_are_not_taken_and_the_stream_answers_on(site: Site) -> None:
    vega = f"round/{uuid.uuid4()}"
    await site.give(vega, "tess", round_terms())
    handle, good = site.client.get_workflow_handle(vega), site.signed(vega, "tess", WITHDRAW)
    envelope = {"actor": "tess", "command": WITHDRAW, "signed": base64.b64encode(good.signed).decode(), "signature": "!"}
    odds: Sequence[Any] = (
        None, 1, "x", [], {}, {"actor": "tess"}, envelope, {**envelope, "more": 1}, {**envelope, "signature": "AAAA"},
        {**envelope, "signed": "A" * 200_000}, {**envelope, "command": {**WITHDRAW, "x": "y" * 70_000}}, {**envelope, "actor": ["tess"]},
    )  # fmt: skip
    for odd in odds:
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("withdraw_round", odd, id=str(uuid.uuid4()), rpc_timeout=timedelta(seconds=20))
    assert "withdraw_round" not in {entry.kind for entry in await site.entries()}
    assert (await site.send(good)).events == ["round_withdrawn"]


@pytest.mark.parametrize("size", [1_100_000, 2_500_000, 3_900_000, 4_500_000])
async def test_an_update_of_megabytes_blocks_no_stream(site: Site, size: int) -> None:
    vega = f"round/{uuid.uuid4()}"
    await site.give(vega, "tess", round_terms())
    handle = site.client.get_workflow_handle(vega)
    with pytest.raises(WorkflowUpdateFailedError if size < LARGEST_MESSAGE else RPCError):
        await handle.execute_update("withdraw_round", "x" * size, id=str(uuid.uuid4()), rpc_timeout=timedelta(seconds=20))
    site.sender = Sender(site.client, site.queue, patience=timedelta(seconds=5))
    assert (await site.give(vega, "tess", WITHDRAW)).events == ["round_withdrawn"]


# ---------------------------------------------------------------- by who works


async def owed_notice(site: Site) -> tuple[str, str, int]:
    """A round that owes a notice which takes long, the notice's key and its attempt."""
    site.let_go.clear()
    stream = f"round/{uuid.uuid4()}"
    await site.give(stream, "tess", round_terms())
    standing = (await site.recorder.standing(stream)).stream
    key = next(key for key, step in standing.owed.items() if step.kind == "notify")
    return stream, key, standing.tries[key]


async def test_the_tag_of_an_old_step_makes_no_worker_sign_the_failure_of_another(site: Site) -> None:
    """What is tagged lies in Temporal's histories for everybody to read, and shows that a worker said it: of that step alone."""
    stream, key, attempt = await owed_notice(site)
    outcome = {"kind": "step_done", "step": "long gone"}
    said = Carried(
        attempt=7, log=site.first, outcome=digest(encode_json(outcome)), step="long gone", stream="treasury/main", version=VERSION
    )
    signed, signature = Signing(site.signers.key("log")).tag(said)
    envelope = Envelope(
        actor=SERVICE, command=outcome, signed=base64.b64encode(signed).decode(), signature=base64.b64encode(signature).decode()
    )  # fmt: skip
    request = RecordRequest(stream=stream, command_id=Answering(what="outcome", step=key, number=attempt))
    with pytest.raises(ApplicationError) as raised:
        await of_workflow(stream).run(Recording(site.recorder).record, request, envelope)
    assert raised.value.type == WRONG_TAG
    assert not (await site.recorder.standing(stream)).stream.failed


async def test_a_step_is_carried_out_for_the_workflow_of_its_stream_as_what_it_is_and_while_it_waits_for_nobody(site: Site) -> None:
    """Whoever reaches the task queue can schedule any activity on any step."""
    stream, key, attempt = await owed_notice(site)
    done: list[str] = []

    async def carry_out(step: Step) -> dict[str, Any]:
        done.append(step.key)
        return {"kind": "fail_step", "step": step.key, "reason": "no such payment"}

    recording, ref = Recording(site.recorder), StepRef(stream=stream, key=key)
    for kind, workflow_id in (("send_payment", stream), ("notify", "round/of-somebody-else")):
        with pytest.raises(ApplicationError) as raised:
            await of_workflow(workflow_id).run(recording.carrying_out(kind, carry_out), ref)
        assert raised.value.type == NOT_OWED
    failed = encode_json({"kind": "fail_step", "step": key, "reason": "refused"})
    said = Carried(attempt=attempt, log=site.first, outcome=digest(failed), step=key, stream=stream, version=VERSION)
    await site.recorder.record(
        Submission(stream, outcome_id(stream, key, attempt), SERVICE, failed, *Signing(site.signers.key("log")).tag(said))
    )
    with pytest.raises(ApplicationError):
        await of_workflow(stream).run(recording.carrying_out("notify", carry_out), ref)
    assert done == []


async def test_progress_that_somebody_else_wrote_keeps_nobody_from_being_told(site: Site) -> None:
    """A worker on the task queue could write that all was delivered, and let the try end: nobody would get the capital call."""
    stream, key, attempt = await owed_notice(site)
    found: list[dict[str, str]] = []

    async def carry_out(step: Step) -> dict[str, Any]:
        found.append(former_progress())
        return {"kind": "step_done", "step": step.key}

    activity_of, told = Recording(site.recorder).carrying_out("notify", carry_out), {"delivery": "delivered"}
    await of_workflow(stream, [told]).run(activity_of, StepRef(stream=stream, key=key))
    await of_workflow(stream, [told, "0" * 64]).run(activity_of, StepRef(stream=stream, key=key))
    code = Signing(site.signers.key("log")).authentication(stream, key, attempt, json.dumps(told).encode())
    await of_workflow(stream, [told, code]).run(activity_of, StepRef(stream=stream, key=key))
    await of_workflow(stream, [{"delivery": "refused"}, code]).run(activity_of, StepRef(stream=stream, key=key))
    for odd in ("é" * 64, "\ud800", 7, None, [code]):
        await of_workflow(stream, [told, odd]).run(activity_of, StepRef(stream=stream, key=key))
    assert found == [{}, {}, told, *[{}] * 6]


def _lies(outcome: Callable[[StepRef], Any], lied: list[str]) -> Callable[..., Any]:
    @activity.defn(name="notify")
    async def notify(ref: StepRef) -> Any:
        lied.append(ref.stream)
        return outcome(ref)

    return notify


def _failed(ref: StepRef) -> Any:
    raise ApplicationError("forged", {"kind": "fail_step", "step": ref.key, "reason": "forged"}, type=STEP_FAILED, non_retryable=True)


def _tagged_by_another(site: Site) -> Callable[[StepRef], Any]:
    def outcome(ref: StepRef) -> Any:
        body = {"kind": "step_done", "step": ref.key}
        signed, signature = Signing(site.signers.key("a rogue worker's")).tag(_carried(site, ref, body))
        return {"command": body, "signed": base64.b64encode(signed).decode(), "signature": base64.b64encode(signature).decode()}

    return outcome


def _carried(site: Site, ref: StepRef, body: Mapping[str, Any]) -> Any:
    return Carried(attempt=1, log=site.first, outcome=digest(encode_json(dict(body))), step=ref.key, stream=ref.stream, version=VERSION)


@pytest.mark.parametrize("lie", ["done", "failed", "of no form", "nothing", "tagged by another"])
async def test_what_a_rogue_worker_says_of_a_step_is_not_believed_and_ours_carries_it_out(
    site: Site, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.process.LATEST", timedelta(seconds=1))
    site.policies["notify"] = Policy(start_to_close=timedelta(seconds=5))  # a rogue that leaves holds a step so long
    lies: dict[str, Callable[[StepRef], Any]] = {
        "done": lambda ref: {"kind": "step_done", "step": ref.key},
        "failed": _failed,
        "of no form": lambda _: {"x": 1},
        "nothing": lambda _: {},
        "tagged by another": _tagged_by_another(site),
    }
    theirs = await Client.connect(site.client.service_client.config.target_host, data_converter=pydantic_data_converter)
    lied: list[str] = []
    rogue = Worker(theirs, task_queue=site.queue, activities=[_lies(lies[lie], lied)], max_concurrent_activities=50)
    rounds: list[str] = []
    async with rogue:
        while not lied and len(rounds) < 60:
            rounds.append(f"round/{uuid.uuid4()}")
            await site.give(rounds[-1], "tess", round_terms())
    assert lied, "the rogue was handed a step"

    async def all_told() -> bool:
        streams = [await site.recorder.standing(stream) for stream in rounds]
        return all(not each.stream.owed for each in streams)

    async with asyncio.timeout(90):
        while not await all_told():
            await asyncio.sleep(0.2)
    kinds = [entry.kind for entry in await site.entries()]
    assert "fail_step" not in kinds
    assert len(site.carried) >= len(rounds), "each notice was really carried out by a worker of ours"


# ---------------------------------------------------------------- by who answers


class RogueRecording:
    """Answers commands without any log. It has Temporal, and everything that went through it."""

    def __init__(self, answer: Callable[[RecordRequest], tuple[Receipt, Refusal | None]]) -> None:
        self._answer = answer

    @asynccontextmanager
    async def working(self, client: Client) -> AsyncIterator[str]:
        """Works on a task queue of its own, whose name it gives."""
        queue = f"queue-{uuid.uuid4()}"
        async with Worker(
            client, task_queue=queue, workflows=WORKFLOWS, activities=[self.record, self.standing],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):  # fmt: skip
            yield queue

    @activity.defn(name="record")
    async def record(self, request: RecordRequest, envelope: Envelope) -> Recorded:
        receipt, refusal = self._answer(request)
        return Recorded(receipt=receipt, refusal=refusal, standing=await self.standing(request.stream))

    @activity.defn(name="standing")
    async def standing(self, stream: str) -> Standing:
        return Standing(
            stream=stream, version=1, phase="open", line="", details="", waits_for=[], attention=False, due=None, steps=[], closed=False
        )  # fmt: skip


async def told(site: Site, sender: Sender, given: Submission) -> answers.Answer:
    """What a person is shown of the answer to a command, by this sender."""
    signed, signature = base64.b64encode(given.signed).decode(), base64.b64encode(given.signature).decode()
    said = await answers.answered(
        sender.send(given.stream, given.command_id, given.actor, json.loads(given.command), signed=signed, signature=signature)
    )
    return await answers.checked(Settings(folder=site.path), answers.Given(*given[:6]), *said)


async def test_an_honest_workers_answers_are_proven_through_temporal(site: Site) -> None:
    accepted = await told(site, site.sender, site.signed(ATLAS, "sam", GRANT))
    refused = await told(site, site.sender, site.signed(ATLAS, "bo", GRANT | {"office": "treasurer"}))
    assert accepted.receipt is not None
    assert refused.refusal is not None
    assert (accepted.receipt.position, refused.refusal.rule) == (2, "office_required")
    assert len(receipts.Desk(Settings(folder=site.path)).kept()) == 2
    await receipts.receipts(where=Where(folder=site.path))


@pytest.mark.parametrize("lie", ["acknowledged", "acknowledged with another entry", "refused", "refused with an accepted entry"])
async def test_what_a_rogue_worker_answers_is_not_shown_as_true(site: Site, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SEEN_SECONDS", 0)
    real = await site.give(ATLAS, "sam", GRANT)

    def answer(request: RecordRequest) -> tuple[Receipt, Refusal | None]:
        assert isinstance(request.command_id, str)
        borrowed = {"stream": request.stream, "command_id": request.command_id}
        receipt = real.model_copy(update=borrowed if "entry" in lie else borrowed | {"entry": "", "proof": ""})
        no = Refusal(rule="round_closed", message="the round is closed", remedy="wait", clause="")
        return receipt, no if "refused" in lie else None

    async with RogueRecording(answer).working(site.client) as queue:
        with pytest.raises(Broken):
            await told(site, Sender(site.client, queue), site.signed(f"round/{uuid.uuid4()}", "tess", round_terms()))
    assert receipts.Desk(Settings(folder=site.path)).kept() == []


@pytest.mark.parametrize("lie", ["acknowledged", "refused"])
async def test_a_letter_is_neither_taken_nor_refused_because_a_rogue_worker_says_so(site: Site, lie: str) -> None:
    real, target = await site.give(ATLAS, "sam", GRANT), f"member/{uuid.uuid4()}"
    no = Refusal(rule="round_closed", message="the round is closed", remedy="wait", clause="")
    letter = {"kind": "suspend_for_default", "source": VEGA}
    step = Step(kind="tell", key="tell:x", data={"stream": target, "command": letter})
    async with RogueRecording(lambda _: (real, no if lie == "refused" else None)).working(site.client) as queue:
        tell = Tell(Sender(site.client, queue), Recording(site.recorder))
        with pytest.raises(NotAnswered, match="the log does not hold"):
            await of_workflow(VEGA).run(tell, step)
