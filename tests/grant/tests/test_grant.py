"""Grants.

| command | by whom | events | refusals (besides office_required, member_not_active, not_a_representative, representative_required) |
| --- | --- | --- | --- |
| request_grant | a representative | grant_requested | grant_requested |
| approve_grant | the board | grant_approved | grant_not_requested, grant_decided |
| lapse_grant | the clock | grant_lapsed | |
| record_grant, return_grant, release_grant | the treasury process | grant_paid; grant_returned; grant_released | grant_not_approved |

| state | deadline | steps |
| --- | --- | --- |
| requested | decide_by: lapse_grant | notify grant_to_decide |
| approved | | tell order_payment |
| paid | | notify grant_paid |
"""

from __future__ import annotations

from domain import letters
from domain.grant import commands
from domain.grant.process import GRANT
from domain.grant.state import Paid
from tests.stories import Story, day, founded, with_members

REQUEST = commands.RequestGrant(member="ada", title="A data set", payee="data-lab", amount=70_000, decide_by=day(10))


def new() -> Story:
    return Story.of(GRANT, "grant/g1", with_members(founded(), "ada"))


def requested() -> Story:
    return new().when(REQUEST, by="rep-ada").followed_by("grant_requested").owes("notify", "notice:decide")


def approved() -> Story:
    return requested().when(commands.ApproveGrant(), by="bo").followed_by("grant_approved").owes("tell", "order")


def paid() -> Story:
    return approved().when(letters.RecordGrant(reference="OUT")).followed_by("grant_paid", "bank_reference_used")


def test_a_grant_is_asked_for_once_by_who_represents_a_member() -> None:
    new().when(REQUEST, by="bo").refused("not_a_representative")
    requested().when(REQUEST, by="rep-ada").refused("grant_requested")


def test_the_board_decides_and_the_treasury_pays() -> None:
    new().when(commands.ApproveGrant(), by="bo").refused("grant_not_requested")
    requested().when(commands.ApproveGrant(), by="tess").refused("office_required")
    approved().when(commands.ApproveGrant(), by="bo").refused("grant_decided")
    assert isinstance(paid().state.state, Paid)


def test_a_request_lapses() -> None:
    requested().when(commands.LapseGrant(), at=day(10)).followed_by("grant_lapsed")
    approved().when(commands.LapseGrant(), at=day(10)).then()


def test_what_the_treasury_says_of_a_payment() -> None:
    requested().when(letters.RecordGrant(reference="OUT")).refused("grant_not_approved")
    paid().when(letters.RecordGrant(reference="OUT")).then()
    back = paid().when(letters.ReturnGrant(reference="IN")).followed_by("grant_returned", "bank_reference_used")
    back.when(letters.ReturnGrant(reference="IN")).then()
    back.when(letters.ReleaseGrant()).followed_by("grant_released")
    paid().when(letters.ReleaseGrant()).then()
