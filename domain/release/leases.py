"""Early access: leases of a member's named persons, opened at publishers never early and closed never late.

After every decision on a release its leases are brought up to date (`tend`): each opens when its time has come and the stage of
early access is published, and ends with its time, with the member's rights, or when the files are everybody's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

from domain.charter import Office, ReleaseTerms
from domain.kernel import SERVICE, MemberId, PersonId, Refused, Step, mapping, slug_of
from domain.process import Context
from domain.register.facts import LeasesHeld
from domain.release import commands, events, steps
from domain.release.gates import rules_of
from domain.release.parts import Lease, Release
from domain.release.rules import Events
from domain.release.state import (
    Abandoned,
    Held,
    Pending,
    Proposed,
    Public,
    Recalled,
    ReleaseState,
    Staged,
    Superseded,
    Unproposed,
)
from domain.release.terms import Stage
from domain.stream import StepEvent, StepOwed, owe

Cause = Literal["over", "revoked", "member", "seat", "public", "withdrawn"]

EARLY: Final = frozenset({Stage.MEMBERS, Stage.GATED})
"""The stages in which leases open."""

# ---------------------------------------------------------------- granting and revoking


def grant(state: Pending | Held, command: commands.GrantLease, context: Context) -> Events:
    """A lease is agreed; it opens when its time comes."""
    release, rules = state.release, rules_of(state.release, context.register)
    basis: Literal["named", "speaks-for"] = "named" if context.register.speaks_for(context.actor, command.member) else "speaks-for"
    persons = tuple(sorted(set(command.persons)))
    if basis == "speaks-for":
        context.require_office(Office.RELEASE_MANAGER, clause="release")
        _require_named(persons, command, context)
    if _granted_before(release, command, persons):
        return ()
    context.require_active(command.member)
    if command.lease in release.leases or command.lease in release.ended:
        raise Refused("lease_exists", f"there is, or was, another lease {command.lease}", remedy="choose another id")
    starts_at = command.starts_at or context.at
    ends_at = command.ends_at or starts_at + timedelta(days=rules.lease_days)
    _require_span(starts_at, ends_at, rules, context)
    _require_room(release, command, persons, rules)
    check_at = release.check_at if release.leases and release.check_at else context.at + timedelta(hours=rules.lease_check_hours)
    granted = events.LeaseGranted(
        lease=command.lease,
        member=command.member,
        persons=persons,
        starts_at=starts_at,
        ends_at=ends_at,
        basis=basis,
        by=context.actor,
        check_at=check_at,
    )
    return (granted,)


def _require_named(persons: Sequence[str], command: commands.GrantLease, context: Context) -> None:
    strangers = [person for person in persons if not context.register.speaks_for(person, command.member)]
    if strangers:
        raise Refused(
            "person_not_named",
            f"{', '.join(strangers[:5])} do not speak for {command.member}",
            clause="release",
            remedy=f"let a representative of {command.member} name them",
        )


def _granted_before(release: Release, command: commands.GrantLease, persons: Sequence[str]) -> bool:
    lease = release.leases.get(command.lease)
    return (
        lease is not None
        and (lease.member, lease.persons) == (command.member, persons)
        and command.starts_at in {None, lease.starts_at}
        and command.ends_at in {None, lease.ends_at}
    )


def _require_span(starts_at: datetime, ends_at: datetime, rules: ReleaseTerms, context: Context) -> None:
    if ends_at <= max(starts_at, context.at):
        raise Refused("lease_ends_before_it_starts", "its end is over, or not after its start", remedy="name a later end")
    if ends_at - starts_at > timedelta(days=rules.lease_days):
        raise Refused(
            "lease_too_long",
            f"early access lasts at most {rules.lease_days} days",
            remedy="name an earlier end",
            clause="release.lease_days",
        )


def _require_room(release: Release, command: commands.GrantLease, persons: Sequence[str], rules: ReleaseTerms) -> None:
    mine = [lease for lease in release.leases.values() if lease.member == command.member]
    named = {person for lease in mine for person in lease.persons} | set(persons)
    if len(named) > rules.lease_persons or len(mine) >= rules.lease_persons:
        raise Refused(
            "too_many_persons",
            f"{command.member} would have {len(named)} persons in {len(mine) + 1} leases, the charter allows {rules.lease_persons}",
            remedy="revoke a lease first",
            clause="release.lease_persons",
        )


def revoke(state: Proposed, command: commands.RevokeLease, context: Context) -> Events:
    """The lease ends now, whether it was open or not."""
    lease = state.release.leases.get(command.lease)
    if lease is None:
        if command.lease in state.release.ended:
            return ()
        raise Refused("no_such_lease", f"there is no lease {command.lease}", remedy="`consortium show release/…` lists them")
    if not context.register.speaks_for(context.actor, lease.member):
        context.require_office(Office.RELEASE_MANAGER, Office.SAFETY_REVIEWER, clause="release")
    return _end(command.lease, lease, "revoked", context)


# ---------------------------------------------------------------- opening and closing


def tend(state: ReleaseState, context: Context) -> Events:
    """What follows for the leases now: which end, which are suspended, which open."""
    if isinstance(state, Unproposed):
        return ()
    return tuple(event for name, lease in sorted(state.release.leases.items()) for event in _tend(state, name, lease, context))


def count(before: ReleaseState, after: ReleaseState, stream: str) -> Sequence[LeasesHeld]:
    """The facts for the register: how many leases each member has whose number changed."""
    old, new = _by_member(before), _by_member(after)
    return tuple(
        LeasesHeld(member=member, source=stream, leases=new[member])
        for member in sorted(old.keys() | new.keys())
        if old[member] != new[member]
    )


def _by_member(state: ReleaseState) -> Counter[MemberId]:
    return Counter() if isinstance(state, Unproposed) else Counter(lease.member for lease in state.release.leases.values())


def mind(state: Proposed, context: Context) -> Events:
    """Members are looked at when that is due; at another instant of a lease nothing follows but what `tend` finds."""
    release = state.release
    if release.check_at is None or context.at < release.check_at:
        return ()
    return (events.LeasesMinded(check_at=context.at + timedelta(hours=rules_of(release, context.register).lease_check_hours)),)


def _tend(state: Proposed, name: str, lease: Lease, context: Context) -> Iterator[events.ReleaseEvent | StepEvent]:
    cause = _cause_of_end(state, lease, context)
    if cause is not None:
        yield from _end(name, lease, cause, context)
    elif lease.open and _suspends(state):
        yield events.LeaseSuspended(lease=name, cause="held" if isinstance(state, Held) else "amended", at=context.at)
        yield from _close_access(lease, context)
    else:
        persons = _entitled(lease, context)
        if persons != lease.persons:
            yield events.LeaseNarrowed(lease=name, persons=persons, at=context.at)
            yield from _close_access(lease, context)
            lease = replace(lease, persons=persons, open=mapping())
        yield from _open_access(state, name, lease, context)


def _entitled(lease: Lease, context: Context) -> tuple[PersonId, ...]:
    """Who has the lease still: whoever was let in because they speak for the member loses it with their seat."""
    if lease.basis == "named":
        return lease.persons
    return tuple(person for person in lease.persons if context.register.speaks_for(person, lease.member))


def _open_access(state: Proposed, name: str, lease: Lease, context: Context) -> Iterator[events.ReleaseEvent | StepOwed]:
    if lease.starts_at <= context.at:
        for number, publisher in enumerate(opening_at(state, lease), lease.openings + 1):
            opening = f"{name}-{number}"
            yield events.LeaseOpened(lease=name, publisher=publisher, opening=opening, at=context.at)
            yield owe(_access_step(lease, publisher, opening, f"open:{opening}:{publisher}", context))


def reopen(release: Release, publisher: str, context: Context) -> Events:
    """A publisher that publishes once more lets everybody in again: it may have lost who they were."""
    key = f"{publisher}:{release.renewals}"
    openings = ((lease, lease.open[publisher]) for _, lease in sorted(release.leases.items()) if publisher in lease.open)
    return tuple(owe(_access_step(lease, publisher, opening, f"open:{opening}:{key}", context)) for lease, opening in openings)


def _access_step(lease: Lease, publisher: str, opening: str, key: str, context: Context) -> Step:
    data = steps.OpenAccess(
        release=slug_of(context.stream),
        publisher=publisher,
        opening=opening,
        member=lease.member,
        persons=lease.persons,
        opens_at=context.at,
        until=lease.ends_at,
    )
    return Step(kind="open_access", key=key, data=data.model_dump(mode="json"))


def _cause_of_end(state: Proposed, lease: Lease, context: Context) -> Cause | None:
    """Why the lease is over, if it is."""
    register = context.register
    if lease.ends_at <= context.at:
        return "over"
    match state:
        case Pending() | Held():
            pass
        case Public(release=release) | Superseded(release=release):
            if all(_public_at(release, publisher) for publisher in release.terms.publishers):
                return "public"
        case Recalled() | Abandoned():
            return "withdrawn"
    if not register.reads_early(lease.member):
        return "member"
    if not _entitled(lease, context):
        return "seat"
    return None


def _public_at(release: Release, publisher: str) -> bool:
    publication = release.publications.get(publisher)
    return publication is not None and publication.stage is Stage.PUBLIC


def _suspends(state: Proposed) -> bool:
    """Whether nobody has early access now: by a hold that says so, or because the files are made anew."""
    match state:
        case Held(place=place, hold=hold):
            return hold.suspends_access or not isinstance(place, Staged)
        case Pending(place=place):
            return not isinstance(place, Staged)
        case Public() | Superseded() | Recalled() | Abandoned():
            return False


def opening_at(state: Proposed, lease: Lease) -> tuple[str, ...]:
    """The publishers that show the files for early access and have not let this lease's persons in; none while it is held."""
    match state:
        case Pending(release=release, place=Staged(stage=stage)) if stage in EARLY:
            return tuple(
                publisher
                for publisher, publication in sorted(release.publications.items())
                if publication.stage in EARLY and publisher not in lease.open
            )
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return ()


def record_opened(outcome: steps.AccessOpened) -> Events:
    """A publisher let the persons in."""
    return (events.AccessGiven(publisher=outcome.publisher, opening=outcome.opening),)


def record_closed(outcome: steps.AccessClosed) -> Events:
    """A publisher lets the persons in no longer."""
    return (events.AccessTaken(publisher=outcome.publisher, opening=outcome.opening),)


def _end(name: str, lease: Lease, cause: Cause, context: Context) -> Events:
    by = context.actor if cause == "revoked" else SERVICE
    return (events.LeaseEnded(lease=name, cause=cause, by=by, at=context.at), *_close_access(lease, context))


def _close_access(lease: Lease, context: Context) -> Iterator[StepOwed]:
    for publisher, opening in sorted(lease.open.items()):
        data = steps.CloseAccess(release=slug_of(context.stream), publisher=publisher, opening=opening)
        yield owe(Step(kind="close_access", key=f"close:{opening}:{publisher}", data=data.model_dump(mode="json")))


def next_instant(state: Proposed) -> datetime | None:
    """When leases must be looked at next."""
    release = state.release
    if not release.leases:
        return None
    instants = [lease.ends_at for lease in release.leases.values()]
    instants += [lease.starts_at for lease in release.leases.values() if opening_at(state, lease)]
    if release.check_at is not None:
        instants.append(release.check_at)
    return min(instants)
