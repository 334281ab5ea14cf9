"""The charter as data: what can be adopted, and what was adopted once and is read for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from domain.charter import Charter, DecisionRule, cautions, flaws
from domain.consortium import commands
from domain.consortium.process import CONSORTIUM
from domain.register.facts import CharterAdopted
from eventstore.entries import ACCEPTED, encode_events
from tests import golden
from tests.golden_log import entries_of, rules_file
from tests.stories import charter


def without(rules: Charter, name: str) -> Charter:
    return rules.model_copy(update={"decisions": {kept: rule for kept, rule in rules.decisions.items() if kept != name}})


def test_the_example_charter_has_no_flaw() -> None:
    assert list(flaws(charter())) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"decisions__releases__method": "ranked"}, "decisions.releases.covers"),
        ({"decisions__releases__method": "budget"}, "decisions.releases.covers"),
        ({"roles__apart": {"auditor": ["auditor"]}}, "roles.apart.auditor"),
        ({"membership__signing_days": 0}, "membership.signing_days"),
        ({"membership__application_days": 0}, "membership.application_days"),
        ({"membership__application_days": 7}, "membership.application_days"),
        ({"funding__extension_days": 0}, "funding.extension_days"),
        ({"funding__pledge_lock_hours": 49, "membership__leaving_notice_days": 2}, "funding.pledge_lock_hours"),
        ({"silence__duty_days": 0}, "silence.standing_days"),
        ({"funding__extension_vote_days": 9}, "funding.extension_vote_days"),
        ({"decisions__funding__notice_hours": 300}, "funding.extension_vote_days"),
        ({"decisions__funding__late_quorum_hours": 300}, "funding.extension_vote_days"),
    ],
    ids=str,
)
def test_what_could_never_be_decided_or_never_in_time_is_named_with_its_place(changes: dict[str, Any], place: str) -> None:
    found = list(flaws(charter(**changes)))
    assert found
    assert all(flaw.startswith(f"{place}: ") for flaw in found)


@pytest.mark.parametrize("name", ["charter", "offices", "admission", "expulsion", "funding"])
def test_what_only_a_vote_can_order_needs_a_class_that_decides_it(name: str) -> None:
    assert all(flaw.startswith("decisions: no class of decision covers") for flaw in flaws(without(charter(), name)))
    assert list(flaws(without(charter(), name)))


def test_a_vote_that_leaves_a_process_its_time_is_no_flaw() -> None:
    assert list(flaws(charter(funding__extension_vote_days=10))) == []
    assert DecisionRule(notice_hours=1, duration_hours=2, late_quorum_hours=3, timelock_hours=4).longest_hours == 10


def test_what_a_charter_says_that_means_less_than_one_may_think_is_told() -> None:
    rules = charter(decisions__routine__threshold_of="roll", decisions__budget__tie_breaks=["heads"], decisions__budget__group_cap=0)
    assert list(cautions(rules)) == [
        "decisions.budget.group_cap: never holds: every seat that weighs anything weighs one",
        "decisions.budget.tie_breaks: only a ranked vote puts options in order",
        *(f"decisions.{name}.group_cap: holds from 7 seats on; with fewer every seat that weighs anything weighs one" for name in ("funding",)),
        "decisions.routine.threshold_of: a lazy vote has no threshold",
        *(f"decisions.{name}.group_cap: holds from 7 seats on; with fewer every seat that weighs anything weighs one" for name in ("runs", "steering")),
    ]  # fmt: skip
    assert list(flaws(rules)) == []


def test_a_charter_of_the_last_release_is_written_as_that_release_wrote_it() -> None:
    """Terms that came later are left out where they say what a charter without them says."""
    bodies = (json.loads(entry.body) for entry in entries_of(rules_file("5")) if entry.outcome == ACCEPTED)
    adopted = [event["charter"] for body in bodies for event in body if event["kind"] == "charter_adopted"]
    assert adopted
    for written in adopted:
        read = Charter.model_validate_json(json.dumps(written))
        assert golden.in_order(read.model_dump(mode="json")) == golden.in_order(written)


def test_a_flawed_charter_is_put_in_force_by_no_command_and_read_where_it_is_in_force() -> None:
    flawed = charter(membership__signing_days=0)
    with pytest.raises(ValidationError, match="nobody can sign in no time"):
        commands.AmendCharter(charter=flawed)
    stored = encode_events([CharterAdopted(version=1, charter=flawed)])
    assert CONSORTIUM.events.validate_json(stored) == (CharterAdopted(version=1, charter=flawed),)
