"""What the topics of a membership share: the guards of its phases, notices, and the facts that several commands lead to.

A guard returns the phase in which a command has an effect. In any other phase it refuses the command; or it returns None, where the
command comes from a vote or another process and then changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from domain import letters, process
from domain.charter import Charter, MembershipTerms, days
from domain.kernel import RESERVED, MemberId, PersonId, Refused, mapping, notify, shown_at, tell
from domain.member import commands, events
from domain.member.state import (
    Active,
    Applying,
    Belonging,
    Dues,
    Ended,
    Identity,
    Invoice,
    Leaving,
    MemberState,
    Paying,
    Present,
    Reviewing,
    Screening,
    Signing,
    Unapplied,
    Voting,
)
from domain.member.terms import Cause, Delegate, Rung
from domain.money import display
from domain.process import Context
from domain.register.facts import (
    KeyEnrolled,
    KeyRevoked,
    LegalEntityReleased,
    MemberActivated,
    MemberDeparting,
    MemberReinstated,
    MemberSuspended,
    RepresentativeSeated,
    RepresentativeUnseated,
)
from domain.register.state import Person
from domain.stream import StepOwed, owe

Events = process.Events[events.MemberEvent]

# ---------------------------------------------------------------- phases


def unapplied(state: MemberState) -> Unapplied:
    """Refuses a second application under the handle."""
    match state:
        case Unapplied():
            return state
        case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
            raise Refused(
                "handle_taken", "there is an application under this handle", remedy="apply under another handle", clause="membership"
            )


def applying(state: MemberState) -> Applying:
    """Refuses what only an applicant may do."""
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return state
        case Unapplied() | Active() | Leaving() | Ended():
            raise _not_now("while the application is under way", "give notice instead, if you are a member", state)


def lapsing(state: MemberState) -> Applying:
    """The application whose deadline has come: no other phase has that deadline."""
    assert isinstance(state, Applying)
    return state


def screened(state: MemberState) -> Present | None:
    """Who the screening is about. None when the application or the membership ended before the list answered."""
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
            return state
        case Unapplied() | Ended():
            return None


def under_review(state: MemberState) -> Present:
    """Refuses a judgement when no hit waits for one."""
    match state:
        case Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() if state.identity.vetting.hits:
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
            raise _not_now("while a hit waits for a review", "`consortium show` tells whether one does", state)


def rescreenable(state: MemberState) -> Voting | Signing | Paying | Belonging:
    """Refuses a new screening before the first one is over, after the end, and while a hit waits for its review."""
    match state:
        case Voting() | Signing() | Paying() | Active() | Leaving() if not state.identity.vetting.hits:
            return state
        case Voting() | Signing() | Paying() | Active() | Leaving():
            raise _not_now("when no hit waits for a review", "judge that one first", state)
        case Unapplied() | Screening() | Reviewing() | Ended():
            raise _not_now("from the vote on", "an application is screened by itself", state)


def voting(state: MemberState) -> Voting | None:
    """The application that is voted on. None when there is none: the result of such a vote changes nothing."""
    match state:
        case Voting():
            return state
        case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
            return None


def unsigned(state: MemberState, actor: PersonId) -> Signing:
    """Refuses a signature before the admission, after the countersignature, and beside another person's."""
    match state:
        case Signing(signer=signer) if signer is None or signer == actor:
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
            raise _not_now("once, after the admission", "`consortium show` tells where the application stands", state)


def signed(state: MemberState) -> Signing:
    """Refuses a countersignature without a signature."""
    match state:
        case Signing(signer=str()):
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
            raise _not_now("when a representative has signed", "ask a representative to sign first", state)


def payable(state: MemberState) -> Paying | Belonging | None:
    """Who may pay dues. None before the first invoice, and from a member on notice who owes nothing."""
    match state:
        case Paying() | Active():
            return state
        case Leaving(dues=dues) if dues.open:
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Leaving() | Ended():
            return None


def reversible(state: MemberState) -> Paying | Belonging | None:
    """Whose payments the bank may still take back. None before the first invoice, and after the end."""
    match state:
        case Paying() | Active() | Leaving():
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Ended():
            return None


def owing(state: MemberState) -> Belonging:
    """Refuses what only a member with open dues needs."""
    match state:
        case Active(dues=dues) | Leaving(dues=dues) if dues.open:
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
            raise _not_now("while a member owes dues", "nothing is needed", state)


def on_ladder(state: MemberState) -> Belonging:
    """The member whose dues reach the next rung: no other phase has that deadline."""
    assert isinstance(state, Belonging)
    return state


def present(state: MemberState) -> Present:
    """Refuses what may be done at any time between the application and the end."""
    match state:
        case Unapplied() | Ended():
            raise _not_now("between the application and the end", "`consortium show` tells where it stands", state)
        case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
            return state


def active(state: MemberState) -> Active:
    """Refuses what only a member may do that is not on notice."""
    match state:
        case Active():
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
            raise _not_now("while it is a member", "withdraw the application and apply for another tier", state)


def able_to_leave(state: MemberState) -> Belonging:
    """Refuses notice by an applicant, or after the end."""
    match state:
        case Active() | Leaving():
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
            raise _not_now("while it is a member", "withdraw the application instead", state)


def belonging(state: MemberState) -> Belonging | None:
    """The member, also on notice. None before the activation and after the end: a default or a vote then changes nothing."""
    match state:
        case Active() | Leaving():
            return state
        case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
            return None


# ---------------------------------------------------------------- refusals


def _not_now(when: str, remedy: str, state: MemberState) -> Refused:
    """The refusal of a command in another phase; the message begins with the present one."""
    if isinstance(state, Unapplied):
        remedy = "check it against `consortium members`, or apply (`consortium member apply`)"
    return Refused("not_in_this_phase", f"{_phase_in_words(state)}; this is done {when}", remedy=remedy, clause="membership")


def _phase_in_words(state: MemberState) -> str:
    """The present phase in words."""
    match state:
        case Unapplied():
            return "nobody has applied under this handle"
        case Screening():
            return "its application is being screened"
        case Reviewing():
            return "its screening waits for a review"
        case Voting(proposal=proposal):
            return f"its admission is voted on in {proposal}"
        case Signing(signer=None):
            return "it is admitted, and has not signed the agreement"
        case Signing():
            return "the agreement is signed, and waits for its countersignature"
        case Paying():
            return "the agreement is signed, and its first dues are waited for"
        case Active():
            return "it is a member"
        case Leaving(ends_at=ends_at):
            return f"its membership ends, not before {shown_at(ends_at)}"
        case Ended(outcome=outcome):
            return f"this is over: {outcome}"


def own_case(context: Context, member: MemberId, clause: str = "membership") -> Refused:
    """The refusal of a person who would decide for both sides."""
    return Refused("own_case", f"{context.actor} stands on the side of {member}", remedy="ask somebody else who may do this", clause=clause)


def require_in_time(until: datetime, context: Context) -> None:
    """Refuses what comes after the application's time, also before the deadline's command is recorded."""
    if context.at >= until:
        raise Refused(
            "too_late",
            f"the application's time ended at {shown_at(until)}",
            remedy="apply again, under another handle",
            clause="membership",
        )


def require_new(delegate: Delegate | commands.SeatRepresentative, member: MemberId, context: Context) -> None:
    """Refuses a handle that speaks for another member or holds an office: whoever names it here may mean another person.

    On a signed log the key tells who is meant: somebody whom the log knows comes with a key that is or was theirs. Only a member for which they
    spoke before names them with another one, when they have none left.
    """
    person, register = delegate.person, context.register
    other = register.people.get(person)
    if person in RESERVED:
        raise Refused("person_reserved", f"{person} is no person here", remedy="choose another handle", clause="membership")
    if not register.knows(person):
        return
    if other is None or other.offices or any(each != member for each in other.speaks_for) or _other_key(delegate, other, member, context):
        raise Refused(
            "person_taken", f"{person} is another person on this log", remedy="choose a handle that nobody has", clause="membership"
        )


def _other_key(delegate: Delegate | commands.SeatRepresentative, other: Person, member: MemberId, context: Context) -> bool:
    """Whether a key is named that never was this person's, and that nobody who may do so puts in the place of those that ended."""
    register, key = context.register, delegate.public_key
    if not register.signing or key is None or register.knows_key(delegate.person, key):
        return False
    spoke_for_it = any(term.person == delegate.person for term in register.terms.get(member, ()))
    return bool(other.keys) or not spoke_for_it


def require_seat_in(tier: str, member: MemberId, context: Context) -> None:
    """Refuses a tier that the charter does not have, or of which all seats are taken or reserved."""
    terms = context.charter.tiers.get(tier)
    if terms is None:
        raise Refused(
            "unknown_tier",
            f"the charter has no tier {tier}",
            clause="tiers",
            remedy=f"ask for one of {', '.join(sorted(context.charter.tiers))}",
        )
    if len(context.register.tiers().get(tier, frozenset()) - {member}) >= terms.seats:
        raise Refused(
            "tier_full",
            f"all {terms.seats} seats of {tier} are taken",
            clause=f"tiers.{tier}",
            remedy="ask for another tier, or wait until a seat is free or an amendment adds one",
        )


# ---------------------------------------------------------------- notices and letters


def charter_of(identity: Identity, context: Context) -> Charter:
    """The charter version that it applied under."""
    return context.register.charters[identity.charter]


def settle_oldest(invoices: Iterable[Invoice], amount: int) -> tuple[dict[str, int], int]:
    """How much of each invoice an amount pays, by the invoice's number, in the order given; and what is left of the amount."""
    parts: dict[str, int] = {}
    for invoice in invoices:
        part = min(amount, invoice.owed)
        if part:
            parts[str(invoice.number)] = part
        amount -= part
    return parts, amount


def display_dues(amount: int, context: Context) -> str:
    """An amount of dues, for people: they are in the consortium's currency."""
    return display(amount, context.charter.currency)


def owe_notice(template: str, identity: Identity, *to: str, key: str = "", **facts: str | int) -> StepOwed:
    """The step that sends a notice to the member, or to those that `to` names."""
    return owe(notify(template, to or (f"member:{identity.member}",), key=f"notice:{key or template}", name=identity.name, **facts))


def parting_recipients(identity: Identity) -> tuple[str, ...]:
    """The recipients of a notice of the end: also each person by name, since nobody speaks for the member any more when it is sent."""
    return (f"member:{identity.member}", *sorted(identity.delegates))


def end_leases(member: MemberId, why: str, context: Context) -> Sequence[StepOwed]:
    """A letter to each release that leases something to the member: early access ends with the rights that it came from."""
    return tuple(
        owe(tell(release, letters.EndLeases(member=member), key=f"tell:{release}:{why[:32]}:{context.at.isoformat()}"))
        for release in sorted(context.register.leases.get(member, mapping()))
    )


# ---------------------------------------------------------------- who speaks for it


def seat_person(member: MemberId, delegate: Delegate | commands.SeatRepresentative, context: Context) -> Events:
    """A person speaks for the member from now on, with the key given; on a signed log nobody speaks without one."""
    seat = RepresentativeSeated(member=member, person=delegate.person, capacity=delegate.capacity, at=context.at)
    keys = context.register.people.get(delegate.person, Person()).keys
    if delegate.public_key in keys or (delegate.public_key is None and (keys or not context.register.signing)):
        return (seat,)
    return (seat, KeyEnrolled(person=delegate.person, public_key=context.require_key(delegate.person, delegate.public_key)))


def unseat_person(member: MemberId, person: PersonId, context: Context, *, vacated_by: PersonId | None = None) -> Events:
    """A person no longer speaks for the member; if they have no other role, their keys are revoked."""
    keys = context.register.keys_left(person, member)
    return (
        RepresentativeUnseated(member=member, person=person, at=context.at, vacated_by=vacated_by),
        *(KeyRevoked(person=person, public_key=key, cause="left") for key in keys),
    )


def release_identity(identity: Identity, context: Context) -> Events:
    """Nobody speaks for it any more; the legal entity and its persons are free to apply under another handle."""
    return (
        *(event for person in sorted(identity.delegates) for event in unseat_person(identity.member, person, context)),
        LegalEntityReleased(lei=identity.lei),
    )


def begin_vacancy(identity: Identity, context: Context) -> Events:
    """The last representative is gone: the member has to name another in time."""
    name_by = context.at + days(identity.terms.vacancy_days)
    key = f"seat-vacated:{context.at.isoformat()}"
    notice = owe_notice("seat-vacated", identity, f"member:{identity.member}", "office:secretariat", key=key, name_by=name_by.isoformat())
    return (events.SeatVacated(name_by=name_by), notice)


# ---------------------------------------------------------------- the ladder of good standing


def rungs(terms: MembershipTerms) -> Sequence[tuple[Rung, int]]:
    """The rungs in their order, each with how many days overdue reach it."""
    return (
        (Rung.NOTICE, terms.notice_overdue_days),
        (Rung.SUSPENDED, terms.suspended_overdue_days),
        (Rung.TERMINATION_NOTICE, terms.termination_notice_overdue_days),
        (Rung.TERMINATED, terms.terminated_overdue_days),
    )


def in_good_standing(dues: Dues, terms: MembershipTerms, context: Context) -> bool:
    """Whether no invoice suspends the member: neither a rung that was reached, nor the time that has passed."""
    if not dues.open:
        return True
    below = all(rung is not Rung.SUSPENDED for rung, _ in rungs(terms)[: dues.rung])
    return below and context.at < dues.open[0].overdue_from + days(terms.suspended_overdue_days)


# ---------------------------------------------------------------- standing


def activate(identity: Identity, context: Context) -> Events:
    """All rights of its tier, for the first time."""
    return (
        MemberActivated(member=identity.member, name=identity.name, tier=identity.tier, country=identity.country, at=context.at),
        owe_notice("member-active", identity),
        *(() if identity.represented else begin_vacancy(identity, context)),
    )


def suspend(state: Belonging, cause: str, context: Context) -> Events:
    """The member's rights rest for this cause; a repeat changes nothing."""
    if cause in state.causes:
        return ()
    return (MemberSuspended(member=state.identity.member, cause=cause), *end_leases(state.identity.member, cause, context))


def lift_suspension(state: Belonging, cause: str) -> Events:
    """The cause is gone; with the last one the member has exactly its former rights again."""
    if cause not in state.causes:
        return ()
    lift = events.SuspensionLifted(cause=cause)
    return (lift,) if state.causes - {cause} else (lift, MemberReinstated(member=state.identity.member))


def begin_departure(state: Belonging, cause: Cause, leaves_at: datetime, context: Context) -> Events:
    """The notice begins: rounds release what they have not called; dues, and what was called, stay owed until they are paid.

    A second departure for the same cause, as from a second vote to expel, changes nothing; one for another cause takes its place.
    """
    if isinstance(state, Leaving) and state.cause == cause:
        return ()
    identity, member = state.identity, state.identity.member
    rounds: Mapping[str, int] = context.register.commitments.get(member, mapping())
    return (
        events.DepartureBegun(cause=cause),
        MemberDeparting(member=member, leaves_at=leaves_at, keeps_access=cause == "left", at=context.at),
        *ask_release(identity, cause, rounds, notice_over=leaves_at <= context.at),
        *end_leases(member, cause, context),
        owe_notice(
            "departure",
            identity,
            f"member:{member}",
            "office:secretariat",
            key=f"departure:{_departure_label(identity, cause)}",
            leaves_at=leaves_at.isoformat(),
        ),
    )


def ask_release(identity: Identity, why: str, rounds: Iterable[str], *, notice_over: bool) -> Iterator[StepOwed]:
    """A letter to each of these rounds: the member leaves. Each notice, and its end, has letters of its own."""
    letter = letters.ReleaseLeaver(member=identity.member, notice_over=notice_over)
    return (owe(tell(source, letter, key=f"tell:{source}:{_departure_label(identity, why)}")) for source in sorted(rounds))


def _departure_label(identity: Identity, why: str) -> str:
    return f"{why}:{identity.stayed + 1}" if identity.stayed else why
