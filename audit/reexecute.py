"""Deciding a log again: every event and every refusal must be what the rules demand, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable

from domain.catalog import RULES
from domain.process import Stream
from eventstore.entries import Broken, Entry, Head, Submission, instant, verify
from eventstore.replica import Replica, UnreadableEntry
from eventstore.wire import Malformed


class Reexecution:
    """Follows a log from its first entry, and checks the chain and each decision on the way.

    What rules of another version decided is followed, and not decided again: that is for the release that has them.
    """

    def __init__(self) -> None:
        self.others: dict[str, tuple[int, int]] = {}
        """Other versions of the rules that decided entries, each with the first and the last of them."""
        self._replica = Replica()
        self._started: set[str] = set()

    @property
    def head(self) -> Head:
        """How far everything was as it should be."""
        return self._replica.head

    def check(self, entries: Iterable[Entry]) -> Broken | None:
        """The first of the next entries that is not what the rules demand after those before it, and why."""
        for entry in entries:
            broken = self._check(entry)
            if broken is not None:
                return broken
        return None

    def _check(self, entry: Entry) -> Broken | None:
        chained = verify((entry,), self._replica.head)
        if isinstance(chained, Broken):
            return chained
        try:
            if entry.stream not in self._started:
                self._started.add(entry.stream)
                self._replica.put(entry.stream, Stream(self._replica.process_of(entry.stream).initial))
            if entry.rules != RULES:
                first, _ = self.others.get(entry.rules, (entry.position, 0))
                self.others[entry.rules] = (first, entry.position)
                self._replica.follow((entry,))
                return None
            submission = Submission(entry.stream, entry.command_id, entry.actor, entry.command, entry.signed, entry.signature)
            decided = self._replica.decide(submission, instant(entry.at)).entry
        except (Malformed, UnreadableEntry, OverflowError) as error:
            return Broken(entry.position, f"cannot be decided again: {error}")
        if decided == entry:
            return None
        wrong = ", ".join(
            name for name, ours, theirs in zip(Entry._fields, decided, entry, strict=True) if ours != theirs and name != "hash"
        )
        return Broken(entry.position, f"the rules demand another {wrong}")
