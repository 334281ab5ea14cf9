"""Notices by e-mail and by signed webhooks, told to a real mail server and a real receiver.

| step | data | outcomes |
| --- | --- | --- |
| notify | template, to, facts | step_done; fail_step when every address refused, or the step is malformed |

Whatever passes (a busy mailbox, a receiver that is down, a killed worker) is tried again; every repeat bears the first one's id.
"""

from __future__ import annotations

import ast
import asyncio
import email
import email.policy
import logging
import re
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import pytest
import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import ValidationError
from standardwebhooks import Webhook as Verifier
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.notices.addresses import AddressBookUnreadable, Addresses, MemoryBook, TomlBook, Webhook
from activities.notices.sending import Notices, Outbox, Smtp, Undelivered, Webhooks, standing_for
from activities.notices.templates import TEMPLATES, written
from activities.outside import Outcome
from activities.web import Poster
from domain.kernel import Step, notify, with_own_facts
from domain.member.terms import Rung
from tests.dev_server import dev_server
from tests.environment import of_workflow
from tests.stories import day, founded, with_members

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENDER = "Atlas Consortium <notices@atlas.example>"
HOLDERS = {"office:treasurer": ("tess",), "member:helio": ("ada", "ben"), "member:zeta": ("ada",)}

# ---------------------------------------------------------------- the outside world


@dataclass
class Mailbox:
    """A mail server of our own that keeps what it takes, and answers some addresses as told."""

    answers: dict[str, str] = field(default_factory=dict)
    taken: list[EmailMessage] = field(default_factory=list)
    stalls_after: int = sys.maxsize
    """From so many messages on it takes one more and never answers."""
    stalled: Event = field(default_factory=Event)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        answer = self.answers.get(address, "250 fine")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert [message["To"]] == envelope.rcpt_tos, "nobody sees who else was told"
        self.taken.append(message)
        if len(self.taken) > self.stalls_after:
            self.stalled.set()
            await asyncio.sleep(60)
        return "250 taken"

    def ids(self, address: str) -> list[str]:
        return [message["Message-ID"] for message in self.taken if message["To"] == address]


@asynccontextmanager
async def mail_server(mailbox: Mailbox) -> AsyncIterator[Smtp]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield Smtp("127.0.0.1", port, security="none")
    finally:
        controller.stop()


class Receiver(BaseHTTPRequestHandler):
    """Checks every signature; answers each path as told, by default that it is fine."""

    statuses: ClassVar[dict[str, int]] = {}
    taken: ClassVar[list[tuple[str, str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        content = Verifier(SECRET).verify(body, dict(self.headers))
        status = self.statuses.get(self.path, 204)
        self.taken.append((self.path, self.headers["webhook-id"], content))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a running receiver."""
    Receiver.statuses.clear()
    Receiver.taken.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# ---------------------------------------------------------------- the activity


async def persons(recipient: str) -> tuple[str, ...]:
    return HOLDERS.get(recipient, ())


def now() -> datetime:
    return datetime.now(UTC)


def reached(*emails: str, hooks: tuple[str, ...] = ()) -> Addresses:
    return Addresses(emails=emails, webhooks=tuple(Webhook(url=url, secret=SECRET) for url in hooks))


def mailed(*handles: str) -> dict[str, Addresses]:
    return {handle: reached(f"{handle}@example.org") for handle in handles}


def notices(book: Mapping[str, Addresses], mail: Smtp | Outbox) -> Notices:
    return Notices(SENDER, MemoryBook(book), persons, mail, Webhooks(now, Poster(timeout_seconds=2)), now=now)


def call_for(*to: str, **facts: str | int) -> Step:
    return notify("no-text-for-this", to, key="notice:call:2", **facts)


@dataclass
class Tries:
    """The tries of one step: each starts from the progress that the one before told by heartbeat."""

    progress: list[Any] = field(default_factory=list)

    async def carry_out(self, carry_out: Callable[[Step], Any], step: Step, *, stream: str = "round/atlas-1") -> Outcome:
        environment = of_workflow(stream, self.progress)
        environment.on_heartbeat = self._told
        outcome: Outcome = await environment.run(carry_out, step)
        return outcome

    def _told(self, *progress: Any) -> None:
        self.progress = list(progress)


async def carried(carry_out: Notices, step: Step) -> Outcome:
    return await Tries().carry_out(carry_out, step)


DONE = {"kind": "step_done", "step": "notice:call:2"}

# ---------------------------------------------------------------- by e-mail


async def test_everybody_who_stands_for_a_recipient_gets_one_message_of_his_own() -> None:
    async with mail_server(mailbox := Mailbox()) as mail:
        step = call_for("member:helio", "office:treasurer", "ada", amount="USD 5,000,000.00")
        assert await carried(notices(mailed("ada", "ben", "tess"), mail), step) == DONE
    assert sorted(message["To"] for message in mailbox.taken) == ["ada@example.org", "ben@example.org", "tess@example.org"]
    message = mailbox.taken[0]
    assert message["From"] == SENDER
    assert message["Subject"] == "No text for this"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().splitlines() == ["amount: USD 5,000,000.00", "", "This is about round/atlas-1."]


async def test_a_repeated_step_has_the_same_ids_and_another_stream_has_others(tmp_path: Path) -> None:
    async with mail_server(mailbox := Mailbox()) as mail:
        activity_ = notices(mailed("ada"), mail)
        for stream in ("round/atlas-1", "round/atlas-1", "round/atlas-2"):
            await Tries().carry_out(activity_, call_for("ada"), stream=stream)
    first, again, other = mailbox.ids("ada@example.org")
    assert first == again != other
    assert first.endswith("@atlas.example>")


async def test_each_recipient_is_told_its_own_facts_also_by_one_person_who_stands_for_two() -> None:
    each = {"member:helio": {"amount": "USD 5.00"}, "member:zeta": {"amount": "USD 7.00"}}
    step = with_own_facts(call_for("member:helio", "member:zeta", "ben", call=2), each)
    async with mail_server(mailbox := Mailbox()) as mail:
        assert await carried(notices(mailed("ada", "ben"), mail), step) == DONE
    told = {(message["To"], message.get_content().splitlines()[1]) for message in mailbox.taken}
    assert told == {
        ("ada@example.org", "amount: USD 5.00"), ("ben@example.org", "amount: USD 5.00"),
        ("ada@example.org", "amount: USD 7.00"), ("ben@example.org", ""),
    }  # fmt: skip
    assert len({message["Message-ID"] for message in mailbox.taken}) == 4


async def test_facts_bend_no_header_and_no_line() -> None:
    step = call_for(
        "ada", title="Free GPUs\r\nBcc: eve@evil.example\n\n\u202egnp.exe", link="see https://evil.example/login", name="نامه\u200cها"
    )
    async with mail_server(mailbox := Mailbox()) as mail:
        assert await carried(notices(mailed("ada"), mail), step) == DONE
    assert mailbox.taken[0]["Bcc"] is None
    assert mailbox.taken[0].get_content().splitlines()[:3] == [
        "title: Free GPUs Bcc: eve@evil.example gnp.exe",
        "link: see https[:]//evil.example/login",
        "name: نامه\u200cها",
    ]


def test_a_text_says_every_fact_it_is_given_once_and_knows_no_other_braces() -> None:
    letter = written("capital_called", {"round": "round/{call}", "call": 2, "due_on": "2026-11-20", "memo": "for the cluster"}, "round/a")
    assert letter.subject == "Capital call 2 of round/{call}: due on 2026-11-20"
    assert letter.text.count("for the cluster") == 1
    assert "memo: for the cluster" in letter.text
    assert written("capital_called", {}, "").subject == "Capital call — of —: due on —"


async def test_an_address_that_is_refused_for_good_holds_up_no_other() -> None:
    async with mail_server(mailbox := Mailbox(answers={"ada@example.org": "550 no such mailbox"})) as mail:
        assert await carried(notices(mailed("ada", "ben"), mail), call_for("member:helio")) == DONE
    assert [message["To"] for message in mailbox.taken] == ["ben@example.org"]


async def test_a_notice_that_everybody_refuses_needs_a_person() -> None:
    answers = dict.fromkeys(("ada@example.org", "ben@example.org"), "550 no such mailbox")
    async with mail_server(Mailbox(answers=answers)) as mail:
        outcome = await carried(notices(mailed("ada", "ben"), mail), call_for("member:helio"))
    assert outcome["kind"] == "fail_step"
    assert "correct the address book" in outcome["reason"]
    assert "example.org" not in outcome["reason"]


async def test_a_busy_mailbox_alone_is_tried_again() -> None:
    async with mail_server(mailbox := Mailbox(answers={"ada@example.org": "451 later"})) as mail:
        activity_, tries = notices(mailed("ada", "ben"), mail), Tries()
        with pytest.raises(Undelivered, match="1 of 2"):
            await tries.carry_out(activity_, call_for("member:helio"))
        mailbox.answers.clear()
        assert await tries.carry_out(activity_, call_for("member:helio")) == DONE
    assert [message["To"] for message in mailbox.taken] == ["ben@example.org", "ada@example.org"]


async def test_a_mail_server_that_is_down_is_a_fault_that_shows_no_address() -> None:
    activity_ = notices(mailed("ada"), Smtp("127.0.0.1", 9, security="none", username="u", password="hunter2"))
    with pytest.raises(Undelivered) as fault:
        await carried(activity_, call_for("ada"))
    assert "example.org" not in repr(fault.value)
    assert "hunter2" not in repr(fault.value) + repr(activity_._mail)
    assert fault.value.__cause__ is None


def test_mail_leaves_this_machine_encrypted_only() -> None:
    with pytest.raises(ValueError, match="starttls"):
        Smtp("mail.example.org", 25, security="none")


async def test_a_mail_server_that_offers_no_encryption_gets_nothing() -> None:
    async with mail_server(mailbox := Mailbox()) as mail:
        with pytest.raises(Undelivered):
            await carried(notices(mailed("ada"), replace(mail, security="starttls")), call_for("ada"))
    assert mailbox.taken == []


# ---------------------------------------------------------------- without a mail server


async def test_without_a_mail_server_notices_are_files_and_a_repeat_writes_none(tmp_path: Path) -> None:
    activity_ = notices(mailed("ada", "ben"), Outbox(tmp_path / "outbox"))
    for _ in range(2):
        assert await carried(activity_, call_for("member:helio", amount=5)) == DONE
    assert sorted(message["To"] for message in spooled(tmp_path / "outbox")) == ["ada@example.org", "ben@example.org"]


def spooled(outbox: Path) -> list[EmailMessage]:
    files = sorted(outbox.iterdir())
    assert all(file.suffix == ".eml" and file.stat().st_mode & 0o777 == 0o600 for file in files)
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]


# ---------------------------------------------------------------- by webhook


async def test_a_member_gets_signed_webhooks_with_an_id_that_stays(receiver: str, tmp_path: Path) -> None:
    activity_ = notices({"member:helio": reached(hooks=(f"{receiver}/helio",))}, Outbox(tmp_path))
    for _ in range(2):
        assert await carried(activity_, call_for("member:helio", amount_minor=5)) == DONE
    (path, first, content), (_, again, _) = Receiver.taken
    assert path == "/helio"
    assert first == again
    assert content["type"] == "notice.no-text-for-this"
    assert content["data"]["stream"] == "round/atlas-1"
    assert content["data"]["facts"] == {"amount_minor": 5}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_a_receiver_that_is_unwell_is_tried_again_and_holds_up_no_other(receiver: str, tmp_path: Path, status: int) -> None:
    book = {"member:helio": reached(hooks=(f"{receiver}/unwell", f"{receiver}/well"))} | mailed("ada")
    activity_, tries = notices(book, Outbox(tmp_path)), Tries()
    Receiver.statuses["/unwell"] = status
    with pytest.raises(Undelivered, match="1 of 3"):
        await tries.carry_out(activity_, call_for("member:helio"))
    Receiver.statuses.clear()
    assert await tries.carry_out(activity_, call_for("member:helio")) == DONE
    assert [path for path, _, _ in Receiver.taken] == ["/unwell", "/well", "/unwell"]
    assert len(spooled(tmp_path)) == 1


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410])
async def test_a_receiver_that_says_no_is_not_asked_again_and_no_redirect_is_followed(receiver: str, tmp_path: Path, status: int) -> None:
    Receiver.statuses["/gone"] = status
    outcome = await carried(notices({"member:helio": reached(hooks=(f"{receiver}/gone",))}, Outbox(tmp_path)), call_for("member:helio"))
    assert outcome["kind"] == "fail_step"
    assert [path for path, _, _ in Receiver.taken] == ["/gone"]


async def test_a_receiver_that_drips_is_left(tmp_path: Path) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.05)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        activity_ = Notices(
            SENDER,
            MemoryBook({"ada": reached(hooks=(url,))}),
            persons,
            Outbox(tmp_path),
            Webhooks(now, Poster(timeout_seconds=0.3)),
            now=now,
        )
        with pytest.raises(Undelivered):
            await asyncio.wait_for(carried(activity_, call_for("ada")), timeout=3)


@pytest.mark.parametrize(
    "url",
    [
        "http://helio.example/hook",
        "http://127.0.0.1.helio.example/",
        "https://user:pass@helio.example/",
        "ftp://helio.example/",
        "file:///etc/passwd",
        "https:///hook",
        "https://helio.example/a b",
        "https://helio.example/\r\nx: y",
        "https://helio.example/#part",
    ],
)
def test_webhooks_go_to_https_or_to_this_machine(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Webhook(url=url, secret=SECRET)
    assert url not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64 at all"])
def test_a_weak_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(ValidationError):
        Webhook(url="https://helio.example/", secret=secret)


TELLING = {
    "notify": 0,
    "notify_audience": 0,
    "notify_called": 0,
    "notify_members": 0,
    "_notify_concerned": 0,
    "owe_notice": 0,
    "owe_notices": 0,
    "_notify_open": 0,
    "_notify_owing": 1,
    "notify_voters": 0,
}
"""What the processes tell by, and which argument names the template."""
COMPUTED = {
    *(f"dues-{rung}" for rung in Rung),
    "application-lapsed",
    "application-rejected",
    "call_covered",
    "dues-reversed",
    "dues-reversed-nothing-owed",
    "leaving_charge_covered",
    "make_up_lapsed",
    "make_up_reduced",
    "make_up_returned",
    "missed_call_covered",
    "set-off-carried-out",
    "set-off-of-all-dues",
    "run-fell-silent",
    "run-stalled",
    "vote-closed",
    "vote-closed-exit",
    "vote-closed-timelock",
    "pledging_started_lock",
    "round_extended_lock",
    "round_settled",
    "round_cancelled",
}


def named_templates() -> Iterator[str]:
    """What the processes call their notices, as their source says it."""
    for file in sorted(Path("domain").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and (place := TELLING.get(getattr(call.func, "id", ""))) is not None and len(call.args) > place:
                template = call.args[place]
                if isinstance(template, ast.Constant):
                    yield str(template.value)


def test_every_notice_of_every_process_has_a_text_and_no_text_is_for_nothing() -> None:
    assert {*named_templates(), *COMPUTED} == TEMPLATES.keys()


NUMBERS = ("count", "creditors", "lines", "missing", "payments", "restarts", "spikes")
"""Facts that count things."""


def test_a_number_of_things_is_right_for_one_of_them_too() -> None:
    counted = {fact for letter in TEMPLATES.values() for fact in NUMBERS if f"{{{fact}}}" in letter.text}
    assert counted == set(NUMBERS)
    for letter in TEMPLATES.values():
        assert not re.search(rf"\{{({'|'.join(NUMBERS)})\}} \w", f"{letter.subject}\n{letter.text}"), letter


def test_what_must_be_done_at_the_latest_on_a_day_is_to_be_done_by_it() -> None:
    for letter in TEMPLATES.values():
        assert not re.search(r"\b(pay|paid|sign|name)\b[^.;]* until \{", f"{letter.subject}\n{letter.text}", re.IGNORECASE), letter


def test_no_notice_promises_more_than_the_decision_that_it_tells_of() -> None:
    over = {name: written(name, {"round": "round/atlas-1"}, "").text for name in ("default_cured", "missed_called")}
    for text in over.values():
        assert "it votes" not in text, "it may be suspended for another round, or for its dues"
        assert "what was not taken over of its commitment stands" in text
    ahead = written("calendar_ended", {"until": "2029-12-31"}, "")
    assert ahead.subject == "The charter's calendar ends with 2029-12-31: name further days"


# ---------------------------------------------------------------- whom


async def test_who_has_no_address_is_named_and_is_no_failure(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        outcome = await carried(notices(mailed("ada"), Outbox(tmp_path)), call_for("ada", "office:treasurer", "zoe"))
    lacking = {"office:treasurer": "no_address", "zoe": "no_address"}
    assert outcome == {"kind": "notice_sent", "step": "notice:call:2", "unreached": lacking}
    assert [log["recipient"] for log in logs if log["event"] == "notice.unreachable"] == ["office:treasurer", "zoe"]
    tried = next(log for log in logs if log["event"] == "notice.tried")
    assert (tried["delivered"], tried["unreachable"]) == (1, 2)


async def test_no_log_holds_an_address(receiver: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = {"member:helio": reached("ada@example.org", hooks=(f"{receiver}/token-in-path",))}
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        async with mail_server(Mailbox()) as mail:
            await carried(notices(book, mail), call_for("member:helio"))
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("mail.")]
    assert "token-in-path" not in f"{logs} {ours} {book}"
    assert "ada@" not in f"{logs} {ours} {book}"
    assert SECRET not in f"{logs} {ours} {book}"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"template": "x", "to": []},
        {"template": "x", "to": ["nobody:at-all"]},
        {"template": "x", "to": ["a\r\nb"]},
        {"template": "x", "to": ["ada"] * 101},
        {"template": "x", "to": ["ada"], "facts": {"a b": 1}},
    ],
)
async def test_a_malformed_step_fails_for_good(tmp_path: Path, data: dict[str, Any]) -> None:
    outcome = await carried(notices(mailed("ada"), Outbox(tmp_path)), Step(kind="notify", key="notice:call:2", data=data))
    assert outcome["kind"] == "fail_step"


def test_the_register_says_who_stands_for_a_member_or_an_office() -> None:
    register = with_members(founded(), "helio")
    assert standing_for(register, "member:helio", day(1)) == ("rep-helio",)
    assert standing_for(register, "office:treasurer", day(1)) == ("tess",)
    assert standing_for(register, "office:no-such", day(1)) == ()
    assert standing_for(register, "member:no-such", day(1)) == ()


# ---------------------------------------------------------------- the address book

BOOK = f"""
[ada]
emails = ["ada@helio.example", "ada@private.example"]

["member:helio"]
webhooks = [{{ url = "https://helio.example/hook", secret = "{SECRET}" }}]
"""


async def test_an_address_book_is_a_file_that_may_change(tmp_path: Path) -> None:
    book = TomlBook(file := tmp_path / "addresses.toml")
    assert await book.find("ada") is None
    put(file, BOOK)
    ada, helio = await book.find("ada"), await book.find("member:helio")
    assert ada is not None
    assert helio is not None
    assert ada.emails == ("ada@helio.example", "ada@private.example")
    assert helio.webhooks[0].url == "https://helio.example/hook"
    assert await book.find("ben") is None
    put(file, "")
    assert await book.find("ada") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[ada]\nemails = ["not an address"]', "ada.emails.0"),
        ('[ada]\nemails = ["ada@helio.example\\nBcc: eve"]', "ada.emails.0"),
        ('[ada]\nmail = "ada@helio.example"', "ada.mail: there is no such field"),
        ('["member:helio"]\nwebhooks = [{ url = "http://helio.example", secret = "x" }]', "member:helio.webhooks.0.url"),
        ('[ada]\nemails = ["ada@helio.example', "no TOML"),
        ("[ada@helio.example]", "no TOML"),
    ],
)
async def test_a_spoilt_address_book_says_where_and_shows_nobodys_address(tmp_path: Path, text: str, says: str) -> None:
    put(file := tmp_path / "addresses.toml", text)
    with pytest.raises(AddressBookUnreadable, match=says) as fault:
        await TomlBook(file).find("ada")
    assert "helio.example" not in repr(fault.value)


def put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- a killed worker


@workflow.defn(name="OneStep", sandboxed=False)
class OneStep:
    """Carries out one step, as the loop of a process does."""

    @workflow.run
    async def run(self, step: Step) -> dict[str, Any]:
        outcome: dict[str, Any] = await workflow.execute_activity(
            "notify", step, task_queue="outside", start_to_close_timeout=timedelta(minutes=1), heartbeat_timeout=timedelta(seconds=2),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)), result_type=dict[str, Any],
        )  # fmt: skip
        return outcome


async def notifying_worker(address: str, port: str) -> None:
    """A worker that carries out `notify` steps, until it is killed."""
    carry_out = notices(mailed("ada", "ben", "tess"), Smtp("127.0.0.1", int(port), security="none"))

    @activity.defn(name="notify")
    async def carried_out(step: Step) -> dict[str, Any]:
        return await carry_out(step)

    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await Worker(client, task_queue="outside", activities=[carried_out]).run()


@asynccontextmanager
async def other_process(address: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The worker in a process of its own; killed in the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, address, str(port))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_worker_killed_between_two_messages_is_followed_by_one_that_goes_on() -> None:
    step = call_for("ada", "ben", "tess")
    async with (
        await dev_server() as environment,
        mail_server(mailbox := Mailbox(stalls_after=1)) as mail,
        Worker(environment.client, task_queue="flows", workflows=[OneStep]),
    ):
        address = environment.client.service_client.config.target_host
        handle = await environment.client.start_workflow("OneStep", step, id=f"round/{uuid.uuid4()}", task_queue="flows", result_type=dict)
        async with other_process(address, mail.port):
            assert await asyncio.to_thread(mailbox.stalled.wait, 30)
        mailbox.stalls_after = sys.maxsize
        async with other_process(address, mail.port):
            assert await handle.result() == DONE
    assert len(mailbox.ids("ada@example.org")) == 1, "told before the kill, and known to be"
    assert len(mailbox.ids("ben@example.org")) == 2, "told before the kill, but nobody could know"
    assert len(set(mailbox.ids("ben@example.org"))) == 1
    assert len(mailbox.ids("tess@example.org")) == 1


if __name__ == "__main__":
    asyncio.run(notifying_worker(*sys.argv[1:]))
