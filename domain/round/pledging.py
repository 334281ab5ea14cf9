"""The rules from the announcement to the close: terms, pledges, the minimum, the extension and the allocation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from domain.charter import Office, days
from domain.kernel import WHOLE, MemberId, Refused, asked_in, holders, notify, shown_at, slug_of
from domain.money import display, percent
from domain.process import Context
from domain.register.facts import CommitmentBound, CommitmentKept, Standing
from domain.round import commands, events, rules
from domain.round.allocation import Promise, allocate, concentration, counted, part, summed
from domain.round.books import Books
from domain.round.consequences import expect_payments, following
from domain.round.leaving import bound_until, tell_bound
from domain.round.notices import notify_members
from domain.round.rules import STAFF, Events, charter_of, propose, require_currency
from domain.round.state import Committed, Draft, Pledging, RoundState, Short, Withdrawn
from domain.round.terms import BoundUntil, Terms
from domain.stream import StepOwed, owe

SLUG_LENGTH: Final = 48
"""Names of proposals and steps are made from the round's."""

LATEST_CLOSE: Final = timedelta(days=5 * 366)
"""How far ahead a round may close."""

# ---------------------------------------------------------------- the announcement


def open_round(state: RoundState, command: commands.OpenRound, context: Context) -> Events:
    """Announce a round, once; the same terms again change nothing."""
    if isinstance(state, Draft) and state.terms == _terms(command):
        return ()
    rules.unopened(state, context)
    return (_announced(command, context), *_ask_beforehand(context))


def amend_round(state: Draft, command: commands.AmendRound, context: Context) -> Events:
    """Announce other terms under the charter in force now. Who had signed the standing refund order is asked anew: it was for the former terms."""
    if state.terms == _terms(command):
        return ()
    asked_anew = _ask_beforehand(context, f":{context.position}") if state.standing.signed else ()
    return (_announced(command, context), *asked_anew)


def withdraw_round(state: RoundState, _: commands.WithdrawRound, context: Context) -> Events:
    """Take the announcement back, once."""
    if isinstance(state, Withdrawn):
        return ()
    rules.draft(state, context)
    context.require_duty(Office.SECRETARIAT, Office.TREASURER)
    return (events.RoundWithdrawn(),)


def start_pledging(state: Draft, _: commands.StartPledging, context: Context) -> Events:
    """Pledging starts at the announced instant."""
    return tuple(_start(state, context))


def _start(state: Draft, context: Context) -> Iterator[events.PledgingStarted | StepOwed]:
    started = events.PledgingStarted()
    opened = following(state, (started,))
    assert isinstance(opened, Pledging)
    active = (member.id for member in context.register.members.values() if member.standing is Standing.ACTIVE)
    yield started
    yield from _notify_open("pledging_started", opened, active, "pledging", context)


def _notify_open(template: str, state: Pledging, members: Iterable[MemberId], key: str, context: Context) -> Iterator[StepOwed]:
    """The notices that pledges are taken: until when, and from when on they can only be raised, where they are locked before the close."""
    until, locked = state.closes_at.isoformat(), _locked_from(state, context)
    if locked is None:
        return notify_members(template, members, key, round=context.stream, closes_at=until)
    return notify_members(f"{template}_lock", members, key, round=context.stream, closes_at=until, locked_from=locked.isoformat())


def _terms(command: commands.OpenRound | commands.AmendRound) -> Terms:
    return Terms(**{name: getattr(command, name) for name in Terms.model_fields})


def _announced(command: commands.OpenRound | commands.AmendRound, context: Context) -> events.RoundOpened:
    context.require_duty(Office.SECRETARIAT, Office.TREASURER)
    terms = _terms(command)
    _require_sound_terms(terms, context)
    return events.RoundOpened(terms=terms, charter_version=context.register.version)


def _ask_beforehand(context: Context, again: str = "") -> Iterator[StepOwed]:
    """Asks the charter's approval offices for the standing refund order, where the charter knows one."""
    if context.charter.silence.standing_days:
        offices = holders(context.charter.treasury.approval_offices)
        yield owe(notify("standing_refunds_to_approve", offices, key=f"notice:standing-refunds{again}", round=context.stream))


def _require_sound_terms(terms: Terms, context: Context) -> None:
    if len(slug_of(context.stream)) > SLUG_LENGTH:
        raise Refused("name_too_long", f"{context.stream} is longer than {SLUG_LENGTH} characters", remedy="choose a shorter name")
    require_currency(context, terms.currency)
    if terms.opens_at < context.at:
        raise Refused("opens_in_the_past", f"{shown_at(terms.opens_at)} is over", remedy="name a later opening")
    if terms.closes_at > context.at + LATEST_CLOSE:
        raise Refused(
            "closes_too_late", f"{shown_at(terms.closes_at)} is more than {LATEST_CLOSE.days} days ahead", remedy="name an earlier close"
        )
    if terms.closes_at <= terms.opens_at:
        raise Refused("closes_before_opening", f"{shown_at(terms.closes_at)} is not after the opening", remedy="name a later close")
    if terms.minimum > terms.goal:
        minimum, goal = display(terms.minimum, terms.currency), display(terms.goal, terms.currency)
        raise Refused("minimum_above_goal", f"{minimum} is more than the goal of {goal}", remedy=f"name a minimum of at most {goal}")
    planned = sum(line.amount for line in terms.budget)
    if planned != terms.goal or len({line.name for line in terms.budget}) != len(terms.budget):
        goal = display(terms.goal, terms.currency)
        raise Refused(
            "budget_does_not_sum",
            f"the budget lines, each named once, sum to {display(planned, terms.currency)} and not to {goal}",
            remedy=f"name lines that sum to {goal}, each once",
        )
    _require_sound_tranches(terms)


def _require_sound_tranches(terms: Terms) -> None:
    fractions = sum(tranche.fraction for tranche in terms.tranches)
    if fractions != WHOLE:
        raise Refused(
            "tranches_do_not_sum",
            f"the tranches sum to {percent(fractions)} of the goal",
            remedy="name fractions that sum to 100 %: 10,000 basis points",
        )
    milestones = [tranche.milestone for tranche in terms.tranches if tranche.milestone]
    if any(tranche.milestone is None for tranche in terms.tranches[1:]) or (milestones and terms.run is None):
        raise Refused(
            "tranche_without_milestone",
            "every tranche after the first is released by a milestone of the round's run",
            remedy="name the run, and a milestone for each",
        )
    if len(set(milestones)) != len(milestones):
        raise Refused("milestone_named_twice", "one milestone releases one tranche", remedy="name another milestone")


# ---------------------------------------------------------------- pledges


def pledge(state: Draft | Pledging, command: commands.Pledge, context: Context) -> Events:
    """A pledge replaces the member's former one; the same again changes nothing. The first one may find that the opening instant is over."""
    if isinstance(state, Pledging):
        return _pledge(state, command, context)
    started = tuple(_start(state, context))
    opened = following(state, started)
    assert isinstance(opened, Pledging)
    return (*started, *_pledge(opened, command, context))


def _pledge(state: Pledging, command: commands.Pledge, context: Context) -> Events:
    context.require_speaker(command.member)
    context.require_active(command.member)
    require_currency(context, command.currency)
    threshold = command.if_total_at_least or 0
    former, promised = state.pledges.get(command.member), Promise(command.amount, threshold, command.condition)
    if former == promised:
        return ()
    if former is not None and (former.amount > promised.amount or former.if_total_at_least < promised.if_total_at_least):
        _require_unlocked(state, context)
    _require_floor(state, command, former.amount if former else 0, context)
    _require_cap(state, command, context)
    return (events.PledgeMade(member=command.member, amount=command.amount, if_total_at_least=threshold, condition=command.condition),)


def withdraw_pledge(state: Pledging, command: commands.WithdrawPledge, context: Context) -> Events:
    """Pledges are conditional until the close, or until they are locked before it."""
    context.require_speaker(command.member)
    if command.member not in state.pledges:
        return ()
    _require_unlocked(state, context)
    return (events.PledgeWithdrawn(member=command.member),)


def _locked_from(state: Pledging, context: Context) -> datetime | None:
    """From when on pledges can only be raised; `None` when they never are locked."""
    locked = charter_of(context, state.charter_version).funding.pledge_lock_hours
    return state.closes_at - timedelta(hours=locked) if locked else None


def _require_unlocked(state: Pledging, context: Context) -> None:
    locked = _locked_from(state, context)
    if locked is not None and context.at >= locked:
        raise Refused(
            "pledges_locked",
            f"before the close at {shown_at(state.closes_at)} pledges can only be raised",
            remedy="raise it, or let it stand: pledges can be lowered again only if the round is extended",
            clause="funding.pledge_lock_hours",
        )


def _require_floor(pledging: Pledging, command: commands.Pledge, former: int, context: Context) -> None:
    goal, currency = pledging.terms.goal, pledging.terms.currency
    floor = part(goal, charter_of(context, pledging.charter_version).funding.share_floor)
    remainder = goal - (pledging.total - former)
    least = min(floor, remainder) if remainder > 0 else floor
    if command.amount < least:
        raise Refused(
            "pledge_below_floor",
            f"{display(command.amount, currency)} is less than {display(least, currency)}",
            remedy=f"pledge at least {display(least, currency)}",
            clause="funding.share_floor",
        )


def _require_cap(pledging: Pledging, command: commands.Pledge, context: Context) -> None:
    cap, currency = _cap(pledging, context), pledging.terms.currency
    related = (pledging.pledges.get(company) for company in context.register.related(command.member) if company != command.member)
    others = sum(promise.amount for promise in related if promise is not None)
    if command.amount + others > cap:
        both = display(command.amount + others, currency)
        raise Refused(
            "pledge_above_cap",
            f"{command.member} and related companies would pledge {both} of at most {display(cap, currency)}",
            remedy=f"pledge at most {display(max(cap - others, 0), currency)}",
            clause="funding.share_cap",
        )


def _cap(pledging: Pledging, context: Context) -> int:
    return part(pledging.terms.goal, charter_of(context, pledging.charter_version).funding.share_cap)


# ---------------------------------------------------------------- the close


def close_pledging(state: Pledging, _: commands.ClosePledging, context: Context) -> Events:
    """Count what the active members pledged, and the leavers who are bound to their pledges; test the minimum, and share the goal out."""
    leavers = {member: until for member in sorted(state.pledges) if (until := _leaver_bound_until(state, member, context))}
    standing = {
        member: promise for member, promise in sorted(state.pledges.items()) if member in leavers or context.register.active(member)
    }
    seats = {member: context.register.seat_of(member) for member in standing}
    cap = _cap(state, context)
    pledges = counted(standing, seats, cap)
    total = sum(min(cap, amount) for amount in summed(pledges, seats).values())
    if total < state.terms.minimum:
        return _miss_minimum(state, total, context)
    allocation = allocate(state.terms.goal, pledges, seats, cap)
    allocated = events.PledgesAllocated(
        allocation=allocation,
        counted=total,
        concentration=concentration(summed(allocation, seats)),
        gauge=charter_of(context, state.charter_version).funding.concentration_gauge,
        default_interest=charter_of(context, state.charter_version).funding.default_interest,
        charter_version=state.charter_version,
    )
    return (
        allocated,
        *(CommitmentBound(member=member, source=context.stream, amount=amount) for member, amount in sorted(allocation.items())),
        *_bind_leavers(state, allocated, leavers, context),
        *expect_payments(context, sorted(allocation)),
        *notify_members("pledges_allocated", state.pledges, "allocated", round=context.stream),
    )


def _leaver_bound_until(state: Pledging, member: MemberId, context: Context) -> BoundUntil | None:
    """Until when its pledge binds a member that leaves, as a commitment would; `None` when it does not, and of a member that stays.

    It binds whose notice runs and was given when pledges were locked already: a lock that a notice opens would bind nobody. Who gave it before
    could withdraw the pledge then. Who is expelled or terminated has no notice; and who is suspended pledges nothing that counts, leaving or not.
    """
    known, locked = context.register.members.get(member), _locked_from(state, context)
    if known is None or known.standing is not Standing.LEAVING or known.causes or context.register.notice_over(member, context.at):
        return None
    if locked is None or known.leaving_since is None or known.leaving_since < locked:
        return None
    return bound_until(Books.of(state.terms, state.charter_version), member, context)


def _bind_leavers(
    state: Pledging, allocated: events.PledgesAllocated, leavers: Mapping[MemberId, BoundUntil], context: Context
) -> Iterator[events.LeaverBound | CommitmentKept | StepOwed]:
    """Who leaves and is bound to its pledge is bound to what it is allocated, like one that gives notice later."""
    bound = {member: until for member, until in leavers.items() if allocated.allocation.get(member)}
    if not bound:
        return
    facts = {member: events.LeaverBound(member=member, until=until) for member, until in bound.items()}
    committed = following(state, (allocated, *facts.values()))
    assert isinstance(committed, Committed)
    for member, until in bound.items():
        yield facts[member]
        yield CommitmentKept(member=member, source=context.stream, amount=committed.books.accounts[member].still_bound)
        yield tell_bound(committed.books, member, until, context)


def _miss_minimum(state: Pledging, total: int, context: Context) -> Events:
    if state.extensions:
        return _fail(state, context)
    terms, currency = state.terms, state.terms.currency
    vote_ends_at = context.at + days(charter_of(context, state.charter_version).funding.extension_vote_days)
    motion = propose(
        context,
        asked_in("extend", slug_of(context.stream)),
        f"Extend the round at {display(total, currency)}",
        f"Pledges of {display(total, currency)} count, and the minimum is {display(terms.minimum, currency)}. "
        "Yes: pledging goes on, once. No: the round fails and the pledges are released.",
        commands.ExtendRound(),
        commands.FailRound(),
    )
    return (
        events.MinimumMissed(counted=total, minimum=terms.minimum, vote_ends_at=vote_ends_at),
        owe(motion),
        owe(
            notify(
                "minimum_missed",
                (*STAFF, "office:board"),
                key="notice:minimum-missed",
                round=context.stream,
                vote_ends_at=vote_ends_at.isoformat(),
            )
        ),
    )


def extend_round(state: RoundState, _: commands.ExtendRound, context: Context) -> Events:
    """A vote takes pledges again, once; later nothing follows."""
    context.require_mandate()
    if not isinstance(state, Short):
        return ()
    terms = charter_of(context, state.pledging.charter_version).funding
    closes_at = context.at + days(terms.extension_days)
    extended = events.RoundExtended(closes_at=closes_at)
    reopened = following(state, (extended,))
    assert isinstance(reopened, Pledging)
    return (extended, *_notify_open("round_extended", reopened, reopened.pledges, "extended", context))


def fail_round(state: RoundState, _: commands.FailRound, context: Context) -> Events:
    """No vote extended the round: by its rejection, or by the clock when the time to vote is over."""
    if not context.mandate:
        context.require_service()
    if not isinstance(state, Short):
        return ()
    if not context.mandate:
        context.require_due(state.vote_ends_at)
    return _fail(state.pledging, context)


def _fail(state: Pledging, context: Context) -> Events:
    return (events.RoundFailed(), *notify_members("round_failed", state.pledges, "failed", round=context.stream))
