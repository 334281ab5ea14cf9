"""The phases of a funding round, how each fact changes them, and what people ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, get_args

from domain.kernel import Map, MemberId, mapping
from domain.register.facts import PaymentExpected
from domain.round import events
from domain.round.allocation import Promise
from domain.round.booking import book, charge, end
from domain.round.books import Books, Figures, StandingOrder, add, by_state, put
from domain.round.terms import Debt, Duty, Terms

if TYPE_CHECKING:
    from typing_extensions import TypeIs

# ---------------------------------------------------------------- the phases


@dataclass(frozen=True, slots=True)
class Unopened:
    """Nothing was announced yet."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Announced; pledging has not started."""

    terms: Terms
    charter_version: int
    standing: StandingOrder = StandingOrder()


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The announcement was taken back. Terminal."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class Pledging:
    """Members pledge until the close."""

    terms: Terms
    charter_version: int
    closes_at: datetime
    extensions: int = 0
    pledges: Map[MemberId, Promise] = mapping()
    total: int = 0
    squares: int = 0
    """The sum of the squares of the pledges."""
    standing: StandingOrder = StandingOrder()


@dataclass(frozen=True, slots=True)
class Short:
    """Closed below the minimum: a vote may extend it."""

    pledging: Pledging
    counted: int
    vote_ends_at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """The minimum was not reached. Terminal."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class Committed:
    """Every member's commitment is bound; nothing has been called."""

    books: Books


@dataclass(frozen=True, slots=True)
class Calling:
    """Tranches are being called."""

    books: Books


@dataclass(frozen=True, slots=True)
class Endangered:
    """Money was lost and the minimum with it: a smaller run is voted on, or the round is cancelled."""

    books: Books
    decide_by: datetime


@dataclass(frozen=True, slots=True)
class Refunding:
    """Over, but for the credits that go back to the members."""

    books: Books
    end: Literal["settled", "cancelled"]


@dataclass(frozen=True, slots=True)
class ClosedWithDebts:
    """Over, and nobody paid back what it holds: what is left is listed, and asked for again. Whatever is paid still is booked."""

    books: Books
    end: Literal["settled", "cancelled"]
    debts: tuple[Debt, ...]
    ask_at: datetime
    """When it is asked for again."""
    asked: int = 0
    """How often it was."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything was called, spent or given back. Open again only when money comes back."""

    books: Books


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Given up, and everything that was held given back. Open again only when money comes back."""

    books: Books


Live = Committed | Calling | Endangered
Ended = Refunding | ClosedWithDebts
"""Over, and not all that it holds is given back."""
RoundState = Unopened | Draft | Withdrawn | Pledging | Short | Failed | Live | Ended | Settled | Cancelled

# ---------------------------------------------------------------- the fold


_OF_STANDING: Final = frozenset(get_args(events.StandingEvent))
_OF_REGISTER: Final = frozenset(get_args(events.RegisterFact))
_OF_PLEDGING: Final = frozenset(get_args(events.PledgingEvent))
_OF_PHASES: Final = frozenset(get_args(events.PhaseEvent))


def evolve(state: RoundState, event: events.RoundEvent) -> RoundState:
    """The state after a fact. Facts are sorted by topic first, by a look into a set, and matched within their topic."""
    if _is_of_register(event):
        return _expect_payment(state, event) if isinstance(event, PaymentExpected) else state
    if _is_of_pledging(event):
        return _evolve_pledging(state, event)
    if _is_of_phases(event):
        return _evolve_phase(state, event)
    if _is_of_standing(event):
        return _with_standing(state, _standing_after(standing_of(state), event))
    assert isinstance(state, Committed | Calling | Endangered | Refunding | ClosedWithDebts)
    if isinstance(event, events.CallEvent):
        return _in_phase(state, charge(state.books, event), called=True)
    return _in_phase(state, book(state.books, event))


def _is_of_standing(event: events.RoundEvent) -> TypeIs[events.StandingEvent]:
    return type(event) in _OF_STANDING


def _standing_after(order: StandingOrder, event: events.StandingEvent) -> StandingOrder:
    match event:
        case events.StandingRefundsSigned(by=by):
            return order._replace(signed=order.signed | {by})
        case events.StandingRefundsApproved(by=by):
            return StandingOrder(order.signed | {by}, approved=True)
        case events.StandingRefundsRevoked():
            return StandingOrder()


def _with_standing(state: RoundState, order: StandingOrder) -> RoundState:
    match state:
        case Draft() | Pledging():
            return replace(state, standing=order)
        case Short(pledging=pledging):
            return replace(state, pledging=replace(pledging, standing=order))
        case Committed() | Calling() | Endangered() | Refunding() | ClosedWithDebts():
            return _in_phase(state, state.books._replace(standing=order))
        case Unopened() | Withdrawn() | Failed() | Settled() | Cancelled():
            raise AssertionError(f"nothing is approved beforehand in {type(state).__name__}")


def _is_of_register(event: events.RoundEvent) -> TypeIs[events.RegisterFact]:
    return type(event) in _OF_REGISTER


def _is_of_pledging(event: events.RoundEvent) -> TypeIs[events.PledgingEvent]:
    return type(event) in _OF_PLEDGING


def _is_of_phases(event: events.RoundEvent) -> TypeIs[events.PhaseEvent]:
    return type(event) in _OF_PHASES


def _evolve_pledging(state: RoundState, event: events.PledgingEvent) -> RoundState:
    match event:
        case events.PledgeMade(member=member, amount=amount, if_total_at_least=threshold, condition=condition):
            assert isinstance(state, Pledging)
            return _with_pledge(state, member, Promise(amount, threshold, condition))
        case events.PledgeWithdrawn(member=member):
            assert isinstance(state, Pledging)
            return _with_pledge(state, member, None)
        case events.RoundOpened(terms=terms, charter_version=version):
            return Draft(terms, version)
        case events.RoundWithdrawn():
            assert isinstance(state, Draft)
            return Withdrawn(state.terms)
        case events.PledgingStarted():
            assert isinstance(state, Draft)
            return Pledging(state.terms, state.charter_version, state.terms.closes_at, standing=state.standing)
        case events.MinimumMissed(counted=counted, vote_ends_at=vote_ends_at):
            assert isinstance(state, Pledging)
            return Short(state, counted, vote_ends_at)
        case events.RoundExtended(closes_at=closes_at):
            assert isinstance(state, Short)
            return replace(state.pledging, closes_at=closes_at, extensions=state.pledging.extensions + 1)
        case events.RoundFailed():
            assert isinstance(state, Pledging | Short)
            return Failed(_pledging(state).terms)
        case events.PledgesAllocated():
            assert isinstance(state, Pledging)
            return Committed(_allocated(state, event))


def _with_pledge(state: Pledging, member: MemberId, promise: Promise | None) -> Pledging:
    """The member pledges this from now on. By its constructor: that is a third of what `replace` takes, and nothing happens as often."""
    former, amount = state.pledges.get(member, Promise(0)).amount, 0 if promise is None else promise.amount
    return Pledging(
        state.terms,
        state.charter_version,
        state.closes_at,
        state.extensions,
        state.pledges.delete(member) if promise is None else state.pledges.set(member, promise),
        state.total + amount - former,
        state.squares + amount**2 - former**2,
        state.standing,
    )


def _evolve_phase(state: RoundState, event: events.PhaseEvent) -> RoundState:
    match event:
        case events.MinimumLost(decide_by=decide_by):
            books = _books_of_live(state)
            return Endangered(books._replace(shortfalls=books.shortfalls + 1), decide_by)
        case events.MinimumRestored():
            books = _books_of_live(state)
            return Calling(books) if books.calls else Committed(books)
        case events.RoundSettled(returns=returns, owed=owed, on=on):
            return Refunding(end(_books_of_live(state), returns, owed)._replace(ended_on=on), "settled")
        case events.RoundCancelled(returns=returns, carried=carried, owed=owed, on=on):
            if isinstance(state, Pledging | Short):
                pledging = _pledging(state)
                return Refunding(Books.of(pledging.terms, pledging.charter_version), "cancelled")
            return Refunding(end(_books_of_live(state), returns, owed)._replace(carried=mapping(carried), ended_on=on), "cancelled")
        case events.RoundClosedWithDebts(debts=debts, ask_at=ask_at):
            assert isinstance(state, Refunding)
            return ClosedWithDebts(state.books, state.end, debts, ask_at)
        case events.DebtsAskedFor(debts=debts, ask_at=ask_at):
            assert isinstance(state, ClosedWithDebts)
            return ClosedWithDebts(state.books, state.end, debts, ask_at, state.asked + 1)
        case events.RoundClosed():
            assert isinstance(state, Refunding | ClosedWithDebts)
            return Settled(state.books) if state.end == "settled" else Cancelled(state.books)
        case events.RoundReopened():
            assert isinstance(state, Settled | Cancelled)
            return Refunding(state.books, "settled" if isinstance(state, Settled) else "cancelled")


def _in_phase(state: Live | Ended, books: Books, *, called: bool = False) -> RoundState:
    """The same phase with these books; a committed round of which something is `called` is being called from then on."""
    match state:
        case Committed():
            return Calling(books) if called else Committed(books)
        case Calling():
            return Calling(books)
        case Endangered(decide_by=decide_by):
            return Endangered(books, decide_by)
        case Refunding(end=way):
            return Refunding(books, way)
        case ClosedWithDebts(end=way, debts=debts, ask_at=ask_at, asked=asked):
            return ClosedWithDebts(books, way, debts, ask_at, asked)


def _expect_payment(state: RoundState, event: PaymentExpected) -> RoundState:
    assert isinstance(state, Committed | Calling | Endangered)
    account = state.books.accounts[event.member]
    return _in_phase(state, put(state.books, event.member, account._replace(reference=event.reference)))


def _books_of_live(state: RoundState) -> Books:
    assert isinstance(state, Committed | Calling | Endangered)
    return state.books


def _pledging(state: Pledging | Short) -> Pledging:
    return state if isinstance(state, Pledging) else state.pledging


def _allocated(state: Pledging, event: events.PledgesAllocated) -> Books:
    books = Books.of(state.terms, state.charter_version)._replace(
        concentration=event.concentration, gauge=event.gauge, default_interest=event.default_interest, standing=state.standing
    )
    for member, amount in event.allocation.items():
        pledged = state.pledges[member].amount
        books = add(books, member, Figures(pledged=pledged, cancelled=pledged - amount))
    return books


# ---------------------------------------------------------------- what people ask of the books


def books_of(state: RoundState) -> Books | None:
    """The round's books, from the commitment on."""
    match state:
        case Committed() | Calling() | Endangered() | Refunding() | ClosedWithDebts() | Settled() | Cancelled():
            return state.books
        case Unopened() | Draft() | Withdrawn() | Pledging() | Short() | Failed():
            return None


def standing_of(state: RoundState) -> StandingOrder:
    """The standing refund order, and who signed it so far."""
    match state:
        case Draft() | Pledging():
            return state.standing
        case Short(pledging=pledging):
            return pledging.standing
        case Committed() | Calling() | Endangered() | Refunding() | ClosedWithDebts() | Settled() | Cancelled():
            return state.books.standing
        case Unopened() | Withdrawn() | Failed():
            return StandingOrder()


def duty_of(state: RoundState) -> Duty | None:
    """What is waited for by people; nothing while an instant of the round's own comes next, or all is done."""
    match state:
        case Committed(books=books) | Calling(books=books):
            if books.running:
                return None
            if books.all_called:
                return Duty.SETTLE
            number = len(books.tranches) + 1
            locked = books.terms.tranches[number - 1].milestone is not None and number not in books.released
            return Duty.MILESTONE if locked else Duty.CALL
        case Refunding(books=books):
            return Duty.REFUND if books.totals.credit else Duty.PAY
        case Unopened() | Draft() | Withdrawn() | Pledging() | Short() | Failed() | Endangered():
            return None
        case ClosedWithDebts() | Settled() | Cancelled():
            return None


def money_by_state(state: RoundState) -> Mapping[str, int]:
    """The round's money, each state of it by name, in minor units."""
    books = books_of(state)
    if books is None:
        pledged = state.total if isinstance(state, Pledging) else state.pledging.total if isinstance(state, Short) else 0
        return {"pledged": pledged}
    return {
        **by_state(books.totals),
        "overdue": books.overdue,
        "reserved": books.reserved,
        "spent": books.spent,
        "held": books.held,
    }
