"""Deciding a log again: every outcome, and every event and refusal, must be what the rules demand.

Compared are values: the outcome, the events, and of a refusal its rule and its clause. Its message and its remedy are wording; where
this release words them otherwise, that is told and nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from audit.alone import Alone, examined
from audit.ids import Ids
from audit.values import same
from domain.catalog import CATALOG, RULES
from domain.kernel import Event
from domain.register.state import Register
from domain.stream import Stream
from eventstore.authority import ByPerson, NotOwed, Unauthorised, Vouched, behind, is_known
from eventstore.entries import (
    ACCEPTED,
    DIGEST_BYTES,
    EMPTY,
    REFUSED,
    UNSALTED,
    Broken,
    Entry,
    Head,
    Refusal,
    encode_events,
    falls,
    misplaced,
)
from eventstore.log import Damaged, Unsigned
from eventstore.replica import Replica, UnreadableEntry
from eventstore.statement import Seen
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
        self.signatures = 0
        """How many entries are signed, by persons or by workers."""
        self._hashes = bytearray()
        """Of all entries up to the head: what people were shown when they signed is held against them."""
        self._ids = Ids()
        self._replica = Replica()
        self._started: set[str] = set()
        self._unread: set[str] = set()
        """Streams that a newer release wrote on."""

    def check(self, entries: Iterable[Entry]) -> Broken | None:
        """The first of the next entries that is not what the rules demand after those before it, and why."""
        for entry in entries:
            wrong = self.follow(entry, examined(entry))
            if wrong is not None:
                return wrong
        return None

    def follow(self, entry: Entry, alone: Alone) -> Broken | None:
        """What is wrong with the next entry, of which is known what is wrong with it by itself. It is taken in where nothing is."""
        wrong = misplaced(entry, self.head) or alone.wrong or self._repeated(entry) or self._wrong(entry, alone)
        if wrong:
            return Broken(self.head.position + 1, wrong)
        self.head = Head.of(entry)
        self._hashes += entry.hash
        return None

    @property
    def first(self) -> str:
        """The hash of the first entry, which says which log this is; empty before it."""
        return self._hashes[:DIGEST_BYTES].hex()

    @property
    def complete(self) -> bool:
        """Whether the register holds every fact so far: newer rules, or a newer release, may have stated some that it lacks."""
        return all(falls(each.rules, RULES) for each in self.undecided)

    @property
    def register(self) -> Register:
        """The register as of the head, as far as this release can read it."""
        return self._replica.register

    def _repeated(self, entry: Entry) -> str:
        """A statement, a tag or a letter holds once: its id is on the log once."""
        return "" if self._ids.add(entry.command_id) else f"an earlier entry has its command's id {entry.command_id[:40]!r}"

    def _wrong(self, entry: Entry, alone: Alone) -> str:
        """What is wrong with the next entry, which is in its place and well formed; empty for nothing. It is taken in."""
        if entry.rules != RULES:
            self._note_undecided(entry, entry.rules)
            if falls(RULES, entry.rules):
                return ""
        if self._replica.beyond is not None or entry.stream in self._unread:
            return self._pass_over(entry, alone)
        try:
            if entry.stream not in self._started:
                self._started.add(entry.stream)
                self._replica.put(entry.stream, Stream(self._replica.process_of(entry.stream).initial))
            process = self._replica.process_of(entry.stream)
            wrong, decided = self._decided(entry, alone) if entry.rules == RULES else (self._unvouched(entry, alone), None)
            if decided is not None and encode_events(decided) == entry.body:
                self._replica.take(entry, process, decided)
                return ""
            stored = self._replica.events_of(process, entry)
            if decided is not None and not same(process, stored, decided):
                wrong = f"the rules demand other events: {', '.join(event.kind for event in decided) or 'none'}"
            if not wrong:
                self._replica.take(entry, process, stored)
        except UnreadableEntry:
            return self._pass_over(entry, alone)
        except Damaged as error:
            return str(error)
        except (Malformed, OverflowError) as error:
            return f"cannot be read: {error}"
        return wrong

    def _pass_over(self, entry: Entry, alone: Alone) -> str:
        """Leaves an entry, and the rest of its stream, to the newer release that wrote it; the register takes in what it can.

        Its signature is that of its own bytes all the same, or that is what is wrong.
        """
        if self.register.signing and alone.unauthorised:
            return _nothing_behind(alone.unauthorised)
        self._unread.add(entry.stream)
        self._replica.pass_over(entry)
        self._note_undecided(entry, f"{entry.rules} of a newer release")
        return ""

    def _note_undecided(self, entry: Entry, rules: str) -> None:
        last = self.undecided[-1] if self.undecided else None
        if last is not None and last.rules == rules:
            self.undecided[-1] = last._replace(last=entry.position)
        else:
            self.undecided.append(Undecided(rules, entry.position, entry.position))

    def _decided(self, entry: Entry, alone: Alone) -> tuple[str, Sequence[Event] | None]:
        """What the rules demand otherwise, events aside; and the events that they demand of an accepted command."""
        try:
            vouched = self._vouched(entry, alone)
            events, refusal = self._replica.judge(entry, vouched)
        except Unauthorised as error:
            return _nothing_behind(error), None
        except NotOwed:
            return "it was not owed", None
        except Unsigned:
            return "it is signed, and the log did not begin to sign before it", None
        except (Malformed, OverflowError) as error:
            return f"cannot be decided again: {error}", None
        if (entry.outcome == REFUSED) != (refusal is not None):
            return f"the rules demand another outcome: {f'refused by {refusal.rule}' if refusal else ACCEPTED}", None
        return ("", events) if refusal is None else (self._refused_otherwise(entry, vouched, refusal), None)

    def _refused_otherwise(self, entry: Entry, vouched: Vouched | None, refusal: Refusal) -> str:
        """What is wrong with a refusal where the rules demand this one."""
        if not self._knows(entry, vouched):
            return f"no refusal of {entry.actor} is recorded, whom the log does not know"
        told = msgspec.json.decode(entry.body, type=Refusal)
        if (told.rule, told.clause) != (refusal.rule, refusal.clause):
            return f"the rules demand another refusal: {refusal.rule} ({refusal.clause})"
        if told != refusal:
            self.reworded += 1
            self.reworded_at += [entry.position] if len(self.reworded_at) < NAMED else []
        return ""

    def _unvouched(self, entry: Entry, alone: Alone) -> str:
        """What is wrong with the authority of an entry that older rules decided, once the log is signed; empty for nothing."""
        if entry.rules in UNSALTED:
            return ""
        try:
            vouched = self._vouched(entry, alone)
            refusal = None if vouched is None else self._replica.permitted(entry, vouched)
        except Unauthorised as error:
            return _nothing_behind(error)
        except NotOwed:
            return "it was not owed"
        except Malformed as error:
            return f"cannot be read: {error}"
        return f"the rules demand another outcome: refused by {refusal.rule}" if refusal is not None and entry.outcome == ACCEPTED else ""

    def _vouched(self, entry: Entry, alone: Alone) -> Vouched | None:
        """What stands behind an entry, its signature checked; nothing as long as the log is not signed. Raises `Unauthorised`."""
        if not self.register.signing and not entry.signed and not entry.signature:
            self.unsigned = entry.position
            return None
        if alone.unauthorised:
            raise Unauthorised(alone.unauthorised)
        authority = behind(entry)
        if isinstance(authority, ByPerson) and authority.said.seen is not None:
            self._require_seen(authority.said.seen)
        self.signatures += bool(entry.signature)
        return Vouched(authority, proofs_in(entry, CATALOG, self._replica.first))

    def _require_seen(self, seen: Seen) -> None:
        """Raises `Unauthorised` where whoever signed was shown another log than the one before the entry."""
        end = seen.position * DIGEST_BYTES
        if not seen.position or self._hashes[end - DIGEST_BYTES : end].hex() != seen.hash:
            raise Unauthorised(f"whoever signed was shown an entry {seen.position:,} that this log does not hold before it")

    def _knows(self, entry: Entry, vouched: Vouched | None) -> bool:
        return self.register.knows(entry.actor) if vouched is None else is_known(vouched.authority, self.register, entry.actor)


def _nothing_behind(why: object) -> str:
    return f"nothing that the log takes stands behind it: {why}"
