"""What must hold of a log, whatever went wrong around it. Every lane, and the tests of recovery, are checked by the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from audit.reexecute import Reexecution
from domain.catalog import CATALOG
from domain.process import Process, evolve
from domain.round.books import Figures
from domain.round.state import books_of
from domain.stream import Stream
from eventstore.entries import Broken, Entry, verify
from eventstore.log import Log
from eventstore.replica import Replica
from simulation.scenario import ROUND
from tests.votes import unfair


class Receipt(NamedTuple):
    """What a caller was told: their command stands there."""

    command_id: str
    position: int
    hash: str


async def everything(log: Log) -> list[Entry]:
    """All entries of a log."""
    entries: list[Entry] = []
    while more := await log.read(len(entries), 10_000):
        entries += more
    return entries


def problems(entries: Sequence[Entry]) -> list[str]:
    """What is wrong with a log: its chain, its decisions, doubled commands, unfair votes, books out of balance at any entry."""
    found = chained(entries)
    if (broken := Reexecution().check(entries)) is not None:
        found.append(f"re-execution: {broken}")
    return found + unfair(entries) + out_of_balance(entries)


def chained(entries: Sequence[Entry]) -> list[str]:
    """Where the chain does not hold, and which commands stand more than once."""
    head = verify(entries)
    return [
        *([f"chain: {head}"] if isinstance(head, Broken) else []),
        *(f"command {command_id} stands {times} times" for command_id, times in _ids(entries).items() if times > 1),
    ]


def kept(entries: Sequence[Entry], receipts: Iterable[Receipt], asked: Mapping[str, tuple[str, str, bytes]]) -> list[str]:
    """Which promises to callers were broken. `asked` says for each id on which stream, by whom and what was asked."""
    on_log = {entry.command_id: entry for entry in entries}
    told = [
        receipt for receipt in receipts
        if (entry := on_log.get(receipt.command_id)) is None or (entry.position, entry.hash.hex()) != (receipt.position, receipt.hash)
    ]  # fmt: skip
    strange = [entry for entry in entries if asked.get(entry.command_id) != (entry.stream, entry.actor, entry.command)]
    return [
        *(f"acknowledged, and not on the log: command {receipt.command_id} at position {receipt.position}" for receipt in told),
        *(f"on the log, and not asked for: command {entry.command_id} at position {entry.position}" for entry in strange),
    ]


def out_of_balance(entries: Sequence[Entry], processes: Mapping[str, Process[Any, Any, Any]] = CATALOG) -> list[str]:
    """At which entries of the story's round which laws of money are broken."""
    replica, found = Replica(processes), list[str]()
    process = replica.process_of(ROUND)
    state: Stream[Any] = Stream(process.initial)
    for entry in entries:
        if entry.stream == ROUND:
            for event in replica.events_of(process, entry):
                state = evolve(process, state, event)
            found += [f"entry {entry.position}: {wrong}" for wrong in unbalanced(state)]
    return found


def unbalanced(state: Stream[Any]) -> list[str]:
    """Which laws of money a round breaks."""
    books = books_of(state.state)
    if books is None:
        return []
    total: Figures = books.totals
    summed = sum((account.figures for account in books.accounts.values()), Figures())
    laws = {
        "the totals are the sum of the accounts": summed == total,
        "pledged = called + uncalled + cancelled": total.pledged == total.called + total.uncalled + total.cancelled,
        "called is at most committed": total.called <= total.committed,
        "cleared is at most called": total.cleared <= total.called,
        "cash in = refunded + set off + spent + held": total.received == total.refunded + total.set_off + books.spent + books.held,
        "nothing is negative": min(total.uncalled, total.owed, books.held, books.spent, total.credit) >= 0,
    }
    return [law for law, holds in laws.items() if not holds]


def _ids(entries: Sequence[Entry]) -> Counter[str]:
    return Counter(entry.command_id for entry in entries)
