"""The rules of deliveries in place of money: what is delivered counts once an officer of another member accepts it."""

from __future__ import annotations

from domain.charter import Office, RateCard
from domain.kernel import Refused, Slug, notify
from domain.process import Context
from domain.register.facts import EvidenceUsed
from domain.round import commands, events
from domain.round.books import Books, Delivery
from domain.round.consequences import Decision, conclude
from domain.round.dues import settle
from domain.round.notices import notify_members
from domain.round.rules import STAFF, Events, account_of, amount_text, charter_of, terms_of
from domain.round.state import Live
from domain.stream import owe


def deliver_in_kind(state: Live, command: commands.DeliverInKind, context: Context) -> Events:
    """Say what was delivered; it counts once accepted. The same evidence again changes nothing."""
    context.require_speaker(command.member)
    books = state.books
    account = account_of(books, command.member)
    former = books.deliveries.get(command.evidence)
    if former is not None:
        if former.member == command.member:
            return ()
        raise Refused("evidence_used", f"{former.member} delivered on this evidence", remedy="name the evidence of your own delivery")
    _require_new(command.evidence, context)
    card = charter_of(context, books.charter_version).rate_card
    rate = _rate(card, command.item)
    value = command.quantity * rate
    if value + account.offered > account.figures.outstanding:
        raise Refused(
            "delivery_above_commitment",
            f"it is worth {amount_text(books, value)} and {amount_text(books, account.figures.outstanding - account.offered)} is open",
            remedy="deliver less, or take over more of the round first",
            clause="rate_card",
        )
    delivered = events.InKindDelivered(
        member=command.member,
        item=command.item,
        quantity=command.quantity,
        evidence=command.evidence,
        rate=rate,
        rate_card=card.version,
        value=value,
        delivered_on=context.at.date(),
    )
    notice = notify(
        "delivery_to_judge",
        STAFF,
        key=f"notice:delivery:{command.evidence}",
        round=context.stream,
        member=command.member,
        value=amount_text(books, value),
    )
    return (delivered, owe(notice))


def accept_in_kind(state: Live, command: commands.AcceptInKind, context: Context) -> Events:
    """The delivery counts from here on: for what is owed first, then for what is not called yet; never above the commitment."""
    delivery = _delivery_to_judge(state.books, command.evidence, context)
    match delivery:
        case events.InKindAccepted():
            return ()
        case events.InKindRejected():
            raise Refused("delivery_rejected", "a rejection is final for its evidence", remedy="deliver again, with other evidence")
        case events.InKindDelivered(member=member):
            _require_new(command.evidence, context)
            books, account = state.books, state.books.accounts[member]
            value = min(delivery.value, account.figures.outstanding)
            settled, dues = settle(books, account.dues, value, delivery.delivered_on, terms_of(context, books).default_interest, by="goods")
            accepted = events.InKindAccepted(
                member=member, evidence=command.evidence, by=context.actor, value=value, settled=settled, dues=dues
            )
            used = EvidenceUsed(evidence=command.evidence, source=context.stream)
            return conclude(Decision.of(state, accepted, used), (member,), context)


def reject_in_kind(state: Live, command: commands.RejectInKind, context: Context) -> Events:
    """The delivery does not count, for good."""
    delivery = _delivery_to_judge(state.books, command.evidence, context)
    match delivery:
        case events.InKindRejected():
            return ()
        case events.InKindAccepted():
            raise Refused("delivery_accepted", "this delivery has been accepted", remedy="none: what was accepted counts")
        case events.InKindDelivered(member=member):
            return (
                events.InKindRejected(member=member, evidence=command.evidence, by=context.actor, reason=command.reason),
                *notify_members("delivery_rejected", (member,), f"rejected:{command.evidence}", round=context.stream),
            )


def _require_new(evidence: str, context: Context) -> None:
    source = context.register.evidence.get(evidence)
    if source is not None:
        raise Refused("evidence_used", f"what it shows counts in {source}", remedy="deliver what counts nowhere yet, with its own evidence")


def _rate(card: RateCard, item: Slug) -> int:
    rate = card.rates.get(item)
    if rate is None:
        raise Refused(
            "not_on_rate_card",
            f"the rate card has no {item}",
            remedy="deliver a kind that it lists (`consortium charter show`)",
            clause="rate_card",
        )
    return rate


def _delivery_to_judge(books: Books, evidence: str, context: Context) -> Delivery:
    context.require_office(Office.SECRETARIAT, Office.TREASURER)
    delivery = books.deliveries.get(evidence)
    if delivery is None:
        raise Refused("no_such_delivery", "nobody delivered on this evidence", remedy="check the digest")
    if context.sides_with(delivery.member):
        raise Refused(
            "own_delivery", f"{context.actor} speaks for {delivery.member}", remedy="ask another officer to judge it", clause="roles"
        )
    return delivery
