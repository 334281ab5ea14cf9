"""What the register holds, and what decisions ask of it.

Its records are named tuples: every fact copies one or two of them, and a named tuple with many fields is copied in a sixth of the time of
a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from domain.charter import Charter, Office
from domain.evaluation import MilestonePassed
from domain.kernel import SERVICE, Digest, Map, MemberId, PersonId, Refused, Slug, mapping
from domain.register.facts import Capacity, Holding, MandateGranted, MovedTime, PacedTime, Standing, SystemTime, Unreachable


class Term(NamedTuple):
    """A person spoke for a member in [since, until)."""

    person: PersonId
    capacity: Capacity
    since: datetime
    until: datetime | None


class Member(NamedTuple):
    """A member as all processes see it."""

    id: MemberId
    name: str
    tier: str
    country: str
    since: datetime
    standing: Standing
    causes: frozenset[str] = frozenset()
    """Why it is suspended; it is reinstated when the membership process says so."""
    leaves_at: datetime | None = None
    keeps_access: bool = False
    """Whether a leaving member's early access lasts until the end."""
    leaving_since: datetime | None = None
    """Since when it leaves; not known of a departure that began under rules before 6."""


class Unreached(NamedTuple):
    """Somebody whom notices do not reach."""

    reason: Unreachable
    notices: int
    """How many since one came."""
    since: datetime


class Substitute(NamedTuple):
    """Sees to these duties of somebody absent in [since, until)."""

    person: PersonId
    offices: frozenset[Office]
    members: frozenset[MemberId]
    since: datetime
    until: datetime

    def covers(self, at: datetime) -> bool:
        """Whether the absence has begun and not ended."""
        return self.since <= at < self.until


class Person(NamedTuple):
    """A person's offices, keys and the members they speak for."""

    offices: frozenset[Office] = frozenset()
    keys: frozenset[str] = frozenset()
    speaks_for: Map[MemberId, Capacity] = mapping()


class ServiceKey(NamedTuple):
    """A key of the consortium itself: the log's, or one that signs releases."""

    since: int
    """The position of the entry that enrolled it."""
    until: int | None = None
    """That of the entry that revoked it; none while it is valid."""
    fingerprint: Digest = ""
    """Of a key that signs releases: as releases name it."""


class Seat(NamedTuple):
    """Related members together: one seat, one vote, one cap."""

    id: Slug
    """The member's id; for related ones the smallest handle of their group."""
    members: tuple[MemberId, ...]


class Vote(NamedTuple):
    """How a decided vote went."""

    concerns: str
    passed: bool
    yes: frozenset[MemberId]
    no: frozenset[MemberId]
    effective_at: datetime


class Run(NamedTuple):
    """A training run as releases see it."""

    phase: str
    contract: str
    checkpoints_retained: bool
    training_lead: PersonId
    tokens: int | None = None
    checkpoints: int | None = None
    missing: int | None = None
    accepted: tuple[MilestonePassed, ...] = ()


class Release(NamedTuple):
    """A release as the public registry lists it."""

    standing: str
    title: str
    run: str
    manifest: str | None
    openness_class: int
    since: datetime
    supersedes: str | None = None
    superseded_by: str | None = None


class Expected(NamedTuple):
    """Whose money a creditor reference announces, and for what."""

    stream: str
    member: MemberId


class Link(NamedTuple):
    """Whose a payee is, and where it is paid."""

    members: frozenset[MemberId] = frozenset()
    entities: frozenset[str] = frozenset()
    accounts: frozenset[Digest] = frozenset()


class Decided(NamedTuple):
    """What a vote decided, and which."""

    values: tuple[int, ...] = ()
    """One of these; anything where nothing was decided."""
    proposal: str = ""


class Steering(NamedTuple):
    """What votes decided of a run's contract."""

    parameters_millions: Decided = Decided()
    budget: Decided = Decided()


class Credit(NamedTuple):
    """What of a member's money on a stream is the member's."""

    payable: int
    """To be paid back, or set off."""
    refunding: int
    """On its way back."""
    currency: str
    since: datetime
    """When the stream began."""


class Register(NamedTuple):
    """The agreed state of the consortium as of one position of the log."""

    version: int = 0
    """Of the charter in force; 0 before the founding."""
    charters: Map[int, Charter] = mapping()
    people: Map[PersonId, Person] = mapping()
    keyholders: Map[str, PersonId] = mapping()
    """Whose each key is or was: a key that rules 7 or later enrolled stays its holder's for ever. `LOG` and `RELEASES` hold keys too."""
    members: Map[MemberId, Member] = mapping()
    terms: Map[MemberId, tuple[Term, ...]] = mapping()
    holdings: Map[MemberId, tuple[Holding, ...]] = mapping()
    groups: Map[Slug, Slug] = mapping()
    """The seat of each company that is related to another one."""
    cleared: Map[MemberId, int] = mapping()
    """What each member has contributed, in minor units of the charter's currency."""
    raised: Map[str, int] = mapping()
    """What was contributed on each stream."""
    commitments: Map[MemberId, Map[str, int]] = mapping()
    """What each member has bound itself to, by stream."""
    still_bound: Map[MemberId, Map[str, int]] = mapping()
    """What leaving members are still bound to and not called for, by stream."""
    debts: Map[MemberId, Map[str, int]] = mapping()
    """What each member has been called for and not paid, by stream."""
    credits: Map[MemberId, Map[str, Credit]] = mapping()
    """What is payable to each member, or on its way back to it, by stream."""
    leases: Map[MemberId, Map[str, int]] = mapping()
    """How many leases of early access each member has, by the release's stream."""
    entities: Map[str, MemberId] = mapping()
    """Who applied under each Legal Entity Identifier."""
    reserved: Map[MemberId, Slug] = mapping()
    """The tier in which a seat is kept for an admitted applicant, or for a member that changes to it."""
    references: Map[str, str] = mapping()
    """The stream that used each bank reference."""
    payees: Map[str, Link] = mapping()
    evidence: Map[Digest, str] = mapping()
    """The stream in which each evidence of a contribution counts."""
    mandates: Map[Digest, tuple[MandateGranted, ...]] = mapping()
    """What authorises the command with this digest: each mandate for one time."""
    votes: Map[str, Vote] = mapping()
    runs: Map[Slug, Run] = mapping()
    leads: Map[Slug, PersonId] = mapping()
    """Whom the last contract proposed for each run names as responsible, approved or not."""
    suppliers: Map[Slug, frozenset[str]] = mapping()
    """Whom the last contract proposed for each run names as paid under it, approved or not."""
    steered: Map[Slug, Steering] = mapping()
    """What votes decided of the contract of each run."""
    releases: Map[Slug, Release] = mapping()
    """What was staged at least once, and where each stands."""
    expected: Map[str, Expected] = mapping()
    """By creditor reference, also of what was paid meanwhile: money may come twice."""
    clock: SystemTime | PacedTime | MovedTime = SystemTime()
    """Which clock the log goes by."""
    unreached: Map[str, Unreached] = mapping()
    """Persons, members and offices whom the last notice to them did not reach."""
    substitutes: Map[PersonId, tuple[Substitute, ...]] = mapping()
    """By who is absent."""
    time_accepted_until: datetime | None = None
    """Up to when two officers accepted that entries are dated ahead of the clock."""
    ended_keys: Map[str, str] = mapping()
    """Keys that speak for nobody again, each with its end."""
    log_keys: Map[str, ServiceKey] = mapping()
    """The keys that signed the log, and those that do."""
    release_keys: Map[str, ServiceKey] = mapping()
    """The keys that signed releases, and those that do."""
    applicants: Map[MemberId, str] = mapping()
    """Who applied and is neither taken in nor turned down, each with its Legal Entity Identifier: kept, for every application asks how many there are."""
    signing_since: int = 0
    """The position from which on the log is signed; 0 while it is not."""

    @property
    def charter(self) -> Charter:
        """The charter in force. Refuses everything before the founding."""
        if self.version == 0:
            raise Refused(
                "not_founded", "the consortium has not been founded yet", remedy="give `consortium consortium found` with a charter first"
            )
        return self.charters[self.version]

    def knows(self, person: PersonId) -> bool:
        """Whether the log knows this person: their refused commands are kept too."""
        return person in self.people or person == SERVICE

    def holds(self, person: PersonId, *offices: Office) -> bool:
        """Whether the person holds one of these offices now."""
        found = self.people.get(person)
        return found is not None and not found.offices.isdisjoint(offices)

    def awaited(self, names: Iterable[str]) -> tuple[str, ...]:
        """Who is still to act of those whom a process names: for a run that exists already the board has nothing more to do."""
        found = tuple(names)
        begun = any(name.startswith("run/") and name.removeprefix("run/") in self.runs for name in found)
        return tuple(name for name in found if not (begun and name == f"office:{Office.BOARD}"))

    def holders(self, office: Office) -> tuple[PersonId, ...]:
        """Who holds an office now, in order."""
        return tuple(sorted(person for person, found in self.people.items() if office in found.offices))

    def stands_in(self, person: PersonId, office: Office, at: datetime) -> bool:
        """Whether the person sees to the duties of a holder of this office at an instant, and nothing that they hold themselves is kept apart from it."""
        entrusted = self._entrusted(person, at)
        own = self.people.get(person, Person()).offices
        return office in entrusted and not self.charter.roles.barring(office, (own | entrusted) - {office})

    def _entrusted(self, person: PersonId, at: datetime) -> frozenset[Office]:
        """The offices that somebody absent, who holds them now, has the person see to."""
        return frozenset(
            office
            for absent, named in self.substitutes.items()
            for each in named
            if each.person == person and each.covers(at)
            for office in each.offices & self.people.get(absent, Person()).offices
        )

    def represents_absent(self, person: PersonId, member: MemberId, at: datetime) -> bool:
        """Whether the person, who speaks for the member, stands in for one of its representatives at an instant."""
        return self.speaks_for(person, member) and any(
            each.person == person and member in each.members and each.covers(at) and self.represents(absent, member)
            for absent, named in self.substitutes.items()
            for each in named
        )

    def substitutes_for(self, office: Office, at: datetime) -> tuple[PersonId, ...]:
        """Who stands in for a holder of an office at an instant, in order."""
        named = {each.person for absent in self.holders(office) for each in self.substitutes.get(absent, ()) if office in each.offices}
        return tuple(sorted(person for person in named if self.stands_in(person, office, at)))

    def substitutions(self, person: PersonId) -> tuple[Substitute, ...]:
        """Each time that the person was named as a substitute, begun or not, over or not; the earliest first."""
        named = (each for substitutes in self.substitutes.values() for each in substitutes if each.person == person)
        return tuple(sorted(named, key=lambda each: each.since))

    @property
    def signing(self) -> bool:
        """Whether everything that is recorded now is signed."""
        return self.signing_since > 0

    def had_key(self, person: PersonId) -> bool:
        """Whether a key ever was this person's, as far as rules 7 or later ended it."""
        return person in self.keyholders.values()

    def knows_key(self, person: PersonId, public_key: str) -> bool:
        """Whether the key is or was the person's: what it signs is known to come from them, valid or not."""
        return self.keyholders.get(public_key) == person

    def without_key(self) -> tuple[PersonId, ...]:
        """Who has a role and no valid key, in order: nobody can take a command from them."""
        return tuple(sorted(person for person, found in self.people.items() if (found.offices or found.speaks_for) and not found.keys))

    def speaks_by(self, person: PersonId, public_key: str, stream: str) -> bool:
        """Whether a signature by this key speaks for the person on this stream now."""
        found = self.people.get(person)
        if found is None or public_key not in found.keys:
            return False
        confined = self.confined_to(person)
        return confined is None or stream in confined

    def confined_to(self, person: PersonId) -> frozenset[str] | None:
        """The only streams on which the keys of somebody speak who stands for applicants alone; none where they speak everywhere."""
        found = self.people.get(person, Person())
        if found.offices or not found.speaks_for or any(self.admitted(member) for member in found.speaks_for):
            return None
        return frozenset(f"member/{member}" for member in found.speaks_for)

    def admitted(self, member: MemberId) -> bool:
        """Whether the members took it in, now or before; the agreement may be unsigned yet."""
        return member in self.members or member in self.reserved

    def log_key_at(self, public_key: str, position: int) -> bool:
        """Whether a checkpoint over so many entries is the log's own when this key signed it.

        The entry that revokes a key is the last one that it covers, for its recorder may have had no other. What is tagged inside an entry is
        judged by the state before it instead: by `valid_log_keys`.
        """
        found = self.log_keys.get(public_key)
        return found is not None and found.since <= position and (found.until is None or position <= found.until)

    def valid_log_keys(self) -> tuple[str, ...]:
        """The keys that sign the log now, in the order in which they were enrolled."""
        return _valid(self.log_keys)

    def valid_release_keys(self) -> tuple[str, ...]:
        """The keys that sign releases now, in the order in which they were enrolled."""
        return _valid(self.release_keys)

    def signs_releases(self, fingerprint: Digest) -> bool:
        """Whether the key of this fingerprint signs releases now."""
        return any(key.until is None and key.fingerprint == fingerprint for key in self.release_keys.values())

    def require_free(self, public_key: str, person: PersonId) -> None:
        """Refuses a key that is or was somebody else's, and one that ended for good: a signature must tell who gave it."""
        if self.keyholders.get(public_key, person) != person:
            raise Refused(
                "key_taken",
                "this key is or was another's",
                remedy="make a key of one's own (`ssh-keygen -t ed25519`)",
                clause="roles",
            )
        if public_key in self.ended_keys:
            raise Refused(
                "key_ended",
                f"this key was {self.ended_keys[public_key]}, and speaks for nobody again",
                remedy="make a new key (`ssh-keygen -t ed25519`)",
                clause="roles",
            )

    def speaks_for(self, person: PersonId, member: MemberId) -> bool:
        """Whether the person is a representative of the member, or an alternate."""
        found = self.people.get(person)
        return found is not None and member in found.speaks_for

    def represents(self, person: PersonId, member: MemberId) -> bool:
        """Whether the person is a representative of the member, and no mere alternate."""
        found = self.people.get(person)
        return found is not None and found.speaks_for.get(member) is Capacity.REPRESENTATIVE

    def organisations(self, person: PersonId) -> frozenset[Slug]:
        """The seats that the person speaks for: related companies are one. None of who is of the consortium's own staff."""
        return frozenset(self.seat_of(member) for member in self.people.get(person, Person()).speaks_for)

    def independent(self, signed: Iterable[PersonId]) -> tuple[PersonId, ...]:
        """Of those who signed one act, in their order, those whose signatures count: of an organisation, as companies are related now, the first."""
        counted, organisations = list[PersonId](), frozenset[Slug]()
        for person in dict.fromkeys(signed):
            own = self.organisations(person)
            if organisations.isdisjoint(own):
                counted.append(person)
                organisations |= own
        return tuple(counted)

    def keys_left(self, person: PersonId, member: MemberId) -> tuple[str, ...]:
        """The keys, in order, of a person who has no role left once they do not speak for this member; none while they have one."""
        found = self.people.get(person, Person())
        return () if found.offices or any(other != member for other in found.speaks_for) else tuple(sorted(found.keys))

    def representatives(self, member: MemberId, as_of: datetime) -> tuple[Term, ...]:
        """Who spoke for a member at an instant, representatives first."""
        held = (term for term in self.terms.get(member, ()) if term.since <= as_of and (term.until is None or as_of < term.until))
        return tuple(sorted(held, key=lambda term: (term.capacity != Capacity.REPRESENTATIVE, term.person)))

    def seat_of(self, member: MemberId) -> Slug:
        """The seat of a member: shared by all that one company controls. Of an applicant: the one it would share, by its own word."""
        seat = self.groups.get(member)
        if seat is not None or self.belongs(member):
            return seat or member
        held = shares(self.holdings.get(member, ()), lambda holder: self.groups.get(holder, holder))
        return next((holder for holder, fraction in sorted(held.items()) if fraction > self.charter.membership.control), member)

    def related(self, member: MemberId) -> tuple[Slug, ...]:
        """The companies that share a seat with this one, itself included, in order."""
        seat = self.groups.get(member)
        return (member,) if seat is None else tuple(sorted(company for company, other in self.groups.items() if other == seat))

    def behind(self, payee: str) -> frozenset[Slug]:
        """The companies that a payee is or belongs to, and all that are related to one of them.

        By its name (`member:<id>`, or the handle of a company), by what was declared of it, by its Legal Entity Identifier, and by an account
        that it shares with another payee of which the same is known.
        """
        names, reached = {payee}, frozenset[Digest]()
        while more := self._accounts_of(names) - reached:
            reached |= more
            names |= {name for name, link in self.payees.items() if not link.accounts.isdisjoint(reached)}
        direct = {company for name in names for company in self._owners(name)}
        return frozenset(company for found in direct for company in self.related(found))

    def _accounts_of(self, payees: Iterable[str]) -> frozenset[Digest]:
        return frozenset(account for payee in payees for account in self.payees.get(payee, Link()).accounts)

    def _owners(self, payee: str) -> Iterator[Slug]:
        link, handle = self.payees.get(payee, Link()), payee.removeprefix("member:")
        if handle != payee or handle in self.members or handle in self.groups:
            yield handle
        yield from link.members
        yield from (self.entities[lei] for lei in link.entities if lei in self.entities)
        yield from (holding.holder for held in self.holdings.values() for holding in held if holding.lei in link.entities)

    def sharing_account(self, payee: str, accounts: frozenset[Digest] | None = None) -> tuple[str, ...]:
        """The other payees that are paid on one of these accounts, or would be, in order; by default on one of the payee's own."""
        accounts = self.payees.get(payee, Link()).accounts if accounts is None else accounts
        return tuple(sorted(name for name, link in self.payees.items() if name != payee and not link.accounts.isdisjoint(accounts)))

    def seats(self) -> tuple[Seat, ...]:
        """The seats of the active members, in order: related ones share one."""
        grouped: dict[MemberId, list[MemberId]] = {}
        for member in self.members.values():
            if member.standing is Standing.ACTIVE:
                grouped.setdefault(self.seat_of(member.id), []).append(member.id)
        return tuple(Seat(seat, tuple(sorted(members))) for seat, members in sorted(grouped.items()))

    def standing(self, member: MemberId) -> Standing | None:
        """Where the membership stands; `None` before it begins."""
        found = self.members.get(member)
        return None if found is None else found.standing

    def active(self, member: MemberId) -> bool:
        """Whether the member has all its rights now."""
        return self.standing(member) is Standing.ACTIVE

    def notice_over(self, member: MemberId, at: datetime) -> bool:
        """Whether the member leaves, or left, and its notice is over at an instant, if it had one."""
        found = self.members.get(member)
        if found is None or found.leaves_at is None:
            return False
        return found.standing is Standing.GONE or (found.standing is Standing.LEAVING and found.leaves_at <= at)

    def belongs(self, member: MemberId) -> bool:
        """Whether the membership has begun and not ended, suspended or not: only then is what it declares binding on others."""
        found = self.members.get(member)
        return found is not None and found.standing is not Standing.GONE

    def reads_early(self, member: MemberId) -> bool:
        """Whether the member has a right to early access: an active one, and one who leaves of its own will in good standing, to the end."""
        found = self.members.get(member)
        return found is not None and (
            found.standing is Standing.ACTIVE or (found.standing is Standing.LEAVING and found.keeps_access and not found.causes)
        )

    def credits_of(self, member: MemberId, currency: str) -> tuple[tuple[str, Credit], ...]:
        """What is payable to a member in this currency, or on its way back, by stream: that of the oldest stream first."""
        mine = ((source, credit) for source, credit in self.credits.get(member, mapping()).items() if credit.currency == currency)
        return tuple(sorted(mine, key=lambda each: (each[1].since, each[0])))

    def tiers(self) -> Mapping[Slug, frozenset[MemberId]]:
        """Who has a seat in each tier, or has one kept for it; tiers without any are left out."""
        seated: dict[Slug, set[MemberId]] = {}
        for member in self.members.values():
            if member.standing is not Standing.GONE:
                seated.setdefault(member.tier, set()).add(member.id)
        for reserving, tier in self.reserved.items():
            seated.setdefault(tier, set()).add(reserving)
        return {tier: frozenset(members) for tier, members in seated.items()}


def _valid(keys: Mapping[str, ServiceKey]) -> tuple[str, ...]:
    held = [(key.since, public_key) for public_key, key in keys.items() if key.until is None]
    return tuple(public_key for _, public_key in sorted(held))


def shares(holdings: Iterable[Holding], seat: Callable[[str], str]) -> Mapping[str, int]:
    """How much each seat holds, in sum."""
    held: dict[str, int] = {}
    for holding in holdings:
        held[seat(holding.holder)] = held.get(seat(holding.holder), 0) + holding.fraction
    return held
