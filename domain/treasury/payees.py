"""Payees: whose bank details are approved, and so where payments may go."""

from __future__ import annotations

import hashlib

from domain.charter import Office
from domain.kernel import MemberId, Refused, Step, holders, notify
from domain.process import Context
from domain.register.facts import PayeeLinked
from domain.stream import owe
from domain.treasury import commands, events
from domain.treasury.payments import give_up_sending, require_foreign_account, sending_key
from domain.treasury.records import Payee, Proposed
from domain.treasury.rules import Events, terms_of
from domain.treasury.state import Open
from domain.treasury.terms import Creditor


def name_payee(state: Open, command: commands.NamePayee, context: Context) -> Events:
    """Bank details wait for another person's approval; named again they are old news."""
    if not context.register.holds(context.actor, Office.TREASURER):
        if not command.payee.startswith("member:"):
            context.require_office(Office.TREASURER)
        context.require_representative(command.payee.removeprefix("member:"))
    account = Creditor(name=command.name, iban=command.iban, bic=command.bic, number=command.number, clearing=command.clearing)
    require_foreign_account(state, account)
    _require_company(command.member, context)
    payee = state.payees.get(command.payee, Payee())
    if (account, command.member, command.lei) in _known(payee):
        return ()
    named = events.PayeeNamed(
        payee=command.payee,
        account=account,
        details=context.digest_without("kind", "payee"),
        by=context.actor,
        member=command.member,
        lei=command.lei,
        shared_with=context.register.sharing_account(command.payee, account.accounts),
    )
    proposed = Proposed(account, named.details, context.actor, member=command.member, lei=command.lei)
    return (named, _link(command.payee, payee, proposed), owe(_ask_to_approve(named, context)))


def _known(payee: Payee) -> tuple[tuple[Creditor | None, MemberId | None, str | None], ...]:
    return tuple((details.account, details.member, details.lei) for details in (payee, payee.proposed) if details is not None)


def _require_company(member: MemberId | None, context: Context) -> None:
    if member is not None and member not in context.register.members and member not in context.register.groups:
        raise Refused(
            "unknown_member",
            f"{member} is neither a member nor related to one",
            clause="membership",
            remedy="check the spelling against `consortium members`, or leave `member` out where the payee is nobody's here",
        )


def _link(name: str, *known: Payee | Proposed) -> PayeeLinked:
    """What is known of a payee by all these details: new ones take nothing away before they are approved."""
    return PayeeLinked(
        payee=name,
        members=frozenset(details.member for details in known if details.member is not None),
        entities=frozenset(details.lei for details in known if details.lei is not None),
        accounts=frozenset(account for details in known if details.account is not None for account in details.account.accounts),
    )


def _ask_to_approve(named: events.PayeeNamed, context: Context) -> Step:
    """The notice to who approves: what the details have in common with what is known stands in it."""
    facts: dict[str, str | int] = {"payee": named.payee}
    if named.member is not None:
        facts["belongs_to"] = named.member
    if named.shared_with:
        facts["same_account_as"] = ", ".join(named.shared_with)
    told = named.details
    if named.shared_with:  # named again at one instant, when others have the account too, it says something else
        told = hashlib.sha256("\x1f".join((told, *named.shared_with)).encode()).hexdigest()
    key = f"notice:payee:{named.payee}:{told[:40]}:{context.at.isoformat()}"
    return notify("payee_to_approve", holders(terms_of(context).payee_offices), key=key, **facts)


def approve_payee(state: Open, command: commands.ApprovePayee, context: Context) -> Events:
    """Bank details are used only after the charter's number of other people compared them; who signed counts as long as they hold an office."""
    terms = terms_of(context)
    context.require_office(*terms.payee_offices, clause="treasury.payee_offices")
    payee = state.payees.get(command.payee, Payee())
    if payee.account is not None and payee.account_digest == command.details:
        return ()
    proposed = payee.proposed
    if proposed is None or proposed.details != command.details:
        raise Refused(
            "no_such_details", f"no such bank details of {command.payee} wait", remedy="name them first, and compare their digest"
        )
    context.require_not_own(proposed.named_by, "named these details", clause="treasury.payee_approvals", remedy="ask another person")
    require_foreign_account(state, proposed.account)
    in_office = sorted(person for person in proposed.signed if context.register.holds(person, *terms.payee_offices))
    signed = context.register.independent(in_office)
    context.require_independent((proposed.named_by, *signed), clause="treasury.payee_approvals")
    if len(signed) + 1 < terms.payee_approvals:
        return (events.PayeeSigned(payee=command.payee, details=command.details, by=context.actor),)
    return (events.PayeeApproved(payee=command.payee, details=command.details, by=context.actor), _link(command.payee, proposed))


def block_payee(state: Open, command: commands.BlockPayee, context: Context) -> Events:
    """Nothing more goes there, nor does an order whose sending failed or is delayed: no later try sends it. What is on its way cannot be held."""
    context.require_office(*terms_of(context).payee_offices, clause="treasury.payee_offices")
    payee = state.payees.get(command.payee, Payee())
    blocked = () if payee == Payee() else (events.PayeeBlocked(payee=command.payee, by=context.actor, reason=command.reason),)
    failed: Events = tuple(
        event
        for name in sorted(state.open_payments)
        for payment in (state.payments[name],)
        if (payment.payee, payment.stage) == (command.payee, "sending")
        and (sending_key(name, payment) in context.failed or sending_key(name, payment) in context.delayed)
        for event in give_up_sending(name, payment, command.reason, context)
    )
    return (*blocked, *failed)
