"""A bank that is reached over HTTP, as `mock-bank` speaks it: orders are posted, messages wait in a mailbox.

    POST /payments                          a pain.001; the answer says what became of each payment; a known MsgId is turned away
    GET  /_mock/payments/<EndToEndId>       what became of a payment
    GET  /_mock/mailbox?leave&type=…        the bank's messages, which stay there
    GET  /_mock/messages?type=pain.002      every report that the bank wrote

An order is asked for first, then posted. When the bank has seen it all the same (two tries at once), what became of it is asked
again: the bank's own check of the MsgId is the last guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from activities.bank.pain import Answer, Verdict, report
from activities.bank.statements import Hindered, Statements
from activities.bank.xml import Unreadable
from activities.bounded import Unreadable as NotJson
from activities.bounded import json_value
from activities.files import Told
from activities.outside import plain
from activities.private import Private
from activities.web import Refused as NotAsked
from activities.web import Turned, Web, require_well
from domain.treasury import steps

READ: Final = ("camt.053", "pain.002")
"""The messages that are kept."""
LARGEST: Final = 256 * 1024 * 1024
"""The most bytes of one answer."""
SECONDS: Final = 600
"""How long one answer may take; a mailbox is large."""


class HttpBank:
    """A bank at an address; of its messages those for one of its accounts, by the bank's own name of it, when that is given."""

    def __init__(self, address: str, *, account: str | None = None, web: Web | None = None) -> None:
        self._address = address.rstrip("/")
        self._web = web or Web(Private(frozenset({urlsplit(address).hostname or ""})), seconds=SECONDS)
        self._account = account

    # ------------------------------------------------------------ statements

    def bring(self, statements: Statements, told: Told) -> Sequence[str]:
        """Keeps the statements and the reports on orders of the mailbox that were not kept before, by the bank's numbers of its messages.

        A report on an order that the bank could put to no account names none, and may be on one of ours.
        """
        known = statements.names()
        for kind in READ:
            for message in self._json("/_mock/mailbox", {"leave": "1", "type": kind}):
                name = f"{message['type']}-{message['account'] or 'any'}-{message['id']}.xml"
                if name not in known and (self._account is None or message["account"] in {None, self._account}):
                    statements.keep((message["body"].encode(),), name, told)
        return ()

    # ------------------------------------------------------------ payments

    def send(self, payment: steps.SendPayment, document: bytes) -> Answer:
        """What the bank says of the order, which it gets when it does not know it."""
        return self._decided(payment) or self._posted(payment, document)

    def _posted(self, payment: steps.SendPayment, document: bytes) -> Answer:
        answer = self._asked("/payments", content=document, also=(422,))
        if answer["status"] == "RJCT" and answer["reason"] == "DUPL":
            return self._decided(payment) or self._turned_away(payment) or Answer(Verdict.REPEATED)
        for each in answer["payments"]:
            if each["end_to_end_id"] == payment.end_to_end_id:
                return _of(each, each["outcome"], each.get("reason_text"))
        return Answer(Verdict.REJECTED, str(answer["reason"] or "")[:35], plain(str(answer["reason_text"] or ""), 500))

    def _decided(self, payment: steps.SendPayment) -> Answer | None:
        """What became of an order as a payment."""
        known = self._asked(f"/_mock/payments/{quote(payment.end_to_end_id, safe='')}", {"all": "1"}, also=(404,))
        listed: list[dict[str, Any]] = known if isinstance(known, list) else []
        found = (each for each in listed if each["msg_id"] == payment.message_id)
        return next((_of(each, each["status"], each.get("reason_text")) for each in found), None)

    def _turned_away(self, payment: steps.SendPayment) -> Answer | None:
        """Why an order that never became a payment was turned away, by the bank's first report of it."""
        reports = (each["body"] for each in self._json("/_mock/messages", {"type": "pain.002"}) if payment.message_id in each["body"])
        return next((answer for body in reports if (answer := self._reported(payment, body))), None)

    def _reported(self, payment: steps.SendPayment, body: str) -> Answer | None:
        try:
            found = report((body.encode(),))
        except Unreadable:
            return None
        answer = found.answer_to(payment.end_to_end_id) if found.original == payment.message_id else None
        return answer if answer is not None and answer.verdict is not Verdict.REPEATED else None

    # ------------------------------------------------------------ the wire

    def _json(self, path: str, query: dict[str, str]) -> Any:
        return self._asked(path, query)

    def _asked(self, path: str, query: dict[str, str] | None = None, *, content: bytes | None = None, also: tuple[int, ...] = ()) -> Any:
        """The bank's answer; `also` are statuses that are answers too. Raises `Hindered` where it turns us away, and a fault for the rest."""
        method, headers = ("GET", None) if content is None else ("POST", {"Content-Type": "application/xml"})
        try:
            with self._web.asked(
                self._address + path, method=method, parameters=query, content=content, headers=headers
            ) as answer:  # fmt: skip
                if answer.status not in also:
                    require_well(answer.status)
                return json_value(answer.body(LARGEST), most_bytes=LARGEST)
        except Turned as error:
            if error.status in {401, 403}:
                raise Hindered(f"the bank turns the credentials away ({error.status}): correct them") from error
            raise
        except (NotAsked, NotJson) as error:
            raise Hindered(f"the bank's answer to {path}: {error}") from error


def _of(payment: dict[str, Any], outcome: str, reason: Any) -> Answer:
    """What the bank's own words for a payment mean; one that came back had been taken, and a statement tells the rest."""
    if outcome == "rejected":
        return Answer(Verdict.REJECTED, str(payment["reason"] or "")[:35], plain(str(reason or ""), 500))
    return Answer(Verdict.TAKEN)
