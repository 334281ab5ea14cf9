"""A process that nothing else knows, `stipend`, as far as its messages go: it waits for money, and pays through the treasury."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, TypeAdapter

from domain.kernel import Command, Event, Letter
from domain.money import Amount
from domain.process import Process
from domain.reference import BankReference
from domain.register.facts import PaymentExpected
from domain.round.terms import BudgetLine
from domain.stream import Common
from tests.probe import PROBE


class RequestStipend(Command):
    """Ask for money."""

    kind: Literal["request_stipend"] = "request_stipend"
    amount: Amount


class RecordStipendPaid(Letter):
    """The money left the account. By the treasury process."""

    to: ClassVar[str] = "stipend"
    kind: Literal["record_stipend_paid"] = "record_stipend_paid"
    reference: BankReference


class StipendRequested(Event):
    """Money was asked for."""

    kind: Literal["stipend_requested"] = "stipend_requested"
    terms: tuple[BudgetLine, ...]


class StipendPaid(Event):
    """It left the account."""

    kind: Literal["stipend_paid"] = "stipend_paid"
    reference: BankReference


STIPEND: Final[Process[Any, Any, Any]] = replace(
    PROBE, name="stipend",
    commands=TypeAdapter(Annotated[RequestStipend | RecordStipendPaid, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[StipendRequested | StipendPaid | PaymentExpected | Common, Field(discriminator="kind")], ...]),
)  # fmt: skip
