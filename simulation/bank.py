"""A scripted bank for the virtual clock: it keeps one account, writes statements, and carries payments out once.

It speaks the three steps of a treasury (`fetch_statements`, `read_statement`, `send_payment`) in the models of
`domain.treasury.steps`; what is asked again is answered again as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final

from domain.kernel import Step
from domain.treasury import steps
from domain.treasury.terms import Balance, Line, Page, StatementFile

STEPS: Final = frozenset({"fetch_statements", "read_statement", "send_payment"})
"""The steps that a bank answers."""

AT_A_TIME: Final = 50
"""Lines in one chunk."""


class Bank:
    """One account at a bank that agrees to everything, in one currency; it begins empty."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lines: list[Line] = []
        self._balances = [0]
        """After so many lines."""
        self._credits: set[str] = set()
        """The end-to-end ids of money that arrived."""
        self._statements: list[tuple[str, int, int]] = []
        """Of each statement written: the digest of its file, and which lines it shows."""
        self._numbers: dict[str, int] = {}
        """Of each statement, by the digest of its file; from 1."""
        self._orders: dict[str, steps.SendPayment] = {}

    @property
    def balance(self) -> int:
        """What is on the account, with what no statement shows yet."""
        return self._after(len(self._lines))

    @property
    def orders(self) -> Sequence[steps.SendPayment]:
        """Every payment that was carried out, in order: one for each end-to-end id."""
        return tuple(self._orders.values())

    def credit(self, amount: int, currency: str, reference: str, end_to_end_id: str, counterparty: str = "") -> None:
        """Money arrives today, once for each end-to-end id; the next statement shows it."""
        if end_to_end_id not in self._credits:
            self._credits.add(end_to_end_id)
            self._book(amount, currency, end_to_end_id, side="credit", reference=reference or None, counterparty=counterparty)

    async def answer(self, step: Step) -> dict[str, Any]:
        """The outcome of one of the bank's steps, as JSON."""
        data = json.dumps(step.data)
        match step.kind:
            case "fetch_statements":
                return self._fetched(step.key, steps.FetchStatements.model_validate_json(data)).model_dump(mode="json")
            case "read_statement":
                return self._read(step.key, steps.ReadStatement.model_validate_json(data)).model_dump(mode="json")
            case "send_payment":
                return self._paid(step.key, steps.SendPayment.model_validate_json(data)).model_dump(mode="json")
            case _:
                raise ValueError(f"a bank does not answer {step.kind}")

    def _fetched(self, key: str, asked: steps.FetchStatements) -> steps.StatementsFetched:
        shown = self._statements[-1][2] if self._statements else 0
        if shown < len(self._lines):
            number = len(self._statements) + 1
            digest = hashlib.sha256(f"{asked.account_id} {number}".encode()).hexdigest()
            self._statements.append((digest, shown, len(self._lines)))
            self._numbers[digest] = number
        known = int(asked.cursor or 0)
        files = tuple(
            StatementFile(file=digest, name=f"statement-{known + place}.xml")
            for place, (digest, _, _) in enumerate(self._statements[known : known + 50], 1)
        )
        upto = known + len(files)
        return steps.StatementsFetched(step=key, files=files, cursor=str(upto) if upto else "", more=upto < len(self._statements))

    def _read(self, key: str, asked: steps.ReadStatement) -> steps.StatementRead:
        number = self._numbers[asked.file]
        _, first, after = self._statements[number - 1]
        start = first + int(asked.cursor or 0)
        end = min(start + AT_A_TIME, after)
        page = Page(
            statement=f"S{number}", account=asked.account_id, currency=asked.currency, sequence=number,
            opening=Balance(amount=self._after(first), on=self._day(first)), closing=Balance(amount=self._after(after), on=self._day(after - 1)),
        )  # fmt: skip
        rest = str(end - first) if end < after else ""
        return steps.StatementRead(step=key, file=asked.file, page=page, lines=tuple(self._lines[start:end]), next_cursor=rest)

    def _paid(self, key: str, order: steps.SendPayment) -> steps.PaymentAccepted:
        if order.end_to_end_id not in self._orders:
            self._orders[order.end_to_end_id] = order
            self._book(order.amount, order.currency, order.end_to_end_id, side="debit", counterparty=order.creditor.name)
        return steps.PaymentAccepted(step=key, payment=order.payment, attempt=order.attempt, bank_id=order.message_id)

    def _book(self, amount: int, currency: str, end_to_end_id: str, **fields: Any) -> None:
        day = self._now().date()
        number = f"BK{len(self._lines) + 1:08}"
        line = Line(booked_on=day, value_date=day, amount=amount, currency=currency, bank_id=number, end_to_end_id=end_to_end_id, **fields)
        self._lines.append(line)
        self._balances.append(self._balances[-1] + (line.amount if line.side == "credit" else -line.amount))

    def _after(self, count: int) -> int:
        return self._balances[count]

    def _day(self, place: int) -> date:
        return self._lines[place].booked_on
