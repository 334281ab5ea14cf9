"""Memberships, `member/<slug>`: from the application to the last duty of one who left.

screening → (review) → voting → signing → paying → active ⇄ suspended → leaving → left | terminated | expelled
and before that: rejected | lapsed | withdrawn

What is stored for ever is in `membership_messages`, and how it is kept in `membership_state`; what follows from a command is
in `membership_joining` and `membership_dues`, and here. A hit of the screening never rejects by itself: it opens a review. A
member's rights rest for as long as any cause stands, and come back exactly as they were when the last one is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256

from domain import letters
from domain.charter import Charter, days
from domain.kernel import MemberId, PersonId, Refused, asked_in, mapping, notify, shown_at, slug_of, tell
from domain.member import commands, events
from domain.member.state import (
    Active,
    Belonging,
    Ended,
    Identity,
    Leaving,
    MemberState,
    Paying,
    Reviewing,
    Screening,
    Signing,
    Unapplied,
    Voting,
)
from domain.member.terms import Cause, Delegate
from domain.process import Context, StepOwed, owe
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


def identified(state: MemberState) -> Identity:
    """Who it is, for what may be done at any time of a membership."""
    match state:
        case Unapplied() | Ended():
            raise not_now("between the application and the end", "`consortium show` tells where it stands", state)
        case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
            return state.identity


def default_of(source: str) -> str:
    """The cause of a suspension that belongs to this round alone; a long name is told apart by its digest."""
    cause = f"default-{slug_of(source)}"
    return cause if len(cause) <= 64 else f"{cause[:47].rstrip('-')}-{sha256(source.encode()).hexdigest()[:16]}"


Events = Sequence[events.MemberEvent | StepOwed]

# ---------------------------------------------------------------- refusals


def not_now(when: str, remedy: str, state: MemberState) -> Refused:
    """The refusal of what is done in another phase: it says first where the membership is."""
    if isinstance(state, Unapplied):
        remedy = "check it against `consortium members`, or apply (`consortium member apply`)"
    return Refused("not_in_this_phase", f"{_stands(state)}; this is done {when}", remedy=remedy, clause="membership")


def _stands(state: MemberState) -> str:
    """Where the membership is, in words."""
    match state:
        case Unapplied():
            return "nobody has applied under this handle"
        case Screening():
            return "its application is being screened"
        case Reviewing():
            return "its screening waits for a review"
        case Voting(identity=identity):
            return f"its admission is voted on in {asked_in('admit', identity.member)}"
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
    """The refusal of one who would decide for both sides."""
    return Refused("own_case", f"{context.actor} stands on the side of {member}", remedy="ask somebody else who may do this", clause=clause)


def require_due(at: datetime, context: Context) -> None:
    """Refuses a deadline's command before its time."""
    if context.at < at:
        raise Refused("not_due", f"this comes at {shown_at(at)}", remedy="wait: the system gives it when it is due")


def require_in_time(until: datetime, context: Context) -> None:
    """Refuses what comes after the end of its time, even while the deadline's own command is late."""
    if context.at >= until:
        raise Refused(
            "too_late",
            f"the application's time ended at {shown_at(until)}",
            remedy="apply again, under another handle",
            clause="membership",
        )


def require_new(person: PersonId, member: MemberId, context: Context) -> None:
    """A handle that already speaks for somebody else, or holds an office, cannot be claimed by another person."""
    known = context.register.people.get(person)
    if context.register.knows(person) and (known is None or known.offices or any(other != member for other in known.speaks_for)):
        raise Refused(
            "person_taken", f"{person} is another person on this log", remedy="choose a handle that nobody has", clause="membership"
        )


def require_seat_in(tier: str, member: MemberId, context: Context) -> None:
    """Refuses a tier that the charter does not have, or whose seats others have or have been promised."""
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


# ---------------------------------------------------------------- telling


def charter_of(identity: Identity, context: Context) -> Charter:
    """The charter version that it applied under."""
    return context.register.charters[identity.charter]


def note(template: str, identity: Identity, *to: str, key: str = "", **facts: str | int) -> StepOwed:
    """The step that tells the member, unless `to` names others."""
    return owe(notify(template, to or (f"member:{identity.member}",), key=f"notice:{key or template}", name=identity.name, **facts))


def farewell(identity: Identity) -> tuple[str, ...]:
    """Whom to tell of the end: the persons by name, since nobody speaks for the member any more when the notice goes out."""
    return (f"member:{identity.member}", *sorted(identity.delegates))


def leases_looked_at(member: MemberId, why: str, context: Context) -> Sequence[StepOwed]:
    """Early access ends with the rights it came from: each release that gave the member some is told to look."""
    return tuple(
        owe(tell(release, letters.EndLeases(member=member), key=f"tell:{release}:{why[:32]}:{context.at.isoformat()}"))
        for release in sorted(context.register.leases.get(member, mapping()))
    )


# ---------------------------------------------------------------- who speaks for it


def seated(member: MemberId, delegate: Delegate | commands.SeatRepresentative, context: Context) -> Events:
    """A person speaks for the member from now on, with the key given."""
    seat = RepresentativeSeated(member=member, person=delegate.person, capacity=delegate.capacity, at=context.at)
    if delegate.public_key is None:
        return (seat,)
    context.register.require_free(delegate.public_key, delegate.person)
    return (seat, KeyEnrolled(person=delegate.person, public_key=delegate.public_key))


def unseated(member: MemberId, person: PersonId, context: Context, *, vacated_by: PersonId | None = None) -> Events:
    """A person speaks for the member no longer; without any role left, their keys speak for nobody."""
    keys = context.register.keys_left(person, member)
    return (
        RepresentativeUnseated(member=member, person=person, at=context.at, vacated_by=vacated_by),
        *(KeyRevoked(person=person, public_key=key) for key in keys),
    )


def released(identity: Identity, context: Context) -> Events:
    """Nobody speaks for it any more; entity and persons are free to apply under another handle."""
    return (
        *(event for person in sorted(identity.delegates) for event in unseated(identity.member, person, context)),
        LegalEntityReleased(lei=identity.lei),
    )


def vacated(identity: Identity, context: Context) -> Events:
    """A member without a representative has to name one."""
    name_by = context.at + days(identity.terms.vacancy_days)
    key = f"seat-vacated:{context.at.isoformat()}"
    told = note("seat-vacated", identity, f"member:{identity.member}", "office:secretariat", key=key, name_by=name_by.isoformat())
    return (events.SeatVacated(name_by=name_by), told)


# ---------------------------------------------------------------- standing


def activated(identity: Identity, context: Context) -> Events:
    """All rights of its tier, for the first time."""
    return (
        MemberActivated(member=identity.member, name=identity.name, tier=identity.tier, country=identity.country, at=context.at),
        note("member-active", identity),
        *(() if identity.represented else vacated(identity, context)),
    )


def suspended(state: Belonging, cause: str, context: Context) -> Events:
    """One cause more; a repeat changes nothing."""
    if cause in state.causes:
        return ()
    return (MemberSuspended(member=state.identity.member, cause=cause), *leases_looked_at(state.identity.member, cause, context))


def lifted(state: Belonging, cause: str) -> Events:
    """One cause less; without any the member has exactly its former rights."""
    if cause not in state.causes:
        return ()
    lift = events.SuspensionLifted(cause=cause)
    return (lift,) if state.causes - {cause} else (lift, MemberReinstated(member=state.identity.member))


def departing(state: Belonging, cause: Cause, leaves_at: datetime, context: Context) -> Events:
    """Notice is given: rounds let go what was not called; dues, and what was called, stay owed until they are paid.

    Given again for the same cause, as a vote to expel can be, it changes nothing.
    """
    if isinstance(state, Leaving) and state.cause == cause:
        return ()
    identity, member = state.identity, state.identity.member
    rounds: Mapping[str, int] = context.register.commitments.get(member, mapping())
    return (
        events.DepartureBegun(cause=cause),
        MemberDeparting(member=member, leaves_at=leaves_at, keeps_access=cause == "left"),
        *(owe(tell(source, letters.ReleaseLeaver(member=member), key=f"tell:{source}:{cause}")) for source in sorted(rounds)),
        *leases_looked_at(member, cause, context),
        note("departure", identity, f"member:{member}", "office:secretariat", key=f"departure:{cause}", leaves_at=leaves_at.isoformat()),
    )
