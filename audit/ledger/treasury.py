"""What a treasury does to the books. A is the treasury's account, S the stream that money is passed on to or paid for.

| fact | from | to |
| --- | --- | --- |
| account_opened | Equity:Opening | Assets:Bank:A |
| line_booked, credit (debit: the reverse) | Liabilities:Unmatched:A | Assets:Bank:A |
| line_matched; line_unmatched, turned away: the reverse | Liabilities:In-transit:S | Liabilities:Unmatched:A |
| receipt_reversed of matched money | Liabilities:Unmatched:A | Liabilities:In-transit:S |
| line_explained, debit (credit: the reverse) | Liabilities:Unmatched:A | Expenses or Income or Equity:Transfers |
| payment_confirmed for a stream; payment_returned: the reverse | Liabilities:Unmatched:A | Liabilities:In-transit:S |
| payment_confirmed of the treasury's own | Liabilities:Unmatched:A | Expenses:Other |
| payment_confirmed, payment_returned: what the bank kept | Liabilities:Unmatched:A | Expenses:Bank:Charges |

A list of payments moves nothing by itself: each payment of it does. What was sent back to its unknown payer needs no booking:
both movements stand in Unmatched, and cancel out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from audit.ledger.books import Account, Posting, in_transit, moved, part, unmatched
from domain.kernel import slug_of
from domain.letters import Purpose
from domain.register.facts import PayeeLinked
from domain.treasury import events

MovesNothing = (
    events.StatementsSought
    | events.StatementsFound
    | events.ImportStarted
    | events.ChunkImported
    | events.ImportRefused
    | events.LineDoubted
    | events.LineDismissed
    | events.LineMissed
    | events.MissedLineJudged
    | events.PayeeNamed
    | events.PayeeSigned
    | events.PayeeApproved
    | events.PayeeBlocked
    | PayeeLinked
    | events.PaymentOrdered
    | events.PaymentSigned
    | events.PaymentApproved
    | events.PaymentTaken
    | events.PaymentFailed
    | events.PaymentRenewed
    | events.PaymentCancelled
    | events.PaymentListOrdered
    | events.PaymentListSigned
    | events.PaymentListApproved
    | events.PaymentListCancelled
)
"""Facts by which no money moves. The type checker names an event that is neither here nor in `Treasuries.postings`."""


class Treasuries:
    """Books what treasuries state."""

    def __init__(self) -> None:
        self._passed: dict[tuple[str, str], str] = {}
        """The stream that has the money of each line, of each treasury."""
        self._lines: dict[tuple[str, str], tuple[int, str]] = {}
        """How a line moved the account, signed, and its currency; of each treasury."""

    def postings(self, stream: str, event: events.TreasuryEvent, currency: str) -> Sequence[Posting]:
        """See `Bookkeeper.postings`. Everything here names its own currency."""
        if isinstance(event, MovesNothing):
            return ()
        here = slug_of(stream)
        match event:
            case events.AccountOpened(currency=kept, opening_balance=balance):
                return moved(OPENING, bank(here), balance, kept)
            case events.LineBooked(line=line, details=details):
                amount = details.amount if details.side == "credit" else -details.amount
                self._lines[stream, line] = (amount, details.currency)
                return moved(unmatched(here), bank(here), amount, details.currency)
            case events.LineMatched(line=line, stream=to, amount=amount, currency=kept):
                self._passed[stream, line] = to
                return (self._out_of_suspense(stream, line), Posting(in_transit(to), -amount, kept))
            case events.ReceiptReversed(line=line, stream=to, amount=amount, currency=kept):
                if to is None:
                    return ()  # it never left suspense, where both movements cancel out
                self._passed[stream, line] = to
                return (self._out_of_suspense(stream, line), Posting(in_transit(to), amount, kept))
            case events.LineUnmatched(line=line):
                if (stream, line) not in self._passed:
                    return ()  # it is in suspense already
                amount, kept = self._lines[stream, line]
                return moved(unmatched(here), in_transit(self._passed.pop((stream, line))), amount, kept)
            case events.LineExplained(line=line, account=account, side=side, amount=amount, currency=kept):
                signed = amount if side == "debit" else -amount
                return (self._out_of_suspense(stream, line), Posting(explained(account, side), signed, kept))
            case events.PaymentConfirmed(line=line, amount=amount, currency=kept, charges=charges):
                went = (Posting(_paid_for(here, event), amount, kept), Posting(CHARGES, charges, kept))
                return (self._out_of_suspense(stream, line), *went)
            case events.PaymentReturned(line=line, amount=amount, currency=kept, charges=charges):
                came = (Posting(_paid_for(here, event), -amount, kept), Posting(CHARGES, charges, kept))
                return (self._out_of_suspense(stream, line), *came)

    def _out_of_suspense(self, stream: str, line: str) -> Posting:
        """The posting by which a movement leaves suspense as the statement showed it; the fact says where it goes."""
        amount, currency = self._lines[stream, line]
        return Posting(unmatched(slug_of(stream)), amount, currency)


def _paid_for(treasury: str, payment: events.PaymentConfirmed | events.PaymentReturned) -> Account:
    """What a payment was for; money that goes back to its unknown payer meets the movement that brought it."""
    if payment.purpose is Purpose.RETURN:
        return unmatched(treasury)
    return in_transit(payment.source) if payment.source else OTHER_EXPENSE


# ---------------------------------------------------------------- accounts

OPENING: Final = "Equity:Opening"
CHARGES: Final = "Expenses:Bank:Charges"
OTHER_INCOME: Final = "Income:Other"
OTHER_EXPENSE: Final = "Expenses:Other"


def bank(treasury: str) -> Account:
    """What is on a bank account."""
    return f"Assets:Bank:{part(treasury)}"


def explained(what: str, side: Literal["credit", "debit"]) -> Account:
    """What a movement was that concerns no member and no payment."""
    named = {"bank-charges": CHARGES, "bank-interest": "Income:Bank:Interest", "transfer": "Equity:Transfers"}
    return named.get(what, OTHER_INCOME if side == "credit" else OTHER_EXPENSE)
