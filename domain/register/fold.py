"""How each fact changes the register.

A decision gets the register as of its own position, so a re-execution at that position decides the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar, cast, get_args

from domain.kernel import Digest, Event, Map, MemberId, PersonId, mapping
from domain.register.facts import (
    BankReferenceUsed,
    CharterAdopted,
    ClockSet,
    CommitmentBound,
    ContributionCleared,
    ContributionReturned,
    DebtStated,
    EvidenceUsed,
    Fact,
    KeyEnrolled,
    KeyRevoked,
    LeadNamed,
    LeasesHeld,
    LegalEntityNamed,
    LegalEntityReleased,
    MandateExercised,
    MandateGranted,
    MandateWithdrawn,
    MemberActivated,
    MemberDeparted,
    MemberDeparting,
    MemberReinstated,
    MemberSuspended,
    OfficeGranted,
    OfficeRevoked,
    OwnershipDeclared,
    PaymentExpected,
    RecipientsReached,
    RecipientsUnreached,
    ReleaseStaged,
    RepresentativeSeated,
    RepresentativeUnseated,
    RunReported,
    Standing,
    TierChanged,
    TierReserved,
    TimeAccepted,
    VoteDecided,
)
from domain.register.state import Expected, Member, Person, Register, Release, Run, Term, Unreached, Vote, shares

REGISTER_VERSION: Final = 3
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
    )


def _listed(fact: ReleaseStaged) -> Release:
    return Release(fact.standing, fact.title, fact.run, fact.manifest, fact.openness_class, fact.at, fact.supersedes, fact.superseded_by)


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
            for holder, fraction in shares(holdings, root).items():
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
