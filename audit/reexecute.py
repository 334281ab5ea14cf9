"""Deciding a log again: every outcome, and every event and refusal, must be what the rules demand.

Compared are values: the outcome, the events, and of a refusal its rule and its clause. Its message and its remedy are wording; where
this release words them otherwise, that is told and nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from audit.values import same
from domain.catalog import CATALOG, RULES
from domain.kernel import Event
from domain.process import Process
from domain.stream import Stream
from eventstore.authority import NotOwed, Unauthorised, Vouched, behind, check_signature, is_known
from eventstore.entries import ACCEPTED, EMPTY, REFUSED, Broken, Entry, Head, Refusal, encode_json, falls, verify
from eventstore.log import Damaged
from eventstore.replica import Replica, UnreadableEntry
from eventstore.verifying import proofs_in
from eventstore.wire import Malformed

NAMED: Final = 1_000
"""So many positions of other wording are kept; the rest are counted."""


class Undecided(NamedTuple):
    """Entries that were decided by rules which this release does not have: in everything else they are as they should be."""

    rules: str
    first: int
    last: int


class Reexecution:
    """Follows a log from its first entry, and checks the chain, the form and the decision of each entry on the way.

    What older rules decided is followed, and not decided again: that is for the release that has them. What newer rules decided
    is not followed either, as it may hold what this release cannot read; after it come only entries of newer rules. What a newer release
    wrote under the same rules, and this one cannot read, is for that release as well, with all that stands on it.
    """

    def __init__(self) -> None:
        self.head: Head = EMPTY
        """How far everything was as it should be."""
        self.undecided: list[Undecided] = []
        """What is for other releases to decide again, in order."""
        self.unsigned = 0
        """Up to which entry nothing is signed."""
        self.reworded = 0
        """How many refusals stand, but are worded otherwise by this release."""
        self.reworded_at: list[int] = []
        """The positions of the first of them."""
        self._replica = Replica()
        self._started: set[str] = set()
        self._unread: set[str] = set()
        """Streams that a newer release wrote on."""

    def check(self, entries: Iterable[Entry]) -> Broken | None:
        """The first of the next entries that is not what the rules demand after those before it, and why."""
        for entry in entries:
            chained = verify((entry,), self.head)
            if isinstance(chained, Broken):
                return chained
            wrong = _malformed(entry) or self._wrong(entry)
            if wrong:
                return Broken(entry.position, wrong)
            self.head = chained
        return None

    def _wrong(self, entry: Entry) -> str:
        """What is wrong with the next entry, which is chained and well formed; empty for nothing. It is taken in."""
        if entry.rules != RULES:
            self._note_undecided(entry, entry.rules)
            if falls(RULES, entry.rules):
                return ""
        if self._replica.beyond is not None or entry.stream in self._unread:
            self._pass_over(entry)
            return ""
        try:
            if entry.stream not in self._started:
                self._started.add(entry.stream)
                self._replica.put(entry.stream, Stream(self._replica.process_of(entry.stream).initial))
            process = self._replica.process_of(entry.stream)
            stored = self._replica.events_of(process, entry)
            wrong = self._differs(entry, process, stored) if entry.rules == RULES else ""
            if not wrong:
                self._replica.take(entry, process, stored)
        except UnreadableEntry:
            self._pass_over(entry)
            return ""
        except Damaged as error:
            return str(error)
        except (Malformed, OverflowError) as error:
            return f"cannot be decided again: {error}" if entry.rules == RULES else f"cannot be read: {error}"
        return wrong

    def _pass_over(self, entry: Entry) -> None:
        """Leaves an entry, and the rest of its stream, to the newer release that wrote it; the register takes in what it can."""
        self._unread.add(entry.stream)
        self._replica.pass_over(entry)
        self._note_undecided(entry, f"{entry.rules} of a newer release")

    def _note_undecided(self, entry: Entry, rules: str) -> None:
        last = self.undecided[-1] if self.undecided else None
        if last is not None and last.rules == rules:
            self.undecided[-1] = last._replace(last=entry.position)
        else:
            self.undecided.append(Undecided(rules, entry.position, entry.position))

    def _differs(self, entry: Entry, process: Process[Any, Any, Any], stored: Sequence[Event]) -> str:
        """What the rules demand otherwise."""
        try:
            vouched = self._vouched(entry)
            events, refusal = self._replica.judge(entry, vouched)
        except Unauthorised as error:
            return f"nothing that the log takes stands behind it: {error}"
        except NotOwed:
            return "it was not owed"
        if (entry.outcome == REFUSED) != (refusal is not None):
            return f"the rules demand another outcome: {f'refused by {refusal.rule}' if refusal else ACCEPTED}"
        if refusal is None:
            demanded = ", ".join(event.kind for event in events) or "none"
            return "" if same(process, stored, events) else f"the rules demand other events: {demanded}"
        if not self._knows(entry, vouched):
            return f"no refusal of {entry.actor} is recorded, whom the log does not know"
        told = msgspec.json.decode(entry.body, type=Refusal)
        if (told.rule, told.clause) != (refusal.rule, refusal.clause):
            return f"the rules demand another refusal: {refusal.rule} ({refusal.clause})"
        if told != refusal:
            self.reworded += 1
            self.reworded_at += [entry.position] if len(self.reworded_at) < NAMED else []
        return ""

    def _vouched(self, entry: Entry) -> Vouched | None:
        """What stands behind an entry, its signature checked; nothing as long as the log is not signed."""
        if not self._replica.register.signing and not entry.signed:
            self.unsigned = entry.position
            return None
        authority = behind(entry)
        check_signature(authority)
        return Vouched(authority, proofs_in(entry, CATALOG, self._replica.first))

    def _knows(self, entry: Entry, vouched: Vouched | None) -> bool:
        register = self._replica.register
        return register.knows(entry.actor) if vouched is None else is_known(vouched.authority, register, entry.actor)


class _Command(msgspec.Struct):
    kind: str


class _Refusal(msgspec.Struct, forbid_unknown_fields=True):
    rule: str
    message: str
    remedy: str
    clause: str


def _malformed(entry: Entry) -> str:
    """What of an entry has not the form that every release writes; empty for nothing."""
    try:
        if msgspec.json.decode(entry.command, type=_Command).kind != entry.kind:
            return "its kind is not that of its command"
        if entry.outcome == ACCEPTED:
            msgspec.json.decode(entry.body, type=list[_Command])
        elif entry.outcome == REFUSED:
            msgspec.json.decode(entry.body, type=_Refusal)
        else:
            return f"its outcome is neither {ACCEPTED} nor {REFUSED}"
        for name, stored in (("command", entry.command), ("body", entry.body)):
            if encode_json(msgspec.json.decode(stored)) != stored:
                return f"its {name} is not canonical JSON"
    except ValueError as error:
        return f"is not what a log holds: {error}"
    return ""
