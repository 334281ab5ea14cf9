"""Who owns a member, which related members share a seat, and which tier it is in."""

from __future__ import annotations

from domain.charter import Office
from domain.kernel import Refused
from domain.member import commands, events
from domain.member.joining import require_holdings, screened_again
from domain.member.rules import Events, note, own_case, require_seat_in
from domain.member.seats import require_concerned
from domain.member.state import Active, Identity, Leaving, MemberState
from domain.process import Context
from domain.register.facts import Holding, OwnershipDeclared, TierReserved
from domain.register.fold import note as note_fact


def declare(state: MemberState, identity: Identity, command: commands.DeclareOwnership, context: Context) -> Events:
    """Owners are declared. What a second person must see first waits: an officer's word, and what makes more votes, or fewer."""
    require_concerned(identity, context, Office.SECRETARIAT)
    by_officer = not context.register.speaks_for(context.actor, identity.member)
    if not by_officer:
        context.require_representative(identity.member)
    require_holdings(command.holdings, context)
    if command.holdings == (identity.holdings if identity.asked is None else identity.asked.holdings):
        return ()
    if not by_officer and not _suspect(state) and not _regroups(identity, command.holdings, context):
        return _declared(identity, command.holdings, context)
    told = note(
        "ownership-to-confirm",
        identity,
        f"member:{identity.member}",
        "office:secretariat",
        "office:compliance-reviewer",
        key=f"ownership-to-confirm:{context.actor}:{context.at.isoformat()}",
        declared_by=context.actor,
    )
    return (events.OwnershipChangeAsked(holdings=command.holdings, person=context.actor), told)


def _regroups(identity: Identity, holdings: tuple[Holding, ...], context: Context) -> bool:
    """Whether the declaration would part companies that share a seat, or bind another member to this one."""
    before = frozenset(context.register.related(identity.member))
    declared = note_fact(context.register, OwnershipDeclared(member=identity.member, holdings=holdings))
    after = frozenset(declared.related(identity.member))
    return not before <= after or any(context.register.belongs(company) for company in after - before)


def _suspect(state: MemberState) -> bool:
    """Whether a hit on it, or on an owner, waits or was confirmed: then no owner comes or goes unseen."""
    return isinstance(state, Active | Leaving) and (bool(state.identity.vetting.hits) or "sanctions" in state.causes)


def confirm(identity: Identity, command: commands.ConfirmOwnership, context: Context) -> Events:
    """Another person than who declared it, and of another side: two votes are not made of one by a member's own word."""
    require_concerned(identity, context, Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER)
    asked, member = identity.asked, identity.member
    if asked is None and command.holdings == identity.holdings:
        return ()
    if asked is None or asked.holdings != command.holdings:
        raise Refused(
            "no_such_declaration",
            "no such declaration waits",
            clause="membership",
            remedy="`consortium show` lists the one that waits, if any",
        )
    if context.actor == asked.person:
        raise Refused(
            "second_person_required", f"{asked.person} declared it", remedy="ask somebody else to confirm it", clause="membership"
        )
    if context.register.speaks_for(context.actor, member):
        if context.register.speaks_for(asked.person, member):
            raise own_case(context, member)
        context.require_representative(member)
    return _declared(identity, asked.holdings, context)


def _declared(identity: Identity, holdings: tuple[Holding, ...], context: Context) -> Events:
    """The owners count from now on; the list is asked about those who are new."""
    new = {(holding.holder, holding.lei) for holding in holdings} - {(holding.holder, holding.lei) for holding in identity.holdings}
    declared = OwnershipDeclared(member=identity.member, holdings=holdings)
    return (declared, *(screened_again(identity, holdings) if new else ()))


def change_tier(state: Active, tier: str, context: Context) -> Events:
    """A change with the next invoice; a seat is kept for it until then."""
    identity = state.identity
    context.require_representative(identity.member)
    if tier == (state.next_tier or identity.tier):
        return ()
    if tier != identity.tier:
        require_seat_in(tier, identity.member, context)
    return (events.TierChangeAsked(tier=tier), TierReserved(member=identity.member, tier=tier))
