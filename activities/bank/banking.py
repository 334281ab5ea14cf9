"""The bank: the activities `fetch_statements`, `read_statement` and `send_payment`, over a port that every bank is reached through.

What may happen between a call to the bank and the moment when its outcome is on the log happens again on the next try, so every
call is one that can be repeated: statements are stored by their digest and told again from the process's own cursor; a payment has
fixed ids and fixed bytes, and the adapter knows, or asks the bank, whether it went out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from pydantic import ValidationError

from activities.bank.pain import Answer, Report, Verdict, order
from activities.bank.statements import Hindered, Statements
from activities.bank.xml import Unreadable
from activities.files import Told, working
from activities.outside import CarryOut, Outcome, failed, plain
from domain.kernel import Message, Step
from domain.treasury import steps
from domain.treasury.terms import ANSWERS, ASIDE, OrderAnswer

Asked = TypeVar("Asked", bound=Message)


class Bank(Protocol):
    """A bank. Calls block. They raise `Hindered` for what a person must mend; other exceptions are faults, and tried again."""

    def bring(self, statements: Statements, told: Told) -> Sequence[str]:
        """Keeps what the bank has sent among the statements. What was kept before changes nothing.

        Answers what nobody will read of it, each with the reason: one bad file keeps no other from being kept.
        """

    def send(self, payment: steps.SendPayment, document: bytes) -> Answer:
        """Gives the bank the order, whose bytes are a pain.001, unless it has it; tells what it says of it.

        However often it is called for the same ids, also after a kill at any instant, the bank gets the order once.
        """


class Banking:
    """The three activities of a treasury."""

    def __init__(self, bank: Bank, statements: Statements) -> None:
        self._bank = bank
        self._statements = statements

    def activities(self) -> Mapping[str, CarryOut]:
        """Each step's kind and who carries it out."""
        return {"fetch_statements": self.fetch_statements, "read_statement": self.read_statement, "send_payment": self.send_payment}

    async def fetch_statements(self, step: Step) -> Outcome:
        """`statements_fetched`: what came after the cursor, at most 100 files."""
        try:
            asked = _asked(step, steps.FetchStatements)
            aside = await working(lambda told: self._bank.bring(self._statements, told))
        except Hindered as hindered:
            return failed(step, f"{hindered}; then retry the step")
        files, cursor, more = self._statements.after(asked.cursor)
        named = tuple(plain(each, 300) for each in aside[:ASIDE])
        return steps.StatementsFetched(step=step.key, files=files, cursor=cursor, more=more, aside=named).model_dump(mode="json")

    async def read_statement(self, step: Step) -> Outcome:
        """`statement_read`, a chunk of one page; `report_read`; `statement_refused` for what is neither, or broken, and stays so."""
        try:
            asked = _asked(step, steps.ReadStatement)
            if not asked.cursor and (found := await working(lambda _told: self._statements.report(asked.file))) is not None:
                return _reported(step.key, asked.file, found).model_dump(mode="json")
            piece = await working(lambda told: self._statements.piece(asked.file, asked.account_id, asked.currency, asked.cursor, told))
        except Unreadable as unreadable:
            return steps.StatementRefused(step=step.key, file=step.data["file"], reason=plain(str(unreadable), 500)).model_dump(mode="json")
        except Hindered as hindered:
            return failed(step, f"{hindered}; then retry the step")
        return steps.StatementRead(
            step=step.key, file=asked.file, page=piece.page, lines=piece.lines, next_cursor=piece.next_cursor,
            other_accounts=piece.other_accounts, not_booked=piece.not_booked,
        ).model_dump(mode="json")  # fmt: skip

    async def send_payment(self, step: Step) -> Outcome:
        """`payment_accepted` when the bank has the order, `payment_rejected` when it will never pay it."""
        try:
            asked = _asked(step, steps.SendPayment)
            answer = await working(lambda _told: self._bank.send(asked, order(asked)))
        except Hindered as hindered:
            return failed(step, f"{hindered}; then retry the step")
        match answer.verdict:
            case Verdict.TAKEN:
                taken = steps.PaymentAccepted(
                    step=step.key, payment=asked.payment, attempt=asked.attempt, bank_id=plain(answer.bank_id, 70)
                )
                return taken.model_dump(mode="json")
            case Verdict.REJECTED:
                return steps.PaymentRejected(
                    step=step.key, payment=asked.payment, attempt=asked.attempt, code=answer.code, reason=plain(answer.reason, 500)
                ).model_dump(mode="json")
            case Verdict.REPEATED:
                return failed(step, _UNKNOWN)


def _reported(step: str, file: str, found: Report) -> steps.ReportRead:
    said = {"": found.group, **found.transactions}
    answers = tuple(
        OrderAnswer(
            end_to_end_id=plain(own, 70),
            rejected=answer.verdict is Verdict.REJECTED,
            code=plain(answer.code, 35),
            reason=plain(answer.reason, 500),
        )
        for own, answer in said.items()
        if answer is not None and answer.verdict is not Verdict.REPEATED
    )
    return steps.ReportRead(step=step, file=file, order=plain(found.original, 70), answers=answers[:ANSWERS])


_UNKNOWN = (
    "the bank says that it had this order before, and does not say what became of it: ask the bank; when it was refused, "
    "record that (`record_rejection`), else waive the step and wait for the statement"
)


def _asked(step: Step, kind: type[Asked]) -> Asked:
    try:
        return kind.model_validate_json(json.dumps(step.data))
    except ValidationError as error:
        raise Hindered("the step's data is not what this activity takes: this is a fault of the process, report it") from error
