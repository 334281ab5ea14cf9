"""Which phase a command takes, and what the rules of a funding round share.

The guards of the phases are exhaustive: each returns the phase that the rule goes on with, or refuses.
"""

from __future__ import annotations

import hashlib
from typing import Final

from domain import letters, process
from domain.charter import Charter, FundingTerms, Office
from domain.kernel import Command, MemberId, Refused, Step, StreamId, shown_at, slug_of, tell, whole
from domain.money import display
from domain.process import Context
from domain.round import events
from domain.round.allocation import part
from domain.round.books import Account, Books, Movement
from domain.round.state import (
    Calling,
    Cancelled,
    ClosedWithDebts,
    Committed,
    Draft,
    Endangered,
    Ended,
    Failed,
    Live,
    Pledging,
    Refunding,
    RoundState,
    Settled,
    Short,
    Unopened,
    Withdrawn,
)
from domain.round.terms import Duty

Events = process.Events[events.RoundEvent]

RUNNING: Final = 64
"""Calls whose ladder may run at the same time, so that the next deadline is found at once."""

HOLDER: Final = {
    Duty.CALL: Office.TREASURER,
    Duty.MILESTONE: Office.TRAINING_LEAD,
    Duty.SETTLE: Office.TREASURER,
    Duty.REFUND: Office.TREASURER,
    Duty.PAY: Office.TREASURER,
}
"""Whose duty it is, before it passes to others."""

STAFF: Final = ("office:treasurer", "office:secretariat")

# ---------------------------------------------------------------- phases


def unopened(state: RoundState, context: Context) -> Unopened:
    """The phase in which a round is opened."""
    match state:
        case Unopened():
            return state
        case (
            Draft()
            | Pledging()
            | Short()
            | Committed()
            | Calling()
            | Endangered()
            | Refunding()
            | ClosedWithDebts()
            | Withdrawn()
            | Failed()
            | Settled()
            | Cancelled()
        ):
            raise Refused(
                "round_exists", f"{context.stream} was opened before", remedy="choose another name, or amend it while it is a draft"
            )


def draft(state: RoundState, context: Context) -> Draft:
    """The phase in which the terms may change: until the opening instant."""
    match state:
        case Draft() if context.at < state.terms.opens_at:
            return state
        case Unopened():
            raise _not_opened(state)
        case Draft() | Pledging() | Short() | Committed() | Calling() | Endangered():
            since = f"pledging began at {shown_at(state.terms.opens_at)}" if isinstance(state, Draft) else stands(state)[0]
            raise Refused(
                "pledging_started",
                f"the terms stand since pledging began; {since}",
                remedy="a vote can reduce or cancel the round (`consortium proposal propose`)",
            )
        case Withdrawn() | Failed() | Refunding() | ClosedWithDebts() | Settled() | Cancelled():
            raise closed_round(state)


def open_for_pledges(state: RoundState, context: Context) -> Draft | Pledging:
    """The phases in which members pledge: a draft too from its opening instant on, when the clock has not given its command yet."""
    match state:
        case Draft(terms=terms) if terms.opens_at <= context.at < terms.closes_at:
            return state
        case Draft(terms=terms) if terms.closes_at <= context.at:
            raise Refused("pledging_closed", f"members could pledge until {shown_at(terms.closes_at)}", remedy="wait for the next round")
        case (
            Unopened()
            | Draft()
            | Withdrawn()
            | Pledging()
            | Short()
            | Failed()
            | Committed()
            | Calling()
            | Endangered()
            | Refunding()
            | ClosedWithDebts()
            | Settled()
            | Cancelled()
        ):
            return pledging(state, context)


def pledging(state: RoundState, context: Context) -> Pledging:
    """The phase in which pledges stand and change: until the close."""
    match state:
        case Pledging() if context.at < state.closes_at:
            return state
        case Pledging(closes_at=closes_at):
            remedy = "wait until the pledges are counted; `consortium show` tells what came of them"
            raise Refused("pledging_closed", f"members could pledge until {shown_at(closes_at)}", remedy=remedy)
        case Short() | Committed() | Calling() | Endangered():
            words, remedy = stands(state)
            raise Refused("pledging_closed", f"pledging is closed: {words}", remedy=remedy)
        case Draft(terms=terms):
            raise Refused("pledging_not_started", f"pledging starts at {shown_at(terms.opens_at)}", remedy="pledge from then on")
        case Unopened():
            raise _not_opened(state)
        case Withdrawn() | Failed() | Refunding() | ClosedWithDebts() | Settled() | Cancelled():
            raise closed_round(state)


def live(state: RoundState) -> Live:
    """The phases in which commitments stand."""
    match state:
        case Committed() | Calling() | Endangered():
            return state
        case Unopened() | Draft() | Pledging() | Short():
            words, remedy = stands(state)
            raise Refused("not_committed", f"nothing is committed in this round yet: {words}", remedy=remedy)
        case Withdrawn() | Failed() | Refunding() | ClosedWithDebts() | Settled() | Cancelled():
            raise closed_round(state)


def live_or_none(state: RoundState) -> Live | None:
    """The same for letters: one that comes too early or too late is not refused."""
    match state:
        case Committed() | Calling() | Endangered():
            return state
        case (
            Unopened() | Draft() | Pledging() | Short() | Withdrawn() | Failed() | Refunding() | ClosedWithDebts() | Settled() | Cancelled()
        ):
            return None


def on_ladder(state: RoundState) -> Live:
    """The phases in which the agenda names the next rung of a call: a rung is decided in no other."""
    assert isinstance(state, Committed | Calling | Endangered)
    return state


def holding(state: RoundState) -> Live | Ended:
    """The phases in which the round holds money, also beyond its end; refuses a round that is over to the last cent, or has not begun."""
    match state:
        case Committed() | Calling() | Endangered() | Refunding() | ClosedWithDebts():
            return state
        case Settled() | Cancelled() | Failed() | Withdrawn():
            raise closed_round(state)
        case Unopened() | Draft() | Pledging() | Short():
            return live(state)


def closed_round(state: RoundState) -> Refused:
    """The refusal of everything by a round that is over: how it ended."""
    words, remedy = stands(state)
    return Refused("round_closed", f"this round is over: {words}", remedy=remedy)


def _not_opened(state: Unopened) -> Refused:
    words, remedy = stands(state)
    return Refused("round_not_opened", words, remedy=remedy)


def stands(state: RoundState) -> tuple[str, str]:
    """Where the round is, in words, and what can be done there."""
    wait, anew = "`consortium show` tells what comes when", "a new round is opened by the secretariat or the treasurer"
    late = "join late once the round is committed (`consortium round join-late`)"
    match state:
        case Unopened():
            return (
                "there is no such round",
                "check its name (`consortium rounds`), or ask the secretariat to open it (`consortium round open-round`)",
            )
        case Draft(terms=terms):
            return f"pledging has not begun, and starts at {shown_at(terms.opens_at)}", "wait until then"
        case Pledging(closes_at=closes_at):
            return f"members pledge until {shown_at(closes_at)}", "wait until then"
        case Short(vote_ends_at=vote_ends_at):
            vote = "vote on it (`consortium proposals`): then members can pledge again"
            return f"the minimum was missed, and a vote may extend pledging until {shown_at(vote_ends_at)}", vote
        case Committed():
            return "pledging is over, and the round is committed; no tranche is called yet", late
        case Calling():
            return "pledging is over, and its tranches are being called", late
        case Endangered(decide_by=decide_by):
            return f"it fell below its minimum, and is cancelled at {shown_at(decide_by)} unless a vote makes it smaller", wait
        case Withdrawn():
            return "it was withdrawn before pledging began", anew
        case Failed():
            return "it missed its minimum, and the pledges were released", anew
        case Refunding():
            return "all that it holds goes back to its members", anew
        case ClosedWithDebts():
            return "it ended with debts, since nobody gave back what it holds; they are still paid", anew
        case Settled():
            return "it was settled, and what was left went back to its members", anew
        case Cancelled():
            return "it was cancelled, and what it held went back to its members", anew


def before_end(state: RoundState) -> Draft | Pledging | Short | Live:
    """The phases in which it can be approved beforehand what becomes of the money at the end."""
    match state:
        case Draft() | Pledging() | Short() | Committed() | Calling() | Endangered():
            return state
        case Unopened():
            raise _not_opened(state)
        case Withdrawn() | Failed() | Refunding() | ClosedWithDebts() | Settled() | Cancelled():
            raise closed_round(state)


def before_refunds(state: RoundState) -> Draft | Pledging | Short | Live | Refunding:
    """The same, and the phase in which the money goes back."""
    return state if isinstance(state, Refunding) else before_end(state)


def awaiting(state: RoundState) -> Committed | Calling | Refunding:
    """The phases in which the agenda names when a duty passes on: its commands are decided in no other."""
    assert isinstance(state, Committed | Calling | Refunding)
    return state


def require_holder(books: Books, duty: Duty, context: Context) -> None:
    """Refuses who neither holds the office whose duty it is, nor one that it passed to."""
    watch = books.watch
    context.require_duty(HOLDER[duty], *(watch.passed if watch and watch.duty is duty else ()))


# ---------------------------------------------------------------- the charter of the round


def charter_of(context: Context, version: int) -> Charter:
    """The charter that the round was opened under."""
    return context.register.charters[version]


def terms_of(context: Context, books: Books) -> FundingTerms:
    """The clause `funding` that the round was opened under."""
    return charter_of(context, books.charter_version).funding


# ---------------------------------------------------------------- what several commands require


def require_currency(context: Context, currency: str | None) -> None:
    """Refuses amounts in any money but the charter's."""
    own = context.charter.currency
    if currency not in {None, own}:
        raise Refused(
            "wrong_currency", f"the books are kept in {own}, not in {currency}", remedy=f"name the amount in {own}", clause="currency"
        )


def account_of(books: Books, member: MemberId) -> Account:
    """The member's account; refuses who has none."""
    account = books.accounts.get(member)
    if account is None:
        raise Refused(
            "not_in_round",
            f"{member} has no commitment in this round",
            remedy="check the member's handle, or join late (`consortium round join-late`)",
        )
    return account


def require_cap(context: Context, books: Books, member: MemberId, amount: int) -> None:
    """Refuses a commitment by which related companies together would stand for more than the charter's share of the goal."""
    cap = part(books.goal, terms_of(context, books).share_cap)
    others = (books.accounts.get(company) for company in context.register.related(member))
    standing = sum(account.figures.committed for account in others if account is not None)
    if standing + amount > cap:
        raise Refused(
            "commitment_above_cap",
            f"{member} and related companies would carry {amount_text(books, standing + amount)} of at most {amount_text(books, cap)}",
            remedy=f"name at most {amount_text(books, max(cap - standing, 0))}",
            clause="funding.share_cap",
        )


def require_few_running(books: Books) -> None:
    """Refuses a further call while very many run."""
    if len(books.running) >= RUNNING:
        raise Refused("too_many_calls", f"{RUNNING} calls are running", remedy="wait until earlier calls have cleared")


def require_above_minimum(state: Live) -> None:
    """Refuses to call or spend money of a round that is below its minimum."""
    if isinstance(state, Endangered):
        raise Refused("minimum_lost", "the round is below its minimum", remedy="wait for the vote on a smaller run, or for a replacement")


def is_repeated(context: Context, books: Books, reference: str, movement: Movement) -> bool:
    """Whether this movement is booked already; refuses a bank reference that stands for another one anywhere on the log."""
    if books.movements.get(reference) == movement:
        return True
    if reference in books.movements or reference in context.register.references:
        raise Refused(
            "reference_used",
            f"the bank reference {reference} is booked already",
            remedy="look it up (`consortium log`); each movement on the account has its own reference",
        )
    return False


# ---------------------------------------------------------------- letters to the treasury, and motions


def order_name(context: Context, purpose: str, subject: str, *more: str) -> str:
    """The name of a payment, or of a list of them, that this round orders: nobody else's, and the same when ordered again."""
    digest = hashlib.sha256("\x1f".join((context.stream, purpose, subject, *more)).encode()).hexdigest()
    return f"{purpose}-{subject[:36].strip('-')}-{digest[:16]}"


def propose(context: Context, proposal: StreamId, title: str, text: str, command: Command, otherwise: Command | None) -> Step:
    """The step that puts a motion on this round to the vote."""
    motion = letters.Motion(stream=context.stream, command=whole(command), otherwise=whole(otherwise) if otherwise else None)
    return tell(proposal, letters.Propose(title=title, text=text, motion=motion), key=f"tell:proposal:{slug_of(proposal)}")


def amount_text(books: Books, amount: int) -> str:
    """An amount for people."""
    return display(amount, books.terms.currency)
