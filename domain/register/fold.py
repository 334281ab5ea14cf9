"""How each fact changes the register.

A decision gets the register as of its own position, so a re-execution at that position decides the same. Facts are sorted by topic
first, by a look into a set, and matched within their topic: to match all of them one after another takes longer than to copy the register.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast, get_args

from domain.kernel import LOG, RELEASES, Digest, Event, Map, MemberId, PersonId, mapping, without
from domain.register import facts
from domain.register.facts import Fact, Standing
from domain.register.state import (
    Credit,
    Decided,
    Expected,
    Link,
    Member,
    Person,
    Register,
    Release,
    Run,
    ServiceKey,
    Steering,
    Substitute,
    Term,
    Unreached,
    Vote,
    shares,
)

if TYPE_CHECKING:
    from typing_extensions import TypeIs

REGISTER_VERSION: Final = 19
"""Raised whenever the register is made of other fields or classes, or the same facts make another one: stored ones of another version are not read."""

_FACTS: Final = frozenset(get_args(Fact))
_OF_PERSONS: Final = frozenset(get_args(facts.PersonFact))
_OF_MEMBERS: Final = frozenset(get_args(facts.MemberFact))
_OF_MONEY: Final = frozenset(get_args(facts.MoneyFact))
_OF_DECISIONS: Final = frozenset(get_args(facts.DecisionFact))
_OF_MODELS: Final = frozenset(get_args(facts.ModelFact))

FACT_KINDS: Final = frozenset(str(fact.model_fields["kind"].default) for fact in _FACTS)
"""What the register holds, by the kind of the event."""


def is_fact(event: Event) -> bool:
    """Whether an event is a fact of the register; every other one leaves it as it is."""
    return type(event) in _FACTS


def note(register: Register, event: Event) -> Register:
    """The register after any event."""
    return evolve(register, cast(Fact, event)) if type(event) in _FACTS else register


def evolve(register: Register, fact: Fact) -> Register:
    """The register after a fact."""
    if _is_of_money(fact):
        return _of_money(register, fact)
    if _is_of_members(fact):
        return _of_members(register, fact)
    if _is_of_persons(fact):
        return _of_persons(register, fact)
    if _is_of_decisions(fact):
        return _of_decisions(register, fact)
    if _is_of_models(fact):
        return _of_models(register, fact)
    return _of_log(register, fact)


def _is_of_persons(fact: Fact) -> TypeIs[facts.PersonFact]:
    return type(fact) in _OF_PERSONS


def _is_of_members(fact: Fact) -> TypeIs[facts.MemberFact]:
    return type(fact) in _OF_MEMBERS


def _is_of_money(fact: Fact) -> TypeIs[facts.MoneyFact]:
    return type(fact) in _OF_MONEY


def _is_of_decisions(fact: Fact) -> TypeIs[facts.DecisionFact]:
    return type(fact) in _OF_DECISIONS


def _is_of_models(fact: Fact) -> TypeIs[facts.ModelFact]:
    return type(fact) in _OF_MODELS


# ---------------------------------------------------------------- persons


def _of_persons(register: Register, fact: facts.PersonFact) -> Register:
    match fact:
        case facts.OfficeGranted(person=person, office=office):
            before = register.people.get(person, Person())
            return _with_person(register, person, before._replace(offices=before.offices | {office}))
        case facts.OfficeRevoked(person=person, office=office):
            before = register.people.get(person, Person())
            return _with_person(register, person, before._replace(offices=before.offices - {office}))
        case facts.KeyEnrolled(person=person, public_key=key):
            before = register.people.get(person, Person())
            register = register._replace(keyholders=register.keyholders.set(key, person))
            return _with_person(register, person, before._replace(keys=before.keys | {key}))
        case facts.KeyRevoked(person=person, public_key=key, cause=cause):
            before = register.people.get(person, Person())
            if not cause and register.keyholders.get(key) == person:
                register = register._replace(keyholders=register.keyholders.delete(key))
            if cause in facts.ENDED_FOR_GOOD:
                register = register._replace(ended_keys=register.ended_keys.set(key, cause))
            return _with_person(register, person, before._replace(keys=before.keys - {key}))
        case facts.RepresentativeSeated(person=person, member=member, capacity=capacity, at=at):
            before = register.people.get(person, Person())
            terms = (*_end_term(register.terms.get(member, ()), person, at), Term(person, capacity, at, None))
            register = register._replace(terms=register.terms.set(member, terms))
            return _with_person(register, person, before._replace(speaks_for=before.speaks_for.set(member, capacity)))
        case facts.RepresentativeUnseated(person=person, member=member, at=at):
            before = register.people[person]
            register = register._replace(terms=register.terms.set(member, _end_term(register.terms.get(member, ()), person, at)))
            return _with_person(register, person, before._replace(speaks_for=before.speaks_for.delete(member)))
        case facts.SubstituteNamed(person=person, substitute=substitute, offices=offices, members=members, since=since, until=until):
            named = Substitute(substitute, frozenset(offices), frozenset(members), since, until)
            return _with_substitutes(register, person, substitute, named)
        case facts.SubstituteWithdrawn(person=person, substitute=substitute):
            return _with_substitutes(register, person, substitute)


def _with_substitutes(register: Register, person: PersonId, substitute: PersonId, *named: Substitute) -> Register:
    others = (each for each in register.substitutes.get(person, ()) if each.person != substitute)
    return register._replace(substitutes=register.substitutes.set(person, (*others, *named)))


def _with_person(register: Register, id_: PersonId, person: Person) -> Register:
    return register._replace(people=register.people.set(id_, person))


def _end_term(terms: Iterable[Term], person: PersonId, at: datetime) -> tuple[Term, ...]:
    return tuple(term._replace(until=at) if term.person == person and term.until is None else term for term in terms)


# ---------------------------------------------------------------- members


def _of_members(register: Register, fact: facts.MemberFact) -> Register:
    match fact:
        case facts.MemberActivated(member=member, name=name, tier=tier, country=country, at=at):
            register = register._replace(reserved=without(register.reserved, member), applicants=without(register.applicants, member))
            return _regroup_around(_with_member(register, Member(member, name, tier, country, at, Standing.ACTIVE)), member)
        case facts.MemberSuspended(member=member, cause=cause):
            before = register.members[member]
            standing = Standing.LEAVING if before.standing is Standing.LEAVING else Standing.SUSPENDED
            return _with_member(register, before._replace(standing=standing, causes=before.causes | {cause}))
        case facts.MemberReinstated(member=member):
            before = register.members[member]
            standing = Standing.LEAVING if before.standing is Standing.LEAVING else Standing.ACTIVE
            return _with_member(register, before._replace(standing=standing, causes=frozenset()))
        case facts.MemberDeparting(member=member, leaves_at=leaves_at, keeps_access=keeps_access, at=at):
            before = register.members[member]
            since = before.leaving_since if before.standing is Standing.LEAVING else at
            leaving = before._replace(standing=Standing.LEAVING, leaves_at=leaves_at, keeps_access=keeps_access, leaving_since=since)
            return _with_member(register, leaving)
        case facts.MemberStaying(member=member):
            before = register.members[member]
            standing = Standing.SUSPENDED if before.causes else Standing.ACTIVE
            return _with_member(register, before._replace(standing=standing, leaves_at=None, keeps_access=False, leaving_since=None))
        case facts.MemberDeparted(member=member):
            return _regroup_around(_with_member(register, register.members[member]._replace(standing=Standing.GONE)), member)
        case facts.OwnershipDeclared(member=member, holdings=holdings):
            if not holdings and member not in register.holdings:
                return register
            return _regroup_around(register._replace(holdings=register.holdings.set(member, holdings)), member)
        case facts.LegalEntityNamed(member=member, lei=lei):
            register = register._replace(entities=register.entities.set(lei, member))
            return register._replace(applicants=register.applicants.set(member, lei))
        case facts.LegalEntityReleased(lei=lei):
            return _release_entity(register, lei)
        case facts.TierReserved(member=member, tier=tier):
            register = register._replace(applicants=without(register.applicants, member))
            return register._replace(reserved=register.reserved.set(member, tier))
        case facts.TierChanged(member=member, tier=tier):
            register = register._replace(reserved=without(register.reserved, member))
            return _with_member(register, register.members[member]._replace(tier=tier))


def _with_member(register: Register, member: Member) -> Register:
    return register._replace(members=register.members.set(member.id, member))


def _release_entity(register: Register, lei: str) -> Register:
    member = register.entities[lei]
    register = register._replace(
        entities=register.entities.delete(lei),
        reserved=without(register.reserved, member),
        applicants=without(register.applicants, member),
    )
    if member not in register.holdings:
        return register
    return _regroup(register._replace(holdings=register.holdings.delete(member)))


def _regroup_around(register: Register, member: MemberId) -> Register:
    """The register after a change of who a member is related to; one that declared nothing is related by others' word only."""
    return _regroup(register) if member in register.holdings else register


def _regroup(register: Register) -> Register:
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
    return register._replace(groups=mapping(groups))


# ---------------------------------------------------------------- money


def _of_money(register: Register, fact: facts.MoneyFact) -> Register:
    match fact:
        case facts.CommitmentBound(member=member, source=source, amount=amount):
            return register._replace(commitments=_set_amount(register.commitments, member, source, amount))
        case facts.CommitmentKept(member=member, source=source, amount=amount):
            return register._replace(still_bound=_set_amount(register.still_bound, member, source, amount))
        case facts.DebtStated(member=member, source=source, amount=amount):
            return register._replace(debts=_set_amount(register.debts, member, source, amount))
        case facts.CreditStated():
            return register._replace(credits=_with_credit(register.credits, fact))
        case facts.ContributionCleared(member=member, source=source, amount=amount):
            return _contribute(register, member, source, amount)
        case facts.BankReferenceUsed(reference=reference, source=source):
            return register._replace(references=register.references.set(reference, source))
        case facts.PaymentExpected(reference=reference, stream=stream, member=member):
            return register._replace(expected=register.expected.set(reference, Expected(stream, member)))
        case facts.ContributionReturned(member=member, source=source, amount=amount):
            return _contribute(register, member, source, -amount)
        case facts.PayeeLinked(payee=payee, members=members, entities=entities, accounts=accounts):
            return register._replace(payees=register.payees.set(payee, Link(members, entities, accounts)))
        case facts.EvidenceUsed(evidence=evidence, source=source):
            return register._replace(evidence=register.evidence.set(evidence, source))


def _contribute(register: Register, member: MemberId, source: str, amount: int) -> Register:
    return register._replace(
        cleared=register.cleared.set(member, register.cleared.get(member, 0) + amount),
        raised=register.raised.set(source, register.raised.get(source, 0) + amount),
    )


def _set_amount(amounts: Map[MemberId, Map[str, int]], member: MemberId, source: str, amount: int) -> Map[MemberId, Map[str, int]]:
    """The amounts with this one of a member on a stream; what is nothing is left out."""
    mine = amounts.get(member, mapping())
    mine = mine.set(source, amount) if amount else without(mine, source)
    return amounts.set(member, mine) if mine else without(amounts, member)


def _with_credit(credits_: Map[MemberId, Map[str, Credit]], stated: facts.CreditStated) -> Map[MemberId, Map[str, Credit]]:
    """The credits with this one of a member on a stream; what is nothing is left out."""
    credit = Credit(stated.payable, stated.refunding, stated.currency, stated.since)
    mine = credits_.get(stated.member, mapping())
    mine = mine.set(stated.source, credit) if credit.payable or credit.refunding else without(mine, stated.source)
    return credits_.set(stated.member, mine) if mine else without(credits_, stated.member)


# ---------------------------------------------------------------- charter and votes


def _of_decisions(register: Register, fact: facts.DecisionFact) -> Register:
    match fact:
        case facts.CharterAdopted(version=version, charter=charter):
            return _regroup(register._replace(version=version, charters=register.charters.set(version, charter)))
        case facts.MandateGranted(digest=digest):
            return register._replace(mandates=register.mandates.set(digest, (*register.mandates.get(digest, ()), fact)))
        case facts.MandateExercised(proposal=proposal, digest=digest) | facts.MandateWithdrawn(proposal=proposal, digest=digest):
            return _spend_mandate(register, proposal, digest)
        case facts.VoteDecided(proposal=proposal, concerns=concerns, passed=passed, yes=yes, no=no, effective_at=effective_at):
            return register._replace(votes=register.votes.set(proposal, Vote(concerns, passed, yes, no, effective_at)))


def _spend_mandate(register: Register, proposal: str, digest: Digest) -> Register:
    left = tuple(mandate for mandate in register.mandates.get(digest, ()) if mandate.proposal != proposal)
    return register._replace(mandates=register.mandates.set(digest, left) if left else without(register.mandates, digest))


# ---------------------------------------------------------------- runs and releases


def _of_models(register: Register, fact: facts.ModelFact) -> Register:
    match fact:
        case facts.RunReported():
            return register._replace(runs=register.runs.set(fact.run, _run(fact)))
        case facts.LeadNamed(run=run, lead=lead):
            return register._replace(leads=register.leads.set(run, lead))
        case facts.SuppliersNamed(run=run, suppliers=suppliers):
            return register._replace(suppliers=register.suppliers.set(run, suppliers))
        case facts.ContractSteered():
            return register._replace(steered=register.steered.set(fact.run, _steered(register.steered.get(fact.run, Steering()), fact)))
        case facts.ReleaseStaged():
            return register._replace(releases=register.releases.set(fact.release, _release(fact)))
        case facts.LeasesHeld(member=member, source=source, leases=leases):
            return register._replace(leases=_set_amount(register.leases, member, source, leases))


def _steered(before: Steering, fact: facts.ContractSteered) -> Steering:
    sizes, budgets = fact.parameters_millions, fact.budgets
    return Steering(
        Decided(sizes, fact.proposal) if sizes else before.parameters_millions,
        Decided(budgets, fact.proposal) if budgets else before.budget,
    )


def _run(fact: facts.RunReported) -> Run:
    return Run(
        fact.phase, fact.contract, fact.checkpoints_retained, fact.training_lead, fact.tokens, fact.checkpoints, fact.missing, fact.accepted
    )


def _release(fact: facts.ReleaseStaged) -> Release:
    return Release(fact.standing, fact.title, fact.run, fact.manifest, fact.openness_class, fact.at, fact.supersedes, fact.superseded_by)


# ---------------------------------------------------------------- the log itself


def _of_log(register: Register, fact: facts.LogFact) -> Register:
    match fact:
        case facts.ClockSet(clock=clock):
            return register._replace(clock=clock)
        case facts.TimeAccepted(until=until):
            return register._replace(time_accepted_until=until)
        case facts.LogKeyEnrolled(public_key=key, position=position):
            held = register.keyholders.set(key, LOG)
            return register._replace(keyholders=held, log_keys=register.log_keys.set(key, ServiceKey(position)))
        case facts.LogKeyRevoked(public_key=key, position=position):
            ended = register.log_keys[key]._replace(until=position)
            return register._replace(ended_keys=register.ended_keys.set(key, "revoked"), log_keys=register.log_keys.set(key, ended))
        case facts.ReleaseKeyEnrolled(public_key=key, position=position, fingerprint=fingerprint):
            held, enrolled = register.keyholders.set(key, RELEASES), ServiceKey(position, None, fingerprint)
            return register._replace(keyholders=held, release_keys=register.release_keys.set(key, enrolled))
        case facts.ReleaseKeyRevoked(public_key=key, position=position):
            ended = register.release_keys[key]._replace(until=position)
            return register._replace(ended_keys=register.ended_keys.set(key, "revoked"), release_keys=register.release_keys.set(key, ended))
        case facts.SigningBegun(position=position):
            return register._replace(signing_since=position)
        case facts.RecipientsUnreached():
            return register._replace(unreached=_count_unreached(register.unreached, fact))
        case facts.RecipientsReached(recipients=recipients):
            left = register.unreached
            for recipient in recipients:
                left = without(left, recipient)
            return register._replace(unreached=left)


def _count_unreached(unreached: Map[str, Unreached], fact: facts.RecipientsUnreached) -> Map[str, Unreached]:
    for recipient, reason in fact.recipients.items():
        before = unreached.get(recipient, Unreached(reason, 0, fact.at))
        unreached = unreached.set(recipient, Unreached(reason, before.notices + 1, before.since))
    return unreached
