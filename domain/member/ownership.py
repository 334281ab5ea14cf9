"""Who owns a member, which related members share a seat, and which tier it is in."""

from __future__ import annotations

from domain.charter import Office
from domain.kernel import Refused
from domain.member import commands, events
from domain.member.joining import require_holdings
from domain.member.rules import Events, owe_notice, own_case, require_seat_in
from domain.member.screening import start_screening
from domain.member.seats import require_concerned
from domain.member.state import Active, Belonging, Identity, Present
from domain.process import Context
from domain.register.facts import Holding, OwnershipDeclared, TierReserved
from domain.register.fold import note


def declare_ownership(state: Present, command: commands.DeclareOwnership, context: Context) -> Events:
    """Owners are declared. A declaration by an officer waits for a second person, and so does one that changes who shares a seat."""
    identity, unconfirmed = state.identity, state.identity.unconfirmed
    require_concerned(identity, context, Office.SECRETARIAT)
    by_officer = not context.register.speaks_for(context.actor, identity.member)
    if not by_officer:
        context.require_representative(identity.member)
    require_holdings(command.holdings, context)
    if command.holdings == (identity.holdings if unconfirmed is None else unconfirmed.holdings):
        return ()
    if not by_officer and not _suspect(state) and not _regroups(identity, command.holdings, context):
        return _put_in_force(identity, command.holdings, context)
    notice = owe_notice(
        "ownership-to-confirm",
        identity,
        f"member:{identity.member}",
        "office:secretariat",
        "office:compliance-reviewer",
        key=f"ownership-to-confirm:{context.actor}:{context.at.isoformat()}",
        declared_by=context.actor,
    )
    return (events.OwnershipChangeAsked(holdings=command.holdings, person=context.actor), notice)


def _regroups(identity: Identity, holdings: tuple[Holding, ...], context: Context) -> bool:
    """Whether the declaration would part companies that share a seat, or bind another member to this one."""
    before = frozenset(context.register.related(identity.member))
    declared = note(context.register, OwnershipDeclared(member=identity.member, holdings=holdings))
    after = frozenset(declared.related(identity.member))
    return not before <= after or any(context.register.belongs(company) for company in after - before)


def _suspect(state: Present) -> bool:
    """Whether a hit on the member, or on an owner, waits or was confirmed: then a second person sees every change of owners."""
    return isinstance(state, Belonging) and (bool(state.identity.vetting.hits) or "sanctions" in state.causes)


def confirm_ownership(state: Present, command: commands.ConfirmOwnership, context: Context) -> Events:
    """A second person confirms what another declared; where a member declared it, somebody of another side, since it may change votes."""
    identity = state.identity
    require_concerned(identity, context, Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER)
    unconfirmed, member = identity.unconfirmed, identity.member
    if unconfirmed is None and command.holdings == identity.holdings:
        return ()
    if unconfirmed is None or unconfirmed.holdings != command.holdings:
        raise Refused(
            "no_such_declaration",
            "no such declaration waits",
            clause="membership",
            remedy="`consortium show` lists the one that waits, if any",
        )
    if context.actor == unconfirmed.person:
        raise Refused(
            "second_person_required", f"{unconfirmed.person} declared it", remedy="ask somebody else to confirm it", clause="membership"
        )
    if context.register.speaks_for(context.actor, member):
        if context.register.speaks_for(unconfirmed.person, member):
            raise own_case(context, member)
        context.require_representative(member)
    context.require_independent((unconfirmed.person,), clause="membership")
    return _put_in_force(identity, unconfirmed.holdings, context)


def _put_in_force(identity: Identity, holdings: tuple[Holding, ...], context: Context) -> Events:
    """The owners count from now on; a new one brings another screening."""
    new = {(holding.holder, holding.lei) for holding in holdings} - {(holding.holder, holding.lei) for holding in identity.holdings}
    declared = OwnershipDeclared(member=identity.member, holdings=holdings)
    return (declared, *(start_screening(identity, holdings) if new else ()))


def change_tier(state: Active, command: commands.ChangeTier, context: Context) -> Events:
    """The tier changes with the next invoice; a seat is reserved until then."""
    identity, tier = state.identity, command.tier
    context.require_representative(identity.member)
    if tier == (state.next_tier or identity.tier):
        return ()
    if tier != identity.tier:
        require_seat_in(tier, identity.member, context)
    return (events.TierChangeAsked(tier=tier), TierReserved(member=identity.member, tier=tier))
