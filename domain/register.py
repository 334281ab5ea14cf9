"""The register: what every process must agree on, folded from the whole log as of a position.

Its facts are ordinary events that any process may state; every other event passes it by. A decision gets the
register as of its own position, so a re-execution at that position decides the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar, cast, get_args

from pydantic import Field

from domain.charter import Charter, Office
from domain.evaluation import MilestonePassed
from domain.forms import Form
from domain.kernel import (
    SERVICE,
    BasisPoints,
    Count,
    CountryCode,
    Digest,
    Event,
    Instant,
    Map,
    MemberId,
    Message,
    Name,
    PersonId,
    Refused,
    Slug,
    mapping,
)
from domain.money import Minor


class Capacity(StrEnum):
    """How a person speaks for a member: an alternate votes, pledges and judges in a representative's stead, and resigns for
    themselves; who speaks for the member, who owns it, its tier and its leaving are a representative's alone.
    """

    REPRESENTATIVE = "representative"
    ALTERNATE = "alternate"


class Standing(StrEnum):
    """A member's rights. Only an active member votes and pledges; a leaving one keeps its duties."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEAVING = "leaving"
    GONE = "gone"


PublicKey = Annotated[
    str, Field(max_length=1_000, pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp256|sk-ssh-ed25519@openssh\.com) [A-Za-z0-9+/=]+$"),
    Form(
        "an OpenSSH public key in one line, without its comment (ssh-ed25519, ecdsa-sha2-nistp256 or sk-ssh-ed25519@openssh.com)",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJbUuXYFlUiSpJH7GIvkZLPkO4C4h3zYbXy0Xl9Jm0T",
    ),
]  # fmt: skip
"""An OpenSSH public key in one line, without a comment."""

BankReference = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9][A-Z0-9/:.-]{0,63}$"),
    Form("a bank's reference: capital letters and digits, and / : . - between", "BK00000001"),
]
"""How a bank names one movement on an account, in upper-case ASCII without spaces."""


CreditorReference = Annotated[
    str,
    Field(pattern=r"^RF[0-9]{2}[A-Z0-9]{1,21}$"),
    Form("a creditor reference (ISO 11649): RF, two digits, letters and digits", "RF18539007547034"),
]
"""A structured creditor reference (ISO 11649), without spaces; its check digits are right."""


LegalEntity = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9]{20}$"),
    Form("a Legal Entity Identifier: 20 capital letters and digits (ISO 17442)", "52990000000000000196"),
]
"""A Legal Entity Identifier as it is kept: its check digits were proved when it was given."""


class Holding(Message):
    """Who holds how much of a company. The holder is any company's handle, a member's or not."""

    holder: Slug
    fraction: BasisPoints
    lei: LegalEntity | None = None
    """The holder's Legal Entity Identifier: only that entity may apply under the holder's handle."""


class SystemTime(Message):
    """The log goes by the clock of the hosts that record: it is in earnest."""

    kind: Literal["system"] = "system"


class PacedTime(Message):
    """A rehearsal: the log showed `log` when the host's clock showed `real`, and runs `pace` times as fast from there."""

    kind: Literal["paced"] = "paced"
    real: Instant
    log: Instant
    pace: Annotated[int, Field(ge=1, le=10_000_000)]


class MovedTime(Message):
    """A rehearsal whose clock somebody moves: a test, or Temporal's time-skipping server."""

    kind: Literal["moved"] = "moved"


LogTime = Annotated[SystemTime | PacedTime | MovedTime, Field(discriminator="kind")]
"""Which clock a log goes by."""


Unreachable = Literal["no_address", "refused"]
"""Why a notice does not come to somebody."""

# ---------------------------------------------------------------- the facts


class ClockSet(Event):
    """The log goes by this clock from this entry on. Logs founded under rules older than 4 do not say so: theirs is the system's."""

    kind: Literal["clock_set"] = "clock_set"
    clock: LogTime


class TimeAccepted(Event):
    """Two officers accepted that the log is ahead of its clock: entries are dated like this one until the clock has passed it."""

    kind: Literal["time_accepted"] = "time_accepted"
    position: int
    until: Instant
    by: tuple[PersonId, PersonId]


class CharterAdopted(Event):
    """A version of the charter is in force from this entry on."""

    kind: Literal["charter_adopted"] = "charter_adopted"
    version: int
    charter: Charter


class OfficeGranted(Event):
    """A person holds an office."""

    kind: Literal["office_granted"] = "office_granted"
    person: PersonId
    office: Office


class OfficeRevoked(Event):
    """A person no longer holds an office."""

    kind: Literal["office_revoked"] = "office_revoked"
    person: PersonId
    office: Office


class KeyEnrolled(Event):
    """Signatures by this key (OpenSSH one-line form) speak for the person from this entry on."""

    kind: Literal["key_enrolled"] = "key_enrolled"
    person: PersonId
    public_key: Annotated[str, Field(max_length=1_000)]


class KeyRevoked(Event):
    """The key speaks for the person no longer."""

    kind: Literal["key_revoked"] = "key_revoked"
    person: PersonId
    public_key: str


class RepresentativeSeated(Event):
    """A person speaks for a member."""

    kind: Literal["representative_seated"] = "representative_seated"
    member: MemberId
    person: PersonId
    capacity: Capacity
    at: Instant


class RepresentativeUnseated(Event):
    """A person speaks for the member no longer."""

    kind: Literal["representative_unseated"] = "representative_unseated"
    member: MemberId
    person: PersonId
    at: Instant
    vacated_by: PersonId | None = None
    """Who thereby left the member without a representative; nobody while one remains."""


class MemberActivated(Event):
    """A member has all rights of its tier for the first time."""

    kind: Literal["member_activated"] = "member_activated"
    member: MemberId
    name: Name
    tier: Slug
    country: CountryCode
    at: Instant


class MemberSuspended(Event):
    """A member's rights rest; its duties do not."""

    kind: Literal["member_suspended"] = "member_suspended"
    member: MemberId
    cause: Slug


class MemberReinstated(Event):
    """A member has exactly its former rights again."""

    kind: Literal["member_reinstated"] = "member_reinstated"
    member: MemberId


class MemberDeparting(Event):
    """A member gave notice, or was given it: no vote and no new duty from here on."""

    kind: Literal["member_departing"] = "member_departing"
    member: MemberId
    leaves_at: Instant
    keeps_access: bool = False
    """Whether the early access that it has a right to lasts until the end: so it does for one who leaves of its own will."""


class MemberDeparted(Event):
    """The membership is over."""

    kind: Literal["member_departed"] = "member_departed"
    member: MemberId
    cause: Literal["left", "terminated", "expelled"]
    at: Instant


class OwnershipDeclared(Event):
    """Who owns a member, in full; replaces what was declared before. Relations are recomputed from it."""

    kind: Literal["ownership_declared"] = "ownership_declared"
    member: MemberId
    holdings: tuple[Holding, ...]


class ContributionCleared(Event):
    """Money of a member arrived, or goods were accepted: it counts for weights from here on."""

    kind: Literal["contribution_cleared"] = "contribution_cleared"
    member: MemberId
    source: str
    amount: Minor


class ContributionReturned(Event):
    """A contribution went back to the member and counts no longer."""

    kind: Literal["contribution_returned"] = "contribution_returned"
    member: MemberId
    source: str
    amount: Minor


class LegalEntityNamed(Event):
    """A legal entity applies as this member; no other application may name it while this one or the membership lasts."""

    kind: Literal["legal_entity_named"] = "legal_entity_named"
    member: MemberId
    lei: LegalEntity


class LegalEntityReleased(Event):
    """An application came to nothing or a membership ended; the legal entity may apply again, as another member."""

    kind: Literal["legal_entity_released"] = "legal_entity_released"
    lei: LegalEntity


class TierReserved(Event):
    """A seat of a tier is kept for one who was admitted to it or asked to change to it, in place of any kept for it before."""

    kind: Literal["tier_reserved"] = "tier_reserved"
    member: MemberId
    tier: Slug


class TierChanged(Event):
    """A member belongs to another tier."""

    kind: Literal["tier_changed"] = "tier_changed"
    member: MemberId
    tier: Slug


class BankReferenceUsed(Event):
    """A movement on a bank account was booked under this reference; no other may be."""

    kind: Literal["bank_reference_used"] = "bank_reference_used"
    reference: BankReference
    source: str


class EvidenceUsed(Event):
    """What this evidence shows was accepted as a contribution; it counts nowhere else."""

    kind: Literal["evidence_used"] = "evidence_used"
    evidence: Digest
    source: str


class CommitmentBound(Event):
    """What a member has bound itself to fund on a stream, in all; 0 when nothing is left."""

    kind: Literal["commitment_bound"] = "commitment_bound"
    member: MemberId
    source: str
    amount: Minor


class DebtStated(Event):
    """What a member has been called for on a stream and not paid, in all; 0 when nothing is owed."""

    kind: Literal["debt_stated"] = "debt_stated"
    member: MemberId
    source: str
    amount: Minor


class LeasesHeld(Event):
    """How many leases of early access to a release a member has, not ended yet; 0 when none is left."""

    kind: Literal["leases_held"] = "leases_held"
    member: MemberId
    source: str
    leases: Annotated[int, Field(ge=0)]


class MandateGranted(Event):
    """A passed proposal authorises one command on one stream, by its digest, once."""

    kind: Literal["mandate_granted"] = "mandate_granted"
    proposal: str
    digest: Digest
    until: Instant | None = None
    """From when on it authorises nothing; one of a charter that named no time has no end."""


class MandateExercised(Event):
    """The authorised command took effect; the mandate is spent."""

    kind: Literal["mandate_exercised"] = "mandate_exercised"
    proposal: str
    digest: Digest


class MandateWithdrawn(Event):
    """The order was given up, and with it what authorised it."""

    kind: Literal["mandate_withdrawn"] = "mandate_withdrawn"
    proposal: str
    digest: Digest


class VoteDecided(Event):
    """How a vote on a stream's business ended, and how each member voted: who said yes is bound by it."""

    kind: Literal["vote_decided"] = "vote_decided"
    proposal: str
    concerns: str
    """The stream whose command was decided, or empty."""
    passed: bool
    yes: frozenset[MemberId] = frozenset()
    no: frozenset[MemberId] = frozenset()
    effective_at: Instant


class RunReported(Event):
    """Where a training run stands, under which contract, and whether every checkpoint that the contract retains is there."""

    kind: Literal["run_reported"] = "run_reported"
    run: Slug
    phase: Slug
    contract: Digest
    checkpoints_retained: bool
    training_lead: PersonId
    tokens: Count | None = None
    """Seen in training so far, by the readings; nothing where it was not told."""
    checkpoints: Count | None = None
    """How many the readings told of."""
    missing: Count | None = None
    """How many that the contract retains are not there."""
    accepted: tuple[MilestonePassed, ...] = ()


class LeadNamed(Event):
    """The contract of a run that waits for its vote names this person as responsible."""

    kind: Literal["lead_named"] = "lead_named"
    run: Slug
    lead: PersonId


class PaymentExpected(Event):
    """A creditor reference (ISO 11649) was issued: money that names it is for this member on this stream."""

    kind: Literal["payment_expected"] = "payment_expected"
    reference: CreditorReference
    stream: str
    member: MemberId


class ReleaseStaged(Event):
    """A release changed its standing: `internal`, `members`, `gated`, `public`, `superseded`, `recalled` or `abandoned`."""

    kind: Literal["release_staged"] = "release_staged"
    release: Slug
    standing: Slug
    title: Name
    run: Slug
    manifest: Digest | None
    """Of the files; none while they were never signed."""
    openness_class: Annotated[int, Field(ge=0, le=3)]
    """Of the Model Openness Framework; 0 is none."""
    supersedes: Slug | None = None
    superseded_by: Slug | None = None
    at: Instant


class RecipientsUnreached(Event):
    """A notice did not come to these, each with the reason: no address is known of them, or every one refused it."""

    kind: Literal["recipients_unreached"] = "recipients_unreached"
    step: str
    recipients: Annotated[dict[str, Unreachable], Field(min_length=1, max_length=100)]
    at: Instant


class RecipientsReached(Event):
    """A notice came to these again, whom an earlier one had not reached."""

    kind: Literal["recipients_reached"] = "recipients_reached"
    step: str
    recipients: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]


Fact = (
    ClockSet | TimeAccepted | CharterAdopted | OfficeGranted | OfficeRevoked | KeyEnrolled | KeyRevoked | RepresentativeSeated | RepresentativeUnseated
    | MemberActivated | MemberSuspended | MemberReinstated | MemberDeparting | MemberDeparted | OwnershipDeclared
    | LegalEntityReleased | LegalEntityNamed | TierReserved | TierChanged | BankReferenceUsed | ContributionCleared | ContributionReturned
    | CommitmentBound | DebtStated | MandateGranted | MandateExercised | MandateWithdrawn | VoteDecided
    | RunReported | PaymentExpected | ReleaseStaged | LeasesHeld | LeadNamed | EvidenceUsed
    | RecipientsUnreached | RecipientsReached
)  # fmt: skip
"""Everything the register keeps."""

# ---------------------------------------------------------------- the state


@dataclass(frozen=True, slots=True)
class Term:
    """A person spoke for a member in [since, until)."""

    person: PersonId
    capacity: Capacity
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Member:
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


@dataclass(frozen=True, slots=True)
class Unreached:
    """Somebody whom notices do not reach."""

    reason: Unreachable
    notices: int
    """How many since one came."""
    since: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """A person's offices, keys and the members they speak for."""

    offices: frozenset[Office] = frozenset()
    keys: frozenset[str] = frozenset()
    speaks_for: Map[MemberId, Capacity] = mapping()


@dataclass(frozen=True, slots=True)
class Seat:
    """Related members together: one seat, one vote, one cap."""

    id: Slug
    """The member's id; for related ones the smallest handle of their group."""
    members: tuple[MemberId, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """How a decided vote went."""

    concerns: str
    passed: bool
    yes: frozenset[MemberId]
    no: frozenset[MemberId]
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """A training run as releases see it."""

    phase: str
    contract: str
    checkpoints_retained: bool
    training_lead: PersonId
    tokens: int | None = None
    checkpoints: int | None = None
    missing: int | None = None
    accepted: tuple[MilestonePassed, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the public registry lists it."""

    standing: str
    title: str
    run: str
    manifest: str | None
    openness_class: int
    since: datetime
    supersedes: str | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose money a creditor reference announces, and for what."""

    stream: str
    member: MemberId


@dataclass(frozen=True, slots=True)
class Register:
    """The agreed state of the consortium as of one position of the log."""

    version: int = 0
    """Of the charter in force; 0 before the founding."""
    charters: Map[int, Charter] = mapping()
    people: Map[PersonId, Person] = mapping()
    keyholders: Map[str, PersonId] = mapping()
    """For whom each key speaks."""
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
    debts: Map[MemberId, Map[str, int]] = mapping()
    """What each member has been called for and not paid, by stream."""
    leases: Map[MemberId, Map[str, int]] = mapping()
    """How many leases of early access each member has, by the release's stream."""
    entities: Map[str, MemberId] = mapping()
    """Who applied under each Legal Entity Identifier."""
    reserved: Map[MemberId, Slug] = mapping()
    """The tier in which a seat is kept for an admitted applicant, or for a member that changes to it."""
    references: Map[str, str] = mapping()
    """The stream that used each bank reference."""
    evidence: Map[Digest, str] = mapping()
    """The stream in which each evidence of a contribution counts."""
    mandates: Map[Digest, tuple[MandateGranted, ...]] = mapping()
    """What authorises the command with this digest: each mandate for one time."""
    votes: Map[str, Vote] = mapping()
    runs: Map[Slug, Run] = mapping()
    leads: Map[Slug, PersonId] = mapping()
    """Whom the last contract proposed for each run names as responsible, approved or not."""
    releases: Map[Slug, Release] = mapping()
    """What was staged at least once, and where each stands."""
    expected: Map[str, Expected] = mapping()
    """By creditor reference, also of what was paid meanwhile: money may come twice."""
    clock: SystemTime | PacedTime | MovedTime = SystemTime()
    """Which clock the log goes by."""
    unreached: Map[str, Unreached] = mapping()
    """Persons, members and offices whom the last notice to them did not reach."""
    time_accepted_until: datetime | None = None
    """Up to when two officers accepted that entries are dated ahead of the clock."""

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
        known = self.people.get(person)
        return known is not None and not known.offices.isdisjoint(offices)

    def holders(self, office: Office) -> tuple[PersonId, ...]:
        """Who holds an office now, in order."""
        return tuple(sorted(person for person, known in self.people.items() if office in known.offices))

    def require_free(self, public_key: str, person: PersonId) -> None:
        """Refuses a key that speaks for somebody else: a signature must tell who gave it."""
        if self.keyholders.get(public_key, person) != person:
            raise Refused(
                "key_taken",
                "this key speaks for another person",
                remedy="make a key of one's own (`ssh-keygen -t ed25519`)",
                clause="roles",
            )

    def speaks_for(self, person: PersonId, member: MemberId) -> bool:
        """Whether the person is a representative of the member, or an alternate."""
        known = self.people.get(person)
        return known is not None and member in known.speaks_for

    def represents(self, person: PersonId, member: MemberId) -> bool:
        """Whether the person is a representative of the member, and no mere alternate."""
        known = self.people.get(person)
        return known is not None and known.speaks_for.get(member) is Capacity.REPRESENTATIVE

    def keys_left(self, person: PersonId, member: MemberId) -> tuple[str, ...]:
        """The keys, in order, of a person who has no role left once they do not speak for this member; none while they have one."""
        known = self.people.get(person, Person())
        return () if known.offices or any(other != member for other in known.speaks_for) else tuple(sorted(known.keys))

    def representatives(self, member: MemberId, as_of: datetime) -> tuple[Term, ...]:
        """Who spoke for a member at an instant, representatives first."""
        held = (term for term in self.terms.get(member, ()) if term.since <= as_of and (term.until is None or as_of < term.until))
        return tuple(sorted(held, key=lambda term: (term.capacity != Capacity.REPRESENTATIVE, term.person)))

    def seat_of(self, member: MemberId) -> Slug:
        """The seat of a member: shared by all that one company controls. Of an applicant: the one it would share, by its own word."""
        seat = self.groups.get(member)
        if seat is not None or self.belongs(member):
            return seat or member
        held = _shares(self.holdings.get(member, ()), lambda holder: self.groups.get(holder, holder))
        return next((holder for holder, fraction in sorted(held.items()) if fraction > self.charter.membership.control), member)

    def related(self, member: MemberId) -> tuple[Slug, ...]:
        """The companies that share a seat with this one, itself included, in order."""
        seat = self.groups.get(member)
        return (member,) if seat is None else tuple(sorted(company for company, other in self.groups.items() if other == seat))

    def seats(self) -> tuple[Seat, ...]:
        """The seats of the active members, in order: related ones share one."""
        grouped: dict[MemberId, list[MemberId]] = {}
        for member in self.members.values():
            if member.standing is Standing.ACTIVE:
                grouped.setdefault(self.seat_of(member.id), []).append(member.id)
        return tuple(Seat(seat, tuple(sorted(members))) for seat, members in sorted(grouped.items()))

    def active(self, member: MemberId) -> bool:
        """Whether the member has all its rights now."""
        known = self.members.get(member)
        return known is not None and known.standing is Standing.ACTIVE

    def belongs(self, member: MemberId) -> bool:
        """Whether the membership has begun and not ended, suspended or not: only then is what it declares binding on others."""
        known = self.members.get(member)
        return known is not None and known.standing is not Standing.GONE

    def reads_early(self, member: MemberId) -> bool:
        """Whether the member has a right to early access: an active one, and one who leaves of its own will in good standing, to the end."""
        known = self.members.get(member)
        return known is not None and (
            known.standing is Standing.ACTIVE or (known.standing is Standing.LEAVING and known.keeps_access and not known.causes)
        )

    def tiers(self) -> Mapping[Slug, frozenset[MemberId]]:
        """Who has a seat in each tier, or has one kept for it; tiers without any are left out."""
        seated: dict[Slug, set[MemberId]] = {}
        for member in self.members.values():
            if member.standing is not Standing.GONE:
                seated.setdefault(member.tier, set()).add(member.id)
        for reserving, tier in self.reserved.items():
            seated.setdefault(tier, set()).add(reserving)
        return {tier: frozenset(members) for tier, members in seated.items()}


# ---------------------------------------------------------------- the fold

REGISTER_VERSION: Final = 2
"""Raised whenever the register is made of other fields, or the same facts make another one: stored ones of another version are not read."""


def evolve(register: Register, fact: Fact) -> Register:
    """The register after a fact."""
    match fact:
        case RecipientsUnreached():
            return replace(register, unreached=_further_unreached(register.unreached, fact))
        case RecipientsReached(recipients=recipients):
            left = register.unreached
            for recipient in recipients:
                left = _without(left, recipient)
            return replace(register, unreached=left)
        case CommitmentBound(member=member, source=source, amount=amount):
            return replace(register, commitments=_amount(register.commitments, member, source, amount))
        case DebtStated(member=member, source=source, amount=amount):
            return replace(register, debts=_amount(register.debts, member, source, amount))
        case LeasesHeld(member=member, source=source, leases=leases):
            return replace(register, leases=_amount(register.leases, member, source, leases))
        case ContributionCleared(member=member, source=source, amount=amount):
            return _contributed(register, member, source, amount)
        case ContributionReturned(member=member, source=source, amount=amount):
            return _contributed(register, member, source, -amount)
        case LegalEntityNamed(member=member, lei=lei):
            return replace(register, entities=register.entities.set(lei, member))
        case LegalEntityReleased(lei=lei):
            return _released(register, lei)
        case TierReserved(member=member, tier=tier):
            return replace(register, reserved=register.reserved.set(member, tier))
        case TierChanged(member=member, tier=tier):
            register = replace(register, reserved=_without(register.reserved, member))
            return _member(register, replace(register.members[member], tier=tier))
        case BankReferenceUsed(reference=reference, source=source):
            return replace(register, references=register.references.set(reference, source))
        case EvidenceUsed(evidence=evidence, source=source):
            return replace(register, evidence=register.evidence.set(evidence, source))
        case CharterAdopted(version=version, charter=charter):
            return _regrouped(replace(register, version=version, charters=register.charters.set(version, charter)))
        case OfficeGranted(person=person, office=office):
            known = register.people.get(person, Person())
            return _person(register, person, replace(known, offices=known.offices | {office}))
        case OfficeRevoked(person=person, office=office):
            known = register.people.get(person, Person())
            return _person(register, person, replace(known, offices=known.offices - {office}))
        case KeyEnrolled(person=person, public_key=key):
            known = register.people.get(person, Person())
            register = replace(register, keyholders=register.keyholders.set(key, person))
            return _person(register, person, replace(known, keys=known.keys | {key}))
        case KeyRevoked(person=person, public_key=key):
            known = register.people.get(person, Person())
            if register.keyholders.get(key) == person:
                register = replace(register, keyholders=register.keyholders.delete(key))
            return _person(register, person, replace(known, keys=known.keys - {key}))
        case RepresentativeSeated():
            return _seated(register, fact)
        case RepresentativeUnseated():
            return _unseated(register, fact)
        case MemberActivated(member=member, name=name, tier=tier, country=country, at=at):
            register = replace(register, reserved=_without(register.reserved, member))
            return _related(_member(register, Member(member, name, tier, country, at, Standing.ACTIVE)), member)
        case MemberSuspended(member=member, cause=cause):
            known_member = register.members[member]
            standing = Standing.LEAVING if known_member.standing is Standing.LEAVING else Standing.SUSPENDED
            return _member(register, replace(known_member, standing=standing, causes=known_member.causes | {cause}))
        case MemberReinstated(member=member):
            known_member = register.members[member]
            standing = Standing.LEAVING if known_member.standing is Standing.LEAVING else Standing.ACTIVE
            return _member(register, replace(known_member, standing=standing, causes=frozenset()))
        case MemberDeparting(member=member, leaves_at=leaves_at, keeps_access=keeps_access):
            known_member = register.members[member]
            return _member(register, replace(known_member, standing=Standing.LEAVING, leaves_at=leaves_at, keeps_access=keeps_access))
        case MemberDeparted(member=member):
            return _related(_member(register, replace(register.members[member], standing=Standing.GONE)), member)
        case OwnershipDeclared(member=member, holdings=holdings):
            if not holdings and member not in register.holdings:
                return register
            return _related(replace(register, holdings=register.holdings.set(member, holdings)), member)
        case MandateGranted(digest=digest):
            return replace(register, mandates=register.mandates.set(digest, (*register.mandates.get(digest, ()), fact)))
        case MandateExercised(proposal=proposal, digest=digest) | MandateWithdrawn(proposal=proposal, digest=digest):
            return _spent(register, proposal, digest)
        case VoteDecided(proposal=proposal, concerns=concerns, passed=passed, yes=yes, no=no, effective_at=effective_at):
            return replace(register, votes=register.votes.set(proposal, Vote(concerns, passed, yes, no, effective_at)))
        case RunReported():
            return replace(register, runs=register.runs.set(fact.run, _reported(fact)))
        case LeadNamed(run=run, lead=lead):
            return replace(register, leads=register.leads.set(run, lead))
        case PaymentExpected(reference=reference, stream=stream, member=member):
            return replace(register, expected=register.expected.set(reference, Expected(stream, member)))
        case ReleaseStaged():
            return replace(register, releases=register.releases.set(fact.release, _listed(fact)))
        case ClockSet(clock=clock):
            return replace(register, clock=clock)
        case TimeAccepted(until=until):
            return replace(register, time_accepted_until=until)


def _reported(fact: RunReported) -> Run:
    return Run(
        fact.phase, fact.contract, fact.checkpoints_retained, fact.training_lead, fact.tokens, fact.checkpoints, fact.missing, fact.accepted
    )  # fmt: skip


def _listed(fact: ReleaseStaged) -> Release:
    return Release(
        fact.standing, fact.title, fact.run, fact.manifest, fact.openness_class, fact.at, fact.supersedes, fact.superseded_by
    )  # fmt: skip


def _person(register: Register, person: PersonId, known: Person) -> Register:
    return replace(register, people=register.people.set(person, known))


def _member(register: Register, member: Member) -> Register:
    return replace(register, members=register.members.set(member.id, member))


def _contributed(register: Register, member: MemberId, source: str, amount: int) -> Register:
    cleared = register.cleared.set(member, register.cleared.get(member, 0) + amount)
    return replace(register, cleared=cleared, raised=register.raised.set(source, register.raised.get(source, 0) + amount))


def _amount(amounts: Map[MemberId, Map[str, int]], member: MemberId, source: str, amount: int) -> Map[MemberId, Map[str, int]]:
    mine = amounts.get(member, mapping())
    if amount:
        mine = mine.set(source, amount)
    elif source in mine:
        mine = mine.delete(source)
    if mine:
        return amounts.set(member, mine)
    return amounts.delete(member) if member in amounts else amounts


def _seated(register: Register, fact: RepresentativeSeated) -> Register:
    known = register.people.get(fact.person, Person())
    term = Term(fact.person, fact.capacity, fact.at, None)
    terms = _ended(register.terms.get(fact.member, ()), fact.person, fact.at)
    register = replace(register, terms=register.terms.set(fact.member, (*terms, term)))
    return _person(register, fact.person, replace(known, speaks_for=known.speaks_for.set(fact.member, fact.capacity)))


def _unseated(register: Register, fact: RepresentativeUnseated) -> Register:
    known = register.people[fact.person]
    terms = _ended(register.terms.get(fact.member, ()), fact.person, fact.at)
    register = replace(register, terms=register.terms.set(fact.member, terms))
    return _person(register, fact.person, replace(known, speaks_for=known.speaks_for.delete(fact.member)))


def _spent(register: Register, proposal: str, digest: Digest) -> Register:
    granted = register.mandates.get(digest, ())
    left = tuple(mandate for mandate in granted if mandate.proposal != proposal)
    if left:
        return replace(register, mandates=register.mandates.set(digest, left))
    return replace(register, mandates=register.mandates.delete(digest)) if granted else register


def _ended(terms: Iterable[Term], person: PersonId, at: datetime) -> tuple[Term, ...]:
    return tuple(replace(term, until=at) if term.person == person and term.until is None else term for term in terms)


V = TypeVar("V")


def _without(items: Map[str, V], key: str) -> Map[str, V]:
    return items.delete(key) if key in items else items


def _released(register: Register, lei: str) -> Register:
    member = register.entities[lei]
    register = replace(register, entities=register.entities.delete(lei), reserved=_without(register.reserved, member))
    if member not in register.holdings:
        return register
    return _regrouped(replace(register, holdings=register.holdings.delete(member)))


def _shares(holdings: Iterable[Holding], seat: Callable[[str], str]) -> Mapping[str, int]:
    """How much each seat holds, in sum."""
    held: dict[str, int] = {}
    for holding in holdings:
        held[seat(holding.holder)] = held.get(seat(holding.holder), 0) + holding.fraction
    return held


def _related(register: Register, member: MemberId) -> Register:
    """The register after a change of who a member is related to; one that declared nothing is related by others' word only."""
    return _regrouped(register) if member in register.holdings else register


def _regrouped(register: Register) -> Register:
    """Companies are related when more than the charter's fraction of one is held by the other's group, in sum.

    By the word of members only: nobody outside can bind two members to each other.
    """
    control = register.charter.membership.control
    declared = [(company, holdings) for company, holdings in register.holdings.items() if register.belongs(company)]
    parent: dict[str, str] = {}

    def root(company: str) -> str:
        while company in parent:
            company = parent[company]
        return company

    merged = True
    while merged:
        merged = False
        for company, holdings in declared:
            for holder, fraction in _shares(holdings, root).items():
                if fraction > control and root(holder) != root(company):
                    parent[root(company)] = root(holder)
                    merged = True
    related: dict[str, set[str]] = {}
    for company, above in parent.items():
        related.setdefault(root(company), {root(company)}).update((company, above))
    groups = {company: min(companies) for companies in related.values() for company in companies}
    return replace(register, groups=mapping(groups))


_FACTS: Final = frozenset(get_args(Fact))


FACT_KINDS: Final = frozenset(str(fact.model_fields["kind"].default) for fact in _FACTS)
"""What the register keeps, by the kind of the event."""


def is_fact(event: Event) -> bool:
    """Whether the register keeps an event; every other passes it by."""
    return type(event) in _FACTS


def _further_unreached(known: Map[str, Unreached], fact: RecipientsUnreached) -> Map[str, Unreached]:
    for recipient, reason in fact.recipients.items():
        former = known.get(recipient)
        known = known.set(
            recipient, Unreached(reason, 1, fact.at) if former is None else Unreached(reason, former.notices + 1, former.since)
        )
    return known


def note(register: Register, event: Event) -> Register:
    """The register after any event: facts are kept, everything else passes by."""
    return evolve(register, cast(Fact, event)) if type(event) in _FACTS else register
