"""A scripted bank for the virtual clock: it keeps one account, writes statements, and carries payments out once.

It speaks the three steps of a treasury (`fetch_statements`, `read_statement`, `send_payment`) in the models of
`domain.treasury.steps`; what is asked again is answered again as it was. It can take an account up where another bank left it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from domain.kernel import Step
from domain.stream import FailStep
from domain.treasury import steps
from domain.treasury.state import Open
from domain.treasury.terms import Balance, Line, Page, StatementFile, sending_ids

STEPS: Final = frozenset({"fetch_statements", "read_statement", "send_payment"})
"""The steps that a bank answers."""

AT_A_TIME: Final = 50
"""Lines in one chunk."""


class Order(NamedTuple):
    """A payment that the bank before took, and that no statement showed yet."""

    amount: int
    currency: str
    end_to_end_id: str
    payee: str


class Account(NamedTuple):
    """Where the bank before left the account."""

    balance: int = 0
    """What its last statement says was there at its end."""
    cursor: str = ""
    """As that bank wrote it. What it means is that bank's own affair."""
    statements: int = 0
    """No statement up to this number is written again."""
    lines: int = 0
    """Nor a line up to this one."""
    orders: tuple[Order, ...] = ()


NEW: Final = Account()


def account_of(stream: str, state: Open) -> Account:
    """Where the bank stands whose statements this treasury read."""
    latest = state.statements.latest(state.currency)
    counted = (number for year in state.statements.years.values() for number in year.numbers[-1:])
    return Account(
        balance=state.balances.get(state.currency, 0) if latest is None else latest[1],
        cursor=state.cursor,
        statements=max(len(state.files), *counted, int(state.cursor) if state.cursor.isdecimal() else 0),
        lines=len(state.movements),
        orders=tuple(
            Order(payment.amount, payment.currency, sending_ids(stream, name, payment.attempt)[1], payment.payee)
            for name in sorted(state.open_payments)
            if (payment := state.payments[name]).stage == "taken"
        ),
    )


class Bank:
    """One account at a bank that agrees to everything, in one currency.

    `rings` is called whenever something was booked: the next statement shows it.
    """

    def __init__(self, now: Callable[[], datetime], before: Account = NEW, rings: Callable[[], None] = lambda: None) -> None:
        self._now = now
        self._before = before
        self._rings = rings
        self._lines: list[Line] = []
        self._booked: list[datetime] = []
        """When each was."""
        self._balances = [before.balance]
        """After so many lines."""
        self._credits: set[str] = set()
        """The end-to-end ids of money that arrived."""
        self._statements: list[tuple[str, int, int]] = []
        """Of each statement written: the digest of its file, and which lines it shows."""
        self._places: dict[str, int] = {}
        """The place of each among the statements, by the digest of its file."""
        self._orders: dict[str, steps.SendPayment] = {}
        for order in before.orders:
            self._book(order.amount, order.currency, order.end_to_end_id, side="debit", counterparty=order.payee)

    @property
    def balance(self) -> int:
        """What is on the account, with what no statement shows yet."""
        return self._after(len(self._lines))

    @property
    def orders(self) -> Sequence[steps.SendPayment]:
        """Every payment that was carried out, in order: one for each end-to-end id."""
        return tuple(self._orders.values())

    def shows_from(self, look: datetime, every: timedelta) -> datetime | None:
        """The first of the looks, of which this is one, that finds a statement; `None` while nothing was booked since the last one was written."""
        shown = self._shown
        if shown == len(self._lines):
            return None
        missed = max(self._booked[shown] - look, timedelta())
        return look + -(-missed // every) * every

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

    @property
    def _shown(self) -> int:
        """How many lines stand on statements."""
        return self._statements[-1][2] if self._statements else 0

    def _number(self, statements: int) -> int:
        """The number of the last of so many of its own statements."""
        return self._before.statements + statements

    def _cursor(self, statements: int) -> str:
        """The cursor of a look that has read so many of its own statements."""
        return str(self._number(statements)) if statements else self._before.cursor

    def _known(self, cursor: str) -> int:
        """How many of its own statements a look with this cursor has read. With a cursor of the bank before it has read none."""
        own = int(cursor) - self._before.statements if cursor.isdecimal() else 0
        return max(own, 0)

    def _fetched(self, key: str, asked: steps.FetchStatements) -> steps.StatementsFetched:
        shown = self._shown
        if shown < len(self._lines):
            number = self._number(len(self._statements) + 1)
            digest = hashlib.sha256(f"{asked.account_id} {number}".encode()).hexdigest()
            self._places[digest] = len(self._statements)
            self._statements.append((digest, shown, len(self._lines)))
        known = self._known(asked.cursor)
        files = tuple(
            StatementFile(file=digest, name=f"statement-{self._number(known + place)}.xml")
            for place, (digest, _, _) in enumerate(self._statements[known : known + 50], 1)
        )
        upto = known + len(files)
        return steps.StatementsFetched(step=key, files=files, cursor=self._cursor(upto), more=upto < len(self._statements))

    def _read(self, key: str, asked: steps.ReadStatement) -> steps.StatementRead | FailStep:
        if asked.file not in self._places:
            return FailStep(step=key, reason="the bank before sent this file, and the simulated one does not have it")
        place = self._places[asked.file]
        number, (_, first, after) = self._number(place + 1), self._statements[place]
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
        number = f"BK{self._before.lines + len(self._lines) + 1:08}"
        line = Line(booked_on=day, value_date=day, amount=amount, currency=currency, bank_id=number, end_to_end_id=end_to_end_id, **fields)
        self._lines.append(line)
        self._booked.append(self._now())
        self._balances.append(self._balances[-1] + (line.amount if line.side == "credit" else -line.amount))
        self._rings()

    def _after(self, count: int) -> int:
        return self._balances[count]

    def _day(self, place: int) -> date:
        return self._lines[place].booked_on
