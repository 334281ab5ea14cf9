"""Suppliers: whose a payee is, and who may not decide that it is paid.

A payee is linked to a company by its name (`member:<id>`, or a handle that is a company's), by what is declared of it (`member`) when its
bank details are named, by its Legal Entity Identifier (`lei`), and by an account that it shares with another payee. Details that wait for
approval link as approved ones do; they take no link away before they are approved. Who is related to a company counts as that company.

| command | refused of who speaks for a company behind the payee |
| --- | --- |
| propose_spending, approve_spending | own_payment (`roles`) |
| order_payment of the treasury's own, return_line | own_payment (`roles`) |
| approve_payment, refunds aside | own_payment (`roles`); a signature given before counts no more |

| bank details | what follows |
| --- | --- |
| of the account that the treasury keeps | own_account (`treasury.account`), when named, approved and paid |
| of an account that another payee has | payee_named says which (`shared_with`); the notices to who approves the payee and signs its payments, and `show`, name it |
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain import letters
from domain.kernel import Event
from domain.letters import ListedRefund
from domain.register.facts import Capacity, Holding, LegalEntityNamed, OwnershipDeclared, PayeeLinked, RepresentativeSeated
from domain.register.state import Register
from domain.round import commands as round_commands
from domain.stream import StepOwed
from domain.treasury import commands, events
from domain.treasury.process import TREASURY
from domain.treasury.terms import Creditor
from tests import test_round
from tests.stories import Story, charter, day, founded, noted, with_members
from tests.test_treasury import (
    IBAN,
    OTHER,
    SUPPLIER,
    digest,
    funded,
    imported,
    line,
    opened,
    order_of,
    ordered,
    page,
    signed,
    state,
    with_payee,
)

LEI = "52990000000000000196"


def knowing(story: Story, *facts: Event) -> Story:
    return replace(story, register=noted(story.register, *facts))


def speaking(story: Story, person: str, member: str) -> Story:
    return knowing(story, RepresentativeSeated(member=member, person=person, capacity=Capacity.ALTERNATE, at=day(0)))


def named(story: Story, payee: str = "cloud", by: str = "tess", iban: str = SUPPLIER, **fields: Any) -> Story:
    return story.when(commands.NamePayee(payee=payee, name="Cloud AG", iban=iban, **fields), by=by)


def approved(story: Story, payee: str = "cloud") -> Story:
    proposed = state(story).payees[payee].proposed
    assert proposed is not None
    return story.when(commands.ApprovePayee(payee=payee, details=proposed.details), by="theo").followed_by("payee_approved", "payee_linked")


def noticed(story: Story, template: str) -> dict[str, Any]:
    """The notice by this template that the last command owes."""
    (step,) = (event.step for event in story.answer if isinstance(event, StepOwed) and event.step.data.get("template") == template)
    return step.data


def members() -> Register:
    return with_members(founded(charter()), "ada", "bel")


def behind(payee: str, *facts: Event) -> set[str]:
    return set(noted(members(), *facts).behind(payee))


# ---------------------------------------------------------------- whose a payee is


def test_a_payee_is_linked_by_its_name_with_or_without_the_word_member() -> None:
    assert behind("member:ada") == behind("ada") == {"ada"}
    assert behind("cloud") == set()


def test_a_payee_is_linked_by_what_is_declared_of_it_and_by_its_legal_entity() -> None:
    assert behind("cloud", PayeeLinked(payee="cloud", members=frozenset({"bel"}))) == {"bel"}
    entity = LegalEntityNamed(member="ada", lei=LEI)
    assert behind("cloud", entity, PayeeLinked(payee="cloud", entities=frozenset({LEI}))) == {"ada"}


def test_a_payee_is_linked_by_an_account_that_it_shares_however_long_the_chain() -> None:
    accounts = [frozenset({letter * 64}) for letter in "ab"]
    chain = (
        PayeeLinked(payee="cloud", accounts=accounts[0]),
        PayeeLinked(payee="broker", accounts=accounts[0] | accounts[1]),
        PayeeLinked(payee="member:ada", accounts=accounts[1]),
    )
    assert behind("cloud", *chain) == {"ada"}
    assert behind("cloud", chain[0], chain[2]) == set()


def test_who_is_related_to_a_company_is_behind_its_payees_too() -> None:
    owned = OwnershipDeclared(member="bel", holdings=(Holding(holder="ada", fraction=9_000),))
    assert behind("bel", owned) == {"ada", "bel"}
    parent = OwnershipDeclared(member="bel", holdings=(Holding(holder="parent", fraction=9_000, lei=LEI),))
    assert behind("cloud", parent, PayeeLinked(payee="cloud", entities=frozenset({LEI}))) == {"bel", "parent"}
    assert behind("parent", parent) == {"bel", "parent"}


def test_one_account_is_one_by_whichever_name_of_its_bank() -> None:
    number = {"name": "C", "number": "9876543210"}
    both = Creditor(bic="ROYCCAT2", clearing="CACPA000312345", **number)
    assert not both.accounts.isdisjoint(Creditor(bic="ROYCCAT2XXX", **number).accounts)
    assert not both.accounts.isdisjoint(Creditor(clearing="CACPA000312345", **number).accounts)
    assert both.accounts.isdisjoint(Creditor(bic="UBSWCHZH80A", **number).accounts)
    assert Creditor(name="A", iban=SUPPLIER).accounts == Creditor(name="B", iban=SUPPLIER, bic="UBSWCHZH80A").accounts


def test_new_details_take_no_link_away_before_they_are_approved() -> None:
    story = approved(named(opened(), member="ada"))
    story = named(story, iban=OTHER)
    assert story.register.behind("cloud") == {"ada"}
    assert approved(story).register.behind("cloud") == set()


def test_the_same_details_with_another_owner_are_other_details() -> None:
    story = approved(named(opened()))
    named(story).then()
    again = named(story, member="ada").followed_by("payee_named", "payee_linked")
    assert again.register.behind("cloud") == {"ada"}
    assert state(again).payees["cloud"].proposed != state(named(story, lei=LEI)).payees["cloud"].proposed


def test_a_payee_belongs_to_companies_that_are_known() -> None:
    named(opened(), member="nobody").refused("unknown_member")


# ---------------------------------------------------------------- who decides that it is paid


@pytest.mark.parametrize("fields", [{"member": "ada"}, {"payee": "ada"}, {"payee": "member:ada"}], ids=str)
def test_who_speaks_for_the_owner_of_a_payee_signs_nothing_for_it(fields: dict[str, str]) -> None:
    story = approved(named(funded(), **fields), fields.get("payee", "cloud"))
    story = speaking(ordered(story, payee=fields.get("payee", "cloud")), "bo", "ada")
    signed(story, by=("bo",)).refused("own_payment")
    signed(story, by=("theo",)).followed_by("payment_signed")


def test_a_signature_of_who_comes_to_speak_for_the_payee_counts_no_more() -> None:
    story = signed(ordered(approved(named(funded(), member="ada"))), by=("bo",)).followed_by("payment_signed")
    signed(story, by=("theo",)).followed_by("payment_approved")
    signed(speaking(story, "bo", "ada"), by=("theo",)).followed_by("payment_signed")


def test_a_treasurer_orders_and_sends_back_no_money_to_an_own_company() -> None:
    story = imported(approved(named(funded(), member="ada")), line(500, bank_id="LOST"), name="lost", of=page("S2"))
    (lost,) = state(story).waiting
    ask = letters.OrderPayment(payment="fees", payee="cloud", amount=100)
    back = commands.ReturnLine(line=lost, payee="cloud", reason="not ours")
    for command in (ask, back):
        speaking(story, "tess", "ada").when(command, by="tess").refused("own_payment")
        story.when(command, by="tess").followed_by("payment_ordered")


def test_a_spending_is_neither_proposed_nor_approved_by_the_suppliers_own_people() -> None:
    story = test_round.paid(test_round.called(), "ada", 100_000)
    linked = knowing(story, PayeeLinked(payee="cloud", members=frozenset({"bel"})))
    for payee in ("bel", "cloud"):
        ask = round_commands.ProposeSpending(spending="gpu-1", line="compute", amount=1_000, payee=payee)
        speaking(linked, "tess", "bel").when(ask, by="tess").refused("own_payment")
        approve = round_commands.ApproveSpending(spending="gpu-1")
        speaking(linked.when(ask, by="tess"), "theo", "bel").when(approve, by="theo").refused("own_payment")
        linked.when(ask, by="tess").when(approve, by="theo").followed_by("spending_approved")


# ---------------------------------------------------------------- accounts that stand twice


def test_the_consortiums_own_account_is_nobody_elses() -> None:
    refused = named(opened(), iban=IBAN).refused("own_account")
    assert refused.refusal is not None
    assert (refused.refusal.clause, IBAN in refused.refusal.message) == ("treasury.account", False)


def test_own_details_that_an_earlier_release_took_are_neither_approved_nor_paid() -> None:
    def taken_before(story: Story, *kinds: str, payee: str = "us") -> Story:
        own, details = Creditor(name="Us", iban=IBAN), "0" * 64
        past = (
            events.PayeeNamed(payee=payee, account=own, details=details, by="tess"),
            events.PayeeApproved(payee=payee, details=details, by="theo"),
        )
        stream = story.state
        for event in past:
            if event.kind in kinds:
                stream = stream._replace(state=TREASURY.evolve(stream.state, event))
        return replace(story, state=stream)

    waiting = taken_before(opened(), "payee_named")
    waiting.when(commands.ApprovePayee(payee="us", details="0" * 64), by="theo").refused("own_account")
    story = ordered(taken_before(funded(), "payee_named", "payee_approved"), payee="us")
    story.when(commands.ApprovePayment(payment="p1", digest=digest(story)), by="theo").refused("own_account")
    listed = order_of(ListedRefund(payment="r1", member="ada", amount=1), ordered_by="service", approved_by=("theo", "bo"))
    beforehand = taken_before(with_payee(funded(), "member:ada"), "payee_named", "payee_approved", payee="member:ada").when(listed)
    beforehand.followed_by("payment_ordered", "payment_list_ordered")


def test_who_approves_sees_that_an_account_is_another_payees_too() -> None:
    story = approved(named(funded()))
    twin = named(story, payee="twin", member="bel")
    (told,) = (event for event in twin.answer if isinstance(event, events.PayeeNamed))
    assert told.shared_with == ("cloud",)
    notice = noticed(twin, "payee_to_approve")
    assert notice["facts"] == {"payee": "twin", "same_account_as": "cloud", "belongs_to": "bel"}
    assert "| bel | cloud |" in TREASURY.describe(state(twin)).text
    (payees,) = (table for table in TREASURY.tables(state(twin), twin.register, twin.at) if table.name == "payees")
    rows = [dict(zip(payees.columns, row, strict=True)) for row in payees.rows]
    assert [(row["payee"], row["stands"], row["belongs_to"], row["same_account_as"]) for row in rows] == [
        ("cloud", "approved", "", "twin"),
        ("twin", "waits", "bel", "cloud"),
    ]
    assert {row["companies_behind"] for row in rows} == {"bel"}
    paid = ordered(approved(twin, "twin"))
    asked = noticed(paid, "payment_to_approve")
    assert asked["facts"]["same_account_as"] == "twin"
    assert "| twin |" in TREASURY.describe(state(paid)).text


def test_an_account_that_one_payee_has_is_told_of_nobody() -> None:
    story = named(approved(named(funded())), payee="other", iban=OTHER)
    notice = noticed(story, "payee_to_approve")
    assert notice["facts"] == {"payee": "other"}


def test_who_signs_a_spending_or_a_list_of_refunds_is_told_of_an_account_that_stands_twice() -> None:
    shared = [PayeeLinked(payee=payee, accounts=frozenset({"a" * 64})) for payee in ("cloud", "twin")]
    story = knowing(test_round.paid(test_round.called(), "ada", 100_000), *shared)
    asked = story.when(round_commands.ProposeSpending(spending="gpu-1", line="compute", amount=1_000, payee="cloud"), by="tess")
    assert noticed(asked, "spending_to_approve")["facts"] == {"round": "round/atlas-1", "same_account_as": "twin"}
    both = with_payee(with_payee(funded(), "member:ada"), "member:bel")
    assert noticed(both.when(order_of()), "payment_list_to_approve")["facts"]["accounts_shared_by"] == "member:ada, member:bel"
