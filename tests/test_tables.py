"""What `show` tells of a process besides its headline.

| process | tables |
| --- | --- |
| round | pledges; then members, calls, deliveries: what each owes with interest to a day, until when it can be cured |
| member | dues with amount, reference and due day; the account and its ladder |
| release | gates: which are met and which are missing for each stage to come |
| run | not_understood, failed_claims |
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from domain import letters
from domain.charter import Office
from domain.money import Money
from domain.process import Cell
from domain.release.terms import Stage
from domain.round import commands as round_commands
from tests import test_member, test_release, test_round, test_run
from tests.stories import START, Story, charter, day


def rows(story: Story, name: str, at: datetime | None = None) -> list[dict[str, Cell]]:
    """The rows of one table, as of the story's time or another one."""
    found = story.process.tables(story.state.state, story.register, at or story.at)
    return [dict(zip(table.columns, row, strict=True)) for table in found if table.name == name for row in table.rows]


def row(story: Story, name: str, key: str, at: datetime | None = None) -> dict[str, Any]:
    """The row that begins with this."""
    return next(row for row in rows(story, name, at) if next(iter(row.values())) == key)


# ---------------------------------------------------------------- rounds


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def test_a_round_shows_each_pledge_while_they_come() -> None:
    story = test_round.pledged(test_round.pledging(), ada=250_000, bel=200_000)
    assert [(row["member"], row["pledged"]) for row in rows(story, "pledges")] == [("ada", usd(250_000)), ("bel", usd(200_000))]


def test_a_round_shows_what_each_member_committed_paid_and_owes_with_interest_to_the_day() -> None:
    story = test_round.until(test_round.all_paid(test_round.called(), 100_000, "ada", "bel", "cyd"), "mark_overdue")
    ada, dov = row(story, "members", "ada"), row(story, "members", "dov")
    assert (ada["commitment"], ada["called"], ada["cleared"], ada["owed"]) == (usd(250_000), usd(100_000), usd(100_000), usd(0))
    assert (dov["cleared"], ada["cure_ends_at"]) == (usd(0), None)
    schedule = story.state.state.books.calls[1].schedule
    assert dov["cure_ends_at"] == schedule.cure_ends_at
    late = datetime.combine(schedule.due_on + timedelta(days=90), START.timetz())
    on_time = row(story, "members", "dov", datetime.combine(schedule.due_on, START.timetz()))
    assert (on_time["owed"], on_time["interest"]) == (usd(100_000), usd(0))
    rate = story.register.charter.funding.default_interest
    run_up = 100_000 * rate * 90 // (10_000 * 360)
    assert run_up
    assert (row(story, "members", "dov", late)["owed"], row(story, "members", "dov", late)["interest"]) == (
        usd(100_000 + run_up),
        usd(run_up),
    )
    paid = test_round.paid(story, "dov", 100_000 + run_up, on=late.date())
    assert paid.refusal is not None or test_round.money(paid, "debt", "dov") == 0


def test_a_round_shows_credit_refunds_on_their_way_and_who_joined_late() -> None:
    story = test_round.until(test_round.all_paid(test_round.called(), 100_000, "ada", "bel", "cyd"), "mark_overdue")
    story = test_round.paid(story, "ada", 500)
    assert row(story, "members", "ada")["credit"] == usd(500)
    story = story.when(round_commands.JoinLate(member="eli", amount=250_000), by="rep-eli", at=day(54))
    assert [row["member"] for row in rows(story, "members") if row["joined_late"]] == ["eli"]
    assert [row["purpose"] for row in rows(story, "calls")] == ["tranche", "catch-up"]
    assert rows(story, "calls")[0]["owing"] == "dov"
    assert row(story, "members", "dov")["reference"]


# ---------------------------------------------------------------- members


def test_a_member_sees_its_dues_with_amount_reference_and_due_day() -> None:
    story = test_member.invoiced()
    (invoice,) = rows(story, "dues")
    told = story.state.owed["notice:dues-invoiced:1"].data["facts"]
    assert (str(invoice["owed"]), invoice["reference"], invoice["overdue"]) == (told["amount"], told["reference"], False)
    assert isinstance(invoice["due_at"], datetime)
    assert invoice["due_at"].isoformat() == told["due_at"]
    story = story.when(letters.RecordDuesPayment(amount=700, reference="BANK-1", value_date=test_member.TODAY, currency=charter().currency))
    assert (rows(story, "dues")[0]["amount"], rows(story, "dues")[0]["owed"]) == (
        invoice["amount"],
        Money(test_member.FEE - 700, charter().currency),
    )


def test_a_member_that_is_behind_sees_its_next_rung() -> None:
    story = test_member.overdue().due()
    assert rows(story, "dues")[0]["overdue"] is True
    assert any(isinstance(row["value"], datetime) for row in rows(story, "account"))


# ---------------------------------------------------------------- releases


def test_a_release_shows_the_gates_that_are_met_and_missing_before_anybody_tries() -> None:
    story = test_release.internal()
    gates = {(row["stage"], row["gate"]): row["stands"] for row in rows(story, "gates")}
    assert gates["members", "evaluation mmlu"] == "missing"
    assert gates["members", "1 of 1 approvals by safety-reviewer"] == "missing"
    assert gates["members", "no finding is open"] == "met"
    story = test_release.approved(test_release.evaluated(story), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER))
    gates = {(row["stage"], row["gate"]): row["stands"] for row in rows(story, "gates") if row["stage"] == "members"}
    assert gates["members", "evaluation mmlu"] == gates["members", "1 of 1 approvals by safety-reviewer"] == "met"
    begins = [gate for _, gate in gates if isinstance(gate, datetime)]
    assert begins == [] or all(isinstance(each, datetime) for each in begins)
    assert {row["stage"] for row in rows(story, "gates")} == {"members", "gated", "public"}
    assert rows(test_release.public(), "gates") == []


# ---------------------------------------------------------------- runs


def test_a_run_shows_what_was_not_understood() -> None:
    story = test_run.told(test_run.running(), steps=(1, 2), unreadable=3)
    story = test_run.told(story.due(), steps=(3,), unreadable=2)
    assert rows(story, "not_understood")[0] == {"what": "rows of telemetry that could not be read", "number": 5}
    assert rows(test_run.told(test_run.running(), steps=(1, 2)), "failed_claims") == []
