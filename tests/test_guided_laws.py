"""Every command and every rule is tried by random histories, and the laws hold in all of them (tests/guided.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from domain.kernel import Refused
from tests import guided
from tests.guided import EXCEPTIONS, Broken, Coverage, Given, History, Pool, floors, heard, play, shows


def test_at_most_ten_things_are_not_tried_and_each_has_a_reason() -> None:
    assert len(EXCEPTIONS) <= 10
    assert all(EXCEPTIONS.values())


def test_histories_are_led_to_whatever_the_stories_of_a_process_show() -> None:
    wanted = {"consortium amend_charter": 2, "consortium revoke_office": 2, "other_head_accepted": 1, "tier_in_use": 1}
    coverage = Coverage()
    play(Pool.of(heard(("consortium",))), wanted, coverage, most=60)
    assert coverage.lacking(wanted) == {}
    assert coverage.decisions > 2 * coverage.histories


def test_a_history_that_breaks_a_law_is_told_from_its_beginning() -> None:
    told = next(each for each in heard(("consortium",)) if shows(each) == "consortium found")

    def no_remedy(*_: object) -> NoReturn:
        raise Refused("rule", "no", remedy="")

    history = History(told, replace(told.story, process=replace(told.story.process, decide=no_remedy)))
    with pytest.raises(Broken, match=f'{told.by}: {{"charter"'):
        history.give(Given(told.asked, told.by, told.at))


@pytest.mark.long
@pytest.mark.timeout(3_500)
def test_every_command_is_accepted_fifty_times_and_every_rule_refuses_ten_times(capsys: pytest.CaptureFixture[str]) -> None:
    coverage = Coverage()
    play(Pool.of(heard()), floors(), coverage)
    with capsys.disabled():
        print(f"\n{coverage}")
    lacking = coverage.lacking(floors())
    assert lacking.keys() - EXCEPTIONS.keys() == set(), lacking
    assert EXCEPTIONS.keys() - lacking.keys() == set(), "no exception any more"
    assert (guided.ACCEPTED, guided.REFUSED) == (50, 10)
