"""Notices: telling persons and members something by e-mail and by signed webhooks.

At least once, and recognisably: a repeat has the same `Message-ID` or `webhook-id` as the first. Every address is served by
itself, so one that fails holds up no other, and nobody sees who else was told. Addresses and secrets appear in no log and
in no error.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Protocol
from uuid import uuid4

import aiosmtplib
import standardwebhooks
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.notices.addresses import LOOPBACK, AddressBook, Recipient, Webhook
from activities.notices.templates import Facts, Letter, TemplateName, written
from activities.outside import Now, Outcome, done, failed, former_progress, keep_progress, stream
from activities.web import LATER, Poster
from domain.charter import Office
from domain.kernel import PersonId, Step
from domain.register.facts import Unreachable
from domain.register.state import Register

Persons = Callable[[str], Awaitable[tuple[PersonId, ...]]]
"""Tells who stands for `member:<id>` or `office:<name>` now."""


def standing_for(register: Register, recipient: str, as_of: datetime) -> tuple[PersonId, ...]:
    """The representatives and alternates of `member:<id>`, the holders of `office:<name>` and who stands in for an absent one; else nobody."""
    kind, _, name = recipient.partition(":")
    if kind == "member":
        return tuple(term.person for term in register.representatives(name, as_of))
    if kind != "office" or name not in set(Office):
        return ()
    office = Office(name)
    return tuple(dict.fromkeys((*register.holders(office), *register.substitutes_for(office, as_of))))


for _chatty in ("httpx", "httpcore"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)  # they log whole URLs, and a webhook's URL is an address


class Verdict(StrEnum):
    """What became of one delivery."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """For good: trying again would change nothing."""
    DEFERRED = "deferred"


class Undelivered(Exception):
    """Some deliveries need another try. The text holds no address."""


class Notice(BaseModel):
    """What a `notify` step says."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    template: TemplateName
    to: Annotated[list[Recipient], Field(min_length=1, max_length=100)]
    facts: Facts = Field(default_factory=dict)
    each: Annotated[dict[Recipient, Facts], Field(max_length=100)] = Field(default_factory=dict)
    """What only one recipient is told."""

    def facts_for(self, recipient: str) -> Facts:
        """What the recipient is told."""
        return self.facts | self.each.get(recipient, {})


class Mail(Protocol):
    """Takes a message to its one recipient."""

    async def send(self, message: EmailMessage) -> Verdict:
        """Raises `Undelivered` when the way is closed for every message, not only for this one."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on its way to one address."""

    id: str
    """The same for the same step and place in the address book, whatever the address; 32 hexadecimal digits."""
    address: str | Webhook = field(repr=False)
    recipient: str
    """Whose notice it is."""


class Notices:
    """The activity `notify`: a template and facts in, deliveries to everybody's addresses out."""

    def __init__(self, sender: str, book: AddressBook, persons: Persons, mail: Mail, webhooks: Webhooks, *, now: Now) -> None:
        self._sender = sender
        self._domain = parseaddr(sender)[1].partition("@")[2]
        assert self._domain, "notices need a sender like 'Atlas <notices@atlas.example>'"
        self._book = book
        self._persons = persons
        self._mail = mail
        self._webhooks = webhooks
        self._now = now

    async def __call__(self, step: Step) -> Outcome:
        """`step_done` when everybody was told, `notice_sent` with those who were not, `fail_step` when every address refused.

        Raises `Undelivered` while something is left to try.
        """
        try:
            notice = Notice.model_validate(step.data)
        except ValidationError:
            return failed(step, "the step does not say whom to tell what: this is a fault of the process, report it")
        log = structlog.get_logger().bind(stream=stream(), step=step.key, template=notice.template)
        deliveries, unreachable = await self._plan(step, notice)
        for recipient in unreachable:
            log.warning("notice.unreachable", recipient=recipient)
        settled, deferred = former_progress(), 0
        for delivery in deliveries:
            if delivery.id not in settled:
                verdict = await self._deliver(delivery, notice)
                if verdict is Verdict.DEFERRED:
                    deferred += 1
                else:
                    settled[delivery.id] = verdict
                keep_progress(settled)
        refused = sum(verdict == Verdict.REFUSED for verdict in settled.values())
        delivered = len(settled) - refused
        log.info("notice.tried", delivered=delivered, refused=refused, deferred=deferred, unreachable=len(unreachable))
        if deferred:
            raise Undelivered(f"{deferred} of {len(deliveries)} deliveries were put off by the receiving side")
        if refused and not delivered:
            return failed(step, f"nobody was told: all {refused} addresses refused it; correct the address book, then retry the step")
        lacking: dict[str, Unreachable] = dict.fromkeys(unreachable, "no_address")
        lacking |= dict.fromkeys(_refusing(deliveries, settled), "refused")
        return {"kind": "notice_sent", "step": step.key, "unreached": lacking} if lacking else done(step)

    async def _plan(self, step: Step, notice: Notice) -> tuple[Sequence[Delivery], Sequence[str]]:
        """Each address once for the same facts, and the recipients without any. Webhooks come first: they do not wait for a mail server."""
        planned: dict[tuple[str | Webhook, str], Delivery] = {}
        unreachable: list[str] = []
        for recipient in notice.to:
            own = recipient if recipient in notice.each else ""
            deliveries = await self._deliveries(step, recipient, own)
            for delivery in deliveries:
                planned.setdefault((delivery.address, own), delivery)
            if not deliveries:
                unreachable.append(recipient)
        return sorted(planned.values(), key=lambda delivery: isinstance(delivery.address, str)), unreachable

    async def _deliveries(self, step: Step, recipient: str, own: str) -> Sequence[Delivery]:
        """One for each address of the recipient as such, and of everybody who stands for it."""
        handles = (recipient, *(await self._persons(recipient) if ":" in recipient else ()))
        entries = [(handle, entry) for handle in handles if (entry := await self._book.find(handle))]
        return [
            Delivery(self._id(step, handle, place, own), address, recipient)
            for handle, entry in entries
            for place, address in entry.by_place().items()
        ]

    def _id(self, step: Step, handle: str, place: str, own: str) -> str:
        parts = (self._domain, stream(), step.key, handle, place, *([own] if own else []))
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]

    async def _deliver(self, delivery: Delivery, notice: Notice) -> Verdict:
        facts = notice.facts_for(delivery.recipient)
        letter = written(notice.template, facts, stream())
        match delivery.address:
            case Webhook() as hook:
                return await self._webhooks.send(hook, f"msg_{delivery.id}", self._payload(notice.template, facts, letter))
            case str() as email:
                return await self._mail.send(self._message(delivery, email, letter))

    def _payload(self, template: str, facts: Facts, letter: Letter) -> str:
        data = {"stream": stream(), "facts": facts, "subject": letter.subject, "text": letter.text}
        return json.dumps({"type": f"notice.{template}", "timestamp": self._now().isoformat(), "data": data}, ensure_ascii=False)

    def _message(self, delivery: Delivery, email: str, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = email
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(self._now())
        message["Message-ID"] = f"<{delivery.id}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply comes back
        message.set_content(letter.text, cte="quoted-printable")
        return message


def _refusing(deliveries: Sequence[Delivery], settled: Mapping[str, str]) -> set[str]:
    """The recipients of whose addresses each one refused."""
    reached = {delivery.recipient for delivery in deliveries if settled.get(delivery.id) != Verdict.REFUSED}
    return {delivery.recipient for delivery in deliveries} - reached


# ---------------------------------------------------------------- ways out


@dataclass(frozen=True, slots=True)
class Smtp:
    """Sends by a mail server. Without TLS only to this machine."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 20
    """For one message, from the connection to the last answer."""

    def __post_init__(self) -> None:
        if self.security == "none" and self.host not in LOOPBACK:
            raise ValueError("mail leaves this machine by tls or starttls only")

    async def send(self, message: EmailMessage) -> Verdict:
        """See `Mail.send`."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await aiosmtplib.send(
                    message,
                    hostname=self.host,
                    port=self.port,
                    use_tls=self.security == "tls",
                    start_tls=self.security == "starttls",
                    username=self.username,
                    password=self.password,
                )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return _judged(refused.recipients[0].code)
        except aiosmtplib.SMTPDataError as refused:
            return _judged(refused.code)
        except (aiosmtplib.SMTPException, OSError) as fault:
            code = fault.code if isinstance(fault, aiosmtplib.SMTPResponseException) else ""
            raise Undelivered(f"the mail server does not take mail: {type(fault).__name__} {code}".strip()) from None
        return Verdict.DELIVERED


def _judged(code: int) -> Verdict:
    return Verdict.REFUSED if code >= 500 else Verdict.DEFERRED


@dataclass(frozen=True, slots=True)
class Outbox:
    """Writes messages to a folder as `.eml` files, where there is no mail server; a repeat writes nothing new."""

    folder: Path

    async def send(self, message: EmailMessage) -> Verdict:
        """See `Mail.send`."""
        await asyncio.to_thread(self._write, message)
        return Verdict.DELIVERED

    def _write(self, message: EmailMessage) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.folder / f"{str(message['Message-ID']).strip('<>').partition('@')[0]}.eml"
        if target.exists():
            return
        beside = self.folder / f".{uuid4()}.tmp"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Posts notices, signed as by Standard Webhooks."""

    now: Now
    poster: Poster = field(default_factory=Poster)

    async def send(self, hook: Webhook, delivery: str, body: str) -> Verdict:
        """Refused is what the receiver will never take: any answer but success, 408, 425, 429 and server errors."""
        at = self.now().astimezone(UTC)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "webhook-id": delivery,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": standardwebhooks.Webhook(hook.secret).sign(delivery, at, body),
        }
        status = await self.poster.post(hook.url, body.encode(), headers)
        return Verdict.DEFERRED if status is None else _answered(status)


def _answered(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict.DELIVERED
    return Verdict.DEFERRED if status >= 500 or status in LATER else Verdict.REFUSED
