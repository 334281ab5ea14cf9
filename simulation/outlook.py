"""What happens from here on if nobody acts any more: a log goes on in the simulator, which reports what becomes of every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from domain.catalog import process_for
from domain.kernel import process_of
from domain.letters import Purpose
from domain.member.state import Active, Leaving, Paying
from domain.member.state import Ended as MembershipEnded
from domain.round.state import RoundState, books_of
from domain.run.commands import LookAtTelemetry
from domain.stream import Stream
from domain.treasury.commands import LookForStatements
from domain.treasury.state import Open
from eventstore.entries import instant
from eventstore.log import Log
from eventstore.replica import Replica
from simulation.world import Simulation

Progress = Callable[[datetime], None]
"""Hears how far the simulator's time has come."""

REPORT_EVERY: Final = timedelta(days=30)
"""How much of the simulator's time passes between two reports of progress."""
LOOKS: Final = (LookForStatements, LookAtTelemetry)
"""Deadlines that come again and again, and end nothing."""
CONSORTIUM: Final = "consortium"
"""Its name among debtors and creditors."""


class Change(NamedTuple):
    """A process came into another phase."""

    at: datetime
    stream: str
    before: str
    phase: str
    line: str
    """What the process says of itself then."""
    entry: int
    """The position of the entry that brought it there; no log but the simulator's holds it."""


class Obligation(NamedTuple):
    """What one owes to the other."""

    debtor: str
    """`consortium`, or `member:<id>`."""
    creditor: str
    """`consortium`, `member:<id>`, `payee:<name>`; `unknown` of money that came, and that nobody has said whose it is."""
    stream: str
    """Where it is owed."""
    amount: int
    currency: str = ""


class Undated(NamedTuple):
    """What is open in the end, and comes to no end by itself: no deadline stands, or a step of it waits for a person."""

    stream: str
    phase: str
    line: str
    waits_for: tuple[str, ...]
    steps: tuple[str, ...]
    """The steps that failed."""


class Outlook(NamedTuple):
    """What becomes of a consortium in which nobody acts."""

    position: int
    """Of the log that it is the outlook of."""
    begins: datetime
    ends: datetime
    entries: int
    """How many would be recorded until then."""
    changes: Sequence[Change]
    """In their order."""
    obligations: Sequence[Obligation]
    """Those that are open in the end."""
    undated: Sequence[Undated]
    held: int
    """What is on the consortium's account in the end, in the charter's currency."""
    currency: str


async def look_ahead(simulation: Simulation, until: datetime, progress: Progress = lambda now: None) -> Outlook:
    """Lets nothing but time pass, and reports what happened. The simulation stands at that time then."""
    log = simulation.recorder.log
    begins, position = simulation.now, (await log.head()).position
    states = {stream: simulation.stream(stream) for stream in simulation.streams()}
    while simulation.now < until:
        await simulation.advance(min(simulation.now + REPORT_EVERY, until))
        progress(simulation.now)
    return Outlook(
        position=position,
        begins=begins,
        ends=simulation.now,
        entries=(await log.head()).position - position,
        changes=tuple(await _changes(log, position, states)),
        obligations=tuple(obligations(simulation)),
        undated=tuple(undated(simulation)),
        held=simulation.bank.balance,
        currency=simulation.recorder.register.charter.currency,
    )


# ---------------------------------------------------------------- what happened


async def _changes(log: Log, position: int, states: dict[str, Stream[Any]]) -> Sequence[Change]:
    """The processes that came into another phase after an entry, as of which these are their states."""
    replica, found = Replica(), list[Change]()
    while entries := await log.read(position):
        position = entries[-1].position
        for entry in entries:
            process = replica.process_of(entry.stream)
            before = states.get(entry.stream, Stream(process.initial))
            after = states[entry.stream] = replica.fold(entry.stream, (entry,), before)
            headline = process.describe(after.state)
            former = process.describe(before.state).phase
            if headline.phase != former:
                found.append(Change(instant(entry.at), entry.stream, former, headline.phase, headline.line, entry.position))
    return found


# ---------------------------------------------------------------- what is open in the end


def obligations(simulation: Simulation) -> Iterator[Obligation]:
    """Who owes what to whom, wherever it is owed; without the interest that grows each day."""
    register = simulation.recorder.register
    currency = register.charter.currency
    for member, by_stream in sorted(register.debts.items()):
        yield from (
            Obligation(f"member:{member}", CONSORTIUM, stream, amount, currency) for stream, amount in sorted(by_stream.items()) if amount
        )
    for stream in simulation.streams():
        state = simulation.stream(stream).state
        for each in _of_round(stream, state) if process_of(stream) == "round" else _of_other(stream, state):
            if each.amount:
                yield each._replace(currency=each.currency or currency)


def _of_round(stream: str, state: RoundState) -> Iterator[Obligation]:
    """What a round owes to its members, also what is on its way to them."""
    books = books_of(state)
    for member, account in sorted(books.accounts.items()) if books is not None else ():
        yield Obligation(CONSORTIUM, f"member:{member}", stream, account.figures.credit + account.figures.refunding)


def _of_other(stream: str, state: object) -> Iterator[Obligation]:
    """What a member owes in dues, or is owed of them; what a treasury is to pay of itself, and money of which nobody said whose it is."""
    match state:  # type: ignore[exhaustive-match]  # no other process owes money
        case Paying(identity=identity, dues=dues) | Active(identity=identity, dues=dues) | Leaving(identity=identity, dues=dues):
            yield Obligation(f"member:{identity.member}", CONSORTIUM, stream, dues.owed)
            yield Obligation(CONSORTIUM, f"member:{identity.member}", stream, dues.credit)
        case MembershipEnded(identity=identity, unpaid=unpaid, refund=refund):
            yield Obligation(f"member:{identity.member}", CONSORTIUM, stream, unpaid)
            yield Obligation(CONSORTIUM, f"member:{identity.member}", stream, refund)
        case Open():
            for line in state.waiting:
                details = state.movements[line].details
                yield Obligation(CONSORTIUM, "unknown", stream, state.movements[line].earmarked, details.currency)
            for name in state.open_payments:
                payment = state.payments[name]
                if payment.purpose is not Purpose.REFUND:  # what is given back is the round's credit
                    yield Obligation(CONSORTIUM, f"payee:{payment.payee}", stream, payment.amount, payment.currency)


def undated(simulation: Simulation) -> Iterator[Undated]:
    """What comes to no end by itself: a process that was begun and has no deadline, one that ended and still owes, or a step that failed.

    An account has no end: of a treasury it is what waits for somebody.
    """
    owing = {each.stream for each in obligations(simulation) if each.debtor == CONSORTIUM}
    for stream in simulation.streams():
        standing = simulation.standing(stream)
        agenda, headline, failed = standing.agenda, standing.headline, tuple(sorted(standing.stream.failed))
        dated = any(not isinstance(deadline.command, LOOKS) for deadline in agenda.deadlines)
        begun = standing.stream.state != process_for(stream).initial
        open_ = not agenda.closed and begun and (bool(headline.waits_for) or process_of(stream) != "treasury")
        if failed or (not dated and (open_ or (agenda.closed and stream in owing))):
            yield Undated(stream, headline.phase, headline.line, headline.waits_for, failed)
